/* SPDX-License-Identifier: Apache-2.0 */
/* viaductctl top: rates between two looks at a switch's counters. */
#include "ctl.h"

#include "base/util.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int sig)
{
	ended = 1;
}

struct look {
	json_t *ports, *workers;
	uint64_t ns;
};

static int take(struct ctl *ctl, struct look *look, struct error *err)
{
	int ret = ctl_call(ctl, "GET", "/api/v1/switch.ports", NULL, &look->ports, err);

	if (!ret)
		ret = ctl_call(ctl, "GET", "/api/v1/switch.workers", NULL, &look->workers, err);
	look->ns = clock_ns();
	return ret;
}

static void drop_look(struct look *look)
{
	json_decref(look->ports);
	json_decref(look->workers);
	*look = (struct look){0};
}

static double value(const json_t *object, const char *group, const char *name)
{
	if (group)
		object = json_object_get(object, group);
	return (double)json_integer_value(json_object_get(object, name));
}

static const json_t *same(const json_t *ports, const json_t *port)
{
	const char *id = json_string_value(json_object_get(port, "id"));

	for (size_t i = 0; id && i < json_array_size(ports); i++) {
		const json_t *p = json_array_get(ports, i);
		const char *other = json_string_value(json_object_get(p, "id"));

		if (other && !strcmp(other, id))
			return p;
	}
	return NULL;
}

/* "no-buffer 12.0k/s rate-in 3/s": the causes that counted since the last look. */
static void print_causes(char *text, size_t size, const json_t *now, const json_t *before,
			 double seconds)
{
	json_t *drops = json_object_get(json_object_get(now, "in"), "drops"), *count;
	const json_t *old = json_object_get(json_object_get(before, "in"), "drops");
	const char *cause;
	size_t used = 0;

	text[0] = '\0';
	json_object_foreach(drops, cause, count)
	{
		double rate =
			((double)json_integer_value(count) - value(old, NULL, cause)) / seconds;
		char buf[32];

		if (rate > 0 && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s %s",
						 used ? ", " : "", cause,
						 ctl_amount(rate, "/s", buf));
	}
}

static void print_ports(const struct look *now, const struct look *before, double seconds)
{
	struct ctl_table table = {.ncolumns = 6};

	ctl_table_row(&table,
		      (const char *[]){"PORT", "IN", "IN BITS", "OUT", "OUT BITS", "DROPS"});
	for (size_t i = 0; i < json_array_size(now->ports); i++) {
		const json_t *p = json_array_get(now->ports, i), *old = same(before->ports, p);
		char id[32], a[32], b[32], c[32], d[32], drops[256];
		double in = value(p, "in", "frames") - value(old, "in", "frames");
		double inb = value(p, "in", "bytes") - value(old, "in", "bytes");
		double out = value(p, "out", "frames") - value(old, "out", "frames");
		double outb = value(p, "out", "bytes") - value(old, "out", "bytes");

		print_causes(drops, sizeof(drops), p, old, seconds);
		ctl_table_row(&table, (const char *[]){ctl_cell(p, "id", id),
						       ctl_amount(in / seconds, "/s", a),
						       ctl_amount(inb * 8 / seconds, "b/s", b),
						       ctl_amount(out / seconds, "/s", c),
						       ctl_amount(outb * 8 / seconds, "b/s", d),
						       drops[0] ? drops : "-"});
	}
	ctl_table_print(&table);
}

static void print_workers(const struct look *now, const struct look *before, double seconds)
{
	struct ctl_table table = {.ncolumns = 6};

	ctl_table_row(&table, (const char *[]){"WORKER", "BUSY", "FRAMES", "CYCLES/FRAME", "QUEUES",
					       "MOVED"});
	for (size_t i = 0; i < json_array_size(now->workers); i++) {
		const json_t *w = json_array_get(now->workers, i);
		const json_t *old = json_array_get(before->workers, i);
		double busy = value(w, NULL, "busy_cycles") - value(old, NULL, "busy_cycles");
		double frames = value(w, NULL, "frames") - value(old, NULL, "frames");
		double all = seconds * 1e6 * value(w, NULL, "cycles_per_us");
		char id[32], load[32], rate[32], cost[32], queues[32], moved[32];

		snprintf(load, sizeof(load), "%.1f%%", all > 0 ? 100 * busy / all : 0);
		snprintf(cost, sizeof(cost), frames > 0 ? "%.0f" : "-",
			 frames > 0 ? busy / frames : 0);
		ctl_table_row(&table, (const char *[]){ctl_cell(w, "worker", id), load,
						       ctl_amount(frames / seconds, "/s", rate),
						       cost, ctl_cell(w, "queues", queues),
						       ctl_cell(w, "moved", moved)});
	}
	ctl_table_print(&table);
}

int ctl_top(struct ctl *ctl, char **args, struct error *err)
{
	double seconds = args[0] ? strtod(args[0], NULL) : 1;
	struct look before = {0}, now = {0};
	int ret;

	if (!(seconds >= 0.1 && seconds <= 3600))
		return error_set(err, -EINVAL, "top: seconds from 0.1 to 3600 are expected");
	signal(SIGINT, end);
	ret = take(ctl, &before, err);
	while (!ret && !ended) {
		poll(NULL, 0, (int)(seconds * 1000));
		ret = take(ctl, &now, err);
		if (ret)
			break;
		if (isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		print_ports(&now, &before, (double)(now.ns - before.ns) / 1e9);
		putchar('\n');
		print_workers(&now, &before, (double)(now.ns - before.ns) / 1e9);
		if (fflush(stdout))
			break;
		drop_look(&before);
		before = now;
		now = (struct look){0};
		ended |= !isatty(STDOUT_FILENO); /* once is enough for a pipe */
	}
	drop_look(&before);
	drop_look(&now);
	return ret;
}
