// SPDX-License-Identifier: GPL-2.0
/*
 * operations.c - the subject: what it does to its own memory, at random.
 *
 * It decides by struct control alone, as anything else here may be rolled back at
 * any gate, and returns from gate() in whatever context and as often as it pleases
 * the module. Nothing here may be allocated, printed or remembered.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <fcntl.h>
#include <unistd.h>

#include "model.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

#define MOST_TOUCHED		1200

const char * const operation_names[N_OPERATIONS] = {
#define NAME(name, weight, least, can) #name,
	OPERATIONS(NAME)
#undef NAME
};

static const struct { unsigned int weight, can; } table[N_OPERATIONS] = {
#define LINE(name, weight, least, can) { weight, can },
	OPERATIONS(LINE)
#undef LINE
};

/* Part of the program itself, to be written to. */
static uint64_t data[DATA_SLOTS][PAGE_SIZE / 8] __attribute__((aligned(4096)));

/*
 * Accesses that may fail: where one does, the signal's handler goes on at its end.
 * Each returns whether it worked.
 */
extern const char store_at[], store_failed[], load_at[], load_failed[], fill_at[], fill_failed[];

static __attribute__((noinline, noclone)) bool store(uint64_t address, uint64_t value)
{
	bool ok;

	asm volatile("store_at:	movq %2, (%1)\n"
		     "		movb $1, %0\n"
		     "		jmp 1f\n"
		     "store_failed: movb $0, %0\n"
		     "1:\n" : "=&q" (ok) : "r" (address), "r" (value) : "memory");
	return ok;
}

static __attribute__((noinline, noclone)) bool load(uint64_t address)
{
	uint64_t value;
	bool ok;

	asm volatile("load_at:	movq (%2), %1\n"
		     "		movb $1, %0\n"
		     "		jmp 1f\n"
		     "load_failed: movb $0, %0\n"
		     "1:\n" : "=&q" (ok), "=&r" (value) : "r" (address) : "memory");
	return ok;
}

static __attribute__((noinline, noclone)) bool fill(uint64_t address, uint64_t value)
{
	uint64_t words = PAGE_SIZE / 8;
	bool ok;

	asm volatile("fill_at:	rep stosq\n"
		     "		movb $1, %0\n"
		     "		jmp 1f\n"
		     "fill_failed: movb $0, %0\n"
		     "1:\n" : "=&q" (ok), "+D" (address), "+c" (words) : "a" (value), "0" (0) :
		     "memory");
	return ok;
}

static void on_fault(int number, siginfo_t *info, void *data_)
{
	static const char * const at[][2] = {
		{ store_at, store_failed }, { load_at, load_failed }, { fill_at, fill_failed },
	};
	ucontext_t *u = data_;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		if (u->uc_mcontext.gregs[REG_RIP] == (greg_t)at[i][0]) {
			u->uc_mcontext.gregs[REG_RIP] = (greg_t)at[i][1];
			return;
		}
	}
	C->crash_address = (uint64_t)info->si_addr;
	C->crash_ip = u->uc_mcontext.gregs[REG_RIP];
	signal(number, SIG_DFL);
}

static uint64_t any(void)
{
	return next_random(&C->random);
}

static unsigned int below(unsigned int n)
{
	return any() % n;
}

static bool chance(unsigned int percent)
{
	return below(100) < percent;
}

/* A value that no other operation writes. */
static uint64_t stamp(void)
{
	return (uint64_t)C->number << 32 | (any() & 0xffffffff);
}

struct range {
	unsigned int slot, n;
};

static uint64_t address_of(unsigned int slot)
{
	return WINDOW + slot * PAGE_SIZE;
}

static uint64_t size_of(struct range r)
{
	return r.n * PAGE_SIZE;
}

/* A few pages, often one. */
static unsigned int few(void)
{
	unsigned int how = below(100);

	return how < 50 ? 1 : how < 90 ? 2 + below(7) : 9 + below(56);
}

/* Slots that have all of @bits and none of @not, from a random one on. */
static struct range some(unsigned int bits, unsigned int not)
{
	struct range r = { .slot = below(SLOTS), .n = 1 };
	unsigned int i, most = few();

	for (i = 0; i < SLOTS; i++) {
		uint8_t has = C->now.slot[r.slot];

		if ((has & bits) == bits && !(has & not))
			break;
		r.slot = (r.slot + 1) % SLOTS;
	}
	while (r.n < most && r.slot + r.n < SLOTS &&
	       (C->now.slot[r.slot + r.n] & (bits | not)) == bits)
		r.n++;
	return r;
}

