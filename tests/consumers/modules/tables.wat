;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; tables.wat - defines a table of functions and one of host references, and a
;; memory.
(module
  (type $get (func (result i32)))
  (memory 1)
  (table $functions (export "functions") 3 6 funcref)
  (table $hosts (export "hosts") 2 externref)
  (func $seven (result i32) (i32.const 7))
  (func $eight (result i32) (i32.const 8))
  (elem (table $functions) (i32.const 0) func $seven $eight)
  (elem declare func $eight)
  (func (export "call") (param i32) (result i32)
    (call_indirect $functions (type $get) (local.get 0)))
  (func (export "put") (param i32)
    (table.set $functions (local.get 0) (ref.func $eight)))
  (func (export "grow") (param i32) (result i32)
    (table.grow $functions (ref.func $eight) (local.get 0)))
  (func (export "size") (result i32)
    (table.size $functions))
  (func (export "get_host") (param i32) (result externref)
    (table.get $hosts (local.get 0)))
  (func (export "put_host") (param i32 externref)
    (table.set $hosts (local.get 0) (local.get 1)))
  (func (export "grow_host") (param i32 externref) (result i32)
    (table.grow $hosts (local.get 1) (local.get 0)))
  (func (export "size_host") (result i32)
    (table.size $hosts)))
