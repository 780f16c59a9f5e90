/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* attack.c - see attack.h. */
#define _GNU_SOURCE
#include "attack.h"

#include "attack_host.h"
#include "random.h"
#include "trap.h"

#include <fcntl.h>
#include <stdlib.h>

bool attack_wants_evidence;

/* ---------------------------------------------------------------- tenancies */

/* Page i of an image begins with a byte that says so; none is zero. */
static void fill_pattern(uint8_t *bytes, uint64_t len, unsigned int salt)
{
	for (uint64_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i % 249 + i / 4096 * 7 + salt) | 1;
}

static const struct {
	uint64_t initial_bytes;
	struct {
		uint64_t start, end;
	} data[2];
} kinds[ATTACK_KINDS] = {
	[ATTACK_SMALL_IMAGE] = { 6 * MIB,
				 { { 128 * KIB + 40, 1536 * KIB - 3 },
				   { 2304 * KIB, 2560 * KIB + 1000 } } },
	[ATTACK_LARGE_IMAGE] = { 5 * MIB, { { MIB, 4608 * KIB }, { 0, 0 } } },
	[ATTACK_NO_IMAGE] = { 3 * MIB, { { 0, 0 }, { 0, 0 } } },
};

/* What each kind shows, built once: it costs more than most cases. */
static struct model kind_models[ATTACK_KINDS];
static uint8_t *kind_bytes[ATTACK_KINDS][2];

static size_t kind_segments(enum attack_kind kind, struct fl_segment *segments)
{
	size_t count = 0;

	while (count < 2 && kinds[kind].data[count].end) {
		uint64_t start = kinds[kind].data[count].start;
		uint64_t len = kinds[kind].data[count].end - start;
		uint8_t **bytes = &kind_bytes[kind][count];

		if (!*bytes) {
			*bytes = malloc(len);
			MUST(*bytes != NULL);
			fill_pattern(*bytes, len,
				     (unsigned int)kind * 50 + (unsigned)count);
		}
		segments[count].offset_bytes = start;
		segments[count].bytes = *bytes;
		segments[count].length_bytes = len;
		count++;
	}
	return count;
}

static void kind_build(struct attack *attack, enum attack_kind kind)
{
	struct model *model = &kind_models[kind];
	struct fl_segment segments[2];
	size_t count = kind_segments(kind, segments);

	/* As long as any memory: what is beyond the image is zero. */
	if (!model->length_bytes) {
		model_init(model, ATTACK_MAX_BYTES, ATTACK_MAX_BYTES, WPAGE);
		model_apply(model, segments, count);
	}
	attack->images[kind] = count ? conform_image(&attack->conform,
						     kinds[kind].initial_bytes,
						     segments, count) :
				       NULL;
}

void attack_pool_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_memories = 1;
	config->max_memory_bytes = ATTACK_MAX_BYTES;
	config->memory_alignment_bytes = 2 * MIB;
	config->prefix_bytes = ATTACK_PREFIX_BYTES;
}

void attack_open_with(struct attack *attack,
		      const struct fl_pool_config *config)
{
	memset(attack, 0, sizeof(*attack));
	test_random_init(&attack->random, 4);
	conform_open(&attack->conform, config);
	attack->prefix_bytes = config->prefix_bytes;
	attack->is_guarded = config->bounds == FL_BOUNDS_GUARDED;
	attack->models = kind_models;
	for (int kind = 0; kind < ATTACK_KINDS; kind++)
		kind_build(attack, (enum attack_kind)kind);
}

void attack_open(struct attack *attack, enum fl_bounds bounds)
{
	struct fl_pool_config config;

	attack_pool_config(&config);
	config.bounds = bounds;
	attack_open_with(attack, &config);
}

void attack_close(struct attack *attack)
{
	for (int kind = 0; kind < ATTACK_KINDS; kind++)
		fl_image_release(attack->images[kind]);
	conform_close(&attack->conform);
}

bool attack_rung_keeps_pages(void)
{
	return strcmp(test_rung->how, "dontneed") &&
	       strcmp(test_rung->how, "discard");
}

bool attack_rung_tracks(void)
{
	return !strcmp(test_rung->how, "track");
}

uint64_t attack_diff(const struct tenant *tenant)
{
	return model_diff_range(&tenant->attack->models[tenant->kind],
				tenant->memory, 0, tenant->length_bytes);
}

