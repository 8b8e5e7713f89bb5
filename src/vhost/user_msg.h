/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_USER_MSG_H
#define VHOST_USER_MSG_H

#include "base/error.h"
#include "base/util.h"

/*
 * The vhost-user protocol's messages (QEMU, docs/interop/vhost-user.rst): numbers, layouts, and
 * one table that says of each what its payload may be, which descriptors come with it, what is
 * replied and which protocol feature allows it. Front-end and back-end check what they receive
 * against it; nothing else in the tree knows a payload's size. All numbers are in host order.
 */

/* Front-end to back-end ("Front-end message types"). */
enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
	VHOST_USER_REQUEST_MAX
};

/* Back-end to front-end, on the channel of SET_BACKEND_REQ_FD ("Back-end message types"). */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_IOTLB_MSG = 1,
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	VHOST_USER_BACKEND_REQUEST_MAX
};

/* "Protocol features": bit numbers. */
enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_NET_MTU = 4,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
	VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,
};

/* Feature bit by which a back-end says that it knows protocol features at all. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30
#define VHOST_USER_F_LOG_ALL	       26

/* Header flags. */
#define VHOST_USER_VERSION	1U
#define VHOST_USER_VERSION_MASK 3U
#define VHOST_USER_REPLY	(1U << 2)
#define VHOST_USER_NEED_REPLY	(1U << 3)

#define VHOST_USER_FDS_MAX	8
#define VHOST_USER_REGIONS_MAX	8   /* in one SET_MEM_TABLE */
#define VHOST_USER_CONFIG_MAX	256 /* bytes of config space in one message */
#define VHOST_USER_VRING_MASK	0xffU
#define VHOST_USER_NO_FD	(1U << 8) /* SET_VRING_KICK, CALL, ERR: none is passed */

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
#define VHOST_USER_VRING_F_LOG 1U
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vhost_user_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vhost_user_memory {
	uint32_t count;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_REGIONS_MAX];
};

struct vhost_user_single_region {
	uint64_t padding;
	struct vhost_user_region region;
};

struct vhost_user_log {
	uint64_t size;
	uint64_t offset;
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHOST_USER_CONFIG_MAX];
};
#define VHOST_USER_CONFIG_HEADER offsetof(struct vhost_user_config, bytes)

struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t queues;
	uint16_t queue_size;
};
#define VHOST_USER_INFLIGHT_BYTES 20 /* the wire has no tail padding */

struct vhost_user_transfer {
	uint32_t direction; /* 0: the back-end's state is saved, 1: loaded */
	uint32_t phase;	    /* 0: the device is stopped */
};

struct vhost_user_area {
	uint64_t queue; /* bits 0-7; VHOST_USER_NO_FD */
	uint64_t size;
	uint64_t offset;
};

struct vhost_user_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t user_addr;
	uint8_t perm;
#define VHOST_USER_IOTLB_RO 1U
#define VHOST_USER_IOTLB_RW 3U
	uint8_t type;
#define VHOST_USER_IOTLB_MISS	     1U
#define VHOST_USER_IOTLB_UPDATE	     2U
#define VHOST_USER_IOTLB_INVALIDATE  3U
#define VHOST_USER_IOTLB_ACCESS_FAIL 4U
};
#define VHOST_USER_IOTLB_BYTES 26 /* without the tail padding, which most send too */

union vhost_user_payload {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_memory memory;
	struct vhost_user_single_region single;
	struct vhost_user_log log;
	struct vhost_user_config config;
	struct vhost_user_inflight inflight;
	struct vhost_user_area area;
	struct vhost_user_transfer transfer;
	struct vhost_user_iotlb iotlb;
};

/** A message: header and payload as on the wire, and the descriptors that came along. */
struct vhost_user_msg {
	struct vhost_user_header hdr;
	union vhost_user_payload payload;
	int fds[VHOST_USER_FDS_MAX];
	unsigned nfds;
};

/** Which table a request is in. */
enum vhost_user_channel {
	VHOST_USER_CHANNEL_FRONTEND, /* requests that a front-end sends */
	VHOST_USER_CHANNEL_BACKEND,  /* … that a back-end sends */
};

/** "SET_MEM_TABLE"; never NULL. */
const char *vhost_user_request_name(enum vhost_user_channel channel, uint32_t request);

/** "REPLY_ACK" of a protocol feature's bit; never NULL. */
const char *vhost_user_protocol_name(unsigned bit);

/**
 * Checks a header before its payload is read: version, known request, a size that is possible for
 * it. 0, or -EPROTO (-ENOTSUP for a request that is not known, whose payload can be skipped when
 * its size is at most VHOST_USER_PAYLOAD_MAX).
 */
int vhost_user_check_header(enum vhost_user_channel channel, const struct vhost_user_header *hdr,
			    struct error *err);
#define VHOST_USER_PAYLOAD_MAX sizeof(union vhost_user_payload)

/**
 * Checks a whole request as its receiver: size, number of descriptors, whether the protocol
 * features agreed on allow it, and that its fields agree with each other (counts with sizes,
 * ranges that do not wrap). 0 or -EPROTO with err saying what is wrong with which request.
 */
int vhost_user_check_request(enum vhost_user_channel channel, const struct vhost_user_msg *msg,
			     uint64_t protocol, struct error *err);

/** Checks the reply to `request` as its receiver. */
int vhost_user_check_reply(enum vhost_user_channel channel, uint32_t request,
			   const struct vhost_user_msg *reply, struct error *err);

/**
 * Whether it is, by its form, what a front-end sends when it has registered the addresses that it was
 * answered during post-copy ("VHOST_USER_SET_MEM_TABLE"): a number under the request's name.
 */
bool vhost_user_is_registered(const struct vhost_user_msg *msg);

/** Whether a request is answered with a payload of its own, whatever NEED_REPLY says. */
bool vhost_user_replies(enum vhost_user_channel channel, uint32_t request, uint64_t protocol);

/** Closes the descriptors of a message and forgets them. */
void vhost_user_close_fds(struct vhost_user_msg *msg);

#endif
