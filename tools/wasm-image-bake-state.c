/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* wasm-image-bake-state.c - see wasm-image-bake-state.h. */
#include "wasm-image-bake-state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	ELEMENT_PASSIVE = 1, /* or declared, with the next */
	ELEMENT_EXPLICIT = 2,
	ELEMENT_EXPRS = 4,
	KNOWN_ELEMENTS = 7,
};

enum {
	TYPE_EXTERNREF = 0x6f,
	TYPE_FUNCREF = 0x70,
	TYPE_F64 = 0x7c,
	TYPE_F32 = 0x7d,
	TYPE_I64 = 0x7e,
	TYPE_I32 = 0x7f,
	TABLE_WITH_INITIALISER = 0x40,
};

__attribute__((format(printf, 2, 3))) static bool
refuse(struct rewrite *rewrite, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(rewrite->reason, rewrite->reason_bytes, format, args);
	va_end(args);
	return false;
}

/* Make a list for as many things as a section says. None is shorter than
 * shortest bytes. */
static bool make_list(struct rewrite *rewrite, struct in *in, size_t shortest,
		      size_t item_bytes, void **items, uint32_t *count)
{
	uint32_t wanted = get_u32(in);

	if (*items)
		return refuse(rewrite, "the module has a section twice");
	if (in->has_failed || wanted > (in->end - in->off) / shortest)
		return refuse(rewrite, "byte %zu: a section is cut short",
			      in->off);
	*items = calloc((size_t)wanted + 1, item_bytes);
	if (!*items)
		return refuse(rewrite, "no memory");
	*count = wanted;
	return true;
}

/* ------------------------------------------------------------------ tables */

static bool check_table(struct rewrite *rewrite, const struct old_table *old)
{
	const struct bake_table *now = old->now;

	if (old->type != (now->is_func ? TYPE_FUNCREF : TYPE_EXTERNREF))
		return refuse(rewrite, "table %u is of another type",
			      now->table_idx);
	if (now->size < old->limits.min || now->size > old->limits.max ||
	    now->size > UINT32_MAX)
		return refuse(rewrite,
			      "table %u has %" PRIu64
			      " elements, which the module does not allow",
			      now->table_idx, now->size);
	for (size_t i = 0; i < now->entry_count; i++) {
		const struct bake_entry *entry = &now->entries[i];

		if (!now->is_func || entry->place >= now->size ||
		    (i && entry->place <= entry[-1].place) ||
		    !mention(&rewrite->kept, entry->function_idx))
			return refuse(rewrite,
				      "table %u cannot have function %u at %u",
				      now->table_idx, entry->function_idx,
				      entry->place);
	}
	return true;
}

static bool read_table(struct rewrite *rewrite, struct in *in,
		       uint32_t table_idx, struct old_table *old)
{
	bool has_initialiser, is_known;

	old->off = in->off;
	old->type = get_reftype(in);
	has_initialiser = old->type == TABLE_WITH_INITIALISER;
	if (has_initialiser) {
		get_byte(in);
		get_reftype(in);
	}
	is_known = get_limits(in, &old->limits);
	if (has_initialiser) {
		skip_expression(in, &rewrite->kept);
		old->limits.end = in->off;
	}
	if (!is_known || in->has_failed)
		return refuse(rewrite, "table %u is of no known form",
			      table_idx);
	return !old->now || check_table(rewrite, old);
}

static bool read_tables(struct rewrite *rewrite, struct in *in)
{
	const struct bake_state *state = rewrite->state;
	uint32_t next = 0;

	if (!make_list(rewrite, in, 3, sizeof(*rewrite->tables),
		       (void **)&rewrite->tables, &rewrite->table_count))
		return false;
	for (uint32_t i = 0; i < rewrite->table_count; i++) {
		uint32_t table_idx = state->imported_table_count + i;

		if (next < state->table_count &&
		    state->tables[next].table_idx == table_idx)
			rewrite->tables[i].now = &state->tables[next++];
		if (!read_table(rewrite, in, table_idx, &rewrite->tables[i]))
			return false;
	}
	if (next < state->table_count)
		return refuse(rewrite, "the module defines no table %u",
			      state->tables[next].table_idx);
	return true;
}

