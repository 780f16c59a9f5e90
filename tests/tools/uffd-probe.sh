#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# uffd-probe.sh - tools/uffd-probe, from outside.
#
# Its three outputs agree with each other and with its exit status; every row of
# features.def appears; each feature is taken away in turn, by the name that the
# tool itself gives; and it runs from another place, as a user who may
# nothing. jq or python3 look at the JSON if one is there.

. "$srcdir/tests/kit/functions.sh"
make_tmp
top=$(cd "$srcdir" && pwd) || failed "no source directory"
tool=$FL_BUILDDIR/tools/uffd-probe
test -x "$tool" || failed "$tool is not built"

# run STATUS ARG... - output in $tmp/out and $tmp/err.
run()
{
	want=$1
	shift
	"$tool" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	test "$status" -eq "$want" || {
		cat "$tmp/out" "$tmp/err"
		failed "uffd-probe $*: exit status $status and not $want" \
			"(FAULTLINE_DISABLE=${FAULTLINE_DISABLE:-})"
	}
	test "$status" -ge 64 || test ! -s "$tmp/err" || {
		cat "$tmp/err"
		failed "uffd-probe $*: says something on stderr"
	}
}

check_json()
{
	if command -v jq >/dev/null; then
		jq -e "$1" "$tmp/out" >/dev/null
	elif command -v python3 >/dev/null; then
		python3 -c 'import json, sys; json.load(open(sys.argv[1]))' \
			"$tmp/out"
	else
		echo "  neither jq nor python3: the JSON was not read"
	fi || {
		cat "$tmp/out"
		failed "not JSON, or not so: $1"
	}
}

# The key-value output in $tmp/out, as variables of this shell.
read_values()
{
	grep -qvE "^[A-Z0-9_]+=([A-Za-z0-9_.,:/+-]*|'.*')\$" "$tmp/out" && {
		cat "$tmp/out"
		failed "a line is not KEY=value"
	}
	eval "$(cat "$tmp/out")"
	: "${VERSION:?}" "${EXIT_STATUS:?}" "${BACKEND?}" "${RUNG?}"
	: "${REASON?}" "${REFUSED?}" "${FEATURES?}" "${HOST_KERNEL:?}"
}

support_of()
{
	variable=FEATURE_$(echo "$1" | tr 'a-z-' 'A-Z_')
	eval "echo \"\$$variable\""
}

# What must hold between backend, rung and exit status, whatever the host.
check_status()
{
	case $BACKEND:$RUNG in
	linux:track) want=0 ;;
	linux:*) want=1 ;;
	segmented:discard) want=2 ;;
	*) failed "backend $BACKEND with rung $RUNG" ;;
	esac
	test "$EXIT_STATUS" -eq $want ||
		failed "$BACKEND, $RUNG, and EXIT_STATUS $EXIT_STATUS"
	test $want -eq 0 || test -n "$REASON" || failed "$RUNG without reason"
	test $want -ne 2 || test -n "$REFUSED" ||
		failed "$BACKEND, and not why it is not linux"
	run $want --key-value
}

echo "usage"
run 0 --help
grep -q '^usage: uffd-probe' "$tmp/out" || failed "--help shows no usage"
run 0 --version
grep -qx "uffd-probe ${FL_VERSION:?}" "$tmp/out" || failed "another version"
run 64 --no-such-option
run 64 --json --key-value
run 64 argument

echo "as it is"
"$tool" --key-value >"$tmp/out" 2>"$tmp/err" </dev/null
read_values
check_status
as_it_is=$EXIT_STATUS
features=$FEATURES
run "$as_it_is"
cat "$tmp/out"
for word in "$BACKEND" "$RUNG:" HOST vm.max_map_count; do
	grep -qF "$word" "$tmp/out" || failed "the table does not say $word"
done
for name in $features; do
	grep -qE "^$name +[0-9.]+ +$(support_of "$name")( |\$)" "$tmp/out" ||
		failed "the table does not say what was found of $name"
	case $(support_of "$name") in
	yes | missing | denied | broken) ;;
	untried)
		# Where no page is loaded on demand, nothing is read by a ring and
		# no thread is confined. A sanitizer makes system calls that no
		# filter allows.
		case $name:$(support_of uffd-missing):$FL_SANITIZER_FLAGS in
		io-uring:yes:* | seccomp-filter:yes:) ;;
		io-uring:* | seccomp-filter:*) continue ;;
		esac
		failed "$name is not tried"
		;;
	*) failed "$name is found to be \"$(support_of "$name")\"" ;;
	esac
