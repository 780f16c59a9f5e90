#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# unprivileged.sh - the programs live/isolation*, and conform/snapshot, as a user
# without rights.
#
# Root runs them as user and group 65534, without supplementary groups and
# without capabilities; they are copied where that user can get at them. Cases
# that change the host (swap, KSM, ...) skip themselves there; any other skip
# counts as a failure with FAULTLINE_TEST_REQUIRE=all.

# shellcheck source=tests/kit/functions.sh
. "$srcdir/tests/kit/functions.sh"
counts='^[0-9][0-9]* passed, [0-9][0-9]* failed, [0-9][0-9]* skipped$'
by_design='only root|ulimit -l|not built: '
n_passed=0 n_failed=0 n_skipped=0

test "$(id -u)" -eq 0 ||
	skipped "this user has no rights to give up: the programs ran without"
command -v setpriv >/dev/null || skipped "setpriv is missing: install util-linux"
make_tmp
mkdir "$tmp/live" || failed "no room in $tmp"
chmod 755 "$tmp" "$tmp/live"

run_program()
{
	(
		cd "$tmp" || exit 99
		unset FAULTLINE_TEST_REQUIRE
		exec setpriv --reuid 65534 --regid 65534 --clear-groups \
			--inh-caps=-all --bounding-set=-all "live/$1"
	) >"$tmp/log" 2>&1
}

for source in "$srcdir"/tests/live/isolation*.c \
		"$srcdir"/tests/conform/snapshot.c; do
	name=${source##*/}
	name=${name%.c}
	folder=${source%/*}
	folder=${folder##*/}
	echo "== $name"
	if ! cp "$FL_BUILDDIR/tests/$folder/$name" "$tmp/live/$name" ||
	   ! chmod 755 "$tmp/live/$name"; then
		n_failed=$((n_failed + 1))
		continue
	fi
	run_program "$name"
	status=$?
	cat "$tmp/log"
	line=$(tail -n 1 "$tmp/log" | grep "$counts")
	# shellcheck disable=SC2086 # six words are wanted
	set -- ${line:-0 passed, 1 failed, 0 skipped}
	n_passed=$((n_passed + $1))
	n_failed=$((n_failed + $3))
	n_skipped=$((n_skipped + $5))
	case $status in
	0 | 77) ;;
	*) test "$3" -gt 0 || n_failed=$((n_failed + 1)) ;;
	esac
	if test "${FAULTLINE_TEST_REQUIRE:-}" = all; then
		unmet=$(grep '^skip ' "$tmp/log" | grep -cvE "$by_design")
		n_failed=$((n_failed + unmet))
	fi
done

echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
test "$n_failed" -eq 0
