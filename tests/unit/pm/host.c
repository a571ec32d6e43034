/* SPDX-License-Identifier: Apache-2.0 */
/* Service files: what they say, by which peer they can be checked, what is found on a system, and whose files stay. */
#include "../test.h"

#include "base/path.h"
#include "base/proc.h"
#include "pm/host/host.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct host_values plain = { .program = "/usr/bin/pm", .init_stream = "/etc/pm.stream" };
/* Everything that one of the formats takes for something else. */
static const struct host_values hard = { .program = "/opt/it's & \"x\" $HOME %n/pm", .init_stream = "!gen --a '$b' <c> \\d",
	.log = "/var/log/p m%.log", .home = "/var/opt/p m" };

static char *rendered(const char *system, const struct host_values *v)
{
	const struct host_system *s = host_system_find(system, false);
	char why[HOST_WHY] = "", *text = host_render(s->files[0].text, s->style, v, why);

	if (!text)
		fail_msg("%s: %s", system, why);
	assert_non_null(strstr(text, HOST_MARK));
	assert_null(strstr(text, "\n?")); /* no condition is left standing */
	return text;
}

static void assert_says(const char *system, const struct host_values *v, const char *want)
{
	char *text = rendered(system, v);

	if (!strstr(text, want))
		fail_msg("%s: no '%s' in:\n%s", system, want, text);
	free(text);
}

static void assert_says_not(const char *system, const struct host_values *v, const char *other)
{
	char *text = rendered(system, v);

	if (strstr(text, other))
		fail_msg("%s: '%s' in:\n%s", system, other, text);
	free(text);
}

static void templates_say_what_they_should(void **state)
{
	static const char *const all[] = { "systemd", "openrc", "sysvinit", "runit", "s6", "launchd", "bsd" };
	char why[HOST_WHY];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		assert_says(all[i], &plain, "pm.stream");
		assert_says_not(all[i], &plain, "PMHOME=home");
		assert_says_not(all[i], &plain, "@home@");
		assert_says_not(all[i], &hard, "@args@");
		assert_says_not(all[i], &hard, "@log");
	}
	assert_says("systemd", &plain, "\nExecStart=\"/usr/bin/pm\" \"main\" \"--init-stream\" \"/etc/pm.stream\"\n");
	assert_says("systemd", &plain, "\nDelegate=yes\n");
	assert_says("systemd", &plain, "WantedBy=multi-user.target\n");
	assert_says_not("systemd", &plain, "Environment");
	assert_says("systemd", &hard, "ExecStart=\"/opt/it's & \\\"x\\\" $$HOME %%n/pm\" ");
	assert_says("systemd", &hard, "\nEnvironment=\"PMHOME=/var/opt/p m\"\n");
	assert_says("systemd", &hard, "\nStandardOutput=append:/var/log/p m%%.log\n");
	assert_says("openrc", &plain, "\ncommand='/usr/bin/pm'\n");
	assert_says("openrc", &plain, "\ncommand_args=''\\''main'\\'' '\\''--init-stream'\\'' '\\''/etc/pm.stream'\\'''\n");
	assert_says("launchd", &hard, "\t\t<string>/opt/it's &amp; \"x\" $HOME %n/pm</string>\n\t\t<string>main</string>\n");
	assert_says("launchd", &hard, "<key>PMHOME</key><string>/var/opt/p m</string>");
	assert_says("bsd", &plain, "rcvar=\"pm_enable\"");
	assert_null(host_render("x", STYLE_SH, &(struct host_values){ .program = "/a\nb" }, why));
	assert_non_null(strstr(why, "control character"));
}

static int run(const char *const *argv, const char *what)
{
	struct error *err = NULL;
	struct buf out = BUF_INIT;
	int r = 0;

	if (proc_run(argv, 20000, &out, NULL, &err) < 0) {
		print_error("%s: %s\n%s\n", what, err->msg, buf_str(&out));
		r = -1;
	}
	error_clear(&err);
	buf_free(&out);
	return r;
}

