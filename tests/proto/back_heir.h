/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACK_HEIR_H
#define TESTS_BACK_HEIR_H

/*
 * A back-end takes the place of another, as in a takeover of the switch: what the old one saves is
 * all that the new one knows. In one process, so that descriptors are copied instead of sent.
 */
#include "unit/backend_echo.h"

/* What the other side would receive. */
static inline void heir_receive(struct parcel_in *in, const struct parcel_out *out)
{
	assert_false(out->failed);
	*in = (struct parcel_in){.len = out->len, .nfds = out->nfds};
	in->data = malloc(out->len + 1);
	in->fds = calloc(out->nfds + 1, sizeof(*in->fds));
	assert_true(in->data && in->fds);
	memcpy(in->data, out->data, out->len);
	for (unsigned i = 0; i < out->nfds; i++) {
		in->fds[i] = dup(out->fds[i]);
		assert_true(in->fds[i] >= 0);
	}
}

static inline void heir_take(void *arg)
{
	struct parcel_out state = {0}, rings = {0};
	struct parcel_in in_state, in_rings;
	struct vhost_backend *heir;
	struct echo *e = arg;

	e->two = true;
	vhost_backend_save(e->be, &state);
	heir_receive(&in_state, &state);
	e->params.inherit = &in_state;
	heir = vhost_backend_create(&e->params, &e->err);
	e->params.inherit = NULL;
	if (!heir)
		fail_msg("%s", e->err.text);
	vhost_backend_hold(e->be);
	vhost_backend_save_rings(e->be, &rings);
	heir_receive(&in_rings, &rings);
	if (vhost_backend_restore_rings(heir, &in_rings, &e->err))
		fail_msg("%s", e->err.text);
	assert_true(in_state.at == in_state.len && in_rings.at == in_rings.len);
	vhost_backend_destroy(e->be); /* held: it leaves all as it is */
	e->be = heir;
	e->two = false;
	atomic_store(&e->connected, true);
	vhost_backend_resume(heir);
	parcel_out_free(&state);
	parcel_out_free(&rings);
	parcel_in_free(&in_state);
	parcel_in_free(&in_rings);
}

static inline void echo_hand_over(struct echo *e)
{
	assert_int_equal(loop_call(e->loop, heir_take, e), 0);
}

#endif
