/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note OR MIT */
/*
 * uapi/linux/lwc.h - the ABI between the lwc module and user space.
 *
 * Everything that crosses the border is here and nowhere else. Layouts and
 * values are frozen: a structure may only grow at its end (struct sizes are
 * passed as in openat2(2)), a value is never used twice.
 *
 * There are two kinds of files:
 *
 *   /dev/lwc	LWC_IOC_FEATURES, LWC_IOC_CREATE, LWC_IOC_SNAPSHOT and
 *		LWC_IOC_SELF: calls of the current context on itself.
 *   contexts	(anonymous inodes, made by the calls above) all other calls.
 *		A context descriptor is a capability: it carries rights, and
 *		means nothing outside the process that it belongs to.
 *
 * Every argument structure starts with its size. A kernel accepts a larger
 * structure if what it does not know is zero, else it answers E2BIG; a
 * smaller one than the first version is EINVAL. Reserved fields and unknown
 * flags must be zero (EINVAL).
 */
#ifndef _UAPI_LINUX_LWC_H
#define _UAPI_LINUX_LWC_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define LWC_ABI			1

/* Why a call returned: lwc_event.reason. */
#define LWC_EV_CREATED		1	/* in the creator, from create, renew, snapshot	*/
#define LWC_EV_SWITCH		2	/* control came by LWC_IOC_SWITCH		*/
#define LWC_EV_ROLLBACK		3	/* the context was rolled back to here		*/
#define LWC_EV_SYSCALL		4	/* caller is stopped at a refused system call	*/
#define LWC_EV_FAULT		5	/* caller is stopped at a fault			*/

/* lwc_spec.type */
#define LWC_MEMORY		1	/* from, to: bytes, page aligned	*/
#define LWC_FILES		2	/* from, to: descriptors		*/
#define LWC_CREDS		3	/* from, to: 0, UINT64_MAX		*/
#define LWC_SYSCALLS		4	/* from, to: x86-64 system call numbers	*/

/* lwc_spec.mode */
#define LWC_COW			1	/* a copy, private to the new context	*/
#define LWC_SHARE		2	/* one object that both see		*/
#define LWC_READ		3	/* never writable in the new context	*/
#define LWC_UNMAP		4	/* not there				*/

/* lwc_spec.flags */
#define LWC_GRANT		(1u << 0) /* the new context may overlay this range	*/
#define LWC_INHERIT		(1u << 1) /* LWC_FILES: context descriptors too		*/

/* LWC_IOC_CREATE flags. LWC_KEEP is also the name of the paper's kept state. */
#define LWC_TRAP_SYSCALLS	(1u << 0)
#define LWC_TRAP_FAULTS		(1u << 1) /* also for LWC_IOC_SNAPSHOT: faults are no signals */
#define LWC_KEEP		(1u << 2)
#define LWC_FORK		(1u << 3)
#define LWC_PRIVATE		(1u << 4) /* for secrets: nobody looks in, no signal comes in */

/* LWC_IOC_SWITCH flags. */
#define LWC_FRESH		(1u << 0) /* put the target back to its kept state first */
#define LWC_DISCARD		(1u << 1) /* put what is left back to its kept state	 */

/* Rights of a context descriptor; they only ever go away. */
#define LWC_MAY_SWITCH		(1u << 0)
#define LWC_MAY_OVERLAY		(1u << 1)
#define LWC_MAY_SYSCALL		(1u << 2)
#define LWC_MAY_RESTRICT	(1u << 3)
#define LWC_MAY_KEEP		(1u << 4)

/* What LWC_IOC_SYSCALL borrows from the context. */
#define LWC_USE_MEMORY		(1u << 0)
#define LWC_USE_FILES		(1u << 1)
#define LWC_USE_CREDS		(1u << 2)

/*
 * A C library may bring these three structures with the types of <stdint.h>,
 * the same layouts: it defines this to 0 first (as in <linux/libc-compat.h>).
 */
#ifndef __UAPI_DEF_LWC_STRUCTS
#define __UAPI_DEF_LWC_STRUCTS	1
#endif

