/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: several machines, their network and their order, described in one file (the devtest format, JSON or YAML), that start,
 * are asked, stopped and thrown away as one thing. What is on disk besides the machines is in DATA/groups/NAME/:
 *
 *	group.json	the record: file it came from, prefix, address of each node; written before the first machine is made. It wins
 *			over what would be computed, so no address changes as long as the group exists
 *	lock		held while a command changes the group
 *	applied		copy of the file as the last complete `up` found it: what is compared with, and what nodes had that it names no more
 *	net/		of the network process (net/net.h)
 *
 * Members are machines named GROUP/NODE. Used by cli/ alone.
 */
#ifndef CROFT_GROUP_GROUP_H
#define CROFT_GROUP_GROUP_H

#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/strv.h"
#include "conf/doc.h"
#include "conf/interp.h"
#include "net/fwdspec.h"
#include <stdbool.h>
#include <stdint.h>

/* A port of a router that leads to a machine's, or a forward; of the former host_port is the router's port. */
struct group_forward {
	struct forward_spec spec;
	const struct node *at;
};
/* Words as net.json has them; numbers 0 and texts NULL: what is usual. */
struct group_nat {
	const char *mapping, *filtering;
	bool hairpin, refresh_inbound, preserve_ports, pcp, upnp;
	uint64_t udp, tcp, transitory, icmp, max_flows, max_host_flows;
	struct group_forward *maps;
	size_t nmaps;
};
/* One layer-2 network. */
struct group_zone {
	char *name;
	char *to;	/* where its router leads: "host", another zone, NULL: nowhere */
	char *router;	/* its router's address there, when that is a zone */
	const char *kind; /* of NAT, for people; NULL: none */
	struct group_nat nat;
	char *prefix, *gateway; /* "10.1.2.0/24", "10.1.2.1" */
	uint32_t net;		/* 0x0a010200 */
	unsigned bits;		/* 24 */
	bool v6;		/* IPv6 too; prefix6 is computed or given */
	char *prefix6;		/* "fd..::/64" */
	uint64_t mtu;		/* 0: 1500 */
	const struct node *dhcp, *at; /* in the document; at NULL: implied */
};
struct group_nic {
	size_t zone;
	char *address;	/* "10.1.2.10" */
	char mac[18];
	bool trusted; /* may send with others' addresses: it is a router itself */
	const struct node *at;
};

struct group_node {
	char *name;	/* the key in the file: the machine's name */
	char *id;	/* node_id, a second name; equal to name when not given */
	char *full;	/* GROUP/NODE */
	char *template; /* as written, or NULL */
	char *taken;	/* what the template turned out to be, for people: "image tiny" */
	char *image;	/* croft image */
	char *machine_file; /* when the template is one; else NULL */
	char *cloud_init; /* file of user-data that its template is, when the image understands it */
	char *host;	/* of a real computer, as machine_def has it; else NULL */
	char *ssh_key;
	char *ssh; /* user by whom a virtual one is reached by ssh, or NULL */
	bool has_cpu, has_memory, has_disk; /* the file says so; else the template's or the format's defaults hold */
	uint64_t cpu, memory, disk;
	struct group_nic *nics; /* one at least; none of a real computer */
	size_t nnics;
	const char *address; /* of the first; a real computer's as the file has it */
	char *host_address;
	const char *mac;
	struct strv init, instance; /* commands as written */
	struct map directories;	    /* name -> path (char *) */
	struct strv apps;	    /* apps that this node has */
	struct strv old_apps;	    /* that it had when the group was brought up, and has no longer */
	const struct node *at;	    /* in the document */
	bool gone;		    /* its machine is there, but the file names it no longer */
};
struct group_app {
	char *name;
	char *file; /* apps/APP.json, or the external one */
	char *dir;  /* {{app.dir}} */
};
struct group {
	char *name;
	char *inside;	/* by which its machines know it: the name of the group that it is a fork of, else its own */
	char *file;	/* absolute */
	char *dir;	/* where the file is */
	char *base_dir; /* parent of dev_configs; that of the file when it isn't in one */
	char *record;	/* DATA/groups/NAME */
	const char *prefix, *gateway; /* of the first zone */
	struct group_zone *zones;
	size_t nzones;
	bool kernel;	      /* its network's engine, see net/kernel.h */
	struct group_forward *forwards; /* from the host, and to it */
	size_t nforwards;
	struct group_node *nodes; /* in the file's order; then those that are gone from it */
	size_t nnodes;
	struct map index; /* name or node_id -> index + 1 of what the file names */
	struct group_app *apps;
	size_t napps;
	char *net_extra;      /* members of net.json that say more of links and names: ",\"links\":[...]" */
	struct strv order;    /* instance_order, names of nodes */
	struct strv warnings; /* found while reading; shown by whoever loaded */
	struct vars *vars;    /* facts of nodes, system */
	struct doc *doc;
	struct doc *recorded, *was, *blank; /* group.json; the file as it was brought up; an empty one. NULL: not there */
};

