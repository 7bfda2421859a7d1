;; Lends the last bytes of its memory, and answers each event with as many decisions as
;; there is room for: retains components by turns, one decision each.
(module
  (memory (export "memory") 2)
  (global $size (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $size (local.get $size))
    (i32.sub (i32.const 0x20000) (local.get $size)))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.le_u (i32.load16_u (i32.sub (i32.const 0x20000) (global.get $size))) (i32.const 3))
      (then (return (i32.const 0)))) ;; CONFIG, COMPONENT, LOADED
    (i64.store (i32.const 0x1fff8) (i64.const 1)) ;; the last decision's argument
    (i64.store (i32.const 0x1f800) (i64.const 2)) ;; the first one: RETAIN of component 0
    (i64.store (i32.const 0x1f808) (i64.const 1))
    (i32.const 1)))
