/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a unit -> plan. One setter a key; isolate_check runs the same setters on a plan that is thrown away. */
#include "isolate.h"
#include "isolate_caps.h"
#include "isolate_ids.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int wrong(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int wrong(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, ISOLATE_WHY, fmt, ap);
	va_end(ap);
	return -1;
}

/* Memory of the plan; NULL when it is full. */
void *isolate_alloc(struct isolate_plan *p, size_t n)
{
	void *at;

	n = (n + 15) & ~(size_t)15;
	if (!p->arena) {
		p->arena = mmap(NULL, ISOLATE_ARENA, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p->arena == MAP_FAILED) {
			p->arena = NULL;
			return NULL;
		}
	}
	if (n > ISOLATE_ARENA - p->used)
		return NULL;
	at = p->arena + p->used;
	p->used += n;
	return at;
}

char *isolate_strn(struct isolate_plan *p, const char *s, size_t n)
{
	char *at = isolate_alloc(p, n + 1);

	if (at) {
		memcpy(at, s, n);
		at[n] = '\0';
	}
	return at;
}

static const char *str(struct isolate_plan *p, const char *s)
{
	return isolate_strn(p, s, strlen(s));
}

static int set_string(struct isolate_plan *p, const char **field, const char *v, char *why)
{
	*field = str(p, v);
	return *field ? 0 : wrong(why, "out of memory");
}

static int set_bool(bool *field, const char *v, char *why)
{
	if (strcmp(v, "yes") == 0 || strcmp(v, "true") == 0 || strcmp(v, "1") == 0)
		*field = true;
	else if (strcmp(v, "no") == 0 || strcmp(v, "false") == 0 || strcmp(v, "0") == 0)
		*field = false;
	else
		return wrong(why, "'%.80s' is neither yes nor no", v);
	return 0;
}

static int set_int(int *field, const char *v, int min, int max, char *why)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(v, &end, 10);
	if (!*v || *end || errno || n < min || n > max)
		return wrong(why, "'%.80s' is not a number from %d to %d", v, min, max);
	*field = (int)n;
	return 0;
}

/* Number with K, M, G, T of 1024; *rest points behind it. */
static int number(const char *v, uint64_t *ret, const char **rest)
{
	static const char suffixes[] = "KMGT";
	const char *s;
	char *end;

	errno = 0;
	if (*v < '0' || *v > '9')
		return -1;
	*ret = strtoull(v, &end, 10);
	if (errno)
		return -1;
	if (*end && (s = strchr(suffixes, *end))) {
		unsigned shift = 10 * (unsigned)(s - suffixes + 1);

		if (*ret > UINT64_MAX >> shift)
			return -1;
		*ret <<= shift;
		end++;
	}
	*rest = end;
	return 0;
}

static int k_user(struct isolate_plan *p, const char *v, char *why)
{
	p->has_user = true;
	return *v ? set_string(p, &p->user_text, v, why) : wrong(why, "no user is named");
}

static int k_group(struct isolate_plan *p, const char *v, char *why)
{
	p->has_group = true;
	return *v ? set_string(p, &p->group_text, v, why) : wrong(why, "no group is named");
}

static int k_groups(struct isolate_plan *p, const char *v, char *why)
{
	p->has_groups = true;
	return *v ? set_string(p, &p->groups_text, v, why) : wrong(why, "no group is named (none: no groups)");
}

static int k_capabilities(struct isolate_plan *p, const char *v, char *why)
{
	p->has_bounding = true;
	return caps_parse(v, &p->bounding, why, ISOLATE_WHY);
}

static int k_ambient(struct isolate_plan *p, const char *v, char *why)
{
	if (*v == '~' || strcmp(v, "all") == 0)
		return wrong(why, "the capabilities have to be named one by one");
	return caps_parse(v, &p->ambient, why, ISOLATE_WHY);
}

static int k_no_new_privs(struct isolate_plan *p, const char *v, char *why)
{
	return set_bool(&p->no_new_privs, v, why);
}

static int absolute(const char *v, char *why)
{
	return *v == '/' ? 0 : wrong(why, "'%.120s' does not begin with /", v);
}

static int k_root(struct isolate_plan *p, const char *v, char *why)
{
	return absolute(v, why) < 0 ? -1 : set_string(p, &p->root, v, why);
}

