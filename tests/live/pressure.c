/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pressure.c - fl_pool_trim_on_pressure() against the kernel's own
 * pressure files (PSI).
 *
 * Its errors, its thread, and what it does when there is pressure. That is made
 * by a child that reads a file again and again in a control group too small for
 * it; the pool watches the pressure of that group where there is one of version
 * 2, and of the host otherwise. A moment without pressure comes first: no trim
 * may happen then.
 *
 * Needs: a kernel with PSI; for real pressure root, a writable control group
 * and a disk that is not memory.
 */
#define _GNU_SOURCE
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/conform.h"
#include "tests/kit/procfs.h"
#include "tests/kit/resources.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* Any user may have this window. */
#define WINDOW_US 2000000u

static const char *needs_psi(void)
{
	int fd = open(PROCFS_PRESSURE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? "the kernel has no " PROCFS_PRESSURE :
					 PROCFS_PRESSURE " cannot be opened";
	close(fd);
	return NULL;
}

static unsigned int thread_count(void)
{
	struct test_resources now;

	test_resources(&now);
	return now.threads;
}

static int watch(struct conform *conform, const char *path, uint32_t stall_us,
		 uint32_t window_us, struct fl_error *error)
{
	struct fl_pressure_config config;

	fl_pressure_config_init(&config);
	config.path = path;
	config.stall_us = stall_us;
	config.window_us = window_us;
	return fl_pool_trim_on_pressure(conform->pool, &config, error);
}

/* ------------------------------------------------------------------- errors */

static void defaults(void)
{
	struct fl_pressure_config config;

	memset(&config, 0xff, sizeof(config));
	fl_pressure_config_init(&config);
	CHECK_EQ(config.size, sizeof(config));
	CHECK(!config.path);
	CHECK_EQ(config.stall_us, 150000);
	CHECK_EQ(config.window_us, 2000000);
	CHECK_EQ(config.trim_bytes, UINT64_MAX);
}

static void bad_windows(void)
{
	static const struct {
		uint32_t stall_us, window_us;
	} bad[] = {
		{ 0, WINDOW_US }, /* no stall */
		{ WINDOW_US + 1, WINDOW_US }, /* more stall than time */
		{ 100000, 0 },
		{ 100000, 400000 }, /* under the kernel's least window */
		{ 100000, 10000001 }, /* over its largest */
		{ 100000, 12000000 },
		{ UINT32_MAX, UINT32_MAX },
	};
	struct test_resources before;
	struct fl_error error;
	struct conform conform;

	conform_open(&conform, NULL);
	test_resources(&before);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++) {
		error.text[0] = '\0';
		CHECK_EQ(watch(&conform, NULL, bad[i].stall_us,
			       bad[i].window_us, &error),
			 -EINVAL);
		CHECK_EQ(error.code, -EINVAL);
		CHECK_HAS(error.text, "window");
		CHECK_HAS(error.text, PROCFS_PRESSURE);
	}
	test_check_resources(&before);
	/* A failure is not the once that there is. */
	CHECK_EQ(watch(&conform, NULL, 100000, WINDOW_US, NULL), 0);
	conform_close(&conform);
}

static void a_config_that_is_too_new(void)
{
	struct {
		struct fl_pressure_config known;
		uint64_t more;
	} config = { .more = 0 };
	struct conform conform;

	conform_open(&conform, NULL);
	fl_pressure_config_init(&config.known);
	config.known.size = sizeof(config);
	config.more = 1;
	CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, &config.known, NULL),
		 -EINVAL);
	config.more = 0;
	CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, &config.known, NULL),
		 0);
	conform_close(&conform);
}

static void missing_paths(void)
{
	struct fl_error error = { .text = "" };
	struct test_resources before;
	struct conform conform;

	conform_open(&conform, NULL);
	test_resources(&before);
	CHECK_EQ(watch(&conform, "/nonexistent/memory.pressure", 100000,
		       WINDOW_US, &error),
		 -ENOTSUP);
	CHECK_EQ(error.code, -ENOTSUP);
	CHECK_HAS(error.text, "/nonexistent/memory.pressure");
	CHECK_HAS(error.text, "no such file");
	test_check_resources(&before);
	conform_close(&conform);
}

