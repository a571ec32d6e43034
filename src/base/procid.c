/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int boot_id(char ret[40], struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_read("/proc/sys/kernel/random/boot_id", 64, &b, err) < 0)
		return -1;
	snprintf(ret, 40, "%.*s", (int)strcspn(b.data, "\n"), b.data);
	return 0;
}

/* State letter and start time from /proc/PID/stat (proc(5)); the name in brackets may hold anything. */
static int read_stat(pid_t pid, char *state, uint64_t *start, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char path[40];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, 4096, &b, err) < 0)
		return -1;
	p = strrchr(b.data, ')');
	if (!p || sscanf(p, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
			  state, start) != 2)
		return error_set(err, ERR_FAILED, "%s: not in the form that proc(5) describes", path);
	return 0;
}

int proc_id_of(pid_t pid, struct proc_id *id, struct error **err)
{
	char state;

	*id = (struct proc_id){ .pid = pid };
	if (read_stat(pid, &state, &id->start, err) < 0)
		return -1;
	return boot_id(id->boot, err);
}

bool proc_id_alive(const struct proc_id *id)
{
	_cleanup_error_ struct error *e = NULL;
	char state, boot[40];
	uint64_t start;

	if (id->pid <= 0 || boot_id(boot, &e) < 0 || strcmp(boot, id->boot))
		return false;
	return read_stat(id->pid, &state, &start, &e) == 0 && start == id->start && state != 'Z' && state != 'X';
}

int proc_id_write(const char *path, const struct proc_id *id, struct error **err)
{
	return file_writef(path, 0600, err, "%d %" PRIu64 " %s\n", (int)id->pid, id->start, id->boot);
}

int proc_id_read(const char *path, struct proc_id *id, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int pid;

	*id = (struct proc_id){ 0 };
	if (file_read(path, 256, &b, err) < 0)
		return -1;
	if (sscanf(b.data, "%d %" SCNu64 " %39s", &pid, &id->start, id->boot) != 3 || pid <= 0)
		return error_set(err, ERR_FAILED, "%s: not a pid file of croft", path);
	id->pid = pid;
	return 0;
}

int proc_id_open(const struct proc_id *id)
{
	int fd = (int)syscall(SYS_pidfd_open, id->pid, 0);

	/* Checked after the open: from here on the fd stands for this process and no other. */
	if (fd >= 0 && !proc_id_alive(id)) {
		close(fd);
		return -1;
	}
	return fd;
}
