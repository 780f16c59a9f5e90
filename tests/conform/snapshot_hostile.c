/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_hostile.c - runtimes and files that lie: calls of the runtime that
 * change what is captured, give other lengths or call back; a snapshot's file
 * that was cut, changed, mended, replaced or truncated at any moment; bytes
 * that no clone may see; and what a capture costs the pages that nobody touched.
 */
#define _GNU_SOURCE
#include "runtime.h"
#include "tests/kit/random.h"
#include "tests/kit/toc_bytes.h"
#include "tests/kit/procfs.h"

#include "backend.h"
#include "base/ctypes.h"
#include "instance/snapshot.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define STRUCTURE_BYTES 64

/* A runtime whose calls do what the case wants. */
struct liar {
	struct runtime rt;
	struct fl_snapshot_config capture;
	struct fl_instance_config clone;
	uint64_t first_len, second_len; /* of encode_state */
	void (*act)(struct liar *liar, struct fl_instance *instance);
	uint32_t acted;
	struct fl_instance *first; /* that it has acted on */
};

static struct liar *liar_of(void *user)
{
	return (struct liar *)((char *)user - offsetof(struct liar, rt));
}

static int liar_acts(void *user, struct fl_instance *instance)
{
	struct liar *liar = liar_of(user);

	if (liar->act) {
		liar->first = liar->first ? liar->first : instance;
		liar->act(liar, instance);
		liar->acted++;
	}
	return 0;
}

static int encode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const void *elements, uint64_t count,
			   uint64_t *values)
{
	(void)table_idx;
	(void)first_idx;
	memcpy(values, elements, 8 * count);
	return liar_acts(user, instance);
}

static int encode_state(void *user, struct fl_instance *instance, void *buffer,
			uint64_t *length_bytes)
{
	const struct liar *liar = liar_of(user);

	(void)instance;
	if (buffer)
		memset(buffer, 's', *length_bytes < 4 ? *length_bytes : 4);
	*length_bytes = buffer ? liar->second_len : liar->first_len;
	return 0;
}

static int decode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const uint64_t *values, uint64_t count,
			   void *elements)
{
	(void)table_idx;
	(void)first_idx;
	memcpy(elements, values, 8 * count);
	liar_of(user)->rt.live += (int64_t)count;
	return liar_acts(user, instance);
}

static int decode_state(void *user, struct fl_instance *instance,
			const void *bytes, uint64_t length_bytes)
{
	uint8_t sum = 0;

	for (uint64_t i = 0; i < length_bytes; i++)
		sum ^= ((const uint8_t *)bytes)[i];
	(void)sum;
	return liar_acts(user, instance);
}

static int rebind(void *user, struct fl_instance *instance)
{
	return liar_acts(user, instance);
}

static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	(void)how;
	return liar_acts(user, instance);
}

static void liar_open_with(struct liar *liar, struct fl_pool_config *pool)
{
	memset(liar, 0, sizeof(*liar));
	pool->max_instances = 4;
	pool->instance_bytes = STRUCTURE_BYTES;
	runtime_open_with(&liar->rt, pool);
	fl_snapshot_config_init(&liar->capture);
	liar->capture.user = &liar->rt;
	liar->capture.encode_elements = encode_elements;
	liar->capture.encode_state = encode_state;
	liar->clone = liar->rt.config;
	liar->clone.decode_elements = decode_elements;
	liar->clone.decode_state = decode_state;
	liar->clone.rebind = rebind;
	liar->clone.restored = restored;
	/* A memory, and a table with functions in two places. */
	wasm_import_funcs(&liar->rt.parts, 2);
	wasm_add_memory(&liar->rt.parts, 1);
	wasm_add_table(&liar->rt.parts, 10, 100);
	wasm_add_funcs(&liar->rt.parts, 0, 2, 0, 2);
	wasm_add_funcs(&liar->rt.parts, 0, 7, 0, 1);
	runtime_load(&liar->rt);
}

static void liar_open(struct liar *liar)
{
	struct fl_pool_config pool;

	runtime_pool_config(&pool);
	liar_open_with(liar, &pool);
}

static void liar_close(struct liar *liar)
{
	fl_snapshot_release(liar->clone.snapshot);
	CHECK_EQ(liar->rt.live, 0);
	runtime_close(&liar->rt);
}

static int liar_capture(struct liar *liar, struct fl_instance *instance,
			struct fl_error *error)
{
	struct fl_snapshot *snapshot = NULL;
	int err;

