/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * audit.c - a kernel that lies, and fl_pool_config.audit_every, which is
 * there to catch it.
 *
 * A lie is about one byte: a scan of a range around it finds nothing, or a
 * range around it is dropped with success and stays as it was, or it is compared
 * and found right. What the tenant
 * wrote there so survives the release. Each lie is told twice: without audits
 * the next tenant sees the byte, which shows that the lie works; with audits
 * the release answers -EIO, the slot is retired and never seen again.
 *
 * Then the other way round: without a lie audits are counted and never fail,
 * and memory of the process that is pinned empties the slot instead.
 *
 * Lies are told by the linker's --wrap, so this program must be linked with it
 * for every name in the list WRAPPED below, together with the library's objects
 * (not the shared library).
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_ring.h"
#include "tests/kit/clock.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/procfs.h"
#include "tests/kit/trap.h"

#include "uffd/kernel.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* WRAPPED: ioctl madvise mmap mmap64 fl__copy_back fl__copy_zeroes */

/* The byte that is lied about, 0: the truth. One thread tells lies. */
static struct {
	uint64_t addr;
	unsigned int told; /* how often, since the last lie began */
} lie;

static void lie_about(const void *addr)
{
	lie.addr = (uintptr_t)addr;
	if (addr)
		lie.told = 0;
}

static bool lies_about(uint64_t start, uint64_t end)
{
	if (!lie.addr || lie.addr < start || lie.addr >= end)
		return false;
	lie.told++;
	return true;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct fl__kernel_scan *scan;
	va_list args;

	va_start(args, request);
	scan = va_arg(args, void *);
	va_end(args);
	/* A scan that protects tells nothing, and has to be done. */
	if (request == FL_PAGEMAP_SCAN &&
	    !(scan->flags & FL_PM_SCAN_WP_MATCHING) &&
	    lies_about(scan->start, scan->end)) {
		scan->walk_end = scan->end;
		return 0;
	}
	return __real_ioctl(fd, request, scan);
}

int __real_madvise(void *addr, size_t len, int advice);
int __wrap_madvise(void *addr, size_t len, int advice);
int __wrap_madvise(void *addr, size_t len, int advice)
{
	uint64_t start = (uintptr_t)addr;

	if (advice == MADV_DONTNEED && lies_about(start, start + len))
		return 0;
	return __real_madvise(addr, len, advice);
}

/* Fresh memory over old: the portable way to drop. Taking a slot out of use is
 * the same without access, and not lied about. */
static bool is_discard(void *addr, size_t len, int prot, int flags)
{
	uint64_t start = (uintptr_t)addr;

	return flags & MAP_FIXED && flags & MAP_ANONYMOUS &&
	       prot & PROT_WRITE && lies_about(start, start + len);
}

#define WRAP_MMAP(name)                                                  \
	void *__real_##name(void *addr, size_t len, int prot, int flags, \
			    int fd, off_t off);                          \
	void *__wrap_##name(void *addr, size_t len, int prot, int flags, \
			    int fd, off_t off);                          \
	void *__wrap_##name(void *addr, size_t len, int prot, int flags, \
			    int fd, off_t off)                           \
	{                                                                \
		if (is_discard(addr, len, prot, flags))                  \
			return addr;                                     \
		return __real_##name(addr, len, prot, flags, fd, off);   \
	}                                                                \
	void *__wrap_##name(void *addr, size_t len, int prot, int flags, \
			    int fd, off_t off)

WRAP_MMAP(mmap);
WRAP_MMAP(mmap64);

/* Without a kernel that could lie, the comparison does. */
bool __real_fl__copy_back(void *at, const void *source, size_t len);
bool __wrap_fl__copy_back(void *at, const void *source, size_t len);
bool __wrap_fl__copy_back(void *at, const void *source, size_t len)
{
	if (lies_about((uintptr_t)at, (uintptr_t)at + len))
		return false;
	return __real_fl__copy_back(at, source, len);
}

