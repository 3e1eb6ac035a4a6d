/* Sizes, numbers, times and UTF-8, each against the slowest way to read it. */
#include "check.h"

enum { LONGEST = 128 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A decimal number, its digits from the last one on. */
struct decimal {
	uint8_t digits[LONGEST + 24];
	size_t len;
};

static void multiply(struct decimal *number, unsigned int by)
{
	unsigned int carry = 0;

	for (size_t i = 0; i < number->len; i++) {
		carry += number->digits[i] * by;
		number->digits[i] = carry % 10;
		carry /= 10;
	}
	for (; carry; carry /= 10)
		number->digits[number->len++] = carry % 10;
}

static bool fits(const struct decimal *number, size_t from, uint64_t most, uint64_t *value)
{
	*value = 0;
	for (size_t i = number->len; i > from; i--) {
		unsigned __int128 more = (unsigned __int128)*value * 10 + number->digits[i - 1];

		if (more > most)
			return false;
		*value = (uint64_t)more;
	}
	return true;
}

static void check_count(const char *s, size_t len)
{
	struct decimal number = { .len = len };
	enum aq_number result;
	uint64_t count, value;
	bool good = len > 0;

	for (size_t i = 0; i < len; i++) {
		good = good && is_digit(s[i]);
		number.digits[len - 1 - i] = (uint8_t)(s[i] - '0');
	}
	result = aq_parse_count(s, len, &count);
	if (!good)
		CHECK(result == AQ_NUMBER_BAD);
	else if (!fits(&number, 0, UINT64_MAX, &value))
		CHECK(result == AQ_NUMBER_LARGE);
	else
		CHECK(result == AQ_NUMBER_OK && count == value);
}

/* blanks, digits with at most one point and one digit behind it, a unit, blanks. */
static bool read_size(const char *s, size_t len, struct decimal *number, size_t *fraction)
{
	static const char letters[] = "KMGTPE", small[] = "kmgtpe";
	size_t end = 0, points = 0, units = 0;
	char digits[LONGEST];
	bool thousands = false;

	*number = (struct decimal){ .len = 0 };
	*fraction = 0;
	while (len && strchr(" \t\n\v\f\r", *s) && *s)
		s++, len--;
	while (len && strchr(" \t\n\v\f\r", s[len - 1]) && s[len - 1])
		len--;
	while (end < len && (is_digit(s[end]) || s[end] == '.'))
		end++;
	for (size_t i = 0; i < end; i++) {
		points += s[i] == '.';
		*fraction += points && s[i] != '.';
		if (s[i] != '.')
			digits[number->len++] = s[i];
	}
	if (!number->len || points > 1 || (points && !*fraction))
		return false;
	for (size_t i = 0; i < number->len; i++)
		number->digits[i] = (uint8_t)(digits[number->len - 1 - i] - '0');
	s += end;
	len -= end;
	for (size_t i = 0; i < 6 && len; i++)
		if (*s == letters[i] || *s == small[i])
			units = i + 1;
	s += units > 0;
	len -= units > 0;
	if (len == 1 && (*s == 'b' || *s == 'B'))
		thousands = true;
	else if (len && !(len == 2 && units && (*s == 'i' || *s == 'I') && (s[1] == 'b' || s[1] == 'B')))
		return false;
	for (; units; units--)
		multiply(number, thousands ? 1000 : 1024);
	return true;
}

static void check_size(const char *s, size_t len)
{
	struct decimal number;
	size_t fraction;
	int64_t size;
	uint64_t value;
	enum aq_number result = aq_parse_size(s, len, &size);

	if (!read_size(s, len, &number, &fraction))
		CHECK(result == AQ_NUMBER_BAD);
	else if (!fits(&number, fraction, INT64_MAX, &value))
		CHECK(result == AQ_NUMBER_LARGE);
	else
		CHECK(result == AQ_NUMBER_OK && (uint64_t)size == value);
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && (year % 4 == 0) && (year % 100 || year % 400 == 0));
}

/* -1 where the text has not the form; it may have more fields than are asked for. */
static int field(const char *s, size_t at, size_t width)
{
	int value = 0;

	for (size_t i = 0; i < width; i++) {
		if (!is_digit(s[at + i]))
			return -1;
		value = value * 10 + s[at + i] - '0';
	}
	return value;
}

