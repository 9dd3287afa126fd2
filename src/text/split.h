/* split.h - cutting text into words before merging: a list of patterns, each applied to the pieces
 * the one before left.  Matches become pieces, and so does what lies between them (the "Isolated"
 * behaviour). */
#ifndef TRI_TEXT_SPLIT_H
#define TRI_TEXT_SPLIT_H

#include "base/buf.h"

enum { TRI_SPLIT_MAX = 8 };

typedef struct tri_split {
    struct pcre2_real_code_8 *patterns[TRI_SPLIT_MAX];
    int32_t n;
} tri_split;

/* Unicode PCRE2 syntax.  TRI_E_FORMAT with the place of a syntax error. */
tri_status tri_split_add(tri_split *split, tri_str pattern, tri_error *err);
void tri_split_deinit(tri_split *split);

/* Calls fn for each word in order.  Bytes that are no UTF-8 match nothing and stay between matches.
 */
typedef tri_status (*tri_split_fn)(void *user, tri_str word, tri_error *err);
tri_status tri_split_run(
    const tri_split *split, tri_str text, tri_split_fn fn, void *user, tri_error *err);

/* GPT-2's pattern, which byte-level tokenizers use unless they bring their own. */
extern const char tri_split_gpt2[];
/* The patterns a GGUF's tokenizer.ggml.pre stands for, NULL-terminated; NULL: unknown name. `known`
 * (may be NULL) gets the names for an error message. */
const char *const *tri_split_of_gguf(const char *pre, const char **known);

#endif
