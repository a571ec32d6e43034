/* SPDX-License-Identifier: Apache-2.0 */
/* Syncs between two folders of this computer: the real guest program as a process, the real client against it. */
#include "../test.h"
#include "base/proc.h"
#include "guest/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

struct fixture {
	char *dir, *src, *dst;
	struct proc guest;
	struct agent *a;
	struct buf memory;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	_cleanup_free_ char *sock = NULL;
	struct error *e = NULL;
	void *dir;

	*state = f;
	if (test_dir_setup(&dir) < 0)
		return -1;
	f->dir = dir;
	f->src = xasprintf("%s/src", f->dir);
	f->dst = xasprintf("%s/there/opt/dst", f->dir);
	sock = xasprintf("%s/port", f->dir);
	const char *argv[] = { GUEST_PROGRAM, "--port", sock, NULL };
	struct proc_opts o = { .argv = argv, .err = PROC_INHERIT, .die_with_us = true };
	if (proc_spawn(&o, &f->guest, &e) < 0)
		return -1;
	for (int i = 0; i < 1000 && !file_exists(sock); i++)
		poll(NULL, 0, 5);
	f->a = agent_connect(sock, 10000, &e);
	return f->a ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;
	struct error *e = NULL;
	int status = 1, r;

	agent_free(f->a);
	if (f->guest.pid > 0)
		kill(f->guest.pid, SIGTERM);
	r = proc_wait(&f->guest, 20000, &status, &e);
	error_clear(&e);
	proc_release(&f->guest);
	buf_free(&f->memory);
	free(f->src);
	free(f->dst);
	free(f);
	test_dir_teardown(&dir);
	return r < 0 || status != 0 ? -1 : 0;
}

/* A script with $S the source and $D the target; must succeed. */
static void sh(struct fixture *f, const char *script)
{
	_cleanup_free_ char *all = xasprintf("set -e; cd '%s'; S=src D=there/opt/dst; %s", f->dir, script);
	const char *argv[] = { "bash", "-c", all, NULL };
	struct error *e = NULL;

	assert_ok(proc_run(argv, 20000, NULL, NULL, &e), e);
}

static uint64_t sync_now(struct fixture *f, bool delete, const char *const *keep)
{
	struct agent_sync o = { .delete = delete, .keep = keep, .memory = &f->memory };
	_cleanup_free_ char *owner = xasprintf("%u:%u", getuid(), getgid());
	struct error *e = NULL;

	o.owner = owner;
	assert_ok(agent_sync(f->a, f->src, f->dst, &o, &e), e);
	return o.sent;
}

static void only_changes_are_sent(void **state)
{
	struct fixture *f = *state;

	sh(f, "mkdir -p \"$S/a dir/ü\"; echo 1 >\"$S/a dir/ü/one\"; echo 2 >$S/two; ln -s two $S/link; chmod 750 $S/two; mkdir $S/empty");
	assert_int_equal(sync_now(f, false, NULL), 2);
	sh(f, "diff -r --no-dereference $S $D; [ $(stat -c %a $D/two) = 750 ]; [ $(readlink $D/link) = two ]; [ -d $D/empty ]");
	assert_int_equal(sync_now(f, false, NULL), 0);
	sh(f, "echo 3 >$S/three; rm $S/link; ln -s three $S/link");
	assert_int_equal(sync_now(f, false, NULL), 1);
	sh(f, "diff -r --no-dereference $S $D; [ $(ls -A $(dirname $D)) = dst ]");
}

/* Equal size and time prove nothing; the target's own state counts too. */
static void equal_size_and_time(void **state)
{
	struct fixture *f = *state;

	sh(f, "echo x >$S/two; touch -d @1000 $S/two");
	assert_int_equal(sync_now(f, false, NULL), 1);
	sh(f, "echo y >$S/two; touch -d @1000 $S/two");
	assert_int_equal(sync_now(f, false, NULL), 1);
	sh(f, "cp $S/two $S/again; mv $S/again $S/two"); /* written anew with the same bytes */
	assert_int_equal(sync_now(f, false, NULL), 0);
	sh(f, "grep -q y $D/two; echo z >$D/two; touch -d @1000 $D/two");
	assert_int_equal(sync_now(f, false, NULL), 1);
	sh(f, "grep -q y $D/two");
}

