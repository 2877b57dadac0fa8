// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_snapshot and lwc_rollback: all that is put back, all that must not be, each
 * refusal, and that a thousand rounds cost nothing that stays. A rollback takes the
 * test's own memory with it: what is to be remembered is in shm[].
 */
#include <linux/aio_abi.h>
#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/file.h>

#include "test.h"

LWC_TEST(returns_again)
{
	struct lwc_event ev;
	int i;

	memset(&ev, 0x55, sizeof(ev));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	ASSERT_LE(3, ev.created);
	EXPECT_EQ(-1, ev.caller);
	EXPECT_EQ(FD_CLOEXEC, fcntl(ev.created, F_GETFD));
	i = shm[0]++;
	if (!i) {
		EXPECT_EQ(LWC_EV_CREATED, ev.reason);
		shm[1] = ev.created;
	} else {
		EXPECT_EQ(LWC_EV_ROLLBACK, ev.reason);
		EXPECT_EQ(shm[1], ev.created);
		EXPECT_EQ(0x1234567800000000l + i, (long)ev.arg);
	}
	if (i < 10)
		ROLLBACK(ev.created, 0x1234567800000001ul + i);
	EXPECT_EQ(0, lwc_close(ev.created));
}

static int in_data = 1;
static int in_bss;

LWC_TEST(memory)
{
	const int n = 100;
	char *p = private_memory(n * PAGE);
	volatile int on_stack = 1;
	int *heap = malloc(sizeof(*heap));
	int snap, round, i;

	for (i = 0; i < n; i += 2)
		memset(p + i * PAGE, 5, PAGE);
	*heap = 1;
	in_data = 1;
	in_bss = 0;
	round = SNAPSHOT(snap);
	EXPECT_EQ(1, on_stack);
	EXPECT_EQ(1, *heap);
	EXPECT_EQ(1, in_data);
	EXPECT_EQ(0, in_bss);
	for (i = 0; i < n; i++) {
		EXPECT_EQ(i & 1 ? 0 : 5, p[i * PAGE]);
		EXPECT_EQ(i & 1 ? 0 : 5, p[i * PAGE + PAGE - 1]);
	}
	if (round < 20) {
		char *q;

		on_stack = *heap = in_data = in_bss = 99;
		for (i = round % 4; i < n; i += 1 + round % 4)
			memset(p + i * PAGE, 6 + round, PAGE);
		/* The allocator's books are put back as well. */
		q = malloc(100000);
		memset(q, 1, 100000);
		ROLLBACK(snap, 0);
	}
	free(heap);
}

