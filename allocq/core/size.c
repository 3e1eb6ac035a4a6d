// SPDX-License-Identifier: MIT
/* Sizes and whole numbers as people write them on a command line. */
#include <string.h>
#include <strings.h>

#include "engine.h"

/* No number that fits 64 bits needs more digits, leading zeros aside. */
enum { MOST_DIGITS = 4000 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

enum aq_number aq_parse_count(const char *s, size_t len, uint64_t *count)
{
	bool large = false;

	*count = 0;
	if (!len || len > MOST_DIGITS)
		return AQ_NUMBER_BAD;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(s[i]))
			return AQ_NUMBER_BAD;
		large |= __builtin_mul_overflow(*count, 10u, count) ||
			 __builtin_add_overflow(*count, (uint64_t)(s[i] - '0'), count);
	}
	return large ? AQ_NUMBER_LARGE : AQ_NUMBER_OK;
}

/* The exponent of a unit's letter: 1 for K; 0 for another character. */
static unsigned int unit_of(char c)
{
	static const char letters[] = "KMGTPE";
	const char *at = c ? strchr(letters, c & ~0x20) : NULL;

	return at && ((c & ~0x20) >= 'A') ? (unsigned int)(at - letters) + 1 : 0;
}

/*
 * Exact: digits are multiplied by the factor one by one from the end of the fraction, each step
 * dropping what is below a byte only at the very end. The integer part and the fraction are
 * therefore kept as a quotient and a remainder in units of 10**-k, by long division.
 */
static enum aq_number scaled(const char *digits, size_t whole, size_t fraction, uint64_t factor,
			     int64_t *size)
{
	uint64_t sum = 0, carry = 0;
	bool large = false;

	for (size_t i = 0; i < whole; i++)
		large |= __builtin_mul_overflow(sum, 10u, &sum) ||
			 __builtin_add_overflow(sum, (uint64_t)(digits[i] - '0'), &sum);
	large |= __builtin_mul_overflow(sum, factor, &sum);
	/* 0.d1d2d3... * factor = (d1 * factor + (d2 * factor + ...) / 10) / 10, floor by floor. */
	for (size_t i = fraction; i > 0; i--) {
		uint64_t digit = (uint64_t)(digits[whole + 1 + i - 1] - '0');

		carry = (digit * factor + carry) / 10;
	}
	large |= __builtin_add_overflow(sum, carry, &sum) || sum > INT64_MAX;
	*size = large ? 0 : (int64_t)sum;
	return large ? AQ_NUMBER_LARGE : AQ_NUMBER_OK;
}

enum aq_number aq_parse_size(const char *s, size_t len, int64_t *size)
{
	unsigned int base = 1024, unit;
	uint64_t factor = 1;
	size_t whole = 0, fraction = 0;

	*size = 0;
	while (len && is_blank(s[0]))
		s++, len--;
	while (len && is_blank(s[len - 1]))
		len--;
	if (len >= 3 && (s[len - 1] | 0x20) == 'b' && (s[len - 2] | 0x20) == 'i' && unit_of(s[len - 3]))
		len -= 2;
	else if (len && (s[len - 1] | 0x20) == 'b')
		base = 1000, len--;
	unit = len ? unit_of(s[len - 1]) : 0;
	len -= unit != 0;
	for (; unit; unit--)
		factor *= base;
	while (whole < len && is_digit(s[whole]))
		whole++;
	if (whole < len && s[whole] == '.') {
		while (whole + 1 + fraction < len && is_digit(s[whole + 1 + fraction]))
			fraction++;
		if (!fraction || whole + 1 + fraction != len)
			return AQ_NUMBER_BAD;
	} else if (whole != len || !whole) {
		return AQ_NUMBER_BAD;
	}
	if (whole + fraction > MOST_DIGITS)
		return AQ_NUMBER_BAD;
	return scaled(s, whole, fraction, factor, size);
}

enum aq_number aq_parse_bound(const char *s, size_t len, int is_size, int64_t *bound)
{
	bool negative = len && s[0] == '-';
	enum aq_number fault;
	uint64_t count;

	s += negative;
	len -= negative;
	if (is_size) {
		fault = aq_parse_size(s, len, bound);
	} else {
		fault = aq_parse_count(s, len, &count);
		if (fault == AQ_NUMBER_OK && count > INT64_MAX)
			fault = AQ_NUMBER_LARGE;
		*bound = fault == AQ_NUMBER_OK ? (int64_t)count : 0;
	}
	if (negative)
		*bound = -*bound;
	return fault;
}
