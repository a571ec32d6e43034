/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a unit's process is kept apart by: identity, capabilities, root, namespaces, limits, environment, standard streams.
 * Three steps, so that an idle unit costs only its text and the monitor needs no heap:
 *
 *	isolate_check	one key of a unit as it is read: known? well formed?
 *	isolate_plan	just before a start, in the process that will fork: keys become numbers, names become ids, files are
 *			read, into memory of the plan itself
 *	isolate_apply	in the child, between clone and exec: system calls only, nothing that takes a lock or allocates
 *
 * A step that fails ends the start: the step and its errno travel to the parent (struct isolate_failure has no pointers),
 * and isolate_failure_text makes the sentence. Keys and their meaning for users: docs/pm-isolation.md.
 * libc only; no header of the kernel, so that musl-gcc builds it too.
 */
#ifndef CROFT_PM_ISOLATE_H
#define CROFT_PM_ISOLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define ISOLATE_WHY 256	 /* bytes for a message */
#define ISOLATE_GROUPS 64
#define ISOLATE_MAPS 16
#define ISOLATE_MOUNTS 32
#define ISOLATE_ARENA (1024 * 1024) /* strings of one plan; pages that are not touched cost nothing */
#define ISOLATE_CHECK_MAX 4096	    /* longest value of a key */

/* In the order in which they are applied. */
#define ISOLATE_STEPS(X)                                                                           \
	X(NONE, "nothing")                                                                         \
	X(SESSION, "new session")                                                                  \
	X(CGROUP, "cgroup")                                                                        \
	X(OOM, "oom-score")                                                                        \
	X(NICE, "nice")                                                                            \
	X(IONICE, "ionice")                                                                        \
	X(LIMIT, "limit-")                                                                         \
	X(STDIN, "stdin")                                                                          \
	X(STDOUT, "stdout")                                                                        \
	X(STDERR, "stderr")                                                                        \
	X(USERNS, "namespaces: user")                                                              \
	X(IDMAP, "uid-map or gid-map")                                                             \
	X(NAMESPACES, "namespaces")                                                                \
	X(HOSTNAME, "hostname")                                                                    \
	X(LOOPBACK, "loopback of the network namespace")                                           \
	X(MOUNT, "mount")                                                                          \
	X(PIDNS, "namespaces: pid")                                                                \
	X(ROOT, "root")                                                                            \
	X(SUPPLEMENTARY, "groups")                                                                 \
	X(GROUP, "group")                                                                          \
	X(CAPABILITIES, "capabilities")                                                            \
	X(USER, "user")                                                                            \
	X(AMBIENT, "ambient")                                                                      \
	X(DIRECTORY, "directory")                                                                  \
	X(NO_NEW_PRIVS, "no-new-privs")                                                            \
	X(EXEC, "exec")
enum isolate_step {
#define X(name, text) ISOLATE_##name,
	ISOLATE_STEPS(X)
#undef X
	ISOLATE_NSTEPS
};
struct isolate_failure {
	uint16_t step;	/* enum isolate_step */
	uint16_t which; /* LIMIT: RLIMIT_x; CAPABILITIES, AMBIENT: number; MOUNT: index */
	int32_t code;	/* errno */
};

enum isolate_stdio { ISOLATE_DEFAULT, ISOLATE_NULL, ISOLATE_LOG, ISOLATE_FILE, ISOLATE_APPEND, ISOLATE_SOCKET,
	ISOLATE_TERMINAL, ISOLATE_INHERIT, ISOLATE_AS_STDOUT };
struct isolate_stream {
	enum isolate_stdio kind;
	const char *path;
};
struct isolate_map {
	uint32_t inside, outside, count;
};
struct isolate_mount {
	const char *from, *to; /* from NULL: tmpfs */
	bool read_only;
};
/* One value of a cgroup file; see cgroup.h. */
struct isolate_cgroup {
	const char *cpu_max, *cpu_weight, *memory_max, *memory_high, *memory_swap_max, *pids_max, *io_weight;
	const char *io_max[8];
	bool wanted;	/* any of them */
	bool optional;	/* cgroup=optional: go on without where the controller is absent */
};

