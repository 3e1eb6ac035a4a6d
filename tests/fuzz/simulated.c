/*
 * LD_PRELOAD: /proc/allocinfo of a kernel that no test machine has (tests/simulated.py writes it).
 *
 * SIMULATED_KERNEL is a directory. `text` is what the file prints; `tags` holds the content id, the
 * number of possible CPUs and every tag as the ioctl returns it; `allocq` stands for /run/allocq.
 * SIMULATED_CALLS is a file that grows by a byte with every ioctl.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "abi.h"

enum { PROC_SUPER_MAGIC = 0x9fa0, MOST_FILES = 256, PAGE = 4096, KNOWN = (1 << 7) - 1 };

struct kernel {
	uint64_t content_id, cpus;
	struct allocinfo_tag_data tags[];
};

/* One that is open; `at` is the cursor: -1 before the first tag. */
static struct {
	const struct kernel *kernel;
	size_t len, size;
	long at;
	struct allocinfo_filter filter;
} files[MOST_FILES];

static const char *place(char *path, const char *name)
{
	const char *kernel = getenv("SIMULATED_KERNEL");

	return kernel && snprintf(path, PATH_MAX, "%s/%s", kernel, name) < PATH_MAX ? path : NULL;
}

static int is_kernel(int fd)
{
	return fd >= 0 && fd < MOST_FILES && files[fd].kernel;
}

static int open_kernel(int flags)
{
	char path[PATH_MAX];
	int tags, fd;
	struct stat status;
	void *kernel;

	tags = (int)syscall(SYS_openat, AT_FDCWD, place(path, "tags"), O_RDONLY | O_CLOEXEC);
	fd = (int)syscall(SYS_openat, AT_FDCWD, place(path, "text"), flags);
	if (tags < 0 || fd < 0 || fd >= MOST_FILES || fstat(tags, &status))
		abort();
	kernel = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, tags, 0);
	if (kernel == MAP_FAILED)
		abort();
	syscall(SYS_close, tags);
	files[fd].kernel = kernel;
	files[fd].size = (size_t)status.st_size;
	files[fd].len = (files[fd].size - sizeof(struct kernel)) / sizeof(struct allocinfo_tag_data);
	files[fd].at = -1;
	memset(&files[fd].filter, 0, sizeof(files[fd].filter));
	return fd;
}

/* A path of the machine as it is in the simulation. */
static const char *moved(const char *name, char *path)
{
	return strcmp(name, "/run/allocq") ? name : place(path, "allocq") ? path : name;
}

static int open_it(int folder, const char *name, int flags, mode_t mode)
{
	char path[PATH_MAX];

	if (getenv("SIMULATED_KERNEL") && !strcmp(name, "/proc/allocinfo"))
		return open_kernel(flags);
	return (int)syscall(SYS_openat, folder, moved(name, path), flags, mode);
}

#define OPEN(function, folder, ...)                                                                \
	int function(__VA_ARGS__ const char *name, int flags, ...)                                 \
	{                                                                                          \
		va_list arguments;                                                                 \
		mode_t mode;                                                                       \
                                                                                                   \
		va_start(arguments, flags);                                                        \
		mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;              \
		va_end(arguments);                                                                 \
		return open_it(folder, name, flags, mode);                                         \
	}
#define FOLDER int folder,

OPEN(open, AT_FDCWD, )
OPEN(open64, AT_FDCWD, )
OPEN(openat, folder, FOLDER)
OPEN(openat64, folder, FOLDER)

int mkdir(const char *name, mode_t mode)
{
	char path[PATH_MAX];

	return (int)syscall(SYS_mkdirat, AT_FDCWD, moved(name, path), mode);
}

int close(int fd)
{
	if (is_kernel(fd)) {
		munmap((void *)files[fd].kernel, files[fd].size);
		files[fd].kernel = NULL;
	}
	return (int)syscall(SYS_close, fd);
}

int fstatfs64(int fd, struct statfs64 *status)
{
#ifdef SYS_fstatfs64 /* 32 bits */
	int done = (int)syscall(SYS_fstatfs64, fd, sizeof(*status), status);
#else
	int done = (int)syscall(SYS_fstatfs, fd, status);
#endif

	if (!done && is_kernel(fd))
		status->f_type = PROC_SUPER_MAGIC;
	return done;
}

