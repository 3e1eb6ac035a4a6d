/* What the harnesses share: a failed check is a crash, which a fuzzer and a test both see. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

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
	char *copy = malloc(len ? len : 1);

	CHECK(copy);
	if (len)
		memcpy(copy, data, len);
	return copy;
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
