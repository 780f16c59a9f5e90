/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * filtered.c - pools go on under a filter that kills what fl_seccomp_allow() did
 * not add.
 *
 * Each case confines a child, which has made its context and its pool. Under a
 * sanitizer the filter logs in place of killing, because the sanitizer's own
 * calls are not Faultline's.
 */
#define _GNU_SOURCE
#include "tests/kit/conform.h"
#include "tests/kit/procfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/adapters/seccomp/faultline-seccomp.h"
#include "uffd/filter.h"

/* What the test itself does: it says what failed, and ends. */
static scmp_filter_ctx filter_new(void)
{
	scmp_filter_ctx filter = seccomp_init(
		test_is_sanitized() ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);

	MUST(filter != NULL);
	MUST_EQ(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 0),
		0);
	MUST_EQ(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(exit_group),
				 0),
		0);
	return filter;
}

static void filter_load(struct fl_context *context)
{
	scmp_filter_ctx filter = filter_new();

	MUST_EQ(fl_seccomp_allow(context, filter), 0);
	/* What is there already is no error. */
	MUST_EQ(fl_seccomp_allow(context, filter), 0);
	MUST_EQ(seccomp_load(filter), 0);
	seccomp_release(filter);
}

struct host {
	struct conform conform;
	struct fl_image *image;
};

static void host_open(struct host *host)
{
	struct fl_pool_config config;
	uint8_t *bytes = malloc(4 * WPAGE);

	MUST(bytes != NULL);
	memset(bytes, 0x5a, 4 * WPAGE);
	conform_pool_config(&config);
	config.audit_every = 1;
	conform_open(&host->conform, &config);
	host->image = conform_image_of(&host->conform, 4 * WPAGE, 0, bytes,
				       4 * WPAGE);
	free(bytes);
}

static void tenancy(struct host *host)
{
	struct fl_memory *memory = conform_take(&host->conform, host->image, 0);

	CHECK_EQ(memory->base[2 * WPAGE], 0x5a);
	CHECK_EQ(fl_memory_grow(memory, 2, NULL), 0);
	CHECK_EQ(fl_memory_prefault(memory, 0, 2 * WPAGE), 0);
	for (uint64_t at = 0; at < 6 * WPAGE; at += 4096)
		memory->base[at]++;
	conform_give(memory);
}

/* All that faultline-seccomp.h promises, at once. */
static int child_uses_all(void *arg)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct host host;

	(void)arg;
	host_open(&host);
	filter_load(host.conform.context);
	for (int i = 0; i < 200; i++)
		tenancy(&host);
	CHECK_EQ(fl_pool_usage(host.conform.pool, &usage, NULL),
		 strcmp(test_rung->how, "dontneed") ? 0 : -ENOTSUP);
	CHECK_EQ(fl_pool_trim(host.conform.pool, UINT64_MAX, NULL), 0);
	tenancy(&host);
	fl_image_release(host.image);
	CHECK_EQ(fl_pool_destroy(host.conform.pool), 0);
	fl_context_destroy(host.conform.context);
	return 0;
}

static void pools_go_on(void)
{
	struct test_end end = test_fork(child_uses_all, NULL, 60);

	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
}

/* How a child reads the file of a lazy image. */
static enum fl_load_read child_read;

static struct fl_image *open_lazily(struct host *host, const char *path)
{
	struct fl_error error = { .text = "" };
	struct fl_page_source *source = NULL;
	struct fl_load_config config;
	struct fl_image *image = NULL;

	CONFORM_MUST(fl_image_write(host->image, path, &error), &error);
	CONFORM_MUST(fl_page_source_from_file(path, -1, &source, &error),
		     &error);
	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.read = child_read;
	CONFORM_MUST(fl_image_open_source(host->conform.context, source,
					  &config, &image, &error),
		     &error);
	fl_page_source_release(source);
	return image;
}

/* The filter holds for the threads that load, too. */
static int child_loads(void *arg)
{
	struct fl_memory *memory;
	scmp_filter_ctx filter;
	struct fl_image *image;
	struct host host;

	host_open(&host);
	image = open_lazily(&host, arg);
	filter = filter_new();
	MUST_EQ(seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1), 0);
	MUST_EQ(fl_seccomp_allow(host.conform.context, filter), 0);
	MUST_EQ(seccomp_load(filter), 0);
	seccomp_release(filter);
	memory = conform_take(&host.conform, image, 0);
	CHECK_EQ(memory->base[3 * WPAGE], 0x5a);
	memory->base[2 * WPAGE] = 1;
	conform_give(memory);
	memory = conform_take(&host.conform, image, 0);
	CHECK_EQ(fl_memory_prefault(memory, 0, 2 * WPAGE), 0);
	for (uint64_t at = 0; at < 4 * WPAGE; at += 4096)
		CHECK_EQ(memory->base[at], 0x5a);
	conform_give(memory);
	CHECK_EQ(fl_pool_purge(host.conform.pool, NULL, image, NULL), 0);
	fl_image_release(image);
	fl_image_release(host.image);
	CHECK_EQ(fl_pool_destroy(host.conform.pool), 0);
	fl_context_destroy(host.conform.context);
	return 0;
}

