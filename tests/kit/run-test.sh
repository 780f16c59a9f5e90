#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# run-test.sh - runs one test of "make check": run-test.sh PROGRAM [ARG...]
#
# - Under a time limit, FAULTLINE_TEST_TIMEOUT seconds (900): the typical bug
#   of this library is a wake-up that never comes. A case has a limit of its own,
#   which ends such a one earlier (test.c); this one is for scripts that run many
#   programs, on a host that other work shares.
# - With a random MALLOC_PERTURB_, printed, so that a read of freed or fresh
#   heap memory shows; set it to the printed value to see a failure again.
# - Fails the test if the kernel complained while it ran, where the kernel log
#   can be read. Tests that run side by side may both get the blame.
# - Sees to it that the log ends with "N passed, N failed, N skipped", which
#   summary.sh counts: a program that dies, hangs or says less than its exit
#   status does counts as one more failure.
#
# Exits like the test, but never with 0 when a case failed.

set -u
limit=${FAULTLINE_TEST_TIMEOUT:-900}
counts='^[0-9][0-9]* passed, [0-9][0-9]* failed, [0-9][0-9]* skipped$'
splats='BUG:|WARNING:|Oops|general protection fault|Call Trace|soft lockup'
splats="$splats|blocked for more than|rcu.*stall|KASAN|KCSAN|UBSAN"
# Names whom the kernel killed for memory, beside the trace that it wrote of that.
splats="$splats|[Oo]ut of memory: Killed"

if test -z "${MALLOC_PERTURB_+set}"; then
	MALLOC_PERTURB_=$(od -An -N1 -tu1 /dev/urandom | tr -d ' ')
	export MALLOC_PERTURB_
fi
echo "MALLOC_PERTURB_=$MALLOC_PERTURB_"

out=$(mktemp "${TMPDIR:-/tmp}/faultline-test.XXXXXX") || exit 99
trap 'rm -f "$out"' EXIT
trap 'exit 99' HUP INT TERM

last_kernel_line=$(dmesg 2>/dev/null | tail -n 1)

timeout -k 5 "$limit" "$@" >"$out" 2>&1
status=$?
# Windows ends lines otherwise.
case $1 in
*wine*) tr -d '\r' <"$out" >"$out.lines" && mv "$out.lines" "$out" ;;
esac
cat "$out"

why=
case $status in
0 | 77) ;;
124 | 137) why="no end within $limit seconds" ;;
*) why="exit status $status" ;;
esac

# Every line of the kernel log starts with its time, so the last one seen
# before the test marks the place; if it has scrolled away, all are new.
new_kernel_lines()
{
	dmesg 2>/dev/null | awk -v last="$last_kernel_line" '
		{ line[NR] = $0 }
		$0 == last { from = NR }
		END { for (i = from + 1; i <= NR; i++) print line[i] }'
}
if new_kernel_lines | grep -E "$splats"; then
	why="${why:+$why; }the kernel complained while the test ran"
fi

line=$(tail -n 1 "$out" | grep "$counts")
said=$line
if test -z "$line" && test $status -eq 77; then
	line="0 passed, 0 failed, 1 skipped"
elif test -z "$line"; then
	line="0 passed, 0 failed, 0 skipped"
	why="${why:-no count of its cases}"
fi
# shellcheck disable=SC2086 # the six words of the line are wanted one by one
set -- $line
n_passed=$1 n_failed=$3 n_skipped=$5
if test -n "$why"; then
	echo "run-test: $why"
	test "$n_failed" -gt 0 || n_failed=1
fi
line="$n_passed passed, $n_failed failed, $n_skipped skipped"
test "$line" = "$said" || echo "$line"
test "$n_failed" -eq 0 || exit 1
exit $status
