/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does anything, against the in-process plane without its threads. The input sets
 * features and rings up and is then a list of commands: writes to guest memory (most of them where
 * the rings are), frames from the network, and what the control thread does. After every step the
 * counters must add up, and at the end every frame must be accounted for.
 */
#include "fuzz.h"

#include "base/log.h"
#include "dataplane/inprocess.h"

#include <errno.h>
#include <sys/eventfd.h>

#define PAIRS	 2U
#define BYTES	 (128 * KIB)
#define RING	 4096ULL /* apart; desc, driver and device of one ring within */
#define BUFFERS	 (4 * PAIRS * RING)
#define INDIRECT (BYTES - 8192)

struct net {
	struct hostnet hn;
	uint32_t next[PAIRS]; /* length of the frame that waits; 0: none */
	uint32_t more[PAIRS]; /* and how many like it */
	unsigned room;	      /* frames that send still takes */
	int error;
	struct net_offload off;
	uint64_t sent, received;
};

static struct guest_mem *mem;
static uint8_t *ram;
static int kick_fd, call_fd;

static unsigned net_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			 unsigned n)
{
	struct net *net = container_of(hn, struct net, hn);
	unsigned i;
	uint8_t sum = 0;

	for (i = 0; i < n && net->room; i++, net->room--) {
		uint64_t len = 0;

		for (unsigned j = 0; j < frames[i].niov; j++) {
			const uint8_t *at = frames[i].iov[j].iov_base;
			size_t part = frames[i].iov[j].iov_len;

			fuzz_assert(part && at >= ram && part <= (size_t)(ram + BYTES - at));
			sum ^= at[0] ^ at[part - 1];
			len += part;
		}
		fuzz_assert(len == frames[i].len && len <= NET_FRAME_MAX && len >= 14);
		net->sent++;
	}
	net->off.hdr_len ^= sum & 1; /* so that the reads stay */
	return i;
}

static ssize_t net_recv(struct hostnet *hn, unsigned queue, const struct iovec *iov, unsigned niov,
			struct net_offload *off)
{
	struct net *net = container_of(hn, struct net, hn);
	uint32_t len = net->next[queue], at = 0;

	if (net->error)
		return net->error;
	if (!net->more[queue])
		return -EAGAIN;
	net->more[queue]--;
	*off = net->off;
	for (unsigned j = 0; j < niov && at < len; j++) {
		size_t part = MIN(iov[j].iov_len, (size_t)(len - at));

		memset(iov[j].iov_base, (int)len, part);
		at += (uint32_t)part;
	}
	if (at < len)
		return -EMSGSIZE;
	net->received += len != 0;
	return (ssize_t)len;
}

static int net_poll_fd(struct hostnet *hn, unsigned queue)
{
	return kick_fd;
}

static int net_set_offloads(struct hostnet *hn, uint32_t offloads)
{
	return 0;
}

static void net_close(struct hostnet *hn)
{
}

static const struct hostnet_ops net_ops = {
	.name = "fuzz",
	.send = net_send,
	.recv = net_recv,
	.poll_fd = net_poll_fd,
	.set_offloads = net_set_offloads,
	.close = net_close,
};

struct fuzz {
	struct fuzz_input in;
	struct net net;
	struct plane *plane;
	struct plane_queue queues[2 * PAIRS];
	struct plane_net_config config;
	struct virtio_features features;
	uint16_t avail[2 * PAIRS];
	bool running;
};

static uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static void set_queue(struct fuzz *f, unsigned i)
{
	struct vring_config *c = &f->queues[i].cfg;
	uint8_t how = fuzz_u8(&f->in);

	*c = (struct vring_config){
		.size = how & 0x40 ? 1u << (how & 7) : 16,
		.packed = features_has(&f->features, VIRTIO_F_RING_PACKED),
		.event_idx = features_has(&f->features, VIRTIO_RING_F_EVENT_IDX),
		.indirect = true,
		.in_order = features_has(&f->features, VIRTIO_F_IN_ORDER),
		.desc = i * RING,
		.driver = i * RING + 2048,
		.device = i * RING + 3072,
	};
	if (how == 0xff)
		c->desc = fuzz_u32(&f->in);
	f->queues[i].enabled = true;
	f->queues[i].kick_fd = -1;
	f->queues[i].call_fd = call_fd;
	f->queues[i].state = VRING_STATE_INIT;
	f->avail[i] = 0;
}

