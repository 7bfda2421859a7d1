;; Learns what a request calls only once, and wishes from then on that this be kept when
;; it is over, for as long as a wish can last: the loop is to pay for it. It answers no
;; question, so that it is the host who evicts, and honours the wish.
(module
  (memory (export "memory") 2)
  (global $answer (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.add (local.get $size) (i32.const 2048))) ;; 4096 + size - 2048
    (i32.const 4096))
  ;; 0x8000: how often each component was called in this request; 0xc000: in the last one
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $kind i32) (local $slot i32)
    (local.set $kind (i32.load16_u (i32.const 4096)))
    (if (i32.eq (local.get $kind) (i32.const 9)) ;; END
      (then
        (memory.copy (i32.const 0xc000) (i32.const 0x8000) (i32.const 0x4000))
        (memory.fill (i32.const 0x8000) (i32.const 0) (i32.const 0x4000))
        (return (i32.const 0))))
    (if (i32.ne (local.get $kind) (i32.const 8)) (then (return (i32.const 0)))) ;; DONE
    (local.set $slot (i32.shl (i32.load offset=4 (i32.const 4096)) (i32.const 2)))
    (i32.store offset=0x8000 (local.get $slot)
      (i32.add (i32.load offset=0x8000 (local.get $slot)) (i32.const 1)))
    (if (i32.ne (i32.load offset=0xc000 (local.get $slot)) (i32.const 1))
      (then (return (i32.const 0))))
    (i32.store (global.get $answer) (i32.const 2)) ;; RETAIN, reason 0
    (i32.store offset=4 (global.get $answer) (i32.load offset=4 (i32.const 4096)))
    (i64.store offset=8 (global.get $answer) (i64.const 65536))
    (i32.const 1)))
