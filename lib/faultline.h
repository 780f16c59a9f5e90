/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline.h - pooled instance memory for WebAssembly runtimes.
 *
 * A runtime loads a module, opens a pool once, and takes instances, or single
 * memories, tables and fiber stacks, from it. Each shows the module's initial
 * content, is filled lazily, and is made clean for the next tenant when it is
 * released.
 *
 *	context ── module ── image
 *	      └─── pool ─┬── instance ── memory, table, structure
 *	                 ├── memory, table
 *	                 └── stack
 *
 * Read before use
 *
 * - Release has preconditions that no library can check: no thread runs guest
 *   code in the memory, and no I/O into or out of it is in flight (cancelled
 *   and reaped, not merely cancelled). See fl_memory_release().
 * - A context and its pools belong to the process that made them. After fork()
 *   the child may call nothing on them; calls on pools that can fail answer
 *   -ECHILD there, and so does fl_pool_create(). It can make a context of its
 *   own.
 * - The library installs no signal handler, never aborts, and starts no
 *   thread but the one of fl_pool_trim_on_pressure(). A runtime's own SIGSEGV
 *   handler asks fl_fault_lookup() what an address means.
 * - Handles are safe to use from any thread unless a call says otherwise.
 *   The bytes of a memory are the guest's: the library does not order
 *   accesses to them.
 *
 * Conventions
 *
 * - Calls return 0 or a negative errno of the closed set in fl_strerror();
 *   calls that return a WebAssembly trap return enum fl_trap.
 * - `struct fl_error *` is optional everywhere and owned by the caller.
 * - Configuration structs are filled by their fl_*_init() call, which also
 *   sets their size; then change what you need. A struct from a newer header
 *   is accepted as long as what this library does not know is zero.
 * - Sizes and offsets in guest memory are bytes in uint64_t, "wpages" are
 *   64 KiB WebAssembly pages, and "pages" of a memory are of that memory's
 *   own page size (64 KiB, or 1 byte with custom-page-sizes).
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
struct fl_memory;
struct fl_table;
struct fl_stack;

/* ------------------------------------------------------------------ errors */

/* Instantiation and bulk operations end in one of these. Specification:
 * "Instructions", "Instantiation". */
enum fl_trap {
	FL_TRAP_NONE = 0,
	FL_TRAP_MEMORY_OUT_OF_BOUNDS = 1,
	FL_TRAP_TABLE_OUT_OF_BOUNDS = 2,
};

#define FL_ERROR_NO_OFFSET UINT64_MAX

/* What went wrong, in words that say what to change. Written only when a call
 * fails. */
struct fl_error {
	int code;		/* the negative errno that was returned */
	enum fl_trap trap;	/* with -EFAULT: how instantiation trapped */
	uint64_t byte_off;	/* where in the module, or FL_ERROR_NO_OFFSET */
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
};

/*
 * Fill a configuration struct with the library's defaults. size_bytes is the
 * sizeof of the struct that the caller knows: the call writes that many bytes,
 * stores the number in the struct's size field, and zeroes what the library does
 * not know. A kind that the library does not know gives zeroes and the size. Any
 * thread.
 *
 * Each struct has a static inline call of its own, which passes kind and size.
 * C has an initialiser too, which holds the defaults of this header:
 * `struct fl_pool_config config = FL_POOL_CONFIG_INIT;`.
 */
FL_API void fl_config_init(enum fl_config_kind kind, void *config,
			   size_t size_bytes);

/* ----------------------------------------------------------------- context */

struct fl_context_config {
	size_t size;
	/* Which backend: NULL for the best this host allows, "linux", or
	 * "segmented". Naming one that is missing is -ENOTSUP. */
	const char *backend;
	/* How the "linux" backend makes a slot clean: NULL for the best this host
	 * allows, "track", "scan" or "dontneed". See fl_context_rung(). */
	const char *rung;
};

#define FL_CONTEXT_CONFIG_INIT { .size = sizeof(struct fl_context_config) }

static inline void fl_context_config_init(struct fl_context_config *config)
{
	fl_config_init(FL_CONTEXT_CONFIG, config, sizeof(*config));
}

/*
 * Probe the host and open what modules and pools are made from. A runtime
 * needs one. config may be NULL.
 *
 * The environment variable FAULTLINE_DISABLE=name,... takes features and
 * backends away ("linux", "segmented", or a name that fl_context_feature()
 * gives); it cannot add any, and is ignored in set-user-ID programs.
 *
 * Errors: -EINVAL, -ENOTSUP, -ENOMEM.
 */
FL_API int fl_context_create(const struct fl_context_config *config,
			     struct fl_context **context,
			     struct fl_error *error);

/* Give the caller's reference back. Modules, images and pools hold their own;
 * the context goes with the last of them. NULL is allowed. */
FL_API void fl_context_destroy(struct fl_context *context);

/* Name of the backend in use: "linux" or "segmented". */
FL_API const char *fl_context_backend(const struct fl_context *context);

/*
 * How slots are made clean, best first:
 *
 * "track"	write-protect tracking: release costs what was written
 * "scan"	the page table is searched for pages that were ever written
 * "dontneed"	everything is dropped and faulted in again
 * "discard"	the segmented backend: dropped, and copied at attach
 *
 * *reason (optional) gets why it is not a better one, NULL if it is the best.
 */
FL_API const char *fl_context_rung(const struct fl_context *context,
				   const char **reason);

/* What was found when a feature of the host was tried. */
enum fl_support {
	FL_SUPPORT_MISSING = 0,		/* the kernel does not have it */
	FL_SUPPORT_YES = 1,
	FL_SUPPORT_DENIED = 2,		/* it has, but not for this process */
	FL_SUPPORT_BROKEN = 3,		/* it does not do what it should */
	FL_SUPPORT_DISABLED = 4,	/* taken away by FAULTLINE_DISABLE */
};

