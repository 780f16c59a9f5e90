/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-page.c - from the bytes of a page to numbers with names.
 *
 * The process that wrote the page may be hostile or broken, and may be writing
 * now. So every offset and count is checked against the bytes that were read,
 * each bound by a limit of ours too, and text is taken byte by byte. Nothing here
 * allocates.
 */
#include "uffd-stat.h"

#include <string.h>

struct page {
	const uint8_t *bytes;
	size_t len;
	struct fl_statistics_head head;
};

static bool fits(const struct page *page, uint64_t off, uint64_t len)
{
	return off <= page->len && len <= page->len - off;
}

static uint64_t u64_at(const struct page *page, uint64_t off)
{
	uint64_t value;

	memcpy(&value, page->bytes + off, sizeof(value));
	return value;
}

/* Of a valid sequence of UTF-8 of printable characters, its length; else 0. */
static size_t utf8_length(const uint8_t *at, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = at[0] < 0x80	    ? 1 :
		     (at[0] & 0xe0) == 0xc0 ? 2 :
		     (at[0] & 0xf0) == 0xe0 ? 3 :
		     (at[0] & 0xf8) == 0xf0 ? 4 :
					      0;
	uint32_t code;

	if (len == 1)
		return at[0] >= 0x20 && at[0] < 0x7f;
	if (!len || len > left)
		return 0;
	code = at[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	/* No controls of the second set, no surrogates. */
	return code < least[len] || code < 0xa0 || code > 0x10ffff ||
			       (code >= 0xd800 && code < 0xe000) ?
		       0 :
		       len;
}

/* Copy text up to a NUL; what a terminal must not see becomes '?'. */
static void text_copy(char *to, size_t size, const void *from, size_t len)
{
	const uint8_t *at = from;
	size_t used = 0;

	for (size_t i = 0; i < len && at[i];) {
		size_t step = utf8_length(at + i, len - i);

		if (used + (step ? step : 1) >= size)
			break;
		if (step)
			memcpy(to + used, at + i, step);
		else
			to[used] = '?';
		used += step ? step : 1;
		i += step ? step : 1;
	}
	to[used] = '\0';
}

static const char *head_check(const struct page *page)
{
	const struct fl_statistics_head *head = &page->head;
	const uint8_t *schema;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	if (head->schema_bytes > 65536 || head->word_count > STAT_MAX_ROWS ||
	    head->level_count > STAT_MAX_ROWS || head->shard_count > 4096 ||
	    head->shard_bytes > 65536 || head->word_off > head->shard_bytes ||
	    head->times_count > STAT_MAX_TIMES ||
	    head->times_shard_count > 4096 || head->bucket_bits > 8 ||
	    head->bucket_count > STAT_MAX_BUCKETS || !head->sample_every ||
	    head->head_bytes < sizeof(*head))
		return "not of this form";
	if (head->word_off + 8 * (uint64_t)head->word_count > head->shard_bytes)
		return "not of this form";
	if (!fits(page, head->schema_off, head->schema_bytes) ||
	    !fits(page, head->levels_off, 8 * (uint64_t)head->level_count) ||
	    !fits(page, head->shards_off,
		  (uint64_t)head->shard_count * head->shard_bytes) ||
	    !fits(page, head->times_off,
		  8 * (uint64_t)head->times_shard_count * head->times_count *
			  head->bucket_count))
		return "cut";
	schema = page->bytes + head->schema_off;
	for (uint64_t i = 0; i < head->schema_bytes; i++)
		hash = (hash ^ schema[i]) * UINT64_C(0x100000001b3);
	return hash == head->signature ? NULL : "not of this form";
}

static uint64_t word_read(const struct page *page, uint32_t word)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < page->head.shard_count; i++)
		sum += u64_at(page,
			      page->head.shards_off +
				      (uint64_t)i * page->head.shard_bytes +
				      page->head.word_off + 8 * (uint64_t)word);
	return sum;
}

static void times_read(const struct page *page, uint32_t idx,
		       struct stat_times *times)
{
	const struct fl_statistics_head *head = &page->head;

