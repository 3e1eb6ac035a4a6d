/*
 * Questions to a kernel whose modules come and go, and which may lie: an answer that is called
 * consistent is the one of the tags that the kernel had then, and nothing that a kernel says
 * crashes the reader or keeps it for ever.
 */
#include <fnmatch.h>
#include <sys/ioctl.h>

#include "abi.h"
#include "place.h"

enum { FD = 1000, POOL = 20, WORLDS = 4, MOST_CALLS = 200000, LONGEST_SCAN = 400, LIES = 3 };

#define LONG_NAME "0123456789_0123456789_0123456789_0123456789_0123456789_012345" /* 61 bytes */
#define LONG "0123456789/0123456789/0123456789/0123456789/0123456789/012345" /* 61 bytes */

struct tag {
	const char *file, *module, *function;
	uint64_t line, calls;
	int64_t bytes;
	bool accurate;
};

struct world {
	struct tag tags[POOL];
	size_t n;
	char lines[POOL + 2][512];
};

struct lie {
	size_t at; /* which call */
	uint8_t what;
};

static struct {
	struct world worlds[WORLDS];
	size_t n_worlds;
	struct input changes; /* after how many calls the tags change; 0: never again */
	size_t calls, until;
	uint64_t epoch;
	struct lie lies[LIES];
	bool lied, may_go_on;
	size_t scanned;
	struct allocinfo_filter filter;
	size_t cursor, line;
	uint64_t clock, clock_step;
	size_t page;
} kernel;

static const char *const files[] = { "mm/slub.c", "fs/xfs/xfs_buf.c", "include/linux/slab.h",
				     "a/" LONG, "b/" LONG, "long/er/" LONG "/x.c",
				     "other/er/" LONG "/x.c", "../drivers/x.c" };
static const char *const modules[] = { NULL, NULL, "xfs", "tun", LONG_NAME "mod", LONG_NAME "long" };
static const char *const functions[] = { "alloc_slab_page", "f", "xfs_init", LONG_NAME "func",
					 LONG_NAME "fun", "1" LONG_NAME "func" };

#define PICK(list, in) list[byte(in) % (sizeof(list) / sizeof(list[0]))]

static const int64_t sizes[] = { 0, 4096, 65536, 1 << 20, -4096, INT64_MAX, INT64_MIN, 5000 };

static void make_worlds(struct input *in)
{
	struct tag pool[POOL];
	size_t n = 1 + byte(in) % POOL;

	for (size_t i = 0; i < n; i++) {
		uint8_t counters = byte(in);

		pool[i] = (struct tag){ PICK(files, in), PICK(modules, in), PICK(functions, in),
					.line = byte(in) % 4 + 1, .bytes = sizes[counters % 8],
					.calls = counters >> 3 & 7, .accurate = counters < 0xc0 };
		if (counters % 8 == 4)
			pool[i].calls = UINT64_MAX;
	}
	kernel.n_worlds = 1 + byte(in) % WORLDS;
	for (size_t w = 0; w < kernel.n_worlds; w++) {
		struct world *world = &kernel.worlds[w];
		uint32_t left_out = w ? byte(in) | byte(in) << 8 | byte(in) << 16 : 0;
		uint8_t more = w ? byte(in) : 0;

		world->n = 0;
		strcpy(world->lines[0], "allocinfo - version: 2.0\n");
		strcpy(world->lines[1], "#     <size>  <calls> <tag info>\n");
		for (size_t i = 0; i < n; i++) {
			struct tag *tag = &world->tags[world->n];

			if (left_out >> i & 1)
				continue;
			*tag = pool[i];
			if (tag->bytes > 0 && tag->bytes < 1 << 20)
				tag->bytes += more;
			snprintf(world->lines[2 + world->n++], sizeof(world->lines[0]),
				 "%12lld %8llu %s:%llu%s%s%s func:%s%s \n", (long long)tag->bytes,
				 (unsigned long long)tag->calls, tag->file, (unsigned long long)tag->line,
				 tag->module ? " [" : "", tag->module ? tag->module : "",
				 tag->module ? "]" : "", tag->function, tag->accurate ? "" : " accurate:no");
		}
	}
}

static const struct world *world_at(uint64_t epoch)
{
	return &kernel.worlds[epoch % kernel.n_worlds];
}

static const struct world *now(void)
{
	return world_at(kernel.epoch);
}

