;; Lends a window and takes no events.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096)))
