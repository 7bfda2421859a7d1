// Package safetensors reads weights in the safetensors format: one file, or a model
// of several files with an index, as transformers and diffusers write them. Package
// weights fills host memory with it.
//
// The files come from anywhere, so nothing is believed before it was checked: a file
// whose header is not exactly right is refused as a whole, with the reason. Bytes are
// read with pread and never mapped, so that a file which is cut short while it is
// read is an error and not a signal.
//
// It does not write files and does not interpret values. The format is described at
// https://huggingface.co/docs/safetensors; where that page and its reference library
// differ, this package takes what the library takes.
package safetensors
