/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "internal.h"

#include <jansson.h>
#include <string.h>

static void set_text(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(value));
}

static json_t *texts(const struct strv *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->len; i++)
		json_array_append_new(a, json_string(l->v[i]));
	return a;
}

static json_t *disk_json(const struct machine_disk *d)
{
	json_t *o = json_object();

	set_text(o, "image", d->image);
	json_object_set_new(o, "size", json_integer((json_int_t)d->size));
	set_text(o, "bus", d->bus);
	set_text(o, "cache", d->cache);
	json_object_set_new(o, "discard", json_boolean(d->discard));
	set_text(o, "serial", d->serial);
	if (d->boot >= 0)
		json_object_set_new(o, "boot", json_integer(d->boot));
	json_object_set_new(o, "snapshot", json_boolean(d->snapshot));
	return o;
}

static json_t *nic_json(const struct machine_nic *n)
{
	json_t *o = json_object();

	set_text(o, "model", n->model);
	set_text(o, "mac", n->mac);
	set_text(o, "net", n->net);
	set_text(o, "address", n->address);
	set_text(o, "gateway", n->gateway);
	set_text(o, "dns", n->dns);
	if (n->forwards.len)
		json_object_set_new(o, "forwards", texts(&n->forwards));
	return o;
}

void machine_def_to_json(const struct machine_def *d, struct buf *b)
{
	json_t *o = json_object(), *disks = json_array(), *nics = json_array();
	char *text;

	set_text(o, "name", d->name);
	set_text(o, "image", d->image);
	set_text(o, "arch", d->arch);
	set_text(o, "type", d->type);
	set_text(o, "firmware", d->firmware);
	set_text(o, "cpu", d->cpu);
	json_object_set_new(o, "sockets", json_integer(d->sockets));
	json_object_set_new(o, "cores", json_integer(d->cores));
	json_object_set_new(o, "threads", json_integer(d->threads));
	json_object_set_new(o, "memory", json_integer((json_int_t)d->memory));
	for (size_t i = 0; i < d->ndisks; i++)
		json_array_append_new(disks, disk_json(&d->disks[i]));
	for (size_t i = 0; i < d->nnics; i++)
		json_array_append_new(nics, nic_json(&d->nics[i]));
	json_object_set_new(o, "disks", disks);
	json_object_set_new(o, "nics", nics);
	set_text(o, "display", d->display);
	set_text(o, "kernel_args", d->kernel_args);
	set_text(o, "hostname", d->hostname);
	if (d->qemu_args.len)
		json_object_set_new(o, "qemu_args", texts(&d->qemu_args));
	text = json_dumps(o, JSON_INDENT(2));
	buf_adds(b, text ? text : "{}");
	buf_addc(b, '\n');
	free(text);
	json_decref(o);
}
