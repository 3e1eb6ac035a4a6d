/*
 * The first process of a guest whose memory is dumped: loads the modules that its arguments name, runs
 * a load on the second CPU and takes that CPU offline, prints what the kernel says of itself to the
 * second serial port, the text last, and does nothing more.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PIPES = 300, FILES = 2000, LARGEST = 4 << 20, PIECE = 1 << 16 };

#define CONTENT_ID _IOR(0xA6, 0, unsigned long long)

static char text[LARGEST];

/* All of an open file in `text`. */
static size_t take(int fd)
{
	size_t len = 0;

	for (ssize_t got; fd >= 0 && len + PIECE <= LARGEST && (got = read(fd, text + len, PIECE)) > 0;)
		len += (size_t)got;
	return len;
}

static void put(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t gone = write(fd, data, len);

		if (gone <= 0)
			return;
		data += gone;
		len -= (size_t)gone;
	}
}

static void print(int port, const char *name, const char *path)
{
	int fd = open(path, O_RDONLY);
	size_t len = take(fd);

	close(fd);
	dprintf(port, "[%s\n", name);
	put(port, text, len);
	dprintf(port, "]\n");
}

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0)
		put(fd, value, strlen(value));
	close(fd);
}

/* Pipes that are kept, and empty files, all of them made by the second CPU. */
static void load(void)
{
	cpu_set_t second, all;
	char name[32];
	int ends[2];

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&second);
	CPU_SET(1, &second);
	sched_setaffinity(0, sizeof(second), &second);
	for (int i = 0; i < PIPES; i++)
		if (pipe(ends))
			break;
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "/tmp/%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	CPU_CLR(1, &all);
	sched_setaffinity(0, sizeof(all), &all);
}

static int open_port(void)
{
	int port = open("/dev/ttyS1", O_WRONLY | O_NOCTTY);
	struct termios how;

	tcgetattr(port, &how);
	cfmakeraw(&how);
	tcsetattr(port, TCSANOW, &how);
	return port;
}

static void print_content_id(int port)
{
	int fd = open("/proc/allocinfo", O_RDONLY);
	unsigned long long id;

	dprintf(port, "[content-id\n");
	if (!ioctl(fd, CONTENT_ID, &id))
		dprintf(port, "%llu\n", id);
	dprintf(port, "]\n");
	close(fd);
}

int main(int argc, char **argv)
{
	size_t len;
	int port, fd;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
	/* What reading and printing needs is there before, and stays: it would be what has moved. */
	memset(text, 1, sizeof(text));
	port = open_port();
	sethostname("crashed", 7);
	for (int i = 1; i < argc; i++) {
		char path[256];

		snprintf(path, sizeof(path), "/modules/%s", argv[i]);
		fd = open(path, O_RDONLY);
		if (fd >= 0 && syscall(SYS_finit_module, fd, "", 0))
			dprintf(port, "[failed\n%s: %m\n]\n", argv[i]);
		close(fd);
	}
	load();
	set("/sys/devices/system/cpu/cpu1/online", "0");
	sleep(1);
	print(port, "possible", "/sys/devices/system/cpu/possible");
	print(port, "online", "/sys/devices/system/cpu/online");
	print(port, "boot-id", "/proc/sys/kernel/random/boot_id");
	print(port, "release", "/proc/sys/kernel/osrelease");
	print(port, "zoneinfo", "/proc/zoneinfo");
	print_content_id(port);
	dprintf(port, "[time\n%lld\n]\n", (long long)time(NULL));
	print(port, "meminfo", "/proc/meminfo");
	fd = open("/proc/allocinfo", O_RDONLY);
	take(fd);
	lseek(fd, 0, SEEK_SET);
	len = take(fd);
	dprintf(port, "[text\n");
	put(port, text, len);
	put(port, "]\n", 2);
	tcdrain(port);
	put(port, "[end\n]\n", 7);
	for (;;)
		pause();
}
