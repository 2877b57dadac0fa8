// SPDX-License-Identifier: GPL-2.0
/*
 * Several threads, in one context and in different ones, at once: none may find
 * another's registers, memory or descriptors, and none may lose its own. How a
 * thread that ends inside a context is seen by those outside.
 */
#include <linux/futex.h>

#include "test.h"

#define THREADS 4

/* The harness's metadata, for what runs in threads. */
static struct __test_metadata *meta;

static void start(struct __test_metadata *_metadata, pthread_t *t, void *(*fn)(void *), void *arg)
{
	meta = _metadata;
	ASSERT_EQ(0, pthread_create(t, NULL, fn, arg));
}

static void *each_its_own(void *arg)
{
	struct __test_metadata *_metadata = meta;
	long me = (long)arg, i, n = scaled(5000);
	volatile long mine = me;
	int ctx;

	CONTEXT(ctx) {
		mine += 1000;
		in.reply = mine;
		EXPECT_EQ(me, (long)arg);
	}
	if (ctx < 0) {
		_metadata->passed = 0;
		return NULL;
	}
	for (i = 1; i <= n; i++) {
		if (CALL(ctx, 0) != (uint64_t)(me + 1000 * i) || mine != me) {
			_metadata->passed = 0;
			break;
		}
	}
	EXPECT_EQ(0, lwc_close(ctx));
	return (void *)i;
}

/* Each makes a context and goes there and back. */
LWC_TEST(each_with_a_context)
{
	pthread_t t[THREADS];
	long i;
	void *r;

	for (i = 0; i < THREADS; i++)
		start(_metadata, &t[i], each_its_own, (void *)i);
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(t[i], &r));
		EXPECT_EQ(scaled(5000) + 1, (long)r);
	}
}

static void *create_and_close(void *arg)
{
	struct __test_metadata *_metadata = meta;
	long i, n = scaled(300);
	int ctx;

	for (i = 0; i < n; i++) {
		CONTEXT(ctx) {
			in.reply = in.ev.arg + 1;
		}
		if (ctx < 0) {
			TH_LOG("create: %s", strerror(-ctx));
			_metadata->passed = 0;
			break;
		}
		EXPECT_EQ((uint64_t)i + 1, CALL(ctx, i));
		EXPECT_EQ(0, lwc_close(ctx));
	}
	return arg;
}

/* Making and ending contexts in several threads, while the tables are duplicated. */
LWC_TEST(create_at_once)
{
	long before = counter("contexts"), i;
	int fds = open_descriptors();
	pthread_t t[THREADS];

	for (i = 0; i < THREADS; i++)
		start(_metadata, &t[i], create_and_close, NULL);
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_join(t[i], NULL));
	EXPECT_GE(fds + 1, open_descriptors());
	EXPECT_GE(before + 1, contexts_settle(before + 1));
}

static void *look_around(void *arg)
{
	volatile long *p = arg;

	shm[0] = *p;
	*p = 55;
	shm[1] = is_open(300);
	return NULL;
}