static void mark(struct range r, unsigned int clear, unsigned int set)
{
	unsigned int i;

	for (i = r.slot; i < r.slot + r.n; i++)
		C->now.slot[i] = (C->now.slot[i] & ~clear) | set;
}

static long result_of(long r)
{
	return r == -1 ? -errno : r;
}

/* What is being done, for the log. */
static struct entry *entry;

static void concerns(uint64_t address, uint64_t size)
{
	entry = &C->log[C->number % LOG];
	entry->address = address;
	entry->size = size;
}

static struct range mapped(void)
{
	struct range r = some(SLOT_MAPPED, 0);

	concerns(address_of(r.slot), size_of(r));
	return r;
}

static long write_words(uint64_t address, unsigned int pages)
{
	bool ok = true;
	unsigned int i;

	concerns(address, pages * PAGE_SIZE);
	for (i = 0; i < pages; i++)
		ok &= store(address + i * PAGE_SIZE + below(512) * 8, stamp());
	return ok ? 0 : -EFAULT;
}

static long do_write(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_WRITE, 0);
	long result = write_words(address_of(r.slot), r.n);

	/* What is written to is no longer free. */
	mark(r, result ? 0 : SLOT_FREED, SLOT_TOUCHED);
	return result;
}

static long do_fill(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_WRITE, 0);

	concerns(address_of(r.slot), PAGE_SIZE);
	mark((struct range){ r.slot, 1 }, 0, SLOT_TOUCHED);
	return fill(address_of(r.slot), chance(20) ? 0 : stamp()) ? 0 : -EFAULT;
}

static long do_read(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_READ, 0);
	bool ok = true;
	unsigned int i;

	concerns(address_of(r.slot), size_of(r));
	for (i = 0; i < r.n; i++)
		ok &= load(address_of(r.slot + i) + below(512) * 8);
	return ok ? 0 : -EFAULT;
}

static long do_write_data(void)
{
	unsigned int slot = below(DATA_SLOTS - 8);

	return write_words((uint64_t)data[slot], 1 + below(8));
}

static long set_heap(uint64_t to)
{
	uint64_t got = syscall(SYS_brk, to);

	concerns(to < C->now.heap ? to : C->now.heap, PAGE_SIZE);
	C->now.heap = got;
	return got == to ? 0 : -ENOMEM;
}

static long do_grow_heap(void)
{
	uint64_t to = C->now.heap + below(24 * PAGE_SIZE), most = C->heap_base + HEAP_SLOTS * PAGE_SIZE;

	return set_heap(to < most ? to : most);
}

static long do_shrink_heap(void)
{
	uint64_t by = below(20 * PAGE_SIZE), size = C->now.heap - C->heap_base;

	return set_heap(C->now.heap - (by < size ? by : size));
}

static long do_write_heap(void)
{
	unsigned int pages = (C->now.heap - C->heap_base) / PAGE_SIZE;

	if (!pages)
		return do_grow_heap();
	return write_words((C->heap_base & -PAGE_SIZE) + below(pages) * PAGE_SIZE, 1);
}

static __attribute__((noinline)) long do_write_stack(void)
{
	unsigned int pages = 1 + below(chance(10) ? STACK_SLOTS : 8);
	char *p = __builtin_alloca(pages * PAGE_SIZE);

	return write_words(((uint64_t)p + PAGE_SIZE - 1) & -PAGE_SIZE, pages - 1);
}

static const int protections[] = {
	PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	PROT_READ | PROT_WRITE, PROT_READ, PROT_READ, PROT_NONE,
	PROT_READ | PROT_WRITE | PROT_EXEC,
};

static unsigned int bits_of(int protection)
{
	return (protection & PROT_READ ? SLOT_READ : 0) |
	       (protection & PROT_WRITE ? SLOT_WRITE : 0);
}

static long map(struct range r, int protection, int flags, int fd, unsigned int page)
{
	unsigned int bits = SLOT_MAPPED | bits_of(protection);
	void *p;

	concerns(address_of(r.slot), size_of(r));
	if (chance(10)) {
		flags |= MAP_POPULATE;
		bits |= SLOT_TOUCHED;
	}
	if (chance(10))
		flags |= MAP_NORESERVE;
	if (flags & MAP_SHARED)
		bits |= SLOT_SHARED;
	if (fd >= 0)
		bits |= SLOT_FILE;
	p = mmap((void *)address_of(r.slot), size_of(r), protection, flags | MAP_FIXED, fd,
		 page * PAGE_SIZE);
	if (p == MAP_FAILED)
		return -errno;
	mark(r, 0xff, bits);
	return 0;
}

/* Some slots, whatever is there. */
static struct range anywhere(unsigned int most)
{
	struct range r = { .n = 1 + below(most) };

