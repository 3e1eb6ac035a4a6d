/* A text read as it comes: from a descriptor or in pieces, in constant memory but for matches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "native.h"

enum {
	CHUNK = 64 << 10,
	LONGEST_LINE = 1 << 20,
	MOST_NOTES = 64 << 10,
	BREATH = 64 << 20, /* bytes after which Python may look for a Ctrl-C */
};

struct aq_text {
	const aq_filter *filter;
	struct aq_skim skim;
	aq_table *table;
	char *buffer;
	size_t cap, start, end; /* buffer[start..end) is not read yet */
	uint64_t line, tags, headers, bytes;
	char version[16];
	char *notes;
	size_t notes_len;
	bool ended;
};

aq_text *aq_text_new(const aq_filter *filter, aq_table *table)
{
	aq_text *text = calloc(1, sizeof(*text));

	if (!text)
		return NULL;
	text->filter = filter;
	text->table = table;
	text->cap = CHUNK;
	text->skim = aq_skim_of(filter);
	text->buffer = malloc(text->cap + AQ_SLACK);
	text->notes = calloc(1, 1);
	if (!text->buffer || !text->notes) {
		aq_text_free(text);
		return NULL;
	}
	return text;
}

void aq_text_free(aq_text *text)
{
	if (!text)
		return;
	free(text->buffer);
	free(text->notes);
	free(text);
}

uint64_t aq_text_line(const aq_text *text)
{
	return text->line;
}

uint64_t aq_text_tags(const aq_text *text)
{
	return text->tags;
}

uint64_t aq_text_headers(const aq_text *text)
{
	return text->headers;
}

uint64_t aq_text_bytes(const aq_text *text)
{
	return text->bytes;
}

uint64_t aq_text_unfinished(const aq_text *text)
{
	return text->ended ? text->end - text->start : 0;
}

const char *aq_text_version(const aq_text *text)
{
	return text->version;
}

const char *aq_text_notes(const aq_text *text)
{
	return text->notes;
}

static int add_note(aq_text *text, const char *line, size_t len)
{
	char *notes;

	if (text->notes_len + len + 1 > MOST_NOTES)
		return 0;
	notes = realloc(text->notes, text->notes_len + len + 2);
	if (!notes)
		return -ENOMEM;
	text->notes = notes;
	memcpy(notes + text->notes_len, line, len);
	text->notes_len += len;
	notes[text->notes_len++] = '\n';
	notes[text->notes_len] = '\0';
	return 0;
}

static void see_header(aq_text *text, const char *line, size_t len)
{
	const char *version = memchr(line, ':', len);
	size_t n = version ? len - (size_t)(version + 2 - line) : 0;

	if (text->headers++ || !n || n >= sizeof(text->version))
		return;
	memcpy(text->version, version + 2, n);
	text->version[n] = '\0';
}

/* Notes are `# key: value`; the kernel's own second line is none. */
static bool is_note(const char *line, size_t len)
{
	return len > 2 && line[1] == ' ' && line[2] != ' ' && memchr(line, ':', len);
}

static int take_line(aq_text *text, const char *line, size_t len)
{
	struct aq_tag tag;

	text->line++;
	if (len && line[len - 1] == '\r')
		len--;
	switch (aq_parse_line(line, len, &tag)) {
	case AQ_LINE_TAG:
		text->tags++;
		if (!aq_match_counter(text->filter, tag.bytes, tag.calls, tag.accurate) ||
		    !aq_match_names(text->filter, &tag))
			return 0;
		return aq_table_add_line(text->table, &tag, line, len);
	case AQ_LINE_HEADER:
		see_header(text, line, len);
		return 0;
	case AQ_LINE_NOTE:
		return is_note(line, len) ? add_note(text, line, len) : 0;
	default:
		return AQ_BAD_LINE;
	}
}

static void skim_lines(aq_text *text)
{
	uint64_t lines = 0;

	if (!text->skim.counters && !text->skim.names)
		return;
	text->start += aq_skim(&text->skim, text->buffer + text->start, text->buffer + text->end, &lines);
	text->line += lines;
	text->tags += lines;
}

/* Read the whole lines at hand. AQ_DONE: more bytes are needed. */
static int take_lines(aq_text *text, size_t max_rows)
{
	while (text->start < text->end) {
		const char *line, *newline;
		int result;

		skim_lines(text);
		line = text->buffer + text->start;
		newline = memchr(line, '\n', text->end - text->start);
		if (!newline)
			break;
		if (newline - line >= LONGEST_LINE) {
			text->line++;
			return AQ_LONG_LINE;
		}
		if (text->table->len >= max_rows)
			return AQ_MORE;
		result = take_line(text, line, (size_t)(newline - line));
		if (result)
			return result;
		text->start += (size_t)(newline - line) + 1;
	}
	return AQ_DONE;
}

/* Room for `want` more bytes behind what is not read yet. */
static int make_room(aq_text *text, size_t want)
{
	size_t left = text->end - text->start;
	char *bigger;

	if (left >= LONGEST_LINE) {
		text->line++;
		return AQ_LONG_LINE;
	}
	if (text->start) {
		memmove(text->buffer, text->buffer + text->start, left);
		text->start = 0;
		text->end = left;
	}
	if (left + want <= text->cap)
		return 0;
	bigger = realloc(text->buffer, left + want + AQ_SLACK);
	if (!bigger)
		return -ENOMEM;
	text->buffer = bigger;
	text->cap = left + want;
	return 0;
}

int aq_text_read(aq_text *text, int fd, size_t max_rows)
{
	for (uint64_t begin = text->bytes;;) {
		int result = take_lines(text, max_rows);
		ssize_t got;

		if (result || text->ended)
			return result;
		if (text->bytes - begin >= BREATH)
			return AQ_MORE;
		result = make_room(text, CHUNK / 2);
		if (result)
			return result;
		got = read(fd, text->buffer + text->end, text->cap - text->end);
		if (got < 0)
			return errno == EINTR ? AQ_MORE : -errno;
		text->ended = got == 0;
		text->end += (size_t)got;
		text->bytes += (uint64_t)got;
	}
}

int aq_text_feed(aq_text *text, const char *data, size_t len)
{
	int error = make_room(text, len);

	if (error)
		return error;
	memcpy(text->buffer + text->end, data, len);
	text->end += len;
	text->bytes += len;
	text->ended = len == 0;
	return AQ_DONE;
}

int aq_text_take(aq_text *text, size_t max_rows)
{
	return take_lines(text, max_rows);
}
