/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * toc.h - the image file: what is where in it, byte by byte.
 *
 * Takes the pages of images, one by one, and gives the bytes before the pages;
 * takes any bytes and gives their table of contents, or says which byte is
 * wrong. Pure: a source reads bytes, and nothing here knows what a file is. A
 * reader in another language needs nothing but this comment.
 *
 * Versions 1 and 2. Numbers are little-endian and unsigned, whatever the machine. A
 * page has 64 KiB, whatever the page size of the host. Fields called zero must
 * be zero. The parts follow one another without a gap:
 *
 *	header		512 bytes
 *	images		128 bytes for each image
 *	modules		32 bytes for each module: SHA-256 of its bytes
 *	zero		up to the next multiple of 64
 *	index		64 bytes for each page that holds a byte not zero
 *	digest		32 bytes: SHA-256 of all bytes before
 *	state		any bytes; whoever made the file knows what they are
 *
 * Then come the extents of the images, in order of image and extent, each at
 * the place that its image's entry says. What lies between two parts there is
 * no content. The file ends with its last extent, or without one with the state.
 *
 *	header, from byte
 *	  0   8	89 46 4c 49 0d 0a 1a 0a
 *	  8   4	version: 1, or 2 of a packed file
 *	 12   4	size of a page: 65536
 *	 16   8	size of the whole file in bytes; of a packed one, the size that the
 *		file would have in version 1
 *	 24   4	number of images, at most 65,536
 *	 28   4	number of modules, at most 65,536
 *	 32   8	number of entries of the index
 *	 40   8	size of the state in bytes, at most 1 GiB
 *	 48  32	SHA-256 of the state
 *	 80   8	in version 1 zero; in version 2, size of the whole file in bytes
 *	 88 168	zero
 *	256 256	name of the state's encoding: no more than 255 bytes that are
 *		not zero, then zero
 *
 *	image, from byte
 *	  0   4	kind: 1, the bytes of a memory, a table or a structure
 *	  4   4	number of extents, at most 4
 *	  8   8	initial size in bytes; need not be a multiple of anything
 *	 16  16	zero
 *	 32  96	4 extents: first page, number of pages, byte in the file;
 *		8 bytes each. Extents ascend, in the image and in the file. What
 *		is not used is zero
 *
 *	index, from byte
 *	  0   4	image, counted from 0
 *	  4   4	encoding: 0, the page's bytes as they are; version 2 also has 2,
 *		four frames of zstd (RFC 8878), one for each 16 KiB of the page,
 *		each of which says that it holds 16384 bytes; and 1, which is not
 *		written any more: one frame that says that it holds 65536
 *	  8   8	page, counted from the image's byte 0
 *	 16   8	byte in the file where the page is stored
 *	 24   8	stored bytes: 65536 of encoding 0, 1 to 65535 of encoding 1; of
 *		encoding 2 those of each frame, 2 bytes each: 1 or more, 65535
 *		together at most. The frames follow one another without a gap
 *	 32  32	hash of the page: SHA-256 of the SHA-256s of its sixteen blocks of
 *		4 KiB, one after the other
 *
 * What follows up to the packed file is of version 1.
 *
 * The index ascends by image, then by page; so it is one flat map from page to
 * place. Each page lies in an extent of its image, at its place there: pages
 * are in the file in the order of the memory. So an extent can be mapped as it
 * is. A page that the index does not name is zero, and the file has a hole
 * there. A page is never half stored: what of the image's last page lies beyond
 * the initial size is stored too, and zero. A page of the index has a byte that
 * is not zero; so a small file never becomes large memory.
 *
 * Where the writer places extents is a function of the content: the same
 * content makes the same file on each host, and so the same digest. The writer
 * cuts by fl__image_cut(). An extent of 2 MiB and more lies at a byte congruent
 * modulo 2 MiB to its offset in the memory, so that one large page of a page
 * cache can be one entry of a page table. A smaller extent has no such page,
 * and up to 2 MiB would be wasted where a copy has no holes; this extent begins
 * at the next multiple of 64 KiB. A reader takes any multiple of 64 KiB.
 *
 * The digest covers header, tables and index, hence the hash of the state and
 * of each page: it stands for the whole content and can be signed. A hash is no
 * signature: whoever can change the file can change the digest too.
 *
 * Version 2 is the packed file: the same content in fewer bytes, which cannot be
 * mapped. There are no extents in the file. The stored pages follow the state, in the
 * order of the index and without a gap, and the file ends with the last. Extents
 * of images, and the size at byte 16, are those that version 1 would have. So is the
 * digest: that of the file of version 1 with this content. Hence a packed file has
 * the digest of the one that is not packed, whatever zstd made of the pages; what
 * the digest does not cover (bytes 8 and 80, and of an index entry 4 to 7 and 16 to
 * 31) only says where to read, and the hash of the page says whether that was right.
 * A frame is found by the lengths of those before it, so that a reader can take one
 * alone; without the lengths, the frames of a page are still a file of zstd.
 *
 * A newer version changes the number at byte 8, and may change all that follows
 * but not the first 12 bytes.
 */
