/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image.c - looks at a module the way a pool does, and at image files.
 *
 * Takes the file of a WebAssembly module; shows the images of its memories
 * (show), cycles instances of it through a pool (cycle), writes the data-free
 * module that goes with the images (data-free), the companion of what wasm2c made
 * of the module (companion), or the images as a file (save); says which pool
 * some modules need, and how many instances this host holds (plan).
 * Takes image files and the files of snapshots; shows them (show), checks them
 * (verify), compares two (diff), or writes a module that begins with the
 * content of one (bake). Takes the bytes of a delta and the file of its snapshot;
 * shows what the session has changed (delta). The tool never runs guest code. It uses the public
 * interface only, and so is an example of its use.
 *
 * Exit status: 0 done, 1 failed (one sentence on stderr), 64 usage.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_USAGE 64
#define MAX_COUNT 10000000
#define MAX_THREADS 1024
/* Samples of all threads together: 24 bytes each. */
#define MAX_SAMPLES 100000000
#define MAX_GLOBALS 1000000

int fail(const char *format, ...)
{
	char text[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	fprintf(stderr, "wasm-image: %s\n", text);
	return 1;
}

int fail_with(const char *path, const struct fl_error *error)
{
	if (error->byte_off == FL_ERROR_NO_OFFSET)
		return fail("%s: %s", path, error->text);
	return fail("%s: byte %" PRIu64 ": %s", path, error->byte_off,
		    error->text);
}

uint64_t hpage_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --------------------------------------------------------------- data-free */

static int write_all(int fd, const uint8_t *bytes, uint64_t len)
{
	while (len) {
		ssize_t done = write(fd, bytes, (size_t)len);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		bytes += done;
		len -= (uint64_t)done;
	}
	return fsync(fd) && errno != EINVAL ? -errno : 0;
}

int replace_file(const char *path, const uint8_t *bytes, uint64_t len)
{
	mode_t mask = umask(0);
	char *beside = NULL;
	int fd, err;

	umask(mask);
	if (asprintf(&beside, "%s.XXXXXX", path) < 0)
		return fail("no memory");
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0) {
		err = fail("cannot make a file beside %s: %s", path,
			   strerror(errno));
		free(beside);
		return err;
	}
	err = fchmod(fd, 0666 & ~mask) ? -errno : write_all(fd, bytes, len);
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(beside, path))
		err = -errno;
	if (err) {
		unlink(beside);
		err = fail("cannot write %s: %s", path, strerror(-err));
	}
	free(beside);
	return err;
}

static bool is_the_file(const char *path, const struct stat *file)
{
	struct stat named;

	return path && !stat(path, &named) && named.st_dev == file->st_dev &&
	       named.st_ino == file->st_ino;
}

int check_output(const struct options *options)
{
	struct stat out;

	if (stat(options->out_path, &out))
		return errno == ENOENT ?
			       0 :
			       fail("cannot write %s: %s", options->out_path,
				    strerror(errno));
	if (!S_ISREG(out.st_mode))
		return fail(
			"cannot write %s: it is there and is no regular file",
			options->out_path);
	if (is_the_file(options->path, &out) ||
	    is_the_file(options->other_path, &out))
		return fail("%s is the input; name another file for the output",
			    options->out_path);
	return 0;
}

static int data_free(const struct subject *subject)
{
	struct fl_data_free_report report = { .size = sizeof(report) };
	const struct options *options = subject->options;
	struct fl_error error;
	uint64_t length;
	void *bytes;
	int status = check_output(options);

	if (status)
		return status;
	if (fl_module_write_data_free(subject->module, &bytes, &length, &report,
				      &error))
		return fail_with(options->path, &error);
	status = replace_file(options->out_path, bytes, length);
	fl_bytes_free(bytes);
	if (status)
		return status;
	printf("%s: %" PRIu64 " bytes, from %" PRIu64 "\n"
	       "emptied    %u active %s of %" PRIu64 " bytes\n"
	       "kept       %u active %s of %" PRIu64 " bytes\n",
	       options->out_path, length, subject->info.length_bytes,
	       report.emptied_count,
	       noun(report.emptied_count, "segment", "segments"),
	       report.emptied_bytes, report.kept_count,
	       noun(report.kept_count, "segment", "segments"),
	       report.kept_bytes);
	if (report.kept_count)
		printf("           the first is data segment %u: %s\n",
		       report.first_kept_idx, report.kept_reason);
	return 0;
}

/* ----------------------------------------------------------------- options */

