/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/user_options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Where things are in the guest's network, as other user-mode networks have it. */
#define USER_HOST_OFFSET  2
#define USER_DNS_OFFSET	  3
#define USER_GUEST_OFFSET 15
#define USER_NET	  "10.0.2.0/24"

const struct option_key user_keys[] = {
	{"hostfwd", "tcp|udp:[ADDR:]PORT-[ADDR:]PORT",
	 "forward a port of the host (default ADDR: all) to one of the guest", .repeat = true},
	{"net", "ADDR/BITS", "the guest's IPv4 network (default " USER_NET ")"},
	{"dns", "ADDR", "the name server's address as the guest sees it (default: net + 3)"},
	{"ipv6", "on|off", "IPv6 as well, as fec0::/64 (default on)"},
	{"hostname", "NAME", "the name DHCP gives the guest"},
	{"restrict", "on|off", "no way out but hostfwd= (default off)"},
	{NULL},
};

static int parse_net(struct user_config *config, const char *text, struct error *err)
{
	char addr[INET_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	uint64_t bits = 24;
	uint32_t net, mask;

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		goto bad;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	if (inet_pton(AF_INET, addr, &config->net) != 1 ||
	    option_u64("net", slash + 1, 8, 27, &bits, NULL) < 0)
		goto bad;
	mask = (uint32_t) ~((1ULL << (32 - bits)) - 1);
	net = ntohl(config->net.s_addr);
	if (net & ~mask)
		return error_set(err, -EINVAL,
				 "net=%s: the address has bits beyond its first %u: use the "
				 "network's own, as in " USER_NET,
				 text, (unsigned)bits);
	config->mask.s_addr = htonl(mask);
	config->host.s_addr = htonl(net + USER_HOST_OFFSET);
	config->dns.s_addr = htonl(net + USER_DNS_OFFSET);
	config->guest.s_addr = htonl(net + USER_GUEST_OFFSET);
	return 0;
bad:
	return error_set(err, -EINVAL,
			 "net=%s: not a network: use ADDR/BITS with 8 to 27 bits, as in " USER_NET,
			 text);
}

static int parse_dns(struct user_config *config, const char *text, struct error *err)
{
	if (inet_pton(AF_INET, text, &config->dns) != 1)
		return error_set(err, -EINVAL, "dns=%s: not an IPv4 address", text);
	if ((config->dns.s_addr & config->mask.s_addr) != config->net.s_addr ||
	    config->dns.s_addr == config->host.s_addr || config->dns.s_addr == config->guest.s_addr)
		return error_set(
			err, -EINVAL,
			"dns=%s: must be a free address of the guest's network (the host's "
			"own servers are asked whatever it is)",
			text);
	return 0;
}

/* The address stateless autoconfiguration gives the guest: fec0:: and its MAC (RFC 4291, A). */
static struct in6_addr guest_address6(const uint8_t *mac)
{
	struct in6_addr addr = {{{0xfe, 0xc0}}};
	uint8_t *a = addr.s6_addr + 8;

	a[0] = mac[0] ^ 2;
	a[1] = mac[1];
	a[2] = mac[2];
	a[3] = 0xff;
	a[4] = 0xfe;
	memcpy(a + 5, mac + 3, 3);
	return addr;
}

struct endpoint {
	int family; /* AF_UNSPEC: no address */
	struct in_addr in;
	struct in6_addr in6;
	uint16_t port;
};

static bool parse_port(const char *text, uint16_t *port)
{
	uint64_t value;

	if (option_u64("port", text, 1, 65535, &value, NULL) < 0 || !isdigit((unsigned char)*text))
		return false;
	*port = (uint16_t)value;
	return true;
}

/* PORT, :PORT, ADDR:PORT or [ADDR6]:PORT. text is written on. */
static bool parse_endpoint(char *text, struct endpoint *end)
{
	char *port;

	*end = (struct endpoint){.family = AF_UNSPEC};
	if (*text == '[') {
		port = strchr(text, ']');
		if (!port || port[1] != ':')
			return false;
		*port = '\0';
		end->family = AF_INET6;
		return inet_pton(AF_INET6, text + 1, &end->in6) == 1 &&
		       parse_port(port + 2, &end->port);
	}
	port = strrchr(text, ':');
	if (!port)
		return parse_port(text, &end->port);
	*port = '\0';
	if (*text) {
		end->family = AF_INET;
		if (inet_pton(AF_INET, text, &end->in) != 1)
			return false;
	}
	return parse_port(port + 1, &end->port);
}

static void forward_set4(struct user_forward *f, const struct endpoint *host,
			 const struct endpoint *guest, struct in_addr guest_default)
{
	f->addr_len = sizeof(f->host.in);
	f->host.in = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(host->port), .sin_addr = host->in};
	f->guest.in = (struct sockaddr_in){.sin_family = AF_INET,
					   .sin_port = htons(guest->port),
					   .sin_addr = guest->family == AF_INET ? guest->in
										: guest_default};
}

