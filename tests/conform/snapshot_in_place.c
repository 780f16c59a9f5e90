/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_in_place.c - snapshots whose file is mapped in place: clones are
 * those of a copy and share pages; captures, files and segments of memories that
 * show the file; a file that somebody cuts or changes meanwhile. And snapshots of
 * a page source, whose memory has a recorded set.
 */
#define _GNU_SOURCE
#include "tests/kit/conform_module.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#define STRUCTURE_BYTES 1000
#define WPAGES 60
#define BYTES (WPAGES * WPAGE)
/* The captured instance writes what lies outside. */
#define HOLE_FIRST (20 * WPAGE)
#define HOLE_END (40 * WPAGE)

struct scene {
	struct conform conform;
	struct fl_module *module;
	struct fl_snapshot *copied;
	struct fl_snapshot *mapped;
	struct fl_error error;
	char path[64];
	uint8_t *bytes; /* of the file */
	uint64_t len;
};

static const char *can_map_files(void)
{
	return strcmp(test_rung->backend, "linux") ||
			       !strcmp(test_rung->name, "linux_bare") ?
		       TEST_NOT_BUILT "this rung maps no foreign files" :
		       NULL;
}

static void fill(struct fl_instance *instance, uint8_t value)
{
	uint8_t *base = fl_instance_memory(instance, 0)->base;

	memset(base, value, HOLE_FIRST);
	memset(base + HOLE_END, value, BYTES - HOLE_END);
	memset(fl_instance_table(instance, 0)->base, value, 80);
	memset(fl_instance_structure(instance), value, STRUCTURE_BYTES);
}

static bool is_all(const void *bytes, uint64_t len, uint8_t value)
{
	const uint8_t *at = bytes;

	return *at == value && !memcmp(at, at + 1, (size_t)len - 1);
}

static void check_plain(struct fl_instance *instance, uint8_t value)
{
	CHECK(is_all(fl_instance_table(instance, 0)->base, 80, value));
	CHECK(is_all(fl_instance_structure(instance), STRUCTURE_BYTES, value));
}

static void check_filled(struct fl_instance *instance, uint8_t value)
{
	const uint8_t *base = fl_instance_memory(instance, 0)->base;

	CHECK_EQ(fl_memory_length(fl_instance_memory(instance, 0)), BYTES);
	CHECK(is_all(base, HOLE_FIRST, value));
	CHECK(is_all(base + HOLE_FIRST, HOLE_END - HOLE_FIRST, 0));
	CHECK(is_all(base + HOLE_END, BYTES - HOLE_END, value));
	check_plain(instance, value);
}

/* ------------------------------------------------------------------- scenes */

static int try_capture(struct scene *scene, struct fl_instance *instance,
		       struct fl_snapshot **snapshot)
{
	struct fl_snapshot_config config;

	fl_snapshot_config_init(&config);
	config.plain_tables = 1;
	config.plain_structure = 1;
	return fl_instance_snapshot(&instance, 1, &config, snapshot,
				    &scene->error);
}

static struct fl_snapshot *capture(struct scene *scene,
				   struct fl_instance *instance)
{
	struct fl_snapshot *snapshot = NULL;

	CONFORM_MUST(try_capture(scene, instance, &snapshot), &scene->error);
	return snapshot;
}

static int try_take(struct scene *scene, struct fl_snapshot *snapshot,
		    struct fl_instance **instance)
{
	struct fl_instance_config config;

	fl_instance_config_init(&config);
	config.snapshot = snapshot;
	return fl_instance_acquire(scene->conform.pool, scene->module, &config,
				   instance, &scene->error);
}

static struct fl_instance *take(struct scene *scene,
				struct fl_snapshot *snapshot)
{
	struct fl_instance *instance = NULL;

	CONFORM_MUST(try_take(scene, snapshot, &instance), &scene->error);
	return instance;
}