	r.slot = below(SLOTS - r.n);
	return r;
}

static int some_protection(void)
{
	return protections[below(sizeof(protections) / sizeof(*protections))];
}

static long do_map_anonymous(void)
{
	return map(anywhere(48), some_protection(), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Whole huge pages; then one write, which is enough for the kernel to use one. */
static long do_map_huge(void)
{
	struct range r = { .slot = SMALL_SLOTS, .n = HUGE_PAGES };
	long result;

	if (C->touched + HUGE_PAGES > MOST_TOUCHED)
		r.n = HUGE_PAGES / 2;
	r.slot += below(HUGE_SLOTS / HUGE_PAGES) * HUGE_PAGES;
	result = map(r, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!result && C->can & CAN_THP && chance(70))
		madvise((void *)address_of(r.slot), size_of(r), MADV_HUGEPAGE);
	if (!result && r.n == HUGE_PAGES) {
		mark(r, 0, SLOT_TOUCHED);
		store(address_of(r.slot + below(r.n)), stamp());
	}
	return result;
}

static long do_map_file(void)
{
	return map(anywhere(16), some_protection(), MAP_PRIVATE, C->file, below(16));
}

static long do_map_program(void)
{
	struct range r = anywhere(8);

	return map(r, some_protection(), MAP_PRIVATE, C->program,
		   below(C->program_size / PAGE_SIZE - 8));
}

static long do_map_shrinking(void)
{
	/* Never by two mappings in a row, or those that move would not stay in the file. */
	return map(anywhere(SHRINKING_PAGES), some_protection(), MAP_PRIVATE, C->shrinking, 0);
}

static void add_version(unsigned int page, uint64_t first)
{
	struct history *h = &C->history[page];

	h->version[h->versions].number = C->number;
	h->version[h->versions].original = false;
	h->version[h->versions++].first = first;
}

/*
 * A page that is behind the end of its file is taken out of everyone's memory, private
 * or not; then the file is as long as it was, and has zeroes there.
 */
static long do_truncate(void)
{
	unsigned int i, page = below(SHRINKING_PAGES);

	if (ftruncate(C->shrinking, page * PAGE_SIZE) ||
	    ftruncate(C->shrinking, SHRINKING_PAGES * PAGE_SIZE))
		return -errno;
	for (i = page; i < SHRINKING_PAGES; i++) {
		C->history[i].versions = 0;
		add_version(i, 0);
		C->history[i].truncated = C->number;
	}
	return 0;
}

/* Private pages stay what they are. */
static long do_punch_hole(void)
{
	unsigned int page = below(SHRINKING_PAGES), n = 1 + below(SHRINKING_PAGES - page), i;
	uint64_t value = stamp();

	for (i = page; i < page + n; i++)
		if (C->history[i].versions + 2 > VERSIONS)
			return -ENOSPC;
	if (fallocate(C->shrinking, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      page * PAGE_SIZE, n * PAGE_SIZE))
		return -errno;
	for (i = page; i < page + n; i++)
		add_version(i, 0);
	if (chance(50)) {
		if (pwrite(C->shrinking, &value, 8, page * PAGE_SIZE) != 8)
			return -errno;
		add_version(page, value);
	}
	return 0;
}

/* Of a file that nobody maps privately: what is written to it is no private page's. */
static long do_map_shared(void)
{
	if (chance(50))
		return map(anywhere(8), PROT_READ | PROT_WRITE, MAP_SHARED, C->shared, below(16));
	return map(anywhere(8), some_protection(), MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static long do_unmap(void)
{
	struct range r = chance(30) ? anywhere(200) : mapped();

	concerns(address_of(r.slot), size_of(r));
	if (munmap((void *)address_of(r.slot), size_of(r)))
		return -errno;
	mark(r, 0xff, 0);
	return 0;
}

static long do_protect(void)
{
	struct range r = mapped();
	int protection = some_protection();

	if (mprotect((void *)address_of(r.slot), size_of(r), protection))
		return -errno;
	mark(r, SLOT_READ | SLOT_WRITE, bits_of(protection));
	return 0;
}

/* Larger, where nothing is behind it, or smaller. */
static long do_resize(void)
{
	struct range r = some(SLOT_MAPPED, 0), to;
	uint8_t bits = C->now.slot[r.slot] & ~SLOT_TOUCHED;
	void *p;

	while (r.slot + r.n < SLOTS && C->now.slot[r.slot + r.n])
		r.n++;
	r.slot += r.n - 1;
	r.n = 1;
	to = r;
	bits = C->now.slot[r.slot] & ~SLOT_TOUCHED;
	while (to.slot + to.n < SLOTS && to.n < 8 && !C->now.slot[to.slot + to.n])
		to.n++;
	concerns(address_of(to.slot), size_of(to));
	p = mremap((void *)address_of(r.slot), PAGE_SIZE, size_of(to), 0);
	if (p == MAP_FAILED)
		return -errno;
	mark((struct range){ to.slot + 1, to.n - 1 }, 0xff, bits);
	if (!chance(40) || to.n < 2)
		return 0;
	/* And back, by some of it. */
	r.n = 1 + below(to.n - 1);
	p = mremap((void *)address_of(to.slot), size_of(to), size_of(r), 0);
	if (p == MAP_FAILED)
		return -errno;
	mark((struct range){ to.slot + r.n, to.n - r.n }, 0xff, 0);
	return 0;
}

static long move(unsigned int flags)
{
	struct range r = some(SLOT_MAPPED | SLOT_TOUCHED, SLOT_SHARED), to;
	uint8_t bits[64];
	void *p;

	to.n = r.n = r.n > 16 ? 16 : r.n;
	to.slot = below(SLOTS - to.n);
	concerns(address_of(r.slot), size_of(r));
	if (to.slot < r.slot + r.n && r.slot < to.slot + to.n)
		return -ENOENT;
	p = mremap((void *)address_of(r.slot), size_of(r), size_of(r),
		   flags | MREMAP_MAYMOVE | MREMAP_FIXED, address_of(to.slot));
	/* A failed one may have unmapped what was there: the hints may be wrong. */
	if (p == MAP_FAILED)
		return -errno;
	memcpy(bits, &C->now.slot[r.slot], r.n);
	memcpy(&C->now.slot[to.slot], bits, r.n);
	mark(r, flags & MREMAP_DONTUNMAP ? SLOT_TOUCHED : 0xff, 0);
	return address_of(to.slot);
}

static long do_move(void)
{
	return move(0);
}

static long do_move_content(void)
{
	return move(MREMAP_DONTUNMAP);
}

static long advise(struct range r, int advice)
{
	concerns(address_of(r.slot), size_of(r));
	return result_of(madvise((void *)address_of(r.slot), size_of(r), advice));
}

static long do_dontneed(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_TOUCHED, 0);
	long result = advise(r, MADV_DONTNEED);

	if (!result)
		mark(r, SLOT_TOUCHED, 0);
	return result;
}

static long do_free(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_TOUCHED | SLOT_WRITE, SLOT_SHARED | SLOT_FILE);

	/*
	 * Only what is written to in this memory: of a page that two processes share, and
	 * that was read from a swap device in memory, MADV_FREE in the one loses the
	 * content of the other. That is so after any fork(), and not what is tested here.
	 */
	if (write_words(address_of(r.slot), r.n))
		return -EFAULT;
	mark(r, 0, SLOT_FREED);
	return advise(r, MADV_FREE);
}

static long do_wipeonfork(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_TOUCHED, SLOT_SHARED | SLOT_FILE);

	r.n = r.n > 4 ? 4 : r.n;
	return advise(r, MADV_WIPEONFORK);
}

static long do_keeponfork(void)
{
	concerns(WINDOW, SLOTS * PAGE_SIZE);
	/* Holes are no failure. */
	madvise((void *)WINDOW, SLOTS * PAGE_SIZE, MADV_KEEPONFORK);
	return 0;
}

static long do_dontfork(void)
{
	struct range r = some(SLOT_MAPPED, 0);

	r.n = r.n > 4 ? 4 : r.n;
	return advise(r, MADV_DONTFORK);
}

static long do_cold(void)
{
	return advise(some(SLOT_MAPPED | SLOT_TOUCHED, 0), MADV_COLD);
}

static long do_pageout(void)
{
	return advise(some(SLOT_MAPPED | SLOT_TOUCHED, SLOT_SHARED), MADV_PAGEOUT);
}

static long do_willneed(void)
{
	return advise(some(SLOT_MAPPED | SLOT_TOUCHED, SLOT_SHARED), MADV_WILLNEED);
}

/* One of the whole huge pages. */
static struct range one_huge(void)
{
	struct range r = { .slot = SMALL_SLOTS, .n = HUGE_PAGES };

	r.slot += below(HUGE_SLOTS / HUGE_PAGES) * HUGE_PAGES;
	return r;
}

static long do_hugepage(void)
{
	return advise(chance(50) ? one_huge() : some(SLOT_MAPPED, SLOT_SHARED), MADV_HUGEPAGE);
}

static long do_nohugepage(void)
{
	return advise(chance(30) ? one_huge() : some(SLOT_MAPPED, SLOT_SHARED), MADV_NOHUGEPAGE);
}

static long do_collapse(void)
{
	struct range r = one_huge();
	long result;

	/* It needs one mapping of it all. Seldom there is room for one, so some go beyond. */
	if ((C->touched + HUGE_PAGES < MOST_TOUCHED || chance(6)) && chance(60)) {
		result = map(r, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (result)
			return result;
		store(address_of(r.slot + below(r.n)), stamp());
	}
	result = advise(r, MADV_COLLAPSE);
	if (!result)
		mark(r, 0, SLOT_TOUCHED);
	return result;
}

static long do_mergeable(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_TOUCHED, SLOT_SHARED | SLOT_FILE);
	unsigned int i;

	/* Some that are alike. */
	for (i = 0; i < r.n && i < 4; i++)
		fill(address_of(r.slot + i), 7);
	return advise(r, MADV_MERGEABLE);
}

static long do_unmergeable(void)
{
	return advise(some(SLOT_MAPPED | SLOT_TOUCHED, SLOT_SHARED | SLOT_FILE), MADV_UNMERGEABLE);
}

static long do_populate_read(void)
{
	return advise(some(SLOT_MAPPED | SLOT_READ, 0), MADV_POPULATE_READ);
}

static long do_populate_write(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_WRITE, 0);

	mark(r, 0, SLOT_TOUCHED);
	return advise(r, MADV_POPULATE_WRITE);
}

