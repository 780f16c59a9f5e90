/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * baked.c - the calls of a module that was started before it was compiled, in a
 * shared object that the service loads if there is one (build.sh baked).
 *
 * BAKED is what wasm2c calls the module, and CODE what it calls the one whose code
 * it runs; the compiler is told to include the headers of both. baked_module() is
 * what the service asks for.
 */
#include "module.h"

#define DEFINE(of, code)                        \
	DEFINE_MODULE(of, code, "baked", NULL); \
	const struct module *baked_module(void) \
	{                                       \
		return &module_##of;            \
	}
#define DEFINE_EXPANDED(of, code) DEFINE(of, code)

const struct module *baked_module(void);

DEFINE_EXPANDED(BAKED, CODE)
