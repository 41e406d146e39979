/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a chunk is, by its first bytes. Pure: no helper, no map, so that it also compiles as a host program.
 *
 * A table-driven automaton, so that a start line cut anywhere is recognised (its state outlives the chunk) and so that
 * the verifier follows one path. It accepts
 *   response  "HTTP/1."
 *   request   3 to 15 letters of A-Z or '-', a space, then '/' or '*' or "http", or anything behind "CONNECT "
 * (RFC 9112 section 3; the four forms of the request target are section 3.2). CR and LF before a start line are passed
 * over (section 2.2). The preface of HTTP/2 (RFC 9113 section 3.4) is spelled to its end and has a state of its own. The
 * answer is "maybe"; the parsers in user space are the judges.
 */
#ifndef PLAINSIGHT_FILTER_H
#define PLAINSIGHT_FILTER_H

#include <linux/types.h>

/* Enough for the longest method, a space and the beginning of the target; all of the preface of HTTP/2. */
#define FILTER_BYTES 24
#define PREFACE_BYTES 24

enum filter_state {
	FILTER_REFUSED = 0, /* also what a direction begins with: the next chunk starts anew */
	FILTER_START,
	/* a method of so many letters */
	FILTER_M1,
	FILTER_M2,
	FILTER_M3,
	FILTER_M4,
	FILTER_M5,
	FILTER_M6,
	FILTER_M7,
	FILTER_M8,
	FILTER_M9,
	FILTER_M10,
	FILTER_M11,
	FILTER_M12,
	FILTER_M13,
	FILTER_M14,
	FILTER_M15,
	/* what has been spelled so far */
	FILTER_H,
	FILTER_HT,
	FILTER_HTT,
	FILTER_HTTP,
	FILTER_HTTP_SLASH,
	FILTER_HTTP_SLASH_1,
	FILTER_C,
	FILTER_CO,
	FILTER_CON,
	FILTER_CONN,
	FILTER_CONNE,
	FILTER_CONNEC,
	FILTER_CONNECT,
	FILTER_P,
	FILTER_PR,
	FILTER_PRI,
	/* behind the space, and what an absolute target has spelled there */
	FILTER_TARGET,
	FILTER_TARGET_H,
	FILTER_TARGET_HT,
	FILTER_TARGET_HTT,
	FILTER_AUTHORITY, /* behind "CONNECT " */
	FILTER_ACCEPTED,
	/* behind so many bytes of the preface */
	FILTER_PREFACE_4,
	FILTER_PREFACE_5,
	FILTER_PREFACE_6,
	FILTER_PREFACE_7,
	FILTER_PREFACE_8,
	FILTER_PREFACE_9,
	FILTER_PREFACE_10,
	FILTER_PREFACE_11,
	FILTER_PREFACE_12,
	FILTER_PREFACE_13,
	FILTER_PREFACE_14,
	FILTER_PREFACE_15,
	FILTER_PREFACE_16,
	FILTER_PREFACE_17,
	FILTER_PREFACE_18,
	FILTER_PREFACE_19,
	FILTER_PREFACE_20,
	FILTER_PREFACE_21,
	FILTER_PREFACE_22,
	FILTER_PREFACE_23,
	FILTER_PREFACE,
	FILTER_STATES,
};

enum filter_class {
	CLASS_OTHER = 0,
	CLASS_LETTER, /* A-Z without the following */
	CLASS_C,
	CLASS_E,
	CLASS_H,
	CLASS_I,
	CLASS_M,
	CLASS_N,
	CLASS_O,
	CLASS_P,
	CLASS_R,
	CLASS_S,
	CLASS_T,
	CLASS_DASH,
	CLASS_SPACE,
	CLASS_SLASH,
	CLASS_STAR,
	CLASS_ONE,
	CLASS_DOT,
	CLASS_LOWER_H,
	CLASS_LOWER_T,
	CLASS_LOWER_P,
	CLASS_RETURN,
	CLASS_NEWLINE,
	CLASS_ZERO,
	CLASS_TWO,
	CLASS_COUNT = 32, /* a power of two, for the index */
};

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winitializer-overrides"

