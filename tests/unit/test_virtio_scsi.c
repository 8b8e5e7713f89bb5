/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_bed.h"

#include "device/virtio_scsi.h"

#define RQ     VSCSI_QUEUE_FIRST
#define BLOCKS (BED_SIZE / 512)

struct answer {
	uint8_t response, status, key, asc, ascq;
	uint32_t residual, sense_len;
};

/* One command: cdb of up to 16 bytes, data out or in. */
static struct answer command_to(struct disk_bed *b, unsigned target, unsigned lun,
				const uint8_t *cdb, void *data, uint32_t len, bool out)
{
	uint64_t base = gv_alloc(&b->gv, 512 + len);
	uint8_t *p = gv_hva(&b->gv, base), *resp = p + 128;
	struct vdrv_sg sg[4] = {{base, 51}};
	struct answer a;
	unsigned n = 1;

	p[0] = 1;
	p[1] = (uint8_t)target;
	p[2] = (uint8_t)(0x40 | lun >> 8);
	p[3] = (uint8_t)lun;
	memcpy(p + 19, cdb, 16);
	if (out && len) {
		memcpy(p + 512, data, len);
		sg[n++] = (struct vdrv_sg){base + 512, len};
	}
	sg[n++] = (struct vdrv_sg){base + 128, 108};
	if (!out && len)
		sg[n++] = (struct vdrv_sg){base + 512, len};
	assert_true(bed_chain(b, RQ, sg, out && len ? 2 : 1, !out && len ? 2 : 1) >= 108);
	a = (struct answer){.response = resp[11],
			    .status = resp[10],
			    .residual = load_le32(resp + 4),
			    .sense_len = load_le32(resp),
			    .key = resp[12 + 2] & 0xf,
			    .asc = resp[12 + 12],
			    .ascq = resp[12 + 13]};
	if (!out && len)
		memcpy(data, p + 512, len);
	b->gv.next_gpa = base;
	return a;
}

static struct answer command(struct disk_bed *b, const uint8_t *cdb, void *data, uint32_t len,
			     bool out)
{
	return command_to(b, 0, 0, cdb, data, len, out);
}

#define CDB(...) ((const uint8_t[16]){__VA_ARGS__})

static void good(struct answer a)
{
	assert_int_equal(a.response, VSCSI_S_OK);
	assert_int_equal(a.status, SCSI_GOOD);
	assert_int_equal(a.sense_len, 0);
}

static void check_sense(struct answer a, uint8_t key, uint8_t asc, uint8_t ascq)
{
	assert_int_equal(a.response, VSCSI_S_OK);
	assert_int_equal(a.status, SCSI_CHECK_CONDITION);
	assert_int_equal(a.sense_len, SCSI_SENSE_LEN);
	assert_int_equal(a.key, key);
	assert_int_equal(a.asc, asc);
	assert_int_equal(a.ascq, ascq);
}

/* A controller with one disk and nqueues queues started; the first command's unit attention taken. */
static struct disk_bed *scsi_queues(const char *options, unsigned nqueues)
{
	char text[256];
	struct disk_bed *b;

	snprintf(text, sizeof(text), "model=virtio-scsi%s%s", *options ? "," : "", options);
	b = bed_with(text);
	bed_start(b, nqueues, NULL);
	check_sense(command(b, CDB(0), NULL, 0, false), SENSE_UNIT_ATTENTION, 0x29, 0);
	good(command(b, CDB(0), NULL, 0, false));
	return b;
}

static struct disk_bed *scsi_with(const char *options)
{
	return scsi_queues(options, RQ + 1);
}

