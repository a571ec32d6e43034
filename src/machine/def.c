/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "internal.h"
#include "qemu/args.h"

#include <string.h>

#define DEFAULT_MEMORY (512ull << 20)
#define DISKS_MAX 32
#define NICS_MAX 16

static const char *const firmwares_known[] = { "bios", "uefi", NULL };
static const char *const nets_known[] = { "user", "none", "group", NULL };

void machine_def_init(struct machine_def *d)
{
	*d = (struct machine_def){ .arch = xstrdup("x86_64"), .type = xstrdup("q35"), .sockets = 1, .cores = 1, .threads = 1,
		.memory = DEFAULT_MEMORY, .display = xstrdup("none") };
}

static void disk_clear(struct machine_disk *d)
{
	free(d->image);
	free(d->bus);
	free(d->cache);
	free(d->serial);
}

static void nic_clear(struct machine_nic *n)
{
	free(n->model);
	free(n->mac);
	free(n->net);
	free(n->address);
	free(n->gateway);
	free(n->dns);
	strv_free(&n->forwards);
}

static void disks_clear(struct machine_def *d)
{
	for (size_t i = 0; i < d->ndisks; i++)
		disk_clear(&d->disks[i]);
	free(STEAL(d->disks));
	d->ndisks = 0;
}

static void nics_clear(struct machine_def *d)
{
	for (size_t i = 0; i < d->nnics; i++)
		nic_clear(&d->nics[i]);
	free(STEAL(d->nics));
	d->nnics = 0;
}

void machine_def_clear(struct machine_def *d)
{
	disks_clear(d);
	nics_clear(d);
	free(d->name);
	free(d->image);
	free(d->arch);
	free(d->type);
	free(d->firmware);
	free(d->cpu);
	free(d->display);
	free(d->kernel_args);
	free(d->hostname);
	strv_free(&d->qemu_args);
	*d = (struct machine_def){ 0 };
}

/* A text value, or null for none. */
static int get_text(const struct node *n, const char *key, char **field, struct error **err)
{
	const struct node *v = node_get(n, key);
	const char *s = NULL;

	if (!v)
		return 0;
	if (v->type == NODE_NULL) {
		free(STEAL(*field));
		return 0;
	}
	if (node_str(n, key, &s, err) < 0)
		return -1;
	free(*field);
	*field = xstrdup(s);
	return 0;
}

/* One of a list of words. */
static int get_word(const struct node *n, const char *key, const char *const *known, char **field, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_free_ char *all = NULL;
	const char *near;

	if (get_text(n, key, field, err) < 0)
		return -1;
	if (!node_get(n, key) || !*field)
		return 0;
	strv_addv(&words, known);
	if (strv_has(&words, *field))
		return 0;
	all = strv_join(&words, ", ");
	near = nearest_name(*field, known, words.len);
	node_error(node_get(n, key), err, "%s '%s' is not known; known are %s", key, *field, all);
	return near ? error_hint(err, "did you mean '%s'?", near) : -1;
}

static int get_unsigned(const struct node *n, const char *key, uint64_t max, unsigned *field, struct error **err)
{
	uint64_t v = *field;

	if (node_u64(n, key, 1, max, &v, err) < 0)
		return -1;
	*field = (unsigned)v;
	return 0;
}

static int get_texts(const struct node *n, const char *key, struct strv *field, struct error **err)
{
	struct node *list = NULL;

	if (node_list(n, key, &list, err) < 0)
		return -1;
	if (!list)
		return 0;
	strv_free(field);
	for (size_t i = 0; i < list->len; i++) {
		if (!list->items[i]->text)
			return node_error(list->items[i], err, "%s: a text is expected, not %s", key,
				node_type_name(list->items[i]->type));
		strv_add(field, list->items[i]->text);
	}
	return 0;
}

static int read_disk(struct machine_disk *d, const struct node *n, struct error **err)
{
	static const char *const known[] = { "image", "size", "bus", "cache", "discard", "serial", "boot", "snapshot", NULL };
	uint64_t boot = 0;

	*d = (struct machine_disk){ .bus = xstrdup("virtio"), .cache = xstrdup("writeback"), .discard = true, .boot = -1 };
	if (n->type != NODE_MAP)
		return node_error(n, err, "a disk is a map of its properties, not %s", node_type_name(n->type));
	if (node_known(n, "disk", known, err) < 0 || get_text(n, "image", &d->image, err) < 0 ||
		node_size(n, "size", &d->size, err) < 0 || get_word(n, "bus", qemu_buses_known, &d->bus, err) < 0 ||
		get_word(n, "cache", qemu_caches_known, &d->cache, err) < 0 ||
		node_bool(n, "discard", &d->discard, err) < 0 || get_text(n, "serial", &d->serial, err) < 0 ||
		node_bool(n, "snapshot", &d->snapshot, err) < 0 || node_u64(n, "boot", 0, 1000, &boot, err) < 0)
		return -1;
	if (node_get(n, "boot"))
		d->boot = (int)boot;
	return 0;
}

