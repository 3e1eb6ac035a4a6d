// SPDX-License-Identifier: MIT
/* The table of tags: one block of lines, one of rows that point into it. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

aq_table *aq_table_new(void)
{
	return calloc(1, sizeof(struct aq_table));
}

void aq_table_free(aq_table *table)
{
	if (!table)
		return;
	free(table->rows);
	free(table->text);
	free(table);
}

void aq_table_clear(aq_table *table)
{
	table->len = table->text_len = table->trimmed = 0;
}

size_t aq_table_rows(const aq_table *table)
{
	return table->len;
}

/* Room for one more row and `len` bytes of its line. */
static int make_room(aq_table *table, size_t len)
{
	size_t need;
	struct aq_row *rows;
	char *text;

	if (len > UINT32_MAX || __builtin_add_overflow(table->text_len, len, &need))
		return -EOVERFLOW;
	rows = aq_grown(table->rows, &table->cap, table->len + 1, sizeof(*rows), 256);
	if (!rows)
		return -ENOMEM;
	table->rows = rows;
	text = aq_grown(table->text, &table->text_cap, need, 1, 16384);
	if (!text)
		return -ENOMEM;
	table->text = text;
	return 0;
}

int aq_table_add_line(aq_table *table, const struct aq_tag *tag, const char *line, size_t len)
{
	int error = make_room(table, len);

	if (error)
		return error;
	memcpy(table->text + table->text_len, line, len);
	table->rows[table->len++] = (struct aq_row){
		.bytes = tag->bytes,
		.calls = tag->calls,
		.line = tag->line,
		.text = table->text_len,
		.text_len = (uint32_t)len,
		.file = (uint32_t)(tag->file.s - line),
		.file_len = (uint32_t)tag->file.len,
		.module = tag->has_module ? (uint32_t)(tag->module.s - line) : 0,
		.module_len = tag->has_module ? (uint32_t)tag->module.len : 0,
		.function = (uint32_t)(tag->function.s - line),
		.function_len = (uint32_t)tag->function.len,
		.has_module = tag->has_module,
		.accurate = tag->accurate,
	};
	table->text_len += len;
	return 0;
}

void aq_table_swap(aq_table *table, aq_table *other)
{
	struct aq_table held = *table;

	*table = *other;
	*other = held;
}

int aq_table_append(aq_table *table, const aq_table *more)
{
	for (size_t i = 0; i < more->len; i++) {
		const struct aq_row *row = &more->rows[i];
		int error = make_room(table, row->text_len);

		if (error)
			return error;
		memcpy(table->text + table->text_len, more->text + row->text, row->text_len);
		table->rows[table->len] = *row;
		table->rows[table->len++].text = table->text_len;
		table->text_len += row->text_len;
		table->trimmed += row->trimmed;
	}
	return 0;
}

int aq_table_add(aq_table *table, const struct aq_tag *tag, bool trimmed)
{
	int error = make_room(table, aq_line_room(tag));
	struct aq_row *row;

	if (error)
		return error;
	row = &table->rows[table->len++];
	*row = (struct aq_row){ .bytes = tag->bytes, .calls = tag->calls, .line = tag->line,
				.text = table->text_len, .has_module = tag->has_module,
				.accurate = tag->accurate, .trimmed = trimmed };
	aq_format_line(tag, table->text + table->text_len, row);
	table->text_len += row->text_len;
	table->trimmed += trimmed;
	return 0;
}

static struct aq_tag row_tag(const aq_table *table, const struct aq_row *row)
{
	return (struct aq_tag){
		.bytes = row->bytes,
		.calls = row->calls,
		.line = row->line,
		.file = aq_row_str(table, row, row->file, row->file_len),
		.module = aq_row_str(table, row, row->module, row->module_len),
		.function = aq_row_str(table, row, row->function, row->function_len),
		.has_module = row->has_module,
		.accurate = row->accurate,
	};
}

void aq_table_keep(aq_table *table, const uint8_t *keep)
{
	size_t kept = 0;

	table->trimmed = 0;
	for (size_t i = 0; i < table->len; i++) {
		if (!keep[i])
			continue;
		table->trimmed += table->rows[i].trimmed;
		table->rows[kept++] = table->rows[i];
	}
	table->len = kept;
}

enum { PULSE_WORK = 1 << 20 }; /* names are compared with a pattern at about a byte a nanosecond */

