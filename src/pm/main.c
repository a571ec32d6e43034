/* SPDX-License-Identifier: Apache-2.0 */
/* `pm`: finds out which of its personalities is meant. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "pm/dispatch/dispatch.h"
#include "pm/host/host.h"
#include "pm/init/init.h"
#include "pm/machine.h"
#include "pm/pm_main.h"
#include "pm/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char *main_home(void)
{
	const char *home = getenv("PMHOME"), *state = getenv("XDG_STATE_HOME"), *user = getenv("HOME");

	if (home && *home)
		return path_absolute(home);
	if (geteuid() == 0)
		return xstrdup("/var/opt/pm");
	if (state && *state == '/')
		return xasprintf("%s/pm", state);
	return xasprintf("%s/.local/state/pm", user && *user ? user : "/tmp");
}

char *main_self(void)
{
	static const char deleted[] = " (deleted)";
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return xstrdup("/proc/self/exe");
	path[n] = '\0';
	/* Replaced by an upgrade: the name leads to the new program. */
	if ((size_t)n > strlen(deleted) && !strcmp(path + n - strlen(deleted), deleted))
		path[(size_t)n - strlen(deleted)] = '\0';
	return xstrdup(path);
}

/* The value of "--name=value" or of "--name" "value"; NULL: another option. */
static const char *value_of(const char *name, int argc, char **argv, int *i)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n))
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	return argv[*i][n] || *i + 1 >= argc ? NULL : argv[++*i];
}

void main_options_free(struct main_options *o)
{
	free(o->home);
	free(o->self);
	free(o->init_stream);
}

int main_options(int argc, char **argv, struct main_options *o, struct error **err)
{
	const char *v;

	*o = (struct main_options){ .resume_fd = -1, .self = main_self() };
	for (int i = 2; i < argc; i++) {
		if ((v = value_of("--home", argc, argv, &i))) {
			free(o->home);
			o->home = path_absolute(v);
		} else if ((v = value_of("--init-stream", argc, argv, &i))) {
			free(o->init_stream);
			o->init_stream = source_is_path(v) ? path_absolute(v) : xstrdup(v);
		} else if ((v = value_of("--on-fatal", argc, argv, &i))) {
			o->kill_on_fatal = !strcmp(v, "kill");
			if (!o->kill_on_fatal && strcmp(v, "readopt") != 0)
				return error_set(err, ERR_USAGE, "--on-fatal: '%s' is neither readopt nor kill", v);
		} else if ((v = value_of("--resume", argc, argv, &i))) {
			o->resume_fd = atoi(v);
		} else if (!strcmp(argv[i], "--detach")) {
			o->detach = true;
		} else if (!strcmp(argv[i], "--terminal")) {
			o->detach = o->terminal = true;
		} else if (!strcmp(argv[i], "--until-idle")) {
			o->until_idle = true;
		} else {
			return error_set(err, ERR_USAGE, "main: '%s' is not an option of it, or lacks its value", argv[i]);
		}
	}
	if (!o->home)
		o->home = main_home();
	if (o->detach && o->init_stream && !strcmp(o->init_stream, "-"))
		return error_set(err, ERR_USAGE, "main: --init-stream - reads standard input, which --detach and --terminal do not leave to it");
	return 0;
}