static int k_directory(struct isolate_plan *p, const char *v, char *why)
{
	if (strcmp(v, "~") != 0 && absolute(v, why) < 0)
		return -1;
	return set_string(p, &p->directory, v, why);
}

static int k_hostname(struct isolate_plan *p, const char *v, char *why)
{
	if (!*v || strlen(v) > 64)
		return wrong(why, "a host name has 1 to 64 bytes");
	return set_string(p, &p->hostname, v, why);
}

static const struct {
	const char *name;
	int flag;
} namespaces[] = { { "mount", CLONE_NEWNS }, { "pid", CLONE_NEWPID }, { "net", CLONE_NEWNET }, { "ipc", CLONE_NEWIPC },
	{ "uts", CLONE_NEWUTS }, { "user", CLONE_NEWUSER }, { "cgroup", CLONE_NEWCGROUP } };
#define NNAMESPACES (sizeof(namespaces) / sizeof(namespaces[0]))

static int k_namespaces(struct isolate_plan *p, const char *v, char *why)
{
	p->namespaces = 0;
	if (strcmp(v, "none") == 0)
		return 0;
	for (;; v++) {
		size_t n = strcspn(v, ", "), i = 0;

		while (i < NNAMESPACES && (strlen(namespaces[i].name) != n || strncmp(namespaces[i].name, v, n) != 0))
			i++;
		if (i == NNAMESPACES)
			return wrong(why, "'%.*s' is no namespace (mount, pid, net, ipc, uts, user, cgroup, none)",
				n > 60 ? 60 : (int)n, v);
		p->namespaces |= namespaces[i].flag;
		v += n;
		if (!*v)
			return 0;
	}
}

static int set_map(struct isolate_map *maps, size_t *n, const char *v, char *why)
{
	*n = 0;
	for (;; v++) {
		uint32_t x[3];

		for (int i = 0; i < 3; i++) {
			char *end;
			unsigned long u;

			errno = 0;
			u = strtoul(v, &end, 10);
			if (*v < '0' || *v > '9' || errno || u > UINT32_MAX - 1 || (i < 2 && *end != ':'))
				return wrong(why, "a map is INSIDE:OUTSIDE:COUNT, several with commas; see '%.60s'", v);
			x[i] = (uint32_t)u;
			v = i < 2 ? end + 1 : end;
		}
		if (*n == ISOLATE_MAPS)
			return wrong(why, "more than %d maps", ISOLATE_MAPS);
		if (x[2] == 0)
			return wrong(why, "a map of no ids");
		maps[(*n)++] = (struct isolate_map){ x[0], x[1], x[2] };
		if (!*v)
			return 0;
		if (*v != ',')
			return wrong(why, "'%.60s' behind a map", v);
	}
}

static int k_uid_map(struct isolate_plan *p, const char *v, char *why)
{
	return set_map(p->uid_map, &p->nuid_map, v, why);
}

static int k_gid_map(struct isolate_plan *p, const char *v, char *why)
{
	return set_map(p->gid_map, &p->ngid_map, v, why);
}

static int add_mount(struct isolate_plan *p, struct isolate_mount m, char *why)
{
	if (p->nmounts == ISOLATE_MOUNTS)
		return wrong(why, "more than %d of bind and tmpfs", ISOLATE_MOUNTS);
	p->mounts[p->nmounts++] = m;
	return 0;
}

static int k_bind(struct isolate_plan *p, const char *v, char *why)
{
	struct isolate_mount m = { 0 };
	const char *colon = strchr(v, ':');
	const char *to = colon ? colon + 1 : v;
	size_t n = strlen(to);

	if (n > 3 && strcmp(to + n - 3, ":ro") == 0) {
		m.read_only = true;
		n -= 3;
	}
	if (colon && strcmp(to, "ro") == 0) {
		m.read_only = true;
		to = v;
		n = (size_t)(colon - v);
	}
	m.to = isolate_strn(p, to, n);
	m.from = colon ? isolate_strn(p, v, (size_t)(colon - v)) : m.to;
	if (!m.from || !m.to)
		return wrong(why, "out of memory");
	if (absolute(m.from, why) < 0 || absolute(m.to, why) < 0)
		return -1;
	return add_mount(p, m, why);
}

static int k_tmpfs(struct isolate_plan *p, const char *v, char *why)
{
	struct isolate_mount m = { NULL, str(p, v), false };

	if (!m.to)
		return wrong(why, "out of memory");
	return absolute(v, why) < 0 ? -1 : add_mount(p, m, why);
}

