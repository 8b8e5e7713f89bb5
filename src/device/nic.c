// SPDX-License-Identifier: Apache-2.0
/*
 * Making a NIC from its option text: which model, which back-end, which keys are legal for the two
 * together, and what holds where nothing was said.
 */
#include "device/nic.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/named_options.h"
#include "dataplane/plane.h"
#include "device/nic_backend.h"
#include "hostnet/hostnet.h"

#define NAMES_MAX 32
#define MTU_MIN	  68 /* RFC 791 */
#define MTU_MAX	  65521

const struct option_key nic_common_keys[] = {
	{"id", "NAME", "its name in messages, counters and on the control socket (net<N>)"},
	{"model", "MODEL", "what the guest sees (virtio-net)"},
	{"backend", "NAME", "what its frames go to (user)"},
	{"mac", "MAC", "its address (made from the id)"},
	{"mtu", "BYTES", "the largest packet (the back-end's)"},
	{0},
};

/* "…: unknown model \"x\": did you mean y?", from a list of names. */
static int unknown(struct error *err, const char *key, const char *value, const char *const *names)
{
	const char *nearest = option_nearest(value, names);
	char known[256] = "";
	size_t at = 0;

	if (nearest)
		return error_set(err, -EINVAL, "%s=%s: unknown %s: did you mean %s=%s?", key, value,
				 key, key, nearest);
	for (unsigned i = 0; names[i] && at < sizeof(known); i++)
		at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "",
				       names[i]);
	return error_set(err, -EINVAL, "%s=%s: unknown %s: use one of %s", key, value, key, known);
}

static int find_model(const struct options *opts, const struct nic_ops **out, struct error *err)
{
	const char *name = options_get(opts, "model");
	const char *names[NAMES_MAX] = {0};

	*out = name ? nic_find(name) : nic_table[0];
	if (*out)
		return 0;
	for (unsigned i = 0; i < NAMES_MAX - 1 && nic_table[i]; i++)
		names[i] = nic_table[i]->name;
	return unknown(err, "model", name, names);
}

/* Every back-end: those that give whole frames, then those that only a data plane knows. */
static int find_backend(const char *backend, struct error *err)
{
	static const char *const planes_only[] = {"vhost-net", "vhost-user", "vdpa"};
	const char *names[NAMES_MAX] = {0};
	unsigned n = 0;

	if (hostnet_find(backend) || plane_for_backend(backend))
		return 0;
	for (unsigned i = 0; n < NAMES_MAX - 4 && hostnet_table[i]; i++)
		names[n++] = hostnet_table[i]->name;
	for (unsigned i = 0; i < ARRAY_SIZE(planes_only); i++)
		if (plane_for_backend(planes_only[i]))
			names[n++] = planes_only[i];
	return unknown(err, "backend", backend, names);
}

static int check_keys(const struct options *opts, const struct nic_ops *model, const char *backend,
		      const char *what, struct error *err)
{
	const struct option_key *tables[OPTION_TABLES_MAX] = {nic_common_keys};
	const struct hostnet_ops *hn = hostnet_find(backend);
	const struct plane_ops *plane = plane_for_backend(backend);
	unsigned n = 1;

	if (model->keys)
		tables[n++] = model->keys;
	if (hn && hn->keys)
		tables[n++] = hn->keys;
	if (plane && plane->keys && !strcmp(model->name, "virtio-net"))
		tables[n++] = plane->keys;
	return options_check(opts, tables, what, err);
}

int nic_backend_parse(const struct nic *nic, const char *text, struct options *opts,
		      struct error *err)
{
	static const struct option_key key[] = {{"backend", "NAME", "what its frames go to"}, {0}};
	const struct option_key *tables[OPTION_TABLES_MAX] = {key};
	const struct hostnet_ops *hn;
	const struct plane_ops *plane;
	const char *backend;
	unsigned n = 1;
	int ret = options_parse(opts, text, err);

