/*
 * The least that asking the kernel can cost: GET_AT and GET_NEXT in a bare loop, nothing kept.
 *
 *   reference [-f FILE] [-s MIN_SIZE] [-r TIMES]
 *
 * prints, for each time, the tags, the ioctls, and the CPU and wall time in nanoseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"

static long long now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void set_name(char *field, const char *name)
{
	size_t len = strlen(name), most = ALLOCINFO_STR_SIZE - 1;

	memset(field, 0, ALLOCINFO_STR_SIZE);
	memcpy(field, len > most ? name + len - most : name, len > most ? most : len);
}

static int scan(const struct allocinfo_filter *filter, unsigned long *tags, unsigned long *ioctls)
{
	struct allocinfo_get_at at = { .filter = *filter };
	struct allocinfo_tag_data data;
	int fd = open("/proc/allocinfo", O_RDONLY | O_CLOEXEC), result;

	if (fd < 0)
		return -1;
	result = ioctl(fd, ALLOCINFO_IOC_GET_AT, &at);
	*tags = 0;
	*ioctls = 1;
	while (!result) {
		++*tags;
		++*ioctls;
		result = ioctl(fd, ALLOCINFO_IOC_GET_NEXT, &data);
	}
	result = errno == ENOENT ? 0 : -1;
	close(fd);
	return result;
}

int main(int argc, char **argv)
{
	struct allocinfo_filter filter = { 0 };
	int option, times = 1;

	while ((option = getopt(argc, argv, "f:s:r:")) != -1) {
		if (option == 'f') {
			set_name(filter.fields.filename, optarg);
			filter.mask |= 1ULL << ALLOCINFO_FILTER_FILENAME;
		} else if (option == 's') {
			filter.min_size = strtoull(optarg, NULL, 0);
			filter.mask |= 1ULL << ALLOCINFO_FILTER_MIN_SIZE;
		} else if (option == 'r') {
			times = atoi(optarg);
		} else {
			return 2;
		}
	}
	while (times-- > 0) {
		long long cpu = now(CLOCK_THREAD_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
		unsigned long tags, ioctls;

		if (scan(&filter, &tags, &ioctls)) {
			perror("/proc/allocinfo");
			return 1;
		}
		printf("%lu %lu %lld %lld\n", tags, ioctls, now(CLOCK_THREAD_CPUTIME_ID) - cpu,
		       now(CLOCK_MONOTONIC) - wall);
	}
	return 0;
}
