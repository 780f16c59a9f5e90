/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * util.h - checked arithmetic, rounding, asserts, and two questions about bytes.
 *
 * Code that adds or multiplies a size which a module, a file or a caller
 * supplied uses the checked forms. These return true when the result does not
 * fit, like the compiler builtins whose place they take.
 *
 * fl_assert states what Faultline itself promises. What the kernel or a caller
 * does wrong is an error and no assert. --enable-checks compiles fl_assert in,
 * and --enable-checks=full adds fl_assert_full for walks of whole structures.
 */
#ifndef FL_UTIL_H
#define FL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FL_WPAGE_BYTES		((uint64_t)65536)
#define FL_ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define fl_container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Windows: the formats of C99, which -D__USE_MINGW_ANSI_STDIO gives. */
#ifdef _WIN32
#define FL_PRINTF(fmt, args) __attribute__((format(gnu_printf, fmt, args)))
#else
#define FL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#endif

/*
 * Loops for processors with vectors of more than 16 bytes. Windows aligns the
 * stack to 16 bytes. gcc aligns temporaries no further there, but moves them as
 * if it had (gcc.gnu.org/PR54412), or fails. Without optimisation each value is
 * a temporary on the stack; optimised, the loops have registers for all, which
 * row windows of tests/hosts/run.sh looks at.
 */
#if defined(__x86_64__) && (!defined(_WIN32) || defined(__OPTIMIZE__))
#define FL_HAS_WIDE_VECTORS 1
#else
#define FL_HAS_WIDE_VECTORS 0
#endif

#define fl_unlikely(x)		__builtin_expect(!!(x), 0)

#if defined(FL_CHECKS) && FL_CHECKS >= 1
#include <assert.h>
#define fl_assert(x)		assert(x)
#else
#define fl_assert(x)		((void)sizeof(!(x)))
#endif
#if defined(FL_CHECKS) && FL_CHECKS >= 2
#define fl_assert_full(x)	assert(x)
#else
#define fl_assert_full(x)	((void)sizeof(!(x)))
#endif

static inline bool fl_add_overflow(uint64_t a, uint64_t b, uint64_t *sum)
{
	*sum = a + b;
	return *sum < a;
}

static inline bool fl_mul_overflow(uint64_t a, uint64_t b, uint64_t *product)
{
	*product = a * b;
	return a && *product / a != b;
}

/* unit is a power of two in all four. */
static inline uint64_t fl_round_down(uint64_t value, uint64_t unit)
{
	return value & ~(unit - 1);
}

/* The caller knows that value + unit fits. */
static inline uint64_t fl_round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) & ~(unit - 1);
}

static inline bool fl_round_up_overflow(uint64_t value, uint64_t unit,
					uint64_t *rounded)
{
	if (fl_add_overflow(value, unit - 1, rounded))
		return true;
	*rounded = fl_round_down(*rounded, unit);
	return false;
}

static inline bool fl_is_pow2(uint64_t value)
{
	return value && !(value & (value - 1));
}

static inline uint64_t fl_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t fl_max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Are all bytes zero? */
static inline bool fl_is_zero(const void *bytes, uint64_t len)
{
	const uint8_t *first = bytes;

	/* The first byte is zero, and each byte equals the one before. */
	return !len || (!*first && !memcmp(first, first + 1, (size_t)len - 1));
}

/* The next name of a comma-separated list, and its length; the list moves on.
 * Blanks around a name do not count, and no name is empty. NULL: no more, also
 * of no list. */
static inline const char *fl_name_next(const char **list, size_t *len)
{
	const char *name;

	if (!*list)
		return NULL;
	name = *list + strspn(*list, ", \t\n");
	*len = strcspn(name, ",");
	*list = name + *len;
	while (*len && strchr(" \t\n", name[*len - 1]))
		(*len)--;
	return *len ? name : NULL;
}

static inline bool fl_name_is(const char *item, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(item, name, len);
}

/* Is name one of a comma-separated list? list may be NULL. */
static inline bool fl_name_is_listed(const char *list, const char *name)
{
	const char *item;
	size_t len;

	while ((item = fl_name_next(&list, &len))) {
		if (fl_name_is(item, len, name))
			return true;
	}
	return false;
}

/* The length of the well-formed sequence at p, 0 if there is none. Overlong
 * forms, surrogates and what is past U+10FFFF are not well-formed. */
static inline unsigned fl_utf8_sequence(const uint8_t *p, uint64_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned len = p[0] < 0xc0 || p[0] > 0xf7 ? 0 :
		       p[0] < 0xe0		  ? 2 :
		       p[0] < 0xf0		  ? 3 :
						    4;
	uint32_t point = p[0];

	if (point < 0x80)
		return 1;
	if (!len || left < len)
		return 0;
	point &= 0x7fu >> len;
	for (unsigned i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (p[i] & 0x3f);
	}
	if (point < least[len] || point > 0x10ffff || point >> 11 == 0x1b)
		return 0;
	return len;
}

/* For "%llu %s": a count that may be 1. */
static inline const char *fl_noun(uint64_t count, const char *one,
				  const char *many)
{
	return count == 1 ? one : many;
}

/* Does [off, off + len) lie within [0, size)? Never overflows. */
static inline bool fl_range_fits(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#endif
