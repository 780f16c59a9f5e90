/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* module.c - loading and describing modules; see module.h. */
#include "module.h"
#include "base/config.h"
#include "base/probes.h"
#include "base/sized.h"

#include <stdlib.h>

static const struct fl__globals no_globals = { NULL, 0, NULL };

void fl__module_globals_begin(const struct fl_module *module,
			      const uint64_t *values, uint32_t count,
			      struct fl__globals *globals)
{
	*globals = (struct fl__globals){ values, count, NULL };
	if (module->shares_globals && values)
		globals->made = calloc(module->reader.global_count,
				       sizeof(*globals->made));
}

void fl__module_globals_end(struct fl__globals *globals)
{
	free(globals->made);
}

int fl__module_offset(const struct fl_module *module, const char *kind,
		      uint32_t idx, const struct fl__const *offset,
		      const struct fl__globals *globals, uint64_t *value,
		      struct fl_error *error)
{
	if (fl__reader_eval(&module->reader, offset, globals, value))
		return 0;
	return fl__error_set(
		error, -EINVAL,
		"the offset of %s segment %u depends on an imported global; give its value in imported_globals",
		kind, idx);
}

int fl__module_place(const struct fl_module *module, uint32_t data_idx,
		     const struct fl__globals *globals,
		     struct fl_segment *segment, struct fl_error *error)
{
	const struct fl__data *data = &module->reader.data[data_idx];

	segment->bytes = module->reader.bytes + data->bytes.off;
	segment->length_bytes = data->bytes.len;
	return fl__module_offset(module, "data", data_idx, &data->offset,
				 globals, &segment->offset_bytes, error);
}

/* The active segments of one memory, seen as instantiation sees them: one of
 * another defined memory that does not fit stops this one too. */
struct memory_segments {
	const struct fl_module *module;
	const uint32_t *list; /* of this memory, in order */
	uint32_t stop_idx; /* the other; UINT32_MAX: there is none */
	const struct fl__globals *globals;
};

/* Does a segment of a defined memory trap, as far as these globals tell? */
static bool segment_traps(const struct fl_module *module, uint32_t data_idx,
			  const struct fl__globals *globals)
{
	uint32_t memory_idx = module->reader.data[data_idx].memory_idx;
	struct fl_segment segment;

	return memory_idx >= module->reader.imported_memory_count &&
	       !fl__module_place(module, data_idx, globals, &segment, NULL) &&
	       !fl_range_fits(segment.offset_bytes, segment.length_bytes,
			      module->memories[memory_idx].min_bytes);
}

static uint32_t find_stop(const struct fl_module *module, uint32_t memory_idx,
			  const struct fl__globals *globals)
{
	const struct fl__data *data = module->reader.data;
	uint32_t stop_idx = UINT32_MAX;

	for (uint32_t i = 0; i < module->reader.memory_count; i++) {
		if (i != memory_idx &&
		    module->memories[i].trap_data_idx < stop_idx)
			stop_idx = module->memories[i].trap_data_idx;
	}
	for (uint32_t i = 0; globals->values && i < module->deferred_count &&
			     module->deferred[i] < stop_idx;
	     i++) {
		uint32_t idx = module->deferred[i];

		if (data[idx].memory_idx != memory_idx &&
		    segment_traps(module, idx, globals))
			stop_idx = idx;
	}
	return stop_idx;
}

static enum fl__segment_status memory_get(const struct fl__segments *segments,
					  size_t idx,
					  struct fl_segment *segment,
					  struct fl_error *error)
{
	const struct memory_segments *from = segments->owner;

	/* The last one stands for what stops it. */
	if (from->stop_idx != UINT32_MAX && idx == segments->count - 1)
		return FL__SEGMENT_TRAP;
	return fl__module_place(from->module, from->list[idx], from->globals,
				segment, error) ?
		       FL__SEGMENT_UNKNOWN :
		       FL__SEGMENT_OURS;
}

