/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/user_slirp.h"

#include "hostnet/user_frames.h"

#include <errno.h>

static int user_forward_error(const char *id, const struct user_forward *f, int rc,
			      struct error *err)
{
	unsigned port = ntohs(f->addr_len == sizeof(f->host.in) ? f->host.in.sin_port
								: f->host.in6.sin6_port);

	switch (rc) {
	case -EADDRINUSE:
		return error_set(err, rc,
				 "%s: hostfwd=%s: %s port %u of the host is in use already: choose "
				 "another, or end what listens there (ss -%slnp 'sport = :%u')",
				 id, f->text, f->udp ? "UDP" : "TCP", port, f->udp ? "u" : "t",
				 port);
	case -EACCES:
		return error_set(err, rc,
				 "%s: hostfwd=%s: permission denied on port %u of the host: choose "
				 "one above 1023, or run as root",
				 id, f->text, port);
	case -EADDRNOTAVAIL:
		return error_set(
			err, rc,
			"%s: hostfwd=%s: the address is none of this host's: see 'ip addr'", id,
			f->text);
	default:
		return error_set(err, rc, "%s: hostfwd=%s: port %u of the host: %s", id, f->text,
				 port, error_name(rc));
	}
}

static int user_add_forwards(Slirp *slirp, const struct user_config *config, const char *id,
			     struct error *err)
{
	for (unsigned i = 0; i < config->forwards; i++) {
		const struct user_forward *f = &config->forward[i];
		int flags = f->udp ? SLIRP_HOSTFWD_UDP : 0;

		if (f->addr_len == sizeof(f->host.in6))
			flags |= SLIRP_HOSTFWD_V6ONLY;
		errno = EINVAL;
		if (slirp_add_hostxfwd(slirp, &f->host.sa, f->addr_len, &f->guest.sa, f->addr_len,
				       flags) < 0)
			return user_forward_error(id, f, -errno, err);
	}
	return 0;
}

Slirp *user_slirp_create(const struct user_config *config, unsigned mtu, const SlirpCb *callbacks,
			 void *opaque, const char *id, struct error *err)
{
	Slirp *slirp;
	SlirpConfig c = {
		.version = 4,
		.restricted = config->restricted,
		.in_enabled = true,
		.vnetwork = config->net,
		.vnetmask = config->mask,
		.vhost = config->host,
		.vdhcp_start = config->guest,
		.vnameserver = config->dns,
		.in6_enabled = config->ipv6,
		.vprefix_len = 64,
		.vhostname = config->hostname,
		/* TCP segments end at the smaller of the two; IPv6 input ends at the first. */
		.if_mtu = USER_MTU_MAX,
		.if_mru = MAX(USER_SEGMENT_MTU, mtu),
	};

	inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &c.vhost6);
	inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
	slirp = slirp_new(&c, callbacks, opaque);
	if (!slirp) {
		error_set(err, -EINVAL, "%s: libslirp %s refuses the configuration", id,
			  slirp_version_string());
		return NULL;
	}
	if (user_add_forwards(slirp, config, id, err) < 0) {
		slirp_cleanup(slirp);
		return NULL;
	}
	return slirp;
}