/* Large: make it static, one is enough. Filled by isolate_plan, read only afterwards but for isolate_env_add and the fds. */
struct isolate_plan {
	/* set by the caller after isolate_plan */
	int log_fd;	 /* for log: where the output goes; -1: there is none */
	int cgroup_fd;	 /* cgroup.procs of the unit's cgroup, or -1 */
	bool session;	 /* setsid in the child */

	bool has_user, has_group, has_groups;
	uid_t uid;
	gid_t gid, groups[ISOLATE_GROUPS];
	size_t ngroups;
	const char *user_name, *home, *shell;
	bool has_bounding;
	uint64_t bounding, ambient;
	bool no_new_privs;
	const char *root, *directory, *hostname;
	int namespaces; /* CLONE_NEWx */
	struct isolate_map uid_map[ISOLATE_MAPS], gid_map[ISOLATE_MAPS];
	size_t nuid_map, ngid_map;
	struct isolate_mount mounts[ISOLATE_MOUNTS];
	size_t nmounts;
	uint32_t limits; /* bit RLIMIT_x: limit[x] is set */
	struct rlimit limit[RLIM_NLIMITS];
	struct isolate_cgroup cgroup;
	bool has_nice, has_ionice, has_oom, has_umask;
	int nice, ionice, oom;
	mode_t umask;
	struct isolate_stream in, out, err;
	char *const *env; /* for execve */

	/* inside */
	const char **vars; /* K=V, nvars of them, room for a NULL */
	size_t nvars, cap_vars;
	const char *env_files[8];
	size_t nenv_files;
	const char *user_text, *group_text, *groups_text, *env_inherit, *path;
	char *arena;
	size_t used;
	char maps[2][ISOLATE_MAPS * 40]; /* text for /proc/PID/uid_map, gid_map */
	uid_t our_uid;
	gid_t our_gid;
};

/* 1: a key of ours, well formed; 0: not a key of ours; -1: why says what is wrong with it. */
int isolate_check(const char *key, const char *value, char why[ISOLATE_WHY]);
/* Whether a unit may have several of this key (env, bind ...): they add up instead of replacing each other. */
bool isolate_key_repeats(const char *key);
/* All keys, one after the other for completion; NULL after the last. */
const char *isolate_key_name(size_t i);

/*
 * keys: n pairs key, value; pairs that are not ours are passed over. Names are looked up in /etc/passwd and /etc/group, env files
 * are read. -1: why is set and nothing is held. Otherwise isolate_plan_free gives the memory back.
 */
int isolate_plan(struct isolate_plan *p, const char *const *keys, size_t n, char why[ISOLATE_WHY]);
void isolate_plan_free(struct isolate_plan *p);
/* One more variable for the process; replaces one of that name. -1: no room. */
int isolate_env_add(struct isolate_plan *p, const char *name, const char *value);
/*
 * In the child. 0: ready for exec. -1: *f says which step failed. With a pid namespace it returns in a grandchild; this process
 * stays as the unit's, passes signals on, and ends as the program does; all its fds are closed but those of the grandchild.
 * Then the child must not share its parent's memory or keep it waiting as vfork does.
 */
int isolate_apply(const struct isolate_plan *p, struct isolate_failure *f);
/* execve after isolate_apply; a program without slash is searched in the PATH of the plan's environment. Returns only with errno. */
void isolate_exec(const struct isolate_plan *p, const char *const *argv);
/* "user 'www': no such user" and the like: the sentence for a failure in the child. */
void isolate_failure_text(const struct isolate_failure *f, const struct isolate_plan *p, char why[ISOLATE_WHY]);

#endif
