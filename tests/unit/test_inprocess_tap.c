/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-process plane on a real TAP, in a network namespace of its own: UDP both ways between the
 * test's guest side and a socket of the host. Skipped without the privilege for it.
 */
#include "inproc_bed.h"

#include "hostnet/tap.h"
#include "net/checksum.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define HOST_IP	 0x0a4d0001 /* 10.77.0.1 */
#define GUEST_IP 0x0a4d0002
#define PORT	 4000

static struct bed *bed;
static int sock = -1;
static uint8_t tap_mac[6];
static struct guest_frame got;
static bool unprivileged;

static void host_ioctl(unsigned long what, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (ioctl(fd, what, ifr))
		fail_msg("ioctl %lx: %s", what, error_name(errno));
	close(fd);
}

static struct sockaddr_in address(uint32_t ip)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(ip),
	};
}

static void host_set_up(void)
{
	struct sockaddr_in me = address(HOST_IP);
	struct ifreq ifr = {.ifr_name = "vtest0"};
	int big = 4 << 20;

	memcpy(&ifr.ifr_addr, &me, sizeof(me));
	host_ioctl(SIOCSIFADDR, &ifr);
	host_ioctl(SIOCGIFHWADDR, &ifr);
	memcpy(tap_mac, ifr.ifr_hwaddr.sa_data, 6);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	assert_int_equal(bind(sock, (struct sockaddr *)&me, sizeof(me)), 0);
}

static void open_tap(unsigned pairs)
{
	struct plane_params params = {.id = "net0",
				      .queue_pairs = pairs,
				      .mac = bed_mac,
				      .mem = bed->mem,
				      .events = &bed->events};
	struct virtio_features f;
	struct options opts;
	struct error err = {0};

	assert_int_equal(options_parse(&opts, "ifname=vtest0", &err), 0);
	if (inprocess_ops.open("tap", &opts, &params, &bed->plane, &err))
		fail_msg("%s", err.text);
	options_free(&opts);
	bed->plane->ops->features(bed->plane, &f);
	for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++)
		if (features_has(&bed->features, bit) && !features_has(&f, bit))
			bed_feature(bed, bit, false);
	bed_start_plane(bed, bed->plane);
	vdrv_disable_calls(bed->rings[1].drv);
	host_set_up();
}

static int setup_n(unsigned pairs, const struct variant *v)
{
	bed = calloc(1, sizeof(*bed));
	bed_init(bed, v, pairs, 64);
	bed_feature(bed, VIRTIO_NET_F_GUEST_USO4, true);
	bed_feature(bed, VIRTIO_NET_F_GUEST_USO6, true);
	if (unprivileged)
		return 0;
	open_tap(pairs);
	return 0;
}

static int setup(void **state)
{
	return setup_n(1, *state);
}

static int setup_pairs(void **state)
{
	return setup_n(2, *state);
}

static int teardown(void **state)
{
	if (sock >= 0)
		close(sock);
	sock = -1;
	bed->fake.closed = true;
	bed_done(bed);
	free(bed);
	return 0;
}

