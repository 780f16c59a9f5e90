/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* snapshot.c - snapshot objects, and what they tell; see snapshot.h. */
#include "snapshot.h"
#include "base/config.h"
#include "base/sized.h"

#include <stdlib.h>

int fl__snapshot_alloc(uint32_t count, const char *encoding,
		       struct fl_snapshot **out, struct fl_error *error)
{
	struct fl_snapshot *snapshot;
	size_t len = encoding ? strlen(encoding) : 0;

	if (count > FL__SNAPSHOT_MAX_INSTANCES)
		return fl__error_set(
			error, -E2BIG,
			"a snapshot holds at most %u instances, not %u",
			FL__SNAPSHOT_MAX_INSTANCES, count);
	if (len >= sizeof(snapshot->encoding))
		return fl__error_set(
			error, -EINVAL,
			"encoding has %zu bytes; at most %zu are kept", len,
			sizeof(snapshot->encoding) - 1);
	snapshot = calloc(1, sizeof(*snapshot) +
				     count * sizeof(*snapshot->instances));
	if (!snapshot)
		return fl__error_set(error, -ENOMEM,
				     "no memory for a snapshot");
	snapshot->refs = 1;
	snapshot->count = count;
	if (len)
		memcpy(snapshot->encoding, encoding, len);
	*out = snapshot;
	return 0;
}

/* Can memory idx of the module show the image? */
static int image_check(const struct fl_snapshot_parts *parts, uint32_t idx,
		       struct fl_error *error)
{
	const struct fl_image *image = parts->images[idx];
	const struct fl__module_memory *memory = &parts->module->memories[idx];

	if (image && (image->map.initial_bytes < memory->min_bytes ||
		      image->map.initial_bytes > memory->most_bytes))
		return fl__error_set(
			error, -EINVAL,
			"images[%u] has %llu bytes, memory %u of the module from %llu to %llu",
			idx, fl_llu(image->map.initial_bytes), idx,
			fl_llu(memory->min_bytes), fl_llu(memory->most_bytes));
	if (image && image->map.trap)
		return fl__error_set_trap(
			error, image->map.trap,
			"images[%u] ends in data segment %zu, which is out of bounds: no memory can show it",
			idx, image->map.trap_segment_idx);
	return 0;
}

static int parts_check(const struct fl_snapshot_parts *parts,
		       struct fl_error *error)
{
	int err = 0;

	if (!parts->module || (parts->state_bytes && !parts->state) ||
	    (parts->image_count && !parts->images))
		return fl__error_set(
			error, -EINVAL,
			"the parts of a snapshot need a module, and bytes and images where they have a length");
	if (parts->image_count > parts->module->reader.memory_count)
		return fl__error_set(error, -EINVAL,
				     "the module has %u %s, image_count is %u",
				     parts->module->reader.memory_count,
				     fl_noun(parts->module->reader.memory_count,
					     "memory", "memories"),
				     parts->image_count);
	for (uint32_t i = 0; i < parts->image_count && !err; i++)
		err = image_check(parts, i, error);
	return err;
}

int fl_snapshot_create(const struct fl_snapshot_parts *parts,
		       struct fl_snapshot **out, struct fl_error *error)
{
	struct fl_snapshot_parts known;
	struct fl_snapshot *snapshot;
	struct fl__captured *captured;
	int err = fl__config_read(FL_SNAPSHOT_PARTS, &known, parts, error);

	if (!err)
		err = parts_check(&known, error);
	if (!err)
		err = fl__snapshot_alloc(1, known.encoding, &snapshot, error);
	if (err)
		return err;
	captured = snapshot->instances;
	captured->is_parts = true;
	captured->module = fl_module_retain(known.module);
	for (uint32_t i = 0; i < known.image_count; i++) {
		if (known.images[i])
			captured->images[i] = fl_image_retain(known.images[i]);
	}
	captured->state = known.state_bytes < SIZE_MAX / 2 ?
				  malloc((size_t)known.state_bytes + 1) :
				  NULL;
	if (!captured->state) {
		fl_snapshot_release(snapshot);
		return fl__error_set(error, -ENOMEM,
				     "no memory for %llu bytes of state",
				     fl_llu(known.state_bytes));
	}
	if (known.state_bytes)
		memcpy(captured->state, known.state, (size_t)known.state_bytes);
	captured->state_bytes = known.state_bytes;
	*out = snapshot;
	return 0;
}

bool fl__captured_has_plain_table(const struct fl__captured *captured)
{
	for (size_t i = 0; i < FL__READER_MAX_TABLES; i++) {
		if (captured->tables[i].image)
			return true;
	}
	return false;
}

