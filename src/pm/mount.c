/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pm .mount` and `pm .umount`: what units of type mount execute, with the words of their key `mount`:
 *	SOURCE TARGET			bind
 *	tmpfs TARGET
 *	overlay TARGET LOWER[:LOWER...] [UPPER WORK]	without UPPER read-only
 *	image TARGET FILE [TYPE] [ro]	a file system in a file, by a loop device that goes with the mount
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "pm/pm_main.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOP_TRIES 16

static int overlay(char *const *words, int n, struct error **err)
{
	_cleanup_free_ char *options = NULL;

	if (n == 2)
		options = xasprintf("lowerdir=%s", words[1]);
	else if (n == 4)
		options = xasprintf("lowerdir=%s,upperdir=%s,workdir=%s", words[1], words[2], words[3]);
	else
		return error_set(err, ERR_USAGE, "overlay: TARGET LOWER[:LOWER...] [UPPER WORK] is what it takes");
	for (int i = 2; i < n; i++)
		if (file_mkdirs(words[i], 0755, err) < 0)
			return -1;
	if (mount("overlay", words[0], "overlay", n == 2 ? MS_RDONLY : 0, options) == 0)
		return 0;
	return error_errno(err, errno, "overlay on %s", words[0]);
}

/* The descriptor of a loop device for the file, which the kernel takes away again when nobody uses it. */
static int loop_of(int file, bool ro, char name[32], struct error **err)
{
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return error_errno(err, errno, "/dev/loop-control: no loop devices here");
	/* Another one may take the free one first. */
	for (int i = 0; i < LOOP_TRIES; i++) {
		struct loop_info64 info = { .lo_flags = LO_FLAGS_AUTOCLEAR | (ro ? LO_FLAGS_READ_ONLY : 0) };
		int n = ioctl(control, LOOP_CTL_GET_FREE), fd;

		if (n < 0)
			return error_errno(err, errno, "/dev/loop-control");
		snprintf(name, 32, "/dev/loop%d", n);
		fd = open(name, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (fd < 0)
			return error_errno(err, errno, "%s", name);
		if (ioctl(fd, LOOP_SET_FD, file) == 0) {
			if (ioctl(fd, LOOP_SET_STATUS64, &info) == 0)
				return fd;
			ioctl(fd, LOOP_CLR_FD);
			close(fd);
			return error_errno(err, errno, "%s", name);
		}
		close(fd);
		if (errno != EBUSY)
			return error_errno(err, errno, "%s", name);
	}
	return error_set(err, ERR_FAILED, "all loop devices are taken by others as soon as they are free");
}

/* Of the types that the kernel knows the one that finds itself in there. */
static int mount_any(const char *device, const char *to, const char *type, unsigned long flags)
{
	_cleanup_fclose_ FILE *f = type ? NULL : fopen("/proc/filesystems", "re");
	char line[128], name[100];
	int code = ENODEV;

	if (type)
		return mount(device, to, type, flags, NULL);
	while (f && fgets(line, sizeof(line), f)) {
		if (line[0] != '\t' || sscanf(line, " %99s", name) != 1) /* nodev */
			continue;
		if (mount(device, to, name, flags, NULL) == 0)
			return 0;
		if (errno != EINVAL)
			code = errno;
	}
	errno = code == ENODEV ? EINVAL : code;
	return -1;
}

static int image(char *const *words, int n, struct error **err)
{
	bool ro = n > 2 && !strcmp(words[n - 1], "ro");
	const char *type = n - ro > 2 ? words[2] : NULL;
	_cleanup_close_ int file = -1, loop = -1;
	char device[32];

	if (n < 2 || n - ro > 3)
		return error_set(err, ERR_USAGE, "image: TARGET FILE [TYPE] [ro] is what it takes");
	file = open(words[1], (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (file < 0)
		return error_errno(err, errno, "%s", words[1]);
	loop = loop_of(file, ro, device, err);
	if (loop < 0)
		return -1;
	if (mount_any(device, words[0], type, ro ? MS_RDONLY : 0) == 0)
		return 0;
	if (errno == EINVAL)
		return error_set(err, ERR_FAILED, "%s: not a file system %s%s", words[1],
			type ? "of type " : "that this kernel knows (are its modules loaded?)", type ? type : "");
	return error_errno(err, errno, "mount %s on %s", words[1], words[0]);
}

/* Where something is mounted is made: a folder, or a file for one that is bound there. */
static int make_target(char *const *words, int n, struct error **err)
{
	struct stat st;
	int fd;

	if (stat(words[1], &st) == 0)
		return 0;
	if (n != 2 || stat(words[0], &st) < 0 || S_ISDIR(st.st_mode))
		return file_mkdirs(words[1], 0755, err);
	fd = open(words[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, errno, "%s", words[1]);
	close(fd);
	return 0;
}

static int do_mount(char *const *words, int n, struct error **err)
{
	if (n < 2)
		return error_set(err, ERR_USAGE, "two words are needed at least: SOURCE TARGET, or tmpfs, overlay, image and the TARGET");
	if (make_target(words, n, err) < 0)
		return -1;
	if (!strcmp(words[0], "overlay"))
		return overlay(words + 1, n - 1, err);
	if (!strcmp(words[0], "image"))
		return image(words + 1, n - 1, err);
	if (n != 2)
		return error_set(err, ERR_USAGE, "'%s' is one word too many", words[2]);
	if (!strcmp(words[0], "tmpfs") ? mount("tmpfs", words[1], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") :
					 mount(words[0], words[1], NULL, MS_BIND | MS_REC, NULL))
		return error_errno(err, errno, "%s on %s", words[0], words[1]);
	return 0;
}

int mount_main(int argc, char **argv)
{
	_cleanup_error_ struct error *e = NULL;

	if (do_mount(argv + 2, argc - 2, &e) == 0)
		return 0;
	fprintf(stderr, "pm: mount: %s\n", e->msg);
	return e->cls == ERR_USAGE ? 2 : 1;
}

int umount_main(int argc, char **argv)
{
	if (argc >= 4 && umount2(argv[3], UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (argc >= 4 && errno == EBUSY && umount2(argv[3], UMOUNT_NOFOLLOW | MNT_DETACH) == 0) {
		fprintf(stderr, "pm: %s: still used by somebody; it goes away when they leave\n", argv[3]);
		return 0;
	}
	fprintf(stderr, "pm: umount %s: %s\n", argc >= 4 ? argv[3] : "", strerror(errno));
	return 1;
}
