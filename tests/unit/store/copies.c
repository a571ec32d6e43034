/* SPDX-License-Identifier: Apache-2.0 */
/* Copies over a line: what is sent, what is left when the other side dies, what a server that lies can do. */
#include "common.h"
#include "store/wire.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

struct line {
	pid_t pid;
	int in, out;
};

/* A server in a process of its own, with a fault or none. */
static struct line serve(const char *fault)
{
	int to[2], from[2];
	struct line l;

	assert_int_equal(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
	l.pid = fork();
	if (l.pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		if (fault)
			setenv("CROFT_FAULT", fault, 1);
		setenv("CROFT_LOG", "error", 1);
		execl("/proc/self/exe", "copies", "--serve", NULL);
		_exit(99);
	}
	close(to[0]);
	close(from[1]);
	l.out = to[1];
	l.in = from[0];
	return l;
}

static int hang_up(struct line *l)
{
	int status;

	close(l->out);
	close(l->in);
	assert_int_equal(waitpid(l->pid, &status, 0), l->pid);
	return status;
}

static int copy(const char *dir, const char *fault, bool push, struct store *s, struct store_copy_result *r, struct error **err)
{
	_cleanup_free_ char *there = path_join(dir, push ? "d" : "s");
	struct line l = serve(fault);
	struct store_peer *p = store_peer_open(l.in, l.out, "there", there, push, err);
	int rc = -1;

	*r = (struct store_copy_result){ 0 };
	if (p)
		rc = push ? store_push(s, p, NULL, 0, true, r, err) : store_pull(p, s, NULL, 0, true, r, err);
	store_peer_close(p);
	hang_up(&l);
	return rc;
}

/* A plain object, a set, and something that both ends have. */
static struct store *source(const char *dir, uint8_t *p, size_t n)
{
	struct store *s = fresh_store(dir, "s");
	_cleanup_free_ char *in = make_file(dir, "in", p, n);
	struct store_part part = { .name = "vars", .data = p + 5, .size = 70000 };
	struct store_put_result r;
	struct error *e = NULL;