bool __real_fl__copy_zeroes(void *at, size_t len);
bool __wrap_fl__copy_zeroes(void *at, size_t len);
bool __wrap_fl__copy_zeroes(void *at, size_t len)
{
	if (lies_about((uintptr_t)at, (uintptr_t)at + len))
		return false;
	return __real_fl__copy_zeroes(at, len);
}

/* --------------------------------------------------------------------- lies */

#define SECRET 0xe7
#define IMAGE_BYTES (32 * WPAGE)
#define DATA_OFF (8 * WPAGE)
#define DATA_BYTES (12 * WPAGE)
#define GROWN_WPAGES 16

/* What a tenant writes, and where its release is lied to. */
struct dirt {
	const char *what;
	int64_t off; /* of the page in question */
	uint32_t hpages; /* written from there on */
	bool grows; /* by GROWN_WPAGES before */
};

/* In the data, before and after it, at the end, in what was grown. */
static const struct dirt dirts[] = {
	{ "a page of data", DATA_OFF + 3 * WPAGE, 1, false },
	{ "the first page", 0, 1, false },
	{ "a page after the data", DATA_OFF + DATA_BYTES + WPAGE, 1, false },
	{ "the last page", IMAGE_BYTES - 4096, 1, false },
	{ "a long run of data", DATA_OFF + 2 * WPAGE, 96, false },
	{ "a long run of zeroes", DATA_OFF + DATA_BYTES + WPAGE, 96, false },
	{ "a grown page", IMAGE_BYTES + 5 * WPAGE, 1, true },
	{ "a long run of grown pages", IMAGE_BYTES + WPAGE, 96, true },
};

struct liar {
	struct conform conform;
	struct fl_image *image; /* NULL: zeroes */
	uint8_t *expected; /* the image, zeroes around it, 4 MiB in all */
};

static void liar_config(struct fl_pool_config *config, uint32_t audit_every)
{
	conform_pool_config(config);
	/* So few that no processor has a shelf: the tenancies before the lie are
	 * in one slot, wherever the thread runs. */
	config->max_warm_memories = 4;
	config->memory_alignment_bytes = 2 * MIB;
	config->audit_every = audit_every;
}

static void liar_open(struct liar *liar, const struct fl_pool_config *config,
		      bool has_image)
{
	memset(liar, 0, sizeof(*liar));
	conform_open(&liar->conform, config);
	liar->expected = calloc(1, 4 * MIB);
	MUST(liar->expected != NULL);
	if (!has_image)
		return;
	for (uint64_t i = 0; i < DATA_BYTES; i++)
		liar->expected[DATA_OFF + i] = (uint8_t)(i % 251 + i / 4096) |
					       1;
	liar->image = conform_image_of(&liar->conform, IMAGE_BYTES, DATA_OFF,
				       liar->expected + DATA_OFF, DATA_BYTES);
}

static void liar_close(struct liar *liar)
{
	fl_image_release(liar->image);
	free(liar->expected);
	conform_close(&liar->conform);
}

/* All that a tenant may see, what it can grow included. */
static bool shows_image(struct liar *liar, struct fl_memory *memory)
{
	uint64_t len = fl_memory_length(memory);

	if (len < 4 * MIB)
		CHECK_EQ(fl_memory_grow(memory, (4 * MIB - len) / WPAGE, NULL),
			 0);
	return !memcmp(memory->base, liar->expected, 4 * MIB);
}

static struct fl_memory *liar_take(struct liar *liar)
{
	return conform_take(&liar->conform, liar->image, IMAGE_BYTES);
}

static void dirt_write(const struct dirt *dirt, struct fl_memory *memory)
{
	uint64_t hpage = conform_hpage();

	if (dirt->grows)
		CHECK_EQ(fl_memory_grow(memory, GROWN_WPAGES, NULL), 0);
	for (uint32_t i = 0; i < dirt->hpages; i++)
		memory->base[dirt->off + (int64_t)(i * hpage) + 9] = SECRET;
}

