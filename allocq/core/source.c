// SPDX-License-Identifier: MIT
/* Opening a source; the one place where an errno of a source becomes words. */
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine.h"

enum { PATIENCE = 1000, PATIENCE_WITHOUT_KERNEL = 30000 }; /* ms */
enum { MOST_LOOKED_AT = 4 << 20 };

#define PROC_SUPER_MAGIC 0x9fa0 /* include/uapi/linux/magic.h */

void aq_problem_set(aq_problem *problem, enum aq_problem_kind kind, const char *hint, const char *format,
		    ...)
{
	va_list arguments;

	problem->kind = kind;
	va_start(arguments, format);
	vsnprintf(problem->message, sizeof(problem->message), format, arguments);
	va_end(arguments);
	snprintf(problem->hint, sizeof(problem->hint), "%s", hint);
}

void aq_info_warn(aq_info *info, const char *format, ...)
{
	va_list arguments;
	size_t room = sizeof(info->warning[0]);

	if ((size_t)info->warnings >= sizeof(info->warning) / room)
		return;
	va_start(arguments, format);
	vsnprintf(info->warning[info->warnings++], room, format, arguments);
	va_end(arguments);
}

static int open_switch(const char *allocinfo)
{
	const char *slash = strrchr(allocinfo, '/');
	char *path;
	int fd;

	if (asprintf(&path, "%.*ssys/vm/mem_profiling", slash ? (int)(slash + 1 - allocinfo) : 0, allocinfo) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	return fd;
}

/* Does the kernel let nobody write to it? So it is where `never` was given at boot. */
static bool is_switch_fixed(const char *allocinfo)
{
	struct stat status;
	int fd = open_switch(allocinfo);
	bool fixed = fd >= 0 && !fstat(fd, &status) && !(status.st_mode & 0222);

	if (fd >= 0)
		close(fd);
	return fixed;
}

void aq_profiling_switch(const char *allocinfo, char *out, size_t cap)
{
	int fd = open_switch(allocinfo);
	ssize_t got;

	out[0] = '\0';
	if (fd < 0)
		return;
	got = read(fd, out, cap - 1);
	close(fd);
	out[got < 0 ? 0 : got] = '\0';
	out[strcspn(out, " \n")] = '\0';
}

static void set_unreadable(const char *path, int error, aq_problem *problem)
{
	if (error == ENOMEM)
		aq_problem_set(problem, AQ_P_MEMORY, "", "out of memory");
	else if (error == EACCES || error == EPERM)
		aq_problem_set(problem, AQ_P_ACCESS,
			       strcmp(path, AQ_ALLOCINFO) ? "" :
			       geteuid() ? "only root can read it" :
					   "root is denied too: a container or a security module blocks it",
			       "%s: permission denied", path);
	else if (error == ENOENT || error == ENOTDIR)
		aq_problem_set(problem, AQ_P_SOURCE, "", "no such file: %s", path);
	else
		aq_problem_set(problem, AQ_P_SOURCE, "", "cannot read %s: %s", path, strerror(error));
}

void aq_source_problem(const aq_source *source, int error, aq_problem *problem)
{
	set_unreadable(source->path, -error, problem);
}

void aq_source_lost(const aq_source *source, int error, aq_problem *problem)
{
	if (error == ENOTTY || error == EIO || error == ENODEV || error == ENOENT)
		aq_problem_set(problem, AQ_P_SOURCE,
			       "the kernel turned profiling off; see dmesg",
			       "%s vanished while it was read", source->path);
	else
		set_unreadable(source->path, error, problem);
}

static void set_no_allocinfo(int error, aq_problem *problem)
{
	char value[16];

	if (error != ENOENT) {
		set_unreadable(AQ_ALLOCINFO, error, problem);
		return;
	}
	aq_profiling_switch(AQ_ALLOCINFO, value, sizeof(value));
	if (value[0])
		aq_problem_set(problem, AQ_P_SOURCE, "boot with sysctl.vm.mem_profiling=1",
			       "no %s: allocation profiling is disabled until the next boot", AQ_ALLOCINFO);
	else
		aq_problem_set(problem, AQ_P_SOURCE,
			       "boot a kernel that has it, or read a saved listing with --source",
			       "no %s: this kernel was built without CONFIG_MEM_ALLOC_PROFILING",
			       AQ_ALLOCINFO);
}

/* Is the ioctl there, and may it be used? */
static bool probe_ioctl(aq_source *source, aq_problem *problem)
{
	uint64_t id;
	int error = aq_content_id(source->fd, &id);

	source->ioctl_error = -error;
	source->has_ioctl = !error;
	if (!error || source->interface != AQ_IOCTL)
		return true;
	if (error == -ENOTTY || error == -EINVAL)
		aq_problem_set(problem, AQ_P_INTERFACE,
			       "use Linux 7.3 or later, or --interface text",
			       "%s has no ioctl on this kernel", source->path);
	else
		aq_problem_set(problem, AQ_P_INTERFACE,
			       "a seccomp filter or a security module may block it; use --interface text",
			       "%s: the ioctl is refused: %s", source->path, strerror(-error));
	return false;
}

static bool prepare_live(aq_source *source, aq_problem *problem)
{
	char value[16];

	source->live = true;
	if (!probe_ioctl(source, problem))
		return false;
	aq_profiling_switch(source->path, value, sizeof(value));
	if (!strcmp(value, "0"))
		snprintf(source->warning, sizeof(source->warning),
			 "profiling is off: the counters are frozen (%s turns it on)",
			 is_switch_fixed(source->path) ? "booting with sysctl.vm.mem_profiling=1" :
							 "sysctl vm.mem_profiling=1");
	return true;
}

static bool prepare_saved(aq_source *source, bool regular, aq_problem *problem)
{
	off_t start = regular ? lseek(source->fd, 0, SEEK_CUR) : 0;

	if (source->interface == AQ_IOCTL) {
		aq_problem_set(problem, AQ_P_INTERFACE, "omit --interface",
			       "%s is a saved listing: it has no ioctl", source->path);
		return false;
	}
	source->regular = regular && start >= 0;
	source->start = start;
	return true;
}

/* Finds out what was opened. */
static bool prepare(aq_source *source, aq_problem *problem)
{
	struct stat status;
	struct statfs fs;

	if (fstat(source->fd, &status)) {
		set_unreadable(source->path, errno, problem);
		return false;
	}
	if (S_ISDIR(status.st_mode)) {
		aq_problem_set(problem, AQ_P_SOURCE, "name a file in it", "%s is a directory",
			       source->path);
		return false;
	}
	if (source->owned && !fstatfs(source->fd, &fs) && fs.f_type == PROC_SUPER_MAGIC)
		return prepare_live(source, problem);
	return prepare_saved(source, S_ISREG(status.st_mode), problem);
}

static aq_source *new_source(const char *name, enum aq_interface interface, aq_problem *problem)
{
	aq_source *source = calloc(1, sizeof(*source));

	*problem = (aq_problem){ .kind = AQ_P_NONE };
	if (!source || !(source->path = strdup(name))) {
		free(source);
		aq_problem_set(problem, AQ_P_MEMORY, "", "out of memory");
		return NULL;
	}
	source->interface = interface;
	return source;
}

static aq_source *prepared(aq_source *source, aq_problem *problem)
{
	if (prepare(source, problem))
		return source;
	aq_source_close(source);
	return NULL;
}

aq_source *aq_source_open(const char *path, enum aq_interface interface, aq_problem *problem)
{
	bool standard_input = path && !strcmp(path, "-");
	const char *name = standard_input ? "standard input" : path ? path : AQ_ALLOCINFO;
	aq_source *source = new_source(name, interface, problem);

	if (!source)
		return NULL;
	source->owned = !standard_input;
	source->fd = standard_input ? 0 : open(name, O_RDONLY | O_CLOEXEC);
	if (source->fd < 0) {
		if (strcmp(name, AQ_ALLOCINFO))
			set_unreadable(name, errno, problem);
		else
			set_no_allocinfo(errno, problem);
		aq_source_close(source);
		return NULL;
	}
	return prepared(source, problem);
}

aq_source *aq_source_hold(int fd, const char *path, aq_problem *problem)
{
	aq_source *source = new_source(path, AQ_AUTO, problem);

	if (!source) {
		close(fd);
		return NULL;
	}
	source->owned = true;
	source->fd = fd;
	return prepared(source, problem);
}

/* Nothing is read away: pread() leaves the offset that others share. */
int aq_looks_like_listing(int fd)
{
	static const struct aq_str marks[] = { AQ_STR(" func:"), AQ_STR("allocinfo - version"),
					       AQ_STR("Memory allocations") };
	static const struct aq_str packed[] = { AQ_STR("\x1f\x8b"), AQ_STR("\x28\xb5\x2f\xfd"),
						AQ_STR("BZh"), AQ_STR("\xfd" "7zXZ") };
	char head[1 << 16];
	ssize_t len;

	if (lseek(fd, 0, SEEK_CUR))
		return false;
	for (off_t at = 0; at < MOST_LOOKED_AT; at += len - 32) {
		len = pread(fd, head, sizeof(head), at);
		for (size_t i = 0; !at && i < sizeof(packed) / sizeof(*packed); i++)
			if (len > (ssize_t)packed[i].len && !memcmp(head, packed[i].s, packed[i].len))
				return true;
		for (size_t i = 0; len > 0 && i < sizeof(marks) / sizeof(*marks); i++)
			if (memmem(head, (size_t)len, marks[i].s, marks[i].len))
				return true;
		if (len < (ssize_t)sizeof(head))
			return false;
	}
	return false;
}

int aq_stdin_is_meant(void)
{
	int patience = access(AQ_ALLOCINFO, F_OK) ? PATIENCE_WITHOUT_KERNEL : PATIENCE, waiting = 0;
	struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
	struct stat status;

	if (fstat(STDIN_FILENO, &status))
		return 0;
	if (S_ISREG(status.st_mode))
		return aq_looks_like_listing(STDIN_FILENO);
	if (!S_ISFIFO(status.st_mode))
		return 0;
	if (poll(&in, 1, patience) <= 0)
		return -1;
	return !ioctl(STDIN_FILENO, FIONREAD, &waiting) && waiting > 0;
}

const char *aq_idle_pipe(void)
{
	return "nothing came through the pipe: asked the running kernel (</dev/null does so at once)";
}

void aq_source_close(aq_source *source)
{
	if (!source)
		return;
	if (source->owned && source->fd >= 0)
		close(source->fd);
	free(source->path);
	free(source->kept);
	free(source);
}

int aq_source_fd(const aq_source *source)
{
	return source->fd;
}

int aq_source_is_live(const aq_source *source)
{
	return source->live;
}

int aq_source_has_ioctl(const aq_source *source)
{
	return source->has_ioctl;
}

int aq_source_is_file(const aq_source *source)
{
	return source->regular;
}

const char *aq_source_path(const aq_source *source)
{
	return source->path;
}

const char *aq_source_warning(const aq_source *source)
{
	return source->warning;
}

int aq_source_content_id(const aq_source *source, uint64_t *id)
{
	int error;

	if (!source->has_ioctl)
		return 0;
	error = aq_content_id(source->fd, id);
	return error ? error : 1;
}
