/* normalize.h - the normalizers of a tokenizer, in order, over one stretch of text.
 *
 * What is asked of Hugging Face's alignments is one number only: how many leading bytes of the text
 * come from the very start of the whole text, which is what Metaspace's "first" looks at. */
#ifndef TRI_TEXT_NORMALIZE_H
#define TRI_TEXT_NORMALIZE_H

#include "text/pipeline.h"

typedef struct tri_normalize_scratch { /* of one thread */
    tri_regex_scan *scans[TRI_MAX_STEPS];
    tri_buf buffers[2];
} tri_normalize_scratch;

void tri_normalize_scratch_deinit(tri_normalize_scratch *scratch);

typedef struct tri_stretch {
    tri_str text;
    size_t n_zero; /* leading bytes that begin where the whole text does; 0: none */
} tri_stretch;

/* in: valid UTF-8.  *out: in itself where nothing changes, or scratch's until the next call. */
tri_status tri_normalize(const tri_tokenizer *t, tri_normalize_scratch *scratch, tri_stretch in,
    tri_stretch *out, tri_error *err);

/* The pattern's matches replaced; scan: of its regex, made when it is NULL.  *n_zero (may be NULL):
 * of in's bytes, then of out's; what stands for a match begins where its last character does. */
tri_status tri_pattern_replace(const tri_pattern *pattern, tri_regex_scan **scan, tri_str text,
    tri_str content, tri_buf *out, size_t *n_zero, tri_error *err);

#endif
