// SPDX-License-Identifier: MIT
/*
 * The tag cache: which tags exist, as the text that was first read, kept per boot and content id.
 *
 * One file, private to its owner, in a directory of its own on a file system that does not outlive
 * the boot. It is checked before it is used, names the boot and the content id it is for, and is
 * only ever a help: every tag that comes back from the kernel is compared with it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

#define FORMAT "# allocq-names 2"
#define FILE_NAME "names"
#define PASSING_PREFIX FILE_NAME "."
#define SAFE_FLAGS (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

enum {
	LARGEST = 64 << 20,
	LONGEST_HEAD = 1024,
	ABANDONED_S = 60, /* a writer takes milliseconds */
};

static const uint64_t HASH_SEED = 0x9e3779b97f4a7c15u; /* 2^64 / the golden ratio */

size_t aq_cache_directory(char *out, size_t cap)
{
	const char *base = "/run";
	int n;

	if (geteuid() != 0) {
		base = getenv("XDG_RUNTIME_DIR");
		if (!base || base[0] != '/')
			return 0;
	}
	n = snprintf(out, cap, "%s/allocq", base);
	return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

void aq_boot_id(char *out, size_t cap)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, out, cap - 1);

	out[got < 0 ? 0 : got] = '\0';
	out[strcspn(out, " \n")] = '\0';
	if (fd >= 0)
		close(fd);
}

/* Is it of this kind, and this user's alone? */
static bool is_private(const struct stat *status, mode_t kind)
{
	return (status->st_mode & S_IFMT) == kind && status->st_uid == geteuid() &&
	       !(status->st_mode & 077);
}

/* The cache's directory, checked; -1 where there is none to be trusted. */
static int open_directory(bool create)
{
	char path[4096];
	struct stat status;
	int fd;

	if (!aq_cache_directory(path, sizeof(path)))
		return -1;
	if (create)
		mkdir(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY | SAFE_FLAGS);
	if (fd >= 0 && (fstat(fd, &status) || !is_private(&status, S_IFDIR))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* The whole file with a NUL behind it (malloc), NULL where it is not to be trusted. */
static char *read_file(int folder, size_t *len)
{
	int fd = openat(folder, FILE_NAME, O_RDONLY | SAFE_FLAGS);
	struct stat status;
	char *data = NULL;
	size_t size, done = 0;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &status) && is_private(&status, S_IFREG) && status.st_nlink == 1 &&
	    status.st_size <= LARGEST)
		data = malloc((size_t)status.st_size + 1);
	size = data ? (size_t)status.st_size : 0;
	while (done < size) {
		ssize_t got = read(fd, data + done, size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	close(fd);
	if (data)
		data[done] = '\0';
	*len = done;
	return data;
}

/* ` name=VALUE` in a head; the value ends at a blank. */
static struct aq_str head_field(const char *head, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = head; (at = strchr(at, ' ')) != NULL; at++)
		if (!strncmp(at + 1, name, n) && at[1 + n] == '=')
			return (struct aq_str){ at + 2 + n, strcspn(at + 2 + n, " ") };
	return (struct aq_str){ head, 0 };
}

static bool head_number(const char *head, const char *name, uint64_t *value)
{
	struct aq_str field = head_field(head, name);

	return aq_parse_count(field.s, field.len, value) == AQ_NUMBER_OK;
}

static void seal(const char *head, const char *text, size_t len, char out[17])
{
	snprintf(out, 17, "%016" PRIx64, aq_hash(aq_hash(HASH_SEED, head, strlen(head)), text, len));
}

/* Takes the head apart. False where it is not for this boot, this content id or this text. */
static bool check_head(char *head, const char *text, size_t len, const uint64_t *content_id,
		       aq_costs *costs)
{
	char boot[64], expected[17], *hash = strstr(head, " hash=");
	struct aq_str kept;
	uint64_t number;

	if (!hash || strncmp(head, FORMAT " ", sizeof(FORMAT)))
		return false;
	*hash = '\0';
	seal(head, text, len, expected);
	aq_boot_id(boot, sizeof(boot));
	kept = head_field(head, "boot");
	return !strcmp(hash + strlen(" hash="), expected) && boot[0] && kept.len == strlen(boot) &&
	       !memcmp(kept.s, boot, kept.len) && head_number(head, "content", &number) &&
	       (!content_id || number == *content_id) && head_number(head, "bytes", &number) &&
	       number == len && head_number(head, "call", &costs->call) &&
	       head_number(head, "tag", &costs->tag) && head_number(head, "step", &costs->step) &&
	       head_number(head, "compare", &costs->compare) && head_number(head, "sum", &costs->sum) &&
	       head_number(head, "text", &costs->text);
}

/* The file's text in *data, which is to be freed; NULL where no cache fits. */
static const char *load_text(const uint64_t *content_id, char **data, size_t *len, aq_costs *costs)
{
	int folder = open_directory(false);
	char *newline;

	*data = NULL;
	if (folder < 0)
		return NULL;
	*data = read_file(folder, len);
	close(folder);
	newline = *data ? memchr(*data, '\n', *len < LONGEST_HEAD ? *len : LONGEST_HEAD) : NULL;
	if (!newline || memchr(*data, '\0', (size_t)(newline - *data)))
		return NULL;
	*newline = '\0';
	*len -= (size_t)(newline + 1 - *data);
	return check_head(*data, newline + 1, *len, content_id, costs) ? newline + 1 : NULL;
}

int aq_cache_load(const uint64_t *content_id, struct aq_cache *cache)
{
	*cache = (struct aq_cache){ .data = NULL };
	cache->text = load_text(content_id, &cache->data, &cache->text_len, &cache->costs);
	if (cache->text)
		return 0;
	aq_cache_clear(cache);
	return -ENOENT;
}

enum aq_result aq_cache_parse(struct aq_cache *cache)
{
	aq_filter everything;
	enum aq_result result;

	if (cache->parsed)
		return AQ_DONE;
	aq_filter_init(&everything);
	result = aq_text_parse(cache->text, cache->text_len, &everything, &cache->names);
	cache->parsed = result == AQ_DONE;
	return result == AQ_DONE || result == AQ_ERROR ? result : AQ_STALE;
}

int aq_cache_fits(uint64_t content_id, aq_costs *costs)
{
	size_t len;
	char *data;
	bool fits = load_text(&content_id, &data, &len, costs) != NULL;

	free(data);
	return fits;
}

void aq_cache_clear(struct aq_cache *cache)
{
	free(cache->data);
	free(cache->names.rows);
	free(cache->names.text);
	*cache = (struct aq_cache){ .data = NULL };
}

/* Remove what killed writers left: on this file system, files are memory. */
static void sweep(int folder)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	time_t now = time(NULL);

	if (!list) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((entry = readdir(list)) != NULL) {
		struct stat status;

		if (strncmp(entry->d_name, PASSING_PREFIX, sizeof(PASSING_PREFIX) - 1) ||
		    fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW))
			continue;
		/* One from the future is as abandoned: the clock was set back. */
		if (status.st_mtime < now - ABANDONED_S || status.st_mtime > now + ABANDONED_S)
			unlinkat(folder, entry->d_name, 0);
	}
	closedir(list);
}

