/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* validate.h - do imports fit a module and a pool? See validate.c. */
#ifndef FL_VALIDATE_H
#define FL_VALIDATE_H

#include "module/module.h"
#include "slots/pool.h"

/* Do the imports and the tunables of a complete config fit? -EINVAL,
 * -ENOTSUP. */
int fl__instance_check(const struct fl_pool *pool,
		       const struct fl_module *module,
		       const struct fl_instance_config *config,
		       struct fl_error *error);

#endif
