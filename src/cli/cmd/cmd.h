/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors that the files of this folder end in; cli/commands.c puts them into order. */
#ifndef CROFT_CLI_CMD_H
#define CROFT_CLI_CMD_H

#include "cli/command.h"

extern const struct command cmd_vm_create, cmd_vm_start, cmd_vm_stop, cmd_vm_kill, cmd_vm_list,
	cmd_vm_show, cmd_vm_exec, cmd_vm_shell, cmd_vm_console, cmd_vm_push, cmd_vm_pull, cmd_vm_wait,
	cmd_vm_log, cmd_vm_qemu, cmd_vm_remove, cmd_vm_set, cmd_vm_display, cmd_vm_learn, cmd_vm_screenshot, cmd_vm_type;
extern const struct command cmd_group_snapshot, cmd_group_restore, cmd_group_snapshots, cmd_group_unsnapshot;
extern const struct command cmd_vm_backup, cmd_vm_backups, cmd_vm_backup_import, cmd_vm_backup_export, cmd_vm_forget, cmd_group_backup, cmd_vm_clone, cmd_group_fork;
extern const struct command cmd_vm_export, cmd_vm_import, cmd_group_diff;
extern const struct command cmd_vm_snapshot, cmd_vm_restore, cmd_vm_snapshots, cmd_vm_unsnapshot;
extern const struct command cmd_image_make_rescue;
extern const struct command cmd_image_export, cmd_image_convert, cmd_image_verify, cmd_image_diff;
extern const struct command cmd_image_make_tiny, cmd_image_make_debian, cmd_image_import,
	cmd_image_list, cmd_image_show, cmd_image_remove;
extern const struct command cmd_group_up, cmd_group_status, cmd_group_plan, cmd_group_create_vms, cmd_group_down, cmd_group_start_vms,
	cmd_group_stop_vms, cmd_group_info_vms, cmd_group_run, cmd_group_vars, cmd_group_clean_vms, cmd_group_list;
extern const struct command cmd_vm_rescue, cmd_job_run, cmd_job_list;
extern const struct command cmd_vm_pause, cmd_vm_resume;
extern const struct command cmd_group_install, cmd_group_update, cmd_group_start, cmd_group_stop, cmd_group_uninstall, cmd_group_exec,
	cmd_group_history, cmd_group_clog, cmd_group_ssh_config, cmd_group_inventory, cmd_group_graph,
	cmd_group_test;
extern const struct command cmd_net_show, cmd_net_link, cmd_net_cut, cmd_net_partition, cmd_net_heal, cmd_net_flap,
	cmd_net_forward_add, cmd_net_forward_remove, cmd_net_forward_list, cmd_net_play, cmd_net_top, cmd_net_trace, cmd_net_capture, cmd_net_hosts, cmd_net_log, cmd_net_proxy;

extern const struct command cmd_group_logs, cmd_group_capsule, cmd_group_open, cmd_ops_list, cmd_ops_rollback;

/* vm_exec.c: bash where the guest has it, else sh; and whether each of --env is NAME=VALUE. */
extern const char *const cmd_login_shell[];
int cmd_env_check(const struct strv *env, struct error **err);

struct group;
/* The group that the first word names; its warnings are shown. */
/* --timing: at the end of the scope of what cmd_timing gave, how long it took and croft's own share are said on stderr. */
#define TIMING_OPT { 0, "timing", OPT_FLAG, NULL, "At the end say how long it took, and how much of that is croft's own", NULL }
bool cmd_timing(const struct cmd_args *a);
void cmd_timing_end(bool *on);
#define _cleanup_timing_ __attribute__((cleanup(cmd_timing_end), unused))
struct group *cmd_group_load(const struct cmd_args *a, struct error **err);
/* group_plan.c: what `up` would do, as a table or JSON. */
int cmd_group_plan_print(struct group *g, struct error **err);
extern const struct command cmd_store_put, cmd_store_get, cmd_store_list, cmd_store_show, cmd_store_remove,
	cmd_store_verify, cmd_store_gc, cmd_store_copy, cmd_store_serve, cmd_store_publish, cmd_store_stats;
extern const struct command cmd_run, cmd_config_show, cmd_doctor, cmd_completion, cmd_man, cmd_help;

/*
 * What builds images needs libraries (HTTP, archives, signatures) that would cost every other command their loading time.
 * So these run in a program of their own, croft-image: there they are defined by image_run.c, in croft by elsewhere.c, which
 * hands the command line on.
 */
int image_make_tiny_run(const struct cmd_args *a, struct error **err);
int image_make_rescue_run(const struct cmd_args *a, struct error **err);
int image_make_debian_run(const struct cmd_args *a, struct error **err);
int image_import_run(const struct cmd_args *a, struct error **err);
int image_export_run(const struct cmd_args *a, struct error **err);
int image_convert_run(const struct cmd_args *a, struct error **err);
int image_verify_run(const struct cmd_args *a, struct error **err);
int image_diff_run(const struct cmd_args *a, struct error **err);
int group_diff_run(const struct cmd_args *a, struct error **err);
/* image_run.c: ordinary users of Debian have no folder of mke2fs and its like in PATH. */
void image_widen_path(void);

/* The same for templates: croft-build, build_run.c. */
extern const struct command cmd_image_build, cmd_image_validate, cmd_image_inspect, cmd_image_fix;
int image_build_run(const struct cmd_args *a, struct error **err);
int image_validate_run(const struct cmd_args *a, struct error **err);
int image_inspect_run(const struct cmd_args *a, struct error **err);
int image_fix_run(const struct cmd_args *a, struct error **err);

/* Becomes the program pm; returns only with an error. */
int pm_exec(char **argv, struct error **err);
extern const struct command cmd_pm;

/* vm_backup.c: vm restore --from. */
int vm_restore_from(const struct cmd_args *a, const char *machine, const char *backup, struct error **err);

#endif