/* What the call would write into any other file is content there. */
static void other_files_stay_as_they_are(void)
{
	static const char text[] = "some avg10=0.00, says a file of the host\n";
	const char *paths[] = { "victim.tmp",
				".",
				"/dev/null",
				"/proc/version",
				"/proc/self/oom_score_adj",
				"link.tmp" };
	struct fl_error error = { .text = "" };
	char found[sizeof(text)] = "";
	struct conform conform;
	FILE *file = fopen(paths[0], "w");

	MUST(file != NULL);
	MUST(fputs(text, file) >= 0);
	MUST_EQ(fclose(file), 0);
	(void)unlink("link.tmp");
	MUST_EQ(symlink(paths[0], "link.tmp"), 0);
	conform_open(&conform, NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(paths); i++) {
		CHECK_EQ(watch(&conform, paths[i], 100000, WINDOW_US, &error),
			 -EINVAL);
		CHECK_HAS(error.text, "no pressure file");
	}
	conform_close(&conform);
	file = fopen(paths[0], "r");
	MUST(file != NULL);
	CHECK_EQ(fread(found, 1, sizeof(found), file), sizeof(text) - 1);
	fclose(file);
	CHECK(!strcmp(found, text));
	unlink("link.tmp");
	unlink(paths[0]);
}

static void twice(void)
{
	struct fl_error error = { .text = "" };
	struct conform conform;
	unsigned int threads;

	conform_open(&conform, NULL);
	CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, NULL, NULL), 0);
	threads = thread_count();
	CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, NULL, &error), -EBUSY);
	CHECK_EQ(error.code, -EBUSY);
	CHECK_EQ(watch(&conform, "/nonexistent", 1, WINDOW_US, NULL), -EBUSY);
	CHECK_EQ(thread_count(), threads);
	conform_close(&conform);
}

struct denied {
	char path[4096];
};

static int child_is_denied(void *arg)
{
	struct denied *denied = arg;
	struct fl_error error = { .text = "" };
	struct conform conform;

	MUST_EQ(setgid(65534), 0);
	MUST_EQ(setuid(65534), 0);
	conform_open(&conform, NULL);
	CHECK_EQ(watch(&conform, denied->path, 100000, WINDOW_US, &error),
		 -EPERM);
	CHECK_EQ(error.code, -EPERM);
	CHECK_HAS(error.text, denied->path);
	/* Without privilege a window that others may have is not for it. */
	CHECK_EQ(watch(&conform, NULL, 100000, 1000000, &error), -EINVAL);
	CHECK_HAS(error.text, "privilege");
	conform_close(&conform);
	return 0;
}

static const char *needs_root(void)
{
	return geteuid() ? "only root can become somebody else" : needs_psi();
}

static void without_permission(void)
{
	char folder[4000];
	struct denied denied;
	struct test_end end;

	/* Nobody else may look into the folder. */
	snprintf(folder, sizeof(folder), "%s/faultline.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp");
	MUST(mkdtemp(folder) != NULL);
	snprintf(denied.path, sizeof(denied.path), "%s/memory.pressure",
		 folder);
	end = test_fork(child_is_denied, &denied, 20);
	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
	rmdir(folder);
}

/* FAULTLINE_DISABLE takes the feature away that fl_context_feature() names. */
static void disabled(void)
{
	const char *before = getenv("FAULTLINE_DISABLE");
	char *saved = before ? strdup(before) : NULL;
	struct conform conform;

	setenv("FAULTLINE_DISABLE", "memory-pressure", 1);
	conform_open(&conform, NULL);
	CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, NULL, NULL), -ENOTSUP);
	conform_close(&conform);
	if (saved)
		setenv("FAULTLINE_DISABLE", saved, 1);
	else
		unsetenv("FAULTLINE_DISABLE");
	free(saved);
}

static const char *needs_feature(void)
{
	return strcmp(test_rung->backend, "linux") ? TEST_NOT_BUILT
		       "this backend has no features" :
						     needs_psi();
}

/* ------------------------------------------------------------------- thread */

