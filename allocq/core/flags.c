// SPDX-License-Identifier: MIT
/*
 * The flags of a plain `query`, read as Python's reader reads them. What this file is not sure of it
 * leaves to Python: misspelt flags, help, operands, regular expressions, sums.
 */
#include <stdio.h>
#include <string.h>

#include "front.h"

enum flag_kind { TAKES_NOTHING, TAKES_VALUE, SWITCHES_OFF };

struct flag {
	const char *name; /* without its dashes */
	int id;
	enum flag_kind kind;
};

#include "flags.h"

static const struct flag *find_flag(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strlen(flags[i].name) == len && !memcmp(flags[i].name, name, len))
			return &flags[i];
	return NULL;
}

/* The position of a word in a list that ends with NULL; -1 if it is not there. */
static int find_word(const char *const *list, const char *word)
{
	for (int i = 0; list[i]; i++)
		if (!strcmp(list[i], word))
			return i;
	return -1;
}

bool front_asks_version(char *const *words)
{
	return words[0] && !words[1] && find_word(version_flags, words[0]) >= 0;
}

int front_print_version(void)
{
	char line[64];

	snprintf(line, sizeof(line), "allocq %s (no Python)\n", version);
	return front_print(line);
}

/* What is said once the flags are read together. */
struct reading {
	struct query *query;
	bool has_min_size, has_max_size, has_min_calls, has_max_calls, accurate, inaccurate;
};

static bool take_name(aq_filter *filter, enum aq_field field, const char *value)
{
	size_t at, len = strlen(value);

	return aq_pattern_check(value, len, &at) == AQ_PATTERN_OK && !aq_filter_name(filter, field, value, len);
}

static bool take_lines(aq_filter *filter, const char *value)
{
	const char *dash = strchr(value, '-');
	size_t len = dash ? (size_t)(dash - value) : strlen(value);
	uint64_t low, high;

	if (aq_parse_count(value, len, &low) != AQ_NUMBER_OK)
		return false;
	high = low;
	if (dash && aq_parse_count(dash + 1, strlen(dash + 1), &high) != AQ_NUMBER_OK)
		return false;
	return low <= high && !aq_filter_line(filter, low, high);
}

/* One option given several times widens: the least minimum, the greatest maximum. */
static bool take_bound(const char *value, bool is_size, bool *given, bool is_minimum, int64_t *bound)
{
	int64_t taken;

	if (aq_parse_bound(value, strlen(value), is_size, &taken) != AQ_NUMBER_OK)
		return false;
	if (!*given || (is_minimum ? taken < *bound : taken > *bound))
		*bound = taken;
	*given = true;
	return true;
}

static bool take_choice(const char *const *list, const char *value, int *chosen)
{
	*chosen = find_word(list, value);
	return *chosen >= 0;
}

static bool take_format(struct query *query, const char *value)
{
	static const char *const formats[] = { "table", "json", "procfs", "jsonl", "csv", "tsv", NULL };
	int chosen = find_word(formats, value);

	query->format = (enum front_format)(FRONT_TABLE + chosen);
	return chosen >= 0;
}

static bool take_value(struct reading *reading, int id, const char *value)
{
	static const char *const sorts[] = { "none", "bytes", "calls", "average", "file", "function",
					     "module", NULL };
	static const char *const interfaces[] = { "auto", "ioctl", "text", NULL };
	struct query *query = reading->query;
	aq_filter *filter = &query->filter;
	int chosen;

	switch (id) {
	case OPTION_FILE:
		return take_name(filter, AQ_FILE, value);
	case OPTION_FUNCTION:
		return take_name(filter, AQ_FUNCTION, value);
	case OPTION_MODULE:
		return take_name(filter, AQ_MODULE, value);
	case OPTION_EXCLUDE:
		return take_name(filter, AQ_EXCLUDE, value);
	case OPTION_LINE:
		return take_lines(filter, value);
	case OPTION_MIN_SIZE:
		return take_bound(value, true, &reading->has_min_size, true, &filter->min_size);
	case OPTION_MAX_SIZE:
		return take_bound(value, true, &reading->has_max_size, false, &filter->max_size);
	case OPTION_MIN_CALLS:
		return take_bound(value, false, &reading->has_min_calls, true, &filter->min_calls);
	case OPTION_MAX_CALLS:
		return take_bound(value, false, &reading->has_max_calls, false, &filter->max_calls);
	case OPTION_FORMAT:
		return take_format(query, value);
	case OPTION_SORT:
		if (!take_choice(sorts, value, &chosen))
			return false;
		query->sort = (enum aq_sort)chosen;
		return true;
	case OPTION_LIMIT:
		query->has_limit = true;
		return aq_parse_count(value, strlen(value), &query->limit) == AQ_NUMBER_OK;
	case OPTION_INTERFACE:
		if (!take_choice(interfaces, value, &chosen))
			return false;
		query->interface = (enum aq_interface)chosen;
		return true;
	case OPTION_SOURCE:
		if (query->path)
			return false; /* two sources: Python refuses */
		query->path = value;
		return value[0] != '\0';
	default:
		return false;
	}
}

