/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of a unit: key=value, in one block of memory ("key\0value\0key\0value\0"), because pm holds thousands.
 * A key is there once, but for those of isolate.h that add up (env, bind ...). Lists are words by the quoting rules of stream.h.
 */
#ifndef CROFT_PM_PARAM_H
#define CROFT_PM_PARAM_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>
#include <stdint.h>

struct params {
	char *p;
	uint32_t n;
};
#define PARAMS_INIT { NULL, 0 }
#define _cleanup_params_ __attribute__((cleanup(params_free)))

void params_free(struct params *ps);
const char *params_get(const struct params *ps, const char *key); /* NULL when absent; points into ps */
void params_set(struct params *ps, const char *key, const char *value); /* replaces; NULL or "": removes the key */
void params_add(struct params *ps, const char *key, const char *value); /* one more of that key */
void params_copy(struct params *to, const struct params *from);
/* Iterates: *pos starts at 0; false at the end. */
bool params_next(const struct params *ps, uint32_t *pos, const char **key, const char **value);

/* Splits "KEY=VALUE" into ps after checking both. */
int params_assign(struct params *ps, const char *word, struct error **err);
/* The value of a list key as words; absent gives none. */
int params_words(const struct params *ps, const char *key, struct strv *ret, struct error **err);
int params_ms(const struct params *ps, const char *key, uint32_t fallback, uint32_t *ret_ms, struct error **err);
/* One value, as params_ms and for PARAM_NUMBER; *ret stays on an error. */
int param_ms(const char *key, const char *value, uint32_t *ret_ms, struct error **err);
int param_u32(const char *key, const char *value, uint32_t *ret, struct error **err);

/* The file form: key=value lines, \\ and \n escaped. */
void params_format(const struct params *ps, struct buf *b);
int params_parse(const char *text, size_t n, struct params *ps, struct error **err);

/*
 * The keys that pm itself knows. Those of a process's surroundings (user, cwd, env, limits ...) are isolate.h's.
 *	X(key, kind, text): kind is how the value is checked.
 */
#define PM_KEYS(X)                                                                                                      \
	X("type", TYPE, "run (default), oneshot, mount, root, install, setup, network, volume, timer, socket, pm")     \
	X("title", TEXT, "what it is, for people")                                                                      \
	X("run", ARGV, "the command of a run unit")                                                                     \
	X("start", ARGV, "command that brings a resource into being; exit 0: it exists")                               \
	X("stop", ARGV, "command that ends it; default for processes: a signal")                                        \
	X("check", ARGV, "command that tells whether it still exists (exit 0)")                                         \
	X("check-every", DURATION, "how often `check` is asked; default: only when pm takes the unit back")             \
	X("pre", ARGV, "command before the start; a failure is a failed start")                                         \
	X("reload", ARGV, "command that makes it read its configuration again, or signal:NAME")                         \
	X("restart-pre", ARGV, "command before a restart; a failure leaves the unit as it is")                          \
	X("mount", WORDS, "SOURCE TARGET (bind), tmpfs TARGET, overlay TARGET LOWER[:LOWER] [UPPER WORK], image TARGET FILE")                             \
	X("link", WORDS, "network links that are the resource: it fails when one of them is no longer there")            \
	X("needs", UNITS, "are started before, must be RUNNING; are stopped after")                                     \
	X("binds-to", UNITS, "needs, and stops when one of them goes away")                                             \
	X("after", UNITS, "order only: if these start or stop too, wait for them")                                      \
	X("conflicts", UNITS, "cannot run at the same time; the start is refused")                                      \
	X("name", TEXT, "setup: what is set up, one at a time in a root; default: the unit's name up to ! or @, less its version")   \
	X("ready", READY, "exec (default), alive:TIME, pidfile:PATH, notify, fd:N, port:[HOST:]PORT, command:COMMAND")  \
	X("start-timeout", DURATION, "STARTING at most this long; default 90s")                                         \
	X("stop-timeout", DURATION, "then SIGKILL; default 10s")                                                        \
	X("wait-timeout", DURATION, "SCHE_START at most this long; default for ever")                                   \
	X("stop-signal", SIGNAL, "default TERM")                                                                        \
	X("kill-mode", KILLMODE, "group (default) or process: who gets the signals")                                    \
	X("success", WORDS, "exit statuses that are no failure; default 0")                                             \
	X("restart", RESTART, "never (default), on-failure, always")                                                    \
	X("restart-delay", DURATION, "before the first restart; default 0")                                             \
	X("restart-backoff", DURATION, "before the second, doubled each time; default 100ms")                           \
	X("restart-max-delay", DURATION, "default 30s")                                                                 \
	X("restart-limit", NUMBER, "restarts in a row, then it stays failed; default 0: no limit")                      \
	X("restart-reset", DURATION, "running this long ends the row; default 10s")                                     \
	X("fail-keep", DURATION, "how long a fail state is shown; default until reset-failed")                          \
	X("when-ended", ENDED, "nothing (default), shutdown: pm ends too when this unit has ended for good")          \
	X("log", LOG, "on (default) or off")                                                                            \
	X("log-size", SIZE, "of the log before it is rotated; default 256K")                                            \
	X("every", DURATION, "timer: starts `unit` this often")                                                         \
	X("unit", UNITS, "timer, socket: what is started")                                                              \
	X("listen", WORDS, "socket: paths or [HOST:]PORT; passed on as fd 3, 4 ...")                                    \
	X("kind", PMKIND, "pm: root, chroot, jail, user")                                                               \
	X("home", TEXT, "pm: the home of the sub-pm")

enum param_kind {
	PARAM_TEXT, PARAM_TYPE, PARAM_ARGV, PARAM_WORDS, PARAM_UNITS, PARAM_READY, PARAM_DURATION, PARAM_SIGNAL,
	PARAM_KILLMODE, PARAM_RESTART, PARAM_NUMBER, PARAM_SIZE, PARAM_LOG, PARAM_PMKIND, PARAM_ENDED
};
struct param_key {
	const char *key;
	enum param_kind kind;
	const char *text;
};
extern const struct param_key param_keys[];
extern const unsigned param_nkeys;

int signal_parse(const char *s); /* "TERM", "SIGTERM", "15"; -1: no such signal */
const char *signal_name(int signo); /* "TERM"; static buffer for numbers without name */

#endif
