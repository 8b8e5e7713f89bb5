// SPDX-License-Identifier: Apache-2.0
#include "fake_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

static struct fake_host *fake_of(struct bus_host *host)
{
	return container_of(host, struct fake_host, host);
}

static void record(struct fake_host *h, const struct msi_msg *msg)
{
	if (h->nsent < ARRAY_SIZE(h->sent))
		h->sent[h->nsent] = *msg;
	h->nsent++;
}

static int msi_send(struct bus_host *host, const struct msi_msg *msg)
{
	struct fake_host *h = fake_of(host);

	pthread_mutex_lock(&h->lock);
	record(h, msg);
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static int irqfd_attach(struct bus_host *host, int fd, const struct msi_msg *msg, unsigned *handle)
{
	struct fake_host *h = fake_of(host);
	int ret = -ENOTSUP;
	eventfd_t count;

	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; !h->no_irqfd && i < ARRAY_SIZE(h->irqfds); i++) {
		if (h->irqfds[i].used)
			continue;
		h->irqfds[i] = (struct fake_irqfd){true, fd, *msg};
		*handle = i;
		ret = 0;
		if (!eventfd_read(fd, &count))
			record(h, msg);
		break;
	}
	pthread_mutex_unlock(&h->lock);
	return ret;
}

static int irqfd_update(struct bus_host *host, unsigned handle, const struct msi_msg *msg)
{
	struct fake_host *h = fake_of(host);

	pthread_mutex_lock(&h->lock);
	h->irqfds[handle].msg = *msg;
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static void irqfd_detach(struct bus_host *host, int fd, unsigned handle)
{
	struct fake_host *h = fake_of(host);

	pthread_mutex_lock(&h->lock);
	if (!h->irqfds[handle].used || h->irqfds[handle].fd != fd)
		abort();
	h->irqfds[handle].used = false;
	pthread_mutex_unlock(&h->lock);
}

static void irq_line(struct bus_host *host, unsigned gsi, bool level)
{
	struct fake_host *h = fake_of(host);

	pthread_mutex_lock(&h->lock);
	if (h->lines[gsi] == level)
		abort(); /* only changes are told */
	h->lines[gsi] = level;
	h->line_changes++;
	pthread_mutex_unlock(&h->lock);
}

static int irqfd_line(struct bus_host *host, bool add, unsigned gsi, int fd, int resample)
{
	struct fake_host *h = fake_of(host);

	if (!h->has_irqfd_line)
		return -ENOTSUP;
	if (add == (h->line_fd >= 0) || (!add && (h->line_fd != fd || h->line_gsi != gsi)))
		abort();
	h->line_gsi = gsi;
	h->line_fd = add ? fd : -1;
	h->line_resample = add ? resample : -1;
	return 0;
}

static void vfio_file(struct bus_host *host, bool add, int fd)
{
	struct fake_host *h = fake_of(host);

	h->vfio_files += add ? 1U : -1U;
}

static bool same(const struct fake_ioeventfd *a, const struct fake_ioeventfd *b)
{
	return a->used && a->space == b->space && a->addr == b->addr && a->len == b->len &&
	       a->fd == b->fd && a->by_value == b->by_value && a->value == b->value;
}

static int add_ioeventfd(struct fake_host *h, bool add, const struct fake_ioeventfd *wanted)
{
	int ret = add ? -ENOSPC : -ENOENT;

	if (h->no_ioeventfd)
		return -ENOTSUP;
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(h->ioeventfds) && ret; i++) {
		struct fake_ioeventfd *io = &h->ioeventfds[i];

		if (add ? io->used : !same(io, wanted))
			continue;
		*io = *wanted;
		io->used = add;
		ret = 0;
	}
	pthread_mutex_unlock(&h->lock);
	return ret;
}

static int ioeventfd(struct bus_host *host, bool add, enum bus_space space, uint64_t addr,
		     unsigned len, int fd)
{
	struct fake_ioeventfd wanted = {true, space, addr, len, fd, false, 0};

	return add_ioeventfd(fake_of(host), add, &wanted);
}

static int ioeventfd_value(struct bus_host *host, bool add, enum bus_space space, uint64_t addr,
			   unsigned len, uint64_t value, int fd)
{
	struct fake_ioeventfd wanted = {true, space, addr, len, fd, true, value};

	return add_ioeventfd(fake_of(host), add, &wanted);
}

