/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* delta_check.c - checking a delta's bytes, which are hostile; see delta_bytes.h. */
#include "delta_bytes.h"
#include "base/bits.h"

#define LINE FL__DELTA_LINE_BYTES
#define HEAD FL__DELTA_HEAD_BYTES

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
	uint64_t were = captured ? fl__delta_lines_of(captured->state_bytes) :
				   0;
	uint64_t lines = fl__delta_lines_of(check->length);

	if (check->kind == FL__DELTA_STATE && captured && lines > were)
		require(check, last_end == lines && last_first <= were, off,
			"bytes beyond the snapshot's state are missing");
}

/* The number of items. */
static uint64_t check_runs(struct check *check)
{
	uint64_t limit = fl__delta_has_lines(check->kind) ?
				 fl__delta_lines_of(check->length) :
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
		fl__cursor_fail(&check->c, -ENOEXEC, off,
				"the delta is of %u %s, the snapshot of %u",
				count, fl_noun(count, "instance", "instances"),
				snapshot->count);
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
		fl__cursor_fail(&check->c, -ENOEXEC, FL__DELTA_LINES_OFF,
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
	if (memcmp(bytes, FL__DELTA_MAGIC, FL__DELTA_FORMAT_OFF) != 0)
		return fl__error_set_at(error, -ENOEXEC, 0,
					"the bytes are no delta");
	if (bytes[FL__DELTA_FORMAT_OFF] != FL__DELTA_FORMAT)
		return fl__error_set_at(
			error, -ENOTSUP, FL__DELTA_FORMAT_OFF,
			"the delta has version %u, which this library does not know",
			bytes[FL__DELTA_FORMAT_OFF]);
	table_bytes = fl__delta_get(bytes + FL__DELTA_TABLES_OFF, 4);
	lines = fl__delta_get(bytes + FL__DELTA_LINES_OFF, 8);
	room = length_bytes - HEAD;
	if (lines > room / LINE || lines * LINE + table_bytes != room)
		return fl__error_set_at(
			error, -ENOEXEC, FL__DELTA_LINES_OFF,
			"the delta has %llu bytes, its head says otherwise: it was cut, or changed",
			fl_llu(length_bytes));
	if (fl__delta_get(bytes + FL__DELTA_SUM_OFF, 8) !=
	    fl__delta_sum(bytes, length_bytes))
		return fl__error_set_at(
			error, -ENOEXEC, FL__DELTA_SUM_OFF,
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
		error, -EINVAL, FL__DELTA_DIGEST_OFF,
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
		err = check_digest(bytes + FL__DELTA_DIGEST_OFF, digest, error);
	if (!err && tag &&
	    memcmp(bytes + FL__DELTA_TAG_OFF, tag, FL__DELTA_TAG_BYTES))
		err = fl__error_set_at(
			error, -EINVAL, FL__DELTA_TAG_OFF,
			"the delta has another tag than the one that was asked for");
	if (err)
		return err;
	check.line_count = fl__delta_get(bytes + FL__DELTA_LINES_OFF, 8);
	check_tables(&check);
	return check.c.err;
}
