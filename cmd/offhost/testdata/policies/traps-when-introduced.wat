;; Traps on the first thing that it is told, CONFIG.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.eq (i32.load16_u (i32.const 4096)) (i32.const 1)) (then (unreachable)))
    (i32.const 0)))
