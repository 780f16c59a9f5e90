#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# build.sh DIR - wasm3, out of the crate wasm3-sys 0.3.0, and the guests that run
# in it, into DIR:
#
#	DIR/wasm3	wasm3's C source
#	DIR/wasm3.a	wasm3, an object for each file, as its own build has it
#	DIR/unity.o	wasm3 in one object, where no call of it can be wrapped
#
# and the modules of run-guests.sh. Takes CC, AR and WAT2WASM, and the folder of
# this script for fetch.sh.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"

sh "$here/../guests/fetch.sh" wasm3 .

# The first one has the text of wasm3's errors.
files='core bind code compile emit env exec info module parse'
for file in $files; do
	# Each call of the guest is a tail call, which only -O2 and more make.
	$CC -O2 -w -Dd_m3LogOutput=0 -c -o "m3_$file.o" "wasm3/m3_$file.c"
done
rm -f wasm3.a
# shellcheck disable=SC2046 # one word for each file
$AR crs wasm3.a $(for file in $files; do echo "m3_$file.o"; done)
for file in $files; do
	echo "#include \"wasm3/m3_$file.c\""
done | $CC -O2 -w -Dd_m3LogOutput=0 -I. -x c -c -o unity.o -

sh "$here/../run-guests.sh" .
