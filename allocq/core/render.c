/* Tags as bytes for standard output: the kernel's own lines, JSON, CSV, TSV. */
#include <string.h>

#include "native.h"

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

/* Bytes of the UTF-8 character at s, 0 if there is none (RFC 3629). */
static size_t utf8(const unsigned char *s, size_t len)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/*
 * What a terminal acts on or hides, of the characters of two and three bytes: C1 controls, marks of
 * writing direction, invisible ones. JSON may say them either way.
 */
static unsigned int hidden(const unsigned char *s, size_t n)
{
	unsigned int code = n == 2 ? (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu) :
			    n == 3 ? (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu) : 0;
	bool found = (code >= 0x80 && code <= 0x9f) || code == 0x61c || (code >= 0x200b && code <= 0x200f) ||
		     (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
		     code == 0xfeff;

	return found ? code : 0;
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
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];
		size_t n = utf8((const unsigned char *)s + i, len - i);
		unsigned int code = c < 0x20 || c == 0x7f ? c :
				    n > 1 ? hidden((const unsigned char *)s + i, n) : 0;

		if (c == '"' || c == '\\') {
			char escaped[2] = { '\\', (char)c };

			put(out, escaped, 2);
		} else if (code || !c) {
			put_escape(out, code);
		} else if (n) {
			put(out, s + i, n);
		} else {
			PUT(out, "\xef\xbf\xbd");
		}
		i += n ? n : 1;
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
	put_number(out, row->calls);
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
	put_number(out, row->calls);
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

size_t aq_render(const aq_table *table, const uint32_t *order, size_t from, size_t to,
		 enum aq_format format, int first, char *to_bytes, size_t cap, size_t *next)
{
	struct out out = { to_bytes, to_bytes + cap, false };

	for (*next = from; *next < to; ++*next) {
		const struct aq_row *row = &table->rows[order ? order[*next] : *next];
		char *before = out.to;

		switch (format) {
		case AQ_F_PROCFS:
			put(&out, table->text + row->text, row->text_len);
			PUT(&out, "\n");
			break;
		case AQ_F_JSON:
			if (first && *next == from)
				PUT(&out, "\n");
			else
				PUT(&out, ",\n");
			put_object(&out, table, row);
			break;
		case AQ_F_JSONL:
			put_object(&out, table, row);
			PUT(&out, "\n");
			break;
		case AQ_F_CSV:
			put_cells(&out, table, row, ',', put_csv);
			break;
		case AQ_F_TSV:
			put_cells(&out, table, row, '\t', put_tsv);
			break;
		}
		if (out.full) {
			out.to = before;
			break;
		}
	}
	return (size_t)(out.to - to_bytes);
}
