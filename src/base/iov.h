/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_IOV_H
#define BASE_IOV_H

#include "base/util.h"

#include <sys/uio.h>

/* Bytes in scattered buffers. Offsets and lengths beyond the end are cut, never read. */

static inline size_t iov_len(const struct iovec *iov, unsigned niov)
{
	size_t len = 0;

	for (unsigned i = 0; i < niov; i++)
		len += iov[i].iov_len;
	return len;
}

/** Copies up to len bytes from offset on into buf; returns how many there were. */
static inline size_t iov_read(const struct iovec *iov, unsigned niov, size_t offset, void *buf,
			      size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < niov && done < len; i++) {
		size_t n;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		n = MIN(iov[i].iov_len - offset, len - done);
		memcpy((char *)buf + done, (const char *)iov[i].iov_base + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

/** Copies up to len bytes from buf to offset on; returns how many found room. */
static inline size_t iov_write(const struct iovec *iov, unsigned niov, size_t offset,
			       const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < niov && done < len; i++) {
		size_t n;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		n = MIN(iov[i].iov_len - offset, len - done);
		memcpy((char *)iov[i].iov_base + offset, (const char *)buf + done, n);
		done += n;
		offset = 0;
	}
	return done;
}

/**
 * Describes the len bytes from offset on in out, which has room for max elements (niov is always
 * enough). Returns how many elements it took; the bytes end early where iov or max does.
 */
static inline unsigned iov_slice(const struct iovec *iov, unsigned niov, size_t offset, size_t len,
				 struct iovec *out, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < niov && len && n < max; i++) {
		size_t part;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		part = MIN(iov[i].iov_len - offset, len);
		out[n++] = (struct iovec){(char *)iov[i].iov_base + offset, part};
		len -= part;
		offset = 0;
	}
	return n;
}

#endif
