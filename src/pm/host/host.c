/* SPDX-License-Identifier: Apache-2.0 */
/* pm host install|remove|start|stop|status. */
#include "host.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
	"pm host ACTION: pm as a service of this system\n"
	"\n"
	"  install   write its service files and let them start at boot\n"
	"  remove    stop it and take them away\n"
	"  start     start the service now\n"
	"  stop      stop it\n"
	"  status    which system this is, by what that is known, and whether pm is installed\n"
	"\n"
	"  --init-stream SRC  what pm reads at its start (a file, a URL, !COMMAND)\n"
	"  --stdout FILE      where pm's own messages go\n"
	"  --home DIR         PMHOME of the service\n"
	"  --system NAME      systemd, openrc, sysvinit, runit, s6, bsd or launchd, instead of finding out\n"
	"  --as-root          the system's service, even when asked as an ordinary user (who then needs root's rights)\n"
	"  --user             this user's own service (systemd, launchd)\n"
	"  --root DIR         a system that does not run, mounted at DIR: files are written, nothing is started\n"
	"  --program PATH     where pm is (default: this program; with --root /usr/bin/pm)\n"
	"  --force            move files out of the way that pm did not write\n";

struct options {
	const char *action, *system;
	struct host_values values;
	struct host_place place;
	bool as_root, user;
};
enum { OPT_INIT = 256, OPT_STDOUT, OPT_HOME, OPT_SYSTEM, OPT_AS_ROOT, OPT_USER, OPT_ROOT, OPT_PROGRAM, OPT_FORCE, OPT_HELP };
static const struct option longs[] = { { "init-stream", required_argument, NULL, OPT_INIT },
	{ "stdout", required_argument, NULL, OPT_STDOUT }, { "home", required_argument, NULL, OPT_HOME },
	{ "system", required_argument, NULL, OPT_SYSTEM }, { "as-root", no_argument, NULL, OPT_AS_ROOT },
	{ "user", no_argument, NULL, OPT_USER }, { "root", required_argument, NULL, OPT_ROOT },
	{ "program", required_argument, NULL, OPT_PROGRAM }, { "force", no_argument, NULL, OPT_FORCE },
	{ "help", no_argument, NULL, OPT_HELP }, { 0 } };

static int complain(int status, const char *text)
{
	fprintf(stderr, "pm: host: %s\n", text);
	return status;
}

/* -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case OPT_INIT:
			o->values.init_stream = optarg;
			break;
		case OPT_STDOUT:
			o->values.log = optarg;
			break;
		case OPT_HOME:
			o->values.home = optarg;
			break;
		case OPT_SYSTEM:
			o->system = optarg;
			break;
		case OPT_AS_ROOT:
			o->as_root = true;
			break;
		case OPT_USER:
			o->user = true;
			break;
		case OPT_ROOT:
			o->place.root = optarg;
			break;
		case OPT_PROGRAM:
			o->values.program = optarg;
			break;
		case OPT_FORCE:
			o->place.force = true;
			break;
		case 'h':
		case OPT_HELP:
			fputs(usage, stdout);
			return 0;
		default:
			return 2;
		}
	}
	o->action = argv[optind];
	if (!o->action || argv[optind + 1]) {
		fputs(usage, stderr);
		return 2;
	}
	return -1;
}

static bool relative(const char *path)
{
	return path && *path != '/';
}

/* -1 to go on. */
static int check(struct options *o)
{
	static char root[HOST_PATH], self[HOST_PATH];
	bool offline = o->place.root;
	ssize_t n;

	if (relative(o->values.log) || relative(o->values.home) || relative(o->values.program))
		return complain(2, "--stdout, --home and --program take absolute paths: a service starts in another directory");
	if (o->user && o->as_root)
		return complain(2, "--user and --as-root exclude each other");
	if (offline && !realpath(o->place.root, root)) {
		fprintf(stderr, "pm: host: --root %s: %s\n", o->place.root, strerror(errno));
		return errno == ENOENT ? 3 : 1;
	}
	if (strcmp(root, "/") == 0)
		root[0] = '\0';
	o->place.root = root;
	o->user |= geteuid() != 0 && !o->as_root && !offline;
	o->values.user = o->user;
	o->place.userhome = getenv("HOME");
	if (o->user && (relative(o->place.userhome) || !o->place.userhome))
		return complain(1, "HOME is not set: where are this user's services?");
	if (o->as_root && geteuid() != 0 && !offline)
		return complain(4, "the system's service needs root's rights; run this with sudo, or --user for a service of your own");
	if (o->values.program)
		return -1;
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	o->values.program = offline || n <= 0 ? "/usr/bin/pm" : self;
	return -1;
}

