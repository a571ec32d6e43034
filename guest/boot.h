/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of the tiny image. Everything by system calls: under emulation each fork and exec costs milliseconds. */
#ifndef CROFT_GUEST_BOOT_H
#define CROFT_GUEST_BOOT_H

#include "guest.h"

/* root.c: finds the disk with serial croft-root, makes it the upper layer of /. 0: done or no disk. */
int root_switch(void);
/* Makes the file system as big as its disk; takes a while (0.2 s under emulation), so it is done when commands have been served for some time. */
void root_grow(void);

/* modules.c: /etc/croft/modules, groups divided by lines "--"; after "?PATTERN" only where a device's modalias matches. */
struct modules {
	char *text, *next;
	bool skip; /* the last pattern matched nothing */
};
void modules_open(struct modules *m);
/* Loads the next module. 1: one was handled; 0: end of this group; -1: end of the list. */
int modules_step(struct modules *m);
/*
 * From now on the kernel loads what a mount, a socket or a device asks for (busybox's modprobe is not where the kernel looks for one). Not
 * sooner: each of its questions during the boot would cost a process.
 */
void modules_on_demand(void);
/* Loads the rest in a child process, which then, some time later, grows the root. */
void modules_background(struct modules *m);

/* config.c: what the kernel command line says. */
void config_apply(void);

/* console.c */
struct console {
	int fd; /* -1: none, or the shell has it */
	pid_t shell;
	char path[64];
	uint64_t again; /* ms: not before */
};
#define CONSOLES_MAX 4
/* Opens all that the kernel writes to, the screen and the serial ports; how many. */
size_t consoles_open(struct console *c, size_t n);
/* The first line typed starts a shell; its end brings the greeting back. */
void console_turn(struct console *c, short revents);
/* Power buttons (input devices with KEY_POWER); at most n fds. */
size_t buttons_open(int *fds, size_t n);
bool button_pressed(int fd);

#endif
