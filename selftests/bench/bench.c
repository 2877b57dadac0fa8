// SPDX-License-Identifier: GPL-2.0
/*
 * bench - what contexts cost, beside what else does the same work.
 *
 * Runs in a machine whose clock counts instructions (qemu/vm run --icount): one
 * instruction is one tick, so the figures do not depend on the machine below. That
 * is checked first, and no figure is printed from a clock that is not such a one.
 * Each figure is the best of five batches in one boot.
 *
 *	bench [--json FILE] [--any-clock]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <lwc.h>

#define PAGE		4096ul
#define BATCHES		5
#define MB		(1ul << 20)

static void die(const char *what, long error)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(error));
	exit(1);
}

static uint64_t now(void)
{
	uint32_t lo, hi;

	asm volatile("lfence\n\trdtsc\n\tlfence" : "=a" (lo), "=d" (hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

static void *memory(size_t size, int how)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap", errno);
	return p;
}

/* One figure. @fn does the work @n times. */
struct row {
	const char *key;	/* in the JSON */
	const char *what;	/* in the table */
	long n;
	void (*fn)(long n);
	void (*before)(void);	/* of the whole row */
	void (*after)(void);
	int share;		/* one piece of work is so many units: 2 for there and back */
	double best;
};

/* ---- the floor ---- */

static void getppid_loop(long n)
{
	while (n--)
		syscall(SYS_getppid);
}

static int device = -1;

