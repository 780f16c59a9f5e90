/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bake.c - tools/wasm-image-bake.c: the module that is written begins with the
 * contents that were given, and with nothing else changed.
 *
 * The library judges: it reads the written module, its images must be the
 * contents, and an instance must find each passive segment at its index. The
 * tool's verb is tested by wasm-image-files.sh.
 */
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include "tools/wasm-image-bake.h"

#include <stdlib.h>

#define MAX_MEMORIES 4
#define MAX_PAGES 3
#define PASSIVE "passive and long"

/* What a memory holds, as plain bytes. */
struct plain {
	uint8_t *bytes;
	uint64_t len;
};

/* Stretches as an image has them: of pages of 4 KiB with data. */
static bool plain_next(const void *owner, uint64_t from, uint64_t *off,
		       uint64_t *len)
{
	const struct plain *plain = owner;
	uint64_t end;

	while (from < plain->len && !plain->bytes[from])
		from++;
	if (from == plain->len)
		return false;
	end = (from | 4095) + 1;
	*off = from;
	*len = (end < plain->len ? end : plain->len) - from;
	return true;
}

static bool plain_read(const void *owner, uint64_t off, void *dst, uint64_t len)
{
	const struct plain *plain = owner;

	if (off > plain->len || len > plain->len - off)
		return false;
	memcpy(dst, plain->bytes + off, len);
	return true;
}

/* A module, and what its memories are to hold. */
struct subject {
	struct wasm module;
	struct bake_memory memories[MAX_MEMORIES];
	struct plain plains[MAX_MEMORIES];
	struct bake_request request;
	struct baked baked;
	uint32_t passive_count;
};

static void subject_memory(struct subject *subject, bool is_64,
			   uint64_t page_bytes, uint64_t pages)
{
	uint32_t idx = subject->request.memory_count++;
	struct plain *plain = &subject->plains[idx];

	plain->len = pages * page_bytes;
	plain->bytes = calloc(1, plain->len + 1);
	MUST(plain->bytes != NULL);
	subject->memories[idx] = (struct bake_memory){
		.is_64 = is_64,
		.page_bytes = page_bytes,
		.size_bytes = plain->len,
		.content = { plain, plain_next, plain_read },
	};
}

static bool subject_bake(struct subject *subject)
{
	subject->request.module = subject->module.bytes;
	subject->request.module_bytes = subject->module.length;
	subject->request.memories = subject->memories;
	if (!subject->request.max_segments)
		subject->request.max_segments = BAKE_MAX_SEGMENTS;
	return bake_module(&subject->request, &subject->baked);
}

static void subject_close(struct subject *subject)
{
	for (uint32_t i = 0; i < subject->request.memory_count; i++)
		free(subject->plains[i].bytes);
	free(subject->baked.bytes);
	wasm_free(&subject->module);
}

static struct fl_context *open_context(void)
{
	struct fl_context_config config;
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;

	fl_context_config_init(&config);
	config.backend = "segmented";
	CONFORM_MUST(fl_context_create(&config, &context, &error), &error);
	return context;
}

static struct fl_module *load_baked(struct fl_context *context,
				    const struct subject *subject)
{
	struct fl_error error = { .text = "" };
	struct fl_module *module = NULL;
	struct fl_module_config config;

	fl_module_config_init(&config);
	config.bytes = subject->baked.bytes;
	config.length_bytes = subject->baked.length_bytes;
	CONFORM_MUST(fl_module_load(context, &config, &module, &error), &error);
	return module;
}

/* The written module has the sizes and contents, whatever else. */
static void check_contents(const struct fl_module *module,
			   const struct subject *subject)
{
	for (uint32_t i = 0; i < subject->request.memory_count; i++) {
		const struct plain *plain = &subject->plains[i];
		struct fl_memory_type type = { .size = sizeof(type) };
		struct fl_image *image = fl_module_image(module, i);
		uint8_t *read = malloc(plain->len + 1);

		MUST(read != NULL && image != NULL);
		MUST_EQ(fl_module_memory_type(module, i, &type), 0);
		CHECK_EQ(type.min_pages * type.page_bytes, plain->len);
		CHECK_EQ(fl_image_read(image, 0, read, plain->len), 0);
		CHECK(!memcmp(read, plain->bytes, plain->len));
		free(read);
	}
}

/* ------------------------------------------------------------------ random */

static void random_content(struct test_random *random, struct plain *plain)
{
	uint64_t count = test_random_below(random, 40);

	for (uint64_t i = 0; plain->len && i < count; i++) {
		uint64_t off = test_random_below(random, plain->len);
		uint64_t len = 1 + test_random_below(random, 200);

		for (; len && off < plain->len; len--, off++)
			plain->bytes[off] = (uint8_t)test_random_next(random);
	}
}

