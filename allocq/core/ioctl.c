// SPDX-License-Identifier: MIT
/* Whole scans by ioctl. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi.h"
#include "engine.h"

struct aq_kfilter {
	struct allocinfo_filter abi;
};

static int allocinfo_ioctl(int fd, unsigned long request, void *argument)
{
	int result;

	do
		result = ioctl(fd, request, argument);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : 0;
}

int aq_content_id(int fd, uint64_t *id)
{
	struct allocinfo_content_id content = { 0 };
	int error = allocinfo_ioctl(fd, ALLOCINFO_IOC_CONTENT_ID, &content);

	*id = content.id;
	return error;
}

aq_kfilter *aq_kfilter_new(void)
{
	return calloc(1, sizeof(struct aq_kfilter));
}

void aq_kfilter_free(aq_kfilter *filter)
{
	free(filter);
}

uint64_t aq_kfilter_mask(const aq_kfilter *filter)
{
	return filter->abi.mask;
}

static const int mask_bit[] = {
	[AQ_K_MODULE] = ALLOCINFO_FILTER_MODNAME,
	[AQ_K_FUNCTION] = ALLOCINFO_FILTER_FUNCTION,
	[AQ_K_FILE] = ALLOCINFO_FILTER_FILENAME,
	[AQ_K_LINE] = ALLOCINFO_FILTER_LINENO,
	[AQ_K_INACCURATE] = ALLOCINFO_FILTER_INACCURATE,
	[AQ_K_MIN_SIZE] = ALLOCINFO_FILTER_MIN_SIZE,
	[AQ_K_MAX_SIZE] = ALLOCINFO_FILTER_MAX_SIZE,
};

/* The place of a name in the struct, NULL for a field that is a number. */
static char *name_field(struct allocinfo_tag *fields, enum aq_kfield field)
{
	switch (field) {
	case AQ_K_MODULE:
		return fields->modname;
	case AQ_K_FUNCTION:
		return fields->function;
	case AQ_K_FILE:
		return fields->filename;
	default:
		return NULL;
	}
}

/* The place of a number in the struct, NULL for a field that is a name. */
static __u64 *number_field(struct allocinfo_filter *filter, enum aq_kfield field)
{
	switch (field) {
	case AQ_K_LINE:
		return &filter->fields.lineno;
	case AQ_K_INACCURATE:
		return &filter->inaccurate;
	case AQ_K_MIN_SIZE:
		return &filter->min_size;
	case AQ_K_MAX_SIZE:
		return &filter->max_size;
	default:
		return NULL;
	}
}

int aq_kfilter_name(aq_kfilter *filter, enum aq_kfield field, const char *s, size_t len)
{
	char *to = name_field(&filter->abi.fields, field);
	size_t over = len > AQ_KERNEL_NAME ? len - AQ_KERNEL_NAME : 0;

	if (!to)
		return -EINVAL;
	memset(to, 0, ALLOCINFO_STR_SIZE);
	memcpy(to, s + over, len - over);
	filter->abi.mask |= 1ULL << mask_bit[field];
	return 0;
}

int aq_kfilter_number(aq_kfilter *filter, enum aq_kfield field, uint64_t value)
{
	__u64 *to = number_field(&filter->abi, field);

	if (!to)
		return -EINVAL;
	*to = value;
	filter->abi.mask |= 1ULL << mask_bit[field];
	return 0;
}

int aq_kfilter_field(const aq_kfilter *filter, enum aq_kfield field, const char **name, uint64_t *value)
{
	struct aq_kfilter copy = *filter;
	const __u64 *number = number_field(&copy.abi, field);

	*name = NULL;
	if (field < AQ_K_MODULE || field > AQ_K_MAX_SIZE || !(filter->abi.mask >> mask_bit[field] & 1))
		return 0;
	if (number)
		*value = *number;
	else
		*name = (const char *)filter + (name_field(&copy.abi.fields, field) - (char *)&copy);
	return 1;
}

static struct aq_str name_of(const char *field)
{
	return (struct aq_str){ field, strnlen(field, ALLOCINFO_STR_SIZE) };
}

static struct aq_tag tag_of(const struct allocinfo_tag_data *data)
{
	struct aq_tag tag = {
		.bytes = (int64_t)data->counter.bytes,
		.calls = data->counter.calls,
		.line = data->tag.lineno,
		.file = name_of(data->tag.filename),
		.module = name_of(data->tag.modname),
		.function = name_of(data->tag.function),
		.accurate = data->counter.accurate,
	};

