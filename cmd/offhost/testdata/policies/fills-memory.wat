;; Fills and copies megabytes for ever with single instructions.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func $start (drop (memory.grow (i32.const 254))))
  (start $start)
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (loop
      (memory.fill (i32.const 0x10000) (local.get $len) (i32.const 0xff0000))
      (memory.copy (i32.const 0x20000) (i32.const 0x10000) (i32.const 0xfe0000))
      (br 0))
    (i32.const 0)))
