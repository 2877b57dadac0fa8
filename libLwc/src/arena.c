// SPDX-License-Identifier: MIT
/*
 * arena.c - lwc_shared_alloc(): memory that every context sees.
 *
 * One shared mapping, made when the library starts so that every later context
 * has it: a table with one word for each page, then the pages. An allocation made
 * in one context must survive that context's rollback and may be freed in
 * another, so what is allocated has to be written in the table, where every
 * context can scribble. Therefore each context also keeps in private memory what
 * it holds itself, in words of the same form, and believes that first.
 *
 * Whatever the table says, this must never hand out memory that this context
 * already holds, nor touch anything outside the mapping, nor wait for anyone: a
 * lock in shared memory could be held for ever, and one in private memory is
 * copied and rolled back. So every change is one compare-and-swap of one word.
 *
 * Private memory is copied into new contexts and put back by a rollback, which
 * does to the private words what it does to the pointers that they stand for:
 *  - allocated and rolled back: the table has it, the private words do not;
 *    whoever was told of it may free it, by what the table says;
 *  - freed and rolled back, or held by a creator that freed it since: the private
 *    words have it, the table does not; this context will not get it again.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <lwc.h>

#include "syscall.h"

#define PAGE		4096UL
#define DEFAULT_SIZE	(64UL << 20)

/* From here on, empty pages are cheaper to get from the kernel than to clear. */
#define LARGE		64UL

/*
 * A page's word: what it is in the low bits; above them the pages of a run, or
 * one bit for each slot in use. 0 is a free page. A slab's kind is SLAB plus its
 * size class.
 */
enum { FREE, TAIL, RUN, SLAB };

#define KIND_BITS	4
#define KIND(w)		((w) & ((1 << KIND_BITS) - 1))
#define PAYLOAD(w)	((w) >> KIND_BITS)
#define WORD(kind, x)	((uint64_t)(x) << KIND_BITS | (kind))

#define CLASSES		6
#define MAX_SLOTS	(64 - KIND_BITS)
#define SLOT_SIZE(c)	((size_t)64 << (c))

typedef _Atomic uint64_t word;

/* The hints save searching; a false one costs time, or space till the arena is full. */
struct table {
	word top;			/* no page from here up is in use	*/
	word low;			/* no page below this is free		*/
	word slab[CLASSES];		/* no page below this has a free slot	*/
	word page[];
};

static struct {
	struct table *shared;		/* the mapping starts with it	*/
	unsigned char *data;
	word *own;			/* as table.page: what we hold	*/
	word top;			/* as table.top: of what we hold */
	size_t pages;			/* 0: there is no arena		*/
	size_t bytes;			/* of the mapping		*/
} arena;

/* The next arena of a child that this thread is about to fork. */
static __thread void *mirror __attribute__((tls_model("initial-exec")));

static size_t slots(unsigned class)
{
	size_t n = PAGE / SLOT_SIZE(class);

	return n < MAX_SLOTS ? n : MAX_SLOTS;
}

static size_t top(void)
{
	uint64_t theirs = arena.shared->top, ours = arena.top;
	uint64_t t = theirs > ours ? theirs : ours;

	return t < arena.pages ? t : arena.pages;
}

static void raise_to(word *w, uint64_t value)
{
	uint64_t old = *w;

	while (old < value && !atomic_compare_exchange_weak(w, &old, value))
		;
}

static void lower_to(word *w, uint64_t value)
{
	uint64_t old = *w;

	while (old > value && !atomic_compare_exchange_weak(w, &old, value))
		;
}

static bool replace(word *w, uint64_t old, uint64_t new)
{
	return atomic_compare_exchange_strong(w, &old, new);
}

static bool is_free(size_t i)
{
	return !arena.shared->page[i] && !arena.own[i];
}

/* Takes the free pages [i, i + n) in the table; else tells the first taken one. */
static size_t claim(size_t i, size_t n, uint64_t first)
{
	size_t k;

	for (k = 0; k < n; k++) {
		if (!replace(&arena.shared->page[i + k], FREE, k ? WORD(TAIL, 0) : first))
			break;
	}
	if (k < n) {
		size_t failed = k;

		while (k-- > 0)
			replace(&arena.shared->page[i + k], k ? WORD(TAIL, 0) : first, FREE);
		return failed;
	}
	return n;
}

/* A run of n free pages that starts in [from, to), taken; else arena.pages. */
static size_t claim_within(size_t from, size_t to, size_t n, uint64_t first)
{
	size_t i = from, k;

	while (i < to && n <= arena.pages - i) {
		for (k = 0; k < n && is_free(i + k); k++)
			;
		if (k == n)
			k = claim(i, n, first);
		if (k == n)
			return i;
		i += k + 1;
	}
	return arena.pages;
}

