package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
	"github.com/offhost/offhost/runtime/meter"
)

// inspectSchema is that of the JSON form. Within it fields are only added.
const inspectSchema = "offhost.policy.inspect/1"

// maxInspected is how large a file is that is looked into: more than may be run.
const maxInspected = 16 << 20

const inspectHelp = `Shows what a module is before it is trusted: its digest and size, what it says of
itself, its exports and imports with their signatures, its memory, its sections and how
much it has of what, and whether the host would run it or why not. Nothing of what a module
says of itself is checked. It shows modules that the host refuses, too, as far as they can be
read; the exit code is 1 for what is no WebAssembly module.

--format json prints one object of schema ` + inspectSchema + `:
  name, source, sha256, bytes  of the module; source is the reference of one from a registry
  abi                          that it exports, or empty
  metadata                     name, version, schema, description, reasons, language and config of the custom
                               section "offhost", or null, and warnings about it
  producers                    field, name and version of each
  function_names               how many functions the name section names, or null
  imports, exports             module, name, kind and signature of each
  memory                       initial_pages and max_pages of 64 KiB, max_pages null without a
                               maximum, and imported; null without a memory
  functions, tables, globals,
  element_segments,
  data_segments                how many it has
  start_function               whether it has one
  sections                     name, custom and bytes of each, in their order
  problem                      what could not be read, or empty
  refused                      why the host would not run it, or empty`

func (a *app) policyInspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect [MODULE]",
		Short: "Show what a policy module is, exports, imports, memory and all",
		Long:  inspectHelp + "\n\n" + moduleHelp,
		Example: `  offhost policy inspect ./my.wasm
  offhost policy inspect sticky-loop --format json | jq .exports`,
		Args: moduleArg,
	}
	config.AddPolicyFlags(cmd.Flags())
	format := cmd.Flags().String("format", config.FormatText, "`form` of the output: text or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.inspectModule(cmd, moduleOf(args), *format) }
	return cmd
}

func (a *app) inspectModule(cmd *cobra.Command, name, format string) error {
	if format != config.FormatText && format != config.FormatJSON {
		return usagef("--format: %q: want text or json", format)
	}
	limits, from, err := config.LoadPolicies(cmd.Flags(), a.dir, a.log)
	if err != nil {
		return err
	}
	var m module
	if isFile(name) && !isFolder(name) { // of any size
		m, err = a.readModuleFile(name, maxInspected)
	} else {
		m, err = a.loadModule(cmd.Context(), from, name)
	}
	if err != nil {
		return err
	}
	found := inspect(cmd.Context(), m, limits)
	if format == config.FormatJSON {
		err = render.Object(a.stdout, found)
	} else {
		err = found.write(a.stdout)
	}
	if err == nil && found.alien() {
		return fmt.Errorf("%s: no WebAssembly module: %s", render.Name(m.name), found.Problem)
	}
	return err
}

// An inspection is what is known of a module without running it for long.
type inspection struct {
	Schema        string         `json:"schema"`
	Name          string         `json:"name"`
	Source        string         `json:"source"`
	SHA256        string         `json:"sha256"`
	Bytes         units.Bytes    `json:"bytes"`
	ABI           string         `json:"abi"`
	Metadata      *metadataJSON  `json:"metadata"`
	Producers     []producerJSON `json:"producers"`
	FunctionNames *int           `json:"function_names"`
	Imports       []externJSON   `json:"imports"`
	Exports       []externJSON   `json:"exports"`
	Memory        *memoryJSON    `json:"memory"`
	Functions     uint32         `json:"functions"`
	Tables        uint32         `json:"tables"`
	Globals       uint32         `json:"globals"`
	Elements      uint32         `json:"element_segments"`
	Data          uint32         `json:"data_segments"`
	StartFunction bool           `json:"start_function"`
	Sections      []sectionJSON  `json:"sections"`
	Problem       string         `json:"problem"`
	Refused       string         `json:"refused"`
}

type metadataJSON struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Schema      string            `json:"schema"`
	Description string            `json:"description"`
	Reasons     map[uint16]string `json:"reasons"`
	Warnings    []string          `json:"warnings"`
	Language    string            `json:"language"`
	Config      []string          `json:"config"`
}

type producerJSON struct {
	Field   string `json:"field"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

type externJSON struct {
	Module    string `json:"module,omitempty"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Signature string `json:"signature"`
}

type memoryJSON struct {
	InitialPages uint64  `json:"initial_pages"`
	MaxPages     *uint64 `json:"max_pages"`
	Imported     bool    `json:"imported"`
}

type sectionJSON struct {
	Name   string      `json:"name"`
	Custom string      `json:"custom,omitempty"`
	Bytes  units.Bytes `json:"bytes"`
}

