package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// reserved is the name under which the host tells a policy its own figures.
const reserved = "offhost"

// checkPair says whether the policy can be given key=value as a line.
func checkPair(key, value string) error {
	switch {
	case key == "":
		return fmt.Errorf("a key is empty")
	case !utf8.ValidString(key) || !utf8.ValidString(value):
		return fmt.Errorf("key %q: not valid UTF-8", key)
	case strings.Contains(key, "=") || strings.ContainsFunc(key, unicode.IsControl):
		return fmt.Errorf("key %q: want neither = nor control characters: a policy reads lines of key=value", key)
	case strings.ContainsAny(value, "\n\r\x00"):
		return fmt.Errorf("key %q: its value %q has a line break or NUL, want one line: a policy reads lines of key=value", key, value)
	case key == reserved || strings.HasPrefix(key, reserved+"."):
		return fmt.Errorf("key %q: keys under %q are the host's own", key, reserved+".")
	}
	return nil
}

// readPair reads one key=value of a flag or variable into out.
func readPair(s string, out map[string]string) error {
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("%q: want key=value", s)
	}
	if err := checkPair(key, value); err != nil {
		return err
	}
	out[key] = value
	return nil
}

// checkPairs says whether all pairs together fit where the policy reads them.
func checkPairs(pairs map[string]string) error {
	n := 0
	for k, v := range pairs {
		n += len(k) + len("=") + len(v) + len("\n")
	}
	if n > abi.MaxPayload {
		return fmt.Errorf("%d bytes in all, want at most %d (%v)", n, abi.MaxPayload, units.Bytes(abi.MaxPayload))
	}
	return nil
}
