/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c-encode.c - an instance's globals, tables and drop flags as
 * bytes.
 *
 * Takes a layout and an instance; gives bytes that hold values and indices.
 * faultline-wasm2c.h says what the bytes are. A reference is found among the
 * layout's functions by its address, and one that is none of them is refused by
 * name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasm2c-state.h"

int fl_wasm2c_fail_at(struct fl_error *error, int err, uint64_t off,
		      const char *format, ...)
{
	va_list args;

	if (!error)
		return err;
	error->code = err;
	error->trap = FL_TRAP_NONE;
	error->byte_off = off;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return err;
}

static int check_layout(const struct fl_wasm2c_layout *layout,
			struct fl_error *error)
{
	if (layout->version == FL_WASM2C_LAYOUT_VERSION)
		return 0;
	return fl_wasm2c_fail_at(
		error, -EINVAL, FL_ERROR_NO_OFFSET,
		"the layout has version %u, and this library knows version "
		"%u: write the companion again",
		layout->version, FL_WASM2C_LAYOUT_VERSION);
}

int fl_wasm2c_check_layouts(const struct fl_wasm2c_part *parts, uint32_t count,
			    struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = check_layout(parts[i].layout, error);
	return err;
}

/* A row of the layout, to be found by the address of its function. */
struct known {
	uintptr_t func;
	uint32_t row;
};

struct encoder {
	/* Of what is encoded. */
	const struct fl_wasm2c_layout *layout;
	const char *instance;
	const struct fl_wasm2c_codec *codec;
	/* All whose functions there may be, and which of them is encoded. */
	const struct fl_wasm2c_part *parts;
	uint32_t part_count, part_idx;
	struct fl_error *error;
	/* For each part, by func, then by row; NULL: not needed so far. */
	struct known *known[FL_WASM2C_MAX_PARTS];
	uint8_t *bytes;
	size_t length, room;
	/* Of what is encoded, for messages. */
	const char *what;
	uint32_t what_idx;
	uint64_t place;
	int err;
};

static void put(struct encoder *e, uint64_t value, unsigned int width)
{
	if (e->room - e->length < width && !e->err) {
		size_t room = e->room ? 2 * e->room : 4096;
		uint8_t *bytes = realloc(e->bytes, room);

		if (!bytes) {
			e->err = fl_wasm2c_fail_at(
				e->error, -ENOMEM, FL_ERROR_NO_OFFSET,
				"no memory for an instance's state");
			return;
		}
		e->bytes = bytes;
		e->room = room;
	}
	for (; !e->err && width; width--) {
		e->bytes[e->length++] = (uint8_t)value;
		value >>= 8;
	}
}

static void patch(struct encoder *e, size_t off, uint64_t value,
		  unsigned int width)
{
	for (; !e->err && width; width--) {
		e->bytes[off++] = (uint8_t)value;
		value >>= 8;
	}
}

static void refuse(struct encoder *e, const char *why)
{
	if (e->err)
		return;
	if (e->place == FL_ERROR_NO_OFFSET)
		e->err = fl_wasm2c_fail_at(e->error, -ENOTSUP,
					   FL_ERROR_NO_OFFSET, "%s %u holds %s",
					   e->what, e->what_idx, why);
	else
		e->err = fl_wasm2c_fail_at(e->error, -ENOTSUP,
					   FL_ERROR_NO_OFFSET,
					   "%s %u holds at %llu %s", e->what,
					   e->what_idx,
					   (unsigned long long)e->place, why);
}

static int compare_known(const void *a, const void *b)
{
	const struct known *left = a, *right = b;

	if (left->func != right->func)
		return left->func < right->func ? -1 : 1;
	return left->row < right->row ? -1 : left->row > right->row;
}

