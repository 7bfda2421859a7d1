;; Functions whose fuel is known instruction by instruction; meter_test.go has the
;; expected figures.
(module
  (type $pair (func (param i32) (result i32 i32)))
  (memory (export "memory") 1 4)
  (table $t 3 funcref)
  (elem (i32.const 0) $inc $dec)
  (global $g (mut i32) (i32.const 0))

  (func $inc (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $dec (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))

  (func (export "nothing"))
  (func (export "inc") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))

  ;; counts down; each round runs the 6 instructions of the loop
  (func (export "loop") (param i32) (result i32)
    (loop $l
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $l (local.get 0)))
    (local.get 0))

  ;; long arms: one only is paid for
  (func (export "long") (param i32)
    (if (local.get 0)
      (then
        nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop
        nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop
        nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop
        nop nop nop nop nop nop nop nop nop nop)
      (else
        nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop
        nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop
        nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop
        nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop)))

  ;; short arms are paid for together
  (func (export "if") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.const 7))
      (else (i32.add (i32.add (i32.const 1) (i32.const 2)) (i32.const 3)))))

  ;; and so is the rest after an early exit
  (func (export "early") (param i32) (result i32)
    (block $b
      (br_if $b (local.get 0))
      (global.set $g (i32.const 5))
      (return (i32.const 1)))
    (i32.const 2))

  (func (export "switch") (param i32) (result i32)
    (block $c (block $b (block $a
      (br_table $a $b $c (local.get 0)))
      (return (i32.const 10)))
      (return (i32.const 20)))
    (i32.const 30))

  (func (export "indirect") (param i32) (result i32)
    (call_indirect (param i32) (result i32) (i32.const 10) (local.get 0)))

  (func $pair (type $pair) (local.get 0) (i32.const 3))
  (func (export "multi") (param i32) (result i32)
    (call $pair (local.get 0))
    (block (type $swap) )
    (i32.sub))
  (type $swap (func (param i32 i32) (result i32 i32)))

  (func $fac (export "fac") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0))
      (then (i64.const 1))
      (else (i64.mul (local.get 0) (call $fac (i64.sub (local.get 0) (i64.const 1)))))))

  (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 100) (local.get 0)))
  (func (export "trap") (unreachable))
  (func (export "fill") (param i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 1) (local.get 0))
    (i32.load8_u (i32.const 63)))
  (func (export "grow") (param i32) (result i32)
    (drop (memory.grow (local.get 0)))
    (memory.size))
  (func (export "table") (param i32) (result i32)
    (drop (table.grow $t (ref.null func) (local.get 0)))
    (table.size $t))
  ;; what stands behind a branch is never run and never paid for
  (func (export "dead") (param i32) (result i32)
    (return (i32.const 1))
    (loop (br 0))
    (drop (call $inc))
    (block (result i32) (unreachable) (i32.add))
    (memory.fill))
  (func $forever (export "forever") (loop (br 0)))
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
      (else (i32.const 0))))
  (func (export "simd") (param i32) (result i32)
    (local v128)
    (local.set 1 (i8x16.add (i8x16.splat (local.get 0)) (v128.const i32x4 1 2 3 4)))
    (v128.store (i32.const 16) (v128.bitselect (local.get 1) (i64x2.extmul_low_i32x4_s (local.get 1) (local.get 1)) (v128.load32_splat (i32.const 16))))
    (i32.add (i16x8.extract_lane_u 2 (v128.load32_lane 1 (i32.const 16) (local.get 1)))
      (i32x4.all_true (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get 1) (local.get 1)))))
  (func (export "refs") (param i32) (result i32)
    (table.set $t (i32.const 2) (ref.func $inc))
    (i32.add (ref.is_null (table.get $t (local.get 0)))
      (call_indirect (param i32) (result i32) (i32.const 10) (i32.const 2))))
  (func (export "float") (param i32) (result i32)
    (i32.trunc_sat_f64_s (f64.sqrt (f64.div (f64.convert_i32_s (local.get 0)) (f64.const 3.5)))))
)