	*error = (struct fl_error){ .text = "" };
	err = fl_instance_snapshot(&instance, 1, &liar->capture, &snapshot,
				   error);
	if (!err) {
		fl_snapshot_release(liar->clone.snapshot);
		liar->clone.snapshot = snapshot;
	}
	return err;
}

static int liar_clone(struct liar *liar, struct fl_instance **instance,
		      struct fl_error *error)
{
	*error = (struct fl_error){ .text = "" };
	return fl_instance_acquire(liar->rt.conform.pool, liar->rt.module,
				   &liar->clone, instance, error);
}

/* ---------------------------------------------------------- lying runtimes */

static void fill_the_table(struct liar *liar, struct fl_instance *instance)
{
	struct fl_table *table = fl_instance_table(instance, 0);
	uint64_t element = FUNC(5);

	CHECK_EQ(fl_table_fill(table, 0, &element, fl_table_size(table)), 0);
	if (!liar->acted)
		CHECK_EQ(fl_table_grow(table, 50, &element, NULL), 0);
}

/* The encoder makes elements of what was null, as a lazy runtime might. */
static void an_encoder_that_fills_the_table(void)
{
	struct fl_instance *instance, *clone;
	struct fl_error error;
	struct liar liar;

	liar_open(&liar);
	instance = runtime_start(&liar.rt);
	liar.act = fill_the_table;
	CONFORM_MUST(liar_capture(&liar, instance, &error), &error);
	CHECK_EQ(liar.acted, 2);
	instance_stop(instance);
	liar.act = NULL;
	CONFORM_MUST(liar_clone(&liar, &clone, &error), &error);
	CHECK_EQ(fl_table_size(fl_instance_table(clone, 0)), 10);
	CHECK_EQ(element_at(fl_instance_table(clone, 0), 2), FUNC(0));
	CHECK_EQ(element_at(fl_instance_table(clone, 0), 0), NONE);
	instance_stop(clone);
	liar_close(&liar);
}

static void an_encoder_of_other_lengths(void)
{
	static const struct {
		uint64_t first, second;
		int err;
	} lengths[] = {
		{ 4, 4, 0 },	   { 100, 4, 0 },
		{ 4, 0, 0 },	   { 0, 0, 0 },
		{ 4, 5, -EINVAL }, { UINT64_MAX, 0, -ENOMEM },
		{ 0, 1, -EINVAL },
	};
	struct fl_instance *instance;
	struct fl_error error;
	struct liar liar;
	uint64_t len;

	liar_open(&liar);
	instance = runtime_start(&liar.rt);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(lengths); i++) {
		liar.first_len = lengths[i].first;
		liar.second_len = lengths[i].second;
		CHECK_EQ(liar_capture(&liar, instance, &error), lengths[i].err);
		if (lengths[i].err)
			continue;
		(void)fl_snapshot_state(liar.clone.snapshot, 0, &len);
		CHECK_EQ(len, lengths[i].second);
	}
	instance_stop(instance);
	liar_close(&liar);
}

static void release_it(struct liar *liar, struct fl_instance *instance)
{
	(void)liar;
	CHECK_EQ(fl_instance_release(instance), -EINVAL);
}

static void call_back(struct liar *liar, struct fl_instance *instance)
{
	struct fl_instance_config config = liar->clone;
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	uint64_t bytes;
	uint32_t count;

	config.snapshot = NULL;
	(void)fl_pool_purge(liar->rt.conform.pool, liar->rt.module,
			    fl_snapshot_image(liar->clone.snapshot, 0, 0),
			    &count);
	(void)fl_pool_trim(liar->rt.conform.pool, UINT64_MAX, &bytes);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	memory->base[fl_memory_length(memory) - 1] = 1;
	CHECK_EQ(fl_instance_initialise(instance, &config, NULL), -EINVAL);
	CHECK_EQ(fl_pool_destroy(liar->rt.conform.pool), -EBUSY);
}

static void play_calls(void (*act)(struct liar *liar,
				   struct fl_instance *instance),
		       uint64_t wpages)
{
	struct fl_instance *instance, *clone;
	struct fl_error error;
	struct liar liar;

	liar_open(&liar);
	liar.first_len = liar.second_len = 4;
	instance = runtime_start(&liar.rt);
	CONFORM_MUST(liar_capture(&liar, instance, &error), &error);
	instance_stop(instance);
	liar.act = act;
	for (int i = 0; i < 3; i++) {
		CONFORM_MUST(liar_clone(&liar, &clone, &error), &error);
		CHECK_EQ(fl_memory_length(fl_instance_memory(clone, 0)),
			 wpages * WPAGE);
		instance_stop(clone);
	}
	/* Two runs, state, rebind, restored. */
	CHECK_EQ(liar.acted, 15);
	liar_close(&liar);
}

