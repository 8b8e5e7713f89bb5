/* SPDX-License-Identifier: Apache-2.0 */
/* viaductctl disk: commands on disks. */
#include "ctl.h"

#include "base/options.h"

#include <errno.h>

static void print_list(const json_t *list)
{
	struct ctl_table table = {.ncolumns = 6};
	const json_t *disk;
	size_t i;

	ctl_table_row(&table,
		      (const char *[]){"ID", "MODEL", "FORMAT", "SIZE", "SERIAL", "ACCESS"});
	json_array_foreach(list, i, disk)
	{
		char b[5][32];

		ctl_table_row(&table,
			      (const char *[]){
				      ctl_cell(disk, "id", b[0]), ctl_cell(disk, "model", b[1]),
				      ctl_cell(disk, "format", b[2]), ctl_cell(disk, "size", b[3]),
				      ctl_cell(disk, "serial", b[4]),
				      json_is_true(json_object_get(disk, "readonly"))
					      ? "read-only"
					      : "read-write"});
	}
	ctl_table_print(&table);
}

static int run_list(struct ctl *ctl, char **args, struct error *err)
{
	json_t *reply;
	int ret = ctl_call(ctl, "GET", "/api/v1/disk", NULL, &reply, err);

	if (ret)
		return ret;
	if (ctl->json)
		ctl_print_json(json_object_get(reply, "disk"));
	else
		print_list(json_object_get(reply, "disk"));
	json_decref(reply);
	return 0;
}

static int run_resize(struct ctl *ctl, char **args, struct error *err)
{
	uint64_t size;
	json_t *body;
	int ret = option_size("SIZE", args[1], false, &size, err);

	if (ret)
		return -EINVAL;
	body = json_pack("{s:s, s:I}", "id", args[0], "desired_size", (json_int_t)size);
	ret = ctl_do(ctl, "PUT", "/api/v1/vm.resize-disk", body, err);
	json_decref(body);
	return ret;
}

const struct ctl_command ctl_disk_commands[] = {
	{"disk list", NULL, "the disks", 0, 0, run_list},
	{"disk resize", "ID SIZE", "give a disk another size, in bytes or with K, M, G, T", 2, 2,
	 run_resize},
	{0},
};