#if __UAPI_DEF_LWC_STRUCTS
/**
 * struct lwc_event - what came in, filled when a call returns in this context
 * @created: the new descriptor, in the creator; else -1
 * @caller: descriptor of the context that control came from; -1 if none
 * @reason: LWC_EV_*
 * @nr: LWC_EV_SYSCALL: system call number; LWC_EV_FAULT: signal number
 * @arg: the value that the switcher (or lwc_rollback) passed
 * @syscall: LWC_EV_SYSCALL: the six arguments, the instruction pointer
 * @fault: LWC_EV_FAULT: address, instruction pointer, si_code
 */
struct lwc_event {
	__s32 created;
	__s32 caller;
	__u32 reason;
	__u32 nr;
	__u64 arg;
	union {
		struct {
			__u64 args[6];
			__u64 ip;
		} syscall;
		struct {
			__u64 addr;
			__u64 ip;
			__u32 code;
			__u32 reserved;
		} fault;
	};
};

/**
 * struct lwc_spec - one line of what a context shares, copies or does not see
 * @type: LWC_MEMORY, LWC_FILES, LWC_CREDS, LWC_SYSCALLS
 * @mode: LWC_COW, LWC_SHARE, LWC_READ, LWC_UNMAP
 * @flags: LWC_GRANT, LWC_INHERIT
 * @from: first byte, descriptor or system call number
 * @to: the one behind the last; (0, UINT64_MAX) is the whole type
 */
struct lwc_spec {
	__u16 type;
	__u16 mode;
	__u32 flags;
	__u64 from;
	__u64 to;
};

/**
 * struct lwc_features - what this module can do
 * @size: sizeof(struct lwc_features), set by the caller
 * @abi: LWC_ABI
 * @create_flags: LWC_IOC_CREATE flags that work
 * @switch_flags: LWC_IOC_SWITCH flags that work
 * @spec_types: bits (1 << type) of the spec types that work
 * @spec_modes: bits (1 << mode) of the spec modes that work
 * @max_contexts: contexts that one process may have
 * @reserved: zero
 */
struct lwc_features {
	__u32 size;
	__u32 abi;
	__u64 create_flags;
	__u64 switch_flags;
	__u64 spec_types;
	__u64 spec_modes;
	__u32 max_contexts;
	__u32 reserved;
};

#endif /* __UAPI_DEF_LWC_STRUCTS */

/* The largest number of specs that one call takes (E2BIG beyond). */
#define LWC_MAX_SPECS		4096

/**
 * struct lwc_create_args - LWC_IOC_CREATE on /dev/lwc
 * @size: sizeof(struct lwc_create_args)
 * @flags: LWC_TRAP_SYSCALLS, LWC_TRAP_FAULTS, LWC_KEEP, LWC_FORK, LWC_PRIVATE
 * @specs: address of an array of struct lwc_spec
 * @n_specs: its length
 * @reserved: zero
 * @event: address of a struct lwc_event
 */
struct lwc_create_args {
	__u32 size;
	__u32 flags;
	__u64 specs;
	__u32 n_specs;
	__u32 reserved;
	__u64 event;
};

/**
 * struct lwc_switch_args - LWC_IOC_SWITCH on a context
 * @size: sizeof(struct lwc_switch_args)
 * @flags: LWC_FRESH, LWC_DISCARD
 * @arg: handed to the target as lwc_event.arg
 * @event: address of a struct lwc_event here, filled when control comes back
 */
struct lwc_switch_args {
	__u32 size;
	__u32 flags;
	__u64 arg;
	__u64 event;
};

/**
 * struct lwc_renew_args - LWC_IOC_RENEW on a context
 * @size: sizeof(struct lwc_renew_args)
 * @flags: zero
 * @created: what lwc_event.created is to say: the descriptor's own number,
 *	which a file does not know
 * @reserved: zero
 * @event: address of a struct lwc_event
 */
struct lwc_renew_args {
	__u32 size;
	__u32 flags;
	__s32 created;
	__u32 reserved;
	__u64 event;
};