/* A UDP datagram to the host, its checksum left to do; returns the frame's length. */
static uint32_t make_udp(uint8_t *frame, const void *data, uint32_t len, struct net_offload *off)
{
	struct csum c = {0};
	uint8_t *ip = frame + 14, *udp = ip + 20;
	uint8_t pseudo[4] = {0, IP_PROTO_UDP, (uint8_t)((8 + len) >> 8), (uint8_t)(8 + len)};
	uint16_t sum;

	memcpy(frame, tap_mac, 6);
	memcpy(frame + 6, bed_mac, 6);
	store_be16(frame + 12, ETHER_IPV4);
	memset(ip, 0, 28);
	ip[0] = 0x45;
	store_be16(ip + IPV4_LEN, (uint16_t)(28 + len));
	ip[8] = 64;
	ip[IPV4_PROTO] = IP_PROTO_UDP;
	store_be32(ip + IPV4_SRC, GUEST_IP);
	store_be32(ip + IPV4_DST, HOST_IP);
	sum = csum_ipv4_header(ip, 20);
	memcpy(ip + IPV4_CHECK, &sum, 2);
	store_be16(udp, PORT);
	store_be16(udp + 2, PORT);
	store_be16(udp + UDP_LEN, (uint16_t)(8 + len));
	csum_add(&c, ip + IPV4_SRC, 8);
	csum_add(&c, pseudo, sizeof(pseudo));
	sum = csum_fold(&c);
	memcpy(udp + UDP_CHECK, &sum, 2);
	memcpy(udp + 8, data, len);
	*off = (struct net_offload){
		.flags = NET_NEEDS_CSUM, .hdr_len = 42, .csum_start = 34, .csum_offset = 6};
	return 42 + len;
}

/* Answers ARP requests; what is a datagram for the guest returns true. */
static bool guest_datagram(unsigned queue, uint32_t *len)
{
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, 2};
	uint8_t reply[42];

	if (!guest_recv(bed, queue, &got))
		return false;
	guest_post(bed, queue, 64, 1526, NULL);
	if (load_be16(got.data + 12) == ETHER_ARP) {
		memcpy(reply, got.data + 6, 6);
		memcpy(reply + 6, bed_mac, 6);
		store_be16(reply + 12, ETHER_ARP);
		memcpy(reply + 14, head, sizeof(head));
		memcpy(reply + 22, bed_mac, 6);
		store_be32(reply + 28, GUEST_IP);
		memcpy(reply + 32, got.data + 22, 10);
		guest_reclaim(bed, queue + 1);
		guest_send(bed, queue + 1, NULL, reply, sizeof(reply), NULL);
		return false;
	}
	if (load_be16(got.data + 12) != ETHER_IPV4 || got.data[23] != IP_PROTO_UDP)
		return false;
	*len = (uint32_t)load_be16(got.data + 38) - 8;
	return true;
}

static void fill(uint8_t *data, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(seed + i * 13 + (i >> 8));
}

static void need_privilege(void)
{
	if (unprivileged)
		skip();
}

static void guest_to_host(void **state)
{
	static uint8_t frame[SLOT], data[SLOT], in[SLOT];
	uint32_t received = 0, total = 3000;

	need_privilege();
	for (uint32_t i = 0; i < total; i++) {
		uint32_t len = 1 + i % 1472;
		struct net_offload off;

		fill(data, len, i);
		len = make_udp(frame, data, len, &off);
		while (!guest_send(bed, 1, &off, frame, len, NULL))
			guest_reclaim(bed, 1);
		if (i % 100 == 99 || i == total - 1) {
			uint64_t end = clock_ns() + PATIENCE_NS;

			while (received <= i && clock_ns() < end) {
				ssize_t n = recv(sock, in, sizeof(in), MSG_DONTWAIT);

				if (n < 0)
					continue;
				fill(data, 1 + received % 1472, received);
				assert_int_equal(n, 1 + received % 1472);
				assert_memory_equal(in, data, n);
				received++;
			}
			assert_int_equal(received, i + 1);
		}
	}
	assert_counted(bed, 1, total, total, PLANE_DROP_COUNT);
}

static void host_to_guest(void **state)
{
	static uint8_t data[SLOT];
	struct sockaddr_in to = address(GUEST_IP);
	uint32_t total = 3000, len = 0;

	need_privilege();
	guest_post(bed, 0, 64, 1526, NULL);
	for (uint32_t i = 0; i < total; i++) {
		uint64_t end = clock_ns() + PATIENCE_NS;

		fill(data, 1 + i % 1472, i);
		assert_true(sendto(sock, data, 1 + i % 1472, 0, (void *)&to, sizeof(to)) > 0);
		while (!guest_datagram(0, &len) && clock_ns() < end)
			sched_yield();
		assert_int_equal(len, 1 + i % 1472);
		assert_memory_equal(got.data + 42, data, len);
	}
}

