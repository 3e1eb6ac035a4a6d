// SPDX-License-Identifier: MIT
/* A filter checked in this process: names by literal, last components or glob; counters. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

void aq_filter_init(aq_filter *filter)
{
	*filter = (aq_filter){
		.accuracy = -1,
		.min_size = INT64_MIN,
		.max_size = INT64_MAX,
		.min_calls = INT64_MIN,
		.max_calls = INT64_MAX,
	};
}

aq_filter *aq_filter_new(void)
{
	aq_filter *filter = malloc(sizeof(*filter));

	if (filter)
		aq_filter_init(filter);
	return filter;
}

static void clear_list(struct aq_pattern_list *list)
{
	for (size_t i = 0; i < list->len; i++) {
		free(list->items[i].s);
		free(list->items[i].place);
	}
	free(list->items);
}

void aq_filter_clear(aq_filter *filter)
{
	for (int field = AQ_FILE; field <= AQ_WORD; field++)
		clear_list(&filter->names[field]);
	clear_list(&filter->word_functions);
	clear_list(&filter->word_modules);
	free(filter->lines);
}

void aq_filter_free(aq_filter *filter)
{
	if (!filter)
		return;
	aq_filter_clear(filter);
	free(filter);
}

static int add_pattern(struct aq_pattern_list *list, enum aq_pattern_kind kind, const char *s, size_t len)
{
	struct aq_pattern_item *items = aq_grown(list->items, &list->cap, list->len + 1, sizeof(*items), 4);
	char *copy;

	if (!items)
		return -ENOMEM;
	list->items = items;
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, s, len);
	copy[len] = '\0';
	items[list->len++] = (struct aq_pattern_item){ .s = copy, .len = len, .kind = kind };
	return 0;
}

int aq_filter_pattern(aq_filter *filter, enum aq_field field, enum aq_pattern_kind kind, const char *s,
		      size_t len)
{
	filter->has_names = true;
	return add_pattern(&filter->names[field], kind, s, len);
}

int aq_pattern_is_glob(const char *s, size_t len)
{
	return memchr(s, '*', len) || memchr(s, '?', len) || memchr(s, '[', len);
}

/* The lines behind `FILE:N` or `FILE:N-M`; the length of FILE, or `len` where there are none. */
static size_t split_lines(const char *s, size_t len, uint64_t *low, uint64_t *high)
{
	const char *colon = memrchr(s, ':', len), *dash;
	size_t digits;

	if (!colon || colon == s)
		return len;
	digits = len - (size_t)(colon + 1 - s);
	dash = memchr(colon + 1, '-', digits);
	if (aq_parse_count(colon + 1, dash ? (size_t)(dash - colon - 1) : digits, low) != AQ_NUMBER_OK)
		return len;
	*high = *low;
	if (dash && aq_parse_count(dash + 1, len - (size_t)(dash + 1 - s), high) != AQ_NUMBER_OK)
		return len;
	return *low <= *high ? (size_t)(colon - s) : len;
}

/* The kind of a path that is no glob. Only a path from the root that names a file is the whole name. */
static enum aq_pattern_kind path_kind(const char *s, size_t len)
{
	const char *base = memrchr(s, '/', len);

	if (base == s + len - 1)
		return AQ_BELOW;
	base = base ? base + 1 : s;
	return s[0] == '/' && memchr(base, '.', len - (size_t)(base - s)) ? AQ_EXACT : AQ_TAIL;
}

/* A tag as tables and lines show it, in its parts. */
struct place {
	size_t path; /* the length of FILE, or of all where there are no lines */
	uint64_t low, high;
	struct aq_str module, function;
};

/* Takes ` [MODULE]` from the end. */
static size_t split_module(const char *s, size_t len, struct aq_str *module)
{
	const char *open = len && s[len - 1] == ']' ? memrchr(s, '[', len) : NULL;

	if (!open || open - s < 2 || open[-1] != ' ' || open + 2 == s + len)
		return len;
	*module = (struct aq_str){ open + 1, len - (size_t)(open + 2 - s) };
	return (size_t)(open - 1 - s);
}

