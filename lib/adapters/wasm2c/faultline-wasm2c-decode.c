/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c-decode.c - bytes as an instance's globals, tables and drop
 * flags.
 *
 * Takes bytes, which may be anybody's, and an instance; writes the values, and
 * makes references of the indices. faultline-wasm2c.h says what the bytes are.
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
#include <string.h>

#include "wasm2c-state.h"

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
	d->err = fl_wasm2c_fail_at(d->error, -ENOEXEC, off,
				   "the bytes are no state of %s: %s",
				   d->layout->name, text);
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
		   const struct fl_wasm2c_item *item)
{
	const struct fl_wasm2c_function *rows = layout->functions;

	return row < layout->function_count &&
	       rows[row].function_idx == item->value &&
	       rows[row].form == item->form;
}

/* The first row of a function in this form. Entries of tables follow each other
 * as rows often do. */
static const struct fl_wasm2c_function *
find_row(const struct fl_wasm2c_layout *layout,
	 const struct fl_wasm2c_item *item, uint32_t *hint)
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
					      struct fl_wasm2c_item *item)
{
	uint32_t number = item->form >> FL_WASM2C_PART_SHIFT;

	item->form &= (1u << FL_WASM2C_PART_SHIFT) - 1;
	if (!number)
		return &d->parts[d->part_idx];
	if (number <= d->part_count && number - 1 != d->part_idx)
		return &d->parts[number - 1];
	reject(d, off, "a function is of part %u of the group, which has %u",
	       number, d->part_count);
	return NULL;
}