static void open_device(void)
{
	struct lwc_features f;
	int r = lwc_features(&f);

	if (r)
		die("lwc_features", -r);
	device = open("/dev/lwc", O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("/dev/lwc", errno);
}

/* As far as the driver, which does not know this one. */
static void null_ioctl_loop(long n)
{
	while (n--)
		ioctl(device, _IO(LWC_IOC_MAGIC, 0x7f), 0);
}

static void copy_page_loop(long n)
{
	static char a[4096] __attribute__((aligned(4096))), b[4096] __attribute__((aligned(4096)));

	while (n--) {
		memcpy(a, b, PAGE);
		asm volatile("" : : "r" (a) : "memory");
	}
}

static ucontext_t here, there;

static void ucontext_loop(long n)
{
	while (n--)
		swapcontext(&here, &there);
}

static void ucontext_body(void)
{
	for (;;)
		swapcontext(&there, &here);
}

static void make_ucontext(void)
{
	getcontext(&there);
	there.uc_stack.ss_sp = memory(64 * 1024, MAP_PRIVATE);
	there.uc_stack.ss_size = 64 * 1024;
	makecontext(&there, ucontext_body, 0);
}

/* ---- contexts ---- */

static int context = -1;

static void make_context(void)
{
	struct lwc_event ev;
	int r = lwc_create(NULL, 0, 0, &ev);

	if (r)
		die("lwc_create", -r);
	if (ev.reason == LWC_EV_CREATED) {
		context = ev.created;
		/* Once, so that the caller has its number there. */
		r = lwc_switch(context, 0, 0, &ev);
		if (r)
			die("lwc_switch", -r);
		return;
	}
	for (;;)
		lwc_switch(ev.caller, 0, 0, &ev);
}

static void end_context(void)
{
	lwc_close(context);
}

static void switch_loop(long n)
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

static pthread_t sleeper;

static void make_context_and_thread(void)
{
	if (pthread_create(&sleeper, NULL, sleep_for_ever, NULL))
		die("pthread_create", EAGAIN);
	sched_yield();
	make_context();
}

static void end_context_and_thread(void)
{
	end_context();
	pthread_cancel(sleeper);
	pthread_join(sleeper, NULL);
}

static void create_loop(long n)
{
	struct lwc_event ev;
	int r;

	while (n--) {
		r = lwc_create(NULL, 0, 0, &ev);
		if (r)
			die("lwc_create", -r);
		lwc_close(ev.created);
	}
}

static char *written;

#define WRITTEN	10

static void write_pages(void)
{
	int i;

	for (i = 0; i < WRITTEN; i++)
		written[i * PAGE]++;
}

/* A request as a server would do it: renew, go there, write ten pages, come back. */
static void renew_loop(long n)
{
	struct lwc_event ev;
	int r;

	while (n--) {
		r = lwc_renew(context, 0, &ev);
		if (r)
			die("lwc_renew", -r);
		if (ev.reason == LWC_EV_SWITCH) {
			for (;;) {
				write_pages();
				lwc_switch(ev.caller, 0, 0, &ev);
			}
		}
		lwc_switch(context, 0, 0, &ev);
	}
}

/* The count survives a rollback because it is shared. */
static volatile long *left;
static int snapshot;

/* The snapshot is armed anew once a batch. */
static void rollback_loop(long n)
{
	struct lwc_event ev;
	int r;

	*left = n;
	r = lwc_snapshot(snapshot, 0, &ev);
	if (r)
		die("lwc_snapshot", -r);
	if ((*left)--) {
		write_pages();
		r = lwc_rollback(snapshot, 0);
		die("lwc_rollback", -r);
	}
}

static void rearm_loop(long n)
{
	struct lwc_event ev;
	int r;

	while (n--) {
		write_pages();
		r = lwc_snapshot(snapshot, 0, &ev);
		if (r)
			die("lwc_snapshot", -r);
	}
}

static void take_snapshot(void)
{
	struct lwc_event ev;
	int r = lwc_snapshot(-1, 0, &ev);

	if (r)
		die("lwc_snapshot", -r);
	snapshot = ev.created;
}

static void make_written(void)
{
	written = memory(WRITTEN * PAGE, MAP_PRIVATE);
	left = memory(PAGE, MAP_SHARED);
	write_pages();
	make_context();
	take_snapshot();
}

static void end_written(void)
{
	lwc_close(snapshot);
	end_context();
	munmap(written, WRITTEN * PAGE);
}

/* ---- processes ---- */

static pid_t partner;
static int to_partner[2], from_partner[2];

static void end_partner(void)
{
	kill(partner, SIGKILL);
	waitpid(partner, NULL, 0);
}

static void make_pipe_partner(void)
{
	char c;

	if (pipe(to_partner) || pipe(from_partner))
		die("pipe", errno);
	partner = fork();
	if (!partner) {
		while (read(to_partner[0], &c, 1) == 1)
			if (write(from_partner[1], &c, 1) != 1)
				break;
		_exit(0);
	}
}

static void pipe_loop(long n)
{
	char c = 0;

	while (n--)
		if (write(to_partner[1], &c, 1) != 1 || read(from_partner[0], &c, 1) != 1)
			die("pipe", errno);
}

static void make_eventfd_partner(void)
{
	uint64_t v;

	to_partner[0] = eventfd(0, 0);
	from_partner[0] = eventfd(0, 0);
	partner = fork();
	if (!partner) {
		while (read(to_partner[0], &v, 8) == 8)
			if (write(from_partner[0], &v, 8) != 8)
				break;
		_exit(0);
	}
}

static void eventfd_loop(long n)
{
	uint64_t v = 1;

	while (n--)
		if (write(to_partner[0], &v, 8) != 8 || read(from_partner[0], &v, 8) != 8)
			die("eventfd", errno);
}

static uint32_t *turn;

static void futex_wait(uint32_t *word, uint32_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_give(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void *futex_partner(void *arg)
{
	for (;;) {
		futex_wait(turn, 0);
		if (*turn == 2)
			return arg;
		futex_give(turn, 0);
	}
}

static void make_futex_partner(void)
{
	turn = memory(PAGE, MAP_SHARED);
	partner = fork();
	if (!partner)
		futex_partner(NULL);
}

static void futex_loop(long n)
{
	while (n--) {
		futex_give(turn, 1);
		futex_wait(turn, 1);
	}
}

static pthread_t thread;

static void make_futex_thread(void)
{
	turn = memory(PAGE, MAP_SHARED);
	if (pthread_create(&thread, NULL, futex_partner, NULL))
		die("pthread_create", EAGAIN);
}

static void end_futex_thread(void)
{
	futex_give(turn, 2);
	pthread_join(thread, NULL);
}

static void fork_loop(long n)
{
	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork", errno);
	}
}

/* ---- memory that is there meanwhile ---- */

static char *mapped;
static size_t mapped_size;

static void map(size_t size)
{
	mapped = memory(size, MAP_PRIVATE);
	mapped_size = size;
	for (size_t i = 0; i < size; i += PAGE)
		mapped[i] = 1;
}

static void map_10(void)
{
	map(10 * MB);
}

static void map_100(void)
{
	map(100 * MB);
}

static void unmap(void)
{
	munmap(mapped, mapped_size);
}

static void make_written_10(void)
{
	map_10();
	make_written();
}

static void make_written_100(void)
{
	map_100();
	make_written();
}

static void end_written_and_unmap(void)
{
	end_written();
	unmap();
}

/* ---- faults ---- */

static void zero_fault_loop(long n)
{
	char *p = memory(n * PAGE, MAP_PRIVATE);
	long i;

	for (i = 0; i < n; i++)
		p[i * PAGE] = 1;
	munmap(p, n * PAGE);
}

static char *copied;

#define COPIED	1000

/* Each batch writes other pages, so that each is shared with the child still. */
static long next_copied;

static void make_copied(void)
{
	copied = memory(BATCHES * COPIED * PAGE, MAP_PRIVATE);
	memset(copied, 1, BATCHES * COPIED * PAGE);
	next_copied = 0;
	partner = fork();
	if (!partner)
		for (;;)
			pause();
}

static void copy_fault_loop(long n)
{
	while (n--)
		copied[next_copied++ * PAGE] = 2;
}

static void end_copied(void)
{
	end_partner();
	munmap(copied, BATCHES * COPIED * PAGE);
}

static struct row rows[] = {
	{ "getppid", "getppid()", 1000, getppid_loop, .share = 1 },
	{ "null_ioctl", "an ioctl that does nothing", 1000, null_ioctl_loop, .share = 1 },
	{ "swapcontext", "swapcontext(), one way", 1000, ucontext_loop, make_ucontext, NULL, .share = 2 },
	{ "switch", "lwc_switch(), one way", 1000, switch_loop, make_context, end_context, .share = 2 },
	{ "switch_threads", "the same, the process has a second thread", 1000, switch_loop,
	  make_context_and_thread, end_context_and_thread, .share = 2 },
	{ "pipe", "process switch by pipe, one way", 500, pipe_loop, make_pipe_partner,
	  end_partner, .share = 2 },
	{ "eventfd", "process switch by eventfd, one way", 500, eventfd_loop, make_eventfd_partner,
	  end_partner, .share = 2 },
	{ "futex", "process switch by futex, one way", 500, futex_loop, make_futex_partner,
	  end_partner, .share = 2 },
	{ "thread", "thread switch by futex, one way", 500, futex_loop, make_futex_thread,
	  end_futex_thread, .share = 2 },
	{ "fork", "fork, exit, wait: small process", 50, fork_loop, .share = 1 },
	{ "create", "lwc_create() and close: small process", 50, create_loop, .share = 1 },
	{ "fork_10", "fork, exit, wait: 10 MB", 10, fork_loop, map_10, unmap, .share = 1 },
	{ "create_10", "lwc_create() and close: 10 MB", 10, create_loop, map_10, unmap, .share = 1 },
	{ "fork_100", "fork, exit, wait: 100 MB", 2, fork_loop, map_100, unmap, .share = 1 },
	{ "create_100", "lwc_create() and close: 100 MB", 2, create_loop, map_100, unmap, .share = 1 },
	{ "renew", "lwc_renew(), there, 10 pages, back: small", 100, renew_loop, make_written,
	  end_written, .share = 1 },
	{ "renew_10", "the same: 10 MB", 100, renew_loop, make_written_10,
	  end_written_and_unmap, .share = 1 },
	{ "renew_100", "the same: 100 MB", 100, renew_loop, make_written_100,
	  end_written_and_unmap, .share = 1 },
	{ "rollback", "10 pages, lwc_rollback(): small", 100, rollback_loop, make_written,
	  end_written, .share = 1 },
	{ "rollback_10", "the same: 10 MB", 100, rollback_loop, make_written_10,
	  end_written_and_unmap, .share = 1 },
	{ "rollback_100", "the same: 100 MB", 100, rollback_loop, make_written_100,
	  end_written_and_unmap, .share = 1 },
	{ "rearm", "10 pages, re-arm: small", 100, rearm_loop, make_written,
	  end_written, .share = 1 },
	{ "rearm_100", "the same: 100 MB", 100, rearm_loop, make_written_100,
	  end_written_and_unmap, .share = 1 },
	{ "zero_fault", "first touch of a page", 1000, zero_fault_loop, .share = 1 },
	{ "cow_fault", "copy on write of a page", COPIED, copy_fault_loop, make_copied,
	  end_copied, .share = 1 },
	{ "copy_page", "memcpy() of a page", 1000, copy_page_loop, .share = 1 },
};

#define ROWS	(sizeof(rows) / sizeof(rows[0]))

/* What is to be reached: one figure is at most so many times another. */
static const struct {
	const char *key, *peer;
	double most;
} goals[] = {
	{ "switch", "null_ioctl", 1.6 },
	{ "switch", "pipe", 1 / 5.5 },
	{ "create", "fork", 0.45 },
	{ "create_10", "fork_10", 0.90 },
	{ "create_100", "fork_100", 1.0 },
};

#define GOALS	(sizeof(goals) / sizeof(goals[0]))

static struct row *find(const char *key)
{
	struct row *row;

	for (row = rows; strcmp(row->key, key); row++)
		;
	return row;
}

static void measure(struct row *row)
{
	uint64_t start, ticks, best = UINT64_MAX;
	int i;

	if (row->before)
		row->before();
	/* One that does not count: caches of the kernel fill, code is paged in. */
	if (row->fn != copy_fault_loop)
		row->fn(row->n > 10 ? 10 : row->n);
	for (i = 0; i < BATCHES; i++) {
		start = now();
		row->fn(row->n);
		ticks = now() - start;
		if (ticks < best)
			best = ticks;
	}
	if (row->after)
		row->after();
	row->best = (double)best / row->n / row->share;
}

/* A loop of two instructions; how many ticks is one? */
static double ticks_per_instruction(void)
{
	const uint64_t n = 1000000;
	uint64_t start, ticks, best = UINT64_MAX;
	int i;

	for (i = 0; i < BATCHES; i++) {
		uint64_t count = n;

		start = now();
		asm volatile("1: dec %0\n\tjnz 1b" : "+r" (count));
		ticks = now() - start;
		if (ticks < best)
			best = ticks;
	}
	return (double)best / (2 * n);
}

static void print_json(FILE *f, const char *kernel, double tick)
{
	unsigned int i;

	fprintf(f, "{\n  \"kernel\": \"%s\",\n  \"unit\": \"instructions\",\n", kernel);
	fprintf(f, "  \"ticks_per_instruction\": %.4f,\n  \"batches\": %d,\n", tick, BATCHES);
	fprintf(f, "  \"figures\": {\n");
	for (i = 0; i < ROWS; i++)
		fprintf(f, "    \"%s\": %.1f%s\n", rows[i].key, rows[i].best,
			i + 1 < ROWS ? "," : "");
	fprintf(f, "  },\n  \"ratios\": [\n");
	for (i = 0; i < GOALS; i++)
		fprintf(f, "    { \"of\": \"%s\", \"to\": \"%s\", \"is\": %.3f, \"at_most\": %.3f }%s\n",
			goals[i].key, goals[i].peer,
			find(goals[i].key)->best / find(goals[i].peer)->best, goals[i].most,
			i + 1 < GOALS ? "," : "");
	fprintf(f, "  ]\n}\n");
}

int main(int argc, char **argv)
{
	const char *json = NULL;
	bool any_clock = false;
	struct utsname name;
	unsigned int i;
	double tick;

	for (i = 1; i < (unsigned int)argc; i++) {
		if (!strcmp(argv[i], "--json") && i + 1 < (unsigned int)argc) {
			json = argv[++i];
		} else if (!strcmp(argv[i], "--any-clock")) {
			any_clock = true;
		} else {
			fprintf(stderr, "usage: bench [--json FILE] [--any-clock]\n");
			return 2;
		}
	}
	tick = ticks_per_instruction();
	if ((tick < 0.99 || tick > 1.01) && !any_clock) {
		fprintf(stderr, "bench: an instruction takes %.4f ticks: this clock does not count them (see qemu/vm run --icount)\n",
			tick);
		return 1;
	}
	uname(&name);
	printf("Linux %s, instructions, best of %d (an instruction is %.4f ticks)\n\n",
	       name.release, BATCHES, tick);
	/* Pages are counted, so they are all of one size. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	open_device();
	for (i = 0; i < ROWS; i++) {
		measure(&rows[i]);
		printf("%-46s %12.0f\n", rows[i].what, rows[i].best);
		fflush(stdout);
	}
	printf("\n%-46s %8s %8s\n", "", "is", "at most");
	for (i = 0; i < GOALS; i++) {
		double is = find(goals[i].key)->best / find(goals[i].peer)->best;
		char text[64];

		snprintf(text, sizeof(text), "%s / %s", goals[i].key, goals[i].peer);
		printf("%-46s %8.3f %8.3f%s\n", text, is, goals[i].most,
		       is > goals[i].most ? "  not yet" : "");
	}
	if (json) {
		FILE *f = fopen(json, "w");

		if (!f)
			die(json, errno);
		print_json(f, name.release, tick);
		if (fclose(f))
			die(json, errno);
	}
	return 0;
}
