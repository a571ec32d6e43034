/* SPDX-License-Identifier: Apache-2.0 */
/* A day of pm's life within a minute, and a wall clock that jumps: by a pm whose clocks are ours (clockhook.c). */
#include "live.h"

#define SPEED 2880 /* a day in half a minute */
#define DAY_MS (24 * 3600 * 1000 / SPEED)

static int lines_of(struct live *l, const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int n = 0;

	live_file(l, name, &b);
	for (size_t i = 0; i < b.len; i++)
		n += b.data[i] == '\n';
	return n;
}

static long size_of(struct live *l, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", l->home, name);
	struct stat st;

	return stat(path, &st) == 0 ? (long)st.st_size : 0;
}

/* A unit that leaves a line for each start, and then runs this. */
static void unit(struct live *l, const char *id, const char *then, const char *more, const char *still_more)
{
	_cleanup_free_ char *run = xasprintf("run=sh -c 'echo >>\"%s/%s.starts\"; %s'", l->dir, id, then);

	assert_int_equal(PM(l, "unit", id, run, more, still_more, "start-timeout=12h"), 0);
}

static void a_day_in_a_minute(void **state)
{
	struct live l;
	pid_t m, still;
	long before;
	int minutes;

	live_new(&l);
	setenv("PM_CLOCK_SPEED", "2880", 1);
	live_start(&l, NULL, NULL);
	unsetenv("PM_CLOCK_SPEED");
	unit(&l, "still", "exec sleep 100000", "restart=always", "title=long");
	unit(&l, "hourly", "exit 0", "title=short", "restart=never");
	assert_int_equal(PM(&l, "unit", "clock", "type=timer", "every=10min", "unit=hourly"), 0);
	/* It fails at once, each time: delays of a quarter, a half and then an hour. */
	unit(&l, "weak", "exit 1", "restart=on-failure", "restart-delay=15min");
	assert_int_equal(PM(&l, "set-property", "weak", "restart-backoff=30min", "restart-max-delay=1h",
		"restart-reset=12h"), 0);
	unit(&l, "forgotten", "exit 1", "restart=never", "fail-keep=20h");
	assert_int_equal(PM(&l, "start", "still", "clock", "-q"), 0);
	PM(&l, "start", "weak", "forgotten", "-q", "--no-wait");
	live_until(&l, "forgotten", "state", "FAIL");
	still = live_pid(&l, "still");
	m = live_machine(&l);
	nap(DAY_MS / 12);
	before = live_rss_kb(m);
	nap(DAY_MS - DAY_MS / 12);
	/* Late by what a start takes here, which is minutes there; never early. */
	minutes = lines_of(&l, "hourly.starts");
	print_message("every ten minutes of a day: %d starts; failing: %d\n", minutes, lines_of(&l, "weak.starts"));
	assert_in_range(minutes, 72, 150);
	assert_in_range(lines_of(&l, "weak.starts"), 12, 30);
	live_until(&l, "forgotten", "state", "STOPPED"); /* after twenty hours, not before */
	live_until(&l, "still", "state", "RUNNING");
	assert_int_equal(live_pid(&l, "still"), still);
	assert_int_equal(lines_of(&l, "still.starts"), 1);
	assert_int_equal(lines_of(&l, "forgotten.starts"), 1);
	assert_int_equal(live_machine(&l), m);
	if (live_rss_kb(m) > before + LIVE_GROWTH_KB(128))
		fail_msg("grew from %ld to %ld KiB", before, live_rss_kb(m));
	assert_true(size_of(&l, "units/hourly/state") < 64 * 1024);
	live_end(&l);
}

static void set_clock(const char *path, const char *seconds)
{
	struct error *e = NULL;

	assert_ok(file_write(path, seconds, strlen(seconds), 0600, &e), e);
}

/* Years forth and back, between and during everything: no unit notices. */
static void the_wall_clock_jumps(void **state)
{
	static const char *const jumps[] = { "-1700000000", "4000000000", "0", "-86400", "315360000", "1" };
	_cleanup_free_ char *jump = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l;
	pid_t still, now, m;

	live_new(&l);
	jump = xasprintf("%s/jump", l.dir);
	set_clock(jump, "0");
	setenv("PM_CLOCK_JUMP", jump, 1);
	live_start(&l, NULL, NULL);
	unit(&l, "still", "echo here; exec sleep 100000", "restart=always", "restart-delay=50ms");
	unit(&l, "job", "exit 0", "title=short", "restart=never");
	assert_int_equal(PM(&l, "unit", "clock", "type=timer", "every=100ms", "unit=job"), 0);
	assert_int_equal(PM(&l, "start", "still", "clock", "-q"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		int before = lines_of(&l, "job.starts");
		_cleanup_free_ char *age = NULL;

		still = live_pid(&l, "still");
		set_clock(jump, jumps[i]);
		for (int k = 0; lines_of(&l, "job.starts") < before + 2; k++, nap(10))
			if (k > 1000)
				fail_msg("jump by %s s: the timer stands still", jumps[i]);
		assert_true(lines_of(&l, "job.starts") < before + 600); /* nor does it make up for years */
		age = live_field(&l, "still", "seconds");
		assert_in_range(atol(age), 0, 600);
		assert_int_equal(live_pid(&l, "still"), still);
		/* Restarts, and a new machine, which knows what there is by files with these times. */
		kill(still, SIGKILL);
		for (now = still; now <= 0 || now == still; now = live_pid(&l, "still"))
			nap(5);
		if (i % 2)
			continue;
		still = now;
		m = live_machine(&l);
		kill(m, SIGKILL);
		while (live_machine(&l) == m)
			nap(5);
		while (PM(&l, "jobs", "-q") != 0)
			nap(5);
		assert_int_equal(live_pid(&l, "still"), still);
	}
	/* The log tells the time that it was: 1973, 2153. */
	assert_int_equal(PM_OUT(&l, &out, "log", "still", "-n", "100"), 0);
	assert_non_null(strstr(buf_str(&out), "197"));
	assert_non_null(strstr(buf_str(&out), "215"));
	unsetenv("PM_CLOCK_JUMP");
	live_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_day_in_a_minute),
		cmocka_unit_test(the_wall_clock_jumps),
	};

	return cmocka_run_group_tests_name("pm/clock", tests, NULL, NULL);
}
