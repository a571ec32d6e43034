/* SPDX-License-Identifier: Apache-2.0 */
/* Keys by their messages; applied isolation by what a real child sees of itself, as root and as an ordinary user. */
#include "../test.h"

#include "pm/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define NOBODY 65534

static struct isolate_plan plan;

/* What a child said (stdout), its wait status, or the failure. */
struct result {
	char out[4096];
	int status;
	struct isolate_failure f;
	char why[ISOLATE_WHY];
	int planned;
};

static _Noreturn void child(int tell, const char *const *argv)
{
	struct isolate_failure f = { 0 };

	if (isolate_apply(&plan, &f) == 0) {
		isolate_exec(&plan, argv);
		f = (struct isolate_failure){ ISOLATE_EXEC, 0, errno };
	}
	_exit(write(tell, &f, sizeof(f)) == sizeof(f) ? 127 : 126);
}

/* As pm does it: plan, fork, apply, exec; all in a process that may be another user's. */
static void start_and_wait(struct result *r, const char *const *keys, size_t n, const char *const *argv)
{
	int out[2], tell[2];
	pid_t pid;
	size_t got = 0;
	ssize_t k;

	r->planned = isolate_plan(&plan, keys, n, r->why);
	if (r->planned < 0)
		return;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
	plan.log_fd = out[1];
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(tell[1], argv);
	close(out[1]);
	close(tell[1]);
	if (read(tell[0], &r->f, sizeof(r->f)) == sizeof(r->f))
		isolate_failure_text(&r->f, &plan, r->why);
	while (got < sizeof(r->out) - 1 && (k = read(out[0], r->out + got, sizeof(r->out) - 1 - got)) > 0)
		got += (size_t)k;
	assert_int_equal(waitpid(pid, &r->status, 0), pid);
	close(out[0]);
	close(tell[0]);
	isolate_plan_free(&plan);
}

static struct result *run_as(uid_t uid, const char *const *keys, size_t n, const char *const *argv)
{
	static struct result *r;
	int status;
	pid_t pid;

