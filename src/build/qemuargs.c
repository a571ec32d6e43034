/* SPDX-License-Identifier: Apache-2.0 */
#include "qemuargs.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"

#include <ctype.h>
#include <string.h>

static void set_text(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

/* "key" of "a,key=value,b"; new, or NULL. */
static char *option(const char *list, const char *key)
{
	_cleanup_strv_ struct strv parts = STRV_INIT;
	size_t n = strlen(key);

	strv_split(&parts, list, ",");
	for (size_t i = 0; i < parts.len; i++)
		if (!strncmp(parts.v[i], key, n) && parts.v[i][n] == '=')
			return xstrdup(parts.v[i] + n + 1);
	return NULL;
}

/* The first word, when it is no key=value. */
static char *first(const char *list)
{
	_cleanup_free_ char *word = xstrndup(list, strcspn(list, ","));

	return *word && !strchr(word, '=') ? STEAL(word) : NULL;
}

static int set_memory(struct box *v, const char *value, struct error **err)
{
	_cleanup_free_ char *size = option(value, "size"), *word = size ? xstrdup(size) : first(value), *text = NULL;
	size_t n = word ? strlen(word) : 0;

	if (!n)
		return error_set(err, ERR_USAGE, "'%s' is no size of memory", value);
	text = isdigit((unsigned char)word[n - 1]) ? xasprintf("%sM", word) : xstrdup(word);
	return parse_size("-m", text, &v->def.memory, err);
}

static int set_number(const char *list, const char *key, unsigned *ret, struct error **err)
{
	_cleanup_free_ char *text = option(list, key);
	uint64_t n;

	if (!text)
		return 0;
	if (parse_u64(key, text, 1, 255, &n, err) < 0)
		return -1;
	*ret = (unsigned)n;
	return 0;
}

static int set_smp(struct box *v, const char *value, struct error **err)
{
	_cleanup_free_ char *word = first(value), *list = word ? xasprintf("cpus=%s", value) : xstrdup(value);
	unsigned cpus = 0, sockets = 0, cores = 0, threads = 1;

	if (set_number(list, "cpus", &cpus, err) < 0 || set_number(list, "sockets", &sockets, err) < 0 || set_number(list, "cores", &cores, err) < 0 ||
		set_number(list, "threads", &threads, err) < 0)
		return -1;
	v->def.threads = threads;
	v->def.sockets = sockets ? sockets : 1;
	v->def.cores = cores ? cores : cpus ? cpus / v->def.sockets / threads : 1;
	v->def.cores = v->def.cores ? v->def.cores : 1;
	return 0;
}

static int set_machine(struct box *v, const char *value, struct error **err)
{
	_cleanup_free_ char *type = option(value, "type"), *word = type ? NULL : first(value);

	if (type || word)
		set_text(&v->def.type, type ? type : word);
	return 0;
}

static int set_cpu(struct box *v, const char *value, struct error **err)
{
	/* a template's "host" needs KVM; without it croft's own choice is as near as can be */
	if (strcmp(value, "host"))
		set_text(&v->def.cpu, value);
	return 0;
}

static int set_vga(struct box *v, const char *value, struct error **err)
{
	static const char *const known[] = { "none", "std", "qxl", "virtio", "cirrus", "vmware" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(value, known[i]))
			set_text(&v->def.video, value);
	return 0;
}

static const struct {
	const char *name;
	int (*set)(struct box *v, const char *value, struct error **err); /* NULL: left out */
	bool bare;							  /* takes no value */
	const char *why;						  /* it is left out; NULL: without a word */
} switches[] = {
	{ "-m", set_memory, false, NULL },
	{ "-smp", set_smp, false, NULL },
	{ "-machine", set_machine, false, NULL },
	{ "-M", set_machine, false, NULL },
	{ "-cpu", set_cpu, false, NULL },
	{ "-vga", set_vga, false, NULL },
	{ "-name", NULL, false, NULL },
	{ "-accel", NULL, false, "say it by 'accelerator'" },
	{ "-enable-kvm", NULL, true, "say it by 'accelerator'" },
	{ "-display", NULL, false, "the machine has a display that `croft vm display` shows" },
	{ "-vnc", NULL, false, "the machine has a display that `croft vm display` shows" },
	{ "-nographic", NULL, true, "the machine has a serial console that `croft vm console` shows" },
	{ "-serial", NULL, false, "the machine has a serial console that `croft vm console` shows" },
	{ "-monitor", NULL, false, "the monitor is croft's; see `croft vm qemu`" },
	{ "-qmp", NULL, false, "the monitor is croft's; see `croft vm qemu`" },
	{ "-daemonize", NULL, true, "the machine runs in the background anyway" },
	{ "-boot", NULL, false, "the disk comes first, then the CD" },
};

/* A -drive that describes the disk which croft attaches itself: of it the bus is taken. */
static bool own_disk(struct build *b, struct box *v, const char *value)
{
	_cleanup_free_ char *file = option(value, "file"), *bus = option(value, "if"), *media = option(value, "media");
	size_t n = file ? strlen(file) : 0, m = strlen(b->vm_name);

	if (!file || (media && strcmp(media, "disk")) || n < m || strcmp(file + n - m, b->vm_name) || (n > m && file[n - m - 1] != '/'))
		return false;
	if (bus && v->def.ndisks && (!strcmp(bus, "virtio") || !strcmp(bus, "ide") || !strcmp(bus, "scsi")))
		set_text(&v->def.disks[0].bus, bus);
	return true;
}

/* The NIC is the template's own when it brings the other end of croft's. */
static void own_nic(struct box *v, const char *name, const char *value)
{
	if ((!strcmp(name, "-netdev") || !strcmp(name, "-net") || !strcmp(name, "-nic")) && v->def.nnics) {
		machine_def_drop(&v->def, "nics", 0);
		v->def.bare_net = true;
	}
}

static int other(struct build *b, struct box *v, const char *name, const char *value, struct error **err)
{
	if (!strcmp(name, "-drive") && value && own_disk(b, v, value))
		return 0;
	own_nic(v, name, value);
	if (!value && (!strcmp(name, "-device") || !strcmp(name, "-drive") || !strcmp(name, "-netdev")))
		return error_set(err, ERR_USAGE, "%s needs a value; without one QEMU would take the next switch for it", name);
	/* its writes are not part of a snapshot */
	if ((!strcmp(name, "-drive") || !strcmp(name, "-blockdev") || !strcmp(name, "-hda") || !strcmp(name, "-hdb")) && value &&
		!strstr(value, "readonly=on") && !strstr(value, "media=cdrom") && !strstr(value, "if=pflash"))
		v->no_keep = "qemuargs bring a drive of their own, whose state croft does not know";
	strv_add(&v->def.qemu_args, name);
	if (value)
		strv_add(&v->def.qemu_args, value);
	return 0;
}

static int row(struct build *b, struct box *v, const char *name, const char *value, struct error **err)
{
	for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
		if (strcmp(switches[i].name, name))
			continue;
		if (switches[i].why)
			ui_message(b->ui, b->name, "qemuargs: %s is left out: %s", name, switches[i].why);
		return switches[i].set && value ? switches[i].set(v, value, err) : 0;
	}
	return other(b, v, name, value, err);
}