/* A call comes; the tags may change before it. Returns the lie to tell, 0 for none. */
static uint8_t call(void)
{
	uint8_t what = 0;

	CHECK(++kernel.calls < MOST_CALLS);
	if (kernel.until && !--kernel.until) {
		kernel.epoch++;
		kernel.until = byte(&kernel.changes);
	}
	for (size_t i = 0; i < LIES; i++)
		if (kernel.lies[i].what && kernel.lies[i].at == kernel.calls)
			what = kernel.lies[i].what;
	return what;
}

static void trim(char *to, const char *s)
{
	size_t len = s ? strlen(s) : 0, over = len > AQ_KERNEL_NAME ? len - AQ_KERNEL_NAME : 0;

	memset(to, 0, ALLOCINFO_STR_SIZE);
	memcpy(to, s ? s + over : "", len - over);
}

static void copy_out(const struct tag *tag, struct allocinfo_tag_data *data)
{
	memset(data, 0, sizeof(*data));
	trim(data->tag.modname, tag->module);
	trim(data->tag.function, tag->function);
	trim(data->tag.filename, tag->file);
	data->tag.lineno = tag->line;
	data->counter.bytes = (uint64_t)tag->bytes;
	data->counter.calls = tag->calls;
	data->counter.accurate = tag->accurate;
}

/* matches_filter() of mm/alloc_tag.c, as the kernel has it. */
static bool passes(const struct tag *tag, const struct allocinfo_filter *filter)
{
	struct allocinfo_tag_data data;
	const uint64_t mask = filter->mask;

	copy_out(tag, &data);
#define ASKED(field) (mask >> ALLOCINFO_FILTER_##field & 1)
	return !(ASKED(MODNAME) && strcmp(data.tag.modname, filter->fields.modname)) &&
	       !(ASKED(FUNCTION) && strcmp(data.tag.function, filter->fields.function)) &&
	       !(ASKED(FILENAME) && strcmp(data.tag.filename, filter->fields.filename)) &&
	       !(ASKED(LINENO) && data.tag.lineno != filter->fields.lineno) &&
	       !(ASKED(INACCURATE) && !!filter->inaccurate != !data.counter.accurate) &&
	       !(ASKED(MIN_SIZE) && data.counter.bytes < filter->min_size) &&
	       !(ASKED(MAX_SIZE) && data.counter.bytes > filter->max_size);
}

static int fail(int error)
{
	kernel.may_go_on = false;
	errno = error;
	return -1;
}

/* The next tag that passes, from the cursor on. */
static int next_tag(struct allocinfo_tag_data *out)
{
	while (kernel.cursor < now()->n && !passes(&now()->tags[kernel.cursor], &kernel.filter))
		kernel.cursor++;
	if (kernel.cursor >= now()->n || ++kernel.scanned > LONGEST_SCAN)
		return fail(ENOENT);
	copy_out(&now()->tags[kernel.cursor++], out);
	kernel.may_go_on = true;
	return 0;
}

static int get_at(struct allocinfo_get_at *get)
{
	const struct allocinfo_filter *filter = &get->filter;
	struct allocinfo_tag_data passed_by;

	if (filter->mask >> 7 || ((filter->mask >> 5 & 3) == 3 && filter->min_size > filter->max_size))
		return fail(EINVAL);
	kernel.filter = *filter;
	kernel.cursor = kernel.scanned = 0;
	for (uint64_t i = 0; i < get->pos; i++)
		if (next_tag(&passed_by))
			return -1;
	return next_tag(&get->data);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	static const int errors[] = { EIO, ENOTTY, EPERM, ENODEV, ENOMEM, ENOENT, EINVAL, EFAULT };
	struct allocinfo_tag_data *out;
	va_list arguments;
	void *argument;
	uint8_t lie = call();
	int result;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	CHECK(fd == FD);
	if (lie == 1) { /* an honest one */
		errno = EINTR;
		return -1;
	}
	kernel.lied |= lie != 0;
	if (lie && lie < 64)
		return fail(errors[lie % 8]);
	if (request == ALLOCINFO_IOC_CONTENT_ID) {
		((struct allocinfo_content_id *)argument)->id = 100 + kernel.epoch + (lie ? lie % 3 : 0);
		return 0;
	}
	CHECK(request == ALLOCINFO_IOC_GET_AT || request == ALLOCINFO_IOC_GET_NEXT);
	if (request == ALLOCINFO_IOC_GET_AT) {
		out = &((struct allocinfo_get_at *)argument)->data;
		result = get_at(argument);
	} else {
		CHECK(kernel.may_go_on);
		out = argument;
		result = next_tag(out);
	}
	if (lie && lie < 128 && !result)
		copy_out(&now()->tags[lie % now()->n], out); /* another one than is right */
	else if (lie >= 128 && lie < 192 && !result)
		memset((char *)out + lie % 64 * 3, lie, 24);
	else if (lie >= 192 && now()->n) { /* never an end, or none yet */
		copy_out(&now()->tags[lie % now()->n], out);
		kernel.cursor = 0;
		kernel.may_go_on = true;
		return 0;
	}
	return result;
}

