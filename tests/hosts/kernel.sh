#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# kernel.sh - test programs on another kernel: kernel.sh BUILD PACKAGE PROGRAM...
#
# Takes a build folder and the name of a Debian kernel package; fetches the
# package, puts the programs with all that they are linked with into an initial
# file system, boots the kernel by software emulation, and prints what the programs
# print. (KVM within a virtual machine hung before the kernel began.) KERNEL_SUITE is
# a suite of Debian that this machine need not have among its sources.
# Ends with "N passed, N failed, N skipped" over all programs.

set -u
build=$1 package=$2
shift 2
work=$build/kernel
rm -rf "$work"
mkdir -p "$work/root"/{bin,dev,proc,sys,tmp,var/tmp} || exit
cd "$work" || exit

# Lists of the suite alone, from where this machine has its packages.
apt=()
if test -n "${KERNEL_SUITE:-}"; then
	site=$(apt-get indextargets --format '$(SITE)' \
		'Created-By: Packages' | grep '/debian$' | head -n 1)
	mkdir -p lists/partial cache/archives/partial
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"$site $KERNEL_SUITE main" >sources.list
	apt=(-o "Dir::Etc::sourcelist=$work/sources.list"
		-o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$work/lists"
		-o "Dir::Cache=$work/cache")
	apt-get -qq "${apt[@]}" update || exit
fi
# The package itself, or the one that it depends on.
real=$(apt-cache "${apt[@]}" depends "$package" |
	awk '/Depends: linux-image/ { print $2; exit }')
apt-get -qq "${apt[@]}" download "${real:-$package}" 2>"$work/apt.log" || {
	cat "$work/apt.log"
	exit 1
}
dpkg -x ./*.deb package || exit
image=$(echo package/boot/vmlinuz-*)
echo "kernel: ${image##*/vmlinuz-}"

# put FILE PLACE - with the libraries that it is linked with.
put()
{
	mkdir -p "root/$(dirname "$2")"
	cp -L "$1" "root/$2"
	ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
		test -e "root/$library" ||
			install -D "$library" "root/$library"
	done
}
put "$(command -v busybox)" bin/busybox
for name in $(busybox --list); do
	test -e "root/bin/$name" || ln -s busybox "root/bin/$name"
done
for program; do
	put "$build/$program" "$program"
done
{
	echo '#!/bin/busybox sh'
	echo 'export PATH=/bin'
	echo 'mount -t devtmpfs dev /dev; mount -t proc proc /proc'
	echo 'mount -t sysfs sys /sys; mount -t tmpfs tmp /tmp'
	echo 'mount -t tmpfs tmp /var/tmp; ip link set lo up 2>/dev/null'
	echo 'echo 1 >/proc/sys/vm/unprivileged_userfaultfd 2>/dev/null'
	# Software emulation takes ten times as long.
	echo "export FAULTLINE_TEST_CASE_TIMEOUT=600"
	echo "export FAULTLINE_TEST_FEWER=${FAULTLINE_TEST_FEWER:-5}"
	for program; do
		echo "echo program $program; timeout ${KERNEL_PROGRAM_TIMEOUT:-600} /$program 2>&1 || echo exit status \$?"
	done
	echo 'echo the end; poweroff -f'
} >root/init
chmod +x root/init
(cd root && find . | cpio -o -H newc --quiet | gzip -1) >initrd.gz || exit

# On a busy host the emulated timer may be late for the kernel's check.
timeout "${KERNEL_TIMEOUT:-1800}" qemu-system-x86_64 -accel tcg \
	-cpu max -smp 2 -m 4096 -nographic -no-reboot -kernel "$image" \
	-initrd initrd.gz -append "console=ttyS0 panic=-1 quiet no_timer_check" \
	</dev/null 2>&1 | tr -d '\r' >console
grep -E '^(program|exit status|.* FAILED )|[0-9]+ passed, [0-9]+ failed' console
grep -q '^the end' console || {
	echo "the kernel did not come to the end; see $work/console"
	exit 1
}
awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
		passed += $1; failed += $3; skipped += $5; programs++
	}
	/^exit status/ && $3 != 77 && $3 != 1 { failed++ }
	END {
		print passed " passed, " failed " failed, " skipped + 0 " skipped"
		exit failed > 0 || programs == 0
	}' console
