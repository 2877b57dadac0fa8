// SPDX-License-Identifier: GPL-2.0
/*
 * What was begun in one context and goes on while the thread is in another: requests,
 * pages in pipes, watchers, waiters, and descriptors that carry power over the context
 * they were opened in. Each is first seen to work within one context.
 */
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "test.h"

/* Whoever looks after something from another thread, in the context it was made in. */
static pthread_t start(void *(*fn)(void *))
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, NULL)) {
		perror("# pthread_create");
		abort();
	}
	return t;
}

static char *watched;
static int watcher;

static void *fill_pages(void *arg)
{
	static char page[PAGE] __attribute__((aligned(PAGE))) = "theirs";
	struct uffdio_copy copy = { .src = (uintptr_t)page, .len = PAGE };
	struct uffd_msg msg;

	(void)arg;
	while (read(watcher, &msg, sizeof(msg)) == sizeof(msg)) {
		shm[0]++;
		copy.dst = msg.arg.pagefault.address & ~(PAGE - 1);
		copy.copy = 0;
		ioctl(watcher, UFFDIO_COPY, &copy);
	}
	return NULL;
}

/* Who answers the faults of one context does not fill the other's pages. */
LWC_TEST(userfaultfd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t t;
	int ctx;

	watched = private_memory(4 * PAGE);
	watcher = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (watcher < 0 && (errno == ENOSYS || errno == EPERM))
		SKIP(return, "no userfaultfd for this user");
	ASSERT_LE(0, watcher);
	ASSERT_EQ(0, ioctl(watcher, UFFDIO_API, &api));
	range.range.start = (uintptr_t)watched;
	range.range.len = 4 * PAGE;
	ASSERT_EQ(0, ioctl(watcher, UFFDIO_REGISTER, &range));
	CONTEXT(ctx) {
		EXPECT_EQ(0, watched[0]);
		EXPECT_EQ(0, watched[PAGE]);
		watched[PAGE] = 1;
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	t = start(fill_pages);
	EXPECT_STREQ("theirs", watched);
	EXPECT_EQ(1, shm[0]);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, shm[0]);
	EXPECT_STREQ("theirs", watched + PAGE);
	EXPECT_EQ(2, shm[0]);
	pthread_cancel(t);
	ASSERT_EQ(0, pthread_join(t, NULL));
}

static int got_event(aio_context_t aio)
{
	struct timespec now = { 0 };
	struct io_event event;

	return syscall(SYS_io_getevents, aio, 0, 1, &event, &now) < 0 ? -errno :
	       event.data == 42;
}

/* A request of one context is answered there, whoever brings the answer about. */
LWC_TEST(aio)
{
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_data = 42 };
	struct iocb *list[] = { &request };
	struct io_event event = { 0 };
	aio_context_t aio = 0;
	int ctx, pair[2];

	ASSERT_EQ(0, pipe(pair));
	if (syscall(SYS_io_setup, 4, &aio) && errno == ENOSYS)
		SKIP(return, "no AIO in this kernel");
	ASSERT_NE(0, aio);
	request.aio_fildes = pair[0];
	request.aio_buf = POLLIN;
	CONTEXT(ctx) {
		EXPECT_EQ(1, write(pair[1], "x", 1));
		EXPECT_EQ(-EINVAL, got_event(aio));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	/* Here: asked for, brought about, answered. */
	ASSERT_EQ(1, syscall(SYS_io_submit, aio, 1, list));
	EXPECT_EQ(1, write(pair[1], "x", 1));
	ASSERT_EQ(1, syscall(SYS_io_getevents, aio, 1, 1, &event, NULL));
	EXPECT_EQ(42, event.data);
	EXPECT_EQ(1, read(pair[0], &(char){ 0 }, 1));
	/* Asked for here, brought about there. */
	ASSERT_EQ(1, syscall(SYS_io_submit, aio, 1, list));
	EXPECT_EQ(1, CALL(ctx, 0));
	ASSERT_EQ(1, syscall(SYS_io_getevents, aio, 1, 1, &event, NULL));
	EXPECT_EQ(42, event.data);
	EXPECT_EQ(0, syscall(SYS_io_destroy, aio));
}

/*
 * A page in a pipe is the memory that it was put there from, as long as that is only
 * read. Who put it there from a copy must not see what is written to the original.
 */
LWC_TEST(page_in_a_pipe)
{
	char *page = private_memory(PAGE), got[8] = "";
	struct iovec iov = { page, 8 };
	int ctx, i, pair[2];

	ASSERT_EQ(0, pipe(pair));
	strcpy(page, "public");
	CONTEXT(ctx) {
		if (!in.ev.arg) {
			EXPECT_EQ(8, vmsplice(pair[1], &iov, 1, 0));
			/* So that the writer is left alone with it. */
			EXPECT_EQ(0, munmap(page, PAGE));
		} else {
			EXPECT_EQ(8, read(pair[0], got, 8));
			in.reply = !strcmp(got, "public");
		}
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	strcpy(page, "hidden");
	EXPECT_EQ(1, CALL(ctx, 1));
	EXPECT_STREQ("hidden", page);
	/* In one context it is seen. */
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(8, vmsplice(pair[1], &iov, 1, 0));
		strcpy(page, i ? "second" : "first");
		EXPECT_EQ(8, read(pair[0], got, 8));
		EXPECT_STREQ(page, got);
	}
}

