/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm set */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "machine/machine.h"

static int vm_set_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *words = arg_words(a);
	_cleanup_machine_ struct machine *m = machine_open(words->v[0], err);
	struct strv changes = { .v = words->v + 1, .len = words->len - 1 };
	_cleanup_strv_ struct strv notes = STRV_INIT;

	if (!m || machine_set(m, &changes, &notes, err) < 0)
		return -1;
	for (size_t i = 0; i < notes.len; i++)
		puts(notes.v[i]);
	return 0;
}

const struct command cmd_vm_set = {
	.path = "vm set",
	.args = "NAME KEY=VALUE...",
	.summary = "Change a machine",
	.help = "All changes are checked before any is made. A machine that runs gets at once what QEMU can change while it runs; the rest holds "
		"from the next start on. Each change is printed with when it holds.\n\n"
		"Keys are those of machine files (memory, cores, type, cpu, firmware, display, video, ...; an empty value takes a text away) and: "
		"cpus=N, disk+=SIZE[,bus=BUS,...], disk-=N, nic+=user[,model=MODEL], nic-=N, forward+=PORT:PORT, forward-=PORT:PORT, "
		"share+=TAG:[rw:]DIR, share-=TAG, cdrom=FILE, cdrom=none; lists as usb and pci take += and -=. A disk's file goes with disk-.",
	.min_words = 2,
	.max_words = -1,
	.complete = "machine",
	.run = vm_set_run,
	.examples = "  croft vm set web memory=4G cpus=4\n"
		    "  croft vm set web disk+=20G,bus=scsi forward+=8443:443",
};
