/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader_wabt.c - the section reader against Debian's wabt.
 *
 * Texts are converted by wat2wasm without its own checks, and the verdict of
 * the reader on each module is compared with that of wasm-validate; so are
 * the verdicts on modules with one byte changed in a section that the reader
 * reads in full. Where the two are known to differ, a table says why: wabt
 * 1.0.32 is older than the specification 3.0, lets a few broken modules pass,
 * and reads types and code, which the reader steps over.
 *
 * Left out: 0x6b as changed byte, which wabt 1.0.32 takes for a typed
 * reference with an index after it, as a proposal of 2022 had it, and which
 * has been structref since.
 */
#include "tests/kit/child.h"
#include "tests/kit/random.h"
#include "tests/kit/reader_check.h"
#include "tests/kit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WABT_VERSION "1.0.32"
#define MAX_CHANGES 2000
#define CHANGES_PER_BYTE 3

/* ------------------------------------------------------------------- texts */

static const char *const texts[] = {
	"(module)",
	/* memories */
	"(module (memory 0))",
	"(module (memory 1 1))",
	"(module (memory 65536))",
	"(module (memory 65537))",
	"(module (memory 0 65536))",
	"(module (memory 0 65537))",
	"(module (memory 2 1))",
	"(module (memory 1 2 shared))",
	"(module (memory 1 shared))",
	"(module (memory i64 1))",
	"(module (memory i64 0 0x1000000000000))",
	"(module (memory i64 0x1000000000001))",
	"(module (memory i64 1 2 shared))",
	"(module (memory 1) (memory 2 3) (memory i64 4))",
	"(module (import \"m\" \"a\" (memory 1 2)) (memory 3)"
	" (export \"first\" (memory 0)) (export \"second\" (memory 1)))",
	/* tables */
	"(module (table 1 funcref))",
	"(module (table 1 2 externref) (table 0 0 funcref))",
	"(module (table 2 1 funcref))",
	"(module (table 0xffffffff funcref))",
	"(module (import \"m\" \"t\" (table 3 9 externref)) (table 4 funcref)"
	" (export \"t\" (table 1)))",
	/* imports */
	"(module (import \"\" \"\" (func)))",
	"(module (import \"m\" \"f\" (func (param i32) (result i64)))"
	" (import \"m\" \"g\" (global i64)) (import \"m\" \"h\" (global (mut f32)))"
	" (import \"m\" \"m\" (memory 1)) (import \"m\" \"t\" (table 1 funcref))"
	" (import \"m\" \"x\" (tag (param i32))))",
	"(module (import \"\\c3\\a9\" \"\\e2\\82\\ac\" (func)))",
	/* globals */
	"(module (global i32 (i32.const -1)) (global i64 (i64.const -1))"
	" (global f32 (f32.const 1)) (global f64 (f64.const 1))"
	" (global (mut i32) (i32.const 0x7fffffff)))",
	"(module (global funcref (ref.null func)) (global externref"
	" (ref.null extern)) (func $f) (global funcref (ref.func $f)))",
	"(module (import \"m\" \"g\" (global $g i32)) (global i32"
	" (global.get $g)) (global i32 (i32.add (global.get $g) (i32.const 4)))"
	" (global i64 (i64.mul (i64.const 3) (i64.sub (i64.const 2)"
	" (i64.const 1)))))",
	"(module (import \"m\" \"g\" (global $g (mut i32)))"
	" (global i32 (global.get $g)))",
	"(module (import \"m\" \"g\" (global $g i64)) (global i32"
	" (global.get $g)))",
	"(module (global $g i32 (i32.const 1)) (global i32 (global.get $g)))",
	"(module (global i32 (i64.const 1)))",
	"(module (global i32 (i32.const 1) (i32.const 2)))",
	"(module (global i32))",
	"(module (global i32 (nop) (i32.const 1)))",
	"(module (global i32 (i32.div_u (i32.const 2) (i32.const 1))))",
	"(module (global i32 (global.get 0)))",
	"(module (global funcref (ref.null extern)))",
	"(module (global v128 (v128.const i32x4 1 2 3 4)))",
	"(module (global i32 (i32.add (i32.const 1) (i64.const 2))))",
	"(module (global funcref (ref.func 0)))",
	/* exports and start */
	"(module (func $f) (export \"a\" (func $f)) (export \"b\" (func $f)))",
	"(module (func $f) (export \"a\" (func $f)) (export \"a\" (func $f)))",
	"(module (func $f) (export \"\" (func $f)) (export \"\" (func $f)))",
	"(module (memory 1) (global i32 (i32.const 1)) (table 1 funcref)"
	" (tag) (export \"m\" (memory 0)) (export \"g\" (global 0))"
	" (export \"t\" (table 0)) (export \"x\" (tag 0)))",
	"(module (export \"m\" (memory 0)))",
	"(module (memory 1) (export \"m\" (memory 1)))",
	"(module (export \"f\" (func 0)))",
	"(module (export \"g\" (global 0)))",
	"(module (export \"t\" (table 0)))",
	"(module (export \"x\" (tag 0)))",
	"(module (func $f) (start $f))",
	"(module (start 0))",
	/* elements of flags 0 to 7 */
	"(module (table 10 funcref) (func $f)"
	" (elem (i32.const 0) func $f $f)"
	" (elem func $f)"
	" (elem (table 0) (offset (i32.const 1)) func $f)"
	" (elem declare func $f)"
	" (elem (i32.const 2) funcref (ref.func $f) (ref.null func))"
	" (elem externref (ref.null extern))"
	" (elem declare funcref (ref.func $f)))",
	"(module (table 1 funcref) (table 10 externref)"
	" (elem (table 1) (i32.const 0) externref (ref.null extern)))",
	"(module (table 10 externref) (func $f)"
	" (elem (i32.const 0) func $f))",
	"(module (table 10 funcref)"
	" (elem (i32.const 0) externref (ref.null extern)))",
	"(module (func $f) (elem (i32.const 0) func $f))",
	"(module (table 1 funcref) (elem (i64.const 0) func))",
	"(module (table 1 funcref) (elem (i32.const 0) func 0))",
	"(module (table 1 funcref) (func) (elem (table 1) (i32.const 0)"
	" func 0))",
	"(module (import \"m\" \"b\" (global $b i32)) (table 10 funcref)"
	" (func $f) (elem (global.get $b) func $f))",
	"(module (table 10 funcref) (elem funcref (ref.null extern)))",
	/* data of flags 0 to 2 */
	"(module (memory 1) (data (i32.const 0) \"abc\") (data \"passive\")"
	" (data (i32.const 65535) \"\"))",
	"(module (memory 1) (memory i64 1)"
	" (data (memory 1) (i64.const 3) \"x\")"
	" (data (memory 0) (i32.const 4) \"y\"))",
	"(module (memory i64 1) (data (i64.const 0) \"abc\"))",
	"(module (memory i64 1) (data (i32.const 0) \"abc\"))",
	"(module (memory 1) (data (i64.const 0) \"abc\"))",
	"(module (data (i32.const 0) \"\"))",
	"(module (data \"passive\"))",
	"(module (memory 1) (data (memory 1) (i32.const 0) \"\"))",
	"(module (import \"m\" \"b\" (global $b i32)) (memory 1)"
	" (data (global.get $b) \"abc\")"
	" (data (i32.add (global.get $b) (i32.const 16)) \"def\"))",
	"(module (memory 1) (global $g (mut i32) (i32.const 1))"
	" (data (global.get $g) \"abc\"))",
	"(module (import \"m\" \"b\" (global $b i64)) (memory 1)"
	" (data (global.get $b) \"abc\"))",
	"(module (memory 1) (data (i32.const 0) \"a\") (data \"b\")"
	" (func (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 1))"
	" (data.drop 1)))",
	"(module (memory 1) (data (ref.null func) \"\"))",
	/* everything at once */
	"(module (import \"env\" \"base\" (global $base i32))"
	" (import \"env\" \"top\" (global $top i64))"
	" (import \"env\" \"memory\" (memory 2 16))"
	" (import \"env\" \"table\" (table 8 funcref))"
	" (import \"env\" \"log\" (func $log))"
	" (import \"env\" \"error\" (tag))"
	" (func $f) (func $g)"
	" (table $u 4 8 externref)"
	" (memory $w i64 1 4)"
	" (tag $e)"
	" (global (mut i32) (global.get $base))"
	" (global f64 (f64.const 1.5))"
	" (global funcref (ref.null func))"
	" (export \"memory\" (memory 0)) (export \"wide\" (memory $w))"
	" (export \"f\" (func $f)) (export \"u\" (table $u))"
	" (start $f)"
	" (elem (global.get $base) func $log $f $g)"
	" (elem (table $u) (i32.const 1) externref (ref.null extern))"
	" (elem declare func $g)"
	" (data (i32.const 1024) \"hello\")"
	" (data (memory $w) (i64.add (global.get $top) (i64.const 8)) \"wide\")"
	" (data \"passive\") (data (global.get $base) \"based\"))",
};

