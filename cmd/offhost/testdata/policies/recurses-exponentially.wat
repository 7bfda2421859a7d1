;; Computes fib(60) on each event, never more than 60 calls deep.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func $fib (param $n i32) (result i32)
    (if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (local.get $n))))
    (i32.add
      (call $fib (i32.sub (local.get $n) (i32.const 1)))
      (call $fib (i32.sub (local.get $n) (i32.const 2)))))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.and (call $fib (i32.const 60)) (i32.const 0))))
