/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/loop.h"
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct watched {
	struct loop *loop;
	struct loop_fd watch;
	int pipe[2];
	unsigned calls;
	struct watched *victim; /* removed and freed by the callback */
	bool freed;
};

static void watched_fn(struct loop_fd *watch, uint32_t events)
{
	struct watched *w = watch->opaque;
	char c;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(watch->fd, &c, 1), 1);
	w->calls++;
	if (w->victim) {
		loop_remove(w->loop, &w->victim->watch);
		memset(&w->victim->watch, 0xa5, sizeof(w->victim->watch));
		w->victim->freed = true;
		w->victim = NULL;
	}
}

static void watched_init(struct watched *w, struct loop *loop)
{
	*w = (struct watched){.loop = loop};
	assert_int_equal(pipe(w->pipe), 0);
	w->watch = (struct loop_fd){.fd = w->pipe[0], .fn = watched_fn, .opaque = w};
	assert_int_equal(loop_add(loop, &w->watch, EPOLLIN), 0);
}

static void watched_done(struct watched *w)
{
	if (!w->freed)
		loop_remove(w->loop, &w->watch);
	close(w->pipe[0]);
	close(w->pipe[1]);
}

static void test_watch(void **state)
{
	struct loop *loop = loop_create(NULL);
	struct watched w;

	watched_init(&w, loop);
	assert_int_equal(loop_add(loop, &w.watch, EPOLLIN), -EEXIST);
	assert_int_equal(loop_run_once(loop, 0), 0);
	assert_int_equal(w.calls, 0);
	assert_int_equal(write(w.pipe[1], "ab", 2), 2);
	loop_run_once(loop, -1);
	loop_run_once(loop, -1);
	assert_int_equal(w.calls, 2);
	assert_int_equal(loop_modify(loop, &w.watch, 0), 0);
	assert_int_equal(write(w.pipe[1], "c", 1), 1);
	loop_run_once(loop, 0);
	assert_int_equal(w.calls, 2);
	assert_int_equal(loop_modify(loop, &w.watch, EPOLLIN), 0);
	loop_run_once(loop, 0);
	assert_int_equal(w.calls, 3);
	watched_done(&w);
	assert_int_equal(loop_modify(loop, &w.watch, EPOLLIN), -ENOENT);
	loop_remove(loop, &w.watch);
	loop_destroy(loop);
	loop_destroy(NULL);
}

static void test_watch_bad(void **state)
{
	struct loop *loop = loop_create(NULL);
	struct loop_fd bad = {.fd = -1, .fn = watched_fn};

	assert_int_equal(loop_add(loop, &bad, EPOLLIN), -EBADF);
	assert_false(bad.active);
	loop_destroy(loop);
}

/* Each of three ready watches takes away another: whoever comes first wins, nobody is called dead. */
static void test_remove_in_callback(void **state)
{
	struct loop *loop = loop_create(NULL);
	struct watched w[3];
	unsigned calls = 0, freed = 0;

	for (unsigned i = 0; i < 3; i++)
		watched_init(&w[i], loop);
	for (unsigned i = 0; i < 3; i++) {
		w[i].victim = &w[(i + 1) % 3];
		assert_int_equal(write(w[i].pipe[1], "x", 1), 1);
	}
	loop_run_once(loop, -1);
	for (unsigned i = 0; i < 3; i++) {
		calls += w[i].calls;
		freed += w[i].freed;
	}
	/* The first takes the second's turn; the third still has its own. */
	assert_int_equal(calls, 2);
	assert_int_equal(freed, 2);
	for (unsigned i = 0; i < 3; i++)
		watched_done(&w[i]);
	loop_destroy(loop);
}

struct ticks {
	struct loop *loop;
	struct loop_timer timer;
	struct ticks *victim;
	unsigned calls;
	unsigned *order;
	unsigned at;
	bool again;
};

static void ticks_fn(struct loop_timer *timer)
{
	struct ticks *t = timer->opaque;

	assert_false(timer->active);
	assert_true(clock_ns() >= timer->deadline);
	t->calls++;
	if (t->order)
		t->at = (*t->order)++;
	if (t->victim)
		loop_timer_cancel(t->loop, &t->victim->timer);
	if (t->again)
		loop_timer_set(t->loop, timer, 0);
}

static void ticks_init(struct ticks *t, struct loop *loop, unsigned *order)
{
	*t = (struct ticks){.loop = loop, .order = order};
	t->timer = (struct loop_timer){.fn = ticks_fn, .opaque = t};
}

