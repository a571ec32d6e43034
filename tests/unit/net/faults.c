/* SPDX-License-Identifier: Apache-2.0 */
/* Faults in a real croft-net: by request, from the group file, across its death. */
#include "fake.h"

#include <jansson.h>

#define MS 1000000ull

static int setup(void **state)
{
	return fake_start(state, ",\"seed\":5,\"links\":[{\"node\":\"n2\",\"out\":{\"delay\":\"30ms\"},\"in\":{\"delay\":\"30ms\"}}]");
}

/* ns from sending to arrival. */
static uint64_t travel(int from, int to, uint32_t number)
{
	uint64_t start = loop_now();

	fake_plain(from, to, number);
	assert_int_equal(fake_number(to), number);
	return loop_now() - start;
}

static void the_files_links_hold_from_the_start(void **state)
{
	assert_true(travel(0, 2, 1) >= 30 * MS);
	assert_true(travel(2, 0, 2) >= 30 * MS);
}

static void a_delay_is_set_and_taken_back(void **state)
{
	_cleanup_free_ char *answer = fake_ask("{\"op\":\"link\",\"node\":\"n0\",\"set\":{\"delay\":\"50ms\"},\"direction\":\"out\"}");

	assert_non_null(strstr(answer, "\"out\":{\"delay\":\"50ms\"}"));
	assert_non_null(strstr(answer, "\"in\":{}"));
	assert_true(travel(0, 1, 3) >= 50 * MS);
	travel(1, 0, 4);
	/* What is held when the delay goes comes first. */
	fake_plain(0, 1, 5);
	fake_do("{\"op\":\"link\",\"node\":\"n0\",\"clear\":true}");
	fake_plain(0, 1, 6);
	assert_int_equal(fake_number(1), 5);
	assert_int_equal(fake_number(1), 6);
}

static void settings_add_up_and_reset_goes_back(void **state)
{
	_cleanup_free_ char *a = fake_ask("{\"op\":\"link\",\"node\":\"n2\",\"set\":{\"loss\":\"1%\"}}"), *b = NULL;

	assert_non_null(strstr(a, "\"out\":{\"delay\":\"30ms\",\"loss\":\"1%\"}"));
	b = fake_ask("{\"op\":\"link\",\"node\":\"n2\",\"reset\":true}");
	assert_non_null(strstr(b, "\"out\":{\"delay\":\"30ms\"}"));
}

static void those_who_are_cut_do_not_hear_each_other(void **state)
{
	fake_do("{\"op\":\"cut\",\"sets\":[[\"n0\"],[\"n1\"]]}");
	fake_plain(0, 1, 10);
	fake_plain(1, 0, 11);
	fake_plain(0, -1, 12); /* to all: the third hears it */
	assert_int_equal(fake_number(2), 12);
	fake_do("{\"op\":\"heal\",\"sets\":[[\"n0\"],[\"n1\"]]}");
	fake_plain(0, 1, 13);
	fake_plain(1, 0, 14);
	assert_int_equal(fake_number(1), 13);
	assert_int_equal(fake_number(0), 14);
}

/* A counter of a port. */
static long long counter(const char *node, const char *key)
{
	_cleanup_free_ char *text = fake_ask("{\"op\":\"status\"}");
	json_t *j = json_loads(text, 0, NULL), *p;
	long long n = -1;
	size_t i;

	json_array_foreach(json_object_get(j, "ports"), i, p) if (!strcmp(json_string_value(json_object_get(p, "node")), node)) n =
		json_integer_value(json_object_get(p, key));
	json_decref(j);
	return n;
}

static void a_partition_keeps_each_side_together(void **state)
{
	long long before = counter("n1", "cut");

	fake_do("{\"op\":\"cut\",\"sets\":[[\"n0\",\"n1\"],[\"n2\"]]}");
	fake_plain(2, -1, 20);
	fake_plain(0, 1, 21);
	assert_int_equal(fake_number(1), 21);
	/* n2's frame is on its way for 30 ms; healed before it is there, it would arrive. */
	for (int i = 0; i < 1000 && counter("n1", "cut") == before; i++)
		usleep(10000);
	assert_int_equal(counter("n1", "cut"), before + 1);
	fake_do("{\"op\":\"heal\"}");
	assert_true(travel(2, 0, 22) >= 30 * MS);
}

static void a_link_that_is_down_passes_nothing(void **state)
{
	fake_do("{\"op\":\"link\",\"node\":\"n1\",\"set\":{\"down\":true}}");
	fake_plain(0, 1, 30);
	fake_do("{\"op\":\"heal\"}");
	fake_plain(0, 1, 31);
	assert_int_equal(fake_number(1), 31);
}

