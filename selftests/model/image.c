// SPDX-License-Identifier: GPL-2.0
/*
 * image.c - pictures of a process's memory, and how it differs from one.
 *
 * A picture is what /proc says of the mappings and, page by page, either a copy of
 * the content or a forked witness that still has it. Looking must not change what is
 * looked at: a page that is not there is not touched, and nothing is ever written. It
 * must never take a page for equal without a reason: the same bytes, no page on both
 * sides, or the same frame in both processes at the same time.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

#define IMAGES		24
#define NONE		UINT32_MAX
#define AT_ONCE		64

/* An entry of pagemap. */
#define PRESENT		(1ull << 63)
#define SWAPPED		(1ull << 62)
#define OF_FILE		(1ull << 61)
#define FRAME		((1ull << 55) - 1)

struct area {
	uint64_t start, end, offset;
	char permissions[5];
	bool private_, skipped, anonymous, wiped, not_forked;
	char flags[96];			/* VmFlags, as far as they are compared. */
	char name[100];			/* With device and inode. */
	uint32_t *page;			/* Where in the store; NONE: no private page. */
};

struct image {
	unsigned int users;
	uint32_t number;		/* Of the operation that it was taken in. */
	bool special;
	struct table table;
	/* Given back by MADV_FREE: it may be zero at any time. */
	bool lazy[SLOTS];
	unsigned int areas, room;
	struct area *area;
	uint64_t (*store)[PAGE_SIZE / 8];
	uint32_t pages, store_room;
	bool has_content;
	pid_t witness;
};

static struct image images[IMAGES];
struct shown shown;

static void *must(void *p)
{
	if (!p) {
		perror("# model: memory");
		abort();
	}
	return p;
}

static int open_proc(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "# model: %s: %m\n", path);
		abort();
	}
	return fd;
}

/* All of a file in /proc, in a buffer that is used again. */
static char *read_proc(pid_t pid, const char *name)
{
	static char *text;
	static size_t room;
	size_t size = 0;
	int fd = open_proc(pid, name);
	ssize_t n;

	do {
		if (size + 65536 > room) {
			room = size + 262144;
			text = must(realloc(text, room));
		}
		n = read(fd, text + size, room - size - 1);
		if (n > 0)
			size += n;
	} while (n > 0);
	close(fd);
	text[size] = 0;
	return text;
}

/* Soft-dirty is not compared: reading cannot set it, but clear_refs and forks do. */
static void take_flags(struct area *a, const char *text)
{
	char *to = a->flags;

	/* Two letters and a blank each. */
	while (*text == ' ')
		text++;
	for (; text[0] > ' ' && text[1] > ' ' && text[2] == ' '; text += 3) {
		if (!memcmp(text, "sd", 2))
			continue;
		if (!memcmp(text, "wf", 2))
			a->wiped = true;
		if (!memcmp(text, "dc", 2))
			a->not_forked = true;
		if (to + 4 > a->flags + sizeof(a->flags))
			abort();
		memcpy(to, text, 3);
		to += 3;
	}
	*to = 0;
}

static bool has_flag(const struct area *a, const char *flag)
{
	char word[4] = { flag[0], flag[1], ' ', 0 };

	return strstr(a->flags, word);
}

/* As fork() has them: without locks, and without anyone who watches. */
static void without_flags(char *flags)
{
	/* MLOCK_ONFAULT had no name before 6.7. */
	static const char * const gone[] = { "lo ", "lf ", "?? ", "um ", "uw ", "ui " };
	unsigned int i;
	char *p;

	for (i = 0; i < sizeof(gone) / sizeof(*gone); i++)
		while ((p = strstr(flags, gone[i])))
			memmove(p, p + 3, strlen(p + 3) + 1);
}

/* Two that differ in nothing are one: where the kernel has cut means nothing. */
static bool continues(const struct area *a, const struct area *b)
{
	return a->end == b->start && !strcmp(a->permissions, b->permissions) &&
	       !strcmp(a->flags, b->flags) && !strcmp(a->name, b->name) &&
	       (a->anonymous || a->offset + (a->end - a->start) == b->offset);
}

static void merge(struct image *m)
{
	unsigned int i, n = 0;

	for (i = 1; i < m->areas; i++) {
		if (continues(&m->area[n], &m->area[i]))
			m->area[n].end = m->area[i].end;
		else
			m->area[++n] = m->area[i];
	}
	m->areas = n + 1;
}

