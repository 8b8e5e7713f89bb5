/* SPDX-License-Identifier: Apache-2.0 */
/* What the load's frames hold. */
#include "load.h"

#include "net/checksum.h"
#include "net/offload.h"

#define ETH 14U
#define IP  20U
#define TCP 20U

static uint8_t pattern(unsigned at)
{
	return (uint8_t)(at * 7);
}

/* IPv4 and TCP as a driver with TSO leaves them: the checksum field holds the pseudo header's. */
static void put_tcp(uint8_t *frame, uint32_t len, unsigned which)
{
	uint8_t *ip = frame + ETH, *tcp = ip + IP;
	struct net_headers h;
	struct csum c = {0};
	uint16_t sum;

	memset(ip, 0, IP + TCP);
	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)(len - ETH));
	ip[8] = 64;
	ip[9] = 6;
	store_be32(ip + 12, 0xc0000201 + which); /* 192.0.2.1 and .2 */
	store_be32(ip + 16, 0xc0000201 + !which);
	sum = csum_ipv4_header(ip, IP);
	memcpy(ip + 10, &sum, 2);

	store_be16(tcp, 5001);
	store_be16(tcp + 2, 5001);
	tcp[12] = TCP / 4 << 4;
	tcp[13] = 0x10; /* ACK */
	net_headers_parse(frame, len, &h);
	csum_add_pseudo(&c, frame, &h, len - ETH - IP);
	sum = csum_fold(&c);
	memcpy(tcp + 16, &sum, 2);
}

static const struct net_offload left_to_do = {
	.flags = NET_NEEDS_CSUM,
	.gso_type = NET_GSO_TCPV4,
	.hdr_len = ETH + IP + TCP,
	.gso_size = 1448,
	.csum_start = ETH + IP,
	.csum_offset = 16,
};

unsigned frames_fill(struct end *e, unsigned which)
{
	for (unsigned i = 0; i < e->nbufs; i++) {
		uint8_t *f = end_frame(&e->tx, i);

		memset(f - END_HDR, 0, END_HDR);
		for (unsigned k = 0; k < e->setup.size; k++)
			f[k] = pattern(k);
		frames_put_mac(f, !which, 0);
		frames_put_mac(f + 6, which, 0);
		store_be16(f + 12, e->setup.tso ? 0x0800 : 0x88b5);
		if (e->setup.tso) {
			memcpy(f - END_HDR, &left_to_do, END_HDR);
			put_tcp(f, e->setup.size, which);
		}
	}
	return e->setup.tso ? ETH + IP + TCP : ETH;
}

bool frames_whole(const struct end *e, const uint8_t *frame, unsigned at, uint32_t len)
{
	struct net_offload off;
	bool good = true;

	memcpy(&off, frame - END_HDR, END_HDR);
	if (e->setup.tso)
		good = off.gso_type == NET_GSO_TCPV4 && off.gso_size == left_to_do.gso_size;
	for (unsigned k = at; k < len; k++)
		good &= frame[k] == pattern(k);
	return good;
}
