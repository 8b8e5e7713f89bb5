/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of events.
 *
 * Theory of operation. Each reader has a buffer of what it has not been sent yet. control_event()
 * appends to it, and resumes the connection if it was suspended because there was nothing to send.
 * A buffer that is full means that its reader does not read: the reader is cut off, so that what it
 * has got is without a gap.
 *
 * A suspended connection does not notice that its peer has gone. So the main loop watches a copy of
 * its descriptor for that (EPOLLHUP: both directions are closed; a client that has only finished
 * sending is still there).
 *
 * The main loop makes a subscriber and frees it, once the HTTP thread has marked it done.
 */
#include "control/control_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096 /* bytes handed to HTTP at a time */

/* The lock is held. */
static void wake_subscriber(struct control_subscriber *s)
{
	if (!s->suspended)
		return;
	s->suspended = false;
	microhttpd.MHD_resume_connection(s->http);
}

/* The lock is held. */
static void cut_off(struct control_subscriber *s)
{
	s->cut = true;
	if (s->suspended)
		wake_subscriber(s);
	else if (s->conn)
		shutdown(s->conn->fd, SHUT_RDWR); /* HTTP waits for room to send */
}

static void peer_gone(struct loop_fd *watch, uint32_t events)
{
	struct control_subscriber *s = watch->opaque;
	struct control *control = s->control;

	loop_remove(control->loop, watch);
	pthread_mutex_lock(&control->lock);
	if (!s->cut)
		cut_off(s);
	pthread_mutex_unlock(&control->lock);
}

static void free_subscriber(struct control_subscriber *s)
{
	loop_remove(s->control->loop, &s->watch);
	if (s->watch.fd >= 0)
		close(s->watch.fd);
	free(s->data);
	free(s);
}

static struct control_subscriber *new_subscriber(struct control *control,
						 const struct control_call *call)
{
	struct control_subscriber *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->control = control;
	s->http = call->http;
	s->conn = call->conn;
	s->data = malloc(CONTROL_EVENTS_QUEUED);
	s->watch = (struct loop_fd){.fn = peer_gone, .opaque = s};
	s->watch.fd = fcntl(call->conn->fd, F_DUPFD_CLOEXEC, 0);
	if (s->data && s->watch.fd >= 0 && !loop_add(control->loop, &s->watch, 0))
		return s;
	free_subscriber(s);
	return NULL;
}

void control_subscribe(struct control *control, struct control_call *call)
{
	struct control_subscriber *s;
	unsigned n = 0;

	for (s = control->subscribers; s; s = s->next)
		n++;
	if (n >= CONTROL_SUBSCRIBERS) {
		control_call_fail(call, 503, "%u clients read events already", n);
		return;
	}
	s = new_subscriber(control, call);
	if (!s) {
		control_call_fail(call, 500, "out of memory or descriptors");
		return;
	}
	pthread_mutex_lock(&control->lock);
	s->next = control->subscribers;
	control->subscribers = s;
	pthread_mutex_unlock(&control->lock);
	call->subscriber = s;
	call->status = 200;
	call->type = "application/x-ndjson";
}

/* libmicrohttpd asks for more to send. */
static ssize_t next_bytes(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct control_subscriber *s = cls;
	struct control *control = s->control;
	ssize_t ret = 0;
	size_t n;

	pthread_mutex_lock(&control->lock);
	n = MIN(s->len, max);
	if (s->cut) {
		ret = MHD_CONTENT_READER_END_WITH_ERROR;
	} else if (n) {
		memcpy(buf, s->data, n);
		s->len -= n;
		memmove(s->data, s->data + n, s->len);
		ret = (ssize_t)n;
	} else if (s->ending) {
		ret = MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		s->suspended = true;
		microhttpd.MHD_suspend_connection(s->http);
	}
	pthread_mutex_unlock(&control->lock);
	return ret;
}

static void let_go(void *cls)
{
	struct control_subscriber *s = cls;
	struct control *control = s->control;

	pthread_mutex_lock(&control->lock);
	s->done = true;
	control_wake(control);
	pthread_mutex_unlock(&control->lock);
}

struct MHD_Response *control_subscriber_response(struct control_subscriber *s)
{
	return microhttpd.MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, next_bytes, s,
							    let_go);
}

void control_subscribers_end(struct control *control)
{
	pthread_mutex_lock(&control->lock);
	for (struct control_subscriber *s = control->subscribers; s; s = s->next) {
		s->ending = true;
		wake_subscriber(s);
	}
	pthread_mutex_unlock(&control->lock);
}

void control_subscribers_reap(struct control *control)
{
	struct control_subscriber **link = &control->subscribers, *s, *dead = NULL;

	pthread_mutex_lock(&control->lock);
	while ((s = *link)) {
		if (!s->done) {
			link = &s->next;
			continue;
		}
		*link = s->next;
		s->next = dead;
		dead = s;
	}
	pthread_mutex_unlock(&control->lock);
	while ((s = dead)) {
		dead = s->next;
		free_subscriber(s);
	}
}

static char *event_line(const char *name, json_t *detail, size_t *len)
{
	struct timespec now;
	json_t *event;
	char *line;

	clock_gettime(CLOCK_REALTIME, &now);
	event = json_pack("{s:f, s:s, s:o}", "time",
			  (double)now.tv_sec + (double)now.tv_nsec / (double)NSEC_PER_SEC, "event",
			  name, "detail", detail ? detail : json_object());
	line = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(16));
	json_decref(event);
	if (!line)
		return NULL;
	*len = strlen(line);
	line[(*len)++] = '\n'; /* in place of the final 0 */
	return line;
}

void control_event(struct control *control, const char *name, json_t *detail)
{
	size_t len;
	char *line = event_line(name, detail, &len);

	if (!line)
		return;
	pthread_mutex_lock(&control->lock);
	for (struct control_subscriber *s = control->subscribers; s; s = s->next) {
		if (s->cut || s->ending || s->done)
			continue;
		if (len > CONTROL_EVENTS_QUEUED - s->len) {
			cut_off(s);
			continue;
		}
		memcpy(s->data + s->len, line, len);
		s->len += len;
		wake_subscriber(s);
	}
	pthread_mutex_unlock(&control->lock);
	free(line);
}