	times->count = 0;
	for (uint32_t i = 0; i < head->bucket_count; i++) {
		times->buckets[i] = 0;
		for (uint32_t j = 0; j < head->times_shard_count; j++)
			times->buckets[i] += u64_at(
				page,
				head->times_off +
					8 * (((uint64_t)j * head->times_count +
					      idx) * head->bucket_count +
					     i));
		times->count += times->buckets[i];
	}
}

/* A word of a line, and what is behind it; a name has only letters, digits and
 * '_', and a sum '+' and '-' too. */
static const char *word_take(const char *at, const char *end, const char *more,
			     char *to, size_t size)
{
	size_t len = 0;

	while (at < end && *at != ' ') {
		bool is_good = (*at >= 'a' && *at <= 'z') ||
			       (*at >= 'A' && *at <= 'Z') ||
			       (*at >= '0' && *at <= '9') || *at == '_' ||
			       (*at && strchr(more, *at));

		if (!is_good || len + 1 >= size)
			return NULL;
		to[len++] = *at++;
	}
	to[len] = '\0';
	return len && at < end ? at + 1 : NULL;
}

struct counts {
	uint32_t words, levels, times;
};

static bool row_take(const struct page *page, const char *line, const char *end,
		     struct counts *counts, struct stat_sample *sample)
{
	struct stat_row *row = &sample->rows[sample->row_count];

	if (end - line < 4 || line[1] != ' ')
		return false;
	row->kind = *line;
	row->value = 0;
	row->sum[0] = '\0';
	line = word_take(line + 2, end, "", row->name, sizeof(row->name));
	if (line)
		line = word_take(line, end, "", row->unit, sizeof(row->unit));
	if (line && row->kind == 'd')
		line = word_take(line, end, "+-", row->sum, sizeof(row->sum));
	if (!line)
		return false;
	text_copy(row->help, sizeof(row->help), line, (size_t)(end - line));
	if (row->kind == 't' || row->kind == 's') {
		struct stat_times *times = &sample->times[counts->times];

		if (counts->times >= page->head.times_count)
			return false;
		memcpy(times->name, row->name, sizeof(times->name));
		memcpy(times->help, row->help, sizeof(times->help));
		times->is_sizes = row->kind == 's';
		times_read(page, counts->times++, times);
		return true;
	}
	if (row->kind == 'l') {
		if (counts->levels >= page->head.level_count)
			return false;
		row->value = u64_at(page, page->head.levels_off +
						  8 * counts->levels++);
	} else if (row->kind == 'c' || row->kind == 'g') {
		if (counts->words >= page->head.word_count)
			return false;
		row->value = word_read(page, counts->words++);
	} else if (row->kind != 'd') {
		/* A kind that this reader does not know. */
		return true;
	}
	sample->row_count++;
	return true;
}

static const char *schema_read(const struct page *page,
			       struct stat_sample *sample)
{
	const char *line = (const char *)page->bytes + page->head.schema_off;
	const char *last = line + page->head.schema_bytes;
	struct counts counts = { 0, 0, 0 };

	while (line < last) {
		const char *end = memchr(line, '\n', (size_t)(last - line));

		if (!end || sample->row_count == STAT_MAX_ROWS ||
		    !row_take(page, line, end, &counts, sample))
			return "not of this form";
		line = end + 1;
	}
	sample->times_count = counts.times;
	return NULL;
}

/* A gauge may be read while it is written: shards do not change together, and
 * what is gone before it came is nothing. */
static uint64_t gauge(uint64_t value)
{
	return value >> 63 ? 0 : value;
}

static void sums_make(struct stat_sample *sample)
{
	for (size_t i = 0; i < sample->row_count; i++) {
		struct stat_row *row = &sample->rows[i];
		uint64_t value = 0;
		const char *at = row->sum;

		while (row->kind == 'd' && (*at == '+' || *at == '-')) {
			size_t len = strcspn(at + 1, "+-");
			char name[STAT_NAME] = "";
			uint64_t part = 0;

			if (len < sizeof(name))
				memcpy(name, at + 1, len);
			(void)stat_number(sample, name, &part);
			value += *at == '+' ? part : -part;
			at += 1 + len;
		}
		if (row->kind == 'd')
			row->value = gauge(value);
	}
	for (size_t i = 0; i < sample->row_count; i++) {
		if (sample->rows[i].kind == 'g')
			sample->rows[i].value = gauge(sample->rows[i].value);
	}
}

