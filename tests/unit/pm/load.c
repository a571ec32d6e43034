/* SPDX-License-Identifier: Apache-2.0 */
/* Homes as pm finds them when it begins: its own after a kill -9, and those that people have written into. */
#include "live.h"

static void put(struct live *l, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", l->home, name), *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct error *e = NULL;

	assert_ok(file_mkdirs(dir, 0700, &e), e);
	assert_ok(file_write(path, text, strlen(text), 0600, &e), e);
}

static void of_this_boot(struct live *l)
{
	_cleanup_buf_ struct buf boot = BUF_INIT;
	struct error *e = NULL;

	assert_ok(file_read("/proc/sys/kernel/random/boot_id", 64, &boot, &e), e);
	put(l, "boot", boot.data);
}

static void units_written_by_hand(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT, text = BUF_INIT;
	struct live l;

	live_new(&l);
	/* Longer than one piece of reading; an escaped newline and backslash; a name that is not plain. */
	buf_adds(&text, "run=sleep 1000\ntitle=");
	for (int i = 0; i < 2000; i++)
		buf_adds(&text, "lång\\n\\\\x");
	buf_adds(&text, "the end\n");
	put(&l, "units/l%C3%A5ng/parameter", text.data);
	put(&l, "units/b/parameter", "needs=c\nrun=sleep 1000\n");
	put(&l, "units/c/parameter", "needs=d\nrun=sleep 1000\n");
	put(&l, "units/d/parameter", "needs=e\nrun=sleep 1000\n");
	put(&l, "units/e/parameter", "run=sleep 1000\n");
	put(&l, "units/torn/parameter", "run=sleep 10");
	put(&l, "units/nokey/parameter", "run=sleep 1000\n=x\n");
	put(&l, "units/%ZZ/parameter", "run=sleep 1000\n");
	live_start(&l, NULL, NULL);
	assert_int_equal(PM_OUT(&l, &out, "cat", "lång"), 0);
	assert_non_null(strstr(buf_str(&out), "lång\\n\\\\xthe end"));
	assert_int_equal(PM(&l, "cat", "torn"), 3);
	assert_int_equal(PM(&l, "cat", "nokey"), 3);
	/* The order of what was read is there: a cycle is seen, and starts wait for one another. */
	assert_int_equal(PM(&l, "set-property", "e", "needs=b"), 2);
	assert_int_equal(PM(&l, "start", "b", "-q"), 0);
	live_until(&l, "e", "state", "RUNNING");
	assert_true(live_file(&l, "höme of pm/log", &out) > 0);
	assert_non_null(strstr(out.data, "units/torn/parameter: line 1 is cut off"));
	assert_non_null(strstr(out.data, "units/nokey/parameter: line 2 is not KEY=VALUE"));
	assert_non_null(strstr(out.data, "units/%ZZ: not the name of a unit"));
	assert_null(strstr(out.data, "cycle"));
	live_end(&l);
}

/* Only the one unit that closes it is left out. */
static void a_cycle_in_the_files(void **state)
{
	static const char *const ids[] = { "a", "b", "c", "aside" };
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l;
	int there = 0;

	live_new(&l);
	put(&l, "units/a/parameter", "needs=b\nrun=sleep 1000\n");
	put(&l, "units/b/parameter", "needs=c\nrun=sleep 1000\n");
	put(&l, "units/c/parameter", "needs=a\nrun=sleep 1000\n");
	put(&l, "units/aside/parameter", "after=a\nrun=sleep 1000\n");
	live_start(&l, NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		there += PM_OUT(&l, NULL, "cat", ids[i]) == 0;
	assert_int_equal(there, 3);
	assert_int_equal(PM(&l, "start", "aside", "-q"), 0);
	live_file(&l, "höme of pm/log", &out);
	assert_non_null(strstr(buf_str(&out), "this would be a cycle of dependencies: "));
	live_end(&l);
}

/* The last complete line counts, wherever it is; after a reboot none does. */
static void states_on_disk(void **state)
{
	static const char line[] = "2026-01-02T03:04:05.006Z\tSTOPPED\tdown\t0\t0\tstopped\n";
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct live l;

	for (int boot = 0; boot < 2; boot++) {
		live_new(&l);
		buf_clear(&text);
		for (int i = 0; i < 400; i++)
			buf_adds(&text, line);
		buf_adds(&text, "2026-01-02T03:04:05.006Z\tFAIL\tdown\t0\t7\texit 1\n");
		put(&l, "units/long/parameter", "run=sleep 1000\n");
		put(&l, "units/long/state", text.data);
		put(&l, "units/torn/parameter", "run=sleep 1000\n");
		put(&l, "units/torn/state", "2026-01-02T03:04:05.006Z\tFAIL\tdown\t0\t5\texit 1\n2026-01-02T03:04:06.000Z\tSTOP");
		put(&l, "units/empty/parameter", "run=sleep 1000\n");
		put(&l, "units/empty/state", "\n");
		if (boot == 0)
			of_this_boot(&l);
		else
			put(&l, "boot", "00000000-0000-0000-0000-000000000000\n");
		live_start(&l, NULL, NULL);
		live_until(&l, "long", "state", boot ? "STOPPED" : "FAIL");
		live_until(&l, "long", "restarts", boot ? "0" : "7");
		live_until(&l, "torn", "state", boot ? "STOPPED" : "FAIL");
		live_until(&l, "empty", "state", "STOPPED");
		live_end(&l);
	}
}

/* Units of type socket are sockets for the next machine too. */
static void sockets_are_taken_back(void **state)
{
	_cleanup_free_ char *path = NULL, *listen_key = NULL;
	struct error *e = NULL;
	struct live l;
	pid_t machine;
	int fd;

	live_new(&l);
	live_start(&l, NULL, NULL);
	path = xasprintf("%s/s", l.dir);
	listen_key = xasprintf("listen=%s", path);
	assert_int_equal(PM(&l, "unit", "server", "run=sh -c 'test \"$LISTEN_FDS\" = 1 && test -S /dev/fd/3 && exec sleep 1000'"), 0);
	assert_int_equal(PM(&l, "unit", "door", "type=socket", listen_key, "unit=server"), 0);
	assert_int_equal(PM(&l, "start", "door", "-q"), 0);
	machine = live_machine(&l);
	assert_int_equal(kill(machine, SIGKILL), 0);
	while (live_machine(&l) == machine)
		nap(5);
	while (PM(&l, "jobs", "-q") != 0)
		nap(5);
	fd = unix_connect(path, &e);
	assert_true(fd >= 0);
	live_until(&l, "server", "state", "RUNNING");
	nap(50); /* it looks for its socket itself */
	live_until(&l, "server", "state", "RUNNING");
	close(fd);
	live_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_written_by_hand),
		cmocka_unit_test(a_cycle_in_the_files),
		cmocka_unit_test(states_on_disk),
		cmocka_unit_test(sockets_are_taken_back),
	};

	return cmocka_run_group_tests_name("pm/load", tests, NULL, NULL);
}
