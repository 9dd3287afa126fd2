/* unicode.h - UTF-8, and what Unicode 15.0 says of a code point.
 *
 * Pure functions over constant tables, from any thread.  Input bytes are hostile unless a function
 * says "valid"; surrogates and codes past U+10FFFF are ill-formed.  Categories come from utf8proc,
 * scripts from a generated table. */
#ifndef TRI_TEXT_UNICODE_H
#define TRI_TEXT_UNICODE_H

#include "base/buf.h"

/* ---- UTF-8 ---- */

#define TRI_UTF8_INVALID UINT32_MAX
enum { TRI_CODE_MAX = 0x10FFFF, TRI_CODE_REPLACEMENT = 0xFFFD };

/* The code point at p and its length in bytes.  Ill-formed: *code = TRI_UTF8_INVALID and the length
 * of the maximal ill-formed part (Unicode 3.9, "substitution of maximal subparts"), at least 1.
 * n > 0. */
size_t tri_utf8_decode(const char *p, size_t n, uint32_t *code);
/* 1 to 4 bytes; code is a Unicode scalar value. */
size_t tri_utf8_encode(uint32_t code, char out[4]);
void tri_utf8_append(tri_buf *out, uint32_t code);
/* How many leading bytes are well-formed: text.len when all are. */
size_t tri_utf8_valid_prefix(tri_str text);
bool tri_utf8_valid(tri_str text);
/* Appends text, each maximal ill-formed part as U+FFFD (Python's errors="replace"). */
void tri_utf8_sanitize(tri_buf *out, tri_str text);
size_t tri_utf8_n_codes(tri_str text); /* of valid text */

/* Length by the first byte of valid text. */
static inline size_t tri_utf8_length(unsigned char first) {
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* tri_utf8_decode for valid text. */
static inline size_t tri_utf8_decode_valid(const char *text, uint32_t *code) {
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }
    if (p[0] < 0xE0) {
        *code = (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
        return 2;
    }
    if (p[0] < 0xF0) {
        *code = (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
        return 3;
    }
    *code = (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
    return 4;
}

/* ---- properties ---- */

typedef enum tri_category { /* utf8proc's numbers */
    TRI_CN,
    TRI_LU,
    TRI_LL,
    TRI_LT,
    TRI_LM,
    TRI_LO,
    TRI_MN,
    TRI_MC,
    TRI_ME,
    TRI_ND,
    TRI_NL,
    TRI_NO,
    TRI_PC,
    TRI_PD,
    TRI_PS,
    TRI_PE,
    TRI_PI,
    TRI_PF,
    TRI_PO,
    TRI_SM,
    TRI_SC,
    TRI_SK,
    TRI_SO,
    TRI_ZS,
    TRI_ZL,
    TRI_ZP,
    TRI_CC,
    TRI_CF,
    TRI_CS,
    TRI_CO,
    TRI_N_CATEGORIES
} tri_category;

/* Sets of categories, a bit each. */
#define TRI_CATS(first, last) ((2u << (last)) - (1u << (first)))
#define TRI_CATS_LETTER TRI_CATS(TRI_LU, TRI_LO)
#define TRI_CATS_MARK TRI_CATS(TRI_MN, TRI_ME)
#define TRI_CATS_NUMBER TRI_CATS(TRI_ND, TRI_NO)
#define TRI_CATS_PUNCTUATION TRI_CATS(TRI_PC, TRI_PO)
#define TRI_CATS_SYMBOL TRI_CATS(TRI_SM, TRI_SO)
#define TRI_CATS_SEPARATOR TRI_CATS(TRI_ZS, TRI_ZP)
#define TRI_CATS_OTHER (TRI_CATS(TRI_CC, TRI_CO) | 1u << TRI_CN)

tri_category tri_unicode_category(uint32_t code);
bool tri_unicode_in(uint32_t code, uint32_t categories); /* TRI_CATS_... */
bool tri_unicode_is_space(uint32_t code);                /* White_Space: \s, Rust's is_whitespace */
bool tri_unicode_is_word(uint32_t code); /* \w of Rust: Alphabetic, M, Nd, Pc, Join_Control */

enum { TRI_SCRIPT_UNKNOWN, TRI_SCRIPT_COMMON, TRI_SCRIPT_INHERITED }; /* the rest by name */
int32_t tri_unicode_script(uint32_t code);
/* "Han", "Hani", "old_italic": loosely, as Unicode's rule UAX44-LM3 has it; -1: unknown. */
int32_t tri_unicode_script_find(tri_str name);
const char *tri_unicode_script_name(int32_t script);

#endif
