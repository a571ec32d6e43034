/* SPDX-License-Identifier: Apache-2.0 */
#include "box.h"
#include "build/http.h"
#include "vbox.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/units.h"
#include "machine/snapshot.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#define IMG_MS 3600000
#define KEEP_OTHERS 8
#define TURN_NS 200000000ll

static char *snap_name(const char *key)
{
	return xasprintf("s%.20s", key);
}

char *box_path(const struct build *b, const char *sub)
{
	return path_join(b->vm->dir, sub);
}

struct box_disk *box_add_disk(struct box *v, const char *base, const char *format, uint64_t size)
{
	v->disks = xreallocarray(v->disks, v->ndisks + 1, sizeof(*v->disks));
	v->disks[v->ndisks] = (struct box_disk){ .base = xstrdup(base), .format = xstrdup(format), .size = size };
	return &v->disks[v->ndisks++];
}

int box_size(const struct conf *c, const char *key, uint64_t *ret, struct error **err)
{
	const char *s = conf_text(c, key);
	_cleanup_free_ char *text = NULL;
	size_t n;

	if (!s || !*s)
		return 0;
	n = strlen(s);
	text = isdigit((unsigned char)s[n - 1]) ? xasprintf("%sM", s) : xstrdup(s);
	if (parse_size(key, text, ret, err) == 0)
		return 0;
	error_clear(err);
	return val_error(conf_at(c, key), err, "%s: '%s' is no size; sizes are written 10G, 40960M; a bare number is MiB", key, s);
}

/* ---- the folder in the cache ---- */

static int link_to(const char *dir, const char *name, const char *target, struct error **err)
{
	_cleanup_free_ char *link = path_join(dir, name);

	return symlink(target, link) < 0 && errno != EEXIST ? error_errno(err, errno, "%s", link) : 0;
}

/* What is built lives in a home of its own; caches and images stay common. */
int box_enter(struct build *b, const char first[SHA_HEX], struct error **err)
{
	struct box *v = b->vm;
	const char *home = getenv("CROFT_HOME");
	_cleanup_free_ char *sub = xasprintf("builds/%.16s", first), *cache = path_cache(NULL), *images = path_data("images");

	v->dir = path_cache(sub);
	v->home = xstrdup(home);
	if (file_mkdirs(v->dir, 0700, err) < 0 || link_to(v->dir, "cache", cache, err) < 0 || link_to(v->dir, "images", images, err) < 0)
		return -1;
	setenv("CROFT_HOME", v->dir, 1);
	return 0;
}

int box_hold(struct build *b, struct error **err)
{
	struct box *v = b->vm;
	_cleanup_free_ char *path = path_join(v->dir, "lock");

	v->lock = file_lock(path, true, 0, err);
	/* a template may have several builds that begin alike, and they share their states */
	if (v->lock < 0 && (*err)->cls == ERR_STATE && b->t->nbuilders > 1) {
		ui_say(b->ui, b->name, "Waiting for a build that starts from the same...");
		while (v->lock < 0 && (*err)->cls == ERR_STATE) {
			error_clear(err);
			if (build_sleep(TURN_NS, err) < 0)
				return -1;
			v->lock = file_lock(path, true, 0, err);
		}
	}
	if (v->lock >= 0)
		return 0;
	error_wrap(err, "another build of the same template");
	return error_hint(err, "wait for it to end");
}

void box_leave(struct build *b)
{
	struct box *v = b->vm;

	comm_close(STEAL(b->comm));
	if (v->lock >= 0)
		close(v->lock);
	if (v->dir && v->home)
		setenv("CROFT_HOME", v->home, 1);
	else if (v->dir)
		unsetenv("CROFT_HOME");
	free(v->home);
	free(v->dir);
	free(v->builder_id);
	free(STEAL(b->vm));
}

