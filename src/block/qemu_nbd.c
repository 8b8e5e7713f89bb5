// SPDX-License-Identifier: Apache-2.0
/*
 * A qemu-nbd of our own, for image formats.
 *
 * The listening socket is made here, in a folder that only this user can enter, and passed to the
 * process as systemd passes sockets (LISTEN_FDS). So it can be connected to before the process has
 * come up, and while another is being started after it died: connections wait in the backlog.
 *
 * The image is named by options, not by a file name with a meaning ("json:", "nbd://"): what the
 * user gives is a path. The process ends with us, however we end.
 */
#include "block/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#define RESTART_MIN_NS (100 * NSEC_PER_MSEC)
#define RESTART_MAX_NS (5 * NSEC_PER_SEC)
#define WORDS_MAX      400

struct qemu_nbd {
	char id[32];
	struct loop *loop;
	char dir[64], path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int listener;
	char *image; /* --image-opts' argument */
	bool readonly;
	bool direct;

	pid_t pid; /* 0: not running */
	int pidfd;
	struct loop_fd ended, said; /* said.fd: its standard error */
	struct loop_timer restart;
	uint64_t delay; /* before the next start */
	uint64_t started;
	bool stopping;
	char words[WORDS_MAX];
};

const char *qemu_nbd_socket(const struct qemu_nbd *server)
{
	return server->path;
}

int qemu_nbd_pidfd(const struct qemu_nbd *server)
{
	return server->pidfd;
}

static int make_socket(struct qemu_nbd *s, struct error *err)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (!run || strlen(run) > 32)
		run = access("/run", W_OK) ? "/tmp" : "/run";
	snprintf(s->dir, sizeof(s->dir), "%s/viaduct.XXXXXX", run);
	if (!mkdtemp(s->dir)) {
		int ret = -errno;

		s->dir[0] = '\0';
		return error_set(err, ret, "cannot make a folder in %s for a socket: %s", run,
				 error_name(ret));
	}
	snprintf(s->path, sizeof(s->path), "%s/nbd", s->dir);
	memcpy(sa.sun_path, s->path, sizeof(sa.sun_path));
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&sa, sizeof(sa)) ||
	    listen(s->listener, 8))
		return error_set(err, -errno, "%s: %s", s->path, error_name(errno));
	return 0;
}

/* In the child, between fork and exec: only what a signal handler may call. */
static void become(struct qemu_nbd *s, int words, char *const argv[], char *const envp[],
		   char *pid_text)
{
	pid_t pid = getpid();
	char digits[16];
	unsigned n = 0;
	sigset_t none;

	for (; pid; pid /= 10)
		digits[n++] = (char)('0' + pid % 10);
	while (n)
		*pid_text++ = digits[--n];
	*pid_text = '\0';
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(words, 2);
	dup2(words, 1);
	if (s->listener != 3) /* LISTEN_FDS begin there; dup2 clears close-on-exec */
		dup2(s->listener, 3);
	else
		fcntl(3, F_SETFD, 0);
	syscall(SYS_close_range, 4, ~0u, 0);
	execvpe(argv[0], argv, envp);
	_exit(127);
}

static void read_words(struct qemu_nbd *s)
{
	size_t have = strlen(s->words);
	char buf[256];
	ssize_t n;

	while (s->said.fd >= 0 && (n = read(s->said.fd, buf, sizeof(buf))) > 0) {
		size_t take = MIN((size_t)n, sizeof(s->words) - 1 - have);

		memcpy(s->words + have, buf, take);
		have += take;
		s->words[have] = '\0';
	}
}

const char *qemu_nbd_words(struct qemu_nbd *s)
{
	read_words(s);
	for (char *p = s->words; *p; p++)
		if (*p == '\n')
			*p = p[1] ? ';' : '\0';
	return s->words;
}

/* Its standard error: passed on, a line at a time or what there is. */
static void said(struct loop_fd *watch, uint32_t events)
{
	struct qemu_nbd *s = watch->opaque;

	read_words(s);
	if (s->words[0])
		log_warn_limited("%s: %s", s->id, qemu_nbd_words(s));
	else if (events & (EPOLLHUP | EPOLLERR))
		loop_remove(s->loop, watch);
	s->words[0] = '\0';
}

static int spawn(struct qemu_nbd *s, struct error *err);

static void try_again(struct loop_timer *timer)
{
	struct qemu_nbd *s = timer->opaque;
	struct error err = {0};

	if (!spawn(s, &err))
		return;
	log_warn_limited("%s: %s", s->id, err.text);
	loop_timer_set(s->loop, timer, clock_ns() + RESTART_MAX_NS);
}

/* What belongs to one run of it. */
static void forget_process(struct qemu_nbd *s)
{
	if (s->ended.active)
		loop_remove(s->loop, &s->ended);
	if (s->said.active)
		loop_remove(s->loop, &s->said);
	if (s->said.fd >= 0)
		close(s->said.fd);
	if (s->pidfd >= 0)
		close(s->pidfd);
	s->said.fd = s->pidfd = -1;
	s->pid = 0;
}

