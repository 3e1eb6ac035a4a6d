// SPDX-License-Identifier: MIT
/*
 * Passing by what cannot match, at the speed of grep: whole lines that are certainly tags in the
 * kernel's own columns and certainly not asked for. Everything else is left to aq_parse_line(),
 * so this file decides nothing that line.c and filter.c would decide otherwise.
 */
#include <string.h>

#include "engine.h"

/*
 * A path that ends in the only FILE asked for, or lies below it, ends or begins with the same eight
 * characters.
 */
static void look_for_one_file(struct aq_skim *skim, const struct aq_pattern_list *files)
{
	const struct aq_pattern_item *file = files->items;

	if (files->len != 1 || (file->kind != AQ_TAIL && file->kind != AQ_EXACT) || file->len < sizeof(skim->tail))
		return;
	memcpy(&skim->head, file->s, sizeof(skim->head));
	memcpy(&skim->tail, file->s + file->len - sizeof(skim->tail), sizeof(skim->tail));
	skim->has_tail = true;
}

struct aq_skim aq_skim_of(const aq_filter *filter)
{
	struct aq_skim skim = {
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

	look_for_one_file(&skim, &filter->names[AQ_FILE]);
	return skim;
}

#ifdef __SSE2__

#include <emmintrin.h>

/* The kernel's columns: "%12lli %8llu FILE:LINE func:FUNCTION " */
enum {
	CALLS_AT = 13,
	FILE_AT = 22,
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

/* Characters that no plain name has. Up to the comma: control characters, blanks, quotes, '&'. */
static inline unsigned int ends(__m128i block)
{
	return (unsigned int)_mm_movemask_epi8(
		_mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(',')), block));
}

/* ':', ';' and '<', a backslash, and what is not ASCII. */
static inline unsigned int odd_ones(__m128i block)
{
	__m128i above = _mm_sub_epi8(block, _mm_set1_epi8(':'));
	__m128i odd = _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8('<' - ':')), above);

	odd = _mm_or_si128(odd, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
	return (unsigned int)_mm_movemask_epi8(_mm_or_si128(odd, block));
}

static inline uint64_t join(unsigned int a, unsigned int b, unsigned int c, unsigned int d)
{
	return (a | (uint64_t)b << 16) | ((uint64_t)c << 32 | (uint64_t)d << 48);
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

static inline uint64_t load64(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline bool is_function(const char *blank)
{
	return load64(blank) << 16 >> 16 == 0x3a636e756620; /* " func:" */
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

/* The end of the name that goes on at p, a character of ends(); NULL if there is none before `end`. */
static const char *end_of_name(const char *p, const char *end)
{
	for (; p < end; p += sizeof(__m128i)) {
		__m128i block = load(p);
		unsigned int stop = ends(block), odd = odd_ones(block);

		if (odd && (!stop || __builtin_ctz(odd) < __builtin_ctz(stop)))
			return NULL;
		if (stop)
			return p + __builtin_ctz(stop);
	}
	return NULL;
}

/* Does line.c read a name that ends here as one, whatever is in it? */
static inline bool is_plain_end(const char *end)
{
	unsigned int last = (unsigned char)end[-1];

	return ((last | 0x20) - 'a' < 26 || last - '0' < 10 || last == '_') && end[-3] != '=';
}

/* May it be the first tag once more? */
static inline bool is_first(const struct aq_skim *skim, const char *file, __m128i block)
{
	return _mm_movemask_epi8(_mm_cmpeq_epi8(block, load(skim->first))) == 0xffff &&
	       _mm_movemask_epi8(_mm_cmpeq_epi8(load(file + 16), load(skim->first + 16))) == 0xffff;
}

/*
 * A plain line: columns, FILE:LINE, " func:", a name, the blank that the kernel puts behind it or
 * none, and a newline.
 *
 * Loads reach at most FILE_AT + 64 bytes behind a line's first byte and 16 behind `end`: AQ_SLACK
 * covers what lies behind `end`. It is looked at but never believed: a line counts only if its
 * newline is in front.
 */
size_t aq_skim(const struct aq_skim *skim, const char *start, const char *end, uint64_t *lines)
{
	const char *line = start;

	while (end - line > FILE_AT) {
		const char *file = line + FILE_AT, *stop;
		__m128i a = load(file), b = load(file + 16), c = load(file + 32), d = load(file + 48);
		uint64_t ended = join(ends(a), ends(b), ends(c), ends(d));
		uint64_t odd = join(odd_ones(a), odd_ones(b), odd_ones(c), odd_ones(d));
		unsigned int colon, blank, function;

		if (!odd || !ended || (skim->has_first && is_first(skim, file, a)))
			break;
		colon = (unsigned int)__builtin_ctzll(odd);
		blank = (unsigned int)__builtin_ctzll(ended);
		function = blank + 6;
		if (!colon || file[colon] != ':' || function > 63 || !is_function(file + blank) ||
		    !are_digits(file + colon + 1, blank - colon - 1) || (unsigned char)(*file - '0') < 10 ||
		    !are_counters(line))
			break;
		ended >>= function;
		odd >>= function;
		if (ended & 1 || (odd && (!ended || __builtin_ctzll(odd) < __builtin_ctzll(ended))))
			break;
		stop = ended ? file + function + __builtin_ctzll(ended) : end_of_name(file + 64, end);
		if (!stop || stop >= end || !is_plain_end(stop))
			break;
		stop += *stop == ' ';
		if (stop >= end || *stop != '\n')
			break;
		if (!(skim->has_tail && load64(file + colon - 8) != skim->tail && load64(file) != skim->head) &&
		    asked(skim, line, (struct aq_str){ file, colon },
			  (struct aq_str){ file + function, (size_t)(stop - file) - function }))
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
