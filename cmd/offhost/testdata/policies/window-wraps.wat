;; Lends a window that ends behind the end of the address space.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 0xfffffff8))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.const 0)))
