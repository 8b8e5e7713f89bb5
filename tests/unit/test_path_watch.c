/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/path_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct bed {
	struct loop *loop;
	struct path_watch pw;
	char dir[32], path[64];
	unsigned calls;
	bool once;
};

static void called(struct path_watch *pw)
{
	struct bed *b = pw->opaque;

	b->calls++;
	if (b->once)
		path_watch_stop(b->loop, pw);
}

static void bed_init(struct bed *b)
{
	struct error err = {0};

	memset(b, 0, sizeof(*b));
	strcpy(b->dir, "/tmp/path-watch-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/name", b->dir);
	b->loop = loop_create(&err);
	assert_non_null(b->loop);
	path_watch_init(&b->pw);
	b->pw.fn = called;
	b->pw.opaque = b;
}

static void bed_done(struct bed *b)
{
	path_watch_stop(b->loop, &b->pw);
	path_watch_stop(b->loop, &b->pw);
	loop_destroy(b->loop);
	unlink(b->path);
	rmdir(b->dir);
}

static void make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void settle(struct bed *b)
{
	for (unsigned i = 0; i < 3; i++)
		loop_run_once(b->loop, 5);
}

static void test_made_moved_changed(void **state)
{
	struct bed b;
	char other[64];

	bed_init(&b);
	snprintf(other, sizeof(other), "%s/name2", b.dir);
	assert_int_equal(path_watch_start(b.loop, &b.pw, b.path), 0);
	make(other);
	settle(&b);
	assert_int_equal(b.calls, 0); /* another name */
	assert_int_equal(rename(other, b.path), 0);
	settle(&b);
	assert_int_equal(b.calls, 1);
	assert_int_equal(chmod(b.path, 0666), 0);
	settle(&b);
	assert_int_equal(b.calls, 2);
	unlink(b.path);
	settle(&b);
	assert_int_equal(b.calls, 2); /* it went */
	make(b.path);
	settle(&b);
	assert_int_equal(b.calls, 3);
	bed_done(&b);
}

/* Hundreds of others at once neither hide it nor count. */
static void test_among_many(void **state)
{
	char other[64];
	struct bed b;

	bed_init(&b);
	assert_int_equal(path_watch_start(b.loop, &b.pw, b.path), 0);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(other, sizeof(other), "%s/other%u", b.dir, i);
		make(other);
		unlink(other);
		if (i == 250)
			make(b.path);
	}
	settle(&b);
	assert_int_equal(b.calls, 1);
	bed_done(&b);
}

static void test_stopped_within(void **state)
{
	struct bed b;

	bed_init(&b);
	b.once = true;
	assert_int_equal(path_watch_start(b.loop, &b.pw, b.path), 0);
	make(b.path);
	settle(&b);
	assert_int_equal(b.calls, 1);
	assert_int_equal(b.pw.watch.fd, -1);
	unlink(b.path);
	make(b.path);
	settle(&b);
	assert_int_equal(b.calls, 1);
	bed_done(&b);
}

static void test_no_folder(void **state)
{
	struct bed b;

	bed_init(&b);
	assert_int_equal(path_watch_start(b.loop, &b.pw, "/tmp/there-is-none/name"), -ENOENT);
	assert_int_equal(b.pw.watch.fd, -1);
	/* A name alone is one in the working directory. */
	assert_int_equal(path_watch_start(b.loop, &b.pw, "name"), 0);
	bed_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_moved_changed),
		cmocka_unit_test(test_among_many),
		cmocka_unit_test(test_stopped_within),
		cmocka_unit_test(test_no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
