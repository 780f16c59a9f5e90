/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* minimal.c - from module bytes to a trap and back, in one screen. */
#include <faultline.h>

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* (module (memory (export "memory") 1 3) (data (i32.const 8) "hello")) */
static const unsigned char wasm[] =
	"\0asm\1\0\0\0\5\4\1\1\1\3\7\12\1\6memory\2\0\13\13\1\0\101\10\13\5hello";

static struct fl_context *context;
static sigjmp_buf trapped;

static void on_fault(int sig, siginfo_t *info, void *ucontext)
{
	struct fl_fault fault;

	(void)ucontext;
	if (fl_fault_lookup(context, info->si_addr, &fault) && fault.is_trap)
		siglongjmp(trapped, 1);
	signal(sig, SIG_DFL); /* not ours: fault again, and die of it */
}

static void check(int err, const struct fl_error *error)
{
	if (!err)
		return;
	fprintf(stderr, "minimal: %s\n", error->text);
	exit(1);
}

int main(void)
{
	struct fl_module_config module_config;
	struct fl_pool_config pool_config;
	struct fl_instance *instance;
	struct fl_module *module;
	struct fl_memory *memory;
	struct fl_pool *pool;
	struct fl_error error;
	struct sigaction action;

	check(fl_context_create(NULL, &context, &error), &error);
	fl_module_config_init(&module_config);
	module_config.bytes = wasm;
	module_config.length_bytes = sizeof(wasm) - 1;
	check(fl_module_load(context, &module_config, &module, &error), &error);
	fl_pool_config_init(&pool_config);
	pool_config.max_instances = pool_config.max_memories = 8;
	check(fl_pool_create(context, &pool_config, &pool, &error), &error);

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigaction(SIGSEGV, &action, NULL);

	check(fl_instance_acquire(pool, module, NULL, &instance, &error),
	      &error);
	memory = fl_instance_memory(instance, 0);
	printf("memory[8] says %.5s\n", (const char *)memory->base + 8);
	if (!sigsetjmp(trapped, 1))
		*(volatile unsigned char *)(memory->base + 70000) = 1;
	else
		printf("memory[70000] traps at size %d\n",
		       (int)memory->length_bytes);
	check(fl_memory_grow(memory, 1, NULL), &error);
	memory->base[70000] = 1;
	printf("memory[70000] holds %d at size %d\n", memory->base[70000],
	       (int)memory->length_bytes);
	fl_instance_release(instance);
	fl_module_release(module);
	fl_pool_destroy(pool);
	fl_context_destroy(context);
	return 0;
}
