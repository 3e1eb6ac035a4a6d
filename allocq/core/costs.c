// SPDX-License-Identifier: MIT
/*
 * The tags of a running kernel, read for the first time, and what asking costs there. Everything is
 * measured warm, and together costs a part of what reading the text costs.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

enum {
	PAGE = 1 << 16,
	FEW_TAGS = 16,	   /* the least run that is timed */
	FEW_CPUS = 16,	   /* with no more CPUs, summing every counter is cheap enough to measure */
	REREADS = 2, READS_TIMED = 5,
	ROUNDS = 5,
	MOST_SUMMED = 48,
	TEXT_MOST = 64 << 20,
};

static enum aq_result failed(int error)
{
	errno = -error;
	return AQ_ERROR;
}

/* Read the text from where it stands, at most `most` reads. *len and *reads are added to. */
static enum aq_result read_text(int fd, const aq_hooks *hooks, size_t most, char **text, size_t *len,
				size_t *cap, size_t *reads)
{
	for (size_t i = 0; i < most; i++) {
		char *bigger = aq_grown(*text, cap, *len + PAGE, 1, 4 * PAGE);
		ssize_t got;

		if (!bigger)
			return failed(-ENOMEM);
		*text = bigger;
		got = read(fd, bigger + *len, PAGE);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return AQ_ERROR;
		if (!got)
			return AQ_DONE;
		*len += (size_t)got;
		++*reads;
		if (*len > TEXT_MOST)
			return failed(-EFBIG);
		if (aq_stopped(hooks))
			return AQ_STOPPED;
	}
	return AQ_DONE;
}

/* Nanoseconds of one read, which returns a page. */
static enum aq_result time_reads(int fd, uint64_t *ns)
{
	enum aq_result result = AQ_DONE;
	uint64_t best = UINT64_MAX;
	size_t cap = 0;
	char *room = NULL;

	for (int i = 0; i < REREADS && result == AQ_DONE; i++) {
		size_t len = 0, reads = 0;
		uint64_t begin;

		if (lseek(fd, 0, SEEK_SET) < 0)
			result = AQ_ERROR;
		begin = aq_now_ns();
		if (result == AQ_DONE)
			result = read_text(fd, NULL, READS_TIMED, &room, &len, &cap, &reads);
		if (aq_now_ns() - begin < best)
			best = aq_now_ns() - begin;
	}
	free(room);
	*ns = best / READS_TIMED;
	return result;
}

static int compare_files(const void *x, const void *y)
{
	const struct aq_str *a = x, *b = y;
	size_t least = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->s, b->s, least);

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* The file with the most tags of those with at most MOST_SUMMED; how many it has. */
static size_t probe_file(const aq_table *names, struct aq_str *file)
{
	struct aq_str *files = calloc(names->len + 1, sizeof(*files));
	size_t most = 1, run = 1;

	*file = AQ_STR("no such file either");
	if (!files)
		return most;
	for (size_t i = 0; i < names->len; i++)
		files[i] = aq_row_str(names, &names->rows[i], names->rows[i].file, names->rows[i].file_len);
	qsort(files, names->len, sizeof(*files), compare_files);
	for (size_t i = 1; i <= names->len; i++, run++) {
		if (i < names->len && !compare_files(&files[i], &files[i - 1]))
			continue;
		if (run >= most && run <= MOST_SUMMED) {
			most = run;
			*file = files[i - 1];
		}
		run = 0;
	}
	free(files);
	return most;
}

/* What every probe shares. */
struct probe {
	int fd;
	const aq_table *names;
	aq_filter everything;
	aq_table room;
	enum aq_result result; /* the first that is not AQ_DONE */
	int error;	       /* errno of that one: the calls behind it set their own */
};

static void note(struct probe *probe, enum aq_result result)
{
	if (probe->result != AQ_DONE || result == AQ_DONE)
		return;
	probe->result = result;
	probe->error = errno;
}

/* Nanoseconds of `count` tags from `first` on. */
static uint64_t time_seek(struct probe *probe, size_t first, size_t count)
{
	uint32_t at = (uint32_t)first, n = (uint32_t)count;
	uint64_t ioctls = 0, begin = aq_now_ns();

	aq_table_clear(&probe->room);
	note(probe, aq_seek(probe->fd, probe->names, &at, &n, 1, &probe->everything, SIZE_MAX, NULL,
			    &probe->room, &ioctls));
	return aq_now_ns() - begin;
}

/* Nanoseconds of a scan with a filter. */
static uint64_t time_filter(struct probe *probe, const aq_kfilter *kernel)
{
	uint64_t ioctls = 0, begin = aq_now_ns();

	aq_table_clear(&probe->room);
	note(probe, aq_scan(probe->fd, kernel, &probe->everything, SIZE_MAX, NULL, &probe->room, &ioctls));
	return aq_now_ns() - begin;
}

static uint64_t at_least(int64_t value, int64_t least)
{
	return (uint64_t)(value > least ? value : least);
}

/* A file, or none, with sizes that no counter has: names are compared, sums made, nothing returned. */
static aq_kfilter *no_size(struct aq_str file)
{
	aq_kfilter *kernel = aq_kfilter_new();

	if (!kernel)
		return NULL;
	if (file.len)
		aq_kfilter_name(kernel, AQ_K_FILE, file.s, file.len);
	aq_kfilter_number(kernel, AQ_K_MIN_SIZE, 1ULL << 62);
	aq_kfilter_number(kernel, AQ_K_MAX_SIZE, 1ULL << 62);
	return kernel;
}

