/* SPDX-License-Identifier: Apache-2.0 */
#include "switch_takeover.h"

#include "base/log.h"
#include "base/thread.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A parcel each way in turn; the first number of each says what it is.
 *
 *   the new one                     the one that runs
 *   HELLO format, version      →
 *                              ←    STATE ports, addresses, descriptors         (frames go on)
 *   PREPARED                   →
 *                              ←    RINGS counters, positions                   (nothing runs)
 *   READY                      →
 *                              ←    GO: it will not touch anything any more
 *   goes on                         gives up the rest, ends: the connection closes
 *
 * Until it has said GO the one that runs can go on, and does whenever an answer is NO, late, or missing.
 * After GO only the new one may. Both wait no longer than they say; the guests stand still between RINGS
 * and GO.
 *
 * The one that runs waits for HELLO and PREPARED in a thread, so that its loop serves everybody else: the
 * control socket first of all. From STATE on its front-ends' requests wait, and what is changed through
 * the control socket makes an end of the takeover. READY is waited for in the loop, for as long as guests
 * may stand still.
 */
enum word { HELLO = 1, STATE, PREPARED, RINGS, READY, GO, NO };

#define HELLO_S	  5
#define PREPARE_S 5  /* to map all memory; requests wait */
#define STOP_S	  2  /* guests stand still */
#define GO_S	  60 /* the one that runs answers, or is gone, long before */

struct switch_heritage {
	struct loop_fd listener;
	struct loop_fd heard; /* an eventfd: what the thread waited for came, or will not */
	struct loop *loop;
	struct sw *sw;
	char *path;
	int given; /* the connection to who has all now; -1: nobody */

	/* The conversation there is; sock -1: none. */
	int sock;
	bool saved; /* STATE was made */
	pthread_t thread;
	struct parcel_out state; /* the thread's */
	struct error err;	 /* the thread's */
	int ret;		 /* the thread's */
};

static uint64_t in_seconds(unsigned s)
{
	return clock_ns() + s * NSEC_PER_SEC;
}

static int say(int sock, struct parcel_out *p, unsigned s, struct error *err)
{
	int ret = parcel_send(sock, p, in_seconds(s), err);

	parcel_out_free(p);
	return ret;
}

static int say_word(int sock, enum word word, struct error *err)
{
	struct parcel_out p = {0};

	parcel_put_u64(&p, word);
	return say(sock, &p, STOP_S, err);
}

/* To who may not be listening. */
static void say_no(int sock, const char *why)
{
	struct parcel_out p = {0};

	parcel_put_u64(&p, NO);
	parcel_put_text(&p, why);
	say(sock, &p, 0, NULL);
}

/* Waits for a parcel that begins with word; the rest is to be read from *p. */
static int hear(int sock, enum word word, unsigned s, struct parcel_in *p, struct error *err)
{
	int ret = parcel_recv(sock, p, in_seconds(s), err);
	char why[sizeof(err->text)];
	uint64_t got;

	if (ret)
		return ret;
	got = parcel_get_u64(p);
	if (got == (uint64_t)word && !p->bad)
		return 0;
	if (got != NO)
		return error_set(err, -EPROTO, "what the other process says is not understood");
	parcel_get_text(p, why, sizeof(why));
	return error_set(err, -EBUSY, "%s", why);
}

static int hear_word(int sock, enum word word, unsigned s, struct error *err)
{
	struct parcel_in p;
	int ret = hear(sock, word, s, &p, err);

	parcel_in_free(&p);
	return ret;
}

static int check_hello(int sock, struct error *err)
{
	struct parcel_in p;
	char version[64];
	uint64_t format;
	int ret = hear(sock, HELLO, HELLO_S, &p, err);

	if (!ret) {
		format = parcel_get_u64(&p);
		parcel_get_text(&p, version, sizeof(version));
		if (p.bad || format != SW_TAKEOVER_FORMAT)
			ret = error_set(err, -EBUSY,
					"version %s hands over differently: end it, and start the "
					"new one without --takeover",
					VIADUCT_VERSION);
		else
			log_info("version %s takes over", version);
	}
	parcel_in_free(&p);
	return ret;
}

