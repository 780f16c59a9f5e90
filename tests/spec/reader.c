/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader.c - the module reader against the specification's testsuite.
 *
 * Takes what modules.mjs wrote, LIST.tsv and LIST.bin; gives each module to
 * fl_module_load(), with context NULL and with a context, and holds the answer
 * against what the suite says:
 *
 * - A valid module is accepted, or refused with -ENOTSUP for a proposal in the
 *   table unsupported[].
 * - A module that is malformed or invalid is refused, with -ENOEXEC or with
 *   -ENOTSUP. Where it is accepted, the fault must be in what the reader
 *   steps over, types and function bodies, or what the suite's version forbids
 *   must have become valid: the module has a twin (see modules.mjs), and what
 *   the suite expects is in the table causes[].
 * - Both calls give the same answer.
 * - What was accepted can be written data-free, with state exports where the
 *   module can have them; that is accepted again, with as many of everything, and
 *   every section but those of exports, start and data is as it was, byte for byte;
 *   and all its elements can be read.
 *
 * The bytes lie right before an inaccessible page: a read past them ends the
 * program. A row of a table, or a module of twins*.wast, that nothing needs any
 * more is a failure. Ends with "N passed, N failed, N skipped".
 */
#include "faultline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* ------------------------------------------------------------------ tables */

/* A proposal whose own files may have modules that the reader refuses, by the
 * name that both the folder and the error give it. */
static struct unsupported {
	const char *proposal;
	unsigned int count;
} unsupported[] = {
	{ .proposal = "custom-descriptors" },
};

static const char bodies[] = "function bodies are not read";
static const char types[] = "types are not read";
static const char both[] = "neither types nor function bodies are read";
static const char since_3_0[] = "valid since 3.0";
static const char long_limits[] =
	"in types or function bodies; or in limits, where it is valid since 3.0";

/* Modules that are not valid and are accepted, by how the text of their
 * assertion begins; the longest row counts. */
static struct cause {
	bool is_malformed;
	const char *text;
	const char *why;
	unsigned int count;
} causes[] = {
	{ true, "END opcode expected", bodies, 0 },
	{ true, "data count section required", bodies, 0 },
	{ true, "i32 constant", bodies, 0 },
	{ true, "illegal opcode", bodies, 0 },
	{ true, "integer representation too long", long_limits, 0 },
	{ true, "integer too large", both, 0 },
	{ true, "malformed definition type", types, 0 },
	{ true, "malformed memop flags", bodies, 0 },
	{ true, "malformed mutability", types, 0 },
	{ true, "malformed storage type", types, 0 },
	{ true, "section size mismatch", both, 0 },
	{ true, "too many locals", bodies, 0 },
	{ true, "unexpected end", bodies, 0 },
	{ true, "unexpected token", bodies, 0 },
	{ true, "zero byte expected", bodies, 0 },
	{ true, "zero flag expected", bodies, 0 },

	{ false, "alignment must not be larger than natural", bodies, 0 },
	{ false, "array type", bodies, 0 },
	{ false, "described type", types, 0 },
	{ false, "descriptor type", types, 0 },
	{ false, "forward use of described type", types, 0 },
	{ false, "global is immutable", bodies, 0 },
	{ false, "immutable array", bodies, 0 },
	{ false, "immutable field", bodies, 0 },
	{ false, "immutable global", bodies, 0 },
	{ false, "invalid lane index", bodies, 0 },
	{ false, "invalid result arity", bodies, 0 },
	{ false, "multiple memories", since_3_0, 0 },
	{ false, "multiple tables", since_3_0, 0 },
	{ false, "non-empty tag result type", types, 0 },
	{ false, "offset out of range", bodies, 0 },
	{ false, "start function", types, 0 },
	{ false, "sub type", types, 0 },
	{ false, "type is not described by its descriptor", types, 0 },
	{ false, "type mismatch", both, 0 },
	{ false, "type 0 does not have a descriptor", bodies, 0 },
	{ false, "type 1 does not have a descriptor", bodies, 0 },
	{ false, "type any does not have a descriptor", bodies, 0 },
	{ false, "type none does not have a descriptor", bodies, 0 },
	{ false, "type with descriptor", bodies, 0 },
	{ false, "type without descriptor", bodies, 0 },
	{ false, "undeclared function reference", bodies, 0 },
	{ false, "uninitialized local", bodies, 0 },
	{ false, "unknown data segment", bodies, 0 },
	{ false, "unknown elem segment", bodies, 0 },
	{ false, "unknown function", bodies, 0 },
	{ false, "unknown global", bodies, 0 },
	{ false, "unknown label", bodies, 0 },
	{ false, "unknown local", bodies, 0 },
	{ false, "unknown memory", bodies, 0 },
	{ false, "unknown table", bodies, 0 },
	{ false, "unknown tag", bodies, 0 },
	{ false, "unknown type", both, 0 },
};

