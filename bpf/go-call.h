/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The attach cookie of the sites of Go's crypto/tls: what the program must know of the site, and of the build that it is
 * in. src/probes/go-cookie.ts encodes the same. The operations are those of tls-call.h.
 */
#ifndef PLAINSIGHT_GO_CALL_H
#define PLAINSIGHT_GO_CALL_H

#include "tls-call.h"

/* An entry that is passed again when the stack has grown, before anything of the function has run. */
#define GO_COOKIE_REPEATS 0x4
/* What follows is known: fields of Go's structures, in units of 8 bytes, by offsets/go.json. */
#define GO_COOKIE_LAYOUT 0x8
/* crypto/tls.Conn.conn, an interface: its table of methods, and behind it the value. */
#define GO_CONN_FIELD(cookie) (((cookie) >> 4 & 0x7f) * 8)
/* Of Read among the methods of a net.Conn, in its table of methods. */
#define GO_READ_FIELD(cookie) (((cookie) >> 11 & 0x7f) * 8)
/* net.TCPConn.conn.fd, a pointer. */
#define GO_FD_FIELD(cookie) (((cookie) >> 18 & 0x7f) * 8)
/* net.netFD.pfd.Sysfd. */
#define GO_SYSFD_FIELD(cookie) (((cookie) >> 25 & 0x7f) * 8)
/* How far net.(*TCPConn).Read lies behind the site. */
#define GO_TCP_READ_DISTANCE(cookie) ((__s64)(__s32)((cookie) >> 32))

#endif
