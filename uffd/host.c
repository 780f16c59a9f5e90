/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* host.c - probing, descriptors; see host.h. */
#include "host.h"
#include "uffd/load/loader.h"

#include <stdlib.h>

#define DEFAULT_SHARDS 16
#define DEFAULT_LOAD_THREADS 4

static int shard_error(struct fl_error *error, const char *what, int err)
{
	const char *remedy = fl__os_remedy(err);

	return fl__error_set(error, fl__error_fold(err),
			     "cannot open %s: %s%s%s", what, strerror(-err),
			     remedy ? "; lower descriptor_shards or " : "",
			     remedy ? remedy : "");
}

static int shard_open(struct fl__dirty_host *shard, const struct fl__host *host,
		      struct fl_error *error)
{
	shard->can_populate = fl__probe_has(&host->probe, FL__FEATURE_POPULATE);
	shard->uffd_fd = shard->pagemap_fd = -1;
	shard->written_form =
		fl__probe_has(&host->probe, FL__FEATURE_FAST_SCAN) ?
			FL__SCAN_WRITTEN :
			FL__SCAN_WRITTEN_SLOW;
	shard->pagemap_fd = fl__scan_open();
	/* No reset of the lowest rung asks the page table; a capture that cannot
	 * compares everything. */
	if (shard->pagemap_fd < 0 &&
	    (host->rung != FL__RUNG_DONTNEED ||
	     fl__error_fold(shard->pagemap_fd) == -ENOMEM))
		return shard_error(error, "/proc/self/pagemap",
				   shard->pagemap_fd);
	if (host->rung != FL__RUNG_TRACK)
		return 0;
	shard->uffd_fd = fl__uffd_open();
	if (shard->uffd_fd < 0)
		return shard_error(error, "a userfaultfd", shard->uffd_fd);
	return 0;
}

static void shards_close(struct fl__host *host)
{
	for (uint32_t i = 0; i < host->shard_count; i++) {
		if (host->shards[i].uffd_fd >= 0)
			fl__os_file_close(host->shards[i].uffd_fd);
		if (host->shards[i].pagemap_fd >= 0)
			fl__os_file_close(host->shards[i].pagemap_fd);
	}
}

void fl__host_close(struct fl__host *host)
{
	fl__os_no_cancel();

	fl__loader_close(host->loader);
	shards_close(host);
	fl__os_lock_fini(&host->lock);
	free(host);
}

static int shards_open(struct fl__host *host, uint32_t wanted,
		       struct fl_error *error)
{
	uint64_t count = wanted;
	int err = 0;

	if (!wanted)
		count = fl_min_u64(2 * (uint64_t)fl__os_cpus(), DEFAULT_SHARDS);
	/* Nothing that the lowest rung does often needs a descriptor. */
	if (host->rung == FL__RUNG_DONTNEED)
		count = 1;
	while (host->shard_count < count && !err)
		err = shard_open(&host->shards[host->shard_count++], host,
				 error);
	return err;
}

int fl__host_open(const char *disabled, const struct fl_context_config *config,
		  struct fl__host **out, struct fl_error *error)
{
	fl__os_no_cancel();
	const char *rung = config->rung;
	struct fl__host *host;
	int err;

	host = calloc(1, sizeof(*host));
	if (!host || fl__os_lock_init(&host->lock)) {
		free(host);
		return fl__error_set(error, -ENOMEM, "no memory for a context");
	}
	host->load_threads = config->load_threads ? config->load_threads :
						    DEFAULT_LOAD_THREADS;
	err = fl__probe_run(&host->probe, disabled,
			    fl__rung_unused(disabled, rung), error);
	if (!err)
		err = fl__rung_choose(&host->probe, rung, &host->rung,
				      &host->reason, error);
	if (!err)
		err = shards_open(host, config->descriptor_shards, error);
	if (err)
		fl__host_close(host);
	else
		*out = host;
	return err;
}