/* In the background, with the answer whether it has come up: the parent leaves when commands are taken. */
static int detach(const struct main_options *o, const char *cwd, struct error **err)
{
	const char *home = o->home, *const none[] = { NULL };
	pid_t pid = fork();
	int status, null;

	if (pid < 0)
		return error_errno(err, errno, "fork");
	if (pid == 0) {
		setsid();
		null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3 && null >= 0; fd++)
			dup2(null, fd);
		if (null > 2)
			close(null);
		return 0;
	}
	for (int i = 0; i < 1000; i++) {
		struct client_conn c;
		_cleanup_error_ struct error *e = NULL;

		if (client_open(&c, home, &e) == 0) {
			client_close(&c);
			if (!o->terminal)
				exit(0);
			if (chdir(cwd) < 0)
				log_line("%s: %s", cwd, strerror(errno));
			status = shell_run(home, true, none, err);
			if (!*err)
				exit(status);
			return -1;
		}
		if (waitpid(pid, &status, WNOHANG) == pid)
			return error_set(err, ERR_FAILED, "pm has ended at once; %s/log may tell why", home);
		nanosleep(&(struct timespec){ 0, i < 500 ? 1000000 : 20000000 }, NULL);
	}
	return error_set(err, ERR_TIMEOUT, "pm took no command within 10 s");
}

/* After an upgrade it is still ours; where we take the place of a watcher that was killed it is free when that has gone. */
static int lock_again(void)
{
	int lock = home_lock_kept();

	for (int i = 0; i < 1000 && lock < 0; i++) {
		_cleanup_error_ struct error *e = NULL;

		lock = home_lock(&e);
		if (lock < 0)
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
	return lock; /* units are more than a lock */
}

static int watcher_main(int argc, char **argv)
{
	static char *args[10], *resume[10];
	_cleanup_error_ struct error *e = NULL;
	struct main_options o;
	_cleanup_free_ char *cwd = getcwd(NULL, 0);
	struct watch_options w;
	size_t n = 0;
	int lock = -1, status = 0;

	if (main_options(argc, argv, &o, &e) == 0 && home_open(o.home, &e) == 0) {
		lock = o.resume_fd >= 0 ? lock_again() : home_lock(&e);
		if (lock >= 0 && o.detach && o.resume_fd < 0)
			detach(&o, cwd ? cwd : "/", &e);
		if (!e)
			home_note_self();
	}
	if (e) {
		_cleanup_free_ char *text = error_text(e);

		fprintf(stderr, "pm: %s\n", text);
		main_options_free(&o);
		return (int)e->cls;
	}
	args[n++] = (char *)"pm";
	args[n++] = (char *)".machine";
	args[n++] = (char *)"--home";
	args[n++] = o.home;
	args[n++] = (char *)(o.kill_on_fatal ? "--on-fatal=kill" : "--on-fatal=readopt");
	if (o.until_idle)
		args[n++] = (char *)"--until-idle";
	w = (struct watch_options){ .self = o.self, .kill_on_fatal = o.kill_on_fatal, .lock_fd = lock, .resume_fd = o.resume_fd,
		.args = args, .nkeep = n, .resume_args = resume };
	memcpy(resume, args, sizeof(resume));
	resume[1] = (char *)"main";
	resume[n] = (char *)"--resume";
	if (o.init_stream && o.resume_fd < 0) {
		args[n++] = (char *)"--init-stream";
		args[n++] = o.init_stream;
	}
	status = watch_main(&w);
	main_options_free(&o);
	return status;
}

static int host_outer(int argc, char **argv)
{
	return host_main(argc - 1, argv + 1);
}

static int init_outer(int argc, char **argv)
{
	return init_power_main(argc - 1, argv + 1);
}

#define OWN_HELP 5 /* those behind main in the list explain themselves */

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} inner[] = { { ".machine", machine_main }, { ".exec", exec_main }, { ".mount", mount_main }, { ".umount", umount_main },
		{ "main", watcher_main }, { "host", host_outer }, { "init", init_main }, { "power", init_outer },
		{ "dispatch", dispatch_main }, { "load", load_main } };

	/* The kernel hands words of its own on to process 1, which is never anything else. */
	if (getpid() == 1)
		return init_main(argc, argv);
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(inner); i++)
		if (!strcmp(argv[1], inner[i].name) && (i >= OWN_HELP || argc < 3 || strcmp(argv[2], "--help") != 0))
			return inner[i].run(argc, argv);
	return commands_main(argc, argv);
}
