/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between a group's file and what is there: what `up` does, and what `plan` and `status` show. */
#ifndef CROFT_GROUP_CHANGE_H
#define CROFT_GROUP_CHANGE_H

#include "group/internal.h"

enum change_kind {
	CHANGE_CREATE,	  /* a machine that isn't there */
	CHANGE_START,	  /* one that doesn't run */
	CHANGE_SET,	  /* processors or memory: `set` is what machine_set takes */
	CHANGE_NICS,	  /* cards or addresses; QEMU learns of them at the next start */
	CHANGE_REMAKE,	  /* what only a new machine would have: image, disk; not done */
	CHANGE_COMMANDS,  /* init_commands or instance_commands that have not been run */
	CHANGE_REMOVE,	  /* a machine that the file names no longer; done when asked for */
	CHANGE_NETWORK,	  /* zones, forwards, links, names */
	CHANGE_INSTALL,	  /* an app that isn't installed, or as another text says */
	CHANGE_RUN,	  /* an app that is installed and not started */
	CHANGE_UNINSTALL, /* an app that the node has no longer; done when asked for */
};
struct change {
	enum change_kind kind;
	const struct group_node *node; /* NULL: the network */
	char *app;
	char *what;
	char *set;
	const char *when;
};
struct changes {
	struct change *v;
	size_t n;
};
#define _cleanup_changes_ __attribute__((cleanup(changes_clear)))
void changes_clear(struct changes *c);
struct change *changes_add(struct changes *c, enum change_kind kind, const struct group_node *n, const char *when, char *what);

/* What only the files of machines tell; no guest is asked. Templates must be known (group_templates). */
int group_machine_changes(const struct group *g, struct changes *ret, struct error **err);
/* Of one machine that is there. */
int group_node_changes(const struct group *g, const struct group_node *n, const struct machine *m, struct changes *ret, struct error **err);
/* netchange.c: net.json as it is and as it would be. */
int group_network_changes(const struct group *g, struct changes *ret, struct error **err);
/* The verb for people and programs: "create", "remove" ... */
const char *change_word(enum change_kind kind);

#endif