void rewrite_put_tables(const struct rewrite *rewrite, struct sink *sink)
{
	put_uleb(sink, rewrite->table_count);
	for (uint32_t i = 0; i < rewrite->table_count; i++) {
		const struct old_table *old = &rewrite->tables[i];
		size_t from = old->off;

		if (old->now) {
			put_byte(sink, old->type);
			put_byte(sink, old->limits.flags);
			put_uleb(sink, old->now->size);
			from = old->limits.rest;
		}
		put_bytes(sink, rewrite->module + from, old->limits.end - from);
	}
}

/* ----------------------------------------------------------------- globals */

static bool check_global(struct rewrite *rewrite, const struct bake_global *now,
			 uint8_t type, uint8_t is_mutable)
{
	bool is_known = now->type == TYPE_I32 || now->type == TYPE_I64 ||
			now->type == TYPE_F32 || now->type == TYPE_F64 ||
			now->type == TYPE_FUNCREF ||
			(now->type == TYPE_EXTERNREF && now->is_null);

	if (!is_known || now->type != type || is_mutable != 1)
		return refuse(rewrite, "global %u is of another type",
			      now->global_idx);
	if (now->type == TYPE_FUNCREF && !now->is_null &&
	    !mention(&rewrite->kept, now->value))
		return refuse(rewrite,
			      "global %u cannot have function %" PRIu64,
			      now->global_idx, now->value);
	return true;
}

static bool read_global(struct rewrite *rewrite, struct in *in,
			uint32_t global_idx, struct old_global *old)
{
	uint8_t type, is_mutable;

	old->off = in->off;
	type = get_reftype(in);
	is_mutable = get_byte(in);
	old->expr = in->off;
	skip_expression(in, old->now ? &rewrite->gone : &rewrite->kept);
	old->end = in->off;
	if (in->has_failed)
		return refuse(rewrite, "global %u is of no known form",
			      global_idx);
	return !old->now || check_global(rewrite, old->now, type, is_mutable);
}

static bool read_globals(struct rewrite *rewrite, struct in *in)
{
	const struct bake_state *state = rewrite->state;
	uint32_t next = 0;

	if (!make_list(rewrite, in, 3, sizeof(*rewrite->globals),
		       (void **)&rewrite->globals, &rewrite->global_count))
		return false;
	for (uint32_t i = 0; i < rewrite->global_count; i++) {
		uint32_t global_idx = state->imported_global_count + i;

		if (next < state->global_count &&
		    state->globals[next].global_idx == global_idx)
			rewrite->globals[i].now = &state->globals[next++];
		if (!read_global(rewrite, in, global_idx, &rewrite->globals[i]))
			return false;
	}
	if (next < state->global_count)
		return refuse(rewrite, "the module defines no global %u",
			      state->globals[next].global_idx);
	return true;
}

static void put_little_endian(struct sink *sink, uint64_t value,
			      unsigned int bytes)
{
	for (; bytes; bytes--, value >>= 8)
		put_byte(sink, (uint8_t)value);
}

static void put_value(struct sink *sink, const struct bake_global *global)
{
	switch (global->type) {
	case TYPE_I32:
		put_byte(sink, 0x41);
		put_sleb(sink, (int32_t)global->value);
		break;
	case TYPE_I64:
		put_byte(sink, 0x42);
		put_sleb(sink, (int64_t)global->value);
		break;
	case TYPE_F32:
		put_byte(sink, 0x43);
		put_little_endian(sink, global->value, 4);
		break;
	case TYPE_F64:
		put_byte(sink, 0x44);
		put_little_endian(sink, global->value, 8);
		break;
	default:
		put_byte(sink, global->is_null ? 0xd0 : 0xd2);
		put_uleb(sink, global->is_null ? global->type : global->value);
	}
	put_byte(sink, 0x0b);
}

