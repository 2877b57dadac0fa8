// SPDX-License-Identifier: GPL-2.0
/*
 * referee.c - knows at every gate what the subject's state must be, and looks.
 *
 * It keeps the books of contexts and snapshots (struct context in struct control),
 * takes pictures before a call, and compares memory, mappings, registers, signal
 * mask and descriptors after it. It must never let a difference pass, nor an error
 * that the interface does not promise at that point.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

/* A subject that says nothing for so long has stopped; a debug kernel is slow. */
#define PATIENCE	300

static pid_t subject, poker;
static uint64_t dice;
static struct point pending;
static uint64_t different;		/* The address of a difference. */
static unsigned long gates, looks, witnesses;

static unsigned int below(unsigned int n)
{
	return next_random(&dice) % n;
}

/* Talking to the subject. */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Return: the phase that it asks for, 0: it has ended, with *status. */
static unsigned int wait_for_subject(int *status)
{
	struct timespec t = { .tv_nsec = 100000000 };
	double give_up = seconds() + PATIENCE;
	uint32_t phase;

	while (!(phase = __atomic_load_n(&C->request, __ATOMIC_SEQ_CST))) {
		syscall(SYS_futex, &C->request, FUTEX_WAIT, 0, &t, NULL, 0);
		if (waitpid(subject, status, WNOHANG) == subject) {
			subject = 0;
			return 0;
		}
		if (seconds() > give_up) {
			printf("# model: the subject has said nothing for %d s\n", PATIENCE);
			*status = -1;
			return 0;
		}
	}
	return phase;
}