enum {
	OPT_HELP = 'h',
	OPT_VERSION = 'V',
	OPT_OUTPUT = 'o',
	OPT_JSON = 256,
	OPT_COUNT,
	OPT_THREADS,
	OPT_READS,
	OPT_WRITES,
	OPT_GLOBAL,
	OPT_DIGEST,
	OPT_MEMORY,
	OPT_LIMIT,
	OPT_SVG,
	OPT_ZSTD,
};

static const struct option long_options[] = {
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "svg", no_argument, NULL, OPT_SVG },
	{ "zstd", no_argument, NULL, OPT_ZSTD },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "touch-reads", required_argument, NULL, OPT_READS },
	{ "touch-writes", required_argument, NULL, OPT_WRITES },
	{ "global", required_argument, NULL, OPT_GLOBAL },
	{ "digest", required_argument, NULL, OPT_DIGEST },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ NULL, 0, NULL, 0 },
};

static const char usage_text[] =
	"usage: wasm-image [show] [--json | --svg] [--global N=VALUE]...\n"
	"                  [--limit NAME=VALUE]... module.wasm\n"
	"       wasm-image [show] [--json | --svg] [--limit NAME=VALUE]... file\n"
	"       wasm-image verify [--json] [--digest HEX] [--limit NAME=VALUE]... file\n"
	"       wasm-image diff [--json] [--limit NAME=VALUE]... file file\n"
	"       wasm-image delta [--json] [--limit NAME=VALUE]...\n"
	"                        delta-file snapshot-file\n"
	"       wasm-image save [--memory N] [--zstd] [--global N=VALUE]...\n"
	"                       [--limit NAME=VALUE]... module.wasm -o file\n"
	"       wasm-image bake [--limit NAME=VALUE]... module.wasm file -o out.wasm\n"
	"       wasm-image cycle [--count N] [--threads T] [--touch-reads R]\n"
	"                        [--touch-writes W] [--global N=VALUE]...\n"
	"                        [--limit NAME=VALUE]... module.wasm\n"
	"       wasm-image data-free in.wasm out.wasm\n"
	"       wasm-image companion module.wasm wasm2c.c [-o FILE]\n"
	"       wasm-image plan [--json] [--limit NAME=VALUE]... module.wasm...\n"
	"       wasm-image --help | --version\n"
	"\n"
	"show       the initial content of the module's memories, or the content of\n"
	"           an image file or a snapshot's file, by pages (default)\n"
	"verify     check all that such a file holds, and print its digest\n"
	"diff       which pages of two such files differ\n"
	"delta      which pages and lines a sleeping session has changed\n"
	"save       write the initial content of the module's memories to a file\n"
	"bake       write the module with the content of the file in its data\n"
	"           segments\n"
	"cycle      time acquire, touch and release of instances from a pool; no guest\n"
	"           code is run (2000 cycles, 1 thread, 64 reads, 16 writes)\n"
	"data-free  write the module with its active data segments emptied, for a\n"
	"           runtime whose memories come with their content\n"
	"companion  write the C file that includes what wasm2c made of the module and\n"
	"           tells the wasm2c adapter what lies where in an instance\n"
	"plan       the pool that the modules need, how many instances this host\n"
	"           holds, and which limit decides\n"
	"\n"
	"A module named - is read from standard input.\n"
	"\n"
	"--json            one JSON object in place of text\n"
	"--svg             the page maps as a picture in place of text\n"
	"--digest HEX      fail if the file has another digest\n"
	"--memory N        save an image file of memory N alone\n"
	"--zstd            pack each page of the file by itself\n"
	"-o, --output FILE the file to write (companion: standard output without it)\n"
	"--global N=VALUE  the value of imported global N, from 0, for modules that\n"
	"                  place their data by it\n"
	"--limit NAME=VALUE  a field that an error names, of fl_context_config or, for\n"
	"                  cycle, of fl_pool_config: max_module_image_bytes=0x10000000\n"
	"\n"
	"--count N         cycles of each thread\n"
	"--threads T       threads that cycle at the same time\n"
	"--touch-reads R   host pages read in each cycle\n"
	"--touch-writes W  host pages written in each cycle\n"
	"-h, --help        this text\n"
	"-V, --version     the version of the library in use\n"
	"\n"
	"Exit status: 0 done, 1 failed, 64 wrong usage.\n";

__attribute__((format(printf, 1, 2), noreturn)) static void
usage_error(const char *format, ...)
{
	va_list args;

	fputs("wasm-image: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(" (wasm-image --help says more)\n", stderr);
	exit(STATUS_USAGE);
}

/* A number with nothing before or after it, in C's notation. */
static bool parse_number(const char *text, const char *end, uint64_t *value)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 0);
	return !errno && stop == end;
}

