/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state_bytes.h - the state of a snapshot, read as a hostile one is.
 *
 * A world has modules and images that no pool and no kernel made, for a state to
 * speak of. state_try() loads any bytes in that world. What is taken must keep
 * what snapshot_state.h promises, must be saved and loaded again as the same,
 * and must give back each reference; what is refused must be refused with the
 * byte. Without a test framework, for the fuzz target too.
 */
#ifndef STATE_BYTES_H
#define STATE_BYTES_H

#include "base/bits.h"
#include "instance/snapshot_state.h"

#include <stdlib.h>

#define STATE_MODULES 3
#define STATE_IMAGES 6
/* No release of a test is the last one. */
#define STATE_REFS 1000000u

/*
 * Module 0 has two memories (1 to 3 pages; any number), a table of 10 to 100
 * functions, data segments 1 and 2 and element segment 1 that are passive.
 * Module 1 imports a memory of a page or more and a table of functions, has a
 * memory and a table of externals, and no segment that is passive. Module 2 has
 * nothing.
 */
static const uint8_t state_module_0[] = {
	0,    'a',  's',  'm', 1,   0, 0,   0, 1, 4,   1,  0x60, 0,    0,
	2,    7,    1,	  1,   'm', 1, 'f', 0, 0, 4,   5,  1,	 0x70, 1,
	10,   100,  5,	  6,   2,   1, 1,   3, 0, 0,   9,  11,	 2,    0,
	0x41, 0,    0x0b, 1,   0,   1, 0,   1, 0, 11,  13, 3,	 0,    0x41,
	0,    0x0b, 1,	  'a', 1,   1, 'b', 1, 1, 'c',
};
static const uint8_t state_module_1[] = {
	0, 'a', 's',  'm',  1,	  0, 0,	  0, 2,	   16, 2,    1,	 'm',
	1, 'm', 2,    0,    1,	  1, 'm', 1, 't',  1,  0x70, 0,	 1,
	4, 4,	1,    0x6f, 0,	  0, 5,	  3, 1,	   0,  1,    11, 13,
	2, 0,	0x41, 0,    0x0b, 1, 'a', 0, 0x41, 1,  0x0b, 1,	 'b',
};
static const uint8_t state_module_2[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };

struct state_world {
	struct fl_module modules[STATE_MODULES];
	struct fl__module_memory memories[STATE_MODULES][2];
	struct fl_image images[STATE_IMAGES];
	struct fl_module *module_list[STATE_MODULES];
	struct fl_image *image_list[STATE_IMAGES];
	struct fl__parts_list parts;
};

static inline void state_world_module(struct state_world *world, size_t idx,
				      const uint8_t *bytes, size_t len)
{
	struct fl_module *module = &world->modules[idx];
	struct fl_error error = { .text = "" };

	if (fl__reader_read(&module->reader, bytes, len, &error))
		abort();
	module->refs = STATE_REFS;
	module->memories = world->memories[idx];
	for (uint32_t i = 0; i < module->reader.memory_count; i++) {
		const struct fl__limits *limits =
			&module->reader.memories[i].limits;

		module->memories[i].page_bytes = 65536;
		module->memories[i].min_bytes = limits->min * 65536;
		module->memories[i].most_bytes =
			limits->most > 65536 ? UINT64_MAX :
					       limits->most * 65536;
	}
	world->module_list[idx] = module;
}

static inline void state_world_open(struct state_world *world)
{
	static const uint64_t sizes[STATE_IMAGES] = {
		65536, 131072, 0, 80, 64, 65536,
	};

	*world = (struct state_world){ .parts = { .image_count = 0 } };
	state_world_module(world, 0, state_module_0, sizeof(state_module_0));
	state_world_module(world, 1, state_module_1, sizeof(state_module_1));
	state_world_module(world, 2, state_module_2, sizeof(state_module_2));
	for (size_t i = 0; i < STATE_IMAGES; i++) {
		world->images[i].refs = STATE_REFS;
		world->images[i].map.initial_bytes = sizes[i];
		world->image_list[i] = &world->images[i];
	}
	world->parts = (struct fl__parts_list){
		.images = world->image_list,
		.modules = world->module_list,
		.image_count = STATE_IMAGES,
		.module_count = STATE_MODULES,
	};
}

