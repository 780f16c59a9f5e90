/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-bake.c - see wasm-image-bake.h.
 *
 * First the module is read: where its sections are, the limits of its memories,
 * its data segments; what a state is about reads wasm-image-bake-state.c. Then the contents become a list of stretches. Then the new
 * module is written twice by the same functions: once to count the bytes, once
 * to write them.
 */
#include "wasm-image-bake.h"
#include "wasm-image-bake-state.h"
#include "wasm-image-bytes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 65536

struct old_segment {
	bool is_kept, is_dropped;
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
	struct rewrite rewrite;
	struct old_segment *old;
	uint32_t old_count, kept_count;
	uint32_t flag_count; /* of passive segments that code can drop */
	bool has_memory_section, has_data_section;
	size_t data_off, elements_off; /* where one is to be put */
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

	if (!get_limits(in, limits) ||
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

/* The next passive segment is not empty: was it dropped? */
static bool take_flag(struct work *work)
{
	const struct bake_state *state = work->request->state;
	uint32_t flag_idx = work->flag_count++;

	return state && flag_idx < state->data_flag_count &&
	       state->data_flags[flag_idx];
}

static bool check_flags(struct work *work)
{
	const struct bake_state *state = work->request->state;

	if (!state || state->data_flag_count == work->flag_count)
		return true;
	return refuse(
		work,
		"the state is of %u data segments that code can drop, and the module has %u",
		state->data_flag_count, work->flag_count);
}

static bool read_segment(struct work *work, struct in *in,
			 struct old_segment *old)
{
	const struct bake_request *request = work->request;
	uint32_t flags, memory_idx = 0, len;

	old->off = in->off;
	flags = get_u32(in);
	if (flags == 2)
		memory_idx = get_u32(in);
	if (flags != 1)
		skip_expression(in, NULL);
	len = get_u32(in);
	skip(in, len);
	old->end = in->off;
	if (flags == 1 && len)
		old->is_dropped = take_flag(work);
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

static bool read_section(struct work *work, const struct section *section)
{
	switch (section->id) {
	case SECTION_CUSTOM:
		return true;
	case SECTION_MEMORY:
		return read_memories(work, section);
	case SECTION_DATA:
		return read_data(work, section);
	default:
		return rewrite_read(&work->rewrite, section->id,
				    body_of(work, section));
	}
}

/* Sections of these two kinds go behind what was read so far. */
static void note_places(struct work *work, const struct section *section)
{
	if (section->id == SECTION_CUSTOM)
		return;
	work->data_off = section->end;
	if (section->id < SECTION_CODE || section->id == SECTION_TAG)
		work->elements_off = section->end;
}

static bool read_module(struct work *work)
{
	struct in in = sections_of(work);
	struct section section;
	bool is_good = true;

	work->data_off = work->elements_off = in.off;
	while (is_good && next_section(&in, &section)) {
		is_good = read_section(work, &section);
		note_places(work, &section);
	}
	if (is_good && in.has_failed)
		return refuse(work,
			      "byte %zu: the module ends within a section",
			      in.off);
	if (is_good && !work->has_memory_section &&
	    count_defined(work->request))
		return refuse(work, "the module has no memory section");
	return is_good && check_flags(work) && rewrite_finish(&work->rewrite);
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

/* An active segment up to its bytes. */
static void put_segment(const struct work *work, struct sink *sink,
			uint32_t memory_idx, uint64_t off, uint64_t len)
{
	bool is_64 = work->request->memories[memory_idx].is_64;

	put_byte(sink, memory_idx ? 2 : 0);
	if (memory_idx)
		put_uleb(sink, memory_idx);
	put_address(sink, is_64, off);
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

		if (old->is_dropped)
			put_bytes(sink, "\1", 2);
		else if (old->is_kept)
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

static void put_tables(const struct work *work, struct sink *sink)
{
	rewrite_put_tables(&work->rewrite, sink);
}

static void put_globals(const struct work *work, struct sink *sink)
{
	rewrite_put_globals(&work->rewrite, sink);
}

static void put_elements(const struct work *work, struct sink *sink)
{
	rewrite_put_elements(&work->rewrite, sink);
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

/* The sections that are written anew; others stay as they are. */
static const struct {
	enum section_id id;
	bool is_of_state; /* stays without a state, too */
	void (*put_body)(const struct work *work, struct sink *sink);
} written_anew[] = {
	{ SECTION_TABLE, true, put_tables },
	{ SECTION_MEMORY, false, put_memories },
	{ SECTION_GLOBAL, true, put_globals },
	{ SECTION_ELEMENT, true, put_elements },
	{ SECTION_DATA_COUNT, false, put_data_count },
	{ SECTION_DATA, false, put_data },
};

static void put_old_section(const struct work *work, struct sink *sink,
			    const struct section *section)
{
	size_t count = sizeof(written_anew) / sizeof(*written_anew);

	for (size_t i = 0; i < count; i++) {
		if (written_anew[i].id != section->id ||
		    (written_anew[i].is_of_state && !work->request->state))
			continue;
		put_section(work, sink, section->id, written_anew[i].put_body);
		return;
	}
	if (section->id == SECTION_START && work->request->has_started)
		work->baked->is_start_removed = true;
	else
		put_bytes(sink, work->request->module + section->start,
			  section->end - section->start);
}

static void put_module(const struct work *work, struct sink *sink)
{
	bool needs_data = !work->has_data_section && work->count;
	bool needs_elements = rewrite_adds_elements(&work->rewrite);
	struct in in = sections_of(work);
	struct section section;

	put_bytes(sink, work->request->module, in.off);
	while (next_section(&in, &section)) {
		put_old_section(work, sink, &section);
		if (section.id == SECTION_CUSTOM)
			continue;
		if (needs_elements && section.end == work->elements_off)
			put_section(work, sink, SECTION_ELEMENT, put_elements);
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

/* What was mentioned and no longer is. */
static void tell_unmentioned(struct work *work)
{
	struct rewrite *rewrite = &work->rewrite;

	for (uint32_t i = 0; i < rewrite->gone.function_count; i++)
		rewrite->gone.is_mentioned[i] &= !rewrite->kept.is_mentioned[i];
	work->baked->is_unmentioned = rewrite->gone.is_mentioned;
	rewrite->gone.is_mentioned = NULL;
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
	is_good = rewrite_open(&work.rewrite, request, baked->reason,
			       sizeof(baked->reason)) &&
		  (work.limits || refuse(&work, "no memory"));
	is_good = is_good && read_module(&work) && list_stretches(&work) &&
		  write_module(&work);
	if (is_good)
		tell_unmentioned(&work);
	rewrite_close(&work.rewrite);
	free(work.limits);
	free(work.old);
	free(work.stretches);
	return is_good;
}