/* Takes ` func:FUNCTION`, and whatever a line has behind it, from the end. */
static size_t split_function(const char *s, size_t len, struct aq_str *function)
{
	const char *found = memmem(s, len, " func:", 6), *end;

	if (!found || found + 6 == s + len)
		return len;
	found += 6;
	end = memchr(found, ' ', len - (size_t)(found - s));
	*function = (struct aq_str){ found, end ? (size_t)(end - found) : len - (size_t)(found - s) };
	return (size_t)(found - 6 - s);
}

/* `FILE:LINE`, `FILE:LINE [MODULE]`, `FILE:LINE [MODULE] func:FUNCTION`, `FILE:LINE:`, or a path. */
static struct place split_place(const char *s, size_t len)
{
	struct place place = { .path = len };
	struct aq_str none = { NULL, 0 };
	size_t end = split_function(s, len, &place.function), path;

	end = split_module(s, end, &place.module);
	if (end == len && (s[end - 1] == ':' || s[end - 1] == ','))
		end--; /* as grep prints it, or from a sentence */
	path = split_lines(s, end, &place.low, &place.high);
	if (path < end)
		place.path = path;
	else
		place.module = place.function = none;
	return place;
}

static int add_path(struct aq_pattern_list *list, bool is_word, const char *s, size_t len)
{
	struct place place = split_place(s, len);
	enum aq_pattern_kind kind = is_word ? AQ_ANYWHERE : path_kind(s, place.path);
	struct aq_pattern_item *item;
	int error = add_pattern(list, aq_pattern_is_glob(s, place.path) ? AQ_GLOB : kind, s, place.path);

	if (error)
		return error;
	item = &list->items[list->len - 1];
	item->has_lines = place.path < len;
	item->low = place.low;
	item->high = place.high;
	if (!place.module.len && !place.function.len)
		return 0;
	item->place = malloc(len);
	if (!item->place)
		return -ENOMEM;
	memcpy(item->place, s, len);
	if (place.module.len)
		item->module = (struct aq_str){ item->place + (place.module.s - s), place.module.len };
	if (place.function.len)
		item->function = (struct aq_str){ item->place + (place.function.s - s), place.function.len };
	return 0;
}

/*
 * `[xfs]`, as the kernel's lines have it, `xfs.ko`, `nf-conntrack`, a path from modinfo: the name as
 * the kernel has it.
 */
static int add_module(struct aq_pattern_list *list, const char *s, size_t len)
{
	const char *suffix, *slash;
	int error;
	char *name;

	if (len > 2 && s[0] == '[' && s[len - 1] == ']' && s[1] != '!' && !memchr(s + 1, '[', len - 1)) {
		s++;
		len -= 2;
	}
	if (aq_pattern_is_glob(s, len))
		return add_pattern(list, AQ_GLOB, s, len);
	slash = memrchr(s, '/', len);
	if (slash && slash + 1 < s + len) {
		len -= (size_t)(slash + 1 - s);
		s = slash + 1;
	}
	suffix = memmem(s, len, ".ko", 3);
	if (suffix && suffix > s && (suffix + 3 == s + len || suffix[3] == '.'))
		len = (size_t)(suffix - s);
	error = add_pattern(list, AQ_EXACT, s, len);
	if (error)
		return error;
	name = list->items[list->len - 1].s;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '-')
			name[i] = '_';
	return 0;
}

/* The length of a function's name without what C and stack traces put behind it. */
static size_t function_length(const char *s, size_t len)
{
	static const char *const ends[] = { "+0x", ".isra.", ".constprop.", ".part.", ".cold", "()" };

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		const char *end = memmem(s, len, ends[i], strlen(ends[i]));

		if (end && end > s)
			len = (size_t)(end - s);
	}
	return len;
}

/* As the kernel's lines, C or a stack trace have it, or the name alone. */
static int add_function(struct aq_pattern_list *list, const char *s, size_t len)
{
	if (len > 5 && !memcmp(s, "func:", 5)) {
		s += 5;
		len -= 5;
	}
	if (aq_pattern_is_glob(s, len))
		return add_pattern(list, AQ_GLOB, s, len);
	return add_pattern(list, AQ_EXACT, s, function_length(s, len));
}

