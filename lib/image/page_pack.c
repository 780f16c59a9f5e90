/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* page_pack.c - pages packed and unpacked; see page_pack.h. */
#include "page_pack.h"
#include "base/util.h"

#include <stdlib.h>

/* A block of zstd ends with each step of a page, so that whoever wants the first step
 * need not unpack the other. Smaller steps pack as well, but a page has more tables to
 * be read then: a whole page takes longer to unpack, 4 to 7 % by steps of 32 KiB, 7 to
 * 15 by 16, and 20 to 30 by 8 (data and code of WebAssembly modules). */
#define STEP_BYTES 32768u

uint32_t fl__page_stored_for(uint32_t stored_bytes, uint32_t wanted)
{
	uint64_t end = fl_round_up(wanted, STEP_BYTES);
	/* Some steps pack worse than others; and nobody reads nothing. */
	uint64_t likely =
		stored_bytes * end / FL_WPAGE_BYTES + stored_bytes / 8 + 1;

	return (uint32_t)fl_min_u64(likely, stored_bytes);
}

#if FL_WITH_ZSTD

#include <zstd.h>

/* A higher one takes twice the time and more for a tenth of the bytes. */
#define LEVEL 3

/* A bit of a frame's descriptor, which follows the magic. */
#define ONE_SEGMENT 0x20

/* What is saved must be worth unpacking. */
#define MOST_BYTES (FL_WPAGE_BYTES - 4096)

struct fl__page_packer {
	ZSTD_CCtx *zstd;
	uint8_t stored[MOST_BYTES];
};

struct fl__page_unpacker {
	ZSTD_DCtx *zstd;
	uint8_t bytes[FL_WPAGE_BYTES];
};

const char *fl__page_pack_lacks(void)
{
	return NULL;
}

static int no_memory(struct fl_error *error)
{
	return fl__error_set(error, -ENOMEM,
			     "no memory for packing and unpacking pages");
}

int fl__page_packer_create(struct fl__page_packer **out, struct fl_error *error)
{
	struct fl__page_packer *packer = malloc(sizeof(*packer));

	if (!packer)
		return no_memory(error);
	packer->zstd = ZSTD_createCCtx();
	if (!packer->zstd ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(
		    packer->zstd, ZSTD_c_compressionLevel, LEVEL))) {
		fl__page_packer_destroy(packer);
		return no_memory(error);
	}
	*out = packer;
	return 0;
}

void fl__page_packer_destroy(struct fl__page_packer *packer)
{
	if (!packer)
		return;
	ZSTD_freeCCtx(packer->zstd);
	free(packer);
}

uint32_t fl__page_pack(struct fl__page_packer *packer, const uint8_t *bytes,
		       const uint8_t **stored)
{
	ZSTD_outBuffer out = { packer->stored, sizeof(packer->stored), 0 };
	size_t left;

	(void)ZSTD_CCtx_reset(packer->zstd, ZSTD_reset_session_only);
	left = ZSTD_CCtx_setPledgedSrcSize(packer->zstd, FL_WPAGE_BYTES);
	for (uint64_t at = 0; !left && at < FL_WPAGE_BYTES; at += STEP_BYTES) {
		ZSTD_inBuffer in = { bytes + at, STEP_BYTES, 0 };

		left = ZSTD_compressStream2(packer->zstd, &out, &in,
					    at + STEP_BYTES < FL_WPAGE_BYTES ?
						    ZSTD_e_flush :
						    ZSTD_e_end);
	}
	*stored = left ? bytes : packer->stored;
	if (ZSTD_isError(left))
		return 0;
	return left ? (uint32_t)FL_WPAGE_BYTES : (uint32_t)out.pos;
}

/* A stream has its buffers from its first frame on. They are as large for each frame
 * of one segment that holds a page: this is the head of one. */
static bool stream_make(ZSTD_DCtx *zstd)
{
	static const uint8_t head[] = {
		0x28, 0xb5, 0x2f, 0xfd, 0x40 | ONE_SEGMENT, 0x00, 0xff,
	};
	ZSTD_inBuffer in = { head, sizeof(head), 0 };
	uint8_t byte;
	ZSTD_outBuffer out = { &byte, sizeof(byte), 0 };

	return !ZSTD_isError(ZSTD_decompressStream(zstd, &out, &in));
}

int fl__page_unpacker_create(struct fl__page_unpacker **out,
			     struct fl_error *error)
{
	struct fl__page_unpacker *unpacker = malloc(sizeof(*unpacker));

	if (!unpacker)
		return no_memory(error);
	unpacker->zstd = ZSTD_createDCtx();
	if (!unpacker->zstd || !stream_make(unpacker->zstd)) {
		fl__page_unpacker_destroy(unpacker);
		return no_memory(error);
	}
	*out = unpacker;
	return 0;
}

void fl__page_unpacker_destroy(struct fl__page_unpacker *unpacker)
{
	if (!unpacker)
		return;
	ZSTD_freeDCtx(unpacker->zstd);
	free(unpacker);
}

