/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of image/ alone. */
#ifndef CROFT_IMAGE_INTERNAL_H
#define CROFT_IMAGE_INTERNAL_H

#include "base/error.h"
#include "image/image.h"
#include "image/initramfs.h"
#include <stdbool.h>

/*
 * A new image is made in a folder of its own beside the others and renamed into its place when it
 * is whole. Begin takes the lock of all images (*lock is the fd) and removes what killed makers
 * left. dir: new string.
 */
char *image_begin(const char *name, int *lock, struct error **err);
/*
 * Writes image.json from img (paths in it are below dir; key: hash of the inputs or NULL), then
 * puts dir in its place. An older image of the name is replaced; machines' overlays of it would
 * break, so that is refused as in image_remove.
 */
int image_commit(const char *dir, struct image *img, const char *key, struct error **err);
void image_abort(const char *dir);
/* The key that an existing image was made with, or NULL; new. */
char *image_key(const char *name);
/* Notes that the image is what would be made from that index too. */
int image_set_index(const char *name, const char *index, struct error **err);
/* SHA-256 over all files of the image, in a fixed order. */
int image_hash(struct image *img, struct error **err);
/* ERR_STATE with the machines' names when some disk lies over the image. */
int image_unused(const char *name, struct error **err);
/* Puts busybox's applets into the initramfs as links. */
void busybox_links(struct initramfs *i);
/* x86_64 -> amd64; NULL when croft has no tiny guest for it. */
struct arch {
	const char *name, *debian, *kernel_package, *libdir, *loader, *console;
};
const struct arch *arch_find(const char *name);

/* What a system of tiny's kind has besides. */
struct small_kind {
	const char *os;
	const char *const *packages, *const *skip; /* whole packages with what they need, but for `skip` */
	const char *const *modules;		   /* for modprobe */
	const char *overlay;			   /* folder of files beside croft-guest */
	bool disk;				   /* has one that makes changes last */
	bool efi;				   /* has the kernel with its EFI stub too, vmlinuz in its folder */
};
int image_make_small(const struct image_tiny_opts *o, const struct small_kind *kind, bool *made, struct error **err);

#endif
