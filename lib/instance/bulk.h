/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* bulk.h - writing an active data segment; see bulk.c. */
#ifndef FL_BULK_H
#define FL_BULK_H

#include "module/module.h"

/* Write data segment data_idx of a module to a memory. -EINVAL: these globals
 * do not tell the segment's offset. -EFAULT: the segment is out of bounds. */
int fl__data_write(struct fl_memory *memory, const struct fl_module *module,
		   uint32_t data_idx, const struct fl__globals *globals,
		   struct fl_error *error);

#endif
