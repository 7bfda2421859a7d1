package library

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// summary counts what a trace has: requests, and calls (an enter is one) by
// component.
func summary(t *testing.T, name string) (h *trace.Header, requests int, calls map[string]int) {
	t.Helper()
	open, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := trace.OpenRequests(open, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	calls = map[string]int{}
	for {
		var record trace.Record
		switch err := r.Next(&record); {
		case err == io.EOF:
			return r.Header(), requests, calls
		case err != nil:
			t.Fatal(err)
		}
		switch record.Kind {
		case trace.Begin:
			requests++
		case trace.Call, trace.Enter:
			calls[r.Header().Components[record.Component].Name]++
		}
	}
}

// What each shipped trace is: requests, calls of one request (or round) of its
// parts, and the sum of its weights in MB.
func TestTraces(t *testing.T) {
	for _, test := range []struct {
		name     string
		requests int
		rounds   int
		weights  units.Bytes // MB
		calls    map[string]int
	}{
		{"flux-img2img-8bit", 4, 4, 17077, map[string]int{"text_encoder": 1, "text_encoder_2": 1, "transformer": 5, "vae": 2}},
		{"flux-bf16", 6, 6, 33741, map[string]int{"text_encoder": 1, "text_encoder_2": 1, "transformer": 28, "vae": 1}},
		{"flux-fp8", 6, 6, 17077, map[string]int{"text_encoder": 1, "text_encoder_2": 1, "transformer": 28, "vae": 1}},
		{"flux-bf16-blocks", 3, 3, 33741, map[string]int{"transformer": 28, "transformer.transformer_blocks.18": 28, "transformer.single_transformer_blocks.37": 28}},
		{"flux-fp8-blocks", 3, 3, 17077, map[string]int{"transformer": 28, "transformer.transformer_blocks.0": 28, "vae": 1}},
		{"flux-controlnet", 6, 6, 40345, map[string]int{"controlnet": 28, "transformer": 28, "vae": 2}},
		{"flux-preview", 6, 6, 33741, map[string]int{"transformer": 28, "vae": 29}},
		{"sdxl-refiner", 12, 6, 11456, map[string]int{"text_encoder": 2, "text_encoder_2": 4, "unet": 40, "refiner.unet": 10, "vae": 1}},
		{"sdxl-controlnet", 6, 6, 9439, map[string]int{"text_encoder": 2, "text_encoder_2": 2, "controlnet": 50, "unet": 50, "vae": 1}},
		{"wan22-a14b", 6, 6, 68769, map[string]int{"text_encoder": 2, "transformer": 52, "transformer_2": 28, "vae": 1}},
		{"wan22-a14b-blocks", 3, 3, 68769, map[string]int{"transformer": 52, "transformer.blocks.39": 52, "transformer_2.blocks.0": 28}},
		{"qwen-image", 6, 6, 57698, map[string]int{"text_encoder": 2, "transformer": 100, "vae": 1}},
		{"chunked-i2v", 6, 6, 44405, map[string]int{"text_encoder": 1, "transformer": 160, "vae": 16}},
		{"three-pipelines", 9, 3, 58526, map[string]int{"flux.transformer": 28, "sdxl.unet": 50, "wan.transformer": 52, "wan.transformer_2": 28}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, requests, calls := summary(t, test.name)
			if h.Name != test.name || requests != test.requests {
				t.Errorf("%s with %d requests: want %s with %d", h.Name, requests, test.name, test.requests)
			}
			for name, want := range test.calls {
				if got := calls[name]; got != want*test.rounds {
					t.Errorf("%s is called %d times: want %d", name, got, want*test.rounds)
				}
			}
			var sum units.Bytes
			for _, c := range h.Components {
				sum += c.Bytes
			}
			if got := sum / units.MB; got != test.weights {
				t.Errorf("weights of %d MB: want %d", got, test.weights)
			}
		})
	}
}

// Every size and time of a shipped trace has its source, and estimates say so.
func TestSources(t *testing.T) {
	for _, name := range Names() {
		h, _, calls := summary(t, name)
		sourced := map[string]bool{}
		for _, s := range h.Sources {
			sourced[s.What] = true
			if strings.Contains(s.From, "estimate") && !s.Low {
				t.Errorf("%s: %q comes from an estimate and is not marked low", name, s.What)
			}
		}
		for _, c := range h.Components {
			if c.Parent != trace.NoComponent {
				continue // its parent's sources
			}
			for _, what := range []string{" bytes", " workspace_bytes", " time"} {
				if !sourced[c.Name+what] {
					t.Errorf("%s: no source for %q", name, c.Name+what)
				}
			}
			if calls[c.Name] == 0 {
				t.Errorf("%s: %s is never called", name, c.Name)
			}
		}
	}
}

// Each trace can be replayed on the device it is about: any call fits alone, with
// its workspace and what is entered around it.
func TestFitsItsDevice(t *testing.T) {
	for _, name := range Names() {
		open, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := trace.OpenRequests(open, 0)
		if err != nil {
			t.Fatal(err)
		}
		h, largest, around := r.Header(), units.Bytes(0), units.Bytes(0)
		var record trace.Record
		for err = r.Next(&record); err == nil; err = r.Next(&record) {
			switch record.Kind {
			case trace.Enter:
				around = h.Components[record.Component].Bytes + record.Workspace
			case trace.Exit:
				around = 0
			case trace.Call:
				largest = max(largest, around+h.Components[record.Component].Bytes+record.Workspace)
			}
		}
		if err != io.EOF {
			t.Fatal(err)
		}
		if largest > h.Device.Memory || largest == 0 {
			t.Errorf("%s: a call needs %d bytes, its %s has %d", name, largest, h.Device.Name, h.Device.Memory)
		}
	}
}

// The default trace's transformer and its workspace fit in 12 GiB, allocated in
// units of 2 MiB.
func TestDefaultFitsTwelveGiB(t *testing.T) {
	h, _, _ := summary(t, Default)
	for _, c := range h.Components {
		if c.Name != "transformer" {
			continue
		}
		const unit = 2 * units.MiB
		if need := (c.Bytes+unit-1)/unit*unit + (c.Workspace+unit-1)/unit*unit; need > 12*units.GiB {
			t.Errorf("the transformer needs %d bytes: want at most %d", need, 12*units.GiB)
		}
	}
}

func TestOpenUnknown(t *testing.T) {
	_, err := Open("../library")
	const want = `no shipped trace is called "../library": want one of chunked-i2v, flux-bf16, `
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v: want %s...", err, want)
	}
}

func TestNames(t *testing.T) {
	want := []string{"chunked-i2v", "flux-bf16", "flux-bf16-blocks", "flux-controlnet", "flux-fp8", "flux-fp8-blocks",
		"flux-img2img-8bit", "flux-preview", "qwen-image", "sdxl-controlnet", "sdxl-refiner", "three-pipelines",
		"wan22-a14b", "wan22-a14b-blocks"}
	if d := cmp.Diff(want, Names()); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}
