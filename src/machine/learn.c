/* SPDX-License-Identifier: Apache-2.0 */
#include "learn.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/strv.h"
#include "conf/doc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FACTS_MAX (1u << 20)
#define FIRST "croft-learn\t1"

/* Plain sh and what a small system has. Values are one line each. */
static const char script[] =
	"say() { printf '%s\\t%s\\n' \"$1\" \"$2\"; }\n"
	"line() { [ -r \"$2\" ] && say \"$1\" \"$(head -n 1 \"$2\" 2>/dev/null | tr -d '\\000')\"; }\n"
	"printf 'croft-learn\\t1\\n'\n"
	"say arch \"$(uname -m)\"; say name \"$(uname -n)\"\n"
	"for f in sys_vendor product_name product_version product_family board_name bios_vendor bios_version; do\n"
	"	line dmi.$f /sys/class/dmi/id/$f; done\n"
	"[ -d /sys/firmware/efi ] && say efi 1\n"
	"for f in /sys/firmware/efi/efivars/SecureBoot-*; do [ -r \"$f\" ] && say secureboot \"$(tail -c 1 \"$f\" | tr '\\001' 1)\"; done\n"
	"[ -d /sys/class/tpm/tpm0 ] && say tpm 1\n"
	"say memory \"$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)\"\n"
	"say cpu.count \"$(grep -c '^processor' /proc/cpuinfo)\"\n"
	"say cpu.sockets \"$(sed -n 's/^physical id[^:]*: //p' /proc/cpuinfo | sort -u | grep -c .)\"\n"
	"for k in vendor_id 'cpu family' model 'model name' 'cpu cores' siblings flags; do\n"
	"	say \"cpu.$k\" \"$(sed -n \"s/^$k[[:space:]]*: //p\" /proc/cpuinfo | head -n 1)\"; done\n"
	"for d in /sys/block/*; do\n"
	"	n=${d##*/}; case $n in loop*|ram*|zram*|dm-*|md*|sr*|fd*|nbd*) continue;; esac\n"
	"	[ \"$(cat \"$d/removable\" 2>/dev/null)\" = 1 ] && continue\n"
	"	say disk \"$n $(cat \"$d/size\") $(readlink -f \"$d\") $(cat \"$d/device/serial\" \"$d/serial\" 2>/dev/null | head -n 1 | tr -d ' ')\"\n"
	"done\n"
	"for d in /sys/class/net/*; do\n"
	"	[ -e \"$d/device\" ] && say nic \"$(cat \"$d/address\") $(basename \"$(readlink -f \"$d/device/driver\")\")\"; done\n"
	"for d in /sys/bus/pci/devices/*; do\n"
	"	[ -e \"$d\" ] && say pci \"${d##*/} $(cat \"$d/class\") $(cat \"$d/vendor\") $(cat \"$d/device\")\"; done\n"
	":\n";

int learn_run(const char *host, struct buf *facts, struct error **err)
{
	const char *const here[] = { "sh", "-s", NULL }, *const there[] = { "ssh", "--", host, "sh -s", NULL };
	_cleanup_proc_ struct proc p = PROC_INIT;
	int status = 0;
	ssize_t n = 1;

	/* ssh may ask for a password: it stays in the terminal's process group. */
	if (proc_spawn(&(struct proc_opts){ .argv = host ? there : here, .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_INHERIT, .same_group = true },
		    &p, err) < 0 ||
		file_write_all(p.in, script, sizeof(script) - 1, "the script's input", err) < 0)
		return -1;
	close(STEAL_FD(p.in));
	while (n != 0 && facts->len < FACTS_MAX) {
		n = read(p.out, buf_reserve(facts, 16384), 16384);
		if (n < 0 && errno != EINTR)
			return error_errno(err, errno, "%s", host ? host : "this computer");
		facts->len += n > 0 ? (size_t)n : 0;
		facts->data[facts->len] = '\0';
	}
	if (proc_wait(&p, -1, &status, err) < 0)
		return -1;
	if (status)
		return error_set(err, ERR_FAILED, "%s: %s %s", host ? host : "this computer", host ? "ssh" : "sh", proc_status_text(status));
	return 0;
}

