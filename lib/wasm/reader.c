/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* reader.c - the walk over the sections of a module; see reader.h. */
#include "reader.h"
#include "reader_pass.h"

#include <inttypes.h>
#include <stdlib.h>

/* The header: these four bytes, a version and a layer of two bytes each. */
static const uint8_t reader_magic[4] = { 0x00, 'a', 's', 'm' };

enum {
	HEADER_BYTES = 8,
	CORE_VERSION = 1,
	LAYER_COMPONENT = 1,
	SECTION_CUSTOM = 0,
	SECTION_STRINGS = 14,
};

/* ----------------------------------------------------------------- exports */

struct fl__export_name {
	const uint8_t *bytes;
	uint64_t len;
};

static int export_compare(const void *a, const void *b)
{
	const struct fl__export_name *left = a, *right = b;
	int order;

	if (left->len != right->len)
		return left->len < right->len ? -1 : 1;
	order = left->len ?
			memcmp(left->bytes, right->bytes, (size_t)left->len) :
			0;
	if (order)
		return order;
	/* Equal names stay in the order of the file. */
	return left->bytes < right->bytes ? -1 : left->bytes > right->bytes;
}

/* What follows the count of a section's items. */
static struct fl__view items_left(const struct fl__pass *p)
{
	return (struct fl__view){ .off = p->cursor.off,
				  .len = fl__cursor_left(&p->cursor) };
}

static void begin_exports(struct fl__pass *p, uint32_t count)
{
	p->reader->export_count = count;
	p->reader->exports = items_left(p);
	p->exports = malloc((count + (size_t)1) * sizeof(*p->exports));
	if (!p->exports)
		fl__cursor_fail(&p->cursor, -ENOMEM, p->cursor.off,
				"no memory to check %" PRIu32 " %s", count,
				fl_noun(count, "export", "exports"));
}

static void read_export(struct fl__pass *p, uint32_t export_idx)
{
	static const struct {
		const char *index, *of;
	} kinds[] = {
		[FL__KIND_FUNC] = { "function index", "functions" },
		[FL__KIND_TABLE] = { "table index", "tables" },
		[FL__KIND_MEMORY] = { "memory index", "memories" },
		[FL__KIND_GLOBAL] = { "global index", "globals" },
		[FL__KIND_TAG] = { "tag index", "tags" },
	};
	struct fl__cursor *c = &p->cursor;
	struct fl__reader *r = p->reader;
	const uint32_t counts[] = { r->func_count, r->table_count,
				    r->memory_count, r->global_count,
				    r->tag_count };
	struct fl__view name = fl__cursor_name(c, "name of the export");
	uint8_t kind = fl__cursor_choice(c, "kind of the export", FL__KIND_TAG,
					 FL__KINDS);
	uint32_t idx = fl__cursor_index(c, kinds[kind].index, counts[kind],
					kinds[kind].of);

	p->exports[export_idx].bytes = r->bytes + name.off;
	p->exports[export_idx].len = name.len;
	if (c->err)
		return;
	if (kind == FL__KIND_TABLE && !r->tables[idx].export_name.off)
		r->tables[idx].export_name = name;
	else if (kind == FL__KIND_MEMORY && !r->memories[idx].export_name.off)
		r->memories[idx].export_name = name;
	else if (kind == FL__KIND_GLOBAL && !r->globals[idx].export_name.off)
		r->globals[idx].export_name = name;
}

/* Sorts the names; a second use of one is an error at its second place. */
static void finish_exports(struct fl__pass *p)
{
	struct fl__export_name *names = p->exports;

	qsort(names, p->reader->export_count, sizeof(*names), export_compare);
	for (uint32_t i = 1; i < p->reader->export_count; i++) {
		if (names[i].len == names[i - 1].len &&
		    (!names[i].len ||
		     !memcmp(names[i].bytes, names[i - 1].bytes,
			     (size_t)names[i].len)))
			fl__cursor_fail(
				&p->cursor, -ENOEXEC,
				(uint64_t)(names[i].bytes - p->cursor.bytes),
				"two exports have the same name");
	}
}

/* ---------------------------------------------------------- small sections */

static void skip_rest(struct fl__pass *p)
{
	p->cursor.off = p->cursor.end;
}

static void read_custom(struct fl__pass *p)
{
	fl__cursor_name(&p->cursor, "name of the section");
	skip_rest(p);
}

static void read_start(struct fl__pass *p)
{
	p->reader->has_start = true;
	p->reader->start_idx =
		fl__cursor_index(&p->cursor, "index of the start function",
				 p->reader->func_count, "functions");
}

static void read_data_count(struct fl__pass *p)
{
	p->declared_data_count =
		fl__cursor_u32(&p->cursor, "count of data segments");
}

static uint32_t defined_funcs(const struct fl__reader *r)
{
	return r->func_count - r->imported_func_count;
}