static void test_timers(void **state)
{
	struct loop *loop = loop_create(NULL);
	uint64_t start = clock_ns();
	struct ticks t[3];
	unsigned order = 0;

	for (unsigned i = 0; i < 3; i++)
		ticks_init(&t[i], loop, &order);
	loop_timer_set(loop, &t[0].timer, start + 30 * NSEC_PER_MSEC);
	loop_timer_set(loop, &t[1].timer, start + 10 * NSEC_PER_MSEC);
	loop_timer_set(loop, &t[2].timer, start + 1000 * NSEC_PER_MSEC);
	loop_timer_set(loop, &t[2].timer, start + 20 * NSEC_PER_MSEC);
	while (order < 3)
		loop_run_once(loop, -1);
	assert_true(clock_ns() - start >= 30 * NSEC_PER_MSEC);
	assert_int_equal(t[1].at, 0);
	assert_int_equal(t[2].at, 1);
	assert_int_equal(t[0].at, 2);
	loop_timer_set(loop, &t[0].timer, clock_ns() + NSEC_PER_MSEC);
	loop_timer_cancel(loop, &t[0].timer);
	loop_timer_cancel(loop, &t[0].timer);
	start = clock_ns();
	loop_run_once(loop, 20);
	assert_true(clock_ns() - start >= 19 * NSEC_PER_MSEC);
	assert_int_equal(t[0].calls, 1);
	loop_destroy(loop);
}

/* Cancelling one that is due in the same round, and setting oneself again for the past. */
static void test_timers_in_callback(void **state)
{
	struct loop *loop = loop_create(NULL);
	struct ticks a, b;

	ticks_init(&a, loop, NULL);
	ticks_init(&b, loop, NULL);
	a.victim = &b;
	loop_timer_set(loop, &a.timer, 1);
	loop_timer_set(loop, &b.timer, 2);
	loop_run_once(loop, 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	a.again = true;
	a.victim = NULL;
	loop_timer_set(loop, &a.timer, 1);
	loop_run_once(loop, -1);
	assert_int_equal(a.calls, 2);
	loop_run_once(loop, -1);
	assert_int_equal(a.calls, 3);
	loop_timer_cancel(loop, &a.timer);
	loop_destroy(loop);
}

#define POSTS 1000

struct posted {
	struct loop *loop;
	unsigned next;
	bool ordered;
	pthread_t poster;
};
struct post {
	struct posted *all;
	unsigned index;
};

static void post_fn(void *arg)
{
	struct post *post = arg;

	if (post->all->next++ != post->index)
		post->all->ordered = false;
	assert_false(pthread_equal(pthread_self(), post->all->poster));
	free(post);
}

static void call_fn(void *arg)
{
	unsigned *seen = arg;

	(*seen)++;
}

static void *poster(void *arg)
{
	struct posted *all = arg;
	unsigned seen = 0;

	all->poster = pthread_self();
	for (unsigned i = 0; i < POSTS; i++) {
		struct post *post = malloc(sizeof(*post));

		*post = (struct post){.all = all, .index = i};
		assert_int_equal(loop_post(all->loop, post_fn, post), 0);
	}
	assert_int_equal(loop_call(all->loop, call_fn, &seen), 0);
	assert_int_equal(seen, 1);
	assert_int_equal(all->next, POSTS);
	loop_stop(all->loop);
	return NULL;
}

static void test_post(void **state)
{
	struct posted all = {.loop = loop_create(NULL), .ordered = true};
	pthread_t thread;

	assert_int_equal(thread_start(&thread, "poster", THREAD_ANY_CPU, poster, &all, NULL), 0);
	assert_int_equal(loop_run(all.loop), 0);
	pthread_join(thread, NULL);
	assert_true(all.ordered);
	assert_int_equal(all.next, POSTS);
	/* A stop before the run counts for that run, and for no other. */
	loop_stop(all.loop);
	assert_int_equal(loop_run(all.loop), 0);
	loop_destroy(all.loop);
}

static void *look_around(void *arg)
{
	sigset_t *set = arg;

	pthread_sigmask(SIG_SETMASK, NULL, set);
	return arg;
}

static void test_thread(void **state)
{
	pthread_t thread;
	struct error err;
	sigset_t set;
	int cpu = sched_getcpu();

	assert_true(thread_cpu_usable(cpu));
	assert_false(thread_cpu_usable(-2));
	assert_false(thread_cpu_usable(1 << 20));
	assert_int_equal(thread_start(&thread, "x", 1 << 20, look_around, &set, &err), -EINVAL);
	assert_text(err, "CPU 1048576");
	assert_int_equal(thread_start(&thread, "a-name-that-is-long", cpu, look_around, &set, &err),
			 0);
	pthread_join(thread, NULL);
	assert_true(sigismember(&set, SIGTERM));
	assert_true(sigismember(&set, SIGUSR1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_bad),
		cmocka_unit_test(test_remove_in_callback),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_timers_in_callback),
		cmocka_unit_test(test_post),
		cmocka_unit_test(test_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
