/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline.h - pooled instance memory for WebAssembly runtimes.
 *
 * A runtime loads a module and opens a pool once. From the pool the runtime
 * takes instances, or single memories, tables and fiber stacks. Each shows the
 * module's initial content and is filled lazily. Its release makes its slot
 * clean for the next tenant.
 *
 *	context ── module ── image
 *	      └─── pool ─┬── instance ── memory, table, structure
 *	                 ├── memory, table
 *	                 └── stack
 *
 * An instance that has started can be captured: fl_instance_snapshot(). Clones
 * of the snapshot begin where the captured instance stood.
 *
 * Read before use
 *
 * - Release has preconditions that no library can check: no thread runs guest
 *   code in the memory, and no I/O into or out of the memory is in flight
 *   (cancelled and reaped, not merely cancelled). See fl_memory_release().
 * - A context and its pools belong to the process that made them. A forked
 *   child may call nothing on them: fl_pool_create() and the calls on pools
 *   that can fail answer -ECHILD there. The child can make a context of its
 *   own. The parent's modules, images and snapshots it may go on reading and
 *   writing to files (fl_module_info(), fl_image_read(), fl_image_write(),
 *   fl_snapshot_write(), ...), and it may give back its references. No pool of
 *   the child's takes them: a pool takes what was made with its own context. So
 *   a worker of a prefork server loads modules itself, or opens with its own
 *   context the files that the parent has written; with FL_OPEN_IN_PLACE the
 *   workers then share their pages.
 * - The library installs no signal handler and never aborts. The library starts
 *   one thread at most for each pool, and only by fl_pool_trim_on_pressure(), and
 *   a few for a context while images live that load on demand. A runtime's own
 *   SIGSEGV handler asks fl_fault_lookup() what an address means.
 * - Any thread may make any call on any handle unless the call says otherwise.
 *   The bytes of a memory are the guest's: the library does not order accesses
 *   to them.
 * - pthread_cancel() loses nothing. A thread that waits for a slot (timeout_ns)
 *   ends there, and gives back what the call had taken. Every other call is no
 *   cancellation point, and neither is what the call calls back: the
 *   cancellation acts later. This holds for deferred cancellation; no call is
 *   safe under PTHREAD_CANCEL_ASYNCHRONOUS. A signal handler that returns
 *   disturbs no call.
 *
 * Conventions
 *
 * - Calls return 0 or a negative errno of the closed set in fl_strerror().
 *   Calls that return a WebAssembly trap return enum fl_trap.
 * - Every `struct fl_error *` is optional and owned by the caller.
 * - fl_config_init() or an initialiser fills a configuration struct and sets
 *   its size. The caller then changes fields. The library accepts a struct from
 *   a newer header as long as every field that the library does not know is
 *   zero.
 * - Sizes and offsets in guest memory are bytes in uint64_t. "wpages" are 64
 *   KiB WebAssembly pages. "pages" of a memory have that memory's own page size
 *   (64 KiB, or 1 byte with custom-page-sizes).
 */
#ifndef FAULTLINE_H
#define FAULTLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FL_API __attribute__((visibility("default")))
#else
#define FL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct fl_context;
struct fl_module;
struct fl_image;
struct fl_pool;
struct fl_instance;
struct fl_snapshot;
struct fl_delta;
struct fl_packer;
struct fl_memory;
struct fl_table;
struct fl_stack;

/* ------------------------------------------------------------------ errors */

/* How instantiation and bulk operations end. Specification: "Instructions",
 * "Instantiation". */
enum fl_trap {
	FL_TRAP_NONE = 0,
	FL_TRAP_MEMORY_OUT_OF_BOUNDS = 1,
	FL_TRAP_TABLE_OUT_OF_BOUNDS = 2,
};

#define FL_ERROR_NO_OFFSET UINT64_MAX

/* What went wrong, in words that say what to change. A call writes the struct
 * only when the call fails. */
struct fl_error {
	int code;		/* the negative errno that was returned */
	enum fl_trap trap;	/* with -EFAULT: how instantiation trapped */
	/* Where in the module or image file, or FL_ERROR_NO_OFFSET. */
	uint64_t byte_off;
	char text[240];		/* one sentence, NUL-terminated */
};

/* The version of the library that is running, for instance "0.1.0". */
FL_API const char *fl_version(void);

/* A fixed English sentence for a negative errno of the closed set; "unknown
 * error" for any other number. */
FL_API const char *fl_strerror(int err);

/* "none", "out of bounds memory access", ...: the specification's words. */
FL_API const char *fl_trap_name(enum fl_trap trap);

/* ----------------------------------------------------------- configuration */

enum fl_config_kind {
	FL_CONTEXT_CONFIG = 0,
	FL_MODULE_CONFIG = 1,
	FL_IMAGE_CONFIG = 2,
	FL_POOL_CONFIG = 3,
	FL_TUNABLES = 4,
	FL_PRESSURE_CONFIG = 5,
	FL_MEMORY_CONFIG = 6,
	FL_TABLE_CONFIG = 7,
	FL_INSTANCE_CONFIG = 8,
	FL_SNAPSHOT_CONFIG = 9,
	FL_SNAPSHOT_PARTS = 10,
	FL_SNAPSHOT_BINDING = 11,
	FL_PAGE_SOURCE_CONFIG = 12,
	FL_LOAD_CONFIG = 13,
	FL_DELTA_PARTS = 14,
	FL_DELTA_CONFIG = 15,
	FL_POOL_LOAD = 16,
	FL_PACKER_CONFIG = 17,
};

/*
 * Fill a configuration struct with the library's defaults. size_bytes is the
 * sizeof of the struct that the caller knows. The call writes that many bytes,
 * sets the struct's size field to size_bytes, and zeroes what the library does
 * not know. An unknown kind gets zeroes and the size.
 *
 * Each struct fl_x has a static inline call of its own, fl_x_init(), which
 * passes kind and size.
 * In C each struct has an initialiser too, with the defaults of this header:
 * `struct fl_pool_config config = FL_POOL_CONFIG_INIT;`. For structs that a call
 * fills (fl_pool_info and its like), FL_SIZED below.
 */
FL_API void fl_config_init(enum fl_config_kind kind, void *config,
			   size_t size_bytes);
/* In C, the beginning of a struct that a call fills as far as the caller knows it:
 * `struct fl_pool_info info = FL_SIZED(info);`. In C++, `fl_pool_info info = {};
 * info.size = sizeof(info);`. */
#define FL_SIZED(variable) { .size = sizeof(variable) }

#define FL__DEFINE_INIT(type, kind)                             \
	static inline void type##_init(struct type *config)     \
	{                                                       \
		fl_config_init(kind, config, sizeof(*config));  \
	}

/* ----------------------------------------------------------------- context */

/* What becomes of a pool's counters and times. */
enum fl_statistics {
	/* Other processes of the user can read the numbers (uffd-stat does), in
	 * a memory file named "faultline-stats" that this process has open: of
	 * the backend "linux", and of 16 pools of a context at most. So are the
	 * numbers of 16 lazy images, each in a file named "faultline-loads" of
	 * the same form: loads, their times and their queue, and what became of
	 * pages that were loaded ahead. The image's name there is how its file's
	 * digest begins. */
	FL_STATISTICS_PUBLISHED = 0,
	FL_STATISTICS_PRIVATE = 1,	/* only fl_pool_metric() has them */
	FL_STATISTICS_OFF = 2,		/* nothing is counted but fl_pool_info */
};

struct fl_context_config {
	size_t size;
	/* The backend: NULL for the best that this host allows, "linux", or
	 * "segmented". A name that this host lacks is -ENOTSUP. */
	const char *backend;
	/* How a slot is made clean: NULL for the best that this host allows, or
	 * a name that fl_context_rung() lists; any other is -EINVAL. A rung that
	 * the backend or this host lacks is -ENOTSUP. With backend NULL the
	 * rung chooses: "discard" is "segmented", the others are "linux". */
	const char *rung;
	/*
	 * What images may take; beyond, the call that makes the image answers
	 * -E2BIG and names the field. Storage is counted by host pages that
	 * hold data, so that a module with a byte in each of many pages takes
	 * far more than the module itself. The span of an image is its
	 * extents, data and the zeroes within: address space, and the most
	 * that its storage can become when guests touch these zeroes.
	 * UINT64_MAX: no limit. Each comment ends with the default.
	 */
	/* Of a module's images together, beyond the bytes of the module (of
	 * fl_image_from_segments(): beyond the segments' bytes): 64 MiB. */
	uint64_t max_module_image_bytes;
	/* The span of a module's images together: 64 GiB. */
	uint64_t max_module_image_span_bytes;
	/* All images of the context that live, captures and opened files
	 * too; files in place take no storage: 16 GiB, and 16 TiB. */
	uint64_t max_image_bytes;
	uint64_t max_image_span_bytes;
	/* How many pairs of descriptors (a userfaultfd, a view of the page
	 * table) the "linux" backend opens for all pools of the context. Two
	 * threads that use the same pair slow each other. 0: two pairs for each
	 * processor, 16 at most. At most 64; the rung "scan" opens half of each
	 * pair, and "dontneed" one descriptor. */
	uint32_t descriptor_shards;
	/* Of the context's pools: FL_STATISTICS_PUBLISHED. */
	enum fl_statistics statistics;
	/* How many threads unpack, check and publish the pages of lazy images,
	 * beside the one that reads faults. They run while the context has such an
	 * image. 0: four. At most 16. */
	uint32_t load_threads;
};

#define FL_CONTEXT_CONFIG_INIT {					\
	.size = sizeof(struct fl_context_config),			\
	.max_module_image_bytes = (uint64_t)64 << 20,			\
	.max_module_image_span_bytes = (uint64_t)64 << 30,		\
	.max_image_bytes = (uint64_t)16 << 30,				\
	.max_image_span_bytes = (uint64_t)16 << 40,			\
}

FL__DEFINE_INIT(fl_context_config, FL_CONTEXT_CONFIG)

/*
 * Probe the host and open what modules and pools are made from. A runtime
 * needs one context. config may be NULL.
 *
 * The environment variable FAULTLINE_DISABLE=name,... takes features and
 * backends away ("linux", "segmented", or a name that fl_context_feature()
 * gives), and "statistics" turns statistics off. Blanks around a name do not
 * count; any other name is -EINVAL. The variable cannot add a feature.
 * Set-user-ID programs ignore the variable.
 *
 * Descriptors: 2 for each of descriptor_shards and 1, for all pools; then 1 for
 * each image, 1 for each of the first 16 pools whose statistics are published, and
 * 3 for each fl_pool_trim_on_pressure(). All are close-on-exec. What pools need
 * later is open from here on: the process may change its user and its root, or
 * lose /proc.
 *
 * The library makes no system call for what the backend, the rung or the
 * variable excludes: a seccomp filter may kill for it. What host and process
 * merely lack is tried.
 *
 * Errors: -EINVAL, -ENOTSUP, -ENOMEM (also: descriptors or mappings ran out
 * during a trial; that is no lack of the host, and changes no choice), -EPERM and
 * -EIO (the system denies what the backend needs, or fails at it).
 */
FL_API int fl_context_create(const struct fl_context_config *config,
			     struct fl_context **context,
			     struct fl_error *error);

/* Give the caller's reference back. Modules, images and pools hold references
 * too; the last one to go ends the context. NULL is allowed. */
FL_API void fl_context_destroy(struct fl_context *context);

/* Name of the backend in use: "linux" or "segmented". */
FL_API const char *fl_context_backend(const struct fl_context *context);

/*
 * How slots are made clean, best first:
 *
 * "track"	write-protect tracking: a release costs what was written
 * "scan"	a release searches the page table for pages ever written
 * "dontneed"	a release drops all pages, the next tenant faults them in
 * "discard"	the segmented backend: a release compares with the image, keeps
 *		what fits its budget, and drops the rest
 *
 * *reason (optional) gets why the rung is not a better one, NULL for the best.
 */
FL_API const char *fl_context_rung(const struct fl_context *context,
				   const char **reason);

/* What a trial of a host's feature has found. */
enum fl_support {
	FL_SUPPORT_MISSING = 0,		/* the kernel lacks the feature */
	FL_SUPPORT_YES = 1,
	FL_SUPPORT_DENIED = 2,		/* the kernel denies this process */
	FL_SUPPORT_BROKEN = 3,		/* the feature works wrongly */
	FL_SUPPORT_DISABLED = 4,	/* taken away by FAULTLINE_DISABLE */
	/* Not tried: the rung that was asked for, or FAULTLINE_DISABLE, excludes
	 * each rung that uses the feature. */
	FL_SUPPORT_UNTRIED = 5,
};

struct fl_feature {
	size_t size;		/* set by the caller to sizeof */
	const char *name;	/* as FAULTLINE_DISABLE takes it */
	const char *since;	/* first kernel */
	const char *note;	/* file in kernel-notes/ */
	const char *gives;	/* what the library uses the feature for */
	enum fl_support support;
	int err;		/* 0, or the negative errno of the kernel */
	const char *reason;	/* NULL with support */
	const char *remedy;	/* what would change it; NULL: nothing known */
};

/* Feature idx of the backend in use, from 0 on. -EINVAL past the last feature.
 * The segmented backend uses no feature. */
FL_API int fl_context_feature(const struct fl_context *context, uint32_t idx,
			      struct fl_feature *feature);

/* "yes", "missing", "denied", "broken", "disabled", "untried". */
FL_API const char *fl_support_name(enum fl_support support);

/* What the library makes a system call for. Bits. */
enum fl_syscall_use {
	FL_SYSCALL_START = 1,	/* contexts, modules, images, pools: begin, end */
	FL_SYSCALL_POOLS = 2,	/* pools that exist, but fl_allocation on demand */
	FL_SYSCALL_HANDLER = 4,	/* the threads that load lazy images */
	/* Counting with pools that exist. Where an error denies the call, counts
	 * say more than there is, or -ENOTSUP. */
	FL_SYSCALL_COUNT = 8,
};

enum fl_syscall_rule {
	FL_SYSCALL_ANY = 0,	/* whatever the arguments */
	FL_SYSCALL_MASKED = 1,	/* (argument & arg_mask) == arg_value */
	FL_SYSCALL_OWN_PID = 2,	/* the same; arg_value is this process's id */
};

struct fl_syscall {
	size_t size;		/* set by the caller to sizeof */
	const char *name;	/* as libseccomp and OCI profiles name it */
	const char *reason;	/* what the library does with it */
	uint32_t uses;		/* enum fl_syscall_use */
	enum fl_syscall_rule rule;
	uint32_t arg_idx;	/* of the argument that the rule is about */
	uint64_t arg_mask;
	uint64_t arg_value;
};

/*
 * Row idx, from 0 on, of the system calls that the backend in use makes, for
 * filters of seccomp. A call with several rows may be made as any of them says.
 * What the C library needs for malloc() and locks is among the rows.
 * fl_seccomp_allow() of faultline-seccomp.h puts them into a filter, and
 * uffd-probe --seccomp-profile prints them. Any thread.
 *
 * Errors: -EINVAL past the last row; the segmented backend has no rows.
 */
FL_API int fl_context_syscall(const struct fl_context *context, uint32_t idx,
			      struct fl_syscall *syscall);

/* ------------------------------------------------------------------ module */

enum fl_bytes_ownership {
	FL_BYTES_COPY = 0,	/* the library copies the module's bytes */
	FL_BYTES_BORROW = 1,	/* valid and unchanged until released */
};

struct fl_module_config {
	size_t size;
	const void *bytes;
	uint64_t length_bytes;
	enum fl_bytes_ownership ownership;
	/* With FL_BYTES_BORROW: the library calls release once, when the
	 * library needs the bytes no more (also when loading fails). The thread
	 * that drops the last reference makes the call; that thread may be the
	 * one of fl_pool_trim_on_pressure(). See fl_module_release() for slots
	 * that hold a reference. May be NULL. */
	void (*release)(void *user, const void *bytes);
	void *user;
	/* By which tracers call the module: up to 63 bytes of UTF-8, copied;
	 * other bytes are -EINVAL. NULL for none: NULL. */
	const char *name;
};

#define FL_MODULE_CONFIG_INIT { .size = sizeof(struct fl_module_config) }

FL__DEFINE_INIT(fl_module_config, FL_MODULE_CONFIG)

/*
 * Read and check a module, and build the images of its memories, once for all
 * instances. The bytes are untrusted. The reader checks everything that it
 * reads (section order, sizes, counts, LEB128 ranges, UTF-8 names, limits,
 * constant expressions). The reader skips types and code by their size; the
 * runtime validates them. Specification: "Binary Format".
 *
 * The call builds an image for each memory, defined or imported, whose active
 * segments have offsets that are known here. fl_module_memory_type() says which
 * memories have an image. A module of the same bytes that is loaded in the
 * context has built them already: the two share them, and either may go first
 * (a borrowed module may then go with the call that shares). With context NULL
 * the call builds no image: the module can be looked at and rewritten, not
 * instantiated.
 *
 * Errors: -EINVAL, -ENOEXEC (error->byte_off says where), -ENOTSUP (a
 * component, or a proposal that the error names), -E2BIG (more than 100,000
 * segments, 1 GiB, ...; images beyond max_module_image_bytes and the other
 * limits of fl_context_config), -ENOMEM, -EPERM and -EIO (of the images' storage).
 */
FL_API int fl_module_load(struct fl_context *context,
			  const struct fl_module_config *config,
			  struct fl_module **module, struct fl_error *error);

/*
 * Modules are immutable and reference-counted. Instances hold a reference, so a
 * runtime may release a module while its instances live. NULL is allowed in
 * release.
 *
 * A free slot of a pool may go on holding the module of its last instance. The
 * slot lets go when its next instance has another module, or in
 * fl_pool_purge(), fl_pool_trim() of everything, or fl_pool_destroy(). A slot
 * that holds the last reference lets go when the instance ends.
 */
FL_API struct fl_module *fl_module_retain(struct fl_module *module);
FL_API void fl_module_release(struct fl_module *module);

/* What a module holds, by count. */
struct fl_module_info {
	size_t size;		/* set by the caller to sizeof */
	uint32_t memory_count;	/* imported and defined */
	uint32_t imported_memory_count;
	uint32_t table_count;
	uint32_t imported_table_count;
	uint32_t global_count;
	uint32_t imported_global_count;
	uint32_t data_count;	/* data segments of every kind */
	uint32_t active_data_count;
	uint32_t element_count;	/* element segments of every kind */
	uint32_t has_start;
	uint64_t active_data_bytes;
	uint64_t passive_data_bytes;
	uint64_t length_bytes;	/* of the module itself */
	/* Why instances write all active data segments one by one, and no
	 * memory shows an image. NULL: fl_memory_type says so for each
	 * memory. */
	const char *segmented_reason;
	uint32_t function_count; /* imported and defined */
	uint32_t imported_function_count;
};