static int start_of(struct build *b, struct box *v, struct sha *s, struct error **err)
{
	sha_adds(s, "croft build 1");
	sha_adds(s, b->b->c->type);
	if (b->recipe)
		sha_adds(s, b->recipe);
	return strcmp(b->b->c->type, "croft") ? start_qemu(b, v, s, err) : start_croft(b, v, s, err);
}

static int open_box(struct build *b, char first[SHA_HEX], struct error **err)
{
	struct box *v = xcalloc(1, sizeof(*v));
	struct sha *s = sha_new();
	int rc;

	b->vm = v;
	v->lock = -1;
	machine_def_init(&v->def);
	rc = start_of(b, v, s, err);
	sha_end(s, first);
	return rc < 0 ? -1 : box_enter(b, first, err);
}

static int lock_box(struct build *b, struct error **err)
{
	struct box *v = b->vm;

	if (box_hold(b, err) < 0)
		return -1;
	if (!b->o->no_cache && !v->m) {
		_cleanup_error_ struct error *e = NULL;

		v->m = machine_open(BOX_NAME, &e);
	}
	return 0;
}

static void close_box(struct build *b)
{
	struct box *v = b->vm;

	if (!v)
		return;
	comm_close(STEAL(b->comm));
	http_stop(v->http);
	machine_free(v->m);
	machine_def_clear(&v->def);
	for (size_t i = 0; i < v->ndisks; i++) {
		free(v->disks[i].base);
		free(v->disks[i].format);
	}
	free(v->disks);
	free(v->kernel);
	free(v->initrd);
	free(v->cmdline);
	box_leave(b);
}

/* ---- starting ---- */

static char *disk_path(const struct box *v, size_t i)
{
	_cleanup_free_ char *name = xasprintf("disk-%zu.qcow2", i);

	return path_join(v->dir, name);
}

static int qemu_img(const struct strv *argv, struct error **err)
{
	if (proc_run((const char *const *)argv->v, IMG_MS, NULL, NULL, err) == 0)
		return 0;
	return (*err)->cls == ERR_NOT_FOUND ? error_hint(err, "install the package qemu-utils") : -1;
}

static int make_disks(struct box *v, struct error **err)
{
	for (size_t i = 0; i < v->ndisks; i++) {
		_cleanup_free_ char *path = disk_path(v, i);
		_cleanup_strv_ struct strv argv = STRV_INIT;

		if (file_unlink(path, err) < 0)
			return -1;
		strv_addv(&argv, (const char *const[]){ "qemu-img", "create", "-q", "-f", "qcow2", NULL });
		if (v->disks[i].base)
			strv_addv(&argv, (const char *const[]){ "-b", v->disks[i].base, "-F", v->disks[i].format, NULL });
		strv_add(&argv, path);
		if (v->disks[i].size)
			strv_addf(&argv, "%" PRIu64, v->disks[i].size);
		if (qemu_img(&argv, err) < 0)
			return error_wrap(err, "disk %zu", i);
		free(v->def.disks[i].path);
		v->def.disks[i].path = STEAL(path);
	}
	return 0;
}

static int make_machine(struct build *b, struct error **err)
{
	struct box *v = b->vm;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *dir = box_path(b, "machines/" BOX_NAME);

	machine_free(STEAL(v->m));
	if (file_exists(dir) && machine_remove(BOX_NAME, true, &e) < 0 && file_remove_tree(dir, err) < 0)
		return -1;
	if (make_disks(v, err) < 0)
		return -1;
	free(v->def.name);
	v->def.name = xstrdup(BOX_NAME);
	if (machine_create(&v->def, err) < 0)
		return -1;
	v->m = machine_open(BOX_NAME, err);
	return v->m ? 0 : -1;
}

int box_patience(const struct build *b)
{
	int64_t ns = conf_ns(&b->conf, "boot_timeout");

	if (conf_given(&b->conf, "ssh_timeout"))
		ns = conf_ns(&b->conf, "ssh_timeout");
	else if (!strcmp(b->b->c->type, "qemu") || !strcmp(b->b->c->type, "virtualbox-iso"))
		ns = 300000000000;
	return ns <= 0 ? -1 : ns / 1000000 > INT32_MAX ? INT32_MAX : (int)(ns / 1000000);
}

