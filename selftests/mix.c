// SPDX-License-Identifier: GPL-2.0
/*
 * A random mix of everything that contexts do, from four threads at once, that fork and
 * end wherever they are, in processes that end, are killed or exit in the middle.
 *
 *	mix SEED [ROUNDS]	does the rounds from that seed on again
 *
 * A seed says what each thread does; how they meet is another each time. As a test it
 * goes on for five minutes if there is time, with seeds that nobody has seen. It must
 * never end before all that it has started has.
 */
#include <stdarg.h>

#include "test.h"
#include "mix/mix.h"

/* Five minutes, and what has been started by then. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	900

#define LENGTH		300	/* seconds */
#define OPERATIONS_PER_THREAD 150

struct mix *mix;

static const char * const operation_names[] = {
#define NAME(name, weight) #name,
	MIX_OPERATIONS(NAME)
#undef NAME
};

void mix_fail(const char *format, ...)
{
	va_list args;

	if (!atomic_exchange(&mix->failed, 1)) {
		va_start(args, format);
		vsnprintf(mix->failure, sizeof(mix->failure), format, args);
		va_end(args);
		mix->failed_tid = thread_id();
	}
	_exit(1);
}

/* The process of a round */

static void *work(void *arg)
{
	struct worker *w = arg;

	atomic_store(&w->tid, thread_id());
	mix_work();
	return NULL;
}

/* With no place in what the thread before has left, whose descriptors are still there. */
static void start(struct worker *w, pthread_t *thread)
{
	int i;

	w->current = 0;
	w->over = false;
	for (i = 1; i < CONTEXTS; i++) {
		w->contexts[i].placed = false;
		w->contexts[i].used = w->contexts[i].used && !w->contexts[i].parent;
	}
	if (pthread_create(thread, NULL, work, w))
		mix_fail("pthread_create fails");
}

static void begin(struct worker *w, int number)
{
	struct page *pages = w->contexts[0].now.pages;
	uint64_t state = mix->seed * THREADS + number;
	void *region = (void *)REGION(number);
	int i;

	w->owner = number;
	w->random = mix_random(&state);
	w->left = OPERATIONS_PER_THREAD;
	w->contexts[0].used = true;
	if (mmap(region, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != region)
		mix_fail("mmap: %s", strerror(errno));
	for (i = 0; i < PAGES; i++)
		pages[i] = (struct page){ .kind = PRIVATE, .writable = true };
}

static void run_round(void)
{
	pthread_t threads[THREADS];
	int pair[2], i, status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) ||
	    dup3(pair[0], SOCKET_OUT, O_CLOEXEC) < 0 || dup3(pair[1], SOCKET_IN, O_CLOEXEC) < 0)
		mix_fail("sockets: %s", strerror(errno));
	close(pair[0]);
	close(pair[1]);
	for (i = 0; i < THREADS; i++)
		begin(&mix->workers[i], i);
	for (i = 0; i < THREADS; i++)
		start(&mix->workers[i], &threads[i]);
	for (i = 0; i < THREADS; i++) {
		struct worker *w = &mix->workers[i];

		while (pthread_join(threads[i], NULL), w->over)
			start(w, &threads[i]);
	}
	while ((pid = wait(&status)) > 0)
		if (status)
			mix_fail("child %d ended with status %#x", pid, status);
	exit(0);
}

/* Who looks at it */

static bool is_as_planned(int status)
{
	switch (mix->ending) {
	case IS_KILLED:
		return !status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	case EXITS:
		return !status || (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_EARLY);
	default:
		return !status;
	}
}

static void say_what_it_did(const struct worker *w)
{
	unsigned int i = w->n_log > LOG ? w->n_log - LOG : 0;

	if (!w->n_log)
		return;
	printf("#   worker %d (%s of region %d), %d operations before its end:\n",
	       (int)(w - mix->workers), w->child ? "child" : "thread", w->owner, w->left);
	for (; i < w->n_log; i++)
		printf("#     in %d: %s %d: %ld\n", w->log[i % LOG].context,
		       operation_names[w->log[i % LOG].what], w->log[i % LOG].about,
		       w->log[i % LOG].result);
}

