/* SPDX-License-Identifier: MIT */
/*
 * Everything that Python may call or name. build.py hands this file to cffi without its
 * preprocessor lines, and every C file includes it through engine.h: there is no second
 * declaration to keep in step.
 *
 * Results: functions that return int give 0 or -errno unless they say otherwise. An enum aq_result
 * is never mixed with an errno or a count: after AQ_ERROR, errno says what failed.
 */
#ifndef ALLOCQ_API_H
#define ALLOCQ_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct aq_table aq_table;     /* tags: their lines and their counters */
typedef struct aq_filter aq_filter;   /* what is checked in this process */
typedef struct aq_kfilter aq_kfilter; /* what the kernel checks: struct allocinfo_filter */
typedef struct aq_text aq_text;       /* a text being read */
typedef struct aq_source aq_source;   /* an open source: a running kernel or a saved listing */
typedef struct aq_plan aq_plan;       /* how a question to the running kernel is answered */

enum aq_result {
	AQ_DONE,      /* everything was read */
	AQ_MORE,      /* a batch is full, a signal came, or much has been read: call again */
	AQ_BAD_LINE,  /* aq_text_line() is not a valid allocinfo line */
	AQ_LONG_LINE, /* aq_text_line() does not end within 1 MiB */
	AQ_NEWER,     /* a snapshot of a newer format than is known here */
	AQ_STALE,     /* the kernel's tags are not those of the tag cache */
	AQ_AMBIGUOUS, /* two whole names end in the same 63 bytes */
	AQ_STOPPED,   /* a hook asked to stop */
	AQ_ERROR      /* errno says what */
};

/*
 * AQ_WORD: a bare word of the command line, which is a file, its name without suffix, a directory,
 * FILE:LINE, a function or a module, whichever there is.
 */
enum aq_field { AQ_FILE, AQ_MODULE, AQ_FUNCTION, AQ_EXCLUDE, AQ_WORD };
/* AQ_EXTRA: how much of its line is not known here, such as the keys of a later kernel. */
enum aq_column { AQ_BYTES, AQ_CALLS, AQ_LINE, AQ_INACCURATE, AQ_BUILTIN, AQ_EXTRA };
enum aq_strings { AQ_S_FILE, AQ_S_MODULE, AQ_S_FUNCTION, AQ_S_SUBJECT };
enum aq_format { AQ_F_PROCFS, AQ_F_JSON, AQ_F_JSONL, AQ_F_CSV, AQ_F_TSV };
enum aq_sort {
	AQ_SORT_NONE, AQ_SORT_BYTES, AQ_SORT_CALLS, AQ_SORT_AVERAGE, AQ_SORT_FILE,
	AQ_SORT_FUNCTION, AQ_SORT_MODULE
};
enum aq_kfield {
	AQ_K_MODULE, AQ_K_FUNCTION, AQ_K_FILE, AQ_K_LINE, AQ_K_INACCURATE, AQ_K_MIN_SIZE, AQ_K_MAX_SIZE
};
enum aq_interface { AQ_AUTO, AQ_IOCTL, AQ_TEXT };
enum aq_method { AQ_SEEK, AQ_FILTER, AQ_READ_TEXT };
enum aq_reason {
	AQ_R_TEXT_REQUESTED,   /* --interface text */
	AQ_R_NO_IOCTL,         /* this kernel has none */
	AQ_R_TEXT_CHEAPER,     /* by the measured costs */
	AQ_R_TAGS_UNKNOWN,     /* no tag cache, and the filter alone is not narrow */
	AQ_R_AMBIGUOUS,        /* only the text has the whole names */
	AQ_R_KERNEL_FILTER,    /* the kernel can check it and return little */
	AQ_R_LARGEST,          /* a minimum size that the largest tags had when last seen */
	AQ_R_POSITIONS,        /* the positions of the matching tags are in the tag cache */
	AQ_R_NO_MATCH          /* no tag in the cache has such names */
};
enum aq_number { AQ_NUMBER_OK, AQ_NUMBER_BAD, AQ_NUMBER_LARGE };
enum aq_pattern {
	AQ_PATTERN_OK, AQ_PATTERN_EMPTY, AQ_PATTERN_NUL, AQ_PATTERN_OPEN, AQ_PATTERN_RANGE
};

