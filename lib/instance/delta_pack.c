/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* delta_pack.c - packing, unpacking, training a dictionary; see delta_pack.h. */
#include "delta_pack.h"
#include "base/config.h"
#include "base/sha256.h"
#include "base/sized.h"
#include "os/os.h"

#include <stdlib.h>

#if FL_WITH_ZSTD

#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

#define FORMAT 1
#define ID_OFF 4
#define HEAD 12u
#define MIN_DICTIONARY_BYTES 1024u
#define MAX_TRAINING_BYTES (UINT64_C(1) << 30)
#define MIN_LEVEL -131072
#define MAX_LEVEL 22

static const uint8_t magic[4] = { 'F', 'L', 'Z', FORMAT };

/* What one thread packs and unpacks with. */
struct work {
	struct work *next;
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
};

struct fl_packer {
	struct fl_snapshot *snapshot; /* a reference */
	uint8_t digest[FL__SHA256_BYTES];
	uint64_t dictionary_id;
	ZSTD_CDict *pack_dictionary; /* NULL: none */
	ZSTD_DDict *unpack_dictionary;
	uint64_t max_delta_bytes;
	int level;
	struct fl__os_lock lock;
	struct work *free; /* under the lock */
};

/* ------------------------------------------------------------------ packers */

static void work_destroy(struct work *work)
{
	ZSTD_freeCCtx(work->pack);
	ZSTD_freeDCtx(work->unpack);
	free(work);
}

static bool set(ZSTD_CCtx *context, ZSTD_cParameter parameter, int value)
{
	return !ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value));
}

static struct work *work_create(const struct fl_packer *packer)
{
	struct work *work = calloc(1, sizeof(*work));

	if (!work)
		return NULL;
	work->pack = ZSTD_createCCtx();
	work->unpack = ZSTD_createDCtx();
	/* The level first: the dictionary has its own and takes its place. */
	if (work->pack && work->unpack &&
	    set(work->pack, ZSTD_c_compressionLevel, packer->level) &&
	    set(work->pack, ZSTD_c_dictIDFlag, 0) &&
	    !ZSTD_isError(
		    ZSTD_CCtx_refCDict(work->pack, packer->pack_dictionary)))
		return work;
	work_destroy(work);
	return NULL;
}

static struct work *work_take(struct fl_packer *packer, struct fl_error *error)
{
	struct work *work;

	fl__os_lock(&packer->lock);
	work = packer->free;
	if (work)
		packer->free = work->next;
	fl__os_unlock(&packer->lock);
	if (!work)
		work = work_create(packer);
	if (!work)
		(void)fl__error_set(error, -ENOMEM,
				    "no memory for packing and unpacking");
	return work;
}

static void work_give(struct fl_packer *packer, struct work *work)
{
	fl__os_lock(&packer->lock);
	work->next = packer->free;
	packer->free = work;
	fl__os_unlock(&packer->lock);
}

static int config_check(const struct fl_packer_config *known,
			struct fl_error *error)
{
	if (!known->snapshot)
		return fl__error_set(
			error, -EINVAL,
			"snapshot of fl_packer_config is NULL; give the snapshot whose deltas are packed");
	if (!known->dictionary != !known->dictionary_bytes)
		return fl__error_set(
			error, -EINVAL,
			"dictionary and dictionary_bytes of fl_packer_config contradict each other; give both or neither");
	if (known->level < MIN_LEVEL || known->level > MAX_LEVEL)
		return fl__error_set(
			error, -EINVAL,
			"level of fl_packer_config is %d; use %d to %d",
			(int)known->level, MIN_LEVEL, MAX_LEVEL);
	return 0;
}

static uint64_t id_of(const void *dictionary, uint64_t length_bytes)
{
	uint8_t digest[FL__SHA256_BYTES];
	struct fl__sha256 sha;
	uint64_t id = 0;

	fl__sha256_init(&sha);
	fl__sha256_add(&sha, dictionary, length_bytes);
	fl__sha256_end(&sha, digest);
	for (unsigned int i = 0; i < 8; i++)
		id |= (uint64_t)digest[i] << (8 * i);
	return id ? id : 1;
}

