/* SPDX-License-Identifier: Apache-2.0 */
#include "net/rss.h"

#include "net/ether.h"

#define RSS_INPUT_MAX 36 /* two IPv6 addresses, two ports */

static uint32_t toeplitz(const struct rss_config *config, const uint8_t *input, unsigned len)
{
	uint8_t key[RSS_KEY_MAX + 8] = {0};
	uint64_t window;
	uint32_t hash = 0;

	memcpy(key, config->key, MIN(config->key_len, (unsigned)RSS_KEY_MAX));
	window = load_be64(key);
	for (unsigned i = 0; i < len; i++) {
		/* The window's upper 32 bits are the key from input bit 8 * i on. */
		for (unsigned bit = 0; bit < 8; bit++) {
			uint32_t mask = 0 - (uint32_t)(input[i] >> (7 - bit) & 1);

			hash ^= (uint32_t)(window >> (32 - bit)) & mask;
		}
		window = window << 8 | key[i + 8];
	}
	return hash;
}

/* What to hash and how to call it: with ports, or only the addresses. */
struct rss_kind {
	uint16_t type;
	uint8_t report;
	uint8_t proto; /* 0: any */
	bool ex;       /* IPv6: only with extension headers, and by the addresses in them */
};

/* In the order in which they are tried (virtio 1.2, 5.1.6.4.3.1 to .4). */
static const struct rss_kind kinds4[] = {
	{RSS_TCPV4, RSS_REPORT_TCPV4, IP_PROTO_TCP, false},
	{RSS_UDPV4, RSS_REPORT_UDPV4, IP_PROTO_UDP, false},
	{RSS_IPV4, RSS_REPORT_IPV4, 0, false},
};
static const struct rss_kind kinds6[] = {
	{RSS_TCP_EX, RSS_REPORT_TCPV6_EX, IP_PROTO_TCP, true},
	{RSS_UDP_EX, RSS_REPORT_UDPV6_EX, IP_PROTO_UDP, true},
	{RSS_IP_EX, RSS_REPORT_IPV6_EX, 0, true},
	{RSS_TCPV6, RSS_REPORT_TCPV6, IP_PROTO_TCP, false},
	{RSS_UDPV6, RSS_REPORT_UDPV6, IP_PROTO_UDP, false},
	{RSS_IPV6, RSS_REPORT_IPV6, 0, false},
};

static const struct rss_kind *rss_choose(const struct rss_config *config,
					 const struct net_headers *h)
{
	const struct rss_kind *kinds = h->ip_version == 4 ? kinds4 : kinds6;
	unsigned count = h->ip_version == 4 ? ARRAY_SIZE(kinds4) : ARRAY_SIZE(kinds6);

	for (unsigned i = 0; i < count; i++) {
		if (!(config->types & kinds[i].type) || (kinds[i].ex && !h->extensions))
			continue;
		/* Fragments go by their addresses, so that all of one datagram go one way. */
		if (!kinds[i].proto || (kinds[i].proto == h->proto && h->payload && !h->fragment))
			return &kinds[i];
	}
	return NULL;
}

enum rss_report rss_hash(const struct rss_config *config, const uint8_t *hdr, unsigned len,
			 uint32_t *hash)
{
	uint8_t input[RSS_INPUT_MAX];
	const struct rss_kind *kind;
	struct net_headers h;
	unsigned n;

	*hash = 0;
	if (net_headers_parse(hdr, len, &h) < 0 || !h.ip_version)
		return RSS_REPORT_NONE;
	kind = rss_choose(config, &h);
	if (!kind)
		return RSS_REPORT_NONE;
	if (h.ip_version == 4) {
		memcpy(input, hdr + h.l3 + IPV4_SRC, 8);
		n = 8;
	} else {
		memcpy(input, hdr + (kind->ex && h.home ? h.home : h.l3 + IPV6_SRC), 16);
		memcpy(input + 16, hdr + (kind->ex && h.route2 ? h.route2 : h.l3 + IPV6_DST), 16);
		n = 32;
	}
	if (kind->proto) {
		memcpy(input + n, hdr + h.l4, 4);
		n += 4;
	}
	*hash = toeplitz(config, input, n);
	return (enum rss_report)kind->report;
}

unsigned rss_queue(const struct rss_config *config, enum rss_report report, uint32_t hash)
{
	if (report == RSS_REPORT_NONE || !config->table_len || config->table_len > RSS_TABLE_MAX)
		return config->unclassified_queue;
	return config->table[hash & (config->table_len - 1u)];
}