FL_API void fl_module_info(const struct fl_module *module,
			   struct fl_module_info *info);

struct fl_memory_type {
	size_t size;		/* set by the caller to sizeof */
	uint64_t min_pages;	/* in pages of page_bytes */
	uint64_t max_pages;	/* UINT64_MAX when the module gives none */
	uint64_t page_bytes;	/* 65536, or 1 with custom-page-sizes */
	uint32_t is_imported;
	uint32_t is_shared;
	uint32_t is_64;
	uint32_t has_image;
	/* Names, not NUL-terminated, valid while the module lives; NULL if
	 * none. */
	const char *import_module;
	const char *import_name;
	const char *export_name;	/* the first export */
	size_t import_module_bytes;
	size_t import_name_bytes;
	size_t export_name_bytes;
	/* Why the memory has no image, NULL if the memory has an image. */
	const char *no_image_reason;
	/* How many of the imported globals, from the first on, must have values
	 * before an image of the memory can be made; UINT32_MAX: no values
	 * help. */
	uint32_t image_global_count;
};

/* The type of memory memory_idx. -EINVAL past the last memory. */
FL_API int fl_module_memory_type(const struct fl_module *module,
				 uint32_t memory_idx,
				 struct fl_memory_type *type);

struct fl_table_type {
	size_t size;		/* set by the caller to sizeof */
	uint64_t min_elements;
	uint64_t max_elements;	/* UINT64_MAX when the module gives none */
	uint64_t init_elements;	/* held by element segments for this table */
	uint32_t is_imported;
	uint32_t is_64;
	uint32_t is_func;	/* a table of functions, not of externs */
	uint32_t has_init;	/* with an initialiser expression */
	uint32_t is_exported;
	/* The module's code may change the table: table.set, table.grow,
	 * table.fill, table.copy to the table, table.init. Others may change a
	 * table that is imported or exported, whatever this field says. */
	uint32_t is_changed;
	/* As in fl_memory_type. */
	const char *import_module;
	const char *import_name;
	const char *export_name;
	size_t import_module_bytes;
	size_t import_name_bytes;
	size_t export_name_bytes;
};

/*
 * The type of table table_idx. -EINVAL past the last table.
 *
 * For is_changed the library walks through the module's code, once for a
 * module. fl_module_load() does not: the call that first asks takes the time,
 * and -ENOMEM is an error of that call. Code is not trusted. Where the library
 * finds an instruction that it does not know, any instruction of the module may
 * do anything: is_changed is set for each table and each mutable global, and
 * is_referenced for each function.
 */
FL_API int fl_module_table_type(const struct fl_module *module,
				uint32_t table_idx, struct fl_table_type *type);

/* Types of values. The numbers are those of the binary format. */
enum fl_value_type {
	FL_VALUE_I32 = 0x7f,
	FL_VALUE_I64 = 0x7e,
	FL_VALUE_F32 = 0x7d,
	FL_VALUE_F64 = 0x7c,
	FL_VALUE_V128 = 0x7b,
	FL_VALUE_FUNCREF = 0x70,	/* of any function, or null */
	FL_VALUE_EXTERNREF = 0x6f,	/* of any host value, or null */
	FL_VALUE_REF = 0x64,		/* any other reference */
};

struct fl_global_type {
	size_t size;		/* set by the caller to sizeof */
	enum fl_value_type value;
	uint32_t is_mutable;
	uint32_t is_imported;
	uint32_t is_exported;
	/* The module's code may set the global (global.set). Others may set a
	 * mutable global that is imported or exported. */
	uint32_t is_changed;
	/* As in fl_memory_type. */
	const char *import_module;
	const char *import_name;
	const char *export_name;
	size_t import_module_bytes;
	size_t import_name_bytes;
	size_t export_name_bytes;
};

/* The type of global global_idx. -EINVAL past the last global; -ENOMEM, as
 * fl_module_table_type(). */
FL_API int fl_module_global_type(const struct fl_module *module,
				 uint32_t global_idx,
				 struct fl_global_type *type);

struct fl_function {
	size_t size;		/* set by the caller to sizeof */
	uint32_t type_idx;	/* in the module's types */
	uint32_t is_imported;
	uint32_t is_exported;
	/* A reference to the function may come to be in an instance: by ref.func
	 * in code, an element segment, a global's or a table's initialiser. The
	 * host can make a reference of any function that is exported. */
	uint32_t is_referenced;
	/* As in fl_memory_type. */
	const char *import_module;
	const char *import_name;
	const char *export_name;
	size_t import_module_bytes;
	size_t import_name_bytes;
	size_t export_name_bytes;
};

/* What function function_idx is. -EINVAL past the last function; -ENOMEM, as
 * fl_module_table_type(). */
FL_API int fl_module_function(const struct fl_module *module,
			      uint32_t function_idx,
			      struct fl_function *function);

/* The module's own image of a memory, NULL if the memory has none. The module
 * lends the image; fl_image_retain() keeps the image longer. */
FL_API struct fl_image *fl_module_image(const struct fl_module *module,
					uint32_t memory_idx);

enum fl_segment_mode {
	FL_SEGMENT_ACTIVE = 0,
	FL_SEGMENT_PASSIVE = 1,
	FL_SEGMENT_DECLARED = 2,	/* never in a table */
};

struct fl_element_segment {
	size_t size;		/* set by the caller to sizeof */
	enum fl_segment_mode mode;
	uint32_t table_idx;	/* active */
	uint32_t element_count;
	uint32_t has_offset;	/* active, and known without the globals */
	uint64_t offset;	/* in elements */
};

/* Element segment segment_idx. -EINVAL past the last segment. */
FL_API int fl_module_element_segment(const struct fl_module *module,
				     uint32_t segment_idx,
				     struct fl_element_segment *segment);

enum fl_element_kind {
	FL_ELEMENT_NULL = 0,	/* ref.null */
	FL_ELEMENT_FUNC = 1,	/* ref.func: idx in the function index space */
	FL_ELEMENT_GLOBAL = 2,	/* global.get: idx in the global index space */
	FL_ELEMENT_EXPR = 3,	/* another constant expression */
};

/* What an element of a segment, or a table's initialiser, says. */
struct fl_element {
	enum fl_element_kind kind;
	uint32_t idx;
	/* The constant expression, `end` included, valid while the module
	 * lives; NULL where the segment lists functions. */
	const void *expr;
	size_t expr_bytes;
};

/*
 * Copy elements [first, first + count) of a segment to elements[]. The segment
 * may have any mode, and instances may have dropped it. Time is linear in first
 * + count for segments of expressions. -EINVAL when the range is not within the
 * segment.
 */
FL_API int fl_module_read_elements(const struct fl_module *module,
				   uint32_t segment_idx, uint32_t first,
				   uint32_t count, struct fl_element *elements);

/* What fl_module_write_data_free() did. */
struct fl_data_free_report {
	size_t size;		/* set by the caller to sizeof */
	uint32_t emptied_count;	/* active segments that now have length 0 */
	uint32_t kept_count;	/* active segments kept whole */
	uint64_t emptied_bytes;
	uint64_t kept_bytes;
	/* The first segment kept whole, and why; NULL when none was. */
	uint32_t first_kept_idx;
	uint32_t reserved;
	const char *kept_reason;
};

/*
 * Write the module that goes with its images. Each active data segment gets length
 * 0. Its offset moves to the end of its original bytes, so that the empty segment
 * traps exactly when the whole one would. One that ends within the memory's minimum
 * cannot trap: where no code names a segment (memory.init and its like), such are left
 * out; where code does, or cannot be followed, each segment keeps its index. A
 * runtime that copies data segments itself finds nothing to copy in the written
 * module.
 *
 * A segment whose end cannot be written as a constant (offset from a global,
 * end beyond the address type) is kept whole. The later active segments of the
 * same memory are kept whole too, because they may overlap that segment and
 * later segments win. Everything else is unchanged.
 *
 * The library allocates *bytes; the caller frees them by fl_bytes_free().
 * report may be NULL. Errors: -ENOMEM.
 */
FL_API int fl_module_write_data_free(const struct fl_module *module,
				     void **bytes, uint64_t *length_bytes,
				     struct fl_data_free_report *report,
				     struct fl_error *error);

/* What a state export is of. The first four are the binary format's numbers. */
enum fl_state_kind {
	FL_STATE_FUNCTION = 0, /* a reference to it may be in the state */
	FL_STATE_TABLE = 1,
	FL_STATE_MEMORY = 2,
	FL_STATE_GLOBAL = 3,
	FL_STATE_START = 4, /* the start function */
};

struct fl_state_export {
	enum fl_state_kind kind;
	uint32_t idx;			/* in the module's index space */
	enum fl_value_type value;	/* of a global */
	char name[28];			/* NUL-terminated */
};

/*
 * What a runtime has to read, by its public interface, of a live instance to have
 * all that the instance is made of: memories, globals and tables that something
 * can change, and the functions of which these can hold references, because a
 * reference has no index and can only be compared. exports gets the first capacity
 * of them; *count always how many there are. exports may be NULL with a capacity
 * of 0.
 *
 * Errors: -ENOTSUP, and the text names the thing: an imported memory, table or
 * mutable global; references other than to functions; code that drops segments,
 * or that the library cannot follow; an export named as these exports are. -ENOMEM.
 */
FL_API int fl_module_state_exports(const struct fl_module *module,
				   struct fl_state_export *exports,
				   uint32_t capacity, uint32_t *count,
				   struct fl_error *error);

/*
 * As fl_module_write_data_free(), and the written module has the exports of
 * fl_module_state_exports() too, after its own. It has no start section: whoever
 * instantiates it calls the export of kind FL_STATE_START once, and not at all
 * where a restored content follows, because start would run over it. Everything
 * else is unchanged.
 *
 * Errors: -ENOTSUP, -ENOMEM, as fl_module_state_exports().
 */
FL_API int fl_module_write_state_exports(const struct fl_module *module,
					 void **bytes, uint64_t *length_bytes,
					 struct fl_data_free_report *report,
					 struct fl_error *error);

/* Exports of a resumable module. */
#define FL_RESUMABLE_UNCHANGED "faultline:unchanged"
#define FL_RESUMABLE_GROW "faultline:grow"

/*
 * As fl_module_write_data_free(), for runtimes whose interface reads no globals.
 * The written module has two functions more, at the end of its own, and exports
 * them. FL_RESUMABLE_UNCHANGED takes and gives nothing; it traps unless each global
 * that something can change has its initial value. FL_RESUMABLE_GROW takes a number
 * of pages (i32) by which the memory grows, and traps where the memory cannot. So
 * where the first one returns, the memory is all that an instance is made of: an
 * instance of the written module that begins with a copy of that memory is a clone.
 * Everything else is unchanged.
 *
 * Errors: -ENOTSUP, -ENOMEM, as fl_module_state_exports(); -ENOTSUP also of, and the
 * text names the thing: no memory, several, or one that is shared or of 64-bit
 * addresses; a table that something can change; a start function; a global of v128
 * or references that something can change; types other than of functions; data that
 * would be kept whole.
 */
FL_API int fl_module_write_resumable(const struct fl_module *module,
				     void **bytes, uint64_t *length_bytes,
				     struct fl_data_free_report *report,
				     struct fl_error *error);

/* Free what fl_module_write_data_free() and its like, or fl_pool_dump_json()
 * allocated. NULL is allowed. */
FL_API void fl_bytes_free(void *bytes);

/* ------------------------------------------------------------------- image */

/* One active segment, for runtimes with a parser of their own. */
struct fl_segment {
	uint64_t offset_bytes;	/* in the memory */
	const void *bytes;
	uint64_t length_bytes;
};

struct fl_image_config {
	size_t size;
	/* The memory's size when an instance starts, in bytes. 0 takes the
	 * module's minimum. The size may exceed the minimum: a larger imported
	 * memory, a snapshot of a grown memory. */
	uint64_t initial_bytes;
	/* Values of the module's imported globals in order of import, for
	 * segments placed by them (position-independent side modules). */
	const uint64_t *imported_globals;
	uint32_t imported_global_count;
};

#define FL_IMAGE_CONFIG_INIT { .size = sizeof(struct fl_image_config) }

FL__DEFINE_INIT(fl_image_config, FL_IMAGE_CONFIG)

/*
 * Build the initial content of one memory of a module. config may be NULL.
 * A runtime needs this call only where fl_module_image() does not serve: the
 * memory starts larger than its minimum, or imported globals place segments.
 *
 * Segments apply in order, later ones win. A segment that does not fit the
 * initial size ends the image: the image keeps what came before, and
 * fl_image_info() reports the trap. Specification: "Instantiation".
 *
 * Errors: -EINVAL (also: a global that an offset needs has no value;
 * initial_bytes is less or more than the memory's type allows), -E2BIG, -ENOMEM,
 * -EPERM, -EIO.
 */
FL_API int fl_image_from_module(struct fl_context *context,
				const struct fl_module *module,
				uint32_t memory_idx,
				const struct fl_image_config *config,
				struct fl_image **image,
				struct fl_error *error);

/* The same from a list of segments. initial_bytes is the memory's initial size.
 * The call copies the bytes once, into the image's storage. Errors: -EINVAL (a
 * segment has a length and no bytes), -E2BIG, -ENOMEM, -EPERM, -EIO. */
FL_API int fl_image_from_segments(struct fl_context *context,
				  uint64_t initial_bytes,
				  const struct fl_segment *segments,
				  size_t segment_count,
				  struct fl_image **image,
				  struct fl_error *error);

/* Images are immutable and reference-counted. Memories, tables and structures
 * that show an image hold a reference. NULL is allowed in release. */
FL_API struct fl_image *fl_image_retain(struct fl_image *image);
FL_API void fl_image_release(struct fl_image *image);

struct fl_image_info {
	size_t size;		/* set by the caller to sizeof */
	uint64_t initial_bytes;
	uint64_t data_first_bytes;	/* first and last + 1 byte that any */
	uint64_t data_end_bytes;	/* segment writes; 0 without data */
	uint64_t spanned_wpages;	/* from the first data byte's page */
	uint64_t data_wpages;		/* of them, with a non-zero byte */
	uint64_t spanned_hpages;	/* the same in host pages */
	uint64_t data_hpages;
	uint64_t stored_bytes;		/* storage that the image takes */
	uint32_t extent_count;		/* mappings of an attached image */
	enum fl_trap trap;		/* instantiation traps after this */
	uint32_t trap_segment_idx;	/* among all data segments given */
	uint32_t reserved;
	uint64_t serial;		/* identity, never used twice */
};

FL_API void fl_image_info(const struct fl_image *image,
			  struct fl_image_info *info);

/* A stretch of host pages, each of which holds a byte that is not zero. */
struct fl_image_run {
	uint64_t offset_bytes;	/* in the memory */
	uint64_t length_bytes;
};

/*
 * Find the first run that ends after from_bytes. The call cuts a run that
 * begins before from_bytes there, and the last run at the initial size. Returns
 * 1, or 0 when the rest of the image is zero; *run is unchanged then. To see
 * all runs, begin at 0 and continue at offset_bytes + length_bytes.
 */
FL_API int fl_image_next_run(const struct fl_image *image, uint64_t from_bytes,
			     struct fl_image_run *run);

/* Copy [offset, offset + length) of the initial content to dst. -EINVAL when
 * the range is not within the initial size. -EIO: a file in place was cut, or a page
 * of an image that is loaded on demand could not be loaded. */
FL_API int fl_image_read(const struct fl_image *image, uint64_t offset_bytes,
			 void *dst, uint64_t length_bytes);

/* ------------------------------------------------------------- image files */

/*
 * Write an image to a file, for this or another process, host or page size. The
 * file is there whole and durable, or not at all: the call writes a temporary
 * file in the folder of path, which its owner alone may read, and gives it the
 * name at the end. A file that has the name is replaced then, and untouched
 * after an error; a symbolic link is replaced, not followed; what is no file, as
 * a device, is refused. Pages of zeroes are holes of the file. In the library's
 * sources lib/image/toc.h describes the form byte by byte.
 *
 * What the image holds is in the file as it is: keys and passwords too.
 *
 * Time is linear in the data. Any thread; the call blocks until the bytes are on
 * the disk.
 *
 * Errors: -EINVAL (there is no such folder, or path is no file), -EPERM, -EFAULT (as
 * an acquire: instantiation traps after this image), -ENOMEM (also: no room,
 * quota or RLIMIT_FSIZE), -EIO (also: a file in place was cut or changed
 * meanwhile). After the one error that says so, -EIO because
 * the folder cannot be synced, the new file is there.
 */
FL_API int fl_image_write(const struct fl_image *image, const char *path,
			  struct fl_error *error);

enum fl_write_flags {
	/*
	 * Each page is packed alone by zstd, so that each can be loaded alone; a
	 * page that does not become smaller by 4 KiB is stored as it is. The
	 * content, and so the digest, is that of the file without the flag. Such
	 * a file opens as any other, whole or lazily, where the library has
	 * libzstd; it cannot be mapped (FL_OPEN_IN_PLACE). Worth the time where
	 * the bytes come slowly: from a disk, a network. -ENOTSUP: this library
	 * was built without libzstd.
	 */
	FL_WRITE_ZSTD = 1,
};

/* Write an image by flags: 0, or of enum fl_write_flags. Errors: -EINVAL, -EPERM,
 * -EFAULT, -ENOMEM, -EIO, as fl_image_write(); -EINVAL (flags), -ENOTSUP
 * (FL_WRITE_ZSTD). */
FL_API int fl_image_write_as(const struct fl_image *image, const char *path,
			     uint32_t flags, struct fl_error *error);