/* ------------------------------------------------------------- differences */

/* A module that the reader takes and wabt refuses in these words. */
static const struct {
	const char *wabt;
	const char *why;
} only_reader[] = {
	{ "function type variable out of range", "types are not read" },
	{ "is not a function", "types are not read" },
	{ "Tag signature must have 0 results", "types are not read" },
	{ "start function must", "types are not read" },
	{ "malformed memory limits flag: 8", "custom-page-sizes" },
	{ "malformed memory limits flag: 9", "custom-page-sizes" },
	{ "malformed memory limits flag: 11", "custom-page-sizes" },
	{ "malformed memory limits flag: 12", "custom-page-sizes" },
	{ "malformed memory limits flag: 13", "custom-page-sizes" },
	{ "malformed memory limits flag: 15", "custom-page-sizes" },
	{ "tables may not be 64-bit", "3.0: 64-bit tables" },
	{ "u32 leb128: memory initial", "3.0: limits of 64 bits" },
	{ "u32 leb128: memory max", "3.0: limits of 64 bits" },
	{ "u32 leb128: table initial", "3.0: limits of 64 bits" },
	{ "u32 leb128: table max", "3.0: limits of 64 bits" },
	{ "can only reference an imported global", "3.0: earlier globals" },
	{ "malformed import kind: 127", "compact imports" },
	{ "malformed import kind: 126", "compact imports" },
	{ "invalid global type", "3.0: reference types" },
	{ "expected [funcref] but got [(ref", "3.0: (ref $t) is a funcref" },
	{ "must be a reference type", "3.0: reference types" },
	{ "not valid in initializer expression: v128.const", "3.0: v128" },
	{ "expected ref.null or ref.func", "3.0: any constant expression" },
};