static int connect_agent(struct build *b, struct error **err)
{
	struct box *v = b->vm;

	if (b->comm)
		return b->comm->ops->renew(b->comm, box_patience(b), err);
	b->comm = comm_agent(v->m, box_patience(b), err);
	return b->comm ? 0 : -1;
}

static int connect_comm(struct build *b, struct error **err)
{
	const char *type = conf_text(&b->conf, "communicator");
	const char *use = type ? type : strcmp(b->b->c->type, "croft") ? "ssh" : "agent";

	if (!strcmp(use, "agent"))
		return connect_agent(b, err);
	if (!strcmp(use, "ssh"))
		return comm_ssh_connect(b, err);
	b->comm = b->comm ? b->comm : comm_none();
	return 0;
}

static bool has(struct build *b, const char *key);
static int keep_state(struct build *b, const char *key, const char *what, struct error **err);
static int back(struct build *b, const char *key, struct error **err);

/* The state behind the boot command is one of its own: when what it has begun fails, it need not be typed again. */
static bool types(const struct build *b)
{
	return strcmp(b->b->c->type, "croft") && (conf_given(&b->conf, "boot_command") || conf_given(&b->conf, "boot_steps"));
}

static void typed_key(const struct build *b, char key[SHA_HEX])
{
	_cleanup_free_ char *text = xasprintf("typed %s", b->steps[0].key);

	sha_bytes(text, strlen(text), key);
}

static bool typed_before(struct build *b)
{
	const char *from = b->o->from;
	char key[SHA_HEX];

	typed_key(b, key);
	return types(b) && !b->o->no_cache && !(from && (!strcmp(from, "boot") || !strcmp(from, "0"))) && has(b, key);
}

static int boot(struct build *b, struct error **err)
{
	struct box *v = b->vm;
	struct machine_start_opts o = { .accel = conf_text(&b->conf, "accelerator") };
	bool boots_itself = strcmp(b->b->c->type, "croft") != 0;
	char typed[SHA_HEX];

	typed_key(b, typed);
	if (typed_before(b)) {
		ui_say(b->ui, b->name, "The boot command is typed already: going on behind it...");
		return back(b, typed, err);
	}

	if (o.accel && !strcmp(o.accel, "none"))
		o.accel = "tcg";
	if ((boots_itself && qemu_serve(b, v, false, err) < 0) || make_machine(b, err) < 0)
		return -1;
	v->off = false;
	ui_say(b->ui, b->name, "Starting the machine...");
	if (machine_start(v->m, &o, NULL, err) < 0 || (boots_itself && qemu_type(b, v, err) < 0))
		return -1;
	if (types(b) && keep_state(b, typed, "boot command typed", err) < 0)
		return -1;
	ui_say(b->ui, b->name, "Waiting for the guest...");
	if (connect_comm(b, err) < 0)
		return -1;
	ui_say(b->ui, b->name, "Connected to the guest (%s).", b->comm->type);
	return 0;
}

/* The guest was shut down by an earlier step: it comes up from its disks, with nothing to type. */
static int need(struct build *b, struct error **err)
{
	struct box *v = b->vm;
	struct machine_start_opts o = { .accel = conf_text(&b->conf, "accelerator") };

	if (!v->off)
		return 0;
	if (o.accel && !strcmp(o.accel, "none"))
		o.accel = "tcg";
	ui_say(b->ui, b->name, "Starting the machine again...");
	if (machine_start(v->m, &o, NULL, err) < 0)
		return -1;
	v->off = false;
	return connect_comm(b, err);
}

/* ---- states ---- */

static bool has(struct build *b, const char *key)
{
	_cleanup_free_ char *name = snap_name(key);
	_cleanup_error_ struct error *e = NULL;
	_cleanup_snapshot_ struct snapshot *s = NULL;

	if (!b->vm || !b->vm->m)
		return false;
	s = snapshot_open(b->vm->m, name, &e);
	return s != NULL;
}

