/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/qemu.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define NEEDS_MAJOR 7
#define NEEDS_MINOR 2
#define CACHE_MAX ((size_t)1 << 20)
#define ASK_MS 20000

void qemu_clear(struct qemu *q)
{
	free(q->path);
	free(q->arch);
	free(q->package);
	strv_free(&q->machines);
	*q = (struct qemu){ 0 };
}

static const char *debian_package(const char *arch)
{
	if (!strcmp(arch, "x86_64") || !strcmp(arch, "i386"))
		return "qemu-system-x86";
	if (!strcmp(arch, "aarch64") || !strcmp(arch, "arm"))
		return "qemu-system-arm";
	return "qemu-system-misc";
}

/* Changes whenever the file behind the path does. */
static char *stamp_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return xstrdup("");
	return xasprintf("%" PRIu64 " %" PRIu64 ".%09ld", (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static json_t *cache_load(const char *file)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	json_t *o = NULL;

	if (file_read(file, CACHE_MAX, &b, &e) == 0)
		o = json_loadb(b.data, b.len, 0, NULL);
	if (json_is_object(o))
		return o;
	json_decref(o);
	return json_object();
}

static bool from_cache(json_t *cache, const char *stamp, struct qemu *q)
{
	const char *was, *package;
	int sandbox, major, minor, micro;
	json_t *machines, *name;
	size_t i;

	if (json_unpack(json_object_get(cache, q->path), "{s:s, s:[i,i,i], s:s, s:b, s:o}", "stamp", &was, "version", &major,
		    &minor, &micro, "package", &package, "sandbox", &sandbox, "machines", &machines) < 0 || strcmp(was, stamp))
		return false;
	json_array_foreach(machines, i, name) if (json_is_string(name)) strv_add(&q->machines, json_string_value(name));
	q->major = (unsigned)major;
	q->minor = (unsigned)minor;
	q->micro = (unsigned)micro;
	q->package = xstrdup(package);
	q->sandbox = sandbox;
	return true;
}

/* A cache that cannot be written costs time at the next start, nothing else. */
static void to_cache(json_t *cache, const char *file, const char *stamp, const struct qemu *q)
{
	_cleanup_free_ char *dir = path_dirname(file), *text = NULL;
	_cleanup_error_ struct error *e = NULL;
	json_t *machines = json_array();

	for (size_t i = 0; i < q->machines.len; i++)
		json_array_append_new(machines, json_string(q->machines.v[i]));
	json_object_set_new(cache, q->path, json_pack("{s:s, s:[i,i,i], s:s, s:b, s:o}", "stamp", stamp, "version",
		(int)q->major, (int)q->minor, (int)q->micro, "package", q->package, "sandbox", q->sandbox, "machines", machines));
	text = json_dumps(cache, JSON_INDENT(1) | JSON_SORT_KEYS);
	if (text && (file_mkdirs(dir, 0700, &e) < 0 || file_write(file, text, strlen(text), 0600, &e) < 0))
		log_debug("%s", e->msg);
}

/* Answers are one JSON document after the other; that to query-machines is a list. */
static void read_machines(struct qemu *q, const char *text, size_t len)
{
	json_error_t e;
	json_t *o, *list, *m;
	size_t i;

	for (; (o = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, &e)); text += e.position, len -= (size_t)e.position) {
		list = json_object_get(o, "return");
		json_array_foreach(list, i, m)
			for (const char *const *key = (const char *const[]){ "name", "alias", NULL }; *key; key++)
				if (json_is_string(json_object_get(m, *key)))
					strv_add(&q->machines, json_string_value(json_object_get(m, *key)));
		json_decref(o);
	}
	strv_sort(&q->machines);
}

