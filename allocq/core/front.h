/* SPDX-License-Identifier: MIT */
/* The parts of the program in front of Python: flags, answer, hand-over. */
#ifndef ALLOCQ_FRONT_H
#define ALLOCQ_FRONT_H

#include "engine.h"

/* Exit statuses, as in the man page. */
enum { STATUS_MATCH = 0, STATUS_NO_MATCH = 1, STATUS_ERROR = 2, STATUS_INTERRUPTED = 130, STATUS_CLOSED_PIPE = 141,
       STATUS_NOTHING = -2, STATUS_HAND_OVER = -3 };

enum front_format { FRONT_DEFAULT, FRONT_TABLE, FRONT_JSON, FRONT_PROCFS, FRONT_JSONL, FRONT_CSV, FRONT_TSV };

/* A plain `allocq query`. */
struct query {
	aq_filter filter;
	enum front_format format;
	enum aq_sort sort;
	bool reverse, has_limit, count, quiet, sample;
	bool stop_at_nothing; /* return STATUS_NOTHING before anything is written */
	int header; /* 1, 0, or -1: the format's default */
	uint64_t limit;
	const char *path; /* NULL: the running kernel */
	enum aq_interface interface;
};

/* flags.c */
/*
 * Read the words behind `query`. False where Python has to: what is not served here, and every
 * mistake, which Python words.
 */
bool front_read_flags(char *const *words, struct query *query);
/* Do the words ask for the version alone? Python also says how it was installed. */
bool front_asks_version(char *const *words);
/* Returns the exit status. */
int front_print_version(void);

/* deliver.c */
/*
 * Answer on standard output; returns the exit status, or STATUS_NOTHING. STATUS_HAND_OVER, with the
 * problem and nothing written, for a file that is not strictly one listing: Python may read it.
 */
int front_answer(const struct query *query, aq_source *source, aq_problem *problem);
/* One line on standard error, with nothing in it that a terminal could act on. */
void front_say(const char *prefix, const char *message);
int front_out_of_memory(void);
/* Print a text on standard output; returns the exit status. */
int front_print(const char *text);
int front_complain(const aq_problem *problem);

/* complete.c */
/* Print the names of a kind that begin with `prefix`, for a shell; returns the exit status. */
int front_complete(const char *kind, const char *prefix);

/* python.c */
/* Run Python on the same command line. Returns only where no Python with allocq is found. */
void front_exec_python(char *const *argv);
/* The installed sample's path into out; false where it is not found. */
bool front_sample_path(const char *program, char *out, size_t cap);

#endif
