/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The attach cookie: what the TLS programs must know of the site they were hit at. src/probes/cookie.ts encodes the same.
 * From bit 20 on it is that of tls-offsets.h.
 */
#ifndef PLAINSIGHT_TLS_CALL_H
#define PLAINSIGHT_TLS_CALL_H

#include "registers.h"

#define COOKIE_OPERATION 0x3 /* enum tls_operation */
#define COOKIE_EX 0x4        /* the byte count is behind the 4th argument, and the result is 1 on success */
#define COOKIE_URETPROBE 0x8 /* hit behind the return */
/* Return site: the register of the result. Entry site: that of the fourth argument. 0: where the ABI has it. */
#define COOKIE_REGISTER(cookie) ((cookie) >> 4 & 0xf)
/* How far the stack pointer is below its value at the function's entry. */
#define COOKIE_DEPTH(cookie) (((cookie) >> 8 & 0xfff) * 8)

enum tls_operation {
	TLS_READ = 0,
	TLS_WRITE = 1,
	TLS_FREE = 2, /* the object ends, or begins anew */
	TLS_SHUTDOWN = 3,
};

static __always_inline __u64 entry_stack_pointer(const struct pt_regs *regs, __u64 cookie)
{
	if (cookie & COOKIE_URETPROBE)
		return STACK_POINTER(regs) - RETURN_ADDRESS_BYTES;
	return STACK_POINTER(regs) + COOKIE_DEPTH(cookie);
}

#endif
