# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# faultline.m4 - the checks of configure.ac that are used more than once.

# FL_CHECK_CFLAG(FLAG, VARIABLE)
# Appends FLAG to VARIABLE if the C compiler takes it without complaint. The
# test runs with -Werror, because clang only warns about flags it does not know.
AC_DEFUN([FL_CHECK_CFLAG], [
  AS_VAR_PUSHDEF([fl_cache], [fl_cv_cflag_$1])
  AC_CACHE_CHECK([whether $CC takes $1], [fl_cache], [
    fl_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $1"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
      [AS_VAR_SET([fl_cache], [yes])], [AS_VAR_SET([fl_cache], [no])])
    CFLAGS=$fl_save_CFLAGS
  ])
  AS_VAR_IF([fl_cache], [yes], [AS_VAR_APPEND([$2], [" $1"])])
  AS_VAR_POPDEF([fl_cache])
])

# FL_CHECK_LDFLAG(FLAG, VARIABLE)
# Appends FLAG to VARIABLE if a program links with it.
AC_DEFUN([FL_CHECK_LDFLAG], [
  AS_VAR_PUSHDEF([fl_cache], [fl_cv_ldflag_$1])
  AC_CACHE_CHECK([whether the linker takes $1], [fl_cache], [
    fl_save_LDFLAGS=$LDFLAGS
    LDFLAGS="$LDFLAGS $1"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
      [AS_VAR_SET([fl_cache], [yes])], [AS_VAR_SET([fl_cache], [no])])
    LDFLAGS=$fl_save_LDFLAGS
  ])
  AS_VAR_IF([fl_cache], [yes], [AS_VAR_APPEND([$2], [" $1"])])
  AS_VAR_POPDEF([fl_cache])
])

# FL_CHECK_MAP_VERSION(MAP)
# The newest node of the version map must carry the version of AC_INIT: a
# release that adds symbols under an old node breaks its users silently.
AC_DEFUN([FL_CHECK_MAP_VERSION], [
  AC_MSG_CHECKING([that $1 and version AC_PACKAGE_VERSION agree])
  fl_want=FAULTLINE_`AS_ECHO(["AC_PACKAGE_VERSION"]) | sed 's/\.@<:@^.@:>@*$//'`
  fl_have=`sed -n 's/^\(FAULTLINE_@<:@0-9.@:>@*\) *{.*/\1/p' "$srcdir/$1" | tail -n 1`
  AS_IF([test "x$fl_want" = "x$fl_have"], [AC_MSG_RESULT([yes])], [
    AC_MSG_RESULT([no])
    AC_MSG_ERROR([the newest node of $1 is "$fl_have" but configure.ac says AC_PACKAGE_VERSION: name it $fl_want or correct the version])
  ])
])
