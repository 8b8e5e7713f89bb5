/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: the HTTP thread's side, with libmicrohttpd. Everything here runs in that
 * thread but the functions at the end.
 */
#include "control/control_internal.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define HEADERS_MAX (16 * 1024) /* bytes of a connection's memory: request line and headers */

static void set_deadline(struct control_conn *conn, bool set)
{
	conn->deadline = set ? clock_ns() + CONTROL_TIMEOUT_S * NSEC_PER_SEC : 0;
}

static void on_connection(void *cls, struct MHD_Connection *http, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct control *control = cls;
	struct control_conn *conn = *context, **link = &control->conns;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			microhttpd.MHD_get_connection_info(http, MHD_CONNECTION_INFO_CONNECTION_FD);

		conn = calloc(1, sizeof(*conn));
		*context = conn;
		if (!conn)
			return; /* its requests are refused */
		conn->fd = info->connect_fd;
		pthread_mutex_lock(&control->lock);
		set_deadline(conn, true);
		conn->next = control->conns;
		control->conns = conn;
		control_wake(control);
		pthread_mutex_unlock(&control->lock);
		return;
	}
	pthread_mutex_lock(&control->lock);
	while (*link && *link != conn)
		link = &(*link)->next;
	if (*link)
		*link = conn->next;
	for (struct control_subscriber *s = control->subscribers; s; s = s->next) {
		if (s->conn == conn)
			s->conn = NULL;
	}
	pthread_mutex_unlock(&control->lock);
	free(conn);
	*context = NULL;
}

static void free_call(struct control_call *call)
{
	free(call->method);
	free(call->path);
	free(call->body);
	free(call->text);
	json_decref(call->json);
	free(call);
}

static void on_completed(void *cls, struct MHD_Connection *http, void **context,
			 enum MHD_RequestTerminationCode code)
{
	struct control *control = cls;
	struct control_call *call = *context;

	if (!call)
		return;
	pthread_mutex_lock(&control->lock);
	set_deadline(call->conn, true); /* for the next request */
	if (--control->busy == 0)
		pthread_cond_broadcast(&control->idle);
	pthread_mutex_unlock(&control->lock);
	free_call(call);
	*context = NULL;
}

static struct control_call *new_call(struct control *control, struct MHD_Connection *http,
				     const char *method, const char *path)
{
	const union MHD_ConnectionInfo *info =
		microhttpd.MHD_get_connection_info(http, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct control_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->control = control;
	call->http = http;
	call->conn = info->socket_context;
	call->method = strdup(method);
	call->path = strdup(path);
	if (!call->conn || !call->method || !call->path) {
		free_call(call);
		return NULL;
	}
	pthread_mutex_lock(&control->lock);
	control->busy++;
	pthread_mutex_unlock(&control->lock);
	return call;
}

static enum MHD_Result send_reply(struct control_call *call)
{
	struct MHD_Response *response;
	enum MHD_Result ret;

	if (call->subscriber) {
		response = control_subscriber_response(call->subscriber);
	} else {
		response = microhttpd.MHD_create_response_from_buffer(
			call->text ? strlen(call->text) : 0, call->text, MHD_RESPMEM_MUST_COPY);
		pthread_mutex_lock(&call->control->lock);
		set_deadline(call->conn, true);
		pthread_mutex_unlock(&call->control->lock);
	}
	if (!response)
		return MHD_NO;
	if (call->type)
		microhttpd.MHD_add_response_header(response, "Content-Type", call->type);
	if (call->allow)
		microhttpd.MHD_add_response_header(response, "Allow", call->allow);
	ret = microhttpd.MHD_queue_response(call->http, call->status, response);
	microhttpd.MHD_destroy_response(response);
	return ret;
}

static enum MHD_Result refuse(struct control_call *call, unsigned status, const char *why)
{
	call->state = CALL_ANSWERED;
	control_call_fail(call, status, "%s", why);
	return send_reply(call);
}

/* The request's headers are there: its body, if it has one, is still to come. */
static enum MHD_Result begin(struct control_call *call)
{
	const char *length = microhttpd.MHD_lookup_connection_value(call->http, MHD_HEADER_KIND,
								    "Content-Length");

	if (length && strtoull(length, NULL, 10) > CONTROL_BODY_MAX)
		return refuse(call, 413, "the request's body is too long");
	return MHD_YES;
}

static enum MHD_Result take_body(struct control_call *call, const char *data, size_t *size)
{
	char *body;

	if (*size > CONTROL_BODY_MAX - call->len)
		return MHD_NO; /* its length was not told: no reply is possible in the middle */
	body = realloc(call->body, call->len + *size);
	if (!body)
		return MHD_NO;
	call->body = body;
	memcpy(body + call->len, data, *size);
	call->len += *size;
	*size = 0;
	return MHD_YES;
}

static bool parse_body(struct control_call *call, struct error *err)
{
	json_error_t why;

	if (!call->len)
		return true;
	call->json = json_loadb(call->body, call->len, JSON_REJECT_DUPLICATES, &why);
	if (!call->json)
		error_set(err, -EINVAL, "the request's body is not JSON: line %d, column %d: %s",
			  why.line, why.column, why.text);
	else if (!json_is_object(call->json))
		error_set(err, -EINVAL, "the request's body is not a JSON object");
	return !err->code;
}

/* All of the request is there. */
static enum MHD_Result submit(struct control_call *call)
{
	struct control *control = call->control;
	struct error err = {0};
	bool closing;

	if (!parse_body(call, &err))
		return refuse(call, 400, err.text);
	pthread_mutex_lock(&control->lock);
	closing = control->closing;
	if (!closing) {
		set_deadline(call->conn, false);
		call->state = CALL_QUEUED;
		microhttpd.MHD_suspend_connection(call->http);
		*control->last = call;
		control->last = &call->next;
		control_wake(control);
	}
	pthread_mutex_unlock(&control->lock);
	return closing ? refuse(call, 503, "the program is ending") : MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *http, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **context)
{
	struct control_call *call = *context;

	if (!call) {
		call = new_call(cls, http, method, url);
		*context = call;
		return call ? begin(call) : MHD_NO;
	}
	if (*size)
		return take_body(call, data, size);
	if (call->state == CALL_RECEIVING)
		return submit(call);
	return call->state == CALL_ANSWERED ? send_reply(call) : MHD_YES;
}

static void on_log(void *cls, const char *fmt, va_list args) __printf(2, 0);
static void on_log(void *cls, const char *fmt, va_list args)
{
	char text[256];

	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("control socket: %s", text);
}

int control_http_start(struct control *control, struct error *err)
{
	const struct MHD_OptionItem options[] = {
		{MHD_OPTION_LISTEN_SOCKET, control->listener, NULL},
		{MHD_OPTION_CONNECTION_LIMIT, CONTROL_CONNECTIONS, NULL},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADERS_MAX, NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, CONTROL_TIMEOUT_S, NULL},
		{MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, control},
		{MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, control},
		{MHD_OPTION_END, 0, NULL},
	};
	int ret = microhttpd_load(err);

	if (ret)
		return ret;
	/* The logger has to be the first option. */
	control->http = microhttpd.MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME |
			MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, control, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	return control->http ? 0 : error_set(err, -EIO, "libmicrohttpd does not start");
}

void control_http_quiesce(struct control *control)
{
	microhttpd.MHD_quiesce_daemon(control->http);
}

void control_http_stop(struct control *control)
{
	microhttpd.MHD_stop_daemon(control->http);
	control->http = NULL;
}
