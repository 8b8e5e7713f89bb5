/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doorbells FRONT BACK [unsealed]: listens at FRONT for a vhost-user front-end and connects it with the
 * back-end at BACK, which it makes one that has pages for doorbells (HOST_NOTIFIER): it polls them, and
 * tells the back-end by eventfd. Each second it prints, of each queue that was kicked, how often that
 * was in its page and how often by the front-end's eventfd. SIGUSR1: takes the pages out of their file,
 * which gets new ones as they are touched. "unsealed": the file could be cut short as well.
 */
#include "base/thread.h"
#include "vhost/user_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE   4096
#define QUEUES 4
#define QUIET  UINT32_MAX /* what a driver never writes: the index of a queue has 16 bits */
#define PAGES                                            \
	(1ULL << VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD | \
	 1ULL << VHOST_USER_PROTOCOL_F_HOST_NOTIFIER)

struct bells {
	int file;
	uint8_t *pages;
	int kick[QUEUES]; /* the front-end's */
	int bell[QUEUES]; /* the back-end's */
	unsigned long in_page[QUEUES], by_eventfd[QUEUES];
	int channel; /* of the back-end's requests; -1: none */
	bool pages_agreed;
};

static volatile sig_atomic_t punch;
static bool unsealed;

static void on_signal(int signum)
{
	punch = signum;
}

