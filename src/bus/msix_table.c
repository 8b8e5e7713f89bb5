// SPDX-License-Identifier: Apache-2.0
/*
 * Vectors. What is attached follows from three masks (function off, function masked, vector masked)
 * by one rule, binding_sync(), called for whatever may have changed.
 *
 * Two threads. vCPUs write the table and control word; any thread binds, unbinds and notifies;
 * everything is under msix->lock, below which are only the host's ops. The fallback needs the main
 * loop to watch eventfds that vCPUs attach and detach: each function has an epoll set of its own,
 * which any thread may change, and the loop watches that set. An event that was reported just
 * before its eventfd was detached is recognised by looking the binding up again under the lock,
 * and the signal stays where it is.
 */
#include "bus/msix_table.h"
#include "bus/msix.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

enum attach { DETACHED, BY_IRQFD, BY_LOOP };

struct binding {
	int fd;
	unsigned vector;
	enum attach attach;
	unsigned handle; /* BY_IRQFD */
	struct binding *next;
};

static atomic_bool force_fallback;

void msix_force_fallback(bool on)
{
	atomic_store(&force_fallback, on);
}

static bool vector_live(const struct msix *m, unsigned vector)
{
	return m->enabled && !m->function_masked &&
	       !(load_le32(m->table + vector * ENTRY_SIZE + ENTRY_CTRL) & CTRL_MASKED);
}

static struct msi_msg vector_msg(const struct msix *m, unsigned vector)
{
	const uint8_t *entry = m->table + vector * ENTRY_SIZE;

	return (struct msi_msg){.addr = load_le64(entry), .data = load_le32(entry + ENTRY_DATA)};
}

static void send(struct msix *m, unsigned vector)
{
	struct bus_host *host = m->dev->host;
	struct msi_msg msg = vector_msg(m, vector);
	int ret = host->ops->msi_send(host, &msg);

	if (ret < 0)
		log_warn_limited("%s: cannot send MSI-X vector %u: %s", m->dev->id, vector,
				 error_name(ret));
}

static void binding_attach(struct msix *m, struct binding *b)
{
	struct bus_host *host = m->dev->host;
	struct msi_msg msg = vector_msg(m, b->vector);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = b->fd};
	int ret = -ENOTSUP;

	if (!atomic_load(&force_fallback) && host->ops->irqfd_attach)
		ret = host->ops->irqfd_attach(host, b->fd, &msg, &b->handle);
	if (!ret) {
		b->attach = BY_IRQFD;
		return;
	}
	if (ret != -ENOTSUP)
		log_warn_limited("%s: no irqfd for vector %u (%s): calls go through the main loop",
				 m->dev->id, b->vector, error_name(ret));
	if (epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, b->fd, &event))
		log_warn_limited("%s: cannot watch the call eventfd of vector %u: %s", m->dev->id,
				 b->vector, error_name(errno));
	else
		b->attach = BY_LOOP;
}

static void binding_detach(struct msix *m, struct binding *b)
{
	struct bus_host *host = m->dev->host;

	if (b->attach == BY_IRQFD)
		host->ops->irqfd_detach(host, b->fd, b->handle);
	if (b->attach == BY_LOOP)
		epoll_ctl(m->epoll_fd, EPOLL_CTL_DEL, b->fd, NULL);
	b->attach = DETACHED;
}

/* Makes the binding what its vector's state calls for; moved: the message may have changed. */
static void binding_sync(struct msix *m, struct binding *b, bool moved)
{
	struct bus_host *host = m->dev->host;
	bool live = vector_live(m, b->vector);
	struct msi_msg msg;

	if (!live) {
		binding_detach(m, b);
	} else if (b->attach == DETACHED) {
		binding_attach(m, b);
	} else if (b->attach == BY_IRQFD && moved) {
		msg = vector_msg(m, b->vector);
		if (host->ops->irqfd_update(host, b->handle, &msg))
			log_warn_limited("%s: cannot move vector %u", m->dev->id, b->vector);
	}
}

