/* ranks.h - vocabularies of tiktoken's kind: every token has bytes and a rank, and there are no
 * merges but those the ranks imply. */
#ifndef TRI_TEXT_RANKS_H
#define TRI_TEXT_RANKS_H

#include "text/pipeline.h"

typedef struct tri_ranks {
    tri_tokenizer *t;
    int32_t n_ids;    /* special tokens among them */
    int32_t first_id; /* of rank 0 */
    int32_t n_ranks;  /* ids [first_id, first_id + n_ranks) are ranked */
    tri_str *pieces;  /* by id: ranked ones alone */
} tri_ranks;

/* Reserves t's tokens and the pieces. */
tri_status tri_ranks_init(tri_ranks *r, tri_tokenizer *t, int32_t n_ids, int32_t first_id,
    int32_t n_ranks, tri_error *err);
/* Its bytes from base64, checked: not empty, and given once for a rank. */
tri_status tri_ranks_set(tri_ranks *r, int32_t rank, tri_str base64, tri_error *err);
/* A special token: text that is recognised, outside the ranks. */
tri_status tri_ranks_add_special(tri_ranks *r, int32_t id, tri_str text, tri_error *err);
/* Checks that all ranks and all single bytes are there, and makes pre-tokenizer, model and decoder;
 * prefix: in front of what is encoded with special tokens. */
tri_status tri_ranks_finish(
    tri_ranks *r, tri_str expression, const int32_t *prefix, int32_t n_prefix, tri_error *err);

#endif