/* QEMU's named models for what /proc/cpuinfo says (QEMU target/i386/cpu.c: family, model of each). */
static const struct {
	const char *vendor;
	unsigned family, first, last;
	const char *model;
} cpus[] = {
	{ "GenuineIntel", 6, 15, 22, "Conroe" },
	{ "GenuineIntel", 6, 23, 23, "Penryn" },
	{ "GenuineIntel", 6, 26, 31, "Nehalem" },
	{ "GenuineIntel", 6, 37, 37, "Westmere" },
	{ "GenuineIntel", 6, 42, 42, "SandyBridge" },
	{ "GenuineIntel", 6, 44, 44, "Westmere" },
	{ "GenuineIntel", 6, 45, 45, "SandyBridge" },
	{ "GenuineIntel", 6, 58, 58, "IvyBridge" },
	{ "GenuineIntel", 6, 60, 60, "Haswell" },
	{ "GenuineIntel", 6, 61, 61, "Broadwell" },
	{ "GenuineIntel", 6, 62, 62, "IvyBridge" },
	{ "GenuineIntel", 6, 63, 63, "Haswell" },
	{ "GenuineIntel", 6, 69, 70, "Haswell" },
	{ "GenuineIntel", 6, 71, 71, "Broadwell" },
	{ "GenuineIntel", 6, 78, 78, "Skylake-Client" },
	{ "GenuineIntel", 6, 79, 79, "Broadwell" },
	{ "GenuineIntel", 6, 85, 85, "Skylake-Server" },
	{ "GenuineIntel", 6, 86, 86, "Broadwell" },
	{ "GenuineIntel", 6, 94, 94, "Skylake-Client" },
	{ "GenuineIntel", 6, 106, 108, "Icelake-Server" },
	{ "GenuineIntel", 6, 142, 142, "Skylake-Client" },
	{ "GenuineIntel", 6, 143, 143, "SapphireRapids" },
	{ "GenuineIntel", 6, 158, 158, "Skylake-Client" },
	{ "AuthenticAMD", 15, 0, 255, "Opteron_G3" },
	{ "AuthenticAMD", 16, 0, 255, "Opteron_G3" },
	{ "AuthenticAMD", 21, 0, 1, "Opteron_G4" },
	{ "AuthenticAMD", 21, 2, 255, "Opteron_G5" },
	{ "AuthenticAMD", 23, 0, 47, "EPYC" },
	{ "AuthenticAMD", 23, 48, 255, "EPYC-Rome" },
	{ "AuthenticAMD", 25, 0, 15, "EPYC-Milan" },
	{ "HygonGenuine", 24, 0, 255, "Dhyana" },
};
static const char *const nics[][2] = { { "virtio_net", "virtio" }, { "e1000", "e1000" }, { "8139cp", "rtl8139" }, { "8139too", "rtl8139" } };

struct facts {
	struct strv lines;
};

/* Value of the n-th line of this name, NULL: none. */
static const char *fact(const struct facts *f, const char *name, size_t nth)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < f->lines.len; i++)
		if (!strncmp(f->lines.v[i], name, n) && f->lines.v[i][n] == '\t' && nth-- == 0)
			return f->lines.v[i] + n + 1;
	return NULL;
}

static const char *text(const struct facts *f, const char *name)
{
	const char *s = fact(f, name, 0);

	return s ? s : "";
}

static unsigned number(const struct facts *f, const char *name, unsigned fallback)
{
	const char *s = fact(f, name, 0);
	unsigned long v = s ? strtoul(s, NULL, 10) : 0;

	return v && v < 100000 ? (unsigned)v : fallback;
}

static bool has_flag(const struct facts *f, const char *flag)
{
	_cleanup_strv_ struct strv words = STRV_INIT;

	strv_split(&words, text(f, "cpu.flags"), " ");
	return strv_has(&words, flag);
}

/* A value in double quotes; bytes that are not UTF-8 or control characters become '?'. */
static void add_text(struct buf *b, const char *s)
{
	_cleanup_free_ char *clean = xstrdup(s);

	for (char *c = clean; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
			*c = '?';
	json_quote(b, clean);
}

static void add_cpu(const struct facts *f, struct buf *b)
{
	unsigned family = number(f, "cpu.cpu family", 0), model = number(f, "cpu.model", 0), count = number(f, "cpu.count", 1),
		 sockets = number(f, "cpu.sockets", 1), cores = number(f, "cpu.cpu cores", 1), siblings = number(f, "cpu.siblings", cores),
		 threads = siblings >= cores && siblings % cores == 0 ? siblings / cores : 1;
	const char *named = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cpus) && !named; i++)
		if (!strcmp(cpus[i].vendor, text(f, "cpu.vendor_id")) && cpus[i].family == family && model >= cpus[i].first && model <= cpus[i].last)
			named = cpus[i].model;
	/* Some virtual machines tell nonsense of their shape. */
	if (sockets * cores * threads != count) {
		sockets = threads = 1;
		cores = count < 255 ? count : 255;
	}
	buf_adds(b, "# processor: ");
	add_text(b, text(f, "cpu.model name"));
	if (named)
		buf_addf(b, "\ncpu: %s", named);
	buf_addf(b, "\nsockets: %u\ncores: %u\nthreads: %u\n", sockets, cores, threads);
	if (*text(f, "cpu.flags") && !has_flag(f, "hypervisor"))
		buf_adds(b, "hide_hypervisor: true\n");
}

