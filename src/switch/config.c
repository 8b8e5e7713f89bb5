/* SPDX-License-Identifier: Apache-2.0 */
/* The settings that every port has. */
#include "switch/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const struct option_key sw_port_keys[] = {
	{"id", "NAME", "the port's name (default: its type and a number)"},
	{"type", "TYPE", "what kind of port it is"},
	{"vlan", "access:N|trunk:N+M",
	 "untagged, in VLAN N; or tagged, in VLANs N and M (N-M: all between); without it: frames "
	 "pass with the tags they have"},
	{"allowed-mac", "MAC[+MAC…]", "drop frames from any other source address"},
	{"rate", "RATE", "the most it may send, in bits a second, with K, M or G (powers of 1000)"},
	{"rate-out", "RATE", "the most that is sent to it"},
	{"storm", "N", "the most frames a second from it that are flooded"},
	{"mirror-to", "PORT", "copy all its frames, both ways, to that port, which gets no others"},
	{"isolated", "on|off", "no frames between isolated ports"},
	{"flood", "on|off", "whether it gets frames for unknown destinations (default on)"},
	{NULL},
};

static int parse_vid(const char *text, char **end, uint16_t *vid, struct error *err)
{
	unsigned long v = text[0] >= '0' && text[0] <= '9' ? strtoul(text, end, 10) : 0;

	if (v < 1 || v > 4094)
		return error_set(err, -EINVAL, "vlan=: a VLAN is a number from 1 to 4094");
	*vid = (uint16_t)v;
	return 0;
}

static int parse_trunk(struct sw_port_config *config, const char *text, struct error *err)
{
	for (;;) {
		uint16_t from = 0, to;
		char *end = NULL;
		int ret = parse_vid(text, &end, &from, err);

		to = from;
		if (!ret && *end == '-')
			ret = parse_vid(end + 1, &end, &to, err);
		if (ret)
			return ret;
		for (unsigned v = from; v <= to; v++)
			config->trunk[v / 64] |= 1ULL << (v % 64);
		if (!*end)
			return 0;
		if (*end != '+')
			return error_set(err, -EINVAL, "vlan=trunk: '%s' after a VLAN: use '+'",
					 end);
		text = end + 1;
	}
}

static int parse_vlan(struct sw_port_config *config, const char *text, struct error *err)
{
	char *end;
	int ret;

	if (!strncmp(text, "access:", 7)) {
		config->vlan_mode = SW_VLAN_ACCESS;
		ret = parse_vid(text + 7, &end, &config->access_vid, err);
		if (!ret && *end)
			ret = error_set(err, -EINVAL, "vlan=%s: one VLAN is expected", text);
		return ret;
	}
	if (!strncmp(text, "trunk:", 6)) {
		config->vlan_mode = SW_VLAN_TRUNK;
		return parse_trunk(config, text + 6, err);
	}
	return error_set(err, -EINVAL, "vlan=%s: use access:N or trunk:N+M", text);
}

static int parse_macs(struct sw_port_config *config, const char *text, struct error *err)
{
	config->nmacs = 0;
	while (*text) {
		size_t len = strcspn(text, "+");
		char one[32];
		int ret;

		if (config->nmacs == SW_MACS_MAX)
			return error_set(err, -EINVAL, "allowed-mac=: at most %d addresses",
					 SW_MACS_MAX);
		snprintf(one, sizeof(one), "%.*s", (int)MIN(len, sizeof(one) - 1), text);
		ret = option_mac("allowed-mac", one, config->macs[config->nmacs], err);
		if (ret)
			return ret;
		config->nmacs++;
		text += len + (text[len] == '+');
	}
	return config->nmacs ? 0 : error_set(err, -EINVAL, "allowed-mac=: give an address");
}

static int parse_rate(const char *key, const char *text, uint64_t *rate, struct error *err)
{
	static const struct {
		char unit;
		uint64_t factor;
	} units[] = {{'K', 1000}, {'M', 1000000}, {'G', 1000000000}};
	uint64_t factor = 1, value;
	size_t len = strlen(text);
	char digits[32];
	int ret;

	for (unsigned i = 0; len && i < ARRAY_SIZE(units); i++)
		if (text[len - 1] == units[i].unit)
			factor = units[i].factor;
	len -= factor > 1;
	if (!len || len >= sizeof(digits))
		return error_set(err, -EINVAL, "%s=%s: give bits a second, as 500M", key, text);
	memcpy(digits, text, len);
	digits[len] = '\0';
	ret = option_u64(key, digits, 1, 1000000000000ULL / factor, &value, err);
	if (ret)
		return ret;
	*rate = value * factor;
	return *rate < 1000 ? error_set(err, -EINVAL, "%s=%s: use 1000 (1K) or more", key, text)
			    : 0;
}

static int parse_flags(struct sw_port_config *config, const struct options *opts, struct error *err)
{
	const char *isolated = options_get(opts, "isolated"), *flood = options_get(opts, "flood");
	bool on = true;
	int ret = 0;

	if (isolated)
		ret = option_bool("isolated", isolated, &config->isolated, err);
	if (!ret && flood) {
		ret = option_bool("flood", flood, &on, err);
		config->no_flood = !on;
	}
	return ret;
}

int sw_port_config_parse(struct sw_port_config *config, const struct options *opts,
			 struct error *err)
{
	const char *vlan = options_get(opts, "vlan"), *macs = options_get(opts, "allowed-mac");
	const char *rate = options_get(opts, "rate"), *out = options_get(opts, "rate-out");
	const char *storm = options_get(opts, "storm"), *mirror = options_get(opts, "mirror-to");
	int ret = parse_flags(config, opts, err);

	if (!ret && vlan)
		ret = parse_vlan(config, vlan, err);
	if (!ret && macs)
		ret = parse_macs(config, macs, err);
	if (!ret && rate)
		ret = parse_rate("rate", rate, &config->rate_in, err);
	if (!ret && out)
		ret = parse_rate("rate-out", out, &config->rate_out, err);
	if (!ret && storm)
		ret = option_u64("storm", storm, 1, 1000000000, &config->storm, err);
	if (!ret && mirror)
		snprintf(config->mirror_to, sizeof(config->mirror_to), "%s", mirror);
	return ret;
}
