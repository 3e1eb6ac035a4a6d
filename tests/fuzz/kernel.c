/*
 * A kernel that answers anything: what it has handed out is what the scans must say.
 */
#include <errno.h>
#include <stdarg.h>

#include "abi.h"
#include "check.h"

enum { MOST = 24 };

static struct {
	struct input in;
	struct allocinfo_tag_data real[8], handed[MOST];
	size_t tags, at, handed_out, calls;
	int error; /* the last one but EINTR, 0 before */
	bool honest;
} kernel;

static void name(char *field, struct input *in)
{
	static const char *const common[] = { "", "mm/slub.c", "xfs", "kernel/fork.c", "alloc", "a b[c]",
		"x/0123456789/0123456789/0123456789/0123456789/0123456789/012345",
		"y/0123456789/0123456789/0123456789/0123456789/0123456789/012345" };
	uint8_t how = byte(in);

	memset(field, 0, ALLOCINFO_STR_SIZE);
	if (how < 0xc0) {
		/* As the kernel does: the last 63 bytes. */
		const char *s = common[how % 8];
		size_t over = strlen(s) > AQ_KERNEL_NAME ? strlen(s) - AQ_KERNEL_NAME : 0;

		memcpy(field, s + over, strlen(s + over));
		return;
	}
	memset(field, byte(in), how & 1 ? ALLOCINFO_STR_SIZE : how % ALLOCINFO_STR_SIZE);
	for (size_t i = how & 7, n = byte(in) & 15; n && i < ALLOCINFO_STR_SIZE; n--)
		field[i++] = (char)byte(in);
}

static void tag(struct allocinfo_tag_data *data, struct input *in)
{
	memset(data, 0, sizeof(*data));
	name(data->tag.modname, in);
	name(data->tag.function, in);
	name(data->tag.filename, in);
	data->tag.lineno = byte(in) < 0xf0 ? byte(in) : UINT64_MAX - byte(in);
	data->counter.bytes = ((uint64_t)byte(in) << (byte(in) & 63)) - (byte(in) & 1);
	data->counter.calls = ((uint64_t)byte(in) << (byte(in) & 63)) - (byte(in) & 1);
	data->counter.accurate = byte(in);
	data->counter.pad[0] = byte(in);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	static const int errors[] = { ENOTTY, EIO, EFAULT, ENOMEM, EPERM, EINVAL, ENOENT, EBADF };
	uint8_t how = byte(&kernel.in);
	struct allocinfo_tag_data *out;
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	CHECK(fd == 7 && (request == ALLOCINFO_IOC_GET_AT || request == ALLOCINFO_IOC_GET_NEXT));
	if (how >= 0xf0 && left(&kernel.in)) {
		errno = EINTR;
		return -1;
	}
	kernel.calls++;
	if (request == ALLOCINFO_IOC_GET_AT) {
		struct allocinfo_get_at *get = argument;

		kernel.at = get->pos;
		out = &get->data;
	} else {
		/* After an error the cursor must not be gone on from. */
		CHECK(kernel.handed_out > 0);
		out = argument;
	}
	CHECK(!kernel.error);
	if (how >= 0xe0 || kernel.handed_out == MOST || (!kernel.honest && !left(&kernel.in)) ||
	    (kernel.honest && kernel.at >= kernel.tags)) {
		kernel.error = how >= 0xe0 ? errors[how % 8] : ENOENT;
		memset(out, how, sizeof(*out));
		errno = kernel.error;
		return -1;
	}
	if (kernel.honest && how < 0xd0)
		*out = kernel.real[kernel.at];
	else
		tag(out, &kernel.in);
	kernel.at++;
	kernel.handed[kernel.handed_out++] = *out;
	return 0;
}

static struct aq_str str(const char *field)
{
	return (struct aq_str){ field, strnlen(field, ALLOCINFO_STR_SIZE) };
}

static struct aq_tag of(const struct allocinfo_tag_data *data)
{
	return (struct aq_tag){
		.bytes = (int64_t)data->counter.bytes, .calls = data->counter.calls,
		.line = data->tag.lineno, .file = str(data->tag.filename),
		.module = str(data->tag.modname), .function = str(data->tag.function),
		.has_module = data->tag.modname[0] != 0, .accurate = data->counter.accurate != 0,
	};
}

static bool is_long(const struct aq_tag *tag)
{
	return tag->file.len > 62 || tag->module.len > 62 || tag->function.len > 62;
}

