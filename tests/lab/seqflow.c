/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seqflow send ADDRESS PORT RATE        numbered datagrams, so many a second, until SIGTERM
 * seqflow recv PORT GAP_US              takes them until the sender says it has ended
 *
 * Each datagram carries its number and the sender's time. The receiver prints where nothing came
 * for longer than GAP_US more than the sender paused, and in the end what came, what did not, what
 * came twice, and what came late. Times are nanoseconds of CLOCK_MONOTONIC, each side's own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS (1u << 24) /* that a flow may have */

struct message {
	uint64_t number; /* or, in the last ones, how many there were */
	uint64_t ns;
	uint32_t last;
	uint8_t fill[44];
};

static volatile sig_atomic_t stop;

static void on_signal(int signum)
{
	(void)signum;
	stop = 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec ts = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* What the network cannot take now is sent again: it has not been on the way. */
static bool put(int fd, const struct sockaddr_in *to, const struct message *m)
{
	return sendto(fd, m, sizeof(*m), 0, (const struct sockaddr *)to, sizeof(*to)) ==
	       (ssize_t)sizeof(*m);
}

static int send_flow(const char *address, uint16_t port, unsigned rate)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct message m = {0};
	uint64_t at = now_ns(), step = 1000000000u / rate;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1)
		return 2;
	while (!stop && m.number < NUMBERS) {
		uint64_t now = now_ns();

		/* One that was held up does not make up for it in a burst. */
		if (now > at + 50 * step)
			at = now;
		m.ns = now;
		if (put(fd, &to, &m))
			m.number++;
		at += step;
		sleep_until(at);
	}
	m.last = 1;
	for (unsigned i = 0; i < 20; i++) {
		put(fd, &to, &m);
		sleep_until(now_ns() + 100000000u);
	}
	printf("flow sent=%" PRIu64 "\n", m.number);
	return 0;
}

struct flow {
	uint8_t *seen; /* a bit a number */
	uint64_t received, duplicated, reordered, next, longest_us;
	uint64_t sent_at, came_at; /* the one before */
};

static void take(struct flow *f, const struct message *m, uint64_t gap_us)
{
	uint64_t now = now_ns(), lost, waited, paused, us;

	if (m->number >= NUMBERS)
		return;
	if (f->seen[m->number / 8] >> (m->number % 8) & 1) {
		f->duplicated++;
		return;
	}
	f->seen[m->number / 8] |= (uint8_t)(1 << (m->number % 8));
	f->received++;
	if (m->number < f->next) {
		f->reordered++;
		return;
	}
	lost = m->number - f->next;
	waited = now - f->came_at;
	paused = m->ns - f->sent_at;
	/* What was lost was not waited for by the sender. */
	us = (lost ? waited : waited > paused ? waited - paused : 0) / 1000;
	if (f->came_at && (lost || us >= gap_us)) {
		printf("gap us=%" PRIu64 " lost=%" PRIu64 " sent=%" PRIu64 "-%" PRIu64
		       " came=%" PRIu64 "-%" PRIu64 "\n",
		       us, lost, f->sent_at, m->ns, f->came_at, now);
		if (us > f->longest_us)
			f->longest_us = us;
	}
	f->next = m->number + 1;
	f->sent_at = m->ns;
	f->came_at = now;
}

static int receive_flow(uint16_t port, uint64_t gap_us)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct flow f = {.seen = calloc(NUMBERS / 8, 1)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 16 << 20;
	struct message m;

	setvbuf(stdout, NULL, _IOLBF, 0); /* who waits for a gap reads it at once */
	if (fd < 0 || !f.seen || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return 2;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	while (!stop) {
		ssize_t n = recv(fd, &m, sizeof(m), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(m))
			continue;
		if (m.last)
			break;
		take(&f, &m, gap_us);
	}
	printf("flow sent=%" PRIu64 " received=%" PRIu64 " lost=%" PRIu64 " duplicated=%" PRIu64
	       " reordered=%" PRIu64 " longest_us=%" PRIu64 "\n",
	       stop ? f.next : m.number, f.received, (stop ? f.next : m.number) - f.received,
	       f.duplicated, f.reordered, f.longest_us);
	free(f.seen);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGTERM, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 5 && !strcmp(argv[1], "send") && atoi(argv[4]) > 0)
		return send_flow(argv[2], (uint16_t)atoi(argv[3]), (unsigned)atoi(argv[4]));
	if (argc == 4 && !strcmp(argv[1], "recv"))
		return receive_flow((uint16_t)atoi(argv[2]), (uint64_t)atoi(argv[3]));
	fprintf(stderr, "usage: seqflow send ADDRESS PORT RATE | seqflow recv PORT GAP_US\n");
	return 2;
}
