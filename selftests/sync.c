// SPDX-License-Identifier: GPL-2.0
/*
 * The engine: rollback, re-arm and renew copy what was written, all of it, and
 * nothing else. Each test goes several rounds, as a page is found in one way at
 * first and in others later. What the engine did is read off the module's
 * counters, which are the machine's: nobody else may use contexts meanwhile.
 */
#include <linux/userfaultfd.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "test.h"
#include "pinned.h"
#include "zram.h"

/* Is every byte of the @n pages at @p the value @v? */
static bool is_all(const char *p, size_t n, char v)
{
	size_t i;

	for (i = 0; i < n * PAGE; i++) {
		if (p[i] != v)
			return false;
	}
	return true;
}

LWC_TEST(written_in_each_round)
{
	char *p = private_memory(40 * PAGE);
	int snap, round;

	memset(p, 1, 40 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, 40, 1)) {
		TH_LOG("in round %d", round);
	}
	memset(p, 2 + round, 40 * PAGE);
	if (round < 6)
		ROLLBACK(snap, 0);
}

/* Written in some rounds and left alone in others. */
LWC_TEST(written_now_and_then)
{
	char *p = private_memory(8 * PAGE);
	int snap, round, i;

	memset(p, 1, 8 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, 8, 1));
	for (i = 0; i < 8; i++) {
		if (round >> (i % 4) & 1)
			memset(p + i * PAGE, 2 + round, PAGE);
	}
	if (round < 40)
		ROLLBACK(snap, 0);
}

/* No notifier tells of a page that is made where none was. */
LWC_TEST(made_where_none_was)
{
	char *p = private_memory(600 * PAGE);
	int snap, round, i;

	p[0] = 1;
	round = SNAPSHOT(snap);
	/* Only those that were made: to read one would make it known. */
	for (i = 1; round && i < 5 + 3 * round; i++)
		EXPECT_EQ(0, p[i * 7 * PAGE]);
	/* A few more each time, and those of before. */
	for (i = 1; i < 5 + 3 * (round + 1); i++)
		p[i * 7 * PAGE] = round + 1;
	if (round < 20)
		ROLLBACK(snap, 0);
}

/* One page goes as another comes: the sum alone would not tell. */
LWC_TEST(one_goes_as_another_comes)
{
	char *p = private_memory(16 * PAGE);
	int snap, round;

	memset(p, 1, 8 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, 8, 1));
	EXPECT_TRUE(is_all(p + 8 * PAGE, 8, 0));
	ASSERT_EQ(0, madvise(p + (round % 8) * PAGE, PAGE, MADV_DONTNEED));
	p[(8 + round % 8) * PAGE] = 1;
	if (round < 20)
		ROLLBACK(snap, 0);
}

LWC_TEST(mappings_that_change_each_round)
{
	char *p = private_memory(32 * PAGE), *q;
	int snap, round;

	memset(p, 1, 32 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, 32, 1));
	switch (round % 6) {
	case 0:
		ASSERT_EQ(0, mprotect(p, 8 * PAGE, PROT_READ));
		break;
	case 1:
		ASSERT_EQ(0, munmap(p + 8 * PAGE, 8 * PAGE));
		break;
	case 2:
		q = mmap(p + 4 * PAGE, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		ASSERT_EQ(p + 4 * PAGE, q);
		break;
	case 3:
		memset(private_memory(64 * PAGE), 2, 64 * PAGE);
		break;
	case 4:
		/* The library passes no address on, and the kernel takes one. */
		q = (char *)syscall(SYS_mremap, p, 32 * PAGE, 32 * PAGE,
				    MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
		ASSERT_NE(MAP_FAILED, q);
		break;
	}
	memset(p + 16 * PAGE, 3, 16 * PAGE);
	if (round < 24)
		ROLLBACK(snap, 0);
	ASSERT_EQ(0, mprotect(p, 8 * PAGE, PROT_READ | PROT_WRITE));
	memset(p, 4, PAGE);
}

LWC_TEST(private_pages_of_a_file)
{
	int fd = memfd_create("file", 0), snap, round;
	char *p;

	ASSERT_EQ(0, ftruncate(fd, 8 * PAGE));
	p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, 2 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, 2, 1));
	EXPECT_TRUE(is_all(p + 2 * PAGE, 6, 0));
	memset(p + (round % 4) * PAGE, 2, 4 * PAGE);
	if (round < 12)
		ROLLBACK(snap, 0);
}

