/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_bed.h"

#include "device/virtio_blk.h"

#define NO_STATUS 0xee

/* A request in one piece each: header, data, status. Returns the status. */
static uint8_t request_at(struct disk_bed *b, unsigned queue, uint32_t type, uint64_t sector,
			  void *data, uint32_t len)
{
	uint64_t base = gv_alloc(&b->gv, 64 + len), after = b->gv.next_gpa;
	uint8_t *p = gv_hva(&b->gv, base), status;
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct vdrv_sg sg[3] = {{base, 16}, {base + 64, len}, {base + 32, 1}};
	uint32_t written;

	store_le32(p, type);
	store_le64(p + 8, sector);
	p[32] = NO_STATUS;
	if (!in && len)
		memcpy(p + 64, data, len);
	if (!len)
		sg[1] = sg[2];
	written = bed_chain(b, queue, sg, len && !in ? 2 : 1, len && in ? 2 : 1);
	assert_int_equal(written, in && len ? len + 1 : 1);
	status = p[32];
	if (in && len)
		memcpy(data, p + 64, len);
	if (b->gv.next_gpa == after)
		b->gv.next_gpa = base;
	return status;
}

static uint8_t request(struct disk_bed *b, uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	return request_at(b, 0, type, sector, data, len);
}

static uint64_t config(struct disk_bed *b, unsigned offset, unsigned size)
{
	return fake_read(&b->h, b->gv.device + offset, size);
}

static void reads_and_writes(const char *options, const unsigned *without)
{
	struct disk_bed *b = bed_with(options);
	uint8_t data[8192], back[8192], *file = malloc(BED_SIZE);

	bed_start(b, 1, without);
	fill(data, sizeof(data), 1);
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, 8, data, sizeof(data)), VIRTIO_BLK_S_OK);
	assert_int_equal(request(b, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(pread(b->fd, file, BED_SIZE, 0), BED_SIZE);
	assert_memory_equal(file + 4096, data, sizeof(data));
	assert_int_equal(file[4095] | file[4096 + 8192], 0);
	memset(back, 0, sizeof(back));
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, 8, back, sizeof(back)), VIRTIO_BLK_S_OK);
	assert_memory_equal(back, data, sizeof(data));
	for (unsigned i = 0; i < 300; i++) { /* around the ring */
		assert_int_equal(request(b, VIRTIO_BLK_T_OUT, 8 * i, data, 4096), VIRTIO_BLK_S_OK);
		assert_int_equal(request(b, VIRTIO_BLK_T_IN, 8 * i, back, 4096), VIRTIO_BLK_S_OK);
		assert_memory_equal(back, data, 4096);
	}
	free(file);
	bed_free(b);
}

static void test_read_write(void **state)
{
	reads_and_writes("", NULL);
	reads_and_writes("packed=on,queue-size=32", NULL);
	reads_and_writes("cache=none", NULL);
	reads_and_writes("wce=off", (const unsigned[]){VIRTIO_BLK_F_FLUSH, 0});
}

static void test_range(void **state)
{
	struct disk_bed *b = bed_with("");
	uint64_t end = BED_SIZE / 512;
	uint8_t data[1024] = {0};

	bed_start(b, 1, NULL);
	assert_int_equal(config(b, VBLK_CONFIG_CAPACITY, 8), end);
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, end - 2, data, 1024), VIRTIO_BLK_S_OK);
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, end - 1, data, 1024), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, end, data, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, UINT64_MAX, data, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, UINT64_MAX / 512 + 1, data, 512),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, 0, data, 513), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, 0, data, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(b, 99, 0, data, 512), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(b, 5, 0, NULL, 0), VIRTIO_BLK_S_UNSUPP);
	bed_free(b);
}