const char *stat_page_parse(const uint8_t *bytes, size_t len,
			    struct stat_sample *sample)
{
	struct page page = { .bytes = bytes, .len = len };
	const char *why;

	if (len < sizeof(page.head))
		return "cut";
	memcpy(&page.head, bytes, sizeof(page.head));
	if (memcmp(page.head.magic, FL_STATISTICS_MAGIC,
		   sizeof(page.head.magic)) != 0)
		return "not of this form";
	if (page.head.version != FL_STATISTICS_VERSION)
		return "of another version than this uffd-stat reads";
	why = head_check(&page);
	if (why)
		return why;
	sample->row_count = sample->times_count = 0;
	sample->serial = page.head.serial;
	sample->made_ns = page.head.made_ns;
	sample->process = page.head.process;
	sample->bucket_bits = page.head.bucket_bits;
	sample->bucket_count = page.head.bucket_count;
	sample->sample_every = page.head.sample_every;
	text_copy(sample->pool, sizeof(sample->pool), page.head.pool,
		  sizeof(page.head.pool));
	text_copy(sample->library, sizeof(sample->library), page.head.library,
		  sizeof(page.head.library));
	text_copy(sample->backend, sizeof(sample->backend), page.head.backend,
		  sizeof(page.head.backend));
	text_copy(sample->rung, sizeof(sample->rung), page.head.rung,
		  sizeof(page.head.rung));
	why = schema_read(&page, sample);
	if (!why)
		sums_make(sample);
	return why;
}

bool stat_number(const struct stat_sample *sample, const char *name,
		 uint64_t *value)
{
	for (size_t i = 0; i < sample->row_count; i++) {
		if (strcmp(sample->rows[i].name, name) != 0)
			continue;
		*value = sample->rows[i].value;
		return true;
	}
	return false;
}

uint64_t stat_value(const struct stat_sample *sample, const char *name)
{
	uint64_t value = 0;

	if (sample)
		(void)stat_number(sample, name, &value);
	return value;
}

const struct stat_times *stat_times_named(const struct stat_sample *sample,
					  const char *name)
{
	for (size_t i = 0; sample && i < sample->times_count; i++) {
		if (!strcmp(sample->times[i].name, name))
			return &sample->times[i];
	}
	return NULL;
}

/* The middle of a bucket. */
static uint64_t bucket_ns(uint32_t bits, uint32_t bucket)
{
	uint32_t power = bucket >> bits;
	uint64_t low = bucket & ((1u << bits) - 1);

	if (!power)
		return low;
	if (power - 1 > 62 - bits)
		return UINT64_MAX;
	low = (low + (1u << bits)) << (power - 1);
	return low + (((uint64_t)1 << (power - 1)) >> 1);
}

uint64_t stat_quantile(const struct stat_sample *before,
		       const struct stat_sample *now, const char *name,
		       uint32_t per_mille, uint64_t *count)
{
	const struct stat_times *new = stat_times_named(now, name);
	const struct stat_times *old = stat_times_named(before, name);
	uint64_t total = 0, below = 0, fresh;

	*count = 0;
	if (!new || (old && before->bucket_count != now->bucket_count))
		return 0;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < now->bucket_count; i++) {
			fresh = new->buckets[i] - (old ? old->buckets[i] : 0);
			/* A bucket that shrank is no bucket. */
			if (fresh >> 63)
				fresh = 0;
			if (!pass) {
				total += fresh;
				continue;
			}
			below += fresh;
			if (below >=
			    total - total / 1000 * (1000 - per_mille) -
				    total % 1000 * (1000 - per_mille) / 1000)
				return bucket_ns(now->bucket_bits, i);
		}
		*count = total;
		if (!total)
			return 0;
	}
	return 0;
}