static uint64_t option_number(const char *name, const char *text, uint64_t min,
			      uint64_t max)
{
	uint64_t value;

	if (!parse_number(text, text + strlen(text), &value) || value < min ||
	    value > max)
		usage_error("--%s is \"%s\"; it must be a number from %" PRIu64
			    " to %" PRIu64,
			    name, text, min, max);
	return value;
}

static void option_global(struct options *options, const char *text)
{
	const char *equals = strchr(text, '=');
	uint64_t idx, value;

	if (!equals || !parse_number(text, equals, &idx) ||
	    !parse_number(equals + 1, text + strlen(text), &value) ||
	    idx >= MAX_GLOBALS)
		usage_error(
			"--global is \"%s\"; it must be N=VALUE, two numbers, N below %d",
			text, MAX_GLOBALS);
	if (idx >= options->global_count) {
		size_t count = (size_t)idx + 1, old = options->global_count;
		uint64_t *globals =
			realloc(options->globals, count * sizeof(*globals));
		bool *given = realloc(options->given, count * sizeof(*given));

		if (!globals || !given)
			usage_error("no memory for --global %s", text);
		memset(globals + old, 0, (count - old) * sizeof(*globals));
		memset(given + old, 0, (count - old) * sizeof(*given));
		options->globals = globals;
		options->given = given;
		options->global_count = (uint32_t)count;
	}
	options->globals[idx] = value;
	options->given[idx] = true;
}

/* The verbs that use the field, as bits. */
static unsigned int option_limit(struct options *options, const char *text)
{
	const char *equals = strchr(text, '=');
	uint64_t value, max;
	size_t field_idx;

	if (!equals ||
	    !limit_find(text, (size_t)(equals - text), &field_idx, &max) ||
	    !parse_number(equals + 1, text + strlen(text), &value) ||
	    value > max)
		usage_error(
			"--limit is \"%s\"; it must be NAME=VALUE, a field that errors name and a number that fits the field",
			text);
	if (options->limit_count == MAX_LIMITS)
		usage_error("--limit is given more than %d times", MAX_LIMITS);
	options->limits[options->limit_count].field_idx = field_idx;
	options->limits[options->limit_count++].value = value;
	return limit_verbs(field_idx);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void option_digest(struct options *options, const char *text)
{
	for (size_t i = 0; i < 2 * DIGEST_BYTES; i++) {
		int value = hex_value(text[i]);

		if (value < 0)
			usage_error(
				"--digest is \"%s\"; it must be %d hexadecimal digits",
				text, 2 * DIGEST_BYTES);
		options->digest[i / 2] =
			(uint8_t)(options->digest[i / 2] << 4 | value);
	}
	if (text[2 * DIGEST_BYTES])
		usage_error("--digest has more than %d digits",
			    2 * DIGEST_BYTES);
	options->has_digest = true;
}

/* Which verbs an option belongs to, as bits. */
static unsigned int option_verbs(int option)
{
	switch (option) {
	case OPT_JSON:
		return 1u << VERB_SHOW | 1u << VERB_VERIFY | 1u << VERB_DIFF |
		       1u << VERB_DELTA | 1u << VERB_PLAN;
	case OPT_SVG:
		return 1u << VERB_SHOW;
	case OPT_GLOBAL:
		return 1u << VERB_SHOW | 1u << VERB_CYCLE | 1u << VERB_SAVE;
	case OPT_DIGEST:
		return 1u << VERB_VERIFY;
	case OPT_LIMIT:
		return ~0u;
	case OPT_MEMORY:
	case OPT_ZSTD:
		return 1u << VERB_SAVE;
	case OPT_OUTPUT:
		return 1u << VERB_SAVE | 1u << VERB_BAKE | 1u << VERB_COMPANION;
	default:
		return 1u << VERB_CYCLE;
	}
}

/* An option of image files; false if it is none. */
static bool parse_file_option(struct options *options, int option)
{
	switch (option) {
	case OPT_DIGEST:
		option_digest(options, optarg);
		return true;
	case OPT_MEMORY:
		options->memory_idx = (uint32_t)option_number("memory", optarg,
							      0, UINT32_MAX);
		options->has_memory_idx = true;
		return true;
	case OPT_ZSTD:
		options->write_flags = FL_WRITE_ZSTD;
		return true;
	case OPT_OUTPUT:
		options->out_path = optarg;
		return true;
	default:
		return false;
	}
}

/* False after --help and --version. */
static bool parse_option(struct options *options, int option)
{
	switch (option) {
	case OPT_HELP:
		fputs(usage_text, stdout);
		return false;
	case OPT_VERSION:
		printf("wasm-image %s\n", fl_version());
		return false;
	case OPT_JSON:
		options->is_json = true;
		break;
	case OPT_SVG:
		options->is_svg = true;
		break;
	case OPT_COUNT:
		options->count = option_number("count", optarg, 1, MAX_COUNT);
		break;
	case OPT_THREADS:
		options->threads =
			option_number("threads", optarg, 1, MAX_THREADS);
		break;
	case OPT_READS:
		options->reads =
			option_number("touch-reads", optarg, 0, UINT32_MAX);
		break;
	case OPT_WRITES:
		options->writes =
			option_number("touch-writes", optarg, 0, UINT32_MAX);
		break;
	case OPT_GLOBAL:
		option_global(options, optarg);
		break;
	default:
		/* getopt has said what is wrong. */
		if (!parse_file_option(options, option))
			exit(STATUS_USAGE);
	}
	return true;
}

static const struct {
	const char *name;
	enum verb verb;
	const char *needs; /* a second word */
} verbs[] = {
	{ "show", VERB_SHOW, NULL },
	{ "cycle", VERB_CYCLE, NULL },
	{ "data-free", VERB_DATA_FREE, "data-free needs a file to write to" },
	{ "verify", VERB_VERIFY, NULL },
	{ "diff", VERB_DIFF, "diff needs two files" },
	{ "delta", VERB_DELTA,
	  "delta needs a delta's file and its snapshot's file" },
	{ "save", VERB_SAVE, NULL },
	{ "companion", VERB_COMPANION,
	  "companion needs the C file that wasm2c wrote" },
	{ "plan", VERB_PLAN, NULL },
	{ "bake", VERB_BAKE, "bake needs a module and a snapshot's file" },
};

/* A word behind the last that the verb takes; verb is NULL where none is named. */
__attribute__((noreturn)) static void
refuse_word(const struct options *options, const char *verb, const char *word)
{
	if (!verb)
		usage_error(
			"\"%s\" is no verb, and without a verb one file is shown",
			options->path);
	usage_error("%s takes %s, and \"%s\" is one more", verb,
		    options->other_path || options->verb == VERB_DATA_FREE ?
			    "two files" :
			    "one file",
		    word);
}

static void parse_words(struct options *options, char **words)
{
	const char *needs = NULL, *verb = NULL;

	for (size_t i = 0; *words && i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(*words, verbs[i].name))
			continue;
		options->verb = verbs[i].verb;
		verb = verbs[i].name;
		needs = verbs[i].needs;
		words++;
		break;
	}
	if (!*words)
		usage_error("no file is named");
	options->path = *words++;
	if (needs && !*words)
		usage_error("%s", needs);
	if (needs && options->verb == VERB_DATA_FREE)
		options->out_path = *words++;
	else if (needs)
		options->other_path = *words++;
	if (options->verb == VERB_PLAN)
		options->more_paths = words;
	else if (*words)
		refuse_word(options, verb, *words);
}

