;; Least recently used, sized, written by hand: no SDK, no compiler, no import. What the
;; host says and understands is in SPEC.md; offsets below are the window's.
(module
  (memory (export "memory") 4)

  ;; 1024    the window: the event at 0, its payload at 256, the answer in the last 2048 bytes
  ;; 69632   4096 components of 32 bytes:
  ;;          0 i64 resident bytes     8 i32 calls whose DONE is to come, of those that were told
  ;;         12 i32 the moment at which the host refused to evict it
  ;;         16 i32 older  20 i32 newer: neighbours in the list of recency, their addresses
  ;;         24 i16 flags  26 i8 whether it is in the list
  (global $window i32 (i32.const 1024))
  (global $size (mut i32) (i32.const 0))
  (global $answered (mut i32) (i32.const 0))
  (global $oldest (mut i32) (i32.const 0)) ;; ends of the list, 0 when it is empty
  (global $newest (mut i32) (i32.const 0))
  (global $chunk (mut i64) (i64.const 33554432))
  ;; A moment ends with every BEGIN, CALL, DONE and END.
  (global $moment (mut i32) (i32.const 1))

  ;; The line of the configuration that matters here.
  (data (i32.const 0) "offhost.chunk_bytes=")

  (func (export "offhost_v1_buffer") (param $bytes i32) (result i32)
    (if (i32.or (i32.lt_u (local.get $bytes) (i32.const 4096))
                (i32.gt_u (local.get $bytes) (i32.const 67840)))
      (then (return (i32.const 0))))
    (global.set $size (local.get $bytes))
    (global.get $window))

  (func $component (param $id i32) (result i32)
    (i32.add (i32.const 69632) (i32.shl (local.get $id) (i32.const 5))))

  (func $unlist (param $c i32)
    (local $older i32) (local $newer i32)
    (if (i32.eqz (i32.load8_u offset=26 (local.get $c))) (then (return)))
    (local.set $older (i32.load offset=16 (local.get $c)))
    (local.set $newer (i32.load offset=20 (local.get $c)))
    (if (local.get $older)
      (then (i32.store offset=20 (local.get $older) (local.get $newer)))
      (else (global.set $oldest (local.get $newer))))
    (if (local.get $newer)
      (then (i32.store offset=16 (local.get $newer) (local.get $older)))
      (else (global.set $newest (local.get $older))))
    (i32.store8 offset=26 (local.get $c) (i32.const 0)))

  ;; Makes a component the most recent one.
  (func $touch (param $c i32)
    (if (i32.eq (global.get $newest) (local.get $c)) (then (return)))
    (call $unlist (local.get $c))
    (i32.store offset=16 (local.get $c) (global.get $newest))
    (i32.store offset=20 (local.get $c) (i32.const 0))
    (i32.store8 offset=26 (local.get $c) (i32.const 1))
    (if (global.get $newest)
      (then (i32.store offset=20 (global.get $newest) (local.get $c)))
      (else (global.set $oldest (local.get $c))))
    (global.set $newest (local.get $c)))

  ;; Reads the chunk size from the configuration.
  (func $configure
    (local $at i32) (local $end i32) (local $k i32) (local $digit i32) (local $value i64)
    (local.set $at (i32.add (global.get $window) (i32.const 256)))
    (local.set $end (i32.add (local.get $at) (call $payload_len)))
    (block $done
      (loop $line
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $k (i32.const 0))
        (block $differs
          (loop $match
            (if (i32.eq (local.get $k) (i32.const 20))
              (then
                (local.set $value (i64.const 0))
                (block $end_of_number
                  (loop $digits
                    (br_if $end_of_number (i32.ge_u (i32.add (local.get $at) (local.get $k)) (local.get $end)))
                    (local.set $digit
                      (i32.sub (i32.load8_u (i32.add (local.get $at) (local.get $k))) (i32.const 48)))
                    (br_if $end_of_number (i32.gt_u (local.get $digit) (i32.const 9)))
                    (local.set $value (i64.add (i64.mul (local.get $value) (i64.const 10))
                                               (i64.extend_i32_u (local.get $digit))))
                    (local.set $k (i32.add (local.get $k) (i32.const 1)))
                    (br $digits)))
                (if (i64.ne (local.get $value) (i64.const 0))
                  (then (global.set $chunk (local.get $value))))
                (return)))
            (br_if $differs (i32.ge_u (i32.add (local.get $at) (local.get $k)) (local.get $end)))
            (br_if $differs (i32.ne (i32.load8_u (local.get $k))
                                    (i32.load8_u (i32.add (local.get $at) (local.get $k)))))
            (local.set $k (i32.add (local.get $k) (i32.const 1)))
            (br $match)))
        (loop $rest
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $line (i32.eq (i32.load8_u (i32.sub (local.get $at) (i32.const 1))) (i32.const 10)))
          (br_if $rest (i32.lt_u (local.get $at) (local.get $end)))))))

  (func $payload_len (result i32)
    (local $told i32) (local $room i32)
    (local.set $told (i32.load offset=120 (global.get $window)))
    (local.set $room (i32.sub (global.get $size) (i32.const 2304)))
    (select (local.get $told) (local.get $room) (i32.lt_u (local.get $told) (local.get $room))))

  ;; Whether a component has resident bytes that the host would let go now.
  (func $evictable (param $c i32) (result i32)
    (if (i64.eqz (i64.load (local.get $c))) (then (return (i32.const 0))))
    (if (i32.eq (i32.load offset=12 (local.get $c)) (global.get $moment)) (then (return (i32.const 0))))
    (if (i32.and (i32.load16_u offset=24 (local.get $c)) (i32.const 0x26)) ;; PINNED, IN_USE, KEPT
      (then (return (i32.const 0))))
    ;; IN_USE is of calls from before this policy began, the count of those that began since.
    (i32.eqz (i32.load offset=8 (local.get $c))))

  ;; Writes an eviction of so many bytes in whole chunks, and returns what it frees.
  (func $evict (param $c i32) (param $bytes i64) (result i64)
    (local $d i32) (local $resident i64) (local $freed i64)
    (local.set $resident (i64.load (local.get $c)))
    (local.set $freed (local.get $resident))
    (if (i64.lt_u (local.get $bytes) (local.get $resident))
      (then (local.set $freed
        (i64.sub (local.get $resident)
          (i64.mul (i64.div_u (i64.sub (local.get $resident) (local.get $bytes)) (global.get $chunk))
                   (global.get $chunk))))))
    (local.set $d (i32.add
      (i32.add (global.get $window) (i32.sub (global.get $size) (i32.const 2048)))
      (i32.shl (global.get $answered) (i32.const 4))))
    (global.set $answered (i32.add (global.get $answered) (i32.const 1)))
    (i32.store (local.get $d) (i32.const 0x10001)) ;; EVICT, reason 1
    (i32.store offset=4 (local.get $d)
      (i32.shr_u (i32.sub (local.get $c) (i32.const 69632)) (i32.const 5)))
    (i64.store offset=8 (local.get $d) ;; 0: all of it
      (select (i64.const 0) (local.get $freed) (i64.eq (local.get $freed) (local.get $resident))))
    (local.get $freed))

  ;; NEED: from the oldest on, until it is enough.
  (func $need
    (local $c i32) (local $asking i32) (local $missing i64) (local $freed i64)
    (local.set $asking (i32.load offset=4 (global.get $window)))
    (local.set $missing (i64.load offset=112 (global.get $window)))
    (local.set $c (global.get $oldest))
    (loop $next
      (if (i32.eqz (local.get $c)) (then (return)))
      (if (i64.eqz (local.get $missing)) (then (return)))
      (if (i32.eq (global.get $answered) (i32.const 128)) (then (return)))
      (if (i32.ne (local.get $c) (call $component (local.get $asking)))
        (then (if (call $evictable (local.get $c))
          (then
            (local.set $freed (call $evict (local.get $c) (local.get $missing)))
            (local.set $missing (select (i64.const 0) (i64.sub (local.get $missing) (local.get $freed))
              (i64.ge_u (local.get $freed) (local.get $missing))))))))
      (local.set $c (i32.load offset=20 (local.get $c)))
      (br $next)))

  (func $next_moment (global.set $moment (i32.add (global.get $moment) (i32.const 1))))

  (func $set_resident (param $c i32)
    (i64.store (local.get $c) (i64.load offset=64 (global.get $window)))
    (if (i32.and (i64.ne (i64.load (local.get $c)) (i64.const 0))
                 (i32.eqz (i32.load8_u offset=26 (local.get $c))))
      (then (call $touch (local.get $c)))))

  (func (export "offhost_v1_event") (param $len i32) (result i32)
    (local $kind i32) (local $id i32) (local $c i32) (local $flags i32)
    (global.set $answered (i32.const 0))
    (if (i32.lt_u (local.get $len) (i32.const 128)) (then (return (i32.const 0))))
    (local.set $kind (i32.load16_u (global.get $window)))
    (local.set $flags (i32.load16_u offset=2 (global.get $window)))
    (local.set $id (i32.load offset=4 (global.get $window)))

    (if (i32.eq (local.get $kind) (i32.const 1)) ;; CONFIG
      (then (call $configure) (return (i32.const 0))))
    (if (i32.eq (local.get $kind) (i32.const 13)) ;; REJECTED: the decision is the payload
      (then
        (local.set $id (i32.load offset=260 (global.get $window)))
        (if (i32.and (i32.ge_u (call $payload_len) (i32.const 24))
                     (i32.lt_u (local.get $id) (i32.const 4096)))
          (then (i32.store offset=12 (call $component (local.get $id)) (global.get $moment))))
        (return (i32.const 0))))
    (if (i32.or (i32.eq (local.get $kind) (i32.const 6)) (i32.eq (local.get $kind) (i32.const 9))) ;; BEGIN, END
      (then (call $next_moment) (return (i32.const 0))))

    (if (i32.ge_u (local.get $id) (i32.const 4096))
      (then ;; NEED may be about none
        (if (i32.eq (local.get $kind) (i32.const 10)) (then (call $need)))
        (return (global.get $answered))))
    (local.set $c (call $component (local.get $id)))

    (block $other
      (block $need
        (block $done
          (block $call
            (block $moved
              (block $registered
                (br_table $other $other $registered $moved $moved $other $other $call $done $other $need $other
                  (local.get $kind)))
              ;; COMPONENT
              (i32.store16 offset=24 (local.get $c) (local.get $flags))
              (if (i32.and (local.get $flags) (i32.const 0x80)) ;; REMOVED
                (then
                  (i64.store (local.get $c) (i64.const 0))
                  (call $unlist (local.get $c))
                  (i32.store offset=8 (local.get $c) (i32.const 0))))
              (return (i32.const 0)))
            ;; LOADED, EVICTED
            (i32.store16 offset=24 (local.get $c) (local.get $flags))
            (call $set_resident (local.get $c))
            (return (i32.const 0)))
          ;; CALL
          (i32.store16 offset=24 (local.get $c) (local.get $flags))
          (call $next_moment)
          (i32.store offset=8 (local.get $c) (i32.add (i32.load offset=8 (local.get $c)) (i32.const 1)))
          (call $touch (local.get $c))
          (return (i32.const 0)))
        ;; DONE
        (i32.store16 offset=24 (local.get $c) (local.get $flags))
        (call $next_moment)
        (if (i32.load offset=8 (local.get $c))
          (then (i32.store offset=8 (local.get $c) (i32.sub (i32.load offset=8 (local.get $c)) (i32.const 1)))))
        (call $touch (local.get $c))
        (return (i32.const 0)))
      ;; NEED
      (i32.store16 offset=24 (local.get $c) (local.get $flags))
      (call $need)
      (return (global.get $answered)))
    (i32.const 0)))
