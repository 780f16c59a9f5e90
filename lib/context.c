/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* context.c - making and dropping contexts; see context.h. */
#include "context.h"
#include "backends.h"
#include "base/config.h"
#include "base/sized.h"

#include <stdlib.h>

/* What pools ask for later and the process may lose by then: the memory that
 * tells of forks, and the file that tells of pins. */
static int context_open_guards(struct fl_context *context, const char *disabled,
			       struct fl_error *error)
{
	const char *remedy;
	int err = fl__os_fork_guard_init(&context->fork_guard,
					 !fl_name_is_listed(disabled,
							    "madv-wipeonfork"));

	if (!err) {
		context->status_fd = fl__os_status_open();
		if (context->status_fd >= 0 ||
		    fl__error_fold(context->status_fd) != -ENOMEM)
			return 0;
		err = context->status_fd;
		fl__os_fork_guard_fini(&context->fork_guard);
	}
	remedy = fl__os_remedy(err);
	return fl__error_set(error, fl__error_fold(err),
			     "cannot make a context: %s%s%s", strerror(-err),
			     remedy ? "; " : "", remedy ? remedy : "");
}

static void context_close_guards(struct fl_context *context)
{
	if (context->status_fd >= 0)
		fl__os_file_close(context->status_fd);
	fl__os_fork_guard_fini(&context->fork_guard);
}

int fl_context_create(const struct fl_context_config *config,
		      struct fl_context **out, struct fl_error *error)
{
	const char *disabled = fl__os_getenv("FAULTLINE_DISABLE");
	struct fl_context_config known;
	struct fl_context *context;
	int err = fl__config_read(FL_CONTEXT_CONFIG, &known, config, error);

	if (!err && known.descriptor_shards > FL__MAX_SHARDS)
		err = fl__error_set(
			error, -EINVAL,
			"descriptor_shards is %u; use 1 to %d, or 0 for the default",
			known.descriptor_shards, FL__MAX_SHARDS);
	if (!err && known.load_threads > FL__MAX_LOAD_THREADS)
		err = fl__error_set(
			error, -EINVAL,
			"load_threads is %u; use 1 to %d, or 0 for the default",
			known.load_threads, FL__MAX_LOAD_THREADS);
	if (!err && (unsigned int)known.statistics > FL_STATISTICS_OFF)
		err = fl__error_set(
			error, -EINVAL,
			"statistics is %d; use an enumerator of enum fl_statistics",
			(int)known.statistics);
	if (err)
		return err;
	context = calloc(1, sizeof(*context));
	if (!context)
		return fl__error_set(error, -ENOMEM, "no memory for a context");
	context->refs = 1;
	context->is_commit_strict = fl__os_is_commit_strict();
	context->limits = known;
	/* The caller's names may go after the call. */
	context->limits.backend = context->limits.rung = NULL;
	err = fl__os_lock_init(&context->lock);
	if (err) {
		fl__error_set(error, err, "cannot make a lock");
		goto err_free;
	}
	err = fl__os_lock_init(&context->holes_lock);
	if (err) {
		fl__error_set(error, err, "cannot make a lock");
		goto err_lock;
	}
	context->statistics = fl_name_is_listed(disabled, "statistics") ?
				      FL_STATISTICS_OFF :
				      known.statistics;
	err = fl__os_lock_init(&context->twins_lock);
	if (err) {
		fl__error_set(error, err, "cannot make a lock");
		goto err_holes;
	}
	err = context_open_guards(context, disabled, error);
	if (err)
		goto err_twins;
	err = fl__backend_open(&known, disabled, &context->backend,
			       &context->host, error);
	if (err)
		goto err_guards;
	*out = context;
	return 0;
err_guards:
	context_close_guards(context);
err_twins:
	fl__os_lock_fini(&context->twins_lock);
err_holes:
	fl__os_lock_fini(&context->holes_lock);
err_lock:
	fl__os_lock_fini(&context->lock);
err_free:
	free(context);
	return err;
}

struct fl_context *fl__context_retain(struct fl_context *context)
{
	__atomic_fetch_add(&context->refs, 1, __ATOMIC_RELAXED);
	return context;
}

bool fl__context_lock(const struct fl_context *context,
		      struct fl__os_lock *lock)
{
	if (fl__os_is_forked(&context->fork_guard))
		return false;
	fl__os_lock(lock);
	return true;
}

