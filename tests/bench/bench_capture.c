/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_capture.c - what does capturing an instance cost?
 *
 * A memory shows an image, a guest has written some of its pages, and the whole
 * is captured: a new image in a sealed memory file. Beside it runs the least
 * that any capture has to do: the same non-zero bytes, known in advance, are
 * written into a memory file by one call for each run, and the file is sealed.
 * Both end what they made.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "bench.h"

#include <faultline.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	IMAGE_WPAGES,
	WRITES,
	SIZE_WPAGES,
	N_PARAMS,
};

static const struct bench_param params[N_PARAMS] = {
	[IMAGE_WPAGES] = { "image-wpages", BENCH_NUMBER, "32", NULL,
			   "size of the image in 64 KiB pages" },
	[WRITES] = { "writes", BENCH_NUMBER, "64", NULL,
		     "host pages written before the capture" },
	[SIZE_WPAGES] = { "size-wpages", BENCH_NUMBER, "64", NULL,
			  "size of the memory in 64 KiB pages" },
};

struct lane {
	const struct bench_case *c;
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_image *image;
	struct fl_memory *memory;
	struct fl_image *captured; /* what capture_take() made */
	struct fl_image *runs; /* of which the floor writes the runs */
};

static void lane_teardown(void *state)
{
	struct lane *lane = state;

	fl_image_release(lane->captured);
	fl_image_release(lane->runs);
	if (lane->memory)
		(void)fl_memory_release(lane->memory);
	fl_pool_destroy(lane->pool);
	fl_image_release(lane->image);
	fl_context_destroy(lane->context);
	free(lane);
}

/* A memory that a guest has written to, and its content as an image. */
static int lane_fill(struct lane *lane)
{
	const struct bench_case *c = lane->c;
	struct fl_segment segment = {
		.bytes = c->image,
		.length_bytes = c->image_bytes,
	};
	struct fl_memory_config config;
	int err;

	err = fl_image_from_segments(lane->context, c->image_bytes, &segment, 1,
				     &lane->image, NULL);
	if (err)
		return err;
	fl_memory_config_init(&config);
	config.image = lane->image;
	config.initial_bytes = c->values[SIZE_WPAGES] * BENCH_WPAGE_BYTES;
	err = fl_memory_acquire(lane->pool, &config, &lane->memory, NULL);
	if (err)
		return err;
	for (size_t i = 0; i < c->n_writes; i++)
		lane->memory->base[c->write_idx[i] * c->hpage_bytes] ^= 1;
	return fl_image_from_memory(lane->memory, NULL, &lane->runs, NULL);
}

static int lane_setup(const struct bench_case *c,
		      const struct bench_guest *guest, void **state)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	struct fl_pool_config config;
	int err;

	(void)guest;
	if (!lane)
		return -ENOMEM;
	lane->c = c;
	fl_pool_config_init(&config);
	config.max_memories = config.max_instances = 1;
	err = fl_context_create(NULL, &lane->context, NULL);
	if (!err)
		err = fl_pool_create(lane->context, &config, &lane->pool, NULL);
	if (!err)
		err = lane_fill(lane);
	if (err)
		lane_teardown(lane);
	else
		*state = lane;
	return err;
}

static void lane_describe(void *state, char *text, size_t size)
{
	struct lane *lane = state;

	snprintf(text, size, "%s/%s", fl_context_backend(lane->context),
		 fl_context_rung(lane->context, NULL));
}

static int capture_take(void *state, uint8_t **base)
{
	struct lane *lane = state;

	*base = NULL;
	return fl_image_from_memory(lane->memory, NULL, &lane->captured, NULL);
}

static int capture_give(void *state)
{
	struct lane *lane = state;

	fl_image_release(lane->captured);
	lane->captured = NULL;
	return 0;
}

static int write_all(int fd, const uint8_t *from, uint64_t len, uint64_t off)
{
	while (len) {
		ssize_t count = pwrite(fd, from, len, (off_t)off);

		if (count <= 0)
			return count ? -errno : -EIO;
		from += count;
		off += (uint64_t)count;
		len -= (uint64_t)count;
	}
	return 0;
}

static int floor_take(void *state, uint8_t **base)
{
	struct lane *lane = state;
	struct fl_image_run run;
	int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err = fd < 0 ? -errno : 0;

	*base = NULL;
	for (uint64_t at = 0; !err && fl_image_next_run(lane->runs, at, &run);
	     at = run.offset_bytes + run.length_bytes)
		err = write_all(fd, lane->memory->base + run.offset_bytes,
				run.length_bytes, run.offset_bytes);
	if (!err &&
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static int floor_give(void *state)
{
	(void)state;
	return 0;
}

#define ROW(row_name, row_note, kind)                                    \
	{                                                                \
		.name = row_name, .note = row_note, .setup = lane_setup, \
		.take = kind##_take, .give = kind##_give,                \
		.teardown = lane_teardown, .describe = lane_describe,    \
	}

static const struct bench_competitor row_capture =
	ROW("faultline-capture", "the memory as an image", capture);
static const struct bench_competitor row_floor = ROW(
	"memfd-floor", "its non-zero bytes into a sealed memory file", floor);

static const struct bench_competitor *const own[] = { &row_capture, NULL };
static const struct bench_competitor *const rivals[] = { &row_floor, NULL };

static void workload(uint64_t *values, struct bench_workload *w)
{
	if (values[SIZE_WPAGES] < values[IMAGE_WPAGES])
		values[SIZE_WPAGES] = values[IMAGE_WPAGES];
	*w = (struct bench_workload){
		.image_wpages = values[IMAGE_WPAGES],
		.writes = values[WRITES],
	};
}

static int op(struct bench_lane *lane)
{
	const struct bench_competitor *k = lane->competitor;
	int err = k->take(lane->state, &lane->base);

	return err ? err : k->give(lane->state);
}

/* The capture is the memory, byte for byte. */
static int verify(struct bench_lane *bench, char *why, size_t why_size)
{
	struct lane *lane = bench->state;
	uint8_t *copy = malloc(lane->memory->length_bytes);
	int err = copy ? fl_image_read(lane->runs, 0, copy,
				       lane->memory->length_bytes) :
			 -ENOMEM;

	if (!err &&
	    memcmp(copy, lane->memory->base, lane->memory->length_bytes)) {
		snprintf(why, why_size, "VERIFY: the capture differs");
		err = -EILSEQ;
	}
	free(copy);
	return err;
}

static const struct bench_program program = {
	.name = "capture",
	.question = "the content of a memory becomes an image",
	.params = params,
	.n_params = N_PARAMS,
	.own = own,
	.rivals = rivals,
	.workload = workload,
	.op = op,
	.verify = verify,
};

int main(int argc, char **argv)
{
	return bench_main(&program, argc, argv);
}