/* A new thread starts where its maker is. */
LWC_TEST(starts_in_its_maker_s_context)
{
	volatile long x = 1;
	int ctx;

	CONTEXT(ctx) {
		pthread_t t;

		x = 2;
		ASSERT_EQ(300, dup2(2, 300));
		start(_metadata, &t, look_around, (void *)&x);
		ASSERT_EQ(0, pthread_join(t, NULL));
		in.reply = x;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(55, CALL(ctx, 0));
	EXPECT_EQ(2, shm[0]);
	EXPECT_EQ(1, shm[1]);
	EXPECT_EQ(1, x);
	EXPECT_FALSE(is_open(300));
}

static volatile int spinning;

static void *spin_inside(void *arg)
{
	(void)arg;
	shm[2] = 1;
	while (spinning)
		shm[3]++;
	shm[2] = 2;
	return NULL;
}

/* The maker leaves, the thread stays, and the maker comes back to it. */
LWC_TEST(left_behind)
{
	int ctx;

	spinning = 1;
	CONTEXT(ctx) {
		static pthread_t t;

		if (!in.ev.arg) {
			start(_metadata, &t, spin_inside, NULL);
			while (!shm[2])
				sched_yield();
		} else {
			spinning = 0;
			ASSERT_EQ(0, pthread_join(t, NULL));
		}
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	/* What is written here is nothing to it. */
	spinning = 0;
	msleep(20);
	EXPECT_EQ(1, shm[2]);
	CALL(ctx, 1);
	EXPECT_EQ(2, shm[2]);
}

static void *use_descriptors(void *arg)
{
	struct __test_metadata *_metadata = meta;
	int fds[2];
	char c;

	(void)arg;
	while (spinning) {
		if (pipe(fds) || write(fds[1], "x", 1) != 1 || read(fds[0], &c, 1) != 1 ||
		    close(fds[0]) || close(fds[1])) {
			TH_LOG("a descriptor was lost: %s", strerror(errno));
			_metadata->passed = 0;
			break;
		}
		shm[4]++;
	}
	return NULL;
}

/* While one comes and goes, others open and close in the table that it left. */
LWC_TEST(no_descriptor_is_lost)
{
	long i, n = scaled(10000), fds = open_descriptors();
	pthread_t t[2];
	int ctx, opened;

	CONTEXT(ctx) {
		opened = dup(2);
		EXPECT_LE(3, opened);
		in.reply = close(opened);
	}
	ASSERT_LE(0, ctx);
	spinning = 1;
	for (i = 0; i < 2; i++)
		start(_metadata, &t[i], use_descriptors, NULL);
	for (i = 0; i < n; i++)
		EXPECT_EQ(0, CALL(ctx, 0));
	spinning = 0;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(t[i], NULL));
	EXPECT_LT(0, shm[4]);
	/* That of the context, and of the device. */
	EXPECT_GE(fds + 2, open_descriptors());
}

/* The first thread is made after the contexts: what was light becomes counted. */
LWC_TEST(thread_after_contexts)
{
	int ctx, i;
	pthread_t t;

	CONTEXT(ctx) {
		int fd = dup(2);

		in.reply = close(fd);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 10; i++)
		EXPECT_EQ(0, CALL(ctx, 0));
	spinning = 1;
	start(_metadata, &t, use_descriptors, NULL);
	for (i = 0; i < 100; i++)
		EXPECT_EQ(0, CALL(ctx, 0));
	spinning = 0;
	ASSERT_EQ(0, pthread_join(t, NULL));
	for (i = 0; i < 100; i++)
		EXPECT_EQ(0, CALL(ctx, 0));
}

static void *map_and_unmap(void *arg)
{
	struct __test_metadata *_metadata = meta;

	(void)arg;
	while (spinning) {
		char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			_metadata->passed = 0;
			break;
		}
		memset(p, 1, 16 * PAGE);
		EXPECT_EQ(0, munmap(p, 16 * PAGE));
	}
	return NULL;
}

/* An address space is duplicated while another thread changes it. */
LWC_TEST(create_while_memory_changes)
{
	long i, n = scaled(200);
	pthread_t t;
	int ctx;

	spinning = 1;
	start(_metadata, &t, map_and_unmap, NULL);
	for (i = 0; i < n; i++) {
		CONTEXT(ctx) {
			in.reply = 1;
		}
		ASSERT_LE(0, ctx);
		EXPECT_EQ(1, CALL(ctx, 0));
		EXPECT_EQ(0, lwc_close(ctx));
	}
	spinning = 0;
	ASSERT_EQ(0, pthread_join(t, NULL));
}

static pthread_mutex_t robust;

static void *end_inside(void *arg)
{
	struct __test_metadata *_metadata = meta;
	int ctx;

	if (arg)
		pthread_mutex_lock(&robust);
	CONTEXT(ctx) {
		shm[5]++;
		/* No library in between: this thread ends here. */
		syscall(SYS_exit, 0);
	}
	if (ctx < 0)
		_metadata->passed = 0;
	CALL(ctx, 0);
	return NULL;
}

