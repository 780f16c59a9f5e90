/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * resumable.c - see resumable.h.
 *
 * What is added comes at the end of its section, so that all else keeps its index.
 * The initialiser of a global is copied into the code that compares with it: a
 * constant expression is code, and what it reads does not change.
 *
 * Why code: the interfaces of small interpreters read no globals, and some give no
 * results either. A trap is what all of them tell.
 */
#include "resumable.h"
#include "wasm/cursor.h"
#include "wasm/opcodes.h"

#define SECTION_TYPE 1
#define TYPE_FUNC 0x60
#define BLOCK_EMPTY 0x40

/* Instructions that opcodes.def has no name for. */
enum {
	OP_UNREACHABLE = 0x00,
	OP_IF = 0x04,
	OP_LOCAL_GET = 0x20,
	OP_MEMORY_GROW = 0x40,
	OP_I32_EQ = 0x46,
	OP_I32_NE = 0x47,
	OP_I64_NE = 0x52,
	OP_I32_REINTERPRET_F32 = 0xbc,
	OP_I64_REINTERPRET_F64 = 0xbd,
};

static void write_view(const struct fl__resumable *resumable,
		       struct fl__view view, struct fl__sink *sink)
{
	fl__sink_bytes(sink, resumable->reader->bytes + view.off, view.len);
}

/* () -> () and (i32) -> () */
void fl__resumable_types(const struct fl__resumable *resumable,
			 struct fl__sink *sink)
{
	static const uint8_t types[] = { 0x60, 0, 0, 0x60, 1, 0x7f, 0 };

	fl__sink_uleb(sink, (uint64_t)resumable->type_count + 2);
	write_view(resumable, resumable->types, sink);
	fl__sink_bytes(sink, types, sizeof(types));
}

static uint32_t defined_functions(const struct fl__resumable *resumable)
{
	const struct fl__reader *reader = resumable->reader;

	return reader->func_count - reader->imported_func_count;
}

void fl__resumable_functions(const struct fl__resumable *resumable,
			     struct fl__sink *sink)
{
	fl__sink_uleb(sink, (uint64_t)defined_functions(resumable) + 2);
	write_view(resumable, resumable->reader->functions, sink);
	fl__sink_uleb(sink, resumable->type_count);
	fl__sink_uleb(sink, (uint64_t)resumable->type_count + 1);
}

/* As the bits of an integer: that not all of the NaNs are equal is no matter. */
static void write_bits(uint8_t reinterpret, struct fl__sink *sink)
{
	if (reinterpret)
		fl__sink_byte(sink, reinterpret);
}

/* (if (ne (global.get) (what it begins with)) (then unreachable)) */
static void write_comparison(const struct fl__resumable *resumable,
			     const struct fl_state_export *global,
			     struct fl__sink *sink)
{
	static const uint8_t trap[] = { OP_IF, BLOCK_EMPTY, OP_UNREACHABLE,
					FL__OP_END };
	struct fl__view init =
		resumable->reader->globals[global->idx].init.expr;
	bool is_64 = global->value == FL_VALUE_I64 ||
		     global->value == FL_VALUE_F64;
	uint8_t reinterpret =
		global->value == FL_VALUE_F32 ? OP_I32_REINTERPRET_F32 :
		global->value == FL_VALUE_F64 ? OP_I64_REINTERPRET_F64 :
						0;

	fl__sink_byte(sink, FL__OP_GLOBAL_GET);
	fl__sink_uleb(sink, global->idx);
	write_bits(reinterpret, sink);
	init.len--; /* its `end` */
	write_view(resumable, init, sink);
	write_bits(reinterpret, sink);
	fl__sink_byte(sink, is_64 ? OP_I64_NE : OP_I32_NE);
	fl__sink_bytes(sink, trap, sizeof(trap));
}

static void write_unchanged(const struct fl__resumable *resumable,
			    struct fl__sink *sink)
{
	fl__sink_uleb(sink, 0); /* locals */
	for (uint32_t i = 0; i < resumable->export_count; i++) {
		if (resumable->exports[i].kind == FL_STATE_GLOBAL)
			write_comparison(resumable, &resumable->exports[i],
					 sink);
	}
	fl__sink_byte(sink, FL__OP_END);
}

