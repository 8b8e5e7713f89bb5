/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIRTIO_VIRTIO_PCI_H
#define VIRTIO_VIRTIO_PCI_H

#include "bus/pci.h"
#include "virtio/virtio.h"

/*
 * virtio over PCI (virtio 1.2, 4.1), modern devices only. All structures are in one 64-bit BAR;
 * MSI-X has another. A device model embeds a struct pci_dev and a struct virtio_pci beside its
 * struct virtio_dev; the PCI function's ops are this transport's, and destroying it calls
 * virtio_ops.destroy, which ends with virtio_pci_fini() and virtio_fini().
 */
#define VPCI_BAR	4
#define VPCI_MSIX_BAR	1
#define VPCI_BAR_SIZE	0x4000 /* at least */
#define VPCI_COMMON	0x0000
#define VPCI_ISR	0x1000
#define VPCI_DEVICE	0x2000
#define VPCI_NOTIFY	0x3000
#define VPCI_MULTIPLIER 4
#define VPCI_PAGE	4096 /* the multiplier with page_doorbells */

/* struct virtio_pci_common_cfg (4.1.4.3): offsets. */
enum {
	VPCI_COMMON_DFSELECT = 0x00,
	VPCI_COMMON_DF = 0x04,
	VPCI_COMMON_GFSELECT = 0x08,
	VPCI_COMMON_GF = 0x0c,
	VPCI_COMMON_MSIX = 0x10,
	VPCI_COMMON_NUMQ = 0x12,
	VPCI_COMMON_STATUS = 0x14,
	VPCI_COMMON_CFGGENERATION = 0x15,
	VPCI_COMMON_Q_SELECT = 0x16,
	VPCI_COMMON_Q_SIZE = 0x18,
	VPCI_COMMON_Q_MSIX = 0x1a,
	VPCI_COMMON_Q_ENABLE = 0x1c,
	VPCI_COMMON_Q_NOFF = 0x1e,
	VPCI_COMMON_Q_DESC = 0x20,
	VPCI_COMMON_Q_DRIVER = 0x28,
	VPCI_COMMON_Q_DEVICE = 0x30,
	VPCI_COMMON_Q_NDATA = 0x38,
	VPCI_COMMON_Q_RESET = 0x3a,
	VPCI_COMMON_SIZE = 0x3c,
};

#define VPCI_ISR_QUEUE	1
#define VPCI_ISR_CONFIG 2

/** Somebody's page at the place of a doorbell. */
struct vpci_page {
	void *hva;	   /* NULL: none */
	uint64_t in_guest; /* where it is mapped; 0: it is not */
};

static inline unsigned vpci_multiplier(bool page_doorbells)
{
	return page_doorbells ? VPCI_PAGE : VPCI_MULTIPLIER;
}

struct virtio_pci {
	struct pci_dev *pci;
	struct virtio_dev *vdev;
	unsigned cfg_cap; /* the pci-cfg access capability's offset */

	/*
	 * Each queue's doorbell is in a page of its own, which another's memory can take the place
	 * of (virtio_transport.queue_doorbell). To be set before virtio_pci_init().
	 */
	bool page_doorbells;

	/* Under vdev->lock. */
	uint32_t device_select, driver_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint8_t isr;

	/* INTx: the call eventfds in an epoll set that the main loop watches. */
	int epoll_fd;
	struct loop_fd watch;

	/* Kicks: which queues have an ioeventfd, where. Under pci->lock. */
	uint64_t notify_addr; /* 0: not mapped */
	bool *ioeventfds;

	/* Pages in doorbells' places, with page_doorbells. The lock comes after pci->lock. */
	pthread_mutex_t pages_lock;
	struct vpci_page *pages;
	bool pages_mapped; /* the BAR is there to map them into */
};

/**
 * Makes pci (zeroed but for id and host) the function of vdev, whose queues are there already:
 * config space, BARs, interrupts. class_code: 24 bits. 0 or negative errno.
 */
int virtio_pci_init(struct virtio_pci *vp, struct pci_dev *pci, struct virtio_dev *vdev,
		    uint32_t class_code, struct error *err);
/** Undoes it; harmless after a failed init. */
void virtio_pci_fini(struct virtio_pci *vp);

#endif