/* Bytes without the magic number are a dictionary whatever they are. */
static bool is_damaged(const void *dictionary, size_t len)
{
	static const uint8_t trained[] = { 0x37, 0xa4, 0x30, 0xec };

	return len >= sizeof(trained) &&
	       !memcmp(dictionary, trained, sizeof(trained)) &&
	       ZSTD_getErrorCode(ZDICT_getDictHeaderSize(dictionary, len)) ==
		       ZSTD_error_dictionary_corrupted;
}

/* zstd 1.5.4 writes to where it got no memory for a dictionary's tables. So as much as
 * they can take is asked for first, and given back: content, and two tables of 4 bytes
 * for each position up to twice the next power of two. */
static bool has_room_for(size_t len)
{
	uint64_t bytes = 40 * ((uint64_t)len + 1024) + ((uint64_t)1 << 18);
	uint64_t hpage = fl__os_hpage_bytes();
	uint8_t *room;
	bool has_room;

	if (len > SIZE_MAX / 64)
		return false;
	bytes = fl_round_up(bytes, hpage);
	if (fl__os_reserve(bytes, hpage, &room))
		return false;
	has_room = !fl__os_allow(room, bytes);
	fl__os_release(room, bytes);
	return has_room;
}

static int dictionary_digest(struct fl_packer *packer,
			     const struct fl_packer_config *known,
			     struct fl_error *error)
{
	size_t len = (size_t)known->dictionary_bytes;

	if (!known->dictionary)
		return 0;
	packer->dictionary_id = id_of(known->dictionary, len);
	if (has_room_for(len)) {
		packer->pack_dictionary =
			ZSTD_createCDict(known->dictionary, len, packer->level);
		packer->unpack_dictionary =
			ZSTD_createDDict(known->dictionary, len);
	}
	if (packer->pack_dictionary && packer->unpack_dictionary)
		return 0;
	if (is_damaged(known->dictionary, len))
		return fl__error_set(
			error, -EINVAL,
			"zstd takes the dictionary of %zu bytes not: the dictionary is damaged",
			len);
	return fl__error_set(error, -ENOMEM,
			     "no memory for a dictionary of %zu bytes", len);
}

int fl_packer_create(const struct fl_packer_config *config,
		     struct fl_packer **out, struct fl_error *error)
{
	struct fl_packer_config known;
	struct fl_packer *packer;
	int err;

	err = fl__config_read(FL_PACKER_CONFIG, &known, config, error);
	if (!err)
		err = config_check(&known, error);
	if (err)
		return err;
	packer = calloc(1, sizeof(*packer));
	if (!packer)
		return fl__error_set(error, -ENOMEM, "no memory for a packer");
	packer->level = known.level;
	packer->max_delta_bytes =
		fl_min_u64(known.max_delta_bytes, SIZE_MAX / 4);
	err = fl_snapshot_digest(known.snapshot, packer->digest, error);
	if (!err && fl__os_lock_init(&packer->lock))
		err = fl__error_set(error, -ENOMEM, "no memory for a lock");
	if (err) {
		free(packer);
		return err;
	}
	packer->snapshot = fl_snapshot_retain(known.snapshot);
	err = dictionary_digest(packer, &known, error);
	if (err) {
		fl_packer_destroy(packer);
		return err;
	}
	*out = packer;
	return 0;
}

void fl_packer_destroy(struct fl_packer *packer)
{
	struct work *work, *next;

	if (!packer)
		return;
	for (work = packer->free; work; work = next) {
		next = work->next;
		work_destroy(work);
	}
	ZSTD_freeCDict(packer->pack_dictionary);
	ZSTD_freeDDict(packer->unpack_dictionary);
	fl__os_lock_fini(&packer->lock);
	fl_snapshot_release(packer->snapshot);
	free(packer);
}

uint64_t fl__packer_dictionary(const struct fl_packer *packer)
{
	return packer->dictionary_id;
}

/* ------------------------------------------------------------------ packing */