static void add_custom(struct test_random *random, struct wasm *module)
{
	if (test_random_below(random, 3))
		return;
	wasm_section_bytes(module, WASM_CUSTOM, 2, 'h', 'i', 11, 0, 8);
}

static void random_memories(struct test_random *random, struct subject *subject)
{
	struct wasm memories = { 0 };
	uint64_t count = 1 + test_random_below(random, MAX_MEMORIES);

	wasm_u(&memories, count);
	for (uint64_t i = 0; i < count; i++) {
		bool is_64 = test_random_below(random, 2);
		bool is_small = !test_random_below(random, 4);
		uint64_t page_bytes = is_small ? 1 : 65536;
		uint64_t min = test_random_below(random, MAX_PAGES);
		uint64_t pages = min + test_random_below(random, MAX_PAGES);
		unsigned int flags = (unsigned int)test_random_below(random, 2);

		if (is_small)
			pages += test_random_below(random, 20000);
		wasm_limits(&memories,
			    flags | (is_64 ? 4 : 0) | (is_small ? 8 : 0), min,
			    pages + test_random_below(random, 2));
		if (is_small)
			wasm_u(&memories, 0);
		subject_memory(subject, is_64, page_bytes, pages);
		random_content(random, &subject->plains[i]);
	}
	wasm_section(&subject->module, WASM_MEMORY, &memories);
}

static void random_segment(struct test_random *random, struct subject *subject,
			   struct wasm *data)
{
	uint64_t idx =
		test_random_below(random, subject->request.memory_count + 1);

	if (idx == subject->request.memory_count) {
		subject->passive_count++;
		wasm_data_passive(data, PASSIVE, strlen(PASSIVE));
		return;
	}
	wasm_u(data, 2);
	wasm_u(data, idx);
	if (subject->memories[idx].is_64)
		wasm_i64_const(data, 0);
	else
		wasm_i32_const(data, 0);
	/* What the instance had before it started, if it fits. */
	wasm_name(data, subject->memories[idx].size_bytes ? "x" : "");
}

static void random_module(struct test_random *random, struct subject *subject)
{
	uint64_t count = test_random_below(random, 12);
	struct wasm data = { 0 };

	wasm_header(&subject->module);
	add_custom(random, &subject->module);
	wasm_section_bytes(&subject->module, WASM_TYPE, 1, 0x60, 0, 0);
	wasm_section_bytes(&subject->module, WASM_FUNCTION, 1, 0);
	random_memories(random, subject);
	if (test_random_below(random, 2))
		wasm_section_bytes(&subject->module, WASM_START, 0);
	add_custom(random, &subject->module);
	wasm_u(&data, count);
	for (uint64_t i = 0; i < count; i++)
		random_segment(random, subject, &data);
	if (count && test_random_below(random, 2))
		wasm_section_bytes(&subject->module, WASM_DATA_COUNT,
				   (uint8_t)count);
	wasm_section_bytes(&subject->module, WASM_CODE, 1, 2, 0, 0x0b);
	if (count)
		wasm_section(&subject->module, WASM_DATA, &data);
	wasm_free(&data);
	add_custom(random, &subject->module);
}

static void random_contents(void)
{
	struct fl_context *context = open_context();
	struct test_random random;

	test_random_init(&random, 1011);
	for (int i = 0; i < 400 && !test_has_failed(); i++) {
		struct fl_module_info info = { .size = sizeof(info) };
		struct subject subject = { .passive_count = 0 };
		struct fl_module *module;

		random_module(&random, &subject);
		subject.request.has_started = true;
		if (!test_random_below(&random, 4))
			subject.request.max_segments = 20;
		if (!CHECK(subject_bake(&subject)))
			test_note("%s", subject.baked.reason);
		module = load_baked(context, &subject);
		check_contents(module, &subject);
		fl_module_info(module, &info);
		CHECK(!info.has_start);
		CHECK(info.data_count <= subject.request.max_segments);
		CHECK_EQ(info.passive_data_bytes,
			 subject.passive_count * strlen(PASSIVE));
		CHECK_EQ(info.active_data_bytes, subject.baked.segment_bytes);
		fl_module_release(module);
		subject_close(&subject);
	}
	fl_context_destroy(context);
}

/* ------------------------------------------------------------------- cases */

