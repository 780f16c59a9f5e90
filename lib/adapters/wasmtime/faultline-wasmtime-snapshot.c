/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasmtime-snapshot.c - clones and sleeping sessions of Wasmtime's
 * instances, through its public interface.
 *
 * Takes an instance of a module that has state exports; gives a snapshot: images
 * of its memories, and the values of its globals and tables in the order of the
 * exports. A function is known by comparing it with the functions that the module
 * exports, and kept as its index; what compares with none is the host's or another
 * instance's, and is refused. A fresh instance whose memories show the images gets
 * the values, and is the clone.
 *
 * The state, in little-endian numbers: of a global the 16 bytes of its value,
 * zeroes behind shorter ones; of a table its size in 8 bytes, then each element in
 * 4. A function is its index and one, null is zero.
 *
 * Invariants
 * - A state is read to its last byte, and never beyond; it may be hostile.
 * - Nothing of an instance changes in a capture.
 */
#include <stdlib.h>
#include <string.h>

#include "wasmtime-api.h"

#define VALUE_BYTES 16
#define ELEMENT_BYTES 4

/* One instance, while a call works on it. */
struct subject {
	wasmtime_context_t *context;
	const wasmtime_instance_t *instance;
	const struct fl_wasmtime_module *module;
	struct fl_error *error;
};

static int get_export(const struct subject *s, const struct fl_state_export *at,
		      wasmtime_extern_t *item)
{
	static const uint8_t kinds[] = {
		[FL_STATE_FUNCTION] = WASMTIME_EXTERN_FUNC,
		[FL_STATE_TABLE] = WASMTIME_EXTERN_TABLE,
		[FL_STATE_MEMORY] = WASMTIME_EXTERN_MEMORY,
		[FL_STATE_GLOBAL] = WASMTIME_EXTERN_GLOBAL,
		[FL_STATE_START] = WASMTIME_EXTERN_FUNC,
	};

	if (wasmtime_instance_export_get(s->context, s->instance, at->name,
					 strlen(at->name), item) &&
	    item->kind == kinds[at->kind])
		return 0;
	return fail(s->error, -EINVAL,
		    "the instance has no export %s: it is not of this module",
		    at->name);
}

static const wasmtime_table_t *table_of(const wasmtime_extern_t *item)
{
	return (const wasmtime_table_t *)(const void *)&item->of;
}

static const wasmtime_global_t *global_of(const wasmtime_extern_t *item)
{
	return (const wasmtime_global_t *)(const void *)&item->of;
}

static int check_resumable(const struct fl_wasmtime_module *module,
			   struct fl_error *error)
{
	return module->exports ?
		       0 :
		       fail(error, -EINVAL,
			    "the module was not loaded by fl_wasmtime_load_resumable()");
}

/* --------------------------------------------------------------- functions */

/* The functions that can be in the state, by address and by index. */
struct functions {
	struct function {
		const void *address;
		uint32_t idx;
		wasmtime_func_t func;
	} * entries;
	uint32_t count;
};

static int compare_addresses(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct function *)a)->address;
	uintptr_t y = (uintptr_t)((const struct function *)b)->address;

	return (x > y) - (x < y);
}

/* In the order of indices, as the exports are. */
static int functions_get(const struct subject *s, struct functions *functions)
{
	const struct fl_wasmtime_module *module = s->module;
	wasmtime_extern_t item;

	functions->entries = calloc(module->export_count + (size_t)1,
				    sizeof(*functions->entries));
	if (!functions->entries)
		return fail(s->error, -ENOMEM, "no memory for functions");
	for (uint32_t i = 0; i < module->export_count; i++) {
		const struct fl_state_export *at = &module->exports[i];
		int err;

		if (at->kind != FL_STATE_FUNCTION)
			continue;
		err = get_export(s, at, &item);
		if (err)
			return err;
		functions->entries[functions->count++] = (struct function){
			.address = item.of.func.__private,
			.idx = at->idx,
			.func = item.of.func,
		};
	}
	return 0;
}

