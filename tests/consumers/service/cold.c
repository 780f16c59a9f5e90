/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * cold.c - the first answer on a host that has nothing of a started guest in
 * memory: the snapshot is in a file on a disk, or on a server that speaks NBD.
 *
 * The snapshot is written once, as it is and packed. For each kind of request two
 * working sets are recorded, each by one clone that answers one request: one of the
 * lazy image, which is good for the packed file too, and one of the file in place.
 * Then the ways take turns, each trial in a process of its own that is forked for it.
 * The process makes a context, loads the module and makes a pool. Then the clock
 * starts: the process opens the file, instantiates wasm2c's struct, makes a clone,
 * and has the answer to one request; another than the recorded one, the same for all
 * ways of a round. The answer is compared after the clock has stopped.
 *
 * Before each trial the page cache loses snapshots and sets. The program, in which
 * the guest's compiled code is, stays there. The server has the file in memory, and
 * each of its reads takes as long as --delay says; connecting is timed. Beside the
 * ways stands a guest that starts without any snapshot, in a clean slot.
 *
 * A second snapshot has a larger memory: of the guest's own pages again and again,
 * each with a number, which no request touches. Such is what real guests load and
 * seldom use.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "service.h"
#include "tests/kit/nbdkit.h"

#ifdef FL_WITH_NBD
#include "lib/adapters/nbd/faultline-nbd.h"
#endif

#define MIB (UINT64_C(1) << 20)
#define WPAGE_BYTES 65536u
#define CONNECT_NS UINT64_C(5000000000)
/* A request of this number is recorded, and never timed. */
#define RECORDED_SEED (SEEDS - 1)

enum file {
	FILE_PLAIN,
	FILE_PACKED,
	FILE_LAZY_SET,
	FILE_PLACE_SET,
	FILES,
	FILE_NONE = FILES,
};

static const char *const file_names[FILES] = { "snapshot", "packed", "set",
					       "set-in-place" };

struct cold_way {
	const char *name, *title;
	enum fl_load_way load; /* AUTO: there is no snapshot */
	enum file file, set;
	bool is_remote;
	enum fl_load_read read;
};

static const struct cold_way cold_ways[] = {
	{ "start", "no snapshot: the guest starts", FL_LOAD_AUTO, FILE_NONE,
	  FILE_NONE, false, FL_READ_DEFAULT },
	{ "whole", "whole image first", FL_LOAD_WHOLE, FILE_PLAIN, FILE_NONE,
	  false, FL_READ_DEFAULT },
	{ "lazy", "lazy", FL_LOAD_LAZY, FILE_PLAIN, FILE_NONE, false,
	  FL_READ_DEFAULT },
	{ "lazy-set", "lazy, with the recorded set", FL_LOAD_LAZY, FILE_PLAIN,
	  FILE_LAZY_SET, false, FL_READ_DEFAULT },
	{ "direct-set", "lazy, past the page cache, with it", FL_LOAD_LAZY,
	  FILE_PLAIN, FILE_LAZY_SET, false, FL_READ_DIRECT },
	{ "place-set", "in place, unchecked, with the set", FL_LOAD_IN_PLACE,
	  FILE_PLAIN, FILE_PLACE_SET, false, FL_READ_DEFAULT },
	{ "packed-whole", "packed, whole image first", FL_LOAD_WHOLE,
	  FILE_PACKED, FILE_NONE, false, FL_READ_DEFAULT },
	{ "packed-set", "packed, lazy, with the set", FL_LOAD_LAZY, FILE_PACKED,
	  FILE_LAZY_SET, false, FL_READ_DEFAULT },
	{ "packed-direct-set", "packed, past the page cache", FL_LOAD_LAZY,
	  FILE_PACKED, FILE_LAZY_SET, false, FL_READ_DIRECT },
	{ "nbd-whole", "over NBD, whole image first", FL_LOAD_WHOLE, FILE_PLAIN,
	  FILE_NONE, true, FL_READ_DEFAULT },
	{ "nbd-lazy", "over NBD, lazy", FL_LOAD_LAZY, FILE_PLAIN, FILE_NONE,
	  true, FL_READ_DEFAULT },
	{ "nbd-set", "over NBD, lazy, with the set", FL_LOAD_LAZY, FILE_PLAIN,
	  FILE_LAZY_SET, true, FL_READ_DEFAULT },
};

