;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; guest.wat - a guest whose memory, global and table change, for hosts that run
;; what wasm2c makes of the module.
(module
  (type $get (func (result i32)))
  (memory (export "memory") 1 3)
  (table $functions 4 funcref)
  (global $count (mut i32) (i32.const 5))
  (func $seven (result i32) (i32.const 7))
  (func $counted (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (global.get $count))
  (elem (table $functions) (i32.const 0) func $seven $counted)
  (data (i32.const 8) "faultline")
  (func (export "peek") (param i32) (result i32)
    (i32.load8_u (local.get 0)))
  (func (export "poke") (param i32 i32)
    (i32.store8 (local.get 0) (local.get 1)))
  (func (export "far") (param i32) (result i32)
    (i32.load offset=0xffffffff (local.get 0)))
  (func (export "grow") (param i32) (result i32)
    (memory.grow (local.get 0)))
  (func (export "swap")
    (table.set $functions (i32.const 0) (table.get $functions (i32.const 1))))
  (func (export "call") (param i32) (result i32)
    (call_indirect $functions (type $get) (local.get 0))))
