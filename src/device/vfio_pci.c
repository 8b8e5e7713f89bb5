/* SPDX-License-Identifier: Apache-2.0 */
/* A passed-through device's life: made, reset, taken back by the host, destroyed. */
#include "device/vfio_pci.h"
#include "base/log.h"
#include "bus/msix.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void watch_close(struct vfio_pci *v, struct loop_fd *watch)
{
	if (watch->active)
		loop_remove(v->loop, watch);
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

/*
 * Gives the device back while the guest runs. To the guest it is as if it had been pulled out of
 * its slot: reads give all ones. Control thread, which is the loop's.
 */
static void give_back(struct vfio_pci *v)
{
	struct pci_dev *pci = &v->nic.pci;

	pthread_mutex_lock(&pci->lock);
	pci_dev_sleep(pci, true);
	vfio_pci_irq_off(v);
	v->gone = true;
	vfio_pci_areas_fini(v);
	pthread_mutex_unlock(&pci->lock);
	/* Nobody comes to the device's file any more. */
	watch_close(v, &v->request);
	watch_close(v, &v->failure);
	vfio_device_close(&v->dev);
}

static void requested(struct loop_fd *watch, uint32_t events)
{
	struct vfio_pci *v = watch->opaque;

	log_warn("%s: the host takes %s back: the guest finds it pulled out", v->nic.pci.id,
		 v->dev.addr);
	give_back(v);
}

static void failed(struct loop_fd *watch, uint32_t events)
{
	struct vfio_pci *v = watch->opaque;
	eventfd_t count;

	if (!eventfd_read(watch->fd, &count))
		log_error("%s: %s reports an error that it cannot recover from: reset the guest",
			  v->nic.pci.id, v->dev.addr);
}

static int watch_irq(struct vfio_pci *v, unsigned kind, struct loop_fd *watch,
		     void (*fn)(struct loop_fd *watch, uint32_t events))
{
	int32_t fd;
	int ret;

	if (!v->dev.irqs[kind])
		return 0;
	fd = watch->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	watch->fn = fn;
	watch->opaque = v;
	ret = loop_add(v->loop, watch, EPOLLIN);
	return ret ? ret : vfio_irqs_set(&v->dev, kind, 0, &fd, 1);
}

static void msix_changed(struct pci_dev *dev, bool enabled)
{
	vfio_pci_irq_update(vfio_pci_of(dev));
}

/* pci_dev_reset() goes on with the BARs, MSI-X and config space. */
static void reset(struct pci_dev *dev)
{
	struct vfio_pci *v = vfio_pci_of(dev);
	int ret;

	if (v->gone)
		return;
	vfio_pci_irq_off(v);
	pci_dev_sleep(dev, true);
	vfio_pci_quiet(v);
	ret = vfio_device_reset(&v->dev);
	if (ret)
		log_warn("%s: %s cannot be reset (%s): the guest gets it as it is", dev->id,
			 v->dev.addr, error_name(ret));
	else
		v->counters.resets++;
	dev->asleep = false;
}

static void destroy(struct pci_dev *dev)
{
	struct vfio_pci *v = vfio_pci_of(dev);

	vfio_pci_irq_fini(v);
	watch_close(v, &v->request);
	watch_close(v, &v->failure);
	if (!v->gone && v->dev.fd >= 0)
		vfio_pci_quiet(v);
	vfio_pci_areas_fini(v);
	vfio_device_close(&v->dev);
	pci_dev_fini(dev);
	free(v);
}

static const struct pci_dev_ops ops = {
	.config_written = vfio_pci_config_written,
	.config_read = vfio_pci_config_read,
	.bar_moved = vfio_pci_bar_moved,
	.msix_changed = msix_changed,
	.reset = reset,
	.destroy = destroy,
};

static void track_file(void *opaque, bool add, int fd)
{
	struct bus_host *host = opaque;

	if (host->ops->vfio_file)
		host->ops->vfio_file(host, add, fd);
}

static int set_up(struct vfio_pci *v, struct error *err)
{
	int ret = vfio_pci_config_init(v, err);

	if (!ret)
		ret = vfio_pci_irq_init(v, err);
	if (ret)
		return ret;
	vfio_pci_areas_init(v);
	ret = watch_irq(v, VFIO_PCI_REQ_IRQ_INDEX, &v->request, requested);
	if (!ret)
		ret = watch_irq(v, VFIO_PCI_ERR_IRQ_INDEX, &v->failure, failed);
	if (ret)
		return error_set(err, ret, "%s: cannot watch for the host's requests: %s",
				 v->dev.addr, error_name(ret));
	/* Whoever had it before may have left anything in it. */
	vfio_pci_quiet(v);
	if (vfio_device_reset(&v->dev))
		log_warn("%s: %s cannot be reset: the guest gets it as it is", v->nic.pci.id,
			 v->dev.addr);
	return 0;
}

int vfio_pci_create(const struct vfio_pci_params *params, struct vfio_pci **out, struct error *err)
{
	const struct vfio_track track = {.file = track_file, .opaque = params->host};
	static const struct pci_ids ids; /* config space has them */
	struct vfio_pci *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	snprintf(v->nic.pci.id, sizeof(v->nic.pci.id), "%s", params->id);
	v->nic.nic_ops = &vfio_pci_nic_ops;
	v->nic.pci.ops = &ops;
	v->nic.pci.host = params->host;
	v->loop = params->loop;
	v->intx_fd = v->intx_resample_fd = v->intx_epoll = -1;
	v->request.fd = v->failure.fd = -1;
	pci_dev_init(&v->nic.pci, &ids);
	ret = vfio_device_open(&v->dev, params->sys, params->addr, params->mem, &track, err);
	if (!ret)
		ret = set_up(v, err);
	if (ret) {
		destroy(&v->nic.pci);
		return ret;
	}
	log_info("%s: %s, %04x:%04x, %u MSI-X vectors, %u mapped pieces of BARs", params->id,
		 params->addr, load_le16(v->nic.pci.config + PCI_VENDOR_ID),
		 load_le16(v->nic.pci.config + PCI_DEVICE_ID), msix_vectors(&v->nic.pci),
		 v->nareas);
	*out = v;
	return 0;
}