void rewrite_put_globals(const struct rewrite *rewrite, struct sink *sink)
{
	put_uleb(sink, rewrite->global_count);
	for (uint32_t i = 0; i < rewrite->global_count; i++) {
		const struct old_global *old = &rewrite->globals[i];
		size_t end = old->now ? old->expr : old->end;

		put_bytes(sink, rewrite->module + old->off, end - old->off);
		if (old->now)
			put_value(sink, old->now);
	}
}

/* ---------------------------------------------------------------- elements */

/* The table of a segment, if the state has that table. False if the module has
 * no such table. */
static bool find_table(const struct rewrite *rewrite, uint32_t table_idx,
		       const struct old_table **table)
{
	uint32_t imported = rewrite->state->imported_table_count;

	*table = NULL;
	if (table_idx < imported)
		return true;
	if (table_idx - imported >= rewrite->table_count)
		return false;
	if (rewrite->tables[table_idx - imported].now)
		*table = &rewrite->tables[table_idx - imported];
	return true;
}

/* A segment up to its items: what will become of it? */
static bool read_head(struct rewrite *rewrite, struct in *in,
		      struct old_element *old, uint32_t *flag_idx)
{
	const struct bake_state *state = rewrite->state;
	const struct old_table *table;

	old->off = in->off;
	old->flags = get_u32(in);
	if (old->flags & ~KNOWN_ELEMENTS)
		return false;
	if (!(old->flags & ELEMENT_PASSIVE)) {
		if (old->flags & ELEMENT_EXPLICIT)
			old->table_idx = get_u32(in);
		skip_expression(in, &rewrite->kept);
		if (!find_table(rewrite, old->table_idx, &table))
			return false;
		old->fate = table ? FATE_FREE : FATE_STAYS;
	}
	if (old->flags & (ELEMENT_PASSIVE | ELEMENT_EXPLICIT))
		old->type = old->flags & ELEMENT_EXPRS ? get_reftype(in) :
							 get_byte(in);
	old->count = get_u32(in);
	if ((old->flags & 3) == ELEMENT_PASSIVE && old->count) {
		if (*flag_idx < state->elem_flag_count &&
		    state->elem_flags[*flag_idx])
			old->fate = FATE_EMPTY;
		++*flag_idx;
	}
	return !in->has_failed;
}

static bool read_element(struct rewrite *rewrite, struct in *in,
			 struct old_element *old, uint32_t *flag_idx)
{
	const struct mentions *mentions;

	if (!read_head(rewrite, in, old, flag_idx))
		return false;
	mentions = old->fate == FATE_STAYS ? &rewrite->kept : &rewrite->gone;
	for (uint32_t i = 0; i < old->count && !in->has_failed; i++) {
		if (old->flags & ELEMENT_EXPRS)
			skip_expression(in, mentions);
		else if (!mention(mentions, get_u32(in)))
			in->has_failed = true;
	}
	old->end = in->off;
	/* What is emptied must be of a type of one byte. */
	if (old->fate == FATE_EMPTY && old->flags & ELEMENT_EXPRS &&
	    old->type != TYPE_FUNCREF && old->type != TYPE_EXTERNREF)
		return false;
	return !in->has_failed;
}

static bool check_flags(struct rewrite *rewrite, uint32_t flag_count)
{
	if (flag_count == rewrite->state->elem_flag_count)
		return true;
	return refuse(
		rewrite,
		"the state is of %u element segments that code can drop, and the module has %u",
		rewrite->state->elem_flag_count, flag_count);
}

static bool read_elements(struct rewrite *rewrite, struct in *in)
{
	uint32_t flag_idx = 0;

	if (!make_list(rewrite, in, 3, sizeof(*rewrite->elements),
		       (void **)&rewrite->elements, &rewrite->element_count))
		return false;
	for (uint32_t i = 0; i < rewrite->element_count; i++) {
		if (!read_element(rewrite, in, &rewrite->elements[i],
				  &flag_idx))
			return refuse(rewrite,
				      "element segment %u is of no known form",
				      i);
	}
	return check_flags(rewrite, flag_idx);
}