static void ended(struct loop_fd *watch, uint32_t events)
{
	struct qemu_nbd *s = watch->opaque;
	int status = 0;

	if (waitpid(s->pid, &status, WNOHANG) != s->pid)
		return;
	log_warn("%s: qemu-nbd ended (%s %d)%s%s: starting another", s->id,
		 WIFSIGNALED(status) ? "signal" : "exit status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		 *qemu_nbd_words(s) ? ": " : "", qemu_nbd_words(s));
	s->words[0] = '\0';
	forget_process(s);
	if (clock_ns() - s->started > RESTART_MAX_NS)
		s->delay = RESTART_MIN_NS;
	else
		s->delay = MIN(2 * s->delay, RESTART_MAX_NS);
	loop_timer_set(s->loop, &s->restart, clock_ns() + s->delay);
}

static int spawn(struct qemu_nbd *s, struct error *err)
{
	static char name[] = "qemu-nbd", persistent[] = "--persistent", shared[] = "--shared=4",
		    discard[] = "--discard=unmap", writeback[] = "--cache=writeback",
		    none[] = "--cache=none", opts[] = "--image-opts", readonly[] = "--read-only",
		    listen_fds[] = "LISTEN_FDS=1";
	char *argv[] = {name, persistent, shared, discard, s->direct ? none : writeback,
			opts, s->image,	  NULL,	  NULL};
	char pid_text[32] = "LISTEN_PID=", path[512];
	char *envp[] = {listen_fds, pid_text, path, NULL};
	int pipe_fd[2];

	if (s->readonly)
		argv[7] = readonly;
	snprintf(path, sizeof(path), "PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
	if (pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK))
		return error_set(err, -errno, "pipe: %s", error_name(errno));
	s->pid = fork();
	if (!s->pid)
		become(s, pipe_fd[1], argv, envp, pid_text + strlen(pid_text));
	close(pipe_fd[1]);
	if (s->pid < 0) {
		close(pipe_fd[0]);
		s->pid = 0;
		return error_set(err, -errno, "cannot start qemu-nbd: %s", error_name(errno));
	}
	s->started = clock_ns();
	s->said.fd = pipe_fd[0];
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	s->ended.fd = s->pidfd;
	if (s->pidfd < 0 || loop_add(s->loop, &s->ended, EPOLLIN) ||
	    loop_add(s->loop, &s->said, EPOLLIN))
		return error_set(err, -EMFILE, "cannot watch qemu-nbd: see ulimit -n");
	return 0;
}

/* A path as a value among options: commas doubled. */
static char *image_options(const char *path, const char *format)
{
	struct stat st;
	const char *driver = !stat(path, &st) && S_ISBLK(st.st_mode) ? "host_device" : "file";
	size_t size = 2 * strlen(path) + strlen(format) + 64, at;
	char *text = malloc(size);

	if (!text)
		return NULL;
	at = (size_t)snprintf(text, size, "driver=%s,file.driver=%s,file.filename=", format,
			      driver);
	for (; *path; path++) {
		text[at++] = *path;
		if (*path == ',')
			text[at++] = ',';
	}
	text[at] = '\0';
	return text;
}

static int check(const char *path, const char *format, bool readonly, struct error *err)
{
	if (strspn(format, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(format))
		return error_set(err, -EINVAL, "format=%s: not a format's name: use raw, qcow2, …",
				 format);
	/* Said here, because qemu-nbd's words about it are its own. */
	if (access(path, readonly ? R_OK : R_OK | W_OK))
		return error_set(err, -errno, "%s: cannot open it: %s", path, error_name(errno));
	return 0;
}

int qemu_nbd_start(const struct options *opts, bool readonly, const char *id, struct loop *loop,
		   struct qemu_nbd **out, struct error *err)
{
	const char *path = options_get(opts, "path"), *format = options_get(opts, "format");
	const char *cache = options_get(opts, "cache");
	struct qemu_nbd *s;
	int ret = check(path, format, readonly, err);

	if (ret)
		return ret;
	if (cache && strcmp(cache, "none") != 0 && strcmp(cache, "writeback") != 0)
		return error_set(err, -EINVAL, "cache=%s: use writeback or none", cache);
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, -ENOMEM, "%s: out of memory", id);
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->loop = loop;
	s->listener = s->pidfd = -1;
	s->readonly = readonly;
	s->direct = cache && !strcmp(cache, "none");
	s->delay = RESTART_MIN_NS;
	s->ended = (struct loop_fd){.fd = -1, .fn = ended, .opaque = s};
	s->said = (struct loop_fd){.fd = -1, .fn = said, .opaque = s};
	s->restart = (struct loop_timer){.fn = try_again, .opaque = s};
	s->image = image_options(path, format);
	ret = s->image ? make_socket(s, err) : error_set(err, -ENOMEM, "%s: out of memory", id);
	if (!ret)
		ret = spawn(s, err);
	if (ret) {
		qemu_nbd_stop(s);
		return ret;
	}
	*out = s;
	return 0;
}

void qemu_nbd_stop(struct qemu_nbd *s)
{
	if (!s)
		return;
	loop_timer_cancel(s->loop, &s->restart);
	if (s->pid) {
		/* It writes back what it has, and there may be much of it. */
		kill(s->pid, SIGTERM);
		while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	forget_process(s);
	if (s->listener >= 0)
		close(s->listener);
	if (s->path[0])
		unlink(s->path);
	if (s->dir[0])
		rmdir(s->dir);
	free(s->image);
	free(s);
}
