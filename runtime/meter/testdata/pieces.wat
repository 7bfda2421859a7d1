;; Loads from a memory that does not fit in a cache; pieces_test.go has the figures.
(module
  (memory (export "memory") 9 40)
  (func (export "load") (param i32) (result i32) (i32.load offset=8 (local.get 0)))
  (func (export "lane") (param i32) (result i32)
    (i32x4.extract_lane 1 (v128.load32_lane offset=8 1 (local.get 0) (v128.const i32x4 1 2 3 4))))
  (func (export "splat") (param i32) (result i32)
    (i32x4.extract_lane 1 (v128.load32_splat offset=8 (local.get 0))))
  (func (export "store") (param i32) (result i32)
    (i32.store offset=8 (local.get 0) (local.get 0))
    (i32.const 0))
  (func (export "copy") (param i32) (result i32)
    (memory.copy (i32.const 0) (local.get 0) (i32.const 8))
    (i32.const 0))
  ;; a piece after the other, for ever
  (func $walk (export "walk") (param i32) (result i32)
    (loop
      (drop (i32.load (local.get 0)))
      (local.set 0 (i32.and (i32.add (local.get 0) (i32.const 256)) (i32.const 0x7ffff)))
      (br 0))
    (i32.const 0)))