static long do_dontdump(void)
{
	return advise(some(SLOT_MAPPED, 0), chance(60) ? MADV_DONTDUMP : MADV_DODUMP);
}

/* In a child: its own copies, and only those. */
static void scribble(uint64_t seed)
{
	unsigned int i;

	for (i = 0; i < 20; i++) {
		uint64_t n = next_random(&seed);

		store(address_of(n % SLOTS), n);
		data[n % DATA_SLOTS][0] = n;
	}
}

static long do_fork(void)
{
	uint64_t seed = any();
	int status;
	pid_t pid = fork();

	if (!pid) {
		scribble(seed);
		_exit(0);
	}
	if (pid < 0)
		return -errno;
	waitpid(pid, &status, 0);
	return status;
}

/* A child that stays for a while, so that pages are shared with it. */
static long do_fork_and_hold(void)
{
	unsigned int i = below(HELD);
	uint64_t seed = any();
	pid_t pid;

	if (C->held[i]) {
		kill(C->held[i], SIGKILL);
		waitpid(C->held[i], NULL, 0);
		C->held[i] = 0;
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		scribble(seed);
		for (;;)
			pause();
	}
	C->held[i] = pid > 0 ? pid : 0;
	return pid < 0 ? -errno : 0;
}

static long do_lock(void)
{
	struct range r = some(SLOT_MAPPED, 0);

	r.n = r.n > 8 ? 8 : r.n;
	concerns(address_of(r.slot), size_of(r));
	return result_of(syscall(SYS_mlock2, address_of(r.slot), size_of(r), below(2)));
}

