// SPDX-License-Identifier: MIT
/*
 * Tags that come again: where a loop appended to a file, that is how the second listing shows. The
 * kernel has some tags twice itself, those of code that several files include.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { LEAST = 256 };

struct aq_seen {
	uint64_t *slots; /* hashes, 0 for an empty slot; a power of two */
	size_t cap, len;
	uint64_t first, first_line;
	uint64_t number; /* where the first one was last */
};

struct aq_seen *aq_seen_new(void)
{
	return calloc(1, sizeof(struct aq_seen));
}

void aq_seen_free(struct aq_seen *seen)
{
	if (seen)
		free(seen->slots);
	free(seen);
}

static bool ends_with(struct aq_str s, struct aq_str end)
{
	return s.len >= end.len && !memcmp(s.s + s.len - end.len, end.s, end.len);
}

/* Headers; generics of Rust; fs/compat_binfmt_elf.c includes a C file. */
static bool is_included(struct aq_str file)
{
	return ends_with(file, AQ_STR(".h")) || ends_with(file, AQ_STR(".rs")) ||
	       ends_with(file, AQ_STR("binfmt_elf.c"));
}

/* FILE:LINE [MODULE] func:FUNCTION as it stands in the line. Never 0. */
static uint64_t identity(const struct aq_tag *tag)
{
	const char *end = tag->function.s + tag->function.len;
	uint64_t hash = aq_hash(0, tag->file.s, (size_t)(end - tag->file.s));

	return hash ? hash : 1;
}

static bool insert(uint64_t *slots, size_t cap, uint64_t hash)
{
	size_t at = hash & (cap - 1);

	while (slots[at] && slots[at] != hash)
		at = (at + 1) & (cap - 1);
	if (slots[at])
		return false;
	slots[at] = hash;
	return true;
}

static int grow(struct aq_seen *seen)
{
	size_t cap = seen->cap ? 2 * seen->cap : LEAST;
	uint64_t *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < seen->cap; i++)
		if (seen->slots[i])
			insert(slots, cap, seen->slots[i]);
	free(seen->slots);
	seen->slots = slots;
	seen->cap = cap;
	return 0;
}

int aq_seen_add(struct aq_seen *seen, const struct aq_tag *tag)
{
	if (is_included(tag->file))
		return 0;
	if (2 * seen->len >= seen->cap && grow(seen))
		return -ENOMEM;
	if (!insert(seen->slots, seen->cap, identity(tag)))
		return 1;
	seen->len++;
	return 0;
}

bool aq_seen_has_first(const struct aq_seen *seen)
{
	return seen->first != 0;
}

int aq_seen_first_again(struct aq_seen *seen, const struct aq_tag *tag, uint64_t number)
{
	uint64_t before = seen->number;

	if (is_included(tag->file))
		return 0;
	if (!seen->first) {
		seen->first = identity(tag);
		seen->first_line = tag->line;
		seen->number = number;
		return 0;
	}
	if (tag->line != seen->first_line || identity(tag) != seen->first)
		return 0;
	seen->number = number;
	return number != before + 1;
}
