/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* reader_pass.c - the arrays of a reader. See reader_pass.h. */
#include "reader_pass.h"

#include <inttypes.h>
#include <stdlib.h>

void *fl__pass_grow(struct fl__pass *p, void *items, uint32_t *capacity,
		    uint64_t need, uint32_t max, size_t item_bytes,
		    const char *what)
{
	uint64_t wanted = fl_max_u64(need, fl_min_u64(2ull * *capacity, max));
	void *wider;

	if (p->cursor.err || need <= *capacity)
		return items;
	if (need > max) {
		fl__cursor_fail(&p->cursor, -E2BIG, p->cursor.off,
				"the module has more than %" PRIu32
				" %s, which is all that Faultline reads",
				max, what);
		return items;
	}
	wider = realloc(items, (size_t)wanted * item_bytes);
	if (!wider) {
		fl__cursor_fail(&p->cursor, -ENOMEM, p->cursor.off,
				"no memory to keep %" PRIu64 " %s", wanted,
				what);
		return items;
	}
	memset((char *)wider + *capacity * item_bytes, 0,
	       ((size_t)wanted - *capacity) * item_bytes);
	*capacity = (uint32_t)wanted;
	return wider;
}
