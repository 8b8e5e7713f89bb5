/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/thread.h"
#include "mem/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Mappings of files that are cut short while they are touched. */
#define LEN 0x40000UL

static uint8_t *map(int *fd)
{
	uint8_t *p;

	*fd = memfd_create("guard", MFD_CLOEXEC);
	assert_int_equal(ftruncate(*fd, LEN), 0);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void test_cut_short(void **state)
{
	int fd, other_fd, event = eventfd(0, EFD_NONBLOCK);
	volatile uint8_t *p = map(&fd), *other = map(&other_fd);
	struct mem_guard *g = mem_guard_add((void *)(uintptr_t)p, LEN, event, NULL);
	struct mem_guard *h = mem_guard_add((void *)(uintptr_t)other, LEN, -1, NULL);
	eventfd_t value;

	p[0x10000] = other[0x10000] = 5;
	assert_false(mem_guard_hit(g));
	assert_int_equal(ftruncate(fd, 4096), 0);
	errno = 77;
	p[0x10000] = 6;
	assert_int_equal(errno, 77);
	assert_int_equal(p[0x10000], 6);
	assert_int_equal(p[0], 0);
	assert_true(mem_guard_hit(g));
	assert_int_equal(eventfd_read(event, &value), 0);
	/* The neighbour is as it was. */
	assert_false(mem_guard_hit(h));
	assert_int_equal(other[0x10000], 5);
	mem_guard_remove(g);
	mem_guard_remove(h);
	mem_guard_remove(NULL);
	munmap((void *)(uintptr_t)p, LEN);
	munmap((void *)(uintptr_t)other, LEN);
	close(fd);
	close(other_fd);
	close(event);
}

/* What nobody guards ends the process as before; so does what was guarded once. */
static void test_others(void **state)
{
	for (unsigned was = 0; was < 2; was++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			int fd;
			volatile uint8_t *p = map(&fd);
			struct mem_guard *g;

			signal(SIGBUS, SIG_DFL);
			g = mem_guard_add((void *)(uintptr_t)p, was ? LEN : 4096, -1, NULL);
			if (was)
				mem_guard_remove(g);
			if (ftruncate(fd, 0) == 0)
				p[0x10000] = 1;
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	}
}

static volatile uint8_t *shared;
static _Atomic bool over;

static void *touch(void *arg)
{
	while (!atomic_load(&over))
		for (unsigned long i = 0; i < LEN; i += 4096)
			__atomic_fetch_add(&shared[i], 1, __ATOMIC_RELAXED);
	return NULL;
}

/* Several threads at once; other guards come and go meanwhile. */
static void test_threads(void **state)
{
	for (unsigned i = 0; i < 50; i++) {
		int fd, more_fd;
		struct mem_guard *g;
		pthread_t threads[3];

		shared = map(&fd);
		atomic_store(&over, false);
		g = mem_guard_add((void *)(uintptr_t)shared, LEN, -1, NULL);
		for (unsigned t = 0; t < 3; t++)
			assert_int_equal(thread_start(&threads[t], "touch", THREAD_ANY_CPU, touch,
						      NULL, NULL),
					 0);
		for (unsigned k = 0; k < 20; k++) {
			void *p = map(&more_fd);

			mem_guard_remove(mem_guard_add(p, LEN, -1, NULL));
			munmap(p, LEN);
			close(more_fd);
			if (k == 10)
				assert_int_equal(ftruncate(fd, 0), 0);
		}
		while (!mem_guard_hit(g))
			sched_yield();
		atomic_store(&over, true);
		for (unsigned t = 0; t < 3; t++)
			pthread_join(threads[t], NULL);
		mem_guard_remove(g);
		munmap((void *)(uintptr_t)shared, LEN);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
