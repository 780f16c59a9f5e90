/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * page_pack.h - one page of an image file, packed by zstd.
 *
 * Takes a page of 64 KiB and gives fewer bytes, or says that the page does not
 * shrink; takes such bytes, which are hostile, and gives a page. Each page is
 * packed alone, so that each can be had alone.
 *
 * Packed bytes are one frame of zstd, format of RFC 8878, which says that its
 * content has 65536 bytes; no other frame, no dictionary, no older format. Whoever
 * wants the page's first bytes need not unpack the others. Nothing
 * is allocated for a page, and nothing is written beyond one, whatever the frame
 * holds: an unpacker has all its memory from the start.
 *
 * Threads: each packer and each unpacker is one thread's at a time. Without libzstd
 * neither can be made, and fl__page_pack_lacks() says so.
 */
#ifndef FL_PAGE_PACK_H
#define FL_PAGE_PACK_H

#include "base/error.h"

#ifndef FL_WITH_ZSTD
#define FL_WITH_ZSTD 0
#endif

struct fl__page_packer;
struct fl__page_unpacker;

/* NULL: this library packs and unpacks pages. Else why not, and what to do. */
const char *fl__page_pack_lacks(void);

/* -ENOTSUP, -ENOMEM. */
int fl__page_packer_create(struct fl__page_packer **packer,
			   struct fl_error *error);
/* NULL is allowed. */
void fl__page_packer_destroy(struct fl__page_packer *packer);

/* Pack a page. *stored is valid until the next call; the length is 65536, and
 * *stored the page itself, when less than a block of a disk would be saved. 0: no
 * memory, which the first page takes. */
uint32_t fl__page_pack(struct fl__page_packer *packer, const uint8_t *bytes,
		       const uint8_t **stored);

/* -ENOTSUP, -ENOMEM. */
int fl__page_unpacker_create(struct fl__page_unpacker **unpacker,
			     struct fl_error *error);
/* NULL is allowed. */
void fl__page_unpacker_destroy(struct fl__page_unpacker *unpacker);

/* 64 KiB that belong to the unpacker and that it does not use itself: for the page,
 * or for what is stored of it. */
uint8_t *fl__page_unpacker_buffer(struct fl__page_unpacker *unpacker);

/* Unpack to bytes, 64 KiB, which have any content after an error. NULL, or what is
 * wrong. */
const char *fl__page_unpack(struct fl__page_unpacker *unpacker,
			    const uint8_t *stored, uint32_t stored_bytes,
			    uint8_t *bytes);

/*
 * A page's first bytes can be had alone, 4096 or more, from a frame's first bytes:
 * what comes later in the frame is not looked at. How many bytes of a frame that takes
 * only the frame says; fl__page_stored_for() guesses. An error also means that the
 * guess was too low: it is one when all of the frame was given. A frame of another
 * writer, whose window is not the page, is needed and unpacked whole.
 */
uint32_t fl__page_stored_for(uint32_t stored_bytes, uint32_t wanted);
const char *fl__page_unpack_start(struct fl__page_unpacker *unpacker,
				  const uint8_t *stored, uint32_t got_bytes,
				  uint8_t *bytes, uint32_t wanted);

#endif