static void fail(const char *what)
{
	fprintf(stderr, "doorbells: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void pages_make(struct bells *b)
{
	b->file = memfd_create("doorbells", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (b->file < 0 || ftruncate(b->file, QUEUES * PAGE) < 0 ||
	    (!unsealed && fcntl(b->file, F_ADD_SEALS, F_SEAL_SHRINK) < 0))
		fail("memfd");
	b->pages = mmap(NULL, QUEUES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b->file, 0);
	if (b->pages == MAP_FAILED)
		fail("mmap");
	memset(b->pages, 0xff, QUEUES * PAGE);
}

static void pages_punch(struct bells *b)
{
	punch = 0;
	if (fallocate(b->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, QUEUES * PAGE) < 0)
		fail("fallocate");
	puts("punched");
}

/* One look at everything that can be kicked. */
static void look(struct bells *b)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		struct pollfd p = {.fd = b->kick[i], .events = POLLIN};
		uint32_t *at = (uint32_t *)(void *)(b->pages + (size_t)i * PAGE);
		eventfd_t n = 0;

		if (__atomic_exchange_n(at, QUIET, __ATOMIC_ACQ_REL) != QUIET) {
			b->in_page[i]++;
			eventfd_write(b->bell[i], 1);
		}
		if (p.fd >= 0 && poll(&p, 1, 0) > 0 && eventfd_read(p.fd, &n) == 0) {
			b->by_eventfd[i]++;
			eventfd_write(b->bell[i], 1);
		}
	}
}

static void tell(const struct bells *b)
{
	for (unsigned i = 0; i < QUEUES; i++)
		if (b->in_page[i] || b->by_eventfd[i])
			printf("queue %u: in its page %lu, by eventfd %lu\n", i, b->in_page[i],
			       b->by_eventfd[i]);
}

static void send_to(int fd, const struct vhost_user_msg *msg)
{
	struct error err;

	if (vhost_user_send(fd, msg, clock_ns() + NSEC_PER_SEC, &err))
		fprintf(stderr, "doorbells: %s\n", err.text);
}

static void offer_page(struct bells *b, unsigned queue)
{
	struct vhost_user_msg msg = {
		.hdr = {VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG, VHOST_USER_VERSION,
			sizeof(msg.payload.area)},
		.payload.area = {queue, PAGE, (uint64_t)queue * PAGE},
		.fds = {b->file},
		.nfds = 1,
	};

	if (b->pages_agreed && b->channel >= 0)
		send_to(b->channel, &msg);
}

/* What the front-end asks, as the back-end is to hear it. */
static void from_front(struct bells *b, int back, struct vhost_user_msg *msg)
{
	unsigned queue = msg->payload.u64 & VHOST_USER_VRING_MASK;

	switch (msg->hdr.request) {
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		b->pages_agreed = (msg->payload.u64 & PAGES) == PAGES;
		msg->payload.u64 &= ~PAGES;
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		b->channel = dup(msg->fds[0]);
		break;
	case VHOST_USER_SET_VRING_KICK:
		if (queue >= QUEUES || !msg->nfds)
			break;
		if (b->kick[queue] >= 0)
			close(b->kick[queue]);
		b->kick[queue] = msg->fds[0];
		msg->fds[0] = dup(b->bell[queue]);
		break;
	default:
		break;
	}
	send_to(back, msg);
	if (msg->hdr.request == VHOST_USER_SET_VRING_ENABLE && msg->payload.state.num)
		offer_page(b, msg->payload.state.index % QUEUES);
}

static void from_back(int front, struct vhost_user_msg *msg)
{
	if (msg->hdr.request == VHOST_USER_GET_PROTOCOL_FEATURES)
		msg->payload.u64 |= PAGES;
	send_to(front, msg);
}

/* Passes on what has come. False: that end is gone. */
static bool pass_on(struct bells *b, struct vhost_user_rx *rx, int from, int to, bool front)
{
	struct error err;
	int rc = vhost_user_rx_step(rx, VHOST_USER_CHANNEL_FRONTEND, from, &err);

	if (rc < 0)
		fprintf(stderr, "doorbells: the %s-end: %s\n", front ? "front" : "back", err.text);
	if (rc != 1)
		return rc == 0;
	if (front)
		from_front(b, to, &rx->msg);
	else
		from_back(to, &rx->msg);
	vhost_user_rx_drop(rx);
	return true;
}

static void serve(int front, int back)
{
	struct vhost_user_rx of_front = {0}, of_back = {0};
	struct bells b = {.channel = -1};
	uint64_t told = clock_ns();
	bool on = true;

	for (unsigned i = 0; i < QUEUES; i++) {
		b.kick[i] = -1;
		b.bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	pages_make(&b);
	while (on) {
		struct pollfd p[] = {{.fd = front, .events = POLLIN},
				     {.fd = back, .events = POLLIN}};

		if (punch)
			pages_punch(&b);
		look(&b);
		if (poll(p, 2, 0) == 0)
			usleep(100);
		if (p[0].revents)
			on = pass_on(&b, &of_front, front, back, true);
		if (on && p[1].revents)
			on = pass_on(&b, &of_back, back, front, false);
		if (clock_ns() - told > NSEC_PER_SEC) {
			tell(&b);
			told = clock_ns();
		}
	}
	tell(&b);
	for (unsigned i = 0; i < QUEUES; i++) {
		close(b.bell[i]);
		if (b.kick[i] >= 0)
			close(b.kick[i]);
	}
	if (b.channel >= 0)
		close(b.channel);
	munmap(b.pages, QUEUES * PAGE);
	close(b.file);
	close(front);
	close(back);
	vhost_user_rx_drop(&of_front);
	vhost_user_rx_drop(&of_back);
}

int main(int argc, char **argv)
{
	struct error err;
	int listener;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR1, on_signal);
	unsealed = argc == 4 && !strcmp(argv[3], "unsealed");
	listener = argc == 3 || unsealed ? vhost_user_listen(argv[1], &err) : -1;
	if (listener < 0) {
		fprintf(stderr, "usage: doorbells FRONT-SOCKET BACK-SOCKET [unsealed]\n");
		return 2;
	}
	for (;;) {
		struct pollfd p = {.fd = listener, .events = POLLIN};
		int front, back;

		if (poll(&p, 1, -1) <= 0)
			continue;
		front = vhost_user_accept(listener);
		back = vhost_user_connect(argv[2], &err);
		if (front < 0 || back < 0) {
			fprintf(stderr, "doorbells: %s\n", err.text);
			return 1;
		}
		puts("met");
		serve(front, back);
	}
}
