/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* validate.h - do imports fit a module and a pool? See validate.c. */
#ifndef FL_VALIDATE_H
#define FL_VALIDATE_H

#include "slots/pool.h"
#include "snapshot.h"

/* Do the imports and the tunables of a complete config fit? -EINVAL,
 * -ENOTSUP. */
int fl__instance_check(const struct fl_pool *pool,
		       const struct fl_module *module,
		       const struct fl_instance_config *config,
		       struct fl_error *error);

/* Does what was captured fit the module and the pool? -EINVAL, -E2BIG,
 * -ENOTSUP. */
int fl__instance_check_captured(const struct fl_pool *pool,
				const struct fl_module *module,
				const struct fl__captured *captured,
				struct fl_error *error);

/* Does what the instance starts with keep the limits of its tenant? captured
 * may be NULL, and fits the pool. -E2BIG. */
int fl__instance_check_limits(const struct fl_pool *pool,
			      const struct fl_module *module,
			      const struct fl_instance_config *config,
			      const struct fl__captured *captured,
			      struct fl_error *error);

#endif