int aq_filter_name(aq_filter *filter, enum aq_field field, const char *s, size_t len)
{
	int error;

	filter->has_names = true;
	switch (field) {
	case AQ_FILE:
	case AQ_EXCLUDE:
		return add_path(&filter->names[field], false, s, len);
	case AQ_MODULE:
		return add_module(&filter->names[field], s, len);
	case AQ_FUNCTION:
		return add_function(&filter->names[field], s, len);
	case AQ_WORD:
		error = add_path(&filter->names[field], true, s, len);
		if (!error)
			error = add_function(&filter->word_functions, s, len);
		return error ? error : add_module(&filter->word_modules, s, len);
	}
	return -EINVAL;
}

size_t aq_pattern_widen(const char *s, size_t len, char *out, size_t cap)
{
	bool is_glob = aq_pattern_is_glob(s, len), has_lines = len && split_place(s, len).path < len, below;
	const char *base;

	if (len > 2 && s[0] == '.' && s[1] == '/') {
		memcpy(out, s + 2, len - 2);
		return len - 2;
	}
	if (!len || s[0] == '*' || s[0] == '/' || len + 4 > cap || (!is_glob && has_lines))
		return 0;
	below = s[len - 1] == '/';
	base = memrchr(s, '/', len);
	base = base ? base + 1 : s;
	/* A name with a dot is a file, which matched by its last components or not at all. */
	if (!is_glob && !below && memchr(base, '.', len - (size_t)(base - s)))
		return 0;
	memcpy(out, "*/", 2);
	memcpy(out + 2, s, len);
	len += 2;
	if (!is_glob && !below)
		out[len++] = '/';
	if (!is_glob || below)
		out[len++] = '*';
	return len;
}

int aq_filter_widen(aq_filter *filter)
{
	struct aq_pattern_list *files = &filter->names[AQ_FILE];
	int widened = 0;

	for (size_t i = 0; i < files->len; i++) {
		struct aq_pattern_item *p = &files->items[i];
		bool is_glob = aq_pattern_is_glob(p->s, p->len);
		char *wider;
		size_t len;

		if (p->has_lines && !is_glob && p->s[0] != '.')
			continue;
		wider = malloc(p->len + 4);
		if (!wider)
			return -ENOMEM;
		len = aq_pattern_widen(p->s, p->len, wider, p->len + 4);
		if (!len) {
			free(wider);
			continue;
		}
		free(p->s);
		p->s = wider;
		p->len = len;
		p->kind = aq_pattern_is_glob(wider, len) ? AQ_GLOB : path_kind(wider, len);
		widened = 1;
	}
	return widened;
}

int aq_filter_line(aq_filter *filter, uint64_t low, uint64_t high)
{
	struct aq_range *lines = aq_grown(filter->lines, &filter->lines_cap, filter->n_lines + 1,
					  sizeof(*lines), 4);

	if (!lines)
		return -ENOMEM;
	filter->lines = lines;
	lines[filter->n_lines++] = (struct aq_range){ low, high };
	filter->has_names = true;
	return 0;
}

