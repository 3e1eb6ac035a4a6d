// SPDX-License-Identifier: MIT
/* An answer written to standard output: whole, or as it comes once a text has been found good. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front.h"

/* tests/fuzz builds it with less of each. */
#ifndef CHUNK
#define CHUNK (64 << 10)
#endif
#ifndef HELD
#define HELD (16 << 20) /* bytes of an answer that are held back until its text is known to be good */
#endif
#ifndef BATCH
#define BATCH 8192
#endif

enum { HEADER_ROOM = 128 };

/*
 * Standard output. Bytes are held back until it is open, then written at once. A chunk is a header,
 * `staged`, with the rows behind it.
 */
struct sink {
	char *held, *chunk, *shown;
	size_t len, cap, staged, chunk_cap, shown_cap;
	bool open, escape; /* escape: a terminal is there, which could act on what is written */
};

static void free_sink(struct sink *sink)
{
	free(sink->held);
	free(sink->chunk);
	free(sink->shown);
}

/* 0 or -errno. */
static int write_out(const char *data, size_t len)
{
	while (len) {
		ssize_t put = write(STDOUT_FILENO, data, len);

		if (put < 0 && errno == EAGAIN) {
			struct pollfd out = { STDOUT_FILENO, POLLOUT, 0 };

			poll(&out, 1, -1);
			continue;
		}
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		data += put;
		len -= (size_t)put;
	}
	return 0;
}

/* Whole lines with what a terminal acts on as escapes, but for newlines and tabs. 0 or -ENOMEM. */
static int make_printable(struct sink *sink, const char **data, size_t *len)
{
	const char *at = *data, *end = at + *len;
	size_t used = 0;
	char *shown = aq_grown(sink->shown, &sink->shown_cap, 4 * *len + 1, 1, CHUNK);

	if (!shown)
		return -ENOMEM;
	sink->shown = shown;
	while (at < end) {
		const char *stop = at;

		while (stop < end && *stop != '\n' && *stop != '\t')
			stop++;
		used += aq_printable(at, (size_t)(stop - at), shown + used, sink->shown_cap - used);
		if (stop < end)
			shown[used++] = *stop++;
		at = stop;
	}
	*data = shown;
	*len = used;
	return 0;
}

static int put(struct sink *sink, const char *data, size_t len)
{
	char *held;

	if (sink->escape && make_printable(sink, &data, &len))
		return -ENOMEM;
	if (sink->open)
		return write_out(data, len);
	held = aq_grown(sink->held, &sink->cap, sink->len + len, 1, CHUNK);
	if (!held)
		return -ENOMEM;
	sink->held = held;
	memcpy(held + sink->len, data, len);
	sink->len += len;
	return 0;
}

static int open_sink(struct sink *sink)
{
	int error = write_out(sink->held, sink->len);

	sink->open = true;
	sink->len = 0;
	return error;
}

static enum aq_format format_of(const struct query *query)
{
	switch (query->format) {
	case FRONT_JSONL:
		return AQ_F_JSONL;
	case FRONT_CSV:
		return AQ_F_CSV;
	case FRONT_TSV:
		return AQ_F_TSV;
	default:
		return AQ_F_PROCFS;
	}
}

/*
 * Room for any row of the table: memory is short before something is written, or not at all.
 * In JSON a byte takes six at most, and the keys and numbers stay below 256.
 */
static int make_chunk(struct sink *sink, const aq_table *table)
{
	size_t longest = 0, need = CHUNK;
	char *chunk;

	for (size_t i = 0; i < table->len; i++)
		if (table->rows[i].text_len > longest)
			longest = table->rows[i].text_len;
	if (6 * longest + 256 > need)
		need = 6 * longest + 256;
	need += HEADER_ROOM;
	chunk = aq_grown(sink->chunk, &sink->chunk_cap, need, 1, need);
	if (!chunk)
		return -ENOMEM;
	sink->chunk = chunk;
	return 0;
}

/* make_chunk() comes before, put_rows() behind. */
static void stage_header(struct sink *sink, const struct query *query, const char *version)
{
	enum aq_format format = format_of(query);
	int n = 0;

	if (format == AQ_F_CSV && query->header)
		n = snprintf(sink->chunk, HEADER_ROOM, "bytes,calls,file,line,module,function,accurate\n");
	else if (format == AQ_F_TSV && query->header)
		n = snprintf(sink->chunk, HEADER_ROOM,
			     "bytes\tcalls\tfile\tline\tmodule\tfunction\taccurate\n");
	else if (format == AQ_F_PROCFS && query->header == 1)
		n = snprintf(sink->chunk, HEADER_ROOM,
			     "allocinfo - version: %s\n#     <size>  <calls> <tag info>\n",
			     version[0] ? version : "2.0");
	sink->staged = (size_t)n;
}