/* What can go wrong with a source, each kind an exception in Python. */
enum aq_problem_kind {
	AQ_P_NONE, AQ_P_SOURCE, AQ_P_ACCESS, AQ_P_INTERFACE, AQ_P_FORMAT, AQ_P_MEMORY, AQ_P_STOPPED
};

typedef struct {
	enum aq_problem_kind kind;
	char message[4608]; /* one line, NUL-terminated; a path in it may be cut off */
	char hint[4608];    /* what to do about it, or empty */
} aq_problem;

/* Where an answer is from. */
typedef struct {
	enum aq_interface interface; /* AQ_IOCTL or AQ_TEXT */
	int has_content_id, consistent; /* consistent: 1, 0, or -1 where that cannot be known */
	int truncated;   /* a saved text that lacks its end */
	uint64_t content_id;
	uint64_t ioctls; /* GET_AT and GET_NEXT made */
	int64_t time_ns; /* since 1970; 0 where unknown */
	int warnings;    /* how many of `warning` are filled */
	char version[16]; /* of the text format, "" where unknown */
	char warning[8][512];
} aq_info;

/* What Python adds to a scan. A null function pointer is not called. */
typedef struct {
	/* Clear keep[i] of the rows that the regular expressions drop; nonzero stops the scan. */
	int (*search)(void *context, const aq_table *table, uint8_t *keep);
	/* Called every few milliseconds of a long scan; nonzero stops it. */
	int (*pulse)(void *context);
	void *context;
} aq_hooks;

/* Which of the matching tags are enough: the `top` largest or the `first` in kernel order; 0: all. */
typedef struct {
	uint64_t top, first;
} aq_wanted;

/*
 * What asking costs on this host, in nanoseconds. call: a scan that returns nothing; tag: one tag
 * by GET_NEXT, its sum included; step: passing a tag by; compare: its names; sum: its counters;
 * text: reading all of the text.
 */
typedef struct {
	uint64_t call, tag, step, compare, sum, text;
} aq_costs;

/* Sizes and numbers as people write them; s need not end in a NUL. */
enum aq_number aq_parse_size(const char *s, size_t len, int64_t *size);
enum aq_number aq_parse_count(const char *s, size_t len, uint64_t *count);
/* A size, or a count of calls, that may be below zero: `-1`, `-4K`. */
enum aq_number aq_parse_bound(const char *s, size_t len, int is_size, int64_t *bound);

/* Does watch(1) show what is written to standard output? */
int aq_is_watched(void);

/* The table. Rows keep the order they came in. */
aq_table *aq_table_new(void);
void aq_table_free(aq_table *table);
void aq_table_clear(aq_table *table);
void aq_table_swap(aq_table *table, aq_table *other);
int aq_table_append(aq_table *table, const aq_table *more);
size_t aq_table_rows(const aq_table *table);
/* Keep the rows whose byte in `keep` is not 0. */
void aq_table_keep(aq_table *table, const uint8_t *keep);
/* Give rows from the ioctl the whole names that `names` has for them. AQ_STALE, AQ_AMBIGUOUS. */
enum aq_result aq_table_resolve(aq_table *table, const aq_table *names);
/*
 * What takes long takes hooks, or NULL. -ECANCELED where they asked to stop: nothing is dropped, no
 * order is written.
 */
/* Drop from both the rows that are in both, one for one: same names, line, bytes and calls. */
int aq_table_cancel(aq_table *table, aq_table *other, const aq_hooks *hooks);
/* Keep the rows that match. */
int aq_table_filter(aq_table *table, const aq_filter *filter, const aq_hooks *hooks);
/* keep[i] = 1 where the names and the line of row i match, whatever its counters. */
int aq_table_match_names(const aq_table *table, const aq_filter *filter, const aq_hooks *hooks,
			 uint8_t *keep, size_t *matching);
