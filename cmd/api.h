/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_API_H
#define CMD_API_H

#include "control/control.h"
#include "vmm/machine.h"

/*
 * The machine's control socket: what viaduct registers with src/control/. The paths and the shapes
 * of the JSON are those of Cloud Hypervisor's REST API where it has the call; docs/openapi.json
 * describes all of them.
 */
struct api {
	struct control *control;
	struct machine *machine;
	struct machine_observer observer;
};

/** Opens the socket and tells its readers what happens to the machine. */
int api_open(const char *socket, struct loop *loop, struct machine *machine, struct api **out,
	     struct error *err);
/** NULL is allowed. */
void api_close(struct api *api);

/* Tables of commands, each of which gets the struct api as opaque; they end with method NULL. */
extern const struct control_command api_vm_commands[];
extern const struct control_command api_net_commands[];
extern const struct control_command api_disk_commands[];

struct nic;
/** A NIC as it is at the moment, and all of them in an array; new references. */
json_t *api_nic_json(struct nic *nic);
json_t *api_nics_json(struct api *api);
/** A NIC's counters: an object of names and numbers. */
json_t *api_nic_counters(struct nic *nic);

struct disk;
/** All disks in an array, and what one counted; new references. */
json_t *api_disks_json(struct api *api);
json_t *api_disk_counters(struct disk *disk);

/** The machine's metrics, the NICs' and the disks'. */
void api_vm_metrics(struct api *api, struct control_metrics *out);
void api_net_metrics(struct api *api, struct control_metrics *out);
void api_disk_metrics(struct api *api, struct control_metrics *out);

#endif
