/* SPDX-License-Identifier: GPL-2.0 */
/*
 * test.h - what the selftests share, over the kernel's own harness.
 *
 * A check may run in any context, before a rollback, or in a child: so what the
 * harness knows of a test lies in shared memory here, or a failure inside a
 * context would be forgotten together with its memory. Nothing in this file may
 * hide a failure: what cannot be done ends the test.
 */
#ifndef LWC_SELFTEST_H
#define LWC_SELFTEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kselftest_harness.h>
#include <lwc.h>

#include "descriptors.h"
#include "text.h"

/* Loops over what is slow on a debug kernel; the longest test takes a tenth of that. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	120

#define PAGE			4096ul
#define DEVICE			"/dev/lwc"

/*
 * A page that every context of a test sees, zeroed before each test: what a
 * test counts across contexts and rollbacks is counted here.
 */
static volatile long *shm;

/* Private memory: set in each context that CONTEXT() makes, see run_test(). */
static bool inside_context;

static inline void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("# mmap");
		abort();
	}
	return p;
}

static inline void *private_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("# mmap");
		abort();
	}
	return p;
}

/*
 * Runs a test with its metadata in shared memory. The copy back happens in the
 * root context only; a test that ends anywhere else has lost its way.
 */
static void __attribute__((noinline))
run_test(struct __test_metadata *_metadata, void (*body)(struct __test_metadata *))
{
	struct __test_metadata *shared = shared_memory(sizeof(*shared));
	const char *only = getenv("LWC_TEST_ONLY");
	pid_t pid = getpid();

	if (only && strcmp(only, _metadata->name))
		SKIP(return, "not chosen");
	shm = shared_memory(PAGE);
	*shared = *_metadata;
	if (!setjmp(shared->env))
		body(shared);
	if (getpid() != pid)
		_exit(98);
	if (inside_context && !shared->aborted) {
		fprintf(stderr, "# %s: ended inside a context\n", shared->name);
		shared->aborted = true;
	}
	*_metadata = *shared;
}

/* TEST() with checks that count in every context. */
#define LWC_TEST(name)							\
	static void name##_body(struct __test_metadata *_metadata);	\
	TEST(name)							\
	{								\
		run_test(_metadata, name##_body);			\
	}								\
	static void name##_body(struct __test_metadata __attribute__((unused)) *_metadata)

/*
 * The assertion that a call fails as promised. selftests/errors.py finds these
 * by their first two words and compares them with what lwc.h promises.
 */
#define EXPECT_ERR(call, error, ...)	EXPECT_EQ(-(error), (long)(__VA_ARGS__))
#define ASSERT_ERR(call, error, ...)	ASSERT_EQ(-(error), (long)(__VA_ARGS__))

/* One round of a loop in a context: what came in, and what to answer. */
struct round {
	bool inside;
	uint64_t reply;
	struct lwc_event ev;
};

static inline struct round context_begin(int *fd, const struct lwc_spec *specs,
					 unsigned int n, unsigned int flags)
{
	struct round in = { 0 };
	int r;

	*fd = -1;
	r = lwc_create(specs, n, flags, &in.ev);
	if (!r && in.ev.reason == LWC_EV_SWITCH) {
		in.inside = true;
		inside_context = true;
	} else {
		*fd = r ? r : in.ev.created;
	}
	return in;
}

/* Leaves for the caller. What it does not come back from ends the process. */
static inline void context_back(struct __test_metadata *_metadata, struct round *in)
{
	uint64_t reply = in->reply;
	int r;

	in->reply = 0;
	r = lwc_switch(in->ev.caller, 0, reply, &in->ev);
	if (r) {
		TH_LOG("cannot leave the context: %s", strerror(-r));
		_metadata->passed = 0;
		_exit(97);
	}
}

/*
 * CONTEXT(fd) { ... } makes a context which runs the block each time something
 * switches to it, and then goes back to its caller with in.reply. fd is its
 * descriptor, or the error. Never leave the block by break, goto or return.
 */
#define CONTEXT(fd)	CONTEXT_WITH(fd, NULL, 0, 0)
#define CONTEXT_WITH(fd, specs, n, flags)				\
	for (struct round in = context_begin(&(fd), specs, n, flags);	\
	     in.inside; context_back(_metadata, &in))

/* Switches there and back: what the context answered. */
#define CALL(fd, value)							\
({									\
	struct lwc_event __ev = { 0 };					\
	int __r = lwc_switch(fd, 0, value, &__ev);			\
	ASSERT_EQ(0, __r) {						\
		TH_LOG("cannot switch: %s", strerror(-__r));		\
	}								\
	__ev.arg;							\
})

/*
 * SNAPSHOT(snap) takes one and says which round this is: 0 after the snapshot,
 * then 1, 2 ... after each rollback to it.
 */
#define SNAPSHOT(snap)							\
({									\
	struct lwc_event __ev;						\
	int __r;							\
	shm[100] = -1;							\
	__r = lwc_snapshot(-1, 0, &__ev);				\
	ASSERT_EQ(0, __r);						\
	(snap) = __ev.created;						\
	EXPECT_EQ(shm[100] < 0 ? LWC_EV_CREATED : LWC_EV_ROLLBACK, __ev.reason); \
	EXPECT_EQ(-1, __ev.caller);					\
	++shm[100];							\
})

/* Does not come back. */
#define ROLLBACK(snap, arg)						\
do {									\
	int __r = lwc_rollback(snap, arg);				\
	TH_LOG("rollback: %s", strerror(-__r));				\
	_metadata->passed = 0;						\
	_exit(96);							\
} while (0)

struct child {
	pid_t pid;
	bool ran;
};

static inline struct child child_begin(void)
{
	fflush(stdout);
	fflush(stderr);
	return (struct child){ .pid = fork() };
}

static inline bool child_more(struct child *c, int *status)
{
	if (!c->pid) {
		if (c->ran)
			_exit(0);
		c->ran = true;
		return true;
	}
	*status = -1;
	if (c->pid > 0)
		while (waitpid(c->pid, status, 0) < 0 && errno == EINTR)
			;
	return false;
}

/* IN_CHILD(status) { ... }: the block in a forked child, whose end is waited for. */
#define IN_CHILD(status) \
	for (struct child __c = child_begin(); child_more(&__c, &(status)); )

/* A number out of a file of one; -1 if it cannot be read. */
static inline long read_number(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n <= 0 ? -1 : strtol(text, NULL, 0);
}

/* One of the module's own counters. */
static inline long counter(const char *name)
{
	char path[100];

	snprintf(path, sizeof(path), "/sys/class/misc/lwc/%s", name);
	return read_number(path);
}

static inline long parameter(const char *name)
{
	char path[100];

	snprintf(path, sizeof(path), "/sys/module/lwc/parameters/%s", name);
	return read_number(path);
}

static inline void msleep(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static inline double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Contexts that are left, once what is freed by deferred work has gone. */
static inline long contexts_settle(long expected)
{
	int i;

	for (i = 0; i < 500 && counter("contexts") != expected; i++)
		msleep(10);
	return counter("contexts");
}

/* Return: 0 or -errno. */
static inline int set_parameter(const char *name, long value)
{
	char path[100], text[32];

	snprintf(path, sizeof(path), "/sys/module/lwc/parameters/%s", name);
	snprintf(text, sizeof(text), "%ld", value);
	return write_text(path, text);
}

/* Field of a file of /proc in kB (or a plain number); -1 if it is not there. */
static inline long proc_field(const char *path, const char *name)
{
	static char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	char *p;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	p = strstr(text, name);
	return p ? strtol(p + strlen(name) + 1, NULL, 0) : -1;
}

static inline long status_field(const char *name)
{
	return proc_field("/proc/self/status", name);
}

static inline long meminfo(const char *name)
{
	return proc_field("/proc/meminfo", name);
}

/* How many descriptors are open, not counting the one that this takes. */
static inline int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	int n = 0;

	if (!dir)
		return -1;
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n - 1;
}

static inline bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Is there a page at this address, in the context that asks? */
static inline bool is_mapped(const void *p)
{
	unsigned char vec;

	return !mincore((void *)((uintptr_t)p & ~(PAGE - 1)), 1, &vec);
}

/* Is what @p is in mapped as shared memory, in the context that asks? */
static inline bool is_shared_here(const void *p)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char perms[8];
	bool shared = false;

	if (!maps)
		abort();
	while (fscanf(maps, "%lx-%lx %7s%*[^\n]", &start, &end, perms) == 3)
		if ((uintptr_t)p >= start && (uintptr_t)p < end)
			shared = perms[3] == 's';
	fclose(maps);
	return shared;
}

