// SPDX-License-Identifier: GPL-2.0
/*
 * Registers: what one context leaves in them, another must never see, and each
 * finds its own again. The switches here are made by hand, with nothing of the
 * compiler between the loading of the registers, the system call, and the storing.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <immintrin.h>

#include "test.h"

#define XSAVE_MAX	(4 * PAGE)

/* The components of the extended state that this processor and system have. */
static uint64_t xcr0(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return 0;
	asm volatile("xgetbv" : "=a" (a), "=d" (d) : "c" (0));
	return a | (uint64_t)d << 32;
}

static uint32_t component_offset(int i, uint32_t *size)
{
	uint32_t a, b, c, d;

	__cpuid_count(0xd, i, a, b, c, d);
	*size = a;
	return b;
}

/*
 * An XSAVE area (standard format) that gives every register of the components
 * in mask a value made of seed.
 */
static void fill_area(uint8_t *area, uint64_t mask, uint8_t seed)
{
	uint32_t size, at;
	int i, j;

	memset(area, 0, XSAVE_MAX);
	/* x87: control word, 8 registers of 10 bytes. */
	area[0] = 0x7f;
	area[1] = seed & 1 ? 0x03 : 0x0f;
	for (i = 0; i < 8; i++)
		for (j = 0; j < 10; j++)
			area[32 + 16 * i + j] = j == 9 ? 0x40 : seed + i * 10 + j;
	area[4] = 0xff;	/* abridged tag: all in use */
	/* MXCSR: all masked, and a rounding mode. */
	*(uint32_t *)(area + 24) = 0x1f80 | (seed & 3) << 13;
	for (i = 0; i < 16 * 16; i++)
		area[160 + i] = seed ^ (i * 7);
	for (i = 2; i < 8; i++) {
		/* AVX, and AVX-512's three; not what MPX had. */
		if (i == 3 || i == 4 || !(mask & 1ul << i))
			continue;
		at = component_offset(i, &size);
		for (j = 0; j < (int)size; j++)
			area[at + j] = seed + (j * 5) + i;
	}
	*(uint64_t *)(area + 512) = mask & ~0x18ul;
}

/* What an XSAVE of it must look like again: 0 if it does. */
static int differs(const uint8_t *want, const uint8_t *got, uint64_t mask)
{
	uint32_t size, at;
	int i, bad = 0;

	bad |= memcmp(want, got, 2) ? 1 : 0;
	for (i = 0; i < 8; i++)
		bad |= memcmp(want + 32 + 16 * i, got + 32 + 16 * i, 10) ? 2 : 0;
	bad |= memcmp(want + 24, got + 24, 4) ? 4 : 0;
	bad |= memcmp(want + 160, got + 160, 256) ? 8 : 0;
	for (i = 2; i < 8; i++) {
		if (i == 3 || i == 4 || !(mask & 1ul << i))
			continue;
		at = component_offset(i, &size);
		bad |= memcmp(want + at, got + at, size) ? 1 << (i + 4) : 0;
	}
	return bad;
}

