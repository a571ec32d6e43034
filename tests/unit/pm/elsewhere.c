/* SPDX-License-Identifier: Apache-2.0 */
/* Command streams from anywhere, shells that stand for a pm, pms of an inventory, mounts. */
#include "live.h"

#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

static char *write_file(struct live *l, const char *name, int mode, const char *text)
{
	char *path = xasprintf("%s/%s", l->dir, name);
	struct error *e = NULL;

	assert_ok(file_write(path, text, strlen(text), (mode_t)mode, &e), e);
	return path;
}

static void log_says(struct live *l, const char *id, const char *what)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	for (int i = 0; i < 1000; i++, nap(5)) {
		PM_OUT(l, &out, "log", id);
		if (strstr(buf_str(&out), what))
			return;
	}
	fail_msg("%s does not say '%s': %s", id, what, buf_str(&out));
}

/* Shell code with this pm as its standard input or output; its status. */
static int shell(struct live *l, const char *code)
{
	_cleanup_free_ char *line = xasprintf("cd '%s'; PM='%s'; export PMHOME='%s' SHELL=/bin/sh; %s", l->dir, PM_PROGRAM, l->home, code);
	int status = system(line);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void an_init_stream_is_a_unit(void **state)
{
	_cleanup_free_ char *file = NULL, *command = NULL;
	struct live l;

	live_new(&l);
	file = write_file(&l, "in it", 0600, "unit a run=\"sleep 1000\"\nnonsense\nunit b run=\"sleep 1000\" needs=a\nstart b");
	live_start(&l, "--init-stream", file);
	live_until(&l, "b", "state", "RUNNING");
	log_says(&l, "init-stream", "line 2: 'nonsense': no such command");
	live_until(&l, "init-stream", "state", "STOPPED"); /* a refused line is no reason to try again */
	assert_int_equal(PM(&l, "shutdown", "-q"), 0);
	live_wait_gone(l.watcher);
	/* A program that stays and fails: what it said counts at once, and it is tried again. */
	command = xasprintf("!echo unit c run=\\'sleep 1000\\'; echo start c; echo x >>'%s/runs'; sleep 0.2; exit 3", l.dir);
	live_start(&l, "--init-stream", command);
	live_until(&l, "c", "state", "RUNNING");
	log_says(&l, "init-stream", "it failed (status 3)");
	live_until(&l, "init-stream", "restarts", "1");
	live_end(&l);
}

static void a_stream_from_standard_input(void **state)
{
	struct live l;

	live_new(&l);
	/* It is read as it comes: the second line is written when the first has worked. */
	assert_int_equal(shell(&l, "mkfifo f; \"$PM\" main --init-stream - <f & exec 5>f; echo 'unit a run=\"sleep 1000\"' >&5; echo start a >&5; "
				   "for i in $(seq 500); do \"$PM\" status a >/dev/null 2>&1 && break; sleep 0.02; done; "
				   "\"$PM\" status init-stream -q >out || exit 9; echo stop a >&5; "
				   "\"$PM\" wait a -q || exit 8; exec 5>&-; \"$PM\" wait init-stream -q || exit 7; \"$PM\" shutdown -q; wait"),
		0);
	assert_int_equal(shell(&l, "\"$PM\" main --detach --init-stream - 2>/dev/null"), 2);
	l.watcher = 0;
	live_end(&l);
}

static void a_shell_stands_for_a_pm(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *path = NULL;
	struct error *e = NULL;
	struct proc_id id;
	struct live l;

	live_new(&l);
	assert_int_equal(shell(&l, "printf '%s\\n' '\"$PM\" unit s run=\"sleep 1000\"; \"$PM\" start s -q; \"$PM\" list; pwd; exit 7' | "
				   "PM=\"$PM\" \"$PM\" shell >out 2>err"),
		7);
	live_file(&l, "out", &out);
	assert_non_null(strstr(buf_str(&out), "RUNNING"));
	assert_non_null(strstr(buf_str(&out), l.dir));
	/* It has ended with the shell, and so have its units. */
	assert_int_equal(PM(&l, "start", "s"), 4);
	path = xasprintf("%s/pm.pid", l.home);
	assert_ok(proc_id_read(path, &id, &e), e);
	live_wait_gone(id.pid);
	/* Where a pm runs the shell is a guest. */
	live_start(&l, NULL, NULL);
	assert_int_equal(shell(&l, "echo 'exit 5' | \"$PM\" shell"), 5);
	assert_int_equal(PM(&l, "shell", "--", "sh", "-c", "exit 6"), 6);
	assert_int_equal(PM(&l, "start", "s", "-q"), 0);
	live_end(&l);
}

static void pms_of_the_inventory(void **state)
{
	static const char ssh[] = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\n[ \"$2\" = there ] || exit 255\n"
				  "PATH=$(dirname \"$PM\"):$PATH; export PATH PMHOME=\"$THERE\"\nexec sh -c \"$3\"\n";
	_cleanup_free_ char *program = NULL, *quoted = NULL, *bin = NULL, *link = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l, far;
	struct error *e = NULL;

	live_new(&l);
	live_new(&far);
	bin = xasprintf("%s/bin", l.dir);
	link = xasprintf("%s/pm", bin);
	assert_ok(file_mkdirs(bin, 0755, &e), e);
	assert_int_equal(symlink(PM_PROGRAM, link), 0);
	program = write_file(&l, "s s h", 0755, ssh);
	quoted = xasprintf("'%s'", program);
	setenv("PM_SSH", quoted, 1);
	setenv("PM", link, 1);
	setenv("THERE", far.home, 1);
	setenv("XDG_CONFIG_HOME", l.dir, 1);
	live_start(&l, NULL, NULL);
	live_start(&far, NULL, NULL);
	assert_int_equal(PM(&far, "unit", "it's; $(me)", "run=sleep 1000"), 2); /* a name has no blanks */
	assert_int_equal(PM(&far, "unit", "it's;$(me)", "run=sleep 1000"), 0);
	assert_int_equal(PM(&l, "inventory", "add", "far", "there"), 0);
	assert_int_equal(PM(&l, "inventory", "add", "far", "elsewhere"), 4);
	assert_int_equal(PM(&l, "inventory", "add", "a.b", "there"), 2);
	assert_int_equal(PM(&l, "inventory", "add", "near", far.home), 0);
	assert_int_equal(PM(&l, "start", "far.it's;$(me)", "-q"), 0);
	assert_int_equal(PM(&far, "status", "it's;$(me)"), 0);
	assert_int_equal(PM(&l, "status", "far.nobody"), 3);
	assert_int_equal(PM(&l, "stop", "near.it's;$(me)", "-q"), 0);
	assert_int_equal(PM(&l, "status", "far.it's;$(me)"), 4);
	assert_int_equal(PM(&l, "start", "far.x", "near.x"), 2);
	assert_int_equal(PM_OUT(&l, &out, "inventory", "units"), 0);
	assert_non_null(strstr(buf_str(&out), "far  it's;$(me)"));
	assert_int_equal(PM(&l, "inventory", "add", "away", "nowhere"), 0);
	assert_int_equal(PM_OUT(&l, &out, "inventory", "units"), 1);
	assert_non_null(strstr(buf_str(&out), "near  it's;$(me)"));
	assert_int_equal(PM(&l, "inventory", "remove", "away"), 0);
	assert_int_equal(PM(&l, "inventory", "remove", "away"), 3);
	live_end(&far);
	live_end(&l);
}

static void the_environment_is_inherited_when_asked(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l;

	live_new(&l);
	setenv("A_B", "from outside", 1);
	setenv("PM_UNIT", "not this", 1);
	live_start(&l, NULL, NULL);
	unsetenv("PM_UNIT");
	assert_int_equal(PM_OUT(&l, &out, "invoke", "env-inherit=A_B", "stdout=inherit", "--", "env"), 0);
	assert_non_null(strstr(buf_str(&out), "A_B=from outside\n"));
	assert_non_null(strstr(buf_str(&out), "PM_UNIT=invoke."));
	assert_null(strstr(buf_str(&out), "XDG_"));
	assert_int_equal(PM_OUT(&l, &out, "invoke", "stdout=inherit", "--", "env"), 0);
	assert_null(strstr(buf_str(&out), "A_B"));
	live_end(&l);
}

static void mounts(void **state)
{
	_cleanup_free_ char *up = NULL;
	struct live l;

	live_new(&l);
	if (shell(&l, "mkdir m lo && mount -t tmpfs x m && umount m && mke2fs -V 2>/dev/null && [ -e /dev/loop-control ]") != 0) {
		live_end(&l);
		skip_test("needs root, and a kernel with loop devices");
	}
	live_start(&l, NULL, NULL);
	assert_int_equal(shell(&l, "echo low >lo/f; truncate -s 4M fs; mke2fs -q -F -d lo fs; d=$PWD; "
				   "\"$PM\" unit o type=mount mount=\"overlay '$d/t' '$d/lo' '$d/up' '$d/work'\" && \"$PM\" start o -q && "
				   "cat t/f && echo new >t/g && cat up/g && "
				   "\"$PM\" unit i type=mount mount=\"image '$d/i' '$d/fs' ro\" && \"$PM\" start i -q && cat i/f && ! touch i/g 2>/dev/null"),
		0);
	up = xasprintf("mount=image '%s/x' '%s/lo/f'", l.dir, l.dir);
	assert_int_equal(PM(&l, "unit", "bad", "type=mount", up), 0);
	assert_int_equal(PM(&l, "start", "bad", "-q"), 1);
	log_says(&l, "bad", "pm: mount: ");
	assert_int_equal(PM(&l, "stop", "o", "i", "-q"), 0);
	assert_int_equal(shell(&l, "[ ! -e t/f ] && [ ! -e i/f ] && ! losetup -a | grep -F \"$PWD\""), 0);
	live_end(&l);
}

/* A folder with what is mounted in it, a file; names with blanks; where the source is missing, and what somebody else unmounts. */
static void bind_mounts(void **state)
{
	_cleanup_free_ char *bad = NULL;
	struct live l;

	live_new(&l);
	if (shell(&l, "mkdir -p 'ä src/in' && mount -t tmpfs x 'ä src/in'") != 0) {
		live_end(&l);
		skip_test("needs root");
	}
	live_start(&l, NULL, NULL);
	assert_int_equal(shell(&l, "d=$PWD; echo one >'ä src/f'; echo two >'ä src/in/g'; "
				   "\"$PM\" unit dir type=mount mount=\"'$d/ä src' '$d/new/ö to'\" && "
				   "\"$PM\" unit file type=mount mount=\"'$d/ä src/f' '$d/f2'\" needs=dir && \"$PM\" start file -q && "
				   "cat 'new/ö to/f' 'new/ö to/in/g' && [ \"$(cat f2)\" = one ] && echo three >f2 && grep -q three 'ä src/f'"), 0);
	bad = xasprintf("mount='%s/none' '%s/to'", l.dir, l.dir);
	assert_int_equal(PM(&l, "unit", "bad", "type=mount", bad), 0);
	assert_int_equal(PM(&l, "start", "bad", "-q"), 1);
	log_says(&l, "bad", "none on ");
	assert_int_equal(shell(&l, "umount f2"), 0);
	live_until(&l, "file", "state", "FAIL");
	assert_int_equal(PM(&l, "stop", "dir", "-q"), 0);
	assert_int_equal(shell(&l, "[ ! -e 'new/ö to/f' ] && [ -e 'ä src/f' ] && [ -e 'ä src/in/g' ] && umount 'ä src/in'"), 0);
	live_end(&l);
}

/* Ctrl-C and the like at `pm invoke` are the job's; after `pm upgrade` the next command is answered. */
static void signals_of_an_invoked_job(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(shell(&l, "d=$PWD; \"$PM\" invoke -- sh -c \"echo \\$\\$ >'$d/pid'; exec sleep 1000\" & c=$!; "
				   "for i in $(seq 500); do [ -s pid ] && break; sleep 0.02; done; kill -TERM $c; wait $c"), 128 + SIGTERM);
	assert_int_equal(shell(&l, "! kill -0 $(cat pid) 2>/dev/null"), 0);
	assert_int_equal(PM_OUT(&l, &out, "list"), 0);
	assert_null(strstr(buf_str(&out), "invoke."));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(PM(&l, "upgrade"), 0);
		assert_int_equal(PM(&l, "jobs"), 0);
	}
	live_end(&l);
}

/* Taken away behind pm's back: the kernel tells, no check is asked. */
static void somebody_unmounts(void **state)
{
	pid_t machine;
	struct live l;

	live_new(&l);
	if (shell(&l, "mkdir m && mount -t tmpfs x m && umount m") != 0) {
		live_end(&l);
		skip_test("needs root");
	}
	live_start(&l, NULL, NULL);
	assert_int_equal(shell(&l, "d=$PWD; \"$PM\" unit t type=mount mount=\"tmpfs '$d/ä b'\" && "
				   "\"$PM\" unit again type=mount restart=on-failure restart-limit=3 mount=\"tmpfs '$d/c'\" && \"$PM\" start t again -q"), 0);
	nap(50);
	live_until(&l, "t", "state", "RUNNING");
	assert_int_equal(shell(&l, "umount c"), 0);
	live_until(&l, "again", "restarts", "1");
	live_until(&l, "again", "state", "RUNNING");
	assert_int_equal(shell(&l, "mountpoint -q c && umount 'ä b'"), 0);
	live_until(&l, "t", "state", "FAIL");
	/* While nobody looks. */
	machine = live_machine(&l);
	assert_int_equal(kill(l.watcher, SIGSTOP), 0);
	assert_int_equal(kill(machine, SIGKILL), 0);
	assert_int_equal(shell(&l, "umount c"), 0);
	assert_int_equal(kill(l.watcher, SIGCONT), 0);
	while (PM(&l, "jobs", "-q") != 0)
		nap(5);
	live_until(&l, "again", "restarts", "2");
	live_until(&l, "again", "state", "RUNNING");
	assert_int_equal(PM(&l, "stop", "again", "-q"), 0);
	live_until(&l, "again", "state", "STOPPED"); /* our own unmount is no failure */
	assert_int_equal(shell(&l, "! mountpoint -q c"), 0);
	live_end(&l);
}

static void a_link_goes_away(void **state)
{
	_cleanup_free_ char *name = xasprintf("pmt%d", (int)getpid() % 100000), *line = NULL, *unit = NULL, *del = NULL;
	struct live l;

	live_new(&l);
	line = xasprintf("ip link add %s type veth peer name %sp 2>/dev/null", name, name);
	if (shell(&l, line) != 0) {
		live_end(&l);
		skip_test("needs root, iproute2 and a kernel with veth");
	}
	live_start(&l, NULL, NULL);
	unit = xasprintf("\"$PM\" unit n type=network start=true link='lo %s' && \"$PM\" start n -q", name);
	assert_int_equal(shell(&l, unit), 0);
	nap(50);
	live_until(&l, "n", "state", "RUNNING");
	del = xasprintf("ip link del %s", name);
	assert_int_equal(shell(&l, del), 0);
	live_until(&l, "n", "state", "FAIL");
	live_end(&l);
}

/* Software in steps: a root takes many installs, but one set-up of a name at a time. */
static void installs_and_setups(void **state)
{
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(shell(&l, "for v in 1 2; do \"$PM\" unit app-v$v!build type=oneshot start=\"touch '$PWD/built$v'\" && "
				   "\"$PM\" unit app-v$v!install@r.service type=install needs=app-v$v!build start=\"cp '$PWD/built$v' '$PWD/installed$v'\" && "
				   "\"$PM\" unit app-v$v!setup@r.service type=setup needs=app-v$v!install@r.service "
				   "start=\"cp '$PWD/installed$v' '$PWD/conf$v'\" stop=\"rm '$PWD/conf$v'\" && "
				   "\"$PM\" unit app-v$v!run@r.service needs=app-v$v!setup@r.service run='sleep 1000' || exit 9; done"), 0);
	assert_int_equal(PM(&l, "start", "app-v1!run@r.service", "-q"), 0);
	assert_int_equal(shell(&l, "test -e built1 && test -e installed1 && test -e conf1"), 0);
	assert_int_equal(PM(&l, "start", "app-v2!install@r.service", "-q"), 0);
	assert_int_equal(PM(&l, "start", "app-v2!setup@r.service", "-q"), 4);
	/* A new pm knows it too. */
	assert_int_equal(PM(&l, "upgrade", "-q"), 0);
	live_until(&l, "app-v1!setup@r.service", "state", "RUNNING");
	assert_int_equal(PM(&l, "start", "app-v2!setup@r.service", "-q"), 4);
	assert_int_equal(PM(&l, "stop", "app-v1!setup@r.service", "-q"), 0);
	live_until(&l, "app-v1!run@r.service", "state", "STOPPED");
	live_until(&l, "app-v1!install@r.service", "state", "RUNNING");
	assert_int_equal(PM(&l, "start", "app-v2!run@r.service", "-q"), 0);
	assert_int_equal(shell(&l, "test ! -e conf1 && test -e conf2"), 0);
	live_end(&l);
}

/* The clients' command lines as the chapters on pm have them, each once; `pm start` and its like also through the pipe. */
static void the_clients_commands(void **state)
{
	static const struct {
		int status;
		const char *line;
	} lines[] = {
		{ 0, "unit a run='sleep 1000' reload=signal:HUP title=x" }, { 0, "unit b needs=a run='sleep 1000'" },
		{ 0, "unit c reload=signal:HUP run='sh -c \"trap : HUP; while :; do sleep 0.1; done\"'" }, { 0, "unit f run=false" },
		{ 0, "start b" }, { 0, "status a" }, { 0, "restart a" }, { 0, "try-restart a" }, { 0, "try-restart c" }, { 3, "try-restart none" },
		{ 4, "reload c" }, { 0, "try-reload-or-restart c" }, { 4, "status c" }, { 0, "start c" }, { 0, "reload c" },
		{ 0, "reload-or-restart c a" }, { 0, "try-reload-or-restart c a" }, { 0, "status c" }, { 0, "cat a" }, { 0, "cat a title" },
		{ 3, "cat a umask" }, { 0, "set-property a title=y" }, { 2, "set-property a titel=y" }, { 0, "list-dependencies b" },
		{ 0, "start f" }, { 1, "wait f" }, { 0, "reset-failed f" }, { 0, "wait f" }, { 0, "list" }, { 0, "tree" }, { 0, "jobs" },
		{ 0, "log" }, { 0, "keys" }, { 0, "inventory" }, { 3, "invoke -- sh -c 'exit 3'" }, { 0, "kill c" }, { 1, "wait c" },
		{ 0, "stop a b c" }, { 4, "status b" }, { 0, "dispatch --plan plan" }, { 3, "status z" }, { 0, "dispatch plan" }, { 0, "start z" }, { 0, "status z" },
		{ 0, "shell -- true" }, { 0, "upgrade" }, { 0, "remove f" }, { 3, "status f" }, { 2, "strat a" },
	};
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(shell(&l, "echo \"unit z 'run=sleep 1000'\" >plan"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_free_ char *line = xasprintf("exec \"$PM\" %s >said 2>&1 </dev/null", lines[i].line);
		int got = shell(&l, line);

		if (got != lines[i].status) {
			_cleanup_buf_ struct buf said = BUF_INIT;

			live_file(&l, "said", &said);
			fail_msg("pm %s: status %d, not %d: %s", lines[i].line, got, lines[i].status, buf_str(&said));
		}
	}
	assert_int_equal(shell(&l, "echo 'start b' >\"$PMHOME/input\""), 0);
	live_until(&l, "a", "state", "RUNNING");
	live_until(&l, "b", "state", "RUNNING");
	assert_int_equal(shell(&l, "echo 'stop a' >\"$PMHOME/input\""), 0);
	live_until(&l, "a", "state", "STOPPED");
	live_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_init_stream_is_a_unit),
		cmocka_unit_test(a_stream_from_standard_input),
		cmocka_unit_test(a_shell_stands_for_a_pm),
		cmocka_unit_test(pms_of_the_inventory),
		cmocka_unit_test(the_environment_is_inherited_when_asked),
		cmocka_unit_test(mounts),
		cmocka_unit_test(bind_mounts),
		cmocka_unit_test(signals_of_an_invoked_job),
		cmocka_unit_test(somebody_unmounts),
		cmocka_unit_test(a_link_goes_away),
		cmocka_unit_test(installs_and_setups),
		cmocka_unit_test(the_clients_commands),
	};

	return cmocka_run_group_tests_name("pm/elsewhere", tests, NULL, NULL);
}
