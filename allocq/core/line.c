/* One line of /proc/allocinfo, or of something that only looks like it. */
#include <string.h>

#include "native.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *p, moved behind them. False without a digit or over 64 bits. */
static bool number(const char **p, const char *end, uint64_t *value)
{
	const char *start = *p;
	uint64_t sum = 0;

	while (*p < end && is_digit(**p)) {
		unsigned int digit = (unsigned int)(**p - '0');

		if (*p - start >= 19 && (sum > UINT64_MAX / 10 || sum * 10 > UINT64_MAX - digit))
			return false;
		sum = sum * 10 + digit;
		(*p)++;
	}
	*value = sum;
	return *p > start;
}

static bool blanks(const char **p, const char *end)
{
	const char *start = *p;

	while (*p < end && **p == ' ')
		(*p)++;
	return *p > start;
}

static bool counters(const char **p, const char *end, struct aq_tag *tag)
{
	uint64_t bytes;
	bool negative;

	blanks(p, end);
	negative = *p < end && **p == '-';
	*p += negative;
	if (!number(p, end, &bytes) || bytes > (uint64_t)INT64_MAX + negative)
		return false;
	tag->bytes = (int64_t)(negative ? -bytes : bytes);
	if (!blanks(p, end) || !number(p, end, &tag->calls))
		return false;
	return *p < end && *(*p)++ == ' ';
}

/* FILE:LINE that ends at `end`. */
static bool file_and_line(const char *start, const char *end, struct aq_tag *tag)
{
	const char *colon = end;

	while (colon > start && is_digit(colon[-1]))
		colon--;
	if (colon == end || colon - start < 2 || colon[-1] != ':')
		return false;
	tag->file = (struct aq_str){ start, (size_t)(colon - 1 - start) };
	return number(&colon, end, &tag->line);
}

/* FILE:LINE or FILE:LINE [MODULE] that ends at `end`. FILE may hold blanks and brackets. */
static bool place(const char *start, const char *end, struct aq_tag *tag)
{
	tag->has_module = false;
	tag->module = (struct aq_str){ end, 0 };
	if (file_and_line(start, end, tag))
		return true;
	if (end - start < 4 || end[-1] != ']')
		return false;
	for (const char *open = end - 2; open > start + 1; open--) {
		if (open[0] != '[' || open[-1] != ' ' || open + 1 == end - 1 ||
		    !file_and_line(start, open - 1, tag))
			continue;
		tag->has_module = true;
		tag->module = (struct aq_str){ open + 1, (size_t)(end - 1 - (open + 1)) };
		return true;
	}
	return false;
}

/* FUNCTION and the words behind it; words that are not known are passed over. */
static bool rest(const char *p, const char *end, struct aq_tag *tag)
{
	static const char inaccurate[] = "accurate:no";
	const char *blank = memchr(p, ' ', (size_t)(end - p));
	const char *stop = blank ? blank : end;

	tag->function = (struct aq_str){ p, (size_t)(stop - p) };
	tag->accurate = true;
	while (stop < end) {
		const char *word = stop + 1;

		blank = memchr(word, ' ', (size_t)(end - word));
		stop = blank ? blank : end;
		if ((size_t)(stop - word) == sizeof(inaccurate) - 1 &&
		    !memcmp(word, inaccurate, sizeof(inaccurate) - 1))
			tag->accurate = false;
	}
	return tag->function.len > 0;
}

static const char *find(const char *p, const char *end, const char *needle, size_t len)
{
	for (; (size_t)(end - p) >= len; p++) {
		p = memchr(p, needle[0], (size_t)(end - p) - len + 1);
		if (!p)
			return NULL;
		if (!memcmp(p, needle, len))
			return p;
	}
	return NULL;
}

static bool starts(const char *line, size_t len, const char *with)
{
	size_t n = strlen(with);

	return len >= n && !memcmp(line, with, n);
}

enum aq_line_kind aq_parse_line(const char *line, size_t len, struct aq_tag *tag)
{
	static const char function[] = " func:";
	const size_t n = sizeof(function) - 1;
	const char *end = line + len, *p = line;

	if (starts(line, len, "#"))
		return AQ_LINE_NOTE;
	if (starts(line, len, "allocinfo - version: "))
		return AQ_LINE_HEADER;
	if (memchr(line, '\0', len) || !counters(&p, end, tag))
		return AQ_LINE_BAD;
	for (const char *at = p; (at = find(at, end, function, n)); at++)
		if (place(p, at, tag) && rest(at + n, end, tag))
			return AQ_LINE_TAG;
	return AQ_LINE_BAD;
}
