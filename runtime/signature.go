package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

var (
	i32    = []byte{meter.I32}
	toI32  = meter.FuncType{Results: i32}
	mapI32 = meter.FuncType{Params: i32, Results: i32}
)

// exports are the functions that the ABI knows.
var exports = []struct {
	name     string
	typ      meter.FuncType
	required bool
}{
	{abi.ExportBuffer, mapI32, true},
	{abi.ExportEvent, mapI32, true},
	{abi.ExportSave, toI32, false},
	{abi.ExportRestore, mapI32, false},
	{abi.ExportInit, meter.FuncType{}, false},
}

// checkExports says which of the ABI's exports the module has. The error names the
// first that is missing or of another signature, and the one that is wanted.
func checkExports(m *meter.Module) (found []string, err error) {
	byName := make(map[string]meter.Export, len(m.Exports))
	for _, e := range m.Exports {
		byName[e.Name] = e
	}
	if e, ok := byName[abi.ExportMemory]; !ok || e.Kind != meter.Memory {
		return nil, fmt.Errorf("%w: %s", ErrABI, wrong(e, ok, abi.ExportMemory, "a memory"))
	}
	found = append(found, abi.ExportMemory)
	for _, want := range exports {
		e, ok := byName[want.name]
		if !ok && !want.required {
			continue
		}
		if !ok || e.Kind != meter.Func || !e.Type.Equal(want.typ) {
			err := fmt.Errorf("%w: %s", ErrABI, wrong(e, ok, want.name, "a function "+want.typ.String()))
			if v := otherVersion(m.Exports); !ok && v != "" {
				err = fmt.Errorf("%w (it exports %q: this host speaks version %d only)", err, v, abi.Version)
			}
			return nil, err
		}
		found = append(found, want.name)
	}
	return found, nil
}

func wrong(e meter.Export, ok bool, name, want string) string {
	switch {
	case !ok:
		return fmt.Sprintf("%q is not exported, want %s", name, want)
	case e.Kind == meter.Func:
		return fmt.Sprintf("%q is a function %v, want %s", name, e.Type, want)
	}
	return fmt.Sprintf("%q is a %v, want %s", name, e.Kind, want)
}

// otherVersion finds an export that belongs to another version of the ABI.
func otherVersion(exports []meter.Export) string {
	for _, e := range exports {
		if strings.HasPrefix(e.Name, "offhost_v") && !strings.HasPrefix(e.Name, fmt.Sprintf("offhost_v%d_", abi.Version)) {
			return e.Name
		}
	}
	return ""
}

// checkImports says what the module imports. The error names the first import that
// is not allowed, or that is of another signature than its function has.
func checkImports(m *meter.Module) (found []string, err error) {
	for _, i := range m.Imports {
		name := i.Module + "." + i.Name
		f, ok := wasiFuncs[i.Name]
		if i.Module != wasiModule || !ok {
			return nil, fmt.Errorf("%w: %.80q; a policy may import nothing but %s of %s", ErrImport, name, strings.Join(wasiNames(), ", "), wasiModule)
		}
		if !i.Type.Equal(f.typ) {
			return nil, fmt.Errorf("%w: %q as %v, want %v", ErrImport, name, i.Type, f.typ)
		}
		if !slices.Contains(found, i.Name) {
			found = append(found, i.Name)
		}
	}
	return found, nil
}