enum fl_open_flags {
	/*
	 * Map the file itself as the image of a memory, in place of a copy:
	 * processes of a host share its pages in the page cache. The call checks
	 * the whole file once, holes included. From then on nobody may change or
	 * cut the file. The library cannot enforce this; the caller promises it,
	 * and keeps the file where only the caller may write, on a file system
	 * that answers. A sealed memfd or fs-verity enforces it.
	 *
	 * Whoever may write the file is trusted by all guests that show it:
	 *
	 * - Changed bytes reach running and later guests at any moment, as
	 *   content that no check has seen. A capture, a file or a digest made
	 *   of such memory has the changed bytes, or -EIO. An audit retires
	 *   slots that differ from the file of that moment.
	 * - A file that is cut takes pages from guests, also pages that the
	 *   guest has written. Guests get SIGBUS there (FL_FAULT_IN_BOUNDS), and
	 *   so do calls that access guest memory for the guest (fl_memory_copy(),
	 *   fl_memory_fill(), fl_memory_init()) and the host's own accesses.
	 *   Acquire, release, prefault, capture, fl_memory_apply_segments() and
	 *   fl_image_read() answer -EIO, and no other tenant gets the slot before
	 *   the slot was emptied.
	 * - Whoever may read the file can tell by timing which pages guests use.
	 *
	 * No writer sees or keeps what guests write, gets one tenant's bytes to
	 * another, or reaches tables and structures. These are copied
	 * by fl_snapshot_open(), and refuse an image in place (-ENOTSUP).
	 *
	 * A release costs a system call for each run of pages that the tenant
	 * wrote. -ENOTSUP: the backend cannot map files ("segmented"), or the
	 * kernel lacks MADV_POPULATE_WRITE, or denies process_vm_readv() or
	 * process_vm_writev().
	 */
	FL_OPEN_IN_PLACE = 1,
	/*
	 * With FL_OPEN_IN_PLACE: only a file that the kernel keeps from changes,
	 * whoever tries: a memory file under F_SEAL_WRITE and F_SEAL_SHRINK, or a
	 * file with fs-verity. Any other file is -EPERM. The call asks before it
	 * checks the first page, so what was checked stays. A disk that fails
	 * still takes pages from guests, as above.
	 */
	FL_OPEN_IMMUTABLE = 2,
	/*
	 * With FL_OPEN_IN_PLACE: the call checks header, tables and index, and
	 * reads no page. So a file that is not in memory opens in the time that
	 * its index takes, and an image may have a working set
	 * (fl_load_config.working_set_path). The caller promises that the pages
	 * are what the index says, because this host wrote the file, or because
	 * the kernel checks what it reads (fs-verity). Guests see whatever is in
	 * the file, and nobody else's bytes. fl_image_info() knows data by 64 KiB
	 * pages, as the index does. Tables and structures are checked and copied
	 * as ever.
	 */
	FL_OPEN_UNCHECKED = 4,
};

/*
 * Make an image of a file that fl_image_write() has written. With path NULL the
 * call reads fd, which stays open and in its place; only a regular file. flags
 * is 0 or of enum fl_open_flags.
 *
 * The file is untrusted: the call checks each number before it uses the number,
 * and the hash of each page, and copies what was checked into the image's
 * storage. Afterwards the image does not need the file. A file that is changed,
 * cut or replaced while the call reads it makes an error or no difference. With
 * FL_OPEN_IN_PLACE all this holds for the moment of the check alone.
 * Memory is taken in proportion to what the file really holds. A packed file can
 * hold some hundred times its length; an image of it is refused (-E2BIG) before
 * anything is unpacked if its pages, counted whole, exceed max_image_bytes of the
 * context.
 * fl_image_info() says the same as of the written image, but for what goes by
 * segments: data begins and ends with the first and last byte that is not zero.
 *
 * A hash is no signature: whoever can write the file can make one that fits. A
 * host that must know where a file comes from signs fl_image_digest().
 *
 * Errors: -EINVAL (no such file, not a regular file, a descriptor that does not read
 * or has O_DIRECT, flags, a file that holds more than one image), -EPERM (this process may not read it, or
 * FL_OPEN_IMMUTABLE), -ENOEXEC (with error->byte_off 0 not an image
 * file; else cut, changed or damaged at that byte), -ENOTSUP (written by a newer
 * version; FL_OPEN_IN_PLACE, always of a packed file; packed, and this library has no
 * libzstd), -E2BIG, -ENOMEM, -EIO (the system cannot read).
 */
FL_API int fl_image_open(struct fl_context *context, const char *path, int fd,
			 uint32_t flags, struct fl_image **image,
			 struct fl_error *error);

/*
 * The digest of the file that fl_image_write() writes, 32 bytes: SHA-256 over a
 * table with the hash of each page, which is SHA-256 of the SHA-256s of the page's
 * sixteen blocks of 4 KiB. The same content and initial size has the same digest,
 * wherever the image comes from. The call computes the digest when it is first
 * asked for, in time linear in the data. Errors: -EFAULT, -ENOMEM, -EIO
 * (FL_OPEN_IN_PLACE alone).
 */
FL_API int fl_image_digest(struct fl_image *image, uint8_t digest[32],
			   struct fl_error *error);

/* ------------------------------------------------------------ page sources */

/*
 * A page source: where the bytes of an image file are read from, if not simply
 * from a file. The library asks for ranges, and a source that can answer many at
 * once answers each when it has it, in any order, from any thread.
 *
 * The library trusts a source as little as a file. Every page has a hash that is
 * checked before a guest sees the page. A source may answer late, with fewer
 * bytes, twice, or never: fl_load_config.deadline_ns bounds each load.
 */
struct fl_page_source;

/* One read. The struct is the library's, and is valid during the call read. */
struct fl_page_read {
	size_t size;
	struct fl_page_source *source;
	uint64_t ticket;	/* for fl_page_source_done(); never used twice */
	uint64_t offset_bytes;
	uint64_t length_bytes;
	/* Plain memory, of no guest. The source may write here until the read is
	 * done, also after a cancel. */
	void *dst;
};

struct fl_page_source_config {
	size_t size;
	uint64_t length_bytes;	/* how many bytes there are; does not change */
	void *user;
	/*
	 * Read a range, which lies within length_bytes. With is_async 0: wait,
	 * and return how many bytes were read (fewer are allowed, and the library
	 * asks for the rest; 0 says that there are no more) or a negative errno.
	 * The caller that needs the bytes is told -ENOMEM (what is used up),
	 * -EPERM (what is denied) or -ETIMEDOUT, and -EIO for any other errno;
	 * the text says which.
	 * The library makes such calls on the thread that opens the image, and
	 * later on threads of its own, up to four at once.
	 *
	 * With is_async: start the read and return 0 without waiting for it, then
	 * call fl_page_source_done() once, from any thread, at once or later. Or
	 * return a negative errno, and do not call it.
	 *
	 * Any thread, several at once. The call may not touch guest memory.
	 */
	int64_t (*read)(void *user, const struct fl_page_read *read);
	/* The library does not wait for this read any more. May be NULL. The read
	 * may already be done. With is_async it must still become done (an error
	 * will do), because its dst is lent until then. Does not wait. */
	void (*cancel)(void *user, uint64_t ticket);
	/* The last reference has gone: wait until no read writes to its dst, and
	 * free what the source has. May be NULL. Called once, with no lock held.
	 * Of an is_async source, not in a forked child, where the threads to wait
	 * for do not exist. */
	void (*close)(void *user);
	uint32_t is_async;
	uint32_t reserved;
};

#define FL_PAGE_SOURCE_CONFIG_INIT \
	{ .size = sizeof(struct fl_page_source_config) }

FL__DEFINE_INIT(fl_page_source_config, FL_PAGE_SOURCE_CONFIG)

/* Make a source of calls of your own. After an error close is not called.
 * Errors: -EINVAL, -ENOMEM. */
FL_API int fl_page_source_create(const struct fl_page_source_config *config,
				 struct fl_page_source **source,
				 struct fl_error *error);

/* A source of a regular file, by path, or by fd when path is NULL; the source
 * keeps a descriptor of its own. Errors: -EINVAL (as fl_image_open()), -EPERM,
 * -ENOMEM, -EIO. */
FL_API int fl_page_source_from_file(const char *path, int fd,
				    struct fl_page_source **source,
				    struct fl_error *error);

/* A source of bytes in memory, which stay as they are until the source calls
 * release (which may be NULL) once, when the last reference goes. After an error
 * release is not called. Errors: -EINVAL, -ENOMEM. */
FL_API int fl_page_source_from_bytes(const void *bytes, uint64_t length_bytes,
				     void (*release)(void *user,
						     const void *bytes),
				     void *user,
				     struct fl_page_source **source,
				     struct fl_error *error);

/* Sources are reference-counted, and an image that is loaded on demand holds a
 * reference. Release may be called from any thread but those of the source; the
 * last one closes the source. NULL is allowed in release. */
FL_API struct fl_page_source *
fl_page_source_retain(struct fl_page_source *source);
FL_API void fl_page_source_release(struct fl_page_source *source);

/* Say that a read is done: how many bytes, or a negative errno. A ticket that is
 * not open (done already) is ignored. Any thread, within the call read too. */
FL_API void fl_page_source_done(struct fl_page_source *source, uint64_t ticket,
				int64_t result);

/* How the pages of an image come into memory. */
enum fl_load_way {
	/* Of these the first that can be had: in place, if the caller asks for
	 * that by open_flags and the source is a file; on demand; whole. */
	FL_LOAD_AUTO = 0,
	/* When a guest first touches them, once for all slots. Needs the features
	 * userfaultfd and uffd-missing, which are not tried where the rung that
	 * was asked for, or FAULTLINE_DISABLE, excludes the rung "track". */
	FL_LOAD_LAZY = 1,
	/* The file is mapped as FL_OPEN_IN_PLACE says. */
	FL_LOAD_IN_PLACE = 2,
	/* All of them, when the image is opened. */
	FL_LOAD_WHOLE = 3,
};

/* How a page that is loaded on demand becomes visible to those who wait for it. */
enum fl_load_publish {
	/* What was measured to be the better way: FL_PUBLISH_COPY. */
	FL_PUBLISH_DEFAULT = 0,
	/* The page is read into a buffer, checked there, and copied (UFFDIO_COPY). */
	FL_PUBLISH_COPY = 1,
	/* The disk writes the page to where it stays, and no processor copies it:
	 * it is checked there, and then shown (UFFDIO_CONTINUE). For a local file
	 * that is not packed, whose file system reads past the page cache
	 * (O_DIRECT); needs the features uffd-minor and io-uring. Each memory
	 * takes a fault of its own for a page that is loaded after the memory
	 * began, and where userfaultfd is in user-mode-only form, a system call
	 * gets EFAULT for a page that this memory has not touched, loaded or not;
	 * fl_memory_prefault() helps against both. A working set that is recorded
	 * so has whole pages, and is of tenants alone whose memory began before
	 * any page was loaded. */
	FL_PUBLISH_CONTINUE = 2,
};

/* How pages that are loaded on demand are read from a local file. */
enum fl_load_read {
	/* FL_READ_CACHED; with FL_PUBLISH_CONTINUE FL_READ_DIRECT. */
	FL_READ_DEFAULT = 0,
	/* Through the kernel's page cache: what another process, or an earlier run,
	 * has read is not read again. */
	FL_READ_CACHED = 1,
	/* Past it (O_DIRECT): a cold file comes sooner, for two thirds of the
	 * processor's time, and is not in memory twice. Each context reads for
	 * itself, and so does the next run. For a host that runs long. The source is a file, whose
	 * file system reads so. Takes up to 7 MiB for buffers, in large pages
	 * where there are any. */
	FL_READ_DIRECT = 2,
};

struct fl_load_config {
	size_t size;
	enum fl_load_way way;	/* another than AUTO is had or is an error */
	uint32_t open_flags;	/* enum fl_open_flags: the caller's promise */
	/* A page that was not loaded within this time is a trap of the guest that
	 * waits for it. Opening allows each of its reads as much. */
	uint64_t deadline_ns;
	/* A file of fl_image_write_working_set(), of this image file, packed or
	 * not. The 4 KiB blocks in it are loaded ahead, and checked, once a memory
	 * shows the image (of a packed page the quarters that have them), in about
	 * the order in which guests waited for them; of a file in
	 * place (with FL_OPEN_UNCHECKED) the kernel reads them ahead. NULL: none.
	 * Of a snapshot with several memories it is the set of the one whose image
	 * (fl_snapshot_image()) wrote it.
	 * The file is advice: that it is missing, damaged or of another image is
	 * no error. With or without it, where guests ask a lazy image for one page
	 * of 64 KiB after another, up to eight that follow are loaded ahead;
	 * nothing turns that off. */
	const char *working_set_path;
	/* Of both: another than DEFAULT is had or is an error, and needs
	 * FL_LOAD_LAZY. */
	enum fl_load_publish publish;
	enum fl_load_read read;
};

#define FL_LOAD_CONFIG_INIT                            \
	{                                              \
		.size = sizeof(struct fl_load_config), \
		.deadline_ns = UINT64_C(10000000000),  \
	}

FL__DEFINE_INIT(fl_load_config, FL_LOAD_CONFIG)

/*
 * Make an image of a page source that has the bytes of an image file. What
 * stands before the pages is read and checked as fl_image_open() does. The pages
 * come by the way that config (NULL: the defaults) asks for.
 *
 * On demand, no page is read yet. A guest that touches a page waits until the
 * page was read and has its hash; other slots then find the page in memory. The
 * first such image of a context starts threads, and the last to go ends them.
 *
 * - A page that cannot be loaded (the source fails or ends, the bytes have
 *   another hash, memory is short, deadline_ns has passed) is a SIGSEGV of the
 *   guest, as an access out of bounds is. fl_fault_lookup() says
 *   FL_FAULT_NOT_LOADED and why. The memory's release succeeds, and a later
 *   tenant tries again.
 * - Where userfaultfd is in user-mode-only form (no privilege), a system call
 *   that accesses a page not loaded gets EFAULT. fl_memory_prefault() first.
 *   Calls of this library load what they need.
 * - fl_image_info() knows data by 64 KiB pages: what the file's index names
 *   counts as data. Tables and structures do not show such images (-ENOTSUP).
 * - A forked child does not have the memories that show the image.
 *
 * Errors: -EINVAL, -EPERM, -ENOEXEC, -ENOTSUP, -E2BIG, -ENOMEM, -EIO, as
 * fl_image_open(); -ENOTSUP (the way, publish or read), -ETIMEDOUT (deadline_ns), -EIO
 * (the source failed).
 */
FL_API int fl_image_open_source(struct fl_context *context,
				struct fl_page_source *source,
				const struct fl_load_config *config,
				struct fl_image **image,
				struct fl_error *error);

/*
 * Write down which pages, and which 4 KiB blocks of them, the first tenants of a
 * lazy image, or of one that was opened with FL_OPEN_UNCHECKED, touch, for the next
 * run. Of a lazy image the file also has 512 bytes of hashes for most pages. Up to
 * eight tenants in fresh slots are recorded, each at its release; tenants that come
 * one after another share a slot and count once, so hold several at the same time
 * to record more. What an image was opened with counts half, so that pages go which
 * nobody touches any more. The image file and its digest stay as they are. Written as
 * fl_image_write() writes.
 *
 * Errors: -EINVAL (the image has no working set; the path), -EPERM, -ENOMEM, -EIO.
 */
FL_API int fl_image_write_working_set(const struct fl_image *image,
				      const char *path,
				      struct fl_error *error);

/* How an image is loaded, and what came of it. */
struct fl_image_loading {
	size_t size;		/* set by the caller to sizeof */
	enum fl_load_way way;	/* never AUTO */
	enum fl_load_publish publish;	/* DEFAULT: not on demand */
	const char *reason;	/* why this way; valid while the image lives */
	/* On demand, in 64 KiB pages; otherwise zero. */
	uint64_t wpages;	/* that hold data */
	/* All of them, and not blocks alone. A page is counted a moment after
	 * guests may see it. */
	uint64_t loaded_wpages;
	uint64_t failed_loads;	/* each a trap, or an error of a call */
	/* Pages of which a load was begun before anybody asked, of the page or of
	 * blocks of it: of the working set, and read ahead (see fl_load_config).
	 * loaded_wpages has those that are done. */
	uint64_t foreseen_wpages;
	uint32_t recorded_tenants;
	enum fl_load_read read;	/* DEFAULT: not on demand, or no file */
};

FL_API void fl_image_loading(const struct fl_image *image,
			     struct fl_image_loading *loading);

/* -------------------------------------------------------------------- pool */

enum fl_bounds {
	/* Guards enforce the size: an access beyond the size, rounded up to a
	 * host page, faults. For code compiled without bounds checks. */
	FL_BOUNDS_GUARDED = 0,
	/* The whole maximum size is accessible, and guest code checks bounds.
	 * Growth needs no system call. Modules compiled without checks must not
	 * run in such a pool. Its tables and structures lie side by side, so
	 * that an instance takes at most six mappings. */
	FL_BOUNDS_ACCESSIBLE = 1,
};

enum fl_strategy {
	FL_STRATEGY_REUSE_AFFINITY = 0,	/* a slot that last held the image */
	FL_STRATEGY_NEXT_AVAILABLE = 1,	/* the most recently freed slot */
	FL_STRATEGY_RANDOM = 2,		/* any free slot, uniformly */
};

enum fl_allocation {
	/* The pool reserves everything when it is made, and reuses slots. */
	FL_ALLOCATION_POOLING = 0,
	/* Each memory, table, instance structure and stack is a mapping of its
	 * own: acquire maps it, release unmaps it. Guards, images, traps and
	 * calls are the same. The counts max_* do not limit, but a max_tables
	 * of 0 still leaves tables to the runtime. A memory or table may start
	 * larger than the pool's maximum; its initial size then is its maximum.
	 * The runtime limits what strangers may ask for. Nothing is ever free,
	 * so budgets, audits, trimming and purging find nothing to do. For
	 * development, and for few and large tenants. */
	FL_ALLOCATION_ON_DEMAND = 1,
};

enum fl_stack_growth {
	FL_STACK_GROWS_DOWN = 0,
	FL_STACK_GROWS_UP = 1,
};

/* A count of 0 reserves nothing. A maximum size of 0 still reserves the stride
 * and its guards, because code without bounds checks must trap on any access.
 * Each comment ends with the default. */
