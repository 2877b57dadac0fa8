/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bench.h - what the parts of the bench know of each other.
 *
 * measure.c takes figures, the other files say of what. Nothing here may be of use
 * outside of this program.
 */
#ifndef LWC_BENCH_H
#define LWC_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#define PAGE		4096ul
#define MB		(1ul << 20)
#define MAX_BATCHES	21

/* What the memory of the process that is measured looks like. */
struct shape {
	long mb;	/* mapped, every page of it there; 0: only what is written */
	long pages;	/* written by a request; -1: there are no requests */
	long vmas;	/* so many mappings of one page more */
};

/*
 * What is measured. Each runs in a process of its own, so that none finds what
 * another has left behind: all functions are called there.
 */
struct work {
	const char *op;		/* the beginning of the figure's id */
	const char *what;	/* for people */
	int units;		/* a round is so many of them: 2 for there and back */
	bool ours;		/* not a peer: must not get worse */
	void (*before)(const struct shape *shape);
	void (*batch)(void);	/* before each batch, not counted */
	void (*rounds)(long n);	/* the work, n times */
	void (*after)(void);
};

/* What instructions do not show: the module's counters, and faults by the kernel's. */
enum event { PAGES_COPIED, COMPARES, DUPLICATES, FAULTS, EVENTS };

/* All are of one round, but the number of events is of one unit. */
struct figure {
	char id[64];
	const char *op, *what, *unit;
	struct shape shape;
	double value;		/* what counts: the best, or of times the median */
	double least, median, most;
	double quartile[2];
	double events[EVENTS];
	bool counted;		/* are there events? */
	bool ours;
	char from[192];		/* how it was derived; empty: it was measured */
};

/* In memory that contexts and rollbacks leave alone. */
struct shared {
	volatile uint64_t start;	/* of the batch */
	volatile long left;		/* rounds to do */
	volatile long pages;		/* that a request writes */
	volatile uint32_t turn;		/* for futexes */
	volatile int fd;		/* from a child to its parent */
	uint64_t ticks[MAX_BATCHES];
	long events[EVENTS];
	long events_before[EVENTS];
	/* Counters are read into these. */
	char text[32];
	struct rusage usage;
};

extern struct shared *shared;

/* measure.c */
extern bool count_time;		/* nanoseconds, not instructions */
extern bool quick;		/* few batches: does it work at all? */
int batches(void);
double check_clock(void);
/* To be called again in a batch, by what is to leave out all before. */
void start_clock(void);
const struct figure *measure(const struct work *work, const struct shape *shape, long n);
const struct figure *derive(const char *id, const char *what, const char *unit, double value,
			    const char *from, ...) __attribute__((format(printf, 5, 6)));
const struct figure *find(const char *id, ...) __attribute__((format(printf, 1, 2)));
void print_json(FILE *f, double tick);
void print_figure(const struct figure *figure);
void print_events_head(const char *head);
void print_events(const char *what, const struct figure *figure);
void print_head(const char *head);
const char *unit_of_cost(void);
void die(const char *what, long error) __attribute__((noreturn));

/* memory.c */
extern volatile char *region;	/* what requests write to */
extern size_t region_size;
void *memory(size_t size, int how);
long meminfo_kb(const char *field);
void arrange(const struct shape *shape);
void write_pages(void);

/* module.c */
void load_module(const char *file);
void unload_module(void);
/* -1: there are none, the module is not loaded. */
int open_counter(const char *name);
long read_counter(int fd);

/* others.c: what a process pays that has nothing to do with contexts */
void measure_others(bool loaded);
/* calls.c: the smallest things, to compare with */
void measure_calls(void);
/* switches.c: from one to another */
void measure_switches(void);
/* lives.c: made and ended */
void measure_lives(void);
/* traps.c: system calls that somebody else answers */
void measure_traps(void);
/* requests.c: written, then forgotten */
void measure_requests(void);
/* parked.c: memory */
void measure_parked(void);

/* What requests.c compares with. */
extern const struct work soft_dirty_request, uffd_request;

/* processes.c */
extern pid_t partner;
pid_t start_partner(void (*body)(void));
void end_partner(void);
void fork_exit_wait_rounds(long n);	/* of children that end at once */

#endif /* LWC_BENCH_H */