struct fl_feature {
	size_t size;		/* set by the caller to sizeof */
	const char *name;	/* as FAULTLINE_DISABLE takes it */
	const char *since;	/* first kernel */
	const char *note;	/* file in kernel-notes/ */
	const char *gives;	/* what it is for */
	enum fl_support support;
	int err;		/* 0, or the negative errno of the kernel */
	const char *reason;	/* NULL with support */
	const char *remedy;	/* what would change it; NULL: nothing known */
};

/* Feature idx of the backend in use, from 0 on. -EINVAL past the last; the
 * segmented backend uses none. */
FL_API int fl_context_feature(const struct fl_context *context, uint32_t idx,
			      struct fl_feature *feature);

/* "yes", "missing", "denied", "broken", "disabled". */
FL_API const char *fl_support_name(enum fl_support support);

/* ------------------------------------------------------------------ module */

enum fl_bytes_ownership {
	FL_BYTES_COPY = 0,	/* the library copies the module's bytes */
	FL_BYTES_BORROW = 1,	/* they stay valid and unchanged until released */
};

struct fl_module_config {
	size_t size;
	const void *bytes;
	uint64_t length_bytes;
	enum fl_bytes_ownership ownership;
	/* With FL_BYTES_BORROW: called once, when the library needs the bytes no
	 * more (also when loading fails); from the thread that drops the
	 * last reference, which may be that of fl_pool_trim_on_pressure().
	 * See fl_module_release() for slots that hold one. May be NULL. */
	void (*release)(void *user, const void *bytes);
	void *user;
};

#define FL_MODULE_CONFIG_INIT { .size = sizeof(struct fl_module_config) }

static inline void fl_module_config_init(struct fl_module_config *config)
{
	fl_config_init(FL_MODULE_CONFIG, config, sizeof(*config));
}

/*
 * Read and check a module, and build the images of its memories, once for all
 * instances. The bytes are untrusted: everything that is read is checked
 * (section order, sizes, counts, LEB128 ranges, UTF-8 names, limits, constant
 * expressions); types and code are skipped by size and are the runtime's to
 * validate.
 *
 * Images are built for memories, defined and imported, whose active segments
 * have offsets that are known here. fl_module_memory_type() says which have
 * one. With context NULL nothing is built: the module can be looked at and
 * rewritten, not instantiated.
 *
 * Errors: -EINVAL, -ENOEXEC (error->byte_off says where), -ENOTSUP (a
 * component, or a proposal that is not supported: named), -E2BIG (more
 * than 100,000 segments, 1 GiB, ...), -ENOMEM.
 */
FL_API int fl_module_load(struct fl_context *context,
			  const struct fl_module_config *config,
			  struct fl_module **module, struct fl_error *error);

/* Modules are immutable and reference-counted. Instances hold a reference, so
 * a module may be released while they live. NULL is allowed in release. A free
 * slot of a pool may go on holding that of its last instance, until its next one
 * is of another module, or fl_pool_purge(), fl_pool_trim() of everything or
 * fl_pool_destroy() lets go of it; where it is the last reference, it goes with
 * the instance. */
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
	/* Why instances write active data segments one by one, in no memory
	 * showing an image; NULL: each memory goes by fl_memory_type. */
	const char *segmented_reason;
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
	/* Names, not NUL-terminated, valid while the module lives; NULL if none. */
	const char *import_module;
	const char *import_name;
	const char *export_name;	/* the first one */
	size_t import_module_bytes;
	size_t import_name_bytes;
	size_t export_name_bytes;
	/* Why the memory has no image, NULL if it has one. */
	const char *no_image_reason;
};

/* The type of memory memory_idx. -EINVAL past the last. */
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
};

FL_API int fl_module_table_type(const struct fl_module *module,
				uint32_t table_idx, struct fl_table_type *type);

/* The module's own image of a memory, NULL if it has none. Borrowed from the
 * module; fl_image_retain() keeps it longer. */
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

/* Element segment segment_idx. -EINVAL past the last. */
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
	/* The constant expression, `end` included, valid while the module lives;
	 * NULL where the segment lists functions. */
	const void *expr;
	size_t expr_bytes;
};

/*
 * Copy elements [first, first + count) of a segment to elements[]; every mode,
 * dropped or not. Time is linear in first + count for segments of expressions.
 * -EINVAL when they are not within the segment.
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
	/* The first segment kept whole and why; NULL when none was. */
	uint32_t first_kept_idx;
	uint32_t reserved;
	const char *kept_reason;
};

/*
 * Write the module that goes with its images: each active data segment keeps
 * its index, has length 0, and its offset is moved to the end of its original
 * bytes, so that it traps exactly when the whole one would. Given to a
 * runtime that copies data segments itself, it leaves it nothing to copy.
 *
 * A segment whose end cannot be written as a constant (offset from a
 * global, end beyond the address type) is kept whole, and so are the later
 * active segments of the same memory, because they may overlap it and later
 * ones win. Everything else is unchanged.
 *
 * bytes is allocated; free it with fl_bytes_free(). report may be NULL.
 * Errors: -ENOMEM.
 */
FL_API int fl_module_write_data_free(const struct fl_module *module,
				     void **bytes, uint64_t *length_bytes,
				     struct fl_data_free_report *report,
				     struct fl_error *error);
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
	 * module's minimum. It may exceed it: a larger imported memory, a
	 * snapshot of a grown one. */
	uint64_t initial_bytes;
	/* Values of the module's imported globals in order of import, for
	 * segments placed by them (position-independent side modules). */
	const uint64_t *imported_globals;
	uint32_t imported_global_count;
};

