/* added.h - finding added tokens in text: the leftmost, and of those the longest, as Hugging Face's
 * Aho-Corasick matcher does.
 *
 * Tries over the same tokens: the ones looked for in the text as it comes, the ones looked
 * for in normalised text (their own text normalised), and, for texts of which a part is vouched for
 * and a part is plain, the first together with every special token as it is written.  Time is
 * linear in the text times the length of a token at most. */
#ifndef TRI_TEXT_ADDED_H
#define TRI_TEXT_ADDED_H

#include "text/pipeline.h"

enum { TRI_ADDED_MAX_BYTES = 4096 }; /* of a token's text */

typedef enum tri_added_pass {
    TRI_ADDED_RAW,
    TRI_ADDED_NORMALIZED,
    TRI_ADDED_VOUCHED
} tri_added_pass;

typedef struct tri_added_index tri_added_index;

/* normalized: the added tokens' normalised texts, in their order (used where token.normalized). */
tri_status tri_added_index_create(tri_added_index **index, const tri_added_token *added, int32_t n,
    const tri_str *normalized, tri_arena *arena, tri_error *err);

typedef struct tri_added_cut {
    size_t begin, end;
    int32_t id; /* -1: text */
} tri_added_cut;

typedef struct tri_added_request {
    tri_added_pass pass;
    bool parse_special;
    const tri_text_span *plain; /* special tokens that touch these are not taken */
    int32_t n_plain;
} tri_added_request;

/* False: there are no tokens for this pass. */
bool tri_added_may_match(const tri_added_index *index, tri_added_pass pass);
/* The index among the added tokens of the one with this very text, or -1. */
int32_t tri_added_find(const tri_added_index *index, tri_str text);
/* Appends cuts (tri_added_cut) that cover text, or nothing for an empty one. */
tri_status tri_added_split(const tri_added_index *index, const tri_added_request *request,
    tri_str text, tri_buf *cuts, tri_error *err);

#endif
