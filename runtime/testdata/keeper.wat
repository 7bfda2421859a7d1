;; Counts events, answers with the count, and saves it in 8 bytes. What saving and
;; restoring do instead is said by the component of the last event.
(module
  (memory (export "memory") 3)
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
  (global $count (mut i64) (i64.const 0))
  (global $mode (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.sub (i32.add (global.get $window) (local.get $size)) (i32.const 2048)))
    (global.get $window))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (global.set $mode (i32.load offset=4 (global.get $window)))
    (i32.store16 (global.get $answer) (i32.const 1))
    (i64.store offset=8 (global.get $answer) (global.get $count))
    (i32.const 1))
  (func $misbehave (result i32)
    (block $4 (block $3 (block $2 (block $1
      (br_table $1 $2 $3 $4 (i32.sub (global.get $mode) (i32.const 1))))
      (return (i32.const -3)))      ;; 1: gives up
      (return (i32.const 65537)))   ;; 2: more than a blob may have
      (loop (br 0)))                ;; 3: never ends
    (unreachable))                  ;; 4: traps
  (func (export "offhost_v1_save") (result i32)
    (if (i32.eq (global.get $mode) (i32.const 5)) (then (return (i32.const 0))))      ;; 5: has nothing
    (if (i32.eq (global.get $mode) (i32.const 6)) (then (return (i32.const 65536))))  ;; 6: the largest blob
    (if (global.get $mode) (then (return (call $misbehave))))
    (i64.store offset=256 (global.get $window) (global.get $count))
    (i32.const 8))
  (func (export "offhost_v1_restore") (param $len i32) (result i32)
    (if (global.get $mode) (then (return (call $misbehave))))
    (if (i32.ne (local.get $len) (i32.const 8)) (then (return (i32.const 1))))
    (global.set $count (i64.load offset=256 (global.get $window)))
    (i32.const 0)))
