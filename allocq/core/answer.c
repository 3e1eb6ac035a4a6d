// SPDX-License-Identifier: MIT
/* A question to the running kernel: tag cache, plan, scans, and again where modules moved. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

enum {
	ATTEMPTS = 11,
	PULSE_BYTES = 16 << 10, /* of text; reading it sums counters over all CPUs */
};

/* One attempt: what it has to work with, and what it found. */
struct attempt {
	struct aq_question question;
	struct aq_cache cache;
	bool has_cache;
	aq_table *out;
	aq_info *info;
	bool cut;
	aq_text *text; /* that failed, for its words */
	aq_problem *problem;
};

static enum aq_result failed(int error)
{
	errno = -error;
	return AQ_ERROR;
}

enum aq_result aq_apply(const struct aq_question *question, aq_table *table)
{
	const aq_hooks *hooks = question->hooks;
	uint8_t *keep;
	int stop, error;

	error = aq_table_filter(table, question->filter, hooks);
	if (error)
		return error == -ECANCELED ? AQ_STOPPED : failed(error);
	if (!hooks || !hooks->search || !table->len)
		return AQ_DONE;
	keep = malloc(table->len);
	if (!keep)
		return failed(-ENOMEM);
	memset(keep, 1, table->len);
	stop = hooks->search(hooks->context, table, keep);
	if (!stop)
		aq_table_keep(table, keep);
	free(keep);
	return stop ? AQ_STOPPED : AQ_DONE;
}

static void drop_cache(struct attempt *attempt)
{
	if (attempt->has_cache)
		aq_cache_clear(&attempt->cache);
	attempt->has_cache = false;
}

static enum aq_result learn(struct attempt *attempt)
{
	enum aq_result result;

	drop_cache(attempt);
	result = aq_learn(attempt->question.source, attempt->question.hooks, &attempt->cache);
	attempt->has_cache = result == AQ_DONE;
	return result;
}

/* Takes what the text says of itself into the answer. */
static enum aq_result finish_text(struct attempt *attempt, aq_text *text)
{
	const char *path = attempt->question.source->path;

	if (!aq_text_headers(text) && !aq_text_tags(text)) {
		aq_problem_set(attempt->problem, AQ_P_FORMAT, "", "%s is not a valid allocinfo listing",
			       path);
		return AQ_BAD_LINE;
	}
	memcpy(attempt->info->version, aq_text_version(text), sizeof(attempt->info->version));
	if (aq_text_unfinished(text)) {
		attempt->cut = true;
		aq_info_warn(attempt->info, "%s: ignored the last line, which has no newline", path);
	}
	return AQ_DONE;
}

static enum aq_result stream_text(struct attempt *attempt)
{
	const struct aq_question *question = &attempt->question;
	aq_text *text = aq_text_new(question->filter, attempt->out);
	enum aq_result result = AQ_MORE;

	attempt->info->interface = AQ_TEXT;
	if (!text)
		return failed(-ENOMEM);
	aq_text_set_breath(text, PULSE_BYTES);
	if (lseek(question->source->fd, 0, SEEK_SET) < 0)
		result = AQ_ERROR;
	while (result == AQ_MORE) {
		result = aq_text_read(text, question->source->fd, SIZE_MAX);
		if (result == AQ_MORE && aq_stopped(question->hooks))
			result = AQ_STOPPED;
	}
	if (result == AQ_BAD_LINE || result == AQ_LONG_LINE || result == AQ_NEWER)
		aq_text_problem(text, question->source->path, result, attempt->problem);
	else if (result == AQ_DONE)
		result = finish_text(attempt, text);
	if (result == AQ_DONE)
		result = aq_apply(question, attempt->out);
	aq_text_free(text);
	return result;
}

/* The text, kept as the tag cache on the way where there is none. */
static enum aq_result read_text(struct attempt *attempt)
{
	const struct aq_question *question = &attempt->question;
	const aq_source *source = question->source;
	enum aq_result result;
	aq_text *text;

	if (!source->has_ioctl || attempt->has_cache || source->interface != AQ_AUTO)
		return stream_text(attempt);
	result = learn(attempt);
	if (result == AQ_STOPPED || (result == AQ_ERROR && errno == ENOMEM))
		return result;
	if (result != AQ_DONE) /* streaming words what is wrong with a text */
		return stream_text(attempt);
	attempt->info->interface = AQ_TEXT;
	text = aq_text_new(question->filter, attempt->out);
	result = text ? aq_text_feed(text, attempt->cache.text, attempt->cache.text_len) : AQ_ERROR;
	if (result == AQ_DONE)
		result = aq_text_take_all(text, question->hooks);
	if (result == AQ_DONE)
		result = aq_text_feed(text, "", 0);
	if (result == AQ_DONE)
		result = finish_text(attempt, text);
	if (result == AQ_DONE)
		result = aq_apply(question, attempt->out);
	aq_text_free(text);
	return result;
}

