;; Has room for 1,000 components, too, and runs dry at the 500th.
(module
  (memory (export "memory") 2)
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
  (global $n (mut i32) (i32.const 0))
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
    (if (i32.and (i32.eq (call $kind) (i32.const 2)) (i32.eq (call $component) (i32.const 500))) (then
      (global.set $n (i32.const 400000))
      (loop $again (global.set $n (i32.sub (global.get $n) (i32.const 1))) (br_if $again (global.get $n)))))
    (if (i32.and (i32.ge_u (call $component) (i32.const 1000)) (i32.lt_u (call $component) (i32.const 2000))) (then
      (if (i32.eq (call $kind) (i32.const 2)) (then (unreachable)))))
    (if (i32.eq (call $kind) (i32.const 7)) (then (return (call $decide (i32.const 2) (call $component) (i64.const 5)))))
    (i32.const 0)))
