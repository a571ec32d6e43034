/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a home. After the death of the machine everything waits for this: ten thousand units, two small files each, with
 * as few system calls as a file can be read with.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "pm/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARAMETER_MAX (1 << 20)
#define PIECE 8192 /* holds nearly every file of a unit */

/* The beginning of units/NAME/FILE, less than PIECE bytes and a NUL; -1: there is none. openat, for musl's open is two system calls. */
static ssize_t read_piece(int units, const char *name, const char *file, char piece[PIECE])
{
	char path[512];
	ssize_t n;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", name, file) >= (int)sizeof(path))
		return -1;
	fd = openat(units, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, piece, PIECE - 1);
	close(fd);
	piece[n > 0 ? n : 0] = '\0';
	return n;
}

static void load_state(int units, const char *name, struct unit *u)
{
	char piece[PIECE], state[16], goal[8];
	_cleanup_buf_ struct buf long_one = BUF_INIT;
	ssize_t n = read_piece(units, name, "state", piece);
	const char *line = NULL;
	unsigned job, retries;
	size_t len;
	int s;

	if (n == PIECE - 1)
		line = home_last(u->id, &long_one) ? long_one.data : NULL;
	else if (n > 0)
		line = home_last_line(piece, (size_t)n, &len);
	if (!line || sscanf(line, "%*s %15s %7s %u %u", state, goal, &job, &retries) != 4)
		return;
	s = pm_state_parse(state);
	if (s < 0)
		return;
	u->job = job;
	core_restore(&machine.core, u, (enum pm_state)s, !strcmp(goal, "up"), retries);
}

static int load_parameter(int units, const char *name, struct params *ps, struct error **err)
{
	_cleanup_buf_ struct buf path = BUF_INIT, text = BUF_INIT;
	char piece[PIECE];
	ssize_t n = read_piece(units, name, "parameter", piece);

	if (n >= 0 && n < PIECE - 1)
		return params_parse(piece, (size_t)n, ps, err);
	buf_addf(&path, "units/%s/parameter", name); /* a long one, or one that tells why it cannot be read */
	if (file_read(path.data, PARAMETER_MAX, &text, err) < 0)
		return -1;
	return params_parse(buf_str(&text), text.len, ps, err);
}

static void load_unit(int units, const char *name, bool with_state)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;
	_cleanup_error_ struct error *e = NULL;
	char id[PM_ID_MAX + 1];
	struct unit *u;

	if (!home_id(name, id)) {
		log_line("home: units/%s: not the name of a unit; left alone", name);
		return;
	}
	if (load_parameter(units, name, &ps, &e) < 0 || !(u = core_define(&machine.core, id, &ps, &e))) {
		log_line("home: units/%s/parameter: %s; this unit is left out", name, e->msg);
		return;
	}
	if (u->type == UNIT_SOCKET)
		machine.nsocket_units = 1;
	if (with_state)
		load_state(units, name, u);
}

static void load_units(bool with_state)
{
	_cleanup_closedir_ DIR *d = opendir("units");
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.')
			load_unit(dirfd(d), de->d_name, with_state);
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
