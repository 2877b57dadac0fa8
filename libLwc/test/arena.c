// SPDX-License-Identifier: MIT
/*
 * arena.c - tests of lwc_shared_alloc() and lwc_shared_free().
 *
 * A process made by the bare fork system call shares the arena and has a copy of
 * private memory, as another context does; it stands for one here. The tests
 * must never look at the table's words, only damage them.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lwc.h>

#include "tap.h"

#define PAGE	4096UL

static unsigned char *arena, *arena_end;

/* The mapping that @p is in. */
static void find_arena(const void *p)
{
	unsigned long from, to;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && (uintptr_t)p >= from &&
		    (uintptr_t)p < to) {
			arena = (unsigned char *)from;
			arena_end = (unsigned char *)to;
		}
	}
	if (f)
		fclose(f);
}

static pid_t bare_fork(void)
{
	return (pid_t)syscall(SYS_fork);
}

static int status_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

static bool all(const unsigned char *p, size_t n, unsigned char value)
{
	while (n--) {
		if (*p++ != value)
			return false;
	}
	return true;
}

static unsigned rnd(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* Mostly small, sometimes pages, seldom many. */
static size_t random_size(unsigned *seed)
{
	unsigned r = rnd(seed) % 100;

	if (r < 70)
		return rnd(seed) % 2100;
	if (r < 98)
		return rnd(seed) % 40000;
	return rnd(seed) % 1000000;
}

struct held {
	unsigned char *p;
	size_t size;
	unsigned char mark;
};

/* Takes and gives at random, and writes all over what it holds. */
static bool churn(struct held *h, unsigned n, unsigned rounds, unsigned seed, bool may_fail)
{
	bool good = true;
	unsigned i, k;

	for (i = 0; i < rounds && good; i++) {
		struct held *x = &h[rnd(&seed) % n];

		if (x->p) {
			good = all(x->p, x->size, x->mark);
			lwc_shared_free(x->p);
			x->p = NULL;
			continue;
		}
		x->size = random_size(&seed);
		x->mark = rnd(&seed) | 1;
		x->p = lwc_shared_alloc(x->size);
		if (!x->p) {
			good = may_fail;
			continue;
		}
		good = x->p > arena && x->p + x->size <= arena_end && all(x->p, x->size, 0) &&
		       (uintptr_t)x->p % (x->size >= PAGE ? PAGE : 16) == 0;
		memset(x->p, x->mark, x->size);
	}
	for (k = 0; k < n; k++) {
		if (!h[k].p)
			continue;
		good = good && all(h[k].p, h[k].size, h[k].mark);
		lwc_shared_free(h[k].p);
		h[k].p = NULL;
	}
	return good;
}

static void zeroed_and_aligned(void)
{
	size_t size;
	unsigned char *p;
	int round;

	for (round = 0; round < 2; round++) {
		for (size = 0; size < 3 * PAGE; size += 61) {
			p = lwc_shared_alloc(size);
			CHECK(p && all(p, size, 0));
			CHECK((uintptr_t)p % (size >= PAGE ? PAGE : 16) == 0);
			memset(p, 0xee, size);
			lwc_shared_free(p);
		}
	}
	p = lwc_shared_alloc(1 << 20);
	memset(p, 0xee, 1 << 20);
	lwc_shared_free(p);
	p = lwc_shared_alloc(1 << 20);
	CHECK(p && all(p, 1 << 20, 0));
	lwc_shared_free(p);
	lwc_shared_free(NULL);
}

static void empty_ones_differ(void)
{
	void *a = lwc_shared_alloc(0), *b = lwc_shared_alloc(0);

	CHECK(a && b && a != b);
	lwc_shared_free(a);
	lwc_shared_free(b);
}

static void random_use(void)
{
	static struct held h[400];

	CHECK(churn(h, 400, 20000, 1, false));
}

/* All of it can be had, and had again. */
static void full_and_again(void)
{
	static void *p[70000];
	unsigned n, first = 0;
	int round;

	for (round = 0; round < 3; round++) {
		size_t size = round == 1 ? 2048 : 1024;

		for (n = 0; n < 70000 && (p[n] = lwc_shared_alloc(size)); n++)
			;
		CHECK(n * size == 64 << 20);
		CHECK(!lwc_shared_alloc(1) && !lwc_shared_alloc(PAGE));
		if (!round)
			first = n;
		CHECK(n == (round == 1 ? first / 2 : first));
		while (n)
			lwc_shared_free(p[--n]);
	}
	p[0] = lwc_shared_alloc(64 << 20);
	CHECK(p[0]);
	CHECK(!lwc_shared_alloc(1));
	lwc_shared_free(p[0]);
	CHECK(!lwc_shared_alloc((64 << 20) + 1) && !lwc_shared_alloc(SIZE_MAX));
}

static void *thread(void *seed)
{
	struct held h[100] = { 0 };

	return (void *)(uintptr_t)churn(h, 100, 5000, (unsigned)(uintptr_t)seed, false);
}

static void threads(void)
{
	pthread_t t[8];
	void *good;
	uintptr_t i;

	for (i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, thread, (void *)(i + 10));
	for (i = 0; i < 8; i++) {
		pthread_join(t[i], &good);
		CHECK(good);
	}
}

static void contexts_at_once(void)
{
	static struct held h[100];
	pid_t pid[4];
	int i;

	for (i = 0; i < 4; i++) {
		pid[i] = bare_fork();
		if (!pid[i])
			_exit(!churn(h, 100, 5000, 20 + i, false));
	}
	CHECK(churn(h, 100, 5000, 30, false));
	for (i = 0; i < 4; i++)
		CHECK(status_of(pid[i]) == 0);
}

/* What a request leaves: allocated there, freed here. */
static void allocated_elsewhere(void)
{
	static const size_t sizes[] = { 10, 500, 5000, 1 << 20 };
	unsigned char **told = lwc_shared_alloc(sizeof(*told));
	unsigned char *p, *q;
	unsigned i;

	for (i = 0; i < 4; i++) {
		pid_t pid = bare_fork();

		if (!pid) {
			*told = lwc_shared_alloc(sizes[i]);
			memset(*told, 7, sizes[i]);
			_exit(0);
		}
		CHECK(status_of(pid) == 0);
		p = *told;
		CHECK(p && all(p, sizes[i], 7));
		q = lwc_shared_alloc(sizes[i]);
		CHECK(q + sizes[i] <= p || p + sizes[i] <= q);
		lwc_shared_free(p);
		lwc_shared_free(q);
	}
	lwc_shared_free(told);
}

/* Whatever another context does to the table, what we hold stays ours. */
static void hostile_table(void)
{
	static struct held h[50], mine[200];
	unsigned seed = 3, i, k, round;

	for (round = 0; round < 300; round++) {
		pid_t pid;

		for (k = 0; k < 200; k++) {
			mine[k].size = random_size(&seed) % 9000;
			mine[k].mark = k | 1;
			mine[k].p = lwc_shared_alloc(mine[k].size);
			if (mine[k].p)
				memset(mine[k].p, mine[k].mark, mine[k].size);
		}
		pid = bare_fork();
		if (!pid) {
			uint64_t *w = (uint64_t *)arena;

			/* Hints, then words: mostly of the pages in use, some all over. */
			for (i = 0; i < 300; i++) {
				size_t at = rnd(&seed) % (i % 3 ? 600 : 16384 + 8);
				uint64_t v = rnd(&seed);

				switch (rnd(&seed) % 4) {
				case 0:
					w[at] = 0;
					break;
				case 1:
					w[at] = v % 9 | (v >> 4) << 4;
					break;
				case 2:
					w[at] = ~0UL << (v % 64);
					break;
				default:
					w[at] ^= 1UL << (v % 64);
				}
			}
			_exit(0);
		}
		seed += 17;
		CHECK(status_of(pid) == 0);
		CHECK(churn(h, 50, 300, seed, true));
		for (k = 0; k < 200; k++) {
			if (!mine[k].p)
				continue;
			CHECK(all(mine[k].p, mine[k].size, mine[k].mark));
			lwc_shared_free(mine[k].p);
		}
		if (tap_bad)
			break;
		/* All of it is free in our eyes: begin again with a clean table. */
		memset(arena, 0, (16384 + 8) * 8);
	}
}

/* A child made by fork() has the contents as they were, and its own memory. */
static void forked_child(void)
{
	unsigned char *small = lwc_shared_alloc(100), *large = lwc_shared_alloc(300000), *p;
	static struct held h[50];
	int go[2], i;
	char c;
	pid_t pid;

	memset(small, 1, 100);
	memset(large, 2, 300000);
	CHECK(!pipe(go));
	pid = fork();
	if (!pid) {
		bool good = read(go[0], &c, 1) == 1 && all(small, 100, 1) && all(large, 300000, 2);

		memset(small, 3, 100);
		lwc_shared_free(large);
		_exit(!(good && churn(h, 50, 5000, 5, false)));
	}
	/* The child must not see this. */
	memset(small, 9, 100);
	memset(large, 9, 300000);
	CHECK(write(go[1], "", 1) == 1);
	CHECK(churn(h, 50, 5000, 6, false));
	CHECK(status_of(pid) == 0);
	CHECK(all(small, 100, 9) && all(large, 300000, 9));
	p = lwc_shared_alloc(300000);
	CHECK(p + 300000 <= large || large + 300000 <= p);
	lwc_shared_free(p);

	/* Children of children; the parent is as before. */
	for (i = 0; i < 3; i++) {
		pid = fork();
		if (pid)
			break;
		small[0]++;
	}
	if (i) {
		if (pid)
			status_of(pid);
		_exit(small[0] != 9 + i);
	}
	CHECK(status_of(pid) == 0);
	CHECK(small[0] == 9);
	lwc_shared_free(small);
	lwc_shared_free(large);
	close(go[0]);
	close(go[1]);
}

/* Where no arena can be had for the child, it has none: not the parent's. */
static void fork_without_memory(void)
{
	unsigned char *p = lwc_shared_alloc(100);
	struct rlimit now, tight;
	pid_t pid;

	getrlimit(RLIMIT_AS, &now);
	tight = now;
	tight.rlim_cur = 1 << 20;
	setrlimit(RLIMIT_AS, &tight);
	pid = fork();
	if (!pid) {
		if (lwc_shared_alloc(1))
			_exit(1);
		signal(SIGSEGV, SIG_DFL);
		*(volatile unsigned char *)p = 1;
		_exit(2);
	}
	setrlimit(RLIMIT_AS, &now);
	CHECK(WTERMSIG(status_of(pid)) == SIGSEGV);
	CHECK(*p == 0);
	lwc_shared_free(p);
}

static int free_status(void (*wrong)(void))
{
	pid_t pid = fork();

	if (!pid) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		wrong();
		_exit(0);
	}
	return status_of(pid);
}

