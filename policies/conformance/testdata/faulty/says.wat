;; Says that it is going to trap, at a NEED, and traps.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $window i32 (i32.const 4096))
  (data (i32.const 1024) "panic: no way out\n\tin \1b[31mred\n")
  (func (export "offhost_v1_buffer") (param $size i32) (result i32) (global.get $window))
  (func $say
    (i32.store (i32.const 1100) (i32.const 1024))
    (i32.store (i32.const 1104) (i32.const 31))
    (drop (call $write (i32.const 2) (i32.const 1100) (i32.const 1) (i32.const 1108))))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.eq (i32.load16_u (global.get $window)) (i32.const 10)) (then (call $say) (unreachable)))
    (i32.const 0)))
