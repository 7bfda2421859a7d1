package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

func (a *app) policyNewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new --lang LANGUAGE NAME",
		Short: "Begin a policy of your own: a project that builds, with a test",
		Long: `Writes the folder NAME: a policy that works, the SDK of its language, the language's
own build file, a test, and a README.md of a screen that says what is what. Nothing of it
needs a network. What leaves the device when memory is short is decided by one function,
rank, and the comment above it has other rules to try; as it is, the component that was
called longest ago goes first.

LANGUAGE is one of ` + strings.Join(scaffold.Languages(), ", ") + `. NAME is
lower-case letters and digits, words joined by - or _, a letter first. There must be nothing of
that name, or an empty folder.`,
		Example: `  offhost policy new --lang c my-policy
  offhost policy build my-policy
  offhost policy test my-policy
  offhost run flux-bf16 --policy my-policy/my-policy.wasm --verbose`,
		Args: argCount(1, 1),
	}
	const langFlag = "lang"
	lang := cmd.Flags().String(langFlag, "", "`language` to write it in: "+strings.Join(scaffold.Languages(), ", "))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed(langFlag) {
			return usagef("--%s is missing: want %s", langFlag, strings.Join(scaffold.Languages(), ", "))
		}
		language, err := scaffold.FindLanguage(*lang)
		if err != nil {
			return usagef("--%s: %w", langFlag, err)
		}
		if err := scaffold.CheckName(args[0]); err != nil {
			return &config.UsageError{Err: err}
		}
		return a.newPolicy(args[0], language)
	}
	return cmd
}

func (a *app) newPolicy(name string, language *scaffold.Language) error {
	p, err := scaffold.New(".", name, language)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, `%s is a policy in %s. The rule is the function rank in %s. Next:
  offhost policy build %[1]s
  offhost policy test %[1]s
  offhost run flux-bf16-blocks --policy %[4]s --verbose
`, name, language.Title, p.Source(), p.Module())
	return err
}
