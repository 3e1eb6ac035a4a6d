// SPDX-License-Identifier: MIT
/* Tags as bytes for standard output: the kernel's own lines, JSON, CSV, TSV. */
#include <string.h>

#include "engine.h"

struct out {
	char *to, *end;
	bool full;
};

static void put(struct out *out, const char *s, size_t len)
{
	if ((size_t)(out->end - out->to) < len) {
		out->full = true;
		return;
	}
	memcpy(out->to, s, len);
	out->to += len;
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static void put_number(struct out *out, uint64_t value)
{
	char digits[20];

	put(out, digits, aq_decimal(value, digits));
}

static void put_signed(struct out *out, int64_t value)
{
	if (value < 0)
		PUT(out, "-");
	put_number(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static void put_escape(struct out *out, unsigned int code)
{
	static const char hex[] = "0123456789abcdef";
	char escaped[6] = { '\\', 'u', hex[code >> 12], hex[code >> 8 & 15], hex[code >> 4 & 15],
			    hex[code & 15] };

	put(out, escaped, sizeof(escaped));
}

static void put_json(struct out *out, const char *s, size_t len)
{
	PUT(out, "\"");
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t code = aq_utf8(s + i, len - i, &n);

		if (code == '"' || code == '\\') {
			char escaped[2] = { '\\', (char)code };

			put(out, escaped, sizeof(escaped));
		} else if (code >= 0xdc80 && code <= 0xdcff) {
			PUT(out, "\xef\xbf\xbd"); /* U+FFFD for a byte that is not UTF-8 */
		} else if (code < 0x10000 && aq_is_hidden(code)) {
			put_escape(out, code);
		} else {
			put(out, s + i, n);
		}
	}
	PUT(out, "\"");
}

size_t aq_quote_json(const char *s, size_t len, char *to, size_t cap)
{
	struct out out = { to, to + cap, false };

	put_json(&out, s, len);
	return out.full ? 0 : (size_t)(out.to - to);
}

/* RFC 4180: quoted only where it must be. */
static void put_csv(struct out *out, struct aq_str s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++)
		quoted |= s.s[i] == '"' || s.s[i] == ',' || s.s[i] == '\n' || s.s[i] == '\r';
	if (!quoted) {
		put(out, s.s, s.len);
		return;
	}
	PUT(out, "\"");
	for (size_t i = 0; i < s.len; i++) {
		if (s.s[i] == '"')
			PUT(out, "\"");
		put(out, s.s + i, 1);
	}
	PUT(out, "\"");
}

static void put_tsv(struct out *out, struct aq_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		switch (s.s[i]) {
		case '\t':
			PUT(out, "\\t");
			break;
		case '\n':
			PUT(out, "\\n");
			break;
		case '\r':
			PUT(out, "\\r");
			break;
		case '\\':
			PUT(out, "\\\\");
			break;
		default:
			put(out, s.s + i, 1);
		}
	}
}

static void put_object(struct out *out, const aq_table *table, const struct aq_row *row)
{
	struct aq_str file = aq_row_str(table, row, row->file, row->file_len);
	struct aq_str module = aq_row_str(table, row, row->module, row->module_len);
	struct aq_str function = aq_row_str(table, row, row->function, row->function_len);

	PUT(out, "{\"bytes\":");
	put_signed(out, row->bytes);
	PUT(out, ",\"calls\":");
	put_signed(out, (int64_t)row->calls);
	PUT(out, ",\"file\":");
	put_json(out, file.s, file.len);
	PUT(out, ",\"line\":");
	put_number(out, row->line);
	PUT(out, ",\"module\":");
	if (row->has_module)
		put_json(out, module.s, module.len);
	else
		PUT(out, "null");
	PUT(out, ",\"function\":");
	put_json(out, function.s, function.len);
	if (row->accurate)
		PUT(out, ",\"accurate\":true}");
	else
		PUT(out, ",\"accurate\":false}");
}

