/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation_fork.c - forked children, and writes that come from another
 * process: the next tenant sees image and zeroes, whoever copied or wrote first.
 *
 * A forked child shares every page of a slot until one of the two writes, and
 * may live on while the slot changes tenants. Another process writes into a
 * guest's memory through ptrace, process_vm_writev() or its memory file, the
 * last also where the guest itself may not.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/procfs.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define SECRET 0xb5

static const char *needs_fork(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer does not take to forks" :
				     NULL;
}

static void run_child(int (*fn)(void *arg), struct tenant *tenant)
{
	CHECK_EQ(test_fork(fn, tenant, 20).status, 0);
}

/* ----------------------------------------------------------------- children */

/* Children that do their part and end before the release. */
static int child_ends(void *arg)
{
	(void)arg;
	return 0;
}

static int child_writes(void *arg)
{
	attack_write(arg);
	return 0;
}

static void do_fork_dead(struct tenant *tenant)
{
	if (tenant->cycle % 2)
		attack_write(tenant);
	run_child(child_ends, tenant);
	attack_write(tenant);
}

static void child_dead(void)
{
	attack_repeat(do_fork_dead);
}

static void do_fork_child_first(struct tenant *tenant)
{
	if (tenant->cycle % 2)
		attack_write(tenant);
	run_child(child_writes, tenant);
	attack_write(tenant);
}

static void child_writes_first(void)
{
	attack_repeat(do_fork_child_first);
}

/* The one that lives over the release of the tenancy that made it. */
static pid_t living = -1;

static void living_end(void)
{
	if (living > 0)
		test_kill(living);
	living = -1;
}

/* It looks at, and writes, its own copy all the time. */
static int living_run(void *arg)
{
	const struct tenant *tenant = arg;

	for (unsigned int i = 0; i < 60000; i++) {
		for (uint32_t k = 0; k < tenant->pick_count; k++)
			attack_picked(tenant, k)[i % 64]++;
		test_sleep_ms(1);
	}
	return 0;
}

static void living_begin(struct tenant *tenant)
{
	living_end();
	living = test_spawn(living_run, tenant, 60);
}

static void do_fork_alive(struct tenant *tenant)
{
	if (tenant->cycle % 2)
		attack_write(tenant);
	if (tenant->cycle % 3 == 0)
		living_begin(tenant);
	if (tenant->cycle % 4)
		attack_write(tenant);
}

/* Parent first: it writes while the child still waits. */
static void child_alive(void)
{
	attack_repeat(do_fork_alive);
	living_end();
}

/* Shares the address space: what it writes is the parent's. */
static void do_vfork(struct tenant *tenant)
{
	pid_t child = vfork();

	if (!child) {
		for (uint32_t i = 0; i < tenant->pick_count; i++)
			*(volatile uint8_t *)(attack_picked(tenant, i) + i) ^=
				SECRET;
		_exit(0);
	}
	CHECK_EQ(test_wait(child).status, 0);
}

static void vforked_child_writes(void)
{
	attack_repeat(do_vfork);
}

/* --------------------------------------------------- written from elsewhere */

static struct iovec pick_iov(const struct tenant *tenant, uint32_t idx)
{
	return (struct iovec){ attack_picked(tenant, idx) + idx * 3, 1000 };
}

/* The child knows the addresses; it writes to the parent's memory. */
static int write_to_parent(void *arg)
{
	const struct tenant *tenant = arg;
	uint8_t bytes[1000];
	struct iovec local = { bytes, sizeof(bytes) };

	memset(bytes, SECRET, sizeof(bytes));
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		struct iovec remote = pick_iov(tenant, i);

		if (process_vm_writev(getppid(), &local, 1, &remote, 1, 0) !=
		    (ssize_t)sizeof(bytes))
			return errno;
	}
	return 0;
}

static void do_vm_writev(struct tenant *tenant)
{
	run_child(write_to_parent, tenant);
}

static int poke_parent(void *arg)
{
	const struct tenant *tenant = arg;
	pid_t parent = getppid();
	int err = 0;

	if (ptrace(PTRACE_ATTACH, parent, NULL, NULL))
		return errno;
	test_wait_stopped(parent);
	for (uint32_t i = 0; i < tenant->pick_count && !err; i++) {
		if (ptrace(PTRACE_POKEDATA, parent,
			   attack_picked(tenant, i) + 8 * i,
			   (void *)(uintptr_t)0xb5b5b5b5b5b5b5b5u))
			err = errno;
	}
	ptrace(PTRACE_DETACH, parent, NULL, NULL);
	return err;
}