void fl_context_destroy(struct fl_context *context)
{
	/* The caller that drops the last reference must see what the others
	 * wrote. */
	if (!context || __atomic_sub_fetch(&context->refs, 1, __ATOMIC_ACQ_REL))
		return;
	context->backend->close(context->host);
	context_close_guards(context);
	fl__os_lock_fini(&context->twins_lock);
	fl__os_lock_fini(&context->holes_lock);
	fl__os_lock_fini(&context->lock);
	free(context);
}

const char *fl_context_backend(const struct fl_context *context)
{
	return context->backend->name;
}

const char *fl_context_rung(const struct fl_context *context,
			    const char **reason)
{
	const char *why = NULL;
	const char *rung = context->backend->rung(context->host, &why);

	if (reason)
		*reason = why;
	return rung;
}

static bool feature_get(const struct fl_context *context, uint32_t idx,
			struct fl_feature *feature)
{
	return context->backend->feature &&
	       context->backend->feature(context->host, idx, feature);
}

int fl_context_feature(const struct fl_context *context, uint32_t idx,
		       struct fl_feature *feature)
{
	struct fl_feature filled;

	if (!feature_get(context, idx, &filled))
		return -EINVAL;
	fl__sized_write(feature, &filled, sizeof(filled));
	return 0;
}

int fl_context_syscall(const struct fl_context *context, uint32_t idx,
		       struct fl_syscall *syscall)
{
	struct fl_syscall filled;

	if (!context->backend->syscall ||
	    !context->backend->syscall(context->host, idx, &filled))
		return -EINVAL;
	fl__sized_write(syscall, &filled, sizeof(filled));
	return 0;
}

/*
 * Sequentially consistent with unlinking: a walker that a wait does not see has
 * begun after the unlinking, and does not see what was unlinked.
 */
uint32_t fl__context_walk_begin(const struct fl_context *context)
{
	struct fl_context *walked = (struct fl_context *)(uintptr_t)context;
	uint32_t turn = __atomic_load_n(&walked->turn, __ATOMIC_SEQ_CST) % 2;

	__atomic_add_fetch(&walked->lookups[turn], 1, __ATOMIC_SEQ_CST);
	return turn;
}

void fl__context_walk_end(const struct fl_context *context, uint32_t turn)
{
	struct fl_context *walked = (struct fl_context *)(uintptr_t)context;

	__atomic_sub_fetch(&walked->lookups[turn], 1, __ATOMIC_SEQ_CST);
}

/* Both turns: a walker may have read the turn long before the walker was
 * counted. */
void fl__context_walk_wait(struct fl_context *context)
{
	for (int i = 0; i < 2; i++) {
		uint32_t old = __atomic_fetch_add(&context->turn, 1,
						  __ATOMIC_SEQ_CST) %
			       2;

		while (__atomic_load_n(&context->lookups[old],
				       __ATOMIC_SEQ_CST))
			fl__os_yield();
	}
}

/* A memory file each: a host of many pools keeps its descriptors. */
#define MAX_PUBLISHED 16

const char *fl__context_publish(const struct fl_context *context,
				uint32_t *published, const char *full)
{
	if (!context->backend->makes_memory_files)
		return "this backend makes no memory files";
	if (__atomic_add_fetch(published, 1, __ATOMIC_RELAXED) <= MAX_PUBLISHED)
		return NULL;
	__atomic_sub_fetch(published, 1, __ATOMIC_RELAXED);
	return full;
}

bool fl__context_lacks(const struct fl_context *context, const char *name,
		       const char **reason)
{
	struct fl_feature feature;

	for (uint32_t i = 0; feature_get(context, i, &feature); i++) {
		if (strcmp(feature.name, name))
			continue;
		if (reason)
			*reason = feature.reason;
		return feature.support != FL_SUPPORT_YES;
	}
	return false;
}

const char *fl_support_name(enum fl_support support)
{
	static const char *const names[] = {
		[FL_SUPPORT_MISSING] = "missing",
		[FL_SUPPORT_YES] = "yes",
		[FL_SUPPORT_DENIED] = "denied",
		[FL_SUPPORT_BROKEN] = "broken",
		[FL_SUPPORT_DISABLED] = "disabled",
		[FL_SUPPORT_UNTRIED] = "untried",
	};

	return (size_t)support < FL_ARRAY_SIZE(names) ? names[support] :
							"unknown";
}
