/* What is asked of a tag, checked here: names by literal, last components or glob; counters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

struct pattern {
	char *s;
	size_t len;
	enum aq_kind kind;
};

struct patterns {
	struct pattern *items;
	size_t len;
};

struct range {
	uint64_t low, high;
};

struct aq_filter {
	struct patterns names[4];
	struct range *lines;
	size_t n_lines;
	bool names_asked, builtin;
	int accuracy; /* -1: either */
	int64_t min_size, max_size;
	uint64_t min_calls, max_calls;
};

aq_filter *aq_filter_new(void)
{
	aq_filter *filter = calloc(1, sizeof(*filter));

	if (!filter)
		return NULL;
	filter->accuracy = -1;
	filter->min_size = INT64_MIN;
	filter->max_size = INT64_MAX;
	filter->max_calls = UINT64_MAX;
	return filter;
}

void aq_filter_free(aq_filter *filter)
{
	if (!filter)
		return;
	for (size_t field = 0; field < 4; field++) {
		for (size_t i = 0; i < filter->names[field].len; i++)
			free(filter->names[field].items[i].s);
		free(filter->names[field].items);
	}
	free(filter->lines);
	free(filter);
}

int aq_filter_name(aq_filter *filter, enum aq_field field, enum aq_kind kind, const char *s, size_t len)
{
	struct patterns *names = &filter->names[field];
	struct pattern *items = realloc(names->items, (names->len + 1) * sizeof(*items));

	if (!items)
		return -ENOMEM;
	names->items = items;
	items[names->len] = (struct pattern){ malloc(len ? len : 1), len, kind };
	if (!items[names->len].s)
		return -ENOMEM;
	memcpy(items[names->len].s, s, len);
	names->len++;
	filter->names_asked = true;
	return 0;
}

int aq_filter_line(aq_filter *filter, uint64_t low, uint64_t high)
{
	struct range *lines = realloc(filter->lines, (filter->n_lines + 1) * sizeof(*lines));

	if (!lines)
		return -ENOMEM;
	filter->lines = lines;
	lines[filter->n_lines++] = (struct range){ low, high };
	filter->names_asked = true;
	return 0;
}

void aq_filter_builtin(aq_filter *filter)
{
	filter->builtin = true;
	filter->names_asked = true;
}

void aq_filter_accuracy(aq_filter *filter, int accurate)
{
	filter->accuracy = accurate;
}

void aq_filter_sizes(aq_filter *filter, int64_t min, int64_t max)
{
	filter->min_size = min;
	filter->max_size = max;
}

void aq_filter_calls(aq_filter *filter, uint64_t min, uint64_t max)
{
	filter->min_calls = min;
	filter->max_calls = max;
}

/*
 * The next character. A byte that is no UTF-8 is a character of its own, the surrogate that
 * Python's surrogateescape makes of it, so that classes mean the same here and there.
 */
static uint32_t next_char(const char *s, size_t len, size_t *at)
{
	const unsigned char *p = (const unsigned char *)s + *at;
	size_t left = len - *at;
	uint32_t c = p[0];
	size_t n = c < 0xc2 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 0;

	if (c < 0x80) {
		(*at)++;
		return c;
	}
	if (n && left > n) {
		static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
		uint32_t full = c & (0x3f >> n);
		size_t i = 1;

		while (i <= n && (p[i] & 0xc0) == 0x80)
			full = full << 6 | (p[i++] & 0x3f);
		if (i > n && full >= least[n] && full < 0x110000 && (full < 0xd800 || full > 0xdfff)) {
			*at += n + 1;
			return full;
		}
	}
	(*at)++;
	return 0xdc00 + c;
}

/* Is `c` in the class whose '[' is at *at - 1? Moves *at behind its ']'. */
static bool in_class(const char *p, size_t len, size_t *at, uint32_t c)
{
	bool negated = *at < len && p[*at] == '!', found = false, first = true;

	if (negated)
		(*at)++;
	while (*at < len && (first || p[*at] != ']')) {
		uint32_t low = next_char(p, len, at), high = low;

		if (*at + 1 < len && p[*at] == '-' && p[*at + 1] != ']') {
			(*at)++;
			high = next_char(p, len, at);
		}
		if (low <= c && c <= high)
			found = true;
		first = false;
	}
	if (*at < len)
		(*at)++;
	return found != negated;
}

