// SPDX-License-Identifier: GPL-2.0
/*
 * From one context to another, beside from one process or thread to another. Who is
 * woken runs on the same processor: bench.c has seen to that.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lwc.h>

#include "bench.h"

static int context;

static void make_context(const struct shape *shape)
{
	struct lwc_event ev;
	int r = lwc_create(NULL, 0, 0, &ev);

	(void)shape;
	if (r)
		die("lwc_create", -r);
	if (ev.reason == LWC_EV_CREATED) {
		context = ev.created;
		r = lwc_switch(context, 0, 0, &ev);
		if (r)
			die("lwc_switch", -r);
		return;
	}
	for (;;)
		lwc_switch(ev.caller, 0, 0, &ev);
}

static void switch_rounds(long n)
{
	struct lwc_event ev;

	while (n--)
		lwc_switch(context, 0, 0, &ev);
}

static void *sleep_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void make_context_and_thread(const struct shape *shape)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, sleep_for_ever, NULL);

	if (r)
		die("pthread_create", r);
	sched_yield();
	make_context(shape);
}

static int to_partner[2], from_partner[2];

static void pipe_partner(void)
{
	char c;

	while (read(to_partner[0], &c, 1) == 1 && write(from_partner[1], &c, 1) == 1)
		;
}

static void make_pipes(const struct shape *shape)
{
	(void)shape;
	if (pipe(to_partner) || pipe(from_partner))
		die("pipe", errno);
	start_partner(pipe_partner);
}

static void pipe_rounds(long n)
{
	char c = 0;

	while (n--)
		if (write(to_partner[1], &c, 1) != 1 || read(from_partner[0], &c, 1) != 1)
			die("pipe", errno);
}

static void eventfd_partner(void)
{
	uint64_t v;

	while (read(to_partner[0], &v, 8) == 8 && write(from_partner[0], &v, 8) == 8)
		;
}

static void make_eventfds(const struct shape *shape)
{
	(void)shape;
	to_partner[0] = eventfd(0, 0);
	from_partner[0] = eventfd(0, 0);
	if (to_partner[0] < 0 || from_partner[0] < 0)
		die("eventfd", errno);
	start_partner(eventfd_partner);
}

static void eventfd_rounds(long n)
{
	uint64_t v = 1;

	while (n--)
		if (write(to_partner[0], &v, 8) != 8 || read(from_partner[0], &v, 8) != 8)
			die("eventfd", errno);
}

static void futex_wait(uint32_t value)
{
	while (__atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE) == value)
		syscall(SYS_futex, &shared->turn, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_give(uint32_t value)
{
	__atomic_store_n(&shared->turn, value, __ATOMIC_RELEASE);
	syscall(SYS_futex, &shared->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void futex_partner(void)
{
	for (;;) {
		futex_wait(0);
		futex_give(0);
	}
}

static void make_futex(const struct shape *shape)
{
	(void)shape;
	start_partner(futex_partner);
}

static void *futex_thread(void *arg)
{
	futex_partner();
	return arg;
}

static void make_thread(const struct shape *shape)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, futex_thread, NULL);

	(void)shape;
	if (r)
		die("pthread_create", r);
}

static void futex_rounds(long n)
{
	while (n--) {
		futex_give(1);
		futex_wait(1);
	}
}

static const struct work switches[] = {
	{ "switch", "lwc_switch()", 2, true, make_context, .rounds = switch_rounds },
	{ "switch_threads", "lwc_switch(), the process has a second thread", 2, true,
	  make_context_and_thread, .rounds = switch_rounds },
	{ "thread", "thread switch by futex", 2, false, make_thread, .rounds = futex_rounds },
	{ "eventfd", "process switch by eventfd", 2, false, make_eventfds, NULL, eventfd_rounds,
	  end_partner },
	{ "futex", "process switch by futex", 2, false, make_futex, NULL, futex_rounds, end_partner },
	{ "pipe", "process switch by pipe", 2, false, make_pipes, NULL, pipe_rounds, end_partner },
};

void measure_switches(void)
{
	unsigned int i;

	print_head("from one to another, one way");
	for (i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		print_figure(measure(&switches[i], NULL, quick ? 100 : 1000));
}
