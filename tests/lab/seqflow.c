/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seqflow send ADDRESS PORT RATE [BYTES]    numbered datagrams, so many a second, until SIGTERM
 * seqflow recv PORT GAP_US [HOLD_MS]        takes them until the sender says it has ended
 *
 * Each datagram carries its number, the sender's time, and bytes that follow from its number. The
 * receiver prints where nothing came for longer than GAP_US more than the sender paused, and in the
 * end what came, what did not, what came twice, what came late, and what had other bytes. Times are
 * nanoseconds of CLOCK_MONOTONIC, each side's own.
 *
 * With HOLD_MS it leaves each datagram in its socket's buffer for so long, that is, where the device
 * put it: memory that nobody but the device has written to.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS	  (1u << 24) /* that a flow may have */

#define BYTES_MIN 64
#define BYTES_MAX 65000

struct message {
	uint64_t number; /* or, in the last ones, how many there were */
	uint64_t ns;
	uint32_t last;
	uint8_t fill[BYTES_MAX - 20];
};

/* Byte i of a message's fill: no two messages, and no two pages of one, have the same. */
static uint8_t fill_byte(uint64_t number, size_t i)
{
	uint64_t x = (number + 1) * 0x9e3779b97f4a7c15u + (i / 8) * 0xbf58476d1ce4e5b9u;

	x ^= x >> 29;
	return (uint8_t)(x >> (i % 8 * 8));
}

static size_t fill_bytes(size_t bytes)
{
	return bytes - offsetof(struct message, fill);
}

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
static bool put(int fd, const struct sockaddr_in *to, struct message *m, size_t bytes)
{
	for (size_t i = 0; i < fill_bytes(bytes); i++)
		m->fill[i] = fill_byte(m->number, i);
	return sendto(fd, m, bytes, 0, (const struct sockaddr *)to, sizeof(*to)) == (ssize_t)bytes;
}

static int send_flow(const char *address, uint16_t port, unsigned rate, size_t bytes)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	static struct message m;
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
		if (put(fd, &to, &m, bytes))
			m.number++;
		at += step;
		sleep_until(at);
	}
	m.last = 1;
	for (unsigned i = 0; i < 20; i++) {
		put(fd, &to, &m, bytes);
		sleep_until(now_ns() + 100000000u);
	}
	printf("flow sent=%" PRIu64 "\n", m.number);
	return 0;
}

struct flow {
	uint8_t *seen; /* a bit a number */
	uint64_t received, duplicated, reordered, corrupt, next, longest_us;
	uint64_t sent_at, came_at;	  /* the one before */
	uint64_t first_sent, first_taken; /* 0: none yet */
};

static bool intact(const struct message *m, size_t bytes)
{
	for (size_t i = 0; i < fill_bytes(bytes); i++)
		if (m->fill[i] != fill_byte(m->number, i))
			return false;
	return true;
}

/* Until the datagram that follows m has waited for hold_ms, if it was sent when m was. */
static void hold(struct flow *f, const struct message *m, uint64_t hold_ms)
{
	if (!f->first_taken) {
		f->first_sent = m->ns;
		f->first_taken = now_ns() + hold_ms * 1000000u;
	}
	sleep_until(f->first_taken + (m->ns - f->first_sent));
}

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
		printf("late number=%" PRIu64 " after=%" PRIu64 " sent=%" PRIu64 " came=%" PRIu64
		       "\n",
		       m->number, f->next - 1, m->ns, now);
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

static int receive_flow(uint16_t port, uint64_t gap_us, uint64_t hold_ms)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct flow f = {.seen = calloc(NUMBERS / 8, 1)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 16 << 20;
	static struct message m;

	setvbuf(stdout, NULL, _IOLBF, 0); /* who waits for a gap reads it at once */
	if (fd < 0 || !f.seen || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return 2;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	while (!stop) {
		ssize_t n = recv(fd, &m, sizeof(m), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < BYTES_MIN)
			continue;
		if (!intact(&m, (size_t)n)) {
			f.corrupt++;
			continue;
		}
		if (m.last)
			break;
		take(&f, &m, gap_us);
		if (hold_ms)
			hold(&f, &m, hold_ms);
	}
	printf("flow sent=%" PRIu64 " received=%" PRIu64 " lost=%" PRIu64 " duplicated=%" PRIu64
	       " reordered=%" PRIu64 " longest_us=%" PRIu64 " corrupt=%" PRIu64 "\n",
	       stop ? f.next : m.number, f.received, (stop ? f.next : m.number) - f.received,
	       f.duplicated, f.reordered, f.longest_us, f.corrupt);
	free(f.seen);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGTERM, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if ((argc == 5 || argc == 6) && !strcmp(argv[1], "send") && atoi(argv[4]) > 0) {
		int bytes = argc == 6 ? atoi(argv[5]) : BYTES_MIN;

		if (bytes >= BYTES_MIN && bytes <= BYTES_MAX)
			return send_flow(argv[2], (uint16_t)atoi(argv[3]), (unsigned)atoi(argv[4]),
					 (size_t)bytes);
	}
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "recv"))
		return receive_flow((uint16_t)atoi(argv[2]), (uint64_t)atoi(argv[3]),
				    argc == 5 ? (uint64_t)atoi(argv[4]) : 0);
	fprintf(stderr, "usage: seqflow send ADDRESS PORT RATE [BYTES] | "
			"seqflow recv PORT GAP_US [HOLD_MS]\n");
	return 2;
}
