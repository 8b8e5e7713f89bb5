/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of HTTP/1.1 (RFC 9112) that knows as much as a control socket needs: one request a
 * connection, bodies by Content-Length, in chunks, or until the end of the connection.
 */
#include "control/client.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER	  4096
#define HEAD_MAX  512		     /* bytes of a line of the header that matter */
#define REPLY_MAX (16 * 1024 * 1024) /* of a body: a reply is one line */

struct reader {
	int fd, timeout_ms;
	char buf[BUFFER];
	size_t at, len;
	struct error *err;

	/* The body's line so far. */
	char *text;
	size_t used, room;
	bool (*line)(void *arg, const char *text);
	void *arg;
	bool enough; /* line() wants no more */
};

static int wait_for(int fd, short events, int timeout_ms, struct error *err)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set(err, -errno, "poll: %s", error_name(errno));
	return n ? 0 : error_set(err, -ETIMEDOUT, "no answer for %d s", timeout_ms / 1000);
}

/* 1: there are bytes, 0: the end. */
static int fill(struct reader *r)
{
	ssize_t n;
	int ret;

	if (r->at < r->len)
		return 1;
	do {
		ret = wait_for(r->fd, POLLIN, r->timeout_ms, r->err);
		if (ret)
			return ret;
		n = recv(r->fd, r->buf, sizeof(r->buf), 0);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return error_set(r->err, -EPROTO, "receive: %s", error_name(errno));
	r->at = 0;
	r->len = (size_t)n;
	return n > 0;
}

static int cut_short(struct reader *r)
{
	return error_set(r->err, -EPROTO, "the connection ended in the middle of a reply");
}

/* A line of the header, without its end; what is longer than HEAD_MAX is left out. */
static int read_head(struct reader *r, char line[HEAD_MAX])
{
	size_t n = 0;

	for (;;) {
		int ret = fill(r);
		char c;

		if (ret <= 0)
			return ret ? ret : cut_short(r);
		c = r->buf[r->at++];
		if (c == '\n')
			break;
		if (n < HEAD_MAX - 1)
			line[n++] = c;
	}
	if (n && line[n - 1] == '\r')
		n--;
	line[n] = '\0';
	return 0;
}

static int put_line(struct reader *r)
{
	if (r->text)
		r->text[r->used] = '\0';
	if (!r->line(r->arg, r->text ? r->text : ""))
		r->enough = true;
	r->used = 0;
	return 0;
}

static int put_byte(struct reader *r, char c)
{
	if (c == '\n')
		return put_line(r);
	if (r->used + 1 >= r->room) {
		size_t room = r->room ? r->room * 2 : 256;
		char *text = room <= REPLY_MAX ? realloc(r->text, room) : NULL;

		if (!text)
			return error_set(r->err, -EPROTO, "a reply that is too long");
		r->text = text;
		r->room = room;
	}
	r->text[r->used++] = c;
	return 0;
}

/* len bytes of the body; SIZE_MAX: until the end of the connection. */
static int read_bytes(struct reader *r, size_t len)
{
	int ret = 0;

	while (len && !r->enough && !ret) {
		ret = fill(r);
		if (ret < 0)
			return ret;
		if (!ret)
			return len == SIZE_MAX ? 0 : cut_short(r);
		ret = put_byte(r, r->buf[r->at++]);
		len -= len != SIZE_MAX;
	}
	return ret;
}

static int read_chunks(struct reader *r)
{
	char line[HEAD_MAX], *end;

	while (!r->enough) {
		unsigned long size;
		int ret = read_head(r, line);

		if (ret)
			return ret;
		errno = 0;
		size = strtoul(line, &end, 16);
		if (errno || end == line || size >= SIZE_MAX)
			return error_set(r->err, -EPROTO, "a chunk without a size");
		if (!size)
			return 0;
		ret = read_bytes(r, size);
		if (!ret && !r->enough)
			ret = read_head(r, line);
		if (ret)
			return ret;
	}
	return 0;
}

struct head {
	unsigned status;
	bool chunked, has_length;
	unsigned long length;
};

static int read_header(struct reader *r, struct head *head)
{
	char line[HEAD_MAX];
	int ret = read_head(r, line);

	if (ret)
		return ret;
	if (sscanf(line, "HTTP/1.%*1[01] %3u", &head->status) != 1)
		return error_set(r->err, -EPROTO, "what answers there does not speak HTTP");
	while (!(ret = read_head(r, line)) && *line) {
		const char *value = strchr(line, ':');

		if (!value)
			continue;
		value += 1 + strspn(value + 1, " \t");
		if (!strncasecmp(line, "Content-Length:", 15)) {
			head->length = strtoul(value, NULL, 10);
			head->has_length = head->length < SIZE_MAX;
		} else if (!strncasecmp(line, "Transfer-Encoding:", 18)) {
			head->chunked = !strcasecmp(value, "chunked");
		}
	}
	return ret;
}

int control_client_read(int fd, int timeout_ms, unsigned *status,
			bool (*line)(void *arg, const char *text), void *arg, struct error *err)
{
	struct reader r = {
		.fd = fd, .timeout_ms = timeout_ms, .line = line, .arg = arg, .err = err};
	struct head head = {0};
	int ret;

	do {
		head = (struct head){0};
		ret = read_header(&r, &head);
		*status = head.status;
	} while (!ret && head.status < 200); /* 100: go on sending */
	if (!ret && head.status != 204) {
		if (head.chunked)
			ret = read_chunks(&r);
		else
			ret = read_bytes(&r, head.has_length ? head.length : SIZE_MAX);
		if (!ret && r.used && !r.enough)
			ret = put_line(&r);
	}
	free(r.text);
	return ret;
}

static int send_all(int fd, const char *text, size_t len, int timeout_ms, struct error *err)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			int ret = wait_for(fd, POLLOUT, timeout_ms, err);

			if (ret)
				return ret;
		} else if (n < 0 && errno != EINTR) {
			/* It may have refused already, and said why. */
			return 0;
		}
	}
	return 0;
}

