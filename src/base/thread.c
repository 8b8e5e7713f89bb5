/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

bool thread_cpu_usable(int cpu)
{
	cpu_set_t set;

	if (cpu == THREAD_ANY_CPU)
		return true;
	if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(set), &set) < 0)
		return false;
	return CPU_ISSET((unsigned)cpu, &set);
}

int thread_start(pthread_t *thread, const char *name, int cpu, void *(*fn)(void *), void *arg,
		 struct error *err)
{
	static const int faults[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
	pthread_attr_t attr;
	cpu_set_t cpus;
	sigset_t all;
	char comm[16];
	int rc;

	if (!thread_cpu_usable(cpu))
		return error_set(err, -EINVAL,
				 "thread %s: CPU %d is not among those this process may use: "
				 "choose another, or widen its affinity (taskset, cpuset)",
				 name, cpu);
	sigfillset(&all);
	/* A fault's signal that is blocked ends the process instead of reaching its handler. */
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_attr_init(&attr);
	rc = pthread_attr_setsigmask_np(&attr, &all);
	if (rc == 0 && cpu != THREAD_ANY_CPU) {
		CPU_ZERO(&cpus);
		CPU_SET((unsigned)cpu, &cpus);
		rc = pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	}
	if (rc == 0)
		rc = pthread_create(thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	if (rc)
		return error_set(err, -rc, "thread %s: cannot be started: %s", name,
				 error_name(rc));
	snprintf(comm, sizeof(comm), "%.15s", name);
	pthread_setname_np(*thread, comm);
	return 0;
}
