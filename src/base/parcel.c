/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parcel.h"

#include <stdlib.h>
#include <unistd.h>

static void *room_for(void *p, size_t want, size_t *room, size_t unit)
{
	size_t n = MAX(*room, (size_t)64);

	while (n < want)
		n *= 2;
	p = realloc(p, n * unit);
	if (p)
		*room = n;
	return p;
}

void parcel_put(struct parcel_out *p, const void *data, size_t len)
{
	if (p->failed || !len)
		return;
	if (p->len + len > p->room) {
		uint8_t *more = room_for(p->data, p->len + len, &p->room, 1);

		if (!more) {
			p->failed = true;
			return;
		}
		p->data = more;
	}
	memcpy(p->data + p->len, data, len);
	p->len += len;
}

void parcel_put_u64(struct parcel_out *p, uint64_t n)
{
	parcel_put(p, &n, sizeof(n));
}

void parcel_put_text(struct parcel_out *p, const char *text)
{
	size_t len = strlen(text);

	parcel_put_u64(p, len);
	parcel_put(p, text, len);
}

void parcel_put_fd(struct parcel_out *p, int fd)
{
	parcel_put_u64(p, fd >= 0);
	if (fd < 0 || p->failed)
		return;
	if (p->nfds == p->fds_room) {
		size_t room = p->fds_room;
		int *more = room_for(p->fds, p->nfds + 1, &room, sizeof(*more));

		if (!more) {
			p->failed = true;
			return;
		}
		p->fds = more;
		p->fds_room = (unsigned)room;
	}
	p->fds[p->nfds++] = fd;
}

void parcel_out_free(struct parcel_out *p)
{
	free(p->data);
	free(p->fds);
	*p = (struct parcel_out){0};
}

bool parcel_get(struct parcel_in *p, void *to, size_t len)
{
	if (p->bad || len > p->len - p->at) {
		p->bad = true;
		memset(to, 0, len);
		return false;
	}
	if (len)
		memcpy(to, p->data + p->at, len);
	p->at += len;
	return true;
}

uint64_t parcel_get_u64(struct parcel_in *p)
{
	uint64_t n;

	parcel_get(p, &n, sizeof(n));
	return n;
}

uint64_t parcel_get_range(struct parcel_in *p, uint64_t min, uint64_t max)
{
	uint64_t n = parcel_get_u64(p);

	if (n >= min && n <= max)
		return n;
	p->bad = true;
	return min;
}

bool parcel_get_bool(struct parcel_in *p)
{
	return parcel_get_range(p, 0, 1);
}

void parcel_get_text(struct parcel_in *p, char *to, size_t size)
{
	size_t len = parcel_get_range(p, 0, size - 1);

	if (!parcel_get(p, to, len) || memchr(to, 0, len)) {
		p->bad = true;
		len = 0;
	}
	to[len] = '\0';
}

int parcel_get_fd(struct parcel_in *p)
{
	if (!parcel_get_bool(p))
		return -1;
	if (p->bad || p->next_fd == p->nfds) {
		p->bad = true;
		return -1;
	}
	return p->fds[p->next_fd++];
}

void parcel_in_free(struct parcel_in *p)
{
	for (unsigned i = p->next_fd; i < p->nfds; i++)
		close(p->fds[i]);
	free(p->fds);
	free(p->data);
	*p = (struct parcel_in){0};
}
