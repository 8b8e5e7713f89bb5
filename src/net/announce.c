/* SPDX-License-Identifier: Apache-2.0 */
#include "net/announce.h"

#define ARP_REQUEST  1
#define RARP_REQUEST 3

static uint8_t *announce_begin(uint8_t *frame, const uint8_t mac[6], uint16_t type, uint16_t op)
{
	uint8_t *arp = frame + ETHER_HLEN;

	memset(frame, 0, ETHER_MIN_LEN);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	store_be16(frame + 12, type);
	store_be16(arp, 1); /* Ethernet */
	store_be16(arp + 2, ETHER_IPV4);
	arp[4] = 6;
	arp[5] = 4;
	store_be16(arp + 6, op);
	memcpy(arp + 8, mac, 6);
	return arp;
}

void net_announce_rarp(uint8_t frame[ETHER_MIN_LEN], const uint8_t mac[6])
{
	uint8_t *arp = announce_begin(frame, mac, ETHER_RARP, RARP_REQUEST);

	memcpy(arp + 18, mac, 6);
}

void net_announce_arp(uint8_t frame[ETHER_MIN_LEN], const uint8_t mac[6], const uint8_t ip[4])
{
	uint8_t *arp = announce_begin(frame, mac, ETHER_ARP, ARP_REQUEST);

	memcpy(arp + 14, ip, 4);
	memcpy(arp + 24, ip, 4);
}
