/* SPDX-License-Identifier: Apache-2.0 */
#include "live.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "internal.h"
#include "qemu/args.h"
#include "qemu/qmp.h"

#include <inttypes.h>
#include <string.h>

#define QMP_MS 10000
#define GUEST_MS 20000 /* for a guest to let go of a device */
#define ARGV_MAX (4u << 20)

struct live {
	struct machine *m;
	const struct machine_def *def;
	struct qmp *q;
	bool hot_slots; /* q35: devices go into root ports */
};

/* QEMU's refusal without "QEMU refused device_add: ". */
static int run(struct live *l, const char *command, json_t *args, json_t **ret, struct error **err)
{
	int rc = args || !strncmp(command, "query-", 6) ? qmp_command(l->q, command, args, QMP_MS, ret, err) :
							  error_set(err, ERR_USAGE, "%s: not UTF-8", command);

	json_decref(args);
	return rc;
}

/* "driver,key=value,..." with ",," for a comma, as an object: device_add takes texts for all types (QEMU's QemuOpts). */
static json_t *device_object(const char *text, const char *bus)
{
	json_t *o = json_object();
	_cleanup_buf_ struct buf part = BUF_INIT;

	for (const char *s = text;; s++) {
		if (*s && (*s != ',' || s[1] == ',')) {
			s += *s == ',';
			buf_addc(&part, *s);
			continue;
		}
		if (part.len) {
			char *eq = strchr(part.data, '=');

			if (eq)
				*eq = '\0';
			json_object_set_new(o, eq ? part.data : "driver", json_string(eq ? eq + 1 : part.data));
		}
		buf_clear(&part);
		if (!*s)
			break;
	}
	if (bus) {
		json_object_set_new(o, "bus", json_string(bus));
		/* A root port has one place; QEMU would take others that no guest looks at. */
		json_object_set_new(o, "addr", json_string("0"));
	}
	return o;
}

static bool is_pci(const char *device)
{
	static const char *const others[] = { "nvme,", "e1000,", "e1000e,", "rtl8139,", "qemu-xhci," };
	size_t n = strcspn(device, ",");

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (!strncmp(device, others[i], strlen(others[i])))
			return true;
	return n > 4 && !strncmp(device + n - 4, "-pci", 4);
}

static int device_add(struct live *l, const char *device, struct error **err)
{
	if (!is_pci(device) || !l->hot_slots)
		return run(l, "device_add", device_object(device, NULL), NULL, err);
	for (int i = 0; i < l->m->def.hotplug; i++) {
		_cleanup_error_ struct error *e = NULL;
		char bus[16];

		snprintf(bus, sizeof(bus), "hot%d", i);
		if (run(l, "device_add", device_object(device, bus), NULL, &e) == 0)
			return 0;
		if (!strstr(e->msg, "in use by"))
			return error_move(err, &e);
	}
	error_set(err, ERR_STATE, "it has no slot free for a device that comes while it runs");
	return error_hint(err, "hotplug=4 gives it some from the next start on");
}

