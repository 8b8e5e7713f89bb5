/* SPDX-License-Identifier: Apache-2.0 */
#include "mini_guest.h"

#include "net/fragment.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

#define OFFLOADS (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN)
#define BULK	 200000

static bool have_ipv6;

/* A network of our own where that is allowed, so that ports are ours and nobody else talks. */
static int enter_namespace(void **state)
{
	if (unshare(CLONE_NEWNET) == 0 && system("ip link set lo up"))
		return -1;
	have_ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	return 0;
}

/* ---- the host's side ---- */

static int host_socket(int type, int family, uint16_t *port, bool server)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	struct sockaddr *addr = family == AF_INET ? (void *)&in : (void *)&in6;
	socklen_t len = family == AF_INET ? sizeof(in) : sizeof(in6);
	struct timeval limit = {5, 0};
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (!server)
		in.sin_port = in6.sin6_port = htons(*port);
	if (server) {
		assert_int_equal(bind(fd, addr, len), 0);
		if (type == SOCK_STREAM)
			assert_int_equal(listen(fd, 5), 0);
		getsockname(fd, addr, &len);
		*port = ntohs(family == AF_INET ? in.sin_port : in6.sin6_port);
	} else {
		assert_int_equal(connect(fd, addr, len), 0);
	}
	return fd;
}

/* A port that is free now. */
static uint16_t free_port(int type)
{
	uint16_t port;

	close(host_socket(type, AF_INET, &port, true));
	return port;
}

static uint8_t bulk_byte(uint32_t i)
{
	return (uint8_t)(i * 11 + (i >> 8) * 5);
}

static void fill(uint8_t *p, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = bulk_byte(at + i);
}

/* ---- tests ---- */

static void test_arp(void **state)
{
	struct guest g;
	uint8_t p[60] = {0}, *arp;

	guest_open(&g, "", 0);
	arp = guest_ether(&g, p, ETHER_ARP);
	memset(p, 0xff, 6);
	memcpy(arp, "\0\1\x08\0\6\4\0\1", 8);
	memcpy(arp + 8, guest_mac, 6);
	memcpy(arp + 14, guest_ip, 4);
	memcpy(arp + 24, gateway_ip, 4);
	guest_send(&g, p, 42, NULL); /* a runt: it is padded for the library */
	assert_true(guest_expect(&g, ETHER_ARP, 0));
	assert_int_equal(load_be16(g.rx + 20), 2);
	assert_memory_equal(g.rx + 28, gateway_ip, 4);
	assert_memory_equal(g.rx + 22, g.gateway_mac, 6);
	guest_close(&g);
}

static uint32_t dhcp_make(uint8_t *p, uint8_t type)
{
	memset(p, 0, 300);
	p[0] = p[1] = 1;
	p[2] = 6;
	store_be32(p + 4, 0x12345678);
	memcpy(p + 28, guest_mac, 6);
	store_be32(p + 236, 0x63825363);
	memcpy(p + 240, (uint8_t[]){53, 1, type}, 3);
	if (type == 3) {
		memcpy(p + 243, (uint8_t[]){50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2}, 12);
		p[255] = 255;
	} else {
		p[243] = 255;
	}
	return 300;
}

static const uint8_t *dhcp_option(const uint8_t *p, const uint8_t *end, uint8_t code)
{
	for (p += 240; p < end && *p != 255; p += *p ? 2 + p[1] : 1) {
		if (*p == code)
			return p + 2;
	}
	return NULL;
}

