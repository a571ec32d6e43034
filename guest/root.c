/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root that survives: overlayfs, the initramfs below, an ext4 disk above. What the image brings stays
 * replaceable by a newer image; what the machine wrote is on its disk.
 */
#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERIAL "croft-root"
#define DISK "/run/croft/disk"
#define NEW "/run/croft/root"
/* fs/ext4/ext4.h; not in the exported headers */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

static int find_disk(char *dev, size_t size)
{
	DIR *d = opendir("/sys/block");
	char path[320], serial[64];
	struct dirent *ent;
	int r = -1;

	while (d && r < 0 && (ent = readdir(d))) {
		snprintf(path, sizeof(path), "/sys/block/%s/serial", ent->d_name);
		if (ent->d_name[0] == '.' || read_text(path, serial, sizeof(serial)) < 0 ||
			strcmp(serial, SERIAL) != 0)
			continue;
		snprintf(dev, size, "/dev/%s", ent->d_name);
		r = 0;
	}
	if (d)
		closedir(d);
	return r;
}

/* Block size and count from the superblock (Documentation/filesystems/ext4/super.rst). */
static int read_super(int fd, uint64_t *bsize, uint64_t *blocks)
{
	uint8_t sb[1024];

	if (pread(fd, sb, sizeof(sb), 1024) != (ssize_t)sizeof(sb) ||
		frame_get16(sb + 0x38) != 0xef53 || frame_get32(sb + 0x18) > 6)
		return -1;
	*bsize = 1024ull << frame_get32(sb + 0x18);
	*blocks = frame_get32(sb + 4) | (uint64_t)frame_get32(sb + 0x150) << 32;
	return 0;
}

/* The disk may have been made bigger than the file system that the image came with. */
static void grow(const char *dev)
{
	int disk = open(dev, O_RDONLY | O_CLOEXEC), dir = open(DISK, O_RDONLY | O_CLOEXEC);
	uint64_t bsize, have, size, want;

	if (disk >= 0 && dir >= 0 && read_super(disk, &bsize, &have) == 0 &&
		ioctl(disk, BLKGETSIZE64, &size) == 0) {
		want = size / bsize;
		if (want > have && ioctl(dir, EXT4_IOC_RESIZE_FS, &want) < 0)
			say("%s: not grown to %llu blocks: %s", dev, (unsigned long long)want,
				strerror(errno));
	}
	if (disk >= 0)
		close(disk);
	if (dir >= 0)
		close(dir);
}

static char grown[300]; /* the device to grow; "": none */

void root_grow(void)
{
	if (*grown)
		grow(grown);
}

static int move(const char *from)
{
	char to[128];

	snprintf(to, sizeof(to), NEW "%s", from);
	mkdir(to, 0755);
	return mount(from, to, NULL, MS_MOVE, NULL);
}

static int switch_over(void)
{
	if (mount("overlay", NEW, "overlay", 0,
		    "lowerdir=/,upperdir=" DISK "/upper,workdir=" DISK "/work") < 0)
		return -1;
	/* /run carries the disk's and the new root's mount points: it comes last, and takes them along. */
	if (chdir(NEW) < 0 || move("/proc") < 0 || move("/sys") < 0 || move("/dev") < 0)
		return -1;
	/* A mount cannot move below itself: the disk stays reachable by a bind in the new /run. */
	mkdir("run", 0755);
	if (mount("run", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
		return -1;
	mkdir("run/croft", 0755);
	mkdir("run/croft/disk", 0700);
	if (mount(DISK, "run/croft/disk", NULL, MS_BIND, NULL) < 0)
		return -1;
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return -1;
	return 0;
}

int root_switch(void)
{
	char dev[300];

	if (find_disk(dev, sizeof(dev)) < 0)
		return 0;
	mkdir("/run/croft", 0755);
	mkdir(DISK, 0700);
	mkdir(NEW, 0755);
	/* noinit_itable: what was never written reads as zeros here; a kernel thread that writes these zeros takes time and host's disk. */
	if (mount(dev, DISK, "ext4", MS_NOATIME, "noinit_itable") < 0) {
		say("%s: cannot mount: %s; what this boot writes will be lost", dev,
			strerror(errno));
		return -1;
	}
	snprintf(grown, sizeof(grown), "%s", dev);
	mkdir(DISK "/upper", 0755);
	mkdir(DISK "/work", 0700);
	if (switch_over() < 0) {
		say("%s: overlay root: %s; what this boot writes will be lost", dev,
			strerror(errno));
		return -1;
	}
	mkdir("/tmp", 01777);
	chmod("/tmp", 01777);
	return 1;
}
