/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * listed_injected.c - each call (injected_*.c) once for each allocation and system call that it
 * makes, which fails: with the error that is usual there, as a filter or a security
 * module would have it fail, and with one that no call gives for a reason known
 * here; that one alone, and all from there on.
 */
#define _GNU_SOURCE
#include "injected.h"

#include "inject.h"

/* Which of a function's calls is to fail, and which comes next. */
static uint32_t wanted, next;

void injected_begin(void)
{
	memset(&listed_error, 0, sizeof(listed_error));
	inject.is_armed = next == wanted;
	next++;
}

/* What cannot be read or synced is -EIO for whatever reason. */
static bool is_access(const char *name)
{
	return strstr(name, "read") || strstr(name, "process_vm") ||
	       strstr(name, "fstat") || strstr(name, "fsync");
}

/* What the system says of a call is what the library says. An allocation fails for
 * want of memory whatever system calls say, and what the system lacks is -ENOTSUP. */
static bool is_same(int err)
{
	return err == -ENOMEM || err == -ENOTSUP ||
	       err == (inject.instead == EPERM ? -EPERM :
		       inject.instead == EXDEV ? -EIO :
						 -ENOMEM) ||
	       (err == -EIO &&
		(inject.is_sticky || is_access(inject.first_failed)));
}

int injected_end(const char *call, int err)
{
	bool was_armed = inject.is_armed;

	inject.is_armed = false;
	if (was_armed && inject.failed ?
		    err && inject.instead && !CHECK(is_same(err)) :
		    !CHECK(!err || err == -ENOTSUP))
		test_note("%s answers %d: %s", call, err, listed_error.text);
	return listed_note(call, err,
			   strstr(call, "listed_error") ? &listed_error : NULL);
}

void injected_settle(struct scene *scene)
{
	CHECK_EQ(fl_pool_trim(scene->conform.pool, UINT64_MAX, NULL), 0);
}
/* -------------------------------------------------------------------- sweep */

/* Until there are fewer to fail. Are there as many calls of the library? */
static bool sweep(struct scene *scene, void (*fn)(struct scene *scene),
		  bool is_sticky, int instead)
{
	bool has_call = true;

	for (uint64_t at = 1; has_call && at < 1000; at++) {
		memset(&inject, 0, sizeof(inject));
		inject.is_of_thread = true;
		inject.is_sticky = is_sticky;
		inject.instead = instead;
		inject.fail_at = at;
		next = 0;
		fn(scene);
		has_call = next > wanted;
		if (test_has_failed()) {
			test_note("%s%s failed, the %jus in the %ju. call",
				  inject.first_failed,
				  is_sticky ? " and all" : "", (uintmax_t)at,
				  (uintmax_t)wanted + 1);
			return false;
		}
		if (!inject.failed)
			break;
	}
	return has_call;
}

static const struct {
	int instead;
	bool is_sticky;
} modes[] = { { 0, false },	{ 0, true },	 { ENOMEM, false },
	      { EPERM, false }, { EPERM, true }, { EXDEV, false },
	      { EXDEV, true } };

static void sweep_all(struct scene *scene, const struct injected_try *one)
{
	size_t count = one->where == SLOW ? 1 : TEST_ARRAY_SIZE(modes);
	bool has_call = true;

	for (wanted = 0; has_call; wanted++)
		for (size_t i = 0; i < count && has_call; i++)
			has_call = sweep(scene, one->fn, modes[i].is_sticky,
					 modes[i].instead);
}

void of_calls_that_fail(void)
{
	static const struct injected_try *const tries[] = {
		injected_images,
		injected_tenants,
		injected_sessions,
	};
	struct scene scene;

	inject_is_here = true;
	scene_open(&scene, 4);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(tries); i++)
		for (const struct injected_try *one = tries[i]; one->fn; one++)
			if (one->where != ONCE ||
			    !strcmp(test_rung->name, conform_rungs[0].name))
				sweep_all(&scene, one);
	scene_close(&scene);
}

/* A reset that drops nothing, and an audit after it. */
void of_a_kernel_that_lies(void)
{
	struct fl_table_config table_config = FL_TABLE_CONFIG_INIT;
	struct fl_pool_config config;
	struct fl_instance *instance;
	struct fl_memory *memory;
	struct conform conform;
	struct fl_module *module;
	struct fl_table *table;

	if (strcmp(test_rung->how, "dontneed"))
		return;
	conform_pool_config(&config);
	config.max_tables = 2;
	config.audit_every = 1;
	conform_open(&conform, &config);
	module = module_simple(&conform, 1, 0, "abc");
	table_config.initial_elements = 4;
	instance = instance_start(&conform, module);
	memory = conform_take(&conform, NULL, WPAGE);
	MUST_EQ(fl_table_acquire(conform.pool, &table_config, &table, NULL), 0);
	fl_instance_memory(instance, 0)->base[7] = 1;
	memory->base[7] = 1;
	memset(table->base, 1, 8);
	inject.lies = true;
	ROW(-EIO, fl_instance_release(instance));
	ROW(-EIO, fl_memory_release(memory));
	ROW(-EIO, fl_table_release(table));
	inject.lies = false;
	fl_module_release(module);
	conform_close(&conform);
}