#define FL_IMAGE_CONFIG_INIT { .size = sizeof(struct fl_image_config) }

static inline void fl_image_config_init(struct fl_image_config *config)
{
	fl_config_init(FL_IMAGE_CONFIG, config, sizeof(*config));
}

/*
 * Build the initial content of one memory of a module. config may be NULL.
 * Needed only where fl_module_image() does not serve: the memory starts
 * larger than its minimum, or segments are placed by imported globals.
 *
 * Segments apply in order, later ones win. One that does not fit the initial
 * size ends the image before it: the image keeps what came before, and
 * fl_image_info() reports the trap.
 *
 * Errors: -EINVAL (also: a global that an offset needs has no value),
 * -E2BIG, -ENOMEM.
 */
FL_API int fl_image_from_module(struct fl_context *context,
				const struct fl_module *module,
				uint32_t memory_idx,
				const struct fl_image_config *config,
				struct fl_image **image,
				struct fl_error *error);

/* The same from a list of segments. initial_bytes is the memory's initial
 * size. The bytes are copied once, into the image's storage. */
FL_API int fl_image_from_segments(struct fl_context *context,
				  uint64_t initial_bytes,
				  const struct fl_segment *segments,
				  size_t segment_count,
				  struct fl_image **image,
				  struct fl_error *error);

FL_API struct fl_image *fl_image_retain(struct fl_image *image);
FL_API void fl_image_release(struct fl_image *image);

