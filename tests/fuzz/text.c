/*
 * A text in arbitrary pieces, with a filter made from the input, against every line read alone:
 * text.c and skim.c must decide nothing that line.c and filter.c would decide otherwise.
 */
#include "check.h"

enum { MOST_LINES = 1024 };

struct expected {
	struct aq_tag tags[MOST_LINES];
	const char *lines[MOST_LINES];
	size_t lens[MOST_LINES];
	size_t matches;
	uint64_t read, tags_seen, headers, unfinished;
	enum aq_result result;
	bool blank; /* the first tag ends with a blank */
};

static struct expected expected;

static void name_from(aq_filter *filter, enum aq_field field, struct input *in, const char *text, size_t len)
{
	uint8_t how = byte(in), at = byte(in), size = byte(in);
	size_t from = len ? (size_t)at * 2 % len : 0;
	size_t n = size % 33 < len - from ? size % 33 : len - from;
	char pattern[64];
	const char *newline = n ? memchr(text + from, '\n', n) : NULL;

	if (newline)
		n = (size_t)(newline - text) - from;
	if (n)
		memcpy(pattern, text + from, n);
	if (how & 4)
		pattern[n++] = '*';
	if (how & 8) {
		memmove(pattern + 1, pattern, n++);
		pattern[0] = "*?["[how >> 4 & 1];
	}
	CHECK(!aq_filter_pattern(filter, field, how % 3, pattern, n));
}

/* Bounds are numbers that the text has, or the input's own. */
static uint64_t bound(struct input *in, const char *text, size_t len)
{
	uint8_t at = byte(in), how = byte(in);
	struct aq_tag tag;

	for (size_t i = 0; i < len; i++) {
		const char *end = i == 0 || text[i - 1] == '\n' ? memchr(text + i, '\n', len - i) : NULL;

		if (end && aq_parse_line(text + i, (size_t)(end - text) - i, &tag) == AQ_LINE_TAG && !at--)
			return (how & 1 ? (uint64_t)tag.bytes : tag.calls) + (how >> 1 & 3) - 1;
	}
	return (uint64_t)how << (at & 63);
}

static aq_filter *filter_from(struct input *in, const char *text, size_t len)
{
	aq_filter *filter = aq_filter_new();
	uint8_t which = byte(in), more = byte(in);

	CHECK(filter);
	for (int field = 0; field < 4; field++)
		for (int times = (which >> field * 2) & 3; times > 1; times--)
			name_from(filter, field, in, text, len);
	if (more & 1)
		aq_filter_sizes(filter, (int64_t)bound(in, text, len), INT64_MAX);
	if (more & 2)
		aq_filter_sizes(filter, INT64_MIN, (int64_t)bound(in, text, len));
	if (more & 4)
		aq_filter_calls(filter, (int64_t)bound(in, text, len), INT64_MAX);
	if (more & 8)
		aq_filter_calls(filter, INT64_MIN, (int64_t)bound(in, text, len));
	if (more & 16)
		CHECK(!aq_filter_line(filter, byte(in), (uint64_t)byte(in) << 4));
	if (more & 32)
		aq_filter_builtin(filter);
	if (more & 64)
		aq_filter_accuracy(filter, more >> 7);
	return filter;
}

static bool inside(struct aq_str s, const char *line, size_t len)
{
	return s.s >= line && s.s + s.len <= line + len;
}

/* One line alone, in memory of its own: 1 it matches, 0 it does not, -1 it ends the reading. */
static int alone(const aq_filter *filter, const char *line, size_t len, struct aq_tag *tag)
{
	char *copy = exact(line, len);
	enum aq_line_kind kind = aq_parse_line(copy, len, tag);
	int result = 0;

	if (kind == AQ_LINE_BAD)
		expected.result = AQ_BAD_LINE;
	if (kind == AQ_LINE_COMMENT && is_newer(copy, len))
		expected.result = AQ_NEWER;
	if (expected.result != AQ_DONE)
		result = -1;
	expected.headers += kind == AQ_LINE_HEADER;
	if (kind == AQ_LINE_TAG && !expected.tags_seen++)
		expected.blank = line[len - 1] == ' ';
	if (kind == AQ_LINE_TAG) {
		CHECK(inside(tag->file, copy, len) && inside(tag->function, copy, len));
		CHECK(inside(tag->module, copy, len) && tag->has_module == (tag->module.len > 0));
		CHECK(tag->file.len > 0 && tag->function.len > 0);
		result = aq_match_counter(filter, tag->bytes, tag->calls, tag->accurate) &&
			 aq_match_names(filter, tag);
		tag->file.s = line + (tag->file.s - copy);
		tag->module.s = line + (tag->module.s - copy);
		tag->function.s = line + (tag->function.s - copy);
	}
	free(copy);
	return result;
}

