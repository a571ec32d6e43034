/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "qemu/args.h"
#include "qemu/keys.h"

#include <string.h>

const char *const machine_firmwares[] = { "bios", "uefi", "uefi-secure", NULL };
const char *const machine_nets[] = { "user", "none", "group", NULL };
const char *const machine_medias[] = { "disk", "cdrom", "floppy", NULL };
const char *const machine_share_kinds[] = { "9p", "virtiofs", NULL };
const char *const machine_videos[] = { "none", "std", "qxl", "virtio", "cirrus", "vmware", NULL };
const char *const machine_sounds[] = { "none", "hda", "ac97", NULL };
const char *const machine_watchdogs[] = { "none", "reset", "shutdown", "poweroff", "pause", "inject-nmi", "debug", NULL };

#define AT(type, member) offsetof(struct type, member)

const struct field machine_fields[] = {
	{ "name", FIELD_TEXT, AT(machine_def, name), NULL, 0 },
	{ "image", FIELD_TEXT, AT(machine_def, image), NULL, 0 },
	{ "host", FIELD_TEXT, AT(machine_def, host), NULL, 0 },
	{ "ssh_key", FIELD_TEXT, AT(machine_def, ssh_key), NULL, 0 },
	{ "ssh", FIELD_TEXT, AT(machine_def, ssh), NULL, 0 },
	{ "cloud_init", FIELD_TEXT, AT(machine_def, cloud_init), NULL, 0 },
	{ "arch", FIELD_TEXT, AT(machine_def, arch), NULL, 0 },
	{ "type", FIELD_TEXT, AT(machine_def, type), NULL, 0 },
	{ "firmware", FIELD_WORD, AT(machine_def, firmware), machine_firmwares, 0 },
	{ "nvram", FIELD_TEXT, AT(machine_def, nvram), NULL, 0 },
	{ "cpu", FIELD_TEXT, AT(machine_def, cpu), NULL, 0 },
	{ "hide_hypervisor", FIELD_BOOL, AT(machine_def, hide_hypervisor), NULL, 0 },
	{ "sockets", FIELD_UNSIGNED, AT(machine_def, sockets), NULL, 64 },
	{ "cores", FIELD_UNSIGNED, AT(machine_def, cores), NULL, 255 },
	{ "threads", FIELD_UNSIGNED, AT(machine_def, threads), NULL, 8 },
	{ "max_cpus", FIELD_UNSIGNED, AT(machine_def, max_cpus), NULL, 255 },
	{ "memory", FIELD_SIZE, AT(machine_def, memory), NULL, 0 },
	{ "max_memory", FIELD_SIZE, AT(machine_def, max_memory), NULL, 0 },
	{ "hugepages", FIELD_SIZE, AT(machine_def, hugepages), NULL, 0 },
	{ "kernel", FIELD_TEXT, AT(machine_def, kernel), NULL, 0 },
	{ "initrd", FIELD_TEXT, AT(machine_def, initrd), NULL, 0 },
	{ "kernel_args", FIELD_TEXT, AT(machine_def, kernel_args), NULL, 0 },
	{ "boot_menu", FIELD_BOOL, AT(machine_def, boot_menu), NULL, 0 },
	{ "display", FIELD_TEXT, AT(machine_def, display), NULL, 0 },
	{ "display_listen", FIELD_TEXT, AT(machine_def, display_listen), NULL, 0 },
	{ "display_tls", FIELD_TEXT, AT(machine_def, display_tls), NULL, 0 },
	{ "video", FIELD_WORD, AT(machine_def, video), machine_videos, 0 },
	{ "keyboard", FIELD_WORD, AT(machine_def, keyboard), keys_layouts, 0 },
	{ "sound", FIELD_WORD, AT(machine_def, sound), machine_sounds, 0 },
	{ "watchdog", FIELD_WORD, AT(machine_def, watchdog), machine_watchdogs, 0 },
	{ "rng", FIELD_BOOL, AT(machine_def, rng), NULL, 0 },
	{ "balloon", FIELD_BOOL, AT(machine_def, balloon), NULL, 0 },
	{ "tpm", FIELD_BOOL, AT(machine_def, tpm), NULL, 0 },
	{ "hotplug", FIELD_BOOT, AT(machine_def, hotplug), NULL, 16 },
	{ "usb", FIELD_TEXTS, AT(machine_def, usb), NULL, 0 },
	{ "pci", FIELD_TEXTS, AT(machine_def, pci), NULL, 0 },
	{ "smbios", FIELD_TEXTS, AT(machine_def, smbios), NULL, 0 },
	{ "hostname", FIELD_TEXT, AT(machine_def, hostname), NULL, 0 },
	{ "home", FIELD_TEXT, AT(machine_def, home), NULL, 0 },
	{ "workdir", FIELD_TEXT, AT(machine_def, workdir), NULL, 0 },
	{ "qemu_args", FIELD_TEXTS, AT(machine_def, qemu_args), NULL, 0 },
	{ NULL, 0, 0, NULL, 0 },
};
const struct field disk_fields[] = {
	{ "image", FIELD_TEXT, AT(machine_disk, image), NULL, 0 },
	{ "path", FIELD_TEXT, AT(machine_disk, path), NULL, 0 },
	{ "file", FIELD_TEXT, AT(machine_disk, file), NULL, 0 },
	{ "format", FIELD_TEXT, AT(machine_disk, format), NULL, 0 },
	{ "media", FIELD_WORD, AT(machine_disk, media), machine_medias, 0 },
	{ "size", FIELD_SIZE, AT(machine_disk, size), NULL, 0 },
	{ "bus", FIELD_WORD, AT(machine_disk, bus), qemu_buses_known, 0 },
	{ "cache", FIELD_WORD, AT(machine_disk, cache), qemu_caches_known, 0 },
	{ "discard", FIELD_BOOL, AT(machine_disk, discard), NULL, 0 },
	{ "serial", FIELD_TEXT, AT(machine_disk, serial), NULL, 0 },
	{ "boot", FIELD_BOOT, AT(machine_disk, boot), NULL, 1000 },
	{ "snapshot", FIELD_BOOL, AT(machine_disk, snapshot), NULL, 0 },
	{ "readonly", FIELD_BOOL, AT(machine_disk, readonly), NULL, 0 },
	{ "eject", FIELD_BOOL, AT(machine_disk, eject), NULL, 0 },
	{ NULL, 0, 0, NULL, 0 },
};
const struct field nic_fields[] = {
	{ "model", FIELD_WORD, AT(machine_nic, model), qemu_nics_known, 0 },
	{ "mac", FIELD_TEXT, AT(machine_nic, mac), NULL, 0 },
	{ "net", FIELD_WORD, AT(machine_nic, net), machine_nets, 0 },
	{ "tap", FIELD_TEXT, AT(machine_nic, tap), NULL, 0 },
	{ "address", FIELD_TEXT, AT(machine_nic, address), NULL, 0 },
	{ "gateway", FIELD_TEXT, AT(machine_nic, gateway), NULL, 0 },
	{ "dns", FIELD_TEXT, AT(machine_nic, dns), NULL, 0 },
	{ "forwards", FIELD_TEXTS, AT(machine_nic, forwards), NULL, 0 },
	{ "guestforwards", FIELD_TEXTS, AT(machine_nic, guestforwards), NULL, 0 },
	{ "netboot", FIELD_BOOL, AT(machine_nic, netboot), NULL, 0 },
	{ NULL, 0, 0, NULL, 0 },
};
const struct field share_fields[] = {
	{ "tag", FIELD_TEXT, AT(machine_share, tag), NULL, 0 },
	{ "path", FIELD_TEXT, AT(machine_share, path), NULL, 0 },
	{ "rw", FIELD_BOOL, AT(machine_share, rw), NULL, 0 },
	{ "kind", FIELD_WORD, AT(machine_share, kind), machine_share_kinds, 0 },
	{ NULL, 0, 0, NULL, 0 },
};

