package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/oci"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
)

// registryHelp is for commands that talk to registries.
const registryHelp = `Credentials are those of Docker's config.json and the helpers that it names, where
"docker login" puts them. A registry on this machine (localhost) is talked to without
TLS, others only with --plain-http.`

func (a *app) policyPushCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "push MODULE REGISTRY/NAME[:TAG]",
		Short: "Put a policy into a registry, and print the reference to pin",
		Long: `Puts a policy into an OCI registry, as an artifact in the CNCF's layout for WebAssembly,
which other tools can read, too, and prints its reference with the digest: what
--policy, policy.module and "offhost policy install" take. Without a tag it can be
found by the digest alone. A module that a run would refuse is not pushed. The same module is
the same artifact, with the same digest, whenever and by whomever it is pushed.

` + moduleHelp + `

` + registryHelp,
		Example: `  offhost policy push ./my.wasm ghcr.io/me/my:1.0
  offhost policy push my localhost:5000/policies/my --source https://github.com/me/my`,
		Args: argCount(2, 2),
	}
	config.AddPolicyFlags(cmd.Flags())
	source := cmd.Flags().String("source", "", "`URL` of the module's source code, to be said in the artifact")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.pushPolicy(cmd, args[0], args[1], *source) }
	return cmd
}

func (a *app) pushPolicy(cmd *cobra.Command, name, to, source string) error {
	ref, err := oci.ParseReference(to)
	if err != nil {
		return usagef("%w", err)
	}
	if ref.Pinned() {
		return usagef("%s: its digest comes from what is pushed: want REGISTRY/NAME or REGISTRY/NAME:TAG", ref)
	}
	if err := checkSource(source); err != nil {
		return usagef("--source: %w", err)
	}
	limits, from, err := config.LoadPolicies(cmd.Flags(), a.dir, a.log)
	if err != nil {
		return err
	}
	m, err := a.loadModule(cmd.Context(), from, name)
	if err != nil {
		return err
	}
	info, err := tryModule(cmd.Context(), m, limits)
	if err != nil {
		return err
	}
	remote, err := a.remote(from.Registry)
	if err != nil {
		return err
	}
	pinned, err := remote.Push(cmd.Context(), ref, m.wasm, ref.Base()+".wasm", oci.Description{
		Title: info.Metadata.Name, Version: info.Version, Description: info.Description, Source: source,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\nThe module's SHA-256 is %s, the digest of its layer.\n", pinned, info.SHA256)
	return err
}

// checkSource says whether a text may be published as the address of source code; none may.
func checkSource(text string) error {
	if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(text) > maxSource) {
		return fmt.Errorf("%.100q: want an address that others can open, as in https://github.com/me/my", text)
	}
	return nil
}

const maxSource = 1000 // bytes

func (a *app) policyPullCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pull REGISTRY/NAME@sha256:DIGEST",
		Short: "Write a module from a registry to a file",
		Long: `Writes a module from an OCI registry to a file: to NAME.wasm, unless there is one, or to
the file of -o. Its digests are checked. A reference with a tag instead of a digest is
refused without --allow-tag, since it may lead to another module tomorrow; what it
leads to now is printed.

What was pulled is kept in a cache, and takes no connection the next time.

` + registryHelp,
		Example: `  offhost policy pull oci://ghcr.io/me/my@sha256:... -o my.wasm
  offhost policy pull ghcr.io/me/my:1.0 --allow-tag`,
		Args: argCount(1, 1),
	}
	config.AddRegistryFlags(cmd.Flags())
	output := cmd.Flags().StringP("output", "o", "", "write the module to this `file`, or to standard output (-)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.pullPolicy(cmd, args[0], *output) }
	return cmd
}

func (a *app) pullPolicy(cmd *cobra.Command, from, output string) error {
	ref, err := oci.ParseReference(from)
	if err != nil {
		return usagef("%w", err)
	}
	write := wholefile.Write
	if output == "" {
		output, write = ref.Base()+".wasm", wholefile.WriteNew
		if _, err := os.Lstat(output); err == nil {
			return taken(output)
		}
	}
	_, sources, err := config.LoadPolicies(cmd.Flags(), a.dir, a.log)
	if err != nil {
		return err
	}
	if output != "-" {
		if err := wholefile.Check(output); err != nil {
			return err
		}
	}
	got, err := a.pull(cmd.Context(), sources.Registry, ref)
	if err != nil {
		return err
	}
	if output == "-" {
		_, err := a.stdout.Write(got.Wasm)
		return err
	}
	switch err := write(output, got.Wasm); {
	case errors.Is(err, fs.ErrExist): // since a moment ago
		return taken(output)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s has %s\nIts SHA-256 is %s.\n", render.Name(output), got.Reference, got.SHA256)
	return err
}

// taken says that nobody has named the file to write, and there is one.
func taken(path string) error {
	return usagef("%s is there already: name the file to write with -o", path)
}
