/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-bake.c - see wasm-image-bake.h.
 *
 * First the module is read: where its sections are, the limits of its memories,
 * its data segments. Then the contents become a list of stretches. Then the new
 * module is written twice by the same functions: once to count the bytes, once
 * to write them.
 */
#include "wasm-image-bake.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 65536

enum {
	SECTION_CUSTOM = 0,
	SECTION_MEMORY = 5,
	SECTION_START = 8,
	SECTION_DATA = 11,
	SECTION_DATA_COUNT = 12,
};

enum {
	HAS_MAX = 1,
	IS_64 = 4,
	HAS_PAGE_BYTES = 8,
	KNOWN_LIMITS = 15, /* and shared */
};

/* Bytes that are read one after the other, never beyond the end. */
struct in {
	const uint8_t *bytes;
	size_t off, end;
	bool has_failed;
};

struct section {
	uint8_t id;
	size_t start, body, end;
};

struct limits {
	uint8_t flags;
	uint64_t min, max;
	size_t rest, end; /* what follows the minimum */
};

struct old_segment {
	bool is_kept;
	size_t off, end;
};

struct stretch {
	uint32_t memory_idx;
	uint64_t off, len;
};

struct work {
	const struct bake_request *request;
	struct baked *baked;
	struct limits *limits; /* of each memory */
	struct old_segment *old;
	uint32_t old_count, kept_count;
	bool has_memory_section, has_data_section;
	size_t data_off; /* where one is to be put */
	struct stretch *stretches;
	size_t count, room, most;
};

__attribute__((format(printf, 2, 3))) static bool
refuse(struct work *work, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(work->baked->reason, sizeof(work->baked->reason), format,
		  args);
	va_end(args);
	return false;
}

/* ----------------------------------------------------------------- reading */

static uint8_t get_byte(struct in *in)
{
	if (in->off == in->end) {
		in->has_failed = true;
		return 0;
	}
	return in->bytes[in->off++];
}

static uint64_t get_uleb(struct in *in)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = get_byte(in);

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	in->has_failed = true;
	return 0;
}

static uint32_t get_u32(struct in *in)
{
	uint64_t value = get_uleb(in);

	in->has_failed |= value > UINT32_MAX;
	return (uint32_t)value;
}

static void skip(struct in *in, uint64_t len)
{
	if (len > in->end - in->off) {
		in->has_failed = true;
		len = in->end - in->off;
	}
	in->off += (size_t)len;
}

/* Go past a constant expression that gives a number of an address type. */
static void skip_offset(struct in *in)
{
	while (!in->has_failed) {
		switch (get_byte(in)) {
		case 0x0b: /* end */
			return;
		case 0x23: /* global.get */
		case 0x41: /* i32.const */
		case 0x42: /* i64.const */
			get_uleb(in);
			break;
		case 0x6a: /* i32.add, sub, mul */
		case 0x6b:
		case 0x6c:
		case 0x7c: /* the same of i64 */
		case 0x7d:
		case 0x7e:
			break;
		default:
			in->has_failed = true;
		}
	}
}

/* Go to the next section; false at the end and after a failure. */
static bool next_section(struct in *in, struct section *section)
{
	uint32_t len;

	if (in->has_failed || in->off == in->end)
		return false;
	section->start = in->off;
	section->id = get_byte(in);
	len = get_u32(in);
	section->body = in->off;
	skip(in, len);
	section->end = in->off;
	return !in->has_failed;
}

static struct in sections_of(const struct work *work)
{
	/* The first eight bytes say that this is a module. */
	return (struct in){ .bytes = work->request->module,
			    .off = 8,
			    .end = work->request->module_bytes };
}

static struct in body_of(const struct work *work, const struct section *section)
{
	return (struct in){ .bytes = work->request->module,
			    .off = section->body,
			    .end = section->end };
}

static bool check_size(struct work *work, uint32_t memory_idx)
{
	const struct bake_memory *memory = &work->request->memories[memory_idx];
	const struct limits *limits = &work->limits[memory_idx];
	uint64_t pages = memory->size_bytes / memory->page_bytes;

	if (memory->size_bytes % memory->page_bytes)
		return refuse(work,
			      "memory %u has %" PRIu64
			      " bytes, which are no whole pages of %" PRIu64,
			      memory_idx, memory->size_bytes,
			      memory->page_bytes);
	if (pages < limits->min || pages > limits->max)
		return refuse(work,
			      "memory %u has %" PRIu64
			      " pages, which the module does not allow",
			      memory_idx, pages);
	return true;
}

