/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that is to be typed on a machine's keyboard, as Packer's boot_command has it, into key events for QEMU's
 * input-send-event. `croft vm type` and the building of images use it.
 *
 *	hello		the characters, by the keys that make them on the given keyboard layout
 *	<enter>		a key by name: see keys_names; upper and lower case are the same
 *	<leftCtrlOn>	holds a key down, <leftCtrlOff> lets it go; any key's name or single character may stand before On and Off
 *	<wait>		one second; <wait5> five; <wait1m30s> <wait250ms> by units
 *	<lt>		the character <; a < that no name and > follow is typed as it is
 */
#ifndef CROFT_QEMU_KEYS_H
#define CROFT_QEMU_KEYS_H

#include "base/error.h"
#include <stddef.h>

enum key_kind { KEY_DOWN, KEY_UP, KEY_WAIT };
struct key_event {
	enum key_kind kind;
	const char *code; /* QEMU's QKeyCode, static; NULL for KEY_WAIT */
	unsigned ms;	  /* KEY_WAIT */
};
struct keys {
	struct key_event *v;
	size_t len, cap;
};
#define _cleanup_keys_ __attribute__((cleanup(keys_clear)))

void keys_clear(struct keys *k);
/*
 * layout: that of the keyboard which the guest believes in (keys_layouts), NULL: us. Keys still held at the end are let go.
 * ERR_USAGE names the place in the text: an unknown key, a character that the layout has no key for, text that is not UTF-8.
 */
int keys_parse(struct keys *ret, const char *text, const char *layout, struct error **err);
/* The layout's name as QEMU's -k takes it, NULL when not known. */
const char *keys_layout_qemu(const char *layout);

extern const char *const keys_names[];	 /* NULL-terminated, as documented */
extern const char *const keys_layouts[]; /* NULL-terminated */

#endif
