// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net's control virtqueue (virtio 1.2, 5.1.6.5), served by the main loop.
 *
 * A command is copied out of guest memory once; only the copy is looked at. A command says what
 * the whole configuration is to be changed to: handlers change a copy of it, and only if the
 * handler accepts the command and the plane accepts the configuration is it kept.
 */
#include "device/virtio_net.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/iov.h"
#include "base/log.h"

#define COMMANDS_A_ROUND 64 /* then the loop's other business has its turn */

enum { NET_OK = 0, NET_ERR = 1 };

/* A command's data, taken from the front. */
struct reader {
	const uint8_t *p;
	size_t left;
};

static const uint8_t *take(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->left < n)
		return NULL;
	r->p += n;
	r->left -= n;
	return p;
}

static bool take_u8(struct reader *r, uint8_t *v)
{
	const uint8_t *p = take(r, 1);

	if (p)
		*v = *p;
	return p;
}

static bool take_u16(struct reader *r, uint16_t *v)
{
	const uint8_t *p = take(r, 2);

	if (p)
		*v = load_le16(p);
	return p;
}

static bool take_u32(struct reader *r, uint32_t *v)
{
	const uint8_t *p = take(r, 4);

	if (p)
		*v = load_le32(p);
	return p;
}

typedef bool handler(struct virtio_net *net, struct reader *r, struct plane_net_config *c);

static bool rx_switch(struct reader *r, bool *flag)
{
	uint8_t on;

	if (!take_u8(r, &on))
		return false;
	*flag = on;
	return true;
}

static bool rx_promisc(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return rx_switch(r, &c->filter.promisc);
}

static bool rx_allmulti(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return rx_switch(r, &c->filter.allmulti);
}

static bool rx_alluni(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return rx_switch(r, &c->filter.alluni);
}

static bool rx_nomulti(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return rx_switch(r, &c->filter.nomulti);
}

static bool rx_nouni(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return rx_switch(r, &c->filter.nouni);
}

static bool rx_nobcast(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return rx_switch(r, &c->filter.nobcast);
}

/* One of the two tables, put at macs[at]; more than fits means all of its kind (5.1.6.5.2.2). */
static bool mac_table(struct reader *r, struct rx_filter *f, unsigned at, unsigned *count,
		      bool *overflow)
{
	const uint8_t *macs;
	uint32_t n;

	if (!take_u32(r, &n) || n > VIRTIO_NET_CTRL_MAX / 6)
		return false;
	macs = take(r, (size_t)n * 6);
	if (!macs)
		return false;
	*overflow = n > RX_FILTER_MACS - at;
	*count = *overflow ? 0 : n;
	if (*count)
		memcpy(f->macs[at], macs, (size_t)n * 6);
	return true;
}

static bool mac_table_set(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	struct rx_filter *f = &c->filter;

	return mac_table(r, f, 0, &f->uni_count, &f->mac_overflow_uni) &&
	       mac_table(r, f, f->uni_count, &f->multi_count, &f->mac_overflow_multi);
}

static bool mac_addr_set(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	const uint8_t *mac = take(r, 6);

	if (!mac)
		return false;
	memcpy(c->filter.mac, mac, 6);
	return true;
}

static bool vlan_bit(struct reader *r, struct plane_net_config *c, bool on)
{
	uint16_t vid;

	if (!take_u16(r, &vid) || vid >= 4096)
		return false;
	if (on)
		c->filter.vlans[vid / 8] |= (uint8_t)(1 << (vid % 8));
	else
		c->filter.vlans[vid / 8] &= (uint8_t) ~(1 << (vid % 8));
	return true;
}

static bool vlan_add(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return vlan_bit(r, c, true);
}

static bool vlan_del(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return vlan_bit(r, c, false);
}

static bool announce_ack(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	pthread_mutex_lock(&net->vdev.lock);
	net->vdev.config[VNET_CONFIG_STATUS] &= (uint8_t)~VNET_STATUS_ANNOUNCE;
	pthread_mutex_unlock(&net->vdev.lock);
	return true;
}

