/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c.h - memories and tables from a Faultline pool for modules
 * that wabt's wasm2c translated to C.
 *
 * wasm2c's generated code asks wasm-rt for its memories and tables, in calls
 * that cannot fail, and then copies the module's data segments into them. With
 * this adapter they come from a pool, and memories show the segments already:
 *
 *	struct fl_wasm2c_batch batch;
 *
 *	memset(&instance, 0, sizeof(instance));
 *	err = fl_wasm2c_begin(&batch, pool, module, &instance,
 *			      sizeof(instance), 0, &error);
 *	if (err)
 *		...			nothing is held
 *	Z_app_instantiate(&instance);	takes what the batch has
 *	err = fl_wasm2c_end(&batch);
 *	if (err)
 *		...			batch.error; nothing was taken
 *	Z_app_free(&instance);		gives them back to the pool
 *
 * What to do once
 *
 * - Link with what `pkg-config --libs faultline-wasm2c` says, before
 *   -lwasm-rt-impl. It makes the linker send the calls that allocate, grow
 *   and free memories and tables here. What was not taken through this
 *   header goes on to the wasm-rt that is linked, as before.
 * - Where the linker sees no call, it cannot send any: with wasm-rt-impl.c and
 *   wasm2c's output in one translation unit, one link-time optimisation, one
 *   object of `ld -r` or one shared library. There the preprocessor does it:
 *   `-include faultline-wasm2c-route.h` for wasm2c's output and the host. That
 *   works however one links.
 * - On Windows the linker has no part in it, and the .pc file says no --wrap: the
 *   preprocessor does it, with the same option. wasm2c's output wants <alloca.h>,
 *   for which a file that includes <malloc.h> does in mingw-w64. Of faults see
 *   the vectored handler in tests/hosts/guest.c: it asks fl_fault_lookup(), and
 *   lets the thread go on in a function that traps.
 * - Give wasm2c the data-free module (fl_module_write_data_free(), or
 *   `wasm-image`) and fl_module_load() the whole one. Given the whole module,
 *   wasm2c copies the segments again: correct, but no faster than without a
 *   pool.
 * - Keep the pool's default stride of 8 GiB and FL_BOUNDS_GUARDED: the
 *   generated code checks no bounds. A smaller stride is refused, and an
 *   accessible pool.
 * - Tables are the pool's if its max_tables is not 0, and wasm-rt's otherwise.
 *   Give it as many as instances have together, max_table_elements of the
 *   largest, growth included, and table_element_bytes of 24 or more. They
 *   begin with nulls; wasm2c's code writes the element segments.
 *
 * A table grows in place, up to the smaller of the module's maximum and the
 * pool's max_table_elements; max_size of wasm-rt's struct shows the module's.
 *
 * What was freed is out of reach for the struct that described it: freeing it
 * again does nothing, a memory's bytes fault, a table has no elements. So an
 * importer that was not freed before what it imports harms no later tenant.
 *
 * Threads: any; begin, instantiate and end of one instance belong to one
 * thread. This is for wabt 1.0.32, whose generated code keeps a memory's size
 * in 32 bits: a memory ends at 65,535 WebAssembly pages.
 */
#ifndef FAULTLINE_WASM2C_H
#define FAULTLINE_WASM2C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <faultline.h>
#include <wasm-rt.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Memories and tables that one module may define. */
#define FL_WASM2C_MAX_MEMORIES 4
#define FL_WASM2C_MAX_TABLES 16

/* What is for one instance, between begin and end. The caller owns the struct and
 * keeps it in place until fl_wasm2c_end(); the content is the adapter's. */
struct fl_wasm2c_batch {
	struct fl_wasm2c_batch *outer;
	uintptr_t instance;
	size_t instance_bytes;
	uint32_t count;
	uint32_t taken;
	uint32_t table_count;
	uint32_t table_taken;
	uint32_t is_funcref; /* a bit for each table */
	uint32_t has_tables;
	uint32_t is_refused;
	uint32_t reserved;
	struct fl_error error; /* of fl_wasm2c_end(); the caller may read it */
	struct fl_memory *memories[FL_WASM2C_MAX_MEMORIES];
	struct fl_table *tables[FL_WASM2C_MAX_TABLES];
};

