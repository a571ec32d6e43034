/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order: mounts; modules of the agent's port; port opened, HELLO answered; the other modules; root on disk;
 * host name and network; only then commands are served (frames that came before wait in the buffer).
 */
#include "boot.h"
#include "pm/init/early.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PORT_WAIT_MS 100
#define BUTTONS_MAX 4
#define BUTTON_SCANS 10

static void find_port(struct guest *g, int ms)
{
	uint64_t end = now_ms() + (uint64_t)ms;

	/* The port's name comes with a control message after the driver's probe. */
	while (g->port < 0 && serve_open_port(g) < 0 && now_ms() < end)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void load_group(struct guest *g, struct modules *m)
{
	while (modules_step(m) > 0) {
		if (g->port < 0)
			find_port(g, 0);
		serve_turn(g, 0, NULL, 0);
	}
}

static void prepare(struct guest *g, struct modules *m)
{
	modules_open(m);
	/* The first group may hold what the root disk needs too: the port is opened as soon as it is there. */
	load_group(g, m);
	find_port(g, PORT_WAIT_MS);
	/* The host's HELLO waits in the port: answer it before the slower part. */
	serve_turn(g, g->port >= 0 ? 5 : 0, NULL, 0);
	load_group(g, m);
	if (root_switch() == 0) {
		/* No disk: /tmp may have more than the half of memory that is tmpfs's default. */
		early_mount("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777,size=80%", say);
	}
	config_apply();
	modules_on_demand();
	g->ready = true;
}

/* A word of the kernel's command line. */
static bool told(const char *word)
{
	char line[4096], *save = NULL;

	if (read_text("/proc/cmdline", line, sizeof(line)) < 0)
		return false;
	for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (strcmp(w, word) == 0)
			return true;
	return false;
}

/*
 * The boot is done, and as fast as ever, when pm becomes process 1: we go on in a child, which pm takes for its unit
 * croft-guest. The child waits until pm is there; without a pm we stay what we are.
 */
static void hand_over(struct guest *g)
{
	char number[16], c;
	const char *argv[] = { "pm", "init", "--prepared", "--adopt", number, NULL };
	int go[2], null;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) != 0)
			_exit(1);
		close(go[0]);
		setsid();
		/* pm looks at the output of what it takes over: it shall not be the console's input. */
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(null, 0);
		dup2(null, 1);
		close(null);
		g->pid1 = false;
		if (g->port >= 0)
			fcntl(g->port, F_SETOWN, getpid()); /* who is told of connections */
		return;
	}
	close(go[0]);
	if (pid > 0) {
		snprintf(number, sizeof(number), "%d", (int)pid);
		execv("/sbin/pm", (char *const *)argv); /* closes the pipe */
	}
	say("/sbin/pm: %s; going on without", strerror(errno));
	if (write(go[1], "x", 1) < 0)
		say("%s", strerror(errno));
	close(go[1]);
}

/* A console that a shell has is looked after. */
static int patience(const struct console *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (c[i].fd < 0)
			return 1000;
	return -1;
}

static void run(struct guest *g)
{
	struct pollfd extra[BUTTONS_MAX + CONSOLES_MAX];
	int buttons[BUTTONS_MAX];
	size_t nbuttons = 0, nconsoles, scan = g->pid1 ? 0 : BUTTON_SCANS; /* another process 1 looks at them itself */
	struct console c[CONSOLES_MAX] = { 0 };

	nconsoles = consoles_open(c, CONSOLES_MAX);
	for (;;) {
		/* Buttons come with modules that are loaded in the background. */
		if (!nbuttons && scan < BUTTON_SCANS)
			nbuttons = buttons_open(buttons, BUTTONS_MAX);
		for (size_t i = 0; i < nbuttons; i++)
			extra[i] = (struct pollfd){ .fd = buttons[i], .events = POLLIN };
		for (size_t i = 0; i < nconsoles; i++)
			extra[nbuttons + i] = (struct pollfd){ .fd = c[i].fd, .events = POLLIN };
		if (g->port < 0)
			find_port(g, 0);
		serve_turn(g, g->power ? 10 : g->port < 0 ? 200 : !nbuttons && scan++ < BUTTON_SCANS ? 500 : patience(c, nconsoles),
			extra, nbuttons + nconsoles);
		for (size_t i = 0; i < nbuttons; i++)
			if ((extra[i].revents & POLLIN) && button_pressed(extra[i].fd))
				g->power = 'p';
		for (size_t i = 0; i < nconsoles; i++)
			console_turn(&c[i], extra[nbuttons + i].revents);
		if (g->power == 'x') /* a unit that is stopped */
			return;
		if (g->power && (out_waiting(g) == 0 || now_ms() >= g->power_at)) {
			power_off(g, g->power);
			g->power = 0; /* process 1 does not come back; a unit has asked it */
		}
	}
}

int boot_main(void)
{
	struct guest g = { .port = -1, .pid1 = true };
	struct modules m;

	umask(022);
	early_mounts(say);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del: SIGINT to us */
	if (serve_init(&g) < 0) {
		say("out of memory");
		reboot(RB_POWER_OFF);
	}
	prepare(&g, &m);
	if (told("croft.init=pm"))
		hand_over(&g);
	modules_background(&m);
	run(&g);
	return 0;
}
