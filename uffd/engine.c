/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * engine.c - the Linux backend: the files of uffd/ as what backend.h asks for.
 *
 * The state behind the calls is in host.h (a context's), arena.h (a source's)
 * and load/loader.h (lazy images').
 */
#include "ask.h"
#include "clean.h"
#include "confine.h"
#include "memfd.h"
#include "show.h"
#include "storage.h"

static bool linux_knows(const char *name, size_t len)
{
	for (uint32_t i = 0; i < FL__FEATURE_COUNT; i++) {
		if (fl_name_is(name, len, fl__feature_name(i)))
			return true;
	}
	return false;
}

static const char *linux_rung(const struct fl__host *host, const char **reason)
{
	*reason = host->reason;
	return fl__rung_name(host->rung);
}

static bool linux_feature(const struct fl__host *host, uint32_t idx,
			  struct fl_feature *feature)
{
	if (idx >= FL__FEATURE_COUNT)
		return false;
	*feature = host->probe.features[idx];
	return true;
}

static bool linux_syscall(const struct fl__host *host, uint32_t idx,
			  struct fl_syscall *syscall)
{
	(void)host;
	return fl__confine_syscall(idx, syscall);
}

static bool linux_marks_guards(const struct fl__host *host)
{
	return fl__probe_has(&host->probe, FL__FEATURE_GUARD_MARKERS);
}

const struct fl__backend fl__backend_linux = {
	.name = "linux",
	.rungs = { FL__LINUX_RUNGS },
	.knows = linux_knows,
	.open = fl__host_open,
	.close = fl__host_close,
	.rung = linux_rung,
	.feature = linux_feature,
	.syscall = linux_syscall,
	.marks_guards = linux_marks_guards,
	.image_create = fl__storage_create,
	.image_map = fl__storage_map,
	.load_lacks = fl__storage_load_lacks,
	.image_load = fl__storage_load,
	.image_loading = fl__loader_tell,
	.image_destroy = fl__storage_destroy,
	.image_filled = fl__memfd_filled,
	.image_drain = fl__memfd_drain,
	.arena_open = fl__arena_open,
	.arena_close = fl__arena_close,
	.attach = fl__show_attach,
	.detach = fl__show_detach,
	.grow = fl__show_grow,
	.reset = fl__clean_reset,
	.reset_taking = fl__clean_reset_taking,
	.prefault = fl__show_prefault,
	.accounts = fl__ask_accounts,
	.account = fl__ask_account,
	.makes_memory_files = true,
	.changed = fl__ask_changed,
	.written = fl__ask_written,
	.watch = fl__clean_watch,
	.is_touched = fl__ask_is_touched,
};
