/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/user.h"

#include "base/log.h"
#include "base/thread.h"
#include "hostnet/frame_ring.h"
#include "hostnet/user_frames.h"
#include "hostnet/user_options.h"
#include "hostnet/user_slirp.h"
#include "net/ether.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * Theory of operation.
 *
 * libslirp is for one thread, and has global variables besides (its clock, the name server's
 * address), so one lock guards every call into it, of all user networks of the process.
 *
 * Two threads call into it. Whoever sends for the guest inputs the frames itself: the guest's
 * data is on the host's socket when send() returns. The network's own thread sleeps in poll() on
 * the sockets and brings in what arrives there. Either may make libslirp output frames; they go
 * into the ring, from which recv() takes them without the lock.
 *
 * Frames from the guest change what is to be waited for (new sockets, room in a buffer, timers).
 * So send() asks libslirp for the new poll set, which costs no system call, and wakes the thread
 * only when it differs from what the thread sleeps on: a changed set makes the results of that
 * sleep worthless (libslirp has given out new indices), which stale tells the thread. It then
 * polls the new set without waiting, under the lock, so that a busy guest cannot starve it. It is
 * woken as well when the guest tells a neighbour's address: libslirp looks at frames that wait for
 * one only in slirp_pollfds_poll().
 *
 * When the ring fills up, libslirp's sockets are not read any more (congested): TCP holds the
 * senders back. recv() wakes the thread when there is room again. Only what libslirp had read
 * before, and what it sends on its own, can find the ring full and be dropped.
 */
#define USER_MTU       1500
#define USER_RING      (2 * MIB)
#define USER_RING_HIGH (USER_RING / 2) /* stop reading sockets */
#define USER_RING_LOW  (USER_RING / 8) /* go on */
#define USER_TIMERS    8
#define USER_NO_TIME   UINT64_MAX

#define USER_OFFLOADS_TX \
	(NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN | NET_OFFLOAD_UFO)
#define USER_OFFLOADS_RX (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN)

struct user_timer {
	bool used;
	uint64_t deadline; /* clock_ns(), USER_NO_TIME: not running */
	SlirpTimerId id;
	void *opaque;
};

/* What to poll, in the order in which libslirp named it. */
struct user_polls {
	struct pollfd *fds; /* the first is the wake-up */
	unsigned count, room;
	uint64_t deadline;
};

struct user {
	struct hostnet hn;
	char id[32];
	Slirp *slirp;
	struct frame_ring *ring;
	int wake_fd;
	pthread_t thread;

	/* Under the lock. */
	bool stop;
	bool stale;		   /* the sleeping thread's set is not libslirp's any more */
	bool learnt;		   /* the guest may have told an address that frames wait for */
	struct user_polls asleep;  /* what the thread sleeps on */
	struct user_polls scratch; /* the set that is being gathered */
	struct user_polls *filling;
	struct user_timer timers[USER_TIMERS];
	struct user_shape shape;
	struct hostnet_counters sent; /* the transmit side's */
	uint64_t ring_full, uncut;
	uint8_t frame[USER_FRAME_MAX];

	_Atomic bool congested;
	struct hostnet_counters received __cacheline_al; /* the receive side's */
	uint64_t wakes;
};

static pthread_mutex_t slirp_lock = PTHREAD_MUTEX_INITIALIZER;

static struct user *to_user(struct hostnet *hn)
{
	return container_of(hn, struct user, hn);
}

static void user_wake(struct user *u)
{
	uint64_t one = 1;

	if (write(u->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("%s: cannot wake its thread: %s", u->id, error_name(errno));
}

/* ---- what libslirp calls, with the lock held ---- */

static int user_deliver(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len,
			const struct net_offload *off)
{
	struct user *u = opaque;

	if (frame_ring_push(u->ring, iov, niov, len, off) < 0)
		u->ring_full++;
	return 0;
}

static ssize_t user_cb_send(const void *buf, size_t len, void *opaque)
{
	struct user *u = opaque;

	if (user_to_guest(&u->shape, buf, (uint32_t)len, user_deliver, u) < 0)
		u->uncut++;
	return (ssize_t)len;
}

static void user_cb_guest_error(const char *msg, void *opaque)
{
	struct user *u = opaque;

	log_warn_limited("%s: the guest sent what user networking cannot use: %s", u->id, msg);
}

static int64_t user_cb_clock(void *opaque)
{
	return (int64_t)clock_ns();
}

static void *user_cb_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct user *u = opaque;

	for (unsigned i = 0; i < USER_TIMERS; i++) {
		struct user_timer *t = &u->timers[i];

		if (!t->used) {
			*t = (struct user_timer){true, USER_NO_TIME, id, cb_opaque};
			return t;
		}
	}
	return NULL;
}

static void user_cb_timer_free(void *timer, void *opaque)
{
	struct user_timer *t = timer;

	if (t)
		t->used = false;
}

static void user_cb_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct user_timer *t = timer;

	if (t)
		t->deadline = (uint64_t)MAX(expire_ms, 0) * NSEC_PER_MSEC;
}

