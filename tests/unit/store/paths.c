/* SPDX-License-Identifier: Apache-2.0 */
/* Whole paths through the store: put, get, copy, verify, gc; damage, kills, full disks, two writers and a gc. */
#include "common.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static void comes_back_whole_and_is_stored_once(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 16384, 100000, MIB, 3 * MIB + 17, 9 * MIB };
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_free_ uint8_t *p = xmalloc(9 * MIB);
	struct store_put_result r, again;
	struct store_verify_result v;
	struct error *e = NULL;
	int lines = 0;

	fill(p, 9 * MIB, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *name = xasprintf("n%zu", i), *path = make_file(*state, "in", p, sizes[i]);

		put(s, name, path, &r);
		assert_int_equal(r.size, sizes[i]);
		get_is(s, *state, name, p, sizes[i]);
		put(s, name, path, &again);
		assert_string_equal(r.object, again.object);
		assert_int_equal(again.fresh, 0);
		get_is(s, *state, r.object, p, sizes[i]);
	}
	assert_ok(verify(s, &lines, &v, &e), e);
	assert_int_equal(v.bad + v.bad_names + lines, 0);
	assert_true(v.records > 10);
}

static void a_change_in_the_middle_costs_little(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_free_ uint8_t *p = xmalloc(8 * MIB + 100);
	struct store_put_result r;
	_cleanup_free_ char *path = NULL, *path2 = NULL, *upd = path_join(*state, "upd");
	struct error *e = NULL;

	fill(p, 8 * MIB, 2);
	path = make_file(*state, "in", p, 8 * MIB);
	put(s, "one", path, &r);
	memmove(p + 3 * MIB + 100, p + 3 * MIB, 5 * MIB);
	memset(p + 3 * MIB, 'x', 100);
	path2 = make_file(*state, "in", p, 8 * MIB + 100);
	put(s, "two", path2, &r);
	assert_true(r.fresh > 0 && r.fresh < 200000);
	get_is(s, *state, "two", p, 8 * MIB + 100);
	/* over the older one only the difference is written, and the result is the same */
	assert_ok(store_get(s, "one", upd, &(struct store_get_opts){ 0 }, &e), e);
	assert_ok(store_get(s, "two", upd, &(struct store_get_opts){ .update = true }, &e), e);
	assert_same(upd, p, 8 * MIB + 100);
	assert_err(store_get(s, "two", upd, &(struct store_get_opts){ 0 }, &e), e, ERR_STATE, "upd");
	assert_same(upd, p, 8 * MIB + 100);
	unlink(upd);
}

static void holes_and_zeros_stay_out(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	size_t n = 20 * MIB;
	_cleanup_free_ uint8_t *p = xcalloc(1, n);
	_cleanup_free_ char *path = NULL, *out = path_join(*state, "out");
	struct store_put_result r;
	struct stat st;

	fill(p, 50000, 3);
	fill(p + 10 * MIB + 4096, 300000, 4);
	path = make_file(*state, "in", p, n);
	put(s, "zeros", path, &r);
	assert_true(r.holes > n - 400000);
	assert_int_equal(r.size, n);
	get_is(s, *state, "zeros", p, n);
	assert_int_equal(stat(out, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 < MIB);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, (off_t)n), 0);
	memset(p, 0, n);
	put(s, "hole", path, &r);
	assert_int_equal(r.holes, n);
	get_is(s, *state, "hole", p, n);
}

static void gc_removes_what_has_no_name(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_free_ uint8_t *a = xmalloc(4 * MIB), *b = xmalloc(4 * MIB);
	_cleanup_free_ char *path = NULL;
	struct store_put_result r;
	struct store_gc_result g;
	struct error *e = NULL;

	fill(a, 4 * MIB, 5);
	fill(b, 4 * MIB, 6);
	free(make_file(*state, "in", a, 4 * MIB));
	path = path_join(*state, "in");
	put(s, "a", path, &r);
	memcpy(b, a, MIB); /* b needs a quarter of a's pack */
	free(make_file(*state, "in", b, 4 * MIB));
	put(s, "b", path, &r);
	assert_ok(store_gc(s, &g, &e), e);
	assert_int_equal(g.live, g.chunks);
	get_is(s, *state, "a", a, 4 * MIB);
	assert_ok(store_remove(s, "a", &e), e);
	assert_err(store_remove(s, "a", &e), e, ERR_NOT_FOUND, "nothing is named 'a'");
	assert_ok(store_gc(s, &g, &e), e);
	assert_true(g.after < g.before - MIB);
	get_is(s, *state, "b", b, 4 * MIB);
	assert_ok(store_remove(s, "b", &e), e);
	assert_ok(store_gc(s, &g, &e), e);
	assert_int_equal(g.live, 0);
	assert_int_equal(g.after, 0);
	put(s, "b", path, &r);
	get_is(s, *state, "b", b, 4 * MIB);
}