static bool read_limits(struct work *work, struct in *in, uint32_t memory_idx)
{
	struct limits *limits = &work->limits[memory_idx];

	limits->flags = get_byte(in);
	limits->min = get_uleb(in);
	limits->max = UINT64_MAX;
	limits->rest = in->off;
	if (limits->flags & HAS_MAX)
		limits->max = get_uleb(in);
	if (limits->flags & HAS_PAGE_BYTES)
		get_uleb(in);
	limits->end = in->off;
	if (in->has_failed || limits->flags & ~KNOWN_LIMITS ||
	    !(limits->flags & IS_64) ==
		    work->request->memories[memory_idx].is_64)
		return refuse(work,
			      "the limits of memory %u are of no known form",
			      memory_idx);
	return check_size(work, memory_idx);
}

static uint32_t count_defined(const struct bake_request *request)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < request->memory_count; i++)
		count += !request->memories[i].is_imported;
	return count;
}

static bool read_memories(struct work *work, const struct section *section)
{
	const struct bake_request *request = work->request;
	uint32_t defined = count_defined(request), count;
	struct in in = body_of(work, section);

	work->has_memory_section = true;
	count = get_u32(&in);
	if (in.has_failed || count != defined)
		return refuse(work,
			      "the memory section has %u memories, not %u",
			      count, defined);
	for (uint32_t i = 0; i < request->memory_count; i++) {
		if (!request->memories[i].is_imported &&
		    !read_limits(work, &in, i))
			return false;
	}
	return true;
}

static bool read_segment(struct work *work, struct in *in,
			 struct old_segment *old)
{
	const struct bake_request *request = work->request;
	uint32_t flags, memory_idx = 0;

	old->off = in->off;
	flags = get_u32(in);
	if (flags == 2)
		memory_idx = get_u32(in);
	if (flags != 1)
		skip_offset(in);
	skip(in, get_u32(in));
	old->end = in->off;
	if (in->has_failed || flags > 2 || memory_idx >= request->memory_count)
		return false;
	old->is_kept = flags == 1 ||
		       (request->memories[memory_idx].is_imported &&
			!request->has_started);
	work->kept_count += old->is_kept;
	return true;
}

static bool read_data(struct work *work, const struct section *section)
{
	struct in in = body_of(work, section);
	uint32_t count = get_u32(&in);

	if (work->has_data_section)
		return refuse(work, "the module has two data sections");
	work->has_data_section = true;
	/* No segment is shorter than two bytes. */
	if (in.has_failed || count > (in.end - in.off) / 2)
		return refuse(work, "the data section is cut short");
	work->old = calloc((size_t)count + 1, sizeof(*work->old));
	if (!work->old)
		return refuse(work, "no memory");
	work->old_count = count;
	for (uint32_t i = 0; i < count; i++) {
		if (!read_segment(work, &in, &work->old[i]))
			return refuse(work,
				      "data segment %u is of no known form", i);
	}
	return true;
}

static bool read_module(struct work *work)
{
	struct in in = sections_of(work);
	struct section section;
	bool is_good = true;

	work->data_off = in.off;
	while (is_good && next_section(&in, &section)) {
		if (section.id == SECTION_MEMORY)
			is_good = read_memories(work, &section);
		if (section.id == SECTION_DATA)
			is_good = read_data(work, &section);
		if (section.id != SECTION_CUSTOM)
			work->data_off = section.end;
	}
	if (is_good && in.has_failed)
		return refuse(work,
			      "byte %zu: the module ends within a section",
			      in.off);
	if (is_good && !work->has_memory_section &&
	    count_defined(work->request))
		return refuse(work, "the module has no memory section");
	return is_good;
}

/* --------------------------------------------------------------- stretches */

/* Join what lies so near that the zeroes between are stored. */
static void join(struct work *work)
{
	size_t kept = 0;

	for (size_t i = 1; i < work->count; i++) {
		struct stretch *last = &work->stretches[kept];
		const struct stretch *next = &work->stretches[i];

		if (last->memory_idx == next->memory_idx &&
		    next->off - (last->off + last->len) <
			    work->baked->gap_bytes)
			last->len = next->off + next->len - last->off;
		else
			work->stretches[++kept] = *next;
	}
	work->count = kept + 1;
}

/* Make room for one more: within the limit by memory, at the limit by joining
 * over wider gaps. */
static bool make_room(struct work *work)
{
	struct stretch *grown;

	if (work->count < work->room)
		return true;
	if (work->room < work->most) {
		work->room = work->room ? work->room * 2 : 64;
		if (work->room > work->most)
			work->room = work->most;
		grown = realloc(work->stretches,
				work->room * sizeof(*work->stretches));
		if (!grown)
			return refuse(work, "no memory");
		work->stretches = grown;
		return true;
	}
	while (work->count == work->most) {
		work->baked->gap_bytes *= 2;
		join(work);
	}
	return true;
}