/* Return: was all of it as it should be? */
static bool do_seed(uint64_t seed)
{
	uint64_t state = seed;
	const unsigned int how = mix_random(&state) % 10;
	int status, orphan = 0;
	bool ok;
	pid_t pid;
	int i;

	memset(mix->workers, 0, sizeof(mix->workers));
	mix->seed = seed;
	mix->ending = how < 6 ? ENDS : how < 8 ? IS_KILLED : EXITS;
	mix->exits_at = mix_random(&state) % OPERATIONS_PER_THREAD;
	fflush(NULL);
	pid = fork();
	if (!pid)
		run_round();
	if (mix->ending == IS_KILLED) {
		msleep(mix_random(&state) % 400);
		kill(pid, SIGKILL);
	}
	if (waitpid(pid, &status, 0) != pid)
		return false;
	ok = is_as_planned(status);
	/* Its children have come to this process. */
	while (wait(&orphan) > 0)
		ok = ok && !orphan;
	ok = ok && !atomic_load(&mix->failed);
	if (ok)
		return true;
	printf("# mix: seed %llu: status %#x, of an orphan %#x: %s\n", (unsigned long long)seed,
	       status, orphan, mix->failed ? mix->failure : "ended where it should not");
	for (i = 0; i < WORKERS; i++)
		if (!mix->failed || mix->workers[i].tid == mix->failed_tid)
			say_what_it_did(&mix->workers[i]);
	return false;
}

static void set_up(void)
{
	mix = shared_memory(sizeof(*mix));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void say_how_often(long rounds, uint64_t seed)
{
	int i;

	printf("#: seeds %llu to %llu\n", (unsigned long long)seed,
	       (unsigned long long)seed + rounds - 1);
	printf("#:");
	for (i = 0; i < OPERATIONS; i++)
		printf(" %s %ld%s", operation_names[i], atomic_load(&mix->done[i]),
		       i + 1 < OPERATIONS ? "," : "\n");
	printf("#: threads and children that ended inside: %ld\n",
	       atomic_load(&mix->ended_inside));
	/* A test ends without that. */
	fflush(stdout);
}

LWC_TEST(from_four_threads)
{
	const bool all = getenv("LWC_TEST_LONG");
	const uint64_t seed = all ? (uint64_t)time(NULL) << 10 : 1;
	const double end = seconds() + LENGTH;
	long rounds = 0;
	bool ok = true;
	int i;

	set_up();
	while (ok && (all ? seconds() < end : rounds < scaled(300))) {
		ok = do_seed(seed + rounds);
		EXPECT_TRUE(ok) {
			TH_LOG("mix %llu 1", (unsigned long long)(seed + rounds));
		}
		EXPECT_GE(1, contexts_settle(0));
		rounds++;
	}
	say_how_often(rounds, seed);
	for (i = 0; i < OPERATIONS; i++)
		EXPECT_LT(0, atomic_load(&mix->done[i])) {
			TH_LOG("no %s", operation_names[i]);
		}
	EXPECT_LT(0, atomic_load(&mix->ended_inside));
}

/* The harness's own main is called when there are no arguments. */
#define main harness_main
TEST_HARNESS_MAIN
#undef main

int main(int argc, char **argv)
{
	long rounds = argc > 2 ? strtol(argv[2], NULL, 0) : 1, i;
	uint64_t seed;

	if (argc < 2)
		return harness_main(argc, argv);
	seed = strtoull(argv[1], NULL, 0);
	set_up();
	for (i = 0; i < rounds; i++)
		if (!do_seed(seed + i))
			return 1;
	say_how_often(rounds, seed);
	return 0;
}