static int module_build_image(struct fl_context *context,
			      const struct fl_module *module,
			      uint32_t memory_idx, uint64_t initial_bytes,
			      const struct fl__globals *globals,
			      struct fl__image_allowance *allowance,
			      struct fl_image **image, struct fl_error *error)
{
	const struct fl__module_memory *memory = &module->memories[memory_idx];
	struct memory_segments from = {
		.module = module,
		.list = module->by_memory + memory->first_data,
		.stop_idx = find_stop(module, memory_idx, globals),
		.globals = globals,
	};
	struct fl__segments segments = { .owner = &from, .get = memory_get };
	struct fl__image_map *map;
	int err;

	while (segments.count < memory->data_count &&
	       from.list[segments.count] < from.stop_idx)
		segments.count++;
	if (from.stop_idx != UINT32_MAX)
		segments.count++;
	err = fl__image_create(context, &segments, initial_bytes, allowance,
			       image, error);
	if (err)
		return err;
	map = &(*image)->map;
	/* A place in the list, until here. */
	if (map->trap)
		map->trap_segment_idx =
			from.stop_idx != UINT32_MAX &&
					map->trap_segment_idx ==
						segments.count - 1 ?
				from.stop_idx :
				from.list[map->trap_segment_idx];
	return 0;
}

/* The lists of data segments, sorted by counting. */
static void sort_segments(struct fl_module *module)
{
	const struct fl__reader *reader = &module->reader;
	uint32_t first = 0;

	for (uint32_t i = 0; i < reader->data_count; i++) {
		const struct fl__data *data = &reader->data[i];

		if (data->mode != FL__SEGMENT_ACTIVE)
			module->passive_count++;
		else
			module->memories[data->memory_idx].data_count++;
	}
	for (uint32_t i = 0; i < reader->memory_count; i++) {
		module->memories[i].first_data = first;
		first += module->memories[i].data_count;
		module->memories[i].data_count = 0;
	}
	for (uint32_t i = 0; i < reader->data_count; i++) {
		const struct fl__data *data = &reader->data[i];
		struct fl__module_memory *memory =
			&module->memories[data->memory_idx];

		if (data->mode == FL__SEGMENT_ACTIVE)
			module->by_memory[memory->first_data +
					  memory->data_count++] = i;
	}
}

static bool shares_globals(const struct fl__const *offset)
{
	/* Globals imported and read directly are one level. */
	return offset->known == FL__KNOWN_IMPORT && offset->nesting > 1;
}

static void measure_segment(struct fl_module *module, uint32_t data_idx)
{
	const struct fl__data *data = &module->reader.data[data_idx];
	struct fl__module_memory *memory = &module->memories[data->memory_idx];
	struct fl_segment segment;
	uint64_t end;

	if (fl__module_place(module, data_idx, &no_globals, &segment, NULL)) {
		memory->reason =
			"a data segment's offset depends on an imported global";
		module->deferred[module->deferred_count++] = data_idx;
		module->shares_globals |= shares_globals(&data->offset);
		if (data->offset.known == FL__KNOWN_NO)
			memory->needs = UINT32_MAX;
		else if (memory->needs < data->offset.needs)
			memory->needs = data->offset.needs;
		return;
	}
	if (fl_add_overflow(segment.offset_bytes, segment.length_bytes, &end))
		end = UINT64_MAX;
	memory->active_end_bytes = fl_max_u64(memory->active_end_bytes, end);
	if (memory->trap_data_idx == UINT32_MAX &&
	    segment_traps(module, data_idx, &no_globals))
		memory->trap_data_idx = data_idx;
}