static long do_unlock(void)
{
	return result_of(munlockall());
}

static long do_read_into(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_WRITE, 0);
	long n;

	r.n = r.n > 8 ? 8 : r.n;
	concerns(address_of(r.slot), size_of(r));
	mark(r, 0, SLOT_TOUCHED);
	n = pread(C->file, (void *)address_of(r.slot), size_of(r), below(16) * PAGE_SIZE + 8);
	return result_of(n);
}

static long direct(bool write)
{
	struct range r = some(SLOT_MAPPED | (write ? SLOT_READ | SLOT_TOUCHED : SLOT_WRITE), 0);
	long n;

	r.n = r.n > 8 ? 8 : r.n;
	concerns(address_of(r.slot), size_of(r));
	if (write) {
		n = pwrite(C->direct, (void *)address_of(r.slot), size_of(r),
			   below(64) * PAGE_SIZE);
	} else {
		mark(r, 0, SLOT_TOUCHED);
		n = pread(C->direct, (void *)address_of(r.slot), size_of(r),
			  below(64) * PAGE_SIZE);
	}
	return result_of(n);
}

static long do_direct_read(void)
{
	return direct(false);
}

static long do_direct_write(void)
{
	return direct(true);
}

static void futex(uint32_t *word, int what, uint32_t value)
{
	syscall(SYS_futex, word, what, value, NULL, NULL, 0);
}

static long ask_poker(enum operation what, uint64_t address)
{
	C->poke.what = what;
	C->poke.address = address;
	C->poke.value = stamp();
	__atomic_store_n(&C->poke.request, 1, __ATOMIC_SEQ_CST);
	futex(&C->poke.request, FUTEX_WAKE, 1);
	while (__atomic_load_n(&C->poke.request, __ATOMIC_SEQ_CST))
		futex(&C->poke.request, FUTEX_WAIT, 1);
	return C->poke.result;
}