static const struct {
	const char *name;
	int resource;
	bool seconds; /* or a count: no suffix */
} limits[] = { { "as", RLIMIT_AS, false }, { "core", RLIMIT_CORE, false }, { "cpu", RLIMIT_CPU, true },
	{ "data", RLIMIT_DATA, false }, { "fsize", RLIMIT_FSIZE, false }, { "locks", RLIMIT_LOCKS, true },
	{ "memlock", RLIMIT_MEMLOCK, false }, { "msgqueue", RLIMIT_MSGQUEUE, false }, { "nice", RLIMIT_NICE, true },
	{ "nofile", RLIMIT_NOFILE, true }, { "nproc", RLIMIT_NPROC, true }, { "rss", RLIMIT_RSS, false },
	{ "rtprio", RLIMIT_RTPRIO, true }, { "rttime", RLIMIT_RTTIME, true }, { "sigpending", RLIMIT_SIGPENDING, true },
	{ "stack", RLIMIT_STACK, false } };
#define NLIMITS (sizeof(limits) / sizeof(limits[0]))

static int limit_value(const char **v, rlim_t *ret)
{
	uint64_t n;

	if (strncmp(*v, "infinity", 8) == 0) {
		*v += 8;
		*ret = RLIM_INFINITY;
		return 0;
	}
	if (number(*v, &n, v) < 0)
		return -1;
	*ret = n;
	return 0;
}

static int set_limit(struct isolate_plan *p, const char *name, const char *v, char *why)
{
	struct rlimit l;
	const char *at = v;
	size_t i = 0;

	while (i < NLIMITS && strcmp(limits[i].name, name) != 0)
		i++;
	if (i == NLIMITS)
		return 0;
	if (limit_value(&at, &l.rlim_cur) < 0)
		return wrong(why, "'%.80s' is no limit: NUMBER, SOFT:HARD or infinity", v);
	l.rlim_max = l.rlim_cur;
	if (*at == ':') {
		at++;
		if (limit_value(&at, &l.rlim_max) < 0)
			return wrong(why, "'%.80s' is no hard limit", at);
	}
	if (*at)
		return wrong(why, "'%.80s' behind the limit", at);
	if (l.rlim_cur > l.rlim_max)
		return wrong(why, "the soft limit is above the hard one in '%.80s'", v);
	p->limit[limits[i].resource] = l;
	p->limits |= 1U << limits[i].resource;
	return 1;
}

static int k_nice(struct isolate_plan *p, const char *v, char *why)
{
	p->has_nice = true;
	return set_int(&p->nice, v, -20, 19, why);
}

#define IOPRIO(class, data) ((class) << 13 | (data))

static int k_ionice(struct isolate_plan *p, const char *v, char *why)
{
	static const char *const classes[] = { NULL, "realtime", "best-effort", "idle" };
	size_t n = strcspn(v, ":");
	int level = 4;

	p->has_ionice = true;
	for (int c = 1; c < 4; c++) {
		if (strlen(classes[c]) != n || strncmp(classes[c], v, n) != 0)
			continue;
		if (v[n] == ':' && (c == 3 || set_int(&level, v + n + 1, 0, 7, why) < 0))
			return wrong(why, "'%.60s': realtime:0-7, best-effort:0-7 or idle", v);
		p->ionice = IOPRIO(c, c == 3 ? 7 : level);
		return 0;
	}
	return wrong(why, "'%.60s': realtime:0-7, best-effort:0-7 or idle", v);
}

static int k_oom(struct isolate_plan *p, const char *v, char *why)
{
	p->has_oom = true;
	return set_int(&p->oom, v, -1000, 1000, why);
}

static int k_umask(struct isolate_plan *p, const char *v, char *why)
{
	size_t n = strspn(v, "01234567");

	if (!n || v[n] || n > 4 || strtoul(v, NULL, 8) > 0777)
		return wrong(why, "'%.60s' is no umask: octal, 0 to 0777", v);
	p->has_umask = true;
	p->umask = (mode_t)strtoul(v, NULL, 8);
	return 0;
}

