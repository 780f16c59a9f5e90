/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* listed_sessions.c - what calls for snapshots, deltas and packers answer to what they
 * are given. */
#define _GNU_SOURCE
#include "listed.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Where bytes of a delta say by which version they are. */
#define DELTA_FORMAT_OFF 3

/* ----------------------------------------------------------------- snapshots */

void of_snapshots(void)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct scene all, *scene = &all;
	struct fl_snapshot *snapshot;

	scene_open(scene, 1);
	ROW(-EINVAL, fl_instance_snapshot(NULL, 0, &scene->capture, &snapshot,
					  &listed_error));
	ROW(-EINVAL, fl_snapshot_create(&parts, &snapshot, &listed_error));
	ROW(-EINVAL, fl_snapshot_differences(scene->snapshot, scene->parts,
					     scene->parts_delta, NULL, NULL,
					     &listed_error));
	CHECK_EQ(fl_memory_lend(fl_instance_memory(scene->instance, 0)), 0);
	ROW(-ENOTSUP, fl_instance_snapshot(&scene->instance, 1, &scene->capture,
					   &snapshot, &listed_error));
	scene_close(scene);
}

/* -------------------------------------------------------------------- deltas */

static void of_deltas_of_instances(struct scene *scene)
{
	struct fl_delta_config config = FL_DELTA_CONFIG_INIT;
	struct fl_instance **instances = &scene->instance;
	struct fl_delta *delta;
	uint8_t buffer[1];

	ROW(-EINVAL,
	    fl_instance_delta(instances, 1, &config, &delta, &listed_error));
	ROW(-EINVAL,
	    fl_instance_suspend(instances, 1, &config, &delta, &listed_error));
	config.snapshot = scene->snapshot;
	config.capture = &scene->capture;
	config.buffer = buffer;
	config.buffer_bytes = sizeof(buffer);
	ROW(-E2BIG,
	    fl_instance_delta(instances, 1, &config, &delta, &listed_error));
	ROW(-E2BIG,
	    fl_instance_suspend(instances, 1, &config, &delta, &listed_error));
	CHECK_EQ(fl_memory_lend(fl_instance_memory(scene->instance, 0)), 0);
	ROW(-ENOTSUP,
	    fl_instance_delta(instances, 1, &config, &delta, &listed_error));
	ROW(-ENOTSUP,
	    fl_instance_suspend(instances, 1, &config, &delta, &listed_error));
}

static void of_deltas_of_memories(struct scene *scene)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_delta *delta;
	uint8_t buffer[1];

	ROW(-EINVAL, fl_memory_delta(&parts, &delta, &listed_error));
	ROW(-EINVAL, fl_memory_suspend(&parts, &delta, &listed_error));
	parts.snapshot = scene->parts;
	parts.memories = &scene->memory;
	parts.memory_count = 1;
	parts.buffer = buffer;
	parts.buffer_bytes = sizeof(buffer);
	ROW(-E2BIG, fl_memory_delta(&parts, &delta, &listed_error));
	ROW(-E2BIG, fl_memory_suspend(&parts, &delta, &listed_error));
	CHECK_EQ(fl_memory_lend(scene->memory), 0);
	ROW(-ENOTSUP, fl_memory_delta(&parts, &delta, &listed_error));
	ROW(-ENOTSUP, fl_memory_suspend(&parts, &delta, &listed_error));
}

static void of_restores(struct scene *scene)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_memory *memory;

	ROW(-EINVAL, fl_delta_restore_memory(scene->parts_delta, 0,
					     scene->memory, &listed_error));
	config.image = scene->image;
	config.max_bytes = 2 * WPAGE;
	memory = conform_acquire(&scene->conform, &config);
	ROW(-E2BIG, fl_delta_restore_memory(scene->parts_delta, 0, memory,
					    &listed_error));
	conform_give(memory);
}

/* What a snapshot without a binding cannot give. */
static void of_what_was_looked_at(struct scene *scene)
{
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	struct fl_snapshot *snapshot;
	struct fl_delta *delta;
	uint64_t len;

	CONFORM_MUST(fl_snapshot_open(scene->conform.context,
				      scene->snapshot_path, -1, 0, NULL,
				      &snapshot, &listed_error),
		     &listed_error);
	config.snapshot = snapshot;
	ROW(-ENOTSUP,
	    fl_instance_reset(scene->instance, &config, &listed_error));
	(void)fl_delta_bytes(scene->delta, &len);
	CONFORM_MUST(fl_delta_open(snapshot, fl_delta_bytes(scene->delta, &len),
				   len, FL_BYTES_COPY, NULL, &delta,
				   &listed_error),
		     &listed_error);
	ROW(-ENOTSUP,
	    fl_delta_restore_memory(delta, 0, scene->memory, &listed_error));
	fl_delta_release(delta);
	fl_snapshot_release(snapshot);
}

