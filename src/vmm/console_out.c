/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the guest's console output goes.
 *
 * The writer is a vCPU, so nothing here may block: what the descriptor does not take at once waits
 * in a ring, which the main loop empties when the descriptor becomes writable. When the ring is
 * full the serial port looks busy to the guest; a guest that would thereby wait for a reader that
 * has gone to lunch is let go on after STALL_NS, and what it then writes is lost and counted.
 *
 * A terminal or pipe is opened again through /proc/self/fd: O_NONBLOCK belongs to the open file,
 * which standard output shares with the shell and whoever else. Where that cannot be had (another
 * user's terminal), each write is preceded by a poll(), after which a write of up to PIPE_BUF does
 * not block.
 */
#include "vmm/console_out.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define STALL_NS  NSEC_PER_SEC
#define READY_GAP 1024 /* room that a ready line has: more than the serial port gathers */

static bool out_full(const struct console_out *out)
{
	return out->used > CONSOLE_OUT_SIZE - READY_GAP;
}

static ssize_t out_try(struct console_out *out, const uint8_t *data, size_t len)
{
	if (out->socket)
		return send(out->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (out->polled) {
		struct pollfd p = {.fd = out->fd, .events = POLLOUT};

		if (poll(&p, 1, 0) != 1 || !(p.revents & (POLLOUT | POLLERR | POLLHUP))) {
			errno = EAGAIN;
			return -1;
		}
		len = MIN(len, (size_t)PIPE_BUF);
	}
	return write(out->fd, data, len);
}

/* Returns how much was taken; all of it, for good, when nobody is there to take it. */
static size_t out_write(struct console_out *out, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len && !out->broken) {
		ssize_t n = out_try(out, data + done, len - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return done;
		if (!out->complained)
			log_warn("%s: console output cannot be written: %s%s", out->name,
				 error_name(errno),
				 errno == ENOSPC ? " (what does not fit is lost)" : "");
		out->complained = true;
		/* A full disk may have room again; a reader that left does not come back. */
		out->broken = n < 0 && (errno == EPIPE || errno == EIO || errno == ECONNRESET);
		break;
	}
	out->lost += len - done;
	return len;
}

/* Empties the ring as far as it goes; the lock is held. */
static void out_drain(struct console_out *out)
{
	while (out->used) {
		size_t run = MIN(out->used, CONSOLE_OUT_SIZE - out->head), n;

		n = out_write(out, out->ring + out->head, run);
		out->head = (out->head + n) % CONSOLE_OUT_SIZE;
		out->used -= n;
		if (n)
			out->stalled_since = 0;
		if (n < run)
			break;
	}
}

static void writable(struct loop_fd *watch, uint32_t events)
{
	struct console_out *out = watch->opaque;
	bool was_full, done;

	pthread_mutex_lock(&out->lock);
	was_full = out_full(out);
	out_drain(out);
	done = !out->used;
	if (done)
		out->waiting = false;
	was_full = was_full && !out_full(out);
	pthread_mutex_unlock(&out->lock);
	if (done) {
		loop_remove(out->loop, &out->watch);
		loop_timer_cancel(out->loop, &out->timer);
	}
	if (was_full && out->ready)
		out->ready(out->opaque);
}

/* The guest has waited long enough: let it see a ready line again. */
static void stalled(struct loop_timer *timer)
{
	struct console_out *out = timer->opaque;

	if (out->ready)
		out->ready(out->opaque);
}

static void start_waiting(void *arg)
{
	struct console_out *out = arg;

	if (out->watch.active)
		return;
	if (loop_add(out->loop, &out->watch, EPOLLOUT))
		return;
	loop_timer_set(out->loop, &out->timer, clock_ns() + STALL_NS + NSEC_PER_MSEC);
}

static void out_push(struct console_out *out, const uint8_t *data, size_t len)
{
	size_t room = CONSOLE_OUT_SIZE - out->used, tail, run;

	if (len > room) {
		out->lost += len - room;
		len = room;
	}
	tail = (out->head + out->used) % CONSOLE_OUT_SIZE;
	run = MIN(len, CONSOLE_OUT_SIZE - tail);
	memcpy(out->ring + tail, data, run);
	memcpy(out->ring, data + run, len - run);
	out->used += len;
}

void console_out_write(struct console_out *out, const uint8_t *data, size_t len)
{
	bool wait = false;
	size_t done = 0;

	if (out->fd < 0)
		return;
	pthread_mutex_lock(&out->lock);
	if (!out->used)
		done = out_write(out, data, len);
	if (done < len) {
		out_push(out, data + done, len - done);
		if (out_full(out) && !out->stalled_since)
			out->stalled_since = clock_ns();
		wait = !out->waiting;
		out->waiting = true;
	}
	pthread_mutex_unlock(&out->lock);
	if (wait)
		loop_post(out->loop, start_waiting, out);
}

bool console_out_ready(struct console_out *out)
{
	bool ready;

	if (out->fd < 0)
		return true;
	pthread_mutex_lock(&out->lock);
	ready = !out_full(out) ||
		(out->stalled_since && clock_ns() - out->stalled_since >= STALL_NS);
	pthread_mutex_unlock(&out->lock);
	return ready;
}

static int out_init(struct console_out *out, int fd, bool owned, const char *name,
		    struct loop *loop, struct error *err)
{
	out->fd = fd;
	out->owned = owned;
	out->name = name;
	out->loop = loop;
	out->watch = (struct loop_fd){.fd = fd, .fn = writable, .opaque = out};
	out->timer = (struct loop_timer){.fn = stalled, .opaque = out};
	pthread_mutex_init(&out->lock, NULL);
	if (fd < 0)
		return 0;
	out->ring = malloc(CONSOLE_OUT_SIZE);
	return out->ring ? 0 : error_set(err, -ENOMEM, "console: out of memory");
}

int console_out_stdio(struct console_out *out, struct loop *loop, struct error *err)
{
	int fd = STDOUT_FILENO;
	char path[32];
	struct stat st;

	if (fstat(fd, &st))
		return error_set(err, -errno,
				 "--serial stdio: standard output is not open: use --serial null");
	out->socket = S_ISSOCK(st.st_mode);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd < 0) {
			fd = STDOUT_FILENO;
			out->polled = true;
		}
	}
	return out_init(out, fd, fd != STDOUT_FILENO, "standard output", loop, err);
}