static int compare_times(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	return (*a > *b) - (*a < *b);
}

/* The least times of each kind over the rounds; `call` is the median. */
struct times {
	int64_t call, one, last, walk, sums, tag;
};

static void least(int64_t *best, int64_t value)
{
	if (value < *best)
		*best = value;
}

static struct times time_rounds(struct probe *probe, const aq_kfilter *nothing, const aq_kfilter *no_sum,
				size_t tags, size_t few)
{
	struct times best = { 0, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX };
	uint64_t calls[ROUNDS];

	time_seek(probe, 0, few + 1); /* makes room */
	for (size_t turn = 0; turn < ROUNDS; turn++) {
		/* Tags not looked at before, as most are. */
		size_t place = (tags - few) * turn / ROUNDS;
		int64_t first;

		calls[turn] = time_seek(probe, 0, 1);
		least(&best.one, (int64_t)calls[turn]);
		least(&best.last, (int64_t)time_seek(probe, tags - 1, 1));
		first = (int64_t)time_seek(probe, place, 1);
		least(&best.tag, ((int64_t)time_seek(probe, place, few + 1) - first) / (int64_t)few);
		least(&best.walk, (int64_t)time_filter(probe, nothing));
		least(&best.sums, (int64_t)time_filter(probe, no_sum));
	}
	qsort(calls, ROUNDS, sizeof(calls[0]), compare_times);
	best.call = (int64_t)calls[(ROUNDS - 1) / 2];
	return best;
}

static void measure(struct probe *probe, uint64_t text, aq_costs *costs)
{
	size_t tags = probe->names->len, few;
	struct aq_str file;
	int64_t summed = (int64_t)probe_file(probe->names, &file), sum, line, count;
	aq_kfilter *nothing = aq_kfilter_new(), *no_sum = no_size(file);
	aq_kfilter *all = no_size((struct aq_str){ "", 0 });
	struct times best;

	if (!nothing || !no_sum || !all) {
		note(probe, failed(-ENOMEM));
		goto out;
	}
	if (tags < 2) { /* nothing to be measured, and nothing to be saved */
		*costs = (aq_costs){ 1, 1, 1, 1, 0, text };
		goto out;
	}
	few = tags / 40 > FEW_TAGS ? tags / 40 : FEW_TAGS;
	few = few < tags - 1 ? few : tags - 1;
	count = (int64_t)tags;
	aq_kfilter_name(nothing, AQ_K_FILE, "no such file", strlen("no such file"));
	best = time_rounds(probe, nothing, no_sum, tags, few);
	costs->call = at_least(best.call, 0);
	costs->step = at_least((best.last - best.one) / count, 1);
	/* A line of the text costs a sum and some printing: a tag from the ioctl is not cheaper. */
	line = (int64_t)at_least((int64_t)text / count, 1);
	sum = (best.sums - best.walk) / summed;
	/* All of them, where that is cheap: a few, here and there, cost more each. */
	if (sum < line / 2 || sysconf(_SC_NPROCESSORS_CONF) <= FEW_CPUS)
		sum = ((int64_t)time_filter(probe, all) - best.last) / count;
	costs->tag = at_least(best.tag, line);
	costs->compare = at_least((best.walk - best.one) / count - (int64_t)costs->step, 1);
	costs->sum = at_least(sum, 0);
	if (costs->sum > (uint64_t)line)
		costs->sum = (uint64_t)line;
	costs->text = text;
out:
	aq_kfilter_free(nothing);
	aq_kfilter_free(no_sum);
	aq_kfilter_free(all);
}

/* What asking costs: kept from earlier in this boot, or measured. */
static enum aq_result find_costs(int fd, struct aq_cache *cache, size_t reads)
{
	struct probe probe = { .fd = fd, .names = &cache->names, .result = AQ_DONE };
	struct aq_cache before;
	uint64_t read_ns;
	enum aq_result result;

	if (!aq_cache_load(NULL, &before)) {
		double text = (double)before.costs.text;

		cache->costs = before.costs;
		if (before.text_len)
			text *= (double)cache->text_len / (double)before.text_len;
		cache->costs.text = text < 0x1p63 ? (uint64_t)text : UINT64_MAX;
		aq_cache_clear(&before);
		return AQ_DONE;
	}
	result = time_reads(fd, &read_ns);
	if (result != AQ_DONE)
		return result;
	aq_filter_init(&probe.everything);
	measure(&probe, read_ns * reads, &cache->costs);
	free(probe.room.rows);
	free(probe.room.text);
	errno = probe.error;
	return probe.result;
}

enum aq_result aq_learn(const aq_source *source, const aq_hooks *hooks, struct aq_cache *cache)
{
	size_t cap = 0, reads = 0;
	uint64_t before = 0, after = 0;
	int known = aq_source_content_id(source, &before);
	enum aq_result result;

	*cache = (struct aq_cache){ .data = NULL };
	if (known < 0 || lseek(source->fd, 0, SEEK_SET) < 0)
		return known < 0 ? failed(known) : AQ_ERROR;
	result = read_text(source->fd, hooks, SIZE_MAX, &cache->data, &cache->text_len, &cap, &reads);
	cache->text = cache->data;
	if (result == AQ_DONE)
		result = aq_cache_parse(cache);
	if (result == AQ_DONE && known)
		result = find_costs(source->fd, cache, reads);
	if (result == AQ_DONE && known && aq_source_content_id(source, &after) == 1 && after == before)
		aq_cache_save(before, cache->text, cache->text_len, &cache->costs);
	if (result != AQ_DONE)
		aq_cache_clear(cache);
	return result;
}