/* ----------------------------------------------------------------- records */

/* A line of the list, cut into its columns. */
struct record {
	const char *kind, *via, *where, *text, *twin;
	size_t off, length;
};

struct suite {
	struct fl_context *context;
	uint8_t *bytes; /* of all modules */
	size_t length;
	uint8_t *guarded; /* pages before the inaccessible one */
	size_t guarded_bytes;
	/* What came of it. */
	unsigned int passed, failed, skipped;
	unsigned int files, wabt_files;
	unsigned int valid_accepted, valid_unsupported;
	unsigned int malformed, malformed_refused;
	unsigned int invalid, invalid_refused;
	unsigned int twins, texts;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "reader: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void fail(struct suite *s, const struct record *r, const char *what,
		 const struct fl_error *error)
{
	s->failed++;
	printf("FAILED %s %s (%s) \"%s\": %s%s%s\n", r->kind, r->where, r->via,
	       r->text, what, error && error->code ? ": " : "",
	       error && error->code ? error->text : "");
}

static bool record_read(struct record *r, char *line)
{
	char *columns[7];

	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		columns[i] = strsep(&line, "\t");
		if (!columns[i])
			return false;
	}
	*r = (struct record){
		.kind = columns[0],
		.via = columns[1],
		.where = columns[2],
		.text = columns[5],
		.twin = columns[6],
		.off = strtoull(columns[3], NULL, 10),
		.length = strtoull(columns[4], NULL, 10),
	};
	return true;
}

/* ----------------------------------------------------------------- loading */

static int load(struct fl_context *context, const void *bytes, size_t length,
		struct fl_module **module, struct fl_error *error)
{
	struct fl_module_config config;

	fl_module_config_init(&config);
	config.bytes = bytes;
	config.length_bytes = length;
	config.ownership = FL_BYTES_BORROW;
	return fl_module_load(context, &config, module, error);
}

static bool have_equal_counts(const struct fl_module *a,
			      const struct fl_module *b, bool keeps_start)
{
	struct fl_module_info x = { .size = sizeof(x) };
	struct fl_module_info y = { .size = sizeof(y) };

	fl_module_info(a, &x);
	fl_module_info(b, &y);
	return x.memory_count == y.memory_count &&
	       x.table_count == y.table_count &&
	       x.global_count == y.global_count &&
	       /* What had no effect left may be gone. */
	       x.data_count >= y.data_count &&
	       x.active_data_count >= y.active_data_count &&
	       x.passive_data_bytes == y.passive_data_bytes &&
	       x.element_count == y.element_count &&
	       x.function_count == y.function_count &&
	       y.has_start == (keeps_start ? x.has_start : 0);
}

/* A section, with its id and size. */
struct section {
	const uint8_t *at;
	size_t length;
};

static size_t section_at(const uint8_t *bytes, size_t at)
{
	size_t size = 0, from = at + 1;
	unsigned int shift = 0;

	do {
		size |= (size_t)(bytes[from] & 0x7f) << shift;
		shift += 7;
	} while (bytes[from++] & 0x80);
	return from + size - at;
}

/* The next section that no writer may change, from *at on. */
static struct section next_kept(const uint8_t *bytes, size_t length, size_t *at)
{
	struct section section = { NULL, 0 };

	while (!section.at && *at < length) {
		size_t size = section_at(bytes, *at);
		uint8_t id = bytes[*at];

		if (id != 7 && id != 8 && id != 11 && id != 12)
			section = (struct section){ bytes + *at, size };
		*at += size;
	}
	return section;
}

static bool are_rests_equal(const uint8_t *a, size_t a_length, const uint8_t *b,
			    size_t b_length)
{
	size_t a_at = 8, b_at = 8;

	for (;;) {
		struct section x = next_kept(a, a_length, &a_at);
		struct section y = next_kept(b, b_length, &b_at);

		if (!x.at || !y.at)
			return !x.at && !y.at;
		if (x.length != y.length || memcmp(x.at, y.at, x.length))
			return false;
	}
}