	if (!r)
		r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(r, 0, sizeof(*r));
	if (uid == geteuid()) {
		start_and_wait(r, keys, n, argv);
		return r;
	}
	pid = fork();
	if (pid == 0) {
		if (setgid(uid) < 0 || setuid(uid) < 0)
			_exit(1);
		/* After a change of user /proc/self is root's, unlike that of a program which the user started. */
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		start_and_wait(r, keys, n, argv);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return r;
}

#define SH(uid, script, ...)                                                                       \
	({                                                                                         \
		const char *keys_[] = { __VA_ARGS__ };                                             \
		run_as(uid, keys_, sizeof(keys_) / sizeof(*keys_) / 2,                             \
			(const char *[]){ "/bin/sh", "-c", script, NULL });                        \
	})
static void assert_said(const struct result *r, const char *want)
{
	if (r->planned < 0 || r->f.step || strcmp(r->out, want) != 0)
		fail_msg("wanted '%s', got '%s'; planned %d, step %d: %s", want, r->out, r->planned, r->f.step, r->why);
}
static void assert_failed(const struct result *r, enum isolate_step step, int code, const char *part)
{
	if (r->planned < 0 || r->f.step != step || r->f.code != code || !strstr(r->why, part))
		fail_msg("planned %d, step %d errno %d: '%s'; wanted step %d errno %d '%s'", r->planned, r->f.step,
			r->f.code, r->why, step, code, part);
	assert_int_equal(r->out[0], 0); /* the program did not run */
}
static void assert_refused(const struct result *r, const char *part)
{
	if (r->planned != -1 || !strstr(r->why, part))
		fail_msg("planned %d: '%s'; wanted '%s'", r->planned, r->why, part);
}
#define need_root()                          \
	do {                                 \
		if (geteuid() != 0)          \
			skip_test("needs root"); \
	} while (0)

static void keys_are_checked(void **state)
{
	static const struct {
		const char *key, *value;
		int want;
		const char *part;
	} cases[] = { { "user", "www", 1, "" }, { "user", "", -1, "no user" }, { "run", "x", 0, "" },
		{ "limit-nofile", "1024:2048", 1, "" }, { "limit-nofile", "infinity", 1, "" },
		{ "limit-nofile", "2048:1024", -1, "soft limit is above" }, { "limit-nofile", "12x", -1, "behind the limit" },
		{ "limit-nofile", "-1", -1, "no limit" }, { "limit-files", "1", 0, "" }, { "limit-as", "1G", 1, "" },
		{ "limit-as", "99999999999999999999", -1, "no limit" }, { "limit-as", "16777216T", -1, "no limit" },
		{ "nice", "20", -1, "-20 to 19" }, { "nice", "5", 1, "" }, { "nice", "5 ", -1, "5 " },
		{ "oom-score", "-1000", 1, "" }, { "oom-score", "1001", -1, "1000" },
		{ "umask", "022", 1, "" }, { "umask", "8", -1, "octal" }, { "umask", "7777", -1, "octal" },
		{ "ionice", "idle", 1, "" }, { "ionice", "best-effort:3", 1, "" }, { "ionice", "best-effort:8", -1, "0-7" },
		{ "ionice", "idle:1", -1, "idle" }, { "namespaces", "mount,pid,net", 1, "" },
		{ "namespaces", "mount,foo", -1, "'foo' is no namespace" }, { "namespaces", "", -1, "no namespace" },
		{ "capabilities", "cap_net_bind_service,CHOWN", 1, "" }, { "capabilities", "net_bind", -1, "no capability" },
		{ "capabilities", "~sys_admin", 1, "" }, { "ambient", "all", -1, "one by one" },
		{ "no-new-privs", "yes", 1, "" }, { "no-new-privs", "maybe", -1, "neither yes nor no" },
		{ "root", "srv", -1, "begin with /" }, { "directory", "~", 1, "" }, { "directory", "x", -1, "begin with /" },
		{ "uid-map", "0:1000:1,1:100000:65536", 1, "" }, { "uid-map", "0:1000", -1, "INSIDE:OUTSIDE:COUNT" },
		{ "uid-map", "0:1:0", -1, "no ids" }, { "uid-map", "0:1:1;", -1, "behind a map" },
		{ "bind", "/a:/b:ro", 1, "" }, { "bind", "/a", 1, "" }, { "bind", "a:/b", -1, "begin with /" },
		{ "cpu-max", "50%", 1, "" }, { "cpu-max", "1.5", 1, "" }, { "cpu-max", "x", -1, "processors" },
		{ "memory-max", "64M", 1, "" }, { "memory-max", "64MB", -1, "nor max" }, { "pids-max", "max", 1, "" },
		{ "cpu-weight", "0", -1, "1 to 10000" }, { "io-max", "/dev/null rbps=1M", 1, "" },
		{ "io-max", "8:0 speed=1", -1, "rbps=" }, { "io-max", "8:0", -1, "DEVICE" },
		{ "cgroup", "maybe", -1, "optional" }, { "env", "A=b", 1, "" }, { "env", "=b", -1, "NAME=VALUE" },
		{ "env-file", "-/etc/x", 1, "" }, { "env-file", "x", -1, "begin with /" }, { "stdin", "null", 1, "" },
		{ "stdin", "log", -1, "null, file:PATH" }, { "stdout", "file:/x", 1, "" }, { "stdout", "file", -1, "which?" },
		{ "stdout", "null:/x", -1, "takes no path" }, { "stdout", "stdout", -1, "null, log" },
		{ "stderr", "stdout", 1, "" }, { "stdin", "terminal", 1, "" }, { "stdin", "terminal:/dev/tty1", 1, "" },
		{ "hostname", "", -1, "1 to 64" } };
	char why[ISOLATE_WHY];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int got;

		why[0] = '\0';
		got = isolate_check(cases[i].key, cases[i].value, why);
		if (got != cases[i].want || !strstr(why, cases[i].part) || (got < 0 && strncmp(why, cases[i].key, strlen(cases[i].key)) != 0))
			fail_msg("%s=%s: %d '%s'", cases[i].key, cases[i].value, got, why);
	}
	assert_true(isolate_key_repeats("env"));
	assert_false(isolate_key_repeats("user"));
	for (size_t i = 0; isolate_key_name(i); i++)
		assert_int_not_equal(isolate_check(isolate_key_name(i), "\1", why), 0);
}