static int match(const aq_table *table, const aq_filter *filter, const aq_hooks *hooks, bool counters,
		 uint8_t *keep, size_t *matching)
{
	size_t weight = aq_filter_weight(filter), work = 0;

	*matching = 0;
	for (size_t i = 0; i < table->len; i++) {
		struct aq_tag tag = row_tag(table, &table->rows[i]);

		keep[i] = (!counters || aq_match_counter(filter, tag.bytes, tag.calls, tag.accurate)) &&
			  aq_match_names(filter, &tag);
		*matching += keep[i];
		work += weight * table->rows[i].text_len;
		if (work < PULSE_WORK)
			continue;
		if (aq_stopped(hooks))
			return -ECANCELED;
		work = 0;
	}
	return 0;
}

int aq_table_filter(aq_table *table, const aq_filter *filter, const aq_hooks *hooks)
{
	uint8_t *keep = malloc(table->len + 1);
	size_t matching;
	int error = keep ? match(table, filter, hooks, true, keep, &matching) : -ENOMEM;

	if (!error && matching < table->len)
		aq_table_keep(table, keep);
	free(keep);
	return error;
}

int aq_table_match_names(const aq_table *table, const aq_filter *filter, const aq_hooks *hooks,
			 uint8_t *keep, size_t *matching)
{
	return match(table, filter, hooks, false, keep, matching);
}

size_t aq_table_count(const aq_table *table, const aq_filter *filter)
{
	size_t matching = 0;

	for (size_t i = 0; i < table->len; i++) {
		struct aq_tag tag = row_tag(table, &table->rows[i]);

		matching += aq_match_counter(filter, tag.bytes, tag.calls, tag.accurate) &&
			    aq_match_names(filter, &tag);
	}
	return matching;
}

/* A name as the kernel knows it. */
static struct aq_str trimmed(struct aq_str whole)
{
	size_t over = whole.len > AQ_KERNEL_NAME ? whole.len - AQ_KERNEL_NAME : 0;

	return (struct aq_str){ whole.s + over, whole.len - over };
}

bool aq_row_is(const aq_table *table, size_t i, const struct aq_tag *kernel, struct aq_tag *whole)
{
	*whole = row_tag(table, &table->rows[i]);
	return whole->line == kernel->line && whole->has_module == kernel->has_module &&
	       aq_same(trimmed(whole->file), kernel->file) &&
	       aq_same(trimmed(whole->function), kernel->function) &&
	       aq_same(trimmed(whole->module), kernel->module);
}

/* A tag that the kernel trims, as it names it, and the row with the whole names. */
struct trimmed_tag {
	struct aq_tag kernel;
	size_t row;
	bool ambiguous; /* another tag with other whole names looks the same */
};

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_strs(struct aq_str a, struct aq_str b)
{
	int order = compare_numbers(a.len, b.len);

	return order || !a.len ? order : memcmp(a.s, b.s, a.len);
}

/* By all that the kernel says of a tag but its counters. */
static int compare_trimmed(const void *x, const void *y)
{
	const struct aq_tag *a = &((const struct trimmed_tag *)x)->kernel;
	const struct aq_tag *b = &((const struct trimmed_tag *)y)->kernel;
	int order = compare_numbers(a->line, b->line);

	if (!order)
		order = compare_strs(a->file, b->file);
	if (!order)
		order = compare_strs(a->function, b->function);
	return order ? order : compare_strs(a->module, b->module);
}

static bool is_long(const struct aq_row *row)
{
	return row->file_len >= AQ_KERNEL_NAME || row->function_len >= AQ_KERNEL_NAME ||
	       row->module_len >= AQ_KERNEL_NAME;
}

static bool same_names(const aq_table *table, size_t a, size_t b)
{
	struct aq_tag x = row_tag(table, &table->rows[a]), y = row_tag(table, &table->rows[b]);

	return aq_same(x.file, y.file) && aq_same(x.function, y.function) && aq_same(x.module, y.module);
}

/* One for each tag that the kernel can tell from others; *len of them, sorted. NULL without memory. */
static struct trimmed_tag *trimmed_tags(const aq_table *names, size_t *len)
{
	struct trimmed_tag *tags = calloc(names->len + 1, sizeof(*tags));
	size_t found = 0;

	*len = 0;
	for (size_t i = 0; tags && i < names->len; i++) {
		struct aq_tag *kernel = &tags[found].kernel;

		if (!is_long(&names->rows[i]))
			continue;
		*kernel = row_tag(names, &names->rows[i]);
		kernel->file = trimmed(kernel->file);
		kernel->function = trimmed(kernel->function);
		kernel->module = trimmed(kernel->module);
		tags[found++].row = i;
	}
	if (found)
		qsort(tags, found, sizeof(*tags), compare_trimmed);
	for (size_t i = 0; i < found; i++) {
		struct trimmed_tag *last = *len ? &tags[*len - 1] : NULL;

		if (!last || compare_trimmed(last, &tags[i]))
			tags[(*len)++] = tags[i];
		else if (!same_names(names, last->row, tags[i].row))
			last->ambiguous = true;
	}
	return tags;
}