struct fl_pool_config {
	size_t size;
	uint32_t max_instances;			/* live at once: 1000 */
	uint32_t max_memories;			/* slots: 1000 */
	uint32_t max_memories_per_instance;	/* 1 */
	uint32_t max_tables;			/* slots: 0 */
	uint32_t max_tables_per_instance;	/* 1 */
	uint32_t max_stacks;			/* slots: 0 */
	uint64_t max_memory_bytes;		/* of one memory: 4 GiB */
	/* What code that runs in one memory can reach from its base. The next
	 * base, with its prefix, lies beyond. 0: as small as the other fields
	 * allow, above all max_memory_bytes, which is to be lowered too for
	 * small slots. At 8 GiB an access that begins at a 32-bit index plus a 32-bit
	 * offset faults or hits this memory: 8 GiB. */
	uint64_t memory_stride_bytes;
	uint64_t memory_alignment_bytes;	/* of a base, 0: host page: 0 */
	/* Inaccessible before a base and its prefix. Two slots share one guard,
	 * as large as the larger of their two; the first slot has at least a
	 * host page before it: 0. */
	uint64_t guard_before_bytes;
	/* After the maximum. 0 in a pool with FL_BOUNDS_GUARDED needs a stride
	 * that leaves room behind the maximum: 64 KiB. */
	uint64_t guard_after_bytes;
	uint64_t prefix_bytes;			/* writable, ends at base: 0 */
	uint64_t max_table_elements;		/* of one table: 20,000 */
	/* Width of an element of the tables that instances get, and the
	 * greatest width of a table taken alone. 4, 8, 16, 24 or 32: 32. */
	uint64_t table_element_bytes;
	/* The null reference, table_element_bytes long; copied. NULL:
	 * zeroes. */
	const void *table_null;
	/* The runtime's own structure of each instance, at a fixed address per
	 * slot. Its size, 0 for none: 0. The alignment of its address, a power
	 * of two up to 2 MiB, 0 for a host page's: 0. */
	uint64_t instance_bytes;
	uint64_t instance_alignment_bytes;
	uint64_t stack_bytes;			/* usable, of each: 256 KiB */
	enum fl_stack_growth stack_growth;	/* FL_STACK_GROWS_DOWN */
	uint32_t stack_alignment_bytes;		/* of its top: 16 */
	uint32_t zero_stacks;			/* before the next tenant: 0 */
	uint32_t reserved;
	/* Of a zeroed stack so many bytes from its top stay resident: 0. */
	uint64_t stack_keep_resident_bytes;
	enum fl_bounds bounds;			/* FL_BOUNDS_GUARDED */
	enum fl_strategy strategy;		/* FL_STRATEGY_REUSE_AFFINITY */
	enum fl_allocation allocation;		/* FL_ALLOCATION_POOLING */
	uint64_t random_seed;			/* for FL_STRATEGY_RANDOM: 0 */
	/* So many freed slots may stay warm before the pool takes a slot of
	 * another image in preference to a slot never used. Memories, tables
	 * and instance structures have this number each: 100. */
	uint32_t max_warm_memories;
	/* Compare every n-th released slot with its image byte for byte, and
	 * look whether memory of the process is pinned. The pool retires a slot
	 * that differs, and the release answers -EIO. For canaries and tests:
	 * an audit reads the whole memory. 0 for never: 0. */
	uint32_t audit_every;
	/* Memory that a free slot may keep resident for its next tenant: 64
	 * MiB. The same for all free slots of the pool together: UINT64_MAX.
	 * Pages count, what guests made of holes of the image, and page tables
	 * with what the library knows of the pages, where these two are more
	 * than 64 KiB. A slot over its budget
	 * drops what it kept. A pool over its budget empties the slots longest
	 * free. The rungs "dontneed" and "discard" do not look at page
	 * tables: they count one for each 2 MiB that were accessible, of slots
	 * of 128 MiB and more. "discard" counts the image's data, and zeroes in
	 * stretches of which a part is in use. */
	uint64_t max_idle_slot_bytes;
	uint64_t max_idle_bytes;
	/* By which tools and tracers call the pool: up to 63 bytes of UTF-8,
	 * copied; other bytes are -EINVAL. Pools may share a name. NULL for
	 * none: NULL. */
	const char *name;
	/* Inaccessible before and after each stack, at least a host page. A
	 * frame larger than this can step over it into a neighbour's stack,
	 * unless the compiler touches each page of a large frame in turn (gcc,
	 * clang: -fstack-clash-protection): 64 KiB. */
	uint64_t stack_guard_bytes;
	/* So many more of each, beyond max_<plural>, when the pool is full:
	 * each in a mapping of its own, as of FL_ALLOCATION_ON_DEMAND, with the
	 * same guards and maximum sizes. Such a tenant costs the mapping and
	 * its faults, and keeps nothing for the next. All memories, or all
	 * tables, of an instance come from the pool or from beyond. Not where
	 * max_<plural> is 0; without meaning on demand: 0. */
	uint32_t overflow_memories;
	uint32_t overflow_tables;
	uint32_t overflow_instances;
	uint32_t overflow_stacks;
	/* Memories are part of the process's core dumps: their accessible
	 * bytes, at a system call more for each change of size. Address space
	 * that is reserved is never part of them, so a dump takes what is
	 * resident; tables, structures and stacks are part, like the host's own
	 * memory. 0 keeps the guests' bytes out: 0. */
	uint32_t dumps_memories;
	/* Memories, tables and structures take host pages alone, so that the
	 * first byte written to a fresh slot takes no 2 MiB where transparent
	 * huge pages are "always"; at a system call more where memory is mapped
	 * anew. 0 leaves that to the system: 0. */
	uint32_t avoids_huge_pages;
};

#define FL_POOL_CONFIG_INIT {						\
	.size = sizeof(struct fl_pool_config),				\
	.max_instances = 1000,						\
	.max_memories = 1000,						\
	.max_memories_per_instance = 1,					\
	.max_tables_per_instance = 1,					\
	.max_memory_bytes = (uint64_t)4 << 30,				\
	.memory_stride_bytes = (uint64_t)8 << 30,			\
	.guard_after_bytes = 65536,					\
	.max_table_elements = 20000,					\
	.table_element_bytes = 32,					\
	.stack_bytes = 262144,						\
	.stack_alignment_bytes = 16,					\
	.max_warm_memories = 100,					\
	.max_idle_slot_bytes = (uint64_t)64 << 20,			\
	.max_idle_bytes = UINT64_MAX,					\
	.stack_guard_bytes = 65536,					\
}

FL__DEFINE_INIT(fl_pool_config, FL_POOL_CONFIG)

/*
 * Reserve the pool's address space once. Nothing is committed.
 *
 * Errors: -EINVAL (a value contradicts another: the error names both), -ENOMEM
 * (not enough address space: the error says how much was asked and which value
 * makes it smaller), -EPERM, -ECHILD, -EIO.
 */
FL_API int fl_pool_create(struct fl_context *context,
			  const struct fl_pool_config *config,
			  struct fl_pool **pool, struct fl_error *error);

/* Unmap the pool. -EBUSY while instances, memories, tables or stacks live; the
 * call changes nothing then. No other call on the pool or on what came from it is
 * under way: what is being released counts as released before its call returns, so
 * a host that releases on other threads waits for their calls, not for the count.
 * -ECHILD. NULL is allowed. */
FL_API int fl_pool_destroy(struct fl_pool *pool);

/*
 * A descriptor for event loops that may not block in an acquire. From this call
 * on, each acquire that answers -EAGAIN asks for one event, which the next slot of
 * that kind that becomes free posts. The descriptor is readable while events are
 * posted. Each read of 8 bytes takes one; a read that finds none is EAGAIN. Read
 * one event, then acquire again: one slot wakes one reader. Another taker may be
 * faster, and then the acquire answers -EAGAIN and has asked again.
 *
 * No event is lost: who reads one and does not acquire passes it on by writing the
 * number 1, as 8 bytes. Whoever stops waiting leaves the event that it asked for:
 * somebody may read it and find no slot. A release makes no system call for this
 * unless somebody waits.
 *
 * The same descriptor at each call; it is the pool's, and fl_pool_destroy() closes
 * it. Any thread. Errors: -ENOMEM (also: no descriptor left), -ENOTSUP (not on
 * Linux), -EPERM, -ECHILD, -EIO.
 */
FL_API int fl_pool_wait_fd(struct fl_pool *pool, int *fd,
			   struct fl_error *error);

/* Would an instance of the module fit this pool? A runtime asks before it
 * compiles. -E2BIG names the limit (0 too), the value and the field of
 * fl_pool_config to raise. A pool without instances (max_instances 0) is for
 * runtimes that take memories alone, and is asked about memories and tables.
 * Allocates nothing. Errors: -E2BIG, -EINVAL (the module is another context's, or
 * none's), -ECHILD. */
FL_API int fl_pool_validate(const struct fl_pool *pool,
			    const struct fl_module *module,
			    struct fl_error *error);

/*
 * What compiled code may take for granted about memories. A runtime fills the
 * struct with what its compiler would like, fl_pool_adjust_tunables() lowers
 * the fields to what holds in the pool, and the runtime compiles by the result.
 */
struct fl_tunables {
	size_t size;
	/* So many bytes from the base on are this memory's or fault: 4 GiB. */
	uint64_t memory_reservation_bytes;
	/* Inaccessible after the reservation, and before the base: 32 MiB,
	 * 0. */
	uint64_t memory_guard_bytes;
	uint64_t memory_guard_before_bytes;
	uint32_t memory_may_move;	/* does growth move the base? 1 */
	/* Does the code check bounds itself, whatever guards there are? 0 */
	uint32_t checks_bounds;
};

#define FL_TUNABLES_INIT {						\
	.size = sizeof(struct fl_tunables),				\
	.memory_reservation_bytes = (uint64_t)4 << 30,			\
	.memory_guard_bytes = (uint64_t)32 << 20,			\
	.memory_may_move = 1,						\
}

FL__DEFINE_INIT(fl_tunables, FL_TUNABLES)

/*
 * Lower *tunables to what the pool guarantees: the base never moves, the
 * reservation and the guards are the pool's where the pool's are smaller.
 *
 * Errors: -EINVAL (no fl_tunables); -ENOTSUP: the code does not check bounds,
 * and the pool is FL_BOUNDS_ACCESSIBLE, so nothing else would. The error names
 * both. After an error nothing has changed.
 */
FL_API int fl_pool_adjust_tunables(const struct fl_pool *pool,
				   struct fl_tunables *tunables,
				   struct fl_error *error);

struct fl_pool_info {
	size_t size;		/* set by the caller to sizeof */
	uint64_t reserved_bytes;	/* address space */
	uint64_t memory_stride_bytes;	/* from base to base, prefix included */
	uint64_t max_memory_bytes;
	uint32_t max_memories;
	uint32_t live_memories;
	uint32_t warm_memories;		/* free, used before and not emptied */
	/* That no tenant gets: unclean in an audit, or not to be emptied
	 * yet (fl_memory_release()). */
	uint32_t retired_memories;
	uint32_t max_instances;
	uint32_t live_instances;
	uint64_t audited;		/* releases compared with the image */
	uint64_t audit_failures;	/* of them, that differed: retired */
	uint64_t audit_pins;		/* of them, beside pins: emptied */
	uint64_t idle_kept_bytes;	/* kept in free slots, as budgeted; 0
					 * without max_idle_bytes */
	uint32_t max_tables;
	uint32_t live_tables;
	uint32_t warm_tables;
	uint32_t retired_tables;
	uint32_t warm_instances;	/* structures, as memories */
	uint32_t retired_instances;
	uint32_t max_stacks;
	uint32_t live_stacks;
	uint32_t retired_stacks;
	uint32_t reserved;
	/* Since the pool was made: handed out, and turned away for want of a
	 * slot (-EAGAIN, -ETIMEDOUT) or of memory (-ENOMEM). A call for an
	 * instance counts where it was turned away: one that finds no memory
	 * counts once in refused_memories, and not in refused_instances. */
	uint64_t acquired_memories;
	uint64_t acquired_tables;
	uint64_t acquired_instances;
	uint64_t acquired_stacks;
	uint64_t refused_memories;
	uint64_t refused_tables;
	uint64_t refused_instances;
	uint64_t refused_stacks;
	/* What was asked for around each memory, as in fl_pool_config. */
	uint64_t prefix_bytes;
	uint64_t guard_before_bytes;
	uint64_t guard_after_bytes;
	/* Of the live ones, those beyond max_<plural> (overflow_<plural> of
	 * fl_pool_config); and since the pool was made, handed out there. */
	uint32_t overflow_memories;
	uint32_t overflow_tables;
	uint32_t overflow_instances;
	uint32_t overflow_stacks;
	uint64_t overflowed_memories;
	uint64_t overflowed_tables;
	uint64_t overflowed_instances;
	uint64_t overflowed_stacks;
};

/* Looks at each slot that was ever used, and takes locks: for people and tools. */
FL_API void fl_pool_info(const struct fl_pool *pool, struct fl_pool_info *info);

/*
 * The configuration that the pool was made with, defaults included; the caller sets
 * config->size. memory_stride_bytes is what code can reach from a base, also where
 * that was left to the library; two bases are a prefix farther apart. name ("" for
 * none) and table_null are the pool's copies, and go with the pool. Constant time,
 * any thread, no lock: for adapters and compilers that ask again for each instance.
 */
FL_API void fl_pool_config_of(const struct fl_pool *pool,
			      struct fl_pool_config *config);

/* One number of fl_pool_info or fl_pool_usage, for exporters of metrics. */
struct fl_metric {
	size_t size;		/* set by the caller to sizeof */
	const char *name;	/* "memories_live" */
	const char *unit;	/* "slots", "bytes", "events" */
	const char *help;	/* one sentence */
	uint32_t is_counter;	/* only ever grows */
	uint32_t has_value;	/* 0: the backend cannot tell */
	uint64_t value;
};

/* Metric idx, from 0 on. -EINVAL past the last metric, -ECHILD. A metric of
 * fl_pool_usage() costs what that call costs. */
FL_API int fl_pool_metric(struct fl_pool *pool, uint32_t idx,
			  struct fl_metric *metric);

/*
 * Configuration, backend, rung, features and metrics as one JSON object in
 * UTF-8, NUL-terminated. The caller frees *json by fl_bytes_free().
 * *length_bytes (optional) does not count the NUL. A metric without a value is
 * null. Errors: -ENOMEM, -ECHILD.
 */
FL_API int fl_pool_dump_json(struct fl_pool *pool, char **json,
			     uint64_t *length_bytes, struct fl_error *error);

/* What the pool's memories, tables and instance structures take, from the page
 * tables, now. Guests go on running while the call counts. */
struct fl_pool_usage {
	size_t size;			/* set by the caller to sizeof */
	uint64_t private_bytes;		/* resident, of this pool alone */
	uint64_t shared_bytes;		/* resident pages of images, mapped */
	uint64_t swapped_bytes;		/* private, swapped out and not watched;
					 * swapped pages that are watched look
					 * like empty ones */
	uint64_t dirty_bytes;		/* private and written or left
					 * unwatched since the slot was clean */
	uint64_t idle_private_bytes;	/* of private_bytes, in free slots */
	/* Memory that guests of any pool of the context have made of zeroes
	 * within images, by touching them: an image's own, and shared. Counted
	 * for max_idle_slot_bytes and max_idle_bytes with each slot that shows
	 * the image, and given back when no slot maps it any more. */
	uint64_t hole_bytes;
	/* Page tables, and what the library knows of pages, of slots that were
	 * used, as of their last release: a slot that was large once keeps both
	 * until it is emptied, and both count as kept. Records are also the
	 * copies that binds_tables and binds_structure of fl_instance_config
	 * ask for, and what is known of slots on demand, those that have gone
	 * among them, and of dropped segments. */
	uint64_t table_bytes;
	uint64_t record_bytes;
	uint64_t stack_bytes;		/* resident, of stacks */
};

/* Errors: -ENOTSUP (the backend cannot look: its rung is "dontneed" or
 * "discard"), -ENOMEM, -EPERM, -ECHILD, -EIO. The call walks the page tables. On
 * demand, a release waits for the look at what is released. */
FL_API int fl_pool_usage(struct fl_pool *pool, struct fl_pool_usage *usage,
			 struct fl_error *error);

/*
 * Give memory of free slots back to the system, until at least bytes were given
 * back or every free slot is empty. The slots longest free go first; the slot
 * that each processor freed last counts as young. The next tenant of such a
 * slot starts cold. *trimmed_bytes (optional) gets what was given back, as far
 * as the backend can tell. When every free slot is empty, free slots let go of
 * modules and of the bits of dropped segments too. What the pool knows of slots
 * on demand that have gone is given back in any case; their handles stay known as
 * released. Live memories are not touched, and no slot is lost: a slot that
 * cannot be emptied now stays as it was. Slots that are retired because they
 * could not be emptied are tried again. Errors: -ECHILD.
 */
FL_API int fl_pool_trim(struct fl_pool *pool, uint64_t bytes,
			uint64_t *trimmed_bytes);

/*
 * Empty the free slots that last showed an image which will not come back:
 * image, whatever it was the content of (a memory, a table, an instance
 * structure), and the module's own images (fl_module_image()). Either of module
 * and image may be NULL. Live memories are not touched, and an emptied slot is
 * no longer warm. *purged (optional) gets the number of emptied slots.
 *
 * Free slots of instances let go of the module. The caller still holds a
 * reference during the call, and then calls fl_module_release(). Where other
 * threads acquire meanwhile, one of these threads may be the last to let go, a
 * moment later. Errors: -EINVAL (both are NULL), -ECHILD.
 */
FL_API int fl_pool_purge(struct fl_pool *pool, const struct fl_module *module,
			 const struct fl_image *image, uint32_t *purged);

/* The same for an image alone. */
static inline int fl_pool_purge_image(struct fl_pool *pool,
				      const struct fl_image *image,
				      uint32_t *purged)
{
	return fl_pool_purge(pool, (const struct fl_module *)0, image, purged);
}

/*
 * Are the pool's statistics "published", "private" or "off"? *reason (optional)
 * gets why they are not published although the context asks for it, NULL
 * otherwise.
 *
 * What is counted at every call costs less than a hundredth of the shortest
 * cycle of an instance. Times are taken of one call in 64.
 */
FL_API const char *fl_pool_statistics(const struct fl_pool *pool,
				      const char **reason);

#define FL_STATISTICS_MAGIC	"FLSTATS"
#define FL_STATISTICS_VERSION	1

/*
 * What a file of statistics begins with, for readers in other processes. Read
 * the file by pread() and believe no number of it: the process that writes the
 * file owns its bytes. Offsets are in bytes from the file's beginning; all
 * integers have the machine's byte order. A reader of another build needs no
 * more than this struct: what the numbers mean is in the schema.
 *
 * The schema is text, a line for each number: its kind, name, unit and help.
 *
 * "c", "g"	the next word: a counter, or a gauge that may fall. Add up what
 *		all shards have, modulo 2^64.
 * "l"		the next level, one number for the pool.
 * "d"		no number, but what follows from words: before the help comes a
 *		sum like "+opened-closed".
 * "t", "s"	the next histogram, of nanoseconds or of bytes. Add up what its
 *		shards have, bucket by bucket.
 *
 * A lazy image has its own file (enum fl_statistics): pool is the image's name
 * then, and rung is "lazy".
 *
 * Shard i begins at shards_off + i * shard_bytes, and its words word_off behind
 * that. Histogram i of a shard j begins at times_off + 8 * bucket_count * (j *
 * times_count + i). With b = bucket_bits, bucket n below 2^b holds times of n;
 * another holds times from (2^b + n % 2^b) << (n / 2^b - 1) on, to where the
 * next one begins. The last bucket has no end.
 *
 * The version rises with any change that a reader of this struct would take
 * wrongly. The signature changes with the schema.
 */
