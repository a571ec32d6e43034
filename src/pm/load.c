/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a home. After the death of the machine everything waits for this: ten thousand units, two small files each, with
 * as few system calls as a file can be read with. They are most of the time, and so many files are read by several threads
 * side by side, into memory that is given back when the units have been made of it. No other part of pm has threads, and
 * these end here.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "pm/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARAMETER_MAX (1 << 20)
#define PIECE 8192 /* holds nearly every file of a unit */
#define READERS 4
#define WORTH_A_READER 500 /* units */
#define ABSENT -1
#define TOO_LONG -2	   /* is read when it is needed */

/* What there was to read of a unit. */
struct found {
	size_t name, at; /* in `names`, and in the reader's `text`: the parameter, then the last line of the state */
	ssize_t parameter, state; /* lengths, or ABSENT or TOO_LONG */
};
struct reader {
	pthread_t thread;
	int units;
	const char *names;
	struct found *first, *end;
	struct buf text;
	bool with_state;
};

/* The beginning of units/NAME/FILE. openat, for musl's open is two system calls. */
static ssize_t read_piece(int units, const char *name, size_t len, const char *file, char piece[PIECE])
{
	char path[512];
	ssize_t n;
	int fd;

	if (len + strlen(file) >= sizeof(path))
		return ABSENT;
	memcpy(path, name, len);
	strcpy(path + len, file);
	fd = openat(units, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ABSENT;
	n = read(fd, piece, PIECE);
	close(fd);
	return n < 0 ? ABSENT : n == PIECE ? TOO_LONG : n;
}

static void *read_units(void *arg)
{
	struct reader *r = arg;
	char piece[PIECE];

	for (struct found *f = r->first; f < r->end; f++) {
		const char *name = r->names + f->name, *last = NULL;
		size_t len = strlen(name);

		f->at = r->text.len;
		f->parameter = read_piece(r->units, name, len, "/parameter", piece);
		if (f->parameter > 0)
			buf_add(&r->text, piece, (size_t)f->parameter);
		f->state = r->with_state ? read_piece(r->units, name, len, "/state", piece) : ABSENT;
		if (f->state > 0) {
			last = home_last_line(piece, (size_t)f->state, &len);
			f->state = last ? (ssize_t)len : ABSENT;
		}
		if (last) {
			buf_add(&r->text, last, len);
			buf_addc(&r->text, '\0');
		}
	}
	return NULL;
}

static void load_state(const struct reader *r, const struct found *f, struct unit *u)
{
	_cleanup_buf_ struct buf long_one = BUF_INIT;
	const char *line = NULL;
	char state[16], goal[8];
	unsigned job, retries;
	int s;

	if (f->state == TOO_LONG)
		line = home_last(u->id, &long_one) ? long_one.data : NULL;
	else if (f->state > 0)
		line = r->text.data + f->at + (f->parameter > 0 ? f->parameter : 0);
	if (!line || sscanf(line, "%*s %15s %7s %u %u", state, goal, &job, &retries) != 4)
		return;
	s = pm_state_parse(state);
	if (s < 0)
		return;
	u->job = job;
	core_restore(&machine.core, u, (enum pm_state)s, !strcmp(goal, "up"), retries);
}

static int load_parameter(const struct reader *r, const struct found *f, struct params *ps, struct error **err)
{
	_cleanup_buf_ struct buf path = BUF_INIT, text = BUF_INIT;

	if (f->parameter >= 0)
		return params_parse(f->parameter ? r->text.data + f->at : "", (size_t)f->parameter, ps, err);
	buf_addf(&path, "units/%s/parameter", r->names + f->name); /* a long one, or one that tells why it cannot be read */
	if (file_read(path.data, PARAMETER_MAX, &text, err) < 0)
		return -1;
	return params_parse(buf_str(&text), text.len, ps, err);
}

static void load_unit(const struct reader *r, const struct found *f)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *name = r->names + f->name;
	char id[PM_ID_MAX + 1];
	struct unit *u;

	if (!home_id(name, id)) {
		log_line("home: units/%s: not the name of a unit; left alone", name);
		return;
	}
	if (load_parameter(r, f, &ps, &e) < 0 || !(u = core_define(&machine.core, id, &ps, &e))) {
		log_line("home: units/%s/parameter: %s; this unit is left out", name, e->msg);
		return;
	}
	if (u->type == UNIT_SOCKET)
		machine.nsocket_units = 1;
	load_state(r, f, u);
}

/* Names of what is in a folder, one after the other; where each begins. */
static struct found *list(DIR *d, struct buf *names, size_t *ret_n)
{
	struct found *all = NULL;
	struct dirent *de;
	size_t n = 0;

	while (d && (de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		if ((n & (n - 1)) == 0)
			all = xreallocarray(all, n ? n * 2 : 1, sizeof(*all));
		all[n++].name = names->len;
		buf_add(names, de->d_name, strlen(de->d_name) + 1);
	}
	*ret_n = n;
	return all;
}

static size_t how_many_readers(size_t units)
{
	size_t n = units / WORTH_A_READER + 1, processors;
	cpu_set_t set;

	processors = sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
	n = n < processors ? n : processors;
	return n < READERS ? n : READERS;
}

static void load_units(bool with_state)
{
	_cleanup_closedir_ DIR *d = opendir("units");
	_cleanup_buf_ struct buf names = BUF_INIT;
	struct reader readers[READERS];
	size_t n, nreaders, nthreads = 1;
	_cleanup_free_ struct found *all = list(d, &names, &n);

	nreaders = how_many_readers(n);
	for (size_t i = 0; i < nreaders; i++)
		readers[i] = (struct reader){ .units = d ? dirfd(d) : -1, .names = names.data, .first = all + n * i / nreaders,
			.end = all + n * (i + 1) / nreaders, .with_state = with_state };
	/* Where a thread cannot be had we read its share ourselves. */
	while (nthreads < nreaders && pthread_create(&readers[nthreads].thread, NULL, read_units, &readers[nthreads]) == 0)
		nthreads++;
	read_units(&readers[0]);
	for (size_t i = nthreads; i < nreaders; i++)
		read_units(&readers[i]);
	for (size_t i = 0; i < nreaders; i++) {
		if (i && i < nthreads)
			pthread_join(readers[i].thread, NULL);
		for (const struct found *f = readers[i].first; f < readers[i].end; f++)
			load_unit(&readers[i], f);
		buf_free(&readers[i].text);
	}
}

static void last_job(void)
{
	_cleanup_closedir_ DIR *d = opendir("jobs");
	struct dirent *de;

	while (d && (de = readdir(d))) {
		unsigned long n = strtoul(de->d_name, NULL, 10);

		if (n > machine.last_job && n < UINT32_MAX)
			machine.last_job = (uint32_t)n;
	}
}

void home_load(void)
{
	bool same = home_same_boot();

	core_load(&machine.core);
	load_units(same);
	if (!core_loaded(&machine.core)) {
		/* Somebody has written a cycle into the files. Once more, so that only the unit which closes it is left out. */
		core_free(&machine.core);
		core_init(&machine.core, &launch_ops, NULL);
		load_units(same);
	}
	last_job();
}
