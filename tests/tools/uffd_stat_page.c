/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd_stat_page.c - reading pages of statistics that nobody should believe:
 * 100,000 of them with changed bytes, cut ones, one of a newer version. Whatever
 * is taken is printed in each form; the sanitizers and the parser of the kit see
 * what must not be.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "slots/stats.h"
#include "tools/uffd-stat.h"

#include <stdlib.h>

#define LIMIT ((size_t)1 << 20)

struct page {
	uint8_t *bytes;
	size_t len;
};

/* A page as the library makes it, with some events. */
static struct page page_make(void)
{
	struct fl__stats_about about = {
		.pool = "pool \"\xc3\xa9\"\x1b[2J",
		.backend = "linux",
		.rung = "track",
		.serial = 3,
		.how = FL_STATISTICS_PRIVATE,
	};
	struct fl__stats *stats = NULL;
	struct page page;

	MUST_EQ(fl__stats_open(&about, &stats), 0);
	fl__stats_add(stats, FL__WORD_memories_acquired, 7);
	fl__stats_add(stats, FL__WORD_memories_released, 5);
	fl__stats_add(stats, FL__WORD_memories_open, 3);
	for (uint64_t i = 1; i <= 100; i++)
		fl__stats_time(stats, FL__TIMES_release, i * 1000);
	page.len = (size_t)stats->bytes;
	MUST(page.len < LIMIT);
	page.bytes = malloc(page.len);
	MUST(page.bytes != NULL);
	memcpy(page.bytes, stats->map, page.len);
	fl__stats_close(stats);
	return page;
}

static struct stat_schemas schemas;

/* Why the bytes are no page; NULL: they are, and *sample is to be put. */
static const char *parse(const uint8_t *bytes, size_t len,
			 struct stat_sample **sample)
{
	return stat_page_parse(&schemas, bytes, len, sample);
}

static void numbers_are_read(void)
{
	struct stat_sample *sample, *again;
	struct page page = page_make();
	uint64_t value, count;

	MUST(!parse(page.bytes, page.len, &sample));
	CHECK_EQ(stat_value(sample, "memories_live"), 2);
	CHECK_EQ(stat_value(sample, "memories_warm"), 1);
	CHECK_EQ(stat_value(sample, "memories_acquired"), 7);
	CHECK(!stat_number(sample, "no_such_number", &value));
	/* What a terminal would obey is gone. */
	CHECK(!strcmp(sample->about.pool, "pool \"\xc3\xa9\"?[2J"));
	value = stat_quantile(NULL, sample, "release", 500, &count);
	CHECK_EQ(count, 100);
	CHECK(value > 48000 && value < 52000);
	CHECK_EQ(stat_quantile(sample, sample, "release", 500, &count), 0);
	CHECK_EQ(count, 0);
	/* What is read of a page that is known is the same. */
	again = stat_page_again(page.bytes, sample);
	MUST(again != NULL && again->schema == sample->schema);
	CHECK(!memcmp(again->values, sample->values, sizeof(sample->values)));
	CHECK_EQ(stat_quantile(NULL, again, "release", 500, &count), value);
	stat_sample_put(again);
	stat_sample_put(sample);
	stat_schemas_forget(&schemas);
	free(page.bytes);
}

static void versions_and_cuts_are_said(void)
{
	struct stat_sample *sample = NULL;
	struct page page = page_make();
	struct fl_statistics_head head;

	for (size_t len = 0; len < page.len; len += len < 8192 ? 1 : 997) {
		/* Behind the last byte there is nothing to read. */
		uint8_t *cut = malloc(len + !len);

		MUST(cut != NULL);
		memcpy(cut, page.bytes, len);
		(void)parse(cut, len, &sample);
		stat_sample_put(sample);
		free(cut);
	}
	CHECK(!strcmp(parse(page.bytes, 4096, &sample), "cut"));
	memcpy(&head, page.bytes, sizeof(head));
	head.version++;
	memcpy(page.bytes, &head, sizeof(head));
	CHECK(strstr(parse(page.bytes, page.len, &sample), "version"));
	stat_schemas_forget(&schemas);
	free(page.bytes);
}

/* The signature of whatever the schema is now, so that more is read. */
static void sign(struct page *page)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	struct fl_statistics_head head;

	memcpy(&head, page->bytes, sizeof(head));
	if (head.schema_off > page->len ||
	    head.schema_bytes > page->len - head.schema_off)
		return;
	for (uint64_t i = 0; i < head.schema_bytes; i++)
		hash = (hash ^ page->bytes[head.schema_off + i]) *
		       UINT64_C(0x100000001b3);
	head.signature = hash;
	memcpy(page->bytes, &head, sizeof(head));
}

