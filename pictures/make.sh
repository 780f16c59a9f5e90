#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# make.sh - draws the pictures of README.md anew.
#
#	pictures/make.sh BUILD FILE
#
# BUILD is a build directory in which "make check" has built its programs, FILE a
# module, an image file or a snapshot whose page map is drawn. Needs python3.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?the build directory}" && pwd)
file=${2:?a module, an image file or a snapshot}
targets=
trap 'kill $targets 2>/dev/null' EXIT

cycle()
{
	"$build/tests/tools/cycle-pool" 2000 1 "$1" "$2" >/dev/null &
	targets="$targets $!"
}
cycle 200 checkout
cycle 1000 search
cycle 5000 thumbnails
cycle 20000 reports
sleep 2
pids=$(for pid in $targets; do printf ' -p %s' "$pid"; done)
# shellcheck disable=SC2086 # words
python3 "$here/screen.py" 24 92 8 "$(printf '\r')" \
	"$build/tools/uffd-stat" --top $pids 1 >"$here/uffd-stat-top.svg.new"
mv "$here/uffd-stat-top.svg.new" "$here/uffd-stat-top.svg"
{
	echo '<!-- SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception -->'
	cd "$(dirname "$file")"
	"$build/tools/wasm-image" show --svg "$(basename "$file")"
} >"$here/page-map.svg"