static struct area *add_area(struct image *m)
{
	if (m->areas == m->room) {
		m->room = m->room ? 2 * m->room : 64;
		m->area = must(realloc(m->area, m->room * sizeof(*m->area)));
	}
	memset(&m->area[m->areas], 0, sizeof(*m->area));
	return &m->area[m->areas++];
}

/* START-END PERMISSIONS OFFSET NAME, of which the name is the rest of the line. */
static void take_head(struct area *a, char *line)
{
	a->start = strtoull(line, &line, 16);
	a->end = strtoull(line + 1, &line, 16);
	memcpy(a->permissions, line + 1, 4);
	a->offset = strtoull(line + 6, &line, 16);
	snprintf(a->name, sizeof(a->name), "%s", line + 1);
	a->private_ = a->permissions[3] == 'p';
	a->anonymous = !strncmp(a->name, "00:00 0 ", 8);
	/* The kernel's own, of which each process has the same. */
	a->skipped = !a->private_ || strstr(a->name, "[v");
}

static void take_areas(struct image *m, pid_t pid)
{
	char *line = read_proc(pid, "smaps"), *flags;
	struct area *a;

	m->areas = 0;
	while (*line) {
		/* Between the head and the flags there are numbers of pages. */
		flags = strstr(line, "\nVmFlags:");
		a = add_area(m);
		*(char *)must(strchr(line, '\n')) = 0;
		take_head(a, line);
		take_flags(a, (char *)must(flags) + 9);
		line = (char *)must(strchr(flags + 1, '\n')) + 1;
	}
	merge(m);
}

static bool is_special(const struct image *m)
{
	unsigned int i;

	for (i = 0; i < m->areas; i++)
		if (m->area[i].not_forked || has_flag(&m->area[i], "lo") ||
		    has_flag(&m->area[i], "??") || has_flag(&m->area[i], "um") || has_flag(&m->area[i], "uw"))
			return true;
	return false;
}

/* Is there a page of its own, that has to be looked at? */
static bool is_private(uint64_t entry)
{
	return (entry & (PRESENT | SWAPPED)) && !(entry & OF_FILE);
}

static void count_entry(uint64_t entry)
{
	if (entry & SWAPPED)
		shown.swapped++;
}

static uint64_t *entries_of(int pagemap, const struct area *a)
{
	static uint64_t *entries;
	static size_t room;
	size_t n = (a->end - a->start) >> PAGE_SHIFT;

	if (n > room) {
		room = n;
		entries = must(realloc(entries, n * 8));
	}
	if (pread(pagemap, entries, n * 8, (a->start >> PAGE_SHIFT) * 8) != (ssize_t)(n * 8)) {
		fprintf(stderr, "# model: pagemap of %" PRIx64 ": %m\n", a->start);
		abort();
	}
	return entries;
}

/*
 * rseq is registered for the program's thread, and the kernel writes there when it
 * likes; where that is, is in the thread pointer's neighbourhood.
 */
extern const ptrdiff_t __rseq_offset;
extern const unsigned int __rseq_size;

static void forget_rseq(uint64_t address, uint64_t *page)
{
	uint64_t rseq = (uint64_t)__builtin_thread_pointer() + __rseq_offset;

	/* The witness, the subject and we are copies, so it is at one address in all. */
	if (__rseq_size && (rseq & -PAGE_SIZE) == address)
		memset((char *)page + (rseq & (PAGE_SIZE - 1)), 0, 32);
}

/* Pages of a process, in runs. What cannot be read is taken as all ones. */
static void read_pages(int mem, uint64_t address, unsigned int n, void *to)
{
	ssize_t got = pread(mem, to, n * PAGE_SIZE, address);
	unsigned int i = got < 0 ? 0 : got >> PAGE_SHIFT;

	for (; i < n; i++) {
		char *page = (char *)to + i * PAGE_SIZE;

		if (pread(mem, page, PAGE_SIZE, address + i * PAGE_SIZE) != (ssize_t)PAGE_SIZE)
			memset(page, 0xff, PAGE_SIZE);
	}
	for (i = 0; i < n; i++)
		forget_rseq(address + i * PAGE_SIZE,
			    (uint64_t *)((char *)to + i * PAGE_SIZE));
}

