;; Takes all the memory that it gets before it lends the window, and behaves from then
;; on.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (func $touch ;; a byte of each 4 KiB
    (local $at i32) (local $end i32)
    (local.set $end (i32.shl (memory.size) (i32.const 16)))
    (local.set $at (i32.const 65536))
    (loop $next
      (i32.store8 (local.get $at) (i32.const 1))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 4096)))
        (local.get $end)))))
  (func $start
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (call $touch))
  (start $start)
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.const 0)))
