/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/dirty_log.h"

#include "mem/barrier.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct dirty_log *dirty_log_new(struct error *err)
{
	struct dirty_log *log = calloc(1, sizeof(*log));

	if (!log)
		error_set(err, -ENOMEM, "dirty log: out of memory");
	else
		log->fd = -1;
	return log;
}

struct dirty_log *dirty_log_create(uint64_t limit, struct error *err)
{
	struct dirty_log *log = dirty_log_new(err);
	size_t bytes;

	if (!log)
		return NULL;
	log->pages = (limit >> DIRTY_PAGE_SHIFT) + !!(limit & (DIRTY_PAGE_SIZE - 1));
	bytes = MAX(dirty_log_words(log), 1) * sizeof(uint64_t);
	log->fd = memfd_create("dirty-log", MFD_CLOEXEC);
	if (log->fd < 0 || ftruncate(log->fd, (off_t)bytes) < 0)
		goto fail;
	log->words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, log->fd, 0);
	if (log->words == MAP_FAILED)
		goto fail;
	return log;
fail:
	error_set(err, -errno, "dirty log: no memory for %zu bytes: %s", bytes, error_name(errno));
	if (log->fd >= 0)
		close(log->fd);
	free(log);
	return NULL;
}

struct dirty_log *dirty_log_wrap(void *bitmap, uint64_t bytes, struct error *err)
{
	struct dirty_log *log;

	if ((uintptr_t)bitmap % sizeof(uint64_t)) {
		error_set(err, -EINVAL, "dirty log: the bitmap is not aligned to 8 bytes");
		return NULL;
	}
	log = dirty_log_new(err);
	if (!log)
		return NULL;
	log->words = bitmap;
	log->pages = ALIGN_DOWN(bytes, sizeof(uint64_t)) * 8;
	return log;
}

void dirty_log_free(struct dirty_log *log)
{
	if (!log)
		return;
	if (log->fd >= 0) {
		munmap(log->words, MAX(dirty_log_words(log), 1) * sizeof(uint64_t));
		close(log->fd);
	}
	free(log);
}

void dirty_log_mark(struct dirty_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t page = gpa >> DIRTY_PAGE_SHIFT, last;

	if (!len || page >= log->pages)
		return;
	last = len - 1 > UINT64_MAX - gpa ? UINT64_MAX : gpa + len - 1;
	last = MIN(last >> DIRTY_PAGE_SHIFT, log->pages - 1);
	for (; page <= last; page++) {
		uint64_t *word = &log->words[page / 64];
		uint64_t bit = 1ULL << (page % 64);

		/*
		 * Ordered after the write to the page: a collector that clears the bit must then
		 * see that write. A hot page's bit is mostly set already, and looking first keeps
		 * its line shared; the fence makes the look come after the write.
		 */
		full_barrier();
		if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
			__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
	}
}

uint64_t dirty_log_collect(struct dirty_log *log, uint64_t *out)
{
	uint64_t words = dirty_log_words(log), pages = 0;

	for (uint64_t i = 0; i < words; i++) {
		out[i] = __atomic_load_n(&log->words[i], __ATOMIC_RELAXED);
		if (out[i])
			out[i] = __atomic_exchange_n(&log->words[i], 0, __ATOMIC_SEQ_CST);
		pages += (unsigned)__builtin_popcountll(out[i]);
	}
	return pages;
}
