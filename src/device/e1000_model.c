/* SPDX-License-Identifier: Apache-2.0 */
/* The model table's entry: options and link. */
#include "device/e1000.h"
#include "device/e1000_model.h"

static const struct option_key keys[] = {
	{"fcs", "on|off", "put real frame check sequences behind received frames (off)"},
	{"moderation", "on|off",
	 "report sent frames later than the driver asks, if it has time (on)"},
	{"post", "on|off", "let the kernel collect register writes that can wait (on)"},
	{"worker-cpu", "CPU", "the CPU of the thread that moves the frames (any)"},
	{0},
};

static int create(const struct nic_params *params, struct nic **out, struct error *err)
{
	const char *text = options_get(params->opts, "moderation");
	struct nic_chip_setup setup;
	bool moderate = true;
	int ret = 0;

	if (text)
		ret = option_bool("moderation", text, &moderate, err);
	if (!ret)
		ret = nic_chip_options(params, &setup, err);
	if (!ret) {
		ret = e1000_create(&setup, moderate, out, err);
		if (ret)
			setup.hn->ops->close(setup.hn);
	}
	return ret;
}

static int set_link(struct nic *nic, bool up)
{
	struct e1000 *e = e1000_of(&nic->pci);

	nic_chip_cable(&e->chip, up);
	pthread_mutex_lock(&e->chip.lock);
	e1000_update_link(e, mii_set_cable(&e->phy, up));
	pthread_mutex_unlock(&e->chip.lock);
	return 0;
}

const struct nic_ops e1000_nic_ops = {
	.name = "e1000",
	.help = "Intel 82540EM, emulated",
	.keys = keys,
	.create = create,
	.set_link = set_link,
	.counters = nic_chip_counters,
	.state = nic_chip_state,
	.hops = nic_chip_hops,
	.set_backend = nic_chip_set_backend,
	.capture_start = nic_chip_capture_start,
	.capture_stop = nic_chip_capture_stop,
	.capture_stats = nic_chip_capture_stats,
};
