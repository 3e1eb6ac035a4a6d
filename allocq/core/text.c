// SPDX-License-Identifier: MIT
/* A text read as it comes: from a descriptor or in pieces, in constant memory but for matches. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

/* tests/fuzz builds it with less of each. */
#ifndef CHUNK
#define CHUNK (64 << 10)
#endif
#ifndef LONGEST_LINE
#define LONGEST_LINE (1 << 20)
#endif

enum {
	MOST_METADATA = 64 << 10,
	BREATH = 16 << 20,
	MOST_KEPT = 64 << 20,
	KEPT_AT_FIRST = 1 << 20, /* room for most listings; only what is used is memory */
	LEAST_SKIMMED = 4096,
	PRUNE_AT = 128,
	LEAST_NUMBERED = 3,
};

struct aq_text {
	const aq_filter *filter;
	struct aq_skim skim;
	aq_table *table;
	char *buffer;
	size_t cap, start, end; /* buffer[start..end) is not read yet */
	bool keeps;		/* buffer[0..start) is all that was read */
	size_t searched; /* how many bytes from `start` on hold no newline */
	uint64_t line, tags, headers, bytes;
	char version[16];
	char *metadata; /* `# key: value` lines, newline-separated */
	size_t metadata_len;
	size_t top;	 /* how many of the largest tags are kept; 0: all */
	int64_t least;	 /* smaller tags cannot be among them */
	uint64_t breath; /* bytes times weight after which the caller may look for a Ctrl-C */
	size_t weight;
	bool ended, several, trusted;
	bool stripped; /* the first tag does not end with the kernel's blank */
	bool cut;      /* the last line has no newline, and nothing shows that it is whole */
	uint64_t numbered; /* tags whose size is their number */
	uint64_t swapped, upright; /* tags with fewer bytes than calls, and with as many or more */
	struct aq_seen *seen;
};

