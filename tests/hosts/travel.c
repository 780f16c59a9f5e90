/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * travel.c - sessions that travel between systems: one program, built for each.
 *
 *	travel make FOLDER NAME		captures an instance in NAME.snapshot, and puts
 *					a clone of it to sleep in NAME.delta; another
 *					with plain parts goes to NAME.plain
 *	travel wake FOLDER NAME LIKE	wakes what another system made, compares it
 *					with what should be there, lets it go on and
 *					puts it to sleep in NAME.back
 *	travel back FOLDER NAME LIKE	the same of NAME.back
 *
 * LIKE is "alike" or "unlike": do C's types lie as where NAME was made? Then
 * NAME.plain is opened, else it is refused by name. Every number that is
 * expected follows from which step it is, so nothing else travels.
 *
 * The runtime at play keeps pointers in its table and its globals apart, and
 * gives the library numbers for them. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <faultline.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WPAGE UINT64_C(65536)
#define FUNCTIONS 3
#define PATH_BYTES 1000

/* A memory of 1 to 16 pages with "travel" at 1000, a table of 10 to 100 functions,
 * and a segment of each kind that can be dropped. */
static const uint8_t wasm[] = {
	0,   'a', 's', 'm', 1,	 0,   0,  0,	1,   4,	   1,	 0x60, 0,  0,
	3,   2,	  1,   0,   4,	 5,   1,  0x70, 1,   10,   100,	 5,    4,  1,
	1,   1,	  16,  9,   5,	 1,   1,  0,	1,   0,	   12,	 1,    2,  10,
	4,   1,	  2,   0,   11,	 11,  18, 2,	0,   0x41, 0xe8, 7,    11, 6,
	't', 'r', 'a', 'v', 'e', 'l', 1,  3,	'a', 'b',  'c',
};

/* What elements of the table point at, elsewhere in each process. */
static char functions[FUNCTIONS];
static const uint64_t no_function;

struct globals {
	uint64_t count;
	double share;
};

/* As the compiler lays it out. */
struct plain {
	char letter;
	long number;
	void *nothing;
};

static struct {
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_module *module;
	struct globals globals; /* of the only instance that lives */
	unsigned int passed, failed;
	const char *folder, *name;
} at;

static void check(int is_good, const char *what)
{
	if (is_good)
		at.passed++;
	else
		at.failed++;
	if (!is_good)
		printf("FAILED: %s\n", what);
}

static void must(int err, const struct fl_error *error, const char *what)
{
	if (!err)
		return;
	printf("FAILED: %s: %d, %s\n", what, err, error->text);
	printf("%u passed, %u failed, 0 skipped\n", at.passed, at.failed + 1);
	exit(1);
}

static const char *path(const char *suffix)
{
	static char text[PATH_BYTES];

	snprintf(text, sizeof(text), "%s/%s.%s", at.folder, at.name, suffix);
	return text;
}

/* --------------------------------------------------------------- the runtime */

static int encode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const void *elements, uint64_t count,
			   uint64_t *values)
{
	(void)user;
	(void)instance;
	(void)table_idx;
	(void)first_idx;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t element;

		memcpy(&element, (const char *)elements + 8 * i, 8);
		values[i] = element - (uint64_t)(uintptr_t)functions;
	}
	return 0;
}

static int decode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const uint64_t *values, uint64_t count,
			   void *elements)
{
	(void)user;
	(void)instance;
	(void)table_idx;
	(void)first_idx;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t element = (uint64_t)(uintptr_t)functions + values[i];

		if (values[i] >= FUNCTIONS)
			return -EINVAL;
		memcpy((char *)elements + 8 * i, &element, 8);
	}
	return 0;
}