static void twice(void)
{
	void *p = lwc_shared_alloc(100);

	lwc_shared_free(p);
	lwc_shared_free(p);
}

static void pages_twice(void)
{
	void *p = lwc_shared_alloc(10000);

	lwc_shared_free(p);
	lwc_shared_free(p);
}

static void inside(void)
{
	lwc_shared_free((char *)lwc_shared_alloc(1000) + 64);
}

static void inside_pages(void)
{
	lwc_shared_free((char *)lwc_shared_alloc(10000) + PAGE);
}

static void stack(void)
{
	int x;

	lwc_shared_free(&x);
}

static void the_table(void)
{
	lwc_shared_free(arena);
}

static void the_end(void)
{
	lwc_shared_free(arena_end);
}

static void wrong_frees_abort(void)
{
	CHECK(WTERMSIG(free_status(twice)) == SIGABRT);
	CHECK(WTERMSIG(free_status(pages_twice)) == SIGABRT);
	CHECK(WTERMSIG(free_status(inside)) == SIGABRT);
	CHECK(WTERMSIG(free_status(inside_pages)) == SIGABRT);
	CHECK(WTERMSIG(free_status(stack)) == SIGABRT);
	CHECK(WTERMSIG(free_status(the_table)) == SIGABRT);
	CHECK(WTERMSIG(free_status(the_end)) == SIGABRT);
}

