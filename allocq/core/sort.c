// SPDX-License-Identifier: MIT
/* A sort that can be stopped: that of the C library does not return before it is done. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { PULSE_COMPARISONS = 1024 }; /* names of 1 MiB are compared in 0.1 ms */

struct sorting {
	char *room; /* for half of the items */
	size_t size;
	int (*compare)(const void *, const void *);
	const aq_hooks *hooks;
	unsigned int comparisons;
	bool stopped;
};

static bool is_after(struct sorting *sorting, const char *a, const char *b)
{
	if (++sorting->comparisons % PULSE_COMPARISONS == 0)
		sorting->stopped |= aq_stopped(sorting->hooks);
	return sorting->compare(a, b) > 0;
}

/* Both halves of `n` items are sorted: `left` of them, and the rest. */
static void merge(struct sorting *sorting, char *items, size_t n, size_t left)
{
	const size_t size = sorting->size;
	const char *a = sorting->room, *a_end = a + left * size;
	const char *b = items + left * size, *b_end = items + n * size;

	memcpy(sorting->room, items, left * size);
	for (; a < a_end && b < b_end && !sorting->stopped; items += size) {
		const char **next = is_after(sorting, a, b) ? &b : &a;

		memcpy(items, *next, size);
		*next += size;
	}
	memcpy(items, a, (size_t)(a_end - a));
}

static void sort(struct sorting *sorting, char *items, size_t n)
{
	size_t left = n / 2;

	if (n < 2 || sorting->stopped)
		return;
	sort(sorting, items, left);
	sort(sorting, items + left * sorting->size, n - left);
	if (!sorting->stopped &&
	    is_after(sorting, items + (left - 1) * sorting->size, items + left * sorting->size))
		merge(sorting, items, n, left);
}

int aq_sort(void *items, size_t n, size_t size, int (*compare)(const void *, const void *),
	    const aq_hooks *hooks)
{
	struct sorting sorting = { .size = size, .compare = compare, .hooks = hooks };

	if (n < 2)
		return 0;
	sorting.room = malloc(n / 2 * size);
	if (!sorting.room)
		return -ENOMEM;
	sort(&sorting, items, n);
	free(sorting.room);
	return sorting.stopped ? -ECANCELED : 0;
}
