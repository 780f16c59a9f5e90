/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * capture.c - from live instances to a snapshot.
 *
 * Takes instances in which nothing runs; gives an immutable snapshot, and
 * changes nothing in the instances. A delta takes the same without images. The new image of a memory has the bytes of
 * the pages that may differ from the slot's image, as the backend tells them,
 * and for the rest the bytes of that image: a page that nobody touched is not
 * touched here either. Planning finds the pages that are zero.
 *
 * A memory may show a file in place, which somebody may cut at any moment. Such
 * content is copied by the kernel to private memory first, page by page, without
 * the pages that are zero: so the copy is no larger than the new image, and what
 * has gone is an error and no signal.
 */
#include "capture.h"
#include "base/config.h"
#include "table.h"

#include <stdlib.h>

/* Bytes that a segment has in private memory. */
struct copy {
	struct copy *next;
	uint8_t bytes[];
};

/* The content of a slot as segments, in order of place. */
struct content {
	const struct fl__space *space;
	uint64_t at, end; /* [0, at) is listed; end is the size */
	struct fl_segment *list;
	size_t count, room;
	struct copy *copies; /* NULL: no file in place */
};

static bool content_is_in_place(const struct content *content)
{
	const struct fl_image *image = content->space->image;

	return image && fl__image_is_in_place(image);
}

static int content_add(struct content *content, const void *bytes, uint64_t off,
		       uint64_t len)
{
	if (content->count == content->room) {
		size_t room = content->room ? 2 * content->room : 64;
		void *grown =
			realloc(content->list, room * sizeof(*content->list));

		if (!grown)
			return -ENOMEM;
		content->list = grown;
		content->room = room;
	}
	content->list[content->count++] =
		(struct fl_segment){ off, bytes, len };
	return 0;
}

static void content_fini(struct content *content)
{
	struct copy *copy;

	while ((copy = content->copies)) {
		content->copies = copy->next;
		free(copy);
	}
	free(content->list);
}

/* At most a page of 64 KiB, of the file or of the slot that shows the file. */
static int content_copy_page(struct content *content, uint64_t off,
			     uint64_t len, bool is_changed)
{
	const struct fl__space *space = content->space;
	struct copy *copy = malloc(sizeof(*copy) + (size_t)len);
	int err;

	if (!copy)
		return -ENOMEM;
	err = is_changed ? fl__os_peek(copy->bytes, space->base + off, len) :
			   fl__image_fetch(space->image, off, copy->bytes, len);
	if (err || fl_is_zero(copy->bytes, len)) {
		free(copy);
		return err ? -EIO : 0;
	}
	copy->next = content->copies;
	content->copies = copy;
	return content_add(content, copy->bytes, off, len);
}

static int content_copy(struct content *content, uint64_t off, uint64_t end,
			bool is_changed)
{
	int err = 0;

	while (off < end && !err) {
		uint64_t len = fl_min_u64(end - off, FL_WPAGE_BYTES);

		err = content_copy_page(content, off, len, is_changed);
		off += len;
	}
	return err;
}

/* What lies before a changed stretch is the image's. */
static int content_unchanged(struct content *content, uint64_t to)
{
	const struct fl_image *image = content->space->image;
	struct fl__piece piece;
	int err = 0;

	to = fl_min_u64(to, content->end);
	for (; image && !err &&
	       fl__image_map_next_data(&image->map, image->bytes, content->at,
				       to, &piece);
	     content->at += piece.len) {
		if (piece.is_data && !piece.bytes)
			err = content_copy(content, piece.off,
					   piece.off + piece.len, false);
		else if (piece.bytes)
			err = content_add(content, piece.bytes, piece.off,
					  piece.len);
	}
	content->at = fl_max_u64(content->at, to);
	return err;
}

