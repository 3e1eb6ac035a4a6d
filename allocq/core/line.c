// SPDX-License-Identifier: MIT
/* One line of /proc/allocinfo, or of something that only looks like it. */
#include <string.h>

#include "engine.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *p, moved behind them. False without a digit or over 64 bits. */
static bool read_number(const char **p, const char *end, uint64_t *value)
{
	const char *start = *p;
	bool large = false;

	*value = 0;
	for (; *p < end && is_digit(**p); ++*p)
		large |= __builtin_mul_overflow(*value, 10u, value) ||
			 __builtin_add_overflow(*value, (uint64_t)(**p - '0'), value);
	return *p > start && !large;
}

static bool skip_blanks(const char **p, const char *end)
{
	const char *start = *p;

	while (*p < end && **p == ' ')
		++*p;
	return *p > start;
}

static bool read_counters(const char **p, const char *end, struct aq_tag *tag)
{
	uint64_t bytes;
	bool negative;

	skip_blanks(p, end);
	negative = *p < end && **p == '-';
	*p += negative;
	if (!read_number(p, end, &bytes) || bytes > (uint64_t)INT64_MAX + negative)
		return false;
	tag->bytes = (int64_t)(negative ? -bytes : bytes);
	if (!skip_blanks(p, end) || !read_number(p, end, &tag->calls))
		return false;
	return *p < end && *(*p)++ == ' ';
}

/* FILE:LINE that ends at `end`. Looks at the digits before `end` alone. */
static bool read_file_and_line(const char *start, const char *end, struct aq_tag *tag)
{
	const char *colon = end;

	while (colon > start && is_digit(colon[-1]))
		colon--;
	if (colon == end || colon - start < 2 || colon[-1] != ':')
		return false;
	tag->file = (struct aq_str){ start, (size_t)(colon - 1 - start) };
	return read_number(&colon, end, &tag->line);
}

/* Is it a `key:value` word or a number, not a part of a name such as `Bar>::new` or `alloc::new`? */
static bool is_value(const char *word, const char *end)
{
	const char *p = word;

	while (p < end && is_digit(*p))
		p++;
	if (p > word && p == end)
		return true;
	p = word;
	while (p < end && ((*p >= 'a' && *p <= 'z') || *p == '_' || (is_digit(*p) && p > word)))
		p++;
	return p > word && p < end && *p == ':' && !(p + 1 < end && p[1] == ':');
}

/*
 * Takes the last word, and the blanks behind it, off a name if it is a value. The name's first
 * word stays.
 */
static bool drop_value(struct aq_str *name, struct aq_str *word)
{
	const char *end = name->s + name->len, *start, *blank;

	while (end > name->s && end[-1] == ' ')
		end--;
	name->len = (size_t)(end - name->s);
	blank = memrchr(name->s, ' ', name->len);
	start = blank ? blank + 1 : name->s;
	if (!blank || !is_value(start, end))
		return false;
	*word = (struct aq_str){ start, (size_t)(end - start) };
	name->len = (size_t)(blank - name->s);
	return true;
}

struct aq_str aq_function(const char *s, size_t len, bool *accurate)
{
	static const char inaccurate[] = "accurate:no";
	struct aq_str name = { s, len }, word;

	*accurate = true;
	while (drop_value(&name, &word))
		if (word.len == sizeof(inaccurate) - 1 && !memcmp(word.s, inaccurate, word.len))
			*accurate = false;
	return name;
}

/* The last two places before `at` where FILE:LINE is followed by ` [`. */
struct brackets {
	const char *last, *before;
};

/* FILE:LINE or FILE:LINE [MODULE] that ends at `end`. FILE may hold blanks and brackets. */
static bool read_location(const char *start, const char *end, const struct brackets *open,
			  struct aq_tag *tag)
{
	/* An empty module is none: the bracket before counts then. */
	const char *bracket = open->last && open->last + 1 == end - 1 ? open->before : open->last;