/* The sets are compared after each send, so nothing needs to be noted here. */
static void user_cb_poll_fd(int fd, void *opaque)
{
}

static void user_cb_notify(void *opaque)
{
}

static const SlirpCb user_callbacks = {
	.send_packet = user_cb_send,
	.guest_error = user_cb_guest_error,
	.clock_get_ns = user_cb_clock,
	.timer_new_opaque = user_cb_timer_new,
	.timer_free = user_cb_timer_free,
	.timer_mod = user_cb_timer_mod,
	.register_poll_fd = user_cb_poll_fd,
	.unregister_poll_fd = user_cb_poll_fd,
	.notify = user_cb_notify,
};

/* ---- the poll set ---- */

static int user_polls_add(struct user_polls *polls, int fd, short events)
{
	if (polls->count == polls->room) {
		unsigned room = polls->room ? 2 * polls->room : 16;
		struct pollfd *fds = realloc(polls->fds, room * sizeof(*fds));

		if (!fds)
			return -1;
		polls->fds = fds;
		polls->room = room;
	}
	polls->fds[polls->count] = (struct pollfd){.fd = fd, .events = events};
	return (int)polls->count++;
}

static int user_cb_add_poll(int fd, int events, void *opaque)
{
	struct user *u = opaque;
	short e = 0;

	if ((events & SLIRP_POLL_IN) && !u->congested)
		e |= POLLIN;
	if (events & SLIRP_POLL_OUT)
		e |= POLLOUT;
	if (events & SLIRP_POLL_PRI)
		e |= POLLPRI;
	return user_polls_add(u->filling, fd, e);
}

static int user_cb_revents(int index, void *opaque)
{
	struct user *u = opaque;
	int events = 0;
	short r;

	if (index < 0 || (unsigned)index >= u->asleep.count)
		return 0;
	r = u->asleep.fds[index].revents;
	if (r & POLLIN)
		events |= SLIRP_POLL_IN;
	if (r & POLLOUT)
		events |= SLIRP_POLL_OUT;
	if (r & POLLPRI)
		events |= SLIRP_POLL_PRI;
	if (r & (POLLERR | POLLNVAL))
		events |= SLIRP_POLL_ERR;
	if (r & POLLHUP)
		events |= SLIRP_POLL_HUP;
	return events;
}

/* Gathers into polls what libslirp wants to wait for now. */
static void user_fill(struct user *u, struct user_polls *polls)
{
	uint32_t timeout_ms = UINT32_MAX;

	if (frame_ring_used(u->ring) > USER_RING_HIGH) {
		u->congested = true;
		/* recv() may have emptied it before it could see that. */
		if (frame_ring_used(u->ring) < USER_RING_LOW)
			u->congested = false;
	}
	polls->count = 0;
	user_polls_add(polls, u->wake_fd, POLLIN);
	u->filling = polls;
	slirp_pollfds_fill(u->slirp, &timeout_ms, user_cb_add_poll, u);
	polls->deadline = USER_NO_TIME;
	if (timeout_ms != UINT32_MAX)
		polls->deadline = clock_ns() + timeout_ms * NSEC_PER_MSEC;
	for (unsigned i = 0; i < USER_TIMERS; i++) {
		if (u->timers[i].used)
			polls->deadline = MIN(polls->deadline, u->timers[i].deadline);
	}
}

static bool user_polls_same(const struct user_polls *a, const struct user_polls *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		if (a->fds[i].fd != b->fds[i].fd || a->fds[i].events != b->fds[i].events)
			return false;
	}
	return true;
}

/* After input from the guest: wakes the thread if it sleeps on the wrong things, or too long. */
static void user_rearm(struct user *u)
{
	if (u->stale)
		return;
	user_fill(u, &u->scratch);
	u->stale = u->learnt || !user_polls_same(&u->scratch, &u->asleep);
	if (u->stale || u->scratch.deadline + NSEC_PER_MSEC < u->asleep.deadline) {
		/* An earlier deadline is taken over, so that the next frames do not wake it again. */
		u->asleep.deadline = MIN(u->asleep.deadline, u->scratch.deadline);
		user_wake(u);
	}
}