/* Starts an empty QEMU that answers what it is asked and quits. 1: it answered; 0: it did not. */
static int ask(struct qemu *q, bool sandbox, struct buf *errout, struct error **err)
{
	static const char script[] = "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-machines\"}{\"execute\":\"quit\"}";
	const char *argv[16] = { q->path, "-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio" };
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_proc_ struct proc p = PROC_INIT;
	json_t *greeting, *v;
	int status, major, minor, micro;

	if (sandbox) {
		argv[9] = "-sandbox";
		argv[10] = QEMU_SANDBOX;
	}
	if (proc_spawn(&(struct proc_opts){ .argv = argv, .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_PIPE,
			       .die_with_us = true }, &p, err) < 0)
		return -1;
	/* What is no QEMU may not listen; that shows in what it answers. */
	if (write(p.in, script, sizeof(script) - 1) < 0)
		log_debug("%s: does not listen", q->path);
	if (proc_wait(&p, ASK_MS, &status, err) < 0)
		return error_wrap(err, "%s: asked for its version", q->path);
	/* Both fit into a pipe: QEMU has ended, so what it said is there. */
	for (ssize_t n; (n = read(p.out, buf_reserve(&out, 4096), 4096)) > 0;)
		out.len += (size_t)n;
	for (ssize_t n; (n = read(p.err, buf_reserve(errout, 4096), 4096)) > 0;)
		errout->len += (size_t)n;
	buf_adds(errout, "");
	greeting = json_loadb(buf_str(&out), out.len, JSON_DISABLE_EOF_CHECK, NULL);
	v = json_object_get(json_object_get(greeting, "QMP"), "version");
	if (status == 0 && json_unpack(v, "{s:{s:i, s:i, s:i}}", "qemu", "major", &major, "minor", &minor, "micro", &micro) == 0) {
		const char *package = json_string_value(json_object_get(v, "package"));

		q->major = (unsigned)major;
		q->minor = (unsigned)minor;
		q->micro = (unsigned)micro;
		q->package = xstrdup(package ? package : "");
		q->sandbox = sandbox;
		read_machines(q, buf_str(&out), out.len);
	}
	json_decref(greeting);
	return q->package != NULL;
}

static int learn(struct qemu *q, struct error **err)
{
	_cleanup_buf_ struct buf said = BUF_INIT;
	int r = ask(q, true, &said, err);

	if (r == 0) {
		buf_clear(&said);
		r = ask(q, false, &said, err);
	}
	if (r == 0)
		error_set(err, ERR_FAILED, "%s: does not answer as QEMU does: %.*s", q->path, (int)strcspn(buf_str(&said), "\n"),
			buf_str(&said));
	return r > 0 ? 0 : -1;
}

static int check_version(const struct qemu *q, struct error **err)
{
	if (q->major > NEEDS_MAJOR || (q->major == NEEDS_MAJOR && q->minor >= NEEDS_MINOR))
		return 0;
	error_set(err, ERR_FAILED, "%s is QEMU %u.%u.%u%s%s; croft needs at least %d.%d", q->path, q->major, q->minor,
		q->micro, *q->package ? ", " : "", q->package, NEEDS_MAJOR, NEEDS_MINOR);
	return error_hint(err, "install a newer %s (Debian 12 has 7.2)", debian_package(q->arch));
}

int qemu_find(const char *arch, struct qemu *q, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("qemu-system-%s", arch), *file = path_cache("qemu.json"), *stamp = NULL;
	const char *fixed = getenv("CROFT_QEMU");
	json_t *cache;
	int rc = 0;

	*q = (struct qemu){ .arch = xstrdup(arch) };
	q->path = path_find_program(fixed && *fixed ? fixed : name);
	if (!q->path) {
		error_set(err, ERR_NOT_FOUND, "%s: QEMU is not installed", fixed && *fixed ? fixed : name);
		error_hint(err, "install the package %s (apt-get install %s)", debian_package(arch), debian_package(arch));
		qemu_clear(q);
		return -1;
	}
	stamp = stamp_of(q->path);
	cache = cache_load(file);
	if (!from_cache(cache, stamp, q)) {
		rc = learn(q, err);
		if (rc == 0)
			to_cache(cache, file, stamp, q);
	}
	json_decref(cache);
	if (rc == 0)
		rc = check_version(q, err);
	if (rc < 0)
		qemu_clear(q);
	return rc;
}
