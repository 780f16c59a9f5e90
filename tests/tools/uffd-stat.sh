#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# uffd-stat.sh - uffd-stat beside a program that cycles a pool: the counts are
# the program's own, each form is what its readers take, and a target that is
# killed, stopped or another's is said.

. "$srcdir/tests/kit/functions.sh"
make_tmp
stat=$FL_BUILDDIR/tools/uffd-stat
spin=$FL_BUILDDIR/tests/tools/cycle-pool
test -x "$stat" || failed "no uffd-stat"
# Not for want of something that a machine could have.
grep -q 'WITH_UFFD_TRUE"\]=""' "$FL_BUILDDIR/config.status" || {
	echo "skipped: this build publishes no statistics"
	echo "0 passed, 0 failed, 1 skipped"
	exit 77
}

"$spin" 1000 >"$tmp/spin" 2>&1 &
pid=$!
trap 'kill -9 $pid 2>/dev/null' EXIT
i=0
while ! grep -q cycled "$tmp/spin"; do
	i=$((i + 1))
	test "$i" -lt 400 || failed "the program does not cycle: $(cat "$tmp/spin")"
	sleep 0.1
done

"$stat" -p $pid >"$tmp/columns" || failed "exit status $?"
cat "$tmp/columns"
awk 'length($0) > 80 { exit 1 }' "$tmp/columns" || failed "wider than 80"
grep -q 'the-pool' "$tmp/columns" || failed "the pool's name is missing"
"$stat" -p $pid --json >"$tmp/json" || failed "--json: exit status $?"
# An independent count: the program's own.
grep -q '"memories_acquired":1000,' "$tmp/json" || failed "not 1000 acquired"
grep -q '"memories_released":1000,' "$tmp/json" || failed "not 1000 released"
grep -q '"resets":1000,' "$tmp/json" || failed "not 1000 resets"
if command -v node >/dev/null; then
	node -e 'JSON.parse(require("fs").readFileSync(0))' <"$tmp/json" ||
		failed "no JSON"
fi
test "$("$stat" -p $pid 0.05 3 | grep -c the-pool)" -eq 3 ||
	failed "not three intervals"
"$stat" -x -p $pid | grep -q RUNG || failed "-x has no rung"

"$stat" -p $pid --openmetrics >"$tmp/om" || failed "--openmetrics"
test "$(tail -n 1 "$tmp/om")" = '# EOF' || failed "OpenMetrics without an end"
if /usr/bin/python3 -c 'import prometheus_client' 2>/dev/null; then
	/usr/bin/python3 -c 'import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
assert len(list(text_string_to_metric_families(sys.stdin.read()))) > 40' \
		<"$tmp/om" || failed "no OpenMetrics"
fi
if command -v promtool >/dev/null; then
	"$stat" -p $pid --prometheus | promtool check metrics ||
		failed "promtool complains"
fi

"$stat" -p $pid --record "$tmp/rec" --json 0.05 2 >"$tmp/live" ||
	failed "--record"
"$stat" --replay "$tmp/rec" --json >"$tmp/again" || failed "--replay"
cmp -s "$tmp/live" "$tmp/again" || failed "a replay differs"
head -c 1000 "$tmp/rec" >"$tmp/cut"
"$stat" --replay "$tmp/cut" 2>/dev/null && failed "a cut recording is taken"

# No system call of a target's, so a stopped target changes nothing.
kill -STOP $pid
"$stat" -p $pid --json | grep -q '"memories_released":1000,' ||
	failed "a stopped target is not read"
kill -CONT $pid
kill -9 $pid
wait $pid 2>/dev/null
for form in '' --json --openmetrics; do
	# shellcheck disable=SC2086
	"$stat" -p $pid $form >"$tmp/out" 2>"$tmp/err"
	test $? -eq 1 || failed "no exit status 1 for a killed target"
	grep -qx "uffd-stat: no process $pid" "$tmp/err" ||
		failed "a killed target is there: $(cat "$tmp/err")"
	test ! -s "$tmp/out" || failed "a killed target has numbers"
done
# The others are looked at.
"$stat" -p $pid -p $$ >"$tmp/out" 2>"$tmp/err"
test $? -eq 1 || failed "no exit status 1 beside a killed target"
grep -q no.process "$tmp/err" || failed "a killed target is not said"
for bad in '-p 0' '-p x' '0' '1 2 3' '--record a --replay b' '--nothing'; do
	# shellcheck disable=SC2086
	"$stat" $bad >/dev/null 2>&1
	test $? -eq 64 || failed "no exit status 64 for $bad"
done
passed