static void what_only_the_target_has(void **state)
{
	static const char *const keep[] = { "data/", "etc/own.conf", NULL };
	struct fixture *f = *state;

	sh(f, "mkdir -p $D/data/deep $D/etc $D/junk; echo d >$D/data/deep/f; echo o >$D/etc/own.conf; echo j >$D/etc/junk; touch $D/junk/x;"
	      "touch -d @5 $D/data/deep; echo new >$S/new");
	assert_int_equal(sync_now(f, false, NULL), 1);
	sh(f, "[ -f $D/junk/x ]; [ -f $D/etc/junk ]; [ $(stat -c %Y $D/data/deep) = 5 ]; [ -f $D/new ]");
	assert_int_equal(sync_now(f, true, keep), 0);
	sh(f, "[ ! -e $D/junk ]; [ ! -e $D/etc/junk ]; grep -q d $D/data/deep/f; grep -q o $D/etc/own.conf; [ $(stat -c %Y $D/data/deep) = 5 ]");
	sh(f, "rm $S/new");
	assert_int_equal(sync_now(f, true, keep), 0);
	sh(f, "[ ! -e $D/new ]; rm -r $D/data $D/etc; diff -r --no-dereference $S $D");
}

/* A program that has a file of the target open goes on with the same file. */
static void open_files_stay(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *log = xasprintf("%s/app.log", f->dst);
	_cleanup_close_ int fd = open(log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	sh(f, "echo more >$S/more; mkdir $S/later");
	assert_int_equal(sync_now(f, false, NULL), 1);
	assert_int_equal(write(fd, "still\n", 6), 6);
	sh(f, "grep -q still $D/app.log; rm $D/app.log");
}

/* A process that stands in the folder is not left behind in the old one. */
static void somebody_stands_in_it(void **state)
{
	struct fixture *f = *state;
	const char *argv[] = { "sh", "-c", "read x; cat fresh", NULL };
	struct proc_opts o = { .argv = argv, .cwd = f->dst, .in = PROC_PIPE, .out = PROC_NULL, .err = PROC_INHERIT, .die_with_us = true };
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct error *e = NULL;
	int status = -1;

	assert_ok(proc_spawn(&o, &p, &e), e);
	sh(f, "echo fresh >$S/fresh; touch $D/only; rm $S/more");
	assert_int_equal(sync_now(f, true, NULL), 1);
	assert_int_equal(write(p.in, "\n", 1), 1);
	assert_ok(proc_wait(&p, 20000, &status, &e), e);
	assert_int_equal(status, 0);
	sh(f, "diff -r --no-dereference $S $D; [ $(ls -A $(dirname $D)) = dst ]; rm $S/fresh $D/fresh");
}

static void kinds_may_change(void **state)
{
	struct fixture *f = *state;

	sh(f, "rm -r $S/empty; echo file >$S/empty; rm $S/link; mkdir $S/link; echo in >$S/link/in");
	assert_int_equal(sync_now(f, false, NULL), 2);
	sh(f, "diff -r --no-dereference $S $D");
	sh(f, "echo a >$S/h1; ln $S/h1 $S/h2");
	assert_int_equal(sync_now(f, false, NULL), 2);
	sh(f, "[ $D/h1 -ef $D/h2 ]; rm $S/h1 $S/h2 $D/h1 $D/h2");
}

static void a_single_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = xasprintf("%s/two", f->src), *to = xasprintf("%s/there/bin/prog", f->dir),
			    *folder = xasprintf("%s/there", f->dir), *inside = xasprintf("%s/two", folder);
	_cleanup_buf_ struct buf memory = BUF_INIT;
	struct agent_sync o = { .memory = &memory };
	_cleanup_free_ char *owner = xasprintf("%u:%u", getuid(), getgid());
	struct error *e = NULL;

	o.owner = owner;
	assert_ok(agent_sync(f->a, file, to, &o, &e), e);
	assert_int_equal(o.sent, 1);
	assert_true(file_exists(to));
	assert_ok(agent_sync(f->a, file, to, &o, &e), e);
	assert_int_equal(o.sent, 0);
	assert_ok(agent_sync(f->a, file, folder, &o, &e), e);
	assert_true(file_exists(inside));
}

