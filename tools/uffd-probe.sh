#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# uffd-probe - what this host allows Faultline to do, and what would change it.
#
# A helper, uffd-probe-helper, makes a context with the library and prints what
# the library found by trying. This script reads facts about the host's limits.
# Both are records with tabs between the fields, which awk makes into a table,
# KEY=value lines or JSON.
#
# Where no helper is found, as in a checkout before anything is built, the facts
# are printed all the same, and why nothing else is: status 3.
#
# Needs a POSIX shell and awk, and no privilege. Exit status: 0 the best rung,
# 1 a lower one, 2 the portable backend, 3 nothing works, 64 usage.

set -u
LC_ALL=C
export LC_ALL
tab=$(printf '\t')

usage()
{
	cat <<END
usage: uffd-probe [--key-value | --json]
       uffd-probe --seccomp-profile
       uffd-probe --plan [KEY=NUMBER]...
       uffd-probe --help | --version

Tells which kernel features Faultline found by trying, which rung Faultline
chooses here and why not a better one, and what the host's limits allow.

  --key-value  KEY=value lines, quoted for a shell
  --json       one JSON object
  --seccomp-profile
               the system calls that Faultline makes, as a part of an OCI
               seccomp profile: the value of its member "syscalls"
  --plan       a pool of this configuration: how much of it this process can
               have, which limit decides, and what raises it. Keys are fields
               of fl_pool_config and fl_pool_load
  -h, --help   this text
  -V, --version
               the version of the library in use

Exit status: 0 the best rung, 1 a lower one, 2 only the portable backend,
3 nothing works, 64 wrong usage. With --seccomp-profile 0 if it was printed.
With --plan 0 all of it fits, 1 less of it does, 3 nothing does.
END
}

die()
{
	echo "uffd-probe: $*" >&2
	exit 3
}

# Status 1: there is none. The helper is beside this script (in a build tree), in libexec of the same
# prefix (also when the prefix was moved), or where it was installed.
find_helper()
{
	here=$(dirname -- "$0")
	for helper in "$here/uffd-probe-helper" \
		"$here/../libexec/faultline/uffd-probe-helper" \
		'@pkglibexecdir@/uffd-probe-helper'; do
		test -x "$helper" && return
	done
	return 1
}

no_helper='uffd-probe-helper is not found: build Faultline and run tools/uffd-probe of the build, or install the helper with this script'

# fact KEY VALUE TEXT - a host record; an empty value becomes "-".
fact()
{
	printf 'host\t%s\t%s\t%s\n' "$1" "${2:--}" "${3:--}"
}

first_line()
{
	test -r "$1" && head -n 1 "$1" 2>/dev/null
}

# The chosen word of a line like "always [madvise] never".
chosen()
{
	first_line "$1" | sed -n 's/.*\[\(.*\)\].*/\1/p'
}

status_field()
{
	sed -n "s/^$1:[[:space:]]*//p" /proc/self/status 2>/dev/null
}

limit_of()
{
	sed -n "s/^$1  *\([^ ]*\) .*/\1/p" /proc/self/limits 2>/dev/null
}

facts_kernel()
{
	fact KERNEL "$(uname -s) $(uname -r)" kernel
	fact MACHINE "$(uname -m)" machine
	hpage=$(getconf PAGESIZE 2>/dev/null)
	test -n "$hpage" || hpage=$(awk '/^KernelPageSize:/ {
		print $2 * 1024
		exit
	}' /proc/self/smaps 2>/dev/null)
	fact HPAGE_BYTES "$hpage" "bytes of a host page"
}

# A slot of an image with n extents takes 2 + 2 n mappings. A tracked slot takes
# one more for a prefix and one more for growth.
facts_mappings()
{
	max=$(first_line /proc/sys/vm/max_map_count)
	fact VM_MAX_MAP_COUNT "$max" \
		"mappings a process may have (vm.max_map_count)"
	test -n "$max" || return
	fact SLOTS_NO_IMAGE $((max / 2)) \
		"slots within that, 2 mappings each: no image"
	fact SLOTS_ONE_EXTENT $((max / 4)) \
		"slots, 4 mappings each: images of one extent, the usual case"
	fact SLOTS_FOUR_EXTENTS $((max / 10)) \
		"slots, 10 mappings each: images of four extents, the most"
	fact SLOTS_WORST $((max / 12)) \
		"slots, 12 mappings each: the same with a prefix, grown"
}

