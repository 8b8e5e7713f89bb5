/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "hostnet/netif.h"
#include "hostnet/tap.h"
#include "net_packets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Runs in a network namespace of its own, so that nothing of the host's is touched. Where even
 * that is not allowed, or there is no /dev/net/tun, the tests are skipped.
 */
static bool usable;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			usable = false;
		close(fd);
	}
}

static int enter_namespace(void **state)
{
	char map[64];
	struct error err = {0};

	if (unshare(CLONE_NEWNET) < 0) {
		snprintf(map, sizeof(map), "0 %u 1", getuid());
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
			return 0;
		write_file("/proc/self/setgroups", "deny");
		write_file("/proc/self/uid_map", map);
	}
	usable = tap_probe(&err) == 0;
	if (!usable)
		print_message("skipped: %s\n", err.text);
	/* Nobody is to talk on our interfaces but us. */
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	return 0;
}

#define NEED_TAP()              \
	do {                    \
		if (!usable)    \
			skip(); \
	} while (0)

static int open_tap(const char *text, const struct hostnet_params *params, struct hostnet **out,
		    struct error *err)
{
	const struct option_key *const tables[] = {tap_ops.keys, NULL};
	struct options opts;
	int rc;

	assert_int_equal(options_parse(&opts, text, err), 0);
	assert_int_equal(options_check(&opts, tables, "--net net0", err), 0);
	rc = tap_ops.open(&opts, params, out, err);
	options_free(&opts);
	return rc;
}

static struct hostnet *tap(const char *text, unsigned queues, uint32_t offloads)
{
	struct hostnet_params params = {.id = "net0", .queues = queues, .offloads = offloads};
	struct hostnet *hn;
	struct error err = {0};

	if (open_tap(text, &params, &hn, &err) < 0)
		fail_msg("%s", err.text);
	return hn;
}

static void tap_fails(const char *text, unsigned queues, int code, const char *part)
{
	struct hostnet_params params = {.id = "net0", .queues = queues};
	struct error err = {0};
	struct hostnet *hn;

	if (open_tap(text, &params, &hn, &err) != code)
		fail_msg("%s: %s", text, err.code ? err.text : "succeeds");
	assert_int_equal(err.code, code);
	assert_text(err, part);
}

/* A packet socket: the other end of the interface, as the host sees it. */
static int raw_socket(const char *ifname)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(0x88b5),
				   .sll_ifindex = (int)if_nametoindex(ifname)};
	struct timeval second = {1, 0};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(0x88b5));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	return fd;
}

static struct hostnet_counters counters(struct hostnet *hn, unsigned queue)
{
	struct hostnet_counters c;

	hn->ops->counters(hn, queue, &c);
	return c;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN);
}

static void local_frame(uint8_t *frame, unsigned len, uint8_t mark)
{
	memset(frame, mark, len);
	memcpy(frame, "\xff\xff\xff\xff\xff\xff\x52\x54\0\0\0\1\x88\xb5", 14);
}

static void test_send_receive(void **state)
{
	uint8_t out[100], in[200];
	struct iovec iov[2] = {{out, 20}, {out + 20, 80}}, room[2] = {{in, 15}, {in + 15, 185}};
	struct net_frame f = {.iov = iov, .niov = 2, .len = 100};
	struct net_offload off;
	struct hostnet *hn;
	int fd;

	NEED_TAP();
	hn = tap("ifname=vt0", 1, 0);
	assert_string_equal(tap_ifname(hn), "vt0");
	assert_true(tap_has_header(hn));
	assert_true(hn->ops->link_up(hn));
	assert_int_equal(hn->mtu, 1500);
	assert_true(hn->offloads_rx & NET_OFFLOAD_TSO4);
	fd = raw_socket("vt0");

	local_frame(out, 100, 0x11);
	assert_int_equal(hn->ops->send(hn, 0, &f, 1), 1);
	assert_int_equal(recv(fd, in, sizeof(in), 0), 100);
	assert_memory_equal(in, out, 100);

	assert_int_equal(hn->ops->recv(hn, 0, room, 2, &off), -EAGAIN);
	assert_false(readable(hn->ops->poll_fd(hn, 0), 0));
	local_frame(out, 90, 0x22);
	assert_int_equal(send(fd, out, 90, 0), 90);
	assert_true(readable(hn->ops->poll_fd(hn, 0), PATIENCE_MS));
	assert_int_equal(hn->ops->recv(hn, 0, room, 2, &off), 90);
	assert_memory_equal(in, out, 90);
	assert_int_equal(off.gso_type, 0);
	assert_int_equal(hn->ops->recv(hn, 0, room, 2, &off), -EAGAIN);

	assert_int_equal(counters(hn, 0).tx_frames, 1);
	assert_int_equal(counters(hn, 0).tx_bytes, 100);
	assert_int_equal(counters(hn, 0).rx_frames, 1);
	assert_int_equal(counters(hn, 0).rx_bytes, 90);
	assert_int_equal(counters(hn, 0).syscalls, 4);
	close(fd);
	hn->ops->close(hn);
	assert_int_equal(netif_flags("vt0"), -ENODEV);
}

