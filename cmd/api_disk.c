/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on disks. */
#include "api.h"

#include "device/disk.h"

#include <errno.h>

static json_t *disk_json(const struct disk *disk)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:i, s:b, s:s}", "id", disk->id, "model",
			 disk->ops->name, "format", disk->block->ops->name, "size",
			 (json_int_t)disk->block->size, "block_size", (int)disk->block->block_size,
			 "readonly", (int)disk->block->readonly, "serial", disk->serial);
}

json_t *api_disks_json(struct api *api)
{
	json_t *list = json_array();
	struct disk *disk;

	for (unsigned i = 0; (disk = machine_disk(api->machine, i)); i++)
		json_array_append_new(list, disk_json(disk));
	return list;
}

json_t *api_disk_counters(struct disk *disk)
{
	struct disk_counters c = {0};

	disk->ops->counters(disk, &c);
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "read_ops",
		(json_int_t)c.ops[BLOCK_READ], "read_bytes", (json_int_t)c.bytes[BLOCK_READ],
		"write_ops", (json_int_t)c.ops[BLOCK_WRITE], "write_bytes",
		(json_int_t)c.bytes[BLOCK_WRITE], "flushes", (json_int_t)c.ops[BLOCK_FLUSH],
		"discards", (json_int_t)c.ops[BLOCK_DISCARD], "write_zeroes",
		(json_int_t)c.ops[BLOCK_WRITE_ZEROES], "errors", (json_int_t)c.errors,
		"bad_requests", (json_int_t)c.bad_requests, "calls", (json_int_t)c.calls);
}

static int disk_list(void *opaque, const struct control_request *request, json_t **reply,
		     struct error *err)
{
	*reply = json_pack("{s:o}", "disk", api_disks_json(opaque));
	return 0;
}

/* Cloud Hypervisor's vm.resize-disk. */
static int disk_resize_command(void *opaque, const struct control_request *request, json_t **reply,
			       struct error *err)
{
	const struct api *api = opaque;
	json_int_t size;
	struct disk *disk;
	const char *id;
	int ret = control_unpack(request, err, "{s:s, s:I !}", "id", &id, "desired_size", &size);

	if (ret)
		return ret;
	if (size <= 0)
		return error_set(err, -EINVAL, "desired_size: is not a number of bytes");
	for (unsigned i = 0; (disk = machine_disk(api->machine, i)); i++)
		if (!strcmp(disk->id, id))
			return disk_resize(disk, (uint64_t)size, err);
	return error_set(err, -ENODEV, "%s: no disk has this id: see GET /api/v1/disk", id);
}

const struct control_command api_disk_commands[] = {
	{"GET", "/api/v1/disk", disk_list},
	{"PUT", "/api/v1/vm.resize-disk", disk_resize_command},
	{0},
};

void api_disk_metrics(struct api *api, struct control_metrics *out)
{
	static const struct {
		const char *name, *help;
		enum block_op op;
		bool bytes;
	} families[] = {
		{"viaduct_disk_read_ops_total", "reads of the disk's queues", BLOCK_READ, false},
		{"viaduct_disk_read_bytes_total", "bytes read", BLOCK_READ, true},
		{"viaduct_disk_write_ops_total", "writes", BLOCK_WRITE, false},
		{"viaduct_disk_write_bytes_total", "bytes written", BLOCK_WRITE, true},
		{"viaduct_disk_flushes_total", "flushes", BLOCK_FLUSH, false},
	};
	struct disk_counters c;
	struct disk *disk;

	if (!machine_disk(api->machine, 0))
		return;
	for (unsigned f = 0; f < ARRAY_SIZE(families); f++) {
		control_metric_begin(out, families[f].name, "counter", families[f].help);
		for (unsigned i = 0; (disk = machine_disk(api->machine, i)); i++) {
			memset(&c, 0, sizeof(c));
			disk->ops->counters(disk, &c);
			control_metric_sample(out,
					      families[f].bytes ? c.bytes[families[f].op]
								: c.ops[families[f].op],
					      "disk", disk->id, (char *)NULL);
		}
	}
	control_metric_begin(out, "viaduct_disk_errors_total", "counter",
			     "requests that the guest was told failed");
	for (unsigned i = 0; (disk = machine_disk(api->machine, i)); i++) {
		memset(&c, 0, sizeof(c));
		disk->ops->counters(disk, &c);
		control_metric_sample(out, c.errors, "disk", disk->id, (char *)NULL);
	}
}
