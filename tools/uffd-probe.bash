# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# shellcheck shell=bash
#
# uffd-probe.bash - completion for bash.

_uffd_probe()
{
	local word=${COMP_WORDS[COMP_CWORD]}

	test "${COMP_WORDS[1]}" = --plan && test "$COMP_CWORD" -gt 1 && return
	mapfile -t COMPREPLY < <(compgen -W "--json --key-value --plan
		--seccomp-profile -h --help -V --version" -- "$word")
}
complete -F _uffd_probe uffd-probe
