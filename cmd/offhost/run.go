package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

const runHelp = `Replays a trace through a policy on a device and reports what moved. The journal of
such a run is fed back without a device, and compared.

TRACE is the name of a shipped trace (offhost trace list), a file, or - for standard
input. Without it the trace is ` + library.Default + `, FLUX.1-dev image-to-image with
8-bit weights, on the 24 GiB card of its hint; the text report then adds the same run
at 12 GiB, where policies differ, unless a budget or a card was chosen (--budget, --gpu)
or the run is recorded.

Devices (--device):
  sim  copies and computing are simulated in virtual time
  shm  real bytes are copied in host memory (Linux). Weights are made from --seed, or
       read from --weights DIR, where each component NAME has the file NAME.safetensors
       or a directory NAME with one such file or one index and its shards; variants
       (x.fp16.safetensors beside x.safetensors) are passed over with a note, anything
       else is refused. A block P.X has the tensors of P that begin with "X.". Each load
       is compared with its source by checksum, and a call reads every byte that it uses;
       a wrong one ends the run. Computing takes as long as the trace says, at least.

--scale 1/64 shrinks weights, workspaces, budgets, chunks and times alike, so that a
trace fits this machine and the proportions stay; sizes on the command line are given
as they are without it. Weights from files keep their size. --granularity is the
device's own and is not scaled; a chunk is never smaller.

On shm the policy is told the same link as on sim, and baselines are simulated with it,
so that runs compare; copies are as fast as they can be, unless --link (or OFFHOST_LINK)
gives a bandwidth to keep to. How fast they were is measured. The device's memory and
the weights are both host memory: what does not fit beside the device (--host-budget)
stays in files and is read at each load.

--record FILE writes the run's journal: every input of the engine and what it did. A run
that fails or is interrupted leaves one, too, up to there. "offhost run FILE" feeds a
journal to a new engine, compares every action and the decisions' hash, and shows the
run's report; the first difference is named, and the exit code is then 1. Policies that
are built in or installed are found by their digests; others are given by --policy,
comma-separated if there are several, and have to be the very modules. Flags that would
change the run are refused; settings of a configuration are not used. --resimulate takes
only the calls of the journal, with its sizes, budget, link and chunk as the defaults,
and runs them anew.

The first table has a row for each component; one that is divided into blocks has a
single row for all of them, unless --verbose is given.
  size        bytes of its weights
  in files    of them, those that host memory does not hold, if there are any
  calls       how often it was called; for blocks, how often the whole was
  loads       transfers to the device of any part that was missing, on demand or ahead
  moved in    bytes copied to the device
  moved back  bytes copied back to the host, because a call had changed them; what no
              call has changed is dropped from the device without a copy
  stall       time its calls waited for weights: their own, and those that were on the
              link before them, such as excluded components when they are first loaded

The second table has the policy's totals first, then those of other rules on the same
trace and link:
  lru         evicts what was used longest ago, in parts where it can
  optimum     knows the future and moves the fewest bytes to the device that any rule
              could; it ignores --exclude and --keep, and weighs no copies back
  accelerate  what accelerate and diffusers do in enable_model_cpu_offload(): fixed
              predecessors, everything copied back at the end of a request, pageable
              copies, and no notion of a budget ("does not fit" then shows its peak)
  total       time from the first call to the end of the last; on shm as it was measured,
              in the baselines' rows as it is simulated
  vs optimum  bytes moved in, as a multiple of optimum's

When a policy fails or does not answer, the host decides by a rule of its own, the
fallback, which is lru's. How often it did is shown below the tables.

With --verbose a line for each movement comes first: time, what, which component,
bytes, who decided and why. A load is shown at the time when it ended. With --format
json one object is printed and nothing else (movements go to standard error).

--requests repeats a trace that has fewer; one from a pipe is read once and cannot be
repeated.

Settings come from flags, then from OFFHOST_* variables, then from offhost.yaml in the
working directory (or --config), then from defaults. A budget given by --budget beats
--gpu, which beats the trace's hint; the same holds for --link. A card's preset is all
of its memory: leave room for the desktop and the framework with --budget. Sizes are a
number and B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).

Exit codes: 0 the run completed, 1 it failed, 2 it was asked for in a way that cannot
be (unknown flag or key, a budget that cannot hold what must be on the device).`

