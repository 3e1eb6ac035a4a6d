// SPDX-License-Identifier: MIT
/*
 * Passing by what cannot match, at the speed of grep: whole lines that are certainly tags in the
 * kernel's own columns and certainly not asked for. Everything else is left to aq_parse_line(),
 * so this file decides nothing that line.c and filter.c would decide otherwise.
 */
#include <string.h>

#include "engine.h"

struct aq_skim aq_skim_of(const aq_filter *filter)
{
	return (struct aq_skim){
		.filter = filter,
		.counters = filter->min_size != INT64_MIN || filter->max_size != INT64_MAX ||
			    filter->min_calls != INT64_MIN || filter->max_calls != INT64_MAX ||
			    filter->underflowed,
		.underflowed = filter->underflowed,
		.names = filter->has_names,
		.min_size = filter->min_size,
		.max_size = filter->max_size,
		.min_calls = filter->min_calls,
		.max_calls = filter->max_calls,
	};
}

#ifdef __SSE2__

#include <emmintrin.h>

/* The kernel's columns: "%12lli %8llu FILE:LINE func:FUNCTION " */
enum {
	CALLS_AT = 13,
	FILE_AT = 22,
	LONG_LINE = 4096, /* text.c says what is too long */
};

static inline __m128i load(const char *p)
{
	return _mm_loadu_si128((const __m128i *)p);
}

static inline unsigned int where(__m128i block, char c)
{
	return (unsigned int)_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(c)));
}

static inline unsigned int digits(__m128i block)
{
	__m128i above = _mm_sub_epi8(block, _mm_set1_epi8('0'));

	return (unsigned int)_mm_movemask_epi8(
		_mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(9)), above));
}

/*
 * Digits in memory order become a number by halving: one multiplication adds 10 times each lower
 * byte to its neighbour, the next 100 times each lower pair, the last 10000 times the lower half.
 */
#define JOIN(base, bits) (((uint64_t)(base) << (bits)) + 1)

/* Eight characters, blanks or digits, as a number: a blank's low bits are a zero's. */
static inline uint64_t eight(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	word = ((word & 0x0f0f0f0f0f0f0f0fu) * JOIN(10, 8)) >> 8;
	word = ((word & 0x00ff00ff00ff00ffu) * JOIN(100, 16)) >> 16;
	return ((word & 0x0000ffff0000ffffu) * JOIN(10000, 32)) >> 32;
}

static inline uint64_t four(const char *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	word = (uint32_t)((word & 0x0f0f0f0fu) * JOIN(10, 8)) >> 8;
	return (uint32_t)((word & 0x00ff00ffu) * JOIN(100, 16)) >> 16;
}

/* A bit for each of the 64 characters that is `c`. */
static inline uint64_t where64(const __m128i block[4], char c)
{
	uint64_t mask = 0;

	for (int i = 0; i < 4; i++)
		mask |= (uint64_t)where(block[i], c) << (16 * i);
	return mask;
}

/* A bit for each control character among the 64. The first one of a good line is its newline. */
static inline uint64_t controls64(const __m128i block[4])
{
	const __m128i last = _mm_set1_epi8(0x1f);
	uint64_t mask = 0;

	for (int i = 0; i < 4; i++)
		mask |= (uint64_t)(unsigned int)_mm_movemask_epi8(
				 _mm_cmpeq_epi8(_mm_min_epu8(block[i], last), block[i]))
			 << (16 * i);
	return mask;
}

/* The first control character from p on, or `end`; of a line that is very long only some other. */
static const char *next_control(const char *p, const char *end)
{
	if (end - p > LONG_LINE)
		end = p + LONG_LINE;
	while (p < end && (unsigned char)*p >= 0x20)
		p++;
	return p;
}

/* Sizes and calls in their columns? */
static inline bool are_counters(const char *line)
{
	__m128i low = load(line), high = load(line + 8);
	uint32_t number = digits(low) | digits(high) << 8, blank = where(low, ' ') | where(high, ' ') << 8;
	uint32_t bytes = blank & 0xfff, calls = (blank >> 13) & 0xff;

	return ((number | blank) & 0x3fffff) == 0x3fffff && (blank & 0x201000) == 0x201000 &&
	       (number & 0x100800) == 0x100800 && !(bytes & (bytes + 1)) && !(calls & (calls + 1));
}

