/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What depends on the processor: the saved user registers (struct pt_regs as the kernel lays it out), which of them
 * hold arguments and results, and system call numbers. Nothing else in bpf/ may ask for the architecture.
 */
#ifndef PLAINSIGHT_REGISTERS_H
#define PLAINSIGHT_REGISTERS_H

#include <linux/types.h>

#if defined(__TARGET_ARCH_x86)

/* arch/x86/include/asm/ptrace.h at v5.8..v6.18: the layout up to ss has not changed. */
struct pt_regs {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#define CALL_ARGUMENT_1(r) ((r)->di)
#define CALL_ARGUMENT_2(r) ((r)->si)
#define CALL_ARGUMENT_3(r) ((r)->dx)
#define CALL_ARGUMENT_4(r) ((r)->cx)
#define STACK_POINTER(r) ((r)->sp)
/* In a probe: the address of the instruction that is probed. */
#define INSTRUCTION_POINTER(r) ((r)->ip)
/* What a call pushes, and a return has popped. */
#define RETURN_ADDRESS_BYTES 8

/* Go's register convention: receiver, then the buffer's pointer and length; results begin in the same register as arguments. */
#define GO_ARGUMENT_1(r) ((r)->ax)
#define GO_ARGUMENT_2(r) ((r)->bx)
#define GO_ARGUMENT_3(r) ((r)->cx)
#define GO_RESULT_1(r) ((r)->ax)
#define GO_G(r) ((r)->r14)

/* System call arguments survive in pt_regs until the exit; only the fourth differs from a function call. */
#define SYSCALL_NUMBER(r) ((r)->orig_ax)
#define SYSCALL_ARGUMENT_1(r) ((r)->di)
#define SYSCALL_ARGUMENT_2(r) ((r)->si)
#define SYSCALL_ARGUMENT_3(r) ((r)->dx)
#define SYSCALL_ARGUMENT_4(r) ((r)->r10)
/*
 * A system call has been entered and has no result yet. What runs on the way out of one (task work: io_uring's operations) finds
 * its registers too, and they say nothing of it. arch/x86/entry/entry_64.S at v5.8..v6.18 puts -ENOSYS there.
 */
#define IS_IN_SYSCALL(r) ((r)->ax == (__u64) - 38)
#define ENTER_SYSCALL(r) ((r)->ax = (__u64) - 38)
/* USER32_CS: a 32-bit program, with other numbers and other registers. */
#define IS_COMPAT(r) ((r)->cs == 0x23)

/* arch/x86/entry/syscalls/syscall_64.tbl */
enum {
	SYSCALL_READ = 0,
	SYSCALL_WRITE = 1,
	SYSCALL_READV = 19,
	SYSCALL_WRITEV = 20,
	SYSCALL_SENDFILE = 40,
	SYSCALL_SENDTO = 44,
	SYSCALL_RECVFROM = 45,
	SYSCALL_SENDMSG = 46,
	SYSCALL_RECVMSG = 47,
	SYSCALL_SPLICE = 275,
};

#elif defined(__TARGET_ARCH_arm64)

/* arch/arm64/include/asm/ptrace.h at v5.8..v6.18, up to syscallno (little endian). */
struct pt_regs {
	__u64 regs[31], sp, pc, pstate, orig_x0;
	__s32 syscallno;
	__u32 reserved;
};

#define CALL_ARGUMENT_1(r) ((r)->regs[0])
#define CALL_ARGUMENT_2(r) ((r)->regs[1])
#define CALL_ARGUMENT_3(r) ((r)->regs[2])
#define CALL_ARGUMENT_4(r) ((r)->regs[3])
#define STACK_POINTER(r) ((r)->sp)
#define INSTRUCTION_POINTER(r) ((r)->pc)
#define RETURN_ADDRESS_BYTES 0

#define GO_ARGUMENT_1(r) ((r)->regs[0])
#define GO_ARGUMENT_2(r) ((r)->regs[1])
#define GO_ARGUMENT_3(r) ((r)->regs[2])
#define GO_RESULT_1(r) ((r)->regs[0])
#define GO_G(r) ((r)->regs[28])

#define SYSCALL_NUMBER(r) ((__u64)(__u32)(r)->syscallno)
/* The result overwrites x0; the first argument is kept beside it. */
#define SYSCALL_ARGUMENT_1(r) ((r)->orig_x0)
#define SYSCALL_ARGUMENT_2(r) ((r)->regs[1])
#define SYSCALL_ARGUMENT_3(r) ((r)->regs[2])
#define SYSCALL_ARGUMENT_4(r) ((r)->regs[3])
/* As above; a result that equals the first argument is taken for none. */
#define IS_IN_SYSCALL(r) ((r)->regs[0] == (r)->orig_x0)
#define ENTER_SYSCALL(r) ((r)->regs[0] = (r)->orig_x0)
/* PSR_MODE32_BIT */
#define IS_COMPAT(r) ((r)->pstate & 0x10)

/* include/uapi/asm-generic/unistd.h */
enum {
	SYSCALL_READ = 63,
	SYSCALL_WRITE = 64,
	SYSCALL_READV = 65,
	SYSCALL_WRITEV = 66,
	SYSCALL_SENDFILE = 71,
	SYSCALL_SPLICE = 76,
	SYSCALL_SENDTO = 206,
	SYSCALL_RECVFROM = 207,
	SYSCALL_SENDMSG = 211,
	SYSCALL_RECVMSG = 212,
};

#else
#error "bpf/ knows x86-64 and arm64"
#endif

/*
 * A register by the number that instructions encode it with. A probe's context can only be read at fixed offsets, so
 * each case is a load of its own; written in C, the compiler would make one load of many addresses.
 */
#if defined(__TARGET_ARCH_x86)
#define REGISTER_NAMES(X) \
	X(0, ax)          \
	X(1, cx)          \
	X(2, dx)          \
	X(3, bx)          \
	X(5, bp) X(6, si) X(7, di) X(8, r8) X(9, r9) X(10, r10) X(11, r11) X(12, r12) X(13, r13) X(14, r14) X(15, r15)
#else
#define REGISTER_NAMES(X) \
	X(0, regs[0])     \
	X(1, regs[1])     \
	X(2, regs[2])     \
	X(3, regs[3])     \
	X(4, regs[4])     \
	X(5, regs[5])     \
	X(6, regs[6])     \
	X(7, regs[7])     \
	X(8, regs[8])     \
	X(9, regs[9]) X(10, regs[10]) X(11, regs[11]) X(12, regs[12]) X(13, regs[13]) X(14, regs[14]) X(15, regs[15])
#endif

#ifndef LOAD_REGISTER /* a host program brings its own */
#define LOAD_REGISTER(value, regs, name) \
	asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(regs), "i"(__builtin_offsetof(struct pt_regs, name)))
#endif

static __always_inline __u64 register_value(const struct pt_regs *regs, __u32 number)
{
	__u64 value = 0;

#define REGISTER_CASE(n, name)                    \
	case n:                                   \
		LOAD_REGISTER(value, regs, name); \
		break;
	switch (number) {
		REGISTER_NAMES(REGISTER_CASE)
	}
#undef REGISTER_CASE
	return value;
}

/* Does this system call receive bytes from a file descriptor? */
static __always_inline int receives(__u64 number)
{
	return number == SYSCALL_READ || number == SYSCALL_READV || number == SYSCALL_RECVFROM ||
	       number == SYSCALL_RECVMSG;
}

/* Does it move bytes to or from a file descriptor? */
static __always_inline int moves_bytes(__u64 number)
{
	return receives(number) || number == SYSCALL_WRITE || number == SYSCALL_WRITEV || number == SYSCALL_SENDTO ||
	       number == SYSCALL_SENDMSG || number == SYSCALL_SENDFILE || number == SYSCALL_SPLICE;
}

#endif