/* An instance that is being made is not the runtime's to give back. */
static void decoders_that_release_the_instance(void)
{
	play_calls(release_it, 1);
}

static void decoders_that_call_back(void)
{
	play_calls(call_back, 6);
}

static void release_the_first(struct liar *liar, struct fl_instance *instance)
{
	(void)instance;
	CHECK_EQ(fl_instance_release(liar->first), -EINVAL);
}

/* Nor is one of a group, until all are made; also where the last one fails. */
static void decoders_that_release_another_of_the_group(void)
{
	const struct fl_instance_config *configs[2];
	struct fl_instance *instances[2];
	struct fl_snapshot *snapshot;
	struct fl_instance_config bad;
	struct fl_error error;
	struct liar liar;

	liar_open(&liar);
	for (int i = 0; i < 2; i++)
		instances[i] = runtime_start(&liar.rt);
	CONFORM_MUST(fl_instance_snapshot(instances, 2, &liar.capture,
					  &snapshot, &error),
		     &error);
	instance_stop(instances[0]);
	instance_stop(instances[1]);
	liar.act = release_the_first;
	bad = liar.clone;
	bad.decode_elements = NULL;
	configs[0] = &liar.clone;
	configs[1] = &bad;
	CHECK_EQ(fl_snapshot_acquire(liar.rt.conform.pool, snapshot, configs,
				     instances, &error),
		 -EINVAL);
	check_nothing_is_held(&liar.rt.conform);
	configs[1] = &liar.clone;
	CONFORM_MUST(fl_snapshot_acquire(liar.rt.conform.pool, snapshot,
					 configs, instances, &error),
		     &error);
	CHECK(liar.acted > 8);
	instance_stop(instances[0]);
	instance_stop(instances[1]);
	fl_snapshot_release(snapshot);
	liar_close(&liar);
}

/* The second half of an instantiation has another snapshot than the first. */
static void halves_of_different_snapshots(void)
{
	struct fl_instance *instance;
	struct fl_error error;
	struct liar liar;

	liar_open(&liar);
	instance = runtime_start(&liar.rt);
	CHECK_EQ(fl_table_grow(fl_instance_table(instance, 0), 90,
			       &(uint64_t){ FUNC(1) }, NULL),
		 0);
	CONFORM_MUST(liar_capture(&liar, instance, &error), &error);
	instance_stop(instance);
	/* 10 elements, of which the snapshot has 100. */
	instance = runtime_allocate(&liar.rt);
	CHECK_EQ(fl_instance_initialise(instance, &liar.clone, &error),
		 -EINVAL);
	CHECK_HAS(error.text, "snapshot");
	instance_stop(instance);
	liar_close(&liar);
}

/* ------------------------------------------------------------ stale bytes */

/* A tenant writes beyond its size, where the pool lets it; then a memory of no
 * whole host pages is captured, and its clone grows. */
static void bytes_beyond_the_size_are_nobodys(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_image *image;
	struct fl_memory *memory;
	struct conform conform;

	conform_pool_config(&config);
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	config.prefix_bytes = conform_hpage();
	conform_open(&conform, &config);
	for (int i = 0; i < 3; i++) {
		memory = conform_take_sized(&conform, 1000, MIB, 1);
		memset(memory->base - 16, 0xaa, 16);
		memset(memory->base, 0xbb, 4 * MIB);
		CHECK_EQ(fl_memory_grow(memory, 2 * MIB, NULL), -E2BIG);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		CONFORM_MUST(fl_image_from_memory(memory, NULL, &image, &error),
			     &error);
		conform_give(memory);
		memory = conform_take_sized(&conform, 5 * MIB / 4, 3 * MIB, 1);
		conform_check_zero(memory);
		conform_give(memory);
		memory = conform_take(&conform, image, 0);
		fl_image_release(image);
		CHECK_EQ(fl_memory_length(memory), 1001);
		CHECK_EQ(memory->base[1000], 0xbb);
		CHECK_EQ(conform_first_data(memory->base + 1001, MIB), MIB);
		CHECK_EQ(conform_first_data(memory->base - 16, 16), 16);
		conform_give(memory);
	}
	conform_close(&conform);
}

/* A plain table: bytes for bytes, nulls behind them, and nulls again for the next
 * tenant of the slot. */
