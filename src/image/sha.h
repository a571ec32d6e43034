/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 in hex, of bytes and files (OpenSSL EVP). */
#ifndef CROFT_IMAGE_SHA_H
#define CROFT_IMAGE_SHA_H

#include "base/error.h"
#include <stddef.h>

#define SHA_HEX 65 /* with the NUL */

void sha_bytes(const void *p, size_t n, char ret[SHA_HEX]);
int sha_file(const char *path, char ret[SHA_HEX], struct error **err);

/* In pieces. Each piece is preceded by its length, so that ("ab", "c") and ("a", "bc") differ. */
struct sha;
struct sha *sha_new(void);
void sha_add(struct sha *s, const void *p, size_t n);
void sha_adds(struct sha *s, const char *text); /* NULL counts as "" */
/* The bytes alone, as sha256sum takes them. */
void sha_raw(struct sha *s, const void *p, size_t n);
void sha_end(struct sha *s, char ret[SHA_HEX]); /* and frees */

#endif
