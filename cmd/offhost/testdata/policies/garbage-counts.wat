;; Is quiet while it is introduced, then answers with the next impossible number of
;; decisions: one too many, as many as there are, as few as there are; and with all that
;; fit, unwritten.
(module
  (memory (export "memory") 2)
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (i32.const 4096))
  (global $turn (mut i32) (i32.const 3))
  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (if (i32.le_u (i32.load16_u (i32.const 4096)) (i32.const 3))
      (then (return (i32.const 0)))) ;; CONFIG, COMPONENT, LOADED
    (global.set $turn (i32.and (i32.add (global.get $turn) (i32.const 1)) (i32.const 3)))
    (block $zeros (block $fewest (block $most (block $many
      (br_table $many $most $fewest $zeros (global.get $turn)))
      (return (i32.const 129)))
      (return (i32.const 0x7fffffff)))
      (return (i32.const 0x80000000)))
    (i32.const 128)))
