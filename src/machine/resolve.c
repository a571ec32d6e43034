/* SPDX-License-Identifier: Apache-2.0 */
/* From what a person gave to a definition that is complete: nothing of it changes by itself afterwards. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "fields.h"
#include "identity.h"
#include "internal.h"
#include "qemu/args.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_MIN (16ull << 20)
#define UEFI_MIN (192ull << 20) /* OVMF hangs with 128 MiB */
#define MEMORY_MAX (16ull << 40)
#define HOTPLUG_SLOTS 2
#define TAG_MAX 31 /* of 9p, QEMU hw/9pfs; virtiofs takes 36 */
#define ROOT_SERIAL "croft-root" /* tiny mounts the disk of that serial as its lasting root */

void machine_mac(const char *full_name, unsigned index, char ret[18])
{
	_cleanup_free_ char *seed = xasprintf("croft mac %s %u", full_name, index);
	unsigned char h[32];

	identity_digest(seed, h);
	snprintf(ret, 18, "52:54:00:%02x:%02x:%02x", h[0], h[1], h[2]);
}

bool machine_disk_is_cdrom(const struct image *img)
{
	return img && img->format && !strcmp(img->format, "iso");
}

/* A new disk in front of the others. */
static struct machine_disk *first_disk(struct machine_def *d)
{
	d->disks = xreallocarray(d->disks, d->ndisks + 1, sizeof(*d->disks));
	memmove(d->disks + 1, d->disks, d->ndisks++ * sizeof(*d->disks));
	d->disks[0] = (struct machine_disk){ .discard = true, .boot = -1 };
	return d->disks;
}

static void default_text(char **field, const char *value)
{
	if (!*field)
		*field = xstrdup(value);
}

/* A disk of the machine's own image goes in front of those that are given, unless one of them is it. */
static void resolve_disks(struct machine_def *d, const struct image *img)
{
	struct machine_disk *root = NULL;

	for (size_t i = 0; i < d->ndisks && img && !root; i++)
		if (d->disks[i].image && !strcmp(d->disks[i].image, d->image))
			root = &d->disks[i];
	if (img && img->disk && !root) {
		root = first_disk(d);
		root->image = xstrdup(d->image);
	}
	if (root && img->kernel && !root->serial)
		root->serial = xstrdup(ROOT_SERIAL);
	if (root && !img->kernel && root->boot < 0)
		root->boot = 0;
	for (size_t i = 0; i < d->ndisks; i++) {
		bool iso = d->disks[i].media && !strcmp(d->disks[i].media, "cdrom");

		default_text(&d->disks[i].bus, iso ? "sata" : "virtio");
		default_text(&d->disks[i].cache, "writeback");
	}
}

static void resolve_nics(struct machine_def *d)
{
	if (!d->nnics && !d->bare_net) {
		d->nics = xcalloc(1, sizeof(*d->nics));
		d->nnics = 1;
	}
	for (size_t i = 0; i < d->nnics; i++) {
		char mac[18];

		machine_mac(d->name, (unsigned)i, mac);
		default_text(&d->nics[i].mac, mac);
		default_text(&d->nics[i].model, "virtio");
		default_text(&d->nics[i].net, "user");
	}
}

/* Values reach QEMU and machine.json as UTF-8 only. */
static int check_utf8(const struct machine_def *d, struct error **err)
{
	const char *all[] = { d->type, d->cpu, d->display, d->kernel_args, d->hostname, d->arch, d->nvram, d->kernel, d->initrd,
		d->display_listen, d->display_tls, d->home, d->workdir };
	_cleanup_strv_ struct strv texts = STRV_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i])
			strv_add(&texts, all[i]);
	for (size_t i = 0; i < d->ndisks; i++)
		for (const char *const *t = (const char *const[]){ d->disks[i].serial, d->disks[i].path, d->disks[i].format, NULL }, *const *end = t + 3;
			t < end; t++)
			if (*t)
				strv_add(&texts, *t);
	for (size_t i = 0; i < d->nshares; i++) {
		strv_add(&texts, d->shares[i].tag);
		strv_add(&texts, d->shares[i].path);
	}
	strv_addv(&texts, (const char *const *)d->qemu_args.v ? (const char *const *)d->qemu_args.v : (const char *const[]){ NULL });
	for (size_t i = 0; i < texts.len; i++) {
		json_t *s = json_string(texts.v[i]);

		if (!s)
			return error_set(err, ERR_USAGE, "machine %s: '%s' is not UTF-8", d->name, texts.v[i]);
		json_decref(s);
	}
	return 0;
}