#define COLD_WAYS (sizeof(cold_ways) / sizeof(cold_ways[0]))

enum moment {
	MOMENT_OPENED,
	MOMENT_ANSWERED,
	MOMENT_FROM_FORK,
	MOMENTS,
};

struct cold {
	const struct options *options;
	struct fl_context *context;
	const struct guest *guest;
	uint32_t kind;
	uint64_t more_bytes;
	char folder[256], paths[FILES][300], socket[300], uri[340];
	pid_t server; /* -1: none */
	/* Why a way is not there; empty: it is. */
	char lacks[COLD_WAYS][sizeof(((struct fl_error *)0)->text)];
	uint64_t *taken_ns; /* of the last trial; shared with its process */
};

/* ------------------------------------------------------------------ opening */

static int remote_open(const struct cold *cold, struct fl_page_source **source,
		       struct fl_error *error)
{
	const char *lacks = "install nbdkit";

#ifdef FL_WITH_NBD
	if (cold->server > 0)
		return fl_nbd_source_open(cold->uri, CONNECT_NS, source, error);
#else
	(void)cold;
	(void)source;
	lacks = "built without libnbd: install libnbd-dev";
#endif
	snprintf(error->text, sizeof(error->text), "%s", lacks);
	return -ENOTSUP;
}

static int source_open(const struct cold *cold, const struct cold_way *way,
		       struct fl_page_source **source, struct fl_error *error)
{
	if (way->is_remote)
		return remote_open(cold, source, error);
	if (access(cold->paths[way->file], F_OK)) {
		snprintf(error->text, sizeof(error->text),
			 "the library is built without zstd");
		return -ENOTSUP;
	}
	return fl_page_source_from_file(cold->paths[way->file], -1, source,
					error);
}

static int snapshot_open(const struct cold *cold, const struct cold_way *way,
			 struct fl_context *context, struct guest *guest,
			 struct fl_error *error)
{
	struct fl_snapshot_binding binding;
	struct fl_page_source *source;
	struct fl_load_config config;
	int err = source_open(cold, way, &source, error);

	if (err)
		return err;
	fl_load_config_init(&config);
	config.way = way->load;
	config.read = way->read;
	if (way->load == FL_LOAD_IN_PLACE)
		config.open_flags = FL_OPEN_IN_PLACE | FL_OPEN_UNCHECKED;
	if (way->set != FILE_NONE)
		config.working_set_path = cold->paths[way->set];
	fl_snapshot_binding_init(&binding);
	binding.modules = &guest->module;
	binding.module_count = 1;
	binding.encoding = FL_WASM2C_ENCODING;
	err = fl_snapshot_open_source(context, source, &config, &binding,
				      &guest->snapshot, error);
	fl_page_source_release(source);
	return err;
}

/* ------------------------------------------------------------------- trials */

/* One answer. The clone ends, and with recorded_path the set that it touched is
 * written there. */
static void trial_serve(struct cold *cold, const struct cold_way *way,
			struct guest *guest, struct fl_pool *pool,
			uint32_t seed, const char *recorded_path)
{
	bool is_clone = way->load != FL_LOAD_AUTO;
	struct fl_error error;
	struct lane lane;
	uint32_t length;

	lane_open(&lane, &ways[is_clone ? WAY_CLONE : WAY_POOL], guest, pool);
	lane.way->start(&lane);
	length = lane_request(&lane, cold->kind, seed);
	cold->taken_ns[MOMENT_ANSWERED] = now_ns();
	lane_check(&lane, cold->kind, seed, length);
	lane.way->end(&lane);
	if (recorded_path &&
	    fl_image_write_working_set(fl_snapshot_image(guest->snapshot, 0, 0),
				       recorded_path, &error))
		die("%s: %s", recorded_path, error.text);
	lane_close(&lane);
}

