/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fail.h - how an adapter says in words why a call failed.
 *
 * Adapters see the public header alone, and the library exports no call for
 * this. A header is no symbol that two static adapters in one program share.
 */
#ifndef FL_ADAPTERS_FAIL_H
#define FL_ADAPTERS_FAIL_H

#include <faultline.h>
#include <stdarg.h>
#include <stdio.h>

/* Fill *error, which may be NULL. The answer is err. */
__attribute__((format(printf, 3, 4))) static int
fail(struct fl_error *error, int err, const char *format, ...)
{
	va_list args;

	if (!error)
		return err;
	error->code = err;
	error->trap = FL_TRAP_NONE;
	error->byte_off = FL_ERROR_NO_OFFSET;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return err;
}

#endif
