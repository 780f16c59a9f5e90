/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* cycle-pool.c - a target for tests/tools/uffd-stat.sh: takes and gives memories
 * as often as it is told, says so, and waits to be killed. */
#include <faultline.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config memory_config;
	struct fl_context *context;
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct fl_pool *pool;

	fl_pool_config_init(&config);
	config.max_memories = 8;
	config.max_memory_bytes = 4 << 20;
	config.memory_stride_bytes = 0;
	config.name = "the-pool";
	fl_memory_config_init(&memory_config);
	memory_config.initial_bytes = 65536;
	if (fl_context_create(NULL, &context, &error) ||
	    fl_pool_create(context, &config, &pool, &error)) {
		puts(error.text);
		return 1;
	}
	for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--) {
		if (fl_memory_acquire(pool, &memory_config, &memory, &error)) {
			puts(error.text);
			return 1;
		}
		memory->base[0] = 1;
		(void)fl_memory_release(memory);
	}
	puts("cycled");
	fflush(stdout);
	for (;;)
		pause();
}
