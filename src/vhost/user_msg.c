/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/user_msg.h"

#include <errno.h>
#include <unistd.h>

/*
 * Sizes are those of the wire. "reply" is the size of the payload that answers a request by
 * itself; 0: none but the acknowledgement that NEED_REPLY asks for. "protocol" is the feature bit
 * that must have been agreed on, ANY if none.
 */
#define ANY (-1)

struct rule {
	const char *name;
	uint16_t size_min, size_max;
	uint16_t reply_min, reply_max;
	uint8_t fds_min, fds_max;
	uint8_t reply_fds; /* at most */
	int8_t protocol;
	int8_t reply_if; /* replies by itself only with this feature; ANY: always */
	int (*check)(const struct vhost_user_msg *msg, struct error *err);
};

#define F(name) VHOST_USER_PROTOCOL_F_##name

static int bad(struct error *err, const struct vhost_user_msg *msg, const char *why)
{
	return error_set(err, -EPROTO, "%s: %s",
			 vhost_user_request_name(VHOST_USER_CHANNEL_FRONTEND, msg->hdr.request),
			 why);
}

static int check_region(const struct vhost_user_msg *msg, const struct vhost_user_region *r,
			struct error *err)
{
	if (r->size == 0)
		return bad(err, msg, "a region is empty");
	if (r->gpa + r->size < r->gpa || r->user_addr + r->size < r->user_addr ||
	    r->mmap_offset + r->size < r->mmap_offset)
		return bad(err, msg, "a region wraps around");
	return 0;
}

static int check_memory(const struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_memory *m = &msg->payload.memory;

	if (m->count > VHOST_USER_REGIONS_MAX)
		return bad(err, msg, "more than 8 regions");
	if (msg->hdr.size < 8 + m->count * sizeof(m->regions[0]))
		return bad(err, msg, "shorter than its number of regions says");
	if (msg->nfds != m->count)
		return bad(err, msg, "as many descriptors as regions must come with it");
	for (uint32_t i = 0; i < m->count; i++) {
		int rc = check_region(msg, &m->regions[i], err);

		if (rc)
			return rc;
	}
	return 0;
}

static int check_single(const struct vhost_user_msg *msg, struct error *err)
{
	if (msg->hdr.size != sizeof(msg->payload.single))
		return bad(err, msg, "its payload is not a region");
	return check_region(msg, &msg->payload.single.region, err);
}

static int check_config(const struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_config *c = &msg->payload.config;

	if (c->size > VHOST_USER_CONFIG_MAX || c->offset > VHOST_USER_CONFIG_MAX - c->size)
		return bad(err, msg, "outside the config space");
	if (msg->hdr.size != VHOST_USER_CONFIG_HEADER + c->size)
		return bad(err, msg, "its payload is not of the size that it says");
	return 0;
}

/* SET_VRING_KICK, CALL, ERR: the flag says whether a descriptor comes along. */
static int check_vring_fd(const struct vhost_user_msg *msg, struct error *err)
{
	unsigned want = msg->payload.u64 & VHOST_USER_NO_FD ? 0 : 1;

	if (msg->payload.u64 & ~(uint64_t)(VHOST_USER_VRING_MASK | VHOST_USER_NO_FD))
		return bad(err, msg, "unknown bits are set");
	if (msg->nfds != want)
		return bad(err, msg,
			   want ? "its descriptor is missing"
				: "a descriptor came that it says does not");
	return 0;
}

static int check_enable(const struct vhost_user_msg *msg, struct error *err)
{
	return msg->payload.state.num <= 1 ? 0 : bad(err, msg, "neither 0 nor 1");
}

static int check_num(const struct vhost_user_msg *msg, struct error *err)
{
	if (msg->payload.state.num == 0 || msg->payload.state.num > 32768)
		return bad(err, msg, "not between 1 and 32768");
	return 0;
}

static int check_transfer(const struct vhost_user_msg *msg, struct error *err)
{
	if (msg->payload.transfer.direction > 1 || msg->payload.transfer.phase != 0)
		return bad(err, msg, "neither saved nor loaded while the device is stopped");
	return 0;
}

