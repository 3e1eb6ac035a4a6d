/*
 * Allocations that fail one by one. fuzz.py links what includes this with --wrap, so every
 * allocation that the C makes itself comes by here.
 */
#ifndef FAILING_H
#define FAILING_H

#include <stdarg.h>

#include "check.h"

/* Of the allocations made while `counting`, number `failing` fails; 0: none. */
static struct {
	bool counting;
	size_t made, failing;
} memory;

static bool is_refused(void)
{
	if (!memory.counting || ++memory.made != memory.failing)
		return false;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t items, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *s);

void *__wrap_malloc(size_t size)
{
	return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t items, size_t size)
{
	return is_refused() ? NULL : __real_calloc(items, size);
}

void *__wrap_realloc(void *block, size_t size)
{
	return is_refused() ? NULL : __real_realloc(block, size);
}

char *__wrap_strdup(const char *s)
{
	return is_refused() ? NULL : __real_strdup(s);
}

int __wrap_asprintf(char **out, const char *format, ...)
{
	va_list arguments;
	int n;

	if (is_refused())
		return -1;
	va_start(arguments, format);
	n = vasprintf(out, format, arguments);
	va_end(arguments);
	return n;
}

/* Count from here; allocation number `failing` fails. */
static inline void begin_failing(size_t failing)
{
	memory.counting = true;
	memory.made = 0;
	memory.failing = failing;
}

/* Did one fail since? */
static inline bool end_failing(void)
{
	memory.counting = false;
	return memory.failing && memory.made >= memory.failing;
}

#endif