/* The lowest pages first, so that the arena takes no more memory than it must. */
static size_t claim_pages(size_t n, uint64_t first)
{
	size_t end = top(), low = arena.shared->low, i;

	if (low > end)
		low = end;
	i = claim_within(low, arena.pages, n, first);
	if (i == arena.pages)
		i = claim_within(0, low, n, first);
	if (i == arena.pages)
		return i;

	replace(&arena.shared->low, i, i + n);
	raise_to(&arena.shared->top, i + n);
	raise_to(&arena.top, i + n);
	return i;
}

/* Writes down that we hold slots of a page. */
static void own_slots(size_t i, uint64_t slab)
{
	uint64_t old = arena.own[i];

	while (!atomic_compare_exchange_weak(&arena.own[i], &old, old | slab))
		;
}

/* Takes one slot of a slab, free in both views; its number, or -1. */
static int take_slot(size_t i, unsigned class)
{
	const uint64_t all = (1UL << slots(class)) - 1;
	uint64_t theirs = arena.shared->page[i], ours = arena.own[i], free;

	do {
		if (KIND(theirs) != SLAB + class || (ours && KIND(ours) != SLAB + class))
			return -1;
		free = all & ~PAYLOAD(theirs) & ~PAYLOAD(ours);
		if (!free)
			return -1;
		free &= -free;
	} while (!atomic_compare_exchange_weak(&arena.shared->page[i], &theirs,
					       theirs | WORD(0, free)));
	own_slots(i, WORD(SLAB + class, free));
	return __builtin_ctzl(free);
}

static void *slab_slot(size_t i, unsigned class, int slot)
{
	return memset(arena.data + i * PAGE + slot * SLOT_SIZE(class), 0, SLOT_SIZE(class));
}

/* A slot in a page from @from on that is a slab already. */
static void *slab_search(size_t from, unsigned class)
{
	size_t end = top(), i;
	int slot;

	for (i = from; i < end; i++) {
		slot = take_slot(i, class);
		if (slot >= 0) {
			replace(&arena.shared->slab[class], from, i);
			return slab_slot(i, class, slot);
		}
	}
	return NULL;
}

static void *slab_alloc(unsigned class)
{
	uint64_t from = arena.shared->slab[class];
	void *p = slab_search(from, class);
	size_t i;

	if (p)
		return p;
	i = claim_pages(1, WORD(SLAB + class, 1));
	if (i == arena.pages)
		return slab_search(0, class);
	own_slots(i, WORD(SLAB + class, 1));
	replace(&arena.shared->slab[class], from, i);
	return slab_slot(i, class, 0);
}

static bool give_back(void *p, size_t n)
{
	return n >= LARGE && !sys_3(__NR_madvise, (long)p, (long)(n * PAGE), MADV_REMOVE);
}

static void *run_alloc(size_t n)
{
	unsigned char *p;
	size_t i, k;

	i = claim_pages(n, WORD(RUN, n));
	if (i == arena.pages)
		return NULL;
	for (k = 1; k < n; k++)
		arena.own[i + k] = WORD(TAIL, 0);
	arena.own[i] = WORD(RUN, n);

	/* Other contexts can write to free pages as well: clear them now. */
	p = arena.data + i * PAGE;
	if (!give_back(p, n))
		memset(p, 0, n * PAGE);
	return p;
}

void *lwc_shared_alloc(size_t size)
{
	unsigned class;

	if (!arena.pages || size > arena.pages * PAGE)
		return NULL;
	for (class = 0; class < CLASSES; class++) {
		if (size <= SLOT_SIZE(class))
			return slab_alloc(class);
	}
	return run_alloc((size + PAGE - 1) / PAGE);
}

__attribute__((cold, noreturn)) static void not_ours(const void *p)
{
	dprintf(2, "liblwc: lwc_shared_free(%p): not allocated, or freed before\n", p);
	abort();
}

/* Clears one slot's bit; the page is free with the last one. */
static bool clear_slot(word *w, uint64_t kind, uint64_t bit)
{
	uint64_t old = *w, new;

	do {
		if (KIND(old) != kind || !(PAYLOAD(old) & bit))
			return false;
		new = old & ~WORD(0, bit);
		if (!PAYLOAD(new))
			new = FREE;
	} while (!atomic_compare_exchange_weak(w, &old, new));
	return true;
}

static bool slab_free(size_t i, size_t offset, uint64_t kind)
{
	size_t slot = offset / SLOT_SIZE(kind - SLAB);
	bool ours, theirs;

	if (offset % SLOT_SIZE(kind - SLAB) || slot >= slots(kind - SLAB))
		return false;
	ours = clear_slot(&arena.own[i], kind, 1UL << slot);
	theirs = clear_slot(&arena.shared->page[i], kind, 1UL << slot);
	if (theirs)
		lower_to(&arena.shared->slab[kind - SLAB], i);
	return ours || theirs;
}

/* Is the table's run at i one that could have been allocated by another? */
static bool plausible(size_t i, size_t n)
{
	size_t k;

	if (!n || n > arena.pages - i || arena.own[i])
		return false;
	for (k = 1; k < n; k++) {
		if (arena.shared->page[i + k] != WORD(TAIL, 0) || arena.own[i + k])
			return false;
	}
	return true;
}

