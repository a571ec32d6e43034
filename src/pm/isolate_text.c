/* SPDX-License-Identifier: Apache-2.0 */
/* The sentence for a step that failed in the child: which key, what value, why, and what to do where that is known. */
#include "isolate.h"
#include "isolate_caps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const steps[] = {
#define X(name, text) [ISOLATE_##name] = text,
	ISOLATE_STEPS(X)
#undef X
};

static const char *stream_text(const struct isolate_stream *s, const char *missing)
{
	return s->path ? s->path : missing;
}

/* What the step was given, for the message. */
static const char *subject(const struct isolate_failure *f, const struct isolate_plan *p, char buf[80])
{
	switch (f->step) {
	case ISOLATE_STDIN:
		return stream_text(&p->in, "/dev/null");
	case ISOLATE_STDOUT:
		return stream_text(&p->out, "the log");
	case ISOLATE_STDERR:
		return stream_text(&p->err, "as stdout");
	case ISOLATE_ROOT:
		return p->root;
	case ISOLATE_HOSTNAME:
		return p->hostname;
	case ISOLATE_DIRECTORY:
		return p->directory && *p->directory == '~' ? p->home : p->directory;
	case ISOLATE_USER:
		return p->user_text;
	case ISOLATE_GROUP:
		return p->group_text ? p->group_text : p->user_text;
	case ISOLATE_CAPABILITIES:
	case ISOLATE_AMBIENT:
		return caps_name(f->which);
	case ISOLATE_LIMIT:
		snprintf(buf, 80, "%llu:%llu", (unsigned long long)p->limit[f->which % RLIM_NLIMITS].rlim_cur,
			(unsigned long long)p->limit[f->which % RLIM_NLIMITS].rlim_max);
		return buf;
	case ISOLATE_NICE:
		snprintf(buf, 80, "%d", p->nice);
		return buf;
	case ISOLATE_OOM:
		snprintf(buf, 80, "%d", p->oom);
		return buf;
	case ISOLATE_MOUNT:
		if (f->which == ISOLATE_MOUNTS)
			return "making / a slave of the system's";
		if (f->which == ISOLATE_MOUNTS + 1)
			return "/proc of the pid namespace";
		return p->mounts[f->which].to;
	default:
		return NULL;
	}
}

static const char *advice(const struct isolate_failure *f, const struct isolate_plan *p)
{
	bool rootless = p->our_uid != 0;

	if (f->code == EPERM && rootless && (f->step == ISOLATE_USER || f->step == ISOLATE_GROUP ||
		f->step == ISOLATE_SUPPLEMENTARY || f->step == ISOLATE_ROOT || f->step == ISOLATE_CAPABILITIES))
		return "; a pm that is not root can do this only within namespaces=user";
	if (f->code == EPERM && rootless && (f->step == ISOLATE_NAMESPACES || f->step == ISOLATE_PIDNS))
		return "; a pm that is not root needs user among the namespaces";
	if ((f->code == ENOSPC || f->code == EPERM) && f->step == ISOLATE_USERNS)
		return "; this system may not allow user namespaces (/proc/sys/user/max_user_namespaces)";
	if (f->step == ISOLATE_EXEC && f->code == ENOENT)
		return p->root ? "; it is looked for within root, with its interpreter and libraries"
			       : "; the program, or the interpreter in its first line, does not exist";
	return "";
}

void isolate_failure_text(const struct isolate_failure *f, const struct isolate_plan *p, char why[ISOLATE_WHY])
{
	/* By RLIMIT_x as Linux numbers them everywhere but on alpha, mips and sparc. */
	static const char *const limits[RLIM_NLIMITS] = { [RLIMIT_CPU] = "cpu", [RLIMIT_FSIZE] = "fsize",
		[RLIMIT_DATA] = "data", [RLIMIT_STACK] = "stack", [RLIMIT_CORE] = "core", [RLIMIT_RSS] = "rss",
		[RLIMIT_NPROC] = "nproc", [RLIMIT_NOFILE] = "nofile", [RLIMIT_MEMLOCK] = "memlock",
		[RLIMIT_AS] = "as", [RLIMIT_LOCKS] = "locks", [RLIMIT_SIGPENDING] = "sigpending",
		[RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice", [RLIMIT_RTPRIO] = "rtprio",
		[RLIMIT_RTTIME] = "rttime" };
	char buf[80];
	const char *what = f->step < ISOLATE_NSTEPS ? steps[f->step] : "unknown step", *s = subject(f, p, buf);
	const char *limit = f->step == ISOLATE_LIMIT && f->which < RLIM_NLIMITS && limits[f->which] ? limits[f->which] : "";

	snprintf(why, ISOLATE_WHY, "%s%s%s%.100s: %s%s", what, limit, s ? " " : "", s ? s : "", strerror(f->code), advice(f, p));
}
