/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bind.h - decoded tables that stay in their slots from one clone to the next.
 *
 * Takes a clone's table that was decoded; binds to its slot what the decoder made
 * (slots/bound.h), with a key of all that it may depend on: the table of the
 * snapshot, the decoder, the instance, its structure, and each of its memories and
 * tables, by handle and address. Tells a later clone whether its table holds that
 * already. If not, the table holds nulls, as after any acquire.
 *
 * Only where the runtime says that nothing else matters to its decoder
 * (fl_instance_config.binds_tables), and only within one call: between
 * fl_instance_allocate() and fl_instance_initialise() the runtime may do anything
 * to a table. Not for groups, whose elements may lead to other instances.
 */
#ifndef FL_BIND_H
#define FL_BIND_H

#include "instance.h"
#include "slots/bound.h"

/* May the tables of an instance by this configuration stay bound? */
bool fl__bind_may(const struct fl_pool *pool,
		  const struct fl_instance_config *config);

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

/* Is what is bound to a slot of an instance of the module, or of one that showed
 * the image? Either may be NULL. */
bool fl__bind_is_of(const struct fl__bound *bound,
		    const struct fl_module *module,
		    const struct fl_image *image);

#endif