static void test_read_write(void **state)
{
	struct disk_bed *b = scsi_with("");
	uint8_t data[8192], back[8192];
	struct answer a;

	fill(data, sizeof(data), 5);
	good(command(b, CDB(0x2a, 0, 0, 0, 0, 4, 0, 0, 16), data, 8192, true)); /* WRITE(10) */
	assert_int_equal(pread(b->fd, back, 8192, 4 * 512), 8192);
	assert_memory_equal(data, back, 8192);
	memset(back, 0, sizeof(back));
	good(command(b, CDB(0x08, 0, 0, 4, 16), back, 8192, false)); /* READ(6) */
	assert_memory_equal(data, back, 8192);
	memset(back, 0, sizeof(back));
	good(command(b, CDB(0xa8, 0, 0, 0, 0, 4, 0, 0, 0, 16), back, 8192, false)); /* READ(12) */
	assert_memory_equal(data, back, 8192);
	memset(back, 0, sizeof(back));
	good(command(b, CDB(0x88, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 16), back, 8192, false));
	assert_memory_equal(data, back, 8192);
	/* FUA, the other lengths of WRITE. */
	good(command(b, CDB(0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 2), data, 1024, true));
	good(command(b, CDB(0xaa, 0, 0, 0, 0, 50, 0, 0, 0, 2), data, 1024, true));
	good(command(b, CDB(0x0a, 0, 0, 60, 2), data, 1024, true));
	for (unsigned i = 40; i <= 60; i += 10) {
		assert_int_equal(pread(b->fd, back, 1024, 512 * i), 1024);
		assert_memory_equal(data, back, 1024);
	}
	good(command(b, CDB(0x35), NULL, 0, false)); /* SYNCHRONIZE CACHE */
	good(command(b, CDB(0x91), NULL, 0, false));
	/* More room than data; less room than data. */
	a = command(b, CDB(0x28, 0, 0, 0, 0, 4, 0, 0, 1), back, 4096, false);
	good(a);
	assert_int_equal(a.residual, 4096 - 512);
	a = command(b, CDB(0x28, 0, 0, 0, 0, 4, 0, 0, 2), back, 512, false);
	assert_int_equal(a.response, VSCSI_S_OVERRUN);
	bed_free(b);
}

static void test_errors(void **state)
{
	struct disk_bed *b = scsi_with("");
	uint8_t data[1024] = {0};

	check_sense(command(b, CDB(0x28, 0, 0, 0, 0x20, 0, 0, 0, 1), data, 512, false),
		    SENSE_ILLEGAL_REQUEST, 0x21, 0); /* the block after the last */
	check_sense(command(b, CDB(0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 2),
			    data, 1024, false),
		    SENSE_ILLEGAL_REQUEST, 0x21, 0);
	check_sense(command(b, CDB(0xff), NULL, 0, false), SENSE_ILLEGAL_REQUEST, 0x20, 0);
	check_sense(command(b, CDB(0x28, 0x20, 0, 0, 0, 0, 0, 0, 1), data, 512, false),
		    SENSE_ILLEGAL_REQUEST, 0x24, 0); /* protection */
	check_sense(command_to(b, 0, 3, CDB(0), NULL, 0, false), SENSE_ILLEGAL_REQUEST, 0x25, 0);
	assert_int_equal(command_to(b, 1, 0, CDB(0), NULL, 0, false).response, VSCSI_S_BAD_TARGET);
	/* The image's file is cut short: a medium error. */
	assert_int_equal(ftruncate(b->fd, MIB), 0);
	check_sense(command(b, CDB(0x28, 0, 0, 0, 0x10, 0, 0, 0, 2), data, 1024, false),
		    SENSE_MEDIUM_ERROR, 0x11, 0);
	good(command(b, CDB(0), NULL, 0, false));
	bed_free(b);
}

static void test_readonly(void **state)
{
	struct disk_bed *b = scsi_with("readonly=on");
	uint8_t data[512] = {1};

	check_sense(command(b, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), data, 512, true),
		    SENSE_DATA_PROTECT, 0x27, 0);
	good(command(b, CDB(0x1a, 0, 0x3f, 0, 255), data, 255, false));
	assert_true(data[2] & 0x80);
	bed_free(b);
}