static long poke(enum operation what, unsigned int bits)
{
	struct range r = some(SLOT_MAPPED | bits, SLOT_SHARED);
	uint64_t address = address_of(r.slot) + below(512) * 8;

	if (chance(10))
		address = (uint64_t)&data[below(DATA_SLOTS)][below(512)];
	else
		mark((struct range){ r.slot, 1 }, 0, SLOT_TOUCHED);
	concerns(address, 8);
	return ask_poker(what, address);
}

static long do_process_vm_writev(void)
{
	return poke(OP_process_vm_writev, SLOT_WRITE);
}

/* These two write where the owner may not. */
static long do_proc_mem_write(void)
{
	return poke(OP_proc_mem_write, 0);
}

static long do_ptrace_poke(void)
{
	return poke(OP_ptrace_poke, 0);
}

static long do_compact(void)
{
	return ask_poker(OP_compact, 0);
}

static long do_drop_caches(void)
{
	return ask_poker(OP_drop_caches, 0);
}

static long do_reclaim(void)
{
	return ask_poker(OP_reclaim, 0);
}

static long do_toggle_thp(void)
{
	return ask_poker(OP_toggle_thp, 0);
}

static long do_toggle_ksm(void)
{
	return ask_poker(OP_toggle_ksm, 0);
}

static long do_toggle_mglru(void)
{
	return ask_poker(OP_toggle_mglru, 0);
}

static long do_bound_kept(void)
{
	return ask_poker(OP_bound_kept, 0);
}

static long do_descriptor(void)
{
	int fd = FIRST_FD + below(FDS), made;
	char name[] = "model-00000000";
	unsigned int i, n = C->number;

	switch (below(6)) {
	case 0:
		return result_of(close(fd));
	case 1:
		return result_of(dup2(C->pipe[below(2)], fd));
	case 2:
		return result_of(dup2(FIRST_FD + below(FDS), fd));
	case 3:
		return result_of(fcntl(fd, F_SETFD, below(2) ? FD_CLOEXEC : 0));
	case 4:
		return result_of(dup3(C->file, fd, below(2) ? O_CLOEXEC : 0));
	default:
		for (i = sizeof(name) - 2; n; n /= 10)
			name[i--] = '0' + n % 10;
		made = memfd_create(name, 0);
		if (made < 0)
			return -errno;
		dup2(made, fd);
		close(made);
		return 0;
	}
}

static long do_signal_mask(void)
{
	static const int numbers[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, 35, 50, 64 };
	uint64_t set = 0, chosen = any();
	unsigned int i;

	for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (chosen & 1 << i)
			set |= 1ul << (numbers[i] - 1);
	return result_of(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, NULL, 8));
}

