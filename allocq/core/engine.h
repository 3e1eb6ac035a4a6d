/* SPDX-License-Identifier: MIT */
/* What the C files share with each other and Python does not see. */
#ifndef ALLOCQ_ENGINE_H
#define ALLOCQ_ENGINE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "api.h"

#define AQ_ALLOCINFO "/proc/allocinfo"
/* The kernel knows a name by its last 63 bytes (mm/alloc_tag.c, allocinfo_str()). */
#define AQ_KERNEL_NAME 63
/* Readable bytes that must lie behind the text being skimmed. */
#define AQ_SLACK 128

struct aq_str {
	const char *s;
	size_t len;
};

static inline bool aq_same(struct aq_str a, struct aq_str b)
{
	return a.len == b.len && !memcmp(a.s, b.s, a.len);
}

#define AQ_STR(literal) ((struct aq_str){ literal, sizeof(literal) - 1 })

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

/* memory.c */
/*
 * `block` with room for `need` items, grown by half if it must; NULL (block is kept) where memory is
 * short or the size overflows.
 */
void *aq_grown(void *block, size_t *cap, size_t need, size_t item, size_t least);

/* sort.c */
/* Stable. 0; -ENOMEM; -ECANCELED where the hooks asked to stop: the order is then any. */
int aq_sort(void *items, size_t n, size_t size, int (*compare)(const void *, const void *),
	    const aq_hooks *hooks);

/* utf8.c */
/* The code point at s, its length in *n; a byte that is not UTF-8 is 0xdc00 + byte (PEP 383). */
uint32_t aq_utf8(const char *s, size_t len, size_t *n);
/* Does a terminal act on it or hide it? */
bool aq_is_hidden(uint32_t code);

/* table.c */
/* Add a tag with the line it was read from; the names of `tag` point into that line. */
int aq_table_add_line(aq_table *table, const struct aq_tag *tag, const char *line, size_t len);
/* Add a tag, its line as the kernel prints it. */
int aq_table_add(aq_table *table, const struct aq_tag *tag, bool trimmed);
/* Can the tag that the kernel returned, its names trimmed, be row i? Fills *whole from the row. */
bool aq_row_is(const aq_table *table, size_t i, const struct aq_tag *kernel, struct aq_tag *whole);
/* How many rows match, by names and counters. */
size_t aq_table_count(const aq_table *table, const aq_filter *filter);
/* Do all rows whose byte in `keep` is not 0 have the same string? *row is the first of them. */
bool aq_table_shared(const aq_table *table, const uint8_t *keep, enum aq_strings which, size_t *row);

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

/* filter.c */
enum aq_pattern_kind {
	AQ_EXACT, /* the whole name */
	AQ_TAIL,  /* the whole path, its last components, or a directory that it is below */
	AQ_GLOB,
	AQ_BELOW, /* a directory, with its slash */
	AQ_ANYWHERE /* components of the path, or its last one without suffix */
};

struct aq_pattern_list {
	struct aq_pattern_item {
		char *s;
		size_t len;
		enum aq_pattern_kind kind;
		uint64_t low, high; /* lines, of `mm/slub.c:3347` */
		bool has_lines;
		char *place; /* what stands behind the lines; NULL where nothing does */
		struct aq_str module, function; /* in `place`, or empty */
	} *items;
	size_t len, cap;
};

struct aq_range {
	uint64_t low, high;
};

struct aq_filter {
	struct aq_pattern_list names[AQ_WORD + 1]; /* by enum aq_field; AQ_WORD: of files */
	struct aq_pattern_list word_functions, word_modules;
	struct aq_range *lines;
	size_t n_lines, lines_cap;
	bool has_names, builtin;
	int accuracy; /* 1, 0, or -1 for either */
	bool underflowed; /* only counters below zero */
	int64_t min_size, max_size, min_calls, max_calls;
};

