/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation_marks.c - what tracking rests on, attacked: the write-protect
 * marks, the registration, and the image itself.
 *
 * Marks can be erased by whoever holds the userfaultfd (a forked child), opens
 * another one in the process, or may open its pagemap; a tenant's writes are
 * missed then. That nobody does is a precondition of release: the leak is
 * reported, not demanded. Demanded is that fl_memory_lend() makes it not
 * matter, that an audit finds it, and that no descriptor survives an exec. Losing
 * the registration, and anything done to an image's file, must not matter.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_host.h"
#include "tests/kit/child.h"
#include "tests/kit/procfs.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Of linux/fs.h since 6.7. */
struct marks_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask;
	uint64_t return_mask;
};
#define MARKS_SCAN _IOWR('f', 16, struct marks_scan)
#define MARKS_WP_MATCHING 1
#define MARKS_WRITTEN 2

/* ------------------------------------------------------------ erasing marks */

static bool erase_by_uffd(const struct tenant *tenant, int fd)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)tenant->base,
			   .len = tenant->length_bytes },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return fd >= 0 && !ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
}

static bool erase_by_pagemap(const struct tenant *tenant, int fd)
{
	struct marks_scan scan = {
		.size = sizeof(scan),
		.flags = MARKS_WP_MATCHING,
		.start = (uintptr_t)tenant->base,
		.end = (uintptr_t)tenant->base + tenant->length_bytes,
		.category_mask = MARKS_WRITTEN,
	};

	return fd >= 0 && ioctl(fd, MARKS_SCAN, &scan) >= 0;
}

static bool inherited_uffd(const struct tenant *tenant)
{
	return erase_by_uffd(tenant, procfs_find_fd("userfaultfd", 0));
}

static bool inherited_pagemap(const struct tenant *tenant)
{
	return erase_by_pagemap(tenant, procfs_find_fd("/pagemap", 0));
}

static bool foreign_pagemap(const struct tenant *tenant)
{
	return erase_by_pagemap(tenant, procfs_open_pagemap(getppid()));
}

static bool second_uffd(const struct tenant *tenant)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	int fd = (int)syscall(SYS_userfaultfd,
			      O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	bool is_erased = fd >= 0 && !ioctl(fd, UFFDIO_API, &api) &&
			 erase_by_uffd(tenant, fd);

	if (fd >= 0)
		close(fd);
	return is_erased;
}

struct eraser {
	const char *name;
	bool (*fn)(const struct tenant *tenant);
	bool is_child; /* acts in a forked child */
};

struct erasing {
	const struct eraser *eraser;
	const struct tenant *tenant;
};

static int erase_in_child(void *arg)
{
	const struct erasing *erasing = arg;

	return !erasing->eraser->fn(erasing->tenant);
}

static bool erase(const struct eraser *eraser, const struct tenant *tenant)
{
	struct erasing erasing = { eraser, tenant };

	if (!eraser->is_child)
		return eraser->fn(tenant);
	return !test_fork(erase_in_child, &erasing, 20).status;
}

/* Long enough for pages to be watched. */
static void warm(struct attack *attack)
{
	struct tenant tenant;

	for (int i = 0; i < 8; i++) {
		attack_begin(attack, &tenant, ATTACK_SMALL_IMAGE);
		attack_pick_run(&tenant, 100, 3);
		attack_pick_run(&tenant, 1000, 3);
		attack_write(&tenant);
		attack_end(&tenant);
	}
}

/* A writes pages that nobody has written before. */
static bool write_and_erase(struct attack *attack, struct tenant *tenant,
			    const struct eraser *eraser, bool is_lent)
{
	attack_begin(attack, tenant, ATTACK_SMALL_IMAGE);
	attack_check(tenant);
	if (is_lent)
		CHECK_EQ(fl_memory_lend(tenant->memory), 0);
	attack_pick_run(tenant, 200, 20);
	attack_pick_run(tenant, 700, 20);
	attack_pick(tenant, 1535);
	for (uint32_t i = 0; i < tenant->pick_count; i++)
		memset(attack_picked(tenant, i), 0xc1, conform_hpage());
	return erase(eraser, tenant);
}

static bool leaks(const struct eraser *eraser, bool is_lent, bool *is_erased)
{
	struct attack attack;
	struct tenant tenant;
	bool leaked;

	attack_open(&attack, FL_BOUNDS_GUARDED);
	warm(&attack);
	*is_erased = write_and_erase(&attack, &tenant, eraser, is_lent);
	attack_end(&tenant);
	attack_begin(&attack, &tenant, ATTACK_SMALL_IMAGE);
	leaked = attack_diff(&tenant) != MODEL_EQUAL;
	attack_end(&tenant);
	attack_close(&attack);
	return leaked;
}