static void a_plain_table_is_its_bytes(void)
{
	struct fl_instance *instance, *clone;
	uint64_t element = FUNC(9);
	struct fl_table *table;
	struct fl_error error;
	struct liar liar;

	liar_open(&liar);
	liar.rt.config.clone_element = liar.clone.clone_element = NULL;
	liar.rt.config.drop_element = liar.clone.drop_element = NULL;
	liar.capture.plain_tables = 1;
	instance = runtime_start(&liar.rt);
	table = fl_instance_table(instance, 0);
	CHECK_EQ(fl_table_grow(table, 1, &element, NULL), 0);
	CONFORM_MUST(liar_capture(&liar, instance, &error), &error);
	CHECK_EQ(fl_table_fill(table, 0, &element, 11), 0);
	instance_stop(instance);
	for (int i = 0; i < 4; i++) {
		CONFORM_MUST(liar_clone(&liar, &clone, &error), &error);
		table = fl_instance_table(clone, 0);
		CHECK_EQ(fl_table_grow(table, 2, NULL, NULL), 0);
		CHECK_TABLE(table, NONE, NONE, FUNC(0), FUNC(1), NONE, NONE,
			    NONE, FUNC(0), NONE, NONE, FUNC(9), NONE, NONE);
		CHECK_EQ(fl_table_fill(table, 0, &element, 13), 0);
		instance_stop(clone);
	}
	instance = runtime_start(&liar.rt);
	CHECK_TABLE(fl_instance_table(instance, 0), NONE, NONE, FUNC(0),
		    FUNC(1), NONE, NONE, NONE, FUNC(0), NONE, NONE);
	instance_stop(instance);
	liar.rt.live = 0;
	liar_close(&liar);
}

struct family {
	struct liar *liar;
	struct fl_instance *instance;
};

static int capture_in_a_child(void *arg)
{
	const struct family *family = arg;
	struct fl_instance *clone;
	struct fl_image *image;
	struct fl_error error;

	CHECK_EQ(liar_capture(family->liar, family->instance, &error), -ECHILD);
	CHECK_EQ(liar_clone(family->liar, &clone, &error), -ECHILD);
	CHECK_EQ(fl_snapshot_acquire(family->liar->rt.conform.pool,
				     family->liar->clone.snapshot, NULL, &clone,
				     &error),
		 -ECHILD);
	CHECK_EQ(fl_image_from_memory(fl_instance_memory(family->instance, 0),
				      NULL, &image, &error),
		 -ECHILD);
	family->liar->capture.plain_tables = 1;
	CHECK_EQ(fl_image_from_table(fl_instance_table(family->instance, 0),
				     &family->liar->capture, &image, &error),
		 -ECHILD);
	return test_has_failed();
}

/* A child's slots are not what the child thinks. */
static void a_forked_child_captures_nothing(void)
{
	struct family family;
	struct fl_error error;
	struct liar liar;

	liar_open(&liar);
	family.liar = &liar;
	family.instance = runtime_start(&liar.rt);
	CONFORM_MUST(liar_capture(&liar, family.instance, &error), &error);
	conform_check_child(capture_in_a_child, &family);
	instance_stop(family.instance);
	liar_close(&liar);
}

/* What was released is another tenant's by now, or nobody's. */
static void the_released_make_no_image(void)
{
	struct fl_snapshot_config plain = FL_SNAPSHOT_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;
	struct fl_image *image;
	struct liar liar;
	struct fl_table *table;
	struct fl_table_config config;

	liar_open(&liar);
	plain.plain_tables = 1;
	memory = conform_take(&liar.rt.conform, NULL, WPAGE);
	conform_give(memory);
	CHECK_EQ(fl_image_from_memory(memory, NULL, &image, &error), -EINVAL);
	CHECK_HAS(error.text, "not live");
	fl_table_config_init(&config);
	config.initial_elements = 5;
	CONFORM_MUST(fl_table_acquire(liar.rt.conform.pool, &config, &table,
				      &error),
		     &error);
	CHECK_EQ(fl_table_release(table), 0);
	CHECK_EQ(fl_image_from_table(table, &plain, &image, &error), -EINVAL);
	CHECK_HAS(error.text, "not live");
	liar_close(&liar);
}

/* What an image keeps in memory, in bytes; 0 where it keeps none in a file. */
static uint64_t kept_by(const struct fl_image *image)
{
	return image->fd < 0 ? 0 : procfs_file_bytes(image->fd);
}

#define SPARSE_BYTES (64 * MIB)

/* Five pages far from one another: more gaps than extents can leave out. */
static struct fl_image *sparse_image(struct conform *conform)
{
	struct fl_segment segments[5];

