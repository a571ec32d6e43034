/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel modules of a package: which there are, what each needs (from its own .modinfo section:
 * packages carry no modules.dep, depmod makes it on the installed system), and the indexes that
 * busybox modprobe reads.
 */
#ifndef CROFT_IMAGE_KMOD_H
#define CROFT_IMAGE_KMOD_H

#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/strv.h"
#include "image/initramfs.h"

struct kmod {
	char *name;          /* with '_', as the kernel says it */
	char *path;          /* below lib/modules/RELEASE/ */
	struct strv depends; /* names, incl. those of softdep pre */
	struct strv aliases;
	struct buf data;
};
struct kmods {
	struct map all;     /* name -> struct kmod */
	struct map builtin; /* names that the kernel itself holds */
};
void kmods_init(struct kmods *k);
void kmods_free(struct kmods *k);
/* Takes out what only debuggers and tracers need, and the signature; anything that is no module stays as it is. */
void kmod_strip(struct buf *data);
/* Takes a module's file; path below lib/modules/RELEASE/. The data is taken over (data is empty
 * afterwards). */
int kmods_add(struct kmods *k, const char *path, struct buf *data, struct error **err);
/* Text of modules.builtin. */
void kmods_builtin(struct kmods *k, const char *text);
/* Appends to `order` what must be loaded for `name`, dependencies first, without those that are
 * there already. Unknown: error. */
int kmods_order(struct kmods *k, const char *name, struct strv *order, struct error **err);
/* Puts modules (names) and modules.dep, modules.alias into the initramfs below lib/modules/RELEASE.
 */
void kmods_install(
	struct kmods *k, const struct strv *names, const char *release, struct initramfs *i);

#endif
