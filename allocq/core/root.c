// SPDX-License-Identifier: MIT
/* The command line that runs this one as root: what a hint can ask to be copied. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"

static bool is_plain(const char *word)
{
	return *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
					   "_@%+=:,./-")];
}

/* One word as a shell takes it; the new length, or 0 where it does not fit. */
static size_t put_word(const char *word, char *out, size_t len, size_t cap)
{
	bool plain = is_plain(word);
	size_t need = strlen(word) + 4;

	for (const char *quote = word; (quote = strchr(quote, '\'')) != NULL; quote++)
		need += 3;
	if (len + need >= cap)
		return 0;
	out[len++] = ' ';
	if (!plain)
		out[len++] = '\'';
	for (; *word; word++) {
		if (*word == '\'') {
			memcpy(out + len, "'\\''", 4);
			len += 4;
		} else {
			out[len++] = *word;
		}
	}
	if (!plain)
		out[len++] = '\'';
	out[len] = '\0';
	return len;
}

/* Where a shell found the program: `program` if it is a path, else the first on PATH that can be run. */
static bool find_program(const char *program, char *out, size_t cap)
{
	const char *place = getenv("PATH");
	char here[PATH_MAX];
	int n;

	if (program[0] == '/')
		return (size_t)snprintf(out, cap, "%s", program) < cap;
	if (strchr(program, '/')) {
		n = getcwd(here, sizeof(here)) ? snprintf(out, cap, "%s/%s", here, program) : -1;
		return n > 0 && (size_t)n < cap;
	}
	while (place && *place) {
		size_t len = strcspn(place, ":");

		n = snprintf(out, cap, "%.*s/%s", (int)len, place, program);
		if (place[0] == '/' && n > 0 && (size_t)n < cap && !access(out, X_OK))
			return true;
		place += len;
		place += *place == ':';
	}
	return false;
}

/*
 * Would sudo find this very program by its name? The places are those of every distribution's
 * secure_path; /usr/local/bin is not in all of them.
 */
static bool is_on_secure_path(const char *path)
{
	static const char *const places[] = { "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/" };
	const char *name = strrchr(path, '/') + 1;
	struct stat ours, there;
	char found[PATH_MAX];

	if (stat(path, &ours))
		return false;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (snprintf(found, sizeof(found), "%s%s", places[i], name) >= (int)sizeof(found) ||
		    stat(found, &there))
			continue;
		return ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
	}
	return false;
}

size_t aq_root_command(const char *const *argv, char *out, size_t cap)
{
	char path[PATH_MAX];
	size_t len = 4;

	if (cap < 5 || !argv[0] || !find_program(argv[0], path, sizeof(path)))
		return 0;
	memcpy(out, "sudo", 5);
	len = put_word(is_on_secure_path(path) ? strrchr(path, '/') + 1 : path, out, len, cap);
	for (argv++; len && *argv; argv++)
		len = put_word(*argv, out, len, cap);
	return len;
}