/* 0: null or not found; else the index and one. */
static uint32_t functions_number(const struct functions *functions,
				 const wasmtime_val_t *value)
{
	struct function key = { .address = value->of.funcref.__private };
	const struct function *found;

	if (!value->of.funcref.store_id)
		return 0;
	found = bsearch(&key, functions->entries, functions->count, sizeof(key),
			compare_addresses);
	return found ? found->idx + 1 : 0;
}

static int functions_value(const struct subject *s,
			   const struct functions *functions, uint32_t number,
			   wasmtime_val_t *value)
{
	uint32_t low = 0, high = functions->count;

	*value = (wasmtime_val_t){ .kind = WASMTIME_FUNCREF };
	if (!number)
		return 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (functions->entries[middle].idx < number - 1)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == functions->count ||
	    functions->entries[low].idx != number - 1)
		return fail(
			s->error, -ENOEXEC,
			"the state has a reference to function %u, of which the module makes none",
			number - 1);
	value->of.funcref = functions->entries[low].func;
	return 0;
}

/* ------------------------------------------------------------------ capture */

struct bytes {
	uint8_t *at;
	uint64_t length;
	uint64_t room;
};

static uint8_t *bytes_more(const struct subject *s, struct bytes *bytes,
			   uint64_t count)
{
	uint64_t room = bytes->room;
	uint8_t *more;

	if (room - bytes->length < count) {
		room = room * 2 + count + 256;
		more = realloc(bytes->at, (size_t)room);
		if (!more) {
			fail(s->error, -ENOMEM, "no memory for a state");
			return NULL;
		}
		bytes->at = more;
		bytes->room = room;
	}
	bytes->length += count;
	return memset(bytes->at + bytes->length - count, 0, (size_t)count);
}

static void put_number(uint8_t *at, uint64_t value, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const uint8_t *at, unsigned int count)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < count; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static int refuse_function(const struct subject *s,
			   const struct fl_state_export *at, uint64_t idx)
{
	if (at->kind == FL_STATE_GLOBAL)
		return fail(
			s->error, -ENOTSUP,
			"global %u holds a function that is not the module's: the host's, or another instance's",
			at->idx);
	return fail(
		s->error, -ENOTSUP,
		"element %llu of table %u is a function that is not the module's: the host's, or another instance's",
		(unsigned long long)idx, at->idx);
}

/* What Wasmtime calls a type of value, and how many bytes its values have. */
static unsigned int value_bytes(enum fl_value_type type, uint8_t *kind)
{
	switch (type) {
	case FL_VALUE_I32:
		*kind = WASMTIME_I32;
		return 4;
	case FL_VALUE_F32:
		*kind = WASMTIME_F32;
		return 4;
	case FL_VALUE_I64:
		*kind = WASMTIME_I64;
		return 8;
	case FL_VALUE_F64:
		*kind = WASMTIME_F64;
		return 8;
	case FL_VALUE_V128:
		*kind = WASMTIME_V128;
		return 16;
	default:
		*kind = WASMTIME_FUNCREF;
		return 0;
	}
}

/* A number in the host's order, as WebAssembly writes it; v128 is bytes. */
static void put_value(uint8_t *at, const wasmtime_val_t *value,
		      unsigned int count)
{
	uint32_t half;

	memcpy(&half, &value->of, sizeof(half));
	if (count == 4)
		put_number(at, half, 4);
	else if (count == 8)
		put_number(at, value->of.words[0], 8);
	else
		memcpy(at, value->of.bytes, count);
}

static void get_value(const uint8_t *at, wasmtime_val_t *value,
		      unsigned int count)
{
	uint32_t half = (uint32_t)get_number(at, 4);

	if (count == 4)
		memcpy(&value->of, &half, sizeof(half));
	else if (count == 8)
		value->of.words[0] = get_number(at, 8);
	else
		memcpy(value->of.bytes, at, count);
}

