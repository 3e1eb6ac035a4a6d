// SPDX-License-Identifier: MIT
/* What a saved listing says of itself, and what is wrong with one, in words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

static struct aq_str stripped(const char *s, size_t len)
{
	while (len && (*s == ' ' || *s == '\t'))
		s++, len--;
	while (len && (s[len - 1] == ' ' || s[len - 1] == '\t' || s[len - 1] == '\r'))
		len--;
	return (struct aq_str){ s, len };
}

static bool equals(struct aq_str s, const char *literal)
{
	return s.len == strlen(literal) && !memcmp(s.s, literal, s.len);
}

bool aq_metadata_entry(const char *line, size_t len, struct aq_str *key, struct aq_str *value)
{
	struct aq_str entry = stripped(line + (len && *line == '#'), len - (len && *line == '#'));
	const char *colon = entry.len ? memchr(entry.s, ':', entry.len) : NULL;

	if (!colon)
		return false;
	*key = (struct aq_str){ entry.s, (size_t)(colon - entry.s) };
	*value = stripped(colon + 1, entry.len - key->len - 1);
	return true;
}

/* The entries of a text's only snapshot, one by one from *at on. */
static bool next_entry(const char **at, bool *begun, struct aq_str *key, struct aq_str *value)
{
	const char *newline;

	for (; (newline = strchr(*at, '\n')) != NULL;) {
		const char *line = *at;

		*at = newline + 1;
		if (!aq_metadata_entry(line, (size_t)(newline - line), key, value))
			continue;
		*begun |= equals(*key, AQ_SNAPSHOT_KEY);
		if (*begun)
			return true;
	}
	return false;
}

/* Several listings in one text say nothing of all of it together. */
static bool is_one_snapshot(const aq_text *text)
{
	const char *at = aq_text_metadata_lines(text);
	struct aq_str key, value;
	size_t snapshots = 0;
	bool begun = false;

	while (next_entry(&at, &begun, &key, &value))
		snapshots += equals(key, AQ_SNAPSHOT_KEY);
	return snapshots == 1 && aq_text_headers(text) <= 1;
}

int aq_text_metadata(const aq_text *text, size_t *at, const char **key, size_t *key_len,
		     const char **value, size_t *value_len)
{
	const char *lines = aq_text_metadata_lines(text), *next = lines + *at;
	struct aq_str k, v;
	bool begun = *at > 0;

	if ((!begun && !is_one_snapshot(text)) || !next_entry(&next, &begun, &k, &v))
		return 0;
	*at = (size_t)(next - lines);
	*key = k.s;
	*key_len = k.len;
	*value = v.s;
	*value_len = v.len;
	return 1;
}

/* `width` digits at *s, moved behind them. */
static bool read_digits(struct aq_str *s, size_t width, int *value)
{
	*value = 0;
	if (s->len < width)
		return false;
	for (size_t i = 0; i < width; i++) {
		if (s->s[i] < '0' || s->s[i] > '9')
			return false;
		*value = 10 * *value + (s->s[i] - '0');
	}
	s->s += width;
	s->len -= width;
	return true;
}

static bool read_char(struct aq_str *s, const char *any)
{
	if (!s->len || !*s->s || !strchr(any, *s->s))
		return false;
	s->s++;
	s->len--;
	return true;
}

/* The fraction of a second at *s in nanoseconds; digits beyond are dropped. */
static bool read_fraction(struct aq_str *s, int64_t *ns)
{
	int64_t unit = 100000000;
	int digit;

	*ns = 0;
	if (!read_char(s, "."))
		return true;
	if (!read_digits(s, 1, &digit))
		return false;
	do {
		*ns += digit * unit;
		unit /= 10;
	} while (read_digits(s, 1, &digit));
	return true;
}

