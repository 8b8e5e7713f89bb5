/* SPDX-License-Identifier: Apache-2.0 */
/* NBD, with Debian's qemu-nbd as the server; without it these are skipped. */
#include "unit.h"

#include "block/block.h"
#include "block/nbd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE  (64 * MIB)
#define WRITE 65536

struct rig {
	struct loop *loop;
	struct block *block;
	struct block_queue *q;
	char dir[64], image[96];
};

static bool have_qemu(void)
{
	return !system("qemu-nbd --version >/dev/null 2>&1 && qemu-img --version >/dev/null 2>&1");
}

static int try_open(struct rig *r, const char *text, struct error *err)
{
	struct options opts;
	int ret;

	assert_int_equal(options_parse(&opts, text, err), 0);
	ret = block_open(&opts, "disk0", r->loop, &r->block, err);
	options_free(&opts);
	return ret;
}

static struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct error err = {0};

	r->loop = loop_create(&err);
	snprintf(r->dir, sizeof(r->dir), "/tmp/viaduct-nbd.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->image, sizeof(r->image), "%s/image,1.qcow2", r->dir);
	return r;
}

static void run(const char *before, const char *path, const char *after)
{
	char command[512];

	snprintf(command, sizeof(command), "%s '%s' %s", before, path, after);
	assert_int_equal(system(command), 0);
}

static struct rig *rig_qcow2(void)
{
	struct rig *r = rig_new();
	struct error err = {0};
	char text[256];

	run("qemu-img create -q -f qcow2", r->image, "64M");
	/* A comma in a value is written twice. */
	snprintf(text, sizeof(text), "format=qcow2,path=%s/image,,1.qcow2", r->dir);
	if (try_open(r, text, &err))
		fail_msg("%s", err.text);
	assert_int_equal(block_queue_open(r->block, 64, &r->q, &err), 0);
	return r;
}

static void rig_free(struct rig *r)
{
	char command[128];

	block_queue_close(r->q);
	block_close(r->block);
	loop_destroy(r->loop);
	snprintf(command, sizeof(command), "rm -rf %s", r->dir);
	assert_int_equal(system(command), 0);
	free(r);
}

static struct block_request *wait_one(struct rig *r)
{
	struct block_request *done;

	for (unsigned i = 0; i < PATIENCE_MS / 10; i++) {
		struct pollfd p = {.fd = r->q->fd, .events = POLLIN};

		if (block_queue_reap(r->q, &done, 1))
			return done;
		(void)loop_run_once(r->loop, 0);
		(void)poll(&p, 1, 10);
	}
	fail_msg("a request was not completed");
	return NULL;
}

static int one(struct rig *r, enum block_op op, uint64_t offset, void *data, uint64_t len)
{
	/* In two parts, which is what goes through a copy. */
	struct iovec iov[2] = {{data, len / 2}, {(char *)data + len / 2, len - len / 2}};
	struct block_request req = {.op = op, .offset = offset, .len = len, .iov = iov, .niov = 2};

	block_queue_submit(r->q, &req);
	block_queue_start(r->q);
	assert_ptr_equal(wait_one(r), &req);
	return req.result;
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed * 31 + i * 7 + i / 253);
}

