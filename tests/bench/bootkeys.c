/* SPDX-License-Identifier: Apache-2.0 */
/* bootkeys TEXT: the key events of a boot_command, as packer_fake_qemu.py writes those that Packer sends. */
#include "base/cleanup.h"
#include "build/boot.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	_cleanup_boot_ struct boot b = { 0 };
	_cleanup_error_ struct error *e = NULL;

	if (argc != 2 || boot_parse(&b, argv[1], &e) < 0) {
		fprintf(stderr, "bootkeys: %s\n", e ? e->msg : "one text is wanted");
		return e ? (int)e->cls : 2;
	}
	for (size_t i = 0; i < b.len; i++)
		if (b.v[i].kind == BOOT_DOWN || b.v[i].kind == BOOT_UP)
			printf("%c%x\n", b.v[i].kind == BOOT_DOWN ? '+' : '-', b.v[i].symbol);
	return 0;
}