/* One memory of 1 to 4 pages; the segments are the caller's. */
static void one_memory(struct subject *subject, struct wasm *data,
		       uint64_t pages)
{
	wasm_header(&subject->module);
	wasm_one_memory(&subject->module, 1, 4);
	if (data)
		wasm_section(&subject->module, WASM_DATA, data);
	subject_memory(subject, false, 65536, pages);
}

static void check_segments(struct fl_context *context, struct fl_pool *pool,
			   const struct subject *subject)
{
	static const char expected[4] = { 0, 'b', 0, 'd' };
	struct fl_module *module = load_baked(context, subject);
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;

	check_contents(module, subject);
	CONFORM_MUST(fl_instance_acquire(pool, module, NULL, &instance, &error),
		     &error);
	for (uint32_t i = 0; i < 4; i++) {
		enum fl_trap trap =
			fl_memory_init(instance, 0, i, 65536 + i, 0, 1);

		CHECK_EQ(trap, expected[i] ? FL_TRAP_NONE : OOB);
	}
	CHECK(!memcmp(fl_instance_memory(instance, 0)->base + 65536, expected,
		      sizeof(expected)));
	CHECK_EQ(fl_instance_release(instance), 0);
	fl_module_release(module);
}

/* Active segments, and passive ones, which the code knows by index. */
static void segments_keep_their_meaning(void)
{
	struct fl_context *context = open_context();
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;

	conform_pool_config(&config);
	CONFORM_MUST(fl_pool_create(context, &config, &pool, &error), &error);
	/* Fewer stretches than segments, as many, more. */
	for (int stretches = 0; stretches < 5; stretches++) {
		struct subject subject = { .request.has_started = true };
		struct wasm data = { 0 };

		wasm_u(&data, 4);
		wasm_data_active(&data, 7, "a", 1);
		wasm_data_passive(&data, "b", 1);
		wasm_data_active(&data, 65535, "c", 1);
		wasm_data_passive(&data, "d", 1);
		one_memory(&subject, &data, 2);
		for (int i = 0; i < stretches; i++)
			subject.plains[0].bytes[1000 * i] = 'z';
		MUST(subject_bake(&subject));
		CHECK_EQ(subject.baked.segment_count, stretches);
		check_segments(context, pool, &subject);
		subject_close(&subject);
	}
	CHECK_EQ(fl_pool_destroy(pool), 0);
	fl_context_destroy(context);
}

/* Zeroes between data are stored where they are few. */
static void gaps_are_stored_or_cut(void)
{
	static const struct {
		uint64_t gap;
		uint32_t count;
	} gaps[] = { { 0, 1 }, { 63, 1 }, { 64, 2 }, { 65000, 2 } };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(gaps); i++) {
		struct subject subject = { .request.has_started = true };

		one_memory(&subject, NULL, 1);
		subject.plains[0].bytes[100] = 1;
		subject.plains[0].bytes[101 + gaps[i].gap] = 1;
		MUST(subject_bake(&subject));
		CHECK_EQ(subject.baked.segment_count, gaps[i].count);
		CHECK_EQ(subject.baked.segment_bytes,
			 gaps[i].count == 2 ? 2 : 2 + gaps[i].gap);
		subject_close(&subject);
	}
}

/* Many small stretches become as many as are allowed. */
static void too_many_are_joined(void)
{
	struct fl_context *context = open_context();
	struct subject subject = { .request.has_started = true,
				   .request.max_segments = 300 };
	struct fl_module *module;

	one_memory(&subject, NULL, 4);
	for (uint64_t i = 0; i < 4 * 65536; i += 100)
		subject.plains[0].bytes[i] = 1;
	/* A gap in the middle that is never worth storing. */
	memset(subject.plains[0].bytes + 100000, 0, 100000);
	MUST(subject_bake(&subject));
	CHECK(subject.baked.segment_count <= 300);
	CHECK(subject.baked.segment_count >= 2);
	CHECK(subject.baked.gap_bytes > BAKE_GAP_BYTES);
	module = load_baked(context, &subject);
	check_contents(module, &subject);
	fl_module_release(module);
	subject_close(&subject);
	fl_context_destroy(context);
}

static void start_stays_until_it_has_run(void)
{
	for (int has_started = 0; has_started < 2; has_started++) {
		struct subject subject = { .request.has_started = has_started };
		struct wasm *w = &subject.module;

		wasm_header(w);
		wasm_section_bytes(w, WASM_TYPE, 1, 0x60, 0, 0);
		wasm_section_bytes(w, WASM_FUNCTION, 1, 0);
		wasm_one_memory(w, 1, WASM_NO_MAX);
		wasm_section_bytes(w, WASM_START, 0);
		wasm_section_bytes(w, WASM_CODE, 1, 2, 0, 0x0b);
		subject_memory(&subject, false, 65536, 1);
		MUST(subject_bake(&subject));
		CHECK_EQ(subject.baked.is_start_removed, has_started);
		CHECK_EQ(subject.baked.length_bytes,
			 w->length - (has_started ? 3 : 0));
		subject_close(&subject);
	}
}

