/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * link_host.c - the smallest host of a data-free module: link_host MODULE
 *
 * Says in one line whether the adapter served the instance, with its content
 * and its growth, or in words that it was bypassed, before the guest is called.
 * Compiled and linked in many ways by links.sh. Exit status: 0 served, 3
 * refused, 1 anything else.
 */
#include <faultline-wasm2c.h>
#include <stdio.h>
#include <string.h>
#include <wasm-rt-impl.h>

#include "small.h"

static unsigned char bytes[4096];
static Z_small_instance_t instance;

static int open_pool(const char *path, struct fl_context **context,
		     struct fl_module **module, struct fl_pool **pool)
{
	struct fl_module_config module_config;
	struct fl_pool_config pool_config;
	struct fl_error error;
	FILE *file = fopen(path, "rb");
	int err;

	if (!file)
		return -1;
	fl_module_config_init(&module_config);
	module_config.bytes = bytes;
	module_config.length_bytes = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	fl_pool_config_init(&pool_config);
	pool_config.max_memories = 2;
	err = fl_context_create(NULL, context, &error);
	if (!err)
		err = fl_module_load(*context, &module_config, module, &error);
	if (!err)
		err = fl_pool_create(*context, &pool_config, pool, &error);
	if (err)
		puts(error.text);
	return err;
}

static int serve(struct fl_pool *pool, struct fl_module *module)
{
	struct fl_wasm2c_batch batch;
	struct fl_error error;
	int served;

	memset(&instance, 0, sizeof(instance));
	if (fl_wasm2c_begin(&batch, pool, module, &instance, sizeof(instance),
			    0, &error)) {
		printf("refused by begin: %s\n", error.text);
		return 3;
	}
	if (wasm_rt_impl_try()) {
		fl_wasm2c_end(&batch);
		puts("trapped");
		return 1;
	}
	Z_small_instantiate(&instance);
	if (fl_wasm2c_end(&batch)) {
		printf("refused by end: %s\n", batch.error.text);
		Z_small_free(&instance);
		return 3;
	}
	served = Z_smallZ_peek(&instance, 8) == 'f' &&
		 fl_wasm2c_memory(Z_smallZ_memory(&instance)) &&
		 Z_smallZ_grow(&instance, 1) == 1 &&
		 !Z_smallZ_peek(&instance, 65536 + 8);
	Z_small_free(&instance);
	puts(served ? "served" : "without content, and nobody said so");
	return !served;
}

int main(int argc, char **argv)
{
	struct fl_context *context;
	struct fl_module *module;
	struct fl_pool *pool;
	int status = 0;

	if (argc != 2 || open_pool(argv[1], &context, &module, &pool))
		return 1;
	wasm_rt_init();
	Z_small_init_module();
	for (int i = 0; i < 2 && !status; i++)
		status = serve(pool, module);
	fl_module_release(module);
	if (fl_pool_destroy(pool)) {
		puts("the pool still has tenants");
		status = 1;
	}
	fl_context_destroy(context);
	return status;
}
