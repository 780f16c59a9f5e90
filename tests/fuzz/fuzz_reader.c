/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fuzz_reader.c - the section reader on any bytes.
 *
 * Built with -fsanitize=fuzzer and -DFL_LIBFUZZER this is a libFuzzer target;
 * without, a program that replays every file of the directory it is given (a
 * corpus, or what the fuzzer found) and counts them as one case. The bytes
 * are read from an allocation of exactly their size, so that the address
 * sanitizer sees a read past the end. After that every view is read, every
 * expression evaluated with the imported globals at some value, and every
 * function body walked through.
 */
#include "tests/fuzz/replay.h"
#include "wasm/reader.h"
#include "wasm/survey.h"

static uint64_t touch(const struct fl__reader *r, struct fl__view view)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < view.len; i++)
		sum += r->bytes[view.off + i];
	return sum;
}

static uint64_t evaluate(const struct fl__reader *r, const struct fl__const *c)
{
	uint64_t values[64], value = 0;
	const struct fl__globals globals = { values, FL_ARRAY_SIZE(values),
					     NULL };

	for (size_t i = 0; i < FL_ARRAY_SIZE(values); i++)
		values[i] = i * 0x0123456789abcdefu;
	fl__reader_eval(r, c, &globals, &value);
	return value + touch(r, c->expr);
}

static uint64_t visit(const struct fl__reader *r)
{
	uint64_t sum = touch(r, r->exports);

	for (uint32_t i = 0; i < r->memory_count; i++)
		sum += touch(r, r->memories[i].import_module) +
		       touch(r, r->memories[i].import_name) +
		       touch(r, r->memories[i].export_name);
	for (uint32_t i = 0; i < r->table_count; i++)
		sum += touch(r, r->tables[i].init.expr);
	for (uint32_t i = 0; i < r->global_count; i++)
		sum += evaluate(r, &r->globals[i].init) +
		       touch(r, r->globals[i].import_name) +
		       touch(r, r->globals[i].export_name);
	for (uint32_t i = 0; i < r->imported_func_count; i++)
		sum += touch(r, r->func_imports[i].import_module) +
		       touch(r, r->func_imports[i].import_name);
	for (uint32_t i = 0; i < r->data_count; i++)
		sum += evaluate(r, &r->data[i].offset) +
		       touch(r, r->data[i].whole) + touch(r, r->data[i].bytes);
	for (uint32_t i = 0; i < r->elem_count; i++)
		sum += evaluate(r, &r->elems[i].offset) +
		       touch(r, r->elems[i].items);
	return sum;
}

static uint64_t survey(const struct fl__reader *r)
{
	struct fl__survey *survey;
	struct fl_error error = { .text = "" };
	uint64_t sum = 0;

	if (fl__survey_make(r, &survey))
		return 0;
	for (uint32_t i = 0; i < r->export_count; i++)
		sum += touch(r, survey->export_names[i]);
	for (uint32_t i = 0; i < r->func_count; i++)
		sum += survey->functions[i].type_idx +
		       survey->marks.functions[i];
	/* What the error promises. */
	if (fl__code_walk(r, &survey->marks, &error) &&
	    (error.byte_off > r->length || !error.text[0]))
		abort();
	fl__survey_free(survey);
	return sum;
}

/* Keeps the sums from being optimised away. */
static volatile uint64_t fuzz_sum;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct fl_error error;
	struct fl__reader reader;

	if (fl__reader_read(&reader, bytes, length, &error)) {
		/* What the error promises. */
		if (error.byte_off > length || !error.text[0])
			abort();
		return 0;
	}
	fuzz_sum = visit(&reader) + survey(&reader);
	fl__reader_fini(&reader);
	return 0;
}