/* An active segment up to its items. */
static void put_head(const struct rewrite *rewrite, struct sink *sink,
		     uint32_t table_idx, uint64_t off, bool has_exprs)
{
	const struct old_table *table = NULL;
	unsigned int flags = (table_idx ? ELEMENT_EXPLICIT : 0) |
			     (has_exprs ? ELEMENT_EXPRS : 0);

	find_table(rewrite, table_idx, &table);
	if (table->type != TYPE_FUNCREF)
		flags = ELEMENT_EXPLICIT | ELEMENT_EXPRS;
	put_byte(sink, (uint8_t)flags);
	if (flags & ELEMENT_EXPLICIT)
		put_uleb(sink, table_idx);
	put_address(sink, table->limits.flags & IS_64, off);
	if (flags & ELEMENT_EXPLICIT)
		put_byte(sink, flags & ELEMENT_EXPRS ? table->type : 0);
}

static void put_run(const struct rewrite *rewrite, struct sink *sink,
		    const struct run *run)
{
	const struct bake_entry *entry = &run->table->entries[run->first];
	const struct bake_entry *last = entry + run->count - 1;
	uint32_t place = entry->place;

	put_head(rewrite, sink, run->table->table_idx, place, run->has_nulls);
	put_uleb(sink, (uint64_t)last->place - place + 1);
	for (; entry <= last; entry++) {
		for (; place < entry->place; place++)
			put_bytes(sink, "\xd0\x70\x0b", 3);
		if (run->has_nulls)
			put_byte(sink, 0xd2);
		put_uleb(sink, entry->function_idx);
		if (run->has_nulls)
			put_byte(sink, 0x0b);
		place++;
	}
}

static void put_empty(struct sink *sink, const struct old_element *old)
{
	put_uleb(sink, old->flags);
	put_byte(sink, old->type);
	put_uleb(sink, 0);
}

static void put_declared(const struct rewrite *rewrite, struct sink *sink)
{
	const struct bake_state *state = rewrite->state;

	put_byte(sink, ELEMENT_PASSIVE | ELEMENT_EXPLICIT);
	put_byte(sink, 0);
	put_uleb(sink, rewrite->declared_count);
	for (uint32_t i = 0; i < state->function_count; i++) {
		if (state->is_declared[i])
			put_uleb(sink, i);
	}
}

static uint64_t count_elements(const struct rewrite *rewrite)
{
	uint64_t stay = 0, are_free = 0;

	for (uint32_t i = 0; i < rewrite->element_count; i++) {
		if (rewrite->elements[i].fate == FATE_FREE)
			are_free++;
		else
			stay++;
	}
	return stay +
	       (are_free > rewrite->run_count ? are_free : rewrite->run_count) +
	       (rewrite->declared_count != 0);
}

void rewrite_put_elements(const struct rewrite *rewrite, struct sink *sink)
{
	size_t next = 0;

	put_uleb(sink, count_elements(rewrite));
	for (uint32_t i = 0; i < rewrite->element_count; i++) {
		const struct old_element *old = &rewrite->elements[i];

		if (old->fate == FATE_STAYS) {
			put_bytes(sink, rewrite->module + old->off,
				  old->end - old->off);
		} else if (old->fate == FATE_EMPTY) {
			put_empty(sink, old);
		} else if (next < rewrite->run_count) {
			put_run(rewrite, sink, &rewrite->runs[next++]);
		} else {
			put_head(rewrite, sink, old->table_idx, 0, false);
			put_uleb(sink, 0);
		}
	}
	while (next < rewrite->run_count)
		put_run(rewrite, sink, &rewrite->runs[next++]);
	if (rewrite->declared_count)
		put_declared(rewrite, sink);
}

/* -------------------------------------------------------------------- runs */

static bool begins_run(const struct bake_table *table, size_t i)
{
	return !i || table->entries[i].place - 1 != table->entries[i - 1].place;
}

