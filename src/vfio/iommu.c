/* SPDX-License-Identifier: Apache-2.0 */
#include "vfio/iommu.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

/* The address spaces of this process; the control thread's. */
static struct vfio_iommu *spaces;
static bool iommufd_allowed = true;

void vfio_iommufd_allow(bool allowed)
{
	iommufd_allowed = allowed;
}

void vfio_iommu_track(struct vfio_iommu *iommu, bool add, int fd)
{
	if (iommu->track.file)
		iommu->track.file(iommu->track.opaque, add, fd);
}

static uint64_t table_size(const struct mem_table *table)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < table->count; i++)
		size += table->regions[i].size;
	return size;
}

static int map_error(int code, const struct mem_region *region, const struct mem_table *table,
		     struct error *err)
{
	struct rlimit limit = {0};

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	if (code == -ENOMEM && limit.rlim_cur != RLIM_INFINITY)
		return error_set(err, code,
				 "DMA needs all %llu MiB of the guest's memory locked, and this "
				 "process may lock %llu MiB: raise the limit (ulimit -l, or "
				 "LimitMEMLOCK= of its systemd unit) or lower --memory",
				 (unsigned long long)(table_size(table) / MIB),
				 (unsigned long long)(limit.rlim_cur / MIB));
	if (code == -EINVAL || code == -ENOENT)
		return error_set(
			err, code,
			"the IOMMU cannot map guest memory at %#llx to %#llx: it is beyond "
			"its address width or a range that the host reserves: lower --memory",
			(unsigned long long)region->gpa,
			(unsigned long long)(region->gpa + region->size - 1));
	return error_set(err, code, "the IOMMU refuses %llu MiB of guest memory at %#llx: %s",
			 (unsigned long long)(region->size / MIB), (unsigned long long)region->gpa,
			 error_name(code));
}

static void unmap_new(struct vfio_iommu *iommu, const struct mem_table *table,
		      const struct mem_table *than)
{
	for (unsigned i = 0; table && i < table->count; i++) {
		const struct mem_region *r = &table->regions[i];
		int ret;

		if (mem_table_has(than, r))
			continue;
		ret = iommu->ops->unmap(iommu, r->gpa, r->size);
		if (ret)
			log_warn("the IOMMU does not unmap guest memory at %#llx: %s",
				 (unsigned long long)r->gpa, error_name(ret));
	}
}

/* Maps the first n regions that are new in table; on failure what was mapped is unmapped. */
static int map_new(struct vfio_iommu *iommu, const struct mem_table *table,
		   const struct mem_table *than, struct error *err)
{
	for (unsigned i = 0; i < table->count; i++) {
		const struct mem_region *r = &table->regions[i];
		int ret = mem_table_has(than, r) ? 0 : iommu->ops->map(iommu, r);

		if (!ret)
			continue;
		while (i-- > 0)
			if (!mem_table_has(than, &table->regions[i]))
				(void)iommu->ops->unmap(iommu, table->regions[i].gpa,
							table->regions[i].size);
		return map_error(ret, r, table, err);
	}
	return 0;
}

static int mem_changed(struct mem_listener *listener, const struct mem_table *old,
		       const struct mem_table *table, struct error *err)
{
	struct vfio_iommu *iommu = listener->opaque;
	int ret;

	unmap_new(iommu, old, table);
	ret = map_new(iommu, table, old, err);
	if (ret && old)
		(void)map_new(iommu, old, table, NULL);
	return ret;
}

static void iommu_free(struct vfio_iommu *iommu)
{
	for (struct vfio_iommu **p = &spaces; *p; p = &(*p)->next) {
		if (*p == iommu) {
			*p = iommu->next;
			break;
		}
	}
	iommu->ops->close(iommu);
	free(iommu);
}

static int iommu_new(const struct vfio_sys *sys, const struct hostpci *host, struct guest_mem *mem,
		     const struct vfio_track *track, struct vfio_iommu **out, struct error *err)
{
	struct vfio_iommu *iommu = calloc(1, sizeof(*iommu));
	bool iommufd = iommufd_allowed && !vfio_iommufd_ops.probe(sys, host);
	int ret;

	if (!iommu)
		return error_set(err, -ENOMEM, "out of memory");
	iommu->ops = iommufd ? &vfio_iommufd_ops : &vfio_type1_ops;
	iommu->sys = sys;
	iommu->mem = mem;
	if (track)
		iommu->track = *track;
	iommu->listener =
		(struct mem_listener){.name = "IOMMU", .changed = mem_changed, .opaque = iommu};
	ret = iommu->ops->open(iommu, err);
	if (ret) {
		free(iommu);
		return ret;
	}
	log_info("passthrough: DMA by %s", iommu->ops->name);
	iommu->next = spaces;
	spaces = iommu;
	*out = iommu;
	return 0;
}

int vfio_iommu_join(struct vfio_device *dev, const struct hostpci *host, struct guest_mem *mem,
		    const struct vfio_track *track, struct error *err)
{
	struct vfio_iommu *iommu = spaces;
	int ret = 0;

	while (iommu && iommu->mem != mem)
		iommu = iommu->next;
	if (!iommu)
		ret = iommu_new(dev->sys, host, mem, track, &iommu, err);
	if (ret)
		return ret;
	ret = iommu->ops->attach(iommu, host, dev, err);
	if (!ret && !iommu->devices) {
		ret = guest_mem_listen(mem, &iommu->listener, err);
		if (ret)
			iommu->ops->detach(iommu, dev);
	}
	if (ret) {
		if (!iommu->devices)
			iommu_free(iommu);
		return ret;
	}
	iommu->devices++;
	dev->iommu = iommu;
	return 0;
}

void vfio_iommu_leave(struct vfio_device *dev)
{
	struct vfio_iommu *iommu = dev->iommu;

	if (!iommu)
		return;
	dev->iommu = NULL;
	if (iommu->devices == 1)
		guest_mem_unlisten(iommu->mem, &iommu->listener);
	iommu->ops->detach(iommu, dev);
	if (!--iommu->devices)
		iommu_free(iommu);
}
