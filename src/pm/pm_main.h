/* SPDX-License-Identifier: Apache-2.0 */
/* The program: options that its personalities share, and the personalities. */
#ifndef CROFT_PM_PM_MAIN_H
#define CROFT_PM_PM_MAIN_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <signal.h>
#include <stdbool.h>

struct main_options {
	char *home, *self; /* absolute */
	char *init_stream; /* absolute path, URL, !COMMAND, -; or NULL */
	bool kill_on_fatal, detach;
	bool terminal;	 /* a shell in this terminal, whose end is that of pm */
	bool until_idle; /* ends, and removes its home, when no unit is left to supervise */
	int resume_fd; /* -1: a fresh start */
};
/* Of `pm main` and `pm .machine`. */
int main_options(int argc, char **argv, struct main_options *o, struct error **err);
void main_options_free(struct main_options *o);
char *main_home(void); /* PMHOME, or where it is for this user; new */
char *main_self(void); /* path of this program, also when it was replaced meanwhile; new */

/* client.c: a connection to the pm of a home. */
struct client_conn {
	int fd;
	struct buf in;
	size_t at; /* what of it was given out */
};
int client_open(struct client_conn *c, const char *home, struct error **err);
void client_close(struct client_conn *c);
/* Sends words as a line, with descriptors (or NULL). */
int client_send(struct client_conn *c, const char *const *words, size_t n, const int fds[3], struct error **err);
/* Next line of the answer: its mark, and text in *ret until the next call. 0: the connection ended; -1: error. */
int client_next(struct client_conn *c, char **ret, int timeout_ms, struct error **err);
extern volatile sig_atomic_t client_signal; /* set by a handler of the caller: waiting then ends with ERR_INTR */
/* The whole answer: data lines to `data` (may be NULL), progress to stderr when wanted; the status at its end, or -1. */
int client_follow(struct client_conn *c, struct buf *data, bool progress, int timeout_ms, struct error **err);

/*
 * "pm1.pm2.unit": goes down through the homes of sub-pms as long as the address does not name a unit of *home. Both are
 * replaced by new strings.
 */
bool client_has_unit(const char *home, const char *id);
int client_address(char **home, char **address, struct error **err);

/* inventory.c: pms elsewhere */
struct remote {
	char *name, *target; /* for ssh; "/...": a home on this computer */
	char *home;	     /* at the other end; NULL: the default there */
};
struct inventory {
	struct remote *v;
	size_t n;
};
int inventory_read(struct inventory *inv, struct error **err); /* no file: empty */
void inventory_free(struct inventory *inv);
#define _cleanup_inventory_ __attribute__((cleanup(inventory_free)))
const struct remote *inventory_find(const struct inventory *inv, const char *name, size_t n);
/* Becomes `ssh TARGET pm WORDS`; returns only when that fails. words: NULL at the end. */
int inventory_exec(const struct remote *r, const char *const *words, struct error **err);
/* `pm inventory ARGS` */
int inventory_run(const struct strv *args, struct error **err);

/* show.c */
int show_list(const char *data, const char *format);
int show_status(const char *home, const char *id, const char *data);
int show_deps(const char *id, const char *data);
int show_log(const char *home, const char *id, long lines, bool follow, struct error **err);
int show_tree(const char *home, struct error **err);
/* units of a home from its files, in the form of `list`; when no pm runs there */
int show_from_files(const char *home, struct buf *data, struct error **err);

/* exec.c */
int exec_main(int argc, char **argv);   /* pm .exec HOME JOB KEY */

/* mount.c */
int mount_main(int argc, char **argv);  /* pm .mount WORDS of the key mount */
int umount_main(int argc, char **argv); /* pm .umount WORDS */

/*
 * handover.c: sends the command adopt ID PID START KEY=VALUE... to the pm of a home; begin: starts one, until it is idle, when none
 * runs, and waits while the unit still has another process.
 */
int client_adopt(const char *home, const char *const *words, size_t n, bool begin, struct error **err);

/*
 * shell.c: a shell (command, or that of the user) on a terminal of its own, carried to ours; where we have none it gets our streams. ends:
 * its end is that of the pm of this home. The shell's status, or -1.
 */
int shell_run(const char *home, bool ends, const char *const *command, struct error **err);

/* commands.c */
int commands_main(int argc, char **argv);

#endif
