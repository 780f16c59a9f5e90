;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; tableimp.wat - imports a table of functions and puts one into it.
(module
  (type $get (func (result i32)))
  (import "env" "table" (table $functions 4 8 funcref))
  (func $nine (result i32) (i32.const 9))
  (elem (table $functions) (i32.const 1) func $nine)
  (func (export "call") (param i32) (result i32)
    (call_indirect $functions (type $get) (local.get 0)))
  (func (export "grow") (param i32) (result i32)
    (table.grow $functions (ref.func $nine) (local.get 0))))