static int keep(struct build *b, const char *key, const char *what, enum snapshot_kind kind, struct error **err)
{
	_cleanup_free_ char *name = snap_name(key);
	struct snapshot_opts o = { .name = name, .kind = kind, .text = what };

	if (has(b, key) && snapshot_remove(b->vm->m, name, NULL, err) < 0)
		return -1;
	return snapshot_take(b->vm->m, &o, NULL, err);
}

static int keep_state(struct build *b, const char *key, const char *what, struct error **err)
{
	struct box *v = b->vm;
	_cleanup_error_ struct error *e = NULL;

	if (!v->no_keep && keep(b, key, what, v->off ? SNAPSHOT_DISK : SNAPSHOT_MEMORY, &e) == 0)
		return 0;
	if (e && (e->cls == ERR_INTR || e->code == ENOSPC))
		return error_move(err, &e);
	if (!v->said)
		ui_message(b->ui, b->name, "the states of this machine cannot be kept, so a later build begins anew: %s",
			v->no_keep ? v->no_keep : e->msg);
	v->said = true;
	v->no_keep = v->no_keep ? v->no_keep : "its state cannot be saved";
	return 0;
}

static int back(struct build *b, const char *key, struct error **err)
{
	struct box *v = b->vm;
	_cleanup_free_ char *name = snap_name(key);
	struct snapshot_restore_opts o = { .disk_only = false };

	v->stopped = false;
	if (strcmp(b->b->c->type, "croft") && qemu_serve(b, v, true, err) < 0)
		return -1;
	if (snapshot_restore(v->m, name, &o, NULL, err) < 0)
		return error_wrap(err, "going back to the kept state");
	v->off = machine_state(v->m) == MACHINE_STOPPED;
	return v->off ? 0 : connect_comm(b, err);
}

static void tidy(struct build *b)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_snapshots_ struct snapshots l = { 0 };
	_cleanup_free_ char *typed = NULL;
	char key[SHA_HEX];
	size_t others = 0;

	typed_key(b, key);
	typed = snap_name(key);
	if (!b->vm->m || snapshot_list(b->vm->m, &l, &e) < 0)
		return;
	for (size_t i = l.len; i-- > 0;) {
		_cleanup_error_ struct error *e2 = NULL;
		_cleanup_free_ char *final = snap_name(b->final);
		bool ours = !strcmp(l.v[i]->name, final) || !strcmp(l.v[i]->name, typed);

		for (size_t k = 0; k < b->nsteps && !ours; k++) {
			_cleanup_free_ char *name = snap_name(b->steps[k].key);

			ours = !strcmp(l.v[i]->name, name);
		}
		if (!ours && ++others > KEEP_OTHERS)
			snapshot_remove(b->vm->m, l.v[i]->name, NULL, &e2);
	}
}

/* ---- the end ---- */

static int wait_stopped(struct build *b, int64_t ns, struct error **err)
{
	int64_t end = (int64_t)loop_now() + ns;

	while (machine_state(b->vm->m) != MACHINE_STOPPED && machine_state(b->vm->m) != MACHINE_CRASHED) {
		if ((int64_t)loop_now() > end)
			return error_set(err, ERR_TIMEOUT, "the guest has not shut down within its shutdown_timeout of %lld s",
				(long long)(ns / 1000000000));
		if (build_sleep(200000000, err) < 0)
			return -1;
	}
	return 0;
}

