/* SPDX-License-Identifier: Apache-2.0 */
/* A file in memory with the input in it. */
#ifndef CROFT_TESTS_FUZZ_STORE_SCRATCH_H
#define CROFT_TESTS_FUZZ_STORE_SCRATCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* The fd; its path into path. */
static inline int scratch(const void *p, size_t n, char path[64])
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, p, n, 0) != (ssize_t)n)
		abort();
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}

#endif