/*
 * Take the memories that the module defines, each with its initial content, and
 * if the pool has tables, the tables that it defines, of nulls. instance and
 * instance_bytes say where the struct is that wasm2c's instantiate function
 * will fill: memories and tables inside it, and no others, are then served
 * from the batch. Zero the struct first, so that it can be freed after a
 * trap. timeout_ns as in fl_memory_config, but a waiting thread is not cancelled
 * here.
 *
 * Instantiating another module, whose memories or tables differ from the module
 * given here, ends in WASM_RT_TRAP_UNREACHABLE.
 *
 * Errors: as fl_memory_acquire() and fl_table_acquire(), among them -EFAULT for
 * a module whose instantiation traps; -ENOTSUP: the pool's stride is below
 * 8 GiB, the pool is accessible, or a memory or table is of a kind that wasm2c
 * cannot translate;
 * -E2BIG: more memories than FL_WASM2C_MAX_MEMORIES, more tables than
 * FL_WASM2C_MAX_TABLES. After an error nothing is held and the batch need not
 * be ended.
 */
int fl_wasm2c_begin(struct fl_wasm2c_batch *batch, struct fl_pool *pool,
		    const struct fl_module *module, const void *instance,
		    size_t instance_bytes, uint64_t timeout_ns,
		    struct fl_error *error);

/*
 * Where wasm-rt's calls go from the file that includes this header. The macros
 * below ask before a begin or an acquire takes anything; -ENOTSUP if the calls
 * do not come to the adapter. The linker may still treat wasm2c's output
 * otherwise than this file, hence the look of fl_wasm2c_end().
 */
struct fl_wasm2c_routes {
	void (*allocate_memory)(wasm_rt_memory_t *, uint32_t, uint32_t);
	uint32_t (*grow_memory)(wasm_rt_memory_t *, uint32_t);
	void (*free_memory)(wasm_rt_memory_t *);
};
int fl_wasm2c_check_routes(const struct fl_wasm2c_routes *routes,
			   struct fl_error *error);

static inline int fl_wasm2c_check_here(struct fl_error *error)
{
	const struct fl_wasm2c_routes routes = {
		wasm_rt_allocate_memory,
		wasm_rt_grow_memory,
		wasm_rt_free_memory,
	};

	return fl_wasm2c_check_routes(&routes, error);
}

static inline int
fl_wasm2c_begin_here(struct fl_wasm2c_batch *batch, struct fl_pool *pool,
		     const struct fl_module *module, const void *instance,
		     size_t instance_bytes, uint64_t timeout_ns,
		     struct fl_error *error)
{
	int err = fl_wasm2c_check_here(error);

	return err ? err :
		     fl_wasm2c_begin(batch, pool, module, instance,
				     instance_bytes, timeout_ns, error);
}
#define fl_wasm2c_begin(batch, pool, module, instance, instance_bytes,      \
			timeout_ns, error)                                  \
	fl_wasm2c_begin_here(batch, pool, module, instance, instance_bytes, \
			     timeout_ns, error)

/*
 * Give back what the instantiation did not take. Call it on every path after a
 * successful begin, also when the instantiation trapped, from the thread that
 * began, while the batch still exists. Batches of one thread end in reverse
 * order.
 *
 * Returns 0, or -ENOTSUP when the instance was made and took nothing of the
 * batch: its memories are wasm-rt's, and with a data-free module they lack the
 * module's content. batch->error says so in words. Do not call into the
 * instance then; free it. Look here before anything else runs. Only a module's
 * start function runs earlier, inside the instantiation.
 */
int fl_wasm2c_end(struct fl_wasm2c_batch *batch);