static void wrong_requests_change_nothing(void **state)
{
	static const struct {
		const char *request, *says;
		enum error_class cls;
	} cases[] = {
		{ "{\"op\":\"link\",\"node\":\"n9\",\"set\":{\"delay\":\"1ms\"}}", "no node 'n9'", ERR_NOT_FOUND },
		{ "{\"op\":\"link\",\"node\":\"n0\",\"zone\":\"wan\",\"set\":{\"delay\":\"1ms\"}}", "no port in zone 'wan'", ERR_NOT_FOUND },
		{ "{\"op\":\"link\",\"node\":\"n0\",\"set\":{\"delay\":\"1 parsec\"}}", "delay: '1 parsec'", ERR_USAGE },
		{ "{\"op\":\"link\",\"node\":\"n0\",\"set\":{\"reorder\":\"5%\"}}", "reorder", ERR_USAGE },
		{ "{\"op\":\"cut\",\"sets\":[[\"n0\"],[\"n9\"]]}", "no node 'n9'", ERR_NOT_FOUND },
		{ "{\"op\":\"cut\",\"sets\":[[\"n0\",\"n1\"],[\"n1\"]]}", "n1 is in two sets", ERR_USAGE },
		{ "{\"op\":\"cut\",\"sets\":[[\"n0\"]]}", "two sets", ERR_USAGE },
		{ "{\"op\":\"link\"}", "no node is named", ERR_USAGE },
		{ "{\"op\":\"seed\",\"seed\":\"x\"}", "whole number", ERR_USAGE },
	};
	_cleanup_free_ char *before = fake_ask("{\"op\":\"faults\"}"), *after = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *e = NULL;

		assert_null(net_request(fake_dir, cases[i].request, 20000, &e));
		if (!strstr(e->msg, cases[i].says) || e->cls != cases[i].cls)
			fail_msg("%s: %d %s", cases[i].request, e->cls, e->msg);
		error_clear(&e);
	}
	after = fake_ask("{\"op\":\"faults\"}");
	assert_string_equal(before, after);
}

static void faults_survive_the_process(void **state)
{
	_cleanup_free_ char *before = NULL, *after = NULL, *last = NULL;

	fake_do("{\"op\":\"link\",\"node\":\"n0\",\"set\":{\"delay\":\"40ms\",\"jitter\":\"1ms\",\"distribution\":\"pareto\"}}");
	fake_do("{\"op\":\"link\",\"node\":\"n2\",\"clear\":true}");
	fake_do("{\"op\":\"cut\",\"sets\":[[\"n1\"],[\"n2\"]]}");
	fake_do("{\"op\":\"seed\",\"seed\":99}");
	before = fake_ask("{\"op\":\"faults\"}");
	fake_kill();
	after = fake_ask("{\"op\":\"faults\"}");
	assert_string_equal(before, after);
	fake_plain(1, 2, 40); /* cut */
	assert_true(travel(0, 2, 41) >= 39 * MS);
	fake_do("{\"op\":\"heal\",\"links\":true}");
	travel(1, 2, 42);
	last = fake_ask("{\"op\":\"faults\"}");
	assert_null(strstr(last, "delay"));
}

static void a_new_file_changes_only_what_it_changes(void **state)
{
	_cleanup_free_ char *json = fake_config(*state, ",\"seed\":5,\"links\":[{\"node\":\"n2\",\"in\":{\"delay\":\"35ms\"}}]"), *answer = NULL;
	struct error *e = NULL;

	fake_do("{\"op\":\"link\",\"node\":\"n0\",\"set\":{\"loss\":\"0.5%\"}}");
	assert_ok(net_configure(fake_dir, json, &e), e);
	answer = fake_ask("{\"op\":\"faults\"}");
	assert_non_null(strstr(answer, "\"in\":{\"delay\":\"35ms\"}"));
	assert_non_null(strstr(answer, "\"loss\":\"0.5%\""));
	fake_do("{\"op\":\"heal\",\"links\":true}");
	travel(0, 2, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_files_links_hold_from_the_start),
		cmocka_unit_test(a_delay_is_set_and_taken_back),
		cmocka_unit_test(settings_add_up_and_reset_goes_back),
		cmocka_unit_test(those_who_are_cut_do_not_hear_each_other),
		cmocka_unit_test(a_partition_keeps_each_side_together),
		cmocka_unit_test(a_link_that_is_down_passes_nothing),
		cmocka_unit_test(wrong_requests_change_nothing),
		cmocka_unit_test(faults_survive_the_process),
		cmocka_unit_test(a_new_file_changes_only_what_it_changes),
	};

	return cmocka_run_group_tests(tests, setup, fake_end);
}
