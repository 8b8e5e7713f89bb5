// SPDX-License-Identifier: Apache-2.0
#include "fake_vfio.h"

#include "vfio/abi.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct fake_vfio fake_vfio;

/* Files: the container or iommufd, then a group and a device for each device. */
#define CONTAINER_FD  (FAKE_VFIO_FD)
#define GROUP_FD(n)   (FAKE_VFIO_FD + 100 + (n))
#define DEVICE_FD(i)  (FAKE_VFIO_FD + 200 + (int)(i))
#define REGION_SHIFT  40
#define REGION_OFF(i) ((uint64_t)(i) << REGION_SHIFT)

static bool group_open[16], group_in[16];

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fake VFIO: %s\n", what);
	abort();
}

static struct fake_vfio_dev *dev_of(int fd)
{
	unsigned i = (unsigned)(fd - DEVICE_FD(0));

	must(fd >= DEVICE_FD(0) && i < fake_vfio.ndevs && fake_vfio.devs[i].open,
	     "a device's file that is not open");
	return &fake_vfio.devs[i];
}

static int open_device(struct fake_vfio_dev *dev)
{
	must(!dev->open, "a device that is open is opened");
	dev->open = true;
	fake_vfio.open_files++;
	return DEVICE_FD(dev - fake_vfio.devs);
}

static int fake_open(const char *path)
{
	unsigned n;

	if (!strcmp(path, "/dev/vfio/vfio") || (fake_vfio.iommufd && !strcmp(path, "/dev/iommu"))) {
		fake_vfio.open_files++;
		return CONTAINER_FD;
	}
	if (sscanf(path, "/dev/vfio/devices/vfio%u", &n) == 1)
		return fake_vfio.iommufd && n < fake_vfio.ndevs ? open_device(&fake_vfio.devs[n])
								: -ENOENT;
	if (sscanf(path, "/dev/vfio/%u", &n) != 1 || n >= ARRAY_SIZE(group_open))
		return -ENOENT;
	if (fake_vfio.busy || group_open[n])
		return -EBUSY;
	group_open[n] = true;
	fake_vfio.open_files++;
	return GROUP_FD(n);
}

static void close_iommu(void)
{
	memset(fake_vfio.maps, 0, sizeof(fake_vfio.maps));
	fake_vfio.iommu_set = false;
}

static void fake_close(int fd)
{
	fake_vfio.open_files--;
	if (fd >= DEVICE_FD(0)) {
		struct fake_vfio_dev *dev = dev_of(fd);

		dev->open = false;
		dev->kind = -1;
		dev->enabled = 0;
	} else if (fd >= GROUP_FD(0)) {
		must(group_open[fd - GROUP_FD(0)], "a group that is not open is closed");
		group_open[fd - GROUP_FD(0)] = group_in[fd - GROUP_FD(0)] = false;
	} else {
		must(fd == CONTAINER_FD, "an unknown file is closed");
		close_iommu();
	}
}

static int map(uint64_t iova, uint64_t size, uint64_t vaddr, bool write)
{
	struct fake_vfio_map *room = NULL;

	if (fake_vfio.map_error && ++fake_vfio.map_calls >= fake_vfio.map_fails_at)
		return fake_vfio.map_error;
	must(size && !(iova % 4096) && !(size % 4096) && !(vaddr % 4096), "an unaligned mapping");
	for (unsigned i = 0; i < FAKE_VFIO_MAPS; i++) {
		struct fake_vfio_map *m = &fake_vfio.maps[i];

		must(!m->used || iova + size <= m->iova || m->iova + m->size <= iova,
		     "a range is mapped twice");
		if (!m->used && !room)
			room = m;
	}
	must(room, "too many mappings");
	*room = (struct fake_vfio_map){true, iova, size, vaddr, write};
	return 0;
}

