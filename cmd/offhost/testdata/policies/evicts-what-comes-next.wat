;; Learns which component is called after which, and when a call is done evicts what
;; comes next and nothing else: lawful, and as foolish as foresight gets.
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
  (global $last (mut i32) (i32.const 0)) ;; component
  ;; 0x8000: after each component, which one was called
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $c i32)
    (local.set $c (i32.load offset=4 (i32.const 4096)))
    (if (i32.eq (i32.load16_u (i32.const 4096)) (i32.const 7)) ;; CALL
      (then
        (i32.store offset=0x8000 (i32.shl (global.get $last) (i32.const 2)) (local.get $c))
        (global.set $last (local.get $c))))
    (if (i32.ne (i32.load16_u (i32.const 4096)) (i32.const 8)) (then (return (i32.const 0)))) ;; DONE
    (call $decide (i32.const 0) (i32.const 1)
      (i32.load offset=0x8000 (i32.shl (local.get $c) (i32.const 2))) (i64.const 0))
    (i32.const 1)))