static bool mq_pairs_set(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	uint16_t pairs;

	if (!take_u16(r, &pairs) || !pairs || pairs > net->pairs)
		return false;
	c->active_pairs = pairs;
	c->rss.enabled = false; /* 5.1.6.5.6.2: the latest command decides how to steer */
	return true;
}

/*
 * A key, after its length; also the end of RSS_CONFIG and HASH_CONFIG. Linux 6.12 sends a structure
 * of its own instead, padded to four bytes, and does without RSS if that is refused.
 */
static bool rss_key(struct reader *r, struct rss_config *rss)
{
	const uint8_t *key;

	if (!take_u8(r, &rss->key_len) || rss->key_len > RSS_KEY_MAX)
		return false;
	key = take(r, rss->key_len);
	if (!key)
		return false;
	memset(rss->key, 0, sizeof(rss->key));
	memcpy(rss->key, key, rss->key_len);
	if (r->left < 4)
		take(r, r->left);
	return true;
}

static bool rss_table(struct reader *r, struct rss_config *rss, uint16_t mask, unsigned pairs)
{
	if (mask >= RSS_TABLE_MAX || !is_pow2(mask + 1u))
		return false;
	rss->table_len = (uint16_t)(mask + 1);
	for (unsigned i = 0; i < rss->table_len; i++)
		if (!take_u16(r, &rss->table[i]) || rss->table[i] >= pairs)
			return false;
	return true;
}

/* struct virtio_net_rss_config, 5.1.6.5.7.1. */
static bool mq_rss_config(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	struct rss_config *rss = &c->rss;
	uint16_t mask, max_tx;
	unsigned pairs;

	if (!take_u32(r, &rss->types) || rss->types & ~(uint32_t)RSS_ALL || !take_u16(r, &mask) ||
	    !take_u16(r, &rss->unclassified_queue) || rss->unclassified_queue >= net->pairs ||
	    !rss_table(r, rss, mask, net->pairs) || !take_u16(r, &max_tx) || !max_tx ||
	    max_tx > net->pairs || !rss_key(r, rss))
		return false;
	pairs = MAX(max_tx, rss->unclassified_queue + 1u);
	for (unsigned i = 0; i < rss->table_len; i++)
		pairs = MAX(pairs, rss->table[i] + 1u);
	c->active_pairs = pairs;
	rss->enabled = true;
	return true;
}

/* struct virtio_net_hash_config, 5.1.6.5.6.4: a hash to report, without steering by it. */
static bool mq_hash_config(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return take_u32(r, &c->rss.types) && !(c->rss.types & ~(uint32_t)RSS_ALL) && take(r, 8) &&
	       rss_key(r, &c->rss);
}

static bool guest_offloads_set(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	const uint8_t *p = take(r, 8);

	if (!p || load_le64(p) & ~virtio_net_offload_bits(&net->vdev.acked))
		return false;
	c->guest_offloads = virtio_net_guest_offloads(load_le64(p));
	return true;
}

static bool coalesce_set(struct reader *r, struct plane_coalesce *coalesce)
{
	return take_u32(r, &coalesce->max_packets) && take_u32(r, &coalesce->max_usecs);
}

static bool coal_tx_set(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return coalesce_set(r, &c->tx_coalesce);
}

static bool coal_rx_set(struct virtio_net *net, struct reader *r, struct plane_net_config *c)
{
	return coalesce_set(r, &c->rx_coalesce);
}

