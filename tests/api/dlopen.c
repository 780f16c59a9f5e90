/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * dlopen.c - the shared library loaded and unloaded while the program runs,
 * as a plugin of a language runtime does it: from a thread, several times, and
 * with instances living for most of that time.
 *
 * The library is the file that FAULTLINE_SO names; nothing of it is linked
 * here, only the types of its header are used.
 */
#include "tests/kit/test.h"

#include "faultline.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One memory of one wpage with "plugin" at 8. */
static const uint8_t module_bytes[] = {
	0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x05,
	0x03, 0x01, 0x00, 0x01, 0x0b, 0x0c, 0x01, 0x00, 0x41,
	0x08, 0x0b, 0x06, 'p',	'l',  'u',  'g',  'i',	'n',
};

struct plugin {
	void *handle;
	__typeof__(fl_version) *version;
	__typeof__(fl_context_create) *context_create;
	__typeof__(fl_context_destroy) *context_destroy;
	__typeof__(fl_config_init) *config_init;
	__typeof__(fl_module_load) *module_load;
	__typeof__(fl_module_release) *module_release;
	__typeof__(fl_pool_create) *pool_create;
	__typeof__(fl_pool_destroy) *pool_destroy;
	__typeof__(fl_instance_acquire) *instance_acquire;
	__typeof__(fl_instance_release) *instance_release;
	__typeof__(fl_instance_memory) *instance_memory;
	__typeof__(fl_memory_grow) *memory_grow;
};

static const char *needs_library(void)
{
#ifdef __SANITIZE_THREAD__
	return TEST_NOT_BUILT
		"the loader's own free() looks like a race to this sanitizer";
#endif
	return getenv("FAULTLINE_SO") ? NULL : "FAULTLINE_SO names no library";
}

static void find(struct plugin *plugin, void *fn, const char *name)
{
	void *symbol = dlsym(plugin->handle, name);

	if (!CHECK(symbol != NULL))
		fprintf(stderr, "    %s is missing\n", name);
	memcpy(fn, &symbol, sizeof(symbol));
}

static bool plugin_open(struct plugin *plugin)
{
	plugin->handle = dlopen(getenv("FAULTLINE_SO"), RTLD_NOW | RTLD_LOCAL);
	if (!CHECK(plugin->handle != NULL)) {
		fprintf(stderr, "    %s\n", dlerror());
		return false;
	}
	find(plugin, &plugin->version, "fl_version");
	find(plugin, &plugin->context_create, "fl_context_create");
	find(plugin, &plugin->context_destroy, "fl_context_destroy");
	find(plugin, &plugin->config_init, "fl_config_init");
	find(plugin, &plugin->module_load, "fl_module_load");
	find(plugin, &plugin->module_release, "fl_module_release");
	find(plugin, &plugin->pool_create, "fl_pool_create");
	find(plugin, &plugin->pool_destroy, "fl_pool_destroy");
	find(plugin, &plugin->instance_acquire, "fl_instance_acquire");
	find(plugin, &plugin->instance_release, "fl_instance_release");
	find(plugin, &plugin->instance_memory, "fl_instance_memory");
	find(plugin, &plugin->memory_grow, "fl_memory_grow");
	return true;
}

/* Is the file still mapped? */
static bool is_loaded(void)
{
	void *handle = dlopen(getenv("FAULTLINE_SO"), RTLD_NOW | RTLD_NOLOAD);

	if (handle)
		dlclose(handle);
	return handle;
}

static struct fl_module *plugin_load(struct plugin *plugin,
				     struct fl_context *context)
{
	struct fl_module_config config;
	struct fl_module *module = NULL;

	plugin->config_init(FL_MODULE_CONFIG, &config, sizeof(config));
	config.bytes = module_bytes;
	config.length_bytes = sizeof(module_bytes);
	CHECK_EQ(plugin->module_load(context, &config, &module, NULL), 0);
	return module;
}

static void plugin_cycle(struct plugin *plugin, struct fl_pool *pool,
			 struct fl_module *module)
{
	struct fl_instance *instance = NULL;
	struct fl_memory *memory;

	for (int i = 0; i < 5; i++) {
		if (!CHECK_EQ(plugin->instance_acquire(pool, module, NULL,
						       &instance, NULL),
			      0))
			return;
		memory = plugin->instance_memory(instance, 0);
		CHECK(!memcmp(memory->base + 8, "plugin", 6));
		memset(memory->base, 0x20, 65536);
		CHECK_EQ(plugin->memory_grow(memory, 2, NULL), 0);
		CHECK_EQ(memory->base[2 * 65536], 0);
		memory->base[2 * 65536] = 1;
		CHECK_EQ(plugin->instance_release(instance), 0);
	}
}

static void *plugin_use(void *arg)
{
	struct fl_context *context = NULL;
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;
	struct fl_module *module;
	struct plugin plugin;

	(void)arg;
	if (!plugin_open(&plugin))
		return NULL;
	CHECK(strlen(plugin.version()) > 0);
	CHECK_EQ(plugin.context_create(NULL, &context, NULL), 0);
	module = plugin_load(&plugin, context);
	plugin.config_init(FL_POOL_CONFIG, &config, sizeof(config));
	config.max_memories = 4;
	config.max_instances = 4;
	CHECK_EQ(plugin.pool_create(context, &config, &pool, NULL), 0);
	if (pool && module)
		plugin_cycle(&plugin, pool, module);
	CHECK_EQ(plugin.pool_destroy(pool), 0);
	plugin.module_release(module);
	plugin.context_destroy(context);
	CHECK_EQ(dlclose(plugin.handle), 0);
	return NULL;
}

/* A new thread each time, which ends after the library is gone: nothing of the
 * library may run at the end of a thread. */
static void loaded_and_unloaded_in_threads(void)
{
	for (int i = 0; i < 20; i++) {
		pthread_t thread;

		MUST_EQ(pthread_create(&thread, NULL, plugin_use, NULL), 0);
		pthread_join(thread, NULL);
		CHECK(!is_loaded());
	}
}

static void loaded_by_several_threads_at_once(void)
{
	for (int i = 0; i < 10; i++) {
		pthread_t threads[4];

		for (int k = 0; k < 4; k++)
			MUST_EQ(pthread_create(&threads[k], NULL, plugin_use,
					       NULL),
				0);
		for (int k = 0; k < 4; k++)
			pthread_join(threads[k], NULL);
		CHECK(!is_loaded());
	}
}

/* Only fl_ symbols are to be found, the internal ones not. */
static void internals_are_hidden(void)
{
	static const char *const internal[] = { "fl__error_fill",
						"fl__runs_fini",
						"fl__slots_take" };
	struct plugin plugin;

	if (!plugin_open(&plugin))
		return;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(internal); i++)
		CHECK(!dlsym(plugin.handle, internal[i]));
	dlclose(plugin.handle);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(loaded_and_unloaded_in_threads, needs_library),
	TEST_CASE_NEEDS(loaded_by_several_threads_at_once, needs_library),
	TEST_CASE_NEEDS(internals_are_hidden, needs_library),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