static int coalesce(struct bus_host *host, bool add, enum bus_space space, uint64_t addr,
		    unsigned len)
{
	struct fake_zone wanted = {true, space, addr, len};
	struct fake_host *h = fake_of(host);
	int ret = add ? -ENOSPC : -ENOENT;

	if (h->no_coalesce)
		return -ENOTSUP;
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(h->zones) && ret; i++) {
		struct fake_zone *z = &h->zones[i];

		if (add ? z->used
			: !z->used || z->space != space || z->addr != addr || z->len != len)
			continue;
		*z = wanted;
		z->used = add;
		ret = 0;
	}
	pthread_mutex_unlock(&h->lock);
	return ret;
}

/* First to last, as the VMM does it: who drains at the same time cannot swap two writes. */
static void coalesce_drain(struct bus_host *host)
{
	struct fake_host *h = fake_of(host);
	struct fake_posted posted[ARRAY_SIZE(h->posted)];
	uint8_t bytes[8];
	unsigned n;

	pthread_mutex_lock(&h->ring_lock);
	pthread_mutex_lock(&h->lock);
	n = h->nposted;
	memcpy(posted, h->posted, n * sizeof(*posted));
	h->nposted = 0;
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < n; i++) {
		store_le64(bytes, posted[i].value);
		bus_write(h->mmio, posted[i].addr, bytes, posted[i].size);
	}
	pthread_mutex_unlock(&h->ring_lock);
}

static int map_memory(struct bus_host *host, uint64_t gpa, uint64_t size, void *hva, bool readonly)
{
	struct fake_host *h = fake_of(host);
	int ret = -ENOSPC;

	if (h->no_map)
		return -ENOTSUP;
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(h->maps) && ret; i++) {
		if (h->maps[i].used)
			continue;
		h->maps[i] = (struct fake_map){true, gpa, size, hva, readonly};
		ret = 0;
	}
	pthread_mutex_unlock(&h->lock);
	return ret;
}

static int lend_memory(struct bus_host *host, uint64_t gpa, uint64_t size, void *hva)
{
	return map_memory(host, gpa, size, hva, false);
}

static int unmap_memory(struct bus_host *host, uint64_t gpa)
{
	struct fake_host *h = fake_of(host);
	int ret = -ENOENT;

	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(h->maps) && ret; i++) {
		if (!h->maps[i].used || h->maps[i].gpa != gpa)
			continue;
		h->maps[i].used = false;
		ret = 0;
	}
	pthread_mutex_unlock(&h->lock);
	return ret;
}

const uint8_t *fake_mapped(struct fake_host *h, uint64_t addr, unsigned size)
{
	const uint8_t *p = NULL;

	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(h->maps); i++) {
		const struct fake_map *m = &h->maps[i];

		if (m->used && addr >= m->gpa && addr - m->gpa + size <= m->size)
			p = m->hva + (addr - m->gpa);
	}
	pthread_mutex_unlock(&h->lock);
	return p;
}

static const struct bus_host_ops ops = {
	.msi_send = msi_send,
	.irqfd_attach = irqfd_attach,
	.irqfd_update = irqfd_update,
	.irqfd_detach = irqfd_detach,
	.irq_line = irq_line,
	.irqfd_line = irqfd_line,
	.ioeventfd = ioeventfd,
	.ioeventfd_value = ioeventfd_value,
	.coalesce = coalesce,
	.coalesce_drain = coalesce_drain,
	.map_memory = map_memory,
	.unmap_memory = unmap_memory,
	.lend_memory = lend_memory,
	.vfio_file = vfio_file,
};

static void must(bool ok, const struct error *err)
{
	if (ok)
		return;
	fprintf(stderr, "fake host: %s\n", err->text);
	abort();
}

void fake_host_init(struct fake_host *h)
{
	const struct pci_windows windows = {
		.ecam_base = FAKE_ECAM,
		.mem32_base = FAKE_MEM32,
		.mem32_size = 16 * MIB,
		.mem64_base = FAKE_MEM64,
		.mem64_size = GIB,
		.io_base = 0xc000,
		.io_size = 0x1000,
		.intx_gsi = {16, 17, 18, 19},
	};
	struct error err = {0};

	memset(h, 0, sizeof(*h));
	pthread_mutex_init(&h->lock, NULL);
	pthread_mutex_init(&h->ring_lock, NULL);
	h->line_fd = h->line_resample = -1;
	h->host.ops = &ops;
	h->host.loop = loop_create(&err);
	must(h->host.loop, &err);
	h->mem = guest_mem_create(&err);
	must(h->mem, &err);
	must(!guest_mem_add_ram(h->mem, "ram", 0, FAKE_RAM, NULL, &err), &err);
	h->mmio = bus_create("mmio", &err);
	h->pio = bus_create("port", &err);
	h->pci = pci_bus_create(&h->host, h->mmio, h->pio, &windows, &err);
	must(h->pci, &err);
}