/* The shell that will read them takes them for right, and runit's and s6's run pm with exactly the words meant. */
static void scripts_are_right_for_sh(void **state)
{
	static const char *const all[] = { "openrc", "sysvinit", "runit", "s6", "bsd" };
	_cleanup_free_ char *script = xasprintf("%s/script", (char *)*state), *program = xasprintf("%s/it's a %%n \"pm\"", (char *)*state);
	_cleanup_free_ char *out = xasprintf("%s/out", (char *)*state), *home = xasprintf("%s/home", (char *)*state);
	struct error *err = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_free_ char *text = rendered(all[i], &hard);

		assert_ok(file_write(script, text, strlen(text), 0755, &err), err);
		assert_int_equal(run((const char *[]){ "sh", "-n", script, NULL }, all[i]), 0);
	}
	assert_ok(file_writef(program, 0755, &err, "#!/bin/sh\nprintf '%%s|' \"$PMHOME\" \"$@\"; echo err >&2\n"), err);
	for (size_t i = 2; i < 4; i++) {
		struct host_values v = { .program = program, .init_stream = hard.init_stream, .home = home, .log = out };
		_cleanup_free_ char *text = rendered(all[i], &v);
		_cleanup_buf_ struct buf got = BUF_INIT;
		_cleanup_free_ char *want = xasprintf("%s|main|--init-stream|%s|err\n", home, hard.init_stream);

		unlink(out);
		assert_ok(file_write(script, text, strlen(text), 0755, &err), err);
		assert_int_equal(run((const char *[]){ script, NULL }, all[i]), 0);
		assert_ok(file_read(out, 1000, &got, &err), err);
		assert_string_equal(got.data, want);
	}
}

/* systemd's own reader has nothing to say against the unit. */
static void systemd_takes_the_unit(void **state)
{
	_cleanup_free_ char *unit = xasprintf("%s/pm.service", (char *)*state);
	_cleanup_free_ char *tool = path_find_program("systemd-analyze");
	struct host_values v = { .program = "/bin/true", .init_stream = hard.init_stream, .home = hard.home, .log = hard.log };
	_cleanup_free_ char *text = rendered("systemd", &v);
	struct error *err = NULL;
	struct buf out = BUF_INIT;

	if (!tool)
		skip_test("systemd-analyze is not here");
	assert_ok(file_write(unit, text, strlen(text), 0644, &err), err);
	/* Warnings go to stderr without a bad status: the shell brings them here. */
	if (proc_run((const char *[]){ "sh", "-c", "systemd-analyze verify --man=no \"$1\" 2>&1", "sh", unit, NULL }, 60000, &out,
		    NULL, &err) < 0)
		fail_msg("%s\n%s", err->msg, buf_str(&out));
	if (strstr(buf_str(&out), "pm.service:"))
		fail_msg("%s", out.data);
	buf_free(&out);
}

static void make(const char *root, const char *path)
{
	_cleanup_free_ char *full = xasprintf("%s%s", root, path);
	struct error *err = NULL;

	assert_ok(file_mkdirs(full, 0755, &err), err);
}

static void link_init(const char *root, const char *to)
{
	_cleanup_free_ char *full = xasprintf("%s/sbin/init", root);

	make(root, "/sbin");
	assert_int_equal(symlink(to, full), 0);
}

static void assert_found(const char *root, const char *want, const char *evidence)
{
	char e[HOST_WHY];
	const struct host_system *s = host_detect(root, false, e);

	if (!s ? want != NULL : !want || strcmp(s->name, want) != 0)
		fail_msg("%s: %s by '%s', wanted %s", root, s ? s->name : "nothing", e, want ? want : "nothing");
	if (!strstr(e, evidence))
		fail_msg("evidence '%s', wanted '%s'", e, evidence);
}

static void systems_are_told_by_evidence(void **state)
{
	static const struct {
		const char *dirs[4], *init, *want, *evidence;
	} cases[] = { { { "/etc" }, NULL, NULL, "" }, { { "/lib/systemd/systemd" }, NULL, "systemd", "/lib/systemd/systemd exists" },
		{ { "/lib/systemd/systemd", "/etc/inittab" }, "/lib/systemd/systemd", "systemd", "is a link to" },
		{ { "/etc/init.d/rc", "/lib/systemd/systemd" }, "runit-init", "runit", "is a link to runit-init" },
		{ { "/etc/inittab", "/sbin/openrc-run" }, NULL, "openrc", "/sbin/openrc-run exists" },
		{ { "/etc/inittab", "/etc/rc2.d" }, NULL, "sysvinit", "/etc/inittab exists" },
		{ { "/etc/init.d/rcS", "/sbin/runsvdir" }, NULL, "sysvinit", "rcS exists" }, { { "/etc/rc.subr" }, NULL, "bsd", "rc.subr" },
		{ { "/etc/s6-linux-init/current", "/etc/inittab" }, NULL, "s6", "s6-linux-init" },
		{ { "/System/Library/LaunchDaemons" }, NULL, "launchd", "LaunchDaemons" },
		/* what only says something while it runs does not count in a root that is not running */
		{ { "/run/systemd/system", "/etc/inittab" }, NULL, "sysvinit", "inittab" } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *root = xasprintf("%s/root%zu", (char *)*state, i);

		for (size_t k = 0; k < 4 && cases[i].dirs[k]; k++)
			make(root, cases[i].dirs[k]);
		if (cases[i].init)
			link_init(root, cases[i].init);
		assert_found(root, cases[i].want, cases[i].evidence);
	}
}

