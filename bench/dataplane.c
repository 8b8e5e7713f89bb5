/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a frame costs the in-process data plane's worker: its processor time, system calls and
 * sleeps a frame, over TAP (in a network namespace of its own, so as root) and over back-end
 * "none", which leaves the ring's share. The guest is this program's main thread with the driver
 * side of the rings; the network is a packet socket on the TAP, or the kernel that drops what is
 * sent to nobody. Processor time is the worker's own, so the figures stand on a busy machine too.
 *
 *	bench_dataplane [--seconds N] [KEY=VALUE,…]     (options of the plane: poll-us=, …)
 */
#include "base/log.h"
#include "dataplane/inprocess.h"
#include "net/ether.h"
#include "vring/driver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE  256U
#define SLOT  (68 * KIB)
#define RAM   (64 * MIB)
#define LARGE 65226U /* 45 TCP segments of 1448 bytes and their headers */

#ifndef PACKET_QDISC_BYPASS
#define PACKET_QDISC_BYPASS 20
#endif

struct ring {
	struct plane_queue pq;
	struct vdrv *drv;
	uint64_t slots;
};

struct bench {
	struct guest_mem *mem;
	uint8_t *ram;
	struct plane *plane;
	struct ring rings[2];
	struct plane_net_config config;
	uint64_t frames; /* the driver saw completed */
	int packet;	 /* the network's end of the TAP */
	bool stop;
};

static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};
static unsigned seconds = 2;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_dataplane: %s: %s\n", what, why);
	exit(1);
}

static void ring_init(struct bench *b, unsigned i, bool packed, uint64_t *at)
{
	struct ring *r = &b->rings[i];
	struct vring_config *c = &r->pq.cfg;
	struct error err;

	*c = (struct vring_config){.size = SIZE, .packed = packed, .event_idx = true};
	c->desc = *at;
	c->driver = ALIGN_UP(c->desc + vring_desc_bytes(c), 64);
	c->device = ALIGN_UP(c->driver + vring_driver_bytes(c), 64);
	r->slots = ALIGN_UP(c->device + vring_device_bytes(c), 4096);
	*at = r->slots + (uint64_t)SIZE * SLOT;
	r->pq.state = VRING_STATE_INIT;
	r->pq.enabled = true;
	r->pq.kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->pq.call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->drv = vdrv_create();
	if (vdrv_start(r->drv, c, guest_mem_table(b->mem), &err))
		die("ring", err.text);
}

static void kick(struct ring *r)
{
	const uint64_t one = 1;

	if (vdrv_publish(r->drv) && write(r->pq.kick_fd, &one, sizeof(one)) < 0)
		die("kick", error_name(errno));
}

static void make_frame(uint8_t *frame, uint32_t len)
{
	static const uint8_t tap_mac[6] = {0x52, 0x54, 0, 9, 9, 9};
	uint8_t *ip = frame + ETHER_HLEN;

	memcpy(frame, mac, 6);
	memcpy(frame + 6, tap_mac, 6);
	store_be16(frame + 12, ETHER_IPV4);
	ip[0] = 0x45;
	store_be16(ip + IPV4_LEN, (uint16_t)(len - ETHER_HLEN));
	ip[8] = 64;
	ip[IPV4_PROTO] = IP_PROTO_TCP;
	store_be32(ip + IPV4_SRC, 0x0a630001);
	store_be32(ip + IPV4_DST, 0x0a630002);
	ip[IPV4_HLEN + 12] = 0x50;
}

static struct net_offload offload_for(uint32_t len)
{
	if (len <= 1514)
		return (struct net_offload){0};
	return (struct net_offload){.flags = NET_NEEDS_CSUM,
				    .gso_type = NET_GSO_TCPV4,
				    .hdr_len = 54,
				    .gso_size = 1448,
				    .csum_start = 34,
				    .csum_offset = 16};
}

static char cookies[SIZE]; /* only their addresses are used */

/* Slots in use, so that each has one buffer at most. */
struct slots {
	unsigned free[SIZE], n;
};

static void slots_init(struct slots *s)
{
	for (s->n = 0; s->n < SIZE; s->n++)
		s->free[s->n] = s->n;
}