struct fl_statistics_head {
	char magic[8];			/* FL_STATISTICS_MAGIC */
	uint32_t version;		/* FL_STATISTICS_VERSION */
	uint32_t head_bytes;		/* of this struct */
	uint64_t signature;		/* FNV-1a, 64 bits, of the schema */
	uint64_t file_bytes;
	uint64_t schema_off, schema_bytes;
	uint64_t shards_off, levels_off, times_off;
	uint32_t word_count, shard_count, shard_bytes, word_off;
	uint32_t level_count;
	uint32_t times_count, times_shard_count, bucket_count, bucket_bits;
	uint32_t sample_every;		/* of so many calls one is timed */
	uint64_t process;		/* a forked child has the file too */
	uint64_t serial;		/* of the pool in its process */
	uint64_t made_ns;		/* the pool, by CLOCK_MONOTONIC */
	char pool[64];			/* its name, "" for none; NUL at the end */
	char library[16], backend[16], rung[16];
};

/* When the host runs short of memory: /proc/pressure/memory, or a control
 * group's memory.pressure. */
struct fl_pressure_config {
	size_t size;
	const char *path;	/* NULL: /proc/pressure/memory */
	uint32_t stall_us;	/* so much stall ("some") ... 150,000 */
	uint32_t window_us;	/* ... within this time: 2,000,000 */
	uint64_t trim_bytes;	/* fl_pool_trim() by this much: UINT64_MAX */
};

#define FL_PRESSURE_CONFIG_INIT {					\
	.size = sizeof(struct fl_pressure_config),			\
	.stall_us = 150000,						\
	.window_us = 2000000,						\
	.trim_bytes = UINT64_MAX,					\
}

FL__DEFINE_INIT(fl_pressure_config, FL_PRESSURE_CONFIG)

/*
 * Start a thread that trims the pool whenever the kernel reports that pressure.
 * fl_pool_destroy() ends the thread. Once for each pool. config may be NULL.
 *
 * The call writes to a pressure file of the kernel alone: any other path is
 * -EINVAL, and the file stays as it is.
 *
 * Errors: -EINVAL (the kernel does not take stall and window; without privilege
 * the window must be a multiple of 2 s), -EBUSY (the pool has such a thread),
 * -ENOTSUP (the kernel has no pressure files), -EPERM, -ENOMEM, -ECHILD, -EIO.
 */
FL_API int fl_pool_trim_on_pressure(struct fl_pool *pool,
				    const struct fl_pressure_config *config,
				    struct fl_error *error);

/* ---------------------------------------------------------------- capacity */

/* What bounds the slots that a process can have. */
enum fl_limit {
	FL_LIMIT_NONE = 0,
	FL_LIMIT_ADDRESSES = 1,		/* addresses in one piece */
	FL_LIMIT_ADDRESS_SPACE = 2,	/* `ulimit -v` */
	FL_LIMIT_LOCKED = 3,		/* `ulimit -l`, under mlockall() */
	FL_LIMIT_MAPPINGS = 4,		/* vm.max_map_count */
	FL_LIMIT_DESCRIPTORS = 5,	/* `ulimit -n` */
	FL_LIMIT_DATA = 6,		/* `ulimit -d` */
	FL_LIMIT_COMMIT = 7,		/* under vm.overcommit_memory 2 */
	FL_LIMIT_GROUP = 8,		/* memory.max of the control group */
	FL_LIMIT_MEMORY = 9,		/* memory that the host has free */
	FL_LIMIT_COUNT = 10,
};

/* What tenants of a pool will need, as far as no pool's configuration says it,
 * and what to leave to the rest of the process. */
struct fl_pool_load {
	size_t size;
	/* Extents of the image of each memory (fl_image_info), 0 for memories
	 * without: 4, the most. */
	uint32_t image_extents;
	/* Images that will be loaded yet, a descriptor each: so many for the
	 * whole pool, and so many for each instance that brings a module of its
	 * own: 0, 0. */
	uint32_t images;
	uint32_t images_per_instance;
	uint32_t spare_descriptors;	/* 16 */
	uint32_t spare_mappings;	/* 256 */
	/* For the rest of the process: 64 MiB. */
	uint64_t spare_address_bytes;
	/* To which a memory grows; 0 for max_memory_bytes: 0. */
	uint64_t memory_bytes;
	/* Memory that an instance takes for itself, in all its slots. With 0
	 * neither the control group's memory nor the host's is looked at: 0. */
	uint64_t touched_bytes;
};

#define FL_POOL_LOAD_INIT {						\
	.size = sizeof(struct fl_pool_load),				\
	.image_extents = 4,						\
	.spare_descriptors = 16,					\
	.spare_mappings = 256,						\
	.spare_address_bytes = (uint64_t)64 << 20,			\
}

FL__DEFINE_INIT(fl_pool_load, FL_POOL_LOAD)

/* One limit, in its unit. */
struct fl_pool_limit {
	const char *name;	/* "mappings" */
	const char *unit;	/* "mappings", "bytes", "descriptors" */
	uint64_t allowed;	/* to the process; UINT64_MAX: no limit, or not
				 * known */
	/* Taken by what there is, by what other pools of the context may take
	 * yet, and by what the load spares. */
	uint64_t used;
	uint64_t asked;		/* by the pool as configured */
	uint64_t fitted;	/* by the pool as fitted */
	/* What would make room for the pool as configured: a command, or a
	 * field to lower. "" where there is room. */
	char remedy[144];
};

/* The answer of fl_pool_config_fit(). */
struct fl_pool_fit {
	size_t size;		/* set by the caller to sizeof */
	/* Which limit lowered the counts most; FL_LIMIT_NONE: none did. */
	enum fl_limit decided;
	uint32_t reserved;
	struct fl_pool_limit limits[FL_LIMIT_COUNT];	/* by enum fl_limit */
};

/*
 * Lower the counts of *config (max_instances, max_memories, max_tables, max_stacks
 * and overflow_<plural>, all in proportion, none that is there to 0) to what this
 * process can have now, so that a pool of the result can be made and used up to
 * its last slot: address space, mappings, descriptors, locked memory, data,
 * committed memory, and if load->touched_bytes says so memory itself. Of other
 * pools of the context the call counts what they may still take, by the same
 * load; of other contexts what they have. Nothing is reserved: what the process
 * takes between this call and fl_pool_create() is missing then. load NULL: the
 * defaults. fit is optional.
 *
 * The worst is assumed for mappings: every slot used, and on the rung "track"
 * grown by its tenant and shrunk again. With FL_ALLOCATION_ON_DEMAND counts bound
 * nothing, and the call is of no use. What /proc does not show to this process
 * counts as not limited.
 *
 * Errors: -ENOMEM (not one slot of each fits: the error names the limit and what
 * to change), -EINVAL (as fl_pool_create()), -ECHILD. After an error *config is
 * as it was; after -ENOMEM *fit says what each limit allows.
 */
FL_API int fl_pool_config_fit(struct fl_context *context,
			      const struct fl_pool_load *load,
			      struct fl_pool_config *config,
			      struct fl_pool_fit *fit, struct fl_error *error);

/* ------------------------------------------------------------------ memory */

/* A number that threads read while a call changes it. Where a struct aligns
 * uint64_t to 4 bytes, as on i386, one access could be torn in two. */
#if defined(__GNUC__)
typedef uint64_t fl_atomic64 __attribute__((aligned(8)));
#else
typedef uint64_t fl_atomic64;
#endif

/* For the static inline calls below. */
static inline uint64_t fl_load_acquire(const fl_atomic64 *word)
{
#if defined(__GNUC__)
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
#else
	return *(const volatile fl_atomic64 *)word;
#endif
}

/*
 * A linear memory. base never moves, and this struct stays where it is while
 * the memory lives. Compiled code may read both fields at these offsets: base
 * at 0, length_bytes at 8. Code that shares the memory reads length_bytes
 * atomically. Do not write the fields.
 */
struct fl_memory {
	uint8_t *base;
	fl_atomic64 length_bytes;
};

struct fl_memory_config {
	size_t size;
	/* Initial content, NULL for zeroes. The memory holds a reference, so
	 * the caller may release the image while the memory lives. */
	struct fl_image *image;
	/* 0 with an image: the image's. Another size holds as long as the
	 * image's content fits. */
	uint64_t initial_bytes;
	uint64_t max_bytes;		/* of growth; UINT64_MAX: pool's */
	/* Unit of growth, a power of two up to 65536: 65536. */
	uint64_t page_bytes;
	uint32_t is_shared;		/* several threads use the memory */
	uint32_t is_lent;		/* as after fl_memory_lend() */
	/* How long to wait for a free slot, in nanoseconds. 0: not at all,
	 * -EAGAIN; UINT64_MAX: for ever. */
	uint64_t timeout_ns;
	/* Width of the memory's addresses. 32: growth ends at 4 GiB, and one
	 * byte below where page_bytes is 1, because memory.size must fit an
	 * i32. 64: no such end. 0: the type is not known here, and max_bytes
	 * alone bounds growth: 0. */
	uint32_t address_bits;
	uint32_t reserved;
	void *user;		/* returned by fl_memory_user() */
};

#define FL_MEMORY_CONFIG_INIT {						\
	.size = sizeof(struct fl_memory_config),			\
	.max_bytes = UINT64_MAX,					\
	.page_bytes = 65536,						\
}

FL__DEFINE_INIT(fl_memory_config, FL_MEMORY_CONFIG)

/*
 * Take one memory from the pool, without an instance. config may be NULL.
 *
 * Errors: -EINVAL, -E2BIG, -EAGAIN and -ETIMEDOUT (all slots in use), -ENOMEM,
 * -EFAULT (the image ends in an out-of-bounds segment), -ECHILD, -EPERM and -EIO
 * (the system refuses a mapping, or cannot read a file in place). After an error
 * nothing is held.
 */
FL_API int fl_memory_acquire(struct fl_pool *pool,
			     const struct fl_memory_config *config,
			     struct fl_memory **memory, struct fl_error *error);

/*
 * Give a memory back and make its slot clean. Once for each acquire, from any
 * thread.
 *
 * Before the call, and nothing checks this:
 * - no thread runs guest code in the memory or uses the memory through the
 *   host;
 * - no I/O into or out of the memory is in flight: cancelled *and* reaped. A
 *   read that lands later writes into the next tenant's memory; a vmsplice() or
 *   MSG_ZEROCOPY send still queued sends the next tenant's bytes;
 * - if any page of the memory is pinned or lent for longer than the tenancy
 *   (io_uring registered buffers, RDMA, vfio, vmsplice()), the runtime has
 *   called fl_memory_lend();
 * - nothing was mapped over any part of the memory, or the runtime has called
 *   fl_memory_lend();
 * - nobody else erases write-protect marks: a forked child using inherited
 *   descriptors, or a process that may open this one's pagemap.
 * A memory that belongs to an instance is released with the instance.
 *
 * The memory is released when this returns 0, -EIO or -ENOMEM. -EIO: an audit
 * found the slot unclean, and the pool has retired the slot for good; or the image's
 * file in place was cut, and the slot was emptied. -ENOMEM: the slot could be
 * neither cleaned nor emptied, for want of memory or mappings
 * (vm.max_map_count). No tenant gets the slot, and fl_pool_info() counts it as
 * retired, until an acquire that finds no other slot, or fl_pool_trim(), has
 * emptied it. -EINVAL: not a live memory taken alone, as after a release that no
 * acquire has followed. -ECHILD: nothing was done.
 */
FL_API int fl_memory_release(struct fl_memory *memory);

/*
 * Make a memory taken alone what it was when it was acquired: its content, its
 * size, at the same address, behind the same handle. The preconditions are those
 * of fl_memory_release(), and so is the price, but no slot is given and taken. A
 * memory that is lent gets new pages, and stays lent. fl_memory_written() answers
 * as after the acquire.
 *
 * Errors: -EINVAL (not a live memory taken alone), -ECHILD: nothing was done.
 * -ENOMEM, -EPERM; -EIO (also: an audit found the memory unclean, or its image
 * file in place was cut): the memory shows nothing any more, has no bytes, and is
 * only to be released.
 */
FL_API int fl_memory_reset(struct fl_memory *memory);

/*
 * Declare that pages of the memory are pinned, or lent to a holder that may
 * outlast the tenancy. The release then gives its slot new pages instead of
 * copying back in place; the old pages stay with their holder. Call this before
 * the pages are lent. Lasts for the tenancy. Errors: -ECHILD.
 */
FL_API int fl_memory_lend(struct fl_memory *memory);

/* The live memory with this base, NULL if none: for runtimes that free by
 * pointer. Takes no lock. */
FL_API struct fl_memory *fl_memory_find(const struct fl_pool *pool,
					const void *base);

/* user of the fl_memory_config by which the memory was acquired. NULL for a
 * memory of an instance: fl_instance_user() is the instance's. */
FL_API void *fl_memory_user(const struct fl_memory *memory);

/*
 * Make the memory delta_pages larger, in place, filled with zeroes. *old_pages
 * (optional) gets the size before, in whole pages. Calls on one memory take
 * turns; other threads may use the memory meanwhile. Specification:
 * memory.grow, "Growing memories".
 *
 * Growth ends at the maximum of the memory's type, at the pool's, and where the
 * address type ends: a memory of 32-bit addresses has at most 65,536 pages of
 * 64 KiB, or 2^32 - 1 of one byte. A memory of an instance also ends at the
 * limits of fl_instance_config, and its may_grow may refuse.
 *
 * Errors: -E2BIG (beyond the maximum, or refused), -ENOMEM, -ECHILD; -EPERM or
 * -EIO when the kernel refuses otherwise. After an error nothing has changed,
 * and memory.grow answers -1.
 */
FL_API int fl_memory_grow(struct fl_memory *memory, uint64_t delta_pages,
			  uint64_t *old_pages);

/*
 * May the memory grow by delta_pages, and if not, which maximum is in the way?
 * Nothing changes. 0, or what fl_memory_grow() answers (-E2BIG, -ECHILD), and the
 * error names the maximum and its value: of the module's type, of addresses of 32
 * bits, max_bytes of fl_memory_config, max_memory_bytes of fl_pool_config,
 * max_memory_bytes or max_total_bytes of fl_instance_config. Neither
 * may_grow of fl_instance_config nor the kernel is asked, so both may refuse
 * after a 0.
 */
FL_API int fl_memory_check_growth(const struct fl_memory *memory,
				  uint64_t delta_pages, struct fl_error *error);

/*
 * Make [offset, offset + length) resident and writable, before a system call
 * gets the range. Errors: -EINVAL (not within the memory), -ENOMEM, -ECHILD,
 * -EPERM, -EIO (also: a file in place was cut; a page source failed); of an image
 * that is loaded on demand also -ENOEXEC (a page has another hash) and -ETIMEDOUT (a
 * page did not come in time).
 */
FL_API int fl_memory_prefault(struct fl_memory *memory, uint64_t offset_bytes,
			      uint64_t length_bytes);

/* A stretch of host pages of a memory. */
struct fl_memory_run {
	uint64_t offset_bytes;
	uint64_t length_bytes;
};

enum fl_written_flags {
	/* Since the last call with FL_WRITTEN_BEGIN; without such a call, since
	 * acquire. */
	FL_WRITTEN_SINCE_LAST = 1,
	/* After this answer, begin anew. */
	FL_WRITTEN_BEGIN = 2,
};

/* What fl_memory_written() says beside the runs. */
struct fl_written {
	size_t size;		/* set by the caller to sizeof */
	uint64_t run_count;	/* also when there was no room for all */
	uint64_t written_bytes;	/* the sum of the runs */
	uint32_t is_exact;	/* 0: runs hold pages that were not written */
	uint32_t reserved;
};

/*
 * What did this tenant write? Runs of whole host pages, in order and apart, the
 * last one cut at the size. The first run_capacity runs go to runs.
 *
 * Since acquire the answer is exact: the runs are the pages whose bytes differ
 * from the image, or from zero where there is none. What instantiation wrote
 * beside the image counts. Since the last beginning it is the pages that were
 * written, and so not the pages whose bytes differ: a page that holds what it
 * held then is told too. Of what was grown since, the pages that are not zero
 * are told. Where the host cannot watch pages anew (every rung below "track",
 * and FL_ALLOCATION_ON_DEMAND), the answer is a superset, all that was touched
 * since acquire, and is_exact is 0.
 *
 * No guest code runs in the memory during the call, and no I/O into it is in
 * flight. The reset or release that follows costs what was written, as without
 * the call; after a beginning it costs a system call more for each run that was
 * written before, and the guest a fault for each page that it writes again.
 *
 * Errors: -E2BIG (run_capacity is less than run_count, and nothing was begun),
 * -ENOTSUP (the rung is "discard", or the page table cannot be read; or the
 * memory is lent: who holds its pages writes unseen), -EINVAL (flags; the memory
 * is not live), -ENOMEM, -EPERM, -EIO (also: a file in place was cut, or zeroes of
 * an image that is loaded on demand cannot be made), -ECHILD.
 * After any other error than -E2BIG a beginning may be lost: the next answer since
 * the last one is a superset. written may be NULL.
 */
FL_API int fl_memory_written(struct fl_memory *memory, uint32_t flags,
			     struct fl_memory_run *runs, uint64_t run_capacity,
			     struct fl_written *written, struct fl_error *error);

/* The current size in bytes; an atomic acquire. Specification: memory.size. */
static inline uint64_t fl_memory_length(const struct fl_memory *memory)
{
	return fl_load_acquire(&memory->length_bytes);
}

/* memory.copy and memory.fill. Both check bounds before they write. dst and src
 * may be the same memory and overlap. Both access the bytes as the guest itself
 * would: where an access of the guest is a signal (a file in place that was cut, or
 * nothing left under vm.overcommit_memory 2), so is theirs; fl_memory_prefault()
 * answers with an error. Specification: "Memory Instructions". */