facts_addresses()
{
	bits=$(sed -n 's/^address sizes.* \([0-9]*\) bits virtual.*/\1/p' \
		/proc/cpuinfo 2>/dev/null | head -n 1)
	if test -n "$bits"; then
		# more than 47 only where a mapping asks for it
		test "$bits" -le 48 || bits=48
		bits=$((bits - 1))
		fact ADDRESS_BITS "$bits" "bits of a user address"
		fact SLOTS_ADDRESSES $((1 << (bits - 33))) \
			"slots of 8 GiB (the default stride) in that, at most; --plan knows in which pieces addresses lie"
	fi
	space=$(limit_of 'Max address space')
	fact ULIMIT_V_BYTES "$space" \
		"limit of address space in bytes (ulimit -v); reservations count"
	case $space in
	'' | *[!0-9]*) ;;
	*)
		fact SLOTS_ULIMIT_V $((space >> 33)) \
			"slots of 8 GiB within that, at most"
		;;
	esac
	fact ULIMIT_L_BYTES "$(limit_of 'Max locked memory')" \
		"locked memory in bytes (ulimit -l); counts under mlockall()"
	fact ULIMIT_N "$(limit_of 'Max open files')" \
		"open files; a context takes up to 33, an image 1"
}

facts_memory()
{
	overcommit=$(first_line /proc/sys/vm/overcommit_memory)
	case $overcommit in
	0) text="heuristic: reservations are not charged" ;;
	1) text="always: nothing is charged" ;;
	2) text="strict: every accessible byte is charged, touched or not" ;;
	*) text= ;;
	esac
	fact OVERCOMMIT_MEMORY "$overcommit" \
		"vm.overcommit_memory${text:+ ($text)}"
	group=$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null)
	fact CGROUP_MEMORY_MAX \
		"$(first_line "/sys/fs/cgroup$group/memory.max")" \
		"memory limit of this control group"
	thp=/sys/kernel/mm/transparent_hugepage
	fact THP_ENABLED "$(chosen $thp/enabled)" "2 MiB pages, anonymous"
	fact THP_SHMEM "$(chosen $thp/shmem_enabled)" \
		"2 MiB pages of memory files, without being asked for"
	fact THP_64K "$(chosen $thp/hugepages-64kB/enabled)" \
		"64 KiB pages, anonymous; never in tracked ranges"
}

facts_pressure()
{
	psi=/proc/pressure/memory
	if test -r $psi; then
		fact PSI yes "$psi: $(first_line $psi)"
	elif test -e $psi; then
		fact PSI denied "$psi cannot be read"
	else
		fact PSI no "no $psi"
	fi
}

# CAP_SYS_PTRACE is bit 19 of the set.
facts_access()
{
	fact UNPRIVILEGED_USERFAULTFD \
		"$(first_line /proc/sys/vm/unprivileged_userfaultfd)" \
		"vm.unprivileged_userfaultfd; 0 leaves user-mode-only to all"
	device=/dev/userfaultfd
	if test -e $device; then
		# shellcheck disable=SC2012 # stat is not of POSIX
		owner=$(ls -ld $device | awk '{ print $1 " " $3 ":" $4 }')
		if test -r $device && test -w $device; then
			text="mode of $device; this process may open it"
		else
			text="mode of $device; this process may not open it"
		fi
		fact DEV_USERFAULTFD "$owner" "$text"
	else
		fact DEV_USERFAULTFD none "there is no $device"
	fi
	caps=$(status_field CapEff)
	caps=0x0${caps#"${caps%?????}"}
	fact CAP_SYS_PTRACE $((caps >> 19 & 1)) \
		"1: userfaultfd(2) opens without user-mode-only"
	seccomp=$(status_field Seccomp)
	case $seccomp in
	0) text="no filter" ;;
	1) text="strict: next to no system call" ;;
	2) text="a filter: it may hide userfaultfd" ;;
	*) text= ;;
	esac
	fact SECCOMP "$seccomp" "Seccomp in /proc/self/status${text:+ ($text)}"
	fact UID "$(id -u)" "user that this ran as"
}

facts()
{
	facts_kernel
	facts_access
	facts_mappings
	facts_addresses
	facts_memory
	facts_pressure
	printf 'exit\t%s\n' "$1"
}

