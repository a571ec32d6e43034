/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the child. Order: what needs the privileges of outside first (cgroup, priorities, streams), then the namespaces, the user
 * namespace before the others so that it owns them, then the root, and the identity last, because it takes away the right to do
 * the rest. Nothing here allocates, takes a lock or touches stdio. Each function sets *f and returns -1.
 */
#include "isolate.h"
#include "isolate_caps.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES 4096

static int failed(struct isolate_failure *f, enum isolate_step step, unsigned which)
{
	*f = (struct isolate_failure){ (uint16_t)step, (uint16_t)which, errno };
	return -1;
}

/* Never malloc's or stdio's business: fork without the library's handlers. */
static pid_t plain_fork(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int write_file(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC), code;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	code = errno;
	close(fd);
	errno = code;
	return n < 0 ? -1 : 0;
}

static int priorities(const struct isolate_plan *p, struct isolate_failure *f)
{
	char text[12], *at = text + sizeof(text) - 1;
	unsigned n = (unsigned)(p->oom < 0 ? -p->oom : p->oom);

	if (p->cgroup_fd >= 0 && write(p->cgroup_fd, "0", 1) < 0)
		return failed(f, ISOLATE_CGROUP, 0);
	if (p->has_oom) {
		*at = '\0';
		do
			*--at = (char)('0' + n % 10);
		while (n /= 10);
		if (p->oom < 0)
			*--at = '-';
		if (write_file(AT_FDCWD, "/proc/self/oom_score_adj", at) < 0)
			return failed(f, ISOLATE_OOM, 0);
	}
	if (p->has_nice && setpriority(PRIO_PROCESS, 0, p->nice) < 0)
		return failed(f, ISOLATE_NICE, 0);
	if (p->has_ionice && syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, p->ionice) < 0)
		return failed(f, ISOLATE_IONICE, 0);
	return 0;
}

