/* SPDX-License-Identifier: Apache-2.0 */
/* gc while others write: who waits for whom, and that what a writer relies on stays. */
#include "common.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

/* A writer in the middle of a put, and what happens around it then. */
struct middle {
	const char *dir;
	const uint8_t *p;
	pid_t gc;
	bool done;
};

static bool wait_for(const char *path)
{
	for (int i = 0; i < 1000 && !file_exists(path); i++)
		usleep(10000);
	return file_exists(path);
}

static void in_the_middle(struct middle *m)
{
	_cleanup_free_ char *condemned = path_join(m->dir, "s/condemned"), *in = path_join(m->dir, "in");
	struct store_put_result r;
	int status;

	m->gc = fork();
	if (m->gc == 0) {
		execl("/proc/self/exe", "gate", m->dir, NULL); /* without our lock, which a fork alone shares */
		_exit(99);
	}
	assert_true(wait_for(condemned));
	{
		/* Who begins now does not wait, nor rely on what goes. */
		_cleanup_store_ struct store *s = reopen(m->dir, "s");

		put(s, "later", in, &r);
		assert_true(r.fresh >= MIB);
	}
	assert_int_equal(waitpid(m->gc, &status, WNOHANG), 0); /* that one waits for us */
	m->done = true;
}

static int read_part(void *arg, void *p, size_t n, uint64_t off, struct error **err)
{
	struct middle *m = arg;

	if (!m->done)
		in_the_middle(m);
	memcpy(p, m->p + off, n);
	return 0;
}

/* Chunks that no name leads to are found by a writer; gc comes before it has given them a name. */
static void what_a_writer_relies_on_stays(void **state)
{
	_cleanup_free_ uint8_t *p = xmalloc(2 * MIB);
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_free_ char *in = NULL, *condemned = path_join(*state, "s/condemned");
	struct middle m = { .dir = *state, .p = p };
	struct store_part part = { .name = "x", .read = read_part, .arg = &m, .size = 2 * MIB };
	struct store_put_result r;
	struct store_verify_result v;
	struct store_gc_result g;
	struct error *e = NULL;
	int status, lines = 0;

	fill(p, 2 * MIB, 71);
	in = make_file(*state, "in", p, 2 * MIB);
	put(s, "gone", in, &r);
	assert_ok(store_remove(s, "gone", &e), e);
	assert_ok(store_put_set(s, "early", &part, 1, NULL, &(struct store_put_opts){ .threads = 2 }, &r, &e), e);
	assert_true(r.fresh < 100000); /* it did rely on them */
	assert_int_equal(waitpid(m.gc, &status, 0), m.gc);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_false(file_exists(condemned));
	store_close(s);
	s = reopen(*state, "s");
	assert_ok(verify(s, &lines, &v, &e), e);
	assert_int_equal(v.bad + v.bad_names, 0);
	get_is(s, *state, "early/x", p, 2 * MIB);
	get_is(s, *state, "later", p, 2 * MIB);
	assert_ok(store_gc(s, &g, &e), e);
	get_is(s, *state, "early/x", p, 2 * MIB);
	get_is(s, *state, "later", p, 2 * MIB);
}

/* gc killed while it waits: the next one begins anew, and writers go on in between. */
static void a_killed_gc_leaves_nothing_that_matters(void **state)
{
	_cleanup_free_ uint8_t *p = xmalloc(2 * MIB);
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_free_ char *in = NULL, *condemned = path_join(*state, "s/condemned");
	struct store_put_result r;
	struct store_gc_result g;
	struct error *e = NULL;

	fill(p, 2 * MIB, 72);
	in = make_file(*state, "in", p, 2 * MIB);
	put(s, "x", in, &r);
	/* What a gc that died has left, with a pack that must not be lost for it, and garbage. */
	for (int i = 0; i < 2; i++) {
		assert_ok(file_writef(condemned, 0644, &e, i ? "abc\n%016x\n" : "abc\n", 5), e);
		put(s, i ? "y" : "z", in, &r);
		assert_false(file_exists(condemned));
		assert_ok(store_gc(s, &g, &e), e);
		assert_false(file_exists(condemned));
		get_is(s, *state, i ? "y" : "z", p, 2 * MIB);
	}
	assert_ok(file_writef(condemned, 0644, &e, "what is this"), e);
	put(s, "w", in, &r);
	get_is(s, *state, "w", p, 2 * MIB);
}

/* The same in threads of one process, for ThreadSanitizer: each with a store of its own, as the header says. */
struct runner {
	const char *dir;
	int k;
	bool failed;
};

static void *run(void *arg)
{
	struct runner *x = arg;
	_cleanup_free_ char *in = xasprintf("in-%d", x->k), *path = path_join(x->dir, in), *at = path_join(x->dir, "s");
	_cleanup_free_ uint8_t *p = xmalloc(MIB);

	for (int i = 0; i < 8 && !x->failed; i++) {
		_cleanup_error_ struct error *e = NULL;
		_cleanup_store_ struct store *s = store_open(at, &e);
		_cleanup_free_ char *name = xasprintf("t%d-%d", x->k, i % 2);
		struct store_put_result r;
		struct store_gc_result g;

		if (!s) {
			x->failed = true;
		} else if (x->k == 2) {
			x->failed = store_gc(s, &g, &e) < 0;
		} else {
			fill(p, MIB, (uint64_t)(200 + i));
			fill(p, MIB / 2, (uint64_t)(x->k * 100 + i));
			x->failed = file_write(path, p, MIB, 0600, &e) < 0 ||
				store_put(s, name, path, &(struct store_put_opts){ .replace = true, .threads = 2 }, &r, &e) < 0;
		}
		if (x->failed)
			fprintf(stderr, "%d: %s\n", x->k, e->msg);
	}
	return NULL;
}

static void two_writers_and_a_gc_in_threads(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	struct runner x[3];
	struct store_verify_result v;
	struct error *e = NULL;
	pthread_t t[3];
	int lines = 0;

	for (int k = 0; k < 3; k++) {
		x[k] = (struct runner){ *state, k, false };
		assert_int_equal(pthread_create(&t[k], NULL, run, &x[k]), 0);
	}
	for (int k = 0; k < 3; k++) {
		assert_int_equal(pthread_join(t[k], NULL), 0);
		assert_false(x[k].failed);
	}
	store_close(s);
	s = reopen(*state, "s");
	assert_ok(verify(s, &lines, &v, &e), e);
	assert_int_equal(v.bad + v.bad_names, 0);
}

static int collect(const char *dir)
{
	_cleanup_store_ struct store *s = reopen(dir, "s");
	struct store_gc_result g;
	struct error *e = NULL;

	return store_gc(s, &g, &e) < 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_writer_relies_on_stays),
		cmocka_unit_test(a_killed_gc_leaves_nothing_that_matters),
		cmocka_unit_test(two_writers_and_a_gc_in_threads),
	};

	if (argc == 2)
		return collect(argv[1]);
	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