	tag->has_module = false;
	tag->module = (struct aq_str){ end, 0 };
	if (read_file_and_line(start, end, tag))
		return true;
	if (end - start < 4 || end[-1] != ']' || !bracket)
		return false;
	tag->has_module = true;
	tag->module = (struct aq_str){ bracket + 1, (size_t)(end - 1 - (bracket + 1)) };
	return read_file_and_line(start, bracket - 1, tag);
}

/*
 * Once over the line, whatever it holds: the first ` func:` with a location before it and a name
 * behind it ends the location, and the last bracket with FILE:LINE before it begins the module.
 */
static bool read_names(const char *start, const char *end, struct aq_tag *tag)
{
	static const char function[] = " func:";
	const size_t n = sizeof(function) - 1;
	struct brackets open = { NULL, NULL };

	for (const char *at = start; (at = memchr(at, ' ', (size_t)(end - at))) != NULL; at++) {
		struct aq_tag ignored;

		if (end - at >= 2 && at[1] == '[' && read_file_and_line(start, at, &ignored)) {
			open.before = open.last;
			open.last = at + 1;
		} else if ((size_t)(end - at) > n && !memcmp(at, function, n) && at[n] != ' ' &&
			   read_location(start, at, &open, tag)) {
			tag->function = aq_function(at + n, (size_t)(end - at) - n, &tag->accurate);
			return true;
		}
	}
	return false;
}

static bool starts_with(const char *line, size_t len, struct aq_str prefix)
{
	return len >= prefix.len && !memcmp(line, prefix.s, prefix.len);
}

static const char header[] = "allocinfo - version: ";

struct aq_str aq_header_version(const char *line, size_t len)
{
	const size_t n = sizeof(header) - 1;

	return (struct aq_str){ line + n, len - n };
}

#define EACH_BYTE(c) ((uint64_t)(c) * 0x0101010101010101u)

/* A control character, a backslash, or a byte that is not ASCII? Most lines have none. */
static bool has_odd_byte(const char *line, size_t len)
{
	uint64_t odd = 0, word, backslash;
	size_t i = 0;

	for (; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, line + i, sizeof(word));
		backslash = word ^ EACH_BYTE('\\');
		odd |= word | (word - EACH_BYTE(0x20)) | (backslash - EACH_BYTE(1));
	}
	for (; i < len; i++)
		odd |= (uint64_t)(line[i] < 0x20 || line[i] == '\\' || line[i] & 0x80) << 7;
	return odd & EACH_BYTE(0x80);
}

/* Marks without width, which come with what is copied from a page: U+200B to U+200F and their like. */
bool aq_has_marks(const char *line, size_t len)
{
	const unsigned char *end = (const unsigned char *)line + len;

	for (const unsigned char *p = (const unsigned char *)line; end - p > 2; p++)
		if ((p[0] == 0xc2 && p[1] == 0xad) || (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) ||
		    (p[0] == 0xe2 && ((p[1] == 0x80 && ((p[2] >= 0x8b && p[2] <= 0x8f) ||
							(p[2] >= 0xaa && p[2] <= 0xae))) ||
				      (p[1] == 0x81 && p[2] == 0xa0))))
			return true;
	return false;
}

/* A tab or a carriage return at its end, or in front of a number: paste and pr write columns so. */
static bool has_column_behind(struct aq_str name)
{
	for (size_t i = 0; i < name.len; i++) {
		size_t next = i + 1;

		if (name.s[i] != '\t' && name.s[i] != '\r')
			continue;
		while (next < name.len && (name.s[next] == ' ' || name.s[next] == '\t'))
			next++;
		if (next == name.len || is_digit(name.s[next]) || name.s[next] == '-')
			return true;
		i = next - 1;
	}
	return false;
}

/* Colors of grep, what quoted-printable ends a line with, Markdown's escapes, a second column. */
static bool is_dressed_up(const char *line, size_t len, struct aq_str name)
{
	const char *end = line + len; /* of a tag, which has more than three characters */

	if (end[-1] == '=' || (end[-3] == '=' && (!memcmp(end - 2, "20", 2) || !memcmp(end - 2, "0D", 2))))
		return true;
	if (!has_odd_byte(line, len))
		return false;
	if (memmem(line, len, "\\_", 2))
		return true;
	if (has_column_behind(name))
		return true;
	return memchr(line, '\x1b', len) &&
	       (memmem(line, len, "\x1b[K", 3) || memmem(line, len, "\x1b[m", 3));
}

