;; Asks for megabytes of random numbers for ever, on each event.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func $start (drop (memory.grow (i32.const 254))))
  (start $start)
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (loop
      (drop (call $random_get (i32.const 0x10000) (i32.const 0xff0000)))
      (br 0))
    (i32.const 0)))