static int try_open(struct scene *scene, uint32_t flags,
		    struct fl_snapshot **snapshot)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;

	binding.modules = &scene->module;
	binding.module_count = 1;
	binding.plain_tables = binding.plain_structure = 1;
	return fl_snapshot_open(scene->conform.context, scene->path, -1, flags,
				&binding, snapshot, &scene->error);
}

static void file_put_back(const struct scene *scene)
{
	int fd = open(scene->path, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0);
	MUST_EQ(pwrite(fd, scene->bytes, scene->len, 0), scene->len);
	close(fd);
}

/* Within what the memory has before the hole. */
static void file_cut(const struct scene *scene)
{
	MUST_EQ(truncate(scene->path, 10 * (off_t)WPAGE), 0);
}

static void file_load(struct scene *scene)
{
	int fd = open(scene->path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	MUST(fd >= 0);
	MUST_EQ(fstat(fd, &status), 0);
	scene->len = (uint64_t)status.st_size;
	scene->bytes = malloc(scene->len);
	MUST(scene->bytes != NULL);
	MUST_EQ(pread(fd, scene->bytes, scene->len, 0), scene->len);
	close(fd);
}

static void pool_open(struct scene *scene, enum fl_allocation allocation,
		      uint32_t audit_every)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_memories = 3;
	config.max_instances = 3;
	config.max_tables = 3;
	config.max_table_elements = 100;
	config.table_element_bytes = 8;
	config.instance_bytes = STRUCTURE_BYTES;
	config.audit_every = audit_every;
	config.allocation = allocation;
	conform_open(&scene->conform, &config);
}

/* An instance full of 0x21, captured, in a file that is opened both ways. */
static void scene_open_as(struct scene *scene, enum fl_allocation allocation,
			  uint32_t audit_every)
{
	struct wasm_parts parts = { 0 };
	struct fl_instance *instance;
	struct fl_snapshot *first;
	struct wasm w = { 0 };

	memset(scene, 0, sizeof(*scene));
	pool_open(scene, allocation, audit_every);
	wasm_add_table(&parts, 10, 100);
	wasm_add_memory(&parts, WPAGES);
	wasm_add_data(&parts, 3 * 65536 + 7, "of the module");
	wasm_parts_build(&parts, &w);
	scene->module = module_load(&scene->conform, &w);
	instance = instance_start(&scene->conform, scene->module);
	fill(instance, 0x21);
	first = capture(scene, instance);
	instance_stop(instance);
	strcpy(scene->path, access("/dev/shm", W_OK) ? "/tmp/fl-in-XXXXXX" :
						       "/dev/shm/fl-in-XXXXXX");
	MUST(mkdtemp(scene->path) != NULL);
	strcat(scene->path, "/snapshot");
	CONFORM_MUST(fl_snapshot_write(first, scene->path, &scene->error),
		     &scene->error);
	fl_snapshot_release(first);
	file_load(scene);
	CONFORM_MUST(try_open(scene, 0, &scene->copied), &scene->error);
	if (!can_map_files())
		CONFORM_MUST(try_open(scene, FL_OPEN_IN_PLACE, &scene->mapped),
			     &scene->error);
}

static void scene_open(struct scene *scene)
{
	scene_open_as(scene, FL_ALLOCATION_POOLING, 1);
}

static void scene_close(struct scene *scene)
{
	fl_snapshot_release(scene->mapped);
	fl_snapshot_release(scene->copied);
	check_nothing_held(&scene->conform);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
	free(scene->bytes);
	(void)unlink(scene->path);
	*strrchr(scene->path, '/') = '\0';
	CHECK_EQ(rmdir(scene->path), 0);
}

/* ------------------------------------------------------------------- clones */

static void in_place_or_not(void)
{
	struct fl_snapshot *snapshot = NULL;
	struct scene scene;

	scene_open(&scene);
	if (can_map_files())
		CHECK_EQ(try_open(&scene, FL_OPEN_IN_PLACE, &snapshot),
			 -ENOTSUP);
	CHECK_EQ(try_open(&scene, 2, &snapshot), -EINVAL);
	CHECK(snapshot == NULL);
	scene_close(&scene);
}