FL_API enum fl_trap fl_memory_copy(struct fl_memory *dst, uint64_t dst_off,
				   const struct fl_memory *src,
				   uint64_t src_off, uint64_t length_bytes);
FL_API enum fl_trap fl_memory_fill(struct fl_memory *memory, uint64_t offset,
				   uint8_t value, uint64_t length_bytes);

/*
 * Apply the active segments of a module to a live memory, in order, as
 * instantiation does: for a side module whose memory is imported and has
 * content. config gives the imported globals, and may be NULL. Returns 0 also
 * when a segment does not fit: *trap then says so, and the segments before are
 * written. Specification: "Instantiation".
 *
 * Errors: -EINVAL when a segment's offset cannot be known, -EIO when the memory
 * shows a file in place that was cut, -ENOMEM and -EPERM when the system gives no
 * memory for what is written, -ECHILD. *trap is FL_TRAP_NONE then, and the segments
 * before are written.
 */
FL_API int fl_memory_apply_segments(struct fl_memory *memory,
				    const struct fl_module *module,
				    uint32_t memory_idx,
				    const struct fl_image_config *config,
				    enum fl_trap *trap, struct fl_error *error);

/* ------------------------------------------------------------------- table */

/*
 * A table: elements of a fixed width, as the runtime represents references.
 * This struct stays where it is while the table lives. Compiled code may read
 * both fields at these offsets: base at 0, length at 8. Do not write the
 * fields.
 *
 * base never moves, except when a table with dynamic storage grows. The runtime
 * lets one thread at a time change a table.
 *
 * No guard enforces the length: what lies between the length and the end of the
 * slot is accessible. Compiled code compares each index with length.
 */
struct fl_table {
	void *base;
	fl_atomic64 length;	/* in elements */
};

struct fl_table_config {
	size_t size;
	/* 4, 8, 16, 24 or 32. 0: the pool's table_element_bytes. */
	uint32_t element_bytes;
	/* Width of the table's indices. 32: growth ends at 2^32 - 1 elements,
	 * because table.size must fit an i32. 64: no such end. 0: the type is
	 * not known here, and max_elements alone bounds growth: 0. */
	uint32_t address_bits;
	uint64_t initial_elements;
	uint64_t max_elements;	/* of growth; UINT64_MAX: the storage's */
	/* The null reference, element_bytes long; copied. NULL: the pool's if
	 * the pool's is as wide, else zeroes. */
	const void *null;
	/* Initial content, from fl_image_from_segments() with offsets in bytes:
	 * all initial_elements, nulls included. What the image leaves out is
	 * zeroes. NULL: nulls. Not of a file in place (-ENOTSUP). */
	struct fl_image *image;
	/*
	 * For references that are counted. clone makes *dst, which holds
	 * nothing, another reference like *src. drop ends the reference that
	 * *element holds. Both see non-null elements only, may not fail, and
	 * may not call the table. Set both or neither; without them, elements
	 * are plain bytes. Not together with an image, whose references nobody
	 * has cloned.
	 */
	void (*clone)(void *user, void *dst, const void *src);
	void (*drop)(void *user, void *element);
	void *user;
	uint64_t timeout_ns;	/* as in fl_memory_config */
	/* For fl_table_create() alone. Static storage: memory of the caller,
	 * aligned to 8 bytes, that outlives the table; growth ends with the
	 * storage, and base stays. NULL: dynamic storage, from malloc(), which
	 * moves. */
	void *storage;
	uint64_t storage_bytes;
};

#define FL_TABLE_CONFIG_INIT {						\
	.size = sizeof(struct fl_table_config),				\
	.max_elements = UINT64_MAX,					\
}

FL__DEFINE_INIT(fl_table_config, FL_TABLE_CONFIG)

/*
 * Take one table from the pool, without an instance. The table grows in place,
 * up to the pool's max_table_elements. config may be NULL.
 *
 * Errors: -EINVAL, -E2BIG, -EAGAIN, -ETIMEDOUT, -ENOMEM, -EFAULT, -ECHILD, -EPERM,
 * -EIO, as fl_memory_acquire(); -E2BIG also when the pool's max_tables is 0,
 * -ENOTSUP (an image in place). After an error nothing is held.
 */
FL_API int fl_table_acquire(struct fl_pool *pool,
			    const struct fl_table_config *config,
			    struct fl_table **table, struct fl_error *error);

/*
 * Make a table outside of any pool, in static or dynamic storage. All elements
 * are null.
 *
 * Errors: -EINVAL (also: config->image is set), -E2BIG (the storage is too
 * small), -ENOMEM.
 */
FL_API int fl_table_create(const struct fl_table_config *config,
			   struct fl_table **table, struct fl_error *error);

/*
 * End a table, made or taken, that no thread uses any more. The call drops the
 * elements and makes the slot clean; static storage stays as it is. A table
 * that belongs to an instance is released with the instance. Returns 0, -EINVAL
 * (as fl_memory_release()), -EIO (an audit), -ENOMEM (as there), -ECHILD.
 */
FL_API int fl_table_release(struct fl_table *table);

/* The live table of the pool with this base, NULL if none. Takes no lock. */
FL_API struct fl_table *fl_table_find(const struct fl_pool *pool,
				      const void *base);

/*
 * table.get and table.set. They copy an element (clone it, where the table has
 * calls for that): to *element, from *element. The caller drops a reference
 * that it got. Specification, for all calls on tables: "Table Instructions".
 */
FL_API enum fl_trap fl_table_get(const struct fl_table *table, uint64_t idx,
				 void *element);
FL_API enum fl_trap fl_table_set(struct fl_table *table, uint64_t idx,
				 const void *element);

/* table.size, in elements; an atomic acquire. */
static inline uint64_t fl_table_size(const struct fl_table *table)
{
	return fl_load_acquire(&table->length);
}

/*
 * table.grow: delta elements more, each *element (NULL: null). *old_elements
 * (optional) gets the size before. A table of 32-bit indices has at most
 * 2^32 - 1 elements. Errors: -E2BIG (beyond the maximum),
 * -ENOMEM, -ECHILD. After an error nothing has changed, and table.grow answers
 * -1.
 */
FL_API int fl_table_grow(struct fl_table *table, uint64_t delta,
			 const void *element, uint64_t *old_elements);

/* table.fill; element NULL: null. This call and the next ones check bounds
 * before they write. */
FL_API enum fl_trap fl_table_fill(struct fl_table *table, uint64_t idx,
				  const void *element, uint64_t count);

/* table.copy. dst and src may be the same table and overlap. Tables of
 * different widths trap. */
FL_API enum fl_trap fl_table_copy(struct fl_table *dst, uint64_t dst_idx,
				  const struct fl_table *src, uint64_t src_idx,
				  uint64_t count);

/* table.init from elements that the runtime keeps: [src_idx, src_idx + count)
 * of element_count at elements. A dropped segment has no elements. */
FL_API enum fl_trap fl_table_init_elements(struct fl_table *table,
					   uint64_t dst_idx,
					   const void *elements,
					   uint64_t element_count,
					   uint64_t src_idx, uint64_t count);

/* ---------------------------------------------------------------- instance */

/* Why an instance has the state of another one. */
enum fl_restore_cause {
	FL_RESTORE_CLONED = 0,		/* by fl_instance_config.snapshot */
	FL_RESTORE_WOKEN = 1,		/* by fl_instance_config.delta */
};

/* What a runtime is told when an instance was restored. */
struct fl_restored {
	size_t size;			/* set by the library */
	enum fl_restore_cause cause;
	uint32_t reserved;
	/* 128 random bits that no other restored instance gets: seed for
	 * whatever must differ between clones. See fl_instance_snapshot(). The
	 * bits come from the system, some clones' worth at a time: copies of
	 * the whole process, as of a virtual machine, may hand out the same. */
	uint8_t generation_id[16];
};

/* What a tenant asks for. Either memory or table is set. */
struct fl_growth {
	size_t size;		/* of this struct, as the library knows it */
	struct fl_memory *memory;
	struct fl_table *table;
	uint64_t old_bytes;	/* of the memory or table */
	uint64_t new_bytes;
	uint64_t total_bytes;	/* of all that counts for the instance, then */
};

struct fl_instance_config {
	size_t size;
	/*
	 * The memories that the module imports, in order of import. The
	 * instance uses them as they are, unless fills_imports is set. Each
	 * must match the import (-EINVAL): the width of its addresses, its page
	 * size, shared or not, at least the minimum, at most the maximum. A
	 * memory of an instance has the type that its module says. A memory
	 * taken alone has the type that fl_memory_config says; its maximum is
	 * where its growth ends, and address_bits 0 matches both widths.
	 * Tables match likewise, and hold elements of the same type; what the
	 * elements of a table taken alone are, and whether two defined types
	 * are the same, only the runtime can tell. So are imported functions,
	 * globals and tags the runtime's to match. Specification: "Import
	 * Matching".
	 */
	struct fl_memory *const *imported_memories;
	uint32_t imported_memory_count;
	uint32_t imported_global_count;
	const uint64_t *imported_globals;	/* as in fl_image_config */
	uint64_t timeout_ns;	/* as in fl_memory_config, for each kind */
	void *user;		/* returned by fl_instance_user() */
	/* The tables that the module imports, in order of import. */
	struct fl_table *const *imported_tables;
	uint32_t imported_table_count;
	/* Write the module's active data segments to imported memories too:
	 * as of a side module, the memories have content already and no
	 * image. 0 */
	uint32_t fills_imports;
	/*
	 * Make the runtime's representation of a reference in *element, which
	 * holds nothing. The library calls make_element for what active element
	 * segments, table initialisers and table.init put into tables; not for
	 * nulls. The call may not fail. *from is good during the call. The
	 * instance keeps the make_element that it was allocated with.
	 *
	 * Elements that were put into imported tables stay there when the
	 * acquire fails later, as the specification says, but the instance is
	 * gone. Such an element may be copied, compared and dropped. Nobody may
	 * call it if it leads to the instance, its structure, memories or
	 * tables. A runtime that lets guests call it must allocate and
	 * initialise by two calls, and release the failed instance only when no
	 * table holds its elements any more. NULL:
	 * tables begin with nulls or their image, and the runtime writes their
	 * segments by fl_table_init_elements().
	 */
	void (*make_element)(void *user, struct fl_instance *instance,
			     const struct fl_element *from, void *element);
	/* Initial content of the tables that the module defines, one entry
	 * for each, in order, as fl_table_config.image. NULL, or NULL
	 * entries: none. An image replaces the table's initialiser and
	 * active segments. */
	struct fl_image *const *table_images;
	uint32_t table_image_count;
	uint32_t reserved;
	/* For tables that the module defines: as in fl_table_config, with user
	 * of this struct. */
	void (*clone_element)(void *user, void *dst, const void *src);
	void (*drop_element)(void *user, void *element);
	/* Initial content of the runtime's structure; NULL: zeroes. Not of a
	 * file in place (-ENOTSUP). */
	struct fl_image *structure_image;
	/* What the module was compiled by; NULL: nothing is checked. Refused
	 * (-ENOTSUP) if the pool guarantees less. */
	const struct fl_tunables *tunables;
	/*
	 * Begin as a clone of this snapshot, which holds one instance of the
	 * module; NULL: begin as the module says. Memories, tables, dropped
	 * segments and, where it was declared plain, the structure are the
	 * snapshot's; no segment and no initialiser runs. table_images and
	 * structure_image are not looked at where the snapshot has content.
	 * For a snapshot of several instances see fl_snapshot_acquire().
	 *
	 * The calls below come in this order, after memories and plain tables
	 * show their content: decode_elements for each table that was encoded,
	 * decode_state once, rebind once, restored once. A call that is not 0
	 * ends the acquire with that error: the instance is given back. NULL: a
	 * call with nothing to do; a snapshot that has something to decode
	 * needs the decoder (-EINVAL).
	 *
	 * The caller keeps the snapshot until the acquire is over. What the
	 * calls get is good during the call. The calls may call the library,
	 * and grow what is the instance's; until the acquire is over,
	 * fl_instance_release() refuses the instance, and each other one of
	 * the same fl_snapshot_acquire().
	 */
	struct fl_snapshot *snapshot;
	/* Make count references, from what encode_elements gave for them, at
	 * elements, which hold nothing. The first is element first_idx of table
	 * table_idx. Never called for nulls. A call that fails leaves no
	 * reference there: the library puts nulls and drops nothing. */
	int (*decode_elements)(void *user, struct fl_instance *instance,
			       uint32_t table_idx, uint64_t first_idx,
			       const uint64_t *values, uint64_t count,
			       void *elements);
	/* Take back what encode_state gave. */
	int (*decode_state)(void *user, struct fl_instance *instance,
			    const void *bytes, uint64_t length_bytes);
	/* Mend what points into the slots: bases, cached pointers. */
	int (*rebind)(void *user, struct fl_instance *instance);
	/* The instance is whole: renew what clones must not share. *how is good
	 * during the call. */
	int (*restored)(void *user, struct fl_instance *instance,
			const struct fl_restored *how);
	/*
	 * Limits of this tenant, below those of the module and the pool: bytes
	 * of each memory and elements of each table that the module defines,
	 * and the bytes of all these memories and tables together. An instance
	 * that starts with more is refused (-E2BIG). Growth past a limit fails
	 * like growth past the maximum, and memory.grow is -1. What is imported
	 * counts for its owner. UINT64_MAX
	 */
	uint64_t max_memory_bytes;
	uint64_t max_table_elements;
	uint64_t max_total_bytes;
	/*
	 * Asked before a memory or a table of the instance grows, within all
	 * limits: 0 lets it grow, anything else refuses, and the growth fails
	 * with -E2BIG. *growth is good during the call. The call may look at
	 * the instance and at the pool; it must not grow, reset or release what
	 * is the instance's, and must return. Memories of one instance may ask
	 * from several threads at once. NULL: nobody is asked.
	 */
	int (*may_grow)(void *user, struct fl_instance *instance,
			const struct fl_growth *growth);
	/*
	 * Begin as what this delta holds of its snapshot, which has one
	 * instance; snapshot is NULL, or that of the delta. All is as with
	 * snapshot, and the decoders get what the session had; restored is told
	 * FL_RESTORE_WOKEN, and gets another generation_id at each wake. What
	 * the session had grown by is grown again, within the limits above, and
	 * may_grow is asked. The acquire needs the delta no longer when it is
	 * over. fl_instance_reset() with the same config leads back to what the
	 * delta holds, and with its snapshot alone to the snapshot. NULL
	 */
	struct fl_delta *delta;
	/*
	 * 1: what decode_elements makes depends on nothing but the values, the
	 * snapshot, the place of the element, and the addresses of *instance, of
	 * its structure, its memories and its tables; it holds nothing that a
	 * release gives back; and the call does nothing else. Then
	 * fl_instance_acquire() may leave the call out for a table which has in
	 * it what the call made for an earlier clone of the same snapshot with
	 * all of these at the same addresses. A slot keeps a copy of it for
	 * that. The copy counts for max_idle_slot_bytes. At its release each
	 * byte of such a table that differs gets the copy's; a table that has
	 * grown is reset, like all others. Not where clone_element or
	 * drop_element is set, nor in fl_snapshot_acquire(), and not by the two
	 * halves, of which fl_instance_allocate() gives nulls. 0
	 */
	uint32_t binds_tables;
	/*
	 * 1: what decode_state and rebind leave in the structure depends on
	 * nothing but the snapshot, the pointer user (not what it points to,
	 * which the next tenant may share or find changed), and the addresses
	 * of *instance, of its structure, its memories and its tables; it holds
	 * nothing that a release gives back; the two do nothing else; and
	 * decode_elements does not write there. Then fl_instance_acquire() may
	 * leave both calls out for a structure that the two made for an earlier
	 * clone of the same snapshot with all of these the same. It may have
	 * been changed since, by its tenant, the runtime or restored: a slot
	 * keeps a copy from before restored, and at a release each byte that
	 * differs gets the copy's, up to the end of the structure's last host
	 * page. The cost is that of comparing instance_bytes. The copy counts
	 * as one of binds_tables does. Not with delta, nor in
	 * fl_snapshot_acquire(), and not by the two halves. 0
	 */
	uint32_t binds_structure;
};

#define FL_INSTANCE_CONFIG_INIT                                              \
	{                                                                    \
		.size = sizeof(struct fl_instance_config),                   \
		.max_memory_bytes = UINT64_MAX,                              \
		.max_table_elements = UINT64_MAX,                            \
		.max_total_bytes = UINT64_MAX,                               \
	}

FL__DEFINE_INIT(fl_instance_config, FL_INSTANCE_CONFIG)

/*
 * Take an instance and initialise it: fl_instance_allocate(), then
 * fl_instance_initialise(). config may be NULL. The runtime keeps globals and
 * the start function, and tables too in a pool whose max_tables is 0.
 * Specification: "Instantiation".
 *
 * Errors: -EINVAL, -E2BIG, -EAGAIN, -ETIMEDOUT, -ENOMEM, -ECHILD, -EPERM, -EIO, as
 * fl_memory_acquire() and fl_pool_validate(); -ENOTSUP: the pool does not hold what
 * the tunables take for granted, the snapshot was made by fl_snapshot_create(), or a
 * table or the structure was given an image in place; what the runtime's calls
 * return; -EFAULT: an active segment is out of bounds, error->trap says which trap.
 * After an error nothing is held. What was written to imported memories and tables
 * before stays written, as the specification says.
 */
FL_API int fl_instance_acquire(struct fl_pool *pool, struct fl_module *module,
			       const struct fl_instance_config *config,
			       struct fl_instance **instance,
			       struct fl_error *error);

/*
 * The first half: one slot for each memory and table that the module defines,
 * and one for the runtime's structure. Memories show their images; tables show
 * theirs, or nulls. For runtimes that fill their structure before they can make
 * elements. Errors: -EINVAL, -E2BIG, -EAGAIN, -ETIMEDOUT, -ENOMEM, -ECHILD, -EPERM,
 * -EIO, -ENOTSUP, as fl_instance_acquire(); -EFAULT (an image that a table or the
 * structure was given ends in an out-of-bounds segment).
 */
FL_API int fl_instance_allocate(struct fl_pool *pool, struct fl_module *module,
				const struct fl_instance_config *config,
				struct fl_instance **instance,
				struct fl_error *error);

/*
 * The second half, once, with the same config: the table initialisers and
 * active segments that no image has covered, for tables, then for memories,
 * each in order. Errors: -EFAULT, -EINVAL, -EIO (an imported memory shows a file in
 * place that was cut), -ENOMEM, -EPERM (as fl_memory_apply_segments()), -ECHILD.
 * After any but -ECHILD what came before is written, and the instance is still to
 * be released.
 */
