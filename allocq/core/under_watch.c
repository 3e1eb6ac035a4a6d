// SPDX-License-Identifier: MIT
/* Is the output shown to a person although it is no terminal? */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"

/*
 * watch(1) of procps exports COLUMNS and LINES and gives its command one pipe as standard output and
 * standard error. A script that only exports COLUMNS, or keeps errors apart, is no watch.
 */
int aq_is_watched(void)
{
	const char *columns = getenv("COLUMNS"), *lines = getenv("LINES");
	struct stat out, err;

	return columns && *columns && lines && *lines && !fstat(STDOUT_FILENO, &out) &&
	       !fstat(STDERR_FILENO, &err) && S_ISFIFO(out.st_mode) && out.st_dev == err.st_dev &&
	       out.st_ino == err.st_ino;
}
