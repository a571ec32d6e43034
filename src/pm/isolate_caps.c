/* SPDX-License-Identifier: Apache-2.0 */
#include "isolate_caps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_VERSION_3 0x20080522 /* two words of 32 bits each */

/* By number, as the kernel's capability.h has them. */
static const char *const names[] = { "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid",
	"setuid", "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
	"ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin",
	"sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write",
	"audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend",
	"audit_read", "perfmon", "bpf", "checkpoint_restore" };
#define NNAMES (sizeof(names) / sizeof(names[0]))

struct cap_header {
	uint32_t version;
	int pid;
};
struct cap_word {
	uint32_t effective, permitted, inheritable;
};

const char *caps_name(unsigned n)
{
	return n < NNAMES ? names[n] : NULL;
}

static int find(const char *s, size_t n)
{
	if (n > 4 && strncasecmp(s, "cap_", 4) == 0) {
		s += 4;
		n -= 4;
	}
	for (size_t i = 0; i < NNAMES; i++)
		if (strlen(names[i]) == n && strncasecmp(names[i], s, n) == 0)
			return (int)i;
	return -1;
}

int caps_parse(const char *text, uint64_t *ret, char *why, size_t size)
{
	int but = *text == '~';
	uint64_t set = 0;

	text += but;
	if (strcmp(text, "all") == 0) {
		*ret = but ? 0 : CAPS_ALL;
		return 0;
	}
	if (strcmp(text, "none") == 0) {
		*ret = but ? CAPS_ALL : 0;
		return 0;
	}
	for (;;) {
		size_t n = strcspn(text, ", ");
		int c = find(text, n);

		if (c < 0) {
			snprintf(why, size, "'%.*s' is no capability (as net_bind_service, or all, none)",
				n > 60 ? 60 : (int)n, text);
			return -1;
		}
		set |= (uint64_t)1 << c;
		text += n;
		if (!*text)
			break;
		text++;
	}
	*ret = but ? ~set : set;
	return 0;
}

int caps_bound(uint64_t keep, uint16_t *which)
{
	/* The kernel may know more than we do: those are dropped too. */
	for (unsigned c = 0; c < 64; c++) {
		int have = prctl(PR_CAPBSET_READ, c, 0, 0, 0);

		*which = (uint16_t)c;
		if (have < 0)
			return errno == EINVAL ? 0 : -1;
		if (have && !(keep >> c & 1) && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
			return -1;
	}
	return 0;
}

int caps_get(uint64_t *permitted)
{
	struct cap_header h = { CAP_VERSION_3, 0 };
	struct cap_word w[2];

	if (syscall(SYS_capget, &h, w) < 0)
		return -1;
	*permitted = w[0].permitted | (uint64_t)w[1].permitted << 32;
	return 0;
}

int caps_set(uint64_t permitted, uint64_t inheritable)
{
	struct cap_header h = { CAP_VERSION_3, 0 };
	struct cap_word w[2];

	for (int i = 0; i < 2; i++) {
		w[i].effective = w[i].permitted = (uint32_t)(permitted >> 32 * i);
		w[i].inheritable = (uint32_t)(inheritable >> 32 * i);
	}
	return (int)syscall(SYS_capset, &h, w);
}

int caps_ambient(uint64_t caps, uint16_t *which)
{
	for (unsigned c = 0; c < 64; c++) {
		*which = (uint16_t)c;
		if ((caps >> c & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) < 0)
			return -1;
	}
	return 0;
}
