;; Traps in its start function.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func $start (unreachable))
  (start $start)
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.const 0)))
