/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The faults of a group's network: which links are not perfect, who can't hear whom. The group file's settings (net.json's
 * "links") are where it begins; commands change them while it runs, and DIR/faults.json keeps what they changed, so that a
 * process that was killed comes back with the same faults. net_stop ends them.
 *
 *	net.json	"seed":7, "links":[{"node":"sn","zone":"lan","in":{"delay":"80ms"},"out":{...}}]	zone absent: in each of its zones
 *	faults.json	{"seed":7,"links":[...],"cuts":[["sn","bob"]]}
 *
 * Directions are the machine's: "out" is what it sends, "in" what it is sent.
 */
#ifndef CROFT_NET_FAULTS_H
#define CROFT_NET_FAULTS_H

#include "net/link.h"
#include "net/zone.h"
#include <jansson.h>

#define FAULT_NODES 1024 /* more can't be cut off from one another */
enum { FAULT_OUT, FAULT_IN };
extern const char *const fault_directions[2];

/* One NIC's link in both directions; also of a machine that is not connected just now. */
struct fault_link {
	char *node, *zone;
	bool there; /* the configuration has such a port */
	struct link_spec base[2], now[2];
};

struct faults {
	struct net *net;
	struct links *links;
	uint64_t seed, base_seed;
	struct fault_link *all;
	size_t n;
	struct strv nodes;			       /* a node's id is its place here + 1 */
	uint64_t (*cuts)[FAULT_NODES / 64 + 1];	       /* by id: bits of ids that can't be heard */
	size_t ncuts;				       /* rows */
	bool loaded;
};

struct faults *faults_new(struct net *n);
void faults_free(struct faults *f);
/* Reads net.json's part (and DIR/faults.json the first time) and puts it onto the net's ports. */
int faults_load(struct faults *f, const json_t *root, struct error **err);
/* Before a port is freed. */
void faults_port_gone(struct port *p);
/* Frames from `from` (a node's id, 0: of the group's own services) don't reach the port. */
static inline bool faults_cut(const struct port *p, uint32_t from)
{
	return p->cut && (p->cut[from / 64] >> from % 64 & 1);
}

/* faultstate.c: all that commands changed, as JSON (new reference), and back. */
json_t *faults_state(const struct faults *f);
json_t *faults_cuts(const struct faults *f); /* [["bob","sn"],...] */
int faults_restore(struct faults *f, const json_t *state, struct error **err);
int faults_save(const struct faults *f, struct error **err);
int faults_read_spec(const json_t *j, struct link_spec *spec, struct error **err);
json_t *faults_spec_json(const struct link_spec *spec);

/* Puts the settings onto the ports. */
void faults_apply(struct faults *f);
/* Its port; NULL: it is not there. */
const struct port *faults_port(const struct faults *f, const struct fault_link *l);
struct fault_link *faults_find(struct faults *f, const char *node, const char *zone);
/* The node of that name or one that DNS knows it by; ERR_NOT_FOUND with the nearest. */
const char *faults_node_named(const struct faults *f, const char *name, struct error **err);
uint32_t faults_node_id(struct faults *f, const char *node); /* 0: too many */
void faults_set_cut(struct faults *f, uint32_t a, uint32_t b, bool cut);
bool faults_is_cut(const struct faults *f, uint32_t a, uint32_t b);
void faults_reseed(struct faults *f, uint64_t seed);

/* faultops.c: a request of the control socket; NULL without an error when it is none of ours. */
json_t *faults_op(struct faults *f, const char *op, const json_t *request, struct error **err);
/* Adds to a port's status: "in", "out" and their counters. */
void faults_port_status(const struct port *p, json_t *status);

#endif