/* It comes with the first call and goes with the pool. */
static void the_thread_lives_with_the_pool(void)
{
	struct fl_memory *memory;
	struct conform conform;

	for (int i = 0; i < 20; i++) {
		struct test_resources before;

		test_resources(&before);
		conform_open(&conform, NULL);
		memory = conform_take(&conform, NULL, WPAGE);
		CHECK_EQ(thread_count(), before.threads);
		CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, NULL, NULL), 0);
		CHECK_EQ(thread_count(), before.threads + 1);
		/* Refused, and so nothing has changed. */
		CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
		CHECK_EQ(thread_count(), before.threads + 1);
		conform_give(memory);
		conform_close(&conform);
		test_check_resources(&before);
	}
}

/* Each pool its own. */
static void several_pools(void)
{
	unsigned int before = thread_count();
	struct conform conforms[5];

	for (unsigned int i = 0; i < 5; i++) {
		conform_open(&conforms[i], NULL);
		CHECK_EQ(fl_pool_trim_on_pressure(conforms[i].pool, NULL, NULL),
			 0);
		CHECK_EQ(thread_count(), before + i + 1);
	}
	for (unsigned int i = 0; i < 5; i++)
		conform_close(&conforms[(i + 2) % 5]);
	for (int i = 0; i < 2000 && thread_count() > before; i++)
		test_sleep_ms(10);
	CHECK_EQ(thread_count(), before);
}

struct race {
	struct conform *conform;
	pthread_barrier_t start;
	int results[2]; /* each written by one thread */
};

struct racer {
	struct race *race;
	int idx;
};

static void *race_run(void *arg)
{
	struct racer *racer = arg;
	struct race *race = racer->race;

	pthread_barrier_wait(&race->start);
	race->results[racer->idx] =
		fl_pool_trim_on_pressure(race->conform->pool, NULL, NULL);
	return NULL;
}

/* Any thread may call it: of two at once, one is the first. */
static void two_threads_at_once(void)
{
	for (int i = 0; i < 40 && !test_has_failed(); i++) {
		struct test_resources before;
		struct conform conform;
		struct race race = { .conform = &conform };
		struct racer racers[2] = { { &race, 0 }, { &race, 1 } };
		pthread_t threads[2];
		int first;

		test_resources(&before);
		conform_open(&conform, NULL);
		MUST_EQ(pthread_barrier_init(&race.start, NULL, 2), 0);
		for (int k = 0; k < 2; k++)
			MUST_EQ(pthread_create(&threads[k], NULL, race_run,
					       &racers[k]),
				0);
		for (int k = 0; k < 2; k++)
			pthread_join(threads[k], NULL);
		first = race.results[0] ? 1 : 0;
		CHECK_EQ(race.results[first], 0);
		CHECK_EQ(race.results[!first], -EBUSY);
		pthread_barrier_destroy(&race.start);
		conform_close(&conform);
		test_check_resources(&before);
	}
}

/* All that a program can use; the C library keeps two for itself. */
static void check_blocks_all(pid_t tid)
{
	uint64_t blocked = procfs_blocked_signals(tid);

	for (int signo = 1; signo <= SIGRTMAX; signo++) {
		if (signo == SIGKILL || signo == SIGSTOP ||
		    (signo > 31 && signo < SIGRTMIN))
			continue;
		if (!(blocked >> (signo - 1) & 1))
			test_note("signal %d is not blocked", signo);
		CHECK(blocked >> (signo - 1) & 1);
	}
}

static volatile sig_atomic_t handled;
static volatile pid_t handled_by;

static void note_signal(int signo)
{
	(void)signo;
	handled_by = (pid_t)syscall(SYS_gettid);
	handled = handled + 1;
}

static void signals_are_the_hosts(void)
{
	struct sigaction action = { .sa_handler = note_signal }, usr1, term;
	sigset_t mine, before;
	struct conform conform;
	pid_t tid;

	conform_open(&conform, NULL);
	sigaction(SIGUSR1, &action, &usr1);
	sigaction(SIGTERM, &action, &term);
	CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, NULL, NULL), 0);
	tid = procfs_newest_thread();
	CHECK(tid != getpid());
	check_blocks_all(tid);
	/* The call has left the caller's own mask alone. */
	CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
	CHECK(!sigismember(&before, SIGUSR1));
	/* Nobody else takes them while the host does not. */
	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR1);
	sigaddset(&mine, SIGTERM);
	handled = 0;
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, &mine, &before), 0);
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(kill(getpid(), SIGUSR1), 0);
		CHECK_EQ(kill(getpid(), SIGTERM), 0);
		test_sleep_ms(20);
	}
	CHECK_EQ(handled, 0);
	CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
	CHECK_EQ(handled, 2);
	CHECK_EQ(handled_by, (pid_t)syscall(SYS_gettid));
	sigaction(SIGUSR1, &usr1, NULL);
	sigaction(SIGTERM, &term, NULL);
	conform_close(&conform);
}

