/* SPDX-License-Identifier: Apache-2.0 */
#include "device/nic_rx.h"
#include "net/checksum.h"
#include "net/gso.h"

#include <errno.h>
#include <stdlib.h>

struct held_frame {
	uint32_t len, flags;
};

/* A GSO frame in as many segments as there can be, each with its headers: the worst case. Memory
 * that is never used is never touched. */
#define HELD_MAX         \
	(NET_FRAME_MAX + \
	 NET_GSO_SEGMENTS_MAX * (NET_HEADERS_MAX + IPV6_FRAG_HLEN + sizeof(struct held_frame)))

int nic_rx_init(struct nic_rx *rx, struct hostnet *hn, const struct nic_rx_ops *ops, void *opaque,
		struct nic_flow *flow)
{
	memset(rx, 0, sizeof(*rx));
	rx->hn = hn;
	rx->ops = ops;
	rx->opaque = opaque;
	rx->flow = flow;
	rx->bounce = malloc(NET_FRAME_MAX);
	rx->held = malloc(HELD_MAX);
	if (rx->bounce && rx->held)
		return 0;
	nic_rx_fini(rx);
	return -ENOMEM;
}

void nic_rx_fini(struct nic_rx *rx)
{
	free(rx->bounce);
	free(rx->held);
	rx->bounce = rx->held = NULL;
}

static int hold(struct nic_rx *rx, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct held_frame head = {len, rx->flags};

	if (rx->held_end + sizeof(head) + len > HELD_MAX)
		return -ENOSPC;
	memcpy(rx->held + rx->held_end, &head, sizeof(head));
	rx->held_end += sizeof(head);
	iov_read(iov, niov, 0, rx->held + rx->held_end, len);
	rx->held_end += len;
	rx->held_frames++;
	return 0;
}

/* One finished frame of what the back-end gave. */
static int finished(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct nic_rx *rx = opaque;

	rx->flow->in++;
	rx->flow->bytes_in += len;
	if (!rx->held_frames) {
		int ret = rx->ops->deliver(rx->opaque, iov, niov, len, rx->flags);

		if (ret != -EAGAIN)
			return 0;
	}
	if (hold(rx, iov, niov, len))
		rx->flow->drops[NIC_DROP_NO_BUFFER]++;
	return 0;
}

static int deliver_held(struct nic_rx *rx)
{
	while (rx->held_frames) {
		struct held_frame head;
		struct iovec iov;

		memcpy(&head, rx->held + rx->held_at, sizeof(head));
		iov = (struct iovec){rx->held + rx->held_at + sizeof(head), head.len};
		if (rx->ops->deliver(rx->opaque, &iov, 1, head.len, head.flags) == -EAGAIN)
			return -EAGAIN;
		rx->held_at += sizeof(head) + head.len;
		rx->held_frames--;
	}
	rx->held_at = rx->held_end = 0;
	return 1;
}

/* Reads into the bounce buffer: a length, 0 for nothing there, or negative. */
static ssize_t fetch(struct nic_rx *rx, struct net_offload *off)
{
	struct iovec iov = {rx->bounce, NET_FRAME_MAX};
	ssize_t len;

	if (!rx->hn)
		return 0;
	do
		len = rx->hn->ops->recv(rx->hn, 0, &iov, 1, off);
	while (len == -EMSGSIZE || len == -EINTR);
	return len == -EAGAIN ? 0 : len;
}

/* In lane 0, as what the guest sends: both are under the device's lock. */
static void record(struct nic_rx *rx, uint32_t len, const char *why)
{
	struct iovec iov = {rx->bounce, len};

	if (unlikely(rx->capture))
		capture_frame(rx->capture, 0, PCAPNG_INBOUND, &iov, 1, why);
}

int nic_rx_pull(struct nic_rx *rx)
{
	struct net_offload off = {0};
	struct iovec iov;
	ssize_t len;

	if (rx->held_frames)
		return deliver_held(rx);
	len = fetch(rx, &off);
	if (len <= 0)
		return (int)len;
	if (!rx->ops->accepts(rx->opaque, rx->bounce, (uint32_t)len)) {
		rx->flow->in++;
		rx->flow->bytes_in += (uint64_t)len;
		record(rx, (uint32_t)len, nic_drop_name(NIC_DROP_FILTERED));
		return 1;
	}
	record(rx, (uint32_t)len, NULL);
	if (len < ETHER_MIN_LEN) {
		/* On the wire it would have been padded. */
		memset(rx->bounce + len, 0, (size_t)(ETHER_MIN_LEN - len));
		len = ETHER_MIN_LEN;
	}
	rx->flags = off.flags & (NET_NEEDS_CSUM | NET_DATA_VALID) ? NIC_RX_CSUM_GOOD : 0;
	iov = (struct iovec){rx->bounce, (size_t)len};
	if (!off.gso_type) {
		if (net_csum_complete(rx->bounce, (uint32_t)len, &off) < 0)
			goto malformed;
		finished(rx, &iov, 1, (uint32_t)len);
	} else {
		struct net_frame frame = {.iov = &iov, .niov = 1, .len = (uint32_t)len, .off = off};

		if (net_gso_finish(&frame, finished, rx) < 0)
			goto malformed;
	}
	return rx->held_frames ? -EAGAIN : 1;
malformed:
	rx->flow->in++;
	rx->flow->drops[NIC_DROP_BAD_OFFLOAD]++;
	return 1;
}

int nic_rx_discard(struct nic_rx *rx, enum nic_drop cause)
{
	struct net_offload off;
	ssize_t len = fetch(rx, &off);

	if (len <= 0)
		return (int)len;
	rx->flow->in++;
	rx->flow->bytes_in += (uint64_t)len;
	rx->flow->drops[cause]++;
	record(rx, (uint32_t)len, nic_drop_name(cause));
	return 1;
}

void nic_rx_flush(struct nic_rx *rx, enum nic_drop cause)
{
	rx->flow->drops[cause] += rx->held_frames;
	rx->held_frames = 0;
	rx->held_at = rx->held_end = 0;
}