/* Loads all vector and x87 registers, switches, and stores them when it comes back. */
static long switch_with_area(int fd, struct lwc_switch_args *args, uint8_t *load, uint8_t *store,
			     uint64_t mask)
{
	uint32_t lo = mask, hi = mask >> 32;
	long r;

	asm volatile(
		"mov %[lo], %%eax\n\t"
		"mov %[hi], %%edx\n\t"
		"xrstor64 (%[load])\n\t"
		"mov %[nr], %%eax\n\t"
		"mov %[args], %%rdx\n\t"
		"syscall\n\t"
		"mov %%rax, %%rbx\n\t"
		"mov %[lo], %%eax\n\t"
		"mov %[hi], %%edx\n\t"
		"xsave64 (%[store])\n\t"
		/* The compiler wants the ABI's x87 and MXCSR back. */
		"fninit\n\t"
		"ldmxcsr %[mxcsr]\n\t"
		: "=&b" (r)
		: [lo] "r" (lo), [hi] "r" (hi), [load] "r" (load), [store] "r" (store),
		  [nr] "i" (SYS_ioctl), [args] "r" (args), "D" ((long)fd), "S" (LWC_IOC_SWITCH),
		  [mxcsr] "m" (*(uint32_t [1]){ 0x1f80 })
		: "rax", "rdx", "rcx", "r11", "memory",
		  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
		  "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
		  "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
	return r;
}

/* One after the other: x87, SSE, AVX, AVX-512 of two contexts. */
LWC_TEST(extended_state)
{
	uint64_t mask = xcr0() & 0xe7;
	uint8_t *area = aligned_alloc(64, 2 * XSAVE_MAX);
	struct lwc_event ev;
	int ctx, i, n = scaled(2000);

	if (!(mask & 2))
		SKIP(return, "no XSAVE");
	/* A fresh context begins with what its creator had. */
	CONTEXT(ctx) {
		struct lwc_switch_args args = {
			.size = sizeof(args), .event = (uintptr_t)&in.ev,
		};
		uint8_t seed = 101;

		fill_area(area, mask, seed);
		for (;;) {
			long r;

			memset(area + XSAVE_MAX, 0, XSAVE_MAX);
			r = switch_with_area(in.ev.caller, &args, area, area + XSAVE_MAX, mask);
			EXPECT_EQ(0, r);
			EXPECT_EQ(0, differs(area, area + XSAVE_MAX, mask));
			fill_area(area, mask, seed = in.ev.arg ^ 0xff);
		}
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < n; i++) {
		struct lwc_switch_args args = {
			.size = sizeof(args), .arg = i & 0x7f, .event = (uintptr_t)&ev,
		};
		int bad;

		fill_area(area, mask, i & 0x7f);
		memset(area + XSAVE_MAX, 0, XSAVE_MAX);
		ASSERT_EQ(0, switch_with_area(ctx, &args, area, area + XSAVE_MAX, mask));
		bad = differs(area, area + XSAVE_MAX, mask);
		ASSERT_EQ(0, bad) {
			TH_LOG("round %d, components (see differs()): %#x", i, bad);
		}
	}
}

static void load_xmm(uint64_t value)
{
	asm volatile("movq %0, %%xmm7\n\tmovq %0, %%xmm15" : : "r" (value) : "xmm7", "xmm15");
}

/* One xmm register at a time, without XSAVE: for a quick look at what is wrong. */
LWC_TEST(vector_register)
{
	struct lwc_event ev;
	int ctx, i;

	CONTEXT(ctx) {
		struct lwc_switch_args args = {
			.size = sizeof(args), .event = (uintptr_t)&in.ev,
		};
		long r = SYS_ioctl;

		asm volatile("movq %[x], %%xmm7\n\tsyscall"
			     : "+a" (r)
			     : [x] "r" (0xbadbadbadul), "D" ((long)in.ev.caller),
			       "S" (LWC_IOC_SWITCH), "d" (&args)
			     : "rcx", "r11", "memory", "xmm7");
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 50; i++) {
		struct lwc_switch_args args = {
			.size = sizeof(args), .event = (uintptr_t)&ev,
		};
		uint64_t seen = 0;
		long r = SYS_ioctl;

		asm volatile("movq %[x], %%xmm7\n\tsyscall\n\tmovq %%xmm7, %[seen]"
			     : "+a" (r), [seen] "=r" (seen)
			     : [x] "r" (0x1234567890ul + i), "D" ((long)ctx),
			       "S" (LWC_IOC_SWITCH), "d" (&args)
			     : "rcx", "r11", "memory", "xmm7");
		EXPECT_EQ(0, r);
		EXPECT_EQ(0x1234567890ul + i, seen);
	}
	load_xmm(0);
}

/* At the point of creation, too, a register holds what it held there and then. */
LWC_TEST(at_the_creation_point)
{
	struct lwc_event ev = { 0 };
	struct lwc_create_args args = { .size = sizeof(args), .event = (uintptr_t)&ev };
	int dev = open(DEVICE, O_RDWR | O_CLOEXEC);
	uint64_t xmm, rbx, r15, back[8];
	long r = SYS_ioctl;

	ASSERT_LE(0, dev);
	asm volatile("movq %[x], %%xmm7\n\t"
		     "mov $0x1111, %%rbx\n\t"
		     "mov $0x2222, %%r15\n\t"
		     "syscall\n\t"
		     "movq %%xmm7, %[seen]\n\t"
		     "mov %%rbx, %[rbx]\n\t"
		     "mov %%r15, %[r15]"
		     : "+a" (r), [seen] "=r" (xmm), [rbx] "=r" (rbx), [r15] "=r" (r15)
		     : [x] "r" (0x4242424242ul), "D" ((long)dev), "S" (LWC_IOC_CREATE), "d" (&args)
		     : "rcx", "r11", "memory", "xmm7", "rbx", "r15");
	ASSERT_EQ(0, r);
	if (ev.reason == LWC_EV_SWITCH) {
		shm[0] = xmm;
		shm[1] = rbx;
		shm[2] = r15;
		lwc_switch(ev.caller, 0, 0, &ev);
		_exit(1);
	}
	EXPECT_EQ(0x4242424242ul, xmm);
	memset(back, 0xee, sizeof(back));
	/* memset and printf have used the registers since. */
	load_xmm(0xdddddddd);
	ASSERT_EQ(0, lwc_switch(ev.created, 0, 0, &ev));
	EXPECT_EQ(0x4242424242l, shm[0]);
	EXPECT_EQ(0x1111, shm[1]);
	EXPECT_EQ(0x2222, shm[2]);
	close(dev);
}

/*
 * long switch_with_registers(long fd, struct lwc_switch_args *args, const uint64_t in[9],
 *			      uint64_t out[12]): loads, switches, stores.
 * In: r8 r9 r10 rbx rbp r12 r13 r14 r15; out: these, then rdi rsi rdx.
 */
asm(".text\n"
    "switch_with_registers:\n\t"
    "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t"
    "push %rcx\n\t"
    "mov 0(%rdx), %r8\n\tmov 8(%rdx), %r9\n\tmov 16(%rdx), %r10\n\t"
    "mov 24(%rdx), %rbx\n\tmov 32(%rdx), %rbp\n\tmov 40(%rdx), %r12\n\t"
    "mov 48(%rdx), %r13\n\tmov 56(%rdx), %r14\n\tmov 64(%rdx), %r15\n\t"
    "mov %rsi, %rdx\n\tmov switch_command(%rip), %esi\n\tmov switch_call(%rip), %eax\n\t"
    "syscall\n\t"
    "pop %rcx\n\t"
    "mov %r8, 0(%rcx)\n\tmov %r9, 8(%rcx)\n\tmov %r10, 16(%rcx)\n\t"
    "mov %rbx, 24(%rcx)\n\tmov %rbp, 32(%rcx)\n\tmov %r12, 40(%rcx)\n\t"
    "mov %r13, 48(%rcx)\n\tmov %r14, 56(%rcx)\n\tmov %r15, 64(%rcx)\n\t"
    "mov %rdi, 72(%rcx)\n\tmov %rsi, 80(%rcx)\n\tmov %rdx, 88(%rcx)\n\t"
    "pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\t"
    "ret\n");

long switch_with_registers(long fd, struct lwc_switch_args *args, const uint64_t in[9],
			   uint64_t out[12]);
const uint32_t switch_command = LWC_IOC_SWITCH, switch_call = SYS_ioctl;

/* Those that functions keep, and those that a system call keeps besides. */
LWC_TEST(general_registers)
{
	struct lwc_event ev;
	int ctx, i, j;

	CONTEXT(ctx) {
		struct lwc_switch_args args = {
			.size = sizeof(args), .event = (uintptr_t)&in.ev,
		};
		uint64_t load[9], store[12];

		for (i = 0;; i++) {
			for (j = 0; j < 9; j++)
				load[j] = 0xbad0000 + i * 16 + j;
			EXPECT_EQ(0, switch_with_registers(in.ev.caller, &args, load, store));
			for (j = 0; j < 9; j++)
				EXPECT_EQ(load[j], store[j]);
		}
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 50; i++) {
		struct lwc_switch_args args = {
			.size = sizeof(args), .event = (uintptr_t)&ev,
		};
		uint64_t load[9], store[12];

		for (j = 0; j < 9; j++)
			load[j] = 0x1000000ul * (i + 1) + j;
		EXPECT_EQ(0, switch_with_registers(ctx, &args, load, store));
		for (j = 0; j < 9; j++)
			EXPECT_EQ(load[j], store[j]);
		EXPECT_EQ((uint64_t)ctx, store[9]);
		EXPECT_EQ(LWC_IOC_SWITCH, store[10]);
		EXPECT_EQ((uintptr_t)&args, store[11]);
	}
}

/* The direction flag is cleared by nobody on the way. */
LWC_TEST(flags_register)
{
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	{
		struct lwc_switch_args args = {
			.size = sizeof(args), .event = (uintptr_t)&ev,
		};
		long r = SYS_ioctl;
		uint64_t flags;

		/* Below the red zone, which the compiler may use. */
		asm volatile("lea -128(%%rsp), %%rsp\n\t"
			     "std\n\tsyscall\n\tpushfq\n\tcld\n\tpop %[flags]\n\t"
			     "lea 128(%%rsp), %%rsp"
			     : "+a" (r), [flags] "=r" (flags)
			     : "D" ((long)ctx), "S" (LWC_IOC_SWITCH), "d" (&args)
			     : "rcx", "r11", "memory", "cc");
		EXPECT_EQ(0, r);
		EXPECT_EQ(0x400, flags & 0x400);
	}
}

static uint32_t mxcsr(void)
{
	uint32_t x;

	asm volatile("stmxcsr %0" : "=m" (x));
	return x;
}

static void set_mxcsr(uint32_t x)
{
	asm volatile("ldmxcsr %0" : : "m" (x));
}

static uint16_t x87_control(void)
{
	uint16_t x;

	asm volatile("fnstcw %0" : "=m" (x));
	return x;
}

static void set_x87_control(uint16_t x)
{
	asm volatile("fldcw %0" : : "m" (x));
}

/* Rounding modes: a context that sets one must not change sums elsewhere. */
LWC_TEST(rounding)
{
	int ctx, i;

	set_mxcsr(0x1f80);
	set_x87_control(0x37f);
	CONTEXT(ctx) {
		in.reply = mxcsr() | (uint64_t)x87_control() << 32;
		set_mxcsr(0x7f80);
		set_x87_control(0xf7f);
	}
	ASSERT_LE(0, ctx);
	set_mxcsr(0x3f80);
	set_x87_control(0x77f);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(i ? 0xf7f00007f80ul : 0x37f00001f80ul, CALL(ctx, 0));
		EXPECT_EQ(0x3f80, mxcsr());
		EXPECT_EQ(0x77f, x87_control());
	}
	set_mxcsr(0x1f80);
	set_x87_control(0x37f);
}

