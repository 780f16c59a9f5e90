/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* reader_check.c - see reader_check.h. */
#include "random.h"
#include "reader_check.h"
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALL_CUTS_BYTES 4096u
#define RANDOM_CUTS 1000

void guard_open(struct guard *guard, size_t max_length)
{
	size_t hpage_bytes = (size_t)sysconf(_SC_PAGESIZE);

	guard->bytes = fl_round_up(max_length + 1, hpage_bytes);
	guard->start = mmap(NULL, guard->bytes + hpage_bytes,
			    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	MUST(guard->start != MAP_FAILED);
	MUST(!mprotect(guard->start + guard->bytes, hpage_bytes, PROT_NONE));
}

void guard_close(struct guard *guard)
{
	munmap(guard->start, guard->bytes + (size_t)sysconf(_SC_PAGESIZE));
}

const uint8_t *guard_copy(const struct guard *guard, const void *bytes,
			  size_t length)
{
	uint8_t *copy = guard->start + guard->bytes - length;

	MUST(length <= guard->bytes);
	if (length)
		memcpy(copy, bytes, length);
	return copy;
}

static bool view_fits(const struct fl__reader *r, struct fl__view view)
{
	return fl_range_fits(view.off, view.len, r->length);
}

static void check_const(const struct fl__reader *r, const struct fl__const *c)
{
	const struct fl__globals none = { NULL, 0, NULL };
	uint64_t value = 0;

	CHECK(view_fits(r, c->expr));
	if (c->known == FL__KNOWN_YES)
		CHECK(fl__reader_eval(r, c, &none, &value) &&
		      value == c->value);
	else if (c->known == FL__KNOWN_IMPORT && c->expr.len)
		CHECK(!fl__reader_eval(r, c, &none, &value));
	else
		CHECK(!fl__reader_eval(r, c, &none, &value));
}

static void check_entities(const struct fl__reader *r)
{
	for (uint32_t i = 0; i < r->memory_count; i++) {
		const struct fl__memory_type *memory = &r->memories[i];

		CHECK_EQ(memory->import_module.off != 0,
			 i < r->imported_memory_count);
		CHECK_EQ(memory->import_name.off != 0,
			 i < r->imported_memory_count);
		CHECK(memory->limits.min <= memory->limits.max);
		CHECK(view_fits(r, memory->import_module));
		CHECK(view_fits(r, memory->import_name));
		CHECK(view_fits(r, memory->export_name));
	}
	for (uint32_t i = 0; i < r->table_count; i++) {
		const struct fl__table_type *table = &r->tables[i];

		CHECK(table->limits.min <= table->limits.max);
	}
	for (uint32_t i = 0; i < r->global_count; i++) {
		CHECK_EQ(!r->globals[i].init.expr.len,
			 i < r->imported_global_count);
		check_const(r, &r->globals[i].init);
	}
}

/* Marks are in order, as far apart as they have to be, and no item begins far
 * behind the mark before it: that of the walk to an item. */
static void check_marks(const struct fl__reader *r, const struct fl__elem *elem)
{
	struct fl__mark last = { 0, 0 };

	CHECK(fl_range_fits(elem->first_mark, elem->mark_count, r->mark_count));
	for (uint32_t i = 0; i < elem->mark_count; i++) {
		struct fl__mark mark = r->marks[elem->first_mark + i];

		CHECK(mark.idx > last.idx && mark.idx < elem->count);
		CHECK(mark.off - last.off >= FL__MARK_BYTES);
		CHECK(mark.idx - last.idx <= FL__MARK_BYTES);
		CHECK(mark.off < elem->items.len);
		last = mark;
	}
	CHECK(elem->count - last.idx <= FL__MARK_BYTES);
}

static void check_segments(const struct fl__reader *r)
{
	for (uint32_t i = 0; i < r->data_count; i++) {
		const struct fl__data *data = &r->data[i];

		CHECK(view_fits(r, data->whole));
		CHECK(data->bytes.off > data->whole.off);
		CHECK_EQ(data->bytes.off + data->bytes.len,
			 data->whole.off + data->whole.len);
		CHECK(view_fits(r, data->bytes));
		if (data->mode != FL__SEGMENT_ACTIVE)
			continue;
		CHECK(data->memory_idx < r->memory_count);
		check_const(r, &data->offset);
	}
	for (uint32_t i = 0; i < r->elem_count; i++) {
		const struct fl__elem *elem = &r->elems[i];

		CHECK(view_fits(r, elem->items));
		CHECK(elem->count <= elem->items.len);
		check_marks(r, elem);
		if (elem->mode != FL__SEGMENT_ACTIVE)
			continue;
		CHECK(elem->table_idx < r->table_count);
		check_const(r, &elem->offset);
	}
}

static void check_read_error(const struct fl__reader *r, int err,
			     const struct fl_error *error, size_t length)
{
	static const struct fl__reader nothing;

	CHECK_EQ(error->code, err);
	CHECK(err == -ENOEXEC || err == -ENOTSUP || err == -E2BIG ||
	      err == -ENOMEM);
	CHECK(error->byte_off <= length);
	CHECK(strlen(error->text) > 10);
	CHECK(r->memories == nothing.memories && !r->data_count &&
	      r->data == nothing.data && !r->bytes);
}

int check_read(const struct guard *guard, const void *bytes, size_t length,
	       struct fl_error *error)
{
	const uint8_t *copy = guard_copy(guard, bytes, length);
	struct fl_error own = { 0 };
	struct fl__reader reader;
	int err = fl__reader_read(&reader, copy, length, &own);

	if (error)
		*error = own;
	if (err) {
		check_read_error(&reader, err, &own, length);
		return err;
	}
	CHECK(!own.code);
	check_entities(&reader);
	check_segments(&reader);
	fl__reader_fini(&reader);
	return 0;
}

/* -------------------------------------------------------------------- cuts */

/* Offsets at which a section ends, the header's end first. */
struct edges {
	size_t off[64];
	size_t count;
};

/* Of a valid module, so nothing is checked. */
static void edges_find(struct edges *edges, const uint8_t *bytes, size_t length)
{
	size_t off = 8;

	edges->off[0] = off;
	edges->count = 1;
	while (off < length && edges->count < TEST_ARRAY_SIZE(edges->off)) {
		size_t size = 0;
		unsigned int shift = 0;

		do {
			size |= (size_t)(bytes[++off] & 0x7f) << shift;
			shift += 7;
		} while (bytes[off] & 0x80);
		off += 1 + size;
		edges->off[edges->count++] = off;
	}
}

static bool edges_have(const struct edges *edges, size_t off)
{
	for (size_t i = 0; i < edges->count; i++) {
		if (edges->off[i] == off)
			return true;
	}
	return false;
}

static void check_cut(const struct guard *guard, const struct edges *edges,
		      const uint8_t *bytes, size_t cut)
{
	struct fl_error error;
	int err = check_read(guard, bytes, cut, &error);

	if (!CHECK(err == -ENOEXEC || (!err && edges_have(edges, cut))))
		test_note("cut at %zu: %d, %s", cut, err,
			  err ? error.text : "");
}

void check_cuts(const uint8_t *bytes, size_t length)
{
	struct test_random random = { .state = length };
	struct edges edges;
	struct guard guard;

	guard_open(&guard, length);
	MUST(!check_read(&guard, bytes, length, NULL));
	edges_find(&edges, bytes, length);
	if (length <= ALL_CUTS_BYTES) {
		for (size_t cut = 0; cut < length; cut++)
			check_cut(&guard, &edges, bytes, cut);
	} else {
		for (size_t i = 0; i < edges.count; i++) {
			check_cut(&guard, &edges, bytes, edges.off[i] - 1);
			check_cut(&guard, &edges, bytes, edges.off[i]);
			if (edges.off[i] < length)
				check_cut(&guard, &edges, bytes,
					  edges.off[i] + 1);
		}
		for (int i = 0; i < RANDOM_CUTS; i++)
			check_cut(&guard, &edges, bytes,
				  test_random_below(&random, length));
	}
	guard_close(&guard);
}
