;; Takes four pages of memory more at each event and writes to all of them, until it has
;; all that there is to get; then it goes on to ask.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (i32.shl (memory.size) (i32.const 16)))
    (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1))
      (then (return (i32.const 0))))
    (loop $touch
      (i32.store8 (local.get $at) (i32.const 1))
      (br_if $touch (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 4096)))
        (i32.shl (memory.size) (i32.const 16)))))
    (i32.const 0)))
