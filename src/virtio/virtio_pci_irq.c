// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-pci's interrupts.
 *
 * With MSI-X a queue's call eventfd is bound to the vector that the driver chose, and an interrupt
 * is nothing to this process. Without, the main loop watches all call eventfds; a signal sets the
 * ISR's queue bit and raises INTx, and reading the ISR lowers it (virtio 1.2, 4.1.4.5 and 4.1.5.3).
 * Which of the two holds is MSI-X's enable bit alone. The watch is an epoll set of its own, because
 * vCPUs change it and the loop's own set is for the loop's thread.
 */
#include "virtio/virtio_pci_internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "bus/msix.h"
#include "virtio/transport.h"

/* vdev->lock is held. */
static void raise_intx(struct virtio_pci *vp, uint8_t bit)
{
	vp->isr |= bit;
	pci_dev_intx(vp->pci, true);
}

static void calls_ready(struct loop_fd *watch, uint32_t mask)
{
	struct virtio_pci *vp = watch->opaque;
	struct epoll_event events[16];
	int n = epoll_wait(vp->epoll_fd, events, ARRAY_SIZE(events), 0);

	pthread_mutex_lock(&vp->vdev->lock);
	for (int i = 0; i < n; i++) {
		eventfd_t count;

		/* Reported just before MSI-X went on: the signal is its. */
		if (msix_enabled(vp->pci))
			break;
		if (!eventfd_read(vp->vdev->queues[events[i].data.u32].call_fd, &count))
			raise_intx(vp, VPCI_ISR_QUEUE);
	}
	pthread_mutex_unlock(&vp->vdev->lock);
}

void virtio_pci_irq_mode(struct virtio_pci *vp, bool msix)
{
	struct virtio_dev *vdev = vp->vdev;

	for (unsigned i = 0; i < vdev->nqueues; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};

		if (epoll_ctl(vp->epoll_fd, msix ? EPOLL_CTL_DEL : EPOLL_CTL_ADD,
			      vdev->queues[i].call_fd, &event) &&
		    errno != EEXIST && errno != ENOENT)
			log_warn("%s: cannot watch the calls of queue %u: %s", vdev->id, i,
				 error_name(errno));
	}
}

int virtio_pci_irq_init(struct virtio_pci *vp, struct error *err)
{
	struct virtio_dev *vdev = vp->vdev;
	int ret;

	vp->config_vector = VIRTIO_NO_VECTOR;
	vp->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (vp->epoll_fd < 0)
		return error_set(err, -errno, "%s: cannot watch calls: %s", vdev->id,
				 error_name(errno));
	vp->watch = (struct loop_fd){.fd = vp->epoll_fd, .fn = calls_ready, .opaque = vp};
	ret = loop_add(vdev->loop, &vp->watch, EPOLLIN);
	if (ret)
		return error_set(err, ret, "%s: cannot watch calls: %s", vdev->id, error_name(ret));
	virtio_pci_irq_mode(vp, false);
	return 0;
}

void virtio_pci_irq_fini(struct virtio_pci *vp)
{
	if (vp->watch.active)
		loop_remove(vp->vdev->loop, &vp->watch);
	if (vp->epoll_fd >= 0)
		close(vp->epoll_fd);
	vp->epoll_fd = -1;
}

/* A vector that cannot be had reads back as NO_VECTOR (4.1.5.1.2.1). */
void virtio_pci_set_config_vector(struct virtio_pci *vp, uint16_t vector)
{
	if (vp->vdev->reset_wanted)
		return;
	vp->config_vector = vector < msix_vectors(vp->pci) ? vector : VIRTIO_NO_VECTOR;
}

void virtio_pci_set_queue_vector(struct virtio_pci *vp, unsigned index, uint16_t vector)
{
	struct virtio_queue *q;

	if (index >= vp->vdev->nqueues || vp->vdev->reset_wanted)
		return;
	q = &vp->vdev->queues[index];
	if (q->vector == vector)
		return;
	if (q->vector != VIRTIO_NO_VECTOR)
		msix_unbind(vp->pci, q->call_fd);
	q->vector = VIRTIO_NO_VECTOR;
	if (vector != VIRTIO_NO_VECTOR && !msix_bind(vp->pci, vector, q->call_fd))
		q->vector = vector;
}

void virtio_pci_config_changed(struct virtio_dev *vdev)
{
	struct virtio_pci *vp = vdev->transport_data;

	if (!msix_enabled(vp->pci))
		raise_intx(vp, VPCI_ISR_CONFIG);
	else if (vp->config_vector != VIRTIO_NO_VECTOR)
		msix_notify(vp->pci, vp->config_vector);
}

static void forget_vector(struct virtio_pci *vp, struct virtio_queue *q)
{
	if (q->vector != VIRTIO_NO_VECTOR)
		msix_unbind(vp->pci, q->call_fd);
	q->vector = VIRTIO_NO_VECTOR;
}

void virtio_pci_queue_forgotten(struct virtio_dev *vdev, unsigned index)
{
	struct virtio_pci *vp = vdev->transport_data;

	if (index < vdev->nqueues) {
		forget_vector(vp, &vdev->queues[index]);
		return;
	}
	for (unsigned i = 0; i < vdev->nqueues; i++)
		forget_vector(vp, &vdev->queues[i]);
	vp->config_vector = VIRTIO_NO_VECTOR;
	vp->device_select = vp->driver_select = 0;
	vp->queue_select = 0;
	vp->isr = 0;
	pci_dev_intx(vp->pci, false);
}

uint8_t virtio_pci_isr_read(struct virtio_pci *vp)
{
	uint8_t isr = vp->isr;

	vp->isr = 0;
	pci_dev_intx(vp->pci, false);
	return isr;
}
