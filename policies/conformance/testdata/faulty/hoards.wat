;; Spends about half of what it may have on each END of no request, and after two of them
;; never comes back from the hundredth call. Told fewer events in between, it has saved too
;; little for the second END.
(module
  (memory (export "memory") 2)
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
  (global $ends (mut i32) (i32.const 0))
  (global $calls (mut i32) (i32.const 0))
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
  (func $spend (param $turns i32)
    (loop $again
      (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
      (br_if $again (local.get $turns))))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.and (i32.eq (call $kind) (i32.const 9)) (i32.eqz (i32.load offset=28 (global.get $window)))) (then
      (call $spend (i32.const 196250))
      (global.set $ends (i32.add (global.get $ends) (i32.const 1)))))
    (if (i32.and (i32.eq (call $kind) (i32.const 7)) (i32.eq (global.get $ends) (i32.const 2))) (then
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (if (i32.eq (global.get $calls) (i32.const 100)) (then (call $spend (i32.const 0))))))
    (if (i32.eq (call $kind) (i32.const 7)) (then (return (call $decide (i32.const 2) (call $component) (i64.const 5)))))
    (i32.const 0)))
