/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guest.c - what wasm2c made of guest.wat, run through the adapter, on Windows and
 * elsewhere.
 *
 *	guest run FOLDER		memory, traps, growth, clean slots
 *	guest make FOLDER NAME		captures an instance in NAME.guest, and puts a
 *					clone of it to sleep in NAME.sleep
 *	guest wake FOLDER NAME		wakes what another system made
 *
 * FOLDER has guest.wasm. The host's handler of faults asks fl_fault_lookup(). On
 * Windows the handler is a vectored one. It does not jump out of the handler, which
 * the system does not allow for; it lets the thread go on in a function that traps.
 *
 * wasm-rt-impl.c is compiled with WASM_RT_SKIP_SIGNAL_RECOVERY, so that it has no
 * handler of its own, and with WASM_RT_TRAP_HANDLER=guest_trap. Ends with "N passed,
 * N failed, N skipped".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <signal.h>
#endif

#include <faultline-wasm2c.h>

#include "guest.h"

#define PATH_BYTES 1000

extern const struct fl_wasm2c_layout Z_guest_layout;

static struct {
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_module *module;
	struct fl_fault fault; /* the last one that was a trap */
	wasm_rt_trap_t trap;
	void *target[5];
	unsigned int passed, failed;
	const char *folder, *name;
} at;

static void check(int is_good, const char *what)
{
	if (is_good)
		at.passed++;
	else
		at.failed++;
	if (!is_good)
		printf("FAILED: %s\n", what);
}

static void must(int err, const struct fl_error *error, const char *what)
{
	if (!err)
		return;
	printf("FAILED: %s: %d, %s\n", what, err, error->text);
	printf("%u passed, %u failed, 0 skipped\n", at.passed, at.failed + 1);
	exit(1);
}

/* --------------------------------------------------------------------- traps */

/* wasm-rt's way out of a guest. No frame in between has anything to unwind. */
void guest_trap(wasm_rt_trap_t trap)
{
	at.trap = trap;
	__builtin_longjmp(at.target, 1);
}

#ifdef _WIN32
static void trap_here(void)
{
	wasm_rt_trap(WASM_RT_TRAP_OOB);
}

static LONG CALLBACK on_fault(EXCEPTION_POINTERS *info)
{
	const EXCEPTION_RECORD *record = info->ExceptionRecord;
	CONTEXT *thread = info->ContextRecord;

	if (record->ExceptionCode != EXCEPTION_ACCESS_VIOLATION ||
	    !fl_fault_lookup(at.context,
			     (const void *)record->ExceptionInformation[1],
			     &at.fault) ||
	    !at.fault.is_trap)
		return EXCEPTION_CONTINUE_SEARCH;
	/* As after a call: below what the guest's frame may use. */
	thread->Rsp = ((thread->Rsp - 256) & ~(DWORD64)15) - 8;
	thread->Rip = (DWORD64)(uintptr_t)trap_here;
	return EXCEPTION_CONTINUE_EXECUTION;
}

static void handle_faults(void)
{
	check(AddVectoredExceptionHandler(1, on_fault) != NULL,
	      "a vectored handler");
}
#else
static void on_fault(int sig, siginfo_t *info, void *thread)
{
	(void)thread;
	if (fl_fault_lookup(at.context, info->si_addr, &at.fault) &&
	    at.fault.is_trap)
		wasm_rt_trap(WASM_RT_TRAP_OOB);
	signal(sig, SIG_DFL);
}

static void handle_faults(void)
{
	struct sigaction action = { .sa_sigaction = on_fault,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };

	check(!sigaction(SIGSEGV, &action, NULL), "a handler");
}
#endif

static __attribute__((noinline)) wasm_rt_trap_t
peek(Z_guest_instance_t *guest, uint32_t off, uint32_t *byte)
{
	at.trap = WASM_RT_TRAP_NONE;
#if WASM_RT_USE_STACK_DEPTH_COUNT
	wasm_rt_call_stack_depth = 0;
#endif
	if (!__builtin_setjmp(at.target))
		*byte = Z_guestZ_peek(guest, off);
	return at.trap;
}

static __attribute__((noinline)) wasm_rt_trap_t
peek_far(Z_guest_instance_t *guest)
{
	at.trap = WASM_RT_TRAP_NONE;
	if (!__builtin_setjmp(at.target))
		(void)Z_guestZ_far(guest, UINT32_MAX - 8);
	return at.trap;
}