/* Tenants that are not lied to: the page passes from unknown to watched, and
 * when they write it to often written. */
static void liar_warm(struct liar *liar, const struct dirt *dirt,
		      unsigned int tenancies)
{
	while (tenancies--) {
		struct fl_memory *memory = liar_take(liar);

		if (dirt)
			dirt_write(dirt, memory);
		else
			memory->base[17] = 1;
		conform_give(memory);
	}
}

/* One tenancy with its lie, and what its release said. */
static int liar_tell(struct liar *liar, const struct dirt *dirt, uint8_t **base)
{
	struct fl_memory *memory = liar_take(liar);
	int err;

	*base = memory->base;
	dirt_write(dirt, memory);
	lie_about(memory->base + dirt->off + 9);
	err = fl_memory_release(memory);
	lie_about(NULL);
	return err;
}

/* All slots but the retired one, and none more. */
static void check_others_are_clean(struct liar *liar, const uint8_t *retired)
{
	struct fl_memory *memories[4] = { NULL };
	struct fl_memory_config config;
	unsigned int n;

	for (int round = 0; round < 2; round++) {
		for (n = 0; n < 3; n++) {
			memories[n] = liar_take(liar);
			CHECK(memories[n]->base != retired);
			CHECK(shows_image(liar, memories[n]));
		}
		fl_memory_config_init(&config);
		CHECK_EQ(fl_memory_acquire(liar->conform.pool, &config,
					   &memories[n], NULL),
			 -EAGAIN);
		while (n)
			conform_give(memories[--n]);
	}
	CHECK(!fl_memory_find(liar->conform.pool, retired));
	CHECK(test_traps((uint8_t *)(uintptr_t)retired));
	CHECK(test_traps((uint8_t *)(uintptr_t)retired + IMAGE_BYTES - 1));
}

/* Was there something to lie about, and does the next tenant see it? */
static bool liar_can_lie(const struct dirt *dirt, bool has_image,
			 const struct dirt *warm, unsigned int tenancies)
{
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct liar liar;
	uint8_t *base;
	bool is_lie;

	liar_config(&config, 0);
	config.max_memories = 1;
	liar_open(&liar, &config, has_image);
	liar_warm(&liar, warm, tenancies);
	CHECK_EQ(liar_tell(&liar, dirt, &base), 0);
	/* What was grown may be taken out of use, as a whole slot is. */
	CHECK(lie.told > 0 ||
	      (dirt->grows && !strcmp(test_rung->how, "discard")));
	memory = liar_take(&liar);
	CHECK(memory->base == base);
	is_lie = !shows_image(&liar, memory);
	CHECK_EQ(is_lie, lie.told > 0);
	CHECK_EQ(conform_info(&liar.conform).audited, 0);
	conform_give(memory);
	liar_close(&liar);
	return is_lie;
}

static void check_lie_is_found(const struct dirt *dirt, bool has_image,
			       const struct dirt *warm, unsigned int tenancies)
{
	struct fl_pool_config config;
	struct fl_pool_info info;
	struct liar liar;
	uint8_t *base;
	int err;

	if (!liar_can_lie(dirt, has_image, warm, tenancies))
		return;
	liar_config(&config, 1);
	liar_open(&liar, &config, has_image);
	liar_warm(&liar, warm, tenancies);
	info = conform_info(&liar.conform);
	CHECK_EQ(info.audited, tenancies);
	CHECK_EQ(info.audit_failures, 0);
	CHECK_EQ(info.retired_memories, 0);
	err = liar_tell(&liar, dirt, &base);
	CHECK_EQ(err, -EIO);
	info = conform_info(&liar.conform);
	CHECK_EQ(info.audited, tenancies + 1);
	CHECK_EQ(info.audit_failures, 1);
	CHECK_EQ(info.audit_pins, 0);
	CHECK_EQ(info.retired_memories, 1);
	CHECK_EQ(info.live_memories, 0);
	CHECK_EQ(info.warm_memories, 0);
	if (err == -EIO)
		check_others_are_clean(&liar, base);
	else
		test_note("not found: %s, %s image, %u tenancies before",
			  dirt->what, has_image ? "an" : "no", tenancies);
	CHECK_EQ(conform_info(&liar.conform).audit_failures, 1);
	liar_close(&liar);
}