/* Header, data and status cut into odd pieces and put together (2.7.4: any layout is legal). */
static void test_layout(void **state)
{
	struct disk_bed *b = bed_with("cache=none");
	uint64_t base;
	uint8_t *p, data[1024];
	struct vdrv_sg out[4], in[3];

	bed_start(b, 1, NULL);
	base = gv_alloc(&b->gv, 8192);
	p = gv_hva(&b->gv, base);
	fill(data, sizeof(data), 9);
	store_le32(p + 1, VIRTIO_BLK_T_OUT);
	store_le64(p + 9, 2);
	memcpy(p + 17, data, sizeof(data)); /* right behind the header, misaligned */
	p[4000] = NO_STATUS;
	out[0] = (struct vdrv_sg){base + 1, 5};
	out[1] = (struct vdrv_sg){base + 6, 11 + 500};
	out[2] = (struct vdrv_sg){base + 17 + 500, 524};
	out[3] = (struct vdrv_sg){base + 4000, 1};
	assert_int_equal(bed_chain(b, 0, out, 3, 1), 1);
	assert_int_equal(p[4000], VIRTIO_BLK_S_OK);

	memset(p, 0, 8192);
	store_le64(p + 8, 2); /* IN */
	p[4096 + 1025] = NO_STATUS;
	in[0] = (struct vdrv_sg){base, 16};
	in[1] = (struct vdrv_sg){base + 4097, 100};
	in[2] = (struct vdrv_sg){base + 4197, 925}; /* and the status at its end */
	assert_int_equal(bed_chain(b, 0, in, 1, 2), 1025);
	assert_int_equal(p[4097 + 1024], VIRTIO_BLK_S_OK);
	assert_memory_equal(p + 4097, data, sizeof(data));
	bed_free(b);
}

/* Too small to be answered: given back with nothing, and the next one is served. */
static void test_malformed(void **state)
{
	struct disk_bed *b = bed_with("");
	uint64_t base;
	struct vdrv_sg sg[2];
	struct disk_counters sum = {0};
	uint8_t data[512];

	bed_start(b, 1, NULL);
	base = gv_alloc(&b->gv, 4096);
	sg[0] = (struct vdrv_sg){base, 15};
	sg[1] = (struct vdrv_sg){base + 64, 1};
	assert_int_equal(bed_chain(b, 0, sg, 1, 1), 0);
	sg[0].len = 16;
	assert_int_equal(bed_chain(b, 0, sg, 1, 0), 0);
	assert_int_equal(bed_chain(b, 0, sg + 1, 0, 1), 0);
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, 0, data, 512), VIRTIO_BLK_S_OK);
	b->disk->ops->counters(b->disk, &sum);
	assert_int_equal(sum.bad_requests, 3);
	assert_int_equal(sum.ops[BLOCK_READ], 1);
	assert_int_equal(sum.bytes[BLOCK_READ], 512);
	assert_false(gv_status(&b->gv) & VIRTIO_STATUS_NEEDS_RESET);
	bed_free(b);
}

static void test_get_id(void **state)
{
	struct disk_bed *b = bed_with("serial=a-serial-number-of-more-than-20");
	char id[21] = "";

	bed_start(b, 1, NULL);
	assert_int_equal(request(b, VIRTIO_BLK_T_GET_ID, 0, id, 20), VIRTIO_BLK_S_OK);
	assert_string_equal(id, "a-serial-number-of-m");
	memset(id, 0, sizeof(id));
	assert_int_equal(request(b, VIRTIO_BLK_T_GET_ID, 0, id, 4), VIRTIO_BLK_S_OK);
	assert_string_equal(id, "a-se");
	bed_free(b);
}

static void put_range(uint8_t *p, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	store_le64(p, sector);
	store_le32(p + 8, sectors);
	store_le32(p + 12, flags);
}

