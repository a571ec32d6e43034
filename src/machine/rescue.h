/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rescue system beside a machine's disks: another QEMU with the same disks on the same buses and the same firmware, which starts
 * croft's rescue image, or a CD, in place of what is on the disks. Below the machine's DIR, laid out as a machine's folder:
 *
 *	rescue/job.lock		held by the command that works with it
 *	rescue/kept.json	it stays when that command ends; how it was started (struct rescue_opts)
 *	rescue/disk-N.qcow2	what is thrown away at the end, over disks that are not to be written
 *	rescue/log, rescue/run	as of a machine
 *
 * As long as one runs, the machine's own verbs are refused (machine_lock). One whose command was killed is ended by the next command on the
 * machine, unless it was to be kept.
 */
#ifndef CROFT_MACHINE_RESCUE_H
#define CROFT_MACHINE_RESCUE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"
#include "guest/agent.h"
#include "machine/machine.h"
#include <stdbool.h>
#include <stdint.h>

#define RESCUE_IMAGE "rescue"

struct rescue_opts {
	const char *image;    /* NULL: RESCUE_IMAGE */
	const char *iso;      /* a CD instead, that starts by itself and has no guest program of ours; absolute */
	const char *firmware; /* bios, uefi; NULL: the machine's own */
	bool discard;	      /* what is written to disks and firmware variables is thrown away at the end */
	bool keep;	      /* stays when the handle is freed */
	bool any;	      /* a kept one does whatever its firmware, and though it would write, since this user does not */
	bool ssh;	      /* a port of this host leads to its port 22 */
	const char *in, *out, *mirror; /* folders that it can mount by 9p under these tags, out alone for writing; NULL: none */
	const struct machine_share *shares; /* more of them */
	size_t nshares;
	const struct strv *forwards;   /* as machine_forward_parse has them; or NULL */
	unsigned cpus;	      /* 0: the machine's, 2 at most */
	uint64_t memory;      /* 0: 1 GiB, 2 GiB for a CD, which may copy itself there */
	const char *accel;
};

struct rescue;
/*
 * The handle on a machine's rescue system; while it is there no other command works with the machine's disks. ERR_STATE: the machine runs, or
 * another command has them. What an interrupted command has left is ended.
 */
struct rescue *rescue_open(struct machine *m, struct error **err);
/* One that was kept is there. */
bool rescue_runs(const struct rescue *r);
/* Starts it and waits until QEMU runs, or takes the one that was kept; ERR_STATE when that was started otherwise. */
int rescue_start(struct rescue *r, struct machine *m, const struct rescue_opts *o, struct error **err);
/* Waits for its guest program. Not for a CD. */
int rescue_wait(struct rescue *r, struct error **err);
/* Its end as machine.h has it: machine_agent, machine_last_end, machine_console_tail and the like take it. */
struct machine *rescue_machine(struct rescue *r);
unsigned rescue_ssh_port(const struct rescue *r); /* of this host; 0: none */
/* How it ended, once that is noted; NULL: it has not. New. */
char *rescue_last_end(const struct rescue *r);
/* Adds the last lines of its logs to the error. */
void rescue_explain(const struct rescue *r, struct error **err);
/* Ends it in order: switches it off, kills it after timeout_ms. For what does not answer 0. Frees. Removes what was to be thrown away. */
int rescue_end(struct rescue *r, int timeout_ms, struct error **err);
/* Frees the handle; the rescue system goes on when it is to be kept, else it is killed. NULL allowed. */
void rescue_free(struct rescue *r);
static inline void rescue_freep(struct rescue **r)
{
	rescue_free(*r);
}
#define _cleanup_rescue_ __attribute__((cleanup(rescue_freep)))

/* rescuekey.c: the passphrase of the machine's encrypted disks, of that file, or of standard input ("-"; a terminal is asked); a descriptor. */
int rescue_read_key(const struct machine *m, const char *file, struct error **err);
/* To the rescue system, which opens disks with it until `croft-job done`. */
int rescue_give_key(struct agent *a, int key, struct error **err);

/* Ends the one that was kept. 1: there was none. ERR_STATE: a command works with it. */
int rescue_end_kept(struct machine *m, struct error **err);

#endif