/* --------------------------------------------------------------------- fork */

static int child_tries(void *arg)
{
	struct conform *conform = arg;
	struct fl_error error = { .text = "" };
	struct test_resources before;

	test_resources(&before);
	CHECK_EQ(fl_pool_trim_on_pressure(conform->pool, NULL, &error),
		 -ECHILD);
	CHECK_EQ(error.code, -ECHILD);
	test_check_resources(&before);
	return 0;
}

static void a_child_may_not(void)
{
	struct conform conform;
	struct test_end end;

	conform_open(&conform, NULL);
	for (int i = 0; i < 2; i++) {
		end = test_fork(child_tries, &conform, 20);
		CHECK_EQ(end.signo, 0);
		CHECK_EQ(end.status, 0);
		if (!i)
			CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, NULL,
							  NULL),
				 0);
	}
	conform_close(&conform);
}

/* Nothing hangs for ever even if the pool waits. */
static int child_sleeps(void *arg)
{
	(void)arg;
	test_sleep_ms(60000);
	return 0;
}

/* A child that knows nothing of Faultline lives on with copies of its
 * descriptors; the pool ends all the same, and at once. */
static void the_pool_ends_while_a_child_lives(void)
{
	struct conform conform;
	uint64_t start_ns, took_ms;
	pid_t pid;

	conform_open(&conform, NULL);
	CHECK_EQ(fl_pool_trim_on_pressure(conform.pool, NULL, NULL), 0);
	pid = test_spawn(child_sleeps, NULL, 100);
	start_ns = test_now_ns();
	conform_close(&conform);
	took_ms = (test_now_ns() - start_ns) / 1000000;
	test_kill(pid);
	if (took_ms >= 20000)
		test_note("fl_pool_destroy() took %" PRIu64 " ms", took_ms);
	CHECK(took_ms < 20000);
}

/* ----------------------------------------------------------------- pressure */

/* Large enough for what a read has under way, so that nobody runs out of
 * memory: the group only has to give up one page for another. */
#define LIMIT_TEXT "33554432"
#define FILE_BYTES (96 * MIB)
#define TMPFS 0x01021994
#define RAMFS 0x858458f6

/* Control groups of this test, and what is read in them. */
struct squeeze {
	char limit_dir[600]; /* has the limit; empty: none */
	char psi_dir[600]; /* of version 2; may be the same; empty: none */
	char watched[700]; /* the pressure file */
	char file[600];
	pid_t reader;
};

static bool write_text(const char *dir, const char *name, const char *text)
{
	char path[800];
	bool is_done;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return is_done;
}

/* A group of our own below the mount point; false if there can be none. */
static bool group_make(const char *mount_point, char *dir, size_t size)
{
	snprintf(dir, size, "%s/faultline-test-%d", mount_point, (int)getpid());
	if (!mkdir(dir, 0755) || errno == EEXIST)
		return true;
	dir[0] = '\0';
	return false;
}

/* Of version 2 with a limit if it has the controller, else of version 1. */
static void groups_make(struct squeeze *squeeze)
{
	struct procfs_mount mount;
	char path[600];

	for (unsigned int i = 0; procfs_mount(i, &mount); i++) {
		if (!strcmp(mount.type, "cgroup2") && !squeeze->psi_dir[0] &&
		    group_make(mount.at, squeeze->psi_dir,
			       sizeof(squeeze->psi_dir)) &&
		    write_text(squeeze->psi_dir, "memory.high", LIMIT_TEXT))
			memcpy(squeeze->limit_dir, squeeze->psi_dir,
			       sizeof(squeeze->limit_dir));
		if (!strcmp(mount.type, "cgroup") &&
		    strstr(mount.options, "memory") && !squeeze->limit_dir[0] &&
		    group_make(mount.at, path, sizeof(path))) {
			if (write_text(path, "memory.limit_in_bytes",
				       LIMIT_TEXT))
				memcpy(squeeze->limit_dir, path, sizeof(path));
			else
				rmdir(path);
		}
	}
}

