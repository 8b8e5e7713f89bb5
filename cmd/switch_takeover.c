/* SPDX-License-Identifier: Apache-2.0 */
#include "switch_takeover.h"

#include "base/log.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
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
 */
enum word { HELLO = 1, STATE, PREPARED, RINGS, READY, GO, NO };

#define PREPARE_S 10 /* to map all memory */
#define STOP_S	  5  /* guests stand still */
#define GO_S	  60 /* the one that runs says it, or NO, or is gone, long before */

struct switch_heritage {
	struct loop_fd listener;
	struct loop *loop;
	struct sw *sw;
	char *path;
	int given; /* the connection to who has all now; -1: nobody */
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

static void say_no(int sock, const char *why)
{
	struct parcel_out p = {0};

	parcel_put_u64(&p, NO);
	parcel_put_text(&p, why);
	say(sock, &p, STOP_S, NULL);
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
	int ret = hear(sock, HELLO, STOP_S, &p, err);

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

/* Up to the point from which on nothing runs. */
static int prepare(struct switch_heritage *h, int sock, struct error *err)
{
	struct parcel_out p = {0};
	int ret;

	parcel_put_u64(&p, STATE);
	ret = sw_takeover_save(h->sw, &p, err);
	if (ret) {
		parcel_out_free(&p);
		return ret;
	}
	ret = say(sock, &p, PREPARE_S, err);
	return ret ? ret : hear_word(sock, PREPARED, PREPARE_S, err);
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
	if (!ret)
		ret = say_word(sock, GO, err);
	if (ret)
		sw_takeover_roll_back(h->sw);
	return ret;
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

static void on_heir(struct loop_fd *watch, uint32_t events)
{
	struct switch_heritage *h = watch->opaque;
	int sock = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), ret;
	struct error err = {0};

	if (sock < 0)
		return;
	ret = check_user(sock, &err);
	if (!ret)
		ret = check_hello(sock, &err);
	if (!ret)
		ret = prepare(h, sock, &err);
	if (!ret)
		ret = give(h, sock, &err);
	if (!ret) {
		h->given = sock;
		loop_stop(h->loop);
		return;
	}
	log_warn("not handed over: %s", err.text);
	say_no(sock, err.text);
	close(sock);
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
	*h = (struct switch_heritage){.loop = loop, .sw = sw, .path = strdup(path), .given = -1};
	h->listener = (struct loop_fd){.fd = fd, .fn = on_heir, .opaque = h};
	ret = h->path ? loop_add(loop, &h->listener, EPOLLIN) : -ENOMEM;
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
	loop_remove(h->loop, &h->listener);
	close(h->listener.fd);
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
	int ret = hear(sock, STATE, PREPARE_S, &p, err);

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
	int ret = hear(sock, RINGS, PREPARE_S, &p, err);

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
