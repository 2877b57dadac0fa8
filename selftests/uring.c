// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring completes in whatever memory its task has by then: a task with such
 * state may neither make nor enter contexts. Made by raw system calls, since no
 * test may need a library. What one task does must not hold another up.
 */
#include <linux/io_uring.h>

#include "test.h"

static int ring(void)
{
	struct io_uring_params p = { 0 };
	int fd = syscall(SYS_io_uring_setup, 4, &p);

	return fd < 0 ? -errno : fd;
}

#define NEED_RING(fd)							\
do {									\
	(fd) = ring();							\
	if ((fd) == -ENOSYS || (fd) == -EPERM)				\
		SKIP(return, "io_uring: %s", strerror(-(fd)));		\
	ASSERT_LE(0, fd);						\
} while (0)

LWC_TEST(create_and_snapshot)
{
	struct lwc_event ev;
	long contexts;
	int fd, fds;

	features();
	NEED_RING(fd);
	contexts = counter("contexts");
	fds = open_descriptors();
	EXPECT_ERR(lwc_create, EOPNOTSUPP, lwc_create(NULL, 0, 0, &ev));
	EXPECT_ERR(lwc_snapshot, EOPNOTSUPP, lwc_snapshot(-1, 0, &ev));
	EXPECT_EQ(contexts, counter("contexts"));
	EXPECT_EQ(fds, open_descriptors());
	close(fd);
}

static long nothing(void *arg)
{
	return (long)arg;
}

/* A ring that comes when contexts are there already. */
LWC_TEST(switch_and_renew)
{
	struct lwc_request rq = { .size = sizeof(rq) };
	struct lwc_event ev;
	int ctx, fd;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	NEED_RING(fd);
	EXPECT_ERR(lwc_switch, EOPNOTSUPP, lwc_switch(ctx, 0, 0, &ev));
	EXPECT_ERR(lwc_renew, EOPNOTSUPP, lwc_renew(ctx, 0, &ev));
	EXPECT_ERR(lwc_request_run, EOPNOTSUPP, lwc_request_run(&rq, nothing, NULL, NULL));
	EXPECT_EQ(1, shm[0]);
	EXPECT_EQ(0, lwc_close(ctx));
	close(fd);
}

/* Made inside: then there is no way back, and none to smuggle it out. */
LWC_TEST(made_inside)
{
	int ctx, status;

	IN_CHILD(status) {
		struct lwc_event ev;

		CONTEXT(ctx) {
			int fd = ring();

			if (fd == -ENOSYS || fd == -EPERM)
				_exit(4);
			EXPECT_LE(0, fd);
			EXPECT_ERR(lwc_switch, EOPNOTSUPP, lwc_switch(in.ev.caller, 0, 0, &ev));
			_exit(_metadata->passed ? 3 : 1);
		}
		ASSERT_LE(0, ctx);
		CALL(ctx, 0);
	}
	if (WEXITSTATUS(status) == 4)
		SKIP(return, "no io_uring");
	EXPECT_EQ(3, WEXITSTATUS(status));
}

/* Since the snapshot: a rollback would leave a task with half of it. */
LWC_TEST(rollback)
{
	struct lwc_event ev;
	volatile int x = 1;
	int fd;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	if (ev.reason == LWC_EV_ROLLBACK) {
		/* Allowed only if no trace of the ring is left. */
		EXPECT_EQ(1, x);
		EXPECT_EQ(0, lwc_snapshot(-1, 0, &ev));
		return;
	}
	NEED_RING(fd);
	x = 2;
	EXPECT_ERR(lwc_rollback, EOPNOTSUPP, lwc_rollback(ev.created, 0));
	EXPECT_EQ(2, x);
	EXPECT_TRUE(is_open(fd));
}

static void *with_a_ring(void *arg)
{
	(void)arg;
	shm[0] = ring();
	shm[1] = 1;
	while (shm[1] == 1)
		msleep(1);
	return NULL;
}

/* Another thread's ring: its completions are that thread's own affair. */
LWC_TEST(of_another_thread)
{
	pthread_t t;
	int ctx;

	ASSERT_EQ(0, pthread_create(&t, NULL, with_a_ring, NULL));
	while (!shm[1])
		msleep(1);
	CONTEXT(ctx) {
		in.reply = 5;
	}
	/* To refuse that as well is allowed, and to crash is not. */
	if (ctx < 0) {
		EXPECT_EQ(-EOPNOTSUPP, ctx);
	} else {
		EXPECT_EQ(5, CALL(ctx, 0));
		lwc_close(ctx);
	}
	shm[1] = 2;
	ASSERT_EQ(0, pthread_join(t, NULL));
}

/*
 * The exploit that this is about: a read submitted in one context, completed in
 * another. The victim's memory must never be written, by whatever way it is stopped.
 */
LWC_TEST(no_read_lands_elsewhere)
{
	static char target[4096] __attribute__((aligned(4096)));
	struct io_uring_params p = { 0 };
	unsigned int *tail, *array, mask;
	struct io_uring_sqe *sqes;
	struct lwc_event ev;
	int fd, fds[2], ctx;
	char *sq;
	long r;

	ASSERT_EQ(0, pipe(fds));
	CONTEXT(ctx) {
		msleep(50);
		in.reply = target[0];
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
	fd = syscall(SYS_io_uring_setup, 4, &p);
	if (fd < 0)
		SKIP(return, "io_uring: %s", strerror(errno));
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED,
		  fd, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    IORING_OFF_SQES);
	ASSERT_NE(MAP_FAILED, sq);
	ASSERT_NE(MAP_FAILED, (void *)sqes);
	tail = (unsigned int *)(sq + p.sq_off.tail);
	array = (unsigned int *)(sq + p.sq_off.array);
	mask = *(unsigned int *)(sq + p.sq_off.ring_mask);
	memset(sqes, 0, sizeof(*sqes));
	sqes[0].opcode = IORING_OP_READ;
	sqes[0].fd = fds[0];
	sqes[0].addr = (uintptr_t)target;
	sqes[0].len = 8;
	array[*tail & mask] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	ASSERT_EQ(1, syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0));
	ASSERT_EQ(1, write(fds[1], "x", 1));
	r = lwc_switch(ctx, 0, 0, &ev);
	if (r) {
		EXPECT_ERR(lwc_switch, EOPNOTSUPP, r);
	} else {
		EXPECT_EQ(0, ev.arg);
	}
}

TEST_HARNESS_MAIN
