/* aq_glob() against a matcher that is slow and plain: tokens, and a table of what matches where. */
#include "check.h"

enum { LONGEST = 256 };

/* RFC 3629's table; a byte that begins no character is one of its own. */
static size_t decode(const uint8_t *s, size_t len, uint32_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len;) {
		uint8_t a = s[i], b = i + 1 < len ? s[i + 1] : 0;
		uint8_t c = i + 2 < len ? s[i + 2] : 0, d = i + 3 < len ? s[i + 3] : 0;
		bool c_ok = c >> 6 == 2, d_ok = d >> 6 == 2;

		if (a < 0x80) {
			out[n++] = a;
			i += 1;
		} else if (a >= 0xc2 && a <= 0xdf && b >> 6 == 2) {
			out[n++] = (a - 0xc0u) * 64 + (b - 0x80u);
			i += 2;
		} else if ((a >> 4 == 14) && c_ok && b >= (a == 0xe0 ? 0xa0 : 0x80) &&
			   b <= (a == 0xed ? 0x9f : 0xbf)) {
			out[n++] = ((a - 0xe0u) * 64 + (b - 0x80u)) * 64 + (c - 0x80u);
			i += 3;
		} else if (a >= 0xf0 && a <= 0xf4 && c_ok && d_ok && b >= (a == 0xf0 ? 0x90 : 0x80) &&
			   b <= (a == 0xf4 ? 0x8f : 0xbf)) {
			out[n++] = (((a - 0xf0u) * 64 + (b - 0x80u)) * 64 + (c - 0x80u)) * 64 + (d - 0x80u);
			i += 4;
		} else {
			out[n++] = 0xdc00u + a;
			i += 1;
		}
	}
	return n;
}

/* The index of the ] that closes the class whose [ is at `at`, or 0. */
static size_t closing(const uint32_t *p, size_t len, size_t at)
{
	size_t i = at + 1;

	if (i < len && p[i] == '!')
		i++;
	for (i++; i < len; i++)
		if (p[i] == ']')
			return i;
	return 0;
}

static bool in_class(const uint32_t *p, size_t from, size_t to, uint32_t c)
{
	bool negated = p[from] == '!', found = false;

	for (size_t i = from + negated; i < to; i++) {
		if (i + 2 < to && p[i + 1] == '-') {
			found |= p[i] <= c && c <= p[i + 2];
			i += 2;
		} else {
			found |= p[i] == c;
		}
	}
	return found != negated;
}

/* -1 where the pattern is one that is refused before it comes here. */
static int matches(const uint32_t *p, size_t p_len, const uint32_t *s, size_t len)
{
	static bool now[LONGEST + 1], then[LONGEST + 1];

	memset(now, 0, len + 1);
	now[0] = true;
	for (size_t i = 0; i < p_len; i++) {
		size_t close = p[i] == '[' ? closing(p, p_len, i) : 0;

		if (p[i] == '[' && !close)
			return -1;
		memset(then, 0, len + 1);
		if (p[i] == '*') {
			bool any = false;

			for (size_t j = 0; j <= len; j++)
				then[j] = any |= now[j];
		}
		for (size_t j = 0; j < len && p[i] != '*'; j++)
			then[j + 1] = now[j] && (close ? in_class(p, i + 1, close, s[j]) :
						 p[i] == '?' || p[i] == s[j]);
		memcpy(now, then, len + 1);
		i = close ? close : i;
	}
	return now[len];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *bar = memchr(data, '|', size);
	size_t p_len = bar ? (size_t)(bar - data) : size;
	size_t s_len = bar ? size - p_len - 1 : 0;
	uint32_t p[LONGEST], s[LONGEST];
	char *pattern, *string;
	int want;
	bool got;

	if (size > LONGEST)
		return 0;
	pattern = exact(data, p_len);
	string = exact(bar ? bar + 1 : data, s_len);
	want = matches(p, decode((uint8_t *)pattern, p_len, p), s, decode((uint8_t *)string, s_len, s));
	got = aq_glob(pattern, p_len, string, s_len);
	CHECK(want < 0 || got == want);
	free(pattern);
	free(string);
	return 0;
}
