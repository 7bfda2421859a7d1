;; Does what the event's component says, each a way to go wrong or to work hard. It
;; answers with what it found where that is a number.
(module
  (memory (export "memory") 1)
  (global $window i32 (i32.const 4096))
  (global $answer (mut i32) (i32.const 0))
  (global $events (mut i32) (i32.const 0))
  (func (export "offhost_v1_buffer") (param $size i32) (result i32)
    (global.set $answer (i32.sub (i32.add (global.get $window) (local.get $size)) (i32.const 2048)))
    (global.get $window))

  (func $endless (loop (br 0)))
  (func $recurse (param i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func $even (param i32) (result i32) (call $odd (i32.add (local.get 0) (i32.const 1))))
  (func $odd (param i32) (result i32) (i32.add (call $even (local.get 0)) (i32.const 1)))
  (func $fib (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func $bomb (loop (drop (memory.grow (i32.const 16))) (br 0)))
  (func $fills (loop (memory.fill (i32.const 8192) (i32.const 0) (i32.const 57344)) (br 0)))
  (func $explode (unreachable))

  ;; one decision: evict $arg bytes of component 0
  (func $say (param $arg i64) (result i32)
    (i32.store16 (global.get $answer) (i32.const 1))
    (i32.store16 offset=2 (global.get $answer) (i32.const 0))
    (i32.store offset=4 (global.get $answer) (i32.const 0))
    (i64.store offset=8 (global.get $answer) (local.get $arg))
    (i32.const 1))

  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (global.set $events (i32.add (global.get $events) (i32.const 1)))
    (block $15 (block $14 (block $13 (block $12 (block $11 (block $10 (block $9 (block $8
    (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $14 $15
        (i32.load offset=4 (global.get $window))))
      (return (call $say (i64.extend_i32_u (global.get $events)))))  ;; 0: how many events came
      (call $endless) (return (i32.const 0)))                      ;; 1
      (return (call $recurse (i32.const 0))))                      ;; 2
      (return (call $even (i32.const 0))))                         ;; 3
      (return (call $fib (i32.const 60))))                         ;; 4
      (call $explode) (return (i32.const 0)))                      ;; 5
      (return (i32.const -7)))                                     ;; 6: gives up
      (return (i32.const 129)))                                    ;; 7: too many decisions
      (return (i32.const 0x7fffffff)))                             ;; 8
      (drop (memory.grow (i32.const 2)))                           ;; 9: the memory moves
      (return (call $say (i64.extend_i32_u (memory.size)))))
      (call $bomb) (return (i32.const 0)))                         ;; 10
      (return (i32.load (i32.const -1))))                          ;; 11: out of bounds
      (call $fills) (return (i32.const 0)))                        ;; 12
      (return (i32.div_u (i32.const 1) (i32.const 0))))            ;; 13
      (return (call $say (i64.extend_i32_s (memory.grow (i32.const 30000)))))) ;; 14: -1
    (return (call $say (i64.load (i32.add (global.get $window) (i32.const 128))))))) ;; 15: beyond the event