static void test_free_and_zero(void **state)
{
	struct disk_bed *b = bed_with("");
	uint8_t data[4096], back[4096], ranges[48];

	bed_start(b, 1, NULL);
	if (!features_has(&b->gv.features, VIRTIO_BLK_F_DISCARD)) {
		bed_free(b);
		skip();
	}
	fill(data, sizeof(data), 3);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(request(b, VIRTIO_BLK_T_OUT, 8 * i, data, 4096), VIRTIO_BLK_S_OK);
	put_range(ranges, 0, 8, 0);
	put_range(ranges + 16, 16, 8, 0);
	put_range(ranges + 32, 32, 8, 0);
	assert_int_equal(request(b, VIRTIO_BLK_T_DISCARD, 0, ranges, 48), VIRTIO_BLK_S_OK);
	put_range(ranges, 56, 8, 0);
	assert_int_equal(request(b, VIRTIO_BLK_T_WRITE_ZEROES, 0, ranges, 16), VIRTIO_BLK_S_OK);
	put_range(ranges, 48, 4, VIRTIO_BLK_F_UNMAP);
	assert_int_equal(request(b, VIRTIO_BLK_T_WRITE_ZEROES, 0, ranges, 16), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < 8; i++) {
		bool gone = i % 2 == 0 || i == 7;

		assert_int_equal(request(b, VIRTIO_BLK_T_IN, 8 * i, back, 4096), VIRTIO_BLK_S_OK);
		if (i == 6)
			assert_int_equal(back[0] | back[2047], 0);
		else if (gone)
			assert_int_equal(back[0] | back[4095], 0);
		if (!gone)
			assert_memory_equal(back, data, 4096);
		if (i == 6)
			assert_memory_equal(back + 2048, data + 2048, 2048);
	}
	/* Refused: unmap where it is asked for anyway, unknown flags, odd sizes, ranges outside. */
	put_range(ranges, 0, 8, VIRTIO_BLK_F_UNMAP);
	assert_int_equal(request(b, VIRTIO_BLK_T_DISCARD, 0, ranges, 16), VIRTIO_BLK_S_UNSUPP);
	put_range(ranges, 0, 8, 2);
	assert_int_equal(request(b, VIRTIO_BLK_T_WRITE_ZEROES, 0, ranges, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(b, VIRTIO_BLK_T_DISCARD, 0, ranges, 15), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(b, VIRTIO_BLK_T_DISCARD, 0, NULL, 0), VIRTIO_BLK_S_IOERR);
	put_range(ranges, BED_SIZE / 512 - 1, 2, 0);
	assert_int_equal(request(b, VIRTIO_BLK_T_DISCARD, 0, ranges, 16), VIRTIO_BLK_S_IOERR);
	put_range(ranges, 0, UINT32_MAX, 0);
	assert_int_equal(request(b, VIRTIO_BLK_T_DISCARD, 0, ranges, 16), VIRTIO_BLK_S_IOERR);
	bed_free(b);
}

static void test_readonly(void **state)
{
	struct disk_bed *b = bed_with("readonly=on");
	uint8_t data[512] = {1}, byte;

	bed_start(b, 1, NULL);
	assert_true(features_has(&b->gv.features, VIRTIO_BLK_F_RO));
	assert_false(features_has(&b->gv.features, VIRTIO_BLK_F_DISCARD));
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, 0, data, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(b, VIRTIO_BLK_T_DISCARD, 0, data, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(b, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, 0, data, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(pread(b->fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 0);
	bed_free(b);
}

static void test_config(void **state)
{
	struct disk_bed *b = bed_with("queues=3,seg-max=40,size-max=65536");

	assert_int_equal(config(b, VBLK_CONFIG_SEG_MAX, 4), 40);
	assert_int_equal(config(b, VBLK_CONFIG_SIZE_MAX, 4), 65536);
	assert_int_equal(config(b, VBLK_CONFIG_NUM_QUEUES, 2), 3);
	assert_int_equal(config(b, VBLK_CONFIG_BLK_SIZE, 4), 512);
	assert_int_equal(config(b, VBLK_CONFIG_PHYSICAL_EXP, 1), 3);
	assert_int_equal(config(b, VBLK_CONFIG_WRITEBACK, 1), 1);
	fake_write(&b->h, b->gv.device + VBLK_CONFIG_WRITEBACK, 0xfe, 1);
	assert_int_equal(config(b, VBLK_CONFIG_WRITEBACK, 1), 0);
	fake_write(&b->h, b->gv.device + VBLK_CONFIG_SEG_MAX, 0xff, 4);
	assert_int_equal(config(b, VBLK_CONFIG_SEG_MAX, 4), 40);
	bed_start(b, 3, NULL); /* begins with a reset */
	assert_int_equal(config(b, VBLK_CONFIG_WRITEBACK, 1), 1);
	bed_free(b);
}

static void test_multiqueue(void **state)
{
	struct disk_bed *b = bed_with("queues=4,queue-size=64");
	uint8_t data[512], back[512];

	bed_start(b, 4, NULL);
	for (unsigned i = 0; i < 64; i++) {
		fill(data, 512, (uint8_t)i);
		assert_int_equal(request_at(b, i % 4, VIRTIO_BLK_T_OUT, i, data, 512), 0);
		assert_int_equal(request_at(b, (i + 1) % 4, VIRTIO_BLK_T_IN, i, back, 512), 0);
		assert_memory_equal(back, data, 512);
	}
	bed_free(b);
}

/* Many at a time, as deep as the ring lets us. */
static void test_depth(void **state)
{
	struct disk_bed *b = bed_with("queue-size=256,cache=none");
	uint64_t base;
	unsigned sent = 85, answered = 0; /* three descriptors each */

	bed_start(b, 1, NULL);
	base = gv_alloc(&b->gv, (uint64_t)sent * 8192);
	for (uintptr_t i = 0; i < sent; i++) {
		uint64_t at = base + i * 8192;
		uint8_t *p = gv_hva(&b->gv, at);
		struct vdrv_sg sg[3] = {{at, 16}, {at + 4096, 4096}, {at + 32, 1}};

		store_le32(p, VIRTIO_BLK_T_OUT);
		store_le64(p + 8, i * 8);
		p[32] = NO_STATUS;
		memset(p + 4096, (int)i + 1, 4096);
		assert_int_equal(vdrv_add(b->gv.drv[0], sg, 2, 1, false, 0, (void *)(i + 1)), 0);
	}
	if (vdrv_publish(b->gv.drv[0]))
		gv_kick(&b->gv, 0);
	while (answered < sent) {
		void *cookie = NULL;

		assert_int_equal(bed_wait(b, 0, &cookie), 1);
		assert_int_equal(
			*((uint8_t *)gv_hva(&b->gv, base + ((uintptr_t)cookie - 1) * 8192) + 32),
			VIRTIO_BLK_S_OK);
		answered++;
	}
	for (unsigned i = 0; i < sent; i++) {
		uint8_t byte;

		assert_int_equal(pread(b->fd, &byte, 1, 4096 * i + 4095), 1);
		assert_int_equal(byte, i + 1);
	}
	bed_free(b);
}

static void test_reset_and_again(void **state)
{
	struct disk_bed *b = bed_with("queues=2");
	uint8_t data[512];

	for (unsigned i = 0; i < 20; i++) {
		b->gv.next_gpa = MIB;
		bed_start(b, 2, NULL);
		assert_int_equal(request_at(b, i % 2, VIRTIO_BLK_T_IN, 0, data, 512), 0);
	}
	/* One queue by itself (2.6.1). */
	gv_put(&b->gv, VPCI_COMMON_Q_SELECT, 2, 1);
	gv_put(&b->gv, VPCI_COMMON_Q_RESET, 2, 1);
	fake_pump(&b->h);
	assert_int_equal(gv_get(&b->gv, VPCI_COMMON_Q_RESET, 2), 0);
	assert_int_equal(request_at(b, 0, VIRTIO_BLK_T_IN, 0, data, 512), 0);
	gv_queue(&b->gv, 1, 0, VIRTIO_NO_VECTOR);
	fake_pump(&b->h);
	assert_int_equal(request_at(b, 1, VIRTIO_BLK_T_IN, 0, data, 512), 0);
	bed_free(b);
}

static void test_pause(void **state)
{
	struct disk_bed *b = bed_with("");
	struct virtio_blk *blk = (struct virtio_blk *)b->disk;
	uint8_t data[512];

	bed_start(b, 1, NULL);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(request(b, VIRTIO_BLK_T_IN, 0, data, 512), 0);
		virtio_pause(&blk->vdev, true);
		assert_false(blk->vdev.running);
		virtio_pause(&blk->vdev, false);
	}
	bed_free(b);
}

static void test_broken_ring(void **state)
{
	struct disk_bed *b = bed_with("");
	struct vdrv_sg sg = {64 * GIB, 16};
	uint8_t data[512];

	bed_start(b, 1, NULL);
	bed_send(b, 0, &sg, 1, 0, b);
	for (unsigned i = 0; i < PATIENCE_MS && !(gv_status(&b->gv) & VIRTIO_STATUS_NEEDS_RESET);
	     i++)
		usleep(1000);
	assert_true(gv_status(&b->gv) & VIRTIO_STATUS_NEEDS_RESET);
	bed_start(b, 1, NULL);
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, 0, data, 512), 0);
	bed_free(b);
}

static void test_resize(void **state)
{
	struct disk_bed *b = bed_with("");
	struct error err = {0};
	uint8_t data[512] = {7};

	bed_start(b, 1, NULL);
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, BED_SIZE / 512, data, 512),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(disk_resize(b->disk, 2 * BED_SIZE, &err), 0);
	assert_int_equal(config(b, VBLK_CONFIG_CAPACITY, 8), 2 * BED_SIZE / 512);
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, BED_SIZE / 512, data, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(disk_resize(b->disk, BED_SIZE + 1, &err), -EINVAL);
	assert_int_equal(disk_resize(b->disk, BED_SIZE, &err), 0);
	assert_int_equal(request(b, VIRTIO_BLK_T_OUT, BED_SIZE / 512, data, 512),
			 VIRTIO_BLK_S_IOERR);
	bed_free(b);
}

