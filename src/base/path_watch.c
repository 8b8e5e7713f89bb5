/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Room for several events: each is followed by a name of up to NAME_MAX + 1 bytes. */
#define EVENTS_BYTES (8 * (sizeof(struct inotify_event) + NAME_MAX + 1))

static bool concerns(const struct path_watch *pw, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW)
		return true; /* it may have been among those that were lost */
	return event->len && !strcmp(event->name, pw->name);
}

static void on_events(struct loop_fd *watch, uint32_t events)
{
	struct path_watch *pw = watch->opaque;
	char buf[EVENTS_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool hit = false;
	ssize_t got;

	while ((got = read(watch->fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < got;) {
			const struct inotify_event *event = (const void *)(buf + at);

			hit = hit || concerns(pw, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	if (hit)
		pw->fn(pw);
}

void path_watch_init(struct path_watch *pw)
{
	*pw = (struct path_watch){.watch = {.fd = -1}};
}

int path_watch_start(struct loop *loop, struct path_watch *pw, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	int rc;

	path_watch_stop(loop, pw);
	pw->name = slash ? slash + 1 : path;
	if (slash)
		rc = snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path);
	else
		rc = snprintf(folder, sizeof(folder), ".");
	if (rc < 0 || (size_t)rc >= sizeof(folder))
		return -ENAMETOOLONG;
	pw->watch = (struct loop_fd){.fn = on_events, .opaque = pw};
	pw->watch.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (pw->watch.fd < 0)
		return -errno;
	rc = inotify_add_watch(pw->watch.fd, folder,
			       IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR) < 0
		     ? -errno
		     : loop_add(loop, &pw->watch, EPOLLIN);
	if (rc)
		path_watch_stop(loop, pw);
	return rc;
}

void path_watch_stop(struct loop *loop, struct path_watch *pw)
{
	if (pw->watch.fd < 0)
		return;
	loop_remove(loop, &pw->watch);
	close(pw->watch.fd);
	pw->watch.fd = -1;
}
