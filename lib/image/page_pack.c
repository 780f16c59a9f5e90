/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* page_pack.c - pages packed and unpacked; see page_pack.h. */
#include "page_pack.h"
#include "base/util.h"

#include <stdlib.h>

#if FL_WITH_ZSTD

#include <zstd.h>

/* A higher one takes twice the time and more for a tenth of the bytes. */
#define LEVEL 3

/* What is saved must be worth unpacking. */
#define MOST_BYTES (FL_WPAGE_BYTES - 4096)

struct fl__page_packer {
	ZSTD_CCtx *zstd;
	uint8_t stored[FL__PAGE_FRAMES *
		       ZSTD_COMPRESSBOUND(FL__PAGE_FRAME_BYTES)];
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

int fl__page_pack(struct fl__page_packer *packer, const uint8_t *bytes,
		  uint16_t frame_bytes[FL__PAGE_FRAMES], const uint8_t **stored)
{
	size_t at = 0;

	for (uint32_t i = 0; i < FL__PAGE_FRAMES && at <= MOST_BYTES; i++) {
		/* There is room, so only memory can be short. */
		size_t len = ZSTD_compress2(packer->zstd, packer->stored + at,
					    sizeof(packer->stored) - at,
					    bytes + i * FL__PAGE_FRAME_BYTES,
					    FL__PAGE_FRAME_BYTES);

		if (ZSTD_isError(len))
			return -ENOMEM;
		frame_bytes[i] = (uint16_t)len;
		at += len;
	}
	*stored = packer->stored;
	if (at > MOST_BYTES) {
		*stored = bytes;
		memset(frame_bytes, 0, FL__PAGE_FRAMES * sizeof(*frame_bytes));
	}
	return 0;
}

int fl__page_unpacker_create(struct fl__page_unpacker **out,
			     struct fl_error *error)
{
	struct fl__page_unpacker *unpacker = malloc(sizeof(*unpacker));

	if (!unpacker)
		return no_memory(error);
	unpacker->zstd = ZSTD_createDCtx();
	if (!unpacker->zstd) {
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
			    uint8_t *bytes, uint32_t len)
{
	size_t done;

	if (!is_one_frame(stored, stored_bytes))
		return "what is stored is not one frame of zstd";
	if (ZSTD_getFrameContentSize(stored, stored_bytes) != len)
		return "the frame does not say that it holds so many bytes";
	done = ZSTD_decompressDCtx(unpacker->zstd, bytes, len, stored,
				   stored_bytes);
	if (ZSTD_isError(done))
		return ZSTD_getErrorName(done);
	return done == len ? NULL : "the frame holds too little";
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

int fl__page_pack(struct fl__page_packer *packer, const uint8_t *bytes,
		  uint16_t frame_bytes[FL__PAGE_FRAMES], const uint8_t **stored)
{
	(void)packer;
	(void)bytes;
	(void)frame_bytes;
	(void)stored;
	return -ENOTSUP;
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
			    uint8_t *bytes, uint32_t len)
{
	(void)unpacker;
	(void)stored;
	(void)stored_bytes;
	(void)bytes;
	(void)len;
	return fl__page_pack_lacks();
}

#endif
