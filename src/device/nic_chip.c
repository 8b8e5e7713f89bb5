/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation, receiving.
 *
 * Frames are taken from the back-end only while the chip has room (nic_rx.c holds what does not fit
 * any more). Without room they wait where they are and `stalled` is set. Chips without a receive
 * doorbell do not say when there is room again, so a stalled ring is looked at after LOOK_MIN, then
 * at intervals that double up to LOOK_MAX, and at once when the driver touches a register that it
 * touches after refilling (nic_chip_look).
 */
#include "device/nic_chip.h"
#include "device/nic_backend.h"
#include "device/nic_filter.h"
#include "base/thread.h"
#include "net/checksum.h"
#include "net/ether.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>

#define LOOK_MIN (50 * NSEC_PER_USEC)
#define LOOK_MAX (2 * NSEC_PER_MSEC)

/* Bulk begins with so many frames in an interval, and ends with fewer than the other. */
#define PACE_WINDOW 4 /* intervals */
#define PACE_BULK   4
#define PACE_SINGLE 1

/* An interrupt was held back in another thread: the worker must know when it is due. Masks are not
 * posted here, so one that is masked waits for nothing. */
static void irq_held(void *opaque)
{
	struct nic_chip *chip = opaque;
	uint64_t deadline = chip->irq.deadline;

	if (deadline != NIC_IRQ_NEVER && !nic_worker_self(&chip->worker))
		nic_worker_alarm(&chip->worker, deadline);
}

int nic_chip_init(struct nic_chip *chip, const struct nic_chip_model *model,
		  const struct nic_chip_setup *setup, struct error *err)
{
	struct pci_dev *dev = &chip->nic.pci;
	struct hostnet *hn = setup->hn;
	int ret;

	chip->model = model;
	chip->nic.nic_ops = model->nic_ops;
	chip->mem = setup->mem;
	chip->clock = setup->clock ? setup->clock : clock_ns;
	chip->real_fcs = setup->real_fcs;
	chip->admin_up = true;
	memcpy(chip->mac, setup->mac, sizeof(chip->mac));
	pthread_mutex_init(&chip->lock, NULL);
	snprintf(dev->id, sizeof(dev->id), "%s", setup->id);
	dev->ops = model->pci_ops;
	dev->host = setup->host;
	pci_dev_init(dev, &model->ids);
	pci_dev_use_intx(dev);
	nic_irq_init(&chip->irq, dev, irq_held, chip);
	nic_post_init(&chip->post, setup->host, model->posts, model->nposts, setup->post);
	ret = nic_worker_init(&chip->worker, model->step, chip, hn ? hn->ops->poll_fd(hn, 0) : -1,
			      err);
	if (ret)
		return ret;
	ret = nic_rx_init(&chip->rx, hn, model->rx_ops, chip, &chip->rx_flow);
	if (!ret)
		ret = nic_shadow_init(&chip->shadow, setup->host, setup->shadow);
	return ret ? error_set(err, ret, "%s: out of memory", setup->id) : 0;
}

static int memory_changed(struct mem_listener *listener, const struct mem_table *old,
			  const struct mem_table *table, struct error *err)
{
	struct nic_chip *chip = listener->opaque;

	pthread_mutex_lock(&chip->lock);
	nic_dma_set_table(&chip->dma, table);
	pthread_mutex_unlock(&chip->lock);
	return 0;
}

int nic_chip_start(struct nic_chip *chip, const struct nic_chip_setup *setup, struct error *err)
{
	int ret;

	chip->mem_listener = (struct mem_listener){
		.name = chip->model->nic_ops->name, .changed = memory_changed, .opaque = chip};
	ret = guest_mem_listen(setup->mem, &chip->mem_listener, err);
	if (ret)
		return ret;
	chip->listening = true;
	if (setup->threaded)
		ret = nic_worker_start(&chip->worker, setup->id, setup->cpu, err);
	if (!ret)
		chip->hn = setup->hn;
	return ret;
}

void nic_chip_fini(struct nic_chip *chip)
{
	nic_worker_stop(&chip->worker);
	capture_stop(chip->capture);
	chip->capture = NULL;
	if (chip->listening)
		guest_mem_unlisten(chip->mem, &chip->mem_listener);
	nic_rx_fini(&chip->rx);
	if (chip->hn)
		hostnet_close(chip->hn);
	nic_shadow_fini(&chip->shadow);
	nic_post_fini(&chip->post);
	nic_irq_fini(&chip->irq);
	pthread_mutex_destroy(&chip->lock);
	pci_dev_fini(&chip->nic.pci);
}

