/* SPDX-License-Identifier: Apache-2.0 */
/* The way from a group's name to its network process. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "internal.h"
#include "net/net.h"
#include "pm/keep.h"

#define REQUEST_MS 10000

int group_net_start(const char *name, const char *dir, struct error **err)
{
	_cleanup_free_ char *unit = xasprintf("net/%s", name);
	_cleanup_error_ struct error *e = NULL;
	const char *args[] = { "--again", dir, NULL };
	struct proc_id id;

	if (net_answers(dir))
		return 0;
	if (net_start(dir, err) < 0)
		return -1;
	if (net_process(dir, &id, &e) == 0)
		pm_keep(unit, &id, "croft-net", args);
	return 0;
}

char *group_net_running(const char *name, struct error **err)
{
	_cleanup_free_ char *plain = group_name_of(name, err), *dir = plain ? group_net_dir(plain) : NULL;

	if (!dir)
		return NULL;
	if (!group_exists(plain)) {

		error_set(err, ERR_NOT_FOUND, "group %s was not brought up", plain);
		error_hint(err, "croft group %s up", name);
		return NULL;
	}
	if (!net_running(dir)) {
		error_set(err, ERR_STATE, "group %s: its network does not run", plain);
		error_hint(err, "croft group %s up", name);
		return NULL;
	}
	return STEAL(dir);
}

char *group_net_request(const char *name, const char *json, struct error **err)
{
	_cleanup_free_ char *dir = group_net_running(name, err);

	return dir ? net_request(dir, json, REQUEST_MS, err) : NULL;
}