	if (ret)
		return ret;
	backend = options_get(opts, "backend");
	if (!backend)
		return error_set(err, -EINVAL, "%s: backend=NAME is missing", nic->pci.id);
	ret = find_backend(backend, err);
	if (ret)
		return ret;
	hn = hostnet_find(backend);
	plane = plane_for_backend(backend);
	if (hn && hn->keys)
		tables[n++] = hn->keys;
	if (plane && plane->keys && !strcmp(nic->nic_ops->name, "virtio-net"))
		tables[n++] = plane->keys;
	return options_check(opts, tables, nic->pci.id, err);
}

int nic_check_id(const char *id, struct error *err)
{
	size_t len = strlen(id);

	if (!len || len >= sizeof(((struct pci_dev *)0)->id))
		return error_set(err, -EINVAL, "id=%s: a name has 1 to 31 characters", id);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)id[i]) && !strchr("_.-", id[i]))
			return error_set(err, -EINVAL,
					 "id=%s: use letters, digits, '_', '.' and '-'", id);
	return 0;
}

static uint64_t fnv1a(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

/*
 * A locally administered address. It is the same in each run where what it is made of tells this
 * NIC from others: the host, the id, and the interface or socket it is attached to. Where a
 * back-end that others can see is named by nothing, the process makes the difference.
 */
static void default_mac(const struct options *opts, const char *id, const char *backend,
			uint8_t mac[6])
{
	static const char *const places[] = {"ifname", "socket", "path", "fd"};
	uint64_t hash = 0xcbf29ce484222325ULL;
	bool placed = !strcmp(backend, "user") || !strcmp(backend, "none");
	char host[64] = "";
	pid_t pid = getpid();

	(void)gethostname(host, sizeof(host) - 1);
	hash = fnv1a(hash, host, sizeof(host));
	hash = fnv1a(hash, id, strlen(id) + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		const char *place = options_get(opts, places[i]);

		if (!place)
			continue;
		hash = fnv1a(hash, place, strlen(place) + 1);
		placed = true;
	}
	if (!placed)
		hash = fnv1a(hash, &pid, sizeof(pid));
	hash ^= hash >> 32;
	mac[0] = 0x52; /* locally administered, unicast */
	mac[1] = 0x56;
	store_be32(mac + 2, (uint32_t)hash);
}

static int read_values(const struct options *opts, struct nic_params *params, struct error *err)
{
	const char *mac = options_get(opts, "mac"), *mtu = options_get(opts, "mtu");
	uint64_t value = 0;
	int ret = nic_check_id(params->id, err);

	if (ret)
		return ret;
	default_mac(opts, params->id, params->backend, params->mac);
	if (mac)
		ret = option_mac("mac", mac, params->mac, err);
	if (!ret && mtu)
		ret = option_u64("mtu", mtu, MTU_MIN, MTU_MAX, &value, err);
	params->mtu = (unsigned)value;
	return ret;
}

static int make(const struct options *opts, struct nic_params *params, const char *what,
		struct nic **out, struct error *err)
{
	const struct nic_ops *model;
	int ret = find_model(opts, &model, err);

	if (!ret && model->no_backend && options_get(opts, "backend"))
		ret = error_set(err, -EINVAL,
				"model=%s has no back-end: leave out backend=", model->name);
	if (!ret && model->no_backend)
		params->backend = "none";
	if (!ret)
		ret = find_backend(params->backend, err);
	if (!ret)
		ret = check_keys(opts, model, params->backend, what, err);
	if (!ret)
		ret = read_values(opts, params, err);
	if (!ret && model->probe)
		ret = model->probe(err);
	return ret ? ret : model->create(params, out, err);
}

int nic_create(const char *text, unsigned index, struct bus_host *host, struct guest_mem *mem,
	       struct loop *loop, struct nic **out, struct error *err)
{
	struct nic_params params = {.host = host, .mem = mem, .loop = loop};
	struct named_options n;
	int ret = named_options_parse(&n, "--net", "net", index, text, err);

	params.opts = &n.opts;
	params.id = n.id;
	params.backend = ret ? NULL : options_get(&n.opts, "backend");
	params.backend = params.backend ? params.backend : "user";
	if (!ret)
		ret = make(&n.opts, &params, n.what, out, err);
	return named_options_end(&n, ret, err);
}