/**
 * struct lwc_snapshot_args - LWC_IOC_SNAPSHOT on /dev/lwc
 * @size: sizeof(struct lwc_snapshot_args)
 * @flags: LWC_TRAP_FAULTS
 * @snapshot: descriptor of a snapshot to re-arm here, or -1 for a new one
 * @reserved: zero
 * @event: address of a struct lwc_event
 */
struct lwc_snapshot_args {
	__u32 size;
	__u32 flags;
	__s32 snapshot;
	__u32 reserved;
	__u64 event;
};

/**
 * struct lwc_rollback_args - LWC_IOC_ROLLBACK on a snapshot
 * @size: sizeof(struct lwc_rollback_args)
 * @flags: zero
 * @arg: handed to the place rolled back to as lwc_event.arg
 */
struct lwc_rollback_args {
	__u32 size;
	__u32 flags;
	__u64 arg;
};

/**
 * struct lwc_overlay_args - LWC_IOC_OVERLAY on a context
 * @size: sizeof(struct lwc_overlay_args)
 * @n_specs: length of the array
 * @specs: address of an array of struct lwc_spec
 */
struct lwc_overlay_args {
	__u32 size;
	__u32 n_specs;
	__u64 specs;
};

/**
 * struct lwc_restrict_args - LWC_IOC_RESTRICT on a context
 * @size: sizeof(struct lwc_restrict_args)
 * @rights: LWC_MAY_*: what remains
 * @specs: address of an array of struct lwc_spec: what may be overlaid
 * @n_specs: its length; 0 leaves that as it is
 * @reserved: zero
 */
struct lwc_restrict_args {
	__u32 size;
	__u32 rights;
	__u64 specs;
	__u32 n_specs;
	__u32 reserved;
};

/**
 * struct lwc_syscall_args - LWC_IOC_SYSCALL on a context
 * @size: sizeof(struct lwc_syscall_args)
 * @use: LWC_USE_*
 * @nr: x86-64 system call number
 * @args: its arguments
 * @result: what the kernel returned
 */
struct lwc_syscall_args {
	__u32 size;
	__u32 use;
	__s64 nr;
	__u64 args[6];
	__s64 result;
};

#define LWC_IOC_MAGIC		0xEC

/* On /dev/lwc. */
#define LWC_IOC_FEATURES	_IOWR(LWC_IOC_MAGIC, 0x00, struct lwc_features)
#define LWC_IOC_CREATE		_IOW(LWC_IOC_MAGIC, 0x01, struct lwc_create_args)
#define LWC_IOC_SNAPSHOT	_IOW(LWC_IOC_MAGIC, 0x02, struct lwc_snapshot_args)
#define LWC_IOC_SELF		_IO(LWC_IOC_MAGIC, 0x03)

/* On a context. */
#define LWC_IOC_SWITCH		_IOW(LWC_IOC_MAGIC, 0x10, struct lwc_switch_args)
#define LWC_IOC_RENEW		_IOW(LWC_IOC_MAGIC, 0x11, struct lwc_renew_args)
#define LWC_IOC_KEEP		_IO(LWC_IOC_MAGIC, 0x12)
#define LWC_IOC_OVERLAY		_IOW(LWC_IOC_MAGIC, 0x13, struct lwc_overlay_args)
#define LWC_IOC_RESTRICT	_IOW(LWC_IOC_MAGIC, 0x14, struct lwc_restrict_args)
#define LWC_IOC_SYSCALL		_IOWR(LWC_IOC_MAGIC, 0x15, struct lwc_syscall_args)

/* On a snapshot. */
#define LWC_IOC_ROLLBACK	_IOW(LWC_IOC_MAGIC, 0x20, struct lwc_rollback_args)

/*
 * On a context or a snapshot, even of another process or without any right:
 * which of the two it is. It changes nothing, so a library may ask it of any
 * file before it trusts a descriptor (another file answers ENOTTY).
 */
#define LWC_IOC_KIND		_IO(LWC_IOC_MAGIC, 0x21)
#define LWC_KIND_CONTEXT	0
#define LWC_KIND_SNAPSHOT	1

#endif /* _UAPI_LINUX_LWC_H */
