/*
 * The native program: words read as flags, and a saved text answered, against a slow reading of both.
 * It is built with little room (see fuzz.py), so small texts outgrow it.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "failing.h"
#include "front.h"

enum { MOST_WORDS = 24, MOST_LINES = 64, MOST_OUT = 1 << 20, MOST_FAILING = 64 };

/* What was written, and how writing goes. */
static struct {
	bool caught;
	char *out, *said;
	size_t len, said_len, writes;
	size_t fails_at; /* which write fails, from 1; 0: none */
	int error;	 /* with what; EINTR and EAGAIN only once */
	bool is_short;
} output;

ssize_t __real_write(int fd, const void *data, size_t len);

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
	if (!output.caught)
		return __real_write(fd, data, len);
	CHECK(len && (fd == STDOUT_FILENO || fd == STDERR_FILENO));
	if (fd == STDERR_FILENO) {
		CHECK(output.said_len + len < MOST_OUT);
		memcpy(output.said + output.said_len, data, len);
		output.said_len += len;
		return (ssize_t)len;
	}
	output.writes++;
	if (output.fails_at && (output.error == EINTR || output.error == EAGAIN ?
					output.writes == output.fails_at :
					output.writes >= output.fails_at)) {
		errno = output.error;
		return -1;
	}
	if (output.is_short && len > 5)
		len = 5;
	CHECK(output.len + len < MOST_OUT);
	memcpy(output.out + output.len, data, len);
	output.len += len;
	return (ssize_t)len;
}

/* What the words ask for, read apart from flags.c. */
struct pattern {
	const char *s;
	char which; /* f, F, m or x */
};

struct asked {
	struct pattern patterns[MOST_WORDS];
	uint64_t lines[MOST_WORDS][2];
	size_t n_patterns, n_lines;
	int64_t min_size, max_size;
	int64_t min_calls, max_calls;
	uint64_t limit;
	bool has_min_size, has_max_size, has_min_calls, has_max_calls, has_limit;
	bool builtin, accurate, inaccurate, underflowed, reverse, count, quiet, sample;
	int header, sort, interface;
	const char *format, *path;
};

static const struct {
	const char *name;
	char letter; /* 0: none */
	bool value;
} known[] = {
	{ "file", 'f', true },	       { "function", 'F', true },   { "module", 'm', true },
	{ "exclude", 'x', true },      { "line", 'l', true },	    { "min-size", 0, true },
	{ "max-size", 0, true },       { "min-calls", 0, true },    { "max-calls", 0, true },
	{ "format", 'o', true },       { "sort", 's', true },	    { "limit", 'n', true },
	{ "source", 0, true },	       { "interface", 0, true },    { "builtin", 0, false },
	{ "accurate", 0, false },      { "inaccurate", 0, false },  { "reverse", 'r', false },
	{ "count", 'c', false },       { "quiet", 'q', false },	    { "sample", 0, false },
	{ "underflowed", 0, false },
	{ "bytes", 0, false },	       { "header", 0, false },	    { "no-header", 0, false },
};

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

/* Characters, each [...] closed and no range in it empty. */
static bool is_pattern(const char *s)
{
	uint32_t codes[512];
	size_t len = strlen(s), n = 0;

	for (size_t at = 0, width; at < len; at += width)
		codes[n++] = aq_utf8(s + at, len - at, &width);
	for (size_t i = 0; i < n; i++) {
		size_t member = i + 1, close;

		if (codes[i] != '[')
			continue;
		member += member < n && codes[member] == '!';
		for (close = member + 1; close < n && codes[close] != ']';)
			close++;
		if (close >= n)
			return false;
		while (member < close) {
			if (member + 2 < close && codes[member + 1] == '-') {
				if (codes[member + 2] < codes[member])
					return false;
				member += 3;
			} else {
				member++;
			}
		}
		i = close;
	}
	return n > 0;
}

static bool is_one_of(const char *value, const char *const *words, int *which)
{
	for (*which = 0; words[*which]; ++*which)
		if (!strcmp(words[*which], value))
			return true;
	return false;
}

static bool is_count(const char *s, size_t len, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)(s[i] - '0');

		if (s[i] < '0' || s[i] > '9' || *value > (UINT64_MAX - digit) / 10)
			return false;
		*value = *value * 10 + digit;
	}
	return len > 0;
}