static int encode_global(const struct subject *s,
			 const struct fl_state_export *at,
			 const struct functions *functions,
			 const wasmtime_extern_t *item, struct bytes *bytes)
{
	uint8_t *to = bytes_more(s, bytes, VALUE_BYTES);
	wasmtime_val_t value;
	uint32_t number;
	uint8_t kind;
	unsigned int count = value_bytes(at->value, &kind);

	if (!to)
		return -ENOMEM;
	wasmtime_global_get(s->context, global_of(item), &value);
	if (value.kind != kind)
		return fail(s->error, -EINVAL,
			    "global %u has another type than in this module",
			    at->idx);
	if (count) {
		put_value(to, &value, count);
		return 0;
	}
	number = functions_number(functions, &value);
	put_number(to, number, ELEMENT_BYTES);
	return number || !value.of.funcref.store_id ? 0 :
						      refuse_function(s, at, 0);
}

static int encode_table(const struct subject *s,
			const struct fl_state_export *at,
			const struct functions *functions,
			const wasmtime_extern_t *item, struct bytes *bytes)
{
	uint64_t size = wasmtime_table_size(s->context, table_of(item));
	uint8_t *to = bytes_more(s, bytes, 8 + size * ELEMENT_BYTES);
	wasmtime_val_t value;
	uint32_t number;

	if (!to)
		return -ENOMEM;
	put_number(to, size, 8);
	to += 8;
	for (uint64_t i = 0; i < size; i++, to += ELEMENT_BYTES) {
		if (!wasmtime_table_get(s->context, table_of(item), i,
					&value) ||
		    value.kind != WASMTIME_FUNCREF)
			return fail(s->error, -EINVAL,
				    "table %u is not as in this module",
				    at->idx);
		number = functions_number(functions, &value);
		if (!number && value.of.funcref.store_id)
			return refuse_function(s, at, i);
		put_number(to, number, ELEMENT_BYTES);
	}
	return 0;
}

static int encode_all(const struct subject *s,
		      const struct functions *functions, struct bytes *bytes)
{
	const struct fl_wasmtime_module *module = s->module;
	wasmtime_extern_t item;
	int err = 0;

	for (uint32_t i = 0; i < module->export_count && !err; i++) {
		const struct fl_state_export *at = &module->exports[i];

		if (at->kind != FL_STATE_GLOBAL && at->kind != FL_STATE_TABLE)
			continue;
		err = get_export(s, at, &item);
		if (!err && at->kind == FL_STATE_GLOBAL)
			err = encode_global(s, at, functions, &item, bytes);
		else if (!err)
			err = encode_table(s, at, functions, &item, bytes);
	}
	return err;
}

/* On success the caller frees bytes->at. */
static int encode(const struct subject *s, struct bytes *bytes)
{
	struct functions functions = { NULL, 0 };
	int err = functions_get(s, &functions);

	*bytes = (struct bytes){ NULL, 0, 0 };
	/* A state is bytes, also where there is nothing to say. */
	if (!err && !bytes_more(s, bytes, 1))
		err = -ENOMEM;
	bytes->length = 0;
	if (!err) {
		qsort(functions.entries, functions.count,
		      sizeof(*functions.entries), compare_addresses);
		err = encode_all(s, &functions, bytes);
	}
	free(functions.entries);
	if (err)
		free(bytes->at);
	return err;
}

static int find_memories(const struct subject *s, struct fl_memory **memories,
			 uint32_t *count)
{
	const struct fl_wasmtime_module *module = s->module;
	wasmtime_extern_t item;

	*count = 0;
	for (uint32_t i = 0; i < module->export_count; i++) {
		const struct fl_state_export *at = &module->exports[i];
		const void *base;
		int err;

		if (at->kind != FL_STATE_MEMORY)
			continue;
		/* Of a module that has more, no clone can begin. */
		if (*count == FL_WASMTIME_MAX_MEMORIES)
			return fail(s->error, -E2BIG,
				    "the module has more than %d memories",
				    FL_WASMTIME_MAX_MEMORIES);
		err = get_export(s, at, &item);
		if (err)
			return err;
		base = wasmtime_memory_data(
			s->context,
			(const wasmtime_memory_t *)(const void *)&item.of);
		memories[*count] = fl_memory_find(module->pool, base);
		if (!memories[*count])
			return fail(
				s->error, -EINVAL,
				"memory %u of the instance is not the pool's",
				at->idx);
		++*count;
	}
	return 0;
}

