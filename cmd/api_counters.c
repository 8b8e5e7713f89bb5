/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of all NICs: for vm.counters as flat names, for /metrics as families. */
#include "api.h"

#include "device/nic.h"

#include <stdio.h>

struct totals {
	const char *tx, *rx; /* hops that count what the guest sent and got */
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
};

/* What the guest sent is what the first hop took in that counts, what it got the last passed on. */
static void find_totals(void *arg, const struct nic_hop *hop)
{
	struct totals *t = arg;

	if (!hop->counted)
		return;
	if (hop->direction == NIC_RX)
		t->rx = hop->name;
	else if (!t->tx)
		t->tx = hop->name;
}

static void add_totals(void *arg, const struct nic_hop *hop)
{
	struct totals *t = arg;

	if (!hop->counted)
		return;
	if (hop->direction == NIC_TX && !strcmp(hop->name, t->tx)) {
		t->tx_frames += hop->frames_in;
		t->tx_bytes += hop->bytes_in;
	}
	if (hop->direction == NIC_RX && !strcmp(hop->name, t->rx)) {
		t->rx_frames += hop->frames_out;
		t->rx_bytes += hop->bytes_out;
	}
}

static void set(json_t *json, const struct nic_hop *hop, const char *name, uint64_t value)
{
	char key[128];

	if (hop->queue < 0)
		snprintf(key, sizeof(key), "%s_%s_%s", hop->direction == NIC_TX ? "tx" : "rx",
			 hop->name, name);
	else
		snprintf(key, sizeof(key), "%s%d_%s_%s", hop->direction == NIC_TX ? "tx" : "rx",
			 hop->queue, hop->name, name);
	json_object_set_new(json, key, json_integer((json_int_t)value));
}

static void set_hop(void *arg, const struct nic_hop *hop)
{
	char name[64];

	if (hop->counted) {
		set(arg, hop, "frames_in", hop->frames_in);
		set(arg, hop, "bytes_in", hop->bytes_in);
		set(arg, hop, "frames_out", hop->frames_out);
		set(arg, hop, "bytes_out", hop->bytes_out);
	}
	for (unsigned i = 0; i < hop->ndrops; i++) {
		snprintf(name, sizeof(name), "dropped_%s", hop->drops[i].cause);
		set(arg, hop, name, hop->drops[i].count);
	}
	for (unsigned i = 0; i < hop->nmore; i++)
		set(arg, hop, hop->more[i].name, hop->more[i].value);
}

json_t *api_nic_counters(struct nic *nic)
{
	struct totals t = {0};
	json_t *json;

	nic_hops(nic, find_totals, &t);
	nic_hops(nic, add_totals, &t);
	json = json_pack("{s:I, s:I, s:I, s:I}", "tx_frames", (json_int_t)t.tx_frames, "tx_bytes",
			 (json_int_t)t.tx_bytes, "rx_frames", (json_int_t)t.rx_frames, "rx_bytes",
			 (json_int_t)t.rx_bytes);
	nic_hops(nic, set_hop, json);
	return json;
}

/* A family of metrics, which one walk over the hops of all NICs writes. */
struct family {
	const char *name, *type, *help;
	void (*samples)(struct control_metrics *out, const char *nic, const char *queue,
			const struct nic_hop *hop);
};

#define HOP_LABELS                                                                              \
	"nic", nic, "direction", hop->direction == NIC_TX ? "tx" : "rx", "queue", queue, "hop", \
		hop->name

static void frames(struct control_metrics *out, const char *nic, const char *queue,
		   const struct nic_hop *hop)
{
	if (!hop->counted)
		return;
	control_metric_sample(out, hop->frames_in, HOP_LABELS, "side", "in", CONTROL_LABELS_END);
	control_metric_sample(out, hop->frames_out, HOP_LABELS, "side", "out", CONTROL_LABELS_END);
}

static void bytes(struct control_metrics *out, const char *nic, const char *queue,
		  const struct nic_hop *hop)
{
	if (!hop->counted)
		return;
	control_metric_sample(out, hop->bytes_in, HOP_LABELS, "side", "in", CONTROL_LABELS_END);
	control_metric_sample(out, hop->bytes_out, HOP_LABELS, "side", "out", CONTROL_LABELS_END);
}

static void drops(struct control_metrics *out, const char *nic, const char *queue,
		  const struct nic_hop *hop)
{
	for (unsigned i = 0; i < hop->ndrops; i++)
		control_metric_sample(out, hop->drops[i].count, HOP_LABELS, "cause",
				      hop->drops[i].cause, CONTROL_LABELS_END);
}

static void more(struct control_metrics *out, const char *nic, const char *queue,
		 const struct nic_hop *hop)
{
	for (unsigned i = 0; i < hop->nmore; i++)
		control_metric_sample(out, hop->more[i].value, HOP_LABELS, "what",
				      hop->more[i].name, CONTROL_LABELS_END);
}

static const struct family families[] = {
	{"viaduct_net_frames_total", "counter", "frames that a hop took in and passed on", frames},
	{"viaduct_net_bytes_total", "counter", "their bytes", bytes},
	{"viaduct_net_drops_total", "counter", "frames that a hop dropped, by cause", drops},
	{"viaduct_net_hop", "gauge", "what else a hop counts", more},
};

struct sampling {
	struct control_metrics *out;
	const struct family *family;
	const char *nic;
};

static void sample_hop(void *arg, const struct nic_hop *hop)
{
	const struct sampling *s = arg;
	char queue[12] = "all";

	if (hop->queue >= 0)
		snprintf(queue, sizeof(queue), "%d", hop->queue);
	s->family->samples(s->out, s->nic, queue, hop);
}

static void link_metrics(struct api *api, struct control_metrics *out)
{
	struct nic_state state;

	control_metric_begin(out, "viaduct_net_link", "gauge", "1 while the guest's link is up");
	for (struct nic *nic = machine_nics(api->machine); nic; nic = nic->next) {
		nic_get_state(nic, &state);
		control_metric_sample(out, state.admin_up && state.carrier, "nic", nic->pci.id,
				      "model", nic->nic_ops->name, "backend", state.backend,
				      "plane", state.plane, CONTROL_LABELS_END);
	}
}

void api_net_metrics(struct api *api, struct control_metrics *out)
{
	struct sampling s = {.out = out};

	link_metrics(api, out);
	for (unsigned i = 0; i < ARRAY_SIZE(families); i++) {
		s.family = &families[i];
		control_metric_begin(out, s.family->name, s.family->type, s.family->help);
		for (struct nic *nic = machine_nics(api->machine); nic; nic = nic->next) {
			s.nic = nic->pci.id;
			nic_hops(nic, sample_hop, &s);
		}
	}
}
