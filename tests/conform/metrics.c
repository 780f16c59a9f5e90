/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * metrics.c - a pool's numbers: that fl_pool_info(), fl_pool_metric()
 * and fl_pool_dump_json() say the same, that it is what happened, that
 * counters only grow. Written from the header and the list of metrics.
 *
 * JSON is read by a small strict parser of RFC 8259: whoever exports these
 * numbers has one that is no more lenient.
 */
#define _GNU_SOURCE
#include "tests/kit/child.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* --------------------------------------------------------------------- JSON */

#define JSON_VALUES 512
#define JSON_DEPTH 16

/* One scalar, by its path: "metrics.tables_live". */
struct json_value {
	char path[128];
	char kind; /* 'n'umber, 's'tring, 't'rue, 'f'alse, '0': null */
	uint64_t number;
	char text[256];
};

struct json {
	const char *at, *end;
	char path[128];
	unsigned int depth;
	size_t count;
	struct json_value values[JSON_VALUES];
};

static bool json_parse_value(struct json *json);

static void json_blank(struct json *json)
{
	while (json->at < json->end && strchr(" \t\r\n", *json->at))
		json->at++;
}

static bool json_eat(struct json *json, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(json->end - json->at) < len ||
	    memcmp(json->at, word, len) != 0)
		return false;
	json->at += len;
	return true;
}

static bool json_hex4(struct json *json, uint32_t *code)
{
	*code = 0;
	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef";
		char c = json->at < json->end ? *json->at++ : 'x';
		const char *found = strchr(digits, c | 0x20);

		if (!found || !*found)
			return false;
		*code = *code * 16 + (uint32_t)(found - digits);
	}
	return true;
}

static bool json_escape(struct json *json, char *out)
{
	static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	char c = json->at < json->end ? *json->at++ : '\0';
	const char *found = c ? strchr(names, c) : NULL;
	uint32_t code;

	if (found) {
		*out = means[found - names];
		return true;
	}
	/* No lone surrogate, no NUL. */
	if (c != 'u' || !json_hex4(json, &code) || !code ||
	    (code >= 0xd800 && code < 0xe000))
		return false;
	*out = code < 0x80 ? (char)code : '?';
	return true;
}

/* UTF-8, no longer than needed, no surrogates. */
static bool json_utf8(struct json *json, unsigned char first)
{
	int more = first < 0xc2 ? -1 :
		   first < 0xe0 ? 1 :
		   first < 0xf0 ? 2 :
		   first < 0xf5 ? 3 :
				  -1;
	const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	uint32_t code;

	if (more < 0)
		return false;
	code = first & (0x3fu >> more);
	for (int i = 0; i < more; i++) {
		unsigned char c =
			json->at < json->end ? (unsigned char)*json->at++ : 0;

		if ((c & 0xc0) != 0x80)
			return false;
		code = code << 6 | (c & 0x3f);
	}
	return code >= least[more] && code < 0x110000 &&
	       (code < 0xd800 || code >= 0xe000);
}

static bool json_parse_string(struct json *json, char *text, size_t size)
{
	size_t len = 0;

	if (!json_eat(json, "\""))
		return false;
	while (json->at < json->end && *json->at != '"') {
		char c = *json->at++;

		if ((unsigned char)c < 0x20 ||
		    (c == '\\' && !json_escape(json, &c)) ||
		    ((unsigned char)c >= 0x80 &&
		     !json_utf8(json, (unsigned char)c)))
			return false;
		if (len + 1 < size)
			text[len++] = c;
	}
	text[len] = '\0';
	return json_eat(json, "\"");
}

static bool is_digit(const struct json *json)
{
	return json->at < json->end && *json->at >= '0' && *json->at <= '9';
}

