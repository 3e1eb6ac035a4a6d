// SPDX-License-Identifier: MIT
/*
 * How to ask a running kernel: which scans to make, and what is left to check in this process.
 *
 * A filter on names costs a walk over all tags, a size a sum over the possible CPUs for each tag
 * that passed the names, a tag returned a system call and a sum (mm/alloc_tag.c, matches_filter()).
 * A position costs the steps up to it: GET_AT counts them (allocinfo_ioctl_get_at()). What these
 * cost is measured on the host (costs.c).
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* A minimum size from which on few tags are left, without knowing them. */
static const int64_t NARROW_SIZE = 65536;
/* A limit on sizes below this saves nothing: most tags of a kernel are smaller. */
static const int64_t LEAST_TOP_SIZE = 4096;
/* Parsing the text has a price too: where the kernel's costs are this close, it is slower. */
static const double TEXT_MARGIN = 1.05;
/* Join two runs only if that is at least 25 % cheaper. */
static const double JOIN_BELOW = 0.75;

/* What a kernel filter says, before names are trimmed. */
struct fields {
	bool set[AQ_K_MAX_SIZE + 1];
	struct aq_str names[AQ_K_FILE + 1]; /* by enum aq_kfield */
	uint64_t numbers[AQ_K_MAX_SIZE + 1];
};

/* A filter that the kernel could check: how many tags it sums and returns. */
struct option {
	struct fields fields;
	size_t summed, returned;
	uint64_t least;
};

/* What the tag cache says of a question. */
struct known {
	const struct aq_cache *cache;
	const struct aq_question *question;
	size_t tags; /* of the kernel */
	uint8_t *matching; /* one byte a tag */
	struct aq_runs runs;
	size_t names_matching;
};

static enum aq_result failed(int error)
{
	errno = -error;
	return AQ_ERROR;
}

static void set_name(struct fields *fields, enum aq_kfield field, struct aq_str name)
{
	fields->set[field] = true;
	fields->names[field] = name;
}

static void set_number(struct fields *fields, enum aq_kfield field, uint64_t value)
{
	fields->set[field] = true;
	fields->numbers[field] = value;
}

static const struct {
	enum aq_field field;
	enum aq_kfield kernel;
	enum aq_strings strings;
} name_fields[] = {
	{ AQ_MODULE, AQ_K_MODULE, AQ_S_MODULE },
	{ AQ_FUNCTION, AQ_K_FUNCTION, AQ_S_FUNCTION },
	{ AQ_FILE, AQ_K_FILE, AQ_S_FILE },
};

enum { NAME_FIELDS = sizeof(name_fields) / sizeof(name_fields[0]) };

/*
 * What of a filter the kernel checks exactly, without knowing which tags there are. A file is only
 * the end of a path unless it is absolute; a maximum size alone would drop counters below zero,
 * which the kernel compares unsigned. It cannot find all that are underflowed: calls can be below
 * zero where bytes are not, and it compares no calls.
 */
static struct fields kernel_fields(const aq_filter *filter)
{
	struct fields fields = { 0 };

	if (filter->builtin)
		set_name(&fields, AQ_K_MODULE, AQ_STR(""));
	for (size_t i = 0; i < NAME_FIELDS; i++) {
		const struct aq_pattern_list *list = &filter->names[name_fields[i].field];

		if (list->len == 1 && list->items[0].kind == AQ_EXACT)
			set_name(&fields, name_fields[i].kernel,
				 (struct aq_str){ list->items[0].s, list->items[0].len });
	}
	if (filter->n_lines == 1 && filter->lines[0].low == filter->lines[0].high)
		set_number(&fields, AQ_K_LINE, filter->lines[0].low);
	if (filter->accuracy >= 0)
		set_number(&fields, AQ_K_INACCURATE, !filter->accuracy);
	if (filter->max_size < 0) {
		/* Both bounds are below zero: in order as unsigned numbers too, above all others. */
		set_number(&fields, AQ_K_MIN_SIZE, (uint64_t)filter->min_size);
		if (filter->max_size >= filter->min_size)
			set_number(&fields, AQ_K_MAX_SIZE, (uint64_t)filter->max_size);
	} else if (filter->min_size >= 0) {
		set_number(&fields, AQ_K_MIN_SIZE, (uint64_t)filter->min_size);
		/* The kernel refuses a range that is empty. */
		if (filter->max_size != INT64_MAX && filter->max_size >= filter->min_size)
			set_number(&fields, AQ_K_MAX_SIZE, (uint64_t)filter->max_size);
	}
	return fields;
}

