;; Traps in the next way at each event: divides by zero, reads outside its memory, calls
;; what is not there, calls what has another type, converts what is no number.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (type $none (func))
  (type $one (func (result i32)))
  (table 2 funcref)
  (elem (i32.const 1) $some)
  (func $some (type $none))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 (i32.rem_u (i32.load offset=40 (i32.const 4096)) (i32.const 5)))) ;; by its number
      (return (i32.div_u (local.get $len) (i32.const 0))))
      (return (i32.load (i32.const 0xfffffffc))))
      (call_indirect (type $none) (i32.const 0)) (return (i32.const 0)))
      (return (call_indirect (type $one) (i32.const 1))))
    (i32.trunc_f64_s (f64.const nan))))
