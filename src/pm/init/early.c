/* SPDX-License-Identifier: Apache-2.0 */
#include "pm/init/early.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

void early_mount(const char *type, const char *where, unsigned long flags, const char *options, early_say *say)
{
	mkdir(where, 0755);
	if (mount(type, where, type, flags, options) < 0 && errno != EBUSY && errno != ENODEV)
		say("mount %s: %s", where, strerror(errno));
}

/* The kernel gives no fds when the initramfs has no /dev/console. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3 && fd >= 0; i++)
		if (fd != i)
			dup2(fd, i);
	if (fd > 2)
		close(fd);
}

/* As udev does. */
static void make_links(early_say *say)
{
	static const char *const links[][2] = { { "/proc/self/fd", "/dev/fd" }, { "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" }, { "/proc/self/fd/2", "/dev/stderr" } };

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			say("%s: %s", links[i][1], strerror(errno));
}

void early_mounts(early_say *say)
{
	early_mount("devtmpfs", "/dev", MS_NOSUID, "mode=755", say);
	open_console();
	early_mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, say);
	early_mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, say);
	early_mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755", say);
	early_mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", say);
	early_mount("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", say);
	make_links(say);
}
