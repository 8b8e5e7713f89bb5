/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_BACKEND_H
#define DEVICE_NIC_BACKEND_H

#include "device/nic.h"
#include "hostnet/hostnet.h"

/**
 * Opens the frame back-end that an emulated NIC's options name, with one queue pair, and has it
 * hand over TCP segments and checksums unfinished (nic_rx.c finishes them). Back-ends that are only
 * a data plane (vhost-net, …) are refused, saying what can be had. 0 or negative errno with err set.
 */
int nic_backend_open(const struct nic_params *params, struct hostnet **out, struct error *err);

/**
 * Parses what follows backend= in --net, for a switch of the back-end at run time, and checks that
 * its keys belong to that back-end. *opts is initialised in any case. 0 or negative errno with err
 * set.
 */
int nic_backend_parse(const struct nic *nic, const char *text, struct options *opts,
		      struct error *err);

#endif
