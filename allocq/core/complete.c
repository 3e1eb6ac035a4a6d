// SPDX-License-Identifier: MIT
/*
 * `allocq __complete KIND PREFIX`, for the shells: names that begin with PREFIX, one a line, without
 * starting Python. KIND: files, functions, modules, words, snapshots. It prints nothing else, reads only
 * the tag cache (or the kernel's text, for whoever may), /proc/modules and the folder of a snapshot,
 * and never fails: what cannot be read has no names.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front.h"

enum { MOST_FILES = 4096 };

/* Candidates, each NUL-terminated in `text`. */
struct list {
	char *text;
	size_t len, cap, count;
};

static void add(struct list *list, const char *before, struct aq_str name, const char *behind)
{
	size_t n = strlen(before), m = strlen(behind), need = n + name.len + m + 1;
	char *text;

	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.s[i] < 0x20 || name.s[i] == 0x7f)
			return; /* no shell could show it */
	text = aq_grown(list->text, &list->cap, list->len + need, 1, 1 << 16);
	if (!text)
		return;
	list->text = text;
	text += list->len;
	memcpy(text, before, n);
	memcpy(text + n, name.s, name.len);
	memcpy(text + n + name.len, behind, m + 1);
	list->len += need;
	list->count++;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once. */
static void print(const struct list *list)
{
	char **names = calloc(list->count + 1, sizeof(*names)), *at = list->text;

	if (!names)
		return;
	for (size_t i = 0; i < list->count; i++, at += strlen(at) + 1)
		names[i] = at;
	qsort(names, list->count, sizeof(*names), compare);
	for (size_t i = 0; i < list->count; i++)
		if (!i || strcmp(names[i - 1], names[i]))
			puts(names[i]);
	free(names);
}

static bool begins(struct aq_str name, struct aq_str prefix)
{
	return name.len >= prefix.len && !memcmp(name.s, prefix.s, prefix.len);
}

static struct aq_str base_of(struct aq_str path)
{
	const char *slash = memrchr(path.s, '/', path.len);

	return slash ? (struct aq_str){ slash + 1, path.len - (size_t)(slash + 1 - path.s) } : path;
}

/* `mm/sl` is mm/slub.c, `m` is mm/: one component further, as for the files of a shell. */
static void add_path(struct list *list, struct aq_str file, struct aq_str prefix)
{
	struct aq_str base = base_of(file);

	if (begins(file, prefix)) {
		const char *slash = memchr(file.s + prefix.len, '/', file.len - prefix.len);

		add(list, "", (struct aq_str){ file.s, slash ? (size_t)(slash + 1 - file.s) : file.len }, "");
	}
	if (prefix.len && !memchr(prefix.s, '/', prefix.len) && begins(base, prefix))
		add(list, "", base, "");
}

/* `mm/slub.c:33` is mm/slub.c:3347. */
static void add_line(struct list *list, struct aq_str file, uint64_t line, struct aq_str prefix)
{
	const char *colon = memrchr(prefix.s, ':', prefix.len);
	struct aq_str path, wanted;
	char number[24];
	struct aq_str digits = { number, aq_decimal(line, number) };
	char *whole;

	if (!colon)
		return;
	path = (struct aq_str){ prefix.s, (size_t)(colon - prefix.s) };
	wanted = (struct aq_str){ colon + 1, prefix.len - path.len - 1 };
	if (!aq_same(file, path) && !aq_same(base_of(file), path))
		return;
	whole = strndup(path.s, path.len + 1);
	if (whole && begins(digits, wanted))
		add(list, whole, digits, "");
	free(whole);
}

static void add_module(struct list *list, struct aq_str module, struct aq_str prefix)
{
	if (prefix.len && prefix.s[0] == '[') {
		prefix = (struct aq_str){ prefix.s + 1, prefix.len - 1 };
		if (begins(module, prefix))
			add(list, "[", module, "]");
	} else if (begins(module, prefix)) {
		add(list, "", module, "");
	}
}

static void add_tags(struct list *list, const aq_table *table, const char *kind, struct aq_str prefix)
{
	bool words = !strcmp(kind, "words");

	for (size_t i = 0; i < table->len; i++) {
		const struct aq_row *row = &table->rows[i];
		struct aq_str file, function, module;

		file.s = aq_table_string(table, i, AQ_S_FILE, &file.len);
		function.s = aq_table_string(table, i, AQ_S_FUNCTION, &function.len);
		module.s = aq_table_string(table, i, AQ_S_MODULE, &module.len);
		if (words || !strcmp(kind, "files")) {
			add_path(list, file, prefix);
			add_line(list, file, row->line, prefix);
		}
		/* All functions are too many to look at. */
		if (!strcmp(kind, "functions") || (words && prefix.len))
			if (begins(function, prefix))
				add(list, "", function, "");
		if (module.len && (words || !strcmp(kind, "modules")))
			add_module(list, module, prefix);
	}
}