static void test_inquiry(void **state)
{
	struct disk_bed *b = scsi_with("serial=SN-42");
	uint8_t d[256] = {0};
	struct answer a = command(b, CDB(0x12, 0, 0, 0, 255), d, 255, false);

	good(a);
	assert_int_equal(a.residual, 255 - 36);
	assert_int_equal(d[0], 0);
	assert_int_equal(d[4], 31);
	assert_memory_equal(d + 8, "VIADUCT DISK            ", 24);
	/* A shorter allocation length cuts it. */
	a = command(b, CDB(0x12, 0, 0, 0, 5), d, 255, false);
	assert_int_equal(a.residual, 250);
	good(command(b, CDB(0x12, 1, 0x00, 0, 255), d, 255, false));
	assert_int_equal(d[3], 6);
	assert_memory_equal(d + 4, "\x00\x80\x83\xb0\xb1\xb2", 6);
	good(command(b, CDB(0x12, 1, 0x80, 0, 255), d, 255, false));
	assert_memory_equal(d, "\x00\x80\x00\x05SN-42", 9);
	good(command(b, CDB(0x12, 1, 0x83, 0, 255), d, 255, false));
	assert_memory_equal(d + 8, "VIADUCT SN-42", 13);
	good(command(b, CDB(0x12, 1, 0xb0, 0, 255), d, 255, false));
	assert_int_equal(load_be16(d + 2), 60);
	good(command(b, CDB(0x12, 1, 0xb1, 0, 255), d, 255, false));
	assert_int_equal(load_be16(d + 4), 1);
	good(command(b, CDB(0x12, 1, 0xb2, 0, 255), d, 255, false));
	check_sense(command(b, CDB(0x12, 1, 0xc7, 0, 255), d, 255, false), SENSE_ILLEGAL_REQUEST,
		    0x24, 0);
	/* Where there is no unit, it is said in another way. */
	good(command_to(b, 0, 9, CDB(0x12, 0, 0, 0, 255), d, 255, false));
	assert_int_equal(d[0], 0x7f);
	bed_free(b);
}

static void test_capacity(void **state)
{
	struct disk_bed *b = scsi_with("");
	struct error err = {0};
	uint8_t d[64] = {0};

	good(command(b, CDB(0x25), d, 8, false));
	assert_int_equal(load_be32(d), BLOCKS - 1);
	assert_int_equal(load_be32(d + 4), 512);
	good(command(b, CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), d, 32, false));
	assert_int_equal(load_be64(d), BLOCKS - 1);
	assert_int_equal(d[13], 3); /* eight blocks are a physical one */
	check_sense(command(b, CDB(0x9e, 0x12), d, 32, false), SENSE_ILLEGAL_REQUEST, 0x24, 0);
	/* It grows: the next command says so, once. */
	assert_int_equal(disk_resize(b->disk, 2 * BED_SIZE, &err), 0);
	check_sense(command(b, CDB(0), NULL, 0, false), SENSE_UNIT_ATTENTION, 0x2a, 0x09);
	good(command(b, CDB(0x25), d, 8, false));
	assert_int_equal(load_be32(d), 2 * BLOCKS - 1);
	/* REQUEST SENSE takes one too; INQUIRY does not. */
	assert_int_equal(disk_resize(b->disk, BED_SIZE, &err), 0);
	good(command(b, CDB(0x12, 0, 0, 0, 36), d, 36, false));
	good(command(b, CDB(0x03, 0, 0, 0, 18), d, 18, false));
	assert_int_equal(d[2], SENSE_UNIT_ATTENTION);
	assert_int_equal(d[12], 0x2a);
	good(command(b, CDB(0x03, 0, 0, 0, 18), d, 18, false));
	assert_int_equal(d[2], SENSE_NONE);
	bed_free(b);
}

static void test_mode_sense(void **state)
{
	struct disk_bed *b = scsi_with("");
	uint8_t d[256] = {0};

	good(command(b, CDB(0x1a, 8, 0x08, 0, 255), d, 255, false));
	assert_int_equal(d[0], 4 + 20 - 1);
	assert_int_equal(d[2], 0x10);
	assert_int_equal(d[4], 8);
	assert_true(d[6] & 4); /* write cache */
	good(command(b, CDB(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255), d, 255, false));
	assert_int_equal(load_be16(d), 8 + 8 + 20 + 12 - 2);
	assert_int_equal(load_be32(d + 8), BLOCKS);
	check_sense(command(b, CDB(0x1a, 0, 0x1c, 0, 255), d, 255, false), SENSE_ILLEGAL_REQUEST,
		    0x24, 0);
	check_sense(command(b, CDB(0x1a, 0, 0xc8, 0, 255), d, 255, false), SENSE_ILLEGAL_REQUEST,
		    0x39, 0);
	bed_free(b);
}