/* More than what fits among the notes. */
LWC_TEST(thousands_of_pages)
{
	const int n = scaled(3000);
	char *p = private_memory(n * PAGE);
	int snap, round, i;

	for (i = 0; i < n; i++)
		p[i * PAGE] = 1;
	round = SNAPSHOT(snap);
	for (i = 0; i < n; i++)
		EXPECT_EQ(1, p[i * PAGE]);
	for (i = n - 1; i >= 0; i -= 1 + round % 3)
		p[i * PAGE] = 2;
	if (round < 4)
		ROLLBACK(snap, 0);
}

/* Dirty marks are the address space's, and there are two that ask for them. */
LWC_TEST(snapshot_in_a_snapshot)
{
	char *p = private_memory(8 * PAGE);
	int outer, inner, round, again;

	memset(p, 1, 8 * PAGE);
	round = SNAPSHOT(outer);
	EXPECT_TRUE(is_all(p, 8, 1));
	memset(p, 2, 4 * PAGE);
	shm[101] = -1;
	shm[100] = round - 1;
	{
		struct lwc_event ev;

		ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
		inner = ev.created;
		again = ++shm[101];
	}
	EXPECT_TRUE(is_all(p, 4, 2));
	EXPECT_TRUE(is_all(p + 4 * PAGE, 4, 1));
	memset(p + 2 * PAGE, 3 + again, 4 * PAGE);
	if (again < 4)
		ROLLBACK(inner, 0);
	shm[100]++;
	if (round < 4)
		ROLLBACK(outer, 0);
}

/* A child has the pages too, and what it sees is its own. */
LWC_TEST(forked_children)
{
	char *p = private_memory(16 * PAGE);
	int snap, round, status, go[2];
	pid_t pid;
	char c;

	memset(p, 1, 16 * PAGE);
	ASSERT_EQ(0, pipe(go));
	round = SNAPSHOT(snap);
	if (round) {
		/* It was made before the rollback. */
		ASSERT_EQ(1, write(go[1], "x", 1));
		ASSERT_LE(0, wait(&status));
		EXPECT_EQ(0, status);
	}
	EXPECT_TRUE(is_all(p, 16, 1));
	memset(p, 2, 8 * PAGE);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		_exit(is_all(p, 8, 2) && is_all(p + 8 * PAGE, 8, 1) ? 0 : 2);
	}
	memset(p + 4 * PAGE, 3 + round, 8 * PAGE);
	memset(p, 2, 4 * PAGE);
	if (round < 5)
		ROLLBACK(snap, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Written from outside: no entry of ours is dirty. */
LWC_TEST(written_by_another_process)
{
	char *p = private_memory(4 * PAGE);
	struct iovec local, remote;
	int snap, round, status;
	pid_t pid;

	memset(p, 1, 4 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, 4, 1));
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		local = (struct iovec){ "written", 7 };
		remote = (struct iovec){ p + PAGE + 8, 7 };
		_exit(process_vm_writev(getppid(), &local, 1, &remote, 1, 0) != 7);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ('w', p[PAGE + 8]);
	if (round < 6)
		ROLLBACK(snap, 0);
}

/* Both the server and the context that it renews write, and not the same. */
LWC_TEST(renew_where_both_write)
{
	const int n = 24, rounds = 30;
	char *p = private_memory(n * PAGE);
	struct lwc_event ev;
	int ctx, i, k;

	memset(p, 0, n / 2 * PAGE);
	CONTEXT(ctx) {
		in.reply = 0;
	}
	ASSERT_LE(0, ctx);
	for (k = 1; k <= rounds; k++) {
		for (i = k % 3; i < n; i += 3)
			p[i * PAGE] = k;
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			uint64_t wrong = 0;

			for (i = 0; i < n; i++) {
				int last = k - ((k - i) % 3 + 3) % 3;

				wrong += p[i * PAGE] != (last > 0 ? last : 0);
			}
			for (i = k % 5; i < n; i += 2)
				memset(p + i * PAGE, -k, PAGE);
			for (;;)
				lwc_switch(ev.caller, 0, wrong, &ev);
		}
		EXPECT_EQ(0, CALL(ctx, 0)) {
			TH_LOG("in round %d", k);
		}
	}
}