/* The glob of Python's fnmatch and of a shell without its special case for '/'. */
bool aq_glob(const char *p, size_t p_len, const char *s, size_t len)
{
	size_t pi = 0, si = 0, star = SIZE_MAX, resume = 0;

	for (;;) {
		if (pi < p_len && p[pi] == '*') {
			star = ++pi;
			resume = si;
			continue;
		}
		if (si == len && pi == p_len)
			return true;
		if (si < len && pi < p_len) {
			size_t pn = pi, sn = si;
			uint32_t have = next_char(s, len, &sn);
			uint32_t want = next_char(p, p_len, &pn);
			bool same;

			if (want == '[')
				same = in_class(p, p_len, &pn, have);
			else
				same = want == '?' || want == have;
			if (same) {
				pi = pn;
				si = sn;
				continue;
			}
		}
		if (star == SIZE_MAX || resume >= len)
			return false;
		next_char(s, len, &resume);
		si = resume;
		pi = star;
	}
}

static bool same(const struct pattern *p, struct aq_str s)
{
	return p->len == s.len && !memcmp(p->s, s.s, s.len);
}

static bool is_tail(const struct pattern *p, struct aq_str s)
{
	if (s.len <= p->len)
		return same(p, s);
	return s.s[s.len - p->len - 1] == '/' && !memcmp(s.s + s.len - p->len, p->s, p->len);
}

static bool any(const struct patterns *names, struct aq_str s)
{
	for (size_t i = 0; i < names->len; i++) {
		const struct pattern *p = &names->items[i];
		bool hit;

		if (p->kind == AQ_GLOB)
			hit = aq_glob(p->s, p->len, s.s, s.len);
		else
			hit = p->kind == AQ_TAIL ? is_tail(p, s) : same(p, s);
		if (hit)
			return true;
	}
	return false;
}

static bool any_line(const aq_filter *filter, uint64_t line)
{
	for (size_t i = 0; i < filter->n_lines; i++)
		if (filter->lines[i].low <= line && line <= filter->lines[i].high)
			return true;
	return false;
}

bool aq_match_counter(const aq_filter *filter, int64_t bytes, uint64_t calls, bool accurate)
{
	return bytes >= filter->min_size && bytes <= filter->max_size && calls >= filter->min_calls &&
	       calls <= filter->max_calls &&
	       (filter->accuracy < 0 || (filter->accuracy != 0) == accurate);
}

bool aq_match_names(const aq_filter *filter, const struct aq_tag *tag)
{
	const struct patterns *names = filter->names;

	if (!filter->names_asked)
		return true;
	if (filter->n_lines && !any_line(filter, tag->line))
		return false;
	if (names[AQ_FILE].len && !any(&names[AQ_FILE], tag->file))
		return false;
	if (filter->builtin && tag->has_module)
		return false;
	if (names[AQ_MODULE].len && !(tag->has_module && any(&names[AQ_MODULE], tag->module)))
		return false;
	if (names[AQ_FUNCTION].len && !any(&names[AQ_FUNCTION], tag->function))
		return false;
	return !(names[AQ_EXCLUDE].len && any(&names[AQ_EXCLUDE], tag->file));
}

struct aq_skim aq_skim_of(const aq_filter *filter)
{
	return (struct aq_skim){
		.filter = filter,
		.counters = filter->min_size != INT64_MIN || filter->max_size != INT64_MAX ||
			    filter->min_calls != 0 || filter->max_calls != UINT64_MAX,
		.names = filter->names_asked,
		.min_size = filter->min_size,
		.max_size = filter->max_size,
		.min_calls = filter->min_calls,
		.max_calls = filter->max_calls,
	};
}

bool aq_may_match(const aq_filter *filter, struct aq_str file, struct aq_str function)
{
	const struct patterns *names = filter->names;

	if (names[AQ_MODULE].len || (names[AQ_FILE].len && !any(&names[AQ_FILE], file)))
		return false;
	if (names[AQ_FUNCTION].len) {
		const char *blank = memchr(function.s, ' ', function.len);

		if (blank)
			function.len = (size_t)(blank - function.s);
		if (!any(&names[AQ_FUNCTION], function))
			return false;
	}
	return !(names[AQ_EXCLUDE].len && any(&names[AQ_EXCLUDE], file));
}
