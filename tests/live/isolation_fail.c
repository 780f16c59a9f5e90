/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation_fail.c - cleaning a slot fails half-way: the next tenant sees
 * image and zeroes nevertheless, or the slot is gone, and the pool goes on.
 *
 * In one half, the nth of the calls that touch memory fails, once or from there
 * on, for each n, between tenants that leave dirt of all kinds; in the other,
 * the kernel itself refuses a call for good, through a seccomp filter in a
 * child.
 *
 * The first half counts and fails calls through the linker's --wrap, for each
 * name in the list below; the program is linked with the library's objects.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/child.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* WRAPPED: mmap mmap64 mprotect madvise ioctl */

static struct {
	bool is_armed; /* count, and fail when due */
	bool is_sticky; /* all from fail_at on, not that one alone */
	uint64_t fail_at;
	uint64_t calls, failed;
} inject;

/* err 0: one of those that an ioctl() of ours may end with. */
static bool is_due(int err)
{
	static const int errs[] = { ENOMEM, EPERM, EINVAL, ENOENT };

	if (!inject.is_armed)
		return false;
	inject.calls++;
	if (inject.calls < inject.fail_at ||
	    (inject.calls > inject.fail_at && !inject.is_sticky))
		return false;
	errno = err ? err : errs[inject.fail_at % TEST_ARRAY_SIZE(errs)];
	inject.failed++;
	return true;
}

#define WRAP(result, name, ...)            \
	result __real_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__)

WRAP(void *, mmap, void *addr, size_t len, int prot, int flags, int fd,
     off_t off)
{
	return is_due(ENOMEM) ? MAP_FAILED :
				__real_mmap(addr, len, prot, flags, fd, off);
}

WRAP(void *, mmap64, void *addr, size_t len, int prot, int flags, int fd,
     off_t off)
{
	return is_due(ENOMEM) ? MAP_FAILED :
				__real_mmap64(addr, len, prot, flags, fd, off);
}

WRAP(int, mprotect, void *addr, size_t len, int prot)
{
	return is_due(ENOMEM) ? -1 : __real_mprotect(addr, len, prot);
}

WRAP(int, madvise, void *addr, size_t len, int advice)
{
	return is_due(EINVAL) ? -1 : __real_madvise(addr, len, advice);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	return is_due(0) ? -1 : __real_ioctl(fd, request, arg);
}

/* ------------------------------------------------------------- one tenancy */

static bool was_filtered;

/* What may be answered while calls fail. */
static bool is_allowed(int err)
{
	return !err || err == -ENOMEM || err == -EAGAIN || err == -EIO ||
	       err == -EPERM || err == -EINVAL || err == -ENOTSUP;
}

static bool try_begin(struct attack *attack, struct tenant *tenant)
{
	struct fl_memory_config config;
	bool was_armed = inject.is_armed;
	int err;

	memset(tenant, 0, sizeof(*tenant));
	tenant->attack = attack;
	tenant->cycle = attack->cycle++;
	tenant->kind = tenant->cycle % 5 == 4 ? ATTACK_LARGE_IMAGE :
						ATTACK_SMALL_IMAGE;
	fl_memory_config_init(&config);
	config.image = attack->images[tenant->kind];
	err = fl_memory_acquire(attack->conform.pool, &config, &tenant->memory,
				NULL);
	CHECK(is_allowed(err));
	if (err)
		return false;
	tenant->base = tenant->memory->base;
	tenant->length_bytes = fl_memory_length(tenant->memory);
	inject.is_armed = false;
	attack_check(tenant);
	inject.is_armed = was_armed;
	return true;
}

static bool one_tenancy(struct attack *attack)
{
	struct tenant tenant;
	int err;

	if (!try_begin(attack, &tenant))
		return false;
	if (tenant.cycle % 3 == 1) {
		err = fl_memory_grow(tenant.memory, 9, NULL);
		CHECK(!err || err == -ENOMEM);
		tenant.length_bytes = fl_memory_length(tenant.memory);
	}
	attack_pick_by_cycle(&tenant);
	memset(tenant.base - ATTACK_PREFIX_BYTES, 0xee, ATTACK_PREFIX_BYTES);
	if (tenant.cycle % 7 == 6)
		memset(tenant.base, 0x6d, tenant.length_bytes);
	attack_write(&tenant);
	/* A slot that could be neither cleaned nor emptied is retired. */
	err = fl_memory_release(tenant.memory);
	CHECK(!err || err == -ENOMEM);
	return true;
}