static void a_value_of_any_size_is_answered(void **state)
{
	char why[ISOLATE_WHY], big[8192];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	for (size_t i = 0; isolate_key_name(i); i++)
		assert_int_equal(isolate_check(isolate_key_name(i), big, why), -1);
}

static void keys_that_need_others(void **state)
{
	assert_refused(SH(geteuid(), ":", "bind", "/tmp"), "namespaces=mount");
	assert_refused(SH(geteuid(), ":", "hostname", "x"), "namespaces=uts");
	assert_refused(SH(geteuid(), ":", "uid-map", "0:0:1"), "namespaces=user");
	assert_refused(SH(geteuid(), ":", "capabilities", "none", "ambient", "kill"), "not among");
	assert_refused(SH(geteuid(), ":", "user", "no-such-user-here"), "not in /etc/passwd");
	assert_refused(SH(geteuid(), ":", "user", "4000000"), "say group=");
	assert_refused(SH(geteuid(), ":", "group", "no-such-group-here"), "not in /etc/group");
}

static void the_environment_is_clean(void **state)
{
	char *file = xasprintf("%s/env", (char *)*state), *optional = xasprintf("-%s/none", (char *)*state);
	struct error *err = NULL;

	setenv("SECRET", "1", 1);
	setenv("WANTED", "w", 1);
	assert_said(SH(geteuid(), "env | grep -v ^PWD | sort", "env-inherit", "none"),
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
	assert_ok(file_writef(file, 0600, &err, "# comment\n\nA=file\nB=\"two \\\"words\\\"\"\n C='x y' \nexport D=d  \n"), err);
	assert_said(SH(geteuid(), "echo $A,$B,$C,$D,$WANTED,$SECRET,$E", "env-file", file, "env", "A=key", "env-file",
			    optional, "env-inherit", "WANTED,OTHER", "env", "E=1", "env", "E=2"),
		"key,two \"words\",x y,d,w,,2\n");
	assert_ok(file_writef(file, 0600, &err, "A=1\nnot a variable\n"), err);
	assert_refused(SH(geteuid(), ":", "env-file", file), "line 2");
	assert_refused(SH(geteuid(), ":", "env-file", "/no/such/file"), "No such file");
	assert_refused(SH(geteuid(), ":", "env-file", "/dev/zero"), "not a file");
	assert_said(SH(geteuid(), "echo $SECRET", "env-inherit", "all"), "1\n");
	free(file);
	free(optional);
}

static void streams_go_where_they_are_sent(void **state)
{
	char *file = xasprintf("file:%s/out", (char *)*state), *append = xasprintf("append:%s/out", (char *)*state);
	char *fifo = xasprintf("%s/fifo", (char *)*state), *in = xasprintf("file:%s", fifo);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *err = NULL;

	assert_said(SH(geteuid(), "cat; readlink /proc/self/fd/0; echo err >&2"), "/dev/null\nerr\n");
	assert_said(SH(geteuid(), "echo one; echo two >&2", "stdout", file, "stderr", "log"), "two\n");
	assert_said(SH(geteuid(), "echo three", "stdout", append), "");
	assert_ok(file_read(file + 5, 100, &b, &err), err);
	assert_string_equal(b.data, "one\nthree\n");
	assert_said(SH(geteuid(), "cat", "stdin", file), "one\nthree\n");
	assert_failed(SH(geteuid(), "echo", "stdout", "file:/no/such/file"), ISOLATE_STDOUT, ENOENT, "stdout /no/such/file");
	assert_failed(SH(geteuid(), "echo", "stdin", "terminal:/dev/null"), ISOLATE_STDIN, ENOTTY, "stdin /dev/null");
	assert_failed(SH(geteuid(), "echo", "stdin", "socket:/no/such"), ISOLATE_STDIN, ENOENT, "/no/such");
	/* A FIFO that nobody reads is told, not waited for. */
	assert_int_equal(mkfifo(fifo, 0600), 0);
	free(in);
	in = xasprintf("file:%s", fifo);
	assert_failed(SH(geteuid(), "echo", "stderr", in), ISOLATE_STDERR, ENXIO, "stderr");
	free(file);
	free(append);
	free(fifo);
	free(in);
}

static void a_socket_as_stream(void **state)
{
	char *path = xasprintf("%s/s", (char *)*state), *key = xasprintf("socket:%s", path), got[8] = "";
	struct error *err = NULL;
	int l = unix_listen(path, 1, &err), fd;

	assert_true(l >= 0);
	assert_said(SH(geteuid(), "echo hello", "stdout", key), "");
	fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, sizeof(got) - 1), 6);
	assert_string_equal(got, "hello\n");
	close(fd);
	close(l);
	free(path);
	free(key);
}

