/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL has a type of the name of our ERR_STATE; it is not used here. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#undef ERR_STATE

#include "image/sha.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void to_hex(EVP_MD_CTX *c, char ret[SHA_HEX])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	EVP_DigestFinal_ex(c, digest, &n);
	for (unsigned i = 0; i < n; i++)
		snprintf(ret + i * 2, 3, "%02x", digest[i]);
}

static EVP_MD_CTX *begin(void)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (!c || !EVP_DigestInit_ex(c, EVP_sha256(), NULL))
		abort(); /* only for want of memory: SHA-256 is always there */
	return c;
}

void sha_bytes(const void *p, size_t n, char ret[SHA_HEX])
{
	EVP_MD_CTX *c = begin();

	EVP_DigestUpdate(c, p, n);
	to_hex(c, ret);
	EVP_MD_CTX_free(c);
}

int sha_file(const char *path, char ret[SHA_HEX], struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *block = xmalloc(1 << 20);
	EVP_MD_CTX *c;
	ssize_t n;

	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	c = begin();
	while ((n = read(fd, block, 1 << 20)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			EVP_DigestUpdate(c, block, (size_t)n);
	if (n < 0)
		error_errno(err, errno, "%s: cannot read", path);
	else
		to_hex(c, ret);
	EVP_MD_CTX_free(c);
	return n < 0 ? -1 : 0;
}

struct sha {
	EVP_MD_CTX *c;
};

struct sha *sha_new(void)
{
	struct sha *s = xmalloc(sizeof(*s));

	s->c = begin();
	return s;
}

void sha_add(struct sha *s, const void *p, size_t n)
{
	uint64_t len = n;

	EVP_DigestUpdate(s->c, &len, sizeof(len));
	EVP_DigestUpdate(s->c, p, n);
}

void sha_adds(struct sha *s, const char *text)
{
	sha_add(s, text ? text : "", text ? strlen(text) : 0);
}

void sha_raw(struct sha *s, const void *p, size_t n)
{
	EVP_DigestUpdate(s->c, p, n);
}

void sha_end(struct sha *s, char ret[SHA_HEX])
{
	to_hex(s->c, ret);
	EVP_MD_CTX_free(s->c);
	free(s);
}
