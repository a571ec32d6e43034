/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm create, croft vm remove */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/cmd/define.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "conf/doc.h"
#include "conf/settings.h"
#include "machine/machine.h"

#include <string.h>

static void set_text(char **field, const char *value)
{
	if (!value)
		return;
	free(*field);
	*field = xstrdup(value);
}

static int add_forward(struct machine_nic *nic, const char *text, struct error **err)
{
	char *rule = machine_forward_parse(text, err);

	if (!rule)
		return error_wrap(err, "option --forward");
	strv_take(&nic->forwards, rule);
	return 0;
}

/* --net and --forward speak of the first network card. */
static int apply_net(struct machine_def *d, const struct cmd_args *a, struct error **err)
{
	const struct strv *forwards = arg_list(a, "forward");
	const char *net = arg_str(a, "net");

	if (!net && !forwards->len)
		return 0;
	if (!d->nnics) {
		d->nics = xcalloc(1, sizeof *d->nics);
		d->nnics = 1;
		d->nics[0].model = xstrdup("virtio");
		d->nics[0].net = xstrdup("user");
	}
	set_text(&d->nics[0].net, net);
	if (forwards->len && strcmp(d->nics[0].net, "user"))
		return error_set(err, ERR_USAGE, "option --forward: needs --net user, the network is '%s'",
			d->nics[0].net);
	for (size_t i = 0; i < forwards->len; i++)
		if (add_forward(&d->nics[0], forwards->v[i], err) < 0)
			return -1;
	return 0;
}

static int apply_disks(struct machine_def *d, const struct strv *sizes, struct error **err)
{
	for (size_t i = 0; i < sizes->len; i++) {
		struct machine_disk disk = { .discard = true, .boot = -1 };

		if (parse_size("option --disk", sizes->v[i], &disk.size, err) < 0)
			return -1;
		if (!disk.size)
			return error_set(err, ERR_USAGE, "option --disk: a disk of no bytes is no disk");
		disk.bus = xstrdup("virtio");
		disk.cache = xstrdup("writeback");
		d->disks = xreallocarray(d->disks, d->ndisks + 1, sizeof *d->disks);
		d->disks[d->ndisks++] = disk;
	}
	return 0;
}

void cmd_define_init(struct machine_def *d)
{
	machine_def_init(d);
	d->memory = settings_number("memory");
	d->cores = (unsigned)settings_number("cpus");
}

int cmd_define(struct machine_def *d, const struct cmd_args *a, struct error **err)
{
	const char *s;
	uint64_t n;

	if ((s = arg_str(a, "cpus"))) {
		if (parse_u64("option --cpus", s, 1, 255, &n, err) < 0)
			return -1;
		d->sockets = d->threads = 1;
		d->cores = (unsigned)n;
	}
	if ((s = arg_str(a, "memory")) && parse_size("option --memory", s, &d->memory, err) < 0)
		return -1;
	set_text(&d->firmware, arg_str(a, "firmware"));
	set_text(&d->cpu, arg_str(a, "cpu"));
	set_text(&d->hostname, arg_str(a, "hostname"));
	set_text(&d->kernel_args, arg_str(a, "kernel-args"));
	if (apply_net(d, a, err) < 0)
		return -1;
	return apply_disks(d, arg_list(a, "disk"), err);
}

static int vm_create_run(const struct cmd_args *a, struct error **err)
{
	const char *name = arg_words(a)->v[0], *file = arg_str(a, "file");
	_cleanup_(machine_def_clear) struct machine_def d;
	_cleanup_doc_ struct doc *doc = NULL;

	cmd_define_init(&d);
	if (file) {
		doc = doc_load(file, err);
		if (!doc || machine_def_read(&d, doc_root(doc), err) < 0 || machine_def_check(&d, doc_root(doc), err) < 0)
			return -1;
	}
	set_text(&d.name, name);
	set_text(&d.image, arg_str(a, "image"));
	if (cmd_define(&d, a, err) < 0)
		return -1;
	set_text(&d.cloud_init, arg_str(a, "cloud-init"));
	set_text(&d.host, arg_str(a, "host"));
	set_text(&d.ssh_key, arg_str(a, "ssh-key"));
	/* a machine of bare disks is one that the file describes so */
	if (!d.image && !file && !d.host)
		set_text(&d.image, settings_get("image.default"));
	return machine_create(&d, err);
}

static const struct opt create_opts[] = {
	{ 'i', "image", OPT_STRING, "IMAGE", "Image that it boots from; default tiny (setting image.default)", "image" },
	{ 'f', "file", OPT_STRING, "FILE", "Machine file (YAML or JSON); options add to it", "file" },
	DEFINE_OPTS,
	{ 0, "cloud-init", OPT_STRING, "FILE", "For a cloud image: user-data of cloud-init, or `on` for none; croft makes the seed", "file" },
	{ 0, "host", OPT_STRING, "[USER@]ADDRESS[:PORT]", "A real computer that is reached by ssh, instead of a virtual one", NULL },
	{ 0, "ssh-key", OPT_STRING, "FILE", "With --host: private key to log in with; default ssh-agent and ~/.ssh/id_*", "file" },
	OPT_END,
};

const struct command cmd_vm_create = {
	.path = "vm create",
	.args = "NAME",
	.summary = "Create a machine",
	.help = "Everything is checked before anything is made. The machine's disk is an overlay of the image, which is never "
		"written. Its MAC addresses stay the same for its life.",
	.opts = create_opts,
	.min_words = 1,
	.max_words = 1,
	.run = vm_create_run,
	.examples = "  croft vm create t1 --image tiny\n"
		    "  croft vm create web --image cloud12 -c 2 -m 2G -p 8080:80",
};

static int remove_one(const char *name, void *arg, struct error **err)
{
	return machine_remove(name, *(bool *)arg, err);
}

static int vm_remove_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *words = arg_words(a);
	_cleanup_free_ char *names = strv_join(words, ", ");
	bool force = arg_flag(a, "force");

	for (size_t i = 0; i < words->len; i++) {
		_cleanup_machine_ struct machine *m = machine_open(words->v[i], err);

		if (!m)
			return -1;
	}
	if (cli_confirm(force, err, "Remove machine %s and its disks", names) < 0)
		return -1;
	return for_each_word(words, remove_one, &force);
}

static const struct opt remove_opts[] = {
	{ 'f', "force", OPT_FLAG, NULL, "Do not ask, and kill a machine that runs", NULL },
	OPT_END,
};

const struct command cmd_vm_remove = {
	.path = "vm remove",
	.args = "NAME...",
	.summary = "Remove machines with their disks",
	.help = "A running machine is removed only with --force.",
	.opts = remove_opts,
	.min_words = 1,
	.max_words = -1,
	.complete = "machine",
	.run = vm_remove_run,
};