static void play_clones(enum fl_allocation allocation)
{
	struct fl_instance *copied, *mapped;
	struct scene scene;

	scene_open_as(&scene, allocation, 1);
	for (int i = 0; i < 12 && !test_has_failed(); i++) {
		copied = take(&scene, scene.copied);
		mapped = take(&scene, scene.mapped);
		check_filled(copied, 0x21);
		check_filled(mapped, 0x21);
		fill(mapped, 0x99);
		fl_instance_memory(mapped, 0)->base[HOLE_FIRST + 5] = 1;
		if (i % 3 == 2)
			CHECK_EQ(fl_memory_grow(fl_instance_memory(mapped, 0),
						1, NULL),
				 0);
		/* A neighbour sees nothing of it. */
		check_filled(copied, 0x21);
		instance_stop(mapped);
		instance_stop(copied);
	}
	CHECK_EQ(conform_info(&scene.conform).audit_failures, 0);
	scene_close(&scene);
}

static void clones_equal_those_of_a_copy(void)
{
	play_clones(FL_ALLOCATION_POOLING);
}

static void clones_on_demand(void)
{
	play_clones(FL_ALLOCATION_ON_DEMAND);
}

static const char *counts_pages(void)
{
	return can_map_files() ? can_map_files() :
	       strcmp(test_rung->how, "track") &&
			       strcmp(test_rung->how, "scan") ?
				 TEST_NOT_BUILT "the rung cannot count pages" :
				 NULL;
}

/* What guests only read is the page cache's, in each of them. */
static void pages_are_shared(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	uint64_t data = BYTES - (HOLE_END - HOLE_FIRST);
	struct fl_instance *one, *two;
	struct scene scene;

	scene_open_as(&scene, FL_ALLOCATION_POOLING, 0);
	/* The captured instance's pages. */
	CHECK_EQ(fl_pool_trim(scene.conform.pool, UINT64_MAX, NULL), 0);
	one = take(&scene, scene.mapped);
	two = take(&scene, scene.mapped);
	check_filled(one, 0x21);
	check_filled(two, 0x21);
	CHECK_EQ(fl_pool_usage(scene.conform.pool, &usage, NULL), 0);
	CHECK(usage.shared_bytes >= 2 * data);
	/* Tables and structures, and no page of a memory. */
	CHECK(usage.private_bytes < WPAGE);
	test_note("%ju shared and %ju private bytes",
		  (uintmax_t)usage.shared_bytes,
		  (uintmax_t)usage.private_bytes);
	instance_stop(one);
	instance_stop(two);
	scene_close(&scene);
}

/* ------------------------------------------------------ captures of such clones */

static void digest_of(struct scene *scene, struct fl_snapshot *snapshot,
		      uint8_t *digest)
{
	CONFORM_MUST(fl_snapshot_digest(snapshot, digest, &scene->error),
		     &scene->error);
}

/* A capture holds what was written and what was not, and needs no file. */
static void play_capture(enum fl_allocation allocation)
{
	struct fl_snapshot *untouched, *changed;
	struct fl_instance *instance;
	uint8_t digests[2][32];
	struct scene scene;
	uint8_t *base;

	scene_open_as(&scene, allocation, 1);
	instance = take(&scene, scene.mapped);
	untouched = capture(&scene, instance);
	base = fl_instance_memory(instance, 0)->base;
	memset(base + 3 * WPAGE, 0, WPAGE);
	base[50 * WPAGE + 77] = 0x44;
	base[HOLE_FIRST + 9] = 0x45;
	changed = capture(&scene, instance);
	instance_stop(instance);
	fl_snapshot_release(scene.mapped);
	scene.mapped = NULL;
	file_cut(&scene);
	digest_of(&scene, scene.copied, digests[0]);
	digest_of(&scene, untouched, digests[1]);
	CHECK(!memcmp(digests[0], digests[1], 32));
	instance = take(&scene, changed);
	base = fl_instance_memory(instance, 0)->base;
	CHECK(is_all(base + 3 * WPAGE, WPAGE, 0));
	CHECK_EQ(base[50 * WPAGE + 77], 0x44);
	CHECK_EQ(base[HOLE_FIRST + 9], 0x45);
	memset(base + 3 * WPAGE, 0x21, WPAGE);
	base[50 * WPAGE + 77] = 0x21;
	base[HOLE_FIRST + 9] = 0;
	check_filled(instance, 0x21);
	instance_stop(instance);
	fl_snapshot_release(untouched);
	fl_snapshot_release(changed);
	scene_close(&scene);
}