static int check_log(const struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_log *log = &msg->payload.log;

	if (msg->nfds == 0)
		return 0; /* the form without LOG_SHMFD: an address, of no use to another process */
	if (msg->hdr.size != sizeof(*log) || log->size == 0 || log->offset + log->size < log->size)
		return bad(err, msg, "no possible range");
	return 0;
}

static int check_inflight(const struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_inflight *in = &msg->payload.inflight;

	if (in->queues == 0 || in->queue_size == 0)
		return bad(err, msg, "no queues");
	if (in->mmap_offset + in->mmap_size < in->mmap_size)
		return bad(err, msg, "no possible range");
	return 0;
}

/* Whoever sends it, it is about a range that does not wrap; 0 for all of the address space. */
static int check_iotlb(const struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_iotlb *io = &msg->payload.iotlb;

	if (io->type < VHOST_USER_IOTLB_MISS || io->type > VHOST_USER_IOTLB_ACCESS_FAIL)
		return bad(err, msg, "of no known type");
	if (io->perm > VHOST_USER_IOTLB_RW)
		return bad(err, msg, "unknown permissions");
	if (io->size &&
	    (io->size - 1 > UINT64_MAX - io->iova ||
	     (io->type == VHOST_USER_IOTLB_UPDATE && io->size - 1 > UINT64_MAX - io->user_addr)))
		return bad(err, msg, "the range wraps around");
	return 0;
}

#define U64   8, 8
#define STATE 8, 8
#define NONE  0, 0
#define ADDR  sizeof(struct vhost_user_vring_addr), sizeof(struct vhost_user_vring_addr)
/* A number comes under the name of those too: vhost_user_is_registered(). */
#define SINGLE 8, sizeof(struct vhost_user_single_region)
#define CONFIG VHOST_USER_CONFIG_HEADER, sizeof(struct vhost_user_config)
/* Some peers send the structure with its tail padding. */
#define INFLIGHT VHOST_USER_INFLIGHT_BYTES, sizeof(struct vhost_user_inflight)
#define SLOTS	 F(CONFIGURE_MEM_SLOTS)
#define IOTLB	 VHOST_USER_IOTLB_BYTES, sizeof(struct vhost_user_iotlb)