/* Names that all matching tags share and the kernel can compare. */
static void add_shared(struct fields *fields, const struct known *known)
{
	const aq_table *names = &known->cache->names;

	for (size_t i = 0; i < NAME_FIELDS; i++) {
		enum aq_strings strings = name_fields[i].strings;
		struct aq_str name;
		size_t row;

		if (!known->question->filter->names[name_fields[i].field].len ||
		    !aq_table_shared(names, known->matching, strings, &row))
			continue;
		name.s = aq_table_string(names, row, strings, &name.len);
		set_name(fields, name_fields[i].kernel, name);
	}
}

static bool is_empty(const struct fields *fields)
{
	for (int field = 0; field <= AQ_K_MAX_SIZE; field++)
		if (fields->set[field])
			return false;
	return true;
}

static bool has_names(const struct fields *fields)
{
	return fields->set[AQ_K_MODULE] || fields->set[AQ_K_FUNCTION] || fields->set[AQ_K_FILE] ||
	       fields->set[AQ_K_LINE] || fields->set[AQ_K_INACCURATE];
}

/* Do these fields alone keep most tags from being returned? */
static bool is_narrow(const struct fields *fields)
{
	return fields->set[AQ_K_FUNCTION] || fields->set[AQ_K_FILE] || fields->set[AQ_K_LINE] ||
	       (fields->set[AQ_K_MODULE] && fields->names[AQ_K_MODULE].len) ||
	       (fields->set[AQ_K_INACCURATE] && fields->numbers[AQ_K_INACCURATE] == 1) ||
	       (fields->set[AQ_K_MIN_SIZE] && fields->numbers[AQ_K_MIN_SIZE] >= (uint64_t)NARROW_SIZE);
}

/* How many tags of the cache a kernel filter lets through, its sizes included or not. */
static int count_passing(const aq_table *names, const struct fields *fields, bool sizes, size_t *count)
{
	aq_filter filter;
	int error = 0;

	aq_filter_init(&filter);
	for (size_t i = 0; i < NAME_FIELDS && !error; i++) {
		struct aq_str name = fields->names[name_fields[i].kernel];

		if (!fields->set[name_fields[i].kernel])
			continue;
		if (name_fields[i].kernel == AQ_K_MODULE && !name.len)
			aq_filter_builtin(&filter);
		else
			error = aq_filter_pattern(&filter, name_fields[i].field, AQ_EXACT, name.s, name.len);
	}
	if (fields->set[AQ_K_LINE] && !error)
		error = aq_filter_line(&filter, fields->numbers[AQ_K_LINE], fields->numbers[AQ_K_LINE]);
	if (fields->set[AQ_K_INACCURATE])
		aq_filter_accuracy(&filter, !fields->numbers[AQ_K_INACCURATE]);
	if (sizes && fields->set[AQ_K_MIN_SIZE])
		filter.min_size = (int64_t)fields->numbers[AQ_K_MIN_SIZE];
	if (sizes && fields->set[AQ_K_MAX_SIZE])
		filter.max_size = (int64_t)fields->numbers[AQ_K_MAX_SIZE];
	if (!error)
		*count = aq_table_count(names, &filter);
	aq_filter_clear(&filter);
	return error;
}

static int fill_option(const struct known *known, struct option *option)
{
	const aq_table *names = &known->cache->names;
	int error = count_passing(names, &option->fields, false, &option->summed);

	return error ? error : count_passing(names, &option->fields, true, &option->returned);
}

