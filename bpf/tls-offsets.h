/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The socket below an SSL object as its own structures have it: the BIO it reads from, if that is a socket BIO, holds the
 * descriptor. Where they lie stands in the attach cookie of each file's return sites (src/probes/cookie.ts), and 0 there
 * means that nobody knows. Everything that is read belongs to the traced process, so everything is checked: both BIOs
 * are the same one (a handshake has a buffer on top of one, and two descriptors are two sockets), the BIO's method
 * says socket, the descriptor is a TCP socket of the current task. Each connection is looked at once, at its first bytes:
 * it binds what no system call inside of a TLS call has bound, and checks what one has.
 */
#ifndef PLAINSIGHT_TLS_OFFSETS_H
#define PLAINSIGHT_TLS_OFFSETS_H

#include "sock.h"
#include "tls-binding.bpf.h"

#define COOKIE_SSL_BIO(cookie) (((cookie) >> 20 & 0xff) * 8)
#define COOKIE_SSL_HAS_KIND(cookie) ((cookie) >> 28 & 1)
#define COOKIE_BIO_METHOD(cookie) (((cookie) >> 29 & 3) * 8)
#define COOKIE_BIO_NUMBER(cookie) (((cookie) >> 31 & 0xff) * 4)

/* BIO_TYPE_SOCKET of openssl/bio.h, OpenSSL 1.1.1 to 4.0 and BoringSSL. */
#define SOCKET_BIO 0x505

/* The struct sock, 0 where it is not certain. Not inlined, for the stack's sake, and global, as emit_buffer() is. */
__noinline __u64 socket_below(__u64 ssl, __u64 cookie)
{
	__u64 bios[2] = {}, method = 0;
	__u32 kind = 0, type = 0;
	__s32 descriptor = -1;
	const struct sock *sk;

	if (COOKIE_SSL_HAS_KIND(cookie) && (bpf_probe_read_user(&kind, sizeof(kind), (void *)ssl) || kind))
		return 0;
	if (bpf_probe_read_user(bios, sizeof(bios), (void *)(ssl + COOKIE_SSL_BIO(cookie))) || !bios[0] ||
	    bios[0] != bios[1])
		return 0;
	if (bpf_probe_read_user(&method, sizeof(method), (void *)(bios[0] + COOKIE_BIO_METHOD(cookie))) ||
	    bpf_probe_read_user(&type, sizeof(type), (void *)method) || type != SOCKET_BIO)
		return 0;
	if (bpf_probe_read_user(&descriptor, sizeof(descriptor), (void *)(bios[0] + COOKIE_BIO_NUMBER(cookie))) ||
	    descriptor < 0)
		return 0;
	sk = find_socket(descriptor);
	return sk && is_tcp(sk) ? (__u64)sk : 0;
}

static __always_inline void look_below(struct tls_stream *tls, __u64 ssl, __u64 cookie)
{
	__u64 sk;

	if (COOKIE_SSL_BIO(cookie) == 0 || tls->looked_below)
		return;
	tls->looked_below = 1;
	sk = socket_below(ssl, cookie);
	if (sk)
		bind_below(tls, sk);
}

#endif