static bool has_pkru(void)
{
	uint32_t a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 1 << 4);
}

static uint32_t rdpkru(void)
{
	uint32_t a, d;

	asm volatile(".byte 0x0f,0x01,0xee" : "=a" (a), "=d" (d) : "c" (0));
	return a;
}

static void wrpkru(uint32_t x)
{
	asm volatile(".byte 0x0f,0x01,0xef" : : "a" (x), "c" (0), "d" (0));
}

LWC_TEST(protection_keys)
{
	int ctx, i, pkey;
	uint32_t old;
	char *p;

	if (!has_pkru())
		SKIP(return, "no protection keys");
	pkey = pkey_alloc(0, 0);
	if (pkey < 0)
		SKIP(return, "no protection key to be had");
	p = private_memory(PAGE);
	ASSERT_EQ(0, pkey_mprotect(p, PAGE, PROT_READ | PROT_WRITE, pkey));
	*p = 1;
	old = rdpkru();
	wrpkru(old & ~(3u << 2 * pkey));
	CONTEXT(ctx) {
		in.reply = rdpkru();
		/* Access to everything, for this context. */
		wrpkru(0);
		*p = 2;
	}
	ASSERT_LE(0, ctx);
	wrpkru(old | 3u << 2 * pkey);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(i ? 0 : old & ~(3u << 2 * pkey), CALL(ctx, 0));
		EXPECT_EQ(old | 3u << 2 * pkey, rdpkru());
	}
	/* The event is written with the keys of the context that it is for. */
	EXPECT_FALSE(is_readable(p));
	wrpkru(old);
	pkey_free(pkey);
}