/* -------------------------------------------------- threads that load images */

static const char *needs_confined(void)
{
	struct fl_context *context = conform_context();
	struct fl_feature feature = { .size = sizeof(feature) };
	const char *lacks = TEST_NOT_BUILT "threads that load are not confined";

	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++) {
		if (!strcmp(feature.name, "seccomp-filter") &&
		    feature.support == FL_SUPPORT_YES)
			lacks = NULL;
	}
	fl_context_destroy(context);
	return lacks;
}

/* What such a thread is put under, and then all that the thread may not do. */
static void *be_confined(void *arg)
{
	CHECK_EQ(fl__filter_enter(arg), 0);
	CHECK_EQ(open("/dev/null", O_RDONLY | O_CLOEXEC), -1);
	CHECK_EQ(errno, EPERM);
	CHECK_EQ(open("/etc/passwd", O_RDONLY | O_CLOEXEC), -1);
	CHECK_EQ(socket(AF_INET, SOCK_STREAM, 0), -1);
	CHECK_EQ(errno, EPERM);
	CHECK_EQ(socket(AF_UNIX, SOCK_STREAM, 0), -1);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	CHECK_EQ(memfd_create("test", 0), -1);
	CHECK_EQ(execl("/bin/true", "true", (char *)NULL), -1);
	CHECK_EQ(errno, EPERM);
	return NULL;
}

static int child_is_confined(void *arg)
{
	struct fl__filter filter;
	struct fl_image *image;
	pthread_t thread;
	struct host host;
	uint8_t byte;

	host_open(&host);
	image = open_lazily(&host, arg);
	/* One that reads faults, and four that fill. */
	CHECK_EQ(procfs_count_filtered_threads(), 5);
	CHECK_EQ(fl_image_read(image, 3, &byte, 1), 0);
	CHECK_EQ(byte, 0x5a);
	MUST_EQ(fl__filter_make(&filter), 0);
	MUST_EQ(pthread_create(&thread, NULL, be_confined, &filter), 0);
	pthread_join(thread, NULL);
	fl__filter_free(&filter);
	fl_image_release(image);
	return test_has_failed();
}

static void check_child_with_path(int (*fn)(void *arg))
{
	char path[64] = "/tmp/fl-filtered-XXXXXX";
	int fd = mkstemp(path);
	struct test_end end;

	MUST(fd >= 0);
	close(fd);
	end = test_fork(fn, path, 60);
	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
	unlink(path);
}

static struct fl_image *open_in_place(struct host *host, const char *path,
				      const char *set_path)
{
	struct fl_error error = { .text = "" };
	struct fl_page_source *source = NULL;
	struct fl_load_config config;
	struct fl_image *image = NULL;

	CONFORM_MUST(fl_page_source_from_file(path, -1, &source, &error),
		     &error);
	fl_load_config_init(&config);
	config.way = FL_LOAD_IN_PLACE;
	config.open_flags = FL_OPEN_IN_PLACE | FL_OPEN_UNCHECKED;
	config.working_set_path = set_path;
	CONFORM_MUST(fl_image_open_source(host->conform.context, source,
					  &config, &image, &error),
		     &error);
	fl_page_source_release(source);
	return image;
}

/* What an earlier tenant touched is asked for by the first one under the
 * filter. */
static int child_maps_a_file(void *arg)
{
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;
	struct fl_image *image;
	struct host host;
	char set_path[80];

	snprintf(set_path, sizeof(set_path), "%s.set", (const char *)arg);
	host_open(&host);
	CONFORM_MUST(fl_image_write(host.image, arg, &error), &error);
	image = open_in_place(&host, arg, NULL);
	memory = conform_take(&host.conform, image, 0);
	CHECK_EQ(memory->base[3 * WPAGE], 0x5a);
	conform_give(memory);
	CONFORM_MUST(fl_image_write_working_set(image, set_path, &error),
		     &error);
	CHECK_EQ(fl_pool_purge(host.conform.pool, NULL, image, NULL), 0);
	fl_image_release(image);
	image = open_in_place(&host, arg, set_path);
	unlink(set_path);
	filter_load(host.conform.context);
	memory = conform_take(&host.conform, image, 0);
	CHECK_EQ(memory->base[3 * WPAGE], 0x5a);
	memory->base[2 * WPAGE] = 1;
	conform_give(memory);
	memory = conform_take(&host.conform, image, 0);
	CHECK_EQ(memory->base[2 * WPAGE], 0x5a);
	conform_give(memory);
	fl_image_release(image);
	fl_image_release(host.image);
	CHECK_EQ(fl_pool_destroy(host.conform.pool), 0);
	fl_context_destroy(host.conform.context);
	return 0;
}

static void a_file_is_mapped_under_a_filter(void)
{
	check_child_with_path(child_maps_a_file);
}

