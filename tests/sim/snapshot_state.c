/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_state.c - the state of a snapshot, without a file and without a
 * pool: what is saved is loaded, no bytes whatever mislead the loader, and
 * memory is taken for what the bytes hold, not for what the bytes claim.
 */
#include "tests/kit/random.h"
#include "tests/kit/state_bytes.h"
#include "tests/kit/test.h"
#include "base/ctypes.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

/* ------------------------------------------------- what the loader allocates */

/* The linker puts these in the place of malloc() and its like. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *old);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *old);

static size_t heap_live, heap_peak;

static void *heap_add(void *got)
{
	heap_live += got ? malloc_usable_size(got) : 0;
	heap_peak = heap_live > heap_peak ? heap_live : heap_peak;
	return got;
}

static void heap_sub(void *old)
{
	heap_live -= old ? malloc_usable_size(old) : 0;
}

void *__wrap_malloc(size_t size)
{
	return heap_add(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return heap_add(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
	heap_sub(old);
	return heap_add(__real_realloc(old, size));
}

void __wrap_free(void *old)
{
	heap_sub(old);
	__real_free(old);
}

/* ------------------------------------------------------------------ made up */

struct saved {
	uint8_t *bytes;
	uint64_t len;
};

static bool is_listed(void *const *list, uint32_t count, const void *part)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i] == part)
			return true;
	}
	return false;
}

/* The world's lists begin with these parts, in this order. */
static void adopt(struct state_world *world, const struct fl__parts_list *parts)
{
	uint32_t images = parts->image_count, modules = parts->module_count;

	memcpy(world->image_list, parts->images,
	       images * sizeof(*parts->images));
	memcpy(world->module_list, parts->modules,
	       modules * sizeof(*parts->modules));
	for (size_t i = 0; i < STATE_IMAGES; i++) {
		if (!is_listed((void **)world->image_list, images,
			       &world->images[i]))
			world->image_list[images++] = &world->images[i];
	}
	for (size_t i = 0; i < STATE_MODULES; i++) {
		if (!is_listed((void **)world->module_list, modules,
			       &world->modules[i]))
			world->module_list[modules++] = &world->modules[i];
	}
}

/* The state of a snapshot, in a world that has its parts in its order. */
static struct saved save(struct state_world *world,
			 const struct fl_snapshot *snapshot)
{
	struct fl_error error = { .text = "" };
	struct fl__parts_list parts;
	struct saved saved;

	MUST_EQ(fl__snapshot_save(snapshot, &parts, &saved.bytes, &saved.len,
				  &error),
		0);
	adopt(world, &parts);
	fl__parts_list_fini(&parts);
	return saved;
}

static void random_values(struct fl__captured_table *table,
			  struct test_random *random)
{
	uint64_t at = 0;

	table->runs = calloc(table->length + 1, sizeof(*table->runs));
	table->values = calloc(table->length + 1, sizeof(*table->values));
	MUST(table->runs && table->values);
	while ((at += test_random_below(random, 9)) < table->length) {
		struct fl__captured_run *run = &table->runs[table->run_count++];

		run->first_idx = at;
		run->count = 1 + test_random_below(random, table->length - at);
		for (uint64_t i = 0; i < run->count; i++)
			table->values[table->value_count++] =
				test_random_next(random) >>
				(1 + test_random_below(random, 63));
		at += run->count + 1;
	}
}

static uint64_t *random_dropped(struct test_random *random, uint32_t first,
				uint32_t count)
{
	uint64_t *bits = calloc(1, sizeof(*bits));

	MUST(bits != NULL);
	for (uint32_t i = first; i < count; i++)
		fl_bit_set(bits, i, test_random_below(random, 2));
	return bits;
}

/* As module 0 is captured. */
static void random_owner(struct state_world *world, struct fl__captured *c,
			 struct test_random *random)
{
	size_t idx = test_random_below(random, 2);

	c->images[0] = fl_image_retain(&world->images[idx]);
	c->images[1] =
		fl_image_retain(&world->images[test_random_below(random, 3)]);
	if (test_random_below(random, 2)) {
		c->dropped_data = random_dropped(random, 1, 3);
		c->dropped_elements = random_dropped(random, 1, 2);
	}
	if (!c->has_tables)
		return;
	c->tables[0].length = 10;
	c->tables[0].element_bytes = 8;
	if (!test_random_below(random, 3)) {
		c->tables[0].image = fl_image_retain(&world->images[3]);
		return;
	}
	c->tables[0].length += test_random_below(random, 91);
	random_values(&c->tables[0], random);
}