static int add_run(struct aq_runs *runs, uint32_t first, uint32_t count)
{
	size_t cap = runs->cap, same = runs->cap;
	uint32_t *firsts = aq_grown(runs->first, &cap, runs->len + 1, sizeof(*firsts), 16), *counts;

	if (!firsts)
		return -ENOMEM;
	runs->first = firsts;
	counts = aq_grown(runs->count, &same, runs->len + 1, sizeof(*counts), 16);
	if (!counts)
		return -ENOMEM;
	runs->count = counts;
	runs->cap = cap;
	runs->first[runs->len] = first;
	runs->count[runs->len++] = count;
	return 0;
}

/* The runs of matching tags, the first `most` tags of them. */
static int find_runs(const struct known *known, uint64_t most, struct aq_runs *runs)
{
	size_t tags = known->cache->names.len;

	for (size_t at = 0; at < tags && most;) {
		const uint8_t *next = memchr(known->matching + at, 1, tags - at), *end;
		size_t count;
		int error;

		if (!next)
			break;
		at = (size_t)(next - known->matching);
		end = memchr(next, 0, tags - at);
		count = end ? (size_t)(end - next) : tags - at;
		if (count > most)
			count = (size_t)most;
		error = add_run(runs, (uint32_t)at, (uint32_t)count);
		if (error)
			return error;
		at += count;
		most -= count;
	}
	return 0;
}

/* Runs with the gaps read as well where that is cheaper than to step up to the next one. */
static int join_runs(const struct aq_runs *runs, const aq_costs *costs, struct aq_runs *joined)
{
	for (size_t i = 0; i < runs->len; i++) {
		uint32_t *count = joined->len ? &joined->count[joined->len - 1] : NULL;
		uint32_t gap = count ? runs->first[i] - joined->first[joined->len - 1] - *count : 0;
		int error;

		if (count && (double)gap * (double)costs->tag <
				     JOIN_BELOW * (double)runs->first[i] * (double)costs->step) {
			*count += gap + runs->count[i];
			continue;
		}
		error = add_run(joined, runs->first[i], runs->count[i]);
		if (error)
			return error;
	}
	return 0;
}

static int compare_sizes(const void *x, const void *y)
{
	const int64_t *a = x, *b = y;

	return (*a < *b) - (*a > *b);
}

/*
 * A minimum size that the `top` largest should still pass, with an eighth of room for what moved.
 * False where it would save nothing.
 */
static int find_top_size(const struct known *known, const aq_table *names, uint64_t top, int64_t least,
			 int64_t *size)
{
	size_t matching = 0;
	int64_t *sizes;

	*size = 0;
	if (known->names_matching <= top)
		return 0;
	sizes = calloc(known->names_matching, sizeof(*sizes));
	if (!sizes)
		return -ENOMEM;
	for (size_t i = 0; i < names->len; i++)
		if (known->matching[i])
			sizes[matching++] = names->rows[i].bytes;
	qsort(sizes, matching, sizeof(*sizes), compare_sizes);
	*size = sizes[top - 1] - sizes[top - 1] / 8;
	if (*size <= (least > LEAST_TOP_SIZE ? least : LEAST_TOP_SIZE))
		*size = 0;
	free(sizes);
	return 0;
}

aq_plan *aq_plan_text(enum aq_reason reason)
{
	aq_plan *plan = calloc(1, sizeof(*plan));

	if (plan)
		*plan = (aq_plan){ .method = AQ_READ_TEXT, .reason = reason, .expected = -1, .cost = -1 };
	return plan;
}

void aq_plan_free(aq_plan *plan)
{
	while (plan) {
		aq_plan *next = plan->next;

		aq_kfilter_free(plan->kernel);
		free(plan->runs.first);
		free(plan->runs.count);
		free(plan);
		plan = next;
	}
}

/* The plan that lets the kernel filter; costs are filled in by the caller. */
static aq_plan *plan_filter(const struct fields *fields, enum aq_reason reason)
{
	aq_plan *plan = aq_plan_text(reason);
	aq_kfilter *kernel = plan ? aq_kfilter_new() : NULL;

	if (!kernel) {
		aq_plan_free(plan);
		return NULL;
	}
	plan->method = AQ_FILTER;
	plan->kernel = kernel;
	for (enum aq_kfield field = AQ_K_MODULE; field <= AQ_K_MAX_SIZE; field++) {
		if (!fields->set[field])
			continue;
		if (field <= AQ_K_FILE)
			aq_kfilter_name(kernel, field, fields->names[field].s, fields->names[field].len);
		else
			aq_kfilter_number(kernel, field, fields->numbers[field]);
	}
	return plan;
}

