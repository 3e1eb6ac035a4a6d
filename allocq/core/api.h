/*
 * Everything that Python may call or name. cffi reads this file as it stands, and every C
 * file includes it through native.h: there is no second declaration to keep in step.
 *
 * Results: 0 or a count is success; a negative number is -errno; AQ_* results are named below.
 */

typedef struct aq_table aq_table;     /* tags: their lines and their counters */
typedef struct aq_filter aq_filter;   /* what is checked here */
typedef struct aq_kfilter aq_kfilter; /* what the kernel checks: struct allocinfo_filter */
typedef struct aq_text aq_text;       /* a text being read */

enum aq_result {
	AQ_DONE = 0,      /* all there is was read */
	AQ_MORE = 1,      /* a batch is full, a signal came, or a while has passed: call again */
	AQ_BAD_LINE = 2,  /* aq_text_line() is no tag */
	AQ_LONG_LINE = 3, /* aq_text_line() does not end within 1 MiB */
	AQ_STALE = 4,     /* the kernel's tags are not those of the names given */
	AQ_AMBIGUOUS = 5, /* two whole names end in the same 63 bytes */
};

enum aq_field { AQ_FILE, AQ_MODULE, AQ_FUNCTION, AQ_EXCLUDE };
enum aq_kind { AQ_EXACT, AQ_TAIL, AQ_GLOB };
enum aq_column { AQ_BYTES, AQ_CALLS, AQ_LINE, AQ_INACCURATE, AQ_BUILTIN };
enum aq_strings { AQ_S_FILE, AQ_S_MODULE, AQ_S_FUNCTION, AQ_S_SUBJECT };
enum aq_format { AQ_F_PROCFS, AQ_F_JSON, AQ_F_JSONL, AQ_F_CSV, AQ_F_TSV };
enum aq_kfield {
	AQ_K_MODULE, AQ_K_FUNCTION, AQ_K_FILE, AQ_K_LINE, AQ_K_INACCURATE, AQ_K_MIN_SIZE, AQ_K_MAX_SIZE
};

/* The table. Rows keep the order they came in. */
aq_table *aq_table_new(void);
void aq_table_free(aq_table *table);
void aq_table_clear(aq_table *table);
void aq_table_swap(aq_table *table, aq_table *other);
int aq_table_append(aq_table *table, const aq_table *more);
size_t aq_table_rows(const aq_table *table);
size_t aq_table_trimmed(const aq_table *table); /* rows with a name of 63 bytes from the ioctl */
/* Keep the rows whose byte in `keep` is not 0. */
void aq_table_keep(aq_table *table, const uint8_t *keep);
/* Take out of both the rows that are in both, one for one: same names, line, bytes and calls. */
int aq_table_cancel(aq_table *table, aq_table *other);
/* Keep the rows that match. */
void aq_table_filter(aq_table *table, const aq_filter *filter);
/* keep[i] = 1 where the names and the line of row i match, whatever its counters; returns how many. */
size_t aq_table_match_names(const aq_table *table, const aq_filter *filter, uint8_t *keep);
/* How many rows match, by names and counters. */
size_t aq_table_count(const aq_table *table, const aq_filter *filter);
/* Do all rows whose byte in `keep` is not 0 have the same string? *row is the first of them. */
int aq_table_shared(const aq_table *table, const uint8_t *keep, enum aq_strings which, size_t *row);
/* One string of a row; not ended by a NUL. */
const char *aq_table_string(const aq_table *table, size_t row, enum aq_strings which, size_t *len);
/* Give rows from the ioctl the whole names that `names` has for them. */
int aq_table_resolve(aq_table *table, const aq_table *names);
void aq_table_column(const aq_table *table, enum aq_column column, int64_t *out);
/* The names of all rows, each ended by a NUL. Returns the bytes needed; writes nothing if cap is less. */
size_t aq_table_strings(const aq_table *table, enum aq_strings which, char *out, size_t cap);
/*
 * Format rows order[from..to) (rows from..to where order is NULL) as far as `cap` bytes go;
 * *next is the first that did not fit. `first` says that no JSON element came before.
 * A row that does not fit in an empty buffer gives 0 bytes and *next == from.
 */
size_t aq_render(const aq_table *table, const uint32_t *order, size_t from, size_t to,
		 enum aq_format format, int first, char *out, size_t cap, size_t *next);
size_t aq_quote_json(const char *s, size_t len, char *out, size_t cap);

/* The filter. Strings are copied. */
aq_filter *aq_filter_new(void);
void aq_filter_free(aq_filter *filter);
int aq_filter_name(aq_filter *filter, enum aq_field field, enum aq_kind kind, const char *s, size_t len);
int aq_filter_line(aq_filter *filter, uint64_t low, uint64_t high);
void aq_filter_builtin(aq_filter *filter);
void aq_filter_accuracy(aq_filter *filter, int accurate);
void aq_filter_sizes(aq_filter *filter, int64_t min, int64_t max);
void aq_filter_calls(aq_filter *filter, uint64_t min, uint64_t max);

/* The text. aq_text_new keeps both pointers; it reads what it is given or told to read. */
aq_text *aq_text_new(const aq_filter *filter, aq_table *table);
void aq_text_free(aq_text *text);
int aq_text_read(aq_text *text, int fd, size_t max_rows);
/* Without a descriptor: hand in bytes (none at the end), then take lines until AQ_DONE. */
int aq_text_feed(aq_text *text, const char *data, size_t len);
int aq_text_take(aq_text *text, size_t max_rows);
uint64_t aq_text_line(const aq_text *text);      /* lines read, the current one included */
uint64_t aq_text_tags(const aq_text *text);      /* tags seen, matching or not */
uint64_t aq_text_headers(const aq_text *text);   /* `allocinfo - version:` lines seen */
uint64_t aq_text_bytes(const aq_text *text);     /* bytes taken in */
uint64_t aq_text_unfinished(const aq_text *text);/* bytes behind the last newline */
const char *aq_text_version(const aq_text *text);/* "2.0" of the first header, or "" */
const char *aq_text_notes(const aq_text *text);  /* `# key: value` lines, newline-separated */

/* The ioctl. The descriptor's cursor belongs to the call. */
int aq_content_id(int fd, uint64_t *id);
aq_kfilter *aq_kfilter_new(void);
void aq_kfilter_free(aq_kfilter *filter);
void aq_kfilter_name(aq_kfilter *filter, enum aq_kfield field, const char *s, size_t len);
void aq_kfilter_number(aq_kfilter *filter, enum aq_kfield field, uint64_t value);
uint64_t aq_kfilter_mask(const aq_kfilter *filter);
/* All tags the kernel filter lets through, at most `limit`. *ioctls is added to. */
int aq_scan(int fd, const aq_kfilter *kernel, const aq_filter *check, size_t limit, aq_table *out,
	    uint64_t *ioctls);
/*
 * The tags at positions first[i] .. first[i] + count[i] - 1 of the unfiltered order, which must
 * be those of `names`: AQ_STALE where one is not.
 */
int aq_seek(int fd, const aq_table *names, const uint32_t *first, const uint32_t *count, size_t runs,
	    const aq_filter *check, size_t limit, aq_table *out, uint64_t *ioctls);

/* A hash for finding damage, not malice. */
uint64_t aq_hash(const char *data, size_t len);
int aq_is_proc(int fd); /* 1: the descriptor is on a proc file system */