static void put_u64(uint8_t *bytes, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_u64(const uint8_t *bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static int encode_state(void *user, struct fl_instance *instance, void *buffer,
			uint64_t *length_bytes)
{
	uint64_t bits;

	(void)user;
	(void)instance;
	*length_bytes = 16;
	if (!buffer)
		return 0;
	memcpy(&bits, &at.globals.share, 8);
	put_u64(buffer, at.globals.count);
	put_u64((uint8_t *)buffer + 8, bits);
	return 0;
}

static int decode_state(void *user, struct fl_instance *instance,
			const void *bytes, uint64_t length_bytes)
{
	uint64_t bits;

	(void)user;
	(void)instance;
	if (length_bytes != 16)
		return -EINVAL;
	at.globals.count = get_u64(bytes);
	bits = get_u64((const uint8_t *)bytes + 8);
	memcpy(&at.globals.share, &bits, 8);
	return 0;
}

static struct fl_snapshot_config capture = {
	.size = sizeof(capture),
	.encoding = "travel 1",
	.encode_elements = encode_elements,
	.encode_state = encode_state,
};

static void open_world(void)
{
	struct fl_module_config module = FL_MODULE_CONFIG_INIT;
	struct fl_pool_config pool = FL_POOL_CONFIG_INIT;
	struct fl_error error = { .text = "" };

	must(fl_context_create(NULL, &at.context, &error), &error, "a context");
	module.bytes = wasm;
	module.length_bytes = sizeof(wasm);
	must(fl_module_load(at.context, &module, &at.module, &error), &error,
	     "the module");
	pool.max_instances = pool.max_memories = pool.max_tables = 2;
	pool.max_memory_bytes = 16 * WPAGE;
	pool.memory_stride_bytes = 0;
	pool.max_table_elements = 100;
	pool.table_element_bytes = 8;
	pool.table_null = &no_function;
	pool.instance_bytes = sizeof(struct plain);
	must(fl_pool_create(at.context, &pool, &at.pool, &error), &error,
	     "a pool");
}

/* ------------------------------------------------------------------ what is there */

/* Step 0 is captured, 1 slept first, and each wake goes one on. */
static void take_step(struct fl_instance *instance, unsigned int step)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	struct fl_table *table = fl_instance_table(instance, 0);
	uint64_t element = (uint64_t)(uintptr_t)&functions[step % FUNCTIONS];
	struct fl_error error = { .text = "" };

	must(fl_memory_grow(memory, 1, NULL), &error, "growth");
	memset(memory->base + memory->length_bytes - 100, (int)(step + 1), 50);
	memset(memory->base + 20000 * step, (int)(0x40 + step), 3000);
	must(fl_table_grow(table, 2, NULL, NULL), &error, "a table's growth");
	check(fl_table_set(table, 3 * step, &element) == FL_TRAP_NONE, "set");
	at.globals.count += 1000 + step;
	at.globals.share = 1.0 / (3 + step);
	if (step == 1)
		fl_data_drop(instance, 1);
	if (step == 2)
		fl_elem_drop(instance, 0);
}

static uint8_t *expected_memory(unsigned int steps, uint64_t *length)
{
	uint8_t *bytes = calloc(1, 16 * WPAGE);

	if (!bytes)
		exit(1);
	memcpy(bytes + 1000, "travel", 6);
	*length = WPAGE;
	for (unsigned int step = 0; step < steps; step++) {
		*length += WPAGE;
		memset(bytes + *length - 100, (int)(step + 1), 50);
		memset(bytes + 20000 * step, (int)(0x40 + step), 3000);
	}
	return bytes;
}

static void check_table(struct fl_instance *instance, unsigned int steps)
{
	const struct fl_table *table = fl_instance_table(instance, 0);
	uint64_t expected[100] = { 0 };

	check(fl_table_size(table) == 10 + 2 * steps, "the size of the table");
	for (unsigned int step = 0; step < steps; step++)
		expected[3 * step] =
			(uint64_t)(uintptr_t)&functions[step % FUNCTIONS];
	for (uint64_t i = 0; i < 10 + 2 * steps; i++) {
		uint64_t element = 1;

		check(fl_table_get(table, i, &element) == FL_TRAP_NONE &&
			      element == expected[i],
		      "an element of the table");
	}
}

static void check_instance(struct fl_instance *instance, unsigned int steps)
{
	/* In memory, because some processors divide by more digits. */
	const volatile double share = 1.0 / (2 + steps);
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	uint64_t length, count = 0;
	uint8_t *bytes = expected_memory(steps, &length);

	check(memory->length_bytes == length, "the size of the memory");
	check(memory->length_bytes == length &&
		      !memcmp(memory->base, bytes, length),
	      "the bytes of the memory");
	free(bytes);
	check_table(instance, steps);
	for (unsigned int step = 0; step < steps; step++)
		count += 1000 + step;
	check(at.globals.count == count, "a global");
	check(at.globals.share == share, "a global of f64");
	/* What was dropped has no bytes, and what was not has three. */
	check((fl_memory_init(instance, 0, 1, 5, 0, 3) == FL_TRAP_NONE) ==
		      (steps < 2),
	      "the data segment that is dropped in step 1");
	memset(memory->base + 5, 0, 3);
	if (steps)
		memset(memory->base + 5, 0x40, 3);
}

/* --------------------------------------------------------------------- files */

static void write_delta(struct fl_delta *delta, const char *suffix)
{
	uint64_t length = 0;
	const void *bytes = fl_delta_bytes(delta, &length);
	FILE *file = fopen(path(suffix), "wb");

	check(file && fwrite(bytes, 1, (size_t)length, file) == length &&
		      !fclose(file),
	      "a delta is written");
}

static struct fl_delta *read_delta(struct fl_snapshot *snapshot,
				   const char *suffix)
{
	static uint8_t bytes[1 << 20];
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	FILE *file = fopen(path(suffix), "rb");
	size_t length = file ? fread(bytes, 1, sizeof(bytes), file) : 0;

	if (file)
		fclose(file);
	must(fl_delta_open(snapshot, bytes, length, FL_BYTES_COPY, NULL, &delta,
			   &error),
	     &error, path(suffix));
	at.passed++;
	return delta;
}

static void sleep_to(struct fl_instance *instance, struct fl_snapshot *snapshot,
		     const char *suffix)
{
	struct fl_delta_config config = FL_DELTA_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;

	config.snapshot = snapshot;
	config.capture = &capture;
	must(fl_instance_suspend(&instance, 1, &config, &delta, &error), &error,
	     "sleep");
	write_delta(delta, suffix);
	fl_delta_release(delta);
}

static struct fl_instance *acquire(struct fl_snapshot *snapshot,
				   struct fl_delta *delta)
{
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	struct fl_instance *instance = NULL;
	struct fl_error error = { .text = "" };

	config.snapshot = snapshot;
	config.delta = delta;
	config.decode_elements = decode_elements;
	config.decode_state = decode_state;
	must(fl_instance_acquire(at.pool, at.module, &config, &instance,
				 &error),
	     &error, "an instance");
	return instance;
}

static int open_snapshot(const char *suffix, const char *encoding,
			 struct fl_snapshot **snapshot, struct fl_error *error)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;

	binding.modules = &at.module;
	binding.module_count = 1;
	binding.encoding = encoding;
	binding.plain_structure = !*encoding;
	return fl_snapshot_open(at.context, path(suffix), -1, 0, &binding,
				snapshot, error);
}

