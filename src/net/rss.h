/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_RSS_H
#define NET_RSS_H

#include "base/util.h"

/* Receive-side scaling: Toeplitz hash and indirection table (virtio 1.2, 5.1.6.5.7). */
#define RSS_KEY_MAX   40
#define RSS_TABLE_MAX 128

/* Hash types, both for configuration and (VIRTIO_NET_HASH_TYPE_*) support masks. */
enum {
	RSS_IPV4 = 1 << 0,
	RSS_TCPV4 = 1 << 1,
	RSS_UDPV4 = 1 << 2,
	RSS_IPV6 = 1 << 3,
	RSS_TCPV6 = 1 << 4,
	RSS_UDPV6 = 1 << 5,
	RSS_IP_EX = 1 << 6,
	RSS_TCP_EX = 1 << 7,
	RSS_UDP_EX = 1 << 8,
};
#define RSS_ALL 0x1ff

/* hash_report values, virtio 1.2, 5.1.6.4.4. */
enum rss_report {
	RSS_REPORT_NONE,
	RSS_REPORT_IPV4,
	RSS_REPORT_TCPV4,
	RSS_REPORT_UDPV4,
	RSS_REPORT_IPV6,
	RSS_REPORT_TCPV6,
	RSS_REPORT_UDPV6,
	RSS_REPORT_IPV6_EX,
	RSS_REPORT_TCPV6_EX,
	RSS_REPORT_UDPV6_EX,
};

struct rss_config {
	bool enabled;	  /* steer by table */
	bool hash_report; /* put hash and type in the header (HASH_REPORT negotiated) */
	uint32_t types;
	uint16_t unclassified_queue; /* receive queue pair for frames without a hash */
	uint16_t table_len;	     /* power of two */
	uint16_t table[RSS_TABLE_MAX];
	uint8_t key_len;
	uint8_t key[RSS_KEY_MAX];
};

/**
 * The Toeplitz hash of a frame whose first len bytes are hdr, by the first of config->types that
 * fits. Returns what was hashed (RSS_REPORT_NONE: nothing; *hash is 0 then).
 */
enum rss_report rss_hash(const struct rss_config *config, const uint8_t *hdr, unsigned len,
			 uint32_t *hash);

/** The queue pair for a frame hashed so. */
unsigned rss_queue(const struct rss_config *config, enum rss_report report, uint32_t hash);

#endif