static void put_cells(struct out *out, const aq_table *table, const struct aq_row *row, char separator,
		      void (*put_text)(struct out *, struct aq_str))
{
	put_signed(out, row->bytes);
	put(out, &separator, 1);
	put_signed(out, (int64_t)row->calls);
	put(out, &separator, 1);
	put_text(out, aq_row_str(table, row, row->file, row->file_len));
	put(out, &separator, 1);
	put_number(out, row->line);
	put(out, &separator, 1);
	put_text(out, aq_row_str(table, row, row->module, row->module_len));
	put(out, &separator, 1);
	put_text(out, aq_row_str(table, row, row->function, row->function_len));
	put(out, &separator, 1);
	if (row->accurate)
		PUT(out, "true\n");
	else
		PUT(out, "false\n");
}

static void put_row(struct out *out, const aq_table *table, const struct aq_row *row,
		    enum aq_format format, bool first)
{
	switch (format) {
	case AQ_F_PROCFS:
		put(out, table->text + row->text, row->text_len);
		PUT(out, "\n");
		break;
	case AQ_F_JSON:
		put(out, first ? "\n" : ",\n", first ? 1 : 2);
		put_object(out, table, row);
		break;
	case AQ_F_JSONL:
		put_object(out, table, row);
		PUT(out, "\n");
		break;
	case AQ_F_CSV:
		put_cells(out, table, row, ',', put_csv);
		break;
	case AQ_F_TSV:
		put_cells(out, table, row, '\t', put_tsv);
		break;
	}
}

size_t aq_render(const aq_table *table, const uint32_t *order, size_t from, size_t to,
		 enum aq_format format, int first, char *to_bytes, size_t cap, size_t *next)
{
	struct out out = { to_bytes, to_bytes + cap, false };

	for (*next = from; *next < to; ++*next) {
		const struct aq_row *row = &table->rows[order ? order[*next] : *next];
		char *before = out.to;

		put_row(&out, table, row, format, first && *next == from);
		if (out.full) {
			out.to = before;
			break;
		}
	}
	return (size_t)(out.to - to_bytes);
}

size_t aq_decimal(uint64_t value, char *out)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}

/* Right-aligned in `width` as printf would, wider where it must be. */
static char *write_aligned(char *to, bool negative, uint64_t magnitude, size_t width)
{
	char number[21];
	size_t n = negative;

	number[0] = '-';
	n += aq_decimal(magnitude, number + negative);
	for (size_t i = n; i < width; i++)
		*to++ = ' ';
	memcpy(to, number, n);
	return to + n;
}

static char *write_str(char *to, struct aq_str s)
{
	if (s.len)
		memcpy(to, s.s, s.len);
	return to + s.len;
}

size_t aq_line_room(const struct aq_tag *tag)
{
	/* Three numbers of at most 21 bytes and the words between the names. */
	return 128 + tag->file.len + tag->module.len + tag->function.len;
}

void aq_format_line(const struct aq_tag *tag, char *out, struct aq_row *row)
{
	bool negative = tag->bytes < 0;
	char *to = out;

	to = write_aligned(to, negative, negative ? -(uint64_t)tag->bytes : (uint64_t)tag->bytes, 12);
	*to++ = ' ';
	to = write_aligned(to, false, tag->calls, 8);
	*to++ = ' ';
	row->file = (uint32_t)(to - out);
	row->file_len = (uint32_t)tag->file.len;
	to = write_str(to, tag->file);
	*to++ = ':';
	to += aq_decimal(tag->line, to);
	if (tag->has_module) {
		to = write_str(to, AQ_STR(" ["));
		row->module = (uint32_t)(to - out);
		row->module_len = (uint32_t)tag->module.len;
		to = write_str(to, tag->module);
		*to++ = ']';
	}
	to = write_str(to, AQ_STR(" func:"));
	row->function = (uint32_t)(to - out);
	row->function_len = (uint32_t)tag->function.len;
	to = write_str(to, tag->function);
	if (!tag->accurate)
		to = write_str(to, AQ_STR(" accurate:no"));
	*to++ = ' ';
	row->text_len = (uint32_t)(to - out);
}
