/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_file.c - snapshots in files: the public calls over archive.h.
 *
 * Takes a snapshot and gives a file, or the digest of both. Takes a file and
 * what the file must belong to, and gives a snapshot. The file has the images,
 * the digests of the modules' bytes, the name of the encoding, and as its state
 * what snapshot_state.h describes.
 */
#include "module/archive.h"
#include "base/config.h"
#include "base/ctypes.h"
#include "snapshot_state.h"

#include <stdlib.h>

static void module_digest(const struct fl_module *module, uint8_t *digest)
{
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	fl__sha256_add(&sha, module->bytes, module->reader.length);
	fl__sha256_end(&sha, digest);
}

/* What was opened only to be looked at is all there; the snapshot lends it. */
static void archive_lend(const struct fl_snapshot *snapshot,
			 struct fl__archive *archive)
{
	*archive = (struct fl__archive){
		.images = snapshot->images,
		.image_count = snapshot->image_count,
		.state = snapshot->state,
		.state_bytes = snapshot->state_bytes,
		.module_count = snapshot->module_count,
		.module_digests =
			(uint8_t(*)[FL__SHA256_BYTES])snapshot->module_digests,
	};
	memcpy(archive->encoding, snapshot->encoding,
	       sizeof(archive->encoding));
}

/* The archive of a snapshot. Its images are the snapshot's. */
static int archive_open(const struct fl_snapshot *snapshot,
			struct fl__archive *archive, struct fl_error *error)
{
	struct fl__parts_list parts;
	uint8_t *state;
	uint64_t state_bytes;
	int err;

	if (!snapshot->count) {
		archive_lend(snapshot, archive);
		return 0;
	}
	err = fl__snapshot_save(snapshot, &parts, &state, &state_bytes, error);
	if (err)
		return err;
	*archive = (struct fl__archive){
		.images = parts.images,
		.image_count = parts.image_count,
		.state = state,
		.state_bytes = state_bytes,
		.module_count = parts.module_count,
		.module_digests = malloc(parts.module_count *
					 sizeof(*archive->module_digests)),
	};
	memcpy(archive->encoding, snapshot->encoding,
	       sizeof(archive->encoding));
	for (uint32_t i = 0; archive->module_digests && i < parts.module_count;
	     i++)
		module_digest(parts.modules[i], archive->module_digests[i]);
	free(parts.modules);
	if (archive->module_digests)
		return 0;
	free(parts.images);
	free(state);
	return fl__error_set(error, -ENOMEM, "no memory for a file");
}

static void archive_close(const struct fl_snapshot *snapshot,
			  struct fl__archive *archive)
{
	if (!snapshot->count)
		return;
	free(archive->images);
	free(archive->module_digests);
	free(archive->state);
}

int fl_snapshot_write_as(const struct fl_snapshot *snapshot, const char *path,
			 uint32_t flags, struct fl_error *error)
{
	struct fl__archive archive;
	int err = archive_open(snapshot, &archive, error);

	if (err)
		return err;
	err = fl__archive_write(&archive, path, flags, error);
	archive_close(snapshot, &archive);
	return err;
}

int fl_snapshot_write(const struct fl_snapshot *snapshot, const char *path,
		      struct fl_error *error)
{
	return fl_snapshot_write_as(snapshot, path, 0, error);
}

int fl_snapshot_digest(struct fl_snapshot *snapshot, uint8_t digest[32],
		       struct fl_error *error)
{
	struct fl__archive archive;
	int err;

	if (fl__kept_digest_get(&snapshot->digest, digest))
		return 0;
	err = archive_open(snapshot, &archive, error);
	if (err)
		return err;
	err = fl__archive_digest(&archive, digest, error);
	if (!err)
		fl__kept_digest_set(&snapshot->digest, digest);
	archive_close(snapshot, &archive);
	return err;
}

/* ------------------------------------------------------------------- opening */

static int find_module(const struct fl_snapshot_binding *binding,
		       const uint8_t (*digests)[FL__SHA256_BYTES],
		       const uint8_t *wanted, uint32_t idx,
		       struct fl_module **module, struct fl_error *error)
{
	for (uint32_t i = 0; i < binding->module_count; i++) {
		if (memcmp(digests[i], wanted, FL__SHA256_BYTES))
			continue;
		*module = binding->modules[i];
		return 0;
	}
	return fl__error_set(
		error, -EINVAL,
		"module %u of the file, with SHA-256 %02x%02x%02x%02x..., is none of the %u that were given",
		idx, wanted[0], wanted[1], wanted[2], wanted[3],
		binding->module_count);
}

