/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of a passed-through device. VFIO can have one of INTx, MSI and MSI-X on at a time;
 * which one follows from what the guest has enabled, and is brought about by vfio_pci_irq_update(),
 * which is called for whatever may have changed.
 *
 * MSI and MSI-X: one eventfd a vector, signalled by the kernel's VFIO and bound to the vector in
 * bus/msi.c or bus/msix.c, so that masks, pending bits and the case without irqfds are theirs. A
 * vector takes something of the host only once the guest has unmasked it: the host's own interrupt
 * vectors are few. Where VFIO cannot add vectors to those that are enabled, all are disabled and
 * enabled anew; an interrupt that came meanwhile is lost, so every vector is signalled once then. To
 * a driver that is an interrupt with nothing to do.
 *
 * INTx: VFIO masks the line when it fires and signals. KVM raises the guest's line and, when the guest
 * has acknowledged the interrupt, lowers it and signals a second eventfd, by which VFIO unmasks.
 * Where KVM cannot do that, the loop gives the line a pulse: that is one interrupt for the guest,
 * whereas a line that is held until somebody lowers it interrupts the guest again and again after it
 * has acknowledged. Nobody says when the guest has served it, so VFIO is told to unmask a moment
 * later. If the device still wants an interrupt then (the guest has not come to it, or had the line
 * masked when the pulse came), it fires again, and gets another pulse and a longer moment.
 */
#include "device/vfio_pci.h"
#include "base/log.h"
#include "bus/msi.h"
#include "bus/msix.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define INTX_REST_NS	 (NSEC_PER_MSEC / 8)
#define INTX_REST_MAX_NS NSEC_PER_MSEC

static unsigned mode_kind(enum vfio_pci_irq_mode mode)
{
	switch (mode) {
	case VFIO_PCI_MSIX:
		return VFIO_PCI_MSIX_IRQ_INDEX;
	case VFIO_PCI_MSI:
		return VFIO_PCI_MSI_IRQ_INDEX;
	default:
		return VFIO_PCI_INTX_IRQ_INDEX;
	}
}

/* How many vectors there are for both, the guest and VFIO. */
static unsigned mode_vectors(const struct vfio_pci *v)
{
	return MIN(v->nvectors, v->dev.irqs[mode_kind(v->irq_mode)]);
}

