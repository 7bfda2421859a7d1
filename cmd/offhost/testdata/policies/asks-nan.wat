;; Decides by the bits of numbers that are none, where processors differ: retains
;; component 0 for as many calls as the sign, the quiet bit and the payload of some say.
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
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $bits i64)
    (if (i32.le_u (i32.load16_u (i32.const 4096)) (i32.const 3))
      (then (return (i32.const 0)))) ;; CONFIG, COMPONENT, LOADED
    (local.set $bits (i64.xor
      (i64.reinterpret_f64 (f64.div (f64.convert_i32_u (i32.and (local.get $len) (i32.const 0))) (f64.const 0)))
      (i64.rotl (i64.reinterpret_f64 (f64.sqrt (f64.convert_i32_s (i32.sub (i32.const 0) (local.get $len))))) (i64.const 7))))
    (local.set $bits (i64.xor (local.get $bits) (i64.extend_i32_u
      (i32.reinterpret_f32 (f32.min (f32.demote_f64 (f64.const nan:0x8000000123456)) (f32.convert_i32_u (local.get $len)))))))
    (call $decide (i32.const 0) (i32.const 2) (i32.const 0) (i64.or (local.get $bits) (i64.const 1)))
    (i32.const 1)))