static void store_area(struct image *m, struct area *a, int pagemap, int mem)
{
	uint32_t i, run, n = (a->end - a->start) >> PAGE_SHIFT;
	uint64_t *entry = entries_of(pagemap, a);

	a->page = must(malloc(n * sizeof(*a->page)));
	for (i = 0; i < n; i += run) {
		run = 1;
		if (!is_private(entry[i])) {
			a->page[i] = NONE;
			continue;
		}
		while (i + run < n && is_private(entry[i + run]))
			run++;
		if (m->pages + run > m->store_room) {
			m->store_room = m->pages + run + 512;
			m->store = must(realloc(m->store, m->store_room * PAGE_SIZE));
		}
		read_pages(mem, a->start + i * PAGE_SIZE, run, m->store[m->pages]);
		for (uint32_t j = 0; j < run; j++) {
			count_entry(entry[i + j]);
			a->page[i + j] = m->pages++;
		}
	}
}

int image_take(pid_t pid, int flags)
{
	struct image *m;
	int number, mem, pagemap;
	unsigned int i;

	for (number = 0; number < IMAGES && images[number].users; number++)
		;
	if (number == IMAGES) {
		fprintf(stderr, "# model: no image is left\n");
		abort();
	}
	m = &images[number];
	m->users = 1;
	m->pages = 0;
	m->witness = 0;
	m->number = C->number;
	m->has_content = flags & TAKE_CONTENT;
	take_areas(m, pid);
	table_take(pid, &m->table);
	for (i = 0; i < SLOTS; i++)
		m->lazy[i] = C->now.slot[i] & SLOT_FREED;
	m->special = is_special(m);
	if (m->areas > shown.most_areas)
		shown.most_areas = m->areas;
	if (m->has_content) {
		mem = open_proc(pid, "mem");
		pagemap = open_proc(pid, "pagemap");
		for (i = 0; i < m->areas; i++)
			if (!m->area[i].skipped)
				store_area(m, &m->area[i], pagemap, mem);
		close(mem);
		close(pagemap);
		shown.pages += m->pages;
		if (m->pages > shown.most_pages)
			shown.most_pages = m->pages;
	}
	return number;
}

void image_set_witness(int image, pid_t witness)
{
	images[image].witness = witness;
}

void image_hold(int image)
{
	images[image].users++;
}

const struct table *image_table(int image)
{
	return &images[image].table;
}

bool image_is_special(int image)
{
	return images[image].special;
}

void image_drop(int image)
{
	struct image *m = &images[image];
	unsigned int i;

	if (--m->users)
		return;
	for (i = 0; i < m->areas; i++)
		free(m->area[i].page);
	m->areas = 0;
	if (m->witness) {
		kill(m->witness, SIGKILL);
		waitpid(m->witness, NULL, 0);
	}
}

/* Comparing. */

static void say_area(const char *what, const struct area *a)
{
	printf("#   %s %" PRIx64 "-%" PRIx64 " %s %" PRIx64 " %s (%s)\n", what, a->start, a->end,
	       a->permissions, a->offset, a->name, a->flags);
}

/* What the area is to be in the memory that is compared; false: absent. */
static bool expected_area(const struct area *a, int how, struct area *to)
{
	*to = *a;
	if (!(how & FORKED))
		return true;
	without_flags(to->flags);
	return !a->not_forked;
}

static bool same_area(const struct area *a, const struct area *b)
{
	return a->start == b->start && a->end == b->end &&
	       !strcmp(a->permissions, b->permissions) && !strcmp(a->name, b->name) &&
	       !strcmp(a->flags, b->flags) && (a->anonymous || a->offset == b->offset);
}

static int compare_areas(const struct image *m, const struct image *now, int how,
			 uint64_t *different)
{
	static struct image wanted;
	unsigned int i;

	wanted.areas = 0;
	for (i = 0; i < m->areas; i++) {
		struct area a;

		if (expected_area(&m->area[i], how, &a))
			*add_area(&wanted) = a;
	}
	/* Without the flags that fork takes away, some are one. */
	merge(&wanted);
	for (i = 0; i < wanted.areas || i < now->areas; i++) {
		if (i < wanted.areas && i < now->areas &&
		    same_area(&wanted.area[i], &now->area[i]))
			continue;
		printf("# model: the mappings differ\n");
		if (i < wanted.areas) {
			say_area("expected", &wanted.area[i]);
			*different = wanted.area[i].start;
		} else {
			printf("#   expected none\n");
		}
		if (i < now->areas) {
			say_area("found   ", &now->area[i]);
			if (i >= wanted.areas || now->area[i].start < *different)
				*different = now->area[i].start;
		} else {
			printf("#   found none\n");
		}
		return -1;
	}
	return 0;
}