uint8_t *fl__page_unpacker_buffer(struct fl__page_unpacker *unpacker)
{
	return unpacker->bytes;
}

/* Frames of older formats have other code, which allocates. */
static bool is_frame(const uint8_t *stored, uint32_t stored_bytes)
{
	static const uint8_t magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };

	return stored_bytes > sizeof(magic) &&
	       !memcmp(stored, magic, sizeof(magic));
}

static bool is_one_frame(const uint8_t *stored, uint32_t stored_bytes)
{
	return is_frame(stored, stored_bytes) &&
	       ZSTD_findFrameCompressedSize(stored, stored_bytes) ==
		       stored_bytes;
}

const char *fl__page_unpack(struct fl__page_unpacker *unpacker,
			    const uint8_t *stored, uint32_t stored_bytes,
			    uint8_t *bytes)
{
	size_t done;

	if (!is_one_frame(stored, stored_bytes))
		return "what is stored is not one frame of zstd";
	if (ZSTD_getFrameContentSize(stored, stored_bytes) != FL_WPAGE_BYTES)
		return "the frame does not say that it holds a page";
	done = ZSTD_decompressDCtx(unpacker->zstd, bytes, FL_WPAGE_BYTES,
				   stored, stored_bytes);
	if (ZSTD_isError(done))
		return ZSTD_getErrorName(done);
	return done == FL_WPAGE_BYTES ? NULL : "the frame holds no whole page";
}

/* A page's frame whose window is the page: a stream has the memory for it. */
static bool is_one_segment(const uint8_t *stored, uint32_t got_bytes)
{
	return is_frame(stored, got_bytes) && stored[4] & ONE_SEGMENT &&
	       ZSTD_getFrameContentSize(stored, got_bytes) == FL_WPAGE_BYTES;
}

const char *fl__page_unpack_start(struct fl__page_unpacker *unpacker,
				  const uint8_t *stored, uint32_t got_bytes,
				  uint8_t *bytes, uint32_t wanted)
{
	ZSTD_inBuffer in = { stored, got_bytes, 0 };
	ZSTD_outBuffer out = { bytes, wanted - 1, 0 };
	size_t done;

	if (wanted == FL_WPAGE_BYTES || !is_one_segment(stored, got_bytes))
		return fl__page_unpack(unpacker, stored, got_bytes, bytes);
	(void)ZSTD_DCtx_reset(unpacker->zstd, ZSTD_reset_session_only);
	done = ZSTD_decompressStream(unpacker->zstd, &out, &in);
	/* Where it may, a stream unpacks a block more than it gives. So the last byte is
	 * asked for when there is nothing to unpack. */
	in.size = in.pos;
	out.size = wanted;
	if (!ZSTD_isError(done))
		done = ZSTD_decompressStream(unpacker->zstd, &out, &in);
	in.size = got_bytes;
	if (!ZSTD_isError(done) && out.pos < wanted)
		done = ZSTD_decompressStream(unpacker->zstd, &out, &in);
	if (ZSTD_isError(done))
		return ZSTD_getErrorName(done);
	return out.pos == wanted ? NULL : "the frame holds too little";
}

#else

const char *fl__page_pack_lacks(void)
{
	return "this library was built without libzstd; install libzstd-dev and build it again";
}

static int no_zstd(struct fl_error *error)
{
	return fl__error_set(error, -ENOTSUP, "pages cannot be packed: %s",
			     fl__page_pack_lacks());
}

int fl__page_packer_create(struct fl__page_packer **packer,
			   struct fl_error *error)
{
	(void)packer;
	return no_zstd(error);
}

void fl__page_packer_destroy(struct fl__page_packer *packer)
{
	(void)packer;
}

uint32_t fl__page_pack(struct fl__page_packer *packer, const uint8_t *bytes,
		       const uint8_t **stored)
{
	(void)packer;
	*stored = bytes;
	return FL_WPAGE_BYTES;
}

int fl__page_unpacker_create(struct fl__page_unpacker **unpacker,
			     struct fl_error *error)
{
	(void)unpacker;
	return no_zstd(error);
}

void fl__page_unpacker_destroy(struct fl__page_unpacker *unpacker)
{
	(void)unpacker;
}

uint8_t *fl__page_unpacker_buffer(struct fl__page_unpacker *unpacker)
{
	(void)unpacker;
	return NULL;
}

const char *fl__page_unpack(struct fl__page_unpacker *unpacker,
			    const uint8_t *stored, uint32_t stored_bytes,
			    uint8_t *bytes)
{
	(void)unpacker;
	(void)stored;
	(void)stored_bytes;
	(void)bytes;
	return fl__page_pack_lacks();
}

const char *fl__page_unpack_start(struct fl__page_unpacker *unpacker,
				  const uint8_t *stored, uint32_t got_bytes,
				  uint8_t *bytes, uint32_t wanted)
{
	(void)wanted;
	return fl__page_unpack(unpacker, stored, got_bytes, bytes);
}

#endif
