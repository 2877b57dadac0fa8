// SPDX-License-Identifier: GPL-2.0
/*
 * The device and lwc_features: who may open it, what it says of itself, how it
 * takes argument structures of other sizes than its own, and what the library
 * does when a program closes its descriptor. Must never change the device's mode.
 */
#include <grp.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "test.h"

LWC_TEST(says_what_it_can)
{
	struct lwc_features f;

	memset(&f, 0xff, sizeof(f));
	ASSERT_EQ(0, lwc_features(&f));
	EXPECT_EQ(sizeof(f), f.size);
	EXPECT_EQ(1, f.abi);
	EXPECT_EQ(0, f.reserved);
	EXPECT_EQ(0, f.create_flags & ~(uint64_t)(LWC_TRAP_SYSCALLS | LWC_TRAP_FAULTS | LWC_KEEP |
						  LWC_FORK | LWC_PRIVATE));
	EXPECT_EQ(0, f.switch_flags & ~(uint64_t)(LWC_FRESH | LWC_DISCARD));
	EXPECT_NE(0, f.spec_types & 1 << LWC_FILES);
	EXPECT_NE(0, f.spec_modes & 1 << LWC_COW);
	EXPECT_NE(0, f.spec_modes & 1 << LWC_UNMAP);
	EXPECT_EQ(0, f.spec_types & 1);
	EXPECT_EQ(0, f.spec_modes & 1);
	EXPECT_EQ(parameter("max_contexts"), f.max_contexts);
}

LWC_TEST(takes_other_sizes)
{
	struct {
		struct lwc_features f;
		uint64_t tail[2];
	} big;
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	memset(&big, 0, sizeof(big));
	big.f.size = 0;
	EXPECT_EQ(-EINVAL, raw_ioctl(fd, LWC_IOC_FEATURES, &big));
	big.f.size = sizeof(big.f) - 8;
	EXPECT_EQ(-EINVAL, raw_ioctl(fd, LWC_IOC_FEATURES, &big));
	big.f.size = sizeof(big);
	EXPECT_EQ(0, raw_ioctl(fd, LWC_IOC_FEATURES, &big));
	EXPECT_EQ(1, big.f.abi);
	memset(&big, 0, sizeof(big));
	big.f.size = sizeof(big);
	big.tail[1] = 1;
	EXPECT_EQ(-E2BIG, raw_ioctl(fd, LWC_IOC_FEATURES, &big));
	EXPECT_EQ(0, big.f.abi);
	EXPECT_EQ(-EFAULT, raw_ioctl(fd, LWC_IOC_FEATURES, KERNEL_POINTER));
	EXPECT_EQ(-EFAULT, raw_ioctl(fd, LWC_IOC_FEATURES, unmapped_pointer()));
	close(fd);
}

LWC_TEST(knows_no_other_calls)
{
	int ctx, fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOTTY, raw_ioctl(fd, _IO(LWC_IOC_MAGIC, 0x7f), NULL));
	EXPECT_EQ(-ENOTTY, raw_ioctl(fd, _IO(0x54, 0x01), NULL));
	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(-ENOTTY, raw_ioctl(ctx, _IO(LWC_IOC_MAGIC, 0x7f), NULL));
	EXPECT_EQ(-ENOTTY, raw_ioctl(ctx, LWC_IOC_CREATE, NULL));
	close(fd);
}

/* A program may close every descriptor that it does not know. */
LWC_TEST(device_closed_or_replaced)
{
	struct lwc_features f;
	int fd, null;

	ASSERT_EQ(0, lwc_features(&f));
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	EXPECT_EQ(0, lwc_features(&f));
	/* Another file, wherever the library's descriptor may have been. */
	null = open("/dev/null", O_RDWR);
	ASSERT_LE(0, null);
	for (fd = 3; fd < 1024; fd++)
		if (fd != null)
			dup2(null, fd);
	for (fd = 3; fd < 16; fd++)
		close(fd);
	EXPECT_EQ(0, lwc_features(&f));
	/* What the program put there is still the program's. */
	for (fd = 16; fd < 1024; fd++) {
		struct stat st;

		EXPECT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(makedev(1, 3), st.st_rdev);
	}
}

/*
 * The numbers that programs count on (0, 1, 2, the lowest free) are theirs. But each
 * context has a table as large as the highest number asks for.
 */
LWC_TEST(device_out_of_the_way)
{
	struct lwc_features f;
	int fd, flags, first, n = 0;

	first = dup(2);
	close(first);
	ASSERT_EQ(0, lwc_features(&f));
	fd = dup(2);
	EXPECT_EQ(first, fd);
	close(fd);
	for (fd = 3; fd < 1024; fd++) {
		struct stat st, dev;

		ASSERT_EQ(0, stat(DEVICE, &dev));
		if (fstat(fd, &st) || st.st_rdev != dev.st_rdev)
			continue;
		n++;
		flags = fcntl(fd, F_GETFD);
		EXPECT_EQ(FD_CLOEXEC, flags & FD_CLOEXEC);
		EXPECT_LE(100, fd);
		EXPECT_GT(256, fd);
	}
	EXPECT_EQ(1, n);
	EXPECT_GE(256, status_field("FDSize"));
}