/* allocq asks for large files, so this one is another program's where the two differ. */
int fstatfs(int fd, struct statfs *status)
{
	return sizeof(*status) == sizeof(struct statfs64) ? fstatfs64(fd, (struct statfs64 *)status) :
							    (int)syscall(SYS_fstatfs, fd, status);
}

/* What a sum over all possible CPUs costs. */
static void sum(const struct kernel *kernel)
{
	volatile uint64_t counter = 0;

	for (uint64_t cpu = 0; cpu < kernel->cpus; cpu++)
		counter += cpu;
}

/* Whole lines, a page at most. */
ssize_t read(int fd, void *to, size_t len)
{
	ssize_t got;
	char *end;

	if (!is_kernel(fd))
		return syscall(SYS_read, fd, to, len);
	got = syscall(SYS_read, fd, to, len < PAGE ? len : PAGE);
	end = got == PAGE ? memrchr(to, '\n', PAGE) : NULL;
	if (end) {
		ssize_t whole = end + 1 - (char *)to;

		lseek(fd, whole - got, SEEK_CUR);
		got = whole;
	}
	for (ssize_t at = 0; at < got; at++)
		if (((char *)to)[at] == '\n')
			sum(files[fd].kernel);
	return got;
}

static int matches(const struct kernel *kernel, const struct allocinfo_filter *filter,
		   const struct allocinfo_tag_data *data)
{
	const struct allocinfo_tag *tag = &data->tag, *asked = &filter->fields;
	uint64_t mask = filter->mask;

	if ((mask & 1 && strncmp(asked->modname, tag->modname, sizeof(tag->modname))) ||
	    (mask & 2 && strncmp(asked->function, tag->function, sizeof(tag->function))) ||
	    (mask & 4 && strncmp(asked->filename, tag->filename, sizeof(tag->filename))) ||
	    (mask & 8 && asked->lineno != tag->lineno) ||
	    (mask & 16 && (filter->inaccurate == 0) != data->counter.accurate))
		return 0;
	if (mask & 96)
		sum(kernel);
	return !(mask & 32 && data->counter.bytes < filter->min_size) &&
	       !(mask & 64 && data->counter.bytes > filter->max_size);
}

/* The next match behind the cursor, or ENOENT with the cursor at `end`. */
static int step(int fd, struct allocinfo_tag_data *out, long end)
{
	const struct kernel *kernel = files[fd].kernel;

	while (++files[fd].at < (long)files[fd].len) {
		const struct allocinfo_tag_data *data = &kernel->tags[files[fd].at];

		if (!matches(kernel, &files[fd].filter, data))
			continue;
		if (out) {
			sum(kernel);
			*out = *data;
		}
		return 0;
	}
	files[fd].at = end;
	return -ENOENT;
}

static int get_at(int fd, struct allocinfo_get_at *request)
{
	const struct allocinfo_filter *filter = &request->filter;
	long len = (long)files[fd].len;
	uint64_t pos = request->pos;
	int error = 0;

	if (filter->mask & ~(uint64_t)KNOWN)
		return -EINVAL;
	if ((filter->mask & 96) == 96 && filter->min_size > filter->max_size)
		return -EINVAL;
	if (pos >= (uint64_t)len)
		return -ENOENT;
	files[fd].filter = *filter;
	files[fd].at = -1;
	for (; pos && !error; pos--)
		error = step(fd, NULL, len);
	return error ? error : step(fd, &request->data, len);
}

static void count_call(void)
{
	const char *counter = getenv("SIMULATED_CALLS");
	int fd;

	if (!counter)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, counter, O_WRONLY | O_CREAT | O_APPEND, 0600);
	syscall(SYS_write, fd, "+", 1);
	syscall(SYS_close, fd);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int error = -ENOTTY;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (!is_kernel(fd))
		return (int)syscall(SYS_ioctl, fd, request, argument);
	count_call();
	if (request == ALLOCINFO_IOC_CONTENT_ID) {
		((struct allocinfo_content_id *)argument)->id = files[fd].kernel->content_id;
		error = 0;
	} else if (request == ALLOCINFO_IOC_GET_AT) {
		error = get_at(fd, argument);
	} else if (request == ALLOCINFO_IOC_GET_NEXT) {
		error = step(fd, argument, -1);
	}
	errno = -error;
	return error ? -1 : 0;
}