static void trial_run(struct cold *cold, const struct cold_way *way,
		      uint32_t seed, const char *recorded_path,
		      uint64_t forked_ns)
{
	struct guest guest = *cold->guest;
	struct fl_context *context = context_open();
	struct fl_error error;
	struct fl_pool *pool;
	uint64_t open_ns;

	guest_load(&guest, context, cold->options->guests_dir);
	pool = pool_open(context);
	guest.snapshot = NULL;
	open_ns = now_ns();
	if (way->load != FL_LOAD_AUTO &&
	    snapshot_open(cold, way, context, &guest, &error))
		die("%s: %s", way->name, error.text);
	cold->taken_ns[MOMENT_OPENED] = now_ns() - open_ns;
	trial_serve(cold, way, &guest, pool, seed, recorded_path);
	cold->taken_ns[MOMENT_FROM_FORK] =
		cold->taken_ns[MOMENT_ANSWERED] - forked_ns;
	cold->taken_ns[MOMENT_ANSWERED] -= open_ns;
	pool_close(pool);
	fl_snapshot_release(guest.snapshot);
	fl_module_release(guest.module);
	fl_context_destroy(context);
}

static void trial(struct cold *cold, const struct cold_way *way, uint32_t seed,
		  const char *recorded_path)
{
	uint64_t forked_ns = now_ns();
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("cannot fork");
	if (!pid) {
		trial_run(cold, way, seed, recorded_path, forked_ns);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("%s, %s: a process ended with status %d",
		    cold->guest->title, way->title, status);
}

static void cache_drop(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		die("%s stays in the page cache: %s", path, strerror(errno));
	close(fd);
}

/* Of a file that the server has, the content is in memory. */
static void caches_prepare(const struct cold *cold, const struct cold_way *way)
{
	uint64_t length;

	for (int i = 0; i < FILES; i++)
		cache_drop(cold->paths[i]);
	if (way->is_remote)
		free(file_read(cold->paths[way->file], &length));
}

static void record(struct cold *cold)
{
	for (size_t w = 0; w < COLD_WAYS; w++) {
		struct cold_way way = cold_ways[w];

		if (way.set == FILE_NONE || way.file != FILE_PLAIN ||
		    way.is_remote || cold->lacks[w][0])
			continue;
		way.set = FILE_NONE;
		trial(cold, &way, RECORDED_SEED, cold->paths[cold_ways[w].set]);
	}
}

/* ------------------------------------------------------------------- report */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double median_ms(uint64_t *ns, size_t count)
{
	qsort(ns, count, sizeof(*ns), by_value);
	return (double)ns[count / 2] / 1e6;
}

static double file_mib(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : (double)st.st_size / (double)MIB;
}

void cold_report_head(const struct options *options)
{
	struct utsname host;

	if (options->is_json || options->is_smoke)
		return;
	uname(&host);
	printf("The first answer from a cold file in %s, each in a new "
	       "process. ms, medians\nof %d rounds: until the snapshot was "
	       "open, until the answer, and from the fork.\nOver NBD each "
	       "read takes %s: one connection, nbdkit with its 16 threads.\n"
	       "%s %s %s, %ld processors, rung %s\n",
	       options->folder, options->rounds, options->delay, host.sysname,
	       host.release, host.machine, sysconf(_SC_NPROCESSORS_ONLN),
	       options->rung);
}

static void row_lacks(const struct cold *cold, size_t w)
{
	const struct options *options = cold->options;

	if (options->is_json)
		printf("{\"bench\": \"cold\", \"guest\": \"%s\", \"kind\": "
		       "\"%s\", \"way\": \"%s\", \"skipped\": \"%s\"}\n",
		       cold->guest->name, cold->guest->kinds[cold->kind],
		       cold_ways[w].name, cold->lacks[w]);
	else
		printf("%s%-35s skipped: %s\n",
		       options->is_smoke ? "cold, " : "", cold_ways[w].title,
		       cold->lacks[w]);
}

static void row_figures(const struct cold *cold, size_t w,
			uint64_t ns[MOMENTS][MAX_COLD_ROUNDS])
{
	const struct options *options = cold->options;
	double ms[MOMENTS];

	for (int i = 0; i < MOMENTS; i++)
		ms[i] = median_ms(ns[i], (size_t)options->rounds);
	if (options->is_json)
		printf("{\"bench\": \"cold\", \"guest\": \"%s\", \"kind\": "
		       "\"%s\", \"way\": \"%s\", \"file_mib\": %.2f, "
		       "\"opened_ms\": %.3f, \"answered_ms\": %.3f, "
		       "\"from_fork_ms\": %.3f}\n",
		       cold->guest->name, cold->guest->kinds[cold->kind],
		       cold_ways[w].name, file_mib(cold->paths[FILE_PLAIN]),
		       ms[MOMENT_OPENED], ms[MOMENT_ANSWERED],
		       ms[MOMENT_FROM_FORK]);
	else if (options->is_smoke)
		printf("cold, %s, %s, %s: the answer is right\n",
		       cold->guest->title, cold->guest->kinds[cold->kind],
		       cold_ways[w].title);
	else
		printf("%-35s %8.2f %8.2f %9.2f\n", cold_ways[w].title,
		       ms[MOMENT_OPENED], ms[MOMENT_ANSWERED],
		       ms[MOMENT_FROM_FORK]);
}

static void report_kind_head(const struct cold *cold)
{
	if (cold->options->is_json || cold->options->is_smoke)
		return;
	printf("\n%s, %s: the file has %.1f MiB, packed %.1f\n%-35s %8s %8s "
	       "%9s\n",
	       cold->guest->title, cold->guest->kinds[cold->kind],
	       file_mib(cold->paths[FILE_PLAIN]),
	       file_mib(cold->paths[FILE_PACKED]), "", "open", "answer",
	       "from fork");
}

/* --------------------------------------------------------------------- runs */

static unsigned int run_kind_cold(struct cold *cold)
{
	static uint64_t ns[COLD_WAYS][MOMENTS][MAX_COLD_ROUNDS];
	unsigned int cases = 0;

	record(cold);
	for (int r = 0; r < cold->options->rounds; r++) {
		for (size_t w = 0; w < COLD_WAYS; w++) {
			if (cold->lacks[w][0])
				continue;
			caches_prepare(cold, &cold_ways[w]);
			trial(cold, &cold_ways[w], (uint32_t)r % RECORDED_SEED,
			      NULL);
			for (int i = 0; i < MOMENTS; i++)
				ns[w][i][r] = cold->taken_ns[i];
		}
	}
	report_kind_head(cold);
	for (size_t w = 0; w < COLD_WAYS; w++) {
		if (cold->lacks[w][0])
			row_lacks(cold, w);
		else
			row_figures(cold, w, ns[w]);
		cases += !cold->lacks[w][0];
	}
	fflush(stdout);
	return cases;
}

/* The guest's own pages again, each with a number. */
static void memory_lengthen(wasm_rt_memory_t *memory, uint64_t more_bytes)
{
	uint32_t was = memory->size;

	if (wasm_rt_grow_memory(memory, (uint32_t)(more_bytes / WPAGE_BYTES)) ==
	    UINT32_MAX)
		die("the guest's memory cannot grow");
	for (uint64_t at = was; at < memory->size; at += HPAGE_BYTES) {
		memcpy(memory->data + at, memory->data + at % was, HPAGE_BYTES);
		memcpy(memory->data + at, &at, sizeof(at));
	}
}

/* Of a clone that has done nothing, with so much more memory. */
static struct fl_snapshot *snapshot_lengthened(const struct cold *cold)
{
	const struct guest *guest = cold->guest;
	struct fl_pool *pool = pool_open(cold->context);
	struct fl_snapshot *snapshot;
	struct fl_error error;
	struct lane lane;

	lane_open(&lane, &ways[WAY_CLONE], guest, pool);
	lane.way->start(&lane);
	memory_lengthen(lane.module->memory(lane.instance), cold->more_bytes);
	if (fl_wasm2c_snapshot(lane.module->layout, lane.instance,
			       guest->module, NULL, NULL, &snapshot, &error))
		die("%s", error.text);
	lane.way->end(&lane);
	lane_close(&lane);
	pool_close(pool);
	return snapshot;
}

static void snapshot_write(const struct cold *cold)
{
	struct fl_snapshot *longer = NULL;
	const struct fl_snapshot *snapshot = cold->guest->snapshot;
	struct fl_error error;
	int err;

	if (cold->more_bytes)
		snapshot = longer = snapshot_lengthened(cold);
	if (fl_snapshot_write(snapshot, cold->paths[FILE_PLAIN], &error))
		die("%s", error.text);
	err = fl_snapshot_write_as(snapshot, cold->paths[FILE_PACKED],
				   FL_WRITE_ZSTD, &error);
	if (err && err != -ENOTSUP)
		die("%s", error.text);
	fl_snapshot_release(longer);
}

/* Which ways are there: each opens the snapshot once. */
static void ways_try(struct cold *cold)
{
	struct guest guest = *cold->guest;
	struct fl_error error;
	int err;

	for (size_t w = 0; w < COLD_WAYS; w++) {
		cold->lacks[w][0] = 0;
		if (cold_ways[w].load == FL_LOAD_AUTO)
			continue;
		err = snapshot_open(cold, &cold_ways[w], cold->context, &guest,
				    &error);
		if (!err)
			fl_snapshot_release(guest.snapshot);
		else if (err == -ENOTSUP)
			memcpy(cold->lacks[w], error.text, sizeof(error.text));
		else
			die("%s: %s", cold_ways[w].name, error.text);
	}
}

static void server_end(struct cold *cold)
{
	if (cold->server > 0) {
		kill(cold->server, SIGTERM);
		waitpid(cold->server, NULL, 0);
	}
	unlink(cold->socket);
}

static void paths_make(struct cold *cold)
{
	snprintf(cold->folder, sizeof(cold->folder), "%s/fl-cold-XXXXXX",
		 cold->options->folder);
	if (!mkdtemp(cold->folder))
		die("cannot make a folder in %s", cold->options->folder);
	for (int i = 0; i < FILES; i++)
		snprintf(cold->paths[i], sizeof(cold->paths[i]), "%s/%s",
			 cold->folder, file_names[i]);
	snprintf(cold->socket, sizeof(cold->socket), "%s/socket", cold->folder);
	snprintf(cold->uri, sizeof(cold->uri), "nbd+unix:///?socket=%s",
		 cold->socket);
}

static unsigned int run_snapshot(struct cold *cold)
{
	const struct options *options = cold->options;
	unsigned int cases = 0;

	paths_make(cold);
	snapshot_write(cold);
	cold->server = nbdkit_start(cold->socket, cold->paths[FILE_PLAIN],
				    options->delay);
	ways_try(cold);
	for (uint32_t kind = 0; kind < KINDS; kind++) {
		cold->kind = kind;
		if (options->kind < 0 ? !kind || !options->is_smoke :
					options->kind == (int)kind)
			cases += run_kind_cold(cold);
	}
	server_end(cold);
	for (int i = 0; i < FILES; i++)
		unlink(cold->paths[i]);
	rmdir(cold->folder);
	return cases;
}

unsigned int cold_run(const struct options *options, const struct guest *guest,
		      struct fl_context *context)
{
	struct cold *cold = must_allocate(sizeof(*cold));
	unsigned int cases;

	cold->options = options;
	cold->context = context;
	cold->guest = guest;
	cold->taken_ns = mmap(NULL, MOMENTS * sizeof(*cold->taken_ns),
			      PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (cold->taken_ns == MAP_FAILED)
		die("no memory");
	cases = run_snapshot(cold);
	cold->more_bytes = (uint64_t)options->more_mib * MIB;
	if (cold->more_bytes)
		cases += run_snapshot(cold);
	munmap(cold->taken_ns, MOMENTS * sizeof(*cold->taken_ns));
	free(cold);
	return cases;
}
