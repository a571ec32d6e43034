/* SPDX-License-Identifier: Apache-2.0 */
/* backup, restore and job: see below what is not there yet */
#include "vm.h"

int vm_backup(struct vm *v, const struct strv *args, struct error **err)
{
	return error_set(err, ERR_FAILED, "backup: not in this version");
}

int vm_restore(struct vm *v, const struct strv *args, struct error **err)
{
	return error_set(err, ERR_NOT_FOUND, "%s: no working files, and no backup to restore", v->hostdir);
}

int vm_job(struct vm *v, const struct strv *args, struct error **err)
{
	return error_set(err, ERR_FAILED, "job: not in this version");
}