static void *wait_for_hello(void *arg)
{
	struct switch_heritage *h = arg;

	h->ret = check_hello(h->sock, &h->err);
	eventfd_write(h->heard.fd, 1);
	return NULL;
}

/*
 * A port that is removed meanwhile takes its descriptors with it: then what is sent is wrong, or cannot
 * be sent, and the other one is told NO whatever it makes of it.
 */
static void *wait_for_prepared(void *arg)
{
	struct switch_heritage *h = arg;

	h->ret = say(h->sock, &h->state, PREPARE_S, &h->err);
	if (!h->ret)
		h->ret = hear_word(h->sock, PREPARED, PREPARE_S, &h->err);
	eventfd_write(h->heard.fd, 1);
	return NULL;
}

static int give(struct switch_heritage *h, int sock, struct error *err)
{
	struct parcel_out p = {0};
	int ret;

	parcel_put_u64(&p, RINGS);
	parcel_put_u64(&p, clock_ns());
	sw_takeover_hold(h->sw, &p);
	ret = say(sock, &p, STOP_S, err);
	if (!ret)
		ret = hear_word(sock, READY, STOP_S, err);
	return ret ? ret : say_word(sock, GO, err);
}

/* Whoever may end this process, or read its memory, may have what it has. */
static int check_user(int sock, struct error *err)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    (peer.uid != 0 && peer.uid != geteuid()))
		return error_set(err, -EPERM, "it is another user's process");
	return 0;
}

/* The conversation is over, and nothing came of it. */
static void refuse(struct switch_heritage *h)
{
	if (h->saved)
		sw_takeover_roll_back(h->sw);
	h->saved = false;
	log_warn("not handed over: %s", h->err.text);
	say_no(h->sock, h->err.text);
	close(h->sock);
	h->sock = -1;
	if (loop_add(h->loop, &h->listener, EPOLLIN))
		log_error("--takeover %s: cannot listen any more", h->path);
}

static int prepare(struct switch_heritage *h)
{
	int ret;

	h->saved = true;
	parcel_put_u64(&h->state, STATE);
	ret = sw_takeover_save(h->sw, &h->state, &h->err);
	if (!ret)
		ret = thread_start(&h->thread, "takeover", THREAD_ANY_CPU, wait_for_prepared, h,
				   &h->err);
	if (ret)
		parcel_out_free(&h->state);
	return ret;
}

static void on_heard(struct loop_fd *watch, uint32_t events)
{
	struct switch_heritage *h = watch->opaque;
	int ret;

	eventfd_read(watch->fd, &(eventfd_t){0});
	pthread_join(h->thread, NULL);
	if (h->saved && sw_takeover_is_stale(h->sw))
		ret = error_set(&h->err, -EAGAIN, "a port was changed meanwhile: try again");
	else
		ret = h->ret;
	if (!ret && !h->saved) {
		ret = prepare(h);
		if (!ret)
			return;
	} else if (!ret) {
		ret = give(h, h->sock, &h->err);
	}
	if (ret) {
		refuse(h);
		return;
	}
	h->given = h->sock;
	h->sock = -1;
	loop_stop(h->loop);
}

static void on_heir(struct loop_fd *watch, uint32_t events)
{
	struct switch_heritage *h = watch->opaque;
	int ret;

	h->sock = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (h->sock < 0)
		return;
	loop_remove(h->loop, &h->listener); /* one at a time */
	h->err = (struct error){0};
	ret = check_user(h->sock, &h->err);
	if (!ret)
		ret = thread_start(&h->thread, "takeover", THREAD_ANY_CPU, wait_for_hello, h,
				   &h->err);
	if (ret)
		refuse(h);
}

int switch_heritage_open(const char *path, struct loop *loop, struct sw *sw,
			 struct switch_heritage **out, struct error *err)
{
	struct switch_heritage *h = calloc(1, sizeof(*h));
	int fd = h ? unix_listen(path, 0600, 1, err) : -ENOMEM, ret;