void of_deltas(void)
{
	static const uint8_t tag[32] = { 1 };
	struct scene all, *scene = &all;
	struct fl_delta *delta;
	uint8_t bytes[4096];
	uint64_t len;

	scene_open(scene, 4);
	(void)fl_delta_bytes(scene->delta, &len);
	MUST(len <= sizeof(bytes));
	memcpy(bytes, fl_delta_bytes(scene->delta, &len), len);
	ROW(-EINVAL, fl_delta_open(scene->snapshot, bytes, len, FL_BYTES_COPY,
				   tag, &delta, &listed_error));
	bytes[DELTA_FORMAT_OFF]++;
	ROW(-ENOTSUP, fl_delta_open(scene->snapshot, bytes, len, FL_BYTES_COPY,
				    NULL, &delta, &listed_error));
	len = 0;
	ROW(-E2BIG, fl_delta_read_state(scene->delta, 0, bytes, &len));
	ROW(-EINVAL, fl_delta_read_state(scene->delta, 9, NULL, &len));
	of_restores(scene);
	of_what_was_looked_at(scene);
	of_deltas_of_instances(scene);
	of_deltas_of_memories(scene);
	scene_close(scene);
}

/* ------------------------------------------------------------------- packers */

static void of_packed_bytes(struct scene *scene, struct fl_packer *packer,
			    struct fl_packer *narrow)
{
	static const uint8_t tag[32] = { 1 };
	struct fl_packed_info info = FL_SIZED(info);
	uint8_t bytes[4096];
	uint64_t len = sizeof(bytes), small = 1;
	struct fl_delta *delta;

	ROW(-EINVAL, fl_delta_pack(packer, scene->parts_delta, bytes, &len,
				   &listed_error));
	ROW(-E2BIG,
	    fl_delta_pack(packer, scene->delta, bytes, &small, &listed_error));
	MUST_EQ(fl_delta_pack(packer, scene->delta, bytes, &len, NULL), 0);
	ROW(-EINVAL,
	    fl_delta_unpack(packer, bytes, len, tag, &delta, &listed_error));
	ROW(-E2BIG,
	    fl_delta_unpack(narrow, bytes, len, NULL, &delta, &listed_error));
	bytes[3]++;
	ROW(-ENOTSUP,
	    fl_delta_unpack(packer, bytes, len, NULL, &delta, &listed_error));
	ROW(-ENOTSUP, fl_packed_info(bytes, len, &info, &listed_error));
	bytes[0]++;
	ROW(-ENOEXEC,
	    fl_delta_unpack(packer, bytes, len, NULL, &delta, &listed_error));
}

/* One delta of 512 KiB, more than two thousand times. */
static void of_training(struct scene *scene)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_memory *memory = scene->memory;
	struct fl_delta *deltas[2100], *delta;
	uint8_t dictionary[2048];
	uint64_t len = sizeof(dictionary);

	ROW(-EINVAL, fl_packer_train(NULL, 0, dictionary, &len, &listed_error));
	CHECK_EQ(fl_memory_grow(memory, 5, NULL), 0);
	for (uint64_t i = 0; i < 8 * WPAGE; i++)
		memory->base[i] = (uint8_t)(i * 7 + 1);
	parts.snapshot = scene->parts;
	parts.memories = &memory;
	parts.memory_count = 1;
	MUST_EQ(fl_memory_delta(&parts, &delta, NULL), 0);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(deltas); i++)
		deltas[i] = delta;
	ROW(-E2BIG, fl_packer_train(deltas, TEST_ARRAY_SIZE(deltas), dictionary,
				    &len, &listed_error));
	fl_delta_release(delta);
}

#define DICTIONARY_BYTES (64 * MIB)

/* What zstd copies, and has no memory for. */
static int child_lacks_memory(void *arg)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct rlimit limit = { 0, 0 };
	struct fl_packer *packer;
	unsigned long pages = 0;
	void *dictionary = calloc(1, DICTIONARY_BYTES);
	FILE *statm = fopen("/proc/self/statm", "r");

	MUST(dictionary && statm && fscanf(statm, "%lu", &pages) == 1);
	fclose(statm);
	limit.rlim_cur = limit.rlim_max = pages * conform_hpage() + 4 * MIB;
	MUST_EQ(setrlimit(RLIMIT_AS, &limit), 0);
	config.snapshot = arg;
	config.dictionary = dictionary;
	config.dictionary_bytes = DICTIONARY_BYTES;
	ROW(-ENOMEM, fl_packer_create(&config, &packer, &listed_error));
	free(dictionary);
	return 0;
}

static void of_dictionaries(struct scene *scene)
{
	static const uint8_t damaged[1024] = { 0x37, 0xa4, 0x30, 0xec, 1 };
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct fl_packer *packer;

	config.snapshot = scene->snapshot;
	config.dictionary = damaged;
	config.dictionary_bytes = sizeof(damaged);
	ROW(-EINVAL, fl_packer_create(&config, &packer, &listed_error));
	if (!conform_malloc_fails())
		conform_check_child(child_lacks_memory, scene->snapshot);
}

void of_packers(void)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct fl_packer *packer, *narrow;
	struct scene all, *scene = &all;

	if (test_needs_zstd())
		return;
	scene_open(scene, 1);
	ROW(-EINVAL, fl_packer_create(&config, &packer, &listed_error));
	config.snapshot = scene->snapshot;
	MUST_EQ(fl_packer_create(&config, &packer, NULL), 0);
	config.max_delta_bytes = 10;
	MUST_EQ(fl_packer_create(&config, &narrow, NULL), 0);
	of_packed_bytes(scene, packer, narrow);
	of_training(scene);
	of_dictionaries(scene);
	fl_packer_destroy(narrow);
	fl_packer_destroy(packer);
	scene_close(scene);
}
