/* SPDX-License-Identifier: Apache-2.0 */
/* Large numbers, and a home that cannot be written. */
#include "live.h"

#include <sys/mount.h>
#include <sys/socket.h>

static int count(struct live *l, const char *state)
{
	_cleanup_free_ char *want = xasprintf("\"state\": \"%s\"", state);
	_cleanup_buf_ struct buf out = BUF_INIT;
	int n = 0;

	assert_int_equal(PM_OUT(l, &out, "list", "--format", "json"), 0);
	for (const char *p = out.data; (p = strstr(p, want)); p++)
		n++;
	return n;
}

/* The stream of commands through the FIFO. */
static void feed(struct live *l, const struct buf *lines)
{
	_cleanup_free_ char *path = xasprintf("%s/input", l->home);
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	for (size_t at = 0; at < lines->len;) {
		ssize_t n = write(fd, lines->data + at, lines->len - at);

		assert_true(n > 0 || errno == EINTR);
		if (n > 0)
			at += (size_t)n;
	}
	close(fd);
}

/* All that was fed so far has been read. */
static void drained(struct live *l)
{
	_cleanup_buf_ struct buf line = BUF_INIT;

	buf_adds(&line, "unit drained run=true\n");
	feed(l, &line);
	live_until(l, "drained", "state", "STOPPED");
	assert_int_equal(PM(l, "remove", "drained"), 0);
}

static void five_thousand_fail_at_once(void **state)
{
	_cleanup_buf_ struct buf lines = BUF_INIT;
	struct live l;
	pid_t m;

	live_new(&l);
	live_start(&l, NULL, NULL);
	/* One gate that all are bound to, and that never opens: they all fail in one turn; then as many processes that cannot be. */
	buf_adds(&lines, "unit gate run=false ready=alive:10s\n");
	for (int i = 0; i < 2500; i++)
		buf_addf(&lines, "unit g%d run=true binds-to=gate\nunit p%d run=/no/such/program \n", i, i);
	feed(&l, &lines);
	m = live_machine(&l);
	buf_clear(&lines);
	for (int i = 0; i < 2500; i++)
		buf_addf(&lines, "start p%d g%d\n", i, i);
	feed(&l, &lines);
	live_until(&l, "p2499", "state", "STARTING_FAIL");
	for (int i = 0; count(&l, "STARTING_FAIL") != 2501 || count(&l, "STOPPED") != 2500; i++, nap(50))
		if (i > 1000)
			fail_msg("%d failed, %d stopped", count(&l, "STARTING_FAIL"), count(&l, "STOPPED"));
	assert_int_equal(live_machine(&l), m); /* the same: it has not died of it */
	live_end(&l);
}

static void hundred_thousand_commands(void **state)
{
	_cleanup_buf_ struct buf lines = BUF_INIT;
	struct live l;
	long before;
	pid_t m;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "gate", "type=volume", "start=true"), 0);
	assert_int_equal(PM(&l, "unit", "a", "run=sleep 1000", "needs=never"), 0);
	m = live_machine(&l);
	for (int i = 0; i < 10000; i++)
		buf_adds(&lines, "start a\nstop a\n");
	feed(&l, &lines);
	drained(&l);
	before = live_rss_kb(m);
	for (int i = 0; i < 4; i++)
		feed(&l, &lines);
	drained(&l);
	live_until(&l, "a", "state", "STOPPED");
	if (live_rss_kb(m) > before + LIVE_GROWTH_KB(64))
		fail_msg("grew from %ld to %ld KiB", before, live_rss_kb(m));
	assert_int_equal(live_machine(&l), m);
	live_end(&l);
}

/* Commands to a process that must come and go for each. */
static void start_and_stop_wildly(void **state)
{
	_cleanup_buf_ struct buf lines = BUF_INIT;
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "a", "run=sleep 1000"), 0);
	for (int i = 0; i < 2000; i++)
		buf_adds(&lines, "start a\nstop a\nrestart a\nkill a HUP\n");
	feed(&l, &lines);
	drained(&l);
	assert_int_equal(PM(&l, "start", "a", "-q"), 0);
	assert_int_equal(PM(&l, "stop", "a", "-q"), 0);
	live_until(&l, "a", "state", "STOPPED");
	live_end(&l);
}

