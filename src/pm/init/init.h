/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pm as process 1. Process 1 must never die and never be stuck, so it is not pm itself: it is a small program without heap that
 * mounts what every system needs, starts `pm main` and starts it again if that should die (it takes its units back), reaps
 * orphans, takes the signals and the power button that mean the end, and brings the machine down: pm stops its units in their
 * order, then all others are told, then killed, then sync, unmount, reboot(2).
 *
 * Signals: INT (ctrl-alt-del) and TERM reboot, USR2 and PWR power off, USR1 halts, as busybox's and sysvinit's init have it; and
 * systemd's RTMIN+3 halt, +4 power off, +5 reboot, +6 kexec. A second request does not wait any more.
 *
 * Words on the kernel's command line:
 *	pm.home=DIR		home of pm, default /var/opt/pm; where that cannot be written: a message, and /run/pm
 *	pm.init-stream=SRC	what pm reads first; default /etc/pm/init-stream when that exists
 *	pm.stop-timeout=SECONDS	how long units may take to stop; default 90
 *	pm.shell		when pm cannot run: a shell on the console
 */
#ifndef CROFT_PM_INIT_H
#define CROFT_PM_INIT_H

#include <stdbool.h>
#include <stddef.h>

#define INIT_RTMIN 34 /* as glibc counts, whatever library we are linked with */
#define INIT_HOME "/var/opt/pm"
#define INIT_HOME_LAST "/run/pm"
#define INIT_STREAM "/etc/pm/init-stream"

enum init_end { INIT_NONE, INIT_POWEROFF, INIT_REBOOT, INIT_HALT, INIT_KEXEC };

struct init_config {
	char home[256], stream[512];
	unsigned stop_timeout; /* s */
	bool shell;
	bool prepared; /* --prepared: who was process 1 before us has mounted everything */
	int adopt;     /* --adopt PID: croft's guest program, which that one left behind as a child of ours */
};
/* cmdline.c: the words above from the kernel's command line. */
void init_cmdline(const char *text, struct init_config *c);

/* adopt.c: writes into the home what lets pm main take a running process for the unit croft-guest. */
void init_adopt(const char *home, int pid);

/* mounts.c */
void init_mounts(void);
/* Of them the one that others leave out: where units get their limits. */
void init_mount_cgroup(void);
/* sync; then all file systems are unmounted, or made read-only where something holds them. */
void init_unmount(void);

/* power.c */
/* Fills in fds of the power buttons that there are now; how many. */
size_t init_buttons(int *fds, size_t max);
bool init_button_pressed(int fd);
/* TERM, then KILL to every process but us; then init_unmount and reboot(2). */
_Noreturn void init_finish(enum init_end how);
enum init_end init_signal_means(int signo);

void init_say(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "pm: ..." on the console */

/* `pm init [--prepared]`, or pm started as process 1: never returns then. As another process: an error, status 2. */
int init_main(int argc, char **argv);
/* `pm power off|reboot|halt|kexec`: asks process 1. */
int init_power_main(int argc, char **argv);

#endif