void fl__captured_fini(struct fl__captured *captured)
{
	for (size_t i = 0; i < FL__READER_MAX_MEMORIES; i++)
		fl_image_release(captured->images[i]);
	for (size_t i = 0; i < FL__READER_MAX_TABLES; i++) {
		fl_image_release(captured->tables[i].image);
		free(captured->tables[i].runs);
		free(captured->tables[i].values);
	}
	fl_image_release(captured->structure);
	free(captured->dropped_data);
	free(captured->dropped_elements);
	free(captured->state);
	fl_module_release(captured->module);
}

struct fl_snapshot *fl_snapshot_retain(struct fl_snapshot *snapshot)
{
	__atomic_fetch_add(&snapshot->refs, 1, __ATOMIC_RELAXED);
	return snapshot;
}

void fl_snapshot_release(struct fl_snapshot *snapshot)
{
	/* The last one out must see what the others wrote. */
	if (!snapshot ||
	    __atomic_sub_fetch(&snapshot->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (uint32_t i = 0; i < snapshot->count; i++)
		fl__captured_fini(&snapshot->instances[i]);
	for (uint32_t i = 0; i < snapshot->image_count; i++)
		fl_image_release(snapshot->images[i]);
	free(snapshot->images);
	free(snapshot->state);
	free(snapshot->module_digests);
	free(snapshot);
}

static void count_image(const struct fl_image *image,
			struct fl_snapshot_info *filled)
{
	struct fl_image_info info = { .size = sizeof(info) };

	if (!image)
		return;
	fl_image_info(image, &info);
	filled->image_count++;
	filled->stored_bytes += info.stored_bytes;
}

void fl_snapshot_info(const struct fl_snapshot *snapshot,
		      struct fl_snapshot_info *info)
{
	struct fl_snapshot_info filled = {
		.instance_count = snapshot->count,
		.encoding = snapshot->encoding,
		.state_bytes = snapshot->state_bytes,
		.module_count = snapshot->module_count,
		.module_digests = snapshot->module_digests,
	};

	for (uint32_t i = 0; i < snapshot->image_count; i++)
		count_image(snapshot->images[i], &filled);
	for (uint32_t i = 0; i < snapshot->count; i++) {
		const struct fl__captured *captured = &snapshot->instances[i];

		for (size_t k = 0; k < FL__READER_MAX_MEMORIES; k++)
			count_image(captured->images[k], &filled);
		for (size_t k = 0; k < FL__READER_MAX_TABLES; k++) {
			count_image(captured->tables[k].image, &filled);
			filled.state_bytes += captured->tables[k].value_count *
					      sizeof(uint64_t);
		}
		count_image(captured->structure, &filled);
		filled.state_bytes += captured->state_bytes;
	}
	fl__sized_write(info, &filled, sizeof(filled));
}

int fl__snapshot_not_bound(struct fl_error *error)
{
	return fl__error_set(
		error, -ENOTSUP,
		"the snapshot was opened without a binding, only to be looked at; give fl_snapshot_open() one");
}

static const struct fl__captured *
captured_at(const struct fl_snapshot *snapshot, uint32_t instance_idx)
{
	return instance_idx < snapshot->count ?
		       &snapshot->instances[instance_idx] :
		       NULL;
}

struct fl_module *fl_snapshot_module(const struct fl_snapshot *snapshot,
				     uint32_t instance_idx)
{
	const struct fl__captured *captured =
		captured_at(snapshot, instance_idx);

	return captured ? captured->module : NULL;
}

struct fl_image *fl_snapshot_image(const struct fl_snapshot *snapshot,
				   uint32_t instance_idx, uint32_t memory_idx)
{
	const struct fl__captured *captured =
		captured_at(snapshot, instance_idx);

	if (!snapshot->count)
		return memory_idx < snapshot->image_count ?
			       snapshot->images[memory_idx] :
			       NULL;
	return captured && memory_idx < FL__READER_MAX_MEMORIES ?
		       captured->images[memory_idx] :
		       NULL;
}

const void *fl_snapshot_state(const struct fl_snapshot *snapshot,
			      uint32_t instance_idx, uint64_t *length_bytes)
{
	const struct fl__captured *captured =
		captured_at(snapshot, instance_idx);

	if (!snapshot->count) {
		*length_bytes = snapshot->state_bytes;
		return snapshot->state;
	}
	*length_bytes = captured ? captured->state_bytes : 0;
	return *length_bytes ? captured->state : NULL;
}
