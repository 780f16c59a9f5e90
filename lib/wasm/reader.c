/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* reader.c - the walk over the sections of a module; see reader_pass.h. */
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

/* The index spaces that exports name, by kind byte. */
enum {
	EXPORT_FUNC = 0,
	EXPORT_TABLE = 1,
	EXPORT_MEMORY = 2,
	EXPORT_GLOBAL = 3,
	EXPORT_TAG = 4,
};

/* ----------------------------------------------------------------- exports */

struct export_name {
	const uint8_t *bytes;
	uint64_t len;
};

static int export_compare(const void *a, const void *b)
{
	const struct export_name *left = a, *right = b;

	if (left->len != right->len)
		return left->len < right->len ? -1 : 1;
	if (left->len) {
		int order = memcmp(left->bytes, right->bytes, left->len);

		if (order)
			return order;
	}
	/* Equal names stay in the order of the file. */
	return left->bytes < right->bytes ? -1 : left->bytes > right->bytes;
}

/* Sorts names; a second use of a name is an error at its second place. */
static int export_check_unique(const struct fl__cursor *c,
			       struct export_name *names, uint32_t count)
{
	uint64_t off;

	qsort(names, count, sizeof(*names), export_compare);
	for (uint32_t i = 1; i < count; i++) {
		if (names[i].len != names[i - 1].len ||
		    (names[i].len &&
		     memcmp(names[i].bytes, names[i - 1].bytes, names[i].len)))
			continue;
		off = (uint64_t)(names[i].bytes - c->bytes);
		return fl__cursor_fail(c, -ENOEXEC, off,
				       "two exports have the same name");
	}
	return 0;
}

static int read_export_index(struct fl__pass *p, uint8_t kind,
			     uint64_t kind_off, uint32_t *idx)
{
	struct fl__cursor *c = &p->cursor;
	struct fl__reader *r = p->reader;

	switch (kind) {
	case EXPORT_FUNC:
		return fl__cursor_index(c, "function index", r->func_count,
					"functions", idx);
	case EXPORT_TABLE:
		return fl__cursor_index(c, "table index", r->table_count,
					"tables", idx);
	case EXPORT_MEMORY:
		return fl__cursor_index(c, "memory index", r->memory_count,
					"memories", idx);
	case EXPORT_GLOBAL:
		return fl__cursor_index(c, "global index", r->global_count,
					"globals", idx);
	case EXPORT_TAG:
		return fl__cursor_index(c, "tag index", r->tag_count, "tags",
					idx);
	}
	return fl__cursor_fail(
		c, -ENOEXEC, kind_off,
		"the kind of the export is 0x%02x, expected 0 (function) to 4 (tag)",
		kind);
}

static int read_export(struct fl__pass *p, struct export_name *export)
{
	struct fl__reader *r = p->reader;
	struct fl__view name;
	uint32_t idx;
	uint8_t kind;
	int err = fl__cursor_name(&p->cursor, "name of the export", &name);

	if (!err)
		err = fl__cursor_u8(&p->cursor, "kind of the export", &kind);
	if (!err)
		err = read_export_index(p, kind, p->cursor.off - 1, &idx);
	if (err)
		return err;
	export->bytes = r->bytes + name.off;
	export->len = name.len;
	if (kind == EXPORT_TABLE && !r->tables[idx].is_exported) {
		r->tables[idx].is_exported = true;
		r->tables[idx].export_name = name;
	} else if (kind == EXPORT_MEMORY && !r->memories[idx].is_exported) {
		r->memories[idx].is_exported = true;
		r->memories[idx].export_name = name;
	}
	return 0;
}

static int read_exports(struct fl__pass *p)
{
	struct export_name *names;
	uint32_t count;
	int err = fl__cursor_count(&p->cursor, "count of exports", 3,
				   FL__READER_MAX_EXPORTS, &count);

	if (err || !count)
		return err;
	names = malloc(count * sizeof(*names));
	if (!names)
		return fl__cursor_fail(&p->cursor, -ENOMEM, p->cursor.off,
				       "no memory to check %" PRIu32 " exports",
				       count);
	p->cursor.item = "export";
	for (uint32_t i = 0; !err && i < count; i++) {
		p->cursor.item_idx = i;
		err = read_export(p, &names[i]);
	}
	p->cursor.item = NULL;
	if (!err)
		err = export_check_unique(&p->cursor, names, count);
	free(names);
	return err;
}

