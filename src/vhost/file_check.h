/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_FILE_CHECK_H
#define VHOST_FILE_CHECK_H

#include "base/error.h"

/** Makes sure that the file is memory and has bytes [offset, offset + size); says its grain. */
int memory_file_check(int fd, uint64_t offset, uint64_t size, uint64_t *grain, struct error *err);

#endif
