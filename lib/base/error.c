/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* error.c - the closed error table behind error.h and fl_strerror(). */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
	int code;
	const char *meaning;
} error_table[] = {
#define FL_ERROR(code, meaning) { -(code), meaning },
#include "error.def"
#undef FL_ERROR
	{ 0, "success" },
};

static const char *error_find(int err)
{
	for (size_t i = 0; i < FL_ARRAY_SIZE(error_table); i++) {
		if (error_table[i].code == err)
			return error_table[i].meaning;
	}
	return NULL;
}

const char *fl_strerror(int err)
{
	const char *meaning = error_find(err);

	return meaning ? meaning : "unknown error";
}

const char *fl_trap_name(enum fl_trap trap)
{
	static const char *const names[] = {
		[FL_TRAP_NONE] = "none",
		[FL_TRAP_MEMORY_OUT_OF_BOUNDS] = "out of bounds memory access",
		[FL_TRAP_TABLE_OUT_OF_BOUNDS] = "out of bounds table access",
	};

	return (size_t)trap < FL_ARRAY_SIZE(names) ? names[trap] :
						     "unknown trap";
}

const char *fl_version(void)
{
	return FL_VERSION;
}

int fl__error_fold(int err)
{
	/* Each reset ends here. */
	if (!err)
		return 0;
	switch (-err) {
	/* Something is used up, if not memory itself. EAGAIN is a limit of
	 * locked memory or of threads. */
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EFBIG:
	case ENOSPC:
#ifdef EDQUOT
	case EDQUOT:
#endif
	case EAGAIN:
		return -ENOMEM;
	case EPERM:
	case EACCES:
		return -EPERM;
	/* ENOTSUP, EINVAL and ETIMEDOUT among them: the caller's argument is as
	 * good as the system's answer says otherwise. */
	default:
		return -EIO;
	}
}

int fl__error_answer(int answer)
{
	return answer < 0 && error_find(answer) ? answer : -EIO;
}

int fl__error_set_file(struct fl_error *error, int code, const char *path,
		       int fd, const char *fmt, ...)
{
	char text[sizeof(error->text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return path ? fl__error_set(error, code, "%s: %s", text, path) :
		      fl__error_set(error, code, "%s: descriptor %d", text, fd);
}

int fl__error_fill(struct fl_error *error, int code, enum fl_trap trap,
		   uint64_t byte_off, const char *fmt, ...)
{
	va_list args;

	fl_assert(code && error_find(code));
	if (error) {
		error->code = code;
		error->trap = trap;
		error->byte_off = byte_off;
		va_start(args, fmt);
		vsnprintf(error->text, sizeof(error->text), fmt, args);
		va_end(args);
	}
	return code;
}
