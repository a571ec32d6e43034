/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pm: the process manager. This folder owns units, their state machine, the home on disk, the watcher and the clients;
 * croft runs the program `pm`, guests run it as PID 1. It is linked statically and uses of src/base only what is libc.
 *
 * Theory of operation
 * -------------------
 * `pm main` is two processes.
 *
 *	watcher (watch.c)   parent and sub-reaper of every process of every unit. No heap, no parser, no policy. Spawns on
 *	   |   |   |        request, waits, keeps each exit status until it is acknowledged and each log pipe open.
 *	   |  unit unit
 *	   | socketpair (wire.h)
 *	machine (machine.c) everything else: core.c decides, launch.c acts, home.c records, server.c talks. It may die or be
 *	                    replaced at any moment: the next one takes the units back from home and watcher.
 *
 * If the watcher dies the machine becomes a watcher itself (same pid, by exec) and starts a new machine; processes are
 * then watched by pidfd, found by pid + start time. If both die, the next `pm main` on the same home does the same.
 *
 * Processes with surroundings of their own (isolate.h) are started through `pm .exec JOB`, which reads jobs/N/parameter,
 * applies them to itself and becomes the program; others straight by the watcher.
 *
 * A unit is a set of parameters, key=value with any bytes in values (param.h lists the keys). The state machine is the
 * table in table.c; every transition is a line in units/ID/state. Commands come as lines of text (stream.h) through the
 * FIFO `input` or the socket `socket`.
 *
 * Home (PMHOME; root: /var/opt/pm, else $XDG_STATE_HOME/pm)
 *	input			FIFO: the command stream
 *	socket			stream socket: the same lines, with answers
 *	notify			datagram socket for NOTIFY_SOCKET
 *	lock			held by the watcher and the machine while they live
 *	log			what pm itself has to say
 *	units/ID/parameter	key=value lines; backslash and newline in values are written \\ and \n
 *	units/ID/state		one line a transition, the last complete line is the state:
 *				TIME <tab> STATE <tab> up|down <tab> JOB <tab> RETRIES <tab> REASON
 *	units/ID/log, log.1	output, each line with its time
 *	jobs/N/parameter	`unit=ID`, `reason=WHY`, then the parameters it was started with; written before the start
 *	jobs/N/pid		"PID START BOOTID", as base/proc.h has it; written by the new process itself before it
 *				becomes the program, so no process exists without
 *	jobs/N/retcode		"exit N", "signal NAME" or "lost"
 * In ID, bytes other than [A-Za-z0-9_.@!=+-], and a leading dot, are %XX in names of files.
 */
#ifndef CROFT_PM_PM_H
#define CROFT_PM_PM_H

#include <stdbool.h>
#include <stdint.h>

#define PM_ID_MAX 200	   /* bytes of a unit's name */
#define PM_LINE_MAX 65536  /* bytes of a command line */

/*
 * States of a unit, by name as people see them.
 *	STOPPED		nothing exists
 *	SCHE_START	asked to start; waits for what it needs
 *	STARTING	started; its condition does not hold yet
 *	RUNNING		the condition holds
 *	STARTING_FAIL	the condition failed; no process is left
 *	SCHE_STOP	asked to stop; waits until its dependents have quit
 *	STOPPING	told to quit; not gone yet
 *	FAIL		its process (or resource) went away unasked
 */
#define PM_STATES(X) X(STOPPED) X(SCHE_START) X(STARTING) X(RUNNING) X(STARTING_FAIL) X(SCHE_STOP) X(STOPPING) X(FAIL)

/*
 * Events.
 *	START STOP RESTART RELOAD RESET	commands (RESET is reset-failed)
 *	DEPS_OK		everything it needs runs
 *	DEP_FAIL	something it needs cannot come to run
 *	NEED_LOST	something it is bound to is going away
 *	READY		synchronised, or the condition holds
 *	UNREADY		the condition failed, and no process is left
 *	GONE		the process or resource has gone away
 *	TIMEOUT		the time-out of the present state
 *	DEPS_QUIT	the dependents have quit
 *	SYNC		stopping is complete
 */
#define PM_EVENTS(X) \
	X(START) X(STOP) X(RESTART) X(RELOAD) X(RESET) X(DEPS_OK) X(DEP_FAIL) X(NEED_LOST) X(READY) X(UNREADY) X(GONE) \
	X(TIMEOUT) X(DEPS_QUIT) X(SYNC)

#define PM_ENUM_STATE(n) PM_##n,
#define PM_ENUM_EVENT(n) PM_EV_##n,
enum pm_state { PM_STATES(PM_ENUM_STATE) PM_NSTATES };
enum pm_event { PM_EVENTS(PM_ENUM_EVENT) PM_NEVENTS };
#undef PM_ENUM_STATE
#undef PM_ENUM_EVENT

const char *pm_state_name(enum pm_state s);
int pm_state_parse(const char *name); /* -1: no such state */
const char *pm_event_name(enum pm_event e);

#endif
