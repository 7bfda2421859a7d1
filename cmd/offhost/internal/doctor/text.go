package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/render"
)

// Text writes the findings for people: a line for each check, what mends it below,
// and at last what can be used.
func (f *Findings) Text(w io.Writer) error {
	var b strings.Builder
	for _, s := range f.Sections {
		fmt.Fprintf(&b, "%s\n", s.ID)
		for _, c := range s.Checks {
			fmt.Fprintf(&b, "  %-7s  %-12s  %s\n", c.Status, label(c.ID), render.Sentence(c.Found))
			for _, r := range c.Mend {
				fmt.Fprintf(&b, "%24s %s\n", ">", render.Sentence(r.line()))
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString(render.Sentence(f.verdict()) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func label(id string) string { return strings.ReplaceAll(id, "_", " ") }

func (r Remedy) line() string {
	if r.Do == "" {
		return r.When
	}
	return r.When + ":  " + r.Do
}

// verdict says in one sentence what can be used, and in another what cannot, and why.
func (f *Findings) verdict() string {
	if needed := f.Needed(); len(needed) > 0 {
		return fmt.Sprintf("Real bytes cannot be moved here: %s missing. Only sim can be used.", labels(needed))
	}
	s := "Usable here: " + strings.Join(f.Devices, ", ") + "."
	if gpu := f.missing("gpu"); len(gpu) > 0 && !slices.Contains(f.Devices, CUDA) {
		s += fmt.Sprintf(" For CUDA, missing: %s.", labels(gpu))
	}
	if f.gpuUnused() {
		s += " The way to the GPU is open, but this build is without CUDA."
	}
	return s
}

// gpuUnused reports that only the build keeps the GPU from being used.
func (f *Findings) gpuUnused() bool {
	return slices.ContainsFunc(f.Sections, func(s Section) bool { return s.ID == "gpu" }) &&
		len(f.missing("gpu")) == 0 && !slices.Contains(f.Devices, CUDA)
}

func labels(ids []string) string {
	var out []string
	for _, id := range ids {
		out = append(out, label(id))
	}
	return strings.Join(out, ", ")
}

// JSON writes the findings as one object.
func (f *Findings) JSON(w io.Writer) error { return render.Object(w, f) }