static enum aq_result seek(struct attempt *attempt, const aq_plan *plan)
{
	const struct aq_question *question = &attempt->question;
	uint64_t first = question->wanted->first;
	enum aq_result result;

	attempt->info->interface = AQ_IOCTL;
	result = aq_seek(question->source->fd, &attempt->cache.names, plan->runs.first, plan->runs.count,
			 plan->runs.len, question->filter, first && first < SIZE_MAX ? (size_t)first : SIZE_MAX,
			 question->hooks, attempt->out, &attempt->info->ioctls);
	return result == AQ_DONE && plan->joined ? aq_apply(question, attempt->out) : result;
}

/* How many rows passed a minimum size that was only a guess. Counters below zero do not count. */
static size_t count_at_least(const aq_table *table, uint64_t min_size)
{
	size_t count = 0;

	for (size_t i = 0; i < table->len; i++)
		count += table->rows[i].bytes >= 0 && (uint64_t)table->rows[i].bytes >= min_size;
	return count;
}

/* AQ_AMBIGUOUS where the plan turns out too narrow, or names cannot be told apart. */
static enum aq_result filter(struct attempt *attempt, const aq_plan *plan)
{
	const struct aq_question *question = &attempt->question;
	enum aq_result result;
	uint64_t min_size = 0;
	const char *name;

	attempt->info->interface = AQ_IOCTL;
	result = aq_scan(question->source->fd, plan->kernel, question->filter, SIZE_MAX, question->hooks,
			 attempt->out, &attempt->info->ioctls);
	if (result == AQ_DONE && attempt->out->trimmed) {
		result = attempt->has_cache ? aq_cache_parse(&attempt->cache) : learn(attempt);
		if (result == AQ_DONE)
			result = aq_table_resolve(attempt->out, &attempt->cache.names);
	}
	if (result == AQ_DONE)
		result = aq_apply(question, attempt->out);
	if (result == AQ_DONE && plan->least && aq_kfilter_field(plan->kernel, AQ_K_MIN_SIZE, &name, &min_size) &&
	    count_at_least(attempt->out, min_size) < plan->least)
		result = AQ_AMBIGUOUS;
	return result;
}

static enum aq_result follow(struct attempt *attempt, const aq_plan *plan)
{
	aq_table_clear(attempt->out);
	switch (plan->method) {
	case AQ_SEEK:
		return seek(attempt, plan);
	case AQ_FILTER:
		return filter(attempt, plan);
	default:
		return read_text(attempt);
	}
}

/* Is the ioctl, which was there, now refused, so that the text is to be tried? */
static bool may_read_text(const struct attempt *attempt, enum aq_result result)
{
	return result == AQ_AMBIGUOUS || (result == AQ_ERROR && errno != ENOMEM &&
					  attempt->question.source->interface == AQ_AUTO);
}

/* One scan by the best plan; the next best where that is too narrow. */
static enum aq_result scan(struct attempt *attempt)
{
	static const aq_wanted all = { 0, 0 };
	const aq_wanted *wanted = attempt->question.wanted;
	enum aq_result result = AQ_DONE;
	aq_plan *plan = NULL;

	if (!attempt->has_cache && attempt->question.source->interface == AQ_IOCTL)
		result = learn(attempt);
	for (int narrowed = 1; result == AQ_DONE; narrowed--) {
		result = aq_plan_make(&attempt->question, attempt->has_cache ? &attempt->cache : NULL, &plan);
		if (result == AQ_DONE)
			result = follow(attempt, plan);
		if (result != AQ_AMBIGUOUS || !narrowed || !plan->least)
			break;
		aq_plan_free(plan);
		plan = NULL;
		attempt->question.wanted = &all;
		result = AQ_DONE;
	}
	if (may_read_text(attempt, result) && (!plan || plan->method != AQ_READ_TEXT)) {
		aq_table_clear(attempt->out);
		result = stream_text(attempt);
	}
	attempt->question.wanted = wanted;
	aq_plan_free(plan);
	return result;
}

/* Fallback when every attempt saw modules change: read once, whatever moves. */
static enum aq_result read_torn(struct attempt *attempt)
{
	const struct aq_question *question = &attempt->question;
	enum aq_result result;
	aq_kfilter *kernel;

