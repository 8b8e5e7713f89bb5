/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_bed.h"

#include "device/ide.h"

#include <linux/pci_regs.h>

#define CMD   0x1f0
#define CTL   0x3f6
#define TRIES PATIENCE_MS

static uint8_t in(struct disk_bed *b, uint16_t port)
{
	uint8_t v = 0;

	bus_read(b->h.pio, port, &v, 1);
	return v;
}

static void out(struct disk_bed *b, uint16_t port, uint8_t value)
{
	bus_write(b->h.pio, port, &value, 1);
}

static uint16_t bm_base(struct disk_bed *b)
{
	return (uint16_t)(fake_config_read(&b->h, 1, PCI_BASE_ADDRESS_4, 4) & ~3u);
}

static struct disk_bed *ide_with(const char *options)
{
	struct disk_bed *b = bed_new();
	struct error err = {0};
	char text[128];

	snprintf(text, sizeof(text), "model=ide%s%s", *options ? "," : "", options);
	if (bed_try(b, text, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pci_bus_add(b->h.pci, b->pci, 1, 0, &err), 0);
	fake_config_write(&b->h, 1, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	return b;
}

/* Not busy any more; the status. */
static uint8_t settled(struct disk_bed *b)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint8_t s = in(b, CTL);

		if (!(s & ATA_BSY))
			return in(b, CMD + 7);
		usleep(1000);
	}
	fail_msg("busy for ever");
	return 0;
}

/* The worker changes it, too. */
static bool interrupted(struct disk_bed *b)
{
	bool on;

	pthread_mutex_lock(&b->h.lock);
	on = b->h.lines[14];
	pthread_mutex_unlock(&b->h.lock);
	return on;
}

static uint8_t irq_status(struct disk_bed *b)
{
	for (unsigned i = 0; i < TRIES && !interrupted(b); i++)
		usleep(1000);
	assert_true(interrupted(b));
	return in(b, CMD + 7);
}

static void task(struct disk_bed *b, uint64_t lba, unsigned count, bool ext, uint8_t code)
{
	if (ext) {
		out(b, CMD + 2, (uint8_t)(count >> 8));
		out(b, CMD + 3, (uint8_t)(lba >> 24));
		out(b, CMD + 4, (uint8_t)(lba >> 32));
		out(b, CMD + 5, (uint8_t)(lba >> 40));
	}
	out(b, CMD + 2, (uint8_t)count);
	out(b, CMD + 3, (uint8_t)lba);
	out(b, CMD + 4, (uint8_t)(lba >> 8));
	out(b, CMD + 5, (uint8_t)(lba >> 16));
	out(b, CMD + 6, (uint8_t)(0xe0 | (ext ? 0 : lba >> 24 & 0xf)));
	out(b, CMD + 7, code);
}

static void pio_in(struct disk_bed *b, uint8_t *data, unsigned len)
{
	for (unsigned i = 0; i < len; i += 2)
		bus_read(b->h.pio, CMD, data + i, 2);
}

static void pio_out(struct disk_bed *b, const uint8_t *data, unsigned len)
{
	for (unsigned i = 0; i < len; i += 4)
		bus_write(b->h.pio, CMD, data + i, 4);
}

static void test_identify(void **state)
{
	struct disk_bed *b = ide_with("serial=ATA-1");
	uint8_t id[512];

	assert_int_equal(in(b, CMD + 7), ATA_DRDY | ATA_DSC);
	task(b, 0, 0, false, 0xec);
	assert_int_equal(irq_status(b), ATA_DRDY | ATA_DSC | ATA_DRQ);
	assert_false(interrupted(b));
	pio_in(b, id, 512);
	assert_int_equal(in(b, CMD + 7), ATA_DRDY | ATA_DSC);
	assert_int_equal(load_le32(id + 120), BED_SIZE / 512);
	assert_int_equal(load_le64(id + 200), BED_SIZE / 512);
	assert_memory_equal(id + 20, "TA-A 1", 6);
	/* The slave is not there, and neither is anything on the second channel. */
	out(b, CMD + 6, 0xf0);
	assert_int_equal(in(b, CMD + 7), 0);
	assert_int_equal(in(b, 0x177), 0xff);
	bed_free(b);
}

