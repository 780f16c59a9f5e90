/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * injected.h - what the files of listed_injected.c share: calls each of which is to
 * fail, and where it is tried.
 */
#ifndef FAIL_INJECTED_H
#define FAIL_INJECTED_H

#include "listed.h"

#include <stdlib.h>

/* Around a call of the library; the answer is noted, and returned. */
void injected_begin(void);
int injected_end(const char *call, int err);

#define TRY(call) (injected_begin(), injected_end(#call, call))

/* What failed may have retired a slot. */
void injected_settle(struct scene *scene);

/* Where each of them is tried. */
enum where {
	EVERYWHERE,
	ONCE,	/* on the first rung: the backend has no part in it */
	SLOW,	/* everywhere, and only one call fails at a time, with its error */
};

struct injected_try {
	void (*fn)(struct scene *scene);
	enum where where;
};

/* A row of no function ends each. */
extern const struct injected_try injected_images[];
extern const struct injected_try injected_tenants[];
extern const struct injected_try injected_sessions[];

#endif
