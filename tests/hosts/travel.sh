#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# travel.sh - sessions go from this system to another one, and back:
#
#	travel.sh modules SOURCE BUILD OUT	guest.wasm, and in C what wasm2c and
#						wasm-image make of it
#	travel.sh build SOURCE BUILD OUT	travel and, with MODULES, guest, by $CC
#						and the libraries of BUILD
#	travel.sh go HERE THERE [EMULATOR...]	both run the programs of two OUTs
#
# MODULES is the OUT of modules, or empty. On Windows the DLL is linked by its
# import library, and wasm-rt's calls come to the adapter by the preprocessor;
# elsewhere as the adapter's .pc file says.
#
# go ends with "N passed, N failed, 0 skipped" over all runs, and exits 1 if a run
# failed.

set -eu
verb=$1
shift

modules()
{
	source=$1 build=$2 out=$3
	mkdir -p "$out/include" "$out/windows"
	cd "$out"
	wat2wasm "$source/tests/hosts/guest.wat" -o guest.wasm
	"$build/tests/consumers/data_free" guest.wasm free.wasm
	wasm2c -n guest free.wasm -o guest.c
	"$build/tools/wasm-image" companion free.wasm guest.c -o companion.c
	# wabt's header is that of the other system too. wasm2c's output includes
	# <alloca.h>, which mingw-w64 has by another name.
	ln -sf /usr/include/wasm-rt.h include/
	echo '#include <malloc.h>' >windows/alloca.h
}

# link OUT OPTION... - with the library.
link()
{
	program=$1
	shift
	test -n "$exe" || {
		"$build/libtool" --quiet --tag=CC --mode=link $CC -no-install \
			"$@" "$build/libfaultline.la" -lm -o "$program"
		return
	}
	$CC "$@" "$build/.libs/libfaultline.dll.a" -lpthread -o "$program$exe"
}

build()
{
	source=$1 build=$2 out=$3
	mkdir -p "$out"
	exe=
	case $($CC -dumpmachine) in
	*mingw*)
		exe=.exe
		cp "$build"/.libs/libfaultline-*.dll "$out/"
		;;
	esac
	includes="-I$source/lib -I$source/lib/adapters/wasm2c"
	# shellcheck disable=SC2086 # words
	link "$out/travel" -std=gnu11 -O2 -Wall -Werror $includes \
		"$source/tests/hosts/travel.c"
	test -n "${MODULES:-}" || return 0
	cp "$MODULES/guest.wasm" "$out/"
	includes="$includes -I$MODULES -I$MODULES/include"
	wraps=$(tr ' ' '\n' <"$build/lib/adapters/wasm2c/faultline-wasm2c.pc" |
		sed -n '/^-Wl,--wrap=/p')
	route=
	test -n "$wraps" || route="-include faultline-wasm2c-route.h"
	test -z "$exe" || includes="$includes -I$MODULES/windows"
	# shellcheck disable=SC2086 # words
	{
		$CC -O2 -w $includes -DWASM_RT_SKIP_SIGNAL_RECOVERY=1 \
			-DWASM_RT_TRAP_HANDLER=guest_trap \
			-c /usr/share/wabt/wasm2c/wasm-rt-impl.c -o "$out/rt.o"
		$CC -O2 -w $includes $route -c "$MODULES/companion.c" \
			-o "$out/companion.o"
		link "$out/guest" -std=gnu11 -O2 -Wall -Werror $includes $route \
			"$source/tests/hosts/guest.c" "$out/companion.o" \
			"$out/rt.o" $wraps "$build/libfaultline-wasm2c.a"
	}
}

passed=0 failed=0

# run WHAT PROGRAM... - in the folder of the files.
run()
{
	what=$1
	shift
	timeout 600 "$@" >run.log 2>&1 || true
	line=$(tr -d '\r' <run.log |
		grep -E '^[0-9]+ passed, [0-9]+ failed, 0 skipped$' | tail -n 1)
	echo "$what: ${line:-died}"
	# shellcheck disable=SC2086 # six words
	set -- ${line:-0 passed, 1 failed,}
	passed=$((passed + $1))
	failed=$((failed + $3))
	test "$3" -eq 0 || cat run.log
}

go()
{
	here=$1 there=$2 exe=
	shift 2
	test ! -e "$there/travel.exe" || exe=.exe
	cd "$here"
	run "made here" "$here/travel" make . a
	run "wakes here" "$here/travel" wake . a alike
	run "wakes there" "$@" "$there/travel$exe" wake . a unlike
	run "back here" "$here/travel" back . a alike
	run "made there" "$@" "$there/travel$exe" make . b
	run "wakes here" "$here/travel" wake . b unlike
	run "back there" "$@" "$there/travel$exe" back . b alike
	test -e "$there/guest$exe" || return 0
	run "guest here" "$here/guest" run .
	run "guest there" "$@" "$there/guest$exe" run .
	run "guest made here" "$here/guest" make . c
	run "guest wakes there" "$@" "$there/guest$exe" wake . c
	run "guest made there" "$@" "$there/guest$exe" make . d
	run "guest wakes here" "$here/guest" wake . d
}

case $verb in
modules) modules "$@" ;;
build) build "$@" ;;
go)
	go "$@"
	echo "$passed passed, $failed failed, 0 skipped"
	test "$failed" -eq 0
	;;
*) exit 1 ;;
esac