/* A filter for all threads is refused beside one that a thread has of its own. */
static void images_load_under_a_filter(void)
{
	const char *before = getenv("FAULTLINE_DISABLE");
	char kept[200], without[240];

	snprintf(kept, sizeof(kept), "%s", before ? before : "");
	snprintf(without, sizeof(without), "%s%sseccomp-filter", kept,
		 kept[0] ? "," : "");
	setenv("FAULTLINE_DISABLE", without, 1);
	check_child_with_path(child_loads);
	child_read = test_needs_direct() ? FL_READ_CACHED : FL_READ_DIRECT;
	check_child_with_path(child_loads);
	child_read = FL_READ_DEFAULT;
	if (before)
		setenv("FAULTLINE_DISABLE", kept, 1);
	else
		unsetenv("FAULTLINE_DISABLE");
}

static void a_loading_thread_can_do_nothing_else(void)
{
	check_child_with_path(child_is_confined);
}

/* The C library ends a host in which one thread may not do so. */
static int child_changes_user(void *arg)
{
	struct fl_image *image;
	struct host host;
	uint8_t byte = 0;

	host_open(&host);
	image = open_lazily(&host, arg);
	MUST_EQ(setgid(getegid()), 0);
	MUST_EQ(setuid(geteuid() ? geteuid() : 65534), 0);
	CHECK_EQ(fl_image_read(image, 3, &byte, 1), 0);
	CHECK_EQ(byte, 0x5a);
	fl_image_release(image);
	return test_has_failed();
}

static void a_host_changes_its_user(void)
{
	check_child_with_path(child_changes_user);
}

/* ------------------------------------------------------ what is not allowed */

struct forbidden {
	const char *what;
	void (*fn)(void);
	int signo;
};

static void makes_code(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void does_nothing(void)
{
}

static void opens_a_file(void)
{
	CHECK_EQ(open("/dev/null", O_RDONLY | O_CLOEXEC), -1);
	CHECK_EQ(errno, EACCES);
}

static void opens_a_socket(void)
{
	(void)!socket(AF_UNIX, SOCK_STREAM, 0);
}

static void advises(void)
{
	(void)madvise(NULL, 0, MADV_HUGEPAGE);
}

static void makes_a_file(void)
{
	(void)!memfd_create("test", MFD_CLOEXEC);
}

static int child_does(void *arg)
{
	const struct forbidden *forbidden = arg;
	struct host host;

	host_open(&host);
	filter_load(host.conform.context);
	forbidden->fn();
	return 0;
}

static const char *needs_kills(void)
{
	if (test_is_sanitized())
		return TEST_NOT_BUILT "under a sanitizer the filter only logs";
	return NULL;
}

static void all_else_is_killed(void)
{
	static const struct forbidden cases[] = {
		{ "nothing", does_nothing, 0 },
		{ "openat", opens_a_file, 0 },
		{ "mmap with PROT_EXEC", makes_code, SIGSYS },
		{ "socket", opens_a_socket, SIGSYS },
		{ "MADV_HUGEPAGE", advises, SIGSYS },
		{ "memfd_create", makes_a_file, SIGSYS },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct forbidden forbidden = cases[i];

		struct test_end end = test_fork(child_does, &forbidden, 20);

		if (!CHECK_EQ(end.signo, forbidden.signo) ||
		    !CHECK_EQ(end.status, forbidden.signo ? -1 : 0))
			test_note("%s", forbidden.what);
	}
}

/* ------------------------------------------------------------ what is refused */

static void filters_that_are_none(void)
{
	struct fl_context *context = conform_context(), *segmented;
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct fl_context_config config;

	CHECK_EQ(fl_seccomp_allow(context, NULL), -EINVAL);
	MUST(filter != NULL);
	CHECK_EQ(fl_seccomp_allow(context, filter), 0);
	MUST_EQ(seccomp_reset(filter, SCMP_ACT_ERRNO(EPERM)), 0);
	CHECK_EQ(fl_seccomp_allow(context, filter), 0);
	fl_context_config_init(&config);
	config.backend = "segmented";
	MUST_EQ(fl_context_create(&config, &segmented, NULL), 0);
	CHECK_EQ(fl_seccomp_allow(segmented, filter), -ENOTSUP);
	fl_context_destroy(segmented);
	seccomp_release(filter);
	fl_context_destroy(context);
}

static const struct test_case cases[] = {
	TEST_CASE(pools_go_on),
	TEST_CASE_NEEDS(images_load_under_a_filter, conform_needs_lazy),
	TEST_CASE_NEEDS(a_file_is_mapped_under_a_filter, conform_needs_lazy),
	TEST_CASE_NEEDS(a_loading_thread_can_do_nothing_else, needs_confined),
	TEST_CASE_NEEDS(a_host_changes_its_user, conform_needs_lazy),
	TEST_CASE_NEEDS(all_else_is_killed, needs_kills),
	TEST_CASE(filters_that_are_none),
};

/* Not the segmented backend, which has no list of its calls. */
int main(int argc, char **argv)
{
	size_t count = 0;

	while (count < TEST_ARRAY_SIZE(conform_rungs) &&
	       !strcmp(conform_rungs[count].backend, "linux"))
		count++;
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_rungs, count);
}
