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
all='posix debian kernel backports windows aarch64 riscv64 i686 armhf s390x'

# needs TOOL PACKAGE... - says what is missing and answers 1.
needs()
{
	local missing=
	while test $# -gt 1; do
		command -v "${1%% *}" >/dev/null || missing="$missing $2"
		shift 2
	done
	test -z "$missing" && return
	echo "$row: not run: install$missing"
	return 1
}

# build_row OPTION... - configures and builds the row's folder; what make is to be
# told besides is in the array $vars, and in $wasm_rt how configure finds <wasm-rt.h>.
build_row()
{
	rm -rf "${build:?}/$row"
	mkdir -p "$build/$row" && cd "$build/$row" || return
	test ! -f "$source/config.status" || {
		echo "$source was configured itself: make distclean there first"
		return 1
	}
	"$source/configure" -q --enable-checks=full --disable-shared \
		--without-nbd --without-seccomp "${wasm_rt[@]}" \
		ac_cv_header_sys_sdt_h=no "$@" &&
		nice -n "${FAULTLINE_HOSTS_NICE:-19}" "$make" -s "${vars[@]}" all
}

# build_tests - and what all rows' tests need.
build_tests()
{
	nice -n "${FAULTLINE_HOSTS_NICE:-19}" "$make" -s "${vars[@]}" check TESTS=
}

# run_row TARGET... - runs tests that the row's folder has built.
run_row()
{
	for target; do
		nice -n "${FAULTLINE_HOSTS_NICE:-19}" "$make" -s "${vars[@]}" "$target" || return
	done
}

