/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bind.h - decoded tables and structures that stay in their slots from one clone to
 * the next.
 *
 * Takes a clone's table or structure that was decoded; binds to its slot what the
 * runtime made (slots/bound.h), with a key of all that it may depend on: what it
 * is of the snapshot, the calls that made it, the instance, its structure, and each
 * of its memories and tables, by handle and address. Tells a later clone whether
 * its table or structure holds that already. If not, it shows its image, nulls or
 * zeroes, as after any acquire.
 *
 * Only where the runtime says that nothing else matters to its calls
 * (fl_instance_config.binds_tables and binds_structure), and only within one
 * call: between fl_instance_allocate() and fl_instance_initialise() the runtime
 * may do anything to a table. Not for groups, whose elements may lead to other
 * instances; and a session that wakes brings a structure of its own.
 */
#ifndef FL_BIND_H
#define FL_BIND_H

#include "instance.h"
#include "slots/bound.h"

/* Leave of binds_tables and binds_structure what may be for such an instance. */
void fl__bind_settle(const struct fl_pool *pool,
		     struct fl_instance_config *config);

/* Does the table hold what the snapshot's table is decoded to? If not, nothing is
 * bound to its slot after this, and its elements are nulls. */
bool fl__bind_holds(const struct fl_instance *instance,
		    const struct fl_instance_config *config,
		    const struct fl__captured_table *captured,
		    uint32_t table_idx);

/* The table was decoded. */
void fl__bind_table(const struct fl_instance *instance,
		    const struct fl_instance_config *config,
		    const struct fl__captured_table *captured,
		    uint32_t table_idx);

/* The same of the structure, with all that comes before "restored". An error of a
 * structure that held something else: the instance is to be given back. */
int fl__bind_structure_holds(const struct fl_instance *instance,
			     const struct fl_instance_config *config,
			     const struct fl__captured *captured, bool *holds,
			     struct fl_error *error);

/* The structure was decoded and rebound. */
void fl__bind_structure(const struct fl_instance *instance,
			const struct fl_instance_config *config,
			const struct fl__captured *captured);

/* Is what is bound to a slot of an instance of the module, or of one that showed
 * the image? Either may be NULL. */
bool fl__bind_is_of(const struct fl__bound *bound,
		    const struct fl_module *module,
		    const struct fl_image *image);

#endif