struct fl_image_info {
	size_t size;		/* set by the caller to sizeof */
	uint64_t initial_bytes;
	uint64_t data_first_bytes;	/* first and last + 1 byte written by a */
	uint64_t data_end_bytes;	/* segment; both 0 without data */
	uint64_t spanned_wpages;	/* from the page of the first data byte */
	uint64_t data_wpages;		/* of these, pages with a non-zero byte */
	uint64_t spanned_hpages;	/* the same in host pages */
	uint64_t data_hpages;
	uint64_t stored_bytes;		/* storage the image takes */
	uint32_t extent_count;		/* mappings an attached image takes */
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
 * Find the first run that ends after from_bytes. A run that begins before
 * from_bytes is cut there, and the last run is cut at the initial size. Returns 1,
 * or 0 when the rest of the image is zero; *run is unchanged then. To see all
 * runs, begin at 0 and continue at offset_bytes + length_bytes. Any thread.
 */
FL_API int fl_image_next_run(const struct fl_image *image, uint64_t from_bytes,
			     struct fl_image_run *run);

/* Copy [offset, offset + length) of the initial content to dst. -EINVAL when
 * it is not within the initial size. */
FL_API int fl_image_read(const struct fl_image *image, uint64_t offset_bytes,
			 void *dst, uint64_t length_bytes);

/* -------------------------------------------------------------------- pool */

enum fl_bounds {
	/* Guards enforce the size: an access beyond it, rounded up to a
	 * host page, faults. For code compiled without bounds checks. */
	FL_BOUNDS_GUARDED = 0,
	/* The whole maximum size is accessible; guest code checks bounds. Growth
	 * needs no system call. Modules compiled without checks must not
	 * run in such a pool. */
	FL_BOUNDS_ACCESSIBLE = 1,
};

enum fl_strategy {
	FL_STRATEGY_REUSE_AFFINITY = 0,	/* a slot that last held the image */
	FL_STRATEGY_NEXT_AVAILABLE = 1,	/* the most recently freed slot */
	FL_STRATEGY_RANDOM = 2,		/* any free slot, uniformly */
};

enum fl_allocation {
	/* Everything is reserved when the pool is made; slots are reused. */
	FL_ALLOCATION_POOLING = 0,
	/* Each memory, table, instance structure and stack is a mapping of its
	 * own, made when it is taken and unmapped when it is released. The
	 * counts max_* do not limit (but a max_tables of 0 still leaves tables
	 * to the runtime), and a memory or table may start larger than the
	 * pool's maximum, which then is its maximum: what strangers may ask
	 * for is the runtime's to limit. Guards, images, traps and calls are the
	 * same. Nothing is ever free, so budgets, audits, trimming and purging
	 * find nothing to do. For development, and for few and large
	 * tenants. */
	FL_ALLOCATION_ON_DEMAND = 1,
};

enum fl_stack_growth {
	FL_STACK_GROWS_DOWN = 0,
	FL_STACK_GROWS_UP = 1,
};

/* A count of 0 reserves nothing. A maximum size of 0 still reserves the
 * stride and its guards, because code without bounds checks must trap on any
 * access. */
struct fl_pool_config {
	size_t size;
	uint32_t max_instances;			/* live at once: 1000 */
	uint32_t max_memories;			/* slots: 1000 */
	uint32_t max_memories_per_instance;	/* 1 */
	uint32_t max_tables;			/* slots: 0 */
	uint32_t max_tables_per_instance;	/* 1 */
	uint32_t max_stacks;			/* slots: 0 */
	uint64_t max_memory_bytes;		/* of one memory: 4 GiB */
	/* What code that runs in one memory can reach from its base; the next
	 * base, with its prefix, lies beyond it. 0: as small as the rest
	 * allows. Default 8 GiB: an access that begins at a 32-bit index plus
	 * a 32-bit offset faults or hits this memory. */
	uint64_t memory_stride_bytes;
	uint64_t memory_alignment_bytes;	/* of each base; 0: host page */
	/* Inaccessible before a base and its prefix: 0. Two slots share one
	 * guard, as large as the larger; at 0 only the first slot has none. */
	uint64_t guard_before_bytes;
	uint64_t guard_after_bytes;		/* after the maximum: 64 KiB */
	uint64_t prefix_bytes;			/* writable, ends at base: 0 */
	uint64_t max_table_elements;		/* of one table: 20,000 */
	/* Width of an element of the tables that instances get, and the widest
	 * that a table taken alone may have: 4, 8, 16, 24 or 32. Default 32. */
	uint64_t table_element_bytes;
	/* The null reference, table_element_bytes long; copied. NULL: zeroes. */
	const void *table_null;
	/* The runtime's own structure of each instance, at a fixed address per
	 * slot: its size (0: none) and the alignment of its address, a power of
	 * two up to 2 MiB (0: a host page's). */
	uint64_t instance_bytes;
	uint64_t instance_alignment_bytes;
	uint64_t stack_bytes;			/* usable, of one stack: 256 KiB */
	enum fl_stack_growth stack_growth;	/* FL_STACK_GROWS_DOWN */
	uint32_t stack_alignment_bytes;		/* of its top: 16 */
	/* Zero a stack before its next tenant: 0 (no). Of a zeroed stack so many
	 * bytes from its top stay resident: 0. */
	uint32_t zero_stacks;
	uint32_t reserved;
	uint64_t stack_keep_resident_bytes;
	enum fl_bounds bounds;			/* FL_BOUNDS_GUARDED */
	enum fl_strategy strategy;		/* FL_STRATEGY_REUSE_AFFINITY */
	enum fl_allocation allocation;		/* FL_ALLOCATION_POOLING */
	uint64_t random_seed;			/* for FL_STRATEGY_RANDOM */
	/* How many freed slots may stay warm before one is taken from
	 * another image in preference to a slot never used: 100. Tables and
	 * instance structures go by the same number, each for itself. */
	uint32_t max_warm_memories;
	/* Compare every n-th released slot with its image byte for byte, and look
	 * whether memory of the process is pinned; 0: never. A slot that
	 * differs is retired and its release answers -EIO. For canaries
	 * and tests: an audit reads the whole memory. 0. */
	uint32_t audit_every;
	/* Memory that a free slot (of a memory, table or instance structure) may
	 * keep resident for its next tenant, and all of them together: 64 MiB,
	 * UINT64_MAX. A slot over its
	 * budget drops what it kept; a pool over its, its oldest slots. */
	uint64_t max_idle_slot_bytes;
	uint64_t max_idle_bytes;
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
}

static inline void fl_pool_config_init(struct fl_pool_config *config)
{
	fl_config_init(FL_POOL_CONFIG, config, sizeof(*config));
}

/*
 * Reserve the pool's address space once. Nothing is committed.
 *
 * Errors: -EINVAL (a value that contradicts another: both are named),
 * -ENOMEM (not enough address space: the error says how much was asked and
 * which value makes it smaller), -EPERM, -ECHILD.
 */
FL_API int fl_pool_create(struct fl_context *context,
			  const struct fl_pool_config *config,
			  struct fl_pool **pool, struct fl_error *error);

/* Unmap the pool. -EBUSY while instances, memories, tables or stacks live, and
 * then nothing is changed; -ECHILD. NULL is allowed. */
FL_API int fl_pool_destroy(struct fl_pool *pool);

/* Would an instance of the module fit this pool? Call it before compiling.
 * -E2BIG names the limit, the value and the field of fl_pool_config to
 * raise (a limit of 0 too). Allocates nothing. */
FL_API int fl_pool_validate(const struct fl_pool *pool,
			    const struct fl_module *module,
			    struct fl_error *error);

/*
 * What compiled code may take for granted about memories. A runtime fills it
 * with what its compiler would like, fl_pool_adjust_tunables() makes it what
 * holds in the pool, and the runtime compiles by that.
 */
struct fl_tunables {
	size_t size;
	/* From the base on, so many bytes are this memory's or fault: 4 GiB. */
	uint64_t memory_reservation_bytes;
	/* Inaccessible after the reservation, and before the base: 32 MiB, 0. */
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

static inline void fl_tunables_init(struct fl_tunables *tunables)
{
	fl_config_init(FL_TUNABLES, tunables, sizeof(*tunables));
}

/*
 * Lower *tunables to what the pool guarantees: the base never moves, the
 * reservation and the guards are the pool's where they are smaller.
 *
 * Errors: -EINVAL (no fl_tunables); -ENOTSUP: the code does not check bounds,
 * and the pool is FL_BOUNDS_ACCESSIBLE, so nothing else would; the error names
 * both. Nothing is changed then.
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
	uint32_t retired_memories;	/* never handed out again */
	uint32_t max_instances;
	uint32_t live_instances;
	uint64_t audited;		/* releases compared with the image */
	uint64_t audit_failures;	/* of them, that differed: retired */
	uint64_t audit_pins;		/* of them, beside pinned memory: emptied */
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
	 * slot (-EAGAIN, -ETIMEDOUT) or of memory (-ENOMEM). */
	uint64_t acquired_memories;
	uint64_t acquired_tables;
	uint64_t acquired_instances;
	uint64_t acquired_stacks;
	uint64_t refused_memories;
	uint64_t refused_tables;
	uint64_t refused_instances;
	uint64_t refused_stacks;
};

FL_API void fl_pool_info(const struct fl_pool *pool, struct fl_pool_info *info);

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

/* Metric idx, from 0 on. -EINVAL past the last, -ECHILD. Those of
 * fl_pool_usage() cost what that costs. */
FL_API int fl_pool_metric(struct fl_pool *pool, uint32_t idx,
			  struct fl_metric *metric);

/*
 * Configuration, backend, rung, features and metrics as one JSON object in
 * UTF-8, NUL-terminated; free *json with fl_bytes_free(). *length_bytes
 * (optional) does not count the NUL. A metric without value is null. -ENOMEM,
 * -ECHILD.
 */
FL_API int fl_pool_dump_json(struct fl_pool *pool, char **json,
			     uint64_t *length_bytes, struct fl_error *error);

/* What the pool's memories, tables and instance structures take, from the page
 * tables, now. Live ones go on running while they are counted. */
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
};