static const struct command {
	uint8_t class, command;
	uint8_t feature;
	bool configures; /* the plane is to be told */
	handler *fn;
	const char *name;
} commands[] = {
	{0, 0, VIRTIO_NET_F_CTRL_RX, true, rx_promisc, "RX_PROMISC"},
	{0, 1, VIRTIO_NET_F_CTRL_RX, true, rx_allmulti, "RX_ALLMULTI"},
	{0, 2, VIRTIO_NET_F_CTRL_RX_EXTRA, true, rx_alluni, "RX_ALLUNI"},
	{0, 3, VIRTIO_NET_F_CTRL_RX_EXTRA, true, rx_nomulti, "RX_NOMULTI"},
	{0, 4, VIRTIO_NET_F_CTRL_RX_EXTRA, true, rx_nouni, "RX_NOUNI"},
	{0, 5, VIRTIO_NET_F_CTRL_RX_EXTRA, true, rx_nobcast, "RX_NOBCAST"},
	{1, 0, VIRTIO_NET_F_CTRL_RX, true, mac_table_set, "MAC_TABLE_SET"},
	{1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, true, mac_addr_set, "MAC_ADDR_SET"},
	{2, 0, VIRTIO_NET_F_CTRL_VLAN, true, vlan_add, "VLAN_ADD"},
	{2, 1, VIRTIO_NET_F_CTRL_VLAN, true, vlan_del, "VLAN_DEL"},
	{3, 0, VIRTIO_NET_F_GUEST_ANNOUNCE, false, announce_ack, "ANNOUNCE_ACK"},
	{4, 0, VIRTIO_NET_F_MQ, true, mq_pairs_set, "MQ_VQ_PAIRS_SET"},
	{4, 1, VIRTIO_NET_F_RSS, true, mq_rss_config, "MQ_RSS_CONFIG"},
	{4, 2, VIRTIO_NET_F_HASH_REPORT, true, mq_hash_config, "MQ_HASH_CONFIG"},
	{5, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, true, guest_offloads_set, "GUEST_OFFLOADS_SET"},
	{6, 0, VIRTIO_NET_F_NOTF_COAL, true, coal_tx_set, "NOTF_COAL_TX_SET"},
	{6, 1, VIRTIO_NET_F_NOTF_COAL, true, coal_rx_set, "NOTF_COAL_RX_SET"},
};

static const struct command *find_command(const struct virtio_net *net, uint8_t class, uint8_t cmd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].class == class && commands[i].command == cmd &&
		    virtio_has(&net->vdev, commands[i].feature))
			return &commands[i];
	return NULL;
}

/* The MAC in config space follows, without telling the driver, who did it (5.1.6.5.2.2). */
static void show_mac(struct virtio_net *net)
{
	pthread_mutex_lock(&net->vdev.lock);
	memcpy(net->vdev.config + VNET_CONFIG_MAC, net->config.filter.mac, 6);
	pthread_mutex_unlock(&net->vdev.lock);
}

uint8_t virtio_net_command(struct virtio_net *net, const uint8_t *cmd, size_t len)
{
	struct reader r = {.p = cmd, .left = len};
	struct plane_net_config next = net->config;
	const struct command *c;
	uint8_t class = 0, command = 0;

	net->ctrl_commands++;
	if (!take_u8(&r, &class) || !take_u8(&r, &command))
		goto refused;
	c = find_command(net, class, command);
	if (!c || !c->fn(net, &r, &next) || r.left)
		goto refused;
	if (c->configures && virtio_net_configure(net, &next))
		goto refused;
	show_mac(net);
	log_debug("%s: control: %s", net->nic.pci.id, c->name);
	return NET_OK;
refused:
	net->ctrl_refused++;
	log_debug("%s: control: command %u.%u of %zu bytes is refused", net->nic.pci.id, class,
		  command, len);
	return NET_ERR;
}

/*
 * The queue.
 */

unsigned virtio_net_ctrl_index(const struct virtio_net *net)
{
	/* 5.1.2: after the pairs, of which there is one if multiqueue was not negotiated. */
	if (virtio_has(&net->vdev, VIRTIO_NET_F_MQ) || virtio_has(&net->vdev, VIRTIO_NET_F_RSS))
		return 2 * net->pairs;
	return 2;
}

/* Takes one command from the queue. 1, 0 if there was none, or -EPROTO. */
static int serve_one(struct virtio_net *net)
{
	struct vq_buf buf;
	uint8_t ack = NET_ERR;
	size_t len;
	int n = vq_pop(net->ctrl, &buf, 1, net->ctrl_iov, VIRTIO_NET_CTRL_IOV);

	if (n <= 0)
		return n;
	len = iov_read(buf.iov, buf.out_n, 0, net->ctrl_buf, sizeof(net->ctrl_buf));
	if (buf.out_len > sizeof(net->ctrl_buf) || !buf.in_len)
		net->ctrl_refused++;
	else
		ack = virtio_net_command(net, net->ctrl_buf, len);
	vq_push(net->ctrl, &buf, (uint32_t)iov_write(buf.iov + buf.out_n, buf.in_n, 0, &ack, 1));
	return 1;
}