static void try_all_dirts(bool has_image)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(dirts); i++) {
		check_lie_is_found(&dirts[i], has_image, NULL, 0);
		check_lie_is_found(&dirts[i], has_image, NULL, 3);
		check_lie_is_found(&dirts[i], has_image, &dirts[i], 9);
	}
}

static void lies_over_an_image_are_found(void)
{
	try_all_dirts(true);
}

static void lies_without_an_image_are_found(void)
{
	try_all_dirts(false);
}

/* Where nothing is enforced a tenant can write beyond its size, and the next
 * one may grow there. */
static void lies_beyond_the_size_are_found(void)
{
	const struct dirt beyond = { "beyond the size", IMAGE_BYTES + 7 * WPAGE,
				     1, false };

	for (unsigned int tenancies = 0; tenancies < 4; tenancies += 3) {
		struct fl_pool_config config;
		struct liar liar;
		uint8_t *base;

		liar_config(&config, 1);
		config.bounds = FL_BOUNDS_ACCESSIBLE;
		liar_open(&liar, &config, tenancies > 0);
		liar_warm(&liar, NULL, tenancies);
		CHECK_EQ(liar_tell(&liar, &beyond, &base), -EIO);
		CHECK_EQ(conform_info(&liar.conform).audit_failures, 1);
		CHECK_EQ(conform_info(&liar.conform).retired_memories, 1);
		liar_close(&liar);
	}
}

/* A prefix so large that it is dropped. */
static void lies_about_a_prefix_are_found(void)
{
	const struct dirt prefix = { "the prefix", -(int64_t)WPAGE, 1, false };
	struct fl_pool_config config;
	struct liar liar;
	uint8_t *base;

	liar_config(&config, 1);
	config.prefix_bytes = 2 * WPAGE;
	liar_open(&liar, &config, true);
	liar_warm(&liar, NULL, 2);
	CHECK_EQ(liar_tell(&liar, &prefix, &base), -EIO);
	CHECK(lie.told > 0);
	CHECK_EQ(conform_info(&liar.conform).audit_failures, 1);
	CHECK_EQ(conform_info(&liar.conform).retired_memories, 1);
	liar_close(&liar);
}

/* Retired one after the other, until none is left: then nobody waits for a slot
 * that will never come. */
static void all_slots_are_retired(void)
{
	const struct dirt dirt = { "a page", 5 * WPAGE, 1, false };
	struct fl_memory_config memory_config;
	struct fl_pool_config config;
	struct fl_memory *memory = NULL;
	struct liar liar;
	uint8_t *base;

	liar_config(&config, 1);
	liar_open(&liar, &config, false);
	for (uint32_t i = 1; i <= 4; i++) {
		CHECK_EQ(liar_tell(&liar, &dirt, &base), -EIO);
		CHECK_EQ(conform_info(&liar.conform).retired_memories, i);
		CHECK_EQ(conform_info(&liar.conform).audit_failures, i);
	}
	fl_memory_config_init(&memory_config);
	memory_config.timeout_ns = UINT64_MAX;
	CHECK_EQ(fl_memory_acquire(liar.conform.pool, &memory_config, &memory,
				   NULL),
		 -EAGAIN);
	CHECK(!memory);
	CHECK_EQ(fl_pool_trim(liar.conform.pool, UINT64_MAX, NULL), 0);
	liar_close(&liar);
}

/* In place the tenant is told at once, has a memory without bytes until it gives
 * the memory back, and the slot is retired then. */