done
run "$as_it_is" --json
check_json '.backend and .rung and (.features | type == "array") and
	(.host | type == "object") and (.exit_status | type == "number")'

if test "$BACKEND" = linux; then
	echo "the seccomp profile has every row of confine.def"
	run 0 --seccomp-profile
	check_json 'type == "array" and
		all(.action == "SCMP_ACT_ALLOW" and (.names | length > 0)) and
		(map(select(.args)) | all(.args[0] |
			.op == "SCMP_CMP_MASKED_EQ" and .index < 6)) and
		(map(select(.args and .names[0] == "ioctl")) |
			all(.args[0].value == 4294967295))'
	for name in $(sed -n 's/^FL_CONFINE("\([^"]*\)".*/\1/p' \
			"$top/uffd/confine.def"); do
		grep -qF "\"$name\"" "$tmp/out" ||
			failed "$name is not in the profile"
	done
	echo "every row of features.def"
	sed -n 's/^FL_FEATURE([A-Z_0-9]*, "\([^"]*\)".*/\1/p' \
		"$top/uffd/features.def" >"$tmp/rows"
	echo "$features" | tr ' ' '\n' >"$tmp/names"
	diff "$tmp/rows" "$tmp/names" ||
		failed "features.def (<) and uffd-probe (>) differ"
fi

for name in $features; do
	echo "without $name"
	FAULTLINE_DISABLE=$name
	export FAULTLINE_DISABLE
	"$tool" --key-value >"$tmp/out" 2>/dev/null </dev/null
	read_values
	check_status
	case $name in
	memfd-seals) want=2 ;;
	userfaultfd | uffd-wp-async | pagemap-scan) want=1 ;;
	*) want=$as_it_is ;;
	esac
	test "$EXIT_STATUS" -eq "$want" ||
		failed "EXIT_STATUS $EXIT_STATUS without $name, not $want"
	if test "$want" -eq 2; then
		echo "$REFUSED" | grep -q FAULTLINE_DISABLE ||
			failed "without $name, not told who took it away"
	else
		test "$(support_of "$name")" = disabled ||
			failed "$name was taken away and is" \
				"$(support_of "$name")"
		run "$want"
		grep -q "change: take $name out of FAULTLINE_DISABLE" \
			"$tmp/out" || failed "the remedy is not in the table"
		test "$want" -eq "$as_it_is" ||
			test "$REASON" = "$name is taken away by FAULTLINE_DISABLE" ||
			failed "the rung's reason is \"$REASON\""
	fi
	run "$want" --json
	check_json .exit_status
done

echo "without backends"
FAULTLINE_DISABLE=linux
export FAULTLINE_DISABLE
run 2
FAULTLINE_DISABLE=linux,segmented
run 3
grep -q 'nothing works: ' "$tmp/out" || failed "not told that nothing works"
run 3 --json
check_json '.backend == null and (.refused | type == "string")'
unset FAULTLINE_DISABLE

# Moved elsewhere, as bin and libexec of a prefix. Of a libtool program the real
# one is in .libs.
echo "moved, unprivileged"
chmod 755 "$tmp"
mkdir -p "$tmp/bin" "$tmp/libexec/faultline"
cp "$tool" "$tmp/bin"
for helper in .libs/uffd-probe-helper uffd-probe-helper; do
	test -f "$FL_BUILDDIR/tools/$helper" || continue
	cp "$FL_BUILDDIR/tools/$helper" "$tmp/libexec/faultline"
	break
done
cp "$FL_BUILDDIR"/.libs/libfaultline.so* "$tmp" 2>/dev/null
LD_LIBRARY_PATH=$tmp${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
tool=$tmp/bin/uffd-probe
run "$as_it_is"
if test "$(id -u)" -eq 0 && command -v setpriv >/dev/null; then
	setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
		--inh-caps=-all "$tool" --key-value >"$tmp/out" 2>"$tmp/err"
	status=$?
	cat "$tmp/err"
	read_values
	test "$HOST_UID" -eq 65534 || failed "still user $HOST_UID"
	test "$status" -eq "$EXIT_STATUS" ||
		failed "exit status $status, EXIT_STATUS $EXIT_STATUS"
	case $BACKEND:$RUNG:$EXIT_STATUS in
	linux:track:0 | linux:*:1 | segmented:discard:2) ;;
	*) failed "unprivileged: $BACKEND, $RUNG, $EXIT_STATUS" ;;
	esac
	echo "  as user 65534: $BACKEND, $RUNG${REASON:+: $REASON}"
