/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile guests on a switch, beside a neighbour that behaves. The input chooses the ports'
 * settings and is then a list of commands: frames with any header and any content, writes anywhere
 * into a guest's memory (rings included), receive buffers of any kind, ports that stop and start,
 * entries in the forwarding database. Whatever happens, what went in came out or was dropped, no
 * byte beyond a guest's memory is touched, and the neighbour's frames arrive as they were sent.
 */
#include "fuzz.h"

#include "net/ether.h"
#include "switch/counters.h"
#include "switch/switch.h"
#include "vring/driver.h"

#define PORTS 4U
#define GPA   0x10000ULL
#define BYTES (72 * KIB)
#define RING  16U
#define TX_AT (GPA + 8 * KIB)
#define RX_AT (GPA + 40 * KIB)
#define BUF   2048U

struct guest {
	struct sw_port *port;
	uint8_t *mem;
	struct mem_table *table;
	struct vring_config cfg[2]; /* 0: to the guest, 1: from it */
	struct vq *vq[2];
	struct vdrv *drv[2];
	unsigned next;
};

struct fuzz {
	struct fuzz_input in;
	struct sw *sw;
	struct guest guests[PORTS]; /* the last two are honest */
	uint32_t seq;
};

static struct guest *opening;
static uint8_t choices;

static void called(void *opaque)
{
}

static void start_ring(struct guest *g, unsigned which, bool packed, uint64_t at)
{
	struct vring_state state = VRING_STATE_INIT;
	struct vring_config *cfg = &g->cfg[which];

	*cfg = (struct vring_config){.size = RING, .packed = packed, .indirect = true};
	cfg->desc = at;
	cfg->driver = at + 1 * KIB;
	cfg->device = at + 2 * KIB;
	g->vq[which] = vq_create();
	g->drv[which] = vdrv_create();
	fuzz_assert(!vdrv_start(g->drv[which], cfg, g->table, NULL));
	fuzz_assert(!vq_start(g->vq[which], cfg, &state, g->table, NULL));
}

static int guest_open(struct sw_port *port, const struct options *opts, struct error *err)
{
	struct guest *g = opening;
	struct sw_ring in = {.vq = g->vq[1], .kick_fd = -1, .call = called};
	struct sw_ring out = {.vq = g->vq[0], .kick_fd = -1, .call = called};

	g->port = port;
	port->mergeable = choices & 1;
	port->hdr_len = choices & 2 ? SW_HDR_LEGACY : SW_HDR_LEN;
	if (port->mergeable)
		port->hdr_len = SW_HDR_LEN;
	if (choices & 4)
		port->offloads_from = NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO;
	if (choices & 8)
		port->offloads_to = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4;
	fuzz_assert(!sw_port_pairs(port, 1));
	fuzz_assert(!sw_out_start(port, 0, &out));
	return sw_in_start(port, 0, &in);
}

static void guest_close(struct sw_port *port)
{
}

static const struct option_key no_keys[] = {{NULL}};
static const struct port_ops guest_ops = {
	.name = "guest", .help = "", .keys = no_keys, .open = guest_open, .close = guest_close};

static void add_guest(struct fuzz *f, unsigned n)
{
	static const char *const settings[] = {"",
					       ",vlan=access:5",
					       ",vlan=trunk:5+6",
					       ",isolated=on",
					       ",flood=off",
					       ",allowed-mac=02:00:00:00:00:01",
					       ",mirror-to=g1",
					       ",storm=10"};
	struct mem_region region = {.gpa = GPA, .size = BYTES, .fd = -1};
	struct guest *g = &f->guests[n];
	bool honest = n >= 2;
	char options[128];

	choices = honest ? 0 : fuzz_u8(&f->in);
	g->mem = calloc(1, BYTES);
	region.hva = g->mem;
	fuzz_assert(!mem_table_new(&region, 1, &g->table, NULL));
	start_ring(g, 0, choices & 16, GPA);
	start_ring(g, 1, choices & 32, GPA + 4 * KIB);
	snprintf(options, sizeof(options), "id=g%u%s", n,
		 honest ? "" : settings[fuzz_u8(&f->in) % 8]);
	opening = g;
	fuzz_assert(!sw_add_port_of(f->sw, &guest_ops, options, NULL, NULL));
}