static void set_config(struct fuzz *f)
{
	struct plane_net_config *c = &f->config;
	static const uint8_t mac[6] = {2};
	uint16_t how = fuzz_u16(&f->in);

	rx_filter_init(&c->filter, mac);
	c->filter.promisc = !(how & 1);
	c->filter.vlan_filter = how & 2;
	c->link_up = (how & 12) != 12;
	c->active_pairs = how & 16 ? 1 : PAIRS;
	c->guest_offloads = how >> 8;
	c->rss.enabled = how & 32;
	c->rss.hash_report = features_has(&f->features, VIRTIO_NET_F_HASH_REPORT);
	c->rss.types = RSS_ALL;
	c->rss.table_len = 2;
	c->rss.table[0] = 1;
	c->rss.table[1] = how & 128 ? 7 : 0;
	c->rss.unclassified_queue = how & 64 ? 1 : 0;
	c->rss.key_len = RSS_KEY_MAX;
	c->rx_coalesce.max_usecs = how & 0x200 ? 1 : 0;
	c->tx_coalesce.max_packets = how & 0x400 ? 3 : 0;
	if (f->plane)
		f->plane->ops->configure(f->plane, c);
}

static void set_features(struct fuzz *f)
{
	static const uint8_t bits[16] = {
		VIRTIO_F_RING_PACKED,	 VIRTIO_RING_F_EVENT_IDX, VIRTIO_F_IN_ORDER,
		VIRTIO_NET_F_MRG_RXBUF,	 VIRTIO_NET_F_CSUM,	  VIRTIO_NET_F_HOST_TSO4,
		VIRTIO_NET_F_HOST_TSO6,	 VIRTIO_NET_F_HOST_ECN,	  VIRTIO_NET_F_HOST_UFO,
		VIRTIO_NET_F_HOST_USO,	 VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4,
		VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HASH_REPORT,
		VIRTIO_NET_F_RSS,
	};
	uint16_t word = fuzz_u16(&f->in);

	for (unsigned i = 0; i < 16; i++)
		features_set(&f->features, bits[i], word >> i & 1);
}

static void start(struct fuzz *f)
{
	struct plane_start s = {.features = f->features,
				.queues = f->queues,
				.nqueues = 2 * PAIRS,
				.config = &f->config};
	struct error err;

	if (!f->running)
		f->running = !f->plane->ops->start(f->plane, &s, &err);
}

static void stop(struct fuzz *f)
{
	if (f->running)
		f->plane->ops->stop(f->plane, f->queues, 2 * PAIRS);
	f->running = false;
}

/* A descriptor in slot at of queue i's table, or of the indirect tables. */
static void put_desc(struct fuzz *f, unsigned i)
{
	uint8_t how = fuzz_u8(&f->in), at = fuzz_u8(&f->in);
	uint64_t desc = how & 1 ? INDIRECT + at % 64 * 16ULL : i * RING + at % 16 * 16ULL;
	uint64_t addr = BUFFERS + fuzz_u16(&f->in) % (BYTES - BUFFERS);
	uint32_t len = fuzz_u16(&f->in);
	uint16_t a = fuzz_u16(&f->in), b = fuzz_u16(&f->in);

	if (how & 2)
		addr = INDIRECT + at % 4 * 64;
	if (how & 4)
		len = 16 * (1 + at % 8);
	if (how & 8)
		addr = fuzz_u32(&f->in);
	store_le64(ram + desc, addr);
	store_le32(ram + desc + 8, len);
	store_le16(ram + desc + 12, a);
	store_le16(ram + desc + 14, how & 16 ? b & 0x83 : b);
}

/* A chain of one part made available the way a driver does it (split rings). */
static void put_chain(struct fuzz *f, unsigned i)
{
	uint16_t at = f->avail[i] & 15;
	uint64_t driver = i * RING + 2048;

	store_le64(ram + i * RING + at * 16, BUFFERS + fuzz_u8(&f->in) * 256ULL);
	store_le32(ram + i * RING + at * 16 + 8, 12 + fuzz_u16(&f->in) % 8192);
	store_le32(ram + i * RING + at * 16 + 12, i % 2 ? 0 : 2);
	store_le16(ram + driver + 4 + 2 * (at & (f->queues[i].cfg.size - 1)), at);
	store_le16(ram + driver + 2, ++f->avail[i]);
}

