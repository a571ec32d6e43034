/* SPDX-License-Identifier: Apache-2.0 */
/* How people see a machine's screen: the viewer's command line, and starting it. */
#ifndef CROFT_MACHINE_DISPLAY_H
#define CROFT_MACHINE_DISPLAY_H

#include "base/proc.h"
#include "base/strv.h"
#include "machine/machine.h"
#include <stdio.h>

struct display {
	struct strv argv; /* the viewer; connects to what stands in settings, when there are any */
	char *settings;	  /* remote-viewer's connection file (remote-viewer(1), CONNECTION FILE) for its stdin, with the password; or NULL */
	char *uri;	  /* the same for other computers, without the password */
	char *secret;	  /* file with the password, or NULL */
	char *program;	  /* where argv[0] is, NULL: not installed */
	bool local;	  /* it listens for this host only */
};
void display_clear(struct display *d);
/* ERR_STATE: the machine has no display that others can connect to, or does not run. */
int display_open(struct machine *m, struct display *d, struct error **err);
/* Whether there is a screen to show something on: DISPLAY or WAYLAND_DISPLAY. */
bool display_have_screen(void);
/* Starts the viewer. p->detach is false: releasing the handle ends it. */
int display_spawn(const struct display *d, struct proc *p, struct error **err);
/* What to type to see it, for people. */
void display_print(const struct display *d, FILE *f);

#endif
