#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# debian.sh - the release as its users get it: debian.sh SOURCE BUILD.
#
# 1. The tarball made twice, at other times and with another umask, is the same,
#    byte for byte.
# 2. Debian's tools build packages of the tarball and packaging/debian, and lintian
#    finds no error.
# 3. In a folder with a bare Debian 12, these packages and a compiler, README's
#    examples build by pkg-config and by CMake, and run.
#
# BUILD is a configured build folder of the source. Root, because the third part
# changes its root folder. Ends with "N passed, N failed, N skipped".

set -u
source=$1 build=$2
passed=0 failed=0
unset MAKEFLAGS MAKELEVEL MFLAGS

verdict()
{
	if test "$1" -eq 0; then
		echo "ok: $2"
		passed=$((passed + 1))
	else
		echo "FAILED: $2"
		failed=$((failed + 1))
	fi
}

cd "$build" || exit
work=$build/debian
rm -rf "$work"
mkdir -p "$work" || exit

make -s dist >/dev/null && mv faultline-*.tar.xz "$work/" &&
	(umask 002 && sleep 2 && make -s dist >/dev/null)
tarball=$(echo "$work"/faultline-*.tar.xz)
cmp "$tarball" "$(basename "$tarball")"
verdict $? "the same tarball twice"
rm -f "$(basename "$tarball")"

tar -C "$work" -xf "$tarball"
unpacked=${tarball%.tar.xz}
cp -r "$unpacked/packaging/debian" "$unpacked/debian"
(cd "$unpacked" && DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -b -us -uc) >"$work/build.log" 2>&1
verdict $? "packages are built"
lintian --fail-on error "$work"/*.changes
verdict $? "lintian has no error"

# Where this machine has its packages from.
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' |
	head -n 1)
root=$work/root
debootstrap --variant=minbase --include=cmake,gcc,libc6-dev,libnbd-dev,make,pkgconf,libseccomp-dev,liburing-dev,libzstd-dev,libmicrohttpd12,libncursesw6 \
	bookworm "$root" "$site" >"$work/root.log" 2>&1 &&
	cp "$work"/*.deb "$source"/tests/api/{CMakeLists.txt,minimal.c,clone.c} \
		"$root/root/" &&
	chroot "$root" sh -c 'dpkg -i /root/*.deb' >>"$work/root.log" 2>&1
verdict $? "the packages are installed in a bare Debian 12"

mount -t proc proc "$root/proc"
chroot "$root" sh -ec 'cd /root
	for example in minimal clone; do
		cc $example.c $(pkg-config --cflags --libs faultline) -o $example
		./$example
	done'
verdict $? "the examples build by pkg-config, and run"
chroot "$root" sh -ec 'cd /root
	cmake -S . -B by-cmake -DVERSION=$(pkg-config --modversion faultline) \
		>/dev/null
	cmake --build by-cmake >/dev/null
	by-cmake/minimal
	by-cmake/clone'
verdict $? "the examples build by CMake, and run"
chroot "$root" uffd-probe >/dev/null
verdict $(($? > 3)) "uffd-probe answers"
umount "$root/proc"

echo "$passed passed, $failed failed, 0 skipped"
test $failed -eq 0