static void post(struct guest *g, unsigned n)
{
	struct vdrv_sg sg = {RX_AT + n * BUF, BUF};

	vdrv_add(g->drv[0], &sg, 0, 1, false, 0, (void *)(uintptr_t)(n + 1));
	vdrv_publish(g->drv[0]);
}

/* A frame from guest n: header and content from the input, the addresses sensible now and then. */
static void send(struct fuzz *f, unsigned n)
{
	struct guest *g = &f->guests[n];
	unsigned slot = g->next++ % RING, len = fuzz_u16(&f->in) % (BUF - 1) + 1, parts;
	uint8_t *at = g->mem + (TX_AT - GPA) + slot * BUF, how = fuzz_u8(&f->in);
	struct vdrv_sg sg[4];
	void *cookie;
	uint32_t used;

	while (vdrv_get(g->drv[1], &cookie, &used) == 1)
		;
	fuzz_bytes(&f->in, at, MIN(len, 80u));
	if (how & 1 && len > 30) {
		memcpy(at + g->port->hdr_len, "\2\0\0\0\0\3\2\0\0\0\0\1", 12);
		at[g->port->hdr_len + 5] = how >> 4;
	}
	if (how & 2)
		memset(at, 0, MIN(len, g->port->hdr_len));
	parts = 1 + (how >> 2 & 3);
	for (unsigned i = 0; i < parts; i++)
		sg[i] = (struct vdrv_sg){TX_AT + slot * BUF + len * i / parts,
					 len * (i + 1) / parts - len * i / parts};
	vdrv_add(g->drv[1], sg, parts, 0, false, 0, NULL);
	vdrv_publish(g->drv[1]);
}

/* The two honest ones: once what the others have sent is through, theirs passes. */
static void neighbours(struct fuzz *f)
{
	struct guest *from = &f->guests[2], *to = &f->guests[3];
	uint8_t *at = from->mem + (TX_AT - GPA), *got;
	struct vdrv_sg sg = {TX_AT, SW_HDR_LEN + 100};
	void *cookie;
	uint32_t len;
	unsigned n;

	for (unsigned i = 0; i < 8 && sw_step(f->sw); i++)
		;
	memset(at, 0, SW_HDR_LEN + 100);
	memcpy(at + SW_HDR_LEN, "\2\0\0\0\1\3\2\0\0\0\1\2\x88\xb5", 14);
	store_le32(at + SW_HDR_LEN + 20, ++f->seq);
	while (vdrv_get(from->drv[1], &cookie, &len) == 1)
		;
	/* What others have had flooded to it is taken away first. */
	while (vdrv_get(to->drv[0], &cookie, &len) == 1)
		post(to, (unsigned)(uintptr_t)cookie - 1);
	fuzz_assert(!vdrv_add(from->drv[1], &sg, 1, 0, false, 0, NULL));
	vdrv_publish(from->drv[1]);
	sw_step(f->sw);
	fuzz_assert(vdrv_get(to->drv[0], &cookie, &len) == 1);
	n = (unsigned)(uintptr_t)cookie - 1;
	got = to->mem + (RX_AT - GPA) + n * BUF;
	fuzz_assert(len == SW_HDR_LEN + 100);
	fuzz_assert(!memcmp(got + SW_HDR_LEN, at + SW_HDR_LEN, 100));
	post(to, n);
}

/* A hostile guest writes into its own memory: mostly where its rings are. */
static void scribble(struct fuzz *f, unsigned n)
{
	uint32_t at = fuzz_u16(&f->in), len = fuzz_u8(&f->in) % 33;

	if (fuzz_u8(&f->in) & 3)
		at %= 8 * KIB;
	len = MIN(len, (uint32_t)BYTES - at);
	fuzz_bytes(&f->in, f->guests[n].mem + at, len);
}

