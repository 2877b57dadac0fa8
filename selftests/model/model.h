/* SPDX-License-Identifier: GPL-2.0 */
/*
 * model.h - what the processes of the model test share.
 *
 *	subject	does random operations on its own memory, in contexts and between
 *		snapshots (operations.c), and goes through gate.S for every call that
 *		leaves or restores a memory
 *	poker	another process, which writes into the subject's memory (poker.c)
 *	referee	is asked at every gate: takes a picture of the subject's memory before,
 *		or has it fork a witness, and compares afterwards (referee.c, image.c)
 *
 * All that the subject decides by is in struct control, in shared memory, which no
 * rollback touches: its own memory holds nothing but what is under test. Nothing in
 * here may make a run depend on time, or a seed would not replay.
 */
#ifndef LWC_MODEL_H
#define LWC_MODEL_H

/* For gate.S, which knows struct control by these. */
#define CONTROL		0x20000000
#define AT_REQUEST	0
#define AT_COMMAND	4
#define AT_NR		8
#define AT_ARGS		16
#define AT_RET		64
#define AT_FD		72
#define AT_CMD		76
#define AT_ARG		80
#define AT_RESULT	88
#define AT_GENERAL	96
#define AT_LEFT		168
#define AT_SEEN_GENERAL	192
#define AT_SEEN		264
#define AT_VECTOR	512
#define AT_SEEN_VECTOR	768
#define AT_STAT		1024
#define AT_DESCRIPTORS	1280

#define DESCRIPTORS	128	/* Numbers that are looked at. */
#define DESCRIPTOR_SIZE	32

#define PHASE_BEFORE	1
#define PHASE_AFTER	2

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <lwc.h>

#define PAGE_SHIFT	12
#define PAGE_SIZE	(1ul << PAGE_SHIFT)

/* Where most operations happen: single pages, then whole huge ones. */
#define WINDOW		0x10000000000ul
#define SMALL_SLOTS	2048
#define HUGE_SLOTS	1024
#define SLOTS		(SMALL_SLOTS + HUGE_SLOTS)
#define HUGE_PAGES	512

/* The other places. */
#define DATA_SLOTS	64
#define HEAP_SLOTS	256
#define STACK_SLOTS	128

#define CONTEXTS	3	/* The root context is number 0. */
#define SNAPSHOTS	3	/* In one context. */
#define FIRST_FD	100
#define FDS		24
#define HELD		2
#define SHRINKING_PAGES	16
#define VERSIONS	256

/* Numbers that the module's descriptors do not get, as they are taken. */
#define FD_DEVICE	80
#define FD_FILE		81
#define FD_PROGRAM	82
#define FD_DIRECT	83
#define FD_PIPE		84
#define FD_SHRINKING	86
#define FD_WATCHER	87
#define FD_SHARED	88
#define LOG		8192

/* What has been put in each slot, as far as is known: it only helps to hit. */
#define SLOT_MAPPED	1
#define SLOT_READ	2
#define SLOT_WRITE	4
#define SLOT_SHARED	8
#define SLOT_FILE	16
#define SLOT_TOUCHED	32
#define SLOT_FREED	64

/* OPERATION(name, weight, successes wanted in 10,000 operations, who can) */
#define CAN_ALWAYS	0
#define CAN_SWAP	1	/* With a swap device. */
#define CAN_DIRECT	2	/* With a block device. */
#define CAN_ROOT	4
#define CAN_KSM		8
#define CAN_MGLRU	16
#define CAN_THP		32
#define CAN_KEEP	64
#define CAN_COLLAPSE	128
#define CAN_RECLAIM	256
#define CAN_WATCH	512		/* With userfaultfd. */
/* Not chosen while all is calm: then address spaces are made equal in place. */
#define CHANGES_MAPPINGS 1024
#define CALM_LENGTH	256