/*
 * Take one memory and describe it in *memory, which is written only on
 * success: for the memories that a module imports, which the host makes
 * before it instantiates. For the initial content that the module gives the
 * memory, set config->image to fl_module_image().
 *
 * Errors: as fl_wasm2c_begin().
 */
int fl_wasm2c_acquire(struct fl_pool *pool,
		      const struct fl_memory_config *config,
		      wasm_rt_memory_t *memory, struct fl_error *error);

static inline int fl_wasm2c_acquire_here(struct fl_pool *pool,
					 const struct fl_memory_config *config,
					 wasm_rt_memory_t *memory,
					 struct fl_error *error)
{
	int err = fl_wasm2c_check_here(error);

	return err ? err : fl_wasm2c_acquire(pool, config, memory, error);
}
#define fl_wasm2c_acquire(pool, config, memory, error) \
	fl_wasm2c_acquire_here(pool, config, memory, error)

/* The pool's memory behind a wasm-rt memory, for fl_memory_prefault() and the
 * like; NULL if it did not come through this header. */
struct fl_memory *fl_wasm2c_memory(const wasm_rt_memory_t *memory);

/*
 * Take one table, for a module to import. Of *config the elements'
 * width and null are wasm2c's; clone, drop and storage are not for its tables
 * (-ENOTSUP). *table is written only on success; free it with
 * wasm_rt_free_funcref_table() or its like, after the importers.
 *
 * Errors: as fl_table_acquire(), and -ENOTSUP.
 */
int fl_wasm2c_acquire_funcref_table(struct fl_pool *pool,
				    const struct fl_table_config *config,
				    wasm_rt_funcref_table_t *table,
				    struct fl_error *error);
int fl_wasm2c_acquire_externref_table(struct fl_pool *pool,
				      const struct fl_table_config *config,
				      wasm_rt_externref_table_t *table,
				      struct fl_error *error);

/* The pool's table behind a wasm-rt table; NULL if it did not come through this
 * header. */
struct fl_table *fl_wasm2c_funcref_table(const wasm_rt_funcref_table_t *table);
struct fl_table *
fl_wasm2c_externref_table(const wasm_rt_externref_table_t *table);

/* ------------------------------------------------------------------ layout */

/*
 * What lies where in the struct that wasm2c declares for a module's instances,
 * and which functions can become references there. wasm2c's functions are
 * static, so the layout is a part of their translation unit: `wasm-image
 * companion` writes a C file that includes wasm2c's and defines one struct
 * fl_wasm2c_layout, by the name of the instance's struct:
 *
 *	wasm-image companion app.wasm app.c -o app-companion.c
 *	cc -c app-companion.c			in place of app.c
 *
 *	extern const struct fl_wasm2c_layout Z_app_layout;
 *
 * Compile the companion file and not app.c: the companion file holds both. A
 * layout is constant. All figures in a layout come from the compiler that
 * compiles wasm2c's output.
 */
#define FL_WASM2C_LAYOUT_VERSION 1

/* What wasm-rt's module_instance is in a reference to a function. wabt 1.0.32
 * writes the address of the import in element segments, and the import itself
 * for ref.func. */
enum fl_wasm2c_form {
	FL_WASM2C_DEFINED = 1, /* the instance; a function of the module */
	FL_WASM2C_EXPORT = 2, /* the instance; the function that wasm2c makes
			       * for an export, which others take */
	FL_WASM2C_IMPORT = 3, /* what the import of the instance points to */
	FL_WASM2C_IMPORT_ADDRESS = 4, /* the address of that import */
};

/* A function that can become a reference. The rows of a layout are in the order
 * of function_idx, then of form. */
struct fl_wasm2c_function {
	wasm_rt_function_ptr_t func;
	size_t import_offset; /* of the import in the instance; else 0 */
	uint32_t function_idx; /* in the module's functions */
	uint32_t type_idx; /* in func_types */
	uint32_t form; /* enum fl_wasm2c_form */
	uint32_t reserved;
};

