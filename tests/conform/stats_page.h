/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stats_page.h - numbers by their names from a file of statistics.
 *
 * The reader here knows struct fl_statistics_head and reads the rest from the
 * schema, as a reader of another build does.
 */
#ifndef TEST_STATS_PAGE_H
#define TEST_STATS_PAGE_H

#include "tests/kit/test.h"

#include <faultline.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct page {
	uint8_t *bytes;
	struct fl_statistics_head head;
};

static inline void page_read_fd(struct page *page, int fd)
{
	MUST(fd >= 0);
	MUST_EQ(pread(fd, &page->head, sizeof(page->head), 0),
		sizeof(page->head));
	page->bytes = malloc(page->head.file_bytes);
	MUST(page->bytes != NULL);
	MUST_EQ(pread(fd, page->bytes, page->head.file_bytes, 0),
		page->head.file_bytes);
}

static inline uint64_t u64_at(const struct page *page, uint64_t off)
{
	uint64_t value;

	memcpy(&value, page->bytes + off, sizeof(value));
	return value;
}

static inline uint64_t word_sum(const struct page *page, uint32_t word)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < page->head.shard_count; i++)
		sum += u64_at(page,
			      page->head.shards_off +
				      (uint64_t)i * page->head.shard_bytes +
				      page->head.word_off + 8 * word);
	return sum;
}

static inline uint64_t page_number(const struct page *page, const char *name,
			    size_t len);

/* "+opened-closed" */
static inline uint64_t sum_of(const struct page *page, const char *sum)
{
	uint64_t value = 0;

	while (*sum == '+' || *sum == '-') {
		size_t len = strcspn(sum + 1, "+- ");
		uint64_t part = page_number(page, sum + 1, len);

		value += *sum == '+' ? part : -part;
		sum += 1 + len;
	}
	return value;
}

/* What the schema's line of that name says. */
static inline uint64_t page_number(const struct page *page, const char *name,
			    size_t len)
{
	const char *line = (const char *)page->bytes + page->head.schema_off;
	const char *end = line + page->head.schema_bytes;
	uint32_t words = 0, levels = 0;

	for (; line < end; line = (char *)memchr(line, '\n', end - line) + 1) {
		if (!strncmp(line + 2, name, len) && line[2 + len] == ' ') {
			const char *unit = line + 2 + len + 1;

			if (*line == 'd')
				return sum_of(page, strchr(unit, ' ') + 1);
			return *line == 'l' ?
				       u64_at(page, page->head.levels_off +
							    8 * levels) :
				       word_sum(page, words);
		}
		words += *line == 'c' || *line == 'g';
		levels += *line == 'l';
	}
	test_note("%.*s", (int)len, name);
	CHECK(!"a number of that name");
	return 0;
}

static inline uint64_t number(const struct page *page, const char *name)
{
	return page_number(page, name, strlen(name));
}

static inline uint64_t number_of_fd(int fd, const char *name)
{
	struct page page;
	uint64_t value;

	page_read_fd(&page, fd);
	value = number(&page, name);
	free(page.bytes);
	return value;
}

#endif
