/* SPDX-License-Identifier: Apache-2.0 */
/* What the watcher does with processes: starting one, its start time, killing all children. */
#include "pm/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES 32768
#define ARGS_MAX 4096

/*
 * Functions that the child runs on the stack below: it becomes another program without returning, so what a sanitizer
 * notes about their frames would be there for the next child.
 */
#define IN_CHILD __attribute__((no_sanitize("address")))

/* What the child of clone reads and writes: it shares our memory until it has become the program. */
static struct {
	const char *path;
	char **argv, **envp;
	const struct wire *m;
	const int *fds;
	size_t nfds;
	int log_write;
	volatile int error;
	volatile uint64_t start;
} job;
static char stack[STACK_BYTES] __attribute__((aligned(16)));
static char *args[ARGS_MAX + 2];
static struct rlimit old_files;
static char boot[40];

IN_CHILD static char *decimal(char *end, uint64_t v)
{
	do
		*--end = (char)('0' + v % 10);
	while (v /= 10);
	return end;
}

IN_CHILD static long read_file(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return -1;
	n = read(fd, to, size - 1);
	close(fd);
	to[n > 0 ? n : 0] = '\0';
	return n;
}

/* Field 22 of a stat line (proc(5)); the name in brackets may hold anything. */
IN_CHILD static uint64_t start_in(const char *stat)
{
	const char *p = strrchr(stat, ')');

	for (int field = 2; p && field < 22; field++)
		if ((p = strchr(p, ' ')))
			p++;
	return p ? strtoull(p, NULL, 10) : 0;
}

uint64_t watch_start_of(pid_t pid)
{
	char path[32] = "/proc/", text[512], number[16], *end = number + sizeof(number) - 1;

	*end = '\0';
	strcat(path, decimal(end, (uint64_t)pid));
	strcat(path, "/stat");
	return read_file(path, text, sizeof(text)) > 0 ? start_in(text) : 0;
}