/* --------------------------------------------------------------------- world */

static const char *path(const char *name, const char *suffix)
{
	static char text[PATH_BYTES];

	snprintf(text, sizeof(text), "%s/%s.%s", at.folder, name, suffix);
	return text;
}

static void *read_file(const char *name, size_t *length)
{
	uint8_t *bytes = malloc(1 << 20);
	FILE *file = fopen(name, "rb");

	*length = bytes && file ? fread(bytes, 1, 1 << 20, file) : 0;
	if (file)
		fclose(file);
	check(*length > 0, name);
	return bytes;
}

static void open_world(void)
{
	struct fl_module_config module = FL_MODULE_CONFIG_INIT;
	struct fl_pool_config pool = FL_POOL_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	size_t length;
	void *bytes = read_file(path("guest", "wasm"), &length);

	must(fl_context_create(NULL, &at.context, &error), &error, "a context");
	module.bytes = bytes;
	module.length_bytes = length;
	must(fl_module_load(at.context, &module, &at.module, &error), &error,
	     "the module");
	free(bytes);
	pool.max_instances = 0;
	pool.max_memories = 2;
	must(fl_pool_create(at.context, &pool, &at.pool, &error), &error,
	     "a pool");
	wasm_rt_init();
	Z_guest_init_module();
}

static void close_world(void)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(at.pool, &info);
	check(!info.live_memories && !info.retired_memories,
	      "nothing lives on");
	fl_module_release(at.module);
	check(!fl_pool_destroy(at.pool), "the pool goes");
	fl_context_destroy(at.context);
}

static void start(Z_guest_instance_t *guest)
{
	struct fl_error error = { .text = "" };
	struct fl_wasm2c_batch batch;

	memset(guest, 0, sizeof(*guest));
	must(fl_wasm2c_begin(&batch, at.pool, at.module, guest, sizeof(*guest),
			     0, &error),
	     &error, "an instance");
	Z_guest_instantiate(guest);
	must(fl_wasm2c_end(&batch), &batch.error, "what the batch had");
	check(fl_wasm2c_memory(Z_guestZ_memory(guest)) != NULL,
	      "the memory is the pool's");
}

/* ---------------------------------------------------------------------- verbs */

static void check_traps(Z_guest_instance_t *guest)
{
	uint32_t byte = 0;

	check(peek(guest, 65536, &byte) == WASM_RT_TRAP_OOB,
	      "the first byte behind the memory traps");
	check(at.fault.kind == FL_FAULT_OUT_OF_BOUNDS &&
		      at.fault.offset_bytes == 65536 &&
		      at.fault.memory ==
			      fl_wasm2c_memory(Z_guestZ_memory(guest)),
	      "the lookup says where");
	check(peek_far(guest) == WASM_RT_TRAP_OOB, "the farthest byte traps");
	check(Z_guestZ_grow(guest, 1) == 1, "growth");
	check(peek(guest, 65536, &byte) == WASM_RT_TRAP_NONE && byte == 0,
	      "a grown byte");
	check(peek(guest, 131072, &byte) == WASM_RT_TRAP_OOB,
	      "the first byte behind the grown memory traps");
	check(Z_guestZ_grow(guest, 2) == UINT32_MAX, "growth past the maximum");
}

static void run(void)
{
	Z_guest_instance_t guest;
	uint32_t byte = 0;

	for (uint32_t i = 0; i < 20; i++) {
		start(&guest);
		check(peek(&guest, 8, &byte) == WASM_RT_TRAP_NONE &&
			      byte == 'f',
		      "the memory has the module's data");
		for (uint32_t k = 0; k < 65536; k += 997) {
			check(peek(&guest, k, &byte) == WASM_RT_TRAP_NONE &&
				      byte == 0,
			      "the slot is clean");
			Z_guestZ_poke(&guest, k, 0xee);
		}
		check_traps(&guest);
		check(Z_guestZ_call(&guest, 0) == 7, "a call by the table");
		check(Z_guestZ_call(&guest, 1) == 6, "the guest's global");
		Z_guest_free(&guest);
	}
}

/* Step 0 is captured, step 1 sleeps. */
static void take_step(Z_guest_instance_t *guest, uint32_t step)
{
	check(Z_guestZ_grow(guest, 1) == 1 + step, "growth");
	Z_guestZ_poke(guest, 65536 * (step + 1) + 77, 0x21 + step);
	Z_guestZ_poke(guest, 100 + step, 0x41 + step);
	check(Z_guestZ_call(guest, 1) == 6 + step, "the guest counts");
	if (step)
		Z_guestZ_swap(guest);
}

