/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_VIRTIO_NET_H
#define DEVICE_VIRTIO_NET_H

#include "dataplane/plane.h"
#include "device/nic.h"
#include "virtio/virtio_pci.h"
#include "vring/device.h"

/*
 * virtio-net (virtio 1.2, 5.1). Private to src/device/virtio_net*.c and their tests.
 *
 * Everything here but check_features runs in the control thread, and so does the control
 * virtqueue; the data virtqueues are the plane's while the device runs.
 */
#define VIRTIO_NET_TYPE	      1
#define VIRTIO_NET_CLASS      0x020000
#define VIRTIO_NET_PAIRS_MAX  16
#define VIRTIO_NET_QUEUE_SIZE 256
#define VIRTIO_NET_CTRL_SIZE  64
#define VIRTIO_NET_CTRL_MAX   (64 * 1024) /* bytes of one command */
#define VIRTIO_NET_CTRL_IOV   256

/* struct virtio_net_config (5.1.4): offsets. */
enum {
	VNET_CONFIG_MAC = 0,
	VNET_CONFIG_STATUS = 6,
	VNET_CONFIG_MAX_PAIRS = 8,
	VNET_CONFIG_MTU = 10,
	VNET_CONFIG_SPEED = 12,
	VNET_CONFIG_DUPLEX = 16,
	VNET_CONFIG_RSS_KEY = 17,
	VNET_CONFIG_RSS_TABLE = 18,
	VNET_CONFIG_HASH_TYPES = 20,
	VNET_CONFIG_SIZE = 24,
};

enum { VNET_STATUS_LINK_UP = 1, VNET_STATUS_ANNOUNCE = 2 };

struct virtio_net {
	struct nic nic; /* first */
	struct virtio_dev vdev;
	struct virtio_pci vpci;

	unsigned pairs;
	uint8_t mac[6]; /* permanent */
	unsigned mtu;	/* offered; 0: not */

	struct plane *plane;
	char backend[16]; /* backend= of the plane */
	char *planes;	  /* planes=; NULL: not given */
	bool switching;
	struct options kept;		  /* the plane's own options */
	struct capture *capture;	  /* NULL: none is running */
	bool capture_moved;		  /* for it, from another plane … */
	struct options captured_on;	  /* … that had these options */
	struct virtio_features may_offer; /* what all planes that it may be moved to can carry */
	struct plane_queue_counters past[2 * VIRTIO_NET_PAIRS_MAX]; /* of earlier planes */
	struct plane_events events;
	struct plane_queue pq[2 * VIRTIO_NET_PAIRS_MAX];
	bool plane_running;

	/* What the driver configured, by way of the control queue. */
	struct plane_net_config config;
	bool configured; /* since the last reset */
	bool admin_up;	 /* the host's side of the link */

	/* The control queue. */
	struct vq *ctrl;
	bool ctrl_running;
	struct loop_fd ctrl_kick;
	struct mem_listener listener;
	bool listening;
	struct iovec ctrl_iov[VIRTIO_NET_CTRL_IOV];
	uint8_t ctrl_buf[VIRTIO_NET_CTRL_MAX];

	uint64_t ctrl_commands, ctrl_refused;
	uint64_t faults[VRING_FAULT_COUNT];
};

static inline struct virtio_net *virtio_net_of(struct virtio_dev *vdev)
{
	return container_of(vdev, struct virtio_net, vdev);
}

/** As virtio_net_ops.create, on a plane of these ops (tests: a recorder). */
int virtio_net_create_on(const struct plane_ops *plane, const struct nic_params *params,
			 struct nic **out, struct error *err);

extern const struct nic_ops virtio_net_ops;
extern const struct option_key virtio_net_keys[];

/* virtio_net_features.c */

/**
 * What the NIC itself can do with these options; mq: it has more than one pair. *asked: those of
 * them that an option names.
 */
int virtio_net_own_features(const struct options *opts, bool mq, struct virtio_features *out,
			    struct virtio_features *asked, struct error *err);
/** Takes away what lacks something it depends on. */
void virtio_net_prune(struct virtio_features *f);
/** virtio_ops.check_features. */
int virtio_net_check_features(const struct virtio_dev *vdev, const struct virtio_features *acked,
			      struct error *err);
