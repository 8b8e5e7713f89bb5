/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_CAPTURE_H
#define NET_CAPTURE_H

#include "net/pcapng.h"

/*
 * A capture beside a data path. Whoever moves frames copies what it sees into a lane, a bounded ring
 * of its own: no lock, no system call, and when it is full the frame is counted as lost and the
 * traffic goes on. A thread of the capture's takes the frames out of all lanes, in the order of
 * their times, and writes the file.
 */
struct capture;

#define CAPTURE_LANE_BYTES (4 * MIB)

/** What to capture into, and how. */
struct capture_params {
	const char *path; /* a regular file, made or emptied; NULL: fd */
	int fd;		  /* taken over, also after an error; where path is NULL */
	const char *name; /* of the interface in the file: "net0" */
	uint32_t snaplen; /* bytes kept of a frame; 0: all */
	unsigned lanes;	  /* threads that move frames, at most */
};

int capture_start(const struct capture_params *params, struct capture **out, struct error *err);

/** Copies a frame. One thread at a time for one lane. comment is kept, not copied; or NULL. */
void capture_frame(struct capture *cap, unsigned lane, enum pcapng_direction direction,
		   const struct iovec *iov, unsigned niov, const char *comment);

/** Frames written or on their way, and frames lost: no room in a lane, or in the file. */
void capture_counters(struct capture *cap, uint64_t *frames, uint64_t *lost);

/**
 * Writes what is there and ends. No thread may be in capture_frame() any more. Returns 0, or the
 * negative errno of the first failure to write. cap may be NULL.
 */
int capture_stop(struct capture *cap);

#endif