static int content_changed(void *user, uint64_t off, uint64_t len)
{
	struct content *content = user;
	int err = content_unchanged(content, off);

	if (err || off >= content->end)
		return err;
	content->at = fl_min_u64(off + len, content->end);
	if (content_is_in_place(content))
		return content_copy(content, off, content->at, true);
	return content_add(content, content->space->base + off, off,
			   content->at - off);
}

/* The first length_bytes of a slot as an image. */
static int capture_slot(const struct fl__slot *slot, uint64_t length_bytes,
			struct fl_image **image, struct fl_error *error)
{
	const struct fl__backend *backend = slot->bank->backend;
	struct content content = { .space = &slot->space, .end = length_bytes };
	int err;

	err = backend->changed ?
		      backend->changed(slot->arena, &slot->space, length_bytes,
				       content_changed, &content) :
		      content_changed(&content, 0, length_bytes);
	if (!err)
		err = content_unchanged(&content, length_bytes);
	if (err)
		err = fl__error_set(
			error, err,
			"cannot list what was written to the %s: %s",
			slot->bank->kind->what,
			content_is_in_place(&content) && err == -EIO ?
				"its image file was cut or cannot be read" :
				fl_strerror(err));
	else
		err = fl_image_from_segments(slot->bank->pool->context,
					     length_bytes, content.list,
					     content.count, image, error);
	content_fini(&content);
	return err;
}

/* ---------------------------------------------------------------- memories */

int fl_image_from_memory(const struct fl_memory *memory,
			 const struct fl_snapshot_config *config,
			 struct fl_image **image, struct fl_error *error)
{
	const struct fl__slot *slot = fl__slot_of_side(memory);
	struct fl_snapshot_config known;
	int err = fl__pool_check_owner(slot->bank->pool, error);

	if (!err)
		err = fl__config_read(FL_SNAPSHOT_CONFIG, &known, config,
				      error);
	if (err)
		return err;
	if (!fl__slot_is_live(slot))
		return fl__error_set(error, -EINVAL, "the memory is not live");
	if (__atomic_load_n(&slot->is_lent, __ATOMIC_RELAXED))
		return fl__error_set(
			error, -ENOTSUP,
			"the memory is lent: the holder of its pages may write at any time");
	if (fl__memory_of(memory)->shape.is_shared && !known.is_quiet)
		return fl__error_set(
			error, -ENOTSUP,
			"the memory is shared; when no thread runs in it, set is_quiet");
	return capture_slot(slot, fl__memory_length(memory), image, error);
}

static int capture_memories(const struct fl_instance *instance,
			    const struct fl_snapshot_config *config,
			    struct fl__captured *captured,
			    struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = instance->module->reader.imported_memory_count;
	     i < instance->memory_count && !err; i++)
		err = fl_image_from_memory(instance->memories[i], config,
					   &captured->images[i], error);
	return err;
}

/* ------------------------------------------------------------------ tables */

int fl_image_from_table(const struct fl_table *pub,
			const struct fl_snapshot_config *config,
			struct fl_image **image, struct fl_error *error)
{
	const struct fl__table *table = fl__table_of(pub);
	uint64_t bytes = fl_table_size(pub) * table->element_bytes;
	struct fl_snapshot_config known;
	int err = fl__config_read(FL_SNAPSHOT_CONFIG, &known, config, error);

	if (!err && table->slot)
		err = fl__pool_check_owner(table->slot->bank->pool, error);
	if (err)
		return err;
	if (!table->slot)
		return fl__error_set(
			error, -ENOTSUP,
			"only a table from a pool has an image; this one was made by fl_table_create()");
	if (!fl__slot_is_live(table->slot))
		return fl__error_set(error, -EINVAL, "the table is not live");
	if (!known.plain_tables || table->drop)
		return fl__error_set(
			error, -ENOTSUP,
			table->drop ?
				"the table counts references, which cannot be taken as bytes; encode them" :
				"the table may hold pointers; set plain_tables if it holds none");
	return capture_slot(table->slot, bytes, image, error);
}

