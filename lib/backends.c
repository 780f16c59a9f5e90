/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* backends.c - the backends and the choice among them; see backends.h. */
#include "backends.h"

/* In order of preference; NULL ends the list. */
static const struct fl__backend *const backends[] = {
#ifdef FL_WITH_UFFD
	&fl__backend_linux,
#endif
	&fl__backend_segmented,
	NULL,
};

int fl__backend_open(const char *name, const char *rung, const char *disabled,
		     const struct fl__backend **backend, struct fl__host **host,
		     struct fl_error *error)
{
	struct fl_error found;
	int err = fl__error_set(&found, -ENOTSUP,
				"this library has no backend \"%s\"",
				name ? name : "");

	for (size_t i = 0; backends[i]; i++) {
		if (name && strcmp(name, backends[i]->name))
			continue;
		if (fl_name_is_listed(disabled, backends[i]->name))
			err = fl__error_set(
				&found, -ENOTSUP,
				"backend \"%s\" is taken away by FAULTLINE_DISABLE",
				backends[i]->name);
		else
			err = backends[i]->open(disabled, rung, host, &found);
		if (!err) {
			*backend = backends[i];
			return 0;
		}
		/* A caller that asks for a rung is told why there is no such
		 * rung here, not that another backend lacks the rung too. */
		if (rung && strcmp(rung, "discard"))
			break;
	}
	if (error)
		*error = found;
	return err;
}
