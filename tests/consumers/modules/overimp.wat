;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; overimp.wat - imports a memory; its second segment ends one byte beyond it,
;; so that instantiation traps.
(module
  (import "env" "memory" (memory 1 3))
  (data (i32.const 8) "faultline")
  (data (i32.const 65530) "limits!"))