static void test_dhcp(void **state)
{
	uint8_t p[300];
	struct guest g;

	guest_open(&g, "hostname=vm1", 0);
	for (uint8_t type = 1; type <= 3; type += 2) {
		const uint8_t *end, *reply;

		guest_send_dhcp(&g, p, dhcp_make(p, type));
		assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_UDP));
		reply = g.rx + g.in.payload;
		end = g.rx + g.in.len;
		assert_int_equal(load_be16(g.rx + 36), 68);
		assert_int_equal(load_be32(reply + 4), 0x12345678);
		assert_memory_equal(reply + 16, guest_ip, 4);
		assert_int_equal(*dhcp_option(reply, end, 53), type == 1 ? 2 : 5);
		assert_memory_equal(dhcp_option(reply, end, 3), gateway_ip, 4);
		assert_memory_equal(dhcp_option(reply, end, 6), "\x0a\0\2\3", 4);
		assert_memory_equal(dhcp_option(reply, end, 12), "vm1", 3);
	}
	guest_close(&g);
}

static void test_ping(void **state)
{
	struct guest g;

	guest_open(&g, "", OFFLOADS);
	for (uint16_t seq = 1; seq <= 50; seq++) {
		guest_send_ping(&g, seq, seq * 20u);
		assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_ICMP));
		assert_int_equal(g.rx[34], 0);
		assert_int_equal(load_be16(g.rx + 40), seq);
		assert_int_equal(g.in.len, 42 + seq * 20);
	}
	guest_close(&g);
}

static int send_fragment(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	uint8_t p[1600];

	iov_read(iov, niov, 0, p, len);
	guest_send(opaque, p, len, NULL);
	return 0;
}

/* Larger than the MTU both ways: in fragments, which add up. */
static void test_large_ping(void **state)
{
	uint8_t p[14 + 20 + 8 + 5000], *icmp;
	uint32_t bytes = 0;
	struct guest g;

	guest_open(&g, "", 0);
	guest_send_ping(&g, 1, 8); /* so that nobody asks for addresses in between */
	assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_ICMP));
	icmp = guest_ip4(&g, p, 1, 5008);
	memset(icmp, 0, 5008);
	icmp[0] = 8;
	store_be16(icmp + 2, (uint16_t)~naive_sum(icmp, 5008, 0));
	assert_int_equal(net_fragment(p, sizeof(p), 1500, send_fragment, &g), 4);
	while (bytes < 5008 && guest_expect(&g, ETHER_IPV4, IP_PROTO_ICMP))
		bytes += g.in.len - 34;
	assert_int_equal(bytes, 5008);
	guest_close(&g);
}

static void udp_forward(int family, const char *before, const char *after)
{
	uint16_t port = free_port(SOCK_DGRAM), from;
	char text[100], buf[100];
	struct guest g;
	int fd;

	snprintf(text, sizeof(text), "hostfwd=%s%u%s", before, port, after);
	guest_open(&g, text, 0);
	fd = host_socket(SOCK_DGRAM, family, &port, false);
	assert_int_equal(send(fd, "question", 8, 0), 8);
	assert_true(guest_expect(&g, family == AF_INET ? ETHER_IPV4 : ETHER_IPV6, IP_PROTO_UDP));
	assert_int_equal(load_be16(g.rx + g.in.l4 + 2), 53);
	assert_memory_equal(g.rx + g.in.payload, "question", 8);
	if (family == AF_INET) {
		from = load_be16(g.rx + g.in.l4);
		guest_send_udp(&g, 53, from, "answer", 6);
		assert_int_equal(recv(fd, buf, sizeof(buf), 0), 6);
		assert_memory_equal(buf, "answer", 6);
	}
	close(fd);
	guest_close(&g);
}

static void test_udp_forward(void **state)
{
	udp_forward(AF_INET, "udp:127.0.0.1:", "-:53");
	udp_forward(AF_INET, "udp:", "-10.0.2.15:53");
	if (have_ipv6)
		udp_forward(AF_INET6, "udp:[::1]:", "-:53");
}

/* The guest's next TCP segment with data or flags of interest; ACKs everything in order. */
static bool tcp_next(struct guest *g, struct guest_tcp *t)
{
	if (!guest_expect(g, t->v6 ? ETHER_IPV6 : ETHER_IPV4, IP_PROTO_TCP))
		return false;
	assert_false(g->rx[g->in.l4 + 13] & 4); /* RST */
	return true;
}

