/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-record.c - moments in a file, as they were read.
 *
 * A recording has the schema's text with each sample, so that its numbers keep
 * their names, and plain structs of this build for the rest. It is a file like any
 * other: what is read back is checked as a page is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd-stat.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "UFFDST2"
#define MAX_TEXT 65536

struct record_head {
	char magic[8];
	uint32_t about_bytes, target_count;
	uint64_t now_ns;
	double wall_s;
};

struct record_target {
	int32_t pid;
	uint32_t pool_count;
	char command[32];
	struct stat_kernel kernel;
};

struct record_sample {
	struct stat_about about;
	uint32_t text_bytes, row_count, times_count;
};

static bool sample_record(FILE *file, const struct stat_sample *sample)
{
	const struct stat_schema *schema = sample->schema;
	struct record_sample record;
	size_t buckets = schema->times_count * sample->about.bucket_count;

	memset(&record, 0, sizeof(record));
	record.about = sample->about;
	record.text_bytes = (uint32_t)schema->text_bytes;
	record.row_count = (uint32_t)schema->row_count;
	record.times_count = (uint32_t)schema->times_count;
	return fwrite(&record, sizeof(record), 1, file) == 1 &&
	       fwrite(schema->text, 1, schema->text_bytes, file) ==
		       schema->text_bytes &&
	       fwrite(sample->values, sizeof(uint64_t), schema->row_count,
		      file) == schema->row_count &&
	       fwrite(sample->buckets, sizeof(uint64_t), buckets, file) ==
		       buckets;
}

bool stat_record(FILE *file, const struct stat_moment *moment)
{
	struct record_head head = { MAGIC, sizeof(struct stat_about),
				    (uint32_t)moment->target_count,
				    moment->now_ns, moment->wall_s };
	bool is_good = fwrite(&head, sizeof(head), 1, file) == 1;

	for (size_t i = 0; i < moment->target_count && is_good; i++) {
		const struct stat_target *target = &moment->targets[i];
		struct record_target record;

		memset(&record, 0, sizeof(record));
		record.pid = target->pid;
		for (size_t j = 0; j < target->pool_count; j++)
			record.pool_count += target->pools[j].sample != NULL;
		memcpy(record.command, target->command, sizeof(record.command));
		record.kernel = target->kernel;
		is_good = fwrite(&record, sizeof(record), 1, file) == 1;
		for (size_t j = 0; j < target->pool_count && is_good; j++) {
			if (target->pools[j].sample)
				is_good = sample_record(
					file, target->pools[j].sample);
		}
	}
	return is_good && !fflush(file);
}

static bool text_is_clean(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	}
	return len < size;
}

/* A recording is a file like any other. */
static bool about_is_good(const struct stat_about *about)
{
	return about->bucket_bits <= 8 &&
	       about->bucket_count <= STAT_MAX_BUCKETS && about->sample_every &&
	       text_is_clean(about->pool, sizeof(about->pool)) &&
	       text_is_clean(about->library, sizeof(about->library)) &&
	       text_is_clean(about->backend, sizeof(about->backend)) &&
	       text_is_clean(about->rung, sizeof(about->rung));
}

static struct stat_sample *sample_replay(FILE *file,
					 struct stat_schemas *schemas)
{
	struct stat_sample *sample = NULL;
	struct stat_schema *schema = NULL;
	struct record_sample record;
	size_t buckets;
	char *text;

	if (fread(&record, sizeof(record), 1, file) != 1 ||
	    record.text_bytes > MAX_TEXT || !about_is_good(&record.about))
		return NULL;
	text = malloc(record.text_bytes + 1);
	if (text &&
	    fread(text, 1, record.text_bytes, file) == record.text_bytes)
		schema = stat_schema_get(schemas, text, record.text_bytes);
	free(text);
	if (schema && schema->row_count == record.row_count &&
	    schema->times_count == record.times_count)
		sample = stat_sample_new(schema, &record.about);
	stat_schema_put(schema);
	if (!sample)
		return NULL;
	buckets = schema->times_count * record.about.bucket_count;
	if (fread(sample->values, sizeof(uint64_t), record.row_count, file) ==
		    record.row_count &&
	    fread(sample->buckets, sizeof(uint64_t), buckets, file) == buckets)
		return sample;
	stat_sample_put(sample);
	return NULL;
}

static bool target_replay(FILE *file, struct stat_schemas *schemas,
			  struct stat_target *target)
{
	struct record_target record;

	if (fread(&record, sizeof(record), 1, file) != 1 ||
	    record.pool_count > STAT_MAX_POOLS ||
	    !text_is_clean(record.command, sizeof(record.command)))
		return false;
	target->pid = record.pid;
	memcpy(target->command, record.command, sizeof(target->command));
	target->kernel = record.kernel;
	target->pools = calloc(record.pool_count + 1, sizeof(*target->pools));
	for (uint32_t i = 0; target->pools && i < record.pool_count; i++) {
		struct stat_sample *sample = sample_replay(file, schemas);

		if (!sample)
			return false;
		target->pools[target->pool_count++].sample = sample;
	}
	return target->pools != NULL;
}

struct stat_moment *stat_replay(FILE *file, struct stat_schemas *schemas,
				const char **why)
{
	struct record_head head;
	struct stat_moment *moment;
	size_t got = fread(&head, 1, sizeof(head), file);

	*why = NULL;
	if (!got)
		return NULL;
	*why = "not a recording of this uffd-stat, or cut";
	if (got != sizeof(head) || memcmp(head.magic, MAGIC, 8) != 0 ||
	    head.about_bytes != sizeof(struct stat_about) ||
	    head.target_count > 65536)
		return NULL;
	moment = calloc(1, sizeof(*moment));
	if (!moment)
		return NULL;
	moment->now_ns = head.now_ns;
	moment->wall_s = head.wall_s;
	moment->targets =
		calloc(head.target_count + 1, sizeof(*moment->targets));
	for (uint32_t i = 0; moment->targets && i < head.target_count; i++) {
		if (!target_replay(file, schemas,
				   &moment->targets[moment->target_count++])) {
			stat_moment_free(moment);
			return NULL;
		}
	}
	*why = NULL;
	return moment;
}