FL_API int fl_instance_initialise(struct fl_instance *instance,
				  const struct fl_instance_config *config,
				  struct fl_error *error);

/* Give an instance back: its memories, tables and structure in reverse order.
 * The preconditions of fl_memory_release() hold for each of them. Returns 0,
 * -EIO or -ENOMEM (as fl_memory_release(), for any of them), -EINVAL (not live,
 * or a clone whose acquire is not over) or -ECHILD. */
FL_API int fl_instance_release(struct fl_instance *instance);

/*
 * Make an instance what it was after fl_instance_allocate(), with the same
 * handles at the same addresses: the memories and tables that its module defines,
 * the runtime's structure, and which segments were dropped. The elements of
 * tables are dropped first. config is the one of the allocate, and matters for
 * its snapshot: a clone returns to the snapshot. fl_instance_initialise() with
 * the same config makes the instance ready again. Imported memories and tables
 * stay as they are. The preconditions are those of fl_instance_release().
 *
 * Errors: -EINVAL (not a live instance, or a clone whose acquire is not over;
 * config has another snapshot, or one of several instances), -ENOTSUP (config has
 * a snapshot that was opened without a binding), -ECHILD: nothing was done. -ENOMEM, -EPERM, -EIO (as fl_memory_reset(), for any part): the instance
 * is only to be released.
 */
FL_API int fl_instance_reset(struct fl_instance *instance,
			     const struct fl_instance_config *config,
			     struct fl_error *error);

/* Memory memory_idx of the module's index space, imported memories included;
 * NULL past the last memory. */
FL_API struct fl_memory *fl_instance_memory(const struct fl_instance *instance,
					    uint32_t memory_idx);
/* Table table_idx likewise; NULL also where the runtime keeps tables. */
FL_API struct fl_table *fl_instance_table(const struct fl_instance *instance,
					  uint32_t table_idx);
/* The module, lent while the instance lives, and user of fl_instance_config. */
FL_API struct fl_module *fl_instance_module(const struct fl_instance *instance);
FL_API void *fl_instance_user(const struct fl_instance *instance);

/* The runtime's own structure, instance_bytes of fl_pool_config. The structure
 * stays at its address while the instance lives, and the slot's next instance
 * has its structure there again. NULL when instance_bytes is 0. */
FL_API void *fl_instance_structure(const struct fl_instance *instance);

/*
 * memory.init: copy from data segment data_idx to a memory. A dropped segment
 * counts as empty, and so does an active segment, which instantiation drops. An
 * index past the last segment traps too. For one instance, one thread at a time
 * calls fl_data_drop(). Specification: "Memory Instructions".
 */
FL_API enum fl_trap fl_memory_init(struct fl_instance *instance,
				   uint32_t memory_idx, uint32_t data_idx,
				   uint64_t dst_off, uint64_t src_off,
				   uint64_t length_bytes);
/* data.drop. */
FL_API void fl_data_drop(struct fl_instance *instance, uint32_t data_idx);

/*
 * table.init from element segment segment_idx of the module, by make_element. A
 * dropped segment counts as empty, and so do active and declared segments after
 * initialisation. An index past the last segment traps, and so does a segment
 * that needs a make_element which is NULL. Specification: "Table Instructions".
 */
FL_API enum fl_trap fl_table_init(struct fl_instance *instance,
				  uint32_t table_idx, uint32_t segment_idx,
				  uint64_t dst_idx, uint64_t src_idx,
				  uint64_t count);
/* elem.drop. */
FL_API void fl_elem_drop(struct fl_instance *instance, uint32_t segment_idx);

/* ---------------------------------------------------------------- snapshot */

struct fl_snapshot_config {
	size_t size;
	/* The runtime's name for the encoding of its state: of the values and
	 * bytes below, not of a build. Files carry the name, and
	 * fl_snapshot_open() compares it. At most 255 bytes. NULL: "". */
	const char *encoding;
	/* Do tables, and the runtime's structure, hold no pointer? Then they are
	 * taken as bytes, tables for pools with the same table_null. Otherwise
	 * tables pass encode_elements, and the structure is encode_state's.
	 * 0 */
	uint32_t plain_tables;
	uint32_t plain_structure;
	/* No thread runs in a shared memory either. 0: refuse shared memories. */
	uint32_t is_quiet;
	uint32_t reserved;
	/* The calls below give nothing of the capture back. What they change in
	 * the instance is captured or not: memories are captured first, then
	 * tables in order, each with the elements that are not null before the
	 * first call for the table, then the structure. */
	/* Write a number for each of count references: what the reference is in
	 * terms that hold in any process, for instance the index of a function.
	 * No number may be UINT64_MAX, which stands for null. The first is
	 * element first_idx of table table_idx. Never called for nulls. An
	 * error that is not 0 ends the capture. */
	int (*encode_elements)(void *user, struct fl_instance *instance,
			       uint32_t table_idx, uint64_t first_idx,
			       const void *elements, uint64_t count,
			       uint64_t *values);
	/* Give the bytes that the runtime adds: globals and whatever else is
	 * the runtime's, as values and indices, never addresses. With buffer
	 * NULL the call gives the length alone; the second call gets a buffer
	 * of that length, and may give a smaller one. */
	int (*encode_state)(void *user, struct fl_instance *instance,
			    void *buffer, uint64_t *length_bytes);
	void *user;
};

#define FL_SNAPSHOT_CONFIG_INIT { .size = sizeof(struct fl_snapshot_config) }

FL__DEFINE_INIT(fl_snapshot_config, FL_SNAPSHOT_CONFIG)

/*
 * Capture an instance that has started: the content and size of each memory and
 * table that its module defines, which segments were dropped, the runtime's
 * structure, and the bytes that the runtime adds. The instance lives on, and
 * later writes of the instance change nothing in the snapshot. config may be
 * NULL. A memory's writable prefix is not captured.
 *
 * The runtime answers for three things that nothing checks: no guest code runs in
 * the instance during the call, no guest frame is on a stack, and no I/O into its
 * memories is in flight.
 *
 * Time is linear in the image and in what was written; on a rung that cannot tell
 * what was written ("discard"), in the size of the memories.
 *
 * What the captured instance knows, every clone and every file knows: secrets,
 * random state, clocks, identifiers, handles of the host. Capture before secrets
 * arrive, and renew the rest in fl_instance_config.restored: seed random
 * generators from generation_id, read clocks anew, open handles anew.
 *
 * Several instances that use each other's memories or tables are captured in
 * one call, each after those that it imports from. An instance that imports
 * from an instance which is not in the call is refused (-EINVAL). Memories and
 * tables taken alone are the caller's to capture (fl_image_from_memory(),
 * fl_image_from_table()) and to give to each clone.
 *
 * Errors: -EINVAL, -ENOTSUP (a memory is lent, or is shared and is_quiet is 0; a
 * table holds references and there is no encode_elements; there is a structure
 * that is not plain and no encode_state), -ENOMEM, -E2BIG, -ECHILD, -EPERM, -EIO, and
 * what the runtime's calls return, if the code is one of fl_strerror(); other
 * codes become -EIO. After an error nothing is held.
 */
FL_API int fl_instance_snapshot(struct fl_instance *const *instances,
				uint32_t instance_count,
				const struct fl_snapshot_config *config,
				struct fl_snapshot **snapshot,
				struct fl_error *error);

/* One instance of a runtime that keeps memories and state itself. */
struct fl_snapshot_parts {
	size_t size;
	struct fl_module *module;
	/* By the module's index space; NULL entries: not in the snapshot. */
	struct fl_image *const *images;
	uint32_t image_count;
	uint32_t reserved;
	/* Everything else, as values and indices, never addresses; copied. */
	const void *state;
	uint64_t state_bytes;
	const char *encoding;		/* as in fl_snapshot_config */
};

#define FL_SNAPSHOT_PARTS_INIT { .size = sizeof(struct fl_snapshot_parts) }

FL__DEFINE_INIT(fl_snapshot_parts, FL_SNAPSHOT_PARTS)

/*
 * Make a snapshot of parts that the runtime captured: images of memories
 * (fl_image_from_memory()) and its own bytes. The runtime clones such a snapshot
 * itself, by fl_snapshot_image() and fl_snapshot_state(); the acquires refuse it
 * (-ENOTSUP). Errors: -EINVAL (also: an image smaller or larger than the type of
 * its memory allows), -EFAULT (an image ends in an out-of-bounds segment), -ENOMEM.
 */
FL_API int fl_snapshot_create(const struct fl_snapshot_parts *parts,
			      struct fl_snapshot **snapshot,
			      struct fl_error *error);

/* The bytes that encode_state gave for an instance, or fl_snapshot_create() got;
 * NULL where there are none. The snapshot lends them. The call always sets
 * *length_bytes. */
FL_API const void *fl_snapshot_state(const struct fl_snapshot *snapshot,
				     uint32_t instance_idx,
				     uint64_t *length_bytes);

/* Snapshots are immutable and reference-counted, and hold their modules.
 * Instances hold the images they show, not the snapshot. NULL is allowed in
 * release. */
FL_API struct fl_snapshot *fl_snapshot_retain(struct fl_snapshot *snapshot);
FL_API void fl_snapshot_release(struct fl_snapshot *snapshot);

struct fl_snapshot_info {
	size_t size;		/* set by the caller to sizeof */
	uint32_t instance_count;
	uint32_t image_count;	/* of memories, plain tables, structures */
	uint64_t stored_bytes;	/* storage that the images take */
	/* Encoded elements, and the runtime's bytes. Of a file that was opened
	 * only to be looked at, all that it holds beside images: also what the
	 * library says there of each instance. */
	uint64_t state_bytes;
	const char *encoding;	/* lent while the snapshot lives */
	/* Of a snapshot from a file: SHA-256 of each module's bytes, 32 bytes
	 * each, lent; 0 and NULL otherwise. */
	const uint8_t *module_digests;
	uint32_t module_count;
	uint32_t reserved;
};

FL_API void fl_snapshot_info(const struct fl_snapshot *snapshot,
			     struct fl_snapshot_info *info);

/* The module of an instance of the snapshot; NULL past the last instance. The
 * snapshot lends the module. */
FL_API struct fl_module *fl_snapshot_module(const struct fl_snapshot *snapshot,
					    uint32_t instance_idx);

/* The image of a memory (by the module's index space) of an instance; NULL for
 * imported memories and past the last one. For fl_memory_config.image, and for
 * fl_pool_purge(). The snapshot lends the image. */
FL_API struct fl_image *fl_snapshot_image(const struct fl_snapshot *snapshot,
					  uint32_t instance_idx,
					  uint32_t memory_idx);

/*
 * Take a clone of each instance of a snapshot, all or none. configs[i] is for
 * instance i: as in fl_instance_acquire(), but snapshot is not looked at, and
 * imported memories and tables that come from an instance of the snapshot are
 * the library's to give: their entries may be NULL. instances[] gets the clones.
 * Both have instance_count of fl_snapshot_info() entries, and which instance is
 * of which module fl_snapshot_module() tells: in a snapshot from a file, the file
 * decides both.
 *
 * Errors: -EINVAL, -E2BIG, -EAGAIN, -ETIMEDOUT, -ENOMEM, -ECHILD, -EPERM, -EIO,
 * -ENOTSUP, as fl_instance_acquire() with a snapshot, and what the runtime's calls
 * return; -ENOTSUP also of a snapshot that was opened only to be looked at.
 */
FL_API int fl_snapshot_acquire(struct fl_pool *pool,
			       struct fl_snapshot *snapshot,
			       const struct fl_instance_config *const *configs,
			       struct fl_instance **instances,
			       struct fl_error *error);

/*
 * Write a snapshot to a file, as fl_image_write() does. The file holds the
 * images, the encoded values and the runtime's bytes, no address, the hash of
 * each module's bytes and the name of the encoding. A snapshot that was opened
 * only to be looked at is written as it is. Errors: -EINVAL, -EPERM, -ENOMEM, -EIO,
 * as fl_image_write(); -E2BIG (more than 1 GiB of state).
 */
FL_API int fl_snapshot_write(const struct fl_snapshot *snapshot,
			     const char *path, struct fl_error *error);

/* The same by flags: 0, or of enum fl_write_flags. Errors: -EINVAL, -EPERM, -ENOMEM,
 * -EIO, -E2BIG, as fl_snapshot_write(); -EINVAL (flags), -ENOTSUP (FL_WRITE_ZSTD). */
FL_API int fl_snapshot_write_as(const struct fl_snapshot *snapshot,
				const char *path, uint32_t flags,
				struct fl_error *error);

/* What a file must belong to. */
struct fl_snapshot_binding {
	size_t size;
	/* The modules of the snapshot's instances; others may be among them. */
	struct fl_module *const *modules;
	uint32_t module_count;
	uint32_t reserved;
	const char *encoding;		/* as in fl_snapshot_config */
	/* Do tables, and the runtime's structure, hold no pointer? Then a file
	 * may have them as bytes, which no decoder sees. Otherwise such a file
	 * is refused, because the bytes would be taken for pointers. 0 */
	uint32_t plain_tables;
	uint32_t plain_structure;
};

#define FL_SNAPSHOT_BINDING_INIT { .size = sizeof(struct fl_snapshot_binding) }

FL__DEFINE_INIT(fl_snapshot_binding, FL_SNAPSHOT_BINDING)

/*
 * Make a snapshot of a file, which is untrusted, as fl_image_open() makes an
 * image. A clone of the snapshot calls the same decoders as a clone of the one
 * that was written; values and bytes that these get are as untrusted as the
 * file. FL_OPEN_IN_PLACE maps the images of memories; plain tables and plain
 * structures are copied.
 *
 * binding may be NULL: then the snapshot is only to be looked at, as its deltas
 * are, and to be written. Every image is mapped, fl_snapshot_info() says that there
 * are 0 instances, and calls that clone, make a delta or wake one are -ENOTSUP.
 *
 * Errors: -EINVAL, -EPERM, -ENOEXEC, -ENOTSUP, -E2BIG, -ENOMEM, -EIO, as
 * fl_image_open(); -EINVAL (no module of the binding has the bytes
 * that the file was written with; tables or structures as bytes, and the binding
 * does not say that they are plain), -ENOTSUP (the state has another encoding;
 * tables or structures as bytes of a system where C's types lie otherwise, as on
 * Windows and Linux: between such systems all travels but these).
 */
FL_API int fl_snapshot_open(struct fl_context *context, const char *path,
			    int fd, uint32_t flags,
			    const struct fl_snapshot_binding *binding,
			    struct fl_snapshot **snapshot,
			    struct fl_error *error);

/* The same of a page source, as fl_image_open_source() makes an image: the images
 * of memories come by the way that config (NULL: the defaults) asks for, plain
 * tables and plain structures are copied. Errors: -EINVAL, -EPERM, -ENOEXEC,
 * -ENOTSUP, -E2BIG, -ENOMEM, -EIO, -ETIMEDOUT, as fl_snapshot_open() and
 * fl_image_open_source(). */
FL_API int fl_snapshot_open_source(struct fl_context *context,
				   struct fl_page_source *source,
				   const struct fl_load_config *config,
				   const struct fl_snapshot_binding *binding,
				   struct fl_snapshot **snapshot,
				   struct fl_error *error);

/* The digest of the file that fl_snapshot_write() writes, as
 * fl_image_digest(); of a snapshot from a file, the digest of that file. Errors:
 * -ENOMEM, -E2BIG (more than 1 GiB of state), -EIO (FL_OPEN_IN_PLACE alone). */
FL_API int fl_snapshot_digest(struct fl_snapshot *snapshot,
			      uint8_t digest[32], struct fl_error *error);

/* The content of one memory, or of one plain table, as an image, for runtimes
 * that own the rest. config gives is_quiet and plain_tables, and may be NULL for
 * a memory. Everything else as for fl_instance_snapshot(). Errors: -EINVAL (also: the
 * memory or table is not live), -ENOTSUP (also: fl_table_create() made the table),
 * -ENOMEM, -E2BIG, -ECHILD, -EPERM, -EIO. */
FL_API int fl_image_from_memory(const struct fl_memory *memory,
				const struct fl_snapshot_config *config,
				struct fl_image **image,
				struct fl_error *error);
FL_API int fl_image_from_table(const struct fl_table *table,
			       const struct fl_snapshot_config *config,
			       struct fl_image **image,
			       struct fl_error *error);

/* ------------------------------------------------------------------- delta */

/*
 * What differs from a snapshot: a session that sleeps. A delta is made of what
 * began as a clone, by a suspend, which ends it, or as a checkpoint. It takes what
 * the session changed, in lines of 64 bytes, and what the runtime encodes. Any
 * number of clones may be woken by one delta, in any process that has the snapshot.
 *
 * A delta is its bytes (fl_delta_bytes()), which any store may keep. They hold no
 * address and nothing of the host, name their snapshot by its digest, and carry a
 * checksum, which is no authentication: sign what others may write.
 *
 * Deltas are immutable and reference-counted, and hold their snapshot. The bytes
 * alone hold nothing: whoever stores them keeps the snapshot, as an open snapshot
 * or as its file, until the last of them is gone. A delta is always against the
 * snapshot, never against another delta. fl_memory_written() started anew, and a
 * reset in place, lose nothing for it.
 */

struct fl_delta_config {
	size_t size;
	/* That the instances were cloned or woken with. */
	struct fl_snapshot *snapshot;
	/* How the runtime encodes: as it was for the snapshot. NULL: the
	 * defaults, as in fl_instance_snapshot(). */
	const struct fl_snapshot_config *capture;
	/* As in fl_delta_parts. */
	uint8_t tag[32];
	void *buffer;
	uint64_t buffer_bytes;
	uint64_t *needed_bytes;
};

#define FL_DELTA_CONFIG_INIT { .size = sizeof(struct fl_delta_config) }

FL__DEFINE_INIT(fl_delta_config, FL_DELTA_CONFIG)

/*
 * A checkpoint of the instances of a snapshot, all of them and in its order: what
 * differs from the snapshot now in memories and tables that their modules define,
 * sizes, dropped segments, the runtime's structure, and the bytes that the runtime
 * encodes. Of a table whose elements are encoded, the entries are kept whose values
 * differ. The instances live on. What the runtime answers for, and what is captured
 * of what encoders change, is as for fl_instance_snapshot().
 *
 * Time is linear in what was written, in tables that are encoded, and in the state;
 * on a rung that cannot tell what was written ("discard"), in the size of memories.
 *
 * Errors: -EINVAL (also: the instances are not those of the snapshot; another
 * encoding, or plain where the snapshot is not), -ENOTSUP, -E2BIG, -ENOMEM, -ECHILD,
 * -EPERM, -EIO, as of fl_memory_delta() and fl_instance_snapshot(), and what the
 * runtime's calls return. After an error nothing has changed.
 */