static bool parse(struct options *options, int argc, char **argv)
{
	unsigned int common = ~0u;
	int option;

	while ((option = getopt_long(argc, argv, "hVo:", long_options, NULL)) !=
	       -1) {
		if (option == OPT_LIMIT)
			common &= option_limit(options, optarg);
		else if (!parse_option(options, option))
			return false;
		common &= option_verbs(option);
	}
	parse_words(options, argv + optind);
	if (!(common >> options->verb & 1))
		usage_error("an option of another verb is given");
	if (options->is_json && options->is_svg)
		usage_error("--json and --svg exclude each other");
	if ((options->verb == VERB_SAVE || options->verb == VERB_BAKE) &&
	    !options->out_path)
		usage_error("-o must name the file to write");
	if (options->count * options->threads > MAX_SAMPLES)
		usage_error("--count times --threads is more than %d",
			    MAX_SAMPLES);
	return true;
}

static int act(const struct options *options)
{
	static int (*const actions[])(const struct subject *) = {
		[VERB_SHOW] = show,	      [VERB_CYCLE] = cycle,
		[VERB_DATA_FREE] = data_free, [VERB_SAVE] = save,
		[VERB_BAKE] = bake,	      [VERB_COMPANION] = companion,
	};
	struct subject subject = { .options = options };
	int status;

	if (is_about_files(options))
		return look_at_files(options);
	if (options->verb == VERB_PLAN)
		return plan(options);
	status = subject_open(&subject);
	if (!status)
		status = actions[options->verb](&subject);
	subject_close(&subject);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {
		.count = 2000,
		.threads = 1,
		.reads = 64,
		.writes = 16,
	};
	int status = 0;

	if (parse(&options, argc, argv))
		status = act(&options);
	free(options.globals);
	free(options.given);
	if ((fflush(stdout) || ferror(stdout)) && !status)
		status = fail("cannot write the output: %s", strerror(errno));
	return status;
}