void nic_chip_add_pm(struct nic_chip *chip, uint16_t pmc)
{
	struct pci_dev *dev = &chip->nic.pci;
	unsigned pm = pci_dev_add_cap(dev, PCI_CAP_ID_PM, PCI_PM_SIZEOF);

	store_le16(dev->config + pm + PCI_PM_PMC, pmc);
	store_le16(dev->config + pm + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	store_le16(dev->writable + pm + PCI_PM_CTRL,
		   PCI_PM_CTRL_STATE_MASK | PCI_PM_CTRL_PME_ENABLE);
}

void nic_chip_lock(struct nic_chip *chip)
{
	atomic_fetch_add_explicit(&chip->waiters, 1, memory_order_relaxed);
	pthread_mutex_lock(&chip->lock);
	atomic_fetch_sub_explicit(&chip->waiters, 1, memory_order_relaxed);
}

void nic_chip_config_written(struct pci_dev *dev, unsigned offset, unsigned size)
{
	struct nic_chip *chip = nic_chip_of(dev);

	/* With the lock, for which a step that does DMA is waited. */
	nic_chip_lock(chip);
	chip->dma.allowed = pci_dev_bus_master(dev);
	pthread_mutex_unlock(&chip->lock);
	nic_chip_kick(chip);
}

void nic_chip_step_begin(struct nic_chip *chip)
{
	for (unsigned i = 0; i < 1000 && chip->waiters; i++)
		cpu_relax();
	nic_post_drain(&chip->post);
}

void nic_chip_cable(struct nic_chip *chip, bool up)
{
	if (up == chip->admin_up)
		return;
	chip->admin_up = up;
	nic_notify(&chip->nic, NIC_EVENT_LINK, "the guest's link is %s", up ? "up" : "down");
}

void nic_chip_pause(struct pci_dev *dev, bool paused)
{
	nic_worker_pause(&nic_chip_of(dev)->worker, paused);
}

void nic_chip_kick(struct nic_chip *chip)
{
	if (!nic_worker_self(&chip->worker))
		nic_worker_kick(&chip->worker);
}

void nic_chip_pace(struct nic_chip *chip, unsigned frames, uint64_t now)
{
	uint64_t interval = chip->post.interval, elapsed = now - chip->pace_since;
	bool bulk = chip->bulk;

	chip->pace_frames += frames;
	if (elapsed < PACE_WINDOW * interval)
		return;
	bulk = chip->pace_frames * interval >= elapsed * (bulk ? PACE_SINGLE : PACE_BULK);
	chip->pace_since = now;
	chip->pace_frames = 0;
	if (bulk == chip->bulk)
		return;
	chip->bulk = bulk;
	nic_irq_set_interval(&chip->irq, bulk ? interval : 0, now);
}

/* Whether a frame is there that finds no room. */
static bool frame_waits(struct nic_chip *chip)
{
	struct pollfd fd = {.fd = chip->worker.rx_fd, .events = POLLIN};

	return nic_rx_holds(&chip->rx) || (fd.fd >= 0 && poll(&fd, 1, 0) > 0);
}

static void stall(struct nic_chip *chip, uint64_t now)
{
	if (!chip->stalled) {
		chip->stalled_at = now;
		chip->look_interval = LOOK_MIN;
	} else {
		chip->look_interval = MIN(chip->look_interval * 2, LOOK_MAX);
	}
	chip->stalled = true;
	chip->look_at = now + chip->look_interval;
}

bool nic_chip_receive(struct nic_chip *chip, unsigned budget, uint64_t now, enum nic_drop deaf,
		      bool (*has_room)(struct nic_chip *chip))
{
	unsigned taken = 0;
	int ret = 1;

	if (deaf != NIC_DROP_COUNT) {
		nic_rx_flush(&chip->rx, deaf);
		chip->stalled = false;
		while (budget-- && ret > 0)
			ret = nic_rx_discard(&chip->rx, deaf);
		return ret > 0;
	}
	if (chip->stalled && now < chip->look_at)
		return false;
	while (taken < budget && ret > 0) {
		ret = has_room(chip) ? nic_rx_pull(&chip->rx) : -EAGAIN;
		taken++;
	}
	nic_chip_pace(chip, taken - (ret <= 0), now);
	if (ret == -EAGAIN && taken > 1)
		chip->stalled = false; /* a new stall: some frames found room */
	if (ret == -EAGAIN && frame_waits(chip))
		stall(chip, now);
	else
		chip->stalled = false;
	return ret > 0;
}

void nic_chip_look(struct nic_chip *chip)
{
	if (!chip->stalled)
		return;
	chip->look_at = 0;
	nic_chip_kick(chip);
}

int nic_chip_loop_back(struct nic_chip *chip, const struct net_frame *frame, enum nic_drop deaf)
{
	/* Rare and never in a hurry: in one piece, finished. */
	static _Thread_local uint8_t copy[NET_FRAME_MAX];
	struct iovec iov = {copy, frame->len};
	struct net_offload off = frame->off;
	struct nic_flow *flow = &chip->rx_flow;
	int ret = 0;

	flow->in++;
	flow->bytes_in += frame->len;
	iov_read(frame->iov, frame->niov, 0, copy, frame->len);
	if (off.gso_type || net_csum_complete(copy, frame->len, &off) < 0) {
		flow->drops[NIC_DROP_BAD_OFFLOAD]++;
		return 0;
	}
	if (deaf != NIC_DROP_COUNT) {
		flow->drops[deaf]++;
		return 0;
	}
	if (!chip->model->rx_ops->accepts(chip, copy, frame->len))
		return 0;
	ret = chip->model->rx_ops->deliver(chip, &iov, 1, frame->len, NIC_RX_CSUM_GOOD);
	if (ret == -EAGAIN)
		flow->drops[NIC_DROP_NO_BUFFER]++;
	return ret;
}

unsigned nic_chip_send(struct nic_chip *chip, const struct net_frame *frames, unsigned n, bool link,
		       uint64_t now)
{
	unsigned sent = n;

	if (link)
		sent = nic_tx_send(chip->hn, &chip->tx_flow, frames, n);
	else
		chip->tx_flow.drops[NIC_DROP_LINK_DOWN] += n;
	if (unlikely(chip->capture))
		nic_chip_record(chip, frames, sent, link);
	chip->tx_retry = sent < n ? now + NIC_CHIP_RETRY_NS : 0;
	nic_chip_pace(chip, sent, now);
	return sent;
}

void nic_chip_in(const struct nic_chip *chip, struct nic_chip_in *in, const struct iovec *iov,
		 unsigned niov, uint32_t len)
{
	uint32_t crc = NIC_CRC_INIT;

	*in = (struct nic_chip_in){.iov = iov, .niov = niov, .len = len};
	if (!chip->real_fcs)
		return;
	for (unsigned i = 0; i < niov; i++)
		crc = nic_crc32(crc, iov[i].iov_base, iov[i].iov_len);
	store_le32(in->fcs, ~crc);
}

void nic_chip_copy_out(const struct nic_chip_in *in, uint32_t offset, uint8_t *to, uint32_t n)
{
	const uint32_t tag_at = 2 * 6; /* behind the addresses */
	uint32_t part;

	if (in->untagged && n && offset < tag_at) {
		part = MIN(tag_at - offset, n);
		iov_read(in->iov, in->niov, offset, to, part);
		offset += part;
		to += part;
		n -= part;
	}
	if (n && offset < in->len) {
		part = MIN(in->len - offset, n);
		iov_read(in->iov, in->niov, offset + (in->untagged ? ETHER_VLAN_HLEN : 0), to,
			 part);
		offset += part;
		to += part;
		n -= part;
	}
	if (n)
		memcpy(to, in->fcs + (offset - in->len), MIN(n, NIC_CHIP_FCS));
}

static int read_bool(const struct nic_params *params, const char *key, bool *out, struct error *err)
{
	const char *text = options_get(params->opts, key);

	return text ? option_bool(key, text, out, err) : 0;
}

int nic_chip_options(const struct nic_params *params, struct nic_chip_setup *setup,
		     struct error *err)
{
	const char *cpu = options_get(params->opts, "worker-cpu");
	uint64_t value = 0;
	int ret;

	*setup = (struct nic_chip_setup){
		.id = params->id,
		.host = params->host,
		.mem = params->mem,
		.threaded = true,
		.post = true,
		.shadow = true,
		.cpu = THREAD_ANY_CPU,
	};
	memcpy(setup->mac, params->mac, sizeof(setup->mac));
	ret = read_bool(params, "fcs", &setup->real_fcs, err);
	if (!ret)
		ret = read_bool(params, "post", &setup->post, err);
	if (!ret)
		ret = read_bool(params, "shadow", &setup->shadow, err);
	if (!ret && cpu) {
		ret = option_u64("worker-cpu", cpu, 0, 4095, &value, err);
		setup->cpu = ret ? THREAD_ANY_CPU : (int)value;
	}
	return ret ? ret : nic_backend_open(params, &setup->hn, err);
}

static void emit_machinery(struct nic_chip *chip,
			   void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	char name[64];

	emit(arg, "interrupts", chip->irq.asserted);
	emit(arg, "interrupts_delayed", chip->irq.delayed);
	for (unsigned i = 0; i < chip->model->naccesses; i++) {
		snprintf(name, sizeof(name), "accesses_%s", chip->model->access_names[i]);
		emit(arg, name, chip->accesses[i]);
	}
	emit(arg, "doorbell_switches", chip->post.switches);
	emit(arg, "register_page_switches", chip->shadow.switches);
	emit(arg, "worker_steps", chip->worker.steps);
	emit(arg, "worker_sleeps", chip->worker.sleeps);
	emit(arg, "worker_kicks", chip->worker.kicks);
}

void nic_chip_counters(struct nic *nic, void (*emit)(void *arg, const char *name, uint64_t value),
		       void *arg)
{
	struct nic_chip *chip = nic_chip_of(&nic->pci);
	struct nic_flow tx, rx;
	uint64_t held, faults;

	pthread_mutex_lock(&chip->lock);
	tx = chip->tx_flow;
	rx = chip->rx_flow;
	held = chip->rx.held_frames;
	faults = chip->dma.faults;
	pthread_mutex_unlock(&chip->lock);
	nic_flow_emit(&tx, "tx", emit, arg);
	nic_flow_emit(&rx, "rx", emit, arg);
	emit(arg, "rx_held_frames", held);
	emit(arg, "dma_faults", faults);
	emit_machinery(chip, emit, arg);
}