/** NET_OFFLOAD_* that the driver accepts, as CTRL_GUEST_OFFLOADS has them in bits. */
uint32_t virtio_net_guest_offloads(uint64_t bits);
/** Those feature bits that CTRL_GUEST_OFFLOADS may switch. */
uint64_t virtio_net_offload_bits(const struct virtio_features *acked);

/* virtio_net_ctrl.c */

/** The index of the control queue and the number of data queues, by what was negotiated. */
unsigned virtio_net_ctrl_index(const struct virtio_net *net);
int virtio_net_ctrl_init(struct virtio_net *net, struct error *err);
void virtio_net_ctrl_fini(struct virtio_net *net);
int virtio_net_ctrl_start(struct virtio_net *net, struct error *err);
void virtio_net_ctrl_stop(struct virtio_net *net);

/** Carries out one command; returns VIRTIO_NET_OK (0) or VIRTIO_NET_ERR (1). */
uint8_t virtio_net_command(struct virtio_net *net, const uint8_t *cmd, size_t len);

/* virtio_net.c */

/** Makes *next the configuration and tells the plane. 0 or negative errno, nothing changed. */
int virtio_net_configure(struct virtio_net *net, const struct plane_net_config *next);
/** Sets the bits of the status field to what holds now. */
void virtio_net_update_status(struct virtio_net *net, bool announce);
/** The link may have changed, or its other end (moved): tells plane and driver. */
void virtio_net_link_update(struct virtio_net *net, bool moved);
/** What a plane of this NIC is opened with. */
struct plane_params virtio_net_plane_params(struct virtio_net *net);

/* virtio_net_offer.c */

/** Whether planes, "a+b+c" or NULL, has that name in it. */
bool virtio_net_plane_named(const char *planes, const char *name);
/** Whether planes= makes sense for a NIC that begins on this plane. */
int virtio_net_check_planes(const struct options *opts, const struct plane_ops *plane,
			    struct error *err);
/** Finds out what may ever be offered, and offers what the plane can of it. */
int virtio_net_plan_offer(struct virtio_net *net, const struct options *opts, struct error *err);
/** Decides whether its doorbells are pages, before there is a PCI function. */
int virtio_net_plan_doorbells(struct virtio_net *net, const struct options *opts,
			      struct error *err);
/** plane_events.doorbell */
int virtio_net_doorbell(void *opaque, unsigned queue, void *page);
/** Offers anew what the present plane can of that. Nothing may have been negotiated. */
void virtio_net_offer(struct virtio_net *net);

/* virtio_net_hops.c: nic_ops. */
void virtio_net_state(struct nic *nic, struct nic_state *out);
void virtio_net_hops(struct nic *nic, nic_hop_fn *fn, void *arg);
void virtio_net_counters(struct nic *nic, void (*emit)(void *arg, const char *name, uint64_t value),
			 void *arg);

/* virtio_net_capture.c: nic_ops, and what surrounds them. */
int virtio_net_capture_start(struct nic *nic, const struct nic_capture *what, struct error *err);
int virtio_net_capture_stop(struct nic *nic, struct nic_capture_stats *stats, struct error *err);
void virtio_net_capture_stats(struct nic *nic, struct nic_capture_stats *stats);
/** Ends a capture with the NIC, while it still has its plane. */
void virtio_net_capture_fini(struct virtio_net *net);
/** Keeps those of the options that the plane in use was opened with. 0 or -ENOMEM. */
int virtio_net_keep_options(struct virtio_net *net, const struct options *opts);

/* virtio_net_switch.c */

/** nic_ops.set_backend. */
int virtio_net_set_backend(struct nic *nic, const char *backend, const struct options *opts,
			   struct nic_switch *result, struct error *err);
/** The move itself, whatever planes= says. */
int virtio_net_move(struct virtio_net *net, const char *backend, const struct options *opts,
		    struct nic_switch *result, struct error *err);
/**
 * … to a plane that is open, which took prepare_ns. The attachment point is the same, and the old
 * plane stays open.
 */
int virtio_net_move_to(struct virtio_net *net, struct plane *to, uint64_t prepare_ns,
		       struct error *err);

#endif