bool attack_check(const struct tenant *tenant)
{
	uint64_t diff = attack_diff(tenant);
	uint64_t prefix = tenant->attack->prefix_bytes;
	const uint8_t *before;

	if (!CHECK_EQ(diff, MODEL_EQUAL)) {
		test_note("tenancy %u, kind %d, host page %ju holds 0x%02x",
			  tenant->cycle, (int)tenant->kind,
			  (uintmax_t)(diff / conform_hpage()),
			  tenant->base[diff]);
		return false;
	}
	if (!prefix)
		return true;
	prefix = conform_round_up(prefix, conform_hpage());
	before = tenant->base - prefix;
	return CHECK_EQ(conform_first_data(before, prefix), prefix);
}

void attack_begin(struct attack *attack, struct tenant *tenant,
		  enum attack_kind kind)
{
	memset(tenant, 0, sizeof(*tenant));
	tenant->attack = attack;
	tenant->kind = kind;
	tenant->cycle = attack->cycle++;
	tenant->memory = conform_take(&attack->conform, attack->images[kind],
				      kinds[kind].initial_bytes);
	tenant->base = tenant->memory->base;
	tenant->length_bytes = fl_memory_length(tenant->memory);
}

void attack_grow(struct tenant *tenant, uint64_t delta_wpages)
{
	uint64_t room = (ATTACK_MAX_BYTES - tenant->length_bytes) / WPAGE;

	if (delta_wpages > room)
		delta_wpages = room;
	CHECK_EQ(fl_memory_grow(tenant->memory, delta_wpages, NULL), 0);
	tenant->length_bytes = fl_memory_length(tenant->memory);
}

void attack_end(struct tenant *tenant)
{
	CHECK_EQ(fl_memory_release(tenant->memory), 0);
	CHECK_EQ(conform_info(&tenant->attack->conform).retired_memories, 0);
}

/* -------------------------------------------------------------------- picks */

void attack_pick(struct tenant *tenant, uint32_t hpage_idx)
{
	if (hpage_idx >= tenant->length_bytes / conform_hpage() ||
	    tenant->pick_count == ATTACK_MAX_PICKS)
		return;
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		if (tenant->picks[i] == hpage_idx)
			return;
	}
	tenant->picks[tenant->pick_count++] = hpage_idx;
}

void attack_pick_run(struct tenant *tenant, uint32_t first, uint32_t count)
{
	while (count--)
		attack_pick(tenant, first++);
}

/* Hot: in data, across page tables, in zeroes between data, in the zeroes
 * behind. For six tenancies of twelve: thirty more, so that they cost a sweep
 * while nobody writes them. */
void attack_pick_by_cycle(struct tenant *tenant)
{
	static const uint32_t hot[] = { 40, 41, 400, 511, 512, 1300 };
	struct test_random *random = &tenant->attack->random;
	uint32_t count = (uint32_t)(tenant->length_bytes / conform_hpage());
	unsigned int cycle = tenant->cycle;

	/* Nothing at all; what was missed before would show now. */
	if (cycle % 9 == 5)
		return;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(hot); i++)
		attack_pick(tenant, hot[i]);
	if (cycle / 6 % 2 == 0)
		for (uint32_t i = 0; i < 30; i++)
			attack_pick(tenant, 100 + 17 * i);
	for (unsigned int i = 0; i < cycle % 5 * 3; i++)
		attack_pick(tenant, (uint32_t)test_random_below(random, count));
	if (cycle % 7 == 3)
		attack_pick_run(tenant,
				(uint32_t)test_random_below(random, count), 80);
	attack_pick(tenant, count - 1);
}

uint8_t *attack_picked(const struct tenant *tenant, uint32_t pick_idx)
{
	return tenant->base + tenant->picks[pick_idx] * conform_hpage();
}

/* Whole pages, one byte, and zeroes, which may be what was there. */
void attack_write(struct tenant *tenant)
{
	uint64_t hpage = conform_hpage();

	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint8_t *at = attack_picked(tenant, i);

		if (i % 4 == 0)
			memset(at, 0xd0 + (int)(i % 16), hpage);
		else if (i % 4 == 3 && tenant->cycle % 2)
			memset(at, 0, hpage);
		else
			at[test_random_below(&tenant->attack->random, hpage)] ^=
				0xff;
	}
}

