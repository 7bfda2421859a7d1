//go:build wasip1 || tinygo.wasm

package state

//go:wasmexport offhost_v1_save
func exportSave() int32 { return save() }

//go:wasmexport offhost_v1_restore
func exportRestore(n uint32) int32 { return restore(n) }