int watch_spawn_init(void)
{
	struct rlimit l;

	if (read_file("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) < 36)
		return -1;
	boot[36] = '\0';
	if (getrlimit(RLIMIT_NOFILE, &old_files) < 0)
		return -1;
	l = old_files;
	l.rlim_cur = l.rlim_max; /* one descriptor for each unit's output */
	return setrlimit(RLIMIT_NOFILE, &l);
}

/*
 * In the child: "PID START BOOTID" in jobs/JOB/pid. Written by the process itself, so that there is no instant in which it
 * exists and a pm that was killed cannot find it.
 */
IN_CHILD static void write_pid_file(void)
{
	char text[512], line[96], path[32] = "jobs/", number[24], *end = number + sizeof(number) - 1;
	size_t n;
	int fd;

	if (read_file("/proc/self/stat", text, sizeof(text)) <= 0)
		return;
	job.start = start_in(text);
	*end = '\0';
	strcat(path, decimal(end, job.m->job));
	strcat(path, "/pid");
	n = strcspn(text, " ");
	if (n > 20)
		return;
	memcpy(line, text, n);
	line[n] = '\0';
	strcat(line, " ");
	strcat(line, decimal(end, job.start));
	strcat(line, " ");
	strcat(line, boot);
	strcat(line, "\n");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return; /* full or read-only: the watcher's table still knows it */
	if (write(fd, line, strlen(line)) < 0)
		unlink(path);
	close(fd);
}

/* Standard streams and the descriptors that were sent, each at its number. */
IN_CHILD static int place_fds(void)
{
	static char pipe_path[32];
	int null, log = -1, moved[WIRE_FDS];

	/* First all up out of the way, then down to their numbers. */
	for (size_t i = 0; i < job.nfds; i++)
		if ((moved[i] = fcntl(job.fds[i], F_DUPFD_CLOEXEC, 300)) < 0)
			return -1;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (job.log_write >= 0) {
		char number[16], *end = number + sizeof(number) - 1;

		/* Opened for reading too: a process never gets SIGPIPE because pm is away. */
		*end = '\0';
		strcpy(pipe_path, "/proc/self/fd/");
		strcat(pipe_path, decimal(end, (uint64_t)job.log_write));
		log = open(pipe_path, O_RDWR | O_CLOEXEC);
		if (log < 0)
			log = job.log_write;
	}
	if (null >= 0 && dup2(null, 0) < 0)
		return -1;
	for (int fd = 1; fd <= 2; fd++)
		if (log >= 0 ? dup2(log, fd) < 0 : null >= 0 && dup2(null, fd) < 0)
			return -1;
	for (size_t i = 0; i < job.nfds; i++)
		if (dup2(moved[i], job.m->targets[i]) < 0)
			return -1;
	return 0;
}

IN_CHILD static int child(void *arg)
{
	sigset_t none;

	setsid();
	if (job.m->flags & WIRE_PIDFILE)
		write_pid_file();
	if (place_fds() < 0) {
		job.error = errno;
		_exit(127);
	}
	setrlimit(RLIMIT_NOFILE, &old_files);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	if (chdir("/") < 0) {
		job.error = errno;
		_exit(127);
	}
	execve(job.path, job.argv, job.envp);
	job.error = errno;
	_exit(127);
}

/* strings: path, argv..., env..., each ended by a NUL. */
static int cut(const struct wire *m, char *strings, size_t n)
{
	char *at = strings, *end = strings + n;
	size_t k = 0, want = (size_t)m->argc + m->envc + 1;

	if (want > ARGS_MAX || !m->argc || n == 0 || end[-1])
		return E2BIG;
	job.path = at;
	job.argv = args;
	job.envp = args + m->argc + 1;
	for (size_t i = 0; i < want; i++, at += strlen(at) + 1) {
		if (at >= end)
			return EINVAL;
		if (i == 0)
			continue;
		if (i == (size_t)m->argc + 1)
			args[k++] = NULL;
		args[k++] = at;
	}
	if (!m->envc)
		args[k++] = NULL;
	args[k] = NULL;
	return 0;
}

int watch_spawn(const struct wire *m, char *strings, size_t n, const int *fds, size_t nfds, struct slot *s)
{
	int log[2] = { -1, -1 }, code = cut(m, strings, n);
	pid_t pid;

	if (code)
		return code;
	if ((m->flags & WIRE_LOG) && pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return errno;
	if (log[1] >= 0) /* the program's end blocks as usual */
		fcntl(log[1], F_SETFL, 0);
	job.m = m;
	job.fds = fds;
	job.nfds = nfds;
	job.log_write = log[1];
	job.error = 0;
	job.start = 0;
	pid = clone(child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	code = pid < 0 ? errno : job.error;
	if (log[1] >= 0)
		close(log[1]);
	if (pid > 0 && code) { /* it ended before it was anything */
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	if (pid < 0) {
		if (log[0] >= 0)
			close(log[0]);
		return code;
	}
	s->pid = pid;
	s->start = job.start;
	s->log_fd = log[0];
	return 0;
}

static int kill_listed(const char *list, pid_t but)
{
	int n = 0;

	while (*list) {
		char *end;
		long pid = strtol(list, &end, 10);

		if (end == list)
			break;
		if (pid > 1 && pid != but) {
			kill((pid_t)pid, SIGKILL);
			n++;
		}
		list = end + strspn(end, " \n");
	}
	return n;
}

/* Kernels without CONFIG_PROC_CHILDREN: the parent of every process is looked at. */
static int kill_by_parent(pid_t but)
{
	static char buffer[16384];
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	pid_t me = getpid();
	long got;

	while (fd >= 0 && (got = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < got;) {
			struct dirent *d = (struct dirent *)(void *)(buffer + at);
			char path[300] = "/proc/", text[512], *end;
			long pid = strtol(d->d_name, &end, 10), parent = 0;
			const char *p;

			at += d->d_reclen;
			if (*end || pid <= 1 || pid == but)
				continue;
			strcat(strcat(path, d->d_name), "/stat");
			if (read_file(path, text, sizeof(text)) > 0 && (p = strrchr(text, ')')) && strlen(p) > 4)
				parent = strtol(p + 4, NULL, 10);
			if (parent == me) {
				kill((pid_t)pid, SIGKILL);
				n++;
			}
		}
	}
	if (fd >= 0)
		close(fd);
	return n;
}

int watch_kill_children(pid_t but)
{
	static char list[1 << 16];
	char path[64] = "/proc/self/task/", number[16], *end = number + sizeof(number) - 1;

	*end = '\0';
	strcat(path, decimal(end, (uint64_t)getpid()));
	strcat(path, "/children");
	if (read_file(path, list, sizeof(list)) >= 0)
		return kill_listed(list, but);
	return kill_by_parent(but);
}

extern const char __ehdr_start[];

/*
 * Gives the program's pages back, so that only those come again that the loop uses. The kernel maps a block of pages around
 * each that is touched, but not over the border of a mapping: every second page gets another advice, which makes mappings of
 * one page each.
 */
void watch_slim(void)
{
	const ElfW(Ehdr) *eh = (const void *)__ehdr_start;
	const ElfW(Phdr) *ph = (const void *)(__ehdr_start + eh->e_phoff);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), base = eh->e_type == ET_DYN ? (uintptr_t)__ehdr_start : 0;

	for (int i = 0; i < eh->e_phnum; i++) {
		uintptr_t from = (base + ph[i].p_vaddr) & ~(page - 1), to = base + ph[i].p_vaddr + ph[i].p_memsz;

		if (ph[i].p_type != PT_LOAD || ph[i].p_flags & PF_W)
			continue;
		for (uintptr_t at = from; at < to; at += 2 * page)
			madvise((void *)at, page, MADV_RANDOM);
		madvise((void *)from, to - from, MADV_DONTNEED);
	}
}