static int set_limits(const struct isolate_plan *p, struct isolate_failure *f)
{
	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		if ((p->limits >> i & 1) && setrlimit((int)i, &p->limit[i]) < 0)
			return failed(f, ISOLATE_LIMIT, i);
	return 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd, code;

	if (n >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

/* A FIFO without its other end is an error, not a hang; the stream itself blocks as usual. */
static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	int now = fd < 0 ? -1 : fcntl(fd, F_GETFL);

	if (now >= 0 && fcntl(fd, F_SETFL, now & ~O_NONBLOCK) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int open_terminal(const char *path)
{
	int fd = open_file(path ? path : "/dev/console", O_RDWR);

	/* The session is new and has none yet; a privileged pm takes it over from what had it before. */
	if (fd >= 0 && ioctl(fd, TIOCSCTTY, geteuid() == 0) < 0) {
		int code = errno;

		close(fd);
		errno = code;
		return -1;
	}
	return fd;
}

/* The fd to be dup'ed to 0, 1 or 2; *ours: it is to be closed afterwards. */
static int open_stream(const struct isolate_plan *p, const struct isolate_stream *s, int number, bool *ours)
{
	static const enum isolate_stdio defaults[] = { ISOLATE_NULL, ISOLATE_LOG, ISOLATE_AS_STDOUT };
	enum isolate_stdio kind = s->kind == ISOLATE_DEFAULT ? defaults[number] : s->kind;
	int flags = number ? O_WRONLY | O_CREAT : O_RDONLY;

	*ours = true;
	switch (kind) {
	case ISOLATE_FILE:
		return open_file(s->path, flags | (number ? O_TRUNC : 0));
	case ISOLATE_APPEND:
		return open_file(s->path, flags | O_APPEND);
	case ISOLATE_SOCKET:
		return connect_to(s->path);
	case ISOLATE_TERMINAL:
		return open_terminal(s->path);
	case ISOLATE_NULL:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case ISOLATE_LOG:
		if (p->log_fd < 0)
			return open("/dev/null", O_RDWR | O_CLOEXEC);
		*ours = false;
		return p->log_fd;
	case ISOLATE_AS_STDOUT:
		*ours = false;
		return 1;
	case ISOLATE_DEFAULT:
	case ISOLATE_INHERIT:
		break;
	}
	*ours = false;
	return number;
}

static int streams(const struct isolate_plan *p, struct isolate_failure *f)
{
	const struct isolate_stream *s[3] = { &p->in, &p->out, &p->err };
	bool ours;

	for (int i = 0; i < 3; i++) {
		int fd = open_stream(p, s[i], i, &ours);

		if (fd < 0)
			return failed(f, ISOLATE_STDIN + (enum isolate_step)i, 0);
		/* dup2 of an fd to itself would leave it to be closed at exec */
		if (fd == i ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, i) < 0)
			return failed(f, ISOLATE_STDIN + (enum isolate_step)i, 0);
		if (ours && fd > 2)
			close(fd);
	}
	return 0;
}

/* The kernel wants setgroups denied before an unprivileged process maps its group. */
static int map_ourselves(const struct isolate_plan *p)
{
	return write_file(AT_FDCWD, "/proc/self/setgroups", "deny") < 0 ||
			write_file(AT_FDCWD, "/proc/self/uid_map", p->maps[0]) < 0 ||
			write_file(AT_FDCWD, "/proc/self/gid_map", p->maps[1]) < 0
		? -1 : 0;
}

/* More than our own id can be mapped only by a process that stayed outside: it is forked before we go. */
static int map_from_outside(const struct isolate_plan *p, struct isolate_failure *f)
{
	int go[2] = { -1, -1 }, status, self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	pid_t helper;
	char c;

	if (self < 0 || pipe2(go, O_CLOEXEC) < 0 || (helper = plain_fork()) < 0)
		return failed(f, ISOLATE_IDMAP, 0);
	if (helper == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(0);
		if (write_file(self, "uid_map", p->maps[0]) < 0 || write_file(self, "gid_map", p->maps[1]) < 0)
			_exit(errno);
		_exit(0);
	}
	close(go[0]);
	close(self);
	if (unshare(CLONE_NEWUSER) < 0) {
		failed(f, ISOLATE_USERNS, 0);
		close(go[1]);
		waitpid(helper, &status, 0);
		return -1;
	}
	if (write(go[1], "", 1) < 0)
		status = EPIPE << 8;
	close(go[1]);
	while (waitpid(helper, &status, 0) < 0)
		if (errno != EINTR)
			return failed(f, ISOLATE_IDMAP, 0);
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	return errno ? failed(f, ISOLATE_IDMAP, 0) : 0;
}

static int user_namespace(const struct isolate_plan *p, struct isolate_failure *f)
{
	if (!(p->namespaces & CLONE_NEWUSER))
		return 0;
	if (p->our_uid != 0) {
		if (unshare(CLONE_NEWUSER) < 0)
			return failed(f, ISOLATE_USERNS, 0);
		return map_ourselves(p) < 0 ? failed(f, ISOLATE_IDMAP, 0) : 0;
	}
	if (map_from_outside(p, f) < 0)
		return -1;
	/* Outside's root need not be mapped: become the first id that is. */
	if (p->has_user)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(p->ngid_map ? p->gid_map[0].inside : 0, p->ngid_map ? p->gid_map[0].inside : 0,
			p->ngid_map ? p->gid_map[0].inside : 0) < 0 ||
		setresuid(p->nuid_map ? p->uid_map[0].inside : 0, p->nuid_map ? p->uid_map[0].inside : 0,
			p->nuid_map ? p->uid_map[0].inside : 0) < 0)
		return failed(f, ISOLATE_IDMAP, 0);
	return 0;
}

static int loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret;

	if (fd < 0)
		return -1;
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	ret = ioctl(fd, SIOCSIFFLAGS, &r);
	close(fd);
	return ret;
}

/* root + path in out; a root of "/" or none is nothing. */
static int under_root(const struct isolate_plan *p, const char *path, char out[PATH_BYTES])
{
	size_t r = p->root ? strlen(p->root) : 0, n = strlen(path);

	while (r && p->root[r - 1] == '/')
		r--;
	if (r + n >= PATH_BYTES) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (r)
		memcpy(out, p->root, r);
	memcpy(out + r, path, n + 1);
	return 0;
}

/* In a user namespace the flags of the mount that is bound are locked: a remount has to repeat them. */
static unsigned long locked_flags(const char *path)
{
	struct statvfs v;

	if (statvfs(path, &v) < 0)
		return 0;
	return (v.f_flag & ST_NOSUID ? MS_NOSUID : 0UL) | (v.f_flag & ST_NODEV ? MS_NODEV : 0UL) |
		(v.f_flag & ST_NOEXEC ? MS_NOEXEC : 0UL) | (v.f_flag & ST_NOATIME ? MS_NOATIME : 0UL) |
		(v.f_flag & ST_NODIRATIME ? MS_NODIRATIME : 0UL) | (v.f_flag & ST_RELATIME ? MS_RELATIME : 0UL);
}