/* `Z`, `+HH:MM` or `-HH:MM` in seconds. */
static bool read_zone(struct aq_str *s, int *seconds)
{
	int sign, hours, minutes;

	*seconds = 0;
	if (read_char(s, "Z"))
		return true;
	sign = s->len && *s->s == '-' ? -1 : 1;
	if (!read_char(s, "+-") || !read_digits(s, 2, &hours) || !read_char(s, ":") ||
	    !read_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*seconds = sign * (3600 * hours + 60 * minutes);
	return true;
}

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1 January of year 0 to the first of a month. */
static int64_t days_before(int year, int month)
{
	static const int16_t days[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };
	int whole = year - 1; /* the years from 1 on; year 0 has 366 days */

	return 366 + 365 * (int64_t)whole + whole / 4 - whole / 100 + whole / 400 + days[month - 1] +
	       (month > 2 && is_leap(year));
}

enum { MOST_REASON = 200 };
enum { DAYS_TO_1970 = 719528 }; /* from 1 January of year 0 */

/* Of 64 bits whatever the C library's time_t is. */
int aq_parse_time(const char *s, size_t len, int64_t *time_ns)
{
	struct aq_str rest = { s, len };
	int year, month, day, hour, minute, second, zone;
	int64_t seconds, ns;

	if (!read_digits(&rest, 4, &year) || !read_char(&rest, "-") || !read_digits(&rest, 2, &month) ||
	    !read_char(&rest, "-") || !read_digits(&rest, 2, &day) || !read_char(&rest, "T ") ||
	    !read_digits(&rest, 2, &hour) || !read_char(&rest, ":") || !read_digits(&rest, 2, &minute) ||
	    !read_char(&rest, ":") || !read_digits(&rest, 2, &second) || !read_fraction(&rest, &ns) ||
	    !read_zone(&rest, &zone) || rest.len)
		return -EINVAL;
	if (month < 1 || month > 12 || day < 1 ||
	    day > days_before(year, month + 1) - days_before(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return -EINVAL;
	seconds = (days_before(year, month) + day - 1 - DAYS_TO_1970) * 86400 + hour * 3600 + minute * 60 +
		  second - zone;
	/* Before 1970 the fraction counts from the second below: one that may not fit by itself. */
	if (seconds < 0 && ns) {
		seconds++;
		ns -= 1000000000;
	}
	if (__builtin_mul_overflow(seconds, (int64_t)1000000000, time_ns) ||
	    __builtin_add_overflow(*time_ns, ns, time_ns))
		return -EINVAL;
	return 0;
}

/* `4096 it has no header` without the number, and not at any length. */
static struct aq_str reason(struct aq_str value)
{
	while (value.len && *value.s >= '0' && *value.s <= '9')
		value.s++, value.len--;
	value = stripped(value.s, value.len);
	if (value.len > MOST_REASON)
		value.len = MOST_REASON;
	return value;
}

static void describe(const aq_text *text, const char *path, aq_info *info)
{
	const char *at = aq_text_metadata_lines(text);
	struct aq_str key, value;
	uint64_t number;
	bool begun = false;

	if (!*at || !is_one_snapshot(text))
		return;
	while (next_entry(&at, &begun, &key, &value)) {
		bool is_number = aq_parse_count(value.s, value.len, &number) == AQ_NUMBER_OK;

		if (equals(key, "content-id") && is_number && !info->has_content_id) {
			info->has_content_id = 1;
			info->content_id = number;
		} else if (equals(key, "consistent")) {
			info->consistent = equals(value, "yes") ? 1 : equals(value, "no") ? 0 : -1;
		} else if (equals(key, "time") && !info->time_ns) {
			if (aq_parse_time(value.s, value.len, &info->time_ns))
				info->time_ns = 0;
		} else if (equals(key, "profiling") && equals(value, "off")) {
			aq_info_warn(info, "%s: profiling was off when it was saved: the counters were frozen",
				     path);
		} else if (equals(key, "excerpt") && *value.s >= '0' && *value.s <= '9') {
			aq_info_warn(info, "%s: an excerpt (%.*s)", path, (int)reason(value).len,
				     reason(value).s);
		} else if (equals(key, "rounded") && equals(value, "yes")) {
			aq_info_warn(info, "%s: sizes are rounded", path);
		} else if (equals(key, "tags") && is_number && number != aq_text_tags(text)) {
			info->consistent = 0;
			info->truncated = 1;
			aq_info_warn(info,
				     "%s: has %" PRIu64 " tags, but its metadata says %" PRIu64
				     "; it may be truncated",
				     path, aq_text_tags(text), number);
		}
	}
}

int aq_text_finish(const aq_text *text, const char *path, aq_info *info, aq_problem *problem)
{
	*info = (aq_info){ .interface = AQ_TEXT, .consistent = -1 };
	if (!aq_text_headers(text) && !aq_text_tags(text)) {
		if (!aq_text_bytes(text))
			aq_problem_set(problem, AQ_P_FORMAT,
				       "was it saved without permission to read /proc/allocinfo?",
				       "%s is empty", path);
		else
			aq_problem_set(problem, AQ_P_FORMAT, "", "%s is not a saved /proc/allocinfo",
				       path);
		return -1;
	}
	memcpy(info->version, aq_text_version(text), sizeof(info->version));
	describe(text, path, info);
	if (aq_text_unfinished(text)) {
		info->consistent = 0;
		info->truncated = 1;
		aq_info_warn(info, "%s: ignored the last line, which has no newline; the file may be truncated",
			     path);
	} else if (aq_text_is_cut(text)) {
		aq_info_warn(info, "%s: the last line has no newline; its function may be cut off", path);
	}
	return 0;
}

void aq_text_problem(const aq_text *text, const char *path, enum aq_result result, aq_problem *problem)
{
	uint64_t line = aq_text_line(text);

	if (result == AQ_ERROR && errno == ENOMEM)
		aq_problem_set(problem, AQ_P_MEMORY, "", "out of memory");
	else if (result == AQ_ERROR)
		aq_problem_set(problem, AQ_P_SOURCE, "", "cannot read %s: %s", path, strerror(errno));
	else if (result == AQ_NEWER)
		aq_problem_set(problem, AQ_P_FORMAT, "update allocq",
			       "%s: line %" PRIu64 ": snapshot format is newer than this allocq supports (%d)",
			       path, line, AQ_SNAPSHOT_VERSION);
	else if (result == AQ_LONG_LINE)
		aq_problem_set(problem, AQ_P_FORMAT, "", "%s: line %" PRIu64 " is longer than 1 MiB", path,
			       line);
	else if (!aq_text_headers(text) && !aq_text_tags(text))
		aq_problem_set(problem, AQ_P_FORMAT, "",
			       "%s is not a saved /proc/allocinfo (line %" PRIu64
			       ": not a valid allocinfo line)",
			       path, line);
	else
		aq_problem_set(problem, AQ_P_FORMAT, "",
			       "%s: line %" PRIu64 ": not a valid allocinfo line", path, line);
}

int aq_source_rewind(aq_source *source, aq_problem *problem)
{
	if (source->begun && !source->regular) {
		aq_problem_set(problem, AQ_P_SOURCE, "", "%s is not a regular file: it can be read only once",
			       source->path);
		return -1;
	}
	if (source->begun && lseek(source->fd, source->start, SEEK_SET) < 0) {
		aq_source_problem(source, -errno, problem);
		return -1;
	}
	source->begun = true;
	return 0;
}
