;; Grows its memory for ever on each event, long after there is nothing left to get.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (loop (drop (memory.grow (i32.const 1))) (br 0))
    (i32.const 0)))
