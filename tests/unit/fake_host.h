/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKE_HOST_H
#define TESTS_FAKE_HOST_H

#include "bus/pci.h"
#include "mem/guest_mem.h"

/*
 * A machine without KVM: a bus_host that records, two buses, a PCI bus, some memory, and a loop
 * that the test runs. It does what KVM would, when told to: fake_write() lets ioeventfds take
 * a write, fake_pump() lets irqfds take their signals.
 */
#define FAKE_ECAM  0xb0000000ULL
#define FAKE_MEM32 0xc0000000ULL
#define FAKE_MEM64 0x800000000ULL
#define FAKE_RAM   (8 * MIB)

struct fake_irqfd {
	bool used;
	int fd;
	struct msi_msg msg;
};

struct fake_ioeventfd {
	bool used;
	enum bus_space space;
	uint64_t addr;
	unsigned len;
	int fd;
	bool by_value;
	uint64_t value;
};

struct fake_zone {
	bool used;
	enum bus_space space;
	uint64_t addr;
	unsigned len;
};

struct fake_map {
	bool used;
	uint64_t gpa, size;
	uint8_t *hva;
	bool readonly;
};

struct fake_posted {
	uint64_t addr, value;
	unsigned size;
};

struct fake_host {
	struct bus_host host; /* first */
	struct bus *mmio, *pio;
	struct pci_bus *pci;
	struct guest_mem *mem;
	pthread_mutex_t lock;
	pthread_mutex_t ring_lock; /* of taking what is posted and delivering it; before lock */

	bool no_irqfd, no_ioeventfd, no_coalesce;
	struct msi_msg sent[256];
	unsigned nsent; /* may be more than fit */
	struct fake_irqfd irqfds[128];
	struct fake_ioeventfd ioeventfds[128];
	struct fake_zone zones[16];
	struct fake_posted posted[128]; /* MMIO writes that wait in the ring */
	unsigned nposted;
	bool no_map;
	struct fake_map maps[8]; /* host memory in the guest: reads there do not leave it */
	bool lines[32];
	bool has_irqfd_line; /* … for one line at a time */
	unsigned line_gsi;
	int line_fd, line_resample; /* -1: none */
	unsigned vfio_files;
	unsigned line_changes;
};

void fake_host_init(struct fake_host *h);
void fake_host_fini(struct fake_host *h);

/** An MMIO access as a vCPU makes it; a write may be taken by an ioeventfd, or be posted. */
void fake_write(struct fake_host *h, uint64_t addr, uint64_t value, unsigned size);
uint64_t fake_read(struct fake_host *h, uint64_t addr, unsigned size);

/** Config space of slot.function through ECAM. */
uint32_t fake_config_read(struct fake_host *h, unsigned slot, unsigned reg, unsigned size);
void fake_config_write(struct fake_host *h, unsigned slot, unsigned reg, unsigned size,
		       uint32_t value);

/** Lets irqfds inject, then runs what the loop has to do. */
void fake_pump(struct fake_host *h);

unsigned fake_irqfds(const struct fake_host *h);
unsigned fake_ioeventfds(const struct fake_host *h);
/** The host memory mapped there, or NULL. */
const uint8_t *fake_mapped(struct fake_host *h, uint64_t addr, unsigned size);
/** Whether writes there are posted. */
bool fake_is_posted(struct fake_host *h, uint64_t addr, unsigned size);

/** Messages sent with this data so far. */
unsigned fake_sent(const struct fake_host *h, uint32_t data);

#endif