/* Read only, and then written after the rollback: copies, not aliases. */
LWC_TEST(memory_is_not_aliased)
{
	char *p = private_memory(8 * PAGE);
	int snap, round;

	memset(p, 1, 8 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_EQ(1, p[0]);
	EXPECT_EQ(1, p[PAGE]);
	EXPECT_EQ(1, p[2 * PAGE]);
	if (round == 0) {
		p[0] = 2;
	} else if (round == 1) {
		p[PAGE] = 3;
	} else if (round == 2) {
		p[0] = 4;
		p[2 * PAGE] = 4;
	} else {
		return;
	}
	ROLLBACK(snap, 0);
}

LWC_TEST(new_mappings_go)
{
	int snap, round = SNAPSHOT(snap);

	if (round)
		EXPECT_FALSE(is_mapped((void *)shm[1]));
	if (round < 5) {
		char *p = private_memory(50 * PAGE);

		memset(p, 1, 50 * PAGE);
		shm[1] = (long)p;
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(unmapped_comes_back)
{
	char *p = private_memory(10 * PAGE);
	int snap, round, i;

	for (i = 0; i < 10; i++)
		p[i * PAGE] = i;
	round = SNAPSHOT(snap);
	for (i = 0; i < 10; i++) {
		EXPECT_TRUE(is_mapped(p + i * PAGE));
		EXPECT_EQ(i, p[i * PAGE]);
	}
	switch (round) {
	case 0:
		ASSERT_EQ(0, munmap(p, 10 * PAGE));
		break;
	case 1:
		ASSERT_EQ(0, munmap(p + 3 * PAGE, 2 * PAGE));
		break;
	case 2:
		ASSERT_NE(MAP_FAILED, mmap(p, 5 * PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE |
					   MAP_ANONYMOUS, -1, 0));
		break;
	case 3:
		ASSERT_NE(MAP_FAILED, mmap(p, 5 * PAGE, PROT_READ, MAP_FIXED | MAP_SHARED |
					   MAP_ANONYMOUS, -1, 0));
		break;
	default:
		return;
	}
	ROLLBACK(snap, 0);
}

LWC_TEST(protection_comes_back)
{
	char *p = private_memory(4 * PAGE);
	int snap, round;

	p[0] = p[PAGE] = p[2 * PAGE] = 1;
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(p + 2 * PAGE, PAGE, PROT_NONE));
	round = SNAPSHOT(snap);
	p[0]++;
	EXPECT_EQ(2, p[0]);
	EXPECT_EQ(1, p[PAGE]);
	EXPECT_FALSE(is_readable(p + 2 * PAGE));
	if (round < 3) {
		EXPECT_EQ(0, mprotect(p, 4 * PAGE, round ? PROT_READ : PROT_READ | PROT_WRITE));
		if (!round)
			memset(p, 9, 4 * PAGE);
		if (round == 2)
			EXPECT_EQ(0, mprotect(p, 4 * PAGE, PROT_NONE));
		ROLLBACK(snap, 0);
	}
	/* Still not writable. */
	IN_CHILD(round) {
		*(volatile char *)(p + PAGE) = 1;
	}
	EXPECT_EQ(SIGSEGV, WTERMSIG(round));
}

LWC_TEST(heap)
{
	char *top = sbrk(0);
	int snap, round = SNAPSHOT(snap);

	EXPECT_EQ(top, sbrk(0));
	if (round < 5) {
		char *p = sbrk(100 * PAGE);

		ASSERT_EQ(top, p);
		memset(p, 1, 100 * PAGE);
		ROLLBACK(snap, 0);
	}
	EXPECT_FALSE(is_mapped(top + PAGE));
}

LWC_TEST(heap_shrunk)
{
	char *top = sbrk(20 * PAGE);
	int snap, round;

	top = sbrk(0);
	memset(top - 15 * PAGE, 7, 15 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_EQ(top, sbrk(0));
	EXPECT_EQ(7, top[-1]);
	EXPECT_EQ(7, top[-10 * (long)PAGE]);
	if (round < 5) {
		ASSERT_NE((void *)-1, sbrk(-12 * (long)PAGE));
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(moved_and_resized)
{
	char *p = private_memory(4 * PAGE), *q;
	int snap, round, i;

	for (i = 0; i < 4; i++)
		p[i * PAGE] = 1 + i;
	round = SNAPSHOT(snap);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(1 + i, p[i * PAGE]);
	if (round)
		EXPECT_FALSE(is_mapped((void *)shm[1]));
	if (round == 0) {
		q = mremap(p, 4 * PAGE, 1000 * PAGE, MREMAP_MAYMOVE);
		ASSERT_NE(MAP_FAILED, q);
		q[999 * PAGE] = 1;
		shm[1] = (long)(q + 999 * PAGE);
	} else if (round == 1) {
		ASSERT_EQ(p, mremap(p, 4 * PAGE, PAGE, 0));
	} else if (round == 2) {
		q = private_memory(8 * PAGE);
		shm[1] = (long)q;
		ASSERT_EQ(q, mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q));
	} else if (round == 3) {
		q = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
		ASSERT_NE(MAP_FAILED, q);
		shm[1] = (long)q;
	} else {
		return;
	}
	ROLLBACK(snap, 0);
}

LWC_TEST(discarded_pages_come_back)
{
	char *p = private_memory(10 * PAGE);
	int snap, round, i;

	for (i = 0; i < 10; i++)
		p[i * PAGE] = 1 + i;
	round = SNAPSHOT(snap);
	for (i = 0; i < 10; i++)
		EXPECT_EQ(1 + i, p[i * PAGE]);
	switch (round) {
	case 0:
		ASSERT_EQ(0, madvise(p, 10 * PAGE, MADV_DONTNEED));
		break;
	case 1:
		ASSERT_EQ(0, madvise(p + 2 * PAGE, 3 * PAGE, MADV_DONTNEED));
		p[3 * PAGE] = 55;
		break;
	case 2:
		ASSERT_EQ(0, madvise(p, 10 * PAGE, MADV_FREE));
		break;
	default:
		return;
	}
	ROLLBACK(snap, 0);
}

/* Private mappings of files: what was written is forgotten, what was not is the file's. */
LWC_TEST(file_mappings)
{
	int fd = memfd_create("file", MFD_CLOEXEC), snap, round;
	char *p;

	ASSERT_EQ(0, ftruncate(fd, 4 * PAGE));
	ASSERT_EQ(1, pwrite(fd, "a", 1, 0));
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	p[PAGE] = 'b';
	round = SNAPSHOT(snap);
	EXPECT_EQ('b', p[PAGE]);
	EXPECT_EQ(round ? 'x' : 'a', p[0]);
	EXPECT_EQ(0, p[2 * PAGE]);
	if (round < 3) {
		p[PAGE] = 'c';
		p[2 * PAGE] = 'd';
		/* File contents are not rolled back, here seen through the mapping. */
		EXPECT_EQ(1, pwrite(fd, "x", 1, 0));
		EXPECT_EQ('x', p[0]);
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(shared_mappings_are_kept)
{
	volatile int *p = shared_memory(PAGE);
	int fd = memfd_create("file", MFD_CLOEXEC), snap, round;
	volatile int *q;

	ASSERT_EQ(0, ftruncate(fd, PAGE));
	q = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	round = SNAPSHOT(snap);
	EXPECT_EQ(round, *p);
	EXPECT_EQ(round, *q);
	if (round < 5) {
		(*p)++;
		(*q)++;
		ROLLBACK(snap, 0);
	}
}

/* A shared mapping made since goes, one unmapped since comes back with its object. */
LWC_TEST(shared_mappings_come_back)
{
	volatile int *p = shared_memory(PAGE);
	int snap, round;

	*p = 77;
	round = SNAPSHOT(snap);
	EXPECT_EQ(77, *p);
	if (round)
		EXPECT_FALSE(is_mapped((void *)shm[1]));
	if (round < 3) {
		munmap((void *)p, PAGE);
		shm[1] = (long)shared_memory(PAGE * 100) + 50 * PAGE;
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(wipeonfork_is_wiped)
{
	char *p = private_memory(2 * PAGE);
	int snap, round;

	p[0] = p[PAGE] = 1;
	ASSERT_EQ(0, madvise(p, PAGE, MADV_WIPEONFORK));
	round = SNAPSHOT(snap);
	/* A snapshot changes nothing here; a rollback wipes. */
	EXPECT_EQ(!round, p[0]);
	EXPECT_EQ(1, p[PAGE]);
	if (round < 3) {
		p[0] = 5;
		ROLLBACK(snap, 0);
	}
}

static __attribute__((noinline)) long use_stack(size_t bytes)
{
	volatile char *p = __builtin_alloca(bytes);
	size_t i;

	for (i = 0; i < bytes; i += PAGE)
		p[i] = 1;
	return (long)p;
}

LWC_TEST(stack_growth)
{
	int snap, round = SNAPSHOT(snap);

	if (round < 5) {
		use_stack(1 << 20);
		use_stack((round + 1) << 20);
		ROLLBACK(snap, 0);
	}
	/* It grows again. */
	use_stack(7 << 20);
}

/* Frames below the one that took the snapshot are put back. */
static __attribute__((noinline)) int deep(int n, int snap)
{
	volatile char frame[256];
	int r;

	memset((void *)frame, n, sizeof(frame));
	r = n ? deep(n - 1, snap) : lwc_rollback(snap, 5);
	return r + frame[n % 256];
}

LWC_TEST(from_deep_inside)
{
	volatile int local = 3;
	int snap, round = SNAPSHOT(snap);

	EXPECT_EQ(3, local);
	local = 4;
	if (round < 5)
		deep(200, snap);
	EXPECT_EQ(5, round);
}

/* With swap in play, what was written to it comes back as well. */
LWC_TEST(paged_out)
{
	const int n = 200;
	char *p = private_memory(n * PAGE);
	int snap, round, i;

	for (i = 0; i < n; i++)
		memset(p + i * PAGE, i, 64);
	madvise(p, n * PAGE, MADV_PAGEOUT);
	round = SNAPSHOT(snap);
	for (i = 0; i < n; i++)
		EXPECT_EQ((char)i, p[i * PAGE + 63]);
	if (round < 3) {
		for (i = 0; i < n; i += 3)
			p[i * PAGE + 63] = 99;
		madvise(p, n * PAGE, MADV_PAGEOUT);
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(huge_pages)
{
	const size_t size = 8 << 20;
	char *p = private_memory(size);
	int snap, round;
	size_t i;

	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 1, size);
	round = SNAPSHOT(snap);
	for (i = 0; i < size; i += PAGE) {
		if (p[i] != 1 || p[i + 100] != 1) {
			_metadata->passed = 0;
			break;
		}
	}
	if (round < 4) {
		if (round & 1)
			memset(p, 2, size);
		else
			p[100] = p[3 << 20] = 3;
		if (round == 3)
			ASSERT_EQ(0, munmap(p + (4 << 20), PAGE));
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(descriptors)
{
	int snap, round, i;
	struct stat a, b;

	for (i = 100; i < 110; i++)
		ASSERT_EQ(i, dup2(2, i));
	fcntl(105, F_SETFD, FD_CLOEXEC);
	round = SNAPSHOT(snap);
	for (i = 100; i < 110; i++)
		EXPECT_TRUE(is_open(i));
	for (i = 200; i < 210; i++)
		EXPECT_FALSE(is_open(i));
	EXPECT_EQ(0, fstat(2, &a));
	EXPECT_EQ(0, fstat(103, &b));
	EXPECT_EQ(a.st_ino, b.st_ino);
	EXPECT_EQ(0, fcntl(104, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(105, F_GETFD));
	if (round < 5) {
		close(100);
		close(101);
		ASSERT_EQ(102, dup2(110 - 1, 102));
		i = memfd_create("new", 0);
		ASSERT_EQ(103, dup2(i, 103));
		fcntl(104, F_SETFD, FD_CLOEXEC);
		fcntl(105, F_SETFD, 0);
		for (i = 200; i < 210; i++)
			ASSERT_EQ(i, dup2(2, i));
		if (round == 3)
			syscall(SYS_close_range, 4, snap - 1, 0);
		ROLLBACK(snap, 0);
	}
}

/* Descriptors opened since are really closed: the other end notices. */
LWC_TEST(opened_since_are_closed)
{
	struct pollfd p = { .events = POLLIN };
	int snap, round, far, fds[2];
	char c;

	ASSERT_EQ(0, pipe(fds));
	far = fcntl(fds[0], F_DUPFD, 50);
	round = SNAPSHOT(snap);
	if (!round) {
		/* A writer that exists from now on only. */
		close(fds[1]);
		ROLLBACK(snap, 0);
	}
	/* Round 1: both ends are there again. */
	EXPECT_EQ(1, write(fds[1], "x", 1));
	EXPECT_EQ(1, read(far, &c, 1));
	if (round == 1) {
		int writer = dup(fds[1]);

		EXPECT_LE(0, writer);
		ROLLBACK(snap, 0);
	}
	/* The snapshot holds what it would bring back. */
	EXPECT_EQ(0, lwc_close(snap));
	close(fds[1]);
	p.fd = far;
	ASSERT_EQ(1, poll(&p, 1, 5000));
	EXPECT_EQ(0, read(far, &c, 1));
}

/* Offsets, contents and sent data stay as they are. */
LWC_TEST(files_are_not_rolled_back)
{
	int fd = memfd_create("file", MFD_CLOEXEC), snap, round, pair[2];
	char text[16] = "";

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	round = SNAPSHOT(snap);
	EXPECT_EQ(round * 3, lseek(fd, 0, SEEK_CUR));
	if (round < 3) {
		EXPECT_EQ(3, write(fd, "abc", 3));
		EXPECT_EQ(1, write(pair[0], "z", 1));
		ROLLBACK(snap, 0);
	}
	EXPECT_EQ(9, pread(fd, text, 16, 0));
	EXPECT_STREQ("abcabcabc", text);
	EXPECT_EQ(3, read(pair[1], text, 16));
}

LWC_TEST(working_directory_and_umask)
{
	char name[4096];
	int snap, round;

	ASSERT_EQ(0, chdir("/proc"));
	umask(027);
	round = SNAPSHOT(snap);
	EXPECT_STREQ("/proc", getcwd(name, sizeof(name)));
	EXPECT_EQ(027, umask(022));
	if (round < 3) {
		ASSERT_EQ(0, chdir("/sys"));
		if (is_root() && round == 2)
			ASSERT_EQ(0, chroot("/sys"));
		ROLLBACK(snap, 0);
	}
	EXPECT_EQ(0, access("/proc/self", F_OK));
}

LWC_TEST(credentials)
{
	int snap, round;

	NEED_ROOT();
	round = SNAPSHOT(snap);
	EXPECT_EQ(0, getuid());
	EXPECT_EQ(0, geteuid());
	EXPECT_EQ(0, setgid(0));
	if (round < 5) {
		ASSERT_EQ(0, setresgid(66, 66, 66));
		ASSERT_EQ(0, setresuid(66, 66, 66));
		ROLLBACK(snap, 0);
	}
}

static bool blocked(int sig)
{
	sigset_t set;

	sigprocmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, sig);
}

static void block(int how, int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(how, &set, NULL);
}

LWC_TEST(signal_mask)
{
	int snap, round;

	block(SIG_BLOCK, SIGUSR1);
	round = SNAPSHOT(snap);
	EXPECT_TRUE(blocked(SIGUSR1));
	EXPECT_FALSE(blocked(SIGUSR2));
	if (round < 3) {
		block(SIG_BLOCK, SIGUSR2);
		block(SIG_UNBLOCK, SIGUSR1);
		ROLLBACK(snap, 0);
	}
}

static void first_handler(int sig)
{
	(void)sig;
	shm[10]++;
}

static void second_handler(int sig)
{
	(void)sig;
	shm[11]++;
}

LWC_TEST(signal_handlers)
{
	struct sigaction a = { .sa_handler = first_handler, .sa_flags = SA_NODEFER }, seen;
	struct sigaction b = { .sa_handler = second_handler, .sa_flags = SA_RESTART };
	int snap, round;

	sigaddset(&a.sa_mask, SIGHUP);
	ASSERT_EQ(0, sigaction(SIGUSR1, &a, NULL));
	signal(SIGUSR2, SIG_IGN);
	round = SNAPSHOT(snap);
	ASSERT_EQ(0, sigaction(SIGUSR1, NULL, &seen));
	EXPECT_EQ(a.sa_handler, seen.sa_handler);
	EXPECT_EQ(SA_NODEFER, seen.sa_flags & (SA_NODEFER | SA_RESTART));
	EXPECT_EQ(1, sigismember(&seen.sa_mask, SIGHUP));
	ASSERT_EQ(0, sigaction(SIGUSR2, NULL, &seen));
	EXPECT_EQ(SIG_IGN, seen.sa_handler);
	ASSERT_EQ(0, sigaction(SIGHUP, NULL, &seen));
	EXPECT_EQ(SIG_DFL, seen.sa_handler);
	raise(SIGUSR1);
	EXPECT_EQ(round + 1, shm[10]);
	EXPECT_EQ(0, shm[11]);
	if (round < 3) {
		ASSERT_EQ(0, sigaction(SIGUSR1, &b, NULL));
		ASSERT_EQ(0, sigaction(SIGUSR2, &b, NULL));
		ASSERT_EQ(0, sigaction(SIGHUP, &b, NULL));
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(pending_signals_are_not_rolled_back)
{
	struct sigaction a = { .sa_handler = first_handler };
	int snap, round;

	ASSERT_EQ(0, sigaction(SIGUSR1, &a, NULL));
	block(SIG_BLOCK, SIGUSR1);
	round = SNAPSHOT(snap);
	if (!round) {
		raise(SIGUSR1);
		ROLLBACK(snap, 0);
	}
	EXPECT_EQ(0, shm[10]);
	block(SIG_UNBLOCK, SIGUSR1);
	EXPECT_EQ(1, shm[10]);
}

LWC_TEST(alternate_stack)
{
	stack_t a = { .ss_sp = private_memory(16 * PAGE), .ss_size = 16 * PAGE };
	stack_t b = { .ss_sp = private_memory(32 * PAGE), .ss_size = 32 * PAGE };
	stack_t seen;
	int snap, round;

	ASSERT_EQ(0, sigaltstack(&a, NULL));
	round = SNAPSHOT(snap);
	ASSERT_EQ(0, sigaltstack(NULL, &seen));
	EXPECT_EQ(a.ss_sp, seen.ss_sp);
	EXPECT_EQ(a.ss_size, seen.ss_size);
	if (round < 3) {
		ASSERT_EQ(0, sigaltstack(&b, NULL));
		ROLLBACK(snap, 0);
	}
}

/* Not static: raise() is a leaf, and compilers believe it. */
int handler_snap;

static void roll_back_from_handler(int sig)
{
	lwc_rollback(handler_snap, sig);
	shm[20] = -1;
}

/* A deadline: work that never ends, a timer, and a rollback out of its handler. */
LWC_TEST(deadline)
{
	struct sigaction sa = { .sa_handler = roll_back_from_handler };
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	volatile long count = 0;
	int round;

	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	round = SNAPSHOT(handler_snap);
	EXPECT_FALSE(blocked(SIGALRM));
	EXPECT_EQ(0, count);
	EXPECT_EQ(0, shm[20]);
	if (round < 10) {
		ASSERT_EQ(0, setitimer(ITIMER_REAL, &soon, NULL));
		for (;;)
			count++;
	}
}

/* The same in a system call that would not come back for a minute. */
LWC_TEST(deadline_in_a_call)
{
	struct sigaction sa = { .sa_handler = roll_back_from_handler, .sa_flags = SA_RESTART };
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	int round, fds[2];
	char c;

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	round = SNAPSHOT(handler_snap);
	EXPECT_FALSE(blocked(SIGALRM));
	if (round < 6) {
		ASSERT_EQ(0, setitimer(ITIMER_REAL, &soon, NULL));
		if (round & 1) {
			sleep(60);
		} else {
			long r = read(fds[0], &c, 1);

			EXPECT_EQ(0, r);
		}
		_metadata->passed = 0;
	}
}

LWC_TEST(deadline_on_the_alternate_stack)
{
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	int round, flags;
	stack_t seen;

	for (flags = 0; flags < 2; flags++) {
		struct sigaction sa = {
			.sa_handler = roll_back_from_handler, .sa_flags = SA_ONSTACK,
		};
		stack_t stack = {
			.ss_sp = private_memory(64 * PAGE), .ss_size = 64 * PAGE,
			/* SS_AUTODISARM: the handler runs with it disarmed. */
			.ss_flags = flags ? 1 << 31 : 0,
		};

		ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
		ASSERT_EQ(0, sigaltstack(&stack, NULL));
		round = SNAPSHOT(handler_snap);
		EXPECT_FALSE(blocked(SIGALRM));
		ASSERT_EQ(0, sigaltstack(NULL, &seen));
		EXPECT_EQ(stack.ss_sp, seen.ss_sp);
		EXPECT_EQ(stack.ss_flags, seen.ss_flags);
		if (round < 5) {
			ASSERT_EQ(0, setitimer(ITIMER_REAL, &soon, NULL));
			for (;;)
				use_stack(1 << 16);
		}
		EXPECT_EQ(0, lwc_close(handler_snap));
	}
}

/* A crash: the handler on the alternate stack rolls back. */
LWC_TEST(crash)
{
	struct sigaction sa = {
		.sa_handler = roll_back_from_handler, .sa_flags = SA_ONSTACK,
	};
	stack_t stack = { .ss_sp = private_memory(64 * PAGE), .ss_size = 64 * PAGE };
	volatile int *nothing = NULL;
	int round;

	ASSERT_EQ(0, sigaltstack(&stack, NULL));
	ASSERT_EQ(0, sigaction(SIGSEGV, &sa, NULL));
	round = SNAPSHOT(handler_snap);
	EXPECT_FALSE(blocked(SIGSEGV));
	if (round < 10) {
		*nothing = 1;
		_metadata->passed = 0;
	}
}

LWC_TEST(rearm)
{
	volatile int x = 1;
	struct lwc_event ev;
	long contexts;
	int snap, fds;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	snap = ev.created;
	if (!shm[0]++) {
		x = 2;
		contexts = counter("contexts");
		fds = open_descriptors();
		ASSERT_EQ(0, lwc_snapshot(snap, 0, &ev));
		EXPECT_EQ(snap, ev.created);
		EXPECT_EQ(2, x);
		if (!shm[1]++) {
			EXPECT_EQ(LWC_EV_CREATED, ev.reason);
			EXPECT_EQ(contexts, counter("contexts"));
			EXPECT_EQ(fds, open_descriptors());
			x = 3;
			ROLLBACK(snap, 66);
		}
		EXPECT_EQ(LWC_EV_ROLLBACK, ev.reason);
		EXPECT_EQ(66, ev.arg);
		if (shm[2]++ < 5) {
			x = 4;
			ROLLBACK(snap, 66);
		}
	} else {
		/* The first point is forgotten. */
		_metadata->passed = 0;
	}
	EXPECT_EQ(6, shm[2]);
}

/* As a server does it: one snapshot, re-armed for each request. */
LWC_TEST(rearm_and_roll_back)
{
	long i, n = scaled(200);
	char *p = private_memory(32 * PAGE);
	volatile int kept = 0, scribble = 0;
	struct lwc_event ev;
	int snap;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	snap = ev.created;
	for (i = 0; i < n; i++) {
		kept = i;
		p[i % 32 * PAGE]++;
		shm[2] = p[i % 32 * PAGE];
		ASSERT_EQ(0, lwc_snapshot(snap, 0, &ev));
		EXPECT_EQ(i, kept);
		EXPECT_EQ(0, scribble);
		EXPECT_EQ(shm[2], p[i % 32 * PAGE]);
		if (ev.reason == LWC_EV_CREATED) {
			memset(p, 0xee, 32 * PAGE);
			scribble = 1;
			kept = -1;
			ROLLBACK(snap, i);
		}
		EXPECT_EQ((uint64_t)i, ev.arg);
	}
	EXPECT_EQ(1, p[0] >= n / 32);
}

LWC_TEST(nested)
{
	int outer, inner, innermost, round;
	volatile int x = 0;
	struct lwc_event ev;

	round = SNAPSHOT(outer);
	EXPECT_EQ(0, x);
	if (round) {
		/* Closed with what came later; one context's worth is left. */
		EXPECT_FALSE(is_open(shm[1]));
		EXPECT_FALSE(is_open(shm[2]));
		EXPECT_EQ(shm[3], contexts_settle(shm[3]));
	} else {
		shm[3] = counter("contexts");
	}
	if (round == 3)
		return;
	x = 1;
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	inner = ev.created;
	shm[1] = inner;
	EXPECT_EQ(1, x);
	if (ev.reason == LWC_EV_CREATED) {
		x = 2;
		ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
		innermost = ev.created;
		shm[2] = innermost;
		EXPECT_EQ(2, x);
		EXPECT_NE(inner, innermost);
		EXPECT_NE(outer, innermost);
		x = 3;
		if (ev.reason == LWC_EV_CREATED)
			ROLLBACK(innermost, 0);
		/* Rolled back by one; now by two more. */
		ROLLBACK(round == 1 ? outer : inner, 0);
	}
	/* The innermost is gone, the outer good still. */
	EXPECT_FALSE(is_open(shm[2]));
	EXPECT_ERR(lwc_rollback, EBADF, lwc_rollback(shm[2], 0));
	x = 9;
	ROLLBACK(outer, 0);
}

/* A context made since belongs to what is thrown away. */
LWC_TEST(contexts_made_since_go)
{
	int snap, ctx, round = SNAPSHOT(snap);

	if (!round)
		shm[1] = counter("contexts");
	EXPECT_EQ(shm[1], contexts_settle(shm[1]));
	if (round < 3) {
		CONTEXT(ctx) {
		}
		ASSERT_LE(0, ctx);
		CALL(ctx, 0);
		ROLLBACK(snap, 0);
	}
}

/* One made before is there after, as it was left: it is not part of this context. */
LWC_TEST(other_contexts_are_not_rolled_back)
{
	int snap, ctx, round;

	CONTEXT(ctx) {
		static int n;

		in.reply = ++n;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	round = SNAPSHOT(snap);
	EXPECT_EQ(2 + 2 * round, CALL(ctx, 0));
	if (round < 3) {
		EXPECT_EQ(3 + 2 * round, CALL(ctx, 0));
		ROLLBACK(snap, 0);
	}
}

/* A descriptor of it that was closed since is there again, if it lives. */
LWC_TEST(closed_context_comes_back)
{
	int snap, ctx, round;

	CONTEXT(ctx) {
		in.reply = 4;
	}
	ASSERT_LE(0, ctx);
	round = SNAPSHOT(snap);
	EXPECT_EQ(4, CALL(ctx, 0));
	if (round < 3) {
		EXPECT_EQ(0, lwc_close(ctx));
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(inside_a_context)
{
	int ctx, i;

	CONTEXT(ctx) {
		volatile int x = 1;
		int snap, round = SNAPSHOT(snap);

		EXPECT_EQ(1, x);
		if (round < 3) {
			x = 2;
			ROLLBACK(snap, 0);
		}
		EXPECT_EQ(0, lwc_close(snap));
		in.reply = round;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(3, CALL(ctx, 0));
}

/* Taken here, and left for somewhere else meanwhile: good when one is back. */
LWC_TEST(across_switches)
{
	volatile int x = 1;
	int snap, ctx, round;

	CONTEXT(ctx) {
		in.reply = ++shm[1];
	}
	ASSERT_LE(0, ctx);
	round = SNAPSHOT(snap);
	EXPECT_EQ(1, x);
	if (round < 5) {
		x = 2;
		EXPECT_EQ(round + 1, CALL(ctx, 0));
		ROLLBACK(snap, 0);
	}
	EXPECT_EQ(6, CALL(ctx, 0));
}

LWC_TEST(survives_and_closes)
{
	struct lwc_event ev;
	int snap, copy, round = SNAPSHOT(snap);

	if (round < 3)
		ROLLBACK(snap, 0);
	EXPECT_TRUE(is_open(snap));
	copy = dup(snap);
	EXPECT_EQ(0, lwc_close(copy));
	EXPECT_ERR(lwc_rollback, EBADF, lwc_rollback(copy, 0));
	EXPECT_EQ(0, lwc_close(snap));
	EXPECT_ERR(lwc_rollback, EBADF, lwc_rollback(snap, 0));
	EXPECT_ERR(lwc_snapshot, EBADF, lwc_snapshot(snap, 0, &ev));
}

/* By a duplicate it is as good. */
LWC_TEST(by_a_duplicate)
{
	volatile int x = 1;
	int snap, round = SNAPSHOT(snap);

	EXPECT_EQ(1, x);
	if (round < 3) {
		int copy = fcntl(snap, F_DUPFD_CLOEXEC, 600);

		x = 2;
		if (round == 2)
			lwc_close(snap);
		ROLLBACK(copy, 0);
	}
	EXPECT_TRUE(is_open(snap));
}

LWC_TEST(bad_arguments)
{
	struct lwc_event ev;
	int snap, ctx, i, fds;
	long contexts;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	ASSERT_EQ(LWC_EV_CREATED, ev.reason);
	snap = ev.created;
	contexts = counter("contexts");
	fds = open_descriptors();
	EXPECT_ERR(lwc_switch, EINVAL, lwc_switch(snap, 0, 0, &ev));
	EXPECT_ERR(lwc_snapshot, EBADF, lwc_snapshot(-2, 0, &ev));
	EXPECT_ERR(lwc_snapshot, EBADF, lwc_snapshot(0, 0, &ev));
	EXPECT_ERR(lwc_snapshot, EBADF, lwc_snapshot(900, 0, &ev));
	EXPECT_ERR(lwc_snapshot, EINVAL, lwc_snapshot(-1, 1, &ev));
	EXPECT_ERR(lwc_snapshot, EINVAL, lwc_snapshot(-1, LWC_KEEP, &ev));
	EXPECT_ERR(lwc_snapshot, EINVAL, lwc_snapshot(-1, 1u << 31, &ev));
	EXPECT_ERR(lwc_snapshot, EINVAL, lwc_snapshot(snap, 1u << 31, &ev));
	EXPECT_ERR(lwc_snapshot, EFAULT, lwc_snapshot(-1, 0, KERNEL_POINTER));
	EXPECT_ERR(lwc_snapshot, EFAULT, lwc_snapshot(-1, 0, unmapped_pointer()));
	EXPECT_ERR(lwc_snapshot, EFAULT, lwc_snapshot(-1, 0, NULL));
	EXPECT_ERR(lwc_snapshot, EFAULT, lwc_snapshot(snap, 0, unmapped_pointer()));
	if (!(features().create_flags & LWC_TRAP_FAULTS))
		EXPECT_ERR(lwc_snapshot, EOPNOTSUPP, lwc_snapshot(-1, LWC_TRAP_FAULTS, &ev));
	EXPECT_ERR(lwc_rollback, EBADF, lwc_rollback(-1, 0));
	EXPECT_ERR(lwc_rollback, EBADF, lwc_rollback(0, 0));
	EXPECT_ERR(lwc_rollback, EBADF, lwc_rollback(900, 0));
	EXPECT_EQ(contexts, counter("contexts"));
	EXPECT_EQ(fds, open_descriptors());
	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	EXPECT_ERR(lwc_rollback, EINVAL, lwc_rollback(ctx, 0));
	EXPECT_ERR(lwc_snapshot, EINVAL, lwc_snapshot(ctx, 0, &ev));
	for (i = 0; i < 2; i++)
		CALL(ctx, 0);
}

LWC_TEST(argument_sizes)
{
	struct {
		struct lwc_snapshot_args a;
		uint64_t tail[2];
	} big;
	struct {
		struct lwc_rollback_args a;
		uint64_t tail[2];
	} roll;
	int dev = open(DEVICE, O_RDWR | O_CLOEXEC), round;
	struct lwc_event ev;

	ASSERT_LE(0, dev);
	memset(&big, 0, sizeof(big));
	big.a.event = (uintptr_t)&ev;
	big.a.snapshot = -1;
	EXPECT_EQ(-EINVAL, raw_ioctl(dev, LWC_IOC_SNAPSHOT, &big));
	big.a.size = sizeof(big.a) - 8;
	EXPECT_EQ(-EINVAL, raw_ioctl(dev, LWC_IOC_SNAPSHOT, &big));
	big.a.size = sizeof(big);
	big.tail[0] = 1;
	EXPECT_EQ(-E2BIG, raw_ioctl(dev, LWC_IOC_SNAPSHOT, &big));
	big.tail[0] = 0;
	big.a.reserved = 1;
	EXPECT_EQ(-EINVAL, raw_ioctl(dev, LWC_IOC_SNAPSHOT, &big));
	big.a.reserved = 0;
	EXPECT_EQ(-EFAULT, raw_ioctl(dev, LWC_IOC_SNAPSHOT, unmapped_pointer()));
	EXPECT_EQ(-EFAULT, raw_ioctl(dev, LWC_IOC_SNAPSHOT, KERNEL_POINTER));
	ASSERT_EQ(0, raw_ioctl(dev, LWC_IOC_SNAPSHOT, &big));
	round = shm[0]++;
	if (round)
		EXPECT_EQ(88, ev.arg);
	memset(&roll, 0, sizeof(roll));
	roll.a.arg = 88;
	EXPECT_EQ(-EINVAL, raw_ioctl(ev.created, LWC_IOC_ROLLBACK, &roll));
	roll.a.size = sizeof(roll.a) - 8;
	EXPECT_EQ(-EINVAL, raw_ioctl(ev.created, LWC_IOC_ROLLBACK, &roll));
	roll.a.size = sizeof(roll);
	roll.tail[1] = 1;
	EXPECT_EQ(-E2BIG, raw_ioctl(ev.created, LWC_IOC_ROLLBACK, &roll));
	roll.tail[1] = 0;
	roll.a.flags = 1;
	EXPECT_EQ(-EINVAL, raw_ioctl(ev.created, LWC_IOC_ROLLBACK, &roll));
	roll.a.flags = 0;
	EXPECT_EQ(-EFAULT, raw_ioctl(ev.created, LWC_IOC_ROLLBACK, unmapped_pointer()));
	EXPECT_EQ(-EFAULT, raw_ioctl(ev.created, LWC_IOC_ROLLBACK, KERNEL_POINTER));
	if (!round) {
		raw_ioctl(ev.created, LWC_IOC_ROLLBACK, &roll);
		_metadata->passed = 0;
	}
	EXPECT_EQ(2, shm[0]);
}

/* The event's page was unmapped since: the rollback brings it back first. */
LWC_TEST(event_unmapped_since)
{
	struct lwc_event *ev = private_memory(PAGE);
	int round;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, ev));
	round = shm[0]++;
	if (round < 3) {
		int snap = ev->created;

		munmap(ev, PAGE);
		ROLLBACK(snap, round);
	}
	EXPECT_EQ(2, ev->arg);
}

/* A file's page that holds the event can go away for good. */
LWC_TEST(event_gone)
{
	int status, fd = memfd_create("event", MFD_CLOEXEC);
	struct lwc_event *ev;

	ASSERT_EQ(0, ftruncate(fd, PAGE));
	ev = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)ev);
	IN_CHILD(status) {
		int snap;

		ASSERT_EQ(0, lwc_snapshot(-1, 0, ev));
		if (shm[0]++)
			_exit(3);
		snap = ev->created;
		ASSERT_EQ(0, ftruncate(fd, 0));
		ROLLBACK(snap, 0);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_TRUE(WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGKILL);
	EXPECT_EQ(1, shm[0]);
}

LWC_TEST(in_another_context)
{
	struct lwc_event ev;
	int snap, ctx, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(ctx) {
		int other;

		if (!in.ev.arg)
			continue;
		other = take_descriptor(pair[1]);
		ASSERT_LE(0, other);
		EXPECT_ERR(lwc_rollback, EINVAL, lwc_rollback(other, 0));
		EXPECT_ERR(lwc_snapshot, EINVAL, lwc_snapshot(other, 0, &ev));
		lwc_close(other);
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	ASSERT_EQ(LWC_EV_CREATED, ev.reason);
	snap = ev.created;
	ASSERT_EQ(0, send_descriptor(pair[0], snap));
	EXPECT_EQ(1, CALL(ctx, 1));
	if (!shm[0]++) {
		EXPECT_TRUE(is_open(snap));
	}
}

LWC_TEST(in_another_process)
{
	volatile int x = 1;
	int snap, status, round = SNAPSHOT(snap);
	struct lwc_event ev;

	EXPECT_EQ(1, x);
	if (round == 2)
		return;
	IN_CHILD(status) {
		EXPECT_ERR(lwc_rollback, ESRCH, lwc_rollback(snap, 0));
		EXPECT_ERR(lwc_snapshot, ESRCH, lwc_snapshot(snap, 0, &ev));
		EXPECT_EQ(0, lwc_close(snap));
	}
	EXPECT_EQ(0, status);
	x = 2;
	ROLLBACK(snap, 0);
}

static int thread_snap = -1;

static void *in_thread(void *arg)
{
	struct lwc_event ev;

	(void)arg;
	shm[30] = lwc_snapshot(-1, 0, &ev);
	shm[31] = lwc_rollback(thread_snap, 0);
	shm[32] = lwc_snapshot(thread_snap, 0, &ev);
	shm[33] = 1;
	while (shm[33] == 1)
		msleep(1);
	return NULL;
}

/* Two in one context: neither can put it back under the other's feet. */
LWC_TEST(with_a_second_thread)
{
	struct lwc_event ev;
	volatile int x = 1;
	pthread_t t;
	int fds;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	if (shm[0]++) {
		EXPECT_EQ(1, x);
		EXPECT_EQ(2, shm[0]);
		return;
	}
	x = 2;
	thread_snap = ev.created;
	ASSERT_EQ(0, pthread_create(&t, NULL, in_thread, NULL));
	while (!shm[33])
		msleep(1);
	EXPECT_ERR(lwc_snapshot, EBUSY, shm[30]);
	/* Another thread took it, and company: either is reason enough. */
	EXPECT_TRUE(shm[31] == -EINVAL || shm[31] == -EBUSY);
	EXPECT_TRUE(shm[32] == -EINVAL || shm[32] == -EBUSY);
	fds = open_descriptors();
	EXPECT_ERR(lwc_snapshot, EBUSY, lwc_snapshot(-1, 0, &ev));
	EXPECT_ERR(lwc_snapshot, EBUSY, lwc_snapshot(thread_snap, 0, &ev));
	EXPECT_ERR(lwc_rollback, EBUSY, lwc_rollback(thread_snap, 0));
	EXPECT_EQ(fds, open_descriptors());
	shm[33] = 2;
	ASSERT_EQ(0, pthread_join(t, NULL));
	/* Alone again. */
	EXPECT_EQ(2, x);
	ROLLBACK(thread_snap, 0);
}

/* A thread that is elsewhere but has a place here is company as well. */
static void *leave_for_a_context(void *arg)
{
	struct __test_metadata *_metadata = arg;
	int ctx;

	CONTEXT(ctx) {
		shm[40] = 1;
		while (shm[40] == 1)
			msleep(1);
	}
	if (ctx < 0) {
		shm[40] = -1;
		return NULL;
	}
	CALL(ctx, 0);
	return NULL;
}

LWC_TEST(with_a_thread_that_has_a_place)
{
	struct lwc_event ev;
	pthread_t t;

	ASSERT_EQ(0, pthread_create(&t, NULL, leave_for_a_context, _metadata));
	while (!shm[40])
		msleep(1);
	ASSERT_EQ(1, shm[40]);
	EXPECT_ERR(lwc_snapshot, EBUSY, lwc_snapshot(-1, 0, &ev));
	shm[40] = 2;
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(0, lwc_snapshot(-1, 0, &ev));
}

static char child_stack[16 * 4096] __attribute__((aligned(16)));

static int wait_for_the_word(void *arg)
{
	(void)arg;
	shm[50] = 1;
	while (shm[50] == 1)
		msleep(1);
	_exit(0);
}

static int ask_in_vfork(void *arg)
{
	struct lwc_event ev;

	(void)arg;
	shm[51] = lwc_snapshot(-1, 0, &ev);
	shm[52] = lwc_rollback(thread_snap, 0);
	_exit(0);
}

/* A child that shares the memory is company. */
LWC_TEST(with_a_child_in_the_same_memory)
{
	struct lwc_event ev;
	pid_t pid;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	if (shm[0]++)
		return;
	thread_snap = ev.created;
	pid = clone(wait_for_the_word, child_stack + sizeof(child_stack), CLONE_VM | SIGCHLD, NULL);
	ASSERT_LT(0, pid);
	while (!shm[50])
		msleep(1);
	EXPECT_ERR(lwc_snapshot, EBUSY, lwc_snapshot(-1, 0, &ev));
	EXPECT_ERR(lwc_rollback, EBUSY, lwc_rollback(thread_snap, 0));
	shm[50] = 2;
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	/* As vfork does it: the child asks, while its parent is held. */
	pid = clone(ask_in_vfork, child_stack + sizeof(child_stack),
		    CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_ERR(lwc_snapshot, EBUSY, shm[51]);
	EXPECT_GT(0, shm[52]);
	ROLLBACK(thread_snap, 0);
}

/*
 * What a duplicate lacks. Either the snapshot is refused, and nothing changed; or
 * it is kept by the rollback.
 */
static bool refused(struct __test_metadata *_metadata, struct lwc_event *ev, int *r)
{
	long contexts = counter("contexts");
	int fds;

	/* By now the library has opened the device. */
	features();
	fds = open_descriptors();
	*r = lwc_snapshot(-1, 0, ev);
	if (!*r)
		return false;
	EXPECT_ERR(lwc_snapshot, EOPNOTSUPP, *r);
	EXPECT_EQ(fds, open_descriptors());
	EXPECT_EQ(contexts, counter("contexts"));
	return true;
}

LWC_TEST(dontfork_memory)
{
	char *p = private_memory(2 * PAGE);
	struct lwc_event ev;
	int r;

	p[0] = p[PAGE] = 1;
	ASSERT_EQ(0, madvise(p, PAGE, MADV_DONTFORK));
	if (!refused(_metadata, &ev, &r) && !shm[0]++) {
		p[PAGE] = 2;
		ROLLBACK(ev.created, 0);
	}
	EXPECT_EQ(1, p[0]);
	EXPECT_EQ(1, p[PAGE]);
}

LWC_TEST(dontfork_memory_since)
{
	char *p = private_memory(2 * PAGE);
	int snap, round;

	p[0] = p[PAGE] = 1;
	round = SNAPSHOT(snap);
	EXPECT_EQ(1, p[0]);
	if (round < 2) {
		ASSERT_EQ(0, madvise(p, PAGE, MADV_DONTFORK));
		p[0] = 2;
		ROLLBACK(snap, 0);
	}
	/* The advice is gone with the rest. */
	IN_CHILD(round) {
		p[0] = 1;
	}
	EXPECT_EQ(0, round);
}

LWC_TEST(locked_memory)
{
	char *p = private_memory(4 * PAGE);
	struct lwc_event ev;
	int r;

	memset(p, 1, 4 * PAGE);
	ASSERT_EQ(0, mlock(p, 2 * PAGE));
	if (!refused(_metadata, &ev, &r) && !shm[0]++) {
		memset(p, 2, 4 * PAGE);
		ROLLBACK(ev.created, 0);
	}
	EXPECT_EQ(1, p[0]);
	EXPECT_EQ(1, p[3 * PAGE]);
	EXPECT_EQ(8, status_field("VmLck:"));
}

LWC_TEST(locked_memory_since)
{
	char *p = private_memory(4 * PAGE);
	int snap, round;

	memset(p, 1, 4 * PAGE);
	round = SNAPSHOT(snap);
	EXPECT_EQ(1, p[0]);
	EXPECT_EQ(0, status_field("VmLck:"));
	if (round < 2) {
		ASSERT_EQ(0, mlock(p, 4 * PAGE));
		memset(p, 2, 4 * PAGE);
		ROLLBACK(snap, 0);
	}
}

LWC_TEST(userfaultfd_memory)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg;
	char *p = private_memory(4 * PAGE);
	struct lwc_event ev;
	int uffd, r;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (uffd < 0)
		SKIP(return, "userfaultfd: %s", strerror(errno));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	p[0] = 1;
	reg = (struct uffdio_register){
		.range = { .start = (uintptr_t)p, .len = 4 * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	if (!refused(_metadata, &ev, &r) && !shm[0]++) {
		p[0] = 2;
		ROLLBACK(ev.created, 0);
	}
	EXPECT_EQ(1, p[0]);
	/* Still registered: it can be unregistered. */
	EXPECT_EQ(0, ioctl(uffd, UFFDIO_UNREGISTER, &reg.range));
}

LWC_TEST(asynchronous_io)
{
	aio_context_t aio = 0;
	struct lwc_event ev;
	int r;

	if (syscall(SYS_io_setup, 8, &aio))
		SKIP(return, "io_setup: %s", strerror(errno));
	if (!refused(_metadata, &ev, &r) && !shm[0]++)
		ROLLBACK(ev.created, 0);
	EXPECT_EQ(0, syscall(SYS_io_destroy, aio));
}

/* Locks are of the file table, and the table stays. */
LWC_TEST(record_locks_survive)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
	int fd = memfd_create("locked", MFD_CLOEXEC), snap, round, status;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fcntl(fd, F_SETLK, &lock));
	round = SNAPSHOT(snap);
	IN_CHILD(status) {
		lock.l_type = F_WRLCK;
		EXPECT_EQ(0, fcntl(fd, F_GETLK, &lock));
		EXPECT_EQ(F_WRLCK, lock.l_type);
	}
	EXPECT_EQ(0, status);
	/* It is this process's own, still. */
	lock.l_type = F_WRLCK;
	EXPECT_EQ(0, fcntl(fd, F_SETLK, &lock));
	if (round < 3)
		ROLLBACK(snap, 0);
	lock.l_type = F_UNLCK;
	EXPECT_EQ(0, fcntl(fd, F_SETLK, &lock));
	IN_CHILD(status) {
		lock.l_type = F_WRLCK;
		EXPECT_EQ(0, fcntl(fd, F_GETLK, &lock));
		EXPECT_EQ(F_UNLCK, lock.l_type);
	}
	EXPECT_EQ(0, status);
}

LWC_TEST(epoll)
{
	struct epoll_event e = { .events = EPOLLIN }, seen[4];
	int ep = epoll_create1(EPOLL_CLOEXEC), a[2], snap, round;

	ASSERT_EQ(0, pipe(a));
	e.data.u32 = 1;
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, a[0], &e));
	round = SNAPSHOT(snap);
	/* It works on the same files after each rollback. */
	EXPECT_EQ(0, epoll_wait(ep, seen, 4, 0));
	EXPECT_EQ(1, write(a[1], "x", 1));
	EXPECT_EQ(1, epoll_wait(ep, seen, 4, 1000));
	EXPECT_EQ(1, seen[0].data.u32);
	EXPECT_EQ(1, read(a[0], seen, 1));
	if (round < 3) {
		int b[2], other = epoll_create1(0);

		ASSERT_LE(0, other);
		/* Closed by the rollback, and so forgotten by the epoll. */
		ASSERT_EQ(0, pipe(b));
		e.data.u32 = 2;
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, b[0], &e));
		ASSERT_EQ(1, write(b[1], "y", 1));
		ROLLBACK(snap, 0);
	}
}

static void *nothing(void *arg)
{
	return arg;
}

/* Threads that came and went since; the C library's books of them are put back. */
LWC_TEST(after_threads)
{
	int snap, round = SNAPSHOT(snap), i;
	pthread_t t;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_create(&t, NULL, nothing, NULL));
		ASSERT_EQ(0, pthread_join(t, NULL));
	}
	/* The thread is gone for the kernel, too, a moment after join. */
	for (i = 0; i < 1000 && status_field("Threads:") != 1; i++)
		msleep(1);
	if (round < 3)
		ROLLBACK(snap, 0);
}

/* Children stay; a child forked since has its own life. */
LWC_TEST(children_stay)
{
	int snap, round, status;

	round = SNAPSHOT(snap);
	if (!round) {
		pid_t pid = fork();

		if (!pid)
			_exit(33);
		shm[1] = pid;
		ROLLBACK(snap, 0);
	}
	EXPECT_EQ(shm[1], wait(&status));
	EXPECT_EQ(33, WEXITSTATUS(status));
}

/* What it has of its parent's snapshots are descriptors as all others are. */
LWC_TEST(snapshots_of_the_parent)
{
	int outer, inner, before, after, status;

	if (SNAPSHOT(outer))
		ASSERT_TRUE(false);
	IN_CHILD(status) {
		shm[100] = -1;
		before = dup(outer);
		if (!SNAPSHOT(inner)) {
			after = dup(outer);
			EXPECT_LE(0, after);
			shm[1] = after;
			ROLLBACK(inner, 0);
		}
		EXPECT_TRUE(is_open(outer));
		EXPECT_TRUE(is_open(before));
		EXPECT_FALSE(is_open((int)shm[1]));
		EXPECT_NE(0, lwc_rollback(outer, 0));
	}
	EXPECT_EQ(0, status);
}

/* A thousand rounds, each with mappings, heap and descriptors; nothing stays. */
LWC_TEST(thousand)
{
	char *p = private_memory(64 * PAGE);
	long n = scaled(1000), i;
	int snap, round;

	memset(p, 1, 64 * PAGE);
	round = SNAPSHOT(snap);
	if (round == 20) {
		shm[1] = meminfo("MemFree:");
		shm[2] = meminfo("Slab:");
		shm[3] = status_field("VmSize:");
		shm[4] = open_descriptors();
		shm[5] = counter("contexts");
		shm[6] = counter("rollbacks");
		shm[7] = status_field("RssAnon:");
	}
	if (round < n + 20) {
		char *q = private_memory(100 * PAGE);

		for (i = 0; i < 64; i++) {
			EXPECT_EQ(1, p[i * PAGE]);
			p[i * PAGE] = round;
		}
		memset(q, 1, 100 * PAGE);
		memset(sbrk(16 * PAGE), 1, 16 * PAGE);
		for (i = 0; i < 10; i++)
			ASSERT_LE(0, dup(2));
		ASSERT_EQ(0, munmap(p + 10 * PAGE, 3 * PAGE));
		ROLLBACK(snap, 0);
	}
	EXPECT_EQ(n, counter("rollbacks") - shm[6]);
	EXPECT_EQ(shm[3], status_field("VmSize:"));
	EXPECT_EQ(shm[4], open_descriptors());
	EXPECT_EQ(shm[5], counter("contexts"));
	EXPECT_GE(shm[7] + 256, status_field("RssAnon:"));
	EXPECT_GE(12000, shm[1] - meminfo("MemFree:"));
	EXPECT_GE(4000, meminfo("Slab:") - shm[2]);
}

TEST_HARNESS_MAIN
