/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c-state.c - an instance's globals, tables and drop flags as
 * bytes, and back. See faultline-wasm2c.h.
 *
 * Takes a layout and an instance; gives bytes that hold values and indices. Takes
 * bytes and another instance; writes the values, and makes references of the
 * indices.
 *
 * faultline-wasm2c.h says what the bytes are.
 *
 * Bytes are read twice by the same functions: once to check, once to write. Only
 * a codec and a table that grows can fail after the first byte was written.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasm2c-offer.h"

#define FORM_NONE 0u
/* Beside the forms of functions. */
#define FORM_HOST 16u
/* A function of another part of the group: the part's number, from 1 on, is in
 * the form's bits from here on. */
#define FORM_PART_SHIFT 8u

#define ENTRY_BYTES 16u

static const uint8_t magic[8] = { 'F', 'L', 'w', '2', 'c', 's', '0', '1' };

/* A value, or a reference as a form and an index or number. */
struct item {
	uint32_t form;
	uint64_t value;
};

__attribute__((format(printf, 4, 5))) static int
fail(struct fl_error *error, int err, uint64_t off, const char *format, ...)
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
	return fail(error, -EINVAL, FL_ERROR_NO_OFFSET,
		    "the layout has version %u, and this library knows version "
		    "%u: write the companion again",
		    layout->version, FL_WASM2C_LAYOUT_VERSION);
}

static bool can_change(uint32_t flags)
{
	return !(flags & FL_WASM2C_IS_IMPORTED) &&
	       flags & (FL_WASM2C_IS_CHANGED | FL_WASM2C_IS_EXPORTED);
}

static bool global_is_state(const struct fl_wasm2c_global *global)
{
	return can_change(global->flags) &&
	       global->flags & FL_WASM2C_IS_MUTABLE;
}

static bool table_is_state(const struct fl_wasm2c_member *table)
{
	return can_change(table->flags);
}

static uint32_t count_globals(const struct fl_wasm2c_layout *layout)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < layout->global_count; i++)
		count += global_is_state(&layout->globals[i]);
	return count;
}

static uint32_t count_tables(const struct fl_wasm2c_layout *layout)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < layout->table_count; i++)
		count += table_is_state(&layout->tables[i]);
	return count;
}

/* What wasm-rt's module_instance is in a reference to this function. */
static void *instance_of(const struct fl_wasm2c_function *function,
			 const void *instance)
{
	char *place = (char *)(uintptr_t)instance + function->import_offset;
	void *import;

	if (function->form != FL_WASM2C_IMPORT)
		return place;
	memcpy(&import, place, sizeof(import));
	return import;
}

/* ---------------------------------------------------------------- encoding */

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
			e->err = fail(e->error, -ENOMEM, FL_ERROR_NO_OFFSET,
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
		e->err = fail(e->error, -ENOTSUP, FL_ERROR_NO_OFFSET,
			      "%s %u holds %s", e->what, e->what_idx, why);
	else
		e->err = fail(e->error, -ENOTSUP, FL_ERROR_NO_OFFSET,
			      "%s %u holds at %llu %s", e->what, e->what_idx,
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
		e->err = fail(e->error, -ENOMEM, FL_ERROR_NO_OFFSET,
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
			 instance_of(row, part->instance))
			*why = "a function of another instance";
		else
			return row;
	}
	return NULL;
}

static struct item encode_function(struct encoder *e,
				   const wasm_rt_funcref_t *reference)
{
	const char *why = "a function that the layout does not have: "
			  "of another module or of the host";
	const struct fl_wasm2c_function *row;
	struct item item = { FORM_NONE, 0 };

	if (!reference->func || e->err)
		return item;
	row = find_reference(e, e->part_idx, reference, &why);
	for (uint32_t i = 0; !row && !e->err && i < e->part_count; i++) {
		if (i == e->part_idx)
			continue;
		row = find_reference(e, i, reference, &why);
		if (row)
			item.form = (i + 1) << FORM_PART_SHIFT;
	}
	if (row) {
		item.form |= row->form;
		item.value = row->function_idx;
		return item;
	}
	refuse(e, why);
	return item;
}

