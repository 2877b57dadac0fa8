// SPDX-License-Identifier: GPL-2.0
/*
 * Takes figures: runs batches of some work in a process of its own, and keeps what
 * they took. It must never give out a figure whose batches did not all run, nor
 * instructions from a clock that does not count them.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "bench.h"

#define MAX_FIGURES	512

struct shared *shared;
bool count_time, quick;

static const char * const event_names[EVENTS] = {
	"pages_copied", "compares", "duplicates", "faults",
};

static struct figure figures[MAX_FIGURES];
static int nfigures;

void die(const char *what, long error)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(error));
	exit(1);
}

const char *unit_of_cost(void)
{
	return count_time ? "ns" : "instructions";
}

int batches(void)
{
	if (quick)
		return 2;
	return count_time ? MAX_BATCHES : 5;
}

static uint64_t now(void)
{
	struct timespec t;
	uint32_t lo, hi;

	if (count_time) {
		clock_gettime(CLOCK_MONOTONIC_RAW, &t);
		return t.tv_sec * 1000000000ull + t.tv_nsec;
	}
	asm volatile("lfence\n\trdtsc\n\tlfence" : "=a" (lo), "=d" (hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

/* A loop of two instructions; how many ticks is one? */
double check_clock(void)
{
	const uint64_t n = 1000000;
	uint64_t start, ticks, best = UINT64_MAX;
	double tick;
	int i;

	for (i = 0; i < 5; i++) {
		uint64_t count = n;

		start = now();
		asm volatile("1: dec %0\n\tjnz 1b" : "+r" (count));
		ticks = now() - start;
		if (ticks < best)
			best = ticks;
	}
	tick = (double)best / (2 * n);
	if (!count_time && (tick < 0.99 || tick > 1.01)) {
		fprintf(stderr, "bench: an instruction takes %.4f ticks: this clock does not count them (see qemu/vm run --icount; --time counts nanoseconds)\n",
			tick);
		exit(1);
	}
	return tick;
}

/* Of the module; faults are of the kernel, and known without. */
static int counters[FAULTS];

static long read_event(enum event event)
{
	if (event != FAULTS)
		return counters[event] < 0 ? 0 : read_counter(counters[event]);
	if (getrusage(RUSAGE_SELF, &shared->usage))
		die("getrusage", errno);
	return shared->usage.ru_minflt;
}

void start_clock(void)
{
	int i;

	for (i = 0; i < EVENTS; i++)
		shared->events_before[i] = read_event(i);
	shared->start = now();
}

static void stop_clock(uint64_t *ticks)
{
	int i;

	*ticks = now() - shared->start;
	for (i = 0; i < EVENTS; i++)
		shared->events[i] += read_event(i) - shared->events_before[i];
}

/* What the child is to measure. */
static struct {
	const struct work *work;
	const struct shape *shape;
	long n;
} task;

/*
 * In the child. What must survive a rollback, or be the same in every context, is in
 * shared memory; @batch is as it was when a snapshot was taken within that batch.
 */
static void take(void)
{
	const struct work *work = task.work;
	const struct shape *shape = task.shape;
	long n = task.n;
	int batch, i;

	/* Pages are counted, so they are all of one size. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < FAULTS; i++)
		counters[i] = open_counter(event_names[i]);
	if (work->before)
		work->before(shape);
	/* One that does not count: caches of the kernel fill, code is paged in. */
	if (work->batch)
		work->batch();
	work->rounds(n > 10 ? 10 : n);
	memset(shared->events, 0, sizeof(shared->events));
	for (batch = 0; batch < batches(); batch++) {
		if (work->batch)
			work->batch();
		start_clock();
		work->rounds(n);
		stop_clock(&shared->ticks[batch]);
	}
	if (work->after)
		work->after();
	exit(0);
}

/*
 * On a stack of which what is in use lies in one page, whatever the environment is: it is
 * written, so it is copied, and a second page now and then would be noise.
 */