static bool is_shrinking(const struct area *a)
{
	return strstr(a->name, "memfd:shrinking");
}

/* What the page at this address of a mapping of a file that changes has been; or NULL. */
static const struct history *history_at(const struct area *a, uint64_t address)
{
	uint64_t page = (a->offset + (address - a->start)) >> PAGE_SHIFT;

	return is_shrinking(a) && page < SHRINKING_PAGES ? &C->history[page] : NULL;
}

/* Was it truncated since? Then it has gone from all memories. */
static bool was_truncated(const struct image *m, const struct history *h)
{
	return h && h->truncated > m->number;
}

/*
 * Where no page was written to since the picture, or it was taken out, what is found is
 * what the file is or, if it has been changed, what it was at any time since: when a
 * private page that was not written follows the file, and when no longer, mmap(2)
 * leaves open, and one that was written and put back is a copy of that moment.
 */
static bool was_in_file(const struct image *m, const struct history *h, const uint64_t *found)
{
	unsigned int i = h ? h->versions : 0, j;
	bool same;

	while (i-- > 0) {
		const uint64_t begin = h->version[0].first;

		same = found[0] == h->version[i].first;
		for (j = 1; j < PAGE_SIZE / 8 && same; j++)
			same = found[j] == (h->version[i].original ? begin + j : 0);
		if (same)
			return true;
		/* Older ones had gone before it was taken. */
		if (h->version[i].number <= m->number)
			break;
	}
	return false;
}

/* What a page of a file is, as long as nobody has written to it. */
static void page_of_file(const struct area *a, uint64_t address, uint64_t *to)
{
	off_t at = a->offset + (address - a->start);
	/* What the test maps is open in all its processes, from before they were made. */
	int fd = is_shrinking(a) ? C->shrinking :
		 strstr(a->name, "memfd:") ? C->file : C->program;
	ssize_t n;

	memset(to, 0, PAGE_SIZE);
	n = pread(fd, to, PAGE_SIZE, at);
	(void)n;
}

static void say_page(const struct area *a, uint64_t address, const char *with,
		     const uint64_t *expected, const uint64_t *found)
{
	unsigned int i, n = 0, first = 0;

	for (i = PAGE_SIZE / 8; i-- > 0;) {
		if (expected[i] != found[i]) {
			first = i;
			n++;
		}
	}
	printf("# model: the page at %" PRIx64 " differs from the %s, in %u words; at %" PRIx64
	       ": expected %016" PRIx64 ", found %016" PRIx64 "\n", address, with, n,
	       address + first * 8, expected[first], found[first]);
	/* A stamp says which operation wrote it. */
	printf("#   as stamps: operation %" PRIu64 ", operation %" PRIu64 "\n",
	       expected[first] >> 32, found[first] >> 32);
	say_area("in", a);
}

struct comparison {
	const struct image *m;
	int how;
	int mem, pagemap;			/* Of the memory. */
	int witness_mem, witness_pagemap;	/* -1: there is none. */
	uint64_t *different;
};

static const uint64_t zero[PAGE_SIZE / 8];

static bool is_lazy(const struct image *m, uint64_t address)
{
	return address >= WINDOW && address < WINDOW + SLOTS * PAGE_SIZE &&
	       m->lazy[(address - WINDOW) >> PAGE_SHIFT];
}

static int compare_page(struct comparison *c, const struct area *a, uint64_t address,
			const char *with, const uint64_t *expected, const uint64_t *found)
{
	shown.compared++;
	if (!memcmp(expected, found, PAGE_SIZE))
		return 0;
	/* The kernel may have taken it from either of the two. */
	if (is_lazy(c->m, address) && (!memcmp(found, zero, PAGE_SIZE) ||
				       !memcmp(expected, zero, PAGE_SIZE)))
		return 0;
	say_page(a, address, with, expected, found);
	*c->different = address;
	return -1;
}

