// SPDX-License-Identifier: MIT
/* Columns of numbers outside a table: what differs, and the sign in the lowest bit. */
#include "engine.h"

size_t aq_changed(const int64_t *before, const int64_t *now, size_t count, uint32_t *places)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		if (before[i] != now[i])
			places[found++] = (uint32_t)i;
	return found;
}

void aq_fold(const int64_t *numbers, size_t count, uint64_t *folded)
{
	for (size_t i = 0; i < count; i++)
		folded[i] = ((uint64_t)numbers[i] << 1) ^ (numbers[i] < 0 ? UINT64_MAX : 0);
}

void aq_unfold(const uint64_t *folded, size_t count, int64_t *numbers)
{
	for (size_t i = 0; i < count; i++)
		numbers[i] = (int64_t)((folded[i] >> 1) ^ (folded[i] & 1 ? UINT64_MAX : 0));
}