/* ---------------------------------------------------------------- refusals */

static void check_refused(struct subject *subject, const char *reason)
{
	CHECK(!subject_bake(subject));
	CHECK_HAS(subject->baked.reason, reason);
	CHECK(subject->baked.bytes == NULL);
	subject_close(subject);
}

static void sizes_must_fit(void)
{
	static const uint64_t pages[] = { 0, 5 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(pages); i++) {
		struct subject subject = { .request.has_started = true };

		one_memory(&subject, NULL, pages[i]);
		check_refused(&subject, "does not allow");
	}
	for (uint64_t off = 1; off < 65536; off *= 2) {
		struct subject subject = { .request.has_started = true };

		one_memory(&subject, NULL, 2);
		subject.memories[0].size_bytes -= off;
		check_refused(&subject, "no whole pages");
	}
}

/* An imported memory, with a segment of "x". */
static void import_memory(struct subject *subject)
{
	struct wasm imports = { 0 };

	wasm_header(&subject->module);
	wasm_u(&imports, 1);
	wasm_name(&imports, "env");
	wasm_name(&imports, "memory");
	wasm_bytes(&imports, 2);
	wasm_limits(&imports, 0, 1, 0);
	wasm_section(&subject->module, WASM_IMPORT, &imports);
	wasm_one_data(&subject->module, 5, "x", 1);
	subject_memory(subject, false, 65536, 1);
	subject->memories[0].is_imported = true;
}

static void imported_memories_stay_the_callers(void)
{
	struct subject full = { .request.has_started = true };
	struct subject empty = { .request.has_started = true };
	struct subject before = { .request.has_started = false };

	import_memory(&full);
	full.plains[0].bytes[5] = 'x';
	check_refused(&full, "imported and holds data");
	/* Started: the segment has been written, once and for all. */
	import_memory(&empty);
	MUST(subject_bake(&empty));
	CHECK_EQ(empty.baked.length_bytes, empty.module.length - 1);
	subject_close(&empty);
	/* Not started: the segment is still to be written. */
	import_memory(&before);
	before.plains[0].bytes[5] = 'x';
	MUST(subject_bake(&before));
	CHECK_EQ(before.baked.length_bytes, before.module.length);
	CHECK(!memcmp(before.baked.bytes, before.module.bytes,
		      before.module.length));
	subject_close(&before);
}

static void too_many_segments_are_refused(void)
{
	struct subject subject = { .request.has_started = true,
				   .request.max_segments = 3 };
	struct wasm data = { 0 };

	wasm_u(&data, 2);
	wasm_data_passive(&data, "b", 1);
	wasm_data_passive(&data, "d", 1);
	one_memory(&subject, &data, 1);
	check_refused(&subject, "keeps 2 data segments");
}

/* The bytes of a module cut anywhere, and with a byte changed: refused, or a
 * module; never read beyond the end, which the address sanitizer sees. */
static void broken_modules_do_no_harm(void)
{
	struct test_random random;

	test_random_init(&random, 2022);
	for (int i = 0; i < 3000; i++) {
		struct subject subject = { .request.has_started = true };
		uint8_t *bytes;
		size_t len;

		random_module(&random, &subject);
		len = subject.module.length;
		bytes = malloc(len + 1);
		MUST(bytes != NULL);
		if (i & 1)
			len = (size_t)test_random_below(&random, len);
		else
			subject.module.bytes[test_random_below(&random, len)] =
				(uint8_t)test_random_next(&random);
		bytes = realloc(bytes, len ? len : 1);
		MUST(bytes != NULL);
		memcpy(bytes, subject.module.bytes, len);
		wasm_free(&subject.module);
		subject.module = (struct wasm){ bytes, len, len };
		if (!subject_bake(&subject))
			CHECK(subject.baked.reason[0]);
		subject_close(&subject);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(random_contents),
	TEST_CASE(segments_keep_their_meaning),
	TEST_CASE(gaps_are_stored_or_cut),
	TEST_CASE(too_many_are_joined),
	TEST_CASE(start_stays_until_it_has_run),
	TEST_CASE(sizes_must_fit),
	TEST_CASE(imported_memories_stay_the_callers),
	TEST_CASE(too_many_segments_are_refused),
	TEST_CASE(broken_modules_do_no_harm),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
