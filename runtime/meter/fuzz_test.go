package meter

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
)

// A module that the engine takes is metered or refused, and what comes out metered
// the engine takes too. What comes out never panics the engine.
func FuzzMeter(f *testing.F) {
	for _, pattern := range []string{"testdata/*.wasm", "../testdata/*.wasm"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			if wasm, err := os.ReadFile(name); err == nil && len(wasm) < 64<<10 {
				f.Add(wasm)
			}
		}
	}
	f.Add(function(opEnd))
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(64))
	f.Cleanup(func() { rt.Close(ctx) })
	f.Fuzz(func(t *testing.T, wasm []byte) {
		out, err := Meter(wasm, Options{StartFuel: 1 << 16, MemoryPages: 64})
		if err != nil {
			return
		}
		metered, meteredErr := rt.CompileModule(ctx, out)
		if meteredErr == nil {
			metered.Close(ctx)
			return
		}
		// Decode bounds what the engine allocates, so it is safe to ask.
		if plain, err := rt.CompileModule(ctx, wasm); err == nil {
			plain.Close(ctx)
			t.Errorf("the module is valid, metered it is not: %v", meteredErr)
		}
	})
}
