package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/installed"
	"github.com/offhost/offhost/cmd/offhost/internal/oci"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
	"github.com/offhost/offhost/runtime/meter"
)

// listSchema is that of the JSON form. Within it fields are only added.
const listSchema = "offhost.policy.list/1"

func (a *app) policyListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the policies that can be run by name",
		Long: `Lists the policies that can be run by name, the built-in ones and those that "offhost
policy install" has put into the policy directory, a row for each:
  sha256    the first digits of the module's SHA-256
  size      of the module
  abi       the version of the policy ABI that it exports
  language  what it was written in, or else made by, if the module says so
and how a built-in one decides, or where another was installed from.

--format json prints one object of schema ` + listSchema + `:
  directory  of installed policies
  policies   name, built_in, sha256, bytes, abi, language, source and problem of each; what is
             not known is empty, and problem says why an installed one cannot be run`,
		Example: `  offhost policy list
  offhost policy list --format json`,
		Args: argCount(0, 0),
	}
	config.AddPolicyDirFlags(cmd.Flags())
	format := cmd.Flags().String("format", config.FormatText, "`form` of the output: text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.listPolicies(cmd, *format) }
	return cmd
}

type listJSON struct {
	Schema    string       `json:"schema"`
	Directory string       `json:"directory"`
	Policies  []listedJSON `json:"policies"`
}

type listedJSON struct {
	Name     string `json:"name"`
	BuiltIn  bool   `json:"built_in"`
	SHA256   string `json:"sha256"`
	Bytes    int    `json:"bytes"`
	ABI      string `json:"abi"`
	Language string `json:"language"`
	Source   string `json:"source"`
	Problem  string `json:"problem"`

	remark string // in the table's last column
}

func (a *app) listPolicies(cmd *cobra.Command, format string) error {
	if format != config.FormatText && format != config.FormatJSON {
		return usagef("--format: %q: want text or json", format)
	}
	_, from, err := config.LoadPolicies(cmd.Flags(), a.dir, a.log)
	if err != nil {
		return err
	}
	list := listJSON{Schema: listSchema, Policies: []listedJSON{}}
	for _, p := range policies.List() {
		l := listed(p.Name, p.Wasm)
		l.BuiltIn, l.remark = true, "built in: "+p.Summary
		list.Policies = append(list.Policies, l)
	}
	dir, err := installed.Open(from.Dir)
	if err != nil {
		a.log.Warn("only the built-in policies are listed", "problem", err)
	} else if err := addInstalled(&list, dir); err != nil {
		return err
	}
	if format == config.FormatJSON {
		return render.Object(a.stdout, list)
	}
	t := render.Table{Header: []string{"policy", "sha256", "size", "abi", "language"}}
	for _, l := range list.Policies {
		size := ""
		if l.Bytes > 0 {
			size = units.Bytes(l.Bytes).Decimal()
		}
		t.Rows = append(t.Rows, []string{l.Name, render.ShortDigest(l.SHA256), size, l.ABI, render.Sentence(l.Language), render.Sentence(l.remark)})
	}
	return t.Write(a.stdout)
}

// addInstalled adds what is installed, and of what cannot be run the reason.
func addInstalled(list *listJSON, dir installed.Dir) error {
	list.Directory = dir.Path()
	names, err := dir.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		p, wasm, err := dir.Load(name)
		if errors.Is(err, installed.ErrNotInstalled) {
			continue // no longer
		}
		l := listedJSON{Name: name, SHA256: p.SHA256}
		if err == nil {
			l = listed(name, wasm)
		}
		l.Source, l.remark = p.Source, "from "+p.Source
		if err == nil && isBuiltin(name) {
			err = fmt.Errorf("a built-in policy has the name: install it under another")
		}
		if err != nil {
			l.Problem, l.remark = err.Error(), err.Error()
		}
		list.Policies = append(list.Policies, l)
	}
	return nil
}

// listed is what a module says of itself.
func listed(name string, wasm []byte) listedJSON {
	sum := sha256.Sum256(wasm)
	o := meter.ReadOutline(wasm)
	return listedJSON{Name: name, SHA256: hex.EncodeToString(sum[:]), Bytes: len(wasm), ABI: abiOf(o), Language: language(o)}
}

// abiOf is the ABI whose event function a module exports; empty if it exports none.
func abiOf(o *meter.Outline) string {
	for _, e := range o.Exports {
		if e.Name == abi.ExportEvent {
			return fmt.Sprintf("offhost/%d", abi.Version)
		}
	}
	return ""
}