	if (fd < 0) {
		free(h);
		return error_prefix(err, fd, "--takeover");
	}
	*h = (struct switch_heritage){
		.loop = loop, .sw = sw, .path = strdup(path), .given = -1, .sock = -1};
	h->listener = (struct loop_fd){.fd = fd, .fn = on_heir, .opaque = h};
	h->heard = (struct loop_fd){.fd = eventfd(0, EFD_CLOEXEC), .fn = on_heard, .opaque = h};
	ret = h->path && h->heard.fd >= 0 ? loop_add(loop, &h->listener, EPOLLIN) : -ENOMEM;
	if (!ret)
		ret = loop_add(loop, &h->heard, EPOLLIN);
	if (ret) {
		switch_heritage_close(h);
		return error_set(err, ret, "--takeover %s: %s", path, error_name(ret));
	}
	*out = h;
	return 0;
}

bool switch_heritage_is_given(const struct switch_heritage *h)
{
	return h && h->given >= 0;
}

void switch_heritage_close(struct switch_heritage *h)
{
	if (!h)
		return;
	if (h->sock >= 0) {
		shutdown(h->sock, SHUT_RDWR); /* the thread has nothing to wait for any more */
		pthread_join(h->thread, NULL);
		close(h->sock);
	}
	loop_remove(h->loop, &h->listener);
	loop_remove(h->loop, &h->heard);
	close(h->listener.fd);
	if (h->heard.fd >= 0)
		close(h->heard.fd);
	if (h->path)
		unlink(h->path);
	/* Its end tells the other one that all is given up: h->given stays open until then. */
	free(h->path);
	free(h);
}

/* Descriptors of all ports come at once. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int greet(int sock, struct error *err)
{
	struct parcel_out p = {0};

	parcel_put_u64(&p, HELLO);
	parcel_put_u64(&p, SW_TAKEOVER_FORMAT);
	parcel_put_text(&p, VIADUCT_VERSION);
	return say(sock, &p, STOP_S, err);
}

static int take_state(int sock, struct sw *sw, struct sw_heir **heir, struct error *err)
{
	struct parcel_in p;
	int ret = hear(sock, STATE, GO_S, &p, err);

	if (!ret) {
		*heir = sw_takeover_restore(sw, &p, err);
		ret = *heir ? 0 : err->code;
	}
	parcel_in_free(&p);
	return ret ? ret : say_word(sock, PREPARED, err);
}

static int take_rings(int sock, struct sw_heir *heir, uint64_t *since, struct error *err)
{
	struct parcel_in p;
	int ret = hear(sock, RINGS, GO_S, &p, err);

	if (!ret) {
		*since = parcel_get_u64(&p);
		ret = sw_takeover_restore_rings(heir, &p, err);
	}
	parcel_in_free(&p);
	return ret ? ret : say_word(sock, READY, err);
}

static void wait_for_end(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	if (poll(&p, 1, PREPARE_S * 1000) == 0)
		log_warn("the switch before this one has not ended yet");
}

int switch_take_over(const char *path, struct sw *sw, struct sw_heir **heir, struct error *err)
{
	int sock = unix_connect(path, err), ret;
	uint64_t since = 0;

	*heir = NULL;
	if (sock == -ENOENT || sock == -ECONNREFUSED) {
		log_info("nobody to take over from at %s", path);
		*err = (struct error){0};
		return 0;
	}
	if (sock < 0)
		return error_prefix(err, sock, "--takeover");
	allow_descriptors();
	ret = greet(sock, err);
	if (!ret)
		ret = take_state(sock, sw, heir, err);
	if (!ret)
		ret = take_rings(sock, *heir, &since, err);
	if (!ret)
		ret = hear_word(sock, GO, GO_S, err);
	if (ret) {
		say_no(sock, err->text);
		close(sock);
		sw_takeover_free(*heir);
		*heir = NULL;
		return error_prefix(err, ret, "--takeover %s", path);
	}
	sw_takeover_resume(*heir);
	log_info("taken over; frames stood still for %llu us",
		 (unsigned long long)(clock_ns() - since) / 1000);
	wait_for_end(sock);
	close(sock);
	return 0;
}