static uint32_t word;

static void *wait_for_word(void *arg)
{
	struct timespec limit = { .tv_sec = 20 };

	(void)arg;
	shm[1] = 1;
	shm[2] = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit, NULL, 0) ? errno : 0;
	return NULL;
}

static int wake(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* The same address elsewhere is another word: nobody waits there. */
LWC_TEST(futex)
{
	pthread_t t;
	int ctx, i;

	CONTEXT(ctx) {
		in.reply = wake();
	}
	ASSERT_LE(0, ctx);
	t = start(wait_for_word);
	while (!shm[1])
		usleep(100);
	msleep(50);
	EXPECT_EQ(0, CALL(ctx, 0));
	for (i = 0; i < 100 && !wake(); i++)
		msleep(10);
	EXPECT_LT(i, 100);
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(0, shm[2]);
}

static void *change_directory(void *arg)
{
	(void)arg;
	while (!shm[5])
		usleep(100);
	shm[6] = chdir("/proc");
	while (shm[5] != 2)
		usleep(100);
	return NULL;
}

static bool is_in(const char *directory)
{
	char path[256];

	return getcwd(path, sizeof(path)) && !strcmp(path, directory);
}

/* A sibling changes its directory, and with it everyone's who is in the same context. */
LWC_TEST(chdir_under_the_other_s_feet)
{
	pthread_t t;
	int ctx;

	ASSERT_EQ(0, chdir("/dev"));
	shm[6] = -1;
	CONTEXT(ctx) {
		shm[5] = 1;
		while (shm[6] < 0)
			usleep(100);
		EXPECT_TRUE(is_in("/dev"));
		EXPECT_TRUE(!access("lwc", F_OK));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	t = start(change_directory);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_TRUE(is_in("/proc"));
	shm[5] = 2;
	ASSERT_EQ(0, pthread_join(t, NULL));
}

static int listener;

static void *answer_calls(void *arg)
{
	struct seccomp_notif *call = calloc(1, 4096);
	struct seccomp_notif_resp *answer = calloc(1, 4096);

	(void)arg;
	while (!shm[8])
		usleep(100);
	while (shm[8] == 1) {
		struct pollfd asked = { .fd = listener, .events = POLLIN };

		if (poll(&asked, 1, 10) != 1)
			continue;
		memset(call, 0, sizeof(*call));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, call))
			break;
		shm[9]++;
		memset(answer, 0, sizeof(*answer));
		answer->id = call->id;
		answer->error = -99;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, answer);
	}
	free(call);
	free(answer);
	return NULL;
}

static int listen_to_getppid(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		       &program);
}

/* Who listens to the system calls of one context does not hear those of the other. */
LWC_TEST(seccomp_listener)
{
	long parent = getppid();
	pthread_t t;
	int ctx;

	CONTEXT(ctx) {
		in.reply = syscall(SYS_getppid) == parent;
	}
	ASSERT_LE(0, ctx);
	t = start(answer_calls);
	listener = listen_to_getppid();
	ASSERT_LE(0, listener);
	shm[8] = 1;
	EXPECT_EQ(-1, syscall(SYS_getppid));
	EXPECT_EQ(99, errno);
	EXPECT_EQ(1, shm[9]);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, shm[9]);
	EXPECT_EQ(-1, syscall(SYS_getppid));
	EXPECT_EQ(2, shm[9]);
	shm[8] = 2;
	ASSERT_EQ(0, pthread_join(t, NULL));
}

/*
 * A descriptor is a capability: it has the power that it had where it was opened. A
 * spec leaves it out, a copy does not.
 */
LWC_TEST(descriptors_opened_before)
{
	static volatile char text[8] = "theirs";
	struct lwc_spec none = { LWC_FILES, LWC_UNMAP, 0, 3, INT32_MAX };
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 42 };
	int with, without, mem, poller, pair[2];
	char got[8] = "";

	/* Out of the way of what is opened there. */
	mem = fcntl(open("/proc/self/mem", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, 600);
	ASSERT_LE(600, mem);
	ASSERT_EQ(0, pipe(pair));
	ASSERT_EQ(1, write(pair[1], "x", 1));
	poller = fcntl(epoll_create1(EPOLL_CLOEXEC), F_DUPFD_CLOEXEC, 600);
	ASSERT_EQ(0, epoll_ctl(poller, EPOLL_CTL_ADD, pair[0], &event));
	CONTEXT(with) {
		strcpy((char *)text, "mine");
		EXPECT_EQ(8, pread(mem, got, 8, (uintptr_t)text));
		EXPECT_STREQ("theirs", got);
		memset(&event, 0, sizeof(event));
		EXPECT_EQ(1, epoll_wait(poller, &event, 1, 0));
		EXPECT_EQ(42, event.data.u64);
		in.reply = 1;
	}
	ASSERT_LE(0, with);
	CONTEXT_WITH(without, &none, 1, 0) {
		EXPECT_EQ(-1, pread(mem, got, 8, (uintptr_t)text));
		EXPECT_EQ(EBADF, errno);
		EXPECT_EQ(-1, epoll_wait(poller, &event, 1, 0));
		EXPECT_EQ(EBADF, errno);
		in.reply = 1;
	}
	ASSERT_LE(0, without);
	EXPECT_EQ(1, CALL(with, 0));
	EXPECT_EQ(1, CALL(without, 0));
}

TEST_HARNESS_MAIN
