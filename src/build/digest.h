/* SPDX-License-Identifier: Apache-2.0 */
/* Digests by name (OpenSSL EVP), and checksums of downloads as templates write them. */
#ifndef CROFT_BUILD_DIGEST_H
#define CROFT_BUILD_DIGEST_H

#include "base/error.h"
#include <stdbool.h>

#define DIGEST_HEX 129

bool digest_known(const char *name); /* md5 sha1 sha224 sha256 sha384 sha512 */
int digest_file(const char *name, const char *path, char ret[DIGEST_HEX], struct error **err);
/* The digest whose hex has that many characters, or NULL. */
const char *digest_by_length(unsigned long n);

#endif