/*
 * Finds and reads a group and checks all of it, commands' variables included: nothing has started when it is wrong. `name` is
 * looked for as dev_configs/NAME.json, src/dev_configs/NAME.json, NAME.json, NAME.yaml, NAME.yml below the working directory (with
 * .yaml and .yml too), then as a path. When nothing is found but the group has a record, the file that it names is taken.
 */
int group_load(const char *name, struct group **ret, struct error **err);
void group_free(struct group *g);
static inline void group_freep(struct group **g)
{
	group_free(*g);
}
#define _cleanup_group_ __attribute__((cleanup(group_freep)))
/* Node by name or node_id; ERR_NOT_FOUND with the nearest name. */
struct group_node *group_node(const struct group *g, const char *name, struct error **err);
/* "2zone_sn" of "x/2zone_sn.json"; new. ERR_USAGE when it is no name. */
char *group_name_of(const char *name, struct error **err);
/* Groups that have a record, and those that files here describe; sorted, each once. */
int group_names(struct strv *ret, struct error **err);
/* The first network and the file of a group's record; NULL: not known. New. */
void group_recorded(const char *name, char **prefix, char **file);
/* Whether the group has a record (was brought up and not cleaned). */
bool group_exists(const char *name);

struct group_up_opts {
	const char *accel;   /* as machine_start */
	bool machines_only;  /* start_vms: existing machines, no commands; a machine that isn't there is an error */
	bool apps;	     /* apps that are not installed, or not started, are */
	const struct strv *only; /* with machines_only: these nodes; NULL: all */
	bool adopt;	     /* the group may have been made from another file */
	bool prune;	     /* machines and apps that the file names no longer are removed */
};
/*
 * Makes and starts what is missing of the group, runs init_commands and instance_commands that have not been run. Safe to be
 * repeated after any interruption: finished commands are not run again, the failed one is. Each failing member is reported as it
 * fails, the rest goes on; then the whole is an error of the first failure's class.
 */
int group_up(struct group *g, const struct group_up_opts *o, struct error **err);
/* What `up` would do, as a JSON list [{"action","node","app","what","when"}], and how many; nothing is changed. Guests that run are asked for apps. */
int group_plan(struct group *g, struct buf *json, size_t *n, struct error **err);
/* JSON, appended: group_info with each node's "apps" (state, health) and what "differs" from the file. */
int group_status(struct group *g, struct buf *json, struct error **err);
/* Stops all members in parallel, then the network. By name: works when the file is gone. */
int group_down(const char *name, int timeout_ms, struct error **err);
/* Removes machines, network, record. Nothing there: success. */
int group_clean(const char *name, struct error **err);
/* JSON, appended: {"name":..,"nodes":[{"name","state","ip_v4":[..],"mac",..}]}. Asks no guest. */
int group_info(const struct group *g, struct buf *json, struct error **err);
/* Shell commands as root on a node, one after the other, streams to ours; the first that fails ends it, its status is *status. */
int group_run(const struct group *g, const char *node, const struct strv *commands, int *status, struct error **err);
char *group_net_dir(const char *name); /* DATA/groups/NAME/net; new */
/* One request to the network process of a group (net/net.h); new string. ERR_STATE when it doesn't run. */
char *group_net_request(const char *name, const char *json, struct error **err);
/* The network directory of a group whose network runs; else ERR_NOT_FOUND, ERR_STATE with what to do. New. */
char *group_net_running(const char *name, struct error **err);
/* Starts the network of a group unless it runs, and has pm watch it. dir: of the network. */
int group_net_start(const char *name, const char *dir, struct error **err);

