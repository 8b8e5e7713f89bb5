// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net's features: which there are, what each depends on (virtio 1.2, 5.1.3.1), and the
 * option that turns each off (or on).
 */
#include "device/virtio_net.h"

#include <errno.h>

#include "net/offload.h"

struct feature {
	uint8_t bit;
	uint8_t needs, or_needs; /* one of them; 0xff: nothing */
	bool off;		 /* by default */
	bool mq;		 /* only with more than one queue pair */
	const char *key;	 /* the option that decides; NULL: none */
	const char *name;
};

#define NOTHING 0xff
#define F(n)	.bit = VIRTIO_NET_F_##n, .name = #n, .needs = NOTHING, .or_needs = NOTHING
#define FN(n, need) \
	.bit = VIRTIO_NET_F_##n, .name = #n, .needs = VIRTIO_NET_F_##need, .or_needs = NOTHING
#define FN2(n, need, or)                                                   \
	.bit = VIRTIO_NET_F_##n, .name = #n, .needs = VIRTIO_NET_F_##need, \
	.or_needs = VIRTIO_NET_F_## or

/* In an order in which what is needed comes first. */
static const struct feature features[] = {
	{F(CSUM), .key = "csum"},
	{F(GUEST_CSUM), .key = "guest-csum"},
	{FN(GUEST_TSO4, GUEST_CSUM), .key = "guest-tso"},
	{FN(GUEST_TSO6, GUEST_CSUM), .key = "guest-tso"},
	{FN2(GUEST_ECN, GUEST_TSO4, GUEST_TSO6), .key = "ecn"},
	{FN(GUEST_UFO, GUEST_CSUM), .key = "ufo"},
	{FN(GUEST_USO4, GUEST_CSUM), .key = "uso"},
	{FN(GUEST_USO6, GUEST_CSUM), .key = "uso"},
	{FN(HOST_TSO4, CSUM), .key = "tso"},
	{FN(HOST_TSO6, CSUM), .key = "tso"},
	{FN2(HOST_ECN, HOST_TSO4, HOST_TSO6), .key = "ecn"},
	{FN(HOST_UFO, CSUM), .key = "ufo"},
	{FN(HOST_USO, CSUM), .key = "uso"},
	{F(MRG_RXBUF), .key = "mrg-rxbuf"},
	{F(MTU)},
	{F(MAC)},
	{F(STATUS), .key = "status"},
	{F(SPEED_DUPLEX)},
	{F(CTRL_VQ), .key = "ctrl-vq"},
	{FN(CTRL_RX, CTRL_VQ), .key = "ctrl-rx"},
	{FN(CTRL_RX_EXTRA, CTRL_VQ), .key = "ctrl-rx"},
	{FN(CTRL_VLAN, CTRL_VQ), .key = "ctrl-vlan"},
	{FN(CTRL_MAC_ADDR, CTRL_VQ), .key = "ctrl-mac"},
	{FN(MQ, CTRL_VQ), .mq = true, .key = "mq"},
	{FN(GUEST_ANNOUNCE, CTRL_VQ), .key = "announce"},
	{FN(CTRL_GUEST_OFFLOADS, CTRL_VQ), .key = "guest-offloads"},
	{FN(NOTF_COAL, CTRL_VQ), .key = "coalesce"},
	{FN(RSS, CTRL_VQ), .mq = true, .key = "rss"},
	{FN(HASH_REPORT, CTRL_VQ), .off = true, .key = "hash-report"},
	{.bit = VIRTIO_RING_F_INDIRECT_DESC,
	 NOTHING,
	 NOTHING,
	 .key = "indirect",
	 .name = "INDIRECT_DESC"},
	{.bit = VIRTIO_RING_F_EVENT_IDX, NOTHING, NOTHING, .key = "event-idx", .name = "EVENT_IDX"},
	{.bit = VIRTIO_F_RING_PACKED,
	 NOTHING,
	 NOTHING,
	 .off = true,
	 .key = "packed",
	 .name = "RING_PACKED"},
	{.bit = VIRTIO_F_IN_ORDER, NOTHING, NOTHING, .key = "in-order", .name = "IN_ORDER"},
	{.bit = VIRTIO_F_RING_RESET, NOTHING, NOTHING, .key = "ring-reset", .name = "RING_RESET"},
	{.bit = VIRTIO_F_VERSION_1, NOTHING, NOTHING, .name = "VERSION_1"},
};