/* What cgroup.h writes; the syntax is the kernel's, checked as far as it is simple. */
static int set_quantity(struct isolate_plan *p, const char **field, const char *v, char *why)
{
	char text[32];
	const char *rest;
	uint64_t n;

	if (strcmp(v, "max") == 0)
		snprintf(text, sizeof(text), "max");
	else if (number(v, &n, &rest) == 0 && !*rest)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	else
		return wrong(why, "'%.80s' is neither a number (K, M, G, T) nor max", v);
	p->cgroup.wanted = true;
	return set_string(p, field, text, why);
}

static int set_weight(struct isolate_plan *p, const char **field, const char *v, char *why)
{
	int n;

	p->cgroup.wanted = true;
	return set_int(&n, v, 1, 10000, why) < 0 ? -1 : set_string(p, field, v, why);
}

static int k_cpu_max(struct isolate_plan *p, const char *v, char *why)
{
	char text[48];
	char *end;
	double cpus = strtod(v, &end);

	if (strcmp(v, "max") == 0) {
		snprintf(text, sizeof(text), "max 100000");
	} else {
		if (*v < '0' || *v > '9')
			return wrong(why, "'%.60s': 50%%, 1.5 (processors) or max", v);
		if (*end == '%') {
			cpus /= 100;
			end++;
		}
		if (*end || !(cpus >= 0.01 && cpus <= 10000))
			return wrong(why, "'%.60s': 50%%, 1.5 (processors) or max", v);
		snprintf(text, sizeof(text), "%llu 100000", (unsigned long long)(cpus * 100000));
	}
	p->cgroup.wanted = true;
	return set_string(p, &p->cgroup.cpu_max, text, why);
}

static int k_cpu_weight(struct isolate_plan *p, const char *v, char *why)
{
	return set_weight(p, &p->cgroup.cpu_weight, v, why);
}

static int k_memory_max(struct isolate_plan *p, const char *v, char *why)
{
	return set_quantity(p, &p->cgroup.memory_max, v, why);
}

static int k_memory_high(struct isolate_plan *p, const char *v, char *why)
{
	return set_quantity(p, &p->cgroup.memory_high, v, why);
}

static int k_memory_swap_max(struct isolate_plan *p, const char *v, char *why)
{
	return set_quantity(p, &p->cgroup.memory_swap_max, v, why);
}

static int k_pids_max(struct isolate_plan *p, const char *v, char *why)
{
	return set_quantity(p, &p->cgroup.pids_max, v, why);
}

static int k_io_weight(struct isolate_plan *p, const char *v, char *why)
{
	return set_weight(p, &p->cgroup.io_weight, v, why);
}

/* "PATH-OR-MAJ:MIN rbps=N wbps=N riops=N wiops=N": a path becomes the numbers of the device when it is planned. */
static int k_io_max(struct isolate_plan *p, const char *v, char *why)
{
	static const char *const words[] = { "rbps=", "wbps=", "riops=", "wiops=" };
	size_t n = 0, dev = strcspn(v, " ");

	if (!dev || !v[dev])
		return wrong(why, "'%.80s': DEVICE rbps=N wbps=N riops=N wiops=N", v);
	for (const char *at = v + dev; *at;) {
		size_t i = 0;
		const char *rest;
		uint64_t x;

		at += strspn(at, " ");
		while (i < 4 && strncmp(at, words[i], strlen(words[i])) != 0)
			i++;
		if (i == 4)
			return wrong(why, "'%.60s': rbps=, wbps=, riops= or wiops=", at);
		at += strlen(words[i]);
		if (strncmp(at, "max", 3) == 0)
			rest = at + 3;
		else if (number(at, &x, &rest) < 0)
			return wrong(why, "'%.60s' is neither a number nor max", at);
		if (*rest && *rest != ' ')
			return wrong(why, "'%.60s' behind a number", rest);
		at = rest;
	}
	while (n < sizeof(p->cgroup.io_max) / sizeof(p->cgroup.io_max[0]) && p->cgroup.io_max[n])
		n++;
	if (n == sizeof(p->cgroup.io_max) / sizeof(p->cgroup.io_max[0]))
		return wrong(why, "too many io-max");
	p->cgroup.wanted = true;
	return set_string(p, &p->cgroup.io_max[n], v, why);
}

static int k_cgroup(struct isolate_plan *p, const char *v, char *why)
{
	if (strcmp(v, "optional") != 0 && strcmp(v, "required") != 0)
		return wrong(why, "'%.60s': required or optional", v);
	p->cgroup.optional = *v == 'o';
	return 0;
}