/* What qemu_add_* made: -blockdev JSON, -device TEXT, in order. */
static int add_argv(struct live *l, const struct strv *argv, struct error **err)
{
	for (size_t i = 0; i + 1 < argv->len; i += 2) {
		int rc = 0;

		if (!strcmp(argv->v[i], "-blockdev"))
			rc = run(l, "blockdev-add", json_loads(argv->v[i + 1], 0, NULL), NULL, err);
		else if (!strcmp(argv->v[i], "-device"))
			rc = device_add(l, argv->v[i + 1], err);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* How many units of each bus the running QEMU has, by the command line it was started with. */
static void count_buses(struct live *l, size_t before, struct qemu_buses *b)
{
	_cleanup_free_ char *path = machine_path(l->m, "run/argv");
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf argv = BUF_INIT;

	*b = (struct qemu_buses){ .q35 = strstr(l->def->type, "q35") != NULL };
	if (file_read(path, ARGV_MAX, &argv, &e) < 0)
		return;
	for (size_t i = 0; i < argv.len; i += strlen(argv.data + i) + 1)
		if (!strcmp(argv.data + i, "qemu-xhci,id=usb"))
			b->usb = 1;
	for (size_t i = 0; i < before; i++)
		b->scsi += !strcmp(l->def->disks[i].bus, "scsi");
}

static int disk_add(struct live *l, size_t index, struct error **err)
{
	const struct machine_disk *k = &l->def->disks[index];
	struct machine at = { .dir = l->m->dir, .def = *l->def };
	_cleanup_free_ char *path = machine_disk_path(&at, index);
	struct qemu_disk q = { .path = path, .format = k->path && k->format ? k->format : "qcow2", .bus = k->bus, .cache = k->cache,
		.serial = k->serial, .boot = k->boot, .discard = k->discard, .readonly = k->readonly };
	_cleanup_strv_ struct strv argv = STRV_INIT;
	struct qemu_buses b;
	json_t *node;

	if (!strcmp(k->bus, "sata") || !strcmp(k->bus, "ide") || k->snapshot || (k->media && strcmp(k->media, "disk")))
		return error_set(err, ERR_STATE, "such a drive cannot be plugged in while it runs");
	count_buses(l, index, &b);
	if (qemu_add_disk(&argv, &b, (unsigned)index, &q, err) < 0)
		return -1;
	if (add_argv(l, &argv, err) == 0)
		return 0;
	/* The device was refused: its file is let go again. */
	node = json_object();
	json_object_set_new(node, "node-name", json_sprintf("disk%zu", index));
	{
		_cleanup_error_ struct error *e = NULL;

		run(l, "blockdev-del", node, NULL, &e);
	}
	return -1;
}

/* Each part of a device has an event of its own; the one with the device's name is the last. */
static int await_deleted(struct live *l, const char *id, struct error **err)
{
	for (bool gone = false; !gone;) {
		json_t *event = NULL;
		const char *device;

		if (qmp_wait_event(l->q, "DEVICE_DELETED", GUEST_MS, &event, err) < 0) {
			if ((*err)->cls != ERR_TIMEOUT)
				return -1;
			error_clear(err);
			return error_set(err, ERR_TIMEOUT, "the guest has not let go of it in %d s; stop the machine first", GUEST_MS / 1000);
		}
		device = json_string_value(json_object_get(json_object_get(event, "data"), "device"));
		gone = device && !strcmp(device, id);
		json_decref(event);
	}
	return 0;
}

/* Asks the guest to let go and waits for it. A device that QEMU has not got is gone. */
static int device_del(struct live *l, const char *id, struct error **err)
{
	json_t *args = json_object();

	json_object_set_new(args, "id", json_string(id));
	if (run(l, "device_del", args, NULL, err) < 0) {
		if (!strstr((*err)->msg, "not found"))
			return -1;
		error_clear(err);
		return 0;
	}
	return await_deleted(l, id, err);
}

static int disk_drop(struct live *l, size_t index, struct error **err)
{
	_cleanup_free_ char *id = xasprintf("dev-disk%zu", index);
	_cleanup_error_ struct error *e = NULL;
	json_t *node = json_object();

	json_object_set_new(node, "node-name", json_sprintf("disk%zu", index));
	if (device_del(l, id, err) < 0) {
		json_decref(node);
		return -1;
	}
	run(l, "blockdev-del", node, NULL, &e); /* one that was to come at the next start has no node */
	return 0;
}

static json_t *rules(const struct strv *forwards)
{
	json_t *a = json_array();

	for (size_t i = 0; i < forwards->len; i++)
		json_array_append_new(a, json_pack("{s:s}", "str", forwards->v[i]));
	return a;
}

static int nic_add(struct live *l, size_t index, struct error **err)
{
	const struct machine_nic *n = &l->def->nics[index];
	struct qemu_nic q = { .model = n->model, .mac = n->mac, .kind = QEMU_NIC_NONE, .netboot = n->netboot };
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_buf_ struct buf dev = BUF_INIT;
	bool user = !strcmp(n->net, "user");
	_cleanup_error_ struct error *e = NULL;
	json_t *net = json_object();

	if (qemu_add_nic(&argv, (unsigned)index, &q, err) < 0) {
		json_decref(net);
		return -1;
	}
	json_object_set_new(net, "type", json_string("user"));
	json_object_set_new(net, "id", json_sprintf("net%zu", index));
	json_object_set_new(net, "hostfwd", rules(&n->forwards));
	json_object_set_new(net, "guestfwd", rules(&n->guestforwards));
	buf_addf(&dev, "%s", argv.v[1]);
	if (user) {
		buf_addf(&dev, ",netdev=net%zu", index);
		if (run(l, "netdev_add", net, NULL, err) < 0)
			return -1;
	} else {
		json_decref(net);
	}
	if (device_add(l, dev.data, err) == 0)
		return 0;
	net = json_object();
	json_object_set_new(net, "id", json_sprintf("net%zu", index));
	run(l, "netdev_del", net, NULL, &e);
	return -1;
}

static int nic_drop(struct live *l, size_t index, struct error **err)
{
	_cleanup_free_ char *id = xasprintf("nic%zu", index);
	_cleanup_error_ struct error *e = NULL;
	json_t *net;

	if (device_del(l, id, err) < 0)
		return -1;
	net = json_object();
	json_object_set_new(net, "id", json_sprintf("net%zu", index));
	run(l, "netdev_del", net, NULL, &e);
	return 0;
}

/* Forwards have no command of their own in QMP. What the human monitor prints is an error. */
static int forward(struct live *l, const char *command, const char *rule, struct error **err)
{
	json_t *args = json_object(), *ret = NULL;
	const char *dash = strrchr(rule, '-'), *said;
	int rc;

	json_object_set_new(args, "command-line",
		!strcmp(command, "hostfwd_add") ? json_sprintf("hostfwd_add net0 %s", rule) :
						  json_sprintf("hostfwd_remove net0 %.*s", (int)(dash - rule), rule));
	rc = run(l, "human-monitor-command", args, &ret, err);
	said = rc == 0 ? json_string_value(ret) : NULL;
	/* "host forwarding rule for ... removed" is its success */
	if (said && *said && !strstr(said, "removed"))
		rc = error_set(err, ERR_FAILED, "%.*s", (int)strcspn(said, "\r\n"), said);
	json_decref(ret);
	return rc;
}

static int cdrom(struct live *l, size_t index, struct error **err)
{
	const char *path = l->def->disks[index].path;
	json_t *args = json_object();

	json_object_set_new(args, "id", json_sprintf("dev-disk%zu", index));
	if (!path) {
		json_object_set_new(args, "force", json_true());
		return run(l, "eject", args, NULL, err);
	}
	json_object_set_new(args, "filename", json_string(path));
	json_object_set_new(args, "format", json_string("raw"));
	json_object_set_new(args, "force", json_true());
	return run(l, "blockdev-change-medium", args, NULL, err);
}

/* Each processor that could come and has not: query-hotpluggable-cpus tells its place. */
static int cpus(struct live *l, struct error **err)
{
	unsigned want = machine_cpus(l->def), have = 0;
	json_t *list = NULL, *cpu;
	size_t i;
	int rc = run(l, "query-hotpluggable-cpus", NULL, &list, err);

	json_array_foreach(list, i, cpu)
		have += json_object_get(cpu, "qom-path") != NULL;
	if (rc == 0 && want < have)
		rc = error_set(err, ERR_STATE, "it has %u; processors are not taken away while it runs", have);
	else if (rc == 0 && want > json_array_size(list))
		rc = error_set(err, ERR_STATE, "it was started with room for %zu; max_cpus=N makes room from the next start on",
			json_array_size(list));
	/* from the last one of the list, which QEMU gives backwards */
	for (i = json_array_size(list); rc == 0 && have < want && i-- > 0;) {
		json_t *args = json_object();

		cpu = json_array_get(list, i);
		if (json_object_get(cpu, "qom-path")) {
			json_decref(args);
			continue;
		}
		json_object_update(args, json_object_get(cpu, "props"));
		json_object_set(args, "driver", json_object_get(cpu, "type"));
		json_object_set_new(args, "id", json_sprintf("cpu%u", have));
		rc = run(l, "device_add", args, NULL, err);
		have++;
	}
	json_decref(list);
	return rc;
}

/* More: a DIMM where max_memory leaves room. Less, or back again: the balloon. */
static int memory(struct live *l, struct error **err)
{
	json_t *sum = NULL, *args;
	uint64_t have, want = l->def->memory;

	if (run(l, "query-memory-size-summary", NULL, &sum, err) < 0)
		return -1;
	have = (uint64_t)json_integer_value(json_object_get(sum, "base-memory")) +
		(uint64_t)json_integer_value(json_object_get(sum, "plugged-memory"));
	json_decref(sum);
	if (want <= have) {
		if (!l->m->def.balloon)
			return error_set(err, ERR_STATE, "without balloon=true it keeps what it has");
		args = json_object();
		json_object_set_new(args, "value", json_integer((json_int_t)want));
		return run(l, "balloon", args, NULL, err);
	}
	if (want > l->m->def.max_memory)
		return error_set(err, ERR_STATE, "it was started without room for more; max_memory=SIZE makes room from the next start on");
	args = json_object();
	json_object_set_new(args, "qom-type", json_string("memory-backend-ram"));
	json_object_set_new(args, "id", json_sprintf("mem%" PRIu64, have >> 20));
	json_object_set_new(args, "size", json_integer((json_int_t)(want - have)));
	if (run(l, "object-add", args, NULL, err) < 0)
		return -1;
	args = json_object();
	json_object_set_new(args, "driver", json_string("pc-dimm"));
	json_object_set_new(args, "id", json_sprintf("dimm%" PRIu64, have >> 20));
	json_object_set_new(args, "memdev", json_sprintf("mem%" PRIu64, have >> 20));
	return run(l, "device_add", args, NULL, err);
}

int live_apply(struct machine *m, const struct machine_def *def, const struct live_change *c, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(m, "run/qmp.sock");
	_cleanup_qmp_ struct qmp *q = qmp_connect(sock, QMP_MS, err);
	struct live l = { .m = m, .def = def, .q = q, .hot_slots = strstr(m->def.type, "q35") != NULL };

	if (!q)
		return -1;
	switch (c->kind) {
	case LIVE_MEMORY:
		return memory(&l, err);
	case LIVE_CPUS:
		return cpus(&l, err);
	case LIVE_DISK_ADD:
		return disk_add(&l, c->index, err);
	case LIVE_DISK_DROP:
		return disk_drop(&l, c->index, err);
	case LIVE_NIC_ADD:
		return nic_add(&l, c->index, err);
	case LIVE_NIC_DROP:
		return nic_drop(&l, c->index, err);
	case LIVE_FORWARD_ADD:
		return forward(&l, "hostfwd_add", c->text, err);
	case LIVE_FORWARD_DROP:
		return forward(&l, "hostfwd_remove", c->text, err);
	case LIVE_CDROM:
		return cdrom(&l, c->index, err);
	case LIVE_NEVER:
		break;
	}
	return error_set(err, ERR_STATE, "this is not changed while it runs");
}