static void serve(struct virtio_net *net)
{
	struct virtio_queue *q = &net->vdev.queues[virtio_net_ctrl_index(net)];
	unsigned served = 0;
	int n;

	do {
		while ((n = serve_one(net)) > 0 && ++served < COMMANDS_A_ROUND)
			;
	} while (!n && vq_enable_kicks(net->ctrl));
	if (n > 0)
		(void)eventfd_write(q->kick_fd, 1);
	if (vq_flush(net->ctrl))
		(void)eventfd_write(q->call_fd, 1);
	if (n < 0) {
		loop_remove(net->vdev.loop, &net->ctrl_kick);
		net->events.queue_broken(net, virtio_net_ctrl_index(net), vq_fault(net->ctrl));
	}
}

static void ctrl_kicked(struct loop_fd *watch, uint32_t events)
{
	eventfd_t count;

	(void)eventfd_read(watch->fd, &count);
	serve(watch->opaque);
}

static int memory_changed(struct mem_listener *listener, const struct mem_table *old,
			  const struct mem_table *table, struct error *err)
{
	struct virtio_net *net = listener->opaque;

	if (net->ctrl_running && vq_set_memory(net->ctrl, table))
		net->events.queue_broken(net, virtio_net_ctrl_index(net), vq_fault(net->ctrl));
	return 0;
}

int virtio_net_ctrl_init(struct virtio_net *net, struct error *err)
{
	int ret;

	net->ctrl_kick = (struct loop_fd){.fn = ctrl_kicked, .opaque = net};
	net->ctrl = vq_create();
	if (!net->ctrl)
		return error_set(err, -ENOMEM, "%s: out of memory", net->nic.pci.id);
	net->listener = (struct mem_listener){
		.name = "virtio-net control queue", .changed = memory_changed, .opaque = net};
	ret = guest_mem_listen(net->vdev.mem, &net->listener, err);
	net->listening = !ret;
	return ret;
}

void virtio_net_ctrl_fini(struct virtio_net *net)
{
	if (net->listening)
		guest_mem_unlisten(net->vdev.mem, &net->listener);
	net->listening = false;
	vq_free(net->ctrl);
	net->ctrl = NULL;
}

int virtio_net_ctrl_start(struct virtio_net *net, struct error *err)
{
	unsigned index = virtio_net_ctrl_index(net);
	struct virtio_queue *q = &net->vdev.queues[index];
	struct vring_config cfg;
	int ret;

	if (net->ctrl_running || !virtio_has(&net->vdev, VIRTIO_NET_F_CTRL_VQ) ||
	    !virtio_queue_config(&net->vdev, index, &cfg))
		return 0;
	ret = vq_start(net->ctrl, &cfg, &q->state, guest_mem_table(net->vdev.mem), err);
	if (ret)
		return ret;
	net->ctrl_kick.fd = q->kick_fd;
	ret = loop_add(net->vdev.loop, &net->ctrl_kick, EPOLLIN);
	if (ret) {
		vq_stop(net->ctrl, &q->state);
		return error_set(err, ret, "%s: cannot watch the control queue: %s",
				 net->nic.pci.id, error_name(ret));
	}
	net->ctrl_running = true;
	/* A kick before now may have been taken by an earlier run. */
	(void)eventfd_write(q->kick_fd, 1);
	return 0;
}

void virtio_net_ctrl_stop(struct virtio_net *net)
{
	if (!net->ctrl_running)
		return;
	loop_remove(net->vdev.loop, &net->ctrl_kick);
	vq_stop(net->ctrl, &net->vdev.queues[virtio_net_ctrl_index(net)].state);
	net->ctrl_running = false;
}