// language is what a module says it was written in, or else what it was made by.
func language(o *meter.Outline) string {
	if md, _ := runtime.ReadMetadata(o.Customs); md.Language != "" {
		return md.Language
	}
	for _, field := range []string{"language", "processed-by"} {
		var names []string
		for _, p := range o.Producers {
			if p.Field == field {
				names = append(names, p.Name)
			}
		}
		if names != nil {
			return strings.Join(names, ", ")
		}
	}
	return ""
}

func (a *app) policyInstallCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "install [MODULE]",
		Short: "Keep a module under a name, by which it can be run from now on",
		Long: `Copies a module into the policy directory. From then on its name is enough wherever a
policy is named: --policy, --swap, policy.module in offhost.yaml, and the commands here.
A module that a run would refuse is not installed; one that is changed after it was
installed is not run. The names of built-in policies are taken.

` + moduleHelp + `

The policy directory is policy.dir in offhost.yaml, or --policy-dir; by default
offhost/policies below $XDG_DATA_HOME, which is ~/.local/share where it is not set.`,
		Example: `  offhost policy install ./my.wasm
  offhost policy install oci://ghcr.io/me/my@sha256:... --name theirs
  offhost run flux-bf16 --policy theirs`,
		Args: moduleArg,
	}
	config.AddPolicyFlags(cmd.Flags())
	name := cmd.Flags().String("name", "", "`name` of the policy (default: the project's, the file's, or the last part of the reference's)")
	replace := cmd.Flags().Bool("replace", false, "let it take the place of another module that has the name")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.installPolicy(cmd, moduleOf(args), *name, *replace)
	}
	return cmd
}

func (a *app) installPolicy(cmd *cobra.Command, module, name string, replace bool) error {
	if name == "" {
		name = nameOf(module)
		if err := installed.CheckName(name); err != nil {
			return usagef("%w; give it one with --name", err)
		}
	}
	if err := installed.CheckName(name); err != nil {
		return usagef("--name: %w", err)
	}
	if isBuiltin(name) {
		return usagef("%q is the name of a built-in policy: give this one another with --name", name)
	}
	limits, from, err := config.LoadPolicies(cmd.Flags(), a.dir, a.log)
	if err != nil {
		return err
	}
	dir, err := installed.Open(from.Dir)
	if err != nil {
		return err
	}
	m, err := a.loadModule(cmd.Context(), from, module)
	if err != nil {
		return err
	}
	if _, err := tryModule(cmd.Context(), m, limits); err != nil {
		return err
	}
	source := m.source
	if source == "" {
		source = module
		if isFile(module) || isFolder(module) {
			if source, err = filepath.Abs(module); err != nil {
				return err
			}
		}
	}
	p, err := dir.Install(name, m.wasm, source, replace)
	if errors.Is(err, installed.ErrExists) {
		return usagef("%w (--name, --replace)", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "Installed %s (sha256 %s): offhost run --policy %s\n", p.Name, p.SHA256, p.Name)
	return err
}

// nameOf is the name that a module is installed under when none is given: a project's is the
// one in its manifest.
func nameOf(module string) string {
	if p, err := scaffold.Open(module); err == nil && module != "" {
		return p.Name
	}
	if ref, err := oci.ParseReference(module); err == nil && isReference(module) {
		return ref.Base()
	}
	if path, err := filepath.Abs(module); err == nil && isFile(module) {
		module = path // . has a name, too
	}
	return strings.TrimSuffix(filepath.Base(module), ".wasm")
}

func (a *app) policyRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove an installed policy",
		Example: `  offhost policy remove my`,
		Args:    argCount(1, 1),
	}
	config.AddPolicyDirFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.removePolicy(cmd, args[0]) }
	return cmd
}

func (a *app) removePolicy(cmd *cobra.Command, name string) error {
	_, from, err := config.LoadPolicies(cmd.Flags(), a.dir, a.log)
	if err != nil {
		return err
	}
	dir, err := installed.Open(from.Dir)
	if err != nil {
		return err
	}
	err = dir.Remove(name)
	switch {
	case errors.Is(err, installed.ErrNotInstalled) && isBuiltin(name):
		return usagef("policy %q is built in: only installed ones can be removed", name)
	case errors.Is(err, installed.ErrNotInstalled):
		names, _ := dir.Names()
		return usagef("%w%s", err, config.DidYouMean(name, names))
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "Removed %s.\n", name)
	return err
}
