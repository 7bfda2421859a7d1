;; Offers the first component itself when room is asked for it, and is refused each time for a
;; reason that is gone when the next one is called.
(module
  (memory (export "memory") 2)
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
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
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.and (i32.eq (call $kind) (i32.const 10)) (i32.eqz (call $component))) (then
      (return (call $decide (i32.const 1) (i32.const 0) (i64.const 0)))))
    (if (i32.eq (call $kind) (i32.const 7)) (then (return (call $decide (i32.const 2) (call $component) (i64.const 5)))))
    (i32.const 0)))