	for (uint64_t i = 0; i < 5; i++)
		segments[i] = (struct fl_segment){ i * 15 * MIB, "sparse", 6 };
	return conform_image(conform, SPARSE_BYTES, segments, 5);
}

/* What an image of holes grows by while tenants write in some. */
static uint64_t sparse_growth(enum fl_allocation allocation, bool is_captured)
{
	struct fl_error error = { .text = "" };
	struct fl_image *image, *captured;
	struct fl_pool_config config;
	struct conform conform;
	uint64_t growth;

	conform_pool_config(&config);
	config.max_memory_bytes = SPARSE_BYTES;
	config.allocation = allocation;
	conform_open(&conform, &config);
	image = sparse_image(&conform);
	growth = 0 - kept_by(image);
	/* After some cycles the pages are watched. */
	for (int i = 0; i < 8; i++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		for (uint64_t off = 0; off < SPARSE_BYTES; off += 15 * MIB)
			memory->base[off + 4 * conform_hpage()] = 1;
		if (is_captured) {
			CONFORM_MUST(fl_image_from_memory(memory, NULL,
							  &captured, &error),
				     &error);
			CHECK(kept_by(captured) <= 64 * conform_hpage());
			fl_image_release(captured);
		}
		conform_give(memory);
	}
	growth += kept_by(image);
	fl_image_release(image);
	conform_close(&conform);
	return growth;
}

static void play_sparse(enum fl_allocation allocation)
{
	uint64_t without = sparse_growth(allocation, false);
	uint64_t with = sparse_growth(allocation, true);

	/* A few pages, which the kernel had in hand when the rest went back. */
	if (!CHECK(with <= without + 16 * conform_hpage()))
		test_note("the image grew by %ju KiB, without captures by %ju",
			  (uintmax_t)with / 1024, (uintmax_t)without / 1024);
}

static void a_capture_touches_no_hole(void)
{
	play_sparse(FL_ALLOCATION_POOLING);
}

static void a_capture_touches_no_hole_on_demand(void)
{
	play_sparse(FL_ALLOCATION_ON_DEMAND);
}

/* ---------------------------------------------------------------- a file */

/* A snapshot's file in memory, and a descriptor of a copy to be changed. */
struct file {
	struct liar liar;
	struct fl_snapshot_binding binding;
	char path[128];
	uint8_t *bytes;
	uint64_t len;
	uint8_t digest[32];
	int fd;
};

static void file_load(struct file *file)
{
	struct stat status;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0);
	MUST_EQ(fstat(fd, &status), 0);
	file->len = (uint64_t)status.st_size;
	file->bytes = malloc(file->len);
	MUST(file->bytes != NULL);
	MUST_EQ(pread(fd, file->bytes, file->len, 0), file->len);
	close(fd);
	file->fd = memfd_create("snapshot", MFD_CLOEXEC);
	MUST(file->fd >= 0);
	MUST_EQ(pwrite(file->fd, file->bytes, file->len, 0), file->len);
}

/* With pages, or a file of tables and state alone. */
static void file_open(struct file *file, bool has_pages)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance;

	liar_open(&file->liar);
	file->liar.first_len = file->liar.second_len = 64;
	file->liar.capture.encoding = "liar 1";
	instance = runtime_start(&file->liar.rt);
	CHECK_EQ(fl_memory_grow(fl_instance_memory(instance, 0), 3, NULL), 0);
	if (has_pages) {
		fl_instance_memory(instance, 0)->base[77] = 1;
		fl_instance_memory(instance, 0)->base[4 * WPAGE - 1] = 1;
	}
	CONFORM_MUST(liar_capture(&file->liar, instance, &error), &error);
	instance_stop(instance);
	snprintf(file->path, sizeof(file->path), "/tmp/fl-hostile-XXXXXX");
	MUST(mkdtemp(file->path) != NULL);
	strcat(file->path, "/snapshot");
	CONFORM_MUST(fl_snapshot_write(file->liar.clone.snapshot, file->path,
				       &error),
		     &error);
	CONFORM_MUST(fl_snapshot_digest(file->liar.clone.snapshot, file->digest,
					&error),
		     &error);
	file->binding = (struct fl_snapshot_binding)FL_SNAPSHOT_BINDING_INIT;
	file->binding.modules = &file->liar.rt.module;
	file->binding.module_count = 1;
	file->binding.encoding = "liar 1";
	file_load(file);
}