static int new_eventfd(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* --- MSI and MSI-X */

static void vector_close(struct vfio_pci *v, unsigned i)
{
	struct pci_dev *pci = &v->nic.pci;

	if (v->vectors[i] < 0)
		return;
	if (v->irq_mode == VFIO_PCI_MSIX)
		msix_unbind(pci, v->vectors[i]);
	else
		msi_unbind(pci, v->vectors[i]);
	close(v->vectors[i]);
	v->vectors[i] = -1;
}

/* Gives the vector an eventfd. Returns whether it is new. */
static bool vector_open(struct vfio_pci *v, unsigned i)
{
	struct pci_dev *pci = &v->nic.pci;
	int ret;

	if (v->vectors[i] >= 0)
		return false;
	v->vectors[i] = new_eventfd();
	if (v->vectors[i] < 0) {
		log_warn_limited("%s: interrupt vector %u: %s", pci->id, i, error_name(errno));
		return false;
	}
	ret = v->irq_mode == VFIO_PCI_MSIX ? msix_bind(pci, i, v->vectors[i])
					   : msi_bind(pci, i, v->vectors[i]);
	if (!ret)
		return true;
	close(v->vectors[i]);
	v->vectors[i] = -1;
	return false;
}

static void tell_vfio(struct vfio_pci *v, unsigned start, unsigned n)
{
	int ret = vfio_irqs_set(&v->dev, mode_kind(v->irq_mode), start, v->vectors + start, n);

	if (ret > 0) /* how many there could be */
		log_warn_limited(
			"%s: the host has %d interrupt vectors for it, not %u: some of its "
			"interrupts are lost",
			v->nic.pci.id, ret, start + n);
	else if (ret)
		log_warn_limited("%s: the host does not enable its interrupt vectors %u to %u: %s",
				 v->nic.pci.id, start, start + n - 1, error_name(ret));
	else
		v->armed = MAX(v->armed, start + n);
}

static void rearm_all(struct vfio_pci *v, unsigned n)
{
	bool were_on = v->armed;

	if (were_on)
		(void)vfio_irqs_off(&v->dev, mode_kind(v->irq_mode));
	v->armed = 0;
	tell_vfio(v, 0, n);
	for (unsigned i = 0; were_on && i < n; i++)
		if (v->vectors[i] >= 0)
			(void)eventfd_write(v->vectors[i], 1);
}

/* Vectors that the guest has unmasked for the first time. */
static void msix_arm(struct vfio_pci *v)
{
	bool grow = v->dev.irqs_grow[VFIO_PCI_MSIX_IRQ_INDEX];
	unsigned need = v->armed;
	bool news = false;

	for (unsigned i = 0; i < mode_vectors(v); i++) {
		if (v->vectors[i] >= 0 || !msix_live(&v->nic.pci, i) || !vector_open(v, i))
			continue;
		news = true;
		need = MAX(need, i + 1);
		if (v->armed && (grow || i < v->armed))
			tell_vfio(v, i, 1);
	}
	if (news && need > v->armed)
		rearm_all(v, need);
	else if (!v->armed)
		/* On, with nothing to signal yet: drivers look whether it is. */
		tell_vfio(v, 0, 1);
}

static void msi_arm(struct vfio_pci *v)
{
	unsigned n = MIN(msi_vectors(&v->nic.pci), mode_vectors(v));

	if (v->armed == n)
		return;
	for (unsigned i = 0; i < v->nvectors; i++) {
		if (i < n)
			(void)vector_open(v, i);
		else
			vector_close(v, i);
	}
	rearm_all(v, n);
}

/* --- INTx */

static bool intx_by_loop(const struct vfio_pci *v)
{
	return v->irq_mode == VFIO_PCI_INTX && !v->intx_irqfd;
}

static void intx_pulse(struct vfio_pci *v, uint64_t rest)
{
	pci_dev_intx(&v->nic.pci, true);
	pci_dev_intx(&v->nic.pci, false);
	v->intx_rest = rest;
	loop_timer_set(v->loop, &v->intx_timer, clock_ns() + rest);
}

static void intx_fired(struct loop_fd *watch, uint32_t events)
{
	struct vfio_pci *v = watch->opaque;
	eventfd_t count;

	pthread_mutex_lock(&v->nic.pci.lock);
	if (intx_by_loop(v) && !eventfd_read(v->intx_fd, &count))
		intx_pulse(v, INTX_REST_NS);
	pthread_mutex_unlock(&v->nic.pci.lock);
}

static void intx_rested(struct loop_timer *timer)
{
	struct vfio_pci *v = timer->opaque;
	eventfd_t count;

	pthread_mutex_lock(&v->nic.pci.lock);
	/* A device that still asserts its line has signalled when the unmasking returns. */
	if (intx_by_loop(v) && !vfio_intx_unmask(&v->dev) && !eventfd_read(v->intx_fd, &count))
		intx_pulse(v, MIN(2 * v->intx_rest, INTX_REST_MAX_NS));
	pthread_mutex_unlock(&v->nic.pci.lock);
}

static void intx_by_kvm(struct vfio_pci *v)
{
	struct bus_host *host = v->nic.pci.host;
	unsigned gsi = v->nic.pci.intx_gsi;

	if (!host->ops->irqfd_line ||
	    host->ops->irqfd_line(host, true, gsi, v->intx_fd, v->intx_resample_fd))
		return;
	v->intx_irqfd = true;
	if (!vfio_intx_unmask_by(&v->dev, v->intx_resample_fd))
		return;
	(void)host->ops->irqfd_line(host, false, gsi, v->intx_fd, v->intx_resample_fd);
	v->intx_irqfd = false;
}

static void intx_on(struct vfio_pci *v)
{
	struct epoll_event event = {.events = EPOLLIN};
	eventfd_t count;
	int ret;

	(void)eventfd_read(v->intx_fd, &count);
	(void)eventfd_read(v->intx_resample_fd, &count);
	ret = vfio_irqs_set(&v->dev, VFIO_PCI_INTX_IRQ_INDEX, 0, &v->intx_fd, 1);
	if (ret) {
		log_warn("%s: the host does not give its interrupt line: %s%s", v->nic.pci.id,
			 error_name(ret),
			 ret == -EBUSY ? " (another driver has it and the device cannot share)"
				       : "");
		return;
	}
	intx_by_kvm(v);
	if (!v->intx_irqfd)
		(void)epoll_ctl(v->intx_epoll, EPOLL_CTL_ADD, v->intx_fd, &event);
}

static void intx_off(struct vfio_pci *v)
{
	struct bus_host *host = v->nic.pci.host;

	if (v->intx_irqfd) {
		(void)vfio_intx_unmask_by(&v->dev, -1);
		(void)host->ops->irqfd_line(host, false, v->nic.pci.intx_gsi, v->intx_fd,
					    v->intx_resample_fd);
		v->intx_irqfd = false;
	} else {
		(void)epoll_ctl(v->intx_epoll, EPOLL_CTL_DEL, v->intx_fd, NULL);
	}
}

/* --- all of them */

void vfio_pci_irq_off(struct vfio_pci *v)
{
	if (v->irq_mode == VFIO_PCI_NO_IRQ)
		return;
	if (v->irq_mode == VFIO_PCI_INTX)
		intx_off(v);
	(void)vfio_irqs_off(&v->dev, mode_kind(v->irq_mode));
	for (unsigned i = 0; v->irq_mode != VFIO_PCI_INTX && i < v->nvectors; i++)
		vector_close(v, i);
	v->armed = 0;
	v->irq_mode = VFIO_PCI_NO_IRQ;
}

static enum vfio_pci_irq_mode wanted_mode(const struct vfio_pci *v)
{
	const struct pci_dev *pci = &v->nic.pci;

	if (msix_enabled(pci))
		return VFIO_PCI_MSIX;
	if (msi_enabled(pci))
		return VFIO_PCI_MSI;
	/* Not before a driver has turned to it. The disable bit is VFIO's to heed. */
	if (pci->config[PCI_INTERRUPT_PIN] &&
	    load_le16(pci->config + PCI_COMMAND) & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY))
		return VFIO_PCI_INTX;
	return VFIO_PCI_NO_IRQ;
}

