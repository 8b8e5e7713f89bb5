// SPDX-License-Identifier: Apache-2.0
#include "device/e1000_model.h"
#include "device/i82559_model.h"
#include "device/nic.h"
#include "device/rtl8139_model.h"
#include "device/vfio_pci.h"
#include "device/virtio_net.h"

/* In the order of the usage text; the first is the default. */
const struct nic_ops *const nic_table[] = {
	&virtio_net_ops,  &e1000_nic_ops,    &rtl8139_nic_ops,
	&i82559c_nic_ops, &vfio_pci_nic_ops, NULL,
};

const struct nic_ops *nic_find(const char *name)
{
	for (unsigned i = 0; nic_table[i]; i++)
		if (!strcmp(nic_table[i]->name, name))
			return nic_table[i];
	return NULL;
}
