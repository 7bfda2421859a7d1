;; Lends memory in which it keeps its own data and trips over what the host writes there:
;; an index that it trusts is outside the memory then.
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\00\00\00\00\00\00\00\00") ;; an index
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 8))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (i32.store (i32.load offset=4 (i32.const 8)) (i32.const 7)) ;; the event's component
    (i32.and (i32.load (i32.const 8)) (i32.const 0))))