/* Bits of what follows. */
enum fl_wasm2c_flags {
	FL_WASM2C_IS_IMPORTED = 1, /* a pointer lies at offset */
	FL_WASM2C_IS_EXPORTED = 2, /* others may change the thing */
	FL_WASM2C_IS_CHANGED = 4, /* the module's code may */
	FL_WASM2C_IS_MUTABLE = 8, /* globals */
	FL_WASM2C_IS_FUNCREF = 16, /* tables; externref without */
};

struct fl_wasm2c_global {
	size_t offset;
	uint32_t length_bytes; /* of the value */
	uint32_t value; /* enum fl_value_type */
	uint32_t flags;
	uint32_t reserved;
};

/* A memory or a table: a struct of wasm-rt.h. */
struct fl_wasm2c_member {
	size_t offset;
	uint32_t flags;
	uint32_t reserved;
};

/* Arrays are in the order of the module's index spaces, imports first, and have
 * a row of zeroes behind the last one. */
struct fl_wasm2c_layout {
	uint32_t version; /* FL_WASM2C_LAYOUT_VERSION */
	uint32_t type_count;
	const char *name; /* of the layout */
	size_t instance_bytes;
	/* The module's types as this process knows them: good after the
	 * module's init function has run. NULL without types. */
	const uint32_t *func_types;
	const struct fl_wasm2c_function *functions;
	const struct fl_wasm2c_global *globals;
	const struct fl_wasm2c_member *memories;
	const struct fl_wasm2c_member *tables;
	uint32_t function_count;
	uint32_t global_count;
	uint32_t memory_count;
	uint32_t table_count;
	/* Segments that code can drop: passive ones that are not empty, in the
	 * order of the module, data segments first. wasm2c keeps them in
	 * bit-fields. */
	uint32_t data_flag_count;
	uint32_t elem_flag_count;
	bool (*is_dropped)(const void *instance, uint32_t flag_idx);
	void (*set_dropped)(void *instance, uint32_t flag_idx, bool is_dropped);
};

/* ------------------------------------------------------------------- state */

/*
 * Numbers in place of host references (externref): the library cannot know what
 * such a reference is worth in another instance or process. The calls see
 * references that are not null. They return 0, or a negative errno that the
 * library hands on. Both belong to the runtime.
 */
struct fl_wasm2c_codec {
	int (*encode)(void *user, wasm_rt_externref_t reference,
		      uint64_t *number);
	/* number is not trusted: it comes from the bytes. */
	int (*decode)(void *user, uint64_t number,
		      wasm_rt_externref_t *reference);
	void *user;
	/* A clone is whole: renew what clones must not share, as
	 * fl_instance_config.restored. May be NULL. */
	int (*restored)(void *user, void *instance,
			const struct fl_restored *how);
};

/*
 * What an instance keeps outside of its memories, as values and indices, never
 * as an address: the defined globals and tables that the module's code or
 * others may change, and which segments were dropped. What nothing can change is
 * left out, because each instance has it from its instantiation. Imported
 * globals, tables and memories are their owner's.
 *
 * The bytes, little-endian, without gaps:
 *
 *	magic			8
 *	global_count		4	of those that can change
 *	table_count		4	likewise
 *	data_flag_count		4	of the layout
 *	elem_flag_count		4	likewise
 *	a global, repeated:
 *		index, type	4 4
 *		form, value	4 8
 *	a byte, 0 or 1, for each flag
 *	a table, repeated:
 *		index, is_func	4 4
 *		size		8
 *		entry count	8
 *		an entry, repeated, in the order of places:
 *			place	4
 *			form, value	4 8
 *
 * The magic is "FLw2cs01". What can change is defined by the module, and set by
 * the module's code or exported; a global is mutable, too. The flags are those
 * of a layout. A type is an enum fl_value_type; a number's value is its bits.
 * The form is 0 for a number and for a null, an enum fl_wasm2c_form for a
 * function, whose index is the value, and 16 for a host reference, whose value
 * is the codec's. What a table's entries leave out is null. `wasm-image bake`
 * reads these bytes, too.
 *
 * The instance is quiescent: no guest code runs in it, and no frame of it is on
 * a stack. The library allocates *bytes; the caller frees them by free(). codec
 * may be NULL if no host reference has to be encoded. error may be NULL.
 *
 * Errors: -EINVAL (a layout of another version), -ENOMEM, what codec->encode
 * returned, and -ENOTSUP: a reference cannot be encoded. error->text names its
 * place, and why: the function is none of the layout's, has another type than
 * the layout says, or belongs to another instance; or codec is NULL.
 */