static void tcp_accept_syn_ack(struct guest *g, struct guest_tcp *t)
{
	assert_true(tcp_next(g, t));
	assert_int_equal(g->rx[g->in.l4 + 13], 0x12);
	assert_int_equal(load_be32(g->rx + g->in.l4 + 8), t->seq);
	t->ack = load_be32(g->rx + g->in.l4 + 4) + 1;
	guest_send_tcp(g, t, 0x10, NULL, 0, 0);
}

/* Takes what the host sends until total bytes have come; returns the number of frames. */
static unsigned tcp_take(struct guest *g, struct guest_tcp *t, uint32_t total, bool tso)
{
	uint32_t done = 0;
	unsigned frames = 0;

	while (done < total) {
		uint32_t n;

		assert_true(tcp_next(g, t));
		n = g->in.len - g->in.payload;
		if (!n)
			continue;
		if (g->in.len > 1514) {
			assert_true(tso);
			assert_int_equal(g->off.gso_type, t->v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4);
			assert_int_equal(g->off.gso_size, GUEST_MSS);
			assert_int_equal(g->off.hdr_len, g->in.payload);
		}
		assert_int_equal(load_be32(g->rx + g->in.l4 + 4), t->ack);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(g->rx[g->in.payload + i], bulk_byte(done + i));
		done += n;
		t->ack += n;
		frames++;
		guest_send_tcp(g, t, 0x10, NULL, 0, 0);
	}
	return frames;
}

static void *host_write(void *arg)
{
	static uint8_t data[BULK];

	fill(data, 0, BULK);
	for (uint32_t done = 0; done < BULK;) {
		ssize_t n = send(*(int *)arg, data + done, BULK - done, 0);

		if (n <= 0)
			return arg;
		done += (uint32_t)n;
	}
	return NULL;
}

static void check_host_write(int fd, struct guest *g, struct guest_tcp *t, bool tso)
{
	pthread_t thread;
	unsigned frames;
	void *failed;

	pthread_create(&thread, NULL, host_write, &fd);
	frames = tcp_take(g, t, BULK, tso);
	pthread_join(thread, &failed);
	assert_null(failed);
	if (tso)
		assert_true(frames < BULK / 4000);
	else
		assert_true(frames >= BULK / GUEST_MSS);
}

