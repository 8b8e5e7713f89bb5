/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_USER_OPTIONS_H
#define HOSTNET_USER_OPTIONS_H

#include "hostnet/hostnet.h"

#include <netinet/in.h>

/* The options of user networking, checked and as values. */
#define USER_FORWARDS_MAX 64

struct user_forward {
	const char *text; /* as given, for messages */
	bool udp;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} host, guest;
	socklen_t addr_len; /* of both: they are of one family */
};

struct user_config {
	struct in_addr net, mask, host, dns, guest;
	bool ipv6;
	bool restricted;
	const char *hostname; /* NULL: none */
	unsigned forwards;
	struct user_forward forward[USER_FORWARDS_MAX];
};

extern const struct option_key user_keys[];

/** Fills *config, whose strings point into opts. */
int user_config_parse(struct user_config *config, const struct options *opts,
		      const struct hostnet_params *params, struct error *err);

/** One hostfwd= rule: tcp|udp:[ADDR:]PORT-[ADDR:]PORT. config has its networks set. */
int user_forward_parse(struct user_forward *forward, const char *text,
		       const struct user_config *config, const uint8_t *mac, const char *id,
		       struct error *err);

#endif