static void a_terminal_is_the_controlling_one(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char key[64];

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	snprintf(key, sizeof(key), "terminal:%s", ptsname(master));
	assert_said(SH(geteuid(), "echo $(: </dev/tty && echo tty)", "stdin", key), "tty\n");
	close(master);
}

static void limits_and_priorities(void **state)
{
	assert_said(SH(geteuid(), "ulimit -n; ulimit -Hn; ulimit -c; ulimit -f", "limit-nofile", "64:128", "limit-core", "0",
			    "limit-fsize", "1M"), "64\n128\n0\n2048\n");
	assert_said(SH(geteuid(), "cut -d' ' -f19 /proc/self/stat; cat /proc/self/oom_score_adj; umask; pwd", "nice", "7",
			    "oom-score", "500", "umask", "027", "directory", "/usr"), "7\n500\n0027\n/usr\n");
	assert_said(SH(geteuid(), "ionice", "ionice", "idle"), "idle\n");
	assert_said(SH(geteuid(), "ionice", "ionice", "best-effort:6"), "best-effort: prio 6\n");
	assert_failed(SH(geteuid(), ":", "directory", "/no/such"), ISOLATE_DIRECTORY, ENOENT, "directory /no/such");
}

static void an_ordinary_user_may_not_raise(void **state)
{
	uid_t u = geteuid() ? geteuid() : NOBODY;

	assert_failed(SH(u, ":", "nice", "-5"), ISOLATE_NICE, EACCES, "nice -5");
	assert_failed(SH(u, ":", "oom-score", "-900"), ISOLATE_OOM, EACCES, "oom-score -900");
	assert_failed(SH(u, ":", "limit-memlock", "infinity"), ISOLATE_LIMIT, EPERM, "limit-memlock");
	assert_failed(SH(u, ":", "user", "root"), ISOLATE_SUPPLEMENTARY, EPERM, "not root");
	assert_failed(SH(u, ":", "root", "/tmp"), ISOLATE_ROOT, EPERM, "namespaces=user");
	assert_failed(SH(u, ":", "namespaces", "net"), ISOLATE_NAMESPACES, EPERM, "needs user");
	assert_refused(SH(u, ":", "namespaces", "user", "uid-map", "0:0:100"), "only our own ids");
}

static void exec_tells_why(void **state)
{
	const char *none[] = { "/no/such/program", NULL }, *dir[] = { "/usr", NULL }, *name[] = { "true", NULL },
		   *lost[] = { "no-such-program-here", NULL };
	struct result *r;

	assert_failed(run_as(geteuid(), NULL, 0, none), ISOLATE_EXEC, ENOENT, "does not exist");
	assert_failed(run_as(geteuid(), NULL, 0, lost), ISOLATE_EXEC, ENOENT, "does not exist");
	assert_failed(run_as(geteuid(), NULL, 0, dir), ISOLATE_EXEC, EACCES, "Permission denied");
	r = run_as(geteuid(), NULL, 0, name);
	assert_said(r, "");
	assert_int_equal(r->status, 0);
}

static void identity_as_root(void **state)
{
	need_root();
	assert_said(SH(0, "id -u; id -g; id -G; echo $USER $HOME", "user", "nobody"), "65534\n65534\n65534\nnobody /nonexistent\n");
	assert_said(SH(0, "id -u; id -g; id -G", "user", "1234", "group", "daemon", "groups", "adm,99"), "1234\n1\n1 4 99\n");
	assert_said(SH(0, "id -G", "groups", "none", "group", "0"), "0\n");
	assert_said(SH(0, "grep -E 'CapPrm|CapAmb' /proc/self/status | cut -f2", "user", "nobody"),
		"0000000000000000\n0000000000000000\n");
}

