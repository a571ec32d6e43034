/* SPDX-License-Identifier: Apache-2.0 */
/* BLAKE2b against vectors of another implementation (Python's hashlib), and each way of computing it against the others. */
#include "../test.h"
#include "base/blake2b.h"

static void hex(const uint8_t *p, char out[2 * BLAKE2B_LEN + 1])
{
	for (int i = 0; i < BLAKE2B_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static void known_answers(void **state)
{
	static const struct {
		size_t len; /* byte i is 7 i + len */
		const char *hash;
	} known[] = {
		{ 0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8" },
		{ 1, "ee155ace9c40292074cb6aff8c9ccdd273c81648ff1149ef36bcea6ebb8a3e25" },
		{ 127, "f609ab2904b340cd075920018e0e3c6f6a90a3dae3edf03d3cccc0634a81ffe3" },
		{ 128, "0702c64922fb7635a1b799668a7e89ba9c5fe55ed7bd2fdecb001544073afad9" },
		{ 129, "490091b32bad7b3380c9e593d341bce9b73ff9d4ebcf0091ff932bdff7279897" },
		{ 256, "3d0cb2693dfbac42af5a6cc960953fea8714aa39c4bcd054ef61d6b5e98ade4a" },
		{ 1000, "a2ae1ecc90361e0bb07dab9789a4b0a724ee3cf05623ac6cefa1e6af3da4aae8" },
		{ 70000, "1f4fa066fe6b239a3abf68a8fd2d34c67dd93fccf2e604e611ec268468b8c395" },
	};
	uint8_t *p = xmalloc(70000), h[BLAKE2B_LEN];
	char is[2 * BLAKE2B_LEN + 1];

	blake2b("abc", 3, h);
	hex(h, is);
	assert_string_equal(is, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
	for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
		for (size_t i = 0; i < known[k].len; i++)
			p[i] = (uint8_t)(7 * i + known[k].len);
		blake2b(p, known[k].len, h);
		hex(h, is);
		assert_string_equal(is, known[k].hash);
	}
	free(p);
}

/* Messages of all lengths around the blocks, in every order of ending, in every lane. */
static void each_way_gives_the_same(void **state)
{
	enum { N = 700 };
	static struct blake2b_job jobs[N];
	static uint8_t want[N][BLAKE2B_LEN], got[N][BLAKE2B_LEN];
	uint8_t *p = xmalloc(N * 8);
	uint64_t seed = 1;

	for (size_t i = 0; i < N * 8; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(seed >> 40);
	}
	for (size_t i = 0; i < N; i++) {
		jobs[i] = (struct blake2b_job){ p + i, i * 31 % N * (i % 5), got[i] };
		blake2b(p + i, jobs[i].len, want[i]);
	}
	for (size_t way = 0; way < blake2b_ways(); way++)
		for (size_t n = 0; n <= N; n = n < 20 ? n + 1 : n * 2 - 3) {
			memset(got, 0, sizeof(got));
			blake2b_many_by(way, jobs, n);
			assert_memory_equal(got, want, n * BLAKE2B_LEN);
		}
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(each_way_gives_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