static void a_reset_in_place_says_so(void)
{
	const struct dirt dirt = { "a page", 5 * WPAGE, 1, false };
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct liar liar;
	uint8_t *base;

	liar_config(&config, 1);
	liar_open(&liar, &config, false);
	memory = liar_take(&liar);
	base = memory->base;
	dirt_write(&dirt, memory);
	lie_about(base + dirt.off + 9);
	CHECK_EQ(fl_memory_reset(memory), -EIO);
	lie_about(NULL);
	CHECK_EQ(fl_memory_length(memory), 0);
	CHECK(test_traps(base + dirt.off));
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
	CHECK_EQ(conform_info(&liar.conform).live_memories, 1);
	CHECK_EQ(fl_memory_release(memory), -EIO);
	CHECK_EQ(conform_info(&liar.conform).audit_failures, 1);
	CHECK_EQ(conform_info(&liar.conform).retired_memories, 1);
	check_others_are_clean(&liar, base);
	liar_close(&liar);
}

/* One memory of two is unclean: the release of the instance says so, and both
 * are given back. */
static void an_instance_says_so_too(void)
{
	const uint64_t mins[] = { 4, 4 };
	struct fl_instance *instance;
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 };

	liar_config(&config, 1);
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	wasm_header(&w);
	module_add_memories(&w, mins, 2);
	module = module_load(&conform, &w);
	for (uint32_t k = 0; k < 2; k++) {
		uint8_t *at;

		instance = instance_start(&conform, module);
		at = fl_instance_memory(instance, k)->base + 2 * WPAGE;
		*at = SECRET;
		lie_about(at);
		CHECK_EQ(fl_instance_release(instance), -EIO);
		lie_about(NULL);
		check_nothing_held(&conform);
		CHECK_EQ(conform_info(&conform).retired_memories, k + 1);
		CHECK_EQ(conform_info(&conform).audit_failures, k + 1);
	}
	instance = instance_start(&conform, module);
	for (uint32_t k = 0; k < 2; k++)
		conform_check_zero(fl_instance_memory(instance, k));
	instance_stop(instance);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &instance,
				     NULL),
		 0);
	instance_stop(instance);
	fl_module_release(module);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- sample */

static void every_fourth_is_audited(void)
{
	const struct dirt dirt = { "a page", 5 * WPAGE, 1, false };
	struct fl_pool_config config;
	struct liar liar;
	uint8_t *base;

	liar_config(&config, 4);
	liar_open(&liar, &config, false);
	for (uint64_t i = 1; i <= 23; i++) {
		liar_warm(&liar, NULL, 1);
		CHECK_EQ(conform_info(&liar.conform).audited, i / 4);
	}
	/* The 24th is lied to. */
	CHECK_EQ(liar_tell(&liar, &dirt, &base), -EIO);
	CHECK_EQ(conform_info(&liar.conform).audited, 6);
	CHECK_EQ(conform_info(&liar.conform).audit_failures, 1);
	check_others_are_clean(&liar, base);
	/* Six more of them; the next audit is of number 32. */
	CHECK_EQ(conform_info(&liar.conform).audited, 7);
	CHECK_EQ(conform_info(&liar.conform).audit_failures, 1);
	liar_close(&liar);
}

struct crew {
	struct conform *conform;
	struct fl_image *image;
};

#define CREW 4
#define CREW_ROUNDS 100

static void *crew_loop(void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < CREW_ROUNDS; i++) {
		struct fl_memory *memory = conform_take(
			crew->conform, i % 3 ? crew->image : NULL, 4 * WPAGE);

		memory->base[i * 100] = 7;
		conform_give(memory);
	}
	return NULL;
}