void fake_host_fini(struct fake_host *h)
{
	pci_bus_destroy(h->pci);
	if (fake_irqfds(h) || fake_ioeventfds(h) || h->line_fd >= 0 || h->vfio_files)
		abort(); /* a device left something behind */
	for (unsigned i = 0; i < ARRAY_SIZE(h->maps); i++)
		if (h->maps[i].used)
			abort();
	bus_destroy(h->mmio);
	bus_destroy(h->pio);
	guest_mem_destroy(h->mem);
	loop_destroy(h->host.loop);
	pthread_mutex_destroy(&h->lock);
	pthread_mutex_destroy(&h->ring_lock);
}

static int taken_by_ioeventfd(struct fake_host *h, uint64_t addr, uint64_t value, unsigned size)
{
	int fd = -1;

	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(h->ioeventfds); i++) {
		const struct fake_ioeventfd *io = &h->ioeventfds[i];

		if (io->used && io->space == BUS_MMIO && io->addr == addr &&
		    (!io->len || io->len == size) && (!io->by_value || io->value == value))
			fd = io->fd;
	}
	pthread_mutex_unlock(&h->lock);
	return fd;
}

bool fake_is_posted(struct fake_host *h, uint64_t addr, unsigned size)
{
	bool found = false;

	for (unsigned i = 0; i < ARRAY_SIZE(h->zones); i++) {
		const struct fake_zone *z = &h->zones[i];

		found |= z->used && z->space == BUS_MMIO && addr >= z->addr &&
			 addr + size <= z->addr + z->len;
	}
	return found;
}

/* As KVM does: into the ring while there is room. */
static bool post(struct fake_host *h, uint64_t addr, uint64_t value, unsigned size)
{
	bool done;

	pthread_mutex_lock(&h->lock);
	done = fake_is_posted(h, addr, size) && h->nposted < ARRAY_SIZE(h->posted);
	if (done)
		h->posted[h->nposted++] = (struct fake_posted){addr, value, size};
	pthread_mutex_unlock(&h->lock);
	return done;
}

void fake_write(struct fake_host *h, uint64_t addr, uint64_t value, unsigned size)
{
	int fd = taken_by_ioeventfd(h, addr, value, size);
	uint8_t bytes[8];

	if (post(h, addr, value, size))
		return;
	coalesce_drain(&h->host);
	store_le64(bytes, value);
	if (fd >= 0)
		(void)eventfd_write(fd, 1);
	else
		bus_write(h->mmio, addr, bytes, size);
}

/* A load, as a guest makes it: of a page that is changed meanwhile. */
static uint64_t load_mapped(const uint8_t *p, unsigned size)
{
	const void *at = p;

	switch (size) {
	case 1:
		return __atomic_load_n(p, __ATOMIC_ACQUIRE);
	case 2:
		return le16toh(__atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE));
	case 4:
		return le32toh(__atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE));
	default:
		return le64toh(__atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE));
	}
}

uint64_t fake_read(struct fake_host *h, uint64_t addr, unsigned size)
{
	const uint8_t *mapped = fake_mapped(h, addr, size);
	uint8_t bytes[8] = {0};

	if (mapped)
		return load_mapped(mapped, size);
	coalesce_drain(&h->host);
	bus_read(h->mmio, addr, bytes, size);
	return load_le64(bytes);
}

uint32_t fake_config_read(struct fake_host *h, unsigned slot, unsigned reg, unsigned size)
{
	return (uint32_t)fake_read(h, FAKE_ECAM + (slot << 15) + reg, size);
}

void fake_config_write(struct fake_host *h, unsigned slot, unsigned reg, unsigned size,
		       uint32_t value)
{
	fake_write(h, FAKE_ECAM + (slot << 15) + reg, value, size);
}

void fake_pump(struct fake_host *h)
{
	eventfd_t count;

	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(h->irqfds); i++)
		if (h->irqfds[i].used && !eventfd_read(h->irqfds[i].fd, &count))
			record(h, &h->irqfds[i].msg);
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < 4; i++)
		loop_run_once(h->host.loop, 0);
}

unsigned fake_irqfds(const struct fake_host *h)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(h->irqfds); i++)
		n += h->irqfds[i].used;
	return n;
}

unsigned fake_ioeventfds(const struct fake_host *h)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(h->ioeventfds); i++)
		n += h->ioeventfds[i].used;
	return n;
}

unsigned fake_sent(const struct fake_host *h, uint32_t data)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MIN(h->nsent, (unsigned)ARRAY_SIZE(h->sent)); i++)
		n += h->sent[i].data == data;
	return n;
}
