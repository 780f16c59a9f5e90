/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-page.c - from the bytes of a page to numbers with names.
 *
 * The process that wrote the page may be hostile or broken, and may be writing
 * now. So every offset and count is checked against the bytes that were read,
 * each bound by a limit of ours too.
 */
#include "uffd-stat.h"

#include <stdlib.h>
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

/* ------------------------------------------------------------------ samples */

struct stat_sample *stat_sample_new(struct stat_schema *schema,
				    const struct stat_about *about)
{
	struct stat_sample *sample = calloc(
		1, sizeof(*sample) + schema->times_count * about->bucket_count *
					     sizeof(uint64_t));

	if (!sample)
		return NULL;
	sample->refs = 1;
	sample->about = *about;
	sample->schema = schema;
	schema->refs++;
	return sample;
}

void stat_sample_put(struct stat_sample *sample)
{
	if (!sample || --sample->refs)
		return;
	stat_schema_put(sample->schema);
	free(sample);
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

/* A gauge may be read while it is written: shards do not change together, and
 * what is gone before it came is nothing. */
static uint64_t gauge(uint64_t value)
{
	return value >> 63 ? 0 : value;
}

static uint64_t sum_make(const struct stat_sample *sample, const char *at)
{
	uint64_t value = 0;

	while (*at == '+' || *at == '-') {
		size_t len = strcspn(at + 1, "+-");
		char name[STAT_NAME] = "";
		uint64_t part = 0;

		if (len < sizeof(name))
			memcpy(name, at + 1, len);
		(void)stat_number(sample, name, &part);
		value += *at == '+' ? part : -part;
		at += 1 + len;
	}
	return gauge(value);
}

static void numbers_read(const struct page *page, struct stat_sample *sample)
{
	const struct stat_schema *schema = sample->schema;

	for (size_t i = 0; i < schema->row_count; i++) {
		const struct stat_row *row = &schema->rows[i];

		if (row->kind == 'l')
			sample->values[i] =
				u64_at(page, page->head.levels_off +
						     8 * (uint64_t)row->at);
		else if (row->kind != 'd')
			sample->values[i] = word_read(page, row->at);
	}
	/* Sums are of words as they were read. */
	for (size_t i = 0; i < schema->row_count; i++) {
		if (schema->rows[i].kind == 'd')
			sample->values[i] =
				sum_make(sample, schema->rows[i].sum);
	}
	for (size_t i = 0; i < schema->row_count; i++) {
		if (schema->rows[i].kind == 'g')
			sample->values[i] = gauge(sample->values[i]);
	}
}

static void times_read(const struct page *page, struct stat_sample *sample)
{
	const struct fl_statistics_head *head = &page->head;
	size_t count = head->bucket_count;

	for (size_t j = 0; j < head->times_shard_count; j++) {
		for (size_t t = 0; t < sample->schema->times_count; t++) {
			uint64_t *to = sample->buckets + t * count;
			uint64_t off = head->times_off +
				       8 * (j * head->times_count + t) * count;

			for (size_t i = 0; i < count; i++)
				to[i] += u64_at(page, off + 8 * i);
		}
	}
}

static void about_read(const struct fl_statistics_head *head,
		       struct stat_about *about)
{
	memset(about, 0, sizeof(*about));
	about->serial = head->serial;
	about->made_ns = head->made_ns;
	about->process = head->process;
	about->bucket_bits = head->bucket_bits;
	about->bucket_count = head->bucket_count;
	about->sample_every = head->sample_every;
	stat_text_copy(about->pool, sizeof(about->pool), head->pool,
		       sizeof(head->pool));
	stat_text_copy(about->library, sizeof(about->library), head->library,
		       sizeof(head->library));
	stat_text_copy(about->backend, sizeof(about->backend), head->backend,
		       sizeof(head->backend));
	stat_text_copy(about->rung, sizeof(about->rung), head->rung,
		       sizeof(head->rung));
}

const char *stat_page_parse(struct stat_schemas *schemas, const uint8_t *bytes,
			    size_t len, struct stat_sample **out)
{
	struct page page = { .bytes = bytes, .len = len };
	struct stat_schema *schema;
	struct stat_about about;
	const char *why;

	*out = NULL;
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
	schema = stat_schema_get(schemas,
				 (const char *)bytes + page.head.schema_off,
				 (size_t)page.head.schema_bytes);
	if (!schema || schema->words > page.head.word_count ||
	    schema->levels > page.head.level_count ||
	    schema->times_count > page.head.times_count) {
		stat_schema_put(schema);
		return "not of this form";
	}
	about_read(&page.head, &about);
	*out = stat_sample_new(schema, &about);
	stat_schema_put(schema);
	if (!*out)
		return "too large for the memory there is";
	numbers_read(&page, *out);
	times_read(&page, *out);
	return NULL;
}

struct stat_sample *stat_page_again(const uint8_t *bytes,
				    const struct stat_sample *earlier)
{
	struct page page = { .bytes = bytes };
	struct stat_sample *sample =
		stat_sample_new(earlier->schema, &earlier->about);

	if (!sample)
		return NULL;
	memcpy(&page.head, bytes, sizeof(page.head));
	numbers_read(&page, sample);
	times_read(&page, sample);
	return sample;
}

struct stat_range stat_page_counts(const struct fl_statistics_head *head)
{
	uint64_t levels_end =
		head->levels_off + 8 * (uint64_t)head->level_count;
	uint64_t shards_end = head->shards_off +
			      (uint64_t)head->shard_count * head->shard_bytes;
	uint64_t off = head->levels_off < head->shards_off ? head->levels_off :
							     head->shards_off;

	return (struct stat_range){
		off, (levels_end > shards_end ? levels_end : shards_end) - off
	};
}

struct stat_range stat_page_times(const struct fl_statistics_head *head)
{
	return (struct stat_range){ head->times_off,
				    8 * (uint64_t)head->times_shard_count *
					    head->times_count *
					    head->bucket_count };
}

/* ------------------------------------------------------------------ numbers */

bool stat_number(const struct stat_sample *sample, const char *name,
		 uint64_t *value)
{
	const struct stat_schema *schema = sample->schema;

	for (size_t i = 0; i < schema->row_count; i++) {
		if (strcmp(schema->rows[i].name, name) != 0)
			continue;
		*value = sample->values[i];
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

const uint64_t *stat_buckets(const struct stat_sample *sample, const char *name)
{
	const struct stat_schema *schema = sample ? sample->schema : NULL;

	for (size_t i = 0; schema && i < schema->times_count; i++) {
		if (!strcmp(schema->times[i].name, name))
			return sample->buckets + i * sample->about.bucket_count;
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
	const uint64_t *new = stat_buckets(now, name);
	const uint64_t *old = stat_buckets(before, name);
	uint64_t total = 0, below = 0, fresh;

	*count = 0;
	if (!new ||
	    (old && before->about.bucket_count != now->about.bucket_count))
		return 0;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < now->about.bucket_count; i++) {
			fresh = new[i] - (old ? old[i] : 0);
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
				return bucket_ns(now->about.bucket_bits, i);
		}
		*count = total;
		if (!total)
			return 0;
	}
	return 0;
}
