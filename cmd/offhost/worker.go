package main

import (
	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cuda"
)

// workerCommand is what a cuda device starts this program as; see package cuda.
func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    cuda.WorkerCommand,
		Short:  "Serve an offhost process that drives a GPU (it starts this itself)",
		Hidden: true,
		Args:   argCount(0, 0),
		RunE:   func(*cobra.Command, []string) error { return cuda.Serve() },
	}
}