static long nothing(void *arg)
{
	return (long)arg;
}

static long answer(void *state, uint64_t arg)
{
	(void)state;
	return arg;
}

static struct lwc_request plain = { .size = sizeof(plain) };

static void become_nobody(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, setgroups(0, NULL));
	ASSERT_EQ(0, setresgid(65534, 65534, 65534));
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
}

LWC_TEST(ordinary_user_may_not)
{
	struct lwc_pool *pool;
	struct lwc_features f;
	struct lwc_event ev;
	int status;

	NEED_ROOT();
	IN_CHILD(status) {
		become_nobody(_metadata);
		EXPECT_ERR(lwc_features, EACCES, lwc_features(&f));
		EXPECT_ERR(lwc_create, EACCES, lwc_create(NULL, 0, 0, &ev));
		EXPECT_ERR(lwc_snapshot, EACCES, lwc_snapshot(-1, 0, &ev));
		EXPECT_ERR(lwc_self, EACCES, lwc_self());
		EXPECT_ERR(lwc_request_run, EACCES, lwc_request_run(&plain, nothing, NULL, NULL));
		ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, answer, NULL, &pool));
		EXPECT_ERR(lwc_pool_run, EACCES, lwc_pool_run(pool, 0, NULL));
	}
	EXPECT_EQ(0, status);
}

LWC_TEST(bad_arguments)
{
	EXPECT_ERR(lwc_features, EFAULT, lwc_features(NULL));
}

/* No number is left to open the device at. */
LWC_TEST(full_table)
{
	struct lwc_features f;
	int status;

	IN_CHILD(status) {
		struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };

		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		while (dup(2) >= 0)
			;
		EXPECT_ERR(lwc_features, EMFILE, lwc_features(&f));
		close(50);
		close(51);
		EXPECT_EQ(0, lwc_features(&f));
	}
	EXPECT_EQ(0, status);
}

/* Permission is checked at open: what is open stays good. */
LWC_TEST(open_survives_setuid)
{
	struct lwc_features f;
	int ctx, status;

	NEED_ROOT();
	IN_CHILD(status) {
		ASSERT_EQ(0, lwc_features(&f));
		become_nobody(_metadata);
		EXPECT_EQ(0, lwc_features(&f));
		CONTEXT(ctx) {
			in.reply = geteuid();
		}
		ASSERT_LE(0, ctx);
		EXPECT_EQ(65534, CALL(ctx, 0));
	}
	EXPECT_EQ(0, status);
}

LWC_TEST(open_survives_fork)
{
	struct lwc_features f;
	int ctx, status;

	ASSERT_EQ(0, lwc_features(&f));
	IN_CHILD(status) {
		EXPECT_EQ(0, lwc_features(&f));
		CONTEXT(ctx) {
			in.reply = 5;
		}
		ASSERT_LE(0, ctx);
		EXPECT_EQ(5, CALL(ctx, 0));
	}
	EXPECT_EQ(0, status);
}

/* A machine without the module has no such device. */
LWC_TEST(no_device)
{
	struct lwc_pool *pool;
	struct lwc_features f;
	struct lwc_event ev;
	int status;

	NEED_ROOT();
	IN_CHILD(status) {
		ASSERT_EQ(0, unshare(CLONE_NEWNS));
		ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		ASSERT_EQ(0, mount("none", "/dev", "tmpfs", 0, NULL));
		EXPECT_ERR(lwc_features, ENODEV, lwc_features(&f));
		EXPECT_ERR(lwc_create, ENODEV, lwc_create(NULL, 0, 0, &ev));
		EXPECT_ERR(lwc_snapshot, ENODEV, lwc_snapshot(-1, 0, &ev));
		EXPECT_ERR(lwc_self, ENODEV, lwc_self());
		EXPECT_ERR(lwc_request_run, ENODEV, lwc_request_run(&plain, nothing, NULL, NULL));
		ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, answer, NULL, &pool));
		EXPECT_ERR(lwc_pool_run, ENODEV, lwc_pool_run(pool, 0, NULL));
	}
	EXPECT_EQ(0, status);
}

/* The driver knows its own contexts, whoever opens the device how. */
LWC_TEST(read_only_open)
{
	struct lwc_features f = { .size = sizeof(f) };
	int fd = open(DEVICE, O_RDONLY | O_CLOEXEC);
	char c;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, raw_ioctl(fd, LWC_IOC_FEATURES, &f));
	EXPECT_GT(0, read(fd, &c, 1));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	close(fd);
}

TEST_HARNESS_MAIN
