/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources that the kernel tells about by itself: mounts (a poll of /proc/self/mountinfo, proc_pid_mountinfo(5)) and network
 * links (RTMGRP_LINK, rtnetlink(7)). Who takes one away behind our back is seen without a `check` and without a clock. Nothing is
 * open before the first such unit runs.
 */
#include "base/cleanup.h"
#include "pm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/stat.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_STATX_DONT_SYNC
#define AT_STATX_DONT_SYNC 0x4000
#endif

static int mounts_fd = -1, links_fd = -1;
static bool look; /* something has changed, or a unit has come to be watched */

static bool has_mount(const struct unit *u)
{
	/* What is mounted in a place of its own is not in our table. */
	return u->type == UNIT_MOUNT && params_get(&u->params, "mount") && !params_get(&u->params, "root") &&
		!params_get(&u->params, "namespaces");
}

static void open_mounts(void)
{
	mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (mounts_fd < 0 || machine_watch_fd(mounts_fd, EPOLLPRI, SEEN_MOUNTS, 0) < 0)
		log_line("/proc/self/mountinfo: %s; only checks tell of mounts that went away", strerror(errno));
}

static void open_links(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };

	links_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (links_fd < 0 || bind(links_fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		machine_watch_fd(links_fd, EPOLLIN, SEEN_LINKS, 0) < 0)
		log_line("rtnetlink: %s; only checks tell of links that went away", strerror(errno));
}

void kernel_watch(const struct unit *u)
{
	bool mount = has_mount(u), link = params_get(&u->params, "link");

	if (mount && mounts_fd < 0)
		open_mounts();
	if (link && links_fd < 0)
		open_links();
	look |= mount || link;
}

void kernel_changed(void)
{
	char bytes[8192];

	/* What the messages say does not matter, nor whether some were lost. */
	while (links_fd >= 0 && (recv(links_fd, bytes, sizeof(bytes), 0) > 0 || errno == ENOBUFS))
		;
	look = true;
}

bool kernel_pending(void)
{
	return look;
}

/* Is there nothing mounted on path any more? Where the kernel cannot tell (before Linux 5.8) it is taken to be there. */
static bool unmounted(const char *path)
{
	struct statx st;

	if (syscall(SYS_statx, AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR;
	return (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) && !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool is_gone(const struct unit *u, char why[160])
{
	_cleanup_strv_ struct strv mount = STRV_INIT, links = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;

	if (has_mount(u) && params_words(&u->params, "mount", &mount, &e) == 0 && mount.len > 1 && unmounted(mount.v[1])) {
		snprintf(why, 160, "nothing is mounted on %.120s any more", mount.v[1]);
		return true;
	}
	if (params_words(&u->params, "link", &links, &e) < 0)
		return false;
	for (size_t i = 0; i < links.len; i++) {
		if (!if_nametoindex(links.v[i]) && errno == ENODEV) {
			snprintf(why, 160, "there is no link %.120s", links.v[i]);
			return true;
		}
	}
	return false;
}

void kernel_look(void)
{
	char why[160];

	if (!look)
		return;
	look = false;
	for (uint32_t i = 0; i < machine.core.nunits; i++) {
		struct unit *u = machine.core.units[i];

		if (u && u->state == PM_RUNNING && !u->pid && is_gone(u, why))
			core_event(&machine.core, u, PM_EV_GONE, why);
	}
}
