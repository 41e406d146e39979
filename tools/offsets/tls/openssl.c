/*
 * Where OpenSSL keeps the BIO below a connection and the descriptor in a socket BIO, by its own internal headers of one
 * release. Compiled, never linked or run: see fields.h.
 */
#include "fields.h"
#include "crypto/bio/bio_local.h"
#include "ssl/ssl_local.h"

/* The move into ssl_connection_st came with QUIC, whose objects are SSL objects too: `type` says which one it is. */
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
typedef struct ssl_connection_st connection;
#else
typedef struct ssl_st connection;
#endif

void fields(void)
{
	FIELD(sslReadBio, connection, rbio);
	FIELD(sslWriteBio, connection, wbio);
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
	_Static_assert(offsetof(connection, ssl) == 0, "an SSL object of a TLS connection begins the connection");
	_Static_assert(SSL_TYPE_SSL_CONNECTION == 0, "the type that BPF compares with");
	_Static_assert(sizeof(((struct ssl_st *)0)->type) == 4, "it is read as 32 bits");
	FIELD(sslKind, struct ssl_st, type);
#endif
	FIELD(bioMethod, struct bio_st, method);
	FIELD(bioRetryReason, struct bio_st, retry_reason);
	FIELD(bioNumber, struct bio_st, num);
	FIELD(bioData, struct bio_st, ptr);
	FIELD(methodType, struct bio_method_st, type);
	NUMBER(socketType, BIO_TYPE_SOCKET);
}