/* Rounds that write the same pages copy those, and never everything. */
LWC_TEST(costs_what_was_written)
{
	const int n = 2000, written = 10, rounds = 50;
	char *p = private_memory(n * PAGE);
	int snap, round, i;

	memset(p, 1, n * PAGE);
	round = SNAPSHOT(snap);
	if (round == 10) {
		shm[0] = counter("pages_copied");
		shm[1] = counter("duplicates");
		shm[2] = counter("compares");
	}
	for (i = 0; i < written; i++)
		p[i * (n / written) * PAGE] = round;
	if (round < 10 + rounds)
		ROLLBACK(snap, 0);
	/* And those of the stack and of the program's data. */
	EXPECT_LE(written * rounds, counter("pages_copied") - shm[0]);
	EXPECT_GE((written + 20) * rounds, counter("pages_copied") - shm[0]);
	EXPECT_EQ(0, counter("duplicates") - shm[1]);
	EXPECT_EQ(0, counter("compares") - shm[2]);
}

LWC_TEST(rearm_costs_what_was_written)
{
	const int n = 2000, rounds = 40;
	char *p = private_memory(n * PAGE);
	struct lwc_event ev;
	int i;

	memset(p, 1, n * PAGE);
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	for (i = 0; i < rounds + 10 && ev.reason == LWC_EV_CREATED; i++) {
		if (i == 10) {
			shm[0] = counter("pages_copied");
			shm[1] = counter("duplicates");
		}
		p[i * PAGE] = 2;
		ASSERT_EQ(0, lwc_snapshot(ev.created, 0, &ev));
	}
	EXPECT_GE(25 * rounds, counter("pages_copied") - shm[0]);
	EXPECT_EQ(0, counter("duplicates") - shm[1]);
}

/* Libraries keep the state of their random numbers so: a duplicate has none of it. */
LWC_TEST(wiped_on_fork)
{
	const int n = 200;
	char *p = private_memory(n * PAGE), *q = private_memory(4 * PAGE);
	struct lwc_event ev;
	int snap, round, i, ctx;

	memset(p, 1, n * PAGE);
	memset(q, 1, 2 * PAGE);
	ASSERT_EQ(0, madvise(q, 4 * PAGE, MADV_WIPEONFORK));
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, n, 1));
	if (round)
		EXPECT_TRUE(is_all(q, 4, 0));
	if (round == 5) {
		shm[0] = counter("compares");
		shm[1] = counter("duplicates");
	}
	/* Some rounds make pages there, some only read, some do neither. */
	for (i = 0; i < round % 5; i++)
		q[i * PAGE] = 2;
	memset(p + (round % 8) * PAGE, 2, 3 * PAGE);
	if (round < 25)
		ROLLBACK(snap, 0);
	EXPECT_EQ(0, counter("compares") - shm[0]);
	EXPECT_EQ(0, counter("duplicates") - shm[1]);

	/* And where both write there: what the creator has stays its own. */
	CONTEXT(ctx) {
		in.reply = 0;
	}
	for (round = 1; round < 12; round++) {
		memset(q + (round % 3) * PAGE, round, PAGE);
		p[round * PAGE] = round;
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			uint64_t wrong = !is_all(q, 4, 0) + (p[round * PAGE] != round);

			memset(q, 3, (round % 4) * PAGE);
			for (;;)
				lwc_switch(ev.caller, 0, wrong, &ev);
		}
		EXPECT_EQ(0, CALL(ctx, 0)) {
			TH_LOG("in round %d", round);
		}
		EXPECT_TRUE(is_all(q + (round % 3) * PAGE, 1, round));
	}
}

/* Pages that are kept are bounded: beyond that it starts afresh. */
LWC_TEST(bound_on_kept_pages)
{
	char *p = private_memory(600 * PAGE);
	int snap, round, i;

	if (!is_root())
		SKIP(return, "needs root");
	memset(p, 1, 600 * PAGE);
	shm[3] = parameter("max_kept_pages");
	ASSERT_EQ(0, set_parameter("max_kept_pages", 200));
	round = SNAPSHOT(snap);
	for (i = 0; i < 600; i++)
		EXPECT_EQ(1, p[i * PAGE]);
	memset(p, 2, 500 * PAGE);
	if (round == 1)
		shm[1] = counter("duplicates");
	if (round < 6)
		ROLLBACK(snap, 0);
	EXPECT_EQ(0, set_parameter("max_kept_pages", shm[3]));
	EXPECT_LE(3, counter("duplicates") - shm[1]);
}

