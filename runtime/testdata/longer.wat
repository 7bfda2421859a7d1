;; Says how long the event is, and what its 8 bytes beyond version 1 are.
(module
  (memory (export "memory") 2)
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.sub (i32.add (global.get $window) (local.get $size)) (i32.const 2048)))
    (global.get $window))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.store16 (global.get $answer) (i32.const 2))
    (i32.store offset=4 (global.get $answer) (local.get $len))
    (i64.store offset=8 (global.get $answer) (i64.load offset=128 (global.get $window)))
    (i32.const 1)))