static inline void state_world_close(struct state_world *world)
{
	for (size_t i = 0; i < STATE_MODULES; i++)
		fl__reader_fini(&world->modules[i].reader);
}

/* All references there are. */
static inline uint64_t state_world_refs(const struct state_world *world)
{
	uint64_t refs = 0;

	for (size_t i = 0; i < STATE_MODULES; i++)
		refs += world->modules[i].refs;
	for (size_t i = 0; i < STATE_IMAGES; i++)
		refs += world->images[i].refs;
	return refs;
}

/* ----------------------------------------------------- what loading promises */

static inline bool state_limits_fit(const struct fl__limits *actual,
				    const struct fl__limits *wanted)
{
	return actual->is_64 == wanted->is_64 &&
	       actual->is_shared == wanted->is_shared &&
	       actual->page_log2 == wanted->page_log2 &&
	       actual->max <= wanted->max;
}

static inline const char *state_link_wrong(const struct fl_snapshot *snapshot,
					   const struct fl__link *link,
					   bool is_table, uint32_t importer,
					   uint32_t import)
{
	const struct fl__reader *to, *from;

	if (!link->is_linked)
		return NULL;
	if (link->instance_idx >= importer)
		return "a link to an instance that comes later";
	from = &snapshot->instances[importer].module->reader;
	to = &snapshot->instances[link->instance_idx].module->reader;
	if (link->idx >= (is_table ? to->table_count : to->memory_count))
		return "a link past the last one";
	if (is_table && !snapshot->instances[link->instance_idx].has_tables)
		return "a link to a table that is not there";
	if (is_table ? !state_limits_fit(&to->tables[link->idx].limits,
					 &from->tables[import].limits) ||
			       to->tables[link->idx].type.heap !=
				       from->tables[import].type.heap :
		       !state_limits_fit(&to->memories[link->idx].limits,
					 &from->memories[import].limits))
		return "a link to what has another type";
	return NULL;
}

static inline const char *
state_table_wrong(const struct fl__captured_table *table,
		  const struct fl__limits *limits)
{
	uint64_t at = 0, values = 0;

	if (table->length < limits->min || table->length > limits->max)
		return "a table out of its limits";
	if (table->image && table->run_count)
		return "a table with an image and values";
	for (uint64_t i = 0; i < table->run_count; i++) {
		const struct fl__captured_run *run = &table->runs[i];

		if (!run->count || run->first_idx < at + (i ? 1 : 0) ||
		    run->count > table->length ||
		    run->first_idx > table->length - run->count)
			return "a run out of place";
		at = run->first_idx + run->count;
		values += run->count;
	}
	if (values != table->value_count)
		return "values without a run";
	for (uint64_t i = 0; i < values; i++) {
		if (table->values[i] == UINT64_MAX)
			return "a value that stands for null";
	}
	return NULL;
}

static inline const char *state_dropped_wrong(const struct fl__captured *c)
{
	const struct fl__reader *reader = &c->module->reader;

	for (uint32_t i = 0; c->dropped_data && i < reader->data_count; i++) {
		if (fl_bit_get(c->dropped_data, i) &&
		    reader->data[i].mode != FL__SEGMENT_PASSIVE)
			return "an active data segment was dropped";
	}
	for (uint32_t i = 0; c->dropped_elements && i < reader->elem_count;
	     i++) {
		if (fl_bit_get(c->dropped_elements, i) &&
		    reader->elems[i].mode != FL__SEGMENT_PASSIVE)
			return "an active element segment was dropped";
	}
	return NULL;
}