/* Pages that are kept and never written again are given up with all others. */
LWC_TEST(kept_pages_age)
{
	const int n = 500;
	char *p = private_memory(n * PAGE);
	int snap, round, i;

	memset(p, 1, n * PAGE);
	round = SNAPSHOT(snap);
	for (i = 0; i < n; i++)
		EXPECT_EQ(1, p[i * PAGE]);
	if (!round)
		memset(p, 2, n * PAGE);
	if (round == 1)
		shm[0] = counter("duplicates");
	p[round * 7 % n * PAGE] = 3;
	if (round < 80)
		ROLLBACK(snap, 0);
	/* To look at 500 pages 20 times is less than a duplicate, and 80 times is more. */
	EXPECT_LE(1, counter("duplicates") - shm[0]);
	EXPECT_GE(4, counter("duplicates") - shm[0]);
}

/* Kept pages that nobody may touch, which the processor takes for absent: a debugger writes. */
LWC_TEST(kept_pages_out_of_reach)
{
	const int n = 64;
	char *p = private_memory(n * PAGE);
	int snap, round, i, mem;

	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mem);
	memset(p, 1, n * PAGE);
	ASSERT_EQ(0, mprotect(p, n * PAGE, PROT_NONE));
	round = SNAPSHOT(snap);
	for (i = 0; i < n; i++) {
		char byte = 0;

		ASSERT_EQ(1, pread(mem, &byte, 1, (long)p + i * PAGE));
		EXPECT_EQ(1, byte);
		/* In the last rounds they are kept, and there is nothing to note of most. */
		if (round < 2 || i == round)
			ASSERT_EQ(1, pwrite(mem, "\2", 1, (long)p + i * PAGE));
	}
	if (round < 5)
		ROLLBACK(snap, 0);
}

/* What is written is to be restored from a page that is on a swap device. */
LWC_TEST(written_where_the_source_is_swapped)
{
	const int n = 64;
	int swap, snap, round;
	char *p;

	NEED_ROOT();
	if (!swap_begin(&swap))
		SKIP(return, "no swap device");
	p = private_memory(n * PAGE);
	memset(p, 1, n * PAGE);
	madvise(p, n * PAGE, MADV_PAGEOUT);
	EXPECT_LE(n / 2 * 4, status_field("VmSwap:"));
	round = SNAPSHOT(snap);
	/* Each is read once: then it is swapped in, and only those are written. */
	if (round)
		EXPECT_TRUE(is_all(p + (round - 1) * 8 * PAGE, 8, 1));
	memset(p + round * 8 * PAGE, 2, 8 * PAGE);
	if (round < 7)
		ROLLBACK(snap, 0);
	swap_end(swap);
}

/*
 * A re-arm that is refused leaves the snapshot what it was, and leaves known what
 * has been made since.
 */
LWC_TEST(refused_rearm)
{
	char *p = private_memory(64 * PAGE), *q = private_memory(PAGE);
	struct lwc_event ev;
	int snap, round, i;

	p[0] = 1;
	round = SNAPSHOT(snap);
	for (i = 1; round && i <= 3; i++)
		EXPECT_EQ(0, p[(3 * (round - 1) + i) * PAGE]);
	/* Where none was: nobody is told. */
	for (i = 1; i <= 3; i++)
		p[(3 * round + i) * PAGE] = 1;
	ASSERT_EQ(0, mlock(q, PAGE));
	EXPECT_ERR(lwc_snapshot, EOPNOTSUPP, lwc_snapshot(snap, 0, &ev));
	ASSERT_EQ(0, munlock(q, PAGE));
	if (round < 8)
		ROLLBACK(snap, 0);
}