static bool write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t put = write(fd, data, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		data += put;
		len -= (size_t)put;
	}
	return true;
}

static void write_file(int folder, const char *head, const char *text, size_t len)
{
	char name[sizeof(PASSING_PREFIX) + 16];
	uint64_t random;
	bool written;
	int fd;

	/* glibc has a function for it from 2.25 on, and manylinux2014 is 2.17. */
	if (syscall(SYS_getrandom, &random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return;
	snprintf(name, sizeof(name), PASSING_PREFIX "%016" PRIx64, random);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | SAFE_FLAGS, 0600);
	if (fd < 0)
		return;
	written = write_all(fd, head, strlen(head)) && write_all(fd, text, len);
	if (close(fd) || !written || renameat(folder, name, folder, FILE_NAME))
		unlinkat(folder, name, 0);
}

void aq_cache_save(uint64_t content_id, const char *text, size_t len, const aq_costs *costs)
{
	char head[LONGEST_HEAD], boot[64], hash[17];
	int folder;
	size_t n;

	aq_boot_id(boot, sizeof(boot));
	if (!boot[0] || len > LARGEST)
		return;
	folder = open_directory(true);
	if (folder < 0)
		return;
	snprintf(head, sizeof(head),
		 FORMAT " boot=%s content=%" PRIu64 " bytes=%zu call=%" PRIu64 " compare=%" PRIu64
			" step=%" PRIu64 " sum=%" PRIu64 " tag=%" PRIu64 " text=%" PRIu64,
		 boot, content_id, len, costs->call, costs->compare, costs->step, costs->sum, costs->tag,
		 costs->text);
	seal(head, text, len, hash);
	n = strlen(head);
	snprintf(head + n, sizeof(head) - n, " hash=%s\n", hash);
	sweep(folder);
	write_file(folder, head, text, len);
	close(folder);
}
