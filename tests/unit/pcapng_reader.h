/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PCAPNG_READER_H
#define TESTS_PCAPNG_READER_H

#include "unit.h"

#include "base/util.h"
#include "net/pcapng.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A reader of our own: walks the blocks, checks every length, keeps what the tests ask about. */
struct seen {
	unsigned sections, interfaces, packets;
	unsigned inbound, outbound, commented;
	bool in_order; /* each not before the one before it */
	char names[4][32];
	uint32_t last_interface, last_captured, last_length, last_flags;
	uint64_t last_ns;
	char last_comment[300];
	uint8_t last_data[64];
};

static inline uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static inline uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

static inline void read_options(struct seen *s, uint32_t type, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		uint16_t code = get16(p), len = get16(p + 2);

		p += 4;
		assert_true(p + len <= end);
		if (code == 0) {
			assert_int_equal(len, 0);
			assert_ptr_equal(p, end);
			return;
		}
		if (type == 1 && code == 2)
			snprintf(s->names[s->interfaces], 32, "%.*s", len, (const char *)p);
		if (type == 1 && code == 9)
			assert_int_equal(*p, 9);
		if (type == 6 && code == 1)
			snprintf(s->last_comment, sizeof(s->last_comment), "%.*s", len,
				 (const char *)p);
		if (type == 6 && code == 2)
			s->last_flags = get32(p);
		p += (len + 3) & ~3u;
	}
	fail_msg("options without an end");
}

static inline void read_block(struct seen *s, const uint8_t *p, uint32_t len)
{
	const uint8_t *body = p + 8, *end = p + len - 4;
	uint32_t type = get32(p);
	uint64_t ns;

	switch (type) {
	case 0x0a0d0d0a:
		assert_int_equal(get32(body), 0x1a2b3c4d);
		assert_int_equal(get16(body + 4), 1);
		read_options(s, type, body + 16, end);
		s->sections++;
		break;
	case 1:
		assert_int_equal(get16(body), 1);
		read_options(s, type, body + 8, end);
		s->interfaces++;
		break;
	case 6:
		s->last_interface = get32(body);
		assert_true(s->last_interface < s->interfaces);
		ns = (uint64_t)get32(body + 4) << 32 | get32(body + 8);
		s->in_order &= ns >= s->last_ns;
		s->last_ns = ns;
		s->last_captured = get32(body + 12);
		s->last_length = get32(body + 16);
		s->last_comment[0] = '\0';
		memcpy(s->last_data, body + 20, MIN(s->last_captured, 64u));
		read_options(s, type, body + 20 + ((s->last_captured + 3) & ~3u), end);
		s->packets++;
		s->inbound += (s->last_flags & 3) == PCAPNG_INBOUND;
		s->outbound += (s->last_flags & 3) == PCAPNG_OUTBOUND;
		s->commented += s->last_comment[0] != '\0';
		break;
	default:
		fail_msg("block of type %#x", type);
	}
}

static inline struct seen read_file(const char *path)
{
	static uint8_t buf[8 << 20];
	FILE *f = fopen(path, "r");
	struct seen s = {.in_order = true};
	size_t n, at = 0;

	assert_non_null(f);
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	while (at < n) {
		uint32_t len;

		assert_true(at + 12 <= n);
		len = get32(buf + at + 4);
		assert_true(len >= 12 && len % 4 == 0 && at + len <= n);
		assert_int_equal(get32(buf + at + len - 4), len);
		read_block(&s, buf + at, len);
		at += len;
	}
	return s;
}

static char path[64];

static inline int make_path(void **state)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/pcapng-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static inline int drop_path(void **state)
{
	return unlink(path);
}

#endif