static int mounts(const struct isolate_plan *p, struct isolate_failure *f)
{
	char path[PATH_BYTES];

	if (!(p->namespaces & CLONE_NEWNS))
		return 0;
	/* What the system mounts later is seen here, what is mounted here stays here. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return failed(f, ISOLATE_MOUNT, ISOLATE_MOUNTS);
	for (unsigned i = 0; i < p->nmounts; i++) {
		const struct isolate_mount *m = &p->mounts[i];

		if (under_root(p, m->to, path) < 0 ||
			(m->from ? mount(m->from, path, NULL, MS_BIND | MS_REC, NULL)
				 : mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")) < 0 ||
			(m->read_only && mount(NULL, path, NULL,
				MS_BIND | MS_REMOUNT | MS_RDONLY | locked_flags(path), NULL) < 0))
			return failed(f, ISOLATE_MOUNT, i);
	}
	return 0;
}

static int other_namespaces(const struct isolate_plan *p, struct isolate_failure *f)
{
	int flags = p->namespaces & ~(CLONE_NEWUSER | CLONE_NEWPID);

	if (flags && unshare(flags) < 0)
		return failed(f, ISOLATE_NAMESPACES, 0);
	if (p->hostname && sethostname(p->hostname, strlen(p->hostname)) < 0)
		return failed(f, ISOLATE_HOSTNAME, 0);
	if ((flags & CLONE_NEWNET) && loopback_up() < 0)
		return failed(f, ISOLATE_LOOPBACK, 0);
	return mounts(p, f);
}

/*
 * Waits for the program, passes signals for the unit on to it, reaps what else is a child of ours, and tells how it ended:
 * as init of the namespace by the pipe, outside of it by ending in the same way.
 */
static _Noreturn void stand_in(pid_t program, int tell, int listen)
{
	sigset_t all;
	int status = 0, told;
	pid_t pid;

	prctl(PR_SET_NAME, "pm-init", 0, 0, 0);
	sigfillset(&all);
	for (;;) {
		int signo = sigwaitinfo(&all, NULL);

		if (signo > 0 && signo != SIGCHLD)
			kill(program, signo);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0 && pid != program)
			;
		if (pid == program)
			break;
	}
	if (tell >= 0)
		_exit(write(tell, &status, sizeof(status)) == sizeof(status) ? 0 : 1);
	if (read(listen, &told, sizeof(told)) == sizeof(told))
		status = told;
	if (WIFSIGNALED(status)) {
		struct rlimit no_core = { 0, 0 };

		/* The program's core is the interesting one. */
		setrlimit(RLIMIT_CORE, &no_core);
		signal(WTERMSIG(status), SIG_DFL);
		sigprocmask(SIG_UNBLOCK, &all, NULL);
		kill(getpid(), WTERMSIG(status));
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static bool on_terminal(const struct isolate_plan *p)
{
	return p->in.kind == ISOLATE_TERMINAL || p->out.kind == ISOLATE_TERMINAL || p->err.kind == ISOLATE_TERMINAL;
}

/* All but one fd, which becomes number 0. */
static void keep_only(int fd)
{
	dup2(fd, 0);
	if (syscall(SYS_close_range, 1, ~0U, 0) < 0)
		for (int i = 1; i < 1024; i++)
			close(i);
}

/* A /proc of outside would show processes that can't be reached, under wrong numbers. */
static int mount_proc(const struct isolate_plan *p)
{
	char path[PATH_BYTES];

	if (!(p->namespaces & CLONE_NEWNS))
		return 0;
	return under_root(p, "/proc", path) < 0 ||
			mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0
		? -1 : 0;
}

/*
 * The namespace begins with the next child, and its init has duties that a program does not know of. So: we stay outside as
 * what the unit's pid means, our child is init, its child goes on to be the program. Init can't die by a signal of its
 * own namespace; it writes how the program ended to us. It dies with us, and all in the namespace with it.
 */
static int pid_namespace(const struct isolate_plan *p, struct isolate_failure *f)
{
	int pipes[2];
	sigset_t all, old;
	pid_t pid;

	if (!(p->namespaces & CLONE_NEWPID))
		return 0;
	/* Signals wait for sigwaitinfo from now on, SIGCHLD above all. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	if (unshare(CLONE_NEWPID) < 0 || pipe2(pipes, O_CLOEXEC) < 0 || (pid = plain_fork()) < 0)
		return failed(f, ISOLATE_PIDNS, 0);
	if (pid > 0) {
		keep_only(pipes[0]);
		stand_in(pid, -1, 0);
	}
	close(pipes[0]);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return failed(f, ISOLATE_PIDNS, 0);
	if (mount_proc(p) < 0)
		return failed(f, ISOLATE_MOUNT, ISOLATE_MOUNTS + 1);
	pid = plain_fork();
	if (pid < 0)
		return failed(f, ISOLATE_PIDNS, 0);
	if (pid > 0) {
		keep_only(pipes[1]);
		stand_in(pid, 0, -1);
	}
	close(pipes[1]);
	sigprocmask(SIG_SETMASK, &old, NULL);
	/* Its own group: a signal to the unit's group reaches it once, passed on. */
	if (!on_terminal(p) && setsid() < 0)
		return failed(f, ISOLATE_SESSION, 0);
	return 0;
}

static int change_root(const struct isolate_plan *p, struct isolate_failure *f)
{
	if (p->root && (chroot(p->root) < 0 || chdir("/") < 0))
		return failed(f, ISOLATE_ROOT, 0);
	return 0;
}

static int identity(const struct isolate_plan *p, struct isolate_failure *f)
{
	bool other = p->has_user && p->uid != 0;
	uint64_t permitted;
	uint16_t which = 0;

	if (p->has_groups && setgroups(p->ngroups, p->groups) < 0)
		return failed(f, ISOLATE_SUPPLEMENTARY, 0);
	if (p->has_group && setresgid(p->gid, p->gid, p->gid) < 0)
		return failed(f, ISOLATE_GROUP, 0);
	if (p->has_bounding && caps_bound(p->bounding, &which) < 0)
		return failed(f, ISOLATE_CAPABILITIES, which);
	if ((p->has_bounding || p->has_user) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 &&
		errno != EINVAL)
		return failed(f, ISOLATE_AMBIENT, 0);
	if (p->ambient && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return failed(f, ISOLATE_AMBIENT, 0);
	if (p->has_user && setresuid(p->uid, p->uid, p->uid) < 0)
		return failed(f, ISOLATE_USER, 0);
	if (!p->ambient && !p->has_bounding)
		return 0;
	if (caps_get(&permitted) < 0)
		return failed(f, ISOLATE_CAPABILITIES, 0);
	if (p->has_bounding)
		permitted &= p->bounding;
	if (caps_set(other ? p->ambient : permitted | p->ambient, p->ambient) < 0)
		return failed(f, ISOLATE_AMBIENT, 0);
	if (caps_ambient(p->ambient, &which) < 0)
		return failed(f, ISOLATE_AMBIENT, which);
	return 0;
}

int isolate_apply(const struct isolate_plan *p, struct isolate_failure *f)
{
	bool early = p->namespaces & CLONE_NEWUSER; /* limits can be raised only outside of a user namespace */

	if ((p->session || on_terminal(p)) && getsid(0) != getpid() && setsid() < 0)
		return failed(f, ISOLATE_SESSION, 0);
	if (priorities(p, f) < 0 || (early && set_limits(p, f) < 0) || streams(p, f) < 0 || user_namespace(p, f) < 0 ||
		other_namespaces(p, f) < 0 || pid_namespace(p, f) < 0 || change_root(p, f) < 0 ||
		(!early && set_limits(p, f) < 0) || identity(p, f) < 0)
		return -1;
	if (p->has_umask)
		umask(p->umask);
	if (p->directory && chdir(*p->directory == '~' ? p->home : p->directory) < 0)
		return failed(f, ISOLATE_DIRECTORY, 0);
	if (p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed(f, ISOLATE_NO_NEW_PRIVS, 0);
	return 0;
}

static const char *path_of(const struct isolate_plan *p)
{
	for (size_t i = 0; i < p->nvars; i++)
		if (strncmp(p->vars[i], "PATH=", 5) == 0)
			return p->vars[i] + 5;
	return "/usr/bin:/bin";
}

void isolate_exec(const struct isolate_plan *p, const char *const *argv)
{
	const char *name = argv[0], *at = path_of(p);
	size_t n = strlen(name);
	char path[PATH_BYTES];
	int code = ENOENT;

	if (strchr(name, '/')) {
		execve(name, (char *const *)argv, p->env);
		return;
	}
	for (bool more = *name != '\0'; more;) {
		size_t dir = strcspn(at, ":");

		if (dir && dir + n + 2 <= sizeof(path)) {
			memcpy(path, at, dir);
			path[dir] = '/';
			memcpy(path + dir + 1, name, n + 1);
			execve(path, (char *const *)argv, p->env);
			if (errno != ENOENT && errno != ENOTDIR)
				code = errno;
		}
		more = at[dir] == ':';
		at += dir + 1;
	}
	errno = code;
}
