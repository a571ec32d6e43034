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
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define PROBE_MS 2000
#define ROM_SIZE 65536
#define ROM_RESET 0xfff0 /* where a PC's processor begins */
#define EXIT_PORT 0xf4
#define EXIT_VALUE 0x10
#define EXIT_STATUS ((EXIT_VALUE << 1) | 1) /* as isa-debug-exit makes it */
#define LOCK_WAIT_MS 10000

/* A ROM whose first instructions, in real mode, write a byte to the port that makes QEMU exit. No firmware takes part. */
static int write_rom(const char *path, struct error **err)
{
	static const unsigned char code[] = { 0xb0, EXIT_VALUE, 0xe6, EXIT_PORT, 0xf4, 0xeb, 0xfd }; /* mov al; out; hlt; jmp */
	_cleanup_free_ char *rom = xcalloc(1, ROM_SIZE);

	memcpy(rom + ROM_RESET, code, sizeof(code));
	return file_write(path, rom, ROM_SIZE, 0600, err);
}

int qemu_accel_probe(const struct qemu *q, const char *accel, struct error **err)
{
	_cleanup_free_ char *dir = path_cache(NULL), *name = xasprintf("probe-%d.rom", (int)getpid());
	_cleanup_free_ char *rom = path_join(dir, name);
	const char *const argv[] = { q->path, "-nodefaults", "-no-user-config", "-display", "none", "-M", "pc", "-accel", accel,
		"-m", "16", "-bios", rom, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-no-reboot", NULL };
	_cleanup_error_ struct error *late = NULL;
	_cleanup_proc_ struct proc p = PROC_INIT;
	int status = 0, rc;

	if (file_mkdirs(dir, 0700, err) < 0 || write_rom(rom, err) < 0)
		return -1;
	rc = proc_spawn(&(struct proc_opts){ .argv = argv, .die_with_us = true }, &p, err);
	/* Not in time is the very answer that is looked for, not an error; releasing p kills it. */
	if (rc == 0 && proc_wait(&p, PROBE_MS, &status, &late) < 0)
		status = -1;
	unlink(rom);
	if (rc < 0)
		return -1;
	return status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STATUS;
}

/* Same kernel, same QEMU, same device: same answer. */
static char *probe_key(const struct qemu *q)
{
	struct utsname u;
	struct stat st = { 0 };

	uname(&u);
	stat("/dev/kvm", &st);
	return xasprintf("%s %s %s %u.%u.%u %s dev %lx mode %o uid %d", u.release, u.version, q->path, q->major, q->minor,
		q->micro, q->package, (unsigned long)st.st_rdev, (unsigned)st.st_mode, (int)geteuid());
}

/* 1 or 0 as remembered, -1 when nothing is. */
static int remembered(const char *file, const char *key)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *was;
	json_t *o;
	int kvm, r = -1;

	if (file_read(file, 65536, &b, &e) < 0)
		return -1;
	o = json_loadb(b.data, b.len, 0, NULL);
	if (json_unpack(o, "{s:s, s:b}", "key", &was, "kvm", &kvm) == 0 && !strcmp(was, key))
		r = kvm;
	json_decref(o);
	return r;
}

static void remember(const char *file, const char *key, bool kvm)
{
	_cleanup_error_ struct error *e = NULL;
	json_t *o = json_pack("{s:s, s:b}", "key", key, "kvm", (int)kvm);
	char *text = json_dumps(o, JSON_INDENT(1));

	if (text && file_write(file, text, strlen(text), 0600, &e) < 0)
		log_debug("%s", e->msg);
	free(text);
	json_decref(o);
}

/* 1: guests run under KVM. Two commands at once probe once: the second waits for the first. */
static int kvm_works(const struct qemu *q, struct error **err)
{
	_cleanup_free_ char *dir = path_cache(NULL), *file = path_cache("accel.json"), *lock = path_cache("accel.lock");
	_cleanup_free_ char *key = probe_key(q);
	_cleanup_close_ int fd = -1;
	int r = remembered(file, key);

	if (r >= 0)
		return r;
	if (file_mkdirs(dir, 0700, err) < 0)
		return -1;
	fd = file_lock(lock, true, LOCK_WAIT_MS, err);
	if (fd < 0)
		return -1;
	r = remembered(file, key);
	if (r >= 0)
		return r;
	r = qemu_accel_probe(q, "kvm", err);
	if (r == 0)
		log_info("KVM is there but does not run guests on this host: using TCG, which is slower (remembered in %s)", file);
	if (r >= 0)
		remember(file, key, r);
	return r;
}

static bool same_arch(const char *arch)
{
	struct utsname u;

	return uname(&u) == 0 && !strcmp(u.machine, arch);
}

const char *qemu_accel(const struct qemu *q, const char *want, struct error **err)
{
	int r;

	if (want && !strcmp(want, "tcg"))
		return "tcg";
	if (want && strcmp(want, "kvm") && strcmp(want, "auto")) {
		error_set(err, ERR_USAGE, "accelerator '%s': not one of auto, kvm, tcg", want);
		return NULL;
	}
	if (want && !strcmp(want, "kvm")) {
		if (!same_arch(q->arch)) {
			error_set(err, ERR_USAGE, "KVM runs guests of the host's architecture only, not %s", q->arch);
		} else if (access("/dev/kvm", R_OK | W_OK) < 0) {
			error_errno(err, errno, "/dev/kvm");
			error_hint(err, "use --accel tcg, or become a member of the group that owns /dev/kvm");
		}
		return *err ? NULL : "kvm";
	}
	/* The probe guest is x86 code. */
	if (strcmp(q->arch, "x86_64") || !same_arch(q->arch) || access("/dev/kvm", R_OK | W_OK) < 0)
		return "tcg";
	r = kvm_works(q, err);
	return r < 0 ? NULL : r ? "kvm" : "tcg";
}