/* What was written of a module, which was read from original. Frees bytes. */
static const char *check_written(const struct fl_module *module,
				 const uint8_t *original,
				 size_t original_length, void *bytes,
				 size_t length, bool keeps_start,
				 struct fl_error *error)
{
	const char *wrong = NULL;
	struct fl_module *again;

	if (!are_rests_equal(original, original_length, bytes, length))
		wrong = "written, it has other sections";
	if (load(NULL, bytes, length, &again, error)) {
		wrong = "written, it is refused";
	} else {
		if (!have_equal_counts(module, again, keeps_start))
			wrong = "written, it has other things";
		fl_module_release(again);
	}
	fl_bytes_free(bytes);
	return wrong;
}

/* NULL if all is well, else what is not. */
static const char *check_writers(const struct fl_module *module,
				 const uint8_t *original,
				 size_t original_length, struct fl_error *error)
{
	const char *wrong;
	uint64_t length;
	void *bytes;
	int err;

	if (fl_module_write_data_free(module, &bytes, &length, NULL, error))
		return "it cannot be written data-free";
	wrong = check_written(module, original, original_length, bytes,
			      (size_t)length, true, error);
	if (wrong)
		return wrong;
	err = fl_module_write_state_exports(module, &bytes, &length, NULL,
					    NULL);
	if (err == -ENOTSUP)
		return NULL;
	return err ? "it cannot be written with state exports" :
		     check_written(module, original, original_length, bytes,
				   (size_t)length, false, error);
}

/* What a segment's elements say, all at once and the last one alone, refers
 * to the module. */
static bool are_elements_right(const struct fl_module *module, uint32_t idx,
			       uint32_t count, const uint8_t *bytes,
			       size_t length)
{
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_element *all = calloc(count + 1, sizeof(*all));
	struct fl_element last = { .kind = FL_ELEMENT_EXPR };
	bool is_right;

	if (!all)
		die("calloc");
	fl_module_info(module, &info);
	is_right = !fl_module_read_elements(module, idx, 0, count, all) &&
		   fl_module_read_elements(module, idx, count, 1, &last) ==
			   -EINVAL;
	for (uint32_t i = 0; is_right && i < count; i++) {
		const uint8_t *expr = all[i].expr;

		is_right =
			all[i].kind <= FL_ELEMENT_EXPR &&
			(all[i].kind != FL_ELEMENT_GLOBAL ||
			 all[i].idx < info.global_count) &&
			(!expr || (expr >= bytes && all[i].expr_bytes &&
				   expr + all[i].expr_bytes <= bytes + length &&
				   expr[all[i].expr_bytes - 1] == 0x0b));
	}
	if (is_right && count)
		is_right = !fl_module_read_elements(module, idx, count - 1, 1,
						    &last) &&
			   last.kind == all[count - 1].kind &&
			   last.idx == all[count - 1].idx &&
			   last.expr == all[count - 1].expr;
	free(all);
	return is_right;
}

static const char *check_elements(const struct fl_module *module,
				  const uint8_t *bytes, size_t length)
{
	struct fl_element_segment segment = { .size = sizeof(segment) };
	struct fl_module_info info = { .size = sizeof(info) };

	fl_module_info(module, &info);
	for (uint32_t i = 0; i < info.element_count; i++) {
		if (fl_module_element_segment(module, i, &segment) ||
		    segment.mode > FL_SEGMENT_DECLARED ||
		    (segment.mode == FL_SEGMENT_ACTIVE &&
		     segment.table_idx >= info.table_count))
			return "an element segment is not as it was read";
		if (!are_elements_right(module, i, segment.element_count, bytes,
					length))
			return "elements are not as they were read";
	}
	if (fl_module_element_segment(module, info.element_count, &segment) !=
	    -EINVAL)
		return "there is an element segment too many";
	return NULL;
}

/* fl_module_load() without a context and with one; *wrong says what is wrong
 * about the answer, whatever it is. */
static int load_both(struct suite *s, const struct record *r,
		     struct fl_error *error, const char **wrong)
{
	uint8_t *bytes = s->guarded + s->guarded_bytes - r->length;
	struct fl_error second = { 0 };
	struct fl_module *module;
	int err, again;

