/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation_snapshot.c - what a tenant of a clone wrote is found in no later
 * clone, nor in a snapshot that is taken of a later clone.
 *
 * Each tenant looks for the mark of all secrets in everything that it can reach:
 * its memory, the whole slot of its table, its structure, the prefix, and now and
 * then in a snapshot of itself, byte for byte. Then it leaves a secret of its own
 * wherever it can write, by the means under test, and goes. Slots are few, so
 * that they are used by one tenant after the other.
 */
#define _GNU_SOURCE
#include "tests/kit/conform_module.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define MARK "the mark of a secret:"
#define SECRET_BYTES 32
#define WPAGES 40
#define MAX_WPAGES 56
#define ELEMENTS 200
#define MAX_ELEMENTS 2000
#define STRUCTURE_BYTES 9000
#define PREFIX_BYTES 24
#define TENANCIES 40

struct scene {
	struct conform conform;
	struct fl_pool_config pool;
	struct fl_module *module;
	struct fl_snapshot *snapshot;
	struct fl_error error;
	struct test_random random;
	uint8_t *expected; /* WPAGES: the content of a clone's memory */
	uint8_t *bytes; /* MAX_WPAGES, to read images into */
	unsigned int tenancy;
	int pipe[2];
	int memory_fd; /* /proc/self/mem */
};

struct tenant {
	struct scene *scene;
	struct fl_instance *instance;
	struct fl_memory *memory;
	char secret[SECRET_BYTES];
};

typedef void means_fn(struct tenant *tenant);

/* ------------------------------------------------------------------ searching */

static bool has_secret(const void *bytes, uint64_t len)
{
	return memmem(bytes, len, MARK, strlen(MARK)) != NULL;
}

static void capture(struct scene *scene, struct fl_instance *instance,
		    struct fl_snapshot **snapshot)
{
	struct fl_snapshot_config config;

	fl_snapshot_config_init(&config);
	config.plain_tables = 1;
	config.plain_structure = 1;
	CONFORM_MUST(fl_instance_snapshot(&instance, 1, &config, snapshot,
					  &scene->error),
		     &scene->error);
}

/* In most tenancies the structure stays bound to its slot, with this in it. */
static int rebind(void *user, struct fl_instance *instance)
{
	void **structure = fl_instance_structure(instance);

	(void)user;
	structure[STRUCTURE_BYTES / 2 / sizeof(void *)] =
		fl_instance_memory(instance, 0)->base;
	return 0;
}

static struct fl_instance *take(struct scene *scene,
				struct fl_snapshot *snapshot)
{
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;

	fl_instance_config_init(&config);
	config.snapshot = snapshot;
	config.rebind = rebind;
	config.binds_structure = scene->tenancy % 5 != 0;
	CONFORM_MUST(fl_instance_acquire(scene->conform.pool, scene->module,
					 &config, &instance, &scene->error),
		     &scene->error);
	return instance;
}

static uint64_t structure_slot_bytes(void)
{
	return conform_round_up(STRUCTURE_BYTES, conform_hpage());
}

/* All that the instance can reach, up to the end of the table's slot and of the
 * structure's. */
static void check_instance(struct scene *scene, struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	struct fl_table *table = fl_instance_table(instance, 0);
	void *structure = fl_instance_structure(instance);
	uint64_t reach = fl_memory_length(memory);
	bool is_clean;

	CHECK_EQ(reach, WPAGES * WPAGE);
	is_clean = CHECK(!memcmp(memory->base, scene->expected, reach));
	if (scene->pool.bounds == FL_BOUNDS_ACCESSIBLE)
		reach = MAX_WPAGES * WPAGE;
	is_clean &= CHECK(
		!has_secret(memory->base - PREFIX_BYTES, reach + PREFIX_BYTES));
	is_clean &= CHECK(!has_secret(table->base, 8 * MAX_ELEMENTS));
	is_clean &= CHECK(!has_secret(structure, structure_slot_bytes()));
	is_clean &= CHECK(
		((void **)structure)[STRUCTURE_BYTES / 2 / sizeof(void *)] ==
		memory->base);
	CHECK_EQ(fl_table_size(table), ELEMENTS);
	if (!is_clean)
		test_note("tenancy %u", scene->tenancy);
}

