/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* delta_bytes.c - writing, checking and reading a delta; see delta_bytes.h. */
#include "delta_bytes.h"
#include "base/bits.h"
#include "base/checksum.h"
#include "base/copy.h"

#define FORMAT 1
#define TABLES_OFF 4
#define SUM_OFF 8
#define LINES_OFF 16
#define DIGEST_OFF 24
#define TAG_OFF 56
#define LINE FL__DELTA_LINE_BYTES
#define HEAD FL__DELTA_HEAD_BYTES
#define LEB_MAX 10u

static const uint8_t magic[4] = { 'F', 'L', 'D', FORMAT };

static const char *const kind_names[] = {
	[FL__DELTA_END] = "end",
	[FL__DELTA_MEMORY] = "memory",
	[FL__DELTA_TABLE] = "table",
	[FL__DELTA_VALUES] = "encoded table",
	[FL__DELTA_STRUCTURE] = "structure",
	[FL__DELTA_DROPPED_DATA] = "dropped data segments",
	[FL__DELTA_DROPPED_ELEMENTS] = "dropped element segments",
	[FL__DELTA_STATE] = "state",
};

static void put_number(uint8_t *at, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static uint64_t sum_of(const uint8_t *bytes, uint64_t length_bytes)
{
	return fl__checksum(get_number(bytes, 8), bytes + LINES_OFF,
			    length_bytes - LINES_OFF);
}

static uint64_t lines_of(uint64_t length_bytes)
{
	return length_bytes / LINE + (length_bytes % LINE != 0);
}

/* ----------------------------------------------------------------- bounding */

void fl__delta_bound_begin(struct fl__delta_bound *bound, const char *encoding,
			   uint32_t instance_count)
{
	*bound = (struct fl__delta_bound){
		.table_bytes = 2 * LEB_MAX + strlen(encoding) + instance_count,
	};
}

/* Kind, index, length and end. */
static void bound_part(struct fl__delta_bound *bound)
{
	bound->table_bytes += 2 + 2 * LEB_MAX;
}

/* In a stretch of n lines at most every second line begins a run. A run of fewer
 * than 128 lines takes two bytes, as many as the lines that it and the line before
 * it are; longer runs and gaps take one byte more for each 127 lines. */
void fl__delta_bound_lines(struct fl__delta_bound *bound, uint64_t stretches,
			   uint64_t bytes)
{
	uint64_t lines = lines_of(bytes) + stretches;

	bound_part(bound);
	bound->lines += lines;
	bound->table_bytes += lines + lines / 32 + 2 * LEB_MAX * stretches;
}

void fl__delta_bound_items(struct fl__delta_bound *bound, uint64_t items)
{
	bound_part(bound);
	bound->table_bytes += 3 * LEB_MAX * items;
}

bool fl__delta_bound_bytes(const struct fl__delta_bound *bound, uint64_t *bytes)
{
	return bound->table_bytes <= UINT32_MAX &&
	       !fl_mul_overflow(bound->lines, LINE, bytes) &&
	       !fl_add_overflow(*bytes, HEAD + bound->table_bytes, bytes);
}

/* ------------------------------------------------------------------ writing */

static void put(struct fl__delta_out *out, uint64_t value)
{
	for (; value > 127; value >>= 7)
		out->bytes[out->at++] = (uint8_t)(value | 128);
	out->bytes[out->at++] = (uint8_t)value;
}

void fl__delta_begin(struct fl__delta_out *out,
		     const struct fl__delta_bound *bound, uint8_t *bytes,
		     const char *encoding, uint32_t instance_count)
{
	size_t len = strlen(encoding);

	*out = (struct fl__delta_out){ .bytes = bytes };
	out->tables_off = out->at = HEAD + bound->lines * LINE;
	put(out, len);
	memcpy(bytes + out->at, encoding, len);
	out->at += len;
	put(out, instance_count);
}

void fl__delta_part(struct fl__delta_out *out, enum fl__delta_kind kind,
		    uint32_t idx, uint64_t length)
{
	out->part_at = out->at;
	out->part_lines = out->lines;
	out->kind = kind;
	out->length = length;
	out->last_end = out->run_first = out->run_count = 0;
	out->has_runs = false;
	put(out, kind);
	if (fl__delta_has_index(kind))
		put(out, idx);
	put(out, length);
}

static void run_flush(struct fl__delta_out *out)
{
	if (!out->run_count)
		return;
	put(out, out->run_count);
	put(out, out->run_first - out->last_end);
	out->last_end = out->run_first + out->run_count;
	out->run_count = 0;
	out->has_runs = true;
}

void fl__delta_value(struct fl__delta_out *out, uint64_t value)
{
	put(out, value + 1);
}

static void items_add(struct fl__delta_out *out, uint64_t idx, uint64_t count)
{
	if (out->run_count && idx == out->run_first + out->run_count) {
		out->run_count += count;
		return;
	}
	run_flush(out);
	out->run_first = idx;
	out->run_count = count;
}

void fl__delta_item(struct fl__delta_out *out, uint64_t idx)
{
	items_add(out, idx, 1);
}

static uint8_t *lines_add(struct fl__delta_out *out, uint64_t line,
			  uint64_t count)
{
	uint8_t *to = out->bytes + HEAD + out->lines * LINE;

	out->lines += count;
	fl_assert(HEAD + out->lines * LINE <= out->tables_off);
	items_add(out, line, count);
	return to;
}

static void line_add(struct fl__delta_out *out, uint64_t line,
		     const uint8_t *here, uint64_t len)
{
	uint8_t *to = lines_add(out, line, 1);

	memcpy(to, here, (size_t)len);
	if (len < LINE)
		memset(to + len, 0, (size_t)(LINE - len));
}

/* Take the lines of at most 64 that differ, and put those of there in their
 * place where they are to be brought back. */
static inline bool masked_lines(struct fl__delta_out *out, uint64_t line,
				uint8_t *here, const uint8_t *there,
				size_t count, bool brings_back)
{
	uint64_t mask = fl__copy_differ(here, there, count);
	bool is_any = mask != 0;

	while (mask) {
		unsigned int first = (unsigned int)__builtin_ctzll(mask);
		uint64_t above = ~(mask >> first);
		unsigned int n = above ? (unsigned int)__builtin_ctzll(above) :
					 64;
		uint8_t *at = here + first * LINE;
		uint8_t *to = lines_add(out, line + first, n);

		/* Line by line: most runs are of one. */
		for (unsigned int i = 0; i < n; i++, at += LINE, to += LINE) {
			memcpy(to, at, LINE);
			if (brings_back && there)
				memcpy(at, there + (at - here), LINE);
			else if (brings_back)
				memset(at, 0, LINE);
		}
		mask = first + n < 64 ? mask & UINT64_MAX << (first + n) : 0;
	}
	return is_any;
}

void fl__delta_lines(struct fl__delta_out *out, uint64_t off, const void *here,
		     const void *there, uint64_t len)
{
	static const uint8_t zeroes[LINE];
	/* Nothing is brought back. */
	uint8_t *at = (uint8_t *)(uintptr_t)here;
	const uint8_t *was = there;
	uint64_t line = off / LINE, step;

	fl_assert(off % LINE == 0);
	for (; len >= LINE; len -= step * LINE, line += step) {
		step = fl_min_u64(len / LINE, 64);
		(void)masked_lines(out, line, at, was, (size_t)step, false);
		at += step * LINE;
		was = was ? was + step * LINE : NULL;
	}
	if (len && memcmp(at, was ? was : zeroes, (size_t)len) != 0)
		line_add(out, line, at, len);
}

bool fl__delta_lines_back(struct fl__delta_out *out, uint64_t off, void *here,
			  const void *there, uint64_t len)
{
	uint8_t *at = here;
	const uint8_t *was = there;
	uint64_t line = off / LINE, step;
	bool is_any = false;

	fl_assert(off % LINE == 0 && len % LINE == 0);
	for (; len; len -= step * LINE, line += step) {
		step = fl_min_u64(len / LINE, 64);
		is_any |= masked_lines(out, line, at, was, (size_t)step, true);
		at += step * LINE;
		was = was ? was + step * LINE : NULL;
	}
	return is_any;
}

void fl__delta_all_lines(struct fl__delta_out *out, uint64_t off,
			 const void *here, uint64_t len)
{
	const uint8_t *at = here;

	fl_assert(off % LINE == 0);
	for (uint64_t done = 0; done < len; done += LINE)
		line_add(out, (off + done) / LINE, at + done,
			 fl_min_u64(len - done, LINE));
}

bool fl__delta_part_end(struct fl__delta_out *out, uint64_t was_length)
{
	run_flush(out);
	if (!out->has_runs && out->length == was_length) {
		out->at = out->part_at;
		return false;
	}
	put(out, 0);
	return true;
}

void fl__delta_instance_end(struct fl__delta_out *out)
{
	put(out, FL__DELTA_END);
}

uint64_t fl__delta_end(struct fl__delta_out *out, const uint8_t *digest,
		       const uint8_t *tag)
{
	uint64_t off = HEAD + out->lines * LINE;
	uint64_t table_bytes = out->at - out->tables_off;

	memmove(out->bytes + off, out->bytes + out->tables_off,
		(size_t)table_bytes);
	memcpy(out->bytes, magic, sizeof(magic));
	put_number(out->bytes + TABLES_OFF, table_bytes, 4);
	put_number(out->bytes + LINES_OFF, out->lines, 8);
	memcpy(out->bytes + DIGEST_OFF, digest, FL__SHA256_BYTES);
	memcpy(out->bytes + TAG_OFF, tag, FL__DELTA_TAG_BYTES);
	put_number(out->bytes + SUM_OFF, sum_of(out->bytes, off + table_bytes),
		   8);
	return off + table_bytes;
}

/* ----------------------------------------------------------------- checking */

struct check {
	struct fl__cursor c;
	const struct fl_snapshot *snapshot; /* NULL: not to be compared */
	uint64_t line, line_count; /* taken, and all */
	uint32_t instance_idx;
	enum fl__delta_kind kind;
	uint32_t idx;
	uint64_t length;
	const struct fl__captured *captured; /* NULL likewise */
};

static void check_fail(struct check *check, int code, uint64_t off,
		       const char *what)
{
	fl__cursor_fail(&check->c, code, off, "%s %u of instance %u: %s",
			kind_names[check->kind], check->idx,
			check->instance_idx, what);
}

static void require(struct check *check, bool is_right, uint64_t off,
		    const char *what)
{
	if (!is_right)
		check_fail(check, -ENOEXEC, off, what);
}

/* A memory of the snapshot can have grown to this length. */
static bool memory_grows_to(const struct check *check)
{
	const struct fl__captured *captured = check->captured;
	const struct fl__module_memory *memory =
		&captured->module->memories[check->idx];
	uint64_t from = captured->images[check->idx]->map.initial_bytes;

	return check->length >= from && check->length <= memory->most_bytes &&
	       (check->length - from) % memory->page_bytes == 0;
}

static bool table_grows_to(const struct check *check)
{
	const struct fl__captured *captured = check->captured;
	const struct fl__captured_table *table = &captured->tables[check->idx];
	const struct fl__limits *limits =
		&captured->module->reader.tables[check->idx].limits;
	uint32_t unit = check->kind == FL__DELTA_TABLE ? table->element_bytes :
							 1;

	return check->length % unit == 0 &&
	       check->length / unit >= table->length &&
	       check->length / unit <= limits->most;
}

static void check_table(struct check *check, uint64_t off)
{
	const struct fl__captured *captured = check->captured;
	bool is_plain = check->kind == FL__DELTA_TABLE;

	require(check,
		captured->has_tables &&
			check->idx < captured->module->reader.table_count &&
			check->idx >=
				captured->module->reader.imported_table_count,
		off, "the snapshot has no such table");
	if (check->c.err)
		return;
	require(check, is_plain == (captured->tables[check->idx].image != NULL),
		off, "the snapshot has the table in the other form");
	if (!check->c.err)
		require(check, table_grows_to(check), off,
			"the table has no such length");
}

static void check_segments(struct check *check, uint64_t off)
{
	const struct fl__reader *reader = &check->captured->module->reader;

	require(check,
		check->length == (check->kind == FL__DELTA_DROPPED_DATA ?
					  reader->data_count :
					  reader->elem_count),
		off, "the module has another number of segments");
}

/* Is there such a part in the snapshot, and can it have this length? */
static void check_part(struct check *check, uint64_t off)
{
	const struct fl__captured *captured = check->captured;

	if (!captured)
		return;
	switch (check->kind) {
	case FL__DELTA_MEMORY:
		require(check,
			check->idx < FL__READER_MAX_MEMORIES &&
				captured->images[check->idx],
			off, "the snapshot has no such memory");
		if (!check->c.err)
			require(check, memory_grows_to(check), off,
				"the memory has no such length");
		break;
	case FL__DELTA_TABLE:
	case FL__DELTA_VALUES:
		check_table(check, off);
		break;
	case FL__DELTA_STRUCTURE:
		require(check,
			captured->structure &&
				check->length ==
					captured->structure->map.initial_bytes,
			off, "the snapshot has no such structure");
		break;
	case FL__DELTA_DROPPED_DATA:
	case FL__DELTA_DROPPED_ELEMENTS:
		check_segments(check, off);
		break;
	default:
		break;
	}
}

static bool is_passive(const struct check *check, uint32_t idx)
{
	const struct fl__reader *reader = &check->captured->module->reader;

	return (check->kind == FL__DELTA_DROPPED_DATA ?
			reader->data[idx].mode :
			reader->elems[idx].mode) == FL__SEGMENT_PASSIVE;
}

/* Only passive segments are dropped while an instance lives, and each once. */
static void check_dropped(struct check *check, uint64_t first, uint64_t count,
			  uint64_t off)
{
	const uint64_t *were;

	if (!check->captured)
		return;
	were = check->kind == FL__DELTA_DROPPED_DATA ?
		       check->captured->dropped_data :
		       check->captured->dropped_elements;
	for (uint64_t i = first; i < first + count && !check->c.err; i++) {
		require(check, is_passive(check, (uint32_t)i), off,
			"the dropped segment is not passive");
		require(check, !were || !fl_bit_get(were, (size_t)i), off,
			"the segment is dropped in the snapshot");
	}
}

static void check_lines(struct check *check, uint64_t first, uint64_t count,
			uint64_t off)
{
	uint64_t last = (first + count) * LINE, at;

	if (count > check->line_count - check->line) {
		check_fail(check, -ENOEXEC, off,
			   "the delta has fewer lines than its runs");
		return;
	}
	check->line += count;
	at = HEAD + check->line * LINE;
	if (last > check->length &&
	    !fl_is_zero(check->c.bytes + at - (last - check->length),
			last - check->length))
		check_fail(check, -ENOEXEC, at - (last - check->length),
			   "bytes beyond the length are not zero");
}

/* A length is no reason to take memory: what the state has beyond the snapshot's
 * is there. */
static void check_state(struct check *check, uint64_t last_first,
			uint64_t last_end, uint64_t off)
{
	const struct fl__captured *captured = check->captured;
	uint64_t were = captured ? lines_of(captured->state_bytes) : 0;
	uint64_t lines = lines_of(check->length);

	if (check->kind == FL__DELTA_STATE && captured && lines > were)
		require(check, last_end == lines && last_first <= were, off,
			"bytes beyond the snapshot's state are missing");
}

/* The number of items. */
static uint64_t check_runs(struct check *check)
{
	uint64_t limit = fl__delta_has_lines(check->kind) ?
				 lines_of(check->length) :
				 check->length;
	uint64_t end = 0, items = 0, first = 0, count, gap;

	for (;;) {
		uint64_t off = check->c.off;

		count = fl__cursor_u64(&check->c, "number of items of a run");
		if (check->c.err)
			return 0;
		if (!count) {
			check_state(check, first, end, off);
			return items;
		}
		gap = fl__cursor_u64(&check->c, "items before a run");
		require(check, gap || !items || check->c.err, off,
			"two runs touch each other");
		require(check, gap <= limit - end && count <= limit - end - gap,
			off, "a run passes the length");
		if (check->c.err)
			return items;
		if (fl__delta_has_lines(check->kind))
			check_lines(check, end + gap, count, off);
		else if (check->kind != FL__DELTA_VALUES)
			check_dropped(check, end + gap, count, off);
		first = end + gap;
		end = first + count;
		items += count;
	}
}

/* In an order, so that none comes twice. False: the last one of an instance. */
static bool check_next_part(struct check *check, uint64_t *order)
{
	uint64_t off = check->c.off, items;
	uint8_t kind = fl__cursor_choice(&check->c, "kind of a part",
					 FL__DELTA_STATE, "at most 7");

	if (check->c.err || !kind)
		return false;
	check->kind = (enum fl__delta_kind)kind;
	check->idx = fl__delta_has_index(check->kind) ?
			     fl__cursor_u32(&check->c, "index of a part") :
			     0;
	check->length = fl__cursor_u64(&check->c, "length of a part");
	require(check, ((uint64_t)kind << 32 | check->idx) > *order, off,
		"parts are not in order");
	*order = (uint64_t)kind << 32 | check->idx;
	if (!check->c.err)
		check_part(check, off);
	items = check->c.err ? 0 : check_runs(check);
	if (check->kind != FL__DELTA_VALUES)
		return !check->c.err;
	while (items-- && !check->c.err)
		(void)fl__cursor_u64(&check->c, "value of an element");
	return !check->c.err;
}

static void check_encoding(struct check *check)
{
	uint64_t off = check->c.off;
	uint32_t len = fl__cursor_count(&check->c,
					"bytes of the encoding's name", 1, 255);
	struct fl__view name =
		fl__cursor_skip(&check->c, "encoding's name", len);
	const char *wanted = check->snapshot->encoding;

	if (check->c.err)
		return;
	if (strlen(wanted) == len &&
	    !memcmp(check->c.bytes + name.off, wanted, len))
		return;
	fl__cursor_fail(
		&check->c, -ENOTSUP, off,
		"the delta is encoded as \"%.*s\", the snapshot as \"%.80s\"",
		(int)fl_min_u64(len, 80),
		(const char *)check->c.bytes + name.off, wanted);
}

static void check_tables(struct check *check)
{
	const struct fl_snapshot *snapshot = check->snapshot;
	uint64_t off, order;
	uint32_t count;

	check_encoding(check);
	off = check->c.off;
	count = fl__cursor_count(&check->c, "number of instances", 1,
				 FL__SNAPSHOT_MAX_INSTANCES);
	if (!check->c.err && snapshot->count && count != snapshot->count)
		fl__cursor_fail(
			&check->c, -ENOEXEC, off,
			"the delta is of %u instances, the snapshot of %u",
			count, snapshot->count);
	for (; check->instance_idx < count && !check->c.err;
	     check->instance_idx++) {
		check->captured =
			snapshot->count ?
				&snapshot->instances[check->instance_idx] :
				NULL;
		order = 0;
		while (check_next_part(check, &order))
			continue;
	}
	if (!check->c.err && fl__cursor_left(&check->c))
		fl__cursor_fail(&check->c, -ENOEXEC, check->c.off,
				"bytes follow the last instance");
	if (!check->c.err && check->line != check->line_count)
		fl__cursor_fail(&check->c, -ENOEXEC, LINES_OFF,
				"the delta has lines of no run");
}

/* Everything but the tables, and where these begin. */
static int check_head(const uint8_t *bytes, uint64_t length_bytes,
		      uint64_t *tables_off, struct fl_error *error)
{
	uint64_t lines, table_bytes, room;

	if (length_bytes < HEAD)
		return fl__error_set_at(
			error, -ENOEXEC, length_bytes,
			"the delta ends within its head of %u bytes", HEAD);
	if (memcmp(bytes, magic, 3) != 0)
		return fl__error_set_at(error, -ENOEXEC, 0,
					"the bytes are no delta");
	if (bytes[3] != FORMAT)
		return fl__error_set_at(
			error, -ENOTSUP, 3,
			"the delta has version %u, which this library does not know",
			bytes[3]);
	table_bytes = get_number(bytes + TABLES_OFF, 4);
	lines = get_number(bytes + LINES_OFF, 8);
	room = length_bytes - HEAD;
	if (lines > room / LINE || lines * LINE + table_bytes != room)
		return fl__error_set_at(
			error, -ENOEXEC, LINES_OFF,
			"the delta has %llu bytes, its head says otherwise: it was cut, or changed",
			fl_llu(length_bytes));
	if (get_number(bytes + SUM_OFF, 8) != sum_of(bytes, length_bytes))
		return fl__error_set_at(
			error, -ENOEXEC, SUM_OFF,
			"the checksum differs: the delta was changed");
	*tables_off = HEAD + lines * LINE;
	return 0;
}

static int check_digest(const uint8_t *is, const uint8_t *wanted,
			struct fl_error *error)
{
	if (!memcmp(is, wanted, FL__SHA256_BYTES))
		return 0;
	return fl__error_set_at(
		error, -EINVAL, DIGEST_OFF,
		"the delta is of snapshot %02x%02x%02x%02x..., not of %02x%02x%02x%02x...; open the snapshot that it was made with",
		is[0], is[1], is[2], is[3], wanted[0], wanted[1], wanted[2],
		wanted[3]);
}

int fl__delta_check(const uint8_t *bytes, uint64_t length_bytes,
		    const struct fl_snapshot *snapshot, const uint8_t *digest,
		    const uint8_t *tag, struct fl_error *error)
{
	struct check check = {
		.c = { .bytes = bytes,
		       .end = length_bytes,
		       .error = error,
		       .scope = "delta" },
		.snapshot = snapshot,
	};
	int err = check_head(bytes, length_bytes, &check.c.off, error);

	if (!err)
		err = check_digest(bytes + DIGEST_OFF, digest, error);
	if (!err && tag && memcmp(bytes + TAG_OFF, tag, FL__DELTA_TAG_BYTES))
		err = fl__error_set_at(
			error, -EINVAL, TAG_OFF,
			"the delta has another tag than the one that was asked for");
	if (err)
		return err;
	check.line_count = get_number(bytes + LINES_OFF, 8);
	check_tables(&check);
	return check.c.err;
}

/* ------------------------------------------------------------------ reading */

uint64_t fl__delta_line_count(const uint8_t *bytes)
{
	return get_number(bytes + LINES_OFF, 8);
}

const uint8_t *fl__delta_digest(const uint8_t *bytes)
{
	return bytes + DIGEST_OFF;
}

const uint8_t *fl__delta_tag(const uint8_t *bytes)
{
	return bytes + TAG_OFF;
}

/* Of bytes that were checked. */
static uint64_t get(const uint8_t **at)
{
	uint64_t value = *(*at)++, byte = value;

	if (value < 128)
		return value;
	value &= 127;
	for (unsigned int shift = 7; byte & 128; shift += 7) {
		byte = *(*at)++;
		value |= (byte & 127) << shift;
	}
	return value;
}

void fl__delta_walk(struct fl__delta_walk *walk, const uint8_t *bytes)
{
	const uint8_t *lines = bytes + HEAD;
	const uint8_t *at = lines + fl__delta_line_count(bytes) * LINE;
	uint64_t len = get(&at);

	at += len;
	walk->instance_count = (uint32_t)get(&at);
	walk->part = (struct fl__delta_part){ .at = at, .line = lines };
}

bool fl__delta_next_run(struct fl__delta_part *part, struct fl__delta_run *run)
{
	run->count = get(&part->at);
	if (!run->count)
		return false;
	run->first = part->end + get(&part->at);
	run->lines = part->line;
	part->end = run->first + run->count;
	if (fl__delta_has_lines(part->kind))
		part->line += run->count * LINE;
	return true;
}

/* Behind the part's runs, and what follows these. */
static void part_skip(struct fl__delta_part *part)
{
	struct fl__delta_run run;
	uint64_t items = 0;

	while (fl__delta_next_run(part, &run))
		items += run.count;
	while (part->kind == FL__DELTA_VALUES && items--)
		(void)get(&part->at);
}

bool fl__delta_walk_next(struct fl__delta_walk *walk)
{
	struct fl__delta_part *part = &walk->part;

	if (part->kind != FL__DELTA_END)
		part_skip(part);
	while (part->instance_idx < walk->instance_count) {
		part->kind = (enum fl__delta_kind)get(&part->at);
		if (part->kind != FL__DELTA_END) {
			part->idx = fl__delta_has_index(part->kind) ?
					    (uint32_t)get(&part->at) :
					    0;
			part->length = get(&part->at);
			part->end = 0;
			return true;
		}
		part->instance_idx++;
	}
	return false;
}

const uint8_t *fl__delta_values(const struct fl__delta_part *part)
{
	struct fl__delta_part skipped = *part;
	struct fl__delta_run run;

	while (fl__delta_next_run(&skipped, &run))
		continue;
	return skipped.at;
}

uint64_t fl__delta_next_value(const uint8_t **at)
{
	return get(at) - 1;
}

bool fl__delta_find(const uint8_t *bytes, uint32_t instance_idx,
		    enum fl__delta_kind kind, uint32_t idx,
		    struct fl__delta_part *part)
{
	struct fl__delta_walk walk;

	fl__delta_walk(&walk, bytes);
	while (fl__delta_walk_next(&walk)) {
		*part = walk.part;
		if (part->instance_idx > instance_idx)
			return false;
		if (part->instance_idx == instance_idx && part->kind == kind &&
		    part->idx == idx)
			return true;
	}
	return false;
}
