/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-in for nohup in the tiny guest (busybox of Debian has none): COMMAND goes on when its terminal goes away. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int nohup_main(int argc, char **argv)
{
	int fd;

	/* The program is set-user-id for sudo's sake. */
	if (setresuid(getuid(), getuid(), getuid()) < 0)
		return 125;
	if (argc > 1 && strcmp(argv[1], "--") == 0) {
		argv++;
		argc--;
	}
	if (argc < 2) {
		fputs("usage: nohup COMMAND [ARG]...\n", stderr);
		return 125;
	}
	signal(SIGHUP, SIG_IGN);
	if (isatty(0) && (fd = open("/dev/null", O_WRONLY)) >= 0 && fd != 0) {
		dup2(fd, 0);
		close(fd);
	}
	if (isatty(1)) {
		fd = open("nohup.out", O_WRONLY | O_CREAT | O_APPEND, 0600);
		if (fd < 0) {
			fprintf(stderr, "nohup: nohup.out: %s\n", strerror(errno));
			return 125;
		}
		dup2(fd, 1);
		close(fd);
	}
	if (isatty(2))
		dup2(1, 2);
	execvp(argv[1], argv + 1);
	fprintf(stderr, "nohup: %s: %s\n", argv[1], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
