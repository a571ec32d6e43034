/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUTTONS 4
#define PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define AGAIN_MS 1000	  /* between two starts of pm main */
#define FAST_MS 10000	  /* a pm main that ran less long has failed */
#define FAST_MAX 5	  /* in a row: the last resort */

struct init {
	struct init_config config;
	const char *home;
	pid_t main, shell;
	int64_t started; /* ms: of pm main */
	int64_t again;	 /* ms: start it again then; 0: not */
	int64_t deadline; /* ms: of the stop; 0: none asked for */
	int fast;	 /* failures of pm main in a row */
	enum init_end end;
	int signals, devices, buttons[BUTTONS];
	size_t nbuttons;
};

void init_say(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text + 4, sizeof(text) - 6, fmt, ap);
	va_end(ap);
	memcpy(text, "pm: ", 4);
	if (n > (int)sizeof(text) - 7)
		n = (int)sizeof(text) - 7;
	memcpy(text + 4 + n, "\r\n", 2);
	if (write(2, text, (size_t)n + 6) < 0)
		return; /* no console: nobody to tell */
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void make_dirs(const char *path)
{
	char part[256];

	snprintf(part, sizeof(part), "%s", path);
	for (char *at = part + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		mkdir(part, 0755);
	}
	mkdir(part, 0700);
}

/* By writing: a read-only or full file system, or one that is not there, all show themselves so. */
static bool usable(const char *home)
{
	char path[300];
	int fd, r;

	make_dirs(home);
	snprintf(path, sizeof(path), "%s/.probe", home);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	r = write(fd, "x", 1) == 1;
	close(fd);
	unlink(path);
	if (!r)
		errno = ENOSPC;
	return r;
}

static bool find_home(struct init *i)
{
	i->home = *i->config.home ? i->config.home : INIT_HOME;
	if (usable(i->home))
		return true;
	init_say("home %s cannot be used: %s; trying " INIT_HOME_LAST ", which is lost at the end", i->home, strerror(errno));
	i->home = INIT_HOME_LAST;
	if (usable(i->home))
		return true;
	init_say(INIT_HOME_LAST " cannot be used either: %s", strerror(errno));
	return false;
}

/* In the child: as if nobody had blocked anything, with the console. */
static void plain_child(void)
{
	sigset_t none;

	sigemptyset(&none);
	setsid();
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void start_main(struct init *i)
{
	const char *argv[] = { "pm", "main", *i->config.stream ? "--init-stream" : NULL, i->config.stream, NULL };
	char self[512];
	ssize_t n;

	i->again = 0;
	i->started = now_ms();
	i->main = fork();
	if (i->main == 0) {
		plain_child();
		setenv("PMHOME", i->home, 1);
		/* By name, so that it has its name in lists of processes; where that leads nowhere, as what we are. */
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		self[n > 0 ? n : 0] = '\0';
		execv(self, (char *const *)argv);
		execv("/proc/self/exe", (char *const *)argv);
		init_say("/proc/self/exe: %s", strerror(errno));
		_exit(127);
	}
	if (i->main < 0) {
		init_say("pm main: fork: %s", strerror(errno));
		i->main = 0;
		i->again = now_ms() + AGAIN_MS;
	}
}

static void start_shell(struct init *i)
{
	static const char *const shells[] = { "/bin/bash", "/bin/sh", "/bin/busybox", NULL };

	if (!i->config.shell || i->shell > 0)
		return;
	init_say("pm.shell: a shell; its end tries pm again");
	i->shell = fork();
	if (i->shell != 0)
		return;
	plain_child();
	ioctl(0, TIOCSCTTY, 1);
	for (const char *const *s = shells; *s; s++)
		execl(*s, "sh", "-i", NULL);
	init_say("no /bin/sh: %s", strerror(errno));
	_exit(127);
}

/* Nothing works: say so, and stay, for process 1 must; the power button and the signals go on working. */
static void last_resort(struct init *i)
{
	if (!i->config.shell)
		init_say("nothing is run; pm.shell on the kernel's command line gives a shell here");
	start_shell(i);
}

static void go(struct init *i)
{
	if (!find_home(i)) {
		last_resort(i);
		return;
	}
	/* Once: from then on it is in the home. */
	if (i->config.adopt > 0)
		init_adopt(i->home, i->config.adopt);
	i->config.adopt = 0;
	start_main(i);
}

static void main_ended(struct init *i, int status)
{
	i->main = 0;
	if (i->end)
		return;
	if (WIFSIGNALED(status))
		init_say("pm main was killed by signal %d; it is started again", WTERMSIG(status));
	else
		init_say("pm main ended with status %d; it is started again", WEXITSTATUS(status));
	i->fast = now_ms() - i->started < FAST_MS ? i->fast + 1 : 0;
	if (i->fast < FAST_MAX) {
		i->again = now_ms() + AGAIN_MS;
		return;
	}
	init_say("pm main ends again and again");
	i->fast = 0;
	last_resort(i);
}

static void reap(struct init *i)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == i->main)
			main_ended(i, status);
		if (pid == i->shell) {
			i->shell = 0;
			if (!i->end)
				go(i);
		}
	}
}