static void forward_set6(struct user_forward *f, const struct endpoint *host,
			 const struct endpoint *guest, struct in6_addr guest_default)
{
	f->addr_len = sizeof(f->host.in6);
	f->host.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
					    .sin6_port = htons(host->port),
					    .sin6_addr = host->family == AF_INET6 ? host->in6
										  : in6addr_any};
	f->guest.in6 = (struct sockaddr_in6){
		.sin6_family = AF_INET6,
		.sin6_port = htons(guest->port),
		.sin6_addr = guest->family == AF_INET6 ? guest->in6 : guest_default};
}

int user_forward_parse(struct user_forward *f, const char *text, const struct user_config *config,
		       const uint8_t *mac, const char *id, struct error *err)
{
	struct endpoint host, guest;
	char copy[128], *dash;

	*f = (struct user_forward){.text = text, .udp = !strncmp(text, "udp:", 4)};
	if ((!f->udp && strncmp(text, "tcp:", 4)) || strlen(text) >= sizeof(copy))
		goto bad;
	snprintf(copy, sizeof(copy), "%s", text + 4);
	dash = strchr(copy, '-');
	if (!dash)
		goto bad;
	*dash = '\0';
	if (!parse_endpoint(copy, &host) || !parse_endpoint(dash + 1, &guest))
		goto bad;
	if (host.family != AF_UNSPEC && guest.family != AF_UNSPEC && host.family != guest.family)
		return error_set(err, -EINVAL,
				 "%s: hostfwd=%s: one side is IPv4 and the other IPv6: use one "
				 "kind for both",
				 id, text);
	if (host.family != AF_INET6 && guest.family != AF_INET6) {
		forward_set4(f, &host, &guest, config->guest);
		return 0;
	}
	if (!config->ipv6)
		return error_set(err, -EINVAL, "%s: hostfwd=%s: needs ipv6=on", id, text);
	forward_set6(f, &host, &guest, guest_address6(mac));
	return 0;
bad:
	return error_set(err, -EINVAL,
			 "%s: hostfwd=%s: use tcp|udp:[ADDR:]PORT-[ADDR:]PORT, the host's side "
			 "first, IPv6 addresses in brackets",
			 id, text);
}

int user_config_parse(struct user_config *config, const struct options *opts,
		      const struct hostnet_params *params, struct error *err)
{
	static const uint8_t no_mac[6];
	const char *net = options_get(opts, "net"), *dns = options_get(opts, "dns");
	const char *ipv6 = options_get(opts, "ipv6"), *closed = options_get(opts, "restrict");
	const char *text;
	int rc;

	*config = (struct user_config){.ipv6 = true};
	rc = parse_net(config, net ? net : USER_NET, err);
	if (rc == 0 && dns)
		rc = parse_dns(config, dns, err);
	if (rc == 0 && ipv6)
		rc = option_bool("ipv6", ipv6, &config->ipv6, err);
	if (rc == 0 && closed)
		rc = option_bool("restrict", closed, &config->restricted, err);
	if (rc < 0)
		return error_prefix(err, rc, "%s", params->id);
	config->hostname = options_get(opts, "hostname");
	if (config->hostname && (!*config->hostname || strlen(config->hostname) > 32))
		return error_set(err, -EINVAL, "%s: hostname=%s: use 1 to 32 characters",
				 params->id, config->hostname);
	while ((text = options_get_nth(opts, "hostfwd", config->forwards))) {
		if (config->forwards == USER_FORWARDS_MAX)
			return error_set(err, -EINVAL, "%s: more than %d hostfwd=", params->id,
					 USER_FORWARDS_MAX);
		rc = user_forward_parse(&config->forward[config->forwards], text, config,
					params->mac ? params->mac : no_mac, params->id, err);
		if (rc < 0)
			return rc;
		config->forwards++;
	}
	return 0;
}
