/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader.h - one linear pass over the bytes of a WebAssembly module.
 *
 * Takes untrusted bytes, gives views into them: memories, tables,
 * globals, data and element segments, exports of memories and tables, and
 * the values of constant expressions as far as they are known.
 *
 * Invariants
 * - No byte at or past bytes + length is read.
 * - Memory taken is bounded by the module's length and the limits below: one
 *   array per kind of thing, sized by a count that was checked against the
 *   bytes left before anything was allocated. (The arrays that imports add to
 *   double while imports are read: how many are of which kind is not known
 *   before.) Nothing is allocated per item.
 * - Types and code are skipped by their size; what is inside them is the
 *   runtime's to validate. Everything else is read in full and checked.
 * - After an error nothing is held.
 * - Time is linear in the module's length, but for the check that no export
 *   name is used twice, which sorts them.
 *
 * Validity is that of the specification 3.0 with compact imports and custom
 * page sizes; whatever would need the types of section 1 (whether a type index
 * is in range, the operands of struct.new, the fit of one defined reference
 * type into another) is taken on trust.
 *
 * A reader is plain data, immutable after fl__reader_read(); any thread may
 * read it. It borrows the bytes.
 *
 * Why pure: a reader turns bytes into views and knows no module, no context and
 * no image. So it can be fuzzed, and run on every truncation of a module,
 * without a context. module/module.c owns bytes, images and references; the two
 * are split where ownership begins.
 */
#ifndef FL_READER_H
#define FL_READER_H

#include "constexpr.h"

/*
 * Read and check. error->byte_off is the offset of the first byte that is
 * wrong. -ENOEXEC, -ENOTSUP, -E2BIG, -ENOMEM.
 */
int fl__reader_read(struct fl__reader *reader, const void *bytes,
		    uint64_t length, struct fl_error *error);
void fl__reader_fini(struct fl__reader *reader);

#endif