static unsigned take_back(struct bench *b, struct ring *r, struct slots *s)
{
	unsigned n = 0;
	uint32_t len;
	void *cookie;

	while (vdrv_get(r->drv, &cookie, &len) == 1) {
		s->free[s->n++] = (unsigned)((char *)cookie - cookies);
		n++;
	}
	return n;
}

static void give(struct ring *r, struct slots *s, uint32_t len, bool in, unsigned max)
{
	unsigned n = 0;

	for (; s->n && n < max; n++) {
		unsigned slot = s->free[s->n - 1];
		struct vdrv_sg sg = {r->slots + (uint64_t)slot * SLOT, len};

		if (vdrv_add(r->drv, &sg, !in, in, false, 0, &cookies[slot]))
			break;
		s->n--;
	}
	if (n)
		kick(r);
}

/* Waits for the other side; on one processor there is no point in spinning. */
static void pause_a_little(void)
{
	sched_yield();
}

static void run_tx(struct bench *b, uint32_t len)
{
	struct ring *r = &b->rings[1];
	uint64_t end = clock_ns() + seconds * NSEC_PER_SEC;
	struct net_offload off = offload_for(len);
	struct slots s;

	slots_init(&s);
	for (unsigned i = 0; i < SIZE; i++) {
		uint8_t *at = b->ram + r->slots + (uint64_t)i * SLOT;

		memcpy(at, &off, sizeof(off));
		make_frame(at + HDR_LEN, len);
	}
	vdrv_disable_calls(r->drv);
	while (clock_ns() < end) {
		unsigned n = take_back(b, r, &s);

		b->frames += n;
		give(r, &s, HDR_LEN + len, false, 32);
		if (!n)
			pause_a_little();
	}
}

static void *network(void *arg)
{
	struct bench *b = arg;
	uint32_t len = b->config.active_pairs; /* see run_rx */
	uint8_t frame[SLOT] = {0};
	struct net_offload off = offload_for(len);
	struct iovec iov[2] = {{&off, 10}, {frame, len}};
	struct mmsghdr msgs[16] = {0};

	make_frame(frame, len);
	for (unsigned i = 0; i < ARRAY_SIZE(msgs); i++)
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = iov, .msg_iovlen = 2};
	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED))
		if (sendmmsg(b->packet, msgs, ARRAY_SIZE(msgs), 0) < 0)
			sched_yield();
	return NULL;
}

