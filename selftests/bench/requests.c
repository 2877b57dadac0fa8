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

/* ---- a context with a kept state, which it is put back to when entered, or left ---- */

static void make_kept_context(const struct shape *shape, unsigned int leave)
{
	struct lwc_event ev;
	int r;

	arrange(shape);
	r = lwc_create(NULL, 0, LWC_KEEP, &ev);
	if (r)
		die("lwc_create", -r);
	if (ev.reason == LWC_EV_CREATED) {
		context = ev.created;
		return;
	}
	/* Each time from here: it never comes back from this. */
	write_pages();
	r = lwc_switch(ev.caller, leave, 0, &ev);
	die("a context that was not put back", r ? -r : EPROTO);
}

static void make_fresh_context(const struct shape *shape)
{
	make_kept_context(shape, 0);
}

static void make_discarding_context(const struct shape *shape)
{
	make_kept_context(shape, LWC_DISCARD);
}

static void enter(long n, unsigned int flags)
{
	struct lwc_event ev;
	int r;

	while (n--) {
		r = lwc_switch(context, flags, 0, &ev);
		if (r)
			die("lwc_switch", -r);
	}
}

static void fresh_rounds(long n)
{
	enter(n, LWC_FRESH);
}

static void discard_rounds(long n)
{
	enter(n, 0);
}

/* ---- pages that were written once, and are not any more ---- */

#define ONCE	1000

static void write_once(void (*rounds)(long n))
{
	shared->pages = ONCE;
	rounds(1);
	shared->pages = 0;
}

static void rollback_once(void)
{
	write_once(rollback_rounds);
}

static void rearm_once(void)
{
	write_once(rearm_rounds);
}

/* These take back with the next round, which is to be over when the clock starts. */

static void renew_once(void)
{
	write_once(renew_rounds);
	renew_rounds(1);
}

static void fresh_once(void)
{
	write_once(fresh_rounds);
	fresh_rounds(1);
}

