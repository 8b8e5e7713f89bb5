/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its command, and from what the command returns to a reply. */
#include "control/control_internal.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define ID_MAX 64

/* A reply's text; what was there is replaced. */
static void set_json(struct control_call *call, unsigned status, const json_t *reply)
{
	free(call->text);
	call->text = json_dumps(reply, JSON_COMPACT);
	call->status = call->text ? status : 500;
	call->type = "application/json";
}

void control_call_fail(struct control_call *call, unsigned status, const char *fmt, ...)
{
	char text[sizeof(((struct error *)0)->text)];
	json_t *reply;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* What a client sent may be quoted in it, and need not be UTF-8. */
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	}
	reply = json_pack("{s:s}", "error", text);
	set_json(call, status, reply);
	json_decref(reply);
}

static unsigned status_of(int code)
{
	switch (code) {
	case -EINVAL:
	case -ERANGE:
		return 400;
	case -EPERM:
	case -EACCES:
		return 403;
	case -ENOENT:
	case -ENODEV:
		return 404;
	case -EEXIST:
	case -EBUSY:
	case -EALREADY:
		return 409;
	case -EOPNOTSUPP:
		return 501;
	default:
		return 500;
	}
}

/* Whether path is what the template says; {id} takes one segment, unquoted into id. */
static bool path_matches(const char *template, const char *path, char id[ID_MAX])
{
	size_t n;

	id[0] = '\0';
	while (*template) {
		if (strncmp(template, "{id}", 4) != 0) {
			if (*template ++ != *path++)
				return false;
			continue;
		}
		n = strcspn(path, "/");
		if (!n || n >= ID_MAX)
			return false;
		memcpy(id, path, n);
		id[n] = '\0';
		path += n;
		template += 4;
	}
	return !*path;
}

static void run_command(struct control_call *call, const struct control_route *route,
			const char *id)
{
	const struct control_request request = {.id = id, .body = call->json};
	struct error err = {0};
	json_t *reply = NULL;
	int ret = route->command->run(route->opaque, &request, &reply, &err);

	log_debug("control socket: %s %s: %s", call->method, call->path, ret ? err.text : "done");
	if (ret)
		control_call_fail(call, status_of(ret), "%s",
				  *err.text ? err.text : error_name(ret));
	else if (reply)
		set_json(call, 200, reply);
	else
		call->status = 204;
	json_decref(reply);
}

static void run_route(struct control *control, const struct control_route *route,
		      struct control_call *call, const char *id)
{
	json_t *list;

	switch (route->kind) {
	case CONTROL_COMMAND:
		run_command(call, route, id);
		break;
	case CONTROL_LIST:
		list = control_list(control);
		set_json(call, 200, list);
		json_decref(list);
		break;
	case CONTROL_METRICS:
		call->text = control_metrics_text(control);
		call->status = call->text ? 200 : 500;
		call->type = "text/plain; version=0.0.4; charset=utf-8";
		break;
	case CONTROL_EVENTS:
		control_subscribe(control, call);
		break;
	}
}

void control_dispatch(struct control *control, struct control_call *call)
{
	const struct control_route *route = control->routes;
	char id[ID_MAX];

	for (unsigned i = 0; i < control->nroutes; i++, route++) {
		if (!path_matches(route->command->path, call->path, id))
			continue;
		if (!strcmp(route->command->method, call->method)) {
			run_route(control, route, call, id);
			return;
		}
		call->allow = route->command->method;
	}
	if (call->allow)
		control_call_fail(call, 405, "%s is called with %s, not %s", call->path,
				  call->allow, call->method);
	else
		control_call_fail(call, 404, "%s is not a path of this program: see GET /api/v1",
				  call->path);
}

json_t *control_list(const struct control *control)
{
	json_t *paths = json_array();

	for (unsigned i = 0; i < control->nroutes; i++) {
		const struct control_command *command = control->routes[i].command;

		json_array_append_new(paths, json_pack("{s:s, s:s}", "method", command->method,
						       "path", command->path));
	}
	return json_pack("{s:o}", "paths", paths);
}

int control_unpack(const struct control_request *request, struct error *err, const char *format,
		   ...)
{
	json_t *object = request->body ? json_incref(request->body) : json_object();
	json_error_t why;
	va_list args;
	int ret;

	va_start(args, format);
	ret = json_vunpack_ex(object, &why, 0, format, args);
	va_end(args);
	json_decref(object);
	return ret ? error_set(err, -EINVAL, "the request's body: %s", why.text) : 0;
}