static struct item encode_host(struct encoder *e, wasm_rt_externref_t reference)
{
	struct item item = { FORM_NONE, 0 };
	int err;

	if (!reference || e->err)
		return item;
	item.form = FORM_HOST;
	if (!e->codec || !e->codec->encode) {
		refuse(e, "a host reference, and there is no codec for these");
		return item;
	}
	err = e->codec->encode(e->codec->user, reference, &item.value);
	if (err)
		e->err = fail(e->error, err, FL_ERROR_NO_OFFSET,
			      "the codec cannot encode a host reference in %s "
			      "%u",
			      e->what, e->what_idx);
	return item;
}

static void encode_global(struct encoder *e, uint32_t idx)
{
	const struct fl_wasm2c_global *global = &e->layout->globals[idx];
	const char *place = e->instance + global->offset;
	struct item item = { FORM_NONE, 0 };

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
static struct item encode_element(struct encoder *e, const void *table,
				  bool is_func, uint32_t place)
{
	const wasm_rt_funcref_table_t *functions = table;
	const wasm_rt_externref_table_t *hosts = table;

	e->place = place;
	return is_func ? encode_function(e, &functions->data[place]) :
			 encode_host(e, hosts->data[place]);
}

static uint32_t table_size(const void *table, bool is_func)
{
	const wasm_rt_funcref_table_t *functions = table;
	const wasm_rt_externref_table_t *hosts = table;

	return is_func ? functions->size : hosts->size;
}

static void encode_table(struct encoder *e, uint32_t idx)
{
	const struct fl_wasm2c_member *member = &e->layout->tables[idx];
	const void *table = e->instance + member->offset;
	bool is_func = member->flags & FL_WASM2C_IS_FUNCREF;
	uint32_t size = table_size(table, is_func);
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
		struct item item = encode_element(e, table, is_func, i);

		if (item.form == FORM_NONE)
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

	for (size_t i = 0; i < sizeof(magic); i++)
		put(e, magic[i], 1);
	put(e, count_globals(layout), 4);
	put(e, count_tables(layout), 4);
	put(e, layout->data_flag_count, 4);
	put(e, layout->elem_flag_count, 4);
	for (uint32_t i = 0; !e->err && i < layout->global_count; i++) {
		if (global_is_state(&layout->globals[i]))
			encode_global(e, i);
	}
	for (uint32_t i = 0; !e->err && i < flags; i++)
		put(e, layout->is_dropped(e->instance, i), 1);
	for (uint32_t i = 0; !e->err && i < layout->table_count; i++) {
		if (table_is_state(&layout->tables[i]))
			encode_table(e, i);
	}
}

static int check_layouts(const struct fl_wasm2c_part *parts, uint32_t count,
			 struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = check_layout(parts[i].layout, error);
	return err;
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

	e.err = check_layouts(parts, count, error);
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

/* ---------------------------------------------------------------- decoding */

struct decoder {
	const struct fl_wasm2c_layout *layout;
	char *instance;
	const struct fl_wasm2c_codec *codec;
	const struct fl_wasm2c_part *parts; /* as an encoder's */
	uint32_t part_count, part_idx;
	struct fl_error *error;
	const uint8_t *bytes;
	uint64_t length, off;
	bool writes; /* the second time */
	uint32_t hint; /* the row behind the last one found */
	int err;
};

__attribute__((format(printf, 3, 4))) static void
reject(struct decoder *d, uint64_t off, const char *format, ...)
{
	char text[160];
	va_list args;

	if (d->err)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d->err = fail(d->error, -ENOEXEC, off,
		      "the bytes are no state of %s: %s", d->layout->name,
		      text);
}

/* The next number; 0 after a failure. The host is little-endian, as the adapter
 * asks. */
static inline uint64_t get(struct decoder *d, unsigned int width)
{
	uint64_t value = 0;

	if (!d->err && d->length - d->off < width)
		reject(d, d->off, "they are cut off");
	if (d->err)
		return 0;
	memcpy(&value, d->bytes + d->off, width);
	d->off += width;
	return value;
}

static inline void expect(struct decoder *d, unsigned int width,
			  uint64_t expected, const char *what)
{
	uint64_t off = d->off, value = get(d, width);

	if (value != expected)
		reject(d, off, "the %s is %llu, and the layout's is %llu", what,
		       (unsigned long long)value, (unsigned long long)expected);
}

static bool row_is(const struct fl_wasm2c_layout *layout, uint32_t row,
		   const struct item *item)
{
	const struct fl_wasm2c_function *rows = layout->functions;

	return row < layout->function_count &&
	       rows[row].function_idx == item->value &&
	       rows[row].form == item->form;
}

/* The first row of a function in this form. Entries of tables follow each other
 * as rows often do. */
static const struct fl_wasm2c_function *
find_row(const struct fl_wasm2c_layout *layout, const struct item *item,
	 uint32_t *hint)
{
	const struct fl_wasm2c_function *rows = layout->functions;
	uint32_t low = 0, high = layout->function_count;

	/* One function may have several exports. */
	if (item->form != FL_WASM2C_EXPORT && row_is(layout, *hint, item))
		return &rows[(*hint)++];
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct fl_wasm2c_function *row = &rows[middle];

		if (row->function_idx < item->value ||
		    (row->function_idx == item->value &&
		     row->form < item->form))
			low = middle + 1;
		else
			high = middle;
	}
	*hint = low + 1;
	return row_is(layout, low, item) ? &rows[low] : NULL;
}

/* The part whose function this is; NULL after a failure. The form loses the
 * part's number. */
static const struct fl_wasm2c_part *find_part(struct decoder *d, uint64_t off,
					      struct item *item)
{
	uint32_t number = item->form >> FORM_PART_SHIFT;

	item->form &= (1u << FORM_PART_SHIFT) - 1;
	if (!number)
		return &d->parts[d->part_idx];
	if (number <= d->part_count && number - 1 != d->part_idx)
		return &d->parts[number - 1];
	reject(d, off, "a function is of part %u of the group, which has %u",
	       number, d->part_count);
	return NULL;
}

static wasm_rt_funcref_t decode_function(struct decoder *d, uint64_t off,
					 const struct item *from)
{
	const struct fl_wasm2c_function *row;
	const struct fl_wasm2c_part *part;
	wasm_rt_funcref_t reference = wasm_rt_funcref_null_value;
	struct item item = *from;

	if (item.form == FORM_NONE) {
		if (item.value)
			reject(d, off, "a null has a value");
		return reference;
	}
	part = find_part(d, off, &item);
	if (!part)
		return reference;
	row = find_row(part->layout, &item, &d->hint);
	if (!row) {
		reject(d, off,
		       "function %llu in form %u is none of the layout's",
		       (unsigned long long)item.value, item.form);
		return reference;
	}
	reference.func_type = part->layout->func_types[row->type_idx];
	reference.func = row->func;
	reference.module_instance = instance_of(row, part->instance);
	return reference;
}

static wasm_rt_externref_t decode_host(struct decoder *d, uint64_t off,
				       const struct item *item)
{
	wasm_rt_externref_t reference = wasm_rt_externref_null_value;
	int err;

	if (item->form == FORM_NONE && item->value)
		reject(d, off, "a null has a value");
	else if (item->form != FORM_NONE && item->form != FORM_HOST)
		reject(d, off, "a host reference has the form %u", item->form);
	if (d->err || item->form == FORM_NONE)
		return reference;
	if (!d->codec || !d->codec->decode) {
		d->err = fail(d->error, -ENOTSUP, off,
			      "the state has a host reference, and there is no "
			      "codec for these");
		return reference;
	}
	if (!d->writes)
		return reference;
	err = d->codec->decode(d->codec->user, item->value, &reference);
	if (err)
		d->err = fail(d->error, err, off,
			      "the codec cannot decode a host reference");
	return reference;
}

/* Writing what is there already would make a page private for nothing. */
static void write_place(struct decoder *d, void *place, const void *value,
			size_t length)
{
	if (!d->err && d->writes && memcmp(place, value, length))
		memcpy(place, value, length);
}

static void write_function(struct decoder *d, wasm_rt_funcref_t *place,
			   const wasm_rt_funcref_t *reference)
{
	if (d->err || !d->writes)
		return;
	/* All nulls are one, and padding is nobody's. */
	if (!place->func && !reference->func)
		return;
	if (place->func != reference->func ||
	    place->func_type != reference->func_type ||
	    place->module_instance != reference->module_instance)
		*place = *reference;
}

static struct item get_item(struct decoder *d)
{
	struct item item;

	item.form = (uint32_t)get(d, 4);
	item.value = get(d, 8);
	return item;
}

static void decode_global(struct decoder *d, uint32_t idx)
{
	const struct fl_wasm2c_global *global = &d->layout->globals[idx];
	char *place = d->instance + global->offset;
	uint64_t off;
	struct item item;

	expect(d, 4, idx, "index of a global");
	expect(d, 4, global->value, "type of a global");
	off = d->off;
	item = get_item(d);
	if (d->err)
		return;
	if (global->value == FL_VALUE_FUNCREF) {
		wasm_rt_funcref_t reference = decode_function(d, off, &item);

		write_function(d, (wasm_rt_funcref_t *)(void *)place,
			       &reference);
	} else if (global->value == FL_VALUE_EXTERNREF) {
		wasm_rt_externref_t reference = decode_host(d, off, &item);

		write_place(d, place, &reference, sizeof(reference));
	} else if (item.form != FORM_NONE) {
		reject(d, off, "a number has the form %u", item.form);
	} else if (global->length_bytes < 8 &&
		   item.value >> 8 * global->length_bytes) {
		reject(d, off, "a value is too large for its global");
	} else {
		write_place(d, place, &item.value, global->length_bytes);
	}
}

static void decode_flag(struct decoder *d, uint32_t flag_idx)
{
	uint64_t off = d->off, is_dropped = get(d, 1);

	if (is_dropped > 1)
		reject(d, off, "a flag is neither 0 nor 1");
	if (!d->err && d->writes &&
	    d->layout->is_dropped(d->instance, flag_idx) != (is_dropped == 1))
		d->layout->set_dropped(d->instance, flag_idx, is_dropped == 1);
}

/* A table never shrinks, so an instance that is as instantiation made it has no
 * more elements than any later one. 0 after a failure. */
static uint64_t decode_size(struct decoder *d, void *table, bool is_func)
{
	wasm_rt_funcref_table_t *functions = table;
	wasm_rt_externref_table_t *hosts = table;
	uint32_t old = table_size(table, is_func), grown = old;
	uint32_t max = is_func ? functions->max_size : hosts->max_size;
	uint64_t off = d->off, size = get(d, 8);
	uint32_t more = (uint32_t)size - old;

	if (!d->err && (size < old || size > max))
		reject(d, off,
		       "a table has %llu elements, and this instance's may "
		       "have from %u to %u",
		       (unsigned long long)size, old, max);
	if (!d->err && d->writes && more && is_func)
		grown = wasm_rt_grow_funcref_table(functions, more,
						   wasm_rt_funcref_null_value);
	else if (!d->err && d->writes && more)
		grown = wasm_rt_grow_externref_table(
			hosts, more, wasm_rt_externref_null_value);
	if (grown != old)
		d->err = fail(d->error, -ENOMEM, off,
			      "a table cannot grow to %llu elements",
			      (unsigned long long)size);
	return d->err ? 0 : size;
}

/* The elements [first, end) are null. Those from `old` on are new, and are null
 * already. */
static void decode_nulls(struct decoder *d, void *table, bool is_func,
			 uint64_t first, uint64_t end, uint64_t old)
{
	wasm_rt_funcref_table_t *functions = table;
	wasm_rt_externref_table_t *hosts = table;

	for (uint64_t i = first; d->writes && i < end && i < old; i++) {
		if (is_func)
			write_function(d, &functions->data[i],
				       &wasm_rt_funcref_null_value);
		else
			write_place(d, &hosts->data[i],
				    &wasm_rt_externref_null_value,
				    sizeof(hosts->data[i]));
	}
}

static void decode_entry(struct decoder *d, void *table, bool is_func,
			 uint32_t place)
{
	wasm_rt_funcref_table_t *functions = table;
	wasm_rt_externref_table_t *hosts = table;
	uint64_t off = d->off;
	struct item item = get_item(d);

	if (!d->err && item.form == FORM_NONE)
		reject(d, off, "a table has a null among its entries");
	if (d->err)
		return;
	if (is_func) {
		wasm_rt_funcref_t reference = decode_function(d, off, &item);

		if (d->writes)
			write_function(d, &functions->data[place], &reference);
	} else {
		wasm_rt_externref_t reference = decode_host(d, off, &item);

		if (d->writes)
			write_place(d, &hosts->data[place], &reference,
				    sizeof(reference));
	}
}

static void decode_table(struct decoder *d, uint32_t idx)
{
	const struct fl_wasm2c_member *member = &d->layout->tables[idx];
	void *table = d->instance + member->offset;
	bool is_func = member->flags & FL_WASM2C_IS_FUNCREF;
	uint32_t old = table_size(table, is_func);
	uint64_t size, count, next = 0;

	expect(d, 4, idx, "index of a table");
	expect(d, 4, is_func, "kind of a table");
	size = decode_size(d, table, is_func);
	count = get(d, 8);
	if (!d->err && count > (d->length - d->off) / ENTRY_BYTES)
		reject(d, d->off - 8, "a table has more entries than bytes");
	for (; !d->err && count; count--) {
		uint64_t off = d->off, place = get(d, 4);

		if (!d->err && (place < next || place >= size))
			reject(d, off, "an entry is out of place");
		if (d->err)
			return;
		decode_nulls(d, table, is_func, next, place, old);
		decode_entry(d, table, is_func, (uint32_t)place);
		next = place + 1;
	}
	if (!d->err)
		decode_nulls(d, table, is_func, next, size, old);
}

static void decode_all(struct decoder *d)
{
	const struct fl_wasm2c_layout *layout = d->layout;
	uint32_t flags = layout->data_flag_count + layout->elem_flag_count;
	uint64_t mark;

	d->off = 0;
	d->hint = 0;
	memcpy(&mark, magic, sizeof(mark));
	expect(d, 8, mark, "mark of a state");
	expect(d, 4, count_globals(layout), "count of globals");
	expect(d, 4, count_tables(layout), "count of tables");
	expect(d, 4, layout->data_flag_count, "count of data segments");
	expect(d, 4, layout->elem_flag_count, "count of element segments");
	for (uint32_t i = 0; !d->err && i < layout->global_count; i++) {
		if (global_is_state(&layout->globals[i]))
			decode_global(d, i);
	}
	for (uint32_t i = 0; !d->err && i < flags; i++)
		decode_flag(d, i);
	for (uint32_t i = 0; !d->err && i < layout->table_count; i++) {
		if (table_is_state(&layout->tables[i]))
			decode_table(d, i);
	}
	if (!d->err && d->off != d->length)
		reject(d, d->off, "more bytes follow");
}

int fl_wasm2c_decode_part(const struct fl_wasm2c_part *parts, uint32_t count,
			  uint32_t part_idx, const void *bytes,
			  uint64_t length_bytes, struct fl_error *error)
{
	struct decoder d = {
		.layout = parts[part_idx].layout,
		.instance = parts[part_idx].instance,
		.codec = parts[part_idx].codec,
		.parts = parts,
		.part_count = count,
		.part_idx = part_idx,
		.error = error,
		.bytes = bytes,
		.length = length_bytes,
	};

	d.err = check_layouts(parts, count, error);
	if (!d.err)
		decode_all(&d);
	if (!d.err) {
		d.writes = true;
		decode_all(&d);
	}
	return d.err;
}

int fl_wasm2c_decode(const struct fl_wasm2c_layout *layout, void *instance,
		     const struct fl_wasm2c_codec *codec, const void *bytes,
		     uint64_t length_bytes, struct fl_error *error)
{
	const struct fl_wasm2c_part part = {
		.layout = layout,
		.instance = instance,
		.codec = codec,
	};

	return fl_wasm2c_decode_part(&part, 1, 0, bytes, length_bytes, error);
}
