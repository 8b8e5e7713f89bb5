/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net on the in-process plane, worker threads and all: a driver in a thread of its own that
 * resets the device at any moment of its traffic, and looks whether anything is written to its
 * memory afterwards.
 */
#include "unit.h"

#include "device/virtio_net.h"
#include "guest_virtio.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define FRAMES 32
#define CTRL   2

struct guest {
	struct fake_host h;
	struct gv gv;
	struct nic *nic;
	atomic_bool done;
	unsigned rounds, sent;
};

static void post_receive(struct gv *gv)
{
	uint64_t base = gv_alloc(gv, FRAMES * 2048);

	for (unsigned i = 0; i < FRAMES; i++) {
		struct vdrv_sg sg = {base + i * 2048, 2048};

		assert_int_equal(vdrv_add(gv->drv[0], &sg, 0, 1, false, 0, gv), 0);
	}
	if (vdrv_publish(gv->drv[0]))
		gv_kick(gv, 0);
}

static void transmit(struct gv *gv)
{
	uint64_t base = gv_alloc(gv, FRAMES * 128);

	for (unsigned i = 0; i < FRAMES; i++) {
		struct vdrv_sg sg = {base + i * 128, 12 + 64};

		if (vdrv_add(gv->drv[1], &sg, 1, 0, false, 0, gv))
			break;
	}
	if (vdrv_publish(gv->drv[1]))
		gv_kick(gv, 1);
}

/* After the device said 0, the memory is the driver's alone. */
static void assert_quiet(struct gv *gv)
{
	uint8_t *p = gv_hva(gv, MIB);
	size_t len = gv->next_gpa - MIB;

	memset(p, 0xa5, len);
	usleep(300);
	for (size_t i = 0; i < len; i += 8)
		assert_true(*(uint64_t *)(void *)(p + i) == 0xa5a5a5a5a5a5a5a5ULL);
}

static void one_life(struct guest *g, unsigned seed)
{
	struct virtio_features f = gv_offered(&g->gv);
	struct gv *gv = &g->gv;
	uint32_t len;
	void *cookie;

	features_set(&f, VIRTIO_F_RING_PACKED, seed & 1);
	gv->next_gpa = MIB;
	assert_true(gv_negotiate(gv, &f));
	gv_queue(gv, 0, 0, 0xffff);
	gv_queue(gv, 1, 0, 0xffff);
	gv_queue(gv, CTRL, 0, 0xffff);
	gv_driver_ok(gv);
	post_receive(gv);
	for (unsigned i = 0; i < seed % 5; i++) {
		transmit(gv);
		if (seed & 8)
			usleep(seed % 300);
		while (vdrv_get(gv->drv[1], &cookie, &len) == 1)
			g->sent++;
	}
	if (seed % 7 == 0) { /* a queue reset first */
		gv_put(gv, VPCI_COMMON_Q_SELECT, 2, 1);
		gv_put(gv, VPCI_COMMON_Q_RESET, 2, 1);
		assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 0);
		gv_queue(gv, 1, 0, 0xffff);
		transmit(gv);
	}
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0);
	assert_int_equal(gv_status(gv), 0);
	assert_quiet(gv);
}

static void *guest_main(void *arg)
{
	struct guest *g = arg;

	for (unsigned i = 0; i < g->rounds; i++)
		one_life(g, i * 2654435761u >> 8);
	g->done = true;
	loop_stop(g->h.host.loop);
	return NULL;
}

static void run(const char *text)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct error err = {0};
	pthread_t thread;

	fake_host_init(&g->h);
	assert_int_equal(nic_create(text, 0, &g->h.host, g->h.mem, g->h.host.loop, &g->nic, &err),
			 0);
	assert_int_equal(pci_bus_add(g->h.pci, &g->nic->pci, 1, 0, &err), 0);
	gv_probe(&g->gv, &g->h, 1);
	g->rounds = 300;
	assert_int_equal(pthread_create(&thread, NULL, guest_main, g), 0);
	while (!g->done)
		loop_run_once(g->h.host.loop, 100);
	pthread_join(thread, NULL);
	assert_true(g->sent > 0);
	gv_fini(&g->gv);
	fake_host_fini(&g->h);
	free(g);
}

static void test_resets(void **state)
{
	run("backend=none,packed=on");
}

static void test_resets_polling(void **state)
{
	run("backend=none,packed=on,poll-us=200");
}

static void test_resets_bare(void **state)
{
	run("backend=none,packed=on,event-idx=off,indirect=off,in-order=off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_resets_polling),
		cmocka_unit_test(test_resets_bare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