/* The modules of an archive, in its order; the caller frees the list. */
static int find_modules(const struct fl_context *context,
			const struct fl_snapshot_binding *binding,
			const struct fl__archive *archive,
			struct fl_module ***modules, struct fl_error *error)
{
	uint8_t(*digests)[FL__SHA256_BYTES] =
		calloc(binding->module_count + 1u, sizeof(*digests));
	int err = 0;

	*modules = calloc(archive->module_count + 1u, sizeof(**modules));
	if (!digests || !*modules)
		err = fl__error_set(error, -ENOMEM, "no memory for modules");
	for (uint32_t i = 0; i < binding->module_count && !err; i++) {
		if (!binding->modules[i] ||
		    binding->modules[i]->context != context)
			err = fl__error_set(
				error, -EINVAL,
				"modules[%u] was loaded with another context, or none",
				i);
		else
			module_digest(binding->modules[i], digests[i]);
	}
	for (uint32_t i = 0; i < archive->module_count && !err; i++)
		err = find_module(binding,
				  (const uint8_t(*)[FL__SHA256_BYTES])digests,
				  archive->module_digests[i], i, &(*modules)[i],
				  error);
	free(digests);
	if (err)
		free(*modules);
	return err;
}

/* Plain bytes of another system are no struct here. */
static int check_ctypes(const struct fl__captured *captured, uint32_t idx,
			struct fl_error *error)
{
	char there[FL__CTYPES_TEXT_BYTES], here[FL__CTYPES_TEXT_BYTES];

	if (!captured->ctypes || captured->ctypes == fl__ctypes_here())
		return 0;
	return fl__error_set(
		error, -ENOTSUP,
		"the file has %s of instance %u as bytes of another system (%s; here %s): give fl_snapshot_config encoders, so that these can travel",
		captured->structure ? "the structure" : "tables", idx,
		fl__ctypes_say(captured->ctypes, there),
		fl__ctypes_say(fl__ctypes_here(), here));
}

/* What a file gives as bytes goes where pointers may be, past every decoder. */
static int check_plain(const struct fl_snapshot_binding *binding,
		       const struct fl_snapshot *snapshot,
		       struct fl_error *error)
{
	for (uint32_t i = 0; i < snapshot->count; i++) {
		const struct fl__captured *captured = &snapshot->instances[i];
		int err;

		if (!binding->plain_tables &&
		    fl__captured_has_plain_table(captured))
			return fl__error_set(
				error, -EINVAL,
				"the file has tables of instance %u as bytes; set plain_tables of fl_snapshot_binding if tables hold no pointer",
				i);
		if (!binding->plain_structure && captured->structure)
			return fl__error_set(
				error, -EINVAL,
				"the file has the structure of instance %u as bytes; set plain_structure of fl_snapshot_binding if structures hold no pointer",
				i);
		err = check_ctypes(captured, i, error);
		if (err)
			return err;
	}
	return 0;
}

static int image_settle(struct fl__archive *archive, struct fl_image **image,
			struct fl_error *error)
{
	struct fl_image *copy;
	uint32_t idx = 0;
	int err;

	if (!*image || !fl__image_is_in_place(*image))
		return 0;
	while (archive->images[idx] != *image)
		idx++;
	err = fl__archive_copied(archive, idx, &copy, error);
	if (err)
		return err;
	fl_image_release(*image);
	*image = fl_image_retain(copy);
	return 0;
}

/* Only guest memory is mapped in place: whoever changes the file later changes
 * nothing that the library or its host reads. */
static int tables_settle(struct fl_snapshot *snapshot,
			 struct fl__archive *archive, struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < snapshot->count && !err; i++) {
		struct fl__captured *captured = &snapshot->instances[i];

		captured->serial =
			fl__context_serial(captured->module->context);
		err = image_settle(archive, &captured->structure, error);
		for (size_t k = 0; k < FL__READER_MAX_TABLES && !err; k++) {
			struct fl__captured_table *table = &captured->tables[k];

			/* Decoded elements are told from others by it. */
			if (table->run_count)
				table->serial = fl__context_serial(
					captured->module->context);
			err = image_settle(archive, &table->image, error);
		}
	}
	return err;
}

