/* SPDX-License-Identifier: MIT */
/*
 * The ioctl interface of /proc/allocinfo, mirrored from include/uapi/linux/alloc_tag.h of
 * Linux 7.3. This is the only copy; the asserts hold it to the kernel's layout on every
 * architecture, and tests/live holds it to a running kernel.
 */
#ifndef ALLOCQ_ABI_H
#define ALLOCQ_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <stddef.h>

#define ALLOCINFO_STR_SIZE 64

struct allocinfo_content_id {
	__u64 id;
};

struct allocinfo_tag {
	char modname[ALLOCINFO_STR_SIZE];
	char function[ALLOCINFO_STR_SIZE];
	char filename[ALLOCINFO_STR_SIZE];
	__u64 lineno;
};

struct allocinfo_counter {
	__u64 bytes;
	__u64 calls;
	__u8 accurate;
	__u8 pad[7];
} __attribute__((aligned(8)));

struct allocinfo_tag_data {
	struct allocinfo_tag tag;
	struct allocinfo_counter counter;
};

struct allocinfo_filter {
	__u64 mask;
	struct allocinfo_tag fields;
	__u64 min_size;
	__u64 max_size;
	__u64 inaccurate;
};

struct allocinfo_get_at {
	__u64 pos;
	struct allocinfo_filter filter;
	struct allocinfo_tag_data data;
};

enum {
	ALLOCINFO_FILTER_MODNAME,
	ALLOCINFO_FILTER_FUNCTION,
	ALLOCINFO_FILTER_FILENAME,
	ALLOCINFO_FILTER_LINENO,
	ALLOCINFO_FILTER_INACCURATE,
	ALLOCINFO_FILTER_MIN_SIZE,
	ALLOCINFO_FILTER_MAX_SIZE,
};

#define ALLOCINFO_IOC_BASE 0xA6
#define ALLOCINFO_IOC_CONTENT_ID _IOR(ALLOCINFO_IOC_BASE, 0, struct allocinfo_content_id)
#define ALLOCINFO_IOC_GET_AT _IOWR(ALLOCINFO_IOC_BASE, 1, struct allocinfo_get_at)
#define ALLOCINFO_IOC_GET_NEXT _IOR(ALLOCINFO_IOC_BASE, 2, struct allocinfo_tag_data)

#define ALLOCINFO_AT(type, field, offset, size)                                                    \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field " offset");      \
	_Static_assert(sizeof(((struct type *)0)->field) == (size), #type "." #field " size")

ALLOCINFO_AT(allocinfo_content_id, id, 0, 8);
ALLOCINFO_AT(allocinfo_tag, modname, 0, 64);
ALLOCINFO_AT(allocinfo_tag, function, 64, 64);
ALLOCINFO_AT(allocinfo_tag, filename, 128, 64);
ALLOCINFO_AT(allocinfo_tag, lineno, 192, 8);
ALLOCINFO_AT(allocinfo_counter, bytes, 0, 8);
ALLOCINFO_AT(allocinfo_counter, calls, 8, 8);
ALLOCINFO_AT(allocinfo_counter, accurate, 16, 1);
ALLOCINFO_AT(allocinfo_tag_data, tag, 0, 200);
ALLOCINFO_AT(allocinfo_tag_data, counter, 200, 24);
ALLOCINFO_AT(allocinfo_filter, mask, 0, 8);
ALLOCINFO_AT(allocinfo_filter, fields, 8, 200);
ALLOCINFO_AT(allocinfo_filter, min_size, 208, 8);
ALLOCINFO_AT(allocinfo_filter, max_size, 216, 8);
ALLOCINFO_AT(allocinfo_filter, inaccurate, 224, 8);
ALLOCINFO_AT(allocinfo_get_at, pos, 0, 8);
ALLOCINFO_AT(allocinfo_get_at, filter, 8, 232);
ALLOCINFO_AT(allocinfo_get_at, data, 240, 224);
_Static_assert(sizeof(struct allocinfo_content_id) == 8, "allocinfo_content_id size");
_Static_assert(sizeof(struct allocinfo_tag) == 200, "allocinfo_tag size");
_Static_assert(sizeof(struct allocinfo_counter) == 24, "allocinfo_counter size");
_Static_assert(sizeof(struct allocinfo_tag_data) == 224, "allocinfo_tag_data size");
_Static_assert(sizeof(struct allocinfo_filter) == 232, "allocinfo_filter size");
_Static_assert(sizeof(struct allocinfo_get_at) == 464, "allocinfo_get_at size");

#undef ALLOCINFO_AT

#endif
