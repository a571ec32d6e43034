/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a guest. A slow one is given time as long as it does something: writes to its console, or uses its CPUs.
 * Use of CPU alone counts for a while only, since a guest that spins uses most of it.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/mem.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEC 1000000000ull
#define PATIENCE_NS (120 * SEC) /* without any sign of life */
#define SPIN_NS (300 * SEC)	 /* with nothing but CPU use */
#define LOOK_MS 500
#define BUSY_SHARE 10 /* a CPU used less than 1 / this of the time is that of an idle guest */

struct patience {
	const char *waits;		    /* what has not come, for errors */
	uint64_t console_size, console_at; /* bytes; when it last grew */
	uint64_t cpu, cpu_at, looked_at;    /* ticks; when it was last busy; when that was last asked */
	off_t scanned;			    /* of the console log, for a panic */
};

static uint64_t size_of(const struct machine *m, const char *sub)
{
	_cleanup_free_ char *path = machine_path(m, sub);
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* User and system time of QEMU, fields 14 and 15 of /proc/PID/stat (proc(5)), in ticks. */
static uint64_t cpu_of(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", (int)pid);
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	uint64_t user, sys;
	const char *p;

	if (file_read(path, 4096, &b, &e) < 0)
		return 0;
	p = strrchr(b.data, ')');
	if (!p || sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user, &sys) != 2)
		return 0;
	return user + sys;
}

/* True when the console of this run shows a kernel panic: no patience helps then. */
static bool panicked(const struct machine *m, struct patience *p)
{
	static const char sign[] = "Kernel panic - not syncing";
	_cleanup_free_ char *path = machine_path(m, "log/console.log"), *text = NULL;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	if (st.st_size < p->scanned)
		p->scanned = 0; /* rotated */
	if (st.st_size == p->scanned)
		return false;
	text = xmalloc((size_t)(st.st_size - p->scanned));
	n = pread(fd, text, (size_t)(st.st_size - p->scanned), p->scanned);
	if (n > 0 && memmem(text, (size_t)n, sign, sizeof(sign) - 1))
		return true;
	/* The sign may be in two halves. */
	if (n > (ssize_t)sizeof(sign))
		p->scanned += n - (ssize_t)sizeof(sign);
	return false;
}

static void patience_init(struct patience *p, const char *waits)
{
	uint64_t now = loop_now();

	*p = (struct patience){ .waits = waits, .console_at = now, .cpu_at = now, .looked_at = now };
}

struct patience *machine_patience_new(const char *waits)
{
	struct patience *p = xmalloc(sizeof(*p));

	patience_init(p, waits);
	return p;
}

static int lost_patience(const struct machine *m, struct patience *p, pid_t pid, struct error **err)
{
	uint64_t now = loop_now(), size = size_of(m, "log/console.log"), cpu = cpu_of(pid);

	if (size != p->console_size) {
		p->console_size = size;
		p->console_at = now;
	}
	if (now - p->looked_at > SEC) {
		uint64_t used = (cpu - p->cpu) * (SEC / (uint64_t)sysconf(_SC_CLK_TCK));

		if (cpu > p->cpu && used > (now - p->looked_at) / BUSY_SHARE)
			p->cpu_at = now;
		p->cpu = cpu;
		p->looked_at = now;
	}
	if (panicked(m, p))
		return error_set(err, ERR_FAILED, "machine %s: the guest's kernel panicked", m->name);
	if (now - p->console_at > PATIENCE_NS && now - p->cpu_at > PATIENCE_NS)
		return error_set(err, ERR_TIMEOUT, "machine %s: %s, and the guest has done nothing for %d s", m->name, p->waits, (int)(PATIENCE_NS / SEC));
	if (now - p->console_at > SPIN_NS)
		return error_set(err, ERR_TIMEOUT, "machine %s: %s, and the console has been silent for %d s", m->name, p->waits, (int)(SPIN_NS / SEC));
	return 0;
}

int machine_lost_patience(const struct machine *m, struct patience *p, struct error **err)
{
	struct proc_id id;

	return machine_qemu(m, &id) ? lost_patience(m, p, id.pid, err) : 0;
}

static int ended(const struct machine *m, struct patience *p, struct error **err)
{
	_cleanup_free_ char *how = NULL;

	machine_wait_end(m, 2000);
	if (panicked(m, p)) /* QEMU ends where the guest reboots after it */
		return error_set(err, ERR_FAILED, "machine %s: the guest's kernel panicked", m->name);
	how = machine_last_end(m);
	return error_set(err, ERR_STATE, "machine %s: it ended while it was waited for: QEMU %s", m->name, how ? how : "was not started");
}

/* One look; 1 ready, 0 not yet. */
static int look(struct machine *m, struct patience *p, uint64_t end, int timeout_ms, struct error **err)
{
	struct proc_id id;

	if (machine_state(m) == MACHINE_RUNNING)
		return 1;
	if (!machine_qemu(m, &id))
		return ended(m, p, err);
	if (end && loop_now() >= end)
		return error_set(err, ERR_TIMEOUT, "machine %s: its guest program has not answered in %d ms", m->name, timeout_ms);
	return end ? 0 : lost_patience(m, p, id.pid, err);
}

int machine_wait_ready(struct machine *m, int timeout_ms, struct error **err)
{
	_cleanup_free_ char *run = machine_path(m, "run");
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	uint64_t end = timeout_ms < 0 ? 0 : loop_now() + (uint64_t)timeout_ms * 1000000 + 1;
	struct patience p;
	int r;

	patience_init(&p, "its guest program does not answer");
	if (fd < 0)
		return error_errno(err, errno, "inotify");
	if (machine_ensure_helper(m, err) < 0)
		return -1;
	/* Told when `ready` or `status` appears; looked at twice a second for patience. */
	inotify_add_watch(fd, run, IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_CLOSE_WRITE);
	while ((r = look(m, &p, end, timeout_ms, err)) == 0) {
		struct pollfd f = { .fd = fd, .events = POLLIN };
		int ms = LOOK_MS;
		char drop[4096];

		if (end && end - loop_now() < LOOK_MS * 1000000ull)
			ms = (int)((end - loop_now()) / 1000000) + 1;
		if (poll(&f, 1, ms) < 0 && errno == EINTR) {
			r = error_set(err, ERR_INTR, "machine %s: interrupted while waiting for its guest program", m->name);
			break;
		}
		while (read(fd, drop, sizeof(drop)) > 0)
			;
	}
	if (r < 0 && (*err)->cls != ERR_INTR)
		machine_explain(m, err);
	if (r > 0)
		machine_renew(m, NULL);
	return r < 0 ? -1 : 0;
}

static bool wait_pid(const struct proc_id *id, uint64_t end)
{
	_cleanup_close_ int fd = proc_id_open(id);
	struct pollfd f = { .fd = fd, .events = POLLIN };

	while (fd >= 0) {
		uint64_t now = loop_now();
		int r = poll(&f, 1, now >= end ? 0 : (int)((end - now) / 1000000) + 1);

		if (r > 0)
			return true;
		if (r == 0 && loop_now() >= end)
			return false;
	}
	return true;
}

int machine_wait_end(const struct machine *m, int timeout_ms)
{
	uint64_t end = loop_now() + (uint64_t)timeout_ms * 1000000;
	struct proc_id id;

	if (machine_qemu(m, &id) && !wait_pid(&id, end))
		return 0;
	/* The helper notes the end and tidies up; it is waited for as a child would be. */
	return !machine_helper(m, &id) || wait_pid(&id, end);
}
