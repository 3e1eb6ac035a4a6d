/* Tables of a few rows: their order, and what two of them share, against the slowest ways. */
#include "failing.h"

enum { MOST = 48 };

static uint64_t number(struct input *in)
{
	static const uint64_t edges[] = { 0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX, UINT32_MAX,
					  (uint64_t)UINT32_MAX + 1, 1ull << 53 };
	uint8_t how = byte(in);
	uint64_t value = 0;

	if (how < 0x60)
		return how % 4;
	if (how < 0xc0)
		return edges[how % 8] - (how >> 3 & 1);
	for (int i = how % 8; i >= 0; i--)
		value = value << 8 | byte(in);
	return value;
}

static struct aq_str name(struct input *in, char room[4])
{
	size_t len = 1 + byte(in) % 3u;

	for (size_t i = 0; i < len; i++)
		room[i] = "ab/\xff"[byte(in) % 4];
	return (struct aq_str){ room, len };
}

static void fill(aq_table *table, struct input *in)
{
	for (size_t rows = byte(in) % (MOST + 1u); rows; rows--) {
		char file[4], module[4], function[4];
		struct aq_tag tag = { .bytes = (int64_t)number(in), .calls = number(in) };

		tag.line = byte(in) % 3;
		tag.file = name(in, file);
		tag.function = name(in, function);
		tag.has_module = byte(in) & 1;
		tag.accurate = byte(in) & 1;
		if (tag.has_module)
			tag.module = name(in, module);
		CHECK(!aq_table_add(table, &tag, false));
	}
}

static int compare_str(struct aq_str a, struct aq_str b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++)
		if (a.s[i] != b.s[i])
			return (unsigned char)a.s[i] < (unsigned char)b.s[i] ? -1 : 1;
	return (a.len > b.len) - (a.len < b.len);
}

static int sign(__int128 more, __int128 less)
{
	return (more > less) - (more < less);
}

/* Before reversal: below 0 where row a comes before row b. */
static int compare(const aq_table *table, enum aq_sort sort, size_t a, size_t b)
{
	const struct aq_row *x = &table->rows[a], *y = &table->rows[b];
	int order;

	switch (sort) {
	case AQ_SORT_BYTES:
		return sign(y->bytes, x->bytes);
	case AQ_SORT_CALLS:
		return sign((int64_t)y->calls, (int64_t)x->calls);
	case AQ_SORT_AVERAGE:
		/* Without calls, or below zero, the average is 0: 0 / 1. */
		return sign((__int128)(y->calls && !(y->calls >> 63) ? y->bytes : 0) *
				    (x->calls && !(x->calls >> 63) ? x->calls : 1),
			    (__int128)(x->calls && !(x->calls >> 63) ? x->bytes : 0) *
				    (y->calls && !(y->calls >> 63) ? y->calls : 1));
	case AQ_SORT_FILE:
		order = compare_str(aq_row_str(table, x, x->file, x->file_len),
				    aq_row_str(table, y, y->file, y->file_len));
		return order ? order : sign(x->line, y->line);
	case AQ_SORT_FUNCTION:
		return compare_str(aq_row_str(table, x, x->function, x->function_len),
				   aq_row_str(table, y, y->function, y->function_len));
	case AQ_SORT_MODULE:
		return compare_str(aq_row_str(table, x, x->module, x->module_len),
				   aq_row_str(table, y, y->module, y->module_len));
	default:
		return sign(a, b);
	}
}

static void check_order(const aq_table *table, enum aq_sort sort, bool reverse)
{
	uint32_t *order = malloc(table->len * sizeof(*order) + 1), expected[MOST];
	int error;

	CHECK(order);
	for (size_t i = 0; i < table->len; i++) {
		size_t at = i;

		for (; at; at--) {
			int before = compare(table, sort, expected[at - 1], i);

			if (reverse ? before >= 0 : before <= 0)
				break;
			expected[at] = expected[at - 1];
		}
		expected[at] = (uint32_t)i;
	}
	CHECK(!aq_order(table, sort, reverse, NULL, order));
	CHECK(!memcmp(order, expected, table->len * sizeof(*order)));
	begin_failing(1);
	error = aq_order(table, sort, reverse, NULL, order);
	CHECK(error == (end_failing() ? -ENOMEM : 0));
	free(order);
}

static bool is_same(const aq_table *x, size_t a, const aq_table *y, size_t b)
{
	return x->rows[a].bytes == y->rows[b].bytes && x->rows[a].calls == y->rows[b].calls &&
	       equal(aq_row_subject(x, &x->rows[a]), aq_row_subject(y, &y->rows[b]));
}

/* One for one, the first of equals with the first. */
static void check_cancel(aq_table *table, aq_table *other)
{
	bool gone[2][MOST] = { 0 };
	aq_table *copies[2] = { aq_table_new(), aq_table_new() }, *tables[2] = { table, other };

	CHECK(copies[0] && copies[1] && !aq_table_append(copies[0], table) &&
	      !aq_table_append(copies[1], other));
	for (size_t i = 0; i < table->len; i++)
		for (size_t j = 0; j < other->len && !gone[0][i]; j++)
			if (!gone[1][j] && is_same(table, i, other, j))
				gone[0][i] = gone[1][j] = true;
	for (size_t failing = 1; failing < 4; failing++) {
		int error;

		begin_failing(failing);
		error = aq_table_cancel(table, other, NULL);
		CHECK(error == (end_failing() ? -ENOMEM : 0));
		if (!error)
			break;
		CHECK(table->len == copies[0]->len && other->len == copies[1]->len);
	}
	CHECK(!aq_table_cancel(table, other, NULL));
	for (int side = 0; side < 2; side++) {
		size_t at = 0;

		check_rows(tables[side]);
		for (size_t i = 0; i < copies[side]->len; i++) {
			const struct aq_row *was = &copies[side]->rows[i];

			if (gone[side][i])
				continue;
			CHECK(at < tables[side]->len);
			CHECK(equal(aq_row_str(copies[side], was, 0, was->text_len),
				    aq_row_str(tables[side], &tables[side]->rows[at], 0,
					       tables[side]->rows[at].text_len)));
			at++;
		}
		CHECK(at == tables[side]->len);
		aq_table_free(copies[side]);
	}
}

static void check_strings(const aq_table *table, enum aq_strings which)
{
	size_t need = aq_table_strings(table, which, NULL, 0), len, row = 0;
	char *all = malloc(need + 1), *at = all;
	uint8_t keep[MOST];
	bool shared = table->len > 0;

	CHECK(all && aq_table_strings(table, which, all, need) == need);
	for (size_t i = 0; i < table->len; i++) {
		const char *s = aq_table_string(table, i, which, &len);

		CHECK(!memcmp(at, s, len) && !at[len]);
		shared = shared && !strcmp(at, all);
		at += len + 1;
		keep[i] = 1;
	}
	CHECK(at == all + need);
	CHECK(aq_table_shared(table, keep, which, &row) == shared && (!shared || row == 0));
	free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	uint8_t how = byte(&in);
	aq_table *table = aq_table_new(), *other = aq_table_new();

	CHECK(table && other);
	fill(table, &in);
	check_order(table, AQ_SORT_NONE + how % 7, how & 0x80);
	for (enum aq_strings which = AQ_S_FILE; which <= AQ_S_SUBJECT; which++)
		check_strings(table, which);
	fill(other, &in);
	if (how & 8)
		CHECK(!aq_table_append(other, table));
	if (table->len <= MOST && other->len <= MOST)
		check_cancel(table, other);
	aq_table_free(table);
	aq_table_free(other);
	return 0;
}