/* A snapshot of a clone that has done nothing, and a clone of that. */
static void check_snapshot(struct scene *scene, struct fl_instance *instance)
{
	struct fl_snapshot *snapshot = NULL;
	struct fl_image_info info = { .size = sizeof(info) };
	struct fl_instance *clone;
	struct fl_image *image;

	capture(scene, instance, &snapshot);
	image = fl_snapshot_image(snapshot, 0, 0);
	MUST(image != NULL);
	fl_image_info(image, &info);
	MUST_EQ(info.initial_bytes, WPAGES * WPAGE);
	CHECK_EQ(fl_image_read(image, 0, scene->bytes, info.initial_bytes), 0);
	CHECK(!has_secret(scene->bytes, info.initial_bytes));
	CHECK(!memcmp(scene->bytes, scene->expected, info.initial_bytes));
	clone = take(scene, snapshot);
	fl_snapshot_release(snapshot);
	check_instance(scene, clone);
	instance_stop(clone);
}

/* --------------------------------------------------------------------- a scene */

/* What is captured: data here and there, and zeroes. */
static void begin(struct scene *scene, struct fl_instance *instance)
{
	uint8_t *base = fl_instance_memory(instance, 0)->base;

	for (uint64_t off = 0; off < WPAGES * WPAGE; off++) {
		bool is_data = off / WPAGE % 5 < 2 || off / 4096 % 7 == 3;

		base[off] = is_data ? (uint8_t)(off / 4096 + off % 251) : 0;
	}
	memcpy(scene->expected, base, WPAGES * WPAGE);
	memset(fl_instance_table(instance, 0)->base, 0x21, 8 * ELEMENTS);
	memset(fl_instance_structure(instance), 0x22, STRUCTURE_BYTES);
}

static void scene_open(struct scene *scene, enum fl_bounds bounds)
{
	struct wasm_parts parts = { 0 };
	struct fl_instance *instance;
	struct wasm w = { 0 };

	memset(scene, 0, sizeof(*scene));
	test_random_init(&scene->random, 4);
	conform_pool_config(&scene->pool);
	scene->pool.max_memories = scene->pool.max_tables = 2;
	scene->pool.max_instances = 2;
	scene->pool.max_memory_bytes = MAX_WPAGES * WPAGE;
	scene->pool.max_table_elements = MAX_ELEMENTS;
	scene->pool.table_element_bytes = 8;
	scene->pool.instance_bytes = STRUCTURE_BYTES;
	scene->pool.prefix_bytes = PREFIX_BYTES;
	scene->pool.bounds = bounds;
	conform_open(&scene->conform, &scene->pool);
	wasm_add_table(&parts, ELEMENTS, MAX_ELEMENTS);
	wasm_add_memory(&parts, WPAGES);
	wasm_parts_build(&parts, &w);
	scene->module = module_load(&scene->conform, &w);
	scene->expected = malloc(WPAGES * WPAGE);
	scene->bytes = malloc(MAX_WPAGES * WPAGE);
	MUST(scene->expected && scene->bytes);
	MUST_EQ(pipe2(scene->pipe, O_CLOEXEC), 0);
	scene->memory_fd = procfs_open_memory();
	instance = instance_start(&scene->conform, scene->module);
	begin(scene, instance);
	capture(scene, instance, &scene->snapshot);
	instance_stop(instance);
}