int fl_wasm2c_encode(const struct fl_wasm2c_layout *layout,
		     const void *instance, const struct fl_wasm2c_codec *codec,
		     void **bytes, uint64_t *length_bytes,
		     struct fl_error *error);

/*
 * Give an instance of the same module, in this process or another, the state
 * that was encoded. The instance is instantiated and quiescent; its imports may
 * be others than those of the instance that was encoded. A table grows where the
 * state has more elements.
 *
 * The bytes are not trusted. Each number is checked, and the whole of the bytes
 * is checked before anything is written. What checked bytes can do to the
 * instance, the module's own code could do.
 *
 * Errors: -EINVAL (a layout of another version); -ENOEXEC (the bytes are no
 * state of this layout; error->byte_off says where) and -ENOTSUP (a host
 * reference, and codec is NULL): nothing was written; -ENOMEM (a table could not
 * grow) and what codec->decode returned: a part of the state was written, and
 * the instance is only good to be freed.
 */
int fl_wasm2c_decode(const struct fl_wasm2c_layout *layout, void *instance,
		     const struct fl_wasm2c_codec *codec, const void *bytes,
		     uint64_t length_bytes, struct fl_error *error);

/* --------------------------------------------------------------- snapshots */

/* The encoding of snapshots made here, for fl_snapshot_binding. */
#define FL_WASM2C_ENCODING "faultline-wasm2c 1"

/*
 * Capture an instance that has started: its memories, imported ones too, which
 * must be a pool's, and what fl_wasm2c_encode() gives. module is the whole module
 * that the memories were taken for. encoding is FL_WASM2C_ENCODING, or a name of
 * the caller's that stands for that and for what codec does; NULL is the first.
 * The snapshot goes to files and back by fl_snapshot_write() and
 * fl_snapshot_open().
 *
 * The instance is quiescent, as for fl_wasm2c_encode(), and lives on. What it
 * knows, each clone knows: see fl_instance_snapshot().
 *
 * Errors: as fl_image_from_memory(), fl_snapshot_create() and
 * fl_wasm2c_encode(); -ENOTSUP: a memory did not come through this header;
 * -EINVAL: a memory is imported from another instance, see
 * fl_wasm2c_snapshot_group().
 */
int fl_wasm2c_snapshot(const struct fl_wasm2c_layout *layout,
		       const void *instance, struct fl_module *module,
		       const struct fl_wasm2c_codec *codec,
		       const char *encoding, struct fl_snapshot **snapshot,
		       struct fl_error *error);

/* What all clones of a snapshot in a pool share. The caller owns the struct, and
 * keeps pool, snapshot, layout and codec alive meanwhile; the content is the
 * adapter's, and constant: any thread may use it. */
struct fl_wasm2c_clones {
	struct fl_pool *pool;
	struct fl_snapshot *snapshot;
	const struct fl_wasm2c_layout *layout;
	const struct fl_wasm2c_codec *codec;
	uint64_t max_bytes; /* of a memory in the pool */
	const void *state;
	uint64_t state_bytes;
	uint32_t part_count; /* of the group; 0: the clones are no group's */
	uint32_t part_idx;
};

/*
 * Prepare clones. codec may be NULL, as in fl_wasm2c_decode().
 *
 * Errors: -EINVAL: the snapshot was not made by fl_wasm2c_snapshot(), is a part
 * of a group, or of a module with other memories than the layout's; -ENOTSUP: as
 * fl_wasm2c_begin().
 */
