/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pool.h"
#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

struct slot {
	void *task;
	bool done;
};
struct pool {
	struct pool_ops ops;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct slot *ring;
	size_t depth, submitted, taken, reaped; /* counters that only grow; modulo depth into ring */
	bool stop;
	pthread_t *threads;
	unsigned n;
};

unsigned pool_threads(unsigned threads)
{
	cpu_set_t set;

	if (!threads)
		threads = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	return threads > 32 ? 32 : threads;
}

static void *work(void *arg)
{
	struct pool *p = arg;
	void *ctx = p->ops.ctx_new(p->ops.arg);

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct slot *s;

		while (p->taken == p->submitted && !p->stop)
			pthread_cond_wait(&p->work, &p->lock);
		if (p->taken == p->submitted)
			break;
		s = &p->ring[p->taken++ % p->depth];
		pthread_mutex_unlock(&p->lock);
		p->ops.run(ctx, s->task);
		pthread_mutex_lock(&p->lock);
		s->done = true;
		pthread_cond_signal(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
	p->ops.ctx_free(ctx);
	return NULL;
}

struct pool *pool_new(unsigned threads, size_t depth, const struct pool_ops *ops)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->ops = *ops;
	p->depth = depth;
	p->ring = xcalloc(depth, sizeof(*p->ring));
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, NULL);
	threads = pool_threads(threads);
	p->threads = xcalloc(threads, sizeof(*p->threads));
	for (; p->n < threads; p->n++)
		if (pthread_create(&p->threads[p->n], NULL, work, p))
			break; /* fewer do as well; none: reap does the work itself */
	return p;
}

size_t pool_pending(const struct pool *p)
{
	return p->submitted - p->reaped;
}

void pool_submit(struct pool *p, void *task)
{
	pthread_mutex_lock(&p->lock);
	p->ring[p->submitted++ % p->depth] = (struct slot){ task, false };
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void *pool_reap(struct pool *p)
{
	struct slot *s;

	if (p->submitted == p->reaped)
		return NULL;
	s = &p->ring[p->reaped % p->depth];
	pthread_mutex_lock(&p->lock);
	if (!p->n) {
		void *ctx = p->ops.ctx_new(p->ops.arg);

		p->taken++;
		p->ops.run(ctx, s->task);
		p->ops.ctx_free(ctx);
		s->done = true;
	}
	while (!s->done)
		pthread_cond_wait(&p->done, &p->lock);
	p->reaped++;
	pthread_mutex_unlock(&p->lock);
	return s->task;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	while (pool_reap(p))
		;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
	free(p->ring);
	free(p->threads);
	free(p);
}
