;; SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
;;
;; tableother.wat - as tables.wat, with the kinds of its tables exchanged.
(module
  (memory 1)
  (table (export "hosts") 3 6 externref)
  (table (export "functions") 2 funcref))