static void pio(struct disk_bed *b, unsigned sectors, uint8_t rd, uint8_t wr, unsigned block,
		bool ext, uint64_t lba)
{
	uint8_t *data = malloc(sectors * 512), *back = malloc(sectors * 512);

	fill(data, sectors * 512, (uint8_t)lba);
	task(b, lba, sectors, ext, wr);
	assert_true(settled(b) & ATA_DRQ);
	for (unsigned i = 0; i < sectors; i += block) {
		pio_out(b, data + 512 * i, 512 * MIN(block, sectors - i));
		assert_false(irq_status(b) & ATA_ERR);
	}
	assert_int_equal(in(b, CMD + 7), ATA_DRDY | ATA_DSC);
	assert_int_equal(pread(b->fd, back, sectors * 512, (off_t)lba * 512), sectors * 512);
	assert_memory_equal(data, back, sectors * 512);
	memset(back, 0, sectors * 512);
	task(b, lba, sectors, ext, rd);
	for (unsigned i = 0; i < sectors; i += block) {
		assert_true(irq_status(b) & ATA_DRQ);
		pio_in(b, back + 512 * i, 512 * MIN(block, sectors - i));
	}
	assert_int_equal(in(b, CMD + 7), ATA_DRDY | ATA_DSC);
	assert_memory_equal(data, back, sectors * 512);
	free(data);
	free(back);
}

static void test_pio(void **state)
{
	struct disk_bed *b = ide_with("");

	pio(b, 1, 0x20, 0x30, 1, false, 0);
	pio(b, 17, 0x20, 0x30, 1, false, 100);
	pio(b, 300, 0x24, 0x34, 1, true, 1000); /* more than the buffer */
	task(b, 0, 8, false, 0xc6);		/* SET MULTIPLE */
	assert_false(irq_status(b) & ATA_ERR);
	pio(b, 20, 0xc4, 0xc5, 8, false, 200);
	pio(b, 520, 0x29, 0x39, 8, true, 2000);
	task(b, 0, 3, false, 0xc6);
	assert_true(irq_status(b) & ATA_ERR);
	task(b, 0, 0, false, 0xe7); /* FLUSH CACHE */
	assert_int_equal(irq_status(b), ATA_DRDY | ATA_DSC);
	bed_free(b);
}

/* A descriptor table of pieces, somewhere in memory. */
static void prdt(struct disk_bed *b, uint64_t at, uint64_t data, unsigned len, unsigned piece)
{
	uint8_t prd[8] = {0};

	for (unsigned done = 0; done < len; done += piece, at += 8) {
		unsigned n = MIN(piece, len - done);

		store_le32(prd, (uint32_t)(data + done));
		store_le16(prd + 4, (uint16_t)n);
		prd[7] = done + n == len ? 0x80 : 0;
		assert_int_equal(mem_write(guest_mem_table(b->h.mem), at, prd, 8), 0);
	}
}

static uint8_t dma(struct disk_bed *b, uint64_t lba, unsigned sectors, uint8_t code, bool first,
		   uint8_t *bm_status)
{
	uint16_t bm = bm_base(b);
	uint32_t table = 0x10000;
	bool to_memory = code == 0x25 || code == 0xc8;
	uint8_t status;

	bus_write(b->h.pio, bm + 4u, &table, 4);
	out(b, bm + 2, 6);
	out(b, bm, to_memory ? BM_TO_MEMORY : 0);
	if (first) /* either order is legal */
		out(b, bm, (uint8_t)((to_memory ? BM_TO_MEMORY : 0) | BM_START));
	task(b, lba, sectors, code == 0x25 || code == 0x35 || code == 0x3d, code);
	if (!first)
		out(b, bm, (uint8_t)((to_memory ? BM_TO_MEMORY : 0) | BM_START));
	for (unsigned i = 0; i < TRIES && !interrupted(b); i++)
		usleep(1000);
	*bm_status = in(b, bm + 2);
	status = in(b, CMD + 7);
	out(b, bm, 0);
	return status;
}

static void test_dma(void **state)
{
	struct disk_bed *b = ide_with("");
	const unsigned len = 700 * 512;
	uint8_t *data = malloc(len), *back = malloc(len), bm;

	fill(data, len, 77);
	assert_int_equal(mem_write(guest_mem_table(b->h.mem), MIB, data, len), 0);
	prdt(b, 0x10000, MIB, len, 4096 - 2);
	assert_int_equal(dma(b, 64, 700, 0x35, false, &bm), ATA_DRDY | ATA_DSC);
	assert_int_equal(bm & 7, BM_INTERRUPT);
	assert_int_equal(pread(b->fd, back, len, 64 * 512), len);
	assert_memory_equal(data, back, len);
	prdt(b, 0x10000, 2 * MIB, len, 65536);
	assert_int_equal(dma(b, 64, 700, 0x25, true, &bm), ATA_DRDY | ATA_DSC);
	assert_int_equal(mem_read(guest_mem_table(b->h.mem), 2 * MIB, back, len), 0);
	assert_memory_equal(data, back, len);
	/* A table that ends too early, or leads nowhere. */
	prdt(b, 0x10000, 2 * MIB, 512, 512);
	assert_true(dma(b, 64, 2, 0xc8, true, &bm) & ATA_ERR);
	assert_true(bm & BM_ERROR);
	prdt(b, 0x10000, 3 * GIB, 1024, 1024);
	assert_true(dma(b, 64, 2, 0xca, true, &bm) & ATA_ERR);
	prdt(b, 0x10000, 2 * MIB, 1024, 1024);
	assert_int_equal(dma(b, 64, 2, 0xc8, true, &bm), ATA_DRDY | ATA_DSC);
	free(data);
	free(back);
	bed_free(b);
}