static const __u8 filter_classes[256] = {
	['A' ... 'Z'] = CLASS_LETTER,
	['C'] = CLASS_C,
	['E'] = CLASS_E,
	['H'] = CLASS_H,
	['I'] = CLASS_I,
	['M'] = CLASS_M,
	['N'] = CLASS_N,
	['O'] = CLASS_O,
	['P'] = CLASS_P,
	['R'] = CLASS_R,
	['S'] = CLASS_S,
	['T'] = CLASS_T,
	['-'] = CLASS_DASH,
	[' '] = CLASS_SPACE,
	['/'] = CLASS_SLASH,
	['*'] = CLASS_STAR,
	['0'] = CLASS_ZERO,
	['1'] = CLASS_ONE,
	['2'] = CLASS_TWO,
	['.'] = CLASS_DOT,
	['h'] = CLASS_LOWER_H,
	['t'] = CLASS_LOWER_T,
	['p'] = CLASS_LOWER_P,
	['\r'] = CLASS_RETURN,
	['\n'] = CLASS_NEWLINE,
};

#define LETTERS(next) [CLASS_LETTER... CLASS_T] = next
#define METHOD(next) LETTERS(next), [CLASS_DASH] = next

/* 64 rows: a power of two, for the index. */
static const __u8 filter_next[64][CLASS_COUNT] = {
	[FILTER_START] = {LETTERS(FILTER_M1), [CLASS_H] = FILTER_H, [CLASS_C] = FILTER_C, [CLASS_P] = FILTER_P,
			  [CLASS_RETURN] = FILTER_START, [CLASS_NEWLINE] = FILTER_START},
	[FILTER_M1] = {METHOD(FILTER_M2)},
	[FILTER_M2] = {METHOD(FILTER_M3)},
	[FILTER_M3] = {METHOD(FILTER_M4), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M4] = {METHOD(FILTER_M5), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M5] = {METHOD(FILTER_M6), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M6] = {METHOD(FILTER_M7), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M7] = {METHOD(FILTER_M8), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M8] = {METHOD(FILTER_M9), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M9] = {METHOD(FILTER_M10), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M10] = {METHOD(FILTER_M11), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M11] = {METHOD(FILTER_M12), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M12] = {METHOD(FILTER_M13), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M13] = {METHOD(FILTER_M14), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M14] = {METHOD(FILTER_M15), [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_M15] = {[CLASS_SPACE] = FILTER_TARGET},
	[FILTER_H] = {METHOD(FILTER_M2), [CLASS_T] = FILTER_HT},
	[FILTER_HT] = {METHOD(FILTER_M3), [CLASS_T] = FILTER_HTT},
	[FILTER_HTT] = {METHOD(FILTER_M4), [CLASS_P] = FILTER_HTTP, [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_HTTP] = {METHOD(FILTER_M5), [CLASS_SLASH] = FILTER_HTTP_SLASH, [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_HTTP_SLASH] = {[CLASS_ONE] = FILTER_HTTP_SLASH_1},
	[FILTER_HTTP_SLASH_1] = {[CLASS_DOT] = FILTER_ACCEPTED},
	[FILTER_C] = {METHOD(FILTER_M2), [CLASS_O] = FILTER_CO},
	[FILTER_CO] = {METHOD(FILTER_M3), [CLASS_N] = FILTER_CON},
	[FILTER_CON] = {METHOD(FILTER_M4), [CLASS_N] = FILTER_CONN, [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_CONN] = {METHOD(FILTER_M5), [CLASS_E] = FILTER_CONNE, [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_CONNE] = {METHOD(FILTER_M6), [CLASS_C] = FILTER_CONNEC, [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_CONNEC] = {METHOD(FILTER_M7), [CLASS_T] = FILTER_CONNECT, [CLASS_SPACE] = FILTER_TARGET},
	[FILTER_CONNECT] = {METHOD(FILTER_M8), [CLASS_SPACE] = FILTER_AUTHORITY},
	[FILTER_P] = {METHOD(FILTER_M2), [CLASS_R] = FILTER_PR},
	[FILTER_PR] = {METHOD(FILTER_M3), [CLASS_I] = FILTER_PRI},
	[FILTER_PRI] = {METHOD(FILTER_M4), [CLASS_SPACE] = FILTER_PREFACE_4},
	[FILTER_TARGET] =
		{[CLASS_SLASH] = FILTER_ACCEPTED, [CLASS_STAR] = FILTER_ACCEPTED, [CLASS_LOWER_H] = FILTER_TARGET_H},
	[FILTER_TARGET_H] = {[CLASS_LOWER_T] = FILTER_TARGET_HT},
	[FILTER_TARGET_HT] = {[CLASS_LOWER_T] = FILTER_TARGET_HTT},
	[FILTER_TARGET_HTT] = {[CLASS_LOWER_P] = FILTER_ACCEPTED},
	[FILTER_AUTHORITY] = {[CLASS_OTHER... CLASS_COUNT - 1] = FILTER_ACCEPTED},
	[FILTER_PREFACE_4] = {[CLASS_STAR] = FILTER_PREFACE_5},
	[FILTER_PREFACE_5] = {[CLASS_SPACE] = FILTER_PREFACE_6},
	[FILTER_PREFACE_6] = {[CLASS_H] = FILTER_PREFACE_7},
	[FILTER_PREFACE_7] = {[CLASS_T] = FILTER_PREFACE_8},
	[FILTER_PREFACE_8] = {[CLASS_T] = FILTER_PREFACE_9},
	[FILTER_PREFACE_9] = {[CLASS_P] = FILTER_PREFACE_10},
	[FILTER_PREFACE_10] = {[CLASS_SLASH] = FILTER_PREFACE_11},
	[FILTER_PREFACE_11] = {[CLASS_TWO] = FILTER_PREFACE_12},
	[FILTER_PREFACE_12] = {[CLASS_DOT] = FILTER_PREFACE_13},
	[FILTER_PREFACE_13] = {[CLASS_ZERO] = FILTER_PREFACE_14},
	[FILTER_PREFACE_14] = {[CLASS_RETURN] = FILTER_PREFACE_15},
	[FILTER_PREFACE_15] = {[CLASS_NEWLINE] = FILTER_PREFACE_16},
	[FILTER_PREFACE_16] = {[CLASS_RETURN] = FILTER_PREFACE_17},
	[FILTER_PREFACE_17] = {[CLASS_NEWLINE] = FILTER_PREFACE_18},
	[FILTER_PREFACE_18] = {[CLASS_S] = FILTER_PREFACE_19},
	[FILTER_PREFACE_19] = {[CLASS_M] = FILTER_PREFACE_20},
	[FILTER_PREFACE_20] = {[CLASS_RETURN] = FILTER_PREFACE_21},
	[FILTER_PREFACE_21] = {[CLASS_NEWLINE] = FILTER_PREFACE_22},
	[FILTER_PREFACE_22] = {[CLASS_RETURN] = FILTER_PREFACE_23},
	[FILTER_PREFACE_23] = {[CLASS_NEWLINE] = FILTER_PREFACE},
	[FILTER_ACCEPTED] = {[CLASS_OTHER... CLASS_COUNT - 1] = FILTER_ACCEPTED},
	[FILTER_PREFACE] = {[CLASS_OTHER... CLASS_COUNT - 1] = FILTER_PREFACE},
};

#pragma clang diagnostic pop

/* How much of the preface of HTTP/2 stands before this state, and does not stand in a chunk that begins with it. */
static __always_inline __u32 preface_before(__u8 automaton)
{
	if (automaton >= FILTER_PREFACE_4 && automaton <= FILTER_PREFACE_23)
		return automaton - FILTER_PREFACE_4 + 4;
	return automaton >= FILTER_P && automaton <= FILTER_PRI ? automaton - FILTER_P + 1 : 0;
}

/*
 * The automaton after these bytes: FILTER_ACCEPTED (HTTP/1), FILTER_PREFACE (HTTP/2), FILTER_REFUSED, or a state to go on
 * from at the next chunk.
 */
static __always_inline __u8 filter_run(__u8 automaton, const __u8 *bytes, __u32 length)
{
	__u32 state = automaton ? automaton : FILTER_START;

	for (__u32 i = 0; i < FILTER_BYTES; i++) {
		if (i >= length)
			break;
		state = filter_next[state & 63][filter_classes[bytes[i]] & (CLASS_COUNT - 1)];
		if (state == FILTER_ACCEPTED || state == FILTER_PREFACE || state == FILTER_REFUSED)
			break;
	}
	/* Empty lines alone begin nothing. */
	return state == FILTER_START ? FILTER_REFUSED : state;
}

#define TLS_HEADER_BYTES 5
#define TLS_APPLICATION_DATA 0x17

/*
 * A TLS record (RFC 8446 section 5.1): from change_cipher_spec to application_data, legacy version 3.1..3.4. SSL 3.0 is not
 * (RFC 7568): a MySQL packet of 788 to 791 bytes begins as its records do.
 */
static __always_inline int is_tls_record(const __u8 *bytes, __u32 length)
{
	return length >= 3 && bytes[0] >= 0x14 && bytes[0] <= 0x17 && bytes[1] == 3 && bytes[2] >= 1 && bytes[2] <= 4;
}

/*
 * May the terminator of a chunked body (RFC 9112 section 7.1) end, or be cut, behind this last byte of a chunk? Random
 * data answers yes once in 85 times.
 */
static __always_inline int may_end_message(__u8 last)
{
	return last == '\n' || last == '\r' || last == '0';
}

#endif