static uint32_t random_earlier(const struct fl_snapshot *snapshot, uint32_t idx,
			       struct test_random *random)
{
	uint32_t at = (uint32_t)test_random_below(random, idx);

	while (at < idx &&
	       snapshot->instances[at].module->reader.table_count != 1)
		at++;
	return at;
}

/* As module 1 is, which imports from an earlier one of module 0, or from the
 * caller. */
static void random_importer(struct state_world *world,
			    struct fl_snapshot *snapshot, uint32_t idx,
			    struct test_random *random)
{
	struct fl__captured *c = &snapshot->instances[idx];
	uint32_t owner = random_earlier(snapshot, idx, random);

	c->images[1] = fl_image_retain(&world->images[5]);
	if (c->has_tables)
		c->tables[1].length = test_random_below(random, 5);
	c->tables[1].element_bytes = 8;
	if (owner == idx)
		return;
	c->memory_links[0] = (struct fl__link){ true, owner, 1 };
	if (c->has_tables)
		c->table_links[0] = (struct fl__link){ true, owner, 0 };
}

static void random_bytes(struct fl__captured *c, struct test_random *random)
{
	c->state_bytes = test_random_below(random, 300);
	c->state = malloc(c->state_bytes + 1);
	MUST(c->state != NULL);
	for (uint64_t i = 0; i < c->state_bytes; i++)
		((uint8_t *)c->state)[i] = (uint8_t)test_random_next(random);
}

static bool has_plain_part(const struct fl__captured *c)
{
	return c->structure || fl__captured_has_plain_table(c);
}

static struct fl_snapshot *random_snapshot(struct state_world *world,
					   struct test_random *random)
{
	uint32_t count = 1 + (uint32_t)test_random_below(random, 5);
	bool has_tables = test_random_below(random, 4);
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot;

	MUST_EQ(fl__snapshot_alloc(count, "e", &snapshot, &error), 0);
	for (uint32_t i = 0; i < count; i++) {
		struct fl__captured *c = &snapshot->instances[i];
		size_t module = test_random_below(random, STATE_MODULES);

		c->module = fl_module_retain(&world->modules[module]);
		c->has_tables = has_tables;
		if (module == 0)
			random_owner(world, c, random);
		else if (module == 1)
			random_importer(world, snapshot, i, random);
		if (test_random_below(random, 2))
			c->structure = fl_image_retain(&world->images[4]);
		/* Some come from other systems. */
		if (has_plain_part(c) && test_random_below(random, 2))
			c->ctypes =
				1 + (uint32_t)test_random_below(random, 65535);
		if (test_random_below(random, 2))
			random_bytes(c, random);
	}
	return snapshot;
}

/* -------------------------------------------------------------- saved, loaded */

static void check_table(const struct fl__captured_table *a,
			const struct fl__captured_table *b)
{
	CHECK_EQ(a->length, b->length);
	CHECK_EQ(a->element_bytes, b->element_bytes);
	CHECK(a->image == b->image);
	MUST_EQ(a->run_count, b->run_count);
	MUST_EQ(a->value_count, b->value_count);
	for (uint64_t i = 0; i < a->run_count; i++) {
		CHECK_EQ(a->runs[i].first_idx, b->runs[i].first_idx);
		CHECK_EQ(a->runs[i].count, b->runs[i].count);
	}
	for (uint64_t i = 0; i < a->value_count; i++)
		CHECK_EQ(a->values[i], b->values[i]);
}

static void check_dropped(const uint64_t *a, const uint64_t *b)
{
	CHECK_EQ(a ? *a : 0, b ? *b : 0);
}

static void check_captured(const struct fl__captured *a,
			   const struct fl__captured *b)
{
	CHECK(a->module == b->module);
	CHECK_EQ(a->has_tables, b->has_tables);
	CHECK_EQ(a->is_parts, b->is_parts);
	CHECK(a->structure == b->structure);
	CHECK_EQ(b->ctypes, a->ctypes	      ? a->ctypes :
			    has_plain_part(a) ? fl__ctypes_here() :
						0);
	for (size_t i = 0; i < 2; i++) {
		CHECK(a->images[i] == b->images[i]);
		if (a->has_tables)
			check_table(&a->tables[i], &b->tables[i]);
		CHECK(!memcmp(&a->memory_links[i], &b->memory_links[i],
			      sizeof(struct fl__link)));
		CHECK(!memcmp(&a->table_links[i], &b->table_links[i],
			      sizeof(struct fl__link)));
	}
	check_dropped(a->dropped_data, b->dropped_data);
	check_dropped(a->dropped_elements, b->dropped_elements);
	MUST_EQ(a->state_bytes, b->state_bytes);
	CHECK(!a->state_bytes || !memcmp(a->state, b->state, a->state_bytes));
}

