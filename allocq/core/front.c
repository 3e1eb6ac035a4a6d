// SPDX-License-Identifier: MIT
/*
 * The program `allocq`. It answers a plain `query` itself and hands everything else to Python, by
 * exec, before anything is written.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front.h"

static void interrupted(int number)
{
	(void)number;
	_exit(STATUS_INTERRUPTED);
}

/* A write then fails with EPIPE or EFBIG. A handler, unlike SIG_IGN, does not outlive an exec. */
static void ignored(int number)
{
	(void)number;
}

static void handle(int number, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler }, before;

	if (!sigaction(number, NULL, &before) && before.sa_handler != SIG_IGN)
		sigaction(number, &action, NULL);
}

/* Nothing that is opened may get the number of a standard stream that is closed. */
static void hold_standard_streams(void)
{
	static const int useless[] = { O_WRONLY, O_RDONLY, O_RDONLY };

	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", useless[fd]) < 0)
			return;
}

/* The first bytes of a source, without taking them. 0 where that cannot be done. */
static size_t peek(int fd, char *out, size_t cap)
{
	struct stat status;
	ssize_t got = -1;
	int pipes[2];

	if (fstat(fd, &status))
		return 0;
	if (S_ISREG(status.st_mode)) {
		off_t at = lseek(fd, 0, SEEK_CUR);

		got = at < 0 ? -1 : pread(fd, out, cap, at);
	} else if (S_ISSOCK(status.st_mode)) {
		got = recv(fd, out, cap, MSG_PEEK);
	} else if (S_ISFIFO(status.st_mode) && !pipe2(pipes, O_CLOEXEC)) {
		got = tee(fd, pipes[1], cap, 0);
		if (got > 0)
			got = read(pipes[0], out, (size_t)got);
		close(pipes[0]);
		close(pipes[1]);
	}
	return got > 0 ? (size_t)got : 0;
}

/* Does it begin, or may it begin, a compressed file? */
static bool is_compressed(int fd)
{
	static const struct aq_str magic[] = {
		{ "\x1f\x8b", 2 }, { "\x28\xb5\x2f\xfd", 4 }, { "\xfd\x37zXZ", 5 }, { "BZh", 3 },
		{ "PK\x03\x04", 4 },
	};
	char first[8];
	size_t len = peek(fd, first, sizeof(first));

	for (size_t i = 0; len && i < sizeof(magic) / sizeof(magic[0]); i++) {
		size_t n = len < magic[i].len ? len : magic[i].len;

		if (!memcmp(first, magic[i].s, n))
			return true;
	}
	return false;
}

/* Is it a crash dump, or kcore? A running kernel's listing, which has no size, is not read for that. */
static bool is_dump(int fd)
{
	static const struct aq_str magic[] = {
		{ "\x7f" "ELF", 4 }, { "KDUMP   ", 8 }, { "DISKDUMP", 8 }, { "makedumpfile", 12 },
	};
	struct stat status;
	char first[12];
	size_t len;

	if (fstat(fd, &status) || !S_ISREG(status.st_mode) || !status.st_size)
		return false;
	len = peek(fd, first, sizeof(first));
	for (size_t i = 0; i < sizeof(magic) / sizeof(magic[0]); i++)
		if (len >= magic[i].len && !memcmp(first, magic[i].s, magic[i].len))
			return true;
	return false;
}

/* 0 or -1. */
static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t put = write(fd, data, len);

		if (put < 0 && errno != EINTR)
			return -1;
		data += put > 0 ? put : 0;
		len -= put > 0 ? (size_t)put : 0;
	}
	return 0;
}

/* A stream from its beginning, for Python: what was read of it, then the rest. */
static void pump(const aq_source *source, int out)
{
	char buffer[1 << 16];
	ssize_t got = 1;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (write_all(out, source->kept, source->kept_len))
		_exit(0);
	while (got) {
		got = read(aq_source_fd(source), buffer, sizeof(buffer));
		if (got < 0 && errno != EINTR)
			break;
		if (got > 0 && write_all(out, buffer, (size_t)got))
			break;
	}
	_exit(0);
}

/* Standard input becomes the whole stream. False where that fails. */
static bool begin_again(const aq_source *source)
{
	int ends[2];
	pid_t child;

	if (!source->kept)
		return aq_source_fd(source) == STDIN_FILENO ||
		       dup2(aq_source_fd(source), STDIN_FILENO) == STDIN_FILENO;
	if (pipe2(ends, O_CLOEXEC))
		return false;
	child = fork();
	if (!child) {
		close(ends[0]);
		pump(source, ends[1]);
	}
	close(ends[1]);
	return child > 0 && dup2(ends[0], STDIN_FILENO) == STDIN_FILENO;
}

enum { LEAST_FILES = 32, FEWEST_FILES = 16 };

/* Where a dozen files cannot be opened, Python ends with a traceback and the status of no match. */
static void exec_python(char *const *argv)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < LEAST_FILES) {
		files.rlim_cur = files.rlim_max < LEAST_FILES ? files.rlim_max : LEAST_FILES;
		if (files.rlim_cur < FEWEST_FILES || setrlimit(RLIMIT_NOFILE, &files)) {
			front_say("allocq: ", "too few open files are allowed (ulimit -n)");
			exit(STATUS_ERROR);
		}
	}
	front_exec_python(argv);
}