/* A client that asks and never reads. */
static void deaf_client(void **state)
{
	_cleanup_free_ char *path = NULL;
	struct error *e = NULL;
	struct live l;
	int fd;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "a", "run=sleep 1000"), 0);
	path = xasprintf("%s/socket", l.home);
	fd = unix_connect(path, &e);
	assert_true(fd >= 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 100000; i++)
		if (send(fd, "list\n", 5, MSG_NOSIGNAL) < 0)
			break;
	assert_int_equal(PM(&l, "start", "a", "-q"), 0);
	close(fd);
	live_end(&l);
}

/* needs the right to mount; what does not have it skips */
static bool tiny_home(struct live *l)
{
	assert_int_equal(mkdir(l->home, 0700), 0);
	return mount("tmpfs", l->home, "tmpfs", 0, "size=256k") == 0;
}

static void full_disk(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *fill = NULL, *b_dir = NULL;
	char block[4096] = "";
	struct live l;
	pid_t first;
	int fd;

	live_new(&l);
	if (!tiny_home(&l)) {
		live_end(&l);
		skip_test("needs a small file system of its own");
	}
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "a", "run=sleep 1000", "restart=always"), 0);
	assert_int_equal(PM(&l, "start", "a", "-q"), 0);
	first = live_pid(&l, "a");
	fill = xasprintf("%s/fill", l.home);
	b_dir = xasprintf("%s/units/b", l.home);
	fd = open(fill, O_WRONLY | O_CREAT, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	/* Supervised all the same; what is asked for and cannot be kept is said. */
	kill(first, SIGKILL);
	live_until(&l, "a", "restarts", "1");
	live_until(&l, "a", "state", "RUNNING");
	assert_int_equal(PM(&l, "unit", "b", "run=sleep 1000"), 1);
	/* And has changed nothing: neither in memory nor on disk. */
	assert_int_equal(PM(&l, "status", "b"), 3);
	assert_false(file_exists(b_dir));
	assert_int_equal(PM(&l, "set-property", "a", "restart=never"), 1);
	assert_int_equal(PM_OUT(&l, &out, "cat", "a", "restart"), 0);
	assert_string_equal(buf_str(&out), "restart=always\n");
	/* Even pm's death loses nothing: the watcher knows. */
	first = live_pid(&l, "a");
	kill(live_machine(&l), SIGKILL);
	while (PM(&l, "jobs", "-q") != 0)
		nap(10);
	live_until(&l, "a", "state", "RUNNING");
	assert_int_equal(live_pid(&l, "a"), first);
	unlink(fill);
	assert_int_equal(PM(&l, "unit", "b", "run=sleep 1000"), 0);
	assert_int_equal(PM(&l, "restart", "a", "-q"), 0);
	PM_OUT(&l, &out, "log");
	PM(&l, "shutdown", "-q");
	live_wait_gone(l.watcher);
	l.watcher = 0;
	umount2(l.home, MNT_DETACH);
	live_end(&l);
}

static void read_only_home(void **state)
{
	struct live l;
	pid_t first;

	live_new(&l);
	if (!tiny_home(&l)) {
		live_end(&l);
		skip_test("needs a small file system of its own");
	}
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "a", "run=sleep 1000", "restart=always"), 0);
	assert_int_equal(PM(&l, "start", "a", "-q"), 0);
	first = live_pid(&l, "a");
	assert_int_equal(mount(NULL, l.home, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	kill(first, SIGKILL);
	live_until(&l, "a", "restarts", "1");
	live_until(&l, "a", "state", "RUNNING");
	assert_int_equal(PM(&l, "stop", "a", "-q"), 0);
	mount(NULL, l.home, NULL, MS_REMOUNT, NULL);
	PM(&l, "shutdown", "-q");
	live_wait_gone(l.watcher);
	l.watcher = 0;
	umount2(l.home, MNT_DETACH);
	live_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(five_thousand_fail_at_once),
		cmocka_unit_test(hundred_thousand_commands),
		cmocka_unit_test(start_and_stop_wildly),
		cmocka_unit_test(deaf_client),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(read_only_home),
	};

	return cmocka_run_group_tests_name("pm/many", tests, NULL, NULL);
}