static enum aq_result failed(int error)
{
	errno = -error;
	return AQ_ERROR;
}

/* Copy the rows with whole names. Counters stay those of the rows. */
static enum aq_result resolve(const aq_table *table, const aq_table *names, const struct trimmed_tag *tags,
			      size_t len, aq_table *resolved)
{
	for (size_t i = 0; i < table->len; i++) {
		struct trimmed_tag key = { .kernel = row_tag(table, &table->rows[i]) };
		const struct trimmed_tag *found = NULL;
		struct aq_tag *tag = &key.kernel, whole;
		int error;

		if (table->rows[i].trimmed) {
			found = bsearch(&key, tags, len, sizeof(*tags), compare_trimmed);
			if (!found || found->ambiguous)
				return found ? AQ_AMBIGUOUS : AQ_STALE;
			whole = row_tag(names, &names->rows[found->row]);
			tag->file = whole.file;
			tag->function = whole.function;
			tag->module = whole.module;
		}
		error = aq_table_add(resolved, tag, false);
		if (error)
			return failed(error);
	}
	return AQ_DONE;
}

enum aq_result aq_table_resolve(aq_table *table, const aq_table *names)
{
	aq_table resolved = { 0 };
	size_t len;
	struct trimmed_tag *tags = trimmed_tags(names, &len);
	enum aq_result result = tags ? resolve(table, names, tags, len, &resolved) : failed(-ENOMEM);

	if (result == AQ_DONE)
		aq_table_swap(table, &resolved);
	free(resolved.rows);
	free(resolved.text);
	free(tags);
	return result;
}

/* The bytes behind the function beyond `accurate:no` and the blank at the end. */
static int64_t extra_of(const struct aq_row *row)
{
	int64_t known = (int64_t)row->function + row->function_len + 1;

	if (!row->accurate)
		known += (int64_t)strlen(" accurate:no");
	return (int64_t)row->text_len - known;
}

void aq_table_column(const aq_table *table, enum aq_column column, int64_t *out)
{
	for (size_t i = 0; i < table->len; i++) {
		const struct aq_row *row = &table->rows[i];

		switch (column) {
		case AQ_BYTES:
			out[i] = row->bytes;
			break;
		case AQ_CALLS:
			out[i] = (int64_t)row->calls;
			break;
		case AQ_LINE:
			out[i] = (int64_t)row->line;
			break;
		case AQ_INACCURATE:
			out[i] = !row->accurate;
			break;
		case AQ_BUILTIN:
			out[i] = !row->has_module;
			break;
		case AQ_EXTRA:
			out[i] = extra_of(row);
			break;
		}
	}
}

static struct aq_str string_of(const aq_table *table, const struct aq_row *row, enum aq_strings which)
{
	switch (which) {
	case AQ_S_FILE:
		return aq_row_str(table, row, row->file, row->file_len);
	case AQ_S_MODULE:
		return aq_row_str(table, row, row->module, row->module_len);
	case AQ_S_FUNCTION:
		return aq_row_str(table, row, row->function, row->function_len);
	default:
		return aq_row_subject(table, row);
	}
}

size_t aq_table_strings(const aq_table *table, enum aq_strings which, char *out, size_t cap)
{
	size_t need = 0;

	for (size_t i = 0; i < table->len; i++)
		need += string_of(table, &table->rows[i], which).len + 1;
	if (need > cap)
		return need;
	for (size_t i = 0; i < table->len; i++) {
		struct aq_str s = string_of(table, &table->rows[i], which);

		memcpy(out, s.s, s.len);
		out[s.len] = '\0';
		out += s.len + 1;
	}
	return need;
}

const char *aq_table_string(const aq_table *table, size_t row, enum aq_strings which, size_t *len)
{
	struct aq_str s = string_of(table, &table->rows[row], which);

	*len = s.len;
	return s.s;
}

bool aq_table_shared(const aq_table *table, const uint8_t *keep, enum aq_strings which, size_t *row)
{
	bool any = false;

	for (size_t i = 0; i < table->len; i++) {
		if (!keep[i])
			continue;
		if (!any)
			*row = i;
		else if (!aq_same(string_of(table, &table->rows[i], which),
				   string_of(table, &table->rows[*row], which)))
			return false;
		any = true;
	}
	return any;
}