static int shut_down(struct build *b, struct error **err)
{
	struct box *v = b->vm;
	const char *command = conf_text(&b->conf, "shutdown_command"), *how = NULL;
	int64_t ns = conf_ns(&b->conf, "shutdown_timeout");
	int status = 0;

	if (command && *command) {
		_cleanup_error_ struct error *e = NULL;

		ui_say(b->ui, b->name, "Gracefully halting the machine...");
		/* it may well take the connection with it */
		if (b->comm->ops->exec(b->comm, command, NULL, NULL, (int)(ns / 1000000), &status, &e) < 0 && intr_check(err) < 0)
			return -1;
		return wait_stopped(b, ns, err);
	}
	if (command) {
		ui_say(b->ui, b->name, "Ending the machine at once, as shutdown_command \"\" says...");
		return machine_kill(v->m, err);
	}
	if (!strcmp(b->comm->type, "none")) {
		ui_say(b->ui, b->name, "Waiting for the guest to power off...");
		return wait_stopped(b, ns, err);
	}
	ui_say(b->ui, b->name, "Shutting the guest down...");
	if (machine_stop(v->m, (int)(ns / 1000000), &how, err) < 0)
		return -1;
	if (how && !strcmp(how, "killed"))
		return error_set(err, ERR_TIMEOUT, "the guest did not shut down in %lld s and was ended; the disk may not be whole",
			(long long)(ns / 1000000000));
	return 0;
}

static int shutdown_box(struct build *b, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;

	if (!b->vm->off && shut_down(b, err) < 0)
		return error_wrap(err, "shutdown");
	comm_close(STEAL(b->comm));
	b->vm->stopped = true;
	if (!b->vm->no_keep && keep(b, b->final, "shut down", SNAPSHOT_DISK, &e) < 0) {
		if (e->cls == ERR_INTR)
			return error_move(err, &e);
		ui_message(b->ui, b->name, "the finished disk cannot be kept: %s", e->msg);
	}
	return 0;
}

int box_power_off(struct build *b, struct error **err)
{
	if (!b->vm || !b->vm->m)
		return error_set(err, ERR_USAGE, "%s: it builds without a machine that could be shut down", b->b->c->type);
	if (!b->vm->off && shut_down(b, err) < 0)
		return error_wrap(err, "shutting the guest down");
	b->vm->off = true;
	return 0;
}

static int convert(struct build *b, size_t i, const char *format, const char *to, struct error **err)
{
	struct box *v = b->vm;
	_cleanup_free_ char *from = disk_path(v, i), *temp = xasprintf("%s.convert", to), *snap = snap_name(b->final);
	_cleanup_strv_ struct strv argv = STRV_INIT;

	strv_addv(&argv, (const char *const[]){ "qemu-img", "convert", "-O", format, NULL });
	if (conf_bool(&b->conf, "disk_compression") && strcmp(format, "raw"))
		strv_add(&argv, "-c");
	if (!strcmp(format, "vmdk"))
		strv_addv(&argv, (const char *const[]){ "-o", "subformat=streamOptimized", NULL });
	if (!v->stopped) {
		strv_add(&argv, "-l");
		strv_addf(&argv, "snapshot.name=%s", snap);
	}
	strv_addv(&argv, (const char *const[]){ "-f", "qcow2", from, temp, NULL });
	return qemu_img(&argv, err) < 0 ? -1 : file_rename(temp, to, err);
}

/* What a system that is started by its kernel needs besides its disk. */
static int export_kernel(struct build *b, struct strv *files, struct error **err)
{
	struct box *v = b->vm;
	_cleanup_free_ char *base = path_join(b->out, b->vm_name), *kernel = xasprintf("%s.kernel", base);
	_cleanup_free_ char *initrd = xasprintf("%s.initrd", base), *cmdline = xasprintf("%s.cmdline", base);

	if (!v->kernel)
		return 0;
	if (file_copy(v->kernel, kernel, 0644, err) < 0)
		return -1;
	strv_add(files, kernel);
	if (v->initrd) {
		if (file_copy(v->initrd, initrd, 0644, err) < 0)
			return -1;
		strv_add(files, initrd);
	}
	if (file_writef(cmdline, 0644, err, "%s\n", v->cmdline ? v->cmdline : "") < 0)
		return -1;
	strv_add(files, cmdline);
	return 0;
}

