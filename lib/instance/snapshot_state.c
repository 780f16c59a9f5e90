/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* snapshot_state.c - see snapshot_state.h. */
#include "snapshot_state.h"
#include "base/bits.h"
#include "base/ctypes.h"
#include "wasm/valtype.h"

#include <stdlib.h>

#define STATE_VERSION 1u
#define HAS_TABLES 1u
#define IS_PARTS 2u
#define HAS_CTYPES 4u
/* Module, flags, five counts and lengths: a module may have nothing. */
#define INSTANCE_MIN_BYTES 7u

/* ------------------------------------------------------------------ writing */

struct out {
	uint8_t *bytes;
	size_t count, room;
	bool has_failed;
};

static void put_raw(struct out *out, const void *bytes, uint64_t len)
{
	if (out->has_failed || !len)
		return;
	if (len > out->room - out->count) {
		size_t room = 2 * out->room + (size_t)len + 256;
		uint8_t *grown =
			len < SIZE_MAX / 4 ? realloc(out->bytes, room) : NULL;

		if (!grown) {
			out->has_failed = true;
			return;
		}
		out->bytes = grown;
		out->room = room;
	}
	memcpy(out->bytes + out->count, bytes, (size_t)len);
	out->count += (size_t)len;
}

static void put(struct out *out, uint64_t value)
{
	uint8_t leb[10];
	size_t count = 0;

	for (; value > 127; value >>= 7)
		leb[count++] = (uint8_t)(value | 128);
	leb[count++] = (uint8_t)value;
	put_raw(out, leb, count);
}

/* Where a part is in its list, from 1 on; 0 for none. */
static uint64_t find(void *const *list, uint32_t count, const void *part)
{
	for (uint32_t i = 0; part && i < count; i++) {
		if (list[i] == part)
			return i + 1u;
	}
	return 0;
}

static uint64_t image_number(const struct fl__parts_list *parts,
			     const struct fl_image *image)
{
	return find((void *const *)parts->images, parts->image_count, image);
}

static void put_link(struct out *out, const struct fl__link *link)
{
	put(out, link->is_linked ? link->instance_idx + UINT64_C(1) : 0);
	if (link->is_linked)
		put(out, link->idx);
}

static void put_table(struct out *out, const struct fl__parts_list *parts,
		      const struct fl__captured_table *table)
{
	const uint64_t *values = table->values;
	uint64_t at = 0;

	put(out, table->length);
	put(out, table->element_bytes);
	put(out, image_number(parts, table->image));
	if (table->image)
		put_raw(out, table->null, table->element_bytes);
	put(out, table->run_count);
	for (uint64_t i = 0; i < table->run_count; i++) {
		const struct fl__captured_run *run = &table->runs[i];

		put(out, run->first_idx - at);
		put(out, run->count);
		for (uint64_t k = 0; k < run->count; k++)
			put(out, *values++);
		at = run->first_idx + run->count;
	}
}

static void put_dropped(struct out *out, const uint64_t *bits, uint32_t count)
{
	uint32_t dropped = 0;

	for (uint32_t i = 0; bits && i < count; i++)
		dropped += fl_bit_get(bits, i);
	put(out, dropped);
	for (uint32_t i = 0; dropped && i < count; i++) {
		if (fl_bit_get(bits, i))
			put(out, i);
	}
}

static bool has_plain_part(const struct fl__captured *captured)
{
	return captured->structure || fl__captured_has_plain_table(captured);
}

static void put_instance(struct out *out, const struct fl__parts_list *parts,
			 const struct fl__captured *captured)
{
	const struct fl__reader *reader = &captured->module->reader;
	bool is_plain = has_plain_part(captured);

	put(out, find((void *const *)parts->modules, parts->module_count,
		      captured->module) -
			 1);
	put(out, (captured->has_tables ? HAS_TABLES : 0) |
			 (captured->is_parts ? IS_PARTS : 0) |
			 (is_plain ? HAS_CTYPES : 0));
	if (is_plain)
		put(out,
		    captured->ctypes ? captured->ctypes : fl__ctypes_here());
	put(out, reader->memory_count);
	for (uint32_t i = 0; i < reader->memory_count; i++)
		put(out, image_number(parts, captured->images[i]));
	for (uint32_t i = 0; i < reader->imported_memory_count; i++)
		put_link(out, &captured->memory_links[i]);
	for (uint32_t i = 0; captured->has_tables && i < reader->table_count;
	     i++) {
		if (i < reader->imported_table_count)
			put_link(out, &captured->table_links[i]);
		else
			put_table(out, parts, &captured->tables[i]);
	}
	put(out, image_number(parts, captured->structure));
	put_dropped(out, captured->dropped_data, reader->data_count);
	put_dropped(out, captured->dropped_elements, reader->elem_count);
	put(out, captured->state_bytes);
	put_raw(out, captured->state, captured->state_bytes);
}

