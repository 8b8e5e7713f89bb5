/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_PCAPNG_H
#define NET_PCAPNG_H

#include "base/error.h"

#include <sys/uio.h>

/*
 * Captures in the pcapng format (draft-ietf-opsawg-pcapng) with nanosecond time stamps: several
 * interfaces in one file, a direction with each packet, and a comment for those that were dropped.
 * Any thread may write; packets are gathered in memory and written a block of them at a time.
 */
struct pcapng;

enum pcapng_direction { PCAPNG_UNKNOWN, PCAPNG_INBOUND, PCAPNG_OUTBOUND };

/** Creates (or empties) the file. "-" is standard output. */
int pcapng_open(const char *path, struct pcapng **out, struct error *err);

/** As pcapng_open() on an open descriptor, taken over also after an error; name: for messages. */
int pcapng_open_fd(int fd, const char *name, struct pcapng **out, struct error *err);

/**
 * Adds an interface called name; packets are cut to snaplen bytes (0: not at all). Returns its
 * number for pcapng_write(), or a negative errno.
 */
int pcapng_add_interface(struct pcapng *cap, const char *name, uint32_t snaplen);

/**
 * Records a packet of the given interface, seen now. comment may be NULL; it is where a drop's
 * cause goes. What cannot be written (disk full, reader gone) is counted and not tried again by
 * this call.
 */
void pcapng_write(struct pcapng *cap, unsigned interface, enum pcapng_direction direction,
		  const struct iovec *iov, unsigned niov, const char *comment);

/**
 * The same for a packet seen at ns nanoseconds after the beginning of 1970, of which iov may hold
 * only the beginning: it was len bytes long.
 */
void pcapng_write_at(struct pcapng *cap, unsigned interface, uint64_t ns,
		     enum pcapng_direction direction, const struct iovec *iov, unsigned niov,
		     uint32_t len, const char *comment);

/** Writes out what is gathered. */
void pcapng_flush(struct pcapng *cap);

/** Packets recorded, and packets lost because the file could not be written. */
void pcapng_counters(struct pcapng *cap, uint64_t *packets, uint64_t *lost);

/** Flushes and closes. Returns 0, or a negative errno when packets were lost. cap may be NULL. */
int pcapng_close(struct pcapng *cap);

#endif
