/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PLANE_TAP_H
#define TESTS_PLANE_TAP_H

/* The host's side of a TAP that a plane serves: a packet socket on the interface. Needs root. */
#include "plane_bed.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>

/* What the host has of the TAP. */
static inline int host_socket(const char *ifname)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htobe16(PB_TYPE),
		.sll_ifindex = (int)if_nametoindex(ifname),
	};
	int size = 4 << 20;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static inline bool host_get(int fd, uint64_t *seq)
{
	uint8_t frame[2048];
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	ssize_t n;

	do {
		n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &len);
		if (n < 0)
			return false;
	} while (from.sll_pkttype == PACKET_OUTGOING);
	assert_true(n >= (ssize_t)PB_FRAME);
	*seq = load_be64(frame + PB_SEQ_AT);
	return true;
}

static inline void host_put(int fd, uint64_t seq)
{
	uint8_t frame[PB_FRAME];

	pb_frame(frame, true, seq);
	assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
}

/* Sends n frames each way, in step; all must arrive once and in order. */
static inline void exchange(struct pb *pb, int host, uint64_t *seq, unsigned n)
{
	uint64_t from = *seq, got_host = from, got_guest = from, sent = from, s;
	uint64_t end = clock_ns() + PATIENCE_NS;

	while ((got_host < from + n || got_guest < from + n) && clock_ns() < end) {
		uint64_t behind = MIN(got_host, got_guest);

		if (sent < from + n && sent - behind < 64 && pb_send(pb, 0, sent)) {
			host_put(host, sent);
			sent++;
		}
		while (host_get(host, &s)) {
			assert_int_equal(s, got_host);
			got_host++;
		}
		while (pb_recv(pb, 0, &s)) {
			assert_int_equal(s, got_guest);
			got_guest++;
		}
		loop_run_once(pb->loop, 0);
	}
	assert_int_equal(got_host, from + n);
	assert_int_equal(got_guest, from + n);
	*seq = from + n;
}

#endif
