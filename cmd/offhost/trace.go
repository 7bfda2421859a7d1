package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

func (a *app) traceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "List the shipped traces, show or check one",
		Example: `  offhost trace list
  offhost trace show flux-bf16
  offhost trace show flux-bf16 --format json
  offhost trace check ./my-trace.jsonl`,
	}
	asGroup(cmd)
	show := &cobra.Command{
		Use:   "show TRACE",
		Short: "Show a trace's components, pipelines and sources",
		Long: `Shows what a trace says of its components, pipelines and device, where its figures
come from, and how many requests and calls it has. TRACE is the name of a shipped
trace, a file, or - for standard input.`,
		Example: `  offhost trace show flux-bf16
  offhost trace show flux-bf16 --format json`,
		Args: argCount(1, 1),
	}
	format := show.Flags().String("format", config.FormatText, "`form` of the output: text or json")
	show.RunE = func(cmd *cobra.Command, args []string) error {
		switch *format {
		case config.FormatText:
			return a.showTrace(cmd.Context(), args[0], showText)
		case config.FormatJSON:
			return a.showTrace(cmd.Context(), args[0], showJSON)
		}
		return usagef("--format: %q: want text or json", *format)
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "List the shipped traces",
			Long: `Lists the shipped traces, a row for each:
  components  named sets of weights, blocks of a divided one included
  size        bytes of all weights
  requests    runs of a pipeline in the trace; offhost run --requests repeats them
  calls       forwards of components in all requests; entering a divided one is a call`,
			Args: argCount(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listTraces(cmd.Context()) },
		},
		show,
		&cobra.Command{
			Use:   "check TRACE",
			Short: "Read a trace to its end and say what is wrong with it",
			Long: `Reads a trace to its end. The first thing that is wrong is said with its line, its
field and what would be right; the exit code is then 1. TRACE is a file, the name of a
shipped trace, or - for standard input.`,
			Example: `  offhost trace check ./my-trace.jsonl`,
			Args:    argCount(1, 1),
			RunE:    func(cmd *cobra.Command, args []string) error { return a.checkTrace(cmd.Context(), args[0]) },
		},
	)
	return cmd
}

func (a *app) listTraces(ctx context.Context) error {
	t := render.Table{Header: []string{"trace", "components", "size", "requests", "calls"}}
	for _, name := range library.Names() {
		s, err := a.readTrace(ctx, name)
		if err != nil {
			return err
		}
		t.Rows = append(t.Rows, []string{name, fmt.Sprint(len(s.Components)), s.size().Decimal(),
			fmt.Sprint(s.requests), fmt.Sprint(s.calls), render.Sentence(s.Description)})
	}
	return t.Write(a.stdout)
}

func (a *app) checkTrace(ctx context.Context, name string) error {
	s, err := a.readTrace(ctx, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s is a trace of %s (%s), %s and %s.\n", render.Name(s.Name),
		render.Count(int64(len(s.Components)), "component"), s.size().Decimal(), render.Count(s.requests, "request"), render.Count(s.calls, "call"))
	return err
}

func (a *app) showTrace(ctx context.Context, name string, show func(*app, *survey) error) error {
	s, err := a.readTrace(ctx, name)
	if err != nil {
		return err
	}
	return show(a, s)
}

func (a *app) readTrace(ctx context.Context, name string) (*survey, error) {
	open, err := a.openTrace(ctx, name)
	if err != nil {
		return nil, err
	}
	s, err := readAll(ctx, open)
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", render.Name(name), err)
	}
	return s, nil
}

