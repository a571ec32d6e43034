/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How gc removes packs while others write, without any of them waiting for it.
 *
 * A writer may rely on chunks that no name leads to: those it found in a pack instead of storing them. So gc says first which packs
 * it is about to give up (STORE/condemned, with a random epoch). A writer that begins later finds nothing in them. Those that
 * began earlier, gc waits for: each holds a read lock on the byte of STORE/.lock that is the epoch it saw when it began (0: there
 * was no file), and gc gets a write lock on all bytes but that of its own epoch. Then it looks at the names once more, moves
 * what they need, removes the packs, and then the file. When gc dies on the way, the next writer or gc takes the file away.
 *
 * These are locks of open files (F_OFD_SETLK): they end with the process, and count between two stores of one process too.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define EPOCHS (1ull << 48)
#define GC_BYTE (1ll << 62) /* whoever removes packs holds it: one at a time */
#define CONDEMNED_MAX (64u << 20)

/* As open to others as the store's folder is. */
int store_open_lock(const char *path, const char *dir, struct error **err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0 && stat(dir, &st) == 0)
			(void)!fchmod(fd, 0600 | (st.st_mode & 0066));
	}
	if (fd < 0 && errno == EACCES)
		fd = open(path, O_RDONLY | O_CLOEXEC); /* enough for a writer */
	return fd < 0 ? error_errno(err, errno, "%s: cannot open the lock", path) : fd;
}

static int open_gate(struct store *s, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, ".lock");

	return store_open_lock(path, s->path, err);
}

/* len 0: up to the end of all. */
static int set_lock(int fd, short type, int64_t start, int64_t len, bool wait, struct error **err)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	if (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l) == 0)
		return 0;
	if (errno == EINTR)
		return error_set(err, ERR_INTR, "interrupted while waiting for others that use the store");
	return error_errno(err, errno, "cannot lock the store");
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

bool store_is_condemned(const struct store *s, uint64_t pack)
{
	return s->ncondemned && bsearch(&pack, s->condemned, s->ncondemned, sizeof(pack), by_id);
}

void store_set_condemned(struct store *s, const uint64_t *packs, size_t n)
{
	uint64_t *mine = xcalloc(n + 1, sizeof(*mine));

	if (n)
		memcpy(mine, packs, n * sizeof(*mine));
	if (n)
		qsort(mine, n, sizeof(*mine), by_id);
	pthread_mutex_lock(&s->lock);
	free(s->condemned);
	s->condemned = mine;
	s->ncondemned = n;
	pthread_mutex_unlock(&s->lock);
}

/* The epoch in STORE/condemned, and with s->condemned what it says; without the file 0 and nothing. */
static int read_condemned(struct store *s, uint64_t *epoch, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, "condemned");
	_cleanup_free_ uint64_t *ids = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n = 0;
	char *p;

	*epoch = 0;
	if (file_exists(path) && file_read(path, CONDEMNED_MAX, &b, err) < 0) {
		if ((*err)->code != ENOENT)
			return -1;
		error_clear(err);
		buf_clear(&b);
	}
	if (b.len) {
		p = (char *)buf_str(&b);
		ids = xcalloc(b.len / 17 + 1, sizeof(*ids));
		*epoch = strtoull(p, &p, 16);
		while (*p == '\n' && p[1])
			ids[n++] = strtoull(p + 1, &p, 16);
		if (!*epoch || *epoch >= EPOCHS || *p != '\n') {
			error_set(err, ERR_FAILED, "%s: not what croft writes there", path);
			return error_hint(err, "`croft store gc` takes it away");
		}
	}
	store_set_condemned(s, ids, n);
	return 0;
}

/* What a gc that was killed has left: chunks in packs that nobody removes are as good as others. */
static void take_back(struct store *s, int fd)
{
	_cleanup_free_ char *path = store_sub(s, "condemned");
	_cleanup_error_ struct error *why = NULL;

	if (!file_exists(path) || set_lock(fd, F_WRLCK, GC_BYTE, 1, false, &why) < 0)
		return;
	if (file_unlink(path, &why) == 0)
		log_debug("%s: of a gc that did not end; removed", path);
	error_clear(&why);
	set_lock(fd, F_UNLCK, GC_BYTE, 1, false, &why);
}

int gate_enter(struct store *s, struct error **err)
{
	_cleanup_close_ int fd = open_gate(s, err);
	uint64_t epoch, now;

	if (fd < 0)
		return -1;
	take_back(s, fd);
	if (read_condemned(s, &epoch, err) < 0)
		return -1;
	for (;;) {
		if (set_lock(fd, F_RDLCK, (int64_t)epoch, 1, true, err) < 0 || read_condemned(s, &now, err) < 0)
			return -1;
		if (now == epoch)
			return STEAL_FD(fd);
		if (set_lock(fd, F_UNLCK, (int64_t)epoch, 1, false, err) < 0)
			return -1;
		epoch = now;
	}
}

int gate_remover(struct store *s, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, "condemned");
	_cleanup_close_ int fd = open_gate(s, err);

	if (fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) { /* such a lock needs to be opened for writing */
		error_errno(err, EACCES, "%s: nothing can be removed from this store", s->path);
		return error_hint(err, "its owner can, and whom the folder lets write");
	}
	if (fd < 0 || set_lock(fd, F_WRLCK, GC_BYTE, 1, true, err) < 0 || file_unlink(path, err) < 0)
		return -1;
	return STEAL_FD(fd);
}

int gate_close(int fd, struct error **err)
{
	return set_lock(fd, F_WRLCK, 0, GC_BYTE, true, err);
}

static int publish(struct store *s, uint64_t *epoch, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, "condemned");
	_cleanup_buf_ struct buf b = BUF_INIT;

	do {
		if (getrandom(epoch, sizeof(*epoch), 0) != sizeof(*epoch))
			return error_errno(err, errno, "cannot get random bytes for an epoch");
		*epoch %= EPOCHS;
	} while (!*epoch);
	buf_addf(&b, "%" PRIx64 "\n", *epoch);
	for (size_t i = 0; i < s->ncondemned; i++)
		buf_addf(&b, "%016" PRIx64 "\n", s->condemned[i]);
	return file_write(path, b.data, b.len, store_file_mode(s->path), err);
}

int gate_condemn(int fd, struct store *s, const uint64_t *packs, size_t n, struct error **err)
{
	uint64_t epoch;

	store_set_condemned(s, packs, n);
	if (publish(s, &epoch, err) < 0) {
		/* On a full disk room is made all the same; writers wait then. */
		if ((*err)->code != ENOSPC && (*err)->code != EDQUOT)
			return -1;
		error_clear(err);
		return gate_close(fd, err);
	}
	if (set_lock(fd, F_WRLCK, 0, (int64_t)epoch, true, err) < 0 ||
		set_lock(fd, F_WRLCK, (int64_t)epoch + 1, GC_BYTE - (int64_t)epoch - 1, true, err) < 0)
		return -1;
	/* They are done. One that saw the old epoch and comes for its lock only now sees the new one then. */
	return set_lock(fd, F_UNLCK, 0, GC_BYTE, false, err);
}

int gate_pardon(struct store *s, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, "condemned");

	store_set_condemned(s, NULL, 0);
	return file_unlink(path, err);
}