/* Is the last stretch so near that it can take these bytes, too? */
static bool extend_last(struct work *work, uint32_t memory_idx, uint64_t off,
			uint64_t len)
{
	struct stretch *last;

	if (!work->count)
		return false;
	last = &work->stretches[work->count - 1];
	if (last->memory_idx != memory_idx ||
	    off - (last->off + last->len) >= work->baked->gap_bytes)
		return false;
	last->len = off + len - last->off;
	return true;
}

static bool add_stretch(struct work *work, uint32_t memory_idx, uint64_t off,
			uint64_t len)
{
	while (!extend_last(work, memory_idx, off, len)) {
		if (work->count < work->room) {
			work->stretches[work->count++] =
				(struct stretch){ memory_idx, off, len };
			return true;
		}
		if (!make_room(work))
			return false;
	}
	return true;
}

/* Add the stretches of some bytes that lie at off. */
static bool add_bytes(struct work *work, uint32_t memory_idx, uint64_t off,
		      const uint8_t *bytes, size_t len)
{
	size_t i = 0;

	for (;;) {
		size_t first;

		while (i < len && !bytes[i])
			i++;
		if (i == len)
			return true;
		first = i;
		while (i < len && bytes[i])
			i++;
		if (!add_stretch(work, memory_idx, off + first, i - first))
			return false;
	}
}

static bool add_memory(struct work *work, uint32_t memory_idx, uint8_t *chunk)
{
	const struct bake_memory *memory = &work->request->memories[memory_idx];
	const struct bake_content *content = &memory->content;
	uint64_t off = 0, from = 0, len;

	while (content->next(content->owner, from, &off, &len)) {
		if (len > CHUNK_BYTES)
			len = CHUNK_BYTES;
		if (!content->read(content->owner, off, chunk, len))
			return refuse(work, "memory %u cannot be read",
				      memory_idx);
		if (!add_bytes(work, memory_idx, off, chunk, (size_t)len))
			return false;
		from = off + len;
	}
	return true;
}

/* An imported memory's content is another module's to write, or the caller's. */
static bool check_imported(struct work *work, uint32_t memory_idx,
			   size_t count_before)
{
	if (!work->request->memories[memory_idx].is_imported ||
	    work->count == count_before)
		return true;
	return refuse(
		work,
		"memory %u is imported and holds data, which a data segment would write into any memory that is given",
		memory_idx);
}

static bool list_stretches(struct work *work)
{
	const struct bake_request *request = work->request;
	uint32_t max = request->max_segments;
	uint8_t *chunk = malloc(CHUNK_BYTES);
	bool is_good = chunk || refuse(work, "no memory");

	if (is_good && (work->kept_count > max ||
			max - work->kept_count <= request->memory_count))
		is_good = refuse(
			work,
			"the module keeps %u data segments, and %u in all are the most that runtimes take",
			work->kept_count, max);
	work->most = max - work->kept_count;
	work->baked->gap_bytes = BAKE_GAP_BYTES;
	for (uint32_t i = 0; i < request->memory_count && is_good; i++) {
		size_t before = work->count;
		bool is_segments = request->memories[i].is_imported &&
				   !request->has_started;

		/* Segments that are kept write that content. */
		if (!request->memories[i].content.owner || is_segments)
			continue;
		is_good = add_memory(work, i, chunk) &&
			  check_imported(work, i, before);
	}
	free(chunk);
	return is_good;
}

/* ----------------------------------------------------------------- writing */

/* Writes where out is not NULL, counts always. */
struct sink {
	uint8_t *out;
	uint64_t len;
	bool has_failed; /* content that cannot be had */
};

static void put_bytes(struct sink *sink, const void *bytes, uint64_t len)
{
	if (sink->out && len)
		memcpy(sink->out + sink->len, bytes, (size_t)len);
	sink->len += len;
}

static void put_byte(struct sink *sink, uint8_t byte)
{
	put_bytes(sink, &byte, 1);
}

static void put_uleb(struct sink *sink, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		put_byte(sink, (uint8_t)(value | 0x80));
	put_byte(sink, (uint8_t)value);
}

static void put_sleb(struct sink *sink, int64_t value)
{
	for (; value < -64 || value > 63; value >>= 7)
		put_byte(sink, (uint8_t)((uint64_t)value | 0x80));
	put_byte(sink, (uint8_t)((uint64_t)value & 0x7f));
}

/* An active segment up to its bytes. */
static void put_segment(const struct work *work, struct sink *sink,
			uint32_t memory_idx, uint64_t off, uint64_t len)
{
	bool is_64 = work->request->memories[memory_idx].is_64;

	put_byte(sink, memory_idx ? 2 : 0);
	if (memory_idx)
		put_uleb(sink, memory_idx);
	put_byte(sink, is_64 ? 0x42 : 0x41);
	put_sleb(sink, is_64 ? (int64_t)off : (int64_t)(int32_t)off);
	put_byte(sink, 0x0b);
	put_uleb(sink, len);
}