static void check(struct fuzz *f, bool end)
{
	uint64_t sent = 0, received = 0;

	for (unsigned i = 0; i < 2 * PAIRS; i++) {
		struct plane_queue_counters c;
		uint64_t drops = 0;

		f->plane->ops->counters(f->plane, i, &c);
		for (unsigned d = 0; d < PLANE_DROP_COUNT; d++)
			drops += c.drops[d];
		fuzz_assert(c.frames_in == c.frames_out + drops);
		if (i % 2)
			sent += c.frames_out;
		else
			received += c.frames_in;
	}
	fuzz_assert(sent == f->net.sent);
	fuzz_assert(end ? received == f->net.received : received <= f->net.received);
}

static void step(struct fuzz *f)
{
	struct inproc *p = container_of(f->plane, struct inproc, plane);

	for (unsigned i = 0; f->running && i < PAIRS; i++)
		inproc_step(p->pairs[i]);
	check(f, false);
}

static void command(struct fuzz *f)
{
	uint8_t what = fuzz_u8(&f->in);
	unsigned i = what >> 6;
	uint64_t at;

	switch (what & 15) {
	case 0:
	case 1:
		step(f);
		break;
	case 2:
	case 3:
		put_desc(f, i);
		break;
	case 4:
	case 5:
		put_chain(f, i);
		break;
	case 6:
		store_le16(ram + i * RING + 2048 + fuzz_u8(&f->in) % 64, fuzz_u16(&f->in));
		break;
	case 7:
		at = fuzz_u16(&f->in);
		fuzz_bytes(&f->in, ram + at, 32);
		break;
	case 8:
	case 9:
		f->net.next[i % PAIRS] = fuzz_u16(&f->in) + (what & 32 ? 100 : 0);
		f->net.more[i % PAIRS] += what & 16 ? 40 : 1;
		break;
	case 10:
		fuzz_bytes(&f->in, &f->net.off, sizeof(f->net.off));
		break;
	case 11:
		f->net.room = what & 16 ? UINT32_MAX : fuzz_u8(&f->in);
		f->net.error = what & 32 ? -EIO : 0;
		break;
	case 12:
		set_config(f);
		break;
	case 13:
		stop(f);
		check(f, true);
		start(f);
		break;
	case 14:
		f->queues[i].enabled = false;
		if (f->running)
			f->plane->ops->queue_set(f->plane, i, &f->queues[i]);
		if (what & 16)
			set_queue(f, i);
		if (f->running)
			f->plane->ops->queue_set(f->plane, i, &f->queues[i]);
		break;
	default:
		memset(ram + i * RING, 0, RING);
		break;
	}
}

static void set_up_once(void)
{
	struct error err;

	if (mem)
		return;
	log_set_level(LOG_LEVEL_ERROR);
	mem = guest_mem_create(&err);
	fuzz_assert(mem && !guest_mem_add_ram(mem, "ram", 0, BYTES, NULL, &err));
	ram = mem_translate(guest_mem_table(mem), 0, BYTES, MEM_WRITE);
	kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {2};
	struct plane_params params = {.id = "net0", .queue_pairs = PAIRS, .mac = mac};
	static struct fuzz f;
	struct error err;

	set_up_once();
	memset(&f, 0, sizeof(f));
	memset(ram, 0, BYTES);
	f.in = (struct fuzz_input){data, size};
	f.net.hn = (struct hostnet){
		.ops = &net_ops,
		.offloads_tx = NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO,
		.offloads_rx = NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO,
		.queues = PAIRS,
	};
	f.net.room = UINT32_MAX;
	params.mem = mem;
	set_features(&f);
	set_config(&f);
	for (unsigned i = 0; i < 2 * PAIRS; i++)
		set_queue(&f, i);
	fuzz_assert(!inproc_new(&f.net.hn, NULL, &params, false, &f.plane, &err));
	start(&f);
	while (f.in.left)
		command(&f);
	step(&f);
	stop(&f);
	check(&f, true);
	f.plane->ops->close(f.plane);
	return 0;
}
