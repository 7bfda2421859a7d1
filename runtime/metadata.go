package runtime

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// Limits of the metadata.
const (
	maxMetadata = 4 << 10 // bytes of the section
	maxValue    = 80      // bytes of a name, version, schema or reason
	maxText     = 400     // bytes of the description, and of the keys of configuration
)

// Metadata is what a module says of itself, in a custom section. It is untrusted
// text, but printable and bounded.
type Metadata struct {
	Name, Version, Schema, Description string
	Language                           string // that it was written in
	// Config are the keys of configuration that it reads; one that ends in * stands for all that
	// begin so. Empty: it does not say.
	Config []string
	// Reasons are the texts of the policy's own reason codes.
	Reasons map[uint16]string
}

// ReadMetadata reads what a module says of itself from its custom sections. Lines that
// it cannot use are left out and returned as warnings: they do not keep a module from
// deciding.
func ReadMetadata(customs []meter.Custom) (md Metadata, warnings []string) {
	md.Reasons = map[uint16]string{}
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	seen := false
	for _, c := range customs {
		if c.Name != abi.CustomSection {
			continue
		}
		if seen {
			warn("a second section is ignored")
			return md, warnings
		}
		seen = true
		if len(c.Data) > maxMetadata {
			warn("%d bytes, at most %d are read", len(c.Data), maxMetadata)
			continue
		}
		// C's string literals end with a NUL.
		text := strings.TrimRight(string(c.Data), "\x00")
		for n, line := range strings.Split(text, "\n") {
			if line == "" {
				continue
			}
			if err := md.line(line); err != nil {
				warn("line %d: %v", n+1, err)
			}
		}
	}
	return md, warnings
}

func (md *Metadata) line(line string) error {
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("no key=value: %.40q", line)
	}
	limit := maxValue
	if key == "description" || key == "config" {
		limit = maxText
	}
	if len(value) > limit {
		return fmt.Errorf("%.40q has %d bytes, at most %d are allowed", key, len(value), limit)
	}
	if !printable(value) {
		return fmt.Errorf("%.40q is not printable UTF-8", key)
	}
	switch key {
	case "name":
		md.Name = value
	case "version":
		md.Version = value
	case "schema":
		md.Schema = value
	case "description":
		md.Description = value
	case "language":
		md.Language = value
	case "config":
		md.Config = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	default:
		code, isReason := strings.CutPrefix(key, "reason.")
		if !isReason {
			return nil // a key of a later version
		}
		n, err := strconv.ParseUint(code, 10, 16)
		if err != nil {
			return fmt.Errorf("%.40q: the code is not a number from 0 to 65535", key)
		}
		md.Reasons[uint16(n)] = value
	}
	return nil
}

// Reads reports whether the module reads a key of configuration, as far as it says.
func (md *Metadata) Reads(key string) bool {
	return len(md.Config) == 0 || slices.ContainsFunc(md.Config, func(known string) bool {
		prefix, open := strings.CutSuffix(known, "*")
		return key == known || open && strings.HasPrefix(key, prefix)
	})
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
