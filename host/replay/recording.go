package replay

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/journal"
)

// A Recording is a run's journal on its way to a file. It serves one run.
type Recording struct {
	To io.Writer
	// Offhost and Limits are what the journal's header says of the program and of how
	// it loaded the policies.
	Offhost string
	Limits  journal.Limits

	writer *journal.Writer
	whole  bool
}

// Whole reports whether what was written is a whole journal: the run began, and
// nothing that it did was left out. It may have ended early; the journal then says why.
func (r *Recording) Whole() bool { return r.whole }

// begin writes the header. Nil is no recording.
func (r *Recording) begin(cfg *Config, conf host.Config, policies *troupe) (journaler, error) {
	if r == nil {
		return nil, nil
	}
	engine, err := journal.EngineOf(conf)
	if err != nil {
		return nil, err
	}
	h := cfg.Source.Header()
	r.writer, err = journal.NewWriter(r.To, journal.Header{
		Offhost: r.Offhost, Trace: h.Name, Device: cfg.Place.device(), Scale: cfg.Place.Scale,
		Engine: engine, Policy: identity(policies.modules[0]), Limits: r.Limits,
		Pipelines: journal.PipelinesOf(h),
		Pageable:  cfg.Pageable, Baselines: cfg.Baselines, Host: cfg.Place.Host,
	})
	if err != nil {
		return nil, err
	}
	return func(in *host.Input, out *host.Output) error {
		if err := r.writer.Write(in, identity(policies.swapped(in)), out); err != nil {
			return fmt.Errorf("recording: %w", err)
		}
		return nil
	}, nil
}

// end writes the last line. Failed is why the run ended early, nil if it did not.
func (r *Recording) end(at *Place, e *host.Engine, policies *troupe, failed error) error {
	if r == nil {
		return nil
	}
	sum := e.DecisionsSHA256()
	end := journal.End{DecisionsSHA256: hex.EncodeToString(sum[:]), Measured: at.measured(), SwapsRefused: policies.refused,
		Notes: append(policies.aside.all("notes"), at.Notes...)}
	if failed != nil {
		end.Error = failed.Error()
	}
	err := r.writer.Close(end)
	r.whole = err == nil
	if err != nil && failed == nil {
		return fmt.Errorf("recording: %w", err)
	}
	return nil // else it is why the run failed
}

// identity names a module in a journal, which does not say where it came from.
func identity(m Module) journal.Identity {
	return journal.Identity{Name: m.Info.Name, SHA256: m.Info.SHA256, ABI: m.Info.ABI}
}
