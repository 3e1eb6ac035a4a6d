/*
 * Gives each file that is named to a harness, as it is and with a few bytes changed: what a fuzzer
 * has found and its like, without a fuzzer, and the same each time.
 */
#include "check.h"

enum { CHANGED = 40 };

static uint32_t next(void)
{
	static uint32_t state = 1;

	state ^= state << 13;
	state ^= state >> 17;
	return state ^= state << 5;
}

static void give(const uint8_t *data, size_t size)
{
	uint8_t *copy = (uint8_t *)exact(data, size);

	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");
		uint8_t data[1 << 12], changed[1 << 12];
		size_t size;

		CHECK(file);
		size = fread(data, 1, sizeof(data), file);
		fclose(file);
		give(data, size);
		for (int times = 0; times < CHANGED && size; times++) {
			memcpy(changed, data, size);
			for (uint32_t n = next() % 4 + 1; n; n--) {
				uint32_t where = next();

				/* The front is where the harnesses are told what to do. */
				changed[where % (where & 1 << 20 ? size : size < 24 ? size : 24)] = (uint8_t)next();
			}
			give(changed, size);
		}
	}
	printf("%d\n", argc - 1);
	return 0;
}