/* The rows, or the first `rows` that `order` names; make_chunk() comes before. */
static int put_rows(struct sink *sink, const struct query *query, const aq_table *table,
		    const uint32_t *order, size_t rows)
{
	int error = 0;

	for (size_t at = 0, next; at < rows && !error; at = next) {
		size_t used = aq_render(table, order, at, rows, format_of(query), at == 0,
					sink->chunk + sink->staged, sink->chunk_cap - sink->staged, &next);

		error = next == at ? -EOVERFLOW : put(sink, sink->chunk, sink->staged + used);
		sink->staged = 0;
	}
	if (sink->staged && !error)
		error = put(sink, sink->chunk, sink->staged);
	sink->staged = 0;
	return error;
}

void front_say(const char *prefix, const char *message)
{
	size_t len = strlen(message), start = strlen(prefix);
	char line[4 * sizeof(((aq_problem *)0)->message) + 64];

	memcpy(line, prefix, start);
	len = start + aq_printable(message, len, line + start, sizeof(line) - start - 1);
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* nobody is there to be told */
}

int front_complain(const aq_problem *problem)
{
	front_say("allocq: ", problem->message);
	if (problem->hint[0])
		front_say("hint: ", problem->hint);
	return STATUS_ERROR;
}

static int output_failed(int error)
{
	aq_problem problem = { .kind = AQ_P_NONE };

	if (error == -EPIPE)
		return STATUS_CLOSED_PIPE;
	if (error == -ENOMEM)
		snprintf(problem.message, sizeof(problem.message), "out of memory");
	else
		snprintf(problem.message, sizeof(problem.message), "cannot write the answer: %s",
			 strerror(-error));
	return front_complain(&problem);
}

int front_print(const char *text)
{
	return dprintf(STDOUT_FILENO, "%s", text) < 0 ? output_failed(-errno) : STATUS_MATCH;
}

int front_out_of_memory(void)
{
	return output_failed(-ENOMEM);
}

static int finish(const aq_info *info, uint64_t matching)
{
	for (int i = 0; i < info->warnings; i++)
		front_say("allocq: warning: ", info->warning[i]);
	return matching ? STATUS_MATCH : STATUS_NO_MATCH;
}

static int put_count(struct sink *sink, uint64_t count)
{
	char line[24];
	size_t len = aq_decimal(count, line);

	line[len++] = '\n';
	return put(sink, line, len);
}

/* The whole table in its order. */
static int put_table(struct sink *sink, const struct query *query, const aq_table *table, const char *version)
{
	size_t rows = query->has_limit && query->limit < table->len ? (size_t)query->limit : table->len;
	uint32_t *order = NULL;
	int error;

	if (query->quiet)
		return 0;
	if (query->count)
		return put_count(sink, table->len);
	/* Memory first: a header alone would be an answer. */
	error = make_chunk(sink, table);
	if (!error && (query->sort != AQ_SORT_NONE || query->reverse)) {
		order = malloc((table->len + 1) * sizeof(*order));
		error = order ? aq_order(table, query->sort, query->reverse, NULL, order) : -ENOMEM;
	}
	if (!error) {
		stage_header(sink, query, version);
		error = put_rows(sink, query, table, order, rows);
	}
	free(order);
	return error;
}

static int deliver_table(const struct query *query, const aq_table *table, const aq_info *info)
{
	struct sink sink = { .open = true, .escape = isatty(STDOUT_FILENO) };
	int error;

	if (query->stop_at_nothing && !table->len)
		return STATUS_NOTHING;
	error = put_table(&sink, query, table, info->version);
	free_sink(&sink);
	return error ? output_failed(error) : finish(info, table->len);
}

/* Which of the matching tags will be shown. */
static aq_wanted wanted_by(const struct query *query)
{
	aq_wanted wanted = { 0, 0 };

	if (query->quiet)
		wanted.first = 1;
	else if (query->count || query->reverse || !query->has_limit)
		return wanted;
	else if (query->sort == AQ_SORT_BYTES)
		wanted.top = query->limit;
	else if (query->sort == AQ_SORT_NONE)
		/* One at least: whether something matched is the exit status. */
		wanted.first = query->limit ? query->limit : 1;
	return wanted;
}

static int answer_live(const struct query *query, aq_source *source, aq_problem *problem)
{
	aq_wanted wanted = wanted_by(query);
	aq_table *table = aq_table_new();
	aq_info info;
	int status;

	if (!table)
		return output_failed(-ENOMEM);
	if (aq_source_read(source, &query->filter, &wanted, NULL, table, &info, problem))
		status = front_complain(problem);
	else
		status = deliver_table(query, table, &info);
	aq_table_free(table);
	return status;
}