/* A module that wabt takes and the reader refuses in these words. */
static const struct {
	const char *reader;
	const char *why;
} only_wabt[] = {
	{ "there is no data section", "wabt does not compare" },
	{ "the flags are ", "wabt takes data flags 3 to 7" },
	{ "leaves 0 values", "wabt does not check an empty offset" },
	{ "the constant expression is cut off", "wabt misses no last `end`" },
	{ "is no type that may stand here", "wabt takes longer encodings" },
};

static const char *known_difference(bool is_taken, const char *wabt,
				    const char *reader)
{
	for (size_t i = 0; is_taken && i < TEST_ARRAY_SIZE(only_reader); i++) {
		if (strstr(wabt, only_reader[i].wabt))
			return only_reader[i].why;
	}
	for (size_t i = 0; !is_taken && i < TEST_ARRAY_SIZE(only_wabt); i++) {
		if (strstr(reader, only_wabt[i].reader))
			return only_wabt[i].why;
	}
	return NULL;
}

/* -------------------------------------------------------------------- wabt */

/* A directory of the case's own, where wabt's tools read and write. */
struct workshop {
	char dir[64];
	char text[80], module[80], said[80];
};

static void workshop_open(struct workshop *w)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(w->dir, sizeof(w->dir), "%.30s/faultline.XXXXXX",
		 tmp ? tmp : "/tmp");
	MUST(mkdtemp(w->dir));
	snprintf(w->text, sizeof(w->text), "%s/a.wat", w->dir);
	snprintf(w->module, sizeof(w->module), "%s/a.wasm", w->dir);
	snprintf(w->said, sizeof(w->said), "%s/said", w->dir);
}