/* Integers that fit alone: what else would a count be? */
static bool json_parse_number(struct json *json, uint64_t *number)
{
	const char *start = json->at;

	*number = 0;
	while (is_digit(json)) {
		uint64_t digit = (uint64_t)(*json->at++ - '0');

		if (*number > (UINT64_MAX - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return json->at > start && (*start != '0' || json->at == start + 1);
}

static struct json_value *json_add(struct json *json, char kind)
{
	struct json_value *value = &json->values[json->count];

	MUST(json->count < JSON_VALUES);
	json->count++;
	value->kind = kind;
	memcpy(value->path, json->path, sizeof(value->path));
	return value;
}

/* Member or element: its path is longer by the name. */
static bool json_parse_member(struct json *json, const char *name)
{
	size_t len = strlen(json->path);
	bool is_good;

	MUST(len + strlen(name) + 2 < sizeof(json->path));
	snprintf(json->path + len, sizeof(json->path) - len, "%s%s",
		 len ? "." : "", name);
	is_good = json_parse_value(json);
	json->path[len] = '\0';
	return is_good;
}

static bool json_parse_list(struct json *json, bool is_object)
{
	const char *close = is_object ? "}" : "]";
	unsigned int n = 0;

	json_blank(json);
	if (json_eat(json, close))
		return true;
	do {
		char name[64];

		snprintf(name, sizeof(name), "%u", n++);
		json_blank(json);
		if (is_object) {
			if (!json_parse_string(json, name, sizeof(name)))
				return false;
			json_blank(json);
			if (!json_eat(json, ":"))
				return false;
		}
		if (!json_parse_member(json, name))
			return false;
		json_blank(json);
	} while (json_eat(json, ","));
	return json_eat(json, close);
}

static bool json_parse_value(struct json *json)
{
	bool is_good = false;

	json_blank(json);
	if (++json->depth > JSON_DEPTH || json->at == json->end)
		return false;
	if (json_eat(json, "{")) {
		is_good = json_parse_list(json, true);
	} else if (json_eat(json, "[")) {
		is_good = json_parse_list(json, false);
	} else if (*json->at == '"') {
		struct json_value *value = json_add(json, 's');

		is_good = json_parse_string(json, value->text,
					    sizeof(value->text));
	} else if (is_digit(json)) {
		is_good = json_parse_number(json, &json_add(json, 'n')->number);
	} else if (json_eat(json, "null")) {
		is_good = json_add(json, '0');
	} else if (json_eat(json, "true")) {
		is_good = json_add(json, 't');
	} else if (json_eat(json, "false")) {
		is_good = json_add(json, 'f');
	}
	json->depth--;
	return is_good;
}

/* Nothing before, nothing after, and an object. */
static bool json_parse(struct json *json, const char *text, size_t len)
{
	json->at = text;
	json->end = text + len;
	json->path[0] = '\0';
	json->depth = 0;
	json->count = 0;
	if (!len || *text != '{' || !json_parse_value(json))
		return false;
	json_blank(json);
	return json->at == json->end;
}

/* The only value of that path. */
static const struct json_value *json_find(const struct json *json,
					  const char *path)
{
	const struct json_value *found = NULL;

	for (size_t i = 0; i < json->count; i++) {
		if (strcmp(json->values[i].path, path) != 0)
			continue;
		if (!CHECK(!found))
			test_note("twice: %s", path);
		found = &json->values[i];
	}
	return found;
}

static struct json *json_of(const struct conform *conform)
{
	struct json *json = calloc(1, sizeof(*json));
	struct fl_error error = { .text = "" };
	uint64_t len = 0;
	char *text = NULL;

	MUST(json != NULL);
	CONFORM_MUST(fl_pool_dump_json(conform->pool, &text, &len, &error),
		     &error);
	MUST(text != NULL);
	CHECK_EQ(strlen(text), len);
	if (!CHECK(json_parse(json, text, len)))
		test_note("at %zu of %s", (size_t)(json->at - text), text);
	fl_bytes_free(text);
	return json;
}

static void check_number(const struct json *json, const char *path,
			 uint64_t number)
{
	const struct json_value *value = json_find(json, path);

	if (!CHECK(value && value->kind == 'n') ||
	    !CHECK_EQ(value->number, number))
		test_note("%s", path);
}

static void check_string(const struct json *json, const char *path,
			 const char *text)
{
	const struct json_value *value = json_find(json, path);

	if (!CHECK(value && value->kind == 's') ||
	    !CHECK(!strcmp(value->text, text)))
		test_note("%s", path);
}

/* The parser itself: what is no JSON is refused. */
static void parser_is_strict(void)
{
	static const char *const good[] = {
		"{}",
		"{ \"a\" : [ 1 , null, true,false, \"\\u00e9\\n\\\\\" ] }\n",
		"{\"a\":{\"b\":18446744073709551615},\"c\":\"\xc3\xa9\"}",
	};
	static const char *const bad[] = {
		"",
		"1",
		"{",
		"{}}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{\"a\":01}",
		"{\"a\":18446744073709551616}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\xc0\xaf\"}",
		"{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":[1,]}",
		"{\"a\":nul}",
		"{\"a\":\"",
	};
	struct json *json = calloc(1, sizeof(*json));

	MUST(json != NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(good); i++)
		CHECK(json_parse(json, good[i], strlen(good[i])));
	check_number(json, "a.b", UINT64_MAX);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++) {
		if (!CHECK(!json_parse(json, bad[i], strlen(bad[i]))))
			test_note("%s", bad[i]);
	}
	free(json);
}

/* --------------------------------------------------------------------- rows */

struct row {
	const char *name, *unit;
	bool is_counter, is_usage;
	bool is_quantile; /* no value before a call was timed */
};

static const struct row rows[] = {
#define FL_METRIC_INFO(name, unit, is_counter, field, help) \
	{ #name, unit, is_counter, false, false },
#define FL_METRIC_SUM(name, unit, field, sum, help) \
	{ #name, unit, false, false, false },
#define FL_METRIC_FIELD(name, unit, is_counter, field, help) \
	{ #name, unit, is_counter, false, false },
#define FL_METRIC_USAGE(name, unit, field, help) \
	{ #name, unit, false, true, false },
#define FL_STAT_COUNTER(name, unit, help) { #name, unit, true, false, false },
#define FL_STAT_GAUGE(name, unit, help) { #name, unit, false, false, false },
#define FL_STAT_TIMES(name, help)                                       \
	{ #name "_timed", "events", true, false, false },               \
		{ #name "_p50_ns", "nanoseconds", false, false, true }, \
		{ #name "_p99_ns", "nanoseconds", false, false, true }, \
		{ #name "_p999_ns", "nanoseconds", false, false, true },
#define FL_STAT_SIZES(name, help)                                    \
	{ #name "_sampled", "events", true, false, false },          \
		{ #name "_p50_bytes", "bytes", false, false, true }, \
		{ #name "_p99_bytes", "bytes", false, false, true }, \
		{ #name "_p999_bytes", "bytes", false, false, true },
#include "base/stats.def"
#define FL_ERROR(code, meaning) \
	{ "errors_" #code, "events", true, false, false },
#include "base/error.def"
#undef FL_ERROR
};

static struct fl_metric metric_at(const struct conform *conform, uint32_t idx)
{
	struct fl_metric metric = { .size = sizeof(metric) };

	CHECK_EQ(fl_pool_metric(conform->pool, idx, &metric), 0);
	CHECK_EQ(metric.size, sizeof(metric));
	return metric;
}

static uint64_t metric_named(const struct conform *conform, const char *name)
{
	for (uint32_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_metric metric = metric_at(conform, i);

		if (!strcmp(metric.name, name)) {
			CHECK(metric.has_value);
			return metric.value;
		}
	}
	CHECK(!"a metric of that name");
	return 0;
}

static bool can_count(void)
{
	return !strcmp(test_rung->how, "track") ||
	       !strcmp(test_rung->how, "scan");
}

/* Everything there is, on demand or not, so that all rows could move. */
static void metrics_config(struct fl_pool_config *config,
			   enum fl_allocation allocation)
{
	conform_pool_config(config);
	config->allocation = allocation;
	config->max_tables = 4;
	config->max_table_elements = 500;
	config->max_stacks = 2;
	config->stack_bytes = 16 * KIB;
	config->instance_bytes = 5000;
	config->max_idle_bytes = 1 * GIB;
}

static void each_allocation(void (*fn)(const struct fl_pool_config *config))
{
	for (int i = 0; i < 2 && !test_has_failed(); i++) {
		struct fl_pool_config config;

		metrics_config(&config, i ? FL_ALLOCATION_ON_DEMAND :
					    FL_ALLOCATION_POOLING);
		fn(&config);
		if (test_has_failed())
			test_note("%s", i ? "on demand" : "pooling");
	}
}

static void check_rows(const struct fl_pool_config *config)
{
	struct fl_metric past = { .size = sizeof(past) };
	struct conform conform;
	struct json *json;

	conform_open(&conform, config);
	json = json_of(&conform);
	for (uint32_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_metric metric = metric_at(&conform, i);
		const struct json_value *value;
		char path[128];

		CHECK(!strcmp(metric.name, rows[i].name));
		CHECK(!strcmp(metric.unit, rows[i].unit));
		CHECK(metric.help && strlen(metric.help) > 10);
		CHECK_EQ(metric.help[strlen(metric.help) - 1], '.');
		CHECK_EQ(metric.is_counter, rows[i].is_counter);
		CHECK_EQ(metric.has_value,
			 !rows[i].is_quantile &&
				 (!rows[i].is_usage || can_count()));
		for (uint32_t j = 0; j < i; j++)
			CHECK(strcmp(rows[j].name, rows[i].name) != 0);
		snprintf(path, sizeof(path), "metrics.%s", metric.name);
		value = json_find(json, path);
		MUST(value != NULL);
		CHECK_EQ(value->kind, metric.has_value ? 'n' : '0');
		CHECK_EQ(value->number, metric.value);
	}
	CHECK_EQ(fl_pool_metric(conform.pool, TEST_ARRAY_SIZE(rows), &past),
		 -EINVAL);
	CHECK_EQ(fl_pool_metric(conform.pool, UINT32_MAX, &past), -EINVAL);
	free(json);
	conform_close(&conform);
}

static void every_row_once(void)
{
	each_allocation(check_rows);
}

/* A struct of an older header gets what it has room for, and no more. */
static void older_struct(void)
{
	struct fl_metric metric;
	struct conform conform;
	size_t size = offsetof(struct fl_metric, value);

	conform_open(&conform, NULL);
	memset(&metric, 0x5c, sizeof(metric));
	metric.size = size;
	CHECK_EQ(fl_pool_metric(conform.pool, 0, &metric), 0);
	CHECK(!strcmp(metric.name, rows[0].name));
	CHECK_EQ(metric.value, 0x5c5c5c5c5c5c5c5c);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- values */

static struct fl_module *metrics_module(struct conform *conform)
{
	struct wasm w = { 0 }, tables = { 0 };

	wasm_header(&w);
	wasm_u(&tables, 1);
	wasm_bytes(&tables, 0x70);
	wasm_limits(&tables, 0, 10, 0);
	wasm_section(&w, WASM_TABLE, &tables);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	wasm_one_data(&w, 10, "metrics", 7);
	return module_load(conform, &w);
}

#define EXPECT(conform, name, value)                                  \
	do {                                                          \
		if (!CHECK_EQ(metric_named(conform, #name), (value))) \
			test_note("%s", #name);                       \
	} while (0)

static void expect_kind(const struct conform *conform, const char *kind,
			uint64_t live, uint64_t acquired, uint64_t refused)
{
	const struct {
		const char *what;
		uint64_t value;
	} wants[] = {
		{ "live", live },
		{ "acquired", acquired },
		{ "refused", refused },
		{ "retired", 0 },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(wants); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s_%s", kind, wants[i].what);
		if (!CHECK_EQ(metric_named(conform, name), wants[i].value))
			test_note("%s", name);
	}
}

static int try_stack(const struct conform *conform, struct fl_stack **stack)
{
	return fl_stack_acquire(conform->pool, 0, stack, NULL);
}

static int try_memory(const struct conform *conform, uint64_t timeout_ns,
		      struct fl_memory **memory)
{
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	config.timeout_ns = timeout_ns;
	return fl_memory_acquire(conform->pool, &config, memory, NULL);
}

static int try_table(const struct conform *conform, struct fl_table **table)
{
	struct fl_table_config config;

	fl_table_config_init(&config);
	config.initial_elements = 10;
	return fl_table_acquire(conform->pool, &config, table, NULL);
}

struct tenants {
	struct fl_instance *instances[2];
	struct fl_memory *memories[2];
	struct fl_table *tables[2];
	struct fl_stack *stacks[2];
};

/* Two of each alone, and two instances. */
static void tenants_enter(struct conform *conform, struct fl_module *module,
			  struct tenants *tenants)
{
	for (int i = 0; i < 2; i++) {
		tenants->instances[i] = instance_start(conform, module);
		MUST_EQ(try_memory(conform, 0, &tenants->memories[i]), 0);
		MUST_EQ(try_table(conform, &tenants->tables[i]), 0);
		MUST_EQ(try_stack(conform, &tenants->stacks[i]), 0);
	}
	expect_kind(conform, "instances", 2, 2, 0);
	expect_kind(conform, "memories", 4, 4, 0);
	expect_kind(conform, "tables", 4, 4, 0);
	expect_kind(conform, "stacks", 2, 2, 0);
}

static void tenants_leave(struct tenants *tenants)
{
	for (int i = 0; i < 2; i++) {
		instance_stop(tenants->instances[i]);
		conform_give(tenants->memories[i]);
		CHECK_EQ(fl_table_release(tenants->tables[i]), 0);
		CHECK_EQ(fl_stack_release(tenants->stacks[i]), 0);
	}
}

/* One of each too many. */
static void tenants_refused(struct conform *conform)
{
	struct fl_memory *memory = NULL;
	struct fl_table *table = NULL;
	struct fl_stack *stack = NULL;

	CHECK_EQ(try_memory(conform, 0, &memory), -EAGAIN);
	CHECK_EQ(try_memory(conform, 1000000, &memory), -ETIMEDOUT);
	CHECK_EQ(try_table(conform, &table), -EAGAIN);
	CHECK_EQ(try_stack(conform, &stack), -EAGAIN);
	expect_kind(conform, "memories", 4, 4, 2);
	expect_kind(conform, "tables", 4, 4, 1);
	expect_kind(conform, "stacks", 2, 2, 1);
}

static void scripted_run(void)
{
	struct fl_pool_config config;
	struct fl_module *module;
	struct tenants tenants;
	struct conform conform;

	metrics_config(&config, FL_ALLOCATION_POOLING);
	config.max_instances = 2;
	conform_open(&conform, &config);
	module = metrics_module(&conform);
	tenants_enter(&conform, module, &tenants);
	tenants_refused(&conform);
	EXPECT(&conform, memories_warm, 0);
	EXPECT(&conform, tables_warm, 0);
	tenants_leave(&tenants);
	expect_kind(&conform, "instances", 0, 2, 0);
	expect_kind(&conform, "memories", 0, 4, 2);
	expect_kind(&conform, "tables", 0, 4, 1);
	expect_kind(&conform, "stacks", 0, 2, 1);
	EXPECT(&conform, memories_warm, 4);
	EXPECT(&conform, tables_warm, 4);
	EXPECT(&conform, instances_warm, 2);
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
	EXPECT(&conform, memories_warm, 0);
	EXPECT(&conform, tables_warm, 0);
	EXPECT(&conform, instances_warm, 0);
	EXPECT(&conform, idle_kept_bytes, 0);
	EXPECT(&conform, audits, 0);
	EXPECT(&conform, reserved_bytes, conform_info(&conform).reserved_bytes);
	fl_module_release(module);
	conform_close(&conform);
}

/* What was refused for another reason than room is not counted. */
static void bad_requests_are_not_refusals(void)
{
	struct fl_memory_config config;
	struct fl_memory *memory = NULL;
	struct conform conform;

	conform_open(&conform, NULL);
	fl_memory_config_init(&config);
	config.initial_bytes = 5 * MIB;
	CHECK_EQ(fl_memory_acquire(conform.pool, &config, &memory, NULL),
		 -E2BIG);
	config.initial_bytes = 0;
	config.page_bytes = 12345;
	CHECK_EQ(fl_memory_acquire(conform.pool, &config, &memory, NULL),
		 -EINVAL);
	expect_kind(&conform, "memories", 0, 0, 0);
	conform_close(&conform);
}

/* Instances that find no instance, and those that find no memory. */
static void instances_refused(void)
{
	struct fl_pool_config config;
	struct fl_instance *instances[3] = { NULL };
	struct fl_memory *memories[2];
	struct fl_module *module;
	struct conform conform;

	metrics_config(&config, FL_ALLOCATION_POOLING);
	config.max_instances = 2;
	config.max_memories = 3;
	conform_open(&conform, &config);
	module = metrics_module(&conform);
	instances[0] = instance_start(&conform, module);
	instances[1] = instance_start(&conform, module);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &instances[2],
				     NULL),
		 -EAGAIN);
	EXPECT(&conform, instances_refused, 1);
	EXPECT(&conform, instances_live, 2);
	EXPECT(&conform, memories_live, 2);
	instance_stop(instances[1]);
	memories[0] = conform_take(&conform, NULL, WPAGE);
	memories[1] = conform_take(&conform, NULL, WPAGE);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &instances[2],
				     NULL),
		 -EAGAIN);
	EXPECT(&conform, memories_refused, 1);
	EXPECT(&conform, instances_live, 1);
	CHECK(instances[2] == NULL);
	instance_stop(instances[0]);
	for (int i = 0; i < 2; i++)
		conform_give(memories[i]);
	fl_module_release(module);
	conform_close(&conform);
}

static void check_audits(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	struct conform conform;

	mine.audit_every = 2;
	conform_open(&conform, &mine);
	for (int i = 0; i < 10; i++)
		conform_give(conform_take(&conform, NULL, WPAGE));
	EXPECT(&conform, audits, 5);
	EXPECT(&conform, audit_failures, 0);
	EXPECT(&conform, memories_retired, 0);
	conform_close(&conform);
}

static void audits_are_counted(void)
{
	struct fl_pool_config config;

	metrics_config(&config, FL_ALLOCATION_POOLING);
	check_audits(&config);
}

static void usage_is_the_same(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_memory *memory;
	struct conform conform;

	conform_open(&conform, NULL);
	memory = conform_take(&conform, NULL, 4 * WPAGE);
	memset(memory->base, 1, 4 * WPAGE);
	if (can_count()) {
		CHECK_EQ(fl_pool_usage(conform.pool, &usage, NULL), 0);
		CHECK_EQ(usage.private_bytes, 4 * WPAGE);
		EXPECT(&conform, private_bytes, usage.private_bytes);
		EXPECT(&conform, dirty_bytes, usage.dirty_bytes);
		EXPECT(&conform, idle_private_bytes, 0);
	}
	conform_give(memory);
	if (can_count()) {
		CHECK_EQ(fl_pool_usage(conform.pool, &usage, NULL), 0);
		EXPECT(&conform, idle_private_bytes, usage.idle_private_bytes);
		EXPECT(&conform, private_bytes, usage.private_bytes);
	}
	conform_close(&conform);
}

/* ----------------------------------------------------------- only ever grow */

static void counters_read(const struct conform *conform, uint64_t *values)
{
	for (uint32_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_metric metric = metric_at(conform, i);

		if (metric.is_counter)
			CHECK(metric.value >= values[i]);
		values[i] = metric.value;
	}
}

static void random_tenant(struct conform *conform, struct fl_module *module,
			  struct test_random *random)
{
	struct fl_instance *instance = NULL;
	struct fl_memory *memory = NULL;
	struct fl_stack *stack = NULL;
	struct fl_table *table = NULL;
	int err = 0;

	switch (test_random_below(random, 5)) {
	case 0:
		err = fl_instance_acquire(conform->pool, module, NULL,
					  &instance, NULL);
		break;
	case 1:
		err = try_memory(conform, 0, &memory);
		break;
	case 2:
		err = try_table(conform, &table);
		break;
	case 3:
		err = try_stack(conform, &stack);
		break;
	default:
		err = fl_pool_trim(conform->pool, 1, NULL);
	}
	CHECK(!err || err == -EAGAIN);
	if (instance)
		instance_stop(instance);
	if (memory)
		conform_give(memory);
	if (table)
		CHECK_EQ(fl_table_release(table), 0);
	if (stack)
		CHECK_EQ(fl_stack_release(stack), 0);
}

struct crew {
	struct conform conform;
	struct fl_module *module;
	atomic_uint next_seed;
	atomic_bool is_over;
};

static void *tenant_loop(void *arg)
{
	struct crew *crew = arg;
	struct test_random random = {
		.state = atomic_fetch_add(&crew->next_seed, 1),
	};

	for (int i = 0; i < 1500; i++)
		random_tenant(&crew->conform, crew->module, &random);
	return NULL;
}

/* Beside the tenants, whole and in parts. */
static void *reader_loop(void *arg)
{
	uint64_t values[TEST_ARRAY_SIZE(rows)] = { 0 };
	struct crew *crew = arg;

	while (!atomic_load(&crew->is_over)) {
		counters_read(&crew->conform, values);
		free(json_of(&crew->conform));
		CHECK(conform_info(&crew->conform).live_stacks <= 2);
	}
	counters_read(&crew->conform, values);
	return NULL;
}

static void check_counters(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	uint64_t acquired, refused;
	pthread_t tenants[3], reader;
	struct crew crew;

	memset(&crew, 0, sizeof(crew));
	mine.max_memories = 2;
	mine.max_instances = 2;
	mine.max_tables = 2;
	conform_open(&crew.conform, &mine);
	crew.module = metrics_module(&crew.conform);
	MUST_EQ(pthread_create(&reader, NULL, reader_loop, &crew), 0);
	for (int i = 0; i < 3; i++)
		MUST_EQ(pthread_create(&tenants[i], NULL, tenant_loop, &crew),
			0);
	for (int i = 0; i < 3; i++)
		pthread_join(tenants[i], NULL);
	atomic_store(&crew.is_over, true);
	pthread_join(reader, NULL);
	acquired = metric_named(&crew.conform, "stacks_acquired");
	refused = metric_named(&crew.conform, "stacks_refused");
	CHECK(acquired + refused > 0 && acquired + refused <= 4500);
	EXPECT(&crew.conform, memories_live, 0);
	EXPECT(&crew.conform, tables_live, 0);
	EXPECT(&crew.conform, instances_live, 0);
	EXPECT(&crew.conform, stacks_live, 0);
	fl_module_release(crew.module);
	conform_close(&crew.conform);
}

static void counters_only_grow(void)
{
	struct fl_pool_config config;

	metrics_config(&config, FL_ALLOCATION_POOLING);
	check_counters(&config);
}

/* --------------------------------------------------------------- the object */

static void check_config_in(const struct json *json,
			    const struct fl_pool_config *config)
{
#define SAME(field) check_number(json, "config." #field, config->field)
	SAME(max_instances);
	SAME(max_memories);
	SAME(max_memories_per_instance);
	SAME(max_tables);
	SAME(max_tables_per_instance);
	SAME(max_stacks);
	SAME(max_memory_bytes);
	SAME(memory_stride_bytes);
	SAME(memory_alignment_bytes);
	SAME(guard_before_bytes);
	SAME(guard_after_bytes);
	SAME(prefix_bytes);
	SAME(max_table_elements);
	SAME(table_element_bytes);
	SAME(instance_bytes);
	SAME(instance_alignment_bytes);
	SAME(stack_bytes);
	SAME(stack_alignment_bytes);
	SAME(zero_stacks);
	SAME(stack_keep_resident_bytes);
	SAME(max_warm_memories);
	SAME(audit_every);
	SAME(max_idle_slot_bytes);
	SAME(max_idle_bytes);
#undef SAME
}

static void check_object(const struct fl_pool_config *config)
{
	struct fl_feature feature = { .size = sizeof(feature) };
	struct fl_pool_config mine = *config;
	struct conform conform;
	struct json *json;

	mine.max_idle_bytes = UINT64_MAX;
	mine.guard_before_bytes = 12345;
	mine.bounds = FL_BOUNDS_ACCESSIBLE;
	mine.strategy = FL_STRATEGY_NEXT_AVAILABLE;
	mine.stack_growth = FL_STACK_GROWS_UP;
	mine.zero_stacks = 1;
	conform_open(&conform, &mine);
	json = json_of(&conform);
	check_string(json, "version", fl_version());
	check_string(json, "backend", fl_context_backend(conform.context));
	check_string(json, "rung", fl_context_rung(conform.context, NULL));
	check_config_in(json, &mine);
	check_string(json, "config.bounds", "accessible");
	check_string(json, "config.strategy", "next-available");
	check_string(json, "config.stack_growth", "up");
	check_string(json, "config.allocation",
		     mine.allocation == FL_ALLOCATION_ON_DEMAND ? "on-demand" :
								  "pooling");
	for (uint32_t i = 0; !fl_context_feature(conform.context, i, &feature);
	     i++) {
		char path[128];

		snprintf(path, sizeof(path), "features.%s", feature.name);
		check_string(json, path, fl_support_name(feature.support));
	}
	free(json);
	conform_close(&conform);
}

static void object_says_what_the_pool_is(void)
{
	each_allocation(check_object);
}

/* The reason for the rung is for people; quotes in it end no string. */
static void reason_is_escaped(void)
{
	struct conform conform;
	const char *reason = NULL;
	struct json *json;

	conform_open(&conform, NULL);
	json = json_of(&conform);
	fl_context_rung(conform.context, &reason);
	if (reason)
		check_string(json, "rung_reason", reason);
	else
		CHECK_EQ(json_find(json, "rung_reason")->kind, '0');
	free(json);
	conform_close(&conform);
}

static int child_run(void *arg)
{
	struct fl_metric metric = { .size = sizeof(metric) };
	struct conform *conform = arg;
	char *text = NULL;
	uint64_t len = 7;

	CHECK_EQ(fl_pool_metric(conform->pool, 0, &metric), -ECHILD);
	CHECK_EQ(fl_pool_dump_json(conform->pool, &text, &len, NULL), -ECHILD);
	CHECK(text == NULL);
	CHECK_EQ(len, 7);
	return 0;
}

static void check_child(const struct fl_pool_config *config)
{
	struct conform conform;

	conform_open(&conform, config);
	CHECK_EQ(test_fork(child_run, &conform, 20).status, 0);
	conform_close(&conform);
}

static void child_gets_an_error(void)
{
	each_allocation(check_child);
}

static const struct test_case cases[] = {
	TEST_CASE(parser_is_strict),
	TEST_CASE(every_row_once),
	TEST_CASE(older_struct),
	TEST_CASE(scripted_run),
	TEST_CASE(bad_requests_are_not_refusals),
	TEST_CASE(instances_refused),
	TEST_CASE(audits_are_counted),
	TEST_CASE(usage_is_the_same),
	TEST_CASE(counters_only_grow),
	TEST_CASE(object_says_what_the_pool_is),
	TEST_CASE(reason_is_escaped),
	TEST_CASE(child_gets_an_error),
};

CONFORM_MAIN(cases)