static int request(int fd, const char *method, const char *path, const char *body, int timeout_ms,
		   struct error *err)
{
	size_t len = strlen(method) + strlen(path) + (body ? strlen(body) : 0) + 256;
	char *text = malloc(len);
	int n, ret;

	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	n = snprintf(text, len,
		     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
		     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		     method, path, body ? strlen(body) : 0, body ? body : "");
	ret = send_all(fd, text, (size_t)n, timeout_ms, err);
	free(text);
	return ret;
}

/* The errno that a status stands for. */
static int code_of(unsigned status)
{
	switch (status) {
	case 400:
		return -EINVAL;
	case 403:
		return -EACCES;
	case 404:
		return -ENOENT;
	case 409:
		return -EBUSY;
	case 501:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

/* {"error": text} into err. */
static int refused(unsigned status, const char *text, struct error *err)
{
	json_t *reply = json_loads(text, JSON_DECODE_ANY, NULL);
	const char *why = json_string_value(json_object_get(reply, "error"));
	int ret = error_set(err, code_of(status), "%s", why ? why : "");

	if (!why)
		error_set(err, ret, "it answered with HTTP status %u", status);
	json_decref(reply);
	return ret;
}

static int connect_to(const char *socket, struct error *err)
{
	int fd = unix_connect(socket, err);

	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return error_set(err, -ENOTCONN, "%s: nobody listens there: %s", socket,
				 error_name(fd));
	return fd < 0 ? error_set(err, -ENOTCONN, "%s: cannot connect: %s", socket, error_name(fd))
		      : fd;
}

/* Lines go to the caller if the request is granted; else the first one says why not. */
struct sink {
	unsigned status;
	char *first; /* of a refusal */
	bool (*line)(void *arg, const char *text);
	void *arg;
};

static bool take_line(void *arg, const char *text)
{
	struct sink *sink = arg;

	if (sink->status < 300)
		return sink->line(sink->arg, text);
	sink->first = strdup(text);
	return false;
}

static int converse(const char *socket, const char *method, const char *path, const char *body,
		    int timeout_ms, struct sink *sink, struct error *err)
{
	int fd = connect_to(socket, err), ret;

	if (fd < 0)
		return fd;
	ret = request(fd, method, path, body, timeout_ms, err);
	if (!ret)
		ret = control_client_read(fd, timeout_ms, &sink->status, take_line, sink, err);
	close(fd);
	if (!ret && sink->status >= 300)
		ret = refused(sink->status, sink->first ? sink->first : "", err);
	else if (ret)
		error_prefix(err, ret, "%s", socket);
	free(sink->first);
	return ret;
}

int control_client_lines(const char *socket, const char *path,
			 bool (*line)(void *arg, const char *text), void *arg, struct error *err)
{
	struct sink sink = {.line = line, .arg = arg};

	return converse(socket, "GET", path, NULL, -1, &sink, err);
}

static bool take_reply(void *arg, const char *text)
{
	char **reply = arg;

	*reply = strdup(text);
	return false;
}

int control_client_call(const char *socket, const char *method, const char *path,
			const json_t *body, unsigned timeout_s, json_t **reply, struct error *err)
{
	char *sent = body ? json_dumps(body, JSON_COMPACT) : NULL, *got = NULL;
	struct sink sink = {.line = take_reply, .arg = &got};
	json_error_t why;
	int ret = converse(socket, method, path, sent, (int)timeout_s * 1000, &sink, err);

	*reply = NULL;
	if (!ret && got) {
		*reply = json_loads(got, JSON_DECODE_ANY, &why);
		if (!*reply)
			ret = error_set(err, -EPROTO, "%s: the answer is not JSON: %s", socket,
					why.text);
	}
	free(sent);
	free(got);
	return ret;
}