static void *member(const struct field *f, void *object)
{
	return (char *)object + f->offset;
}

/* A text value, or null for none. */
static int read_text(const struct field *f, const struct node *n, char **ret, struct error **err)
{
	const struct node *v = node_get(n, f->key);
	const char *s = NULL;

	if (!v)
		return 0;
	if (v->type == NODE_NULL) {
		free(STEAL(*ret));
		return 0;
	}
	if (node_str(n, f->key, &s, err) < 0)
		return -1;
	free(*ret);
	*ret = xstrdup(s);
	return 0;
}

static int read_word(const struct field *f, const struct node *n, char **ret, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_free_ char *all = NULL;
	const char *near;

	if (read_text(f, n, ret, err) < 0)
		return -1;
	if (!node_get(n, f->key) || !*ret)
		return 0;
	strv_addv(&words, f->words);
	if (strv_has(&words, *ret))
		return 0;
	all = strv_join(&words, ", ");
	near = nearest_name(*ret, f->words, words.len);
	node_error(node_get(n, f->key), err, "%s '%s' is not known; known are %s", f->key, *ret, all);
	return near ? error_hint(err, "did you mean '%s'?", near) : -1;
}

static int read_texts(const struct field *f, const struct node *n, struct strv *ret, struct error **err)
{
	struct node *list = NULL;

	if (node_list(n, f->key, &list, err) < 0)
		return -1;
	if (!list)
		return 0;
	strv_free(ret);
	for (size_t i = 0; i < list->len; i++) {
		if (!list->items[i]->text)
			return node_error(list->items[i], err, "%s: a text is expected, not %s", f->key,
				node_type_name(list->items[i]->type));
		strv_add(ret, list->items[i]->text);
	}
	return 0;
}