static void file_close(struct file *file)
{
	close(file->fd);
	free(file->bytes);
	(void)unlink(file->path);
	*strrchr(file->path, '/') = '\0';
	CHECK_EQ(rmdir(file->path), 0);
	liar_close(&file->liar);
}

/* What is taken can be cloned, or is refused, and nothing is held. */
static void check_clones(struct file *file, struct fl_snapshot *snapshot)
{
	struct fl_snapshot_info info = { .size = sizeof(info) };
	struct fl_instance *instances[8] = { NULL };
	const struct fl_instance_config *configs[8];
	struct fl_error error = { .text = "" };
	int err;

	fl_snapshot_info(snapshot, &info);
	if (info.instance_count > 8)
		return;
	for (int i = 0; i < 8; i++)
		configs[i] = &file->liar.clone;
	err = fl_snapshot_acquire(file->liar.rt.conform.pool, snapshot, configs,
				  instances, &error);
	for (uint32_t i = info.instance_count; !err && i--;)
		instance_stop(instances[i]);
	CHECK_EQ(file->liar.rt.live, 0);
	check_nothing_is_held(&file->liar.rt.conform);
}

/* Open the file as it is now; true: taken. */
static bool check_opens(struct file *file, const char *path, bool is_mended)
{
	struct fl_error error = { .byte_off = FL_ERROR_NO_OFFSET };
	struct fl_snapshot *snapshot = NULL;
	uint8_t digest[32];
	int err = fl_snapshot_open(file->liar.rt.conform.context, path,
				   file->fd, 0, &file->binding, &snapshot,
				   &error);

	if (err) {
		CHECK(snapshot == NULL && error.text[0] && error.code == err);
		CHECK(err == -ENOEXEC || err == -EINVAL || err == -ENOTSUP ||
		      err == -E2BIG);
		if (err == -ENOEXEC && !CHECK(error.byte_off <= file->len))
			test_note("%s", error.text);
		return false;
	}
	CHECK_EQ(fl_snapshot_digest(snapshot, digest, &error), 0);
	if (!is_mended)
		CHECK(!memcmp(digest, file->digest, sizeof(digest)));
	check_clones(file, snapshot);
	fl_snapshot_release(snapshot);
	return true;
}

static void a_file_cut_anywhere_is_no_file(void)
{
	struct file file;
	uint8_t *copy;

	file_open(&file, true);
	CHECK(check_opens(&file, NULL, false));
	copy = malloc(file.len);
	MUST(copy != NULL);
	for (uint64_t len = 0; len < file.len && !test_has_failed();
	     len += len < 2048 ? 1 : WPAGE / 2 - 1) {
		MUST_EQ(ftruncate(file.fd, 0), 0);
		MUST_EQ(pwrite(file.fd, file.bytes, len, 0), len);
		CHECK(!check_opens(&file, NULL, false));
		memcpy(copy, file.bytes, len);
		toc_bytes_mend(copy, len);
		MUST_EQ(pwrite(file.fd, copy, len, 0), len);
		CHECK(!check_opens(&file, NULL, true));
	}
	free(copy);
	file_close(&file);
}

/* Rungs share the changes, so that they are 100,000 in all. */
static int changes(int all)
{
	return (test_is_sanitized() ? all / 10 : all) /
	       (int)TEST_ARRAY_SIZE(conform_rungs);
}

static void change(struct file *file, struct test_random *random, uint8_t *copy,
		   bool is_mended)
{
	uint64_t head = file->len < 2 * WPAGE ? file->len : WPAGE;
	uint64_t at = test_random_below(
		random, test_random_below(random, 8) ? head : file->len);

	copy[at] ^= (uint8_t)(1 + test_random_below(random, 255));
	if (is_mended)
		toc_bytes_mend(copy, file->len);
	MUST_EQ(pwrite(file->fd, copy, file->len, 0), file->len);
	(void)check_opens(file, NULL, is_mended);
	memcpy(copy, file->bytes, file->len);
}

static void play_changes(bool has_pages, int count)
{
	struct test_random random;
	struct file file;
	uint8_t *copy;

	test_random_init(&random, 41);
	file_open(&file, has_pages);
	copy = malloc(file.len);
	MUST(copy != NULL);
	memcpy(copy, file.bytes, file.len);
	for (int i = 0; i < count && !test_has_failed(); i++)
		change(&file, &random, copy, i % 2);
	free(copy);
	file_close(&file);
}

static void changed_bytes(void)
{
	play_changes(false, changes(100000));
}

static void changed_bytes_of_pages(void)
{
	play_changes(true, changes(6000));
}

