/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_API_CONFIG_H
#define CMD_API_CONFIG_H

#include "base/error.h"

#include <jansson.h>

/**
 * A NIC's configuration as JSON into what --net takes: {"backend": "tap", "ifname": "tap0"} into
 * "backend=tap,ifname=tap0". Members are --net's keys, with '_' for '-' if one likes, and strings,
 * integers, booleans, or arrays of strings for a key that repeats; null is as if it were not there.
 * Of Cloud Hypervisor's NetConfig these have their meaning: tap, num_queues, vhost_user,
 * vhost_socket, vhost_mode; iommu and pci_segment can have the values that change nothing. Whether
 * the keys are known is for whoever takes the text. free() *out. 0, -EINVAL with err set, -ENOMEM.
 */
int api_net_text(const json_t *config, char **out, struct error *err);

#endif