int fl_delta_pack(struct fl_packer *packer, const struct fl_delta *delta,
		  void *buffer, uint64_t *packed_bytes, struct fl_error *error)
{
	uint64_t room = *packed_bytes;
	uint8_t *bytes = buffer;
	struct work *work;
	size_t done;

	if (memcmp(fl__delta_digest(delta->bytes), packer->digest,
		   FL__SHA256_BYTES))
		return fl__error_set(
			error, -EINVAL,
			"the delta is of another snapshot than the packer; make a packer of its snapshot");
	if (delta->length_bytes > packer->max_delta_bytes)
		return fl__error_set(
			error, -E2BIG,
			"the delta has %llu bytes; raise max_delta_bytes of fl_packer_config, which is %llu",
			fl_llu(delta->length_bytes),
			fl_llu(packer->max_delta_bytes));
	if (!bytes) {
		*packed_bytes =
			HEAD + ZSTD_compressBound((size_t)delta->length_bytes);
		return 0;
	}
	if (room < HEAD)
		goto too_small;
	work = work_take(packer, error);
	if (!work)
		return -ENOMEM;
	done = ZSTD_compress2(work->pack, bytes + HEAD,
			      (size_t)(fl_min_u64(room, SIZE_MAX) - HEAD),
			      delta->bytes, (size_t)delta->length_bytes);
	work_give(packer, work);
	if (ZSTD_getErrorCode(done) == ZSTD_error_dstSize_tooSmall)
		goto too_small;
	if (ZSTD_isError(done))
		return fl__error_set(error, -ENOMEM, "zstd does not pack: %s",
				     ZSTD_getErrorName(done));
	memcpy(bytes, magic, sizeof(magic));
	for (unsigned int i = 0; i < 8; i++)
		bytes[ID_OFF + i] = (uint8_t)(packer->dictionary_id >> (8 * i));
	*packed_bytes = HEAD + done;
	return 0;
too_small:
	return fl__error_set(
		error, -E2BIG,
		"a buffer of %llu bytes is too small; ask with buffer NULL for what is enough",
		fl_llu(room));
}

/* ---------------------------------------------------------------- unpacking */

/* Is there one frame, which says how long its content is, and nothing behind it? */
static int head_read(const uint8_t *bytes, uint64_t length_bytes,
		     struct fl_packed_info *info, struct fl_error *error)
{
	unsigned long long content;
	size_t frame;

	if (length_bytes < HEAD || length_bytes > SIZE_MAX ||
	    memcmp(bytes, magic, sizeof(magic) - 1))
		return fl__error_set_at(error, -ENOEXEC, 0,
					"these are no packed delta's bytes");
	if (bytes[3] != FORMAT)
		return fl__error_set_at(
			error, -ENOTSUP, 3,
			"packed bytes of version %u; this library reads version %u",
			bytes[3], FORMAT);
	*info = (struct fl_packed_info){ .size = 0 };
	for (unsigned int i = 0; i < 8; i++)
		info->dictionary_id |= (uint64_t)bytes[ID_OFF + i] << (8 * i);
	bytes += HEAD;
	length_bytes -= HEAD;
	content = ZSTD_getFrameContentSize(bytes, (size_t)length_bytes);
	if (content >= ZSTD_CONTENTSIZE_ERROR)
		return fl__error_set_at(
			error, -ENOEXEC, HEAD,
			"the packed delta has no frame of zstd that says how long its content is");
	frame = ZSTD_findFrameCompressedSize(bytes, (size_t)length_bytes);
	if (ZSTD_isError(frame) || frame != length_bytes)
		return fl__error_set_at(
			error, -ENOEXEC, HEAD,
			"the packed delta's frame of zstd does not end where the bytes end");
	info->delta_bytes = content;
	return 0;
}

static int dictionary_check(const struct fl_packer *packer, uint64_t id,
			    struct fl_error *error)
{
	if (id == packer->dictionary_id)
		return 0;
	if (!id)
		return fl__error_set_at(
			error, -EINVAL, ID_OFF,
			"the delta was packed without a dictionary; unpack it by a packer that has none");
	if (!packer->dictionary_id)
		return fl__error_set_at(
			error, -EINVAL, ID_OFF,
			"the delta was packed with dictionary %016llx, and the packer has none",
			fl_llu(id));
	return fl__error_set_at(
		error, -EINVAL, ID_OFF,
		"the delta was packed with dictionary %016llx, and the packer has %016llx",
		fl_llu(id), fl_llu(packer->dictionary_id));
}