/* The n-th release counts, whoever makes it. */
static void several_threads_are_audited(void)
{
	struct fl_pool_config config;
	pthread_t threads[CREW];
	struct conform conform;
	struct crew crew = { .conform = &conform };

	liar_config(&config, 4);
	conform_open(&conform, &config);
	crew.image = conform_image_of(&conform, 4 * WPAGE, WPAGE, "crew", 4);
	for (int i = 0; i < CREW; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, crew_loop, &crew), 0);
	for (int i = 0; i < CREW; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(conform_info(&conform).audited, CREW * CREW_ROUNDS / 4);
	CHECK_EQ(conform_info(&conform).audit_failures, 0);
	CHECK_EQ(conform_info(&conform).retired_memories, 0);
	fl_image_release(crew.image);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- honest */

/* What attack.h has for hostile tenants serves for ordinary ones: random
 * writes, growth, long runs, switched images, each tenancy checked. */
static void honest_cycles(enum fl_bounds bounds, unsigned int cycles)
{
	struct fl_pool_config config;
	struct fl_pool_info info;
	struct attack attack;
	uint64_t audited = 0;

	attack_pool_config(&config);
	config.bounds = bounds;
	config.audit_every = 1;
	attack_open_with(&attack, &config);
	for (unsigned int i = 0; i < cycles && !test_has_failed(); i++) {
		enum attack_kind kind = i % 40 < 30 ? ATTACK_SMALL_IMAGE :
					i % 40 < 36 ? ATTACK_NO_IMAGE :
						      ATTACK_LARGE_IMAGE;
		struct tenant tenant;

		attack_begin(&attack, &tenant, kind);
		if (i % 10 == 0)
			attack_check(&tenant);
		if (i % 5 == 3)
			attack_grow(&tenant, 1 + i % 7);
		attack_pick_by_cycle(&tenant);
		attack_write(&tenant);
		attack_end(&tenant);
		audited++;
	}
	info = conform_info(&attack.conform);
	CHECK_EQ(info.audited, audited);
	CHECK_EQ(info.audit_failures, 0);
	CHECK_EQ(info.audit_pins, 0);
	CHECK_EQ(info.retired_memories, 0);
	attack_close(&attack);
}

static void honest_cycles_pass(void)
{
	honest_cycles(FL_BOUNDS_GUARDED, test_is_sanitized() ? 120 : 1000);
}

static void honest_cycles_pass_accessible(void)
{
	honest_cycles(FL_BOUNDS_ACCESSIBLE, test_is_sanitized() ? 40 : 200);
}

/* Whatever the backend, with an image. */
static void every_release_is_audited(void)
{
	struct fl_pool_config config;
	struct liar liar;

	liar_config(&config, 1);
	liar_open(&liar, &config, true);
	liar_warm(&liar, NULL, 5);
	CHECK_EQ(conform_info(&liar.conform).audited, 5);
	liar_close(&liar);
}

/* --------------------------------------------------------------------- pins */

static bool ring_pin(struct attack_ring *ring, void *addr, size_t len)
{
	struct iovec iov = { addr, len };

	return !attack_ring_register(ring, IORING_REGISTER_BUFFERS, &iov, 1);
}

static bool ring_unpin(struct attack_ring *ring)
{
	return !attack_ring_register(ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

/* The kernel may let go of them a little later. */
static void wait_unpinned(void)
{
	for (int i = 0; i < 2000 && procfs_status_kib("VmPin"); i++)
		test_sleep_ms(10);
	CHECK_EQ(procfs_status_kib("VmPin"), 0);
}

static const char *needs_pins(void)
{
	const char *reason = attack_needs_ring();
	struct attack_ring ring;
	static uint8_t bytes[65536];
	uint64_t kib;

	if (reason)
		return reason;
	if (!attack_ring_open(&ring))
		return "io_uring cannot be used";
	if (!ring_pin(&ring, bytes, sizeof(bytes)))
		reason = "a buffer cannot be registered (RLIMIT_MEMLOCK?)";
	kib = procfs_status_kib("VmPin");
	attack_ring_close(&ring);
	for (int i = 0; i < 2000 && procfs_status_kib("VmPin"); i++)
		test_sleep_ms(10);
	if (!reason && !kib)
		reason = "the kernel does not show pinned memory in VmPin";
	return reason;
}

/* Somebody has memory pinned: it may be the slot's. */
static void pinned_memory_empties_the_slot(void)
{
	static uint8_t bytes[65536];
	struct fl_pool_config config;
	struct attack_ring ring;
	struct fl_pool_info info;
	struct liar liar;

	liar_config(&config, 1);
	config.max_memories = 1;
	liar_open(&liar, &config, false);
	MUST(attack_ring_open(&ring));
	liar_warm(&liar, NULL, 3);
	info = conform_info(&liar.conform);
	CHECK_EQ(info.audit_pins, 0);
	CHECK_EQ(info.warm_memories, 1);
	MUST(ring_pin(&ring, bytes, sizeof(bytes)));
	for (uint64_t i = 1; i <= 3; i++) {
		liar_warm(&liar, NULL, 1);
		info = conform_info(&liar.conform);
		CHECK_EQ(info.audited, 3 + i);
		CHECK_EQ(info.audit_pins, i);
		CHECK_EQ(info.audit_failures, 0);
		CHECK_EQ(info.retired_memories, 0);
		CHECK_EQ(info.warm_memories, 0);
	}
	CHECK(ring_unpin(&ring));
	wait_unpinned();
	liar_warm(&liar, NULL, 2);
	info = conform_info(&liar.conform);
	CHECK_EQ(info.audited, 8);
	CHECK_EQ(info.audit_pins, 3);
	CHECK_EQ(info.warm_memories, 1);
	attack_ring_close(&ring);
	liar_close(&liar);
}

/* The memory itself is pinned over its release, undeclared: what is read into
 * the old pages then does not reach the next tenant. */
static void pinned_pages_leave_with_the_tenant(void)
{
	const struct attack_op op = { .opcode = IORING_OP_READ_FIXED,
				      .len = 4096,
				      .off = -1 };
	uint8_t secret[4096];

	memset(secret, SECRET, sizeof(secret));
	for (int round = 0; round < 3; round++) {
		struct fl_pool_config config;
		struct attack_ring ring;
		struct attack_op read_op = op;
		struct fl_memory *memory;
		struct liar liar;
		int ends[2];

		liar_config(&config, 1);
		config.max_memories = 1;
		liar_open(&liar, &config, false);
		MUST_EQ(pipe2(ends, O_CLOEXEC), 0);
		MUST(attack_ring_open(&ring));
		/* The page is new, watched, hot. */
		liar_warm(&liar, &dirts[0], (unsigned int)round * 5);
		memory = liar_take(&liar);
		dirt_write(&dirts[0], memory);
		read_op.addr = memory->base + dirts[0].off;
		read_op.fd = ends[0];
		MUST(ring_pin(&ring, read_op.addr, 4096));
		conform_give(memory);
		CHECK_EQ(conform_info(&liar.conform).audit_pins, 1);
		memory = liar_take(&liar);
		CHECK_EQ(write(ends[1], secret, 4096), 4096);
		CHECK_EQ(attack_ring_do(&ring, &read_op), 4096);
		CHECK(shows_image(&liar, memory));
		conform_give(memory);
		CHECK(ring_unpin(&ring));
		attack_ring_close(&ring);
		wait_unpinned();
		close(ends[0]);
		close(ends[1]);
		liar_close(&liar);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(lies_over_an_image_are_found),
	TEST_CASE(lies_without_an_image_are_found),
	TEST_CASE(lies_beyond_the_size_are_found),
	TEST_CASE(lies_about_a_prefix_are_found),
	TEST_CASE(all_slots_are_retired),
	TEST_CASE(a_reset_in_place_says_so),
	TEST_CASE(an_instance_says_so_too),
	TEST_CASE(every_fourth_is_audited),
	TEST_CASE(several_threads_are_audited),
	TEST_CASE(every_release_is_audited),
	TEST_CASE(honest_cycles_pass),
	TEST_CASE(honest_cycles_pass_accessible),
	TEST_CASE_NEEDS(pinned_memory_empties_the_slot, needs_pins),
	TEST_CASE_NEEDS(pinned_pages_leave_with_the_tenant, needs_pins),
};

CONFORM_MAIN(cases)
