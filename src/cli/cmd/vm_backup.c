/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm backup, backups, forget; vm restore --from; group NAME backup */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/progress.h"
#include "base/units.h"
#include "group/backup.h"
#include "group/group.h"
#include "machine/backup.h"
#include "machine/snapshot.h"

#include <inttypes.h>
#include <string.h>

#define STORE_OPT { 0, "store", OPT_STRING, "PATH", "The store; default: croft's own", "file" }

static char *store_path(const struct cmd_args *a)
{
	const char *given = arg_str(a, "store");

	return given ? path_absolute(given) : path_data("store");
}

static struct store *open_store(const struct cmd_args *a, bool make, struct error **err)
{
	_cleanup_free_ char *path = store_path(a);

	if (make && !file_exists(path) && store_create(path, 0, err) < 0)
		return NULL;
	return store_open(path, err);
}

static void on_progress(void *arg, uint64_t done)
{
	progress_update(arg, done);
}

static int backup_one(const struct cmd_args *a, struct store *s, const char *machine, const char *name, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(machine, err);
	struct backup_opts o = { .name = name, .text = arg_str(a, "message"), .progress = on_progress };
	struct backup_result r;
	char read[16], stored[16];

	if (!m)
		return -1;
	o.arg = progress_start(machine, 0, 1);
	if (backup_take(m, s, &o, &r, err) < 0) {
		progress_end(o.arg, "failed");
		return -1;
	}
	progress_end(o.arg, "backup %s: %s read, %s stored%s", r.name, format_size(r.read, read), format_size(r.stored, stored),
		r.whole ? "" : ", what changed since the last one");
	if (!name)
		printf("%s\n", r.name);
	free(r.name);
	return 0;
}

static int vm_backup_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_store_ struct store *s = open_store(a, true, err);

	if (!s)
		return -1;
	cli_left("nothing of the unfinished backup; `croft store gc` frees what it has written");
	if (backup_one(a, s, w->v[0], w->len > 1 ? w->v[1] : NULL, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static const struct opt backup_opts[] = {
	{ 'm', "message", OPT_STRING, "TEXT", "Describe it", NULL },
	STORE_OPT,
	OPT_END,
};

const struct command cmd_vm_backup = {
	.path = "vm backup",
	.args = "NAME [BACKUP]",
	.summary = "Copy a machine into the store",
	.help = "Disks, firmware variables and definition, at one instant, of a machine that runs or is stopped. The machine goes on meanwhile; its "
		"file systems are at rest for a moment when the guest program answers. The second and later ones read only what changed, and "
		"only what the store lacks is written. Without a name it is called S0, S1, ..., and that name is printed. Backups survive the machine.",
	.opts = backup_opts,
	.min_words = 1,
	.max_words = 2,
	.complete = "machine",
	.run = vm_backup_run,
	.examples = "  croft vm backup t1 -m 'before the upgrade'\n  croft vm restore t1 --from LAST",
};

static int vm_backups_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "machine", "name", "created", "size", "stored", "text", NULL };
	static const char *const all[] = { "machine", "name", "created", "size#", "stored#", "text", NULL };
	static const char *const titles[] = { "MACHINE", "NAME", "CREATED", "SIZE", "STORED", "DESCRIPTION", NULL };
	const struct strv *w = arg_words(a);
	_cleanup_backups_ struct backups l = { 0 };
	_cleanup_free_ char *path = path_data("store");
	_cleanup_store_ struct store *s = NULL;
	bool table = cli_format == FORMAT_TABLE;
	struct table *t;

	/* Before the first backup there is no store. */
	if (arg_str(a, "store") || file_exists(path)) {
		s = open_store(a, false, err);
		if (!s || backup_list(s, w->len ? w->v[0] : NULL, &l, err) < 0)
			return -1;
	}
	t = table_new(table ? keys : all, titles);
	for (size_t i = 0; i < l.len; i++) {
		const struct backup *b = l.v[i];
		_cleanup_free_ char *size = xasprintf("%" PRIu64, b->size), *stored = xasprintf("%" PRIu64, b->stored);
		char h1[16], h2[16];

		table_row(t, (const char *const[]){ b->machine, b->name, b->created, table ? format_size(b->size, h1) : size,
				     table ? format_size(b->stored, h2) : stored, b->text });
	}
	table_print(t);
	return 0;
}

static const struct opt store_opts[] = { STORE_OPT, OPT_END };

const struct command cmd_vm_backups = {
	.path = "vm backups",
	.args = "[NAME]",
	.summary = "List the backups of one machine, or of all",
	.help = "SIZE is that of the disks, STORED what the backup added to the store. Machines that were removed are listed too.",
	.opts = store_opts,
	.max_words = 1,
	.complete = "machine",
	.run = vm_backups_run,
};

static int vm_forget_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_store_ struct store *s = open_store(a, false, err);

	for (size_t i = 1; s && i < w->len; i++) {
		_cleanup_backup_ struct backup *b = backup_open(s, w->v[0], w->v[i], err);

		if (!b || store_remove(s, b->ref, err) < 0)
			return -1;
	}
	return s ? 0 : -1;
}

const struct command cmd_vm_forget = {
	.path = "vm forget",
	.args = "NAME BACKUP...",
	.summary = "Remove backups of a machine",
	.help = "`croft store gc` then frees the space of what no other backup holds.",
	.opts = store_opts,
	.min_words = 2,
	.max_words = -1,
	.complete = "machine",
	.run = vm_forget_run,
};

int vm_restore_from(const struct cmd_args *a, const char *machine, const char *backup, struct error **err)
{
	_cleanup_store_ struct store *s = open_store(a, false, err);

	if (!s)
		return -1;
	cli_left("machine %s as it was: the next command on it takes back what was written", machine);
	if (backup_restore(s, machine, backup, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static int group_backup_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_free_ char *group = group_name_of(w->v[0], err);
	_cleanup_free_ char *path = store_path(a), *name = NULL;
	struct group_backup_opts o = { .store = path, .name = w->len > 1 ? w->v[1] : NULL, .text = arg_str(a, "message") };

	if (!group || (!file_exists(path) && store_create(path, 0, err) < 0))
		return -1;
	cli_left("the backups of machines that were done; `croft store gc` frees what the others have written");
	if (group_backup(group, &o, &name, err) < 0)
		return -1;
	cli_left(NULL);
	if (!o.name)
		printf("%s\n", name);
	return 0;
}

const struct command cmd_group_backup = {
	.path = "group NAME backup",
	.args = "[BACKUP]",
	.summary = "Copy all machines of a group into the store",
	.help = "Several machines at the same time, each at an instant of its own; for one instant of all stop the group first. All get the "
		"same name; without one it is S0, S1, ..., and that is printed. Each is restored by itself: "
		"croft vm restore GROUP/NODE --from BACKUP.",
	.opts = backup_opts,
	.min_words = 1,
	.max_words = 2,
	.run = group_backup_run,
};
