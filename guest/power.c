/* SPDX-License-Identifier: Apache-2.0 */
/* The orderly end. */
#include "guest.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS 2000
#define ANSWER_MS 300

/* Until no process but us is left, or time is over. */
static void wait_all(int ms)
{
	uint64_t end = now_ms() + (uint64_t)ms;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 || now_ms() >= end)
			return;
		if (pid == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
}

static void end_machine(int what)
{
	kill(-1, SIGTERM);
	kill(-1, SIGHUP); /* interactive shells ignore TERM */
	kill(-1, SIGCONT);
	wait_all(GRACE_MS);
	kill(-1, SIGKILL);
	wait_all(GRACE_MS);
	sync();
	/* In a chroot on an overlay nothing can be unmounted: read-only is as good for the disk. */
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	if (mount(NULL, "/run/croft/disk", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		sync();
	reboot(what == 'r' ? RB_AUTOBOOT : RB_POWER_OFF);
	reboot(RB_HALT_SYSTEM);
	for (;;)
		pause();
}

void power_off(struct guest *g, int what)
{
	const char *verb = what == 'r' ? "reboot" : "poweroff";
	const char *systemctl[] = { "systemctl", verb, NULL }, *direct[] = { verb, NULL };
	const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	char path[256];
	struct spawn sp = { .path = path, .argv = systemctl, .envp = env, .in = 2, .out = 2, .err = 2,
		.tty = -1 };

	if (g->pid1)
		end_machine(what);
	if (spawn_lookup("systemctl", env[0] + 5, path, sizeof(path)) < 0) {
		sp.argv = direct;
		if (spawn_lookup(verb, env[0] + 5, path, sizeof(path)) < 0) {
			say("%s: %s", verb, strerror(errno));
			return;
		}
	}
	if (spawn(&sp) < 0)
		say("%s: %s", path, strerror(errno));
}

void power_open(struct guest *g, struct stream *s)
{
	char *name = stream_string(s, FRAME_K_NAME);

	if (name && (strcmp(name, "poweroff") == 0 || strcmp(name, "reboot") == 0)) {
		if (g->socket) {
			stream_error(g, s, EPERM, "not the guest program of a machine");
		} else {
			stream_exit(g, s, 0);
			g->power = name[0];
			g->power_at = now_ms() + ANSWER_MS;
		}
	} else {
		stream_error(g, s, EINVAL, "poweroff or reboot");
	}
	free(name);
}