static void test_qcow2(void **state)
{
	uint8_t *data = malloc(3 * MIB), *back = malloc(3 * MIB);
	struct rig *r;

	if (!have_qemu())
		skip();
	r = rig_qcow2();
	assert_int_equal(r->block->size, SIZE);
	assert_int_equal(r->block->max_queues, 1);
	fill(data, 3 * MIB, 1);
	assert_int_equal(one(r, BLOCK_WRITE, 512, data, 3 * MIB), 0); /* several chunks */
	assert_int_equal(one(r, BLOCK_READ, 512, back, 3 * MIB), 0);
	assert_memory_equal(data, back, 3 * MIB);
	assert_int_equal(one(r, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(one(r, BLOCK_WRITE_ZEROES, MIB, NULL, MIB), 0);
	assert_int_equal(one(r, BLOCK_READ, MIB, back, MIB), 0);
	assert_int_equal(back[0] | back[MIB - 1], 0);
	assert_int_equal(one(r, BLOCK_DISCARD, 2 * MIB, NULL, MIB), 0);
	assert_int_equal(one(r, BLOCK_READ, SIZE, back, 512), -EINVAL);
	assert_int_equal(one(r, BLOCK_READ, SIZE - 512, back, 512), 0);
	rig_free(r);
	free(data);
	free(back);
}

static pid_t server_pid(struct rig *r)
{
	char path[64], line[256];
	pid_t pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	f = fopen(path, "r");
	if (f && fgets(line, sizeof(line), f))
		pid = atoi(line);
	if (f)
		fclose(f);
	return pid;
}

/*
 * The server dies by SIGKILL while writes are under way, over and over; nothing that was
 * acknowledged may be missing afterwards, flushed or not, for the guest did not see it die.
 */
static void test_server_killed(void **state)
{
	uint8_t *data = malloc(WRITE), *back = malloc(WRITE);
	uint64_t written = 0;
	struct rig *r;

	if (!have_qemu())
		skip();
	r = rig_qcow2();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 60; i++, written++) {
			fill(data, WRITE, (unsigned)written);
			assert_int_equal(one(r, BLOCK_WRITE, written * WRITE, data, WRITE), 0);
			if (i == 20)
				assert_int_equal(one(r, BLOCK_FLUSH, 0, NULL, 0), 0);
			if (i == 40) {
				pid_t pid = server_pid(r);

				assert_true(pid > 1);
				assert_int_equal(kill(pid, SIGKILL), 0);
			}
		}
	}
	for (uint64_t i = 0; i < written; i++) {
		fill(data, WRITE, (unsigned)i);
		assert_int_equal(one(r, BLOCK_READ, i * WRITE, back, WRITE), 0);
		assert_memory_equal(data, back, WRITE);
	}
	assert_int_equal(one(r, BLOCK_FLUSH, 0, NULL, 0), 0);
	rig_free(r);
	free(data);
	free(back);
}

/* A server that does not come back: what waits can be given up. */
static void test_cancel(void **state)
{
	struct rig *r;
	struct block_request req = {.op = BLOCK_FLUSH};
	pid_t pid;

	if (!have_qemu())
		skip();
	r = rig_qcow2();
	assert_int_equal(one(r, BLOCK_FLUSH, 0, NULL, 0), 0);
	pid = server_pid(r);
	assert_int_equal(kill(pid, SIGKILL), 0);
	block_queue_submit(r->q, &req);
	for (unsigned i = 0; i < PATIENCE_MS / 10 && req.result != -ECANCELED; i++) {
		struct block_request *done;

		block_queue_start(r->q);
		if (block_queue_reap(r->q, &done, 1))
			break;
		block_queue_cancel(r->q);
		usleep(10000);
	}
	assert_int_equal(req.result, -ECANCELED);
	rig_free(r);
}

static void test_log(void **state)
{
	struct nbd_log log;

	nbd_log_init(&log);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(nbd_log_add(&log, BLOCK_WRITE, false, i, 8, malloc(8)), 0);
	nbd_log_flushed(&log, 4);
	assert_int_equal(log.first->number, 5);
	assert_int_equal(log.first->offset, 4);
	nbd_log_flushed(&log, 4);
	assert_int_equal(log.first->number, 5);
	nbd_log_clear(&log);
	assert_null(log.first);
	assert_int_equal(log.bytes, 0);
	assert_int_equal(nbd_log_add(&log, BLOCK_DISCARD, false, 0, GIB, NULL), 0);
	assert_true(log.bytes < 200);
	nbd_log_clear(&log);
}

static void test_refused(void **state)
{
	struct rig *r = rig_new();
	struct error err = {0};
	char text[256];

	assert_int_equal(try_open(r, "nbd=nbd://127.0.0.1:1/x", &err), -EHOSTUNREACH);
	assert_text(err, "cannot connect to nbd://127.0.0.1:1/x");
	assert_int_equal(try_open(r, "nbd=nbd://x,path=/y", &err), -EINVAL);
	assert_text(err, "exclude each other");
	assert_int_equal(try_open(r, "path=/nonexistent,format=qcow2", &err), -ENOENT);
	assert_int_equal(try_open(r, "path=/etc/passwd,format=q/../c", &err), -EINVAL);
	if (have_qemu()) {
		snprintf(text, sizeof(text), "%s/no-image", r->dir);
		run("truncate -s 65536", text, "");
		snprintf(text, sizeof(text), "format=qcow2,path=%s/no-image", r->dir);
		assert_true(try_open(r, text, &err) < 0);
		assert_text(err, "not in qcow2 format");
		snprintf(text, sizeof(text), "format=qcow9,path=%s/no-image", r->dir);
		assert_true(try_open(r, text, &err) < 0);
		assert_text(err, "qcow9");
	}
	r->block = NULL;
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_qcow2),  cmocka_unit_test(test_server_killed),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
