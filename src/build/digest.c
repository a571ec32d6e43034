/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL has a type of the name of our ERR_STATE; it is not used here. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#undef ERR_STATE

#include "build/digest.h"

#include "base/cleanup.h"
#include "base/intr.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned long hex;
	const EVP_MD *(*md)(void);
} table[] = { { "md5", 32, EVP_md5 }, { "sha1", 40, EVP_sha1 }, { "sha224", 56, EVP_sha224 }, { "sha256", 64, EVP_sha256 },
	{ "sha384", 96, EVP_sha384 }, { "sha512", 128, EVP_sha512 } };

static const EVP_MD *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(table[i].name, name))
			return table[i].md();
	return NULL;
}

bool digest_known(const char *name)
{
	return find(name) != NULL;
}

const char *digest_by_length(unsigned long n)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].hex == n)
			return table[i].name;
	return NULL;
}

int digest_file(const char *name, const char *path, char ret[DIGEST_HEX], struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *block = xmalloc(1 << 20);
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *c;
	unsigned len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	c = EVP_MD_CTX_new();
	if (!c || !EVP_DigestInit_ex(c, find(name), NULL)) {
		EVP_MD_CTX_free(c);
		return error_set(err, ERR_FAILED, "%s: OpenSSL does not let it be used here", name);
	}
	while (!intr_signal && ((n = read(fd, block, 1 << 20)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			EVP_DigestUpdate(c, block, (size_t)n);
	EVP_DigestFinal_ex(c, digest, &len);
	EVP_MD_CTX_free(c);
	if (intr_check(err) < 0)
		return -1;
	if (n < 0)
		return error_errno(err, errno, "%s: cannot read", path);
	for (unsigned i = 0; i < len; i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
	return 0;
}