static void __attribute__((noreturn)) take_on_own_stack(void)
{
	static ucontext_t own;

	if (getcontext(&own))
		die("getcontext", errno);
	own.uc_stack.ss_size = 256 * 1024;
	own.uc_stack.ss_sp = memory(own.uc_stack.ss_size, MAP_PRIVATE);
	makecontext(&own, take, 0);
	setcontext(&own);
	die("setcontext", errno);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct figure *add(const char *id)
{
	struct figure *figure;
	int i;

	for (i = 0; i < nfigures; i++)
		if (!strcmp(figures[i].id, id))
			die(id, EEXIST);
	if (nfigures == MAX_FIGURES)
		die(id, ENOSPC);
	figure = &figures[nfigures++];
	snprintf(figure->id, sizeof(figure->id), "%s", id);
	return figure;
}

const struct figure *measure(const struct work *work, const struct shape *shape, long n)
{
	static const struct shape plain = { .pages = -1 };
	int count = batches(), status, fd, i;
	bool counted;
	struct figure *figure;
	char id[64];
	double per;
	pid_t pid;
	int len;

	if (!shape)
		shape = &plain;
	len = snprintf(id, sizeof(id), "%s", work->op);
	if (shape->mb)
		len += snprintf(id + len, sizeof(id) - len, "-%ldmb", shape->mb);
	if (shape->pages >= 0)
		len += snprintf(id + len, sizeof(id) - len, "-%ldp", shape->pages);
	if (shape->vmas)
		snprintf(id + len, sizeof(id) - len, "-%ldv", shape->vmas);
	fd = open_counter(event_names[0]);
	counted = fd >= 0;
	if (counted)
		close(fd);
	memset(shared, 0, sizeof(*shared));
	task = (typeof(task)){ work, shape, n };
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork", errno);
	if (!pid)
		take_on_own_stack();
	if (waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "bench: %s: ended with status %#x\n", id, status);
		exit(1);
	}
	qsort(shared->ticks, count, sizeof(shared->ticks[0]), compare);
	if (!shared->ticks[0])
		die(id, ENODATA);
	per = (double)n * work->units;
	figure = add(id);
	figure->op = work->op;
	figure->what = work->what;
	figure->unit = unit_of_cost();
	figure->ours = work->ours;
	figure->shape = *shape;
	figure->least = shared->ticks[0] / per;
	figure->median = (shared->ticks[(count - 1) / 2] + shared->ticks[count / 2]) / 2 / per;
	figure->most = shared->ticks[count - 1] / per;
	figure->quartile[0] = shared->ticks[count / 4] / per;
	figure->quartile[1] = shared->ticks[count - 1 - count / 4] / per;
	figure->value = count_time ? figure->median : figure->least;
	figure->counted = counted;
	for (i = 0; i < EVENTS; i++)
		figure->events[i] = shared->events[i] / (per * count);
	return figure;
}

const struct figure *derive(const char *id, const char *what, const char *unit, double value,
			    const char *from, ...)
{
	struct figure *figure = add(id);
	va_list ap;

	figure->op = figure->id;
	figure->what = what;
	figure->unit = unit;
	figure->ours = true;
	figure->shape.pages = -1;
	figure->value = value;
	va_start(ap, from);
	vsnprintf(figure->from, sizeof(figure->from), from, ap);
	va_end(ap);
	return figure;
}

/* NULL: was not measured in this run. */
const struct figure *find(const char *id, ...)
{
	char name[64];
	va_list ap;
	int i;

	va_start(ap, id);
	vsnprintf(name, sizeof(name), id, ap);
	va_end(ap);
	for (i = 0; i < nfigures; i++)
		if (!strcmp(figures[i].id, name))
			return &figures[i];
	return NULL;
}

void print_head(const char *head)
{
	printf("\n%-54s %14s%s\n", head, unit_of_cost(), count_time ? "  middle half" : "");
}

void print_figure(const struct figure *figure)
{
	char what[96];
	int len;

	len = snprintf(what, sizeof(what), "%s", figure->what);
	if (figure->shape.mb)
		snprintf(what + len, sizeof(what) - len, ", %ld MB", figure->shape.mb);
	printf("%-54s %14.*f", what, fabs(figure->value) < 100 ? 1 : 0, figure->value);
	if (count_time && !figure->from[0])
		printf("  %.0f..%.0f", figure->quartile[0], figure->quartile[1]);
	printf("\n");
	fflush(stdout);
}

void print_events_head(const char *head)
{
	printf("\n%-30s%13s%13s%13s%13s\n", head, "pages copied", "compares", "duplicates", "faults");
}

void print_events(const char *what, const struct figure *figure)
{
	int i;

	printf("%-30s", what);
	for (i = 0; i < EVENTS; i++)
		printf("%13.2f", figure->events[i]);
	printf("\n");
}

void print_json(FILE *f, double tick)
{
	const struct figure *figure;
	struct utsname name;
	int i, e;

	uname(&name);
	fprintf(f, "{\n  \"kernel\": \"%s\",\n  \"unit\": \"%s\",\n", name.release, unit_of_cost());
	fprintf(f, "  \"of_batches\": \"%s\",\n  \"batches\": %d,\n", count_time ? "median" : "best",
		batches());
	fprintf(f, "  \"ticks_per_instruction\": %.4f,\n  \"quick\": %s,\n", tick,
		quick ? "true" : "false");
	fprintf(f, "  \"figures\": {");
	for (i = 0; i < nfigures; i++) {
		figure = &figures[i];
		fprintf(f, "%s\n    \"%s\": { \"what\": \"%s\", \"unit\": \"%s\", \"value\": %.2f",
			i ? "," : "", figure->id, figure->what, figure->unit, figure->value);
		if (figure->ours)
			fprintf(f, ", \"ours\": true");
		if (figure->from[0]) {
			fprintf(f, ", \"from\": \"%s\" }", figure->from);
			continue;
		}
		fprintf(f, ", \"op\": \"%s\", \"mb\": %ld", figure->op, figure->shape.mb);
		if (figure->shape.pages >= 0)
			fprintf(f, ", \"pages\": %ld", figure->shape.pages);
		fprintf(f, ", \"vmas\": %ld, \"least\": %.2f, \"median\": %.2f, \"most\": %.2f",
			figure->shape.vmas, figure->least, figure->median, figure->most);
		for (e = 0; figure->counted && e < EVENTS; e++)
			fprintf(f, ", \"%s\": %.3f", event_names[e], figure->events[e]);
		fprintf(f, " }");
	}
	fprintf(f, "\n  }\n}\n");
}
