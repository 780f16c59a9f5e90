/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* sweep.c - open pages are watched again; see sweep.h. */
#include "sweep.h"
#include "settle.h"
#include "uffd/uffd.h"

static int sweep_range(const struct fl__reset *reset, uint64_t start,
		       uint64_t end)
{
	const struct fl__dirty_host *host = reset->host;

	reset->work->calls++;
	if (host->written_form != FL__SCAN_WRITTEN)
		return fl__uffd_protect(host->uffd_fd, start, end - start);
	reset->work->scans++;
	return fl__scan_protect(host->pagemap_fd, start, end);
}

int fl__sweep_chunks(struct fl__reset *reset, bool is_all)
{
	struct fl__dirty *dirty = reset->dirty;
	uint64_t from = 0, to = 0;
	int err = 0;

	for (size_t i = 0; i < dirty->chunk_count && !err; i++) {
		const struct fl__dirty_chunk *chunk = &dirty->chunks[i];

		if (!chunk->is_marked || !(is_all || chunk->watch.has_quiet))
			continue;
		if (to != fl__reset_chunk_start(reset, i)) {
			err = to ? sweep_range(reset, from, to) : 0;
			from = fl__reset_chunk_start(reset, i);
		}
		to = fl__reset_chunk_end(reset, i);
	}
	return err || !to ? err : sweep_range(reset, from, to);
}

static int sweep_runs(struct fl__reset *reset)
{
	struct fl__dirty *dirty = reset->dirty;
	int err = 0;

	for (size_t i = 0; i < dirty->chunk_count; i++) {
		const struct fl__watch *watch = &dirty->chunks[i].watch;
		uint64_t addr = fl__reset_chunk_addr(reset, i);
		uint64_t end = addr + FL__CHUNK_BYTES;

		for (; watch->has_quiet && !err && addr < end;
		     addr += reset->hpage_bytes) {
			uint32_t idx = fl__reset_hpage_idx(reset, addr);

			if (fl_bit_get(watch->quiet, idx) &&
			    fl_bit_get(watch->open, idx))
				err = fl__settle_protect(
					reset, addr, addr + reset->hpage_bytes);
		}
	}
	return err ? err : fl__settle_flush(reset);
}

int fl__sweep(struct fl__reset *reset)
{
	struct fl__dirty *dirty = reset->dirty;
	enum fl__sweep sweep = fl__policy_sweep(&dirty->sweeps, &reset->found);
	int err;

	if (sweep == FL__SWEEP_NONE)
		return 0;
	reset->work->sweeps++;
	err = sweep == FL__SWEEP_RUNS ? sweep_runs(reset) :
					fl__sweep_chunks(reset, false);
	for (size_t i = 0; i < dirty->chunk_count; i++)
		fl__policy_swept(&dirty->chunks[i].watch, sweep);
	return err;
}