static int read_number(const struct field *f, const struct node *n, void *ret, struct error **err)
{
	uint64_t v = 0, min = f->type == FIELD_BOOT ? 0 : 1;

	if (!node_get(n, f->key))
		return 0;
	if (node_u64(n, f->key, min, f->max, &v, err) < 0)
		return -1;
	if (f->type == FIELD_BOOT)
		*(int *)ret = (int)v;
	else
		*(unsigned *)ret = (unsigned)v;
	return 0;
}

static int read_one(const struct field *f, const struct node *n, void *object, struct error **err)
{
	void *ret = member(f, object);

	switch (f->type) {
	case FIELD_TEXT:
		return read_text(f, n, ret, err);
	case FIELD_WORD:
		return read_word(f, n, ret, err);
	case FIELD_UNSIGNED:
	case FIELD_BOOT:
		return read_number(f, n, ret, err);
	case FIELD_SIZE:
		return node_size(n, f->key, ret, err);
	case FIELD_BOOL:
		return node_bool(n, f->key, ret, err);
	case FIELD_TEXTS:
		return read_texts(f, n, ret, err);
	}
	return 0;
}

int fields_read(const struct field *rows, const char *what, const char *const *more, const struct node *n, void *object, struct error **err)
{
	_cleanup_strv_ struct strv known = STRV_INIT;

	if (n->type != NODE_MAP)
		return node_error(n, err, "a %s is a map of its properties, not %s", what, node_type_name(n->type));
	for (const struct field *f = rows; f->key; f++)
		strv_add(&known, f->key);
	strv_addv(&known, more);
	if (node_known(n, what, (const char *const *)known.v, err) < 0)
		return -1;
	for (const struct field *f = rows; f->key; f++)
		if (read_one(f, n, object, err) < 0)
			return -1;
	return 0;
}

static json_t *value_json(const struct field *f, const void *v)
{
	const struct strv *l = v;
	json_t *a;

	switch (f->type) {
	case FIELD_TEXT:
	case FIELD_WORD:
		return *(char *const *)v ? json_string(*(char *const *)v) : NULL;
	case FIELD_UNSIGNED:
		return *(const unsigned *)v ? json_integer(*(const unsigned *)v) : NULL;
	case FIELD_BOOT:
		return *(const int *)v >= 0 ? json_integer(*(const int *)v) : NULL;
	case FIELD_SIZE:
		return *(const uint64_t *)v ? json_integer((json_int_t) * (const uint64_t *)v) : NULL;
	case FIELD_BOOL:
		return json_boolean(*(const bool *)v);
	case FIELD_TEXTS:
		a = l->len ? json_array() : NULL;
		for (size_t i = 0; i < l->len; i++)
			json_array_append_new(a, json_string(l->v[i]));
		return a;
	}
	return NULL;
}

void fields_to_json(const struct field *rows, const void *object, json_t *ret)
{
	for (const struct field *f = rows; f->key; f++) {
		json_t *v = value_json(f, (const char *)object + f->offset);

		if (v)
			json_object_set_new(ret, f->key, v);
	}
}

