/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on one NIC. */
#include "api.h"
#include "api_config.h"

#include "device/nic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int find_nic(const struct api *api, const char *id, struct nic **out, struct error *err)
{
	*out = machine_nic(api->machine, id);
	return *out ? 0
		    : error_set(err, -ENODEV, "%s: no NIC has this id: see GET /api/v1/net", id);
}

#define BDF_SIZE 16
static const char *bdf_text(const struct nic *nic, char bdf[BDF_SIZE])
{
	snprintf(bdf, BDF_SIZE, "0000:00:%02x.%x", nic->pci.slot, nic->pci.function);
	return bdf;
}

static json_t *state_json(const struct nic *nic, const struct nic_state *state)
{
	char mac[18], bdf[BDF_SIZE];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", state->mac[0], state->mac[1],
		 state->mac[2], state->mac[3], state->mac[4], state->mac[5]);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:b, s:b, s:b}",
			 "id", nic->pci.id, "bdf", bdf_text(nic, bdf), "model", nic->nic_ops->name,
			 "backend", state->backend, "plane", state->plane, "attachment",
			 state->attachment, "mac", mac, "mtu", (int)state->mtu, "queue_pairs",
			 (int)state->queue_pairs, "link", (int)state->admin_up, "carrier",
			 (int)state->carrier, "running", (int)state->running, "needs_reset",
			 (int)state->needs_reset, "capturing", (int)state->capturing);
}

json_t *api_nic_json(struct nic *nic)
{
	struct nic_state state;

	nic_get_state(nic, &state);
	return state_json(nic, &state);
}

json_t *api_nics_json(struct api *api)
{
	json_t *list = json_array();

	for (struct nic *nic = machine_nics(api->machine); nic; nic = nic->next)
		json_array_append_new(list, api_nic_json(nic));
	return list;
}

static int net_list(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	*reply = json_pack("{s:o}", "net", api_nics_json(opaque));
	return 0;
}

static int net_show(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	struct nic *nic;
	int ret = find_nic(opaque, request->id, &nic, err);

	if (!ret)
		*reply = api_nic_json(nic);
	return ret;
}

static json_t *hop_json(const struct nic_hop *hop)
{
	json_t *drops = json_array(), *more = json_object(), *json;

	for (unsigned i = 0; i < hop->ndrops; i++)
		json_array_append_new(drops,
				      json_pack("{s:s, s:s, s:I}", "cause", hop->drops[i].cause,
						"text", hop->drops[i].text, "count",
						(json_int_t)hop->drops[i].count));
	for (unsigned i = 0; i < hop->nmore; i++)
		json_object_set_new(more, hop->more[i].name,
				    json_integer((json_int_t)hop->more[i].value));
	json = json_pack("{s:s, s:s, s:s, s:i, s:b, s:o, s:s*, s:o, s:s*}", "name", hop->name,
			 "what", hop->what, "direction", hop->direction == NIC_TX ? "tx" : "rx",
			 "queue", hop->queue, "counted", (int)hop->counted, "drops", drops,
			 "last_drop", hop->last_drop >= 0 ? hop->drops[hop->last_drop].cause : NULL,
			 "more", more, "unknown", hop->unknown);
	if (hop->counted) {
		json_object_set_new(json, "frames_in", json_integer((json_int_t)hop->frames_in));
		json_object_set_new(json, "bytes_in", json_integer((json_int_t)hop->bytes_in));
		json_object_set_new(json, "frames_out", json_integer((json_int_t)hop->frames_out));
		json_object_set_new(json, "bytes_out", json_integer((json_int_t)hop->bytes_out));
	}
	return json;
}

static void add_hop(void *arg, const struct nic_hop *hop)
{
	json_array_append_new(arg, hop_json(hop));
}

static int net_hops(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	json_t *hops;
	struct nic *nic;
	int ret = find_nic(opaque, request->id, &nic, err);

	if (ret)
		return ret;
	hops = json_array();
	nic_hops(nic, add_hop, hops);
	*reply = json_pack("{s:o, s:o}", "nic", api_nic_json(nic), "hops", hops);
	return 0;
}

static int net_link(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	struct nic *nic;
	int up, ret = control_unpack(request, err, "{s:b !}", "up", &up);

	if (!ret)
		ret = find_nic(opaque, request->id, &nic, err);
	return ret ? ret : nic_set_link(nic, up, err);
}