/* One pass over a saved listing. */
struct pass {
	const struct query *query;
	aq_source *source;
	struct sink sink;
	aq_table *table;
	aq_text *text;
	uint64_t matching;
	bool header_put, overflow, stopped;
};

/* Are rows to be kept for sorting, so that nothing is written before the end? */
static bool needs_all(const struct query *query)
{
	return !query->quiet && !query->count && (query->sort != AQ_SORT_NONE || query->reverse);
}

/* May the rest be left unread? Without a header only all of it shows whether it is one listing. */
static bool can_stop(const struct pass *pass)
{
	return aq_text_headers(pass->text) > 0;
}

/* The rows at hand: counted, held back, or written. 0 or -errno. */
static int take_batch(struct pass *pass)
{
	const struct query *query = pass->query;
	uint64_t before = pass->matching;
	size_t rows = pass->table->len;
	int error = 0;

	pass->matching += rows;
	if (query->quiet || query->count) {
		pass->stopped = query->quiet && pass->matching && can_stop(pass);
	} else {
		error = make_chunk(&pass->sink, pass->table);
		if (!error && !pass->header_put)
			stage_header(&pass->sink, query, aq_text_version(pass->text));
		pass->header_put = true;
		if (query->has_limit && pass->matching >= query->limit) {
			rows = before < query->limit ? (size_t)(query->limit - before) : 0;
			pass->stopped = pass->matching > 0 && can_stop(pass);
		}
		pass->overflow |= pass->sink.len > HELD;
		/* What outgrows the sink is written in a second pass, if there can be one. */
		if (!error && pass->overflow && !aq_source_is_file(pass->source)) {
			pass->stopped |= aq_text_several(pass->text);
			pass->overflow = false;
			error = pass->stopped ? 0 : open_sink(&pass->sink);
		}
		if (!error && !pass->overflow)
			error = put_rows(&pass->sink, query, pass->table, NULL, rows);
	}
	aq_table_clear(pass->table);
	return error;
}

/* May Python begin again with this text? Nothing may be written, and nothing lost of a stream. */
static bool can_hand_over(const struct pass *pass)
{
	size_t len;

	return !pass->sink.open && (aq_source_is_file(pass->source) || aq_text_kept(pass->text, &len));
}

/* /dev/zero never ends. */
static bool is_device(const aq_source *source)
{
	struct stat status;

	return !fstat(aq_source_fd(source), &status) && S_ISCHR(status.st_mode) && !isatty(aq_source_fd(source));
}

/* May a lenient reader make something of it? */
static bool can_be_read(const struct pass *pass, enum aq_result result)
{
	if (is_device(pass->source))
		return false;
	return result == AQ_BAD_LINE || result == AQ_LONG_LINE;
}

/* Does a header stand anywhere but at the beginning? For a pass that ended before the text. 1, 0 or -errno. */
static int has_late_header(const struct pass *pass)
{
	static const char header[] = "\nallocinfo - version: ";
	const size_t n = sizeof(header) - 1;
	char buffer[1 << 16];
	off_t at = pass->source->start;
	size_t kept = 0;
	ssize_t got;

	if (!aq_source_is_file(pass->source)) {
		int error = aq_text_drain(pass->text, aq_source_fd(pass->source));
		const char *text = aq_text_kept(pass->text, &kept);

		return error ? error : text && memmem(text, kept, header, n);
	}
	while ((got = pread(aq_source_fd(pass->source), buffer + kept, sizeof(buffer) - kept, at)) > 0) {
		size_t len = kept + (size_t)got;

		if (memmem(buffer, len, header, n))
			return 1;
		at += got;
		kept = len < n ? len : n;
		memmove(buffer, buffer + len - kept, kept);
	}
	return got < 0 ? -errno : 0;
}

/* As storage/spool.py: a pipe may have no end. */
static const uint64_t MOST_PIPED = 1 << 30;