static void module_measure(struct fl_module *module)
{
	const struct fl__reader *reader = &module->reader;

	for (uint32_t i = 0; i < reader->memory_count; i++) {
		const struct fl__limits *limits = &reader->memories[i].limits;
		struct fl__module_memory *memory = &module->memories[i];

		memory->page_bytes = (uint64_t)1 << limits->page_log2;
		if (fl_mul_overflow(limits->min, memory->page_bytes,
				    &memory->min_bytes))
			memory->min_bytes = UINT64_MAX;
		if (fl_mul_overflow(limits->most, memory->page_bytes,
				    &memory->most_bytes))
			memory->most_bytes = UINT64_MAX;
		memory->trap_data_idx = UINT32_MAX;
	}
	sort_segments(module);
	for (uint32_t i = 0; i < reader->data_count; i++) {
		if (reader->data[i].mode == FL__SEGMENT_ACTIVE)
			measure_segment(module, i);
	}
	for (uint32_t i = 0; i < reader->elem_count; i++)
		module->shares_globals |=
			shares_globals(&reader->elems[i].offset);
}

/* When it is known which images there are. */
static void list_unshown(struct fl_module *module)
{
	const struct fl__reader *reader = &module->reader;

	for (uint32_t i = 0; i < reader->data_count; i++) {
		const struct fl__data *data = &reader->data[i];

		if (data->mode == FL__SEGMENT_ACTIVE &&
		    (data->memory_idx < reader->imported_memory_count ||
		     !module->shows_images ||
		     !module->memories[data->memory_idx].image))
			module->unshown[module->unshown_count++] = i;
	}
}

/* -ENOMEM and a limit are errors; everything else is a memory without an
 * image. */
