/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel engine asks of netem for a link's settings. Where tc is here and the kernel has netem it is asked whether it takes that. */
#include "../test.h"
#include "base/file.h"
#include "base/proc.h"
#include "net/kernel.h"

#include <sched.h>

static void words(void **state)
{
	static const struct {
		const char *pairs[10], *netem;
	} all[] = {
		{ { "delay", "20ms" }, "limit 100000 delay 20000us" },
		{ { "delay", "1.5ms", "jitter", "300us", "distribution", "normal" }, "limit 100000 delay 1500us 300us distribution normal" },
		/* Tables of croft's own are stretched. */
		{ { "delay", "5ms", "jitter", "1ms", "distribution", "exponential" },
			"limit 100000 delay 5000us 16000us distribution croft-exponential" },
		{ { "delay", "5ms", "jitter", "1ms", "distribution", "pareto" }, "limit 100000 delay 5000us 16000us distribution croft-pareto" },
		{ { "loss", "2%" }, "limit 1000 loss 2.000000%" },
		/* Runs of five: out of one with 1/5, into one so that 2% are lost in all. */
		{ { "loss", "2%", "burst", "5" }, "limit 1000 loss gemodel 0.408163% 20.000000%" },
		{ { "rate", "10mbit", "queue", "50" }, "limit 50 rate 10000000bit" },
		{ { "delay", "1ms", "duplicate", "1%", "reorder", "3%", "corrupt", "0.1%" },
			"limit 100000 delay 1000us duplicate 1.000000% reorder 3.000000% corrupt 0.100000%" },
	};
	bool netem = unshare(CLONE_NEWNET) == 0 && system("tc qdisc replace dev lo root netem delay 1ms 2>/dev/null") == 0;

	if (!netem)
		fprintf(stderr, "skipped: tc is not asked: it needs root and a kernel with netem\n");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_strv_ struct strv v = STRV_INIT;
		_cleanup_free_ char *text = NULL, *command = NULL;
		struct link_spec s = { 0 };
		struct error *e = NULL;

		for (const char *const *p = all[i].pairs; *p; p += 2)
			assert_ok(link_spec_set(&s, p[0], p[1], &e), e);
		kernel_netem(&s, 0, &v);
		text = strv_join(&v, " ");
		assert_string_equal(text, all[i].netem);
		command = xasprintf("tc qdisc replace dev lo root netem %s", text);
		if (netem)
			assert_int_equal(system(command), 0);
	}
}

static void seeds(void **state)
{
	_cleanup_strv_ struct strv v = STRV_INIT;
	_cleanup_free_ char *text = NULL;
	struct link_spec s = { .loss = 0.5 };

	kernel_netem(&s, 0xffffffffffffffff, &v);
	text = strv_join(&v, " ");
	assert_string_equal(text, "limit 1000 loss 50.000000% seed 18446744073709551615");
}

static void commands(void **state)
{
	static const struct {
		struct link_spec s;
		const char *netem, *mtu;
	} all[] = {
		{ { .rate_bps = 1000000 }, "tc qdisc replace dev t0 root handle 1: netem limit 1000 rate 1000000bit", "" },
		{ { .mtu = 1400 }, "", "tc qdisc replace dev t0 root handle 2: tbf rate 32gbit limit 16mb burst 1414b" },
		/* Behind netem. */
		{ { .mtu = 576, .loss = 0.1 }, "tc qdisc replace dev t0 root handle 1: netem limit 1000 loss 10.000000%",
			"tc qdisc replace dev t0 parent 1:1 handle 3: tbf rate 32gbit limit 16mb burst 590b" },
		{ { .down = true, .flap_every_ns = 1, .queue = 7 }, "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_strv_ struct strv netem = STRV_INIT, mtu = STRV_INIT;
		_cleanup_free_ char *a = NULL, *b = NULL;

		kernel_shape_commands("t0", &all[i].s, 0, &netem, &mtu);
		a = strv_join(&netem, " ");
		b = strv_join(&mtu, " ");
		assert_string_equal(a, all[i].netem);
		assert_string_equal(b, all[i].mtu);
	}
}

/* The mean is one jitter, as in the default engine; all values fit netem's 16 bits. */
static void tables(void **state)
{
	static const enum jitter_kind kinds[] = { JITTER_EXPONENTIAL, JITTER_PARETO };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		double sum = 0, median = 0;
		long v, last = 0;
		char *at, *end;
		int n = 0;

		kernel_distribution_table(kinds[i], &b);
		for (at = b.data; (v = strtol(at, &end, 10)), end != at; at = end, last = v) {
			assert_in_range(v, last, 32767);
			sum += (double)v / 512;
			if (n++ == 2048)
				median = (double)v / 512;
		}
		assert_int_equal(n, 4096);
		assert_float_equal(sum / n, 1, 0.03);
		/* ln 2, and 2 (2^(1/3) - 1). */
		assert_float_equal(median, kinds[i] == JITTER_PARETO ? 0.520 : 0.693, 0.003);
	}
	assert_null(kernel_distribution(JITTER_NORMAL));
	assert_null(kernel_distribution(JITTER_UNIFORM));
}

/* tc itself reads our tables, before the kernel is asked. */
static void tc_reads_the_tables(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT, said = BUF_INIT;
	_cleanup_free_ char *lib = xasprintf("%s/croft-exponential.dist", (char *)*state), *env = xasprintf("TC_LIB_DIR=%s", (char *)*state);
	struct error *e = NULL;
	int status;

	if (system("unshare -n tc -V >/dev/null 2>&1") != 0)
		skip_test("needs root and tc");
	kernel_distribution_table(JITTER_EXPONENTIAL, &b);
	assert_ok(file_write(lib, b.data, b.len, 0600, &e), e);
	for (int there = 0; there < 2; there++) {
		const char *name = there ? "croft-exponential" : "croft-none";

		buf_clear(&said);
		assert_ok(proc_output((const char *[]){ "unshare", "-n", "tc", "qdisc", "replace", "dev", "lo", "root", "netem", "delay", "1ms", "1ms",
						"distribution", name, NULL },
				  (const char *[]){ env, NULL }, NULL, 10000, &status, &said, &e),
			e);
		assert_int_equal(strstr(buf_str(&said), "distribution data") == NULL, there);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(seeds),
		cmocka_unit_test(commands),
		cmocka_unit_test(tables),
		cmocka_unit_test(tc_reads_the_tables),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
