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
#define EXIT_VALUE 0x10 /* also in the code below */
#define EXIT_STATUS ((EXIT_VALUE << 1) | 1) /* as isa-debug-exit makes it */
#define LOCK_WAIT_MS 10000

/*
 * A ROM without any firmware: real mode, then long mode, one `lock cmpxchg16b`, and a byte to the port that makes QEMU exit.
 * A first byte alone is no proof: hosts exist whose KVM emulates the guest's code and gives up ("emulation failure") at that
 * instruction, which every Linux kernel uses early. Tables are in the ROM, their accessed bits set, since nothing can set them.
 */
static int write_rom(const char *path, struct error **err)
{
	/* at f000:0000: cr4.PAE; cr3 = f1000; EFER.LME; lgdt cs:[0x80]; cr0.PG|PE; ljmp 8:f0090 */
	static const unsigned char enter[] = {
		0xfa, 0x0f, 0x20, 0xe0, 0x66, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0, 0x66, 0xb8, 0x00, 0x10, 0x0f,
		0x00, 0x0f, 0x22, 0xd8, 0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x66, 0x0d, 0x00, 0x01,
		0x00, 0x00, 0x0f, 0x30, 0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0x00, 0x0f, 0x20, 0xc0, 0x66, 0x0d,
		0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x90, 0x00, 0x0f, 0x00, 0x08, 0x00,
	};
	/* at f0090: edi = 0x8000; lock cmpxchg16b [rdi]; mov al; out; hlt; jmp */
	static const unsigned char run[] = {
		0xbf, 0x00, 0x80, 0x00, 0x00, 0xf0, 0x48, 0x0f, 0xc7, 0x0f, 0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb,
		0xfd,
	};
	static const unsigned char code64[] = { 0, 0, 0, 0, 0, 0x9b, 0x20, 0 }; /* descriptor 8 at f0060 + 8 */
	static const unsigned char gdtr[] = { 15, 0, 0x60, 0, 0x0f, 0 };
	static const unsigned char pml4e[] = { 0x23, 0x20, 0x0f };	    /* f2000, present, writable, accessed */
	static const unsigned char pdpte[] = { 0x23, 0x30, 0x0f };	    /* f3000 */
	static const unsigned char pde[] = { 0xe3 };			    /* 0, 2 MiB, accessed and dirty */
	static const unsigned char reset[] = { 0xea, 0, 0, 0, 0xf0 };	    /* ljmp f000:0000 */
	_cleanup_free_ char *rom = xcalloc(1, ROM_SIZE);

	memcpy(rom, enter, sizeof(enter));
	memcpy(rom + 0x68, code64, sizeof(code64));
	memcpy(rom + 0x80, gdtr, sizeof(gdtr));
	memcpy(rom + 0x90, run, sizeof(run));
	memcpy(rom + 0x1000, pml4e, sizeof(pml4e));
	memcpy(rom + 0x2000, pdpte, sizeof(pdpte));
	memcpy(rom + 0x3000, pde, sizeof(pde));
	memcpy(rom + ROM_RESET, reset, sizeof(reset));
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
	return xasprintf("probe 2: %s %s %s %u.%u.%u %s dev %lx mode %o uid %d", u.release, u.version, q->path, q->major, q->minor,
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