static void test_drops(void **state)
{
	uint8_t out[100], in[60];
	struct iovec iov = {out, 100}, room = {in, 60};
	struct net_frame f = {.iov = &iov, .niov = 1, .len = 100};
	struct net_offload off;
	struct hostnet_counters c;
	struct hostnet *hn;
	int fd;

	NEED_TAP();
	hn = tap("ifname=vt0", 1, 0);
	fd = raw_socket("vt0");
	local_frame(out, 100, 0);
	assert_int_equal(send(fd, out, 61, 0), 61);
	assert_int_equal(send(fd, out, 60, 0), 60);
	assert_int_equal(hn->ops->recv(hn, 0, &room, 1, &off), -EMSGSIZE);
	assert_int_equal(hn->ops->recv(hn, 0, &room, 1, &off), 60);

	iov.iov_len = f.len = 13;
	assert_int_equal(hn->ops->send(hn, 0, &f, 1), 1);
	iov.iov_len = f.len = 100;
	f.off = (struct net_offload){.flags = NET_NEEDS_CSUM, .csum_start = 99, .csum_offset = 60};
	assert_int_equal(hn->ops->send(hn, 0, &f, 1), 1);
	f.off = (struct net_offload){0};
	assert_int_equal(system("ip link set vt0 down"), 0);
	assert_false(hn->ops->link_up(hn));
	assert_int_equal(hn->ops->send(hn, 0, &f, 1), 1);
	assert_int_equal(system("ip link set vt0 up"), 0);
	assert_int_equal(hn->ops->send(hn, 0, &f, 1), 1);
	c = counters(hn, 0);
	assert_int_equal(c.drops[HOSTNET_DROP_OVERSIZE], 1);
	assert_int_equal(c.drops[HOSTNET_DROP_MALFORMED], 2);
	assert_int_equal(c.drops[HOSTNET_DROP_DOWN], 1);
	assert_int_equal(c.tx_frames, 1);
	/* The interface goes away under us. */
	assert_int_equal(system("ip link del vt0"), 0);
	assert_false(hn->ops->link_up(hn));
	assert_true(hn->ops->recv(hn, 0, &room, 1, &off) < 0);
	assert_int_equal(hn->ops->send(hn, 0, &f, 1), 1);
	assert_int_equal(counters(hn, 0).drops[HOSTNET_DROP_DOWN], 2);
	close(fd);
	hn->ops->close(hn);
}

