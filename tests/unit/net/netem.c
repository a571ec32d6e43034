/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel engine asks of netem for a link's settings. Where tc is here and the kernel has netem it is asked whether it takes that. */
#include "../test.h"
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
		kernel_netem(&s, &v);
		text = strv_join(&v, " ");
		assert_string_equal(text, all[i].netem);
		command = xasprintf("tc qdisc replace dev lo root netem %s", text);
		if (netem)
			assert_int_equal(system(command), 0);
	}
}

static void what_only_the_default_engine_does(void **state)
{
	static const char *const others[][2] = { { "mtu", "1400" }, { "distribution", "exponential" } };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct link_spec s = { .delay_ns = 1000000, .jitter_ns = 1000 };
		struct error *e = NULL;

		assert_ok(link_spec_set(&s, others[i][0], others[i][1], &e), e);
		assert_int_equal(kernel_can(NULL, &s, &e), -1);
		assert_int_equal(e->cls, ERR_STATE);
		assert_memory_equal(e->msg, others[i][0], strlen(others[i][0]));
		error_clear(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(what_only_the_default_engine_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