static void a_capture_needs_no_file(void)
{
	play_capture(FL_ALLOCATION_POOLING);
	play_capture(FL_ALLOCATION_ON_DEMAND);
}

/* The file of a snapshot in place is its file, byte for byte. */
static void written_again_it_is_the_same(void)
{
	struct scene scene;
	char path[80];
	struct bytes {
		uint8_t *bytes;
		uint64_t len;
	} before;

	scene_open(&scene);
	before = (struct bytes){ scene.bytes, scene.len };
	strcpy(path, scene.path);
	strcat(path, "2");
	CONFORM_MUST(fl_snapshot_write(scene.mapped, path, &scene.error),
		     &scene.error);
	MUST_EQ(rename(path, scene.path), 0);
	file_load(&scene);
	CHECK_EQ(scene.len, before.len);
	CHECK(scene.len == before.len &&
	      !memcmp(scene.bytes, before.bytes, scene.len));
	free(before.bytes);
	scene_close(&scene);
}

/* ------------------------------------------------------------- a file that is cut */

static void check_lost(struct scene *scene, struct fl_instance *instance)
{
	struct fl_snapshot *snapshot = NULL;
	struct fl_instance *none = NULL;
	struct fl_image *image = NULL;
	char path[80];

	strcpy(path, scene->path);
	strcat(path, "2");
	CHECK_EQ(try_capture(scene, instance, &snapshot), -EIO);
	CHECK(strstr(scene->error.text, "was cut"));
	CHECK_EQ(fl_image_from_memory(fl_instance_memory(instance, 0), NULL,
				      &image, &scene->error),
		 -EIO);
	CHECK(snapshot == NULL && image == NULL);
	CHECK_EQ(fl_snapshot_write(scene->mapped, path, &scene->error), -EIO);
	CHECK(access(path, F_OK) != 0);
	CHECK_EQ(try_take(scene, scene->mapped, &none), -EIO);
	CHECK(none == NULL);
}

static int lose_the_file(void *arg)
{
	const enum fl_allocation *allocation = arg;
	bool is_pooling = *allocation == FL_ALLOCATION_POOLING;
	struct fl_instance *instance;
	struct scene scene;

	for (int tenants = 0; tenants < 4; tenants++) {
		scene_open_as(&scene, *allocation, 0);
		for (int i = 0; i < tenants; i++) {
			instance = take(&scene, scene.mapped);
			fill(instance, (uint8_t)i);
			instance_stop(instance);
		}
		instance = take(&scene, scene.mapped);
		memset(fl_instance_memory(instance, 0)->base, 0x99, BYTES / 2);
		file_cut(&scene);
		check_lost(&scene, instance);
		/* What is the library's and the host's is there. */
		check_plain(instance, 0x21);
		CHECK_EQ(fl_instance_release(instance), is_pooling ? -EIO : 0);
		file_put_back(&scene);
		instance = take(&scene, scene.mapped);
		check_filled(instance, 0x21);
		instance_stop(instance);
		scene_close(&scene);
	}
	return test_has_failed();
}

/* Without a handler, a signal would end the child. */
static void check_child(int (*fn)(void *arg), void *arg)
{
	struct test_end end = test_fork(fn, arg, 60);

	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
}

static void the_file_is_cut(void)
{
	enum fl_allocation allocation = FL_ALLOCATION_POOLING;

	check_child(lose_the_file, &allocation);
	allocation = FL_ALLOCATION_ON_DEMAND;
	check_child(lose_the_file, &allocation);
}

