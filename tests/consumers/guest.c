/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guest.c - see guest.h.
 */
#include <string.h>
#include <time.h>

#include "guest.h"

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env)
{
	return &env->memory;
}

static void own_instantiate(struct guest_instance *instance)
{
	Z_own_instantiate(&instance->of.own);
}

static void own_release(struct guest_instance *instance)
{
	Z_own_free(&instance->of.own);
}

static uint32_t own_request(struct guest_instance *instance, uint32_t seed,
			    uint32_t length_bytes)
{
	Z_ownZ__initialize(&instance->of.own);
	return Z_ownZ_serve_request(&instance->of.own, seed, length_bytes);
}

static void imp_instantiate(struct guest_instance *instance)
{
	Z_imp_instantiate(&instance->of.imp, &instance->env);
}

static void imp_release(struct guest_instance *instance)
{
	Z_imp_free(&instance->of.imp);
	wasm_rt_free_memory(&instance->env.memory);
}

static uint32_t imp_request(struct guest_instance *instance, uint32_t seed,
			    uint32_t length_bytes)
{
	Z_impZ__initialize(&instance->of.imp);
	return Z_impZ_serve_request(&instance->of.imp, seed, length_bytes);
}

const struct guest guests[GUEST_COUNT] = {
	{
		.name = "own",
		.init_module = Z_own_init_module,
		.instantiate = own_instantiate,
		.release = own_release,
		.request = own_request,
	},
	{
		.name = "imp",
		.imports_memory = true,
		.init_module = Z_imp_init_module,
		.instantiate = imp_instantiate,
		.release = imp_release,
		.request = imp_request,
	},
};

const struct guest *guest_find(const char *name)
{
	int i;

	for (i = 0; i < GUEST_COUNT; i++)
		if (!strcmp(guests[i].name, name))
			return &guests[i];
	return NULL;
}

uint32_t request_seed(uint32_t request_idx)
{
	return request_idx * 2654435761u + 1;
}

/* 256 bytes to 4 KiB, each size as often as any other. */
uint32_t request_bytes(uint32_t request_idx)
{
	return 256 + (request_seed(request_idx) >> 7) % (4096 - 256);
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
