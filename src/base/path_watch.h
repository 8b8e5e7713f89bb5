/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PATH_WATCH_H
#define BASE_PATH_WATCH_H

#include "base/loop.h"

/*
 * Says when a file comes to be: a socket that somebody is about to listen at, for instance. It is
 * an inotify watch of the folder, so it costs nothing while nothing happens. It is no more than a
 * hint, to look at once instead of after a while: a folder that is not there, or is removed, and a
 * host that has no watches left, are not told of.
 */
struct path_watch {
	struct loop_fd watch; /* .fd -1: none */
	const char *name;     /* the last part of the path; borrowed */
	void (*fn)(struct path_watch *pw);
	void *opaque;
};

/** Prepares one that watches nothing; fn and opaque are set by the caller. */
void path_watch_init(struct path_watch *pw);

/**
 * Calls pw->fn in the loop's thread whenever a file of this path is made, moved there, or has its
 * mode changed. The path must live as long as the watch. 0, or a negative errno: there is none then.
 */
int path_watch_start(struct loop *loop, struct path_watch *pw, const char *path);

/** Ends it; harmless where there is none. Also from within fn. */
void path_watch_stop(struct loop *loop, struct path_watch *pw);

#endif
