/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS 2000
#define FIRST_PID_NAMESPACE 0xEFFFFFFCu /* PROC_PID_INIT_INO of the kernel's proc_ns.h */

/* linux/input.h, which musl's headers lack: struct input_event, EVIOCGBIT(EV_KEY), KEY_POWER. */
struct event {
	struct timeval time;
	uint16_t type, code;
	int32_t value;
};
#define EV_KEY_TYPE 1
#define POWER_KEY 116
#define KEY_BYTES 96
#define GET_KEYS _IOC(_IOC_READ, 'E', 0x20 + EV_KEY_TYPE, KEY_BYTES)

size_t init_buttons(int *fds, size_t max)
{
	size_t n = 0;

	for (int i = 0; i < 32 && n < max; i++) {
		unsigned char keys[KEY_BYTES] = { 0 };
		char path[32];
		int fd;

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, GET_KEYS, keys) >= 0 && (keys[POWER_KEY / 8] & 1 << POWER_KEY % 8))
			fds[n++] = fd;
		else
			close(fd);
	}
	return n;
}

bool init_button_pressed(int fd)
{
	bool pressed = false;
	struct event e;

	while (read(fd, &e, sizeof(e)) == sizeof(e))
		pressed |= e.type == EV_KEY_TYPE && e.code == POWER_KEY && e.value == 1;
	return pressed;
}

enum init_end init_signal_means(int signo)
{
	if (signo == SIGINT || signo == SIGTERM || signo == INIT_RTMIN + 5)
		return INIT_REBOOT;
	if (signo == SIGUSR2 || signo == SIGPWR || signo == INIT_RTMIN + 4)
		return INIT_POWEROFF;
	if (signo == SIGUSR1 || signo == INIT_RTMIN + 3)
		return INIT_HALT;
	return signo == INIT_RTMIN + 6 ? INIT_KEXEC : INIT_NONE;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until no process but us is left, or time is over. SIGCHLD is blocked, and waited for. */
static void wait_all(int ms)
{
	int64_t end = now_ms() + ms;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		int64_t left = end - now_ms();

		if (pid < 0 || left <= 0)
			return;
		if (pid == 0)
			sigtimedwait(&set, NULL, &(struct timespec){ left / 1000, left % 1000 * 1000000 });
	}
}

/* In a container the file systems are the host's: to make them read-only would be the end of the host's work. */
static bool whole_machine(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == FIRST_PID_NAMESPACE;
}

_Noreturn void init_finish(enum init_end how)
{
	kill(-1, SIGTERM);
	kill(-1, SIGHUP); /* interactive shells ignore TERM */
	kill(-1, SIGCONT);
	wait_all(GRACE_MS);
	kill(-1, SIGKILL);
	wait_all(GRACE_MS);
	sync();
	if (whole_machine())
		init_unmount();
	if (how == INIT_KEXEC && reboot(RB_KEXEC) < 0)
		init_say("kexec: %s; rebooting", strerror(errno));
	if (how == INIT_POWEROFF)
		reboot(RB_POWER_OFF);
	if (how == INIT_REBOOT || how == INIT_KEXEC)
		reboot(RB_AUTOBOOT);
	reboot(RB_HALT_SYSTEM);
	for (;;)
		pause();
}
