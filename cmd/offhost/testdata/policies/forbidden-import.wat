;; Wants to open files.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.const 0)))