/* Every slot that is left, as far as it can be seen. */
static void check_all(struct attack *attack)
{
	struct fl_pool_info info = conform_info(&attack->conform);
	uint32_t left = info.max_memories - info.retired_memories;
	struct tenant tenants[2];

	CHECK_EQ(info.live_memories, 0);
	for (uint32_t i = 0; i < left; i++) {
		attack_begin(attack, &tenants[i], ATTACK_NO_IMAGE);
		attack_grow(&tenants[i], ATTACK_MAX_BYTES / WPAGE);
		attack_check(&tenants[i]);
	}
	while (left--)
		CHECK_EQ(fl_memory_release(tenants[left].memory), 0);
}

static void fail_open(struct attack *attack)
{
	struct fl_pool_config config;

	attack_pool_config(&config);
	config.max_memories = 2;
	config.strategy = FL_STRATEGY_NEXT_AVAILABLE;
	attack_open_with(attack, &config);
}

/* ----------------------------------------------------------- nth call fails */

/* True as long as there was a call to fail. */
static bool fail_nth(struct attack *attack, uint64_t nth, unsigned int warm,
		     bool is_sticky)
{
	while (warm--)
		CHECK(one_tenancy(attack));
	memset(&inject, 0, sizeof(inject));
	inject.fail_at = nth;
	inject.is_sticky = is_sticky;
	inject.is_armed = true;
	for (int i = 0; i < 5; i++)
		one_tenancy(attack);
	inject.is_armed = false;
	for (int i = 0; i < 2; i++)
		one_tenancy(attack);
	check_all(attack);
	return inject.failed;
}

static unsigned int retired_in(const struct attack *attack)
{
	return conform_info(&attack->conform).retired_memories;
}

static void run_nth(bool is_sticky)
{
	static const unsigned int warms[] = { 1, 9 };
	size_t count = attack_rung_keeps_pages() ? 2 : 1;
	unsigned int failed = 0, retired = 0;

	for (size_t i = 0; i < count; i++) {
		struct attack attack;
		uint64_t nth = 0;
		bool go_on = true;

		fail_open(&attack);
		while (go_on && ++nth < 300 && !test_has_failed()) {
			go_on = fail_nth(&attack, nth, warms[i], is_sticky);
			failed += go_on;
			if (test_has_failed())
				test_note("call %ju failed, after %u tenancies",
					  (uintmax_t)nth, warms[i]);
			if (!retired_in(&attack))
				continue;
			retired += retired_in(&attack);
			attack_close(&attack);
			fail_open(&attack);
		}
		attack_close(&attack);
	}
	test_note("%u calls failed, %u slots were retired", failed, retired);
	CHECK(failed > 8);
}

static void nth_call_fails(void)
{
	run_nth(false);
}

static void all_fail_from_the_nth_on(void)
{
	run_nth(true);
}

/* ------------------------------------------------------------------ seccomp */

#define REQUEST_ANY 0
#define REQUEST_SCAN 0xc0606610u /* PAGEMAP_SCAN */
#define REQUEST_REGISTER 0xc020aa00u /* UFFDIO_REGISTER */
#define REQUEST_PROTECT 0xc018aa06u /* UFFDIO_WRITEPROTECT */

struct refusal {
	const char *name;
	int numbers[3]; /* system calls, 0: no more */
	uint32_t request; /* of ioctl() */
	int err;
	/* A slot can still be mapped anew: nothing may be lost. */
	bool can_renew;
};