static bool take_size(const char *value, bool *has, int64_t *bound, bool least)
{
	bool negative = *value == '-';
	int64_t size;

	if (aq_parse_size(value + negative, strlen(value + negative), &size) != AQ_NUMBER_OK)
		return false;
	size = negative ? -size : size;
	*bound = *has ? (least == (size < *bound) ? size : *bound) : size;
	return *has = true;
}

static bool take_calls(const char *value, bool *has, int64_t *bound, bool least)
{
	bool negative = *value == '-';
	uint64_t count;
	int64_t calls;

	if (!is_count(value + negative, strlen(value + negative), &count) || count > INT64_MAX)
		return false;
	calls = negative ? -(int64_t)count : (int64_t)count;
	*bound = *has ? (least == (calls < *bound) ? calls : *bound) : calls;
	return *has = true;
}

static bool take(struct asked *asked, const char *name, const char *value)
{
	static const char *const sorts[] = { "none", "bytes", "calls", "average", "file", "function",
					     "module", NULL };
	static const char *const interfaces[] = { "auto", "ioctl", "text", NULL };
	static const char *const formats[] = { "procfs", "table", "json", "jsonl", "csv", "tsv", NULL };
	int which;

	if (!strcmp(name, "file") || !strcmp(name, "function") || !strcmp(name, "module") ||
	    !strcmp(name, "exclude")) {
		char letter = *name == 'e' ? 'x' : name[1] == 'u' ? 'F' : *name;

		asked->patterns[asked->n_patterns++] = (struct pattern){ value, letter };
		return is_pattern(value);
	}
	if (!strcmp(name, "line")) {
		size_t first = strcspn(value, "-");
		uint64_t *range = asked->lines[asked->n_lines++];

		if (!is_count(value, first, &range[0]))
			return false;
		range[1] = range[0];
		if (value[first] && !is_count(value + first + 1, strlen(value + first + 1), &range[1]))
			return false;
		return range[0] <= range[1];
	}
	if (!strcmp(name, "min-size"))
		return take_size(value, &asked->has_min_size, &asked->min_size, true);
	if (!strcmp(name, "max-size"))
		return take_size(value, &asked->has_max_size, &asked->max_size, false);
	if (!strcmp(name, "min-calls"))
		return take_calls(value, &asked->has_min_calls, &asked->min_calls, true);
	if (!strcmp(name, "max-calls"))
		return take_calls(value, &asked->has_max_calls, &asked->max_calls, false);
	if (!strcmp(name, "format"))
		return is_one_of(asked->format = value, formats, &which);
	if (!strcmp(name, "sort"))
		return is_one_of(value, sorts, &asked->sort);
	if (!strcmp(name, "interface"))
		return is_one_of(value, interfaces, &asked->interface);
	if (!strcmp(name, "limit"))
		return asked->has_limit = is_count(value, strlen(value), &asked->limit);
	if (!strcmp(name, "source"))
		return *(asked->path = value);
	asked->builtin |= !strcmp(name, "builtin");
	asked->accurate |= !strcmp(name, "accurate");
	asked->underflowed |= !strcmp(name, "underflowed");
	asked->inaccurate |= !strcmp(name, "inaccurate");
	asked->reverse |= !strcmp(name, "reverse");
	asked->count |= !strcmp(name, "count");
	asked->quiet |= !strcmp(name, "quiet");
	asked->sample |= !strcmp(name, "sample");
	if (!strcmp(name, "header") || !strcmp(name, "no-header"))
		asked->header = *name == 'h';
	return true;
}

/* -1: no such flag. */
static int find(const char *name, size_t len, char letter)
{
	for (int i = 0; i < KNOWN; i++)
		if (letter ? known[i].letter == letter :
			     strlen(known[i].name) == len && !strncmp(known[i].name, name, len))
			return i;
	return -1;
}

