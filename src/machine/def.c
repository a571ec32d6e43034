/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "fields.h"
#include "internal.h"

#include <string.h>

#define DEFAULT_MEMORY (512ull << 20)
#define DISKS_MAX 32
#define NICS_MAX 16
#define SHARES_MAX 16

/* The lists of a machine: where, how long an item is, how one begins. */
static void disk_init(void *item)
{
	*(struct machine_disk *)item = (struct machine_disk){ .bus = xstrdup("virtio"), .cache = xstrdup("writeback"), .discard = true,
		.boot = -1 };
}

static void nic_init(void *item)
{
	*(struct machine_nic *)item = (struct machine_nic){ .model = xstrdup("virtio"), .net = xstrdup("user") };
}

static void share_init(void *item)
{
	*(struct machine_share *)item = (struct machine_share){ .kind = xstrdup("9p") };
}

static const struct list {
	const char *key, *what;
	const struct field *fields;
	size_t items, len, size, max;
	void (*init)(void *item);
} lists[] = {
	{ "disks", "disk", disk_fields, offsetof(struct machine_def, disks), offsetof(struct machine_def, ndisks), sizeof(struct machine_disk),
		DISKS_MAX, disk_init },
	{ "nics", "NIC", nic_fields, offsetof(struct machine_def, nics), offsetof(struct machine_def, nnics), sizeof(struct machine_nic),
		NICS_MAX, nic_init },
	{ "shares", "share", share_fields, offsetof(struct machine_def, shares), offsetof(struct machine_def, nshares),
		sizeof(struct machine_share), SHARES_MAX, share_init },
};

void machine_def_init(struct machine_def *d)
{
	*d = (struct machine_def){ .arch = xstrdup("x86_64"), .type = xstrdup("q35"), .sockets = 1, .cores = 1, .threads = 1,
		.memory = DEFAULT_MEMORY, .display = xstrdup("none"), .rng = true, .hotplug = -1 };
}

static char **items_of(const struct list *l, struct machine_def *d)
{
	return (char **)((char *)d + l->items);
}

static size_t *len_of(const struct list *l, struct machine_def *d)
{
	return (size_t *)((char *)d + l->len);
}

static void list_clear(const struct list *l, struct machine_def *d)
{
	char **items = items_of(l, d);
	size_t *len = len_of(l, d);

	while (*len)
		fields_clear(l->fields, *items + --*len * l->size);
	free(STEAL(*items));
}

void machine_def_clear(struct machine_def *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_clear(&lists[i], d);
	fields_clear(machine_fields, d);
	*d = (struct machine_def){ 0 };
}

static void *list_add(const struct list *l, struct machine_def *d)
{
	char **items = items_of(l, d);
	size_t *len = len_of(l, d);

	*items = xreallocarray(*items, *len + 1, l->size);
	l->init(*items + *len * l->size);
	return *items + (*len)++ * l->size;
}

struct machine_disk *machine_def_add_disk(struct machine_def *d)
{
	return list_add(&lists[0], d);
}

struct machine_nic *machine_def_add_nic(struct machine_def *d)
{
	return list_add(&lists[1], d);
}

struct machine_share *machine_def_add_share(struct machine_def *d)
{
	return list_add(&lists[2], d);
}

void machine_def_drop(struct machine_def *d, const char *key, size_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct list *l = &lists[i];
		char *item = *items_of(l, d) + index * l->size;

		if (strcmp(l->key, key) || index >= *len_of(l, d))
			continue;
		fields_clear(l->fields, item);
		memmove(item, item + l->size, (--*len_of(l, d) - index) * l->size);
	}
}

static bool is_mac(const char *s)
{
	for (int i = 0; i < 17; i++)
		if (i % 3 == 2 ? s[i] != ':' : !strchr("0123456789abcdefABCDEF", s[i]) || !s[i])
			return false;
	return s[17] == '\0';
}

static int list_read(const struct list *l, struct machine_def *d, const struct node *root, struct error **err)
{
	static const char *const none[] = { NULL };
	struct node *list = NULL;

	if (node_list(root, l->key, &list, err) < 0)
		return -1;
	if (!list)
		return 0;
	if (list->len > l->max)
		return node_error(list, err, "%zu %s; %zu are possible", list->len, l->key, l->max);
	list_clear(l, d);
	if (l->fields == nic_fields)
		d->bare_net = !list->len;
	for (size_t i = 0; i < list->len; i++) {
		void *item = list_add(l, d);
		const char *mac;

		if (fields_read(l->fields, l->what, none, list->items[i], item, err) < 0)
			return -1;
		mac = l->fields == nic_fields ? ((struct machine_nic *)item)->mac : NULL;
		if (mac && !is_mac(mac))
			return node_error(node_get(list->items[i], "mac"), err, "'%s' is not a MAC address (52:54:00:12:34:56)", mac);
	}
	return 0;
}

int machine_def_read(struct machine_def *d, const struct node *root, struct error **err)
{
	static const char *const more[] = { "disks", "nics", "shares", NULL };

	if (fields_read(machine_fields, "machine", more, root, d, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (list_read(&lists[i], d, root, err) < 0)
			return -1;
	return 0;
}

void machine_def_to_json(const struct machine_def *d, struct buf *b)
{
	json_t *o = json_object();
	char *text;

	fields_to_json(machine_fields, d, o);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct list *l = &lists[i];
		json_t *a = json_array();

		for (size_t k = 0; k < *(const size_t *)((const char *)d + l->len); k++) {
			json_t *item = json_object();

			fields_to_json(l->fields, *(char *const *)((const char *)d + l->items) + k * l->size, item);
			json_array_append_new(a, item);
		}
		json_object_set_new(o, l->key, a);
	}
	text = json_dumps(o, JSON_INDENT(2));
	buf_adds(b, text ? text : "{}");
	buf_addc(b, '\n');
	free(text);
	json_decref(o);
}

int machine_def_copy(const struct machine_def *from, struct machine_def *to, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *doc = NULL;

	machine_def_init(to);
	to->rng = false;
	machine_def_to_json(from, &b);
	doc = doc_parse("machine.json", b.data, b.len, err);
	return doc ? machine_def_read(to, doc_root(doc), err) : -1;
}