static void test_free_and_zero(void **state)
{
	struct disk_bed *b = scsi_with("");
	uint8_t data[4096], list[40] = {0}, zero[512] = {0}, back[4096];

	if (!b->disk->block->can_discard) {
		bed_free(b);
		skip();
	}
	fill(data, sizeof(data), 1);
	for (unsigned i = 0; i < 4; i++)
		good(command(b, CDB(0x2a, 0, 0, 0, 0, (uint8_t)(8 * i), 0, 0, 8), data, 4096,
			     true));
	store_be16(list, 38);
	store_be16(list + 2, 32);
	store_be64(list + 8, 0);
	store_be32(list + 16, 8);
	store_be64(list + 24, 16);
	store_be32(list + 32, 8);
	good(command(b, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 40), list, 40, true));
	good(command(b, CDB(0x93, 8, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 8), zero, 512, true));
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pread(b->fd, back, 4096, 4096 * i), 4096);
		if (i == 1)
			assert_memory_equal(back, data, 4096);
		else
			assert_int_equal(back[0] | back[4095], 0);
	}
	store_be64(list + 24, BLOCKS - 1);
	check_sense(command(b, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 40), list, 40, true),
		    SENSE_ILLEGAL_REQUEST, 0x21, 0);
	store_be16(list + 2, 48); /* more than it brings */
	check_sense(command(b, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 40), list, 40, true),
		    SENSE_ILLEGAL_REQUEST, 0x26, 0);
	check_sense(command(b, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 4), list, 4, true),
		    SENSE_ILLEGAL_REQUEST, 0x1a, 0);
	check_sense(command(b, CDB(0x41, 0, 0, 0, 0, 0, 0, 0, 8), data, 512, true),
		    SENSE_ILLEGAL_REQUEST, 0x26, 0); /* not zeroes */
	bed_free(b);
}

/* Three disks on one controller. */
static void test_luns(void **state)
{
	struct disk_bed *b = bed_with("model=virtio-scsi,id=a"), *c = bed_new(), *d = bed_new();
	struct error err = {0};
	struct pci_dev *none;
	struct disk *disk;
	uint8_t list[256] = {0}, data[512], back[512];
	struct disk_counters first = {0}, last = {0};
	char text[256];

	snprintf(text, sizeof(text), "model=virtio-scsi,id=b,path=%s,lun=5", c->path);
	assert_int_equal(disk_create(text, 1, &b->home, &disk, &none, &err), 0);
	assert_null(none);
	snprintf(text, sizeof(text), "model=virtio-scsi,id=c,lun=5,path=%s", d->path);
	assert_int_equal(disk_create(text, 2, &b->home, &disk, &none, &err), -EINVAL);
	assert_text(err, "another disk has it");
	snprintf(text, sizeof(text), "model=virtio-scsi,id=c,path=%s", d->path);
	assert_int_equal(disk_create(text, 2, &b->home, &disk, &none, &err), 0);
	bed_start(b, 3, NULL);
	good(command(b, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0), list, 256, false));
	assert_int_equal(load_be32(list), 24);
	assert_int_equal(load_be16(list + 8), 0);
	assert_int_equal(load_be16(list + 16), 5);
	assert_int_equal(load_be16(list + 24), 1);
	for (unsigned lun = 0; lun < 6; lun++) {
		if (lun > 1 && lun != 5)
			continue;
		(void)command_to(b, 0, lun, CDB(0), NULL, 0, false);
		fill(data, 512, (uint8_t)lun);
		good(command_to(b, 0, lun, CDB(0x2a, 0, 0, 0, 0, 1, 0, 0, 1), data, 512, true));
	}
	fill(data, 512, 5);
	assert_int_equal(pread(c->fd, back, 512, 512), 512);
	assert_memory_equal(data, back, 512);
	fill(data, 512, 1);
	assert_int_equal(pread(d->fd, back, 512, 512), 512);
	assert_memory_equal(data, back, 512);
	/* Each counts its own. */
	good(command_to(b, 0, 1, CDB(0x28, 0, 0, 0, 0, 1, 0, 0, 1), data, 512, false));
	b->disk->ops->counters(b->disk, &first);
	disk->ops->counters(disk, &last);
	assert_int_equal(first.ops[BLOCK_WRITE], 1);
	assert_int_equal(first.ops[BLOCK_READ], 0);
	assert_int_equal(last.ops[BLOCK_WRITE], 1);
	assert_int_equal(last.bytes[BLOCK_READ], 512);
	assert_int_equal(last.errors, 1); /* the unit attention of before */
	bed_free(b);
	bed_free(c);
	bed_free(d);
}