#ifndef FL_TOC_H
#define FL_TOC_H

#include "image.h"
#include "page_hash.h"
#include "page_pack.h"

#define FL__TOC_VERSION		2	/* the newest */
#define FL__TOC_MAX_IMAGES	65536u
#define FL__TOC_MAX_MODULES	65536u
#define FL__TOC_MAX_STATE_BYTES	((uint64_t)1 << 30)
#define FL__TOC_ENCODING_BYTES	256
/* Where the number of entries stands. */
#define FL__TOC_ENTRIES_BYTE	32
/* No file is shorter. */
#define FL__TOC_MIN_BYTES	(512 + FL__SHA256_BYTES)

/* Bytes that are read from somewhere. read() gives all len bytes, or an error,
 * which it has described; it is asked for no byte beyond length_bytes. */
struct fl__toc_source {
	uint64_t length_bytes;
	const void *owner;
	int (*read)(const struct fl__toc_source *source, uint64_t off, void *dst,
		    uint64_t len, struct fl_error *error);
};

struct fl__toc_extent {
	uint64_t first_wpage;
	uint64_t wpage_count;
	uint64_t file_off;
};

struct fl__toc_image {
	uint64_t initial_bytes;
	uint64_t first_entry;	/* its part of the index */
	uint64_t entry_count;
	uint32_t extent_count;
	struct fl__toc_extent extents[FL__IMAGE_MAX_EXTENTS];
};

struct fl__toc_entry {
	uint64_t wpage;
	uint64_t file_off;
	uint32_t image_idx;
	uint32_t stored_bytes;	/* fewer than a page has: packed */
	/* Of a packed page; zeroes: it is one frame. */
	uint16_t frame_bytes[FL__PAGE_FRAMES];
	uint8_t sha256[FL__SHA256_BYTES];
};

struct fl__toc {
	uint64_t file_bytes;	/* of version 1 */
	uint64_t stored_bytes;	/* of the file */
	uint64_t state_off;
	uint64_t state_bytes;
	uint8_t state_sha256[FL__SHA256_BYTES];
	char encoding[FL__TOC_ENCODING_BYTES];
	struct fl__toc_image *images;
	uint8_t (*module_digests)[FL__SHA256_BYTES];
	struct fl__toc_entry *entries;
	uint64_t entry_count, entry_capacity;
	uint32_t image_count, module_count;
	bool is_packed;		/* version 2: no extent lies in the file */
	uint8_t digest[FL__SHA256_BYTES];
};

/* Is a page stored in another form than its own? */
static inline bool fl__toc_is_packed(const struct fl__toc *toc,
				     uint64_t entry_idx)
{
	return toc->entries[entry_idx].stored_bytes != FL_WPAGE_BYTES;
}

/* Of what is stored, so many blocks can be had without the others. */
static inline uint32_t fl__toc_unit_blocks(const struct fl__toc *toc,
					   uint64_t entry_idx)
{
	if (!fl__toc_is_packed(toc, entry_idx))
		return 1;
	return toc->entries[entry_idx].frame_bytes[0] ?
		       FL__PAGE_BLOCKS / FL__PAGE_FRAMES :
		       FL__PAGE_BLOCKS;
}

/* What one thread reads pages with. */
struct fl__toc_reader {
	struct fl__sha256 sha;
	struct fl__page_unpacker *unpacker;	/* from the first packed page on */
};

void fl__toc_reader_init(struct fl__toc_reader *reader);
void fl__toc_reader_fini(struct fl__toc_reader *reader);

/*
 * Read and check everything before the state, in parts: memory is used for what
 * was read and found good, and not for what the bytes merely claim.
 * error->byte_off is the byte that is wrong. toc is valid, and to be finished,
 * only on success. What this says of the state and of the pages their bytes must
 * still prove, by the next two calls.
 *
 * Errors: -ENOEXEC (no image file: byte 0; cut, changed or damaged: the byte),
 * -ENOTSUP (a newer version, an encoding of pages that it may have, or packed pages
 * and no libzstd), -E2BIG
 * (more images, modules or state than version 1 has), -ENOMEM, and those of the
 * source.
 */