/* Errors: -ENOTSUP (the backend cannot look: its rung is "dontneed" or
 * "discard"; or the pool allocates on demand), -ECHILD, -EIO. Costs a walk of
 * the page tables. */
FL_API int fl_pool_usage(struct fl_pool *pool, struct fl_pool_usage *usage,
			 struct fl_error *error);

/*
 * Give memory of free slots back to the system, those first that have been free
 * longest (the one that each processor freed last counts as young), until at
 * least bytes were given back or every free slot is empty. The next memory
 * taken from such a slot starts cold. *trimmed_bytes (optional) gets what was
 * given back, as far as the backend can tell. When every free slot is empty,
 * they let go of modules too. Any thread; live memories are not touched.
 * -ECHILD.
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
 * reference during the call and then calls fl_module_release(). Where other
 * threads acquire meanwhile, one of these threads may be the last to let go, a
 * moment later. Any thread. Errors: -EINVAL (both are NULL), -ECHILD.
 */
FL_API int fl_pool_purge(struct fl_pool *pool, const struct fl_module *module,
			 const struct fl_image *image, uint32_t *purged);

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

static inline void fl_pressure_config_init(struct fl_pressure_config *config)
{
	fl_config_init(FL_PRESSURE_CONFIG, config, sizeof(*config));
}

/*
 * Start a thread that trims the pool whenever the kernel reports that pressure;
 * fl_pool_destroy() ends it. Once a pool. config may be NULL.
 *
 * Errors: -EINVAL (stall and window are not what the kernel takes; without
 * privilege the window must be a multiple of 2 s), -EBUSY (there is one
 * already), -ENOTSUP, -EPERM, -ENOMEM, -ECHILD.
 */
FL_API int fl_pool_trim_on_pressure(struct fl_pool *pool,
				    const struct fl_pressure_config *config,
				    struct fl_error *error);

/* ------------------------------------------------------------------ memory */

/* For the static inline calls below. */
static inline uint64_t fl_load_acquire(const uint64_t *word)
{
#if defined(__GNUC__)
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
#else
	return *(const volatile uint64_t *)word;
#endif
}

/*
 * A linear memory. base never moves and this struct stays where it is while
 * the memory lives. Compiled code may read both fields at these offsets:
 * base at 0, length_bytes at 8. For a shared memory read length_bytes
 * atomically. Do not write them.
 */
struct fl_memory {
	uint8_t *base;
	uint64_t length_bytes;
};

struct fl_memory_config {
	size_t size;
	struct fl_image *image;		/* initial content, NULL for zeroes */
	/* 0 with an image: the image's. Another size is taken as it is, as
	 * long as the image's content fits. */
	uint64_t initial_bytes;
	uint64_t max_bytes;		/* growth ends here; UINT64_MAX: pool's */
	uint64_t page_bytes;		/* unit of growth: 65536 */
	uint32_t is_shared;		/* several threads use it */
	uint32_t is_lent;		/* as after fl_memory_lend() */
	/* How long to wait for a free slot, in nanoseconds. 0: not at all,
	 * -EAGAIN; UINT64_MAX: for ever. */
	uint64_t timeout_ns;
};

#define FL_MEMORY_CONFIG_INIT {						\
	.size = sizeof(struct fl_memory_config),			\
	.max_bytes = UINT64_MAX,					\
	.page_bytes = 65536,						\
}

static inline void fl_memory_config_init(struct fl_memory_config *config)
{
	fl_config_init(FL_MEMORY_CONFIG, config, sizeof(*config));
}

/*
 * Take one memory from the pool, without an instance. Any thread.
 *
 * Errors: -EINVAL, -E2BIG, -EAGAIN and -ETIMEDOUT (all slots in use), -ENOMEM,
 * -EFAULT (the image ends in an out-of-bounds segment; no memory is taken),
 * -ECHILD, -EIO. After an error nothing is held.
 */
FL_API int fl_memory_acquire(struct fl_pool *pool,
			     const struct fl_memory_config *config,
			     struct fl_memory **memory, struct fl_error *error);

/*
 * Give a memory back and make its slot clean. Any thread, once.
 *
 * Before the call, and nothing checks it:
 * - no thread runs guest code in it or uses it through the host;
 * - no I/O into or out of it is in flight: cancelled *and* reaped. A read that
 *   lands later writes into the next tenant's memory; a vmsplice() or
 *   MSG_ZEROCOPY send still queued sends the next tenant's bytes;
 * - if any page of it is pinned or lent to someone for longer than the tenancy
 *   (io_uring registered buffers, RDMA, vfio, vmsplice()), fl_memory_lend()
 *   was called;
 * - nothing was mapped over any part of it, or fl_memory_lend() was called;
 * - nobody else erases write-protect marks: a forked child using inherited
 *   descriptors, or a process that may open this one's pagemap.
 * A memory that belongs to an instance is released with the instance.
 *
 * Returns 0 also when the slot could not be cleaned: it is then retired, which
 * fl_pool_info() counts. -EINVAL: not a live memory taken alone, as after a
 * release of it that nobody has followed with an acquire. -EIO: an audit found
 * the slot unclean; it is retired. -ECHILD: a forked child; nothing was done.
 */
FL_API int fl_memory_release(struct fl_memory *memory);

/*
 * Declare that pages of the memory are pinned, or lent to someone who may hold
 * them after its release. The release then gives its slot new pages instead of
 * copying back in place; the old ones stay with who holds them. Call it before
 * the pages are lent. Lasts for the tenancy. Any thread. -ECHILD.
 */