int fl_wasmtime_snapshot(struct wasmtime_context *context,
			 const struct wasmtime_instance *instance,
			 const struct fl_wasmtime_module *module,
			 struct fl_snapshot **snapshot, struct fl_error *error)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_memory *memories[FL_WASMTIME_MAX_MEMORIES];
	struct fl_image *images[FL_WASMTIME_MAX_MEMORIES] = { NULL };
	struct subject s = { context, instance, module, error };
	struct bytes state;
	uint32_t count;
	int err = check_resumable(module, error);

	if (!err)
		err = find_memories(&s, memories, &count);
	if (!err)
		err = encode(&s, &state);
	if (err)
		return err;
	for (uint32_t i = 0; i < count && !err; i++)
		err = fl_image_from_memory(memories[i], NULL, &images[i],
					   error);
	if (!err) {
		parts.module = module->module;
		parts.images = images;
		parts.image_count = count;
		parts.state = state.at;
		parts.state_bytes = state.length;
		parts.encoding = FL_WASMTIME_ENCODING;
		err = fl_snapshot_create(&parts, snapshot, error);
	}
	for (uint32_t i = 0; i < count; i++)
		fl_image_release(images[i]);
	free(state.at);
	return err;
}

/* -------------------------------------------------------------------- sleep */

static int prepare_delta(const struct subject *s, struct fl_snapshot *snapshot,
			 const uint8_t *tag, struct fl_memory **memories,
			 struct bytes *state, struct fl_delta_parts *parts)
{
	int err =
		fl_wasmtime_check_snapshot(s->module, snapshot, NULL, s->error);

	if (!err)
		err = find_memories(s, memories, &parts->memory_count);
	if (!err)
		err = encode(s, state);
	if (err)
		return err;
	parts->snapshot = snapshot;
	parts->memories = memories;
	parts->state = state->at;
	parts->state_bytes = state->length;
	if (tag)
		memcpy(parts->tag, tag, sizeof(parts->tag));
	return 0;
}

int fl_wasmtime_delta(struct wasmtime_context *context,
		      const struct wasmtime_instance *instance,
		      const struct fl_wasmtime_module *module,
		      struct fl_snapshot *snapshot, const uint8_t *tag,
		      struct fl_delta **delta, struct fl_error *error)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_memory *memories[FL_WASMTIME_MAX_MEMORIES];
	struct subject s = { context, instance, module, error };
	struct bytes state;
	int err = prepare_delta(&s, snapshot, tag, memories, &state, &parts);

	if (err)
		return err;
	err = fl_memory_delta(&parts, delta, error);
	free(state.at);
	return err;
}

int fl_wasmtime_suspend(struct wasmtime_store *store,
			const struct wasmtime_instance *instance,
			const struct fl_wasmtime_module *module,
			struct fl_snapshot *snapshot, const uint8_t *tag,
			struct fl_delta **delta, struct fl_error *error)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_memory *memories[FL_WASMTIME_MAX_MEMORIES];
	struct fl_wasmtime_held *held[FL_WASMTIME_MAX_MEMORIES];
	struct subject s = { wasmtime_store_context(store), instance, module,
			     error };
	struct bytes state;
	int err = prepare_delta(&s, snapshot, tag, memories, &state, &parts);

	if (err)
		return err;
	for (uint32_t i = 0; i < parts.memory_count; i++)
		held[i] = fl_memory_user(memories[i]);
	err = fl_memory_suspend(&parts, delta, error);
	free(state.at);
	if (err)
		return err;
	/* They are gone, and the store is not to give them back again. */
	for (uint32_t i = 0; i < parts.memory_count; i++)
		held[i]->memory = NULL;
	wasmtime_store_delete(store);
	return 0;
}

/* ------------------------------------------------------------------- clones */

int fl_wasmtime_check_snapshot(const struct fl_wasmtime_module *module,
			       const struct fl_snapshot *snapshot,
			       const struct fl_delta *delta,
			       struct fl_error *error)
{
	struct fl_snapshot_info info = { .size = sizeof(info) };
	struct fl_delta_info slept = { .size = sizeof(slept) };
	int err = check_resumable(module, error);

