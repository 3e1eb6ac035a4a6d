// SPDX-License-Identifier: MIT
/* Growth with its arithmetic checked, the hash, the clock. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"

void *aq_grown(void *block, size_t *cap, size_t need, size_t item, size_t least)
{
	size_t bigger, bytes;
	void *moved;

	if (block && need <= *cap)
		return block;
	if (__builtin_add_overflow(*cap, *cap / 2, &bigger) || bigger < need)
		bigger = need;
	if (bigger < least)
		bigger = least;
	if (!bigger || __builtin_mul_overflow(bigger, item, &bytes))
		return NULL;
	moved = realloc(block, bytes);
	if (moved)
		*cap = bigger;
	return moved;
}

/*
 * A multiply-xorshift hash over 8-byte words. The multiplier is the first of MurmurHash3's 64-bit
 * finalizer, which was chosen for avalanche.
 */
#define HASH_MULTIPLIER 0xff51afd7ed558ccdu

uint64_t aq_hash(uint64_t seed, const char *data, size_t len)
{
	uint64_t hash = seed ^ len;

	while (len) {
		uint64_t word = 0;
		size_t n = len < sizeof(word) ? len : sizeof(word);

		memcpy(&word, data, n);
		hash = (hash ^ word) * HASH_MULTIPLIER;
		hash ^= hash >> 32;
		data += n;
		len -= n;
	}
	return hash;
}

uint64_t aq_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