	memcpy(bytes, s->bytes + r->off, r->length);
	*wrong = NULL;
	err = load(NULL, bytes, r->length, &module, error);
	if (!err) {
		*wrong = check_writers(module, bytes, r->length, error);
		if (!*wrong)
			*wrong = check_elements(module, bytes, r->length);
		fl_module_release(module);
	}
	again = load(s->context, bytes, r->length, &module, &second);
	if (!again)
		fl_module_release(module);
	if (err != again)
		*wrong = "a context makes another answer";
	else if (err && strcmp(error->text, second.text) != 0)
		*wrong = "a context makes another error";
	else if (err && (error->code != err || error->byte_off > r->length ||
			 !error->text[0]))
		*wrong = "the error is not filled in";
	return err;
}

/* ----------------------------------------------------------------- verdicts */

static bool is_unsupported(const struct record *r, int err,
			   const struct fl_error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
		if (err == -ENOTSUP &&
		    strstr(r->where, unsupported[i].proposal) &&
		    strstr(error->text, unsupported[i].proposal)) {
			unsupported[i].count++;
			return true;
		}
	}
	return false;
}

static void judge_valid(struct suite *s, const struct record *r, int err,
			const struct fl_error *error)
{
	if (!err)
		s->valid_accepted++;
	else if (is_unsupported(r, err, error))
		s->valid_unsupported++;
	else
		fail(s, r, "refused", error);
}

static struct cause *cause_find(bool is_malformed, const char *text)
{
	struct cause *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		size_t len = strlen(causes[i].text);

		if (causes[i].is_malformed == is_malformed &&
		    !strncmp(text, causes[i].text, len) &&
		    (!found || len > strlen(found->text)))
			found = &causes[i];
	}
	return found;
}

static void judge_wrong(struct suite *s, const struct record *r, int err,
			const struct fl_error *error)
{
	bool is_malformed = !strcmp(r->kind, "malformed");
	struct cause *cause = cause_find(is_malformed, r->text);
	bool is_refused = err == -ENOEXEC || err == -ENOTSUP;

	if (is_malformed)
		s->malformed++;
	else
		s->invalid++;
	if (is_refused && is_malformed)
		s->malformed_refused++;
	else if (is_refused)
		s->invalid_refused++;
	else if (err)
		fail(s, r, "refused for another reason", error);
	else if (!cause)
		fail(s, r, "accepted, and not in the table of causes", NULL);
	else if (!strcmp(r->twin, "-"))
		fail(s, r, "accepted, and no valid module is like it", NULL);
	else
		cause->count++;
}

static void judge(struct suite *s, const struct record *r)
{
	unsigned int failed = s->failed;
	struct fl_error error = { 0 };
	const char *wrong;
	int err = load_both(s, r, &error, &wrong);

	if (wrong)
		fail(s, r, wrong, &error);
	else if (!strcmp(r->kind, "valid"))
		judge_valid(s, r, err, &error);
	else if (strcmp(r->kind, "twin") != 0)
		judge_wrong(s, r, err, &error);
	else if (err)
		fail(s, r, "refused", &error);
	else
		s->twins++;
	if (s->failed == failed)
		s->passed++;
}

/* What wast2json cannot convert comes from the other parser alone. Our own
 * files stand in no folder. */
static void count_file(struct suite *s, const struct record *r)
{
	if (!strchr(r->where, '/'))
		return;
	s->files++;
	if (!strcmp(r->text, "-"))
		s->wabt_files++;
}

static void take(struct suite *s, const struct record *r)
{
	if (!strcmp(r->kind, "file")) {
		count_file(s, r);
	} else if (!strcmp(r->kind, "unconverted")) {
		printf("skipped: %s: no converter takes it: %s\n", r->where,
		       r->text);
		s->skipped++;
	} else if (!strcmp(r->kind, "text") || !strcmp(r->kind, "custom")) {
		s->texts++;
	} else {
		judge(s, r);
	}
}

/* ---------------------------------------------------------------- the lists */

/* Both converters make a twin; one of the two may be needed by none. */
struct need {
	char where[64];
	unsigned int count;
};

