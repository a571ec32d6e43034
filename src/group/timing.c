/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/loop.h"

#include <sys/mman.h>

/* A page that workers, which are processes, write too: the longest time that one of this round has spent in commands. */
static uint64_t *worst;
static uint64_t began, commands; /* of the whole; of the rounds that are over */
static uint64_t mine;		 /* of this worker */

void group_timing_begin(void)
{
	void *page = mmap(NULL, sizeof(*worst), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	worst = page == MAP_FAILED ? NULL : page;
	began = loop_now();
}

void timing_ran(uint64_t since)
{
	uint64_t was;

	if (!worst)
		return;
	mine += loop_now() - since;
	was = __atomic_load_n(worst, __ATOMIC_SEQ_CST);
	while (was < mine && !__atomic_compare_exchange_n(worst, &was, mine, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

void timing_round(void)
{
	if (!worst)
		return;
	commands += *worst;
	*worst = 0;
	mine = 0;
}

void group_timing_end(double *all, double *in_commands)
{
	timing_round();
	*all = (double)(loop_now() - began) / 1e9;
	*in_commands = (double)commands / 1e9;
}
