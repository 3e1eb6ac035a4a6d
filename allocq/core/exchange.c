// SPDX-License-Identifier: MIT
/* Two names in a directory change places at once: renameat2(2), which no Python offers. */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

int aq_exchange(int folder, const char *one, const char *other)
{
	return syscall(SYS_renameat2, folder, one, folder, other, RENAME_EXCHANGE) ? -errno : 0;
}
