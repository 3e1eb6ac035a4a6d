/* What the C files share with each other and Python does not see. */
#ifndef ALLOCQ_NATIVE_H
#define ALLOCQ_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"

/* The kernel knows a name by its last 63 bytes (mm/alloc_tag.c, allocinfo_str()). */
#define AQ_KERNEL_NAME 63

struct aq_str {
	const char *s;
	size_t len;
};

/* One tag, its names pointing into somebody's memory. */
struct aq_tag {
	int64_t bytes;
	uint64_t calls;
	uint64_t line;
	struct aq_str file, module, function;
	bool has_module, accurate;
};

/* One tag as the table keeps it: `text` is its line (without newline), names are parts of it. */
struct aq_row {
	int64_t bytes;
	uint64_t calls;
	uint64_t line;
	size_t text;
	uint32_t text_len;
	uint32_t file, file_len;
	uint32_t module, module_len;
	uint32_t function, function_len;
	bool has_module, accurate, trimmed;
};

struct aq_table {
	struct aq_row *rows;
	size_t len, cap;
	char *text;
	size_t text_len, text_cap;
	size_t trimmed;
};

/* Add a tag with the line it was read from; the names of `tag` point into that line. */
int aq_table_add_line(aq_table *table, const struct aq_tag *tag, const char *line, size_t len);
/* Add a tag, writing its line as the kernel would. */
int aq_table_add(aq_table *table, const struct aq_tag *tag, bool trimmed);

/* Can the tag that the kernel returned, its names trimmed, be row i? Fills *whole from the row. */
bool aq_row_is(const aq_table *table, size_t i, const struct aq_tag *kernel, struct aq_tag *whole);

static inline struct aq_str aq_row_str(const aq_table *table, const struct aq_row *row, uint32_t at,
				       uint32_t len)
{
	return (struct aq_str){ table->text + row->text + at, len };
}

/* `FILE:LINE [MODULE] func:FUNCTION`, as the line has it. */
static inline struct aq_str aq_row_subject(const aq_table *table, const struct aq_row *row)
{
	return aq_row_str(table, row, row->file, row->function + row->function_len - row->file);
}

bool aq_match_counter(const aq_filter *filter, int64_t bytes, uint64_t calls, bool accurate);
bool aq_match_names(const aq_filter *filter, const struct aq_tag *tag);
bool aq_glob(const char *pattern, size_t pattern_len, const char *s, size_t len);

/* What skimming needs of a filter. */
struct aq_skim {
	const aq_filter *filter;
	bool counters, names;
	int64_t min_size, max_size;
	uint64_t min_calls, max_calls;
};

/* Readable bytes that must lie behind the text. */
#define AQ_SLACK 128

struct aq_skim aq_skim_of(const aq_filter *filter);
/* Could built-in code with this file match? `function` is the line from the function's name on. */
bool aq_may_match(const aq_filter *filter, struct aq_str file, struct aq_str function);
/* Returns the bytes of the lines at `start` that are tags and do not match; adds to *lines. */
size_t aq_skim(const struct aq_skim *skim, const char *start, const char *end, uint64_t *lines);

enum aq_line_kind { AQ_LINE_TAG, AQ_LINE_HEADER, AQ_LINE_NOTE, AQ_LINE_BAD };
/* Read one line without its newline. Only a tag fills *tag. */
enum aq_line_kind aq_parse_line(const char *line, size_t len, struct aq_tag *tag);

/* Write a number in decimal; returns its length, at most 20. */
size_t aq_decimal(uint64_t value, char *out);

#endif