static void user_run_timers(struct user *u)
{
	uint64_t now = clock_ns();

	for (unsigned i = 0; i < USER_TIMERS; i++) {
		struct user_timer *t = &u->timers[i];

		if (t->used && t->deadline <= now) {
			t->deadline = USER_NO_TIME;
			slirp_handle_timer(u->slirp, t->id, t->opaque);
		}
	}
}

/* Sleeps on u->asleep, without the lock: user_rearm() looks at the set, and changes its deadline. */
static int user_sleep(struct user *u)
{
	uint64_t now = clock_ns(), deadline = u->asleep.deadline;
	uint64_t ns = deadline > now ? deadline - now : 0;
	struct timespec ts = {(time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC)};
	unsigned count = u->asleep.count;
	int ready;

	pthread_mutex_unlock(&slirp_lock);
	ready = ppoll(u->asleep.fds, count, deadline == USER_NO_TIME ? NULL : &ts, NULL);
	pthread_mutex_lock(&slirp_lock);
	return ready;
}

/* One round of the network's thread, with the lock held but for the sleep. */
static void user_round(struct user *u)
{
	uint64_t count;
	int ready;

	user_fill(u, &u->asleep);
	u->stale = false;
	if (u->learnt)
		u->asleep.deadline = 0;
	ready = user_sleep(u);
	if (ready > 0 && u->asleep.fds[0].revents && read(u->wake_fd, &count, sizeof(count)) < 0 &&
	    errno != EAGAIN)
		log_error("%s: cannot read its wake-up: %s", u->id, error_name(errno));
	if (u->stale) {
		user_fill(u, &u->asleep);
		ready = poll(u->asleep.fds, u->asleep.count, 0);
	}
	u->learnt = false;
	slirp_pollfds_poll(u->slirp, ready < 0, user_cb_revents, u);
	user_run_timers(u);
	/* Until the next round nothing is slept on, so nobody needs to wake it. */
	u->stale = true;
}

static void *user_thread(void *arg)
{
	struct user *u = arg;

	pthread_mutex_lock(&slirp_lock);
	while (!u->stop)
		user_round(u);
	pthread_mutex_unlock(&slirp_lock);
	return NULL;
}

/* ---- the frame path ---- */

static void user_send_one(struct user *u, const struct net_frame *frame)
{
	ssize_t len;

	if (net_offload_check(&frame->off, frame->len, USER_OFFLOADS_TX) < 0)
		len = -EINVAL;
	else
		len = user_from_guest(&u->shape, frame, u->frame);
	if (len < 0) {
		u->sent.drops[len == -EMSGSIZE ? HOSTNET_DROP_OVERSIZE : HOSTNET_DROP_MALFORMED]++;
		return;
	}
	u->sent.tx_frames++;
	u->sent.tx_bytes += frame->len;
	switch (load_be16(u->frame + 12)) {
	case ETHER_ARP:
		u->learnt = true;
		slirp_input(u->slirp, u->frame, (int)len);
		break;
	case ETHER_IPV6:
		u->learnt |= u->frame[ETHER_HLEN + IPV6_NEXT] == IP_PROTO_ICMPV6;
		slirp_input(u->slirp, u->frame, (int)len);
		break;
	case ETHER_IPV4:
		slirp_input(u->slirp, u->frame, (int)len);
		break;
	default: /* nobody out there speaks anything else */
		break;
	}
}

static unsigned user_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			  unsigned n)
{
	struct user *u = to_user(hn);

	pthread_mutex_lock(&slirp_lock);
	for (unsigned i = 0; i < n; i++)
		user_send_one(u, &frames[i]);
	if (n)
		user_rearm(u);
	pthread_mutex_unlock(&slirp_lock);
	return n;
}

static ssize_t user_recv(struct hostnet *hn, unsigned queue, const struct iovec *iov, unsigned niov,
			 struct net_offload *off)
{
	struct user *u = to_user(hn);
	ssize_t len = frame_ring_pop(u->ring, iov, niov, off);

	if (u->congested && frame_ring_used(u->ring) < USER_RING_LOW) {
		u->congested = false;
		u->wakes++;
		user_wake(u);
	}
	if (len >= 0) {
		u->received.rx_frames++;
		u->received.rx_bytes += (uint64_t)len;
	} else if (len == -EMSGSIZE) {
		u->received.drops[HOSTNET_DROP_OVERSIZE]++;
	}
	return len;
}

static int user_poll_fd(struct hostnet *hn, unsigned queue)
{
	return frame_ring_fd(to_user(hn)->ring);
}

static int user_set_offloads(struct hostnet *hn, uint32_t offloads)
{
	pthread_mutex_lock(&slirp_lock);
	to_user(hn)->shape.offloads = offloads & USER_OFFLOADS_RX;
	pthread_mutex_unlock(&slirp_lock);
	return 0;
}

