#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# run-guests.sh DIR - the modules that run.c and bench_run.c run in an
# interpreter, into DIR:
#
#	DIR/work.wasm	4 MiB of memory, 2 MiB of data, functions that use them
#	DIR/start.wasm	a memory, and a start function that reads its data
#
# Takes WAT2WASM.

set -eu
cd "$1"

# Every byte of 2 MiB from 1024 on, in two segments, as C compilers make them.
awk 'BEGIN {
	print "(module (memory (export \"memory\") 64 80)"
	for (i = 0; i < 2; i++) {
		printf "(data (i32.const %d) \"", 1024 + i * 1048576
		for (k = 0; k < 1048576; k++)
			printf "\\%02x", (i * 7 + k * 11) % 255 + 1
		print "\")"
	}
}' >work.wat
cat >>work.wat <<'END'
(global $seen (mut i32) (i32.const 0))
(func $answer (param i32) (i32.store (i32.const 16) (local.get 0)))
;; The sum of every 64th word from the given address to the end of the data.
(func (export "sum") (param $at i32) (local $sum i32)
  (loop $next
    (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))
                             (i32.load (local.get $at))))
    (local.set $at (i32.add (local.get $at) (i32.const 256)))
    (br_if $next (i32.lt_u (local.get $at) (i32.const 2097152))))
  (call $answer (local.get $sum)))
;; Writes one word in each of so many host pages, from 64 KiB on.
(func (export "touch") (param $count i32) (local $at i32)
  (local.set $at (i32.const 65536))
  (block $done (loop $next
    (br_if $done (i32.eqz (local.get $count)))
    (i32.store (local.get $at)
               (i32.add (i32.load (local.get $at)) (local.get $count)))
    (local.set $at (i32.add (local.get $at) (i32.const 4096)))
    (local.set $count (i32.sub (local.get $count) (i32.const 1)))
    (br $next)))
  (call $answer (i32.load (i32.sub (local.get $at) (i32.const 4096)))))
(func (export "grow") (param $pages i32)
  (call $answer (memory.grow (local.get $pages))))
(func (export "size") (param i32) (call $answer (memory.size)))
(func (export "load") (param $at i32)
  (call $answer (i32.load (local.get $at))))
(func (export "store") (param $at i32)
  (i32.store (local.get $at) (i32.const 0x5aa5))
  (call $answer (i32.load (local.get $at))))
(func (export "count") (param i32)
  (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
  (call $answer (global.get $seen))))
END
$WAT2WASM work.wat -o work.wasm

cat >start.wat <<'END'
(module (memory (export "memory") 1)
  (data (i32.const 100) "\2a\00\00\00")
  (func $start (i32.store (i32.const 16) (i32.load (i32.const 100))))
  (start $start)
  (func (export "size") (param i32)
    (i32.store (i32.const 20) (memory.size))))
END
$WAT2WASM start.wat -o start.wasm