struct vandal {
	struct scene *scene;
	void (*act)(const struct scene *scene);
	useconds_t whole_us; /* the file stays good so long */
	uint32_t stop; /* atomic */
};

static void *vandalise(void *arg)
{
	struct vandal *vandal = arg;

	while (!__atomic_load_n(&vandal->stop, __ATOMIC_RELAXED)) {
		vandal->act(vandal->scene);
		usleep(100);
		file_put_back(vandal->scene);
		usleep(vandal->whole_us);
	}
	return NULL;
}

/* Nothing here touches the memory but the library. */
static int capture_beside_cuts(void *arg)
{
	struct fl_instance *instance;
	struct vandal vandal = { .act = file_cut, .whole_us = 2000 };
	struct scene scene;
	pthread_t thread;
	int counts[2] = { 0, 0 };

	(void)arg;
	scene_open_as(&scene, FL_ALLOCATION_POOLING, 0);
	vandal.scene = &scene;
	MUST_EQ(pthread_create(&thread, NULL, vandalise, &vandal), 0);
	for (int i = 0;
	     i < 20000 && counts[0] + counts[1] < 200 && !test_has_failed();
	     i++) {
		struct fl_snapshot *snapshot = NULL;
		int err = try_take(&scene, scene.mapped, &instance);

		CHECK(!err || err == -EIO);
		if (err) {
			usleep(50);
			continue;
		}
		(void)fl_memory_prefault(fl_instance_memory(instance, 0),
					 WPAGE * (uint64_t)(i % WPAGES), WPAGE);
		err = try_capture(&scene, instance, &snapshot);
		CHECK(!err || err == -EIO);
		counts[err != 0]++;
		fl_snapshot_release(snapshot);
		err = fl_instance_release(instance);
		CHECK(!err || err == -EIO);
	}
	__atomic_store_n(&vandal.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	test_note("%d captures, %d met a file that was cut", counts[0],
		  counts[1]);
	scene_close(&scene);
	return test_has_failed();
}

static void cut_at_any_moment_of_a_capture(void)
{
	check_child(capture_beside_cuts, NULL);
}

/* A side module's data in a memory that shows the file. */
static int apply_to_the_cut(void *arg)
{
	struct fl_memory *memory;
	enum fl_trap trap;
	struct scene scene;

	(void)arg;
	scene_open(&scene);
	memory = conform_take(&scene.conform,
			      fl_snapshot_image(scene.mapped, 0, 0), 0);
	CHECK_EQ(fl_memory_apply_segments(memory, scene.module, 0, NULL, &trap,
					  &scene.error),
		 0);
	CHECK_EQ(trap, FL_TRAP_NONE);
	check_text(memory, 3 * WPAGE + 7, "of the module");
	MUST_EQ(truncate(scene.path, (off_t)WPAGE), 0);
	CHECK_EQ(fl_memory_apply_segments(memory, scene.module, 0, NULL, &trap,
					  &scene.error),
		 -EIO);
	CHECK_EQ(trap, FL_TRAP_NONE);
	CHECK_EQ(fl_memory_release(memory), -EIO);
	scene_close(&scene);
	return test_has_failed();
}

static void segments_meet_a_cut_file(void)
{
	check_child(apply_to_the_cut, NULL);
}

/* -------------------------------------------------------- a file that is changed */

static void file_spoil(const struct scene *scene)
{
	int fd = open(scene->path, O_WRONLY | O_CLOEXEC);
	uint8_t *bytes = malloc(scene->len);

	MUST(fd >= 0 && bytes);
	memset(bytes, 0xee, scene->len);
	MUST_EQ(pwrite(fd, bytes, scene->len, 0), scene->len);
	free(bytes);
	close(fd);
}

/* Who writes the file reaches guest memory, and nothing else. */
static void tables_and_structures_are_copied(void)
{
	struct fl_instance *instance;
	struct scene scene;

	scene_open_as(&scene, FL_ALLOCATION_POOLING, 0);
	file_spoil(&scene);
	for (int i = 0; i < 3; i++) {
		instance = take(&scene, scene.mapped);
		CHECK_EQ(fl_instance_memory(instance, 0)->base[0], 0xee);
		check_plain(instance, 0x21);
		fill(instance, 0x99);
		instance_stop(instance);
		instance = take(&scene, scene.copied);
		check_filled(instance, 0x21);
		instance_stop(instance);
	}
	scene_close(&scene);
}

static void tables_and_structures_refuse_such_images(void)
{
	struct fl_snapshot *looked = NULL;
	struct fl_instance *instance = NULL;
	struct fl_instance_config config;
	struct fl_table_config table;
	struct fl_table *none = NULL;
	struct fl_image *image;
	struct scene scene;

	scene_open(&scene);
	CONFORM_MUST(fl_snapshot_open(scene.conform.context, scene.path, -1,
				      FL_OPEN_IN_PLACE, NULL, &looked,
				      &scene.error),
		     &scene.error);
	image = fl_snapshot_image(looked, 0, 1);
	fl_table_config_init(&table);
	table.element_bytes = 8;
	table.initial_elements = 10;
	table.image = image;
	CHECK_EQ(fl_table_acquire(scene.conform.pool, &table, &none,
				  &scene.error),
		 -ENOTSUP);
	fl_instance_config_init(&config);
	config.table_images = &image;
	config.table_image_count = 1;
	CHECK_EQ(fl_instance_acquire(scene.conform.pool, scene.module, &config,
				     &instance, &scene.error),
		 -ENOTSUP);
	config.table_images = NULL;
	config.table_image_count = 0;
	config.structure_image = fl_snapshot_image(looked, 0, 2);
	CHECK_EQ(fl_instance_acquire(scene.conform.pool, scene.module, &config,
				     &instance, &scene.error),
		 -ENOTSUP);
	CHECK(none == NULL && instance == NULL);
	fl_snapshot_release(looked);
	scene_close(&scene);
}

/* A file is written whole with what its hashes say, or not at all. */
static void changed_while_it_is_written_again(void)
{
	struct fl_snapshot *opened = NULL;
	struct vandal vandal = { .act = file_spoil, .whole_us = 20000 };
	int counts[2] = { 0, 0 };
	struct scene scene;
	pthread_t thread;
	char path[80];

	scene_open_as(&scene, FL_ALLOCATION_POOLING, 0);
	strcpy(path, scene.path);
	strcat(path, "2");
	vandal.scene = &scene;
	MUST_EQ(pthread_create(&thread, NULL, vandalise, &vandal), 0);
	for (int i = 0; i < 40 && !test_has_failed(); i++) {
		int err = fl_snapshot_write(scene.mapped, path, &scene.error);

		CHECK(!err || err == -EIO);
		counts[err != 0]++;
		if (err)
			continue;
		CONFORM_OK(fl_snapshot_open(scene.conform.context, path, -1, 0,
					    NULL, &opened, &scene.error),
			   &scene.error);
		fl_snapshot_release(opened);
		opened = NULL;
	}
	__atomic_store_n(&vandal.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	test_note("%d files, %d errors", counts[0], counts[1]);
	(void)unlink(path);
	scene_close(&scene);
}

/* ------------------------------------------------------------- recorded sets */

static struct fl_snapshot *open_by(struct scene *scene, enum fl_load_way way,
				   const char *set_path)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct fl_load_config config = FL_LOAD_CONFIG_INIT;
	struct fl_snapshot *snapshot = NULL;
	struct fl_page_source *source;

	binding.modules = &scene->module;
	binding.module_count = 1;
	binding.plain_tables = binding.plain_structure = 1;
	config.way = way;
	if (way == FL_LOAD_IN_PLACE)
		config.open_flags = FL_OPEN_IN_PLACE | FL_OPEN_UNCHECKED;
	config.working_set_path = set_path;
	CONFORM_MUST(fl_page_source_from_file(scene->path, -1, &source,
					      &scene->error),
		     &scene->error);
	CONFORM_MUST(fl_snapshot_open_source(scene->conform.context, source,
					     &config, &binding, &snapshot,
					     &scene->error),
		     &scene->error);
	fl_page_source_release(source);
	return snapshot;
}

static struct fl_image_loading memory_loading(struct fl_snapshot *snapshot)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };

	fl_image_loading(fl_snapshot_image(snapshot, 0, 0), &loading);
	return loading;
}

