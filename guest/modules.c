/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <linux/module.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* Whether a device on some bus has that modalias (a pattern). */
static bool device_there(const char *pattern)
{
	glob_t found = { 0 };
	char alias[512];
	bool there = false;

	if (glob("/sys/bus/*/devices/*/modalias", GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc && !there; i++)
			there = read_text(found.gl_pathv[i], alias, sizeof(alias)) >= 0 &&
				fnmatch(pattern, alias, 0) == 0;
	globfree(&found);
	return there;
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

void modules_background(struct modules *m)
{
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		root_grow();
		/* Commands that come meanwhile go first. */
		sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){ 0 });
		while (m->next && modules_step(m) >= 0)
			;
		_exit(0);
	}
}