/* With the old folder gone, what has stayed is known still; and is sent when somebody has written to it. */
static void the_old_one_goes(void **state)
{
	struct fixture *f = *state;
	struct agent_sync o = { .memory = &f->memory, .keep_old = true };
	struct error *e = NULL;

	sh(f, "echo 1 >$S/stays; echo 2 >$S/changes");
	sync_now(f, false, NULL);
	sh(f, "echo 33 >$S/changes");
	assert_ok(agent_sync(f->a, f->src, f->dst, &o, &e), e);
	assert_int_equal(o.sent, 1);
	sh(f, "sleep 0.05"); /* the kernel's clock for times of files goes in steps */
	assert_ok(agent_sync_done(f->a, f->src, f->dst, &f->memory, &e), e);
	sh(f, "[ $(ls -A $(dirname $D)) = dst ]");
	assert_int_equal(sync_now(f, false, NULL), 0);
	sh(f, "echo 4 >$D/stays");
	assert_int_equal(sync_now(f, false, NULL), 1);
	sh(f, "grep -q 1 $D/stays");
}

#define SETX "setx() { python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))' \"$@\"; };"
#define GETX "getx() { python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], sys.argv[2]).hex())' \"$@\"; };"

static bool try_sh(struct fixture *f, const char *script)
{
	_cleanup_free_ char *all = xasprintf("cd '%s' && %s", f->dir, script);
	const char *argv[] = { "bash", "-c", all, NULL };
	_cleanup_error_ struct error *e = NULL;

	return proc_run(argv, 20000, NULL, NULL, &e) == 0;
}

static void attributes_travel(void **state)
{
	struct fixture *f = *state;

	sh(f, "mkdir -p $S/x-dir; echo 1 >$S/x-dir/one; echo 2 >$S/x-two");
	if (!try_sh(f, SETX "setx src/x-two user.colour 726564"))
		skip_test("no extended attributes of this kind here");
	sh(f, SETX "setx $S/x-dir user.empty ''; setx $S/x-dir/one user.a 00ff; setx $S/x-dir/one user.b 01");
	assert_int_equal(sync_now(f, false, NULL), 2);
	sh(f, GETX "[ $(getx $D/x-two user.colour) = 726564 ]; [ $(getx $D/x-dir/one user.a) = 00ff ]; [ $(getx $D/x-dir/one user.b) = 01 ];"
		   "[ \"$(getx $D/x-dir user.empty)\" = '' ]");
	assert_int_equal(sync_now(f, false, NULL), 0);
	/* The bytes are the same, the file is not. */
	sh(f, SETX "setx $S/x-two user.colour 626c7565");
	assert_int_equal(sync_now(f, false, NULL), 1);
	sh(f, GETX "[ $(getx $D/x-two user.colour) = 626c7565 ]");
	/* A folder that only the target has comes along when the whole is made anew. */
	sh(f, SETX "mkdir $D/own; setx $D/own user.mine 07; echo 3 >$S/x-three");
	assert_int_equal(sync_now(f, false, NULL), 1);
	sh(f, GETX "[ $(getx $D/own user.mine) = 07 ]; [ $(getx $D/x-two user.colour) = 626c7565 ]");
}