static void print_all(struct stat_sample *before, struct stat_sample *now)
{
	struct stat_pool pools[] = { { before, NULL }, { now, NULL } };
	struct stat_target targets[] = {
		{ .pid = 1, .pools = &pools[0], .pool_count = 1 },
		{ .pid = 1, .pools = &pools[1], .pool_count = 1 },
	};
	struct stat_moment moments[] = {
		{ .now_ns = 1000, .targets = &targets[0], .target_count = 1 },
		{ .now_ns = 9000, .targets = &targets[1], .target_count = 1 },
	};
	struct stat_style style = { .is_wide = true, .is_openmetrics = true };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	MUST(out != NULL);
	stat_print_columns(out, &moments[0], &moments[1], &style);
	stat_print_json(out, &moments[0], &moments[1]);
	stat_print_metrics(out, &moments[1], &style);
	fclose(out);
	for (size_t i = 0; i < len; i++)
		CHECK(text[i] == '\n' || (unsigned char)text[i] >= 0x20);
	free(text);
}

static void changed_bytes(void)
{
	struct stat_sample *good, *sample;
	struct page page = page_make();
	uint8_t *whole = malloc(page.len);
	struct test_random random;
	unsigned int read = 0;

	MUST(whole != NULL);
	memcpy(whole, page.bytes, page.len);
	MUST(!parse(page.bytes, page.len, &good));
	test_random_init(&random, 6);
	for (int i = 0; i < 100000; i++) {
		size_t where[4], count = 1 + test_random_below(&random, 4);

		/* Most of them where it hurts: head and schema. */
		for (size_t j = 0; j < count; j++) {
			where[j] = (size_t)test_random_below(
				&random, j % 2 ? page.len : 6000);
			page.bytes[where[j]] =
				(uint8_t)test_random_next(&random);
		}
		if (i % 2)
			sign(&page);
		if (!parse(page.bytes, page.len, &sample)) {
			if (read++ % 256 == 0)
				print_all(good, sample);
			stat_sample_put(sample);
		}
		for (size_t j = 0; j < count; j++)
			page.bytes[where[j]] = whole[where[j]];
		memcpy(page.bytes, whole, sizeof(struct fl_statistics_head));
	}
	CHECK(read > 10000);
	test_note("%u of 100,000 were read", read);
	free(whole);
	free(page.bytes);
	stat_sample_put(good);
	stat_schemas_forget(&schemas);
}

static void recordings(void)
{
	struct page page = page_make();
	struct stat_sample *sample, *other;
	struct stat_pool pool = { NULL, NULL };
	struct stat_target target = {
		.pid = 4, .command = "x", .pools = &pool, .pool_count = 1
	};
	struct stat_moment moment = { .now_ns = 5,
				      .targets = &target,
				      .target_count = 1 },
			   *again;
	FILE *file = tmpfile();
	const char *why;
	long len;

	MUST(file != NULL);
	MUST(!parse(page.bytes, page.len, &sample));
	pool.sample = sample;
	MUST(stat_record(file, &moment));
	len = ftell(file);
	rewind(file);
	again = stat_replay(file, &schemas, &why);
	MUST(again != NULL && !why);
	CHECK_EQ(again->target_count, 1);
	other = again->targets[0].pools[0].sample;
	CHECK(other->schema == sample->schema);
	CHECK(!memcmp(&other->about, &sample->about, sizeof(other->about)));
	CHECK(!memcmp(other->values, sample->values, sizeof(other->values)));
	CHECK(!memcmp(other->buckets, sample->buckets,
		      sample->schema->times_count * sample->about.bucket_count *
			      sizeof(uint64_t)));
	stat_moment_free(again);
	CHECK(!stat_replay(file, &schemas, &why) && !why);
	/* Cut. */
	for (long at = 1; at < len; at += 1 + len / 50) {
		FILE *part = tmpfile();
		char byte;

		MUST(part != NULL);
		rewind(file);
		for (long i = 0; i < at; i++) {
			MUST_EQ(fread(&byte, 1, 1, file), 1);
			MUST_EQ(fwrite(&byte, 1, 1, part), 1);
		}
		rewind(part);
		CHECK(!stat_replay(part, &schemas, &why) && why);
		fclose(part);
	}
	fclose(file);
	free(page.bytes);
	stat_sample_put(sample);
	stat_schemas_forget(&schemas);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		TEST_CASE(numbers_are_read),
		TEST_CASE(versions_and_cuts_are_said),
		TEST_CASE(changed_bytes),
		TEST_CASE(recordings),
	};

	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