/* The functions of a part; NULL after a failure. */
static const struct known *know_functions(struct encoder *e, uint32_t part_idx)
{
	const struct fl_wasm2c_layout *layout = e->parts[part_idx].layout;
	uint32_t count = layout->function_count;
	struct known *known = e->known[part_idx];

	if (known)
		return known;
	known = calloc((size_t)count + 1, sizeof(*known));
	if (!known) {
		e->err = fl_wasm2c_fail_at(e->error, -ENOMEM,
					   FL_ERROR_NO_OFFSET,
					   "no memory to find functions");
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		known[i].func = (uintptr_t)layout->functions[i].func;
		known[i].row = i;
	}
	qsort(known, count, sizeof(*known), compare_known);
	e->known[part_idx] = known;
	return known;
}

/* The first of the rows of this function, or where they would be. */
static uint32_t find_known(const struct known *known, uint32_t count,
			   uintptr_t func)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (known[middle].func < func)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The row of a part's layout that is this reference; NULL: none, and *why then
 * says what is wrong with it, if the function is the part's. */
static const struct fl_wasm2c_function *
find_reference(struct encoder *e, uint32_t part_idx,
	       const wasm_rt_funcref_t *reference, const char **why)
{
	const struct fl_wasm2c_part *part = &e->parts[part_idx];
	const struct fl_wasm2c_layout *layout = part->layout;
	const struct known *known = know_functions(e, part_idx);
	uintptr_t func = (uintptr_t)reference->func;
	uint32_t i = known ? find_known(known, layout->function_count, func) :
			     layout->function_count;

	for (; i < layout->function_count && known[i].func == func; i++) {
		const struct fl_wasm2c_function *row =
			&layout->functions[known[i].row];

		if (reference->func_type != layout->func_types[row->type_idx])
			*why = "a function with another type than the module's";
		else if (reference->module_instance !=
			 fl_wasm2c_instance_of(row, part->instance))
			*why = "a function of another instance";
		else
			return row;
	}
	return NULL;
}

static struct fl_wasm2c_item encode_function(struct encoder *e,
					     const wasm_rt_funcref_t *reference)
{
	const char *why = "a function that the layout does not have: "
			  "of another module or of the host";
	const struct fl_wasm2c_function *row;
	struct fl_wasm2c_item item = { FL_WASM2C_FORM_NONE, 0 };

	if (!reference->func || e->err)
		return item;
	row = find_reference(e, e->part_idx, reference, &why);
	for (uint32_t i = 0; !row && !e->err && i < e->part_count; i++) {
		if (i == e->part_idx)
			continue;
		row = find_reference(e, i, reference, &why);
		if (row)
			item.form = (i + 1) << FL_WASM2C_PART_SHIFT;
	}
	if (row) {
		item.form |= row->form;
		item.value = row->function_idx;
		return item;
	}
	refuse(e, why);
	return item;
}

static struct fl_wasm2c_item encode_host(struct encoder *e,
					 wasm_rt_externref_t reference)
{
	struct fl_wasm2c_item item = { FL_WASM2C_FORM_NONE, 0 };
	int err;

	if (!reference || e->err)
		return item;
	item.form = FL_WASM2C_FORM_HOST;
	if (!e->codec || !e->codec->encode) {
		refuse(e, "a host reference, and there is no codec for these");
		return item;
	}
	err = e->codec->encode(e->codec->user, reference, &item.value);
	if (err)
		e->err = fl_wasm2c_fail_at(
			e->error, err, FL_ERROR_NO_OFFSET,
			"the codec cannot encode a host reference in %s "
			"%u",
			e->what, e->what_idx);
	return item;
}

static void encode_global(struct encoder *e, uint32_t idx)
{
	const struct fl_wasm2c_global *global = &e->layout->globals[idx];
	const char *place = e->instance + global->offset;
	struct fl_wasm2c_item item = { FL_WASM2C_FORM_NONE, 0 };

	e->what = "global";
	e->what_idx = idx;
	e->place = FL_ERROR_NO_OFFSET;
	if (global->value == FL_VALUE_FUNCREF) {
		wasm_rt_funcref_t reference;

		memcpy(&reference, place, sizeof(reference));
		item = encode_function(e, &reference);
	} else if (global->value == FL_VALUE_EXTERNREF) {
		wasm_rt_externref_t reference;

		memcpy(&reference, place, sizeof(reference));
		item = encode_host(e, reference);
	} else {
		/* The host is little-endian, as the adapter asks. */
		memcpy(&item.value, place, global->length_bytes);
	}
	put(e, idx, 4);
	put(e, global->value, 4);
	put(e, item.form, 4);
	put(e, item.value, 8);
}

