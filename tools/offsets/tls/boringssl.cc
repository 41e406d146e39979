/* The same as openssl.c of BoringSSL, whose structures are C++. */
#include "fields.h"
#include "ssl/internal.h"

void fields()
{
	FIELD(sslReadBio, struct ssl_st, rbio);
	FIELD(sslWriteBio, struct ssl_st, wbio);
	FIELD(bioMethod, struct bio_st, method);
	FIELD(bioRetryReason, struct bio_st, retry_reason);
	FIELD(bioNumber, struct bio_st, num);
	FIELD(bioData, struct bio_st, ptr);
	FIELD(methodType, struct bio_method_st, type);
	NUMBER(socketType, BIO_TYPE_SOCKET);
}
