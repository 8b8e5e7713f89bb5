/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on the machine as a whole. */
#include "api.h"

#include "device/disk.h"
#include "device/nic.h"
#include "vmm/console.h"

#include <errno.h>
#include <unistd.h>

static int vmm_ping(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	*reply = json_pack("{s:s, s:s, s:I, s:[]}", "build_version", "viaduct " VIADUCT_VERSION,
			   "version", VIADUCT_VERSION, "pid", (json_int_t)getpid(), "features");
	return 0;
}

static json_t *payload_config(const struct machine_config *config)
{
	return json_pack("{s:s, s:s, s:s*}", "kernel", config->kernel, "cmdline", config->cmdline,
			 "initramfs", config->initrd);
}

static json_t *serial_config(const struct machine_config *config)
{
	static const char *const modes[] = {
		[CONSOLE_STDIO] = "Tty", [CONSOLE_NULL] = "Null", [CONSOLE_FILE] = "File"};

	return json_pack("{s:s, s:s*}", "mode", modes[config->serial], "file", config->serial_path);
}

static int vm_info(void *opaque, const struct control_request *request, json_t **reply,
		   struct error *err)
{
	struct api *api = opaque;
	struct machine_state state;
	json_t *config;

	machine_get_state(api->machine, &state);
	config = json_pack(
		"{s:{s:i, s:i}, s:{s:I, s:b, s:b, s:b}, s:o, s:o, s:o, s:o}", "cpus", "boot_vcpus",
		(int)state.config->cpus, "max_vcpus", (int)state.config->cpus, "memory", "size",
		(json_int_t)state.config->memory, "shared", 1, "hugepages",
		(int)state.config->hugepages, "prefault", (int)state.config->prealloc, "payload",
		payload_config(state.config), "serial", serial_config(state.config), "net",
		api_nics_json(api), "disks", api_disks_json(api));
	*reply =
		json_pack("{s:s, s:I, s:I, s:I, s:o}", "state", state.paused ? "Paused" : "Running",
			  "memory_actual_size", (json_int_t)state.config->memory, "uptime_ms",
			  (json_int_t)((clock_ns() - state.started_ns) / NSEC_PER_MSEC), "resets",
			  (json_int_t)state.resets, "config", config);
	return 0;
}

static int vm_counters(void *opaque, const struct control_request *request, json_t **reply,
		       struct error *err)
{
	struct api *api = opaque;
	struct machine_state state;
	struct disk *disk;

	machine_get_state(api->machine, &state);
	*reply = json_pack("{s:{s:I, s:I, s:I}}", "_machine", "exits", (json_int_t)state.exits,
			   "batched_writes", (json_int_t)state.batched_writes, "console_lost",
			   (json_int_t)state.console_lost);
	for (struct nic *nic = machine_nics(api->machine); nic; nic = nic->next)
		json_object_set_new(*reply, nic->pci.id, api_nic_counters(nic));
	for (unsigned i = 0; (disk = machine_disk(api->machine, i)); i++)
		json_object_set_new(*reply, disk->id, api_disk_counters(disk));
	return 0;
}

static int vm_pause(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	const struct api *api = opaque;

	return machine_pause(api->machine, err);
}

static int vm_resume(void *opaque, const struct control_request *request, json_t **reply,
		     struct error *err)
{
	const struct api *api = opaque;

	return machine_resume(api->machine, err);
}

static int vm_shutdown(void *opaque, const struct control_request *request, json_t **reply,
		       struct error *err)
{
	const struct api *api = opaque;

	machine_end(api->machine, MACHINE_OFF);
	return 0;
}

static int vm_reboot(void *opaque, const struct control_request *request, json_t **reply,
		     struct error *err)
{
	const struct api *api = opaque;

	return machine_reboot(api->machine, err);
}

static int vm_power_button(void *opaque, const struct control_request *request, json_t **reply,
			   struct error *err)
{
	const struct api *api = opaque;

	machine_power_button(api->machine);
	return 0;
}

const struct control_command api_vm_commands[] = {
	{"GET", "/api/v1/vmm.ping", vmm_ping},
	{"PUT", "/api/v1/vmm.shutdown", vm_shutdown},
	{"GET", "/api/v1/vm.info", vm_info},
	{"GET", "/api/v1/vm.counters", vm_counters},
	{"PUT", "/api/v1/vm.pause", vm_pause},
	{"PUT", "/api/v1/vm.resume", vm_resume},
	{"PUT", "/api/v1/vm.shutdown", vm_shutdown},
	{"PUT", "/api/v1/vm.reboot", vm_reboot},
	{"PUT", "/api/v1/vm.power-button", vm_power_button},
	{0},
};

void api_vm_metrics(struct api *api, struct control_metrics *out)
{
	struct machine_state state;

	machine_get_state(api->machine, &state);
	control_metric_begin(out, "viaduct_up", "gauge", "1 while the guest runs, 0 while paused");
	control_metric_sample(out, !state.paused, "version", VIADUCT_VERSION, CONTROL_LABELS_END);
	control_metric_begin(out, "viaduct_vcpus", "gauge", "virtual CPUs");
	control_metric_sample(out, state.config->cpus, CONTROL_LABELS_END);
	control_metric_begin(out, "viaduct_memory_bytes", "gauge", "guest memory");
	control_metric_sample(out, state.config->memory, CONTROL_LABELS_END);
	control_metric_begin(out, "viaduct_vcpu_exits_total", "counter",
			     "exits of vCPUs to this process");
	control_metric_sample(out, state.exits, CONTROL_LABELS_END);
	control_metric_begin(out, "viaduct_batched_writes_total", "counter",
			     "port writes that cost no exit of their own");
	control_metric_sample(out, state.batched_writes, CONTROL_LABELS_END);
	control_metric_begin(out, "viaduct_resets_total", "counter", "resets of the machine");
	control_metric_sample(out, state.resets, CONTROL_LABELS_END);
	control_metric_begin(out, "viaduct_console_lost_total", "counter",
			     "characters of the console that nobody took");
	control_metric_sample(out, state.console_lost, CONTROL_LABELS_END);
}
