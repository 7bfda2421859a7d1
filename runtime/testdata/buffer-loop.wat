;; A policy that never lends its window.
(module
  (memory (export "memory") 1)
  (func (export "offhost_v1_event") (param i32) (result i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param i32) (result i32) (loop (br 0)) (unreachable)))
