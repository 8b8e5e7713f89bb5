// SPDX-License-Identifier: Apache-2.0
/* What the control socket asks of a NIC, whatever its model. */
#include "device/nic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "device/nic_backend.h"

const char *nic_event_name(enum nic_event event)
{
	static const char *const names[] = {
		[NIC_EVENT_LINK] = "link",
		[NIC_EVENT_BACKEND_LOST] = "backend-lost",
		[NIC_EVENT_BACKEND_FOUND] = "backend-found",
		[NIC_EVENT_SWITCHED] = "switched",
		[NIC_EVENT_QUEUE_BROKEN] = "queue-broken",
	};

	return (unsigned)event < ARRAY_SIZE(names) ? names[event] : "unknown";
}

void nic_notify(struct nic *nic, enum nic_event event, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!nic->observer)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	nic->observer->event(nic->observer->opaque, nic, event, text);
}

static int cannot(const struct nic *nic, const char *what, struct error *err)
{
	return error_set(err, -ENOTSUP, "%s: model %s %s", nic->pci.id, nic->nic_ops->name, what);
}

void nic_get_state(struct nic *nic, struct nic_state *out)
{
	*out = (struct nic_state){0};
	if (nic->nic_ops->state)
		nic->nic_ops->state(nic, out);
}

int nic_set_link(struct nic *nic, bool up, struct error *err)
{
	int ret;

	if (!nic->nic_ops->set_link)
		return cannot(nic, "has no cable that could be unplugged", err);
	ret = nic->nic_ops->set_link(nic, up);
	return ret ? error_set(err, ret, "%s: the link cannot be changed: %s", nic->pci.id,
			       error_name(ret))
		   : 0;
}

int nic_set_backend(struct nic *nic, const char *text, struct nic_switch *result, struct error *err)
{
	struct nic_switch unused;
	struct options opts;
	int ret;

	if (!result)
		result = &unused;
	*result = (struct nic_switch){0};
	nic_get_state(nic, &result->from);
	result->to = result->from;
	if (!nic->nic_ops->set_backend)
		return cannot(nic, "stays on the back-end it was made with", err);
	ret = nic_backend_parse(nic, text, &opts, err);
	if (!ret)
		ret = nic->nic_ops->set_backend(nic, options_get(&opts, "backend"), &opts, result,
						err);
	options_free(&opts);
	nic_get_state(nic, &result->to);
	return ret;
}

void nic_hops(struct nic *nic, nic_hop_fn *fn, void *arg)
{
	if (nic->nic_ops->hops)
		nic->nic_ops->hops(nic, fn, arg);
}

int nic_capture_start(struct nic *nic, const struct nic_capture *what, struct error *err)
{
	if (nic->nic_ops->capture_start)
		return nic->nic_ops->capture_start(nic, what, err);
	if (!what->path && what->fd >= 0)
		close(what->fd);
	return cannot(nic, "cannot record its frames", err);
}

int nic_capture_stop(struct nic *nic, struct nic_capture_stats *stats, struct error *err)
{
	struct nic_capture_stats unused;

	if (!stats)
		stats = &unused;
	*stats = (struct nic_capture_stats){0};
	if (!nic->nic_ops->capture_stop)
		return cannot(nic, "cannot record its frames", err);
	return nic->nic_ops->capture_stop(nic, stats, err);
}

void nic_capture_get_stats(struct nic *nic, struct nic_capture_stats *stats)
{
	*stats = (struct nic_capture_stats){0};
	if (nic->nic_ops->capture_stats)
		nic->nic_ops->capture_stats(nic, stats);
}
