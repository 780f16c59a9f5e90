;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; twins.wast - valid modules, each the twin of one or more of the suite that
;; are not valid: the same in everything that the module reader reads. That the
;; reader accepts those is right, because it must accept these. See modules.mjs
;; for what is compared, and reader.c for the causes. A module here that is no
;; longer needed fails the test.

;; Faults in function bodies, about operands.

(module (func) (table 10 funcref) (table 10 externref))
(module (func) (table 10 funcref) (elem externref))
(module (func) (table 1 externref) (table 1 funcref))
(module (func) (table 1 funcref) (table 1 externref))
(module (func) (table 1 externref))
(module (func) (table 10 funcref))
(module (func) (table 10 funcref)
  (elem funcref (ref.func 0) (ref.func 0) (ref.func 0)))
(module (func) (table 10 funcref) (elem func 0 0 0))
(module (func) (table 1 externref) (elem funcref (ref.func 0)))
(module (func) (table 1 externref) (elem func 0))
(module (func) (table 1 funcref) (elem externref (ref.null extern)))
(module (func) (table funcref (elem 0)))
(module (func) (table funcref (elem 0)) (global (mut i32) (i32.const 0)))
(module (func) (table funcref (elem 0)) (memory 0))
(module (func) (table funcref (elem 0)) (memory 1))
(module (func) (table funcref (elem 0)) (memory i64 0))
(module (func) (memory 0) (global (mut i32) (i32.const 0)))
(module (func) (memory i64 0) (global (mut i32) (i32.const 0)))
(module (func) (memory 0) (memory 0) (memory 0) (memory 1))
(module (import "env" "table" (table 0 funcref)) (func))
(module (import "" "" (func)) (func) (elem declare func 0))
(module (func) (func) (elem declare func 1))
(module (func) (elem funcref))
(module (func) (elem externref))
(module (type (func)) (type (func (param i32))) (func) (tag (type 1)))
(module (func) (tag $e))

;; Faults in function bodies, about what they name or set.

(module (func) (global i32 (i32.const 0)))
(module (import "spectest" "global_i32" (global i32)) (func))
(module (import "spectest" "global_i32" (global i32)) (func)
  (global i32 (i32.const 0)))
(module (func) (global f32 (f32.const 0)))
(module (func (export "test")))
(module (func (export "testfn")))
(module (func) (func (export "test")) (elem funcref (ref.func 0)))
(module (func) (func (export "test")) (elem func 0))

;; Data count sections that bodies need, or refer to; in bytes, because text
;; does not say whether there is one.

(module binary "\00asm\01\00\00\00"
  "\01\04\01\60\00\00" "\03\02\01\00" "\05\03\01\00\00"
  "\0a\04\01\02\00\0b" "\0b\03\01\01\00")
(module binary "\00asm\01\00\00\00"
  "\01\04\01\60\00\00" "\03\02\01\00" "\0a\04\01\02\00\0b" "\0b\03\01\01\00")
(module binary "\00asm\01\00\00\00"
  "\01\04\01\60\00\00" "\03\02\01\00" "\07\08\01\04test\00\00" "\0c\01\00"
  "\0a\04\01\02\00\0b")
(module binary "\00asm\01\00\00\00"
  "\01\04\01\60\00\00" "\03\02\01\00" "\0c\01\01"
  "\0a\04\01\02\00\0b" "\0b\04\01\01\01a")

;; Faults in types, or types that are not there.

(module (type (func)) (type (func)) (import "test" "func" (func (type 1))))
(module
  (type (func)) (type (func)) (type (func)) (type (func)) (type (func))
  (type (func)) (type (func)) (type (func)) (type (func)) (type (func))
  (type (func)) (type (func)) (type (func)) (type (func)) (type (func))
  (type (func)) (type (func)) (type (func)) (type (func)) (type (func))
  (type (func)) (type (func)) (type (func)) (type (func)) (type (func))
  (type (func)) (type (func)) (type (func)) (type (func)) (type (func))
  (type (func)) (type (func)) (type (func)) (type (func)) (type (func))
  (type (func)) (type (func)) (type (func)) (type (func)) (type (func))
  (type (func)) (type (func)) (type (func)) (type (func))
  (import "spectest" "print_i32" (func (type 43))))
(module (import "" "" (tag)))

;; What 1.0 and 2.0 did not allow, and 3.0 does.

(module (memory i64 0) (memory i64 0))
(module (import "spectest" "memory" (memory 0)) (memory 0))
(module (import "spectest" "memory" (memory i64 0)) (memory i64 0))
(module (import "" "" (memory 1)) (import "" "" (memory 1)))
(module (import "" "" (memory 1)) (memory 0))
(module (import "" "" (table 10 funcref)) (import "" "" (table 10 funcref)))
(module (import "" "" (table 10 funcref)) (table 10 funcref))
(module (table 10 funcref) (table 10 funcref))
