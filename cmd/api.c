/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <errno.h>
#include <stdlib.h>

static const struct control_command *const tables[] = {api_vm_commands, api_net_commands,
						       api_disk_commands};

static void on_event(void *opaque, const char *event, const char *id, const char *text)
{
	struct api *api = opaque;
	json_t *detail = json_pack("{s:s*, s:s%}", "id", id, "text", text, strlen(text));

	control_event(api->control, event, detail);
}

static void collect(void *opaque, struct control_metrics *out)
{
	struct api *api = opaque;

	api_vm_metrics(api, out);
	api_net_metrics(api, out);
	api_disk_metrics(api, out);
}

static int register_commands(struct api *api)
{
	int ret = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(tables) && !ret; i++)
		ret = control_register(api->control, tables[i], api);
	return ret;
}

int api_open(const char *socket, struct loop *loop, struct machine *machine, struct api **out,
	     struct error *err)
{
	struct api *api = calloc(1, sizeof(*api));
	int ret;

	if (!api)
		return error_set(err, -ENOMEM, "control socket: out of memory");
	api->machine = machine;
	ret = control_open(socket, loop, &api->control, err);
	if (ret)
		goto fail;
	ret = register_commands(api);
	if (!ret)
		ret = control_metric(api->control, collect, api);
	if (ret) {
		error_set(err, ret, "control socket: out of memory");
		goto fail;
	}
	api->observer = (struct machine_observer){.event = on_event, .opaque = api};
	machine_observe(machine, &api->observer);
	*out = api;
	return 0;
fail:
	api_close(api);
	return ret;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	machine_observe(api->machine, NULL);
	control_close(api->control);
	free(api);
}
