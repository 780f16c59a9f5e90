#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# check.sh - examples/sessions, built against an installed copy by nothing but
# its own makefile and pkg-config, keeps what it acknowledges. Run by
# "make check-sessions".
#
# The copy lies in a staging directory, and its .pc file is told so: other
# packages have their prefixes.

. "$srcdir/tests/kit/functions.sh"
test -n "$PKG_CONFIG" || skipped "no pkg-config"
make_tmp
top=$(cd "$srcdir" && pwd)

MAKEFLAGS='' $MAKE -C "$FL_BUILDDIR" install DESTDIR="$tmp/root" \
	>"$tmp/install.log" 2>&1 || {
	tail -n 20 "$tmp/install.log"
	failed "make install failed"
}
pc=$(find "$tmp/root" -name faultline.pc)
test -n "$pc" || failed "make install brought no faultline.pc"
mkdir "$tmp/pc" "$tmp/sessions"
sed "s,^prefix=,&$tmp/root," "$pc" >"$tmp/pc/faultline.pc"
LD_LIBRARY_PATH=${pc%/pkgconfig/*}
PKG_CONFIG_PATH=$tmp/pc${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export LD_LIBRARY_PATH PKG_CONFIG_PATH

MAKEFLAGS='' $MAKE -s -C "$tmp/sessions" -f "$top/examples/sessions/Makefile" \
	CC="$CC" PKG_CONFIG="$PKG_CONFIG" \
	CFLAGS="-O2 -g -Werror $FL_SANITIZER_FLAGS" ||
	failed "the example does not build"
FAULTLINE_SESSIONS=$tmp/sessions/sessions
# It names its stores when it is asked for another.
FAULTLINE_SESSIONS_HAS=$("$FAULTLINE_SESSIONS" none 2>&1)
if command -v redis-server >/dev/null; then
	FAULTLINE_SESSIONS_HAS="$FAULTLINE_SESSIONS_HAS server"
fi
export FAULTLINE_SESSIONS FAULTLINE_SESSIONS_HAS
out=$(sh "$top/tests/kit/run-test.sh" \
	"$FL_BUILDDIR/tests/consumers/sessions/sessions" "$@")
status=$?
case $status in
0 | 77) ;;
*) test ! -f "$FAULTLINE_SESSIONS.log" || tail -n 20 "$FAULTLINE_SESSIONS.log" ;;
esac
echo "$out"
exit $status
