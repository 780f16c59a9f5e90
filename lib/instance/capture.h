/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* capture.h - what of live instances is no image: values and states. See
 * capture.c. */
#ifndef FL_CAPTURE_H
#define FL_CAPTURE_H

#include "instance.h"

/* Are these instances live, and this process's? -EINVAL, -ECHILD. */
int fl__capture_check(struct fl_instance *const *instances, uint32_t count,
		      struct fl_error *error);

/*
 * Capture of an instance all that is no image: links to earlier ones, lengths of
 * tables, the elements of tables that are not plain, dropped segments, the
 * runtime's bytes. captured is zero; after an error too the caller ends it by
 * fl__captured_fini().
 */
int fl__capture_values(struct fl_instance *const *instances, uint32_t idx,
		       const struct fl_snapshot_config *config,
		       struct fl__captured *captured, struct fl_error *error);

#endif