static void check_loads(const struct fl_snapshot *snapshot)
{
	struct fl_error error = { .text = "" };
	struct fl__parts_list parts;
	struct fl_snapshot *loaded;
	struct saved saved;
	int err;

	MUST_EQ(fl__snapshot_save(snapshot, &parts, &saved.bytes, &saved.len,
				  &error),
		0);
	err = fl__snapshot_load(saved.bytes, saved.len, &parts, "e", &loaded,
				&error);
	fl__parts_list_fini(&parts);
	free(saved.bytes);
	if (err)
		test_note("byte %ju: %s", (uintmax_t)error.byte_off,
			  error.text);
	MUST_EQ(err, 0);
	CHECK(!strcmp(loaded->encoding, "e"));
	MUST_EQ(loaded->count, snapshot->count);
	for (uint32_t i = 0; i < loaded->count; i++)
		check_captured(&snapshot->instances[i], &loaded->instances[i]);
	fl_snapshot_release(loaded);
}

static void what_is_saved_is_loaded(void)
{
	struct state_world world;
	struct test_random random;
	uint64_t refs;

	test_random_init(&random, 31);
	state_world_open(&world);
	refs = state_world_refs(&world);
	for (int i = test_rounds(2000); i > 0 && !test_has_failed(); i--) {
		struct fl_snapshot *snapshot = random_snapshot(&world, &random);

		check_loads(snapshot);
		fl_snapshot_release(snapshot);
	}
	CHECK_EQ(state_world_refs(&world), refs);
	state_world_close(&world);
}

/* ------------------------------------------------------------------- hostile */

static int check_try(const struct state_world *world, const uint8_t *bytes,
		     uint64_t len, struct fl_error *error)
{
	int err;
	const char *wrong = state_try(world, bytes, len, &err, error);

	if (!CHECK(!wrong))
		test_note("%s: %d, %s", wrong, err, error->text);
	return err;
}

static void a_state_cut_anywhere_is_none(void)
{
	struct state_world world;
	struct test_random random;
	struct fl_error error;

	test_random_init(&random, 32);
	state_world_open(&world);
	for (int i = test_rounds(100); i > 0 && !test_has_failed(); i--) {
		struct fl_snapshot *snapshot = random_snapshot(&world, &random);
		struct saved saved = save(&world, snapshot);

		CHECK_EQ(check_try(&world, saved.bytes, saved.len, &error), 0);
		for (uint64_t len = 0; len < saved.len; len++)
			CHECK_EQ(check_try(&world, saved.bytes, len, &error),
				 -ENOEXEC);
		free(saved.bytes);
		fl_snapshot_release(snapshot);
	}
	state_world_close(&world);
}

/* One byte, or two, or a stretch that is moved: numbers get other lengths. */
static void change(struct test_random *random, uint8_t *bytes, uint64_t len)
{
	uint64_t at = test_random_below(random, len), to;

	if (test_random_below(random, 8)) {
		bytes[at] ^= (uint8_t)(1 << test_random_below(random, 8));
		if (test_random_below(random, 2))
			bytes[test_random_below(random, len)] =
				(uint8_t)test_random_next(random);
		return;
	}
	to = test_random_below(random, len);
	memmove(bytes + to, bytes + at, len - (to > at ? to : at));
}

static void changed_bytes(void)
{
	int rounds = test_rounds(test_is_sanitized() ? 100 : 1000), taken = 0;
	struct state_world world;
	struct test_random random;
	struct fl_error error;

	test_random_init(&random, 33);
	state_world_open(&world);
	for (int i = 0; i < rounds && !test_has_failed(); i++) {
		struct fl_snapshot *snapshot = random_snapshot(&world, &random);
		struct saved saved = save(&world, snapshot);
		uint8_t *copy = malloc(saved.len);

		MUST(copy != NULL);
		for (int k = 0; k < 100; k++) {
			memcpy(copy, saved.bytes, saved.len);
			change(&random, copy, saved.len);
			taken += !check_try(&world, copy, saved.len, &error);
		}
		free(copy);
		free(saved.bytes);
		fl_snapshot_release(snapshot);
	}
	/* Values and the runtime's bytes may be anything. */
	CHECK(taken > 10 * rounds);
	test_note("%d of %d were taken", taken, 100 * rounds);
	state_world_close(&world);
}

