package baseline

import (
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/host/units"
)

// The chain's rule, on components of 10, 20, 30 bytes copied at 10 bytes a second.
func TestAccelerate(t *testing.T) {
	const components = "a:10 b:20 c:30 x:5"
	for _, test := range []struct {
		name       string
		components string
		seq, calls string
		h2d, d2h   units.Bytes
		peak       units.Bytes
	}{
		{"a model is loaded once while it loops", components, "a b c", "b b b b |", 20, 20, 20},
		{"the predecessor goes when its successor comes", components, "a b c", "a b c |", 60, 60, 30},
		{"only the predecessor goes", components, "a b c", "a c |", 40, 40, 40},
		{"a successor stays when its predecessor comes back", components, "a b c", "b a |", 30, 30, 30},
		{"a model that is there sends its predecessor back too", components, "a b c", "c b b c c b c |", 70, 70, 50},
		{"members of a loop in the chain send each other nowhere but back", components, "b c", "b c b c b c |", 20*3 + 30, 20*3 + 30, 50},
		{"outside the chain: loaded once, stays", components, "a b", "a x b x b x |", 35, 35, 25},
		{"all goes back after each request, at rest or not", components, "a b c", "c | c | x |", 65, 65, 30},
		{"workspace counts at the peak", components, "a b c", "a b+7 c |", 60, 60, 30},
		{"workspace makes the peak", components, "a b c", "a b+17 c |", 60, 60, 37},
		{"an entered component keeps its workspace", components, "a b c", "(c+4 x+3 ) |", 35, 35, 42},
		{"a parent moves with its blocks", "a:10 p:1 p.q:2 p.r:3 b:20", "a p b", "a (p q r ) (p q r ) b |", 36, 36, 20},
		{"a block called alone brings its parent", "a:10 p:1 p.q:2 p.r:3 b:20", "a p b", "a q r b |", 36, 36, 20},
		{"blocks have no hook inside their parent", "a:10 p:1 p.q:2 p.r:3", "a p", "(p a q ) |", 16, 16, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := script(t, test.components, test.seq, test.calls)
			r := replay(t, s, NewAccelerate(s.Header(), Config{Budget: test.peak, Pageable: 10}))
			if r.H2D != test.h2d || r.D2H != test.d2h || r.Peak != test.peak {
				t.Errorf("in %d, back %d, peak %d: want %d, %d, %d", r.H2D, r.D2H, r.Peak, test.h2d, test.d2h, test.peak)
			}
			if want := time.Duration(test.h2d+test.d2h) * time.Second / 10; r.Stall != want {
				t.Errorf("stall %v: want %v, all copies one after another", r.Stall, want)
			}
			if !r.Fits || r.Note != "" {
				t.Errorf("does not fit its own peak: %q", r.Note)
			}
		})
	}
}

// Every copy costs its latency, and each request its share.
func TestAccelerateShares(t *testing.T) {
	s := script(t, "a:10 b:20", "a b", "a b | b |")
	r := replay(t, s, NewAccelerate(s.Header(), Config{Budget: 100, Pageable: 10, Latency: time.Millisecond}))
	want := []Request{
		{H2D: 30, D2H: 30, Stall: 6*time.Second + 4*time.Millisecond},
		{H2D: 20, D2H: 20, Stall: 4*time.Second + 2*time.Millisecond},
	}
	if len(r.Requests) != 2 || r.Requests[0] != want[0] || r.Requests[1] != want[1] {
		t.Errorf("shares %v: want %v", r.Requests, want)
	}
	if want := 13*time.Second + 6*time.Millisecond; r.Makespan != want {
		t.Errorf("makespan %v: want %v, computing of 3 s and stall", r.Makespan, want)
	}
}

// FLUX image to image by hand. T5 sends CLIP back; the VAE, called first, sends
// nobody back, because the transformer is its predecessor and is not there; the
// transformer sends T5 back and leaves the VAE; decoding sends the transformer
// back; the request's end the VAE. So everything moves once each way in every
// request, and the peak is decoding or, in 12 GiB, the VAE beside the transformer.
func TestAccelerateFluxImg2img(t *testing.T) {
	const (
		clip        = 246_120_960
		t5          = 4_762_310_656
		transformer = 11_901_408_320
		vae         = 167_639_366
		workspace   = 962_072_674 // of the transformer
		all         = clip + t5 + transformer + vae
	)
	for _, test := range []struct {
		budget units.Bytes
		fits   bool
	}{{24 * units.GiB, true}, {12 * units.GiB, false}} {
		s := shipped(t, "flux-img2img-8bit", 4)
		r := replay(t, s, NewAccelerate(s.Header(), Config{Budget: test.budget, Pageable: 6_000_000_000}))
		if r.H2D != 4*all || r.D2H != 4*all {
			t.Errorf("in %d, back %d: want %d each way, whatever the budget", r.H2D, r.D2H, 4*all)
		}
		for i, q := range r.Requests {
			if q.H2D != all || q.D2H != all {
				t.Errorf("request %d: in %d, back %d: want %d", i+1, q.H2D, q.D2H, all)
			}
		}
		if want := units.Bytes(transformer + vae + workspace); r.Peak != want || r.Fits != test.fits {
			t.Errorf("peak %d, fits %v: want %d, %v", r.Peak, r.Fits, want, test.fits)
		}
		if test.fits != (r.Note == "") || !test.fits && !strings.Contains(r.Note, `it needs 13.03 GB of the device, 962 MB of it workspace, when "transformer" is called`) {
			t.Errorf("note %q", r.Note)
		}
	}
}

// A preview after each step sends the transformer back each time, whatever is
// free: the VAE's predecessor is the transformer.
func TestAccelerateFluxPreview(t *testing.T) {
	s := shipped(t, "flux-preview", 1)
	h := s.Header()
	r := replay(t, s, NewAccelerate(h, Config{Budget: units.TiB}))
	transformer := h.Components[2].Bytes
	if want := 28 * transformer; r.H2D < want || r.H2D > want+11*units.GB {
		t.Errorf("in %d: want the transformer 28 times (%d), and the others once", r.H2D, want)
	}
}

func TestAccelerateIgnoresWorkspace(t *testing.T) {
	s := script(t, "a:10", "a", "a+5 |")
	r := replay(t, s, NewAccelerate(s.Header(), Config{Budget: 10, IgnoreWorkspace: true}))
	if r.Peak != 10 || !r.Fits {
		t.Errorf("peak %d: want 10", r.Peak)
	}
}