/* Once through the text. A status, STATUS_HAND_OVER, or -1 to go on. */
static int run_pass(struct pass *pass, aq_problem *problem)
{
	size_t batch = needs_all(pass->query) ? SIZE_MAX : BATCH;
	enum aq_result result = AQ_MORE;

	if (aq_source_rewind(pass->source, problem))
		return front_complain(problem);
	aq_text_free(pass->text);
	pass->text = aq_text_new(&pass->query->filter, pass->table);
	if (!pass->text)
		return output_failed(-ENOMEM);
	if (!aq_source_is_file(pass->source) && aq_text_keep(pass->text))
		return output_failed(-ENOMEM);
	if (needs_all(pass->query) && pass->query->sort == AQ_SORT_BYTES && pass->query->has_limit &&
	    pass->query->limit && pass->query->limit < SIZE_MAX && !pass->query->reverse)
		aq_text_keep_top(pass->text, (size_t)pass->query->limit);
	pass->matching = 0;
	pass->header_put = pass->stopped = false;
	while (result == AQ_MORE && !pass->stopped) {
		result = aq_text_read(pass->text, aq_source_fd(pass->source), batch);
		if (batch != SIZE_MAX && pass->table->len && (result == AQ_MORE || result == AQ_DONE)) {
			int error = take_batch(pass);

			if (error)
				return output_failed(error);
		}
		if (!aq_source_is_file(pass->source) && aq_text_bytes(pass->text) > MOST_PIPED) {
			aq_problem_set(problem, AQ_P_SOURCE, "save it to a file", "%s holds more than 1 GiB",
				       aq_source_path(pass->source));
			return front_complain(problem);
		}
	}
	if (result == AQ_MORE || result == AQ_DONE)
		return -1;
	aq_text_problem(pass->text, aq_source_path(pass->source), result, problem);
	if (can_be_read(pass, result) && can_hand_over(pass))
		return STATUS_HAND_OVER;
	return front_complain(problem);
}

static int put_header_alone(struct pass *pass, const char *version)
{
	int error = make_chunk(&pass->sink, pass->table);

	if (error)
		return error;
	stage_header(&pass->sink, pass->query, version);
	return put_rows(&pass->sink, pass->query, pass->table, NULL, 0);
}

/* Several listings are never summed in silence. */
static int refuse_several(const struct pass *pass, aq_problem *problem)
{
	aq_problem_set(problem, AQ_P_FORMAT, "choose with --listing: 1, 2, last or all",
		       "%s may hold several listings", aq_source_path(pass->source));
	return can_hand_over(pass) ? STATUS_HAND_OVER : front_complain(problem);
}

/* The end of the last pass: what was held back is written. */
static int end_pass(struct pass *pass, aq_problem *problem)
{
	const struct query *query = pass->query;
	aq_info info = { .consistent = -1 };
	int error = 0, late = 0;

	if (!pass->stopped && aq_text_finish(pass->text, aq_source_path(pass->source), &info, problem))
		return aq_text_bytes(pass->text) && can_hand_over(pass) ? STATUS_HAND_OVER :
									    front_complain(problem);
	if (!aq_text_several(pass->text) && pass->stopped)
		late = has_late_header(pass);
	if (late == -ENOMEM)
		return output_failed(late);
	if (late < 0) {
		aq_source_problem(pass->source, late, problem);
		return front_complain(problem);
	}
	if (late || aq_text_several(pass->text))
		return refuse_several(pass, problem);
	if (needs_all(query))
		return deliver_table(query, pass->table, &info);
	if (query->stop_at_nothing && !pass->matching)
		return STATUS_NOTHING;
	if (query->count && !query->quiet)
		error = put_count(&pass->sink, pass->matching);
	else if (!query->quiet && !pass->header_put)
		error = put_header_alone(pass, info.version);
	if (!error)
		error = open_sink(&pass->sink);
	return error ? output_failed(error) : finish(&info, pass->matching);
}

static int answer_saved(const struct query *query, aq_source *source, aq_problem *problem)
{
	struct pass pass = {
		.query = query,
		.source = source,
		.table = aq_table_new(),
		.sink.escape = isatty(STDOUT_FILENO),
	};
	int status;

	if (!pass.table)
		return output_failed(-ENOMEM);
	status = run_pass(&pass, problem);
	if (status == -1 && pass.overflow && aq_text_several(pass.text))
		status = refuse_several(&pass, problem);
	if (status == -1 && pass.overflow) {
		/* The text is good: write as it comes this time. */
		pass.overflow = false;
		pass.sink.len = 0;
		pass.sink.open = true;
		status = run_pass(&pass, problem);
	}
	if (status == -1)
		status = end_pass(&pass, problem);
	if (status == STATUS_HAND_OVER && !aq_source_is_file(source))
		source->kept = aq_text_take_kept(pass.text, &source->kept_len);
	aq_text_free(pass.text);
	aq_table_free(pass.table);
	free_sink(&pass.sink);
	return status;
}

int front_answer(const struct query *query, aq_source *source, aq_problem *problem)
{
	return aq_source_is_live(source) ? answer_live(query, source, problem) :
					   answer_saved(query, source, problem);
}
