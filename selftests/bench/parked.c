// SPDX-License-Identifier: GPL-2.0
/*
 * The memory that a parked context of a small process takes: so many are made, entered
 * once and left, in several processes, and the machine is asked what it has still.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lwc.h>

#include "bench.h"

static int go[2], ready[2];

/* Dentries can be reclaimed only when the contexts are gone: they count. */
static long free_kb(void)
{
	return meminfo_kb("MemFree:") + meminfo_kb("Buffers:") + meminfo_kb("Cached:");
}

static void park(long n)
{
	struct rlimit descriptors = { n + 100, n + 100 };
	struct lwc_event ev;
	char c = 0;
	int r;

	if (setrlimit(RLIMIT_NOFILE, &descriptors))
		die("RLIMIT_NOFILE", errno);
	if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) != 1)
		die("pipe", errno);
	while (n--) {
		r = lwc_create(NULL, 0, 0, &ev);
		if (r)
			die("lwc_create", -r);
		/* There, it comes back at once. */
		while (ev.reason == LWC_EV_SWITCH)
			lwc_switch(ev.caller, 0, 0, &ev);
		r = lwc_switch(ev.created, 0, 0, &ev);
		if (r)
			die("lwc_switch", -r);
	}
	if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) != 1)
		die("pipe", errno);
	exit(0);
}

static void all(int fd, int processes, bool wait)
{
	char c = 0;

	while (processes--)
		if ((wait ? read(fd, &c, 1) : write(fd, &c, 1)) != 1)
			die("a process with many contexts", errno);
}

void measure_parked(void)
{
	int processes = quick ? 1 : 10, i, status;
	long each = quick ? 100 : 1000, before, after;
	pid_t pids[10];

	if (pipe(go) || pipe(ready))
		die("pipe", errno);
	fflush(NULL);
	for (i = 0; i < processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork", errno);
		if (!pids[i])
			park(each);
	}
	close(ready[1]);
	close(go[0]);
	all(ready[0], processes, true);
	before = free_kb();
	all(go[1], processes, false);
	all(ready[0], processes, true);
	after = free_kb();
	all(go[1], processes, false);
	for (i = 0; i < processes; i++)
		if (waitpid(pids[i], &status, 0) != pids[i] || status)
			die("a process with many contexts", ECHILD);
	printf("\n%-54s %14s\n", "memory", "bytes");
	print_figure(derive("parked", "a parked context of a small process", "bytes",
			    (before - after) * 1024.0 / (processes * each),
			    "free memory, %ld contexts in %d processes", processes * each, processes));
}