static bool read_words(char *const *words, struct asked *asked)
{
	*asked = (struct asked){ .header = -1, .min_size = INT64_MIN, .max_size = INT64_MAX,
				 .min_calls = INT64_MIN, .max_calls = INT64_MAX };
	for (; *words; words++) {
		const char *word = *words, *equals = strchr(word, '=');

		if (word[0] == '-' && word[1] == '-' && word[2]) {
			size_t len = equals ? (size_t)(equals - word - 2) : strlen(word + 2);
			int i = find(word + 2, len, 0);
			const char *value = equals ? equals + 1 : i >= 0 && known[i].value ? *++words : "";

			if (i < 0 || (equals && !known[i].value) || !value || !take(asked, known[i].name, value))
				return false;
			continue;
		}
		if (word[0] != '-' || word[1] == '-' || !word[1])
			return false;
		for (word++; *word; word++) {
			int i = find(NULL, 0, *word);

			if (i < 0)
				return false;
			if (known[i].value) {
				if (!word[1] && !*++words)
					return false;
				if (!take(asked, known[i].name, word[1] ? word + 1 : *words))
					return false;
				break;
			}
			if (!take(asked, known[i].name, ""))
				return false;
		}
	}
	for (size_t i = 0; i < asked->n_patterns; i++)
		if (asked->builtin && asked->patterns[i].which == 'm')
			return false;
	return !(asked->accurate && asked->inaccurate) && !(asked->sample && asked->path) &&
	       asked->min_size <= asked->max_size && asked->min_calls <= asked->max_calls;
}

static void check_query(const struct asked *asked, const struct query *query)
{
	static const char *const names[] = { [FRONT_TABLE] = "table", [FRONT_JSON] = "json",
					     [FRONT_PROCFS] = "procfs", [FRONT_JSONL] = "jsonl",
					     [FRONT_CSV] = "csv", [FRONT_TSV] = "tsv" };

	CHECK((query->format == FRONT_DEFAULT) == !asked->format);
	CHECK(!asked->format || !strcmp(names[query->format], asked->format));
	CHECK((int)query->sort == asked->sort && (int)query->interface == asked->interface);
	CHECK(query->reverse == asked->reverse && query->count == asked->count);
	CHECK(query->quiet == asked->quiet && query->sample == asked->sample);
	CHECK(query->has_limit == asked->has_limit && query->limit == asked->limit);
	CHECK(query->header == asked->header && query->path == asked->path);
}

/* `FILE:N` or `FILE:N-M`: the length of FILE, which is all of it without lines. */
static size_t path_len(const char *p, uint64_t range[2])
{
	const char *colon = strrchr(p, ':'), *dash = colon ? strchr(colon, '-') : NULL;
	size_t first = colon ? (dash ? (size_t)(dash - colon - 1) : strlen(colon + 1)) : 0;

	range[0] = 0;
	range[1] = UINT64_MAX;
	if (!colon || colon == p || !is_count(colon + 1, first, &range[0]) ||
	    (dash && !is_count(dash + 1, strlen(dash + 1), &range[1])) || (dash && range[1] < range[0])) {
		range[0] = 0;
		range[1] = UINT64_MAX;
		return strlen(p);
	}
	if (!dash)
		range[1] = range[0];
	return (size_t)(colon - p);
}

static bool has_glob(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] == '*' || p[i] == '?' || p[i] == '[')
			return true;
	return false;
}

/* A path: the whole one, its last components, a directory above it, or a glob. */
static bool path_matches(const char *p, struct aq_str s, uint64_t line)
{
	uint64_t range[2];
	size_t len = path_len(p, range), dir;
	bool slash, whole;
	const char *base = p;

	if (line < range[0] || line > range[1])
		return false;
	if (has_glob(p, len))
		return aq_glob(p, len, s.s, s.len);
	slash = p[len - 1] == '/';
	dir = len - slash;
	for (size_t i = 0; i < len; i++)
		if (p[i] == '/')
			base = p + i + 1;
	whole = *p == '/' && memchr(base, '.', len - (size_t)(base - p));
	if (!slash && s.len == len && !memcmp(p, s.s, len))
		return true;
	if (!slash && whole)
		return false;
	if (s.len > dir && s.s[dir] == '/' && !memcmp(s.s, p, dir))
		return true;
	return !slash && s.len > len && s.s[s.len - len - 1] == '/' && !memcmp(s.s + s.len - len, p, len);
}