static const struct host_system *choose(const struct options *o, char *evidence, int *status)
{
	const struct host_system *s;

	if (o->system) {
		snprintf(evidence, HOST_WHY, "--system");
		s = host_system_find(o->system, o->user);
		*status = 2;
		if (!s && host_system_find(o->system, !o->user))
			fprintf(stderr, "pm: host: %s has no services of %s\n", o->system,
				o->user ? "users that pm knows; as root, or with --as-root, it is the system's" : "the system");
		else if (!s)
			fprintf(stderr, "pm: host: '%s' is none of systemd, openrc, sysvinit, runit, s6, bsd, launchd\n", o->system);
		return s;
	}
	*status = 3;
	s = host_detect(o->place.root, o->user, evidence);
	if (!s && evidence[0])
		fprintf(stderr, "pm: host: %s, but that has no services of users that pm knows; run this as root\n", evidence);
	else if (!s)
		complain(3, "no service manager that pm knows was found; --system names one");
	return s;
}

/* The peer's exit status, 127 when it can't be run. */
static int run(const char *const *argv)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execvp(argv[0], (char *const *)argv);
		fprintf(stderr, "pm: host: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return pid < 0 ? 127 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int install(const struct options *o, const struct host_system *s, const char *evidence)
{
	char why[HOST_WHY], path[HOST_PATH];
	bool foreign;
	int n = host_write(s, &o->place, &o->values, &foreign, why);

	if (n < 0)
		return complain(foreign ? 4 : 1, why);
	host_installed(s, &o->place, path);
	printf("pm is %s %s service of %s (%s): %s\n", o->user ? "this user's" : "a", s->name, *o->place.root ? o->place.root : "this system",
		evidence, path);
	if (why[0])
		fprintf(stderr, "pm: host: %s\n", why);
	if (!s->tested)
		fprintf(stderr, "pm: host: the files for %s are written after its manuals and are not tested\n", s->name);
	if (!o->values.init_stream)
		fprintf(stderr, "pm: host: without --init-stream pm starts with no unit and waits for commands\n");
	if (*o->place.root || !s->after)
		return 0;
	return run(s->after) == 0 ? 0 : complain(1, "the files are there, but the service manager could not be told");
}

static int take_away(const struct options *o, const struct host_system *s)
{
	char why[HOST_WHY], path[HOST_PATH];
	int n;

	if (!host_installed(s, &o->place, path))
		return complain(3, "pm is not installed as a service here");
	if (!*o->place.root && run(s->stop) != 0 && !o->place.force)
		return complain(1, "the service did not stop, so its files stay; --force takes them away all the same");
	n = host_erase(s, &o->place, why);
	if (n < 0)
		return complain(1, why);
	if (!*o->place.root && s->after)
		run(s->after);
	return 0;
}

static int control(const struct options *o, const struct host_system *s, const char *const *command)
{
	char path[HOST_PATH];

	if (*o->place.root)
		return complain(2, "a system that is mounted at --root does not run: nothing can be started or stopped");
	if (!host_installed(s, &o->place, path))
		return complain(3, "pm is not installed as a service here; 'pm host install' does that");
	return run(command) == 0 ? 0 : 1;
}

static int status(const struct options *o, const struct host_system *s, const char *evidence)
{
	char path[HOST_PATH];
	bool installed = host_installed(s, &o->place, path);

	printf("system: %s (%s)%s\nservice: %s%s\n", s->name, evidence, s->tested ? "" : ", templates not tested",
		installed ? "installed, " : "not installed", installed ? path : "");
	return installed ? 0 : 3;
}

int host_main(int argc, char **argv)
{
	struct options o = { 0 };
	char evidence[HOST_WHY];
	const struct host_system *s;
	int r = parse(argc, argv, &o);

	if (r < 0)
		r = check(&o);
	if (r >= 0)
		return r;
	s = choose(&o, evidence, &r);
	if (!s)
		return r;
	if (strcmp(o.action, "install") == 0)
		return install(&o, s, evidence);
	if (strcmp(o.action, "remove") == 0)
		return take_away(&o, s);
	if (strcmp(o.action, "start") == 0)
		return control(&o, s, s->start);
	if (strcmp(o.action, "stop") == 0)
		return control(&o, s, s->stop);
	if (strcmp(o.action, "status") == 0)
		return status(&o, s, evidence);
	fprintf(stderr, "pm: host: '%s' is no action: install, remove, start, stop, status\n", o.action);
	return 2;
}