static bool is_null(const struct fl__table *table, uint64_t idx)
{
	return !memcmp(fl__table_element(&table->pub, idx), table->null,
		       table->element_bytes);
}

/* The next run of elements that are not null, from *idx on; *idx moves behind
 * the run. An empty run: there is none. */
static struct fl__captured_run next_run(const struct fl__table *table,
					uint64_t length, uint64_t *idx)
{
	struct fl__captured_run run;

	while (*idx < length && is_null(table, *idx))
		++*idx;
	run.first_idx = *idx;
	while (*idx < length && !is_null(table, *idx))
		++*idx;
	run.count = *idx - run.first_idx;
	return run;
}

/* The runs of a table, and room for their values. What encoders do to the table
 * later changes neither. */
static int find_runs(const struct fl__table *table,
		     struct fl__captured_table *captured)
{
	uint64_t runs = 0, values = 0, idx = 0;
	struct fl__captured_run run;

	while ((run = next_run(table, captured->length, &idx)).count) {
		runs++;
		values += run.count;
	}
	if (!runs)
		return 0;
	captured->runs = calloc((size_t)runs, sizeof(*captured->runs));
	captured->values = calloc((size_t)values, sizeof(*captured->values));
	if (!captured->runs || !captured->values)
		return -ENOMEM;
	for (idx = 0; captured->run_count < runs; captured->run_count++)
		captured->runs[captured->run_count] =
			next_run(table, captured->length, &idx);
	return 0;
}

static int encode_run(struct fl_instance *instance, uint32_t table_idx,
		      const struct fl_snapshot_config *config,
		      const struct fl__captured_run *run, uint64_t *values,
		      struct fl_error *error)
{
	const struct fl_table *table = instance->tables[table_idx];
	int answer;

	/* What the call does not write is found below. */
	memset(values, 0xff, (size_t)run->count * sizeof(*values));
	answer = config->encode_elements(
		config->user, instance, table_idx, run->first_idx,
		fl__table_element(table, run->first_idx), run->count, values);
	if (answer)
		return fl__error_set(error, fl__error_answer(answer),
				     "encode_elements answered %d", answer);
	for (uint64_t i = 0; i < run->count; i++) {
		if (values[i] == UINT64_MAX)
			return fl__error_set(
				error, -EINVAL,
				"encode_elements left element %llu of table %u without a value",
				fl_llu(run->first_idx + i), table_idx);
	}
	return 0;
}

static int encode_table(struct fl_instance *instance, uint32_t table_idx,
			const struct fl_snapshot_config *config,
			struct fl__captured_table *captured,
			struct fl_error *error)
{
	const struct fl__table *table =
		fl__table_of(instance->tables[table_idx]);
	int err = 0;

	if (find_runs(table, captured))
		return fl__error_set(error, -ENOMEM,
				     "no memory for the elements of table %u",
				     table_idx);
	if (captured->run_count && !config->encode_elements)
		return fl__error_set(
			error, -ENOTSUP,
			"table %u holds references; set encode_elements, or plain_tables if they hold no pointer",
			table_idx);
	for (uint64_t i = 0; i < captured->run_count && !err; i++) {
		err = encode_run(instance, table_idx, config,
				 &captured->runs[i],
				 captured->values + captured->value_count,
				 error);
		captured->value_count += captured->runs[i].count;
	}
	return err;
}

static int capture_tables(struct fl_instance *instance,
			  const struct fl_snapshot_config *config,
			  bool has_images, struct fl__captured *captured,
			  struct fl_error *error)
{
	int err = 0;

