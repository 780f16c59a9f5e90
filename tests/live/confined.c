/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * confined.c - processes that may do less than a host usually may: limits of
 * files, descriptors and locked memory, filters that kill, rights that are given
 * up, namespaces.
 *
 * What is promised: no call dies of a limit; what a rung, a backend or
 * FAULTLINE_DISABLE excludes is never called; and running out of something is an
 * error of the call that ran out, never a lasting property of the host. Each
 * case confines a child.
 */
#define _GNU_SOURCE
#include "tests/kit/conform.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* A way to make a context; NULL: as it comes. */
struct way {
	const char *backend, *rung, *disable;
};

static int way_open(const struct way *way, struct fl_context **context,
		    struct fl_error *error)
{
	struct fl_context_config config;

	if (way->disable)
		setenv("FAULTLINE_DISABLE", way->disable, 1);
	else
		unsetenv("FAULTLINE_DISABLE");
	fl_context_config_init(&config);
	config.backend = way->backend;
	config.rung = way->rung;
	return fl_context_create(&config, context, error);
}

/* A tenancy, its growth and a second one, with an image if files may be made. */
static void use(struct fl_context *context, bool has_image)
{
	struct conform conform = { context, NULL };
	struct fl_pool_config config;
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;

	conform_pool_config(&config);
	CONFORM_MUST(fl_pool_create(context, &config, &conform.pool, &error),
		     &error);
	if (has_image)
		image = conform_image_of(&conform, WPAGE, 5, "x", 1);
	for (int i = 0; i < 2; i++) {
		struct fl_memory *memory = conform_take(&conform, image, WPAGE);

		CHECK_EQ(memory->base[5], has_image ? 'x' : 0);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		memory->base[5] = memory->base[WPAGE + 1] = 1;
		CHECK_EQ(fl_memory_prefault(memory, 0, 2 * WPAGE), 0);
		conform_give(memory);
	}
	fl_image_release(image);
	CHECK_EQ(fl_pool_destroy(conform.pool), 0);
}

static enum fl_support support_of(const struct fl_context *context,
				  const char *name)
{
	struct fl_feature feature = { .size = sizeof(feature) };

	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++) {
		if (!strcmp(feature.name, name))
			return feature.support;
	}
	CHECK(!"there is such a feature");
	return FL_SUPPORT_BROKEN;
}

static void check_end(struct test_end end, const struct way *way)
{
	CHECK_EQ(end.signo, 0);
	if (!CHECK_EQ(end.status, 0))
		test_note("backend %s, rung %s, without %s",
			  way->backend ? way->backend : "any",
			  way->rung ? way->rung : "any",
			  way->disable ? way->disable : "nothing");
}

/* ------------------------------------------------------------- size of files */

struct short_files {
	struct way way;
	rlim_t bytes;
};

static int child_with_short_files(void *arg)
{
	const struct short_files *files = arg;
	struct rlimit limit = { files->bytes, files->bytes };
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;
	bool is_linux;

	MUST_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	CONFORM_MUST(way_open(&files->way, &context, &error), &error);
	is_linux = !strcmp(fl_context_backend(context), "linux");
	use(context, !is_linux || files->bytes >= conform_hpage());
	if (is_linux && files->bytes < 2 * MIB && !files->way.disable)
		CHECK_EQ(support_of(context, "madv-collapse"),
			 FL_SUPPORT_DENIED);
	if (is_linux && files->bytes < conform_hpage()) {
		struct fl_segment segment = { 5, "x", 1 };
		struct fl_image *image;

		CHECK_EQ(fl_image_from_segments(context, WPAGE, &segment, 1,
						&image, &error),
			 -ENOMEM);
		CHECK_HAS(error.text, "ulimit -f");
	}
	fl_context_destroy(context);
	return 0;
}

/* The kernel sends SIGXFSZ to a process that makes a file too long. */
static void files_may_not_be_long(void)
{
	static const struct way ways[] = {
		{ NULL, NULL, NULL },
		{ NULL, "scan", NULL },
		{ NULL, "dontneed", NULL },
		{ NULL, NULL, "madv-collapse" },
		{ NULL, NULL, "madv-collapse,pagemap-fast-scan" },
		{ "segmented", NULL, NULL },
	};
	static const rlim_t limits[] = { MIB, 4096, 1000, 0 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(ways); i++) {
		for (size_t k = 0; k < TEST_ARRAY_SIZE(limits); k++) {
			struct short_files files = { ways[i], limits[k] };

			check_end(test_fork(child_with_short_files, &files, 20),
				  &ways[i]);
		}
	}
}

