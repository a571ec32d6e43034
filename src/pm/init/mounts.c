/* SPDX-License-Identifier: Apache-2.0 */
#include "early.h"
#include "init.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <unistd.h>

#define MOUNTS_MAX 256

void init_mount_cgroup(void)
{
	if (access("/sys/fs/cgroup/cgroup.procs", F_OK) < 0)
		early_mount("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate", init_say);
}

/* What is mounted already (by the kernel, an initramfs, or the container that we are in) stays: EBUSY. */
void init_mounts(void)
{
	early_mounts(init_say);
	init_mount_cgroup();
}

static void swap_off(void)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[512], path[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%255s", path) == 1 && *path == '/')
			swapoff(path);
	if (f)
		fclose(f);
}

/* \040 and the like back to bytes, in place. */
static void decode(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* One pass, the last mounted first; how many still are there that write to a disk. */
static int pass(char where[][256], int n, bool last)
{
	int left = 0;

	while (n-- > 0) {
		const char *w = where[n];

		/* Needed until the end, and with nothing to lose. */
		if (strcmp(w, "/proc") == 0 || strcmp(w, "/dev") == 0 || strcmp(w, "/sys") == 0 || strcmp(w, "/run") == 0)
			continue;
		if (strcmp(w, "/") != 0 && umount2(w, UMOUNT_NOFOLLOW) == 0)
			continue;
		if (mount(NULL, w, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0 && errno != EINVAL) {
			left++;
			if (last)
				init_say("%s: neither unmounted nor read-only: %s", w, strerror(errno));
		}
	}
	return left;
}

void init_unmount(void)
{
	static char where[MOUNTS_MAX][256];

	sync();
	swap_off();
	/* A second pass: what held a file system may have been mounted on it. */
	for (int turn = 0; turn < 2; turn++) {
		FILE *f = fopen("/proc/mounts", "re");
		char line[1024], type[64];
		int n = 0;

		while (f && n < MOUNTS_MAX && fgets(line, sizeof(line), f))
			if (sscanf(line, "%*s %255s %63s", where[n], type) == 2 && strcmp(type, "cgroup2") != 0 &&
				strcmp(type, "sysfs") != 0 && strcmp(type, "devpts") != 0 && strcmp(type, "rootfs") != 0) {
				decode(where[n]);
				n++;
			}
		if (f)
			fclose(f);
		if (pass(where, n, turn == 1) == 0)
			break;
	}
	sync();
}