static void do_poke(struct tenant *tenant)
{
	run_child(poke_parent, tenant);
}

static const char *child_may(int (*fn)(void *arg))
{
	static uint8_t memory[8192];
	struct tenant none = { .base = memory, .pick_count = 1 };

	if (needs_fork())
		return needs_fork();
	/* Where Yama restricts it, children may. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	return test_fork(fn, &none, 20).status ?
		       "other processes may not write to this one's memory" :
		       NULL;
}

static const char *needs_vm_writev(void)
{
	return child_may(write_to_parent);
}

static const char *needs_poke(void)
{
	return child_may(poke_parent);
}

static void process_vm_writev_from_a_child(void)
{
	attack_repeat(do_vm_writev);
}

static void ptrace_poke(void)
{
	attack_repeat(do_poke);
}

static void mem_write(struct tenant *tenant, int fd)
{
	uint8_t bytes[600];

	memset(bytes, SECRET, sizeof(bytes));
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint8_t *at = attack_picked(tenant, i) + 11;

		CHECK_EQ(pwrite(fd, bytes, sizeof(bytes), (off_t)(uintptr_t)at),
			 sizeof(bytes));
	}
}

/* It writes where the guest may not, too. */
static void do_proc_mem(struct tenant *tenant)
{
	static const int prots[] = { PROT_READ | PROT_WRITE, PROT_READ,
				     PROT_NONE };
	int prot = prots[tenant->cycle % 3];
	int fd = procfs_open_memory();

	MUST(fd >= 0);
	CHECK(!mprotect(tenant->base, tenant->length_bytes, prot));
	mem_write(tenant, fd);
	CHECK(!mprotect(tenant->base, tenant->length_bytes,
			PROT_READ | PROT_WRITE));
	close(fd);
}

static const char *needs_proc_mem(void)
{
	static const uint8_t here = 1;
	uint8_t byte = 2;
	int fd = procfs_open_memory();
	bool can = fd >= 0 &&
		   pwrite(fd, &byte, 1, (off_t)(uintptr_t)&here) == 1;

	if (fd >= 0)
		close(fd);
	return can ? NULL :
		     "a process's memory file does not write where the process may not";
}

static void proc_self_mem(void)
{
	attack_repeat(do_proc_mem);
}

/* ----------------------------------------------------------- a pool's child */

struct forked {
	struct attack *attack;
	struct tenant *tenant;
};

/* The parent's slot is not the child's to clean. */
static int child_calls(void *arg)
{
	struct forked *forked = arg;
	struct fl_pool *pool = forked->attack->conform.pool;
	struct fl_memory *memory = NULL;
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	CHECK_EQ(fl_memory_release(forked->tenant->memory), -ECHILD);
	CHECK_EQ(fl_memory_lend(forked->tenant->memory), -ECHILD);
	CHECK_EQ(fl_memory_acquire(pool, &config, &memory, NULL), -ECHILD);
	CHECK(memory == NULL);
	CHECK_EQ(fl_pool_trim(pool, 1, NULL), -ECHILD);
	CHECK_EQ(fl_pool_destroy(pool), -ECHILD);
	/* Its own copy is its own. */
	memset(forked->tenant->base, 0x99, forked->tenant->length_bytes);
	return 0;
}

static void child_calls_are_refused(void)
{
	struct attack attack;
	struct tenant tenant;
	struct forked forked = { &attack, &tenant };

	attack_open(&attack, FL_BOUNDS_GUARDED);
	for (unsigned int i = 0; i < 8 && !test_has_failed(); i++) {
		struct test_end end;

		attack_begin(&attack, &tenant, ATTACK_SMALL_IMAGE);
		attack_check(&tenant);
		attack_pick_by_cycle(&tenant);
		attack_write(&tenant);
		end = test_fork(child_calls, &forked, 20);
		CHECK_EQ(end.status, 0);
		attack_end(&tenant);
	}
	attack_close(&attack);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(child_dead, needs_fork),
	TEST_CASE_NEEDS(child_writes_first, needs_fork),
	TEST_CASE_NEEDS(child_alive, needs_fork),
	TEST_CASE_NEEDS(vforked_child_writes, needs_fork),
	TEST_CASE_NEEDS(process_vm_writev_from_a_child, needs_vm_writev),
	TEST_CASE_NEEDS(ptrace_poke, needs_poke),
	TEST_CASE_NEEDS(proc_self_mem, needs_proc_mem),
	TEST_CASE_NEEDS(child_calls_are_refused, needs_fork),
};

CONFORM_MAIN(cases)