int fl_wasm2c_clones_init(struct fl_wasm2c_clones *clones, struct fl_pool *pool,
			  struct fl_snapshot *snapshot,
			  const struct fl_wasm2c_layout *layout,
			  const struct fl_wasm2c_codec *codec,
			  struct fl_error *error);

/*
 * Make *instance a clone. The instance was instantiated once, by the module's
 * instantiate function, and is quiescent; it may be a clone that has served, or
 * one after fl_wasm2c_release(). Its memories, imported ones too, go back to
 * their pool and are replaced, so no other instance may use them. Then the state
 * is decoded and codec->restored is called. What nothing can change, tables of
 * functions above all, stays as it is from one clone to the next.
 *
 * One thread at a time uses an instance. timeout_ns as in fl_memory_config, but a
 * waiting thread is not cancelled here.
 *
 * Errors: -EINVAL: the clones are a group's, or a memory is imported from another
 * instance, and nothing was done; as fl_memory_acquire() and fl_wasm2c_decode(),
 * and what codec->restored returned. After any such error the instance has no memories and is good for another
 * fl_wasm2c_clone(), or to be freed.
 */
int fl_wasm2c_clone(const struct fl_wasm2c_clones *clones, void *instance,
		    uint64_t timeout_ns, struct fl_error *error);

/* Give the memories of an instance back to their pool; accesses fault from then
 * on. The preconditions of fl_memory_release() hold. For an instance that waits
 * for its next clone. */
void fl_wasm2c_release(const struct fl_wasm2c_layout *layout, void *instance);

/* ------------------------------------------------------------------ sessions */

/*
 * Put a clone to sleep: *delta gets what differs from the snapshot in its
 * memories, imported ones too, and its state. The instance is one that
 * fl_wasm2c_clone() or fl_wasm2c_wake() made with these clones, and is quiescent,
 * as for fl_wasm2c_encode(). Its memories go back to their pool as by
 * fl_wasm2c_release(), and it is good for the next clone. tag is the caller's 32
 * bytes for fl_delta_parts.tag, or NULL for zeroes. fl_delta_bytes() gives what a
 * store keeps; fl_delta_release() ends the delta here.
 *
 * Imported globals and tables are their owner's, and not in the delta.
 *
 * Errors: as fl_wasm2c_encode() and fl_memory_suspend(); -EINVAL: a memory is no
 * pool's, or does not show the snapshot's image. After an error the instance is as
 * it was. fl_delta_info.release_error tells what became of the slots.
 */
int fl_wasm2c_suspend(const struct fl_wasm2c_clones *clones, void *instance,
		      const uint8_t *tag, struct fl_delta **delta,
		      struct fl_error *error);

/*
 * Make *instance a clone that goes on where the delta was made, as
 * fl_wasm2c_clone() makes one that begins with the snapshot. codec->restored hears
 * FL_RESTORE_WOKEN and a new generation id: one delta may be woken any number of
 * times. delta is of fl_wasm2c_suspend(), or of fl_delta_open() with the snapshot
 * of clones, and stays the caller's. Bytes that fl_delta_open() took are still not
 * trusted: the state in them is checked whole before it is written.
 *
 * Tables never shrink: an instance whose tables have grown takes no session with
 * smaller ones (-ENOEXEC, as for a clone). Free it, and instantiate another.
 *
 * Errors: as fl_wasm2c_clone() and fl_delta_restore_memory(); -EINVAL: the delta
 * was made or opened with another snapshot, and the instance is as it was. After
 * any other error the instance has no memories and is good for another clone.
 */
int fl_wasm2c_wake(const struct fl_wasm2c_clones *clones, void *instance,
		   const struct fl_delta *delta, uint64_t timeout_ns,
		   struct fl_error *error);

/* -------------------------------------------------------------------- groups */

/* The most instances of a group. */
#define FL_WASM2C_MAX_PARTS 64

/* One instance of a group. codec may be NULL. */
struct fl_wasm2c_part {
	const struct fl_wasm2c_layout *layout;
	void *instance;
	struct fl_module *module; /* as for fl_wasm2c_snapshot() */
	const struct fl_wasm2c_codec *codec;
};

