/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SELF "pm.self"
#define PREFIX "pm-" /* of the units' groups; no controller has a file that begins so */
#define NAME 256

static const char *const controllers[] = { [CGROUP_CPU] = "cpu", [CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids",
	[CGROUP_IO] = "io" };

static int put(int dir, const char *file, const char *text)
{
	int fd = openat(dir, file, O_WRONLY | O_CLOEXEC), code;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	code = errno;
	close(fd);
	errno = code;
	return n < 0 ? -1 : 0;
}

static ssize_t get(int dir, const char *file, char *buf, size_t size)
{
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	buf[0] = '\0';
	if (fd < 0)
		return -1;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += n)
		if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\n' || at[n] == '\0'))
			return true;
	return false;
}

static void absent(struct cgroup *c, const char *what, int code)
{
	snprintf(c->reason, sizeof(c->reason), "%s%s%s", what, code ? ": " : "", code ? strerror(code) : "");
	if (c->dir >= 0)
		close(c->dir);
	c->dir = -1;
}

/* Where cgroup2 is mounted, with what part of its tree: "ID PARENT DEV ROOT WHERE ... - TYPE ...". */
static int find_mount(char where[NAME], char root[NAME])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[1024];
	int found = -1;

	while (f && found < 0 && fgets(line, sizeof(line), f)) {
		const char *type = strstr(line, " - ");

		if (type && strncmp(type, " - cgroup2 ", 11) == 0 &&
			sscanf(line, "%*s %*s %*s %255s %255s", root, where) == 2)
			found = 0;
	}
	if (f)
		fclose(f);
	return found;
}

/* "0::/PATH" of /proc/self/cgroup. */
static int find_own(char path[NAME])
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[1024];
	int found = -1;

	while (f && found < 0 && fgets(line, sizeof(line), f))
		if (strncmp(line, "0::/", 4) == 0 && strlen(line) - 3 < NAME) {
			line[strcspn(line, "\n")] = '\0';
			memcpy(path, line + 3, strlen(line) - 2);
			found = 0;
		}
	if (f)
		fclose(f);
	return found;
}

static pid_t parent_of(pid_t pid)
{
	char path[32], text[512], *at;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (get(AT_FDCWD, path, text, sizeof(text)) <= 0 || !(at = strrchr(text, ')')))
		return 0;
	return sscanf(at, ") %*c %d", &parent) == 1 ? parent : 0;
}

static bool is_below(pid_t pid, pid_t top)
{
	for (int i = 0; pid > 1 && i < 1000; i++, pid = parent_of(pid))
		if (pid == top)
			return true;
	return pid == top;
}

