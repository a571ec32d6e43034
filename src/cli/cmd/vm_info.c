/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm list, show, log, qemu */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "machine/machine.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static void list_one(struct table *t, const char *name)
{
	_cleanup_error_ struct error *err = NULL;
	_cleanup_machine_ struct machine *m = machine_open(name, &err);
	_cleanup_free_ char *cpus = NULL, *memory = NULL;
	const char *address = NULL;
	char human[16];

	if (!m) {
		/* removed while we look is no error; a broken definition is, but must not hide the others */
		if (err->cls != ERR_NOT_FOUND) {
			cli_report(err);
			table_row(t, (const char *const[]){ name, "broken", NULL, NULL, NULL, NULL });
		}
		return;
	}
	if (m->def.host) {
		table_row(t, (const char *const[]){ m->name, machine_state_text(m), "real computer", NULL, NULL, m->def.host });
		return;
	}
	cpus = xasprintf("%u", m->def.sockets * m->def.cores * m->def.threads);
	memory = cli_format == FORMAT_TABLE ? xstrdup(format_size(m->def.memory, human)) :
					      xasprintf("%" PRIu64, m->def.memory);
	for (size_t i = 0; i < m->def.nnics && !address; i++)
		address = m->def.nics[i].address;
	table_row(t,
		(const char *const[]){ m->name, machine_state_text(m), m->def.image, cpus, memory,
			address });
}

static int vm_list_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "name", "state", "image", "cpus#", "memory#", "address", NULL };
	static const char *const titles[] = { "NAME", "STATE", "IMAGE", "CPUS", "MEMORY", "ADDRESS", NULL };
	_cleanup_strv_ struct strv names = STRV_INIT;
	struct table *t;

	if (machine_names(arg_str(a, "group"), &names, err) < 0)
		return -1;
	t = table_new(keys, titles);
	for (size_t i = 0; i < names.len; i++)
		list_one(t, names.v[i]);
	table_print(t);
	return 0;
}

static const struct opt list_opts[] = {
	{ 'g', "group", OPT_STRING, "GROUP", "Only the machines of this group", "group" },
	OPT_END,
};

const struct command cmd_vm_list = {
	.path = "vm list",
	.summary = "List the machines with their states",
	.opts = list_opts,
	.max_words = 0,
	.run = vm_list_run,
	.examples = "  croft vm list --format json | jq -r '.[].name'",
};

static int vm_show_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *end = NULL, *text = NULL;
	json_t *j, *def;

	if (!m)
		return -1;
	machine_def_to_json(&m->def, &b);
	def = json_loadb(buf_str(&b), b.len, 0, NULL);
	if (!def)
		return error_set(err, ERR_FAILED, "machine %s: its definition is not JSON", m->name);
	end = machine_last_end(m);
	j = json_pack("{s:s s:s s:s s:s? s:o}", "name", m->name, "state", machine_state_text(m),
		"directory", m->dir, "last_end", end, "definition", def);
	text = j ? json_dumps(j, 0) : NULL;
	json_decref(j);
	if (!text)
		return error_set(err, ERR_FAILED, "machine %s: its description is not UTF-8", m->name);
	return print_json(text, err);
}

const struct command cmd_vm_show = {
	.path = "vm show",
	.args = "NAME",
	.summary = "Show state and definition of a machine",
	.min_words = 1,
	.max_words = 1,
	.complete = "machine",
	.run = vm_show_run,
};

static int vm_log_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint64_t lines = 100;

	if (!m || (arg_str(a, "lines") &&
			  parse_u64("option --lines", arg_str(a, "lines"), 1, 1000000, &lines, err) < 0))
		return -1;
	machine_console_tail(m, (int)lines, &b);
	fwrite(buf_str(&b), 1, b.len, stdout);
	return 0;
}

static const struct opt log_opts[] = {
	{ 'n', "lines", OPT_STRING, "N", "How many of the last lines; default 100", NULL },
	OPT_END,
};

const struct command cmd_vm_log = {
	.path = "vm log",
	.args = "NAME",
	.summary = "Print the last lines of a machine's console",
	.opts = log_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "machine",
	.run = vm_log_run,
};

/* A word as a shell would read it back. */
static void print_quoted(const char *s)
{
	if (*s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%") == strlen(s)) {
		fputs(s, stdout);
		return;
	}
	putchar('\'');
	for (; *s; s++)
		if (*s == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*s);
	putchar('\'');
}

static int vm_qemu_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	_cleanup_strv_ struct strv argv = STRV_INIT;

	if (!m || machine_qemu_argv(m, arg_str(a, "accel"), &argv, err) < 0)
		return -1;
	if (cli_format != FORMAT_TABLE) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		for (size_t i = 0; i < argv.len; i++) {
			buf_addc(&b, i ? ',' : '[');
			json_quote(&b, argv.v[i]);
		}
		buf_addc(&b, ']');
		return print_json(buf_str(&b), err);
	}
	for (size_t i = 0; i < argv.len; i++) {
		/* one option a line, as people read it; still one command for a shell */
		if (i)
			fputs(argv.v[i][0] == '-' ? " \\\n    " : " ", stdout);
		print_quoted(argv.v[i]);
	}
	putchar('\n');
	return 0;
}

static const struct opt qemu_opts[] = {
	{ 0, "accel", OPT_STRING, "ACCEL", "auto (the default), kvm or tcg", "auto|kvm|tcg" },
	OPT_END,
};

const struct command cmd_vm_qemu = {
	.path = "vm qemu",
	.args = "NAME",
	.summary = "Print the QEMU command line that a machine would start with",
	.opts = qemu_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "machine",
	.run = vm_qemu_run,
};