	if (err)
		return err;
	fl_snapshot_info(snapshot, &info);
	if (fl_snapshot_module(snapshot, 0) != module->module)
		return fail(error, -EINVAL,
			    "the snapshot is of another module");
	if (strcmp(info.encoding, FL_WASMTIME_ENCODING))
		return fail(
			error, -EINVAL,
			"the snapshot has the encoding %s, not " FL_WASMTIME_ENCODING,
			info.encoding);
	if (!delta)
		return 0;
	fl_delta_info(delta, &slept);
	return slept.snapshot == snapshot ?
		       0 :
		       fail(error, -EINVAL,
			    "the delta was not opened with this snapshot");
}

/* A state that is read from its beginning. */
struct view {
	const uint8_t *at;
	uint64_t left;
};

static const uint8_t *view_take(const struct subject *s, struct view *view,
				uint64_t count)
{
	const uint8_t *at = view->at;

	if (view->left < count) {
		fail(s->error, -ENOEXEC,
		     "the state ends before all globals and tables have a value");
		return NULL;
	}
	view->at += count;
	view->left -= count;
	return at;
}

static int decode_global(const struct subject *s,
			 const struct fl_state_export *at,
			 const struct functions *functions,
			 const wasmtime_extern_t *item, struct view *view)
{
	const uint8_t *from = view_take(s, view, VALUE_BYTES);
	wasmtime_val_t value = { .kind = WASMTIME_I32 };
	wasmtime_error_t *theirs;
	unsigned int count;
	int err;

	if (!from)
		return -ENOEXEC;
	count = value_bytes(at->value, &value.kind);
	if (count) {
		get_value(from, &value, count);
	} else {
		err = functions_value(s, functions,
				      (uint32_t)get_number(from, ELEMENT_BYTES),
				      &value);
		if (err)
			return err;
	}
	theirs = wasmtime_global_set(s->context, global_of(item), &value);
	return theirs ? fail_by(s->error, theirs) : 0;
}

static int grow_table(const struct subject *s, const wasmtime_extern_t *item,
		      const struct fl_state_export *at, uint64_t size)
{
	uint64_t now = wasmtime_table_size(s->context, table_of(item));
	const wasmtime_val_t null = { .kind = WASMTIME_FUNCREF };
	wasmtime_error_t *theirs;

	if (size < now)
		return fail(s->error, -ENOEXEC,
			    "the state makes table %u smaller than it begins",
			    at->idx);
	if (size == now)
		return 0;
	theirs = wasmtime_table_grow(s->context, table_of(item), size - now,
				     &null, &now);
	if (!theirs)
		return 0;
	fail_by(s->error, theirs);
	return fail(s->error, -E2BIG, "table %u cannot grow to %llu elements",
		    at->idx, (unsigned long long)size);
}

static int decode_table(const struct subject *s,
			const struct fl_state_export *at,
			const struct functions *functions,
			const wasmtime_extern_t *item, struct view *view)
{
	const uint8_t *from = view_take(s, view, 8);
	wasmtime_error_t *theirs;
	wasmtime_val_t value;
	uint64_t size;
	int err;

	if (!from)
		return -ENOEXEC;
	size = get_number(from, 8);
	/* Bytes that are there bound what a hostile size can take. */
	from = view_take(s, view,
			 size > view->left ? UINT64_MAX : size * ELEMENT_BYTES);
	if (!from)
		return -ENOEXEC;
	err = grow_table(s, item, at, size);
	for (uint64_t i = 0; i < size && !err; i++, from += ELEMENT_BYTES) {
		err = functions_value(s, functions,
				      (uint32_t)get_number(from, ELEMENT_BYTES),
				      &value);
		if (err)
			break;
		theirs = wasmtime_table_set(s->context, table_of(item), i,
					    &value);
		if (theirs)
			err = fail_by(s->error, theirs);
	}
	return err;
}