FL_API int fl_memory_lend(struct fl_memory *memory);

/* The live memory whose base this is, NULL if none: for runtimes that free by
 * pointer. Any thread, no lock. */
FL_API struct fl_memory *fl_memory_find(const struct fl_pool *pool,
					const void *base);

/*
 * memory.grow: make the memory delta_pages larger, in place, filled with
 * zeroes. *old_pages (optional) gets the size before, in whole pages. Growth of
 * one memory is serialised; other threads may use the memory meanwhile.
 *
 * Errors: -E2BIG (beyond the maximum), -ENOMEM, -ECHILD; -EPERM or -EIO when the
 * kernel refuses otherwise. After each of them memory.grow answers -1, and
 * nothing has changed. Specification: "memory.grow".
 */
FL_API int fl_memory_grow(struct fl_memory *memory, uint64_t delta_pages,
			  uint64_t *old_pages);

/*
 * Make [offset, offset + length) resident and writable before it is handed to
 * a system call. -EINVAL when it is not within the memory; -ENOMEM.
 */
FL_API int fl_memory_prefault(struct fl_memory *memory, uint64_t offset_bytes,
			      uint64_t length_bytes);

/* memory.size, in bytes. Any thread: the read is an atomic acquire. */
static inline uint64_t fl_memory_length(const struct fl_memory *memory)
{
	return fl_load_acquire(&memory->length_bytes);
}

/* memory.copy and memory.fill. Bounds are checked before anything is written.
 * dst and src may be the same memory and overlap. */
FL_API enum fl_trap fl_memory_copy(struct fl_memory *dst, uint64_t dst_off,
				   const struct fl_memory *src,
				   uint64_t src_off, uint64_t length_bytes);
FL_API enum fl_trap fl_memory_fill(struct fl_memory *memory, uint64_t offset,
				   uint8_t value, uint64_t length_bytes);

/*
 * Apply the active segments of a module to a live memory, in order, as
 * instantiation does: for a side module whose memory is imported and has
 * content. Returns 0, also when a segment does not fit: then *trap says so, and
 * what came before it is written. config gives the imported globals, and may be
 * NULL.
 *
 * Errors: -EINVAL when a segment's offset cannot be known; *trap is
 * FL_TRAP_NONE then, and the segments before it are written.
 */
FL_API int fl_memory_apply_segments(struct fl_memory *memory,
				    const struct fl_module *module,
				    uint32_t memory_idx,
				    const struct fl_image_config *config,
				    enum fl_trap *trap, struct fl_error *error);

/* ------------------------------------------------------------------- table */

/*
 * A table: elements of a fixed width, as the runtime represents references. This
 * struct stays where it is while the table lives. Compiled code may read both
 * fields at these offsets: base at 0, length at 8. Do not write them.
 *
 * base never moves, except when a table with dynamic storage grows. One thread
 * at a time changes a table; the runtime sees to that.
 *
 * No guard enforces the length: what lies between it and the end of the slot is
 * accessible. Compiled code compares each index with length.
 */
struct fl_table {
	void *base;
	uint64_t length;	/* in elements */
};

struct fl_table_config {
	size_t size;
	/* 4, 8, 16, 24 or 32. 0: the pool's table_element_bytes. */
	uint32_t element_bytes;
	uint32_t reserved;
	uint64_t initial_elements;
	uint64_t max_elements;	/* growth ends here; UINT64_MAX: the storage's */
	/* The null reference, element_bytes long; copied. NULL: the pool's if
	 * that is as wide, else zeroes. */
	const void *null;
	/* Initial content, from fl_image_from_segments() with offsets in bytes;
	 * all initial_elements of it, nulls included: what the image leaves
	 * out is zeroes. NULL: nulls. */
	struct fl_image *image;
	/*
	 * For references that are counted. clone makes *dst, which holds
	 * nothing, another reference like *src; drop ends the reference that
	 * *element holds. Both see non-null elements only, and may not fail nor
	 * call the table. Both or neither; without, elements are plain bytes.
	 * Not together with an image, whose references nobody has cloned.
	 */
	void (*clone)(void *user, void *dst, const void *src);
	void (*drop)(void *user, void *element);
	void *user;
	uint64_t timeout_ns;	/* as in fl_memory_config */
	/* For fl_table_create() alone. Static storage: memory of the caller,
	 * aligned to 8 bytes, that outlives the table; growth ends with it and
	 * base stays. NULL: dynamic storage, from malloc(), which moves. */
	void *storage;
	uint64_t storage_bytes;
};

#define FL_TABLE_CONFIG_INIT {						\
	.size = sizeof(struct fl_table_config),				\
	.max_elements = UINT64_MAX,					\
}

static inline void fl_table_config_init(struct fl_table_config *config)
{
	fl_config_init(FL_TABLE_CONFIG, config, sizeof(*config));
}

/*
 * Take one table from the pool, without an instance. It grows in place, up to
 * the pool's max_table_elements. Any thread.
 *
 * Errors: as fl_memory_acquire(); -E2BIG also when the pool's max_tables is 0.
 * After an error nothing is held.
 */
FL_API int fl_table_acquire(struct fl_pool *pool,
			    const struct fl_table_config *config,
			    struct fl_table **table, struct fl_error *error);

/*
 * Make a table outside of any pool, in static or dynamic storage; all of its
 * elements are null (config->image is not for it: -EINVAL).
 *
 * Errors: -EINVAL, -E2BIG (the storage is too small), -ENOMEM.
 */
FL_API int fl_table_create(const struct fl_table_config *config,
			   struct fl_table **table, struct fl_error *error);