ssize_t __real_read(int fd, void *to, size_t len);
off_t __real_lseek(int fd, off_t at, int from);

/* A page of whole lines, as seq_file has it. */
ssize_t __wrap_read(int fd, void *to, size_t len)
{
	size_t used = 0;
	uint8_t lie;

	if (fd != FD)
		return __real_read(fd, to, len);
	lie = call();
	if (lie == 1) {
		errno = EINTR;
		return -1;
	}
	kernel.lied |= lie != 0;
	if (lie && lie < 64) {
		errno = lie & 1 ? EIO : ENOMEM;
		return -1;
	}
	if (lie >= 192)
		return 0;
	while (kernel.line < now()->n + 2) {
		const char *line = now()->lines[kernel.line];
		size_t n = strlen(line);

		if (used && used + n > kernel.page)
			break;
		CHECK(used + n <= len);
		memcpy((char *)to + used, line, n);
		used += n;
		kernel.line++;
	}
	if (lie && used)
		((char *)to)[lie * 7u % used] = (char)lie;
	return (ssize_t)used;
}

off_t __wrap_lseek(int fd, off_t at, int from)
{
	if (fd != FD)
		return __real_lseek(fd, at, from);
	CHECK(at == 0 && from == SEEK_SET);
	kernel.line = 0;
	return 0;
}

uint64_t __wrap_aq_now_ns(void)
{
	kernel.clock_step = kernel.clock_step * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
	return kernel.clock += kernel.clock_step >> 44;
}

/* A question, and what it asks in words of our own. */
struct question {
	aq_filter *filter;
	const char *file, *function, *other, *module, *exclude;
	bool file_glob, builtin, has_hooks;
	uint64_t low, high;
	int64_t min_calls;
	bool underflowed;
	int64_t min, max;
	int accuracy;
	aq_wanted wanted;
	unsigned int search, stop; /* lines to drop, pulses until a stop */
	unsigned int pulses;
	bool stopped;
};

static void make_question(struct question *q, struct input *in)
{
	uint8_t names = byte(in), numbers = byte(in), more = byte(in);

	*q = (struct question){ .filter = aq_filter_new(), .min = INT64_MIN, .max = INT64_MAX,
				.min_calls = INT64_MIN, .accuracy = -1, .high = UINT64_MAX };
	CHECK(q->filter);
	if (names & 1) {
		q->file = PICK(files, in);
		if (byte(in) & 1)
			q->file = byte(in) & 1 ? "*.c" : "*x*";
		q->file_glob = strchr(q->file, '*');
		CHECK(!aq_filter_name(q->filter, AQ_FILE, q->file, strlen(q->file)));
	}
	if (names & 2) {
		q->function = PICK(functions, in);
		CHECK(!aq_filter_name(q->filter, AQ_FUNCTION, q->function, strlen(q->function)));
		q->other = names & 0x40 ? PICK(functions, in) : q->function;
		if (names & 0x40)
			CHECK(!aq_filter_name(q->filter, AQ_FUNCTION, q->other, strlen(q->other)));
	}
	if (names & 4) {
		q->module = modules[2 + byte(in) % 4];
		CHECK(!aq_filter_name(q->filter, AQ_MODULE, q->module, strlen(q->module)));
	}
	if (names & 8) {
		q->exclude = "*.h";
		CHECK(!aq_filter_name(q->filter, AQ_EXCLUDE, q->exclude, 3));
	}
	if ((names & 0x14) == 0x10)
		aq_filter_builtin(q->filter), q->builtin = true;
	if (names & 0x20) {
		q->low = 1 + byte(in) % 4;
		q->high = q->low + (byte(in) & 1);
		CHECK(!aq_filter_line(q->filter, q->low, q->high));
	}
	if (numbers & 3)
		q->min = sizes[byte(in) % 8];
	if (numbers & 4)
		q->max = sizes[byte(in) % 8];
	aq_filter_sizes(q->filter, q->min, q->max);
	if (numbers & 8)
		aq_filter_calls(q->filter, q->min_calls = byte(in) % 3, INT64_MAX);
	if (numbers & 0x80)
		aq_filter_underflowed(q->filter), q->underflowed = true;
	if (numbers & 0x10)
		aq_filter_accuracy(q->filter, q->accuracy = numbers >> 5 & 1);
	if (more & 3)
		q->wanted = (aq_wanted){ more & 1 ? more >> 2 & 7 : 0, more & 2 ? more >> 2 & 7 : 0 };
	if ((more & 3) == 3)
		q->wanted.top = 0;
	q->has_hooks = more & 0x20;
	q->search = more & 0x40 ? 1 + byte(in) % 3 : 0;
	q->stop = more & 0x80 ? 1 + byte(in) : 0;
}

