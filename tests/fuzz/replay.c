/* Gives each file that is named to a harness: what a fuzzer has found, without a fuzzer. */
#include "check.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");
		uint8_t data[1 << 16], *copy;
		size_t size;

		CHECK(file);
		size = fread(data, 1, sizeof(data), file);
		fclose(file);
		copy = (uint8_t *)exact(data, size);
		LLVMFuzzerTestOneInput(copy, size);
		free(copy);
	}
	printf("%d\n", argc - 1);
	return 0;
}
