;; Grows its memory between writing the two halves of an answer, so that it may move
;; under the hands of the host: retains components 1 and 0. It does so as often as its
;; fuel lasts, at every eighth event.
(module
  (memory (export "memory") 2)
  (global $answer (mut i32) (i32.const 0))
  (global $events (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.add (local.get $size) (i32.const 2048))) ;; 4096 + size - 2048
    (i32.const 4096))
  (func $decide (param $n i32) (param $op i32) (param $component i32) (param $argument i64)
    (local $at i32)
    (local.set $at (i32.add (global.get $answer) (i32.shl (local.get $n) (i32.const 4))))
    (i32.store (local.get $at) (local.get $op)) ;; reason 0
    (i32.store offset=4 (local.get $at) (local.get $component))
    (i64.store offset=8 (local.get $at) (local.get $argument)))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.le_u (i32.load16_u (i32.const 4096)) (i32.const 3))
      (then (return (i32.const 0)))) ;; CONFIG, COMPONENT, LOADED
    (call $decide (i32.const 0) (i32.const 2) (i32.const 1) (i64.const 1))
    (global.set $events (i32.add (global.get $events) (i32.const 1)))
    (if (i32.eqz (i32.and (global.get $events) (i32.const 7)))
      (then (drop (memory.grow (i32.const 1)))))
    (call $decide (i32.const 1) (i32.const 2) (i32.const 0) (i64.const 1))
    (i32.const 2)))