/* Against the copy. */
static int compare_content(struct comparison *c, const struct area *a)
{
	static uint64_t found[AT_ONCE][PAGE_SIZE / 8], file[PAGE_SIZE / 8];
	uint32_t i, j, run, n = (a->end - a->start) >> PAGE_SHIFT;
	uint64_t *entry = entries_of(c->pagemap, a);

	for (i = 0; i < n; i += run) {
		run = 1;
		if (a->page[i] == NONE && !is_private(entry[i])) {
			shown.absent++;
			continue;
		}
		while (run < AT_ONCE && i + run < n &&
		       (a->page[i + run] != NONE || is_private(entry[i + run])))
			run++;
		read_pages(c->mem, a->start + i * PAGE_SIZE, run, found);
		for (j = 0; j < run; j++) {
			uint64_t address = a->start + (i + j) * PAGE_SIZE;
			const struct history *h = history_at(a, address);
			const uint64_t *expected = zero;

			count_entry(entry[i + j]);
			if (a->wiped && c->how & (ROLLED_BACK | FORKED)) {
				expected = zero;
			} else if (a->page[i + j] != NONE && !was_truncated(c->m, h)) {
				expected = c->m->store[a->page[i + j]];
			} else if (was_in_file(c->m, h, found[j])) {
				shown.compared++;
				continue;
			} else if (!a->anonymous) {
				page_of_file(a, address, file);
				expected = file;
			}
			if (compare_page(c, a, address, "copy", expected, found[j]))
				return -1;
		}
	}
	return 0;
}

/* Against the witness, in which DONTFORK is absent and WIPEONFORK zero. */
static int compare_witness(struct comparison *c, const struct area *a)
{
	static uint64_t expected[PAGE_SIZE / 8], found[PAGE_SIZE / 8], *entry;
	uint32_t i, n = (a->end - a->start) >> PAGE_SHIFT;
	uint64_t *witness = entries_of(c->witness_pagemap, a);

	if (a->not_forked || (a->wiped && c->how == AS_LEFT))
		return 0;
	entry = must(realloc(entry, n * 8));
	memcpy(entry, witness, n * 8);
	witness = entry;
	{
		uint64_t *now = entries_of(c->pagemap, a);

		for (i = 0; i < n; i++) {
			uint64_t address = a->start + i * PAGE_SIZE;

			if (!is_private(now[i]) && !is_private(witness[i])) {
				shown.absent++;
				continue;
			}
			/* The same frame in both, at this moment. */
			if (now[i] & witness[i] & PRESENT && now[i] & FRAME &&
			    (now[i] & FRAME) == (witness[i] & FRAME)) {
				shown.same_frame++;
				continue;
			}
			count_entry(now[i]);
			read_pages(c->mem, address, 1, found);
			if (!is_private(witness[i]) &&
			    was_in_file(c->m, history_at(a, address), found)) {
				shown.compared++;
				continue;
			}
			read_pages(c->witness_mem, address, 1, expected);
			if (compare_page(c, a, address, "witness", expected, found))
				return -1;
		}
	}
	return 0;
}

int image_compare(int image, pid_t pid, int how, uint64_t *different)
{
	static struct image now;
	const struct image *m = &images[image];
	struct comparison c = { .m = m, .how = how, .different = different };
	unsigned int i;
	int bad;

	take_areas(&now, pid);
	bad = compare_areas(m, &now, how, different);
	if (bad)
		return bad;
	c.mem = open_proc(pid, "mem");
	c.pagemap = open_proc(pid, "pagemap");
	if (m->witness) {
		c.witness_mem = open_proc(m->witness, "mem");
		c.witness_pagemap = open_proc(m->witness, "pagemap");
	}
	for (i = 0; i < m->areas && !bad; i++) {
		const struct area *a = &m->area[i];

		if (a->skipped || (how & FORKED && a->not_forked))
			continue;
		if (m->has_content)
			bad = compare_content(&c, a);
		if (!bad && m->witness)
			bad = compare_witness(&c, a);
	}
	close(c.mem);
	close(c.pagemap);
	if (m->witness) {
		close(c.witness_mem);
		close(c.witness_pagemap);
	}
	return bad;
}
