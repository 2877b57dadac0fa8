/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mix.h - what the files of the mix test share.
 *
 *	mix.c		rounds: a process of several workers each, and how it must end
 *	operations.c	what a worker does in a context, one random operation at a time
 *	view.c		what each context must see of its worker's memory and files
 *
 * A worker is a thread, with a region of memory and numbers of descriptors that nobody
 * else writes to; so what it must find there is known, whatever the others do. All that
 * is known lies in struct mix, in shared memory: contexts come, go and are put back, and
 * threads end inside. A worker's stream of random numbers depends on its seed and on what
 * its own calls answered.
 */
#ifndef LWC_MIX_H
#define LWC_MIX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <lwc.h>

#define PAGE_SIZE	4096ul

#define THREADS		4
/* Those of forked children come behind those of the threads. */
#define WORKERS		16
#define PAGES		24
#define FILES		4
#define CONTEXTS	10	/* of one worker */
#define DEPTH		3
#define OBJECTS		4096	/* shared pages in the life of a worker */
#define SPECS		6
#define LOG		24

/* Where a worker's region is, and its first descriptor. A child uses its parent's. */
#define REGION(owner)		(0x10000000000ul + (owner) * 0x40000000ul)
#define FIRST_FILE(owner)	(300 + (owner) * 10)
/* Descriptors of contexts are sent over it. */
#define SOCKET_OUT	90
#define SOCKET_IN	91

enum kind {
	ABSENT,
	PRIVATE,
	SHARED,
};

/* A page as one context sees it. */
struct page {
	uint8_t kind;
	bool writable;
	bool promised;		/* it can never be made writable */
	uint64_t value;		/* PRIVATE: what is in it; SHARED: which object */
};

struct view {
	struct page pages[PAGES];
	uint64_t files[FILES];	/* inodes; 0: not open; of no meaning in who shares a table */
};

/* Context number 0 of a worker is where it began. */
struct context {
	bool used;
	bool placed;		/* the worker may go there */
	bool shares_files;	/* its parent's table */
	int parent;		/* who made it, and has its descriptor */
	int fd;
	unsigned int flags;
	unsigned int rights;
	unsigned int n_specs;
	struct lwc_spec specs[SPECS];
	unsigned int n_allowed;	/* 0: all of it may be overlaid */
	struct lwc_spec allowed[SPECS];
	struct view now;
	struct view kept;
};

#define MIX_OPERATIONS(OPERATION)		\
	OPERATION(create,	14)		\
	OPERATION(close,	8)		\
	OPERATION(renew,	8)		\
	OPERATION(keep,		12)		\
	OPERATION(enter,	24)		\
	OPERATION(leave,	22)		\
	OPERATION(overlay,	14)		\
	OPERATION(overlay_granted, 8)		\
	OPERATION(restrict,	5)		\
	OPERATION(send,		5)		\
	OPERATION(receive,	6)		\
	OPERATION(write,	30)		\
	OPERATION(protect,	8)		\
	OPERATION(map,		6)		\
	OPERATION(unmap,	4)		\
	OPERATION(open,		6)		\
	OPERATION(fork,		2)		\
	OPERATION(end,		1)

enum operation {
#define NUMBER(name, weight) OP_##name,
	MIX_OPERATIONS(NUMBER)
#undef NUMBER
	OPERATIONS,
};

struct worker {
	atomic_int tid;
	int owner;		/* whose region and numbers it uses */
	bool child;
	uint64_t random;
	int current;		/* context */
	int from;		/* which it left last, */
	uint64_t sent;		/* and with what */
	int left;		/* operations */
	bool over;		/* it ended where it stood */
	struct context contexts[CONTEXTS];
	unsigned int n_objects;
	uint64_t objects[OBJECTS];
	uint64_t versions;
	struct {
		enum operation what;
		int context, about;
		long result;
	} log[LOG];
	unsigned int n_log;
};

/* What becomes of a round's process, besides its end. */
enum ending {
	ENDS,
	IS_KILLED,
	EXITS,		/* by one thread, wherever that is */
};

struct mix {
	uint64_t seed;
	enum ending ending;
	int exits_at;		/* EXITS: after so many operations of the first worker */
	atomic_int failed;
	char failure[1024];
	pid_t failed_tid;
	atomic_long done[OPERATIONS];
	atomic_long ended_inside;
	struct worker workers[WORKERS];
};

extern struct mix *mix;

/* mix.c */
#define EXIT_EARLY	42
void __attribute__((format(printf, 1, 2), noreturn)) mix_fail(const char *format, ...);

/* view.c */
uint64_t view_value(struct worker *w, const struct page *page);
void view_write(struct worker *w, struct page *page, uint64_t value);
/*
 * What a new context made with @specs sees, where @from sees the one that made it and has
 * @files open; what they share becomes shared in @from.
 */
void view_create(struct worker *w, struct view *from, const uint64_t *files, struct view *to,
		 const struct lwc_spec *specs, unsigned int n);
/* What @specs take from @from comes into @to. */
void view_overlay(struct worker *w, struct view *from, struct view *to,
		  const struct lwc_spec *specs, unsigned int n);
void view_overlay_files(struct worker *w, const uint64_t *from, uint64_t *to,
			const struct lwc_spec *specs, unsigned int n);
/* Is the overlay by @specs covered by what @granted grants? */
bool view_grants(struct worker *w, const struct lwc_spec *granted, unsigned int n_granted,
		 const struct lwc_spec *specs, unsigned int n);

/* operations.c */
uint64_t mix_random(uint64_t *state);
/* Until its operations are done, or until it ends inside; then it does not return. */
void mix_work(void);

#endif /* LWC_MIX_H */