static void user_counters(struct hostnet *hn, unsigned queue, struct hostnet_counters *out)
{
	struct user *u = to_user(hn);

	pthread_mutex_lock(&slirp_lock);
	*out = u->sent;
	out->rx_drops[HOSTNET_DROP_FULL] = u->ring_full;
	out->rx_drops[HOSTNET_DROP_MALFORMED] = u->uncut;
	pthread_mutex_unlock(&slirp_lock);
	out->rx_drops[HOSTNET_DROP_OVERSIZE] = READ_ONCE(u->received.drops[HOSTNET_DROP_OVERSIZE]);
	for (unsigned i = 0; i < HOSTNET_DROP_COUNT; i++)
		out->drops[i] += out->rx_drops[i];
	out->rx_frames = READ_ONCE(u->received.rx_frames);
	out->rx_bytes = READ_ONCE(u->received.rx_bytes);
	out->syscalls = frame_ring_syscalls(u->ring) + READ_ONCE(u->wakes);
}

/* ---- opening and closing ---- */

static int user_probe(struct error *err)
{
	return 0;
}

static void user_free(struct user *u)
{
	if (u->slirp) {
		pthread_mutex_lock(&slirp_lock);
		slirp_cleanup(u->slirp);
		pthread_mutex_unlock(&slirp_lock);
	}
	frame_ring_destroy(u->ring);
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	free(u->asleep.fds);
	free(u->scratch.fds);
	free(u);
}

static struct user *user_alloc(const struct hostnet_params *params, struct error *err)
{
	struct user *u = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*u), CACHE_LINE));
	int rc;

	if (!u) {
		error_set(err, -ENOMEM, "%s: out of memory", params->id);
		return NULL;
	}
	memset(u, 0, offsetof(struct user, frame));
	memset((char *)u + offsetof(struct user, congested), 0,
	       sizeof(*u) - offsetof(struct user, congested));
	snprintf(u->id, sizeof(u->id), "%s", params->id);
	u->stale = true;
	u->hn = (struct hostnet){
		.ops = &user_ops,
		.offloads_tx = USER_OFFLOADS_TX,
		.offloads_rx = USER_OFFLOADS_RX,
		.queues = 1,
		.mtu = params->mtu ? params->mtu : USER_MTU,
	};
	user_shape_init(&u->shape, u->hn.mtu);
	u->shape.offloads = params->offloads & USER_OFFLOADS_RX;
	u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = u->wake_fd < 0 ? -errno : frame_ring_create(&u->ring, USER_RING);
	if (rc == 0 && user_polls_add(&u->asleep, u->wake_fd, POLLIN) < 0)
		rc = -ENOMEM;
	if (rc < 0) {
		error_set(err, rc, "%s: cannot create its queue: %s", u->id, error_name(rc));
		user_free(u);
		return NULL;
	}
	return u;
}

static int user_open(const struct options *opts, const struct hostnet_params *params,
		     struct hostnet **out, struct error *err)
{
	struct user_config config;
	struct user *u;
	int rc;

	rc = user_config_parse(&config, opts, params, err);
	if (rc < 0)
		return rc;
	if (params->mtu && (params->mtu < 576 || params->mtu > USER_MTU_MAX))
		return error_set(err, -EINVAL, "%s: mtu=%u: user networking takes 576 to %d",
				 params->id, params->mtu, USER_MTU_MAX);
	u = user_alloc(params, err);
	if (!u)
		return err ? err->code : -ENOMEM;
	pthread_mutex_lock(&slirp_lock);
	u->slirp = user_slirp_create(&config, u->hn.mtu, &user_callbacks, u, u->id, err);
	pthread_mutex_unlock(&slirp_lock);
	if (!u->slirp)
		rc = err ? err->code : -EINVAL;
	else
		rc = thread_start(&u->thread, "user-net", THREAD_ANY_CPU, user_thread, u, err);
	if (rc < 0) {
		user_free(u);
		return rc;
	}
	*out = &u->hn;
	return 0;
}

static void user_close(struct hostnet *hn)
{
	struct user *u = to_user(hn);

	pthread_mutex_lock(&slirp_lock);
	u->stop = true;
	user_wake(u);
	pthread_mutex_unlock(&slirp_lock);
	pthread_join(u->thread, NULL);
	user_free(u);
}

const struct hostnet_ops user_ops = {
	.name = "user",
	.help = "user networking: the guest's connections become this process's own",
	.keys = user_keys,
	.probe = user_probe,
	.open = user_open,
	.send = user_send,
	.recv = user_recv,
	.poll_fd = user_poll_fd,
	.set_offloads = user_set_offloads,
	.counters = user_counters,
	.close = user_close,
};
