package config

import (
	"fmt"
	"strings"
)

// Nearest returns the candidate that takes the fewest edits to make from name, the
// first of them when several do, or "" when there is no candidate. Case, and
// whether words are joined by - or _, do not count. A nested key is also known by
// its last part.
func Nearest(name string, candidates []string) string {
	best, least := "", -1
	for _, c := range candidates {
		d := distance(fold(name), fold(c))
		if i := strings.LastIndexByte(c, '.'); i >= 0 {
			d = min(d, distance(fold(name), fold(c[i+1:])))
		}
		if least < 0 || d < least {
			best, least = c, d
		}
	}
	return best
}

// DidYouMean is the end of an error about an unknown name: empty if none of the candidates is
// like it.
func DidYouMean(name string, candidates []string) string {
	if near := Nearest(name, candidates); near != "" && like(name, near) {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// like reports whether a name could be meant for another one: a third of it or more is there,
// as of lur for lru.
func like(name, other string) bool {
	name, other = fold(name), fold(other)
	last := other[strings.LastIndexByte(other, '.')+1:]
	near := func(other string) bool { return 3*distance(name, other) <= 2*max(len(name), len(other)) }
	return near(other) || near(last)
}

func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

const maxCompared = 64 // bytes of a name; no key or built-in is longer

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	a, b = a[:min(len(a), maxCompared)], b[:min(len(b), maxCompared)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
