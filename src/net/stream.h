/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to a client that takes them when it likes: a bounded ring in between, so that nobody ever waits for it. */
#ifndef CROFT_NET_STREAM_H
#define CROFT_NET_STREAM_H

#include "base/loop.h"
#include <stdbool.h>
#include <stddef.h>

struct stream;
/* Takes the fd (non-blocking). `gone` is called once when the client has; it has to call stream_free. */
struct stream *stream_new(struct loop *loop, int fd, size_t capacity, void (*gone)(void *arg), void *arg);
void stream_free(struct stream *s);
bool stream_room(const struct stream *s, size_t n);
/* Only what there is room for. */
void stream_put(struct stream *s, const void *p, size_t n);
/* After the last of some puts: sends what the client takes now. */
void stream_push(struct stream *s);

#endif
