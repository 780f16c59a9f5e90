# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# shellcheck shell=bash
#
# uffd-stat.bash - completion for bash.

_uffd_stat()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}

	case $before in
	-p | --pid)
		mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$word")
		;;
	--record | --replay | --listen)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "-p -x --pid --extended --json
			--openmetrics --prometheus --top --listen --record
			--replay -h --help -V --version" -- "$word")
		;;
	esac
}
complete -F _uffd_stat uffd-stat
