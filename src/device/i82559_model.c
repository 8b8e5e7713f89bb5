/* SPDX-License-Identifier: Apache-2.0 */
/* The model table's entry: options and link. */
#include "device/i82559.h"
#include "device/i82559_model.h"

static const struct option_key keys[] = {NIC_CHIP_KEYS, {0}};

static int create(const struct nic_params *params, struct nic **out, struct error *err)
{
	struct nic_chip_setup setup;
	int ret = nic_chip_options(params, &setup, err);

	if (!ret) {
		ret = i82559_create(&setup, out, err);
		if (ret)
			setup.hn->ops->close(setup.hn);
	}
	return ret;
}

static int set_link(struct nic *nic, bool up)
{
	struct i82559 *i = i82559_of(&nic->pci);

	nic_chip_cable(&i->chip, up);
	pthread_mutex_lock(&i->chip.lock);
	(void)mii_set_cable(&i->phy, up);
	i82559_update_link(i);
	pthread_mutex_unlock(&i->chip.lock);
	return 0;
}

const struct nic_ops i82559c_nic_ops = {
	.name = "i82559c",
	.help = "Intel 82559C, emulated",
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