static int snapshot_of(const struct fl_context *context,
		       const struct fl_snapshot_binding *binding,
		       struct fl__archive *archive, struct fl_snapshot **out,
		       struct fl_error *error)
{
	struct fl_snapshot *snapshot = NULL;
	const char *encoding = binding->encoding ? binding->encoding : "";
	struct fl__parts_list parts = {
		.images = archive->images,
		.image_count = archive->image_count,
		.module_count = archive->module_count,
	};
	int err;

	if (!archive->module_count)
		return fl__error_set(
			error, -EINVAL,
			"the file holds an image and no snapshot; use fl_image_open()");
	if (strcmp(archive->encoding, encoding))
		return fl__error_set(
			error, -ENOTSUP,
			"the state is encoded as \"%.80s\", the runtime's encoding is \"%.80s\"",
			archive->encoding, encoding);
	err = find_modules(context, binding, archive, &parts.modules, error);
	if (err)
		return err;
	err = fl__snapshot_load(archive->state, archive->state_bytes, &parts,
				archive->encoding, &snapshot, error);
	free(parts.modules);
	if (!err)
		err = check_plain(binding, snapshot, error);
	if (!err)
		err = tables_settle(snapshot, archive, error);
	if (err)
		fl_snapshot_release(snapshot);
	else
		*out = snapshot;
	return err;
}

/* All that the archive holds, which the snapshot owns from now on. */
static int snapshot_to_look_at(struct fl__archive *archive,
			       struct fl_snapshot **out, struct fl_error *error)
{
	struct fl_snapshot *snapshot;
	int err = fl__snapshot_alloc(0, archive->encoding, &snapshot, error);

	if (err)
		return err;
	snapshot->images = archive->images;
	snapshot->image_count = archive->image_count;
	snapshot->state = archive->state;
	snapshot->state_bytes = archive->state_bytes;
	archive->images = NULL;
	archive->image_count = 0;
	archive->state = NULL;
	*out = snapshot;
	return 0;
}

/* The archive ends; known is the binding, if there is one. */
static int snapshot_take(struct fl_context *context,
			 struct fl__archive *archive,
			 const struct fl_snapshot_binding *known,
			 struct fl_snapshot **snapshot, struct fl_error *error)
{
	int err =
		known ? snapshot_of(context, known, archive, snapshot, error) :
			snapshot_to_look_at(archive, snapshot, error);

	if (!err) {
		fl__kept_digest_set(&(*snapshot)->digest, archive->digest);
		(*snapshot)->module_digests =
			(uint8_t *)archive->module_digests;
		(*snapshot)->module_count = archive->module_count;
		archive->module_digests = NULL;
	}
	fl__archive_fini(archive);
	return err;
}

int fl_snapshot_open(struct fl_context *context, const char *path, int fd,
		     uint32_t flags, const struct fl_snapshot_binding *binding,
		     struct fl_snapshot **snapshot, struct fl_error *error)
{
	struct fl_snapshot_binding known;
	struct fl__archive archive;
	int err = fl__config_read(FL_SNAPSHOT_BINDING, &known, binding, error);

	if (!err)
		err = fl__archive_open(context, path, fd, flags, &archive,
				       error);
	return err ? err :
		     snapshot_take(context, &archive, binding ? &known : NULL,
				   snapshot, error);
}

int fl_snapshot_open_source(struct fl_context *context,
			    struct fl_page_source *source,
			    const struct fl_load_config *config,
			    const struct fl_snapshot_binding *binding,
			    struct fl_snapshot **snapshot,
			    struct fl_error *error)
{
	struct fl_snapshot_binding known;
	struct fl__archive archive;
	int err = fl__config_read(FL_SNAPSHOT_BINDING, &known, binding, error);

	if (!err)
		err = fl__archive_open_source(context, source, config, &archive,
					      error);
	return err ? err :
		     snapshot_take(context, &archive, binding ? &known : NULL,
				   snapshot, error);
}
