/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_ANNOUNCE_H
#define NET_ANNOUNCE_H

#include "net/ether.h"

/*
 * Frames that tell switches where a MAC address is now. They go out after a NIC's attachment
 * point moved; ETHER_MIN_LEN bytes, padded with zeros.
 */

/** A RARP request of mac for itself (RFC 903): needs no knowledge of the guest's IP addresses. */
void net_announce_rarp(uint8_t frame[ETHER_MIN_LEN], const uint8_t mac[6]);

/** A gratuitous ARP of mac for the IPv4 address ip (RFC 5227, 3). */
void net_announce_arp(uint8_t frame[ETHER_MIN_LEN], const uint8_t mac[6], const uint8_t ip[4]);

#endif
