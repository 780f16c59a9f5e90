/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasmtime-api.h - Wasmtime's C API as the files of this adapter call it, and
 * what these files share.
 */
#ifndef FL_WASMTIME_API_H
#define FL_WASMTIME_API_H

#include <errno.h>

#include "../fail.h"
#include "faultline-wasmtime.h"

/* What wasm.h and wasmtime.h of Wasmtime 48 say. The adapter is built where
 * Wasmtime is not; tests/consumers/wasmtime holds this against the headers. */
typedef struct wasmtime_error wasmtime_error_t;
typedef struct wasm_memorytype_t wasm_memorytype_t;
typedef struct wasm_config_t wasm_config_t;
typedef struct wasm_engine_t wasm_engine_t;
typedef struct wasm_trap_t wasm_trap_t;
typedef struct wasmtime_module wasmtime_module_t;
typedef struct wasmtime_store wasmtime_store_t;
typedef struct wasmtime_context wasmtime_context_t;

typedef struct wasm_byte_vec_t {
	size_t size;
	char *data;
} wasm_byte_vec_t;

typedef struct wasmtime_linear_memory {
	void *env;
	uint8_t *(*get_memory)(void *env, size_t *size, size_t *capacity);
	wasmtime_error_t *(*grow_memory)(void *env, size_t new_size);
	void (*finalizer)(void *env);
} wasmtime_linear_memory_t;

typedef struct wasmtime_memory_creator {
	void *env;
	wasmtime_error_t *(*new_memory)(void *env,
					const wasm_memorytype_t *type,
					size_t minimum, size_t maximum,
					size_t reserved, size_t guard,
					wasmtime_linear_memory_t *memory);
	void (*finalizer)(void *env);
} wasmtime_memory_creator_t;

typedef struct wasmtime_instance {
	uint64_t store_id;
	size_t private_idx;
} wasmtime_instance_t;

typedef struct wasmtime_func {
	uint64_t store_id;	/* 0: a null reference */
	void *__private;
} wasmtime_func_t;

/* Memories, tables and globals go by pointer, and nobody looks inside. */
typedef struct wasmtime_memory wasmtime_memory_t;
typedef struct wasmtime_table wasmtime_table_t;
typedef struct wasmtime_global wasmtime_global_t;

enum {
	WASMTIME_EXTERN_FUNC = 0,
	WASMTIME_EXTERN_GLOBAL = 1,
	WASMTIME_EXTERN_TABLE = 2,
	WASMTIME_EXTERN_MEMORY = 3,
};

typedef struct wasmtime_extern {
	uint8_t kind;
	union {
		wasmtime_func_t func;
		uint64_t thing[3];
	} of;
} wasmtime_extern_t;

enum {
	WASMTIME_I32 = 0,
	WASMTIME_I64 = 1,
	WASMTIME_F32 = 2,
	WASMTIME_F64 = 3,
	WASMTIME_V128 = 4,
	WASMTIME_FUNCREF = 5,
};

/* As large as in a Wasmtime with the garbage collector; one without has 8 bytes
 * less, and looks at no more. Never an array of these. */
typedef struct wasmtime_val {
	uint8_t kind;
	union {
		uint8_t bytes[24];
		uint64_t words[3];
		wasmtime_func_t funcref;
	} of;
} wasmtime_val_t;

wasmtime_error_t *wasmtime_error_new(const char *message);
void wasmtime_error_message(const wasmtime_error_t *error,
			    wasm_byte_vec_t *message);
void wasmtime_error_delete(wasmtime_error_t *error);
void wasm_byte_vec_delete(wasm_byte_vec_t *bytes);
void wasm_trap_delete(wasm_trap_t *trap);
uint64_t wasmtime_memorytype_minimum(const wasm_memorytype_t *type);
bool wasmtime_memorytype_maximum(const wasm_memorytype_t *type, uint64_t *max);
bool wasmtime_memorytype_is64(const wasm_memorytype_t *type);
uint64_t wasmtime_memorytype_page_size(const wasm_memorytype_t *type);
void wasmtime_config_host_memory_creator_set(wasm_config_t *config,
					     wasmtime_memory_creator_t *creator);
