/*
 * A directory of our own for the tag cache, and a boot id: open(), mkdir() and getenv() are wrapped
 * while the C under test runs.
 */
#ifndef PLACE_H
#define PLACE_H

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failing.h"

#define BOOT "0123abcd-boot"

static char folder[] = "allocq-fuzz-XXXXXX"; /* where it runs, which is removed with all in it */
static int folder_fd = -1;
static bool has_boot_id;

int __real_open(const char *path, int flags, ...);
char *__real_getenv(const char *name);

int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;
	int ends[2];

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (!memory.counting)
		return __real_open(path, flags, mode);
	if (!strcmp(path, "/proc/sys/kernel/random/boot_id")) {
		if (!has_boot_id) {
			errno = ENOENT;
			return -1;
		}
		CHECK(!pipe2(ends, O_CLOEXEC) && write(ends[1], BOOT "\n", sizeof(BOOT)) == sizeof(BOOT));
		close(ends[1]);
		return ends[0];
	}
	CHECK(!strcmp(path + strlen(path) - 7, "/allocq"));
	return __real_open(folder, flags, mode);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	CHECK(mode == 0700 && !strcmp(path + strlen(path) - 7, "/allocq"));
	errno = EEXIST;
	return -1;
}

char *__wrap_getenv(const char *name)
{
	static char runtime[] = "/run/user/1";

	if (!memory.counting)
		return __real_getenv(name);
	CHECK(!strcmp(name, "XDG_RUNTIME_DIR"));
	return runtime;
}

static void remove_folder(void)
{
	unlinkat(folder_fd, "names", 0);
	rmdir(folder);
}

/* The directory, empty. */
static inline void empty_folder(void)
{
	if (folder_fd < 0) {
		CHECK(mkdtemp(folder));
		folder_fd = __real_open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CHECK(folder_fd >= 0);
		atexit(remove_folder);
	}
	unlinkat(folder_fd, "names", 0);
}

#endif
