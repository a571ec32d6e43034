/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_command: what is typed while a machine starts. Packer's grammar (packer-plugin-sdk, bootcommand), quirks included: `wait` in
 * small letters only, <wait0> is a second, an unknown <name> and a lone < are typed as they are; and croft's own <wait "text"> and
 * <wait serial "text" 30s>, which wait until the serial console has shown it.
 */
#ifndef CROFT_BUILD_BOOT_H
#define CROFT_BUILD_BOOT_H

#include "build/schema.h"

enum boot_kind { BOOT_DOWN, BOOT_UP, BOOT_WAIT, BOOT_EXPECT };
struct boot_event {
	enum boot_kind kind;
	const char *code; /* QEMU's QKeyCode, static */
	uint32_t symbol;  /* X keysym, as a VNC client would send it */
	int64_t ns;	  /* WAIT; EXPECT: patience, 0: none given */
	char *text;	  /* EXPECT: a regular expression (POSIX extended) */
};
struct boot {
	struct boot_event *v;
	size_t len, cap;
};
void boot_clear(struct boot *b);
#define _cleanup_boot_ __attribute__((cleanup(boot_clear)))
/* ERR_USAGE names the character. */
int boot_parse(struct boot *ret, const char *text, struct error **err);
/* The builder's boot_command or boot_steps parse. */
int boot_check(const struct conf *c, struct error **err);
/* All of it with these fields, joined; steps of boot_steps are parted by nothing. New. */
int boot_text(const struct conf *c, const struct funcs *f, const struct map *fields, char **ret, struct error **err);

#endif
