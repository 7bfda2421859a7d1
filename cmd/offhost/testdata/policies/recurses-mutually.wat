;; Two functions call each other for ever, one of them through the table.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (type $step (func (param i32) (result i32)))
  (table 1 funcref)
  (elem (i32.const 0) $tick)
  (func $tick (type $step) (i32.add (call $tock (local.get 0)) (i32.const 1)))
  (func $tock (type $step)
    (i32.add (call_indirect (type $step) (local.get 0) (i32.const 0)) (i32.const 1)))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (call $tick (i32.const 0))))