/* Its end is seen where it was made: pthread_join returns. */
LWC_TEST(ends_inside_a_context)
{
	pthread_t t;
	int i;

	for (i = 0; i < 20; i++) {
		start(_metadata, &t, end_inside, NULL);
		ASSERT_EQ(0, pthread_join(t, NULL));
		EXPECT_EQ(i + 1, shm[5]);
	}
	for (i = 0; i < 1000 && status_field("Threads:") != 1; i++)
		msleep(1);
	EXPECT_EQ(1, status_field("Threads:"));
}

/* And what it held there is released, and marked. */
LWC_TEST(robust_mutex)
{
	pthread_mutexattr_t attr;
	pthread_t t;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	ASSERT_EQ(0, pthread_mutex_init(&robust, &attr));
	start(_metadata, &t, end_inside, (void *)1);
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(&robust));
	EXPECT_EQ(0, pthread_mutex_consistent(&robust));
	EXPECT_EQ(0, pthread_mutex_unlock(&robust));
}

/* A list as programs of 32 bits have it, which the kernel goes through as well. */
struct list32 {
	uint32_t next;
	int32_t offset;
	uint32_t pending;
	uint32_t entry;
	volatile uint32_t word;
};

static struct list32 *list32;

static long set_list32(uint32_t list)
{
	long r;

	asm volatile("int $0x80" : "=a" (r) : "a" (311), "b" (list), "c" (12)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}

static void *end_with_list32(void *arg)
{
	struct __test_metadata *_metadata = meta;
	int ctx;

	list32->word = syscall(SYS_gettid);
	CONTEXT(ctx) {
		shm[5] = set_list32((uint32_t)(uintptr_t)list32);
		syscall(SYS_exit, 0);
	}
	if (ctx < 0)
		_metadata->passed = 0;
	CALL(ctx, 0);
	return arg;
}

/* But what it says inside is nobody's lock outside. */
LWC_TEST(list_of_32_bits)
{
	uint32_t at;
	pthread_t t;

	list32 = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, list32);
	at = (uint32_t)(uintptr_t)list32;
	list32->next = at + offsetof(struct list32, entry);
	list32->entry = at;
	list32->offset = offsetof(struct list32, word) - offsetof(struct list32, entry);
	start(_metadata, &t, end_with_list32, NULL);
	ASSERT_EQ(0, pthread_join(t, NULL));
	if (shm[5] == -ENOSYS)
		SKIP(return, "no system calls of 32 bits");
	EXPECT_EQ(0, shm[5]);
	EXPECT_EQ(0, list32->word & FUTEX_OWNER_DIED);
	EXPECT_NE(0, list32->word);
}

static void *exit_there(void *arg)
{
	pthread_exit(arg);
}

/* Made inside and ended inside: the join is inside, too. */
LWC_TEST(made_and_ended_inside)
{
	int ctx, i;

	CONTEXT(ctx) {
		pthread_t t;
		void *r;

		start(_metadata, &t, exit_there, (void *)77);
		ASSERT_EQ(0, pthread_join(t, &r));
		in.reply = (long)r;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 10; i++)
		EXPECT_EQ(77, CALL(ctx, 0));
}

static int made_by_thread = -1;

static void *make_and_end(void *arg)
{
	struct __test_metadata *_metadata = meta;

	(void)arg;
	CONTEXT(made_by_thread) {
		in.reply = 1;
	}
	CALL(made_by_thread, 0);
	return NULL;
}

/* A context outlives its maker, but nobody has a place in it. */
LWC_TEST(maker_is_gone)
{
	struct lwc_event ev;
	long before;
	pthread_t t;
	int ctx;

	CONTEXT(ctx) {
	}
	before = counter("contexts");
	start(_metadata, &t, make_and_end, NULL);
	ASSERT_EQ(0, pthread_join(t, NULL));
	ASSERT_LE(0, made_by_thread);
	EXPECT_EQ(before + 1, counter("contexts"));
	EXPECT_ERR(lwc_switch, ENXIO, lwc_switch(made_by_thread, 0, 0, &ev));
	EXPECT_ERR(lwc_renew, EINVAL, lwc_renew(made_by_thread, 0, &ev));
	EXPECT_EQ(0, lwc_close(made_by_thread));
	EXPECT_EQ(before, contexts_settle(before));
}

