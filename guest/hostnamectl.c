/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-in for hostnamectl in the tiny guest: status, hostname [NAME], set-hostname NAME. A program of its own would cost more. */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int set_hostname(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

	if (!*name || strlen(name) > 63 || name[strspn(name, allowed)]) {
		fprintf(stderr, "hostnamectl: bad host name '%s'\n", name);
		return 1;
	}
	if (net_set_hostname(name) < 0) {
		fprintf(stderr, "hostnamectl: host name %s: %s\n", name, strerror(errno));
		return 1;
	}
	return 0;
}

static int status(void)
{
	char name[128] = "", boot[64] = "", *end;
	struct utsname u;
	int skip = 0;

	uname(&u);
	if (read_text("/etc/hostname", name, sizeof(name)) < 0)
		snprintf(name, sizeof(name), "%s", u.nodename);
	read_text("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	for (end = boot; *end; end++) {
		if (*end == '-' || *end == '\n')
			skip++;
		else
			end[-skip] = *end;
	}
	end[-skip] = '\0';
	name[strcspn(name, "\n")] = '\0';
	printf(" Static hostname: %s\n         Boot ID: %s\nOperating System: croft tiny\n          Kernel: %s %s\n    Architecture: %s\n",
		name, boot, u.sysname, u.release, u.machine);
	return 0;
}

int hostnamectl_main(int argc, char **argv)
{
	struct utsname u;
	int i = 1;

	/* The program is set-user-id for sudo's sake. */
	if (setresuid(getuid(), getuid(), getuid()) < 0)
		return 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--static") != 0 && strcmp(argv[i], "--transient") != 0 && strcmp(argv[i], "--pretty") != 0 &&
			strcmp(argv[i], "--no-ask-password") != 0) {
			fprintf(stderr, "hostnamectl: unknown option %s\n", argv[i]);
			return 1;
		}
	}
	if (i == argc || strcmp(argv[i], "status") == 0)
		return status();
	if (strcmp(argv[i], "set-hostname") == 0 || (strcmp(argv[i], "hostname") == 0 && i + 1 < argc))
		return set_hostname(i + 1 < argc ? argv[i + 1] : "");
	if (strcmp(argv[i], "hostname") == 0) {
		uname(&u);
		return puts(u.nodename) < 0;
	}
	fprintf(stderr, "hostnamectl: unknown verb %s\n", argv[i]);
	return 1;
}