static inline const char *state_memories_wrong(const struct fl_snapshot *s,
					       uint32_t idx)
{
	const struct fl__captured *c = &s->instances[idx];
	const struct fl__reader *reader = &c->module->reader;
	const char *wrong = NULL;

	for (uint32_t i = 0; i < reader->memory_count && !wrong; i++) {
		bool is_imported = i < reader->imported_memory_count;

		if (is_imported)
			wrong = state_link_wrong(s, &c->memory_links[i], false,
						 idx, i);
		if (!c->is_parts && !c->images[i] != is_imported)
			wrong = "a memory without an image, or one too many";
	}
	return wrong;
}

static inline const char *state_instance_wrong(const struct fl_snapshot *s,
					       uint32_t idx)
{
	const struct fl__captured *c = &s->instances[idx];
	const struct fl__reader *reader = &c->module->reader;
	const char *wrong = state_memories_wrong(s, idx);

	for (uint32_t i = 0; i < reader->table_count && !wrong; i++) {
		if (!c->has_tables)
			break;
		wrong = i < reader->imported_table_count ?
				state_link_wrong(s, &c->table_links[i], true,
						 idx, i) :
				state_table_wrong(&c->tables[i],
						  &reader->tables[i].limits);
	}
	if (!wrong &&
	    !c->ctypes != !(c->structure || fl__captured_has_plain_table(c)))
		wrong = "plain bytes of no system, or a system without them";
	return wrong ? wrong : state_dropped_wrong(c);
}

static inline const char *state_snapshot_wrong(const struct fl_snapshot *s)
{
	const char *wrong = s->count ? NULL : "a snapshot of nothing";

	for (uint32_t i = 0; i < s->count && !wrong; i++)
		wrong = state_instance_wrong(s, i);
	return wrong;
}

/* ------------------------------------------------------------------- a trial */

/* Save a snapshot, load that, save again. */
static inline const char *state_again(const struct fl_snapshot *snapshot)
{
	struct fl__parts_list parts, again;
	uint8_t *bytes, *other = NULL;
	struct fl_error error = { .text = "" };
	struct fl_snapshot *loaded;
	const char *wrong = NULL;
	uint64_t len, other_len = 0;

	if (fl__snapshot_save(snapshot, &parts, &bytes, &len, &error))
		return "what was loaded cannot be saved";
	if (fl__snapshot_load(bytes, len, &parts, "e", &loaded, &error)) {
		wrong = "what was saved cannot be loaded";
	} else {
		if (fl__snapshot_save(loaded, &again, &other, &other_len,
				      &error))
			abort();
		if (len != other_len || memcmp(bytes, other, len) != 0)
			wrong = "what was saved is loaded as something else";
		fl__parts_list_fini(&again);
		fl_snapshot_release(loaded);
	}
	free(other);
	free(bytes);
	fl__parts_list_fini(&parts);
	return wrong;
}

/* Load bytes from an allocation of exactly their length. *err is the verdict;
 * NULL, or what the loader did wrong. */
static inline const char *state_try(const struct state_world *world,
				    const uint8_t *bytes, uint64_t len,
				    int *err, struct fl_error *error)
{
	uint8_t *copy = malloc(len ? (size_t)len : 1);
	struct fl_snapshot *snapshot = NULL;
	uint64_t refs = state_world_refs(world);
	const char *wrong = NULL;

	if (!copy)
		abort();
	if (len)
		memcpy(copy, bytes, (size_t)len);
	*error = (struct fl_error){ .byte_off = FL_ERROR_NO_OFFSET };
	*err = fl__snapshot_load(copy, len, &world->parts, "e", &snapshot,
				 error);
	free(copy);
	if (!*err) {
		wrong = state_snapshot_wrong(snapshot);
		if (!wrong)
			wrong = state_again(snapshot);
		fl_snapshot_release(snapshot);
	} else if (*err != -ENOEXEC && *err != -ENOTSUP && *err != -E2BIG) {
		wrong = "an error of no such kind";
	} else if (error->code != *err || error->byte_off > len ||
		   !error->text[0]) {
		wrong = "an error that does not say where";
	}
	if (!wrong && state_world_refs(world) != refs)
		wrong = "a reference was lost or is held";
	return wrong;
}

#endif
