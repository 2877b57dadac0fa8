// SPDX-License-Identifier: GPL-2.0
/*
 * A request writes pages, and then is forgotten: by contexts, and by what else can do
 * that. A round is the request and what forgets it, ready for the next.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lwc.h>

#include "bench.h"

/* ---- a snapshot ---- */

static int snapshot;

static void take_snapshot(const struct shape *shape)
{
	struct lwc_event ev;
	int r;

	arrange(shape);
	r = lwc_snapshot(-1, 0, &ev);
	if (r)
		die("lwc_snapshot", -r);
	snapshot = ev.created;
}

static void rollback_rounds(long n)
{
	struct lwc_event ev;
	int r;

	shared->left = n;
	r = lwc_snapshot(snapshot, 0, &ev);
	if (r)
		die("lwc_snapshot", -r);
	if (ev.reason == LWC_EV_CREATED)
		start_clock();
	if (shared->left-- > 0) {
		write_pages();
		r = lwc_rollback(snapshot, 0);
		die("lwc_rollback", -r);
	}
}

static void rearm_rounds(long n)
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

/* ---- a context that is renewed ---- */

static int context;

static void make_context(const struct shape *shape)
{
	struct lwc_event ev;
	int r;

	arrange(shape);
	r = lwc_create(NULL, 0, 0, &ev);
	if (r)
		die("lwc_create", -r);
	if (ev.reason == LWC_EV_CREATED)
		context = ev.created;
	else
		die("a context that was not renewed", EPROTO);
}

static void renew_rounds(long n)
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
		r = lwc_switch(context, 0, 0, &ev);
		if (r)
			die("lwc_switch", -r);
	}
}

/* ---- pages that were written once, and are not any more ---- */

#define ONCE	1000

static void rollback_once(void)
{
	shared->pages = ONCE;
	rollback_rounds(1);
	shared->pages = 0;
}

static void rearm_once(void)
{
	shared->pages = ONCE;
	rearm_rounds(1);
	shared->pages = 0;
}

static void renew_once(void)
{
	shared->pages = ONCE;
	renew_rounds(1);
	shared->pages = 0;
}

/* ---- without contexts ---- */

