/* SPDX-License-Identifier: MIT */
/*
 * lwc.h - light-weight contexts for Linux: the whole interface, as a manual.
 *
 * A context (lwC) is an address space, a file table, a working directory and
 * credentials, inside one process. It is no task: it is never scheduled. A
 * thread is in exactly one context at a time and may have a place (its saved
 * registers) in others. What the process was before it made its first context
 * is the root context. The abstraction is that of Litton, Vahldiek-Oberwagner,
 * Elnikety, Garg, Bhattacharjee and Druschel, "Light-Weight Contexts: An OS
 * Abstraction for Safety and Performance", OSDI 2016; "paper" below means it.
 *
 * A context is named by a descriptor: close-on-exec, never 0, 1 or 2, and
 * meaning nothing in another process. It is a capability: it carries rights.
 *
 * Every call returns 0 (or a value >= 0 where it says so) or -errno, and none
 * sets errno. All calls but the library's own (last section) may be used in
 * signal handlers and by several threads at once. What is not finished checks
 * its arguments and then returns -EOPNOTSUPP; lwc_features() tells what works.
 *
 * Under "Errors", each line is one errno that the call returns for the reason
 * beside it; nothing else is promised, and a failed call changes nothing
 * unless it says otherwise. A script reads these lines and looks for a test
 * of each, so this file must never promise what cannot happen.
 */
#ifndef _LWC_H
#define _LWC_H

#include <stddef.h>
#include <stdint.h>

/*
 * The three structures of the ABI are below, with the types of <stdint.h>, unless
 * the program has included <linux/lwc.h> before: then they are that one's, with
 * the same layouts.
 */
#ifndef __UAPI_DEF_LWC_STRUCTS
#define __UAPI_DEF_LWC_STRUCTS 0
#endif
#include <linux/lwc.h>

