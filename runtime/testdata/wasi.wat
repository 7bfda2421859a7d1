;; Calls the functions of WASI that may be imported: the event's component says
;; which. The answer is one decision whose argument is what the function gave, or
;; the error in the reason.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hello\1b[31m\nsecond line\n")
  (data (i32.const 200) "\64\00\00\00\17\00\00\00")         ;; one vector: 23 bytes at 100
  (data (i32.const 208) "\64\00\00\00\ff\ff\ff\ff")         ;; one that is out of bounds
  (data (i32.const 300) "\2a\00\00\00\00\00\00\00\00")      ;; a subscription to a clock, number 42
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
  (func (export "_initialize") (drop (call $random (i32.const 1000) (i32.const 8))))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.sub (i32.add (global.get $window) (local.get $size)) (i32.const 2048)))
    (global.get $window))
  (func $say (param $errno i32) (result i32)
    (i32.store16 (global.get $answer) (i32.const 1))
    (i32.store16 offset=2 (global.get $answer) (local.get $errno))
    (i32.store offset=4 (global.get $answer) (i32.const 0))
    (i64.store offset=8 (global.get $answer) (i64.load (i32.const 1000)))
    (i32.const 1))
  (func $flood (loop (drop (call $write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 1000))) (br 0)))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (block $11 (block $10 (block $9 (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 (i32.load offset=4 (global.get $window))))
      (return (call $say (call $clock (i32.const 0) (i64.const 1) (i32.const 1000)))))           ;; 0
      (return (call $say (call $random (i32.const 1000) (i32.const 8)))))                        ;; 1
      (return (call $say (call $write (i32.const 2) (i32.const 200) (i32.const 1) (i32.const 1000))))) ;; 2
      (return (call $say (call $write (i32.const 3) (i32.const 200) (i32.const 1) (i32.const 1000))))) ;; 3
      (return (call $say (i32.add (call $args_sizes (i32.const 1000) (i32.const 1004)) (call $args (i32.const 0) (i32.const 0)))))) ;; 4
      (return (call $say (i32.add (call $environ_sizes (i32.const 1000) (i32.const 1004)) (call $environ (i32.const 0) (i32.const 0)))))) ;; 5
      (return (call $say (call $yield))))                                                        ;; 6
      (return (call $say (call $poll (i32.const 300) (i32.const 1000) (i32.const 1) (i32.const 1100))))) ;; 7
      (call $exit (i32.const 3)) (unreachable))                                                  ;; 8
      (return (call $say (call $clock (i32.const 9) (i64.const 1) (i32.const 1000)))))           ;; 9: no such clock
      (return (call $say (call $random (i32.const 0) (i32.const 0x7fffffff)))))                  ;; 10: more than the fuel
    (call $flood) (unreachable)))                                                                ;; 11