void aq_filter_init(aq_filter *filter);
/* Free what the filter holds, but not the filter. */
void aq_filter_clear(aq_filter *filter);
int aq_filter_pattern(aq_filter *filter, enum aq_field field, enum aq_pattern_kind kind, const char *s,
		      size_t len);
/*
 * Did the counter go below zero? The kernel keeps both as unsigned sums and prints bytes as signed,
 * calls not.
 */
static inline bool aq_is_underflowed(int64_t bytes, uint64_t calls)
{
	return bytes < 0 || (int64_t)calls < 0;
}
/* Does the answer depend on anything that moves: sizes, calls, accuracy? */
bool aq_filter_asks_counters(const aq_filter *filter);
/* How much work a name is: how many patterns it may be compared with, and one. */
size_t aq_filter_weight(const aq_filter *filter);
bool aq_match_counter(const aq_filter *filter, int64_t bytes, uint64_t calls, bool accurate);
bool aq_match_names(const aq_filter *filter, const struct aq_tag *tag);
bool aq_glob(const char *pattern, size_t pattern_len, const char *s, size_t len);
/* Could built-in code with this file match? `function` is the line from the function's name on. */
bool aq_may_match(const aq_filter *filter, struct aq_str file, struct aq_str function);

/* line.c */
enum aq_line_kind { AQ_LINE_TAG, AQ_LINE_HEADER, AQ_LINE_COMMENT, AQ_LINE_BAD };
/* Read one line without its newline. Only a tag fills *tag. */
enum aq_line_kind aq_parse_line(const char *line, size_t len, struct aq_tag *tag);
/* Are there marks without width, which come with what is copied from a page? */
bool aq_has_marks(const char *line, size_t len);
struct aq_str aq_header_version(const char *line, size_t len);
/*
 * The function's name of a line from there on: all but the `key:value` words at its end, for Rust
 * has names with blanks, `<impl Foo for Bar>::new`.
 */
struct aq_str aq_function(const char *s, size_t len, bool *accurate);

/* skim.c */
/* What skimming needs of a filter. */
struct aq_skim {
	const aq_filter *filter;
	bool counters, names;
	bool underflowed;
	int64_t min_size, max_size, min_calls, max_calls;
	bool has_tail;
	uint64_t head, tail; /* what neither begins nor ends so does not match */
	bool has_first;
	char first[32]; /* a file that begins so is never skimmed */
};

struct aq_skim aq_skim_of(const aq_filter *filter);
/* Returns the bytes of the lines at `start` that are tags and do not match; adds to *lines. */
size_t aq_skim(const struct aq_skim *skim, const char *start, const char *end, uint64_t *lines);

/* seen.c */
struct aq_seen *aq_seen_new(void);
void aq_seen_free(struct aq_seen *seen);
/* 1 if this tag came before, 0 if not, or -errno. Code that others include does not count. */
int aq_seen_add(struct aq_seen *seen, const struct aq_tag *tag);
bool aq_seen_has_first(const struct aq_seen *seen);
/* Is it the first tag that this was called for, with others in between? number: its place, from 1. */
int aq_seen_first_again(struct aq_seen *seen, const struct aq_tag *tag, uint64_t number);

/* render.c */
/* Write a number in decimal; returns its length, at most 20. */
size_t aq_decimal(uint64_t value, char *out);
/* The longest line for these names, without newline. */
size_t aq_line_room(const struct aq_tag *tag);
/*
 * Write the line that alloc_tag_to_text() of mm/alloc_tag.c prints (format version 2.0) and fill
 * the offsets of `row`. `out` has aq_line_room() bytes.
 */
void aq_format_line(const struct aq_tag *tag, char *out, struct aq_row *row);

/* cache.c */
struct aq_cache {
	char *data;	  /* what was allocated for the text, or NULL */
	const char *text; /* the listing as it was first read */
	size_t text_len;
	aq_costs costs;
	aq_table names; /* its tags in kernel order, once aq_cache_parse() was called */
	bool parsed;
};

