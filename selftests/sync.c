// SPDX-License-Identifier: GPL-2.0
/*
 * The engine: rollback, re-arm and renew copy what was written, all of it, and
 * nothing else. Each test goes several rounds, as a page is found in one way at
 * first and in others later. What the engine did is read off the module's
 * counters, which are the machine's: nobody else may use contexts meanwhile.
 */
#include <sys/prctl.h>
#include <sys/uio.h>

#include "test.h"

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

TEST_HARNESS_MAIN
