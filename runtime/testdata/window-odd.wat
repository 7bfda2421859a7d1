;; A window at an odd address.
(module
  (memory (export "memory") 1)
  (func (export "offhost_v1_event") (param i32) (result i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param i32) (result i32) (i32.const 1028)))
