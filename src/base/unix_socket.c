/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int make_socket(const char *path, struct sockaddr_un *addr, struct error *err)
{
	int fd;

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!*path)
		return error_set(err, -EINVAL, "a socket's path is empty");
	if (strlen(path) >= sizeof(addr->sun_path))
		return error_set(err, -ENAMETOOLONG,
				 "%s: a socket's path has at most %zu characters", path,
				 sizeof(addr->sun_path) - 1);
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, -errno, "%s: cannot make a socket: %s", path,
				 error_name(errno));
	return fd;
}

int unix_connect(const char *path, struct error *err)
{
	struct sockaddr_un addr;
	int fd = make_socket(path, &addr, err);
	int rc;

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return error_set(err, rc, "%s: cannot connect: %s", path, error_name(rc));
}

/* Removes a socket file that nobody listens at any more. */
static int clear_stale(const char *path, struct error *err)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, -EEXIST, "%s: is there already, and is no socket", path);
	fd = unix_connect(path, NULL);
	if (fd >= 0)
		close(fd);
	if (fd != -ECONNREFUSED)
		return error_set(err, -EADDRINUSE, "%s: another process listens there", path);
	unlink(path);
	return 0;
}

int unix_listen(const char *path, unsigned mode, int backlog, struct error *err)
{
	struct sockaddr_un addr;
	int fd = make_socket(path, &addr, err);
	int rc;

	if (fd < 0)
		return fd;
	rc = clear_stale(path, err);
	if (rc)
		goto fail;
	/* The file takes the socket's own mode when it is made: nobody can come in before. */
	if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, backlog) < 0) {
		rc = error_set(err, -errno, "%s: cannot listen: %s", path, error_name(errno));
		goto fail;
	}
	return fd;
fail:
	close(fd);
	return rc;
}

int unix_wait(int fd, short events, uint64_t deadline, const char *who, struct error *err)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = clock_ns(), left = deadline > now ? deadline - now : 0;
		int n = poll(&p, 1, (int)MIN((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, 60000));

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_set(err, -errno, "poll: %s", error_name(errno));
		if (n == 0 && clock_ns() >= deadline)
			return error_set(err, -ETIMEDOUT, "the %s does not answer in time", who);
	}
}