static void copy_sends_what_is_missing(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s"), *d = fresh_store(*state, "d");
	_cleanup_free_ uint8_t *p = xmalloc(3 * MIB);
	_cleanup_free_ char *path = NULL;
	struct store_put_result r;
	struct store_copy_result c;
	struct error *e = NULL;

	fill(p, 3 * MIB, 7);
	path = make_file(*state, "in", p, 3 * MIB);
	put(s, "x", path, &r);
	assert_ok(store_copy(s, d, NULL, 0, false, &c, &e), e);
	assert_true(c.missing == c.chunks && c.missing > 10);
	get_is(d, *state, "x", p, 3 * MIB);
	assert_err(store_copy(s, d, NULL, 0, false, &c, &e), e, ERR_STATE, "'x' exists");
	assert_ok(store_copy(s, d, NULL, 0, true, &c, &e), e);
	assert_int_equal(c.missing, 0);
}

/* Path of the n-th file (by readdir) in a folder of the store; NULL after the last. */
static char *file_in(const char *dir, const char *sub)
{
	_cleanup_free_ char *d = path_join(dir, sub);
	_cleanup_closedir_ DIR *h = opendir(d);

	assert_non_null(h);
	for (struct dirent *x; (x = readdir(h));)
		if (x->d_name[0] != '.')
			return path_join(d, x->d_name);
	return NULL;
}

/* Flips bits over a whole file: verify sees each one, get gives the right bytes or an error. */
static void flip_all(const char *dir, const char *sub, const uint8_t *p, size_t n, off_t step)
{
	_cleanup_free_ char *path = file_in(dir, sub), *out = path_join(dir, "out");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += at < 1000 ? 1 : step) {
		_cleanup_store_ struct store *s = NULL;
		_cleanup_free_ char *now = NULL;
		struct store_verify_result v;
		struct error *e = NULL;
		uint8_t c, was;
		int lines = 0;

		assert_int_equal(pread(fd, &was, 1, at), 1);
		c = was ^ (uint8_t)(1 << (at % 8));
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
		s = reopen(dir, "s");
		now = file_in(dir, sub);
		assert_ok(verify(s, &lines, &v, &e), e);
		/* an index whose frame is broken has been made anew by open: that is seen by its name */
		if (!(v.bad && lines) && now && !strcmp(now, path))
			fail_msg("%s: a flipped bit at %lld was not found", sub, (long long)at);
		unlink(out);
		if (store_get(s, "x", out, &(struct store_get_opts){ .threads = 1 }, &e) == 0)
			assert_same(out, p, n);
		else
			assert_false(file_exists(out));
		error_clear(&e);
		if (strcmp(now, path)) { /* back to the first one */
			assert_int_equal(rename(now, path), 0);
			close(fd);
			fd = open(path, O_RDWR | O_CLOEXEC);
		} else {
			assert_int_equal(pwrite(fd, &was, 1, at), 1);
		}
	}
}

static void flipped_bits_are_found(void **state)
{
	_cleanup_free_ uint8_t *p = xmalloc(60000);
	_cleanup_free_ char *path = NULL;
	struct store_put_result r;

	fill(p, 60000, 8);
	path = make_file(*state, "in", p, 60000);
	{
		_cleanup_store_ struct store *s = fresh_store(*state, "s");

		put(s, "x", path, &r);
	}
	flip_all(*state, "s/packs", p, 60000, 397);
	flip_all(*state, "s/index", p, 60000, 97);
}

