/* SPDX-License-Identifier: Apache-2.0 */
#include "device/nic_tx.h"
#include "net/gso.h"

#include <errno.h>
#include <stdio.h>

const char *nic_drop_name(enum nic_drop drop)
{
	static const char *const names[NIC_DROP_COUNT] = {
		[NIC_DROP_NO_BACKEND] = "no_backend",	[NIC_DROP_LINK_DOWN] = "link_down",
		[NIC_DROP_DISABLED] = "disabled",	[NIC_DROP_FILTERED] = "filtered",
		[NIC_DROP_OVERSIZE] = "oversize",	[NIC_DROP_UNDERSIZE] = "undersize",
		[NIC_DROP_BAD_ADDRESS] = "bad_address", [NIC_DROP_BAD_RING] = "bad_ring",
		[NIC_DROP_BAD_OFFLOAD] = "bad_offload", [NIC_DROP_NO_BUFFER] = "no_buffer",
		[NIC_DROP_BACKEND] = "backend_full",
	};

	return (unsigned)drop < NIC_DROP_COUNT ? names[drop] : "unknown";
}

void nic_flow_emit(const struct nic_flow *flow, const char *prefix,
		   void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_in_frames", prefix);
	emit(arg, name, flow->in);
	snprintf(name, sizeof(name), "%s_in_bytes", prefix);
	emit(arg, name, flow->bytes_in);
	snprintf(name, sizeof(name), "%s_out_frames", prefix);
	emit(arg, name, flow->out);
	snprintf(name, sizeof(name), "%s_out_bytes", prefix);
	emit(arg, name, flow->bytes_out);
	for (unsigned i = 0; i < NIC_DROP_COUNT; i++) {
		if (!flow->drops[i])
			continue;
		snprintf(name, sizeof(name), "%s_drop_%s", prefix, nic_drop_name(i));
		emit(arg, name, flow->drops[i]);
	}
}

/* Whether the back-end can finish this frame itself. */
static bool can_finish(const struct hostnet *hn, const struct net_offload *off)
{
	uint8_t type = off->gso_type & (uint8_t)~NET_GSO_ECN;
	uint32_t need = 0;

	if (off->flags & NET_NEEDS_CSUM)
		need |= NET_OFFLOAD_CSUM;
	if (off->gso_type & NET_GSO_ECN)
		need |= NET_OFFLOAD_ECN;
	if (type == NET_GSO_TCPV4)
		need |= NET_OFFLOAD_TSO4;
	else if (type == NET_GSO_TCPV6)
		need |= NET_OFFLOAD_TSO6;
	else if (type == NET_GSO_UDP)
		need |= NET_OFFLOAD_UFO;
	else if (type == NET_GSO_UDP_L4)
		need |= NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6;
	return !(need & ~hn->offloads_tx);
}

static void count_out(struct nic_flow *flow, const struct net_frame *frames, unsigned n)
{
	flow->out += n;
	for (unsigned i = 0; i < n; i++)
		flow->bytes_out += frames[i].len;
}

/* A finished segment. That the back-end is full in the middle costs a segment, as on any wire. */
static int emit_segment(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct hostnet *hn = opaque;
	struct net_frame frame = {.iov = iov, .niov = niov, .len = len};

	hn->ops->send(hn, 0, &frame, 1);
	return 0;
}

static void finish_here(struct hostnet *hn, struct nic_flow *flow, const struct net_frame *frame)
{
	if (net_gso_finish(frame, emit_segment, hn) < 0)
		flow->drops[NIC_DROP_BAD_OFFLOAD]++;
	else
		count_out(flow, frame, 1);
}

unsigned nic_tx_send(struct hostnet *hn, struct nic_flow *flow, const struct net_frame *frames,
		     unsigned n)
{
	unsigned done = 0;

	if (!hn) {
		flow->drops[NIC_DROP_NO_BACKEND] += n;
		return n;
	}
	while (done < n) {
		unsigned run = 0, sent;

		while (done + run < n && can_finish(hn, &frames[done + run].off))
			run++;
		if (!run) {
			finish_here(hn, flow, &frames[done++]);
			continue;
		}
		sent = hn->ops->send(hn, 0, &frames[done], run);
		count_out(flow, &frames[done], sent);
		done += sent;
		if (sent < run)
			break;
	}
	return done;
}