/* 0; -ENOENT where no cache fits this boot and content id (any, if NULL). */
int aq_cache_load(const uint64_t *content_id, struct aq_cache *cache);
/* Fill `names` if they are not yet. AQ_STALE where the text is not valid. */
enum aq_result aq_cache_parse(struct aq_cache *cache);
void aq_cache_clear(struct aq_cache *cache);

/* costs.c */
/* Read the whole text and keep it with what asking costs, which is measured once a boot. */
enum aq_result aq_learn(const aq_source *source, const aq_hooks *hooks, struct aq_cache *cache);

/* plan.c */
struct aq_runs {
	uint32_t *first, *count;
	size_t len, cap;
};

struct aq_plan {
	enum aq_method method;
	enum aq_reason reason;
	aq_kfilter *kernel;
	struct aq_runs runs;
	int64_t expected, cost;
	uint64_t least; /* with fewer matches than this the kernel filter was too narrow */
	bool joined;
	struct aq_plan *next; /* the next best */
};

/* The parts of a question to a running kernel. */
struct aq_question {
	aq_source *source;
	const aq_filter *filter;
	const aq_wanted *wanted;
	const aq_hooks *hooks;
};

aq_plan *aq_plan_text(enum aq_reason reason);
/* `cache` NULL while the tags are unknown. NULL and errno where memory is short; or AQ_STOPPED. */
enum aq_result aq_plan_make(const struct aq_question *question, struct aq_cache *cache,
			    aq_plan **plan);
/* Drop the rows that do not match, by filter and hooks. */
enum aq_result aq_apply(const struct aq_question *question, aq_table *table);
/* Is a stop asked for? */
static inline bool aq_stopped(const aq_hooks *hooks)
{
	return hooks && hooks->pulse && hooks->pulse(hooks->context) != 0;
}

/* saved.c */
#define AQ_SNAPSHOT_KEY "allocq-snapshot"
enum { AQ_SNAPSHOT_VERSION = 1 };
/* The key and the value of a `# key: value` line; false where there is no colon. */
bool aq_metadata_entry(const char *line, size_t len, struct aq_str *key, struct aq_str *value);

/* source.c */
struct aq_source {
	char *path; /* as messages name it */
	int fd;
	enum aq_interface interface;
	bool live, has_ioctl, regular, begun, owned;
	int ioctl_error; /* why a running kernel's ioctl is not used, 0 if it is */
	int64_t start; /* where a regular file began when it was opened */
	char *kept;    /* what was read of a stream, where Python has to read it; or NULL */
	size_t kept_len;
	char warning[128];
};

void aq_problem_set(aq_problem *problem, enum aq_problem_kind kind, const char *hint, const char *format,
		    ...) __attribute__((format(printf, 4, 5)));
void aq_info_warn(aq_info *info, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An errno where a running kernel was being read, in words. */
void aq_source_lost(const aq_source *source, int error, aq_problem *problem);

/* text.c */
/* Return AQ_MORE after this many bytes, each counted aq_filter_weight() times (default: 16 MiB). */
void aq_text_set_breath(aq_text *text, uint64_t bytes);
/* All lines at hand; AQ_STOPPED where the hooks ask for it. */
enum aq_result aq_text_take_all(aq_text *text, const aq_hooks *hooks);
/* The `# key: value` lines, newline-separated. */
const char *aq_text_metadata_lines(const aq_text *text);
uint64_t aq_text_unfinished(const aq_text *text); /* bytes behind the last newline, at the end */
bool aq_text_is_cut(const aq_text *text); /* is the last tag without a newline, and maybe without its end? */
uint64_t aq_text_bytes(const aq_text *text);      /* bytes taken in */
/* All lines of a text in memory. */
enum aq_result aq_text_parse(const char *data, size_t len, const aq_filter *filter, aq_table *table);

/* A hash for finding damage, not malice. */
uint64_t aq_hash(uint64_t seed, const char *data, size_t len);

/* The clock that costs are measured with, in nanoseconds. */
uint64_t aq_now_ns(void);

#endif
