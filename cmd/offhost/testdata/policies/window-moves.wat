;; Lends a new window at each event, and writes its answer there: the host keeps to the
;; first, where nothing was written.
(module
  (memory (export "memory") 2)
  (global $answer (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.add (local.get $size) (i32.const 2048))) ;; 4096 + size - 2048
    (i32.const 4096))
  (global $moved (mut i32) (i32.const 0))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.le_u (i32.load16_u (i32.const 4096)) (i32.const 3))
      (then (return (i32.const 0)))) ;; CONFIG, COMPONENT, LOADED
    (global.set $moved (i32.add (i32.and (global.get $moved) (i32.const 0xfff)) (i32.const 0x10000)))
    (i32.store (i32.add (global.get $moved) (i32.const 2048)) (i32.const 2))
    (i64.store offset=8 (i32.add (global.get $moved) (i32.const 2048)) (i64.const 1))
    (i32.const 1)))
