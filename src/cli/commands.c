/* SPDX-License-Identifier: Apache-2.0 */
/* Every command that croft knows, in the order in which help shows them. */
#include "cli/cmd/cmd.h"

#include <stddef.h>

const struct command *const commands[] = {
	&cmd_vm_create,
	&cmd_vm_start,
	&cmd_vm_stop,
	&cmd_vm_kill,
	&cmd_vm_list,
	&cmd_vm_show,
	&cmd_vm_exec,
	&cmd_vm_shell,
	&cmd_vm_console,
	&cmd_vm_push,
	&cmd_vm_pull,
	&cmd_vm_wait,
	&cmd_vm_log,
	&cmd_vm_qemu,
	&cmd_vm_remove,
	&cmd_image_make_tiny,
	&cmd_image_import,
	&cmd_image_list,
	&cmd_image_show,
	&cmd_image_remove,
#ifdef CROFT_STORE
	&cmd_store_put,
	&cmd_store_get,
	&cmd_store_list,
	&cmd_store_show,
	&cmd_store_remove,
	&cmd_store_verify,
	&cmd_store_gc,
	&cmd_store_copy,
	&cmd_store_stats,
#endif
#ifdef CROFT_GROUP
	&cmd_group_up,
	&cmd_group_create_vms,
	&cmd_group_down,
	&cmd_group_start_vms,
	&cmd_group_stop_vms,
	&cmd_group_info_vms,
	&cmd_group_run,
	&cmd_group_vars,
	&cmd_group_clean_vms,
	&cmd_group_list,
#endif
	&cmd_config_show,
	&cmd_doctor,
	&cmd_completion,
	&cmd_man,
	&cmd_help,
	NULL,
};
