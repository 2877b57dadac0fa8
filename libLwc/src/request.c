// SPDX-License-Identifier: MIT
/*
 * request.c - lwc_request_run(): run a function, then forget what it did.
 *
 * What a rollback does not undo must be put right by hand here, on every way
 * out: the deadline's timer, its signal's handler, the snapshot's descriptor.
 * A rollback puts memory back, so nothing learned inside a request may be
 * needed after it, except what the rollback itself hands over.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <lwc.h>

#include "mask.h"
#include "syscall.h"

#define NS_PER_SEC	1000000000ULL
#define NS_PER_MS	1000000ULL

/*
 * A deadline that cannot be kept at once (the thread is in another context, say)
 * is tried again this much later.
 */
#define RETRY_NS	(10 * NS_PER_MS)

/*
 * One call of lwc_request_run() with a deadline. On its stack: what is written
 * here after the snapshot is gone after the rollback.
 *
 * Nested ones share the outermost's signal and timer, which is set to the next of
 * their deadlines: so the rollback to an outer one leaves nothing of an inner one
 * behind, and a rollback that is refused has taken nothing away from it.
 */
struct deadline {
	struct deadline *outer;
	uint64_t ns;		/* CLOCK_MONOTONIC, while @snapshot >= 0 */
	int thread;
	int signal;
	int timer;
	int snapshot;
};

/* The innermost of this thread; in a signal handler, hence not allocated late. */
static __thread struct deadline *innermost __attribute__((tls_model("initial-exec")));

static int thread_id(void)
{
	return (int)sys_3(__NR_gettid, 0, 0, 0);
}

/* A child forked by a request has the parent's deadlines in memory, and no others. */
static bool is_mine(const struct deadline *d)
{
	return d && d->thread == thread_id();
}

static struct deadline *innermost_mine(void)
{
	return is_mine(innermost) ? innermost : NULL;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/*
 * The deadline's handler. Anyone may send the signal, so only the clock counts.
 * Of nested requests the outermost that is due goes. It may be impossible to roll
 * back to (it closed its snapshot, say, or the thread is in another context): then
 * an inner one goes, and if there is none the timer comes again.
 */
static void on_deadline(int sig, siginfo_t *info, void *ucontext)
{
	struct deadline *first = innermost_mine(), *tried = NULL, *d, *due;
	uint64_t t = now();

	(void)sig;
	(void)info;
	(void)ucontext;
	do {
		due = NULL;
		for (d = first; d != tried; d = d->outer) {
			if (d->snapshot >= 0 && t >= d->ns)
				due = d;
		}
		if (due)
			lwc_rollback(due->snapshot, 0);
		tried = due;
	} while (due);
}

static bool unused(const struct sigaction *sa)
{
	return !(sa->sa_flags & SA_SIGINFO) && sa->sa_handler == SIG_DFL;
}

static bool is_ours(const struct sigaction *sa)
{
	return sa->sa_flags & SA_SIGINFO && sa->sa_sigaction == on_deadline;
}

/*
 * A signal for this thread's deadlines. Handlers are the process's, and another
 * thread may do this in another context at the same time, so the disposition
 * itself says whose a signal is: it belongs to whoever turned it from SIG_DFL
 * into ours. A signal that the caller has blocked may be meant for sigwait(3):
 * those come last.
 */
static int take_signal(mask_t blocked)
{
	struct sigaction ours = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART }, old;
	int sig, round;

	ours.sa_sigaction = on_deadline;
	sigfillset(&ours.sa_mask);
	for (round = 0; round < 2; round++) {
		for (sig = SIGRTMAX; sig >= SIGRTMIN; sig--) {
			if (!(blocked & MASK(sig)) != !round)
				continue;
			sigaction(sig, NULL, &old);
			if (!unused(&old))
				continue;
			sigaction(sig, &ours, &old);
			if (unused(&old))
				return sig;
			/*
			 * Another thread's deadline was quicker. To put back what is
			 * there already would undo its release_signal(), if that came
			 * meanwhile.
			 */
			if (!is_ours(&old))
				sigaction(sig, &old, NULL);
		}
	}
	return -EAGAIN;
}

static void release_signal(int sig)
{
	struct sigaction unused = { .sa_handler = SIG_DFL };

	sigaction(sig, &unused, NULL);
}

/* Everything but starting the clock; all signals are blocked, @blocked were. */
static int prepare(struct deadline *d, mask_t blocked)
{
	struct sigevent sev = { .sigev_notify = SIGEV_THREAD_ID };
	long ret;

	d->snapshot = -1;
	d->thread = thread_id();
	d->outer = innermost_mine();
	if (d->outer) {
		d->signal = d->outer->signal;
		d->timer = d->outer->timer;
	} else {
		d->signal = take_signal(blocked);
		if (d->signal < 0)
			return d->signal;
		sev.sigev_signo = d->signal;
		sev._sigev_un._tid = d->thread;
		ret = sys_3(__NR_timer_create, CLOCK_MONOTONIC, (long)&sev, (long)&d->timer);
		if (ret) {
			release_signal(d->signal);
			return (int)ret;
		}
	}
	innermost = d;
	return 0;
}

