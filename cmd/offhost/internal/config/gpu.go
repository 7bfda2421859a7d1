package config

import "github.com/offhost/offhost/host/units"

// Bandwidths to plan with. PCI Express 3, 4 and 5 carry 15.8, 31.5 and 63.0 GB/s
// over 16 lanes and half of that over 8; pinned copies reach about four fifths:
// loading times of FLUX.1's and Qwen-Image's text encoders in sgl-project/sglang#25517
// come to 20 to 25 GB/s on an RTX 4090 (Gen4 x16) and about 50 GB/s on an H100 (Gen5
// x16). Pageable copies hardly depend on the card: theirs is baseline.Pageable.
const (
	gen4x8  units.BytesPerSecond = 12_500_000_000
	gen4x16 units.BytesPerSecond = 25_000_000_000
	gen5x8  units.BytesPerSecond = 25_000_000_000
	gen5x16 units.BytesPerSecond = 50_000_000_000
)

// A gpu is a card's memory, all of it, and its link: NVIDIA's published
// specifications.
type gpu struct {
	name   string
	memory units.Bytes
	link   units.BytesPerSecond
}

var gpus = []gpu{
	{"rtx3060", 12 * units.GiB, gen4x16},
	{"rtx3080", 10 * units.GiB, gen4x16},
	{"rtx3080ti", 12 * units.GiB, gen4x16},
	{"rtx3090", 24 * units.GiB, gen4x16},
	{"rtx4060ti-16g", 16 * units.GiB, gen4x8},
	{"rtx4070", 12 * units.GiB, gen4x16},
	{"rtx4070ti", 12 * units.GiB, gen4x16},
	{"rtx4080", 16 * units.GiB, gen4x16},
	{"rtx4090", 24 * units.GiB, gen4x16},
	{"rtx5060ti-16g", 16 * units.GiB, gen5x8},
	{"rtx5070", 12 * units.GiB, gen5x16},
	{"rtx5070ti", 16 * units.GiB, gen5x16},
	{"rtx5080", 16 * units.GiB, gen5x16},
	{"rtx5090", 32 * units.GiB, gen5x16},
	{"a100-40g", 40 * units.GiB, gen4x16},
	{"a100-80g", 80 * units.GiB, gen4x16},
	{"rtxa6000", 48 * units.GiB, gen4x16},
	{"h100-80g", 80 * units.GiB, gen5x16},
}

func gpuNames() []string {
	names := make([]string, len(gpus))
	for i, g := range gpus {
		names[i] = g.name
	}
	return names
}

func findGPU(name string) (gpu, bool) {
	for _, g := range gpus {
		if fold(g.name) == fold(name) {
			return g, true
		}
	}
	return gpu{}, false
}
