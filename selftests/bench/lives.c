// SPDX-License-Identifier: GPL-2.0
/*
 * Made and ended: a context, a snapshot, a child process.
 */
#include <errno.h>

#include <lwc.h>

#include "bench.h"

static void create_rounds(long n)
{
	struct lwc_event ev;
	int r;

	while (n--) {
		r = lwc_create(NULL, 0, 0, &ev);
		if (!r)
			r = lwc_close(ev.created);
		if (r)
			die("lwc_create", -r);
	}
}

static void snapshot_rounds(long n)
{
	struct lwc_event ev;
	int r;

	while (n--) {
		r = lwc_snapshot(-1, 0, &ev);
		if (!r)
			r = lwc_close(ev.created);
		if (r)
			die("lwc_snapshot", -r);
	}
}

static struct lwc_pool *pool;

static long nothing(void *state, uint64_t arg)
{
	(void)state;
	return arg;
}

/* The first run makes the context, and does not count. */
static void open_pool(const struct shape *shape)
{
	int r;

	arrange(shape);
	r = lwc_pool_open(NULL, 0, 1, nothing, NULL, &pool);
	if (r)
		die("lwc_pool_open", -r);
}

static void pool_rounds(long n)
{
	long result;
	int r;

	while (n--) {
		r = lwc_pool_run(pool, n, &result);
		if (r || result != n)
			die("lwc_pool_run", r ? -r : EPROTO);
	}
}

static const struct work lives[] = {
	{ "fork", "fork(), exit, wait", 1, false, arrange, .rounds = fork_exit_wait_rounds },
	{ "create", "lwc_create(), close", 1, true, arrange, .rounds = create_rounds },
	{ "snapshot", "lwc_snapshot() of a new one, close", 1, true, arrange, .rounds = snapshot_rounds },
	{ "pool", "lwc_pool_run() of what does nothing", 1, true, open_pool,
	  .rounds = pool_rounds },
};

void measure_lives(void)
{
	static const struct { long mb, n; } sizes[] = { { 0, 50 }, { 10, 10 }, { 100, 2 } };
	unsigned int size, i;

	print_head("made and ended");
	for (size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++)
		for (i = 0; i < sizeof(lives) / sizeof(lives[0]); i++)
			print_figure(measure(&lives[i],
					     &(struct shape){ .mb = sizes[size].mb, .pages = -1 },
					     sizes[size].n));
}
