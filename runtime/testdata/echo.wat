;; Evicts from the component that an event names, as many bytes as it asks for,
;; with the length of the payload as the reason.
(module
  (memory (export "memory") 1)
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.sub (i32.add (global.get $window) (local.get $size)) (i32.const 2048)))
    (global.get $window))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.store16 (global.get $answer) (i32.const 1))
    (i32.store16 offset=2 (global.get $answer) (i32.load (i32.add (global.get $window) (i32.const 120))))
    (i32.store offset=4 (global.get $answer) (i32.load offset=4 (global.get $window)))
    (i64.store offset=8 (global.get $answer) (i64.load offset=112 (global.get $window)))
    (i32.const 1)))