/* Are the `n` characters at p digits, and is there one? */
static inline bool are_digits(const char *p, size_t n)
{
	return n - 1 < 15 && !(~digits(load(p)) & ((1u << n) - 1));
}

static inline bool is_function(const char *colon)
{
	uint64_t word;

	memcpy(&word, colon - 7, sizeof(word));
	return word >> 16 == 0x3a636e756620; /* " func:" */
}

static bool asked(const struct aq_skim *skim, const char *line, struct aq_str file, struct aq_str rest)
{
	if (skim->counters) {
		int64_t bytes = (int64_t)(four(line) * 100000000u + eight(line + 4));
		int64_t calls = (int64_t)eight(line + CALLS_AT);

		/* There is no sign in these columns. */
		if (skim->underflowed || bytes < skim->min_size || bytes > skim->max_size ||
		    calls < skim->min_calls || calls > skim->max_calls)
			return false;
	}
	return !skim->names || aq_may_match(skim->filter, file, rest);
}

/*
 * What line.c refuses though it looks like a tag. third: a bit for each colon behind the function's;
 * blanks: for each blank from `file` on.
 */
static inline bool may_be_mangled(const char *file, const char *colon, const char *function,
				  const char *stop, uint64_t third, uint64_t blanks)
{
	if (blanks & ((1ull << (colon - file)) - 1))
		return true;
	/* One blank ends what the kernel prints of a tag with a plain name. */
	if (function < file + 64 && (blanks >>= function - file) && function + __builtin_ctzll(blanks) < stop - 1)
		return true;
	if ((unsigned char)(*file - '0') < 10 || stop[-1] == '=' || stop[-3] == '=')
		return true;
	if (third && file + __builtin_ctzll(third) < stop)
		return true;
	if (function < file + 64)
		function = file + 64;
	return function < stop - 1 && (memchr(function, ':', (size_t)(stop - function)) ||
				       memchr(function, ' ', (size_t)(stop - 1 - function)));
}

/* May it be the first tag once more? */
static inline bool is_first(const struct aq_skim *skim, const __m128i block[4])
{
	__m128i low = _mm_cmpeq_epi8(block[0], load(skim->first));
	__m128i high = _mm_cmpeq_epi8(block[1], load(skim->first + 16));

	return _mm_movemask_epi8(_mm_and_si128(low, high)) == 0xffff;
}

/*
 * Loads reach at most FILE_AT + 64 bytes behind a line's first byte: AQ_SLACK covers what lies
 * behind `end`. It is looked at but never believed: a line counts only if its newline is in front.
 */
size_t aq_skim(const struct aq_skim *skim, const char *start, const char *end, uint64_t *lines)
{
	const char *line = start;

	while (end - line > FILE_AT) {
		const char *file = line + FILE_AT, *stop, *colon, *function;
		__m128i block[4] = { load(file), load(file + 16), load(file + 32), load(file + 48) };
		uint64_t colons = where64(block, ':'), controls = controls64(block);
		uint64_t second = colons & (colons - 1);

		if (!second || (skim->has_first && is_first(skim, block)))
			break;
		stop = controls ? file + __builtin_ctzll(controls) : next_control(file + 64, end);
		colon = file + __builtin_ctzll(colons);
		function = file + __builtin_ctzll(second) + 1;
		if (stop >= end || *stop != '\n' || function >= stop || colon == file ||
		    *function == ' ' || !are_counters(line) || function - colon < 8 ||
		    !is_function(function - 1) || !are_digits(colon + 1, (size_t)(function - colon) - 7))
			break;
		if (may_be_mangled(file, colon, function, stop, second & (second - 1),
				   where64(block, ' ')))
			break;
		if (asked(skim, line, (struct aq_str){ file, (size_t)(colon - file) },
			  (struct aq_str){ function, (size_t)(stop - function) }))
			break;
		++*lines;
		line = stop + 1;
	}
	return (size_t)(line - start);
}

#else

size_t aq_skim(const struct aq_skim *skim, const char *start, const char *end, uint64_t *lines)
{
	(void)skim, (void)start, (void)end, (void)lines;
	return 0;
}

#endif