/* How much a new program gets, in pages: the program itself, run again. */
static int pages_with(const char *size)
{
	pid_t pid = fork();

	if (!pid) {
		setenv("LWC_ARENA", size, 1);
		execl("/proc/self/exe", "arena", "--count", NULL);
		_exit(255);
	}
	return WEXITSTATUS(status_of(pid));
}

static void size_from_environment(void)
{
	CHECK(pages_with("0") == 0);
	CHECK(pages_with("1") == 1);
	CHECK(pages_with("8192") == 2);
	CHECK(pages_with("40K") == 10);
	CHECK(pages_with("40k") == 10);
	CHECK(pages_with("1M") == 200);
	CHECK(pages_with("2G") == 200);
	CHECK(pages_with("200000G") == 200);
	CHECK(pages_with("7X") == 200);
	CHECK(pages_with("7KB") == 200);
	CHECK(pages_with("-1") == 200);
	CHECK(pages_with("") == 200);
}

/* Up to 200. */
static int count_pages(void)
{
	int n = 0;

	while (n < 200 && lwc_shared_alloc(PAGE))
		n++;
	return n;
}

int main(int argc, char **argv)
{
	void *p;

	if (argc > 1 && !strcmp(argv[1], "--count"))
		return count_pages();

	p = lwc_shared_alloc(1);
	find_arena(p);
	lwc_shared_free(p);

	if (argc > 1 && !strcmp(argv[1], "--threads")) {
		RUN(threads);
		return tap_done();
	}
	RUN(zeroed_and_aligned);
	RUN(empty_ones_differ);
	RUN(random_use);
	RUN(full_and_again);
	RUN(threads);
	RUN(contexts_at_once);
	RUN(allocated_elsewhere);
	RUN(forked_child);
	RUN(fork_without_memory);
	RUN(wrong_frees_abort);
	RUN(size_from_environment);
	RUN(hostile_table);
	return tap_done();
}
