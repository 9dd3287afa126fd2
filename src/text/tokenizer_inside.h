/* tokenizer_inside.h - a tokenizer's parts, for the files that load and use it. */
#ifndef TRI_TEXT_TOKENIZER_INSIDE_H
#define TRI_TEXT_TOKENIZER_INSIDE_H

#include "text/bpe.h"
#include "text/split.h"
#include "text/tokenizer.h"

typedef struct tri_added_token { /* recognised in text before it is split */
    tri_str text;
    int32_t id;
    bool special;        /* left out of decoded text when asked */
    bool lstrip, rstrip; /* swallows white space beside it */
} tri_added_token;

enum { TRI_MAX_AFFIXES = 4 };

struct tri_tokenizer {
    tri_arena arena;
    tri_bpe bpe;
    tri_split split;
    bool nfc, add_prefix_space;
    int32_t n_added;
    tri_added_token *added;     /* longest first among equal first bytes */
    int32_t added_by_byte[256]; /* first entry starting with this byte, -1: none */
    uint8_t *special;           /* by id: 1 special */
    int32_t prefix[TRI_MAX_AFFIXES], suffix[TRI_MAX_AFFIXES]; /* what add_bos puts around */
    int32_t n_prefix, n_suffix;
};

tri_status tri_tokenizer_load_hf(tri_tokenizer *t, tri_str json, tri_error *err);
tri_status tri_tokenizer_load_gguf(tri_tokenizer *t, const char *path, tri_error *err);
/* Sorts and indexes the added tokens; call once all are in. */
tri_status tri_tokenizer_index_added(tri_tokenizer *t, tri_error *err);
/* A piece of a byte-level vocabulary back to raw bytes (arena); characters outside the alphabet
 * stay. */
tri_status tri_byte_level_undo(tri_str piece, tri_arena *arena, tri_str *raw, tri_error *err);

#endif