/* ---------------------------------------------------------- small sections */

static int read_nothing(struct fl__pass *p)
{
	p->cursor.off = p->cursor.end;
	return 0;
}

static int read_custom(struct fl__pass *p)
{
	struct fl__view name;
	int err = fl__cursor_name(&p->cursor, "name of the section", &name);

	return err ? err : read_nothing(p);
}

static int read_start(struct fl__pass *p)
{
	p->reader->has_start = true;
	return fl__cursor_index(&p->cursor, "index of the start function",
				p->reader->func_count, "functions",
				&p->reader->start_func_idx);
}

static uint32_t defined_funcs(const struct fl__reader *r)
{
	return r->func_count - r->imported_func_count;
}

/* Bodies are stepped over by their sizes. */
static int read_code(struct fl__pass *p)
{
	struct fl__cursor *c = &p->cursor;
	uint64_t start_off = c->off;
	uint32_t len;
	int err = fl__cursor_count(c, "count of function bodies", 1, UINT32_MAX,
				   &p->body_count);

	if (err)
		return err;
	if (p->body_count != defined_funcs(p->reader))
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the code section has %" PRIu32
			" bodies, but the function section has %" PRIu32
			" functions",
			p->body_count, defined_funcs(p->reader));
	c->item = "function body";
	for (uint32_t i = 0; !err && i < p->body_count; i++) {
		c->item_idx = i;
		err = fl__cursor_u32(c, "size", &len);
		if (!err)
			err = fl__cursor_skip(c, "code", len, NULL);
	}
	return err;
}

/* ---------------------------------------------------------------- the walk */

/* In the order that a module must have them. */
static const struct section {
	uint8_t id;
	const char *name;
	int (*read)(struct fl__pass *p);
} sections[] = {
	{ 1, "type section", read_nothing },
	{ 2, "import section", fl__reader_read_imports },
	{ 3, "function section", fl__reader_read_functions },
	{ 4, "table section", fl__reader_read_tables },
	{ 5, "memory section", fl__reader_read_memories },
	{ 13, "tag section", fl__reader_read_tags },
	{ 6, "global section", fl__reader_read_globals },
	{ 7, "export section", read_exports },
	{ 8, "start section", read_start },
	{ 9, "element section", fl__reader_read_elements },
	{ 12, "data count section", fl__reader_read_data_count },
	{ 10, "code section", read_code },
	{ 11, "data section", fl__reader_read_data },
};

static const struct section custom_section = { SECTION_CUSTOM, "custom section",
					       read_custom };

static const struct section *section_find(uint8_t id)
{
	if (id == SECTION_CUSTOM)
		return &custom_section;
	for (size_t i = 0; i < FL_ARRAY_SIZE(sections); i++) {
		if (sections[i].id == id)
			return &sections[i];
	}
	return NULL;
}

/* *last is the latest section that was not custom, NULL before the first. */
static int section_check_order(const struct fl__cursor *c, uint64_t id_off,
			       const struct section *section,
			       const struct section **last)
{
	if (section == &custom_section)
		return 0;
	if (*last && section <= *last)
		return fl__cursor_fail(
			c, -ENOEXEC, id_off,
			section == *last ? "there is a second %s after the %s" :
					   "the %s must come before the %s",
			section->name, (*last)->name);
	*last = section;
	return 0;
}

/* The id and the size; the cursor's window becomes the contents. */
static int section_open(struct fl__cursor *c, const struct section **section,
			const struct section **last)
{
	uint64_t id_off = c->off;
	uint32_t size;
	uint8_t id;
	int err = fl__cursor_u8(c, "section id", &id);

	if (err)
		return err;
	*section = section_find(id);
	if (id == SECTION_STRINGS)
		return fl__cursor_fail(
			c, -ENOTSUP, id_off,
			"string sections are of the stringref proposal, which Faultline does not support");
	if (!*section)
		return fl__cursor_fail(c, -ENOEXEC, id_off,
				       "the section id is %u, expected 0 to 13",
				       id);
	err = section_check_order(c, id_off, *section, last);
	if (!err)
		err = fl__cursor_u32(c, "section size", &size);
	if (err)
		return err;
	if (size > fl__cursor_left(c))
		return fl__cursor_fail(
			c, -ENOEXEC, id_off,
			"the %s says it has %" PRIu32
			" bytes, but the module has only %" PRIu64 " left",
			(*section)->name, size, fl__cursor_left(c));
	c->end = c->off + size;
	c->scope = (*section)->name;
	return 0;
}

