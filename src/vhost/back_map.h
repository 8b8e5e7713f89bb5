/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_BACK_MAP_H
#define VHOST_BACK_MAP_H

#include "base/error.h"

/* Mappings of files that are somebody else's: private to src/vhost/. See back_map.c. */
struct mem_guard;

/** A mapping of a file that a front-end passed. */
struct back_map {
	void *at; /* NULL: none */
	uint64_t len;
	struct mem_guard *guard;
	int fd;		       /* of back_map_file(): a copy, to be handed on; otherwise -1 */
	uint64_t offset, size; /* in it */
};

/** A part of a file; grain: what a mapping's beginning and length are multiples of. */
struct back_range {
	int fd;
	uint64_t offset, size, grain;
	bool readonly;
};

/**
 * Maps the range, shared, in such a way that it does not hurt if the file shrinks; then event_fd is
 * signalled (mem/guard.h). *at: its first byte. Does not keep the file.
 */
int back_map_range(const struct back_range *range, int event_fd, struct back_map *map, void **at,
		   struct error *err);

void back_unmap(struct back_map *map);

#endif