static int net_backend(void *opaque, const struct control_request *request, json_t **reply,
		       struct error *err)
{
	struct nic_switch result;
	char *text = NULL;
	struct nic *nic;
	int ret = find_nic(opaque, request->id, &nic, err);

	if (!ret)
		ret = api_net_text(request->body, &text, err);
	if (!ret)
		ret = nic_set_backend(nic, text, &result, err);
	free(text);
	if (ret)
		return ret;
	*reply = json_pack("{s:o, s:o, s:b, s:I, s:I, s:I}", "from", state_json(nic, &result.from),
			   "to", state_json(nic, &result.to), "moved", (int)result.moved,
			   "prepare_ns", (json_int_t)result.prepare_ns, "stop_ns",
			   (json_int_t)result.stop_ns, "start_ns", (json_int_t)result.start_ns);
	return 0;
}

static json_t *capture_json(const struct nic_capture_stats *stats, bool running)
{
	return json_pack("{s:b, s:I, s:I, s:b}", "running", (int)running, "packets",
			 (json_int_t)stats->packets, "lost", (json_int_t)stats->lost, "moved",
			 (int)stats->moved);
}

static int net_capture(void *opaque, const struct control_request *request, json_t **reply,
		       struct error *err)
{
	struct nic_capture_stats stats;
	struct nic_state state;
	struct nic *nic;
	int ret = find_nic(opaque, request->id, &nic, err);

	if (ret)
		return ret;
	nic_get_state(nic, &state);
	nic_capture_get_stats(nic, &stats);
	*reply = capture_json(&stats, state.capturing);
	return 0;
}

static int net_capture_start(void *opaque, const struct control_request *request, json_t **reply,
			     struct error *err)
{
	struct nic_capture what = {.fd = -1};
	struct nic *nic;
	int snaplen = 0;
	int ret = control_unpack(request, err, "{s:s, s?i !}", "path", &what.path, "snaplen",
				 &snaplen);

	if (ret)
		return ret;
	if (what.path[0] != '/')
		return error_set(err, -EINVAL, "path: is not absolute");
	if (snaplen < 0)
		return error_set(err, -EINVAL, "snaplen: is negative");
	what.snaplen = (uint32_t)snaplen;
	ret = find_nic(opaque, request->id, &nic, err);
	return ret ? ret : nic_capture_start(nic, &what, err);
}

static int net_capture_stop(void *opaque, const struct control_request *request, json_t **reply,
			    struct error *err)
{
	struct nic_capture_stats stats;
	struct nic *nic;
	int ret = find_nic(opaque, request->id, &nic, err);

	if (!ret)
		ret = nic_capture_stop(nic, &stats, err);
	if (!ret)
		*reply = capture_json(&stats, false);
	return ret;
}

static int vm_add_net(void *opaque, const struct control_request *request, json_t **reply,
		      struct error *err)
{
	const struct api *api = opaque;
	struct nic *nic;
	char *text, bdf[BDF_SIZE];
	int ret = api_net_text(request->body, &text, err);

	if (ret)
		return ret;
	ret = machine_add_nic(api->machine, text, &nic, err);
	free(text);
	if (!ret)
		*reply = json_pack("{s:s, s:s}", "id", nic->pci.id, "bdf", bdf_text(nic, bdf));
	return ret;
}

static int vm_remove_device(void *opaque, const struct control_request *request, json_t **reply,
			    struct error *err)
{
	const struct api *api = opaque;
	struct nic *nic;
	const char *id;
	int ret = control_unpack(request, err, "{s:s !}", "id", &id);

	if (!ret)
		ret = find_nic(api, id, &nic, err);
	return ret ? ret : machine_remove_nic(api->machine, nic, err);
}

const struct control_command api_net_commands[] = {
	{"PUT", "/api/v1/vm.add-net", vm_add_net},
	{"PUT", "/api/v1/vm.remove-device", vm_remove_device},
	{"GET", "/api/v1/net", net_list},
	{"GET", "/api/v1/net/{id}", net_show},
	{"GET", "/api/v1/net/{id}/hops", net_hops},
	{"PUT", "/api/v1/net/{id}/link", net_link},
	{"PUT", "/api/v1/net/{id}/backend", net_backend},
	{"GET", "/api/v1/net/{id}/capture", net_capture},
	{"PUT", "/api/v1/net/{id}/capture", net_capture_start},
	{"DELETE", "/api/v1/net/{id}/capture", net_capture_stop},
	{0},
};
