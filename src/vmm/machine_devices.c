/* SPDX-License-Identifier: Apache-2.0 */
/* What sits on the machine's buses. */
#include "vmm/hw.h"
#include "vmm/machine_internal.h"
#include "device/vfio_pci.h"
#include "base/log.h"

#include <errno.h>

static int add_platform(struct machine *m, const struct platform_events *events, struct error *err)
{
	const struct ports_config ports = {.keyboard = HW_KBD_PORT, .pvpanic = HW_PVPANIC_PORT};
	const struct hotplug_events hotplug = {.ejected = machine_ejected, .opaque = m};
	struct bus_host *host = &m->vm->host;
	struct bus *pio = m->vm->pio;
	struct serial_line line;
	int ret;

	console_line(m->console, &line);
	ret = serial_create(host, pio, HW_COM1_PORT, HW_COM1_GSI, &line, &m->serial, err);
	if (!ret)
		ret = rtc_create(host, pio, HW_RTC_PORT, HW_RTC_GSI, &m->rtc, err);
	if (!ret)
		ret = pm_create(host, pio, HW_PM_PORT, HW_SCI_GSI, events, &m->pm, err);
	if (!ret)
		ret = ports_create(pio, &ports, events, &m->ports, err);
	if (!ret)
		ret = hotplug_create(host, pio, HW_HOTPLUG_PORT, HW_HOTPLUG_GSI, &hotplug,
				     &m->hotplug, err);
	return ret;
}

static int add_pci(struct machine *m, struct error *err)
{
	const struct pci_windows windows = {
		.ecam_base = HW_ECAM_BASE,
		.mem32_base = HW_MEM32_BASE,
		.mem32_size = HW_MEM32_SIZE,
		.mem64_base = m->mem64_base,
		.mem64_size = m->mem64_size,
		.io_base = HW_PCI_IO_BASE,
		.io_size = HW_PCI_IO_SIZE,
		.intx_gsi = {HW_INTA_GSI, HW_INTB_GSI, HW_INTC_GSI, HW_INTD_GSI},
		.reset_ops = &ports_reset_ops,
		.reset_opaque = m->ports,
	};

	m->pci = pci_bus_create(&m->vm->host, m->vm->mmio, m->vm->pio, &windows, err);
	return m->pci ? 0 : -ENOMEM;
}

struct disk *machine_disk(struct machine *m, unsigned index)
{
	return index < m->ndisks ? m->disks[index] : NULL;
}

bool machine_id_taken(const struct machine *m, const char *id)
{
	for (unsigned i = 0; i < m->ndisks; i++)
		if (!strcmp(m->disks[i]->id, id))
			return true;
	return pci_bus_find(m->pci, id);
}

static enum machine_result add_disk(struct machine *m, unsigned index, struct error *err)
{
	struct pci_dev *pci = NULL;
	struct disk *disk;
	int ret = disk_create(m->config->disks[index], index, &m->disk_home, &disk, &pci, err);

	if (ret)
		return ret == -EINVAL || ret == -ERANGE ? MACHINE_USAGE : MACHINE_HOST;
	if (machine_id_taken(m, disk->id))
		ret = error_set(err, -EEXIST,
				"--disk %s: another device has this id already: give each its own "
				"with id=",
				disk->id);
	else if (pci)
		ret = pci_bus_add(m->pci, pci, PCI_SLOT_ANY, 0, err);
	if (!ret) {
		m->disks[m->ndisks++] = disk;
		return MACHINE_OFF;
	}
	if (pci)
		pci->ops->destroy(pci);
	return ret == -EEXIST ? MACHINE_USAGE : MACHINE_FAILED;
}

static enum machine_result add_device(struct machine *m, unsigned index, struct error *err)
{
	struct pci_dev *dev;
	int ret = vfio_pci_from_option(m->config->devices[index], index, &m->vm->host, m->mem,
				       m->loop, &dev, err);

	if (ret)
		return ret == -EINVAL ? MACHINE_USAGE : MACHINE_HOST;
	if (pci_bus_find(m->pci, dev->id))
		ret = error_set(
			err, -EEXIST,
			"--device %s: another device has this id already: give each its own "
			"with id=",
			dev->id);
	else
		ret = pci_bus_add(m->pci, dev, PCI_SLOT_ANY, 0, err);
	if (!ret)
		return MACHINE_OFF;
	dev->ops->destroy(dev);
	return ret == -EEXIST ? MACHINE_USAGE : MACHINE_FAILED;
}

/*
 * Port writes that may wait for the next exit: characters to send (a driver that waits for them to
 * be gone reads a register, which is an exit), and the clock's index register, which does nothing
 * until the data register is accessed. Not PCI's address register, though it is of the same kind:
 * it has the reset control register inside, and a guest does not come back from writing that.
 */
static void batch_writes(struct machine *m)
{
	static const struct {
		uint16_t port, size;
	} zones[] = {{HW_COM1_PORT, 1}, {HW_RTC_PORT, 1}};

	for (unsigned i = 0; i < ARRAY_SIZE(zones); i++) {
		int ret = vm_coalesce(&m->vm->host, true, BUS_PIO, zones[i].port, zones[i].size);

		if (ret)
			log_debug("port %#x: writes are not batched: %s", zones[i].port,
				  error_name(ret));
	}
}

enum machine_result machine_add_devices(struct machine *m, const struct platform_events *events,
					struct error *err)
{
	enum machine_result result;

	if (add_platform(m, events, err) || add_pci(m, err))
		return MACHINE_FAILED;
	batch_writes(m);
	result = machine_add_nics(m, err);
	m->disk_home = (struct disk_home){
		.host = &m->vm->host, .mem = m->mem, .loop = m->loop, .pio = m->vm->pio};
	for (unsigned i = 0; i < m->config->ndisks && result == MACHINE_OFF; i++)
		result = add_disk(m, i, err);
	for (unsigned i = 0; i < m->config->ndevices && result == MACHINE_OFF; i++)
		result = add_device(m, i, err);
	return result;
}

void machine_reset_devices(struct machine *m)
{
	machine_reset_nics(m);
	pci_bus_reset(m->pci);
	serial_reset(m->serial);
	rtc_reset(m->rtc);
	pm_reset(m->pm);
}

void machine_remove_devices(struct machine *m)
{
	m->nics = NULL;
	if (m->pci)
		pci_bus_destroy(m->pci);
	hotplug_destroy(m->hotplug);
	ports_destroy(m->ports);
	pm_destroy(m->pm);
	rtc_destroy(m->rtc);
	if (m->console)
		console_attach(m->console, NULL);
	serial_destroy(m->serial);
}