static bool wants(const struct question *q, const struct tag *tag)
{
	size_t len = q->file ? strlen(q->file) : 0, has = strlen(tag->file);
	bool file = true;

	if (q->file_glob)
		file = !fnmatch(q->file, tag->file, 0);
	else if (q->file)
		file = has >= len && !strcmp(tag->file + has - len, q->file) &&
		       (has == len || tag->file[has - len - 1] == '/');
	return file && (!q->function || !strcmp(q->function, tag->function) || !strcmp(q->other, tag->function)) &&
	       (!q->module || (tag->module && !strcmp(q->module, tag->module))) &&
	       !(q->builtin && tag->module) && !(q->exclude && !fnmatch(q->exclude, tag->file, 0)) &&
	       tag->line >= q->low && tag->line <= q->high && tag->bytes >= q->min && tag->bytes <= q->max &&
	       (int64_t)tag->calls >= q->min_calls &&
	       (!q->underflowed || tag->bytes < 0 || tag->calls >> 63) &&
	       (q->accuracy < 0 || q->accuracy == tag->accurate) &&
	       !(q->has_hooks && q->search && tag->line % 4 == q->search);
}

static int search(void *context, const aq_table *table, uint8_t *keep)
{
	struct question *q = context;

	for (size_t i = 0; i < table->len; i++)
		if (q->search && table->rows[i].line % 4 == q->search)
			keep[i] = 0;
	return 0;
}

static int pulse(void *context)
{
	struct question *q = context;

	if (q->stop && ++q->pulses >= q->stop)
		q->stopped = true;
	return q->stopped;
}

static bool is_row(const aq_table *table, size_t i, const struct world *world, size_t tag)
{
	struct aq_str row = aq_row_str(table, &table->rows[i], 0, table->rows[i].text_len);
	const char *line = world->lines[2 + tag];

	return row.len == strlen(line) - 1 && !memcmp(row.s, line, row.len);
}

/* All that is wanted, in order; more only where a limit lets it be. */
static void check_rows_are(const struct question *q, const aq_table *out, const struct world *world)
{
	size_t row = 0, matching = 0;

	for (size_t i = 0; i < world->n; i++) {
		const struct tag *tag = &world->tags[i];
		size_t larger = 0;
		bool needed = true;

		if (!wants(q, tag))
			continue;
		for (size_t j = 0; j < world->n; j++)
			if (wants(q, &world->tags[j]))
				larger += world->tags[j].bytes > tag->bytes ||
					  (world->tags[j].bytes == tag->bytes && j < i);
		if (q->wanted.top)
			needed = larger < q->wanted.top;
		else if (q->wanted.first)
			needed = matching < q->wanted.first;
		matching++;
		if (row < out->len && is_row(out, row, world, i))
			row++;
		else
			CHECK(!needed);
	}
	CHECK(row == out->len);
}

static void check_sane(const struct question *q, const aq_table *out)
{
	check_rows(out);
	for (size_t i = 0; i < out->len; i++) {
		const struct aq_row *row = &out->rows[i];
		char names[3][512];
		struct tag tag = { names[0], row->has_module ? names[1] : NULL, names[2], row->line,
				   row->calls, row->bytes, row->accurate };

		CHECK(row->file_len < 512 && row->module_len < 512 && row->function_len < 512);
		snprintf(names[0], 512, "%.*s", (int)row->file_len, out->text + row->text + row->file);
		snprintf(names[1], 512, "%.*s", (int)row->module_len, out->text + row->text + row->module);
		snprintf(names[2], 512, "%.*s", (int)row->function_len, out->text + row->text + row->function);
		CHECK(wants(q, &tag));
	}
}