static void test_errors(void **state)
{
	struct disk_bed *b = ide_with("");

	task(b, BED_SIZE / 512, 1, false, 0x20);
	assert_true(irq_status(b) & ATA_ERR);
	assert_int_equal(in(b, CMD + 1), ATA_E_IDNF);
	task(b, ~0ULL >> 16, 1, true, 0x24);
	assert_true(irq_status(b) & ATA_ERR);
	task(b, 0, 1, false, 0xa1); /* IDENTIFY PACKET DEVICE: it is no CD-ROM */
	assert_true(irq_status(b) & ATA_ERR);
	assert_int_equal(in(b, CMD + 1), ATA_E_ABRT);
	task(b, 0, 1, false, 0xc4); /* multiple, of none */
	assert_true(irq_status(b) & ATA_ERR);
	assert_int_equal(ftruncate(b->fd, MIB), 0);
	task(b, 2 * MIB / 512, 1, false, 0x20);
	assert_true(irq_status(b) & ATA_ERR);
	assert_int_equal(in(b, CMD + 1), ATA_E_UNC);
	/* No interrupts when they are not wanted. */
	out(b, CTL, ATA_C_NIEN);
	task(b, 0, 0, false, 0xe7);
	assert_int_equal(settled(b), ATA_DRDY | ATA_DSC);
	assert_false(interrupted(b));
	bed_free(b);
}

/* A software reset in the middle of things; the registers of LBA48. */
static void test_reset(void **state)
{
	struct disk_bed *b = ide_with("");

	task(b, 0x0102030405, 0x0607, true, 0xe5);
	(void)irq_status(b);
	assert_int_equal(in(b, CMD + 3), 0x05);
	out(b, CTL, ATA_C_HOB);
	assert_int_equal(in(b, CMD + 3), 0x02);
	for (unsigned i = 0; i < 50; i++) {
		task(b, i, 64, false, i % 2 ? 0x20 : 0x30);
		out(b, CTL, ATA_C_SRST);
		assert_true(in(b, CTL) & ATA_BSY);
		out(b, CTL, 0);
		assert_int_equal(settled(b), ATA_DRDY | ATA_DSC);
		assert_int_equal(in(b, CMD + 2), 1);
		assert_int_equal(in(b, CMD + 4), 0);
	}
	pio(b, 20, 0x20, 0x30, 1, false, 5);
	task(b, 0, 64, false, 0x20);
	pci_bus_reset(b->h.pci);
	assert_int_equal(settled(b), ATA_DRDY | ATA_DSC);
	bed_free(b);
}

static void refused(const char *options, const char *says)
{
	struct disk_bed *b = bed_new();
	struct error err = {0};

	assert_true(bed_try(b, options, &err) < 0);
	assert_text(err, says);
	bed_free(b);
}

static void test_units(void **state)
{
	struct disk_bed *b = ide_with("id=a"), *c = bed_new();
	struct error err = {0};
	struct pci_dev *none;
	struct disk *disk;
	char text[256];
	struct disk_counters master = {0}, slave = {0};
	uint8_t id[512];

	snprintf(text, sizeof(text), "model=ide,id=c,serial=SLAVE,path=%s", c->path);
	assert_int_equal(disk_create(text, 1, &b->home, &disk, &none, &err), 0);
	out(b, CMD + 6, 0xf0);
	assert_int_equal(in(b, CMD + 7), ATA_DRDY | ATA_DSC);
	out(b, CMD + 7, 0xec);
	assert_true(irq_status(b) & ATA_DRQ);
	pio_in(b, id, 512);
	assert_memory_equal(id + 20, "LSVA E", 6);
	/* READ SECTORS: each counts its own. */
	out(b, CMD + 2, 1);
	out(b, CMD + 7, 0x20);
	assert_int_equal(irq_status(b), ATA_DRDY | ATA_DSC | ATA_DRQ);
	pio_in(b, id, 512);
	b->disk->ops->counters(b->disk, &master);
	disk->ops->counters(disk, &slave);
	assert_int_equal(master.ops[BLOCK_READ], 0);
	assert_int_equal(slave.ops[BLOCK_READ], 1);
	assert_int_equal(slave.bytes[BLOCK_READ], 512);
	bed_free(b);
	bed_free(c);
	refused("model=ide,readonly=on", "cannot be read-only");
	refused("model=ide,unit=4", "unit=4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identify), cmocka_unit_test(test_pio),
		cmocka_unit_test(test_dma),	 cmocka_unit_test(test_errors),
		cmocka_unit_test(test_reset),	 cmocka_unit_test(test_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
