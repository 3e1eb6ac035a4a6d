// SPDX-License-Identifier: MIT
/*
 * Finding the Python that allocq is installed for. The program lies in PREFIX/bin and the package in
 * PREFIX/lib/pythonX.Y/site-packages, as venv, pipx, pip and distributions have it. Installed with
 * pip -e, the package is elsewhere, and the Python beside the program knows where.
 */
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "front.h"

/* -I keeps the environment and the current directory out. The package comes behind the standard library. */
static const char start[] =
	"import sys\n"
	"place, sys.argv[0] = sys.argv.pop(1), sys.argv.pop(1)\n"
	"if place and place not in sys.path:\n"
	"    ends = [i for i, path in enumerate(sys.path) if path.endswith('-packages')]\n"
	"    sys.path.insert(ends[0] if ends else len(sys.path), place)\n"
	"try:\n"
	"    from allocq.__main__ import entry\n"
	"except ModuleNotFoundError as error:\n"
	"    sys.stderr.write(f'allocq: {sys.executable} has no module {error.name}, which allocq needs\\n'\n"
	"                     'hint: install allocq again, with its dependencies\\n')\n"
	"    raise SystemExit(2)\n"
	"except MemoryError:\n"
	"    import os\n"
	"    os.write(2, b'allocq: out of memory\\n')\n"
	"    os._exit(2)\n"
	"except Exception as error:\n"
	"    sys.stderr.write(f'allocq: {sys.executable} cannot start allocq: {type(error).__name__}: '\n"
	"                     + f'{error}'.partition('\\n')[0] + '\\n'\n"
	"                     'hint: install Python or allocq again\\n')\n"
	"    raise SystemExit(2)\n"
	"entry()\n";

typedef char path_buffer[PATH_MAX];

/* `format` into `out`; false where it does not fit. */
__attribute__((format(printf, 2, 3))) static bool join(path_buffer out, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(out, sizeof(path_buffer), format, arguments);
	va_end(arguments);
	return n > 0 && (size_t)n < sizeof(path_buffer);
}

/* An absolute place on PATH that has the program. Relative ones are passed over. */
static bool search_path(const char *program, path_buffer out)
{
	const char *place = getenv("PATH");

	while (place && *place) {
		size_t len = strcspn(place, ":");

		if (place[0] == '/' && join(out, "%.*s/%s", (int)len, place, program) && !access(out, X_OK))
			return true;
		place += len;
		place += *place == ':';
	}
	return false;
}

/* The directory this program lies in, links resolved. */
static bool find_bin(const char *program, path_buffer bin)
{
	ssize_t len = readlink("/proc/self/exe", bin, sizeof(path_buffer) - 1);
	path_buffer found;
	char *slash;

	if (len > 0)
		bin[len] = '\0';
	else if (!strchr(program, '/') ? !(search_path(program, found) && realpath(found, bin)) :
					 !realpath(program, bin))
		return false;
	slash = strrchr(bin, '/');
	if (!slash || slash == bin)
		return false;
	*slash = '\0';
	return true;
}

/* The interpreter for a `python3.11` in lib: beside the program, or where a shell would find it. */
static bool find_interpreter(const char *bin, const char *version, path_buffer out)
{
	bool system = !strncmp(bin, "/usr/", 5);

	if (join(out, "%s/%s", bin, version) && !access(out, X_OK))
		return true;
	if (!system && search_path(version, out))
		return true;
	if ((join(out, "/usr/local/bin/%s", version) && !access(out, X_OK)) ||
	    (join(out, "/usr/bin/%s", version) && !access(out, X_OK)))
		return true;
	return system && search_path(version, out);
}

struct installation {
	path_buffer bin, place, interpreter;
};

/* Is the package below this `lib`? Fills place and interpreter. */
static bool look_in(const char *lib, struct installation *found)
{
	static const char *const packages[] = { "site-packages", "dist-packages" };
	DIR *list = opendir(lib);
	struct dirent *entry;
	path_buffer main;
	bool here = false;

	while (list && !here && (entry = readdir(list)) != NULL) {
		if (strncmp(entry->d_name, "python3", 7))
			continue;
		for (size_t i = 0; i < 2 && !here; i++)
			here = join(found->place, "%s/%s/%s", lib, entry->d_name, packages[i]) &&
			       join(main, "%s/allocq/__main__.py", found->place) && !access(main, R_OK) &&
			       find_interpreter(found->bin, entry->d_name, found->interpreter);
	}
	if (list)
		closedir(list);
	return here;
}

static bool find_installation(const char *program, struct installation *found)
{
	static const char *const libs[] = { "lib", "lib64" };
	path_buffer lib;

	if (!find_bin(program, found->bin))
		return false;
	for (size_t i = 0; i < 2; i++)
		if (join(lib, "%s/../%s", found->bin, libs[i]) && look_in(lib, found))
			return true;
	found->place[0] = '\0';
	return join(found->interpreter, "%s/python3", found->bin) && !access(found->interpreter, X_OK);
}

static int count_words(char *const *argv)
{
	int n = 0;

	while (argv[n])
		n++;
	return n;
}

void front_exec_python(char *const *argv)
{
	static char isolated[] = "-I", code[] = "-c";
	struct installation found;
	char **words, program[sizeof(start)];
	sigset_t interrupt;
	int n = 0;

	if (!argv[0] || !find_installation(argv[0], &found))
		return;
	words = calloc((size_t)count_words(argv) + 6, sizeof(*words));
	if (!words) {
		front_say("allocq: ", "out of memory");
		exit(STATUS_ERROR);
	}
	memcpy(program, start, sizeof(start));
	words[n++] = found.interpreter;
	words[n++] = isolated;
	words[n++] = code;
	words[n++] = program;
	words[n++] = found.place;
	words[n++] = argv[0];
	for (argv++; *argv; argv++)
		words[n++] = *argv;
	/* A Ctrl-C waits until Python can answer it: __main__.py unblocks it. */
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, NULL);
	execv(found.interpreter, words);
	sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
	free(words);
}

bool front_sample_path(const char *program, char *out, size_t cap)
{
	struct installation found;
	path_buffer path;

	if (!find_installation(program, &found) || !found.place[0] ||
	    !join(path, "%s/allocq/sample.txt", found.place) || strlen(path) >= cap)
		return false;
	strcpy(out, path);
	return true;
}