static const struct refusal refusals[] = {
	{ "PAGEMAP_SCAN", { SYS_ioctl }, REQUEST_SCAN, EPERM, true },
	{ "PAGEMAP_SCAN", { SYS_ioctl }, REQUEST_SCAN, ENOMEM, true },
	{ "UFFDIO_WRITEPROTECT", { SYS_ioctl }, REQUEST_PROTECT, ENOENT, true },
	{ "UFFDIO_WRITEPROTECT", { SYS_ioctl }, REQUEST_PROTECT, EPERM, true },
	{ "UFFDIO_REGISTER", { SYS_ioctl }, REQUEST_REGISTER, ENOMEM, true },
	{ "UFFDIO_REGISTER", { SYS_ioctl }, REQUEST_REGISTER, EPERM, true },
	{ "ioctl", { SYS_ioctl }, REQUEST_ANY, EINVAL, true },
	{ "madvise", { SYS_madvise }, REQUEST_ANY, EINVAL, true },
	{ "madvise and ioctl", { SYS_madvise, SYS_ioctl }, 0, ENOMEM, true },
	{ "mprotect", { SYS_mprotect }, REQUEST_ANY, ENOMEM, false },
	{ "mmap", { SYS_mmap }, REQUEST_ANY, ENOMEM, false },
	{ "mmap and ioctl", { SYS_mmap, SYS_ioctl }, 0, EPERM, false },
	{ "mmap and madvise", { SYS_mmap, SYS_madvise }, 0, EPERM, false },
	{ "mmap, mprotect and ioctl",
	  { SYS_mmap, SYS_mprotect, SYS_ioctl },
	  0,
	  ENOMEM,
	  false },
};

#define LOAD(field)                        \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
		 (unsigned int)offsetof(struct seccomp_data, field))
#define EQUAL(value, yes, no) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)(value), yes, no)
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))

/* Requests of ioctl() are compared as 32 bits, as the kernel takes them. */
static bool refuse(const struct refusal *refusal)
{
	const unsigned int answer = SECCOMP_RET_ERRNO |
				    (unsigned int)refusal->err;
	struct sock_filter code[16] = { LOAD(nr) };
	struct sock_fprog program = { .len = 1, .filter = code };

	for (int i = 0; i < 3 && refusal->numbers[i]; i++) {
		struct sock_filter part[] = {
			EQUAL(refusal->numbers[i], 0, 1),
			ANSWER(answer),
		};

		if (refusal->request) {
			struct sock_filter one[] = {
				EQUAL(refusal->numbers[i], 0, 3),
				LOAD(args[1]),
				EQUAL(refusal->request, 0, 1),
				ANSWER(answer),
			};

			memcpy(code + program.len, one, sizeof(one));
			program.len += 4;
			continue;
		}
		memcpy(code + program.len, part, sizeof(part));
		program.len += 2;
	}
	code[program.len++] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

struct refused {
	const struct refusal *refusal;
	unsigned int warm;
};

/* The filter stays; so the child lives on with what it has. */
static int child_refused(void *arg)
{
	const struct refused *refused = arg;
	unsigned int done = 0;
	struct attack attack;

	fail_open(&attack);
	for (unsigned int i = 0; i < refused->warm; i++)
		MUST(one_tenancy(&attack));
	MUST(refuse(refused->refusal));
	for (int i = 0; i < 8; i++)
		done += one_tenancy(&attack);
	if (refused->refusal->can_renew) {
		CHECK_EQ(done, 8);
		CHECK_EQ(conform_info(&attack.conform).retired_memories, 0);
	}
	CHECK_EQ(conform_info(&attack.conform).live_memories, 0);
	CHECK_EQ(fl_pool_destroy(attack.conform.pool), 0);
	return 0;
}

static void kernel_refuses(void)
{
	static const unsigned int warms[] = { 1, 0, 10 };
	size_t count = attack_rung_keeps_pages() ? 3 : 1;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(refusals); i++) {
		for (size_t k = 0; k < count; k++) {
			struct refused refused = { &refusals[i], warms[k] };
			struct test_end end =
				test_fork(child_refused, &refused, 30);

			CHECK_EQ(end.signo, 0);
			if (!CHECK_EQ(end.status, 0))
				test_note("%s answers %s, after %u tenancies",
					  refusals[i].name,
					  strerror(refusals[i].err), warms[k]);
		}
	}
}

static int child_filters(void *arg)
{
	return !refuse(arg);
}

static const char *needs_seccomp(void)
{
	struct refusal copy = refusals[0];
	struct test_end end;

	if (was_filtered)
		return NULL;
	if (test_is_sanitized())
		return TEST_NOT_BUILT "a sanitizer makes system calls itself";
	end = test_fork(child_filters, &copy, 10);
	was_filtered = !end.status && !end.signo;
	return was_filtered ? NULL : "seccomp filters cannot be installed here";
}

static const struct test_case cases[] = {
	TEST_CASE(nth_call_fails),
	TEST_CASE(all_fail_from_the_nth_on),
	TEST_CASE_NEEDS(kernel_refuses, needs_seccomp),
};

CONFORM_MAIN(cases)
