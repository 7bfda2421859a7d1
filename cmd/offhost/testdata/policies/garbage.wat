;; Is quiet while it is introduced (CONFIG, COMPONENT, LOADED), then answers each event
;; with the kind of garbage that its number calls for: more decisions than an answer holds,
;; an unknown operation, the same eviction twice, a component that does not exist, an
;; eviction and a prefetch of one component.
(module
  (memory (export "memory") 2)
  (global $answer (mut i32) (i32.const 0))

  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.add (local.get $size) (i32.const 2048))) ;; 4096 + size - 2048
    (i32.const 4096))

  (func $decide (param $n i32) (param $op i32) (param $component i32)
    (local $at i32)
    (local.set $at (i32.add (global.get $answer) (i32.shl (local.get $n) (i32.const 4))))
    (i32.store (local.get $at) (local.get $op)) ;; reason 0
    (i32.store offset=4 (local.get $at) (local.get $component))
    (i64.store offset=8 (local.get $at) (i64.const 0)))

  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.le_u (i32.load16_u (i32.const 4096)) (i32.const 3))
      (then (return (i32.const 0))))
    (block $conflict (block $nobody (block $twice (block $unknown (block $many
      (br_table $many $unknown $twice $nobody $conflict
        (i32.wrap_i64 (i64.rem_u (i64.load offset=40 (i32.const 4096)) (i64.const 5)))))
      (return (i32.const 129)))
      (call $decide (i32.const 0) (i32.const 9) (i32.const 0))
      (return (i32.const 1)))
      (call $decide (i32.const 0) (i32.const 1) (i32.const 0))
      (call $decide (i32.const 1) (i32.const 1) (i32.const 0))
      (return (i32.const 2)))
      (call $decide (i32.const 0) (i32.const 1) (i32.const 4000))
      (return (i32.const 1)))
    (call $decide (i32.const 0) (i32.const 1) (i32.const 1))
    (call $decide (i32.const 1) (i32.const 3) (i32.const 1))
    (i32.const 2)))
