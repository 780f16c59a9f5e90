/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* clone.c - capture an instance that has started, write it to a file, and begin
 * clones where it stood. The runtime is a toy: its guest's "start-up" is here. */
#include <faultline.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* (module (memory (export "memory") 2) (data (i32.const 8) "cold")) */
static const unsigned char wasm[] =
	"\0asm\1\0\0\0\5\3\1\0\2\7\12\1\6memory\2\0\13\12\1\0\101\10\13\4cold";

/* What this runtime keeps for each instance beside its memory. */
struct guest {
	uint64_t globals[2];
	uint64_t seed;
};

static void check(int err, const struct fl_error *error)
{
	if (!err)
		return;
	fprintf(stderr, "clone: %s\n", error->text);
	exit(1);
}

static int encode(void *user, struct fl_instance *instance, void *buffer,
		  uint64_t *length_bytes)
{
	struct guest *guest = fl_instance_user(instance);

	(void)user;
	*length_bytes = sizeof(guest->globals);
	if (buffer)
		memcpy(buffer, guest->globals, sizeof(guest->globals));
	return 0;
}

static int decode(void *user, struct fl_instance *instance, const void *bytes,
		  uint64_t length_bytes)
{
	struct guest *guest = user;

	(void)instance;
	if (length_bytes != sizeof(guest->globals))
		return -1;
	memcpy(guest->globals, bytes, sizeof(guest->globals));
	return 0;
}

/* What clones must not share is made anew, from bits that no other clone has. */
static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	struct guest *guest = user;

	(void)instance;
	memcpy(&guest->seed, how->generation_id, sizeof(guest->seed));
	return 0;
}

/* Start once, slowly; capture; write the capture to a file. */
static void start_and_capture(struct fl_pool *pool, struct fl_module *module,
			      const char *path)
{
	struct fl_snapshot_config capture = FL_SNAPSHOT_CONFIG_INIT;
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	struct guest guest = { { 1, 2 }, 3 };
	struct fl_snapshot *snapshot;
	struct fl_instance *instance;
	struct fl_error error;

	config.user = &guest;
	check(fl_instance_acquire(pool, module, &config, &instance, &error),
	      &error);
	memcpy(fl_instance_memory(instance, 0)->base + 8, "warm", 4);
	capture.encoding = "toy 1";
	capture.encode_state = encode;
	check(fl_instance_snapshot(&instance, 1, &capture, &snapshot, &error),
	      &error);
	check(fl_snapshot_write(snapshot, path, &error), &error);
	fl_snapshot_release(snapshot);
	fl_instance_release(instance);
}

int main(void)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct fl_module_config module_config = FL_MODULE_CONFIG_INIT;
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	struct fl_pool_config pool_config = FL_POOL_CONFIG_INIT;
	const char *path = "clone.snapshot";
	struct guest guests[2] = { { { 0 }, 0 } };
	struct fl_snapshot *snapshot;
	struct fl_instance *clones[2];
	struct fl_context *context;
	struct fl_module *module;
	struct fl_pool *pool;
	struct fl_error error;
	int i;

	check(fl_context_create(NULL, &context, &error), &error);
	module_config.bytes = wasm;
	module_config.length_bytes = sizeof(wasm) - 1;
	check(fl_module_load(context, &module_config, &module, &error), &error);
	pool_config.max_instances = pool_config.max_memories = 8;
	check(fl_pool_create(context, &pool_config, &pool, &error), &error);
	start_and_capture(pool, module, path);

	/* Here or in another process, now or tomorrow. */
	binding.modules = &module;
	binding.module_count = 1;
	binding.encoding = "toy 1";
	check(fl_snapshot_open(context, path, -1, 0, &binding, &snapshot,
			       &error),
	      &error);
	config.snapshot = snapshot;
	config.decode_state = decode;
	config.restored = restored;
	for (i = 0; i < 2; i++) {
		config.user = &guests[i];
		check(fl_instance_acquire(pool, module, &config, &clones[i],
					  &error),
		      &error);
		printf("clone %d is %.4s, its global is %d\n", i,
		       (char *)fl_instance_memory(clones[i], 0)->base + 8,
		       (int)guests[i].globals[1]);
	}
	if (guests[0].seed == guests[1].seed)
		return 1;
	fl_instance_release(clones[0]);
	fl_instance_release(clones[1]);
	fl_snapshot_release(snapshot);
	fl_module_release(module);
	fl_pool_destroy(pool);
	fl_context_destroy(context);
	return remove(path) != 0;
}