int console_out_file(struct console_out *out, const char *path, struct loop *loop,
		     struct error *err)
{
	/* The open file is this process's own. For a regular file O_NONBLOCK changes nothing. */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);

	if (fd < 0 && errno == ENXIO)
		return error_set(err, -ENXIO,
				 "--serial file=%s: a named pipe that nobody reads: start its "
				 "reader first",
				 path);
	if (fd < 0)
		return error_set(err, -errno, "--serial file=%s: cannot open: %s", path,
				 error_name(errno));
	return out_init(out, fd, true, path, loop, err);
}

void console_out_null(struct console_out *out, struct loop *loop)
{
	out_init(out, -1, false, "null", loop, NULL);
}

void console_out_close(struct console_out *out, int timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;

	if (out->loop) {
		loop_remove(out->loop, &out->watch);
		loop_timer_cancel(out->loop, &out->timer);
	}
	pthread_mutex_lock(&out->lock);
	while (out->used && clock_ns() < end) {
		struct pollfd p = {.fd = out->fd, .events = POLLOUT};

		poll(&p, 1, 50);
		out_drain(out);
	}
	out->lost += out->used;
	pthread_mutex_unlock(&out->lock);
	if (out->owned)
		close(out->fd);
	out->fd = -1;
	free(out->ring);
	out->ring = NULL;
	pthread_mutex_destroy(&out->lock);
}
