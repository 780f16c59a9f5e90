;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; twins-3.0.wast - more of twins.wast: what wabt 1.0.32 cannot convert.

;; Faults in function bodies.

(module (type (func)) (type (func)) (type (func))
  (func (type 2)) (global (ref 2) (ref.func 0)))

;; Types that are not there.

(module (type (func)) (type (func)) (global (ref null 1) (ref.null 1)))
(module (type (func)) (type (func)) (table 10 (ref null 1)))
(module (type (func)) (type (func)) (elem (ref 1)))

;; Limits of 32-bit memories are integers of 64 bits since 3.0, and may be as
;; long; 1.0 and 2.0 did not allow it.

(module binary "\00asm\01\00\00\00" "\05\08\01\00\82\80\80\80\80\00")
(module binary "\00asm\01\00\00\00" "\05\0a\01\01\82\00\82\80\80\80\80\00")
