/* SPDX-License-Identifier: Apache-2.0 */
/* Worker threads over a bounded ring of tasks; results come back in the order of submission. */
#ifndef CROFT_STORE_POOL_H
#define CROFT_STORE_POOL_H

#include <stddef.h>

struct pool;
/* Each worker has its own context: made by ctx_new, given to run, released by ctx_free. */
struct pool_ops {
	void *(*ctx_new)(void *arg);
	void (*ctx_free)(void *ctx);
	void (*run)(void *ctx, void *task);
	void *arg;
};
/* threads 0: one for each core that this process may use, at most 32. */
unsigned pool_threads(unsigned threads);
struct pool *pool_new(unsigned threads, size_t depth, const struct pool_ops *ops);
size_t pool_pending(const struct pool *p); /* submitted, not yet reaped; at most depth */
void pool_submit(struct pool *p, void *task);
void *pool_reap(struct pool *p); /* the oldest, waited for; NULL when none is pending */
void pool_free(struct pool *p);	 /* waits for all; tasks stay the caller's; NULL is allowed */

#endif