/* No byte is left out of a store with several chunks and two records. */
static void a_flip_in_any_byte_is_found(void **state)
{
	uint8_t p[12000];
	_cleanup_free_ char *path = NULL;
	struct store_put_result r;

	fill(p, sizeof(p), 9);
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] &= 3;
	path = make_file(*state, "in", p, sizeof(p));
	{
		_cleanup_store_ struct store *s = fresh_store(*state, "s");

		put(s, "x", path, &r);
		assert_true(r.chunks > 1);
	}
	flip_all(*state, "s/packs", p, sizeof(p), 1);
	flip_all(*state, "s/index", p, sizeof(p), 1);
}

/* Damage all over a store; a copy of the store has what is needed, and then it does not. */
static void damage_is_mended_from_another_store(void **state)
{
	_cleanup_free_ uint8_t *p = xmalloc(6 * MIB);
	_cleanup_free_ char *path = NULL;
	struct store_put_result r;

	fill(p, 6 * MIB, 13);
	path = make_file(*state, "in", p, 6 * MIB);
	for (int round = 0; round < 4; round++) {
		_cleanup_store_ struct store *s = fresh_store(*state, "s"), *d = fresh_store(*state, "d");
		_cleanup_free_ char *pack = NULL, *index = NULL;
		struct store_verify_opts o = { .threads = 2, .say = quiet };
		struct store_verify_result v;
		struct store_copy_result c;
		struct error *e = NULL;
		int lines = 0, fd;

		o.arg = &lines;
		put(s, "x", path, &r);
		assert_ok(store_copy(s, d, NULL, 0, false, &c, &e), e);
		pack = file_in(*state, "s/packs");
		index = file_in(*state, "s/index");
		if (round == 3) { /* the other has no more than a third of it */
			struct store_gc_result g;

			free(make_file(*state, "in2", p, 2 * MIB));
			assert_ok(store_remove(d, "x", &e), e);
			_cleanup_free_ char *in2 = xasprintf("%s2", path);
			put(d, "part", in2, &r);
			assert_ok(store_gc(d, &g, &e), e);
		}
		store_close(STEAL(s));
		if (round == 2) {
			assert_int_equal(unlink(pack), 0);
		} else {
			fd = open(pack, O_RDWR | O_CLOEXEC);
			for (off_t at = 1000; at < (off_t)(5 * MIB); at += 700000)
				assert_int_equal(pwrite(fd, "damage", 6, at), 6);
			close(fd);
		}
		if (round == 1)
			assert_int_equal(truncate(index, 4000), 0);
		s = reopen(*state, "s");
		assert_ok(store_verify(s, &o, &v, &e), e);
		assert_true(v.bad_names == 1);
		o.repair_from = d;
		assert_ok(store_verify(s, &o, &v, &e), e);
		assert_true(v.mended > 0);
		if (round == 3) {
			assert_true(v.lost > 0 && v.bad == 0 && v.bad_names == 1);
			continue;
		}
		assert_int_equal(v.bad + v.bad_names + v.lost, 0);
		get_is(s, *state, "x", p, 6 * MIB);
		store_close(STEAL(s));
		s = reopen(*state, "s");
		get_is(s, *state, "x", p, 6 * MIB);
	}
}

/* The actions of the sweep, in a process of their own: 0 done, 10 disk full, 11 anything else. */
static int act(const char *what, const char *dir)
{
	_cleanup_free_ char *in = path_join(dir, "in"), *at = path_join(dir, "s"), *to = path_join(dir, "d");
	_cleanup_free_ char *out = path_join(dir, "out");
	struct store_put_result r;
	struct store_gc_result g;
	struct store_copy_result c;
	struct error *e = NULL;
	struct store *s = store_open(at, &e), *d = NULL;
	int rc = s ? 0 : -1;

	if (rc == 0 && !strcmp(what, "put"))
		rc = store_put(s, "new", in, &(struct store_put_opts){ .threads = 2 }, &r, &e);
	else if (rc == 0 && !strcmp(what, "gc"))
		rc = store_gc(s, &g, &e);
	else if (rc == 0 && !strcmp(what, "get"))
		rc = store_get(s, "old", out, &(struct store_get_opts){ .sync = true }, &e);
	else if (rc == 0 && (rc = (d = store_open(to, &e)) ? 0 : -1) == 0)
		rc = store_copy(s, d, NULL, 0, true, &c, &e);
	rc = rc == 0 ? 0 : e->code == ENOSPC ? 10 : 11;
	error_clear(&e);
	store_close(s);
	store_close(d);
	return rc;
}

