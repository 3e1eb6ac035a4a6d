/*
 * Anything as the file of the tag cache: it is taken only if its hash is right and it is for this
 * boot and these tags, and then it says what the text in it says. The directory is one of our own.
 */
#include <inttypes.h>

#include "place.h"

static void put_file(const void *data, size_t len)
{
	int fd = openat(folder_fd, "names", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len && !close(fd));
}

static size_t get_file(char *out, size_t cap)
{
	int fd = openat(folder_fd, "names", O_RDONLY);
	ssize_t got = fd < 0 ? 0 : read(fd, out, cap);

	CHECK(got >= 0);
	if (fd >= 0)
		close(fd);
	return (size_t)got;
}

/* The hash as memory.c says it is, byte by byte. */
static uint64_t hash_of(uint64_t seed, const char *data, size_t len)
{
	uint64_t hash = seed ^ len;

	for (size_t at = 0; at < len; at += 8) {
		char word[8] = { 0 };
		uint64_t value;

		for (size_t i = 0; i < 8 && at + i < len; i++)
			word[i] = data[at + i];
		memcpy(&value, word, 8);
		hash = (hash ^ value) * 0xff51afd7ed558ccdu;
		hash ^= hash >> 32;
	}
	return hash;
}

static uint64_t seal_of(const char *head, size_t head_len, const char *text, size_t len)
{
	return hash_of(hash_of(0x9e3779b97f4a7c15u, head, head_len), text, len);
}

/* The first word in the head, behind a blank, that is `name=DIGITS`. */
static bool number_in(const char *head, const char *name, uint64_t *value)
{
	char *at, *word, copy[2048];

	snprintf(copy, sizeof(copy), "%s", head);
	at = strchr(copy, ' ');
	while (at && (word = at + 1)) {
		char *end = strchr(word, ' ');

		at = end;
		if (end)
			*end = '\0';
		if (strncmp(word, name, strlen(name)) || word[strlen(name)] != '=')
			continue;
		word += strlen(name) + 1;
		if (!*word || strspn(word, "0123456789") < strlen(word))
			return false;
		for (*value = 0; *word; word++) {
			uint64_t digit = (uint64_t)(*word - '0');

			if (*value > (UINT64_MAX - digit) / 10)
				return false;
			*value = *value * 10 + digit;
		}
		return true;
	}
	return false;
}

struct expected {
	const char *text;
	size_t len;
	aq_costs costs;
	uint64_t content;
	aq_table *names; /* NULL: refused */
};

/* What a reader that believes nothing makes of the file. */
static void expect(const char *data, size_t size, struct expected *expected)
{
	const char *newline = size ? memchr(data, '\n', size) : NULL, *hash;
	size_t head_len = newline ? (size_t)(newline - data) : 0;
	char head[2048], seal[17];
	aq_filter *everything;
	uint64_t bytes;
	enum aq_result result;

	*expected = (struct expected){ .names = NULL };
	if (!newline || head_len >= 1024 || memchr(data, '\0', head_len) || !has_boot_id)
		return;
	memcpy(head, data, head_len);
	head[head_len] = '\0';
	expected->text = newline + 1;
	expected->len = size - head_len - 1;
	hash = strstr(head, " hash=");
	if (!hash || strncmp(head, "# allocq-names 2 ", 17))
		return;
	snprintf(seal, sizeof(seal), "%016" PRIx64,
		 seal_of(head, (size_t)(hash - head), expected->text, expected->len));
	if (strcmp(hash + 6, seal))
		return;
	head[hash - head] = '\0';
	/* The first boot= counts. */
	hash = strstr(head, " boot=");
	if (!hash || strncmp(hash + 6, BOOT, strlen(BOOT)) || !strchr(" ", hash[6 + strlen(BOOT)]) ||
	    !number_in(head, "bytes", &bytes) || bytes != expected->len ||
	    !number_in(head, "content", &expected->content) ||
	    !number_in(head, "call", &expected->costs.call) ||
	    !number_in(head, "tag", &expected->costs.tag) ||
	    !number_in(head, "step", &expected->costs.step) ||
	    !number_in(head, "compare", &expected->costs.compare) ||
	    !number_in(head, "sum", &expected->costs.sum) ||
	    !number_in(head, "text", &expected->costs.text))
		return;
	everything = aq_filter_new();
	expected->names = aq_table_new();
	CHECK(everything && expected->names);
	result = aq_text_parse(expected->text, expected->len, everything, expected->names);
	aq_filter_free(everything);
	if (result != AQ_DONE) {
		aq_table_free(expected->names);
		expected->names = NULL;
	}
}

