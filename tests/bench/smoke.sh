#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# smoke.sh - the benchmarks run, leave every memory as its image, and say so in
# JSON.
#
# Each program for one round with --verify, which compares all bytes after each
# block; no figure is looked at. Rows that are skipped here are listed. jq or
# python3 read the JSON if one is there.

. "$srcdir/tests/kit/functions.sh"
make_tmp
bench=$FL_BUILDDIR/tests/bench
test -x "$bench/bench_cycle" || failed "$bench/bench_cycle is not built"

check_json()
{
	if command -v jq >/dev/null; then
		jq -es 'length > 0 and all(.[]; .bench and .competitor and
			(.skipped or .failed or .median_us > 0 or
			 .alive_pss_kib > 0))' "$1" >/dev/null
	elif command -v python3 >/dev/null; then
		python3 -c 'import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line)
    row["bench"], row["competitor"]' "$1"
	else
		echo "  neither jq nor python3: the JSON was not read"
	fi || {
		cat "$1"
		failed "not one JSON object a line, or a row without figures"
	}
}

# cow-scan does as Wasmtime does and passes over swapped pages: where there is
# swap it may leave a wrong byte, and nothing else may.
only_cow_scan_failed()
{
	grep -q '"failed"' "$1" && test "$(wc -l </proc/swaps)" -gt 1 &&
		! grep '"failed"' "$1" | grep -qv '"competitor": "cow-scan'
}

# run NAME OPTION...
run()
{
	name=$1
	shift
	echo "bench_$name $*"
	"$bench/bench_$name" --rounds 1 --sets 1 --verify --json "$@" \
		>"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	cat "$tmp/err"
	check_json "$tmp/out"
	sed -n 's/.*"competitor": "\([^"]*\)".*"skipped": \(.*\)}$/  skipped \1: \2/p' \
		"$tmp/out" | sort -u
	test $status -eq 0 || only_cow_scan_failed "$tmp/out" || {
		grep '"failed"' "$tmp/out"
		failed "bench_$name ends with $status"
	}
	grep '"competitor": "faultline' "$tmp/out" |
		grep -qv -e '"skipped"' -e '"failed"' ||
		failed "bench_$name: Faultline has no row with figures"
}

run capture
run coldstart --mib 8 --folder "$tmp"
run cycle
run delta --sessions 50 --requests 500 --threads 2
run cycle --threads 2 --random-writes 8 --image-wpages 32
run cycle --grow 16 --image-wpages 4
run fault --wpages 64 --folder "$tmp"
run firsttouch --choice sequential --slot empty,used
run cycle --table 500 --table-writes 0,40 --image-wpages 4 \
	--structure 20000 --structure-writes 0,3
run cycle --threads 2 --table 1 --table-writes 1 --image-wpages 4
run cycle --structure 65536 --structure-writes 16 --grow 1 --image-wpages 4
run grow --touch 16
run density --instances 20
# As tests/bench/README says it; more than addresses allow names that limit.
run density --instances 1000 --image-wpages 4 --reads 4 --writes 2 \
	--only faultline,faultline-clone
"$bench/bench_density" --instances 100000 --only faultline --json \
	>"$tmp/out" 2>&1 && failed "100000 slots of 8 GiB fit"
grep -q 'cannot reserve.*lower max_memories' "$tmp/out" || {
	cat "$tmp/out"
	failed "bench_density does not name the limit"
}
run empty
run empty --modules 3 --structure 5000 --elements 0
grep -q '"of_loop"' "$tmp/out" || failed "bench_empty compares with no loop"
run empty --threads 1 --only faultline-stack

for program in capture coldstart cycle fault firsttouch grow density empty; do
	"$bench/bench_$program" --help >"$tmp/out" ||
		failed "bench_$program --help fails"
	grep -q '^usage: bench_' "$tmp/out" || failed "--help shows no usage"
	"$bench/bench_$program" --no-such-option 1 2>/dev/null
	test $? -eq 2 || failed "bench_$program takes an option it has not"
done
# A library against itself.
if test -x "$bench/bench_duel" && test -n "${FAULTLINE_SO-}"; then
	"$bench/bench_duel" --rounds 2 --turns 2 "$FAULTLINE_SO" \
		"$FAULTLINE_SO" >"$tmp/out" || failed "bench_duel fails"
	grep -q 'new by old [0-9.]* (' "$tmp/out" ||
		failed "bench_duel says nothing"
	"$bench/bench_duel" "$FAULTLINE_SO" 2>/dev/null
	test $? -eq 2 || failed "bench_duel takes one library"
fi
for args in "--table 4 --table-writes 5" \
	"--structure 4096 --structure-writes 17"; do
	"$bench/bench_cycle" $args >/dev/null 2>&1
	test $? -eq 2 || failed "bench_cycle writes more than there is: $args"
done
passed
