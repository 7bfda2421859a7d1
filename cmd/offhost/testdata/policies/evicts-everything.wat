;; Answers each event by evicting every component that it has heard of: lawful, and
;; as harmful as an answer can be.
(module
  (memory (export "memory") 2)
  (global $answer (mut i32) (i32.const 0))
  (global $known (mut i32) (i32.const 0)) ;; components

  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.add (local.get $size) (i32.const 2048))) ;; 4096 + size - 2048
    (i32.const 4096))

  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $n i32) (local $at i32)
    (if (i32.eq (i32.load16_u (i32.const 4096)) (i32.const 2)) ;; COMPONENT
      (then (global.set $known (i32.add (global.get $known) (i32.const 1)))))
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $n) (global.get $known)))
      (br_if $done (i32.eq (local.get $n) (i32.const 128)))
      (local.set $at (i32.add (global.get $answer) (i32.shl (local.get $n) (i32.const 4))))
      (i32.store (local.get $at) (i32.const 1)) ;; EVICT, reason 0
      (i32.store offset=4 (local.get $at) (local.get $n))
      (i64.store offset=8 (local.get $at) (i64.const 0)) ;; all of it
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $next)))
    (local.get $n)))