static void discard_once(void)
{
	write_once(discard_rounds);
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

/*
 * One column each, ours first. What else throws writes away at the cost of what was
 * written belongs here, with a second line where pages are written once and then none.
 */
static const struct {
	const char *head;
	struct work work, clean;
	bool there;	/* a round has two switches in it */
} ours[] = {
	{ "rollback",
	  { "rollback", "lwc_rollback()", 1, true, take_snapshot, .rounds = rollback_rounds },
	  { "rollback_clean", "lwc_rollback()", 1, true, take_snapshot, rollback_once,
	    .rounds = rollback_rounds }, false },
	{ "re-arm",
	  { "rearm", "lwc_snapshot() again", 1, true, take_snapshot, .rounds = rearm_rounds },
	  { "rearm_clean", "lwc_snapshot() again", 1, true, take_snapshot, rearm_once,
	    .rounds = rearm_rounds }, false },
	{ "renew",
	  { "renew", "lwc_renew(), there, back", 1, true, make_context, .rounds = renew_rounds },
	  { "renew_clean", "lwc_renew(), there, back", 1, true, make_context, renew_once,
	    .rounds = renew_rounds }, true },
	{ "fresh",
	  { "fresh", "there by LWC_FRESH, back", 1, true, make_fresh_context,
	    .rounds = fresh_rounds },
	  { "fresh_clean", "there by LWC_FRESH, back", 1, true, make_fresh_context, fresh_once,
	    .rounds = fresh_rounds }, true },
	{ "discard",
	  { "discard", "there, back by LWC_DISCARD", 1, true, make_discarding_context,
	    .rounds = discard_rounds },
	  { "discard_clean", "there, back by LWC_DISCARD", 1, true, make_discarding_context,
	    discard_once, .rounds = discard_rounds }, true },
};

#define OURS	(sizeof(ours) / sizeof(ours[0]))

static const struct {
	const char *head;
	const struct work *work;
	bool whole;	/* its cost grows with what is mapped */
} peers[] = {
	{ "memcpy", &copy_request, false },
	{ "uffd-wp", &uffd_request, false },
	{ "soft-dirty", &soft_dirty_request, true },
	{ "fork", &fork_request, true },
};

#define PEERS	(sizeof(peers) / sizeof(peers[0]))

static bool fits(long mb)
{
	return meminfo_kb("MemAvailable:") / 1024 > mb + mb / 16 + 100;
}

static void print_columns(const char *head, bool with_peers)
{
	unsigned int i;

	printf("\n%-22s", head);
	for (i = 0; i < OURS; i++)
		printf("%11s", ours[i].head);
	for (i = 0; with_peers && i < PEERS; i++)
		printf("%11s", peers[i].head);
	printf("\n");
}

static void measure_column(const struct work *work, const struct shape *shape, long n)
{
	printf("%11.0f", measure(work, shape, n)->value);
	fflush(stdout);
}

static void measure_row(const char *head, const struct shape *shape, bool with_peers)
{
	long n = shape->pages > 100 ? 10 : 50;
	unsigned int i;

	printf("%-22s", head);
	if (!fits(shape->mb)) {
		printf(" not measured: so much memory is not free here\n");
		return;
	}
	for (i = 0; i < OURS; i++)
		measure_column(&ours[i].work, shape, n);
	for (i = 0; with_peers && i < PEERS; i++)
		measure_column(peers[i].work, shape,
			       !peers[i].whole ? n : shape->mb > 100 ? 1 : 3);
	printf("\n");
}

static void measure_pages(void)
{
	static const long all[] = { 0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 };
	static const long few[] = { 0, 10, 100 };
	const long *pages = quick ? few : all;
	unsigned int n = quick ? 3 : 11, i;
	char head[32];

	print_columns("pages written, 100 MB", true);
	for (i = 0; i < n; i++) {
		snprintf(head, sizeof(head), "%ld", pages[i]);
		measure_row(head, &(struct shape){ .mb = 100, .pages = pages[i] }, true);
	}
}

static void measure_mapped(void)
{
	static const long all[] = { 1, 10, 1024, 4096 };
	unsigned int n = quick ? 2 : 4, i;
	char head[32];

	/* With 100 MB it has been measured already. */
	print_columns("mapped, 10 pages", true);
	for (i = 0; i < n; i++) {
		snprintf(head, sizeof(head), "%ld MB", all[i]);
		measure_row(head, &(struct shape){ .mb = all[i], .pages = 10 }, true);
	}
}

static void measure_vmas(void)
{
	static const long all[] = { 10, 1000 };
	unsigned int i;
	char head[32];

	print_columns("mappings, 10 pages", false);
	for (i = 0; i < 2; i++) {
		snprintf(head, sizeof(head), "%ld more", all[i]);
		measure_row(head, &(struct shape){ .mb = 10, .pages = 10, .vmas = all[i] },
			    false);
	}
}

static void measure_clean(void)
{
	unsigned int i;

	print_head("1000 pages written once, then none");
	for (i = 0; i < OURS; i++)
		print_figure(measure(&ours[i].clean, &(struct shape){ .mb = 100, .pages = -1 }, 4));
}

static double value(const char *op, const char *rest)
{
	const struct figure *figure = find("%s-%s", op, rest);

	return figure ? figure->value : 0;
}

/*
 * cost = fixed + pages copied * page, of which page is a difference, and how many are
 * copied is counted: the stack is always one of them. Where a context is gone to and left
 * there are two switches in it, which are counted elsewhere.
 */
static void derive_parts(unsigned int which)
{
	static const char * const shapes[] = {
		"10mb-10p", "100mb-10p", "1024mb-10p", "4096mb-10p", "10mb-10p-10v", "10mb-10p-1000v",
	};
	const char *op = ours[which].work.op, *head = ours[which].head, *unit = unit_of_cost();
	double page, switches = 0, c;
	char id[64], what[64], from[192];
	unsigned int i;

	page = (value(op, "100mb-100p") - value(op, "100mb-10p")) / 90;
	snprintf(id, sizeof(id), "%s_page", op);
	snprintf(what, sizeof(what), "%s: a page written", head);
	print_figure(derive(id, what, unit, page, "(%s-100mb-100p - %s-100mb-10p) / 90", op, op));
	if (ours[which].there)
		switches = 2 * find("switch")->value;
	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct figure *of = find("%s-%s", op, shapes[i]);

		if (!of)
			continue;
		snprintf(id, sizeof(id), "%s_fixed-%s", op, shapes[i]);
		snprintf(what, sizeof(what), "%s: fixed part, %s", head, shapes[i]);
		snprintf(from, sizeof(from), "%s - %.2f copied * %s_page%s", of->id,
			 of->events[PAGES_COPIED], op, switches ? " - 2 * switch" : "");
		print_figure(derive(id, what, unit,
				    of->value - of->events[PAGES_COPIED] * page - switches, "%s", from));
	}
	snprintf(id, sizeof(id), "%s_vma", op);
	snprintf(what, sizeof(what), "%s: a mapping", head);
	print_figure(derive(id, what, unit,
			    (value(op, "10mb-10p-1000v") - value(op, "10mb-10p-10v")) / 990,
			    "(%s-10mb-10p-1000v - %s-10mb-10p-10v) / 990", op, op));
	c = find("%s_clean-100mb", op)->value - value(op, "100mb-0p");
	snprintf(id, sizeof(id), "%s_clean_page", op);
	snprintf(what, sizeof(what), "%s: a kept page that stayed clean", head);
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
	for (i = 0; i < OURS; i++)
		print_events(ours[i].head, find("%s-100mb-10p", ours[i].work.op));
	print_head("what that is made of");
	for (i = 0; i < OURS; i++)
		derive_parts(i);
}