static int read_section(struct fl__pass *p, const struct section **last)
{
	struct fl__cursor *c = &p->cursor;
	const struct section *section;
	uint64_t id_off = c->off;
	int err = section_open(c, &section, last);

	if (!err && section->read == fl__reader_read_data)
		p->reader->data_section_start_off = id_off;
	if (!err)
		err = section->read(p);
	c->item = NULL;
	if (!err && c->off != c->end)
		err = fl__cursor_fail(c, -ENOEXEC, c->off,
				      "the %s has %" PRIu64
				      " bytes too many after its last item",
				      c->scope, fl__cursor_left(c));
	c->end = p->reader->length;
	c->scope = "module";
	return err;
}

static int read_header(struct fl__cursor *c)
{
	const uint8_t *b = c->bytes;
	unsigned version, layer;

	if (c->end < HEADER_BYTES)
		return fl__cursor_fail(
			c, -ENOEXEC, c->end,
			"a WebAssembly module has a header of 8 bytes, these are only %" PRIu64,
			c->end);
	if (memcmp(b, reader_magic, sizeof(reader_magic)) != 0)
		return fl__cursor_fail(
			c, -ENOEXEC, 0,
			"a WebAssembly module starts with 00 61 73 6d, this starts with %02x %02x %02x %02x",
			b[0], b[1], b[2], b[3]);
	version = b[4] | (unsigned)b[5] << 8;
	layer = b[6] | (unsigned)b[7] << 8;
	if (layer == LAYER_COMPONENT)
		return fl__cursor_fail(
			c, -ENOTSUP, 4,
			"this is a component (component model), not a core module: give Faultline the core modules inside it");
	if (version != CORE_VERSION || layer)
		return fl__cursor_fail(
			c, -ENOEXEC, 4,
			"the version is %u and the layer %u, expected version 1 of layer 0",
			version, layer);
	c->off = HEADER_BYTES;
	return 0;
}

/* What shows only when every section was seen. */
static int check_whole(const struct fl__pass *p)
{
	const struct fl__reader *r = p->reader;

	if (p->body_count != defined_funcs(r))
		return fl__cursor_fail(
			&p->cursor, -ENOEXEC, p->cursor.off,
			"the function section has %" PRIu32
			" functions, but there is no code section",
			defined_funcs(r));
	if (r->has_data_count && r->data_count != p->declared_data_count)
		return fl__cursor_fail(
			&p->cursor, -ENOEXEC, p->cursor.off,
			"the data count section says %" PRIu32
			" segments, but there is no data section",
			p->declared_data_count);
	return 0;
}

int fl__reader_read(struct fl__reader *reader, const void *bytes,
		    uint64_t length, struct fl_error *error)
{
	struct fl__pass p = { .reader = reader };
	const struct section *last = NULL;
	int err;

	*reader = (struct fl__reader){ .bytes = bytes, .length = length };
	p.exprs.reader = reader;
	p.cursor = (struct fl__cursor){
		.bytes = bytes, .end = length, .error = error, .scope = "module"
	};
	if (length > FL__READER_MAX_BYTES)
		return fl__cursor_fail(&p.cursor, -E2BIG, FL__READER_MAX_BYTES,
				       "the module has %" PRIu64
				       " bytes: Faultline reads at most 1 GiB",
				       length);
	err = read_header(&p.cursor);
	while (!err && p.cursor.off < length)
		err = read_section(&p, &last);
	if (!err)
		err = check_whole(&p);
	fl__constexpr_fini(&p.exprs);
	if (err)
		fl__reader_fini(reader);
	return err;
}

void fl__reader_fini(struct fl__reader *reader)
{
	free(reader->memories);
	free(reader->tables);
	free(reader->globals);
	free(reader->data);
	free(reader->elems);
	*reader = (struct fl__reader){ 0 };
}
