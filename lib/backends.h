/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * backends.h - which backends there are, and the choice among them.
 *
 * Takes what the caller and FAULTLINE_DISABLE ask for; gives one opened
 * backend. No other part of lib/ knows a backend by its name.
 */
#ifndef FL_BACKENDS_H
#define FL_BACKENDS_H

#include "backend.h"

extern const struct fl__backend fl__backend_segmented;
/* Not in a library built --without-uffd. */
extern const struct fl__backend fl__backend_linux;

/*
 * Choose and open a backend: the named one, or the best that opens. A backend
 * that disabled lists (comma-separated, may be NULL) is passed over.
 */
int fl__backend_open(const struct fl_context_config *config,
		     const char *disabled, const struct fl__backend **backend,
		     struct fl__host **host, struct fl_error *error);

#endif
