/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that survive kill -9 and a full disk: state changes by write-new,
 * fsync, rename, fsync of the directory. Every write, fsync, rename and fork
 * of croft's own state goes through here or proc.h, where the fault hook sits.
 */
#ifndef CROFT_BASE_FILE_H
#define CROFT_BASE_FILE_H

#include "buf.h"
#include "error.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FILE_LOCK_NAME ".lock"

/* Whole file into b (appended); larger than max bytes is an error. */
int file_read(const char *path, size_t max, struct buf *b, struct error **err);
#define FILE_MODE_EXACT 0x100000u /* with a mode: the umask takes nothing of it */
int file_make(const char *path, mode_t mode); /* a new file, to read and write; fd, or -1 with errno */
/* Replaces path by these bytes, or leaves it as it was. mode as for open. */
int file_write(const char *path, const void *p, size_t n, mode_t mode, struct error **err);
/* Its first half: the bytes are on disk under *temp, beside path; file_rename is the second. */
int file_stage(const char *path, const void *p, size_t n, mode_t mode, char **temp, struct error **err);
int file_writef(const char *path, mode_t mode, struct error **err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* rename that is on disk when it returns (fsyncs the directory). */
int file_rename(const char *from, const char *to, struct error **err);
/* mkdir -p; an existing directory is success. */
int file_mkdirs(const char *path, mode_t mode, struct error **err);
/* Removes path and everything below; never follows links; absent is success. */
int file_remove_tree(const char *path, struct error **err);
int file_unlink(const char *path, struct error **err); /* absent is success */
bool file_exists(const char *path);
bool file_is_dir(const char *path);
/* Writes all n bytes to fd, going on after EINTR and short writes. */
int file_write_all(int fd, const void *p, size_t n, const char *what, struct error **err);
int file_fsync(int fd, const char *what, struct error **err);
/* Copies bytes and holes; reflink where the file system can. Target must not exist. fsynced. */
int file_copy(const char *from, const char *to, mode_t mode, struct error **err);

/*
 * Advisory lock on a file, made when absent (mode 0600); held until the fd is
 * closed or the process dies, so no stale lock exists. Returns the fd or -1.
 * wait_ms: 0 fails at once with ERR_STATE naming the pid that holds it, -1 waits for ever.
 */
int file_lock(const char *path, bool exclusive, int wait_ms, struct error **err);

/* Unix sockets whose path may be longer than sun_path (goes through /proc/self/fd). */
int unix_listen(const char *path, int backlog, struct error **err); /* replaces a stale one; 0600 */
int unix_connect(const char *path, struct error **err);	    /* blocking; CLOEXEC */
/*
 * Never waits, and gives a non-blocking fd: a listener that has stopped and whose queue is full is EAGAIN.
 */
int unix_connect_now(const char *path, struct error **err);

#endif