/* The guest connects to a listener on the host, sends with TSO or without, and receives. */
static void tcp_out(uint32_t offloads, bool v6)
{
	static uint8_t data[65000], back[65000];
	struct guest_tcp t = {.sport = 40000, .v6 = v6, .seq = 0xfffffff0};
	uint32_t chunk = offloads ? 20000 : 1000, done = 0;
	struct guest g;
	int listener, fd;

	guest_open(&g, "", offloads);
	listener = host_socket(SOCK_STREAM, v6 ? AF_INET6 : AF_INET, &t.dport, true);
	guest_send_tcp(&g, &t, 2, NULL, 0, 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	tcp_accept_syn_ack(&g, &t);
	fill(data, 0, sizeof(data));
	while (done < sizeof(data)) {
		uint32_t n = MIN(chunk, sizeof(data) - done);

		guest_send_tcp(&g, &t, 0x18, data + done, n, offloads ? GUEST_MSS : 0);
		done += n;
		assert_true(tcp_next(&g, &t));
	}
	assert_int_equal(recv(fd, back, sizeof(back), MSG_WAITALL), sizeof(back));
	assert_memory_equal(back, data, sizeof(back));
	check_host_write(fd, &g, &t, offloads);
	if (offloads) {
		/* A guest that gives up its offloads in the middle gets what is cut in software. */
		assert_int_equal(g.hn->ops->set_offloads(g.hn, 0), 0);
		check_host_write(fd, &g, &t, false);
	}
	close(fd);
	close(listener);
	guest_close(&g);
}

static void test_tcp_out(void **state)
{
	tcp_out(0, false);
}

static void test_tcp_out_tso(void **state)
{
	tcp_out(OFFLOADS, false);
}

static void test_tcp_out_v6(void **state)
{
	if (!have_ipv6)
		skip();
	tcp_out(0, true);
	tcp_out(OFFLOADS, true);
}

static void tcp_forward(int family, const char *before, const char *after)
{
	struct guest_tcp t = {.sport = 80, .seq = 1000, .v6 = family == AF_INET6};
	uint16_t port = free_port(SOCK_STREAM);
	char text[100], buf[10];
	struct guest g;
	int fd;

	snprintf(text, sizeof(text), "hostfwd=%s%u%s", before, port, after);
	guest_open(&g, text, OFFLOADS);
	fd = host_socket(SOCK_STREAM, family, &port, false);
	assert_true(tcp_next(&g, &t));
	assert_int_equal(g.rx[g.in.l4 + 13], 2);
	assert_int_equal(load_be16(g.rx + g.in.l4 + 2), 80);
	t.dport = load_be16(g.rx + g.in.l4);
	t.ack = load_be32(g.rx + g.in.l4 + 4) + 1;
	guest_send_tcp(&g, &t, 0x12, NULL, 0, 0);
	assert_true(tcp_next(&g, &t));
	guest_send_tcp(&g, &t, 0x18, "hello", 5, 0);
	assert_int_equal(recv(fd, buf, 5, MSG_WAITALL), 5);
	assert_memory_equal(buf, "hello", 5);
	check_host_write(fd, &g, &t, true);
	close(fd);
	guest_close(&g);
}

static void test_tcp_forward(void **state)
{
	tcp_forward(AF_INET, "tcp::", "-:80");
	tcp_forward(AF_INET, "tcp:127.0.0.1:", "-10.0.2.15:80,hostfwd=udp:1-2,ipv6=off");
	if (have_ipv6)
		tcp_forward(AF_INET6, "tcp:[::1]:", "-[fec0::5054:ff:fe12:3456]:80");
}

/* A large UDP datagram: one UFO frame from the guest. */
static void test_udp_large(void **state)
{
	static uint8_t p[42 + 9000], buf[10000];
	struct net_offload off = {.flags = NET_NEEDS_CSUM,
				  .gso_type = NET_GSO_UDP,
				  .gso_size = 1480,
				  .csum_start = 34,
				  .csum_offset = 6};
	struct guest g;
	uint16_t port;
	uint8_t *udp;
	int fd;

	guest_open(&g, "", 0);
	fd = host_socket(SOCK_DGRAM, AF_INET, &port, true);
	udp = guest_ip4(&g, p, IP_PROTO_UDP, 9008);
	store_be16(udp, 5000);
	store_be16(udp + 2, port);
	store_be16(udp + 4, 9008);
	fill(udp + 8, 0, 9000);
	guest_send(&g, p, sizeof(p), &off);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 9000);
	assert_memory_equal(buf, udp + 8, 9000);
	close(fd);
	guest_close(&g);
}

static void test_ipv6(void **state)
{
	uint8_t p[200], *ns, *echo;
	struct guest g;

	guest_open(&g, "", 0);
	/* Neighbour solicitation for the gateway. */
	ns = guest_ip6(&g, p, 58, 32);
	memset(ns, 0, 32);
	ns[0] = 135;
	memcpy(ns + 8, g.gateway_ip6, 16);
	ns[24] = ns[25] = 1;
	memcpy(ns + 26, guest_mac, 6);
	guest_finish(p, 14, 54, 86, 58, 2);
	guest_send(&g, p, 86, NULL);
	while (guest_expect(&g, ETHER_IPV6, 58) && g.rx[54] != 136)
		;
	assert_int_equal(g.rx[54], 136);
	assert_memory_equal(g.rx + 62, g.gateway_ip6, 16);
	memcpy(g.gateway_mac, g.rx + 6, 6);
	echo = guest_ip6(&g, p, 58, 40);
	memset(echo, 0, 40);
	echo[0] = 128;
	echo[7] = 9;
	guest_finish(p, 14, 54, 94, 58, 2);
	guest_send(&g, p, 94, NULL);
	while (guest_expect(&g, ETHER_IPV6, 58) && g.rx[54] != 129)
		;
	assert_int_equal(g.rx[54], 129);
	assert_int_equal(g.rx[61], 9);
	guest_close(&g);
}