/* Sets the timer to the next deadline of @d and those around it. */
static void set_timer(const struct deadline *d)
{
	struct itimerspec when = { .it_interval = { .tv_nsec = RETRY_NS } };
	const struct deadline *o;
	uint64_t ns = d->ns;

	for (o = d->outer; o; o = o->outer)
		ns = o->ns < ns ? o->ns : ns;
	when.it_value.tv_sec = ns / NS_PER_SEC;
	when.it_value.tv_nsec = ns % NS_PER_SEC;
	sys_4(__NR_timer_settime, d->timer, TIMER_ABSTIME, (long)&when, 0);
}

/* The clock starts with the request itself: a snapshot may take its time. */
static void start(struct deadline *d, uint32_t timeout_ms, int snapshot)
{
	d->ns = now() + timeout_ms * NS_PER_MS;
	d->snapshot = snapshot;
	set_timer(d);
}

/*
 * Whether a request was done in time has to be known after the rollback, which
 * leaves nothing in memory and has no room to pass it on: but the timer is the
 * kernel's. Done in time is a timer that does not run any more.
 */
static void stop_if_in_time(struct deadline *d)
{
	const struct itimerspec never = { 0 };

	if (now() < d->ns && is_mine(d))
		sys_4(__NR_timer_settime, d->timer, 0, (long)&never, 0);
}

static bool was_in_time(struct deadline *d)
{
	struct itimerspec when;

	return !sys_3(__NR_timer_gettime, d->timer, (long)&when, 0) && !when.it_interval.tv_nsec;
}

static void finish(struct deadline *d)
{
	const mask_t signal = MASK(d->signal);
	struct timespec at_once = { 0, 0 };
	const bool mine = is_mine(d);

	innermost = d->outer;
	if (mine && !d->outer)
		sys_3(__NR_timer_delete, d->timer, 0, 0);
	/* What expired meanwhile is pending; an outer deadline comes again. */
	while (sys_4(__NR_rt_sigtimedwait, (long)&signal, 0, (long)&at_once, sizeof(signal)) > 0)
		;
	if (!d->outer)
		release_signal(d->signal);
	else if (mine)
		set_timer(d->outer);
}

static int check(const struct lwc_request *rq)
{
	const unsigned char *tail = (const unsigned char *)(rq + 1);
	size_t i;

	if (rq->size < sizeof(*rq))
		return -EINVAL;
	if (rq->size > 4096)
		return -E2BIG;
	for (i = 0; i < rq->size - sizeof(*rq); i++) {
		if (tail[i])
			return -E2BIG;
	}
	for (i = 0; i < sizeof(rq->reserved) / sizeof(rq->reserved[0]); i++) {
		if (rq->reserved[i])
			return -EINVAL;
	}
	return 0;
}

/*
 * With all signals blocked; @blocked are those that the caller had blocked. @d is
 * NULL without a deadline.
 */
static int run(const struct lwc_request *rq, long (*fn)(void *), void *arg, struct deadline *d,
	       mask_t blocked, long *value)
{
	struct deadline *nearest = d ? d : innermost_mine();
	mask_t inside = mask_inside(blocked);
	struct lwc_event ev;
	int ret;

	if (nearest)
		inside &= ~MASK(nearest->signal);
	ret = lwc_snapshot(-1, LWC_TRAP_FAULTS, &ev);
	if (ret)
		return ret;

	switch (ev.reason) {
	case LWC_EV_CREATED:
		if (d)
			start(d, rq->timeout_ms, ev.created);
		set_mask(inside);
		*value = fn(arg);
		set_mask(ALL_SIGNALS);
		if (d)
			stop_if_in_time(d);
		/* Comes back here only if it is refused. */
		ret = lwc_rollback(ev.created, (uint64_t)*value);
		/* @fn may have put something else at that number. */
		if (sys_ioctl(ev.created, LWC_IOC_KIND, NULL) == LWC_KIND_SNAPSHOT)
			lwc_close(ev.created);
		return ret;
	case LWC_EV_FAULT:
		ret = -EFAULT;
		break;
	default:
		*value = (long)ev.arg;
		ret = d && !was_in_time(d) ? -ETIME : 0;
	}
	lwc_close(ev.created);
	return ret;
}

int lwc_request_run(struct lwc_request *rq, long (*fn)(void *), void *arg, long *result)
{
	struct deadline deadline, *d = NULL;
	mask_t blocked;
	long value = 0;
	int ret;

	if (!rq || !fn)
		return -EFAULT;
	ret = check(rq);
	if (ret)
		return ret;

	blocked = set_mask(ALL_SIGNALS);
	if (rq->timeout_ms) {
		d = &deadline;
		ret = prepare(d, blocked);
	}
	if (!ret) {
		ret = run(rq, fn, arg, d, blocked, &value);
		if (d)
			finish(d);
	}
	set_mask(blocked);

	if (!ret && result)
		*result = value;
	return ret;
}
