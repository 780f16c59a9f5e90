;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; compact-imports.wast - imports in groups, of which the suite has none yet.

;; Each item with a type.

(module
  (import "m" (item "f" (func)) (item "g" (global i32)) (item "m" (memory 1 2))
    (item "t" (table 3 funcref)) (item "e" (tag)))
  (memory 1)
  (table 4 funcref)
  (global i32 (global.get 0))
  (data (i32.const 0) "imported")
  (data (memory 1) (i32.const 0) "defined")
  (elem (table 0) (i32.const 0) func 0)
  (elem (table 1) (global.get 0) func 0)
  (export "f" (func 0))
  (export "m" (memory 1))
  (export "e" (tag 0)))

;; One type for all items.

(module
  (import "m" (item "a") (item "b") (memory 1))
  (data (memory 1) (i32.const 0) "x"))
(module
  (import "m" (item "a") (item "b") (global i32))
  (memory 1)
  (data (global.get 1) "x"))
(module
  (import "m" (item "a") (item "b") (item "c") (func))
  (import "n" "d" (func))
  (import "n" (item "e" (func)))
  (func)
  (start 2)
  (export "d" (func 3))
  (export "last" (func 5)))

(assert_invalid
  (module
    (import "m" (item "a") (item "b") (global i32))
    (global i32 (global.get 2)))
  "unknown global")
(assert_invalid
  (module
    (import "m" (item "a" (global (mut i32))) (item "b" (global i32)))
    (global i32 (global.get 0)))
  "constant expression required")
(assert_invalid
  (module (import "m" (item "a") (item "b") (memory 2 1)))
  "size minimum must not be greater than maximum")
(assert_invalid
  (module (import "m" (item "a") (item "b") (func)) (start 2))
  "unknown function")
(assert_invalid
  (module (import "m" (item "a" (memory 1))) (data (memory 1) (i32.const 0) ""))
  "unknown memory")

(assert_malformed
  (module binary "\00asm\01\00\00\00" "\02\0a\01\01m\00\7f\02\01a\00\00")
  "unexpected end")
(assert_malformed
  (module binary "\00asm\01\00\00\00" "\02\0a\01\01m\00\7e\00\00\02\01a")
  "unexpected end")
(assert_malformed
  (module binary "\00asm\01\00\00\00" "\02\07\01\01m\00\7e\7e\00")
  "malformed import kind")