	put(s, "x", in, &r);
	assert_ok(store_put_set(s, "set", &part, 1, "i", &(struct store_put_opts){ 0 }, &r, &e), e);
	return s;
}

static void only_what_is_missing_is_sent(void **state)
{
	size_t n = 6 * MIB;
	_cleanup_free_ uint8_t *p = xmalloc(n);
	_cleanup_store_ struct store *s = NULL, *d = NULL;
	_cleanup_free_ char *in = NULL;
	struct store_copy_result c;
	struct store_put_result r;
	struct error *e = NULL;

	fill(p, n, 31);
	memset(p + MIB, 0, MIB);
	s = source(*state, p, n);
	for (int push = 0; push < 2; push++) {
		store_close(d);
		d = fresh_store(*state, "d");
		in = make_file(*state, "half", p, 3 * MIB);
		put(d, "half", in, &r);
		assert_ok(copy(*state, NULL, push, push ? s : d, &c, &e), e);
		assert_true(c.missing > 100 && c.bytes > 2 * MIB && c.bytes < 4 * MIB);
		store_close(d);
		d = reopen(*state, "d");
		get_is(d, *state, "x", p, n);
		get_is(d, *state, "set/vars", p + 5, 70000);
		assert_ok(copy(*state, NULL, push, push ? s : d, &c, &e), e);
		assert_int_equal(c.missing, 0);
		free(STEAL(in));
	}
}

static void an_interrupted_copy_goes_on(void **state)
{
	size_t n = 4 * MIB;
	_cleanup_free_ uint8_t *p = xmalloc(n);
	_cleanup_store_ struct store *s = NULL;
	struct store_copy_result c, whole;
	struct error *e = NULL;

	fill(p, n, 32);
	s = source(*state, p, n);
	store_close(fresh_store(*state, "d"));
	assert_ok(copy(*state, NULL, true, s, &whole, &e), e);
	for (int push = 0; push < 2; push++) {
		bool less = false;

		for (int at = 1;; at += at < 8 ? 1 : 5) {
			_cleanup_free_ char *fault = xasprintf("any:%d:%s", at, at % 2 ? "die" : "ENOSPC");
			_cleanup_store_ struct store *d = fresh_store(*state, "d");
			int rc;

			rc = copy(*state, fault, push, push ? s : d, &c, &e);
			error_clear(&e);
			if (rc == 0)
				break;
			assert_true(at < 1000);
			store_close(STEAL(d));
			d = reopen(*state, "d");
			assert_ok(copy(*state, NULL, push, push ? s : d, &c, &e), e);
			less |= c.missing < whole.missing;
			store_close(STEAL(d));
			d = reopen(*state, "d");
			get_is(d, *state, "x", p, n);
		}
		assert_true(less);
	}
}

static void errors_cross_the_line(void **state)
{
	_cleanup_store_ struct store *d = fresh_store(*state, "d");
	_cleanup_free_ char *none = path_join(*state, "none");
	const char *name = "nobody";
	struct store_copy_result c;
	struct error *e = NULL;
	struct line l = serve(NULL);
	struct store_peer *p = store_peer_open(l.in, l.out, "there", none, false, &e);

	assert_null(p);
	assert_err(-1, e, ERR_NOT_FOUND, "there: ");
	assert_int_equal(WEXITSTATUS(hang_up(&l)), 1);
	l = serve(NULL);
	store_close(fresh_store(*state, "s"));
	free(none);
	none = path_join(*state, "s");
	p = store_peer_open(l.in, l.out, "there", none, false, &e);
	assert_non_null(p);
	assert_err(store_pull(p, d, &name, 1, false, &c, &e), e, ERR_NOT_FOUND, "nothing is named 'nobody'");
	store_peer_close(p);
	assert_int_equal(hang_up(&l), 0);
}

/* A server that changes a byte of what it sends, at each place in turn. */
static void lie(const char *store, int at)
{
	int to[2], from[2];
	struct pollfd pfd = { .events = POLLIN };
	uint8_t b[65536];
	ssize_t n;

	assert_int_equal(pipe(from), 0);
	to[0] = 0;
	to[1] = 1;
	if (fork() == 0) {
		struct error *e = NULL;

		close(1);
		_exit(store_serve(to[0], from[1], store, false, &e) != 0);
	}
	close(from[1]);
	close(0);
	pfd.fd = from[0];
	/* With a wrong length each side waits for the other: hang up then. */
	for (; poll(&pfd, 1, 300) == 1 && (n = read(from[0], b, sizeof(b))) > 0; at -= (int)n) {
		if (at >= 0 && at < n)
			b[at] ^= 1u << (at % 8);
		if (write(1, b, (size_t)n) != n)
			break;
	}
	_exit(0);
}

static void a_lying_server_stores_nothing_wrong(void **state)
{
	size_t n = 40000;
	_cleanup_free_ uint8_t *p = xmalloc(n);
	_cleanup_free_ char *in = NULL, *there = path_join(*state, "s");
	struct store_put_result r;
	int wrong = 0;

	fill(p, n, 33);
	in = make_file(*state, "in", p, n);
	{
		_cleanup_store_ struct store *s = fresh_store(*state, "s");

		put(s, "x", in, &r);
	}
	for (int at = 0; at < 30000; at += at < 400 ? 13 : 2003) {
		_cleanup_store_ struct store *d = fresh_store(*state, "d");
		struct store_copy_result c;
		struct error *e = NULL;
		int to[2], from[2], status, rc = -1;
		struct store_peer *peer;
		pid_t pid;

		assert_int_equal(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0) {
			dup2(to[0], 0);
			dup2(from[1], 1);
			close(to[0]);
			close(to[1]);
			close(from[0]);
			close(from[1]);
			lie(there, at);
		}
		close(to[0]);
		close(from[1]);
		peer = store_peer_open(from[0], to[1], "there", there, false, &e);
		if (peer)
			rc = store_pull(peer, d, NULL, 0, false, &c, &e);
		store_peer_close(peer);
		close(to[1]);
		close(from[0]);
		waitpid(pid, &status, 0);
		if (rc == 0 && store_size(d, "x", &(uint64_t){ 0 }, &e) == 0)
			get_is(d, *state, "x", p, n); /* the byte did not matter: a time, a message */
		wrong += rc != 0;
		error_clear(&e);
	}
	assert_true(wrong > 20);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_missing_is_sent),
		cmocka_unit_test(an_interrupted_copy_goes_on),
		cmocka_unit_test(errors_cross_the_line),
		cmocka_unit_test(a_lying_server_stores_nothing_wrong),
	};
	struct error *e = NULL;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 2)
		return store_serve(0, 1, "/nonexistent", false, &e);
	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
