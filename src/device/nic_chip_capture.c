// SPDX-License-Identifier: Apache-2.0
/* Captures of an emulated chip's frames, at its side of the back-end. */
#include "device/nic_chip.h"

#include <errno.h>
#include <unistd.h>

static void set_capture(struct nic_chip *chip, struct capture *capture)
{
	pthread_mutex_lock(&chip->lock);
	chip->capture = chip->rx.capture = capture;
	pthread_mutex_unlock(&chip->lock);
}

void nic_chip_record(struct nic_chip *chip, const struct net_frame *frames, unsigned n, bool link)
{
	for (unsigned i = 0; i < n; i++)
		capture_frame(chip->capture, 0, PCAPNG_OUTBOUND, frames[i].iov, frames[i].niov,
			      link ? NULL : nic_drop_name(NIC_DROP_LINK_DOWN));
}

int nic_chip_capture_start(struct nic *nic, const struct nic_capture *what, struct error *err)
{
	struct nic_chip *chip = nic_chip_of(&nic->pci);
	const struct capture_params params = {
		.path = what->path,
		.fd = what->fd,
		.name = nic->pci.id,
		.snaplen = what->snaplen,
		.lanes = 1,
	};
	struct capture *capture;
	int ret;

	if (chip->capture) {
		if (!what->path && what->fd >= 0)
			close(what->fd);
		return error_set(err, -EBUSY, "%s: a capture is running: end it first",
				 nic->pci.id);
	}
	ret = capture_start(&params, &capture, err);
	if (!ret)
		set_capture(chip, capture);
	return ret;
}

void nic_chip_capture_stats(struct nic *nic, struct nic_capture_stats *stats)
{
	struct nic_chip *chip = nic_chip_of(&nic->pci);

	if (chip->capture)
		capture_counters(chip->capture, &stats->packets, &stats->lost);
}

int nic_chip_capture_stop(struct nic *nic, struct nic_capture_stats *stats, struct error *err)
{
	struct nic_chip *chip = nic_chip_of(&nic->pci);
	struct capture *capture = chip->capture;
	int ret;

	if (!capture)
		return error_set(err, -ENOENT, "%s: no capture is running", nic->pci.id);
	set_capture(chip, NULL);
	capture_counters(capture, &stats->packets, &stats->lost);
	ret = capture_stop(capture);
	return ret ? error_set(err, ret, "%s: the capture is not complete: %s", nic->pci.id,
			       error_name(ret))
		   : 0;
}