format()
{
	awk -F "$tab" -v mode="$1" '
	# Words of text from column indent on, at most 79 wide.
	function wrap(first, indent, text,    n, i, word, line, pad) {
		pad = sprintf("%" indent "s", "")
		line = sprintf("%-" indent "s", first)
		n = split(text, word, " ")
		for (i = 1; i <= n; i++) {
			if (length(line) > indent &&
			    length(line) + length(word[i]) > 79) {
				sub(/ +$/, "", line)
				print line
				line = pad
			}
			line = line word[i] " "
		}
		sub(/ +$/, "", line)
		print line
	}
	function json(text) {
		if (text == "-" || text == "")
			return "null"
		gsub(/\\/, "\\\\", text)
		gsub(/"/, "\\\"", text)
		gsub(/[\001-\037]/, " ", text)
		return "\"" text "\""
	}
	function is_number(text) {
		return text ~ /^(0|[1-9][0-9]*)$/ && length(text) < 16
	}
	function assign(key, text) {
		if (text == "-")
			text = ""
		if (text !~ /^[A-Za-z0-9_.,:\/+-]*$/) {
			gsub(/\047/, "\047\\\047\047", text)
			text = "\047" text "\047"
		}
		print key "=" text
	}
	function key_of(name) {
		name = toupper(name)
		gsub(/[^A-Z0-9]/, "_", name)
		return "FEATURE_" name
	}

	$1 == "feature" { feature[++features] = $0; next }
	$1 == "host" { host[++hosts] = $0; next }
	$1 == "syscall" { call[++calls] = $0; next }
	{ said[$1] = $2 }

	# "key":text, and after the first of an object with a comma before.
	function member(key, text) {
		printf "%s\"%s\":%s", separator, key, text
		separator = ","
	}
	function print_json_feature(record,    f) {
		split(record, f, "\t")
		printf "%s{", separator
		separator = ""
		member("name", json(f[2]))
		member("since", json(f[3]))
		member("support", json(f[4]))
		member("errno", json(f[5]))
		member("note", json(f[6]))
		member("gives", json(f[7]))
		member("reason", json(f[8]))
		member("remedy", json(f[9]))
		printf "}"
	}
	function print_json(    i, f) {
		printf "{"
		member("version", json(said["library"]))
		member("exit_status", said["exit"])
		member("backend", json(said["backend"]))
		member("rung", json(said["rung"]))
		member("reason", json(said["reason"]))
		member("refused", json("bare" in said ? said["bare"] : \
		       said["refused"]))
		printf ",\"features\":["
		separator = ""
		for (i = 1; i <= features; i++)
			print_json_feature(feature[i])
		printf "],\"host\":{"
		separator = ""
		for (i = 1; i <= hosts; i++) {
			split(host[i], f, "\t")
			member(tolower(f[2]), is_number(f[3]) ? f[3] : \
			       json(f[3]))
		}
		print "}}"
	}
	# What is allowed whatever the arguments is one entry, and each rule
	# for an argument one more. For SCMP_CMP_MASKED_EQ "value" is the mask.
	# A process id is not known before the process.
	function print_profile(    i, f) {
		print "["
		printf "\t{\"names\": ["
		for (i = 1; i <= calls; i++) {
			split(call[i], f, "\t")
			if (f[3] == "masked")
				continue
			printf "%s\n\t\t%s", separator, json(f[2])
			separator = ","
		}
		printf "\n\t], \"action\": \"SCMP_ACT_ALLOW\"}"
		for (i = 1; i <= calls; i++) {
			split(call[i], f, "\t")
			if (f[3] != "masked")
				continue
			printf ",\n\t{\"names\": [%s],", json(f[2])
			printf " \"action\": \"SCMP_ACT_ALLOW\","
			printf " \"comment\": %s,\n", json(f[7])
			printf "\t \"args\": [{\"index\": %s,", f[4]
			printf " \"value\": %s, \"valueTwo\": %s,", f[5], f[6]
			printf " \"op\": \"SCMP_CMP_MASKED_EQ\"}]}"
		}
		print "\n]"
	}
	function print_key_value(    i, f, key, names) {
		assign("VERSION", said["library"])
		assign("EXIT_STATUS", said["exit"])
		assign("BACKEND", said["backend"])
		assign("RUNG", said["rung"])
		assign("REASON", said["reason"])
		assign("REFUSED", "bare" in said ? said["bare"] : \
		       said["refused"])
		for (i = 1; i <= features; i++) {
			split(feature[i], f, "\t")
			names = names (i > 1 ? " " : "") f[2]
		}
		assign("FEATURES", names)
		for (i = 1; i <= features; i++) {
			split(feature[i], f, "\t")
			key = key_of(f[2])
			assign(key, f[4])
			assign(key "_SINCE", f[3])
			assign(key "_ERRNO", f[5])
			assign(key "_NOTE", f[6])
			assign(key "_GIVES", f[7])
			assign(key "_REASON", f[8])
			assign(key "_REMEDY", f[9])
		}
		for (i = 1; i <= hosts; i++) {
			split(host[i], f, "\t")
			assign("HOST_" f[2], f[3])
		}
	}
	function print_features(    i, f) {
		printf "%-18s %-6s %-9s %-8s %s\n", "FEATURE", "SINCE", \
			"HERE", "ERRNO", "GIVES"
		for (i = 1; i <= features; i++) {
			split(feature[i], f, "\t")
			wrap(sprintf("%-18s %-6s %-9s %-8s ", f[2], f[3],
				     f[4], f[5] == "-" ? "" : f[5]), 45, f[7])
			if (f[8] != "-")
				wrap("    why:    ", 12, f[8])
			if (f[9] != "-")
				wrap("    change: ", 12, f[9])
		}
		print ""
	}
	function print_text(    i, f) {
		if ("library" in said)
			print "Faultline " said["library"] "\n"
		if (features)
			print_features()
		if ("backend" in said) {
			wrap("backend ", 8, said["backend"])
			wrap("rung    ", 8, said["rung"] ": " does[said["rung"]])
			if (said["reason"] != "-")
				wrap("        ", 8, "not a better one: " \
				     said["reason"])
		}
		if ("bare" in said) {
			wrap("not asked: ", 11, said["bare"])
			print "What is below was read by the script alone."
		}
		if ("refused" in said)
			wrap("        ", 8, ("backend" in said ? \
			     "not the linux backend: " : \
			     "nothing works: ") said["refused"])
		print ""
		print "HOST"
		for (i = 1; i <= hosts; i++) {
			split(host[i], f, "\t")
			wrap(sprintf("%-22s ", f[3]), 23, f[4])
		}
	}
	END {
		does["track"] = "what was written is found by write tracking" \
			" and copied back"
		does["scan"] = "what was ever written is found in the page" \
			" table and copied back"
		does["dontneed"] = "all is dropped and faulted in again"
		does["discard"] = "what differs from the image is copied again" \
			", and what a slot may not keep is dropped"
		if (mode == "profile")
			print_profile()
		else if (mode == "json")
			print_json()
		else if (mode == "key-value")
			print_key_value()
		else
			print_text()
	}'
}