static void test_restricted(void **state)
{
	struct guest_tcp t = {.sport = 40000, .seq = 1};
	struct guest g;
	int listener;

	guest_open(&g, "restrict=on", 0);
	listener = host_socket(SOCK_STREAM, AF_INET, &t.dport, true);
	guest_send_tcp(&g, &t, 2, NULL, 0, 0);
	assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_TCP));
	assert_true(g.rx[g.in.l4 + 13] & 4);
	close(listener);
	guest_close(&g);
}

/* Nothing the guest can send does harm, and all of it is counted. */
static void test_hostile(void **state)
{
	static uint8_t p[70000];
	struct net_offload off;
	struct guest g;

	guest_open(&g, "", OFFLOADS);
	for (uint32_t len = 0; len < 80; len++)
		guest_send(&g, p, len, NULL);
	guest_send(&g, p, sizeof(p), NULL);
	assert_int_equal(guest_counters(&g).drops[HOSTNET_DROP_MALFORMED], 14);
	assert_int_equal(guest_counters(&g).drops[HOSTNET_DROP_OVERSIZE], 1);
	off = (struct net_offload){.gso_type = NET_GSO_UDP_L4, .gso_size = 100};
	guest_send(&g, p, 2000, &off);
	off = (struct net_offload){.flags = NET_NEEDS_CSUM, .csum_start = 1990, .csum_offset = 10};
	guest_send(&g, p, 2000, &off);
	off = (struct net_offload){.flags = NET_NEEDS_CSUM,
				   .gso_type = NET_GSO_TCPV4,
				   .gso_size = 100,
				   .csum_start = 34,
				   .csum_offset = 16};
	guest_send(&g, p, 2000, &off);
	assert_int_equal(guest_counters(&g).drops[HOSTNET_DROP_MALFORMED], 17);
	srand(5);
	for (unsigned i = 0; i < 3000; i++) {
		uint32_t len = 14 + (uint32_t)rand() % (i % 10 ? 200 : 40000);
		static const uint16_t types[] = {ETHER_IPV4, ETHER_IPV6, ETHER_ARP, 0x88f8};

		for (uint32_t k = 0; k < len; k++)
			p[k] = (uint8_t)rand();
		store_be16(p + 12, types[i % 4]);
		p[14] = i % 4 ? 0x60 : 0x45;
		p[20] = p[23] = (uint8_t)(i % 3 ? 6 : 17);
		guest_send(&g, p, len, NULL);
	}
	guest_send_ping(&g, 1, 10);
	while (guest_expect(&g, ETHER_IPV4, IP_PROTO_ICMP) && g.rx[34] != 0)
		;
	assert_int_equal(g.rx[34], 0);
	guest_close(&g);
}

/* A guest that does not receive: replies are dropped and counted, and then it goes on. */
static void test_guest_does_not_receive(void **state)
{
	struct hostnet_counters c;
	struct guest g;
	unsigned i;

	guest_open(&g, "", 0);
	guest_send_ping(&g, 1, 8);
	assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_ICMP));
	for (i = 0; i < 2000; i++)
		guest_send_ping(&g, (uint16_t)i, 1400);
	c = guest_counters(&g);
	assert_true(c.drops[HOSTNET_DROP_FULL] > 300 && c.drops[HOSTNET_DROP_FULL] < 1000);
	while (g.received + c.drops[HOSTNET_DROP_FULL] < g.sent && guest_recv(&g, PATIENCE_MS))
		;
	assert_false(guest_recv(&g, 100));
	assert_int_equal(g.received + c.drops[HOSTNET_DROP_FULL], g.sent);
	guest_send_ping(&g, 7, 100);
	assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_ICMP));
	guest_close(&g);
}