void vfio_pci_irq_update(struct vfio_pci *v)
{
	enum vfio_pci_irq_mode mode = wanted_mode(v);

	if (v->gone)
		return;
	if (mode != v->irq_mode) {
		vfio_pci_irq_off(v);
		v->irq_mode = mode;
		log_debug("%s: interrupts: %s", v->nic.pci.id,
			  mode == VFIO_PCI_MSIX	  ? "MSI-X"
			  : mode == VFIO_PCI_MSI  ? "MSI"
			  : mode == VFIO_PCI_INTX ? "INTx"
						  : "none");
		if (mode == VFIO_PCI_INTX)
			intx_on(v);
	}
	if (mode == VFIO_PCI_MSIX)
		msix_arm(v);
	if (mode == VFIO_PCI_MSI)
		msi_arm(v);
}

int vfio_pci_irq_init(struct vfio_pci *v, struct error *err)
{
	int ret;

	v->nvectors =
		MAX(msix_vectors(&v->nic.pci), v->nic.pci.msi ? (unsigned)MSI_VECTORS_MAX : 0U);
	v->vectors = calloc(MAX(v->nvectors, 1U), sizeof(*v->vectors));
	if (!v->vectors)
		return error_set(err, -ENOMEM, "%s: out of memory", v->dev.addr);
	for (unsigned i = 0; i < v->nvectors; i++)
		v->vectors[i] = -1;
	v->intx_timer = (struct loop_timer){.fn = intx_rested, .opaque = v};
	v->intx_fd = new_eventfd();
	v->intx_resample_fd = new_eventfd();
	v->intx_epoll = epoll_create1(EPOLL_CLOEXEC);
	v->intx_watch = (struct loop_fd){.fd = v->intx_epoll, .fn = intx_fired, .opaque = v};
	if (v->intx_fd < 0 || v->intx_resample_fd < 0 || v->intx_epoll < 0)
		ret = -errno;
	else
		ret = loop_add(v->loop, &v->intx_watch, EPOLLIN);
	return ret ? error_set(err, ret, "%s: cannot set up its interrupts: %s", v->dev.addr,
			       error_name(ret))
		   : 0;
}

void vfio_pci_irq_fini(struct vfio_pci *v)
{
	if (v->vectors)
		vfio_pci_irq_off(v);
	loop_timer_cancel(v->loop, &v->intx_timer);
	if (v->intx_watch.active)
		loop_remove(v->loop, &v->intx_watch);
	if (v->intx_epoll >= 0)
		close(v->intx_epoll);
	if (v->intx_fd >= 0)
		close(v->intx_fd);
	if (v->intx_resample_fd >= 0)
		close(v->intx_resample_fd);
	free(v->vectors);
	v->vectors = NULL;
}