static int unmap(uint64_t iova, uint64_t size)
{
	for (unsigned i = 0; i < FAKE_VFIO_MAPS; i++) {
		struct fake_vfio_map *m = &fake_vfio.maps[i];

		if (m->used && m->iova == iova && m->size == size) {
			m->used = false;
			return 0;
		}
	}
	return -ENOENT;
}

static int container_ioctl(unsigned long request, void *arg)
{
	struct vfio_iommu_type1_dma_map *m = arg;
	struct vfio_iommu_type1_dma_unmap *u = arg;
	struct iommufd_ioas_map *im = arg;
	struct iommufd_ioas_unmap *iu = arg;

	if (request == VFIO_GET_API_VERSION)
		return VFIO_API_VERSION;
	if (request == VFIO_CHECK_EXTENSION)
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU;
	if (request == VFIO_SET_IOMMU) {
		must(!fake_vfio.iommu_set, "the container has an IOMMU already");
		fake_vfio.iommu_set = true;
		return 0;
	}
	if (request == VFIO_IOMMU_MAP_DMA) {
		must(fake_vfio.iommu_set && m->argsz == sizeof(*m), "mapping without an IOMMU");
		return map(m->iova, m->size, m->vaddr, m->flags & VFIO_DMA_MAP_FLAG_WRITE);
	}
	if (request == VFIO_IOMMU_UNMAP_DMA)
		return unmap(u->iova, u->size);
	if (request == IOMMUFD_IOAS_ALLOC) {
		((struct iommufd_ioas_alloc *)arg)->out_ioas_id = 7;
		return 0;
	}
	if (request == IOMMUFD_IOAS_MAP) {
		must(im->size == sizeof(*im) && im->ioas_id == 7 && im->flags & IOMMUFD_MAP_FIXED,
		     "a mapping of iommufd's that makes no sense");
		return map(im->iova, im->length, im->user_va, im->flags & IOMMUFD_MAP_WRITE);
	}
	if (request == IOMMUFD_IOAS_UNMAP)
		return unmap(iu->iova, iu->length);
	if (request == IOMMUFD_DESTROY) {
		must(((struct iommufd_destroy *)arg)->id == 7, "an unknown address space");
		close_iommu();
		return 0;
	}
	return -ENOTTY;
}

static int group_ioctl(unsigned group, unsigned long request, void *arg)
{
	struct vfio_group_status *status = arg;

	must(group_open[group], "a group that is not open");
	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		status->flags = fake_vfio.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		must(*(int *)arg == CONTAINER_FD && !group_in[group], "not the container");
		group_in[group] = true;
		fake_vfio.groups_in++;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		must(group_in[group], "a group that is in no container");
		group_in[group] = false;
		if (!--fake_vfio.groups_in)
			close_iommu();
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		must(group_in[group] && fake_vfio.iommu_set, "a device before its IOMMU");
		for (unsigned i = 0; i < fake_vfio.ndevs; i++)
			if (!strcmp(fake_vfio.devs[i].addr, arg) &&
			    fake_vfio.devs[i].group == (int)group)
				return open_device(&fake_vfio.devs[i]);
		return -ENODEV;
	default:
		return -ENOTTY;
	}
}

static int region_info(struct fake_vfio_dev *dev, struct vfio_region_info *info)
{
	struct vfio_region_info_cap_sparse_mmap *sparse;
	const struct fake_vfio_bar *bar;

	info->offset = REGION_OFF(info->index);
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->size = 0;
	if (info->index == VFIO_PCI_CONFIG_REGION_INDEX)
		info->size = dev->config_size;
	if (info->index >= ARRAY_SIZE(dev->bars))
		return 0;
	bar = &dev->bars[info->index];
	info->size = bar->size;
	if (bar->mappable)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (bar->mappable && bar->sparse) {
		must(info->argsz >= sizeof(*info) + sizeof(*sparse) + sizeof(sparse->areas[0]),
		     "no room for the capability");
		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
		info->cap_offset = sizeof(*info);
		sparse = (void *)(info + 1);
		sparse->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		sparse->header.next = 0;
		sparse->nr_areas = 1;
		sparse->areas[0].offset = 0;
		sparse->areas[0].size = bar->sparse;
	}
	return 0;
}