/* What no honest snapshot says. An instance of module 2 is 2, 0, 0, 0, 0, 0, 0;
 * one of module 0 begins with 0, flags, 2, image, image. */
static const struct lie {
	const char *says;
	int err;
	unsigned int byte_off;
	size_t len;
	uint8_t bytes[40];
} lies[] = {
	{ NULL, 0, 0, 9, { 1, 1, 2, 0, 0, 0, 0, 0, 0 } },
	{ "version", -ENOTSUP, 0, 9, { 2, 1, 2, 0, 0, 0, 0, 0, 0 } },
	{ "no instance", -ENOEXEC, 2, 2, { 1, 0 } },
	{ "cannot hold", -ENOEXEC, 1, 9, { 1, 2, 2, 0, 0, 0, 0, 0, 0 } },
	{ "module", -ENOEXEC, 2, 9, { 1, 1, 3, 0, 0, 0, 0, 0, 0 } },
	{ "flags", -ENOEXEC, 3, 9, { 1, 1, 2, 8, 0, 0, 0, 0, 0 } },
	/* A structure's image, and how C's types lie where it was captured. */
	{ NULL, 0, 0, 10, { 1, 1, 2, 4, 3, 0, 1, 0, 0, 0 } },
	{ "layout of C's types",
	  -ENOEXEC,
	  4,
	  10,
	  { 1, 1, 2, 4, 0, 0, 1, 0, 0, 0 } },
	{ "layout of C's types",
	  -ENOEXEC,
	  4,
	  12,
	  { 1, 1, 2, 4, 0x80, 0x80, 4, 0, 1, 0, 0, 0 } },
	{ "flag 4", -ENOEXEC, 3, 10, { 1, 1, 2, 4, 3, 0, 0, 0, 0, 0 } },
	{ "flag 4", -ENOEXEC, 3, 9, { 1, 1, 2, 0, 0, 1, 0, 0, 0 } },
	{ "another number of memories",
	  -ENOEXEC,
	  4,
	  10,
	  { 1, 1, 2, 0, 1, 1, 0, 0, 0, 0 } },
	{ "image", -ENOEXEC, 5, 9, { 1, 1, 2, 0, 0, 7, 0, 0, 0 } },
	{ "bytes follow", -ENOEXEC, 9, 10, { 1, 1, 2, 0, 0, 0, 0, 0, 0, 0 } },
	{ "fewer segments", -ENOEXEC, 6, 10, { 1, 1, 2, 0, 0, 0, 1, 0, 0, 0 } },
	/* A memory of module 0 has no image, or one of the wrong size. */
	{ "each has one", -ENOEXEC, 6, 11, { 1, 1, 0, 0, 2, 1, 0, 0, 0, 0, 0 } },
	{ "size", -ENOEXEC, 5, 11, { 1, 1, 0, 0, 2, 4, 3, 0, 0, 0, 0 } },
	{ "size", -ENOEXEC, 5, 11, { 1, 1, 0, 0, 2, 3, 3, 0, 0, 0, 0 } },
	/* Segment 0 is active. */
	{ NULL, 0, 0, 12, { 1, 1, 0, 0, 2, 1, 3, 0, 1, 1, 0, 0 } },
	{ "not passive",
	  -ENOEXEC,
	  9,
	  12,
	  { 1, 1, 0, 0, 2, 1, 3, 0, 1, 0, 0, 0 } },
	{ "not passive",
	  -ENOEXEC,
	  10,
	  12,
	  { 1, 1, 0, 0, 2, 1, 3, 0, 0, 1, 0, 0 } },
	{ "order", -ENOEXEC, 10, 13, { 1, 1, 0, 0, 2, 1, 3, 0, 2, 2, 1, 0, 0 } },
	/* Tables: 10 to 100 elements, runs that fit. */
	{ NULL,
	  0,
	  0,
	  18,
	  { 1, 1, 0, 1, 2, 1, 3, 10, 8, 0, 1, 9, 1, 5, 0, 0, 0, 0 } },
	{ "size",
	  -ENOEXEC,
	  7,
	  18,
	  { 1, 1, 0, 1, 2, 1, 3, 9, 8, 0, 1, 8, 1, 5, 0, 0, 0, 0 } },
	{ "size",
	  -ENOEXEC,
	  7,
	  18,
	  { 1, 1, 0, 1, 2, 1, 3, 101, 8, 0, 1, 8, 1, 5, 0, 0, 0, 0 } },
	{ "size",
	  -ENOEXEC,
	  7,
	  14,
	  { 1, 1, 0, 1, 2, 1, 3, 10, 16, 4, 0, 0, 0, 0 } },
	{ "does not fit",
	  -ENOEXEC,
	  11,
	  18,
	  { 1, 1, 0, 1, 2, 1, 3, 10, 8, 0, 1, 10, 1, 5, 0, 0, 0, 0 } },
	{ "does not fit",
	  -ENOEXEC,
	  11,
	  18,
	  { 1, 1, 0, 1, 2, 1, 3, 10, 8, 0, 1, 9, 0, 5, 0, 0, 0, 0 } },
	/* A plain table has a null, and no runs. */
	{ "null reference",
	  -ENOEXEC,
	  10,
	  17,
	  { 1, 1, 0, 1, 2, 1, 3, 10, 8, 4, 0, 0, 0, 0, 0, 0, 0 } },
	{ "so many runs", -ENOEXEC, 18, 26, { 1, 1, 0, 1, 2, 1, 3, 10, 8,
					      4, 0, 0, 0, 0, 0, 0, 0,  0,
					      1, 9, 1, 5, 0, 0, 0, 0 } },
	{ "so many runs",
	  -ENOEXEC,
	  10,
	  18,
	  { 1, 1, 0, 1, 2, 1, 3, 10, 8, 0, 3, 9, 1, 5, 0, 0, 0, 0 } },
	{ "stands for null",
	  -ENOEXEC,
	  13,
	  27,
	  { 1,	  1,	0,    1,    2,	  1,	3,    10,   8, 0, 1, 9, 1, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0 } },
	{ "runtime's bytes", -ENOEXEC, 9, 9, { 1, 1, 2, 0, 0, 0, 0, 0, 100 } },
};

