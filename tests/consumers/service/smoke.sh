#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# smoke.sh - the service answers a few requests of each kind in each way, on
# each rung that this host has, and each answer is right. So do sessions that sleep
# between requests, as native replays have them.
#
# Run by "make check-service", because the guests' sources have to be fetched
# and take minutes to build. Without a network it skips. No figure is looked at.
# The last line has the number of cases on all rungs.

. "$srcdir/tests/kit/functions.sh"
service=tests/consumers/service
cd "$FL_BUILDDIR" || failed "no build directory"

for guest in quickjs sqlite; do
	sh "$srcdir/tests/consumers/guests/build.sh" fetch $guest \
		"$srcdir/tests/consumers/guests" \
		"tests/consumers/guests.d/$guest" ||
		skipped "the sources of $guest cannot be fetched"
done
$MAKE service-program tools/uffd-stat || failed "the service cannot be built"

"$service/service" --help >/dev/null || failed "--help fails"
"$service/service" --no-such-option 1 2>/dev/null
test $? -eq 2 || failed "the service takes an option that it has not"

# One object a line, with the keys that a reader looks for.
json=$("$service/service" --json --seconds 0 --sessions 400) || failed "--json fails"
for key in guest kind way workers requests_per_s p50_us p95_us p99_us faults \
		shootdowns idle_kib live_kib isolation_us bound_us \
		sessions held session_bytes memory_mib tables_mib compared; do
	echo "$json" | grep -q "\"$key\": " || failed "the JSON has no $key"
done
if command -v python3 >/dev/null; then
	echo "$json" | python3 -c 'import json, sys
for line in sys.stdin:
    json.loads(line)["bench"]' || failed "not one JSON object a line"
else
	echo "no python3: the JSON was not read"
fi

# What uffd-stat tells of the whole run is what strace saw of it.
if test -n "$FL_SANITIZER_FLAGS"; then
	echo "a sanitizer makes calls of its own: system calls were not counted"
elif command -v strace >/dev/null && command -v python3 >/dev/null; then
	python3 "$srcdir/tests/consumers/service/count_calls.py" \
		tools/uffd-stat held "$service/service" --guest quickjs \
		--kind greeting --seconds 0.05 --sessions 200 --hold
	case $? in
	0 | 77) ;;
	*) failed "system calls are not as strace counts them" ;;
	esac
else
	echo "no strace or python3: system calls were not counted"
fi

# First answers from cold files: every answer is compared, and a way that is not
# there says why.
out=$("$service/service" --cold --smoke) || {
	echo "$out"
	failed "the service does not start from a cold file"
}
echo "$out"
test "${FAULTLINE_TEST_REQUIRE:-}" != all ||
	! echo "$out" | grep -q ' skipped: ' ||
	failed "a way to start from a cold file is not there"
n=$(echo "$out" | sed -n '$s/^\([0-9]*\) passed, 0 failed, 0 skipped$/\1/p')
test -n "$n" || failed "the service does not count its cold starts"

# Each takes away what the rung before it needs.
for disabled in '' userfaultfd pagemap-scan linux; do
	echo "FAULTLINE_DISABLE=$disabled"
	out=$(FAULTLINE_DISABLE=$disabled "$service/service" --smoke) || {
		echo "$out"
		failed "the service fails with FAULTLINE_DISABLE=$disabled"
	}
	echo "$out"
	cases=$(echo "$out" | sed -n \
		'$s/^\([0-9]*\) passed, 0 failed, 0 skipped$/\1/p')
	for guest in QuickJS SQLite; do
		echo "$out" | grep -q "^$guest, .*, baked: .*answers are right" ||
			failed "$guest was not served by its baked module"
		echo "$out" | grep -q "^$guest, sessions, packed.*\(native\|built without\)" ||
			failed "no session of $guest slept in a store"
	done
	test -n "$cases" || failed "the service does not count its cases"
	n=$((n + cases))
done
echo "$n passed, 0 failed, 0 skipped"