void fl__resumable_code(const struct fl__resumable *resumable,
			struct fl__sink *sink)
{
	/* (if (eq (memory.grow (local.get 0)) (i32.const -1))
	 *     (then unreachable)), with its size and no locals. */
	static const uint8_t grow[] = { 13,
					0,
					OP_LOCAL_GET,
					0,
					OP_MEMORY_GROW,
					0,
					FL__OP_I32_CONST,
					0x7f,
					OP_I32_EQ,
					OP_IF,
					0x40,
					OP_UNREACHABLE,
					FL__OP_END,
					FL__OP_END };
	struct fl__sink counted = { 0 };

	_Static_assert(sizeof(grow) == 13 + 1, "the size is written in it");
	write_unchanged(resumable, &counted);
	fl__sink_uleb(sink, (uint64_t)defined_functions(resumable) + 2);
	write_view(resumable, resumable->reader->bodies, sink);
	fl__sink_uleb(sink, counted.len);
	write_unchanged(resumable, sink);
	fl__sink_bytes(sink, grow, sizeof(grow));
}

/* ------------------------------------------------------------------ checks */

/* Where the types lie, and how many there are. Types in groups are of proposals
 * that no interface without globals knows. */
static int find_types(struct fl__resumable *resumable, struct fl_error *error)
{
	const struct fl__reader *reader = resumable->reader;
	struct fl__cursor c = fl__cursor_at(
		reader->bytes, (struct fl__view){ 8, reader->length - 8 });
	uint64_t end = c.off;
	uint8_t id = 0;

	/* There is a function, so there is a type. */
	while (id != SECTION_TYPE) {
		c.off = end;
		id = fl__cursor_u8(&c, "");
		end = fl__cursor_u32(&c, "");
		end += c.off;
		fl_assert(!c.err);
	}
	c.end = end;
	resumable->type_count = fl__cursor_u32(&c, "count of types");
	resumable->types = (struct fl__view){ c.off, c.end - c.off };
	for (uint32_t i = 0; i < resumable->type_count && !c.err; i++) {
		if (fl__cursor_u8(&c, "type") != 0x60)
			break;
		for (unsigned int part = 0; part < 2; part++) {
			uint32_t count = fl__cursor_count(&c, "count of values",
							  1, UINT32_MAX);

			for (; count && !c.err; count--)
				fl__valtype_read(&c, "value type");
		}
		if (i + 1 == resumable->type_count && !c.err && c.off == c.end)
			return 0;
	}
	return fl__error_set(
		error, -ENOTSUP,
		"the module has types other than of functions, or none that can be read");
}

static int check_memory(const struct fl__reader *reader, struct fl_error *error)
{
	uint32_t defined = reader->func_count - reader->imported_func_count;

	if (reader->memory_count != 1 || !defined)
		return fl__error_set(
			error, -ENOTSUP,
			"a resumable module has one memory and code; this one has %u %s and %u %s",
			reader->memory_count,
			fl_noun(reader->memory_count, "memory", "memories"),
			defined, fl_noun(defined, "function", "functions"));
	if (reader->memories[0].limits.is_64 ||
	    reader->memories[0].limits.is_shared)
		return fl__error_set(
			error, -ENOTSUP,
			"the memory of a resumable module is neither shared nor of 64-bit addresses");
	return 0;
}

static int check_state(const struct fl__resumable *resumable,
		       struct fl_error *error)
{
	for (uint32_t i = 0; i < resumable->export_count; i++) {
		const struct fl_state_export *at = &resumable->exports[i];

		if (at->kind == FL_STATE_TABLE)
			return fl__error_set(
				error, -ENOTSUP,
				"table %u can change, by code or by its export: memory is not all that an instance is made of",
				at->idx);
		if (at->kind == FL_STATE_START)
			return fl__error_set(
				error, -ENOTSUP,
				"the module has a start function, which would run over a captured memory");
		if (at->kind == FL_STATE_GLOBAL && at->value != FL_VALUE_I32 &&
		    at->value != FL_VALUE_I64 && at->value != FL_VALUE_F32 &&
		    at->value != FL_VALUE_F64)
			return fl__error_set(
				error, -ENOTSUP,
				"global %u can change, and its values are no numbers that code compares",
				at->idx);
	}
	return 0;
}

int fl__resumable_check(struct fl__resumable *resumable, struct fl_error *error)
{
	int err = check_memory(resumable->reader, error);

	if (!err)
		err = check_state(resumable, error);
	return err ? err : find_types(resumable, error);
}
