/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_DMA_H
#define DEVICE_NIC_DMA_H

#include "mem/dirty_log.h"
#include "mem/guest_mem.h"

#include <sys/uio.h>

/*
 * Bus mastering of an emulated NIC. All DMA goes through a memory table, which knows guest RAM and
 * nothing else: an address in a BAR, the device's own included, is an error like any other, so DMA
 * cannot come back into a register. The table is the device's own pointer, replaced by its memory
 * listener under the device's lock, under which all DMA is done.
 *
 * A register or config write that stops the device changes what the data path looks at under that
 * lock. So it returns only when DMA that was going on has ended, and none begins after it: a driver
 * may free its memory then.
 */
struct nic_dma {
	const struct mem_table *table;
	const struct mem_region *hit; /* where the last access went */
	uint64_t faults;	      /* accesses refused */
	bool allowed;		      /* bus mastering, as last written to config space */
};

static inline void nic_dma_set_table(struct nic_dma *dma, const struct mem_table *table)
{
	dma->table = table;
	dma->hit = NULL;
}

/** Host address of guest memory to read, or NULL. */
static inline const void *nic_dma_read_ptr(struct nic_dma *dma, uint64_t gpa, uint64_t len)
{
	const void *p =
		dma->table ? mem_translate_hit(dma->table, &dma->hit, gpa, len, MEM_READ) : NULL;

	dma->faults += !p;
	return p;
}

/** Describes guest memory to read in *iov; false if it is none. */
static inline bool nic_dma_iov(struct nic_dma *dma, uint64_t gpa, uint32_t len, struct iovec *iov)
{
	iov->iov_base =
		dma->table ? mem_translate_hit(dma->table, &dma->hit, gpa, len, MEM_READ) : NULL;
	iov->iov_len = len;
	dma->faults += !iov->iov_base;
	return iov->iov_base;
}

/** Host address of guest memory that will be written by the caller now, or NULL. */
static inline void *nic_dma_write_ptr(struct nic_dma *dma, uint64_t gpa, uint64_t len)
{
	void *p = dma->table ? mem_translate_hit(dma->table, &dma->hit, gpa, len, MEM_WRITE) : NULL;

	dma->faults += !p;
	return p;
}

/** After writing: marks it for whoever follows the guest's memory. */
static inline void nic_dma_wrote(struct nic_dma *dma, uint64_t gpa, uint64_t len)
{
	if (unlikely(dma->table->dirty))
		dirty_log_mark(dma->table->dirty, gpa, len);
}

/** Copies; false if the range is not guest memory. */
static inline bool nic_dma_read(struct nic_dma *dma, uint64_t gpa, void *buf, uint64_t len)
{
	const void *p = nic_dma_read_ptr(dma, gpa, len);

	if (p)
		memcpy(buf, p, len);
	return p;
}

static inline bool nic_dma_write(struct nic_dma *dma, uint64_t gpa, const void *buf, uint64_t len)
{
	void *p = nic_dma_write_ptr(dma, gpa, len);

	if (!p)
		return false;
	memcpy(p, buf, len);
	nic_dma_wrote(dma, gpa, len);
	return true;
}

/** Whether the guest allows DMA at all. */
static inline bool nic_dma_allowed(const struct nic_dma *dma)
{
	return dma->allowed;
}

#endif
