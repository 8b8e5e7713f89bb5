/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest can do to a virtio-net by its registers and its control queue: any write, in any
 * order, over rings and commands of any content. The data plane is one that aborts when it is
 * started twice, stopped unstarted, or configured while it is stopped.
 */
#include "fuzz.h"

#include "../unit/fake_host.h"
#include "../unit/fake_plane.h"
#include "../unit/guest_virtio.h"
#include "base/log.h"
#include "device/virtio_net.h"

#include <linux/pci_regs.h>

#define AREA (64 * KIB) /* of guest memory, where everything is */

static struct fake_host host;
static struct virtio_net *net;
static struct gv gv;

static void plug(uint8_t how)
{
	static const char *const options[] = {"", "queues=3", "packed=on", "queues=2,packed=on"};
	struct nic_params params = {.id = "net0",
				    .backend = "fake",
				    .host = &host.host,
				    .mem = host.mem,
				    .loop = host.host.loop,
				    .mac = {2, 0, 0, 0, 0, 1}};
	struct options opts;
	struct nic *nic;
	struct error err;

	fuzz_assert(!options_parse(&opts, options[how % 4], &err));
	params.opts = &opts;
	fuzz_assert(!virtio_net_create_on(&fake_plane_ops, &params, &nic, &err));
	options_free(&opts);
	fuzz_assert(!pci_bus_add(host.pci, &nic->pci, 1, 0, &err));
	net = (struct virtio_net *)nic;
	gv_probe(&gv, &host, 1);
}

static void any_register(struct fuzz_input *in)
{
	unsigned reg = fuzz_u8(in) % (VPCI_COMMON_SIZE + 4);
	unsigned size = 1u << fuzz_u8(in) % 4;
	uint64_t value = fuzz_u16(in);

	if (fuzz_u8(in) & 3)
		fake_write(&host, gv.common + reg, value, size);
	else
		fake_read(&host, gv.common + reg, size);
}

static void status(struct fuzz_input *in)
{
	static const uint8_t values[] = {0, 1, 3, 0x0b, 0x0f, 0x8f};

	gv_put(&gv, VPCI_COMMON_STATUS, 1, values[fuzz_u8(in) % sizeof(values)]);
}

static void negotiate(struct fuzz_input *in)
{
	struct virtio_features f = gv_offered(&gv);

	for (uint8_t n = fuzz_u8(in) % 4; n; n--)
		features_set(&f, fuzz_u8(in) % 64, false);
	(void)gv_negotiate(&gv, &f);
}

/* A queue somewhere in the area, or not quite. */
static void queue(struct fuzz_input *in)
{
	gv_put(&gv, VPCI_COMMON_Q_SELECT, 2, fuzz_u8(in) % 9);
	gv_put(&gv, VPCI_COMMON_Q_SIZE, 2, fuzz_u8(in));
	gv_put(&gv, VPCI_COMMON_Q_MSIX, 2, fuzz_u8(in));
	gv_put(&gv, VPCI_COMMON_Q_DESC, 8, fuzz_u16(in) & 0xfff0);
	gv_put(&gv, VPCI_COMMON_Q_DRIVER, 8, fuzz_u16(in) & 0xfffc);
	gv_put(&gv, VPCI_COMMON_Q_DEVICE, 8, fuzz_u16(in) & 0xfffc);
	gv_put(&gv, VPCI_COMMON_Q_ENABLE, 2, 1);
}

static void memory(struct fuzz_input *in)
{
	uint8_t bytes[32];
	unsigned at = fuzz_u16(in), len = fuzz_u8(in) % sizeof(bytes);

	fuzz_bytes(in, bytes, len);
	(void)mem_write(guest_mem_table(host.mem), at, bytes, len);
}

static void kick(struct fuzz_input *in)
{
	fake_write(&host, gv.notify + fuzz_u8(in) % 40, fuzz_u8(in), 1u << fuzz_u8(in) % 4);
	fake_pump(&host);
}

/* A command of the input's bytes, past the queue. */
static void command(struct fuzz_input *in)
{
	uint8_t bytes[256];
	unsigned len = fuzz_u8(in);

	fuzz_bytes(in, bytes, len);
	if (net->ctrl_running)
		(void)virtio_net_command(net, bytes, len);
	fuzz_assert(net->config.active_pairs >= 1 && net->config.active_pairs <= net->pairs);
	fuzz_assert(net->config.filter.uni_count + net->config.filter.multi_count <=
		    RX_FILTER_MACS);
	fuzz_assert(net->config.rss.table_len <= RSS_TABLE_MAX);
}

static void other(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), arg = fuzz_u8(in);

	if (what < 0x20)
		fake_plane.events->queue_broken(fake_plane.events->opaque, arg % 8, 1 + arg % 4);
	else if (what < 0x40)
		net->nic.nic_ops->set_link(&net->nic, arg & 1);
	else if (what < 0x60)
		virtio_pause(&net->vdev, arg & 1);
	else if (what < 0x80)
		fake_config_write(&host, 1, PCI_COMMAND, 2, arg | PCI_COMMAND_MEMORY);
	else if (what < 0xa0)
		fake_config_write(&host, 1, gv.cfg_cap + 4 + arg % 16, 1, fuzz_u8(in));
	else if (what < 0xb0)
		fake_config_write(&host, 1, gv.msix_cap + PCI_MSIX_FLAGS, 2, (uint32_t)arg << 8);
	else if (what < 0xc0)
		gv_vector(&gv, arg % 8, arg);
	else if (what < 0xd0)
		fake_plane.queue_result = arg & 1 ? -95 : 0;
	else if (what < 0xd8)
		fake_plane.start_result = arg & 1 ? -5 : 0;
	else if (what < 0xe0)
		fake_read(&host, gv.isr, 1);
	else if (what < 0xe4)
		pci_bus_reset(host.pci);
	fake_config_write(&host, 1, PCI_COMMAND, 2,
			  fake_config_read(&host, 1, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct fuzz_input *) = {
		any_register, status, negotiate, queue, memory, kick, command, other};
	struct fuzz_input in = {data, size};

	log_set_level(LOG_LEVEL_ERROR);
	fake_plane_reset();
	fake_host_init(&host);
	plug(fuzz_u8(&in));
	while (in.left)
		steps[fuzz_u8(&in) % (sizeof(steps) / sizeof(steps[0]))](&in);
	gv_fini(&gv);
	fake_host_fini(&host);
	fuzz_assert(!fake_plane.open);
	return 0;
}
