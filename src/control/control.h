/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "base/loop.h"

#include <jansson.h>

/*
 * The control socket: HTTP with JSON over a stream socket in the file system. A program opens one,
 * registers its commands and what it measures, and reports events.
 *
 * HTTP is spoken by a thread of its own; commands run in the main loop's thread, one at a time,
 * each only when its request is there in full. So whatever a client does (send slowly, send
 * rubbish, not read, go away), the main loop sees nothing of it. Bodies, connections, and the time
 * a request may take are bounded.
 *
 * Three paths are there without a command: GET /metrics (Prometheus), GET /api/v1/events (see
 * control_event()), and GET /api/v1, which lists the methods and paths of everything registered.
 *
 * Unless said otherwise the functions are for the main loop's thread.
 */
#define CONTROL_BODY_MAX      (64 * 1024) /* bytes of a request's body */
#define CONTROL_CONNECTIONS   32
#define CONTROL_SUBSCRIBERS   8		  /* streams of events at a time */
#define CONTROL_EVENTS_QUEUED (64 * 1024) /* bytes that may wait for one reader */
#define CONTROL_TIMEOUT_S     10	  /* for a request to be here, and for a reply to be gone */

struct control;

/** A request that is there in full. Everything in it is valid during the call only. */
struct control_request {
	const char *id; /* what stands where the path has {id}; "" where it has none */
	json_t *body;	/* an object, or NULL where there was none; borrowed */
};

struct control_command {
	const char *method; /* "GET", "PUT" */
	const char *path;   /* "/api/v1/vm.info", "/api/v1/net/{id}/link" */
	/**
	 * Returns 0, with a new reference in *reply or NULL for no content, or a negative errno
	 * with err set: -EINVAL becomes 400, -ENOENT and -ENODEV 404, -EEXIST, -EBUSY and
	 * -EALREADY 409, -EPERM and -EACCES 403, -EOPNOTSUPP 501, all else 500, and the text
	 * {"error": text}.
	 */
	int (*run)(void *opaque, const struct control_request *request, json_t **reply,
		   struct error *err);
};

/**
 * Listens at path (mode 0600). A socket that a dead process left is replaced; one that somebody
 * listens at is -EADDRINUSE. Call it with those signals blocked that a new thread is to block.
 */
int control_open(const char *path, struct loop *loop, struct control **out, struct error *err);

/**
 * Lets replies and events on their way be read for up to a second, ends all connections, removes
 * the socket. NULL is allowed.
 */
void control_close(struct control *control);

/**
 * Registers a table of commands, which ends with method NULL; each is run with opaque. The table is
 * kept, not copied, and must outlive the control. 0 or -ENOMEM.
 */
int control_register(struct control *control, const struct control_command *table, void *opaque);

/**
 * Takes the members of a request's object as json_unpack() does ("{s:s, s?:b !}", …); a request
 * without a body is an empty object. -EINVAL with err set if it does not fit.
 */
int control_unpack(const struct control_request *request, struct error *err, const char *format,
		   ...);

/**
 * Tells whoever reads GET /api/v1/events: one line of JSON, {"time": seconds since 1970, "event":
 * name, "detail": detail}. Takes over the reference to detail (NULL: an empty object). From any
 * thread; never waits: a reader that does not keep up is cut off.
 */
void control_event(struct control *control, const char *name, json_t *detail);

/*
 * Metrics. A collector is called for each GET /metrics. It begins each family once and then gives
 * all of its samples.
 */
struct control_metrics;

/** Registers a collector. 0 or -ENOMEM. */
int control_metric(struct control *control,
		   void (*collect)(void *opaque, struct control_metrics *out), void *opaque);

/** type is "counter" or "gauge"; the name of a counter ends in _total. */
void control_metric_begin(struct control_metrics *out, const char *name, const char *type,
			  const char *help);

/** A sample of the family begun last, with pairs of label and value, and then the end. */
#define CONTROL_LABELS_END ((const char *)NULL)
void control_metric_sample(struct control_metrics *out, uint64_t value, ...)
	__attribute__((sentinel));

#endif