/* Packer's default NIC is "user.0"; a -device that names it wants a -netdev of that name. */
static void complete_net(struct build *b, struct box *v)
{
	bool named = false, there = false;

	for (size_t i = 0; i + 1 < v->def.qemu_args.len; i++) {
		named = named || (!strcmp(v->def.qemu_args.v[i], "-device") && strstr(v->def.qemu_args.v[i + 1], "netdev=user.0"));
		there = there || (!strcmp(v->def.qemu_args.v[i], "-netdev") && strstr(v->def.qemu_args.v[i + 1], "id=user.0"));
	}
	if (named && !there && v->def.nnics) {
		const char *forward = v->def.nics[0].forwards.len ? v->def.nics[0].forwards.v[0] : NULL;

		strv_add(&v->def.qemu_args, "-netdev");
		strv_addf(&v->def.qemu_args, "user,id=user.0%s%s", forward ? ",hostfwd=" : "", forward ? forward : "");
		machine_def_drop(&v->def, "nics", 0);
		v->def.bare_net = true;
	} else if (there && !named) {
		strv_add(&v->def.qemu_args, "-device");
		strv_addf(&v->def.qemu_args, "%s,netdev=user.0", conf_text(&b->conf, "net_device"));
	}
}

int qemuargs_apply(struct build *b, struct box *v, const struct map *fields, struct error **err)
{
	const struct val *rows = conf_val(&b->conf, "qemuargs");
	struct funcs f;

	build_funcs(b, &f);
	for (size_t i = 0; rows && i < rows->len; i++) {
		const struct val *r = rows->items[i];
		_cleanup_free_ char *name = NULL, *value = NULL;

		if (!r->len || !*r->items[0]->text)
			continue;
		if (funcs_expand(&f, fields, r->items[0]->text, &name, err) < 0 ||
			(r->len > 1 && funcs_expand(&f, fields, r->items[1]->text, &value, err) < 0) ||
			row(b, v, name, value && *value ? value : NULL, err) < 0) {
			_cleanup_free_ char *place = val_place(r);

			return error_wrap(err, "%sqemuargs %s", place, name ? name : "");
		}
	}
	complete_net(b, v);
	return 0;
}