static void check_lie(const struct state_world *world, const struct lie *lie)
{
	struct fl_error error;
	int err = check_try(world, lie->bytes, lie->len, &error);

	CHECK_EQ(err, lie->err);
	if (lie->says) {
		CHECK_HAS(error.text, lie->says);
		CHECK_EQ(error.byte_off, lie->byte_off);
	}
	if (test_has_failed())
		test_note("row %d: byte %ju: %s", (int)(lie - lies),
			  (uintmax_t)error.byte_off, error.text);
}

static void every_number_is_checked(void)
{
	struct state_world world;

	state_world_open(&world);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(lies) && !test_has_failed(); i++)
		check_lie(&world, &lies[i]);
	state_world_close(&world);
}

/* An instance of module 0 without tables' content, and one of module 1 that
 * imports from the first. */
static void links_are_checked(void)
{
	static const struct {
		const char *says; /* NULL: good */
		uint8_t link[4]; /* memory: instance, index; table: same */
	} links[] = {
		{ NULL, { 1, 1, 1, 0 } },
		{ "instances before", { 2, 1, 1, 0 } },
		{ "memories", { 1, 2, 1, 0 } },
		{ "tables", { 1, 1, 1, 1 } },
	};
	static const uint8_t owner[] = {
		1, 2, 0, 1, 2, 1, 3, 10, 8, 0, 0, 0, 0, 0, 0,
	};
	struct state_world world;

	state_world_open(&world);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(links); i++) {
		const uint8_t *at = links[i].link;
		const uint8_t importer[] = {
			1, 1, 2, 0, 6, at[0], at[1], at[2], at[3],
			0, 8, 0, 0, 0, 0,     0,     0,
		};
		uint8_t bytes[sizeof(owner) + sizeof(importer)];
		struct fl_error error;

		memcpy(bytes, owner, sizeof(owner));
		memcpy(bytes + sizeof(owner), importer, sizeof(importer));
		CHECK_EQ(check_try(&world, bytes, sizeof(bytes), &error),
			 links[i].says ? -ENOEXEC : 0);
		if (links[i].says)
			CHECK_HAS(error.text, links[i].says);
		if (test_has_failed())
			test_note("row %zu: %s", i, error.text);
	}
	state_world_close(&world);
}