static const struct rule frontend_rules[VHOST_USER_REQUEST_MAX] = {
	/*                        name   request  reply  fds  reply fds  protocol  replies if */
	[VHOST_USER_GET_FEATURES] = {"GET_FEATURES", NONE, U64, 0, 0, 0, ANY, ANY},
	[VHOST_USER_SET_FEATURES] = {"SET_FEATURES", U64, NONE, 0, 0, 0, ANY, ANY},
	[VHOST_USER_SET_OWNER] = {"SET_OWNER", NONE, NONE, 0, 0, 0, ANY, ANY},
	[VHOST_USER_RESET_OWNER] = {"RESET_OWNER", NONE, NONE, 0, 0, 0, ANY, ANY},
	[VHOST_USER_SET_MEM_TABLE] = {"SET_MEM_TABLE", 8, sizeof(struct vhost_user_memory), NONE, 0,
				      VHOST_USER_REGIONS_MAX, 0, ANY, ANY, check_memory},
	[VHOST_USER_SET_LOG_BASE] = {"SET_LOG_BASE", 8, sizeof(struct vhost_user_log), 0, 16, 0, 1,
				     0, ANY, F(LOG_SHMFD), check_log},
	[VHOST_USER_SET_LOG_FD] = {"SET_LOG_FD", 0, 8, NONE, 1, 1, 0, ANY, ANY},
	[VHOST_USER_SET_VRING_NUM] = {"SET_VRING_NUM", STATE, NONE, 0, 0, 0, ANY, ANY, check_num},
	[VHOST_USER_SET_VRING_ADDR] = {"SET_VRING_ADDR", ADDR, NONE, 0, 0, 0, ANY, ANY},
	[VHOST_USER_SET_VRING_BASE] = {"SET_VRING_BASE", STATE, NONE, 0, 0, 0, ANY, ANY},
	[VHOST_USER_GET_VRING_BASE] = {"GET_VRING_BASE", STATE, STATE, 0, 0, 0, ANY, ANY},
	[VHOST_USER_SET_VRING_KICK] = {"SET_VRING_KICK", U64, NONE, 0, 1, 0, ANY, ANY,
				       check_vring_fd},
	[VHOST_USER_SET_VRING_CALL] = {"SET_VRING_CALL", U64, NONE, 0, 1, 0, ANY, ANY,
				       check_vring_fd},
	[VHOST_USER_SET_VRING_ERR] = {"SET_VRING_ERR", U64, NONE, 0, 1, 0, ANY, ANY,
				      check_vring_fd},
	[VHOST_USER_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", NONE, U64, 0, 0, 0, ANY,
					      ANY},
	[VHOST_USER_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", U64, NONE, 0, 0, 0, ANY,
					      ANY},
	[VHOST_USER_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", NONE, U64, 0, 0, 0, F(MQ), ANY},
	[VHOST_USER_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", STATE, NONE, 0, 0, 0, ANY, ANY,
					 check_enable},
	[VHOST_USER_SEND_RARP] = {"SEND_RARP", U64, NONE, 0, 0, 0, F(RARP), ANY},
	[VHOST_USER_NET_SET_MTU] = {"NET_SET_MTU", U64, NONE, 0, 0, 0, F(NET_MTU), ANY},
	[VHOST_USER_SET_BACKEND_REQ_FD] = {"SET_BACKEND_REQ_FD", 0, 8, NONE, 1, 1, 0,
					   F(BACKEND_REQ), ANY},
	[VHOST_USER_IOTLB_MSG] = {"IOTLB_MSG", IOTLB, NONE, 0, 0, 0, ANY, ANY, check_iotlb},
	[VHOST_USER_GET_CONFIG] = {"GET_CONFIG", CONFIG, 0, sizeof(struct vhost_user_config), 0, 0,
				   0, F(CONFIG), ANY, check_config},
	[VHOST_USER_SET_CONFIG] = {"SET_CONFIG", CONFIG, NONE, 0, 0, 0, F(CONFIG), ANY,
				   check_config},
	/* Its reply has no payload, but a descriptor. */
	[VHOST_USER_POSTCOPY_ADVISE] = {"POSTCOPY_ADVISE", NONE, 0, 8, 0, 0, 1, F(PAGEFAULT), ANY},
	[VHOST_USER_POSTCOPY_LISTEN] = {"POSTCOPY_LISTEN", NONE, NONE, 0, 0, 0, F(PAGEFAULT), ANY},
	[VHOST_USER_POSTCOPY_END] = {"POSTCOPY_END", NONE, NONE, 0, 0, 0, F(PAGEFAULT), ANY},
	[VHOST_USER_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", INFLIGHT, INFLIGHT, 0, 0, 1,
					F(INFLIGHT_SHMFD), ANY, check_inflight},
	[VHOST_USER_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", INFLIGHT, NONE, 1, 1, 0,
					F(INFLIGHT_SHMFD), ANY, check_inflight},
	[VHOST_USER_RESET_DEVICE] = {"RESET_DEVICE", NONE, NONE, 0, 0, 0, F(RESET_DEVICE), ANY},
	[VHOST_USER_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", NONE, U64, 0, 0, 0, SLOTS, ANY},
	[VHOST_USER_ADD_MEM_REG] = {"ADD_MEM_REG", SINGLE, NONE, 1, 1, 0, SLOTS, ANY, check_single},
	[VHOST_USER_REM_MEM_REG] = {"REM_MEM_REG", SINGLE, NONE, 0, 1, 0, SLOTS, ANY, check_single},
	[VHOST_USER_SET_STATUS] = {"SET_STATUS", U64, NONE, 0, 0, 0, F(STATUS), ANY},
	[VHOST_USER_GET_STATUS] = {"GET_STATUS", NONE, U64, 0, 0, 0, F(STATUS), ANY},
	[VHOST_USER_SET_DEVICE_STATE_FD] = {"SET_DEVICE_STATE_FD", 8, 8, U64, 1, 1, 1,
					    F(DEVICE_STATE), ANY, check_transfer},
	[VHOST_USER_CHECK_DEVICE_STATE] = {"CHECK_DEVICE_STATE", NONE, U64, 0, 0, 0,
					   F(DEVICE_STATE), ANY},
};

static const struct rule backend_rules[VHOST_USER_BACKEND_REQUEST_MAX] = {
	[VHOST_USER_BACKEND_IOTLB_MSG] = {"BACKEND_IOTLB_MSG", IOTLB, NONE, 0, 0, 0, ANY, ANY},
	[VHOST_USER_BACKEND_CONFIG_CHANGE_MSG] = {"BACKEND_CONFIG_CHANGE_MSG", NONE, NONE, 0, 0, 0,
						  F(CONFIG), ANY},
	[VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG] = {"BACKEND_VRING_HOST_NOTIFIER_MSG",
							sizeof(struct vhost_user_area),
							sizeof(struct vhost_user_area), NONE, 0, 1,
							0, F(HOST_NOTIFIER), ANY},
};

static const struct rule *rule_of(enum vhost_user_channel channel, uint32_t request)
{
	const struct rule *rule = NULL;

	if (channel == VHOST_USER_CHANNEL_FRONTEND && request < VHOST_USER_REQUEST_MAX)
		rule = &frontend_rules[request];
	if (channel == VHOST_USER_CHANNEL_BACKEND && request < VHOST_USER_BACKEND_REQUEST_MAX)
		rule = &backend_rules[request];
	return rule && rule->name ? rule : NULL;
}

const char *vhost_user_request_name(enum vhost_user_channel channel, uint32_t request)
{
	const struct rule *rule = rule_of(channel, request);

	return rule ? rule->name : "unknown request";
}

const char *vhost_user_protocol_name(unsigned bit)
{
	static const char *const names[] = {
		[F(MQ)] = "MQ",
		[F(LOG_SHMFD)] = "LOG_SHMFD",
		[F(RARP)] = "RARP",
		[F(REPLY_ACK)] = "REPLY_ACK",
		[F(NET_MTU)] = "NET_MTU",
		[F(BACKEND_REQ)] = "BACKEND_REQ",
		[6] = "CROSS_ENDIAN",
		[7] = "CRYPTO_SESSION",
		[F(PAGEFAULT)] = "PAGEFAULT",
		[F(CONFIG)] = "CONFIG",
		[F(BACKEND_SEND_FD)] = "BACKEND_SEND_FD",
		[F(HOST_NOTIFIER)] = "HOST_NOTIFIER",
		[F(INFLIGHT_SHMFD)] = "INFLIGHT_SHMFD",
		[F(RESET_DEVICE)] = "RESET_DEVICE",
		[14] = "INBAND_NOTIFICATIONS",
		[F(CONFIGURE_MEM_SLOTS)] = "CONFIGURE_MEM_SLOTS",
		[F(STATUS)] = "STATUS",
		[F(DEVICE_STATE)] = "DEVICE_STATE",
	};

	return bit < ARRAY_SIZE(names) && names[bit] ? names[bit] : "unknown";
}

int vhost_user_check_header(enum vhost_user_channel channel, const struct vhost_user_header *hdr,
			    struct error *err)
{
	const struct rule *rule = rule_of(channel, hdr->request);
	bool reply = hdr->flags & VHOST_USER_REPLY;
	uint32_t max;

	if ((hdr->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return error_set(err, -EPROTO, "request %u: protocol version %u, not 1",
				 hdr->request, hdr->flags & VHOST_USER_VERSION_MASK);
	if (!rule)
		return error_set(err, hdr->size <= VHOST_USER_PAYLOAD_MAX ? -ENOTSUP : -EPROTO,
				 "request %u with %u bytes is not known", hdr->request, hdr->size);
	/* A reply is either of the request's own kind or an acknowledgement, a 64-bit number. */
	max = reply ? MAX(rule->reply_max, sizeof(uint64_t)) : rule->size_max;
	if (hdr->size > max || (!reply && hdr->size < rule->size_min))
		return error_set(err, -EPROTO, "%s: %s of %u bytes", rule->name,
				 reply ? "a reply" : "a payload", hdr->size);
	return 0;
}

int vhost_user_check_request(enum vhost_user_channel channel, const struct vhost_user_msg *msg,
			     uint64_t protocol, struct error *err)
{
	const struct rule *rule = rule_of(channel, msg->hdr.request);
	int rc = vhost_user_check_header(channel, &msg->hdr, err);

	if (rc)
		return rc;
	if (msg->hdr.flags & VHOST_USER_REPLY)
		return error_set(err, -EPROTO, "%s: a reply where a request is due", rule->name);
	if (msg->nfds < rule->fds_min || msg->nfds > rule->fds_max)
		return error_set(err, -EPROTO, "%s: %u descriptors came with it", rule->name,
				 msg->nfds);
	if (rule->protocol != ANY && !(protocol >> rule->protocol & 1))
		return error_set(err, -EPROTO, "%s: %s was not agreed on", rule->name,
				 vhost_user_protocol_name((unsigned)rule->protocol));
	return rule->check ? rule->check(msg, err) : 0;
}

/* Config and inflight replies have fields of their own to agree. */
static int check_reply_payload(uint32_t request, const struct vhost_user_msg *reply,
			       struct error *err)
{
	if (request == VHOST_USER_GET_CONFIG && reply->hdr.size != 0)
		return check_config(reply, err);
	if (request == VHOST_USER_GET_INFLIGHT_FD && reply->nfds > 0 &&
	    reply->payload.inflight.mmap_offset + reply->payload.inflight.mmap_size <
		    reply->payload.inflight.mmap_size)
		return bad(err, reply, "no possible range");
	return 0;
}

int vhost_user_check_reply(enum vhost_user_channel channel, uint32_t request,
			   const struct vhost_user_msg *reply, struct error *err)
{
	const struct rule *rule = rule_of(channel, request);
	int rc = vhost_user_check_header(channel, &reply->hdr, err);

	if (rc)
		return rc;
	if (!rule || reply->hdr.request != request || !(reply->hdr.flags & VHOST_USER_REPLY))
		return error_set(err, -EPROTO, "%s: answered with %s%s",
				 vhost_user_request_name(channel, request),
				 vhost_user_request_name(channel, reply->hdr.request),
				 reply->hdr.flags & VHOST_USER_REPLY ? "" : " (no reply)");
	if (rule->reply_max == 0 && reply->hdr.size != sizeof(uint64_t))
		return error_set(err, -EPROTO, "%s: an acknowledgement of %u bytes", rule->name,
				 reply->hdr.size);
	if (rule->reply_max != 0 && reply->hdr.size < rule->reply_min)
		return error_set(err, -EPROTO, "%s: a reply of %u bytes", rule->name,
				 reply->hdr.size);
	if (reply->nfds > rule->reply_fds)
		return error_set(err, -EPROTO, "%s: %u descriptors came with the reply", rule->name,
				 reply->nfds);
	return check_reply_payload(request, reply, err);
}

bool vhost_user_is_registered(const struct vhost_user_msg *msg)
{
	switch (msg->hdr.request) {
	case VHOST_USER_SET_MEM_TABLE:
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		return msg->hdr.size == sizeof(uint64_t) && msg->nfds == 0;
	default:
		return false;
	}
}

bool vhost_user_replies(enum vhost_user_channel channel, uint32_t request, uint64_t protocol)
{
	const struct rule *rule = rule_of(channel, request);

	if (!rule || rule->reply_max == 0)
		return false;
	return rule->reply_if == ANY || (protocol >> rule->reply_if & 1);
}

void vhost_user_close_fds(struct vhost_user_msg *msg)
{
	for (unsigned i = 0; i < msg->nfds; i++)
		close(msg->fds[i]);
	msg->nfds = 0;
}