static void put_stretch(const struct work *work, struct sink *sink, size_t i)
{
	const struct stretch *stretch = &work->stretches[i];
	const struct bake_content *content =
		&work->request->memories[stretch->memory_idx].content;

	put_segment(work, sink, stretch->memory_idx, stretch->off,
		    stretch->len);
	if (sink->out && !content->read(content->owner, stretch->off,
					sink->out + sink->len, stretch->len))
		sink->has_failed = true;
	sink->len += stretch->len;
}

static void put_data_count(const struct work *work, struct sink *sink)
{
	size_t count = work->kept_count + work->count;

	put_uleb(sink, count > work->old_count ? count : work->old_count);
}

static void put_data(const struct work *work, struct sink *sink)
{
	size_t next = 0;

	put_data_count(work, sink);
	for (uint32_t i = 0; i < work->old_count; i++) {
		const struct old_segment *old = &work->old[i];

		if (old->is_kept)
			put_bytes(sink, work->request->module + old->off,
				  old->end - old->off);
		else if (next < work->count)
			put_stretch(work, sink, next++);
		else
			put_segment(work, sink, 0, 0, 0);
	}
	while (next < work->count)
		put_stretch(work, sink, next++);
}

static void put_memories(const struct work *work, struct sink *sink)
{
	const struct bake_request *request = work->request;

	put_uleb(sink, count_defined(request));
	for (uint32_t i = 0; i < request->memory_count; i++) {
		const struct bake_memory *memory = &request->memories[i];
		const struct limits *limits = &work->limits[i];

		if (memory->is_imported)
			continue;
		put_byte(sink, limits->flags);
		put_uleb(sink, memory->size_bytes / memory->page_bytes);
		put_bytes(sink, request->module + limits->rest,
			  limits->end - limits->rest);
	}
}

static void put_section(const struct work *work, struct sink *sink, uint8_t id,
			void (*put_body)(const struct work *work,
					 struct sink *sink))
{
	struct sink counted = { .len = 0 };

	put_body(work, &counted);
	put_byte(sink, id);
	put_uleb(sink, counted.len);
	put_body(work, sink);
}

static void put_old_section(const struct work *work, struct sink *sink,
			    const struct section *section)
{
	switch (section->id) {
	case SECTION_MEMORY:
		put_section(work, sink, section->id, put_memories);
		break;
	case SECTION_DATA:
		put_section(work, sink, section->id, put_data);
		break;
	case SECTION_DATA_COUNT:
		put_section(work, sink, section->id, put_data_count);
		break;
	case SECTION_START:
		work->baked->is_start_removed = work->request->has_started;
		if (work->request->has_started)
			break;
		/* fall through */
	default:
		put_bytes(sink, work->request->module + section->start,
			  section->end - section->start);
	}
}

static void put_module(const struct work *work, struct sink *sink)
{
	bool needs_data = !work->has_data_section && work->count;
	struct in in = sections_of(work);
	struct section section;

	put_bytes(sink, work->request->module, in.off);
	while (next_section(&in, &section)) {
		put_old_section(work, sink, &section);
		/* A data section is the last but for custom ones. */
		if (needs_data && section.end == work->data_off)
			put_section(work, sink, SECTION_DATA, put_data);
	}
}

static bool write_module(struct work *work)
{
	struct sink counted = { .len = 0 }, written = { .len = 0 };
	struct baked *baked = work->baked;

	put_module(work, &counted);
	if (counted.len > BAKE_MAX_BYTES)
		return refuse(work,
			      "the module would have %" PRIu64
			      " bytes; 1 GiB is the most that runtimes take",
			      counted.len);
	written.out = malloc((size_t)counted.len + 1);
	if (!written.out)
		return refuse(work, "no memory for %" PRIu64 " bytes",
			      counted.len);
	put_module(work, &written);
	if (written.has_failed) {
		free(written.out);
		return refuse(work, "the content cannot be read");
	}
	baked->bytes = written.out;
	baked->length_bytes = (size_t)written.len;
	baked->segment_count = (uint32_t)work->count;
	for (size_t i = 0; i < work->count; i++)
		baked->segment_bytes += work->stretches[i].len;
	return true;
}

bool bake_module(const struct bake_request *request, struct baked *baked)
{
	struct work work = { .request = request, .baked = baked };
	bool is_good;

	*baked = (struct baked){ .bytes = NULL };
	if (request->module_bytes < 8)
		return refuse(&work, "byte 0: this is no module");
	work.limits =
		calloc((size_t)request->memory_count + 1, sizeof(*work.limits));
	is_good = work.limits || refuse(&work, "no memory");
	is_good = is_good && read_module(&work) && list_stretches(&work) &&
		  write_module(&work);
	free(work.limits);
	free(work.old);
	free(work.stretches);
	return is_good;
}
