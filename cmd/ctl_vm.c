/* SPDX-License-Identifier: Apache-2.0 */
/* viaductctl: commands on the program as a whole. */
#include "ctl.h"

#include "control/client.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static void print_size(const char *name, const json_t *bytes)
{
	printf("%-9s %lld MiB\n", name, (long long)(json_integer_value(bytes) >> 20));
}

static void print_info(const json_t *info)
{
	const json_t *config = json_object_get(info, "config");
	const json_t *payload = json_object_get(config, "payload");
	char a[32], b[32], c[32], d[32];

	printf("%-9s %s\n", "state", ctl_cell(info, "state", a));
	printf("%-9s %.1f s since the last start, %s resets\n", "uptime",
	       (double)json_integer_value(json_object_get(info, "uptime_ms")) / 1000,
	       ctl_cell(info, "resets", a));
	printf("%-9s %s\n", "vCPUs", ctl_cell(json_object_get(config, "cpus"), "boot_vcpus", a));
	print_size("memory", json_object_get(info, "memory_actual_size"));
	printf("%-9s %s\n", "kernel", ctl_cell(payload, "kernel", a));
	printf("%-9s %s\n", "initrd", ctl_cell(payload, "initramfs", b));
	printf("%-9s %s\n", "cmdline", ctl_cell(payload, "cmdline", c));
	printf("%-9s %s\n", "serial", ctl_cell(json_object_get(config, "serial"), "mode", d));
	printf("%-9s %zu\n", "NICs", json_array_size(json_object_get(config, "net")));
}

static int run_info(struct ctl *ctl, char **args, struct error *err)
{
	json_t *info;
	int ret = ctl_call(ctl, "GET", "/api/v1/vm.info", NULL, &info, err);

	if (ret)
		return ret;
	if (ctl->json)
		ctl_print_json(info);
	else
		print_info(info);
	json_decref(info);
	return 0;
}

static int run_ping(struct ctl *ctl, char **args, struct error *err)
{
	json_t *reply;
	char a[32], b[32];
	int ret = ctl_call(ctl, "GET", "/api/v1/vmm.ping", NULL, &reply, err);

	if (ret)
		return ret;
	if (ctl->json)
		ctl_print_json(reply);
	else
		printf("%s, process %s\n", ctl_cell(reply, "build_version", a),
		       ctl_cell(reply, "pid", b));
	json_decref(reply);
	return 0;
}

static void print_counters(const json_t *counters, const char *only)
{
	struct ctl_table table = {.ncolumns = 3};
	const char *id, *name;
	json_t *group, *value;
	/* jansson's iterators want it so, and change nothing. */
	json_t *all = (json_t *)(uintptr_t)counters;

	ctl_table_row(&table, (const char *[]){"OF", "COUNTER", "VALUE"});
	json_object_foreach(all, id, group)
	{
		if (only && strcmp(only, id) != 0)
			continue;
		json_object_foreach(group, name, value)
		{
			char buf[32];

			ctl_table_row(&table,
				      (const char *[]){id, name, ctl_cell(group, name, buf)});
		}
	}
	ctl_table_print(&table);
}

static int run_counters(struct ctl *ctl, char **args, struct error *err)
{
	json_t *counters;
	int ret = ctl_call(ctl, "GET", "/api/v1/vm.counters", NULL, &counters, err);

	if (ret)
		return ret;
	if (args[0] && !json_object_get(counters, args[0]))
		ret = error_set(err, -ENOENT, "%.80s: nothing of this name counts", args[0]);
	else if (ctl->json)
		ctl_print_json(args[0] ? json_object_get(counters, args[0]) : counters);
	else
		print_counters(counters, args[0]);
	json_decref(counters);
	return ret;
}

static int run_pause(struct ctl *ctl, char **args, struct error *err)
{
	return ctl_do(ctl, "PUT", "/api/v1/vm.pause", NULL, err);
}