/* The host floods: its sockets are left unread while the guest is behind, so nothing is dropped. */
static void test_host_floods(void **state)
{
	uint16_t port = free_port(SOCK_DGRAM);
	uint8_t data[1400] = {0};
	char text[100];
	struct guest g;
	int fd;

	snprintf(text, sizeof(text), "hostfwd=udp:127.0.0.1:%u-:9", port);
	guest_open(&g, text, 0);
	guest_send_ping(&g, 1, 8); /* it knows our address then */
	assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_ICMP));
	fd = host_socket(SOCK_DGRAM, AF_INET, &port, false);
	for (unsigned i = 0; i < 4000; i++) {
		assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
		if (i % 50 == 0)
			usleep(1000);
	}
	assert_int_equal(guest_counters(&g).drops[HOSTNET_DROP_FULL], 0);
	while (guest_recv(&g, g.received > 700 ? 300 : PATIENCE_MS))
		;
	assert_int_equal(guest_counters(&g).drops[HOSTNET_DROP_FULL], 0);
	assert_true(g.received > 700);
	/* Its sockets are read again. */
	assert_int_equal(send(fd, data, 10, 0), 10);
	assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_UDP));
	close(fd);
	guest_close(&g);
}

static void test_room(void **state)
{
	uint8_t small[50];
	struct iovec room = {small, sizeof(small)};
	struct net_offload off;
	struct pollfd p;
	struct guest g;
	ssize_t n;

	guest_open(&g, "", 0);
	p = (struct pollfd){.fd = g.hn->ops->poll_fd(g.hn, 0), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 0);
	guest_send_ping(&g, 1, 8);
	assert_true(guest_recv(&g, PATIENCE_MS)); /* ARP, answered */
	guest_send_ping(&g, 2, 100);
	while ((n = g.hn->ops->recv(g.hn, 0, &room, 1, &off)) != -EMSGSIZE) {
		g.received += n > 0;
		g.received_bytes += n > 0 ? (uint64_t)n : 0;
		poll(&p, 1, 1000);
	}
	assert_int_equal(guest_counters(&g).drops[HOSTNET_DROP_OVERSIZE], 1);
	g.sent++; /* the oversize one was received, not sent */
	guest_close(&g);
}

static void fails(const char *text, int code, const char *part)
{
	struct error err = {0};
	struct guest g;

	if (guest_try_open(&g, text, 0, 0, &err) != code)
		fail_msg("%s: %s", text, err.code ? err.text : "succeeds");
	assert_text(err, part);
}