/* Two namespaces' worth of stack in one: what the kernel sends as TSO arrives here as one frame. */
static void test_offloads_from_kernel(void **state)
{
	static uint8_t big[60000], in[NET_FRAME_MAX];
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct iovec room = {in, sizeof(in)};
	struct net_offload off = {0};
	struct hostnet *hn;
	ssize_t n = 0;
	int fd;

	NEED_TAP();
	hn = tap("ifname=vt0", 1, NET_OFFLOAD_CSUM);
	assert_int_equal(system("ip addr add 10.9.0.1/24 dev vt0 && ip neigh add 10.9.0.2 lladdr "
				"52:54:00:00:00:02 dev vt0"),
			 0);
	inet_pton(AF_INET, "10.9.0.2", &peer.sin_addr);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	/* A UDP datagram with its checksum left to us, because we said that we can. */
	assert_int_equal(sendto(fd, big, 1000, 0, (struct sockaddr *)&peer, sizeof(peer)), 1000);
	while (readable(hn->ops->poll_fd(hn, 0), PATIENCE_MS) &&
	       (n = hn->ops->recv(hn, 0, &room, 1, &off)) != 1042)
		;
	assert_int_equal(n, 1042);
	assert_int_equal(off.flags, NET_NEEDS_CSUM);
	assert_int_equal(off.csum_start, 34);
	assert_int_equal(off.csum_offset, 6);
	/* Without the offload the kernel does it itself. */
	assert_int_equal(hn->ops->set_offloads(hn, 0), 0);
	assert_int_equal(sendto(fd, big, 1000, 0, (struct sockaddr *)&peer, sizeof(peer)), 1000);
	while (readable(hn->ops->poll_fd(hn, 0), PATIENCE_MS) &&
	       (n = hn->ops->recv(hn, 0, &room, 1, &off)) != 1042)
		;
	assert_int_equal(n, 1042);
	assert_int_equal(off.flags & NET_NEEDS_CSUM, 0);
	close(fd);
	hn->ops->close(hn);
}

/* One way: a TSO frame into one TAP. Other way: the bridge hands it to another TAP, still whole. */
static void tso_round_trip(uint32_t offloads, bool whole)
{
	struct packet_shape s = {.proto = IP_PROTO_TCP, .tcp_flags = 0x10, .payload = 20000};
	static uint8_t in[NET_FRAME_MAX];
	struct packet k = packet_make(&s);
	struct iovec iov = {k.p, k.len}, room = {in, sizeof(in)};
	struct net_frame f = {
		.iov = &iov,
		.niov = 1,
		.len = k.len,
		.off = {.flags = NET_NEEDS_CSUM,
			.gso_type = NET_GSO_TCPV4,
			.hdr_len = (uint16_t)k.payload,
			.gso_size = 1400,
			.csum_start = (uint16_t)k.l4,
			.csum_offset = 16},
	};
	struct hostnet *a = tap("ifname=vt0,bridge=vbr", 1, 0);
	struct hostnet *b = tap("ifname=vt1,bridge=vbr", 1, offloads);
	struct net_offload off;
	unsigned frames = 0;
	uint32_t bytes = 0;
	ssize_t n;

	assert_int_equal(a->ops->send(a, 0, &f, 1), 1);
	while (readable(b->ops->poll_fd(b, 0), bytes < 20000 ? PATIENCE_MS : 50)) {
		struct packet got = k;

		n = b->ops->recv(b, 0, &room, 1, &off);
		if (n < 100)
			continue;
		frames++;
		bytes += (uint32_t)n - k.payload;
		got.p = in;
		got.len = (uint32_t)n;
		if (whole) {
			assert_int_equal(off.gso_type, NET_GSO_TCPV4);
			assert_int_equal(off.gso_size, 1400);
			assert_int_equal(off.flags, NET_NEEDS_CSUM);
		} else {
			assert_int_equal(off.gso_type, 0);
			assert_true(naive_l4_good(&got, IP_PROTO_TCP));
		}
	}
	assert_int_equal(bytes, 20000);
	assert_int_equal(frames, whole ? 1 : 15);
	a->ops->close(a);
	b->ops->close(b);
	free(k.p);
}

static void test_tso_through_bridge(void **state)
{
	NEED_TAP();
	assert_int_equal(system("ip link add vbr type bridge && ip link set vbr up"), 0);
	tso_round_trip(NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4, true);
	tso_round_trip(0, false);
	assert_int_equal(system("ip link del vbr"), 0);
}