static void files_of_others_stay(void **state)
{
	const struct host_system *s = host_system_find("systemd", false);
	struct host_place p = { .root = *state };
	_cleanup_free_ char *unit = xasprintf("%s/etc/systemd/system/pm.service", p.root), *before = xasprintf("%s.before-pm", unit);
	_cleanup_free_ char *wants = xasprintf("%s/etc/systemd/system/multi-user.target.wants/pm.service", p.root);
	char why[HOST_WHY], path[HOST_PATH], to[64] = "";
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *err = NULL;
	bool foreign;

	assert_int_equal(host_write(s, &p, &plain, &foreign, why), 2);
	assert_true(host_installed(s, &p, path));
	assert_string_equal(path, unit);
	assert_true(readlink(wants, to, sizeof(to) - 1) > 0);
	assert_string_equal(to, "../pm.service");
	assert_int_equal(host_write(s, &p, &hard, &foreign, why), 2); /* our own are replaced */
	assert_int_equal(host_erase(s, &p, why), 2);
	assert_false(file_exists(unit));
	assert_false(file_exists(wants));

	assert_ok(file_writef(unit, 0644, &err, "[Service]\nExecStart=/other/pm\n"), err);
	assert_int_equal(host_write(s, &p, &plain, &foreign, why), -1);
	assert_true(foreign);
	assert_non_null(strstr(why, "is not pm's; --force"));
	assert_false(file_exists(wants)); /* nothing was written at all */
	assert_int_equal(host_erase(s, &p, why), 0);
	p.force = true;
	assert_int_equal(host_write(s, &p, &plain, &foreign, why), 2);
	assert_true(file_exists(before));
	assert_int_equal(host_erase(s, &p, why), 2);
	assert_ok(file_read(unit, 100, &b, &err), err); /* and is back */
	assert_non_null(strstr(b.data, "/other/pm"));
}

static void links_go_where_directories_are(void **state)
{
	const struct host_system *s = host_system_find("runit", false);
	struct host_place p = { .root = *state };
	char why[HOST_WHY];
	bool foreign;
	_cleanup_free_ char *link = xasprintf("%s/etc/service/pm", p.root), *dir = xasprintf("%s/etc/sv/pm", p.root);

	assert_int_equal(host_write(s, &p, &plain, &foreign, why), 1);
	assert_non_null(strstr(why, "no directory of runit's services"));
	make(p.root, "/etc/service");
	assert_int_equal(host_write(s, &p, &plain, &foreign, why), 2);
	assert_string_equal(why, "");
	assert_true(access(dir, X_OK) == 0);
	assert_int_equal(host_erase(s, &p, why), 2);
	assert_false(file_exists(dir)); /* made for pm alone */
	assert_int_equal(readlink(link, why, 10), -1);
}