/* Add a part to a list that has room, unless it is there or is none. */
static void list_part(void **list, uint32_t *count, void *part)
{
	if (part && !find(list, *count, part))
		list[(*count)++] = part;
}

static void list_images(struct fl__parts_list *parts,
			const struct fl__captured *captured)
{
	void **images = (void **)parts->images;

	for (size_t i = 0; i < FL__READER_MAX_MEMORIES; i++)
		list_part(images, &parts->image_count, captured->images[i]);
	for (size_t i = 0; i < FL__READER_MAX_TABLES; i++)
		list_part(images, &parts->image_count,
			  captured->tables[i].image);
	list_part(images, &parts->image_count, captured->structure);
}

int fl__snapshot_save(const struct fl_snapshot *snapshot,
		      struct fl__parts_list *parts, uint8_t **bytes,
		      uint64_t *length_bytes, struct fl_error *error)
{
	const size_t images_each =
		FL__READER_MAX_MEMORIES + FL__READER_MAX_TABLES + 1;
	struct out out = { 0 };

	*parts = (struct fl__parts_list){
		.images = calloc(snapshot->count * images_each,
				 sizeof(*parts->images)),
		.modules = calloc(snapshot->count, sizeof(*parts->modules)),
	};
	out.has_failed = !parts->images || !parts->modules;
	for (uint32_t i = 0; i < snapshot->count && !out.has_failed; i++) {
		list_images(parts, &snapshot->instances[i]);
		list_part((void **)parts->modules, &parts->module_count,
			  snapshot->instances[i].module);
	}
	put(&out, STATE_VERSION);
	put(&out, snapshot->count);
	for (uint32_t i = 0; i < snapshot->count && !out.has_failed; i++)
		put_instance(&out, parts, &snapshot->instances[i]);
	if (out.has_failed) {
		free(out.bytes);
		fl__parts_list_fini(parts);
		return fl__error_set(error, -ENOMEM,
				     "no memory to write a snapshot's state");
	}
	*bytes = out.bytes;
	*length_bytes = out.count;
	return 0;
}

void fl__parts_list_fini(struct fl__parts_list *parts)
{
	free(parts->images);
	free(parts->modules);
	*parts = (struct fl__parts_list){ 0 };
}

/* ------------------------------------------------------------------ reading */

struct in {
	struct fl__cursor c;
	const struct fl__parts_list *parts;
	struct fl_snapshot *snapshot;
	struct fl__captured *captured; /* that is being read */
};

static void in_fail(struct in *in, uint64_t off, const char *what)
{
	fl__cursor_fail(&in->c, -ENOEXEC, off, "%s", what);
}

/* A reference to the image that comes next; NULL for none, or after a
 * failure. */
static struct fl_image *get_image(struct in *in)
{
	uint32_t number = fl__cursor_index(&in->c, "image",
					   in->parts->image_count + 1,
					   "images of the file and none");

	if (in->c.err || !number)
		return NULL;
	return fl_image_retain(in->parts->images[number - 1]);
}

static bool limits_match(const struct fl__limits *actual,
			 const struct fl__limits *wanted)
{
	return actual->is_64 == wanted->is_64 &&
	       actual->is_shared == wanted->is_shared &&
	       actual->page_log2 == wanted->page_log2 &&
	       actual->max <= wanted->max;
}

/* May a module import what the link leads to? The size is looked at when a
 * clone is made. */
