// SPDX-License-Identifier: GPL-2.0
/*
 * What the module costs a process that has nothing to do with contexts: the same is
 * measured before it is loaded, and after, while there is another process that has used
 * all of it just before. The two must run by turns: there is one processor.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lwc.h>

#include "bench.h"

#define TOUCHED	500

static int zero, to_user[2], from_user[2];
static bool with_user;
static pid_t sharer;

/* ---- who uses contexts ---- */

static void use_snapshot(int snapshot)
{
	struct lwc_event ev;
	int r;

	shared->left = 10;
	r = lwc_snapshot(snapshot, 0, &ev);
	if (r)
		die("lwc_snapshot", -r);
	if (shared->left-- > 0) {
		region[0]++;
		die("lwc_rollback", -lwc_rollback(ev.created, 0));
	}
}

static void user(void)
{
	struct lwc_event ev;
	int context, snapshot, i, r;
	char c;

	arrange(&(struct shape){ .mb = 1 });
	r = lwc_create(NULL, 0, 0, &ev);
	if (r)
		die("lwc_create", -r);
	while (ev.reason == LWC_EV_SWITCH)
		lwc_switch(ev.caller, 0, 0, &ev);
	context = ev.created;
	r = lwc_snapshot(-1, 0, &ev);
	if (r)
		die("lwc_snapshot", -r);
	snapshot = ev.created;
	while (read(to_user[0], &c, 1) == 1) {
		for (i = 0; i < 100; i++) {
			r = lwc_switch(context, 0, 0, &ev);
			if (r)
				die("lwc_switch", -r);
		}
		use_snapshot(snapshot);
		if (write(from_user[1], &c, 1) != 1)
			break;
	}
}

static void other_is_busy(void)
{
	char c = 0;

	if (!with_user)
		return;
	if (write(to_user[1], &c, 1) != 1 || read(from_user[0], &c, 1) != 1)
		die("the process that uses contexts", errno);
}

/* ---- who does not ---- */

static void prepare(const struct shape *shape)
{
	(void)shape;
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (zero < 0)
		die("/dev/zero", errno);
	if (!with_user)
		return;
	if (pipe(to_user) || pipe(from_user))
		die("pipe", errno);
	start_partner(user);
}

static void prepare_pages(const struct shape *shape)
{
	prepare(shape);
	arrange(&(struct shape){ .pages = TOUCHED });
}

static void getppid_rounds(long n)
{
	while (n--)
		syscall(SYS_getppid);
}

static void read_rounds(long n)
{
	char c;

	while (n--)
		if (read(zero, &c, 1) != 1)
			die("/dev/zero", errno);
}

static void zero_fault_rounds(long n)
{
	volatile char *p = memory(n * PAGE, MAP_PRIVATE);
	long i;

	start_clock();
	for (i = 0; i < n; i++)
		p[i * PAGE] = 1;
}

static void end_sharer(void)
{
	if (sharer && (kill(sharer, SIGKILL) || waitpid(sharer, NULL, 0) != sharer))
		die("the child that shares", errno);
	sharer = 0;
}

/* Each batch with a new child, so that each page is shared with it. */
static void share(void)
{
	end_sharer();
	sharer = fork();
	if (sharer < 0)
		die("fork", errno);
	if (!sharer) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	other_is_busy();
}

static void copy_fault_rounds(long n)
{
	long i;

	for (i = 0; i < n; i++)
		region[i * PAGE]++;
}

static void end(void)
{
	end_sharer();
	end_partner();
}

static const struct {
	long n;
	struct work work[2];	/* before the module is loaded, and after */
} others[] = {
#define OTHER(name, text, count, before, batch, rounds)					\
	{ count, { { "before_" name, text, 1, false, before, batch, rounds, end },	\
		   { "beside_" name, text, 1, true, before, batch, rounds, end } } }
	OTHER("getppid", "getppid()", 1000, prepare, other_is_busy, getppid_rounds),
	OTHER("read", "read() of a byte", 1000, prepare, other_is_busy, read_rounds),
	OTHER("zero_fault", "first touch of a page", TOUCHED, prepare, other_is_busy, zero_fault_rounds),
	OTHER("copy_fault", "copy on write of a page", TOUCHED, prepare_pages, share, copy_fault_rounds),
	OTHER("fork", "fork(), exit, wait", 20, prepare, other_is_busy, fork_exit_wait_rounds),
};

void measure_others(bool loaded)
{
	unsigned int i;

	with_user = loaded;
	print_head(loaded ? "a process without contexts, while another has some" :
		   "a process before the module is loaded");
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		print_figure(measure(&others[i].work[loaded], NULL, others[i].n));
}
