/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * module.h - a loaded module: its bytes, what the reader saw, its images.
 *
 * Takes bytes (copied or borrowed); gives one immutable, reference-counted
 * object that pools validate, instances show and bulk operations read. Images
 * are built once here, never per instance. Any thread.
 *
 * Loading and starting cost what the module is long. So each memory has the list of
 * its own segments, and a global is evaluated once for each set of values of the
 * imports, whatever the number of segments and memories.
 *
 * Images are used only where no known segment traps (shows_images). A segment that
 * traps must do so after what came before it was written and before what comes
 * after, and an image is all or nothing. fl_memory_type.no_image_reason and
 * fl_module_info.segmented_reason tell a caller.
 */
#ifndef FL_MODULE_H
#define FL_MODULE_H

#include "base/config.h"
#include "wasm/reader.h"
#include "wasm/survey.h"
#include "store.h"

/* What loading found about one memory. */
struct fl__module_memory {
	struct fl_image *image;		/* NULL: see reason */
	const char *reason;		/* static text */
	uint64_t min_bytes;		/* UINT64_MAX if it does not fit */
	uint64_t most_bytes;		/* by its type; UINT64_MAX likewise */
	uint64_t page_bytes;
	/* Highest end of an active segment whose offset is known: an imported
	 * memory smaller than this makes instantiation trap. */
	uint64_t active_end_bytes;
	/* Its active data segments, in order, in the module's by_memory. */
	uint32_t first_data;
	uint32_t data_count;
	/* The first that is known to trap; UINT32_MAX: none, or imported. */
	uint32_t trap_data_idx;
	uint32_t needs;			/* fl_memory_type.image_global_count */
};

struct fl_module {
	uint32_t refs;			/* atomic */
	bool is_listed;			/* with hash and next_twin: its context's */
	uint64_t hash;			/* of the bytes */
	struct fl_module *next_twin;
	struct fl_context *context;	/* a reference, NULL: only to look at */
	struct fl__reader reader;
	struct fl__module_memory *memories;
	/* No data segment for a defined memory is known to trap: its image is all
	 * of its initial content. */
	bool shows_images;
	/* Indices of active data segments, three lists in one allocation: all, by
	 * memory; in order, what only imported globals place; and in order, what
	 * instantiation has to look at, because no image shows it. */
	uint32_t *by_memory;
	uint32_t *deferred;
	uint32_t *unshown;
	uint32_t deferred_count;
	uint32_t unshown_count;
	/* Offsets read globals of the module's own that wait for imports. */
	bool shares_globals;
	/* Made when first asked for; see fl__module_survey(). surveyed is
	 * atomic, and survey points to it, because a module that does not change
	 * is asked. */
	struct fl__survey *surveyed;
	struct fl__survey **survey;
	uint32_t passive_count;
	char name[FL__NAME_BYTES];	/* "": none */
	void *owned_bytes;		/* FL_BYTES_COPY */
	const void *bytes;
	void (*release)(void *user, const void *bytes);
	void *user;
};

/* Values for imported globals, as in fl_image_config; NULL: none. What the
 * module's own globals come to with these values is found once between the two
 * calls. Without memory for that they are evaluated more often, and no call
 * fails. */
void fl__module_globals_begin(const struct fl_module *module,
			      const uint64_t *values, uint32_t count,
			      struct fl__globals *globals);
void fl__module_globals_end(struct fl__globals *globals);

/* The offset of active segment idx; kind is "data" or "element". -EINVAL when
 * these globals do not tell it; error may be NULL. */
int fl__module_offset(const struct fl_module *module, const char *kind,
		      uint32_t idx, const struct fl__const *offset,
		      const struct fl__globals *globals, uint64_t *value,
		      struct fl_error *error);

/* Active data segment data_idx of any memory: where it goes, and its bytes. As
 * fl__module_offset(). */
int fl__module_place(const struct fl_module *module, uint32_t data_idx,
		     const struct fl__globals *globals,
		     struct fl_segment *segment, struct fl_error *error);

/*
 * What the code and the rest of the bytes tell. The first call makes the
 * survey, whichever thread makes the call; the module keeps the survey.
 * -ENOMEM.
 */
int fl__module_survey(const struct fl_module *module,
		      const struct fl__survey **survey);

/* A name in the module's bytes, and its length; NULL and 0 if none is given. */
const char *fl__module_name(const struct fl_module *module,
			    const struct fl__view *view, size_t *len);

#endif