/*
 * End a table, made or taken: its elements are dropped, its slot is made clean;
 * static storage is left as it is. No thread uses the table any more. One that
 * belongs to an instance is released with it. Returns 0, -EINVAL (as
 * fl_memory_release()), -EIO (an audit), -ECHILD.
 */
FL_API int fl_table_release(struct fl_table *table);

/* The live table of the pool whose base this is, NULL if none. Any thread, no
 * lock. */
FL_API struct fl_table *fl_table_find(const struct fl_pool *pool,
				      const void *base);

/*
 * table.get and table.set. Elements are copied (cloned, where the table has
 * calls for it): to *element, from *element. A copied-out reference is the
 * caller's to drop.
 */
FL_API enum fl_trap fl_table_get(const struct fl_table *table, uint64_t idx,
				 void *element);
FL_API enum fl_trap fl_table_set(struct fl_table *table, uint64_t idx,
				 const void *element);

/* table.size, in elements. Any thread: the read is an atomic acquire. */
static inline uint64_t fl_table_size(const struct fl_table *table)
{
	return fl_load_acquire(&table->length);
}

/*
 * table.grow: delta elements more, each *element (NULL: null). *old_elements
 * (optional) gets the size before. -E2BIG (beyond the maximum), -ENOMEM, -ECHILD:
 * table.grow answers -1, and nothing has changed.
 */
FL_API int fl_table_grow(struct fl_table *table, uint64_t delta,
			 const void *element, uint64_t *old_elements);

/* table.fill; element NULL: null. Here and below bounds are checked before
 * anything is written. */
FL_API enum fl_trap fl_table_fill(struct fl_table *table, uint64_t idx,
				  const void *element, uint64_t count);

/* table.copy. dst and src may be the same table and overlap. Tables of different
 * widths trap. */
FL_API enum fl_trap fl_table_copy(struct fl_table *dst, uint64_t dst_idx,
				  const struct fl_table *src, uint64_t src_idx,
				  uint64_t count);

/* table.init from elements that the runtime keeps: [src_idx, src_idx + count)
 * of element_count at elements. A dropped segment is one of no elements. */
FL_API enum fl_trap fl_table_init_elements(struct fl_table *table,
					   uint64_t dst_idx,
					   const void *elements,
					   uint64_t element_count,
					   uint64_t src_idx, uint64_t count);

/* ---------------------------------------------------------------- instance */

struct fl_instance_config {
	size_t size;
	/* The memories that the module imports, in order of import. They are
	 * used as they are, unless fills_imports is set. */
	struct fl_memory *const *imported_memories;
	uint32_t imported_memory_count;
	uint32_t imported_global_count;
	const uint64_t *imported_globals;	/* as in fl_image_config */
	uint64_t timeout_ns;	/* as in fl_memory_config, for each kind */
	void *user;		/* returned by fl_instance_user() */
	/* The tables that the module imports, in order of import. */
	struct fl_table *const *imported_tables;
	uint32_t imported_table_count;
	/* Write the module's active data segments to imported memories too: they
	 * have content already, as of a side module, and no image. 0 */
	uint32_t fills_imports;
	/*
	 * Make the runtime's representation of a reference, in *element, which
	 * holds nothing. Called for what active element segments, table
	 * initialisers and table.init put into tables; not for nulls. May not
	 * fail. *from is good during the call. The one that the instance was
	 * allocated with is used as long as it lives. NULL: tables begin with
	 * nulls or their image, and their segments are the runtime's, with
	 * fl_table_init_elements().
	 */
	void (*make_element)(void *user, struct fl_instance *instance,
			     const struct fl_element *from, void *element);
	/* Initial content of the tables that the module defines, one entry for
	 * each, in order, as fl_table_config.image; NULL, or NULL entries: none.
	 * It replaces the table's initialiser and active segments. */
	struct fl_image *const *table_images;
	uint32_t table_image_count;
	uint32_t reserved;
	/* For tables that the module defines: as in fl_table_config, with user
	 * of this struct. */
	void (*clone_element)(void *user, void *dst, const void *src);
	void (*drop_element)(void *user, void *element);
	/* Initial content of the runtime's structure; NULL: zeroes. */
	struct fl_image *structure_image;
	/* What the module was compiled by; NULL: nothing is checked. Refused
	 * (-ENOTSUP) if the pool guarantees less. */
	const struct fl_tunables *tunables;
};

#define FL_INSTANCE_CONFIG_INIT { .size = sizeof(struct fl_instance_config) }

static inline void fl_instance_config_init(struct fl_instance_config *config)
{
	fl_config_init(FL_INSTANCE_CONFIG, config, sizeof(*config));
}

/*
 * Take an instance and initialise it: fl_instance_allocate(), then
 * fl_instance_initialise(). config may be NULL. Any thread. Globals and the
 * start function are the runtime's; so are tables in a pool whose max_tables
 * is 0.
 *
 * Errors: as fl_memory_acquire() and fl_pool_validate(); -EFAULT: an active
 * segment is out of bounds, error->trap says which trap. After an error
 * nothing is held; what was written to imported memories and tables before
 * stays written, as the specification says.
 */
FL_API int fl_instance_acquire(struct fl_pool *pool, struct fl_module *module,
			       const struct fl_instance_config *config,
			       struct fl_instance **instance,
			       struct fl_error *error);

/*
 * The first half: one slot for each memory and table that the module defines,
 * and one for the runtime's structure. Memories show their images; tables show
 * theirs, or nulls. For runtimes that fill their structure before elements
 * can be made. Errors: as fl_instance_acquire(), without segments.
 */
FL_API int fl_instance_allocate(struct fl_pool *pool, struct fl_module *module,
				const struct fl_instance_config *config,
				struct fl_instance **instance,
				struct fl_error *error);

