;; Writes lines to its log for ever on each event, with control characters that a
;; terminal would obey.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (data (i32.const 0x10000) "\1b]0;owned\07\1b[2J\0d level=ERROR msg=\22it was the host\22\0a\00\ff\e2\80\ae")
  (data (i32.const 0x400) "\00\00\01\00\00\10\00\00") ;; 4 KiB from 0x10000
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (loop
      (drop (call $fd_write (i32.const 1) (i32.const 0x400) (i32.const 1) (i32.const 0x500)))
      (br 0))
    (i32.const 0)))