static int set_triggers(struct fake_vfio_dev *dev, const struct vfio_irq_set *set)
{
	const int32_t *fds = (const int32_t *)set->data;

	if (set->index == VFIO_PCI_REQ_IRQ_INDEX || set->index == VFIO_PCI_ERR_IRQ_INDEX) {
		*(set->index == VFIO_PCI_REQ_IRQ_INDEX ? &dev->request_fd : &dev->error_fd) =
			set->count ? fds[0] : -1;
		return 0;
	}
	if (!set->count) {
		if (dev->kind != (int)set->index)
			return -EINVAL;
		dev->kind = -1;
		dev->enabled = 0;
		memset(dev->fds, 0xff, sizeof(dev->fds));
		return 0;
	}
	if (dev->kind >= 0 && dev->kind != (int)set->index)
		return -EINVAL; /* one kind at a time */
	must(set->flags & VFIO_IRQ_SET_DATA_EVENTFD, "a trigger without eventfds");
	must(set->start + set->count <= MIN(dev->irqs[set->index], FAKE_VFIO_VECTORS),
	     "more vectors than it has");
	if (dev->kind >= 0 && set->start + set->count > dev->enabled && !dev->irqs_grow)
		return -EINVAL;
	if (fake_vfio.vectors_max && set->start + set->count > fake_vfio.vectors_max)
		return (int)fake_vfio.vectors_max;
	dev->kind = (int)set->index;
	dev->enabled = MAX(dev->enabled, set->start + set->count);
	memcpy(dev->fds + set->start, fds, set->count * sizeof(*fds));
	return 0;
}

static int set_irqs(struct fake_vfio_dev *dev, const struct vfio_irq_set *set)
{
	dev->set_irqs++;
	must(set->index < VFIO_PCI_NUM_IRQS, "an unknown kind of interrupt");
	if ((set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) == VFIO_IRQ_SET_ACTION_TRIGGER)
		return set_triggers(dev, set);
	if (dev->kind != VFIO_PCI_INTX_IRQ_INDEX || set->index != VFIO_PCI_INTX_IRQ_INDEX)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		dev->unmask_fd = *(const int32_t *)set->data;
	else
		dev->unmasks++;
	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD) && dev->still_asserted) {
		dev->still_asserted--;
		fake_vfio_raise(dev, 0);
	}
	return 0;
}

