/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <linux/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LIST "/etc/croft/modules"

void modules_open(struct modules *m)
{
	struct stat st;

	memset(m, 0, sizeof(*m));
	if (stat(LIST, &st) < 0)
		return; /* all built in */
	m->text = malloc((size_t)st.st_size + 2);
	if (m->text && read_text(LIST, m->text, (size_t)st.st_size + 2) >= 0)
		m->next = m->text;
}

/* Line: path of the module, then its parameters. */
static void load(char *line)
{
	char *params = line + strcspn(line, " \t");
	size_t n;
	int fd, flags;

	if (*params)
		*params++ = '\0';
	n = strlen(line);
	flags = n > 3 && strcmp(line + n - 3, ".ko") == 0 ? 0 : MODULE_INIT_COMPRESSED_FILE;
	fd = open(line, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, params, flags) < 0 && errno != EEXIST &&
			      errno != ENODEV))
		say("module %s: %s", line, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * The modaliases of what is on a bus, a line each; they do not change once virtio_pci is loaded. Read once, and each bus when
 * a pattern asks for it: under emulation reading all devices takes tens of milliseconds.
 */
static const char *aliases(const char *bus)
{
	static struct {
		const char *bus;
		char text[8192];
	} known[] = { { .bus = "pci:" }, { .bus = "virtio:" } };
	size_t k = 0, used = 0, n;
	glob_t found = { 0 };
	char *text, pattern[64];

	while (k < sizeof(known) / sizeof(known[0]) && strncmp(bus, known[k].bus, strlen(known[k].bus)))
		k++;
	if (k == sizeof(known) / sizeof(known[0]))
		return "";
	text = known[k].text;
	if (*text)
		return text;
	snprintf(pattern, sizeof(pattern), "/sys/bus/%.*s/devices/*/modalias", (int)strcspn(bus, ":"), bus);
	if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc && used + 2 < sizeof(known[k].text); i++) {
			/* One that is cut short would be the last. */
			if (read_text(found.gl_pathv[i], text + used, sizeof(known[k].text) - used - 1) < 0)
				continue;
			n = strlen(text + used);
			text[used + n] = '\n';
			text[used + n + 1] = '\0';
			used += n + 1;
		}
	globfree(&found);
	return text;
}

/* Whether a device has that modalias (a pattern). */
static bool device_there(const char *pattern)
{
	char alias[512];

	for (const char *p = aliases(pattern); *p; p += strcspn(p, "\n") + 1) {
		snprintf(alias, sizeof(alias), "%.*s", (int)strcspn(p, "\n"), p);
		if (fnmatch(pattern, alias, 0) == 0)
			return true;
	}
	return false;
}

int modules_step(struct modules *m)
{
	char *line = m->next, *end;

	if (!line || !*line)
		return -1;
	end = line + strcspn(line, "\n");
	m->next = *end ? end + 1 : end;
	*end = '\0';
	if (strcmp(line, "--") == 0) {
		m->skip = false;
		return 0;
	}
	if (*line == '?')
		m->skip = !device_there(line + 1);
	else if (*line && *line != '#' && !m->skip)
		load(line);
	return 1;
}

void modules_on_demand(void)
{
	static const char program[] = "/bin/modprobe";

	if (access("/sbin/modprobe", X_OK) == 0 || access(program, X_OK) < 0)
		return; /* a whole system with kmod, or none */
	if (write_text("/proc/sys/kernel/modprobe", program, 0644) < 0)
		say("%s: %s", program, strerror(errno));
}

void modules_background(struct modules *m)
{
	struct timespec up;

	if (fork() != 0)
		return;
	/* Commands that come meanwhile go first; but what they never let run would never be there. */
	setpriority(PRIO_PROCESS, 0, 19);
	while (m->next && modules_step(m) >= 0)
		;
	/* Machines that boot beside this one need the processor too: as much time as the boot took is left to them. */
	clock_gettime(CLOCK_MONOTONIC, &up);
	nanosleep(&up, NULL);
	root_grow();
	_exit(0);
}