static int k_env(struct isolate_plan *p, const char *v, char *why)
{
	const char *eq = strchr(v, '=');
	char *name;

	if (!eq || eq == v)
		return wrong(why, "'%.80s' is not NAME=VALUE", v);
	name = isolate_strn(p, v, (size_t)(eq - v));
	return name && isolate_env_add(p, name, eq + 1) == 0 ? 0 : wrong(why, "the environment is too large");
}

static int k_env_file(struct isolate_plan *p, const char *v, char *why)
{
	if (p->nenv_files == sizeof(p->env_files) / sizeof(p->env_files[0]))
		return wrong(why, "too many env-file");
	if (absolute(*v == '-' ? v + 1 : v, why) < 0)
		return -1;
	return set_string(p, &p->env_files[p->nenv_files++], v, why);
}

static int k_env_inherit(struct isolate_plan *p, const char *v, char *why)
{
	return set_string(p, &p->env_inherit, v, why);
}

static int set_stream(struct isolate_plan *p, struct isolate_stream *s, int which, const char *v, char *why)
{
	static const struct {
		const char *name;
		enum isolate_stdio kind;
		int path; /* 0: none, 1: needed, 2: may have one */
	} kinds[] = { { "null", ISOLATE_NULL, 0 }, { "log", ISOLATE_LOG, 0 }, { "file", ISOLATE_FILE, 1 },
		{ "append", ISOLATE_APPEND, 1 }, { "socket", ISOLATE_SOCKET, 1 }, { "terminal", ISOLATE_TERMINAL, 2 },
		{ "inherit", ISOLATE_INHERIT, 0 }, { "stdout", ISOLATE_AS_STDOUT, 0 } };
	size_t n = strcspn(v, ":"), i = 0;

	while (i < sizeof(kinds) / sizeof(kinds[0]) &&
		(strlen(kinds[i].name) != n || strncmp(kinds[i].name, v, n) != 0))
		i++;
	if (i == sizeof(kinds) / sizeof(kinds[0]) || (which == 0 && (kinds[i].kind == ISOLATE_LOG ||
		kinds[i].kind == ISOLATE_APPEND)) || (which != 2 && kinds[i].kind == ISOLATE_AS_STDOUT))
		return wrong(why, "'%.80s': null, %sfile:PATH, socket:PATH, terminal[:DEVICE], inherit%s", v,
			which ? "log, append:PATH, " : "", which == 2 ? ", stdout" : "");
	if ((kinds[i].path == 1) != (v[n] == ':') && kinds[i].path != 2)
		return wrong(why, kinds[i].path ? "%s: which? (%s:PATH)" : "%s takes no path", kinds[i].name, kinds[i].name);
	s->kind = kinds[i].kind;
	s->path = NULL;
	if (!v[n])
		return 0;
	return absolute(v + n + 1, why) < 0 ? -1 : set_string(p, &s->path, v + n + 1, why);
}

static int k_stdin(struct isolate_plan *p, const char *v, char *why)
{
	return set_stream(p, &p->in, 0, v, why);
}

static int k_stdout(struct isolate_plan *p, const char *v, char *why)
{
	return set_stream(p, &p->out, 1, v, why);
}

static int k_stderr(struct isolate_plan *p, const char *v, char *why)
{
	return set_stream(p, &p->err, 2, v, why);
}

