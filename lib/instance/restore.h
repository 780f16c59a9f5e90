/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* restore.h - the second half of a clone's instantiation; see restore.c. */
#ifndef FL_RESTORE_H
#define FL_RESTORE_H

#include "instance.h"

/* Decode, rebind, restored, of an instance that was allocated with captured.
 * The caller gives the instance back after an error. Until the caller says that
 * the instance is restored, fl_instance_release() refuses it. */
int fl__instance_restore(struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 const struct fl__captured *captured,
			 struct fl_error *error);

static inline void fl__instance_restored(struct fl_instance *instance)
{
	__atomic_store_n(&instance->is_restoring, false, __ATOMIC_RELAXED);
}

#endif