	captured->has_tables =
		fl__pool_has_tables(fl__instance_slot(instance)->bank->pool);
	for (uint32_t i = instance->module->reader.imported_table_count;
	     i < instance->table_count && !err; i++) {
		struct fl__captured_table *table = &captured->tables[i];

		table->length = fl_table_size(instance->tables[i]);
		table->element_bytes =
			fl__table_of(instance->tables[i])->element_bytes;
		memcpy(table->null, fl__table_of(instance->tables[i])->null,
		       sizeof(table->null));
		if (!config->plain_tables)
			err = encode_table(instance, i, config, table, error);
		else if (has_images)
			err = fl_image_from_table(instance->tables[i], config,
						  &table->image, error);
	}
	return err;
}

/* -------------------------------------------------------- the runtime's own */

static int capture_structure(struct fl_instance *instance,
			     const struct fl_snapshot_config *config,
			     bool has_images, struct fl__captured *captured,
			     struct fl_error *error)
{
	const struct fl__slot *slot = fl__instance_slot(instance);
	uint64_t bytes = slot->bank->pool->config.instance_bytes;

	if (!bytes || (config->plain_structure && !has_images))
		return 0;
	if (config->plain_structure)
		return capture_slot(slot, bytes, &captured->structure, error);
	if (config->encode_state)
		return 0;
	return fl__error_set(
		error, -ENOTSUP,
		"the runtime's structure may hold pointers; set encode_state, or plain_structure if it holds none");
}

static int capture_state(struct fl_instance *instance,
			 const struct fl_snapshot_config *config,
			 struct fl__captured *captured, struct fl_error *error)
{
	uint64_t len = 0, written;
	int answer;

	if (!config->encode_state)
		return 0;
	answer = config->encode_state(config->user, instance, NULL, &len);
	if (!answer) {
		captured->state =
			len < SIZE_MAX / 2 ? calloc(1, (size_t)len + 1) : NULL;
		if (!captured->state)
			return fl__error_set(
				error, -ENOMEM,
				"no memory for %llu bytes of state",
				fl_llu(len));
		captured->state_bytes = written = len;
		answer = config->encode_state(config->user, instance,
					      captured->state, &written);
	}
	if (answer)
		return fl__error_set(error, fl__error_answer(answer),
				     "encode_state answered %d", answer);
	if (written > len)
		return fl__error_set(
			error, -EINVAL,
			"encode_state wrote %llu bytes after it had asked for %llu",
			fl_llu(written), fl_llu(len));
	captured->state_bytes = written;
	return 0;
}

static int copy_dropped(const struct fl__dropped *dropped, uint32_t count,
			uint64_t **bits, struct fl_error *error)
{
	size_t words = fl_bits_words(count);

	if (!dropped->has_any)
		return 0;
	*bits = malloc(words * sizeof(**bits));
	if (!*bits)
		return fl__error_set(error, -ENOMEM,
				     "no memory for dropped segments");
	memcpy(*bits, dropped->bits, words * sizeof(**bits));
	return 0;
}

/* ------------------------------------------------------------------- links */

/* Whose instance owns an imported memory or table, and where among its own? */
static int link_find(const struct fl__slot *slot, bool is_table,
		     struct fl_instance *const *earlier, uint32_t count,
		     struct fl__link *link, struct fl_error *error)
{
	const struct fl_instance *owner =
		slot ? __atomic_load_n(&slot->instance, __ATOMIC_RELAXED) :
		       NULL;
	const void *side = slot ? slot + 1 : NULL;

	for (uint32_t i = 0; owner && i < count; i++) {
		if (earlier[i] != owner)
			continue;
		link->is_linked = true;
		link->instance_idx = i;
		while (is_table ?
			       (const void *)owner->tables[link->idx] != side :
			       (const void *)owner->memories[link->idx] != side)
			link->idx++;
		return 0;
	}
	if (!owner)
		return 0;
	return fl__error_set(
		error, -EINVAL,
		"an imported %s belongs to an instance that is not in this call before its importer; capture both in one call",
		is_table ? "table" : "memory");
}