static int file_make(struct squeeze *squeeze)
{
	const char *dirs[] = { getenv("TMPDIR"), "/var/tmp", "." };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(dirs); i++) {
		struct statfs fs;
		int fd;

		if (!dirs[i] || statfs(dirs[i], &fs) ||
		    (uint32_t)fs.f_type == TMPFS ||
		    (uint32_t)fs.f_type == RAMFS)
			continue;
		snprintf(squeeze->file, sizeof(squeeze->file),
			 "%s/faultline-test.XXXXXX", dirs[i]);
		fd = mkostemp(squeeze->file, O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	squeeze->file[0] = '\0';
	return -1;
}

static void squeeze_end(struct squeeze *squeeze)
{
	if (squeeze->reader > 0) {
		test_kill(squeeze->reader);
		squeeze->reader = 0;
	}
	if (squeeze->file[0])
		unlink(squeeze->file);
	/* The dead are still in it for a moment. */
	for (int i = 0; i < 1000; i++) {
		if ((!squeeze->limit_dir[0] || !rmdir(squeeze->limit_dir) ||
		     errno == ENOENT) &&
		    (!squeeze->psi_dir[0] || !rmdir(squeeze->psi_dir) ||
		     errno == ENOENT))
			break;
		test_sleep_ms(10);
	}
}

/* NULL, or why there can be no pressure here. */
static const char *squeeze_begin(struct squeeze *squeeze)
{
	const char *why = NULL;
	int fd;

	memset(squeeze, 0, sizeof(*squeeze));
	groups_make(squeeze);
	fd = file_make(squeeze);
	if (!squeeze->limit_dir[0])
		why = "no control group with a memory limit can be made";
	else if (fd < 0)
		why = "there is no directory on a disk to write to";
	if (fd >= 0)
		close(fd);
	snprintf(squeeze->watched, sizeof(squeeze->watched),
		 "%s/memory.pressure", squeeze->psi_dir);
	if (!squeeze->psi_dir[0] || access(squeeze->watched, W_OK))
		snprintf(squeeze->watched, sizeof(squeeze->watched), "%s",
			 PROCFS_PRESSURE);
	return why;
}

/* Read what does not fit, until killed. It is written before there is a limit,
 * for a group full of pages to be written out has nothing to give up. */
static int reader_run(void *arg)
{
	const struct squeeze *squeeze = arg;
	static uint8_t bytes[128 * 1024];
	char pid[20];
	int fd = open(squeeze->file, O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t off = 0; off < FILE_BYTES; off += sizeof(bytes)) {
		if (pwrite(fd, bytes, sizeof(bytes), (off_t)off) < 0)
			return 1;
	}
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (!write_text(squeeze->limit_dir, "cgroup.procs", pid) ||
	    (squeeze->psi_dir[0] &&
	     !write_text(squeeze->psi_dir, "cgroup.procs", pid)))
		return 2;
	for (uint64_t off = 0;; off = (off + sizeof(bytes)) % FILE_BYTES) {
		if (pread(fd, bytes, sizeof(bytes), (off_t)off) < 0)
			return 3;
	}
}

static void squeeze_start(struct squeeze *squeeze)
{
	/* The case is over before, however long its waits take. */
	squeeze->reader = test_spawn(reader_run, squeeze, 400);
}

/* "total=" of the line for some. */
static uint64_t stalled_us(const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned long long total = 0;
	char line[200], *at;

	if (file && fgets(line, sizeof(line), file)) {
		at = strstr(line, "total=");
		if (at)
			total = strtoull(at + 6, NULL, 10);
	}
	if (file)
		fclose(file);
	return total;
}

/* Try it once: does the host stall enough in some seconds? */
static const char *needs_pressure(void)
{
	static const char *reason;
	static bool was_tried;
	struct squeeze squeeze;
	uint64_t before;

	if (was_tried)
		return reason;
	was_tried = true;
	reason = needs_psi();
	if (reason)
		return reason;
	reason = squeeze_begin(&squeeze);
	if (!reason) {
		before = stalled_us(squeeze.watched);
		squeeze_start(&squeeze);
		reason = "a group over its limit does not stall here";
		for (int i = 0; i < 200 && reason; i++) {
			test_sleep_ms(100);
			if (stalled_us(squeeze.watched) - before > 200000)
				reason = NULL;
		}
	}
	squeeze_end(&squeeze);
	/* With a sanitizer the group's limit is mostly taken by the program. */
	if (reason && test_is_sanitized())
		reason = TEST_NOT_BUILT "no stall beside a sanitizer's memory";
	return reason;
}

/* ------------------------------------------------------------------ the fit */

#define GROUP_TEXT "67108864"
#define TOUCHED (4 * MIB)

/* Tenants that take what they said, in a group that has room for some. */
static int child_in_group(void *arg)
{
	const struct squeeze *squeeze = arg;
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool_load load;
	struct conform conform;
	char pid[20];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	MUST(write_text(squeeze->limit_dir, "cgroup.procs", pid));
	conform.context = conform_context();
	conform_pool_config(&config);
	config.max_memories = config.max_instances = 100;
	fl_pool_load_init(&load);
	load.touched_bytes = TOUCHED;
	CONFORM_MUST(fl_pool_config_fit(conform.context, &load, &config, &fit,
					&error),
		     &error);
	CHECK_EQ(fit.decided, FL_LIMIT_GROUP);
	CHECK_EQ(fit.limits[FL_LIMIT_GROUP].allowed, 64 * MIB);
	CHECK_HAS(fit.limits[FL_LIMIT_GROUP].remedy, "memory.max");
	CHECK(config.max_memories >= 10);
	CHECK(config.max_memories <= 16);
	test_note("%u of 100 tenants", config.max_memories);
	CONFORM_MUST(fl_pool_create(conform.context, &config, &conform.pool,
				    &error),
		     &error);
	for (uint32_t i = 0; i < config.max_memories; i++)
		memset(conform_take(&conform, NULL, TOUCHED)->base, 1, TOUCHED);
	return 0;
}

static void a_groups_memory_is_fitted(void)
{
	struct squeeze squeeze;
	const char *why = squeeze_begin(&squeeze);

	(void)write_text(squeeze.limit_dir, "memory.high", "max");
	if (CHECK(!why) &&
	    CHECK(write_text(squeeze.limit_dir, "memory.max", GROUP_TEXT) ||
		  write_text(squeeze.limit_dir, "memory.limit_in_bytes",
			     GROUP_TEXT)))
		conform_check_child(child_in_group, &squeeze);
	squeeze_end(&squeeze);
}

static const char *needs_group(void)
{
	struct squeeze squeeze;
	const char *why = squeeze_begin(&squeeze);

	squeeze_end(&squeeze);
	if (!why && test_is_sanitized())
		why = TEST_NOT_BUILT "a sanitizer has memory of its own";
	return why;
}

#define SLOTS 16

static void pressure_open(struct conform *conform, uint64_t max_bytes)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_memories = SLOTS;
	config.max_memory_bytes = max_bytes;
	conform_open(conform, &config);
}