static void workshop_close(struct workshop *w)
{
	unlink(w->text);
	unlink(w->module);
	unlink(w->said);
	rmdir(w->dir);
}

static void file_write(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "wb");

	MUST(file);
	MUST(fwrite(bytes, 1, length, file) == length);
	MUST(!fclose(file));
}

static size_t file_read(const char *path, void *bytes, size_t size)
{
	FILE *file = fopen(path, "rb");
	size_t length = 0;

	if (file) {
		length = fread(bytes, 1, size, file);
		fclose(file);
	}
	return length;
}

static void workshop_said(const struct workshop *w, char *text, size_t size)
{
	text[file_read(w->said, text, size - 1)] = '\0';
}

static size_t workshop_convert(const struct workshop *w, const char *text,
			       uint8_t *module, size_t size)
{
	const char *const argv[] = { "wat2wasm",   "--enable-all",
				     "--no-check", w->text,
				     "-o",	   w->module,
				     NULL,	   NULL };
	char said[512];

	file_write(w->text, text, strlen(text));
	if (!CHECK_EQ(test_run(w->said, argv), 0)) {
		workshop_said(w, said, sizeof(said));
		test_note("%s: %s", text, said);
		return 0;
	}
	return file_read(w->module, module, size);
}

/* 0: valid. 1: not, and why is in said. -1: it died. */
static int workshop_validate(const struct workshop *w, const uint8_t *bytes,
			     size_t length, char *said, size_t size)
{
	const char *const argv[] = { "wasm-validate",
				     "--enable-all",
				     w->module,
				     NULL,
				     NULL,
				     NULL,
				     NULL,
				     NULL };
	int status;

	file_write(w->module, bytes, length);
	status = test_run(w->said, argv);
	workshop_said(w, said, size);
	return status;
}

static const char *needs_wabt(void)
{
	static const char *const tools[] = { "wat2wasm", "wasm-validate" };
	static const char *reason;
	char said[256];
	struct workshop w;

	workshop_open(&w);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(tools); i++) {
		const char *const argv[8] = { tools[i], "--version" };

		if (test_run(w.said, argv)) {
			reason =
				"wat2wasm and wasm-validate are not installed (package wabt)";
			break;
		}
		workshop_said(&w, said, sizeof(said));
		if (strncmp(said, WABT_VERSION, strlen(WABT_VERSION))) {
			reason =
				"wabt is another version than 1.0.32, whose differences are listed";
			break;
		}
	}
	workshop_close(&w);
	return reason;
}

/* ------------------------------------------------------------------- cases */

struct tally {
	unsigned int valid, invalid, known, died;
};

/* One module, both verdicts. False when they differ without a reason. */
static bool compare(const struct workshop *w, const struct guard *guard,
		    const uint8_t *bytes, size_t length, struct tally *tally)
{
	struct fl_error error = { 0 };
	char said[1024];
	const char *why;
	int wabt, err;

	wabt = workshop_validate(w, bytes, length, said, sizeof(said));
	err = check_read(guard, bytes, length, &error);
	if (wabt < 0) {
		tally->died++;
		return true;
	}
	if (!wabt == !err) {
		tally->valid += !err;
		tally->invalid += !!err;
		return true;
	}
	why = known_difference(!err, said, error.text);
	tally->known += !!why;
	if (!why)
		test_note("wabt: %s reader: %s (at byte %llu)",
			  wabt ? said : "valid;", err ? error.text : "valid",
			  (unsigned long long)error.byte_off);
	return why;
}

static void tally_note(const struct tally *tally)
{
	test_note(
		"both take %u, both refuse %u, known differences %u, wabt died %u",
		tally->valid, tally->invalid, tally->known, tally->died);
}

static void texts_get_the_verdict_of_wabt(void)
{
	struct tally tally = { 0 };
	struct workshop w;
	struct guard guard;
	uint8_t module[4096];

	workshop_open(&w);
	guard_open(&guard, sizeof(module));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++) {
		size_t length =
			workshop_convert(&w, texts[i], module, sizeof(module));

		if (length &&
		    !CHECK(compare(&w, &guard, module, length, &tally)))
			test_note("%s", texts[i]);
	}
	tally_note(&tally);
	CHECK(tally.valid > 20 && tally.invalid > 20);
	guard_close(&guard);
	workshop_close(&w);
}