if test "${1:-}" = --plan; then
	find_helper && exec "$helper" "$@"
	{
		printf 'bare\t%s\n' "$no_helper"
		facts 3
	} | format text || die "the output could not be written"
	exit 3
fi
test $# -le 1 || {
	usage >&2
	exit 64
}
case ${1:-} in
'') mode=text ;;
--key-value | --json) mode=${1#--} ;;
--seccomp-profile) mode=profile ;;
--version | -V) mode=version ;;
--help | -h)
	usage
	exit 0
	;;
*)
	usage >&2
	exit 64
	;;
esac
if find_helper; then
	records=$("$helper")
	status=$?
else
	case $mode in
	text | json | key-value) ;;
	*) die "$no_helper" ;;
	esac
	records=$(printf 'bare\t%s' "$no_helper")
	status=3
fi
test $status -le 3 || die "$helper failed with status $status"
if test "$mode" = version; then
	echo "uffd-probe $(echo "$records" | sed -n "s/^library$tab//p")"
	exit 0
fi
if test "$mode" = profile; then
	echo "$records" | grep -q "^syscall$tab" ||
		die "only the linux backend has a list of system calls:" \
			"$(echo "$records" | sed -n "s/^refused$tab//p")"
	printf '%s\n' "$records" | format profile ||
		die "the output could not be written"
	exit 0
fi
{
	printf '%s\n' "$records"
	facts $status
} | format "$mode" || die "the output could not be written"
exit $status