static uint8_t control(struct disk_bed *b, uint32_t function, unsigned lun)
{
	uint64_t base = gv_alloc(&b->gv, 64);
	uint8_t *p = gv_hva(&b->gv, base), answer;
	struct vdrv_sg sg[2] = {{base, 24}, {base + 32, 1}};
	uint32_t written = 0;
	void *cookie;

	store_le32(p + 4, function);
	p[8] = 1;
	p[10] = 0x40;
	p[11] = (uint8_t)lun;
	p[32] = 0xee;
	bed_send(b, VSCSI_QUEUE_CONTROL, sg, 1, 1, b);
	fake_pump(&b->h);
	assert_int_equal(vdrv_get(b->gv.drv[VSCSI_QUEUE_CONTROL], &cookie, &written), 1);
	assert_int_equal(written, 1);
	answer = p[32];
	b->gv.next_gpa = base;
	return answer;
}

static void test_task_management(void **state)
{
	struct disk_bed *b = scsi_with("");

	assert_int_equal(control(b, 0, 0), VSCSI_S_OK);
	assert_int_equal(control(b, 5, 0), VSCSI_S_OK); /* LOGICAL UNIT RESET */
	check_sense(command(b, CDB(0), NULL, 0, false), SENSE_UNIT_ATTENTION, 0x29, 0);
	assert_int_equal(control(b, 5, 7), VSCSI_S_INCORRECT_LUN);
	assert_int_equal(control(b, 4, 7), VSCSI_S_OK); /* I_T NEXUS RESET */
	check_sense(command(b, CDB(0), NULL, 0, false), SENSE_UNIT_ATTENTION, 0x29, 0);
	assert_int_equal(control(b, 2, 0), VSCSI_S_FUNCTION_REJECTED);
	good(command(b, CDB(0), NULL, 0, false));
	bed_free(b);
}

#define FLIGHT 20u /* commands at a time in each queue */

/* WRITE(10) of a block, sent without waiting for it: number i of queue q, at its place in memory. */
static void send_write(struct disk_bed *b, unsigned q, uintptr_t i, uint64_t at)
{
	uint8_t *p = gv_hva(&b->gv, at);
	struct vdrv_sg sg[3] = {{at, 51}, {at + 512, 512}, {at + 128, 108}};

	memset(p, 0, 512);
	p[0] = 1;
	p[2] = 0x40;
	p[19] = 0x2a;
	store_be32(p + 21, (uint32_t)(q * FLIGHT + i));
	p[19 + 8] = 1;
	fill(p + 512, 512, (uint8_t)(q * FLIGHT + i));
	p[128 + 11] = 0xee;
	bed_send(b, q, sg, 2, 1, (void *)(i + 1));
}

/*
 * Queues with a thread each, and the main loop's resets, looks at the counters and changes of size
 * between their commands: each command is answered, once, and what was told to be written is.
 */