#define OPERATIONS(OPERATION)						\
	OPERATION(write,		220, 1000, CAN_ALWAYS)		\
	OPERATION(fill,			30,  100,  CAN_ALWAYS)		\
	OPERATION(read,			80,  300,  CAN_ALWAYS)		\
	OPERATION(write_data,		20,  80,   CAN_ALWAYS)		\
	OPERATION(write_heap,		20,  60,   CAN_ALWAYS)		\
	OPERATION(write_stack,		12,  50,   CAN_ALWAYS)		\
	OPERATION(map_anonymous,	60,  125,  CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(map_huge,		6,   10,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(map_file,		16,  30,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(map_program,		5,   7,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(map_shrinking,	12,  20,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(truncate,		8,   25,   CAN_ALWAYS)		\
	OPERATION(punch_hole,		4,   12,   CAN_ALWAYS)		\
	OPERATION(map_shared,		6,   10,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(unmap,		40,  75,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(protect,		34,  60,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(resize,		12,  5,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(move,			14,  12,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(move_content,		8,   5,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(dontneed,		24,  80,   CAN_ALWAYS)		\
	OPERATION(free,			20,  60,   CAN_ALWAYS)		\
	OPERATION(wipeonfork,		5,   6,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(keeponfork,		3,   3,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(dontfork,		2,   2,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(cold,			10,  20,   CAN_ALWAYS)		\
	OPERATION(pageout,		24,  50,   CAN_SWAP)		\
	OPERATION(willneed,		8,   15,   CAN_SWAP)		\
	OPERATION(hugepage,		6,   7,    CAN_THP | CHANGES_MAPPINGS) \
	OPERATION(nohugepage,		4,   4,    CAN_THP | CHANGES_MAPPINGS) \
	OPERATION(collapse,		5,   1,    CAN_COLLAPSE | CHANGES_MAPPINGS) \
	OPERATION(mergeable,		4,   4,    CAN_KSM | CHANGES_MAPPINGS) \
	OPERATION(unmergeable,		4,   4,    CAN_KSM | CHANGES_MAPPINGS) \
	OPERATION(populate_read,	8,   20,   CAN_ALWAYS)		\
	OPERATION(populate_write,	8,   20,   CAN_ALWAYS)		\
	OPERATION(dontdump,		3,   4,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(grow_heap,		12,  25,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(shrink_heap,		10,  20,   CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(fork,			8,   30,   CAN_ALWAYS)		\
	OPERATION(fork_and_hold,	6,   20,   CAN_ALWAYS)		\
	OPERATION(lock,			2,   2,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(unlock,		2,   2,    CAN_ALWAYS | CHANGES_MAPPINGS) \
	OPERATION(read_into,		14,  50,   CAN_ALWAYS)		\
	OPERATION(direct_read,		14,  40,   CAN_DIRECT)		\
	OPERATION(direct_write,		6,   15,   CAN_DIRECT)		\
	OPERATION(process_vm_writev,	16,  50,   CAN_ALWAYS)		\
	OPERATION(proc_mem_write,	16,  50,   CAN_ALWAYS)		\
	OPERATION(ptrace_poke,		8,   25,   CAN_ALWAYS)		\
	OPERATION(descriptor,		30,  70,   CAN_ALWAYS)		\
	OPERATION(signal_mask,		8,   30,   CAN_ALWAYS)		\
	OPERATION(compact,		1,   1,    CAN_ROOT)		\
	OPERATION(drop_caches,		1,   1,    CAN_ROOT)		\
	OPERATION(reclaim,		5,   15,   CAN_RECLAIM)		\
	OPERATION(toggle_thp,		2,   4,    CAN_ROOT | CAN_THP)	\
	OPERATION(toggle_ksm,		1,   1,    CAN_ROOT | CAN_KSM)	\
	OPERATION(toggle_mglru,		1,   1,    CAN_ROOT | CAN_MGLRU) \
	OPERATION(bound_kept,		3,   4,    CAN_ROOT)		\
	OPERATION(snapshot,		7,   20,   CAN_ALWAYS)		\
	OPERATION(rearm,		7,   20,   CAN_ALWAYS)		\
	OPERATION(watched,		2,   1,    CAN_WATCH | CHANGES_MAPPINGS) \
	OPERATION(close_snapshot,	5,   12,   CAN_ALWAYS)		\
	OPERATION(rollback,		18,  60,   CAN_ALWAYS)		\
	OPERATION(create,		5,   2,    CAN_ALWAYS)		\
	OPERATION(close_context,	5,   1,    CAN_ALWAYS)		\
	OPERATION(renew,		7,   15,   CAN_ALWAYS)		\
	OPERATION(switch,		13,  40,   CAN_ALWAYS)		\
	OPERATION(keep,			4,   2,    CAN_KEEP)		\
	OPERATION(fresh,		4,   3,    CAN_KEEP)		\
	OPERATION(discard,		4,   3,    CAN_KEEP)

enum operation {
#define NAME(name, weight, least, can) OP_##name,
	OPERATIONS(NAME)
#undef NAME
	N_OPERATIONS
};

/* One thing that was done. */
struct entry {
	uint32_t number;
	uint16_t operation;
	uint16_t context;
	uint64_t address, size;
	int64_t result;
};

/* What the subject knows of its memory: its own in each context, and rolled back. */
struct world {
	uint8_t slot[SLOTS];
	uint64_t heap;
};

/* What the registers hold when a gate is passed. */
struct pattern {
	uint64_t general[9];
	uint64_t vector[16][2];
};

/* A point in a context's life that one can come back to. */
struct point {
	int image;			/* The referee's; -1: none. */
	int how;			/* What is found there, compared with the image. */
	uint32_t number;		/* Of the operation. */
	struct world world;
	struct pattern pattern;
	uint64_t stack, mask, heap;
};

struct snapshot {
	int fd;
	struct point point;
};

struct context {
	bool exists, entered, has_kept;
	bool has_closed;		/* A snapshot, which a forked child may still hold. */
	int fd;				/* In the root context. */
	int caller;			/* The root context, in this one. */
	unsigned int born;		/* Number of the operation that made it. */
	unsigned int snapshots;
	struct snapshot snapshot[SNAPSHOTS];
	struct point left;		/* Where it is entered next. */
	struct point kept;
};

/*
 * What one page of a file has been since it was last truncated, which took it out of
 * all memories: its first word each time; behind that it is as it was, or all zero.
 */
struct history {
	uint32_t truncated;		/* Number of the operation; 0: never. */
	unsigned int versions;
	struct {
		uint32_t number;	/* Of the operation that made it so. */
		bool original;
		uint64_t first;
	} version[VERSIONS];
};

/* What gate.S saw. */
struct seen {
	uint64_t stack, mask, heap;
};

struct descriptor {
	int32_t flags;			/* F_GETFD; negative: it is not open. */
	int32_t mode;			/* F_GETFL */
	uint64_t device, inode;
	uint32_t type;			/* st_mode */
	uint32_t reserved;
};

struct control {
	/* The gate: offsets as above. */
	uint32_t request, command;
	uint64_t nr;
	uint64_t args[6];
	int64_t ret;
	int32_t fd;
	uint32_t cmd;
	uint64_t arg;
	int64_t result;
	uint64_t general[9];
	struct seen left;
	uint64_t seen_general[9];
	struct seen seen;
	uint64_t vector[16][2] __attribute__((aligned(256)));
	uint64_t seen_vector[16][2];
	struct stat stat __attribute__((aligned(256)));
	struct descriptor descriptor[DESCRIPTORS] __attribute__((aligned(256)));

	/* What the call at the gate reads and writes. */
	struct lwc_event event;
	union {
		struct lwc_create_args create;
		struct lwc_switch_args switch_;
		struct lwc_renew_args renew;
		struct lwc_snapshot_args snapshot;
		struct lwc_rollback_args rollback;
	} call;
	enum operation gate;
	unsigned int chosen;		/* Which snapshot, or context. */

	/* The run. */
	uint64_t seed, random;
	uint32_t number, operations;	/* Done, wanted. */
	unsigned int can;
	unsigned int where;		/* The current context. */
	unsigned int touched;
	struct world now;
	struct context context[CONTEXTS];
	uint64_t heap_base;
	uint32_t tried[N_OPERATIONS], done[N_OPERATIONS];
	struct entry log[LOG];
	uint32_t refused;		/* Snapshots and keeps of what they cannot keep. */
	uint64_t crash_address, crash_ip;

	/* What is open in the subject. */
	int device, file, program, shrinking, shared, direct, pipe[2];
	/* What the shrinking file's pages have been. */
	struct history history[SHRINKING_PAGES];
	size_t program_size;
	pid_t subject, held[HELD];

	/* The poker. */
	struct {
		uint32_t request;
		enum operation what;
		uint64_t address, value;
		int64_t result;
	} poke;
};

#define C	((struct control *)CONTROL)

_Static_assert(offsetof(struct control, request) == AT_REQUEST, "gate.S");
_Static_assert(offsetof(struct control, command) == AT_COMMAND, "gate.S");
_Static_assert(offsetof(struct control, nr) == AT_NR, "gate.S");
_Static_assert(offsetof(struct control, args) == AT_ARGS, "gate.S");
_Static_assert(offsetof(struct control, ret) == AT_RET, "gate.S");
_Static_assert(offsetof(struct control, fd) == AT_FD, "gate.S");
_Static_assert(offsetof(struct control, cmd) == AT_CMD, "gate.S");
_Static_assert(offsetof(struct control, arg) == AT_ARG, "gate.S");
_Static_assert(offsetof(struct control, result) == AT_RESULT, "gate.S");
_Static_assert(offsetof(struct control, general) == AT_GENERAL, "gate.S");
_Static_assert(offsetof(struct control, left) == AT_LEFT, "gate.S");
_Static_assert(offsetof(struct control, seen_general) == AT_SEEN_GENERAL, "gate.S");
_Static_assert(offsetof(struct control, seen) == AT_SEEN, "gate.S");
_Static_assert(offsetof(struct control, vector) == AT_VECTOR, "gate.S");
_Static_assert(offsetof(struct control, seen_vector) == AT_SEEN_VECTOR, "gate.S");
_Static_assert(offsetof(struct control, stat) == AT_STAT, "gate.S");
_Static_assert(offsetof(struct control, descriptor) == AT_DESCRIPTORS, "gate.S");
_Static_assert(sizeof(struct descriptor) == DESCRIPTOR_SIZE, "gate.S");
_Static_assert(FIRST_FD + FDS <= DESCRIPTORS, "all are looked at");

extern const char * const operation_names[N_OPERATIONS];

/* Asks the referee, makes the ioctl that C says, asks again. It may return twice. */
void gate(void);

/* xorshift64*: the same numbers for the same seed, everywhere. */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dul;
}

/* operations.c: never returns. */
void subject_run(void);

/* poker.c */
void poker_run(void);

/* machine.c: what the machine has, and swap, if it has none and we may. */
unsigned int machine_set_up(void);
void machine_restore(void);
/* The block device for direct I/O; -1: none. */
int machine_open_direct(void);
void machine_toggle(enum operation what, uint64_t value);

/* Events that the kernel counts, for the report. */
enum counter {
	SWAPPED_OUT, SWAPPED_IN, HUGE_MADE, HUGE_MAPPINGS_SPLIT, HUGE_SPLIT, MIGRATED,
	DEACTIVATED, PAGES_COPIED, PAGES_KEPT, AGED, COMPARES, DUPLICATES, SAME_MERGED,
	N_COUNTERS
};

extern const char * const counter_names[N_COUNTERS];

void machine_counters(long counters[N_COUNTERS]);

/* image.c: pictures of a process's memory. */
enum {
	TAKE_CONTENT	= 1,	/* Copy what is in every private page. */
};

/* How the memory compared may differ from the picture. */
enum {
	AS_LEFT		= 0,	/* Not at all. */
	ROLLED_BACK	= 1,	/* MADV_WIPEONFORK is zero. */
	FORKED		= 2,	/* As after fork(). */
};

/* What is open in a process, but for contexts and snapshots: these are listed apart. */
struct table {
	unsigned int n, contexts, snapshots;
	struct {
		int fd;
		struct descriptor is;
	} open[DESCRIPTORS];
	int context[DESCRIPTORS], snapshot[DESCRIPTORS];
};

/* table.c: of the subject, as it was when it asked last. */
void table_take(pid_t pid, struct table *t);
int table_compare(const struct table *t, const struct table *now);

/* What pictures have shown. */
struct shown {
	unsigned long pages, compared, swapped, absent, same_frame;
	unsigned long most_pages, most_areas;
};

int image_take(pid_t pid, int flags);
/* From now on @witness, a child forked from the same memory, has the content. */
void image_set_witness(int image, pid_t witness);
/* An image is there until it is dropped as often as it was held or taken. */
void image_hold(int image);
void image_drop(int image);
/* Is there a range of which a snapshot may say that it cannot keep it? */
bool image_is_special(int image);
/* Return: 0, or -1 after saying what is different. */
int image_compare(int image, pid_t pid, int how, uint64_t *different);
/* The descriptors that it had. */
const struct table *image_table(int image);
extern struct shown shown;

/* referee.c: judges a run. Return: 0 if all was as it should be. */
int referee_run(void);

#endif /* __ASSEMBLER__ */
#endif /* LWC_MODEL_H */