void fields_clear(const struct field *rows, void *object)
{
	for (const struct field *f = rows; f->key; f++) {
		if (f->type == FIELD_TEXT || f->type == FIELD_WORD)
			free(STEAL(*(char **)member(f, object)));
		else if (f->type == FIELD_TEXTS)
			strv_free(member(f, object));
	}
}

const struct field *field_find(const struct field *rows, const char *key)
{
	for (const struct field *f = rows; f->key; f++)
		if (!strcmp(f->key, key))
			return f;
	return NULL;
}

static int set_number(const struct field *f, void *ret, const char *value, struct error **err)
{
	uint64_t v;

	if (parse_u64(f->key, value, f->type == FIELD_BOOT ? 0 : 1, f->max, &v, err) < 0)
		return -1;
	if (f->type == FIELD_BOOT)
		*(int *)ret = (int)v;
	else
		*(unsigned *)ret = (unsigned)v;
	return 0;
}

static int set_bool(const struct field *f, bool *ret, const char *value, struct error **err)
{
	static const char *const yes[] = { "true", "yes", "on", "1" }, *const no[] = { "false", "no", "off", "0" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcmp(value, yes[i]) || !strcmp(value, no[i])) {
			*ret = !strcmp(value, yes[i]);
			return 0;
		}
	}
	return error_set(err, ERR_USAGE, "%s '%s' is neither true nor false", f->key, value);
}

static int set_word(const struct field *f, char **ret, const char *value, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_free_ char *all = NULL;
	const char *near;

	if (f->words)
		strv_addv(&words, f->words);
	if (f->words && *value && !strv_has(&words, value)) {
		all = strv_join(&words, ", ");
		near = nearest_name(value, f->words, words.len);
		error_set(err, ERR_USAGE, "%s '%s' is not known; known are %s", f->key, value, all);
		return near ? error_hint(err, "did you mean '%s'?", near) : -1;
	}
	free(*ret);
	*ret = *value ? xstrdup(value) : NULL;
	return 0;
}

static int set_texts(const struct field *f, struct strv *ret, char op, const char *value, struct error **err)
{
	struct strv rest = STRV_INIT;
	bool found = false;

	if (op == '+') {
		strv_add(ret, value);
		return 0;
	}
	for (size_t i = 0; op == '-' && i < ret->len; i++) {
		if (!found && !strcmp(ret->v[i], value))
			found = true;
		else
			strv_add(&rest, ret->v[i]);
	}
	if (op == '-' && !found) {
		strv_free(&rest);
		return error_set(err, ERR_NOT_FOUND, "%s: '%s' is not among them", f->key, value);
	}
	strv_free(ret);
	*ret = rest;
	if (op == '=' && *value)
		strv_add(ret, value);
	return 0;
}

int field_set(const struct field *f, void *object, char op, const char *value, struct error **err)
{
	void *ret = member(f, object);

	if (f->type == FIELD_TEXTS)
		return set_texts(f, ret, op, value, err);
	if (op != '=')
		return error_set(err, ERR_USAGE, "%s%c=: %s is no list", f->key, op, f->key);
	switch (f->type) {
	case FIELD_UNSIGNED:
	case FIELD_BOOT:
		return set_number(f, ret, value, err);
	case FIELD_SIZE:
		return parse_size(f->key, value, ret, err);
	case FIELD_BOOL:
		return set_bool(f, ret, value, err);
	default:
		return set_word(f, ret, value, err);
	}
}

int fields_set_all(const struct field *rows, const char *what, const char *first_key, void *object, const char *text, struct error **err)
{
	_cleanup_strv_ struct strv parts = STRV_INIT;

	strv_split(&parts, text, ",");
	for (size_t i = 0; i < parts.len; i++) {
		char *eq = strchr(parts.v[i], '=');
		const char *key = eq ? parts.v[i] : first_key;
		const struct field *f;

		if (!eq && (i || !first_key))
			return error_set(err, ERR_USAGE, "%s: '%s' is not KEY=VALUE", what, parts.v[i]);
		if (eq)
			*eq = '\0';
		f = field_find(rows, key);
		if (!f)
			return error_set(err, ERR_USAGE, "%s: '%s' is not known", what, key);
		if (field_set(f, object, '=', eq ? eq + 1 : parts.v[i], err) < 0)
			return error_wrap(err, "%s", what);
	}
	return 0;
}