const struct option_key virtio_net_keys[] = {
	{"queues", "PAIRS", "receive and transmit queue pairs, 1 to 16 (1)"},
	{"queue-size", "N", "descriptors of a queue, a power of two from 16 to 32768 (256)"},
	{"speed", "MBIT", "the link speed the guest is told (10000)"},
	{"doorbell-pages", "on|off",
	 "each queue's doorbell in a page of its own, which a vhost-user back-end may give (on "
	 "where it "
	 "can)"},
	{"planes", "A+B+…", "data planes the guest may be moved to (those this host has)"},
	{"packed", "on|off", "packed virtqueues (off)"},
	{"csum", "on|off", "the guest may leave checksums to the host (on)"},
	{"guest-csum", "on|off", "the guest takes frames without checksums (on)"},
	{"tso", "on|off", "the guest may leave TCP segmentation to the host (on)"},
	{"guest-tso", "on|off", "the guest takes unsegmented TCP (on)"},
	{"ecn", "on|off", "TCP segmentation with ECN, both ways (on)"},
	{"ufo", "on|off", "UDP fragmentation, both ways (on)"},
	{"uso", "on|off", "UDP segmentation, both ways (on)"},
	{"mrg-rxbuf", "on|off", "received frames may span buffers (on)"},
	{"status", "on|off", "the guest sees the link go up and down (on)"},
	{"ctrl-vq", "on|off", "the control queue, and all that needs it (on)"},
	{"ctrl-rx", "on|off", "receive modes and MAC table (on)"},
	{"ctrl-vlan", "on|off", "VLAN filter (on)"},
	{"ctrl-mac", "on|off", "the guest may change its MAC address (on)"},
	{"mq", "on|off", "multiqueue, where queues= is more than 1 (on)"},
	{"announce", "on|off", "the guest announces itself when asked to (on)"},
	{"guest-offloads", "on|off", "the guest may change receive offloads at run time (on)"},
	{"coalesce", "on|off", "notification coalescing (on)"},
	{"rss", "on|off", "receive-side scaling, where queues= is more than 1 (on)"},
	{"hash-report", "on|off", "received frames carry their hash (off)"},
	{"indirect", "on|off", "indirect descriptors (on)"},
	{"event-idx", "on|off", "EVENT_IDX notification suppression (on)"},
	{"in-order", "on|off", "buffers are used in order (on)"},
	{"ring-reset", "on|off", "queues can be reset one by one (on)"},
	{0},
};

int virtio_net_own_features(const struct options *opts, bool mq, struct virtio_features *out,
			    struct virtio_features *asked, struct error *err)
{
	*out = *asked = (struct virtio_features){0};
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];
		const char *text = f->key ? options_get(opts, f->key) : NULL;
		bool on = !f->off;
		int ret;

		if (text) {
			ret = option_bool(f->key, text, &on, err);
			if (ret)
				return ret;
		}
		features_set(out, f->bit, on && (mq || !f->mq));
		features_set(asked, f->bit, text && features_has(out, f->bit));
	}
	return 0;
}

/* What the feature lacks in f, or NOTHING. */
static uint8_t lacking(const struct feature *feature, const struct virtio_features *f)
{
	if (feature->needs == NOTHING || features_has(f, feature->needs))
		return NOTHING;
	if (feature->or_needs != NOTHING && features_has(f, feature->or_needs))
		return NOTHING;
	return feature->needs;
}

void virtio_net_prune(struct virtio_features *f)
{
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
		if (features_has(f, features[i].bit) && lacking(&features[i], f) != NOTHING)
			features_set(f, features[i].bit, false);
}

static const char *feature_name(uint8_t bit)
{
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].bit == bit)
			return features[i].name;
	return "?";
}

int virtio_net_check_features(const struct virtio_dev *vdev, const struct virtio_features *acked,
			      struct error *err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		uint8_t lacks = lacking(&features[i], acked);

		if (features_has(acked, features[i].bit) && lacks != NOTHING)
			return error_set(err, -EINVAL, "VIRTIO_NET_F_%s without VIRTIO_NET_F_%s",
					 features[i].name, feature_name(lacks));
	}
	return 0;
}

static const struct {
	uint8_t bit;
	uint32_t offload;
} guest_offloads[] = {
	{VIRTIO_NET_F_GUEST_CSUM, NET_OFFLOAD_CSUM}, {VIRTIO_NET_F_GUEST_TSO4, NET_OFFLOAD_TSO4},
	{VIRTIO_NET_F_GUEST_TSO6, NET_OFFLOAD_TSO6}, {VIRTIO_NET_F_GUEST_ECN, NET_OFFLOAD_ECN},
	{VIRTIO_NET_F_GUEST_UFO, NET_OFFLOAD_UFO},   {VIRTIO_NET_F_GUEST_USO4, NET_OFFLOAD_USO4},
	{VIRTIO_NET_F_GUEST_USO6, NET_OFFLOAD_USO6},
};

uint32_t virtio_net_guest_offloads(uint64_t bits)
{
	uint32_t offloads = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(guest_offloads); i++)
		if (bits >> guest_offloads[i].bit & 1)
			offloads |= guest_offloads[i].offload;
	/* Nothing can be left unsegmented without leaving its checksum open. */
	return offloads & NET_OFFLOAD_CSUM ? offloads : 0;
}

uint64_t virtio_net_offload_bits(const struct virtio_features *acked)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(guest_offloads); i++)
		bits |= 1ULL << guest_offloads[i].bit;
	return bits & acked->w[0];
}