/* ----------------------------------------------------------------------- verbs */

static void make_plain(void)
{
	struct fl_snapshot_config config = FL_SNAPSHOT_CONFIG_INIT;
	struct fl_instance *instance = acquire(NULL, NULL);
	struct fl_snapshot *snapshot = NULL;
	struct fl_error error = { .text = "" };
	struct plain *plain = fl_instance_structure(instance);

	*plain = (struct plain){ 'x', 42, NULL };
	config.plain_structure = 1;
	must(fl_instance_snapshot(&instance, 1, &config, &snapshot, &error),
	     &error, "a plain snapshot");
	must(fl_snapshot_write(snapshot, path("plain"), &error), &error,
	     "a plain file");
	fl_snapshot_release(snapshot);
	fl_instance_release(instance);
}

static void make(void)
{
	struct fl_instance *instance = acquire(NULL, NULL);
	struct fl_snapshot *snapshot = NULL;
	struct fl_error error = { .text = "" };

	take_step(instance, 0);
	must(fl_instance_snapshot(&instance, 1, &capture, &snapshot, &error),
	     &error, "a snapshot");
	must(fl_snapshot_write(snapshot, path("snapshot"), &error), &error,
	     "a file");
	fl_instance_release(instance);
	instance = acquire(snapshot, NULL);
	check_instance(instance, 1);
	take_step(instance, 1);
	check_instance(instance, 2);
	sleep_to(instance, snapshot, "delta");
	fl_snapshot_release(snapshot);
	make_plain();
}

static void check_plain(int is_alike)
{
	struct fl_snapshot *snapshot = NULL;
	struct fl_error error = { .text = "" };
	int err = open_snapshot("plain", "", &snapshot, &error);

	if (is_alike) {
		check(!err, "plain bytes of a system like this are opened");
		fl_snapshot_release(snapshot);
		return;
	}
	check(err == -ENOTSUP && strstr(error.text, "the structure") &&
		      strstr(error.text, "another system"),
	      "plain bytes of another system are refused by name");
	printf("%s\n", error.text);
}

static void wake(const char *from, const char *to, unsigned int steps,
		 int is_alike)
{
	struct fl_snapshot *snapshot = NULL;
	struct fl_instance *instance;
	struct fl_error error = { .text = "" };
	struct fl_delta *delta;

	must(open_snapshot("snapshot", capture.encoding, &snapshot, &error),
	     &error, "a snapshot of elsewhere");
	instance = acquire(snapshot, NULL);
	check_instance(instance, 1);
	fl_instance_release(instance);
	delta = read_delta(snapshot, from);
	instance = acquire(NULL, delta);
	fl_delta_release(delta);
	check_instance(instance, steps);
	take_step(instance, steps);
	check_instance(instance, steps + 1);
	sleep_to(instance, snapshot, to);
	fl_snapshot_release(snapshot);
	check_plain(is_alike);
}

int main(int argc, char **argv)
{
	int is_alike = argc == 5 && !strcmp(argv[4], "alike");

	if (argc < 4) {
		fprintf(stderr, "usage: travel make|wake|back FOLDER NAME "
				"[alike|unlike]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	at.folder = argv[2];
	at.name = argv[3];
	open_world();
	if (!strcmp(argv[1], "make"))
		make();
	else if (!strcmp(argv[1], "wake"))
		wake("delta", "back", 2, is_alike);
	else
		wake("back", "again", 3, is_alike);
	fl_module_release(at.module);
	check(!fl_pool_destroy(at.pool), "nothing is held");
	fl_context_destroy(at.context);
	printf("%u passed, %u failed, 0 skipped\n", at.passed, at.failed);
	return at.failed != 0;
}
