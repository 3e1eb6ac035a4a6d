// SPDX-License-Identifier: MIT
/* What two tables have in common is dropped from both. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* A row by what makes it equal to another: its names and line as they stand, and its counters. */
struct key {
	uint64_t hash;
	int64_t bytes;
	uint64_t calls;
	struct aq_str subject;
	size_t row;
};

/* By hash first, because it seldom ties; a hash made to tie costs comparisons, not a longer walk. */
static int compare_keys(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	if (x->calls != y->calls)
		return x->calls < y->calls ? -1 : 1;
	if (x->subject.len != y->subject.len)
		return x->subject.len < y->subject.len ? -1 : 1;
	return memcmp(x->subject.s, y->subject.s, x->subject.len);
}

/* Of equal rows the first ones are dropped, whatever the sort does with equals. */
static int compare_places(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order = compare_keys(x, y);

	return order ? order : (x->row > y->row) - (x->row < y->row);
}

static int sorted_keys(const aq_table *table, const aq_hooks *hooks, struct key **sorted)
{
	struct key *keys = *sorted = malloc(table->len * sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < table->len; i++) {
		const struct aq_row *row = &table->rows[i];
		struct key *key = &keys[i];

		key->bytes = row->bytes;
		key->calls = row->calls;
		key->subject = aq_row_subject(table, row);
		key->hash = aq_hash(0, key->subject.s, key->subject.len);
		key->row = i;
	}
	return aq_sort(keys, table->len, sizeof(*keys), compare_places, hooks);
}

static void mark_common(const struct key *a, size_t a_len, const struct key *b, size_t b_len,
			uint8_t *keep_a, uint8_t *keep_b)
{
	for (size_t i = 0, j = 0; i < a_len && j < b_len;) {
		int order = compare_keys(&a[i], &b[j]);

		if (!order) {
			keep_a[a[i].row] = 0;
			keep_b[b[j].row] = 0;
		}
		i += order <= 0;
		j += order >= 0;
	}
}

int aq_table_cancel(aq_table *table, aq_table *other, const aq_hooks *hooks)
{
	size_t rows = table->len + other->len;
	struct key *a = NULL, *b = NULL;
	uint8_t *keep = NULL;
	int error;

	if (!table->len || !other->len)
		return 0;
	error = sorted_keys(table, hooks, &a);
	if (!error)
		error = sorted_keys(other, hooks, &b);
	if (!error && !(keep = malloc(rows)))
		error = -ENOMEM;
	if (!error) {
		memset(keep, 1, rows);
		mark_common(a, table->len, b, other->len, keep, keep + table->len);
		aq_table_keep(table, keep);
		aq_table_keep(other, keep + (rows - other->len));
	}
	free(a);
	free(b);
	free(keep);
	return error;
}