/* A module as people write it: xfs, [xfs], xfs.ko.zst, nf-conntrack. */
static bool module_matches(const char *p, struct aq_str s)
{
	size_t len = strlen(p);
	const char *suffix;

	if (len > 2 && *p == '[' && p[len - 1] == ']' && p[1] != '!' && !strchr(p + 1, '['))
		p++, len -= 2;
	if (has_glob(p, len))
		return aq_glob(p, len, s.s, s.len);
	suffix = memmem(p, len, ".ko", 3);
	if (suffix && suffix > p && (suffix + 3 == p + len || suffix[3] == '.'))
		len = (size_t)(suffix - p);
	if (s.len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((p[i] == '-' ? '_' : p[i]) != s.s[i])
			return false;
	return true;
}

static bool function_matches(const char *p, struct aq_str s)
{
	size_t len;

	p += !strncmp(p, "func:", 5) && p[5] ? 5 : 0;
	len = strlen(p);
	if (has_glob(p, len))
		return aq_glob(p, len, s.s, s.len);
	return s.len == len && !memcmp(p, s.s, len);
}

/* Does one of the patterns of this kind match? -1: there is none. */
static int matches_one(const struct asked *asked, char which, struct aq_str s, uint64_t line)
{
	int result = -1;

	for (size_t i = 0; i < asked->n_patterns; i++) {
		const char *p = asked->patterns[i].s;

		if (asked->patterns[i].which != which)
			continue;
		if (result < 0)
			result = 0;
		result |= which == 'm' ? module_matches(p, s) :
			  which == 'F' ? function_matches(p, s) : path_matches(p, s, line);
	}
	return result;
}

static bool matches(const struct asked *asked, const struct aq_tag *tag)
{
	bool on_line = !asked->n_lines;

	for (size_t i = 0; i < asked->n_lines; i++)
		on_line |= asked->lines[i][0] <= tag->line && tag->line <= asked->lines[i][1];
	return on_line && matches_one(asked, 'f', tag->file, tag->line) && matches_one(asked, 'F', tag->function, 0) &&
	       matches_one(asked, 'x', tag->file, tag->line) <= 0 && !(asked->builtin && tag->has_module) &&
	       (tag->has_module ? matches_one(asked, 'm', tag->module, 0) != 0 :
				  matches_one(asked, 'm', tag->file, 0) < 0) &&
	       tag->bytes >= asked->min_size && tag->bytes <= asked->max_size &&
	       (int64_t)tag->calls >= asked->min_calls && (int64_t)tag->calls <= asked->max_calls &&
	       (!asked->underflowed || tag->bytes < 0 || tag->calls >> 63) &&
	       !(asked->accurate && !tag->accurate) && !(asked->inaccurate && tag->accurate);
}

/* What a text holds, line by line. */
struct answer {
	aq_table *table;
	char version[2][16]; /* of the first header: if it is before the first match, and wherever it is */
	size_t tags, headers, before_error;
	bool is_bad; /* reading must end in a complaint or be handed over, unless it may stop before */
};

static bool same(struct aq_str a, struct aq_str b)
{
	return a.len == b.len && !memcmp(a.s, b.s, a.len);
}

static bool same_tag(const struct aq_tag *a, const struct aq_tag *b)
{
	return same(a->file, b->file) && a->line == b->line && a->has_module == b->has_module &&
	       same(a->module, b->module) && same(a->function, b->function);
}

/* Code that several files include comes several times. */
static bool counts(const struct aq_tag *tag)
{
	static const char *const ends[] = { ".h", ".rs", "binfmt_elf.c" };

	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(ends[i]);

		if (tag->file.len >= n && !memcmp(tag->file.s + tag->file.len - n, ends[i], n))
			return false;
	}
	return true;
}

/* The tags so far: does `tag` show that another listing has begun? */
struct tags {
	struct aq_tag all[MOST_LINES * 8];
	size_t len, last;
};

static bool begins_again(struct tags *tags, const struct aq_tag *tag, bool header, size_t number)
{
	bool again = false;

	if (!counts(tag))
		return false;
	for (size_t i = 0; i < (header && tags->len ? 1 : tags->len); i++)
		again |= same_tag(&tags->all[i], tag);
	if (header && tags->len) {
		bool apart = number != tags->last + 1;

		tags->last = again ? number : tags->last;
		return again && apart;
	}
	tags->last = number;
	CHECK(tags->len < sizeof(tags->all) / sizeof(tags->all[0]));
	tags->all[tags->len++] = *tag;
	return again;
}

