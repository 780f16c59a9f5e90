#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# summary.sh - sums up test logs: summary.sh LOG...
#
# run-test.sh ends each log with "N passed, N failed, N skipped"; this prints
# one such line over all, after the reasons of the skips. A log that is
# missing or has no such line is a failure. Exits 1 if anything failed.

set -u
counts='^[0-9][0-9]* passed, [0-9][0-9]* failed, [0-9][0-9]* skipped$'
n_passed=0 n_failed=0 n_skipped=0

for log; do
	line=$(grep "$counts" "$log" 2>/dev/null | tail -n 1)
	if test -z "$line"; then
		echo "summary: $log has no count of its cases"
		line="0 passed, 1 failed, 0 skipped"
	fi
	# shellcheck disable=SC2086 # six words are wanted
	set -- $line
	n_passed=$((n_passed + $1))
	n_failed=$((n_failed + $3))
	n_skipped=$((n_skipped + $5))
	test "$3" -eq 0 || echo "failed: $log"
done

echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
test "$n_failed" -eq 0 && test "$((n_passed + n_skipped))" -gt 0