static void run_rx(struct bench *b, uint32_t len)
{
	struct ring *r = &b->rings[0];
	uint64_t end = clock_ns() + seconds * NSEC_PER_SEC;
	pthread_t thread;
	struct slots s;

	slots_init(&s);
	vdrv_disable_calls(r->drv);
	give(r, &s, 1536, true, SIZE);
	b->config.active_pairs = len;
	b->stop = false;
	if (pthread_create(&thread, NULL, network, b))
		die("thread", error_name(errno));
	while (clock_ns() < end) {
		unsigned n = take_back(b, r, &s);

		give(r, &s, 1536, true, SIZE);
		if (!n)
			pause_a_little();
	}
	__atomic_store_n(&b->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

static void open_network(struct bench *b)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	struct ifreq ifr = {.ifr_name = "vbench0"};
	int one = 1;

	b->packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (b->packet < 0 || ioctl(b->packet, SIOCGIFINDEX, &ifr))
		die("packet socket", error_name(errno));
	to.sll_ifindex = ifr.ifr_ifindex;
	setsockopt(b->packet, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
	setsockopt(b->packet, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	if (bind(b->packet, (struct sockaddr *)&to, sizeof(to)))
		die("packet socket", error_name(errno));
}

static void open_plane(struct bench *b, const char *backend, const char *options, bool packed)
{
	struct plane_params params = {.id = "bench", .queue_pairs = 1, .mac = mac};
	struct plane_queue pqs[2];
	struct plane_start start = {.queues = pqs, .nqueues = 2, .config = &b->config};
	static const uint8_t bits[] = {VIRTIO_F_VERSION_1,	VIRTIO_NET_F_MRG_RXBUF,
				       VIRTIO_NET_F_CSUM,	VIRTIO_NET_F_HOST_TSO4,
				       VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4};
	uint64_t at = 4096;
	struct options opts;
	struct error err;
	char all[200];

	b->mem = guest_mem_create(&err);
	if (!b->mem || guest_mem_add_ram(b->mem, "ram", 0, RAM, NULL, &err))
		die("memory", err.text);
	b->ram = mem_translate(guest_mem_table(b->mem), 0, RAM, MEM_WRITE);
	for (unsigned i = 0; i < 2; i++) {
		ring_init(b, i, packed, &at);
		pqs[i] = b->rings[i].pq;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
		features_set(&start.features, bits[i], true);
	rx_filter_init(&b->config.filter, mac);
	b->config.active_pairs = 1;
	b->config.link_up = true;
	b->config.guest_offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4;
	snprintf(all, sizeof(all), "%s%s%s", strcmp(backend, "tap") ? "" : "ifname=vbench0",
		 *options && !strcmp(backend, "tap") ? "," : "", options);
	params.mem = b->mem;
	if (options_parse(&opts, all, &err) ||
	    inprocess_ops.open(backend, &opts, &params, &b->plane, &err) ||
	    inprocess_ops.start(b->plane, &start, &err))
		die(backend, err.text);
	options_free(&opts);
}

static void close_plane(struct bench *b)
{
	inprocess_ops.close(b->plane);
	for (unsigned i = 0; i < 2; i++) {
		vdrv_free(b->rings[i].drv);
		close(b->rings[i].pq.kick_fd);
		close(b->rings[i].pq.call_fd);
	}
	guest_mem_destroy(b->mem);
	if (b->packet >= 0)
		close(b->packet);
}

/* The worker's processor time in ns. */
static uint64_t worker_ns(struct bench *b)
{
	struct inproc *p = container_of(b->plane, struct inproc, plane);
	struct timespec ts;
	clockid_t clock;

	if (pthread_getcpuclockid(p->pairs[0]->thread, &clock) || clock_gettime(clock, &ts))
		die("clock", "no processor time of the worker");
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void run(const char *name, const char *backend, const char *options, bool packed, bool rx,
		uint32_t len)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct plane_queue_counters c;
	struct hostnet_counters hc = {0};
	struct hostnet *hn;
	uint64_t before, ns, wall = clock_ns();
	double frames;

	b->packet = -1;
	open_plane(b, backend, options, packed);
	if (rx)
		open_network(b);
	before = worker_ns(b);
	(rx ? run_rx : run_tx)(b, len);
	ns = worker_ns(b) - before;
	wall = clock_ns() - wall;
	hn = container_of(b->plane, struct inproc, plane)->hn;
	hn->ops->counters(hn, 0, &hc);
	inprocess_ops.counters(b->plane, rx ? 0 : 1, &c);
	frames = c.frames_out ? (double)c.frames_out : 1;
	printf("%-28s %-6s %9.0f %9.0f %8.1f %8.3f %8.3f %8.2f\n", name,
	       packed ? "packed" : "split", frames * 1e9 / (double)wall, (double)ns / frames,
	       (double)c.bytes_out * 8 / (double)ns, (double)hc.syscalls / frames,
	       (double)c.kicks / frames, frames / (double)MAX(c.bursts, 1u));
	close_plane(b);
	free(b);
}

int main(int argc, char **argv)
{
	const char *options = "";
	bool tap;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			seconds = (unsigned)atoi(argv[++i]);
		else
			options = argv[i];
	}
	tap = !unshare(CLONE_NEWNET);
	printf("%-28s %-6s %9s %9s %8s %8s %8s %8s\n", "", "ring", "frames/s", "ns CPU", "Gb/CPU s",
	       "tap sys", "kicks", "burst");
	for (unsigned packed = 0; packed < 2; packed++) {
		run("none, transmit 64 B", "none", options, packed, false, 64);
		if (!tap)
			continue;
		run("tap, transmit 64 B", "tap", options, packed, false, 64);
		run("tap, transmit 64 KiB", "tap", options, packed, false, LARGE);
		run("tap, receive 64 B", "tap", options, packed, true, 64);
		run("tap, receive 1514 B", "tap", options, packed, true, 1514);
		run("tap, receive 64 KiB", "tap", options, packed, true, LARGE);
	}
	return 0;
}