/*
 * Python reads the same source. What is no file cannot be opened again, so it becomes standard
 * input; `path` is a word of argv, or the end of one.
 */
static void hand_over(const aq_source *source, const char *path, char *const *argv)
{
	if (aq_source_is_file(source)) {
		if (!aq_source_fd(source))
			lseek(0, source->start, SEEK_SET);
	} else if (!aq_source_is_live(source)) {
		if (!begin_again(source))
			return;
		strcpy((char *)path, "-");
	}
	exec_python(argv);
}

static int no_python(const char *why)
{
	front_say("allocq: ", why);
	front_say("hint: ", "without Python, allocq answers only plain queries: -o procfs, jsonl, csv or tsv,"
			    " --count, --quiet");
	return STATUS_ERROR;
}

/* Can the answer be given here? A terminal wants a table, or at least escapes; watch(1) a table. */
static bool serves(const struct query *query)
{
	bool prints = !query->quiet && !query->count;

	if (!prints)
		return true;
	if (query->format == FRONT_DEFAULT && aq_is_watched())
		return false;
	return query->format != FRONT_TABLE && query->format != FRONT_JSON && !isatty(STDOUT_FILENO);
}

/* Only root may: with the command that does it. cli/run.py does the same. */
static void add_root_command(aq_problem *problem, char *const *argv)
{
	static const char before[] = "; try: ";
	size_t len = strlen(problem->hint), n = sizeof(before) - 1;

	if (problem->kind != AQ_P_ACCESS || !len || !geteuid() || len + n >= sizeof(problem->hint))
		return;
	if (aq_root_command((const char *const *)argv, problem->hint + len + n, sizeof(problem->hint) - len - n))
		memcpy(problem->hint + len, before, n);
	else
		problem->hint[len] = '\0';
}

static bool is_directory(const char *path)
{
	struct stat status;

	return path && !stat(path, &status) && S_ISDIR(status.st_mode);
}

static int answer(struct query *query, char *const *argv)
{
	char sample[PATH_MAX], piped[] = "-";
	aq_problem problem;
	aq_source *source;
	int status;

	if (query->sample) {
		if (!front_sample_path(argv[0], sample, sizeof(sample))) {
			exec_python(argv);
			return no_python("cannot find the sample: no Python with allocq found");
		}
		query->path = sample;
	} else if (!query->path && query->interface == AQ_AUTO) {
		int is_meant = aq_stdin_is_meant();

		if (is_meant > 0)
			query->path = piped;
		else if (is_meant < 0)
			front_say("allocq: warning: ", aq_idle_pipe());
	}
	source = aq_source_open(query->path, query->interface, &problem);
	if (!source) {
		if (is_directory(query->path))
			exec_python(argv); /* a recording */
		add_root_command(&problem, argv);
		return front_complain(&problem);
	}
	if (!aq_source_is_live(source) && is_compressed(aq_source_fd(source))) {
		hand_over(source, query->path, argv);
		aq_source_close(source);
		return no_python("a compressed source needs Python; decompress it first");
	}
	if (is_dump(aq_source_fd(source))) {
		hand_over(source, query->path, argv);
		aq_source_close(source);
		return no_python("a crash dump needs Python");
	}
	/* Where nothing matches, a relative glob may begin at any component of a path. */
	query->stop_at_nothing = aq_source_is_live(source) || aq_source_is_file(source);
	status = front_answer(query, source, &problem);
	if (status == STATUS_NOTHING) {
		/* On a terminal, Python says so, with the nearest names. */
		bool tell = isatty(STDOUT_FILENO) && !query->quiet;

		query->stop_at_nothing = tell;
		if (aq_filter_widen(&query->filter) < 0)
			status = front_out_of_memory();
		else
			status = front_answer(query, source, &problem);
		if (status == STATUS_NOTHING) {
			hand_over(source, query->path, argv);
			query->stop_at_nothing = false;
			status = front_answer(query, source, &problem);
			if (status == STATUS_NO_MATCH)
				front_say("allocq: ", "no tag matches");
		}
	}
	if (status == STATUS_HAND_OVER) {
		hand_over(source, query->path, argv);
		status = front_complain(&problem);
	}
	aq_source_close(source);
	return status;
}

/* A `query` whose flags were read, or were not understood. */
static int run(struct query *query, bool understood, char *const *argv)
{
	if (!understood) {
		exec_python(argv);
		if (front_asks_version(argv + 1))
			return front_print_version();
		return no_python("this needs Python, but no Python with allocq was found");
	}
	if (!serves(query)) {
		exec_python(argv);
		if (query->format == FRONT_TABLE || query->format == FRONT_JSON)
			return no_python("this format needs Python, but no Python with allocq was found");
	}
	return answer(query, argv);
}

int main(int argc, char **argv)
{
	static char *const no_words[] = { NULL };
	bool is_query = argc > 1 && !strcmp(argv[1], "query");
	struct query query;
	bool understood;
	int status;

	handle(SIGINT, interrupted);
	handle(SIGPIPE, ignored);
	handle(SIGXFSZ, ignored);
	hold_standard_streams();
	if (argc == 4 && !strcmp(argv[1], "__complete"))
		return front_complete(argv[2], argv[3]);
	understood = front_read_flags(is_query ? argv + 2 : no_words, &query);
	status = run(&query, is_query && understood, argv);
	aq_filter_clear(&query.filter);
	return status;
}