static void handler(int sig)
{
	(void)sig;
	shm[6]++;
}

static void *come_and_go(void *arg)
{
	struct __test_metadata *_metadata = meta;
	int ctx;

	(void)arg;
	CONTEXT(ctx) {
		in.reply = in.ev.arg;
	}
	if (ctx < 0) {
		_metadata->passed = 0;
		return NULL;
	}
	while (spinning)
		EXPECT_EQ(5, CALL(ctx, 5));
	return NULL;
}

/* Signals to the process while its threads come and go. */
LWC_TEST(signals)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	pthread_t t[THREADS];
	long i, n = scaled(2000);

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	spinning = 1;
	for (i = 0; i < THREADS; i++)
		start(_metadata, &t[i], come_and_go, NULL);
	for (i = 0; i < n; i++) {
		pthread_kill(t[i % THREADS], SIGUSR1);
		if (!(i % 16))
			kill(getpid(), SIGUSR1);
		sched_yield();
	}
	spinning = 0;
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_join(t[i], NULL));
	EXPECT_LT(0, shm[6]);
}

/* Registers of threads in different contexts, with the processor changing hands. */
static void *vector_thread(void *arg)
{
	struct __test_metadata *_metadata = meta;
	uint64_t want = 0x1111111111111111ul * ((long)arg + 1), seen;
	long i, n = scaled(5000);
	int ctx;

	CONTEXT(ctx) {
		asm volatile("movq %0, %%xmm11" : : "r" (~want) : "xmm11");
	}
	if (ctx < 0) {
		_metadata->passed = 0;
		return NULL;
	}
	for (i = 0; i < n; i++) {
		struct lwc_event ev;
		struct lwc_switch_args args = {
			.size = sizeof(args), .event = (uintptr_t)&ev,
		};
		long r = SYS_ioctl;

		asm volatile("movq %[x], %%xmm11\n\tsyscall\n\tmovq %%xmm11, %[seen]"
			     : "+a" (r), [seen] "=r" (seen)
			     : [x] "r" (want), "D" ((long)ctx), "S" (LWC_IOC_SWITCH), "d" (&args)
			     : "rcx", "r11", "memory", "xmm11");
		if (r || seen != want) {
			TH_LOG("round %ld: %lx is %lx", i, want, seen);
			_metadata->passed = 0;
			break;
		}
	}
	return NULL;
}

LWC_TEST(registers)
{
	pthread_t t[THREADS];
	long i;

	for (i = 0; i < THREADS; i++)
		start(_metadata, &t[i], vector_thread, (void *)i);
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_join(t[i], NULL));
}

/* Many threads, made and ended, some inside, while contexts come and go. */
static void *short_life(void *arg)
{
	struct __test_metadata *_metadata = meta;
	int ctx;

	CONTEXT(ctx) {
		if ((long)arg % 3 == 0)
			syscall(SYS_exit, 0);
	}
	if (ctx < 0)
		_metadata->passed = 0;
	else
		CALL(ctx, 0);
	if ((long)arg % 3 == 1)
		lwc_close(ctx);
	return (void *)(long)ctx;
}

LWC_TEST(many_short_lives)
{
	long i, n = scaled(300), before = counter("contexts");
	int status;

	IN_CHILD(status) {
		pthread_t t;
		void *ctx;

		for (i = 0; i < n; i++) {
			start(_metadata, &t, short_life, (void *)i);
			ASSERT_EQ(0, pthread_join(t, &ctx));
			if (i % 3 == 2)
				lwc_close((long)ctx);
		}
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, contexts_settle(before));
}

TEST_HARNESS_MAIN
