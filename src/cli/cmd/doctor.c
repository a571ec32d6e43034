/* SPDX-License-Identifier: Apache-2.0 */
/* croft doctor: what croft needs of this host, and whether it is there. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "qemu/qemu.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>

struct report {
	struct table *table;
	int bad;
};

/* A line; `ok` 1 good, 0 missing but only some commands need it, -1 croft cannot work without. */
static void line(struct report *r, const char *what, int ok, const char *found, const char *advice)
{
	table_row(r->table, (const char *const[]){ what, ok > 0 ? "ok" : ok ? "missing" : "optional", found, advice });
	if (ok < 0)
		r->bad = 1;
}

static void check_qemu(struct report *r)
{
	_cleanup_qemu_ struct qemu q = { 0 };
	_cleanup_error_ struct error *err = NULL;
	_cleanup_free_ char *text = NULL;
	struct utsname u;
	const char *accel;

	if (uname(&u) < 0)
		return;
	if (qemu_find(u.machine, &q, &err) < 0) {
		line(r, "qemu", -1, err->msg, err->hint);
		return;
	}
	text = xasprintf("%s, version %u.%u.%u", q.path, q.major, q.minor, q.micro);
	line(r, "qemu", 1, text, NULL);
	line(r, "qemu sandbox", q.sandbox ? 1 : 0, q.sandbox ? "seccomp" : "built without seccomp", NULL);
	accel = qemu_accel(&q, "auto", &err);
	line(r, "accelerator", accel ? 1 : -1, accel ? accel : err->msg,
		accel && accel[0] == 't' ? "no working KVM: machines run, several times slower" : NULL);
}

static void check_program(struct report *r, const char *name, bool needed, const char *advice)
{
	_cleanup_free_ char *path = path_find_program(name);

	line(r, name, path ? 1 : needed ? -1 : 0, path, path ? NULL : advice);
}

static void check_own(struct report *r, const char *name)
{
	_cleanup_error_ struct error *err = NULL;
	_cleanup_free_ char *path = path_libexec(name, &err);

	line(r, name, path ? 1 : -1, path, path ? NULL : err->hint);
}

static void check_space(struct report *r)
{
	_cleanup_free_ char *home = path_data(NULL), *at = xstrdup(home), *text = NULL;
	struct statvfs v;
	char human[16];

	/* croft makes its directory on first use: ask the nearest one that exists */
	while (statvfs(at, &v) < 0) {
		char *up = path_dirname(at);

		free(at);
		at = up;
		if (!at[0] || (at[0] == '/' && !at[1]) || at[0] == '.')
			break;
	}
	if (statvfs(at, &v) < 0) {
		line(r, "directory", -1, home, "cannot be looked at");
		return;
	}
	text = xasprintf("%s, %s free", home, format_size((uint64_t)v.f_bavail * v.f_frsize, human));
	line(r, "directory", access(at, W_OK) == 0 ? 1 : -1, text,
		access(at, W_OK) == 0 ? NULL : "set CROFT_HOME to a directory that you may write");
}

static int doctor_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "what", "state", "found", "advice", NULL };
	static const char *const titles[] = { "WHAT", "STATE", "FOUND", "ADVICE", NULL };
	struct report r = { .table = table_new(keys, titles) };

	check_qemu(&r);
	check_program(&r, "qemu-img", true, "apt-get install qemu-utils");
	check_program(&r, "mke2fs", false, "for `croft image make tiny`: apt-get install e2fsprogs");
	check_program(&r, "gpgv", false, "for `croft image make tiny`: apt-get install gpgv");
	check_own(&r, "croft-machine");
	check_own(&r, "croft-net");
	check_own(&r, "croft-image");
	check_space(&r);
	table_print(r.table);
	return r.bad;
}

const struct command cmd_doctor = {
	.path = "doctor",
	.summary = "Check what croft needs of this computer",
	.help = "Status 1 when something is missing that croft cannot work without.",
	.max_words = 0,
	.run = doctor_run,
};
