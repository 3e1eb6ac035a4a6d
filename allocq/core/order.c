// SPDX-License-Identifier: MIT
/* The display order of a table's rows. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* A row's place in the order: what sorts it, then its position, so that equal ones keep theirs. */
struct rank {
	const struct aq_row *row;
	struct aq_str name;
	uint32_t at;
};

struct wide {
	uint64_t high, low;
};

static struct wide product(uint64_t a, uint64_t b)
{
	uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX), middle = (a >> 32) * (b & UINT32_MAX);
	uint64_t other = (a & UINT32_MAX) * (b >> 32), carry;

	carry = (low >> 32) + (middle & UINT32_MAX) + (other & UINT32_MAX);
	return (struct wide){ (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32) + (carry >> 32),
			      a * b };
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

/* bytes / calls of each, exactly: a double could not tell averages apart above 2^53. */
static int compare_average(const struct aq_row *a, const struct aq_row *b)
{
	/* Without calls, or with calls below zero, there is no average; it sorts as 0. */
	int64_t a_bytes = (int64_t)a->calls > 0 ? a->bytes : 0, b_bytes = (int64_t)b->calls > 0 ? b->bytes : 0;
	int a_sign = (a_bytes > 0) - (a_bytes < 0), b_sign = (b_bytes > 0) - (b_bytes < 0);
	struct wide left, right;
	int order;

	if (a_sign != b_sign || !a_sign)
		return a_sign - b_sign;
	left = product(magnitude(a_bytes), b->calls);
	right = product(magnitude(b_bytes), a->calls);
	order = compare_u64(left.high, right.high);
	if (!order)
		order = compare_u64(left.low, right.low);
	return a_sign * order;
}

static int compare_names(const struct rank *a, const struct rank *b)
{
	size_t least = a->name.len < b->name.len ? a->name.len : b->name.len;
	int order = least ? memcmp(a->name.s, b->name.s, least) : 0;

	return order ? order : compare_u64(a->name.len, b->name.len);
}

static int by_position(const struct rank *a, const struct rank *b, int order)
{
	return order ? order : compare_u64(a->at, b->at);
}

#define ORDER_BY(name, expression)                                                                 \
	static int name##_up(const void *x, const void *y)                                         \
	{                                                                                          \
		const struct rank *a = x, *b = y;                                                  \
		return by_position(a, b, expression);                                              \
	}                                                                                          \
	static int name##_down(const void *x, const void *y)                                       \
	{                                                                                          \
		const struct rank *a = x, *b = y;                                                  \
		return by_position(a, b, -(expression));                                           \
	}

ORDER_BY(bytes, (a->row->bytes > b->row->bytes) - (a->row->bytes < b->row->bytes))
ORDER_BY(calls, ((int64_t)a->row->calls > (int64_t)b->row->calls) -
			((int64_t)a->row->calls < (int64_t)b->row->calls))
ORDER_BY(average, compare_average(a->row, b->row))
ORDER_BY(name, compare_names(a, b))

static int compare_files(const struct rank *a, const struct rank *b)
{
	int order = compare_names(a, b);

	return order ? order : compare_u64(a->row->line, b->row->line);
}

ORDER_BY(file, compare_files(a, b))

typedef int (*comparison)(const void *, const void *);

int aq_order(const aq_table *table, enum aq_sort sort, int reverse, const aq_hooks *hooks,
	     uint32_t *order)
{
	static const comparison up[] = {
		[AQ_SORT_BYTES] = bytes_up, [AQ_SORT_CALLS] = calls_up, [AQ_SORT_AVERAGE] = average_up,
		[AQ_SORT_FILE] = file_up, [AQ_SORT_FUNCTION] = name_up, [AQ_SORT_MODULE] = name_up,
	};
	static const comparison down[] = {
		[AQ_SORT_BYTES] = bytes_down, [AQ_SORT_CALLS] = calls_down,
		[AQ_SORT_AVERAGE] = average_down, [AQ_SORT_FILE] = file_down,
		[AQ_SORT_FUNCTION] = name_down, [AQ_SORT_MODULE] = name_down,
	};
	bool by_name = sort == AQ_SORT_FILE || sort == AQ_SORT_FUNCTION || sort == AQ_SORT_MODULE;
	size_t rows = table->len;
	struct rank *ranks;
	int error;

	if (rows > UINT32_MAX)
		return -EOVERFLOW;
	if (sort == AQ_SORT_NONE) {
		for (size_t i = 0; i < rows; i++)
			order[i] = (uint32_t)(reverse ? rows - 1 - i : i);
		return 0;
	}
	if (sort < AQ_SORT_NONE || sort > AQ_SORT_MODULE)
		return -EINVAL;
	if (!rows)
		return 0;
	ranks = calloc(rows, sizeof(*ranks));
	if (!ranks)
		return -ENOMEM;
	for (size_t i = 0; i < rows; i++) {
		const struct aq_row *row = &table->rows[i];

		ranks[i].row = row;
		ranks[i].at = (uint32_t)i;
		if (sort == AQ_SORT_FILE)
			ranks[i].name = aq_row_str(table, row, row->file, row->file_len);
		else if (sort == AQ_SORT_FUNCTION)
			ranks[i].name = aq_row_str(table, row, row->function, row->function_len);
		else if (sort == AQ_SORT_MODULE)
			ranks[i].name = aq_row_str(table, row, row->module, row->module_len);
	}
	error = aq_sort(ranks, rows, sizeof(*ranks), by_name != (reverse != 0) ? up[sort] : down[sort], hooks);
	for (size_t i = 0; i < rows && !error; i++)
		order[i] = ranks[i].at;
	free(ranks);
	return error;
}