static int act_with(const char *what, const char *dir, const char *fault)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		setenv("CROFT_FAULT", fault, 1);
		setenv("CROFT_LOG", "error", 1);
		execl("/proc/self/exe", "paths", "--act", what, dir, NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Calls 1 to last; last 0: until there are no more. How many there were. */
static int sweep(const char *dir, const char *what, const char *how, int last)
{
	_cleanup_free_ uint8_t *old = xmalloc(3 * MIB), *new = xmalloc(2 * MIB), *gone = xmalloc(2 * MIB);
	struct error *e = NULL;
	int n;

	fill(old, 3 * MIB, 9);
	fill(gone, 2 * MIB, 11);
	memcpy(gone, old, MIB);
	fill(new, 2 * MIB, 10);
	memcpy(new, gone, 1500000); /* shares with what has no name */
	for (n = 1;; n++) {
		_cleanup_free_ char *fault = xasprintf("any:%d:%s", n, how), *in = path_join(dir, "in"), *out = path_join(dir, "out");
		struct store_put_result r;
		struct store_verify_result v;
		int status, lines = 0;

		unlink(out);
		{
			_cleanup_store_ struct store *s = fresh_store(dir, "s");

			store_close(fresh_store(dir, "d"));
			free(make_file(dir, "in", gone, 2 * MIB));
			put(s, "gone", in, &r);
			free(make_file(dir, "in", old, 3 * MIB));
			put(s, "old", in, &r);
			assert_ok(store_remove(s, "gone", &e), e);
			free(make_file(dir, "in", new, 2 * MIB));
		}
		status = act_with(what, dir, fault);
		{
			_cleanup_store_ struct store *s = reopen(dir, "s"), *d = reopen(dir, "d");
			struct store_copy_result c;

			assert_ok(verify(s, &lines, &v, &e), e);
			assert_int_equal(v.bad + v.bad_names, 0);
			get_is(s, dir, "old", old, 3 * MIB);
			put(s, "new", in, &r);
			get_is(s, dir, "new", new, 2 * MIB);
			assert_ok(store_copy(s, d, NULL, 0, true, &c, &e), e);
			get_is(d, dir, "old", old, 3 * MIB);
		}
		if (n == last || (!last && WIFEXITED(status) && WEXITSTATUS(status) == 0))
			break;
		if (!strcmp(how, "die"))
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		else if (strcmp(what, "gc") || WEXITSTATUS(status)) /* it makes room on a full disk */
			assert_int_equal(WEXITSTATUS(status), 10);
	}
	assert_true(n > 3);
	return n;
}

static void no_fault_loses_anything(void **state)
{
	static const char *const acts[] = { "put", "gc", "copy", "get" };

	for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
		int calls = sweep(*state, acts[i], "die", 0);

		sweep(*state, acts[i], "ENOSPC", calls - 1);
	}
}

/* A pack cut anywhere, its index gone: open takes up the whole records. */
static void torn_packs_are_cut_back(void **state)
{
	_cleanup_free_ uint8_t *p = xmalloc(3 * MIB);
	_cleanup_free_ char *path = NULL, *pack = NULL;
	struct stat st;

	fill(p, 3 * MIB, 12);
	path = make_file(*state, "in", p, 3 * MIB);
	for (int part = 0; part <= 10; part++) {
		_cleanup_store_ struct store *s = fresh_store(*state, "s");
		_cleanup_free_ char *index = NULL;
		struct store_put_result r, again;
		struct store_verify_result v;
		struct error *e = NULL;
		int lines = 0;

		put(s, "x", path, &r);
		assert_ok(store_remove(s, "x", &e), e);
		free(pack);
		pack = file_in(*state, "s/packs");
		index = file_in(*state, "s/index");
		store_close(STEAL(s));
		assert_int_equal(stat(pack, &st), 0);
		assert_int_equal(truncate(pack, st.st_size * part / 10), 0);
		assert_int_equal(unlink(index), 0);
		s = reopen(*state, "s");
		assert_ok(verify(s, &lines, &v, &e), e);
		assert_int_equal(v.bad, 0);
		put(s, "x", path, &again);
		assert_true(part == 10 ? again.fresh == 0 : again.fresh > 0);
		assert_true(part < 5 || again.fresh < r.fresh);
		get_is(s, *state, "x", p, 3 * MIB);
	}
}

