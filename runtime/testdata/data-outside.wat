;; Data that do not lie inside the memory: no instance of it can begin.
(module
  (memory (export "memory") 1)
  (data (i32.const 65535) "ab")
  (func (export "offhost_v1_event") (param i32) (result i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param i32) (result i32) (i32.const 1024)))