static bool plain_word(const char *s)
{
	return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static int check_word(const struct machine_def *d, const char *what, const char *value, const char *const *known, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_free_ char *all = NULL;

	strv_addv(&words, known);
	if (strv_has(&words, value))
		return 0;
	all = strv_join(&words, ", ");
	return error_set(err, ERR_USAGE, "machine %s: %s '%s' is not known; known are %s", d->name, what, value, all);
}

/* Definitions come from options and group files too, not only from machine files, where positions can be told. */
static int check_words(const struct machine_def *d, struct error **err)
{
	if (check_word(d, "firmware", d->firmware, machine_firmwares, err) < 0)
		return -1;
	for (size_t i = 0; i < d->ndisks; i++) {
		const struct machine_disk *k = &d->disks[i];

		if (check_word(d, "disk bus", k->bus, qemu_buses_known, err) < 0 ||
			check_word(d, "disk cache", k->cache, qemu_caches_known, err) < 0)
			return -1;
		if (k->format && !plain_word(k->format))
			return error_set(err, ERR_USAGE, "machine %s: disk format '%s' is not a word", d->name, k->format);
	}
	for (size_t i = 0; i < d->nnics; i++)
		if (check_word(d, "NIC model", d->nics[i].model, qemu_nics_known, err) < 0 ||
			check_word(d, "network", d->nics[i].net, machine_nets, err) < 0)
			return -1;
	return 0;
}

/* Values that go into QEMU's options beside others, where a comma or a blank would start another option. */
static int check_plain(const struct machine_def *d, struct error **err)
{
	if (!plain_word(d->type))
		return error_set(err, ERR_USAGE, "machine %s: type '%s' is not a QEMU machine type", d->name, d->type);
	if (!plain_word(d->arch))
		return error_set(err, ERR_USAGE, "machine %s: arch '%s' is not a word", d->name, d->arch);
	if (!plain_word(d->hostname))
		return error_set(err, ERR_USAGE, "machine %s: hostname '%s' has other than letters, digits, '.', '-', '_'", d->name,
			d->hostname);
	for (size_t i = 0; i < d->nshares; i++) {
		const struct machine_share *s = &d->shares[i];

		if (!s->tag || !s->path)
			return error_set(err, ERR_USAGE, "machine %s: share %zu needs a tag and a path", d->name, i);
		if (!*s->tag || strlen(s->tag) > TAG_MAX)
			return error_set(err, ERR_USAGE, "machine %s: share %zu: a tag has 1 to %d bytes", d->name, i, TAG_MAX);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(d->shares[k].tag, s->tag))
				return error_set(err, ERR_USAGE, "machine %s: two shares have the tag '%s'", d->name, s->tag);
		if (s->path[0] != '/')
			return error_set(err, ERR_USAGE, "machine %s: share %s: '%s' is not an absolute path", d->name, s->tag, s->path);
	}
	return 0;
}

static int check_disk(const struct machine_def *d, size_t i, struct error **err)
{
	const struct machine_disk *k = &d->disks[i];

	if (k->path && k->image)
		return error_set(err, ERR_USAGE, "machine %s: disk %zu has an image and a path; one of them", d->name, i);
	if (k->path && k->path[0] != '/')
		return error_set(err, ERR_USAGE, "machine %s: disk %zu: '%s' is not an absolute path", d->name, i, k->path);
	if (k->file && (strchr(k->file, '/') || k->file[0] == '.'))
		return error_set(err, ERR_USAGE, "machine %s: disk %zu: file '%s' is not a name in the machine's folder; say path", d->name, i, k->file);
	if (k->eject && !(k->media && !strcmp(k->media, "cdrom")))
		return error_set(err, ERR_USAGE, "machine %s: disk %zu: only a cdrom can be ejected", d->name, i);
	if (k->image || k->path || k->size || (k->media && strcmp(k->media, "disk")))
		return 0;
	error_set(err, ERR_USAGE, "machine %s: disk %zu has no image and no size", d->name, i);
	return error_hint(err, "give it a size, as 10G");
}