/* One string of a row; not NUL-terminated. */
const char *aq_table_string(const aq_table *table, size_t row, enum aq_strings which, size_t *len);
void aq_table_column(const aq_table *table, enum aq_column column, int64_t *out);
/* Where two columns differ, ascending; `places` has room for `count`. Returns how many they are. */
size_t aq_changed(const int64_t *before, const int64_t *now, size_t count, uint32_t *places);
/* The sign of each number in its lowest bit, so that small ones have few bits; and back. */
void aq_fold(const int64_t *numbers, size_t count, uint64_t *folded);
void aq_unfold(const uint64_t *folded, size_t count, int64_t *numbers);
/* The strings of all rows, each NUL-terminated. Returns the bytes needed; writes only if cap allows. */
size_t aq_table_strings(const aq_table *table, enum aq_strings which, char *out, size_t cap);
/*
 * Row numbers in display order: numbers largest first, names ascending by bytes, equal ones in
 * kernel order; `reverse` turns the comparison around. Writes aq_table_rows() of them.
 */
int aq_order(const aq_table *table, enum aq_sort sort, int reverse, const aq_hooks *hooks,
	     uint32_t *order);
/*
 * Format rows order[from..to) (rows from..to where order is NULL) as far as `cap` bytes go;
 * *next is the first that did not fit. `first`: no JSON element came before.
 * A row that does not fit in an empty buffer gives 0 bytes and *next == from.
 */
size_t aq_render(const aq_table *table, const uint32_t *order, size_t from, size_t to,
		 enum aq_format format, int first, char *out, size_t cap, size_t *next);
/* Writes up to cap bytes; 0 where they are not enough. 6 * len + 2 always are. */
size_t aq_quote_json(const char *s, size_t len, char *out, size_t cap);
/* `s` with what a terminal acts on or hides as \xNN or \uNNNN. 4 * len bytes are always enough. */
size_t aq_printable(const char *s, size_t len, char *out, size_t cap);

/* The filter. Strings are copied. */
aq_filter *aq_filter_new(void);
void aq_filter_free(aq_filter *filter);
/*
 * Is it a name or a glob that can match something? For AQ_PATTERN_RANGE, *at is where the empty
 * range begins.
 */
enum aq_pattern aq_pattern_check(const char *s, size_t len, size_t *at);
int aq_pattern_is_glob(const char *s, size_t len);
int aq_filter_name(aq_filter *filter, enum aq_field field, const char *s, size_t len);
/*
 * For where nothing matched: a relative glob or directory that begins at any component of a path, the
 * ice driver's `ice/x*`, `ice/` and `ice`; `./mm` without its dot. Its length, at most len + 4; 0 where
 * `s` is none of these.
 */
size_t aq_pattern_widen(const char *s, size_t len, char *out, size_t cap);
/* The same for all files of a filter. 1 where that changed one, 0 where not, -errno. */
int aq_filter_widen(aq_filter *filter);
int aq_filter_line(aq_filter *filter, uint64_t low, uint64_t high);
void aq_filter_builtin(aq_filter *filter);
void aq_filter_accuracy(aq_filter *filter, int accurate);
/* Inclusive; INT64_MIN and INT64_MAX stand for no bound. */
void aq_filter_sizes(aq_filter *filter, int64_t min, int64_t max);
void aq_filter_calls(aq_filter *filter, int64_t min, int64_t max);
void aq_filter_underflowed(aq_filter *filter); /* only counters below zero */

/* Sources. */
/*
 * Opens the running kernel (NULL), a file, or standard input ("-"). A file on a proc file system is
 * a running kernel. NULL with *problem filled where that fails.
 */
aq_source *aq_source_open(const char *path, enum aq_interface interface, aq_problem *problem);
/* The same for a descriptor, which is closed in any case. path: what messages call it. */
aq_source *aq_source_hold(int fd, const char *path, aq_problem *problem);
/*
 * Does a tag, a header or a kernel's list come within 4 MiB of a file that was not read yet, or is it
 * compressed?
 */
