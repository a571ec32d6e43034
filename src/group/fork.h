/* SPDX-License-Identifier: Apache-2.0 */
/* What forks and capsules share: a group's files under another name. */
#ifndef CROFT_GROUP_FORK_H
#define CROFT_GROUP_FORK_H

#include "group/snapint.h"

#include <jansson.h>

/* Neither a group nor a machine has this name. */
int fork_taken(const char *other, struct error **err);
/* Record, machines and network of `other`, at the snapshot, which goes along; nothing is started. */
int fork_files(const char *group, const struct group_snapshot *s, const char *other, struct error **err);
/* The network of net.json at conf, with the sockets of other's machines and without its way in from the host. */
int fork_net(const char *conf, const char *other, struct error **err);
json_t *fork_load_json(const char *path, struct error **err);
int fork_write_json(const char *path, const json_t *o, struct error **err);

#endif
