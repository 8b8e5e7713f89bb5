/* SPDX-License-Identifier: Apache-2.0 */
/* The model table's entry: options and link. */
#include "device/rtl8139.h"
#include "device/rtl8139_model.h"

static const struct option_key keys[] = {
	{"cplus", "on|off", "be the RTL8139C+, with descriptor rings; off: the RTL8139C (on)"},
	NIC_CHIP_KEYS,
	{0},
};

static int create(const struct nic_params *params, struct nic **out, struct error *err)
{
	const char *text = options_get(params->opts, "cplus");
	struct nic_chip_setup setup;
	bool cplus = true;
	int ret = 0;

	if (text)
		ret = option_bool("cplus", text, &cplus, err);
	if (!ret)
		ret = nic_chip_options(params, &setup, err);
	if (!ret) {
		ret = rtl8139_create(&setup, cplus, out, err);
		if (ret)
			setup.hn->ops->close(setup.hn);
	}
	return ret;
}

static int set_link(struct nic *nic, bool up)
{
	struct rtl8139 *r = rtl8139_of(&nic->pci);

	nic_chip_cable(&r->chip, up);
	pthread_mutex_lock(&r->chip.lock);
	rtl8139_update_link(r, mii_set_cable(&r->phy, up));
	pthread_mutex_unlock(&r->chip.lock);
	return 0;
}

const struct nic_ops rtl8139_nic_ops = {
	.name = "rtl8139",
	.help = "Realtek RTL8139C+, emulated",
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