/* ---------------------------------------------------------- at any moment */

struct vandal {
	struct file *file;
	char other[160];
	bool is_over; /* atomic */
};

static void put(const char *path, const void *bytes, uint64_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, bytes, len), len);
	close(fd);
}

/* Truncate, write on, replace by a shorter one and by the right one. */
static void *vandalise(void *arg)
{
	struct vandal *vandal = arg;
	const struct file *file = vandal->file;
	struct test_random random;

	test_random_init(&random, 42);
	while (!__atomic_load_n(&vandal->is_over, __ATOMIC_RELAXED)) {
		uint64_t len = test_random_below(&random, file->len);

		CHECK_EQ(truncate(file->path, (off_t)len), 0);
		CHECK_EQ(truncate(file->path, (off_t)file->len), 0);
		put(file->path, file->bytes, file->len);
		put(vandal->other, file->bytes, len);
		CHECK_EQ(rename(vandal->other, file->path), 0);
		put(vandal->other, file->bytes, file->len);
		CHECK_EQ(rename(vandal->other, file->path), 0);
	}
	return NULL;
}

static void a_file_changes_while_it_is_opened(void)
{
	int opens = test_is_sanitized() ? 200 : 1000;
	unsigned int taken = 0;
	struct vandal vandal = { .is_over = false };
	struct file file;
	pthread_t thread;

	file_open(&file, true);
	vandal.file = &file;
	snprintf(vandal.other, sizeof(vandal.other), "%s-other", file.path);
	MUST_EQ(pthread_create(&thread, NULL, vandalise, &vandal), 0);
	for (int i = 0; i < opens && !test_has_failed(); i++)
		taken += check_opens(&file, file.path, false);
	__atomic_store_n(&vandal.is_over, true, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	test_note("%u of %d opens found the whole file", taken, opens);
	/* A snapshot that was taken needs the file no more. */
	CHECK_EQ(truncate(file.path, 0), 0);
	check_clones(&file, file.liar.clone.snapshot);
	file_close(&file);
}

/* A snapshot that was opened only to be looked at is written as it was. */
static void what_was_looked_at_is_written_whole(void)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *looked_at;
	struct file file;
	uint8_t *bytes;

	file_open(&file, true);
	CONFORM_MUST(fl_snapshot_open(file.liar.rt.conform.context, file.path,
				      -1, 0, NULL, &looked_at, &error),
		     &error);
	CONFORM_MUST(fl_snapshot_write(looked_at, file.path, &error), &error);
	fl_snapshot_release(looked_at);
	bytes = file.bytes;
	close(file.fd);
	file_load(&file);
	CHECK(check_opens(&file, NULL, false));
	free(bytes);
	file_close(&file);
}

