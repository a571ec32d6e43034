/* SPDX-License-Identifier: Apache-2.0 */
/*
 * croft's guest program has booted the machine and runs on as our child. It becomes the unit croft-guest in the way in which
 * any unit is taken back by a new pm: its parameters, and a job with its pid (pm.h describes the files).
 */
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIT "croft-guest"

static const char parameter[] = "title=croft's program in this machine\n"
				"run=/sbin/croft-guest --service\n"
				"restart=always\n"
				"log=off\n";

static int put(const char *home, const char *name, const char *text)
{
	char path[400];
	size_t n = strlen(text);
	int fd, ok;

	snprintf(path, sizeof(path), "%s/%s", home, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ok = fd >= 0 && write(fd, text, n) == (ssize_t)n;
	if (!ok)
		init_say("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok ? 0 : -1;
}

static void dir(const char *home, const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", home, name);
	mkdir(path, 0700);
}

/* One more than any job that there was: homes survive the machine's end. */
static unsigned next_job(const char *home)
{
	char path[400];
	unsigned last = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/jobs", home);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		unsigned long n = strtoul(e->d_name, NULL, 10);

		if (n > last && n < 0x7fffffff)
			last = (unsigned)n;
	}
	if (d)
		closedir(d);
	return last + 1;
}

static int read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? 0 : -1;
}

/* Field 22 of /proc/PID/stat, counted from behind the name, which may hold anything. */
static int start_time(int pid, unsigned long long *ret)
{
	char path[32], text[1024], *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_file(path, text, sizeof(text)) < 0 || !(at = strrchr(text, ')')))
		return -1;
	for (int field = 2; field < 22 && at; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, "%llu", ret) == 1 ? 0 : -1;
}

void init_adopt(const char *home, int pid)
{
	unsigned job = next_job(home);
	unsigned long long start;
	char boot[64], name[64], text[512];

	if (start_time(pid, &start) < 0 || read_file("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) < 0) {
		init_say("process %d is not taken over: %s", pid, strerror(errno));
		return;
	}
	boot[strcspn(boot, "\n")] = '\0';
	dir(home, "units");
	dir(home, "units/" UNIT);
	dir(home, "jobs");
	snprintf(name, sizeof(name), "jobs/%u", job);
	dir(home, name);
	snprintf(name, sizeof(name), "jobs/%u/parameter", job);
	snprintf(text, sizeof(text), "unit=" UNIT "\nreason=it booted this machine\n%s", parameter);
	if (put(home, "units/" UNIT "/parameter", parameter) < 0 || put(home, name, text) < 0)
		return;
	snprintf(name, sizeof(name), "jobs/%u/pid", job);
	snprintf(text, sizeof(text), "%d %llu %s\n", pid, start, boot);
	put(home, name, text);
}