int aq_looks_like_listing(int fd);
/*
 * Is standard input meant: a pipe with something in it, as in `dmesg | allocq query`, or a file at
 * its beginning that looks like a listing, as in `allocq query <saved.txt`? A loop's list of names is
 * none. An idle pipe, as of ssh, is waited for, a second where there is a running kernel to ask; -1
 * where nothing came.
 */
int aq_stdin_is_meant(void);
/* The warning where nothing came. */
const char *aq_idle_pipe(void);
void aq_source_close(aq_source *source);
int aq_source_fd(const aq_source *source);
int aq_source_is_live(const aq_source *source);
int aq_source_has_ioctl(const aq_source *source);
int aq_source_is_file(const aq_source *source);      /* a regular file, which can be read again */
const char *aq_source_path(const aq_source *source); /* as messages name it */
/* A warning that holds for every reading of this running kernel, or "". */
const char *aq_source_warning(const aq_source *source);
/* 1 with *id filled, 0 without the ioctl, -errno. */
int aq_source_content_id(const aq_source *source, uint64_t *id);
/*
 * Read the matching tags of a running kernel into `out`, which is emptied first. Where only some
 * are wanted, more may come. Reads again where modules came or went. 0 or -1 with *problem filled.
 */
int aq_source_read(aq_source *source, const aq_filter *filter, const aq_wanted *wanted,
		   const aq_hooks *hooks, aq_table *out, aq_info *info, aq_problem *problem);
/* The plan that aq_source_read() would follow now. NULL with *problem filled where that fails. */
aq_plan *aq_source_plan(aq_source *source, const aq_filter *filter, const aq_wanted *wanted,
			const aq_hooks *hooks, aq_problem *problem);
/* Words for -errno on this source. */
void aq_source_problem(const aq_source *source, int error, aq_problem *problem);

/* A saved listing. aq_text_new keeps both pointers; it reads what it is given or told to read. */
aq_text *aq_text_new(const aq_filter *filter, aq_table *table);
void aq_text_free(aq_text *text);
/* Begin again, if something was read. 0 or -1 with *problem filled: it can be read only once. */
int aq_source_rewind(aq_source *source, aq_problem *problem);
/* Keep only the `top` largest matching tags, the first ones of equals; more may be left at the end. */
void aq_text_keep_top(aq_text *text, size_t top);
enum aq_result aq_text_read(aq_text *text, int fd, size_t max_rows);
/* Keep what is read, up to 64 MiB. Call it before the first read. 0 or -errno. */
int aq_text_keep(aq_text *text);
/* All that was read so far; NULL where it is not kept or was too much. */
const char *aq_text_kept(const aq_text *text, size_t *len);
/* The same, to be freed by the caller; only aq_text_free() may follow. */
char *aq_text_take_kept(aq_text *text, size_t *len);
/* Read to the end without looking at the text, or until it is too much to keep. 0 or -errno. */
int aq_text_drain(aq_text *text, int fd);
/* Without a descriptor: hand in bytes (none at the end), then take lines until AQ_DONE. */
enum aq_result aq_text_feed(aq_text *text, const char *data, size_t len);
enum aq_result aq_text_take(aq_text *text, size_t max_rows);
/* Is this line, without its newline, strictly a tag? */
int aq_text_is_tag(const char *line, size_t len);
/* Words for a result that is neither AQ_DONE nor AQ_MORE. */
void aq_text_problem(const aq_text *text, const char *path, enum aq_result result, aq_problem *problem);
/* At the end: what the text says of itself, into *info. 0 or -1 with *problem filled. */
int aq_text_finish(const aq_text *text, const char *path, aq_info *info, aq_problem *problem);
uint64_t aq_text_line(const aq_text *text);       /* lines read, the current one included */
uint64_t aq_text_tags(const aq_text *text);       /* tags seen, matching or not */
uint64_t aq_text_headers(const aq_text *text);    /* `allocinfo - version:` lines seen */
int aq_text_several(const aq_text *text);         /* it may hold more than one listing */
/* The lines were looked at already: their sizes are sizes. */
void aq_text_trust(aq_text *text);
const char *aq_text_version(const aq_text *text); /* "2.0" of the first header, or "" */
/*
 * The metadata of a snapshot, entry by entry: *at is 0 at first, then where the next one is. 0 behind
 * the last one. A text that several snapshots were put together in has none. Neither string is
 * NUL-terminated.
 */