/* pm and its processes into the leaf. A process that ends meanwhile is none to move. */
static int move_pm(struct cgroup *c, pid_t pm)
{
	FILE *f;
	int fd, pid;

	if (faccessat(c->dir, "cgroup.type", F_OK, 0) < 0)
		return 0; /* the root of all may have both */
	if (mkdirat(c->dir, SELF, 0755) < 0 && errno != EEXIST)
		return -1;
	fd = openat(c->dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return -1;
	while (fscanf(f, "%d", &pid) == 1) {
		char text[16];

		snprintf(text, sizeof(text), "%d", pid);
		if (is_below(pid, pm) && put(c->dir, SELF "/cgroup.procs", text) < 0 && errno != ESRCH) {
			fclose(f);
			return -1;
		}
	}
	fclose(f);
	return 0;
}

/* Controllers can be passed on only from a group without processes of its own (the root of all is excepted). */
static void prepare(struct cgroup *c, pid_t pm)
{
	char have[512];

	if (faccessat(c->dir, "cgroup.procs", W_OK, AT_EACCESS) < 0 || faccessat(c->dir, ".", W_OK, AT_EACCESS) < 0 ||
		(pm > 0 && move_pm(c, pm) < 0)) {
		absent(c, "our cgroup is not delegated to us", errno);
		return;
	}
	get(c->dir, "cgroup.controllers", have, sizeof(have));
	for (unsigned i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
		char word[16];

		snprintf(word, sizeof(word), "+%s", controllers[i]);
		if (has_word(have, controllers[i]) && put(c->dir, "cgroup.subtree_control", word) == 0)
			c->controllers |= 1U << i;
	}
}

void cgroup_open_at(struct cgroup *c, const char *dir, pid_t pm)
{
	*c = (struct cgroup){ .dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	snprintf(c->path, sizeof(c->path), "%s", dir);
	if (c->dir < 0)
		absent(c, dir, errno);
	else
		prepare(c, pm);
}

void cgroup_open(struct cgroup *c, pid_t pm)
{
	char where[NAME], root[NAME], own[NAME], dir[2 * NAME];
	size_t n;

	*c = (struct cgroup){ .dir = -1 };
	if (find_mount(where, root) < 0 || find_own(own) < 0) {
		absent(c, "cgroup v2 is not mounted", 0);
		return;
	}
	/* A part of the tree may be mounted (containers): what is before it does not count. */
	n = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(own, root, n) != 0)
		n = 0;
	/* A pm that runs again finds itself in its leaf. */
	if (strlen(own) > sizeof(SELF) && strcmp(own + strlen(own) - sizeof(SELF), "/" SELF) == 0)
		own[strlen(own) - sizeof(SELF)] = '\0';
	snprintf(dir, sizeof(dir), "%s%s", where, own + (n < strlen(own) ? n : strlen(own)));
	cgroup_open_at(c, dir, pm);
}

void cgroup_close(struct cgroup *c)
{
	if (c->dir >= 0)
		close(c->dir);
	c->dir = -1;
}

/* Unit ids may have any byte: those that a file name can't have or that are ours become %XX. */
static int group_name(const char *unit, char out[NAME])
{
	size_t n = sizeof(PREFIX) - 1;

	memcpy(out, PREFIX, n);
	for (const unsigned char *s = (const unsigned char *)unit; *s; s++) {
		if (n + 4 > NAME - 1) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if (*s <= ' ' || *s == '/' || *s == '%' || *s == 127)
			n += (size_t)snprintf(out + n, 4, "%%%02X", *s);
		else
			out[n++] = (char)*s;
	}
	out[n] = '\0';
	return 0;
}

/* The path in "/dev/sda rbps=1" becomes MAJOR:MINOR. */
static int io_device(const char *value, char *out, size_t size)
{
	size_t n = strcspn(value, " ");
	char path[NAME];
	struct stat st;

	if (*value != '/') {
		snprintf(out, size, "%s", value);
		return 0;
	}
	snprintf(path, sizeof(path), "%.*s", (int)n, value);
	if (stat(path, &st) < 0)
		return -1;
	if (!S_ISBLK(st.st_mode)) {
		errno = ENOTBLK;
		return -1;
	}
	snprintf(out, size, "%u:%u%s", major(st.st_rdev), minor(st.st_rdev), value + n);
	return 0;
}

struct setting {
	const char *key, *file, *value;
	enum cgroup_controller controller;
};

/* 0 done or left out (told in why), -1 refused. */
static int set(const struct cgroup *c, int dir, const struct setting *s, bool optional, char *why)
{
	char value[512];
	int code;

	if (!s->value)
		return 0;
	if (!(c->controllers >> s->controller & 1)) {
		snprintf(why, ISOLATE_WHY, "%s%s: the %s controller is not available in cgroup v2 at %.80s%s", s->key,
			optional ? " left out" : "", controllers[s->controller], c->path,
			optional ? "" : "; cgroup=optional goes on without");
		return optional ? 0 : -1;
	}
	if (s->controller == CGROUP_IO && strcmp(s->key, "io-max") == 0) {
		if (io_device(s->value, value, sizeof(value)) == 0 && put(dir, s->file, value) == 0)
			return 0;
	} else if (put(dir, s->file, s->value) == 0) {
		return 0;
	}
	code = errno;
	snprintf(why, ISOLATE_WHY, "%s %.100s: %s%s", s->key, s->value, strerror(code), optional ? ", left out" : "");
	return optional ? 0 : -1;
}

static int limit(const struct cgroup *c, int dir, const struct isolate_cgroup *l, char *why)
{
	const struct setting settings[] = { { "cpu-max", "cpu.max", l->cpu_max, CGROUP_CPU },
		{ "cpu-weight", "cpu.weight", l->cpu_weight, CGROUP_CPU },
		{ "memory-max", "memory.max", l->memory_max, CGROUP_MEMORY },
		{ "memory-high", "memory.high", l->memory_high, CGROUP_MEMORY },
		{ "memory-swap-max", "memory.swap.max", l->memory_swap_max, CGROUP_MEMORY },
		{ "pids-max", "pids.max", l->pids_max, CGROUP_PIDS },
		{ "io-weight", "io.weight", l->io_weight, CGROUP_IO } };

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (set(c, dir, &settings[i], l->optional, why) < 0)
			return -1;
	for (size_t i = 0; i < sizeof(l->io_max) / sizeof(l->io_max[0]); i++)
		if (set(c, dir, &(struct setting){ "io-max", "io.max", l->io_max[i], CGROUP_IO }, l->optional, why) < 0)
			return -1;
	return 0;
}

int cgroup_unit(const struct cgroup *c, const char *unit, const struct isolate_cgroup *limits, char why[ISOLATE_WHY])
{
	char name[NAME], procs[NAME + 16];
	int dir, fd = -1;

	why[0] = '\0';
	if (c->dir < 0) {
		if (limits->wanted)
			snprintf(why, ISOLATE_WHY, "cgroup limits%s: %s%s", limits->optional ? " left out" : "", c->reason,
				limits->optional ? "" : "; cgroup=optional goes on without");
		errno = ENOTSUP;
		return -1;
	}
	if (group_name(unit, name) < 0 || (mkdirat(c->dir, name, 0755) < 0 && errno != EEXIST)) {
		snprintf(why, ISOLATE_WHY, "cgroup of %.80s in %.80s: %s", unit, c->path, strerror(errno));
		return -1;
	}
	dir = openat(c->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && limit(c, dir, limits, why) == 0) {
		snprintf(procs, sizeof(procs), "%s/cgroup.procs", name);
		fd = openat(c->dir, procs, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			snprintf(why, ISOLATE_WHY, "cgroup of %.80s in %.80s: %s", unit, c->path, strerror(errno));
	}
	if (dir >= 0)
		close(dir);
	if (fd < 0)
		cgroup_remove(c, unit);
	return fd;
}

int cgroup_kill(const struct cgroup *c, const char *unit)
{
	char name[NAME], file[NAME + 16];

	if (c->dir < 0) {
		errno = ENOENT;
		return -1;
	}
	if (group_name(unit, name) < 0)
		return -1;
	snprintf(file, sizeof(file), "%s/cgroup.kill", name);
	if (put(c->dir, file, "1") == 0)
		return 0;
	if (errno == ENOENT && faccessat(c->dir, name, F_OK, 0) == 0)
		errno = ENOSYS;
	return -1;
}

int cgroup_populated(const struct cgroup *c, const char *unit)
{
	char name[NAME], file[NAME + 16], text[256];

	if (c->dir < 0 || group_name(unit, name) < 0)
		return 0;
	snprintf(file, sizeof(file), "%s/cgroup.events", name);
	return get(c->dir, file, text, sizeof(text)) > 0 && strstr(text, "populated 1");
}

int cgroup_remove(const struct cgroup *c, const char *unit)
{
	char name[NAME];

	if (c->dir < 0)
		return 0;
	if (group_name(unit, name) < 0)
		return -1;
	return unlinkat(c->dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

int cgroup_for_unit(const char *unit, pid_t pm, const struct isolate_cgroup *limits, int *fd, char why[ISOLATE_WHY])
{
	struct cgroup c;

	*fd = -1;
	why[0] = '\0';
	if (!limits->wanted)
		return 0;
	cgroup_open(&c, pm);
	/* What an earlier run left behind would share the limits, and outlive us as well. */
	if (cgroup_populated(&c, unit))
		cgroup_kill(&c, unit);
	*fd = cgroup_unit(&c, unit, limits, why);
	cgroup_close(&c);
	return *fd < 0 && !limits->optional ? -1 : 0;
}
