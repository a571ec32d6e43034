/* SPDX-License-Identifier: Apache-2.0 */
/* Settings in the shell's words and key sequences: any bytes. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "conf/shellvars.h"
#include "qemu/keys.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_shellvars_ struct shellvars *v = shellvars_new();
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	_cleanup_keys_ struct keys keys = { 0 };
	struct error *err = NULL;

	shellvars_set(v, "X", "x y");
	if (shellvars_parse(v, "f", (const char *)data, size, &err) == 0 && err)
		abort();
	error_clear(&err);
	shellvars_words(v, "f", (const char *)data, size, &words, &err);
	error_clear(&err);
	keys_parse(&keys, text, size ? keys_layouts[data[0] % 6] : NULL, &err);
	error_clear(&err);
	return 0;
}
