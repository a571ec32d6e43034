/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/units.h"

static void sizes(void **s)
{
	static const struct {
		const char *text;
		uint64_t want;
	} good[] = { { "0", 0 }, { "4096", 4096 }, { "1K", 1024 }, { "512M", 512u << 20 }, { "1.5G", 3u << 29 },
		{ "10GB", 10000000000u }, { "2GiB", 2u << 30 }, { "5b", 5 }, { "1kb", 1000 }, { "3T", 3ull << 40 } };
	static const struct {
		const char *text, *part;
	} bad[] = { { "", "empty" }, { "-1G", "negative" }, { "G", "not a number" }, { "12GX", "after the number" },
		{ "9999999P", "too big" }, { "1 G", "after the number" }, { "1.G", "after the number" },
		{ "0x10", "after the number" }, { "nan", "not a number" }, { "1e3", "after the number" } };
	struct error *e = NULL;
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_ok(parse_size("memory", good[i].text, &v, &e), e);
		assert_int_equal(v, good[i].want);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_err(parse_size("memory", bad[i].text, &v, &e), e, ERR_USAGE, bad[i].part);
}

static void durations(void **s)
{
	struct error *e = NULL;
	uint64_t v;

	assert_ok(parse_duration("timeout", "90", &v, &e), e);
	assert_int_equal(v, 90000);
	assert_ok(parse_duration("timeout", "1.5s", &v, &e), e);
	assert_int_equal(v, 1500);
	assert_ok(parse_duration("timeout", "250ms", &v, &e), e);
	assert_int_equal(v, 250);
	assert_ok(parse_duration("timeout", "2h", &v, &e), e);
	assert_int_equal(v, 7200000);
	assert_err(parse_duration("timeout", "12abcms", &v, &e), e, ERR_USAGE, "'abcms'");
	assert_err(parse_duration("timeout", "99999999999999999d", &v, &e), e, ERR_USAGE, "too long");
}

static void counts(void **s)
{
	struct error *e = NULL;
	uint64_t v;

	assert_ok(parse_u64("cpus", "8", 1, 255, &v, &e), e);
	assert_int_equal(v, 8);
	assert_err(parse_u64("cpus", "0", 1, 255, &v, &e), e, ERR_USAGE, "less than 1");
	assert_err(parse_u64("cpus", "256", 1, 255, &v, &e), e, ERR_USAGE, "more than 255");
	assert_err(parse_u64("cpus", "99999999999999999999", 1, 255, &v, &e), e, ERR_USAGE, "more than");
	assert_err(parse_u64("cpus", "4x", 1, 255, &v, &e), e, ERR_USAGE, "'x'");
	assert_err(parse_u64("cpus", " 4", 1, 255, &v, &e), e, ERR_USAGE, "not a number");
}

static void printed_sizes(void **s)
{
	char b[16];

	assert_string_equal(format_size(0, b), "0 B");
	assert_string_equal(format_size(1023, b), "1023 B");
	assert_string_equal(format_size(1536, b), "1.5 KiB");
	assert_string_equal(format_size(512u << 20, b), "512 MiB");
	assert_string_equal(format_size(UINT64_MAX, b), "16 EiB");
}

static void nearest(void **s)
{
	static const char *const names[] = { "memory", "cpus", "disk", "name", "network" };

	assert_string_equal(nearest_name("memroy", names, 5), "memory");
	assert_string_equal(nearest_name("cpu", names, 5), "cpus");
	assert_string_equal(nearest_name("Disks", names, 5), "disk");
	assert_null(nearest_name("zzz", names, 5));
	assert_null(nearest_name("", names, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(durations),
		cmocka_unit_test(counts),
		cmocka_unit_test(printed_sizes),
		cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