/* A blank or a number in front of FILE: the lines were numbered, or it is not where a tag begins. */
static bool is_numbered(struct aq_str file)
{
	const char *p, *end;

	if (!memchr(file.s, ' ', file.len))
		return false;
	p = memrchr(file.s, ' ', file.len);
	if (file.s[0] == ' ')
		return true;
	while (p > file.s && p[-1] == ' ')
		p--;
	for (end = p; p > file.s && is_digit(p[-1]); p--)
		;
	return p < end && (p == file.s || p[-1] == ' ');
}

/* SIZE and CALLS at the blank p? Something is behind them. */
static bool are_two_numbers(const char *p, const char *end)
{
	if (!is_digit(p[1]) && p[1] != '-')
		return false;
	for (p++; p < end && *p != ' '; p++)
		;
	while (p < end && *p == ' ')
		p++;
	return p < end && is_digit(*p);
}

/* Another tag behind the function: a mailer joined lines. */
static bool is_joined(const struct aq_tag *tag, const char *end)
{
	const char *tail = tag->function.s; /* a name may hold blanks, so it may have taken in the rest */
	const char *function;
	struct aq_tag ignored;

	if (end - tail < 8)
		return false;
	function = memmem(tail, (size_t)(end - tail), " func:", 6);
	if (!function || (function[-1] != ']' && !read_file_and_line(tail, function, &ignored)))
		return false;
	for (; tail < function; tail++)
		if (*tail == ' ' && are_two_numbers(tail, function))
			return true;
	return false;
}

/* Two blanks and a number. */
static bool has_far_number(const char *p, const char *end)
{
	while ((p = memchr(p, ' ', (size_t)(end - p))) != NULL) {
		const char *start = p;

		skip_blanks(&p, end);
		if (p - start > 1 && p < end && (is_digit(*p) || *p == '-'))
			return true;
	}
	return false;
}

static bool holds(struct aq_str text, struct aq_str part)
{
	return memmem(text.s, text.len, part.s, part.len) != NULL;
}

/*
 * Behind the name is what no name has: the next tag's size, a tag or an entity of HTML, a quote.
 */
static bool has_a_tail(struct aq_str name, const char *end)
{
	/* The kernel puts one blank behind most names. */
	if ((end - (name.s + name.len) > 1 || memchr(name.s, ' ', name.len)) && has_far_number(name.s, end))
		return true;
	if (name.len && memchr("`\"',;|*$", name.s[name.len - 1], 8))
		return true;
	if (memchr(name.s, '<', name.len) && (holds(name, AQ_STR("</")) || holds(name, AQ_STR("<br"))))
		return true;
	return memchr(name.s, '&', name.len) && memchr(name.s, ';', name.len) &&
	       (holds(name, AQ_STR("&lt;")) || holds(name, AQ_STR("&gt;")) || holds(name, AQ_STR("&amp;")) ||
		holds(name, AQ_STR("&nbsp;")) || holds(name, AQ_STR("&#")));
}

/* What only looks like a tag is left to a lenient reader. */
static bool is_mangled(const char *line, size_t len, const struct aq_tag *tag)
{
	return is_dressed_up(line, len, tag->function) || is_numbered(tag->file) || has_a_tail(tag->function, line + len) ||
	       is_joined(tag, line + len);
}

enum aq_line_kind aq_parse_line(const char *line, size_t len, struct aq_tag *tag)
{
	const char *end = line + len, *p = line;

	if (starts_with(line, len, AQ_STR("#")))
		return AQ_LINE_COMMENT;
	if (starts_with(line, len, AQ_STR(header)))
		return AQ_LINE_HEADER;
	if (memchr(line, '\0', len) || !read_counters(&p, end, tag) || !read_names(p, end, tag))
		return AQ_LINE_BAD;
	return is_mangled(line, len, tag) ? AQ_LINE_BAD : AQ_LINE_TAG;
}