static void check_guest(Z_guest_instance_t *guest, uint32_t steps)
{
	uint32_t byte = 0;

	check(Z_guestZ_memory(guest)->pages == 1 + steps, "the size");
	check(peek(guest, 8, &byte) == WASM_RT_TRAP_NONE && byte == 'f',
	      "the module's data");
	for (uint32_t step = 0; step < steps; step++) {
		check(!peek(guest, 65536 * (step + 1) + 77, &byte) &&
			      byte == 0x21 + step,
		      "a byte of a grown page");
		check(!peek(guest, 100 + step, &byte) && byte == 0x41 + step,
		      "a byte of the first page");
	}
	check(peek(guest, 65536 * (steps + 1), &byte) == WASM_RT_TRAP_OOB,
	      "the first byte behind the memory traps");
}

static void clones_of(struct fl_snapshot *snapshot,
		      struct fl_wasm2c_clones *clones)
{
	struct fl_error error = { .text = "" };

	must(fl_wasm2c_clones_init(clones, at.pool, snapshot, &Z_guest_layout,
				   NULL, &error),
	     &error, "clones");
}

static void make(void)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;
	struct fl_wasm2c_clones clones;
	struct fl_delta *delta = NULL;
	Z_guest_instance_t guest;
	uint64_t length = 0;
	const void *bytes;
	FILE *file;

	start(&guest);
	take_step(&guest, 0);
	must(fl_wasm2c_snapshot(&Z_guest_layout, &guest, at.module, NULL, NULL,
				&snapshot, &error),
	     &error, "a snapshot");
	must(fl_snapshot_write(snapshot, path(at.name, "guest"), &error),
	     &error, "a file");
	clones_of(snapshot, &clones);
	must(fl_wasm2c_clone(&clones, &guest, 0, &error), &error, "a clone");
	check_guest(&guest, 1);
	take_step(&guest, 1);
	must(fl_wasm2c_suspend(&clones, &guest, NULL, &delta, &error), &error,
	     "sleep");
	bytes = fl_delta_bytes(delta, &length);
	file = fopen(path(at.name, "sleep"), "wb");
	check(file && fwrite(bytes, 1, length, file) == length && !fclose(file),
	      "a delta is written");
	fl_delta_release(delta);
	Z_guest_free(&guest);
	fl_snapshot_release(snapshot);
}

static void wake(void)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;
	struct fl_wasm2c_clones clones;
	struct fl_delta *delta = NULL;
	Z_guest_instance_t guest;
	size_t length;
	void *bytes;

	binding.modules = &at.module;
	binding.module_count = 1;
	binding.encoding = FL_WASM2C_ENCODING;
	must(fl_snapshot_open(at.context, path(at.name, "guest"), -1, 0,
			      &binding, &snapshot, &error),
	     &error, "a snapshot of elsewhere");
	bytes = read_file(path(at.name, "sleep"), &length);
	must(fl_delta_open(snapshot, bytes, length, FL_BYTES_COPY, NULL, &delta,
			   &error),
	     &error, "a delta of elsewhere");
	free(bytes);
	clones_of(snapshot, &clones);
	start(&guest);
	must(fl_wasm2c_clone(&clones, &guest, 0, &error), &error, "a clone");
	check_guest(&guest, 1);
	must(fl_wasm2c_wake(&clones, &guest, delta, 0, &error), &error, "wake");
	check_guest(&guest, 2);
	check(Z_guestZ_call(&guest, 0) == 8, "the table was swapped in step 1");
	check(Z_guestZ_call(&guest, 1) == 9, "the guest counts on");
	Z_guest_free(&guest);
	fl_delta_release(delta);
	fl_snapshot_release(snapshot);
}

int main(int argc, char **argv)
{
	if (argc < 3 || (argc < 4 && strcmp(argv[1], "run") != 0)) {
		fprintf(stderr, "usage: guest run|make|wake FOLDER [NAME]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	at.folder = argv[2];
	at.name = argv[3];
	open_world();
	handle_faults();
	if (!strcmp(argv[1], "run"))
		run();
	else if (!strcmp(argv[1], "make"))
		make();
	else
		wake();
	close_world();
	printf("%u passed, %u failed, 0 skipped\n", at.passed, at.failed);
	return at.failed != 0;
}
