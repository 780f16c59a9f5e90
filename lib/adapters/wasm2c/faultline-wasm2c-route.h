/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c-route.h - sends wasm-rt's memories and tables to the adapter,
 * by the preprocessor.
 *
 * The linker's --wrap acts on calls that the linker sees. It sees none between
 * two parts of one translation unit, of one link-time optimisation, of one
 * object of `ld -r`, or of one shared library. This header needs no linker:
 *
 *	cc -include faultline-wasm2c-route.h -c app.c host.c
 *	cc -c wasm-rt-impl.c				never with this header
 *
 * In a unity build it is included between wasm-rt-impl.c and what follows.
 * With this header -Wl,--wrap is not needed; both together do no harm.
 */
#ifndef FAULTLINE_WASM2C_ROUTE_H
#define FAULTLINE_WASM2C_ROUTE_H

#include <wasm-rt.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As wasm-rt.h has them; to be seen by shared libraries too, which may hold the
 * guest and leave the adapter to the program. */
#pragma GCC visibility push(default)
void fl_wasm2c_allocate_memory(wasm_rt_memory_t *memory, uint32_t initial_pages,
			       uint32_t max_pages);
uint32_t fl_wasm2c_grow_memory(wasm_rt_memory_t *memory, uint32_t pages);
void fl_wasm2c_free_memory(wasm_rt_memory_t *memory);
void fl_wasm2c_allocate_funcref_table(wasm_rt_funcref_table_t *table,
				      uint32_t elements, uint32_t max_elements);
uint32_t fl_wasm2c_grow_funcref_table(wasm_rt_funcref_table_t *table,
				      uint32_t delta, wasm_rt_funcref_t init);
void fl_wasm2c_free_funcref_table(wasm_rt_funcref_table_t *table);
void fl_wasm2c_allocate_externref_table(wasm_rt_externref_table_t *table,
					uint32_t elements,
					uint32_t max_elements);
uint32_t fl_wasm2c_grow_externref_table(wasm_rt_externref_table_t *table,
					uint32_t delta,
					wasm_rt_externref_t init);
void fl_wasm2c_free_externref_table(wasm_rt_externref_table_t *table);
#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#ifndef FL_WASM2C_NO_ROUTE
#define wasm_rt_allocate_memory fl_wasm2c_allocate_memory
#define wasm_rt_grow_memory fl_wasm2c_grow_memory
#define wasm_rt_free_memory fl_wasm2c_free_memory
#define wasm_rt_allocate_funcref_table fl_wasm2c_allocate_funcref_table
#define wasm_rt_grow_funcref_table fl_wasm2c_grow_funcref_table
#define wasm_rt_free_funcref_table fl_wasm2c_free_funcref_table
#define wasm_rt_allocate_externref_table fl_wasm2c_allocate_externref_table
#define wasm_rt_grow_externref_table fl_wasm2c_grow_externref_table
#define wasm_rt_free_externref_table fl_wasm2c_free_externref_table
#endif

#endif