static void capabilities_as_root(void **state)
{
	static const char script[] = "sed -n 's/^Cap\\(Prm\\|Bnd\\|Amb\\):\\t0*\\([0-9a-f]\\)/\\1=\\2/p; s/^NoNewPrivs:.//p' /proc/self/status";

	need_root();
	/* net_bind_service is bit 10, chown 0 */
	assert_said(SH(0, script, "capabilities", "net_bind_service,chown", "no-new-privs", "yes"),
		"Prm=401\nBnd=401\nAmb=0\n1\n");
	assert_said(SH(0, script, "user", "nobody", "capabilities", "net_bind_service,chown", "ambient", "net_bind_service"),
		"Prm=400\nBnd=401\nAmb=400\n0\n");
	assert_said(SH(0, script, "user", "nobody", "capabilities", "none"), "Prm=0\nBnd=0\nAmb=0\n0\n");
	assert_said(SH(0, "chown 1 /dev/null 2>/dev/null && echo could", "capabilities", "~chown"), "");
}

static void a_root_as_root(void **state)
{
	need_root();
	assert_failed(SH(0, "echo", "root", *state), ISOLATE_EXEC, ENOENT, "within root");
	assert_failed(SH(0, "echo", "root", *state, "directory", "/usr"), ISOLATE_DIRECTORY, ENOENT,
		"directory /usr");
	/* The host's directories bound into an empty root. */
	for (const char *const *d = (const char *const[]){ "usr", "bin", "lib", "lib64", "tmp", "proc", NULL }; *d; d++) {
		char *path = xasprintf("%s/%s", (char *)*state, *d);

		assert_int_equal(mkdir(path, 0755), 0);
		free(path);
	}
	assert_said(SH(0, "ls / | tr '\\n' ' '; cd /usr && (echo >x) 2>&- || echo ro; stat -f -c %T /tmp; pwd", "root",
			    *state, "namespaces", "mount,pid", "bind", "/usr:ro", "bind", "/bin", "bind", "/lib", "bind",
			    "/lib64", "tmpfs", "/tmp", "directory", "/tmp"),
		"bin lib lib64 proc tmp usr ro\ntmpfs\n/usr\n");
	assert_failed(SH(0, ":", "namespaces", "mount", "bind", "/usr:/no/such"), ISOLATE_MOUNT, ENOENT, "mount /no/such");
}

static void namespaces_for(uid_t uid)
{
	static const char all[] = "user,mount,pid,net,ipc,uts";

	assert_said(SH(uid, "id -u; cat /proc/self/uid_map | tr -s ' '", "namespaces", "user"),
		uid ? "0\n 0 65534 1\n" : "0\n 0 0 1\n");
	assert_said(SH(uid, "hostname; cat /proc/net/dev | grep -c :; cat /sys/class/net/lo/flags", "namespaces", "user,net,uts,mount",
			    "hostname", "inside"), "inside\n1\n0x9\n");
	assert_said(SH(uid, "[ $$ -lt 9 ] && set -- /proc/[0-9]* && echo $#; cat /proc/1/comm", "namespaces", all), "2\npm-init\n");
}

static void namespaces_as_root(void **state)
{
	need_root();
	namespaces_for(0);
	assert_said(SH(0, "id -u; id -g; tr -s ' ' </proc/self/uid_map", "namespaces", "user,pid", "uid-map",
			    "0:100000:1000,5000:200000:1", "gid-map", "0:100000:1000"), "0\n0\n 0 100000 1000\n 5000 200000 1\n");
	assert_said(SH(0, "id -u; id -g", "namespaces", "user", "uid-map", "0:100000:1000", "gid-map", "0:100000:1000", "user", "7",
			    "group", "9"), "7\n9\n");
	assert_failed(SH(0, ":", "namespaces", "user", "uid-map", "0:1:2,1:5:2", "gid-map", "0:0:1"), ISOLATE_IDMAP, EINVAL, "uid-map");
	assert_said(SH(0, "echo $$; cat /proc/1/comm", "namespaces", "pid,mount"), "2\npm-init\n");
}