/* Can it be read? Asks the kernel, so that a bad answer kills nobody. */
static inline bool is_readable(const void *p)
{
	int pair[2];
	bool ok;

	if (pipe(pair))
		return false;
	ok = write(pair[1], p, 1) == 1;
	close(pair[0]);
	close(pair[1]);
	return ok;
}

static inline int raw_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

/* As in C libraries, but no library knows of them. */
static inline pid_t thread_id(void)
{
	return syscall(SYS_gettid);
}

/* How often to do what is done a million times: LWC_TEST_SCALE divides it. */
static inline long scaled(long n)
{
	const char *text = getenv("LWC_TEST_SCALE");
	long scale = text ? strtol(text, NULL, 10) : 1;

	if (scale < 1)
		scale = 1;
	return n / scale > 10 ? n / scale : 10;
}

/* Two contexts that only hold each other. @pair: of sockets, for the descriptors. */
static inline void make_ring(struct __test_metadata *_metadata, const int *pair)
{
	int a, b;

	CONTEXT(a) {
		in.reply = take_descriptor(pair[1]);
	}
	ASSERT_LE(0, a);
	CONTEXT(b) {
		in.reply = take_descriptor(pair[1]);
	}
	ASSERT_LE(0, b);
	ASSERT_EQ(0, send_descriptor(pair[0], b));
	EXPECT_LE(3, (int)CALL(a, 0));
	ASSERT_EQ(0, send_descriptor(pair[0], a));
	EXPECT_LE(3, (int)CALL(b, 0));
	lwc_close(a);
	lwc_close(b);
}

static inline bool is_root(void)
{
	return !geteuid();
}

#define NEED_ROOT()							\
	do {								\
		if (!is_root())						\
			SKIP(return, "needs root");			\
	} while (0)

/* What this module can do, as it says itself. */
static inline struct lwc_features features(void)
{
	struct lwc_features f = { 0 };

	if (lwc_features(&f)) {
		fprintf(stderr, "# lwc_features fails\n");
		abort();
	}
	return f;
}

/* A pointer that no user may use, and one where nothing is mapped. */
#define KERNEL_POINTER	((void *)0xffff800000000000ul)

static inline void *unmapped_pointer(void)
{
	void *p = private_memory(PAGE);

	munmap(p, PAGE);
	return p;
}

#endif /* LWC_SELFTEST_H */