/* Into the list of plans, which is sorted by cost; equals keep their order. */
static void insert(aq_plan **plans, aq_plan *plan)
{
	while (*plans && (*plans)->cost <= plan->cost)
		plans = &(*plans)->next;
	plan->next = *plans;
	*plans = plan;
}

/* A cost is an estimate: what is beyond all bounds is only that. */
static int64_t cost_of(double ns)
{
	return ns < 0x1p62 ? (int64_t)ns : INT64_MAX;
}

static int add_filter_plan(const struct known *known, const struct option *option, aq_plan **plans)
{
	const aq_costs *costs = &known->cache->costs;
	enum aq_reason reason = option->least ? AQ_R_LARGEST : AQ_R_KERNEL_FILTER;
	double tags = (double)known->tags, cost;
	aq_plan *plan = plan_filter(&option->fields, reason);

	if (!plan)
		return -ENOMEM;
	cost = (double)costs->call + tags * (double)costs->step + (double)option->returned * (double)costs->tag;
	if (has_names(&option->fields))
		cost += tags * (double)costs->compare;
	if (option->fields.set[AQ_K_MIN_SIZE] && option->summed > option->returned)
		cost += (double)(option->summed - option->returned) * (double)costs->sum;
	plan->expected = (int64_t)option->returned;
	plan->cost = cost_of(cost);
	plan->least = option->least;
	insert(plans, plan);
	return 0;
}

static int add_seek_plan(const struct known *known, aq_plan **plans)
{
	const aq_costs *costs = &known->cache->costs;
	bool joinable = !known->question->wanted->first;
	double returned = 0, steps = 0;
	uint64_t matching = 0;
	aq_plan *plan = aq_plan_text(AQ_R_POSITIONS);
	int error = plan ? 0 : -ENOMEM;

	if (plan && joinable)
		error = join_runs(&known->runs, costs, &plan->runs);
	for (size_t i = 0; plan && !joinable && i < known->runs.len && !error; i++)
		error = add_run(&plan->runs, known->runs.first[i], known->runs.count[i]);
	if (error) {
		aq_plan_free(plan);
		return error;
	}
	for (size_t i = 0; i < known->runs.len; i++)
		matching += known->runs.count[i];
	for (size_t i = 0; i < plan->runs.len; i++) {
		returned += plan->runs.count[i];
		steps += plan->runs.first[i];
	}
	plan->method = AQ_SEEK;
	plan->expected = (int64_t)returned;
	plan->joined = (uint64_t)returned > matching;
	plan->cost = cost_of((double)costs->call + steps * (double)costs->step + returned * (double)costs->tag);
	if (!known->runs.len) {
		plan->reason = AQ_R_NO_MATCH;
		plan->cost = 0;
	}
	insert(plans, plan);
	return 0;
}

/* The kernel filters worth considering, each as a plan. */
static int add_filter_plans(const struct known *known, aq_plan **plans)
{
	const aq_filter *filter = known->question->filter;
	uint64_t top = known->question->wanted->top;
	struct option option = { .fields = kernel_fields(filter) };
	int64_t size;
	int error = 0;

	add_shared(&option.fields, known);
	if (!is_empty(&option.fields)) {
		error = fill_option(known, &option);
		if (!error)
			error = add_filter_plan(known, &option, plans);
	}
	if (error || !top || filter->max_size != INT64_MAX || filter->underflowed)
		return error;
	error = find_top_size(known, &known->cache->names, top,
			      option.fields.set[AQ_K_MIN_SIZE] ?
				      (int64_t)option.fields.numbers[AQ_K_MIN_SIZE] : 0,
			      &size);
	if (error || !size)
		return error;
	set_number(&option.fields, AQ_K_MIN_SIZE, (uint64_t)size);
	option.least = top;
	error = fill_option(known, &option);
	return error ? error : add_filter_plan(known, &option, plans);
}

