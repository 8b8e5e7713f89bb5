/* SPDX-License-Identifier: Apache-2.0 */
/* The usage text: printed from the tables that the parsers use, so that it cannot lag behind. */
#include "cmdline.h"

#include "dataplane/plane.h"
#include "device/disk.h"
#include "device/nic.h"
#include "device/vfio_pci.h"
#include "hostnet/hostnet.h"

#include <stdio.h>

void cmdline_help(void)
{
	char head[128];

	printf("usage: viaduct --kernel FILE [OPTION...]\n"
	       "Runs a Linux guest on KVM. docs/viaduct.1 has the whole story.\n\n");
	args_help(cmdline_options);
	args_keys("--net", "keys of every NIC", nic_common_keys);
	for (const struct nic_ops *const *nic = nic_table; *nic; nic++) {
		snprintf(head, sizeof(head), "--net model=%s", (*nic)->name);
		args_keys(head, (*nic)->help, (*nic)->keys);
	}
	args_keys("--device", "any PCI device of the host, passed through", vfio_pci_device_keys);
	for (const struct hostnet_ops *const *hn = hostnet_table; *hn; hn++) {
		snprintf(head, sizeof(head), "--net backend=%s", (*hn)->name);
		args_keys(head, (*hn)->help, (*hn)->keys);
	}
	for (const struct plane_ops *const *plane = plane_table; *plane; plane++) {
		if (!(*plane)->keys)
			continue;
		snprintf(head, sizeof(head), "--net planes=%s", (*plane)->name);
		args_keys(head, (*plane)->help, (*plane)->keys);
	}
	args_keys("--disk", "keys of every disk", disk_common_keys);
	args_keys("--disk", "the image", block_common_keys);
	for (const struct disk_ops *const *disk = disk_table; *disk; disk++) {
		snprintf(head, sizeof(head), "--disk model=%s", (*disk)->name);
		args_keys(head, (*disk)->help, (*disk)->keys);
	}
	for (const struct block_ops *const *block = block_table; *block; block++) {
		snprintf(head, sizeof(head), "--disk %s", (*block)->asked);
		args_keys(head, (*block)->help, (*block)->keys);
	}
	printf("\nExit status: 0 the guest powered off, 2 bad command line, 3 this host cannot do "
	       "it,\n4 the guest crashed, 1 anything else.\n");
}