int fl__toc_read(struct fl__toc *toc, const struct fl__toc_source *source,
		 struct fl_error *error);

/* Read page entry_idx of the index to dst, 64 KiB, unpack it if it is packed, and
 * check the page. Errors: -ENOEXEC, -ENOMEM (packed pages alone) and those of the
 * source. */
int fl__toc_read_wpage(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint64_t entry_idx,
		       struct fl__toc_reader *reader, uint8_t *dst,
		       struct fl_error *error);

/* Unpack blocks [first, first + count) of a packed page of the index, whole units of
 * it, to dst, from what is stored of them. They are still to be checked.
 * Errors: -ENOEXEC. */
int fl__toc_unpack_blocks(const struct fl__toc *toc, uint64_t entry_idx,
			  struct fl__page_unpacker *unpacker,
			  const uint8_t *stored, uint32_t first, uint32_t count,
			  uint8_t *dst, struct fl_error *error);

/* Is this page of an image in the index? *entry_idx says where. */
bool fl__toc_find(const struct fl__toc *toc, uint32_t image_idx, uint64_t wpage,
		  uint64_t *entry_idx);

/* Check a page of the index that was read to bytes, 64 KiB. leaves, where not NULL,
 * gets the page's. Errors: -ENOEXEC. */
int fl__toc_check_wpage(const struct fl__toc *toc, uint64_t entry_idx,
			struct fl__sha256 *sha, const uint8_t *bytes,
			struct fl__page_leaves *leaves, struct fl_error *error);
/* Check leaves that somebody says this page has. Errors: -ENOEXEC. */
int fl__toc_check_leaves(const struct fl__toc *toc, uint64_t entry_idx,
			 struct fl__sha256 *sha,
			 const struct fl__page_leaves *leaves);
/* Check blocks [first, first + count) of the page, read to bytes, by its leaves, which
 * were checked. Errors: -ENOEXEC. */
int fl__toc_check_blocks(const struct fl__toc *toc, uint64_t entry_idx,
			 struct fl__sha256 *sha,
			 const struct fl__page_leaves *leaves, uint32_t first,
			 uint32_t count, const uint8_t *bytes);

/*
 * Read the page that lies at a page's place in an extent, whether the index
 * names the page or not: what the index does not name must be zero. To check an
 * image that is to be mapped as it is; so the file is not packed. Pages are asked for in order;
 * *entry_idx begins at the image's first_entry. Errors: as above.
 */
int fl__toc_read_place(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint32_t image_idx,
		       uint64_t wpage, uint64_t *entry_idx,
		       struct fl__toc_reader *reader, uint8_t *dst,
		       struct fl_error *error);

/* Read the state to dst, all zeroes before, and check the state. Zero pages of
 * dst are not touched. Errors: as above. */
int fl__toc_read_state(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint8_t *dst,
		       struct fl_error *error);

/*
 * To make one: begin, set initial_bytes of each image and whatever else is
 * known, add the pages in order, place. begin zeroes everything and allocates
 * images and module_digests. Errors: -E2BIG, -ENOMEM. After an error of the
 * other two, fini is still to be called.
 */
int fl__toc_begin(struct fl__toc *toc, uint32_t image_count,
		  uint32_t module_count, struct fl_error *error);
/* bytes: a page, 64 KiB. A page of zeroes is not added. */
int fl__toc_add_wpage(struct fl__toc *toc, uint32_t image_idx, uint64_t wpage,
		      const uint8_t *bytes, struct fl__sha256 *sha,
		      struct fl_error *error);
/* Decide where everything is, and write the bytes before the state, from byte 0
 * to state_off, to *bytes, which the caller frees. Sets digest. */
int fl__toc_place(struct fl__toc *toc, uint8_t **bytes, struct fl_error *error);

/*
 * To make a packed file of what was placed: begin, then say of each page, in order,
 * how long its frames are, or zeroes of one that is stored as it is; each page's
 * file_off and stored_bytes are set by that. end turns
 * the bytes that place gave into those of version 2. The digest stays.
 */
void fl__toc_pack_begin(struct fl__toc *toc);
void fl__toc_pack_wpage(struct fl__toc *toc, uint64_t entry_idx,
			const uint16_t frame_bytes[FL__PAGE_FRAMES]);
void fl__toc_pack_end(const struct fl__toc *toc, uint8_t *bytes);

void fl__toc_fini(struct fl__toc *toc);

#endif