static void add_loaded_modules(struct list *list, struct aq_str prefix)
{
	FILE *file = fopen("/proc/modules", "re");
	char *line = NULL;
	size_t cap = 0;

	while (file && getline(&line, &cap, file) > 0)
		add_module(list, (struct aq_str){ line, strcspn(line, " \n") }, prefix);
	free(line);
	if (file)
		fclose(file);
}

/* Reads /proc/allocinfo: no tags are cached before the first query, nor without the ioctl. */
static void add_from_kernel(struct list *list, const char *kind, struct aq_str prefix)
{
	aq_table *table = aq_table_new();
	aq_filter everything;
	aq_text *text;
	int fd = open(AQ_ALLOCINFO, O_RDONLY | O_CLOEXEC);

	aq_filter_init(&everything);
	text = table && fd >= 0 ? aq_text_new(&everything, table) : NULL;
	if (text && aq_text_read(text, fd, SIZE_MAX) == AQ_DONE)
		add_tags(list, table, kind, prefix);
	aq_text_free(text);
	aq_table_free(table);
	if (fd >= 0)
		close(fd);
}

static void add_names(struct list *list, const char *kind, struct aq_str prefix)
{
	struct aq_cache cache;

	if (!aq_cache_load(NULL, &cache)) {
		if (aq_cache_parse(&cache) == AQ_DONE)
			add_tags(list, &cache.names, kind, prefix);
		aq_cache_clear(&cache);
	} else {
		add_from_kernel(list, kind, prefix);
	}
	if (strcmp(kind, "files") && strcmp(kind, "functions"))
		add_loaded_modules(list, prefix);
}

/* Does the file begin as a listing, or as something packed? */
static bool is_listing(int folder, const char *name)
{
	static const char header[] = "allocinfo - version: ";
	static const struct aq_str begins_with[] = {
		{ header, sizeof(header) - 1 }, { "\x1f\x8b", 2 }, { "\x28\xb5\x2f\xfd", 4 },
		{ "\xfd\x37zXZ", 5 }, { "BZh", 3 },
	};
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char first[sizeof(header)];
	ssize_t got = fd < 0 ? -1 : read(fd, first, sizeof(first) - 1);
	bool found = false;

	for (size_t i = 0; got > 0 && i < sizeof(begins_with) / sizeof(begins_with[0]); i++)
		found |= begins((struct aq_str){ first, (size_t)got }, begins_with[i]);
	if (fd >= 0)
		close(fd);
	return found;
}

/* Saved listings, and the folders where more may be. */
static void add_snapshots(struct list *list, const char *prefix)
{
	const char *slash = strrchr(prefix, '/');
	struct aq_str place = { prefix, slash ? (size_t)(slash + 1 - prefix) : 0 };
	const char *beginning = prefix + place.len;
	char *path = place.len ? strndup(place.s, place.len) : strdup("");
	DIR *folder = path ? opendir(path[0] ? path : ".") : NULL;
	struct dirent *entry;

	for (int i = 0; folder && i < MOST_FILES && (entry = readdir(folder)) != NULL; i++) {
		struct aq_str name = { entry->d_name, strlen(entry->d_name) };
		struct stat status;

		if (!begins(name, (struct aq_str){ beginning, strlen(beginning) }) ||
		    (name.s[0] == '.' && beginning[0] != '.') || !strcmp(name.s, ".") || !strcmp(name.s, "..") ||
		    fstatat(dirfd(folder), name.s, &status, 0))
			continue;
		if (S_ISDIR(status.st_mode))
			add(list, path, name, "/");
		else if (S_ISREG(status.st_mode) && is_listing(dirfd(folder), name.s))
			add(list, path, name, "");
	}
	if (folder)
		closedir(folder);
	free(path);
}

int front_complete(const char *kind, const char *prefix)
{
	struct list list = { .text = NULL };

	if (!strcmp(kind, "snapshots"))
		add_snapshots(&list, prefix);
	else
		add_names(&list, kind, (struct aq_str){ prefix, strlen(prefix) });
	print(&list);
	free(list.text);
	return fflush(stdout) ? STATUS_ERROR : STATUS_MATCH;
}