func inspect(ctx context.Context, m module, limits config.Policy) *inspection {
	o := meter.ReadOutline(m.wasm)
	sum := sha256.Sum256(m.wasm)
	found := &inspection{
		Schema: inspectSchema, Name: m.name, Source: m.source, SHA256: hex.EncodeToString(sum[:]), Bytes: units.Bytes(len(m.wasm)),
		ABI: abiOf(o), Producers: []producerJSON{}, Imports: externs(o.Imports), Exports: externs(o.Exports),
		Functions: o.Functions, Tables: o.Tables, Globals: o.Globals, Elements: o.Elements, Data: o.Data, StartFunction: o.Start,
		Sections: []sectionJSON{},
	}
	if slices.ContainsFunc(o.Customs, func(c meter.Custom) bool { return c.Name == abi.CustomSection }) {
		md, warnings := runtime.ReadMetadata(o.Customs)
		found.Metadata = &metadataJSON{md.Name, md.Version, md.Schema, md.Description, md.Reasons, append([]string{}, warnings...), md.Language, append([]string{}, md.Config...)}
	}
	for _, p := range o.Producers {
		found.Producers = append(found.Producers, producerJSON(p))
	}
	if o.Named >= 0 {
		found.FunctionNames = &o.Named
	}
	if l := o.Memory; l != nil {
		found.Memory = &memoryJSON{InitialPages: l.Initial, Imported: l.Imported}
		if l.HasMax {
			found.Memory.MaxPages = &l.Max
		}
	}
	for _, s := range o.Sections {
		found.Sections = append(found.Sections, sectionJSON{s.Name, s.Custom, units.Bytes(s.Bytes)})
	}
	if o.Problem != nil {
		found.Problem = o.Problem.Error()
	}
	if _, err := tryModule(ctx, m, limits); err != nil {
		found.Refused = err.Error()
	}
	return found
}

func externs(list []meter.Extern) []externJSON {
	all := []externJSON{}
	for _, e := range list {
		all = append(all, externJSON{e.Module, e.Name, e.Kind.String(), e.Type})
	}
	return all
}

// alien says that it is no WebAssembly module of a version that can be read.
func (i *inspection) alien() bool { return len(i.Sections) == 0 && i.Problem != "" }

// write shows it to people.
func (i *inspection) write(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(render.Sentence(fmt.Sprintf(format, args...)) + "\n") }
	line("%s   %s   sha256 %s", render.Name(i.Name), i.Bytes.Decimal(), i.SHA256)
	if i.Source != "" {
		line("%s", i.Source)
	}
	if md := i.Metadata; md != nil {
		line("%s", strings.TrimRight(strings.TrimSpace(md.Name+" "+md.Version)+": "+md.Description, ": "))
		for _, warning := range md.Warnings {
			line("its section \"%s\": %s", abi.CustomSection, warning)
		}
	}
	if made := i.made(); made != "" {
		line("%s", made)
	}
	if md := i.Metadata; md != nil && len(md.Config) > 0 {
		line("configured by %s", strings.Join(md.Config, ", "))
	}
	if i.alien() {
		_, err := io.WriteString(w, b.String())
		return err
	}
	if len(i.Sections) > 0 {
		for _, t := range []*render.Table{externTable("export", i.Exports), externTable("import", i.Imports), i.sectionTable()} {
			b.WriteByte('\n')
			if len(t.Rows) == 0 {
				line("no %ss", t.Header[0])
				continue
			}
			if err := t.Write(&b); err != nil {
				return err
			}
		}
		b.WriteByte('\n')
		line("%s", i.memory())
		line("%s", i.counts())
	}
	b.WriteByte('\n')
	if i.Problem != "" {
		line("Not all of it could be read: %s", i.Problem)
	}
	if i.Refused != "" {
		line("The host refuses it: %s", i.Refused)
	} else {
		line("The host would run it.")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// made says what the module says of its making.
func (i *inspection) made() string {
	var parts []string
	for _, f := range []struct{ field, said string }{{"language", "written in "}, {"processed-by", "made by "}, {"sdk", "with "}} {
		var names []string
		for _, p := range i.Producers {
			if p.Field == f.field {
				names = append(names, strings.TrimSpace(p.Name+" "+p.Version))
			}
		}
		if f.field == "language" && i.Metadata != nil && i.Metadata.Language != "" {
			names = []string{i.Metadata.Language} // a linker sees the language of what it links
		}
		if names != nil {
			parts = append(parts, f.said+strings.Join(names, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

func externTable(what string, list []externJSON) *render.Table {
	t := &render.Table{Header: []string{what, "kind", "signature"}, Left: 3}
	for _, e := range list {
		name := e.Name
		if e.Module != "" {
			name = e.Module + "." + name
		}
		t.Rows = append(t.Rows, []string{render.Name(name), e.Kind, render.Sentence(e.Signature)})
	}
	return t
}

func (i *inspection) sectionTable() *render.Table {
	t := &render.Table{Header: []string{"section", "size"}}
	for _, s := range i.Sections {
		name := strings.TrimSuffix(s.Name, " section")
		if s.Custom != "" {
			name += " " + render.Name(s.Custom)
		}
		t.Rows = append(t.Rows, []string{name, s.Bytes.Decimal()})
	}
	return t
}

func (i *inspection) memory() string {
	m := i.Memory
	if m == nil {
		return "memory: none, or of a kind that is not supported"
	}
	limit := "no maximum"
	if m.MaxPages != nil {
		limit = pages(*m.MaxPages) + " at most"
	}
	from := ""
	if m.Imported {
		from = ", imported"
	}
	return fmt.Sprintf("memory: %s at first, %s%s", pages(m.InitialPages), limit, from)
}

// pages is the size of so many pages of memory.
func pages(n uint64) string { return fmt.Sprintf("%d KiB", n*64) }

func (i *inspection) counts() string {
	var parts []string
	for _, c := range []struct {
		n    uint32
		what string
	}{{i.Functions, "function"}, {i.Tables, "table"}, {i.Globals, "global"}, {i.Elements, "element segment"}, {i.Data, "data segment"}} {
		parts = append(parts, render.Count(int64(c.n), c.what))
	}
	if i.StartFunction {
		parts = append(parts, "a start function")
	}
	named := "no names of functions"
	if i.FunctionNames != nil {
		named = fmt.Sprintf("names of %d functions", *i.FunctionNames)
	}
	return strings.Join(append(parts, named), ", ")
}