aq_text *aq_text_new(const aq_filter *filter, aq_table *table)
{
	aq_text *text = calloc(1, sizeof(*text));

	if (!text)
		return NULL;
	text->filter = filter;
	text->table = table;
	text->cap = CHUNK;
	text->breath = BREATH;
	text->least = INT64_MIN;
	text->skim = aq_skim_of(filter);
	text->weight = aq_filter_weight(filter);
	text->buffer = malloc(text->cap + AQ_SLACK);
	text->metadata = calloc(1, 1);
	text->seen = aq_seen_new();
	if (!text->buffer || !text->metadata || !text->seen) {
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
	free(text->metadata);
	aq_seen_free(text->seen);
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

void aq_text_trust(aq_text *text)
{
	text->trusted = true;
}

int aq_text_several(const aq_text *text)
{
	return text->several;
}

uint64_t aq_text_bytes(const aq_text *text)
{
	return text->bytes;
}

uint64_t aq_text_unfinished(const aq_text *text)
{
	return text->ended ? text->end - text->start : 0;
}

bool aq_text_is_cut(const aq_text *text)
{
	return text->cut;
}

const char *aq_text_version(const aq_text *text)
{
	return text->version;
}

void aq_text_set_breath(aq_text *text, uint64_t bytes)
{
	text->breath = bytes;
}

const char *aq_text_metadata_lines(const aq_text *text)
{
	return text->metadata;
}

static int add_metadata(aq_text *text, const char *line, size_t len)
{
	char *metadata;

	if (text->metadata_len + len + 1 > MOST_METADATA)
		return 0;
	metadata = realloc(text->metadata, text->metadata_len + len + 2);
	if (!metadata)
		return -ENOMEM;
	text->metadata = metadata;
	memcpy(metadata + text->metadata_len, line, len);
	text->metadata_len += len;
	metadata[text->metadata_len++] = '\n';
	metadata[text->metadata_len] = '\0';
	return 0;
}

static void take_header(aq_text *text, const char *line, size_t len)
{
	struct aq_str version = aq_header_version(line, len);

	text->several |= text->headers || text->tags;
	if (text->headers++ || !version.len || version.len >= sizeof(text->version))
		return;
	memcpy(text->version, version.s, version.len);
	text->version[version.len] = '\0';
}

/* `# key: value`; the kernel's own second line is not. */
static bool is_metadata(const char *line, size_t len)
{
	return len > 2 && line[1] == ' ' && line[2] != ' ' && memchr(line, ':', len);
}

/* A snapshot's format version is checked where it stands, before any tag behind it is believed. */
static bool is_newer(const char *line, size_t len)
{
	struct aq_str key, value;
	uint64_t version;

	return aq_metadata_entry(line, len, &key, &value) && key.len == sizeof(AQ_SNAPSHOT_KEY) - 1 &&
	       !memcmp(key.s, AQ_SNAPSHOT_KEY, key.len) &&
	       (aq_parse_count(value.s, value.len, &version) != AQ_NUMBER_OK ||
		version > AQ_SNAPSHOT_VERSION);
}

static enum aq_result from_errno(int error)
{
	if (!error)
		return AQ_DONE;
	errno = -error;
	return AQ_ERROR;
}

void aq_text_keep_top(aq_text *text, size_t top)
{
	text->top = top;
}

/*
 * Drop all but the `top` largest tags, and from now on pass by what is not larger than the smallest
 * of them: of equal tags, the first ones in kernel order are shown.
 */
static int prune(aq_text *text)
{
	aq_table *table = text->table;
	uint32_t *order = malloc(table->len * sizeof(*order));
	uint8_t *keep = calloc(table->len, 1);
	int error = order && keep ? aq_order(table, AQ_SORT_BYTES, 0, NULL, order) : -ENOMEM;

	if (!error) {
		text->least = table->rows[order[text->top - 1]].bytes;
		text->least += text->least < INT64_MAX;
		for (size_t i = 0; i < text->top; i++)
			keep[order[i]] = 1;
		aq_table_keep(table, keep);
		text->skim.counters = true;
		if (text->skim.min_size < text->least)
			text->skim.min_size = text->least;
	}
	free(order);
	free(keep);
	return error;
}

/*
 * Another listing may begin without a header. Behind a header that of a whole listing does, with the
 * same first tag; without one, any tag that comes again is suspicious. 0 or -errno.
 */
static int look_for_second(aq_text *text, const struct aq_tag *tag, const char *line, size_t len)
{
	size_t left = len - (size_t)(tag->file.s - line);
	int again;

	if (text->several)
		return 0;
	if (!text->headers) {
		again = aq_seen_add(text->seen, tag);
	} else {
		bool had_first = aq_seen_has_first(text->seen);

		again = aq_seen_first_again(text->seen, tag, text->tags);
		if (!had_first && aq_seen_has_first(text->seen) && left >= sizeof(text->skim.first)) {
			memcpy(text->skim.first, tag->file.s, sizeof(text->skim.first));
			text->skim.has_first = true;
		}
	}
	text->several = again > 0;
	return again < 0 ? again : 0;
}

/*
 * Without a header: the lines were numbered and a column is missing, or the first two columns were
 * swapped, as no call holds less than a byte. The lenient reader says so.
 */
static bool has_other_columns(aq_text *text, const struct aq_tag *tag)
{
	text->numbered += (uint64_t)tag->bytes == text->tags;
	text->upright += tag->bytes > 0 && (uint64_t)tag->bytes >= tag->calls;
	text->swapped += tag->bytes >= 0 && (uint64_t)tag->bytes < tag->calls && tag->calls <= INT64_MAX;
	if (text->headers || text->trusted)
		return false;
	return (text->tags == LEAST_NUMBERED && text->numbered == text->tags) ||
	       (text->swapped == LEAST_NUMBERED && !text->upright);
}

static enum aq_result take_tag(aq_text *text, const struct aq_tag *tag, const char *line, size_t len)
{
	int error;

	if (!text->tags++)
		text->stripped = line[len - 1] != ' ';
	if (has_other_columns(text, tag))
		return AQ_BAD_LINE;
	error = look_for_second(text, tag, line, len);
	if (error)
		return from_errno(error);
	if (tag->bytes < text->least || !aq_match_counter(text->filter, tag->bytes, tag->calls, tag->accurate) ||
	    !aq_match_names(text->filter, tag))
		return AQ_DONE;
	error = aq_table_add_line(text->table, tag, line, len);
	/* Not each time: pruning costs a sort of what is there. */
	if (!error && text->top && text->table->len >= PRUNE_AT && text->table->len / 4 >= text->top)
		error = prune(text);
	return from_errno(error);
}

static enum aq_result take_line(aq_text *text, const char *line, size_t len)
{
	struct aq_tag tag;

	text->line++;
	if (len && line[len - 1] == '\r')
		len--;
	switch (aq_parse_line(line, len, &tag)) {
	case AQ_LINE_TAG:
		/* Under the kernel's header they are part of the name. */
		if (!text->headers && !text->trusted && aq_has_marks(line, len))
			return AQ_BAD_LINE;
		return take_tag(text, &tag, line, len);
	case AQ_LINE_HEADER:
		take_header(text, line, len);
		return AQ_DONE;
	case AQ_LINE_COMMENT:
		if (!is_metadata(line, len))
			return AQ_DONE;
		return is_newer(line, len) ? AQ_NEWER : from_errno(add_metadata(text, line, len));
	default:
		return AQ_BAD_LINE;
	}
}

static void skim_lines(aq_text *text)
{
	size_t left = text->end - text->start;
	uint64_t most = text->breath / text->weight;
	const char *at = text->buffer + text->start;
	uint64_t lines = 0;

	if ((!text->skim.counters && !text->skim.names) || text->searched || !text->skim.has_first)
		return;
	if (most < LEAST_SKIMMED)
		most = LEAST_SKIMMED;
	text->start += aq_skim(&text->skim, at, at + (most < left ? most : left), &lines);
	text->line += lines;
	text->tags += lines;
}

/*
 * Is what stands behind the last newline a whole tag? The kernel ends one with a blank. Where the first
 * tag has none, it may still be whole.
 */
static bool ends_whole(aq_text *text, const char *line, size_t len)
{
	size_t n = len - (line[len - 1] == '\r');
	struct aq_tag tag;

	if (!n || aq_parse_line(line, n, &tag) != AQ_LINE_TAG)
		return false;
	text->cut = line[n - 1] != ' ';
	return !text->cut || (text->tags ? text->stripped : !text->headers);
}

/* Read the whole lines at hand; *work is added to. AQ_DONE: more bytes are needed. */
static enum aq_result take_lines(aq_text *text, size_t max_rows, uint64_t *work)
{
	while (text->start < text->end) {
		size_t begin = text->start, left;
		const char *line, *newline;
		enum aq_result result;

		if (*work >= text->breath)
			return AQ_MORE;
		skim_lines(text);
		line = text->buffer + text->start;
		left = text->end - text->start;
		newline = memchr(line + text->searched, '\n', left - text->searched);
		if (!newline) {
			text->searched = left;
			if (!text->ended || left >= LONGEST_LINE || !ends_whole(text, line, left))
				break;
			newline = line + left;
		}
		if (newline - line >= LONGEST_LINE) {
			text->line++;
			return AQ_LONG_LINE;
		}
		if (text->table->len >= max_rows)
			return AQ_MORE;
		result = take_line(text, line, (size_t)(newline - line));
		if (result != AQ_DONE)
			return result;
		text->start += (size_t)(newline - line) + ((size_t)(newline - line) < left);
		text->searched = 0;
		*work += (text->start - begin) * text->weight;
	}
	return AQ_DONE;
}

/* Room for `want` more bytes behind what is not read yet. */
static enum aq_result make_room(aq_text *text, size_t want)
{
	size_t left = text->end - text->start, cap;
	char *bigger;

	if (left >= LONGEST_LINE) {
		text->line++;
		return AQ_LONG_LINE;
	}
	text->keeps = text->keeps && text->end <= MOST_KEPT;
	if (text->start && !text->keeps) {
		memmove(text->buffer, text->buffer + text->start, left);
		text->start = 0;
		text->end = left;
	}
	if (want <= text->cap - text->end)
		return AQ_DONE;
	if (want > SIZE_MAX / 2)
		return from_errno(-EOVERFLOW);
	cap = text->end + want + (text->keeps ? text->end : 0);
	bigger = realloc(text->buffer, cap + AQ_SLACK);
	if (!bigger)
		return from_errno(-ENOMEM);
	text->buffer = bigger;
	text->cap = cap;
	return AQ_DONE;
}

enum aq_result aq_text_read(aq_text *text, int fd, size_t max_rows)
{
	uint64_t work = 0;

	for (uint64_t begin = text->bytes;;) {
		enum aq_result result = take_lines(text, max_rows, &work);
		ssize_t got;

		if (result != AQ_DONE || text->ended)
			return result;
		if (text->bytes - begin >= text->breath)
			return AQ_MORE;
		result = make_room(text, CHUNK / 2);
		if (result != AQ_DONE)
			return result;
		got = read(fd, text->buffer + text->end, text->cap - text->end);
		if (got < 0)
			return errno == EINTR ? AQ_MORE : AQ_ERROR;
		text->ended = got == 0;
		text->end += (size_t)got;
		text->bytes += (uint64_t)got;
	}
}

int aq_text_keep(aq_text *text)
{
	text->keeps = true;
	return make_room(text, KEPT_AT_FIRST) == AQ_DONE ? 0 : -errno;
}

const char *aq_text_kept(const aq_text *text, size_t *len)
{
	*len = text->end;
	return text->keeps ? text->buffer : NULL;
}

char *aq_text_take_kept(aq_text *text, size_t *len)
{
	char *kept = text->buffer;

	*len = text->end;
	text->buffer = NULL;
	text->cap = text->start = text->end = 0;
	text->keeps = false;
	return kept;
}

int aq_text_drain(aq_text *text, int fd)
{
	while (text->keeps && !text->ended) {
		ssize_t got;

		text->start = text->end;
		text->searched = 0;
		if (make_room(text, CHUNK / 2) != AQ_DONE)
			return -errno;
		got = read(fd, text->buffer + text->end, text->cap - text->end);
		if (got < 0 && errno != EINTR)
			return -errno;
		text->ended = got == 0;
		text->end += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

enum aq_result aq_text_feed(aq_text *text, const char *data, size_t len)
{
	enum aq_result result = make_room(text, len);

	if (result != AQ_DONE)
		return result;
	if (len)
		memcpy(text->buffer + text->end, data, len);
	text->end += len;
	text->bytes += len;
	text->ended = len == 0;
	return AQ_DONE;
}

enum aq_result aq_text_take(aq_text *text, size_t max_rows)
{
	uint64_t work = 0;

	return take_lines(text, max_rows, &work);
}

enum aq_result aq_text_take_all(aq_text *text, const aq_hooks *hooks)
{
	enum aq_result result;

	do
		result = aq_text_take(text, SIZE_MAX);
	while (result == AQ_MORE && !aq_stopped(hooks));
	return result == AQ_MORE ? AQ_STOPPED : result;
}

int aq_text_is_tag(const char *line, size_t len)
{
	struct aq_tag tag;

	return aq_parse_line(line, len, &tag) == AQ_LINE_TAG && !aq_has_marks(line, len);
}

enum aq_result aq_text_parse(const char *data, size_t len, const aq_filter *filter, aq_table *table)
{
	aq_text *text = aq_text_new(filter, table);
	enum aq_result result = text ? aq_text_feed(text, data, len) : AQ_ERROR;

	if (result == AQ_DONE)
		result = aq_text_take_all(text, NULL);
	aq_text_free(text);
	return result;
}
