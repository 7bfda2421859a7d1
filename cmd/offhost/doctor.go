package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/doctor"
	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/host/machine"
)

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine offers, what is missing and how to mend it",
		Long: `Looks at this machine and says what offhost can use of it: host memory and the limits
on it, whether memory can be sealed and shared, and how far the way to an NVIDIA GPU is
open. Nothing is changed. A build with CUDA also tries the driver, in a process of its own
that ends then. Each line begins with
  ok       it works
  note     it works, but could be better, or is not known
  missing  it does not work
and is followed by what mends it. The exit code is 1 when something is missing that
offhost needs to run on this system, and 0 when only a GPU or its driver is.

--format json prints one object of schema ` + doctor.Schema + `:
  runs               nothing is missing that offhost needs
  devices            what can be used here: sim, shm, cuda
  host_budget_bytes  host memory that weights may take, 0 when not known
  pin_budget_bytes   how much of it may be locked
  sections           id and checks; a check has id, status (ok, note, missing),
                     needed, found, and mend: when and do, for each way to mend it`,
		Example: `  offhost doctor
  offhost doctor --format json | jq .host_budget_bytes`,
		Args: argCount(0, 0),
	}
	format := cmd.Flags().String("format", config.FormatText, "`form` of the output: text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch *format {
		case config.FormatText, config.FormatJSON:
			return a.doctor(cmd.Context(), machine.Read(), *format)
		}
		return usagef("--format: %q: want text or json", *format)
	}
	return cmd
}

func (a *app) doctor(ctx context.Context, m machine.Info, format string) error {
	build := doctor.Build{Version: version(), Devices: []string{doctor.Sim, doctor.Shm}}
	var trial *doctor.Trial
	if cuda.Built {
		build.Devices = append(build.Devices, doctor.CUDA)
		trial = tryCUDA(ctx)
	}
	f := doctor.Examine(build, m, trial)
	write := f.Text
	if format == config.FormatJSON {
		write = f.JSON
	}
	if err := write(a.stdout); err != nil {
		return err
	}
	if !f.Runs {
		return fmt.Errorf("missing on this machine: %s", strings.Join(f.Needed(), ", "))
	}
	return nil
}

// tryCUDA says what the driver and its GPUs say of themselves.
func tryCUDA(ctx context.Context) *doctor.Trial {
	info, err := tryGPU(ctx)
	if err != nil {
		return &doctor.Trial{Err: err}
	}
	t := &doctor.Trial{Library: info.Library, Driver: driverVersion(info.Driver), Missing: info.Missing, StandIn: info.StandIn(),
		Granularity: info.Granularity, Free: info.Free}
	for _, g := range info.GPUs {
		t.GPUs = append(t.GPUs, doctor.GPU{Name: g.Name, UUID: g.UUID, Total: g.Total, VirtualMemory: g.VirtualMemory, Export: g.Export})
	}
	return t
}

// driverVersion prints the number that CUDA has for a version of its interface.
func driverVersion(n int) string { return fmt.Sprintf("%d.%d", n/1000, n%1000/10) }