# travel EMULATOR... - sessions go from here to the row's system, and back. The guest
# of wasm2c goes too where the row has the adapter. What is built here comes from the
# build folder that called.
travel()
{
	local here=${build%/*} modules= script=$source/tests/hosts/travel.sh

	make_here libfaultline.la || return
	test ! -f "$build/$row/libfaultline-wasm2c.a" ||
		modules=$build/modules
	(export CC="$cc" MODULES="$modules" &&
		sh "$script" build "$source" "$here" "$build/$row/here") &&
		(export CC="$triplet-gcc" MODULES="$modules" &&
			sh "$script" build "$source" "$build/$row" \
				"$build/$row/there") &&
		sh "$script" go "$build/$row/here" "$build/$row/there" "$@"
}

# make_here TARGET... - in the build folder that called.
make_here()
{
	nice -n "${FAULTLINE_HOSTS_NICE:-19}" "$make" -s -C "${build%/*}" "$@"
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
	build_row CC="$cc" --without-uffd --without-zstd --enable-shared &&
		build_tests &&
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

# kernel SUITE - the kernel of a suite of Debian 12, or the suite's of which
# KERNEL_PACKAGE is the name.
kernel()
{
	needs qemu-system-x86_64 qemu-system-x86 busybox busybox cpio cpio ||
		return 0
	build_row CC="$cc" &&
		nice -n "${FAULTLINE_HOSTS_NICE:-19}" "$make" -s $kernel_tests &&
		KERNEL_SUITE=$1 bash "$source/tests/hosts/kernel.sh" \
			"$build/$row" "${KERNEL_PACKAGE:-linux-image-amd64}" \
			$kernel_tests
}
kernel_tests='tests/sim/stock tests/conform/memory tests/conform/reuse
	tests/conform/instance tests/conform/snapshot tests/conform/delta
	tests/conform/bound tests/live/isolation'

# Debian 12's own kernel, which has neither asynchronous write-protection nor
# PAGEMAP_SCAN.
row_kernel()
{
	kernel ''
}

# The newer one that Debian 12 offers, which has both.
row_backports()
{
	kernel bookworm-backports
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
	export FAULTLINE_TEST_FEWER=${FAULTLINE_TEST_FEWER:-200}
	vars=("EMULATOR=$qemu -L /usr/$triplet")
	build_row --host="$triplet" --without-cunit &&
		run_row "${@:-check-portable}" &&
		travel "$qemu" -L "/usr/$triplet"
}

# With host pages of 4 KiB, and some programs with 16 and 64 KiB, as such hosts have.
row_aarch64()
{
	local pages triplet=aarch64-linux-gnu qemu=qemu-aarch64-static
	cross $triplet $qemu aarch64-linux-gnu || return
	test -d "$build/$row/tests" || return 0
	for pages in 16384 65536; do
		vars=("EMULATOR=$qemu -p $pages -L /usr/$triplet")
		(cd "$build/$row" && run_row check-pages) || return
	done
}

row_riscv64()
{
	cross riscv64-linux-gnu qemu-riscv64-static riscv64-linux-gnu
}

# 32 bits without an emulator, and so with the engine: the processor runs such
# programs where the kernel lets it. One compiler aligns 64 bits to 4 bytes here,
# and another one names each atomic access that is not aligned to 8.
row_i686()
{
	local triplet=i686-linux-gnu loader=/lib/ld-linux.so.2
	needs $triplet-gcc gcc-i686-linux-gnu $loader libc6-i386 \
		clang clang || return 0
	$loader --version >/dev/null 2>&1 || {
		echo "$row: not run: the kernel runs no programs of 32 bits"
		return
	}
	export PKG_CONFIG_LIBDIR=$build/none FAULTLINE_TEST_CASE_TIMEOUT=600
	export FAULTLINE_TEST_FEWER=${FAULTLINE_TEST_FEWER:-20}
	export FAULTLINE_TEST_TIMEOUT=1200
	build_row --host=$triplet --without-cunit --enable-werror &&
		atomics_are_aligned --target=$triplet \
			-isystem /usr/$triplet/include &&
		run_row bench-programs check-portable &&
		travel
}

# atomics_are_aligned OPTION... - says clang of the library, for a host of 32 bits.
atomics_are_aligned()
{
	local file
	(cd "$source" && for file in $(find lib uffd -name '*.c' \
		! -path 'lib/adapters/*' ! -name 'windows*'); do
		clang "$@" -std=gnu11 -O1 -DFL_WITH_UFFD=1 -DFL_VERSION='""' \
			-Ilib -Iuffd -I. -Watomic-alignment -Werror \
			-Wno-macro-redefined -c "$file" -o "$build/$row/x.o" ||
			return
	done)
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
# library itself is built without tests/kit/windows. Opening a file takes the
# emulator a hundred times what it takes the system.
row_windows()
{
	local triplet=x86_64-w64-mingw32 compat=$source/tests/kit/windows
	local include=$build/modules/include
	needs $triplet-gcc gcc-mingw-w64-x86-64 wine wine64 wasm2c wabt \
		wat2wasm wabt || return 0
	export PKG_CONFIG_LIBDIR=$build/none FAULTLINE_TEST_CASE_TIMEOUT=600
	export WINEDEBUG=-all WINEPREFIX=$build/wine FAULTLINE_TEST_TIMEOUT=600
	export FAULTLINE_TEST_FEWER=${FAULTLINE_TEST_FEWER:-50}
	WINEPATH="Z:/usr/$triplet/lib;Z:$(dirname "$(readlink -f \
		"$($triplet-gcc -print-file-name=libgcc_s_seh-1.dll)")")"
	export WINEPATH
	make_here libfaultline.la tools/wasm-image tests/consumers/data_free &&
		sh "$source/tests/hosts/travel.sh" modules "$source" \
			"${build%/*}" "$build/modules" || return
	wasm_rt=(CPPFLAGS="-isystem $include")
	vars=("EMULATOR=wine")
	vectors_keep_off_the_stack || return
	build_row --host=$triplet --enable-shared --without-cunit || return
	travel wine || return
	vars+=("CPPFLAGS=-I$compat -include $compat/compat.h -isystem $include")
	vars+=("LDFLAGS=-static")
	# One server of the emulator for all programs, which ends after them.
	wineserver -p30
	run_row check-windows-tests
}

# vectors_keep_off_the_stack - says the compiler's own listing of the loops with vectors
# of more than 16 bytes, at each level of optimisation. Windows aligns the stack to 16
# bytes. No test would fail here: Debian's compiler takes no vector for aligned.
vectors_keep_off_the_stack()
{
	local level file code
	for level in 0 g 1 2 3 s; do
		for file in checksum copy; do
			code=$($triplet-gcc -std=gnu11 -O$level -I"$source/lib" \
				-S -o - "$source/lib/base/$file.c") || return
			code=$(grep -E '%[yz]mm' <<<"$code") ||
				test $level = 0 || return
			! grep -E '\(.*%r[sb]p' <<<"$code" || return
		done
	done
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
	vars=() wasm_rt=(ac_cv_header_wasm_rt_h=no)
	if (row_$row) >"$log" 2>&1; then
		grep "^$row: not run" "$log" || echo "$row: $(counts "$log")"
	else
		echo "$row: failed, $(counts "$log"); see $log"
		status=1
	fi
done
exit $status
