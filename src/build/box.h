/* SPDX-License-Identifier: Apache-2.0 */
/* The machine of a build, and what each builder makes of it. Shared by box.c and start*.c. */
#ifndef CROFT_BUILD_BOX_H
#define CROFT_BUILD_BOX_H

#include "build/build.h"

#define BOX_NAME "build"
#define BOX_QMP_MS 20000

struct box_disk {
	char *base, *format; /* what it lies over; NULL: empty */
	uint64_t size;	     /* bytes; 0: that of base */
};
struct box {
	char *dir, *home; /* folder in the cache; CROFT_HOME of before, NULL: it was not set */
	int lock;
	struct machine_def def;
	struct box_disk *disks; /* the first ones of def, files DIR/disk-N.qcow2 */
	size_t ndisks;
	char *kernel, *initrd, *cmdline; /* started directly: part of the artifact; or NULL */
	struct machine *m;
	const char *no_keep; /* why states of this machine cannot be kept, or NULL */
	bool said;	     /* and that was said */
	bool stopped;	     /* the disks are in the state b->final now */
	bool off;	     /* the guest was shut down by a step, and the next one goes on from the disks */
	struct http *http;   /* served to the guest, or NULL */
	char *builder_id;
	struct tree *tree; /* of rootbox.c; then the machine's fields are unused */
};
extern const struct box_ops box_machine, box_root;

/* The folder in the cache, named by the key of the start: b->vm->dir, which is CROFT_HOME until box_leave(). */
int box_enter(struct build *b, const char first[SHA_HEX], struct error **err);
/* ERR_STATE while another build uses it. */
int box_hold(struct build *b, struct error **err);
/* Frees b->vm and the communicator. */
void box_leave(struct build *b);

/* What the machine is and starts from; adds all of it to the hash. CROFT_HOME is still the user's. */
int start_croft(struct build *b, struct box *v, struct sha *s, struct error **err);
int start_qemu(struct build *b, struct box *v, struct sha *s, struct error **err);
/* After QEMU has started: types boot commands. */
int qemu_type(struct build *b, struct box *v, struct error **err);
/* Before it starts: media, servers, ports. CROFT_HOME is the build's. again: the machine itself is there already. */
int qemu_serve(struct build *b, struct box *v, bool again, struct error **err);

struct box_disk *box_add_disk(struct box *v, const char *base, const char *format, uint64_t size);
/* As templates write sizes: "40960M", "10G"; a bare number is MiB. */
int box_size(const struct conf *c, const char *key, uint64_t *ret, struct error **err);
/* How long to wait for the communicator, ms; -1: for ever. */
int box_patience(const struct build *b);

#endif
