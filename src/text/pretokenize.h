/* pretokenize.h - the pre-tokenizers of a tokenizer, in order: a stretch of text into words.
 *
 * Depth first: each piece of one step goes through the steps after it before the next piece is cut,
 * so that nothing is kept but one buffer a step that changes text. */
#ifndef TRI_TEXT_PRETOKENIZE_H
#define TRI_TEXT_PRETOKENIZE_H

#include "text/normalize.h"

typedef struct tri_pretokenize_scratch { /* of one thread */
    tri_regex_scan *scans[TRI_MAX_STEPS];
    tri_buf buffers[TRI_MAX_STEPS], mapped[TRI_MAX_STEPS];
} tri_pretokenize_scratch;

void tri_pretokenize_scratch_deinit(tri_pretokenize_scratch *scratch);

typedef tri_status (*tri_word_fn)(void *user, tri_str word, tri_error *err);

/* Calls fn for each word, in order; words are not empty. */
tri_status tri_pretokenize(const tri_tokenizer *t, tri_pretokenize_scratch *scratch,
    tri_stretch stretch, tri_word_fn fn, void *user, tri_error *err);

/* ---- in parts, for several threads ----
 *
 * Where the first step goes by matches one after another, what comes after a match's end depends on
 * that place alone.  So a second thread may start anywhere, at first with wrong words, and from the
 * first end that both have come to, all further words are the same. */

/* Whether the tokenizer's first step is such; the other steps then stay within its pieces. */
bool tri_pretokenize_has_parts(const tri_tokenizer *t);
/* What the first step does to the whole stretch before it cuts it (a space or U+2581 in front):
 * *out is in itself or in scratch's buffer. */
tri_status tri_pretokenize_prepare(const tri_tokenizer *t, tri_pretokenize_scratch *scratch,
    tri_stretch in, tri_stretch *out, tri_error *err);

typedef struct tri_part {
    tri_stretch stretch;                   /* prepared, whole */
    size_t from;                           /* of a character */
    bool (*at_end)(void *user, size_t at); /* a cut; true: that was enough */
} tri_part;
tri_status tri_pretokenize_part(const tri_tokenizer *t, tri_pretokenize_scratch *scratch,
    const tri_part *part, tri_word_fn fn, void *user, tri_error *err);

#endif
