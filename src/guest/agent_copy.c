/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"
#include "tree.h"
#include "treeattr.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What pull lets the guest send ahead: the port should never wait for a credit. */
#define FACTS_MS 10000
#define PULL_WINDOW (1024 * 1024)

static int copy_error(struct error **err, const struct tree_error *e)
{
	error_set(err, e->code == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, "%s", e->text);
	(*err)->code = e->code;
	return -1;
}

/* Bytes of content below, for the progress line only: what cannot be read counts nothing. */
static uint64_t content_size(int dirfd, const char *name, int depth)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *ent;
	struct stat st;
	uint64_t sum = 0;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISREG(st.st_mode))
		return (uint64_t)st.st_size;
	if (!S_ISDIR(st.st_mode) || depth > 250)
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return 0;
	}
	while ((ent = readdir(d)))
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			sum += content_size(fd, ent->d_name, depth + 1);
	return sum;
}

struct sending {
	struct tree_out *out;
	uint64_t done, total;
};

/* Puts frames into the connection's buffer while there is credit; the content is read in place. */
static int send_some(
	struct call *c, struct sending *s, const struct agent_copy *o, bool *ended, struct error **err)
{
	struct tree_error e;

	/* tree_out_read() wants some room. */
	while (!*ended && c->open && c->credit >= 8192 && call_waiting(c) < CALL_BUSY) {
		size_t n = c->credit < FRAME_PAYLOAD ? (size_t)c->credit : FRAME_PAYLOAD;
		uint8_t *p = (uint8_t *)buf_reserve(&c->a->out, FRAME_MAX);
		ssize_t r = tree_out_read(s->out, p + FRAME_HEADER, n, &e);

		if (r < 0)
			return copy_error(err, &e);
		if (r == 0) {
			*ended = true;
			call_send(c, FRAME_EOF, 0, NULL, 0);
			break;
		}
		frame_header(p, &(struct frame){ .type = FRAME_DATA, .stream = c->id,
					.length = (uint32_t)r });
		c->a->out.len += FRAME_HEADER + (size_t)r;
		c->credit -= (uint64_t)r;
		s->done += (uint64_t)r;
	}
	if (o->progress)
		o->progress(o->arg, s->done < s->total ? s->done : s->total, s->total);
	return 0;
}

/* Whether attributes are sent: there are some, and the guest program is not older than they are. */
static bool sends_attrs(struct agent *a, const char *src)
{
	_cleanup_error_ struct error *none = NULL;
	_cleanup_free_ char *facts = tree_attrs_any(AT_FDCWD, src, 0) ? agent_facts(a, FACTS_MS, &none) : NULL;

	if (facts && strstr(facts, "\"attrs\":true"))
		return true;
	if (facts)
		log_warn("%s: its extended attributes are left out: the guest program over there is older than they are", src);
	return false;
}

int agent_push(struct agent *a, const char *src, const char *dst, const struct agent_copy *o,
	struct error **err)
{
	_cleanup_buf_ struct buf items = BUF_INIT;
	struct call c = { .a = a, .what = "copy" };
	struct sending s = { 0 };
	struct tree_error e;
	char into[256];
	bool ended = false;
	int r;

	s.out = tree_out_open(src, o->recursive_ok, sends_attrs(a, src), &e);
	if (!s.out)
		return copy_error(err, &e);
	if (o->want)
		tree_out_filter(s.out, o->want, o->want_arg);
	else if (o->progress)
		s.total = content_size(AT_FDCWD, src, 0);
	item_str(&items, FRAME_K_PATH, dst);
	item_str(&items, FRAME_K_INTO, tree_base_name(src, into));
	item_str(&items, FRAME_K_OWNER, o->owner);
	if (o->mode >= 0)
		item_u32(&items, FRAME_K_MODE, (uint32_t)o->mode);
	if (o->recursive_ok)
		item_str(&items, FRAME_K_TREE, "");
	r = call_begin(&c, FRAME_PUSH, &items, -1, err);
	if (r == 0) {
		while (r == 0 && !c.over) {
			r = send_some(&c, &s, o, &ended, err);
			if (r == 0)
				r = call_turn(&c, NULL, 0, true, err);
		}
		if (r == 0 && o->progress)
			o->progress(o->arg, s.total, s.total);
		call_end(&c);
	}
	tree_out_free(s.out);
	return r < 0 ? error_wrap(err, "push %s", src) : 0;
}

struct receiving {
	struct tree_in *in;
	const struct agent_copy *o;
};

static int on_data(struct call *c, int channel, const uint8_t *p, size_t n, struct error **err)
{
	struct receiving *r = c->arg;
	struct tree_error e;
	uint64_t done, total;

	if (tree_in_write(r->in, p, n, &e) < 0)
		return copy_error(err, &e);
	if (r->o->progress) {
		done = tree_in_done(r->in, &total);
		r->o->progress(r->o->arg, done, total);
	}
	call_credit(c, n);
	return 0;
}

int agent_pull(struct agent *a, const char *src, const char *dst, const struct agent_copy *o,
	struct error **err)
{
	_cleanup_buf_ struct buf items = BUF_INIT;
	char into[256];
	/*
	 * The guest is not trusted: its files become the caller's own, and set-user-id bits of what it
	 * wrote would be the caller's too.
	 */
	struct tree_in_opts opts = { .into = tree_base_name(src, into), .uid = (uid_t)-1,
		.gid = (gid_t)-1, .mode = o->mode, .mask = 0777, .dirs = o->recursive_ok };
	struct receiving rec = { .o = o };
	struct call c = { .a = a, .what = "copy", .on_data = on_data, .arg = &rec };
	struct tree_error e;
	int r;

	rec.in = tree_in_open(dst, &opts, &e);
	if (!rec.in)
		return copy_error(err, &e);
	item_str(&items, FRAME_K_PATH, src);
	item_str(&items, FRAME_K_ATTRS, "");
	if (o->recursive_ok)
		item_str(&items, FRAME_K_TREE, "");
	r = call_begin(&c, FRAME_PULL, &items, -1, err);
	if (r == 0) {
		c.window += PULL_WINDOW - FRAME_WINDOW;
		call_send(&c, FRAME_CREDIT, PULL_WINDOW - FRAME_WINDOW, NULL, 0);
		r = call_finish(&c, err);
		call_end(&c);
	}
	if (r == 0 && tree_in_finish(rec.in, &e) < 0)
		r = copy_error(err, &e);
	tree_in_free(rec.in);
	return r < 0 ? error_wrap(err, "pull %s", src) : 0;
}