static void vector_sync(struct msix *m, unsigned vector, bool moved)
{
	uint64_t bit = 1ULL << (vector % 64);

	for (struct binding *b = m->bindings; b; b = b->next)
		if (b->vector == vector)
			binding_sync(m, b, moved);
	if (m->pending[vector / 64] & bit && vector_live(m, vector)) {
		m->pending[vector / 64] &= ~bit;
		send(m, vector);
	}
}

static void clear_pending(struct msix *m)
{
	memset(m->pending, 0, (m->n + 63) / 64 * sizeof(*m->pending));
}

/* The loop's side of the fallback: some eventfds of this function were signalled. */
static void fallback_ready(struct loop_fd *watch, uint32_t mask)
{
	struct msix *m = watch->opaque;
	struct epoll_event events[16];
	int n = epoll_wait(m->epoll_fd, events, ARRAY_SIZE(events), 0);

	pthread_mutex_lock(&m->lock);
	for (int i = 0; i < n; i++) {
		struct binding *b = m->bindings;
		eventfd_t count;

		while (b && b->fd != events[i].data.fd)
			b = b->next;
		if (b && b->attach == BY_LOOP && !eventfd_read(b->fd, &count))
			send(m, b->vector);
	}
	pthread_mutex_unlock(&m->lock);
}

static bool fd_signalled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* 64 pending bits. Only masked vectors have any: what is unmasked is on its way already. */
static uint64_t pba_word(const struct msix *m, unsigned word)
{
	uint64_t bits = m->pending[word];

	for (const struct binding *b = m->bindings; b; b = b->next)
		if (b->vector / 64 == word && !vector_live(m, b->vector) && fd_signalled(b->fd))
			bits |= 1ULL << (b->vector % 64);
	return bits;
}

static void mask_all(struct msix *m)
{
	memset(m->table, 0, (size_t)m->n * ENTRY_SIZE);
	for (unsigned i = 0; i < m->n; i++)
		store_le32(m->table + i * ENTRY_SIZE + ENTRY_CTRL, CTRL_MASKED);
}

