// SPDX-License-Identifier: Apache-2.0
/*
 * An emulated chip gets another back-end while its guest runs. The chip reaches its back-end under
 * its lock, so exchanging it is an assignment; only the worker, while it sleeps, polls the old one's
 * descriptor without the lock, and must have let go of that before it is closed.
 */
#include "device/nic_backend.h"
#include "device/nic_chip.h"
#include "net/announce.h"

#include <errno.h>
#include <unistd.h>

#define LET_GO_NS (100 * NSEC_PER_MSEC)

/* The interface that the chip has already, if that is the one wanted: it stays open. */
static struct hostnet *same(struct nic_chip *chip, const char *backend, const struct options *opts)
{
	const char *ifname = options_get(opts, "ifname");
	struct hostnet *hn = chip->hn;

	if (!hn || strcmp(hn->ops->name, backend) != 0 || !hn->ops->attachment ||
	    options_get(opts, "fd") || !ifname || strcmp(ifname, hn->ops->attachment(hn)) != 0)
		return NULL;
	return hostnet_share(hn);
}

static struct hostnet *open_new(struct nic_chip *chip, const char *backend,
				const struct options *opts, int *ret, struct error *err)
{
	struct hostnet *hn = NULL;
	struct nic *nic = &chip->nic;
	struct nic_params params = {
		.id = nic->pci.id,
		.backend = backend,
		.opts = opts,
		.host = nic->pci.host,
		.mem = chip->mem,
		.loop = nic->pci.host->loop,
	};

	memcpy(params.mac, chip->mac, sizeof(params.mac));
	*ret = nic_backend_open(&params, &hn, err);
	return *ret ? NULL : hn;
}

/* Tells the network where the guest is now. The lock is held. */
static void announce(struct nic_chip *chip)
{
	uint8_t bytes[ETHER_MIN_LEN];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct net_frame frame = {.iov = &iov, .niov = 1, .len = sizeof(bytes)};

	net_announce_rarp(bytes, chip->mac);
	chip->hn->ops->send(chip->hn, 0, &frame, 1);
}

/* Two steps begun after this: in the first the worker may still have had the old descriptor. */
static void wait_for_worker(struct nic_chip *chip)
{
	uint64_t until = clock_ns() + LET_GO_NS;

	for (unsigned i = 0; i < 2 && chip->worker.running; i++) {
		uint64_t steps = READ_ONCE(chip->worker.steps);

		nic_worker_kick(&chip->worker);
		while (READ_ONCE(chip->worker.steps) == steps && clock_ns() < until)
			usleep(20);
	}
}

int nic_chip_set_backend(struct nic *nic, const char *backend, const struct options *opts,
			 struct nic_switch *result, struct error *err)
{
	struct nic_chip *chip = nic_chip_of(&nic->pci);
	uint64_t begin = clock_ns(), locked;
	struct hostnet *old = chip->hn, *hn = same(chip, backend, opts);
	int ret = 0;

	if (!hn)
		hn = open_new(chip, backend, opts, &ret, err);
	result->prepare_ns = clock_ns() - begin;
	if (!hn)
		return error_prefix(err, ret, "%s stays on %s", nic->pci.id,
				    old ? old->ops->name : "none");
	result->moved = hn != old;
	locked = clock_ns();
	pthread_mutex_lock(&chip->lock);
	chip->hn = chip->rx.hn = hn;
	chip->worker.rx_fd = hn->ops->poll_fd(hn, 0);
	chip->tx_retry = 0;
	if (result->moved)
		announce(chip);
	pthread_mutex_unlock(&chip->lock);
	result->start_ns = clock_ns() - locked;
	wait_for_worker(chip);
	if (old)
		hostnet_close(old);
	nic_notify(nic, NIC_EVENT_SWITCHED, "to %s", backend);
	return 0;
}