/* What is behind the last newline is a tag if it ends like the first one, or with the kernel's blank. */
static void expect_last(const aq_filter *filter, const char *line, size_t len)
{
	size_t n = len - (len && line[len - 1] == '\r');
	struct aq_tag tag;
	int found;

	expected.unfinished = len;
	if (!n || aq_parse_line(line, n, &tag) != AQ_LINE_TAG || (line[n - 1] != ' ' && (expected.tags_seen ? expected.blank : expected.headers > 0)))
		return;
	expected.unfinished = 0;
	expected.read++;
	found = alone(filter, line, n, &expected.tags[expected.matches]);
	if (found <= 0)
		return;
	expected.lines[expected.matches] = line;
	expected.lens[expected.matches++] = n;
}

static void expect(const aq_filter *filter, const char *text, size_t len)
{
	const char *line = text, *end = text + len, *newline;

	expected.matches = expected.read = expected.tags_seen = expected.headers = 0;
	expected.unfinished = 0;
	expected.blank = false;
	expected.result = AQ_DONE;
	while (line < end && (newline = memchr(line, '\n', (size_t)(end - line)))) {
		size_t n = (size_t)(newline - line);
		int found;

		expected.read++;
		if (n && line[n - 1] == '\r')
			n--;
		found = alone(filter, line, n, &expected.tags[expected.matches]);
		if (found < 0)
			return;
		if (found) {
			expected.lines[expected.matches] = line;
			expected.lens[expected.matches++] = n;
		}
		line = newline + 1;
	}
	expect_last(filter, line, (size_t)(end - line));
}

/* What is passed by is the same whatever lies behind the text, and all of it could be read. */
static void check_skim(const aq_filter *filter, const char *text, size_t len)
{
	struct aq_skim skim = aq_skim_of(filter);
	uint64_t lines[3] = { 0 };
	size_t passed[3];

	for (int behind = 0; behind < 3; behind++) {
		char *copy = malloc(len + AQ_SLACK);

		CHECK(copy);
		if (len)
			memcpy(copy, text, len);
		for (size_t i = 0; i < AQ_SLACK; i++)
			copy[len + i] = behind == 0 ? '\0' : behind == 1 ? '\n' : len ? text[i % len] : ':';
		passed[behind] = aq_skim(&skim, copy, copy + len, &lines[behind]);
		free(copy);
		CHECK(passed[behind] <= len);
		CHECK(passed[behind] == passed[0] && lines[behind] == lines[0]);
	}
	CHECK(!passed[0] || text[passed[0] - 1] == '\n');
}

static void check_batch(const aq_table *table, size_t from)
{
	check_rows(table);
	CHECK(from + table->len <= expected.matches);
	for (size_t i = 0; i < table->len; i++) {
		const struct aq_row *row = &table->rows[i];
		const struct aq_tag *tag = &expected.tags[from + i];
		struct aq_str line = { expected.lines[from + i], expected.lens[from + i] };

		CHECK(row->bytes == tag->bytes && row->calls == tag->calls && row->line == tag->line);
		CHECK(row->accurate == tag->accurate && row->has_module == tag->has_module);
		CHECK(equal(aq_row_str(table, row, 0, row->text_len), line));
		CHECK(equal(aq_row_str(table, row, row->file, row->file_len), tag->file));
		CHECK(equal(aq_row_str(table, row, row->module, row->module_len), tag->module));
		CHECK(equal(aq_row_str(table, row, row->function, row->function_len), tag->function));
	}
}

