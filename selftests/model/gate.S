/* SPDX-License-Identifier: GPL-2.0 */
/*
 * gate.S - the one way to a call that leaves a memory, or comes back to one.
 *
 * The referee looks at the memory before and after; between these two looks nothing
 * here writes to any memory but struct control, which is shared: not even a return
 * address. So what it compares is equal to the last byte.
 */
#include "model.h"

#define AT(offset)	CONTROL + (offset)

#define SYS_fstat		5
#define SYS_brk			12
#define SYS_rt_sigprocmask	14
#define SYS_ioctl		16
#define SYS_pause		34
#define SYS_clone		56
#define SYS_fcntl		72
#define SYS_futex		202

.macro for_general instruction
	\instruction %rbx, 0
	\instruction %rbp, 8
	\instruction %r8, 16
	\instruction %r9, 24
	\instruction %r10, 32
	\instruction %r12, 40
	\instruction %r13, 48
	\instruction %r14, 56
	\instruction %r15, 64
.endm

.macro load_general register, offset
	mov	AT(AT_GENERAL) + \offset, \register
.endm

.macro store_general register, offset
	mov	\register, AT(AT_SEEN_GENERAL) + \offset
.endm

/* Stack pointer, signal mask, end of the heap. */
.macro look to
	mov	%rsp, AT(\to)
	mov	$SYS_rt_sigprocmask, %eax
	xor	%edi, %edi
	xor	%esi, %esi
	mov	$AT(\to) + 8, %edx
	mov	$8, %r10d
	syscall
	mov	$SYS_brk, %eax
	xor	%edi, %edi
	syscall
	mov	%rax, AT(\to) + 16
.endm

	.text
	.globl gate
	.type gate, @function
gate:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15

	look	AT_LEFT
	mov	$PHASE_BEFORE, %ebx
	lea	1f(%rip), %r15
	jmp	list
1:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	AT(AT_VECTOR) + \n * 16, %xmm\n
	.endr
	mov	AT(AT_FD), %edi
	mov	AT(AT_CMD), %esi
	mov	AT(AT_ARG), %rdx
	for_general load_general
	mov	$SYS_ioctl, %eax
	syscall

	/* Here, and perhaps again. */
	mov	%rax, AT(AT_RESULT)
	for_general store_general
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, AT(AT_SEEN_VECTOR) + \n * 16
	.endr
	look	AT_SEEN
	mov	$PHASE_AFTER, %ebx
	lea	2f(%rip), %r15
	jmp	list
2:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/*
 * Phase in ebx, where to go on in r15. First what is open, of each number: flags, mode
 * and the file. It is as the program itself sees it, and far cheaper than /proc.
 */
list:
	xor	%r12d, %r12d
	mov	$AT(AT_DESCRIPTORS), %r13d
7:
	.irp	what, 0, 1
	mov	$SYS_fcntl, %eax
	mov	%r12d, %edi
	mov	$(1 + 2 * \what), %esi		/* F_GETFD, F_GETFL */
	syscall
	mov	%eax, 4 * \what(%r13)
	.endr
	test	%eax, %eax
	js	8f
	mov	$SYS_fstat, %eax
	mov	%r12d, %edi
	mov	$AT(AT_STAT), %esi
	syscall
	mov	AT(AT_STAT), %rax		/* st_dev */
	mov	%rax, 8(%r13)
	mov	AT(AT_STAT) + 8, %rax		/* st_ino */
	mov	%rax, 16(%r13)
	mov	AT(AT_STAT) + 24, %eax		/* st_mode */
	mov	%eax, 24(%r13)
8:
	add	$DESCRIPTOR_SIZE, %r13d
	inc	%r12d
	cmp	$DESCRIPTORS, %r12d
	jb	7b

/* The referee may want system calls made first. */
ask:
	mov	%ebx, AT(AT_REQUEST)
	mov	$SYS_futex, %eax
	mov	$AT(AT_REQUEST), %edi
	mov	$1, %esi			/* FUTEX_WAKE */
	mov	$1, %edx
	syscall
3:
	cmp	%ebx, AT(AT_REQUEST)
	jne	4f
	mov	$SYS_futex, %eax
	mov	$AT(AT_REQUEST), %edi
	xor	%esi, %esi			/* FUTEX_WAIT */
	mov	%ebx, %edx
	xor	%r10d, %r10d
	syscall
	jmp	3b
4:
	cmpl	$0, AT(AT_COMMAND)
	je	6f
	mov	AT(AT_NR), %rax
	mov	%rax, %r14
	mov	AT(AT_ARGS), %rdi
	mov	AT(AT_ARGS) + 8, %rsi
	mov	AT(AT_ARGS) + 16, %rdx
	mov	AT(AT_ARGS) + 24, %r10
	mov	AT(AT_ARGS) + 32, %r8
	mov	AT(AT_ARGS) + 40, %r9
	syscall
	cmp	$SYS_clone, %r14
	jne	5f
	test	%rax, %rax
	je	witness
5:
	mov	%rax, AT(AT_RET)
	jmp	ask
6:
	jmp	*%r15

/* A witness does nothing until it is killed. */
witness:
	mov	$SYS_pause, %eax
	syscall
	jmp	witness
	.size gate, . - gate

	.section .note.GNU-stack, "", @progbits