static int frame_unpack(struct fl_packer *packer, const uint8_t *frame,
			size_t frame_bytes, uint8_t *to, size_t room,
			struct fl_error *error)
{
	struct work *work = work_take(packer, error);
	size_t done;

	if (!work)
		return -ENOMEM;
	done = ZSTD_decompress_usingDDict(work->unpack, to, room, frame,
					  frame_bytes,
					  packer->unpack_dictionary);
	work_give(packer, work);
	if (ZSTD_getErrorCode(done) == ZSTD_error_memory_allocation)
		return fl__error_set(error, -ENOMEM, "no memory for unpacking");
	if (ZSTD_isError(done))
		return fl__error_set_at(error, -ENOEXEC, HEAD,
					"the packed delta is damaged: %s",
					ZSTD_getErrorName(done));
	if (done != room)
		return fl__error_set_at(
			error, -ENOEXEC, HEAD,
			"the packed delta has %zu bytes and claims %zu", done,
			room);
	return 0;
}

int fl__delta_unpack_bytes(struct fl_packer *packer, const uint8_t *bytes,
			   uint64_t length_bytes, struct fl_delta **out,
			   uint64_t *delta_bytes, struct fl_error *error)
{
	struct fl_packed_info info;
	struct fl_delta *delta;
	int err;

	err = head_read(bytes, length_bytes, &info, error);
	if (!err)
		err = dictionary_check(packer, info.dictionary_id, error);
	if (err)
		return err;
	if (info.delta_bytes > packer->max_delta_bytes)
		return fl__error_set_at(
			error, -E2BIG, HEAD,
			"the packed delta claims %llu bytes; max_delta_bytes of fl_packer_config is %llu",
			fl_llu(info.delta_bytes),
			fl_llu(packer->max_delta_bytes));
	delta = fl__delta_alloc(info.delta_bytes);
	if (!delta)
		return fl__error_set(error, -ENOMEM,
				     "no memory for a delta of %llu bytes",
				     fl_llu(info.delta_bytes));
	err = frame_unpack(packer, bytes + HEAD, (size_t)length_bytes - HEAD,
			   delta->own, (size_t)info.delta_bytes, error);
	if (err) {
		free(delta);
		return err;
	}
	*delta_bytes = info.delta_bytes;
	*out = delta;
	return 0;
}

int fl_delta_unpack(struct fl_packer *packer, const void *bytes,
		    uint64_t length_bytes, const uint8_t *tag,
		    struct fl_delta **out, struct fl_error *error)
{
	struct fl_delta *delta;
	uint64_t len;
	int err;

	err = fl__delta_unpack_bytes(packer, bytes, length_bytes, &delta, &len,
				     error);
	if (err)
		return err;
	err = fl__delta_adopt(delta, len, packer->snapshot, packer->digest, tag,
			      error);
	if (!err)
		*out = delta;
	return err;
}

int fl_packed_info(const void *bytes, uint64_t length_bytes,
		   struct fl_packed_info *info, struct fl_error *error)
{
	struct fl_packed_info filled;
	int err = head_read(bytes, length_bytes, &filled, error);

	if (!err)
		fl__sized_write(info, &filled, sizeof(filled));
	return err;
}

/* ----------------------------------------------------------------- training */

static int training_check(struct fl_delta *const *deltas, uint32_t delta_count,
			  uint64_t room, uint64_t *all, struct fl_error *error)
{
	*all = 0;
	if (!delta_count || room < MIN_DICTIONARY_BYTES)
		return fl__error_set(
			error, -EINVAL,
			"%u deltas and room for a dictionary of %llu bytes; give some hundred deltas, and %u bytes at least",
			delta_count, fl_llu(room), MIN_DICTIONARY_BYTES);
	for (uint32_t i = 0; i < delta_count; i++) {
		if (memcmp(fl__delta_digest(deltas[i]->bytes),
			   fl__delta_digest(deltas[0]->bytes),
			   FL__SHA256_BYTES))
			return fl__error_set(
				error, -EINVAL,
				"deltas[%u] is of another snapshot than deltas[0]; train a dictionary on deltas of one snapshot",
				i);
		*all += fl_min_u64(deltas[i]->length_bytes, MAX_TRAINING_BYTES);
		if (*all > MAX_TRAINING_BYTES)
			return fl__error_set(
				error, -E2BIG,
				"more than %llu bytes of deltas to train a dictionary on; give fewer",
				fl_llu(MAX_TRAINING_BYTES));
	}
	return 0;
}