static void fork_rounds(long n)
{
	while (n--) {
		pid_t pid = fork();

		if (!pid) {
			write_pages();
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork", errno);
	}
}

static const struct work fork_request = {
	"fork_request", "a child a request", 1, false, arrange, .rounds = fork_rounds,
};

static char *copy;

static void make_copy(const struct shape *shape)
{
	arrange(shape);
	copy = memory((shape->pages + 1) * PAGE, MAP_PRIVATE | MAP_POPULATE);
}

/* The floor: whoever undoes writes must at least copy. */
static void copy_rounds(long n)
{
	while (n--) {
		write_pages();
		memcpy((void *)region, copy, shared->pages * PAGE);
		asm volatile("" : : : "memory");
	}
}

static const struct work copy_request = {
	"copy_request", "memcpy() of what was written", 1, false, make_copy, .rounds = copy_rounds,
};

static const struct work rollback = {
	"rollback", "lwc_rollback()", 1, true, take_snapshot, .rounds = rollback_rounds,
};

static const struct work rearm = {
	"rearm", "lwc_snapshot() again", 1, true, take_snapshot, .rounds = rearm_rounds,
};

static const struct work renew = {
	"renew", "lwc_renew(), there, back", 1, true, make_context, .rounds = renew_rounds,
};

static const struct work clean[] = {
	{ "rollback_clean", "lwc_rollback()", 1, true, take_snapshot, rollback_once,
	  .rounds = rollback_rounds },
	{ "rearm_clean", "lwc_snapshot() again", 1, true, take_snapshot, rearm_once,
	  .rounds = rearm_rounds },
	{ "renew_clean", "lwc_renew(), there, back", 1, true, make_context, renew_once,
	  .rounds = renew_rounds },
};

/*
 * One column each, ours first. What else throws writes away at the cost of what was
 * written belongs here: a line, and a struct work above.
 */
static const struct {
	const struct work *work;
	const char *head;
	bool whole;	/* its cost grows with what is mapped */
} columns[] = {
	{ &rollback, "rollback", false },
	{ &rearm, "re-arm", false },
	{ &renew, "renew", false },
	{ &copy_request, "memcpy", false },
	{ &uffd_request, "uffd-wp", false },
	{ &soft_dirty_request, "soft-dirty", true },
	{ &fork_request, "fork", true },
};

#define COLUMNS	(sizeof(columns) / sizeof(columns[0]))

static bool fits(long mb)
{
	return meminfo_kb("MemAvailable:") / 1024 > mb + mb / 16 + 100;
}

static long rounds_for(unsigned int column, const struct shape *shape)
{
	if (!columns[column].whole)
		return shape->pages > 100 ? 10 : 50;
	return shape->mb > 100 ? 1 : 3;
}

static void print_columns(const char *head)
{
	unsigned int i;

	printf("\n%-22s", head);
	for (i = 0; i < COLUMNS; i++)
		printf("%13s", columns[i].head);
	printf("\n");
}

static void measure_row(const char *head, const struct shape *shape, unsigned int ncolumns)
{
	unsigned int i;

	printf("%-22s", head);
	if (!fits(shape->mb)) {
		printf(" not measured: so much memory is not free here\n");
		return;
	}
	for (i = 0; i < ncolumns; i++) {
		printf("%13.0f", measure(columns[i].work, shape, rounds_for(i, shape))->value);
		fflush(stdout);
	}
	printf("\n");
}

static void measure_pages(void)
{
	static const long all[] = { 0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 };
	static const long few[] = { 0, 10, 100 };
	const long *pages = quick ? few : all;
	unsigned int n = quick ? 3 : 11, i;
	char head[32];

	print_columns("pages written, 100 MB");
	for (i = 0; i < n; i++) {
		snprintf(head, sizeof(head), "%ld", pages[i]);
		measure_row(head, &(struct shape){ .mb = 100, .pages = pages[i] }, COLUMNS);
	}
}

static void measure_mapped(void)
{
	static const long all[] = { 1, 10, 1024, 4096 };
	unsigned int n = quick ? 2 : 4, i;
	char head[32];

	/* With 100 MB it has been measured already. */
	print_columns("mapped, 10 pages");
	for (i = 0; i < n; i++) {
		snprintf(head, sizeof(head), "%ld MB", all[i]);
		measure_row(head, &(struct shape){ .mb = all[i], .pages = 10 }, COLUMNS);
	}
}

static void measure_vmas(void)
{
	static const long all[] = { 10, 1000 };
	unsigned int i;
	char head[32];

	print_columns("mappings, 10 pages");
	for (i = 0; i < 2; i++) {
		snprintf(head, sizeof(head), "%ld more", all[i]);
		measure_row(head, &(struct shape){ .mb = 10, .pages = 10, .vmas = all[i] }, 3);
	}
}

static void measure_clean(void)
{
	unsigned int i;

	print_head("1000 pages written once, then none");
	for (i = 0; i < sizeof(clean) / sizeof(clean[0]); i++)
		print_figure(measure(&clean[i], &(struct shape){ .mb = 100, .pages = -1 }, 4));
}

static double value(const char *op, const char *rest)
{
	const struct figure *figure = find("%s-%s", op, rest);

	return figure ? figure->value : 0;
}

/*
 * cost = fixed + pages copied * page, of which page is a difference, and how many are
 * copied is counted: the stack is always one of them. A renewed context is gone to and
 * left by two switches, which are counted elsewhere.
 */
static void derive_parts(unsigned int column)
{
	static const char * const shapes[] = {
		"10mb-10p", "100mb-10p", "1024mb-10p", "4096mb-10p", "10mb-10p-10v", "10mb-10p-1000v",
	};
	const char *op = columns[column].work->op, *unit = unit_of_cost();
	double page, switches = 0, c;
	char id[64], what[64], from[192];
	unsigned int i;

	page = (value(op, "100mb-100p") - value(op, "100mb-10p")) / 90;
	snprintf(id, sizeof(id), "%s_page", op);
	snprintf(what, sizeof(what), "%s: a page written", columns[column].head);
	print_figure(derive(id, what, unit, page, "(%s-100mb-100p - %s-100mb-10p) / 90", op, op));
	if (columns[column].work == &renew)
		switches = 2 * find("switch")->value;
	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct figure *of = find("%s-%s", op, shapes[i]);

		if (!of)
			continue;
		snprintf(id, sizeof(id), "%s_fixed-%s", op, shapes[i]);
		snprintf(what, sizeof(what), "%s: fixed part, %s", columns[column].head, shapes[i]);
		snprintf(from, sizeof(from), "%s - %.2f copied * %s_page%s", of->id,
			 of->events[PAGES_COPIED], op, switches ? " - 2 * switch" : "");
		print_figure(derive(id, what, unit,
				    of->value - of->events[PAGES_COPIED] * page - switches, "%s", from));
	}
	snprintf(id, sizeof(id), "%s_vma", op);
	snprintf(what, sizeof(what), "%s: a mapping", columns[column].head);
	print_figure(derive(id, what, unit,
			    (value(op, "10mb-10p-1000v") - value(op, "10mb-10p-10v")) / 990,
			    "(%s-10mb-10p-1000v - %s-10mb-10p-10v) / 990", op, op));
	c = find("%s_clean-100mb", op)->value - value(op, "100mb-0p");
	snprintf(id, sizeof(id), "%s_clean_page", op);
	snprintf(what, sizeof(what), "%s: a kept page that stayed clean", columns[column].head);
	print_figure(derive(id, what, unit, c / ONCE, "(%s_clean-100mb - %s-100mb-0p) / 1000", op, op));
}

void measure_requests(void)
{
	unsigned int i;

	printf("\nA request, and what forgets it\n");
	measure_pages();
	measure_mapped();
	measure_vmas();
	measure_clean();
	print_events_head("of each, 100 MB, 10 pages");
	for (i = 0; i < 3; i++)
		print_events(columns[i].head, find("%s-100mb-10p", columns[i].work->op));
	print_head("what that is made of");
	for (i = 0; i < 3; i++)
		derive_parts(i);
}