/* The kernel keeps some for itself: up to what is sold, an eighth of a power of two at a time. */
static void add_memory(const struct facts *f, struct buf *b)
{
	uint64_t mib = strtoull(text(f, "memory"), NULL, 10) >> 10, step = 8;

	while (step * 16 <= mib)
		step *= 2;
	buf_addf(b, "memory: %" PRIu64 "M\n", (mib + step - 1) / step * step);
}

static const char *disk_bus(const char *name, const char *path)
{
	return !strncmp(name, "nvme", 4)			? "nvme" :
		strstr(path, "/usb")				? "usb" :
		strstr(path, "/ata")				? "sata" :
		!strncmp(name, "vd", 2)				? "virtio" :
								  "scsi";
}

static void add_disks(const struct facts *f, struct buf *b)
{
	const char *s;

	for (size_t i = 0; (s = fact(f, "disk", i)); i++) {
		_cleanup_strv_ struct strv w = STRV_INIT;
		uint64_t sectors;

		strv_split(&w, s, " ");
		sectors = w.len >= 3 ? strtoull(w.v[1], NULL, 10) : 0;
		if (!sectors)
			continue;
		buf_addf(b, "%s- {size: %" PRIu64 ", bus: %s", i ? "" : "disks:\n", sectors * 512, disk_bus(w.v[0], w.v[2]));
		if (w.len > 3) {
			buf_adds(b, ", serial: ");
			add_text(b, w.v[3]);
		}
		buf_adds(b, "}\n");
	}
}

static void add_nics(const struct facts *f, struct buf *b)
{
	const char *s;

	for (size_t i = 0; (s = fact(f, "nic", i)); i++) {
		_cleanup_strv_ struct strv w = STRV_INIT;
		const char *model = "e1000e";

		strv_split(&w, s, " ");
		for (size_t k = 0; w.len > 1 && k < ARRAY_SIZE(nics); k++)
			if (!strcmp(w.v[1], nics[k][0]))
				model = nics[k][1];
		if (w.len && strlen(w.v[0]) == 17)
			buf_addf(b, "%s- {model: %s, mac: '%s'} # %s\n", i ? "" : "nics:\n", model, w.v[0], w.len > 1 ? w.v[1] : "");
	}
}

/* "type=1,manufacturer=...": commas doubled, as QEMU's options want them. */
static void add_smbios(const struct facts *f, struct buf *b)
{
	static const char *const keys[][2] = { { "manufacturer", "dmi.sys_vendor" }, { "product", "dmi.product_name" },
		{ "version", "dmi.product_version" }, { "family", "dmi.product_family" } };
	_cleanup_buf_ struct buf line = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *s = text(f, keys[i][1]);

		if (!*s)
			continue;
		buf_addf(&line, ",%s=", keys[i][0]);
		for (; *s; s++)
			buf_addf(&line, *s == ',' ? ",%c" : "%c", *s);
	}
	if (!line.len)
		return;
	buf_adds(b, "smbios: [");
	{
		_cleanup_free_ char *all = xasprintf("type=1%s", line.data);

		add_text(b, all);
	}
	buf_adds(b, "]\n");
}

static bool is_440fx(const struct facts *f)
{
	const char *s;

	for (size_t i = 0; (s = fact(f, "pci", i)); i++)
		if (strstr(s, " 0x8086 0x1237"))
			return true;
	return false;
}

int learn_describe(const char *facts, struct buf *b, struct error **err)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;
	struct facts f;
	const char *arch;
	bool x86;

	if (strncmp(facts, FIRST "\n", strlen(FIRST) + 1))
		return error_set(err, ERR_FAILED, "the other side's shell has not run the script: it said '%.*s'", (int)strcspn(facts, "\n"), facts);
	strv_split(&lines, facts, "\n");
	f.lines = lines;
	arch = text(&f, "arch");
	x86 = !strcmp(arch, "x86_64") || (arch[0] == 'i' && !strcmp(arch + 2, "86"));
	buf_adds(b, "# A machine like ");
	add_text(b, text(&f, "name"));
	buf_adds(b, ", as `croft vm learn` saw it. Disks are empty: name an image to start from.\n# firmware: ");
	add_text(b, text(&f, "dmi.bios_vendor"));
	buf_addc(b, ' ');
	add_text(b, text(&f, "dmi.bios_version"));
	buf_addf(b, "\narch: %s\n", x86 && strcmp(arch, "x86_64") ? "i386" : arch);
	if (x86)
		buf_addf(b, "type: %s\n", is_440fx(&f) ? "pc" : "q35");
	buf_addf(b, "firmware: %s\n", !fact(&f, "efi", 0) ? "bios" : !strcmp(text(&f, "secureboot"), "1") ? "uefi-secure" : "uefi");
	add_cpu(&f, b);
	add_memory(&f, b);
	if (fact(&f, "tpm", 0))
		buf_adds(b, "tpm: true\n");
	add_smbios(&f, b);
	add_disks(&f, b);
	add_nics(&f, b);
	return 0;
}
