/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_PLANES_H
#define DATAPLANE_VHOST_PLANES_H

#include "dataplane/plane.h"
#include "hostnet/hostnet.h"

/* What the planes that hand the rings to somebody else have in common; private to vhost_*.c. */

extern const struct plane_ops vhost_kernel_ops;
extern const struct plane_ops vhost_user_ops;
extern const struct plane_ops vhost_vdpa_ops;

/**
 * Feature bits that whoever owns the rings must know: those of rings and buffers, that it can be
 * offered as it says. ACCESS_PLATFORM is not among them: guest addresses are given as they are.
 */
#define VHOST_RING_FEATURES                                                                      \
	(1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_RING_F_EVENT_IDX |                 \
	 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_RING_PACKED | 1ULL << VIRTIO_F_IN_ORDER | \
	 1ULL << VIRTIO_F_ORDER_PLATFORM | 1ULL << VIRTIO_F_RING_RESET)

/** Frame offloads, in both directions, and merged buffers. */
#define VHOST_FRAME_FEATURES                                                 \
	(1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_GUEST_CSUM |       \
	 1ULL << VIRTIO_NET_F_GUEST_TSO4 | 1ULL << VIRTIO_NET_F_GUEST_TSO6 | \
	 1ULL << VIRTIO_NET_F_GUEST_ECN | 1ULL << VIRTIO_NET_F_GUEST_UFO |   \
	 1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 |   \
	 1ULL << VIRTIO_NET_F_HOST_ECN | 1ULL << VIRTIO_NET_F_HOST_UFO |     \
	 1ULL << VIRTIO_NET_F_GUEST_USO4 | 1ULL << VIRTIO_NET_F_GUEST_USO6 | \
	 1ULL << VIRTIO_NET_F_HOST_USO | 1ULL << VIRTIO_NET_F_MRG_RXBUF)

/** Adds what the NIC carries out by itself whoever owns the rings. */
void vhost_nic_features(struct virtio_features *f);

/** Adds the feature bits of NET_OFFLOAD_* sets: what the guest may send, and be given. */
void vhost_offload_features(struct virtio_features *f, uint32_t tx, uint32_t rx);

/**
 * What back-ends in another process or device usually have, for the offer to a guest that may be
 * moved to one not known yet.
 */
void vhost_usual_features(struct virtio_features *f);

/** Acknowledged features, less those of GUEST_* that the driver has switched off since. */
uint64_t vhost_agreed(uint64_t acked, uint32_t guest_offloads);

/**
 * Whether start fits a plane that can carry `can` with at most max queues; else -ENOTSUP or
 * -EINVAL, with err naming what is missing. who: "the kernel's vhost".
 */
int vhost_check_start(const char *id, const char *who, const struct plane_start *start,
		      const struct virtio_features *can, unsigned max, struct error *err);

/** Sets err to name the features in want that are not in can. Returns -ENOTSUP. */
int vhost_missing_features(const char *id, const char *who, const struct virtio_features *want,
			   const struct virtio_features *can, struct error *err);

/** "VIRTIO_NET_F_MQ" or "feature bit 70"; the string is valid until the next call. */
const char *vhost_feature_name(unsigned bit);

/**
 * What is wrong with a ring whose owner says only that something is: looks at what is available
 * there. VRING_BAD_RING when nothing can be found.
 */
enum vring_fault vhost_ring_diagnose(const struct vring_config *cfg, const struct vring_state *last,
				     const struct mem_table *table);

/** Has a TAP drop what the filter does not accept, as far as it can; NULL: nothing. */
int tap_set_filter(struct hostnet *tap, const struct rx_filter *filter);

/** An interface's own counters (net/core: /proc/net/dev); rx: what the host received from it. */
struct netif_counters {
	uint64_t rx_frames, rx_bytes, rx_dropped, tx_frames, tx_bytes, tx_dropped;
};
int netif_counters(const char *ifname, struct netif_counters *out);

#endif