static void scene_close(struct scene *scene)
{
	CHECK_EQ(conform_info(&scene->conform).retired_memories, 0);
	close(scene->pipe[0]);
	close(scene->pipe[1]);
	close(scene->memory_fd);
	free(scene->expected);
	free(scene->bytes);
	fl_snapshot_release(scene->snapshot);
	check_nothing_held(&scene->conform);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

/* ----------------------------------------------------------------- a tenancy */

/* Where the tenant leaves its secret: the first and the last bytes, pages that
 * change from tenant to tenant, and pages that do not. */
static uint64_t place(struct tenant *tenant, unsigned int i)
{
	uint64_t len = fl_memory_length(tenant->memory);
	uint64_t hpages = len / conform_hpage();

	switch (i) {
	case 0:
		return 0;
	case 1:
		return len - SECRET_BYTES;
	case 2:
		return 5 * conform_hpage() - SECRET_BYTES / 2;
	case 3:
		return WPAGE * 7 + 100;
	default:
		return test_random_below(&tenant->scene->random, hpages - 1) *
			       conform_hpage() +
		       i * 64;
	}
}

#define PLACES 40

static void leave_by_stores(struct tenant *tenant)
{
	for (unsigned int i = 0; i < PLACES; i++)
		memcpy(tenant->memory->base + place(tenant, i), tenant->secret,
		       SECRET_BYTES);
	memcpy(tenant->memory->base - PREFIX_BYTES, tenant->secret,
	       PREFIX_BYTES);
}

/* The whole slot of the table, and the structure. */
static void leave_beside(struct tenant *tenant)
{
	uint8_t *table = fl_instance_table(tenant->instance, 0)->base;
	uint8_t *structure = fl_instance_structure(tenant->instance);

	for (uint64_t off = 0; off + SECRET_BYTES <= 8 * MAX_ELEMENTS;
	     off += 1000)
		memcpy(table + off, tenant->secret, SECRET_BYTES);
	memcpy(table + 8 * MAX_ELEMENTS - SECRET_BYTES, tenant->secret,
	       SECRET_BYTES);
	memcpy(structure, tenant->secret, SECRET_BYTES);
	for (uint64_t off = tenant->scene->tenancy % 7 * 100;
	     off + SECRET_BYTES <= structure_slot_bytes(); off += 1000)
		memcpy(structure + off, tenant->secret, SECRET_BYTES);
	memcpy(structure + structure_slot_bytes() - SECRET_BYTES,
	       tenant->secret, SECRET_BYTES);
}

static void tenancy(struct scene *scene, means_fn *means)
{
	struct tenant tenant = { .scene = scene };

	tenant.instance = take(scene, scene->snapshot);
	tenant.memory = fl_instance_memory(tenant.instance, 0);
	snprintf(tenant.secret, sizeof(tenant.secret), MARK " %u",
		 scene->tenancy);
	/* Some tenants have read nothing when they write, or are captured. */
	if (scene->tenancy % 3)
		check_instance(scene, tenant.instance);
	if (scene->tenancy % 4 == 1)
		check_snapshot(scene, tenant.instance);
	leave_beside(&tenant);
	means(&tenant);
	instance_stop(tenant.instance);
	scene->tenancy++;
}

static void attack(means_fn *means)
{
	struct scene scene;

	for (int bounds = 0; bounds < 2; bounds++) {
		scene_open(&scene,
			   bounds ? FL_BOUNDS_ACCESSIBLE : FL_BOUNDS_GUARDED);
		for (int i = 0; i < TENANCIES && !test_has_failed(); i++)
			tenancy(&scene, means);
		scene_close(&scene);
	}
}

/* --------------------------------------------------------------------- means */

static void plain_stores(void)
{
	attack(leave_by_stores);
}

static void do_all_of_it(struct tenant *tenant)
{
	uint64_t len = fl_memory_length(tenant->memory);

	leave_by_stores(tenant);
	for (uint64_t off = 0; tenant->scene->tenancy % 3 == 0 && off < len;
	     off += SECRET_BYTES)
		memcpy(tenant->memory->base + off, tenant->secret,
		       SECRET_BYTES);
}

static void every_byte(void)
{
	attack(do_all_of_it);
}

/* The kernel writes, into pages that are protected or were never there. */
static void do_by_kernel(struct tenant *tenant)
{
	struct scene *scene = tenant->scene;

	for (unsigned int i = 0; i < PLACES; i++) {
		uint8_t *at = tenant->memory->base + place(tenant, i);
		ssize_t n;

		if (i % 2 && scene->memory_fd >= 0) {
			n = pwrite(scene->memory_fd, tenant->secret,
				   SECRET_BYTES, (off_t)(uintptr_t)at);
			/* Some hosts deny that to a process. */
			if (n == SECRET_BYTES)
				CHECK(has_secret(at, SECRET_BYTES));
			continue;
		}
		CHECK_EQ(write(scene->pipe[1], tenant->secret, SECRET_BYTES),
			 SECRET_BYTES);
		CHECK_EQ(fl_memory_prefault(
				 tenant->memory,
				 (uint64_t)(at - tenant->memory->base),
				 SECRET_BYTES),
			 0);
		n = read(scene->pipe[0], at, SECRET_BYTES);
		CHECK_EQ(n, SECRET_BYTES);
	}
}

static void kernel_writes(void)
{
	attack(do_by_kernel);
}

static void do_grow(struct tenant *tenant)
{
	uint64_t element = 0x6666;
	unsigned int delta = 1 + tenant->scene->tenancy % 9;

	CHECK_EQ(fl_memory_grow(tenant->memory, delta, NULL), 0);
	CHECK_EQ(fl_table_grow(fl_instance_table(tenant->instance, 0),
			       100 * delta, &element, NULL),
		 0);
	leave_beside(tenant);
	for (uint64_t off = WPAGES * WPAGE;
	     off < fl_memory_length(tenant->memory); off += 4096)
		memcpy(tenant->memory->base + off, tenant->secret,
		       SECRET_BYTES);
	leave_by_stores(tenant);
}

static void grown_memory_and_table(void)
{
	attack(do_grow);
}

/* Code that checks no bounds in an accessible pool. */
static void do_beyond(struct tenant *tenant)
{
	leave_by_stores(tenant);
	if (tenant->scene->pool.bounds != FL_BOUNDS_ACCESSIBLE)
		return;
	for (uint64_t off = WPAGES * WPAGE; off < MAX_WPAGES * WPAGE;
	     off += 8192)
		memcpy(tenant->memory->base + off, tenant->secret,
		       SECRET_BYTES);
}

static void beyond_the_size(void)
{
	attack(do_beyond);
}

/* Advice may be refused; what it did is seen by the next tenant. */
static void do_advise(struct tenant *tenant)
{
	static const int advice[] = { MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT,
				      MADV_COLLAPSE, MADV_HUGEPAGE };
	uint64_t len = fl_memory_length(tenant->memory) / 2;
	uint8_t *at =
		tenant->memory->base + (tenant->scene->tenancy % 2 ? 0 : len);

	leave_by_stores(tenant);
	(void)madvise(at, len, advice[tenant->scene->tenancy % 5]);
	if (tenant->scene->tenancy % 3)
		leave_by_stores(tenant);
}

static void advice(void)
{
	attack(do_advise);
}

static void do_lend(struct tenant *tenant)
{
	if (tenant->scene->tenancy % 2)
		CHECK_EQ(fl_memory_lend(tenant->memory), 0);
	leave_by_stores(tenant);
}

static void lent_memory(void)
{
	attack(do_lend);
}

/* The tenant is captured with its secret, and its clones know the secret. The
 * clones of the snapshot before know nothing of it. */
static void do_capture(struct tenant *tenant)
{
	struct scene *scene = tenant->scene;
	struct fl_snapshot *snapshot = NULL;
	struct fl_instance *clone;

	leave_by_stores(tenant);
	capture(scene, tenant->instance, &snapshot);
	clone = take(scene, snapshot);
	CHECK(has_secret(fl_instance_memory(clone, 0)->base, SECRET_BYTES));
	CHECK(has_secret(fl_instance_table(clone, 0)->base, SECRET_BYTES));
	CHECK(has_secret(fl_instance_structure(clone), SECRET_BYTES));
	instance_stop(clone);
	if (scene->tenancy % 3 == 0)
		CHECK_EQ(fl_pool_purge(scene->conform.pool, NULL,
				       fl_snapshot_image(snapshot, 0, 0), NULL),
			 0);
	fl_snapshot_release(snapshot);
	clone = take(scene, scene->snapshot);
	check_instance(scene, clone);
	instance_stop(clone);
}

static void secrets_in_other_snapshots(void)
{
	attack(do_capture);
}

/* A capture that is refused has looked at everything, and keeps nothing. */
static void do_fail_to_capture(struct tenant *tenant)
{
	struct scene *scene = tenant->scene;
	struct fl_snapshot *snapshot = NULL;

	leave_by_stores(tenant);
	CHECK_EQ(fl_instance_snapshot(&tenant->instance, 1, NULL, &snapshot,
				      &scene->error),
		 -ENOTSUP);
	CHECK(snapshot == NULL);
	if (scene->tenancy % 5 == 0)
		CHECK_EQ(fl_pool_trim(scene->conform.pool, UINT64_MAX, NULL),
			 0);
}

static void captures_that_fail(void)
{
	attack(do_fail_to_capture);
}

/* The captured instance gets its secret after the capture, and lives on. */
static void captured_instance_goes_on(void)
{
	struct tenant tenant;
	struct fl_snapshot *before;
	struct fl_instance *clone;
	struct scene scene;

	scene_open(&scene, FL_BOUNDS_GUARDED);
	tenant = (struct tenant){ .scene = &scene, .secret = MARK " 0" };
	tenant.instance = take(&scene, scene.snapshot);
	tenant.memory = fl_instance_memory(tenant.instance, 0);
	before = scene.snapshot;
	capture(&scene, tenant.instance, &scene.snapshot);
	fl_snapshot_release(before);
	for (int i = 0; i < 20; i++) {
		leave_by_stores(&tenant);
		leave_beside(&tenant);
		clone = take(&scene, scene.snapshot);
		check_instance(&scene, clone);
		instance_stop(clone);
	}
	instance_stop(tenant.instance);
	clone = take(&scene, scene.snapshot);
	check_instance(&scene, clone);
	check_snapshot(&scene, clone);
	instance_stop(clone);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(plain_stores),       TEST_CASE(every_byte),
	TEST_CASE(kernel_writes),      TEST_CASE(grown_memory_and_table),
	TEST_CASE(beyond_the_size),    TEST_CASE(advice),
	TEST_CASE(lent_memory),	       TEST_CASE(secrets_in_other_snapshots),
	TEST_CASE(captures_that_fail), TEST_CASE(captured_instance_goes_on),
};

CONFORM_MAIN(cases)
