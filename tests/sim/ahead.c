/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * ahead.c - what the kernel is asked to read, and what is loaded, without an image:
 * stretches cover the set once, run before the loads by no more than they may, and
 * go on however the parts of the set change meanwhile.
 */
#include "tests/kit/test.h"

#include "uffd/load/ahead.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES 1024u

struct ground {
	struct fl__toc_entry *entries;
	struct fl__toc_image toc_image;
	struct fl__toc toc;
	struct fl_image image;
	struct fl__lazy lazy;
};

/* Of each page one block is foreseen. No page has leaves, so all come whole. */
static void ground_open(struct ground *ground)
{
	struct fl__workset *set = &ground->image.set;

	memset(ground, 0, sizeof(*ground));
	ground->entries = calloc(ENTRIES, sizeof(*ground->entries));
	MUST(ground->entries != NULL);
	for (uint64_t i = 0; i < ENTRIES; i++)
		ground->entries[i] = (struct fl__toc_entry){
			.wpage = i,
			.file_off = (1 + i) * FL_WPAGE_BYTES,
			.stored_bytes = FL_WPAGE_BYTES,
		};
	ground->toc_image.entry_count = ENTRIES;
	ground->toc = (struct fl__toc){
		.images = &ground->toc_image,
		.entries = ground->entries,
		.entry_count = ENTRIES,
		.image_count = 1,
	};
	MUST_EQ(fl__workset_init(set, &ground->toc, 0), 0);
	MUST_EQ(fl__workset_take_parts(set, FL__PAGE_BLOCK_BYTES), 0);
	memset(set->old_touched, 255, ENTRIES);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		set->old_blocks[i] = (uint16_t)(1u << i % 16);
		set->turns[i] = (uint32_t)i;
	}
	set->turn_count = ENTRIES;
	ground->lazy.image = &ground->image;
	ground->lazy.is_shown = ground->lazy.can_ask = true;
}

static void ground_close(struct ground *ground)
{
	fl__workset_fini(&ground->image.set);
	free(ground->entries);
}

static uint64_t ask_all(struct ground *ground, uint64_t *end)
{
	uint64_t bytes = 0, off, len;

	while (fl__ahead_ask(&ground->lazy, &off, &len)) {
		CHECK(off >= *end);
		CHECK(len && len <= FL__AHEAD_RUN_BYTES);
		*end = off + len;
		bytes += len;
	}
	return bytes;
}

static void load(struct ground *ground, uint64_t count)
{
	struct fl__part part;
	uint64_t wpage;

	while (count--)
		CHECK(fl__ahead_next(&ground->lazy, &wpage, &part));
}

static void stretches_run_before_loads(void)
{
	struct ground ground;
	uint64_t end = 0;

	ground_open(&ground);
	for (uint64_t done = 0; done < ENTRIES; done += 256) {
		CHECK_EQ(ask_all(&ground, &end), FL__AHEAD_BYTES);
		load(&ground, 256);
	}
	CHECK_EQ(ask_all(&ground, &end), 0);
	ground_close(&ground);
}

/* Somebody wants the pages that were asked for, and has them loaded whole: what is
 * foreseen of each is a block from then on. */
static void parts_become_smaller(void)
{
	struct fl__page_leaves leaves = { .sha256 = { { 1 } } };
	struct ground ground;
	uint64_t end = 0;

	ground_open(&ground);
	CHECK_EQ(ask_all(&ground, &end), FL__AHEAD_BYTES);
	for (uint64_t i = 0; i < 256; i++)
		fl__workset_learn(&ground.image.set, i, &leaves);
	load(&ground, 256);
	CHECK_EQ(ask_all(&ground, &end), FL__AHEAD_BYTES);
	ground_close(&ground);
}

static const struct test_case cases[] = {
	TEST_CASE(stretches_run_before_loads),
	TEST_CASE(parts_become_smaller),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