/* The text as one plan more: first where it is clearly cheapest, else second. */
static int add_text_plan(const struct known *known, aq_plan **plans)
{
	uint64_t text = known->cache->costs.text;
	aq_plan *plan = aq_plan_text(AQ_R_TEXT_CHEAPER), *best = *plans;

	if (!plan)
		return -ENOMEM;
	plan->cost = cost_of((double)text);
	if ((double)best->cost > TEXT_MARGIN * (double)text) {
		plan->next = best;
		*plans = plan;
	} else {
		plan->next = best->next;
		best->next = plan;
	}
	return 0;
}

/*
 * The tags of the cached text that are at least `min_size`, or the `top` largest: without parsing
 * the others. *tags is how many there are in all.
 */
static enum aq_result scan_cache(const struct aq_cache *cache, const aq_filter *filter, size_t top,
				 const aq_hooks *hooks, aq_table *table, size_t *tags)
{
	aq_text *text = aq_text_new(filter, table);
	enum aq_result result = text ? AQ_DONE : AQ_ERROR;

	if (text && top)
		aq_text_keep_top(text, top);
	if (result == AQ_DONE)
		result = aq_text_feed(text, cache->text, cache->text_len);
	if (result == AQ_DONE)
		result = aq_text_take_all(text, hooks);
	if (result == AQ_DONE)
		*tags = (size_t)aq_text_tags(text);
	aq_text_free(text);
	return result == AQ_DONE || result == AQ_ERROR || result == AQ_STOPPED ? result : AQ_STALE;
}

/* A kernel filter on sizes as a plan; `min_size` replaces the question's own where it is not 0. */
static enum aq_result add_size_plan(struct known *known, uint64_t min_size, uint64_t least, aq_plan **plans)
{
	struct option option = { .fields = kernel_fields(known->question->filter), .least = least };
	aq_filter filter = *known->question->filter;
	aq_table passing = { .len = 0 };
	enum aq_result result;

	if (min_size) {
		set_number(&option.fields, AQ_K_MIN_SIZE, min_size);
		filter.min_size = (int64_t)min_size;
	}
	if (is_empty(&option.fields))
		return AQ_DONE;
	result = scan_cache(known->cache, &filter, 0, known->question->hooks, &passing, &known->tags);
	option.summed = known->tags;
	option.returned = passing.len;
	free(passing.rows);
	free(passing.text);
	if (result == AQ_DONE && add_filter_plan(known, &option, plans)) {
		errno = ENOMEM;
		result = AQ_ERROR;
	}
	return result;
}

/* Does the answer need no more than the largest tags, whatever their names? */
static bool is_top_of_all(const struct aq_question *question)
{
	const aq_filter *filter = question->filter;

	return question->wanted->top && question->wanted->top < SIZE_MAX / 4 && !filter->has_names &&
	       !filter->underflowed && filter->max_size == INT64_MAX && !(question->hooks && question->hooks->search);
}

/*
 * The plans for the largest of all tags. Reading every tag by its position is not among them: it
 * never costs less than the text.
 */
static enum aq_result plan_top(const struct aq_question *question, const struct aq_cache *cache,
			       aq_plan **plans)
{
	struct known known = { .cache = cache, .question = question };
	size_t top = (size_t)question->wanted->top;
	aq_table largest = { .len = 0 };
	int64_t size = 0;
	enum aq_result result = scan_cache(cache, question->filter, top, question->hooks, &largest, &known.tags);

	known.matching = calloc(largest.len + 1, 1);
	if (result == AQ_DONE && !known.matching)
		result = failed(-ENOMEM);
	if (result == AQ_DONE) {
		memset(known.matching, 1, largest.len);
		known.names_matching = largest.len;
		if (find_top_size(&known, &largest, top, question->filter->min_size, &size))
			result = failed(-ENOMEM);
	}
	if (result == AQ_DONE)
		result = add_size_plan(&known, 0, 0, plans);
	if (result == AQ_DONE && size)
		result = add_size_plan(&known, (uint64_t)size, top, plans);
	if (result == AQ_DONE && *plans && question->source->interface == AQ_AUTO && add_text_plan(&known, plans))
		result = failed(-ENOMEM);
	free(known.matching);
	free(largest.rows);
	free(largest.text);
	return result;
}