/* Has a range watched, as no snapshot may keep it. */
static bool watch(void)
{
	struct range r = some(SLOT_MAPPED | SLOT_TOUCHED, SLOT_SHARED | SLOT_FILE);
	struct uffdio_api api = { .api = UFFD_API };
	/* Pages that are there are watched for writes alone: nobody waits for one. */
	struct uffdio_register range = {
		.range = { .start = address_of(r.slot), .len = size_of(r) },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return false;
	if (dup3(fd, FD_WATCHER, O_CLOEXEC) != FD_WATCHER) {
		close(fd);
		return false;
	}
	close(fd);
	if (!ioctl(FD_WATCHER, UFFDIO_API, &api) && !ioctl(FD_WATCHER, UFFDIO_REGISTER, &range))
		return true;
	close(FD_WATCHER);
	return false;
}

/* What a snapshot may refuse to keep: away with it. */
static void be_ordinary(void)
{
	if (C->gate == OP_watched)
		close(FD_WATCHER);
	munlockall();
	madvise((void *)WINDOW, SLOTS * PAGE_SIZE, MADV_DOFORK);
}

/* From some depth of the stack, with things on it. */
static __attribute__((noinline)) void pass_from(unsigned int depth)
{
	volatile uint64_t frame[32];

	frame[depth % 32] = depth;
	if (depth)
		pass_from(depth - 1);
	else
		gate();
	/* So that the call above is not the last thing, and the frame stays. */
	frame[(depth + 1) % 32] = frame[depth % 32];
}

static void pass(enum operation what, unsigned int chosen, int fd, unsigned int cmd, void *arg)
{
	C->gate = what;
	C->chosen = chosen;
	C->fd = fd;
	C->cmd = cmd;
	C->arg = (uint64_t)arg;
	memset(&C->event, 0x55, sizeof(C->event));
	pass_from(below(12));
	/* Nothing that was here before may be used from here on, but C. */
	if (C->result == -EOPNOTSUPP)
		be_ordinary();
}

static void take_snapshot(enum operation what, int fd, unsigned int chosen)
{
	C->call.snapshot = (struct lwc_snapshot_args){
		.size = sizeof(C->call.snapshot),
		.snapshot = fd,
		.event = (uint64_t)&C->event,
	};
	pass(what, chosen, C->device, LWC_IOC_SNAPSHOT, &C->call.snapshot);
}

static void roll_back(unsigned int chosen)
{
	C->call.rollback = (struct lwc_rollback_args){
		.size = sizeof(C->call.rollback),
		.arg = C->number,
	};
	pass(OP_rollback, chosen, C->context[C->where].snapshot[chosen].fd, LWC_IOC_ROLLBACK,
	     &C->call.rollback);
}

static void create(unsigned int chosen)
{
	C->call.create = (struct lwc_create_args){
		.size = sizeof(C->call.create),
		.flags = C->can & CAN_KEEP && chance(70) ? LWC_KEEP : 0,
		.event = (uint64_t)&C->event,
	};
	pass(OP_create, chosen, C->device, LWC_IOC_CREATE, &C->call.create);
}

static void renew(unsigned int chosen)
{
	C->call.renew = (struct lwc_renew_args){
		.size = sizeof(C->call.renew),
		.created = C->context[chosen].fd,
		.event = (uint64_t)&C->event,
	};
	pass(OP_renew, chosen, C->context[chosen].fd, LWC_IOC_RENEW, &C->call.renew);
}

static void switch_to(enum operation what, unsigned int chosen, int fd, unsigned int flags)
{
	C->call.switch_ = (struct lwc_switch_args){
		.size = sizeof(C->call.switch_),
		.flags = flags,
		.arg = C->number,
		.event = (uint64_t)&C->event,
	};
	pass(what, chosen, fd, LWC_IOC_SWITCH, &C->call.switch_);
}

/* A context other than the root one that exists, or does not; 0: none. */
static unsigned int some_context(bool exists, bool kept)
{
	unsigned int i, first = below(CONTEXTS - 1);

	for (i = 0; i < CONTEXTS - 1; i++) {
		unsigned int n = 1 + (first + i) % (CONTEXTS - 1);
		const struct context *c = &C->context[n];

		if (c->exists == exists && (!kept || (c->has_kept && !c->snapshots && !c->has_closed)))
			return n;
	}
	return 0;
}

/*
 * What leaves a memory or comes back to one. Return: false if it cannot be done now;
 * true it may say in another context, or for the second time.
 */
static bool through_gate(enum operation what)
{
	struct context *here = &C->context[C->where];
	unsigned int n;

	switch (what) {
	case OP_snapshot:
		if (here->snapshots == SNAPSHOTS)
			return false;
		take_snapshot(what, -1, here->snapshots);
		return true;
	case OP_rearm:
		if (!here->snapshots)
			return false;
		n = below(here->snapshots);
		take_snapshot(what, here->snapshot[n].fd, n);
		return true;
	case OP_watched:
		if (!watch())
			return false;
		take_snapshot(what, -1, 0);
		return true;
	case OP_rollback:
		if (!here->snapshots)
			return false;
		roll_back(chance(70) ? here->snapshots - 1 : below(here->snapshots));
		return true;
	case OP_create:
		n = C->where ? 0 : some_context(false, false);
		if (n)
			create(n);
		return n;
	case OP_renew:
		n = C->where ? 0 : some_context(true, false);
		if (n)
			renew(n);
		return n;
	case OP_switch:
		n = C->where ? 0 : some_context(true, false);
		if (!C->where && !n)
			return false;
		switch_to(what, n, C->where ? here->caller : C->context[n].fd, 0);
		return true;
	case OP_fresh:
		n = C->where ? 0 : some_context(true, true);
		if (n)
			switch_to(what, n, C->context[n].fd, LWC_FRESH);
		return n;
	case OP_discard:
		if (!C->where || !here->has_kept || here->snapshots || here->has_closed)
			return false;
		switch_to(what, 0, here->caller, LWC_DISCARD);
		return true;
	case OP_keep:
		n = C->where ? 0 : some_context(true, true);
		if (n)
			pass(what, n, C->context[n].fd, LWC_IOC_KEEP, NULL);
		return n;
	case OP_close_snapshot:
		/* It is the referee who has these two closed; the call is none. */
		if (!here->snapshots)
			return false;
		pass(what, below(here->snapshots), -1, 0, NULL);
		return true;
	case OP_close_context:
		/* With a snapshot a rollback would bring it back. */
		n = C->where || here->snapshots ? 0 : some_context(true, false);
		if (n)
			pass(what, n, -1, 0, NULL);
		return n;
	default:
		return false;
	}
}

static long (* const functions[])(void) = {
#define IS_GATE(what)	((what) >= OP_snapshot)
	[OP_write] = do_write, [OP_fill] = do_fill, [OP_read] = do_read,
	[OP_write_data] = do_write_data, [OP_write_heap] = do_write_heap,
	[OP_write_stack] = do_write_stack, [OP_map_anonymous] = do_map_anonymous,
	[OP_map_huge] = do_map_huge, [OP_map_file] = do_map_file,
	[OP_map_program] = do_map_program, [OP_map_shrinking] = do_map_shrinking,
	[OP_truncate] = do_truncate, [OP_punch_hole] = do_punch_hole,
	[OP_map_shared] = do_map_shared,
	[OP_unmap] = do_unmap, [OP_protect] = do_protect, [OP_resize] = do_resize,
	[OP_move] = do_move, [OP_move_content] = do_move_content,
	[OP_dontneed] = do_dontneed, [OP_free] = do_free, [OP_wipeonfork] = do_wipeonfork,
	[OP_keeponfork] = do_keeponfork, [OP_dontfork] = do_dontfork, [OP_cold] = do_cold,
	[OP_pageout] = do_pageout, [OP_willneed] = do_willneed, [OP_hugepage] = do_hugepage,
	[OP_nohugepage] = do_nohugepage, [OP_collapse] = do_collapse,
	[OP_mergeable] = do_mergeable, [OP_unmergeable] = do_unmergeable,
	[OP_populate_read] = do_populate_read, [OP_populate_write] = do_populate_write,
	[OP_dontdump] = do_dontdump, [OP_grow_heap] = do_grow_heap,
	[OP_shrink_heap] = do_shrink_heap, [OP_fork] = do_fork,
	[OP_fork_and_hold] = do_fork_and_hold, [OP_lock] = do_lock, [OP_unlock] = do_unlock,
	[OP_read_into] = do_read_into, [OP_direct_read] = do_direct_read,
	[OP_direct_write] = do_direct_write, [OP_process_vm_writev] = do_process_vm_writev,
	[OP_proc_mem_write] = do_proc_mem_write, [OP_ptrace_poke] = do_ptrace_poke,
	[OP_descriptor] = do_descriptor, [OP_signal_mask] = do_signal_mask,
	[OP_compact] = do_compact, [OP_drop_caches] = do_drop_caches,
	[OP_reclaim] = do_reclaim, [OP_toggle_thp] = do_toggle_thp, [OP_toggle_ksm] = do_toggle_ksm,
	[OP_toggle_mglru] = do_toggle_mglru, [OP_bound_kept] = do_bound_kept,
};

/* Every other stretch of operations leaves the mappings alone. */
static bool is_calm(void)
{
	return C->number / CALM_LENGTH % 2;
}

static enum operation choose(void)
{
	static unsigned int sum;
	unsigned int i, n;

	if (!sum)
		for (i = 0; i < N_OPERATIONS; i++)
			sum += table[i].weight;
	n = below(sum);
	for (i = 0; n >= table[i].weight; i++)
		n -= table[i].weight;
	return i;
}

/* Not too much at a time, or a seed takes hours. */
static void count_touched(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < SLOTS; i++)
		n += !!(C->now.slot[i] & SLOT_TOUCHED);
	C->touched = n;
	if (n > MOST_TOUCHED) {
		struct range r = { .slot = below(SLOTS - 512), .n = 512 };

		munmap((void *)address_of(r.slot), size_of(r));
		mark(r, 0xff, 0);
	}
}

static void step(void)
{
	enum operation what = choose();

	if ((C->can & table[what].can) != table[what].can ||
	    (is_calm() && table[what].can & CHANGES_MAPPINGS))
		return;
	C->log[C->number % LOG] = (struct entry){
		.number = C->number, .operation = what, .context = C->where,
	};
	if (IS_GATE(what)) {
		/* The referee counts, as here it may return any number of times. */
		if (through_gate(what))
			C->number++;
		return;
	}
	entry = &C->log[C->number % LOG];
	C->tried[what]++;
	entry->result = -EINPROGRESS;
	entry->result = functions[what]();
	if (entry->result >= 0)
		C->done[what]++;
	C->number++;
	if (C->number % 32 == 0)
		count_touched();
}

void subject_run(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	C->heap_base = syscall(SYS_brk, 0);
	C->now.heap = C->heap_base;
	while (C->number < C->operations)
		step();
	_exit(0);
}