static void let_go(unsigned int command)
{
	C->command = command;
	__atomic_store_n(&C->request, 0, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &C->request, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Has the subject make a system call, for which it writes to no memory. */
static long call(long nr, long a, long b, long c)
{
	int status;

	C->nr = nr;
	memset(C->args, 0, sizeof(C->args));
	C->args[0] = a;
	C->args[1] = b;
	C->args[2] = c;
	let_go(1);
	if (!wait_for_subject(&status)) {
		printf("# model: the subject ended in system call %ld, status %x\n", nr, status);
		return -ESRCH;
	}
	return C->ret;
}

/* Before. */

static void new_pattern(void)
{
	unsigned int i;

	for (i = 0; i < 9; i++)
		C->general[i] = next_random(&dice);
	for (i = 0; i < 16; i++) {
		C->vector[i][0] = next_random(&dice);
		C->vector[i][1] = next_random(&dice);
	}
}

static int take_point(int how)
{
	unsigned int kind = below(100);
	bool content = kind < 50, witness = kind >= 35;

	pending.how = how;
	pending.number = C->number;
	pending.image = image_take(subject, content ? TAKE_CONTENT : 0);
	if (witness) {
		/* A child of ours, as the subject must not have one that it did not make. */
		long pid = call(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0);

		if (pid <= 0) {
			printf("# model: no witness: %s\n", strerror(-pid));
			return -1;
		}
		witnesses++;
		image_set_witness(pending.image, pid);
		/* And it is what one expects of a fork. */
		if (!below(8) &&
		    image_compare(pending.image, pid, FORKED | ROLLED_BACK, &different))
			return -1;
	}
	pending.world = C->now;
	memcpy(pending.pattern.general, C->general, sizeof(C->general));
	memcpy(pending.pattern.vector, C->vector, sizeof(C->vector));
	pending.stack = C->left.stack;
	pending.mask = C->left.mask;
	pending.heap = C->left.heap;
	return 0;
}

/* Behind the subject's back, what changes no content. */
static void shuffle(void)
{
	unsigned int i, slot, n;

	if (C->can & CAN_SWAP && !below(3)) {
		for (i = 0; i < 4; i++) {
			n = 1 + below(128);
			slot = below(SLOTS - n);
			call(SYS_madvise, WINDOW + slot * PAGE_SIZE, n * PAGE_SIZE, MADV_PAGEOUT);
		}
	}
	if (!below(8))
		call(SYS_madvise, WINDOW, SLOTS * PAGE_SIZE, MADV_COLD);
	if (C->can & CAN_COLLAPSE && !below(12))
		call(SYS_madvise, WINDOW + SMALL_SLOTS * PAGE_SIZE, HUGE_PAGES * PAGE_SIZE,
		     25 /* MADV_COLLAPSE */);
	if (C->can & CAN_RECLAIM && !below(4))
		machine_toggle(OP_reclaim, 1 + below(3));
	if (C->can & CAN_ROOT && !below(200))
		machine_toggle(OP_compact, 0);
}

/*
 * Subject and referee are on one processor, as they wait for each other; now and then
 * both go to another one.
 */
static void move_to_processor(unsigned int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(0, sizeof(set), &set) ||
	    sched_setaffinity(subject, sizeof(set), &set)) {
		perror("# model: processor");
		abort();
	}
}

static void drop(struct point *p)
{
	if (p->image >= 0)
		image_drop(p->image);
	p->image = -1;
}

static void forget_snapshots(struct context *c, unsigned int from)
{
	while (c->snapshots > from)
		drop(&c->snapshot[--c->snapshots].point);
}

static void forget_context(struct context *c)
{
	forget_snapshots(c, 0);
	drop(&c->left);
	if (c->has_kept)
		drop(&c->kept);
	memset(c, 0, sizeof(*c));
	c->left.image = -1;
}

/* Takes one out of the list, which stays in the order of their age. */
static struct snapshot take_out(struct context *c, unsigned int n)
{
	struct snapshot s = c->snapshot[n];

	memmove(&c->snapshot[n], &c->snapshot[n + 1],
		(c->snapshots - n - 1) * sizeof(s));
	c->snapshots--;
	return s;
}

static int close_one(void)
{
	struct context *here = &C->context[C->where];
	struct snapshot s;
	long r;

	if (C->gate == OP_close_context) {
		r = call(SYS_close, C->context[C->chosen].fd, 0, 0);
		forget_context(&C->context[C->chosen]);
	} else {
		s = take_out(here, C->chosen);
		r = call(SYS_close, s.fd, 0, 0);
		drop(&s.point);
		here->has_closed = true;
	}
	if (r)
		printf("# model: close: %s\n", strerror(-r));
	return r ? -1 : 0;
}

static int before(void)
{
	int bad = 0;

	gates++;
	C->tried[C->gate]++;
	new_pattern();
	if (!below(16))
		move_to_processor(below(get_nprocs()));
	pending.image = -1;
	switch (C->gate) {
	case OP_close_snapshot:
	case OP_close_context:
		return close_one();
	case OP_snapshot:
	case OP_watched:
	case OP_rearm:
		bad = take_point(ROLLED_BACK);
		break;
	case OP_create:
	case OP_renew:
		bad = take_point(FORKED | ROLLED_BACK);
		break;
	case OP_switch:
	case OP_fresh:
		bad = take_point(AS_LEFT);
		break;
	default:
		break;
	}
	if (!bad)
		shuffle();
	return bad;
}

/* After. */

static int wrong(const char *what, uint64_t expected, uint64_t found)
{
	if (expected == found)
		return 0;
	printf("# model: %s: expected %" PRIx64 ", found %" PRIx64 "\n", what, expected, found);
	return -1;
}

static int registers_differ(const struct point *p)
{
	static const char * const names[] = {
		"rbx", "rbp", "r8", "r9", "r10", "r12", "r13", "r14", "r15",
	};
	unsigned int i;

	for (i = 0; i < 9; i++)
		if (wrong(names[i], p->pattern.general[i], C->seen_general[i]))
			return -1;
	for (i = 0; i < 16; i++)
		if (wrong("xmm", p->pattern.vector[i][0], C->seen_vector[i][0]) ||
		    wrong("xmm", p->pattern.vector[i][1], C->seen_vector[i][1]))
			return -1;
	return wrong("rsp", p->stack, C->seen.stack) ||
	       wrong("signal mask", p->mask, C->seen.mask) ||
	       wrong("end of the heap", p->heap, C->seen.heap) ? -1 : 0;
}

/* The module's own descriptors are those that the books say, and no others. */
static int capabilities_differ(const struct table *now)
{
	const struct context *here = &C->context[C->where];
	unsigned int i, j, n = 0;

	for (i = 0; i < here->snapshots; i++) {
		for (j = 0; j < now->snapshots; j++)
			n += now->snapshot[j] == here->snapshot[i].fd;
	}
	if (n != here->snapshots || n != now->snapshots) {
		printf("# model: %u snapshots are expected, %u of them found, of %u\n",
		       here->snapshots, n, now->snapshots);
		return -1;
	}
	n = 0;
	if (C->where) {
		if (now->contexts == 1 && now->context[0] == here->caller)
			return 0;
		n = 1;
	} else {
		for (i = 1; i < CONTEXTS; i++)
			n += C->context[i].exists;
		for (i = 1, j = 0; i < CONTEXTS; i++) {
			for (unsigned int k = 0; C->context[i].exists && k < now->contexts; k++)
				j += now->context[k] == C->context[i].fd;
		}
		if (j == n && now->contexts == n)
			return 0;
	}
	printf("# model: %u contexts' descriptors are expected, found %u:", n, now->contexts);
	for (i = 0; i < now->contexts; i++)
		printf(" %d", now->context[i]);
	printf("\n");
	return -1;
}

/* Is the subject at this point now? */
static int differs(const struct point *p, int how)
{
	static struct table now;

	looks++;
	if (registers_differ(p))
		return -1;
	table_take(subject, &now);
	if (table_compare(image_table(p->image), &now) || capabilities_differ(&now))
		return -1;
	return image_compare(p->image, subject, how, &different);
}

static int event_is(uint32_t reason, int created, int caller, uint64_t arg)
{
	return wrong("event's reason", reason, C->event.reason) ||
	       wrong("event's created", created, C->event.created) ||
	       wrong("event's caller", caller, C->event.caller) ||
	       (reason != LWC_EV_CREATED && wrong("event's arg", arg, C->event.arg)) ? -1 : 0;
}

/* A call that changes nothing here. Looked at now and then, as it costs time. */
static int unchanged(void)
{
	return !below(6) ? differs(&pending, AS_LEFT) : registers_differ(&pending);
}

static int after_snapshot(struct context *here)
{
	int fd = C->event.created;

	if (C->gate == OP_rearm) {
		struct snapshot s = take_out(here, C->chosen);

		drop(&s.point);
		fd = s.fd;
	}
	here->snapshot[here->snapshots].fd = fd;
	here->snapshot[here->snapshots++].point = pending;
	return event_is(LWC_EV_CREATED, fd, -1, 0) || unchanged() ? -1 : 0;
}

static int after_rollback(struct context *here)
{
	struct snapshot *s = &here->snapshot[C->chosen];
	unsigned int i;

	forget_snapshots(here, C->chosen + 1);
	for (i = 1; i < CONTEXTS && !C->where; i++)
		if (C->context[i].exists && C->context[i].born > s->point.number)
			forget_context(&C->context[i]);
	C->now = s->point.world;
	return event_is(LWC_EV_ROLLBACK, s->fd, -1, C->number) || differs(&s->point, s->point.how) ?
	       -1 : 0;
}

static int after_create(void)
{
	struct context *c = &C->context[C->chosen];

	if (C->gate == OP_create) {
		forget_context(c);
		c->exists = true;
		c->fd = C->event.created;
		c->born = C->number;
		c->has_kept = C->call.create.flags & LWC_KEEP;
	} else {
		forget_snapshots(c, 0);
		c->has_closed = false;
		drop(&c->left);
		if (c->has_kept)
			drop(&c->kept);
	}
	c->left = pending;
	if (c->has_kept) {
		c->kept = pending;
		image_hold(pending.image);
	}
	return event_is(LWC_EV_CREATED, c->fd, -1, 0) || unchanged() ? -1 : 0;
}

static int after_switch(struct context *from)
{
	struct context *to = &C->context[C->chosen];
	int caller = C->chosen ? C->event.caller : from->fd, bad;

	drop(&from->left);
	if (C->gate == OP_discard) {
		from->left = from->kept;
		image_hold(from->kept.image);
	} else {
		from->left = pending;
	}
	if (C->gate == OP_fresh) {
		drop(&to->left);
		to->left = to->kept;
		image_hold(to->kept.image);
	}
	C->where = C->chosen;
	C->now = to->left.world;
	to->caller = caller;
	bad = event_is(LWC_EV_SWITCH, -1, caller, C->number) ||
	      differs(&to->left, to->left.how) ? -1 : 0;
	drop(&to->left);
	return bad;
}

static void after_keep(void)
{
	struct context *c = &C->context[C->chosen];

	drop(&c->kept);
	c->kept = c->left;
	image_hold(c->kept.image);
	/* What a fork leaves out is left out for good, and this is wiped each time. */
	c->kept.how |= ROLLED_BACK;
}

static int after(void)
{
	struct context *here = &C->context[C->where];
	struct entry *e = &C->log[C->number % LOG];

	if (C->gate == OP_close_snapshot || C->gate == OP_close_context) {
		C->done[C->gate]++;
		return 0;
	}
	e->result = C->result;
	e->address = C->chosen;
	e->size = 0;
	if (C->gate == OP_watched) {
		if (wrong("result of a snapshot of what is watched", -EOPNOTSUPP, C->result) ||
		    differs(&pending, AS_LEFT))
			return -1;
		drop(&pending);
		C->done[C->gate]++;
		return 0;
	}
	if (C->result == -EOPNOTSUPP && (C->gate == OP_snapshot || C->gate == OP_rearm) &&
	    image_is_special(pending.image)) {
		C->refused++;
		if (differs(&pending, AS_LEFT))
			return -1;
		drop(&pending);
		return 0;
	}
	if (C->result == -EOPNOTSUPP && C->gate == OP_keep &&
	    image_is_special(C->context[C->chosen].left.image)) {
		C->refused++;
		return 0;
	}
	if (C->result < 0) {
		printf("# model: %s: %s\n", operation_names[C->gate], strerror(-C->result));
		return -1;
	}
	C->done[C->gate]++;
	switch (C->gate) {
	case OP_snapshot:
	case OP_rearm:
		return after_snapshot(here);
	case OP_rollback:
		return after_rollback(here);
	case OP_create:
	case OP_renew:
		return after_create();
	case OP_switch:
	case OP_fresh:
	case OP_discard:
		return after_switch(here);
	default:
		after_keep();
		return 0;
	}
}

/* What a difference is worth knowing. */

static void say_entry(const struct entry *e)
{
	printf("#   %7u in context %u: %s", e->number, e->context, operation_names[e->operation]);
	if (e->size)
		printf(" %" PRIx64 "+%" PRIx64, e->address, e->size);
	else if (e->address)
		printf(" %" PRIu64, e->address);
	if (e->result > 0x10000)
		printf(" = %" PRIx64 "\n", e->result);
	else
		printf(" = %" PRId64 "\n", e->result);
}

static bool touches(const struct entry *e, uint64_t page)
{
	/* A move's result is where it went. */
	bool moved = (e->operation == OP_move || e->operation == OP_move_content) &&
		     e->result > 0;
	uint64_t to = moved ? (uint64_t)e->result : e->address;

	return e->operation >= OP_snapshot ||
	       (e->size && ((e->address < page + PAGE_SIZE && page < e->address + e->size) ||
			    (to < page + PAGE_SIZE && page < to + e->size)));
}

static void say_log(const char *title, uint64_t page, unsigned int most)
{
	uint32_t first = C->number > LOG ? C->number - LOG + 1 : 0, i, found = 0;

	printf("# %s\n", title);
	for (i = C->number + 1; i-- > first && found < most;)
		found += !page || touches(&C->log[i % LOG], page);
	for (i++; i <= C->number; i++)
		if (!page || touches(&C->log[i % LOG], page))
			say_entry(&C->log[i % LOG]);
}

/* As qemu/vm knows it. */
static const char *kernel(void)
{
	static struct utsname name;

	uname(&name);
	return strstr(name.release, "debug") ? "debug" : name.release;
}

static void say_failure(void)
{
	printf("# model: seed %" PRIu64 ", operation %u (%s), in context %u\n", C->seed, C->number,
	       operation_names[C->log[C->number % LOG].operation], C->where);
	if (different)
		say_log("the last operations on that page, and all gates between:",
			different & -PAGE_SIZE, 80);
	say_log("the last operations:", 0, 25);
	/* What a user may not do is never chosen, so the operations are others. */
	printf("# replay: qemu/vm run --kernel %s -- sh -c '%sbuild/selftests/model %" PRIu64 " %u'\n",
	       kernel(), C->can & CAN_ROOT ? "" :
	       "setpriv --reuid 65534 --regid 65534 --groups $(stat -c %g /dev/lwc) --inh-caps=-all ",
	       C->seed, C->operations);
}

static int judge_end(int status)
{
	if (!status && C->number == C->operations)
		return 0;
	printf("# model: the subject ended with status %x", status);
	if (C->crash_ip)
		printf(": address %" PRIx64 " at %" PRIx64, C->crash_address, C->crash_ip);
	printf("\n");
	return -1;
}

/* Return: 0 when it has gone well to the end. */
static int watch(void)
{
	int status, bad = 0;

	while (!bad) {
		switch (wait_for_subject(&status)) {
		case PHASE_BEFORE:
			bad = before();
			break;
		case PHASE_AFTER:
			bad = after();
			break;
		default:
			return judge_end(status);
		}
		if (!bad)
			let_go(0);
	}
	return -1;
}

/* Did enough of everything happen? */
static int too_little(const long counted[N_COUNTERS])
{
	static const struct {
		unsigned int least, can;
	} table[] = {
#define LINE(name, weight, least, can) { least, can },
		OPERATIONS(LINE)
#undef LINE
	};
	unsigned int i;
	int bad = 0;

	for (i = 0; i < N_OPERATIONS; i++) {
		unsigned long least = (unsigned long)table[i].least * C->number / 10000;

		/* Of what is rare a short run may have none. */
		if ((C->can & table[i].can) != table[i].can || least < 10 || C->done[i] >= least)
			continue;
		printf("# model: seed %" PRIu64 ": %s was done %u times of %u, at least %lu wanted\n",
		       C->seed, operation_names[i], C->done[i], C->tried[i], least);
		bad = -1;
	}
	/* All address spaces are made equal in one of these ways. */
	if (C->number >= 4000 && (counted[PAGES_COPIED] < C->number / 20 ||
				  counted[COMPARES] < 10 || counted[DUPLICATES] < 10)) {
		printf("# model: only %ld pages were copied, with %ld compares and %ld duplicates\n",
		       counted[PAGES_COPIED], counted[COMPARES], counted[DUPLICATES]);
		bad = -1;
	}
	if (C->can & CAN_ROOT && C->number >= 4000 && (counted[PAGES_KEPT] < C->number / 20 ||
						       counted[AGED] < C->number / 10000)) {
		printf("# model: only %ld pages were kept, and aged %ld times\n",
		       counted[PAGES_KEPT], counted[AGED]);
		bad = -1;
	}
	if (C->can & CAN_SWAP && shown.swapped < C->number / 20) {
		printf("# model: only %lu pages were found swapped\n", shown.swapped);
		bad = -1;
	}
	if (C->can & CAN_ROOT && counted[HUGE_MAPPINGS_SPLIT] >= 0 && C->number >= 4000 &&
	    counted[HUGE_MAPPINGS_SPLIT] < 4) {
		printf("# model: only %ld huge mappings were split\n",
		       counted[HUGE_MAPPINGS_SPLIT]);
		bad = -1;
	}
	return bad;
}

static void say_statistics(const long counted[N_COUNTERS], double time)
{
	unsigned int i;

	printf("#: seed %" PRIu64 ": %u operations in %.0f s, %lu gates, %lu looks, %lu witnesses, %u snapshots and keeps refused\n",
	       C->seed, C->number, time, gates, looks, witnesses, C->refused);
	printf("#: pages: %lu compared, %lu the same frame, %lu copied, %lu found swapped; most at once: %lu pages, %lu areas\n",
	       shown.compared, shown.same_frame, shown.pages, shown.swapped, shown.most_pages,
	       shown.most_areas);
	printf("#: machine:");
	for (i = 0; i < N_COUNTERS; i++)
		if (counted[i] >= 0)
			printf(" %s %ld,", counter_names[i], counted[i]);
	printf("\n#: done of tried:");
	for (i = 0; i < N_OPERATIONS; i++)
		if (C->tried[i])
			printf(" %s %u/%u", operation_names[i], C->done[i], C->tried[i]);
	printf("\n");
}

/* What the subject has open, at numbers out of the way. */
static void move_to(int *fd, int number)
{
	int from = *fd;

	if (from < 0 || dup3(from, number, O_CLOEXEC) < 0) {
		perror("# model: a file of the test");
		exit(1);
	}
	close(from);
	*fd = number;
}

static void open_files(void)
{
	uint64_t page[PAGE_SIZE / 8];
	unsigned int i, j;

	C->device = open("/dev/lwc", O_RDWR | O_CLOEXEC);
	move_to(&C->device, FD_DEVICE);
	C->file = memfd_create("model", MFD_CLOEXEC);
	move_to(&C->file, FD_FILE);
	for (i = 0; i < 64; i++) {
		for (j = 0; j < PAGE_SIZE / 8; j++)
			page[j] = 0xf11e0000 + i * 512 + j;
		if (write(C->file, page, PAGE_SIZE) != PAGE_SIZE)
			exit(1);
	}
	C->shared = memfd_create("shared", MFD_CLOEXEC);
	move_to(&C->shared, FD_SHARED);
	C->shrinking = memfd_create("shrinking", MFD_CLOEXEC);
	move_to(&C->shrinking, FD_SHRINKING);
	if (ftruncate(C->shared, 64 * PAGE_SIZE))
		exit(1);
	for (i = 0; i < SHRINKING_PAGES; i++) {
		for (j = 0; j < PAGE_SIZE / 8; j++)
			page[j] = 0x5417000 + i * 512 + j;
		if (write(C->shrinking, page, PAGE_SIZE) != PAGE_SIZE)
			exit(1);
		C->history[i].versions = 1;
		C->history[i].version[0].original = true;
		C->history[i].version[0].first = page[0];
	}
	C->program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	move_to(&C->program, FD_PROGRAM);
	C->program_size = lseek(C->program, 0, SEEK_END);
	C->direct = machine_open_direct();
	if (C->direct >= 0)
		move_to(&C->direct, FD_DIRECT);
	if (pipe(C->pipe))
		exit(1);
	move_to(&C->pipe[0], FD_PIPE);
	move_to(&C->pipe[1], FD_PIPE + 1);
}

static pid_t start(void (*run)(void))
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
	}
	return pid;
}

static void end(pid_t pid)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static void subject_start(void)
{
	C->subject = getpid();
	subject_run();
}

int referee_run(void)
{
	long first[N_COUNTERS], counted[N_COUNTERS];
	double begun = seconds();
	unsigned int i, j;
	int bad;

	open_files();
	dice = C->seed * 0x9e3779b97f4a7c15ull + 1;
	C->random = dice * 3;
	C->where = 0;
	for (i = 0; i < CONTEXTS; i++)
		C->context[i].left.image = -1;
	machine_counters(first);
	poker = start(poker_run);
	subject = start(subject_start);
	move_to_processor(0);
	bad = watch();
	if (bad)
		say_failure();
	end(subject);
	end(poker);
	for (i = 0; i < CONTEXTS; i++)
		forget_context(&C->context[i]);
	if (pending.image >= 0 && bad)
		/* It may be in the books or not; its witness must go in any case. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	machine_counters(counted);
	for (j = 0; j < SAME_MERGED; j++)
		if (counted[j] >= 0)
			counted[j] -= first[j];
	if (!bad) {
		bad = too_little(counted);
		say_statistics(counted, seconds() - begun);
	}
	fflush(stdout);
	return bad;
}
