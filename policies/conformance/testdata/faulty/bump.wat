;; Allocates for each event and never frees, as a bump allocator does, and traps once all of
;; its 16 MiB are taken. It initialises what it allocates, so that fuel is spent, too.
(module
  (memory (export "memory") 2)
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
  (global $top (mut i32) (i32.const 131072))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.sub (i32.add (global.get $window) (local.get $size)) (i32.const 2048)))
    (global.get $window))
  (func $kind (result i32) (i32.load16_u (global.get $window)))
  (func $component (result i32) (i32.load offset=4 (global.get $window)))
  (func $decide (param $op i32) (param $component i32) (param $argument i64) (result i32)
    (i32.store (global.get $answer) (local.get $op))
    (i32.store offset=4 (global.get $answer) (local.get $component))
    (i64.store offset=8 (global.get $answer) (local.get $argument))
    (i32.const 1))
  (func $allocate (param $size i32)
    (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16))) (then
      (if (i32.lt_s (memory.grow (i32.const 1)) (i32.const 0)) (then (unreachable)))))
    (loop $again
      (i32.store (local.get $at) (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $again (i32.lt_u (local.get $at) (global.get $top)))))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (call $allocate (i32.const 576))
    (if (i32.eq (call $kind) (i32.const 10)) (then
      ;; It walks through all that it has.
      (call $walk (i32.const 131072) (global.get $top))
      (return (call $decide (i32.const 2) (call $component) (i64.const 5)))))
    (i32.const 0))
  (func $walk (param $from i32) (param $to i32)
    (loop $again
      (local.set $from (i32.add (local.get $from) (i32.const 64)))
      (br_if $again (i32.lt_u (local.get $from) (local.get $to))))))
