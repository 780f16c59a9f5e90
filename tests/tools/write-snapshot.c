/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * write-snapshot.c - the file of a snapshot as a runtime writes it.
 *
 *	write-snapshot MODULE OUT ENCODING STATE [SIZE OFFSET TEXT]...
 *
 * With DELTA in the environment: a session of the snapshot, which has changed byte
 * 5000 of memory 0 and the first byte of the state, sleeps in the file of that name.
 *
 * For each memory of the module in turn: SIZE bytes, zero but for TEXT at
 * OFFSET. A STATE that begins with @ names a file with the bytes. Prints what the
 * library says if it refuses, and exits 1.
 */
#include <faultline.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 100000
#define MAX_IMAGES 8

static int refused(const char *what, const struct fl_error *error)
{
	fprintf(stderr, "write-snapshot: %s: %s\n", what, error->text);
	return 1;
}

static int read_bytes(const char *path, uint8_t *bytes, uint64_t *length)
{
	FILE *file = fopen(path, "rb");

	if (!file) {
		perror(path);
		return 1;
	}
	*length = fread(bytes, 1, MAX_BYTES, file);
	fclose(file);
	return 0;
}

static int load(struct fl_context *context, const char *path,
		struct fl_module **module)
{
	static uint8_t bytes[MAX_BYTES];
	struct fl_module_config config;
	struct fl_error error;

	fl_module_config_init(&config);
	config.bytes = bytes;
	if (read_bytes(path, bytes, &config.length_bytes))
		return 1;
	return fl_module_load(context, &config, module, &error) ?
		       refused(path, &error) :
		       0;
}

static int make_image(struct fl_context *context, char **words,
		      struct fl_image **image)
{
	struct fl_segment segment = { strtoull(words[1], NULL, 0), words[2],
				      strlen(words[2]) };
	struct fl_error error;

	return fl_image_from_segments(context, strtoull(words[0], NULL, 0),
				      &segment, 1, image, &error) ?
		       refused(words[2], &error) :
		       0;
}

static int read_state(const char *word, struct fl_snapshot_parts *parts)
{
	static uint8_t bytes[MAX_BYTES];
	uint64_t length = strlen(word);

	parts->state = word;
	if (word[0] == '@') {
		parts->state = bytes;
		if (read_bytes(word + 1, bytes, &length))
			return 1;
	}
	parts->state_bytes = length;
	return 0;
}

static int write_bytes(const char *path, const struct fl_delta *delta)
{
	uint64_t length;
	const void *bytes = fl_delta_bytes(delta, &length);
	FILE *file = fopen(path, "wb");
	bool is_written = file && fwrite(bytes, 1, length, file) == length;

	if (file && fclose(file))
		is_written = false;
	return is_written ? 0 : 1;
}

static int write_delta(struct fl_context *context,
		       const struct fl_snapshot_parts *of,
		       struct fl_snapshot *snapshot, const char *path)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_pool_config pool_config = FL_POOL_CONFIG_INIT;
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_memory *memory = NULL;
	struct fl_pool *pool = NULL;
	struct fl_delta *delta = NULL;
	static uint8_t state[MAX_BYTES];
	struct fl_error error;
	int failed = 1;

	pool_config.max_memories = pool_config.max_instances = 1;
	config.image = fl_snapshot_image(snapshot, 0, 0);
	memcpy(state, of->state, of->state_bytes);
	state[0] ^= 1;
	if (fl_pool_create(context, &pool_config, &pool, &error) ||
	    fl_memory_acquire(pool, &config, &memory, &error))
		return refused("the session", &error);
	memory->base[5000] ^= 1;
	parts.snapshot = snapshot;
	parts.memories = &memory;
	parts.memory_count = 1;
	parts.state = state;
	parts.state_bytes = of->state_bytes;
	memcpy(parts.tag, "session", 7);
	if (fl_memory_suspend(&parts, &delta, &error)) {
		(void)refused("the session", &error);
		(void)fl_memory_release(memory);
	} else {
		failed = write_bytes(path, delta);
		fl_delta_release(delta);
	}
	(void)fl_pool_destroy(pool);
	return failed;
}

static int write_parts(struct fl_context *context,
		       const struct fl_snapshot_parts *parts, const char *path)
{
	const char *delta_path = getenv("DELTA");
	struct fl_snapshot *snapshot;
	struct fl_error error;
	int err;

	if (fl_snapshot_create(parts, &snapshot, &error))
		return refused("the parts", &error);
	err = fl_snapshot_write(snapshot, path, &error);
	if (err)
		(void)refused(path, &error);
	else if (delta_path)
		err = write_delta(context, parts, snapshot, delta_path);
	fl_snapshot_release(snapshot);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_image *images[MAX_IMAGES] = { NULL };
	struct fl_context *context;
	struct fl_error error;
	int failed;

	if (argc < 5 || (argc - 5) % 3 || (argc - 5) / 3 > MAX_IMAGES) {
		fprintf(stderr, "usage: write-snapshot MODULE OUT ENCODING "
				"STATE [SIZE OFFSET TEXT]...\n");
		return 2;
	}
	if (fl_context_create(NULL, &context, &error))
		return refused("context", &error);
	failed = load(context, argv[1], &parts.module);
	for (int i = 5; i < argc && !failed; i += 3)
		failed = make_image(context, argv + i,
				    &images[parts.image_count++]);
	parts.images = images;
	parts.encoding = argv[3];
	if (!failed)
		failed = read_state(argv[4], &parts);
	if (!failed)
		failed = write_parts(context, &parts, argv[2]);
	for (int i = 0; i < MAX_IMAGES; i++)
		fl_image_release(images[i]);
	fl_module_release(parts.module);
	fl_context_destroy(context);
	return failed;
}