/* The same at the moment when a duplicate would cost less than to look at kept pages. */
LWC_TEST(refused_rearm_of_old_pages)
{
	const int n = 500;
	char *p = private_memory(n * PAGE), *q = private_memory(PAGE);
	struct lwc_event ev;
	int snap, round;

	memset(p, 1, n * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_EQ(1, p[round * 7 % n * PAGE]);
	if (!round)
		memset(p, 2, n * PAGE);
	p[round * 7 % n * PAGE] = 3;
	ASSERT_EQ(0, mlock(q, PAGE));
	EXPECT_ERR(lwc_snapshot, EOPNOTSUPP, lwc_snapshot(snap, 0, &ev));
	ASSERT_EQ(0, munlock(q, PAGE));
	if (round < 80)
		ROLLBACK(snap, 0);
}

/* Nobody listens to a snapshot, out of which truncation takes pages as well. */
LWC_TEST(truncated_as_another_comes)
{
	const int n = 16;
	int fd = memfd_create("file", 0), snap, round;
	char *p, *q = private_memory(64 * PAGE);

	ASSERT_EQ(0, ftruncate(fd, n * PAGE));
	p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, n * PAGE);
	q[0] = 1;
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, n - round, 1));
	if (round)
		EXPECT_EQ(0, q[round * PAGE]);
	ASSERT_EQ(0, ftruncate(fd, (n - round - 1) * PAGE));
	q[(round + 1) * PAGE] = 1;
	if (round < 8)
		ROLLBACK(snap, 0);
}

/* Settings of the kernel for a test, put back by restore(). */
struct setting {
	const char *path, *value;
	char before[64];
};

static int apply(struct setting *settings, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		char *chosen;

		if (read_text(settings[i].path, settings[i].before, sizeof(settings[i].before)))
			return -1;
		/* Of those that list what may be chosen: the one in brackets. */
		chosen = strchr(settings[i].before, '[');
		if (chosen) {
			*strchr(chosen, ']') = 0;
			memmove(settings[i].before, chosen + 1, strlen(chosen));
		}
		if (write_text(settings[i].path, settings[i].value))
			return -1;
	}
	return 0;
}

static void restore(const struct setting *settings, unsigned int n)
{
	while (n-- > 0)
		write_text(settings[n].path, settings[n].before);
}

#define THP		"/sys/kernel/mm/transparent_hugepage/"
#define KHUGEPAGED	THP "khugepaged/"
#define KSM		"/sys/kernel/mm/ksm/"

/* Waits until it has looked at everything @n times more. */
static bool wait_for_scans(const char *path, long n)
{
	long wanted = read_number(path) + n, i;

	for (i = 0; i < 3000 && read_number(path) < wanted; i++)
		msleep(10);
	return read_number(path) >= wanted;
}

/*
 * Were a snapshot's pages made one huge page, those that it shares would be the
 * context's alone, and written without a fault: nobody would be told.
 */
LWC_TEST(no_huge_page_is_made_of_a_snapshot)
{
	static struct setting settings[] = {
		{ .path = KHUGEPAGED "scan_sleep_millisecs", .value = "100000" },
		{ .path = KHUGEPAGED "pages_to_scan", .value = "100000" },
		{ .path = KHUGEPAGED "max_ptes_shared", .value = "511" },
		{ .path = THP "enabled", .value = "never" },
	};
	const size_t size = 2 << 20;
	const int n = 500;
	struct lwc_event ev;
	char *p;
	int i;

	NEED_ROOT();
	if (access(KHUGEPAGED "full_scans", R_OK))
		SKIP(return, "no huge pages");
	ASSERT_EQ(0, apply(settings, 4));
	p = private_memory(2 * size);
	p += -(uintptr_t)p & (size - 1);
	/* It must not reach it before the snapshot is there. */
	memset(p, 1, n * PAGE);
	ASSERT_EQ(0, write_text(THP "enabled", "madvise"));
	ASSERT_EQ(0, madvise(p, size, MADV_HUGEPAGE));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	if (ev.reason == LWC_EV_CREATED && !shm[0]++) {
		/* One that is the snapshot's own is writable, which it wants to see. */
		p[8] = 2;
		ASSERT_EQ(0, lwc_snapshot(ev.created, 0, &ev));
	}
	EXPECT_EQ(2, p[8]);
	for (i = 1; i < n; i++)
		EXPECT_EQ(1, p[i * PAGE]);
	if (!shm[1]++) {
		/* Only of the snapshot's, then. */
		ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
		ASSERT_EQ(0, write_text(KHUGEPAGED "scan_sleep_millisecs", "10"));
		EXPECT_TRUE(wait_for_scans(KHUGEPAGED "full_scans", 3));
		for (i = 0; i < n; i++)
			p[i * PAGE] = 3;
		ROLLBACK(ev.created, 0);
	}
	restore(settings, 4);
}

