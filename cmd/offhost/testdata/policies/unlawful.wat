;; Answers what is well-formed and cannot be: to CALL and NEED the eviction or the
;; prefetch of the component that is asked for, to DONE a prefetch of everything, most of
;; which does not fit or is there, of one byte, and a wish to retain for no call at all.
(module
  (memory (export "memory") 2)
  (global $answer (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.add (local.get $size) (i32.const 2048))) ;; 4096 + size - 2048
    (i32.const 4096))
  (func $decide (param $n i32) (param $op i32) (param $component i32) (param $argument i64)
    (local $at i32)
    (local.set $at (i32.add (global.get $answer) (i32.shl (local.get $n) (i32.const 4))))
    (i32.store (local.get $at) (local.get $op)) ;; reason 0
    (i32.store offset=4 (local.get $at) (local.get $component))
    (i64.store offset=8 (local.get $at) (local.get $argument)))
  (global $known (mut i32) (i32.const 0)) ;; components
  (global $op (mut i32) (i32.const 1))    ;; EVICT and PREFETCH by turns

  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $kind i32) (local $c i32)
    (local.set $kind (i32.load16_u (i32.const 4096)))
    (if (i32.eq (local.get $kind) (i32.const 2)) ;; COMPONENT
      (then (global.set $known (i32.add (global.get $known) (i32.const 1)))))
    (if (i32.or (i32.eq (local.get $kind) (i32.const 7)) (i32.eq (local.get $kind) (i32.const 10)))
      (then ;; CALL, NEED
        (call $decide (i32.const 0) (global.get $op) (i32.load offset=4 (i32.const 4096)) (i64.const 0))
        (global.set $op (i32.sub (i32.const 4) (global.get $op)))
        (return (i32.const 1))))
    (if (i32.ne (local.get $kind) (i32.const 8)) (then (return (i32.const 0)))) ;; DONE
    (loop $next
      (call $decide (local.get $c) (i32.const 3) (local.get $c)
        (i64.extend_i32_u (i32.eqz (local.get $c)))) ;; of component 0 a byte, of others all
      (local.set $c (i32.add (local.get $c) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $c) (select (global.get $known) (i32.const 127)
        (i32.lt_u (global.get $known) (i32.const 127))))))
    (call $decide (local.get $c) (i32.const 2) (i32.const 0) (i64.const 0))
    (i32.add (local.get $c) (i32.const 1))))