/* Numbers that depend on one another. */
static int check_size(const struct machine_def *d, struct error **err)
{
	unsigned package = d->cores * d->threads;
	char a[16], b[16];

	if (d->memory < MEMORY_MIN || d->memory > MEMORY_MAX)
		return error_set(err, ERR_USAGE, "machine %s: memory of %s; at least %s is needed", d->name,
			format_size(d->memory, a), format_size(MEMORY_MIN, b));
	if (machine_is_uefi(d) && d->memory < UEFI_MIN)
		return error_set(err, ERR_USAGE, "machine %s: memory of %s; firmware %s hangs without a word below %s", d->name,
			format_size(d->memory, a), d->firmware, format_size(UEFI_MIN, b));
	if (d->max_memory && (d->max_memory < d->memory || d->max_memory > MEMORY_MAX))
		return error_set(err, ERR_USAGE, "machine %s: max_memory of %s is less than the memory of %s", d->name,
			format_size(d->max_memory, a), format_size(d->memory, b));
	if (d->hugepages && (d->hugepages < (1 << 20) || (d->hugepages & (d->hugepages - 1)) || d->memory % d->hugepages))
		return error_set(err, ERR_USAGE, "machine %s: hugepages of %s: a size as 2M or 1G is wanted that divides the memory", d->name,
			format_size(d->hugepages, a));
	if (!d->sockets || !d->cores || !d->threads || (uint64_t)d->sockets * d->cores * d->threads > 255)
		return error_set(err, ERR_USAGE, "machine %s: %u x %u x %u CPUs; 1 to 255 are possible", d->name, d->sockets,
			d->cores, d->threads);
	if (d->max_cpus && (d->max_cpus < machine_cpus(d) || d->max_cpus % package))
		return error_set(err, ERR_USAGE, "machine %s: max_cpus %u: a multiple of %u (cores x threads) is wanted, at least %u", d->name,
			d->max_cpus, package, machine_cpus(d));
	return 0;
}

static int check(const struct machine_def *d, const struct image *img, struct error **err)
{
	if (check_plain(d, err) < 0 || check_size(d, err) < 0)
		return -1;
	if (img && img->arch && strcmp(img->arch, d->arch))
		return error_set(err, ERR_USAGE, "machine %s: image %s is for %s, the machine is %s", d->name, img->name, img->arch,
			d->arch);
	if (img && img->kernel && !d->kernel && d->memory < img->memory) {
		char a[16], b[16];

		return error_set(err, ERR_USAGE, "machine %s: memory of %s; image %s needs at least %s to start", d->name,
			format_size(d->memory, a), img->name, format_size(img->memory, b));
	}
	if (machine_is_uefi(d) && img && img->kernel)
		return error_set(err, ERR_USAGE, "machine %s: image %s is started by its kernel, without firmware uefi", d->name,
			img->name);
	if (machine_is_secure(d) && !strstr(d->type, "q35"))
		return error_set(err, ERR_USAGE, "machine %s: firmware uefi-secure needs the type q35, not %s", d->name, d->type);
	for (size_t i = 0; i < d->ndisks; i++)
		if (check_disk(d, i, err) < 0)
			return -1;
	return check_words(d, err) < 0 || check_utf8(d, err) < 0 ? -1 : machine_def_check(d, NULL, err);
}

bool machine_is_uefi(const struct machine_def *d)
{
	return d->firmware && !strncmp(d->firmware, "uefi", 4);
}

bool machine_is_secure(const struct machine_def *d)
{
	return d->firmware && !strcmp(d->firmware, "uefi-secure");
}

unsigned machine_cpus(const struct machine_def *d)
{
	return d->sockets * d->cores * d->threads;
}

/* The board that QEMU's own documentation takes for this architecture. */
const char *machine_default_type(const char *arch)
{
	static const char *const boards[][2] = { { "x86_64", "q35" }, { "i386", "q35" }, { "ppc64", "pseries" }, { "ppc", "g3beige" },
		{ "s390x", "s390-ccw-virtio" }, { "sparc64", "sun4u" }, { "m68k", "virt" } };

	for (size_t i = 0; i < ARRAY_SIZE(boards); i++)
		if (!strcmp(arch, boards[i][0]))
			return boards[i][1];
	return "virt";
}

int machine_def_resolve(struct machine_def *d, const struct image *img, struct error **err)
{
	const char *slash = strrchr(d->name, '/');

	default_text(&d->arch, img && img->arch ? img->arch : "x86_64");
	/* q35 is what a definition begins with; other architectures have no such board */
	if (d->type && !strcmp(d->type, "q35") && strcmp(machine_default_type(d->arch), "q35"))
		free(STEAL(d->type));
	default_text(&d->type, machine_default_type(d->arch));
	default_text(&d->display, "none");
	default_text(&d->firmware, img && img->firmware && !strcmp(img->firmware, "uefi") ? "uefi" : "bios");
	default_text(&d->hostname, slash ? slash + 1 : d->name);
	if (d->hotplug < 0)
		d->hotplug = strstr(d->type, "q35") && !d->kernel && !(img && img->kernel) ? HOTPLUG_SLOTS : 0;
	d->memory = (d->memory + (1 << 20) - 1) & ~(uint64_t)((1 << 20) - 1);
	resolve_disks(d, img);
	resolve_nics(d);
	return check(d, img, err);
}