static int capture_links(struct fl_instance *const *instances, uint32_t idx,
			 struct fl__captured *captured, struct fl_error *error)
{
	const struct fl_instance *instance = instances[idx];
	const struct fl__reader *reader = &instance->module->reader;
	int err = 0;

	for (uint32_t i = 0; i < reader->imported_memory_count && !err; i++)
		err = link_find(fl__slot_of_side(instance->memories[i]), false,
				instances, idx, &captured->memory_links[i],
				error);
	for (uint32_t i = 0;
	     i < reader->imported_table_count && instance->table_count && !err;
	     i++)
		err = link_find(fl__table_of(instance->tables[i])->slot, true,
				instances, idx, &captured->table_links[i],
				error);
	return err;
}

/* --------------------------------------------------------------- the capture */

/* What clones decode is told from others by its number. A delta needs none. */
static void number(struct fl__captured *captured, struct fl_context *context)
{
	captured->serial = fl__context_serial(context);
	for (size_t i = 0; i < FL__READER_MAX_TABLES; i++) {
		if (captured->tables[i].run_count)
			captured->tables[i].serial =
				fl__context_serial(context);
	}
}

static int capture_instance(struct fl_instance *const *instances, uint32_t idx,
			    const struct fl_snapshot_config *config,
			    bool has_images, struct fl__captured *captured,
			    struct fl_error *error)
{
	struct fl_instance *instance = instances[idx];
	const struct fl__reader *reader = &instance->module->reader;
	int err;

	captured->module = fl_module_retain(instance->module);
	err = capture_links(instances, idx, captured, error);
	if (!err && has_images)
		err = capture_memories(instance, config, captured, error);
	if (!err)
		err = capture_tables(instance, config, has_images, captured,
				     error);
	if (!err)
		err = capture_structure(instance, config, has_images, captured,
					error);
	if (!err)
		err = capture_state(instance, config, captured, error);
	if (has_images)
		number(captured, instance->module->context);
	if (!err)
		err = copy_dropped(&instance->dropped_data, reader->data_count,
				   &captured->dropped_data, error);
	if (!err)
		err = copy_dropped(&instance->dropped_elements,
				   reader->elem_count,
				   &captured->dropped_elements, error);
	return err;
}

int fl__capture_values(struct fl_instance *const *instances, uint32_t idx,
		       const struct fl_snapshot_config *config,
		       struct fl__captured *captured, struct fl_error *error)
{
	return capture_instance(instances, idx, config, false, captured, error);
}

int fl__capture_check(struct fl_instance *const *instances, uint32_t count,
		      struct fl_error *error)
{
	int err = 0;

	if (!count)
		return fl__error_set(error, -EINVAL,
				     "a snapshot is of one instance or more");
	for (uint32_t i = 0; i < count && !err; i++) {
		if (!instances[i] ||
		    !fl__slot_is_live(fl__instance_slot(instances[i])))
			return fl__error_set(error, -EINVAL,
					     "instances[%u] is not live", i);
		err = fl__pool_check_owner(
			fl__instance_slot(instances[i])->bank->pool, error);
	}
	return err;
}

int fl_instance_snapshot(struct fl_instance *const *instances, uint32_t count,
			 const struct fl_snapshot_config *config,
			 struct fl_snapshot **out, struct fl_error *error)
{
	fl__os_no_cancel();
	struct fl_snapshot_config known;
	struct fl_snapshot *snapshot;
	int err = fl__config_read(FL_SNAPSHOT_CONFIG, &known, config, error);

	if (!err)
		err = fl__capture_check(instances, count, error);
	if (!err)
		err = fl__snapshot_alloc(count, known.encoding, &snapshot,
					 error);
	if (err)
		return err;
	for (uint32_t i = 0; i < count && !err; i++)
		err = capture_instance(instances, i, &known, true,
				       &snapshot->instances[i], error);
	if (err) {
		fl_snapshot_release(snapshot);
		return err;
	}
	*out = snapshot;
	return 0;
}