void wasmtime_config_memory_reservation_set(wasm_config_t *config,
					    uint64_t bytes);
void wasmtime_config_memory_guard_size_set(wasm_config_t *config,
					   uint64_t bytes);
void wasmtime_config_memory_may_move_set(wasm_config_t *config, bool may_move);
void wasmtime_config_memory_init_cow_set(wasm_config_t *config, bool enable);
wasmtime_error_t *wasmtime_module_new(wasm_engine_t *engine,
				      const uint8_t *bytes, size_t length,
				      wasmtime_module_t **module);
void wasmtime_module_delete(wasmtime_module_t *module);
wasmtime_store_t *wasmtime_store_new(wasm_engine_t *engine, void *data,
				     void (*finalizer)(void *data));
wasmtime_context_t *wasmtime_store_context(wasmtime_store_t *store);
void wasmtime_store_delete(wasmtime_store_t *store);
wasmtime_error_t *wasmtime_instance_new(wasmtime_context_t *context,
					const wasmtime_module_t *module,
					const void *imports, size_t count,
					wasmtime_instance_t *instance,
					wasm_trap_t **trap);
bool wasmtime_instance_export_get(wasmtime_context_t *context,
				  const wasmtime_instance_t *instance,
				  const char *name, size_t length,
				  wasmtime_extern_t *item);
wasmtime_error_t *wasmtime_func_call(wasmtime_context_t *context,
				     const wasmtime_func_t *func,
				     const wasmtime_val_t *args,
				     size_t arg_count, wasmtime_val_t *results,
				     size_t result_count, wasm_trap_t **trap);
uint8_t *wasmtime_memory_data(const wasmtime_context_t *context,
			      const wasmtime_memory_t *memory);
void wasmtime_global_get(wasmtime_context_t *context,
			 const wasmtime_global_t *global,
			 wasmtime_val_t *value);
wasmtime_error_t *wasmtime_global_set(wasmtime_context_t *context,
				      const wasmtime_global_t *global,
				      const wasmtime_val_t *value);
uint64_t wasmtime_table_size(const wasmtime_context_t *context,
			     const wasmtime_table_t *table);
bool wasmtime_table_get(wasmtime_context_t *context,
			const wasmtime_table_t *table, uint64_t idx,
			wasmtime_val_t *value);
wasmtime_error_t *wasmtime_table_set(wasmtime_context_t *context,
				     const wasmtime_table_t *table,
				     uint64_t idx, const wasmtime_val_t *value);
wasmtime_error_t *wasmtime_table_grow(wasmtime_context_t *context,
				      const wasmtime_table_t *table,
				      uint64_t delta,
				      const wasmtime_val_t *value,
				      uint64_t *old_size);

/* What Wasmtime keeps of a memory, and the memory's user pointer. */
struct fl_wasmtime_held {
	struct fl_memory *memory;	/* NULL: its content sleeps */
	uint64_t page_bytes;
	size_t capacity;
};

/* Are these of this module, and of one another? NULL delta: none. */
int fl_wasmtime_check_snapshot(const struct fl_wasmtime_module *module,
			       const struct fl_snapshot *snapshot,
			       const struct fl_delta *delta,
			       struct fl_error *error);

/* Wasmtime's own words, which the call consumes. */
static inline int fail_by(struct fl_error *error, wasmtime_error_t *theirs)
{
	wasm_byte_vec_t words;

	wasmtime_error_message(theirs, &words);
	fail(error, -EINVAL, "Wasmtime says: %.*s",
	     words.size < 200 ? (int)words.size : 200, words.data);
	wasm_byte_vec_delete(&words);
	wasmtime_error_delete(theirs);
	return -EINVAL;
}

#endif
