;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; small.wat - defines a memory of one page that may grow to three.
(module
  (memory (export "memory") 1 3)
  (data (i32.const 8) "faultline")
  ;; ends where the memory ends
  (data (i32.const 65530) "limits")
  (func (export "peek") (param i32) (result i32)
    (i32.load8_u (local.get 0)))
  (func (export "poke") (param i32 i32)
    (i32.store8 (local.get 0) (local.get 1)))
  (func (export "far") (param i32) (result i32)
    (i32.load offset=0xffffffff (local.get 0)))
  (func (export "size") (result i32)
    (memory.size))
  (func (export "grow") (param i32) (result i32)
    (memory.grow (local.get 0)))
  ;; needs the host's stack; no compiler makes a loop of it
  (func $recurse (export "recurse") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.mul (i32.const 3)
        (i32.xor (local.get 0)
          (call $recurse (i32.sub (local.get 0) (i32.const 1))))))
      (else (i32.const 1)))))