void attack_count_dirt(struct tenant *tenant)
{
	uint64_t hpage = conform_hpage();

	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint64_t diff = model_diff_range(
			&tenant->attack->models[tenant->kind], tenant->memory,
			tenant->picks[i] * hpage, hpage);

		tenant->attack->dirt += diff != MODEL_EQUAL;
	}
	tenant->was_counted = true;
}

/* The same image long enough for an engine to learn, then switches. */
static enum attack_kind kind_of(unsigned int cycle)
{
	if (cycle < 24)
		return ATTACK_SMALL_IMAGE;
	if (cycle >= 28 && cycle < 35)
		return ATTACK_LARGE_IMAGE;
	return (enum attack_kind)(cycle % ATTACK_KINDS);
}

static void run_tenancy(struct attack *attack, attack_fn *fn)
{
	struct tenant tenant;

	attack_begin(attack, &tenant, kind_of(attack->cycle % 40));
	/* Reading is an access too: not every time. */
	if (tenant.cycle < 4 || test_random_below(&attack->random, 10) < 7)
		attack_check(&tenant);
	if (attack->is_guarded && tenant.cycle % 4 == 3)
		CHECK(test_traps(tenant.base + tenant.length_bytes));
	if (tenant.cycle % 4 == 2)
		attack_grow(&tenant, tenant.cycle % 16 + 1);
	attack_pick_by_cycle(&tenant);
	/* All that can be written there, not only what was asked for. */
	memset(tenant.base - conform_hpage(), 0xee, conform_hpage());
	fn(&tenant);
	if (!tenant.was_counted)
		attack_count_dirt(&tenant);
	attack_end(&tenant);
}

/* A host that moves idle pages to swap by itself (DAMON) may have filled the
 * area, and nothing of a tenant goes there any more. */
static bool lacks_evidence(const struct attack *attack)
{
	return attack_wants_evidence && !attack->evidence;
}

static void run_pool(attack_fn *fn, enum fl_bounds bounds, unsigned int cycles)
{
	unsigned int most = cycles * 5;
	struct attack attack;
	struct tenant tenant;

	attack_open(&attack, bounds);
	for (unsigned int i = 0; i < most && !test_has_failed(); i++) {
		if (i >= cycles && !lacks_evidence(&attack))
			break;
		if (i >= cycles && i % 8 == 0)
			attack_swap_cycle();
		run_tenancy(&attack, fn);
	}
	for (int kind = 0; kind < ATTACK_KINDS && !test_has_failed(); kind++) {
		attack_begin(&attack, &tenant, (enum attack_kind)kind);
		attack_grow(&tenant, ATTACK_MAX_BYTES / WPAGE);
		attack_check(&tenant);
		attack_end(&tenant);
	}
	/* A means that does nothing proves nothing. */
	CHECK(attack.dirt >= cycles);
	CHECK(!lacks_evidence(&attack));
	if (attack.evidence)
		test_note("the kernel did it %u times", attack.evidence);
	attack_close(&attack);
}

void attack_repeat_times(attack_fn *fn, unsigned int cycles)
{
	if (!attack_rung_keeps_pages())
		cycles = cycles * 3 / 10 + 4;
	run_pool(fn, FL_BOUNDS_GUARDED, cycles);
	if (!test_has_failed())
		run_pool(fn, FL_BOUNDS_ACCESSIBLE, cycles / 2);
}

void attack_repeat(attack_fn *fn)
{
	attack_repeat_times(fn, (unsigned int)test_rounds(40));
}

/* -------------------------------------------------------------- descriptors */

int attack_file_open(int flags)
{
	uint8_t *bytes = malloc(ATTACK_FILE_BYTES);
	char path[4096];
	int fd = attack_temp_open(path, sizeof(path)), again = -1;

	if (fd >= 0 && bytes) {
		memset(bytes, 0xa7, ATTACK_FILE_BYTES);
		if (write(fd, bytes, ATTACK_FILE_BYTES) ==
		    (ssize_t)ATTACK_FILE_BYTES)
			again = open(path, O_RDWR | O_CLOEXEC | flags);
		unlink(path);
	}
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(bytes);
	return again;
}
