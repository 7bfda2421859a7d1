;; Decides by the clock and by random numbers alone: which component it evicts and which
;; it prefetches once a call is done.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $answer (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.add (local.get $size) (i32.const 2048))) ;; 4096 + size - 2048
    (i32.const 4096))
  (func $decide (param $n i32) (param $op i32) (param $component i32) (param $argument i64)
    (local $at i32)
    (local.set $at (i32.add (global.get $answer) (i32.shl (local.get $n) (i32.const 4))))
    (i32.store (local.get $at) (local.get $op)) ;; reason 0
    (i32.store offset=4 (local.get $at) (local.get $component))
    (i64.store offset=8 (local.get $at) (local.get $argument)))
  (global $known (mut i32) (i32.const 0)) ;; components
  (func $learn ;; COMPONENT
    (if (i32.eq (i32.load16_u (i32.const 4096)) (i32.const 2))
      (then (global.set $known (i32.add (global.get $known) (i32.const 1))))))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $c i32) (local $d i32)
    (call $learn)
    (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 0x500)))
    (drop (call $random_get (i32.const 0x508) (i32.const 8)))
    (if (i32.ne (i32.load16_u (i32.const 4096)) (i32.const 8)) (then (return (i32.const 0)))) ;; DONE
    (local.set $c (i32.rem_u (i32.load (i32.const 0x508)) (global.get $known)))
    (local.set $d (i32.rem_u (i32.wrap_i64 (i64.div_u (i64.load (i32.const 0x500)) (i64.const 1000))) (global.get $known)))
    (call $decide (i32.const 0) (i32.const 1) (local.get $c) (i64.and (i64.load (i32.const 0x508)) (i64.const 0xffffffff)))
    (if (i32.eq (local.get $c) (local.get $d)) (then (return (i32.const 1))))
    (call $decide (i32.const 1) (i32.const 3) (local.get $d) (i64.const 0))
    (i32.const 2)))