static void namespaces_as_a_user(void **state)
{
	if (geteuid() != 0 || SH(NOBODY, ":", "namespaces", "user")->f.code)
		skip_test("this system allows no user namespaces to ordinary users");
	namespaces_for(NOBODY);
	assert_said(SH(NOBODY, "id -u", "namespaces", "user", "uid-map", "77:65534:1"), "77\n");
}

static void status_and_signals_pass_init(void **state)
{
	struct result *r;

	need_root();
	r = SH(0, "exit 7", "namespaces", "pid");
	assert_int_equal(WEXITSTATUS(r->status), 7);
	r = SH(0, "kill -9 $$", "namespaces", "pid");
	assert_int_equal(r->status, SIGKILL);
	r = SH(0, "kill -TERM $$", "namespaces", "pid");
	assert_int_equal(r->status, SIGTERM);
	/* An orphan does not outlive the program, and is reaped while it runs. */
	r = SH(0, "(sleep 0.01 & ) ; sleep 0.1; ps ax -o stat | grep -c Z; (sleep 1000 &)", "namespaces", "pid,mount");
	assert_said(r, "0\n");
}

/* Killing what stands for the unit ends all that is in its namespace. */
static void a_killed_unit_leaves_nothing(void **state)
{
	const char *keys[] = { "namespaces", "pid" }, *argv[] = { "/bin/sh", "-c", "(setsid sleep 1000 &) ; echo up; sleep 1000", NULL };
	char why[ISOLATE_WHY], got[8];
	int out[2], tell[2], status;
	pid_t pid;

	need_root();
	assert_int_equal(isolate_plan(&plan, keys, 1, why), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
	plan.log_fd = out[1];
	pid = fork();
	if (pid == 0)
		child(tell[1], argv);
	close(out[1]);
	assert_int_equal(read(out[0], got, 3), 3);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(read(out[0], got, 1), 0); /* ends only when the last one that holds it is gone */
	close(out[0]);
	close(tell[0]);
	close(tell[1]);
	isolate_plan_free(&plan);
}

static void init_passes_on_signals(void **state)
{
	const char *keys[] = { "namespaces", "pid" },
		   *argv[] = { "/bin/sh", "-c", "trap 'echo got; exit 3' TERM; echo up; while :; do sleep 0.02; done", NULL };
	char why[ISOLATE_WHY], got[8] = "";
	int out[2], tell[2], status;
	pid_t pid;

	need_root();
	assert_int_equal(isolate_plan(&plan, keys, 1, why), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
	plan.log_fd = out[1];
	plan.session = true;
	pid = fork();
	if (pid == 0)
		child(tell[1], argv);
	close(out[1]);
	assert_int_equal(read(out[0], got, 3), 3);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(read(out[0], got, 4), 4);
	assert_string_equal(got, "got\n");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 3 << 8);
	close(out[0]);
	close(tell[0]);
	close(tell[1]);
	isolate_plan_free(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_checked),
		cmocka_unit_test(a_value_of_any_size_is_answered),
		cmocka_unit_test(keys_that_need_others),
		cmocka_unit_test_setup_teardown(the_environment_is_clean, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(streams_go_where_they_are_sent, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_socket_as_stream, test_dir_setup, test_dir_teardown),
		cmocka_unit_test(a_terminal_is_the_controlling_one),
		cmocka_unit_test(limits_and_priorities),
		cmocka_unit_test(an_ordinary_user_may_not_raise),
		cmocka_unit_test(exec_tells_why),
		cmocka_unit_test(identity_as_root),
		cmocka_unit_test(capabilities_as_root),
		cmocka_unit_test_setup_teardown(a_root_as_root, test_dir_setup, test_dir_teardown),
		cmocka_unit_test(namespaces_as_root),
		cmocka_unit_test(namespaces_as_a_user),
		cmocka_unit_test(status_and_signals_pass_init),
		cmocka_unit_test(a_killed_unit_leaves_nothing),
		cmocka_unit_test(init_passes_on_signals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
