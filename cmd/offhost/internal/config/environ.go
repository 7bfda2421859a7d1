package config

import (
	"runtime"
	"slices"
	"strings"

	"github.com/offhost/offhost/cuda"
)

// standIn begins the variables of the stand-in CUDA driver.
const standIn = envPrefix + "EMU_"

// checkEnviron refuses a variable of ours that names no key: a misspelt setting
// would be ignored without a word.
func checkEnviron(environ []string) error {
	known := []string{envPrefix + strings.ToUpper(fileKey), cuda.LibraryVariable}
	for _, k := range keys {
		known = append(known, k.env())
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if runtime.GOOS == "windows" {
			name = strings.ToUpper(name)
		}
		if strings.HasPrefix(name, standIn) {
			continue // it refuses what it does not know itself
		}
		if strings.HasPrefix(name, envPrefix) && !slices.Contains(known, name) {
			return usagef("unknown environment variable %q%s", name, DidYouMean(name, known))
		}
	}
	return nil
}
