package safetensors

import "fmt"

// An Error says which file is wrong, how, and what would be right.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// clip shortens text that came from a file before it goes into a message, and quotes
// it, so that no control character reaches a terminal.
func clip(s string) string {
	const most = 96
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
