;; Saves a state of more bytes than it has memory, and traps if it is ever given one.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "offhost_v1_save") (result i32) (i32.const 0x7fffffff))
  (func (export "offhost_v1_restore") (param i32) (result i32) (unreachable))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.const 0)))