static const struct key {
	const char *name;
	int (*set)(struct isolate_plan *p, const char *v, char *why);
	bool repeats;
} keys[] = { { "user", k_user, false }, { "group", k_group, false }, { "groups", k_groups, false },
	{ "capabilities", k_capabilities, false }, { "ambient", k_ambient, false },
	{ "no-new-privs", k_no_new_privs, false }, { "root", k_root, false }, { "namespaces", k_namespaces, false },
	{ "uid-map", k_uid_map, false }, { "gid-map", k_gid_map, false }, { "hostname", k_hostname, false },
	{ "bind", k_bind, true }, { "tmpfs", k_tmpfs, true }, { "cpu-max", k_cpu_max, false },
	{ "cpu-weight", k_cpu_weight, false }, { "memory-max", k_memory_max, false },
	{ "memory-high", k_memory_high, false }, { "memory-swap-max", k_memory_swap_max, false },
	{ "pids-max", k_pids_max, false }, { "io-max", k_io_max, true }, { "io-weight", k_io_weight, false },
	{ "cgroup", k_cgroup, false }, { "nice", k_nice, false }, { "ionice", k_ionice, false },
	{ "oom-score", k_oom, false }, { "umask", k_umask, false }, { "directory", k_directory, false },
	{ "env", k_env, true }, { "env-file", k_env_file, true }, { "env-inherit", k_env_inherit, false },
	{ "stdin", k_stdin, false }, { "stdout", k_stdout, false }, { "stderr", k_stderr, false } };
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static const struct key *key_find(const char *name)
{
	for (size_t i = 0; i < NKEYS; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

bool isolate_key_repeats(const char *key)
{
	const struct key *k = key_find(key);

	return k && k->repeats;
}

const char *isolate_key_name(size_t i)
{
	static char name[24];

	if (i < NKEYS)
		return keys[i].name;
	if (i - NKEYS >= NLIMITS)
		return NULL;
	snprintf(name, sizeof(name), "limit-%s", limits[i - NKEYS].name);
	return name;
}

/* 1, 0 or -1 as isolate_check. */
static int set_key(struct isolate_plan *p, const char *key, const char *value, char *why)
{
	const struct key *k = key_find(key);

	if (k)
		return k->set(p, value, why) < 0 ? -1 : 1;
	if (strncmp(key, "limit-", 6) == 0)
		return set_limit(p, key + 6, value, why);
	return 0;
}

static void plan_init(struct isolate_plan *p)
{
	memset(p, 0, sizeof(*p));
	p->log_fd = p->cgroup_fd = -1;
}

int isolate_check(const char *key, const char *value, char why[ISOLATE_WHY])
{
	static struct isolate_plan scratch;
	char *arena = scratch.arena; /* kept: a check of ten thousand units is no ten thousand mappings */
	int r;

	if (!key_find(key) && strncmp(key, "limit-", 6) != 0)
		return 0;
	if (strlen(value) > ISOLATE_CHECK_MAX)
		return wrong(why, "%s: longer than %d bytes", key, ISOLATE_CHECK_MAX);
	plan_init(&scratch);
	scratch.arena = arena;
	r = set_key(&scratch, key, value, why);
	if (r < 0) {
		char text[ISOLATE_WHY];

		snprintf(text, sizeof(text), "%s: %.200s", key, why);
		memcpy(why, text, sizeof(text));
	}
	return r;
}

/* Keys that only make sense together. */
static int consistent(struct isolate_plan *p, char *why)
{
	if ((p->nuid_map || p->ngid_map) && !(p->namespaces & CLONE_NEWUSER))
		return wrong(why, "uid-map and gid-map need namespaces=user");
	if (p->nmounts && !(p->namespaces & CLONE_NEWNS))
		return wrong(why, "bind and tmpfs need namespaces=mount");
	if (p->hostname && !(p->namespaces & CLONE_NEWUTS))
		return wrong(why, "hostname needs namespaces=uts");
	if (p->has_bounding && (p->ambient & ~p->bounding))
		return wrong(why, "ambient names capabilities that are not among capabilities");
	if (p->directory && *p->directory == '~' && !p->user_text)
		return wrong(why, "directory=~ needs a user");
	return 0;
}

int isolate_plan(struct isolate_plan *p, const char *const *pairs, size_t n, char why[ISOLATE_WHY])
{
	plan_init(p);
	p->our_uid = geteuid();
	p->our_gid = getegid();
	for (size_t i = 0; i < n; i++) {
		/* Repeated keys other than those that add up: the last one counts. */
		if (set_key(p, pairs[2 * i], pairs[2 * i + 1], why) < 0) {
			char text[ISOLATE_WHY];

			snprintf(text, sizeof(text), "%s: %.200s", pairs[2 * i], why);
			memcpy(why, text, sizeof(text));
			isolate_plan_free(p);
			return -1;
		}
	}
	if (consistent(p, why) < 0 || ids_resolve(p, why) < 0 || isolate_environment(p, why) < 0) {
		isolate_plan_free(p);
		return -1;
	}
	return 0;
}

void isolate_plan_free(struct isolate_plan *p)
{
	if (p->arena)
		munmap(p->arena, ISOLATE_ARENA);
	p->arena = NULL;
	p->used = 0;
}