/* The kernel's own lines to the byte; JSON with nothing in it that a terminal could act on. */
static void check_render(const aq_table *table, size_t cap)
{
	size_t lines = 0;

	for (enum aq_format format = AQ_F_PROCFS; format <= AQ_F_TSV; format++) {
		size_t small, large;
		char *pieces = render(table, format, cap, &small);
		char *whole = render(table, format, 1 << 13, &large);

		CHECK(small == large && !memcmp(pieces ? pieces : "", whole ? whole : "", small));
		for (size_t i = 0; i < small && format != AQ_F_CSV && format != AQ_F_PROCFS; i++) {
			uint8_t c = (uint8_t)whole[i];

			CHECK(format == AQ_F_TSV || c >= 0x20 || c == '\n');
			CHECK(format == AQ_F_TSV || (c != 0x7f && c != 0xff && c != 0xc0));
			CHECK(format == AQ_F_TSV || c != 0xc2 || (uint8_t)whole[i + 1] >= 0xa0);
			lines += format != AQ_F_JSON && c == '\n';
		}
		free(pieces);
		free(whole);
	}
	CHECK(lines == 2 * table->len);
}

static void check_text(const aq_filter *filter, const char *text, size_t len, struct input *in)
{
	aq_table *table = aq_table_new();
	aq_text *reader = aq_text_new(filter, table);
	size_t piece = 1 + byte(in) % 128u, most = 1 + byte(in) % 8u, cap = byte(in) * 2u;
	size_t taken = 0, fed = 0;
	enum aq_result result = AQ_DONE;

	CHECK(table && reader);
	piece = piece > 120 ? len + 1 : piece;
	do {
		size_t n = fed < len ? (piece < len - fed ? piece : len - fed) : 0;
		char *copy = exact(text + fed, n);
		bool last = fed == len;

		CHECK(aq_text_feed(reader, copy, n) == AQ_DONE);
		free(copy);
		fed += n;
		do {
			result = aq_text_take(reader, most);
			CHECK(table->len <= most);
			check_batch(table, taken);
			if (table->len && taken == 0)
				check_render(table, cap);
			taken += table->len;
			aq_table_clear(table);
		} while (result == AQ_MORE);
		if (last)
			break;
	} while (result == AQ_DONE);
	CHECK(result == expected.result);
	CHECK(taken == expected.matches);
	CHECK(aq_text_line(reader) == expected.read && aq_text_tags(reader) == expected.tags_seen);
	CHECK(aq_text_headers(reader) == expected.headers);
	CHECK(result || aq_text_unfinished(reader) == expected.unfinished);
	CHECK(strlen(aq_text_version(reader)) < 16);
	CHECK(strlen(aq_text_metadata_lines(reader)) <= len + MOST_LINES);
	aq_text_free(reader);
	aq_table_free(table);
}

/* Bytes of the text changed where columns are: what is nearly the kernel's line, but is not. */
static void poke(struct input *in, char *text, size_t len)
{
	static const char odd[] = " 09-:[]\r\n\t#f\x80\xc3\0/";

	for (int times = byte(in) % 4; times > 0; times--) {
		size_t line = 0, column = byte(in) % 100u;
		uint8_t down = byte(in) % 4, what = byte(in);

		for (size_t i = 0; i < len && down; i++)
			if (text[i] == '\n' && down--)
				line = i + 1;
		if (line + column < len)
			text[line + column] = what & 1 ? odd[what / 2 % sizeof(odd)] : (char)what;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	size_t text = 0, len;
	const char *start = memchr(data, '|', size);
	aq_filter *filter;
	char *copy;

	/* The filter and the pieces come first, up to the first |. */
	if (start)
		text = (size_t)((const uint8_t *)start + 1 - data);
	len = size - text;
	if (len > MOST_LINES)
		return 0;
	in.end = data + text;
	copy = exact(data + text, len);
	poke(&in, copy, len);
	filter = filter_from(&in, copy, len);
	expect(filter, copy, len);
	check_skim(filter, copy, len);
	check_text(filter, copy, len, &in);
	aq_filter_free(filter);
	free(copy);
	return 0;
}