void aq_filter_builtin(aq_filter *filter)
{
	filter->builtin = true;
	filter->has_names = true;
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

void aq_filter_underflowed(aq_filter *filter)
{
	filter->underflowed = true;
}

void aq_filter_calls(aq_filter *filter, int64_t min, int64_t max)
{
	filter->min_calls = min;
	filter->max_calls = max;
}

static uint32_t next_char(const char *s, size_t len, size_t *at)
{
	size_t n;
	uint32_t code = aq_utf8(s + *at, len - *at, &n);

	*at += n;
	return code;
}

/* Is `c` in the class whose '[' is at *at - 1? Moves *at behind its ']'. */
static bool in_class(const char *p, size_t len, size_t *at, uint32_t c)
{
	bool negated = *at < len && p[*at] == '!', member = false, first = true;

	if (negated)
		(*at)++;
	while (*at < len && (first || p[*at] != ']')) {
		uint32_t low = next_char(p, len, at), high = low;

		if (*at + 1 < len && p[*at] == '-' && p[*at + 1] != ']') {
			(*at)++;
			high = next_char(p, len, at);
		}
		if (low <= c && c <= high)
			member = true;
		first = false;
	}
	if (*at < len)
		(*at)++;
	return member != negated;
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

static bool is_exact(const struct aq_pattern_item *p, struct aq_str s)
{
	return p->len == s.len && !memcmp(p->s, s.s, s.len);
}

/* Is `s` below the directory? p->s may end in a slash. */
static bool is_below(const struct aq_pattern_item *p, struct aq_str s)
{
	size_t len = p->len - (p->len && p->s[p->len - 1] == '/');

	return s.len > len && s.s[len] == '/' && !memcmp(s.s, p->s, len);
}

static bool is_tail(const struct aq_pattern_item *p, struct aq_str s)
{
	if (s.len <= p->len)
		return is_exact(p, s);
	return s.s[s.len - p->len - 1] == '/' && !memcmp(s.s + s.len - p->len, p->s, p->len);
}

/* Is it a run of the path's components, or the last one up to its suffix? */
static bool is_anywhere(const struct aq_pattern_item *p, struct aq_str s)
{
	size_t len = p->len - (p->len && p->s[p->len - 1] == '/');

	for (size_t at = 0; len && at + len <= s.len;) {
		const char *slash;
		char end = at + len < s.len ? s.s[at + len] : '/';

		if (!memcmp(s.s + at, p->s, len) &&
		    (end == '/' || (end == '.' && !memchr(s.s + at + len, '/', s.len - at - len))))
			return p->len == len || at + len < s.len;
		slash = memchr(s.s + at, '/', s.len - at);
		if (!slash)
			return false;
		at = (size_t)(slash + 1 - s.s);
	}
	return false;
}

static bool matches(const struct aq_pattern_item *p, struct aq_str s)
{
	switch (p->kind) {
	case AQ_GLOB:
		return aq_glob(p->s, p->len, s.s, s.len);
	case AQ_TAIL:
		return is_tail(p, s) || is_below(p, s);
	case AQ_BELOW:
		return is_below(p, s);
	case AQ_ANYWHERE:
		return is_anywhere(p, s);
	default:
		return is_exact(p, s);
	}
}

/* Is it at the pattern's lines, in its module and function, where it has any? */
static bool is_there(const struct aq_pattern_item *p, const struct aq_tag *tag)
{
	return (!p->has_lines || (p->low <= tag->line && tag->line <= p->high)) &&
	       (!p->module.len || (tag->has_module && aq_same(p->module, tag->module))) &&
	       (!p->function.len || aq_same(p->function, tag->function));
}

/*
 * Does any pattern match? Without a tag only the name `s` of built-in code is known: a pattern that
 * asks for more counts as `unknown`, one that asks for a module does not match.
 */
static bool matches_any(const struct aq_pattern_list *names, struct aq_str s, const struct aq_tag *tag,
			bool unknown)
{
	for (size_t i = 0; i < names->len; i++) {
		const struct aq_pattern_item *p = &names->items[i];

		if (tag ? !is_there(p, tag) : (p->has_lines && !unknown) || p->module.len)
			continue;
		if (matches(p, s))
			return true;
	}
	return false;
}

static bool matches_line(const aq_filter *filter, uint64_t line)
{
	for (size_t i = 0; i < filter->n_lines; i++)
		if (filter->lines[i].low <= line && line <= filter->lines[i].high)
			return true;
	return false;
}

bool aq_match_counter(const aq_filter *filter, int64_t bytes, uint64_t calls, bool accurate)
{
	return bytes >= filter->min_size && bytes <= filter->max_size &&
	       (int64_t)calls >= filter->min_calls && (int64_t)calls <= filter->max_calls &&
	       (!filter->underflowed || aq_is_underflowed(bytes, calls)) &&
	       (filter->accuracy < 0 || (filter->accuracy != 0) == accurate);
}

size_t aq_filter_weight(const aq_filter *filter)
{
	size_t weight = 1 + filter->word_functions.len + filter->word_modules.len;

	for (int field = 0; field <= AQ_WORD; field++)
		weight += filter->names[field].len;
	return weight;
}

bool aq_match_names(const aq_filter *filter, const struct aq_tag *tag)
{
	const struct aq_pattern_list *names = filter->names;

	if (!filter->has_names)
		return true;
	if (filter->n_lines && !matches_line(filter, tag->line))
		return false;
	if (names[AQ_FILE].len && !matches_any(&names[AQ_FILE], tag->file, tag, false))
		return false;
	if (filter->builtin && tag->has_module)
		return false;
	if (names[AQ_MODULE].len && !(tag->has_module && matches_any(&names[AQ_MODULE], tag->module, tag, false)))
		return false;
	if (names[AQ_FUNCTION].len && !matches_any(&names[AQ_FUNCTION], tag->function, tag, false))
		return false;
	if (names[AQ_WORD].len && !matches_any(&names[AQ_WORD], tag->file, tag, false) &&
	    !matches_any(&filter->word_functions, tag->function, tag, false) &&
	    !(tag->has_module && matches_any(&filter->word_modules, tag->module, tag, false)))
		return false;
	return !(names[AQ_EXCLUDE].len && matches_any(&names[AQ_EXCLUDE], tag->file, tag, false));
}

bool aq_filter_asks_counters(const aq_filter *filter)
{
	return filter->min_size != INT64_MIN || filter->max_size != INT64_MAX ||
	       filter->min_calls != INT64_MIN || filter->max_calls != INT64_MAX || filter->underflowed ||
	       filter->accuracy >= 0;
}

/* An empty range in the class members s[start..end): its position, or `end`. */
static size_t empty_range(const char *s, size_t start, size_t end)
{
	for (size_t at = start; at < end;) {
		size_t first = at;
		uint32_t low = next_char(s, end, &at);

		if (at + 1 < end && s[at] == '-') {
			at++;
			if (next_char(s, end, &at) < low)
				return first;
		}
	}
	return end;
}

enum aq_pattern aq_pattern_check(const char *s, size_t len, size_t *at)
{
	*at = 0;
	if (!len)
		return AQ_PATTERN_EMPTY;
	if (memchr(s, '\0', len))
		return AQ_PATTERN_NUL;
	for (const char *open = s; (open = memchr(open, '[', len - (size_t)(open - s))) != NULL;) {
		size_t start = (size_t)(open - s) + 1;
		const char *close;
		size_t end;

		start += start < len && s[start] == '!';
		/* A ']' that comes first is a member. */
		close = start + 1 < len ? memchr(s + start + 1, ']', len - start - 1) : NULL;
		if (!close)
			return AQ_PATTERN_OPEN;
		end = (size_t)(close - s);
		*at = empty_range(s, start, end);
		if (*at < end)
			return AQ_PATTERN_RANGE;
		open = close + 1;
	}
	return AQ_PATTERN_OK;
}

bool aq_may_match(const aq_filter *filter, struct aq_str file, struct aq_str function)
{
	const struct aq_pattern_list *names = filter->names;
	bool ignored;

	if (names[AQ_MODULE].len || (names[AQ_FILE].len && !matches_any(&names[AQ_FILE], file, NULL, true)))
		return false;
	if (names[AQ_FUNCTION].len || names[AQ_WORD].len)
		function = aq_function(function.s, function.len, &ignored);
	if (names[AQ_FUNCTION].len && !matches_any(&names[AQ_FUNCTION], function, NULL, true))
		return false;
	if (names[AQ_WORD].len && !matches_any(&names[AQ_WORD], file, NULL, true) &&
	    !matches_any(&filter->word_functions, function, NULL, true))
		return false;
	return !(names[AQ_EXCLUDE].len && matches_any(&names[AQ_EXCLUDE], file, NULL, false));
}