static int device_ioctl(struct fake_vfio_dev *dev, unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;
	struct vfio_irq_info *irq = arg;
	struct vfio_pci_hot_reset_info *hot = arg;
	struct vfio_pci_hot_reset *reset = arg;

	switch (request) {
	case VFIO_DEVICE_BIND_IOMMUFD:
		must(((struct vfio_device_bind_iommufd *)arg)->iommufd == CONTAINER_FD,
		     "not the iommufd");
		return fake_vfio.not_viable ? -EPERM : 0;
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return ((struct vfio_device_attach_iommufd_pt *)arg)->pt_id == 7 ? 0 : -EINVAL;
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		return 0;
	case VFIO_DEVICE_GET_INFO:
		info->flags = VFIO_DEVICE_FLAGS_PCI | (dev->no_reset ? 0 : VFIO_DEVICE_FLAGS_RESET);
		info->num_regions = VFIO_PCI_NUM_REGIONS;
		info->num_irqs = VFIO_PCI_NUM_IRQS;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(dev, arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		irq->count = dev->irqs[irq->index];
		irq->flags = VFIO_IRQ_INFO_EVENTFD | (dev->irqs_grow ? 0 : VFIO_IRQ_INFO_NORESIZE);
		return irq->count ? 0 : -EINVAL;
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(dev, arg);
	case VFIO_DEVICE_RESET:
		must(!dev->no_reset, "a reset that the device has not");
		dev->resets++;
		return 0;
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
		hot->count = 1;
		hot->devices[0].group_id = (uint32_t)dev->group;
		return 0;
	case VFIO_DEVICE_PCI_HOT_RESET:
		if (!fake_vfio.iommufd &&
		    (reset->count != 1 || reset->group_fds[0] != GROUP_FD(dev->group)))
			return -EPERM;
		dev->hot_resets++;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	if (fd >= DEVICE_FD(0))
		return device_ioctl(dev_of(fd), request, arg);
	if (fd >= GROUP_FD(0))
		return group_ioctl((unsigned)(fd - GROUP_FD(0)), request, arg);
	must(fd == CONTAINER_FD, "an ioctl of an unknown file");
	return container_ioctl(request, arg);
}

/* The bytes of an access, or NULL if it is beyond the region. */
static uint8_t *region_at(struct fake_vfio_dev *dev, uint64_t offset, size_t len, unsigned *index)
{
	uint64_t at = offset & ((1ULL << REGION_SHIFT) - 1);

	*index = (unsigned)(offset >> REGION_SHIFT);
	if (*index == VFIO_PCI_CONFIG_REGION_INDEX) {
		must(at + len <= dev->config_size, "an access beyond config space");
		return dev->config + at;
	}
	must(*index < ARRAY_SIZE(dev->bars) && at + len <= dev->bars[*index].size,
	     "an access beyond a BAR");
	return dev->bars[*index].memory + at;
}

static ssize_t fake_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	unsigned index;

	memcpy(buf, region_at(dev_of(fd), offset, len, &index), len);
	return (ssize_t)len;
}

/* Identity and BARs are not to be written, as VFIO sees to; the rest is memory. */
static ssize_t fake_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	struct fake_vfio_dev *dev = dev_of(fd);
	unsigned index;
	uint8_t *at = region_at(dev, offset, len, &index);

	if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		dev->config_writes++;
		must(at < dev->config + PCI_BASE_ADDRESS_0 ||
			     at >= dev->config + PCI_BASE_ADDRESS_5 + 4,
		     "a BAR's register is written");
		if (at < dev->config + PCI_COMMAND)
			return (ssize_t)len;
	}
	memcpy(at, buf, len);
	return (ssize_t)len;
}

static void *fake_mmap(int fd, size_t size, int prot, uint64_t offset)
{
	struct fake_vfio_dev *dev = dev_of(fd);
	unsigned index;
	uint8_t *at = region_at(dev, offset, size, &index);

	must(index < ARRAY_SIZE(dev->bars) && dev->bars[index].mappable &&
		     !((uintptr_t)at % 4096) && !(size % 4096),
	     "a mapping of what cannot be mapped");
	fake_vfio.open_files++;
	return at;
}

static void fake_munmap(void *at, size_t size)
{
	fake_vfio.open_files--;
}

struct vfio_sys fake_vfio_sys = {
	.open = fake_open,
	.close = fake_close,
	.ioctl = fake_ioctl,
	.pread = fake_pread,
	.pwrite = fake_pwrite,
	.mmap = fake_mmap,
	.munmap = fake_munmap,
	.sysfs = fake_vfio.root,
};

/* --- sysfs */

static void make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
}

void fake_vfio_file(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", fake_vfio.root, path);
	make_folders(full);
	f = fopen(full, "w");
	must(f, full);
	fputs(text, f);
	fclose(f);
}

void fake_vfio_link(const char *path, const char *target)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", fake_vfio.root, path);
	make_folders(full);
	(void)unlink(full);
	must(!symlink(target, full), full);
}