/* An index of any length: it is made anew from the packs. */
static void torn_indexes_are_made_anew(void **state)
{
	static const off_t sizes[] = { 0, 1, 39, 40, 48, 1000 };
	_cleanup_free_ uint8_t *p = xmalloc(MIB);
	_cleanup_free_ char *path = NULL;
	struct store_put_result r;

	fill(p, MIB, 14);
	path = make_file(*state, "in", p, MIB);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_store_ struct store *s = fresh_store(*state, "s");
		_cleanup_free_ char *index = NULL;

		put(s, "x", path, &r);
		index = file_in(*state, "s/index");
		store_close(STEAL(s));
		assert_int_equal(truncate(index, sizes[i]), 0);
		s = reopen(*state, "s");
		get_is(s, *state, "x", p, MIB);
		assert_false(file_exists(index));
	}
}

static void two_writers_and_a_gc(void **state)
{
	_cleanup_free_ uint8_t *p = xmalloc(2 * MIB);
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	struct store_verify_result v;
	struct error *e = NULL;
	pid_t pid[3];
	int lines = 0, status;

	for (int k = 0; k < 3; k++) {
		if ((pid[k] = fork()))
			continue;
		for (int i = 0; i < 12; i++) {
			_cleanup_store_ struct store *mine = reopen(*state, "s");
			_cleanup_free_ char *name = xasprintf("w%d-%d", k, i % 3), *in = xasprintf("in%d", k);
			_cleanup_free_ char *path = NULL;
			struct store_put_result r;
			struct store_gc_result g;

			if (k == 2) {
				if (store_gc(mine, &g, &e) < 0)
					_exit(1);
				continue;
			}
			fill(p, 2 * MIB, (uint64_t)(100 + i)); /* both write the same at times */
			fill(p, MIB, (uint64_t)(k * 100 + i));
			path = make_file(*state, in, p, 2 * MIB);
			if (store_put(mine, name, path, &(struct store_put_opts){ .replace = true, .threads = 2 }, &r, &e) < 0)
				_exit(2);
		}
		_exit(0);
	}
	for (int k = 0; k < 3; k++) {
		assert_int_equal(waitpid(pid[k], &status, 0), pid[k]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	store_close(s);
	s = reopen(*state, "s");
	assert_ok(verify(s, &lines, &v, &e), e);
	assert_int_equal(v.bad + v.bad_names, 0);
	for (int k = 0; k < 2; k++)
		for (int i = 9; i < 12; i++) {
			_cleanup_free_ char *name = xasprintf("w%d-%d", k, i % 3);

			fill(p, 2 * MIB, (uint64_t)(100 + i));
			fill(p, MIB, (uint64_t)(k * 100 + i));
			get_is(s, *state, name, p, 2 * MIB);
		}
}

static void many_puts_merge_their_indexes(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	struct store_put_result r;
	struct store_stats st;
	struct error *e = NULL;
	uint8_t p[5000];

	for (int i = 0; i < 60; i++) {
		_cleanup_free_ char *name = xasprintf("m%d", i), *path = NULL;

		fill(p, sizeof(p), (uint64_t)(1000 + i));
		path = make_file(*state, "in", p, sizeof(p));
		put(s, name, path, &r);
	}
	assert_ok(store_stats(s, &st, &e), e);
	assert_true(st.indexes < 20);
	assert_int_equal(st.names, 60);
	fill(p, sizeof(p), 1000);
	get_is(s, *state, "m0", p, sizeof(p));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_whole_and_is_stored_once),
		cmocka_unit_test(a_change_in_the_middle_costs_little),
		cmocka_unit_test(holes_and_zeros_stay_out),
		cmocka_unit_test(gc_removes_what_has_no_name),
		cmocka_unit_test(copy_sends_what_is_missing),
		cmocka_unit_test(flipped_bits_are_found),
		cmocka_unit_test(a_flip_in_any_byte_is_found),
		cmocka_unit_test(damage_is_mended_from_another_store),
		cmocka_unit_test(torn_packs_are_cut_back),
		cmocka_unit_test(torn_indexes_are_made_anew),
		cmocka_unit_test(two_writers_and_a_gc),
		cmocka_unit_test(many_puts_merge_their_indexes),
		cmocka_unit_test(no_fault_loses_anything),
	};

	if (argc == 4)
		return act(argv[2], argv[3]);
	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