/* Which tags of the cache match by name, regular expressions included. */
static enum aq_result match_names(struct known *known)
{
	const struct aq_question *question = known->question;
	const aq_table *names = &known->cache->names;
	const aq_hooks *hooks = question->hooks;
	size_t matching;
	int error;

	known->matching = calloc(names->len + 1, 1);
	if (!known->matching)
		return failed(-ENOMEM);
	error = aq_table_match_names(names, question->filter, hooks, known->matching, &matching);
	if (error || (matching && hooks && hooks->search &&
		      hooks->search(hooks->context, names, known->matching)))
		return AQ_STOPPED;
	for (size_t i = 0; i < names->len; i++)
		known->names_matching += known->matching[i];
	return AQ_DONE;
}

/* The plans that the tag cache allows, cheapest first. */
static enum aq_result plan_known(const struct aq_question *question, struct aq_cache *cache,
				 aq_plan **plans)
{
	struct known known = { .cache = cache, .question = question };
	bool first = question->wanted->first && !aq_filter_asks_counters(question->filter);
	enum aq_result result = aq_cache_parse(cache);
	int error = 0;

	known.tags = cache->names.len;
	if (result == AQ_DONE)
		result = match_names(&known);
	if (result == AQ_DONE) {
		error = find_runs(&known, first ? question->wanted->first : UINT64_MAX, &known.runs);
		if (!error)
			error = add_seek_plan(&known, plans);
		if (!error && known.runs.len)
			error = add_filter_plans(&known, plans);
		if (!error && known.runs.len && question->source->interface == AQ_AUTO)
			error = add_text_plan(&known, plans);
	}
	free(known.matching);
	free(known.runs.first);
	free(known.runs.count);
	return error ? failed(error) : result;
}

enum aq_result aq_plan_make(const struct aq_question *question, struct aq_cache *cache,
			    aq_plan **plan)
{
	const aq_source *source = question->source;
	struct fields fields;
	enum aq_result result;

	*plan = NULL;
	if (source->interface == AQ_TEXT) {
		*plan = aq_plan_text(AQ_R_TEXT_REQUESTED);
	} else if (!source->has_ioctl) {
		*plan = aq_plan_text(AQ_R_NO_IOCTL);
	} else if (cache) {
		result = AQ_DONE;
		if (!cache->parsed && is_top_of_all(question))
			result = plan_top(question, cache, plan);
		if (result == AQ_DONE && !*plan)
			result = plan_known(question, cache, plan);
		if (result != AQ_DONE) {
			aq_plan_free(*plan);
			*plan = NULL;
		}
		return result;
	} else {
		fields = kernel_fields(question->filter);
		*plan = is_narrow(&fields) ? plan_filter(&fields, AQ_R_KERNEL_FILTER) :
					     aq_plan_text(AQ_R_TAGS_UNKNOWN);
	}
	return *plan ? AQ_DONE : failed(-ENOMEM);
}

enum aq_method aq_plan_method(const aq_plan *plan)
{
	return plan->method;
}

enum aq_reason aq_plan_reason(const aq_plan *plan)
{
	return plan->reason;
}

const aq_kfilter *aq_plan_kernel(const aq_plan *plan)
{
	return plan->kernel;
}

size_t aq_plan_runs(const aq_plan *plan, const uint32_t **first, const uint32_t **count)
{
	*first = plan->runs.first;
	*count = plan->runs.count;
	return plan->runs.len;
}

int64_t aq_plan_expected(const aq_plan *plan)
{
	return plan->expected;
}

int64_t aq_plan_cost(const aq_plan *plan)
{
	return plan->cost;
}

int aq_plan_joined(const aq_plan *plan)
{
	return plan->joined;
}

const aq_plan *aq_plan_other(const aq_plan *plan, size_t i)
{
	for (plan = plan->next; plan && i; i--)
		plan = plan->next;
	return plan;
}