static void check_row(const aq_table *table, size_t i, const struct aq_tag *tag)
{
	const struct aq_row *row = &table->rows[i];

	CHECK(row->bytes == tag->bytes && row->calls == tag->calls && row->line == tag->line);
	CHECK(row->accurate == tag->accurate && row->has_module == tag->has_module);
	CHECK(equal(aq_row_str(table, row, row->file, row->file_len), tag->file));
	CHECK(equal(aq_row_str(table, row, row->module, row->module_len), tag->module));
	CHECK(equal(aq_row_str(table, row, row->function, row->function_len), tag->function));
}

/* The line that was written is read back as the same tag, if its names allow that. */
static void check_line(const aq_table *table, const struct aq_row *row)
{
	struct aq_str line = aq_row_str(table, row, 0, row->text_len);
	struct aq_str file = aq_row_str(table, row, row->file, row->file_len), odd = file;
	struct aq_tag tag;

	for (size_t i = 0; i < line.len; i++)
		if ((unsigned char)line.s[i] < 0x20 || memchr("\xc2\xe2\xef\\", line.s[i], 4))
			return;
	odd = aq_row_str(table, row, row->function, row->function_len);
	if (!file.len || !odd.len || memchr(odd.s, ' ', odd.len) || memchr(file.s, ' ', file.len))
		return;
	/* What markup and quotes leave behind a name is for a lenient reader, and no symbol has it. */
	for (size_t i = 0; i < odd.len; i++)
		if (memchr("`\"',;|<&=*$", odd.s[i], 11))
			return;
	odd = aq_row_str(table, row, row->module, row->module_len);
	if (memchr(odd.s, ' ', odd.len) || memchr(odd.s, ']', odd.len))
		return;
	CHECK(aq_parse_line(line.s, line.len, &tag) == AQ_LINE_TAG);
	CHECK(tag.bytes == row->bytes && tag.calls == row->calls && tag.line == row->line);
	CHECK(tag.accurate == row->accurate && equal(tag.file, file) && equal(tag.module, odd));
}

static bool same_end(struct aq_str whole, struct aq_str end)
{
	struct aq_str tail = whole;

	if (tail.len > AQ_KERNEL_NAME) {
		tail.s += tail.len - AQ_KERNEL_NAME;
		tail.len = AQ_KERNEL_NAME;
	}
	return equal(tail, end);
}

/* An error of the kernel but the end must come back as errno. */
static void check_result(enum aq_result result, enum aq_result otherwise)
{
	int error = errno;

	if (kernel.error && kernel.error != ENOENT)
		CHECK(result == AQ_ERROR && error == kernel.error);
	else
		CHECK(result == otherwise);
}

static void check_scan(const aq_filter *check, aq_table *out, size_t limit)
{
	aq_kfilter *kfilter = aq_kfilter_new();
	uint64_t made = 0;
	size_t row = 0;
	enum aq_result result;

	CHECK(kfilter);
	result = aq_scan(7, kfilter, check, limit, NULL, out, &made);
	CHECK(made == kernel.calls);
	check_rows(out);
	for (size_t i = 0; i < kernel.handed_out; i++) {
		struct aq_tag tag = of(&kernel.handed[i]);

		if (!aq_match_counter(check, tag.bytes, tag.calls, tag.accurate))
			continue;
		CHECK(row < out->len);
		CHECK(out->rows[row].trimmed == is_long(&tag));
		check_row(out, row, &tag);
		check_line(out, &out->rows[row]);
		row++;
	}
	CHECK(row == out->len && out->len <= limit);
	check_result(result, AQ_DONE);
	CHECK(kernel.error || out->len == limit);
	aq_kfilter_free(kfilter);
}

/* Whole names: the kernel's, sometimes with more in front, as only the text has it. */
static aq_table *whole_names(struct input *in)
{
	aq_table *names = aq_table_new();

	CHECK(names);
	for (size_t i = 0; i < kernel.tags; i++) {
		struct aq_tag tag = of(&kernel.real[i]);
		char longer[80] = "longer/path/";

		if (byte(in) & 1 && tag.file.len == AQ_KERNEL_NAME) {
			memcpy(longer + 12, tag.file.s, tag.file.len);
			tag.file = (struct aq_str){ longer, 12 + tag.file.len };
		}
		CHECK(!aq_table_add(names, &tag, false));
	}
	return names;
}