static void add_sysfs(const struct fake_vfio_dev *dev, enum fake_vfio_kind kind)
{
	char path[128], text[64];
	static const char *const names[] = {"vendor", "device", "class"};
	const char *const values[] = {"0x8086\n", kind == FAKE_VF ? "0x10ca\n" : "0x10c9\n",
				      "0x020000\n"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "bus/pci/devices/%s/%s", dev->addr, names[i]);
		fake_vfio_file(path, values[i]);
	}
	snprintf(path, sizeof(path), "bus/pci/devices/%s/driver", dev->addr);
	fake_vfio_link(path, "../../../bus/pci/drivers/vfio-pci");
	snprintf(path, sizeof(path), "bus/pci/devices/%s/iommu_group", dev->addr);
	snprintf(text, sizeof(text), "../../../kernel/iommu_groups/%d", dev->group);
	fake_vfio_link(path, text);
	snprintf(path, sizeof(path), "kernel/iommu_groups/%d/devices/%s", dev->group, dev->addr);
	fake_vfio_link(path, "../../../../bus/pci/devices");
	snprintf(path, sizeof(path), "bus/pci/devices/%s/vfio-dev/vfio%u/dev", dev->addr,
		 (unsigned)(dev - fake_vfio.devs));
	fake_vfio_file(path, "511:0\n");
}

/* --- devices: an 82576 and its virtual function, as sysfs shows theirs */

static void put_cap(uint8_t *config, unsigned at, uint8_t id, uint8_t next)
{
	config[at] = id;
	config[at + 1] = next;
}

static void common_config(struct fake_vfio_dev *dev, uint16_t device)
{
	uint8_t *c = dev->config;

	store_le16(c + PCI_VENDOR_ID, 0x8086);
	store_le16(c + PCI_DEVICE_ID, device);
	store_le16(c + PCI_STATUS, PCI_STATUS_CAP_LIST);
	store_le32(c + PCI_CLASS_REVISION, 0x02000001);
	put_cap(c, 0xa0, PCI_CAP_ID_EXP, 0);
	store_le16(c + 0xa2, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	store_le32(c + 0xa0 + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR);
	store_le32(c + 0xa0 + PCI_EXP_LNKCAP, 0x411);
	store_le32(c + 0x100, PCI_EXT_CAP_ID_ERR | 1 << 16 | 0x150U << 20);
	store_le32(c + 0x150, PCI_EXT_CAP_ID_ARI | 1 << 16);
}

static void make_bar(struct fake_vfio_dev *dev, unsigned i, uint64_t size, uint32_t flags)
{
	struct fake_vfio_bar *bar = &dev->bars[i];

	bar->size = size;
	bar->flags = flags;
	bar->mappable = !(flags & PCI_BASE_ADDRESS_SPACE_IO) && size >= 4096;
	bar->memory = mmap(NULL, MAX(size, (uint64_t)4096), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(bar->memory != MAP_FAILED, "no memory for a BAR");
	store_le32(dev->config + PCI_BASE_ADDRESS_0 + 4 * i, 0xfe800000U + i * 0x100000 + flags);
}

static void make_vf(struct fake_vfio_dev *dev)
{
	common_config(dev, 0x10ca);
	dev->config[PCI_CAPABILITY_LIST] = 0xa0;
	dev->config[0xa1] = 0x70;
	put_cap(dev->config, 0x70, PCI_CAP_ID_MSIX, 0);
	store_le16(dev->config + 0x72, 2); /* three vectors */
	store_le32(dev->config + 0x74, 3);
	store_le32(dev->config + 0x78, 0x2003);
	make_bar(dev, 0, 0x4000, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	make_bar(dev, 3, 0x4000, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX] = 3;
}

static void make_pf(struct fake_vfio_dev *dev)
{
	common_config(dev, 0x10c9);
	dev->config[PCI_CAPABILITY_LIST] = 0x40;
	dev->config[PCI_INTERRUPT_PIN] = 1;
	put_cap(dev->config, 0x40, PCI_CAP_ID_PM, 0x50);
	put_cap(dev->config, 0x50, PCI_CAP_ID_MSI, 0x70);
	store_le16(dev->config + 0x52,
		   PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | 2 << 1 /* four vectors */);
	put_cap(dev->config, 0x70, PCI_CAP_ID_MSIX, 0x90);
	store_le16(dev->config + 0x72, 9);
	store_le32(dev->config + 0x74, 3);
	store_le32(dev->config + 0x78, 0x2003);
	put_cap(dev->config, 0x90, PCI_CAP_ID_EA, 0xa0); /* not to be shown */
	store_le32(dev->config + 0x150, PCI_EXT_CAP_ID_ARI | 1 << 16 | 0x160U << 20);
	store_le32(dev->config + 0x160, PCI_EXT_CAP_ID_SRIOV | 1 << 16 | 0x1a0U << 20);
	store_le32(dev->config + 0x1a0, PCI_EXT_CAP_ID_DSN | 1 << 16);
	make_bar(dev, 0, 0x20000, 0);
	make_bar(dev, 1, 0x800, 0); /* smaller than a page */
	make_bar(dev, 2, 0x20, PCI_BASE_ADDRESS_SPACE_IO);
	make_bar(dev, 3, 0x4000, 0);
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX] = 10;
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX] = 4;
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX] = 1;
}