static bool run_free(size_t i, uint64_t ours, uint64_t theirs)
{
	uint64_t run = ours ? ours : theirs;
	size_t n = PAYLOAD(run), k;

	if (ours) {
		if (!replace(&arena.own[i], ours, WORD(TAIL, 0)))
			return false;
		for (k = n; k-- > 0;)
			arena.own[i + k] = FREE;
	} else if (!plausible(i, n)) {
		return false;
	}

	/* The winner of this alone gives the pages back. */
	if (!replace(&arena.shared->page[i], run, WORD(TAIL, 0)))
		return ours;
	give_back(arena.data + i * PAGE, n);
	for (k = n; k-- > 0;)
		replace(&arena.shared->page[i + k], WORD(TAIL, 0), FREE);
	return true;
}

void lwc_shared_free(void *p)
{
	size_t at = (size_t)((unsigned char *)p - arena.data), i = at / PAGE;
	uint64_t ours, theirs, kind;
	bool done = false;

	if (!p)
		return;
	if (i >= arena.pages)
		not_ours(p);

	ours = arena.own[i];
	theirs = arena.shared->page[i];
	kind = KIND(ours ? ours : theirs);
	if (kind >= SLAB && kind < SLAB + CLASSES)
		done = slab_free(i, at % PAGE, kind);
	else if (kind == RUN && at % PAGE == 0)
		done = run_free(i, ours, theirs);
	if (!done)
		not_ours(p);
	lower_to(&arena.shared->low, i);
}

static void *map(size_t bytes, int sharing)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
}

static bool is_zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* A context made without the arena has nothing to copy. */
static bool arena_here(void)
{
	unsigned char in;

	return arena.pages && !sys_3(__NR_mincore, (long)arena.shared, PAGE, (long)&in);
}

/*
 * A child gets the contents as they are at its fork, so the parent copies them
 * before: later, it would be writing to them.
 */
static void before_fork(void)
{
	struct table *copy;
	size_t end, i;

	mirror = NULL;
	if (!arena_here())
		return;
	copy = map(arena.bytes, MAP_SHARED);
	if (copy == MAP_FAILED)
		return;
	mirror = copy;

	end = top();
	copy->top = end;
	copy->low = arena.shared->low;
	for (i = 0; i < CLASSES; i++)
		copy->slab[i] = arena.shared->slab[i];
	for (i = 0; i < end; i++) {
		unsigned char *page = arena.data + i * PAGE;
		uint64_t w = arena.shared->page[i];

		if (!w)
			continue;
		copy->page[i] = w;
		if (!is_zero(page))
			memcpy((unsigned char *)copy + (page - (unsigned char *)arena.shared),
			       page, PAGE);
	}
}

static void after_fork_in_parent(void)
{
	if (mirror)
		munmap(mirror, arena.bytes);
	mirror = NULL;
}

static void after_fork_in_child(void)
{
	if (!arena_here())
		return;
	if (mirror && mremap(mirror, arena.bytes, arena.bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
			     arena.shared) != MAP_FAILED) {
		mirror = NULL;
		return;
	}
	/* Out of memory: rather no arena than the parent's. */
	arena.pages = 0;
	if (mprotect(arena.shared, arena.bytes, PROT_NONE))
		abort();
}

static size_t wanted_size(void)
{
	const char *s = secure_getenv("LWC_ARENA");
	unsigned long n;
	int shift = 0;
	char *end;

	if (!s || *s < '0' || *s > '9')
		return DEFAULT_SIZE;
	n = strtoul(s, &end, 10);
	if (*end == 'K' || *end == 'k')
		shift = 10;
	else if (*end == 'M' || *end == 'm')
		shift = 20;
	else if (*end == 'G' || *end == 'g')
		shift = 30;
	if (end[shift != 0] || n > (1UL << 46) >> shift)
		return DEFAULT_SIZE;
	return n << shift;
}

/* Before the constructors of a program that may want memory already. */
__attribute__((constructor(101))) static void arena_start(void)
{
	size_t pages = (wanted_size() + PAGE - 1) / PAGE;
	size_t words = (sizeof(struct table) + pages * sizeof(word) + PAGE - 1) & -PAGE;
	void *shared, *own;

	if (!pages)
		return;
	shared = map(words + pages * PAGE, MAP_SHARED);
	if (shared == MAP_FAILED)
		return;
	own = map(words, MAP_PRIVATE);
	if (own == MAP_FAILED || pthread_atfork(before_fork, after_fork_in_parent,
						 after_fork_in_child)) {
		munmap(shared, words + pages * PAGE);
		return;
	}
	arena.shared = shared;
	arena.data = (unsigned char *)shared + words;
	arena.own = own;
	arena.bytes = words + pages * PAGE;
	arena.pages = pages;
}
