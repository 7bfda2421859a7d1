package scaffold

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/offhost/offhost/policies"
)

// maxName keeps the names of files made from it below what file systems take.
const maxName = 64

var (
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9]*([-_][a-z0-9]+)*$`)
	// devices cannot be names of files on Windows, whatever follows the dot.
	devices = regexp.MustCompile(`^(con|prn|aux|nul|com[0-9]|lpt[0-9])$`)
)

// CheckName says why a project cannot have a name. Each name that passes is one of a
// folder and a file on every system, of a crate, a Go module and an npm package.
func CheckName(name string) error {
	const want = "want lower-case letters a to z and digits, words joined by - or _, a letter first, at most 64 characters, as in my-policy"
	switch {
	case len(name) > maxName:
		return fmt.Errorf("name %.20q... has %d characters: %s", name, len(name), want)
	case !nameForm.MatchString(name):
		return fmt.Errorf("name %q: %s", name, want)
	case devices.MatchString(name):
		return fmt.Errorf("name %q is a device's on Windows: want another", name)
	case name == "offhost" || strings.HasPrefix(name, "offhost-"):
		return fmt.Errorf("name %q: those that begin with offhost are the program's own: want another", name)
	}
	if _, builtin := policies.Get(name); builtin {
		return fmt.Errorf("name %q is a built-in policy's: want another", name)
	}
	return nil
}
