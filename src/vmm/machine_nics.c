/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's NICs: those it starts with, and those plugged in and out while it runs.
 *
 * Theory of operation. A NIC that is added is on the PCI bus at once; the guest's ACPI code is told
 * to look at its slot. To take one out the guest is asked to let go of it; when its driver has, the
 * ACPI code writes the slot to the eject register. That vCPU then stands still (vcpus_hold()) until
 * the main loop has taken the device off the bus, with no vCPU in any handler, so that the guest
 * finds it gone when its write returns. A guest that never lets go keeps the NIC, until the next
 * reset.
 */
#include "vmm/machine_internal.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>

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

static void list_nic(struct machine *m, struct nic *nic)
{
	struct nic **at = &m->nics;

	nic->observer = &m->nic_observer;
	while (*at)
		at = &(*at)->next;
	*at = nic;
}

static void unlist_nic(struct machine *m, struct nic *nic)
{
	struct nic **at = &m->nics;

	while (*at && *at != nic)
		at = &(*at)->next;
	if (*at)
		*at = nic->next;
	nic->observer = NULL;
}

static int create_nic(struct machine *m, const char *text, unsigned index, struct nic **out,
		      struct error *err)
{
	struct nic *nic;
	int ret = nic_create(text, index, &m->vm->host, m->mem, m->loop, &nic, err);

	if (ret)
		return ret;
	if (machine_id_taken(m, nic->pci.id))
		ret = error_set(err, -EEXIST,
				"--net %s: another device has this id already: give each its own "
				"with id=",
				nic->pci.id);
	else
		ret = pci_bus_add(m->pci, &nic->pci, PCI_SLOT_ANY, 0, err);
	if (ret) {
		nic->pci.ops->destroy(&nic->pci);
		return ret;
	}
	list_nic(m, nic);
	*out = nic;
	return 0;
}

enum machine_result machine_add_nics(struct machine *m, struct error *err)
{
	for (unsigned i = 0; i < m->config->nnets; i++) {
		struct nic *nic;

		switch (create_nic(m, m->config->nets[i], i, &nic, err)) {
		case 0:
			break;
		case -EINVAL: /* a wrong option is the user's to correct, all else the host's */
		case -ERANGE:
		case -EBADF:
		case -EEXIST:
			return MACHINE_USAGE;
		default:
			return MACHINE_HOST;
		}
	}
	return MACHINE_OFF;
}

/* The first number whose default id, "net<N>", is not in use. */
static unsigned free_index(struct machine *m)
{
	unsigned index = 0;
	char id[16];

	do {
		snprintf(id, sizeof(id), "net%u", index);
	} while (machine_id_taken(m, id) && index++ < 1000);
	return index;
}

int machine_add_nic(struct machine *m, const char *text, struct nic **out, struct error *err)
{
	int ret = create_nic(m, text, free_index(m), out, err);
	struct pci_dev *pci;

	if (ret)
		return ret;
	pci = &(*out)->pci;
	if (m->paused && pci->ops->pause)
		pci->ops->pause(pci, true);
	hotplug_added(m->hotplug, pci->slot);
	log_info("%s: plugged in at 00:%02x.0", pci->id, pci->slot);
	machine_notify(m, "device-added", pci->id, "%s at 00:%02x.0", (*out)->nic_ops->name,
		       pci->slot);
	return 0;
}

int machine_remove_nic(struct machine *m, struct nic *nic, struct error *err)
{
	hotplug_remove(m->hotplug, nic->pci.slot);
	log_info("%s: the guest is asked to let go of it", nic->pci.id);
	return 0;
}

/* No vCPU is in a handler. */
static void take_out(struct machine *m, uint32_t slots)
{
	struct nic *nic, *next;
	char id[sizeof(nic->pci.id)];

	hotplug_gone(m->hotplug, slots);
	for (nic = m->nics; nic; nic = next) {
		next = nic->next;
		if (!(slots >> nic->pci.slot & 1))
			continue;
		snprintf(id, sizeof(id), "%s", nic->pci.id);
		unlist_nic(m, nic);
		pci_bus_remove(m->pci, &nic->pci);
		log_info("%s: taken out", id);
		machine_notify(m, "device-removed", id, "the guest has let go of it");
	}
}

static void act_ejected(void *arg)
{
	struct machine *m = arg;

	vcpus_pause(m->vm);
	vm_coalesced_drain(m->vm);
	take_out(m, atomic_exchange(&m->ejected, 0));
	vcpus_resume(m->vm);
}

void machine_ejected(void *opaque, uint32_t slots)
{
	struct machine *m = opaque;

	vcpus_hold();
	if (!atomic_fetch_or(&m->ejected, slots) && loop_post(m->loop, act_ejected, m))
		loop_stop(m->loop);
}

void machine_reset_nics(struct machine *m)
{
	atomic_store(&m->ejected, 0);
	take_out(m, hotplug_reset(m->hotplug));
}