static void texts_cut_anywhere_are_no_modules(void)
{
	struct workshop w;
	struct guard guard;
	uint8_t module[4096];

	workshop_open(&w);
	guard_open(&guard, sizeof(module));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++) {
		size_t length =
			workshop_convert(&w, texts[i], module, sizeof(module));

		if (length && !check_read(&guard, module, length, NULL))
			check_cuts(module, length);
	}
	guard_close(&guard);
	workshop_close(&w);
}

/* Is it one of the sections that the reader reads in full and wabt does not
 * connect with code? */
static bool is_changed_section(uint8_t id)
{
	return id == WASM_IMPORT || id == WASM_TABLE || id == WASM_MEMORY ||
	       id == WASM_GLOBAL || id == WASM_ELEMENT || id == WASM_DATA ||
	       id == WASM_DATA_COUNT;
}

static uint8_t changed_byte(struct test_random *random, uint8_t byte)
{
	static const uint8_t likely[] = { 0,	1,    2,    3,	  4,	5,
					  6,	7,    8,    9,	  0x0b, 0x10,
					  0x23, 0x41, 0x42, 0x63, 0x64, 0x6a,
					  0x6f, 0x70, 0x7b, 0x7c, 0x7d, 0x7e,
					  0x7f, 0x80, 0xc0, 0xd0, 0xd2, 0xf0,
					  0xff };
	uint8_t value;

	do {
		if (test_random_below(random, 2))
			value = likely[test_random_below(random,
							 sizeof(likely))];
		else
			value = (uint8_t)test_random_next(random);
	} while (value == byte || value == 0x6b);
	return value;
}

/* Bytes of the module that lie in sections to change, as a list of offsets. */
static size_t changed_offsets(const uint8_t *bytes, size_t length, size_t *offs)
{
	size_t off = 8, count = 0;

	while (off < length) {
		uint8_t id = bytes[off++];
		size_t size = 0;
		unsigned int shift = 0;

		do {
			size |= (size_t)(bytes[off] & 0x7f) << shift;
			shift += 7;
		} while (bytes[off++] & 0x80);
		for (size_t i = 0; i < size && is_changed_section(id); i++)
			offs[count++] = off + i;
		off += size;
	}
	return count;
}

static void changed_bytes_get_the_verdict_of_wabt(void)
{
	uint8_t module[4096];
	size_t offs[sizeof(module)];
	struct test_random random;
	struct tally tally = { 0 };
	struct workshop w;
	struct guard guard;
	unsigned int changes = 0;
	char said[1024];

	workshop_open(&w);
	guard_open(&guard, sizeof(module));
	test_random_init(&random, 11);
	/* From the last text, which has most in it, to the first. */
	for (size_t i = TEST_ARRAY_SIZE(texts); i-- && changes < MAX_CHANGES;) {
		size_t length =
			workshop_convert(&w, texts[i], module, sizeof(module));
		size_t count = changed_offsets(module, length, offs);

		/* What is wrong already hides what a change makes wrong. */
		if (check_read(&guard, module, length, NULL) ||
		    workshop_validate(&w, module, length, said, sizeof(said)))
			continue;
		for (size_t j = 0;
		     j < CHANGES_PER_BYTE * count && changes < MAX_CHANGES;
		     j++, changes++) {
			size_t off = offs[j % count];
			uint8_t byte = module[off];

			module[off] = changed_byte(&random, byte);
			if (!CHECK(compare(&w, &guard, module, length, &tally)))
				test_note(
					"text %zu, byte %zu: 0x%02x for 0x%02x",
					i, off, module[off], byte);
			module[off] = byte;
		}
	}
	tally_note(&tally);
	CHECK(tally.valid > 100 && tally.invalid > 500);
	guard_close(&guard);
	workshop_close(&w);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(texts_get_the_verdict_of_wabt, needs_wabt),
	TEST_CASE_NEEDS(texts_cut_anywhere_are_no_modules, needs_wabt),
	TEST_CASE_NEEDS(changed_bytes_get_the_verdict_of_wabt, needs_wabt),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
