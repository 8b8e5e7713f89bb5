/* SPDX-License-Identifier: Apache-2.0 */
#include "vring/vring.h"

#include "vring/layout.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

static const char *const fault_names[] = {
	[VRING_OK] = "no fault",
	[VRING_BAD_ADDRESS] = "a descriptor's range does not lie inside guest memory",
	[VRING_BAD_RING] = "the ring does not lie inside guest memory",
	[VRING_BAD_INDEX] = "more was made available than the ring can hold",
	[VRING_BAD_HEAD] = "a descriptor number is outside the table",
	[VRING_CHAIN_LOOP] = "a chain is longer than the ring or its table",
	[VRING_CHAIN_TOO_LONG] = "a chain has more parts than this device takes",
	[VRING_BAD_INDIRECT] = "an indirect table is not negotiated, nested or of a wrong size",
	[VRING_BAD_ORDER] = "a readable descriptor follows a writable one",
	[VRING_BAD_LENGTH] = "a chain describes 4 GiB or more",
	[VRING_MISS] = "an address's translation is not known yet",
	[VRING_BAD_USED] = "a buffer was returned that was not out",
};
static_assert(ARRAY_SIZE(fault_names) == VRING_FAULT_COUNT, "each fault has a name");

const char *vring_fault_name(enum vring_fault fault)
{
	return (unsigned)fault < VRING_FAULT_COUNT ? fault_names[fault] : "unknown fault";
}

/* 2.7 and 2.8.10: the table of sizes and alignments. */
uint64_t vring_desc_bytes(const struct vring_config *cfg)
{
	return sizeof(struct ring_desc) * (uint64_t)cfg->size;
}

uint64_t vring_driver_bytes(const struct vring_config *cfg)
{
	return cfg->packed ? 4 : 6 + 2 * (uint64_t)cfg->size;
}

uint64_t vring_device_bytes(const struct vring_config *cfg)
{
	return cfg->packed ? 4 : 6 + 8 * (uint64_t)cfg->size;
}

int ring_check(const struct vring_config *cfg, struct error *err)
{
	unsigned driver_align = cfg->packed ? 4 : 2;

	if (!cfg->size || cfg->size > VRING_SIZE_MAX)
		return error_set(err, -EINVAL, "virtqueue: size %u is not in 1 … %u", cfg->size,
				 VRING_SIZE_MAX);
	if (!cfg->packed && !is_pow2(cfg->size))
		return error_set(err, -EINVAL, "virtqueue: size %u is not a power of two",
				 cfg->size);
	if (cfg->desc % 16 || cfg->driver % driver_align || cfg->device % 4)
		return error_set(err, -EINVAL,
				 "virtqueue: misaligned: descriptors 0x%" PRIx64
				 ", driver area 0x%" PRIx64 ", device area 0x%" PRIx64,
				 cfg->desc, cfg->driver, cfg->device);
	return 0;
}

int ring_map(const struct vring_config *cfg, const struct mem_table *table, bool driver_side,
	     struct ring_parts *parts, struct error *err)
{
	/* A packed ring's descriptors are written by both sides. */
	enum mem_access desc = driver_side || cfg->packed ? MEM_WRITE : MEM_READ;
	enum mem_access driver = driver_side ? MEM_WRITE : MEM_READ;
	enum mem_access device = driver_side ? MEM_READ : MEM_WRITE;

	/* Who starts a ring has seen to it that all of it has arrived. */
	if (table->late)
		table = table->physical;
	parts->desc = mem_translate(table, cfg->desc, vring_desc_bytes(cfg), desc);
	parts->driver = mem_translate(table, cfg->driver, vring_driver_bytes(cfg), driver);
	parts->device = mem_translate(table, cfg->device, vring_device_bytes(cfg), device);
	if (!parts->desc || !parts->driver || !parts->device)
		return error_set(err, -EFAULT, "virtqueue: %s at 0x%" PRIx64 " not in guest memory",
				 !parts->desc	  ? "descriptors"
				 : !parts->driver ? "driver area"
						  : "device area",
				 !parts->desc	  ? cfg->desc
				 : !parts->driver ? cfg->driver
						  : cfg->device);
	return 0;
}

int vring_used_idx(const struct vring_config *cfg, const struct mem_table *table, uint16_t *idx)
{
	const struct split_used *used =
		mem_translate(table, cfg->device, vring_device_bytes(cfg), MEM_READ);

	if (!used || cfg->device % 4)
		return -EFAULT;
	*idx = ring_acquire(&used->idx);
	return 0;
}

static int look_split(const struct vring_config *cfg, const struct mem_table *table,
		      struct vring_view *view)
{
	const struct split_avail *avail =
		mem_translate(table, cfg->driver, vring_driver_bytes(cfg), MEM_READ);
	int ret = vring_used_idx(cfg, table, &view->used_idx);

	if (ret || !avail || cfg->driver % 2)
		return -EFAULT;
	view->avail_idx = ring_acquire(&avail->idx);
	view->indexes = true;
	view->waiting = (uint16_t)(view->avail_idx - view->used_idx);
	/* More than fit: the driver writes nonsense. */
	view->waiting = MIN(view->waiting, cfg->size);
	return 0;
}

int vring_look(const struct vring_config *cfg, const struct mem_table *table,
	       struct vring_view *view)
{
	const struct ring_desc *desc;

	*view = (struct vring_view){0};
	if (!cfg->packed)
		return look_split(cfg, table, view);
	desc = mem_translate(table, cfg->desc, vring_desc_bytes(cfg), MEM_READ);
	if (!desc || cfg->desc % 16)
		return -EFAULT;
	for (uint32_t i = 0; i < cfg->size; i++) {
		uint16_t flags = (uint16_t)(ring_load(&desc[i].meta) >> 48);

		view->waiting += !(flags & DESC_AVAIL) != !(flags & DESC_USED);
	}
	return 0;
}
