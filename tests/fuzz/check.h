/* What the harnesses share: a failed check is a crash, which a fuzzer and a test both see. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The fuzzer's bytes, taken from the front; zeros when they are used up. */
struct input {
	const uint8_t *at, *end;
};

static inline uint8_t byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline size_t left(const struct input *in)
{
	return (size_t)(in->end - in->at);
}

static inline bool equal(struct aq_str a, struct aq_str b)
{
	return a.len == b.len && !memcmp(a.s, b.s, a.len);
}

/* A copy of exactly its size, so that a sanitizer sees a read behind it. */
static inline char *exact(const void *data, size_t len)
{
	char *copy = calloc(1, len ? len : 1);

	CHECK(copy);
	if (len)
		memcpy(copy, data, len);
	return copy;
}

/* `# allocq-snapshot: N` with another N than 0 or 1, or none at all. */
static inline bool is_newer(const char *line, size_t len)
{
	static const char key[] = "allocq-snapshot:";
	const size_t n = sizeof(key) - 1;
	size_t at = 2;

	if (len < 3 || line[1] != ' ' || line[2] == ' ')
		return false;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (len > at && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
		len--;
	if (len - at < n || memcmp(line + at, key, n))
		return false;
	for (at += n; at < len && (line[at] == ' ' || line[at] == '\t');)
		at++;
	while (at + 1 < len && line[at] == '0')
		at++;
	return len - at != 1 || (line[at] != '0' && line[at] != '1');
}

/* Every name lies inside its line and the lines inside the table. */
static inline void check_rows(const aq_table *table)
{
	size_t trimmed = 0;

	for (size_t i = 0; i < table->len; i++) {
		const struct aq_row *row = &table->rows[i];

		CHECK(row->text + row->text_len <= table->text_len);
		CHECK((size_t)row->file + row->file_len <= row->text_len);
		CHECK((size_t)row->module + row->module_len <= row->text_len);
		CHECK((size_t)row->function + row->function_len <= row->text_len);
		CHECK(row->file <= row->function && row->has_module == (row->module_len > 0));
		trimmed += row->trimmed;
	}
	CHECK(table->trimmed == trimmed);
}

/* Render in buffers of exactly `cap` bytes, larger only where one row needs it; returns all of it. */
static inline char *render(const aq_table *table, enum aq_format format, size_t cap, size_t *len)
{
	char *all = NULL;

	*len = 0;
	for (size_t at = 0, next; at < table->len; at = next) {
		char *buffer = malloc(cap ? cap : 1);
		size_t used;

		CHECK(buffer);
		used = aq_render(table, NULL, at, table->len, format, at == 0, buffer, cap, &next);
		CHECK(used <= cap && next >= at && next <= table->len);
		CHECK((used == 0) == (next == at));
		all = realloc(all, *len + used + 1);
		CHECK(all);
		memcpy(all + *len, buffer, used);
		*len += used;
		free(buffer);
		if (next == at)
			cap = cap * 2 + 1;
	}
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
