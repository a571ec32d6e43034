/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "image/internal.h"
#include "image/sha.h"

int image_hash(struct image *img, struct error **err)
{
	const char *files[] = { img->kernel, img->initrd, img->disk };
	struct sha *s = sha_new();
	char hex[SHA_HEX] = "";
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(files); i++) {
		hex[0] = '\0';
		if (files[i])
			rc = sha_file(files[i], hex, err);
		sha_adds(s, hex);
	}
	sha_adds(s, img->cmdline);
	sha_end(s, hex);
	if (rc == 0) {
		free(img->sha256);
		img->sha256 = xstrdup(hex);
	}
	return rc;
}