/* The encoding of the snapshots of groups, as FL_WASM2C_ENCODING. */
#define FL_WASM2C_GROUP_ENCODING "faultline-wasm2c group 1"

/*
 * Capture instances that use each other's memories, tables, functions and globals,
 * all in one call: snapshots[i] gets what is of parts[i]. A memory that a part
 * imports from another part is in that one's snapshot; a memory that the host made
 * for several is in the first one's. Functions of one part in tables and globals of
 * another stay so. Tables and globals that the host made are the host's.
 *
 * A snapshot has a number that all of the call share and no other has, so parts of
 * several captures cannot be mixed; and no call for one instance takes it. The
 * snapshots go to files and back each by itself, with FL_WASM2C_GROUP_ENCODING or
 * the caller's name in encoding. All instances are quiescent.
 *
 * The bytes before each state, little-endian:
 *
 *	magic			8	"FLw2cg01"
 *	number			16	of the capture or the sleep
 *	part_count, part_idx	4 4
 *	memory_count, 0		4 4	of the layout
 *	a memory, repeated:
 *		part, index	4 4	which one it is
 *
 * In the state that follows, the form of a function of another part has, in its
 * bits from 8 on, that part's number, from 1 on.
 *
 * Errors: as fl_wasm2c_snapshot(); -EINVAL: no part, or more than
 * FL_WASM2C_MAX_PARTS; an instance is there twice; a memory is imported from an
 * instance that is no part. After an error there is no snapshot.
 */
int fl_wasm2c_snapshot_group(const struct fl_wasm2c_part *parts,
			     uint32_t part_count, const char *encoding,
			     struct fl_snapshot **snapshots,
			     struct fl_error *error);

/*
 * Prepare clones of a group: clones[i] of snapshots[i], for parts[i], of which
 * layout and codec matter. Errors: as fl_wasm2c_clones_init(); -EINVAL: the
 * snapshots are not all parts of one capture in their order.
 */
int fl_wasm2c_clones_init_group(struct fl_wasm2c_clones *clones,
				struct fl_pool *pool,
				struct fl_snapshot *const *snapshots,
				const struct fl_wasm2c_part *parts,
				uint32_t part_count, struct fl_error *error);

/*
 * Make instances[i] clones of clones[i], all or none. The instances were
 * instantiated once, and import from each other as the captured ones did. Each
 * memory goes back to its pool once and is replaced once. All else is as for
 * fl_wasm2c_clone().
 *
 * Errors: -EINVAL: the clones are not those of one group; the instances import from
 * each other otherwise than the captured ones did: nothing was done. As
 * fl_wasm2c_clone(): no instance has memories, and all are good for another clone.
 */
int fl_wasm2c_clone_group(const struct fl_wasm2c_clones *clones,
			  void *const *instances, uint32_t part_count,
			  uint64_t timeout_ns, struct fl_error *error);

/*
 * Put a group to sleep: deltas[i] gets what instances[i] differs by from its
 * snapshot. All as for fl_wasm2c_suspend(); after an error all instances are as
 * they were, and there is no delta. The deltas share a number as snapshots of a
 * capture do. What the slots' releases would have answered is not told.
 */
int fl_wasm2c_suspend_group(const struct fl_wasm2c_clones *clones,
			    void *const *instances, uint32_t part_count,
			    const uint8_t *tag, struct fl_delta **deltas,
			    struct fl_error *error);

/*
 * Make the instances a group that goes on where the deltas were made, as
 * fl_wasm2c_wake() and fl_wasm2c_clone_group() do. Errors: as these; -EINVAL: the
 * deltas are not all of one sleep, and nothing was done.
 */
int fl_wasm2c_wake_group(const struct fl_wasm2c_clones *clones,
			 void *const *instances, struct fl_delta *const *deltas,
			 uint32_t part_count, uint64_t timeout_ns,
			 struct fl_error *error);

#ifdef __cplusplus
}
#endif

#endif