	tag.has_module = tag.module.len > 0;
	return tag;
}

/* A name of 63 bytes may be the end of a longer one. */
static bool maybe_trimmed(const struct aq_tag *tag)
{
	return tag->file.len >= AQ_KERNEL_NAME || tag->function.len >= AQ_KERNEL_NAME ||
	       tag->module.len >= AQ_KERNEL_NAME;
}

/* How many tags are read between two looks for a stop: a few milliseconds on a slow machine. */
enum { PULSE_TAGS = 64 };

static enum aq_result failed(int error)
{
	errno = -error;
	return AQ_ERROR;
}

enum aq_result aq_scan(int fd, const aq_kfilter *kernel, const aq_filter *check, size_t limit,
		       const aq_hooks *hooks, aq_table *out, uint64_t *ioctls)
{
	struct allocinfo_get_at at = { .filter = kernel->abi };
	int error = allocinfo_ioctl(fd, ALLOCINFO_IOC_GET_AT, &at);
	struct allocinfo_tag_data data = at.data;

	for (size_t i = 1; ++*ioctls, !error; i++) {
		struct aq_tag tag = tag_of(&data);

		if (aq_match_counter(check, tag.bytes, tag.calls, tag.accurate)) {
			error = aq_table_add(out, &tag, maybe_trimmed(&tag));
			if (error)
				return failed(error);
			if (out->len >= limit)
				return AQ_DONE;
		}
		if (i % PULSE_TAGS == 0 && aq_stopped(hooks))
			return AQ_STOPPED;
		error = allocinfo_ioctl(fd, ALLOCINFO_IOC_GET_NEXT, &data);
	}
	return error == -ENOENT ? AQ_DONE : failed(error);
}

/* Where aq_seek() puts what it finds. */
struct seeker {
	int fd;
	const aq_table *names;
	const aq_filter *check;
	const aq_hooks *hooks;
	size_t limit;
	aq_table *out;
	uint64_t *ioctls;
};

/* Take the tag that must be row i of the names. AQ_MORE: go on. */
static enum aq_result take_tag(const struct seeker *seeker, size_t i, const struct allocinfo_tag_data *data)
{
	struct aq_tag tag = tag_of(data), whole;
	int error;

	if (i >= seeker->names->len || !aq_row_is(seeker->names, i, &tag, &whole))
		return AQ_STALE;
	if (!aq_match_counter(seeker->check, tag.bytes, tag.calls, tag.accurate))
		return AQ_MORE;
	tag.file = whole.file;
	tag.module = whole.module;
	tag.function = whole.function;
	error = aq_table_add(seeker->out, &tag, false);
	if (error)
		return failed(error);
	return seeker->out->len >= seeker->limit ? AQ_DONE : AQ_MORE;
}

/* The tags of one run. AQ_MORE: go on with the next. */
static enum aq_result seek_run(const struct seeker *seeker, uint32_t first, uint32_t count)
{
	struct allocinfo_get_at at = { .pos = first };
	int error = allocinfo_ioctl(seeker->fd, ALLOCINFO_IOC_GET_AT, &at);
	struct allocinfo_tag_data data = at.data;

	for (uint32_t i = 0;;) {
		enum aq_result result;

		++*seeker->ioctls;
		if (error)
			return error == -ENOENT ? AQ_STALE : failed(error);
		result = take_tag(seeker, (size_t)first + i, &data);
		if (result != AQ_MORE || ++i == count)
			return result;
		if (i % PULSE_TAGS == 0 && aq_stopped(seeker->hooks))
			return AQ_STOPPED;
		error = allocinfo_ioctl(seeker->fd, ALLOCINFO_IOC_GET_NEXT, &data);
	}
}

enum aq_result aq_seek(int fd, const aq_table *names, const uint32_t *first, const uint32_t *count,
		       size_t runs, const aq_filter *check, size_t limit, const aq_hooks *hooks,
		       aq_table *out, uint64_t *ioctls)
{
	const struct seeker seeker = { fd, names, check, hooks, limit, out, ioctls };

	for (size_t run = 0; run < runs; run++) {
		enum aq_result result = seek_run(&seeker, first[run], count[run]);

		if (result != AQ_MORE)
			return result;
		if (run % PULSE_TAGS == 0 && aq_stopped(hooks))
			return AQ_STOPPED;
	}
	return AQ_DONE;
}