static bool take_flag(struct reading *reading, int id, bool on)
{
	struct query *query = reading->query;

	switch (id) {
	case OPTION_BUILTIN:
		aq_filter_builtin(&query->filter);
		return true;
	case OPTION_UNDERFLOWED:
		return query->filter.underflowed = true;
	case OPTION_ACCURATE:
		return reading->accurate = true;
	case OPTION_INACCURATE:
		return reading->inaccurate = true;
	case OPTION_REVERSE:
		return query->reverse = true;
	case OPTION_COUNT:
		return query->count = true;
	case OPTION_QUIET:
		return query->quiet = true;
	case OPTION_SAMPLE:
		return query->sample = true;
	case OPTION_BYTES:
		return true; /* of tables alone */
	case OPTION_HEADER:
		query->header = on;
		return true;
	default:
		return false;
	}
}

/* `--name`, `--name=VALUE`, `--name VALUE`; *next is moved behind a value that is a word. */
static bool take_long(struct reading *reading, const char *word, char *const **next)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	const struct flag *flag = find_flag(name, equals ? (size_t)(equals - name) : strlen(name));

	if (!flag || strlen(flag->name) < 2)
		return false;
	if (flag->kind != TAKES_VALUE)
		return !equals && take_flag(reading, flag->id, flag->kind != SWITCHES_OFF);
	if (equals)
		return take_value(reading, flag->id, equals + 1);
	return **next && take_value(reading, flag->id, *(*next)++);
}

/* `-c`, `-cq`, `-nVALUE`, `-n VALUE`. */
static bool take_short(struct reading *reading, const char *word, char *const **next)
{
	for (const char *letter = word + 1; *letter; letter++) {
		const struct flag *flag = find_flag(letter, 1);

		if (!flag)
			return false;
		if (flag->kind == TAKES_VALUE) {
			if (letter[1])
				return take_value(reading, flag->id, letter + 1);
			return **next && take_value(reading, flag->id, *(*next)++);
		}
		if (!take_flag(reading, flag->id, flag->kind != SWITCHES_OFF))
			return false;
	}
	return true;
}

/* What no one flag can tell. */
static bool is_sound(const struct reading *reading)
{
	const struct query *query = reading->query;
	const aq_filter *filter = &query->filter;

	return !(reading->accurate && reading->inaccurate) && !(query->sample && query->path) &&
	       !(filter->builtin && filter->names[AQ_MODULE].len) && filter->min_size <= filter->max_size &&
	       filter->min_calls <= filter->max_calls;
}

bool front_read_flags(char *const *words, struct query *query)
{
	struct reading reading = { .query = query };

	*query = (struct query){ .header = -1 };
	aq_filter_init(&query->filter);
	while (*words) {
		const char *word = *words++;
		bool taken;

		if (word[0] != '-' || !word[1] || !strcmp(word, "--"))
			return false;
		taken = word[1] == '-' ? take_long(&reading, word, &words) : take_short(&reading, word, &words);
		if (!taken)
			return false;
	}
	if (reading.accurate || reading.inaccurate)
		query->filter.accuracy = reading.accurate;
	return is_sound(&reading);
}
