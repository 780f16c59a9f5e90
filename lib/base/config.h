/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * config.h - configuration structs, which start with their size.
 *
 * A caller's struct may be older than this library (shorter: the rest keeps its
 * default) or newer (longer: accepted while the unknown tail is zero).
 */
#ifndef FL_CONFIG_H
#define FL_CONFIG_H

#include "error.h"

/* Complete a caller's struct of a kind, or the defaults for NULL: *known has
 * the type that this library knows. -EINVAL. */
int fl__config_read(enum fl_config_kind kind, void *known, const void *config,
		    struct fl_error *error);

/* A name that a caller gives something, with its NUL. */
#define FL__NAME_BYTES	64

/* Copy a name; NULL becomes "". what is the field that holds the name. -EINVAL:
 * the name is too long, or no UTF-8, which JSON and readers of the statistics need. */
int fl__config_name(char name[FL__NAME_BYTES], const char *given,
		    const char *what, struct fl_error *error);

#endif