struct fake_vfio_dev *fake_vfio_add(const char *addr, enum fake_vfio_kind kind, int group)
{
	struct fake_vfio_dev *dev = &fake_vfio.devs[fake_vfio.ndevs++];

	memset(dev, 0, sizeof(*dev));
	snprintf(dev->addr, sizeof(dev->addr), "%s", addr);
	dev->group = group;
	dev->config_size = 4096;
	dev->kind = -1;
	dev->request_fd = dev->error_fd = dev->unmask_fd = -1;
	memset(dev->fds, 0xff, sizeof(dev->fds));
	dev->irqs[VFIO_PCI_REQ_IRQ_INDEX] = dev->irqs[VFIO_PCI_ERR_IRQ_INDEX] = 1;
	if (kind == FAKE_VF)
		make_vf(dev);
	else
		make_pf(dev);
	add_sysfs(dev, kind);
	return dev;
}

void fake_vfio_init(void)
{
	memset(&fake_vfio, 0, sizeof(fake_vfio));
	memset(group_open, 0, sizeof(group_open));
	memset(group_in, 0, sizeof(group_in));
	strcpy(fake_vfio.root, "/tmp/fake-vfio-XXXXXX");
	must(mkdtemp(fake_vfio.root), "no temporary folder");
}

void fake_vfio_fini(void)
{
	char command[96];

	must(!fake_vfio.open_files, "a file or a mapping was left behind");
	for (unsigned i = 0; i < FAKE_VFIO_MAPS; i++)
		must(!fake_vfio.maps[i].used, "a DMA mapping was left behind");
	for (unsigned i = 0; i < fake_vfio.ndevs; i++)
		for (unsigned j = 0; j < 6; j++)
			if (fake_vfio.devs[i].bars[j].size)
				munmap(fake_vfio.devs[i].bars[j].memory,
				       MAX(fake_vfio.devs[i].bars[j].size, (uint64_t)4096));
	snprintf(command, sizeof(command), "rm -rf %s", fake_vfio.root);
	must(!system(command), command);
}

const struct fake_vfio_map *fake_vfio_mapped(uint64_t iova)
{
	for (unsigned i = 0; i < FAKE_VFIO_MAPS; i++)
		if (fake_vfio.maps[i].used && fake_vfio.maps[i].iova == iova)
			return &fake_vfio.maps[i];
	return NULL;
}

bool fake_vfio_raise(struct fake_vfio_dev *dev, unsigned i)
{
	return i < dev->enabled && dev->fds[i] >= 0 && !eventfd_write(dev->fds[i], 1);
}