static void check_table(const aq_table *table, const aq_table *expected)
{
	check_rows(table);
	CHECK(table->len == expected->len && table->text_len == expected->text_len);
	CHECK(!table->text_len || !memcmp(table->text, expected->text, table->text_len));
}

static void check_load(const struct expected *expected, uint64_t asked, bool any)
{
	bool fits = expected->names && (any || expected->content == asked);
	struct aq_cache cache;
	enum aq_result result;
	aq_costs costs;
	int error;

	for (size_t failing = 0; failing < 32; failing++) {
		bool failed;

		begin_failing(failing);
		error = aq_cache_load(any ? NULL : &asked, &cache);
		result = error ? AQ_STALE : aq_cache_parse(&cache);
		failed = end_failing();
		CHECK(failed || (result == AQ_DONE) == fits);
		CHECK(!error || error == -ENOENT);
		CHECK(result != AQ_ERROR || failed);
		if (result == AQ_DONE) {
			check_table(&cache.names, expected->names);
			CHECK(!memcmp(&cache.costs, &expected->costs, sizeof(costs)));
			CHECK(cache.text_len == expected->len);
		}
		CHECK(!error || (!cache.names.rows && !cache.names.text));
		aq_cache_clear(&cache);
		if (failing && !failed)
			break;
	}
	begin_failing(0);
	error = aq_cache_fits(asked, &costs);
	end_failing();
	/* Whether its text can be read is not asked here. */
	CHECK(error || !expected->names || expected->content != asked);
	CHECK(!error || !expected->names || expected->content == asked);
}

static void save(uint64_t content, const char *text, size_t len, const aq_costs *costs)
{
	begin_failing(0);
	aq_cache_save(content, text, len, costs);
	end_failing();
}

/* What is saved is read again, and with any one bit changed it is not. */
static void check_saved(struct input *in, const char *text, size_t len)
{
	aq_costs costs = { byte(in), byte(in), UINT64_MAX, 0, (uint64_t)byte(in) << 50, 7 };
	uint64_t content = ((uint64_t)byte(in) << 56) - (byte(in) & 1);
	static char file[1 << 14];
	struct expected expected;
	struct aq_cache cache;
	size_t size, at;

	save(content, text, len, &costs);
	size = get_file(file, sizeof(file));
	CHECK((size > len) == has_boot_id);
	if (!has_boot_id)
		return;
	expect(file, size, &expected);
	CHECK(expected.content == content && !memcmp(&expected.costs, &costs, sizeof(costs)));
	check_load(&expected, content, false);
	check_load(&expected, content + 1, byte(in) & 1);
	aq_table_free(expected.names);
	at = (byte(in) << 8 | byte(in)) % size;
	file[at] = (char)(file[at] ^ 1 << byte(in) % 8);
	put_file(file, size);
	begin_failing(0);
	CHECK(aq_cache_load(NULL, &cache) == -ENOENT);
	end_failing();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	uint8_t how = byte(&in);
	static char file[1 << 13];
	struct expected expected;
	const char *newline;
	size_t len, head;

	empty_folder();
	has_boot_id = (how & 7) != 7;
	if (size > 4096)
		return 0;
	if (how & 0x80) {
		const uint8_t *bar = left(&in) ? memchr(in.at, '|', left(&in)) : NULL;
		struct input front = { in.at, bar ? bar : in.end };

		in.at = bar ? bar + 1 : in.at;
		check_saved(&front, (const char *)in.at, left(&in));
		return 0;
	}
	len = left(&in);
	if (len)
		memcpy(file, in.at, len);
	/* A head that is sealed properly, whatever it says; sometimes with more behind a NUL. */
	newline = len ? memchr(file, '\n', len) : NULL;
	head = newline ? (size_t)(newline - file) : 0;
	if (newline && how & 0x40) {
		size_t more = how & 8 ? 24 : 22;
		char seal[25] = { 0 };

		memmove(file + head + more, file + head, len - head);
		snprintf(seal, sizeof(seal), " hash=%016" PRIx64,
			 seal_of(file, head, newline + more + 1, len - head - 1));
		memcpy(file + head, seal, more);
		len += more;
	}
	put_file(file, len);
	expect(file, len, &expected);
	check_load(&expected, how & 0x20 ? expected.content : 0, how & 0x10);
	aq_table_free(expected.names);
	return 0;
}
