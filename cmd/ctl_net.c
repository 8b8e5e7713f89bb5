/* SPDX-License-Identifier: Apache-2.0 */
/* viaductctl net: commands on NICs. */
#include "ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *link_of(const json_t *nic)
{
	if (!json_is_true(json_object_get(nic, "link")))
		return "down";
	return json_is_true(json_object_get(nic, "carrier")) ? "up" : "no carrier";
}

static const char *driver_of(const json_t *nic)
{
	if (json_is_true(json_object_get(nic, "needs_reset")))
		return "needs reset";
	return json_is_true(json_object_get(nic, "running")) ? "running" : "idle";
}

static void print_list(const json_t *list)
{
	struct ctl_table table = {.ncolumns = 9};
	const json_t *nic;
	size_t i;

	ctl_table_row(&table, (const char *[]){"ID", "MODEL", "BACKEND", "PLANE", "ATTACHED TO",
					       "MAC", "PAIRS", "LINK", "DRIVER"});
	json_array_foreach(list, i, nic)
	{
		char b[7][32];

		ctl_table_row(&table,
			      (const char *[]){
				      ctl_cell(nic, "id", b[0]), ctl_cell(nic, "model", b[1]),
				      ctl_cell(nic, "backend", b[2]), ctl_cell(nic, "plane", b[3]),
				      ctl_cell(nic, "attachment", b[4]), ctl_cell(nic, "mac", b[5]),
				      ctl_cell(nic, "queue_pairs", b[6]), link_of(nic),
				      driver_of(nic)});
	}
	ctl_table_print(&table);
}

static int run_list(struct ctl *ctl, char **args, struct error *err)
{
	json_t *reply;
	int ret = ctl_call(ctl, "GET", "/api/v1/net", NULL, &reply, err);

	if (ret)
		return ret;
	if (ctl->json)
		ctl_print_json(json_object_get(reply, "net"));
	else
		print_list(json_object_get(reply, "net"));
	json_decref(reply);
	return 0;
}

static double ms_of(const json_t *reply, const char *member)
{
	return json_number_value(json_object_get(reply, member)) / 1e6;
}

static int run_set_backend(struct ctl *ctl, char **args, struct error *err)
{
	char path[128], a[32], b[32], c[32], d[32];
	json_t *body, *reply = NULL;
	int ret = ctl_path(path, args[0], "backend", err);

	if (ret)
		return ret;
	body = ctl_options(args[1], err);
	if (!body)
		return -EINVAL;
	ret = ctl_call(ctl, "PUT", path, body, &reply, err);
	if (!ret && ctl->json)
		ctl_print_json(reply);
	else if (!ret)
		printf("%s: from %s (%s) to %s (%s): %.3f ms without a data plane, after %.3f ms "
		       "of "
		       "preparation\n",
		       args[0], ctl_cell(json_object_get(reply, "from"), "backend", a),
		       ctl_cell(json_object_get(reply, "from"), "plane", b),
		       ctl_cell(json_object_get(reply, "to"), "backend", c),
		       ctl_cell(json_object_get(reply, "to"), "plane", d),
		       ms_of(reply, "stop_ns") + ms_of(reply, "start_ns"),
		       ms_of(reply, "prepare_ns"));
	json_decref(body);
	json_decref(reply);
	return ret;
}

static int run_link(struct ctl *ctl, char **args, struct error *err)
{
	bool up = !strcmp(args[1], "up");
	char path[128];
	json_t *body;
	int ret = ctl_path(path, args[0], "link", err);

	if (ret)
		return ret;
	if (!up && strcmp(args[1], "down") != 0)
		return error_set(err, -EINVAL, "'%.80s': a link is up or down", args[1]);
	body = json_pack("{s:b}", "up", (int)up);
	ret = ctl_do(ctl, "PUT", path, body, err);
	json_decref(body);
	return ret;
}

static int capture_end(struct ctl *ctl, const char *path, const char *method, struct error *err)
{
	json_t *reply;
	char a[32], b[32];
	int ret = ctl_call(ctl, method, path, NULL, &reply, err);

	if (ret)
		return ret;
	if (ctl->json)
		ctl_print_json(reply);
	else
		printf("%s packets, %s lost\n", ctl_cell(reply, "packets", a),
		       ctl_cell(reply, "lost", b));
	json_decref(reply);
	return 0;
}

/* Files are named from where we are, not from where the program is. */
static json_t *capture_body(const char *file, struct error *err)
{
	char here[PATH_MAX], full[2 * PATH_MAX];

	if (file[0] != '/' && !getcwd(here, sizeof(here))) {
		error_set(err, -errno, "the current folder: %s", error_name(errno));
		return NULL;
	}
	snprintf(full, sizeof(full), "%s%s%s", file[0] == '/' ? "" : here,
		 file[0] == '/' ? "" : "/", file);
	return json_pack("{s:s}", "path", full);
}

static int run_capture(struct ctl *ctl, char **args, struct error *err)
{
	char path[128];
	json_t *body;
	int ret = ctl_path(path, args[0], "capture", err);

	if (ret)
		return ret;
	if (!args[1])
		return capture_end(ctl, path, "GET", err);
	if (!strcmp(args[1], "stop"))
		return capture_end(ctl, path, "DELETE", err);
	body = capture_body(args[1], err);
	if (!body)
		return err->code;
	ret = ctl_do(ctl, "PUT", path, body, err);
	json_decref(body);
	return ret;
}

static int run_add(struct ctl *ctl, char **args, struct error *err)
{
	json_t *body = ctl_options(args[0] ? args[0] : "", err), *reply = NULL;
	char a[32], b[32];
	int ret;

	if (!body)
		return -EINVAL;
	ret = ctl_call(ctl, "PUT", "/api/v1/vm.add-net", body, &reply, err);
	if (!ret && ctl->json)
		ctl_print_json(reply);
	else if (!ret)
		printf("%s at %s\n", ctl_cell(reply, "id", a), ctl_cell(reply, "bdf", b));
	json_decref(body);
	json_decref(reply);
	return ret;
}

static int run_remove(struct ctl *ctl, char **args, struct error *err)
{
	json_t *body = json_pack("{s:s}", "id", args[0]);
	int ret;

	if (!body)
		return error_set(err, -EINVAL, "this is not the name of a NIC");
	ret = ctl_do(ctl, "PUT", "/api/v1/vm.remove-device", body, err);
	json_decref(body);
	return ret;
}

const struct ctl_command ctl_net_commands[] = {
	{"net list", NULL, "all NICs", 0, 0, run_list},
	{"net set-backend", "ID KEY=VALUE,...",
	 "move a NIC to another back-end while the guest runs: backend= and its keys", 2, 2,
	 run_set_backend},
	{"net link", "ID up|down", "plug its cable in or out", 2, 2, run_link},
	{"net capture", "ID [FILE.pcapng|stop]", "record its frames; stop; or say how far it is", 1,
	 2, run_capture},
	{"net explain", "ID", "the way its frames take now, with the rates of one second", 1, 1,
	 ctl_net_explain},
	{"net add", "[KEY=VALUE,...]", "plug in a NIC, described as for viaduct --net", 0, 1,
	 run_add},
	{"net remove", "ID", "have the guest let go of a NIC, and take it out", 1, 1, run_remove},
	{0},
};