const runExamples = `  offhost run
  offhost run flux-bf16 --gpu rtx4090 --requests 6
  offhost run flux-controlnet --budget 32GB --policy lru
  offhost run three-pipelines --keep 'flux.*' --exclude '*.vae' --verbose
  offhost run --policy ./my.wasm --policy-config threshold=3
  offhost run --device shm --scale 1/64 --budget 12GiB --record run.journal
  offhost run run.journal
  offhost run run.journal --resimulate --policy lru --budget 16GiB
  zcat trace.jsonl.gz | offhost run - --budget 24GiB --link 25GB/s --format json`

// secondBudget is where the default trace does not fit and policies differ.
const secondBudget = 12 * units.GiB

// resimulateFlag asks for a journal's calls alone.
const resimulateFlag = "resimulate"

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "run [TRACE|JOURNAL]",
		Short:   "Replay a trace through a policy and report what moved",
		Long:    runHelp,
		Example: runExamples,
		Args:    argCount(0, 1),
	}
	config.AddFlags(cmd.Flags())
	resimulate := cmd.Flags().Bool(resimulateFlag, false, "run a journal's calls anew, as a trace, instead of feeding all of it back")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := config.Load(cmd.Flags(), a.dir, a.log)
		if err != nil {
			return err
		}
		if len(args) == 1 {
			s.Trace = args[0]
		}
		return a.run(cmd.Context(), s, *resimulate, cmd.Flags())
	}
	return cmd
}

// run does one of three things: it replays a trace on a device, it feeds a journal back
// without one, or it replays a journal's calls as a trace.
func (a *app) run(ctx context.Context, s config.Settings, resimulate bool, flags *pflag.FlagSet) error {
	in, err := a.openInput(ctx, s.Trace)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.stdout)
	defer out.Flush() // on the way out of an error: what was shown so far
	req := request{Settings: s, open: in.open, calls: in.journal, log: a.log, progress: terminal(a.stderr)}
	switch {
	case s.Verbose && s.Format == config.FormatText:
		req.movement = func(m replay.Movement) error { return render.Movement(out, m) }
	case s.Verbose:
		req.movement = func(m replay.Movement) error { return render.Movement(a.stderr, m) }
	}
	switch {
	case in.journal && !resimulate:
		err = a.runJournal(ctx, req, out, flags)
	case resimulate && !in.journal:
		err = usagef("--%s: %s is no journal", resimulateFlag, render.Name(s.Trace))
	default:
		err = a.runTrace(ctx, req, out)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func (a *app) runJournal(ctx context.Context, req request, out io.Writer, flags *pflag.FlagSet) error {
	if err := checkFeedback(flags); err != nil {
		return err
	}
	got, err := a.feedBack(ctx, req, flags)
	if err != nil {
		return err
	}
	if req.Format == config.FormatJSON {
		return render.JSON(out, got)
	}
	if err := render.Text(out, page(got, req.Settings)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Fed back: %s, every action and every decision as recorded.\n", render.Count(got.Inputs, "input"))
	return err
}

func (a *app) runTrace(ctx context.Context, req request, out io.Writer) (err error) {
	s := req.Settings
	if err := checkDevice(s.Device, system); err != nil {
		return err
	}
	if req.module, err = a.loadModule(ctx, s.Sources, s.Policy.Module); err != nil {
		return err
	}
	a.warnUnread(req.module, s.Policy.Config)
	if req.swaps, err = a.loadSwaps(ctx, s.Sources, s.Swaps); err != nil {
		return err
	}
	got, err := a.replay(ctx, req)
	if err != nil {
		return err
	}
	if s.Format == config.FormatJSON {
		return render.JSON(out, got)
	}
	if err := render.Text(out, page(got, s)); err != nil {
		return err
	}
	if s.Record != "" {
		fmt.Fprintf(out, "The journal is in %s.\n", render.Name(s.Record))
	} else if s.Trace == library.Default && !s.BudgetChosen {
		req.Budget = secondBudget
		fmt.Fprintln(out)
		got, err := a.replay(ctx, req)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil { // what was asked for has succeeded
			_, err := fmt.Fprintf(out, "At %v: %s\n", secondBudget, render.Sentence(err.Error()))
			return err
		}
		if err := render.Text(out, page(got, s)); err != nil {
			return err
		}
	}
	if !s.Verbose {
		_, err = fmt.Fprintln(out, "(--verbose shows each movement and why)")
	}
	return err
}

func page(r *report.Report, s config.Settings) render.Page {
	return render.Page{Report: r, Verbose: s.Verbose}
}
