/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_USER_REQUEST_H
#define VHOST_USER_REQUEST_H

#include "vhost/user_frontend.h"

/* How the front-end sends one request. Private to vhost/user_*.c. */

static inline struct vhost_user_msg vhost_user_message(enum vhost_user_request request,
						       uint32_t size)
{
	return (struct vhost_user_msg){
		.hdr = {request, VHOST_USER_VERSION, size},
	};
}

/** Ends in the connection being broken; err gets the socket's name in front. Returns rc. */
int vhost_user_give_up(struct vhost_user_frontend *fe, int rc, struct error *err);

/** Sends, and waits for nothing. */
int vhost_user_transmit(struct vhost_user_frontend *fe, const struct vhost_user_msg *msg,
			struct error *err);

/** A request that has a reply of its own; *msg is that then, and its descriptors the caller's. */
int vhost_user_ask(struct vhost_user_frontend *fe, struct vhost_user_msg *msg, struct error *err);
int vhost_user_ask_u64(struct vhost_user_frontend *fe, enum vhost_user_request request,
		       uint64_t *out, struct error *err);

/**
 * A request without one: the back-end's acknowledgement is waited for where that was agreed on
 * ("VHOST_USER_PROTOCOL_F_REPLY_ACK"). -EIO when it says no.
 */
int vhost_user_tell(struct vhost_user_frontend *fe, struct vhost_user_msg *msg, struct error *err);
int vhost_user_tell_u64(struct vhost_user_frontend *fe, enum vhost_user_request request,
			uint64_t value, struct error *err);

#endif