/*
 * Apps (docs/apps.md). node NULL: all nodes; apps empty or NULL: all apps that they have. Nodes are worked on at the same time; those
 * that fail are reported, the others go on.
 */
struct group_deploy {
	bool update; /* build, source_bin to target_bin, `update`; else build_all on the host, source to target, `install` */
	bool force;  /* builds and pushes all */
	bool delete; /* what the target has and the source has not goes, as if the app's file said so */
};
int group_app_deploy(const struct group *g, const char *node, const struct strv *apps, const struct group_deploy *how, struct error **err);
/* start (waits until each is ready, in the order of `depends`), stop and uninstall (in the opposite order), or any other command. */
int group_app_do(const struct group *g, const char *node, const struct strv *apps, const char *command, struct error **err);
/* "APP.COMMAND" with parameters as $1..., streams to ours; the first status that isn't 0 ends it and is *status. */
int group_app_exec(const struct group *g, const char *what, const char *node, const struct strv *params, int *status, struct error **err);
/*
 * How long all takes from begin to end, in seconds, and how much of it is spent in the apps' own commands (on each path the longest of
 * those that run at the same time), until they are ready included: the rest is croft's.
 */
void group_timing_begin(void);
void group_timing_end(double *all, double *in_commands);
/* JSON list, appended: what was run on the nodes, from their own records. */
int group_app_history(const struct group *g, const char *node, struct buf *json, struct error **err);

/*
 * Pulls the folder that `directories` calls logs of each node (or of one) into DIR/NODE, all at the same time; what was there before
 * is replaced when the new one is whole. Nodes without such a folder are left out.
 */
int group_clog(const struct group *g, const char *node, const char *dir, struct error **err);
/* The last lines of all files of the nodes' logs, "NODE | FILE | LINE" on stdout; follow: and those that come, until interrupted. */
int group_logs(const struct group *g, const char *node, unsigned last, bool follow, struct error **err);
/* All lines of DIR's logs on fd, in the order of their times, the nodes' clock errors (of DIR/NODE.clock) taken out. */
int group_clog_merge(const char *dir, int fd, struct error **err);

/* For other programs, appended: ssh_config(5) whose hosts are reached through croft; an inventory for Ansible (JSON). */
int group_ssh_config(const struct group *g, struct buf *text, struct error **err);
int group_inventory(const struct group *g, struct buf *json, struct error **err);
/* The group as a graph in the DOT language: zones, routers, nodes, apps and what they depend on; and as a picture. */
int group_graph(const struct group *g, struct buf *dot, struct error **err);
int group_graph_svg(const struct group *g, struct buf *svg, struct error **err);

/*
 * Runs a file of test cases (docs/tests.md): each begins from a snapshot of the whole group and a whole network. Returns 0 also when
 * cases fail: look at *failed.
 */
struct group_test_opts {
	const struct strv *only; /* names of cases; NULL or empty: all */
	unsigned repeat;	 /* 0: once */
	uint64_t seed;		 /* of the network's faults; one more at each repetition */
	bool fresh;		 /* setup is run again though its snapshot is there */
	const char *junit;	 /* file for the results as JUnit XML, or NULL */
	const char *logs;	 /* folder for what failed cases leave, or NULL */
	const char *capsules;	 /* folder for a capsule of each failed case, or NULL */
	void (*report)(void *arg, const char *name, bool passed, double seconds, const char *why);
	void *arg;
};
int group_test(const struct group *g, const char *path, const struct group_test_opts *o, size_t *failed, size_t *total, struct error **err);

#endif
