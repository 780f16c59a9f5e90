/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy_direct_leave.c - images that are read past the page cache, and others of the
 * same file, that come and go.
 *
 * In any order, at once, while pages are on their way and while children begin: every
 * tenant sees its image, and what the reads need goes with the last image that needs
 * it.
 */
#include "tests/conform/direct.h"
#include "tests/kit/resources.h"

#include <fcntl.h>
#include <pthread.h>

/* Buffers take as much, and what else the process takes meanwhile. */
#define BUFFER_BYTES (7 * MIB)
#define TOLERANCE_BYTES MIB

enum kind {
	KIND_DIRECT,
	KIND_CACHED,
	KIND_IN_PLACE, /* of a packed file: whole */
	KINDS
};

static struct fl_image *open_kind(const struct host *host, enum kind kind)
{
	static const enum fl_load_read reads[] = { FL_READ_DIRECT,
						   FL_READ_CACHED };

	if (kind < KIND_IN_PLACE)
		return must_open(host, FL_LOAD_LAZY, reads[kind],
				 host->set_path);
	return must_open(host,
			 toc_bytes_is_packed(host->file.bytes) ?
				 FL_LOAD_WHOLE :
				 FL_LOAD_IN_PLACE,
			 FL_READ_DEFAULT, NULL);
}

/* The n-th order of the kinds. */
static void order_of(int n, enum kind order[KINDS])
{
	order[0] = (enum kind)(n / 2);
	order[1] = (enum kind)((n / 2 + 1 + n % 2) % KINDS);
	order[2] = (enum kind)(KINDS - order[0] - order[1]);
}

/* Each is touched, or read whole, and goes while pages of it are on their way. */
static void check_order(struct host *host, int opened, int released)
{
	struct fl_image *images[KINDS];
	struct fl_memory *memory;
	enum kind order[KINDS];

	order_of(opened, order);
	for (int i = 0; i < KINDS; i++)
		images[order[i]] = open_kind(host, order[i]);
	for (int i = 0; i < KINDS; i++) {
		uint64_t at =
			(uint64_t)(opened * 6 + released + i) % PAGES * WPAGE;

		memory = conform_take(&host->conform, images[order[i]], 0);
		CHECK_EQ(memory->base[at], host->bytes[at]);
		if ((opened + released + i) % 3 == 0)
			CHECK(shows(host, memory));
		conform_give(memory);
	}
	order_of(released, order);
	for (int i = 0; i < KINDS; i++) {
		if ((opened + released) % 2)
			fl_image_release(images[order[i]]);
		else
			drop_image(host, images[order[i]]);
	}
	CHECK_EQ(fl_pool_trim(host->conform.pool, UINT64_MAX, NULL), 0);
}

static void run_orders(struct host *host)
{
	struct test_resources before;
	struct fl_image *image;

	record(host);
	image = must_open(host, FL_LOAD_WHOLE, FL_READ_DEFAULT, NULL);
	drop_image(host, host->image);
	host->image = image;
	test_resources(&before);
	for (int i = 0; i < 36 && !test_has_failed(); i++) {
		check_order(host, i / 6, i % 6);
		test_check_resources(&before);
	}
}

static void images_of_all_kinds_come_and_go(void)
{
	each_way(run_orders);
}

struct side {
	pthread_t thread;
	struct host *host;
	enum kind kind;
};

static void *side_run(void *arg)
{
	struct side *side = arg;
	struct host *host = side->host;

	for (int i = 0; i < 15 && !test_has_failed(); i++) {
		struct fl_image *image = open_kind(host, side->kind);
		struct fl_memory *memory =
			conform_take(&host->conform, image, 0);

		if (i % 3)
			CHECK(shows(host, memory));
		else
			CHECK_EQ(memory->base[(uint64_t)i * WPAGE],
				 host->bytes[(uint64_t)i * WPAGE]);
		memory->base[WPAGE] ^= 1;
		conform_give(memory);
		fl_image_release(image);
	}
	return NULL;
}

/* Two threads for each kind open, read and release; so the first image of the context
 * comes and the last one goes at any moment. */