/* host_main in a child, its output in b. */
static int command(struct buf *b, const char *const *args)
{
	char *argv[16] = { (char *)"host" };
	int out[2], status, argc = 1;
	ssize_t n;
	pid_t pid;

	for (; *args; args++)
		argv[argc++] = (char *)*args;
	buf_clear(b);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		status = host_main(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	close(out[1]);
	while ((n = read(out[0], buf_reserve(b, 512), 512)) > 0) {
		b->len += (size_t)n;
		b->data[b->len] = '\0';
	}
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

#define HOST(want, part, ...)                                                                      \
	do {                                                                                       \
		int got_ = command(&b, (const char *[]){ __VA_ARGS__, NULL });                     \
		if (got_ != (want) || !strstr(buf_str(&b), part))                                  \
			fail_msg("status %d: %s", got_, buf_str(&b));                              \
	} while (0)

static void the_command(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *root = *state;
	_cleanup_free_ char *wants = xasprintf("%s/etc/systemd/system/multi-user.target.wants/pm.service", root);

	HOST(2, "ACTION", "--force");
	HOST(0, "--init-stream", "--help");
	HOST(2, "'instal' is no action", "instal", "--root", root, "--system", "runit");
	HOST(3, "no service manager", "install", "--root", root);
	HOST(2, "'upstart' is none of", "install", "--root", root, "--system", "upstart");
	HOST(2, "absolute paths", "install", "--root", root, "--stdout", "log");
	HOST(3, "No such file", "install", "--root", "/no/such/root");
	make(root, "/lib/systemd/systemd");
	HOST(3, "not installed", "status", "--root", root);
	HOST(0, "systemd service", "install", "--root", root, "--init-stream", "/etc/x");
	assert_true(access(wants, F_OK) == 0);
	HOST(0, "installed, ", "status", "--root", root);
	HOST(2, "does not run", "start", "--root", root);
	HOST(0, "", "remove", "--root", root);
	HOST(3, "not installed", "remove", "--root", root);
	HOST(0, "without --init-stream", "install", "--root", root, "--system", "launchd");
}

/* Every init system by its command line: which files there are then, that remove takes them all, with each option in what is written. */
static void install_for_each_system(void **state)
{
	static const struct {
		const char *system, *dirs[2], *first, *files[5], *stream, *log, *home;
	} cases[] = {
		{ "systemd", { NULL }, "etc/systemd/system/pm.service",
			{ "etc/systemd/system/multi-user.target.wants/pm.service" },
			"\"--init-stream\" \"/etc/my stream\"", "StandardError=append:/var/log/p m.log\n", "Environment=\"PMHOME=/srv/p m\"" },
		{ "openrc", { NULL }, "etc/init.d/pm", { "etc/runlevels/default/pm" },
			"'\\''/etc/my stream'\\''", "error_log='/var/log/p m.log'", "PMHOME=/srv/p m" },
		{ "sysvinit", { "/etc/rc2.d", "/etc/rc6.d" }, "etc/init.d/pm", { "etc/rc2.d/S20pm", "etc/rc6.d/K01pm" },
			"'--init-stream' '/etc/my stream'", "log='/var/log/p m.log'", "PMHOME='/srv/p m'" },
		{ "runit", { "/etc/service" }, "etc/sv/pm/run", { "etc/service/pm" },
			"'--init-stream' '/etc/my stream'", "exec >>'/var/log/p m.log'", "PMHOME='/srv/p m'" },
		{ "s6", { "/etc/s6/service" }, "etc/s6/sv/pm/run", { "etc/s6/service/pm" },
			"'--init-stream' '/etc/my stream'", "exec >>'/var/log/p m.log'", "PMHOME='/srv/p m'" },
		{ "bsd", { NULL }, "usr/local/etc/rc.d/pm", { "etc/rc.conf.d/pm" },
			"'--init-stream' '/etc/my stream'", ">>'/var/log/p m.log'", "PMHOME='/srv/p m'" },
		{ "launchd", { NULL }, "Library/LaunchDaemons/croft.pm.plist", { NULL },
			"<string>/etc/my stream</string>", "<string>/var/log/p m.log</string>", "<string>/srv/p m</string>" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *root = xasprintf("%s/rööt of %s", (char *)*state, cases[i].system), *first = xasprintf("%s/%s", root, cases[i].first);
		_cleanup_buf_ struct buf b = BUF_INIT, text = BUF_INIT;
		struct error *err = NULL;

		make(root, "");
		for (size_t k = 0; k < 2 && cases[i].dirs[k]; k++)
			make(root, cases[i].dirs[k]);
		HOST(0, cases[i].system, "install", "--root", root, "--system", cases[i].system, "--init-stream", "/etc/my stream", "--stdout",
			"/var/log/p m.log", "--home", "/srv/p m", "--program", "/opt/p m", "--as-root");
		HOST(0, "installed, ", "status", "--root", root, "--system", cases[i].system);
		assert_ok(file_read(first, 10000, &text, &err), err);
		if (!strstr(text.data, cases[i].stream) || !strstr(text.data, cases[i].log) || !strstr(text.data, cases[i].home) ||
			!strstr(text.data, "/opt/p m"))
			fail_msg("%s: a value is not in:\n%s", cases[i].system, text.data);
		for (size_t k = 0; k < 5 && cases[i].files[k]; k++) {
			_cleanup_free_ char *path = xasprintf("%s/%s", root, cases[i].files[k]);
			struct stat st;

			if (lstat(path, &st) < 0)
				fail_msg("%s: no %s", cases[i].system, path);
		}
		/* Somebody else's file stops it, and --force puts that by. */
		assert_ok(file_writef(first, 0644, &err, "not pm's\n"), err);
		HOST(4, "--force", "install", "--root", root, "--system", cases[i].system);
		HOST(0, cases[i].system, "install", "--root", root, "--system", cases[i].system, "--force");
		HOST(0, "", "remove", "--root", root, "--system", cases[i].system);
		buf_clear(&text);
		assert_ok(file_read(first, 10000, &text, &err), err);
		assert_string_equal(text.data, "not pm's\n");
		HOST(3, "not installed", "status", "--root", root, "--system", cases[i].system);
		for (size_t k = 0; k < 5 && cases[i].files[k]; k++) {
			_cleanup_free_ char *path = xasprintf("%s/%s", root, cases[i].files[k]);
			struct stat st;

			if (lstat(path, &st) == 0)
				fail_msg("%s: %s is left", cases[i].system, path);
		}
	}
}

/* Whose service it is: --user below HOME, --as-root the system's, which asks for root's rights. */
static void whose_service(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *home = xasprintf("%s/hömé", (char *)*state), *unit = xasprintf("%s/.config/systemd/user/pm.service", home),
			    *plist = xasprintf("%s/Library/LaunchAgents/croft.pm.plist", home), *root = xasprintf("%s/root", (char *)*state);
	const char *before = getenv("HOME");
	_cleanup_free_ char *was = before ? xstrdup(before) : NULL;

	make(root, "");
	setenv("HOME", home, 1);
	HOST(2, "exclude each other", "install", "--user", "--as-root", "--root", root);
	HOST(0, "this user's systemd service", "install", "--user", "--root", root, "--system", "systemd");
	assert_int_equal(access(unit, F_OK), 0);
	HOST(0, "this user's launchd service", "install", "--user", "--root", root, "--system", "launchd");
	assert_int_equal(access(plist, F_OK), 0);
	HOST(2, "openrc has no services of users", "install", "--user", "--root", root, "--system", "openrc");
	HOST(0, "", "remove", "--user", "--root", root, "--system", "systemd");
	assert_int_equal(access(unit, F_OK), -1);
	HOST(0, "", "remove", "--user", "--root", root, "--system", "launchd");
	unsetenv("HOME");
	HOST(1, "HOME is not set", "install", "--user", "--root", root, "--system", "systemd");
	if (was)
		setenv("HOME", was, 1);
}

/* A service manager that can be started and asked without being process 1: what pm wrote is what its tools run. */
static void runit_runs_what_was_written(void **state)
{
	_cleanup_free_ char *tool = path_find_program("runsvdir"), *script = NULL;

	if (!tool)
		skip_test("runit is not here");
	script = xasprintf("set -e; cd '%s'; mkdir -p r/etc/service; printf \"unit u 'run=sleep 1000'\\nstart u\\n\" >stream; "
			   "'%s' host install --root r --system runit --program '%s' --init-stream \"$PWD/stream\" --home \"$PWD/h\" --stdout \"$PWD/log\"; "
			   "mkdir svc; cp -r r/etc/sv/pm svc/pm; runsvdir svc & p=$!; trap 'kill -HUP $p; wait $p || :' EXIT; n=0; "
			   "until '%s' --home h list 2>/dev/null | grep -q 'u .*RUNNING'; do n=$((n + 1)); [ $n -lt 600 ]; sleep 0.1; done; "
			   "sv -w 60 down \"$PWD/svc/pm\"; '%s' --home h list 2>/dev/null | grep -q 'u .*STOPPED'",
		(char *)*state, PM_PROGRAM, PM_PROGRAM, PM_PROGRAM, PM_PROGRAM);
	assert_int_equal(run((const char *[]){ "sh", "-c", script, NULL }, "runit"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(templates_say_what_they_should),
		cmocka_unit_test_setup_teardown(scripts_are_right_for_sh, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(systemd_takes_the_unit, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(systems_are_told_by_evidence, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(files_of_others_stay, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(links_go_where_directories_are, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(the_command, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(install_for_each_system, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(whose_service, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(runit_runs_what_was_written, test_dir_setup, test_dir_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
