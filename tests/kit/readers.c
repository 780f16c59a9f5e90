/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* readers.c - see readers.h. */
#include "readers.h"

#include "check.h"

#include <string.h>

#define HPAGE ((uint64_t)4096)
#define HPAGES_PER_WPAGE 16

/* Primes, so that no number of host pages that is not theirs has one as a factor. */
static const uint64_t strides[TEST_READERS] = { 1, 7, 31, 1009, 17, 1 };

static void *read_all(void *arg)
{
	struct test_reader *reader = arg;
	uint64_t at = 0;

	for (uint64_t i = 0; i < reader->hpages; i++, at += reader->stride) {
		uint64_t off = at % reader->hpages * HPAGE;

		reader->wrong += memcmp(reader->memory->base + off,
					reader->bytes + off, HPAGE) != 0;
	}
	return NULL;
}

static struct fl_memory *take(struct fl_pool *pool, struct fl_image *image)
{
	struct fl_memory_config config;
	struct fl_memory *memory = NULL;

	fl_memory_config_init(&config);
	config.image = image;
	MUST_EQ(fl_memory_acquire(pool, &config, &memory, NULL), 0);
	return memory;
}

void test_readers_start(struct test_readers *readers, struct fl_pool *pool,
			struct fl_image *image, const uint8_t *bytes,
			uint64_t wpages)
{
	for (int i = 0; i < TEST_READERS; i++)
		readers->readers[i] = (struct test_reader){
			.memory = take(pool, image),
			.bytes = bytes,
			.hpages = wpages * HPAGES_PER_WPAGE,
			.stride = strides[i],
		};
	for (int i = 0; i < TEST_READERS; i++)
		MUST_EQ(pthread_create(&readers->readers[i].thread, NULL,
				       read_all, &readers->readers[i]),
			0);
}

uint64_t test_readers_end(struct test_readers *readers)
{
	uint64_t wrong = 0;

	for (int i = 0; i < TEST_READERS; i++) {
		pthread_join(readers->readers[i].thread, NULL);
		wrong += readers->readers[i].wrong;
		CHECK_EQ(fl_memory_release(readers->readers[i].memory), 0);
	}
	return wrong;
}
