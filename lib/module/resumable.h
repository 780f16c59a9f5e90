/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * resumable.h - the functions that a resumable module has beside its own.
 *
 * Takes a module and the list of its state; gives the contents of the type, function
 * and code sections with two functions more, or says why memory cannot be all that
 * an instance of the module is made of.
 */
#ifndef FL_RESUMABLE_H
#define FL_RESUMABLE_H

#include "module.h"
#include "sink.h"

struct fl__resumable {
	const struct fl__reader *reader;
	/* Of fl_module_state_exports(). */
	const struct fl_state_export *exports;
	uint32_t export_count;
	/* The module's own, after their count: set by the check. */
	uint32_t type_count;
	struct fl__view types;
};

/* 0, or -ENOTSUP and a text that names the thing. */
int fl__resumable_check(struct fl__resumable *resumable,
			struct fl_error *error);

/* Contents of sections, after a check. */
void fl__resumable_types(const struct fl__resumable *resumable,
			 struct fl__sink *sink);
void fl__resumable_functions(const struct fl__resumable *resumable,
			     struct fl__sink *sink);
void fl__resumable_code(const struct fl__resumable *resumable,
			struct fl__sink *sink);
#define FL__RESUMABLE_FUNCTIONS 2u

#endif
