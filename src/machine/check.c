/* SPDX-License-Identifier: Apache-2.0 */
/* Values that only QEMU would refuse, and only when the machine starts: they are looked at when it is defined, by their place in the file. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "internal.h"
#include "qemu/args.h"
#include "qemu/qemu.h"

#include <string.h>

static const char *const displays[] = { "none", "spice", "vnc", NULL };

/* At a value of the file, or of the machine when it comes from elsewhere. Always -1; takes *why. */
static int refuse(const struct machine_def *d, const struct node *at, struct error **why, struct error **err)
{
	_cleanup_error_ struct error *e = STEAL(*why);

	if (at)
		node_error(at, err, "%s", e->msg);
	else
		error_set(err, ERR_USAGE, "machine %s: %s", d->name, e->msg);
	return e->hint ? error_hint(err, "%s", e->hint) : -1;
}

static int check_display(const struct machine_def *d, struct error **err)
{
	const char *near;

	for (size_t i = 0; displays[i]; i++)
		if (!strcmp(d->display, displays[i]))
			return 0;
	near = nearest_name(d->display, displays, ARRAY_SIZE(displays) - 1);
	error_set(err, ERR_USAGE, "display '%s' is not known; known are none, spice, vnc", d->display);
	return near ? error_hint(err, "did you mean '%s'?", near) :
		      error_hint(err, "`display: spice` and `croft vm display` open a window");
}

static int check_listen(const struct machine_def *d, struct error **err)
{
	_cleanup_free_ char *host = NULL;
	unsigned port;

	return d->display_listen ? qemu_split_listen(d->display_listen, &host, &port, err) : 0;
}

/* What QEMU itself says that it has; one that is not installed says nothing, and the start will tell of it. */
static int check_type(const struct machine_def *d, struct error **err)
{
	_cleanup_error_ struct error *none = NULL;
	_cleanup_qemu_ struct qemu q = { 0 };
	const char *near;

	if (!strcmp(d->type, machine_default_type(d->arch)) || !strcmp(d->type, "q35") || qemu_find(d->arch, &q, &none) < 0 || !q.machines.len ||
		strv_has(&q.machines, d->type))
		return 0;
	near = nearest_name(d->type, (const char *const *)q.machines.v, q.machines.len);
	error_set(err, ERR_USAGE, "type '%s' is none of the machine types of %s", d->type, q.path);
	return near ? error_hint(err, "did you mean '%s'?", near) : error_hint(err, "`%s -machine help` lists them", q.path);
}

static int check_list(const struct machine_def *d, const struct node *list, const struct strv *all,
	int (*check)(const char *value, struct error **err), struct error **err)
{
	for (size_t i = 0; i < all->len; i++) {
		struct error *e = NULL;

		if (check(all->v[i], &e) < 0)
			return refuse(d, list && i < list->len ? list->items[i] : NULL, &e, err);
	}
	return 0;
}

int machine_def_check(const struct machine_def *d, const struct node *root, struct error **err)
{
	static const struct {
		const char *key;
		int (*check)(const struct machine_def *d, struct error **err);
	} all[] = { { "display", check_display }, { "display_listen", check_listen }, { "type", check_type } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct node *at = root ? node_get(root, all[i].key) : NULL;
		struct error *e = NULL;

		/* Of a file what is in it alone: the rest is not settled yet. */
		if ((at || !root) && all[i].check(d, &e) < 0)
			return refuse(d, at, &e, err);
	}
	return check_list(d, root ? node_get(root, "usb") : NULL, &d->usb, qemu_check_usb, err) < 0 ||
			       check_list(d, root ? node_get(root, "pci") : NULL, &d->pci, qemu_check_pci, err) < 0
		       ? -1
		       : 0;
}