void msix_table_free(struct msix *m)
{
	struct binding *b;

	while ((b = m->bindings)) {
		m->bindings = b->next;
		binding_detach(m, b);
		free(b);
	}
	if (m->watch.active)
		loop_remove(m->dev->host->loop, &m->watch);
	if (m->epoll_fd >= 0)
		close(m->epoll_fd);
	free(m->table);
	free(m->pending);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

int msix_table_new(struct pci_dev *dev, unsigned n, struct msix **out, struct error *err)
{
	struct msix *m = calloc(1, sizeof(*m));
	int ret = -ENOMEM;

	if (!m)
		return error_set(err, -ENOMEM, "%s: out of memory", dev->id);
	pthread_mutex_init(&m->lock, NULL);
	m->dev = dev;
	m->n = MIN(MAX(n, 1u), (unsigned)PCI_MSIX_MAX);
	m->table = calloc(m->n, ENTRY_SIZE);
	m->pending = calloc((m->n + 63) / 64, sizeof(*m->pending));
	m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (m->epoll_fd < 0)
		ret = -errno;
	if (!m->table || !m->pending || m->epoll_fd < 0) {
		error_set(err, ret, "%s: cannot set up its interrupts: %s", dev->id,
			  error_name(ret));
		goto fail;
	}
	mask_all(m);
	m->watch = (struct loop_fd){.fd = m->epoll_fd, .fn = fallback_ready, .opaque = m};
	ret = loop_add(dev->host->loop, &m->watch, EPOLLIN);
	if (ret) {
		error_set(err, ret, "%s: cannot watch calls: %s", dev->id, error_name(ret));
		goto fail;
	}
	*out = m;
	return 0;
fail:
	msix_table_free(m);
	return ret;
}

void msix_table_reset(struct msix *m)
{
	pthread_mutex_lock(&m->lock);
	m->enabled = false;
	m->function_masked = false;
	mask_all(m);
	clear_pending(m);
	for (struct binding *b = m->bindings; b; b = b->next)
		binding_sync(m, b, false);
	pthread_mutex_unlock(&m->lock);
}

bool msix_table_enable(struct msix *m, bool enabled, bool function_masked)
{
	bool changed;

	pthread_mutex_lock(&m->lock);
	changed = m->enabled != enabled;
	m->enabled = enabled;
	m->function_masked = function_masked;
	if (!enabled)
		clear_pending(m);
	for (unsigned i = 0; i < m->n; i++)
		vector_sync(m, i, false);
	pthread_mutex_unlock(&m->lock);
	return changed;
}

void msix_table_set(struct msix *m, unsigned vector, const struct msi_msg *msg, bool masked)
{
	uint8_t *entry = m->table + vector * ENTRY_SIZE;

	pthread_mutex_lock(&m->lock);
	store_le64(entry, msg->addr);
	store_le32(entry + ENTRY_DATA, msg->data);
	store_le32(entry + ENTRY_CTRL, masked ? CTRL_MASKED : 0);
	vector_sync(m, vector, true);
	pthread_mutex_unlock(&m->lock);
}

uint64_t msix_table_pending(struct msix *m, unsigned word)
{
	uint64_t bits;

	pthread_mutex_lock(&m->lock);
	bits = pba_word(m, word);
	pthread_mutex_unlock(&m->lock);
	return bits;
}

int msix_table_bind(struct msix *m, unsigned vector, int eventfd)
{
	struct binding *b;

	if (vector >= m->n)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->fd = eventfd;
	b->vector = vector;
	pthread_mutex_lock(&m->lock);
	b->next = m->bindings;
	m->bindings = b;
	binding_sync(m, b, false);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

void msix_table_unbind(struct msix *m, int eventfd)
{
	struct binding **link, *b;

	pthread_mutex_lock(&m->lock);
	for (link = &m->bindings; (b = *link); link = &b->next)
		if (b->fd == eventfd)
			break;
	if (b) {
		*link = b->next;
		binding_detach(m, b);
	}
	pthread_mutex_unlock(&m->lock);
	free(b);
}

uint64_t msix_table_get(struct msix *m, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	if (offset + size > (uint64_t)m->n * ENTRY_SIZE)
		return 0;
	pthread_mutex_lock(&m->lock);
	memcpy(&value, m->table + offset, size);
	pthread_mutex_unlock(&m->lock);
	return le64toh(value);
}

void msix_table_put(struct msix *m, uint64_t offset, uint64_t value, unsigned size)
{
	uint64_t bytes = htole64(value);
	uint8_t *entry;

	if (offset + size > (uint64_t)m->n * ENTRY_SIZE)
		return;
	pthread_mutex_lock(&m->lock);
	memcpy(m->table + offset, &bytes, size);
	entry = m->table + offset / ENTRY_SIZE * ENTRY_SIZE;
	entry[0] &= 0xfc; /* reserved bits read as 0 */
	store_le32(entry + ENTRY_CTRL, load_le32(entry + ENTRY_CTRL) & CTRL_MASKED);
	vector_sync(m, (unsigned)offset / ENTRY_SIZE, offset % ENTRY_SIZE < ENTRY_CTRL);
	pthread_mutex_unlock(&m->lock);
}

bool msix_table_live(struct msix *m, unsigned vector)
{
	bool live;

	if (vector >= m->n)
		return false;
	pthread_mutex_lock(&m->lock);
	live = vector_live(m, vector);
	pthread_mutex_unlock(&m->lock);
	return live;
}

void msix_table_notify(struct msix *m, unsigned vector)
{
	if (vector >= m->n)
		return;
	pthread_mutex_lock(&m->lock);
	if (vector_live(m, vector))
		send(m, vector);
	else if (m->enabled)
		m->pending[vector / 64] |= 1ULL << (vector % 64);
	pthread_mutex_unlock(&m->lock);
}