static bool link_matches(const struct in *in, bool is_table,
			 uint32_t import_idx, const struct fl__link *link)
{
	const struct fl__reader *from = &in->captured->module->reader;
	const struct fl__reader *to =
		&in->snapshot->instances[link->instance_idx].module->reader;
	const struct fl__table_type *actual, *wanted;

	if (!is_table)
		return limits_match(&to->memories[link->idx].limits,
				    &from->memories[import_idx].limits);
	actual = &to->tables[link->idx];
	wanted = &from->tables[import_idx];
	return limits_match(&actual->limits, &wanted->limits) &&
	       fl__valtype_matches(actual->type, wanted->type) &&
	       fl__valtype_matches(wanted->type, actual->type);
}

static void get_link(struct in *in, bool is_table, uint32_t import_idx,
		     struct fl__link *link)
{
	uint32_t earlier = (uint32_t)(in->captured - in->snapshot->instances);
	uint64_t off = in->c.off;
	uint32_t number = fl__cursor_index(&in->c, "link", earlier + 1,
					   "instances before this one");
	const struct fl__captured *target;

	if (in->c.err || !number)
		return;
	target = &in->snapshot->instances[number - 1];
	*link = (struct fl__link){ .is_linked = true,
				   .instance_idx = number - 1 };
	if (is_table && !target->has_tables)
		in_fail(in, off, "a table is linked to none");
	link->idx =
		fl__cursor_index(&in->c, "linked index",
				 is_table ? target->module->reader.table_count :
					    target->module->reader.memory_count,
				 is_table ? "tables" : "memories");
	if (!in->c.err && !link_matches(in, is_table, import_idx, link))
		in_fail(in, off,
			"the link leads to a memory or table of another type");
}

/* Would the module have grown a memory to this size? */
static bool memory_fits(const struct fl_module *module, uint32_t memory_idx,
			uint64_t bytes)
{
	const struct fl__module_memory *memory = &module->memories[memory_idx];

	return bytes >= memory->min_bytes && bytes <= memory->most_bytes &&
	       bytes % memory->page_bytes == 0;
}

static void get_memories(struct in *in)
{
	struct fl__captured *captured = in->captured;
	const struct fl__reader *reader = &captured->module->reader;
	uint64_t off = in->c.off;

	if (fl__cursor_u32(&in->c, "count of memories") !=
		    reader->memory_count &&
	    !in->c.err)
		in_fail(in, off, "the module has another number of memories");
	for (uint32_t i = 0; i < reader->memory_count && !in->c.err; i++) {
		struct fl_image *image;

		off = in->c.off;
		image = captured->images[i] = get_image(in);
		if (in->c.err)
			continue;
		if (captured->is_parts) {
			if (image &&
			    image->map.initial_bytes >
				    captured->module->memories[i].most_bytes)
				in_fail(in, off,
					"the image is larger than the module's memory can be");
			continue;
		}
		if (!image != (i < reader->imported_memory_count))
			in_fail(in, off,
				"only memories that the module defines have an image, and each has one");
		else if (image && !memory_fits(captured->module, i,
					       image->map.initial_bytes))
			in_fail(in, off,
				"the image has a size that the module's memory cannot have");
	}
	for (uint32_t i = 0; i < reader->imported_memory_count && !in->c.err;
	     i++)
		get_link(in, false, i, &captured->memory_links[i]);
}

static void get_run(struct in *in, struct fl__captured_table *table,
		    uint64_t *at)
{
	struct fl__captured_run *run = &table->runs[table->run_count];
	uint64_t off = in->c.off;
	uint64_t nulls = fl__cursor_u64(&in->c, "number of nulls");
	uint64_t count = fl__cursor_u64(&in->c, "number of elements");
	uint64_t left = table->length - *at;

	if (in->c.err)
		return;
	if (nulls > left || count > left - nulls || !count ||
	    count > fl__cursor_left(&in->c) || (*at && !nulls)) {
		in_fail(in, off, "the run does not fit its table");
		return;
	}
	*run = (struct fl__captured_run){ *at + nulls, count };
	for (uint64_t i = 0; i < count && !in->c.err; i++) {
		off = in->c.off;
		table->values[table->value_count] =
			fl__cursor_u64(&in->c, "value");
		if (table->values[table->value_count++] == UINT64_MAX)
			in_fail(in, off, "a value stands for null");
	}
	table->run_count++;
	*at = run->first_idx + count;
}