/* Whoever asks for a clone of it is told why there is none, by every call. */
static void what_was_looked_at_has_no_clones(void)
{
	static const char why[] = "opened without a binding";
	const struct fl_instance_config *configs;
	struct fl_instance *instance = NULL;
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_instance_config config;
	struct fl_snapshot *looked_at;
	struct fl_delta_config delta_config = FL_DELTA_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	struct file file;
	struct runtime *rt = &file.liar.rt;

	file_open(&file, true);
	CONFORM_MUST(fl_snapshot_open(rt->conform.context, file.path, -1, 0,
				      NULL, &looked_at, &error),
		     &error);
	config = file.liar.clone;
	config.snapshot = looked_at;
	CHECK_EQ(fl_instance_acquire(rt->conform.pool, rt->module, &config,
				     &instance, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, why);
	config.snapshot = NULL;
	configs = &config;
	CHECK_EQ(fl_snapshot_acquire(rt->conform.pool, looked_at, &configs,
				     &instance, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, why);
	parts.snapshot = delta_config.snapshot = looked_at;
	CHECK_EQ(fl_memory_delta(&parts, &delta, &error), -ENOTSUP);
	CHECK_HAS(error.text, why);
	instance = runtime_start(rt);
	CHECK_EQ(fl_instance_delta(&instance, 1, &delta_config, &delta, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, why);
	CHECK(delta == NULL);
	instance_stop(instance);
	fl_snapshot_release(looked_at);
	file_close(&file);
}

/* A runtime with pointers in its tables and structures opens a file that has
 * both as bytes. */
static void bytes_do_not_become_pointers(void)
{
	struct fl_snapshot *opened = NULL;
	struct fl_instance *instance;
	struct fl_error error;
	struct file file;
	struct liar *liar = &file.liar;

	file_open(&file, true);
	liar->rt.config.clone_element = liar->clone.clone_element = NULL;
	liar->rt.config.drop_element = liar->clone.drop_element = NULL;
	instance = runtime_start(&liar->rt);
	for (int i = 0; i < 2; i++) {
		liar->capture.plain_tables = i == 0;
		liar->capture.plain_structure = i == 1;
		CONFORM_MUST(liar_capture(liar, instance, &error), &error);
		CONFORM_MUST(fl_snapshot_write(liar->clone.snapshot, file.path,
					       &error),
			     &error);
		file.binding.plain_tables = i == 1;
		file.binding.plain_structure = i == 0;
		CHECK_EQ(fl_snapshot_open(liar->rt.conform.context, file.path,
					  -1, 0, &file.binding, &opened,
					  &error),
			 -EINVAL);
		CHECK_HAS(error.text, i ? "plain_structure" : "plain_tables");
		file.binding.plain_tables = i == 0;
		file.binding.plain_structure = i == 1;
		CONFORM_MUST(fl_snapshot_open(liar->rt.conform.context,
					      file.path, -1, 0, &file.binding,
					      &opened, &error),
			     &error);
		fl_snapshot_release(opened);
	}
	instance_stop(instance);
	liar->rt.live = 0;
	file_close(&file);
}

/* The same file as a system would have written whose long has another width: what a
 * binding says is plain is refused, for it is no struct here. No delta of there
 * belongs to a snapshot of here. */
static void bytes_of_another_system(void)
{
	struct fl_snapshot *opened = NULL;
	uint8_t here[32], there[32];
	struct fl_instance *instance;
	struct fl_error error;
	struct file file;
	struct liar *liar = &file.liar;

	file_open(&file, true);
	liar->rt.config.clone_element = liar->clone.clone_element = NULL;
	liar->rt.config.drop_element = liar->clone.drop_element = NULL;
	instance = runtime_start(&liar->rt);
	file.binding.plain_tables = file.binding.plain_structure = 1;
	for (int i = 0; i < 2; i++) {
		liar->capture.plain_tables = i == 0;
		liar->capture.plain_structure = i == 1;
		CONFORM_MUST(liar_capture(liar, instance, &error), &error);
		CONFORM_MUST(fl_snapshot_digest(liar->clone.snapshot, here,
						&error),
			     &error);
		CONFORM_MUST(liar_capture(liar, instance, &error), &error);
		liar->clone.snapshot->instances[0].ctypes = fl__ctypes_here() ^
							    1u << 4;
		CONFORM_MUST(fl_snapshot_digest(liar->clone.snapshot, there,
						&error),
			     &error);
		CHECK(memcmp(here, there, sizeof(here)) != 0);
		CONFORM_MUST(fl_snapshot_write(liar->clone.snapshot, file.path,
					       &error),
			     &error);
		CHECK_EQ(fl_snapshot_open(liar->rt.conform.context, file.path,
					  -1, 0, &file.binding, &opened,
					  &error),
			 -ENOTSUP);
		CHECK_HAS(error.text, i ? "the structure" : "tables");
		CHECK_HAS(error.text, "another system");
	}
	instance_stop(instance);
	liar->rt.live = 0;
	file_close(&file);
}

static const struct test_case cases[] = {
	TEST_CASE(an_encoder_that_fills_the_table),
	TEST_CASE_NEEDS(an_encoder_of_other_lengths, conform_malloc_fails),
	TEST_CASE(decoders_that_release_the_instance),
	TEST_CASE(decoders_that_call_back),
	TEST_CASE(decoders_that_release_another_of_the_group),
	TEST_CASE(halves_of_different_snapshots),
	TEST_CASE(bytes_beyond_the_size_are_nobodys),
	TEST_CASE(a_plain_table_is_its_bytes),
	TEST_CASE(a_forked_child_captures_nothing),
	TEST_CASE(the_released_make_no_image),
	TEST_CASE(a_capture_touches_no_hole),
	TEST_CASE(a_capture_touches_no_hole_on_demand),
	TEST_CASE(a_file_cut_anywhere_is_no_file),
	TEST_CASE(changed_bytes),
	TEST_CASE(changed_bytes_of_pages),
	TEST_CASE(a_file_changes_while_it_is_opened),
	TEST_CASE(what_was_looked_at_is_written_whole),
	TEST_CASE(what_was_looked_at_has_no_clones),
	TEST_CASE(bytes_do_not_become_pointers),
	TEST_CASE(bytes_of_another_system),
};

CONFORM_MAIN(cases)
