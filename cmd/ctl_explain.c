/* SPDX-License-Identifier: Apache-2.0 */
/* viaductctl net explain: the hops of a NIC, sampled twice to know their rates. */
#include "ctl.h"

#include <stdio.h>
#include <unistd.h>

#define INTERVAL_NS NSEC_PER_SEC

static double number(const json_t *hop, const char *member)
{
	return json_number_value(json_object_get(hop, member));
}

/* The same hop in the earlier sample; the way may be another by now. */
static const json_t *find_hop(const json_t *hops, const json_t *like)
{
	static const char *const same[] = {"name", "direction", "queue"};
	const json_t *hop;
	size_t i;

	json_array_foreach(hops, i, hop)
	{
		bool equal = true;

		for (unsigned j = 0; j < ARRAY_SIZE(same); j++)
			equal &= json_equal(json_object_get(hop, same[j]),
					    json_object_get(like, same[j]));
		if (equal)
			return hop;
	}
	return NULL;
}

static void add_rates(json_t *hops, const json_t *before, double seconds)
{
	json_t *hop;
	size_t i;

	json_array_foreach(hops, i, hop)
	{
		const json_t *old = find_hop(before, hop);
		double frames = number(hop, "frames_out") - number(old, "frames_out");
		double bits = 8 * (number(hop, "bytes_out") - number(old, "bytes_out"));

		if (!old || !json_is_true(json_object_get(hop, "counted")) || frames < 0)
			continue;
		json_object_set_new(hop, "frames_per_s", json_real(frames / seconds));
		json_object_set_new(hop, "bits_per_s", json_real(bits / seconds));
	}
}

static void print_drops(const json_t *hop)
{
	const char *last = json_string_value(json_object_get(hop, "last_drop"));
	const json_t *drop;
	size_t i;

	json_array_foreach(json_object_get(hop, "drops"), i, drop)
	{
		const char *cause = json_string_value(json_object_get(drop, "cause"));
		char a[32], b[32];

		printf("              dropped %s: %s%s\n", ctl_cell(drop, "count", a),
		       ctl_cell(drop, "text", b),
		       last && cause && !strcmp(last, cause) ? " (the last one)" : "");
	}
}

static void print_hop(const json_t *hop)
{
	char a[32], b[32], c[32], d[32];

	printf("  %-10s  %s\n", ctl_cell(hop, "name", a), ctl_cell(hop, "what", b));
	if (json_is_true(json_object_get(hop, "counted")))
		printf("              in %s, out %s frames; now %s, %s\n",
		       ctl_cell(hop, "frames_in", a), ctl_cell(hop, "frames_out", b),
		       ctl_amount(number(hop, "frames_per_s"), "frames/s", c),
		       ctl_amount(number(hop, "bits_per_s"), "bit/s", d));
	print_drops(hop);
	if (json_object_get(hop, "unknown"))
		printf("              not known: %s\n", ctl_cell(hop, "unknown", a));
}

static void print_way(const json_t *hop)
{
	bool tx = !strcmp(json_string_value(json_object_get(hop, "direction")), "tx");
	json_int_t queue = json_integer_value(json_object_get(hop, "queue"));

	printf("%s the guest, ", tx ? "from" : "to");
	if (queue < 0)
		printf("all queues\n");
	else
		printf("queue pair %lld\n", (long long)queue);
}

static bool same_way(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "direction"), json_object_get(b, "direction")) &&
	       json_equal(json_object_get(a, "queue"), json_object_get(b, "queue"));
}

static void print_explanation(const json_t *reply)
{
	const json_t *nic = json_object_get(reply, "nic"), *hop, *last = NULL;
	char b[6][32];
	size_t i;

	printf("%s: %s on backend %s, plane %s, attached to '%s', link %s%s\n",
	       ctl_cell(nic, "id", b[0]), ctl_cell(nic, "model", b[1]),
	       ctl_cell(nic, "backend", b[2]), ctl_cell(nic, "plane", b[3]),
	       ctl_cell(nic, "attachment", b[4]),
	       json_is_true(json_object_get(nic, "link")) ? "up" : "down",
	       json_is_true(json_object_get(nic, "carrier")) ? "" : ", no carrier");
	json_array_foreach(json_object_get(reply, "hops"), i, hop)
	{
		if (!json_is_string(json_object_get(hop, "direction")))
			continue;
		if (!last || !same_way(last, hop))
			print_way(hop);
		print_hop(hop);
		last = hop;
	}
}

int ctl_net_explain(struct ctl *ctl, char **args, struct error *err)
{
	json_t *before, *after = NULL;
	uint64_t began = clock_ns();
	char path[128];
	int ret = ctl_path(path, args[0], "hops", err);

	if (!ret)
		ret = ctl_call(ctl, "GET", path, NULL, &before, err);
	if (ret)
		return ret;
	usleep(INTERVAL_NS / NSEC_PER_USEC);
	ret = ctl_call(ctl, "GET", path, NULL, &after, err);
	if (!ret) {
		add_rates(json_object_get(after, "hops"), json_object_get(before, "hops"),
			  (double)(clock_ns() - began) / (double)NSEC_PER_SEC);
		if (ctl->json)
			ctl_print_json(after);
		else
			print_explanation(after);
	}
	json_decref(before);
	json_decref(after);
	return ret;
}