static wasm_rt_funcref_t decode_function(struct decoder *d, uint64_t off,
					 const struct fl_wasm2c_item *from)
{
	const struct fl_wasm2c_function *row;
	const struct fl_wasm2c_part *part;
	wasm_rt_funcref_t reference = wasm_rt_funcref_null_value;
	struct fl_wasm2c_item item = *from;

	if (item.form == FL_WASM2C_FORM_NONE) {
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
	reference.module_instance = fl_wasm2c_instance_of(row, part->instance);
	return reference;
}

static wasm_rt_externref_t decode_host(struct decoder *d, uint64_t off,
				       const struct fl_wasm2c_item *item)
{
	wasm_rt_externref_t reference = wasm_rt_externref_null_value;
	int err;

	if (item->form == FL_WASM2C_FORM_NONE && item->value)
		reject(d, off, "a null has a value");
	else if (item->form != FL_WASM2C_FORM_NONE &&
		 item->form != FL_WASM2C_FORM_HOST)
		reject(d, off, "a host reference has the form %u", item->form);
	if (d->err || item->form == FL_WASM2C_FORM_NONE)
		return reference;
	if (!d->codec || !d->codec->decode) {
		d->err = fl_wasm2c_fail_at(
			d->error, -ENOTSUP, off,
			"the state has a host reference, and there is no "
			"codec for these");
		return reference;
	}
	if (!d->writes)
		return reference;
	err = d->codec->decode(d->codec->user, item->value, &reference);
	if (err)
		d->err = fl_wasm2c_fail_at(
			d->error, err, off,
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

static struct fl_wasm2c_item get_item(struct decoder *d)
{
	struct fl_wasm2c_item item;

	item.form = (uint32_t)get(d, 4);
	item.value = get(d, 8);
	return item;
}

static void decode_global(struct decoder *d, uint32_t idx)
{
	const struct fl_wasm2c_global *global = &d->layout->globals[idx];
	char *place = d->instance + global->offset;
	uint64_t off;
	struct fl_wasm2c_item item;

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
	} else if (item.form != FL_WASM2C_FORM_NONE) {
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
	uint32_t old = fl_wasm2c_table_size(table, is_func), grown = old;
	uint32_t max = is_func ? functions->max_size : hosts->max_size;
	uint64_t off = d->off, size = get(d, 8);
	uint32_t more = (uint32_t)size - old;

	if (!d->err && (size < old || size > max))
		reject(d, off,
		       "a table of %llu elements, where this instance's may "
		       "have from %u to %u",
		       (unsigned long long)size, old, max);
	if (!d->err && d->writes && more && is_func)
		grown = wasm_rt_grow_funcref_table(functions, more,
						   wasm_rt_funcref_null_value);
	else if (!d->err && d->writes && more)
		grown = wasm_rt_grow_externref_table(
			hosts, more, wasm_rt_externref_null_value);
	if (grown != old)
		d->err = fl_wasm2c_fail_at(
			d->error, -ENOMEM, off,
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
	struct fl_wasm2c_item item = get_item(d);

	if (!d->err && item.form == FL_WASM2C_FORM_NONE)
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

/* An entry as most are: the next element of a table is the function of the next
 * row. False: nothing was read, and decode_entry() may find more. */
static inline bool decode_next(struct decoder *d,
			       const wasm_rt_funcref_table_t *table,
			       uint64_t place)
{
	const struct fl_wasm2c_layout *layout = d->layout;
	const struct fl_wasm2c_function *row;
	wasm_rt_funcref_t reference;
	struct {
		uint32_t place, form;
		uint64_t value;
	} entry;

	_Static_assert(sizeof(entry) == FL_WASM2C_ENTRY_BYTES, "entry");
	if (d->length - d->off < sizeof(entry) ||
	    d->hint >= layout->function_count)
		return false;
	memcpy(&entry, d->bytes + d->off, sizeof(entry));
	row = &layout->functions[d->hint];
	if (entry.place != place || entry.value != row->function_idx ||
	    entry.form != row->form || row->form == FL_WASM2C_EXPORT)
		return false;
	d->off += sizeof(entry);
	d->hint++;
	if (!d->writes)
		return true;
	reference.func_type = layout->func_types[row->type_idx];
	reference.func = row->func;
	reference.module_instance = fl_wasm2c_instance_of(row, d->instance);
	write_function(d, &table->data[place], &reference);
	return true;
}

static void decode_table(struct decoder *d, uint32_t idx)
{
	const struct fl_wasm2c_member *member = &d->layout->tables[idx];
	void *table = d->instance + member->offset;
	bool is_func = member->flags & FL_WASM2C_IS_FUNCREF;
	uint32_t old = fl_wasm2c_table_size(table, is_func);
	uint64_t size, count, next = 0;

	expect(d, 4, idx, "index of a table");
	expect(d, 4, is_func, "kind of a table");
	size = decode_size(d, table, is_func);
	count = get(d, 8);
	if (!d->err && count > (d->length - d->off) / FL_WASM2C_ENTRY_BYTES)
		reject(d, d->off - 8, "a table has more entries than bytes");
	for (; !d->err && count; count--) {
		uint64_t off = d->off, place;

		if (is_func && next < size && decode_next(d, table, next)) {
			next++;
			continue;
		}
		place = get(d, 4);
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
	memcpy(&mark, FL_WASM2C_MAGIC, sizeof(mark));
	expect(d, 8, mark, "mark of a state");
	expect(d, 4, fl_wasm2c_count_globals(layout), "count of globals");
	expect(d, 4, fl_wasm2c_count_tables(layout), "count of tables");
	expect(d, 4, layout->data_flag_count, "count of data segments");
	expect(d, 4, layout->elem_flag_count, "count of element segments");
	for (uint32_t i = 0; !d->err && i < layout->global_count; i++) {
		if (fl_wasm2c_global_is_state(&layout->globals[i]))
			decode_global(d, i);
	}
	for (uint32_t i = 0; !d->err && i < flags; i++)
		decode_flag(d, i);
	for (uint32_t i = 0; !d->err && i < layout->table_count; i++) {
		if (fl_wasm2c_table_is_state(&layout->tables[i]))
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

	d.err = fl_wasm2c_check_layouts(parts, count, error);
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
