/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_MSIX_TABLE_H
#define BUS_MSIX_TABLE_H

#include "bus/pci.h"

#include <stdatomic.h>

/*
 * A table of vectors: messages, masks, and the eventfds bound to them. It is what MSI-X shows the
 * guest (msix.c), and what MSI keeps behind its few registers (msi.c). For these two only. All
 * functions but the first two may be called from any thread.
 */
#define ENTRY_SIZE  16
#define ENTRY_DATA  8
#define ENTRY_CTRL  12
#define CTRL_MASKED 1

struct msix {
	struct pci_dev *dev;
	pthread_mutex_t lock;
	unsigned n;
	unsigned cap;	     /* its offset in config space */
	uint32_t pba_offset; /* in the BAR */
	atomic_bool enabled;
	bool function_masked;
	uint8_t *table;	   /* n entries as the guest sees them */
	uint64_t *pending; /* msix_notify() of masked vectors */
	struct binding *bindings;
	int epoll_fd;
	struct loop_fd watch;
};

int msix_table_new(struct pci_dev *dev, unsigned n, struct msix **out, struct error *err);
void msix_table_free(struct msix *m);
void msix_table_reset(struct msix *m);
/** Returns whether enabled has changed. */
bool msix_table_enable(struct msix *m, bool enabled, bool function_masked);
void msix_table_set(struct msix *m, unsigned vector, const struct msi_msg *msg, bool masked);
/** The guest's accesses to the table; what is beyond it reads as 0. */
uint64_t msix_table_get(struct msix *m, uint64_t offset, unsigned size);
void msix_table_put(struct msix *m, uint64_t offset, uint64_t value, unsigned size);
/** Pending bits of vectors 64 * word and up. */
uint64_t msix_table_pending(struct msix *m, unsigned word);
bool msix_table_live(struct msix *m, unsigned vector);
void msix_table_notify(struct msix *m, unsigned vector);
int msix_table_bind(struct msix *m, unsigned vector, int eventfd);
void msix_table_unbind(struct msix *m, int eventfd);

#endif