static void read_answer(const struct asked *asked, const char *text, size_t len, struct answer *answer)
{
	const char *end = text + len, *newline;
	static struct tags seen[2];
	bool several = false;

	memset(seen, 0, sizeof(seen));
	for (; (newline = memchr(text, '\n', (size_t)(end - text))) != NULL; text = newline + 1) {
		size_t n = (size_t)(newline - text);
		struct aq_str version;
		struct aq_tag tag;

		answer->before_error = answer->table->len;
		answer->is_bad = true;
		if (n >= LONGEST_LINE)
			return;
		n -= n && text[n - 1] == '\r';
		switch (aq_parse_line(text, n, &tag)) {
		case AQ_LINE_BAD:
			return;
		case AQ_LINE_TAG:
			answer->tags++;
			several |= begins_again(&seen[answer->headers > 0], &tag, answer->headers > 0, answer->tags);
			if (matches(asked, &tag))
				CHECK(!aq_table_add_line(answer->table, &tag, text, n));
			break;
		case AQ_LINE_HEADER:
			several |= answer->headers || answer->tags;
			version = aq_header_version(text, n);
			if (!answer->headers++ && version.len && version.len < 16) {
				memcpy(answer->version[1], version.s, version.len);
				if (!answer->table->len)
					memcpy(answer->version[0], version.s, version.len);
			}
			break;
		case AQ_LINE_COMMENT:
			if (is_newer(text, n))
				return;
		}
	}
	answer->before_error = answer->table->len;
	answer->is_bad = several || end - text >= LONGEST_LINE || (!answer->tags && !answer->headers);
}

struct bytes {
	char *s;
	size_t len;
};

static void add(struct bytes *to, const char *s, size_t len)
{
	CHECK(to->len + len < MOST_OUT);
	if (len)
		memcpy(to->s + to->len, s, len);
	to->len += len;
}

static void add_cell(struct bytes *to, struct aq_str s, bool csv)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++)
		quoted |= csv && strchr("\",\n\r", s.s[i]) && s.s[i];
	if (quoted)
		add(to, "\"", 1);
	for (size_t i = 0; i < s.len; i++) {
		const char *odd = csv || !s.s[i] ? NULL : strchr("\t\n\r\\", s.s[i]);

		if (odd) {
			add(to, "\\", 1);
			add(to, *odd == '\t' ? "t" : *odd == '\n' ? "n" : *odd == '\r' ? "r" : "\\", 1);
			continue;
		}
		if (csv && s.s[i] == '"')
			add(to, "\"", 1);
		add(to, s.s + i, 1);
	}
	if (quoted)
		add(to, "\"", 1);
}

static void add_json(struct bytes *to, struct aq_str s)
{
	char *quoted = malloc(6 * s.len + 2);

	CHECK(quoted);
	add(to, quoted, aq_quote_json(s.s, s.len, quoted, 6 * s.len + 2));
	free(quoted);
}

static void add_row(struct bytes *to, const aq_table *table, const struct aq_row *row, const char *format)
{
	struct aq_str file = aq_row_str(table, row, row->file, row->file_len);
	struct aq_str module = aq_row_str(table, row, row->module, row->module_len);
	struct aq_str function = aq_row_str(table, row, row->function, row->function_len);
	const char *accurate = row->accurate ? "true" : "false";
	bool csv = !strcmp(format, "csv");
	char number[64];

#define ADD(...) add(to, number, (size_t)snprintf(number, sizeof(number), __VA_ARGS__))
	if (!strcmp(format, "procfs")) {
		add(to, table->text + row->text, row->text_len);
		add(to, "\n", 1);
	} else if (!strcmp(format, "jsonl")) {
		ADD("{\"bytes\":%lld,\"calls\":%lld,\"file\":", (long long)row->bytes, (long long)row->calls);
		add_json(to, file);
		ADD(",\"line\":%llu,\"module\":%s", (unsigned long long)row->line, row->has_module ? "" : "null");
		if (row->has_module)
			add_json(to, module);
		ADD(",\"function\":");
		add_json(to, function);
		ADD(",\"accurate\":%s}\n", accurate);
	} else {
		char between = csv ? ',' : '\t';

		ADD("%lld%c%lld%c", (long long)row->bytes, between, (long long)row->calls, between);
		add_cell(to, file, csv);
		ADD("%c%llu%c", between, (unsigned long long)row->line, between);
		add_cell(to, module, csv);
		ADD("%c", between);
		add_cell(to, function, csv);
		ADD("%c%s\n", between, accurate);
	}
#undef ADD
}