static void erase_marks(const struct eraser *eraser)
{
	bool is_erased, leaked = leaks(eraser, false, &is_erased);

	test_note("%s: marks %s erased, the next tenant %s", eraser->name,
		  is_erased ? "are" : "are not",
		  leaked ? "sees the tenant before" : "sees its image");
	/* Who looks at nothing cannot be misled. */
	if (!attack_rung_tracks())
		CHECK(!leaked);
	CHECK(!leaks(eraser, true, &is_erased));
}

static const struct eraser by_inherited_uffd = {
	"a child with the inherited userfaultfd", inherited_uffd, true
};
static const struct eraser by_inherited_pagemap = {
	"a child with the inherited pagemap", inherited_pagemap, true
};
static const struct eraser by_foreign_pagemap = {
	"a process that opens our pagemap", foreign_pagemap, true
};
static const struct eraser by_second_uffd = { "a second userfaultfd",
					      second_uffd, false };

static void child_erases_by_uffd(void)
{
	erase_marks(&by_inherited_uffd);
}

static void child_erases_by_pagemap(void)
{
	erase_marks(&by_inherited_pagemap);
}

static void process_erases_by_pagemap(void)
{
	erase_marks(&by_foreign_pagemap);
}

static void second_uffd_erases(void)
{
	erase_marks(&by_second_uffd);
}

/* A slot that an audit finds unclean is never seen again; the pool goes on with
 * the others. */
static void audit_finds_erased_marks(void)
{
	struct fl_pool_config config;
	struct fl_pool_info info;
	struct attack attack;
	struct tenant tenant;
	uint8_t *base;
	int err;

	attack_pool_config(&config);
	config.max_memories = 2;
	config.audit_every = 1;
	attack_open_with(&attack, &config);
	warm(&attack);
	CHECK(conform_info(&attack.conform).audited >= 8 ||
	      !strcmp(test_rung->backend, "segmented"));
	write_and_erase(&attack, &tenant, &by_second_uffd, false);
	base = tenant.base;
	err = fl_memory_release(tenant.memory);
	info = conform_info(&attack.conform);
	CHECK(!err || err == -EIO);
	CHECK_EQ(info.retired_memories, !!err);
	CHECK_EQ(info.audit_failures, !!err);
	test_note("the release answers %s", err ? fl_strerror(err) : "0");
	for (int i = 0; i < 4; i++) {
		attack_begin(&attack, &tenant, ATTACK_SMALL_IMAGE);
		attack_check(&tenant);
		CHECK(!err || tenant.base != base);
		CHECK_EQ(fl_memory_release(tenant.memory), 0);
	}
	attack_close(&attack);
}

/* -------------------------------------------------- losing the registration */

static void do_unregister(struct tenant *tenant)
{
	struct uffdio_range range = {
		.start = (uintptr_t)tenant->base,
		.len = tenant->length_bytes,
	};
	int fd = procfs_find_fd("userfaultfd", 0);

	if (tenant->cycle % 2)
		attack_write(tenant);
	if (fd >= 0 && tenant->cycle % 3)
		tenant->attack->evidence +=
			!ioctl(fd, UFFDIO_UNREGISTER, &range);
	attack_write(tenant);
}

static void unregistered(void)
{
	attack_wants_evidence = attack_rung_tracks();
	attack_repeat(do_unregister);
	attack_wants_evidence = false;
}

/* Registered again by somebody else, whose marks are in the way then. */
static void do_register_again(struct tenant *tenant)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)tenant->base,
			   .len = tenant->length_bytes },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	int fd = procfs_find_fd("userfaultfd", 0);

	attack_write(tenant);
	if (fd >= 0 && tenant->cycle % 3) {
		if (tenant->cycle % 2)
			ioctl(fd, UFFDIO_UNREGISTER, &reg.range);
		ioctl(fd, UFFDIO_REGISTER, &reg);
	}
	if (tenant->cycle % 4 == 0)
		attack_write(tenant);
}

static void registered_again(void)
{
	attack_repeat(do_register_again);
}

/* ---------------------------------------------------------------- the image */

/* The library's own mapping of an image, which shares its pages with all. */
static uint8_t *image_mapping(unsigned int idx, uint64_t *len)
{
	return procfs_find_shared("memfd:faultline-image", idx, len);
}

