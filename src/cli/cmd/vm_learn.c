/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm learn */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "machine/learn.h"

#include <string.h>

static int vm_learn_run(const struct cmd_args *a, struct error **err)
{
	const char *host = arg_words(a)->len ? arg_words(a)->v[0] : NULL, *out = arg_str(a, "output");
	_cleanup_buf_ struct buf facts = BUF_INIT, yaml = BUF_INIT;

	if (host && (!*host || *host == '-'))
		return error_set(err, ERR_USAGE, "'%s' is no host", host);
	if (learn_run(host, &facts, err) < 0 || learn_describe(buf_str(&facts), &yaml, err) < 0)
		return -1;
	if (out)
		return file_write(out, yaml.data, yaml.len, 0644, err);
	fputs(yaml.data, stdout);
	return 0;
}

static const struct opt learn_opts[] = {
	{ 'o', "output", OPT_STRING, "FILE", "Write the machine file there; default: print it", "file" },
	OPT_END,
};

const struct command cmd_vm_learn = {
	.path = "vm learn",
	.args = "[HOST]",
	.summary = "Describe a computer as a machine that imitates it",
	.help = "Looks at this computer, or at HOST by ssh, and prints a machine file: board, firmware, processor, memory, disks by size and bus, "
		"network cards, TPM, the maker's names. Nothing is changed there and nothing is copied from its disks.",
	.opts = learn_opts,
	.max_words = 1,
	.run = vm_learn_run,
	.examples = "  croft vm learn root@rented.example -o rented.yaml\n"
		    "  croft vm create like-rented --file rented.yaml",
};