/* How many values runs have, at most: a look ahead, which fails nothing. */
static uint64_t count_values(const struct in *in, uint64_t runs)
{
	struct fl__cursor c = in->c;
	uint64_t total = 0;

	c.error = NULL;
	for (uint64_t i = 0; i < runs && !c.err; i++) {
		uint64_t count;

		(void)fl__cursor_u64(&c, "number of nulls");
		count = fl__cursor_u64(&c, "number of elements");
		if (count > fl__cursor_left(&c))
			break;
		total += count;
		while (count--)
			(void)fl__cursor_u64(&c, "value");
	}
	return total;
}

/* A value takes a byte or more, and a run two more. So both allocations are in
 * proportion to the bytes left. */
static void get_runs(struct in *in, struct fl__captured_table *table)
{
	uint64_t off = in->c.off, at = 0;
	uint64_t runs = fl__cursor_u64(&in->c, "number of runs");
	uint64_t values;

	if (in->c.err || !runs)
		return;
	if (runs > fl__cursor_left(&in->c) / 3 || table->image) {
		in_fail(in, off, "the table cannot have so many runs");
		return;
	}
	values = count_values(in, runs);
	table->runs = calloc((size_t)runs, sizeof(*table->runs));
	table->values = calloc((size_t)values + 1, sizeof(*table->values));
	if (!table->runs || !table->values) {
		fl__cursor_fail(&in->c, -ENOMEM, off, "no memory for a table");
		return;
	}
	for (uint64_t i = 0; i < runs && !in->c.err; i++)
		get_run(in, table, &at);
	fl_assert(table->value_count <= values);
}

/* Of a table whose elements are bytes, so that their width counts. */
static void get_null(struct in *in, struct fl__captured_table *table)
{
	uint64_t off = in->c.off;
	struct fl__view view;

	if (!fl__table_width_is_valid(table->element_bytes))
		in_fail(in, off, "no element is so wide");
	view = fl__cursor_skip(&in->c, "null reference", table->element_bytes);
	if (!in->c.err)
		memcpy(table->null, in->c.bytes + view.off, (size_t)view.len);
}

static void get_table(struct in *in, uint32_t table_idx)
{
	struct fl__captured_table *table = &in->captured->tables[table_idx];
	const struct fl__limits *limits =
		&in->captured->module->reader.tables[table_idx].limits;
	uint64_t off = in->c.off, bytes;

	table->length = fl__cursor_u64(&in->c, "length of a table");
	table->element_bytes = fl__cursor_u32(&in->c, "width of an element");
	table->image = get_image(in);
	if (in->c.err)
		return;
	if (table->length < limits->min || table->length > limits->most ||
	    fl_mul_overflow(table->length, table->element_bytes, &bytes) ||
	    (table->image && table->image->map.initial_bytes != bytes))
		in_fail(in, off,
			"the table has a size that the module's table cannot have");
	else if (table->image)
		get_null(in, table);
	get_runs(in, table);
}

static void get_tables(struct in *in)
{
	const struct fl__reader *reader = &in->captured->module->reader;

	if (!in->captured->has_tables)
		return;
	for (uint32_t i = 0; i < reader->table_count && !in->c.err; i++) {
		if (i < reader->imported_table_count)
			get_link(in, true, i, &in->captured->table_links[i]);
		else
			get_table(in, i);
	}
}

/* Instantiation has dropped the others. A slot has no room for their bits. */
static bool is_passive(const struct in *in, bool is_data, uint32_t idx)
{
	const struct fl__reader *reader = &in->captured->module->reader;

	return (is_data ? reader->data[idx].mode : reader->elems[idx].mode) ==
	       FL__SEGMENT_PASSIVE;
}

static void get_dropped(struct in *in, bool is_data, uint64_t **bits)
{
	const struct fl__reader *reader = &in->captured->module->reader;
	uint32_t segments = is_data ? reader->data_count : reader->elem_count;
	const char *what = is_data ? "dropped data segment" :
				     "dropped element segment";
	uint64_t off = in->c.off;
	uint32_t count = fl__cursor_count(&in->c, what, 1, UINT32_MAX);
	uint32_t from = 0;

	if (in->c.err || !count)
		return;
	if (count > segments) {
		in_fail(in, off, "the module has fewer segments to drop");
		return;
	}
	*bits = calloc(fl_bits_words(segments), sizeof(**bits));
	if (!*bits)
		fl__cursor_fail(&in->c, -ENOMEM, off,
				"no memory for dropped segments");
	while (count-- && !in->c.err) {
		uint32_t idx;

		off = in->c.off;
		idx = fl__cursor_index(&in->c, what, segments, "segments");
		if (in->c.err)
			return;
		if (idx < from)
			in_fail(in, off, "segments are not in order");
		else if (!is_passive(in, is_data, idx))
			in_fail(in, off, "the dropped segment is not passive");
		fl_bit_set(*bits, idx, true);
		from = idx + 1;
	}
}