static void check_seek(const aq_filter *check, const aq_table *names, aq_table *out, size_t limit)
{
	uint32_t first[4], count[4];
	size_t runs = byte(&kernel.in) % 5, handed = 0, row = 0;
	uint64_t made = 0;
	bool stale = false;
	enum aq_result result;

	for (size_t i = 0; i < runs; i++) {
		first[i] = byte(&kernel.in) % 10;
		count[i] = 1 + byte(&kernel.in) % 8;
	}
	result = aq_seek(7, names, first, count, runs, check, limit, NULL, out, &made);
	CHECK(made == kernel.calls);
	check_rows(out);
	for (size_t run = 0; run < runs && !stale; run++) {
		for (size_t i = first[run]; i < first[run] + count[run] && handed < kernel.handed_out; i++) {
			struct aq_tag tag = of(&kernel.handed[handed++]);
			struct aq_tag whole;

			stale = i >= names->len || !aq_row_is(names, i, &tag, &whole);
			if (stale)
				break;
			CHECK(same_end(whole.file, tag.file) && same_end(whole.module, tag.module) &&
			      same_end(whole.function, tag.function));
			if (!aq_match_counter(check, tag.bytes, tag.calls, tag.accurate))
				continue;
			CHECK(row < out->len);
			tag.file = whole.file, tag.module = whole.module, tag.function = whole.function;
			check_row(out, row, &tag);
			check_line(out, &out->rows[row++]);
		}
	}
	CHECK(row == out->len && out->len <= limit && handed == kernel.handed_out);
	check_result(result, stale || kernel.error ? AQ_STALE : AQ_DONE);
}

/* What resolving must say, found out the long way. */
static enum aq_result resolvable(const aq_table *table, const aq_table *names)
{
	for (size_t i = 0; i < table->len; i++) {
		const struct aq_row *row = &table->rows[i];
		struct aq_tag tag = { .line = row->line, .has_module = row->has_module };
		struct aq_tag first = { 0 }, whole = { 0 };
		size_t found = 0;

		tag.file = aq_row_str(table, row, row->file, row->file_len);
		tag.module = aq_row_str(table, row, row->module, row->module_len);
		tag.function = aq_row_str(table, row, row->function, row->function_len);
		for (size_t j = 0; row->trimmed && j < names->len; j++) {
			if (!aq_row_is(names, j, &tag, &whole))
				continue;
			if (found++ && !(equal(whole.file, first.file) && equal(whole.module, first.module) &&
					 equal(whole.function, first.function)))
				return AQ_AMBIGUOUS;
			first = whole;
		}
		if (row->trimmed && !found)
			return AQ_STALE;
	}
	return AQ_DONE;
}

static void check_resolve(aq_table *table, const aq_table *names)
{
	aq_table *before = aq_table_new();
	enum aq_result result;

	CHECK(before && !aq_table_append(before, table));
	result = aq_table_resolve(table, names);
	check_rows(table);
	CHECK(result == resolvable(before, names));
	CHECK(table->len == before->len);
	CHECK(result || table->trimmed == 0);
	for (size_t i = 0; i < before->len; i++) {
		const struct aq_row *old = &before->rows[i], *row = &table->rows[i];
		struct aq_str was = aq_row_str(before, old, old->file, old->file_len);
		struct aq_str is = aq_row_str(table, row, row->file, row->file_len);

		CHECK(row->bytes == old->bytes && row->calls == old->calls);
		CHECK(row->accurate == old->accurate && row->line == old->line);
		CHECK(result || !old->trimmed ? equal(is, was) : same_end(is, was));
	}
	aq_table_free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	aq_filter *check = aq_filter_new();
	aq_table *out = aq_table_new(), *names;
	uint8_t how;
	size_t limit;

	CHECK(check && out);
	memset(&kernel, 0, sizeof(kernel));
	kernel.in = (struct input){ data, data + size };
	how = byte(&kernel.in);
	limit = how & 8 ? 1 + how % 4u : SIZE_MAX;
	kernel.tags = byte(&kernel.in) % 9;
	for (size_t i = 0; i < kernel.tags; i++)
		tag(&kernel.real[i], &kernel.in);
	names = whole_names(&kernel.in);
	if (how & 16)
		aq_filter_sizes(check, (int64_t)((uint64_t)byte(&kernel.in) << (how & 31)), INT64_MAX);
	if (how & 32)
		aq_filter_accuracy(check, how >> 7);
	kernel.honest = how & 1;
	if (how & 2)
		check_seek(check, names, out, limit);
	else
		check_scan(check, out, limit);
	if (how & 4)
		check_resolve(out, names);
	for (enum aq_format format = AQ_F_PROCFS; format <= AQ_F_TSV; format++) {
		size_t len;

		free(render(out, format, how, &len));
	}
	aq_table_free(names);
	aq_table_free(out);
	aq_filter_free(check);
	return 0;
}
