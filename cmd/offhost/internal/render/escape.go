package render

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Name returns a name from a file as it may be printed: itself when each character
// prints and it cannot be mistaken for a quoted one, else quoted with escapes.
func Name(s string) string {
	if s == "" || strings.ContainsAny(s, "\"\\") || s != Sentence(s) || s != strings.TrimSpace(s) {
		return strconv.Quote(s)
	}
	return s
}

// Sentence returns text that may hold a name from a file, each character that does
// not print replaced by its escape.
func Sentence(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch part := s[i : i+n]; {
		case r == utf8.RuneError && n == 1, !strconv.IsPrint(r):
			quoted := strconv.Quote(part)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(part)
		}
		i += n
	}
	return b.String()
}
