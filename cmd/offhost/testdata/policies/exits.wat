;; Ends the process that it thinks it is in, when it is first asked a question.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.eq (i32.load16_u (i32.const 4096)) (i32.const 10)) ;; NEED
      (then (call $proc_exit (i32.const 0))))
    (i32.const 0)))