/* Element place of the table: its item. */
static struct fl_wasm2c_item encode_element(struct encoder *e,
					    const void *table, bool is_func,
					    uint32_t place)
{
	const wasm_rt_funcref_table_t *functions = table;
	const wasm_rt_externref_table_t *hosts = table;

	e->place = place;
	return is_func ? encode_function(e, &functions->data[place]) :
			 encode_host(e, hosts->data[place]);
}

static void encode_table(struct encoder *e, uint32_t idx)
{
	const struct fl_wasm2c_member *member = &e->layout->tables[idx];
	const void *table = e->instance + member->offset;
	bool is_func = member->flags & FL_WASM2C_IS_FUNCREF;
	uint32_t size = fl_wasm2c_table_size(table, is_func);
	uint64_t count = 0;
	size_t count_off;

	e->what = "table";
	e->what_idx = idx;
	put(e, idx, 4);
	put(e, is_func, 4);
	put(e, size, 8);
	count_off = e->length;
	put(e, 0, 8);
	for (uint32_t i = 0; !e->err && i < size; i++) {
		struct fl_wasm2c_item item =
			encode_element(e, table, is_func, i);

		if (item.form == FL_WASM2C_FORM_NONE)
			continue;
		put(e, i, 4);
		put(e, item.form, 4);
		put(e, item.value, 8);
		count++;
	}
	patch(e, count_off, count, 8);
}

static void encode_all(struct encoder *e)
{
	const struct fl_wasm2c_layout *layout = e->layout;
	uint32_t flags = layout->data_flag_count + layout->elem_flag_count;

	for (size_t i = 0; i < FL_WASM2C_MAGIC_BYTES; i++)
		put(e, (uint8_t)FL_WASM2C_MAGIC[i], 1);
	put(e, fl_wasm2c_count_globals(layout), 4);
	put(e, fl_wasm2c_count_tables(layout), 4);
	put(e, layout->data_flag_count, 4);
	put(e, layout->elem_flag_count, 4);
	for (uint32_t i = 0; !e->err && i < layout->global_count; i++) {
		if (fl_wasm2c_global_is_state(&layout->globals[i]))
			encode_global(e, i);
	}
	for (uint32_t i = 0; !e->err && i < flags; i++)
		put(e, layout->is_dropped(e->instance, i), 1);
	for (uint32_t i = 0; !e->err && i < layout->table_count; i++) {
		if (fl_wasm2c_table_is_state(&layout->tables[i]))
			encode_table(e, i);
	}
}

int fl_wasm2c_encode_part(const struct fl_wasm2c_part *parts, uint32_t count,
			  uint32_t part_idx, void **bytes,
			  uint64_t *length_bytes, struct fl_error *error)
{
	struct encoder e = {
		.layout = parts[part_idx].layout,
		.instance = parts[part_idx].instance,
		.codec = parts[part_idx].codec,
		.parts = parts,
		.part_count = count,
		.part_idx = part_idx,
		.error = error,
	};

	e.err = fl_wasm2c_check_layouts(parts, count, error);
	if (!e.err)
		encode_all(&e);
	for (uint32_t i = 0; i < count; i++)
		free(e.known[i]);
	if (e.err) {
		free(e.bytes);
		return e.err;
	}
	*bytes = e.bytes;
	*length_bytes = e.length;
	return 0;
}

int fl_wasm2c_encode(const struct fl_wasm2c_layout *layout,
		     const void *instance, const struct fl_wasm2c_codec *codec,
		     void **bytes, uint64_t *length_bytes,
		     struct fl_error *error)
{
	const struct fl_wasm2c_part part = {
		.layout = layout,
		.instance = (void *)(uintptr_t)instance,
		.codec = codec,
	};

	return fl_wasm2c_encode_part(&part, 1, 0, bytes, length_bytes, error);
}
