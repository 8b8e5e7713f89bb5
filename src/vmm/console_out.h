/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CONSOLE_OUT_H
#define VMM_CONSOLE_OUT_H

#include "base/loop.h"
#include "base/util.h"

#include <pthread.h>

/* A buffered output that never blocks and never holds up its writer for long; see console_out.c. */
#define CONSOLE_OUT_SIZE (64 * 1024)

struct console_out {
	int fd; /* -1: everything is thrown away */
	bool socket, polled, owned;
	const char *name;
	struct loop *loop;
	struct loop_fd watch;
	struct loop_timer timer;
	void (*ready)(void *opaque); /* it may take more again; main loop's thread */
	void *opaque;

	pthread_mutex_t lock;
	uint8_t *ring;
	size_t head, used;
	uint64_t stalled_since; /* clock_ns(), 0: it is not */
	bool waiting;		/* for the descriptor to become writable */
	bool broken, complained;
	uint64_t lost;
};

int console_out_stdio(struct console_out *out, struct loop *loop, struct error *err);
int console_out_file(struct console_out *out, const char *path, struct loop *loop,
		     struct error *err);
void console_out_null(struct console_out *out, struct loop *loop);
void console_out_write(struct console_out *out, const uint8_t *data, size_t len);
bool console_out_ready(struct console_out *out);
/** Waits up to timeout_ms for the rest to go out; closes. */
void console_out_close(struct console_out *out, int timeout_ms);

#endif