LWC_TEST(no_page_of_a_snapshot_is_merged)
{
	static struct setting settings[] = {
		{ .path = KSM "run", .value = "2" },
		{ .path = KSM "sleep_millisecs", .value = "10" },
		{ .path = KSM "pages_to_scan", .value = "10000" },
	};
	const int n = 32;
	struct lwc_event ev;
	char *p, *q;

	NEED_ROOT();
	if (access(KSM "run", W_OK))
		SKIP(return, "no KSM");
	ASSERT_EQ(0, apply(settings, 3));
	p = private_memory(n * PAGE);
	memset(p, 1, n * PAGE);
	ASSERT_EQ(0, madvise(p, n * PAGE, MADV_MERGEABLE));
	/* Without any memory to scan there are no scans to wait for. */
	q = private_memory(PAGE);
	memset(q, 2, PAGE);
	ASSERT_EQ(0, madvise(q, PAGE, MADV_MERGEABLE));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	/* The context's own, then, are not to be merged. */
	ASSERT_EQ(0, madvise(p, n * PAGE, MADV_UNMERGEABLE));
	ASSERT_EQ(0, write_text(KSM "run", "1"));
	EXPECT_TRUE(wait_for_scans(KSM "full_scans", 4));
	EXPECT_EQ(0, read_number(KSM "pages_shared"));
	/* Or it would hold on to the last memory that it looked at. */
	write_text(KSM "run", "2");
	restore(settings, 3);
}

#define GROUP	"/sys/fs/cgroup/lwc-sync"

/* A control group that only the current process is in. */
static bool enter_group(void)
{
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		return false;
	return !write_text(GROUP "/cgroup.procs", "0");
}

static void leave_group(void)
{
	write_text("/sys/fs/cgroup/cgroup.procs", "0");
	rmdir(GROUP);
}

/*
 * Reclaim drops a page that is clean and given back by one who has it: it must not
 * be clean for the mere reason that its content was equal at a rollback.
 */
LWC_TEST(freed_by_a_forked_child)
{
	const int n = 256;
	char *p = private_memory(n * PAGE);
	int snap, round, status, i;
	bool whole;

	NEED_ROOT();
	if (!enter_group() || access(GROUP "/memory.reclaim", W_OK)) {
		leave_group();
		SKIP(return, "no control group");
	}
	memset(p, 1, n * PAGE);
	round = SNAPSHOT(snap);
	/* Kept, and then clean. */
	for (i = 0; i < n && !round; i++)
		p[i * PAGE] = 2;
	if (round < 2)
		ROLLBACK(snap, 0);
	IN_CHILD(status) {
		if (madvise(p, n * PAGE, MADV_FREE))
			_exit(1);
		for (i = 0; i < 20; i++)
			write_text(GROUP "/memory.reclaim", "1M");
	}
	EXPECT_EQ(0, status);
	for (i = 0, whole = true; i < n; i++)
		whole &= p[i * PAGE] == 1 && p[i * PAGE + 100] == 1;
	EXPECT_TRUE(whole);
	leave_group();
}

/* What a page gets from who had it pinned when it was made equal is found. */
LWC_TEST(pinned_meanwhile)
{
	char *p = private_memory(2 * PAGE);
	struct pinner pinner;
	struct lwc_event ev;

	NEED_ROOT();
	memset(p, 1, 2 * PAGE);
	NEED_PINNER(&pinner, p + 16);

	/* Pinned when the snapshot is taken. */
	EXPECT_EQ('p', go_on(&pinner));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	switch (++shm[0]) {
	case 1:
		EXPECT_EQ('w', go_on(&pinner));
		EXPECT_EQ('w', p[16]);
		ROLLBACK(ev.created, 0);
		break;
	case 2:
		EXPECT_TRUE(is_all(p, 2, 1));
		/* And when it is taken again, by when the page is one that was copied. */
		memset(p, 2, 2 * PAGE);
		EXPECT_EQ('p', go_on(&pinner));
		ASSERT_EQ(0, lwc_snapshot(ev.created, 0, &ev));
		if (++shm[0] == 3) {
			EXPECT_EQ('w', go_on(&pinner));
			EXPECT_EQ('w', p[16]);
			ROLLBACK(ev.created, 0);
		}
		EXPECT_TRUE(is_all(p, 2, 2));
		break;
	}
	pinner_end(_metadata, &pinner);
}