static void add_header(struct bytes *to, const struct asked *asked, const char *format, const char *version)
{
	static const char names[] = "bytes,calls,file,line,module,function,accurate\n";
	char head[128];

	if (!strcmp(format, "procfs") && asked->header == 1) {
		int n = snprintf(head, sizeof(head),
				 "allocinfo - version: %s\n#     <size>  <calls> <tag info>\n",
				 *version ? version : "2.0");
		add(to, head, (size_t)n);
	}
	for (const char *c = names; *c && asked->header && (*format == 'c' || *format == 't'); c++)
		add(to, *c == ',' && *format == 't' ? "\t" : c, 1);
}

static void expect(const struct asked *asked, const struct answer *answer, const char *version,
		   struct bytes *out)
{
	const char *format = asked->format ? asked->format : "procfs";
	size_t rows = answer->table->len;
	uint32_t order[MOST_LINES * 8];
	char number[32];

	out->len = 0;
	if (asked->quiet)
		return;
	if (asked->count) {
		add(out, number, (size_t)snprintf(number, sizeof(number), "%zu\n", rows));
		return;
	}
	add_header(out, asked, format, version);
	CHECK(rows <= sizeof(order) / sizeof(order[0]));
	CHECK(!aq_order(answer->table, asked->sort, asked->reverse, NULL, order));
	if (asked->has_limit && asked->limit < rows)
		rows = (size_t)asked->limit;
	for (size_t i = 0; i < rows; i++)
		add_row(out, answer->table, &answer->table->rows[order[i]], format);
}

/* Whole lines with a known beginning, and nothing that a terminal could act on. */
static void check_said(void)
{
	for (size_t at = 0; at < output.said_len;) {
		const char *line = output.said + at, *end = memchr(line, '\n', output.said_len - at);

		CHECK(end && (!strncmp(line, "allocq: ", 8) || (at && !strncmp(line, "hint: ", 6))));
		for (; line < end; line++)
			CHECK((unsigned char)*line >= 0x20 && *line != 0x7f);
		at = (size_t)(end + 1 - output.said);
	}
}

static bool said(const char *words)
{
	return memmem(output.said, output.said_len, words, strlen(words));
}

struct run {
	const struct query *query;
	const char *text;
	size_t len;
	bool stream;
};

static int open_text(const struct run *run)
{
	int ends[2], fd = run->stream ? -1 : memfd_create("text", MFD_CLOEXEC);

	if (run->stream) {
		CHECK(!pipe2(ends, O_CLOEXEC));
		fd = ends[1];
	}
	CHECK(fd >= 0 && __real_write(fd, run->text, run->len) == (ssize_t)run->len);
	if (!run->stream) {
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		return fd;
	}
	close(ends[1]);
	return ends[0];
}

/* Nothing is lost of a stream: what was read of it is kept, and the rest is still to be read. */
static void check_handed_over(const struct run *run, const aq_source *source)
{
	size_t len = source->kept_len, left = run->len - len;
	char rest[4096];

	CHECK(source->kept && len <= run->len && left <= sizeof(rest));
	CHECK(!memcmp(source->kept, run->text, len));
	CHECK(read(source->fd, rest, sizeof(rest)) == (ssize_t)left && !memcmp(rest, run->text + len, left));
}

/* Answer once, allocation number `failing` failing; returns the status. */
static int answer_once(const struct run *run, size_t failing, bool *failed)
{
	char path[] = "a\x1b[2Jtext";
	aq_source source = { .path = path, .fd = open_text(run), .regular = !run->stream };
	aq_problem problem;
	int status;

	output.len = output.said_len = output.writes = 0;
	output.caught = true;
	begin_failing(failing);
	status = front_answer(run->query, &source, &problem);
	if (status == STATUS_HAND_OVER) {
		CHECK(!output.len);
		if (run->stream)
			check_handed_over(run, &source);
		status = front_complain(&problem);
	}
	free(source.kept);
	*failed = end_failing();
	output.caught = false;
	close(source.fd);
	check_said();
	return status;
}

/*
 * An error is said, and nothing is half-done but what a stream has outgrown, or what is written as
 * it comes because there is so much of it, when memory runs out.
 */
static void check_complaint(const struct run *run, const struct bytes *expected, bool failed)
{
	CHECK(output.said_len > 0);
	CHECK(!output.len || (run->stream && output.len > HELD) || (failed && expected->len > HELD));
	CHECK(!output.len || (output.len <= expected->len && !memcmp(output.out, expected->s, output.len)));
}