FL_API int fl_instance_delta(struct fl_instance *const *instances,
			     uint32_t instance_count,
			     const struct fl_delta_config *config,
			     struct fl_delta **delta, struct fl_error *error);

/*
 * The same, and the instances are released, as by fl_instance_release(), the last
 * one first. After an error all of them live, and after 0 none, as of
 * fl_memory_suspend(). Errors: -EINVAL, -ENOTSUP, -E2BIG, -ENOMEM, -ECHILD, -EPERM,
 * -EIO, as fl_instance_delta().
 */
FL_API int fl_instance_suspend(struct fl_instance *const *instances,
			       uint32_t instance_count,
			       const struct fl_delta_config *config,
			       struct fl_delta **delta,
			       struct fl_error *error);

/*
 * Take a clone of each instance of the delta's snapshot, as fl_snapshot_acquire()
 * does, and wake them: all or none. delta in configs[i] is not looked at. Errors:
 * -EINVAL, -E2BIG, -EAGAIN, -ETIMEDOUT, -ENOMEM, -ECHILD, -EPERM, -EIO, -ENOTSUP, as
 * fl_snapshot_acquire().
 */
FL_API int fl_delta_acquire(struct fl_pool *pool, struct fl_delta *delta,
			    const struct fl_instance_config *const *configs,
			    struct fl_instance **instances,
			    struct fl_error *error);

/* What a delta of memories is made of, for runtimes that own the rest. */
struct fl_delta_parts {
	size_t size;
	/* By fl_snapshot_create(), or opened from its file. */
	struct fl_snapshot *snapshot;
	/* By the module's index space: each memory was acquired with that image
	 * of the snapshot; NULL where the snapshot has no image. */
	struct fl_memory *const *memories;
	uint32_t memory_count;
	/* No thread runs in a shared memory either. 0: refuse shared memories. */
	uint32_t is_quiet;
	/* Everything else now, in the snapshot's encoding: what differs from
	 * the snapshot's state is kept. */
	const void *state;
	uint64_t state_bytes;
	/* The caller's: which session, which version. fl_delta_open() compares
	 * it. */
	uint8_t tag[32];
	/* Where the delta's bytes go, which the caller keeps while the delta
	 * lives; NULL: memory of the library. The pages that may have been
	 * written bound what a delta takes, and a buffer below that is refused
	 * (-E2BIG). needed_bytes (may be NULL) gets the bound, also then. A rung
	 * without tracking may count what was only read, so the bound of the
	 * next call may be higher. */
	void *buffer;
	uint64_t buffer_bytes;
	uint64_t *needed_bytes;
};

#define FL_DELTA_PARTS_INIT { .size = sizeof(struct fl_delta_parts) }

FL__DEFINE_INIT(fl_delta_parts, FL_DELTA_PARTS)

/*
 * A checkpoint of memories: what differs from the snapshot now. The memories live
 * on. No guest code runs in them during the call, and no I/O into them is in
 * flight. A memory's writable prefix is not taken.
 *
 * Time is linear in what was written and in the state; on a rung that cannot tell
 * what was written ("discard"), in the size of the memories, and the bytes are the
 * same. The first delta of a snapshot computes its digest.
 *
 * Errors: -EINVAL (also: a memory is not live, or shows another image), -ENOTSUP (a
 * memory is lent, or is shared and is_quiet is 0), -E2BIG (buffer_bytes; tables of
 * more than 4 GiB), -ENOMEM, -ECHILD, -EPERM, -EIO (an image that is mapped in place or
 * loaded on demand cannot be read). After an error nothing has changed.
 */
FL_API int fl_memory_delta(const struct fl_delta_parts *parts,
			   struct fl_delta **delta, struct fl_error *error);

/*
 * The same, and the memories are released, as by fl_memory_release(), whose
 * preconditions hold. Each was taken alone. After an error they live and nothing
 * has changed. After 0 they are gone and the delta stands, whatever became of their
 * slots: fl_delta_info.release_error says what a release would have answered.
 * Errors: -EINVAL (also: a memory is an instance's), -ENOTSUP, -E2BIG, -ENOMEM,
 * -ECHILD, -EPERM, -EIO, as fl_memory_delta().
 */
FL_API int fl_memory_suspend(const struct fl_delta_parts *parts,
			     struct fl_delta **delta, struct fl_error *error);

/*
 * Make a delta of bytes that fl_delta_bytes() gave anywhere, and that may be
 * hostile. All of them are checked: nothing that the snapshot's module could not
 * have come to is taken. What the guest's bytes, the values and the state say is as
 * untrusted as the bytes. tag: the 32 bytes that the delta must carry; NULL: any.
 * With FL_BYTES_BORROW the bytes are used where they are, unchanged until the delta
 * is released. A snapshot that was opened only to be looked at serves to look at a
 * delta.
 *
 * Errors: -ENOEXEC (error->byte_off says where), -EINVAL (a delta of another
 * snapshot, or with another tag), -ENOTSUP (another version, or the state has
 * another encoding), -E2BIG, -ENOMEM, -EIO (as fl_snapshot_digest()).
 */
FL_API int fl_delta_open(struct fl_snapshot *snapshot, const void *bytes,
			 uint64_t length_bytes,
			 enum fl_bytes_ownership ownership,
			 const uint8_t *tag, struct fl_delta **delta,
			 struct fl_error *error);

/* NULL is allowed in release. */
FL_API struct fl_delta *fl_delta_retain(struct fl_delta *delta);
FL_API void fl_delta_release(struct fl_delta *delta);

/* The bytes of a delta, to be kept anywhere. The delta lends them. */
FL_API const void *fl_delta_bytes(const struct fl_delta *delta,
				  uint64_t *length_bytes);

struct fl_delta_info {
	size_t size;		/* set by the caller to sizeof */
	struct fl_snapshot *snapshot;	/* lent */
	uint64_t length_bytes;
	uint64_t line_count;	/* of 64 bytes */
	uint32_t instance_count;
	/* Of a suspend: 0, or the -EIO or -ENOMEM of fl_memory_release(). */
	int32_t release_error;
	const uint8_t *tag;		/* 32 bytes, lent */
	const uint8_t *snapshot_digest;	/* 32 bytes, lent */
};

FL_API void fl_delta_info(const struct fl_delta *delta,
			  struct fl_delta_info *info);

/* Of what part of an instance a stretch is, and in what it is counted. */
enum fl_part {
	FL_PART_MEMORY = 1,		/* bytes */
	FL_PART_PLAIN_TABLE = 2,	/* bytes */
	FL_PART_TABLE = 3,		/* elements, as the runtime encodes them */
	FL_PART_STRUCTURE = 4,		/* bytes */
	FL_PART_DROPPED_DATA = 5,	/* segments */
	FL_PART_DROPPED_ELEMENTS = 6,	/* segments */
	FL_PART_STATE = 7,		/* the runtime's bytes */
};

/* A stretch that differs. Later versions may add fields at the end. */
struct fl_difference {
	uint32_t part;			/* enum fl_part */
	uint32_t instance_idx;
	/* By the module's index space; 0 for parts 4 to 7. */
	uint32_t part_idx;
	/* The delta has it too. */
	uint32_t is_touched;
	/* Bytes come in lines of 64; the last line may be cut. count 0: the
	 * length of the part differs, which is told before its stretches. */
	uint64_t first, count;
	/* Of the part, before and after. */
	uint64_t was_length, length;
};

/* Tell, in order, each stretch by which a delta differs from its snapshot. What fn
 * returns, if not 0, ends the call. Of a snapshot that was opened only to be looked
 * at, was_length is length. Any thread. 0, or what fn returned. */
FL_API int fl_delta_differences(
	const struct fl_delta *delta,
	int (*fn)(void *user, const struct fl_difference *difference),
	void *user);

/*
 * Tell, in order, each stretch in which a later snapshot of the same modules
 * differs from an earlier one, and whether a delta of the earlier one (NULL: none)
 * has the stretch too. A session that has none of them saw nothing of what is new,
 * which is necessary for moving it to the later snapshot and never sufficient: what
 * its bytes mean there the runtime alone can decide. An image that one snapshot
 * lacks counts as zeroes.
 *
 * Time is linear in the data of both. Any thread. 0, what fn returned, or: -EINVAL
 * (other modules, another number of instances, a snapshot that was opened only to be
 * looked at, or a delta of another snapshot object), -ENOMEM, -EIO (an image in
 * place cannot be read).
 */
FL_API int fl_snapshot_differences(
	const struct fl_snapshot *was, const struct fl_snapshot *now,
	const struct fl_delta *delta,
	int (*fn)(void *user, const struct fl_difference *difference),
	void *user, struct fl_error *error);

/*
 * Give a memory the size and the content that it had. memory_idx is by the
 * module's index space. The memory is fresh: acquired with
 * fl_snapshot_image(snapshot, 0, memory_idx), of its size, and not written yet,
 * which nothing checks.
 *
 * Errors: -EINVAL (the memory shows another image, or has another size or pages of
 * another size), -ENOTSUP (the snapshot was opened without a binding), -E2BIG (it
 * may not grow as large), -ENOMEM, -EPERM, -ECHILD, -EIO (an image in place was
 * cut). After an error the memory is only to be released.
 */
FL_API int fl_delta_restore_memory(const struct fl_delta *delta,
				   uint32_t memory_idx,
				   struct fl_memory *memory,
				   struct fl_error *error);

/*
 * Copy the state that an instance had to buffer, which has *length_bytes. With
 * buffer NULL, or a buffer that is too small (-E2BIG), nothing is copied.
 * *length_bytes always gets the length of the state. Errors: -E2BIG, -EINVAL (past
 * the last instance).
 */
FL_API int fl_delta_read_state(const struct fl_delta *delta,
			       uint32_t instance_idx, void *buffer,
			       uint64_t *length_bytes);

/* ------------------------------------------------------------------ packer */

/*
 * Deltas packed for a store: compressed by zstd, with a dictionary that was trained
 * on deltas of the same snapshot. A dictionary holds pieces of the deltas that it
 * was trained on: train it on sessions whose content nobody has to hide, and keep
 * it as long as what was packed with it. What a packer takes and gives is compressed
 * and no more: fl_delta_unpack() checks all that fl_delta_open() checks.
 *
 * Packed bytes begin with "FLZ", the version 1, and eight bytes that name the
 * dictionary, little-endian: the first eight of its SHA-256, 0 without one. A frame
 * of zstd follows, which gives the length of the delta and nothing else.
 *
 * A library that was built without libzstd answers -ENOTSUP to fl_packer_create(),
 * fl_packer_train() and fl_packed_info(), and says so.
 */

struct fl_packer_config {
	size_t size;
	/* Of all deltas that are packed and unpacked. The packer holds it. */
	struct fl_snapshot *snapshot;
	/* What fl_packer_train() gave, or any bytes that look like the deltas;
	 * the packer copies them. NULL: none. */
	const void *dictionary;
	uint64_t dictionary_bytes;
	/* The largest delta that is packed, and that bytes may claim to be. */
	uint64_t max_delta_bytes;
	int32_t level;		/* of zstd, -131072 to 22 */
	uint32_t reserved;
};

#define FL_PACKER_CONFIG_INIT                     \
	{ .size = sizeof(struct fl_packer_config), \
	  .max_delta_bytes = UINT64_C(1) << 28,    \
	  .level = 3 }

FL__DEFINE_INIT(fl_packer_config, FL_PACKER_CONFIG)

/*
 * Make a packer, for any number of threads: each that packs or unpacks at the same
 * time takes some 200 KiB more, up to 10 MiB with high levels, until the packer is
 * destroyed. Errors: -EINVAL (also: the dictionary is damaged), -ENOTSUP (built
 * without libzstd), -ENOMEM, -E2BIG and -EIO (as fl_snapshot_digest()).
 */
FL_API int fl_packer_create(const struct fl_packer_config *config,
			    struct fl_packer **packer, struct fl_error *error);

/* No thread uses it. What it unpacked lives on. NULL is allowed. */
FL_API void fl_packer_destroy(struct fl_packer *packer);

/*
 * Make a dictionary of deltas, which are of one snapshot: some hundred or more, of
 * sessions as different as they will be. dictionary has *dictionary_bytes, at least
 * 1024: 16 to 64 KiB serve well. *dictionary_bytes gets what was used. Takes
 * memory and time in proportion to all the deltas, some ten bytes and a tenth of a
 * microsecond for each byte. Errors: -EINVAL (deltas of several snapshots; too few,
 * or with too little in common), -ENOTSUP (built without libzstd), -E2BIG (more
 * than 1 GiB of deltas), -ENOMEM.
 */
FL_API int fl_packer_train(struct fl_delta *const *deltas, uint32_t delta_count,
			   void *dictionary, uint64_t *dictionary_bytes,
			   struct fl_error *error);

/*
 * Pack a delta into a buffer, which has *packed_bytes; *packed_bytes gets what was
 * used. With buffer NULL, *packed_bytes gets what is enough for any delta of this
 * length. Errors: -EINVAL (a delta of another snapshot), -E2BIG (the buffer, or
 * max_delta_bytes, is too small), -ENOMEM.
 */
FL_API int fl_delta_pack(struct fl_packer *packer, const struct fl_delta *delta,
			 void *buffer, uint64_t *packed_bytes,
			 struct fl_error *error);

/*
 * Make a delta of packed bytes, which may be hostile: nothing longer than
 * max_delta_bytes is made of them, and what they hold is checked as by
 * fl_delta_open(). tag: as in fl_delta_open().
 *
 * Errors: -ENOEXEC (also: not packed bytes, or damaged ones), -EINVAL (also: another
 * dictionary was packed with, and error->text names it), -ENOTSUP, -E2BIG
 * (max_delta_bytes), -ENOMEM.
 */
FL_API int fl_delta_unpack(struct fl_packer *packer, const void *bytes,
			   uint64_t length_bytes, const uint8_t *tag,
			   struct fl_delta **delta, struct fl_error *error);

struct fl_packed_info {
	size_t size;		/* set by the caller to sizeof */
	uint64_t dictionary_id;	/* 0: none */
	uint64_t delta_bytes;	/* as the bytes claim */
};

/* What packed bytes say of themselves, for a store that has several dictionaries.
 * Errors: -ENOEXEC, -ENOTSUP (another version; built without libzstd). */
FL_API int fl_packed_info(const void *bytes, uint64_t length_bytes,
			  struct fl_packed_info *info, struct fl_error *error);

/* ------------------------------------------------------------------- stack */

/*
 * A fiber's stack, between two guards of stack_guard_bytes, where every access is
 * SIGSEGV; its code may be SEGV_MAPERR (feature guard-markers) or SEGV_ACCERR.
 * [low, high) is usable. top is where the first frame begins: high, rounded down
 * to the alignment, or low where stacks grow up. Stacks are never registered with
 * userfaultfd.
 */
struct fl_stack {
	uint8_t *low;
	uint8_t *high;
	uint8_t *top;
};

/*
 * Take a stack. Its bytes are unspecified, or zero with zero_stacks. timeout_ns
 * as in fl_memory_config.
 *
 * Errors: -EAGAIN, -ETIMEDOUT (all in use), -ENOTSUP (the pool's max_stacks is
 * 0, or, on demand, its stack_bytes), -ENOMEM, -EPERM, -EIO, -ECHILD.
 */
FL_API int fl_stack_acquire(struct fl_pool *pool, uint64_t timeout_ns,
			    struct fl_stack **stack, struct fl_error *error);

/* Give a stack back, once, from any thread. Nothing runs on the stack any more.
 * Errors: -EINVAL (not a live stack), -ECHILD, -ENOMEM (the stack is released,
 * but could not be zeroed: as of fl_memory_release()). */
FL_API int fl_stack_release(struct fl_stack *stack);

/* ------------------------------------------------------------------- fault */

enum fl_fault_kind {
	FL_FAULT_NOT_OURS = 0,		/* no pool of this context */
	/* Outside the current size of a memory or table but inside its slot or
	 * guards: a WebAssembly trap if guest code made the access. The part of
	 * a slot that is accessible anyway (struct fl_table,
	 * FL_BOUNDS_ACCESSIBLE) does not fault. */
	FL_FAULT_OUT_OF_BOUNDS = 1,
	/* Inside the current size: not a trap of the guest, but a page that
	 * could not be read (an image file that was truncated), or a bug. */
	FL_FAULT_IN_BOUNDS = 2,
	/* In a slot where nothing lives: use after release. */
	FL_FAULT_FREE_SLOT = 3,
	/* Inside the current size: a page of an image that is loaded on demand
	 * (fl_image_open_source()) could not be loaded; load_error says why. The
	 * guest's access is to end as a trap does (is_trap is 1, trap none). */
	FL_FAULT_NOT_LOADED = 5,
	/* Next to a stack: an overflow, or an underflow. Only a handler on an
	 * alternate stack (SA_ONSTACK) sees that. The runtime knows whether
	 * this is the guest's trap (is_trap is 0). */
	FL_FAULT_STACK_GUARD = 4,
};

struct fl_fault {
	enum fl_fault_kind kind;
	uint32_t is_trap;		/* to be reported as a guest trap */
	enum fl_trap trap;
	/* With FL_FAULT_NOT_LOADED: -EIO (the source failed or ended), -ENOEXEC
	 * (the bytes have another hash), -ENOMEM, -ETIMEDOUT; otherwise 0. */
	int32_t load_error;
	struct fl_memory *memory;
	struct fl_instance *instance;	/* NULL: the memory was taken alone */
	int64_t offset_bytes;		/* from the base, or low of a stack;
					 * negative before it */
	/* At most one of memory, table and stack is not NULL. With none, and an
	 * instance, the address is at the runtime's structure. */
	struct fl_table *table;
	struct fl_stack *stack;
};

/*
 * What does a faulting address mean? Async-signal-safe. Returns whether the
 * address belongs to a pool of the context.
 *
 * An address in a guard between two memories belongs to the memory below,
 * unless only the memory above is live and the address is within its leading
 * guard or prefix. A guard between two stacks belongs to the stack that grows
 * into the guard; on demand, and at the ends, to the only stack there.
 */
FL_API bool fl_fault_lookup(const struct fl_context *context, const void *addr,
			    struct fl_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