/* A clone looks at two pages; what it touched is written to set_path. False:
 * nothing tells on this rung. */
static bool set_record(struct scene *scene, enum fl_load_way way,
		       const char *set_path)
{
	struct fl_snapshot *snapshot = open_by(scene, way, NULL);
	struct fl_image *image = fl_snapshot_image(snapshot, 0, 0);
	struct fl_instance *clone = take(scene, snapshot);
	const uint8_t *base = fl_instance_memory(clone, 0)->base;
	bool is_told;

	CHECK_EQ(base[WPAGE] + base[45 * WPAGE], 2 * 0x21);
	instance_stop(clone);
	is_told = memory_loading(snapshot).recorded_tenants;
	CONFORM_MUST(fl_image_write_working_set(image, set_path, &scene->error),
		     &scene->error);
	CHECK_EQ(fl_pool_purge(scene->conform.pool, NULL, image, NULL), 0);
	fl_snapshot_release(snapshot);
	return is_told;
}

static void set_is_used(struct scene *scene, enum fl_load_way way,
			const char *set_path)
{
	struct fl_snapshot *snapshot = open_by(scene, way, set_path);
	struct fl_instance *clone = take(scene, snapshot);

	for (int i = 0;
	     i < 20000 && memory_loading(snapshot).foreseen_wpages < 2; i++)
		usleep(1000);
	CHECK(memory_loading(snapshot).foreseen_wpages >= 2);
	check_filled(clone, 0x21);
	instance_stop(clone);
	CHECK_EQ(fl_pool_purge(scene->conform.pool, NULL,
			       fl_snapshot_image(snapshot, 0, 0), NULL),
		 0);
	fl_snapshot_release(snapshot);
}

