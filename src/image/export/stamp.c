/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/stamp.h"
#include "image/export/job.h"
#include "image/sha.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* VDI (VirtualBox VDICore.h, header 1.1): the disk's own UUID, and that of its last change. */
#define VDI_UUID 0x188
#define VDI_UUID_CHANGE 0x198
/* VHD (Virtual Hard Disk Image Format Specification): the footer; a dynamic disk has a copy of it at the front. */
#define VHD_SIZE 512
#define VHD_TIME 24
#define VHD_CHECKSUM 64
#define VHD_UUID 68
#define VHD_TYPE 60
#define VHD_YEAR_2000 946684800

static int load(int fd, const char *what, void *p, size_t n, off_t at, struct error **err)
{
	ssize_t got = pread(fd, p, n, at);

	return got == (ssize_t)n ? 0 : error_errno(err, got < 0 ? errno : EIO, "%s: cannot read what qemu-img wrote", what);
}

static int save(int fd, const char *what, const void *p, size_t n, off_t at, struct error **err)
{
	ssize_t done = pwrite(fd, p, n, at);

	return done == (ssize_t)n ? 0 : error_errno(err, done < 0 ? errno : ENOSPC, "%s: cannot write", what);
}

/* A version 8 UUID (RFC 9562) of the name and a word. */
static void identity(const char *name, const char *word, uint8_t id[16])
{
	char seed[512], hex[SHA_HEX];

	snprintf(seed, sizeof(seed), "%s %s", word, name);
	sha_bytes(seed, strlen(seed), hex);
	for (int i = 0; i < 16; i++) {
		char two[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		id[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x80);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

int stamp_vdi(int fd, const char *what, const char *name, struct error **err)
{
	uint8_t id[16];

	identity(name, "vdi", id);
	if (save(fd, what, id, 16, VDI_UUID, err) < 0)
		return -1;
	identity(name, "vdi change", id);
	return save(fd, what, id, 16, VDI_UUID_CHANGE, err);
}

int stamp_vhd(int fd, const char *what, const char *name, struct error **err)
{
	uint8_t f[VHD_SIZE];
	struct stat st;
	uint32_t v, sum = 0;

	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s", what);
	if (load(fd, what, f, sizeof(f), st.st_size - VHD_SIZE, err) < 0)
		return -1;
	if (memcmp(f, "conectix", 8))
		return error_set(err, ERR_FAILED, "%s: qemu-img wrote no VHD footer", what);
	v = htobe32((uint32_t)(export_epoch() > VHD_YEAR_2000 ? export_epoch() - VHD_YEAR_2000 : 0));
	memcpy(f + VHD_TIME, &v, 4);
	identity(name, "vhd", f + VHD_UUID);
	memset(f + VHD_CHECKSUM, 0, 4);
	for (int i = 0; i < VHD_SIZE; i++)
		sum += f[i];
	v = htobe32(~sum);
	memcpy(f + VHD_CHECKSUM, &v, 4);
	if (save(fd, what, f, sizeof(f), st.st_size - VHD_SIZE, err) < 0)
		return -1;
	memcpy(&v, f + VHD_TYPE, 4);
	return be32toh(v) == 3 ? save(fd, what, f, sizeof(f), 0, err) : 0;
}