static void test_errors(void **state)
{
	uint16_t port, udp_port;
	int tcp = host_socket(SOCK_STREAM, AF_INET, &port, true);
	int udp = host_socket(SOCK_DGRAM, AF_INET, &udp_port, true);
	struct error err = {0};
	char text[100], part[100];
	struct guest g, h;

	snprintf(text, sizeof(text), "hostfwd=tcp:127.0.0.1:%u-:80", port);
	snprintf(part, sizeof(part), "TCP port %u of the host is in use already: choose another",
		 port);
	fails(text, -EADDRINUSE, part);
	snprintf(text, sizeof(text), "hostfwd=udp:127.0.0.1:%u-:80", udp_port);
	snprintf(part, sizeof(part), "UDP port %u of the host is in use already", udp_port);
	fails(text, -EADDRINUSE, part);
	close(tcp);
	close(udp);
	/* Forwarded by another network of ours. */
	snprintf(text, sizeof(text), "hostfwd=tcp:127.0.0.1:%u-:80", port);
	guest_open(&g, text, 0);
	fails(text, -EADDRINUSE, "in use already");
	guest_close(&g);
	guest_open(&h, text, 0);
	guest_close(&h);
	fails("hostfwd=udp:192.0.2.1:8080-:80", -EADDRNOTAVAIL, "none of this host's");
	static const char *const bad[] = {"tcp:80",
					  "80-80",
					  "sctp:80-80",
					  "tcp:0-80",
					  "tcp:80-65536",
					  "tcp:1.2.3:80-80",
					  "tcp:a-b",
					  "tcp:80-",
					  "tcp:-80",
					  "tcp:[::1:80-:80",
					  "tcp:[::1]80-80",
					  "tcp:[1.2.3.4]:80-80",
					  "tcp:80-[::1]:x",
					  "",
					  NULL};
	for (unsigned i = 0; bad[i]; i++) {
		snprintf(text, sizeof(text), "hostfwd=%s", bad[i]);
		fails(text, -EINVAL, "use tcp|udp:[ADDR:]PORT-[ADDR:]PORT");
	}
	fails("hostfwd=tcp:[::1]:80-10.0.2.15:80", -EINVAL, "one side is IPv4 and the other IPv6");
	fails("hostfwd=tcp:[::1]:80-:80,ipv6=off", -EINVAL, "needs ipv6=on");
	fails("net=10.0.2.0", -EINVAL, "not a network");
	fails("net=10.0.2.0/28", -EINVAL, "not a network");
	fails("net=10.0.2.1/24", -EINVAL, "bits beyond its first 24");
	fails("dns=10.0.3.3", -EINVAL, "must be a free address");
	fails("dns=10.0.2.2", -EINVAL, "must be a free address");
	fails("dns=x", -EINVAL, "not an IPv4 address");
	fails("restrict=maybe", -EINVAL, "net0: restrict=maybe: use on or off");
	fails("hostname=", -EINVAL, "1 to 32 characters");
	assert_int_equal(guest_try_open(&g, "", 0, 100, &err), -EINVAL);
	assert_text(err, "mtu=100");
}

static void test_other_network(void **state)
{
	uint8_t p[300];
	struct guest g;

	guest_open(&g, "net=192.168.64.0/20,dns=192.168.65.1,ipv6=off", 0);
	guest_send_dhcp(&g, p, dhcp_make(p, 1));
	assert_true(guest_expect(&g, ETHER_IPV4, IP_PROTO_UDP));
	assert_memory_equal(g.rx + g.in.payload + 16, "\xc0\xa8\x40\x0f", 4);
	guest_close(&g);
}

/* Two networks at once, each with its thread: the library's globals are shared. */
static void *ping_often(void *arg)
{
	struct guest *g = arg;

	for (uint16_t seq = 0; seq < 300; seq++) {
		guest_send_ping(g, seq, 100);
		if (!guest_expect(g, ETHER_IPV4, IP_PROTO_ICMP))
			return arg;
	}
	return NULL;
}

static void test_two_networks(void **state)
{
	static struct guest g[2];
	pthread_t thread[2];

	for (unsigned i = 0; i < 2; i++) {
		guest_open(&g[i], "", 0);
		pthread_create(&thread[i], NULL, ping_often, &g[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		void *failed;

		pthread_join(thread[i], &failed);
		assert_null(failed);
		guest_close(&g[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp),	     cmocka_unit_test(test_dhcp),
		cmocka_unit_test(test_ping),	     cmocka_unit_test(test_large_ping),
		cmocka_unit_test(test_udp_forward),  cmocka_unit_test(test_udp_large),
		cmocka_unit_test(test_tcp_out),	     cmocka_unit_test(test_tcp_out_tso),
		cmocka_unit_test(test_tcp_out_v6),   cmocka_unit_test(test_tcp_forward),
		cmocka_unit_test(test_ipv6),	     cmocka_unit_test(test_restricted),
		cmocka_unit_test(test_hostile),	     cmocka_unit_test(test_guest_does_not_receive),
		cmocka_unit_test(test_host_floods),  cmocka_unit_test(test_room),
		cmocka_unit_test(test_errors),	     cmocka_unit_test(test_other_network),
		cmocka_unit_test(test_two_networks),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
