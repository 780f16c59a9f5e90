/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * survey.h - what else a module's bytes tell, for users that ask.
 *
 * Takes what the reader found; gives the types and exports of functions, and
 * marks: which tables and globals code may change, which functions may become
 * references, which segments code uses or drops.
 *
 * Where code.h cannot follow the code, everything is marked: the caller then
 * expects anything and is never wrong.
 *
 * Invariants
 * - Memory taken is bounded by the module's length: eight bytes a function, a
 *   view an export, a byte for each thing that has a mark.
 * - Time is linear in the module's length.
 * - A survey does not change after it is made.
 *
 * Pure but for the allocation. A survey borrows the reader's bytes.
 */
#ifndef FL_SURVEY_H
#define FL_SURVEY_H

#include "code.h"

struct fl__survey_function {
	uint32_t type_idx;
	uint32_t export_number; /* of its first export, from 1 on; 0: none */
};

struct fl__survey {
	struct fl__survey_function *functions;
	struct fl__view *export_names; /* in the order of the module */
	/* FL__CODE_USES of a function: it may become a reference. By code, an
	 * element segment that is not declared, or an initialiser. */
	struct fl__code_marks marks;
	bool is_code_known;
};

/* Make *survey, which fl__survey_free() ends. -ENOMEM. */
int fl__survey_make(const struct fl__reader *reader,
		    struct fl__survey **survey);
/* NULL is allowed. */
void fl__survey_free(struct fl__survey *survey);

#endif