static void test_queues_and_resets(void **state)
{
	struct disk_bed *b = scsi_queues("queues=3,queue-size=64", RQ + 3);
	bool good_once[3 * FLIGHT] = {false};
	uint64_t base = gv_alloc(&b->gv, (uint64_t)3 * FLIGHT * 1024);
	uint8_t data[512], back[512];
	struct error err = {0};

	for (unsigned round = 0; round < 10; round++) {
		struct disk_counters sum = {0};

		for (unsigned i = 0; i < 3 * FLIGHT; i++)
			send_write(b, RQ + i % 3, i / 3, base + (uint64_t)i * 1024);
		assert_int_equal(control(b, round % 2 ? 5 : 1, 0), VSCSI_S_OK);
		assert_int_equal(disk_resize(b->disk, BED_SIZE + round * MIB, &err), 0);
		b->disk->ops->counters(b->disk, &sum);
		for (unsigned i = 0; i < 3 * FLIGHT; i++) {
			void *cookie = NULL;
			unsigned n;
			uint8_t *p;

			assert_true(bed_wait(b, RQ + i % 3, &cookie) >= 108);
			n = 3 * (unsigned)((uintptr_t)cookie - 1) + i % 3;
			p = gv_hva(&b->gv, base + (uint64_t)n * 1024);
			assert_int_equal(p[128 + 11], VSCSI_S_OK);
			good_once[n] |= p[128 + 10] == SCSI_GOOD;
			p[128 + 11] = 0xee;
		}
	}
	for (unsigned i = 0; i < 3 * FLIGHT; i++) {
		unsigned block = (RQ + i % 3) * FLIGHT + i / 3;

		assert_true(good_once[i]);
		fill(data, 512, (uint8_t)block);
		assert_int_equal(pread(b->fd, back, 512, 512l * block), 512);
		assert_memory_equal(data, back, 512);
	}
	bed_free(b);
}

static void test_event(void **state)
{
	struct disk_bed *b = scsi_with("");
	struct error err = {0};
	uint64_t base = gv_alloc(&b->gv, 64);
	uint8_t *p = gv_hva(&b->gv, base);
	struct vdrv_sg sg = {base, 16};
	uint32_t written = 0;
	void *cookie;

	bed_send(b, VSCSI_QUEUE_EVENT, &sg, 0, 1, b);
	fake_pump(&b->h);
	assert_int_equal(vdrv_get(b->gv.drv[VSCSI_QUEUE_EVENT], &cookie, &written), 0);
	assert_int_equal(disk_resize(b->disk, 2 * BED_SIZE, &err), 0);
	assert_int_equal(vdrv_get(b->gv.drv[VSCSI_QUEUE_EVENT], &cookie, &written), 1);
	assert_int_equal(written, 16);
	assert_int_equal(load_le32(p), 3);
	assert_int_equal(p[12] | p[13] << 8, 0x092a);
	bed_free(b);
}

static void test_malformed(void **state)
{
	struct disk_bed *b = scsi_with("");
	uint64_t base = gv_alloc(&b->gv, 4096);
	struct vdrv_sg sg[4] = {{base, 50}, {base + 1024, 108}};
	uint8_t *p = gv_hva(&b->gv, base);

	assert_int_equal(bed_chain(b, RQ, sg, 1, 1), 0);
	sg[0].len = 51;
	sg[1].len = 107;
	assert_int_equal(bed_chain(b, RQ, sg, 1, 1), 0);
	/* Data both ways, which was not offered. */
	p[0] = 1;
	sg[1] = (struct vdrv_sg){base + 100, 512};
	sg[2] = (struct vdrv_sg){base + 1024, 108};
	sg[3] = (struct vdrv_sg){base + 2048, 512};
	assert_true(bed_chain(b, RQ, sg, 2, 2) >= 108);
	assert_int_equal(p[1024 + 11], VSCSI_S_FAILURE);
	good(command(b, CDB(0), NULL, 0, false));
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_write),	cmocka_unit_test(test_errors),
		cmocka_unit_test(test_readonly),	cmocka_unit_test(test_inquiry),
		cmocka_unit_test(test_capacity),	cmocka_unit_test(test_mode_sense),
		cmocka_unit_test(test_free_and_zero),	cmocka_unit_test(test_luns),
		cmocka_unit_test(test_task_management), cmocka_unit_test(test_event),
		cmocka_unit_test(test_malformed),	cmocka_unit_test(test_queues_and_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