static void needs_add(struct need *needs, size_t count, const struct record *r)
{
	for (size_t i = 0; i < count; i++) {
		if (needs[i].where[0] && strcmp(needs[i].where, r->where) != 0)
			continue;
		snprintf(needs[i].where, sizeof(needs[i].where), "%s",
			 r->where);
		needs[i].count += (unsigned int)strtoul(r->twin, NULL, 10);
		return;
	}
	errno = ENOSPC;
	die("modules in twins*.wast");
}

static void read_list(struct suite *s, const char *path)
{
	struct need needs[256] = { 0 };
	FILE *file = fopen(path, "r");
	struct record r;
	char *line = NULL;
	size_t size = 0;

	if (!file)
		die(path);
	while (getline(&line, &size, file) > 0) {
		if (!record_read(&r, line) || r.off > s->length ||
		    r.length > s->length - r.off) {
			errno = EINVAL;
			die(path);
		}
		take(s, &r);
		if (!strcmp(r.kind, "twin"))
			needs_add(needs, ARRAY_SIZE(needs), &r);
	}
	free(line);
	fclose(file);
	for (size_t i = 0; i < ARRAY_SIZE(needs) && needs[i].where[0]; i++) {
		if (needs[i].count)
			continue;
		printf("FAILED %s: no module needs this twin\n",
		       needs[i].where);
		s->failed++;
	}
}

static void check_tables(struct suite *s)
{
	puts("refused, not supported:");
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
		printf("%8u  %s\n", unsupported[i].count,
		       unsupported[i].proposal);
		if (!unsupported[i].count) {
			printf("FAILED: no module needs this row\n");
			s->failed++;
		}
	}
	puts("accepted, each with a valid twin:");
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		printf("%8u  %s, \"%s\": %s\n", causes[i].count,
		       causes[i].is_malformed ? "malformed" : "invalid",
		       causes[i].text, causes[i].why);
		if (!causes[i].count) {
			printf("FAILED: no module needs this row\n");
			s->failed++;
		}
	}
}

static void report(struct suite *s)
{
	check_tables(s);
	printf("%u files; wast2json converts %u of them too\n", s->files,
	       s->wabt_files);
	printf("valid:     %u accepted, %u refused as not supported\n",
	       s->valid_accepted, s->valid_unsupported);
	printf("malformed: %u, %u refused\n", s->malformed,
	       s->malformed_refused);
	printf("invalid:   %u, %u refused\n", s->invalid, s->invalid_refused);
	printf("twins:     %u accepted\n", s->twins);
	printf("%u assertions about the text format have no module\n",
	       s->texts);
	if (!s->valid_accepted || !s->malformed || !s->invalid) {
		puts("FAILED: the list is not that of the suite");
		s->failed++;
	}
	printf("%u passed, %u failed, %u skipped\n", s->passed, s->failed,
	       s->skipped);
}

static void read_bytes(struct suite *s, const char *path)
{
	size_t hpage_bytes = (size_t)sysconf(_SC_PAGESIZE);
	FILE *file = fopen(path, "rb");
	long end;

	if (!file || fseek(file, 0, SEEK_END) || (end = ftell(file)) < 0)
		die(path);
	rewind(file);
	s->length = (size_t)end;
	s->bytes = malloc(s->length + 1);
	if (!s->bytes || fread(s->bytes, 1, s->length, file) != s->length)
		die(path);
	fclose(file);
	s->guarded_bytes = s->length - s->length % hpage_bytes + hpage_bytes;
	s->guarded = mmap(NULL, s->guarded_bytes + hpage_bytes,
			  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	if (s->guarded == MAP_FAILED ||
	    mprotect(s->guarded + s->guarded_bytes, hpage_bytes, PROT_NONE))
		die("mmap");
}

int main(int argc, char **argv)
{
	struct suite s = { 0 };
	char path[4096];

	if (argc != 2) {
		fprintf(stderr, "usage: %s LIST\n", argv[0]);
		return 2;
	}
	snprintf(path, sizeof(path), "%s.bin", argv[1]);
	read_bytes(&s, path);
	if (fl_context_create(NULL, &s.context, NULL))
		die("fl_context_create");
	snprintf(path, sizeof(path), "%s.tsv", argv[1]);
	read_list(&s, path);
	report(&s);
	fl_context_destroy(s.context);
	munmap(s.guarded, s.guarded_bytes + (size_t)sysconf(_SC_PAGESIZE));
	free(s.bytes);
	return s.failed != 0;
}
