//go:build !linux

package main

import (
	"context"

	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/host/link"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// CUDA is driven on Linux only: checkDevice has refused it before any of these is called.

func (r *request) fitGPU(context.Context) error { return cuda.ErrNotBuilt }

func cudaStage(context.Context, *request, *stock, *trace.Header) (*stage, error) {
	return nil, cuda.ErrNotBuilt
}

func gpuOpener(context.Context, string, units.Bytes, bool) (func(chunk, n units.Bytes) (link.Target, error), func() error, error) {
	return nil, nil, cuda.ErrNotBuilt
}

func tryGPU(context.Context) (*cuda.Info, error) { return nil, cuda.ErrNotBuilt }
