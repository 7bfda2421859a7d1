package policies

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/offhost/offhost/abi"
)

func TestModulesAreSmallAndImportNothing(t *testing.T) {
	const (
		mostBytes = 8 << 10
		mostPages = 8 // of 64 KiB
	)
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().
		WithCoreFeatures(api.CoreFeaturesV1).WithCustomSections(true))
	defer r.Close(ctx)
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			m, err := r.CompileModule(ctx, b.Wasm)
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Wasm) > mostBytes {
				t.Errorf("the module has %d bytes, want at most %d", len(b.Wasm), mostBytes)
			}
			if n := len(m.ImportedFunctions()) + len(m.ImportedMemories()); n != 0 {
				t.Errorf("%d imports, want none", n)
			}
			if pages := m.ExportedMemories()[abi.ExportMemory].Min(); pages > mostPages {
				t.Errorf("%d pages of memory, want at most %d", pages, mostPages)
			}
			signatures := map[string]string{}
			for name, f := range m.ExportedFunctions() {
				signatures[name] = signature(f)
			}
			want := map[string]string{abi.ExportBuffer: "(i32) -> (i32)", abi.ExportEvent: "(i32) -> (i32)"}
			if d := cmp.Diff(want, signatures); d != "" {
				t.Errorf("exports (-want +got):\n%s", d)
			}
			lines := about(m)
			if lines["name"] != b.Name || lines["version"] == "" || lines["reason.1"] == "" {
				t.Errorf("custom section %q says %v, want the name, a version and the reasons", abi.CustomSection, lines)
			}
		})
	}
}

func signature(f api.FunctionDefinition) string {
	list := func(types []api.ValueType) string {
		var names []string
		for _, v := range types {
			names = append(names, api.ValueTypeName(v))
		}
		return "(" + strings.Join(names, ", ") + ")"
	}
	return list(f.ParamTypes()) + " -> " + list(f.ResultTypes())
}

// about reads the lines of the custom section that describes a module.
func about(m wazero.CompiledModule) map[string]string {
	lines := map[string]string{}
	for _, s := range m.CustomSections() {
		if s.Name() != abi.CustomSection {
			continue
		}
		for line := range strings.Lines(string(s.Data())) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			lines[key] = value
		}
	}
	return lines
}

func TestGetFindsBuiltinsByNameOnly(t *testing.T) {
	for _, b := range List() {
		if got, ok := Get(b.Name); !ok || got.Name != b.Name || b.Summary == "" {
			t.Errorf("Get(%q) = %q, %v", b.Name, got.Name, ok)
		}
	}
	if b, ok := Get("no-such-policy"); ok {
		t.Errorf("Get of an unknown name found %q", b.Name)
	}
}

// The modules in the tree are what their sources say.
func TestSourcesBuildToTheSameBytes(t *testing.T) {
	compiler := "clang-19"
	if _, err := exec.LookPath(compiler); err != nil || runtime.GOOS == "windows" {
		if os.Getenv("REQUIRE_TOOLS") == "1" {
			t.Fatalf("%s is not installed and REQUIRE_TOOLS=1 requires it", compiler)
		}
		t.Skipf("needs %s and its lld to rebuild the modules", compiler)
	}
	dir := t.TempDir()
	if out, err := exec.Command("./build.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	for _, file := range []string{"stickyloop/sticky_loop.wasm", "lru/lru.wasm"} {
		kept, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		built, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(kept, built) {
			t.Errorf("%s differs from what its source builds to: run policies/build.sh", file)
		}
	}
}
