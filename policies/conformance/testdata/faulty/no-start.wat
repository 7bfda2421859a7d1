;; Says that it is going to trap, and traps, before it lends a window: it is refused.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "no way in\n")
  (func (export "_initialize")
    (i32.store (i32.const 1100) (i32.const 1024))
    (i32.store (i32.const 1104) (i32.const 10))
    (drop (call $write (i32.const 2) (i32.const 1100) (i32.const 1) (i32.const 1108)))
    (unreachable))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32) (i32.const 4096))
  (func (export "offhost_v1_event") (param $len i32) (result i32) (i32.const 0)))
