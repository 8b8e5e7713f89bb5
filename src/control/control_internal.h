/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_CONTROL_INTERNAL_H
#define CONTROL_CONTROL_INTERNAL_H

/* What the files of the control socket share and nobody else needs. */
#include "control/control.h"
#include "control/http_library.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/types.h>

/* One client's connection. Under the control's lock. */
struct control_conn {
	struct control_conn *next;
	int fd;
	uint64_t deadline; /* clock_ns() at which it is cut off; 0: none */
};

enum control_call_state {
	CALL_RECEIVING,
	CALL_QUEUED,   /* the connection is suspended, the main loop's turn */
	CALL_ANSWERED, /* the fields below are set */
};

/* One request. The HTTP thread's, but while it is queued. */
struct control_call {
	struct control *control;
	struct MHD_Connection *http;
	struct control_conn *conn;
	struct control_call *next; /* in the control's queue */
	enum control_call_state state;

	char *method, *path;
	char *body;
	size_t len;
	json_t *json;

	unsigned status;
	char *text; /* of the reply; free()d with the call unless given on */
	const char *type;
	const char *allow; /* for 405 */
	struct control_subscriber *subscriber;
};

/* A reader of events. The main loop's thread makes and frees it. */
struct control_subscriber {
	struct control *control;
	struct control_subscriber *next;
	struct loop_fd watch; /* whether the reader is still there; a descriptor of its own */

	/* Under the control's lock. */
	struct MHD_Connection *http;
	struct control_conn *conn; /* NULL: closed */
	char *data;		   /* CONTROL_EVENTS_QUEUED */
	size_t len;
	bool suspended; /* nothing to send */
	bool cut;	/* did not keep up, or is gone */
	bool ending;	/* no more will come */
	bool done;	/* HTTP has let go of it */
};

/* What a path leads to. */
enum control_kind { CONTROL_COMMAND, CONTROL_LIST, CONTROL_METRICS, CONTROL_EVENTS };

struct control_route {
	enum control_kind kind;
	const struct control_command *command;
	void *opaque;
};

struct control_collector {
	void (*collect)(void *opaque, struct control_metrics *out);
	void *opaque;
};

struct control {
	struct loop *loop;
	char *path;
	dev_t dev;
	ino_t ino;
	int listener;
	struct MHD_Daemon *http;
	struct loop_fd wake;	 /* an eventfd */
	struct loop_timer sweep; /* of connections past their deadline */

	struct control_route *routes;
	unsigned nroutes;
	struct control_collector *collectors;
	unsigned ncollectors;

	pthread_mutex_t lock;
	pthread_cond_t idle; /* busy became 0 */
	struct control_call *first, **last;
	struct control_conn *conns;
	struct control_subscriber *subscribers;
	unsigned busy; /* requests begun and not completed */
	bool closing;
};

/** Starts and stops the HTTP thread. */
int control_http_start(struct control *control, struct error *err);
/** Nobody is accepted any more. */
void control_http_quiesce(struct control *control);
void control_http_stop(struct control *control);

/** From the HTTP thread, with the lock held: something is to be done in the main loop. */
void control_wake(struct control *control);

/** Carries out a request: sets its status and what it replies. */
void control_dispatch(struct control *control, struct control_call *call);

/** Sets call's answer to {"error": text}. */
void control_call_fail(struct control_call *call, unsigned status, const char *fmt, ...)
	__printf(3, 4);

/** What is registered, as JSON; a new reference. */
json_t *control_list(const struct control *control);

/** The text of all metrics, or NULL; free() it. */
char *control_metrics_text(struct control *control);

/** Makes call's connection a reader of events; sets its status. */
void control_subscribe(struct control *control, struct control_call *call);
/** The response for a reader of events; from the HTTP thread. NULL if there is no memory. */
struct MHD_Response *control_subscriber_response(struct control_subscriber *subscriber);
/** No more events: what is queued is sent and the streams end. */
void control_subscribers_end(struct control *control);
/** Frees those that HTTP has let go of. */
void control_subscribers_reap(struct control *control);

#endif