	aq_table_clear(attempt->out);
	if (question->source->interface != AQ_IOCTL)
		return stream_text(attempt);
	kernel = aq_kfilter_new();
	if (!kernel)
		return failed(-ENOMEM);
	attempt->info->interface = AQ_IOCTL;
	result = aq_scan(question->source->fd, kernel, question->filter, SIZE_MAX, question->hooks,
			 attempt->out, &attempt->info->ioctls);
	aq_kfilter_free(kernel);
	if (result != AQ_DONE)
		return result;
	if (!attempt->out->trimmed)
		return aq_apply(question, attempt->out);
	aq_table_clear(attempt->out); /* the text has the whole names */
	return stream_text(attempt);
}

static void set_problem(const aq_source *source, enum aq_result result, aq_problem *problem)
{
	if (problem->kind != AQ_P_NONE)
		return;
	if (result == AQ_STOPPED)
		aq_problem_set(problem, AQ_P_STOPPED, "", "interrupted");
	else if (result == AQ_ERROR)
		aq_source_lost(source, errno, problem);
	else
		aq_problem_set(problem, AQ_P_SOURCE, "", "cannot read %s", source->path);
}

static int64_t wall_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void begin(struct attempt *attempt)
{
	const aq_source *source = attempt->question.source;
	uint64_t ioctls = attempt->info->ioctls;

	*attempt->info = (aq_info){ .interface = AQ_TEXT, .consistent = -1, .ioctls = ioctls };
	attempt->info->time_ns = wall_clock_ns();
	attempt->cut = false;
	aq_table_clear(attempt->out);
	if (source->warning[0])
		aq_info_warn(attempt->info, "%s", source->warning);
}

/* Did the modules stay while the scan ran? -1: that cannot be known. */
static int is_consistent(const struct attempt *attempt, int known, uint64_t before)
{
	uint64_t after = 0;

	if (attempt->cut)
		return 0;
	if (!known || aq_source_content_id(attempt->question.source, &after) != 1)
		return known ? 0 : -1;
	return after == before;
}

static enum aq_result read_consistently(struct attempt *attempt)
{
	const aq_source *source = attempt->question.source;
	bool trusted = true;

	for (int i = 1; i <= ATTEMPTS; i++) {
		bool last = i == ATTEMPTS;
		uint64_t before = 0, now = 0;
		int known = aq_source_content_id(source, &before);
		enum aq_result result;

		if (known < 0)
			return failed(known == -EINVAL ? -ENOTTY : known);
		begin(attempt);
		drop_cache(attempt);
		if (trusted && !last && known && source->interface != AQ_TEXT)
			attempt->has_cache = !aq_cache_load(&before, &attempt->cache);
		result = last ? read_torn(attempt) : scan(attempt);
		if (result == AQ_STALE) {
			trusted = aq_source_content_id(source, &now) == 1 && now != before;
			continue;
		}
		if (result != AQ_DONE)
			return result;
		attempt->info->has_content_id = known;
		attempt->info->content_id = before;
		attempt->info->consistent = is_consistent(attempt, known, before);
		if (attempt->info->consistent || attempt->cut)
			return AQ_DONE;
	}
	attempt->info->consistent = 0;
	aq_info_warn(attempt->info, "modules were loaded or unloaded during every scan; the answer may be torn");
	return AQ_DONE;
}

static const aq_wanted everything = { 0, 0 };

int aq_source_read(aq_source *source, const aq_filter *filter, const aq_wanted *wanted,
		   const aq_hooks *hooks, aq_table *out, aq_info *info, aq_problem *problem)
{
	struct attempt attempt = {
		.question = { source, filter, wanted ? wanted : &everything, hooks },
		.out = out,
		.info = info,
		.problem = problem,
	};
	enum aq_result result;

	*info = (aq_info){ .consistent = -1 };
	problem->kind = AQ_P_NONE;
	result = read_consistently(&attempt);
	drop_cache(&attempt);
	if (result == AQ_DONE)
		return 0;
	set_problem(source, result, problem);
	return -1;
}

aq_plan *aq_source_plan(aq_source *source, const aq_filter *filter, const aq_wanted *wanted,
			const aq_hooks *hooks, aq_problem *problem)
{
	struct attempt attempt = {
		.question = { source, filter, wanted ? wanted : &everything, hooks },
	};
	enum aq_result result = AQ_DONE;
	aq_plan *plan = NULL;
	uint64_t content;
	int known = aq_source_content_id(source, &content);

	problem->kind = AQ_P_NONE;
	if (known > 0 && source->interface != AQ_TEXT)
		attempt.has_cache = !aq_cache_load(&content, &attempt.cache);
	if (known > 0 && !attempt.has_cache && source->interface == AQ_IOCTL)
		result = learn(&attempt);
	if (result == AQ_DONE)
		result = aq_plan_make(&attempt.question, attempt.has_cache ? &attempt.cache : NULL, &plan);
	drop_cache(&attempt);
	if (result != AQ_DONE)
		set_problem(source, result, problem);
	return plan;
}