static unsigned long get_base(int which)
{
	unsigned long x = 0;

	syscall(SYS_arch_prctl, which, &x);
	return x;
}

/* fs is the C library's: what __thread finds. gs is free for all. */
LWC_TEST(segment_bases)
{
	static __thread volatile int mine;
	unsigned long fs = get_base(ARCH_GET_FS);
	int ctx, i;

	mine = 1;
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0x1000);
	CONTEXT(ctx) {
		in.reply = get_base(ARCH_GET_GS);
		mine++;
		syscall(SYS_arch_prctl, ARCH_SET_GS, 0x7f0000002000);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 10; i++) {
		syscall(SYS_arch_prctl, ARCH_SET_GS, 0x3000 + i);
		EXPECT_EQ(i ? 0x7f0000002000 : 0x1000, CALL(ctx, 0));
		EXPECT_EQ(0x3000 + i, get_base(ARCH_GET_GS));
		EXPECT_EQ(fs, get_base(ARCH_GET_FS));
		EXPECT_EQ(1, mine);
	}
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
}

/* A thread pointer of its own in a context: another C library's, say. */
LWC_TEST(thread_pointer)
{
	unsigned long fs = get_base(ARCH_GET_FS);
	char *copy = NULL;
	int ctx, i;

	CONTEXT(ctx) {
		if (!in.ev.arg) {
			/* A page before and two behind are all that is used of it. */
			copy = private_memory(4 * PAGE);
			memcpy(copy + PAGE - 64, (char *)fs - 64, 64);
			memcpy(copy + PAGE, (char *)fs, 64);
			*(unsigned long *)(copy + PAGE) = (unsigned long)copy + PAGE;
			*(unsigned long *)(copy + PAGE + 16) = (unsigned long)copy + PAGE;
			in.reply = (unsigned long)copy + PAGE;
		} else {
			struct lwc_switch_args args = {
				.size = sizeof(args), .event = (uintptr_t)&in.ev,
				.arg = get_base(ARCH_GET_FS),
			};
			unsigned long base = (unsigned long)copy + PAGE;
			long r;

			/* Nothing that uses the C library while it is elsewhere. */
			asm volatile("syscall" : "=a" (r) : "a" (SYS_arch_prctl),
				     "D" (ARCH_SET_FS), "S" (base) : "rcx", "r11", "memory");
			asm volatile("syscall" : "=a" (r) : "a" (SYS_ioctl), "D" (in.ev.caller),
				     "S" (LWC_IOC_SWITCH), "d" (&args) : "rcx", "r11", "memory");
			asm volatile("syscall" : "=a" (r) : "a" (SYS_arch_prctl),
				     "D" (ARCH_GET_FS), "S" (&in.reply) : "rcx", "r11", "memory");
			asm volatile("syscall" : "=a" (r) : "a" (SYS_arch_prctl),
				     "D" (ARCH_SET_FS), "S" (fs) : "rcx", "r11", "memory");
			(void)r;
		}
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		unsigned long base = CALL(ctx, 0);

		EXPECT_NE(fs, base);
		EXPECT_EQ(fs, get_base(ARCH_GET_FS));
		EXPECT_EQ(fs, CALL(ctx, 1));
		/* It is parked with its own thread pointer now. */
		EXPECT_EQ(fs, get_base(ARCH_GET_FS));
		EXPECT_EQ(base, CALL(ctx, 1));
	}
}

static uint32_t selectors(void)
{
	uint16_t ds, es;

	asm volatile("mov %%ds, %0" : "=r" (ds));
	asm volatile("mov %%es, %0" : "=r" (es));
	return ds | (uint32_t)es << 16;
}

static void set_selectors(uint16_t x)
{
	asm volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r" (x));
}

/* Segment selectors are registers as well: 64-bit code ignores them, and spies can read them. */
LWC_TEST(segment_selectors)
{
	int ctx, i;

	CONTEXT(ctx) {
		in.reply = selectors();
		set_selectors(0x2b);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(i ? 0x2b002b : 0, CALL(ctx, 0));
		EXPECT_EQ(0, selectors());
	}
}

TEST_HARNESS_MAIN