/* As root: owners of the source, and what only root may give. */
static void owners_and_rights(void **state)
{
	struct fixture *f = *state;
	struct agent_sync o = { .owner = "keep", .memory = &f->memory };
	struct error *e = NULL;

	if (geteuid())
		skip_test("no extended attributes of this kind here");
	sh(f, "mkdir $S/o-d; echo x >$S/o-a; chown 12345:54321 $S/o-a; chown -h 7:8 $S/o-d; ln -s o-a $S/o-l; chown -h 9:10 $S/o-l; chmod 4755 $S/o-a");
	if (!try_sh(f, SETX "setx src/o-a security.capability 0100000200040000000000000000000000000000"))
		skip_test("no extended attributes of this kind here");
	assert_ok(agent_sync(f->a, f->src, f->dst, &o, &e), e);
	sh(f, GETX "[ $(stat -c %u:%g:%a $D/o-a) = 12345:54321:4755 ]; [ $(stat -c %u:%g $D/o-d) = 7:8 ]; [ $(stat -c %u:%g $D/o-l) = 9:10 ];"
		   "[ $(getx $D/o-a security.capability) = 0100000200040000000000000000000000000000 ]");
	sh(f, "chown 1:2 $S/o-a");
	assert_ok(agent_sync(f->a, f->src, f->dst, &o, &e), e);
	assert_int_equal(o.sent, 3); /* and both names of the file above, as each time */
	sh(f, "[ $(stat -c %u:%g $D/o-a) = 1:2 ]");
}

static void links_and_holes(void **state)
{
	struct fixture *f = *state;

	sh(f, "mkdir $S/h-d; echo x >$S/h-a; ln $S/h-a $S/h-d/b; truncate -s 8M $S/hole; echo end >>$S/hole; touch -d @1000.5 $S/hole");
	assert_int_equal(sync_now(f, false, NULL), 3);
	sh(f, "[ $(stat -c %i $D/h-a) = $(stat -c %i $D/h-d/b) ]; cmp $S/hole $D/hole; [ $(stat -c %b $D/hole) -lt 1000 ];"
	      "[ $(stat -c %.Y $D/hole) = $(stat -c %.Y $S/hole) ]");
}

/* What is kept of nothing goes too: found later, it would take away all that is there. */
static void nothing_was_there_before(void **state)
{
	struct fixture *f = *state;
	struct agent_sync o = { .memory = &f->memory, .keep_old = true };
	struct error *e = NULL;

	sh(f, "rm -rf $D; echo 1 >$S/file");
	assert_ok(agent_sync(f->a, f->src, f->dst, &o, &e), e);
	assert_ok(agent_sync_done(f->a, f->src, f->dst, &f->memory, &e), e);
	sh(f, "[ $(ls -A $(dirname $D)) = dst ]");
	sh(f, "echo mine >$D/mine; echo 22 >$S/file");
	assert_ok(agent_sync(f->a, f->src, f->dst, &o, &e), e);
	assert_int_equal(agent_sync_back(f->a, f->src, f->dst, &e), 1);
	sh(f, "[ $(cat $D/mine) = mine ] && [ $(cat $D/file) = 1 ]");
	assert_int_equal(agent_sync_back(f->a, f->src, f->dst, &e), 0);
	sh(f, "[ $(cat $D/mine) = mine ]");
}

static void errors(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf memory = BUF_INIT;
	struct agent_sync o = { .memory = &memory };
	struct error *e = NULL;

	assert_err(agent_sync(f->a, "/no/such/place", f->dst, &o, &e), e, ERR_NOT_FOUND, "/no/such/place");
	assert_err(agent_sync(f->a, f->src, "relative", &o, &e), e, ERR_USAGE, "absolute");
	assert_err(agent_sync(f->a, f->src, "///", &o, &e), e, ERR_USAGE, "absolute");
	assert_err(agent_sync(f->a, f->src, "/proc/self/status/x", &o, &e), e, ERR_FAILED, "/proc/self/status");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(only_changes_are_sent), cmocka_unit_test(equal_size_and_time),
		cmocka_unit_test(what_only_the_target_has), cmocka_unit_test(open_files_stay), cmocka_unit_test(somebody_stands_in_it),
		cmocka_unit_test(kinds_may_change),
		cmocka_unit_test(a_single_file), cmocka_unit_test(the_old_one_goes), cmocka_unit_test(attributes_travel), cmocka_unit_test(links_and_holes),
		cmocka_unit_test(owners_and_rights), cmocka_unit_test(nothing_was_there_before), cmocka_unit_test(errors) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
