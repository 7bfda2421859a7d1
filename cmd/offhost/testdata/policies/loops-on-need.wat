;; Behaves until it is asked a question, NEED (10), and loops for ever then.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.eq (i32.load16_u (i32.const 4096)) (i32.const 10))
      (then (loop (br 0))))
    (i32.const 0)))