/* What the previous owner of a persistent TAP had set does not reach the next one. */
static void test_persistent(void **state)
{
	int size = 20;
	struct hostnet *hn;

	NEED_TAP();
	assert_int_equal(system("ip tuntap add dev vtp mode tap && ip link set vtp mtu 1400"), 0);
	hn = tap("ifname=vtp", 1, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
	assert_int_equal(hn->mtu, 1400);
	assert_int_equal(ioctl(tap_queue_fd(hn, 0), TUNSETVNETHDRSZ, &size), 0);
	hn->ops->close(hn);
	hn = tap("ifname=vtp", 1, 0);
	assert_int_equal(ioctl(tap_queue_fd(hn, 0), TUNGETVNETHDRSZ, &size), 0);
	assert_int_equal(size, 12);
	assert_int_equal(netif_mtu("vtp"), 1400);
	assert_int_equal(system("ethtool -k vtp 2>/dev/null | grep -q "
				"'tcp-segmentation-offload: on'") != 0,
			 1);
	tap_fails("ifname=vtp", 1, -EBUSY, "vtp: is in use by another process");
	hn->ops->close(hn);
	assert_true(netif_flags("vtp") >= 0);
	assert_int_equal(system("ip link del vtp"), 0);
}

/* One that is made here is no address for a bridge; one that was there keeps its own. */
static void test_address(void **state)
{
	const char *const ours[] = {"ifname=vta", "ifname=vta%d", ""};
	const uint8_t given[6] = {0x02, 1, 2, 3, 4, 5};
	uint8_t mac[6];
	struct hostnet *hn;

	NEED_TAP();
	for (unsigned i = 0; i < ARRAY_SIZE(ours); i++) {
		hn = tap(ours[i], 1, 0);
		assert_int_equal(netif_mac(tap_ifname(hn), mac), 0);
		assert_int_equal(mac[0], 0xfe);
		hn->ops->close(hn);
	}
	assert_int_equal(system("ip tuntap add dev vtp mode tap"), 0);
	assert_int_equal(netif_set_mac("vtp", given), 0);
	hn = tap("ifname=vtp", 1, 0);
	assert_int_equal(netif_mac("vtp", mac), 0);
	assert_memory_equal(mac, given, 6);
	hn->ops->close(hn);
	assert_int_equal(system("ip link del vtp"), 0);
	assert_int_equal(netif_set_mac("vtp", given), -ENODEV);
}

static void test_mtu(void **state)
{
	struct hostnet_params params = {.id = "net0", .queues = 1, .mtu = 9000};
	struct error err = {0};
	struct hostnet *hn;

	NEED_TAP();
	assert_int_equal(open_tap("ifname=vt0", &params, &hn, &err), 0);
	assert_int_equal(hn->mtu, 9000);
	assert_int_equal(netif_mtu("vt0"), 9000);
	hn->ops->close(hn);
	params.mtu = 70000;
	assert_true(open_tap("ifname=vt0", &params, &hn, &err) < 0);
	assert_text(err, "vt0: its MTU cannot be 70000");
}

static void test_multiqueue(void **state)
{
	uint8_t out[100], in[200];
	struct iovec iov = {out, 100}, room = {in, 200};
	struct net_frame f = {.iov = &iov, .niov = 1, .len = 100};
	struct net_offload off;
	struct hostnet *hn;
	unsigned got = 0;
	int fd;

	NEED_TAP();
	hn = tap("ifname=vt0", 4, 0);
	assert_int_equal(hn->queues, 4);
	fd = raw_socket("vt0");
	local_frame(out, 100, 1);
	for (unsigned q = 0; q < 4; q++) {
		assert_int_equal(hn->ops->send(hn, q, &f, 1), 1);
		assert_int_equal(counters(hn, q).tx_frames, 1);
		assert_int_equal(recv(fd, in, sizeof(in), 0), 100);
	}
	assert_int_equal(hn->ops->set_queues(hn, 5), -EINVAL);
	assert_int_equal(hn->ops->set_queues(hn, 0), -EINVAL);
	assert_int_equal(hn->ops->set_queues(hn, 1), 0);
	/* A detached queue is silent: neither readable nor in error, and has nothing. */
	for (unsigned q = 1; q < 4; q++) {
		struct pollfd p = {.fd = hn->ops->poll_fd(hn, q), .events = POLLIN};

		assert_int_equal(poll(&p, 1, 0), 0);
		assert_int_equal(hn->ops->recv(hn, q, &room, 1, &off), -EAGAIN);
	}
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(send(fd, out, 100, 0), 100);
	while (readable(hn->ops->poll_fd(hn, 0), got < 8 ? PATIENCE_MS : 0) &&
	       hn->ops->recv(hn, 0, &room, 1, &off) == 100)
		got++;
	assert_int_equal(got, 8);
	assert_int_equal(hn->ops->set_queues(hn, 4), 0);
	assert_int_equal(hn->ops->send(hn, 3, &f, 1), 1);
	assert_int_equal(recv(fd, in, sizeof(in), 0), 100);
	close(fd);
	hn->ops->close(hn);
	/* One queue of an interface made for several, and several of one made for one. */
	assert_int_equal(system("ip tuntap add dev vtm mode tap multi_queue && "
				"ip tuntap add dev vts mode tap"),
			 0);
	hn = tap("ifname=vtm", 1, 0);
	hn->ops->close(hn);
	tap_fails("ifname=vts", 2, -EINVAL, "vts: was made for a single queue: use queues=1");
	assert_int_equal(system("ip link del vtm && ip link del vts"), 0);
}

static int raw_tap(const char *ifname, short flags)
{
	struct ifreq ifr = {.ifr_flags = flags};
	int fd = open("/dev/net/tun", O_RDWR);

	assert_true(fd >= 0);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void test_fd(void **state)
{
	const short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	uint8_t out[100], in[100];
	struct iovec iov = {out, 100};
	struct net_frame f = {.iov = &iov, .niov = 1, .len = 100};
	struct hostnet *hn;
	char text[64];
	int a, b, raw;

	NEED_TAP();
	a = raw_tap("vtf", flags);
	b = raw_tap("vtf", flags);
	snprintf(text, sizeof(text), "fd=%d", a);
	tap_fails(text, 2, -EINVAL, "fd= gives 1 queues but queues=2");
	snprintf(text, sizeof(text), "fd=%d+%d", a, a);
	tap_fails(text, 2, -EINVAL, "is given twice");
	snprintf(text, sizeof(text), "fd=%d+%d", a, b);
	hn = tap(text, 2, 0);
	assert_string_equal(tap_ifname(hn), "vtf");
	assert_int_equal(tap_queue_fd(hn, 1), b);
	assert_true(fcntl(a, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(b, F_GETFL) & O_NONBLOCK);
	raw = raw_socket("vtf");
	local_frame(out, 100, 5);
	assert_int_equal(hn->ops->send(hn, 1, &f, 1), 1);
	assert_int_equal(recv(raw, in, 100, 0), 100);
	close(raw);
	hn->ops->close(hn);
	assert_int_equal(fcntl(a, F_GETFD), -1);
}

/* A descriptor without the header offers no offloads, and passes frames. */
static void test_fd_without_header(void **state)
{
	uint8_t out[100], in[100];
	struct iovec iov = {out, 100}, room = {in, 100};
	struct net_frame f = {.iov = &iov, .niov = 1, .len = 100};
	struct net_offload off;
	struct hostnet *hn;
	char text[64];
	int raw;

	NEED_TAP();
	snprintf(text, sizeof(text), "fd=%d", raw_tap("vtn", IFF_TAP | IFF_NO_PI));
	hn = tap(text, 1, NET_OFFLOAD_CSUM);
	assert_false(tap_has_header(hn));
	assert_int_equal(hn->offloads_rx | hn->offloads_tx, 0);
	raw = raw_socket("vtn");
	local_frame(out, 100, 5);
	assert_int_equal(hn->ops->send(hn, 0, &f, 1), 1);
	assert_int_equal(recv(raw, in, 100, 0), 100);
	assert_int_equal(send(raw, out, 100, 0), 100);
	assert_true(readable(hn->ops->poll_fd(hn, 0), PATIENCE_MS));
	assert_int_equal(hn->ops->recv(hn, 0, &room, 1, &off), 100);
	assert_memory_equal(in, out, 100);
	close(raw);
	hn->ops->close(hn);
}

static void test_fd_errors(void **state)
{
	char text[64];
	int tun, null = open("/dev/null", O_RDWR), a, b;

	tap_fails("fd=999", 1, -EBADF, "fd=999 is not open");
	tap_fails("fd=x", 1, -EINVAL, "use a descriptor's number");
	tap_fails("fd=", 1, -EINVAL, "use a descriptor's number");
	tap_fails("fd=-1", 1, -EINVAL, "use a descriptor's number");
	tap_fails("fd=3,ifname=x", 1, -EINVAL, "fd= and ifname= exclude each other");
	snprintf(text, sizeof(text), "fd=%d", null);
	tap_fails(text, 1, -EINVAL, "is not an attached TAP");
	close(null);
	NEED_TAP();
	tun = raw_tap("vtt", IFF_TUN | IFF_NO_PI);
	snprintf(text, sizeof(text), "fd=%d", tun);
	tap_fails(text, 1, -EINVAL, "is a TUN");
	close(tun);
	a = raw_tap("vta", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	b = raw_tap("vtb", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	snprintf(text, sizeof(text), "fd=%d:%d", a, b);
	tap_fails(text, 2, -EINVAL, "belongs to vtb but the ones before it to vta");
	close(a);
	close(b);
}

static void test_name_errors(void **state)
{
	tap_fails("ifname=0123456789abcdef", 1, -EINVAL, "not an interface's name");
	tap_fails("ifname=a/b", 1, -EINVAL, "not an interface's name");
	tap_fails("ifname=", 1, -EINVAL, "not an interface's name");
	tap_fails("ifname=x", 300, -EINVAL, "300 queues are too many");
	NEED_TAP();
	tap_fails("ifname=lo", 1, -EINVAL, "lo: is not a TAP");
	assert_int_equal(system("ip tuntap add dev vtt mode tun && "
				"ip link add vdummy type veth peer name vpeer"),
			 0);
	tap_fails("ifname=vtt", 1, -EINVAL, "vtt: is a TUN");
	tap_fails("ifname=vdummy", 1, -EINVAL, "an interface of another kind (veth)");
	assert_int_equal(system("ip link del vtt && ip link del vdummy"), 0);
}

static void test_bridge(void **state)
{
	struct hostnet *hn;

	NEED_TAP();
	assert_int_equal(system("ip link add vbr0 type bridge && ip link add vbr1 type bridge && "
				"ip tuntap add dev vtp mode tap"),
			 0);
	hn = tap("ifname=vtp,bridge=vbr0", 1, 0);
	assert_int_equal(netif_master("vtp"), if_nametoindex("vbr0"));
	hn->ops->close(hn);
	hn = tap("ifname=vtp,bridge=vbr0", 1, 0); /* it is there already */
	hn->ops->close(hn);
	tap_fails("ifname=vtp,bridge=vbr1", 1, -EBUSY, "is a port of vbr0 already");
	tap_fails("ifname=vt0,bridge=nobridge", 1, -ENODEV, "there is no bridge nobridge");
	tap_fails("ifname=vt0,bridge=lo", 1, -EOPNOTSUPP, "lo is not a bridge");
	assert_int_equal(netif_flags("vt0"), -ENODEV);
	assert_int_equal(netif_master("lo"), 0);
	assert_int_equal(netif_master("vt0"), -ENODEV);
	assert_int_equal(system("ip link del vtp && ip link del vbr0 && ip link del vbr1"), 0);
}

/* As a user without privileges, in a child: what cannot be done is said with what to do. */
static int without_privilege(void)
{
	struct error err = {0};
	struct tap_fds fds;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 0;
	if (tap_open_named(&fds, "vtx", 1, &err) >= 0)
		return 1;
	if (strstr(err.text, "permission denied opening /dev/net/tun: run as root or pass an open "
			     "tap with fd="))
		return 0;
	if (!strstr(err.text, "vtx: does not exist, and this user may not create it"))
		return 2;
	if (tap_open_named(&fds, "vtp", 1, &err) >= 0)
		return 3;
	return strstr(err.text, "vtp: belongs to another user") ? 0 : 4;
}

static void test_without_privilege(void **state)
{
	int status;
	pid_t pid;

	NEED_TAP();
	if (geteuid())
		skip();
	assert_int_equal(system("ip tuntap add dev vtp mode tap user 1234"), 0);
	pid = fork();
	if (!pid)
		_exit(without_privilege());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(system("ip link del vtp"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_send_receive),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_offloads_from_kernel),
		cmocka_unit_test(test_tso_through_bridge),
		cmocka_unit_test(test_persistent),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_multiqueue),
		cmocka_unit_test(test_fd),
		cmocka_unit_test(test_fd_without_header),
		cmocka_unit_test(test_fd_errors),
		cmocka_unit_test(test_name_errors),
		cmocka_unit_test(test_bridge),
		cmocka_unit_test(test_without_privilege),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