#ifdef __cplusplus
extern "C" {
#endif

#if !__UAPI_DEF_LWC_STRUCTS
/**
 * struct lwc_event - what came in: filled when a call returns in *this* context
 * @created: the new descriptor, in its creator; else -1
 * @caller: descriptor of the context that control came from; -1 if none
 * @reason: LWC_EV_CREATED, _SWITCH, _ROLLBACK, _SYSCALL or _FAULT
 * @nr: _SYSCALL: the system call's number; _FAULT: the signal's number
 * @arg: the value that the switcher, or lwc_rollback(), passed
 * @syscall: _SYSCALL: the six arguments and the instruction pointer
 * @fault: _FAULT: the address, the instruction pointer and si_code
 *
 * @caller is a descriptor in the table of the context that receives it. It has
 * the right to switch and no other, it is the same number for the same pair of
 * contexts, and it does not keep its context alive. Control can come from
 * anyone who holds a descriptor, so look at @caller before you trust @arg.
 */
struct lwc_event {
	int32_t created;
	int32_t caller;
	uint32_t reason;
	uint32_t nr;
	uint64_t arg;

	__extension__ union {
		struct {
			uint64_t args[6];
			uint64_t ip;
		} syscall;
		struct {
			uint64_t addr;
			uint64_t ip;
			uint32_t code;
			uint32_t reserved;
		} fault;
	};
};

/**
 * struct lwc_spec - one line of what a context shares, copies or does not see
 * @type: LWC_MEMORY, LWC_FILES, LWC_CREDS or LWC_SYSCALLS
 * @mode: LWC_COW, LWC_SHARE, LWC_READ or LWC_UNMAP
 * @flags: LWC_GRANT, LWC_INHERIT
 * @from: the first byte (page aligned), descriptor or system call number
 * @to: the one behind the last, in the same unit
 *
 * (0, UINT64_MAX) is the whole type. Any other @to past the end of the type,
 * and @from >= @to, are -EINVAL. Holes in a range are ignored.
 */
struct lwc_spec {
	uint16_t type;
	uint16_t mode;
	uint32_t flags;
	uint64_t from, to;
};

/**
 * struct lwc_features - what works with this library, module and kernel
 * @size: set by the library
 * @abi: LWC_ABI, 1
 * @create_flags: the flags of lwc_create() that work
 * @switch_flags: the flags of lwc_switch() that work
 * @spec_types: one bit (1 << type) for each spec type that works
 * @spec_modes: one bit (1 << mode) for each spec mode that works
 * @max_contexts: how many contexts one process may have
 * @reserved: 0
 */
struct lwc_features {
	uint32_t size;
	uint32_t abi;
	uint64_t create_flags;
	uint64_t switch_flags;
	uint64_t spec_types;
	uint64_t spec_modes;
	uint32_t max_contexts;
	uint32_t reserved;
};
#endif /* !__UAPI_DEF_LWC_STRUCTS */

/* ------------------------------------------------------------------------
 * Contexts
 */

/**
 * lwc_features() - ask what works here
 * @f: filled on success, all of it
 *
 * The library opens /dev/lwc on the first call that needs it, of which this
 * is one, and keeps it: close-on-exec and out of the low numbers. Permission is
 * checked there and then only, so a program that gives up privileges calls
 * this first. Where that descriptor is missing (a program that closes all it
 * did not open, a context made without it) it is opened again.
 *
 * Return: 0. Errors:
 *   -EFAULT      @f is NULL
 *   -ENODEV      the module is not loaded (no /dev/lwc, or nothing behind it)
 *   -EACCES      /dev/lwc may not be opened by this user
 *   -EMFILE      no descriptor is left to open /dev/lwc
 */
int lwc_features(struct lwc_features *f);

/**
 * lwc_create() - make a context
 * @specs: what the new context shares, copies or does not see; in order, the
 *	later wins. May be NULL if @n is 0: a copy of everything
 * @n: number of specs, up to LWC_MAX_SPECS
 * @flags: LWC_TRAP_SYSCALLS, LWC_TRAP_FAULTS, LWC_KEEP, LWC_FORK, LWC_PRIVATE
 * @ev: filled whenever this call returns, in the context in which it does
 *
 * Like fork(2) for everything but the task (paper, section 2: lwCreate). The
 * new context gets a copy-on-write copy of memory, a duplicate of the file
 * table, the same working directory and credentials, as changed by @specs.
 *
 * Returns 0 in the creator at once: @ev->reason is LWC_EV_CREATED and
 * @ev->created a descriptor with all rights. Returns 0 *again*, in the new
 * context, when something first switches to it: the reason is LWC_EV_SWITCH
 * and @created is -1.
 *
 * Only the creating thread has a place in the new context. Locks that other
 * threads held stay held in the copy, as after fork(2). Descriptors of contexts
 * are not duplicated, unless a LWC_FILES spec with LWC_INHERIT names them: the same
 * open descriptors then, with the same rights. Those of snapshots never are.
 * MADV_DONTFORK ranges are absent and MADV_WIPEONFORK ranges zero in it.
 *
 * A context ends when its last strong descriptor is closed and no thread is in
 * it; at the latest when the process ends.
 *
 * LWC_KEEP: with a kept state, see lwc_keep(). It takes memory as another context
 * does, which is made with it.
 *
 * With LWC_TRAP_FAULTS a SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP or SIGSYS that the
 * context's own instructions raise is no signal, whatever is blocked, ignored or
 * handled: the thread goes to the creator, where lwc_switch() returns with
 * LWC_EV_FAULT, @caller the context, @nr the signal, and @fault. The context stands
 * at its fault: switched to by its creator (by others: -EPERM) it tries the
 * instruction again. Where that cannot be done (the creator is gone or stands at a
 * fault itself, the thread has no place in it, its table is full) it is the ordinary
 * signal.
 *
 * LWC_PRIVATE is for secrets: whoever enters finds all signals but SIGKILL and SIGSTOP
 * blocked, and what is inside, memory and registers, is in no core dump and not to be
 * read from outside without CAP_SYS_PTRACE. Who is traced or sampled by someone that
 * lacks it may not enter (-EPERM).
 *
 * LWC_MEMORY ranges, across mappings and holes (lwc_create(3) has the details):
 * LWC_SHARE makes shared memory of private memory that can be written, in the caller
 * as well, with its content and for good; what is mapped shared, or is a file that
 * can only be read, is shared as it is. LWC_READ is a live view of shared mappings and
 * a frozen copy of private memory; the new context cannot make it writable. LWC_UNMAP:
 * not there. Locked, MADV_DONTFORK and MADV_WIPEONFORK memory is as after fork(2).
 *
 * LWC_SHARE of LWC_FILES, of the whole table and with no line for a part of it behind
 * (-EINVAL): both contexts use one table, with all descriptors of contexts in it. It is
 * left alone when the new context is renewed, put back or rolled back. Working directory,
 * root and umask are no part of it.
 *
 * Works now: LWC_MEMORY with all modes; LWC_FILES with LWC_COW, LWC_SHARE, LWC_UNMAP
 * and LWC_INHERIT; LWC_COW of anything else, which is what there is without a spec;
 * LWC_KEEP, LWC_TRAP_FAULTS and LWC_PRIVATE. The rest of @specs and @flags is checked,
 * then -EOPNOTSUPP.
 *
 * Return: 0. Errors:
 *   -EINVAL      bad spec (type, mode, flag, range), unknown bit in @flags
 *   -EOPNOTSUPP  spec or flag that does not work yet, memory that cannot be seen
 *                so (a growing stack, private hugetlb, a device), or a task with
 *                state that cannot be copied or switched, such as io_uring
 *   -EBUSY       memory that is to be shared is pinned for DMA
 *   -E2BIG       @n is more than LWC_MAX_SPECS
 *   -EFAULT      @specs, or memory that is to be shared, cannot be read, or @ev
 *                cannot be written
 *   -EPERM       new contexts are switched off (the module's parameter enabled)
 *   -EMFILE      no descriptor is left, or the process has max_contexts
 *   -EAGAIN      the user has max_contexts_per_user
 *   -ENOMEM      not enough memory
 *   -ENODEV      the module is not loaded
 *   -EACCES      /dev/lwc may not be opened by this user
 */
int lwc_create(const struct lwc_spec *specs, unsigned n, unsigned flags, struct lwc_event *ev);

/**
 * lwc_switch() - leave the current context where it stands, go to another
 * @ctx: descriptor of the target; right LWC_MAY_SWITCH
 * @flags: LWC_FRESH, LWC_DISCARD
 * @arg: handed to the target as @ev->arg
 * @ev: filled when control comes back here
 *
 * The target goes on where this thread last left it, or at its creation point
 * if this thread created it (paper, section 2: lwSwitch). Memory, file table,
 * working directory, credentials, registers (floating point and vector ones as
 * well) and the signal mask change together.
 * The call returns 0 when something switches back; @ev says who and why.
 *
 * A target that stands at a fault (LWC_EV_FAULT) tries its instruction again, with
 * all registers as they were; @arg is ignored. A breakpoint or a single step has been
 * done already: it goes on behind it.
 *
 * If @ev cannot be written then, the context gets SIGSEGV.
 *
 * LWC_FRESH puts the target back to its kept state first, whatever it did: it
 * goes on where it was kept (see lwc_keep()). That needs LWC_MAY_KEEP: whoever
 * may only switch must not rewind it. LWC_DISCARD does the same to the context
 * that is left, once it is left (paper, section 2: lwcdiscardswitch). Both cost
 * what was written since, not what is mapped. Not with snapshots inside.
 *
 * Return: 0. Errors, all before anything is left:
 *   -EBADF       @ctx is not a context's descriptor
 *   -EPERM       @ctx lacks LWC_MAY_SWITCH, or LWC_MAY_KEEP for LWC_FRESH; or its
 *                credentials are others, and a debugger is attached that has no
 *                CAP_SYS_PTRACE over them; or it stands at a fault that its creator
 *                was told of, which is another context; or it is private, and this
 *                thread is traced or sampled by someone without CAP_SYS_PTRACE
 *   -ESRCH       @ctx belongs to another process, or its context is gone
 *   -EDEADLK     @ctx is the current context
 *   -ENXIO       this thread has no place in @ctx
 *   -EINVAL      unknown bit in @flags, or @ctx is a snapshot; LWC_FRESH or
 *                LWC_DISCARD of a context without LWC_KEEP or with snapshots
 *   -EBUSY       LWC_FRESH or LWC_DISCARD: another thread is in that context
 *   -EOPNOTSUPP  a task with state that cannot be switched, such as io_uring, or
 *                whose registers or stack its own process samples (perf)
 *   -EFAULT      @ev cannot be written
 *   -EMFILE      no descriptor is left in the target for its @caller
 *   -ENOMEM      not enough memory
 *   -ENOTRECOVERABLE
 *                @ctx was to be made anew (a renew, LWC_FRESH, LWC_DISCARD), which
 *                failed half-way; or what was kept of it, by lwc_keep(). It stays
 *                so until LWC_FRESH, or that call, succeeds
 */
int lwc_switch(int ctx, unsigned flags, uint64_t arg, struct lwc_event *ev);

/**
 * lwc_renew() - make a context what lwc_create() would make now
 * @ctx: descriptor of a context that this thread made from the current one;
 *	right LWC_MAY_KEEP
 * @flags: 0
 * @ev: filled whenever this call returns, in the context in which it does
 *
 * A create that re-uses: @ctx becomes what lwc_create() at this very point, with
 * the specs it was made with, would give. What @ctx did meanwhile is gone;
 * shared ranges stay shared; its kept state is that of now. Returns 0 here (LWC_EV_CREATED, @created is @ctx)
 * and 0 again in @ctx (LWC_EV_SWITCH) when it is next switched to.
 *
 * Return: 0. Errors:
 *   -EBADF       @ctx is not a context's descriptor
 *   -EPERM       @ctx lacks LWC_MAY_KEEP
 *   -ESRCH       @ctx belongs to another process, or its context is gone
 *   -EINVAL      unknown bit in @flags, @ctx is a snapshot or the current context,
 *                or was made from another context or by another thread
 *   -EBUSY       a thread is in @ctx
 *   -EOPNOTSUPP  a task with state that cannot be copied, such as io_uring
 *   -EFAULT      @ev cannot be written
 *   -EMFILE      @ctx's table has to grow for a descriptor that is open here, past
 *                the limit of descriptors
 *   -ENOMEM      not enough memory
 */
int lwc_renew(int ctx, unsigned flags, struct lwc_event *ev);

/**
 * lwc_keep() - make the present state of a context its kept state
 * @ctx: descriptor of a context made with LWC_KEEP; right LWC_MAY_KEEP
 *
 * Memory, mappings, descriptors, working directory, credentials, and the places of
 * all threads in it: what LWC_FRESH and LWC_DISCARD of lwc_switch() go back to.
 * Until the first call that is its state when it was made or last renewed. Costs
 * what it has written since. A descriptor of lwc_self() will not do (-EPERM): what
 * runs inside must not choose what it goes back to.
 *
 * Return: 0. Errors:
 *   -EBADF       @ctx is not a context's descriptor
 *   -EPERM       @ctx lacks LWC_MAY_KEEP, or is of lwc_self()
 *   -ESRCH       @ctx belongs to another process, or its context is gone
 *   -EINVAL      @ctx is a snapshot, was made without LWC_KEEP, or has snapshots
 *   -EBUSY       a thread is in @ctx, or a child shares its table or directory
 *   -EOPNOTSUPP  @ctx has what cannot be kept, such as locked or MADV_DONTFORK
 *                memory, AIO contexts; or it shared its creator's table when it was
 *                kept, and has one of its own now (unshare(2))
 *   -ENOMEM      not enough memory
 *   -ENOTRECOVERABLE
 *                @ctx was to be made anew, which failed half-way
 */
int lwc_keep(int ctx);

/**
 * lwc_overlay() - take ranges of another context into this one
 * @ctx: descriptor of that context; right LWC_MAY_OVERLAY for all that is asked for
 * @specs: LWC_MEMORY and LWC_FILES ranges
 * @n: number of specs, up to LWC_MAX_SPECS
 *
 * Paper, section 2: lwOverlay. What is open there is open here under the same
 * number, as by dup(2): the same open file, and for a context's descriptor (of which
 * LWC_INHERIT has to be said) the same rights. What was at that number here is
 * closed; a number that is not open there stays what it is. Ranges of memory come
 * to the same addresses as fork(2) would hand them on (LWC_COW), as shared memory
 * (LWC_SHARE), or never to be written to from here (LWC_READ). What was mapped there
 * goes; a hole there becomes a hole here. All is done or nothing.
 *
 * Return: 0. Errors:
 *   -EBADF       @ctx is not a context's descriptor
 *   -EPERM       @ctx lacks LWC_MAY_OVERLAY, or has it for less than is asked for; or
 *                memory here is sealed, mseal(2)
 *   -ESRCH       @ctx belongs to another process, or its context is gone
 *   -EFAULT      @specs cannot be read
 *   -E2BIG       @n is more than LWC_MAX_SPECS
 *   -EINVAL      bad spec (type, mode, flag, range), or @ctx is a snapshot; the calling
 *                stack, or the stack pointer or event of a thread that has left this
 *                context, is in the range; a huge page (hugetlb) here would be cut
 *   -EOPNOTSUPP  a spec of LWC_CREDS, or LWC_SHARE of LWC_FILES; hugetlb or device
 *                memory there, or with a protection key that is not allocated here;
 *                LWC_SHARE of a growing stack
 *   -EBUSY       LWC_SHARE of a page that is pinned for DMA, or of what a thread in
 *                @ctx maps anew all the time; a userfaultfd watches memory here
 *   -EMFILE      the table here has to grow for a descriptor that is asked for, past
 *                the limit of descriptors
 *   -ENOMEM      not enough memory; RLIMIT_AS, RLIMIT_DATA, or too many mappings
 */
int lwc_overlay(int ctx, const struct lwc_spec *specs, unsigned n);

/**
 * lwc_restrict() - take rights from a descriptor, for good
 * @ctx: descriptor of a context; right LWC_MAY_RESTRICT
 * @rights: what remains: LWC_MAY_SWITCH, _OVERLAY, _SYSCALL, _RESTRICT, _KEEP
 * @specs: the ranges of LWC_MEMORY and LWC_FILES that may still be overlaid; LWC_READ:
 *	by LWC_READ alone; LWC_UNMAP: taken out again, of those before
 * @n: number of specs; 0 leaves those ranges as they are
 *
 * It holds for this open descriptor and its duplicates (dup(2)), not for other
 * descriptors of the same context. Rights never come back: @rights that @ctx
 * does not have are not given, and of ranges that were named before and now those
 * remain that are in both. Descriptors of contexts are in only with LWC_INHERIT.
 *
 * Return: 0. Errors:
 *   -EBADF       @ctx is not a context's descriptor
 *   -EPERM       @ctx lacks LWC_MAY_RESTRICT
 *   -ESRCH       @ctx belongs to another process, or its context is gone
 *   -EINVAL      unknown bit in @rights, bad spec, or @ctx is a snapshot
 *   -EFAULT      @specs cannot be read
 *   -E2BIG       @n is more than LWC_MAX_SPECS
 *   -EOPNOTSUPP  a spec of LWC_CREDS
 *   -ENOMEM      not enough memory
 */
int lwc_restrict(int ctx, unsigned rights, const struct lwc_spec *specs, unsigned n);

/**
 * lwc_syscall() - run one system call with what belongs to another context
 * @ctx: descriptor of that context; right LWC_MAY_SYSCALL
 * @use: LWC_USE_MEMORY, LWC_USE_FILES, LWC_USE_CREDS: what to borrow from it
 * @nr: x86-64 system call number
 * @args: its arguments, six of them
 *
 * Paper, section 2: lwSyscall. Will return what the kernel returned. Not
 * finished: -EOPNOTSUPP once the arguments have been checked.
 *
 * Return: errors only:
 *   -EBADF       @ctx is not a context's descriptor
 *   -EPERM       @ctx lacks LWC_MAY_SYSCALL
 *   -ESRCH       @ctx belongs to another process, or its context is gone
 *   -EFAULT      @args is NULL
 *   -EINVAL      unknown bit or none in @use, or @ctx is a snapshot
 *   -EOPNOTSUPP  not finished
 */
long lwc_syscall(int ctx, unsigned use, long nr, const uint64_t args[6]);

/**
 * lwc_snapshot() - record the current context, to roll back to
 * @snap: -1: a new snapshot; else a snapshot of this context, re-armed here
 * @flags: LWC_TRAP_FAULTS: a fault while armed rolls back, with LWC_EV_FAULT
 * @ev: filled whenever this call returns
 *
 * Returns 0 at once (LWC_EV_CREATED, @created is the snapshot's descriptor) and
 * 0 *again*, with LWC_EV_ROLLBACK and the same @created, after each
 * lwc_rollback(). A snapshot changes nothing in the running context, and is
 * only ever rolled back to, never run in.
 *
 * With LWC_TRAP_FAULTS a SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP or SIGSYS that
 * this thread's own instructions raise in this context is no signal, whatever is
 * blocked, ignored or handled: the innermost snapshot armed with the flag is rolled
 * back to, with LWC_EV_FAULT, @nr the signal, and @fault. Where that is refused, what
 * is said of lwc_create() holds, and else it is the ordinary signal.
 *
 * Return: 0. Errors:
 *   -EBADF       @snap is neither -1 nor a snapshot's descriptor
 *   -ESRCH       @snap belongs to another process, or is gone
 *   -EINVAL      unknown bit in @flags, @snap is a context, or was taken by another
 *                thread or in another context
 *   -EBUSY       another thread is in this context or has a place in it
 *   -EOPNOTSUPP  a task or context with state that a snapshot cannot keep, such as io_uring, locked or
 *                MADV_DONTFORK memory, AIO contexts
 *   -EFAULT      @ev cannot be written
 *   -EPERM       new contexts are switched off (the module's parameter enabled)
 *   -EMFILE      no descriptor is left, or the process has max_contexts
 *   -EAGAIN      the user has max_contexts_per_user
 *   -ENOMEM      not enough memory
 *   -ENODEV      the module is not loaded
 *   -EACCES      /dev/lwc may not be opened by this user
 */
int lwc_snapshot(int snap, unsigned flags, struct lwc_event *ev);

/**
 * lwc_rollback() - throw away all since a snapshot
 * @snap: descriptor of a snapshot that this thread took in this context
 * @arg: handed to the place rolled back to as @ev->arg
 *
 * Memory, mappings, descriptors, working directory, credentials, registers and
 * the signal mask are as they were, in a single-threaded process the signal
 * handlers as well, and lwc_snapshot() returns again. Not rolled back: shared
 * memory, files' contents and offsets, data sent, timers, children, pending
 * signals. Any number of times, and from a signal handler as well. @snap
 * survives; snapshots taken later than it are closed.
 *
 * It stops leaks and mistakes, not an attacker who runs code inside.
 * A rollback that cannot be finished kills the process: a half-restored
 * context never runs.
 *
 * Return: does not, on success. Errors:
 *   -EBADF       @snap is not a snapshot's descriptor
 *   -ESRCH       @snap belongs to another process, or is gone
 *   -EINVAL      @snap is a context, or was taken by another thread or in another
 *                context
 *   -EPERM       the credentials have changed since, and a debugger is attached that
 *                has no CAP_SYS_PTRACE over those before
 *   -EBUSY       another thread is in this context or has a place in it
 *   -EOPNOTSUPP  a task with state that cannot be put back, such as io_uring; or the
 *                context shared its creator's table when @snap was armed, and has one
 *                of its own now (unshare(2))
 *   -ENOMEM      not enough memory
 */
int lwc_rollback(int snap, uint64_t arg);

/**
 * lwc_self() - a descriptor of the current context
 *
 * It has all rights but LWC_MAY_SYSCALL. In its own context's table it is weak: it
 * does not keep the context alive. Where it is handed on, or overlaid, it does.
 *
 * Return: a descriptor >= 3. Errors:
 *   -EMFILE      no descriptor is left
 *   -ENOMEM      not enough memory
 *   -ENODEV      the module is not loaded
 *   -EACCES      /dev/lwc may not be opened by this user
 */
int lwc_self(void);

/**
 * lwc_close() - close the descriptor of a context or snapshot
 * @ctx: the descriptor
 *
 * The same as close(2), except that it never closes anything else.
 *
 * Return: 0. Errors:
 *   -EBADF       @ctx is not a context's or snapshot's descriptor
 */
int lwc_close(int ctx);

/* ------------------------------------------------------------------------
 * In the library alone. These are thread-safe, not for signal handlers.
 */

/**
 * lwc_shared_alloc() - memory that every context sees and rollback leaves alone
 * @size: bytes
 *
 * From one arena, reserved when the library starts: 64 MB of address space, used
 * as needed, or what the environment variable LWC_ARENA says (a number, with K,
 * M or G behind it; 0: none). The memory is zeroed, and aligned as by
 * malloc(3); from one page up it is aligned to pages, in whole pages.
 *
 * Every context of the process can read and write the arena, unless it was made
 * without it. What is found there is therefore input, to be checked. A context
 * may damage the arena's bookkeeping as well: then allocations may fail or be
 * lost, but no context is ever handed memory outside the arena, nor memory
 * that it already holds.
 *
 * Neither an allocation nor a free is undone by a rollback: what a request
 * allocates stays, for others to find and free, and it must not free what was
 * allocated before it. Apart from that, free memory in the context that allocated
 * it: freed in another, the place is not handed to the first one again.
 *
 * A child made by fork() has an arena of its own, with a copy of the contents.
 *
 * Return: the memory, or NULL where there is none left.
 */
void *lwc_shared_alloc(size_t size);

/**
 * lwc_shared_free() - give memory of lwc_shared_alloc() back
 * @p: the memory, or NULL (then nothing is done)
 *
 * What was never allocated, or freed before, ends the program by abort(3).
 */
void lwc_shared_free(void *p);

/**
 * struct lwc_request - how lwc_request_run() runs
 * @size: sizeof(struct lwc_request), set by the caller
 * @timeout_ms: milliseconds until the request is given up; 0: no limit
 * @reserved: 0
 */
struct lwc_request {
	uint32_t size;
	uint32_t timeout_ms;
	uint64_t reserved[3];
};

/**
 * lwc_request_run() - run a function and forget what it did
 * @rq: how
 * @fn: called with @arg; it must return: not longjmp, throw, end the thread, nor
 *	roll back to a snapshot that was taken before
 * @arg: for @fn
 * @result: what @fn returned, set on success alone; may be NULL
 *
 * A snapshot, @fn(@arg), a rollback. What @fn left in lwc_shared_alloc()
 * memory, in files or in the world stays; memory, mappings and descriptors are
 * as they were. So is errno.
 *
 * Inside @fn all signals are blocked but the synchronous ones (SEGV, BUS, ILL,
 * FPE, TRAP, SYS, as the caller had them) and the deadline's, so none is lost
 * by the rollback. The deadline uses a POSIX timer and the highest real-time
 * signal that has no handler and is not ignored, one that is blocked only if there
 * is no other, for as long as it runs; requests inside @fn share them. A handler
 * that another thread installs for that signal just then may not be seen.
 *
 * The time that @fn takes counts, not the snapshot's nor the rollback's; a result
 * that comes too late is -ETIME as well. A crash of @fn (SIGSEGV, SIGBUS, SIGILL,
 * SIGFPE, SIGTRAP, SIGSYS of its own instructions, handled or not) is -EFAULT. The
 * same signals sent by kill(2) are signals, and so is abort(3).
 *
 * If @fn rolls back further than to the beginning of the request, its deadline
 * goes on without it, and the signal that comes in the end may kill the process.
 *
 * Errors of lwc_snapshot() and lwc_rollback() come through. If the rollback is
 * refused (@fn started a thread: -EBUSY; closed the snapshot: -EBADF, or -EINVAL
 * if a context has its number now; @fn returns in a child that it forked: -ESRCH),
 * what @fn did is not undone and its deadline cannot stop it.
 *
 * Return: 0. Errors:
 *   -EINVAL      @rq->size is too small, a reserved field is not 0, or @fn put a
 *                context in the place of the snapshot
 *   -E2BIG       @rq is larger than this library knows, and not 0 there
 *   -EFAULT      @fn crashed, or @rq or @fn is NULL
 *   -ETIME       @fn had not returned after @rq->timeout_ms
 *   -EBUSY       another thread is in this context or has a place in it
 *   -EBADF       @fn closed the snapshot
 *   -ESRCH       this is a child that @fn forked
 *   -EAGAIN      no timer or no signal is left for the deadline, or the user has
 *                max_contexts_per_user
 *   -EOPNOTSUPP  see lwc_snapshot()
 *   -EPERM       see lwc_snapshot() and lwc_rollback()
 *   -EMFILE      see lwc_snapshot()
 *   -ENOMEM      see lwc_snapshot()
 *   -ENODEV      the module is not loaded
 *   -EACCES      /dev/lwc may not be opened by this user
 */
int lwc_request_run(struct lwc_request *rq, long (*fn)(void *), void *arg, long *result);

/*
 * Services: a LWC_PRIVATE context that answers calls from any thread, on stacks
 * of its own.
 */
struct lwc_service;

/**
 * lwc_service_open() - make a service
 * @specs: what its context shares, copies or does not see, as in lwc_create()
 * @n: number of specs, up to LWC_MAX_SPECS
 * @fn: answers one call; runs in the service's context
 * @state: handed to each @fn
 * @service: set to the new service
 *
 * Not finished: -EOPNOTSUPP once the arguments have been checked.
 *
 * Return: errors only:
 *   -EFAULT      @fn or @service is NULL, or @specs is NULL and @n is not 0
 *   -E2BIG       @n is more than LWC_MAX_SPECS
 *   -EOPNOTSUPP  not finished
 */
int lwc_service_open(const struct lwc_spec *specs, unsigned n,
		     long (*fn)(void *state, uint64_t arg), void *state,
		     struct lwc_service **service);

/**
 * lwc_service_call() - call a service
 * @service: the service
 * @arg: handed to its function
 * @result: set to what the function returned
 *
 * Not finished: -EOPNOTSUPP once the arguments have been checked.
 *
 * Return: errors only:
 *   -EFAULT      @service or @result is NULL
 *   -EOPNOTSUPP  not finished
 */
int lwc_service_call(struct lwc_service *service, uint64_t arg, long *result);

/**
 * lwc_service_close() - end a service
 * @service: the service
 *
 * Not finished: -EOPNOTSUPP once the argument has been checked.
 *
 * Return: errors only:
 *   -EFAULT      @service is NULL
 *   -EOPNOTSUPP  not finished
 */
int lwc_service_close(struct lwc_service *service);

/*
 * Pools: a function that runs in a fresh context each time, at the price of what the
 * time before has written.
 */
struct lwc_pool;

/**
 * lwc_pool_open() - make a pool
 * @specs: what its contexts share, copy or do not see, as in lwc_create()
 * @n: number of specs, up to LWC_MAX_SPECS
 * @contexts: how many at most, of all threads together; at least 1
 * @fn: what runs in them; it gets @state and the argument of lwc_pool_run()
 * @state: handed to each @fn
 * @pool: set to the new pool
 *
 * The contexts are made later, by LWC_KEEP, one in each thread that needs one: see
 * lwc_pool_run(). A pool is for the context that opened it: others open their own.
 * The function that runs in it may use it all the same, with contexts of its own.
 *
 * Return: 0. Errors:
 *   -EFAULT      @fn or @pool is NULL, or @specs is NULL and @n is not 0
 *   -E2BIG       @n is more than LWC_MAX_SPECS
 *   -EINVAL      @contexts is 0
 *   -EAGAIN      no thread-specific data key is left (pthread_key_create(3))
 *   -ENOMEM      not enough memory
 */
int lwc_pool_open(const struct lwc_spec *specs, unsigned n, unsigned contexts,
		  long (*fn)(void *state, uint64_t arg), void *state,
		  struct lwc_pool **pool);

/**
 * lwc_pool_run() - run a pool's function in a fresh context
 * @pool: the pool
 * @arg: handed to the function
 * @result: what the function returned, set on success alone; may be NULL
 *
 * The first time, a thread makes a context, which is a copy of what there is at
 * that moment. From then on the function finds that state each time, whatever it
 * did the time before, and whatever happened here since: so set up first what it
 * needs, and hand over what is new by @arg or in lwc_shared_alloc() memory. What it
 * leaves in shared memory, in files or in the world stays. It must return: not
 * longjmp, throw, or end the thread; and leave nothing with which lwc_switch() is
 * refused, such as io_uring, or a crash (SIGILL) is the end of it.
 *
 * All signals are blocked inside but the synchronous ones (SEGV, BUS, ILL, FPE,
 * TRAP, SYS, as the thread had them when the context was made). A crash of the
 * function is -EFAULT where LWC_TRAP_FAULTS works, else an ordinary signal.
 *
 * A thread's context ends with the thread. Where it has been closed, and in a
 * child made by fork(2), another is made.
 *
 * Return: 0. Errors:
 *   -EFAULT      @pool is NULL, or the function crashed
 *   -EAGAIN      the pool has as many contexts as it may have, or the user has
 *                max_contexts_per_user
 *   -EBUSY       the function has left a thread inside the context
 *   -EINVAL      bad spec, found when the context is made
 *   -EOPNOTSUPP  see lwc_create() and lwc_switch()
 *   -EPERM       see lwc_create() and lwc_switch()
 *   -EMFILE      see lwc_create() and lwc_switch()
 *   -ENOMEM      not enough memory
 *   -ENODEV      the module is not loaded
 *   -EACCES      /dev/lwc may not be opened by this user
 */
int lwc_pool_run(struct lwc_pool *pool, uint64_t arg, long *result);

/**
 * lwc_pool_close() - end a pool and its contexts
 * @pool: the pool; other threads that have used it have ended and were joined
 *
 * Return: 0. Errors:
 *   -EFAULT      @pool is NULL
 */
int lwc_pool_close(struct lwc_pool *pool);

#ifdef __cplusplus
}
#endif

#endif /* _LWC_H */