static void run_sides(struct host *host)
{
	struct side sides[2 * KINDS];
	struct fl_image *image;

	record(host);
	image = must_open(host, FL_LOAD_WHOLE, FL_READ_DEFAULT, NULL);
	drop_image(host, host->image);
	host->image = image;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(sides); i++) {
		sides[i] = (struct side){ .host = host, .kind = i % KINDS };
		MUST_EQ(pthread_create(&sides[i].thread, NULL, side_run,
				       &sides[i]),
			0);
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(sides); i++)
		pthread_join(sides[i].thread, NULL);
}

static void images_of_all_kinds_at_once(void)
{
	each_way(run_sides);
}

/* What is the process's alone; memory files of images are not. */
static uint64_t own_bytes(void)
{
	return procfs_resident(NULL, (const void *)UINTPTR_MAX).private_bytes +
	       procfs_status_kib("HugetlbPages") * KIB;
}

/* Do buffers lie in large pages? Then one that is used takes 2 MiB. */
static bool has_large_pages(void)
{
	char text[64] = "[never]";
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);

	if (fd >= 0) {
		(void)!read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	return !strstr(text, "[never]");
}

static void run_buffers(struct host *host)
{
	struct procfs_footprint before, after;
	struct fl_image *others[3];
	struct fl_image *image;
	uint64_t own, most;

	/* What comes once stays: the first round is not counted. */
	read_all(host);
	image = must_open(host, FL_LOAD_WHOLE, FL_READ_DEFAULT, NULL);
	drop_image(host, host->image);
	host->image = image;
	read_all(host);
	own = own_bytes();
	before = procfs_footprint();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 3; i++)
			others[i] = open_kind(host, KIND_DIRECT);
		host->image = others[0];
		read_all(host);
		most = own_bytes();
		host->image = image;
		CHECK(most <= own + BUFFER_BYTES + TOLERANCE_BYTES);
		if (has_large_pages())
			CHECK(most >= own + TOLERANCE_BYTES);
		for (size_t i = 0; i < 3; i++)
			drop_image(host, others[i]);
		CHECK_EQ(fl_pool_trim(host->conform.pool, UINT64_MAX, NULL), 0);
		after = procfs_footprint();
		test_note("before %llu KiB, most %llu, after %llu",
			  (unsigned long long)(own / KIB),
			  (unsigned long long)(most / KIB),
			  (unsigned long long)(own_bytes() / KIB));
		CHECK(own_bytes() <= own + TOLERANCE_BYTES);
		CHECK(after.address_bytes <=
		      before.address_bytes + TOLERANCE_BYTES);
		CHECK_EQ(after.fds, before.fds);
	}
}

static void the_buffers_go_with_the_last_image(void)
{
	each_way(run_buffers);
}

static int child_lives(void *arg)
{
	struct host *host = arg;

	usleep(20000);
	fl_image_release(host->image);
	return 0;
}

/* The disk writes into memory of which a child has a copy from then on: the parent's
 * guests have the bytes all the same. */
static void run_fork(struct host *host)
{
	struct test_readers readers;
	pid_t children[12];

	record(host);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(children); i++) {
		reopen(host, FL_READ_DIRECT, i % 2 ? host->set_path : NULL);
		test_readers_start(&readers, host->conform.pool, host->image,
				   host->bytes, PAGES);
		usleep((useconds_t)i * 200);
		children[i] = test_spawn(child_lives, host, 10);
		CHECK_EQ(test_readers_end(&readers), 0);
		CHECK_EQ(loading_of(host->image).failed_loads, 0);
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(children); i++) {
		struct test_end end = test_wait(children[i]);

		CHECK_EQ(end.status, 0);
		CHECK_EQ(end.signo, 0);
	}
	reopen(host, FL_READ_DIRECT, NULL);
	read_all(host);
}

static void a_fork_while_pages_come(void)
{
	each_way(run_fork);
}

static const char *needs_buffers(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer keeps memory of its own" :
				     needs_direct();
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(images_of_all_kinds_come_and_go, needs_direct),
	TEST_CASE_NEEDS(images_of_all_kinds_at_once, needs_direct),
	TEST_CASE_NEEDS(the_buffers_go_with_the_last_image, needs_buffers),
	TEST_CASE_NEEDS(a_fork_while_pages_come, needs_direct),
};

CONFORM_MAIN(cases)
