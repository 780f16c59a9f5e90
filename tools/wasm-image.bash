# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# shellcheck shell=bash
#
# wasm-image.bash - completion for bash.

_wasm_image()
{
	local word=${COMP_WORDS[COMP_CWORD]}

	if test "$COMP_CWORD" -eq 1; then
		mapfile -t COMPREPLY < <(compgen -f -W "show verify diff delta save bake
			cycle data-free companion plan -h --help -V --version" -- "$word")
		return
	fi
	case $word in
	-*)
		mapfile -t COMPREPLY < <(compgen -W "--json --svg --digest --memory
			--zstd -o --output --global --limit --count --threads
			--touch-reads --touch-writes" -- "$word")
		;;
	*)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		;;
	esac
}
complete -F _wasm_image wasm-image