/* The image's file is cut short under the guest. */
static void test_truncated(void **state)
{
	struct disk_bed *b = bed_with("");
	uint8_t data[8192];

	bed_start(b, 1, NULL);
	assert_int_equal(ftruncate(b->fd, MIB + 4096), 0);
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, MIB / 512, data, 8192), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(b, VIRTIO_BLK_T_IN, MIB / 512, data, 4096), VIRTIO_BLK_S_OK);
	bed_free(b);
}

static void refused(const char *options, const char *says)
{
	struct disk_bed *b = bed_new();
	struct error err = {0};

	assert_true(bed_try(b, options, &err) < 0);
	assert_text(err, says);
	assert_text(err, "--disk ");
	bed_free(b);
}

static void test_options(void **state)
{
	struct disk_bed *b = bed_with("");
	struct error err = {0};

	/* Locked. */
	assert_int_equal(bed_try(b, "", &err), -EBUSY);
	assert_text(err, "another process");
	bed_free(b);
	refused("queues=0", "queues=0");
	refused("queue-size=100", "power of two");
	refused("model=virtio-blx", "did you mean model=virtio-blk");
	refused("cache=never", "use writeback or none");
	refused("redonly=on", "did you mean 'readonly'");
	refused("serial=with blank", "without blanks");
	refused("format=r/w", "not a format's name");
	b = bed_new();
	unlink(b->path);
	assert_int_equal(bed_try(b, "", &err), -ENOENT);
	assert_text(err, b->path);
	bed_free(b);
	b = bed_new();
	assert_int_equal(pwrite(b->fd, "QFI\xfb", 4, 0), 4);
	assert_int_equal(bed_try(b, "", &err), -EINVAL);
	assert_text(err, "looks like a qcow2 image");
	assert_int_equal(bed_try(b, "format=raw", &err), 0);
	b->pci->ops->destroy(b->pci);
	assert_int_equal(ftruncate(b->fd, 100), 0);
	assert_int_equal(bed_try(b, "format=raw", &err), -EINVAL);
	assert_text(err, "empty");
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_write),	cmocka_unit_test(test_range),
		cmocka_unit_test(test_layout),		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_get_id),		cmocka_unit_test(test_free_and_zero),
		cmocka_unit_test(test_readonly),	cmocka_unit_test(test_config),
		cmocka_unit_test(test_multiqueue),	cmocka_unit_test(test_depth),
		cmocka_unit_test(test_reset_and_again), cmocka_unit_test(test_pause),
		cmocka_unit_test(test_broken_ring),	cmocka_unit_test(test_resize),
		cmocka_unit_test(test_truncated),	cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
