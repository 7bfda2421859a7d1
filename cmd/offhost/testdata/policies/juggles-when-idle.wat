;; Waits until nothing moves, then evicts everything but one component and prefetches
;; that one, by turns: when that is done, nothing moves.
(module
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
  ;; evicts all that is known but one component, and returns how many decisions that took
  (func $evict_all_but (param $but i32) (result i32)
    (local $c i32) (local $n i32)
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $c) (global.get $known)))
      (br_if $done (i32.eq (local.get $n) (i32.const 127)))
      (if (i32.ne (local.get $c) (local.get $but))
        (then
          (call $decide (local.get $n) (i32.const 1) (local.get $c) (i64.const 0))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))))
      (local.set $c (i32.add (local.get $c) (i32.const 1)))
      (br $next)))
    (local.get $n))
  (global $turn (mut i32) (i32.const 0)) ;; component
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $n i32)
    (call $learn)
    (if (i32.ne (i32.load16_u (i32.const 4096)) (i32.const 11)) (then (return (i32.const 0)))) ;; IDLE
    (global.set $turn (i32.add (global.get $turn) (i32.const 1)))
    (if (i32.ge_u (global.get $turn) (global.get $known)) (then (global.set $turn (i32.const 0))))
    (local.set $n (call $evict_all_but (global.get $turn)))
    (call $decide (local.get $n) (i32.const 3) (global.get $turn) (i64.const 0))
    (i32.add (local.get $n) (i32.const 1))))