int aq_text_metadata(const aq_text *text, size_t *at, const char **key, size_t *key_len,
		     const char **value, size_t *value_len);
/* Seconds since 1970 in nanoseconds for `2026-11-23T06:20:37.123456Z`; 0 or -EINVAL. */
int aq_parse_time(const char *s, size_t len, int64_t *time_ns);

/* The ioctl. The descriptor's cursor belongs to the call. */
int aq_content_id(int fd, uint64_t *id);
aq_kfilter *aq_kfilter_new(void);
void aq_kfilter_free(aq_kfilter *filter);
/* -EINVAL for a field of the other type. */
int aq_kfilter_name(aq_kfilter *filter, enum aq_kfield field, const char *s, size_t len);
int aq_kfilter_number(aq_kfilter *filter, enum aq_kfield field, uint64_t value);
uint64_t aq_kfilter_mask(const aq_kfilter *filter);
/* A field that is set: 1 with *name (NUL-terminated) or *value; 0 where it is not set. */
int aq_kfilter_field(const aq_kfilter *filter, enum aq_kfield field, const char **name, uint64_t *value);
/* All tags the kernel filter lets through, at most `limit`. *ioctls is added to. */
enum aq_result aq_scan(int fd, const aq_kfilter *kernel, const aq_filter *check, size_t limit,
		       const aq_hooks *hooks, aq_table *out, uint64_t *ioctls);
/*
 * The tags at positions first[i] .. first[i] + count[i] - 1 of the unfiltered order, which must
 * be those of `names`: AQ_STALE where one is not.
 */
enum aq_result aq_seek(int fd, const aq_table *names, const uint32_t *first, const uint32_t *count,
		       size_t runs, const aq_filter *check, size_t limit, const aq_hooks *hooks,
		       aq_table *out, uint64_t *ioctls);

/* The plan. */
void aq_plan_free(aq_plan *plan);
enum aq_method aq_plan_method(const aq_plan *plan);
enum aq_reason aq_plan_reason(const aq_plan *plan);
const aq_kfilter *aq_plan_kernel(const aq_plan *plan); /* AQ_FILTER */
size_t aq_plan_runs(const aq_plan *plan, const uint32_t **first, const uint32_t **count);
int64_t aq_plan_expected(const aq_plan *plan);  /* tags the kernel will return; -1: unknown */
int64_t aq_plan_cost(const aq_plan *plan);      /* ns; -1: unknown */
int aq_plan_joined(const aq_plan *plan);        /* some of the positions do not match */
/* The alternatives, cheapest first; NULL behind the last one. */
const aq_plan *aq_plan_other(const aq_plan *plan, size_t i);

/* The tag cache: the text as first read, kept per boot and content id. */
/* The directory it is in, written to out; 0 where there is no place for it or cap is too small. */
size_t aq_cache_directory(char *out, size_t cap);
/* Is there a cache for this boot and this content id? Fills *costs where there is. */
int aq_cache_fits(uint64_t content_id, aq_costs *costs);
/* Keep the text and the costs for the next question, if that can be done privately; silent if not. */
void aq_cache_save(uint64_t content_id, const char *text, size_t len, const aq_costs *costs);
/* This boot's id, NUL-terminated, into out; "" where it cannot be read. */
void aq_boot_id(char *out, size_t cap);
/* Let two names in an open directory change places at once. */
int aq_exchange(int folder, const char *one, const char *other);
/* What /proc/sys/vm/mem_profiling beside this allocinfo says, or "" where it cannot be read. */
void aq_profiling_switch(const char *allocinfo, char *out, size_t cap);

/*
 * `argv`, ended by NULL, as a shell command that runs it as root: `sudo`, the program by its full path
 * unless sudo finds it by name, the rest quoted. Its length without the NUL; 0 where it does not fit
 * or the program is not found.
 */
size_t aq_root_command(const char *const *argv, char *out, size_t cap);

#endif
