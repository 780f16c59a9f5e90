# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# shellcheck shell=sh
#
# functions.sh - what the shell tests share; they source it first.
#
# A shell test is one case. It ends in passed, failed or skipped, each of
# which prints the line that summary.sh counts and exits with the code that
# Automake expects (0, 1, 77). FAULTLINE_TEST_REQUIRE=all turns a skip into a
# failure: what a machine is known to have must not go untested there.
#
# Takes from Automake: srcdir. From tests.am: FL_BUILDDIR, the absolute top of
# the build, and the tools of the build (CC, CXX, NM, PKG_CONFIG, MAKE).

set -u
: "${srcdir:?run this through make check}"
: "${FL_BUILDDIR:?run this through make check}"
LC_ALL=C
export LC_ALL

passed()
{
	echo "1 passed, 0 failed, 0 skipped"
	exit 0
}

failed()
{
	echo "${0##*/}: $*"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}

skipped()
{
	test "${FAULTLINE_TEST_REQUIRE:-}" != all ||
		failed "would skip, but every test is required: $*"
	echo "${0##*/}: skipped: $*"
	echo "0 passed, 0 failed, 1 skipped"
	exit 77
}

# A directory of the test's own, gone when it ends; its name is in $tmp.
make_tmp()
{
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/faultline.XXXXXX") ||
		failed "no temporary directory"
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM
}