/* A page that somebody else reads is replaced, and not written to behind his back. */
LWC_TEST(spliced_into_a_pipe)
{
	char *p = private_memory(PAGE), got[64];
	struct iovec iov = { p, sizeof(got) };
	int snap, round, fds[2];

	memset(p, 1, PAGE);
	ASSERT_EQ(0, pipe(fds));
	round = SNAPSHOT(snap);
	EXPECT_TRUE(is_all(p, 1, 1));
	if (round) {
		ASSERT_EQ(sizeof(got), read(fds[0], got, sizeof(got)));
		EXPECT_EQ(1 + round, got[0]);
		EXPECT_EQ(1 + round, got[63]);
	}
	memset(p, 2 + round, PAGE);
	ASSERT_EQ(sizeof(got), vmsplice(fds[1], &iov, 1, 0));
	if (round < 6)
		ROLLBACK(snap, 0);
}

/* What is known of pages that nothing is to be known of any more is freed. */
LWC_TEST(notes_all_over_the_place)
{
	const size_t apart = 4 << 20;
	const int n = 100, rounds = 120;
	char *p = mmap(NULL, (rounds + 1) * n * apart, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int snap, round, i;

	NEED_ROOT();
	ASSERT_NE(MAP_FAILED, p);
	if (!enter_group() || access(GROUP "/memory.current", R_OK)) {
		leave_group();
		SKIP(return, "no control group");
	}
	p[0] = 1;
	round = SNAPSHOT(snap);
	if (round == 10)
		shm[0] = read_number(GROUP "/memory.current");
	/* Elsewhere each time. */
	for (i = 0; i < n; i++)
		madvise(p + (round * n + i) * apart, PAGE, MADV_DONTNEED);
	if (round < rounds)
		ROLLBACK(snap, 0);
	/* Half a kilobyte each would be 5 MB. */
	EXPECT_GE(2 << 20, read_number(GROUP "/memory.current") - shm[0]);
	leave_group();
}

/*
 * A page that was written and then put back for one snapshot is clean for all, and it
 * is by a note that the others know: where there were too many, marks say nothing.
 */
LWC_TEST(put_back_where_notes_are_lost)
{
	const int n = 600;
	char *p = private_memory(PAGE), *noted = private_memory(n * PAGE);
	struct lwc_event outer, inner;
	int round, i;

	/* More than once: when the sum is not to be trusted, all pages are compared. */
	for (round = 0; round < 12; round += 3) {
		p[0] = 1;
		memset(noted, 1, n * PAGE);
		ASSERT_EQ(0, lwc_snapshot(-1, 0, &outer));
		if (!shm[round]++) {
			/* From now on both have a page of their own. */
			p[0] = 2;
			ROLLBACK(outer.created, 0);
		}
		p[0] = 3;
		ASSERT_EQ(0, lwc_snapshot(-1, 0, &inner));
		if (!shm[round + 1]++) {
			/* More than are remembered, so that the next is not. */
			for (i = 0; i < n; i += 2)
				ASSERT_EQ(0, madvise(noted + i * PAGE, PAGE, MADV_DONTNEED));
			p[0] = 4;
			ROLLBACK(inner.created, 0);
		}
		EXPECT_EQ(3, p[0]);
		ASSERT_EQ(0, lwc_snapshot(outer.created, 0, &outer));
		if (!shm[round + 2]++) {
			p[0] = 5;
			ROLLBACK(outer.created, 0);
		}
		EXPECT_EQ(3, p[0]);
		ASSERT_EQ(0, close(inner.created));
		ASSERT_EQ(0, close(outer.created));
	}
}

/* However large the ranges are that a program has notes made of. */
LWC_TEST(bound_on_what_is_noted)
{
	const size_t giga = 1 << 30;
	const int n = 100;
	char *p = mmap(NULL, 2 * n * giga, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int snap, round, i;

	NEED_ROOT();
	ASSERT_NE(MAP_FAILED, p);
	if (!enter_group() || access(GROUP "/memory.peak", R_OK)) {
		leave_group();
		SKIP(return, "no control group");
	}
	p[0] = 1;
	round = SNAPSHOT(snap);
	EXPECT_EQ(1, p[0]);
	for (i = 0; i < n; i++)
		EXPECT_EQ(0, madvise(p + i * 2 * giga, giga, MADV_DONTNEED));
	p[0] = 2;
	if (!round)
		shm[0] = read_number(GROUP "/memory.current");
	if (round < 3)
		ROLLBACK(snap, 0);
	EXPECT_GE(6 << 20, read_number(GROUP "/memory.peak") - shm[0]);
	leave_group();
}

TEST_HARNESS_MAIN