static void ask_for(struct init *i, enum init_end how)
{
	static const char *const names[] = { "", "power off", "reboot", "halt", "kexec" };

	if (how == INIT_NONE)
		return;
	if (i->end) { /* somebody is impatient */
		i->deadline = now_ms();
		return;
	}
	i->end = how;
	i->again = 0;
	i->deadline = now_ms() + (int64_t)i->config.stop_timeout * 1000;
	init_say("%s: stopping the units", names[how]);
	if (i->main > 0)
		kill(i->main, SIGTERM);
}

static void read_signals(struct init *i)
{
	struct signalfd_siginfo s;

	while (read(i->signals, &s, sizeof(s)) == sizeof(s)) {
		if (s.ssi_signo == SIGCHLD)
			reap(i);
		else
			ask_for(i, init_signal_means((int)s.ssi_signo));
	}
}

/* Buttons come with modules that are loaded later: the kernel tells when a device appears. */
static void read_devices(struct init *i)
{
	char events[4096];

	while (read(i->devices, events, sizeof(events)) > 0)
		;
	for (size_t k = 0; k < i->nbuttons; k++)
		close(i->buttons[k]);
	i->nbuttons = init_buttons(i->buttons, BUTTONS);
	/* /dev/input itself may have come just now */
	inotify_add_watch(i->devices, "/dev/input", IN_CREATE | IN_ATTRIB);
}

static int time_left(const struct init *i)
{
	int64_t at = i->deadline ? i->deadline : i->again, left;

	if (!at)
		return -1;
	left = at - now_ms();
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static _Noreturn void serve(struct init *i)
{
	for (;;) {
		struct pollfd p[2 + BUTTONS] = { { .fd = i->signals, .events = POLLIN }, { .fd = i->devices, .events = POLLIN } };

		for (size_t k = 0; k < i->nbuttons; k++)
			p[2 + k] = (struct pollfd){ .fd = i->buttons[k], .events = POLLIN };
		poll(p, 2 + i->nbuttons, time_left(i));
		for (size_t k = 0; k < i->nbuttons; k++) {
			if ((p[2 + k].revents & POLLIN) && init_button_pressed(i->buttons[k]))
				ask_for(i, INIT_POWEROFF);
		}
		if (p[0].revents)
			read_signals(i);
		if (p[1].revents)
			read_devices(i);
		if (i->end && i->main > 0 && now_ms() >= i->deadline)
			init_say("some units do not stop: they are killed");
		if (i->end && (i->main <= 0 || now_ms() >= i->deadline))
			init_finish(i->end);
		if (i->again && now_ms() >= i->again)
			go(i);
	}
}

static void read_cmdline(struct init_config *c)
{
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	init_cmdline(text, c);
	if (!*c->stream && access(INIT_STREAM, R_OK) == 0)
		snprintf(c->stream, sizeof(c->stream), INIT_STREAM);
}

static void take_signals(struct init *i)
{
	sigset_t set;

	/* All of them: process 1 has no use for any other way. */
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	i->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	i->devices = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	inotify_add_watch(i->devices, "/dev", IN_CREATE);
	reboot(RB_DISABLE_CAD); /* ctrl-alt-del: SIGINT to us */
}

int init_main(int argc, char **argv)
{
	static struct init i;

	i.config.stop_timeout = 90;
	/* The kernel hands words of its command line on to process 1: only our own count. */
	for (int k = 1; k < argc; k++) {
		i.config.prepared |= strcmp(argv[k], "--prepared") == 0;
		if (strcmp(argv[k], "--adopt") == 0 && k + 1 < argc)
			i.config.adopt = atoi(argv[k + 1]);
	}
	if (getpid() != 1 && argc > 2 && !strcmp(argv[2], "--help")) {
		puts("usage: the kernel's init=, or the first program of a container\nbe process 1: mounts, pm main, orphans, the end in order. "
			"Kernel command line: pm.home=DIR pm.init-stream=SOURCE pm.stop-timeout=SECONDS pm.shell");
		return 0;
	}
	if (getpid() != 1) {
		fputs("pm: init: this is for process 1 (the kernel's init=, or of a container)\n", stderr);
		return 2;
	}
	umask(022);
	if (i.config.prepared)
		init_mount_cgroup();
	else
		init_mounts();
	setenv("PATH", PATH, 1);
	read_cmdline(&i.config);
	take_signals(&i);
	read_devices(&i);
	go(&i);
	serve(&i);
}

int init_power_main(int argc, char **argv)
{
	static const struct {
		const char *word;
		int plus; /* INIT_RTMIN+ */
	} words[] = { { "halt", 3 }, { "off", 4 }, { "poweroff", 4 }, { "reboot", 5 }, { "kexec", 6 } };

	for (size_t k = 0; argc == 2 && k < sizeof(words) / sizeof(words[0]); k++) {
		if (strcmp(argv[1], words[k].word) != 0)
			continue;
		if (kill(1, INIT_RTMIN + words[k].plus) == 0)
			return 0;
		fprintf(stderr, "pm: power %s: process 1: %s\n", argv[1], strerror(errno));
		return 1;
	}
	fputs("usage: pm power off|reboot|halt|kexec: asks process 1, which stops the units first\n", stderr);
	return 2;
}
