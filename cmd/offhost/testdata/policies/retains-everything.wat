;; Wishes at each event that everything be kept for as long as a wish can last.
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
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $c i32)
    (call $learn)
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $c) (global.get $known)))
      (br_if $done (i32.eq (local.get $c) (i32.const 128)))
      (call $decide (local.get $c) (i32.const 2) (local.get $c) (i64.const 65536))
      (local.set $c (i32.add (local.get $c) (i32.const 1)))
      (br $next)))
    (local.get $c)))