static void receive_buffer(struct fuzz *f, unsigned n)
{
	struct guest *g = &f->guests[n];
	struct vdrv_sg sg[3];
	unsigned parts = 1 + fuzz_u8(&f->in) % 3;
	void *cookie;
	uint32_t len;

	while (vdrv_get(g->drv[0], &cookie, &len) == 1)
		;
	for (unsigned i = 0; i < parts; i++)
		sg[i] = (struct vdrv_sg){RX_AT + i * 4096, fuzz_u16(&f->in) % 4096 + 1};
	vdrv_add(g->drv[0], sg, 0, parts, false, 0, NULL);
	vdrv_publish(g->drv[0]);
}

static void restart(struct fuzz *f, unsigned n)
{
	struct guest *g = &f->guests[n];
	struct sw_ring in = {.vq = g->vq[1], .kick_fd = -1, .call = called};
	struct vring_state state;

	sw_in_stop(g->port, 0);
	vq_stop(g->vq[1], &state);
	if (!vq_start(g->vq[1], &g->cfg[1], &state, g->table, NULL))
		fuzz_assert(!sw_in_start(g->port, 0, &in));
}

static void check_sums(struct fuzz *f)
{
	uint64_t forwarded = 0, frames = 0;

	for (unsigned n = 0; n < PORTS; n++) {
		struct sw_in_counters in;
		struct sw_out_counters out;
		uint64_t drops = 0;

		sw_port_totals(f->guests[n].port, &in, &out);
		for (unsigned i = 0; i < SW_DROP_COUNT; i++)
			drops += in.drops[i];
		fuzz_assert(in.frames + in.extra == in.forwarded + drops);
		forwarded += in.forwarded;
		frames += out.frames;
	}
	fuzz_assert(forwarded == frames);
}

static void command(struct fuzz *f)
{
	uint8_t what = fuzz_u8(&f->in), n = what >> 4 & 1;

	switch (what & 7) {
	case 0:
	case 1:
		send(f, n);
		break;
	case 2:
		scribble(f, n);
		break;
	case 3:
		receive_buffer(f, n);
		break;
	case 4:
		sw_step(f->sw);
		break;
	case 5:
		restart(f, n);
		break;
	case 6:
		neighbours(f);
		break;
	case 7:
		fdb_age(sw_fdb(f->sw), fuzz_u16(&f->in), 1);
		break;
	}
}

static void end(struct fuzz *f)
{
	sw_destroy(f->sw);
	for (unsigned n = 0; n < PORTS; n++) {
		struct guest *g = &f->guests[n];

		for (unsigned i = 0; i < 2; i++) {
			vq_free(g->vq[i]);
			vdrv_free(g->drv[i]);
		}
		mem_table_free(g->table);
		free(g->mem);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t a[6] = {2, 0, 0, 0, 1, 2}, b[6] = {2, 0, 0, 0, 1, 3};
	struct fuzz f = {.in = {data, size}};
	struct sw_options options;

	sw_options_init(&options);
	options.threads = false;
	options.fdb_max = 16;
	f.sw = sw_create(&options, NULL, NULL);
	fuzz_assert(f.sw);
	for (unsigned n = 0; n < PORTS; n++)
		add_guest(&f, n);
	fdb_set_static(sw_fdb(f.sw), fdb_key(a, 0), f.guests[2].port->index);
	fdb_set_static(sw_fdb(f.sw), fdb_key(b, 0), f.guests[3].port->index);
	for (unsigned n = 2; n < PORTS; n++)
		for (unsigned i = 0; i < RING; i++)
			post(&f.guests[n], i);
	for (unsigned i = 0; i < 200 && f.in.left; i++)
		command(&f);
	neighbours(&f);
	check_sums(&f);
	end(&f);
	return 0;
}
