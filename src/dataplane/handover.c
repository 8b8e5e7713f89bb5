/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/handover.h"

#include "base/log.h"
#include "dataplane/vhost_planes.h"
#include "hostnet/netif.h"
#include "hostnet/tap.h"

#include <errno.h>
#include <sys/eventfd.h>

/*
 * Theory of operation. All that can take time or fail is done while the old plane runs: the new
 * one is opened (which connects, and tells it the memory table), and asked whether it can carry
 * what the guest uses. Then the old plane is stopped, which completes what it had taken and says
 * where each ring stands; the new one starts from there. Nobody else can be at the rings in
 * between: kick and call eventfds belong to the NIC, and a kick that comes in the gap stays in its
 * eventfd. But a plane may have consumed a kick before it was stopped, so every queue is kicked
 * once; and a call that the old plane suppressed may be due under the new one's view of the
 * driver's wishes, so every queue is called once. Both cost nothing when there was nothing to do.
 *
 * A plane that fails to start has touched nothing (plane.h), so the old one goes on from the same
 * state. One whose back-end is lost in the middle of its start counts as failed: it is stopped,
 * and what it may have done until then is in the states it gives back.
 *
 * Two planes on the same TAP share its open descriptors: the frames that wait in the interface's
 * queues wait for whoever comes next.
 */

/* The TAP that the old plane has, if the new one is to be on it too. */
static struct hostnet *same_tap(const struct plane_handover *ho)
{
	const char *ifname = options_get(ho->opts, "ifname");
	struct hostnet *hn = NULL;

	if (ho->plane->ops->frames)
		hn = ho->plane->ops->frames(ho->plane);
	if (!hn || hn->ops != &tap_ops || options_get(ho->opts, "fd"))
		return NULL;
	if (strcmp(ho->backend, "tap") != 0 && strcmp(ho->backend, "vhost-net") != 0)
		return NULL;
	if (ifname && strcmp(ifname, tap_ifname(hn)) != 0)
		return NULL;
	return hn;
}

static int check_features(const struct plane_handover *ho, struct plane *to, struct error *err)
{
	struct virtio_features can;

	if (to->ops->carries)
		to->ops->carries(to, &can);
	else
		to->ops->features(to, &can);
	if (plane_carries(&can, &ho->need))
		return 0;
	return vhost_missing_features(ho->params->id, to->ops->name, &ho->need, &can, err);
}

/* Opens the new plane; *to is left alone unless all is well. */
static int open_plane(struct plane_handover *ho, struct plane **to, struct error *err)
{
	const struct plane_ops *ops = plane_for_backend(ho->backend);
	const char *bridge = options_get(ho->opts, "bridge");
	struct plane_params params = *ho->params;
	struct plane *opened = NULL;
	int rc;

	if (!ops)
		return error_set(err, -EINVAL, "%s: there is no backend \"%s\"", params.id,
				 ho->backend);
	rc = ops->probe ? ops->probe(err) : 0;
	if (rc)
		return rc;
	params.frames = same_tap(ho);
	ho->moved = !params.frames;
	if (params.frames && bridge) {
		rc = netif_join_bridge(tap_ifname(params.frames), bridge, err);
		if (rc)
			return rc;
	}
	rc = ops->open(ho->backend, ho->opts, &params, &opened, err);
	if (!opened)
		return rc;
	rc = check_features(ho, opened, err);
	if (rc)
		ops->close(opened);
	else
		*to = opened;
	return rc;
}

/* The plane to move to; left alone unless all is well. */
static int prepare(struct plane_handover *ho, struct plane **to, struct error *err)
{
	int rc;

	if (!ho->to)
		return open_plane(ho, to, err);
	rc = check_features(ho, ho->to, err);
	if (rc == 0)
		*to = ho->to;
	return rc;
}

/* Starts a plane; one that has lost its back-end by the end of it has not started. */
static int start(struct plane *plane, struct plane_start *what, struct error *err)
{
	bool was_up = plane->link_up;
	int rc = plane->ops->start(plane, what, err);

	if (rc || plane->link_up || !was_up)
		return rc;
	plane->ops->stop(plane, what->queues, what->nqueues);
	return error_set(err, -ENOTCONN, "%s: its back-end went away", plane->ops->name);
}

static void nudge(const struct plane_start *what)
{
	for (unsigned i = 0; i < what->nqueues; i++) {
		if (!what->queues[i].enabled)
			continue;
		eventfd_write(what->queues[i].kick_fd, 1);
		eventfd_write(what->queues[i].call_fd, 1);
	}
}

static int move_rings(struct plane_handover *ho, struct plane *to, struct error *err)
{
	uint64_t begin = clock_ns(), stopped;
	struct error again;
	int rc;

	ho->plane->ops->stop(ho->plane, ho->start->queues, ho->start->nqueues);
	stopped = clock_ns();
	rc = start(to, ho->start, err);
	ho->stop_ns = stopped - begin;
	ho->start_ns = clock_ns() - stopped;
	if (rc && ho->plane->ops->start(ho->plane, ho->start, &again)) {
		ho->stopped = true;
		log_error("%s: the old data plane does not start again: %s", ho->params->id,
			  again.text);
	}
	if (!ho->stopped)
		nudge(ho->start);
	return rc;
}

static void keep_counters(const struct plane_handover *ho)
{
	for (unsigned i = 0; ho->past && i < 2 * ho->params->queue_pairs; i++) {
		struct plane_queue_counters c = {0};

		ho->plane->ops->counters(ho->plane, i, &c);
		plane_counters_add(&ho->past[i], &c);
	}
}

int plane_handover(struct plane_handover *ho, struct error *err)
{
	uint64_t begin = clock_ns();
	struct plane *to = NULL;
	int rc;

	ho->moved = ho->stopped = false;
	ho->stop_ns = ho->start_ns = 0;
	rc = prepare(ho, &to, err);
	ho->prepare_ns = clock_ns() - begin;
	if (!to)
		return error_prefix(err, rc, "%s stays on %s", ho->params->id,
				    ho->plane->ops->name);
	if (ho->start)
		rc = move_rings(ho, to, err);
	if (rc) {
		if (!ho->to)
			to->ops->close(to);
		ho->moved = false;
		return error_prefix(err, rc, "%s stays on %s", ho->params->id,
				    ho->plane->ops->name);
	}
	keep_counters(ho);
	if (!ho->to)
		ho->plane->ops->close(ho->plane);
	ho->plane = to;
	if (ho->start && ho->moved && to->ops->announce)
		to->ops->announce(to);
	return 0;
}
