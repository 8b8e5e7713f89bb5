/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PARCEL_H
#define BASE_PARCEL_H

#include "base/error.h"

/*
 * Numbers, texts and descriptors, packed by one process and unpacked by another on the same machine,
 * which trusts none of it: what is not there reads as 0, "" and -1, and is noted, so that one look at
 * `bad` at the end of a record is enough.
 */

/** Being packed. Zero-initialise. */
struct parcel_out {
	uint8_t *data;
	size_t len, room;
	int *fds; /* not owned; they have to stay open until it is sent */
	unsigned nfds, fds_room;
	bool failed; /* there was no memory: it cannot be sent */
};

void parcel_put(struct parcel_out *p, const void *data, size_t len);
void parcel_put_u64(struct parcel_out *p, uint64_t n);
void parcel_put_text(struct parcel_out *p, const char *text);
void parcel_put_fd(struct parcel_out *p, int fd); /* -1: none */
void parcel_out_free(struct parcel_out *p);

/** Being unpacked. */
struct parcel_in {
	uint8_t *data;
	size_t len, at;
	int *fds; /* those that were not taken yet are owned */
	unsigned nfds, next_fd;
	bool bad; /* something was not there */
};

/** Copies len bytes to to, or zeroes it. */
bool parcel_get(struct parcel_in *p, void *to, size_t len);
uint64_t parcel_get_u64(struct parcel_in *p);
/** A number from min to max; any other is bad, and min. */
uint64_t parcel_get_range(struct parcel_in *p, uint64_t min, uint64_t max);
bool parcel_get_bool(struct parcel_in *p);
/** A text of less than size bytes, into to. */
void parcel_get_text(struct parcel_in *p, char *to, size_t size);
/** The next descriptor, which is the caller's then; -1: none. */
int parcel_get_fd(struct parcel_in *p);
/** Closes what was not taken. */
void parcel_in_free(struct parcel_in *p);

#define PARCEL_BYTES_MAX (256U << 20)
#define PARCEL_FDS_MAX	 65536U

/** Sends it over a non-blocking stream socket. 0, -ETIMEDOUT at deadline (clock_ns()), … */
int parcel_send(int sock, const struct parcel_out *p, uint64_t deadline, struct error *err);

/** Receives one, into *p: to be freed by parcel_in_free(), also on failure. -ECONNRESET: nobody. */
int parcel_recv(int sock, struct parcel_in *p, uint64_t deadline, struct error *err);

#endif
