/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * module.h - a guest's module in one struct of calls, whatever wasm2c names its
 * functions.
 *
 * DEFINE_MODULE(qjsfree, qjs, "data-free", NULL) defines module_qjsfree, whose
 * instances begin as those of qjsfree.h and run the code of qjs.h, which is the
 * same (build.sh makes sure of it); the includer includes both headers before. An
 * instance is given as a pointer to wasm2c's struct. Every call but init and
 * memory may trap.
 */
#ifndef MODULE_H
#define MODULE_H

#include <stddef.h>
#include <stdint.h>

#include <faultline-wasm2c.h>

struct module {
	const char *name;
	size_t instance_bytes;
	void (*init)(void); /* once in a process */
	void (*instantiate)(void *instance);
	void (*free)(void *instance);
	wasm_rt_memory_t *(*memory)(void *instance);
	/* What lies where in an instance; NULL: nobody has asked. */
	const struct fl_wasm2c_layout *layout;
	/* What guest.h says, after the C library's own start. */
	void (*initialize)(void *instance);
	uint32_t (*start)(void *instance);
	uint32_t (*handle)(void *instance, uint32_t kind, uint32_t seed);
	uint32_t (*session)(void *instance, uint32_t kind, uint32_t seed);
	uint32_t (*answer)(void *instance);
	uint32_t (*served)(void *instance);
	void (*restored)(void *instance, uint64_t low, uint64_t high);
	uint64_t (*random)(void *instance);
	uint32_t (*peek)(void *instance, uint32_t address);
};

#define DEFINE_MODULE(of, code, title, its_layout)                             \
	static void of##_instantiate(void *instance)                           \
	{                                                                      \
		Z_##of##_instantiate(instance);                                \
	}                                                                      \
	static void of##_free(void *instance)                                  \
	{                                                                      \
		Z_##of##_free(instance);                                       \
	}                                                                      \
	static wasm_rt_memory_t *of##_memory(void *instance)                   \
	{                                                                      \
		return Z_##code##Z_memory(instance);                           \
	}                                                                      \
	static void of##_initialize(void *instance)                            \
	{                                                                      \
		Z_##code##Z__initialize(instance);                             \
	}                                                                      \
	static uint32_t of##_start(void *instance)                             \
	{                                                                      \
		return Z_##code##Z_start(instance);                            \
	}                                                                      \
	static uint32_t of##_handle(void *instance, uint32_t kind,             \
				    uint32_t seed)                             \
	{                                                                      \
		return Z_##code##Z_handle(instance, kind, seed);               \
	}                                                                      \
	static uint32_t of##_session(void *instance, uint32_t kind,            \
				     uint32_t seed)                            \
	{                                                                      \
		return Z_##code##Z_session(instance, kind, seed);              \
	}                                                                      \
	static uint32_t of##_answer(void *instance)                            \
	{                                                                      \
		return Z_##code##Z_answer(instance);                           \
	}                                                                      \
	static uint32_t of##_served(void *instance)                            \
	{                                                                      \
		return Z_##code##Z_served(instance);                           \
	}                                                                      \
	static void of##_restored(void *instance, uint64_t low, uint64_t high) \
	{                                                                      \
		Z_##code##Z_restored(instance, low, high);                     \
	}                                                                      \
	static uint64_t of##_random(void *instance)                            \
	{                                                                      \
		return Z_##code##Z_random(instance);                           \
	}                                                                      \
	static uint32_t of##_peek(void *instance, uint32_t address)            \
	{                                                                      \
		return Z_##code##Z_peek(instance, address);                    \
	}                                                                      \
	const struct module module_##of = {                                    \
		.name = title,                                                 \
		.instance_bytes = sizeof(Z_##of##_instance_t),                 \
		.init = Z_##of##_init_module,                                  \
		.instantiate = of##_instantiate,                               \
		.free = of##_free,                                             \
		.memory = of##_memory,                                         \
		.layout = its_layout,                                          \
		.initialize = of##_initialize,                                 \
		.start = of##_start,                                           \
		.handle = of##_handle,                                         \
		.session = of##_session,                                       \
		.answer = of##_answer,                                         \
		.served = of##_served,                                         \
		.restored = of##_restored,                                     \
		.random = of##_random,                                         \
		.peek = of##_peek,                                             \
	}

#endif