else
	echo "  not root, or no setpriv: not run as another user"
fi

# The script alone, as in a checkout: by each shell that is there, and with
# busybox's own tools and no others.
bare()
{
	echo "bare: $*"
	cp "$top/tools/uffd-probe.sh" "$tmp/bare.sh"
	for mode in '' --json --key-value '--plan max_memories=10'; do
		# shellcheck disable=SC2086 # words
		"$@" "$tmp/bare.sh" $mode >"$tmp/out" 2>"$tmp/err" </dev/null
		status=$?
		test $status -eq 3 || failed "bare $mode: exit status $status"
		test ! -s "$tmp/err" || {
			cat "$tmp/err"
			failed "bare $mode: says something on stderr"
		}
		tr -s ' \n' '  ' <"$tmp/out" | grep -q 'build Faultline' ||
			failed "bare $mode: does not say what is missing"
		case $mode in
		--json)
			check_json '.host.vm_max_map_count > 0 and
				.host.hpage_bytes > 0 and .exit_status == 3'
			;;
		--key-value)
			grep -q '^HOST_VM_MAX_MAP_COUNT=[1-9]' "$tmp/out" ||
				failed "bare: no limit of mappings"
			;;
		*)
			grep -q 'vm.max_map_count' "$tmp/out" ||
				failed "bare $mode: no limit of mappings"
			;;
		esac
	done
	"$@" "$tmp/bare.sh" --version >/dev/null 2>&1
	test $? -eq 3 || failed "bare: a version without a library"
	"$@" "$tmp/bare.sh" --nothing >/dev/null 2>&1
	test $? -eq 64 || failed "bare: a wrong option is taken"
}
bare sh
for shell in dash bash; do
	if command -v $shell >/dev/null; then
		bare $shell
	else
		echo "  no $shell: not run by it"
	fi
done
if command -v busybox >/dev/null; then
	mkdir "$tmp/busybox"
	busybox --install -s "$tmp/busybox"
	bare env -i PATH="$tmp/busybox" "$tmp/busybox/sh"
else
	echo "  no busybox: not run by it"
fi

echo "manual page"
page=$top/tools/uffd-probe.1
for option in $("$tool" --help | grep -o -e '--[a-z-]*'); do
	sed 's/\\-/-/g' "$page" | grep -qF -e "$option" ||
		failed "$option is not in uffd-probe.1"
done
if command -v mandoc >/dev/null; then
	mandoc -T lint -W warning "$page" || failed "mandoc complains"
elif command -v groff >/dev/null; then
	warnings=$(groff -man -ww -z "$page" 2>&1)
	test -z "$warnings" || failed "groff complains: $warnings"
fi
# A plan that fits, one that is lowered, one of which nothing fits, and words
# that are wrong.
run 0 --plan max_instances=10 max_memories=10 image_extents=1
grep -q '^decided by none$' "$tmp/out" || failed "ten slots do not fit"
run 1 --plan max_memories=1000000 max_instances=1000000 image_extents=0
grep -q '^decided by addresses$' "$tmp/out" || failed "a million slots fit"
grep -q 'change: .*: lower memory_stride_bytes' "$tmp/out" ||
	failed "nothing says what to change"
run 1 --plan max_memories=1000000 memory_stride_bytes=0 max_memory_bytes=65536
grep -q 'change: `sysctl vm.max_map_count=' "$tmp/out" ||
	failed "no command raises the mappings"
"$tool" --plan memory_stride_bytes=200000000000000 >"$tmp/out" 2>"$tmp/err"
test $? -eq 3 || failed "200 TB are in one address space"
# What the errors name can be said.
"$tool" --plan guard_after_bytes=0 memory_stride_bytes=0 >"$tmp/out" 2>"$tmp/err"
test $? -eq 3 || failed "guarded without a guard"
grep -q '^uffd-probe: bounds is ' "$tmp/err" || failed "no word of bounds"
run 0 --plan guard_after_bytes=0 memory_stride_bytes=0 bounds=1 max_memories=10 \
	max_instances=10
"$tool" --plan instance_alignment_bytes=3 >"$tmp/out" 2>"$tmp/err"
test $? -eq 3 || failed "an alignment of 3"
grep -q 'instance_alignment_bytes' "$tmp/err" || failed "no word of the field"
run 64 --plan max_memory=1
run 64 --plan max_memories=x
run 64 --plan max_memories=5000000000
passed