/* Instances of module 1, the second of which imports from the first: a memory
 * that fits, and a table of externals where one of functions is wanted. */
static void a_link_has_the_type_of_its_import(void)
{
	static const uint8_t bytes[] = {
		1, 2, 1, 1, 2, 0, 6, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0,
		1, 1, 2, 0, 6, 1, 1, 1, 1, 0, 8, 0, 0, 0, 0, 0, 0,
	};
	struct state_world world;
	struct fl_error error;

	state_world_open(&world);
	CHECK_EQ(check_try(&world, bytes, sizeof(bytes), &error), -ENOEXEC);
	CHECK_HAS(error.text, "another type");
	CHECK_EQ(error.byte_off, 24);
	state_world_close(&world);
}

/* ---------------------------------------------------------------- proportion */

/* A module of a hundred tables, which may have any number of elements. */
static void many_tables(struct state_world *world, uint8_t bytes[8 + 4 + 300])
{
	static const uint8_t head[] = { 0, 'a', 's', 'm',  1,	 0,
					0, 0,	4,   0xad, 0x02, 100 };
	struct fl_module *module = &world->modules[2];
	struct fl_error error = { .text = "" };

	memcpy(bytes, head, sizeof(head));
	for (size_t i = 0; i < 100; i++)
		memcpy(bytes + sizeof(head) + 3 * i, "\x70\0\0", 3);
	fl__reader_fini(&module->reader);
	MUST_EQ(fl__reader_read(&module->reader, bytes, 8 + 4 + 300, &error),
		0);
}

static uint64_t loaded_peak(const struct state_world *world,
			    const struct saved *saved)
{
	struct fl_snapshot *snapshot = NULL;
	struct fl_error error = { .text = "" };
	size_t before = heap_live;

	heap_peak = heap_live;
	CHECK_EQ(fl__snapshot_load(saved->bytes, saved->len, &world->parts, "e",
				   &snapshot, &error),
		 0);
	if (test_has_failed())
		test_note("%s", error.text);
	fl_snapshot_release(snapshot);
	CHECK_EQ(heap_live, before);
	return heap_peak - before;
}

static struct saved many_values(struct state_world *world, uint32_t instances)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot;
	struct saved saved;

	MUST_EQ(fl__snapshot_alloc(instances, "e", &snapshot, &error), 0);
	for (uint32_t i = 0; i < instances; i++) {
		struct fl__captured *c = &snapshot->instances[i];

		c->module = fl_module_retain(&world->modules[2]);
		c->has_tables = true;
		for (size_t k = 0; k < 100; k++) {
			struct fl__captured_table *table = &c->tables[k];

			table->length = UINT32_MAX;
			table->element_bytes = 8;
			table->run_count = table->value_count = 1;
			table->runs = calloc(1, sizeof(*table->runs));
			table->values = calloc(1, sizeof(*table->values));
			MUST(table->runs && table->values);
			table->runs->count = 1;
		}
	}
	saved = save(world, snapshot);
	fl_snapshot_release(snapshot);
	return saved;
}

/* Beside a struct for each instance, some bytes for each byte: a value of 8
 * bytes takes a byte, and a small allocation takes more than was asked for. */
static void memory_is_in_proportion(void)
{
	uint8_t bytes[8 + 4 + 300];
	struct state_world world;
	struct saved saved;
	uint64_t peak;

	state_world_open(&world);
	many_tables(&world, bytes);
	saved = many_values(&world, FL__SNAPSHOT_MAX_INSTANCES);
	peak = loaded_peak(&world, &saved);
	CHECK(peak < FL__SNAPSHOT_MAX_INSTANCES * sizeof(struct fl__captured) +
			     (test_is_sanitized() ? 64 : 16) * saved.len);
	if (test_has_failed())
		test_note("%ju bytes took %ju", (uintmax_t)saved.len,
			  (uintmax_t)peak);
	free(saved.bytes);
	state_world_close(&world);
}

static const struct test_case cases[] = {
	TEST_CASE(what_is_saved_is_loaded),
	TEST_CASE(a_state_cut_anywhere_is_none),
	TEST_CASE(changed_bytes),
	TEST_CASE(every_number_is_checked),
	TEST_CASE(links_are_checked),
	TEST_CASE(a_link_has_the_type_of_its_import),
	TEST_CASE(memory_is_in_proportion),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