static int run_resume(struct ctl *ctl, char **args, struct error *err)
{
	return ctl_do(ctl, "PUT", "/api/v1/vm.resume", NULL, err);
}

static int run_shutdown(struct ctl *ctl, char **args, struct error *err)
{
	return ctl_do(ctl, "PUT", "/api/v1/vm.shutdown", NULL, err);
}

static int run_reboot(struct ctl *ctl, char **args, struct error *err)
{
	return ctl_do(ctl, "PUT", "/api/v1/vm.reboot", NULL, err);
}

static int run_power_button(struct ctl *ctl, char **args, struct error *err)
{
	return ctl_do(ctl, "PUT", "/api/v1/vm.power-button", NULL, err);
}

static bool print_line(void *arg, const char *line)
{
	puts(line);
	fflush(stdout);
	return !ferror(stdout);
}

/* "12:34:56.789 link net0: the link is down". */
static bool print_event(void *arg, const char *line)
{
	json_t *event = json_loads(line, 0, NULL);
	const json_t *detail = json_object_get(event, "detail");
	double when = json_number_value(json_object_get(event, "time"));
	time_t seconds = (time_t)when;
	char stamp[16] = "", a[32], b[32], c[32];
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
	printf("%s.%03d %s", stamp, (int)((when - (double)seconds) * 1000),
	       ctl_cell(event, "event", a));
	if (json_object_get(detail, "id"))
		printf(" %s", ctl_cell(detail, "id", b));
	if (json_object_get(detail, "text"))
		printf(": %s", ctl_cell(detail, "text", c));
	putchar('\n');
	fflush(stdout);
	json_decref(event);
	return !ferror(stdout);
}

static int run_events(struct ctl *ctl, char **args, struct error *err)
{
	return control_client_lines(ctl->socket, "/api/v1/events",
				    ctl->json ? print_line : print_event, NULL, err);
}

static int run_metrics(struct ctl *ctl, char **args, struct error *err)
{
	return control_client_lines(ctl->socket, "/metrics", print_line, NULL, err);
}

static int run_call(struct ctl *ctl, char **args, struct error *err)
{
	json_t *body = NULL, *reply;
	json_error_t why;
	int ret;

	if (args[1][0] != '/' || strpbrk(args[0], " \r\n") || strpbrk(args[1], " \r\n"))
		return error_set(err, -EINVAL, "a request has a method and a path: PUT /api/v1/…");
	if (args[2]) {
		body = json_loads(args[2], 0, &why);
		if (!body)
			return error_set(err, -EINVAL, "'%.80s': is not JSON: %s", args[2],
					 why.text);
	}
	ret = ctl_call(ctl, args[0], args[1], body, &reply, err);
	if (!ret && reply)
		ctl_print_json(reply);
	json_decref(body);
	json_decref(reply);
	return ret;
}

const struct ctl_command ctl_vm_commands[] = {
	{"ping", NULL, "whether it answers, and what it is", 0, 0, run_ping},
	{"info", NULL, "what the machine is, and whether it runs", 0, 0, run_info},
	{"counters", "[ID]", "what the machine and its NICs have counted", 0, 1, run_counters},
	{"pause", NULL, "stop the vCPUs and the devices", 0, 0, run_pause},
	{"resume", NULL, "let them go on", 0, 0, run_resume},
	{"shutdown", NULL, "end the machine at once", 0, 0, run_shutdown},
	{"reboot", NULL, "reset the machine at once", 0, 0, run_reboot},
	{"power-button", NULL, "ask the guest to switch itself off", 0, 0, run_power_button},
	{"events", NULL, "print what happens, as it happens", 0, 0, run_events},
	{"metrics", NULL, "print all metrics in Prometheus' text format", 0, 0, run_metrics},
	{"call", "METHOD PATH [JSON]", "make any request and print the answer", 2, 3, run_call},
	{0},
};
