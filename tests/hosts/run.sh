#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# run.sh - the library on hosts that this machine is not:
# run.sh SOURCE BUILD [ROW...].
#
# Builds each row in a folder of its own below BUILD, runs the tests that suit
# the row, and prints one line for the row: what passed, or what is missing on
# this machine, or where the log is. Without names of rows all run. A row whose
# tools are missing is no failure. Exits 1 if a row failed.
#
# The builds share the machine with other work: they run one job at a time and
# give way.

set -u
source=$1 build=$2
shift 2
make=${MAKE:-make} cc=${CC:-cc}
# The build that calls is no part of these builds.
unset MAKEFLAGS MAKELEVEL MFLAGS CC
status=0
all='posix debian kernel windows aarch64 riscv64 armhf s390x'

# needs TOOL PACKAGE... - says what is missing and answers 1.
needs()
{
	local missing=
	while test $# -gt 1; do
		command -v "$1" >/dev/null || missing="$missing $2"
		shift 2
	done
	test -z "$missing" && return
	echo "$row: not run: install$missing"
	return 1
}

# build_row OPTION... - configures and builds the row's folder; what make is to be
# told besides is in the array $vars.
build_row()
{
	rm -rf "${build:?}/$row"
	mkdir -p "$build/$row" && cd "$build/$row" || return
	test ! -f "$source/config.status" || {
		echo "$source was configured itself: make distclean there first"
		return 1
	}
	"$source/configure" -q --enable-checks=full --disable-shared \
		--without-nbd --without-seccomp ac_cv_header_wasm_rt_h=no \
		ac_cv_header_sys_sdt_h=no "$@" &&
		nice -n 19 "$make" -s "${vars[@]}" all
}

# build_tests - and what all rows' tests need.
build_tests()
{
	nice -n 19 "$make" -s "${vars[@]}" check TESTS=
}

# run_row TARGET... - runs tests that the row's folder has built.
run_row()
{
	for target; do
		nice -n 19 "$make" -s "${vars[@]}" "$target" || return
	done
}

# The portable library from headers that show POSIX.1-2008 alone.
row_posix()
{
	local flags
	needs "$cc" gcc || return 0
	CC=$cc sh "$source/tests/hosts/posix-headers.sh" \
		"$build/posix-headers" >"$build/posix-flags" || return
	flags=$(cat "$build/posix-flags")
	vars=("FL_LIB_CFLAGS=-Wconversion -Werror -fvisibility=hidden $flags")
	build_row CC="$cc" --without-uffd --enable-shared && build_tests &&
		run_row check-portable check-portable-api
}

# The release as its users get it. The tarball needs a source that was never
# configured itself.
row_debian()
{
	needs dpkg-buildpackage dpkg-dev dh debhelper lintian lintian \
		debootstrap debootstrap cmake cmake || return 0
	test "$(id -u)" = 0 || {
		echo "$row: not run: needs root"
		return
	}
	rm -rf "${build:?}/$row"
	mkdir -p "$build/$row" && cd "$build/$row" &&
		"$source/configure" -q CC="$cc" &&
		bash "$source/tests/hosts/debian.sh" "$source" "$build/$row"
}

# Debian 12's own kernel, which has neither asynchronous write-protection nor
# PAGEMAP_SCAN. KERNEL_PACKAGE names another.
row_kernel()
{
	needs qemu-system-x86_64 qemu-system-x86 busybox busybox cpio cpio ||
		return 0
	build_row CC="$cc" && build_tests &&
		bash "$source/tests/hosts/kernel.sh" "$build/$row" \
			"${KERNEL_PACKAGE:-linux-image-amd64}" \
			tests/sim/stock tests/conform/memory \
			tests/conform/reuse tests/conform/instance \
			tests/conform/snapshot tests/conform/delta \
			tests/conform/bound tests/live/isolation
}

# cross TRIPLET QEMU PACKAGE [TARGET...] - another processor, by the emulator of one
# program. No library of this machine suits. Its addresses are bounded, because
# the emulator takes 17 s and 6 GB for a reservation of 1 TiB.
cross()
{
	local triplet=$1 qemu=$2 package=$3
	shift 3
	needs "$triplet-gcc" "gcc-$package" "$qemu" qemu-user-static || return 0
	export PKG_CONFIG_LIBDIR=$build/none FAULTLINE_TEST_SPACE_GIB=64
	export FAULTLINE_TEST_CASE_TIMEOUT=600 FAULTLINE_TEST_TIMEOUT=1200
	vars=("EMULATOR=$qemu -L /usr/$triplet")
	build_row --host="$triplet" --without-cunit && build_tests &&
		run_row "${@:-check-portable}"
}

row_aarch64()
{
	cross aarch64-linux-gnu qemu-aarch64-static aarch64-linux-gnu
}

row_riscv64()
{
	cross riscv64-linux-gnu qemu-riscv64-static riscv64-linux-gnu
}

# 32 bits.
row_armhf()
{
	cross arm-linux-gnueabihf qemu-arm-static arm-linux-gnueabihf
}

# The most significant byte comes first: what is written to files.
row_s390x()
{
	cross s390x-linux-gnu qemu-s390x-static s390x-linux-gnu check-files
}

# Windows, by its emulator of system calls. Each case that needs what Windows lacks
# is skipped by name; programs that are made of such cases are left out. The
# library itself is built without tests/kit/windows.
row_windows()
{
	local triplet=x86_64-w64-mingw32 compat=$source/tests/kit/windows
	needs $triplet-gcc gcc-mingw-w64-x86-64 wine wine64 || return 0
	export PKG_CONFIG_LIBDIR=$build/none FAULTLINE_TEST_CASE_TIMEOUT=600
	export WINEDEBUG=-all WINEPREFIX=$build/wine FAULTLINE_TEST_TIMEOUT=600
	export WINEPATH="Z:/usr/$triplet/lib"
	vars=("EMULATOR=wine")
	build_row --host=$triplet --enable-shared --without-cunit || return
	vars+=("CPPFLAGS=-I$compat -include $compat/compat.h")
	vars+=("LDFLAGS=-static")
	run_row check-windows-tests
}

# Counts over all summaries of a row's log.
counts()
{
	grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$1" | awk '
		{ passed += $1; failed += $3; skipped += $5 }
		END { print passed + 0 " passed, " failed + 0 " failed, " \
			skipped + 0 " skipped" }'
}

mkdir -p "$build" || exit
for row in ${*:-$all}; do
	type "row_$row" >/dev/null 2>&1 || {
		echo "$row: there is no such row; there are $all"
		exit 1
	}
	log=$build/$row.log
	vars=()
	if (row_$row) >"$log" 2>&1; then
		grep "^$row: not run" "$log" || echo "$row: $(counts "$log")"
	else
		echo "$row: failed, $(counts "$log"); see $log"
		status=1
	fi
done
exit $status