/* Short runs, which an engine keeps, in all slots but those that stay live. */
static void fill_slots(struct conform *conform, struct fl_memory **live,
		       uint32_t live_count, uint64_t bytes)
{
	struct fl_memory *memories[SLOTS];

	for (uint32_t i = 0; i < SLOTS; i++) {
		memories[i] = conform_take(conform, NULL, bytes);
		for (uint64_t off = 0; off < bytes; off += 2 * WPAGE)
			memset(memories[i]->base + off, 0x77, WPAGE);
	}
	for (uint32_t i = 0; i < SLOTS; i++) {
		if (i < live_count)
			live[i] = memories[i];
		else
			conform_give(memories[i]);
	}
}

static bool wait_warm_below(const struct conform *conform, uint32_t count,
			    unsigned int timeout_ms)
{
	uint64_t end_ns = test_now_ns() + timeout_ms * UINT64_C(1000000);

	while (conform_info(conform).warm_memories >= count) {
		if (test_now_ns() > end_ns)
			return false;
		/* A trim does not take long, and is to be caught at it. */
		sched_yield();
	}
	return true;
}

/* Nothing without pressure; with it all that is free, and nothing else. */
static void pressure_trims_the_pool(void)
{
	struct squeeze squeeze;
	struct fl_memory *live[2];
	struct conform conform;
	uint64_t start_ns;

	test_more_time(80);
	pressure_open(&conform, 2 * MIB);
	MUST(!squeeze_begin(&squeeze));
	fill_slots(&conform, live, 2, 2 * MIB);
	CHECK_EQ(conform_info(&conform).warm_memories, SLOTS - 2);
	CHECK_EQ(watch(&conform, squeeze.watched, 20000, WINDOW_US, NULL), 0);
	/* The whole host may stall for others. */
	if (strcmp(squeeze.watched, PROCFS_PRESSURE)) {
		test_sleep_ms(2500);
		CHECK_EQ(conform_info(&conform).warm_memories, SLOTS - 2);
	}
	squeeze_start(&squeeze);
	start_ns = test_now_ns();
	CHECK(wait_warm_below(&conform, 1, 40000));
	test_note("trimmed after %" PRIu64 " ms of pressure in %s",
		  (test_now_ns() - start_ns) / 1000000, squeeze.watched);
	CHECK_EQ(conform_info(&conform).retired_memories, 0);
	CHECK_EQ(conform_info(&conform).warm_memories, 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(live[i]->base[0], 0x77);
		CHECK_EQ(live[i]->base[2 * MIB - WPAGE - 1], 0x77);
		conform_give(live[i]);
	}
	/* The pool goes on, under pressure too. */
	for (int i = 0; i < 500; i++) {
		struct fl_memory *memory = conform_take(&conform, NULL, MIB);

		CHECK_EQ(conform_first_data(memory->base, MIB), MIB);
		memset(memory->base, 0x78, MIB / 2);
		conform_give(memory);
	}
	/* And again: a second event is not lost. */
	fill_slots(&conform, live, 0, 2 * MIB);
	CHECK(wait_warm_below(&conform, SLOTS / 2, 40000));
	squeeze_end(&squeeze);
	conform_close(&conform);
}

