/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The attach cookie: what the TLS programs must know of the site they were hit at. src/probes/ encodes the same. */
#ifndef PLAINSIGHT_TLS_CALL_H
#define PLAINSIGHT_TLS_CALL_H

#define COOKIE_OPERATION 0x3 /* enum tls_operation */
#define COOKIE_EX 0x4        /* the byte count is behind the 4th argument, and the result is 1 on success */
#define COOKIE_URETPROBE 0x8 /* hit after the return: the stack pointer is past the return address */

enum tls_operation {
	TLS_READ = 0,
	TLS_WRITE = 1,
	TLS_FREE = 2, /* the object ends, or begins anew */
	TLS_SHUTDOWN = 3,
};

#endif
