/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_machine.h"

#include "base/options.h"
#include "device/nic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct machine {
	struct nic *nics;
	unsigned nnics, added;
	bool paused, ended;
	struct machine_config config;
	const struct machine_observer *observer;
};

static int set_link(struct nic *nic, bool up)
{
	return 0;
}

static void state(struct nic *nic, struct nic_state *out)
{
	snprintf(out->backend, sizeof(out->backend), "none");
	snprintf(out->plane, sizeof(out->plane), "fake");
	out->queue_pairs = 1;
}

static void hops(struct nic *nic, nic_hop_fn *fn, void *arg)
{
	const struct nic_hop tx = {.name = "plane",
				   .what = "a fake",
				   .direction = NIC_TX,
				   .counted = true,
				   .frames_in = 3,
				   .frames_out = 2,
				   .ndrops = 1,
				   .drops = {{"full", "there was no room", 1}},
				   .nmore = 1,
				   .more = {{"kicks", 7}}};
	const struct nic_hop rx = {.name = "ring",
				   .what = "a fake",
				   .direction = NIC_RX,
				   .queue = -1,
				   .last_drop = -1,
				   .unknown = "everything"};

	fn(arg, &tx);
	fn(arg, &rx);
}

static int set_backend(struct nic *nic, const char *backend, const struct options *opts,
		       struct nic_switch *result, struct error *err)
{
	return backend ? 0 : error_set(err, -EINVAL, "no backend");
}

static int capture_start(struct nic *nic, const struct nic_capture *what, struct error *err)
{
	return what->path && what->path[0] == '/' ? 0 : error_set(err, -EINVAL, "no path");
}

static int capture_stop(struct nic *nic, struct nic_capture_stats *stats, struct error *err)
{
	return 0;
}

static const struct nic_ops ops = {
	.name = "virtio-net", /* whose back-ends' keys are known */
	.set_link = set_link,
	.state = state,
	.hops = hops,
	.set_backend = set_backend,
	.capture_start = capture_start,
	.capture_stop = capture_stop,
};

int machine_add_nic(struct machine *m, const char *text, struct nic **out, struct error *err)
{
	struct options opts;
	struct nic *nic;
	int ret = options_parse(&opts, text, err);

	options_free(&opts);
	if (ret)
		return ret;
	if (m->nnics == FAKE_NICS_MAX)
		return error_set(err, -ENOSPC, "all PCI slots are taken");
	nic = calloc(1, sizeof(*nic));
	if (!nic)
		return error_set(err, -ENOMEM, "out of memory");
	snprintf(nic->pci.id, sizeof(nic->pci.id), "net%u", m->added++);
	nic->nic_ops = &ops;
	nic->next = m->nics;
	m->nics = nic;
	m->nnics++;
	*out = nic;
	return 0;
}

int machine_remove_nic(struct machine *m, struct nic *nic, struct error *err)
{
	struct nic **at = &m->nics;

	while (*at != nic)
		at = &(*at)->next;
	*at = nic->next;
	m->nnics--;
	free(nic);
	return 0;
}

struct disk *machine_disk(struct machine *m, unsigned index)
{
	return NULL;
}

struct nic *machine_nics(struct machine *m)
{
	return m->nics;
}

struct nic *machine_nic(struct machine *m, const char *id)
{
	struct nic *nic = m->nics;

	while (nic && strcmp(nic->pci.id, id) != 0)
		nic = nic->next;
	return nic;
}

static int set_paused(struct machine *m, bool paused, struct error *err)
{
	if (m->paused == paused)
		return error_set(err, -EALREADY, "it is so already");
	m->paused = paused;
	if (m->observer)
		m->observer->event(m->observer->opaque, "paused", NULL, "a fake");
	return 0;
}

int machine_pause(struct machine *m, struct error *err)
{
	return set_paused(m, true, err);
}

int machine_resume(struct machine *m, struct error *err)
{
	return set_paused(m, false, err);
}

int machine_reboot(struct machine *m, struct error *err)
{
	return 0;
}

bool machine_power_button(struct machine *m)
{
	return true;
}

void machine_end(struct machine *m, enum machine_result result)
{
	m->ended = true;
}

void machine_observe(struct machine *m, const struct machine_observer *observer)
{
	m->observer = observer;
}

void machine_get_state(const struct machine *m, struct machine_state *out)
{
	*out = (struct machine_state){.paused = m->paused, .config = &m->config};
}

struct machine *fake_machine_create(void)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct nic *nic;

	if (!m)
		return NULL;
	m->config = (struct machine_config){
		.kernel = "kernel", .cmdline = "", .cpus = 1, .memory = 64 * MIB};
	if (machine_add_nic(m, "", &nic, NULL)) {
		free(m);
		return NULL;
	}
	return m;
}

void fake_machine_destroy(struct machine *m)
{
	if (!m)
		return;
	while (m->nics)
		machine_remove_nic(m, m->nics, NULL);
	free(m);
}

bool fake_machine_ended(const struct machine *m)
{
	return m->ended;
}