static bool is_vbox(const struct build *b)
{
	return !strcmp(b->b->c->type, "virtualbox-iso");
}

/* As the builder of Packer calls the disk; VirtualBox's further ones are what its OVF would name. */
static char *disk_name(const struct build *b, size_t i)
{
	const char *given = conf_text(&b->conf, "output_filename");

	if (is_vbox(b))
		return xasprintf("%s-disk%03zu.vmdk", given && *given ? given : b->vm_name, i + 1);
	return i ? xasprintf("%s-%zu", b->vm_name, i) : xstrdup(b->vm_name);
}

/* The machine of a template for VirtualBox: its first disk with a description. */
static int export_appliance(struct build *b, struct strv *files, struct error **err)
{
	_cleanup_free_ char *temp = box_path(b, "export.qcow2");
	int rc = convert(b, 0, "qcow2", temp, err) < 0 ? -1 : vbox_export(b, temp, files, err);

	unlink(temp);
	return rc;
}

static int export(struct build *b, struct strv *files, struct error **err)
{
	struct box *v = b->vm;
	const char *format = is_vbox(b) ? "vmdk" : conf_text(&b->conf, "format");

	if (file_mkdirs(b->out, 0755, err) < 0)
		return -1;
	if (is_vbox(b) && export_appliance(b, files, err) < 0)
		return error_wrap(err, "export");
	for (size_t i = is_vbox(b); i < v->ndisks; i++) {
		_cleanup_free_ char *name = disk_name(b, i), *to = path_join(b->out, name);

		ui_say(b->ui, b->name, "Writing %s...", to);
		if (convert(b, i, format, to, err) < 0)
			return error_wrap(err, "%s", to);
		strv_add(files, to);
	}
	if (is_vbox(b) && v->ndisks > 1)
		ui_message(b->ui, b->name, "the description names the first disk alone; add the others in VirtualBox");
	return export_kernel(b, files, err);
}

static void kill_box(struct build *b)
{
	_cleanup_error_ struct error *e = NULL;

	comm_close(STEAL(b->comm));
	if (b->vm && b->vm->m)
		machine_kill(b->vm->m, &e);
}

static char *how_to_reach(const struct build *b)
{
	return xasprintf("CROFT_HOME='%s' croft vm %s " BOX_NAME, b->vm->dir,
		b->comm && !strcmp(b->comm->type, "agent") ? "shell" : "console");
}

static void post_mortem(struct build *b)
{
	_cleanup_error_ struct error *e = NULL, *e2 = NULL;
	_cleanup_free_ char *dir = NULL, *log = NULL, *to = NULL, *screen = NULL;

	if (!b->out || !b->vm || !b->vm->m)
		return;
	dir = xasprintf("%s.failed", b->out);
	log = machine_path(b->vm->m, "log/console.log");
	to = path_join(dir, "console.log");
	screen = path_join(dir, "screen.png");
	if (file_mkdirs(dir, 0755, &e) < 0 || file_unlink(to, &e) < 0)
		return;
	if (file_exists(log))
		file_copy(log, to, 0644, &e);
	if (machine_state(b->vm->m) != MACHINE_STOPPED)
		machine_screenshot(b->vm->m, screen, &e2);
	ui_message(b->ui, b->name, "what the machine showed last is in %s", dir);
}

const struct box_ops box_machine = {
	.artifact_id = "VM",
	.builder_id = "transcend.qemu",
	.open = open_box,
	.lock = lock_box,
	.boot = boot,
	.need = need,
	.has = has,
	.keep = keep_state,
	.back = back,
	.shutdown = shutdown_box,
	.export = export,
	.kill = kill_box,
	.tidy = tidy,
	.close = close_box,
	.how_to_reach = how_to_reach,
	.post_mortem = post_mortem,
};

const struct box_ops *box_ops_of(const struct component *c)
{
	if (!strcmp(c->type, "null"))
		return NULL;
	return strcmp(c->type, "root") && strcmp(c->type, "docker") ? &box_machine : &box_root;
}