static bool is_expected(const struct bytes *expected)
{
	return output.len == expected->len && !memcmp(output.out, expected->s, output.len);
}

static void check_answer(const struct run *run, const struct asked *asked, struct bytes *expected)
{
	struct answer answer = { .table = aq_table_new() };
	uint64_t enough = asked->quiet ? 1 : asked->limit ? asked->limit : 1;
	bool failed, may_stop, as_answered, all = !asked->quiet && !asked->count;
	int status, good;

	CHECK(answer.table);
	read_answer(asked, run->text, run->len, &answer);
	may_stop = answer.before_error >= enough &&
		   (asked->quiet || (all && asked->has_limit && !asked->sort && !asked->reverse));
	good = answer.table->len ? STATUS_MATCH : STATUS_NO_MATCH;
	for (size_t failing = 0; failing < MOST_FAILING; failing++) {
		status = answer_once(run, failing, &failed);
		as_answered = false;
		for (int i = 0; i < 2 && !as_answered; i++) {
			expect(asked, &answer, answer.version[i], expected);
			as_answered = is_expected(expected);
		}
		if (failing && !failed)
			break;
		if (output.fails_at && output.writes >= output.fails_at && output.error != EINTR &&
		    output.error != EAGAIN) {
			CHECK(status == (output.error == EPIPE ? STATUS_CLOSED_PIPE : STATUS_ERROR));
			CHECK((output.error == EPIPE) == !output.said_len);
			CHECK(output.len <= expected->len);
		} else if (failed) {
			CHECK(status == STATUS_ERROR && (said("out of memory") || answer.is_bad));
			check_complaint(run, expected, failed);
		} else if (status == STATUS_ERROR) {
			CHECK(answer.is_bad);
			check_complaint(run, expected, failed);
		} else {
			CHECK(!answer.is_bad || may_stop);
			CHECK(status == good && as_answered);
		}
	}
	aq_table_free(answer.table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int errors[] = { EPIPE, ENOSPC, EINTR, EAGAIN, EIO };
	static char words_room[512], *words[MOST_WORDS + 1], *expected_room;
	struct input in = { data, data + size };
	uint8_t how = byte(&in), failure = byte(&in);
	const uint8_t *bar = memchr(in.at, '|', left(&in));
	size_t words_len = bar ? (size_t)(bar - in.at) : left(&in), n = 0;
	struct bytes expected;
	struct run run = { .stream = how & 1 };
	struct asked asked;
	struct query query;
	bool accepted;

	if (words_len >= sizeof(words_room))
		return 0;
	if (!output.out) {
		output.out = malloc(MOST_OUT);
		output.said = malloc(MOST_OUT);
		expected_room = malloc(MOST_OUT);
		CHECK(output.out && output.said && expected_room);
	}
	expected = (struct bytes){ expected_room, 0 };
	/* Words are apart by newlines; a NUL ends one too, as it would in a process's arguments. */
	memcpy(words_room, in.at, words_len);
	words_room[words_len] = '\0';
	for (size_t at = 0; at <= words_len && n < MOST_WORDS; at += strlen(words_room + at) + 1) {
		words_room[at + strcspn(words_room + at, "\n")] = '\0';
		words[n++] = words_room + at;
	}
	words[n] = NULL;
	if (n == 1 && !words[0][0])
		words[0] = NULL;
	accepted = front_read_flags(words, &query);
	CHECK(accepted == read_words(words, &asked));
	if (accepted) {
		check_query(&asked, &query);
		run.query = &query;
		run.len = bar ? left(&in) - words_len - 1 : 0;
		run.text = exact(bar ? bar + 1 : in.at, run.len);
		output.is_short = how & 2;
		output.fails_at = failure & 0xf;
		output.error = errors[(failure >> 4) % 5];
		if (how & 4)
			output.fails_at = 0;
		if (!asked.format || (strcmp(asked.format, "table") && strcmp(asked.format, "json")))
			check_answer(&run, &asked, &expected);
		free((char *)run.text);
	}
	aq_filter_clear(&query.filter);
	for (size_t failing = 1; accepted; failing++) {
		bool failed;

		begin_failing(failing);
		accepted = front_read_flags(words, &query);
		failed = end_failing();
		aq_filter_clear(&query.filter);
		CHECK(accepted == !failed);
		if (!failed)
			break;
	}
	return 0;
}
