/*
 * LD_PRELOAD: makes one system call fail, fall short or lie (tests/faulty.py sets the environment).
 *
 * FAULT_CALL    read, write, open, statfs, get_at, get_next, content_id, or malloc (of allocq's C only)
 * FAULT_FILE    only of files whose name has this in it, or is it (=NAME); of any without it
 * FAULT_AT      the first call that fails, from 1; 0: none
 * FAULT_TIMES   how many calls fail from then on; 0: all
 * FAULT_ERRNO   with what; 0: read and write take at most 7 bytes, a content id is never the same
 * FAULT_COUNT   a file that grows by a byte with every such call
 * FAULT_PROC    files whose name has this in it are on a proc file system
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "abi.h"

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

enum { PROC_SUPER_MAGIC = 0x9fa0 };

static const char *called, *file, *counter, *proc;
static long at, times, number, seen;
static int ready;

static long setting(const char *name)
{
	const char *value = getenv(name);

	return value ? strtol(value, NULL, 10) : 0;
}

__attribute__((constructor)) static void prepare(void)
{
	called = getenv("FAULT_CALL");
	file = getenv("FAULT_FILE");
	counter = getenv("FAULT_COUNT");
	proc = getenv("FAULT_PROC");
	at = setting("FAULT_AT");
	times = setting("FAULT_TIMES");
	number = setting("FAULT_ERRNO");
	ready = called != NULL;
}

static int is_name(const char *name, const char *asked)
{
	if (asked && *asked == '=')
		return !strcmp(name, asked + 1);
	return !asked || strstr(name, asked);
}

static int is_file(int fd, const char *asked)
{
	char link[] = "/proc/self/fd/0000000000", name[4096];
	char *to = link + strlen("/proc/self/fd/");
	ssize_t len;
	int digits = 1;

	for (int rest = fd; rest > 9; rest /= 10)
		digits++;
	for (int i = digits, rest = fd; i-- > 0; rest /= 10)
		to[i] = (char)('0' + rest % 10);
	to[digits] = '\0';
	len = syscall(SYS_readlink, link, name, sizeof(name) - 1);
	name[len > 0 ? len : 0] = '\0';
	return is_name(name, asked);
}

/* Does this call fail? */
static int fails(void)
{
	seen++;
	if (counter) {
		int fd = (int)syscall(SYS_openat, AT_FDCWD, counter, O_WRONLY | O_CREAT | O_APPEND, 0600);

		syscall(SYS_write, fd, "+", 1);
		syscall(SYS_close, fd);
	}
	return at && seen >= at && (!times || seen < at + times);
}

static int is(const char *call)
{
	return ready && !strcmp(called, call);
}

ssize_t read(int fd, void *to, size_t len)
{
	if (is("read") && is_file(fd, file) && fails()) {
		if (number) {
			errno = (int)number;
			return -1;
		}
		len = len > 7 ? 7 : len;
	}
	return syscall(SYS_read, fd, to, len);
}

ssize_t write(int fd, const void *from, size_t len)
{
	if (is("write") && (file ? is_file(fd, file) : fd == 1) && fails()) {
		if (number) {
			errno = (int)number;
			return -1;
		}
		len = len > 7 ? 7 : len;
	}
	return syscall(SYS_write, fd, from, len);
}

static int open_it(int folder, const char *name, int flags, mode_t mode)
{
	if (is("open") && is_name(name, file) && fails()) {
		errno = (int)number;
		return -1;
	}
	return (int)syscall(SYS_openat, folder, name, flags, mode);
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

int fstatfs(int fd, struct statfs *status)
{
	int done = (int)syscall(SYS_fstatfs, fd, status);

	if (is("statfs") && is_file(fd, file) && fails()) {
		errno = (int)number;
		return -1;
	}
	if (!done && proc && is_file(fd, proc))
		status->f_type = PROC_SUPER_MAGIC;
	return done;
}

int fstatfs64(int fd, struct statfs64 *status)
{
	return fstatfs(fd, (struct statfs *)status);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int asked, done;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	asked = (request == ALLOCINFO_IOC_GET_AT && is("get_at")) ||
		(request == ALLOCINFO_IOC_GET_NEXT && is("get_next")) ||
		(request == ALLOCINFO_IOC_CONTENT_ID && is("content_id"));
	asked = asked && fails();
	if (asked && number) {
		errno = (int)number;
		return -1;
	}
	done = (int)syscall(SYS_ioctl, fd, request, argument);
	if (asked && !done)
		((struct allocinfo_content_id *)argument)->id += 1000 + (uint64_t)seen;
	return done;
}

/* Is this asked by allocq's C, and to be refused? */
static int refused(void *caller)
{
	Dl_info info;
	const char *name;

	if (!is("malloc") || !dladdr(caller, &info) || !info.dli_fname)
		return 0;
	name = strrchr(info.dli_fname, '/');
	if (!name || (strncmp(name, "/_native.", 9) && strcmp(name, "/allocq")) || !fails())
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return refused(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
	return refused(__builtin_return_address(0)) ? NULL : __libc_calloc(items, size);
}

void *realloc(void *block, size_t size)
{
	return refused(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}