func showText(a *app, s *survey) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "%s   %s   %s\n", render.Name(s.Name), render.Count(s.requests, "request"), render.Count(s.calls, "call"))
	if s.Description != "" {
		fmt.Fprintf(out, "%s\n", render.Sentence(s.Description))
	}
	if d := s.Device; d.Name != "" {
		fmt.Fprintf(out, "Device: %s\n", strings.Join(append([]string{render.Name(d.Name)}, hints(d)...), ", "))
	}

	components := render.Table{Header: []string{"component", "size", "workspace"}}
	for _, c := range s.Components {
		row := []string{render.Name(c.Name), c.Bytes.Decimal(), orNothing(c.Workspace)}
		var remarks []string
		if c.Parent != trace.NoComponent {
			remarks = append(remarks, fmt.Sprintf("block %d of %s", c.Index, render.Name(s.Components[c.Parent].Name)))
		}
		if !c.ReadOnly {
			remarks = append(remarks, "calls change it")
		}
		components.Rows = append(components.Rows, append(row, strings.Join(remarks, ", ")))
	}
	fmt.Fprintln(out)
	if err := components.Write(out); err != nil {
		return err
	}

	pipelines := render.Table{Header: []string{"pipeline", "components"}, Left: 2}
	for _, p := range s.Pipelines {
		pipelines.Rows = append(pipelines.Rows, []string{render.Name(p.Name), strings.Join(escaped(s.names(p.Components)), ", ")})
	}
	fmt.Fprintln(out)
	if err := pipelines.Write(out); err != nil {
		return err
	}

	if len(s.Sources) > 0 {
		fmt.Fprintln(out, "\nsources")
	}
	for _, x := range s.Sources {
		weak := ""
		if x.Low {
			weak = " (weak)"
		}
		fmt.Fprintf(out, "%s %s: %s%s\n", render.Sentence(x.What), render.Sentence(x.Value), render.Sentence(x.From), weak)
	}
	_, err := fmt.Fprint(a.stdout, out.String())
	return err
}

// hints are what a trace says of its device.
func hints(d trace.Device) (list []string) {
	if d.Memory > 0 {
		list = append(list, d.Memory.String())
	}
	if d.H2D > 0 {
		list = append(list, d.H2D.String()+" in")
	}
	if d.D2H > 0 {
		list = append(list, d.D2H.String()+" back")
	}
	if d.Pageable > 0 {
		list = append(list, "pageable "+d.Pageable.String())
	}
	return list
}

func orNothing(b units.Bytes) string {
	if b == 0 {
		return "-"
	}
	return b.Decimal()
}

// names returns the names of components.
func (s *survey) names(positions []int) []string {
	names := make([]string, len(positions))
	for i, p := range positions {
		names[i] = s.Components[p].Name
	}
	return names
}

func escaped(names []string) []string {
	for i, n := range names {
		names[i] = render.Name(n)
	}
	return names
}

// The JSON form of a trace's description; scripts read it, fields are added to it
// and never renamed.
type (
	traceJSON struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Device      *deviceJSON     `json:"device"` // null when the trace does not say
		Components  []componentJSON `json:"components"`
		Pipelines   []pipelineJSON  `json:"pipelines"`
		Sources     []sourceJSON    `json:"sources"`
		Requests    int64           `json:"requests"`
		Calls       int64           `json:"calls"`
	}
	deviceJSON struct {
		Name     string               `json:"name"`
		Memory   units.Bytes          `json:"memory_bytes"`
		H2D      units.BytesPerSecond `json:"h2d_bytes_per_second"`
		D2H      units.BytesPerSecond `json:"d2h_bytes_per_second"`
		Pageable units.BytesPerSecond `json:"pageable_bytes_per_second"`
	}
	componentJSON struct {
		Name      string      `json:"name"`
		Bytes     units.Bytes `json:"bytes"`
		Workspace units.Bytes `json:"workspace_bytes"`
		Parent    *string     `json:"parent"` // null when it has none
		Index     int         `json:"index"`
		ReadOnly  bool        `json:"read_only"`
	}
	pipelineJSON struct {
		Name       string   `json:"name"`
		Components []string `json:"components"`
		OffloadSeq []string `json:"offload_seq"`
	}
	sourceJSON struct {
		What  string `json:"what"`
		Value string `json:"value"`
		From  string `json:"source"`
		Low   bool   `json:"low"`
	}
)

func showJSON(a *app, s *survey) error {
	v := traceJSON{
		Name: s.Name, Description: s.Description,
		Components: []componentJSON{}, Pipelines: []pipelineJSON{}, Sources: []sourceJSON{},
		Requests: s.requests, Calls: s.calls,
	}
	if s.Device != (trace.Device{}) {
		d := deviceJSON(s.Device)
		v.Device = &d
	}
	for _, c := range s.Components {
		var parent *string
		if c.Parent != trace.NoComponent {
			parent = &s.Components[c.Parent].Name
		}
		v.Components = append(v.Components, componentJSON{c.Name, c.Bytes, c.Workspace, parent, c.Index, c.ReadOnly})
	}
	for _, p := range s.Pipelines {
		v.Pipelines = append(v.Pipelines, pipelineJSON{p.Name, s.names(p.Components), s.names(p.OffloadSeq)})
	}
	for _, x := range s.Sources {
		v.Sources = append(v.Sources, sourceJSON(x))
	}
	return render.Object(a.stdout, v)
}
