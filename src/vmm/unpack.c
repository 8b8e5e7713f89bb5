/* SPDX-License-Identifier: Apache-2.0 */
/* One function a format. Each stops at the end of its stream; what follows is not looked at. */
#include "vmm/unpack.h"

#include <errno.h>

#ifdef HAVE_LZMA
#include <lzma.h>
#endif
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#ifdef HAVE_ZSTD
/* In one go: the output is its own window, so no buffer of the window's 128 MiB is needed. */
static int64_t unpack_zstd(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
	size_t frame = ZSTD_findFrameCompressedSize(data, size), n;

	if (ZSTD_isError(frame))
		return -EINVAL;
	n = ZSTD_decompress(out, room, data, frame);
	return ZSTD_isError(n) ? -EINVAL : (int64_t)n;
}
#endif

#ifdef HAVE_LZMA
static int64_t unpack_xz(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
	uint64_t memory = 128 * MIB;
	size_t in_at = 0, out_at = 0;

	if (lzma_stream_buffer_decode(&memory, 0, NULL, data, &in_at, size, out, &out_at, room) !=
	    LZMA_OK)
		return -EINVAL;
	return (int64_t)out_at;
}
#endif

#ifdef HAVE_ZLIB
static int64_t unpack_gzip(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
	/* zlib's type is not const, but it does not write there. */
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data,
		      .avail_in = (uInt)size,
		      .next_out = out,
		      .avail_out = (uInt)room};
	int64_t n = -EINVAL;

	if (size > UINT32_MAX || room > UINT32_MAX || inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return -EINVAL;
	if (inflate(&z, Z_FINISH) == Z_STREAM_END)
		n = (int64_t)z.total_out;
	inflateEnd(&z);
	return n;
}
#endif

static const struct {
	uint8_t magic[6];
	uint8_t len;
	int64_t (*fn)(const uint8_t *data, size_t size, uint8_t *out, size_t room);
} formats[] = {
#ifdef HAVE_ZSTD
	{{0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
#endif
#ifdef HAVE_LZMA
	{{0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
#endif
#ifdef HAVE_ZLIB
	{{0x1f, 0x8b}, 2, unpack_gzip},
#endif
	{{0}, 0, NULL},
};

int64_t unpack(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
	for (unsigned i = 0; formats[i].fn; i++) {
		if (size > formats[i].len && !memcmp(data, formats[i].magic, formats[i].len))
			return formats[i].fn(data, size, out, room);
	}
	return -ENOTSUP;
}