static int module_build_images(struct fl_module *module, struct fl_error *error)
{
	struct fl__image_allowance allowance = { .bytes = 0 };
	struct fl_error found;

	if (module->context)
		allowance = fl__image_allowance(module->context,
						module->reader.length);
	module->shows_images = true;
	for (uint32_t i = 0; i < module->reader.memory_count; i++) {
		struct fl__module_memory *memory = &module->memories[i];
		int err;

		if (!module->context)
			memory->reason =
				"the module was loaded without a context";
		if (memory->reason)
			continue;
		err = module_build_image(module->context, module, i,
					 memory->min_bytes, &no_globals,
					 &allowance, &memory->image, &found);
		if (err == -E2BIG && !allowance.is_over) {
			memory->reason =
				"its initial content ends beyond 1 TiB";
		} else if (err) {
			if (error)
				*error = found;
			return err;
		} else if (memory->image->map.trap &&
			   i >= module->reader.imported_memory_count) {
			module->shows_images = false;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------- twins */

/*
 * Modules of the same bytes in one context have the same images. A hash finds
 * the twin, and all bytes are compared. The lock is held for list work alone, so
 * a listed module may be on its way out: whoever finds one takes a reference, or
 * leaves a module that has none.
 */

static uint64_t hash_bytes(const uint8_t *bytes, uint64_t len)
{
	uint64_t hash = len * 0x9e3779b97f4a7c15u, word;

	for (; len >= sizeof(word); len -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
		bytes += sizeof(word);
	}
	for (; len; len--)
		hash = (hash ^ *bytes++) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 32;
}

static struct fl_module **head_of(const struct fl_module *module)
{
	return &module->context->twins[module->hash %
				       FL_ARRAY_SIZE(module->context->twins)];
}

/* False: the last reference has gone. */
static bool retain_living(struct fl_module *module)
{
	uint32_t refs = __atomic_load_n(&module->refs, __ATOMIC_RELAXED);

	while (refs) {
		if (__atomic_compare_exchange_n(&module->refs, &refs, refs + 1,
						true, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return true;
	}
	return false;
}

/* A reference to a module of the same bytes; NULL: there is none. Of the modules
 * with this hash only the newest is compared: a missed twin costs memory and is no
 * error. */
static struct fl_module *twin_find(struct fl_module *module)
{
	struct fl_context *context = module->context;
	uint64_t length = module->reader.length;
	struct fl_module *twin;

	module->hash = hash_bytes(module->bytes, length);
	if (!fl__context_lock(context, &context->twins_lock))
		return NULL;
	twin = *head_of(module);
	while (twin && (twin->hash != module->hash ||
			twin->reader.length != length || !retain_living(twin)))
		twin = twin->next_twin;
	fl__os_unlock(&context->twins_lock);
	if (!twin || !memcmp(twin->bytes, module->bytes, (size_t)length))
		return twin;
	fl_module_release(twin);
	return NULL;
}

static void twin_add(struct fl_module *module)
{
	struct fl_context *context = module->context;
	struct fl_module **head = head_of(module);

	if (!fl__context_lock(context, &context->twins_lock))
		return;
	module->is_listed = true;
	module->next_twin = *head;
	*head = module;
	fl__os_unlock(&context->twins_lock);
}

static void twin_remove(struct fl_module *module)
{
	struct fl_context *context = module->context;
	struct fl_module **link;

	if (!module->is_listed ||
	    !fl__context_lock(context, &context->twins_lock))
		return;
	for (link = head_of(module); *link != module;)
		link = &(*link)->next_twin;
	*link = module->next_twin;
	fl__os_unlock(&context->twins_lock);
}

/* What twins have in common. */
static void share_images(struct fl_module *module, const struct fl_module *twin)
{
	for (uint32_t i = 0; i < module->reader.memory_count; i++) {
		module->memories[i].reason = twin->memories[i].reason;
		if (twin->memories[i].image)
			module->memories[i].image =
				fl_image_retain(twin->memories[i].image);
	}
	module->shows_images = twin->shows_images;
}

static int module_take_bytes(struct fl_module *module,
			     const struct fl_module_config *config,
			     struct fl_error *error)
{
	if (!config->bytes)
		return fl__error_set(error, -EINVAL,
				     "fl_module_config.bytes is NULL");
	module->bytes = config->bytes;
	if (config->length_bytes > FL__READER_MAX_BYTES)
		return fl__error_set(
			error, -E2BIG,
			"the module has %llu bytes; a module may have up to %llu",
			fl_llu(config->length_bytes),
			fl_llu(FL__READER_MAX_BYTES));
	if (config->ownership == FL_BYTES_BORROW)
		return 0;
	if (config->ownership != FL_BYTES_COPY)
		return fl__error_set(
			error, -EINVAL,
			"fl_module_config.ownership is neither copy nor borrow");
	module->owned_bytes = malloc((size_t)config->length_bytes + 1);
	if (!module->owned_bytes)
		return fl__error_set(error, -ENOMEM,
				     "no memory to copy the module's bytes");
	memcpy(module->owned_bytes, config->bytes,
	       (size_t)config->length_bytes);
	module->bytes = module->owned_bytes;
	return 0;
}

static void module_free(struct fl_module *module)
{
	twin_remove(module);
	if (module->memories) {
		for (uint32_t i = 0; i < module->reader.memory_count; i++)
			fl_image_release(module->memories[i].image);
	}
	free(module->memories);
	free(module->by_memory);
	fl__survey_free(module->surveyed);
	fl__reader_fini(&module->reader);
	free(module->owned_bytes);
	if (module->release) {
		fl__os_no_cancel();

		module->release(module->user, module->bytes);
	}
	fl_context_destroy(module->context);
	free(module);
}

static int module_fill(struct fl_module *module,
		       const struct fl_module_config *config,
		       struct fl_error *error)
{
	struct fl_module *twin;
	int err = module_take_bytes(module, config, error);

	if (!err)
		err = fl__reader_read(&module->reader, module->bytes,
				      config->length_bytes, error);
	if (err)
		return err;
	module->memories = calloc(module->reader.memory_count + 1,
				  sizeof(*module->memories));
	module->by_memory = calloc(3 * (size_t)module->reader.data_count + 1,
				   sizeof(*module->by_memory));
	if (!module->memories || !module->by_memory)
		return fl__error_set(error, -ENOMEM, "no memory for a module");
	module->deferred = module->by_memory + module->reader.data_count;
	module->unshown = module->deferred + module->reader.data_count;
	module_measure(module);
	twin = module->context ? twin_find(module) : NULL;
	if (twin)
		share_images(module, twin);
	else
		err = module_build_images(module, error);
	fl_module_release(twin);
	if (err)
		return err;
	list_unshown(module);
	if (module->context)
		twin_add(module);
	return 0;
}

int fl_module_load(struct fl_context *context,
		   const struct fl_module_config *config,
		   struct fl_module **out, struct fl_error *error)
{
	struct fl_module_config known;
	struct fl_module *module;
	int err = fl__config_read(FL_MODULE_CONFIG, &known, config, error);

	if (err)
		return err;
	module = calloc(1, sizeof(*module));
	if (!module) {
		if (known.release && known.ownership == FL_BYTES_BORROW)
			known.release(known.user, known.bytes);
		return fl__error_set(error, -ENOMEM, "no memory for a module");
	}
	module->refs = 1;
	module->survey = &module->surveyed;
	module->context = context ? fl__context_retain(context) : NULL;
	if (known.ownership == FL_BYTES_BORROW) {
		module->release = known.release;
		module->user = known.user;
	}
	err = fl__config_name(module->name, known.name, "fl_module_config.name",
			      error);
	if (!err)
		err = module_fill(module, &known, error);
	if (err) {
		module_free(module);
		return err;
	}
	fl_probe2(load, module->name, known.length_bytes);
	*out = module;
	return 0;
}

struct fl_module *fl_module_retain(struct fl_module *module)
{
	__atomic_fetch_add(&module->refs, 1, __ATOMIC_RELAXED);
	return module;
}

void fl_module_release(struct fl_module *module)
{
	/* The last one out must see what the others wrote. */
	if (module && !__atomic_sub_fetch(&module->refs, 1, __ATOMIC_ACQ_REL))
		module_free(module);
}

/* Two threads may both make a survey: the first one to publish its survey wins,
 * and the other thread frees its own. */
int fl__module_survey(const struct fl_module *module,
		      const struct fl__survey **out)
{
	struct fl__survey *survey =
		__atomic_load_n(module->survey, __ATOMIC_ACQUIRE);
	struct fl__survey *made;
	int err;

	if (!survey) {
		err = fl__survey_make(&module->reader, &made);
		if (err)
			return err;
		/* Pairs with the load above. */
		if (__atomic_compare_exchange_n(module->survey, &survey, made,
						false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			survey = made;
		else
			fl__survey_free(made);
	}
	*out = survey;
	return 0;
}

/* No memory of the type is ever smaller or larger. */
static int check_initial(const struct fl_module *module, uint32_t memory_idx,
			 uint64_t initial_bytes, struct fl_error *error)
{
	const struct fl__limits *limits =
		&module->reader.memories[memory_idx].limits;
	uint64_t least = module->memories[memory_idx].min_bytes;
	uint64_t most = module->memories[memory_idx].most_bytes;

	if (initial_bytes < least)
		return fl__error_set(
			error, -EINVAL,
			"initial_bytes is %llu; memory %u has %llu at least by its type, which 0 takes",
			fl_llu(initial_bytes), memory_idx, fl_llu(least));
	if (initial_bytes <= most)
		return 0;
	return fl__error_set(
		error, -EINVAL,
		"initial_bytes is %llu; memory %u ends at %llu by its type, which has a %s",
		fl_llu(initial_bytes), memory_idx, fl_llu(most),
		limits->most < limits->max ? "32-bit address" : "maximum");
}

int fl_image_from_module(struct fl_context *context,
			 const struct fl_module *module, uint32_t memory_idx,
			 const struct fl_image_config *config,
			 struct fl_image **image, struct fl_error *error)
{
	struct fl__image_allowance allowance;
	struct fl_image_config known;
	struct fl__globals globals;
	int err = fl__config_read(FL_IMAGE_CONFIG, &known, config, error);

	if (err)
		return err;
	if (memory_idx >= module->reader.memory_count)
		return fl__error_set(
			error, -EINVAL,
			"the module has %u %s; there is no memory %u",
			module->reader.memory_count,
			fl_noun(module->reader.memory_count, "memory",
				"memories"),
			memory_idx);
	if (!known.initial_bytes)
		known.initial_bytes = module->memories[memory_idx].min_bytes;
	err = check_initial(module, memory_idx, known.initial_bytes, error);
	if (err)
		return err;
	allowance = fl__image_allowance(context, module->reader.length);
	fl__module_globals_begin(module, known.imported_globals,
				 known.imported_global_count, &globals);
	err = module_build_image(context, module, memory_idx,
				 known.initial_bytes, &globals, &allowance,
				 image, error);
	fl__module_globals_end(&globals);
	return err;
}

void fl_module_info(const struct fl_module *module, struct fl_module_info *info)
{
	const struct fl__reader *reader = &module->reader;
	struct fl_module_info filled = {
		.memory_count = reader->memory_count,
		.imported_memory_count = reader->imported_memory_count,
		.table_count = reader->table_count,
		.imported_table_count = reader->imported_table_count,
		.global_count = reader->global_count,
		.imported_global_count = reader->imported_global_count,
		.data_count = reader->data_count,
		.active_data_count = reader->data_count - module->passive_count,
		.element_count = reader->elem_count,
		.has_start = reader->has_start,
		.function_count = reader->func_count,
		.imported_function_count = reader->imported_func_count,
		.length_bytes = reader->length,
		.segmented_reason =
			module->shows_images || !module->context ?
				NULL :
				"a data segment is out of bounds: what comes before it has to be written, and what comes after it not",
	};

	for (uint32_t i = 0; i < reader->data_count; i++) {
		if (reader->data[i].mode == FL__SEGMENT_ACTIVE)
			filled.active_data_bytes += reader->data[i].bytes.len;
		else
			filled.passive_data_bytes += reader->data[i].bytes.len;
	}
	fl__sized_write(info, &filled, sizeof(filled));
}

const char *fl__module_name(const struct fl_module *module,
			    const struct fl__view *view, size_t *len)
{
	*len = (size_t)view->len;
	return view->off ? (const char *)module->reader.bytes + view->off :
			   NULL;
}

int fl_module_memory_type(const struct fl_module *module, uint32_t memory_idx,
			  struct fl_memory_type *type)
{
	const struct fl__memory_type *read;
	const struct fl__module_memory *memory;
	struct fl_memory_type filled;

	if (memory_idx >= module->reader.memory_count)
		return -EINVAL;
	read = &module->reader.memories[memory_idx];
	memory = &module->memories[memory_idx];
	filled = (struct fl_memory_type){
		.min_pages = read->limits.min,
		.max_pages = read->limits.max,
		.page_bytes = memory->page_bytes,
		.is_imported = memory_idx <
			       module->reader.imported_memory_count,
		.is_shared = read->limits.is_shared,
		.is_64 = read->limits.is_64,
		.has_image = memory->image != NULL,
		.no_image_reason = memory->reason,
		.image_global_count = memory->needs,
	};
	filled.import_module = fl__module_name(module, &read->import_module,
					       &filled.import_module_bytes);
	filled.import_name = fl__module_name(module, &read->import_name,
					     &filled.import_name_bytes);
	filled.export_name = fl__module_name(module, &read->export_name,
					     &filled.export_name_bytes);
	fl__sized_write(type, &filled, sizeof(filled));
	return 0;
}

struct fl_image *fl_module_image(const struct fl_module *module,
				 uint32_t memory_idx)
{
	return memory_idx < module->reader.memory_count ?
		       module->memories[memory_idx].image :
		       NULL;
}
