/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A port's state through a pipe of the front-end's (SET_DEVICE_STATE_FD), and the word on whether it went
 * well (CHECK_DEVICE_STATE). Only pipes are taken, and opened anew, so that O_NONBLOCK is ours alone: the
 * loop reads and writes as far as it goes, and nothing that the other end does can hold it up.
 */
#define NO_FD	     (1U << 8) /* in the reply: we have no descriptor of our own to use instead */
#define REFUSED	     1U
#define LOAD_CHUNK   4096U
#define LOAD_MAX     (1U << 20)
#define DIRECTION_TO 0 /* the state is saved, to the pipe */

enum { STATE_NONE, STATE_SAVING, STATE_LOADING, STATE_DONE, STATE_FAILED };

static void finish(struct vhost_backend *be, int how)
{
	struct back_state *s = &be->state;

	if (s->pipe.fd >= 0) {
		loop_remove(be->loop, &s->pipe);
		close(s->pipe.fd);
	}
	s->pipe.fd = -1;
	free(s->data);
	s->data = NULL;
	s->len = s->at = 0;
	s->how = how;
}

void back_state_drop(struct vhost_backend *be)
{
	finish(be, STATE_NONE);
}

static void failed(struct vhost_backend *be, const char *why)
{
	log_warn_limited("%s: the device's state: %s", be->name, why);
	finish(be, STATE_FAILED);
}

static void save_on(struct vhost_backend *be)
{
	struct back_state *s = &be->state;

	while (s->at < s->len) {
		ssize_t n = write(s->pipe.fd, s->data + s->at, s->len - s->at);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			failed(be, error_name(errno));
			return;
		}
		s->at += (size_t)n;
	}
	finish(be, STATE_DONE);
}

static void take(struct vhost_backend *be)
{
	struct back_state *s = &be->state;
	struct device_state_address *list = calloc(DEVICE_STATE_MAX, sizeof(*list));
	struct error err;
	int n;

	if (!list) {
		failed(be, "out of memory");
		return;
	}
	n = device_state_read(s->data, s->len, list, &err);
	if (n < 0) {
		failed(be, err.text);
	} else {
		be->ops->load_state(be->opaque, list, (unsigned)n);
		finish(be, STATE_DONE);
	}
	free(list);
}

/* As much as there is; at the end it is looked at as a whole. */
static void load_on(struct vhost_backend *be)
{
	struct back_state *s = &be->state;

	for (;;) {
		uint8_t *more = s->len > LOAD_MAX ? NULL : realloc(s->data, s->len + LOAD_CHUNK);
		ssize_t n;

		if (!more) {
			failed(be, s->len > LOAD_MAX ? "too long" : "out of memory");
			return;
		}
		s->data = more;
		n = read(s->pipe.fd, s->data + s->len, LOAD_CHUNK);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			failed(be, error_name(errno));
			return;
		}
		if (n == 0) {
			take(be);
			return;
		}
		s->len += (size_t)n;
	}
}

static void on_pipe(struct loop_fd *watch, uint32_t events)
{
	struct vhost_backend *be = watch->opaque;

	if (be->state.how == STATE_SAVING)
		save_on(be);
	else
		load_on(be);
}

static int open_pipe(int fd, bool save, struct error *err)
{
	char path[32];
	struct stat st;
	int own;

	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return error_set(err, -EINVAL, "the descriptor is no pipe");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, (save ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
	if (own < 0)
		return error_set(err, -errno, "the pipe: %s", error_name(errno));
	return own;
}

static int make_state(struct vhost_backend *be, struct error *err)
{
	struct device_state_address *list = calloc(DEVICE_STATE_MAX, sizeof(*list));
	struct back_state *s = &be->state;
	unsigned n;

	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	n = be->ops->save_state(be->opaque, list, DEVICE_STATE_MAX);
	s->len = device_state_size(n);
	s->data = malloc(s->len);
	if (s->data)
		device_state_write(s->data, list, n);
	free(list);
	return s->data ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int begin(struct vhost_backend *be, const struct vhost_user_msg *msg, struct error *err)
{
	bool save = msg->payload.transfer.direction == DIRECTION_TO;
	struct back_state *s = &be->state;
	int rc = 0;

	for (unsigned i = 0; i < be->nqueues; i++)
		if (be->queues[i].running)
			return error_set(err, -EBUSY, "queue %u is running", i);
	finish(be, STATE_FAILED);
	if (save)
		rc = make_state(be, err);
	if (rc)
		return rc;
	rc = open_pipe(msg->fds[0], save, err);
	if (rc < 0)
		return rc;
	s->pipe = (struct loop_fd){.fd = rc, .fn = on_pipe, .opaque = be};
	rc = loop_add(be->loop, &s->pipe, save ? EPOLLOUT : EPOLLIN);
	if (rc) {
		close(s->pipe.fd);
		s->pipe.fd = -1;
		return error_set(err, rc, "cannot watch the pipe: %s", error_name(rc));
	}
	s->how = save ? STATE_SAVING : STATE_LOADING;
	return 0;
}

/* Refused or not, the connection goes on: the reply says it. */
int back_set_device_state_fd(struct vhost_backend *be, struct vhost_user_msg *msg,
			     struct error *err)
{
	uint64_t answer = NO_FD;

	if (begin(be, msg, err)) {
		failed(be, err->text);
		answer |= REFUSED;
	}
	vhost_user_close_fds(msg);
	msg->payload.u64 = answer;
	msg->hdr.size = sizeof(answer);
	return 0;
}

/* The front-end has read to the end of it, or written all and closed it: it need not be waited for. */
int back_check_device_state(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_state *s = &be->state;

	if (s->how == STATE_LOADING)
		load_on(be);
	msg->payload.u64 = s->how == STATE_DONE ? 0 : REFUSED;
	msg->hdr.size = sizeof(msg->payload.u64);
	finish(be, STATE_NONE);
	return 0;
}
