/* The kernel asked by ioctl: whole scans in one call, without the interpreter's lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi.h"
#include "native.h"

struct aq_kfilter {
	struct allocinfo_filter abi;
};

static int ask(int fd, unsigned long request, void *argument)
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
	int error = ask(fd, ALLOCINFO_IOC_CONTENT_ID, &content);

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

void aq_kfilter_name(aq_kfilter *filter, enum aq_kfield field, const char *s, size_t len)
{
	struct allocinfo_tag *fields = &filter->abi.fields;
	char *to = field == AQ_K_MODULE ? fields->modname :
		   field == AQ_K_FUNCTION ? fields->function : fields->filename;
	size_t over = len > AQ_KERNEL_NAME ? len - AQ_KERNEL_NAME : 0;

	memset(to, 0, ALLOCINFO_STR_SIZE);
	memcpy(to, s + over, len - over);
	filter->abi.mask |= 1ULL << mask_bit[field];
}

void aq_kfilter_number(aq_kfilter *filter, enum aq_kfield field, uint64_t value)
{
	switch (field) {
	case AQ_K_LINE:
		filter->abi.fields.lineno = value;
		break;
	case AQ_K_INACCURATE:
		filter->abi.inaccurate = value;
		break;
	case AQ_K_MIN_SIZE:
		filter->abi.min_size = value;
		break;
	case AQ_K_MAX_SIZE:
		filter->abi.max_size = value;
		break;
	default:
		return;
	}
	filter->abi.mask |= 1ULL << mask_bit[field];
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

int aq_scan(int fd, const aq_kfilter *kernel, const aq_filter *check, size_t limit, aq_table *out,
	    uint64_t *ioctls)
{
	struct allocinfo_get_at at = { .filter = kernel->abi };
	int error = ask(fd, ALLOCINFO_IOC_GET_AT, &at);
	struct allocinfo_tag_data data = at.data;

	++*ioctls;
	while (!error) {
		struct aq_tag tag = tag_of(&data);

		if (aq_match_counter(check, tag.bytes, tag.calls, tag.accurate)) {
			error = aq_table_add(out, &tag, maybe_trimmed(&tag));
			if (error)
				return error;
			if (out->len >= limit)
				return AQ_DONE;
		}
		error = ask(fd, ALLOCINFO_IOC_GET_NEXT, &data);
		++*ioctls;
	}
	return error == -ENOENT ? AQ_DONE : error;
}

int aq_seek(int fd, const aq_table *names, const uint32_t *first, const uint32_t *count, size_t runs,
	    const aq_filter *check, size_t limit, aq_table *out, uint64_t *ioctls)
{
	for (size_t run = 0; run < runs; run++) {
		struct allocinfo_get_at at = { .pos = first[run] };
		struct allocinfo_tag_data data;
		int error = ask(fd, ALLOCINFO_IOC_GET_AT, &at);

		++*ioctls;
		data = at.data;
		for (size_t i = first[run];; ) {
			struct aq_tag tag, whole;

			if (error == -ENOENT)
				return AQ_STALE;
			if (error)
				return error;
			tag = tag_of(&data);
			if (i >= names->len || !aq_row_is(names, i, &tag, &whole))
				return AQ_STALE;
			if (aq_match_counter(check, tag.bytes, tag.calls, tag.accurate)) {
				tag.file = whole.file;
				tag.module = whole.module;
				tag.function = whole.function;
				error = aq_table_add(out, &tag, false);
				if (error)
					return error;
				if (out->len >= limit)
					return AQ_DONE;
			}
			if (++i == (size_t)first[run] + count[run])
				break;
			error = ask(fd, ALLOCINFO_IOC_GET_NEXT, &data);
			++*ioctls;
		}
	}
	return AQ_DONE;
}