static void begin_functions(struct fl__pass *p, uint32_t count)
{
	(void)count;
	p->reader->functions = items_left(p);
}

static void begin_code(struct fl__pass *p, uint32_t count)
{
	p->reader->bodies = items_left(p);
	p->body_count = count;
	if (count != defined_funcs(p->reader))
		fl__cursor_fail(&p->cursor, -ENOEXEC, p->contents_off,
				"the code section has %" PRIu32
				" bodies, but the function section has %" PRIu32
				" functions",
				count, defined_funcs(p->reader));
}

/* Bodies are stepped over by their sizes; code.c walks through them. */
static void read_body(struct fl__pass *p, uint32_t idx)
{
	(void)idx;
	fl__cursor_skip(&p->cursor, "code", fl__cursor_u32(&p->cursor, "size"));
}

/* ---------------------------------------------------------------- the walk */

/* A section is a count and as many items, and what finish does; one without
 * read has no items. Items are read by their index, which goes on from the
 * counter in the reader if there is one. */
struct section {
	uint8_t id;
	const char *name;
	const char *counted;
	const char *item;
	uint32_t item_bytes, max;
	size_t counter; /* its place in struct fl__reader */
	void (*begin)(struct fl__pass *p, uint32_t count);
	void (*read)(struct fl__pass *p, uint32_t idx);
	void (*finish)(struct fl__pass *p);
};

#define COUNTER(name) .counter = offsetof(struct fl__reader, name)

/* In the order that a module must have them, but for custom ones. */
static const struct section sections[] = {
	{ SECTION_CUSTOM, "custom section", .finish = read_custom },
	{ 1, "type section", .finish = skip_rest },
	{ 2, "import section", "count of imports", "import", 4,
	  FL__READER_MAX_IMPORTS, .read = fl__reader_read_import },
	{ 3, "function section", "count of functions", "function", 1,
	  UINT32_MAX, COUNTER(func_count), .begin = begin_functions,
	  .read = fl__reader_read_function },
	{ 4, "table section", "count of tables", "table", 3, UINT32_MAX,
	  COUNTER(table_count), .begin = fl__reader_begin_tables,
	  .read = fl__reader_read_table },
	{ 5, "memory section", "count of memories", "memory", 2, UINT32_MAX,
	  COUNTER(memory_count), .begin = fl__reader_begin_memories,
	  .read = fl__reader_read_memory },
	{ 13, "tag section", "count of tags", "tag", 2, UINT32_MAX,
	  COUNTER(tag_count), .read = fl__reader_read_tag },
	{ 6, "global section", "count of globals", "global", 4,
	  FL__READER_MAX_GLOBALS, COUNTER(global_count),
	  .begin = fl__reader_begin_globals, .read = fl__reader_read_global },
	{ 7, "export section", "count of exports", "export", 3,
	  FL__READER_MAX_EXPORTS, .begin = begin_exports, .read = read_export,
	  .finish = finish_exports },
	{ 8, "start section", .finish = read_start },
	{ 9, "element section", "count of element segments", "element segment",
	  3, FL__READER_MAX_SEGMENTS, COUNTER(elem_count),
	  .begin = fl__reader_begin_elements, .read = fl__reader_read_element },
	{ 12, "data count section", .finish = read_data_count },
	{ 10, "code section", "count of function bodies", "function body", 1,
	  UINT32_MAX, .begin = begin_code, .read = read_body },
	{ 11, "data section", "count of data segments", "data segment", 2,
	  FL__READER_MAX_SEGMENTS, COUNTER(data_count),
	  .begin = fl__reader_begin_data, .read = fl__reader_read_data },
};

static const struct section *section_find(uint8_t id)
{
	for (size_t i = 0; i < FL_ARRAY_SIZE(sections); i++) {
		if (sections[i].id == id)
			return &sections[i];
	}
	return NULL;
}

/* The id and the size; the cursor's window becomes the contents. *last is the
 * latest section that was not custom, NULL before the first. NULL after a
 * failure. */
static const struct section *section_open(struct fl__cursor *c,
					  const struct section **last)
{
	uint64_t id_off = c->off;
	uint8_t id = fl__cursor_u8(c, "section id");
	const struct section *section = section_find(id);
	uint32_t size;

	if (id == SECTION_STRINGS)
		fl__cursor_fail_proposal(c, id_off, "string sections",
					 "stringref");
	else if (!section)
		fl__cursor_fail(c, -ENOEXEC, id_off,
				"the section id is %u, expected 0 to 13", id);
	else if (*last && id != SECTION_CUSTOM && section <= *last)
		fl__cursor_fail(c, -ENOEXEC, id_off,
				section == *last ?
					"there is a second %s after the %s" :
					"the %s must come before the %s",
				section->name, (*last)->name);
	size = fl__cursor_u32(c, "section size");
	if (!c->err && size > fl__cursor_left(c))
		fl__cursor_fail(c, -ENOEXEC, id_off,
				"the %s says it has %" PRIu32
				" bytes, but the module has only %" PRIu64
				" left",
				section->name, size, fl__cursor_left(c));
	if (c->err)
		return NULL;
	if (id != SECTION_CUSTOM)
		*last = section;
	c->end = c->off + size;
	c->scope = section->name;
	return section;
}