static void samples_gather(struct fl_delta *const *deltas, uint32_t delta_count,
			   uint8_t *samples, size_t *lengths)
{
	for (uint32_t i = 0; i < delta_count; i++) {
		lengths[i] = (size_t)deltas[i]->length_bytes;
		memcpy(samples, deltas[i]->bytes, lengths[i]);
		samples += lengths[i];
	}
}

int fl_packer_train(struct fl_delta *const *deltas, uint32_t delta_count,
		    void *dictionary, uint64_t *dictionary_bytes,
		    struct fl_error *error)
{
	uint8_t *samples = NULL;
	size_t *lengths = NULL;
	uint64_t all;
	size_t done;
	int err;

	err = training_check(deltas, delta_count, *dictionary_bytes, &all,
			     error);
	if (err)
		return err;
	samples = malloc((size_t)all);
	lengths = calloc(delta_count, sizeof(*lengths));
	if (!samples || !lengths) {
		err = fl__error_set(error, -ENOMEM,
				    "no memory for %llu bytes of deltas",
				    fl_llu(all));
		goto out;
	}
	samples_gather(deltas, delta_count, samples, lengths);
	done = ZDICT_trainFromBuffer(dictionary,
				     (size_t)fl_min_u64(*dictionary_bytes,
							MAX_TRAINING_BYTES),
				     samples, lengths, delta_count);
	if (!ZDICT_isError(done))
		*dictionary_bytes = done;
	else if (ZSTD_getErrorCode(done) == ZSTD_error_memory_allocation)
		err = fl__error_set(error, -ENOMEM, "no memory for training");
	else
		err = fl__error_set(
			error, -EINVAL,
			"zstd makes no dictionary of %u %s: %s; give more deltas that have something in common",
			delta_count, fl_noun(delta_count, "delta", "deltas"),
			ZDICT_getErrorName(done));
out:
	free(samples);
	free(lengths);
	return err;
}

#else

static int no_zstd(struct fl_error *error)
{
	return fl__error_set(
		error, -ENOTSUP,
		"this library was built without libzstd; install libzstd-dev and build it again, or keep deltas as they are");
}

int fl_packer_create(const struct fl_packer_config *config,
		     struct fl_packer **out, struct fl_error *error)
{
	(void)config;
	(void)out;
	return no_zstd(error);
}

void fl_packer_destroy(struct fl_packer *packer)
{
	(void)packer;
}

int fl_packer_train(struct fl_delta *const *deltas, uint32_t delta_count,
		    void *dictionary, uint64_t *dictionary_bytes,
		    struct fl_error *error)
{
	(void)deltas;
	(void)delta_count;
	(void)dictionary;
	(void)dictionary_bytes;
	return no_zstd(error);
}

uint64_t fl__packer_dictionary(const struct fl_packer *packer)
{
	(void)packer;
	return 0;
}

int fl_delta_pack(struct fl_packer *packer, const struct fl_delta *delta,
		  void *buffer, uint64_t *packed_bytes, struct fl_error *error)
{
	(void)packer;
	(void)delta;
	(void)buffer;
	(void)packed_bytes;
	return no_zstd(error);
}

int fl__delta_unpack_bytes(struct fl_packer *packer, const uint8_t *bytes,
			   uint64_t length_bytes, struct fl_delta **out,
			   uint64_t *delta_bytes, struct fl_error *error)
{
	(void)packer;
	(void)bytes;
	(void)length_bytes;
	(void)out;
	(void)delta_bytes;
	return no_zstd(error);
}

int fl_delta_unpack(struct fl_packer *packer, const void *bytes,
		    uint64_t length_bytes, const uint8_t *tag,
		    struct fl_delta **out, struct fl_error *error)
{
	(void)packer;
	(void)bytes;
	(void)length_bytes;
	(void)tag;
	(void)out;
	return no_zstd(error);
}

int fl_packed_info(const void *bytes, uint64_t length_bytes,
		   struct fl_packed_info *info, struct fl_error *error)
{
	(void)bytes;
	(void)length_bytes;
	(void)info;
	return no_zstd(error);
}

#endif
