/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/capture.h"

#include "base/iov.h"
#include "net/pcapng.h"
#include "switch/switch_internal.h"

#include <errno.h>
#include <stdlib.h>

#define CAUSE_NONE (-1) /* frames that pass, and all drops */
#define CAUSE_ANY  (-2) /* all drops */

struct sw_capture {
	struct pcapng *file;
	int cause;
	int interfaces[SW_PORTS_MAX]; /* by port; -1: not captured */
};

static int find_cause(const char *name, int *cause, struct error *err)
{
	*cause = !name ? CAUSE_NONE : CAUSE_ANY;
	if (!name || !strcmp(name, "any"))
		return 0;
	for (int i = 0; i < SW_DROP_COUNT; i++) {
		if (!strcmp(name, sw_drop_name((enum sw_drop)i))) {
			*cause = i;
			return 0;
		}
	}
	return error_set(err, -EINVAL,
			 "capture: there is no cause '%.40s': use any or one of the "
			 "names in the counters",
			 name);
}

/* An interface in the file for each port that is to be captured. */
static int add_interfaces(struct sw_capture *cap, struct sw *sw, const char *only,
			  struct error *err)
{
	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		const struct sw_port *port = sw->ports[i];

		cap->interfaces[i] = -1;
		if (!port || (only && strcmp(only, port->id) != 0))
			continue;
		cap->interfaces[i] = pcapng_add_interface(cap->file, port->id, 0);
		if (cap->interfaces[i] < 0)
			return error_set(err, cap->interfaces[i], "capture: %s",
					 error_name(cap->interfaces[i]));
	}
	return 0;
}

int sw_capture_start(struct sw *sw, const struct sw_capture_options *options, struct error *err)
{
	struct sw_capture *cap;
	int cause, ret = find_cause(options->drop, &cause, err);

	if (ret)
		return ret;
	if (sw->capture)
		return error_set(err, -EBUSY, "capture: there is one: stop it first");
	if (options->port && !sw_find_port(sw, options->port))
		return error_set(err, -ENOENT, "capture: there is no port %.40s", options->port);
	cap = calloc(1, sizeof(*cap));
	if (!cap)
		return error_set(err, -ENOMEM, "capture: out of memory");
	cap->cause = cause;
	ret = pcapng_open(options->path, &cap->file, err);
	if (!ret)
		ret = add_interfaces(cap, sw, options->port, err);
	if (!ret) {
		sw->capture = cap;
		ret = sw_publish(sw);
	}
	if (ret) {
		sw->capture = NULL;
		pcapng_close(cap->file);
		free(cap);
	}
	return ret;
}

int sw_capture_stop(struct sw *sw, uint64_t *packets, uint64_t *lost, struct error *err)
{
	struct sw_capture *cap = sw->capture;

	if (!cap)
		return error_set(err, -ENOENT, "capture: there is none");
	sw->capture = NULL;
	sw_publish(sw);
	pcapng_flush(cap->file);
	pcapng_counters(cap->file, packets, lost);
	pcapng_close(cap->file);
	free(cap);
	return 0;
}

bool sw_capture_running(struct sw *sw, uint64_t *packets, uint64_t *lost)
{
	if (sw->capture)
		pcapng_counters(sw->capture->file, packets, lost);
	return sw->capture;
}

static void record(struct sw_capture *cap, const struct sw_port *port, const struct frame *f,
		   enum pcapng_direction direction, const char *comment)
{
	int interface = cap->interfaces[port->index];
	struct iovec iov[BURST_IOV + 1];

	if (interface < 0 || !f->len || f->nrest > BURST_IOV)
		return;
	iov[0] = (struct iovec){f->head, f->head_len};
	memcpy(iov + 1, f->rest, f->nrest * sizeof(*iov));
	pcapng_write(cap->file, (unsigned)interface, direction, iov, f->nrest + 1U, comment);
}

void sw_capture_in(struct sw_capture *cap, const struct sw_port *port, const struct frame *f)
{
	if (cap->cause == CAUSE_NONE)
		record(cap, port, f, PCAPNG_INBOUND, NULL);
}

void sw_capture_out(struct sw_capture *cap, const struct sw_port *port, const struct frame *f)
{
	if (cap->cause == CAUSE_NONE)
		record(cap, port, f, PCAPNG_OUTBOUND, NULL);
}

void sw_capture_drop(struct sw_capture *cap, const struct sw_port *port, const struct frame *f,
		     enum sw_drop why)
{
	if (cap->cause == CAUSE_ANY || cap->cause == (int)why)
		record(cap, port, f, PCAPNG_INBOUND, sw_drop_name(why));
}