static void a_recorded_set_comes_ahead(void)
{
	static const enum fl_load_way load_ways[] = { FL_LOAD_IN_PLACE,
						      FL_LOAD_LAZY };
	struct scene scene;
	char set_path[80];

	scene_open(&scene);
	snprintf(set_path, sizeof(set_path), "%s.set", scene.path);
	for (int i = 0; i < (conform_needs_lazy() ? 1 : 2); i++)
		if (set_record(&scene, load_ways[i], set_path))
			set_is_used(&scene, load_ways[i], set_path);
	(void)unlink(set_path);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(in_place_or_not),
	TEST_CASE_NEEDS(clones_equal_those_of_a_copy, can_map_files),
	TEST_CASE_NEEDS(clones_on_demand, can_map_files),
	TEST_CASE_NEEDS(pages_are_shared, counts_pages),
	TEST_CASE_NEEDS(a_capture_needs_no_file, can_map_files),
	TEST_CASE_NEEDS(written_again_it_is_the_same, can_map_files),
	TEST_CASE_NEEDS(the_file_is_cut, can_map_files),
	TEST_CASE_NEEDS(cut_at_any_moment_of_a_capture, can_map_files),
	TEST_CASE_NEEDS(segments_meet_a_cut_file, can_map_files),
	TEST_CASE_NEEDS(tables_and_structures_are_copied, can_map_files),
	TEST_CASE_NEEDS(tables_and_structures_refuse_such_images,
			can_map_files),
	TEST_CASE_NEEDS(changed_while_it_is_written_again, can_map_files),
	TEST_CASE_NEEDS(a_recorded_set_comes_ahead, can_map_files),
};

CONFORM_MAIN(cases)
