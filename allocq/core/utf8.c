// SPDX-License-Identifier: MIT
/* The one UTF-8 decoder (RFC 3629), and what of it a terminal must not see raw. */
#include <string.h>

#include "engine.h"

uint32_t aq_utf8(const char *s, size_t len, size_t *n)
{
	/* The least code point of each length: what could be said in fewer bytes is not UTF-8. */
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	size_t more = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : p[0] < 0xf5 ? 3 : 0;
	uint32_t code = p[0] & (0x3fu >> more);

	*n = 1;
	if (p[0] < 0x80)
		return p[0];
	if (!more || len <= more)
		return 0xdc00u + p[0];
	for (size_t i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0xdc00u + p[0];
		code = code << 6 | (p[i] & 0x3fu);
	}
	if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0xdc00u + p[0];
	*n = more + 1;
	return code;
}

bool aq_is_hidden(uint32_t code)
{
	/* Controls, marks of writing direction, invisible characters, and bytes that are no text. */
	static const struct {
		uint32_t first, last;
	} hidden[] = {
		{ 0x00, 0x1f },	    { 0x7f, 0x9f },	{ 0xad, 0xad },	    { 0x34f, 0x34f },
		{ 0x600, 0x605 },   { 0x61c, 0x61c },	{ 0x6dd, 0x6dd },   { 0x70f, 0x70f },
		{ 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, { 0x200b, 0x200f },
		{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xd800, 0xf8ff },
		{ 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb },
		{ 0xfffe, 0xffff }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a }, { 0xe0000, 0x10ffff },
	};

	if (code >= 0x20 && code < 0x7f)
		return false;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (code >= hidden[i].first && code <= hidden[i].last)
			return true;
	return false;
}

static size_t put_hex(char *out, const char *prefix, uint32_t value, int digits)
{
	size_t n = strlen(prefix);

	memcpy(out, prefix, n);
	for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
		out[n++] = "0123456789abcdef"[value >> shift & 15];
	return n;
}

size_t aq_printable(const char *s, size_t len, char *out, size_t cap)
{
	size_t used = 0;

	for (size_t i = 0, n; i < len; i += n) {
		uint32_t code = aq_utf8(s + i, len - i, &n);
		char shown[10];
		size_t size;

		if (!aq_is_hidden(code)) {
			memcpy(shown, s + i, n);
			size = n;
		} else if (code < 0x100) {
			size = put_hex(shown, "\\x", code, 2);
		} else if (code >= 0xdc80 && code <= 0xdcff) {
			size = put_hex(shown, "\\x", code - 0xdc00, 2);
		} else if (code < 0x10000) {
			size = put_hex(shown, "\\u", code, 4);
		} else {
			size = put_hex(shown, "\\U", code, 8);
		}
		if (used + size > cap)
			break;
		memcpy(out + used, shown, size);
		used += size;
	}
	return used;
}