/* The days counted one by one from year 0 on. */
static bool read_time(const char *s, size_t len, __int128 *ns)
{
	int year, month, day, hour, minute, second, away = 0;
	__int128 days = -719528, unit = 100000000, part = 0; /* 1 January of year 0, from 1970 on */
	size_t at = 19;

	if (len < 19 || s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != ' ') || s[13] != ':' ||
	    s[16] != ':')
		return false;
	year = field(s, 0, 4), month = field(s, 5, 2), day = field(s, 8, 2);
	hour = field(s, 11, 2), minute = field(s, 14, 2), second = field(s, 17, 2);
	if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour < 0 ||
	    hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
		return false;
	if (at < len && s[at] == '.') {
		if (++at == len || !is_digit(s[at]))
			return false;
		for (; at < len && is_digit(s[at]); at++, unit /= 10)
			part += (s[at] - '0') * unit;
	}
	if (len - at == 6 && (s[at] == '+' || s[at] == '-') && s[at + 3] == ':') {
		int hours = field(s, at + 1, 2), minutes = field(s, at + 4, 2);

		if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
			return false;
		away = (hours * 60 + minutes) * (s[at] == '-' ? -60 : 60);
	} else if (len - at != 1 || s[at] != 'Z') {
		return false;
	}
	for (int y = 0; y < year; y++)
		days += 365 + (days_in(y, 2) == 29);
	for (int m = 1; m < month; m++)
		days += days_in(year, m);
	days += day - 1;
	*ns = (((days * 24 + hour) * 60 + minute) * 60 + second - away) * 1000000000 + part;
	return true;
}

static void check_time(const char *s, size_t len)
{
	__int128 expected = 0;
	int64_t ns = 0;
	int error = aq_parse_time(s, len, &ns);

	if (!read_time(s, len, &expected) || expected > INT64_MAX || expected < INT64_MIN)
		CHECK(error == -EINVAL);
	else
		CHECK(!error && ns == expected);
}

/* RFC 3629, section 4: what each byte of a character may be. */
static const struct {
	size_t len;
	uint8_t first[4], last[4];
} characters[] = {
	{ 1, { 0x00 }, { 0x7f } },
	{ 2, { 0xc2, 0x80 }, { 0xdf, 0xbf } },
	{ 3, { 0xe0, 0xa0, 0x80 }, { 0xe0, 0xbf, 0xbf } },
	{ 3, { 0xe1, 0x80, 0x80 }, { 0xec, 0xbf, 0xbf } },
	{ 3, { 0xed, 0x80, 0x80 }, { 0xed, 0x9f, 0xbf } },
	{ 3, { 0xee, 0x80, 0x80 }, { 0xef, 0xbf, 0xbf } },
	{ 4, { 0xf0, 0x90, 0x80, 0x80 }, { 0xf0, 0xbf, 0xbf, 0xbf } },
	{ 4, { 0xf1, 0x80, 0x80, 0x80 }, { 0xf3, 0xbf, 0xbf, 0xbf } },
	{ 4, { 0xf4, 0x80, 0x80, 0x80 }, { 0xf4, 0x8f, 0xbf, 0xbf } },
};

static uint32_t character(const uint8_t *s, size_t len, size_t *n)
{
	static const uint32_t lead[] = { 0x7f, 0x1f, 0x0f, 0x07 };

	for (size_t i = 0; i < sizeof(characters) / sizeof(characters[0]); i++) {
		uint32_t code;
		size_t at = 0;

		*n = characters[i].len;
		while (at < *n && at < len && s[at] >= characters[i].first[at] && s[at] <= characters[i].last[at])
			at++;
		if (at < *n)
			continue;
		code = s[0] & lead[*n - 1];
		for (at = 1; at < *n; at++)
			code = code * 64 + s[at] % 64;
		return code;
	}
	*n = 1;
	return 0xdc00u + s[0];
}

static void check_utf8(const char *s, size_t len)
{
	size_t n, expected_n, shown;
	char *out = malloc(6 * len + 2), *all;

	CHECK(out);
	for (size_t at = 0; at < len; at += n) {
		uint32_t expected = character((const uint8_t *)s + at, len - at, &expected_n);

		CHECK(aq_utf8(s + at, len - at, &n) == expected && n == expected_n);
	}
	shown = aq_printable(s, len, out, 4 * len);
	for (size_t at = 0; at < shown; at += n) {
		uint32_t code = aq_utf8(out + at, shown - at, &n);

		CHECK(code >= 0x20 && !(code >= 0x7f && code < 0xa0) && !(code >= 0xd800 && code < 0xe000));
		CHECK(!(code >= 0x200b && code <= 0x200f) && !(code >= 0x202a && code <= 0x202e));
	}
	all = malloc(shown + 1);
	CHECK(all);
	/* What does not fit is left out whole: the result is the beginning of the whole one. */
	for (size_t cap = shown; cap + 12 > shown; cap--) {
		size_t cut = aq_printable(s, len, all, cap);

		CHECK(cut <= cap && !memcmp(all, out, cut) && (cap < shown || cut == shown));
		if (!cap)
			break;
	}
	n = aq_quote_json(s, len, out, 6 * len + 2);
	CHECK(n >= 2 && out[0] == '"' && out[n - 1] == '"');
	CHECK(!aq_quote_json(s, len, out, n - 1) && aq_quote_json(s, len, out, n) == n);
	free(out);
	free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy;

	if (size > LONGEST)
		return 0;
	copy = exact(data, size);
	check_count(copy, size);
	check_size(copy, size);
	check_time(copy, size);
	check_utf8(copy, size);
	free(copy);
	return 0;
}