static void read_items(struct fl__pass *p, const struct section *section)
{
	struct fl__cursor *c = &p->cursor;
	uint32_t none = 0, count;
	uint32_t *counter = &none;

	count = fl__cursor_count(c, section->counted, section->item_bytes,
				 section->max);
	if (section->counter)
		counter = (uint32_t *)(void *)((char *)p->reader +
					       section->counter);
	if (!c->err && section->begin)
		section->begin(p, count);
	c->item = section->item;
	for (; !c->err && count; count--) {
		c->item_idx = *counter;
		section->read(p, *counter);
		++*counter;
	}
	c->item = NULL;
}

static void read_section(struct fl__pass *p, const struct section **last)
{
	struct fl__cursor *c = &p->cursor;
	uint64_t id_off = c->off;
	const struct section *section = section_open(c, last);

	p->id_off = id_off;
	p->contents_off = c->off;
	if (section && section->read)
		read_items(p, section);
	if (!c->err && section->finish)
		section->finish(p);
	if (c->off != c->end)
		fl__cursor_fail(c, -ENOEXEC, c->off,
				"the %s has %" PRIu64
				" bytes too many after its last item",
				c->scope, fl__cursor_left(c));
	if (c->err)
		return;
	c->end = p->reader->length;
	c->scope = "module";
}

static void read_header(struct fl__cursor *c)
{
	const uint8_t *b = c->bytes;
	unsigned version, layer;

	if (c->end < HEADER_BYTES) {
		fl__cursor_fail(
			c, -ENOEXEC, c->end,
			"a WebAssembly module has a header of 8 bytes, these are only %" PRIu64,
			c->end);
		return;
	}
	c->off = HEADER_BYTES;
	version = b[4] | (unsigned)b[5] << 8;
	layer = b[6] | (unsigned)b[7] << 8;
	if (memcmp(b, reader_magic, sizeof(reader_magic)) != 0)
		fl__cursor_fail(
			c, -ENOEXEC, 0,
			"a WebAssembly module starts with 00 61 73 6d, this starts with %02x %02x %02x %02x",
			b[0], b[1], b[2], b[3]);
	else if (layer == LAYER_COMPONENT)
		fl__cursor_fail(
			c, -ENOTSUP, 4,
			"this is a component (component model), not a core module: give Faultline the core modules inside it");
	else if (version != CORE_VERSION || layer)
		fl__cursor_fail(
			c, -ENOEXEC, 4,
			"the version is %u and the layer %u, expected version 1 of layer 0",
			version, layer);
}

/* What shows only when every section was seen. */
static void check_whole(struct fl__pass *p)
{
	const struct fl__reader *r = p->reader;

	if (p->body_count != defined_funcs(r))
		fl__cursor_fail(&p->cursor, -ENOEXEC, p->cursor.off,
				"the function section has %" PRIu32
				" functions, but there is no code section",
				defined_funcs(r));
	if (p->declared_data_count != UINT64_MAX &&
	    p->declared_data_count != r->data_count)
		fl__cursor_fail(&p->cursor, -ENOEXEC, p->cursor.off,
				"the data count section says %" PRIu64
				" segments, but there is no data section",
				p->declared_data_count);
}

int fl__reader_read(struct fl__reader *reader, const void *bytes,
		    uint64_t length, struct fl_error *error)
{
	struct fl__pass p = { .reader = reader,
			      .declared_data_count = UINT64_MAX };
	const struct section *last = NULL;

	*reader = (struct fl__reader){ .bytes = bytes, .length = length };
	p.exprs.reader = reader;
	p.cursor = (struct fl__cursor){
		.bytes = bytes, .end = length, .error = error, .scope = "module"
	};
	if (length > FL__READER_MAX_BYTES)
		fl__cursor_fail(&p.cursor, -E2BIG, FL__READER_MAX_BYTES,
				"the module has %" PRIu64
				" bytes: Faultline reads at most 1 GiB",
				length);
	else
		read_header(&p.cursor);
	while (!p.cursor.err && p.cursor.off < length)
		read_section(&p, &last);
	if (!p.cursor.err)
		check_whole(&p);
	free(p.exprs.stack);
	free(p.exports);
	if (p.cursor.err)
		fl__reader_fini(reader);
	return p.cursor.err;
}

void fl__reader_fini(struct fl__reader *reader)
{
	free(reader->memories);
	free(reader->tables);
	free(reader->globals);
	free(reader->data);
	free(reader->elems);
	free(reader->marks);
	free(reader->func_imports);
	*reader = (struct fl__reader){ 0 };
}