static size_t count_runs(const struct bake_table *table)
{
	size_t count = 0;

	for (size_t i = 0; i < table->entry_count; i++)
		count += begins_run(table, i);
	return count > BAKE_MAX_RUNS ? 1 : count;
}

static bool list_runs_of(struct rewrite *rewrite,
			 const struct bake_table *table)
{
	const struct bake_entry *entries = table->entries;
	size_t count = count_runs(table);
	struct run *run = NULL;

	for (size_t i = 0; i < table->entry_count; i++) {
		bool is_new = begins_run(table, i);

		if (!run || (is_new && count > 1)) {
			run = &rewrite->runs[rewrite->run_count++];
			*run = (struct run){ .table = table, .first = i };
		}
		run->count++;
		run->has_nulls |= is_new && i != run->first;
	}
	/* A null takes three bytes. */
	if (run && run->has_nulls &&
	    entries[table->entry_count - 1].place - entries[0].place >
		    BAKE_MAX_BYTES / 3)
		return refuse(
			rewrite,
			"table %u would take more than 1 GiB of the module",
			table->table_idx);
	return true;
}

static bool list_runs(struct rewrite *rewrite)
{
	const struct bake_state *state = rewrite->state;
	size_t count = 0;

	for (uint32_t i = 0; i < state->table_count; i++)
		count += count_runs(&state->tables[i]);
	rewrite->runs = calloc(count + 1, sizeof(*rewrite->runs));
	if (!rewrite->runs)
		return refuse(rewrite, "no memory");
	for (uint32_t i = 0; i < state->table_count; i++) {
		if (!list_runs_of(rewrite, &state->tables[i]))
			return false;
	}
	return true;
}

/* --------------------------------------------------------------- the whole */

bool rewrite_open(struct rewrite *rewrite, const struct bake_request *request,
		  char *reason, size_t reason_bytes)
{
	const struct bake_state *state = request->state;

	*rewrite = (struct rewrite){
		.state = state,
		.module = request->module,
		.reason = reason,
		.reason_bytes = reason_bytes,
	};
	if (!state)
		return true;
	rewrite->gone.function_count = state->function_count;
	rewrite->kept.function_count = state->function_count;
	rewrite->gone.is_mentioned =
		calloc((size_t)state->function_count + 1, 1);
	rewrite->kept.is_mentioned =
		calloc((size_t)state->function_count + 1, 1);
	if (!rewrite->gone.is_mentioned || !rewrite->kept.is_mentioned)
		return refuse(rewrite, "no memory");
	for (uint32_t i = 0; state->is_declared && i < state->function_count;
	     i++)
		rewrite->declared_count += state->is_declared[i];
	return true;
}

void rewrite_close(struct rewrite *rewrite)
{
	free(rewrite->gone.is_mentioned);
	free(rewrite->kept.is_mentioned);
	free(rewrite->tables);
	free(rewrite->globals);
	free(rewrite->elements);
	free(rewrite->runs);
}

bool rewrite_read(struct rewrite *rewrite, enum section_id id, struct in in)
{
	if (!rewrite->state)
		return true;
	if (id == SECTION_TABLE)
		return read_tables(rewrite, &in);
	if (id == SECTION_GLOBAL)
		return read_globals(rewrite, &in);
	if (id == SECTION_ELEMENT)
		return read_elements(rewrite, &in);
	return true;
}

bool rewrite_finish(struct rewrite *rewrite)
{
	const struct bake_state *state = rewrite->state;

	if (!state)
		return true;
	if (state->table_count && !rewrite->tables)
		return refuse(rewrite, "the module has no table section");
	if (state->global_count && !rewrite->globals)
		return refuse(rewrite, "the module has no global section");
	if (!rewrite->elements && !check_flags(rewrite, 0))
		return false;
	return list_runs(rewrite);
}

bool rewrite_adds_elements(const struct rewrite *rewrite)
{
	return !rewrite->elements &&
	       (rewrite->run_count || rewrite->declared_count);
}
