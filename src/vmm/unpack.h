/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_UNPACK_H
#define VMM_UNPACK_H

#include "base/util.h"

/* Decompression of the kernel inside a bzImage, and putting it in its place: see vmlinux.c. */

/**
 * Decompresses the one stream at data (zstd, xz or gzip, as far as this build has them) into out.
 * Returns the bytes written, -ENOTSUP for a format that is not known here, -EINVAL for a broken
 * stream or one that needs more than room.
 */
int64_t unpack(const uint8_t *data, size_t size, uint8_t *out, size_t room);

struct vmlinux {
	uint64_t link_base; /* the physical address it was linked for */
	uint64_t
		virt_shift; /* by how much its virtual addresses are to differ from the linked ones */
	uint64_t entry;	    /* out: offset of its 64-bit entry from its first byte */
};

/**
 * Turns an ELF kernel with its relocations behind it, len bytes at image, into what it looks like
 * when loaded, in place; room bytes from image on are its own. -EINVAL if the file is not of the
 * expected form: memory there is then garbage.
 */
int vmlinux_place(struct vmlinux *vmlinux, uint8_t *image, size_t len, size_t room);

#endif