/* The pool may be destroyed whenever no memory lives: also while its own thread
 * is at work on the slots. */
static void the_pool_ends_under_pressure(void)
{
	struct squeeze squeeze;
	bool was_at_work = false;

	test_more_time(120);
	MUST(!squeeze_begin(&squeeze));
	squeeze_start(&squeeze);
	for (int i = 0; i < 3; i++) {
		struct conform conform;
		int err;

		pressure_open(&conform, 64 * MIB);
		fill_slots(&conform, NULL, 0, 64 * MIB);
		CHECK_EQ(watch(&conform, squeeze.watched, 20000, WINDOW_US,
			       NULL),
			 0);
		CHECK(wait_warm_below(&conform, SLOTS, 40000));
		err = fl_pool_destroy(conform.pool);
		CHECK_EQ(err, 0);
		was_at_work |= err != 0;
		while (err == -EBUSY)
			err = fl_pool_destroy(conform.pool);
		fl_context_destroy(conform.context);
	}
	if (was_at_work)
		test_note("the trim under way was taken for a live memory");
	squeeze_end(&squeeze);
}

static const struct test_case cases[] = {
	TEST_CASE(defaults),
	TEST_CASE_NEEDS(bad_windows, needs_psi),
	TEST_CASE_NEEDS(a_config_that_is_too_new, needs_psi),
	TEST_CASE(missing_paths),
	TEST_CASE(other_files_stay_as_they_are),
	TEST_CASE_NEEDS(twice, needs_psi),
	TEST_CASE_NEEDS(without_permission, needs_root),
	TEST_CASE_NEEDS(disabled, needs_feature),
	TEST_CASE_NEEDS(the_thread_lives_with_the_pool, needs_psi),
	TEST_CASE_NEEDS(several_pools, needs_psi),
	TEST_CASE_NEEDS(two_threads_at_once, needs_psi),
	TEST_CASE_NEEDS(signals_are_the_hosts, needs_psi),
	TEST_CASE_NEEDS(a_child_may_not, needs_psi),
	TEST_CASE_NEEDS(the_pool_ends_while_a_child_lives, needs_psi),
	TEST_CASE_NEEDS(a_groups_memory_is_fitted, needs_group),
	TEST_CASE_NEEDS(pressure_trims_the_pool, needs_pressure),
	TEST_CASE_NEEDS(the_pool_ends_under_pressure, needs_pressure),
};

/* On the best rung alone: waiting for pressure takes seconds, and what it calls
 * is tested on all. */
int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_rungs, 1);
}
