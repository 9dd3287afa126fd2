/* regex_program.h - a tree as instructions over symbols.
 *
 * The sets of a pattern cut the code points into classes that no set tells apart: the symbols.  One
 * more symbol stands for the edge of the text.  A program is a Thompson automaton over symbols
 * whose forks are ordered by preference. */
#ifndef TRI_TEXT_REGEX_PROGRAM_H
#define TRI_TEXT_REGEX_PROGRAM_H

#include "text/regex_ast.h"
#include "text/unicode.h"

enum { TRI_REGEX_MAX_SYMBOLS = 254, TRI_REGEX_MAX_INSTRUCTIONS = 1 << 14 };

typedef struct tri_symbols {
    uint8_t ascii[128];
    uint8_t two_bytes[2048]; /* by code point below U+0800 */
    uint16_t block[(TRI_CODE_MAX + 1) >> 8];
    uint8_t *blocks; /* [n_blocks][256] */
    int32_t n;       /* without the edge, which is symbol n */
    uint8_t *member; /* [n_sets][256]: is the symbol in the set */
} tri_symbols;

/* The symbol of the code point at p, which is valid UTF-8 but is not trusted to be whole. */
static inline uint32_t tri_symbol_at(
    const tri_symbols *s, const unsigned char *p, const unsigned char *end, size_t *length) {
    uint32_t c = *p;
    if (c < 0x80) {
        *length = 1;
        return s->ascii[c];
    }
    size_t n = tri_utf8_length((unsigned char)c);
    if (n > (size_t)(end - p)) {
        *length = 1;
        return s->ascii[0];
    }
    *length = n;
    if (n == 2) return s->two_bytes[(c & 0x1F) << 6 | (p[1] & 0x3F)];
    uint32_t code;
    tri_utf8_decode_valid((const char *)p, &code);
    if (code > TRI_CODE_MAX) code = 0;
    return s->blocks[(size_t)s->block[code >> 8] << 8 | (code & 0xFF)];
}

tri_status tri_symbols_build(tri_symbols *symbols, const tri_ast *ast);

typedef enum tri_op {
    TRI_OP_SET,   /* one symbol of set a, go on at next */
    TRI_OP_SPLIT, /* next, and then alternative */
    TRI_OP_LOOP,  /* the split at the end of a loop's body; a: lazy, and the body the alternative */
    TRI_OP_JUMP,
    TRI_OP_AHEAD,  /* the symbol that is read next is in set a */
    TRI_OP_BEHIND, /* the symbol that was read last is */
    TRI_OP_LOOK,   /* bit a of the place's looks is b */
    TRI_OP_MATCH
} tri_op;

typedef struct tri_instruction {
    uint8_t op, b;
    uint16_t a;
    int32_t next, alternative;
} tri_instruction;

typedef struct tri_program {
    tri_instruction *code;
    int32_t n;
    bool backward;      /* reads the text from its end */
    bool search;        /* starts anew at every place and wants to know where a match ends */
    uint8_t *asks_last; /* by instruction: may reach a BEHIND before it reads */
    /* Symbols that no BEHIND tells apart are of one kind; a symbol of each kind. */
    uint8_t kind[256], symbol_of_kind[256];
    int32_t n_kinds;
} tri_program;

tri_status tri_program_build(tri_program *program, const tri_ast *ast, const tri_symbols *symbols,
    const tri_node *root, bool backward, bool search);

#endif
