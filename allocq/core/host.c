/* The few questions to the host that Python would have to import modules for. */
#include <string.h>
#include <sys/vfs.h>

#include "native.h"

#define PROC_SUPER_MAGIC 0x9fa0

int aq_is_proc(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

uint64_t aq_hash(const char *data, size_t len)
{
	uint64_t hash = 0x9e3779b97f4a7c15u ^ len;

	while (len) {
		uint64_t word = 0;
		size_t n = len < sizeof(word) ? len : sizeof(word);

		memcpy(&word, data, n);
		hash = (hash ^ word) * 0xff51afd7ed558ccdu;
		hash ^= hash >> 32;
		data += n;
		len -= n;
	}
	return hash;
}