static int decode(const struct subject *s, struct view view)
{
	const struct fl_wasmtime_module *module = s->module;
	struct functions functions = { NULL, 0 };
	wasmtime_extern_t item;
	int err = functions_get(s, &functions);

	for (uint32_t i = 0; i < module->export_count && !err; i++) {
		const struct fl_state_export *at = &module->exports[i];

		if (at->kind != FL_STATE_GLOBAL && at->kind != FL_STATE_TABLE)
			continue;
		err = get_export(s, at, &item);
		if (!err && at->kind == FL_STATE_GLOBAL)
			err = decode_global(s, at, &functions, &item, &view);
		else if (!err)
			err = decode_table(s, at, &functions, &item, &view);
	}
	free(functions.entries);
	if (!err && view.left)
		err = fail(s->error, -ENOEXEC,
			   "the state has %llu bytes after its last value",
			   (unsigned long long)view.left);
	return err;
}

/* Most states are small, and a wake is to allocate nothing for them. */
#define FEW_BYTES 512

static int decode_delta(const struct subject *s, const struct fl_delta *delta)
{
	uint8_t few[FEW_BYTES];
	uint64_t length = sizeof(few);
	uint8_t *bytes = few;
	int err = fl_delta_read_state(delta, 0, bytes, &length);

	if (err == -E2BIG) {
		bytes = malloc((size_t)length);
		err = bytes ? fl_delta_read_state(delta, 0, bytes, &length) :
			      -ENOMEM;
	}
	if (err)
		err = fail(s->error, err, "the delta's state: %s",
			   fl_strerror(err));
	else
		err = decode(s, (struct view){ bytes, length });
	if (bytes != few)
		free(bytes);
	return err;
}

int fl_wasmtime_restore(struct wasmtime_context *context,
			const struct wasmtime_instance *instance,
			const struct fl_wasmtime_module *module,
			const struct fl_snapshot *snapshot,
			const struct fl_delta *delta, struct fl_error *error)
{
	struct subject s = { context, instance, module, error };
	struct view view;
	int err = fl_wasmtime_check_snapshot(module, snapshot, delta, error);

	if (err)
		return err;
	if (delta)
		return decode_delta(&s, delta);
	view.at = fl_snapshot_state(snapshot, 0, &view.left);
	return decode(&s, view);
}

/* ------------------------------------------------------------ instantiation */

/* Wasmtime's error or trap, one of which may be there. */
static int answer(wasmtime_error_t *theirs, const wasm_trap_t *trap,
		  const char *what, struct fl_error *error)
{
	if (theirs)
		return fail_by(error, theirs);
	return trap ? fail(error, -EINVAL, "%s trapped", what) : 0;
}

int fl_wasmtime_start(struct wasmtime_context *context,
		      const struct wasmtime_instance *instance,
		      const struct fl_wasmtime_module *module,
		      struct wasm_trap_t **trap, struct fl_error *error)
{
	struct subject s = { context, instance, module, error };
	const struct fl_state_export *last;
	wasmtime_error_t *theirs;
	wasmtime_extern_t item;
	int err = check_resumable(module, error);

	*trap = NULL;
	if (err || !module->export_count)
		return err;
	/* The list ends with it. */
	last = &module->exports[module->export_count - 1];
	if (last->kind != FL_STATE_START)
		return 0;
	err = get_export(&s, last, &item);
	if (err)
		return err;
	theirs = wasmtime_func_call(context, &item.of.func, NULL, 0, NULL, 0,
				    trap);
	return answer(theirs, *trap, "the start function", error);
}

int fl_wasmtime_clone(struct wasmtime_context *context,
		      const struct fl_wasmtime_module *module,
		      const struct wasmtime_extern *imports,
		      size_t import_count, struct fl_snapshot *snapshot,
		      const struct fl_delta *delta, uint64_t timeout_ns,
		      struct wasmtime_instance *instance,
		      struct wasm_trap_t **trap, struct fl_error *error)
{
	struct fl_wasmtime_batch batch;
	wasmtime_error_t *theirs;
	int err;

	*trap = NULL;
	err = fl_wasmtime_begin_clone(&batch, module, snapshot, delta,
				      timeout_ns, error);
	if (err)
		return err;
	theirs = wasmtime_instance_new(context, module->compiled, imports,
				       import_count, instance, trap);
	fl_wasmtime_end(&batch);
	err = answer(theirs, *trap, "the instantiation", error);
	return err ? err :
		     fl_wasmtime_restore(context, instance, module, snapshot,
					 delta, error);
}