/*
 * The second half, once, with the same config: tables, then memories, each in
 * order; table initialisers and active segments that no image has
 * covered. After an error (-EFAULT, -EINVAL) what came before is written and
 * the instance is still to be released.
 */
FL_API int fl_instance_initialise(struct fl_instance *instance,
				  const struct fl_instance_config *config,
				  struct fl_error *error);

/* Give an instance back: its memories, tables and structure in reverse order.
 * The preconditions of fl_memory_release() hold for each of them. Returns 0,
 * -EIO (as fl_memory_release(), for any of them), -EINVAL (not a live
 * instance) or -ECHILD. */
FL_API int fl_instance_release(struct fl_instance *instance);

/* Memory memory_idx of the module's index space, imported ones included; NULL
 * past the last. */
FL_API struct fl_memory *fl_instance_memory(const struct fl_instance *instance,
					    uint32_t memory_idx);
/* Table table_idx likewise; NULL also where tables are the runtime's. */
FL_API struct fl_table *fl_instance_table(const struct fl_instance *instance,
					  uint32_t table_idx);
FL_API struct fl_module *fl_instance_module(const struct fl_instance *instance);
FL_API void *fl_instance_user(const struct fl_instance *instance);

/* The runtime's own structure, instance_bytes of fl_pool_config; it stays at its
 * address while the instance lives, and the slot's next instance has it there
 * again. NULL when instance_bytes is 0. */
FL_API void *fl_instance_structure(const struct fl_instance *instance);

/*
 * memory.init: copy from data segment data_idx to a memory. A dropped segment,
 * and an active one (dropped by instantiation), counts as empty. An index past
 * the last traps too. One thread at a time for an instance's data.drop.
 */
FL_API enum fl_trap fl_memory_init(struct fl_instance *instance,
				   uint32_t memory_idx, uint32_t data_idx,
				   uint64_t dst_off, uint64_t src_off,
				   uint64_t length_bytes);
/* data.drop. */
FL_API void fl_data_drop(struct fl_instance *instance, uint32_t data_idx);

/*
 * table.init from element segment segment_idx of the module, by make_element.
 * A dropped segment counts as empty, as active and declared ones do after
 * initialisation. An index past the last, and a segment that cannot be made
 * for want of make_element, trap.
 */
FL_API enum fl_trap fl_table_init(struct fl_instance *instance,
				  uint32_t table_idx, uint32_t segment_idx,
				  uint64_t dst_idx, uint64_t src_idx,
				  uint64_t count);
/* elem.drop. */
FL_API void fl_elem_drop(struct fl_instance *instance, uint32_t segment_idx);

/* ------------------------------------------------------------------- stack */

/*
 * A fiber's stack, between two inaccessible guards. [low, high) is usable; top
 * is where the first frame begins: high, rounded down to the alignment, or
 * low where stacks grow up. Its bytes are never registered with userfaultfd.
 */
struct fl_stack {
	uint8_t *low;
	uint8_t *high;
	uint8_t *top;
};

/*
 * Take a stack. What is on it is unspecified, or zero with zero_stacks. Any
 * thread. timeout_ns as in fl_memory_config.
 *
 * Errors: -EAGAIN, -ETIMEDOUT (all in use), -ENOTSUP (the pool's max_stacks is
 * 0, or, on demand, its stack_bytes), -ENOMEM, -ECHILD.
 */
FL_API int fl_stack_acquire(struct fl_pool *pool, uint64_t timeout_ns,
			    struct fl_stack **stack, struct fl_error *error);

/* Give a stack back. Nothing runs on it any more. Any thread, once. -EINVAL: not
 * a live stack; -ECHILD. A stack that cannot be zeroed is retired. */
FL_API int fl_stack_release(struct fl_stack *stack);

/* ------------------------------------------------------------------- fault */

enum fl_fault_kind {
	FL_FAULT_NOT_OURS = 0,		/* no pool of this context */
	/* Outside the current size of a memory or table but inside its slot or
	 * guards: a WebAssembly trap if guest code did it. The part of a slot
	 * that is accessible anyway (struct fl_table, FL_BOUNDS_ACCESSIBLE) does
	 * not fault. */
	FL_FAULT_OUT_OF_BOUNDS = 1,
	/* Inside the current size: not a trap of the guest, but a page
	 * that could not be read (an image file that was truncated), or a bug. */
	FL_FAULT_IN_BOUNDS = 2,
	/* In the slot of nothing that lives: use after release. */
	FL_FAULT_FREE_SLOT = 3,
	/* Next to a stack: it has overflowed, or run under. Only a handler on an
	 * alternate stack (SA_ONSTACK) sees that; whether it is the guest's trap
	 * the runtime knows (is_trap is 0). */
	FL_FAULT_STACK_GUARD = 4,
};

struct fl_fault {
	enum fl_fault_kind kind;
	uint32_t is_trap;		/* to be reported as a guest trap */
	enum fl_trap trap;
	uint32_t reserved;
	struct fl_memory *memory;
	struct fl_instance *instance;	/* NULL: the memory was taken alone */
	int64_t offset_bytes;		/* from the base, or low of a stack;
					 * negative before it */
	/* At most one of memory, table and stack is not NULL; none, and an
	 * instance: the address is at the runtime's structure. */
	struct fl_table *table;
	struct fl_stack *stack;
};

/*
 * What does a faulting address mean? Async-signal-safe; any thread. Returns
 * whether the address belongs to a pool of the context. An address in a guard
 * between two memories belongs to the one below it, unless only the one above it
 * is live and the address is within that one's leading guard or prefix. A guard
 * between two stacks is that of the stack which grows into it; on demand, and
 * at the ends, that of the only stack there.
 */
FL_API bool fl_fault_lookup(const struct fl_context *context, const void *addr,
			    struct fl_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
