;; Logs a line at each event and behaves otherwise.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (data (i32.const 0x10000) "\1b[31mI am told something\0a")
  (data (i32.const 0x400) "\00\00\01\00\19\00\00\00")
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (drop (call $fd_write (i32.const 2) (i32.const 0x400) (i32.const 1) (i32.const 0x500)))
    (i32.const 0)))
