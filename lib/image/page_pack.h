/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * page_pack.h - one page of an image file, packed by zstd.
 *
 * Takes a page of 64 KiB and gives fewer bytes, or says that the page does not
 * shrink; takes such bytes, which are hostile, and gives the page, or a quarter of it.
 *
 * Packed bytes are four frames of zstd, format of RFC 8878, one after the other: one
 * for each 16 KiB of the page, each of which says that its content has 16384 bytes. So
 * each can be had alone, and the four are a file of zstd too. An older form of the
 * file has one frame of 65536 bytes. No other frame is taken, no dictionary, no older
 * format. Nothing is allocated for a frame, and nothing is written beyond what it is
 * to hold, whatever it holds: an unpacker has all its memory from the start.
 *
 * Frames of 16 KiB are 1 to 2 % more bytes than one frame for the page, 8 % of a heap
 * or of much that is alike. A page of which all is wanted takes a fifth to a third
 * longer to unpack, one of which a quarter is wanted a third of the time. Frames of
 * 32 KiB are up to 3 % more bytes, those of 8 KiB 2 to 18 (kernel-notes/io-uring.md).
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

#define FL__PAGE_FRAMES		4u
#define FL__PAGE_FRAME_BYTES	16384u

struct fl__page_packer;
struct fl__page_unpacker;

/* NULL: this library packs and unpacks pages. Else why not, and what to do. */
const char *fl__page_pack_lacks(void);

/* -ENOTSUP, -ENOMEM. */
int fl__page_packer_create(struct fl__page_packer **packer,
			   struct fl_error *error);
/* NULL is allowed. */
void fl__page_packer_destroy(struct fl__page_packer *packer);

/* Pack a page. *stored is valid until the next call; the frames in it have these
 * lengths. Lengths of zero, and *stored the page itself: less than a block of a disk
 * would be saved. -ENOMEM. */
int fl__page_pack(struct fl__page_packer *packer, const uint8_t *bytes,
		  uint16_t frame_bytes[FL__PAGE_FRAMES],
		  const uint8_t **stored);

/* -ENOTSUP, -ENOMEM. */
int fl__page_unpacker_create(struct fl__page_unpacker **unpacker,
			     struct fl_error *error);
/* NULL is allowed. */
void fl__page_unpacker_destroy(struct fl__page_unpacker *unpacker);

/* 64 KiB that belong to the unpacker and that it does not use itself: for the page,
 * or for what is stored of it. */
uint8_t *fl__page_unpacker_buffer(struct fl__page_unpacker *unpacker);

/* Unpack one frame to len bytes, which have any content after an error. NULL, or what
 * is wrong. */
const char *fl__page_unpack(struct fl__page_unpacker *unpacker,
			    const uint8_t *stored, uint32_t stored_bytes,
			    uint8_t *bytes, uint32_t len);

#endif