static void get_own_bytes(struct in *in)
{
	struct fl__captured *captured = in->captured;
	uint64_t len = fl__cursor_u64(&in->c, "length of the runtime's bytes");
	struct fl__view view = fl__cursor_skip(&in->c, "runtime's bytes", len);

	if (in->c.err || (!len && !captured->is_parts))
		return;
	captured->state = malloc((size_t)len + 1);
	if (!captured->state) {
		fl__cursor_fail(&in->c, -ENOMEM, view.off,
				"no memory for the runtime's bytes");
		return;
	}
	memcpy(captured->state, in->c.bytes + view.off, (size_t)len);
	captured->state_bytes = len;
}

static uint32_t get_ctypes(struct in *in)
{
	uint64_t off = in->c.off;
	uint32_t number = fl__cursor_index(&in->c, "layout of C's types",
					   FL__CTYPES_END, "layouts");

	if (!in->c.err && !number)
		in_fail(in, off, "no system has this layout of C's types");
	return number;
}

static void get_instance(struct in *in)
{
	struct fl__captured *captured = in->captured;
	uint32_t module = fl__cursor_index(&in->c, "module",
					   in->parts->module_count, "modules");
	uint64_t off = in->c.off;
	uint8_t flags = fl__cursor_choice(&in->c, "flags",
					  HAS_TABLES | IS_PARTS | HAS_CTYPES,
					  "at most 7");

	if (in->c.err)
		return;
	if (flags & HAS_CTYPES)
		captured->ctypes = get_ctypes(in);
	captured->module = fl_module_retain(in->parts->modules[module]);
	captured->has_tables = flags & HAS_TABLES;
	captured->is_parts = flags & IS_PARTS;
	get_memories(in);
	if (!in->c.err)
		get_tables(in);
	captured->structure = get_image(in);
	if (!in->c.err && has_plain_part(captured) != !!(flags & HAS_CTYPES))
		in_fail(in, off,
			"flag 4 stands with an image of a table or of the structure, and only there");
	get_dropped(in, true, &captured->dropped_data);
	get_dropped(in, false, &captured->dropped_elements);
	get_own_bytes(in);
}

int fl__snapshot_load(const uint8_t *bytes, uint64_t length_bytes,
		      const struct fl__parts_list *parts, const char *encoding,
		      struct fl_snapshot **out, struct fl_error *error)
{
	struct in in = {
		.c = { .bytes = bytes,
		       .end = length_bytes,
		       .error = error,
		       .scope = "state" },
		.parts = parts,
	};
	uint32_t version = fl__cursor_u32(&in.c, "version"), count;
	int err;

	if (!in.c.err && version != STATE_VERSION)
		fl__cursor_fail(
			&in.c, -ENOTSUP, 0,
			"the snapshot's state has version %u, which this library does not know",
			version);
	count = fl__cursor_count(&in.c, "count of instances",
				 INSTANCE_MIN_BYTES,
				 FL__SNAPSHOT_MAX_INSTANCES);
	if (!in.c.err && !count)
		in_fail(&in, in.c.off, "the snapshot holds no instance");
	if (in.c.err)
		return in.c.err;
	err = fl__snapshot_alloc(count, encoding, &in.snapshot, error);
	if (err)
		return err;
	for (uint32_t i = 0; i < count && !in.c.err; i++) {
		in.captured = &in.snapshot->instances[i];
		get_instance(&in);
	}
	if (!in.c.err && fl__cursor_left(&in.c))
		in_fail(&in, in.c.off, "bytes follow the last instance");
	if (in.c.err) {
		fl_snapshot_release(in.snapshot);
		return in.c.err;
	}
	*out = in.snapshot;
	return 0;
}