/* ---------------------------------------------------------- filters that kill */

#define REQUEST_ANY 0u
#define REQUEST_SCAN 0xc0606610u /* PAGEMAP_SCAN */
#define ADVICE_COLLAPSE 25u
#define ADVICE_POPULATE_WRITE 23u
#define ADVICE_WIPEONFORK 18u

struct killed {
	struct way way;
	unsigned int number; /* of the system call */
	unsigned int arg_idx; /* and what one argument is; 0: any */
	unsigned int arg;
};

/* Arguments are compared as 32 bits, as the kernel takes these. */
static bool kill_for(const struct killed *killed)
{
	const unsigned int arg_off =
		(unsigned int)offsetof(struct seccomp_data, args) +
		8 * killed->arg_idx;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 (unsigned int)offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, killed->number, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 killed->arg ? arg_off :
				       (unsigned int)offsetof(
					       struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			 killed->arg ? killed->arg : killed->number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { TEST_ARRAY_SIZE(code), code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int child_under_filter(void *arg)
{
	const struct killed *killed = arg;
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;

	MUST(kill_for(killed));
	CONFORM_MUST(way_open(&killed->way, &context, &error), &error);
	use(context, true);
	fl_context_destroy(context);
	return 0;
}

static void what_is_excluded_is_not_called(void)
{
	static const struct killed cases[] = {
		{ { NULL, "scan", NULL }, SYS_userfaultfd, 0, 0 },
		{ { NULL, "dontneed", NULL }, SYS_userfaultfd, 0, 0 },
		{ { NULL, NULL, "userfaultfd" }, SYS_userfaultfd, 0, 0 },
		{ { NULL, NULL, "uffd-wp-async" }, SYS_userfaultfd, 0, 0 },
		{ { NULL, NULL, "pagemap-scan" }, SYS_userfaultfd, 0, 0 },
		{ { NULL, NULL, "memfd-seals" }, SYS_userfaultfd, 0, 0 },
		{ { NULL, NULL, "linux" }, SYS_userfaultfd, 0, 0 },
		{ { NULL, "discard", NULL }, SYS_userfaultfd, 0, 0 },
		{ { "segmented", NULL, NULL }, SYS_userfaultfd, 0, 0 },
		{ { NULL, NULL, "memfd-seals" }, SYS_memfd_create, 0, 0 },
		{ { NULL, NULL, "linux" }, SYS_memfd_create, 0, 0 },
		{ { NULL, "discard", NULL }, SYS_memfd_create, 0, 0 },
		{ { "segmented", NULL, NULL }, SYS_memfd_create, 0, 0 },
		{ { NULL, NULL, "pagemap-scan" }, SYS_ioctl, 1, REQUEST_SCAN },
		{ { NULL, "dontneed", NULL }, SYS_ioctl, 1, REQUEST_SCAN },
		{ { "segmented", NULL, NULL }, SYS_ioctl, 0, 0 },
		{ { NULL, NULL, "madv-collapse" },
		  SYS_madvise,
		  2,
		  ADVICE_COLLAPSE },
		{ { NULL, NULL, "madv-populate" },
		  SYS_madvise,
		  2,
		  ADVICE_POPULATE_WRITE },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct killed killed = cases[i];
		struct test_end end =
			test_fork(child_under_filter, &killed, 20);

		check_end(end, &killed.way);
		if (end.signo)
			test_note("system call %u", killed.number);
	}
}

/* The filter does kill, or the case above shows nothing. */
static int child_killed(void *arg)
{
	if (!kill_for(arg))
		return 1;
	syscall(SYS_userfaultfd, 0);
	return 0;
}

static const char *needs_filters(void)
{
	struct killed killed = { .number = SYS_userfaultfd };

	if (test_is_sanitized())
		return TEST_NOT_BUILT "a sanitizer makes system calls itself";
	return test_fork(child_killed, &killed, 10).signo ?
		       NULL :
		       "seccomp filters cannot be installed here";
}

/* ---------------------------------------------------------------- no folios */

static int child_without_folios(void *arg)
{
	struct fl_feature feature = { .size = sizeof(feature) };
	const struct way way = { NULL, NULL, NULL };
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;

	(void)arg;
	MUST_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	CONFORM_MUST(way_open(&way, &context, &error), &error);
	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++) {
		if (strcmp(feature.name, "madv-collapse"))
			continue;
		CHECK(feature.support != FL_SUPPORT_MISSING);
		if (feature.support == FL_SUPPORT_DENIED)
			CHECK_HAS(feature.remedy, "PR_SET_THP_DISABLE");
	}
	fl_context_destroy(context);
	return 0;
}

/* The process has turned them off, and no other kernel would help. */
static void large_folios_are_turned_off(void)
{
	conform_check_child(child_without_folios, NULL);
}

/* --------------------------------------------------------------- descriptors */

#define SOME_FDS 64

/* The lowest that are free are left free. */
static int child_with_few_descriptors(void *arg)
{
	const struct rlimit limit = { SOME_FDS, SOME_FDS };
	const struct way way = { NULL, NULL, NULL };
	int left = *(const int *)arg, top = -1, fd, err;
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;
	const char *reason = NULL;

	MUST_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		top = fd;
	for (int i = 0; i < left; i++)
		close(top - i);
	err = way_open(&way, &context, &error);
	if (err) {
		CHECK_EQ(err, -ENOMEM);
		CHECK_HAS(error.text, "ulimit -n");
		return 1;
	}
	CHECK(!strcmp(fl_context_backend(context), "linux"));
	CHECK(!strcmp(fl_context_rung(context, &reason), test_rung->how));
	CHECK_EQ(reason == NULL, !strcmp(test_rung->how, "track"));
	fl_context_destroy(context);
	return 0;
}

/* With fewer there is an error, with more the context that there would be with
 * all of them, and nothing in between. */
static void few_descriptors(void)
{
	int enough = -1;

	for (int left = 0; left < SOME_FDS - 8; left++) {
		struct test_end end =
			test_fork(child_with_few_descriptors, &left, 20);

		CHECK_EQ(end.signo, 0);
		if (!CHECK(end.status == 0 || end.status == 1))
			break;
		if (!end.status && enough < 0)
			enough = left;
		CHECK_EQ(end.status, enough < 0);
	}
	test_note("a context needs %d descriptors", enough);
	CHECK(enough > 0);
}

static void check_limit(int err, const struct fl_error *error, const char *says)
{
	CHECK_EQ(err, -ENOMEM);
	CHECK_HAS(error->text, says);
}

/* Of a descriptor, and of the address space of a thread's stack. */
static int child_that_may_open_no_more(void *arg)
{
	const struct rlimit limit = { SOME_FDS, SOME_FDS };
	const char *path = arg;
	struct fl_error error = { .text = "" };
	struct fl_page_source *source;
	struct conform conform;
	struct fl_image *image, *opened;
	int fd;

	conform_open(&conform, NULL);
	image = conform_image_of(&conform, WPAGE, 5, "x", 1);
	CHECK_EQ(fl_image_write(image, path, &error), 0);
	MUST_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
		;
	check_limit(fl_pool_wait_fd(conform.pool, &fd, &error), &error,
		    "ulimit -n");
	check_limit(fl_pool_trim_on_pressure(conform.pool, NULL, &error),
		    &error, "ulimit -n");
	check_limit(fl_image_write(image, path, &error), &error, "ulimit -n");
	check_limit(fl_image_open(conform.context, path, -1, 0, &opened,
				  &error),
		    &error, "ulimit -n");
	check_limit(fl_page_source_from_file(path, -1, &source, &error), &error,
		    "ulimit -n");
	fl_image_release(image);
	CHECK_EQ(fl_pool_destroy(conform.pool), 0);
	return 0;
}

static void *never_ends(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static int child_that_may_map_no_more(void *arg)
{
	const struct rlimit limit = { WPAGE, WPAGE };
	struct fl_error error = { .text = "" };
	struct conform conform;
	pthread_t thread;

	(void)arg;
	conform_open(&conform, NULL);
	MUST_EQ(setrlimit(RLIMIT_AS, &limit), 0);
	/* The C library has kept stacks of threads that ended. */
	while (!pthread_create(&thread, NULL, never_ends, NULL))
		;
	check_limit(fl_pool_trim_on_pressure(conform.pool, NULL, &error),
		    &error, "ulimit -u");
	CHECK_HAS(error.text, "ulimit -v");
	CHECK_EQ(fl_pool_destroy(conform.pool), 0);
	return 0;
}

static void errors_name_the_descriptors(void)
{
	char path[] = "confined-XXXXXX";
	int fd = mkstemp(path);

	MUST(fd >= 0);
	close(fd);
	conform_check_child(child_that_may_open_no_more, path);
	unlink(path);
}

static const char *needs_own_limit(void)
{
	if (test_is_sanitized())
		return TEST_NOT_BUILT "a sanitizer has memory of its own";
	return access("/proc/pressure/memory", R_OK) ?
		       "the system tells of no stalls" :
		       test_needs_limits();
}

static void errors_name_the_limit(void)
{
	conform_check_child(child_that_may_map_no_more, NULL);
}

/* What a context, a pool, an image and a tenant take, as the header says. */
static void descriptors_are_as_documented(void)
{
	static const struct {
		const char *rung;
		unsigned int per_shard;
	} rungs[] = { { "track", 2 }, { "scan", 1 } };

	/* Where "scan" is the best rung, there is no "track". */
	for (size_t i = !strcmp(test_rung->how, "scan");
	     i < TEST_ARRAY_SIZE(rungs); i++) {
		for (unsigned int shards = 1; shards <= 64; shards *= 4) {
			unsigned int before = procfs_count_fds(), with;
			struct fl_context_config config;
			struct fl_context *context = NULL;
			struct fl_error error = { .text = "" };

			fl_context_config_init(&config);
			config.rung = rungs[i].rung;
			config.descriptor_shards = shards;
			CONFORM_MUST(fl_context_create(&config, &context,
						       &error),
				     &error);
			with = procfs_count_fds();
			CHECK_EQ(with - before,
				 rungs[i].per_shard * shards + 1);
			use(context, true);
			CHECK_EQ(procfs_count_fds(), with);
			fl_context_destroy(context);
			CHECK_EQ(procfs_count_fds(), before);
		}
	}
}

static void shards_are_bounded(void)
{
	struct fl_context *context = NULL;
	struct fl_context_config config;
	struct fl_error error;
	unsigned int before = procfs_count_fds();

	fl_context_config_init(&config);
	config.descriptor_shards = 65;
	CHECK_EQ(fl_context_create(&config, &context, &error), -EINVAL);
	CHECK_HAS(error.text, "descriptor_shards");
	context = conform_context();
	CHECK(procfs_count_fds() - before <= 33);
	fl_context_destroy(context);
}

static int child_with_many_pools(void *arg)
{
	const struct rlimit limit = { SOME_FDS, SOME_FDS };
	struct conform conforms[100];
	struct fl_context_config config;
	struct fl_context *context;

	(void)arg;
	MUST_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	fl_context_config_init(&config);
	config.descriptor_shards = 2;
	config.statistics = FL_STATISTICS_PRIVATE;
	MUST_EQ(fl_context_create(&config, &context, NULL), 0);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(conforms); i++) {
		struct fl_pool_config pool;
		struct fl_memory *memory;

		conform_pool_config(&pool);
		pool.instance_bytes = 64;
		pool.max_tables = 4;
		conforms[i].context = context;
		MUST_EQ(fl_pool_create(context, &pool, &conforms[i].pool, NULL),
			0);
		for (int k = 0; k < 3; k++) {
			memory = conform_take(&conforms[i], NULL, WPAGE);
			conform_check_zero(memory);
			memory->base[7] = 1;
			conform_give(memory);
		}
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(conforms); i++)
		CHECK_EQ(fl_pool_destroy(conforms[i].pool), 0);
	fl_context_destroy(context);
	return 0;
}

static void pools_take_no_descriptors(void)
{
	conform_check_child(child_with_many_pools, NULL);
}

/* ------------------------------------------------- rights that are given up */

enum loss {
	LOSES_USER,
	LOSES_DUMPS,
	LOSES_ROOT,
	LOSS_COUNT,
};

struct losing {
	struct way way;
	enum loss loss;
	const char *empty; /* a folder */
};

static void lose(enum loss loss, const char *empty)
{
	switch (loss) {
	case LOSES_USER:
		MUST_EQ(setgid(65534), 0);
		MUST_EQ(setuid(65534), 0);
		break;
	case LOSES_ROOT:
		MUST_EQ(chroot(empty), 0);
		MUST_EQ(chdir("/"), 0);
		break;
	default:
		MUST_EQ(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 0);
	}
}

static void capture_and_compare(struct conform *conform)
{
	struct fl_memory *memory = conform_take(conform, NULL, 4 * WPAGE);
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;
	struct fl_image_run run;

	memory->base[3 * WPAGE] = 9;
	CONFORM_MUST(fl_image_from_memory(memory, NULL, &image, &error),
		     &error);
	CHECK(fl_image_next_run(image, 0, &run));
	CHECK_EQ(run.offset_bytes, 3 * WPAGE);
	fl_image_release(image);
	conform_give(memory);
}

static int child_loses(void *arg)
{
	const struct losing *losing = arg;
	struct conform conform = { NULL, NULL };
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;

	CONFORM_MUST(way_open(&losing->way, &conform.context, &error), &error);
	lose(losing->loss, losing->empty);
	use(conform.context, true);
	conform_pool_config(&config);
	config.audit_every = 1;
	CONFORM_MUST(fl_pool_create(conform.context, &config, &conform.pool,
				    &error),
		     &error);
	capture_and_compare(&conform);
	CHECK_EQ(conform_info(&conform).retired_memories, 0);
	CHECK_EQ(conform_info(&conform).audited, 1);
	conform_close(&conform);
	return 0;
}

static void rights_are_given_up_behind_the_context(void)
{
	static const struct way ways[] = {
		{ NULL, NULL, NULL },
		{ NULL, NULL, "pagemap-fast-scan" },
		{ NULL, "scan", NULL },
		{ NULL, "dontneed", NULL },
		{ NULL, NULL, "pagemap-scan" },
		{ "segmented", NULL, NULL },
	};

	char folder[] = "/tmp/faultline.XXXXXX";

	MUST(mkdtemp(folder) != NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(ways); i++) {
		for (enum loss loss = 0; loss < LOSS_COUNT; loss++) {
			struct losing losing = { ways[i], loss, folder };

			check_end(test_fork(child_loses, &losing, 20),
				  &ways[i]);
		}
	}
	rmdir(folder);
}

/* The page table is hidden from a process that has changed its user, and not
 * because /proc is missing. */
static int child_comes_late(void *arg)
{
	const struct way way = { NULL, NULL, NULL };
	struct fl_feature feature = { .size = sizeof(feature) };
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;

	(void)arg;
	lose(LOSES_USER, NULL);
	CONFORM_MUST(way_open(&way, &context, &error), &error);
	CHECK(strcmp(fl_context_rung(context, NULL), "track") != 0);
	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++) {
		if (!strcmp(feature.name, "pagemap-scan"))
			CHECK_HAS(feature.remedy, "PR_SET_DUMPABLE");
	}
	use(context, true);
	fl_context_destroy(context);
	return 0;
}

static void rights_were_given_up_before(void)
{
	conform_check_child(child_comes_late, NULL);
}

static const char *needs_root(void)
{
	return geteuid() ? "only root has rights to give up" : NULL;
}

/* --------------------------------------------------------- forked children */

static int child_of_one_number(void *arg)
{
	struct conform *conform = arg;
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct fl_pool *pool;

	CHECK_EQ(getpid(), 1);
	conform_pool_config(&config);
	CHECK_EQ(fl_pool_create(conform->context, &config, &pool, NULL),
		 -ECHILD);
	CHECK_EQ(fl_memory_acquire(conform->pool, NULL, &memory, NULL),
		 -ECHILD);
	CHECK_EQ(fl_pool_destroy(conform->pool), -ECHILD);
	return 0;
}

static int parent_of_one_number(void *arg)
{
	const struct way *way = arg;
	struct conform conform = { NULL, NULL };
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct test_end end;

	CHECK_EQ(getpid(), 1);
	CONFORM_MUST(way_open(way, &conform.context, &error), &error);
	conform_pool_config(&config);
	CONFORM_MUST(fl_pool_create(conform.context, &config, &conform.pool,
				    &error),
		     &error);
	MUST_EQ(unshare(CLONE_NEWPID), 0);
	end = test_fork(child_of_one_number, &conform, 10);
	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
	use(conform.context, true);
	conform_close(&conform);
	return 0;
}

static int child_in_a_namespace(void *arg)
{
	struct test_end end;

	MUST_EQ(unshare(CLONE_NEWPID), 0);
	end = test_fork(parent_of_one_number, arg, 20);
	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
	return 0;
}

/* Parent and child are both process 1, each in a namespace of its own. */
static void process_numbers_repeat(void)
{
	static const struct way ways[] = {
		{ NULL, NULL, NULL },
		{ NULL, NULL, "madv-wipeonfork" },
		{ "segmented", NULL, NULL },
		{ "segmented", NULL, "madv-wipeonfork" },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(ways); i++) {
		struct way way = ways[i];

		check_end(test_fork(child_in_a_namespace, &way, 30), &way);
	}
}

static int child_unshares(void *arg)
{
	(void)arg;
	return unshare(CLONE_NEWPID) != 0;
}

static const char *needs_namespaces(void)
{
	return test_fork(child_unshares, NULL, 10).status ?
		       "process namespaces cannot be made here" :
		       NULL;
}

/* ------------------------------------------------------------- locked memory */

static int child_locks_all(void *arg)
{
	const struct rlimit limit = { 8 * MIB, 8 * MIB };
	bool is_late = *(const bool *)arg;
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;
	struct fl_pool_config config;
	struct fl_pool *pool;
	int err;

	MUST_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (!geteuid())
		MUST_EQ(setuid(65534), 0);
	if (!is_late)
		MUST_EQ(mlockall(MCL_FUTURE), 0);
	/* The child of a large parent may lock less than a context takes. */
	err = fl_context_create(NULL, &context, &error);
	if (err) {
		CHECK_EQ(err, -ENOMEM);
		CHECK_HAS(error.text, "ulimit -l");
		return 0;
	}
	if (is_late)
		MUST_EQ(mlockall(MCL_FUTURE), 0);
	fl_pool_config_init(&config);
	CHECK_EQ(fl_pool_create(context, &config, &pool, &error), -ENOMEM);
	CHECK_HAS(error.text, "ulimit -l");
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	err = fl_pool_create(context, &config, &pool, &error);
	if (err) {
		CHECK_EQ(err, -ENOMEM);
	} else {
		struct fl_memory *memory;

		CHECK_EQ(fl_memory_acquire(pool, NULL, &memory, &error),
			 -ENOMEM);
		CHECK_HAS(error.text, "ulimit -l");
		CHECK_EQ(fl_pool_destroy(pool), 0);
	}
	fl_context_destroy(context);
	return 0;
}

/* The kernel says EAGAIN, which is the pool's word for "no slot now". */
static void all_memory_is_locked(void)
{
	for (int i = 0; i < 2; i++) {
		bool is_late = i;
		struct test_end end = test_fork(child_locks_all, &is_late, 20);

		CHECK_EQ(end.signo, 0);
		CHECK_EQ(end.status, 0);
	}
}

static const char *needs_plain_memory(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer maps terabytes" :
				     NULL;
}

static const struct test_case cases[] = {
	TEST_CASE(files_may_not_be_long),
	TEST_CASE_NEEDS(what_is_excluded_is_not_called, needs_filters),
	TEST_CASE(large_folios_are_turned_off),
	TEST_CASE(few_descriptors),
	TEST_CASE(errors_name_the_descriptors),
	TEST_CASE_NEEDS(errors_name_the_limit, needs_own_limit),
	TEST_CASE(descriptors_are_as_documented),
	TEST_CASE(shards_are_bounded),
	TEST_CASE(pools_take_no_descriptors),
	TEST_CASE_NEEDS(rights_are_given_up_behind_the_context, needs_root),
	TEST_CASE_NEEDS(rights_were_given_up_before, needs_root),
	TEST_CASE_NEEDS(process_numbers_repeat, needs_namespaces),
	TEST_CASE_NEEDS(all_memory_is_locked, needs_plain_memory),
};

/* On the best rung alone: the cases choose others themselves. */
int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_best_rung(), 1);
}