/* Paged out, collapsed, dropped from the page tables: it stays what it is. */
static void do_disturb_image(struct tenant *tenant)
{
	static const int advice[] = { MADV_PAGEOUT, MADV_COLLAPSE,
				      MADV_DONTNEED, MADV_NOHUGEPAGE };

	if (tenant->cycle % 2)
		attack_write(tenant);
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t len = 0;
		uint8_t *at = image_mapping(i, &len);

		if (at)
			madvise(at, len, advice[tenant->cycle % 4]);
	}
	attack_write(tenant);
}

static void image_cache_disturbed(void)
{
	attack_repeat(do_disturb_image);
}

static bool refuses_all_seals(int fd)
{
	int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

	return CHECK_EQ(fcntl(fd, F_GET_SEALS) & wanted, wanted) &&
	       CHECK(fcntl(fd, F_ADD_SEALS, 0x0010) < 0);
}

static void attack_file(int fd, int other)
{
	static const uint8_t bytes[8192] = { 0xdd };
	off_t size = lseek(fd, 0, SEEK_END), at = 0;
	void *map;

	CHECK(pwrite(fd, bytes, sizeof(bytes), 0) < 0);
	CHECK(ftruncate(fd, 0) < 0);
	CHECK(ftruncate(fd, size - 4096) < 0);
	CHECK(ftruncate(fd, size + 4096) < 0);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 131072,
			65536) < 0);
	CHECK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 65536) < 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(sendfile(fd, other, &at, 8192) < 0);
	CHECK(copy_file_range(other, &at, fd, NULL, 4096, 0) < 0);
	map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map == MAP_FAILED);
	map = mmap(NULL, 65536, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return;
	CHECK(mprotect(map, 65536, PROT_READ | PROT_WRITE) < 0);
	CHECK(madvise(map, 65536, MADV_REMOVE) < 0);
	munmap(map, 65536);
}

/* Through the library's descriptor, through one opened anew, and through the
 * library's mapping. */
static void image_is_sealed(void)
{
	struct attack attack;
	struct tenant tenant;
	unsigned int n = 0;
	uint64_t len = 0;
	int fd, other = attack_file_open(0);

	attack_open(&attack, FL_BOUNDS_GUARDED);
	while ((fd = procfs_find_fd("memfd:faultline-image", n)) >= 0) {
		int again;

		refuses_all_seals(fd);
		attack_file(fd, other);
		again = procfs_reopen(fd, O_RDWR);
		if (again >= 0) {
			attack_file(again, other);
			close(again);
		}
		CHECK(procfs_reopen(fd, O_RDWR | O_TRUNC) < 0);
		if (image_mapping(n, &len))
			CHECK(mprotect(image_mapping(n, &len), len,
				       PROT_READ | PROT_WRITE) < 0);
		n++;
	}
	CHECK_EQ(n, strcmp(test_rung->backend, "linux") ? 0 : 2);
	for (int kind = 0; kind < ATTACK_KINDS; kind++) {
		attack_begin(&attack, &tenant, (enum attack_kind)kind);
		attack_check(&tenant);
		attack_end(&tenant);
	}
	attack_close(&attack);
	close(other);
}

/* ----------------------------------------------------------- what exec gets */

static void descriptors_end_at_exec(void)
{
	static const char *const names[] = { "userfaultfd", "pagemap",
					     "memfd:", "pressure" };
	struct attack attack;
	unsigned int found = 0;

	attack_open(&attack, FL_BOUNDS_GUARDED);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(names); i++) {
		int fd;

		for (unsigned int n = 0;
		     (fd = procfs_find_fd(names[i], n)) >= 0; n++) {
			CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
			found++;
		}
	}
	/* Two images, and what the rung needs. */
	if (!strcmp(test_rung->backend, "linux"))
		CHECK(found >=
		      2u + attack_rung_keeps_pages() + attack_rung_tracks());
	attack_close(&attack);
}

static const struct test_case cases[] = {
	TEST_CASE(child_erases_by_uffd),
	TEST_CASE(child_erases_by_pagemap),
	TEST_CASE(process_erases_by_pagemap),
	TEST_CASE(second_uffd_erases),
	TEST_CASE(audit_finds_erased_marks),
	TEST_CASE(unregistered),
	TEST_CASE(registered_again),
	TEST_CASE(image_cache_disturbed),
	TEST_CASE(image_is_sealed),
	TEST_CASE(descriptors_end_at_exec),
};

ATTACK_HOST_MAIN(cases, ATTACK_SWAP)
