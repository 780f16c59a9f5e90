#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# posix-headers.sh - an include path that holds POSIX.1-2008 and nothing else:
# posix-headers.sh FOLDER.
#
# Links into FOLDER the headers of the standard, and what these include of the
# system's own, so that a source that names any other header finds none. Prints
# the compiler flags by which a source sees this path alone, no extension of the
# C library, no system that the compiler names, and of what is beyond the
# standard MAP_ANON only, which the next standard has.

set -eu
folder=$1
cc=${CC:-cc}
strict='-std=c11 -D_POSIX_C_SOURCE=200809L'
headers='aio arpa/inet assert complex cpio ctype dirent dlfcn errno fcntl fenv
float fmtmsg fnmatch ftw glob grp iconv inttypes iso646 langinfo libgen limits
locale math monetary mqueue net/if netdb netinet/in netinet/tcp nl_types poll
pthread pwd regex sched search semaphore setjmp signal spawn stdarg stdbool
stddef stdint stdio stdlib string strings sys/ipc sys/mman sys/msg sys/resource
sys/select sys/sem sys/shm sys/socket sys/stat sys/statvfs sys/time sys/times
sys/types sys/uio sys/un sys/utsname sys/wait syslog tar termios tgmath time
ulimit unistd utime utmpx wchar wctype wordexp'

rm -rf "$folder"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
for header in $headers; do
	echo "#include <$header.h>"
done >"$folder/all.c"

# The folders where the compiler looks, in its order, as it writes them.
LC_ALL=C $cc -v -E -x c /dev/null 2>&1 >/dev/null |
	sed -n '/^#include </,/^End of/s/^ //p' >"$folder/search"
# The C library includes more of its own where the compiler optimizes.
for more in -O0 '-O2 -D_FORTIFY_SOURCE=2'; do
	# shellcheck disable=SC2086 # flags
	$cc $strict $more -M "$folder/all.c"
done | tr -s ' \\\n' '\n' | grep '^/.*\.h$' | sort -u >"$folder/files"

# A header may hand on to the header of the same name in a later folder, so each
# folder of the search keeps a folder of its own.
flags="-nostdinc $strict -U__linux__ -U__linux -Ulinux -U__gnu_linux__"
n=0
while read -r place; do
	n=$((n + 1))
	# The compiler's own headers ask nothing of a system.
	if test -f "$place/stddef.h" && test -f "$place/stdatomic.h"; then
		flags="$flags -isystem $place"
		continue
	fi
	mkdir "$folder/$n"
	flags="$flags -isystem $folder/$n"
	while read -r file; do
		case $file in
		"$place"/*)
			to=$folder/$n/${file#"$place"/}
			mkdir -p "${to%/*}"
			ln -s "$file" "$to"
			;;
		esac
	done <"$folder/files"
done <"$folder/search"
map_anon=$(echo MAP_ANON |
	$cc -E -P -D_DEFAULT_SOURCE -include sys/mman.h - | tail -n 1)
echo "$flags -DMAP_ANON=$map_anon"