static void check_plan(struct question *q, aq_source *source, const aq_hooks *hooks, size_t failing)
{
	const char *name;
	const uint32_t *first, *count;
	aq_problem problem;
	aq_plan *plan;
	bool failed;

	begin_failing(failing);
	plan = aq_source_plan(source, q->filter, &q->wanted, hooks, &problem);
	failed = end_failing();
	if (!plan) {
		CHECK(problem.kind != AQ_P_NONE && problem.message[0]);
		CHECK(failed || q->stopped || kernel.lied || kernel.until || kernel.epoch);
		return;
	}
	for (const aq_plan *other = plan; other; other = other->next) {
		size_t runs = aq_plan_runs(other, &first, &count);
		uint64_t value;

		CHECK((aq_plan_method(other) == AQ_FILTER) == (aq_plan_kernel(other) != NULL));
		CHECK(!runs || aq_plan_method(other) == AQ_SEEK);
		for (size_t i = 0; i < runs; i++)
			CHECK(count[i] && (!i || first[i] >= first[i - 1] + count[i - 1]));
		for (enum aq_kfield field = AQ_K_MODULE; other->kernel && field <= AQ_K_MAX_SIZE; field++)
			aq_kfilter_field(other->kernel, field, &name, &value);
	}
	aq_plan_free(plan);
}

static void ask(struct question *q, aq_source *source, size_t failing)
{
	aq_hooks hooks = { search, pulse, q };
	const aq_hooks *given = q->has_hooks ? &hooks : NULL;
	aq_table *out = aq_table_new();
	uint64_t epoch;
	aq_problem problem;
	aq_info info;
	int error;
	bool failed, quiet;

	CHECK(out);
	if (failing & 1)
		check_plan(q, source, given, failing);
	q->pulses = 0;
	q->stopped = false;
	epoch = kernel.epoch;
	begin_failing(failing);
	error = aq_source_read(source, q->filter, &q->wanted, given, out, &info, &problem);
	failed = end_failing();
	quiet = kernel.epoch == epoch && !kernel.lied;
	if (error) {
		CHECK(problem.kind != AQ_P_NONE && problem.message[0] && !strchr(problem.message, '\n'));
		CHECK(failed || q->stopped || kernel.lied);
		CHECK(!failed || kernel.lied || problem.kind == AQ_P_MEMORY || q->stopped);
		CHECK(!q->stopped || failed || kernel.lied || problem.kind == AQ_P_STOPPED);
	} else {
		check_sane(q, out);
		CHECK(info.consistent >= -1 && info.consistent <= 1 && info.time_ns);
		CHECK(info.warnings >= 0 && info.warnings <= 4);
		if (quiet)
			CHECK(info.consistent == (source->has_ioctl ? 1 : -1));
		if (quiet || (info.consistent == 1 && !kernel.lied))
			check_rows_are(q, out, world_at(source->has_ioctl ? info.content_id - 100 : epoch));
	}
	aq_table_free(out);
}

/* Every allocation fails once, with nothing else going on. */
static void fail_each(struct question *q, aq_source *source)
{
	kernel.until = 0;
	memset(kernel.lies, 0, sizeof(kernel.lies));
	kernel.lied = false;
	q->stop = 0;
	for (size_t failing = 1; failing < 300; failing++) {
		unlinkat(folder_fd, "names", 0);
		ask(q, source, failing);
		if (memory.made < failing)
			break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	static char path[] = "/proc/allocinfo";
	uint8_t how = byte(&in), asks = byte(&in), questions = 1 + asks % 3u;
	aq_source source = { .path = path, .fd = FD, .live = true, .has_ioctl = how & 3,
			     .interface = how & 3 ? (how >> 2) % 3 : AQ_AUTO };

	empty_folder();
	memset(&kernel, 0, sizeof(kernel));
	kernel.clock = 1;
	kernel.clock_step = byte(&in);
	kernel.page = 64u << (byte(&in) & 7);
	has_boot_id = how & 0x10;
	make_worlds(&in);
	for (size_t i = 0; how & 0x20 && i < LIES; i++)
		kernel.lies[i] = (struct lie){ byte(&in) | (size_t)(byte(&in) & 3) << 8, byte(&in) };
	if (how & 0x40) {
		size_t n = byte(&in) % 12u;

		kernel.until = byte(&in);
		kernel.changes = in;
		in.at += n < left(&in) ? n : left(&in);
		kernel.changes.end = in.at;
	}
	while (questions--) {
		struct question q;
		uint8_t failing = byte(&in);

		make_question(&q, &in);
		ask(&q, &source, failing < 0x40 ? failing : 0);
		if (!questions && asks >= 0xf0)
			fail_each(&q, &source);
		aq_filter_free(q.filter);
	}
	return 0;
}