/* One large frame each way that the receiver cuts up (USO; Linux 6.2 and newer). */
static void segmentation(void **state)
{
	static uint8_t frame[SLOT], data[SLOT], in[SLOT];
	struct sockaddr_in to = address(GUEST_IP);
	uint64_t end = clock_ns() + PATIENCE_NS;
	uint32_t len = 0, n = 0;
	struct net_offload off;
	int size = 1000;

	need_privilege();
	if (!features_has(&bed->features, VIRTIO_NET_F_HOST_USO) ||
	    !features_has(&bed->features, VIRTIO_NET_F_GUEST_USO4))
		skip();
	fill(data, 40000, 5);
	len = make_udp(frame, data, 40000, &off);
	off.gso_type = NET_GSO_UDP_L4;
	off.gso_size = 1000;
	guest_send(bed, 1, &off, frame, len, NULL);
	while (n < 40 && clock_ns() < end) {
		if (recv(sock, in, sizeof(in), MSG_DONTWAIT) != 1000)
			continue;
		assert_memory_equal(in, data + 1000 * n, 1000);
		n++;
	}
	assert_int_equal(n, 40);

	guest_post(bed, 0, 64, 1526, NULL);
	setsockopt(sock, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	assert_int_equal(sendto(sock, data, 40000, 0, (void *)&to, sizeof(to)), 40000);
	while (!guest_datagram(0, &len) && clock_ns() < end)
		sched_yield();
	assert_int_equal(got.off.gso_type, NET_GSO_UDP_L4);
	assert_int_equal(got.off.gso_size, 1000);
	assert_int_equal(len, 40000);
	assert_memory_equal(got.data + 42, data, 40000);
	assert_int_equal(got.buffers, (40042 + 12 + 1525) / 1526);
}

/* Two queues; the second is attached only while two pairs are active. */
static void queue_pairs(void **state)
{
	static uint8_t frame[SLOT], in[SLOT], data[100];
	struct sockaddr_in to = address(GUEST_IP);

	need_privilege();
	for (unsigned pair = 0; pair < 2; pair++)
		guest_post(bed, 2 * pair, 64, 1526, NULL);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t end = clock_ns() + PATIENCE_NS;
		struct net_offload off;
		uint32_t len = make_udp(frame, data, 100, &off);
		unsigned pair = i / 5 % 2 ? 0 : 1;

		bed->config.active_pairs = 1 + pair;
		bed_configure(bed);
		guest_reclaim(bed, 2 * pair + 1);
		guest_send(bed, 2 * pair + 1, &off, frame, len, NULL);
		while (recv(sock, in, sizeof(in), MSG_DONTWAIT) != 100)
			assert_true(clock_ns() < end);
		sendto(sock, data, 100, 0, (void *)&to, sizeof(to));
		while (!guest_datagram(0, &len) && !guest_datagram(2, &len))
			assert_true(clock_ns() < end);
	}
	assert_counted(bed, 3, bed_counters(bed, 3).frames_in, bed_counters(bed, 3).frames_in,
		       PLANE_DROP_COUNT);
}

int main(void)
{
	void *split = (void *)(uintptr_t)&bed_variants[0],
	     *packed = (void *)(uintptr_t)&bed_variants[3];
	const struct CMUnitTest tests[] = {
#define T(fn, v, init) {#fn, fn, init, teardown, v}
		T(guest_to_host, split, setup),	    T(guest_to_host, packed, setup),
		T(host_to_guest, split, setup),	    T(host_to_guest, packed, setup),
		T(segmentation, split, setup),	    T(segmentation, packed, setup),
		T(queue_pairs, split, setup_pairs), T(queue_pairs, packed, setup_pairs),
	};

	unprivileged = unshare(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
