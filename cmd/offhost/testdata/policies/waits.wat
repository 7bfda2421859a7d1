;; Waits for ever on each event: for an hour and on 64 clocks, and yields in
;; between.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (data (i32.const 0x10018) "\00\a0\b8\30\46\03\00\00") ;; the first: an hour, in nanoseconds
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (loop
      (drop (call $poll_oneoff (i32.const 0x10000) (i32.const 0x18000) (i32.const 64) (i32.const 0x500)))
      (drop (call $sched_yield))
      (br 0))
    (i32.const 0)))