static bool is_mac(const char *s)
{
	for (int i = 0; i < 17; i++)
		if (i % 3 == 2 ? s[i] != ':' : !strchr("0123456789abcdefABCDEF", s[i]) || !s[i])
			return false;
	return s[17] == '\0';
}

static int read_nic(struct machine_nic *c, const struct node *n, struct error **err)
{
	static const char *const known[] = { "model", "mac", "net", "address", "gateway", "dns", "forwards", NULL };

	*c = (struct machine_nic){ .model = xstrdup("virtio"), .net = xstrdup("user") };
	if (n->type != NODE_MAP)
		return node_error(n, err, "a NIC is a map of its properties, not %s", node_type_name(n->type));
	if (node_known(n, "NIC", known, err) < 0 || get_word(n, "model", qemu_nics_known, &c->model, err) < 0 ||
		get_text(n, "mac", &c->mac, err) < 0 || get_word(n, "net", nets_known, &c->net, err) < 0 ||
		get_text(n, "address", &c->address, err) < 0 || get_text(n, "gateway", &c->gateway, err) < 0 ||
		get_text(n, "dns", &c->dns, err) < 0 || get_texts(n, "forwards", &c->forwards, err) < 0)
		return -1;
	if (c->mac && !is_mac(c->mac))
		return node_error(node_get(n, "mac"), err, "'%s' is not a MAC address (52:54:00:12:34:56)", c->mac);
	return 0;
}

static int read_disks(struct machine_def *d, const struct node *root, struct error **err)
{
	struct node *list = NULL;

	if (node_list(root, "disks", &list, err) < 0)
		return -1;
	if (!list)
		return 0;
	if (list->len > DISKS_MAX)
		return node_error(list, err, "%zu disks; %d are possible", list->len, DISKS_MAX);
	disks_clear(d);
	d->disks = xcalloc(list->len + 1, sizeof(*d->disks));
	for (size_t i = 0; i < list->len; i++)
		if (read_disk(&d->disks[d->ndisks++], list->items[i], err) < 0)
			return -1;
	return 0;
}

static int read_nics(struct machine_def *d, const struct node *root, struct error **err)
{
	struct node *list = NULL;

	if (node_list(root, "nics", &list, err) < 0)
		return -1;
	if (!list)
		return 0;
	if (list->len > NICS_MAX)
		return node_error(list, err, "%zu NICs; %d are possible", list->len, NICS_MAX);
	nics_clear(d);
	d->nics = xcalloc(list->len + 1, sizeof(*d->nics));
	for (size_t i = 0; i < list->len; i++)
		if (read_nic(&d->nics[d->nnics++], list->items[i], err) < 0)
			return -1;
	return 0;
}

int machine_def_read(struct machine_def *d, const struct node *root, struct error **err)
{
	static const char *const known[] = { "name", "image", "arch", "type", "firmware", "cpu", "sockets", "cores", "threads",
		"memory", "disks", "nics", "display", "kernel_args", "hostname", "qemu_args", NULL };

	if (root->type != NODE_MAP)
		return node_error(root, err, "a machine is a map of its properties, not %s", node_type_name(root->type));
	if (node_known(root, "machine", known, err) < 0 || get_text(root, "name", &d->name, err) < 0 ||
		get_text(root, "image", &d->image, err) < 0 || get_text(root, "arch", &d->arch, err) < 0 ||
		get_text(root, "type", &d->type, err) < 0 ||
		get_word(root, "firmware", firmwares_known, &d->firmware, err) < 0 ||
		get_text(root, "cpu", &d->cpu, err) < 0 || get_unsigned(root, "sockets", 64, &d->sockets, err) < 0 ||
		get_unsigned(root, "cores", 255, &d->cores, err) < 0 ||
		get_unsigned(root, "threads", 8, &d->threads, err) < 0 ||
		node_size(root, "memory", &d->memory, err) < 0 || get_text(root, "display", &d->display, err) < 0 ||
		get_text(root, "kernel_args", &d->kernel_args, err) < 0 ||
		get_text(root, "hostname", &d->hostname, err) < 0 ||
		get_texts(root, "qemu_args", &d->qemu_args, err) < 0)
		return -1;
	return read_disks(d, root, err) < 0 || read_nics(d, root, err) < 0 ? -1 : 0;
}
