/* SPDX-License-Identifier: Apache-2.0 */
/* Which service manager: what PID 1 is on a running system, what is installed below a root. */
#include "host.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Strong evidence first: an OpenRC system has sysvinit's /etc/inittab too, a Debian with runit has /etc/init.d. */
static const struct {
	const char *path, *system;
	bool running; /* says something only on the running system */
} evidence_of[] = { { "/run/systemd/system", "systemd", true }, { "/run/openrc/softlevel", "openrc", true },
	{ "/run/runit.stopit", "runit", true }, { "/System/Library/LaunchDaemons", "launchd", false },
	{ "/etc/rc.subr", "bsd", false }, { "/etc/s6-linux-init/current", "s6", false },
	{ "/sbin/openrc-run", "openrc", false }, { "/sbin/openrc", "openrc", false },
	{ "/usr/sbin/openrc-run", "openrc", false } };
static const struct {
	const char *init, *system; /* what /sbin/init is: the end of its link's target */
} inits[] = { { "systemd/systemd", "systemd" }, { "runit-init", "runit" }, { "openrc-init", "openrc" },
	{ "s6-linux-init", "s6" } };
static const struct {
	const char *path, *system;
} installed[] = { { "/lib/systemd/systemd", "systemd" }, { "/usr/lib/systemd/systemd", "systemd" },
	{ "/etc/runit/2", "runit" }, { "/etc/inittab", "sysvinit" }, { "/etc/init.d/rcS", "sysvinit" },
	{ "/etc/init.d/rc", "sysvinit" }, { "/sbin/runsvdir", "runit" } };

static bool there(const char *root, const char *path)
{
	char full[HOST_PATH];
	struct stat st;

	/* lstat: below a root an absolute link points elsewhere */
	return snprintf(full, sizeof(full), "%s%s", root, path) < (int)sizeof(full) && lstat(full, &st) == 0;
}

static const struct host_system *found(const char *system, bool user, char *evidence, const char *fmt, const char *a,
	const char *b)
{
	snprintf(evidence, HOST_WHY, fmt, a, b);
	return host_system_find(system, user);
}

/* Process 1's name, as far as it names a system. */
static const struct host_system *by_pid1(bool user, char *evidence)
{
	static const char *const names[][2] = { { "systemd", "systemd" }, { "runit", "runit" }, { "openrc-init", "openrc" },
		{ "s6-svscan", "s6" }, { "launchd", "launchd" } };
	int fd = open("/proc/1/comm", O_RDONLY | O_CLOEXEC);
	char comm[32] = "";
	ssize_t n = fd < 0 ? 0 : read(fd, comm, sizeof(comm) - 1);

	if (fd >= 0)
		close(fd);
	comm[n > 0 ? (size_t)n - (comm[n - 1] == '\n') : 0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(comm, names[i][0]) == 0)
			return found(names[i][1], user, evidence, "process 1 is %s%s", comm, "");
	return NULL;
}

static const struct host_system *by_init(const char *root, bool user, char *evidence)
{
	char path[HOST_PATH], to[HOST_PATH];
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/sbin/init", root) >= (int)sizeof(path))
		return NULL;
	n = readlink(path, to, sizeof(to) - 1);
	to[n > 0 ? n : 0] = '\0';
	for (size_t i = 0; i < sizeof(inits) / sizeof(inits[0]); i++) {
		size_t k = strlen(inits[i].init);

		if ((size_t)(n > 0 ? n : 0) >= k && strcmp(to + n - k, inits[i].init) == 0)
			return found(inits[i].system, user, evidence, "%.200s is a link to %.200s", path, to);
	}
	return NULL;
}

const struct host_system *host_detect(const char *root, bool user, char evidence[HOST_WHY])
{
	bool running = !*root;
	const struct host_system *s;
	struct utsname u;

	evidence[0] = '\0';
	if (running && uname(&u) == 0 && strcmp(u.sysname, "Darwin") == 0)
		return found("launchd", user, evidence, "this is %s%s", u.sysname, "");
	for (size_t i = 0; i < sizeof(evidence_of) / sizeof(evidence_of[0]); i++)
		if ((running || !evidence_of[i].running) && there(root, evidence_of[i].path))
			return found(evidence_of[i].system, user, evidence, "%.200s%.200s exists", root, evidence_of[i].path);
	s = running ? by_pid1(user, evidence) : NULL;
	if (!s && !evidence[0])
		s = by_init(root, user, evidence);
	if (s || evidence[0])
		return s;
	for (size_t i = 0; i < sizeof(installed) / sizeof(installed[0]); i++)
		if (there(root, installed[i].path))
			return found(installed[i].system, user, evidence, "%.200s%.200s exists", root, installed[i].path);
	return NULL;
}
